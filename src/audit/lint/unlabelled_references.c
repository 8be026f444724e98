// unlabelled_references.c - a file of reference models does not say which samples its rows are.
#include "audit/lint/lint_impl.h"

static lt_status check_unlabelled_references(const lt_lint_in *in, lt_lint_out *out)
{
    if (in->refs && in->refs->unlabelled)
        return lt_lint_say(out, "the references hold no ids, labels or group: rows in another order than those of the "
                                "audited model would not be noticed");
    return LT_OK;
}

const lt_lint_check lti_lint_unlabelled_references = {
    .id = "unlabelled-references",
    .severity = LT_LINT_NOTE,
    .roles = LT_LINT_OF_UNLEARNED,
    .doc = "A file of reference models does not say which samples its rows are.",
    .run = check_unlabelled_references,
};
