// forgotten_in_retain.c - a forgotten image has a retained duplicate, pixel for pixel.
#include "audit/lint/lint_impl.h"

static lt_status check_forgotten_in_retain(const lt_lint_in *in, lt_lint_out *out)
{
    const int64_t n = in->duplicates ? in->duplicates->in_retain : 0;
    if (n > 0)
        return lt_lint_say(
            out, "%lld forgotten image%s a retained duplicate, pixel for pixel: the model still learns from it",
            (long long)n, n == 1 ? " has" : "s have");
    return LT_OK;
}

const lt_lint_check lti_lint_forgotten_in_retain = {
    .id = "forgotten-in-retain",
    .severity = LT_LINT_WARNING,
    .roles = LT_LINT_OF_UNLEARNED,
    .doc = "A forgotten image has a retained duplicate, pixel for pixel.",
    .run = check_forgotten_in_retain,
};
