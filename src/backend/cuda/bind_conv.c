// bind_conv.c - convolution and its gradients: weights to (K,R,S,C) in `prepare`, the library's call, then bias and
// ReLU. What the library does not take runs on our own kernels, in the same layouts.
#include "backend/cuda/cuda.h"
#include "backend/cuda/kernels/elementwise.h"
#include "base/base.h"
#include <stdio.h>

typedef struct conv_dims {
    int64_t n, c, h, w, k, r, s, oh, ow;
} conv_dims;

static conv_dims dims_of(const lt_shape *x, const lt_shape *w, const lt_shape *y)
{
    return (conv_dims){.n = x->dim[0],
                       .c = x->dim[1],
                       .h = x->dim[2],
                       .w = x->dim[3],
                       .k = w->dim[0],
                       .r = w->dim[2],
                       .s = w->dim[3],
                       .oh = y->dim[2],
                       .ow = y->dim[3]};
}

// What follows the convolution in this node: see ltc_conv_shape.
typedef struct conv_rest {
    bool bias, add, relu;
} conv_rest;

static conv_rest rest_of(const lti_cuda_bind *b, ltc_pass pass)
{
    const int n_in = b->in->n_in;
    if (pass == LTC_CONV)
        return (conv_rest){n_in >= 3, n_in == 4, b->in->attr->relu};
    return (conv_rest){false, pass == LTC_CONV_DX && n_in == 4, pass == LTC_CONV_DX && n_in >= 3};
}

// Asks the library. LT_OK without program->conv: it has no such convolution.
static lt_status make_conv(lti_cuda_bind *b, ltc_pass pass, const conv_dims *d, size_t *workspace, bool *finishes)
{
    lti_cuda *cu = b->cu;
    const conv_rest rest = rest_of(b, pass);
    const ltc_conv_shape shape = {.pass = pass,
                                  .n = (int32_t)d->n,
                                  .c = (int32_t)d->c,
                                  .h = (int32_t)d->h,
                                  .w = (int32_t)d->w,
                                  .k = (int32_t)d->k,
                                  .r = (int32_t)d->r,
                                  .s = (int32_t)d->s,
                                  .oh = (int32_t)d->oh,
                                  .ow = (int32_t)d->ow,
                                  .stride = b->in->attr->stride,
                                  .pad = b->in->attr->pad,
                                  .dilation = b->in->attr->dilation,
                                  .bias = rest.bias,
                                  .add = rest.add,
                                  .relu = rest.relu,
                                  .bf16 = cu->precision == LTI_CUDA_BF16,
                                  .tf32 = cu->precision == LTI_CUDA_TF32,
                                  .tune = cu->tune && !(b->in->flags & LT_PLAN_NO_TUNE)};
    ltc_conv_made made = {0};
    const int code = cu->own_conv ? LTC_UNSUPPORTED : cu->api->conv_make(cu->dev, &shape, &made);
    if (code == LTC_UNSUPPORTED) {
        snprintf(b->k->impl, sizeof b->k->impl, "cuda own conv");
        return LT_OK;
    }
    LT_TRY(lti_cuda_check(cu, code, "choosing a convolution"));
    b->program->conv = made.conv;
    *workspace = made.workspace_bytes;
    *finishes = made.finishes;
    b->k->tuned_us = made.us;
    snprintf(b->k->impl, sizeof b->k->impl, "%s", made.impl);
    snprintf(b->k->tuned, sizeof b->k->tuned, "%s", made.log);
    return LT_OK;
}

static void put_dims(const lti_cuda_bind *b, const conv_dims *d, ltc_args *a)
{
    const lt_attr *attr = b->in->attr;
    const int64_t v[] = {d->n, d->c,  d->h,  d->w,         d->k,      d->r,
                         d->s, d->oh, d->ow, attr->stride, attr->pad, attr->dilation};
    for (size_t i = 0; i < sizeof v / sizeof *v; i++)
        a->d[i] = (int32_t)v[i];
}

// w (K,C,R,S) of argument 1 to (K,R,S,C), in the element type of activations, into what the plan keeps for us.
static void prepare_weights(lti_cuda_bind *b, const conv_dims *d)
{
    const bool bf16 = b->cu->precision == LTI_CUDA_BF16;
    const int64_t n = d->k * d->c * d->r * d->s;
    lti_cuda_call *c = lti_cuda_add(b, LTC_K_reorder, n);
    lti_cuda_arg(b, c, 0, 1);
    lti_cuda_at(c, 1, LTI_FROM_PREPARED, 0, bf16);
    c->args.d[0] = LTC_TO_NHWC;
    c->args.d[1] = (int32_t)d->c;
    c->args.d[2] = (int32_t)(d->r * d->s);
    b->program->n_prepare = 1;
    b->k->prepare_reads = 1u << 1;
    b->k->prepared_bytes = (size_t)n * (bf16 ? 2 : 4);
}

// Bias, residual and ReLU.
static void add_epilogue(lti_cuda_bind *b, const conv_dims *d)
{
    const int out = b->in->n_in;
    const conv_rest rest = rest_of(b, LTC_CONV);
    if (!rest.bias && !rest.relu)
        return;
    const int64_t n = d->n * d->k * d->oh * d->ow;
    lti_cuda_call *c = lti_cuda_add(b, LTC_K_affine, (n + 3) / 4);
    lti_cuda_arg(b, c, 0, out);
    if (rest.bias)
        lti_cuda_arg(b, c, 2, 2);
    if (rest.add)
        lti_cuda_arg(b, c, 5, 3);
    lti_cuda_arg(b, c, 6, out);
    c->args.d[0] = (int32_t)n;
    c->args.d[1] = (int32_t)d->k;
    c->args.d[2] = rest.relu;
}

// The other gradient and the mask of conv2d_dx.
static void add_mask(lti_cuda_bind *b, const conv_dims *d)
{
    const int out = b->in->n_in;
    const conv_rest rest = rest_of(b, LTC_CONV_DX);
    if (!rest.relu)
        return;
    const int64_t n = d->n * d->c * d->h * d->w;
    lti_cuda_call *c = lti_cuda_add(b, LTC_K_map, (n + 3) / 4);
    lti_cuda_arg(b, c, 0, out);
    if (rest.add)
        lti_cuda_arg(b, c, 1, 3);
    lti_cuda_arg(b, c, 2, 2);
    lti_cuda_arg(b, c, 3, out);
    c->args.d[0] = rest.add ? LTC_ADD_RELU_DX : LTC_RELU_DX;
    c->args.d[1] = (int32_t)n;
    c->args.f[0] = 1.0f;
}

// The library does all of it at once.
static void finish_at_once(const lti_cuda_bind *b, ltc_pass pass, lti_cuda_call *c)
{
    const conv_rest rest = rest_of(b, pass);
    if (rest.bias)
        lti_cuda_arg(b, c, LTC_BIAS, 2);
    if (rest.add)
        lti_cuda_arg(b, c, LTC_ADDED, 3);
    if (rest.relu && pass == LTC_CONV_DX)
        lti_cuda_arg(b, c, LTC_MASK, 2);
}

// conv2d and conv2d_dx: image, weights -> image
lt_status lti_cuda_conv(lti_cuda_bind *b)
{
    if (b->in->attr->groups > 1)
        return LT_FAIL(LT_E_UNSUPPORTED, "%s: groups of channels have no kernel on the device", b->in->op->name);
    const lt_bind_in *in = b->in;
    const bool dx = in->op == &lt_op_conv2d_dx;
    const lt_shape *image = &in->arg[0].shape, *other = &in->arg[in->n_in].shape;
    const conv_dims d = dx ? dims_of(other, &in->arg[1].shape, image) : dims_of(image, &in->arg[1].shape, other);
    const ltc_pass pass = dx ? LTC_CONV_DX : LTC_CONV;
    size_t workspace = 0;
    bool finishes = false;
    for (int i = 0; i <= in->n_in; i++)
        if (i != 1)
            lti_cuda_as_image(b, i);
    LT_TRY(make_conv(b, pass, &d, &workspace, &finishes));
    prepare_weights(b, &d);
    lti_cuda_call *c =
        lti_cuda_add(b, dx ? LTC_K_conv_dx : LTC_K_conv, dx ? d.n * d.h * d.w * d.c : d.n * d.oh * d.ow * d.k);
    c->kind = b->program->conv ? LTI_CALL_CONV : LTI_CALL_KERNEL;
    lti_cuda_arg(b, c, LTC_IN0, 0);
    lti_cuda_at(c, LTC_IN1, LTI_FROM_PREPARED, 0, b->cu->precision == LTI_CUDA_BF16);
    lti_cuda_arg(b, c, LTC_OUT, in->n_in);
    lti_cuda_at(c, LTC_WORKSPACE, LTI_FROM_SCRATCH, lti_cuda_scratch(b, (int64_t)workspace, 1), false);
    put_dims(b, &d, &c->args);
    if (finishes)
        finish_at_once(b, pass, c);
    else if (dx)
        add_mask(b, &d);
    else
        add_epilogue(b, &d);
    return LT_OK;
}

// dw (K,R,S,C) at `from` in scratch, `parts` of them -> argument 2 (K,C,R,S)
static void finish_dw(lti_cuda_bind *b, const conv_dims *d, size_t from, bool bf16, int64_t parts)
{
    const int64_t n = d->k * d->c * d->r * d->s;
    if (parts > 1) {
        lti_cuda_call *sum = lti_cuda_add(b, LTC_K_sum_finish, n);
        lti_cuda_at(sum, 0, LTI_FROM_SCRATCH, from, false);
        from = lti_cuda_scratch(b, n, sizeof(float));
        lti_cuda_at(sum, 1, LTI_FROM_SCRATCH, from, false);
        sum->args.d[0] = (int32_t)parts;
        sum->args.d[1] = (int32_t)n;
    }
    lti_cuda_call *c = lti_cuda_add(b, LTC_K_reorder, n);
    lti_cuda_at(c, 0, LTI_FROM_SCRATCH, from, bf16);
    lti_cuda_arg(b, c, 1, 2);
    c->args.d[0] = LTC_TO_NCHW;
    c->args.d[1] = (int32_t)d->c;
    c->args.d[2] = (int32_t)(d->r * d->s);
}

// x, dy -> dw
lt_status lti_cuda_conv_dw(lti_cuda_bind *b)
{
    if (b->in->attr->groups > 1)
        return LT_FAIL(LT_E_UNSUPPORTED, "%s: groups of channels have no kernel on the device", b->in->op->name);
    enum { INDICES = 1 << 16, MOST_PARTS = 64 };
    const lt_bind_in *in = b->in;
    const conv_dims d = dims_of(&in->arg[0].shape, &in->arg[2].shape, &in->arg[1].shape);
    const int64_t n = d.k * d.c * d.r * d.s;
    size_t workspace = 0;
    bool finishes = false; // nothing follows
    lti_cuda_as_image(b, 0);
    lti_cuda_as_image(b, 1);
    LT_TRY(make_conv(b, LTC_CONV_DW, &d, &workspace, &finishes));
    const bool library = b->program->conv != NULL, bf16 = library && b->cu->precision == LTI_CUDA_BF16;
    int64_t parts = library ? 1 : (INDICES + n - 1) / n;
    parts = parts > d.n ? d.n : parts;
    parts = parts > MOST_PARTS ? MOST_PARTS : parts;
    lti_cuda_call *c = lti_cuda_add(b, LTC_K_conv_dw, parts * n);
    c->kind = library ? LTI_CALL_CONV : LTI_CALL_KERNEL;
    const size_t at = lti_cuda_scratch(b, parts * n, sizeof(float));
    lti_cuda_arg(b, c, 0, 0);
    lti_cuda_arg(b, c, 1, 1);
    lti_cuda_at(c, 2, LTI_FROM_SCRATCH, at, bf16);
    lti_cuda_at(c, 3, LTI_FROM_SCRATCH, lti_cuda_scratch(b, (int64_t)workspace, 1), false);
    put_dims(b, &d, &c->args);
    c->args.d[12] = (int32_t)parts;
    finish_dw(b, &d, at, bf16, parts);
    return LT_OK;
}
