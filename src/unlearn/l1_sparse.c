// l1_sparse.c - fine-tuning on the retain set towards a sparse network. [L1-sparse] [AMUN 5, 11.8]
//
// min E_{D_R} CE(z,y) + a_t |theta|_1 over all parameters, a_t falling to 0 in a straight line over the epochs without
// l1_off_last_epochs. l1_schedule=cumulative is what the AMUN repository runs instead: it multiplies the weight after
// every epoch e of E by 2 - 2e/E, so that 5e-4 first grows to 4.8e-3.
#include "unlearn/recipe.h"

struct cfg {
    LTI_RECIPE_FIELDS
};

static const lt_option opts[] = {
    LTI_RECIPE_ROWS_OPEN_OF(struct cfg, LT_SGD, 5e-4, 5e-4, LT_L1_LINEAR, 0, LTI_MASK_NONE),
    LT_OPT_END,
};

static lt_status plan(const lt_unlearn_in *in, const void *cfg, lt_unlearn_plan_ctx *ctx, lt_job *job)
{
    const struct cfg *c = cfg;
    lti_add_view(job, lti_add_phase(job, true), lti_retain_view(in, c->augment));
    return lti_recipe_apply(in, LTI_RECIPE_OF(c), ctx, job);
}

static const lt_unlearn_default defaults[] = {
    {.when = 0, .area = 30, .epochs = 10, .lr_step_every = LT_STEP_HALF},
    {.epochs = 0},
};

static const lt_unlearn_default published[] = {
    {.lr = 0.01f, .epochs = 10, .batch = 256, .lr_step_every = 0},
    {.epochs = 0},
};

const lt_unlearn_method lti_unlearn_l1_sparse = {
    .name = "l1-sparse",
    .title = "Fine-tuning with an l1 penalty",
    .label = "l1-sparse",
    .cite = "l1sparse",
    .doc = "Minimises the cross-entropy on the retain set plus an l1 penalty on all parameters whose weight falls to 0 "
           "over the epochs. l1_schedule=cumulative gives the schedule that the AMUN repository runs under this name, "
           "which grows tenfold before it falls. The published code has no value for the weight; 5e-4 is that of AMUN.",
    .needs = LT_NEED_RETAIN | LT_FINE_TUNES,
    .cfg_size = sizeof(struct cfg),
    .opts = opts,
    .plan = plan,
    .defaults = defaults,
    .published = published,
};
