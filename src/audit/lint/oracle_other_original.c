// oracle_other_original.c - a retrained model belongs to another original model than the audited one.
#include "audit/lint/lint_impl.h"
#include <string.h>

static lt_status check_oracle_other_original(const lt_lint_in *in, lt_lint_out *out)
{
    const lt_model_identity *of = &in->model.identity;
    for (int i = 0; i < in->n_retrained && *of->method && *of->parent_digest; i++) {
        const lt_model_identity *oracle = &in->retrained[i].identity;
        if (*oracle->parent_digest && strcmp(oracle->parent_digest, of->parent_digest) != 0)
            LT_TRY(lt_lint_say(out, "%s was retrained for another original model (%.12s...) than that of %s (%.12s...)",
                               in->retrained[i].name, oracle->parent_digest, in->model.name, of->parent_digest));
    }
    return LT_OK;
}

const lt_lint_check lti_lint_oracle_other_original = {
    .id = LT_LINT_OTHER_ORIGINAL,
    .severity = LT_LINT_ERROR,
    .roles = LT_LINT_OF_UNLEARNED,
    .doc = "A retrained model belongs to another original model than the audited one.",
    .run = check_oracle_other_original,
};
