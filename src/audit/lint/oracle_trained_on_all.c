// oracle_trained_on_all.c - a retrained model does not say that it was trained without the forget set.
#include "audit/lint/lint_impl.h"
#include <string.h>

static lt_status check_oracle_trained_on_all(const lt_lint_in *in, lt_lint_out *out)
{
    for (int i = 0; i < in->n_retrained; i++) {
        const lt_lint_model *oracle = &in->retrained[i];
        if (oracle->identity.known && !*oracle->identity.forget_digest)
            LT_TRY(lt_lint_say(out, "%s does not say that it was trained without the forget set", oracle->name));
    }
    return LT_OK;
}

const lt_lint_check lti_lint_oracle_trained_on_all = {
    .id = "oracle-trained-on-all",
    .severity = LT_LINT_ERROR,
    .roles = LT_LINT_OF_UNLEARNED,
    .doc = "A retrained model does not say that it was trained without the forget set.",
    .run = check_oracle_trained_on_all,
};
