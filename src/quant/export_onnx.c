// export_onnx.c - an integer network as an ONNX model with QuantizeLinear/DequantizeLinear pairs [QAT 7.4].
//
// Weights are the integers themselves (odd ones for the midrise grid) as INT8 with zero point 0 and a scale per output
// channel into which batch norm is folded; UINT4 with a zero point could not hold levels half-way between integers.
// Activations are UINT8 behind a Clip to their own number of bits. QuantizeLinear rounds halves to even, the integer
// network rounds them up: codes can differ on exact halves only. The few messages of the format are written by hand
// below.
#include "quant/intnet_impl.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- protocol buffers: a field is a key (number << 3 | kind) and its value; kind 0 varint, 2 bytes, 5 four bytes

static void put_varint(lti_buf *b, uint64_t v)
{
    for (; v > 127; v >>= 7) {
        const char byte = (char)((v & 127) | 128);
        lti_buf_add(b, &byte, 1);
    }
    const char byte = (char)v;
    lti_buf_add(b, &byte, 1);
}

static void put_int(lti_buf *b, int field, int64_t v)
{
    put_varint(b, (uint64_t)field << 3);
    put_varint(b, (uint64_t)v);
}

static void put_bytes(lti_buf *b, int field, const void *data, size_t n)
{
    put_varint(b, (uint64_t)field << 3 | 2);
    put_varint(b, n);
    lti_buf_add(b, data, n);
}

static void put_text(lti_buf *b, int field, const char *text)
{
    put_bytes(b, field, text, strlen(text));
}

static void put_message(lti_buf *b, int field, lti_buf *message)
{
    if (message->failed)
        b->failed = true;
    put_bytes(b, field, message->data ? message->data : "", message->n);
    lti_buf_clear(message);
}

// ---- messages of onnx.proto: field numbers as published

enum { FLOAT = 1, UINT8 = 2, INT8 = 3, ATTR_INT = 2, ATTR_INTS = 7 };

typedef struct writer {
    lti_buf graph;
    int n_names;
} writer;

static void put_tensor(writer *w, const char *name, int type, const int64_t *dim, int n_dims, const void *data,
                       size_t bytes)
{
    lti_buf t = {0};
    for (int i = 0; i < n_dims; i++)
        put_int(&t, 1, dim[i]);
    put_int(&t, 2, type);
    put_text(&t, 8, name);
    put_bytes(&t, 9, data, bytes);
    put_message(&w->graph, 5, &t);
}

static void put_scalar(writer *w, const char *name, int type, const void *value)
{
    put_tensor(w, name, type, NULL, 0, value, type == FLOAT ? 4 : 1);
}

typedef struct attribute {
    const char *name;
    int64_t value[4];
    int n; // 0 = one integer, otherwise a list
} attribute;

static void put_node(writer *w, const char *op, const char *const *in, const char *out, const attribute *attr)
{
    lti_buf n = {0};
    for (; *in; in++)
        put_text(&n, 1, *in);
    put_text(&n, 2, out);
    put_text(&n, 3, out);
    put_text(&n, 4, op);
    for (; attr && attr->name; attr++) {
        lti_buf a = {0};
        put_text(&a, 1, attr->name);
        if (attr->n == 0)
            put_int(&a, 3, attr->value[0]);
        for (int i = 0; i < attr->n; i++)
            put_int(&a, 8, attr->value[i]);
        put_int(&a, 20, attr->n ? ATTR_INTS : ATTR_INT);
        put_message(&n, 5, &a);
    }
    put_message(&w->graph, 1, &n);
}
#define NODE(w, op, out, attr, ...) put_node(w, op, (const char *const[]){__VA_ARGS__, NULL}, out, attr)

static void put_value_info(writer *w, int field, const char *name, const int64_t *dim, int n_dims)
{
    lti_buf info = {0}, type = {0}, tensor = {0}, shape = {0};
    put_int(&tensor, 1, FLOAT);
    for (int i = 0; i < n_dims; i++) {
        lti_buf d = {0};
        if (dim[i] < 0)
            put_text(&d, 2, "N");
        else
            put_int(&d, 1, dim[i]);
        put_message(&shape, 1, &d);
    }
    put_message(&tensor, 2, &shape);
    put_message(&type, 1, &tensor);
    put_text(&info, 1, name);
    put_message(&info, 2, &type);
    put_message(&w->graph, field, &info);
}

// ---- layers

static const char *tensor_name(int i, char out[32])
{
    snprintf(out, 32, "t%d", i);
    return out;
}

// Weights of a term as INT8 (k,c,r,s), signs of negative factors inside, and their DequantizeLinear.
static lt_status put_weights(writer *w, const lti_int_term *t, const lt_int_net *net, const char *name)
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
    put_tensor(w, a, INT8, dim, 4, v, (size_t)(q->k * n));
    put_tensor(w, b, FLOAT, dim, 1, scale, (size_t)q->k * sizeof *scale);
    put_tensor(w, z, INT8, dim, 1, zero, (size_t)q->k);
    NODE(w, "DequantizeLinear", name, ((attribute[]){{"axis", {0}, 0}, {0}}), a, b, z);
    lti_free(v), lti_free(zero), lti_free(scale);
    return LT_OK;
}

static void put_identity(writer *w, const lti_int_term *t, const lt_int_net *net, int64_t k, const char *name,
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
        put_tensor(w, f, FLOAT, dim, 4, factor, (size_t)k * sizeof *factor);
    lti_free(factor);
    NODE(w, "Mul", name, NULL, source, f);
}

static lt_status put_term(writer *w, const lt_int_net *net, int i, int j, char out[48])
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
    const attribute attr[] = {{"kernel_shape", {t->weights->r, t->weights->s}, 2},
                              {"strides", {t->stride, t->stride}, 2},
                              {"pads", {t->pad, t->pad, t->pad, t->pad}, 4},
                              {0}};
    if (j == 0)
        NODE(w, "Conv", out, attr, source, weights, bias);
    else
        NODE(w, "Conv", out, attr, source, weights);
    return LT_OK;
}

// Offsets go into the first term, which is a convolution in every network here.
static lt_status put_affine(writer *w, const lt_int_net *net, int i)
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
    put_tensor(w, name, FLOAT, &l->k, 1, bias, (size_t)l->k * sizeof *bias);
    lti_free(bias);
    LT_TRY(put_term(w, net, i, 0, sum));
    for (int j = 1; j < l->n_terms; j++) {
        LT_TRY(put_term(w, net, i, j, name));
        snprintf(next, sizeof next, "s%d_%d", i, j);
        NODE(w, "Add", next, NULL, sum, name);
        snprintf(sum, sizeof sum, "%s", next);
    }
    if (l->kind == LTI_INT_LOGITS) {
        NODE(w, "Flatten", "logits", ((attribute[]){{"axis", {1}, 0}, {0}}), sum);
        return LT_OK;
    }
    char low[32], high[32], scale[32], zero[32], cut[32], q[32], out[32];
    const float least = 0, unit = (float)net->tensor[l->target].scale;
    const float top = (float)((double)((1 << l->bits) - 1) * net->tensor[l->target].scale);
    const uint8_t none = 0;
    snprintf(low, sizeof low, "low%d", i), snprintf(high, sizeof high, "high%d", i);
    snprintf(scale, sizeof scale, "scale%d", i), snprintf(zero, sizeof zero, "zero%d", i);
    snprintf(cut, sizeof cut, "cut%d", i), snprintf(q, sizeof q, "q%d", i);
    put_scalar(w, low, FLOAT, &least), put_scalar(w, high, FLOAT, &top);
    put_scalar(w, scale, FLOAT, &unit), put_scalar(w, zero, UINT8, &none);
    NODE(w, "Clip", cut, NULL, sum, low, high);
    NODE(w, "QuantizeLinear", q, NULL, cut, scale, zero);
    NODE(w, "DequantizeLinear", tensor_name(l->target, out), NULL, q, scale, zero);
    return LT_OK;
}

static void put_pool(writer *w, const lti_int_layer *l, const lt_int_net *net)
{
    char in[32], out[32];
    const lti_int_tensor *s = &net->tensor[l->source];
    const int64_t kh = l->kernel < s->h ? l->kernel : s->h, kw = l->kernel < s->w ? l->kernel : s->w;
    const attribute attr[] = {{"kernel_shape", {kh, kw}, 2},
                              {"strides", {l->stride, l->stride}, 2},
                              {"pads", {l->pad, l->pad, l->pad, l->pad}, 4},
                              {0}};
    NODE(w, l->kind == LTI_INT_MAX_POOL ? "MaxPool" : "AveragePool", tensor_name(l->target, out), attr,
         tensor_name(l->source, in));
}

// The image in [0,1]: bytes again, or what normalisation makes of it.
static void put_input(writer *w, const lt_int_net *net)
{
    const lt_model_shape *s = &net->shape;
    const int64_t dim[] = {-1, s->c, s->h, s->w}, k[] = {1, s->c, 1, 1};
    put_value_info(w, 11, "image", dim, 4);
    if (!net->has_lut) {
        const float scale = (float)net->tensor[0].scale;
        const uint8_t zero = 0;
        put_scalar(w, "image_scale", FLOAT, &scale);
        put_scalar(w, "image_zero", UINT8, &zero);
        NODE(w, "QuantizeLinear", "image_q", NULL, "image", "image_scale", "image_zero");
        NODE(w, "DequantizeLinear", "t0", NULL, "image_q", "image_scale", "image_zero");
        return;
    }
    float mul[3], add[3]; // from the table: value at byte p = add + mul p / 255
    for (int c = 0; c < s->c && c < 3; c++) {
        add[c] = (float)(net->lut[c * 256] * net->tensor[0].scale);
        mul[c] = (float)((net->lut[c * 256 + 255] - net->lut[c * 256]) * net->tensor[0].scale);
    }
    put_tensor(w, "norm_mul", FLOAT, k, 4, mul, (size_t)s->c * sizeof *mul);
    put_tensor(w, "norm_add", FLOAT, k, 4, add, (size_t)s->c * sizeof *add);
    NODE(w, "Mul", "norm_scaled", NULL, "image", "norm_mul");
    NODE(w, "Add", "t0", NULL, "norm_scaled", "norm_add");
}

lt_status lt_int_net_export_onnx(const lt_int_net *net, const char *path)
{
    if (net->has_time) {
        LT_FAIL(LT_E_UNSUPPORTED, "export: ONNX has no neurons that keep a potential from step to step");
        return lt_error_hint("--format c, or `lethe convert RUN net.nir`");
    }
    writer w = {0};
    lti_buf model = {0}, opset = {0};
    lt_status status = LT_OK;
    put_input(&w, net);
    for (int i = 0; i < net->n_layers && status == LT_OK; i++) {
        if (net->layer[i].n_terms > 0)
            status = put_affine(&w, net, i);
        else
            put_pool(&w, &net->layer[i], net);
    }
    put_text(&w.graph, 2, "lethe");
    put_value_info(&w, 12, "logits", (const int64_t[]){-1, net->shape.n_classes}, 2);
    put_int(&model, 1, 7);
    put_text(&model, 2, "lethe");
    put_message(&model, 7, &w.graph);
    put_text(&opset, 1, "");
    put_int(&opset, 2, 13);
    put_message(&model, 8, &opset);
    if (status == LT_OK)
        status = model.failed ? LTI_NOMEM("ONNX model") : lt_write_file_atomic(path, model.data, model.n);
    lti_buf_clear(&model);
    return status;
}
