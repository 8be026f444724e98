// ga_amun.c - gradient ascent as in the AMUN comparison: each epoch first the retain set in order, then ascent on the
// forget set. [AMUN 5, 11.9]
//
// Pass 1: CE on D_R, unshuffled. Pass 2: -CE on D_F. Without retain data only pass 2, which is `ga` with this file's
// defaults.
#include "unlearn/recipe.h"

struct cfg {
    LTI_RECIPE_FIELDS
};

static const lt_option opts[] = {LTI_RECIPE_ROWS_OPEN(struct cfg), LT_OPT_END};

static lt_status plan(const lt_unlearn_in *in, const void *cfg, lt_unlearn_plan_ctx *ctx, lt_job *job)
{
    const struct cfg *c = cfg;
    LT_TRY(lti_recipe_apply(in, LTI_RECIPE_OF(c), ctx, job));
    if (in->use_retain)
        lti_add_view(job, lti_add_phase(job, false), lti_retain_view(in, c->augment));
    lt_view forget = lti_forget_view(in, c->augment);
    forget.weight = -1.0f;
    lti_add_view(job, lti_add_phase(job, true), forget);
    return LT_OK;
}

static const lt_unlearn_default defaults[] = {
    {.when = LT_WITH_RETAIN, .area = 3, .epochs = 10, .lr_step_every = LT_STEP_HALF},
    {.when = LT_WITHOUT_RETAIN, .area = 0.08, .epochs = 10, .lr_step_every = 1},
    {.epochs = 0},
};

const lt_unlearn_method lti_unlearn_ga_amun = {
    .name = "ga-amun",
    .title = "Gradient ascent with a retain pass",
    .label = "GA + retain",
    .cite = "amun",
    .doc = "The form behind the GA rows of the AMUN tables: every epoch descends once over the retain set (unshuffled) "
           "and then ascends "
           "over the forget set. Without retain data only the ascent is left.",
    .needs = LT_FINE_TUNES,
    .cfg_size = sizeof(struct cfg),
    .opts = opts,
    .plan = plan,
    .defaults = defaults,
};
