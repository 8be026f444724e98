// leak_forget_retain.c - an id is in the forget and in the retain group.
#include "audit/lint/lint_impl.h"

static lt_status check_leak_forget_retain(const lt_lint_in *in, lt_lint_out *out)
{
    // Test ids count another split: only the two groups of the training split can share a sample.
    const int64_t n = in->model.signals ? lti_count_common_ids(in->model.signals, LT_GROUP_FORGET, LT_GROUP_RETAIN) : 0;
    if (n < 0)
        return LTI_NOMEM("lint");
    if (n > 0)
        return lt_lint_say(out,
                           "%lld id%s in the forget and in the retain group: attacks learn from the samples they are "
                           "judged on",
                           (long long)n, n == 1 ? " is" : "s are");
    return LT_OK;
}

const lt_lint_check lti_lint_leak_forget_retain = {
    .id = "leak-forget-retain",
    .severity = LT_LINT_ERROR,
    .roles = LT_LINT_OF_UNLEARNED | LT_LINT_OF_ORIGINAL | LT_LINT_OF_RETRAINED,
    .doc = "An id is in the forget and in the retain group.",
    .run = check_leak_forget_retain,
};
