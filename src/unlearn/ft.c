// ft.c - fine-tuning on the retain set: hope that the forget set fades. min E_{D_R} CE(z,y). [AMUN 5] [Warnecke 2023]
#include "unlearn/recipe.h"

struct cfg {
    LTI_RECIPE_FIELDS
};

static const lt_option opts[] = {LTI_RECIPE_ROWS_OPEN(struct cfg), LT_OPT_END};

static lt_status plan(const lt_unlearn_in *in, const void *cfg, lt_unlearn_plan_ctx *ctx, lt_job *job)
{
    const struct cfg *c = cfg;
    LT_TRY(lti_recipe_apply(in, LTI_RECIPE_OF(c), ctx, job));
    lti_add_view(job, lti_add_phase(job, true), lti_retain_view(in, c->augment));
    return LT_OK;
}

static const lt_unlearn_default defaults[] = {
    {.when = 0, .area = 30, .epochs = 10, .lr_step_every = LT_STEP_HALF},
    {.epochs = 0},
};

static const lt_unlearn_default published[] = {
    {.lr = 0.01f, .epochs = 10, .batch = 256, .lr_step_every = 0},
    {.epochs = 0},
};

const lt_unlearn_method lti_unlearn_ft = {
    .name = "ft",
    .title = "Fine-tuning on the retain set",
    .label = "FT",
    .cite = "warnecke2023",
    .doc = "Minimises the cross-entropy on the retain set, starting from the trained model. Meaningless without retain "
           "data.",
    .needs = LT_NEED_RETAIN | LT_FINE_TUNES,
    .cfg_size = sizeof(struct cfg),
    .opts = opts,
    .plan = plan,
    .defaults = defaults,
    .published = published,
};
