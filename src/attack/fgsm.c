// fgsm.c - one step of the length of the radius. [ATT 11; Goodfellow, Shlens, Szegedy 2015, section 4]
#include "attack/pgd.h"

static const lti_pgd_form form = {.step = 1};

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

static const struct lti_attack_ops ops = {.number = 1,
                                          .flags = LTI_ATTACK_FIXED_STEPS,
                                          .steps = 1,
                                          .start_run = start_run,
                                          .take_logits = take_logits,
                                          .take_gradient = take_gradient};

const lt_attack lti_attack_fgsm = {
    .name = "fgsm",
    .title = "fast gradient sign method: one step of length eps",
    .cite = "goodfellow2015",
    .doc = "One step of length eps along the sign of the gradient (L-inf) or the normalised gradient (L2).",
    .opts = lti_attack_no_options,
    .ops = &ops,
};
