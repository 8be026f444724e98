// oracle_other_model.c - a retrained model has another architecture.
#include "audit/lint/lint_impl.h"
#include <string.h>

static lt_status check_oracle_other_model(const lt_lint_in *in, lt_lint_out *out)
{
    for (int i = 0; i < in->n_retrained; i++) {
        const lt_lint_model *oracle = &in->retrained[i];
        if (oracle->identity.known && in->model.identity.known &&
            strcmp(oracle->identity.spec, in->model.identity.spec) != 0)
            LT_TRY(lt_lint_say(out, "%s is a %s, the audited model a %s", oracle->name, oracle->identity.spec,
                               in->model.identity.spec));
    }
    return LT_OK;
}

const lt_lint_check lti_lint_oracle_other_model = {
    .id = "oracle-other-model",
    .severity = LT_LINT_WARNING,
    .roles = LT_LINT_OF_UNLEARNED,
    .doc = "A retrained model has another architecture.",
    .run = check_oracle_other_model,
};
