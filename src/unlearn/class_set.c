// class_set.c - which classes a forget set takes away as a whole.
#include "unlearn/class_targets.h"

void lti_class_set_clear(lti_class_set *set)
{
    lti_free(set->forget);
    *set = (lti_class_set){0};
}

static lt_status check_classes(const lt_unlearn_in *in, const char *method, const lti_class_set *set,
                               const int64_t *n_retained)
{
    for (int32_t c = 0; c < set->k && in->retain; c++)
        if (set->forget[c] && n_retained[c] > 0) {
            (void)LT_FAIL(LT_E_USAGE, "%s: forgets whole classes, but %lld samples of class %s are retained", method,
                          (long long)n_retained[c], in->ds->class_names[c]);
            return lt_error_hint("--forget class:%d takes the whole class; amun, rl or neggrad-plus forget samples", c);
        }
    if (set->n_keep < 1)
        return LT_FAIL(LT_E_USAGE, "%s: expected at least one class to stay, found that all %d are forgotten", method,
                       set->k);
    return LT_OK;
}

lt_status lti_class_set_make(const lt_unlearn_in *in, const char *method, lti_class_set *set)
{
    const int32_t k = in->ds->n_classes;
    const int32_t *y = in->ds->split[LT_TRAIN].y;
    *set = (lti_class_set){.k = k};
    set->forget = lti_calloc(2 * (size_t)k, sizeof *set->forget);
    int64_t *n_retained = lti_calloc((size_t)k, sizeof *n_retained);
    if (!set->forget || !n_retained) {
        lti_free(n_retained);
        lti_class_set_clear(set);
        return LTI_NOMEM("classes");
    }
    set->gone = set->forget + k;
    for (int64_t i = 0; i < in->forget->n; i++)
        set->forget[y[in->forget->row[i]]] = 1;
    for (int64_t i = 0; in->retain && i < in->retain->n; i++)
        n_retained[y[in->retain->row[i]]]++;
    for (int32_t c = 0; c < k; c++) {
        set->gone[c] = set->forget[c] || (in->retain && n_retained[c] == 0);
        set->n_forget += set->forget[c];
        set->n_keep += !set->gone[c];
    }
    const lt_status status = check_classes(in, method, set, n_retained);
    lti_free(n_retained);
    if (status != LT_OK)
        lti_class_set_clear(set);
    return status;
}
