// fisher.c - Fisher forgetting: noise on the parameters, larger where the retain set does not hold them. [Golatkar
// 2020] [AMUN 5]
//
// theta += sqrt(var) N(0,1); var = alpha min(1 / (F_ii + 1e-8), 1e3), with 1e2 in the last layer; in tensors of two or
// more dimensions averaged over the second; ten times as much in the last layer and in one-dimensional tensors.
// F is the diagonal of the Fisher information on D_R: single samples, every label weighted by its predicted
// probability, so K backward passes per sample.
// Deviation: the authors' code tells the last layer by a first dimension of K, which can hit other tensors too; here it
// is the layer that makes the logits. Their zeroing of the rows of a wholly forgotten class is left out.
#include "unlearn/importance.h"
#include "unlearn/recipe.h"
#include "model/model_impl.h"
#include <math.h>
#include <string.h>

struct cfg {
    double alpha;
    int64_t samples;
    LTI_MASK_FIELDS
};

static const lt_option opts[] = {
    LT_F64(struct cfg, alpha, 1e-9, 0, 1e9, "", "strength of the noise"),
    LT_I64(struct cfg, samples, 0, 0, 1000000000, "images",
           "retain samples, drawn by the seed, that the information is estimated from; 0 = all (classes x samples "
           "backward passes of one image)"),
    LTI_MASK_ROWS(struct cfg, LTI_MASK_NONE),
    LT_OPT_END,
};

// One sample: f += sum_y p_y g_y^2.
static lt_status add_sample(void *ctx, lti_param_grad *g, const lt_batch *batch)
{
    float *f = ctx; // (n_params)
    const int32_t n_classes = g->model->shape.n_classes;
    for (int32_t y = 0; y < n_classes; y++) {
        double sum = 0, most = -INFINITY;
        LT_TRY(lti_param_grad_run(g, batch->x, &y, 1));
        for (int k = 0; k < n_classes; k++)
            most = fmax(most, (double)g->logits[k]);
        for (int k = 0; k < n_classes; k++)
            sum += exp((double)g->logits[k] - most);
        const float p = (float)(exp((double)g->logits[y] - most) / sum);
        for (int64_t i = 0; i < g->model->n_params; i++)
            f[i] += p * g->grads[i] * g->grads[i];
    }
    return LT_OK;
}

lt_status lti_fisher(lti_param_grad *g, const lt_view *view, int64_t n_max, uint64_t seed, float *fisher)
{
    const int64_t n = g->model->n_params, n_used = n_max > 0 && n_max < view->n ? n_max : view->n;
    memset(fisher, 0, (size_t)n * sizeof *fisher);
    LT_TRY(lti_param_grad_pass(g, &(lti_grad_pass){.view = view,
                                                   .batch = 1,
                                                   .n_max = n_max,
                                                   .shuffle = n_max > 0,
                                                   .raw = true,
                                                   .seed = seed,
                                                   .what = "Fisher information",
                                                   .each = add_sample,
                                                   .ctx = fisher}));
    for (int64_t i = 0; i < n; i++)
        fisher[i] /= (float)n_used;
    return LT_OK;
}

void lti_fisher_variance(float *fisher, const lt_shape *shape, double alpha, bool last)
{
    const int64_t n = lti_model_shape_count(shape), rows = shape->dim[0];
    const int64_t second = shape->n_dims > 1 ? shape->dim[1] : 1, inner = n / rows / second;
    const double cap = last ? 1e2 : 1e3, scale = last || shape->n_dims == 1 ? 10 : 1;
    for (int64_t r = 0; r < rows; r++) { // (rows, second, inner)
        for (int64_t j = 0; j < inner; j++) {
            float *f = fisher + r * second * inner + j;
            double sum = 0;
            for (int64_t s = 0; s < second; s++)
                sum += alpha * fmin(1 / ((double)f[s * inner] + 1e-8), cap);
            for (int64_t s = 0; s < second; s++)
                f[s * inner] = (float)(scale * sum / (double)second);
        }
    }
}

static void add_noise(lt_model *model, float *fisher, double alpha, uint64_t seed, const uint8_t *mask)
{
    lt_val last[2];
    const int n_last = lti_last_layer(model, last);
    for (lt_val v = 0; v < lt_graph_n_values(model->graph); v++) {
        lt_value_info info;
        if (!lti_model_tensor(model, v, &info) || info.role != LT_ROLE_PARAM)
            continue;
        const bool is_last = v == last[0] || (n_last > 1 && v == last[1]);
        lt_rng rng = lt_rng_at(seed, LT_STREAM_UNLEARN, 0, (uint64_t)v);
        lti_fisher_variance(fisher + info.slab_offset, &info.shape, alpha, is_last);
        for (int64_t i = info.slab_offset; i < info.slab_offset + lti_model_shape_count(&info.shape); i++) {
            const double noise = sqrt((double)fisher[i]) * lt_rng_normal(&rng);
            if (!mask || mask[i])
                model->params[i] += (float)noise;
        }
    }
}

static lt_status run_fisher(const lt_unlearn_in *in, const void *cfg, lt_unlearn_plan_ctx *ctx)
{
    enum { MASK_BATCH = 128 };
    const struct cfg *c = cfg;
    const lt_view retain = lti_retain_view(in, false);
    lti_param_grad g = {0};
    float *fisher = lti_malloc((size_t)in->model->n_params * sizeof *fisher);
    lt_status status = fisher ? LT_OK : LTI_NOMEM("Fisher information");
    LT_TRY_GOTO(status, out);
    LT_TRY_GOTO(lti_mask_make(in, LTI_MASK_OF(c), MASK_BATCH, ctx), out);
    LT_TRY_GOTO(lti_param_grad_init(&g, in->model, in->env), out);
    LT_TRY_GOTO(lti_fisher(&g, &retain, c->samples, in->seed, fisher), out);
    add_noise(in->model, fisher, c->alpha, in->seed, ctx->mask);
    ctx->update_passes = g.passes;
out:
    lti_param_grad_clear(&g);
    lti_free(fisher);
    return status;
}

const lt_unlearn_method lti_unlearn_fisher = {
    .name = "fisher",
    .title = "Fisher forgetting",
    .label = "Fisher",
    .cite = "golatkar2020",
    .doc =
        "Adds Gaussian noise to every parameter, with a variance of alpha over the diagonal Fisher information on the "
        "retain set, clamped and averaged as in the code that the SalUn comparison uses. The information is exact by "
        "default: one backward pass per retain sample and class. Deviations: the last layer is found by its position, "
        "not "
        "by its size; the rows of a wholly forgotten class are not zeroed.",
    .needs = LT_NEED_RETAIN,
    .cfg_size = sizeof(struct cfg),
    .opts = opts,
    .run = run_fisher,
};
