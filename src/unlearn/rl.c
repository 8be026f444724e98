// rl.c - random labels: train the forget set towards labels that mean nothing. [AMUN 5] [Golatkar 2020] [SalUn]
//
// AMUN form (default): min CE over D_R(y) + D_F(random label != y, drawn anew at every visit), shuffled together.
// Upstream form: each epoch first all of D_F with labels uniform over all classes, then all of D_R.
#include "unlearn/recipe.h"

struct cfg {
    LTI_RECIPE_FIELDS
    int32_t order;
    bool true_label;
};

static const lt_option opts[] = {
    LTI_RECIPE_ROWS_OPEN(struct cfg),
    LT_ENUM(struct cfg, order, LTI_RL_JOINT, lti_rl_orders, "order of retain and forget samples within an epoch"),
    LT_BOOL(struct cfg, true_label, 0, "a random label may be the true one (as upstream)"),
    LT_OPT_END,
};

static lt_status plan(const lt_unlearn_in *in, const void *cfg, lt_unlearn_plan_ctx *ctx, lt_job *job)
{
    const struct cfg *c = cfg;
    const lti_rl rl = {.order = c->order, .true_label = c->true_label, .augment = c->augment};
    LT_TRY(lti_add_random_labels(in, "rl", rl, job));
    return lti_recipe_apply(in, LTI_RECIPE_OF(c), ctx, job);
}

static const lt_unlearn_default defaults[] = {
    {.when = LT_OF_CLASSES | LT_WITH_RETAIN, .area = 3, .epochs = 10, .lr_step_every = LT_STEP_COSINE},
    {.when = LT_WITH_RETAIN | LT_UNAUGMENTED, .area = 0.7, .epochs = 10, .lr_step_every = 1},
    {.when = LT_WITH_RETAIN | LT_AUGMENTED, .area = 5, .epochs = 10, .lr_step_every = 1},
    {.when = LT_WITHOUT_RETAIN, .area = 0.04, .epochs = 10, .lr_step_every = 1},
    {.epochs = 0},
};

static const lt_unlearn_default published[] = {
    {.lr = 0.01f, .epochs = 10, .batch = 128, .lr_step_every = 1},
    {.epochs = 0},
};

const lt_unlearn_method lti_unlearn_rl = {
    .name = "rl",
    .title = "Random labels",
    .label = "RL",
    .cite = "golatkar2020",
    .doc = "Fine-tunes on the retain set and on the forget set with random labels, redrawn at every visit. The default "
           "is the AMUN form "
           "(shuffled together, never the true label); order=upstream and true_label give the form of the SalUn code.",
    .needs = LT_FINE_TUNES,
    .cfg_size = sizeof(struct cfg),
    .opts = opts,
    .plan = plan,
    .defaults = defaults,
    .published = published,
};
