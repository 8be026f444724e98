// bind_pool.c - pooling and padding.
#include "backend/cuda/cuda.h"
#include "base/base.h"
#include <stdio.h>

static void put_sizes(lti_cuda_call *c, const lt_shape *x, const lt_shape *y, const lt_attr *attr)
{
    const int64_t d[] = {x->dim[1], x->dim[2], x->dim[3], y->dim[2], y->dim[3], attr->kernel, attr->stride};
    for (size_t i = 0; i < sizeof d / sizeof *d; i++)
        c->args.d[i] = (int32_t)d[i];
}

// One call with every argument in its place and in the layout of activations.
static lti_cuda_call *whole(lti_cuda_bind *b, ltc_kernel kernel)
{
    const int n_args = b->in->n_in + b->in->n_out;
    for (int i = 0; i < n_args; i++)
        lti_cuda_as_image(b, i);
    lti_cuda_call *c = lti_cuda_add(b, kernel, lti_cuda_count(&b->in->arg[b->in->n_in].shape, 0));
    for (int i = 0; i < n_args; i++)
        lti_cuda_arg(b, c, i, i);
    snprintf(b->k->impl, sizeof b->k->impl, "cuda %s", b->in->op->name);
    return c;
}

// avg_pool, max_pool: x -> y, [position]; their gradients: dy, [position] -> dx
lt_status lti_cuda_pool(lti_cuda_bind *b)
{
    const lt_op *op = b->in->op;
    const bool back = op == &lt_op_avg_pool_dx || op == &lt_op_max_pool_dx;
    const bool max = op == &lt_op_max_pool || op == &lt_op_max_pool_dx;
    const lt_shape *in = &b->in->arg[0].shape, *out = &b->in->arg[b->in->n_in].shape;
    lti_cuda_call *c =
        whole(b, max ? (back ? LTC_K_max_pool_dx : LTC_K_max_pool) : (back ? LTC_K_avg_pool_dx : LTC_K_avg_pool));
    put_sizes(c, back ? out : in, back ? in : out, b->in->attr);
    return LT_OK;
}

// x, position -> y
lt_status lti_cuda_max_pool_at(lti_cuda_bind *b)
{
    lti_cuda_call *c = whole(b, LTC_K_max_pool_at);
    put_sizes(c, &b->in->arg[0].shape, &b->in->arg[2].shape, b->in->attr);
    return LT_OK;
}

// x (N,C,H,W) -> y (N,C), and back
lt_status lti_cuda_global_pool(lti_cuda_bind *b)
{
    const bool back = b->in->op == &lt_op_global_avg_pool_dx;
    const lt_shape *image = &b->in->arg[back ? 1 : 0].shape;
    lti_cuda_call *c = whole(b, back ? LTC_K_global_pool_dx : LTC_K_global_pool);
    c->args.d[0] = (int32_t)image->dim[1];
    c->args.d[1] = (int32_t)(image->dim[2] * image->dim[3]);
    return LT_OK;
}

lt_status lti_cuda_pad(lti_cuda_bind *b)
{
    const bool back = b->in->op == &lt_op_pad2d_dx;
    const lt_shape *x = &b->in->arg[back ? 1 : 0].shape;
    lti_cuda_call *c = whole(b, back ? LTC_K_pad2d_dx : LTC_K_pad2d);
    const int64_t d[] = {x->dim[1], x->dim[2], x->dim[3], b->in->attr->pad, (int64_t)b->in->attr->pad_mode};
    for (size_t i = 0; i < sizeof d / sizeof *d; i++)
        c->args.d[i] = (int32_t)d[i];
    return LT_OK;
}
