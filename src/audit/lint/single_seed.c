// single_seed.c - two retrained models are one: the same outputs to the last bit.
#include "audit/lint/lint_impl.h"

static lt_status check_single_seed(const lt_lint_in *in, lt_lint_out *out)
{
    for (int i = 0; i < in->n_retrained; i++)
        for (int j = 0; j < i; j++)
            if (in->retrained[i].signals && in->retrained[j].signals &&
                lt_signals_same_outputs(in->retrained[i].signals, in->retrained[j].signals)) {
                LT_TRY(lt_lint_say(out, "%s has the outputs of %s: one seed, counted once in bands and verdicts",
                                   in->retrained[i].name, in->retrained[j].name));
                break;
            }
    return LT_OK;
}

const lt_lint_check lti_lint_single_seed = {
    .id = "single-seed",
    .severity = LT_LINT_WARNING,
    .roles = LT_LINT_OF_UNLEARNED,
    .doc = "Two retrained models are one: the same outputs to the last bit.",
    .run = check_single_seed,
};
