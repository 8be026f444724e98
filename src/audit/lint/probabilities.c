// probabilities.c - outputs that were given as logits are probabilities.
#include "audit/lint/lint_impl.h"
#include <math.h>

static bool is_distribution(const lt_signals *s, int64_t i)
{
    double sum = 0;
    for (int64_t k = 0; k < s->k; k++) {
        const double p = (double)s->logits[i * s->k + k];
        if (!(p >= 0 && p <= 1))
            return false;
        sum += p;
    }
    return fabs(sum - 1) < 1e-3;
}

static lt_status check_probabilities(const lt_lint_in *in, lt_lint_out *out)
{
    const lt_signals *s = in->model.signals;
    int64_t n = 0;
    while (s && n < s->n && is_distribution(s, n))
        n++;
    if (!s || s->n == 0 || n < s->n)
        return LT_OK;
    return lt_lint_say(out,
                       "every row of the logits is in [0,1] and sums to 1: these are probabilities; attacks and phi "
                       "need what the last layer gives, before the softmax");
}

const lt_lint_check lti_lint_probabilities = {
    .id = "probabilities",
    .severity = LT_LINT_ERROR,
    .roles = LT_LINT_OF_UNLEARNED | LT_LINT_OF_ORIGINAL | LT_LINT_OF_RETRAINED,
    .doc = "Outputs that were given as logits are probabilities.",
    .run = check_probabilities,
};
