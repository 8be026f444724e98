// intnet.c - from the graph of a quantized model to layers of integers.
//
// The graph is walked once. A value is a tensor of integers with a scale, or a sum of terms (convolutions of tensors,
// or tensors themselves, with a real factor per channel) plus an offset; batch norm, scaling and addition change
// factors and offsets only. A sum becomes a tensor where a ReLU ends it. [QAT 7.1]
#include "quant/intnet_build.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- small things

static lt_status value_info(const lti_int_builder *b, lt_val v, lt_value_info *info)
{
    return lt_graph_value(b->graph, v, info);
}

const float *lti_int_param(const lti_int_builder *b, lt_val v)
{
    lt_value_info info;
    if (v == LT_NONE || value_info(b, v, &info) != LT_OK)
        return NULL;
    return (info.role == LT_ROLE_STATE ? b->model->state : b->model->params) + info.slab_offset;
}

void *lti_int_alloc(lti_int_builder *b, int64_t n, size_t size)
{
    return lti_arena_alloc(&b->net->arena, (size_t)n * size);
}

int lti_int_new_tensor(lti_int_builder *b, lti_int_type type, const lti_int_value *v, double scale, int32_t largest)
{
    static const int64_t size[] = {1, 2, 4};
    lt_int_net *net = b->net;
    net->tensor[net->n_tensors] = (lti_int_tensor){.type = type,
                                                   .h = v->h,
                                                   .w = v->w,
                                                   .c = v->k,
                                                   .scale = scale,
                                                   .largest = largest,
                                                   .bytes = v->h * v->w * v->k * size[type]};
    return net->n_tensors++;
}

lt_status lti_int_unsupported(const lt_node *n)
{
    return LT_FAIL(LT_E_UNSUPPORTED, "integer network: the op %s has no integer form here", n->op->name);
}

// ---- weights

static const lti_qtensor *quantized(const lti_int_builder *b, int64_t from)
{
    for (int j = 0; j < b->quant->n_tensors; j++)
        if (b->quant->tensor[j].from == from)
            return &b->quant->tensor[j];
    return NULL;
}

// Where weight (k,r,s,c) lies in the tensor of the model, (K,C,R,S); linear layers read what was (C,H,W).
static int64_t model_index(const lti_int_weights *w, int64_t k, int64_t r, int64_t s, int64_t c)
{
    return ((k * w->c + c) * w->r + r) * w->s + s;
}

static lti_int_weights *new_weights(lti_int_builder *b, const lt_value_info *info, int64_t r, int64_t s, int64_t c)
{
    lti_int_weights *w = lti_int_alloc(b, 1, sizeof *w);
    if (!w)
        return NULL;
    *w = (lti_int_weights){.name = lti_arena_strdup(&b->net->arena, info->name),
                           .k = info->shape.dim[0],
                           .r = r,
                           .s = s,
                           .c = c,
                           .bits = 8,
                           .values = b->model->params + info->slab_offset};
    w->w = lti_int_alloc(b, w->k * r * s * c, sizeof *w->w);
    return w->w && w->name ? w : NULL;
}

// Integers in the order in which matrix products read them.
static lt_status pad_rows(lti_int_builder *b, lti_int_weights *w)
{
    const int64_t n = w->r * w->s * w->c;
    w->largest = 0;
    for (int64_t i = 0; i < w->k * n; i++)
        w->largest = abs(w->w[i]) > w->largest ? abs(w->w[i]) : w->largest;
    w->kp = (n + 3) / 4 * 4;
    if (w->largest > 127)
        return LT_OK;
    const int64_t blocks = (w->k + LTI_INT_LANES - 1) / LTI_INT_LANES;
    int8_t *rows = lti_calloc((size_t)(w->k * w->kp), 1);
    w->w8 = lti_int_alloc(b, blocks * LTI_INT_LANES * w->kp, 1);
    if (rows && w->w8) {
        for (int64_t k = 0; k < w->k; k++)
            for (int64_t i = 0; i < n; i++)
                rows[k * w->kp + i] = (int8_t)w->w[k * n + i];
        lti_int_layout(rows, w->k, w->kp, w->w8);
    }
    const lt_status status = rows && w->w8 ? LT_OK : LTI_NOMEM("integer weights");
    lti_free(rows);
    return status;
}

static lt_status fill_codes(lti_int_builder *b, const lti_qtensor *t, lti_int_weights *w)
{
    const uint8_t *code = b->quant->code + t->first;
    const int top = (1 << t->bits) - 1;
    w->bits = t->bits;
    int64_t i = 0;
    for (int64_t k = 0; k < w->k; k++)
        for (int64_t r = 0; r < w->r; r++)
            for (int64_t s = 0; s < w->s; s++)
                for (int64_t c = 0; c < w->c; c++, i++) {
                    const int u = code[model_index(w, k, r, s, c)];
                    w->w[i] = (int16_t)(w->coding == LTI_INT_MIDRISE    ? 2 * u - top
                                        : w->coding == LTI_INT_MIDTREAD ? u - (top + 1) / 2
                                                                        : u >> w->bit & 1);
                }
    return pad_rows(b, w);
}

// Terms of a quantized tensor: one, or one per bit and one for the reference with learned multipliers.
static lt_status quantized_terms(lti_int_builder *b, const lti_qtensor *t, const lt_value_info *info, int64_t rsc[3],
                                 lti_int_value *v)
{
    const lti_grid *g = &b->quant->grid[t->grid];
    const bool planes = g->kind == LTI_GRID_MULTIPLIERS;
    for (int j = 0; j < (planes ? t->bits + 1 : 1); j++) {
        lti_sum_term *term = &v->term[v->n_terms++];
        lti_int_weights *w = new_weights(b, info, rsc[0], rsc[1], rsc[2]);
        term->factor = lti_int_alloc(b, v->k, sizeof *term->factor);
        if (!w || !term->factor)
            return LTI_NOMEM("integer weights");
        w->bit = j;
        w->coding = !planes       ? (g->kind == LTI_GRID_MIDRISE ? LTI_INT_MIDRISE : LTI_INT_MIDTREAD)
                    : j < t->bits ? LTI_INT_BIT
                                  : LTI_INT_ONES;
        term->weights = w;
        if (w->coding == LTI_INT_ONES) {
            for (int64_t i = 0; i < w->k * rsc[0] * rsc[1] * rsc[2]; i++)
                w->w[i] = 1;
            LT_TRY(pad_rows(b, w));
        } else {
            LT_TRY(fill_codes(b, t, w));
        }
        for (int64_t k = 0; k < v->k; k++) {
            const lti_grid *gk = &b->quant->grid[t->grid + (int)(t->n_grids > 1 ? k : 0)];
            term->factor[k] = planes ? (j < t->bits ? (double)gk->gain[j] : -(double)gk->gain[t->bits])
                              : w->coding == LTI_INT_MIDRISE ? (double)gk->step / 2
                                                             : (double)gk->step;
        }
    }
    return LT_OK;
}

// A layer that stayed float: 8 bits, symmetric, a scale per output channel.
static lt_status float_term(lti_int_builder *b, const lt_value_info *info, int64_t rsc[3], lti_int_value *v)
{
    lti_sum_term *term = &v->term[v->n_terms++];
    lti_int_weights *w = term->weights = new_weights(b, info, rsc[0], rsc[1], rsc[2]);
    term->factor = lti_int_alloc(b, v->k, sizeof *term->factor);
    if (!w || !term->factor)
        return LTI_NOMEM("integer weights");
    w->coding = LTI_INT_SIGNED8;
    const int64_t n = rsc[0] * rsc[1] * rsc[2];
    for (int64_t k = 0; k < w->k; k++) {
        float most = 0;
        for (int64_t i = 0; i < n; i++)
            most = fabsf(w->values[k * n + i]) > most ? fabsf(w->values[k * n + i]) : most;
        term->factor[k] = most > 0 ? (double)most / 127 : 1;
        int64_t i = k * n;
        for (int64_t r = 0; r < w->r; r++)
            for (int64_t s = 0; s < w->s; s++)
                for (int64_t c = 0; c < w->c; c++, i++)
                    w->w[i] = (int16_t)lrint((double)w->values[model_index(w, k, r, s, c)] / term->factor[k]);
    }
    return pad_rows(b, w);
}

// ---- sums and tensors

static lt_status alloc_tables(lti_int_builder *b, lti_int_layer *l, const lti_int_value *v)
{
    const int64_t n = l->table_steps * v->k;
    l->add = lti_int_alloc(b, n, sizeof *l->add);
    l->real_add = lti_int_alloc(b, v->k, sizeof *l->real_add);
    for (int j = 0; j < v->n_terms; j++) {
        l->term[j] = (lti_int_term){.source = v->term[j].source,
                                    .weights = v->term[j].weights,
                                    .stride = v->term[j].stride,
                                    .pad = v->term[j].pad,
                                    .mul = lti_int_alloc(b, n, sizeof *l->term[j].mul),
                                    .real = v->term[j].factor};
        if (!l->term[j].mul)
            return LTI_NOMEM("tables of a layer");
    }
    return l->add && l->real_add ? LT_OK : LTI_NOMEM("tables of a layer");
}

// The shift that puts the largest factor into 31 bits; offsets, added up over the steps, stay below 2^60.
static int shift_of(const lti_int_builder *b, const lti_int_value *v, double unit)
{
    double most = 0, most_add = 0, most_step = v->by_step ? 0 : 1;
    for (int t = 0; v->by_step && t < b->net->n_steps; t++)
        most_step = fmax(most_step, fabs((double)v->by_step[t]));
    for (int j = 0; j < v->n_terms; j++)
        for (int64_t k = 0; k < v->k; k++)
            most = fmax(most, most_step * fabs(v->term[j].factor[k] / unit));
    for (int64_t k = 0; k < v->k; k++)
        most_add = fmax(most_add, most_step * fabs(v->offset[k] / unit));
    int shift = 30 - (int)floor(log2(most > 0 ? most : 1));
    shift = shift > 46 ? 46 : shift < 1 ? 1 : shift;
    while (shift > 1 && most_add * b->net->n_steps * ldexp(1, shift) > ldexp(1, 60))
        shift--;
    return shift;
}

lt_status lti_int_settle(lti_int_builder *b, lti_int_layer *l, const lti_int_value *v, double unit)
{
    l->n_terms = v->n_terms;
    l->k = v->k;
    l->h = v->h;
    l->w = v->w;
    l->table_steps = v->by_step ? b->net->n_steps : 1;
    LT_TRY(alloc_tables(b, l, v));
    l->shift = shift_of(b, v, unit);
    for (int t = 0; t < l->table_steps; t++) {
        const double at_step = (v->by_step ? (double)v->by_step[t] : 1) / unit;
        for (int64_t k = 0; k < v->k; k++) {
            for (int j = 0; j < v->n_terms; j++) {
                const int64_t m = llrint(ldexp(v->term[j].factor[k] * at_step, l->shift));
                l->term[j].mul[t * v->k + k] = (int32_t)(m > INT32_MAX ? INT32_MAX : m < -INT32_MAX ? -INT32_MAX : m);
            }
            l->add[t * v->k + k] = llrint(ldexp(v->offset[k] * at_step, l->shift));
        }
    }
    for (int64_t k = 0; k < v->k; k++)
        l->real_add[k] = v->offset[k];
    return LT_OK;
}

lti_int_layer *lti_int_new_layer(lti_int_builder *b, lti_int_kind kind)
{
    lti_int_layer *l = &b->net->layer[b->net->n_layers++];
    *l = (lti_int_layer){.kind = kind, .target = -1, .source = -1, .state = -1, .table_steps = 1, .once = b->once};
    snprintf(l->name, sizeof l->name, "%s", b->label ? b->label : "");
    return l;
}

// A sum behind a ReLU becomes a tensor of `bits` bits and this scale.
static lt_status materialize(lti_int_builder *b, lti_int_value *v, double scale, int bits)
{
    if (!v->is_sum || !v->relu)
        return LT_FAIL(LT_E_UNSUPPORTED, "integer network: expected a ReLU in front of a layer that reads integers");
    lti_int_layer *l = lti_int_new_layer(b, LTI_INT_AFFINE);
    LT_TRY(lti_int_settle(b, l, v, scale));
    lti_int_round_up_halves(l);
    l->bits = bits;
    l->target = lti_int_new_tensor(b, LTI_INT_U8, v, scale, (1 << bits) - 1);
    v->tensor = l->target;
    return LT_OK;
}

lt_status lti_int_as_tensor(lti_int_builder *b, lt_val id, lti_int_value **v)
{
    *v = &b->value[id];
    if ((*v)->tensor >= 0)
        return LT_OK;
    if (b->net->has_time && lti_int_is_whole(*v))
        return lti_int_materialize_whole(b, *v);
    const double most = (double)b->largest[id];
    return materialize(b, *v, (most > 0 ? most : 1) / 255, 8);
}

// The value as a sum: a tensor is one term with its scale.
lt_status lti_int_as_sum(lti_int_builder *b, lt_val id, lti_int_value *out)
{
    const lti_int_value *v = &b->value[id];
    if (v->is_sum && v->tensor < 0 && !v->relu) {
        *out = *v;
        return LT_OK;
    }
    lti_int_value *t = NULL;
    LT_TRY(lti_int_as_tensor(b, id, &t));
    if (t->pad > 0)
        return LT_FAIL(LT_E_UNSUPPORTED, "integer network: padding in front of a sum");
    *out = (lti_int_value){.tensor = -1, .is_sum = true, .n_terms = 1, .k = t->k, .h = t->h, .w = t->w};
    out->term[0] = (lti_sum_term){.source = t->tensor, .stride = 1, .factor = lti_int_alloc(b, t->k, sizeof(double))};
    out->offset = lti_int_alloc(b, t->k, sizeof(double));
    if (!out->offset || !out->term[0].factor)
        return LTI_NOMEM("factors");
    for (int64_t k = 0; k < t->k; k++)
        out->term[0].factor[k] = b->net->tensor[t->tensor].scale;
    return LT_OK;
}

// ---- ops

static lt_status walk_weights(lti_int_builder *b, const lt_node *n)
{
    const bool conv = n->op == &lt_op_conv2d;
    lti_int_value *x = NULL, *y = &b->value[n->out[0]];
    lt_value_info w;
    LT_TRY(value_info(b, n->in[1], &w));
    b->label = w.name;
    LT_TRY(lti_int_as_tensor(b, n->in[0], &x));
    const int64_t r = conv ? w.shape.dim[2] : x->h, s = conv ? w.shape.dim[3] : x->w;
    *y = (lti_int_value){.tensor = -1, .is_sum = true, .k = w.shape.dim[0], .h = 1, .w = 1};
    if (conv) {
        y->h = (x->h + 2 * (n->attr.pad + x->pad) - r) / n->attr.stride + 1;
        y->w = (x->w + 2 * (n->attr.pad + x->pad) - s) / n->attr.stride + 1;
    }
    y->offset = lti_int_alloc(b, y->k, sizeof *y->offset);
    if (!y->offset)
        return LTI_NOMEM("factors");
    if (conv && n->attr.dilation > 1)
        return LT_FAIL(LT_E_UNSUPPORTED, "%s: integer networks have no dilated convolutions, found a dilation of %d",
                       w.name, (int)n->attr.dilation);
    const lti_qtensor *t = quantized(b, w.slab_offset);
    int64_t rsc[3] = {r, s, x->k};
    LT_TRY(t ? quantized_terms(b, t, &w, rsc, y) : float_term(b, &w, rsc, y));
    const double scale = b->net->tensor[x->tensor].scale;
    for (int j = 0; j < y->n_terms; j++) {
        y->term[j].source = x->tensor;
        y->term[j].stride = conv ? n->attr.stride : 1;
        y->term[j].pad = conv ? n->attr.pad + x->pad : 0;
        for (int64_t k = 0; k < y->k; k++)
            y->term[j].factor[k] *= scale;
    }
    const float *bias = n->n_in > 2 ? lti_int_param(b, n->in[2]) : NULL;
    for (int64_t k = 0; k < y->k && bias; k++)
        y->offset[k] = (double)bias[k];
    return LT_OK;
}

static lt_status walk_bn(lti_int_builder *b, const lt_node *n)
{
    lti_int_value *y = &b->value[n->out[0]];
    LT_TRY(lti_int_as_sum(b, n->in[0], y));
    if (y->by_step)
        return lti_int_unsupported(n);
    const float *gamma = lti_int_param(b, n->in[1]), *beta = lti_int_param(b, n->in[2]),
                *mean = lti_int_param(b, n->in[3]), *var = lti_int_param(b, n->in[4]);
    for (int64_t k = 0; k < y->k; k++) {
        const double a = (double)gamma[k] / sqrt((double)var[k] + (double)n->attr.eps);
        for (int j = 0; j < y->n_terms; j++)
            y->term[j].factor[k] *= a;
        y->offset[k] = (y->offset[k] - (double)mean[k]) * a + (double)beta[k];
    }
    return LT_OK;
}

static void scale_sum(lti_int_value *y, double a)
{
    for (int64_t k = 0; k < y->k; k++) {
        for (int j = 0; j < y->n_terms; j++)
            y->term[j].factor[k] *= a;
        y->offset[k] *= a;
    }
}

static lt_status walk_add(lti_int_builder *b, const lt_node *n)
{
    lti_int_value *y = &b->value[n->out[0]], a, c;
    LT_TRY(lti_int_as_sum(b, n->in[0], &a));
    LT_TRY(lti_int_as_sum(b, n->in[1], &c));
    if (a.by_step || c.by_step)
        return lti_int_unsupported(n);
    if (a.n_terms + c.n_terms > LTI_INT_MAX_TERMS)
        return LT_FAIL(LT_E_UNSUPPORTED, "integer network: a sum of more than %d terms", LTI_INT_MAX_TERMS);
    for (int j = 0; j < c.n_terms; j++)
        a.term[a.n_terms++] = c.term[j];
    for (int64_t k = 0; k < a.k; k++)
        a.offset[k] += c.offset[k];
    scale_sum(&a, (double)n->attr.alpha);
    *y = a;
    return LT_OK;
}

static lt_status walk_pool(lti_int_builder *b, const lt_node *n)
{
    lti_int_value *x = NULL, *y = &b->value[n->out[0]];
    if (b->net->has_time)
        LT_TRY(lti_int_as_current(b, n->in[0], &x));
    else
        LT_TRY(lti_int_as_tensor(b, n->in[0], &x));
    const int pad = n->attr.pad + x->pad;
    const bool most = n->op == &lt_op_max_pool, global = n->op == &lt_op_global_avg_pool;
    const int kernel = global ? (int)(x->h > x->w ? x->h : x->w) : n->attr.kernel,
              stride = global ? kernel : n->attr.stride;
    *y = (lti_int_value){.tensor = -1, .k = x->k};
    y->h = global ? 1 : (x->h + 2 * pad - kernel) / stride + 1;
    y->w = global ? 1 : (x->w + 2 * pad - kernel) / stride + 1;
    lti_int_layer *l = lti_int_new_layer(b, most ? LTI_INT_MAX_POOL : LTI_INT_SUM_POOL);
    const lti_int_tensor *t = &b->net->tensor[x->tensor];
    const int64_t window = global ? x->h * x->w : (int64_t)kernel * kernel;
    l->source = x->tensor;
    l->kernel = kernel;
    l->stride = stride;
    l->pad = pad;
    l->k = y->k;
    l->h = y->h;
    l->w = y->w;
    snprintf(l->name, sizeof l->name, "%s", n->op->name);
    const lti_int_tensor source = *t;
    l->target =
        lti_int_new_tensor(b, most ? source.type : LTI_INT_I32, y, most ? source.scale : source.scale / (double)window,
                           most ? source.largest : (int32_t)(source.largest * window));
    y->tensor = l->target;
    return LT_OK;
}

// Zeros around a tensor of integers: they are part of the layer that reads it. Behind a ReLU they are also what a
// largest value leaves out.
static lt_status walk_pad(lti_int_builder *b, const lt_node *n)
{
    lti_int_value *x = NULL;
    if (n->attr.pad_mode != LT_PAD_ZERO)
        return lti_int_unsupported(n);
    LT_TRY(lti_int_as_tensor(b, n->in[0], &x));
    b->value[n->out[0]] = *x;
    b->value[n->out[0]].pad += n->attr.pad;
    return LT_OK;
}

// A tensor under another shape: linear layers read (H,W,C) windows, so it keeps its own.
static lt_status walk_reshape(lti_int_builder *b, const lt_node *n)
{
    lti_int_value *x = NULL;
    LT_TRY(lti_int_as_tensor(b, n->in[0], &x));
    b->value[n->out[0]] = *x;
    return LT_OK;
}

static lt_status walk_relu(lti_int_builder *b, const lt_node *n)
{
    lti_int_value *y = &b->value[n->out[0]];
    LT_TRY(lti_int_as_sum(b, n->in[0], y));
    y->relu = true;
    return LT_OK;
}

static lt_status walk_act_quant(lti_int_builder *b, const lt_node *n)
{
    const double top = (double)((1 << n->attr.bits) - 1), step = (double)*lti_int_param(b, n->in[1]);
    lti_int_value *x = &b->value[n->in[0]];
    if (x->tensor >= 0 || n->attr.bits > 8)
        return LT_FAIL(LT_E_UNSUPPORTED, "integer network: activations of more than 8 bits, or rounded twice");
    LT_TRY(materialize(b, x, n->attr.rule == LT_ACT_RULE_PACT ? step / top : step, n->attr.bits));
    b->value[n->out[0]] = *x;
    return LT_OK;
}

// The image: bytes as they are, or a table of what normalisation makes of each, in 14 bits.
static lt_status walk_input(lti_int_builder *b, const lt_node *n)
{
    lt_int_net *net = b->net;
    lti_int_value v = {.tensor = -1, .k = b->model->shape.c, .h = b->model->shape.h, .w = b->model->shape.w};
    if (!n) {
        v.tensor = lti_int_new_tensor(b, LTI_INT_U8, &v, 1.0 / 255, 255);
        b->value[b->model->x] = v;
        return LT_OK;
    }
    enum { TOP = 8191 };
    double most = 0;
    if (v.k > 3)
        return LT_FAIL(LT_E_UNSUPPORTED, "integer network: expected at most 3 normalised channels, found %lld",
                       (long long)v.k);
    for (int c = 0; c < v.k; c++)
        for (int p = 0; p < 256; p += 255)
            most = fmax(most, fabs(((double)p / 255 - (double)n->attr.mean[c]) * (double)n->attr.istd[c]));
    for (int c = 0; c < v.k; c++)
        for (int p = 0; p < 256; p++)
            net->lut[c * 256 + p] =
                (int16_t)lrint(((double)p / 255 - (double)n->attr.mean[c]) * (double)n->attr.istd[c] / most * TOP);
    net->has_lut = true;
    net->tensor[b->value[b->model->x].tensor].type = LTI_INT_I16;
    net->tensor[b->value[b->model->x].tensor].bytes *= 2;
    net->tensor[b->value[b->model->x].tensor].scale = most / TOP;
    net->tensor[b->value[b->model->x].tensor].largest = TOP;
    b->value[n->out[0]] = b->value[b->model->x];
    return LT_OK;
}

static lt_status walk_node(lti_int_builder *b, const lt_node *n)
{
    const lt_op *op = n->op;
    bool of_time = false;
    if (b->net->n_layers >= LTI_INT_MAX_LAYERS - 2 || b->net->n_tensors >= LTI_INT_MAX_TENSORS - 2)
        return LT_FAIL(LT_E_UNSUPPORTED, "integer network: more than %d layers", LTI_INT_MAX_LAYERS - 2);
    if (b->net->has_time)
        LT_TRY(lti_int_walk_time(b, n, &of_time));
    if (of_time)
        return LT_OK;
    if (op == &lt_op_normalize)
        return walk_input(b, n);
    if (op == &lt_op_conv2d || op == &lt_op_linear)
        return walk_weights(b, n);
    if (op == &lt_op_bn)
        return walk_bn(b, n);
    if (op == &lt_op_relu)
        return walk_relu(b, n);
    if (op == &lt_op_act_quant)
        return walk_act_quant(b, n);
    if (op == &lt_op_add)
        return walk_add(b, n);
    if (op == &lt_op_pad2d)
        return walk_pad(b, n);
    if (op == &lt_op_scale) {
        LT_TRY(lti_int_as_sum(b, n->in[0], &b->value[n->out[0]]));
        scale_sum(&b->value[n->out[0]], (double)n->attr.alpha);
        return LT_OK;
    }
    if (op == &lt_op_avg_pool || op == &lt_op_global_avg_pool || op == &lt_op_max_pool)
        return walk_pool(b, n);
    return op == &lt_op_reshape ? walk_reshape(b, n) : lti_int_unsupported(n);
}

static lt_status walk(lti_int_builder *b)
{
    LT_TRY(walk_input(b, NULL));
    for (int32_t i = 0; i < lti_graph_n_nodes(b->graph); i++)
        LT_TRY(walk_node(b, lti_graph_node(b->graph, i)));
    lti_int_value *z = &b->value[b->model->logits];
    if (b->done)
        return LT_OK;
    if (!z->is_sum || z->relu)
        return LT_FAIL(LT_E_UNSUPPORTED, "integer network: expected logits that end a linear layer");
    lti_int_layer *l = lti_int_new_layer(b, LTI_INT_LOGITS);
    return lti_int_settle(b, l, z, 1);
}

lt_status lt_int_net_create(const lt_model *model, const lt_quant *quant, const lt_dataset *ds, const lt_env *env,
                            lt_int_net **out)
{
    *out = NULL;
    if (quant->cfg.device.variability > 0)
        return LT_FAIL(LT_E_UNSUPPORTED, "integer network: the values of cells with spread are no multiples of a step");
    if (quant->cfg.device.reference_column && quant->cfg.device.fault_rate > 0)
        return LT_FAIL(LT_E_UNSUPPORTED, "integer network: a reference column moves the levels off the grid");
    lt_int_net *net = lti_calloc(1, sizeof *net);
    const size_t n_values = (size_t)lt_graph_n_values(model->graph);
    lti_int_builder b = {.net = net, .model = model, .quant = quant, .graph = model->graph};
    lt_status status = LT_OK;
    b.value = lti_calloc(n_values, sizeof *b.value);
    b.largest = lti_calloc(n_values, sizeof *b.largest);
    if (!net || !b.value || !b.largest)
        LT_TRY_GOTO(LTI_NOMEM("integer network"), done);
    for (size_t i = 0; i < n_values; i++)
        b.value[i].tensor = -1;
    net->shape = model->shape;
    net->model = model;
    net->has_time = lt_model_steps(model, NULL) > 0;
    net->n_steps = net->has_time ? lt_model_steps(model, NULL) : 1;
    net->float_bytes = (model->n_params + model->n_state) * (int64_t)sizeof(float);
    LT_TRY_GOTO(lti_int_calibrate(model, ds, env, b.largest), done);
    LT_TRY_GOTO(walk(&b), done);
    lti_int_place_tensors(net);
    *out = net;
done:
    lti_free(b.value);
    lti_free(b.largest);
    if (status != LT_OK)
        lt_int_net_destroy(net);
    return status;
}
