// tracker.c - singular vectors of a layer that follow its weight, one step of PowerQR at a time [FASTCLIP 3].
#include "clip_impl.h"
#include <math.h>
#include <string.h>

int64_t lti_layer_n_in(const lt_model *model, const lti_layer *layer)
{
    const lt_shape *x = &model->graph->value[layer->from].shape;
    int64_t n = 1;
    for (int d = 1; d < x->n_dims; d++)
        n *= x->dim[d];
    return n;
}

float *lti_layer_weight(const lt_model *model, const lti_layer *layer, int64_t *n)
{
    const lti_value *w = &model->graph->value[layer->weight];
    *n = lti_shape_count(&w->shape);
    return model->params + w->slab_offset;
}

// Few vectors and a weight that changes after a run or two: bringing filters into the transformed domain (slow in
// oneDNN) would cost several times the runs.
unsigned lti_tracker_plan_flags(const lt_env *env)
{
    return (env->plan_flags & ~(unsigned)LT_PLAN_BF16) | LT_PLAN_NO_WINOGRAD;
}

lt_status lti_tracker_init(lti_tracker *t, const lt_model *model, const lti_layer *layer, int k, const lt_env *env)
{
    *t = (lti_tracker){.model = model, .layer = layer, .n_in = lti_layer_n_in(model, layer)};
    t->k = (int)(k < t->n_in ? k : t->n_in);
    const lt_node *bn = layer->bn >= 0 ? &model->graph->node[layer->bn] : NULL;
    const lt_linear_map_spec spec = {.graph = model->graph,
                                     .from = layer->from,
                                     .to = layer->to,
                                     .batch = t->k,
                                     .dtype = LT_F32,
                                     .flags = lti_tracker_plan_flags(env),
                                     .weight = {layer->weight, bn && layer->weight != LT_NONE ? bn->in[1] : LT_NONE}};
    LT_TRY(lt_linear_map_create(&spec, env->backend, &t->map));
    LT_TRY(lt_linear_map_bind(t->map, model->params, model->state));
    t->n_out = lt_linear_map_n_out(t->map);
    t->owns_v = true;
    t->v = lti_calloc((size_t)(t->k * t->n_in), sizeof *t->v);
    t->y = lti_calloc((size_t)(t->k * t->n_out), sizeof *t->y);
    t->z = lti_calloc((size_t)(t->k * t->n_in), sizeof *t->z);
    return t->v && t->y && t->z ? LT_OK : LTI_NOMEM("singular vectors of a layer");
}

void lti_tracker_clear(lti_tracker *t)
{
    lt_linear_map_destroy(t->map);
    if (t->owns_v)
        lti_free(t->v);
    lti_free(t->y);
    lti_free(t->z);
    *t = (lti_tracker){0};
}

void lti_tracker_changed(lti_tracker *t)
{
    lt_linear_map_changed(t->map);
}

void lti_tracker_restart(lti_tracker *t, uint64_t seed, uint32_t draw)
{
    lt_power_qr_start(t->v, t->k, t->n_in, seed, draw);
    lti_orthonormalize(t->v, t->k, t->n_in, draw);
}

// Rayleigh-Ritz on the block, by the library's routine; with one vector there is nothing to rotate.
static lt_status step_block(lti_tracker *t, int n, double shift)
{
    lt_power_qr q = {.block = t->k, .iterations = n, .shift = shift};
    LT_TRY(lt_power_qr_run(t->map, &q, t->v, t->y, t->sigma, NULL));
    t->residual = q.residual;
    return LT_OK;
}

static lt_status measure_one(lti_tracker *t)
{
    LT_TRY(lt_linear_map_apply(t->map, t->v, t->y));
    t->sigma[0] = sqrt(lti_dot_f32(t->y, t->y, t->n_out));
    return isfinite(t->sigma[0])
               ? LT_OK
               : LT_FAIL(LT_E_DIVERGED, "%s: expected finite weights, found |A v| = %g", t->layer->name, t->sigma[0]);
}

// v <- (shift v + A^T y) / |shift v + A^T y| for the y and sigma of v.
static lt_status advance_one(lti_tracker *t, double shift)
{
    const double s = t->sigma[0] * t->sigma[0];
    double off = 0, length = 0;
    LT_TRY(lt_linear_map_adjoint(t->map, t->y, t->z));
    for (int64_t e = 0; e < t->n_in; e++) {
        const double v = (double)t->v[e], z = (double)t->z[e], x = shift * v + z;
        off += (z - s * v) * (z - s * v);
        length += x * x;
        t->v[e] = (float)x;
    }
    t->residual = s > 0 ? sqrt(off) / s : 0;
    length = sqrt(length);
    for (int64_t e = 0; e < t->n_in && length > 0; e++)
        t->v[e] = (float)((double)t->v[e] / length);
    return LT_OK;
}

lt_status lti_tracker_step(lti_tracker *t, int n, double shift)
{
    if (t->k > 1)
        return step_block(t, n, shift);
    LT_TRY(measure_one(t));
    for (int i = 0; i < n; i++) {
        LT_TRY(advance_one(t, shift));
        LT_TRY(measure_one(t));
    }
    return LT_OK;
}

lt_status lti_tracker_follow(lti_tracker *t, double shift)
{
    if (t->k > 1)
        return step_block(t, 1, shift);
    LT_TRY(measure_one(t));
    return advance_one(t, shift);
}
