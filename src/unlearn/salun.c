// salun.c - random labels under a saliency mask. [SalUn] [AMUN 5, 6]
//
// m = 1 for the share mask_ratio of parameters with the largest |gradient of the loss on D_F| at the trained model;
// then random labels on D_F and true ones on D_R move these alone. From the authors' code: ratio 0.5, 10 epochs, D_F
// first with labels over all classes, then D_R; their constant lr 0.013 at batch 256 is the preset of that name, the
// default rate follows from an area of lethe. The rows of the AMUN tables are order=joint without true_label.
// Deviation: the mask is made of un-augmented images, and masked weights are exactly frozen (the first release of the
// authors' code let weight decay through).
#include "unlearn/random_labels.h"

static const lt_option opts[] = {
    LTI_RECIPE_ROWS_OPEN_OF(lti_random_labels_cfg, LT_SGD, 5e-4, 0, LT_L1_CONST, 0, LTI_MASK_SALUN),
    LTI_RANDOM_LABELS_ROWS(LTI_RL_UPSTREAM, 1),
    LT_OPT_END,
};

static lt_status plan(const lt_unlearn_in *in, const void *cfg, lt_unlearn_plan_ctx *ctx, lt_job *job)
{
    return lti_random_labels_plan(in, "salun", cfg, ctx, job);
}

static const lt_unlearn_default defaults[] = LTI_RANDOM_LABELS_DEFAULTS(27);

static const lt_unlearn_default published[] = {
    {.lr = 0.013f, .epochs = 10, .batch = 256, .lr_step_every = 0},
    {.epochs = 0},
};

const lt_unlearn_method lti_unlearn_salun = {
    .name = "salun",
    .title = "SalUn, saliency unlearning",
    .label = "SalUn",
    .cite = "salun",
    .doc = "Random labels on the forget set and true ones on the retain set, but only the parameters move to which the "
           "loss on the forget set is most sensitive (mask-ratio of them). As in the authors' code half of them move, "
           "for 10 "
           "epochs, and each epoch reads the forget set first, with labels drawn from all classes; learning-rate areas "
           "and schedules are choices of lethe. order=joint and no-true-label give the form of the AMUN tables. "
           "Deviations: un-augmented images make the mask, and masked parameters stay unchanged.",
    .needs = LT_FINE_TUNES,
    .cfg_size = sizeof(lti_random_labels_cfg),
    .opts = opts,
    .plan = plan,
    .defaults = defaults,
    .published = published,
};
