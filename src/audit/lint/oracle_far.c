// oracle_far.c - a retrained model whose accuracy on retained or test samples is not that of the original.
//
// Retraining without a small part of the data hardly changes what a model can do. A retrained model that is far from
// the original was trained by another recipe, too briefly, or with an unlucky seed: a distance to it says little about
// forgetting. Where whole classes are forgotten, test accuracy falls by what they were of it, so that only retained
// samples count.
#include "audit/lint/lint_impl.h"
#include <math.h>

#define FAR 0.10

static lt_status check_oracle_far(const lt_lint_in *in, lt_lint_out *out)
{
    if (!in->effect)
        return LT_OK;
    const double original[2] = {in->effect->retain_acc, in->effect->test_acc};
    static const int group[2] = {LT_GROUP_RETAIN, LT_GROUP_TEST};
    static const char *const name[2] = {"retain", "test"};
    for (int i = 0; i < in->n_retrained; i++) {
        const lt_signals *s = in->retrained[i].signals;
        const int n_groups = s && lti_forgets_classes(s) ? 1 : 2;
        for (int g = 0; s && g < n_groups; g++) {
            const double acc = lt_signals_acc(s, group[g]);
            if (fabs(acc - original[g]) > FAR) {
                LT_TRY(
                    lt_lint_say(out,
                                "%s has %.1f %% %s accuracy where the original has %.1f %%: its recipe differs, it was "
                                "trained too briefly, or the seed was an unlucky one; a distance to it says little "
                                "about forgetting",
                                in->retrained[i].name, 100 * acc, name[g], 100 * original[g]));
                break;
            }
        }
    }
    return LT_OK;
}

const lt_lint_check lti_lint_oracle_far = {
    .id = "oracle-far",
    .severity = LT_LINT_ERROR,
    .roles = LT_LINT_OF_UNLEARNED,
    .doc =
        "A retrained model differs from the original by more than ten points of accuracy on retained or test samples.",
    .run = check_oracle_far,
};
