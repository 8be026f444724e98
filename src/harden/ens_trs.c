// ens_trs.c - TRS (Yang et al. 2021): input gradients of members shall not point the same way, and be short [TRS 1-5].
#include "ensemble_impl.h"

// Parity: weights of the terms in steps of LOTOS and in all others, (N,1) each, 1 or 0.
typedef struct trs {
    lt_val in_lotos_steps, in_other_steps;
} trs;

// x (N) times weight (N,1), row by row.
static lt_val weigh_rows(lt_graph *g, lt_val x, lt_val weight)
{
    return LTI_EMIT(g, row_dot, NULL, lt_flatten(g, x), weight);
}

// [TRS 5] The released trainer assigns the loss again in its loop over the members: on most steps the last
// cross-entropy and the smoothness are all that is left of it.
static lt_status build_released(lti_ensemble_loss *l, lt_graph *g, lt_val cos, lt_val smooth, lt_val *per_sample)
{
    trs *t = lti_calloc(1, sizeof *t);
    if (!t)
        return LTI_NOMEM("TRS");
    l->state = t;
    t->in_lotos_steps = lt_input(g, "trs.lotos-steps", LT_F32, LT_SHAPE(LT_BATCH, 1));
    t->in_other_steps = lt_input(g, "trs.other-steps", LT_F32, LT_SHAPE(LT_BATCH, 1));
    lt_val dropped = cos;
    for (int i = 0; i + 1 < l->e->n; i++)
        dropped = lt_add(g, dropped, l->ce[i]);
    *per_sample = lt_add(g, l->ce[l->e->n - 1], weigh_rows(g, dropped, t->in_lotos_steps));
    *per_sample = lt_add(g, *per_sample, weigh_rows(g, smooth, t->in_other_steps));
    return lt_graph_status(g);
}

static void add_term(lt_graph *g, lt_val *sum, lt_val term)
{
    *sum = *sum == LT_NONE ? term : lt_add(g, *sum, term);
}

static lt_status build(lti_ensemble_loss *l, lt_graph *g, lt_val *per_sample)
{
    const int n = l->e->n;
    const float per_pair = l->cfg->trs_cos * 2 / (float)(n * (n - 1)), per_member = l->cfg->trs_smooth * 2 / (float)n;
    const bool released = l->cfg->trs_parity;
    lt_val gradient[LT_ENSEMBLE_MAX], cos_terms = LT_NONE, smooth_terms = LT_NONE;
    LT_TRY(lti_input_gradients(l, g, gradient));
    for (int i = 0; i < n; i++) {
        for (int j = 0; j < i; j++) {
            const lt_val cos = LTI_EMIT(g, abs, NULL, LTI_EMIT(g, row_cos, NULL, gradient[i], gradient[j]));
            add_term(g, released ? &cos_terms : per_sample, lt_scale(g, cos, per_pair));
        }
        const lt_val square = LTI_EMIT(g, row_dot, NULL, gradient[i], gradient[i]);
        add_term(g, released ? &smooth_terms : per_sample, lt_scale(g, square, per_member));
    }
    return released ? build_released(l, g, cos_terms, smooth_terms, per_sample) : lt_graph_status(g);
}

static lt_status fill(lti_ensemble_loss *l, const lt_objective_batch *at, lt_plan *plan)
{
    const trs *t = l->state;
    if (!t)
        return LT_OK;
    const bool lotos = at->step % l->epoch_steps % l->lotos_every == 0;
    float *in_lotos = lt_plan_buffer(plan, t->in_lotos_steps), *in_other = lt_plan_buffer(plan, t->in_other_steps);
    for (int64_t i = 0; i < at->batch->n; i++) {
        in_lotos[i] = lotos ? 1 : 0;
        in_other[i] = lotos ? 0 : 1;
    }
    return LT_OK;
}

static void clear(lti_ensemble_loss *l)
{
    lti_free(l->state);
    l->state = NULL;
}

const lti_ensemble_method lti_ensemble_trs = {
    .name = "trs", .title = "transferability-reduced smooth ensemble", .build = build, .fill = fill, .clear = clear};
