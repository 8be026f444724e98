// term.c - a method's penalty as a term of a job, its schedule, and what is logged of every epoch [QAT 1.3, 1.5].
#include "quant/quant_impl.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

// ---- schedule

static double penalty_sign(const lti_quantizer *z)
{
    return z->sign < 0 ? -1 : 1;
}

// lambda_0 until epoch e0, then exponentially to lambda_1 at the end [QAT 1.3].
static double lambda_at(const lt_quant *q, const lt_update_at *at)
{
    const double e0 = (double)q->cfg.ramp_from * at->n_epochs, span = at->n_epochs - e0;
    const double risen = at->epoch > e0 && span > 0 ? (at->epoch - e0) / span : 0;
    const double a = q->lambda_end[0], b = q->quantizer->flags & LTI_Q_NO_RAMP ? a : q->lambda_end[1];
    return a * pow(b / a, risen);
}

static double weigh(void *ctx, const lt_update_at *at)
{
    lt_quant *q = ctx;
    q->at = *at;
    q->lambda = lambda_at(q, at);
    // The predecessor's well narrows to a half over the training.
    q->sigma = q->quantizer->flags & LTI_Q_SNAP_RESETS ? (float)(1 - 0.5 * at->epoch / fmax(at->n_epochs, 1)) : 1.0f;
    return penalty_sign(q->quantizer) * q->lambda;
}

// 2 lambda kappa of one grid, at most what an update can take: 2 eta lambda kappa curvature < 1 + mu, half of the bound
// of stability.
static double coefficient(const lt_quant *q, const lti_qtensor *t, const lti_grid *g)
{
    double kappa = 1, curvature = 1;
    q->quantizer->stiffness(q, g, t->per, &kappa, &curvature);
    const double c = 2 * q->lambda * kappa * (double)t->lambda_scale;
    const double most = q->at.lr > 0 ? (1 + (double)q->momentum) / (q->at.lr * curvature) : c;
    return penalty_sign(q->quantizer) * (c < most ? c : most);
}

// ---- the pass

static void add(void *ctx, float weight, int64_t from, int64_t n, const float *p, float *g)
{
    (void)weight, (void)n;
    lt_quant *q = ctx;
    const int64_t b = from / LT_UPDATE_BLOCK;
    for (int s = q->segment_of_block[b]; s < q->segment_of_block[b + 1]; s++) {
        lti_segment *seg = &q->segment[s];
        const lti_qtensor *t = &q->tensor[seg->tensor];
        memset(seg->own, 0, sizeof seg->own);
        const lti_qpiece piece = {.q = q,
                                  .t = t,
                                  .g = &q->grid[seg->grid],
                                  .i = seg->from - t->from,
                                  .n = seg->n,
                                  .w = p + (seg->from - from),
                                  .grad = g + (seg->from - from),
                                  .own = seg->own,
                                  .bend = &seg->bend};
        seg->bend = 0;
        const double c = coefficient(q, t, piece.g);
        seg->value = 0.5 * c * q->quantizer->penalize(&piece, (float)c);
    }
}

// Factor of a grid's own gradient that gives it LSQ's scale: kappa cancels, 1 / sqrt(q N) is left [QAT 1.4].
static double own_scale(const lt_quant *q, const lti_qtensor *t, const lti_grid *g, int j)
{
    if (!q->cfg.own_grad_scale)
        return 1;
    const double levels = (double)(g->n_levels - 1), n = (double)t->per;
    double kappa = 1, curvature = 1;
    q->quantizer->stiffness(q, g, t->per, &kappa, &curvature);
    return (double)(g->gain[j] / g->gain[0]) / (kappa * sqrt(levels * n));
}

// The penalty is quadratic in the numbers of a grid while codes stay; a rate above 1 / (2 curvature) would make them
// oscillate, so the gradient is cut to that [deviation: the published rates were chosen by hand for one lambda].
static double stable_scale(const lt_quant *q, double bend)
{
    const double lr = (double)(q->cfg.own_lr > 0 ? q->cfg.own_lr : q->quantizer->own_lr) *
                      (q->lr_max > 0 ? q->at.lr / (double)q->lr_max : 1);
    return lr * bend > 0.5 ? 0.5 / (lr * bend) : 1;
}

static double finish(void *ctx, float *own_grad)
{
    lt_quant *q = ctx;
    double value = 0;
    for (int k = 0; k < q->n_grids * q->n_own && own_grad; k++)
        own_grad[k] = 0;
    for (int s = 0; s < q->n_segments;) {
        const int grid = q->segment[s].grid;
        double own[LT_QUANT_MAX_BITS + 1] = {0}, bend = 0;
        const lti_qtensor *t = &q->tensor[q->segment[s].tensor];
        for (; s < q->n_segments && q->segment[s].grid == grid; s++) { // segments of a grid follow each other
            value += q->segment[s].value;
            bend += q->segment[s].bend;
            for (int j = 0; j < q->n_own; j++)
                own[j] += q->segment[s].own[j];
        }
        const double scale = q->cfg.own_grad_scale ? 1 : stable_scale(q, bend);
        for (int j = 0; j < q->n_own && own_grad; j++)
            own_grad[grid * q->n_own + j] = (float)(own[j] * scale * own_scale(q, t, &q->grid[grid], j));
    }
    return value;
}

static void own_updated(void *ctx)
{
    lti_q_own_to_grids(ctx);
}

static lt_own_params own_params(lt_quant *q)
{
    const float lr = q->cfg.own_lr > 0 ? q->cfg.own_lr : q->quantizer->own_lr;
    // Levels of a chip with spread are measured, not learned [QAT 4.2].
    return q->n_own > 0 && !q->maps.eps ? (lt_own_params){.value = q->own,
                                                          .n = (int64_t)q->n_grids * q->n_own,
                                                          .lr = lr,
                                                          .momentum = q->momentum}
                                        : (lt_own_params){0};
}

lt_penalty lti_quant_penalty(lt_quant *q)
{
    return (lt_penalty){.name = q->quantizer->info.name,
                        .identity = q->identity,
                        .weight = weigh,
                        .add = add,
                        .finish = finish,
                        .own_updated = own_updated,
                        .own = own_params(q),
                        .ctx = q};
}

// ---- forward passes with quantized weights

static lt_status forward(void *ctx, const lt_update_at *at, bool train, const lt_model *model, const float *p,
                         float *used)
{
    lt_quant *q = ctx;
    if (q->quantizer->prepare)
        q->quantizer->prepare(q, p);
    if (!train) {
        lti_q_deploy_all(q, q->maps.table ? &q->maps : NULL, p, used, NULL);
        return LT_OK;
    }
    q->at = *at;
    memcpy(used, p, (size_t)model->n_params * sizeof *used);
#pragma omp parallel for schedule(static)
    for (int s = 0; s < q->n_segments; s++) {
        const lti_segment *seg = &q->segment[s];
        const lti_qtensor *t = &q->tensor[seg->tensor];
        q->quantizer->forward(&(lti_qpiece){.q = q,
                                            .t = t,
                                            .g = &q->grid[seg->grid],
                                            .i = seg->from - t->from,
                                            .n = seg->n,
                                            .w = p + seg->from,
                                            .used = used + seg->from});
    }
    return LT_OK;
}

static void backward(void *ctx, const float *p, const float *used, float *g, float *own_grad)
{
    lt_quant *q = ctx;
#pragma omp parallel for schedule(static)
    for (int s = 0; s < q->n_segments; s++) {
        lti_segment *seg = &q->segment[s];
        const lti_qtensor *t = &q->tensor[seg->tensor];
        memset(seg->own, 0, sizeof seg->own);
        q->quantizer->backward(&(lti_qpiece){.q = q,
                                             .t = t,
                                             .g = &q->grid[seg->grid],
                                             .i = seg->from - t->from,
                                             .n = seg->n,
                                             .w = p + seg->from,
                                             .value = used + seg->from,
                                             .grad = g + seg->from,
                                             .own = seg->own});
    }
    for (int s = 0; s < q->n_segments && own_grad; s++)
        for (int j = 0; j < q->n_own; j++)
            own_grad[q->segment[s].grid * q->n_own + j] += (float)q->segment[s].own[j];
}

lt_transform lti_quant_transform(lt_quant *q)
{
    const bool trains = (q->quantizer->flags & LTI_Q_FORWARD) != 0;
    return (lt_transform){.name = q->quantizer->info.name,
                          .identity = q->identity,
                          .in_training = trains,
                          .forward = forward,
                          .backward = backward,
                          .own_updated = own_updated,
                          .own = trains ? own_params(q) : (lt_own_params){0},
                          .n_passes = q->quantizer->n_passes,
                          .ctx = q};
}

// ---- epochs

static void tensor_stats(lt_quant *q, int j, const float *p)
{
    const lti_qtensor *t = &q->tensor[j];
    lt_quant_tensor_info *info = &q->info[j];
    const lti_maps *maps = lti_known_maps(q);
    double square = 0, outside = 0;
    int64_t changed = 0;
    memset(info->histogram, 0, sizeof info->histogram);
    info->levels_hit = 0;
    for (int k = 0; k < t->n_grids; k++) {
        const lti_grid *g = &q->grid[t->grid + k];
        const float low = lti_grid_low(g), high = lti_grid_high(g);
        bool hit[LTI_LEVELS] = {false};
        int n_hit = 0;
        for (int64_t i = k * t->per; i < (k + 1) * t->per; i++) {
            const float w = lti_latent(q, g, p[t->from + i]);
            float v = 0;
            const int c = lti_q_nearest(q, maps, t, g, i, w, &v);
            const double d = ((double)w - (double)v) / (double)g->step;
            square += d * d;
            outside += w < low || w > high;
            changed += q->code[t->first + i] != c;
            q->code[t->first + i] = (uint8_t)c;
            n_hit += !hit[c];
            hit[c] = true;
            if (c < 16)
                info->histogram[c]++;
        }
        info->levels_hit = n_hit > info->levels_hit ? n_hit : info->levels_hit;
    }
    info->residual = square / (double)t->n;
    info->outside = outside / (double)t->n;
    info->code_change = (double)changed / (double)t->n;
}

void lti_quant_epoch_stats(lt_quant *q, const float *p)
{
    if (q->quantizer->prepare)
        q->quantizer->prepare(q, p);
#pragma omp parallel for schedule(dynamic)
    for (int j = 0; j < q->n_tensors; j++)
        tensor_stats(q, j, p);
}
