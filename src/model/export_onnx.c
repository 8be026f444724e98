// export_onnx.c - a network in evaluation form as an ONNX model that other programs run and lt_model_open reads.
//
// Batch norm stays a node of its own, so that the tensors of the file are those of the model. Adding an op is one line
// of the table at the end.
#include "graph/graph_impl.h"
#include "io/onnx.h"
#include "model/model_impl.h"
#include <stdio.h>
#include <string.h>

enum { OPSET = 13, OPSET_WRAP = 19 }; // the first one whose Pad knows mode "wrap"

typedef struct writer {
    const lt_model *model;
    const lt_graph *g;
    lti_model_spec spec;
    lti_onnx onnx;
    int opset;
} writer;

typedef char value_name[LTI_NAME_MAX];

static const char *name_value(const writer *w, lt_val v, value_name out)
{
    const lti_value *value = &w->g->value[v];
    if (v == w->model->x)
        snprintf(out, sizeof(value_name), "image");
    else if (v == w->model->logits)
        snprintf(out, sizeof(value_name), "logits");
    else if (value->role == LT_ROLE_PARAM || value->role == LT_ROLE_STATE)
        snprintf(out, sizeof(value_name), "%s", value->name);
    else
        snprintf(out, sizeof(value_name), "value_%d", (int)v);
    return out;
}

// A node of ONNX that reads the first n inputs of n and makes its output.
static void put_op(writer *w, const char *op, const lt_node *n, int n_in, const lti_onnx_attr *attr)
{
    value_name names[LT_NODE_MAX_IN], out;
    const char *in[LT_NODE_MAX_IN + 1] = {NULL};
    for (int i = 0; i < n_in; i++)
        in[i] = name_value(w, n->in[i], names[i]);
    lti_onnx_put_node(&w->onnx, op, in, name_value(w, n->out[0], out), attr);
}

static void put_scalar(writer *w, const char *name, float value)
{
    lti_onnx_put_tensor(&w->onnx, name, LTI_ONNX_FLOAT, NULL, 0, &value, sizeof value);
}

// ---- ops

static lt_status write_conv(writer *w, const lt_node *n)
{
    const lt_shape *weight = &w->g->value[n->in[1]].shape;
    const lt_attr *a = &n->attr;
    const lti_onnx_attr attr[] = {LTI_ONNX_INTS("kernel_shape", 2, weight->dim[2], weight->dim[3]),
                                  LTI_ONNX_INTS("strides", 2, a->stride, a->stride),
                                  LTI_ONNX_INTS("pads", 4, a->pad, a->pad, a->pad, a->pad),
                                  LTI_ONNX_INT("group", a->groups > 1 ? a->groups : 1),
                                  LTI_ONNX_INTS(a->dilation > 1 ? "dilations" : NULL, 2, a->dilation, a->dilation),
                                  {0}}; // one without dilation ends before it
    put_op(w, "Conv", n, n->n_in, attr);
    return LT_OK;
}

static lt_status write_norm(writer *w, const lt_node *n)
{
    put_op(w, "BatchNormalization", n, 5, (lti_onnx_attr[]){LTI_ONNX_REAL("epsilon", n->attr.eps), {0}});
    return LT_OK;
}

static lt_status write_linear(writer *w, const lt_node *n)
{
    put_op(w, "Gemm", n, n->n_in, (lti_onnx_attr[]){LTI_ONNX_INT("transB", 1), {0}});
    return LT_OK;
}

static lt_status write_relu(writer *w, const lt_node *n)
{
    put_op(w, "Relu", n, 1, NULL);
    return LT_OK;
}

static lt_status write_scale(writer *w, const lt_node *n)
{
    value_name in, out, factor;
    snprintf(factor, sizeof factor, "factor_%d", (int)n->out[0]);
    put_scalar(w, factor, n->attr.alpha);
    LTI_ONNX_NODE(&w->onnx, "Mul", name_value(w, n->out[0], out), NULL, name_value(w, n->in[0], in), factor);
    return LT_OK;
}

static lt_status write_add(writer *w, const lt_node *n)
{
    if (n->attr.alpha == 1) {
        put_op(w, "Add", n, 2, NULL);
        return LT_OK;
    }
    value_name a, b, sum, out, factor;
    snprintf(sum, sizeof sum, "sum_%d", (int)n->out[0]);
    snprintf(factor, sizeof factor, "factor_%d", (int)n->out[0]);
    put_scalar(w, factor, n->attr.alpha);
    LTI_ONNX_NODE(&w->onnx, "Add", sum, NULL, name_value(w, n->in[0], a), name_value(w, n->in[1], b));
    LTI_ONNX_NODE(&w->onnx, "Mul", name_value(w, n->out[0], out), NULL, sum, factor);
    return LT_OK;
}

static lt_status write_pool(writer *w, const lt_node *n)
{
    const lt_attr *a = &n->attr;
    const lti_onnx_attr attr[] = {
        LTI_ONNX_INTS("kernel_shape", 2, a->kernel, a->kernel), LTI_ONNX_INTS("strides", 2, a->stride, a->stride), {0}};
    put_op(w, n->op == &lt_op_max_pool ? "MaxPool" : "AveragePool", n, 1, attr);
    return LT_OK;
}

static lt_status write_global_pool(writer *w, const lt_node *n)
{
    value_name in, out, mean;
    snprintf(mean, sizeof mean, "mean_%d", (int)n->out[0]);
    LTI_ONNX_NODE(&w->onnx, "GlobalAveragePool", mean, NULL, name_value(w, n->in[0], in));
    LTI_ONNX_NODE(&w->onnx, "Flatten", name_value(w, n->out[0], out), ((lti_onnx_attr[]){LTI_ONNX_INT("axis", 1), {0}}),
                  mean);
    return LT_OK;
}

static lt_status write_flatten(writer *w, const lt_node *n)
{
    if (w->g->value[n->out[0]].shape.n_dims != 2)
        return LT_FAIL(LT_E_UNSUPPORTED, "ONNX: a change of shape other than to rows");
    put_op(w, "Flatten", n, 1, (lti_onnx_attr[]){LTI_ONNX_INT("axis", 1), {0}});
    return LT_OK;
}

// Zeros around `in`: before and after every one of the four dimensions.
static void put_pad(writer *w, lt_val in, lt_val out, const int64_t pads[8], const char *mode)
{
    value_name name_in, name_out, name_pads;
    const int64_t dim = 8;
    snprintf(name_pads, sizeof name_pads, "pads_%d", (int)out);
    lti_onnx_put_tensor(&w->onnx, name_pads, LTI_ONNX_INT64, &dim, 1, pads, 8 * sizeof *pads);
    LTI_ONNX_NODE(&w->onnx, "Pad", name_value(w, out, name_out), ((lti_onnx_attr[]){LTI_ONNX_TEXT("mode", mode), {0}}),
                  name_value(w, in, name_in), name_pads);
}

static lt_status write_pad(writer *w, const lt_node *n)
{
    static const char *const mode[] = {
        [LT_PAD_ZERO] = "constant", [LT_PAD_CIRCULAR] = "wrap", [LT_PAD_REFLECT] = "reflect"};
    const int64_t p = n->attr.pad, pads[] = {0, 0, p, p, 0, 0, p, p};
    if (n->attr.pad_mode == LT_PAD_CIRCULAR)
        w->opset = OPSET_WRAP;
    put_pad(w, n->in[0], n->out[0], pads, mode[n->attr.pad_mode]);
    return LT_OK;
}

// Channels of zeros next to others are padding: a constant would need the number of samples.
static lt_status write_concat(writer *w, const lt_node *n)
{
    const lti_value *a = &w->g->value[n->in[0]], *b = &w->g->value[n->in[1]];
    const bool a_const = a->role == LT_ROLE_CONST, b_const = b->role == LT_ROLE_CONST;
    if (!a_const && !b_const) {
        put_op(w, "Concat", n, 2, (lti_onnx_attr[]){LTI_ONNX_INT("axis", 1), {0}});
        return LT_OK;
    }
    if ((a_const && b_const) || (a_const ? a->fill : b->fill) != 0)
        return LT_FAIL(LT_E_UNSUPPORTED, "ONNX: constant channels other than zeros");
    const int64_t pads[8] = {0, a_const ? a->shape.dim[1] : 0, 0, 0, 0, b_const ? b->shape.dim[1] : 0, 0, 0};
    put_pad(w, n->in[a_const], n->out[0], pads, "constant");
    return LT_OK;
}

// With the values of the spec, under the names that PyTorch users give such a layer.
static lt_status write_normalize(writer *w, const lt_node *n)
{
    value_name in, out;
    const int64_t dim[] = {1, w->model->shape.c, 1, 1};
    const size_t bytes = (size_t)dim[1] * sizeof(float);
    lti_onnx_put_tensor(&w->onnx, "normalize.mean", LTI_ONNX_FLOAT, dim, 4, w->spec.mean, bytes);
    lti_onnx_put_tensor(&w->onnx, "normalize.std", LTI_ONNX_FLOAT, dim, 4, w->spec.std, bytes);
    LTI_ONNX_NODE(&w->onnx, "Sub", "centred", NULL, name_value(w, n->in[0], in), "normalize.mean");
    LTI_ONNX_NODE(&w->onnx, "Div", name_value(w, n->out[0], out), NULL, "centred", "normalize.std");
    return LT_OK;
}

static const struct {
    const lt_op *op;
    lt_status (*write)(writer *w, const lt_node *n);
} writers[] = {{&lt_op_conv2d, write_conv},
               {&lt_op_bn, write_norm},
               {&lt_op_linear, write_linear},
               {&lt_op_relu, write_relu},
               {&lt_op_add, write_add},
               {&lt_op_scale, write_scale},
               {&lt_op_avg_pool, write_pool},
               {&lt_op_max_pool, write_pool},
               {&lt_op_reshape, write_flatten},
               {&lt_op_global_avg_pool, write_global_pool},
               {&lt_op_concat, write_concat},
               {&lt_op_pad2d, write_pad},
               {&lt_op_normalize, write_normalize}};

// ---- the model

static lt_status write_node(writer *w, const lt_node *n)
{
    for (size_t i = 0; i < sizeof writers / sizeof *writers; i++)
        if (writers[i].op == n->op)
            return writers[i].write(w, n);
    LT_FAIL(LT_E_UNSUPPORTED, "ONNX: %s: the op %s has no form in ONNX here", w->model->spec, n->op->name);
    return lt_error_hint(
        "integer networks: `lethe quantize export --format onnx`; spiking networks: `lethe convert RUN "
        "OUT.nir`");
}

static lt_status write_tensors(writer *w, lti_arena *arena)
{
    lt_tensor *list = lti_arena_alloc(arena, 2 * (size_t)lt_graph_n_values(w->g) * sizeof *list);
    int64_t counter = 0;
    int n;
    if (!list)
        return LTI_NOMEM("the list of tensors");
    LT_TRY(lti_model_list_tensors(w->model, arena, &counter, list, &n));
    for (int i = 0; i < n; i++)
        if (list[i].dtype == LT_F32) // counters of batches are of no use to a reader
            lti_onnx_put_tensor(&w->onnx, list[i].name, LTI_ONNX_FLOAT, list[i].dim, list[i].n_dims, list[i].data,
                                list[i].n_bytes);
    return LT_OK;
}

static lt_status write_model(writer *w, lti_arena *arena, const char *path)
{
    const lt_model_shape *s = &w->model->shape;
    lt_meta *meta;
    int n_meta;
    LT_TRY(lti_model_spec_parse(w->model->spec, s->c, &w->spec));
    lti_onnx_put_input(&w->onnx, "image", (const int64_t[]){-1, s->c, s->h, s->w}, 4);
    LT_TRY(write_tensors(w, arena));
    for (int32_t i = 0; i < lti_graph_n_nodes(w->g); i++)
        LT_TRY(write_node(w, lti_graph_node(w->g, i)));
    lti_onnx_put_output(&w->onnx, "logits", (const int64_t[]){-1, s->n_classes}, 2);
    LT_TRY(lti_model_list_meta(w->model, arena, &meta, &n_meta));
    return lti_onnx_save(&w->onnx, w->opset, meta, n_meta, path);
}

lt_status lt_model_export_onnx(const lt_model *model, const char *path)
{
    writer w = {.model = model, .g = model->graph, .opset = OPSET};
    lti_arena arena = {0};
    const lt_status status = write_model(&w, &arena, path);
    lti_arena_clear(&arena);
    lti_onnx_clear(&w.onnx);
    return status;
}
