// oracle_not_retrained.c - a model given as retrained was made by another method.
#include "audit/lint/lint_impl.h"
#include <string.h>

static lt_status check_oracle_not_retrained(const lt_lint_in *in, lt_lint_out *out)
{
    for (int i = 0; i < in->n_retrained; i++) {
        const lt_lint_model *oracle = &in->retrained[i];
        if (oracle->identity.known && *oracle->identity.forget_digest && !oracle->identity.retrained)
            LT_TRY(lt_lint_say(out, "%s was made by '%s', not by retraining", oracle->name,
                               *oracle->identity.method ? oracle->identity.method : "?"));
    }
    return LT_OK;
}

const lt_lint_check lti_lint_oracle_not_retrained = {
    .id = "oracle-not-retrained",
    .severity = LT_LINT_WARNING,
    .roles = LT_LINT_OF_UNLEARNED,
    .doc = "A model given as retrained was made by another method.",
    .run = check_oracle_not_retrained,
};
