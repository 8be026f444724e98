// oracle_other_samples.c - the outputs of a retrained model are of other samples.
#include "audit/lint/lint_impl.h"

static lt_status check_oracle_other_samples(const lt_lint_in *in, lt_lint_out *out)
{
    for (int i = 0; i < in->n_retrained; i++)
        if (in->model.signals && in->retrained[i].signals &&
            !lt_signals_same_samples(in->model.signals, in->retrained[i].signals))
            LT_TRY(lt_lint_say(out,
                               "%s holds other samples, labels or groups than the audited model, or in another order",
                               in->retrained[i].name));
    return LT_OK;
}

const lt_lint_check lti_lint_oracle_other_samples = {
    .id = "oracle-other-samples",
    .severity = LT_LINT_ERROR,
    .roles = LT_LINT_OF_UNLEARNED,
    .doc = "The outputs of a retrained model are of other samples.",
    .run = check_oracle_other_samples,
};
