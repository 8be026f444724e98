// delete.c - DELETE: distil the frozen model without the forgotten classes, on the forget set alone.
// docs/methods/delete.md
//
//     L = KL( softmax over the classes that stay of z_o(x) || softmax(z(x)) ),  x in D_F                     [DELETE 1]
//
// Bit-identical to trw at beta 0 without retained images.
#include "unlearn/class_targets.h"

struct cfg {
    LTI_RECIPE_FIELDS
};

static const lt_option opts[] = {
    LTI_RECIPE_ROWS_OPEN(struct cfg),
    LT_OPT_END,
};

static lt_status plan(const lt_unlearn_in *in, const void *cfg, lt_unlearn_plan_ctx *ctx, lt_job *job)
{
    const struct cfg *c = cfg;
    LT_TRY(lti_recipe_apply(in, LTI_RECIPE_OF(c), ctx, job));
    return lti_class_targets_plan(
        in, "delete", &(lti_class_targets_cfg){.similarity = {LTI_SIM_COSINE, 1, 1}, .forget_weight = 1, .rounds = 1},
        c->augment, ctx, job);
}

static const lt_unlearn_default defaults[] = {
    {.when = 0, .area = 0.03, .epochs = 20, .lr_step_every = LT_STEP_COSINE},
    {.epochs = 0},
};

static const lt_unlearn_default published[] = {
    {.lr = 1e-4f, .epochs = 20, .batch = 128, .lr_step_every = 0},
    {.epochs = 0},
};

const lt_unlearn_method lti_unlearn_delete = {
    .name = "delete",
    .title = "DELETE",
    .label = "DELETE",
    .cite = "delete",
    .doc =
        "Distils the frozen model, its forgotten classes masked, into the model on images of the forgotten classes "
        "alone. The 20 epochs are those of the authors' code; the area and the cosine are choices of lethe. Published "
        "are lr 1e-4 for CIFAR-10 (5e-5 for CIFAR-100 and Tiny ImageNet: --lr) and no batch size, for which 128 "
        "stands. The same as trw at beta 0 without retained images.",
    .needs = LT_FORGET_ONLY | LT_WHOLE_CLASSES | LT_FINE_TUNES,
    .cfg_size = sizeof(struct cfg),
    .opts = opts,
    .plan = plan,
    .defaults = defaults,
    .published = published,
};
