// ct.c - convolution transpose: swap the two spatial axes of every kernel, then fine-tune on the retain set.
// docs/methods/ct.md
#include "unlearn/layers.h"
#include "unlearn/recipe.h"

struct cfg {
    LTI_RECIPE_FIELDS
};

static const lt_option opts[] = {
    LTI_RECIPE_ROWS_OPEN(struct cfg),
    LT_OPT_END,
};

// W[o,i,h,w] <-> W[o,i,w,h], where the mask leaves both free. [CT 1]
static void transpose_kernels(lt_model *model, const lti_layer *layer, const uint8_t *mask)
{
    const int k = layer->kernel;
    for (int64_t m = 0; m < layer->n_out * layer->n_in / (k * k); m++) {
        const int64_t at = layer->offset + m * k * k;
        for (int h = 0; h < k; h++)
            for (int w = h + 1; w < k; w++) {
                const int64_t a = at + h * k + w, b = at + w * k + h;
                const float x = model->params[a];
                if (mask && !(mask[a] && mask[b]))
                    continue;
                model->params[a] = model->params[b];
                model->params[b] = x;
            }
    }
}

static lt_status plan(const lt_unlearn_in *in, const void *cfg, lt_unlearn_plan_ctx *ctx, lt_job *job)
{
    enum { MAX_LAYERS = 256 };
    const struct cfg *c = cfg;
    LT_TRY(lti_recipe_apply(in, LTI_RECIPE_OF(c), ctx, job));
    lti_layer *layer = lti_calloc(MAX_LAYERS, sizeof *layer);
    if (!layer)
        return LTI_NOMEM("kernels");
    const int n = lti_model_layers(in->model, layer, MAX_LAYERS);
    for (int l = 0; l < n && l < MAX_LAYERS; l++)
        if (layer[l].conv)
            transpose_kernels(in->model, &layer[l], ctx->mask);
    lti_free(layer);
    lti_add_view(job, lti_add_phase(job, true), lti_retain_view(in, c->augment));
    return LT_OK;
}

static const lt_unlearn_default defaults[] = {
    {.area = 1.05, .epochs = 3, .lr_step_every = LT_STEP_COSINE},
    {.epochs = 0},
};

static const lt_unlearn_default published[] = {
    {.lr = 1e-3f, .epochs = 3, .batch = 64, .lr_step_every = LT_STEP_COSINE},
    {.epochs = 0},
};

const lt_unlearn_method lti_unlearn_ct = {
    .name = "ct",
    .title = "CT, transposed kernels",
    .label = "CT",
    .cite = "deepunlearn",
    .doc = "Swaps the two spatial axes of every convolution kernel, which breaks the features, and lets a short "
           "fine-tuning on the retain set mend those that the retained samples need. Defaults of the authors' code: 3 "
           "epochs, lr 1e-3 along a cosine.",
    .needs = LT_NEED_RETAIN | LT_FINE_TUNES,
    .cfg_size = sizeof(struct cfg),
    .opts = opts,
    .plan = plan,
    .defaults = defaults,
    .published = published,
};
