// no_original.c - a verdict says "indistinguishable", and whether it would say so of the original model is not known.
#include "audit/lint/lint_impl.h"

static lt_status check_no_original(const lt_lint_in *in, lt_lint_out *out)
{
    if (in->lacks_original)
        return lt_lint_say(out,
                           "the original model is not known: where it is indistinguishable from retraining itself, "
                           "\"indistinguishable\" says nothing about forgetting");
    return LT_OK;
}

const lt_lint_check lti_lint_no_original = {
    .id = "no-original",
    .severity = LT_LINT_WARNING,
    .roles = LT_LINT_OF_UNLEARNED,
    .doc = "A verdict is \"indistinguishable\", and that of the original model is not known.",
    .run = check_no_original,
};
