// mi_fgsm.c - sign steps along accumulated gradients. [ATT 12; Dong et al. 2018, algorithm 1]
#include "attack/pgd.h"

static const lti_pgd_form form = {.step = 1, .momentum = 1};

static const struct lti_attack_ops ops = {
    .number = 4, .flags = LTI_ATTACK_ANY_UNITS, .steps = 10, .form = &form, LTI_PGD_FUNCTIONS};

const lt_attack lti_attack_mi_fgsm = {
    .name = "mi-fgsm",
    .title = "momentum iterative FGSM, for transfer",
    .cite = "dong2018",
    .doc = "Steps of eps / N along the sign of a running sum of normalised gradients; examples that transfer to other "
           "models.",
    .opts = lti_attack_no_options,
    .ops = &ops,
};
