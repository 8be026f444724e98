// trw.c - tilted reweighting: fine-tune so that a forgotten class is answered as a retrained model would answer it.
// docs/methods/trw.md
#include "lethe/output_file.h"
#include "unlearn/class_targets.h"

struct cfg {
    LTI_RECIPE_FIELDS
    double beta, expected_similarity;
    int32_t similarity, pca_dims;
    double softmax_temperature;
    float forget_weight;
    double remain_frac;
    int32_t rounds;
    const char *save_targets;
};

static const lt_option opts[] = {
    LTI_RECIPE_ROWS_OPEN(struct cfg),
    LT_F64(struct cfg, beta, 3, -1e6, 1e6, "",
           "tilt towards similar classes; 0 = only renormalised (rwft), 10 = as published"),
    LT_F64(struct cfg, expected_similarity, -2, -2, 1, "",
           "expected similarity of the targets: sets the tilt of every image instead of beta; -2 = not used"),
    LT_ENUM(struct cfg, similarity, LTI_SIM_COSINE, lti_similarity_values,
            "similarity of classes, from the rows of the last layer (a reconstruction: the paper's choice is not "
            "public in full)"),
    LT_I32(struct cfg, pca_dims, 5, 1, 100000, "", "principal directions of the pca kinds"),
    LT_F64(struct cfg, softmax_temperature, 0.1, 1e-6, 1e6, "", "temperature of the softmax kinds"),
    LT_F32(struct cfg, forget_weight, 1, 0, 1e6, "", "weight of the forgotten images' term"),
    LT_F64(struct cfg, remain_frac, 1, 0, 1, "",
           "share of the retained images used in each epoch, redrawn each time; 0 = forget data only"),
    LT_I32(struct cfg, rounds, 1, 1, 1000, "",
           "rounds, evenly over the epochs, each with the current model as teacher"),
    LT_STR(struct cfg, save_targets, NULL,
           "write the targets of the forgotten images to this .npz: ids, q, similarity, beta"),
    LT_OPT_END,
};

static lt_status plan(const lt_unlearn_in *in, const void *cfg, lt_unlearn_plan_ctx *ctx, lt_job *job)
{
    const struct cfg *c = cfg;
    LT_TRY(lti_recipe_apply(in, LTI_RECIPE_OF(c), ctx, job));
    return lti_class_targets_plan(
        in, "trw",
        &(lti_class_targets_cfg){.similarity = {c->similarity, c->pca_dims, c->softmax_temperature},
                                 .beta = c->beta,
                                 .by_expected = c->expected_similarity > -2,
                                 .expected = c->expected_similarity,
                                 .forget_weight = c->forget_weight,
                                 .remain_frac = c->remain_frac,
                                 .rounds = c->rounds,
                                 .save_targets = c->save_targets},
        c->augment, ctx, job);
}

static lt_status check_files(const void *cfg, bool force)
{
    return lt_output_check("save-targets", ((const struct cfg *)cfg)->save_targets, LT_OUTPUT_NPZ, force);
}

static void choose_form(const lt_unlearn_in *in, void *cfg, lt_unlearn_form *form)
{
    const struct cfg *c = cfg;
    (void)in;
    form->is_second = c->remain_frac == 0;
    form->name = form->is_second ? "without retained images" : NULL;
}

static const lt_unlearn_default defaults[] = {
    {.when = LT_WITHOUT_RETAIN, .area = 0.03, .epochs = 10, .lr_step_every = LT_STEP_COSINE},
    {.when = LT_SECOND_FORM, .area = 0.03, .epochs = 10, .lr_step_every = LT_STEP_COSINE},
    {.when = 0, .area = 3, .epochs = 10, .lr_step_every = LT_STEP_COSINE},
    {.epochs = 0},
};

const lt_unlearn_method lti_unlearn_trw = {
    .name = "trw",
    .title = "TRW",
    .label = "TRW",
    .cite = "trw",
    .doc = "Fine-tunes on the retained images and, for images of the forgotten classes, towards the outputs of the "
           "frozen model without those classes, tilted towards similar classes (an information projection; similarity "
           "from the weight rows of the last layer). Reconstructed where the paper is not public: similarity, its "
           "scale, the weight of the term, the share of retained images, learning rate and epochs are options. "
           "Without retain data it is forget-only; at beta 0 that is delete.",
    .needs = LT_WHOLE_CLASSES | LT_FINE_TUNES,
    .cfg_size = sizeof(struct cfg),
    .opts = opts,
    .plan = plan,
    .defaults = defaults,
    .choose_form = choose_form,
    .check_files = check_files,
};
