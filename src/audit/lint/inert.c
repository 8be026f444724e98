// inert.c - the run hardly changed what the model says about the forgotten samples.
#include "audit/lint/lint_impl.h"
#include <math.h>

// Where retrained models show how far the accuracy should fall, by the accuracy; else by the phi share [AREA 3].
static lt_status check_inert(const lt_lint_in *in, lt_lint_out *out)
{
    lti_run_metrics m;
    LT_TRY(lti_run_metrics_of(in, &m));
    if (!lti_is_inert(&m))
        return LT_OK;
    if (m.of_classes)
        return lt_lint_say(out,
                           "accuracy on the forgotten classes is %.1f %% and was %.1f %%: the run hardly changed it; "
                           "raise --lr-area",
                           100 * m.after.forget_acc, 100 * m.before.forget_acc);
    if (isfinite(m.retrained_forget_acc))
        return lt_lint_say(out,
                           "forget accuracy is %.1f %%, was %.1f %% and is %.1f %% after retraining: the run hardly "
                           "changed it; raise --lr-area, or use --adv-only",
                           100 * m.after.forget_acc, 100 * m.before.forget_acc, 100 * m.retrained_forget_acc);
    return lt_lint_say(
        out,
        "the phi share is %.2f (0 = like retained samples, 1 = like unseen ones): the run hardly changed "
        "the confidence on forgotten samples; raise --lr-area, or use --adv-only",
        m.phi.share);
}

const lt_lint_check lti_lint_inert = {
    .id = "inert",
    .severity = LT_LINT_WARNING,
    .roles = LT_LINT_OF_UNLEARNED,
    .doc = "Unlearning hardly changed what the model says about the forgotten samples.",
    .run = check_inert,
};
