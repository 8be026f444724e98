// random_labels.c - the job of random labels and of SalUn, and their defaults. docs/methods/rl.md, salun.md
#include "unlearn/random_labels.h"

lt_status lti_random_labels_plan(const lt_unlearn_in *in, const char *method, const lti_random_labels_cfg *cfg,
                                 lt_unlearn_plan_ctx *ctx, lt_job *job)
{
    const lti_rl rl = {.order = cfg->order, .true_label = cfg->true_label, .augment = cfg->augment};
    LT_TRY(lti_add_random_labels(in, method, rl, job));
    return lti_recipe_apply(in, LTI_RECIPE_OF(cfg), ctx, job);
}

const lt_unlearn_default lti_random_labels_defaults[] = {
    {.when = LT_OF_CLASSES | LT_WITH_RETAIN, .area = 3, .epochs = 10, .lr_step_every = LT_STEP_COSINE},
    {.when = LT_WITH_RETAIN | LT_UNAUGMENTED, .area = 0.7, .epochs = 10, .lr_step_every = 1},
    {.when = LT_WITH_RETAIN | LT_AUGMENTED, .area = 5, .epochs = 10, .lr_step_every = 1},
    {.when = LT_WITHOUT_RETAIN, .area = 0.04, .epochs = 10, .lr_step_every = 1},
    {.epochs = 0},
};
