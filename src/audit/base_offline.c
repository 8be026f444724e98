// base_offline.c - BASE from reference models that never saw the sample. [BASE 2] docs/methods/base.md
#include "audit/mia_impl.h"
#include <math.h>

static const lt_option opts[] = {
    LTI_BASE_ROWS,
    LT_F64(lti_base_cfg, factor, 0.33, 0, 10, "", "how much of the mean under the reference models is taken off"),
    LT_OPT_END,
};

static lt_status score(const lt_mia_in *in, const void *cfg, double *out)
{
    return lti_base_score(in, cfg, true, out);
}

const lt_mia lti_mia_base_offline = {
    .name = "base_offline",
    .title = "BASE, offline",
    .cite = "base2025",
    .doc =
        "BASE with reference models that were not trained on the sample, whose mean is taken off with the factor 0.33.",
    .needs = LT_MIA_NEED_OUT,
    .threshold = NAN,
    .cfg_size = sizeof(lti_base_cfg),
    .opts = opts,
    .score = score,
};
