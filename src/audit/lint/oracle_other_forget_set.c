// oracle_other_forget_set.c - a retrained model was retrained without another forget set than that of the audit.
#include "audit/lint/lint_impl.h"
#include <string.h>

static lt_status check_oracle_other_forget_set(const lt_lint_in *in, lt_lint_out *out)
{
    for (int i = 0; i < in->n_retrained; i++) {
        const lt_lint_model *oracle = &in->retrained[i];
        if (oracle->identity.known && in->forget_digest && *oracle->identity.forget_digest &&
            strcmp(oracle->identity.forget_digest, in->forget_digest) != 0)
            LT_TRY(lt_lint_say(out, "%s was retrained without another forget set than the one that was forgotten here",
                               oracle->name));
    }
    return LT_OK;
}

const lt_lint_check lti_lint_oracle_other_forget_set = {
    .id = "oracle-other-forget-set",
    .severity = LT_LINT_ERROR,
    .roles = LT_LINT_OF_UNLEARNED,
    .doc = "A retrained model was retrained without another forget set.",
    .run = check_oracle_other_forget_set,
};
