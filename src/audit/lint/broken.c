// broken.c - utility is destroyed, so that metrics of forgetting say nothing.
#include "audit/lint/lint_impl.h"
#include <math.h>

static lt_status check_broken(const lt_lint_in *in, lt_lint_out *out)
{
    const lt_signals *s = in->model.signals;
    if (!s || !in->effect)
        return LT_OK;
    const double lost = lti_lost_accuracy(in);
    if (!(lost > LTI_BROKEN_LOSS))
        return LT_OK;
    return lt_lint_say(
        out,
        "retain accuracy is %.1f %% and was %.1f %%, test accuracy %.1f %% and was %.1f %%: utility is destroyed and "
        "the metrics of forgetting say nothing; lower --lr-area",
        100 * lt_signals_acc(s, LT_GROUP_RETAIN), 100 * in->effect->retain_acc, 100 * lt_signals_acc(s, LT_GROUP_TEST),
        100 * in->effect->test_acc);
}

const lt_lint_check lti_lint_broken = {
    .id = "broken",
    .severity = LT_LINT_WARNING,
    .roles = LT_LINT_OF_UNLEARNED,
    .doc = "Unlearning cost more than ten points of accuracy on retained or test samples.",
    .run = check_broken,
};
