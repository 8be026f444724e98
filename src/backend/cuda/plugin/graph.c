// graph.c - building cuDNN's operation graphs and asking which engines take them.
//
// All of it is descriptors with attributes; the maker keeps the first error, so that building reads as a list. What a
// graph needs stays alive with it, and plans are compiled on request: some engines are compiled at run time, which
// takes tenths of a second each.
#include "backend/cuda/plugin/graph.h"
#include "backend/cuda/plugin/plugin.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if CUDNN_VERSION < 91100 // headers that do not have these yet; a library that does not refuses them
#define CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR ((cudnnBackendDescriptorType_t)38)
#define CUDNN_ATTR_ENGINEHEUR_DEVICEPROP ((cudnnBackendAttributeName_t)204)
#define CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP ((cudnnBackendAttributeName_t)407)
#define CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION ((cudnnBackendAttributeName_t)2702)
#endif

enum { MOST_OWNED = 32, MOST_OPS = 4, MOST_NOTES = 16, IMAGE_ALIGN = 16, BIAS_ALIGN = 4 };

typedef cudnnBackendDescriptor_t desc;

typedef struct engine {
    desc config, plan; // plan NULL: not compiled yet
    size_t workspace_bytes;
    char name[48];
    bool failed;
} engine;

struct ltc_graph {
    desc owned[MOST_OWNED];
    int n_owned;
    desc op[MOST_OPS], graph, properties;
    int n_ops;
    bool has[LTC_CONV_TENSORS];
    engine engine[LTC_MOST_PLANS];
    int n_engines;
};

int ltc_cudnn(cudnnStatus_t s, const char *what)
{
    if (s == CUDNN_STATUS_SUCCESS)
        return LTC_OK;
    const int code = CUDNN_STATUS_CATEGORY(s) == CUDNN_STATUS_NOT_SUPPORTED      ? LTC_UNSUPPORTED
                     : s == CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED ? LTC_NO_MEMORY
                                                                                 : LTC_FAILED;
    return ltc_fail(code, "%s: %s", what, cudnnGetErrorString(s));
}

// ---- descriptors

typedef struct maker {
    ltc_graph *g;
    const ltc_conv_shape *s;
    cudnnStatus_t status;
    const char *what; // failed
    int64_t next_id;  // of tensors inside the graph
} maker;

static void check(maker *m, cudnnStatus_t status, const char *what)
{
    if (m->status != CUDNN_STATUS_SUCCESS)
        return;
    m->status = status;
    m->what = what;
}

static desc make(maker *m, cudnnBackendDescriptorType_t type, const char *what)
{
    desc d = NULL;
    if (m->status != CUDNN_STATUS_SUCCESS)
        return NULL;
    if (m->g->n_owned == MOST_OWNED) {
        check(m, CUDNN_STATUS_INTERNAL_ERROR, what);
        return NULL;
    }
    check(m, cudnnBackendCreateDescriptor(type, &d), what);
    if (m->status == CUDNN_STATUS_SUCCESS)
        m->g->owned[m->g->n_owned++] = d;
    return d;
}

static void set(maker *m, desc d, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t n,
                const void *value)
{
    if (m->status == CUDNN_STATUS_SUCCESS)
        check(m, cudnnBackendSetAttribute(d, name, type, n, value), "attribute of a graph");
}

static void get(maker *m, desc d, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t most,
                int64_t *n, void *value)
{
    if (m->status == CUDNN_STATUS_SUCCESS)
        check(m, cudnnBackendGetAttribute(d, name, type, most, n, value), "attribute of an engine");
}

static void set_desc(maker *m, desc d, cudnnBackendAttributeName_t name, desc value)
{
    set(m, d, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &value);
}

static void set_float(maker *m, desc d, cudnnBackendAttributeName_t name, float value)
{
    set(m, d, name, CUDNN_TYPE_FLOAT, 1, &value);
}

static void done(maker *m, desc d, const char *what)
{
    if (m->status == CUDNN_STATUS_SUCCESS)
        check(m, cudnnBackendFinalize(d), what);
}

// A tensor of NHWC images, KRSC filters or K biases; id < 0: inside the graph, where numbers are floats.
static desc tensor(maker *m, int64_t id, int64_t n, int64_t c, int64_t h, int64_t w)
{
    const desc d = make(m, CUDNN_BACKEND_TENSOR_DESCRIPTOR, "tensor");
    const bool is_virtual = id < 0, is_bias = id == LTC_BIAS;
    const int64_t dims[] = {n, c, h, w}, strides[] = {h * w * c, 1, w * c, c};
    const int64_t align = is_bias ? BIAS_ALIGN : IMAGE_ALIGN;
    const cudnnDataType_t type = m->s->bf16 && !is_virtual && !is_bias ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT;
    const int64_t uid = is_virtual ? LTC_CONV_TENSORS + m->next_id++ : id;
    set(m, d, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type);
    set(m, d, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, dims);
    set(m, d, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, strides);
    set(m, d, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &uid);
    set(m, d, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &align);
    set(m, d, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, &is_virtual);
    done(m, d, "tensor");
    if (!is_virtual)
        m->g->has[id] = true;
    return d;
}

static void add_op(maker *m, desc op, const char *what)
{
    done(m, op, what);
    if (m->status == CUDNN_STATUS_SUCCESS)
        m->g->op[m->g->n_ops++] = op;
}

// ---- operations

typedef struct pass_names {
    cudnnBackendDescriptorType_t op;
    cudnnBackendAttributeName_t conv, x, w, y, alpha, beta;
    ltc_conv_tensor of_x, of_w, of_y; // which argument each is
} pass_names;

static const pass_names passes[] = {
    [LTC_CONV] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
                  CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
                  CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
                  CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA,
                  LTC_IN0, LTC_IN1, LTC_OUT},
    [LTC_CONV_DX] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
                     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
                     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
                     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA,
                     LTC_OUT, LTC_IN1, LTC_IN0},
    [LTC_CONV_DW] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
                     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
                     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
                     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
                     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA, LTC_IN0, LTC_OUT, LTC_IN1},
};

static desc geometry(maker *m)
{
    const desc d = make(m, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, "convolution");
    const cudnnDataType_t type = CUDNN_DATA_FLOAT;
    const cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
    const int64_t n = 2, stride[] = {m->s->stride, m->s->stride}, pad[] = {m->s->pad, m->s->pad},
                  dilation[] = {m->s->dilation, m->s->dilation};
    set(m, d, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type);
    set(m, d, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode);
    set(m, d, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, 1, &n);
    set(m, d, CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, 2, dilation);
    set(m, d, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, 2, stride);
    set(m, d, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, 2, pad);
    set(m, d, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, 2, pad);
    done(m, d, "convolution");
    return d;
}

// out (virtual or id) of the shape that the pass makes
static desc made(maker *m, int64_t id)
{
    const ltc_conv_shape *s = m->s;
    return s->pass == LTC_CONV      ? tensor(m, id, s->n, s->k, s->oh, s->ow)
           : s->pass == LTC_CONV_DX ? tensor(m, id, s->n, s->c, s->h, s->w)
                                    : tensor(m, id, s->k, s->c, s->r, s->s);
}

static desc convolve(maker *m, bool is_last)
{
    const ltc_conv_shape *s = m->s;
    const pass_names *p = &passes[s->pass];
    const desc out = made(m, is_last ? LTC_OUT : -1);
    const desc x = p->of_x == LTC_OUT ? out : tensor(m, p->of_x, s->n, s->c, s->h, s->w);
    const desc w = p->of_w == LTC_OUT ? out : tensor(m, p->of_w, s->k, s->c, s->r, s->s);
    const desc y = p->of_y == LTC_OUT ? out : tensor(m, p->of_y, s->n, s->k, s->oh, s->ow);
    const desc how = geometry(m), op = make(m, p->op, "convolution");
    set_desc(m, op, p->conv, how);
    set_desc(m, op, p->x, x);
    set_desc(m, op, p->w, w);
    set_desc(m, op, p->y, y);
    set_float(m, op, p->alpha, 1.0f);
    set_float(m, op, p->beta, 0.0f);
    add_op(m, op, "convolution");
    return out;
}

// y = x + other, relu(x), or x masked by other: returns y.
static desc pointwise(maker *m, cudnnPointwiseMode_t mode, desc x, desc other, bool is_last)
{
    const desc how = make(m, CUDNN_BACKEND_POINTWISE_DESCRIPTOR, "pointwise operation");
    const desc op = make(m, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR, "pointwise operation");
    const cudnnDataType_t type = CUDNN_DATA_FLOAT;
    const cudnnNanPropagation_t nan = CUDNN_PROPAGATE_NAN;
    const desc y = made(m, is_last ? LTC_OUT : -1);
    const bool backward = mode == CUDNN_POINTWISE_RELU_BWD;
    set(m, how, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode);
    set(m, how, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1, &type);
    if (mode == CUDNN_POINTWISE_RELU_FWD)
        set(m, how, CUDNN_ATTR_POINTWISE_NAN_PROPAGATION, CUDNN_TYPE_NAN_PROPOGATION, 1, &nan);
    done(m, how, "pointwise operation");
    set_desc(m, op, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, how);
    set_desc(m, op, backward ? CUDNN_ATTR_OPERATION_POINTWISE_DYDESC : CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x);
    if (other)
        set_desc(m, op, backward ? CUDNN_ATTR_OPERATION_POINTWISE_XDESC : CUDNN_ATTR_OPERATION_POINTWISE_BDESC, other);
    set_desc(m, op, backward ? CUDNN_ATTR_OPERATION_POINTWISE_DXDESC : CUDNN_ATTR_OPERATION_POINTWISE_YDESC, y);
    add_op(m, op, "pointwise operation");
    return y;
}

static void operations(maker *m, bool finish)
{
    const ltc_conv_shape *s = m->s;
    const bool bias = finish && s->bias, add = finish && s->add, relu = finish && s->relu;
    desc v = convolve(m, !bias && !add && !relu);
    if (bias)
        v = pointwise(m, CUDNN_POINTWISE_ADD, v, tensor(m, LTC_BIAS, 1, s->k, 1, 1), !add && !relu);
    if (add)
        v = pointwise(m, CUDNN_POINTWISE_ADD, v, made(m, LTC_ADDED), !relu);
    if (relu && s->pass == LTC_CONV_DX)
        pointwise(m, CUDNN_POINTWISE_RELU_BWD, v, made(m, LTC_MASK), true);
    else if (relu)
        pointwise(m, CUDNN_POINTWISE_RELU_FWD, v, NULL, true);
}

// ---- engines

static bool may_use(const ltc_conv_shape *s, const cudnnBackendNumericalNote_t *notes, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        const cudnnBackendNumericalNote_t k = notes[i];
        if (k == CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC || k == CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION ||
            k == CUDNN_NUMERICAL_NOTE_FFT || k == CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_13x13)
            return false;
        const bool rounds = k == CUDNN_NUMERICAL_NOTE_TENSOR_CORE || k == CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS;
        if (rounds && !s->bf16 && !s->tf32)
            return false;
    }
    return true;
}

// Attributes of the engine of a configuration: may it be used? Its number goes to *index.
static bool looks_good(maker *m, desc config, int64_t *index)
{
    desc found = NULL;
    cudnnBackendNumericalNote_t notes[MOST_NOTES];
    int64_t n = 0, n_notes = 0;
    check(m, cudnnBackendCreateDescriptor(CUDNN_BACKEND_ENGINE_DESCRIPTOR, &found), "engine");
    if (m->status != CUDNN_STATUS_SUCCESS)
        return false;
    get(m, config, CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &n, &found);
    get(m, found, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, 1, &n, index);
    get(m, found, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE, MOST_NOTES, &n_notes, notes);
    (void)cudnnBackendDestroyDescriptor(found);
    return m->status == CUDNN_STATUS_SUCCESS && may_use(m->s, notes, n_notes);
}

// Keeps the configuration if its engine may be used.
static bool keep_engine(maker *m, desc config)
{
    int64_t index = -1;
    if (!looks_good(m, config, &index))
        return false;
    engine *e = &m->g->engine[m->g->n_engines++];
    e->config = config;
    snprintf(e->name, sizeof e->name, "engine %lld", (long long)index);
    return true;
}

static void ask(maker *m, cudnnBackendHeurMode_t mode)
{
    enum { ASKED = 24 };
    ltc_graph *g = m->g;
    const desc heur = make(m, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, "heuristics");
    set_desc(m, heur, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, g->graph);
    set(m, heur, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode);
    if (g->properties)
        set_desc(m, heur, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, g->properties);
    done(m, heur, "heuristics");
    desc config[ASKED] = {NULL};
    int64_t n = 0;
    int n_made = 0;
    for (; n_made < ASKED && m->status == CUDNN_STATUS_SUCCESS; n_made++)
        check(m, cudnnBackendCreateDescriptor(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, &config[n_made]), "engine");
    get(m, heur, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, ASKED, &n, config);
    for (int i = 0; i < n_made; i++) {
        const bool is_result = m->status == CUDNN_STATUS_SUCCESS && i < n && g->n_engines < LTC_MOST_PLANS;
        if (!is_result || !keep_engine(m, config[i]))
            (void)cudnnBackendDestroyDescriptor(config[i]);
    }
}

static void finish_graph(maker *m, const ltc_target *target)
{
    ltc_graph *g = m->g;
    if (!target->handle) {
        g->properties = make(m, CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR, "properties of a card");
        set(m, g->properties, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR,
            (int64_t)strlen(target->properties) + 1, target->properties);
        done(m, g->properties, "properties of a card");
    }
    g->graph = make(m, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR, "graph");
    set(m, g->graph, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, g->n_ops, g->op);
    if (target->handle)
        set(m, g->graph, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &target->handle);
    done(m, g->graph, "graph");
}

int ltc_graph_make(const ltc_target *target, const ltc_conv_shape *shape, bool finish, ltc_graph **graph)
{
    ltc_graph *g = calloc(1, sizeof *g);
    if (!g)
        return ltc_fail(LTC_FAILED, "out of host memory");
    maker m = {.g = g, .s = shape};
    operations(&m, finish);
    finish_graph(&m, target);
    const bool known = m.status == CUDNN_STATUS_SUCCESS;
    ask(&m, CUDNN_HEUR_MODE_A);
    if (known && CUDNN_STATUS_CATEGORY(m.status) == CUDNN_STATUS_NOT_SUPPORTED)
        m.status = CUDNN_STATUS_SUCCESS; // the other rule may know one
    if (m.status == CUDNN_STATUS_SUCCESS && g->n_engines < LTC_MOST_PLANS)
        ask(&m, CUDNN_HEUR_MODE_FALLBACK);
    if (g->n_engines == 0) {
        ltc_graph_free(g);
        return m.status == CUDNN_STATUS_SUCCESS ? ltc_fail(LTC_UNSUPPORTED, "cuDNN has no engine for this graph")
                                                : ltc_cudnn(m.status, m.what);
    }
    *graph = g;
    return LTC_OK;
}

void ltc_graph_free(ltc_graph *g)
{
    if (!g)
        return;
    for (int i = 0; i < g->n_engines; i++) {
        if (g->engine[i].plan)
            (void)cudnnBackendDestroyDescriptor(g->engine[i].plan);
        (void)cudnnBackendDestroyDescriptor(g->engine[i].config);
    }
    while (g->n_owned > 0)
        (void)cudnnBackendDestroyDescriptor(g->owned[--g->n_owned]);
    free(g);
}

bool ltc_graph_takes(const ltc_graph *g, ltc_conv_tensor t)
{
    return g->has[t];
}

int ltc_graph_n_operations(const ltc_graph *g)
{
    return g->n_ops;
}

int ltc_graph_n_plans(const ltc_graph *g)
{
    return g->n_engines;
}

int ltc_graph_plan(ltc_graph *g, int i, size_t *workspace_bytes, const char **name)
{
    engine *e = &g->engine[i];
    if (e->failed)
        return ltc_fail(LTC_UNSUPPORTED, "cuDNN could not compile %s", e->name);
    if (!e->plan) {
        maker m = {.g = g};
        int64_t n = 0, bytes = 0;
        check(&m, cudnnBackendCreateDescriptor(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, &e->plan), "plan");
        set_desc(&m, e->plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, e->config);
        if (g->properties)
            set_desc(&m, e->plan, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, g->properties);
        done(&m, e->plan, "plan");
        get(&m, e->plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, &n, &bytes);
        e->failed = m.status != CUDNN_STATUS_SUCCESS;
        if (e->failed)
            return ltc_fail(LTC_UNSUPPORTED, "%s: %s", e->name, cudnnGetErrorString(m.status));
        e->workspace_bytes = (size_t)bytes;
    }
    *workspace_bytes = e->workspace_bytes;
    *name = e->name;
    return LTC_OK;
}

int ltc_graph_run(cudnnHandle_t handle, const ltc_graph *g, int i, void *const *t)
{
    maker m = {0};
    int64_t id[LTC_CONV_TENSORS];
    void *p[LTC_CONV_TENSORS], *workspace = t[LTC_WORKSPACE];
    int64_t n = 0;
    desc pack = NULL;
    for (int k = 0; k < LTC_CONV_TENSORS; k++)
        if (g->has[k]) {
            id[n] = k;
            p[n++] = t[k];
        }
    check(&m, cudnnBackendCreateDescriptor(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, &pack), "arguments");
    set(&m, pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, n, id);
    set(&m, pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, n, p);
    set(&m, pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace);
    done(&m, pack, "arguments");
    if (m.status == CUDNN_STATUS_SUCCESS)
        check(&m, cudnnBackendExecute(handle, g->engine[i].plan, pack), "convolution");
    if (pack)
        (void)cudnnBackendDestroyDescriptor(pack);
    return ltc_cudnn(m.status, m.what ? m.what : "convolution");
}
