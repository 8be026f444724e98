// utility.c - what forgetting cost in accuracy.
#include "audit/lint/lint_impl.h"

static lt_status check_utility(const lt_lint_in *in, lt_lint_out *out)
{
    lti_run_metrics m;
    LT_TRY(lti_run_metrics_of(in, &m));
    return lti_costs_utility(&m) ? lti_say_accuracies(out, &m, "forgetting cost accuracy") : LT_OK;
}

const lt_lint_check lti_lint_utility = {
    .id = "utility",
    .severity = LT_LINT_WARNING,
    .roles = LT_LINT_OF_UNLEARNED,
    .doc = "Unlearning cost more than five points of accuracy on retained or test samples.",
    .run = check_utility,
};
