// overdone.c - forgotten samples stand out as less likely members than unseen ones; seen without retrained models.
#include "audit/lint/lint_impl.h"

static lt_status check_overdone(const lt_lint_in *in, lt_lint_out *out)
{
    lti_run_metrics m;
    LT_TRY(lti_run_metrics_of(in, &m));
    if (!lti_is_overdone(&m))
        return LT_OK;
    return lt_lint_say(
        out,
        "the phi share is %.2f and the phi AUC %.1f %%: forgotten samples stand out as less likely members "
        "than unseen ones; lower --lr-area",
        m.phi.share, 100 * m.phi.auc);
}

const lt_lint_check lti_lint_overdone = {
    .id = "overdone",
    .severity = LT_LINT_WARNING,
    .roles = LT_LINT_OF_UNLEARNED,
    .doc = "Forgotten samples stand out as less likely members than unseen ones.",
    .run = check_overdone,
};
