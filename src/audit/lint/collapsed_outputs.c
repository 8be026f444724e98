// collapsed_outputs.c - one class is predicted for most samples, far beyond its share of the labels.
#include "audit/lint/lint_impl.h"

static lt_status check_collapsed_outputs(const lt_lint_in *in, lt_lint_out *out)
{
    const lt_signals *s = in->model.signals;
    if (!s)
        return LT_OK;
    int64_t *predicted = lti_calloc(2 * (size_t)s->k, sizeof *predicted), most = 0, top = 0;
    if (!predicted)
        return LTI_NOMEM("lint");
    int64_t *label = predicted + s->k;
    for (int64_t i = 0; i < s->n; i++) {
        predicted[lt_signals_predicted(s, i)]++;
        label[s->label[i]]++;
    }
    for (int c = 0; c < s->k; c++) {
        top = predicted[c] > predicted[top] ? c : top;
        most = label[c] > most ? label[c] : most;
    }
    const int64_t n_top = predicted[top];
    lti_free(predicted);
    if (n_top > 2 * most && 2 * n_top > s->n)
        return lt_lint_say(out,
                           "class %lld is predicted for %.0f %% of all samples: diverged weights, or batch-norm "
                           "statistics that are not those of these weights",
                           (long long)top, 100.0 * (double)n_top / (double)s->n);
    return LT_OK;
}

const lt_lint_check lti_lint_collapsed_outputs = {
    .id = "collapsed-outputs",
    .severity = LT_LINT_ERROR,
    .roles = LT_LINT_OF_UNLEARNED | LT_LINT_OF_ORIGINAL | LT_LINT_OF_RETRAINED,
    .doc = "One class is predicted for most samples, far beyond its share of the labels.",
    .run = check_collapsed_outputs,
};
