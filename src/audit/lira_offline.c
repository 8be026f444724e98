// lira_offline.c - LiRA from reference models that never saw the sample: how far above them is the target's phi?
// [AMUN 7.7] [Carlini et al. 2022]
//
// The score is the logarithm of Pr[N(mu_out, s_out) <= phi], which keeps the order of samples whose probability rounds
// to 0 or 1.
#include "audit/mia_impl.h"
#include <math.h>

static const lt_option opts[] = {LTI_LIRA_ROWS, LT_OPT_END};

static lt_status score(const lt_mia_in *in, const void *cfg, double *out)
{
    const lt_signals *s = in->target;
    lti_gauss g;
    lti_moments *moments = lti_reference_moments(in, lti_phi, NULL);
    if (!moments)
        return LT_E_NOMEM;
    lt_status status = lti_gauss_fit(lti_mia_lira_offline.name, s, moments, LT_MEMBER_OUT, cfg, false, &g);
    for (int64_t i = 0; i < s->n && status == LT_OK; i++) {
        const lti_moments *m = moments + 3 * i;
        out[i] = lti_normal_log_cdf(lti_phi(s->logits + i * s->k, s->k, s->label[i], NULL), m[LT_MEMBER_OUT].mean,
                                    lti_gauss_sd(&g, m));
    }
    lti_free(moments);
    return status;
}

const lt_mia lti_mia_lira_offline = {
    .name = "lira_offline",
    .title = "LiRA, offline",
    .cite = "carlini2022",
    .doc = "log Pr[N(OUT) <= phi] with a Gaussian fit over the reference models that were not trained on the sample.",
    .needs = LT_MIA_NEED_OUT,
    .threshold = NAN,
    .cfg_size = sizeof(lti_lira_cfg),
    .opts = opts,
    .score = score,
};
