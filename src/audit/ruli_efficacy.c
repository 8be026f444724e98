// ruli_efficacy.c - RULI's efficacy score: are forgotten samples, after unlearning, like samples that a trained model
// never saw? [RULI 3] docs/methods/ruli.md
#include "audit/ruli.h"

static const lt_option opts[] = {LTI_RULI_ROWS, LT_OPT_END};

static lt_status score(const lt_mia_in *in, const void *cfg, double *out)
{
    return lti_ruli_score(in, cfg, LTI_RULI_TRAINED_OUT, out);
}

const lt_mia lti_mia_ruli_efficacy = {
    .name = "ruli_efficacy",
    .title = "RULI efficacy",
    .cite = "ruli",
    .doc = "RULI with the other of its two questions. Log-ratio of kernel densities of phi: models that unlearned the "
           "sample by the audited method (member 2) against models that never saw it and have unlearned nothing "
           "(reference models without any member 2). Test samples are scored at the phi of the original model, which "
           "has unlearned nothing either, the others at that of the audited one: 0.5 means that unlearned samples "
           "cannot be told from unseen samples of a trained model.",
    .needs = LT_MIA_NEED_UNLEARNED | LT_MIA_NEED_TRAINED_OUT | LT_MIA_NEED_ORIGINAL | LT_MIA_RETAIN_OPTIONAL,
    .threshold = 0.0,
    .cfg_size = sizeof(lti_ruli_cfg),
    .opts = opts,
    .score = score,
};
