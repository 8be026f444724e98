// no_oracle.c - there is no retrained model to compare with.
#include "audit/lint/lint_impl.h"

static lt_status check_no_oracle(const lt_lint_in *in, lt_lint_out *out)
{
    if (in->expects_retrained && in->n_retrained == 0)
        return lt_lint_say(out, "no oracle: without a retrained model there is no average gap, and no metric says how "
                                "good the forgetting is");
    return LT_OK;
}

const lt_lint_check lti_lint_no_oracle = {
    .id = "no-oracle",
    .severity = LT_LINT_WARNING,
    .roles = LT_LINT_OF_UNLEARNED,
    .doc = "There is no retrained model to compare with.",
    .run = check_no_oracle,
};
