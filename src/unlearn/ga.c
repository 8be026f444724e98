// ga.c - gradient ascent on the forget set, the upstream form: min -E_{D_F} CE(z,y), no retain data. [AMUN 5] [Thudi
// 2022]
//
// Published, and the preset of that name: learning rate 1e-4, constant, 5 epochs, batch 256. The default area falls by
// a step after every epoch and is a choice of lethe.
#include "unlearn/recipe.h"

struct cfg {
    LTI_RECIPE_FIELDS
};

static const lt_option opts[] = {LTI_RECIPE_ROWS_OPEN(struct cfg), LT_OPT_END};

static lt_status plan(const lt_unlearn_in *in, const void *cfg, lt_unlearn_plan_ctx *ctx, lt_job *job)
{
    const struct cfg *c = cfg;
    LT_TRY(lti_recipe_apply(in, LTI_RECIPE_OF(c), ctx, job));
    lt_view forget = lti_forget_view(in, c->augment);
    forget.weight = -1.0f;
    lti_add_view(job, lti_add_phase(job, true), forget);
    return LT_OK;
}

static const lt_unlearn_default defaults[] = {
    {.when = 0, .area = 0.08, .epochs = 5, .lr_step_every = 1},
    {.epochs = 0},
};

static const lt_unlearn_default published[] = {
    {.lr = 1e-4f, .epochs = 5, .batch = 256, .lr_step_every = 0},
    {.epochs = 0},
};

const lt_unlearn_method lti_unlearn_ga = {
    .name = "ga",
    .title = "Gradient ascent on the forget set",
    .label = "GA",
    .cite = "thudi2022",
    .doc = "Maximises the cross-entropy on the forget set and never reads retain data, in either access setting. "
           "Inert with a small "
           "learning rate, collapses with a larger one.",
    .needs = LT_FORGET_ONLY | LT_FINE_TUNES,
    .cfg_size = sizeof(struct cfg),
    .opts = opts,
    .plan = plan,
    .defaults = defaults,
    .published = published,
};
