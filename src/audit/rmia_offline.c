// rmia_offline.c - RMIA from reference models that never saw the sample: the mean over models trained on it is guessed
// from theirs. [AMUN 7.4] [Zarifzadeh et al. 2024]
#include "audit/mia_impl.h"
#include <math.h>

static const lt_option opts[] = {
    LTI_RMIA_ROWS,
    LT_F64(lti_rmia_cfg, a, 0.3, 0, 1, "", "mean IN is taken as a * mean OUT + 1 - a"),
    LT_BOOL(lti_rmia_cfg, tune_a, 0,
            "choose a from 0, 0.1, ..., 1 by attacking the first reference model with the others"),
    LT_OPT_END,
};

// pbar = ((1 + a) mean OUT + 1 - a) / 2
static double mean_from_out(const lti_moments m[3], const lti_rmia_cfg *cfg)
{
    return 0.5 * ((1.0 + cfg->a) * m[LT_MEMBER_OUT].mean + 1.0 - cfg->a);
}

static lt_status tune_a(const lt_mia_in *in, void *cfg, lt_mia_tuning *choice)
{
    lti_rmia_cfg *c = cfg;
    return c->tune_a ? lti_rmia_tune_a(&lti_mia_rmia_offline, in, c, mean_from_out, choice) : LT_OK;
}

static lt_status score(const lt_mia_in *in, const void *cfg, double *out)
{
    lti_rmia_cfg definite = *(const lti_rmia_cfg *)cfg;
    lt_mia_tuning choice;
    LT_TRY(tune_a(in, &definite, &choice));
    return lti_rmia_score(in, &definite, mean_from_out, out);
}

const lt_mia lti_mia_rmia_offline = {
    .name = "rmia_offline",
    .title = "RMIA, offline",
    .cite = "zarifzadeh2024",
    .doc = "RMIA with reference models that were not trained on the sample; the mean of those that were is estimated "
           "as a * mean OUT + 1 - a (a = 0.3 suits CIFAR-10; tune_a chooses it on a reference model).",
    .needs = LT_MIA_NEED_OUT,
    .threshold = NAN,
    .cfg_size = sizeof(lti_rmia_cfg),
    .opts = opts,
    .score = score,
    .tune = tune_a,
};
