// export_onnx.c - an integer network as an ONNX model with QuantizeLinear/DequantizeLinear pairs [QAT 7.4].
//
// Weights are the integers themselves (odd ones for the midrise grid) as INT8 with zero point 0 and a scale per output
// channel into which batch norm is folded; UINT4 with a zero point could not hold levels half-way between integers.
// Activations are UINT8 behind a Clip to their own number of bits. QuantizeLinear rounds halves to even, the integer
// network rounds them up: codes can differ on exact halves only.
#include "io/onnx.h"
#include "quant/intnet_impl.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void put_scalar(lti_onnx *w, const char *name, int type, const void *value)
{
    lti_onnx_put_tensor(w, name, type, NULL, 0, value, type == LTI_ONNX_FLOAT ? 4 : 1);
}

// ---- layers

static const char *tensor_name(int i, char out[32])
{
    snprintf(out, 32, "t%d", i);
    return out;
}

// Weights of a term as INT8 (k,c,r,s), signs of negative factors inside, and their DequantizeLinear.
static lt_status put_weights(lti_onnx *w, const lti_int_term *t, const lt_int_net *net, const char *name)
{
    const lti_int_weights *q = t->weights;
    const int64_t n = q->r * q->s * q->c, dim[] = {q->k, q->c, q->r, q->s};
    int8_t *v = lti_malloc((size_t)(q->k * n)), *zero = lti_calloc((size_t)q->k, 1);
    float *scale = lti_malloc((size_t)q->k * sizeof *scale);
    if (q->largest > 127 || !v || !zero || !scale) {
        lti_free(v), lti_free(zero), lti_free(scale);
        return q->largest > 127 ? LT_FAIL(LT_E_UNSUPPORTED, "ONNX: %s: integers beyond INT8", q->name)
                                : LTI_NOMEM("weights");
    }
    for (int64_t k = 0; k < q->k; k++) {
        const double f = t->real[k] / net->tensor[t->source].scale;
        scale[k] = f == 0 ? 1e-30f : (float)fabs(f);
        int64_t i = k * n;
        for (int64_t r = 0; r < q->r; r++)
            for (int64_t s = 0; s < q->s; s++)
                for (int64_t c = 0; c < q->c; c++, i++)
                    v[((k * q->c + c) * q->r + r) * q->s + s] = (int8_t)(f < 0 ? -q->w[i] : q->w[i]);
    }
    char a[64], b[64], z[64];
    snprintf(a, sizeof a, "%.48s_q", name);
    snprintf(b, sizeof b, "%.48s_scale", name);
    snprintf(z, sizeof z, "%.48s_zero", name);
    lti_onnx_put_tensor(w, a, LTI_ONNX_INT8, dim, 4, v, (size_t)(q->k * n));
    lti_onnx_put_tensor(w, b, LTI_ONNX_FLOAT, dim, 1, scale, (size_t)q->k * sizeof *scale);
    lti_onnx_put_tensor(w, z, LTI_ONNX_INT8, dim, 1, zero, (size_t)q->k);
    LTI_ONNX_NODE(w, "DequantizeLinear", name, ((lti_onnx_attr[]){LTI_ONNX_INT("axis", 0), {0}}), a, b, z);
    lti_free(v), lti_free(zero), lti_free(scale);
    return LT_OK;
}

static void put_identity(lti_onnx *w, const lti_int_term *t, const lt_int_net *net, int64_t k, const char *name,
                         const char *source)
{
    char f[48];
    float *factor = lti_malloc((size_t)k * sizeof *factor);
    const int64_t dim[] = {1, k, 1, 1};
    snprintf(f, sizeof f, "%s_factor", name);
    for (int64_t i = 0; i < k && factor; i++)
        factor[i] = (float)(t->real[i] / net->tensor[t->source].scale);
    if (!factor)
        w->graph.failed = true;
    else
        lti_onnx_put_tensor(w, f, LTI_ONNX_FLOAT, dim, 4, factor, (size_t)k * sizeof *factor);
    lti_free(factor);
    LTI_ONNX_NODE(w, "Mul", name, NULL, source, f);
}

static lt_status put_term(lti_onnx *w, const lt_int_net *net, int i, int j, char out[48])
{
    const lti_int_layer *l = &net->layer[i];
    const lti_int_term *t = &l->term[j];
    char source[32], weights[48], bias[48];
    tensor_name(t->source, source);
    snprintf(out, 48, "l%d_%d", i, j);
    if (!t->weights) {
        put_identity(w, t, net, l->k, out, source);
        return LT_OK;
    }
    snprintf(weights, sizeof weights, "w%d_%d", i, j);
    snprintf(bias, sizeof bias, "b%d", i);
    LT_TRY(put_weights(w, t, net, weights));
    const lti_onnx_attr attr[] = {LTI_ONNX_INTS("kernel_shape", 2, t->weights->r, t->weights->s),
                                  LTI_ONNX_INTS("strides", 2, t->stride, t->stride),
                                  LTI_ONNX_INTS("pads", 4, t->pad, t->pad, t->pad, t->pad),
                                  {0}};
    if (j == 0)
        LTI_ONNX_NODE(w, "Conv", out, attr, source, weights, bias);
    else
        LTI_ONNX_NODE(w, "Conv", out, attr, source, weights);
    return LT_OK;
}

// Offsets go into the first term, which is a convolution in every network here.
static lt_status put_affine(lti_onnx *w, const lt_int_net *net, int i)
{
    const lti_int_layer *l = &net->layer[i];
    char sum[48], name[48], next[48];
    if (!l->term[0].weights)
        return LT_FAIL(LT_E_UNSUPPORTED, "ONNX: a layer without a convolution");
    float *bias = lti_malloc((size_t)l->k * sizeof *bias);
    if (!bias)
        return LTI_NOMEM("offsets");
    for (int64_t k = 0; k < l->k; k++)
        bias[k] = (float)l->real_add[k];
    snprintf(name, sizeof name, "b%d", i);
    lti_onnx_put_tensor(w, name, LTI_ONNX_FLOAT, &l->k, 1, bias, (size_t)l->k * sizeof *bias);
    lti_free(bias);
    LT_TRY(put_term(w, net, i, 0, sum));
    for (int j = 1; j < l->n_terms; j++) {
        LT_TRY(put_term(w, net, i, j, name));
        snprintf(next, sizeof next, "s%d_%d", i, j);
        LTI_ONNX_NODE(w, "Add", next, NULL, sum, name);
        snprintf(sum, sizeof sum, "%s", next);
    }
    if (l->kind == LTI_INT_LOGITS) {
        LTI_ONNX_NODE(w, "Flatten", "logits", ((lti_onnx_attr[]){LTI_ONNX_INT("axis", 1), {0}}), sum);
        return LT_OK;
    }
    char low[32], high[32], scale[32], zero[32], cut[32], q[32], out[32];
    const float least = 0, unit = (float)net->tensor[l->target].scale;
    const float top = (float)((double)((1 << l->bits) - 1) * net->tensor[l->target].scale);
    const uint8_t none = 0;
    snprintf(low, sizeof low, "low%d", i), snprintf(high, sizeof high, "high%d", i);
    snprintf(scale, sizeof scale, "scale%d", i), snprintf(zero, sizeof zero, "zero%d", i);
    snprintf(cut, sizeof cut, "cut%d", i), snprintf(q, sizeof q, "q%d", i);
    put_scalar(w, low, LTI_ONNX_FLOAT, &least), put_scalar(w, high, LTI_ONNX_FLOAT, &top);
    put_scalar(w, scale, LTI_ONNX_FLOAT, &unit), put_scalar(w, zero, LTI_ONNX_UINT8, &none);
    LTI_ONNX_NODE(w, "Clip", cut, NULL, sum, low, high);
    LTI_ONNX_NODE(w, "QuantizeLinear", q, NULL, cut, scale, zero);
    LTI_ONNX_NODE(w, "DequantizeLinear", tensor_name(l->target, out), NULL, q, scale, zero);
    return LT_OK;
}

static void put_pool(lti_onnx *w, const lti_int_layer *l, const lt_int_net *net)
{
    char in[32], out[32];
    const lti_int_tensor *s = &net->tensor[l->source];
    const int64_t kh = l->kernel < s->h ? l->kernel : s->h, kw = l->kernel < s->w ? l->kernel : s->w;
    const lti_onnx_attr attr[] = {LTI_ONNX_INTS("kernel_shape", 2, kh, kw),
                                  LTI_ONNX_INTS("strides", 2, l->stride, l->stride),
                                  LTI_ONNX_INTS("pads", 4, l->pad, l->pad, l->pad, l->pad),
                                  {0}};
    LTI_ONNX_NODE(w, l->kind == LTI_INT_MAX_POOL ? "MaxPool" : "AveragePool", tensor_name(l->target, out), attr,
                  tensor_name(l->source, in));
}

// The image in [0,1]: bytes again, or what normalisation makes of it.
static void put_input(lti_onnx *w, const lt_int_net *net)
{
    const lt_model_shape *s = &net->shape;
    const int64_t dim[] = {-1, s->c, s->h, s->w}, k[] = {1, s->c, 1, 1};
    lti_onnx_put_input(w, "image", dim, 4);
    if (!net->has_lut) {
        const float scale = (float)net->tensor[0].scale;
        const uint8_t zero = 0;
        put_scalar(w, "image_scale", LTI_ONNX_FLOAT, &scale);
        put_scalar(w, "image_zero", LTI_ONNX_UINT8, &zero);
        LTI_ONNX_NODE(w, "QuantizeLinear", "image_q", NULL, "image", "image_scale", "image_zero");
        LTI_ONNX_NODE(w, "DequantizeLinear", "t0", NULL, "image_q", "image_scale", "image_zero");
        return;
    }
    float mul[3], add[3]; // from the table: value at byte p = add + mul p / 255
    for (int c = 0; c < s->c && c < 3; c++) {
        add[c] = (float)(net->lut[c * 256] * net->tensor[0].scale);
        mul[c] = (float)((net->lut[c * 256 + 255] - net->lut[c * 256]) * net->tensor[0].scale);
    }
    lti_onnx_put_tensor(w, "norm_mul", LTI_ONNX_FLOAT, k, 4, mul, (size_t)s->c * sizeof *mul);
    lti_onnx_put_tensor(w, "norm_add", LTI_ONNX_FLOAT, k, 4, add, (size_t)s->c * sizeof *add);
    LTI_ONNX_NODE(w, "Mul", "norm_scaled", NULL, "image", "norm_mul");
    LTI_ONNX_NODE(w, "Add", "t0", NULL, "norm_scaled", "norm_add");
}

lt_status lt_int_net_export_onnx(const lt_int_net *net, const char *path)
{
    if (net->has_time) {
        LT_FAIL(LT_E_UNSUPPORTED, "export: ONNX has no neurons that keep a potential from step to step");
        return lt_error_hint("--format c, or `lethe convert RUN net.nir`");
    }
    lti_onnx w = {0};
    lt_status status = LT_OK;
    put_input(&w, net);
    for (int i = 0; i < net->n_layers && status == LT_OK; i++) {
        if (net->layer[i].n_terms > 0)
            status = put_affine(&w, net, i);
        else
            put_pool(&w, &net->layer[i], net);
    }
    lti_onnx_put_output(&w, "logits", (const int64_t[]){-1, net->shape.n_classes}, 2);
    if (status == LT_OK)
        status = lti_onnx_save(&w, 13, NULL, 0, path);
    lti_onnx_clear(&w);
    return status;
}
