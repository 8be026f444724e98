// utility.c - what forgetting cost in accuracy.
#include "audit/lint/lint_impl.h"
#include <math.h>

static lt_status check_utility(const lt_lint_in *in, lt_lint_out *out)
{
    const lt_signals *s = in->model.signals;
    if (!s || !in->effect)
        return LT_OK;
    const double lost = lti_lost_accuracy(in);
    if (!(lost > LTI_UTILITY_LOSS) || lost > LTI_BROKEN_LOSS)
        return LT_OK;
    return lt_lint_say(
        out,
        "retain accuracy is %.1f %% and was %.1f %%, test accuracy %.1f %% and was %.1f %%: forgetting cost accuracy",
        100 * lt_signals_acc(s, LT_GROUP_RETAIN), 100 * in->effect->retain_acc, 100 * lt_signals_acc(s, LT_GROUP_TEST),
        100 * in->effect->test_acc);
}

const lt_lint_check lti_lint_utility = {
    .id = "utility",
    .severity = LT_LINT_WARNING,
    .roles = LT_LINT_OF_UNLEARNED,
    .doc = "Unlearning cost more than five points of accuracy on retained or test samples.",
    .run = check_utility,
};
