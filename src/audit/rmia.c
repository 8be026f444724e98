// rmia.c - RMIA, online: how much more likely the target makes a sample than the mean of reference models trained with
// and without it, compared with the same ratio of other samples. [AMUN 7.4] [Zarifzadeh et al. 2024]
#include "audit/mia_impl.h"
#include <math.h>

static const lt_option opts[] = {
    LTI_RMIA_ROWS,
    LT_BOOL(lti_rmia_cfg, equal_weight_in_out, 0,
            "mean of the IN mean and the OUT mean, for references that are not IN for half of their models"),
    LT_OPT_END,
};

// pbar = mean over the references; with every sample IN for half of them, (mean IN + mean OUT) / 2.
static double mean_of_all(const lti_moments m[3], const lti_rmia_cfg *cfg)
{
    const lti_moments *in = &m[LT_MEMBER_IN], *out = &m[LT_MEMBER_OUT];
    if (cfg->equal_weight_in_out)
        return 0.5 * (in->mean + out->mean);
    return ((double)in->n * in->mean + (double)out->n * out->mean) / (double)(in->n + out->n);
}

static lt_status score(const lt_mia_in *in, const void *cfg, double *out)
{
    return lti_rmia_score(in, cfg, mean_of_all, out);
}

const lt_mia lti_mia_rmia = {
    .name = "rmia",
    .title = "RMIA, online",
    .cite = "zarifzadeh2024",
    .doc = "Share of the other samples z with r(x) / r(z) > gamma, where r is the target's signal over the mean signal "
           "of the reference models. Needs reference models trained with and without every sample.",
    .needs = LT_MIA_NEED_IN | LT_MIA_NEED_OUT,
    .threshold = NAN,
    .cfg_size = sizeof(lti_rmia_cfg),
    .opts = opts,
    .score = score,
};
