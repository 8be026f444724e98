// influence.c - influence unlearning: one Newton-like step away from the forget set, by WoodFisher. [Izzo 2021]
// [WoodFisher] [AMUN 5]
//
// g_F = (1/n) sum_{D_F} grad l, g_R = (|D_F| / (n |D_R|)) sum_{D_R} grad l, n = |D_F| + |D_R|, v = g_F - g_R; then
// theta += alpha k, k ~ F^-1 v by one pass over single D_R samples with gradients g_1, g_2, ...:
//     o <- g_1, k <- v;  for each next g: t = o.g;  k -= (k.g) / (1000 + t) o;  o -= t / (1000 + t) o.
// The authors' o is not recomputed for each sample, so this is a heuristic and not Woodbury's identity; it is what
// the IU rows of published tables come from. Evaluation mode.
// Deviations: the single samples are drawn by the seed (theirs are the first ones, augmented).
#include "unlearn/importance.h"
#include "unlearn/recipe.h"
#include <math.h>
#include <string.h>

struct cfg {
    float alpha;
    int64_t samples, batch;
    LTI_MASK_FIELDS
};

static const lt_option opts[] = {
    LT_F32(struct cfg, alpha, 1, 0, 1e9, "",
           "length of the step; tuned over 1 to 20 in the literature, below 1 by some"),
    LT_I64(struct cfg, samples, 1000, 1, 1000000000, "images", "single retain samples of the inverse Fisher product"),
    LT_I64(struct cfg, batch, 128, 1, 65536, "images", "batch size of the two mean gradients; of no other consequence"),
    LTI_MASK_ROWS(struct cfg, LTI_MASK_NONE),
    LT_OPT_END,
};

static double dot(const float *a, const float *b, int64_t n)
{
    double part[8] = {0}, sum = 0;
    for (int64_t i = 0; i < n; i++)
        part[i % 8] += (double)a[i] * (double)b[i];
    for (int i = 0; i < 8; i++)
        sum += part[i];
    return sum;
}

void lti_woodfisher_step(const float *g, int64_t n, float *o, float *k)
{
    enum { DAMPING = 1000 };
    const double t = dot(o, g, n), scale = 1 / (DAMPING + t);
    const float by_k = (float)(dot(k, g, n) * scale), by_o = (float)(t * scale);
    for (int64_t i = 0; i < n; i++) {
        k[i] -= by_k * o[i];
        o[i] -= by_o * o[i];
    }
}

typedef struct sums {
    double weight;
    float *v; // (n_params)
} sums;

static lt_status add_mean(void *ctx, lti_param_grad *g, const lt_batch *batch)
{
    const sums *s = ctx;
    const float w = (float)(s->weight * (double)batch->n); // grads are of the batch's mean
    for (int64_t i = 0; i < g->model->n_params; i++)
        s->v[i] += w * g->grads[i];
    return LT_OK;
}

typedef struct product {
    float *o, *k; // (n_params)
    bool started;
} product;

static lt_status next_sample(void *ctx, lti_param_grad *g, const lt_batch *batch)
{
    product *p = ctx;
    (void)batch;
    if (p->started)
        lti_woodfisher_step(g->grads, g->model->n_params, p->o, p->k);
    else
        memcpy(p->o, g->grads, (size_t)g->model->n_params * sizeof *p->o);
    p->started = true;
    return LT_OK;
}

// k becomes the inverse Fisher product of v = g_F - g_R.
static lt_status direction(const lt_unlearn_in *in, const struct cfg *c, lti_param_grad *g, product *p)
{
    const lt_view view[2] = {lti_forget_view(in, false), lti_retain_view(in, false)};
    const double n_f = (double)view[0].n, n_r = (double)view[1].n, n = n_f + n_r;
    for (int i = 0; i < 2; i++) {
        sums s = {.weight = i == 0 ? 1 / n : -n_f / (n * n_r), .v = p->k};
        LT_TRY(lti_param_grad_pass(
            g,
            &(lti_grad_pass){.view = &view[i], .batch = c->batch, .what = "influence", .each = add_mean, .ctx = &s}));
    }
    return lti_param_grad_pass(g, &(lti_grad_pass){.view = &view[1],
                                                   .batch = 1,
                                                   .n_max = c->samples,
                                                   .shuffle = true,
                                                   .seed = in->seed,
                                                   .what = "inverse Fisher product",
                                                   .each = next_sample,
                                                   .ctx = p});
}

static lt_status take_step(lt_model *model, const float *k, float alpha, const uint8_t *mask)
{
    for (int64_t i = 0; i < model->n_params; i++)
        if (!isfinite(model->params[i] + alpha * k[i]))
            return LT_FAIL(LT_E_DIVERGED,
                           "influence: the step is not finite at coordinate %lld; the model is as it was",
                           (long long)i);
    for (int64_t i = 0; i < model->n_params; i++)
        if (!mask || mask[i])
            model->params[i] += alpha * k[i];
    return LT_OK;
}

static lt_status run_influence(const lt_unlearn_in *in, const void *cfg, lt_unlearn_plan_ctx *ctx)
{
    const struct cfg *c = cfg;
    const size_t n = (size_t)in->model->n_params;
    lti_param_grad g = {0};
    product p = {.o = lti_malloc(n * sizeof *p.o), .k = lti_calloc(n, sizeof *p.k)};
    lt_status status = p.o && p.k ? LT_OK : LTI_NOMEM("inverse Fisher product");
    LT_TRY_GOTO(status, out);
    LT_TRY_GOTO(lti_mask_make(in, LTI_MASK_OF(c), c->batch, ctx), out);
    LT_TRY_GOTO(lti_param_grad_init(&g, in->model, in->env), out);
    LT_TRY_GOTO(direction(in, c, &g, &p), out);
    LT_TRY_GOTO(take_step(in->model, p.k, c->alpha, ctx->mask), out);
    ctx->update_passes = g.passes;
out:
    lti_param_grad_clear(&g);
    lti_free(p.o);
    lti_free(p.k);
    return status;
}

const lt_unlearn_method lti_unlearn_influence = {
    .name = "influence",
    .title = "Influence unlearning (WoodFisher)",
    .label = "Influence",
    .cite = "izzo2021",
    .doc =
        "One step of length alpha along an estimate of F^-1 (g_F - g_R), the mean gradients of the forget and the "
        "retain set under an inverse Fisher matrix, which is built by the streaming recursion of the SalUn authors' "
        "code over single retain samples (samples of them; WoodFisher). Their recursion is a heuristic and is kept as "
        "it is. Deviation: un-augmented samples, drawn by the seed.",
    .needs = LT_NEED_RETAIN,
    .cfg_size = sizeof(struct cfg),
    .opts = opts,
    .run = run_influence,
};
