// lotos.c - LOTOS (Ebrahimpour-Boroojeny et al. 2025): what one member's layer stretches most, another's shall not
// [LOTOS 1-7].
//
// Every convolution of every member has a tracker of its top right singular vectors. The term is the sum over ordered
// pairs of members and over layers of ReLU(|W_j v_k| - mal); the vectors are constants, so its gradient with respect to
// W_j is one weight gradient of the layer. It enters training as a penalty: computed once before the pass of the
// optimizer, added block by block inside it.
#include "ensemble_impl.h"
#include <math.h>
#include <string.h>

typedef struct cell { // one member's layer of a group
    lti_tracker track;
    lt_linear_map *others; // the same layer, on the vectors of all other members at once
    float *x, *y;          // ((n-1) k, n_in), ((n-1) k, n_out)
} cell;

struct lti_lotos {
    const lt_ensemble *e;
    const lt_ensemble_cfg *cfg;
    lti_layers layers; // of the joint model
    cell *at;          // (n_groups, n members)
    int n_groups, every, k;
    float *gradient; // (n_params)
    float *memory;   // of the job: the vectors of all cells, then a mark that they are started
    size_t n_memory;
    uint64_t seed;
    double loss, length;
    bool active;
    lt_error failure;
};

static int member_of(const lt_ensemble *e, const lti_layer *layer)
{
    const int64_t at = e->joint->graph->value[layer->weight].slab_offset;
    int j = e->n - 1;
    while (j > 0 && at < e->param_at[j])
        j--;
    return j;
}

static bool same_input(const lt_ensemble *e, const lti_layer *a, const lti_layer *b)
{
    return lti_shape_equal(&e->joint->graph->value[a->from].shape, &e->joint->graph->value[b->from].shape);
}

// The index-th convolution of a member, or NULL.
static const lti_layer *conv_of(const lti_lotos *l, int member, int index)
{
    for (int i = 0; i < l->layers.n; i++) {
        const lti_layer *layer = &l->layers.layer[i];
        if (layer->kind == LT_LAYER_CONV && member_of(l->e, layer) == member && index-- == 0)
            return layer;
    }
    return NULL;
}

// Groups of layers that take the same input: all convolutions of like members, the first one of different ones.
static int count_groups(const lti_lotos *l)
{
    int n = 0;
    for (;; n++)
        for (int j = 0; j < l->e->n; j++) {
            const lti_layer *first = conv_of(l, 0, n), *mine = conv_of(l, j, n);
            if (!first || !mine || !same_input(l->e, first, mine) || (l->cfg->lotos_stem && n == 1))
                return n;
            if (n == 1 && strcmp(l->e->member[0]->spec, l->e->member[j]->spec) != 0)
                return n;
        }
}

static lt_status init_cell(lti_lotos *l, cell *c, const lti_layer *layer, const lt_env *env)
{
    LT_TRY(lti_tracker_init(&c->track, l->e->joint, layer, l->k, env));
    const int64_t rows = (int64_t)(l->e->n - 1) * c->track.k;
    const lt_linear_map_spec spec = {.graph = l->e->joint->graph,
                                     .from = layer->from,
                                     .to = layer->to,
                                     .batch = rows,
                                     .dtype = LT_F32,
                                     .flags = env->plan_flags & ~(unsigned)LT_PLAN_BF16,
                                     .weight = {layer->weight, LT_NONE}};
    LT_TRY(lt_linear_map_create(&spec, env->backend, &c->others));
    LT_TRY(lt_linear_map_bind(c->others, l->e->joint->params, l->e->joint->state));
    c->x = lti_calloc((size_t)(rows * c->track.n_in), sizeof *c->x);
    c->y = lti_calloc((size_t)(rows * c->track.n_out), sizeof *c->y);
    return c->x && c->y ? LT_OK : LTI_NOMEM("LOTOS");
}

static lt_status init(lti_lotos *l, const lt_env *env)
{
    const int n = l->e->n;
    LT_TRY(lti_layers_find(l->e->joint, &l->layers));
    l->n_groups = count_groups(l);
    if (l->n_groups == 0)
        return LT_FAIL(LT_E_UNSUPPORTED, "LOTOS: the members have no convolution with the same input");
    l->at = lti_calloc((size_t)l->n_groups * (size_t)n, sizeof *l->at);
    l->gradient = lti_calloc((size_t)l->e->joint->n_params, sizeof *l->gradient);
    if (!l->at || !l->gradient)
        return LTI_NOMEM("LOTOS");
    for (int g = 0; g < l->n_groups; g++)
        for (int j = 0; j < n; j++)
            LT_TRY(init_cell(l, &l->at[g * n + j], conv_of(l, j, g), env));
    return LT_OK;
}

lt_status lti_lotos_create(const lt_ensemble *e, const lt_ensemble_cfg *cfg, int every, const lt_env *env,
                           lti_lotos **lotos)
{
    lti_lotos *l = lti_calloc(1, sizeof *l);
    if (!l)
        return LTI_NOMEM("LOTOS");
    *l = (lti_lotos){.e = e, .cfg = cfg, .every = every > 0 ? every : 1, .k = cfg->lotos_vectors};
    lt_status status = init(l, env);
    if (status == LT_OK)
        *lotos = l;
    else
        lti_lotos_destroy(l);
    return status;
}

void lti_lotos_destroy(lti_lotos *l)
{
    if (!l)
        return;
    for (int i = 0; l->at && i < l->n_groups * l->e->n; i++) {
        lti_tracker_clear(&l->at[i].track);
        lt_linear_map_destroy(l->at[i].others);
        lti_free(l->at[i].x);
        lti_free(l->at[i].y);
    }
    lti_free(l->at);
    lti_free(l->gradient);
    lti_layers_clear(&l->layers);
    lti_free(l);
}

size_t lti_lotos_memory_floats(const lti_lotos *l)
{
    size_t n = 1;
    for (int i = 0; i < l->n_groups * l->e->n; i++)
        n += (size_t)(l->at[i].track.k * l->at[i].track.n_in);
    return n;
}

void lti_lotos_use_memory(lti_lotos *l, float *memory, uint64_t seed)
{
    l->seed = seed;
    l->memory = memory;
    l->n_memory = lti_lotos_memory_floats(l);
    for (int i = 0; i < l->n_groups * l->e->n; i++) {
        lti_tracker *t = &l->at[i].track;
        if (t->owns_v)
            lti_free(t->v);
        t->owns_v = false;
        t->v = memory;
        memory += t->k * t->n_in;
    }
}

lt_status lti_lotos_follow(lti_lotos *l)
{
    enum { FIRST_STEPS = 100 };
    const bool first = l->memory[l->n_memory - 1] == 0;
    for (int i = 0; i < l->n_groups * l->e->n; i++) {
        lti_tracker *t = &l->at[i].track;
        lti_tracker_changed(t);
        if (first)
            lti_tracker_restart(t, l->seed, (uint32_t)i);
        LT_TRY(lti_tracker_step(t, first ? FIRST_STEPS : 1, 1));
    }
    l->memory[l->n_memory - 1] = 1;
    return LT_OK;
}

// ---- the term and its gradient

// Weight of the i-th of k vectors: 1 - i / 100, over their sum.
static double vector_weight(int i, int k)
{
    double sum = 0;
    for (int e = 0; e < k; e++)
        sum += 1 - 0.01 * e;
    return (1 - 0.01 * i) / sum;
}

static double scale_of(const lti_lotos *l)
{
    const double n = l->e->n;
    return (double)l->cfg->lotos_weight / (l->cfg->lotos_normalize ? (double)l->n_groups * n * (n - 1) : 1);
}

// y rows of one layer become a_i y_i, with a_i the derivative of the term over the length; returns the term.
static double weigh_rows(lti_lotos *l, cell *c, double *lengths)
{
    const double scale = scale_of(l), mal = (double)l->cfg->lotos_mal;
    const int k = c->track.k;
    double term = 0;
    for (int r = 0; r < (l->e->n - 1) * k; r++) {
        float *y = c->y + r * c->track.n_out;
        const double length = sqrt(lti_dot_f32(y, y, c->track.n_out)), w = scale * vector_weight(r % k, k);
        const double a = length > mal ? w / length : 0;
        term += length > mal ? w * (length - mal) : 0;
        *lengths += c->track.sigma[0] > 0 ? length / c->track.sigma[0] : 0;
        for (int64_t e = 0; e < c->track.n_out; e++)
            y[e] = (float)(a * (double)y[e]);
    }
    return term;
}

static lt_status gradient_of_cell(lti_lotos *l, int g, int j, float *gradient, double *loss)
{
    const int n = l->e->n;
    cell *c = &l->at[g * n + j];
    const int64_t block = c->track.k * c->track.n_in;
    float *x = c->x;
    for (int k = 0; k < n; k++) {
        if (k == j)
            continue;
        memcpy(x, l->at[g * n + k].track.v, (size_t)block * sizeof *x);
        x += block;
    }
    lt_linear_map_changed(c->others);
    LT_TRY(lt_linear_map_apply(c->others, c->x, c->y));
    *loss += weigh_rows(l, c, &l->length);
    if (!gradient)
        return LT_OK;
    const int64_t at = l->e->joint->graph->value[c->track.layer->weight].slab_offset;
    return lt_linear_map_weight_grad(c->others, c->x, c->y, (void *[]){gradient + at, NULL});
}

lt_status lti_lotos_gradient(lti_lotos *l, float *gradient, double *loss)
{
    const int n = l->e->n;
    double term = 0;
    l->length = 0;
    if (gradient)
        memset(gradient, 0, (size_t)l->e->joint->n_params * sizeof *gradient);
    for (int g = 0; g < l->n_groups; g++)
        for (int j = 0; j < n; j++)
            LT_TRY(gradient_of_cell(l, g, j, gradient, &term));
    l->length /= (double)(l->n_groups * n * (n - 1) * l->at[0].track.k);
    *loss = l->loss = term;
    return LT_OK;
}

double lti_lotos_length(const lti_lotos *l)
{
    return l->length;
}

lt_status lti_lotos_error(const lti_lotos *l)
{
    if (l->failure.status != LT_OK)
        lt_error_restore(&l->failure);
    return l->failure.status;
}

// ---- as a penalty of a job

// The vectors exist from the end of the first step on.
static double prepare(void *ctx, const lt_update_at *at)
{
    lti_lotos *l = ctx;
    double loss = 0;
    l->active = l->memory[l->n_memory - 1] != 0 && at->step % l->every == 0;
    if (l->cfg->lotos_parity && (at->step + 1 == at->n_steps || at->step % 200 == 199))
        l->active = false;
    l->loss = 0;
    if (!l->active || l->failure.status != LT_OK || l->cfg->lotos_weight == 0)
        return 0;
    if (lti_lotos_gradient(l, l->gradient, &loss) != LT_OK) {
        l->failure = *lt_error_get();
        return 0;
    }
    return 1;
}

static void add(void *ctx, float weight, int64_t from, int64_t n, const float *p, float *g)
{
    const lti_lotos *l = ctx;
    (void)p;
    for (int64_t i = 0; i < n; i++)
        g[i] += weight * l->gradient[from + i];
}

static double finish(void *ctx, float *own_grad)
{
    const lti_lotos *l = ctx;
    (void)own_grad;
    return l->loss;
}

lt_penalty lti_lotos_penalty(lti_lotos *l)
{
    return (lt_penalty){.name = "lotos", .weight = prepare, .add = add, .finish = finish, .ctx = l};
}
