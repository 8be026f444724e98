// spectra.c - measures every linear layer of a model: PowerQR from below, the symbol from above, both in one bracket.
#include "harden_impl.h"
#include <math.h>
#include <string.h>

enum { EXTRA = 3 }; // vectors beyond those asked for: they make the last ones converge
static const double inward = 1 - 1e-6;

const lt_option lt_spectra_options[] = {
    LT_I32(struct lt_spectra_cfg, top_k, 1, 1, 32, "", "singular values of each layer"),
    LT_I32(struct lt_spectra_cfg, iterations, 300, 1, 100000, "", "most steps of PowerQR for a layer"),
    LT_F32(struct lt_spectra_cfg, tolerance, 1e-5, 0, 0.1, "",
           "stop when no value moved by more than this part in ten steps; 0 = make all steps"),
    LT_F32(struct lt_spectra_cfg, shift, 0, 0, 1e6, "",
           "iterate A'A + shift I; 0 converges fastest, the authors' code has 1"),
    LT_I32(struct lt_spectra_cfg, grid, 0, 0, 512, "",
           "frequencies of each direction for the upper bound; 0 = by the cost of the layer"),
    LT_BOOL(struct lt_spectra_cfg, upper, 1, "compute the certified upper bound"),
    LT_OPT_END,
};

typedef struct measure {
    const lt_model *model;
    const lt_spectra_cfg *cfg;
    const lt_env *env;
    lt_backend *ref;        // of the evaluation in double
    double *params, *state; // the model's slabs in double
    const lti_layers *layers;
    lt_spectra *out;
    bool crude; // a layer without a certificate entered the bound
} measure;

static int threads_of(const lt_env *env)
{
    return lt_backend_n_threads(env->backend) > 0 ? lt_backend_n_threads(env->backend) : 1;
}

// ---- from below

// |A v| / |v| with weights, vectors and sums in double: true of any v.
static lt_status evaluate_double(const measure *m, const lti_layer *l, const float *v, double *lower)
{
    lt_linear_map *map = NULL;
    const lt_linear_map_spec spec = {.graph = m->model->graph,
                                     .from = l->from,
                                     .to = l->to,
                                     .batch = 1,
                                     .dtype = LT_F64,
                                     .weight = {LT_NONE, LT_NONE}};
    LT_TRY(lt_linear_map_create(&spec, m->ref, &map));
    const int64_t n_in = lt_linear_map_n_in(map), n_out = lt_linear_map_n_out(map);
    double *x = lti_calloc((size_t)(n_in + n_out), sizeof *x), vv = 0, yy = 0;
    lt_status status = x ? lt_linear_map_bind(map, m->params, m->state) : LTI_NOMEM("norm of a layer");
    for (int64_t i = 0; i < n_in && status == LT_OK; i++) {
        x[i] = (double)v[i];
        vv += x[i] * x[i];
    }
    if (status == LT_OK)
        status = lt_linear_map_apply(map, x, x + n_in);
    for (int64_t i = 0; i < n_out && status == LT_OK; i++)
        yy += x[n_in + i] * x[n_in + i];
    *lower = vv > 0 ? sqrt(yy / vv) * inward : 0;
    lti_free(x);
    lt_linear_map_destroy(map);
    return status;
}

static lt_status run_power_qr(const measure *m, const lti_layer *l, uint32_t tensor, lt_spectrum *s)
{
    const lti_value *x = &m->model->graph->value[l->from];
    int64_t n = 1;
    for (int d = 1; d < x->shape.n_dims; d++)
        n *= x->shape.dim[d];
    lt_power_qr q = {.block = (int32_t)(m->cfg->top_k + EXTRA < n ? m->cfg->top_k + EXTRA : n),
                     .iterations = m->cfg->iterations,
                     .tolerance = (double)m->cfg->tolerance,
                     .shift = (double)m->cfg->shift,
                     .n_watched = m->cfg->top_k};
    const lt_linear_map_spec spec = {.graph = m->model->graph,
                                     .from = l->from,
                                     .to = l->to,
                                     .batch = q.block,
                                     .dtype = LT_F32,
                                     .flags = m->env->plan_flags & ~(unsigned)LT_PLAN_BF16,
                                     .weight = {LT_NONE, LT_NONE}};
    lt_linear_map *map = NULL;
    LT_TRY(lt_linear_map_create(&spec, m->env->backend, &map));
    float *v = lti_calloc((size_t)(q.block * n), sizeof *v);
    double sigma[64];
    lt_status status = v ? lt_linear_map_bind(map, m->model->params, m->model->state) : LTI_NOMEM("norm of a layer");
    if (status == LT_OK) {
        lt_power_qr_start(v, q.block, n, m->cfg->seed, tensor);
        status = lt_power_qr_run(map, &q, v, NULL, sigma, m->env->stop);
    }
    if (status == LT_OK)
        status = evaluate_double(m, l, v, &s->lower);
    s->k = q.block < m->cfg->top_k ? q.block : m->cfg->top_k;
    s->sigma = status == LT_OK ? lti_calloc((size_t)s->k, sizeof *s->sigma) : NULL;
    for (int i = 0; i < s->k && s->sigma; i++)
        s->sigma[i] = sigma[i];
    s->iterations = q.iterations;
    s->residual = q.residual;
    lti_free(v);
    lt_linear_map_destroy(map);
    return status != LT_OK || s->sigma ? status : LTI_NOMEM("norm of a layer");
}

// ---- from above

// gamma / sqrt(var + eps) of channel c.
static double bn_scale(const measure *m, const lt_node *bn, int64_t c)
{
    return (double)lti_model_data(m->model, bn->in[1])[c] /
           sqrt((double)lti_model_data(m->model, bn->in[4])[c] + (double)bn->attr.eps);
}

// The weight in double, rows scaled by the batch norm behind it; and its kernel norm, without that scale.
static lt_status bound_weighted(const measure *m, const lti_layer *l, lt_spectrum *s)
{
    const lt_graph *g = m->model->graph;
    const lti_value *w = &g->value[l->weight], *x = &g->value[l->from];
    const int64_t total = lti_shape_count(&w->shape), rows = w->shape.dim[0], row = total / rows;
    const bool conv = l->kind != LT_LAYER_LINEAR;
    double *d = lti_calloc((size_t)total, sizeof *d);
    if (!d)
        return LTI_NOMEM("bound of a layer");
    for (int64_t i = 0; i < total; i++)
        d[i] =
            (double)lti_model_data(m->model, l->weight)[i] * (l->bn >= 0 ? bn_scale(m, &g->node[l->bn], i / row) : 1);
    lt_status status = lt_kernel_norm(d, rows, row, &s->kernel_norm);
    const lt_conv_bound_in in = {.weight = d,
                                 .shape = conv ? w->shape : LT_SHAPE(rows, row, 1, 1),
                                 .attr = conv ? l->attr : (lt_conv_attr){.stride = 1, .groups = 1},
                                 .height = conv ? x->shape.dim[2] : 1,
                                 .width = conv ? x->shape.dim[3] : 1,
                                 .grid = m->cfg->grid,
                                 .n_threads = threads_of(m->env)};
    if (status == LT_OK && m->cfg->upper)
        status = lt_conv_upper_bound(&in, &s->upper, &s->upper_by);
    lti_free(d);
    return status;
}

static lt_status bound_bn(const measure *m, const lti_layer *l, lt_spectrum *s)
{
    const lt_node *bn = &m->model->graph->node[l->bn];
    double most = 0;
    for (int64_t c = 0; c < m->model->graph->value[bn->in[1]].shape.dim[0]; c++)
        most = fmax(most, fabs(bn_scale(m, bn, c)));
    s->upper = most / inward;
    s->upper_by = "exact";
    return LT_OK;
}

static lt_status bound_normalize(const measure *m, const lti_layer *l, lt_spectrum *s)
{
    const lt_node *n = &m->model->graph->node[l->other];
    double most = 0;
    for (int64_t c = 0; c < m->model->graph->value[n->in[0]].shape.dim[1]; c++)
        most = fmax(most, fabs((double)n->attr.istd[c]));
    s->upper = most / inward;
    s->upper_by = "exact";
    return LT_OK;
}

// The mean over k^2 pixels has norm 1/k; a pixel is in at most ceil(kernel / stride) windows along each side.
static lt_status bound_pool(const measure *m, const lti_layer *l, lt_spectrum *s)
{
    const lt_graph *g = m->model->graph;
    const lt_node *n = &g->node[l->other];
    const lt_shape *x = &g->value[n->in[0]].shape;
    if (n->op == &lt_op_global_avg_pool)
        s->upper = 1 / sqrt((double)(x->dim[2] * x->dim[3]));
    else
        s->upper = ceil((double)n->attr.kernel / (double)n->attr.stride) / (double)n->attr.kernel;
    s->upper /= inward;
    s->upper_by = "exact";
    return LT_OK;
}

static lt_status (*const bounds[])(const measure *m, const lti_layer *l, lt_spectrum *s) = {
    [LT_LAYER_NORMALIZE] = bound_normalize, [LT_LAYER_CONV] = bound_weighted,
    [LT_LAYER_LINEAR] = bound_weighted,     [LT_LAYER_BN] = bound_bn,
    [LT_LAYER_CONV_BN] = bound_weighted,    [LT_LAYER_POOL] = bound_pool};

// ---- all layers

static lt_status measure_layer(const measure *m, int i)
{
    const lti_layer *l = &m->layers->layer[i];
    lt_spectrum *s = &m->out->layer[m->out->n_layers++];
    *s = (lt_spectrum){.kind = l->kind,
                       .upper = (double)NAN,
                       .kernel_norm = (double)NAN,
                       .upper_by = "none",
                       .name = lti_strdup(l->name)};
    if (!s->name)
        return LTI_NOMEM("norms of layers");
    LT_TRY(run_power_qr(m, l, (uint32_t)i, s));
    LT_TRY(bounds[l->kind](m, l, s));
    if (s->upper < s->lower)
        LT_BUG("%s: upper bound %.9g below the norm %.9g that a vector attains", s->name, s->upper, s->lower);
    lt_emit(m->env->events, &(lt_event){.kind = LT_EV_PROGRESS,
                                        .name = "spectra.progress",
                                        .done = i + 1,
                                        .total = m->layers->n,
                                        .unit = "layers",
                                        .epoch = -1,
                                        .step = -1});
    return LT_OK;
}

// How often reflection by p pixels shows one of n pixels at most: itself, and mirrored at one end or, where the two
// mirror images meet, at both.
static double count_copies(int64_t n, int64_t p)
{
    return p < 1 ? 1 : 2 * p < n - 1 ? 2 : 3;
}

// Where padding has no certificate: |pad| times the bound of the convolution without it.
static lt_status crude_norm(const measure *m, const lti_layer *l, double *norm)
{
    const lt_shape *x = &m->model->graph->value[l->from].shape;
    const double pad = sqrt(count_copies(x->dim[2], l->attr.pad) * count_copies(x->dim[3], l->attr.pad));
    lti_layer valid = *l;
    lt_spectrum s = {.upper = (double)NAN};
    valid.attr.pad = 0;
    valid.attr.pad_mode = LT_PAD_ZERO;
    LT_TRY(bound_weighted(m, &valid, &s));
    *norm = pad * s.upper;
    return LT_OK;
}

static lt_status upper_of(void *ctx, const lti_layer *layer, double *norm)
{
    measure *m = ctx;
    *norm = m->out->layer[layer - m->layers->layer].upper;
    if (!isnan(*norm))
        return LT_OK;
    m->crude = true;
    return crude_norm(m, layer, norm);
}

static lt_status one(void *ctx, const lti_layer *layer, double *norm)
{
    (void)ctx, (void)layer;
    *norm = 1;
    return LT_OK;
}

// Refuses a network without a bound before its layers are measured, which takes minutes.
static lt_status check_rules(const measure *m)
{
    double bound, behind_normalize;
    if (!m->cfg->upper)
        return LT_OK;
    const lt_status status = lti_compose_bound(m->model, m->layers, one, NULL, &bound, &behind_normalize);
    if (status == LT_E_UNSUPPORTED)
        lt_error_hint("--no-upper measures the layers without bounds");
    return status;
}

static lt_status widen(const float *from, int64_t n, double **to)
{
    *to = lti_calloc((size_t)(n > 0 ? n : 1), sizeof **to);
    for (int64_t i = 0; *to && i < n; i++)
        (*to)[i] = (double)from[i];
    return *to ? LT_OK : LTI_NOMEM("parameters in double precision");
}

static lt_status measure_all(measure *m)
{
    LT_TRY(check_rules(m));
    LT_TRY(lt_backend_create("ref", 1, &m->ref));
    LT_TRY(widen(m->model->params, m->model->n_params, &m->params));
    LT_TRY(widen(m->model->state, m->model->n_state, &m->state));
    m->out->layer = lti_calloc((size_t)m->layers->n + 1, sizeof *m->out->layer);
    if (!m->out->layer)
        return LTI_NOMEM("norms of layers");
    for (int i = 0; i < m->layers->n; i++)
        LT_TRY(measure_layer(m, i));
    m->out->lipschitz_bound = m->out->lipschitz_bound_normalized = (double)NAN;
    m->out->bound_by = "none";
    if (!m->cfg->upper)
        return LT_OK;
    LT_TRY(lti_compose_bound(m->model, m->layers, upper_of, m, &m->out->lipschitz_bound,
                             &m->out->lipschitz_bound_normalized));
    m->out->bound_by = m->crude ? "crude" : "certified";
    return LT_OK;
}

lt_status lt_spectra_measure(const lt_model *model, const lt_spectra_cfg *cfg, const lt_env *env, lt_spectra *out)
{
    lti_layers layers;
    *out = (lt_spectra){0};
    LT_TRY(lti_layers_find(model, &layers));
    measure m = {.model = model, .cfg = cfg, .env = env, .layers = &layers, .out = out};
    lt_status status = measure_all(&m);
    lt_backend_destroy(m.ref);
    lti_free(m.params);
    lti_free(m.state);
    lti_layers_clear(&layers);
    if (status != LT_OK)
        lt_spectra_clear(out);
    return status;
}

void lt_spectra_clear(lt_spectra *s)
{
    for (int i = 0; i < s->n_layers; i++) {
        lti_free(s->layer[i].name);
        lti_free(s->layer[i].sigma);
    }
    lti_free(s->layer);
    *s = (lt_spectra){0};
}
