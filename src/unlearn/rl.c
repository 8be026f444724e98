// rl.c - random labels: train the forget set towards labels that mean nothing. [AMUN 5] [Golatkar 2020] [SalUn]
//
// AMUN form (default): min CE over D_R(y) + D_F(random label != y, redrawn at every visit), shuffled together.
// Upstream form: each epoch first all of D_F with labels uniform over all classes, then all of D_R. Its published
// values are those of the SalUn command; the AMUN authors publish a grid and not what won in it.
#include "unlearn/random_labels.h"

static const lt_option opts[] = {
    LTI_RECIPE_ROWS_OPEN(lti_random_labels_cfg),
    LTI_RANDOM_LABELS_ROWS(LTI_RL_AUTO, 0),
    LT_OPT_END,
};

static lt_status plan(const lt_unlearn_in *in, const void *cfg, lt_unlearn_plan_ctx *ctx, lt_job *job)
{
    return lti_random_labels_plan(in, "rl", cfg, ctx, job);
}

static const lt_unlearn_default defaults[] = LTI_RANDOM_LABELS_DEFAULTS(3);

static const lt_unlearn_default published[] = {
    {.lr = 0.013f, .epochs = 10, .batch = 256, .lr_step_every = 0},
    {.epochs = 0},
};

const lt_unlearn_method lti_unlearn_rl = {
    .name = "rl",
    .title = "Random labels",
    .label = "RL",
    .cite = "golatkar2020",
    .doc = "Fine-tunes on the retain set and on the forget set with random labels, redrawn at every visit. The default "
           "is the AMUN form "
           "(shuffled together, never the true label nor a class that is forgotten as a whole); order=upstream and "
           "true-label give the form of the SalUn code, which the published values are for and choose by themselves. "
           "Areas and the cosine for classes are choices of lethe.",
    .needs = LT_FINE_TUNES,
    .cfg_size = sizeof(lti_random_labels_cfg),
    .opts = opts,
    .plan = plan,
    .defaults = defaults,
    .published = published,
};
