// mi_fgsm.c - sign steps along accumulated gradients. [ATT 12; Dong et al. 2018, algorithm 1]
#include "attack/pgd.h"

static const lti_pgd_form form = {.step = 1, .momentum = 1};

static lti_next start_run(lti_slot *s, const void *cfg)
{
    (void)cfg;
    return lti_pgd_start_run(s, &form);
}

static lti_next take_logits(lti_slot *s, const void *cfg)
{
    (void)cfg;
    return lti_pgd_take_logits(s);
}

static lti_next take_gradient(lti_slot *s, const void *cfg)
{
    (void)cfg;
    return lti_pgd_take_gradient(s, &form);
}

static const struct lti_attack_ops ops = {
    .number = 4, .steps = 10, .start_run = start_run, .take_logits = take_logits, .take_gradient = take_gradient};

const lt_attack lti_attack_mi_fgsm = {
    .name = "mi-fgsm",
    .title = "momentum iterative FGSM, for transfer",
    .cite = "dong2018",
    .doc = "Steps of eps / N along the sign of a running sum of normalised gradients; examples that transfer to other "
           "models.",
    .opts = lti_attack_no_options,
    .ops = &ops,
};
