// few_forgotten.c - there are fewer than 100 forgotten samples.
#include "audit/lint/lint_impl.h"

static lt_status check_few_forgotten(const lt_lint_in *in, lt_lint_out *out)
{
    enum { FEW = 100 };
    const int64_t n = in->audit ? in->audit->n[LT_GROUP_FORGET] : FEW;
    if (n < FEW)
        return lt_lint_say(out, "%lld forgotten sample%s: one sample moves every rate by %.1f points", (long long)n,
                           LTI_S(n), 100.0 / (double)(n > 0 ? n : 1));
    return LT_OK;
}

const lt_lint_check lti_lint_few_forgotten = {
    .id = "few-forgotten",
    .severity = LT_LINT_WARNING,
    .roles = LT_LINT_OF_UNLEARNED,
    .doc = "There are fewer than 100 forgotten samples.",
    .run = check_few_forgotten,
};
