// ens_dverge.c - DVERGE (Yang et al. 2020): members learn from images that carry another member's features [DVERGE
// 1-4].
//
// For every batch each member j makes x'_j: within eps of the source images, with the features of target images at one
// layer of j, the same layer for a whole epoch. Member i learns the source labels from the x'_j of the others.
#include "ensemble_impl.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MAX_STAGES = 16 };

typedef struct distiller { // of one member, layer and batch size
    lt_graph *graph;
    lt_val target, distance;
    lt_plan *forward, *attack;
    int64_t batch;
    int stage;
} distiller;
typedef struct dverge {
    lt_val x[LT_ENSEMBLE_MAX]; // of the training graph
    distiller at[LT_ENSEMBLE_MAX];
    int n_stages;
    float *momentum; // (batch, C H W)
    int64_t capacity;
} dverge;

static lt_status build(lti_ensemble_loss *l, lt_graph *g, lt_val *per_sample)
{
    const lt_ensemble *e = l->e;
    dverge *d = lti_calloc(1, sizeof *d);
    if (!d)
        return LTI_NOMEM("DVERGE");
    l->state = d;
    for (int j = 0; j < e->n; j++) {
        char name[32];
        snprintf(name, sizeof name, "dverge.x%d", j);
        const int n = lt_model_stages(e->member[j], NULL, 0);
        d->n_stages = j == 0 || n < d->n_stages ? n : d->n_stages;
        d->x[j] = lt_input(g, name, LT_F32, g->value[e->joint->x].shape);
    }
    if (d->n_stages < 1)
        return LT_FAIL(LT_E_UNSUPPORTED, "DVERGE: expected members with named stages, %s has none", e->member[0]->spec);
    lt_val sum = LT_NONE;
    for (int i = 0; i < e->n; i++)
        for (int j = 0; j < e->n; j++) {
            if (i == j)
                continue;
            const lt_val z = lt_graph_clone_subgraph(g, e->logits[i], e->joint->x, d->x[j]);
            const lt_val ce = lt_cross_entropy(g, z, l->labels, 0);
            sum = sum == LT_NONE ? ce : lt_add(g, sum, ce);
        }
    *per_sample = sum;
    return lt_graph_status(g);
}

static void clear_distiller(distiller *d)
{
    lt_plan_destroy(d->forward);
    lt_plan_destroy(d->attack);
    lt_graph_destroy(d->graph);
    *d = (distiller){0};
}

// |h(z) - target|^2 summed over everything: rows do not see each other.
static lt_status compile(const lti_ensemble_loss *l, int j, int stage, int64_t batch, distiller *d)
{
    const lt_model *m = l->e->member[j];
    lt_val stages[MAX_STAGES];
    lt_value_info h;
    clear_distiller(d);
    d->batch = batch;
    d->stage = stage;
    lt_model_stages(m, stages, MAX_STAGES);
    LT_TRY(lt_graph_dup(m->graph, &d->graph));
    LT_TRY(lt_graph_value(d->graph, stages[stage], &h));
    d->target = lt_input(d->graph, "dverge.target", LT_F32, h.shape);
    const lt_val off = lt_add(d->graph, stages[stage], lt_scale(d->graph, d->target, -1));
    d->distance = lt_dot(d->graph, off, off);
    LT_TRY(lt_graph_status(d->graph));
    lt_plan_spec spec = {.outs = &stages[stage],
                         .n_outs = 1,
                         .grad_of = LT_NONE,
                         .seed = LT_NONE,
                         .batch = batch,
                         .dtype = LT_F32,
                         .flags = l->env->plan_flags};
    LT_TRY(lt_plan_create(d->graph, &spec, l->env->backend, &d->forward));
    spec.outs = &d->distance;
    spec.grad_of = d->distance;
    spec.wrt = &m->x;
    spec.n_wrt = 1;
    LT_TRY(lt_plan_create(d->graph, &spec, l->env->backend, &d->attack));
    float *params = l->e->joint->params + l->e->param_at[j], *state = l->e->joint->state + l->e->state_at[j];
    LT_TRY(lt_plan_bind(d->forward, params, state, NULL));
    return lt_plan_bind(d->attack, params, state, NULL);
}

// z <- into the ball around x and into [0,1], after a step against the sign of the accumulated gradient.
static void step_image(const lt_ensemble_cfg *cfg, const float *x, const float *g, int64_t n, float *momentum, float *z)
{
    double l1 = 0;
    for (int64_t i = 0; i < n; i++)
        l1 += fabs((double)g[i]);
    for (int64_t i = 0; i < n; i++) {
        momentum[i] += l1 > 0 ? (float)((double)g[i] / l1) : 0;
        float v = z[i] - cfg->dverge_step * (float)((momentum[i] > 0) - (momentum[i] < 0));
        v = fminf(fmaxf(v, x[i] - cfg->dverge_eps), x[i] + cfg->dverge_eps);
        z[i] = fminf(fmaxf(v, 0), 1);
    }
}

// Features of the batch in another order are the targets.
static lt_status distil(const lti_ensemble_loss *l, distiller *d, int j, const lt_objective_batch *at, float *out)
{
    const lt_model *m = l->e->member[j];
    const lt_batch *b = at->batch;
    const int64_t per = (int64_t)m->shape.c * m->shape.h * m->shape.w;
    lt_val stages[MAX_STAGES];
    lt_model_stages(m, stages, MAX_STAGES);
    float *x = lt_plan_buffer(d->forward, m->x), *z = lt_plan_buffer(d->attack, m->x);
    lt_rng rng = lt_rng_at(l->seed, LT_STREAM_ROBUST, (uint32_t)at->step, 1ull << 40);
    const int64_t shift = b->n > 1 ? 1 + (int64_t)lt_rng_below(&rng, (uint64_t)b->n - 1) : 0;
    for (int64_t r = 0; r < b->n; r++)
        memcpy(x + r * per, b->x + (r + shift) % b->n * per, (size_t)per * sizeof *x);
    lt_plan_params_changed(d->forward);
    lt_plan_params_changed(d->attack);
    LT_TRY(lt_plan_run(d->forward));
    lt_value_info h;
    LT_TRY(lt_graph_value(d->graph, stages[d->stage], &h));
    int64_t n_h = b->n;
    for (int i = 1; i < h.shape.n_dims; i++)
        n_h *= h.shape.dim[i];
    memcpy(lt_plan_buffer(d->attack, d->target), lt_plan_buffer(d->forward, stages[d->stage]),
           (size_t)n_h * sizeof(float));
    memcpy(z, b->x, (size_t)(b->n * per) * sizeof *z);
    float *momentum = ((dverge *)l->state)->momentum;
    memset(momentum, 0, (size_t)(b->n * per) * sizeof *momentum);
    for (int s = 0; s < l->cfg->dverge_steps; s++) {
        LT_TRY(lt_plan_run(d->attack));
        const float *g = lt_plan_grad(d->attack, 0);
        for (int64_t r = 0; r < b->n; r++)
            step_image(l->cfg, b->x + r * per, g + r * per, per, momentum + r * per, z + r * per);
    }
    memcpy(out, z, (size_t)(b->n * per) * sizeof *out);
    return LT_OK;
}

static lt_status fill(lti_ensemble_loss *l, const lt_objective_batch *at, lt_plan *plan)
{
    dverge *d = l->state;
    const lt_model_shape *s = &l->e->joint->shape;
    const int64_t n = at->batch->n * s->c * s->h * s->w;
    if (n > d->capacity) {
        lti_free(d->momentum);
        d->momentum = lti_calloc((size_t)n, sizeof *d->momentum);
        d->capacity = d->momentum ? n : 0;
        if (!d->momentum)
            return LTI_NOMEM("DVERGE");
    }
    lt_rng rng = lt_rng_at(l->seed, LT_STREAM_ROBUST, (uint32_t)at->epoch, 1ull << 41);
    const int stage = (int)lt_rng_below(&rng, (uint64_t)d->n_stages);
    for (int j = 0; j < l->e->n; j++) {
        distiller *one = &d->at[j];
        if (!one->attack || one->batch != at->batch->n || one->stage != stage)
            LT_TRY(compile(l, j, stage, at->batch->n, one));
        LT_TRY(distil(l, one, j, at, lt_plan_buffer(plan, d->x[j])));
    }
    return LT_OK;
}

static void clear(lti_ensemble_loss *l)
{
    dverge *d = l->state;
    for (int j = 0; d && j < LT_ENSEMBLE_MAX; j++)
        clear_distiller(&d->at[j]);
    if (d)
        lti_free(d->momentum);
    lti_free(d);
    l->state = NULL;
}

const lti_ensemble_method lti_ensemble_dverge = {.name = "dverge",
                                                 .title = "diversifying vulnerabilities by distilled features",
                                                 .build = build,
                                                 .fill = fill,
                                                 .clear = clear};
