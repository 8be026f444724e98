// random_labels.c - the job of random labels and of SalUn. docs/methods/rl.md, salun.md
#include "unlearn/random_labels.h"

lt_status lti_random_labels_plan(const lt_unlearn_in *in, const char *method, const lti_random_labels_cfg *cfg,
                                 lt_unlearn_plan_ctx *ctx, lt_job *job)
{
    const lti_rl rl = {.order = cfg->order, .true_label = cfg->true_label, .augment = cfg->augment};
    LT_TRY(lti_add_random_labels(in, method, rl, job));
    return lti_recipe_apply(in, LTI_RECIPE_OF(cfg), ctx, job);
}
