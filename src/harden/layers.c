// layers.c - the linear layers of a model's graph, and the composition of their norms to a bound of the whole.
#include "graph/plan_impl.h"
#include "harden_impl.h"
#include <math.h>
#include <string.h>

const char *lt_layer_kind_name(lt_layer_kind kind)
{
    static const char *const names[] = {[LT_LAYER_NORMALIZE] = "normalize", [LT_LAYER_CONV] = "conv",
                                        [LT_LAYER_LINEAR] = "linear",       [LT_LAYER_BN] = "bn",
                                        [LT_LAYER_CONV_BN] = "conv+bn",     [LT_LAYER_POOL] = "pool"};
    return names[kind];
}

const float *lti_model_data(const lt_model *model, lt_val v)
{
    const lti_value *value = &model->graph->value[v];
    return (value->role == LT_ROLE_STATE ? model->state : model->params) + value->slab_offset;
}

static int stem_length(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot ? (int)(dot - name) : (int)strlen(name);
}

typedef struct finder {
    const lt_model *model;
    const lt_graph *g;
    lti_layers *out;
    int32_t *n_uses, *user;
} finder;

static lt_status push(finder *f, lti_layer layer)
{
    if (!layer.name)
        return LTI_NOMEM("layers of a model");
    f->out->layer[f->out->n++] = layer;
    return LT_OK;
}

// Of node i, which multiplies by a weight.
static lti_layer make_weighted(const finder *f, int32_t i, lt_layer_kind kind)
{
    const lt_node *n = &f->g->node[i];
    const char *name = f->g->value[n->in[1]].name;
    return (lti_layer){.name = lti_asprintf("%.*s", stem_length(name), name),
                       .kind = kind,
                       .from = n->in[0],
                       .to = n->out[0],
                       .weight = n->in[1],
                       .conv = i,
                       .bn = -1,
                       .other = -1};
}

static lt_status push_conv(finder *f, int32_t i)
{
    const lt_node *n = &f->g->node[i];
    const int32_t before = f->g->value[n->in[0]].node;
    lti_layer l = make_weighted(f, i, LT_LAYER_CONV);
    l.attr = (lt_conv_attr){
        .stride = n->attr.stride, .pad = n->attr.pad, .groups = n->attr.groups, .dilation = n->attr.dilation};
    if (before >= 0 && f->g->node[before].op == &lt_op_pad2d && n->attr.pad == 0) {
        l.from = f->g->node[before].in[0];
        l.attr.pad = f->g->node[before].attr.pad;
        l.attr.pad_mode = f->g->node[before].attr.pad_mode;
    }
    return push(f, l);
}

static lt_status push_linear(finder *f, int32_t i)
{
    return push(f, make_weighted(f, i, LT_LAYER_LINEAR));
}

static lt_status push_bn(finder *f, int32_t i)
{
    const lt_graph *g = f->g;
    const lt_node *n = &g->node[i];
    const char *name = g->value[n->in[1]].name;
    const int32_t before = g->value[n->in[0]].node;
    LT_TRY(push(f, (lti_layer){.name = lti_asprintf("%.*s", stem_length(name), name),
                               .kind = LT_LAYER_BN,
                               .from = n->in[0],
                               .to = n->out[0],
                               .weight = LT_NONE,
                               .conv = -1,
                               .bn = i,
                               .other = -1}));
    if (before < 0 || g->node[before].op != &lt_op_conv2d || f->n_uses[n->in[0]] != 1 || n->in[0] == f->model->logits)
        return LT_OK;
    for (int k = f->out->n - 1; k >= 0; k--) {
        if (f->out->layer[k].conv != before)
            continue;
        lti_layer both = f->out->layer[k];
        both.kind = LT_LAYER_CONV_BN;
        both.to = n->out[0];
        both.bn = i;
        both.name = lti_asprintf("%s+%.*s", f->out->layer[k].name, stem_length(name), name);
        return push(f, both);
    }
    return LT_OK;
}

static lt_status push_other(finder *f, int32_t i, lt_layer_kind kind)
{
    const lt_node *n = &f->g->node[i];
    int before = 0;
    for (int k = 0; k < f->out->n; k++)
        before += f->out->layer[k].kind == kind;
    return push(f, (lti_layer){.name = before ? lti_asprintf("%s.%d", lt_layer_kind_name(kind), before)
                                              : lti_asprintf("%s", lt_layer_kind_name(kind)),
                               .kind = kind,
                               .from = n->in[0],
                               .to = n->out[0],
                               .weight = LT_NONE,
                               .conv = -1,
                               .bn = -1,
                               .other = i});
}

static lt_status push_normalize(finder *f, int32_t i)
{
    return push_other(f, i, LT_LAYER_NORMALIZE);
}

static lt_status push_pool(finder *f, int32_t i)
{
    return push_other(f, i, LT_LAYER_POOL);
}

static const struct {
    const lt_op *op;
    lt_status (*push)(finder *f, int32_t node);
} linear_ops[] = {
    {&lt_op_conv2d, push_conv},         {&lt_op_linear, push_linear}, {&lt_op_bn, push_bn},
    {&lt_op_normalize, push_normalize}, {&lt_op_avg_pool, push_pool}, {&lt_op_global_avg_pool, push_pool},
};

lt_status lti_layers_find(const lt_model *model, lti_layers *out)
{
    const lt_graph *g = model->graph;
    *out = (lti_layers){0};
    finder f = {.model = model, .g = g, .out = out};
    bool *depends = lti_calloc((size_t)g->n_values, sizeof *depends);
    f.n_uses = lti_calloc(2 * (size_t)g->n_values, sizeof *f.n_uses);
    out->layer = lti_calloc(2 * (size_t)g->n_nodes + 1, sizeof *out->layer);
    lt_status status = depends && f.n_uses && out->layer ? LT_OK : LTI_NOMEM("layers of a model");
    if (status == LT_OK) {
        f.user = f.n_uses + g->n_values;
        depends[model->x] = true;
        lti_graph_mark_dependents(g, depends);
        lti_graph_uses(g, f.n_uses, f.user);
    }
    for (int32_t i = 0; i < g->n_nodes && status == LT_OK; i++)
        for (size_t r = 0; r < sizeof linear_ops / sizeof *linear_ops && status == LT_OK; r++)
            if (depends[g->node[i].out[0]] && g->node[i].op == linear_ops[r].op)
                status = linear_ops[r].push(&f, i);
    lti_free(depends);
    lti_free(f.n_uses);
    if (status != LT_OK)
        lti_layers_clear(out);
    return status;
}

void lti_layers_clear(lti_layers *l)
{
    for (int i = 0; i < l->n; i++)
        lti_free(l->layer[i].name);
    lti_free(l->layer);
    *l = (lti_layers){0};
}

// ---- composition: every value gets a bound of its Lipschitz constant in the image [SPECTRA 9]

typedef struct walk {
    const lt_graph *g;
    const lti_layers *layers;
    lti_layer_norm_fn norm;
    void *ctx;
    double *bound;   // (n_values)
    bool normalized; // leave the factor of the input normalisation out
} walk;

static double of(const walk *w, const lt_node *n, int i)
{
    return w->bound[n->in[i]];
}

// The layer that ends at this node; a convolution that is part of a composition belongs to the composition.
static const lti_layer *layer_at(const walk *w, int32_t node, bool *later)
{
    const lti_layer *found = NULL;
    *later = false;
    for (int i = 0; i < w->layers->n; i++) {
        const lti_layer *l = &w->layers->layer[i];
        const bool both = l->kind == LT_LAYER_CONV_BN;
        *later |= both && l->conv == node;
        if (both ? l->bn == node : (l->conv == node || l->bn == node || l->other == node))
            found = l; // the composition comes after the norm alone
    }
    return found;
}

static lt_status layer_rule(walk *w, int32_t node, double *out)
{
    bool later;
    const lti_layer *l = layer_at(w, node, &later);
    double norm = 1;
    if (!l)
        LT_BUG("node %d has no layer", (int)node);
    if (!later && !(w->normalized && l->kind == LT_LAYER_NORMALIZE))
        LT_TRY(w->norm(w->ctx, l, &norm));
    *out =
        norm * (later ? w->bound[l->from] : w->bound[l->kind == LT_LAYER_CONV_BN ? w->g->node[l->bn].in[0] : l->from]);
    return LT_OK;
}

static lt_status same_rule(walk *w, int32_t node, double *out)
{
    *out = of(w, &w->g->node[node], 0);
    return LT_OK;
}

static lt_status add_rule(walk *w, int32_t node, double *out)
{
    const lt_node *n = &w->g->node[node];
    *out = fabs((double)n->attr.alpha) * (of(w, n, 0) + of(w, n, 1));
    return LT_OK;
}

static lt_status scale_rule(walk *w, int32_t node, double *out)
{
    const lt_node *n = &w->g->node[node];
    *out = fabs((double)n->attr.alpha) * of(w, n, 0);
    return LT_OK;
}

static lt_status concat_rule(walk *w, int32_t node, double *out)
{
    const lt_node *n = &w->g->node[node];
    *out = hypot(of(w, n, 0), of(w, n, 1));
    return LT_OK;
}

// A pixel is in at most ceil(kernel / stride) windows along each side, and each window is at most as far off as its
// largest pixel.
static lt_status max_pool_rule(walk *w, int32_t node, double *out)
{
    const lt_node *n = &w->g->node[node];
    *out = ceil((double)n->attr.kernel / (double)n->attr.stride) * of(w, n, 0);
    return LT_OK;
}

static const struct rule {
    const lt_op *op;
    lt_status (*apply)(walk *w, int32_t node, double *out);
} rules[] = {
    {&lt_op_conv2d, layer_rule},   {&lt_op_linear, layer_rule},          {&lt_op_bn, layer_rule},
    {&lt_op_avg_pool, layer_rule}, {&lt_op_global_avg_pool, layer_rule}, {&lt_op_normalize, layer_rule},
    {&lt_op_pad2d, same_rule}, // its convolution's layer starts before it
    {&lt_op_relu, same_rule},      {&lt_op_reshape, same_rule},          {&lt_op_add, add_rule},
    {&lt_op_scale, scale_rule},    {&lt_op_concat, concat_rule},         {&lt_op_max_pool, max_pool_rule},
};

static lt_status walk_graph(walk *w, const lt_model *model, const bool *depends)
{
    w->bound[model->x] = 1;
    for (int32_t i = 0; i < w->g->n_nodes; i++) {
        const lt_node *n = &w->g->node[i];
        if (!depends[n->out[0]])
            continue;
        const struct rule *rule = NULL;
        for (size_t r = 0; r < sizeof rules / sizeof *rules; r++)
            rule = rules[r].op == n->op ? &rules[r] : rule;
        if (!rule) {
            char text[128];
            lti_node_text(w->g, i, text, sizeof text);
            return LT_FAIL(LT_E_UNSUPPORTED, "%s: there is no rule for its Lipschitz constant", text);
        }
        LT_TRY(rule->apply(w, i, &w->bound[n->out[0]]));
    }
    return LT_OK;
}

lt_status lti_compose_bound(const lt_model *model, const lti_layers *layers, lti_layer_norm_fn norm, void *ctx,
                            double *bound, double *behind_normalize)
{
    const lt_graph *g = model->graph;
    walk w = {.g = g, .layers = layers, .norm = norm, .ctx = ctx};
    bool *depends = lti_calloc((size_t)g->n_values, sizeof *depends);
    w.bound = lti_calloc((size_t)g->n_values, sizeof *w.bound);
    lt_status status = depends && w.bound ? LT_OK : LTI_NOMEM("Lipschitz bound");
    if (status == LT_OK) {
        depends[model->x] = true;
        lti_graph_mark_dependents(g, depends);
        status = walk_graph(&w, model, depends);
        *bound = w.bound[model->logits];
    }
    if (status == LT_OK) {
        w.normalized = true;
        status = walk_graph(&w, model, depends);
        *behind_normalize = w.bound[model->logits];
    }
    lti_free(depends);
    lti_free(w.bound);
    return status;
}
