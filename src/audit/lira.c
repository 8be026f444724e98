// lira.c - LiRA, online: is the target's phi more like that of models trained on the sample or of models that were not?
// [AMUN 7.7] [Carlini et al. 2022]
#include "audit/mia_impl.h"

static const lt_option opts[] = {LTI_LIRA_ROWS, LT_OPT_END};

static lt_status score(const lt_mia_in *in, const void *cfg, double *out)
{
    return lti_gauss_ratio(&lti_mia_lira, in, LT_MEMBER_IN, cfg, out);
}

const lt_mia lti_mia_lira = {
    .name = "lira",
    .title = "LiRA, online",
    .cite = "carlini2022",
    .doc = "log N(phi; IN) - log N(phi; OUT) with Gaussian fits over the reference models trained with and without the "
           "sample.",
    .needs = LT_MIA_NEED_IN | LT_MIA_NEED_OUT,
    .threshold = 0.0,
    .cfg_size = sizeof(lti_lira_cfg),
    .opts = opts,
    .score = score,
};
