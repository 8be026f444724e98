// phi.c - how the outputs on forgotten samples stand between those on retained and on unseen ones, without an oracle.
// docs/methods/learning-rate-area.md
//
//     F = (med phi_retain - med phi_forget) / (med phi_retain - med phi_test)                                [AREA 3]
#include "audit/audit_impl.h"
#include <math.h>

lt_status lt_audit_phi_stats(const lt_signals *s, lt_phi_stats *out)
{
    double *phi[3] = {NULL}, median[3];
    int64_t n[3];
    lt_status status = LT_OK;
    *out = (lt_phi_stats){(double)NAN, (double)NAN};
    for (int g = 0; g < 3 && status == LT_OK; g++) {
        n[g] = lt_signals_feature(s, LT_FEAT_PHI, g, NULL);
        phi[g] = lti_calloc((size_t)n[g] + 1, sizeof *phi[g]);
        if (!phi[g])
            status = LTI_NOMEM("outputs");
        else
            lt_signals_feature(s, LT_FEAT_PHI, g, phi[g]);
    }
    if (status == LT_OK) {
        out->auc = lt_auc(phi[LT_GROUP_FORGET], n[LT_GROUP_FORGET], phi[LT_GROUP_TEST], n[LT_GROUP_TEST]);
        for (int g = 0; g < 3; g++)
            median[g] = lti_median(phi[g], n[g]);
        const double span = median[LT_GROUP_RETAIN] - median[LT_GROUP_TEST];
        if (span > 0)
            out->share = (median[LT_GROUP_RETAIN] - median[LT_GROUP_FORGET]) / span;
    }
    for (int g = 0; g < 3; g++)
        lti_free(phi[g]);
    return status;
}
