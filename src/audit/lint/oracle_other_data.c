// oracle_other_data.c - a retrained model was trained on other data.
#include "audit/lint/lint_impl.h"
#include <string.h>

static lt_status check_oracle_other_data(const lt_lint_in *in, lt_lint_out *out)
{
    for (int i = 0; i < in->n_retrained; i++) {
        const lt_lint_model *oracle = &in->retrained[i];
        if (oracle->identity.known && in->model.identity.known &&
            (!*oracle->identity.data_digest ||
             strcmp(oracle->identity.data_digest, in->model.identity.data_digest) != 0))
            LT_TRY(lt_lint_say(out, "%s was trained on other data", oracle->name));
    }
    return LT_OK;
}

const lt_lint_check lti_lint_oracle_other_data = {
    .id = "oracle-other-data",
    .severity = LT_LINT_ERROR,
    .roles = LT_LINT_OF_UNLEARNED,
    .doc = "A retrained model was trained on other data.",
    .run = check_oracle_other_data,
};
