// fgsm.c - one step of the length of the radius. [ATT 11; Goodfellow, Shlens, Szegedy 2015, section 4]
#include "attack/pgd.h"

static const lti_pgd_form form = {.step = 1};

static const struct lti_attack_ops ops = {
    .number = 1, .flags = LTI_ATTACK_FIXED_STEPS | LTI_ATTACK_ANY_UNITS, .steps = 1, .form = &form, LTI_PGD_FUNCTIONS};

const lt_attack lti_attack_fgsm = {
    .name = "fgsm",
    .title = "fast gradient sign method: one step of length eps",
    .cite = "goodfellow2015",
    .doc = "One step of length eps along the sign of the gradient (L-inf) or the normalised gradient (L2).",
    .opts = lti_attack_no_options,
    .ops = &ops,
};
