// single_oracle.c - there is one retrained model.
#include "audit/lint/lint_impl.h"

static lt_status check_single_oracle(const lt_lint_in *in, lt_lint_out *out)
{
    if (in->expects_retrained && in->n_retrained == 1)
        return lt_lint_say(out, "one oracle: a difference to it may be its seed's; three or more retrained models show "
                                "the spread");
    return LT_OK;
}

const lt_lint_check lti_lint_single_oracle = {
    .id = "single-oracle",
    .severity = LT_LINT_WARNING,
    .roles = LT_LINT_OF_UNLEARNED,
    .doc = "There is one retrained model.",
    .run = check_single_oracle,
};
