// check.c - what a caller hands in, checked before any work starts: environments and views.
#include "train_impl.h"

lt_status lti_env_check(const lt_env *env)
{
    if (!env || !env->backend)
        return LT_FAIL(LT_E_USAGE, "environment: expected a backend, found none");
    if (env->loader_threads < 0)
        return LT_FAIL(LT_E_USAGE, "environment: expected 0 or more loader threads, found %d", env->loader_threads);
    return LT_OK;
}

static lt_status check_labels(const lt_view *view, const lt_split_data *split, int n_classes, const char *what)
{
    for (int64_t i = 0; i < view->n; i++) {
        const int64_t row = view->row ? view->row[i] : i;
        if (row < 0 || row >= split->n) {
            return LT_FAIL(LT_E_FORMAT, "%s: row %lld of the view: expected 0 to %lld, found %lld", what, (long long)i,
                           (long long)split->n - 1, (long long)row);
        }
        const int32_t label = view->labels ? view->labels[i] : split->y[row];
        if (label < 0 || label >= n_classes) {
            return LT_FAIL(LT_E_FORMAT, "%s: label of sample %lld: the model has classes 0 to %d, found %d", what,
                           (long long)split->id[row], n_classes - 1, (int)label);
        }
    }
    return LT_OK;
}

lt_status lti_job_view_check(const lt_model *model, const lt_view *view, const char *what)
{
    const lt_dataset *ds = view->ds;
    const lt_model_shape *s = &model->shape;
    if (!ds || (view->split != LT_TRAIN && view->split != LT_TEST))
        return LT_FAIL(LT_E_USAGE, "%s: expected a data set and a split, found none", what);
    if (ds->c != s->c || ds->h != s->h || ds->w != s->w) {
        return LT_FAIL(LT_E_SHAPE, "%s: the model takes images of %dx%dx%d, found %dx%dx%d", what, s->c, s->h, s->w,
                       ds->c, ds->h, ds->w);
    }
    // Random labels are drawn among the classes of the data set.
    if (view->relabel != LT_RELABEL_NONE && ds->n_classes > s->n_classes) {
        return LT_FAIL(LT_E_SHAPE, "%s: random labels of %d classes, but the model has %d", what, ds->n_classes,
                       s->n_classes);
    }
    if (view->n <= 0 || (!view->row && view->n > ds->split[view->split].n)) {
        return LT_FAIL(LT_E_USAGE, "%s: expected 1 to %lld samples, found %lld", what,
                       (long long)ds->split[view->split].n, (long long)view->n);
    }
    return check_labels(view, &ds->split[view->split], s->n_classes, what);
}
