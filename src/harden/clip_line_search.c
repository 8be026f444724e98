// clip_line_search.c - FastClip with an exact line search [FASTCLIP 6-8], and the authors' released step.
//
// With right singular vectors v_i and values s_i of A(W), the responses y_i = A v_i are to become (c / s_i) y_i where
// s_i is above c, and to stay elsewhere. f_W(v) is linear in W: along the gradient g of the mismatch the best step is
// |g|^2 / |f_g(v)|^2, in closed form.
#include "clip_impl.h"
#include <math.h>
#include <string.h>

static const double tolerance = 1e-3;       // of the target: what counts as above it
static const double released_margin = 0.05; // absolute, below the target

static double square(const float *v, int64_t n)
{
    return lti_dot_f32(v, v, n);
}

// residual_i = (1 - c / s_i) y_i where direction i is to change; false when none is.
static bool wanted_change(lti_clip_target *t, bool may_raise, double margin)
{
    const lti_tracker *tr = &t->track;
    bool any = false;
    for (int i = 0; i < tr->k; i++) {
        const double s = tr->sigma[i], c = t->target;
        const bool raise = may_raise && i == 0 && s > 0 && c - s >= margin; // only the largest value
        const bool change = s > c * (1 + tolerance) || raise;
        const double by = change ? 1 - c / s : 0;
        for (int64_t e = 0; e < tr->n_out; e++)
            t->residual[i * tr->n_out + e] = (float)(by * (double)tr->y[i * tr->n_out + e]);
        any |= change;
    }
    return any;
}

// W -= eta g with the exact eta; residual -= eta f_g(v). false when the gradient has no effect on the responses.
static lt_status search_line(lti_clip_target *t, bool *moved)
{
    lti_tracker *tr = &t->track;
    int64_t n;
    float *w = lti_layer_weight(t->model, tr->layer, &n), *g = t->slab + (w - t->model->params);
    const int64_t n_y = tr->k * tr->n_out;
    *moved = false;
    LT_TRY(lt_linear_map_weight_grad(tr->map, tr->v, t->residual, (void *[]){g, NULL}));
    lt_linear_map_changed(t->of_gradient);
    LT_TRY(lt_linear_map_apply(t->of_gradient, tr->v, tr->y));
    const double gg = square(g, n), ff = square(tr->y, n_y), eta = ff > 0 ? gg / ff : 0;
    if (!(gg > 0) || !(eta > 0) || !isfinite(eta))
        return LT_OK;
    for (int64_t i = 0; i < n; i++)
        w[i] = (float)((double)w[i] - eta * (double)g[i]);
    for (int64_t i = 0; i < n_y; i++)
        t->residual[i] = (float)((double)t->residual[i] - eta * (double)tr->y[i]);
    *moved = true;
    return LT_OK;
}

// Batch norm's scale belongs to f_g as it does to f_W.
static void share_scale(lti_clip_target *t)
{
    const lti_layer *l = t->track.layer;
    if (l->bn < 0)
        return;
    const lti_value *gamma = &t->model->graph->value[t->model->graph->node[l->bn].in[1]];
    memcpy(t->slab + gamma->slab_offset, t->model->params + gamma->slab_offset,
           (size_t)lti_shape_count(&gamma->shape) * sizeof *t->slab);
}

static lt_status apply_line_search(lti_clip_target *t, const lti_clip_call *call, bool *changed)
{
    *changed = false;
    if (!wanted_change(t, call->may_raise, tolerance * t->target))
        return LT_OK;
    share_scale(t);
    for (int i = 0; i < call->inner; i++) {
        bool moved;
        LT_TRY(search_line(t, &moved));
        if (!moved)
            break;
        *changed = true;
    }
    lti_tracker_changed(&t->track);
    return LT_OK;
}

// The authors' step: W -= 2 lambda / W_out corr(v, r) for a convolution, whose loss is averaged over the width of the
// output, W -= 2 lambda (r v') for a linear layer; a composition also moves gamma.
static lt_status released_step(lti_clip_target *t, double lambda)
{
    lti_tracker *tr = &t->track;
    const lt_graph *g = t->model->graph;
    const lti_layer *l = tr->layer;
    int64_t n, n_gamma = 0;
    float *w = lti_layer_weight(t->model, l, &n), *gamma = NULL, *d_gamma = NULL,
          *dw = t->slab + (w - t->model->params);
    const lt_shape *y = &g->value[l->to].shape;
    const double step = 2 * lambda / (y->n_dims == 4 ? (double)y->dim[3] : 1);
    if (l->bn >= 0) {
        const lti_value *value = &g->value[g->node[l->bn].in[1]];
        n_gamma = lti_shape_count(&value->shape);
        gamma = t->model->params + value->slab_offset;
        d_gamma = t->slab + value->slab_offset;
    }
    LT_TRY(lt_linear_map_weight_grad(tr->map, tr->v, t->residual, (void *[]){dw, d_gamma}));
    for (int64_t i = 0; i < n; i++)
        w[i] = (float)((double)w[i] - step * (double)dw[i]);
    for (int64_t i = 0; i < n_gamma; i++)
        gamma[i] = (float)((double)gamma[i] - step * (double)d_gamma[i]);
    return LT_OK;
}

static lt_status apply_released(lti_clip_target *t, const lti_clip_call *call, bool *changed)
{
    lti_tracker *tr = &t->track;
    const double lambda = tr->layer->bn >= 0 ? 0.01 : (double)call->cfg->clip_step;
    *changed = false;
    // Two-sided for convolutions, as in the authors' code.
    if (!wanted_change(t, tr->layer->kind == LT_LAYER_CONV || call->may_raise, released_margin))
        return LT_OK;
    float *aim = lti_calloc((size_t)(tr->k * tr->n_out), sizeof *aim); // what the responses are to become
    if (!aim)
        return LTI_NOMEM("clipping");
    lt_status status = LT_OK;
    for (int64_t i = 0; i < tr->k * tr->n_out; i++)
        aim[i] = tr->y[i] - t->residual[i];
    for (int i = 0; i < call->inner && status == LT_OK; i++) {
        status = released_step(t, lambda);
        lti_tracker_changed(tr);
        if (status == LT_OK && i + 1 < call->inner)
            status = lt_linear_map_apply(tr->map, tr->v, tr->y);
        for (int64_t e = 0; e < tr->k * tr->n_out; e++)
            t->residual[e] = tr->y[e] - aim[e];
    }
    *changed = true;
    lti_free(aim);
    return status;
}

const lti_clip_rule lti_clip_line_search = {"line-search", "FastClip with the exact step along the gradient", true,
                                            apply_line_search};
const lti_clip_rule lti_clip_released = {
    "released", "FastClip as the authors released it: fixed step, two-sided for convolutions", true, apply_released};
