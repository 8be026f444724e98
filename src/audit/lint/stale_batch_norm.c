// stale_batch_norm.c - training saw a much better accuracy than the same weights have in evaluation mode.
#include "audit/lint/lint_impl.h"

static lt_status check_stale_batch_norm(const lt_lint_in *in, lt_lint_out *out)
{
    const double gap = 0.1;
    if (!in->audit || !in->model.identity.has_batch_norm)
        return LT_OK;
    const double now = in->audit->ra > in->audit->ua ? in->audit->ra : in->audit->ua;
    if (in->last_train_acc > now + gap)
        return lt_lint_say(out,
                           "the last epoch of training had %.1f %% right, the same weights in evaluation mode have "
                           "%.1f %%: the batch-norm statistics look stale",
                           100 * in->last_train_acc, 100 * now);
    return LT_OK;
}

const lt_lint_check lti_lint_stale_batch_norm = {
    .id = "stale-batch-norm",
    .severity = LT_LINT_WARNING,
    .roles = LT_LINT_OF_UNLEARNED | LT_LINT_OF_ORIGINAL,
    .doc = "Training saw a much better accuracy than the same weights have in evaluation mode.",
    .run = check_stale_batch_norm,
};
