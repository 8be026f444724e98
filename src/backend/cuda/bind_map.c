// bind_map.c - maps over elements, normalisation of images, sums and products of whole tensors.
#include "backend/cuda/cuda.h"
#include "backend/cuda/kernels/elementwise.h"
#include "base/base.h"
#include <stdio.h>

static int64_t out_count(const lti_cuda_bind *b)
{
    return lti_cuda_count(&b->in->arg[b->in->n_in].shape, 0);
}

// relu, relu_dx, add, add_relu_dx, scale
lt_status lti_cuda_map(lti_cuda_bind *b)
{
    const lt_op *op = b->in->op;
    const int64_t n = out_count(b);
    const bool add = op == &lt_op_add || op == &lt_op_add_relu_dx;
    const ltc_map_op what = op == &lt_op_relu          ? LTC_RELU
                            : op == &lt_op_relu_dx     ? LTC_RELU_DX
                            : op == &lt_op_add         ? LTC_ADD
                            : op == &lt_op_add_relu_dx ? LTC_ADD_RELU_DX
                                                       : LTC_SCALE;
    lti_cuda_as_inputs(b);
    lti_cuda_call *c = lti_cuda_add(b, LTC_K_map, (n + 3) / 4);
    lti_cuda_arg(b, c, 0, 0);
    if (add)
        lti_cuda_arg(b, c, 1, 1);
    if (what == LTC_RELU_DX || what == LTC_ADD_RELU_DX)
        lti_cuda_arg(b, c, 2, add ? 2 : 1);
    lti_cuda_arg(b, c, 3, b->in->n_in);
    c->args.d[0] = (int32_t)what;
    c->args.d[1] = (int32_t)n;
    c->args.d[2] = what == LTC_ADD && b->in->attr->relu;
    c->args.f[0] = b->in->attr->alpha;
    snprintf(b->k->impl, sizeof b->k->impl, "cuda map");
    return LT_OK;
}

// s (1), b -> s b
lt_status lti_cuda_scale_by(lti_cuda_bind *b)
{
    const int64_t n = out_count(b);
    lti_cuda_as_inputs(b);
    lti_cuda_call *c = lti_cuda_add(b, LTC_K_scale_by, (n + 3) / 4);
    for (int i = 0; i < 3; i++)
        lti_cuda_arg(b, c, i, i);
    c->args.d[0] = (int32_t)n;
    snprintf(b->k->impl, sizeof b->k->impl, "cuda scale_by");
    return LT_OK;
}

// An image that comes plain is brought to the layout of activations on the way; its gradient goes back the same way.
lt_status lti_cuda_normalize(lti_cuda_bind *b)
{
    const lt_shape *s = &b->in->arg[0].shape;
    const lt_attr *attr = b->in->attr;
    const bool back = b->in->op == &lt_op_normalize_dx, plain = b->in->arg[0].layout == LT_LAYOUT_PLAIN;
    const int64_t n_c = s->dim[1];
    if (n_c > LTC_MOST_SCALED)
        return LT_FAIL(LT_E_UNSUPPORTED, "%s: %lld channels, the CUDA backend normalises at most %d", b->in->op->name,
                       (long long)n_c, (int)LTC_MOST_SCALED);
    if (back || !plain)
        lti_cuda_as_image(b, 0);
    if (!back)
        lti_cuda_as_image(b, 1);
    lti_cuda_call *c = lti_cuda_add(b, LTC_K_reorder, out_count(b));
    lti_cuda_arg(b, c, 0, 0);
    lti_cuda_arg(b, c, 1, 1);
    c->args.d[0] = back ? LTC_TO_NCHW : plain ? LTC_TO_NHWC : LTC_SAME_ORDER;
    c->args.d[1] = (int32_t)n_c;
    c->args.d[2] = (int32_t)(s->dim[2] * s->dim[3]);
    c->args.d[3] = 1;
    for (int64_t i = 0; i < n_c; i++) {
        c->args.f[i] = attr->istd[i];
        c->args.f[LTC_MOST_SCALED + i] = back ? 0.0f : -attr->mean[i] * attr->istd[i];
    }
    snprintf(b->k->impl, sizeof b->k->impl, "cuda normalize");
    return LT_OK;
}

lt_status lti_cuda_channel_broadcast(lti_cuda_bind *b)
{
    lti_cuda_as_image(b, 1);
    lti_cuda_call *c = lti_cuda_add(b, LTC_K_channel_broadcast, out_count(b));
    lti_cuda_arg(b, c, 0, 0);
    lti_cuda_arg(b, c, 1, 1);
    c->args.d[0] = (int32_t)b->in->arg[0].shape.dim[0];
    snprintf(b->k->impl, sizeof b->k->impl, "cuda channel_broadcast");
    return LT_OK;
}

// x (N,C,...) -> sums (C)
lt_status lti_cuda_channel_sum(lti_cuda_bind *b)
{
    const lt_shape *s = &b->in->arg[0].shape;
    const int64_t n_c = s->dim[1], rows = lti_cuda_count(s, 0) / n_c;
    const int64_t per = (rows + lti_cuda_parts(rows, n_c) - 1) / lti_cuda_parts(rows, n_c);
    const int64_t parts = (rows + per - 1) / per;
    lti_cuda_as_image(b, 0);
    lti_cuda_call *c = lti_cuda_add(b, LTC_K_sum_parts, parts * n_c);
    const size_t at = lti_cuda_scratch(b, parts * n_c, sizeof(float));
    lti_cuda_arg(b, c, 0, 0);
    lti_cuda_at(c, 1, LTI_FROM_SCRATCH, at, false);
    c->args.d[0] = (int32_t)rows;
    c->args.d[1] = (int32_t)n_c;
    c->args.d[2] = (int32_t)per;
    c = lti_cuda_add(b, LTC_K_sum_finish, n_c);
    lti_cuda_at(c, 0, LTI_FROM_SCRATCH, at, false);
    lti_cuda_arg(b, c, 1, 1);
    c->args.d[0] = (int32_t)parts;
    c->args.d[1] = (int32_t)n_c;
    snprintf(b->k->impl, sizeof b->k->impl, "cuda channel_sum");
    return LT_OK;
}

// dot and weighted_sum: a, b -> s (1)
lt_status lti_cuda_dot(lti_cuda_bind *b)
{
    enum { MOST_PARTS = 512, LEAST = 8 };
    const int64_t n = lti_cuda_count(&b->in->arg[0].shape, 0);
    int64_t parts = (n + LEAST - 1) / LEAST;
    parts = parts > MOST_PARTS ? MOST_PARTS : parts;
    lti_cuda_as_inputs(b);
    lti_cuda_call *c = lti_cuda_add(b, LTC_K_dot_parts, parts);
    const size_t at = lti_cuda_scratch(b, parts, sizeof(float));
    lti_cuda_arg(b, c, 0, 0);
    lti_cuda_arg(b, c, 1, 1);
    lti_cuda_at(c, 2, LTI_FROM_SCRATCH, at, false);
    c->args.d[0] = (int32_t)n;
    c->args.d[1] = (int32_t)parts;
    c = lti_cuda_add(b, LTC_K_dot_finish, 1);
    lti_cuda_at(c, 0, LTI_FROM_SCRATCH, at, false);
    lti_cuda_arg(b, c, 1, 2);
    c->args.d[0] = (int32_t)parts;
    snprintf(b->k->impl, sizeof b->k->impl, "cuda dot");
    return LT_OK;
}
