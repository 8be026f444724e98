// ulira.c - U-LiRA: is the target's phi more like that of models that have unlearned the sample, or of models that
// never saw it? [AMUN 7.7] [Hayes et al. 2024]
//
// The reference models have all been through the audited method with forget sets of their own: member 2 marks what a
// model has unlearned, member 0 what it never saw. Forgotten and test samples need models of both kinds; retained ones
// are scored where they have them.
#include "audit/mia_impl.h"

static const lt_option opts[] = {LTI_LIRA_ROWS, LT_OPT_END};

static lt_status score(const lt_mia_in *in, const void *cfg, double *out)
{
    return lti_gauss_ratio(&lti_mia_ulira, in, LT_MEMBER_UNLEARNED, cfg, out);
}

const lt_mia lti_mia_ulira = {
    .name = "ulira",
    .title = "U-LiRA",
    .cite = "hayes2024",
    .doc = "log N(phi; unlearned) - log N(phi; OUT): LiRA against reference models that were trained on the sample and "
           "then unlearned it by the audited method (member 2).",
    .needs = LT_MIA_NEED_UNLEARNED | LT_MIA_NEED_OUT | LT_MIA_RETAIN_OPTIONAL,
    .threshold = 0.0,
    .cfg_size = sizeof(lti_lira_cfg),
    .opts = opts,
    .score = score,
};
