// raster.c - the spikes of one layer for one sample.
#include "lethe/spike.h"
#include "base/base.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

lt_status lt_spike_raster(const lt_model *model, const lt_view *view, int64_t sample, const lt_env *env,
                          const char *layer, int64_t *n, uint8_t **spikes)
{
    char name[160];
    lt_value_info info;
    lt_plan *plan = NULL;
    lt_loader *loader = NULL;
    const lt_batch *b = NULL;
    *spikes = NULL;
    snprintf(name, sizeof name, "%.140s.spikes", layer);
    const lt_val v = lt_graph_find(model->graph, name);
    if (v == LT_NONE || lt_graph_value(model->graph, v, &info) != LT_OK)
        return LT_FAIL(LT_E_USAGE, "raster: no neurons called '%s' in %s", layer, model->spec);
    if (sample < 0 || sample >= view->n)
        return LT_FAIL(LT_E_USAGE, "raster: sample %lld of %lld", (long long)sample, (long long)view->n);
    const int64_t row = view->row ? view->row[sample] : sample, steps = info.shape.dim[0] / LT_BATCH;
    int64_t all = 1;
    for (int i = 1; i < info.shape.n_dims; i++)
        all *= info.shape.dim[i];
    *n = *n > 0 && *n < all ? *n : all;
    const lt_view one = {.ds = view->ds, .split = view->split, .row = &row, .n = 1, .weight = 1};
    lt_status status = LT_OK;
    LT_TRY_GOTO(lt_loader_create(&(lt_loader_spec){.views = &one, .n_views = 1, .batch = 1, .pad = 4}, &loader), done);
    LT_TRY_GOTO(lt_loader_start(loader, 0, 0), done);
    LT_TRY_GOTO(lt_loader_next(loader, &b), done);
    const lt_plan_spec spec = {.outs = &v,
                               .n_outs = 1,
                               .grad_of = LT_NONE,
                               .seed = LT_NONE,
                               .batch = 1,
                               .dtype = LT_F32,
                               .flags = env->plan_flags};
    LT_TRY_GOTO(lt_plan_create(model->graph, &spec, env->backend, &plan), done);
    LT_TRY_GOTO(lt_plan_bind(plan, model->params, model->state, NULL), done);
    const lt_model_shape *s = &model->shape;
    memcpy(lt_plan_buffer(plan, model->x), b->x, (size_t)s->c * (size_t)s->h * (size_t)s->w * sizeof(float));
    LT_TRY_GOTO(lt_plan_run(plan), done);
    uint8_t *out = malloc((size_t)(steps * *n) + 1);
    if (!out)
        LT_TRY_GOTO(LTI_NOMEM("a raster"), done);
    const float *x = lt_plan_buffer(plan, v);
    for (int64_t t = 0; t < steps; t++)
        for (int64_t i = 0; i < *n; i++)
            out[t * *n + i] = x[t * all + i] > 0;
    *spikes = out;
done:
    lt_plan_destroy(plan);
    lt_loader_destroy(loader);
    return status;
}
