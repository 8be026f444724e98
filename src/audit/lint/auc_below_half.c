// auc_below_half.c - an attack finds forgotten samples as less likely members than test samples.
#include "audit/lint/lint_impl.h"

static lt_status check_auc_below_half(const lt_lint_in *in, lt_lint_out *out)
{
    const double far_below = 0.45;
    for (int i = 0; i < in->n_attacks; i++) {
        const lt_lint_attack *a = &in->attacks[i];
        if (a->ft_auc < far_below && !(a->ft_interval.high >= 0.5))
            LT_TRY(lt_lint_say(out,
                               "%s: forget/test AUC %.3f is far below one half: forgotten samples stand out as less "
                               "likely members than unseen ones, and the attack turned around finds them",
                               a->name, a->ft_auc));
    }
    return LT_OK;
}

const lt_lint_check lti_lint_auc_below_half = {
    .id = "auc-below-half",
    .severity = LT_LINT_WARNING,
    .roles = LT_LINT_OF_UNLEARNED,
    .doc = "An attack finds forgotten samples as less likely members than test samples.",
    .run = check_auc_below_half,
};
