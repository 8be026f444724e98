// msg.c - masked small gradients: re-initialise the kernels' coordinates that matter least to keeping and forgetting,
// then fine-tune. docs/methods/msg.md
//
// g = gradients over as many random retain samples as there are forget samples, minus those over D_F. In every
// convolution the share of coordinates with the smallest |g| is redrawn (Kaiming normal, fan_out) and learns at the
// full rate; everything else learns at a tenth of it. [MSG 1]
#include "unlearn/layers.h"
#include "unlearn/param_grad.h"
#include "unlearn/recipe.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct cfg {
    LTI_RECIPE_FIELDS
    double reinit_share;
    float other_rate;
    int64_t gradient_batch;
};

static const lt_option opts[] = {
    LTI_RECIPE_ROWS_OPEN(struct cfg),
    LT_F64(struct cfg, reinit_share, 0.3, 0, 1, "", "share of every kernel that is re-initialised"),
    LT_F32(struct cfg, other_rate, 0.1, 0, 10, "", "factor of the gradient of all other parameters"),
    LT_I64(struct cfg, gradient_batch, 64, 1, 65536, "images", "batch of the gradients that are compared"),
    LT_OPT_END,
};

typedef struct msg {
    float *scale; // (n_params) of gradients
} msg;

static void msg_free(void *own)
{
    msg *m = own;
    if (m)
        lti_free(m->scale);
    lti_free(m);
}

typedef struct accumulator {
    float *sum; // (n_params)
    float sign;
} accumulator;

static lt_status accumulate(void *ctx, lti_param_grad *g, const lt_batch *batch)
{
    const accumulator *a = ctx;
    (void)batch;
    for (int64_t i = 0; i < g->model->n_params; i++)
        a->sum[i] += a->sign * g->grads[i];
    return LT_OK;
}

// sum (n_params) = gradients over n retain samples minus those over the n forget samples.
static lt_status compare_gradients(const lt_unlearn_in *in, int64_t batch, float *sum, lt_passes *passes)
{
    lti_param_grad g = {0};
    const lt_view retain = lti_retain_view(in, false), forget = lti_forget_view(in, false);
    lt_status status = lti_param_grad_init(&g, in->model, in->env);
    for (int i = 0; status == LT_OK && i < 2; i++) {
        accumulator a = {.sum = sum, .sign = i == 0 ? 1 : -1};
        status = lti_param_grad_pass(&g, &(lti_grad_pass){.view = i == 0 ? &retain : &forget,
                                                          .batch = batch,
                                                          .n_max = in->forget->n,
                                                          .shuffle = true,
                                                          .seed = in->seed,
                                                          .what = "gradients of kernels",
                                                          .each = accumulate,
                                                          .ctx = &a});
    }
    passes->n_forward += g.passes.n_forward;
    passes->n_backward += g.passes.n_backward;
    lti_param_grad_clear(&g);
    return status;
}

// scale (n_params): 1 where a kernel is redrawn in `model`, else other_rate. g (n_params) becomes -|g| in kernels.
static lt_status reinit_kernels(const lt_unlearn_in *in, const struct cfg *c, const uint8_t *mask, float *g,
                                float *scale)
{
    enum { MAX_LAYERS = 256 };
    lt_model *model = in->model;
    lti_layer *layer = lti_calloc(MAX_LAYERS, sizeof *layer);
    uint8_t *chosen = lti_calloc((size_t)model->n_params, 1);
    const int n_layers = layer ? lti_model_layers(model, layer, MAX_LAYERS) : 0;
    const lt_status status = layer && chosen ? LT_OK : LTI_NOMEM("kernels");
    for (int64_t i = 0; i < model->n_params; i++)
        scale[i] = c->other_rate;
    for (int l = 0; status == LT_OK && l < n_layers && l < MAX_LAYERS; l++) {
        const int64_t n = layer[l].n_out * layer[l].n_in, at = layer[l].offset;
        if (!layer[l].conv)
            continue;
        for (int64_t i = 0; i < n; i++) // the largest 1 - share are left alone
            chosen[i] = 0;
        lti_mask_top(g + at, n, n - (int64_t)(c->reinit_share * (double)n), chosen);
        const double sd = sqrt(2.0 / (double)(layer[l].n_out * layer[l].kernel * layer[l].kernel));
        for (int64_t i = 0; i < n; i++) {
            lt_rng rng = lt_rng_at(in->seed, LT_STREAM_UNLEARN, (uint32_t)l, (uint64_t)i);
            if (chosen[i] || (mask && !mask[at + i]))
                continue;
            model->params[at + i] = (float)(sd * lt_rng_normal(&rng));
            scale[at + i] = 1;
        }
    }
    lti_free(layer);
    lti_free(chosen);
    return status;
}

static lt_status on_gradient(lt_job *job, const lt_update_at *at, float *g, float *companion, void *ctx)
{
    const msg *m = ctx;
    (void)at, (void)companion;
    for (int64_t i = 0; i < job->model->n_params; i++)
        g[i] *= m->scale[i];
    return LT_OK;
}

static lt_status plan(const lt_unlearn_in *in, const void *cfg, lt_unlearn_plan_ctx *ctx, lt_job *job)
{
    const struct cfg *c = cfg;
    const double start_s = lti_now_s();
    msg *m = lti_calloc(1, sizeof *m);
    if (!m)
        return LTI_NOMEM("msg");
    ctx->own = m;
    ctx->own_free = msg_free;
    LT_TRY(lti_recipe_apply(in, LTI_RECIPE_OF(c), ctx, job));
    if (job->cfg.schedule == LT_SCHED_COSINE)
        job->cfg.warmup_epochs = lti_half_warmup(c->epochs); // more epochs: lti_set_lr keeps it half of them
    const size_t n = (size_t)in->model->n_params;
    m->scale = lti_calloc(n, sizeof *m->scale);
    float *g = lti_calloc(n, sizeof *g);
    lt_status status = m->scale && g ? LT_OK : LTI_NOMEM("gradients of kernels");
    if (status == LT_OK)
        status = compare_gradients(in, c->gradient_batch, g, &ctx->update_passes);
    if (status == LT_OK)
        status = reinit_kernels(in, c, ctx->mask, g, m->scale);
    lti_free(g);
    LT_TRY(status);
    lti_add_view(job, lti_add_phase(job, true), lti_retain_view(in, c->augment));
    job->on_gradient = on_gradient;
    job->ctx = m;
    ctx->plan_s = lti_now_s() - start_s;
    return LT_OK;
}

static const lt_unlearn_default defaults[] = {
    {.when = LT_OF_CLASSES, .area = 30, .epochs = 5, .lr_step_every = LT_STEP_COSINE},
    {.when = 0, .area = 1.8, .epochs = 5, .lr_step_every = LT_STEP_COSINE},
    {.epochs = 0},
};

static const lt_unlearn_default published[] = {
    {.lr = 1e-3f, .epochs = 5, .batch = 64, .lr_step_every = LT_STEP_COSINE},
    {.epochs = 0},
};

const lt_unlearn_method lti_unlearn_msg = {
    .name = "msg",
    .title = "MSG, masked small gradients",
    .label = "MSG",
    .cite = "deepunlearn",
    .doc = "Re-initialises the 30 % of every kernel whose gradient, of retain minus forget samples, is smallest, and "
           "fine-tunes on the retain set, everything else at a tenth of the rate; the learning rate rises for half of "
           "the epochs. Deviations: it falls along a cosine, and the compared gradients are of the evaluation mode.",
    .needs = LT_NEED_RETAIN | LT_FINE_TUNES,
    .cfg_size = sizeof(struct cfg),
    .opts = opts,
    .plan = plan,
    .defaults = defaults,
    .published = published,
};
