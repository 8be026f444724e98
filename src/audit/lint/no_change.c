// no_change.c - the audited model has the weights or the outputs that it had before unlearning.
#include "audit/lint/lint_impl.h"
#include <string.h>

static lt_status check_no_change(const lt_lint_in *in, lt_lint_out *out)
{
    const lt_model_identity *of = &in->model.identity;
    if (of->known && *of->method && !strcmp(of->parent_digest, of->digest))
        LT_TRY(lt_lint_say(out, "%s has the weights of its parent: nothing was unlearned", in->model.name));
    if (in->before && in->model.signals && lt_signals_same_outputs(in->before, in->model.signals))
        LT_TRY(lt_lint_say(out, "%s holds the outputs of the audited model: nothing was unlearned", in->before_name));
    return LT_OK;
}

const lt_lint_check lti_lint_no_change = {
    .id = "no-change",
    .severity = LT_LINT_ERROR,
    .roles = LT_LINT_OF_UNLEARNED,
    .doc = "The audited model has the weights or the outputs that it had before unlearning.",
    .run = check_no_change,
};
