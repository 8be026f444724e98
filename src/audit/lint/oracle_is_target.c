// oracle_is_target.c - a retrained model has the weights or the outputs of the audited one.
#include "audit/lint/lint_impl.h"
#include <string.h>

static lt_status check_oracle_is_target(const lt_lint_in *in, lt_lint_out *out)
{
    for (int i = 0; i < in->n_retrained; i++) {
        const lt_lint_model *oracle = &in->retrained[i];
        if (in->model.identity.known && oracle->identity.known) {
            if (!strcmp(in->model.identity.digest, oracle->identity.digest))
                LT_TRY(lt_lint_say(out, "%s has the weights of the audited model", oracle->name));
        } else if (in->model.signals && oracle->signals &&
                   lt_signals_same_outputs(in->model.signals, oracle->signals)) {
            LT_TRY(lt_lint_say(out, "%s holds the outputs of the audited model", oracle->name));
        }
    }
    return LT_OK;
}

const lt_lint_check lti_lint_oracle_is_target = {
    .id = "oracle-is-target",
    .severity = LT_LINT_ERROR,
    .roles = LT_LINT_OF_UNLEARNED,
    .doc = "A retrained model has the weights or the outputs of the audited one.",
    .run = check_oracle_is_target,
};
