// bind_rows.c - softmax and losses: one index a row, inputs then outputs in the order of the node.
#include "backend/cuda/cuda.h"
#include "base/base.h"
#include <stdio.h>

static const struct row_op {
    const lt_op *op;
    ltc_kernel kernel;
} row_ops[] = {
    {&lt_op_softmax, LTC_K_softmax}, {&lt_op_softmax_dx, LTC_K_softmax_dx},
    {&lt_op_ce, LTC_K_ce},           {&lt_op_ce_dz, LTC_K_ce_dz},
    {&lt_op_ce_soft, LTC_K_ce_soft}, {&lt_op_ce_soft_dz, LTC_K_ce_soft_dz},
    {&lt_op_kl, LTC_K_kl},           {&lt_op_kl_dz, LTC_K_kl_dz},
    {&lt_op_kl_pair, LTC_K_kl},      {&lt_op_kl_pair_dt, LTC_K_kl_pair_dt},
    {&lt_op_margin, LTC_K_margin},   {&lt_op_margin_dz, LTC_K_margin_dz},
    {&lt_op_row_dot, LTC_K_row_dot},
};

static lti_cuda_call *whole(lti_cuda_bind *b, ltc_kernel kernel, int64_t n)
{
    lti_cuda_call *c = lti_cuda_add(b, kernel, n);
    for (int i = 0; i < b->in->n_in && kernel != LTC_K_margin_dz; i++)
        lti_cuda_arg(b, c, i, i);
    for (int i = 0; i < b->in->n_out && kernel != LTC_K_margin_dz; i++)
        lti_cuda_arg(b, c, b->in->n_in + i, b->in->n_in + i);
    snprintf(b->k->impl, sizeof b->k->impl, "cuda %s", b->in->op->name);
    return c;
}

lt_status lti_cuda_rows(lti_cuda_bind *b)
{
    const lt_bind_in *in = b->in;
    ltc_kernel kernel = LTC_N_KERNELS;
    int64_t n_k = 0; // the only 2-d extent of the node
    for (size_t i = 0; i < sizeof row_ops / sizeof *row_ops; i++)
        if (row_ops[i].op == in->op)
            kernel = row_ops[i].kernel;
    for (int i = 0; i < in->n_in + in->n_out && !n_k; i++)
        n_k = in->arg[i].shape.n_dims == 2 ? in->arg[i].shape.dim[1] : 0;
    lti_cuda_call *c = whole(b, kernel, in->arg[in->n_in].shape.dim[0]);
    if (kernel == LTC_K_margin_dz) { // its input z gives a shape only
        for (int i = 0; i < 3; i++)
            lti_cuda_arg(b, c, i, i);
        lti_cuda_arg(b, c, 3, in->n_in);
    }
    c->args.d[0] = (int32_t)n_k;
    c->args.f[0] = kernel == LTC_K_kl || kernel == LTC_K_kl_dz || kernel == LTC_K_kl_pair_dt ? in->attr->temperature
                                                                                             : in->attr->smoothing;
    return LT_OK;
}

// s (N), x (N,K) -> y (N,K)
lt_status lti_cuda_mul_rows(lti_cuda_bind *b)
{
    const lt_shape *x = &b->in->arg[1].shape;
    lti_cuda_call *c = whole(b, LTC_K_mul_rows, lti_cuda_count(x, 0));
    c->args.d[0] = (int32_t)x->dim[1];
    return LT_OK;
}
