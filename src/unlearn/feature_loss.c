// feature_loss.c - the objective: weighted cross-entropy plus sum_i <h_i, G_i>.
#include "unlearn/feature_loss.h"
#include "graph/graph_impl.h"
#include <string.h>

lt_val lti_features_of(const lt_model *model, int64_t *d)
{
    const lt_graph *g = model->graph;
    const int32_t node = g->value[model->logits].node;
    lt_value_info info;
    if (node < 0 || g->node[node].op != &lt_op_linear || lt_graph_value(g, g->node[node].in[0], &info) != LT_OK)
        LT_BUG("%s: its logits do not come from a linear layer", model->spec);
    *d = info.shape.dim[1];
    return g->node[node].in[0];
}

static lt_status build(void *ctx, lt_graph *g, lt_val labels, bool train, lt_val *per_sample)
{
    lti_feature_loss *f = ctx;
    const lt_model *m = f->in->model;
    (void)labels, (void)train;
    f->target = lt_input(g, "unlearn.target", LT_F32, LT_SHAPE(LT_BATCH, m->shape.n_classes));
    f->constant = lt_input(g, "unlearn.constant", LT_F32, LT_SHAPE(LT_BATCH, f->d));
    *per_sample =
        lt_add(g, lt_cross_entropy_soft(g, m->logits, f->target), LTI_EMIT(g, row_dot, NULL, f->h, f->constant));
    return lt_graph_status(g);
}

static lt_status add_gradient(lti_feature_loss *f, const lt_objective_batch *at, float *constant)
{
    const lt_model *m = f->in->model;
    const lt_batch *b = at->batch;
    const size_t per = (size_t)m->shape.c * (size_t)m->shape.h * (size_t)m->shape.w;
    lt_plan *plan = NULL;
    if (m->n_state > 0) // the pass must not count as a step of the running statistics
        memcpy(f->state, m->state, (size_t)m->n_state * sizeof *f->state);
    lti_plans_changed(&f->plans);
    LT_TRY(lti_plans_get(&f->plans, b->n, &plan));
    memcpy(lt_plan_buffer(plan, m->x), b->x, (size_t)b->n * per * sizeof *b->x);
    LT_TRY(lt_plan_run(plan));
    f->n_forward += b->n;
    return f->gradient(
        f->ctx,
        &(lti_feature_batch){.at = at, .n = b->n, .d = f->d, .h = lt_plan_buffer(plan, f->h), .gradient = constant});
}

static lt_status fill(void *ctx, const lt_objective_batch *at, lt_plan *plan)
{
    lti_feature_loss *f = ctx;
    const lt_batch *b = at->batch;
    const int32_t k = f->in->model->shape.n_classes;
    float *target = lt_plan_buffer(plan, f->target), *constant = lt_plan_buffer(plan, f->constant);
    memset(target, 0, (size_t)b->n * (size_t)k * sizeof *target);
    memset(constant, 0, (size_t)b->n * (size_t)f->d * sizeof *constant);
    for (int64_t i = 0; i < b->n; i++)
        target[i * k + at->labels[i]] = f->ce_weight ? f->ce_weight(f->ctx, b, i) : 1;
    return !f->applies || f->applies(f->ctx, b) ? add_gradient(f, at, constant) : LT_OK;
}

lt_status lti_feature_loss_open(lti_feature_loss *f)
{
    const lt_model *m = f->in->model;
    f->h = f->outs[0] = lti_features_of(m, &f->d);
    f->state = lti_aligned_alloc(64, (size_t)(m->n_state + 1) * sizeof *f->state);
    if (!f->state)
        return LTI_NOMEM("features of a batch");
    f->plans = (lti_plans){.graph = m->graph,
                           .backend = f->in->env->backend,
                           .params = m->params,
                           .state = f->state,
                           .spec = {.outs = f->outs,
                                    .n_outs = 1,
                                    .grad_of = LT_NONE,
                                    .seed = LT_NONE,
                                    .train = f->train,
                                    .dtype = LT_F32,
                                    .flags = f->in->env->plan_flags}};
    f->objective = (lt_objective){.name = "unlearn.features", .build = build, .fill = fill, .ctx = f};
    return LT_OK;
}

void lti_feature_loss_clear(lti_feature_loss *f)
{
    lti_plans_clear(&f->plans);
    lti_free(f->state);
    f->state = NULL;
}

lt_status lti_features_read(const lt_model *model, const lt_env *env, const lt_view *view, float *h, lt_passes *passes)
{
    enum { BATCH = 64 };
    int64_t d = 0;
    const lt_val outs[1] = {lti_features_of(model, &d)};
    const size_t per = (size_t)model->shape.c * (size_t)model->shape.h * (size_t)model->shape.w;
    lti_plans plans = {
        .graph = model->graph,
        .backend = env->backend,
        .params = model->params,
        .state = model->state,
        .spec = {
            .outs = outs, .n_outs = 1, .grad_of = LT_NONE, .seed = LT_NONE, .dtype = LT_F32, .flags = env->plan_flags}};
    lt_view plain = *view;
    plain.augment = false;
    const lt_loader_spec spec = {.views = &plain, .n_views = 1, .batch = BATCH, .n_threads = env->loader_threads};
    lt_loader *loader = NULL;
    LT_TRY(lti_job_view_check(model, &plain, "features"));
    lt_status status = lt_loader_create(&spec, &loader);
    if (status == LT_OK)
        status = lt_loader_start(loader, 0, 0);
    for (int64_t done = 0; status == LT_OK && done < view->n;) {
        const lt_batch *b = NULL;
        lt_plan *plan = NULL;
        status = lt_interrupted(env->stop)
                     ? LT_FAIL(LT_E_INTERRUPTED, "features: interrupted after %lld images", (long long)done)
                     : lt_loader_next(loader, &b);
        if (status == LT_OK)
            status = lti_plans_get(&plans, b->n, &plan);
        if (status == LT_OK) {
            memcpy(lt_plan_buffer(plan, model->x), b->x, (size_t)b->n * per * sizeof *b->x);
            status = lt_plan_run(plan);
        }
        if (status == LT_OK) {
            memcpy(h + done * d, lt_plan_buffer(plan, outs[0]), (size_t)(b->n * d) * sizeof *h);
            passes->n_forward += b->n;
            done += b->n;
        }
    }
    lt_loader_destroy(loader);
    lti_plans_clear(&plans);
    return status;
}
