// plans.c - one compiled plan per batch size.
//
// A plan is compiled for one batch size; an epoch needs the full one and the last partial one of each phase. The oldest
// plan makes room when a recipe changes its views so often that the table is full.
#include "train_impl.h"
#include "graph/plan_share.h"

#include <string.h>

static const lt_plan *largest_plan(const lti_plans *plans)
{
    const lti_plan_slot *largest = NULL;
    for (int i = 0; plans && i < LTI_MAX_PLANS; i++)
        if (plans->slot[i].plan && (!largest || plans->slot[i].batch > largest->batch))
            largest = &plans->slot[i];
    return largest ? largest->plan : NULL;
}

lt_status lti_plans_get(lti_plans *plans, int64_t batch, lt_plan **plan)
{
    lti_plan_slot *slot = NULL;
    for (int i = 0; i < LTI_MAX_PLANS; i++) {
        lti_plan_slot *s = &plans->slot[i];
        if (s->plan && s->batch == batch) {
            s->used = ++plans->clock;
            *plan = s->plan;
            return LT_OK;
        }
        if (!slot || s->used < slot->used) // free slots have used = 0
            slot = s;
    }
    lt_plan_spec spec = plans->spec;
    spec.batch = batch;
    const lt_plan *donor = plans->share_memory ? largest_plan(plans->share_from) : NULL;
    if (plans->share_memory && !donor)
        donor = largest_plan(plans);
    lt_plan *made = NULL;
    LT_TRY(lti_plan_create_sharing(plans->graph, &spec, plans->backend, donor, &made));
    lt_status status = lt_plan_bind(made, plans->params, plans->state, plans->grads);
    if (status != LT_OK) {
        lt_plan_destroy(made);
        return lt_error_frame(status, __FILE__, __LINE__, __func__);
    }
    lti_plan_keep_on_device(made, plans->keep_on_device);
    lt_plan_destroy(slot->plan);
    *slot = (lti_plan_slot){.plan = made, .batch = batch, .used = ++plans->clock};
    *plan = made;
    return LT_OK;
}

int64_t lti_plans_fit(const lti_plans *plans, int64_t n)
{
    int64_t best = 0;
    for (int i = 0; i < LTI_MAX_PLANS; i++) {
        const lti_plan_slot *s = &plans->slot[i];
        if (s->plan && s->batch >= n && (best == 0 || s->batch < best))
            best = s->batch;
    }
    return best;
}

void lti_plans_changed(lti_plans *plans)
{
    for (int i = 0; i < LTI_MAX_PLANS; i++)
        if (plans->slot[i].plan)
            lt_plan_params_changed(plans->slot[i].plan);
}

void lti_plans_keep_on_device(lti_plans *plans, bool leave)
{
    plans->keep_on_device = leave;
    for (int i = 0; i < LTI_MAX_PLANS; i++)
        if (plans->slot[i].plan)
            lti_plan_keep_on_device(plans->slot[i].plan, leave);
}

void lti_plans_repack_weights(lti_plans *plans)
{
    for (int i = 0; i < LTI_MAX_PLANS; i++)
        if (plans->slot[i].plan)
            lti_plan_repack_weights(plans->slot[i].plan);
}

void lti_plans_clear(lti_plans *plans)
{
    for (int i = 0; i < LTI_MAX_PLANS; i++) {
        lt_plan_destroy(plans->slot[i].plan);
        plans->slot[i] = (lti_plan_slot){0};
    }
}
