// perturb.c - projected gradient steps with a fixed number of steps for every image. [L2UL 1]
#include "unlearn/perturb.h"
#include "attack/attack_impl.h"
#include "base/pgd_step.h"
#include <math.h>
#include <string.h>

enum { BATCH = 64 };

static float clamp(float x)
{
    return x < 0 ? 0 : x > 1 ? 1 : x;
}

// x (d) back into the ball around x0, then into [0,1].
static void project(const lti_perturb *c, const float *x0, int64_t d, float *x)
{
    double square = 0;
    for (int64_t j = 0; j < d; j++)
        square += ((double)x[j] - (double)x0[j]) * ((double)x[j] - (double)x0[j]);
    const double scale = sqrt(square) > c->eps ? c->eps / sqrt(square) : 1;
    const float eps = (float)c->eps;
    for (int64_t j = 0; j < d; j++) {
        const float delta = x[j] - x0[j];
        x[j] = clamp(x0[j] + (c->norm == LT_NORM_L2 ? (float)(scale * (double)delta)
                              : delta > eps         ? eps
                              : delta < -eps        ? -eps
                                                    : delta));
    }
}

// A point of the ball: uniform in a cube, or a random direction and a length uniform in [0, eps].
static void start(const lti_perturb *c, int64_t id, const float *x0, int64_t d, float *x)
{
    lt_rng rng = lt_rng_at(c->seed, LT_STREAM_UNLEARN, UINT32_C(0x70657274), (uint64_t)id);
    double square = 0;
    for (int64_t j = 0; j < d; j++) {
        const double u = c->norm == LT_NORM_L2 ? lt_rng_normal(&rng) : 2 * (double)lt_rng_uniform(&rng) - 1;
        x[j] = (float)u;
        square += u * u;
    }
    const double length =
        c->norm == LT_NORM_L2 ? c->eps * (double)lt_rng_uniform(&rng) / sqrt(square > 0 ? square : 1) : c->eps;
    for (int64_t j = 0; j < d; j++)
        x[j] = clamp(x0[j] + (float)(length * (double)x[j]));
}

static void step_row(const lti_perturb *c, const float *g, int64_t d, float *x)
{
    const double step = c->targeted ? -c->step_size : c->step_size;
    double square = 0;
    if (c->norm == LT_NORM_LINF) {
        lti_pgd_step_linf((float)step, g, d, x);
        return;
    }
    for (int64_t j = 0; j < d; j++)
        square += (double)g[j] * (double)g[j];
    if (square > 0)
        lti_pgd_step_l2(step, g, sqrt(square), d, x);
}

// Rows from..from+n-1, at most one batch.
static lt_status move_rows(lti_grad *grad, const lti_perturb *c, const lt_view *view, const int32_t *label,
                           int64_t from, int64_t n, float *x0, float *out)
{
    const int64_t d = (int64_t)view->ds->c * view->ds->h * view->ds->w;
    const int bucket = lti_grad_bucket(grad, n);
    lti_grad_io io;
    LT_TRY(lti_grad_io_get(grad, LTI_GRAD_CE, bucket, &io));
    for (int64_t r = 0; r < n; r++) {
        const lt_split_data *s = &view->ds->split[view->split];
        lti_view_image(view, from + r, x0 + r * d);
        start(c, (from + r) * INT64_C(0x100000000) + s->id[lti_view_row(view, from + r)], x0 + r * d, d,
              out + (from + r) * d);
    }
    for (int32_t step = 0; step < c->steps; step++) {
        for (int64_t r = 0; r < io.size; r++) {
            const int64_t i = from + (r < n ? r : 0); // padding repeats the first row with weight 0
            memcpy(io.x + r * d, out + i * d, (size_t)d * sizeof *io.x);
            io.label[r] = label[i];
            io.weight[r] = r < n ? 1.0f : 0.0f;
        }
        LT_TRY(lt_plan_run(io.plan));
        for (int64_t r = 0; r < n; r++) {
            step_row(c, io.dx + r * d, d, out + (from + r) * d);
            project(c, x0 + r * d, d, out + (from + r) * d);
        }
    }
    return LT_OK;
}

lt_status lti_perturb_view(const lt_model *model, const lt_env *env, const lt_view *view, const int32_t *label,
                           const lti_perturb *cfg, float *out, lt_passes *passes)
{
    const size_t d = (size_t)view->ds->c * (size_t)view->ds->h * (size_t)view->ds->w;
    const int64_t batch = view->n < BATCH ? view->n : BATCH;
    lti_grad grad = {0};
    float *x0 = lti_calloc((size_t)batch * d, sizeof *x0);
    lt_status status = x0 ? lti_grad_init(&grad, model, env, batch) : LTI_NOMEM("perturbed images");
    for (int64_t from = 0, n = 0; status == LT_OK && from < view->n; from += n) {
        const int bucket = lti_grad_bucket(&grad, view->n - from);
        n = view->n - from < grad.size[bucket] ? view->n - from : grad.size[bucket];
        if (lt_interrupted(env->stop))
            status = LT_FAIL(LT_E_INTERRUPTED, "perturbed images: interrupted after %lld of %lld", (long long)from,
                             (long long)view->n);
        else
            status = move_rows(&grad, cfg, view, label, from, n, x0, out);
        passes->n_forward += n * cfg->steps;
        passes->n_backward += n * cfg->steps;
    }
    lti_grad_clear(&grad);
    lti_free(x0);
    return status;
}
