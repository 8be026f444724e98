// bim.c - PGD that starts at the image. [ATT 11; Kurakin, Goodfellow, Bengio 2017]
#include "attack/pgd.h"

static const lti_pgd_form form = {.step = 2.5};

static const struct lti_attack_ops ops = {
    .number = 3, .flags = LTI_ATTACK_ANY_UNITS, .steps = 50, .form = &form, LTI_PGD_FUNCTIONS};

const lt_attack lti_attack_bim = {
    .name = "bim",
    .title = "basic iterative method: PGD from the image itself",
    .cite = "kurakin2017",
    .doc = "PGD without a random start.",
    .opts = lti_attack_no_options,
    .ops = &ops,
};
