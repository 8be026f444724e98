// broken.c - utility is destroyed, so that metrics of forgetting say nothing.
#include "audit/lint/lint_impl.h"

static lt_status check_broken(const lt_lint_in *in, lt_lint_out *out)
{
    lti_run_metrics m;
    LT_TRY(lti_run_metrics_of(in, &m));
    if (!lti_is_broken(&m))
        return LT_OK;
    return lti_say_accuracies(out, &m,
                              "utility is destroyed and the metrics of forgetting say nothing; lower --lr-area");
}

const lt_lint_check lti_lint_broken = {
    .id = "broken",
    .severity = LT_LINT_WARNING,
    .roles = LT_LINT_OF_UNLEARNED,
    .doc = "Unlearning cost more than ten points of accuracy on retained or test samples.",
    .run = check_broken,
};
