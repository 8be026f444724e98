// boundary.c - one signed gradient step across the boundary of a frozen model, and the label found beyond it.
#include "unlearn/boundary.h"
#include <math.h>
#include <string.h>

const lt_option lti_boundary_options[] = {
    LTI_RECIPE_ROWS_OPEN(lti_boundary_cfg),
    LT_F32(lti_boundary_cfg, bound, 0.1, 1e-6, 1, "pixels in [0,1]",
           "length of the step across the boundary, in each pixel"),
    LT_OPT_END,
};

lt_status lti_boundary_init(lti_boundary *b, const lt_model *model, const lt_env *env, int64_t batch, float bound)
{
    const lt_model_shape *s = &model->shape;
    *b = (lti_boundary){.bound = bound};
    LT_TRY(lt_model_dup(model, &b->frozen));
    b->x = lti_calloc((size_t)batch, (size_t)s->c * (size_t)s->h * (size_t)s->w * sizeof *b->x);
    if (!b->x)
        return LTI_NOMEM("images across the boundary");
    LT_TRY(lti_grad_init(&b->grad, b->frozen, env, batch));
    b->outs[0] = b->frozen->logits;
    b->plans = (lti_plans){.graph = b->frozen->graph,
                           .backend = env->backend,
                           .params = b->frozen->params,
                           .state = b->frozen->state,
                           .spec = {.outs = b->outs,
                                    .n_outs = 1,
                                    .grad_of = LT_NONE,
                                    .seed = LT_NONE,
                                    .dtype = LT_F32,
                                    .flags = env->plan_flags}};
    return LT_OK;
}

void lti_boundary_clear(lti_boundary *b)
{
    lti_plans_clear(&b->plans);
    lti_grad_clear(&b->grad);
    lt_model_destroy(b->frozen);
    lti_free(b->x);
    *b = (lti_boundary){0};
}

void lti_boundary_changed(lti_boundary *b)
{
    lti_plans_changed(&b->plans);
    for (int i = 0; i < b->grad.n_buckets; i++)
        if (b->grad.plan[LTI_GRAD_CE][i])
            lt_plan_params_changed(b->grad.plan[LTI_GRAD_CE][i]);
}

// x' of rows from..from+n-1 of the batch; d values each.
static lt_status cross(lti_boundary *b, const lt_batch *batch, int64_t from, int64_t n, int bucket, size_t d)
{
    lti_grad_io io;
    LT_TRY(lti_grad_io_get(&b->grad, LTI_GRAD_CE, bucket, &io));
    for (int64_t r = 0; r < io.size; r++) {
        const int64_t i = from + (r < n ? r : 0); // padding repeats the first row with weight 0
        memcpy(io.x + (size_t)r * d, batch->x + (size_t)i * d, d * sizeof *io.x);
        io.label[r] = batch->y[i];
        io.weight[r] = r < n ? 1.0f : 0.0f;
    }
    LT_TRY(lt_plan_run(io.plan));
    for (size_t j = 0; j < (size_t)n * d; j++) {
        const float g = io.dx[j], x = io.x[j];
        const float moved = x + b->bound * (float)((g > 0) - (g < 0));
        b->x[(size_t)from * d + j] = rintf((moved < 0 ? 0 : moved > 1 ? 1 : moved) * 255) / 255;
    }
    return LT_OK;
}

lt_status lti_boundary_labels(lti_boundary *b, const lt_batch *batch, int32_t *labels)
{
    const lt_model_shape *s = &b->frozen->shape;
    const size_t d = (size_t)s->c * (size_t)s->h * (size_t)s->w;
    for (int64_t at = 0, n = 0; at < batch->n; at += n) {
        const int bucket = lti_grad_bucket(&b->grad, batch->n - at);
        n = batch->n - at < b->grad.size[bucket] ? batch->n - at : b->grad.size[bucket];
        LT_TRY(cross(b, batch, at, n, bucket, d));
    }
    lt_plan *plan = NULL;
    LT_TRY(lti_plans_get(&b->plans, batch->n, &plan));
    memcpy(lt_plan_buffer(plan, b->frozen->x), b->x, (size_t)batch->n * d * sizeof *b->x);
    LT_TRY(lt_plan_run(plan));
    const float *z = lt_plan_buffer(plan, b->frozen->logits); // (n,K)
    for (int64_t i = 0; i < batch->n; i++)
        labels[i] = lti_arg_max(z + i * s->n_classes, s->n_classes);
    b->passes->n_forward += 2 * batch->n;
    b->passes->n_backward += batch->n;
    return LT_OK;
}
