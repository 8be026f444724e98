// classifier_only.c - a control: only the last layer learns that the forget set is gone.
//
// min E_{D_R} CE over the last layer, all features frozen (batch norm included), optionally from a new initialisation.
// What an audit says about it is how much of the forgetting it measures lives in the last layer alone.
#include "unlearn/recipe.h"
#include "model/model_impl.h"
#include <string.h>

struct cfg {
    LTI_RECIPE_FIELDS
    bool reinit;
};

static const lt_option opts[] = {
    LTI_RECIPE_ROWS_OPEN_OF(struct cfg, LT_SGD, 5e-4, 0, LT_L1_CONST, 1, LTI_MASK_CLASSIFIER),
    LT_BOOL(struct cfg, reinit, 0, "give the last layer a new initialisation first"),
    LT_OPT_END,
};

static lt_status reinit_last_layer(lt_model *model, uint64_t seed)
{
    lt_model *fresh;
    lt_val param[2];
    const int n = lti_last_layer(model, param);
    LT_TRY(lt_model_dup(model, &fresh));
    lt_model_init(fresh, seed);
    for (int i = 0; i < n; i++) {
        lt_value_info info;
        if (lti_model_tensor(model, param[i], &info))
            memcpy(model->params + info.slab_offset, fresh->params + info.slab_offset,
                   (size_t)lti_model_shape_count(&info.shape) * sizeof *model->params);
    }
    lt_model_destroy(fresh);
    return LT_OK;
}

static lt_status plan(const lt_unlearn_in *in, const void *cfg, lt_unlearn_plan_ctx *ctx, lt_job *job)
{
    const struct cfg *c = cfg;
    LT_TRY(lti_recipe_apply(in, LTI_RECIPE_OF(c), ctx, job));
    lti_add_view(job, lti_add_phase(job, true), lti_retain_view(in, c->augment));
    return c->reinit ? reinit_last_layer(in->model, in->seed) : LT_OK;
}

static const lt_unlearn_default defaults[] = {
    {.lr = 0.01f, .epochs = 10},
    {.epochs = 0},
};

const lt_unlearn_method lti_unlearn_classifier_only = {
    .name = "classifier-only",
    .title = "Last layer only (control)",
    .label = "Last layer only",
    .cite = "goel2022",
    .doc =
        "Fine-tunes the last layer on the retain set and keeps every feature, running statistics included: a control "
        "that cannot forget what the features know. reinit re-initialises the layer, which is EU-1 of the cited work.",
    .needs = LT_NEED_RETAIN | LT_FINE_TUNES,
    .cfg_size = sizeof(struct cfg),
    .opts = opts,
    .plan = plan,
    .defaults = defaults,
};
