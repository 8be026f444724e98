// bind_linear.c - the classifier and its gradients as one matrix product each, in float (tf32 unless f32 was requested
// for).
//     y (N,K) = x (N,C) w' (K,C) + b      dx = dy w      dw = dy' x
#include "backend/cuda/cuda.h"
#include "base/base.h"
#include <stdio.h>

// y (m,n) += bias (n)
static void add_bias(lti_cuda_bind *b, int32_t m, int32_t n)
{
    const int64_t count = (int64_t)m * n;
    lti_cuda_call *c = lti_cuda_add(b, LTC_K_affine, (count + 3) / 4);
    lti_cuda_arg(b, c, 0, 3);
    lti_cuda_arg(b, c, 2, 2);
    lti_cuda_arg(b, c, 6, 3);
    c->args.d[0] = (int32_t)count;
    c->args.d[1] = n;
}

lt_status lti_cuda_linear(lti_cuda_bind *b)
{
    const lt_bind_in *in = b->in;
    const bool dx = in->op == &lt_op_linear_dx, dw = in->op == &lt_op_linear_dw;
    const lt_shape *first = &in->arg[0].shape, *second = &in->arg[1].shape;
    ltc_gemm_shape s = {.tf32 = b->cu->precision != LTI_CUDA_F32};
    s.m = (int32_t)(dw ? second->dim[1] : first->dim[0]);
    s.n = (int32_t)(dw ? first->dim[1] : dx ? second->dim[1] : second->dim[0]);
    s.k = (int32_t)(dw ? first->dim[0] : first->dim[1]);
    s.ta = dw;
    s.tb = !dx && !dw;
    size_t workspace = 0;
    LT_TRY(lti_cuda_check(b->cu, b->cu->api->gemm_make(b->cu->dev, &s, &b->program->gemm, &workspace),
                          "choosing a matrix product"));
    lti_cuda_call *c = lti_cuda_add(b, LTC_N_KERNELS, 1);
    c->kind = LTI_CALL_GEMM;
    lti_cuda_arg(b, c, 0, dw ? 1 : 0);
    lti_cuda_arg(b, c, 1, dw ? 0 : 1);
    lti_cuda_arg(b, c, 2, in->n_in);
    lti_cuda_at(c, 3, LTI_FROM_SCRATCH, lti_cuda_scratch(b, (int64_t)workspace, 1), false);
    if (in->n_in == 3)
        add_bias(b, s.m, s.n);
    snprintf(b->k->impl, sizeof b->k->impl, "cublasLt %s", s.tf32 ? "tf32" : "f32");
    return LT_OK;
}
