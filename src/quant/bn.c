// bn.c - batch-norm statistics re-estimated for the weights as they are deployed [QAT 9.1 item 6].
//
// The running average of a training-mode pass is momentum * batch + (1 - momentum) * old; started at 0 it is the
// batch's own statistic times the momentum, so the plain mean over batches needs no access to the layers.
#include "quant/quant_impl.h"

#include <math.h>
#include <string.h>

enum { BN_MOMENTUM_TENTH = 10 }; // 1 / momentum of every batch norm of a model (src/model/layers.c)

static lt_status run_batch(lt_plan *plan, const lt_model *m, const lt_batch *b, double *sum)
{
    const size_t per = (size_t)m->shape.c * (size_t)m->shape.h * (size_t)m->shape.w;
    memset(m->state, 0, (size_t)m->n_state * sizeof *m->state);
    lt_plan_params_changed(plan);
    memcpy(lt_plan_buffer(plan, m->x), b->x, (size_t)b->n * per * sizeof(float));
    LT_TRY(lt_plan_run(plan));
    for (int64_t i = 0; i < m->n_state; i++)
        sum[i] += BN_MOMENTUM_TENTH * (double)m->state[i];
    return LT_OK;
}

static lt_status run_all(lt_plan *plan, lt_model *m, lt_loader *loader, int64_t batch, int n_batches, double *sum,
                         int *done)
{
    for (uint32_t epoch = 0; *done < n_batches; epoch++) {
        const int before = *done;
        LT_TRY(lt_loader_start(loader, epoch, 0));
        for (const lt_batch *b = NULL; *done < n_batches;) {
            LT_TRY(lt_loader_next(loader, &b));
            if (b->n != batch) // the last one of an epoch may be smaller
                break;
            LT_TRY(run_batch(plan, m, b, sum));
            ++*done;
        }
        if (*done == before)
            return LT_FAIL(LT_E_USAGE, "batch norm: expected at least %lld training images", (long long)batch);
    }
    return LT_OK;
}

lt_status lt_bn_reestimate(lt_model *m, const lt_dataset *ds, const lt_env *env, const lt_train_cfg *recipe,
                           int n_batches, uint64_t seed)
{
    if (m->n_state == 0 || n_batches <= 0)
        return LT_OK;
    const int64_t n = ds->split[LT_TRAIN].n;
    lt_view view = lt_view_split(ds, LT_TRAIN);
    view.augment = recipe->augment;
    view.resized_crop = recipe->augmentation == LT_AUGMENT_RESIZED_CROP;
    const int64_t batch = recipe->batch < n ? recipe->batch : n;
    const lt_loader_spec spec = {.views = &view,
                                 .n_views = 1,
                                 .batch = batch,
                                 .shuffle = true,
                                 .seed = seed,
                                 .phase = 7,
                                 .n_threads = env->loader_threads,
                                 .pad = 4};
    const lt_plan_spec plan_spec = {.outs = &m->logits,
                                    .n_outs = 1,
                                    .grad_of = LT_NONE,
                                    .seed = LT_NONE,
                                    .batch = batch,
                                    .train = true,
                                    .dtype = LT_F32,
                                    .flags = env->plan_flags};
    lt_loader *loader = NULL;
    lt_plan *plan = NULL;
    double *sum = lti_calloc((size_t)m->n_state, sizeof *sum);
    int done = 0;
    lt_status status = sum ? LT_OK : LTI_NOMEM("statistics of batch norm");
    LT_TRY_GOTO(status, cleanup);
    LT_TRY_GOTO(lt_loader_create(&spec, &loader), cleanup);
    LT_TRY_GOTO(lt_plan_create(m->graph, &plan_spec, env->backend, &plan), cleanup);
    LT_TRY_GOTO(lt_plan_bind(plan, m->params, m->state, NULL), cleanup);
    LT_TRY_GOTO(run_all(plan, m, loader, batch, n_batches, sum, &done), cleanup);
    for (int64_t i = 0; i < m->n_state; i++)
        m->state[i] = (float)(sum[i] / done);
cleanup:
    lt_plan_destroy(plan);
    lt_loader_destroy(loader);
    lti_free(sum);
    return status;
}
