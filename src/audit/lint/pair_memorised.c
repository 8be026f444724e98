// pair_memorised.c - forgotten images and their adversarial examples were both fitted: nothing is forgotten.
#include "audit/lint/lint_impl.h"
#include "lethe/unlearn.h"

static lt_status check_pairs(const lt_lint_in *in, lt_lint_out *out)
{
    lti_run_metrics m;
    LT_TRY(lti_run_metrics_of(in, &m));
    if (!lti_memorises_pairs(&m))
        return LT_OK;
    const lt_unlearn_method *method = lti_lint_method(in);
    const char *advice = method ? method->pairs_advice : NULL;
    return lt_lint_say(out,
                       "accuracy is %.1f %% on the forgotten images and %.1f %% on their adversarial examples: both "
                       "were memorised; use %s%saugmentation",
                       100 * m.after.forget_acc, 100 * m.pair_acc, advice ? advice : "", advice ? " or " : "");
}

const lt_lint_check lti_lint_pair_memorised = {
    .id = "pair-memorised",
    .severity = LT_LINT_WARNING,
    .roles = LT_LINT_OF_UNLEARNED,
    .doc = "Forgotten images and their adversarial examples were both memorised.",
    .run = check_pairs,
};
