// not_unlearned.c - the audited model is not the result of unlearning.
#include "audit/lint/lint_impl.h"

static lt_status check_not_unlearned(const lt_lint_in *in, lt_lint_out *out)
{
    if (in->model.identity.known && !*in->model.identity.method)
        return lt_lint_say(out, "%s is not the result of unlearning", in->model.name);
    return LT_OK;
}

const lt_lint_check lti_lint_not_unlearned = {
    .id = "not-unlearned",
    .severity = LT_LINT_NOTE,
    .roles = LT_LINT_OF_UNLEARNED,
    .doc = "The audited model is not the result of unlearning.",
    .run = check_not_unlearned,
};
