// apgd_ce.c - auto-PGD on the cross-entropy. [ATT 13-15]
#include "attack/apgd.h"

static lti_next start_run(lti_slot *s, const void *cfg)
{
    (void)cfg;
    return lti_apgd_start_run(s, s->state);
}

static lti_next take_logits(lti_slot *s, const void *cfg)
{
    (void)cfg;
    return lti_apgd_take_logits(s, s->state, lti_slot_own_loss(s, LTI_LOSS_CE));
}

static lti_next take_gradient(lti_slot *s, const void *cfg)
{
    (void)cfg;
    return lti_apgd_take_gradient(s, s->state);
}

static const struct lti_attack_ops ops = {.number = 5,
                                          .flags = LTI_ATTACK_RANDOM,
                                          .steps = 100,
                                          .state_bytes = sizeof(lti_apgd),
                                          .start_run = start_run,
                                          .take_logits = take_logits,
                                          .take_gradient = take_gradient};

const lt_attack lti_attack_apgd_ce = {
    .name = "apgd-ce",
    .title = "auto-PGD on the cross-entropy",
    .cite = "croce2020",
    .doc = "Projected gradient ascent with momentum and a step size that is halved at checkpoints, on the "
           "cross-entropy in margin form.",
    .opts = lti_attack_no_options,
    .ops = &ops,
};
