// retrain.c - the exact answer every other method is measured against: train again, from scratch, without the forget
// set.
//
// min over theta of E_{D_R} CE, with the recipe of the original model and a new initialisation. [AMUN 4.3, 5]
#include "unlearn/recipe.h"

static const lt_option opts[] = {LT_OPT_END};

static lt_status plan(const lt_unlearn_in *in, const void *cfg, lt_unlearn_plan_ctx *ctx, lt_job *job)
{
    (void)cfg;
    (void)ctx;
    job->cfg = *in->train_cfg;
    lti_add_view(job, lti_add_phase(job, true), lti_retain_view(in, in->train_cfg->augment));
    return LT_OK;
}

const lt_unlearn_method lti_unlearn_retrain = {
    .name = "retrain",
    .title = "Retrain from scratch",
    .label = "Retrain",
    .cite = "amun",
    .doc = "A new initialisation trained on the retain set with the recipe of the original model: the oracle. A model "
           "that was fine-tuned is retrained by all of its trainings in order, each without the forgotten samples. The "
           "recipe is what the run of the original recorded; --recipe FILE.yaml and the options of training say it "
           "where nothing was recorded.",
    .needs = LT_NEED_RETAIN | LT_FROM_SCRATCH,
    .cfg_size = 0,
    .opts = opts,
    .plan = plan,
};
