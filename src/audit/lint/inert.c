// inert.c - the run hardly changed what the model says about the forgotten samples.
#include "audit/lint/lint_impl.h"
#include <math.h>

#define LEAST_DIFFERENCE 0.02 // of forget accuracy between original and retrained, to be seen at all
#define LEAST_SHARE 0.1       // of that difference
#define LEAST_PHI_SHARE 0.5   // without retrained models

// Where retrained models show how far the accuracy should fall, by the accuracy; else by the phi share [AREA 3].
static lt_status check_inert(const lt_lint_in *in, lt_lint_out *out)
{
    lt_phi_stats phi;
    const lt_signals *s = in->model.signals;
    if (!s || lti_forgets_classes(s))
        return LT_OK;
    const double now = lt_signals_acc(s, LT_GROUP_FORGET);
    const double goal = lti_mean_retrained_acc(in, LT_GROUP_FORGET);
    if (isfinite(goal) && in->effect && isfinite(in->effect->forget_acc)) {
        const double due = in->effect->forget_acc - goal;
        if (fabs(due) < LEAST_DIFFERENCE || (in->effect->forget_acc - now) / due >= LEAST_SHARE)
            return LT_OK;
        return lt_lint_say(out,
                           "forget accuracy is %.1f %%, was %.1f %% and is %.1f %% after retraining: the run hardly "
                           "changed it; raise --lr-area, or use --adv-only",
                           100 * now, 100 * in->effect->forget_acc, 100 * goal);
    }
    LT_TRY(lt_audit_phi_stats(s, &phi));
    if (isfinite(goal) || !(phi.share < LEAST_PHI_SHARE))
        return LT_OK;
    return lt_lint_say(
        out,
        "the phi share is %.2f (0 = like retained samples, 1 = like unseen ones): the run hardly changed "
        "the confidence on forgotten samples; raise --lr-area, or use --adv-only",
        phi.share);
}

const lt_lint_check lti_lint_inert = {
    .id = "inert",
    .severity = LT_LINT_WARNING,
    .roles = LT_LINT_OF_UNLEARNED,
    .doc = "Unlearning hardly changed what the model says about the forgotten samples.",
    .run = check_inert,
};
