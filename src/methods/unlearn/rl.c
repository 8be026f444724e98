// rl.c - random labels: train the forget set towards labels that mean nothing. [AMUN 5] [Golatkar 2020] [SalUn]
//
// AMUN form (default): min CE over D_R(y) + D_F(random label != y, drawn anew at every visit), shuffled together.
// Upstream form: each epoch first all of D_F with labels uniform over all classes, then all of D_R.
#include "methods/unlearn/recipe.h"

enum { ORDER_JOINT, ORDER_UPSTREAM };
static const lt_opt_value orders[] = {
    {"joint", ORDER_JOINT, "retain and forget samples shuffled together"},
    {"upstream", ORDER_UPSTREAM, "each epoch the forget set first, then the retain set"},
    {NULL, 0, NULL},
};

struct cfg {
    LTI_RECIPE_FIELDS
    int32_t order;
    bool true_label;
};

static const lt_option opts[] = {
    LTI_RECIPE_ROWS(struct cfg, 10, 0.01, 1),
    LT_ENUM(struct cfg, order, ORDER_JOINT, orders, "order of retain and forget samples within an epoch"),
    LT_BOOL(struct cfg, true_label, 0, "a random label may be the true one (as upstream)"),
    LT_OPT_END,
};

static lt_status plan(const lt_unlearn_in *in, const void *cfg, lt_unlearn_plan_ctx *ctx, lt_job *job)
{
    const struct cfg *c = cfg;
    (void)ctx;
    if (!c->true_label && in->ds->n_classes < 2)
        return LT_FAIL(LT_E_USAGE, "rl: expected at least 2 classes to draw another label from, found %d",
                       in->ds->n_classes);
    lti_recipe_apply(LTI_RECIPE_OF(c), job);
    lt_view forget = lti_forget_view(in, c->augment);
    forget.relabel = c->true_label ? LT_RELABEL_RANDOM_ANY : LT_RELABEL_RANDOM_OTHER;
    lt_phase *phase = lti_add_phase(job, true);
    lti_add_view(job, phase, forget);
    if (in->use_retain && c->order == ORDER_UPSTREAM)
        phase = lti_add_phase(job, true);
    if (in->use_retain)
        lti_add_view(job, phase, lti_retain_view(in, c->augment));
    return LT_OK;
}

const lt_unlearn_method lti_unlearn_rl = {
    .name = "rl",
    .title = "Random labels",
    .cite = "golatkar2020",
    .doc = "Fine-tunes on the retain set and on the forget set with random labels, redrawn at every visit. The default "
           "is the AMUN form "
           "(shuffled together, never the true label); order=upstream and true_label give the form of the SalUn code.",
    .cfg_size = sizeof(struct cfg),
    .opts = opts,
    .plan = plan,
};
