// rwft.c - reweighting and fine-tuning: TRW without its tilt, as in the first version of the paper. docs/methods/trw.md
#include "lethe/output_file.h"
#include "unlearn/class_targets.h"

struct cfg {
    LTI_RECIPE_FIELDS
    float forget_weight;
    double remain_frac;
    const char *save_targets;
};

static const lt_option opts[] = {
    LTI_RECIPE_ROWS_OPEN(struct cfg),
    LT_F32(struct cfg, forget_weight, 1, 0, 1e6, "", "weight of the forgotten images' term"),
    LT_F64(struct cfg, remain_frac, 1, 0, 1, "",
           "share of the retained images used in each epoch, redrawn each time; 0 = forget data only"),
    LT_STR(struct cfg, save_targets, NULL,
           "write the targets of the forgotten images to this .npz: ids, q, similarity, beta"),
    LT_OPT_END,
};

static lt_status plan(const lt_unlearn_in *in, const void *cfg, lt_unlearn_plan_ctx *ctx, lt_job *job)
{
    const struct cfg *c = cfg;
    LT_TRY(lti_recipe_apply(in, LTI_RECIPE_OF(c), ctx, job));
    return lti_class_targets_plan(in, "rwft",
                                  &(lti_class_targets_cfg){.similarity = {LTI_SIM_COSINE, 1, 1},
                                                           .forget_weight = c->forget_weight,
                                                           .remain_frac = c->remain_frac,
                                                           .rounds = 1,
                                                           .save_targets = c->save_targets},
                                  c->augment, ctx, job);
}

static lt_status check_files(const void *cfg, bool force)
{
    return lt_output_check("save-targets", ((const struct cfg *)cfg)->save_targets, LT_OUTPUT_NPZ, force);
}

static const lt_unlearn_default defaults[] = {
    {.when = LT_WITHOUT_RETAIN, .area = 0.03, .epochs = 10, .lr_step_every = LT_STEP_COSINE},
    {.when = 0, .area = 3, .epochs = 10, .lr_step_every = LT_STEP_COSINE},
    {.epochs = 0},
};

const lt_unlearn_method lti_unlearn_rwft = {
    .name = "rwft",
    .title = "RWFT",
    .label = "RWFT",
    .cite = "trw",
    .doc = "The ancestor of trw: images of the forgotten classes are trained towards the frozen model's distribution, "
           "renormalised over the classes that stay, without a tilt. Equal to trw at beta 0.",
    .needs = LT_WHOLE_CLASSES | LT_FINE_TUNES,
    .cfg_size = sizeof(struct cfg),
    .opts = opts,
    .plan = plan,
    .defaults = defaults,
    .check_files = check_files,
};
