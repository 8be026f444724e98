// nir_model.c - a spiking network as a NIR graph, and weights of a NIR graph into a network. [SPIKE 17]
//
// A sum of spikes is no node in NIR: edges that meet add up. So every value is a list of nodes whose outputs are its
// terms. Batch norm with its running statistics is folded into the layer in front of it.
#include "graph/graph_impl.h"
#include "spike/nir.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MAX_TERMS = 16 };

typedef struct terms {
    int n;
    int32_t node[MAX_TERMS];
} terms;

typedef struct writer {
    const lt_model *model;
    const lt_graph *g;
    lti_nir *nir;
    terms *of; // (values)
} writer;

lt_status lti_nir_init(lti_nir *g)
{
    *g = (lti_nir){0};
    g->node = lti_calloc(LTI_NIR_MAX_NODES, sizeof *g->node);
    return g->node ? LT_OK : LTI_NOMEM("a NIR graph");
}

void lti_nir_clear(lti_nir *g)
{
    for (int i = 0; g->node && i < g->n; i++) {
        lti_free(g->node[i].weight);
        lti_free(g->node[i].bias);
    }
    lti_free(g->node);
    lti_free(g->edge);
    *g = (lti_nir){0};
}

lt_status lti_nir_add_edge(lti_nir *g, int32_t from, int32_t to)
{
    if (g->n_edges == g->cap_edges) {
        const int cap = g->cap_edges ? 2 * g->cap_edges : 64;
        int32_t(*more)[2] = lti_realloc(g->edge, (size_t)cap * sizeof *more);
        if (!more)
            return LTI_NOMEM("a NIR graph");
        g->edge = more;
        g->cap_edges = cap;
    }
    g->edge[g->n_edges][0] = from;
    g->edge[g->n_edges++][1] = to;
    return LT_OK;
}

// The shape of one row.
static lt_shape row_shape(const writer *w, lt_val v)
{
    const lt_shape *s = &w->g->value[v].shape;
    lt_shape row = {.n_dims = s->n_dims - 1};
    for (int i = 1; i < s->n_dims; i++)
        row.dim[i - 1] = s->dim[i];
    return row;
}

// A new node that reads the terms of `in` (LT_NONE = none) and is what `out` consists of.
static lt_status add_node(writer *w, const char *type, lt_val in, lt_val out, lti_nir_node **node)
{
    if (w->nir->n == LTI_NIR_MAX_NODES)
        return LT_FAIL(LT_E_UNSUPPORTED, "NIR: more than %d nodes", LTI_NIR_MAX_NODES);
    const int32_t at = w->nir->n++;
    lti_nir_node *n = &w->nir->node[at];
    snprintf(n->type, sizeof n->type, "%s", type);
    snprintf(n->name, sizeof n->name, "%04d_%s", (int)at, type);
    n->groups = 1;
    for (int i = 0; in != LT_NONE && i < w->of[in].n; i++)
        LT_TRY(lti_nir_add_edge(w->nir, w->of[in].node[i], at));
    if (out != LT_NONE)
        w->of[out] = (terms){1, {at}};
    *node = n;
    return LT_OK;
}

static lt_status add_weights(const writer *w, const lt_node *n, lti_nir_node *node)
{
    const lti_value *v = &w->g->value[n->in[1]];
    const int64_t count = lti_shape_count(&v->shape), k = v->shape.dim[0];
    if (v->role != LT_ROLE_PARAM)
        return LT_FAIL(LT_E_UNSUPPORTED, "NIR: weights that are computed");
    node->weight_shape = v->shape;
    node->weight = lti_malloc((size_t)count * sizeof(float));
    node->bias = lti_calloc((size_t)k, sizeof(float));
    if (!node->weight || !node->bias)
        return LTI_NOMEM("a NIR graph");
    memcpy(node->weight, w->model->params + v->slab_offset, (size_t)count * sizeof(float));
    if (n->n_in > 2)
        memcpy(node->bias, w->model->params + w->g->value[n->in[2]].slab_offset, (size_t)k * sizeof(float));
    return LT_OK;
}

static lt_status write_conv(writer *w, const lt_node *n)
{
    lti_nir_node *node;
    LT_TRY(add_node(w, "Conv2d", n->in[0], n->out[0], &node));
    node->shape = row_shape(w, n->in[0]);
    for (int i = 0; i < 2; i++) {
        node->stride[i] = n->attr.stride;
        node->pad[i] = n->attr.pad;
        node->dilation[i] = n->attr.dilation;
    }
    node->groups = n->attr.groups ? n->attr.groups : 1;
    return add_weights(w, n, node);
}

static lt_status write_linear(writer *w, const lt_node *n)
{
    lti_nir_node *node;
    LT_TRY(add_node(w, "Affine", n->in[0], n->out[0], &node));
    return add_weights(w, n, node);
}

// An affine map of channels may change places with an average over pixels: the only node in front of such pools.
static int32_t before_pools(const lti_nir *g, int32_t at)
{
    while (!strcmp(g->node[at].type, "AvgPool2d")) {
        int32_t from = -1, n = 0;
        for (int e = 0; e < g->n_edges; e++)
            if (g->edge[e][1] == at) {
                from = g->edge[e][0];
                n++;
            }
        if (n != 1)
            return -1;
        at = from;
    }
    return at;
}

// w' = w gamma istd, b' = beta + (b - mean) gamma istd
static lt_status fold_norm(writer *w, const lt_node *n)
{
    const terms *t = &w->of[n->in[0]];
    const int32_t at = t->n == 1 ? before_pools(w->nir, t->node[0]) : -1;
    lti_nir_node *node = at >= 0 ? &w->nir->node[at] : NULL;
    if (!node || !node->weight)
        return LT_FAIL(LT_E_UNSUPPORTED, "NIR: batch norm that does not follow a layer with weights");
    const int64_t k = node->weight_shape.dim[0], per = lti_shape_count(&node->weight_shape) / k;
    const float *gamma = w->model->params + w->g->value[n->in[1]].slab_offset,
                *beta = w->model->params + w->g->value[n->in[2]].slab_offset,
                *mean = w->model->state + w->g->value[n->in[3]].slab_offset,
                *var = w->model->state + w->g->value[n->in[4]].slab_offset;
    for (int64_t c = 0; c < k; c++) {
        const double scale = (double)gamma[c] / sqrt((double)var[c] + (double)n->attr.eps);
        for (int64_t i = 0; i < per; i++)
            node->weight[c * per + i] = (float)((double)node->weight[c * per + i] * scale);
        node->bias[c] = (float)((double)beta[c] + ((double)node->bias[c] - (double)mean[c]) * scale);
    }
    w->of[n->out[0]] = *t;
    return LT_OK;
}

static lt_status write_neuron(writer *w, const lt_node *n)
{
    lti_nir_node *node;
    const lt_neuron_attr *a = &n->attr.neuron;
    const bool averages = a->kind == LT_NEURON_SJ_LIF || a->kind == LT_NEURON_SJ_LIF_SOFT;
    const bool whole = a->kind == LT_NEURON_SJ_IF || a->kind == LT_NEURON_SJ_IF_SOFT;
    double decay = (double)a->decay;
    if (n->n_in == 2) { // learned
        const double p = (double)w->model->params[w->g->value[n->in[1]].slab_offset];
        decay = averages ? 1 / (1 + (1 - decay) / decay * exp(-p)) : fmin(fmax(decay + p, 0), 1);
    }
    const bool leaks = averages || (!whole && decay < 1);
    LT_TRY(add_node(w, leaks ? "LIF" : "IF", n->in[0], n->out[0], &node));
    node->shape = row_shape(w, n->out[0]);
    // One Euler step of length 1 of tau v' = -v + r x.
    node->tau = !leaks ? 0 : averages ? 1 / decay : 1 / (1 - decay);
    node->r = !leaks || averages ? 1 : node->tau;
    node->threshold = (double)a->threshold;
    snprintf(node->neuron, sizeof node->neuron, "%s", lt_neuron_name(a->kind));
    return LT_OK;
}

static lt_status write_pool(writer *w, const lt_node *n)
{
    lti_nir_node *node;
    const lt_shape in = row_shape(w, n->in[0]);
    const bool whole = n->op == &lt_op_global_avg_pool;
    LT_TRY(add_node(w, "AvgPool2d", n->in[0], n->out[0], &node));
    for (int i = 0; i < 2; i++) {
        node->kernel[i] = whole ? (int32_t)in.dim[1 + i] : n->attr.kernel;
        node->stride[i] = whole ? (int32_t)in.dim[1 + i] : n->attr.stride;
    }
    if (!whole)
        return LT_OK;
    LT_TRY(add_node(w, "Flatten", n->out[0], n->out[0], &node));
    node->shape = (lt_shape){3, {in.dim[0], 1, 1}};
    return LT_OK;
}

static lt_status write_sum(writer *w, const lt_node *n)
{
    terms sum = {0};
    for (int j = 0; j < 2; j++)
        for (int i = 0; i < w->of[n->in[j]].n; i++) {
            if (sum.n == MAX_TERMS)
                return LT_FAIL(LT_E_UNSUPPORTED, "NIR: a sum of more than %d terms", MAX_TERMS);
            sum.node[sum.n++] = w->of[n->in[j]].node[i];
        }
    w->of[n->out[0]] = sum;
    return LT_OK;
}

static lt_status write_op(writer *w, const lt_node *n)
{
    lti_nir_node *node;
    if (n->op == &lt_op_conv2d)
        return write_conv(w, n);
    if (n->op == &lt_op_linear)
        return write_linear(w, n);
    if (n->op == &lt_op_bn)
        return fold_norm(w, n);
    if (n->op == &lt_op_lif)
        return write_neuron(w, n);
    if (n->op == &lt_op_avg_pool || n->op == &lt_op_global_avg_pool)
        return write_pool(w, n);
    if (n->op == &lt_op_add)
        return write_sum(w, n);
    if (n->op == &lt_op_repeat_steps || n->op == &lt_op_dropout) { // a step sees the same
        w->of[n->out[0]] = w->of[n->in[0]];
        return LT_OK;
    }
    if (n->op == &lt_op_reshape) {
        LT_TRY(add_node(w, "Flatten", n->in[0], n->out[0], &node));
        node->shape = row_shape(w, n->in[0]);
        return LT_OK;
    }
    LT_FAIL(LT_E_UNSUPPORTED, "NIR has no node for %s, which %s has", n->op->name, w->model->spec);
    return lt_error_hint("spiking-vgg takes norm=none or norm=batch and pool=average, spiking-resnet18 norm=batch");
}

// What the first layer reads: the input of the graph, of one step.
static lt_status write_input(writer *w, lt_val v)
{
    lti_nir_node *node;
    LT_TRY(add_node(w, "Input", LT_NONE, v, &node));
    node->shape = row_shape(w, v);
    return LT_OK;
}

static lt_status write_all(writer *w)
{
    lti_nir_node *node;
    lt_val output = LT_NONE, input = lt_graph_find(w->g, "input.spikes");
    if (lt_model_steps(w->model, &output) == 0)
        return LT_FAIL(LT_E_USAGE, "NIR: expected a spiking network, found %s", w->model->spec);
    input = input == LT_NONE ? w->model->x : input;
    LT_TRY(write_input(w, input));
    for (int32_t i = w->g->value[input].node + 1; i < w->g->n_nodes; i++) {
        const lt_node *n = &w->g->node[i];
        if (n->op == &lt_op_sum_steps) // readout and stages
            continue;
        LT_TRY(write_op(w, n));
        if (n->out[0] == output)
            break;
    }
    LT_TRY(add_node(w, "Output", output, LT_NONE, &node));
    node->shape = row_shape(w, output);
    return LT_OK;
}

lt_status lti_nir_from_model(const lt_model *model, lti_nir *g)
{
    writer w = {.model = model, .g = model->graph, .nir = g};
    w.of = lti_calloc((size_t)w.g->n_values + 1, sizeof *w.of);
    lt_status status = w.of ? write_all(&w) : LTI_NOMEM("a NIR graph");
    lti_free(w.of);
    return status;
}

lt_status lt_nir_export(const lt_model *model, const char *path)
{
    lti_nir g;
    LT_TRY(lti_nir_init(&g));
    lt_status status = lti_nir_from_model(model, &g);
    if (status == LT_OK)
        status = lti_nir_write(path, &g);
    lti_nir_clear(&g);
    return status;
}

// ---- import: nodes of both graphs in an order that edges allow, weights and neurons one to one

static bool is_matched(const lti_nir_node *n)
{
    return n->weight || !strcmp(n->type, "LIF") || !strcmp(n->type, "IF");
}

// Kahn's order; of several ready nodes the first by name. order (n).
static lt_status order_nodes(const lti_nir *g, int32_t *order)
{
    int32_t *missing = lti_calloc((size_t)g->n + 1, sizeof *missing);
    if (!missing)
        return LTI_NOMEM("a NIR graph");
    for (int e = 0; e < g->n_edges; e++)
        missing[g->edge[e][1]]++;
    int done = 0;
    for (; done < g->n; done++) {
        int32_t next = -1;
        for (int32_t i = 0; i < g->n; i++)
            if (missing[i] == 0 && (next < 0 || strcmp(g->node[i].name, g->node[next].name) < 0))
                next = i;
        if (next < 0)
            break;
        order[done] = next;
        missing[next] = -1;
        for (int e = 0; e < g->n_edges; e++)
            if (g->edge[e][0] == next)
                missing[g->edge[e][1]]--;
    }
    lti_free(missing);
    return done == g->n ? LT_OK : LT_FAIL(LT_E_UNSUPPORTED, "NIR: recurrent connections cannot be taken over");
}

static lt_status match_node(const char *path, const lti_nir_node *file, const lti_nir_node *own)
{
    char a[LTI_SHAPE_TEXT], b[LTI_SHAPE_TEXT];
    if (strcmp(file->type, own->type) != 0)
        return LT_FAIL(LT_E_FORMAT, "%s: node %s is %s, that of the model is %s", path, file->name, file->type,
                       own->type);
    if (own->weight && !lti_shape_equal(&file->weight_shape, &own->weight_shape))
        return LT_FAIL(LT_E_SHAPE, "%s: node %s has weights %s, the model %s", path, file->name,
                       lti_shape_text(&file->weight_shape, a), lti_shape_text(&own->weight_shape, b));
    if (!own->weight && (fabs(file->tau - own->tau) > 1e-5 * (1 + own->tau) ||
                         fabs(file->threshold - own->threshold) > 1e-5 || fabs(file->r - own->r) > 1e-5 * (1 + own->r)))
        return LT_FAIL(LT_E_FORMAT,
                       "%s: node %s has tau %g, r %g, threshold %g; the model has %g, %g, %g (beta=, threshold=)", path,
                       file->name, file->tau, file->r, file->threshold, own->tau, own->r, own->threshold);
    if (!own->weight && *file->neuron && strcmp(file->neuron, own->neuron) != 0)
        return LT_FAIL(LT_E_FORMAT, "%s: node %s has neurons %s, the model %s", path, file->name, file->neuron,
                       own->neuron);
    return LT_OK;
}

// Weights of the k-th layer of the graph; parameters stand in the order of the layers.
static lt_status put_weights(lt_model *m, int layer, const lti_nir_node *node)
{
    const lt_graph *g = m->graph;
    int at = 0;
    for (int32_t i = 0; i < g->n_nodes; i++) {
        const lt_node *n = &g->node[i];
        if ((n->op != &lt_op_conv2d && n->op != &lt_op_linear) || at++ != layer)
            continue;
        const lti_value *w = &g->value[n->in[1]];
        memcpy(m->params + w->slab_offset, node->weight, (size_t)lti_shape_count(&w->shape) * sizeof(float));
        bool zero = true;
        for (int64_t k = 0; k < w->shape.dim[0]; k++)
            zero = zero && node->bias[k] == 0;
        if (n->n_in < 3)
            return zero ? LT_OK
                        : LT_FAIL(LT_E_FORMAT, "NIR: node %s has a bias, the model's layer has none", node->name);
        memcpy(m->params + g->value[n->in[2]].slab_offset, node->bias, (size_t)w->shape.dim[0] * sizeof(float));
        return LT_OK;
    }
    LT_BUG("layer %d of the model", layer);
}

static lt_status take_weights(const char *path, const lti_nir *file, const lti_nir *own, lt_model *m)
{
    int32_t *order = lti_calloc((size_t)file->n + 1, sizeof *order);
    int at = 0, layer = 0;
    lt_status status = order ? order_nodes(file, order) : LTI_NOMEM("a NIR graph");
    for (int i = 0; i < file->n && status == LT_OK; i++) {
        const lti_nir_node *f = &file->node[order[i]];
        if (!is_matched(f))
            continue;
        while (at < own->n && !is_matched(&own->node[at]))
            at++;
        if (at == own->n)
            status = LT_FAIL(LT_E_FORMAT, "%s: node %s is one more than the model has", path, f->name);
        else
            status = match_node(path, f, &own->node[at++]);
        if (status == LT_OK && f->weight)
            status = put_weights(m, layer++, f);
    }
    while (at < own->n && !is_matched(&own->node[at]))
        at++;
    if (status == LT_OK && at < own->n)
        status = LT_FAIL(LT_E_FORMAT, "%s: has no node for %s of the model", path, own->node[at].name);
    lti_free(order);
    return status;
}

lt_status lt_nir_import(const char *path, const char *spec, lt_model_shape shape, lt_model **model)
{
    lti_nir file = {0}, own = {0};
    lt_model *m = NULL;
    lt_status status = LT_OK;
    *model = NULL;
    LT_TRY(lt_model_create(spec, shape, &m));
    LT_TRY_GOTO(lti_nir_init(&file), done);
    LT_TRY_GOTO(lti_nir_init(&own), done);
    for (int32_t i = 0; i < m->graph->n_nodes; i++)
        if (m->graph->node[i].op == &lt_op_bn)
            LT_TRY_GOTO(LT_FAIL(LT_E_UNSUPPORTED, "%s: files of NIR have batch norm folded; use norm=none", path),
                        done);
    LT_TRY_GOTO(lti_nir_from_model(m, &own), done);
    LT_TRY_GOTO(lti_nir_read(path, &file), done);
    LT_TRY_GOTO(take_weights(path, &file, &own, m), done);
    *model = m;
    m = NULL;
done:
    lti_nir_clear(&file);
    lti_nir_clear(&own);
    lt_model_destroy(m);
    return status;
}
