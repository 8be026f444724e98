// robust_curve.c - robust accuracy against the radius.
//
// Radii ascend; what is broken at one of them stays broken, so only survivors are attacked at the next.
#include "attack/robust_impl.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct survivors { // a view of its own memory
    lt_view view;
    int64_t *row;
    int32_t *label;
    float *image;
} survivors;

static void survivors_clear(survivors *s)
{
    lti_free(s->row);
    lti_free(s->label);
    lti_free(s->image);
    *s = (survivors){0};
}

static lt_status survivors_init(const lt_view *view, int64_t dim, survivors *s)
{
    const size_t n = (size_t)view->n;
    *s = (survivors){.view = *view};
    s->row = lti_calloc(n, sizeof *s->row);
    s->label = lti_calloc(n, sizeof *s->label);
    s->image = lti_calloc(n, (size_t)dim * sizeof *s->image);
    if (!s->row || !s->label || !s->image)
        return LTI_NOMEM("robustness curve");
    for (int64_t i = 0; i < view->n; i++) {
        s->row[i] = lti_view_row(view, i);
        s->label[i] = lti_view_label(view, i);
        lti_view_image(view, i, s->image + i * dim);
    }
    s->view.row = s->row;
    s->view.labels = s->label;
    s->view.images = s->image;
    return LT_OK;
}

static void keep_robust(survivors *s, const lt_robust_result *r, int64_t dim)
{
    int64_t kept = 0;
    for (int64_t i = 0; i < r->n; i++) {
        if (r->status[i] != LT_ROBUST_ROBUST)
            continue;
        s->row[kept] = s->row[i];
        s->label[kept] = s->label[i];
        memmove(s->image + kept * dim, s->image + i * dim, (size_t)dim * sizeof *s->image);
        kept++;
    }
    s->view.n = kept;
}

static lt_status run_radii(const lt_robust_curve_job *job, const lt_env *env, survivors *s, double *robust_acc)
{
    const lt_model_shape *shape = &job->target->model[0]->shape;
    const int64_t dim = (int64_t)shape->c * shape->h * shape->w;
    for (int i = 0; i < job->n; i++) {
        char eps[LTI_NUMBER_MAX];
        lt_attack_spec spec = *job->spec;
        lt_robust_result *r = NULL;
        robust_acc[i] = 0;
        if (s->view.n == 0)
            continue;
        spec.eps = lti_number_text(job->radius[i], false, eps);
        LT_TRY(lt_robust_evaluate(job->target, &s->view, job->attacks, &spec, job->cfg, job->cfg_ctx, env, &r));
        if (isnan(r->eps)) { // of minimum norm: the distances are the curve
            for (int k = 0; k < job->n; k++) {
                int64_t robust = 0;
                for (int64_t j = 0; j < r->n; j++)
                    robust += r->status[j] == LT_ROBUST_NOT_FOUND ||
                              (r->status[j] == LT_ROBUST_BROKEN && r->distance[j] > job->radius[k]);
                robust_acc[k] = (double)robust / (double)r->n;
            }
            lt_robust_result_destroy(r);
            return LT_OK;
        }
        keep_robust(s, r, dim);
        lt_robust_result_destroy(r);
        robust_acc[i] = (double)s->view.n / (double)job->view->n;
    }
    return LT_OK;
}

lt_status lt_robust_curve(const lt_robust_curve_job *job, const lt_env *env, double *robust_acc)
{
    survivors s = {0};
    if (job->n < 1 || job->target->n_models < 1)
        return LT_FAIL(LT_E_USAGE, "robustness curve: expected at least one radius and one model, found none");
    for (int i = 0; i < job->n; i++)
        if (!(job->radius[i] >= 0) || (i > 0 && job->radius[i] <= job->radius[i - 1]))
            return LT_FAIL(LT_E_USAGE, "robustness curve: expected ascending radii of at least 0, found %g",
                           job->radius[i]);
    const lt_model_shape *shape = &job->target->model[0]->shape;
    const lt_dataset *ds = job->view->ds;
    if (shape->c != ds->c || shape->h != ds->h || shape->w != ds->w)
        return LT_FAIL(LT_E_SHAPE, "robustness curve: the model takes %dx%dx%d images, the data has %dx%dx%d", shape->c,
                       shape->h, shape->w, ds->c, ds->h, ds->w);
    lt_status status = survivors_init(job->view, (int64_t)ds->c * ds->h * ds->w, &s);
    if (status == LT_OK)
        status = run_radii(job, env, &s, robust_acc);
    survivors_clear(&s);
    return status;
}
