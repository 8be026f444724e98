// forgotten_in_test.c - a forgotten image is also in the test set, pixel for pixel.
#include "audit/lint/lint_impl.h"

static lt_status check_forgotten_in_test(const lt_lint_in *in, lt_lint_out *out)
{
    const int64_t n = in->duplicates ? in->duplicates->in_test : 0;
    if (n > 0)
        return lt_lint_say(out, "%lld forgotten image%s also in the test set, pixel for pixel", (long long)n,
                           n == 1 ? " is" : "s are");
    return LT_OK;
}

const lt_lint_check lti_lint_forgotten_in_test = {
    .id = "forgotten-in-test",
    .severity = LT_LINT_WARNING,
    .roles = LT_LINT_OF_UNLEARNED,
    .doc = "A forgotten image is also in the test set, pixel for pixel.",
    .run = check_forgotten_in_test,
};
