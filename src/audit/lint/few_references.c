// few_references.c - there are fewer than 16 reference models.
#include "audit/lint/lint_impl.h"

static lt_status check_few_references(const lt_lint_in *in, lt_lint_out *out)
{
    enum { FEW = 16 };
    if (in->refs && in->refs->m < FEW)
        return lt_lint_say(out,
                           "%lld reference model%s: attacks with few are noisy; references.self_auc says what they can "
                           "tell",
                           (long long)in->refs->m, LTI_S(in->refs->m));
    return LT_OK;
}

const lt_lint_check lti_lint_few_references = {
    .id = "few-references",
    .severity = LT_LINT_NOTE,
    .roles = LT_LINT_OF_UNLEARNED,
    .doc = "There are fewer than 16 reference models.",
    .run = check_few_references,
};
