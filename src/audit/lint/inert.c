// inert.c - the run hardly changed what the model says about the forgotten samples.
#include "audit/lint/lint_impl.h"
#include "lethe/unlearn.h"
#include <math.h>

enum { ADVICE_MAX = 128 };

// What would change more: options that the method has.
static const char *choose_advice(const lt_lint_in *in, const lti_run_metrics *m, char out[ADVICE_MAX])
{
    const lt_unlearn_method *method = lti_lint_method(in);
    if (!method)
        lti_format(out, ADVICE_MAX, "a larger learning rate or more epochs change more");
    else if (!(method->needs & LT_FINE_TUNES))
        lti_format(out, ADVICE_MAX, "`lethe unlearn --method %s --help` lists its options", method->name);
    else if (method->pairs_advice && isfinite(m->pair_acc))
        lti_format(out, ADVICE_MAX, "raise --lr-area, or use %s", method->pairs_advice);
    else
        lti_format(out, ADVICE_MAX, "raise --lr-area");
    return out;
}

// Where retrained models show how far the accuracy should fall, by the accuracy; else by the phi share [AREA 3].
static lt_status check_inert(const lt_lint_in *in, lt_lint_out *out)
{
    lti_run_metrics m;
    char advice[ADVICE_MAX];
    LT_TRY(lti_run_metrics_of(in, &m));
    if (!lti_is_inert(&m))
        return LT_OK;
    choose_advice(in, &m, advice);
    if (m.of_classes)
        return lt_lint_say(
            out, "accuracy on the forgotten classes is %.1f %% and was %.1f %%: the run hardly changed it; %s",
            100 * m.after.forget_acc, 100 * m.before.forget_acc, advice);
    if (isfinite(m.retrained_forget_acc))
        return lt_lint_say(out,
                           "forget accuracy is %.1f %%, was %.1f %% and is %.1f %% after retraining: the run hardly "
                           "changed it; %s",
                           100 * m.after.forget_acc, 100 * m.before.forget_acc, 100 * m.retrained_forget_acc, advice);
    return lt_lint_say(out,
                       "the phi share is %.2f (0 = like retained samples, 1 = like unseen ones): the run hardly "
                       "changed the confidence on forgotten samples; %s",
                       m.phi.share, advice);
}

const lt_lint_check lti_lint_inert = {
    .id = "inert",
    .severity = LT_LINT_WARNING,
    .roles = LT_LINT_OF_UNLEARNED,
    .doc = "Unlearning hardly changed what the model says about the forgotten samples.",
    .run = check_inert,
};
