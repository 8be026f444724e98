// ssd.c - selective synaptic dampening: shrink what matters more to the forget set than to all of the data. [SSD]
//
// I_D[i] = mean of (d CE / d theta_i)^2 over D = D_R + D_F, I_F likewise over D_F. Where I_F > alpha I_D:
//     theta_i *= min(lambda I_D / I_F, 1).
// The paper's importance is of single samples (batch 1); the authors' code, like the default here, squares the
// gradient of the mean of a batch. Evaluation mode, no augmentation, no training. alpha 0: from the ratios, as adaptive
// SSD does [SSD 2].
#include "unlearn/importance.h"
#include "unlearn/recipe.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct cfg {
    float alpha, lambda;
    int64_t batch;
    LTI_MASK_FIELDS
};

static const lt_option opts[] = {
    LT_F32(struct cfg, alpha, 0, 0, 1e9, "",
           "how many times more important to the forget set a dampened parameter is; 0 = from the ratios of this model "
           "(adaptive SSD); published: 10"),
    LT_F32(struct cfg, lambda, 1, 0, 1e9, "",
           "strength: the factor is lambda times the ratio of importances, at most 1"),
    LT_I64(struct cfg, batch, 64, 1, 65536, "images",
           "batch whose gradient is squared; 1 = the importance of the paper"),
    LTI_MASK_ROWS(struct cfg, LTI_MASK_NONE),
    LT_OPT_END,
};

static lt_status add_square(void *ctx, lti_param_grad *g, const lt_batch *batch)
{
    float *sum = ctx; // (n_params)
    (void)batch;
    for (int64_t i = 0; i < g->model->n_params; i++)
        sum[i] += g->grads[i] * g->grads[i];
    return LT_OK;
}

lt_status lti_importance(lti_param_grad *g, const lt_view *view, int64_t batch, uint64_t seed, float *importance)
{
    const int64_t n = g->model->n_params, n_batches = (view->n + batch - 1) / batch;
    memset(importance, 0, (size_t)n * sizeof *importance);
    LT_TRY(lti_param_grad_pass(g, &(lti_grad_pass){.view = view,
                                                   .batch = batch,
                                                   .shuffle = true,
                                                   .seed = seed,
                                                   .what = "importance of parameters",
                                                   .each = add_square,
                                                   .ctx = importance}));
    for (int64_t i = 0; i < n; i++)
        importance[i] /= (float)n_batches;
    return LT_OK;
}

void lti_dampen(float *theta, const float *forget, const float *all, int64_t n, double select, double dampen,
                const uint8_t *mask)
{
    for (int64_t i = 0; i < n; i++) {
        const double f = (double)forget[i], d = (double)all[i];
        if ((mask && !mask[i]) || !(f > select * d))
            continue;
        const double factor = dampen * d / f;
        if (factor < 1)
            theta[i] = (float)((double)theta[i] * factor);
    }
}

static int compare_floats(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

lt_status lti_adaptive_selection(const float *forget, const float *all, int64_t n, double forget_share, double *alpha)
{
    float *ratio = lti_malloc((size_t)n * sizeof *ratio);
    int64_t n_finite = 0;
    if (!ratio)
        return LTI_NOMEM("ratios of importance");
    for (int64_t i = 0; i < n; i++) {
        ratio[n_finite] = forget[i] / all[i]; // 0 / 0 where a parameter has no gradient: left out
        n_finite += isfinite(ratio[n_finite]) ? 1 : 0;
    }
    qsort(ratio, (size_t)n_finite, sizeof *ratio, compare_floats);
    const double at = (1 - log(1 + 100 * forget_share) / 100) * (double)(n_finite - 1);
    const int64_t below = n_finite > 0 ? (int64_t)at : 0, above = below + 1 < n_finite ? below + 1 : below;
    *alpha = n_finite == 0
                 ? INFINITY
                 : (double)ratio[below] + (at - (double)below) * ((double)ratio[above] - (double)ratio[below]);
    lti_free(ratio);
    return LT_OK;
}

// Rows of D_R and D_F together.
static lt_status join(const lt_unlearn_in *in, lt_index_set *all)
{
    const size_t n[2] = {(size_t)in->retain->n, (size_t)in->forget->n};
    all->n = in->retain->n + in->forget->n;
    all->row = lti_calloc((size_t)all->n, sizeof *all->row);
    if (!all->row)
        return LTI_NOMEM("rows of the training set");
    memcpy(all->row, in->retain->row, n[0] * sizeof *all->row);
    memcpy(all->row + n[0], in->forget->row, n[1] * sizeof *all->row);
    return LT_OK;
}

static lt_status run_ssd(const lt_unlearn_in *in, const void *cfg, lt_unlearn_plan_ctx *ctx)
{
    const struct cfg *c = cfg;
    const size_t bytes = (size_t)in->model->n_params * sizeof(float);
    const lt_view forget_view = lti_forget_view(in, false);
    lt_index_set rows = {0};
    lti_param_grad g = {0};
    float *all = lti_malloc(bytes), *forget = lti_malloc(bytes);
    lt_status status = all && forget ? LT_OK : LTI_NOMEM("importance of parameters");
    LT_TRY_GOTO(status, out);
    LT_TRY_GOTO(lti_mask_make(in, LTI_MASK_OF(c), c->batch, ctx), out);
    LT_TRY_GOTO(join(in, &rows), out);
    LT_TRY_GOTO(lti_param_grad_init(&g, in->model, in->env), out);
    const lt_view all_view = lt_view_rows(in->ds, LT_TRAIN, &rows);
    LT_TRY_GOTO(lti_importance(&g, &all_view, c->batch, in->seed, all), out);
    LT_TRY_GOTO(lti_importance(&g, &forget_view, c->batch, in->seed, forget), out);
    double alpha = (double)c->alpha;
    if (alpha <= 0) {
        const double share = (double)in->forget->n / (double)rows.n;
        LT_TRY_GOTO(lti_adaptive_selection(forget, all, in->model->n_params, share, &alpha), out);
        lt_info(in->env->events, "unlearn.alpha", "ssd: alpha %.4g, from the ratios of importance", alpha);
    }
    lti_dampen(in->model->params, forget, all, in->model->n_params, alpha, (double)c->lambda, ctx->mask);
    ctx->update_passes = g.passes;
out:
    lti_param_grad_clear(&g);
    lti_free(rows.row);
    lti_free(all);
    lti_free(forget);
    return status;
}

const lt_unlearn_method lti_unlearn_ssd = {
    .name = "ssd",
    .title = "Selective synaptic dampening",
    .label = "SSD",
    .cite = "ssd",
    .doc =
        "Measures the importance of every parameter (mean squared gradient) on all of the data and on the forget set, "
        "and shrinks those that are more than alpha times as important to the forget set, by lambda times the ratio. "
        "No training. alpha comes from the percentile of the ratios that adaptive SSD takes, the paper has 10 for "
        "ResNet-18; as in the authors' code the gradients are of batches, batch=1 gives the importance of the paper.",
    .needs = LT_NEED_RETAIN,
    .cfg_size = sizeof(struct cfg),
    .opts = opts,
    .run = run_ssd,
};
