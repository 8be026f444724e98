// neggrad_plus.c - NegGrad+: descent on the retain set and ascent on the forget set in every step. [SCRUB] [AMUN 5]
//
// Each step: alpha CE(batch of D_R) - (1 - alpha) CE(batch of D_F), D_F taken round and round until D_R is through. The
// two batches pass the network separately, as in the authors' code, so batch norm never mixes them.
#include "unlearn/recipe.h"

struct cfg {
    LTI_RECIPE_FIELDS
    float alpha;
    int64_t forget_batch;
};

static const lt_option opts[] = {
    LTI_RECIPE_ROWS_OPEN_OF(struct cfg, LT_SGD, 0, 0, LT_L1_CONST, 0, LTI_MASK_NONE),
    LT_F32(struct cfg, alpha, 0.95, 0, 1, "", "weight of the retain batch; 1 - alpha is that of the ascent"),
    LT_I64(struct cfg, forget_batch, 128, 1, 65536, "images", "forget samples that accompany each retain batch"),
    LT_OPT_END,
};

static lt_status plan(const lt_unlearn_in *in, const void *cfg, lt_unlearn_plan_ctx *ctx, lt_job *job)
{
    const struct cfg *c = cfg;
    lt_view retain = lti_retain_view(in, c->augment), forget = lti_forget_view(in, c->augment);
    retain.weight = c->alpha;
    forget.weight = -(1.0f - c->alpha);
    lti_add_view(job, lti_add_phase(job, true), retain);
    lt_phase *companion = lti_add_phase(job, true);
    companion->companion = true;
    companion->batch = c->forget_batch;
    lti_add_view(job, companion, forget);
    return lti_recipe_apply(in, LTI_RECIPE_OF(c), ctx, job);
}

static const lt_unlearn_default defaults[] = {
    {.when = LT_OF_CLASSES, .area = 1, .epochs = 10, .lr_step_every = LT_STEP_HALF},
    {.when = 0, .area = 3, .epochs = 10, .lr_step_every = LT_STEP_HALF},
    {.epochs = 0},
};

static const lt_unlearn_default published[] = {
    {.lr = 0.01f, .epochs = 10, .batch = 128, .lr_step_every = 0},
    {.epochs = 0},
};

const lt_unlearn_method lti_unlearn_neggrad_plus = {
    .name = "neggrad-plus",
    .title = "NegGrad+",
    .label = "NegGrad+",
    .cite = "scrub",
    .doc =
        "Every step goes down the loss of a retain batch (weight alpha) and up that of a forget batch (1 - alpha); the "
        "forget set is read round and round. From the SCRUB authors' code: alpha 0.95, 10 epochs, no weight decay; "
        "their "
        "constant lr of 0.01 is that of the published preset. The areas and the step of the rate are choices of lethe.",
    .needs = LT_NEED_RETAIN | LT_FINE_TUNES,
    .cfg_size = sizeof(struct cfg),
    .opts = opts,
    .plan = plan,
    .defaults = defaults,
    .published = published,
};
