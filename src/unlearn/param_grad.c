// param_grad.c - parameter gradients in evaluation mode: running statistics, no augmentation, nothing is changed.
#include "unlearn/param_grad.h"
#include <math.h>
#include <string.h>

lt_status lti_param_grad_init(lti_param_grad *g, const lt_model *model, const lt_env *env)
{
    *g = (lti_param_grad){.model = model, .env = env};
    g->grads = lti_aligned_alloc(64, (size_t)model->n_params * sizeof *g->grads);
    if (!g->grads)
        return LTI_NOMEM("gradients of the model");
    LT_TRY(lt_graph_dup(model->graph, &g->graph));
    g->labels = lt_input(g->graph, "unlearn.labels", LT_I32, LT_SHAPE(LT_BATCH));
    g->weight = lt_input(g->graph, "unlearn.weight", LT_F32, LT_SHAPE(LT_BATCH));
    g->loss = lt_weighted_sum(g->graph, lt_cross_entropy(g->graph, model->logits, g->labels, 0.0f), g->weight);
    LT_TRY(lt_graph_status(g->graph));
    g->outs[0] = g->loss;
    g->outs[1] = model->logits;
    g->plans = (lti_plans){.graph = g->graph,
                           .backend = env->backend,
                           .params = model->params, // evaluation mode: both slabs are only read
                           .state = model->state,
                           .grads = g->grads,
                           .spec = {.outs = g->outs,
                                    .n_outs = 2,
                                    .grad_of = g->loss,
                                    .seed = LT_NONE,
                                    .wrt_params = true,
                                    .dtype = LT_F32,
                                    .flags = env->plan_flags}};
    return LT_OK;
}

void lti_param_grad_clear(lti_param_grad *g)
{
    lti_plans_clear(&g->plans);
    lt_graph_destroy(g->graph);
    lti_free(g->grads);
    *g = (lti_param_grad){0};
}

lt_status lti_param_grad_run(lti_param_grad *g, const float *x, const int32_t *y, int64_t n)
{
    const lt_model_shape *s = &g->model->shape;
    lt_plan *plan = NULL;
    LT_TRY(lti_plans_get(&g->plans, n, &plan));
    memcpy(lt_plan_buffer(plan, g->model->x), x, (size_t)n * (size_t)s->c * (size_t)s->h * (size_t)s->w * sizeof *x);
    memcpy(lt_plan_buffer(plan, g->labels), y, (size_t)n * sizeof *y);
    float *weight = lt_plan_buffer(plan, g->weight);
    for (int64_t i = 0; i < n; i++)
        weight[i] = 1.0f / (float)n;
    LT_TRY(lt_plan_run(plan));
    g->logits = lt_plan_buffer(plan, g->model->logits);
    g->passes.n_forward += n;
    g->passes.n_backward += n;
    const float loss = *(const float *)lt_plan_buffer(plan, g->loss);
    if (!isfinite(loss))
        return LT_FAIL(LT_E_DIVERGED, "gradients of the trained model: its loss is %g", (double)loss);
    return LT_OK;
}

static void progress(const lti_param_grad *g, int64_t done, int64_t total, double *emit_s)
{
    const double now = lti_now_s();
    if (now - *emit_s < 0.2 && done < total)
        return;
    *emit_s = now;
    lt_emit(g->env->events, &(lt_event){.kind = LT_EV_PROGRESS,
                                        .name = "unlearn.progress",
                                        .done = done,
                                        .total = total,
                                        .unit = "images",
                                        .epoch = -1,
                                        .step = -1});
}

static lt_status run_pass(lti_param_grad *g, const lti_grad_pass *pass, lt_loader *loader)
{
    const int64_t total = pass->n_max > 0 && pass->n_max < pass->view->n ? pass->n_max : pass->view->n;
    double emit_s = 0;
    LT_TRY(lt_loader_start(loader, 0, 0));
    for (int64_t done = 0; done < total;) {
        const lt_batch *b = NULL;
        if (lt_interrupted(g->env->stop))
            return LT_FAIL(LT_E_INTERRUPTED, "%s interrupted after %lld of %lld images", pass->what, (long long)done,
                           (long long)total);
        LT_TRY(lt_loader_next(loader, &b));
        lt_batch part = *b; // of the last batch no more than n_max allows
        part.n = b->n < total - done ? b->n : total - done;
        part.n_all = part.n;
        if (!pass->raw)
            LT_TRY(lti_param_grad_run(g, part.x, part.y, part.n));
        LT_TRY(pass->each(pass->ctx, g, &part));
        done += part.n;
        progress(g, done, total, &emit_s);
    }
    return LT_OK;
}

lt_status lti_param_grad_pass(lti_param_grad *g, const lti_grad_pass *pass)
{
    lt_view view = *pass->view;
    view.augment = false;
    LT_TRY(lti_job_view_check(g->model, &view, pass->what));
    const lt_loader_spec spec = {.views = &view,
                                 .n_views = 1,
                                 .batch = pass->batch,
                                 .shuffle = pass->shuffle,
                                 .seed = pass->seed,
                                 .n_threads = g->env->loader_threads};
    lt_loader *loader = NULL;
    LT_TRY(lt_loader_create(&spec, &loader));
    lt_status status = run_pass(g, pass, loader);
    lt_loader_destroy(loader);
    return status;
}
