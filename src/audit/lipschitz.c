// lipschitz.c - how fast the logits can move with the image: norms of the layers, composed along the graph. [AMUN 9]
//
// Every value of the graph gets a bound of its Lipschitz constant in the input image (L2 in and out). A layer
// multiplies the bound of its input by its operator norm, an addition adds the bounds of its branches; so the residual
// block 1 + product and its halved form come out of the graph and need no case of their own. There is one rule per op.
//
// The norm of a convolution is that of the linear map on images of the size the layer meets, zero padding and stride
// included, by power iteration on A'A through lt_linear_map, made of the convolution's own forward and data-gradient
// kernels. Batch norm in evaluation mode scales the rows of A and is folded in, which is tighter than
// multiplying two norms.
#include "graph/graph_impl.h"
#include "graph/plan_impl.h"
#include "lethe/linear_map.h"
#include "lethe/theorem.h"
#include "audit/audit_impl.h"
#include "model/model_impl.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { WINDOW = 10 };

// ---- power iteration

typedef struct layer_map { // one layer
    lt_graph *graph;
    lt_linear_map *map;
    int64_t n, n_y;   // elements of x and of y = A x
    float *x, *y, *b; // one block; b = A'A x
} layer_map;

static void map_clear(layer_map *m)
{
    lt_linear_map_destroy(m->map);
    lt_graph_destroy(m->graph);
    lti_free(m->x);
    *m = (layer_map){0};
}

// attr NULL: a linear layer w (K,C).
static lt_status map_create(layer_map *m, lt_shape x, lt_shape w, const lt_attr *attr, float *weights,
                            const lt_env *env)
{
    *m = (layer_map){0};
    LT_TRY(lt_graph_create(&m->graph));
    x.dim[0] = LT_BATCH;
    const lt_val from = lt_input(m->graph, "x", LT_F32, x), weight = lt_param(m->graph, "w", w);
    const lt_val to =
        attr ? LTI_EMIT(m->graph, conv2d, attr, from, weight) : LTI_EMIT(m->graph, linear, NULL, from, weight);
    LT_TRY(lt_graph_status(m->graph));
    const lt_linear_map_spec spec = {.graph = m->graph,
                                     .from = from,
                                     .to = to,
                                     .batch = 1,
                                     .dtype = LT_F32,
                                     .flags = env->plan_flags,
                                     .weight = {LT_NONE, LT_NONE}};
    LT_TRY(lt_linear_map_create(&spec, env->backend, &m->map));
    m->n = lt_linear_map_n_in(m->map);
    m->n_y = lt_linear_map_n_out(m->map);
    m->x = lti_calloc((size_t)(2 * m->n + m->n_y), sizeof *m->x);
    if (!m->x)
        return LTI_NOMEM("norm of a layer");
    m->b = m->x + m->n;
    m->y = m->b + m->n;
    return lt_linear_map_bind(m->map, weights, NULL);
}

static double norm(const float *v, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += (double)v[i] * (double)v[i];
    return sqrt(sum);
}

static void start_vector(float *x, int64_t n, uint64_t seed)
{
    lt_rng rng = lt_rng_at(seed, LT_STREAM_AUDIT, LTI_DRAW_POWER, 0);
    for (int64_t i = 0; i < n; i++)
        x[i] = (float)lt_rng_normal(&rng);
    const double length = norm(x, n);
    for (int64_t i = 0; i < n; i++)
        x[i] = (float)((double)x[i] / length);
}

// |b - s x| / s with s = |A x|^2.
static double residual(const float *b, const float *x, int64_t n, double s)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        const double d = (double)b[i] - s * (double)x[i];
        sum += d * d;
    }
    return s > 0 ? sqrt(sum) / s : 0.0;
}

static lt_status iterate(layer_map *m, const lt_lipschitz_cfg *cfg, const lt_env *env, lt_layer_norm *out)
{
    float *x = m->x;
    const float *y = m->y, *b = m->b;
    const double tolerance = cfg->tolerance > 0 ? cfg->tolerance : 1e-4;
    const int limit = cfg->max_iterations > 0 ? cfg->max_iterations : 2000;
    double before = 0;
    start_vector(x, m->n, cfg->seed);
    for (int i = 1; i <= limit; i++) {
        if (lt_interrupted(env->stop))
            return LT_FAIL(LT_E_INTERRUPTED, "interrupted: norm of a layer");
        LT_TRY(lt_linear_map_apply(m->map, m->x, m->y));
        LT_TRY(lt_linear_map_adjoint(m->map, m->y, m->b));
        const double sigma = norm(y, m->n_y), length = norm(b, m->n);
        out->sigma = sigma;
        out->iterations = i;
        out->residual = residual(b, x, m->n, sigma * sigma);
        if (!isfinite(sigma))
            return LT_FAIL(LT_E_DIVERGED, "norm of a layer: expected finite weights, found |A x| = %g", sigma);
        if (!(length > 0)) // the map is zero, or x has met its null space: of a random x that means zero
            return LT_OK;
        if (i % WINDOW == 0) {
            if (sigma - before <= tolerance * sigma)
                return LT_OK;
            before = sigma;
        }
        if (i < limit)
            for (int64_t j = 0; j < m->n; j++)
                x[j] = (float)((double)b[j] / length);
    }
    return LT_OK;
}

static lt_status map_norm(lt_shape x, lt_shape w, const lt_attr *attr, float *weights, const lt_lipschitz_cfg *cfg,
                          const lt_env *env, lt_layer_norm *out)
{
    layer_map m;
    lt_status status = map_create(&m, x, w, attr, weights, env);
    if (status == LT_OK)
        status = iterate(&m, cfg, env, out);
    map_clear(&m);
    return status;
}

lt_status lt_conv_norm(const float *weight, lt_shape w, lt_conv_attr attr, int64_t height, int64_t width,
                       const lt_lipschitz_cfg *cfg, const lt_env *env, lt_layer_norm *out)
{
    *out = (lt_layer_norm){.kind = "conv"};
    if (w.n_dims != 4 || attr.pad_mode != LT_PAD_ZERO)
        return LT_FAIL(LT_E_UNSUPPORTED, "norm of a convolution: expected a filter (K,C,R,S) and zero padding");
    const size_t bytes = (size_t)lti_shape_count(&w) * sizeof *weight;
    float *copy = lti_malloc(bytes);
    if (!copy)
        return LTI_NOMEM("norm of a convolution");
    memcpy(copy, weight, bytes);
    const lt_attr a = lti_conv_attr(attr);
    lt_status status = map_norm(LT_SHAPE(LT_BATCH, w.dim[1], height, width), w, &a, copy, cfg, env, out);
    lti_free(copy);
    return status;
}

// ---- rules: the bound of a node's output from those of its inputs

typedef struct walk {
    const lt_model *model;
    const lt_graph *g;
    const lt_lipschitz_cfg *cfg;
    const lt_env *env;
    double *bound;          // (n_values)
    int32_t *n_uses, *user; // (n_values)
    lt_lipschitz *out;
    int n_expected;
} walk;

static double of(const walk *w, const lt_node *n, int i)
{
    return w->bound[n->in[i]];
}

static const float *data_of(const walk *w, lt_val v)
{
    const lti_value *value = &w->g->value[v];
    return (value->role == LT_ROLE_STATE ? w->model->state : w->model->params) + value->slab_offset;
}

static lt_status add_layer(walk *w, lt_val weight, const char *kind, lt_layer_norm norm)
{
    const char *name = w->g->value[weight].name, *dot = strrchr(name, '.');
    norm.name = lti_asprintf("%.*s", dot ? (int)(dot - name) : (int)strlen(name), name);
    norm.kind = kind;
    if (!norm.name)
        return LTI_NOMEM("norms of layers");
    w->out->layer[w->out->n_layers++] = norm;
    lt_emit(w->env->events, &(lt_event){.kind = LT_EV_PROGRESS,
                                        .name = "lipschitz.progress",
                                        .done = w->out->n_layers,
                                        .total = w->n_expected,
                                        .unit = "layers",
                                        .epoch = -1,
                                        .step = -1});
    return LT_OK;
}

// gamma / sqrt(var + eps) of channel c.
static double bn_scale(const walk *w, const lt_node *bn, int64_t c)
{
    return (double)data_of(w, bn->in[1])[c] / sqrt((double)data_of(w, bn->in[4])[c] + (double)bn->attr.eps);
}

// bn NULL: the layer alone.
static lt_status layer_norm(walk *w, const lt_node *n, const lt_node *bn, const char *kind, double *sigma)
{
    const lti_value *x = &w->g->value[n->in[0]], *weight = &w->g->value[n->in[1]];
    const int64_t total = lti_shape_count(&weight->shape), rows = weight->shape.dim[0], row = total / rows;
    float *copy = lti_calloc((size_t)total, sizeof *copy);
    if (!copy)
        return LTI_NOMEM("norm of a layer");
    for (int64_t i = 0; i < total; i++)
        copy[i] = (float)((double)data_of(w, n->in[1])[i] * (bn ? bn_scale(w, bn, i / row) : 1.0));
    lt_layer_norm norm = {0};
    lt_attr attr = n->attr;
    attr.relu = false;
    lt_status status =
        map_norm(x->shape, weight->shape, n->op == &lt_op_conv2d ? &attr : NULL, copy, w->cfg, w->env, &norm);
    lti_free(copy);
    LT_TRY(status);
    *sigma = norm.sigma;
    return add_layer(w, n->in[1], kind, norm);
}

static bool is_folded(const walk *w, const lt_node *conv)
{
    const lt_val y = conv->out[0];
    return w->n_uses[y] == 1 && y != w->model->logits && w->g->node[w->user[y]].op == &lt_op_bn &&
           w->g->node[w->user[y]].in[0] == y;
}

static lt_status conv_rule(walk *w, const lt_node *n, double *out)
{
    double sigma = 1;
    if (!is_folded(w, n)) // else the batch norm after it answers for both
        LT_TRY(layer_norm(w, n, NULL, "conv", &sigma));
    *out = sigma * of(w, n, 0);
    return LT_OK;
}

static lt_status bn_rule(walk *w, const lt_node *n, double *out)
{
    const int32_t maker = w->g->value[n->in[0]].node;
    const lt_node *conv = maker >= 0 ? &w->g->node[maker] : NULL;
    double sigma = 0;
    if (conv && conv->op == &lt_op_conv2d && is_folded(w, conv)) {
        LT_TRY(layer_norm(w, conv, n, "conv+bn", &sigma));
        *out = sigma * of(w, conv, 0);
        return LT_OK;
    }
    for (int64_t c = 0; c < w->g->value[n->in[1]].shape.dim[0]; c++)
        sigma = fmax(sigma, fabs(bn_scale(w, n, c)));
    *out = sigma * of(w, n, 0);
    return add_layer(w, n->in[1], "bn", (lt_layer_norm){.sigma = sigma});
}

static lt_status linear_rule(walk *w, const lt_node *n, double *out)
{
    double sigma;
    LT_TRY(layer_norm(w, n, NULL, "linear", &sigma));
    *out = sigma * of(w, n, 0);
    return LT_OK;
}

static lt_status same_rule(walk *w, const lt_node *n, double *out)
{
    *out = of(w, n, 0);
    return LT_OK;
}

static lt_status add_rule(walk *w, const lt_node *n, double *out)
{
    *out = fabs((double)n->attr.alpha) * (of(w, n, 0) + of(w, n, 1));
    return LT_OK;
}

static lt_status scale_rule(walk *w, const lt_node *n, double *out)
{
    *out = fabs((double)n->attr.alpha) * of(w, n, 0);
    return LT_OK;
}

static lt_status normalize_rule(walk *w, const lt_node *n, double *out)
{
    double largest = 0;
    for (int64_t c = 0; c < w->g->value[n->in[0]].shape.dim[1]; c++)
        largest = fmax(largest, fabs((double)n->attr.istd[c]));
    *out = largest * of(w, n, 0);
    return LT_OK;
}

// A pixel is in at most ceil(kernel / stride) windows along each side.
static double overlap(const lt_node *n)
{
    return ceil((double)n->attr.kernel / (double)n->attr.stride);
}

// Each window is at most as far off as its largest pixel: the square of the output is at most overlap^2 that of the
// input.
static lt_status max_pool_rule(walk *w, const lt_node *n, double *out)
{
    *out = overlap(n) * of(w, n, 0);
    return LT_OK;
}

// The mean over k^2 pixels has norm 1/k; overlapping windows as above.
static lt_status avg_pool_rule(walk *w, const lt_node *n, double *out)
{
    *out = overlap(n) / (double)n->attr.kernel * of(w, n, 0);
    return LT_OK;
}

static lt_status global_avg_pool_rule(walk *w, const lt_node *n, double *out)
{
    const lt_shape *x = &w->g->value[n->in[0]].shape;
    *out = of(w, n, 0) / sqrt((double)(x->dim[2] * x->dim[3]));
    return LT_OK;
}

static const struct rule {
    const lt_op *op;
    lt_status (*apply)(walk *w, const lt_node *n, double *out);
} rules[] = {
    {&lt_op_conv2d, conv_rule},
    {&lt_op_bn, bn_rule},
    {&lt_op_linear, linear_rule},
    {&lt_op_relu, same_rule},
    {&lt_op_reshape, same_rule},
    {&lt_op_add, add_rule},
    {&lt_op_scale, scale_rule},
    {&lt_op_normalize, normalize_rule},
    {&lt_op_max_pool, max_pool_rule},
    {&lt_op_avg_pool, avg_pool_rule},
    {&lt_op_global_avg_pool, global_avg_pool_rule},
};

static lt_status apply_rule(walk *w, int32_t i)
{
    const lt_node *n = &w->g->node[i];
    for (size_t r = 0; r < sizeof rules / sizeof *rules; r++)
        if (rules[r].op == n->op)
            return rules[r].apply(w, n, &w->bound[n->out[0]]);
    char text[128];
    lti_node_text(w->g, i, text, sizeof text);
    return LT_FAIL(LT_E_UNSUPPORTED, "%s: there is no rule for its Lipschitz constant", text);
}

static lt_status walk_graph(walk *w)
{
    const lt_graph *g = w->g;
    bool *depends = lti_calloc((size_t)g->n_values, sizeof *depends);
    if (!depends)
        return LTI_NOMEM("norms of layers");
    depends[w->model->x] = true;
    lti_graph_mark_dependents(g, depends);
    w->bound[w->model->x] = 1;
    lt_status status = LT_OK;
    for (int32_t i = 0; i < g->n_nodes; i++) {
        const lt_node *n = &g->node[i];
        w->n_expected += depends[n->out[0]] && (n->op == &lt_op_linear || n->op == &lt_op_conv2d);
    }
    for (int32_t i = 0; i < g->n_nodes && status == LT_OK; i++)
        if (depends[g->node[i].out[0]])
            status = apply_rule(w, i);
    w->out->bound = w->bound[w->model->logits];
    lti_free(depends);
    return status;
}

lt_status lt_lipschitz_bound(const lt_model *model, const lt_lipschitz_cfg *cfg, const lt_env *env, lt_lipschitz *out)
{
    const lt_graph *g = model->graph;
    const size_t n = (size_t)g->n_values;
    walk w = {.model = model, .g = g, .cfg = cfg, .env = env, .out = out};
    *out = (lt_lipschitz){0};
    w.bound = lti_calloc(n, sizeof *w.bound);
    w.n_uses = lti_calloc(2 * n, sizeof *w.n_uses);
    out->layer = lti_calloc((size_t)g->n_nodes + 1, sizeof *out->layer);
    lt_status status = w.bound && w.n_uses && out->layer ? LT_OK : LTI_NOMEM("norms of layers");
    if (status == LT_OK) {
        w.user = w.n_uses + n;
        lti_graph_uses(g, w.n_uses, w.user);
        status = walk_graph(&w);
    }
    lti_free(w.bound);
    lti_free(w.n_uses);
    if (status != LT_OK)
        lt_lipschitz_clear(out);
    return status;
}

void lt_lipschitz_clear(lt_lipschitz *l)
{
    for (int i = 0; i < l->n_layers; i++)
        lti_free(l->layer[i].name);
    lti_free(l->layer);
    *l = (lt_lipschitz){0};
}
