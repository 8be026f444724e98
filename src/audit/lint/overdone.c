// overdone.c - forgotten samples stand out as less likely members than unseen ones; seen without retrained models.
#include "audit/lint/lint_impl.h"
#include <math.h>

#define LARGEST_PHI_SHARE 1.5
#define LEAST_PHI_AUC 0.42

static lt_status check_overdone(const lt_lint_in *in, lt_lint_out *out)
{
    lt_phi_stats phi;
    if (!in->model.signals || in->n_retrained > 0 || lti_forgets_classes(in->model.signals))
        return LT_OK;
    LT_TRY(lt_audit_phi_stats(in->model.signals, &phi));
    if (!(phi.share > LARGEST_PHI_SHARE) && !(phi.auc < LEAST_PHI_AUC))
        return LT_OK;
    return lt_lint_say(
        out,
        "the phi share is %.2f and the phi AUC %.1f %%: forgotten samples stand out as less likely members "
        "than unseen ones; lower --lr-area",
        phi.share, 100 * phi.auc);
}

const lt_lint_check lti_lint_overdone = {
    .id = "overdone",
    .severity = LT_LINT_WARNING,
    .roles = LT_LINT_OF_UNLEARNED,
    .doc = "Forgotten samples stand out as less likely members than unseen ones.",
    .run = check_overdone,
};
