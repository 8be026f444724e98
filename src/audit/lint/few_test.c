// few_test.c - there are fewer than 100 test samples.
#include "audit/lint/lint_impl.h"

static lt_status check_few_test(const lt_lint_in *in, lt_lint_out *out)
{
    enum { FEW = 100 };
    const int64_t n = in->audit ? in->audit->n[LT_GROUP_TEST] : FEW;
    if (n < FEW)
        return lt_lint_say(out, "%lld test sample%s", (long long)n, LTI_S(n));
    return LT_OK;
}

const lt_lint_check lti_lint_few_test = {
    .id = "few-test",
    .severity = LT_LINT_WARNING,
    .roles = LT_LINT_OF_UNLEARNED,
    .doc = "There are fewer than 100 test samples.",
    .run = check_few_test,
};
