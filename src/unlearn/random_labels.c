// random_labels.c - the job of random labels and of SalUn. docs/methods/rl.md, salun.md
#include "unlearn/class_targets.h"
#include "unlearn/random_labels.h"
#include <string.h>

const lt_opt_value lti_label_sets[] = {
    {"auto", LTI_LABELS_AUTO,
     "all with true-label or published values; else remaining where whole classes are forgotten, other where samples "
     "are"},
    {"all", LTI_LABELS_ALL, "all classes, the true one too"},
    {"other", LTI_LABELS_OTHER, "all but the true one: of several forgotten classes another one may be drawn"},
    {"remaining", LTI_LABELS_REMAINING, "the classes that are not forgotten, never the true one"},
    {NULL, 0, NULL},
};

// (classes) Those that are forgotten as a whole; all 0 where samples are forgotten.
static lt_status find_gone(const lt_unlearn_in *in, const char *method, lt_unlearn_plan_ctx *ctx)
{
    lti_class_set set;
    bool whole = false;
    uint8_t *gone = lti_calloc((size_t)in->ds->n_classes, 1);
    if (!gone)
        return LTI_NOMEM("classes");
    ctx->own = gone;
    ctx->own_free = lti_free;
    LT_TRY(lti_forgets_whole_classes(in, &whole));
    if (!whole)
        return LT_OK;
    LT_TRY(lti_class_set_make(in, method, &set));
    memcpy(gone, set.gone, (size_t)set.k);
    lti_class_set_clear(&set);
    return LT_OK;
}

lt_status lti_random_labels_plan(const lt_unlearn_in *in, const char *method, const lti_random_labels_cfg *cfg,
                                 lt_unlearn_plan_ctx *ctx, lt_job *job)
{
    const bool is_published = cfg->preset == LTI_PRESET_PUBLISHED;
    lti_rl rl = {.order = cfg->order, .augment = cfg->augment};
    if (rl.order == LTI_RL_AUTO)
        rl.order = is_published ? LTI_RL_UPSTREAM : LTI_RL_JOINT;
    rl.true_label =
        cfg->label_set == LTI_LABELS_AUTO ? cfg->true_label || is_published : cfg->label_set == LTI_LABELS_ALL;
    if (!rl.true_label && cfg->label_set != LTI_LABELS_OTHER) {
        LT_TRY(find_gone(in, method, ctx));
        rl.not_drawn = ctx->own;
    }
    LT_TRY(lti_add_random_labels(in, method, rl, job));
    return lti_recipe_apply(in, LTI_RECIPE_OF(cfg), ctx, job);
}
