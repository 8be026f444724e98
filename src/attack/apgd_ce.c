// apgd_ce.c - auto-PGD on the cross-entropy. [ATT 13-15]
#include "attack/apgd.h"

static lti_next begin(lti_slot *s, const void *cfg)
{
    (void)cfg;
    return lti_apgd_begin(s, s->state);
}

static lti_next see(lti_slot *s, const void *cfg)
{
    (void)cfg;
    return lti_apgd_see(s, s->state, lti_slot_own_loss(s, LTI_LOSS_CE));
}

static lti_next climb(lti_slot *s, const void *cfg)
{
    (void)cfg;
    return lti_apgd_climb(s, s->state);
}

static const struct lti_attack_ops ops = {.number = 5,
                                          .flags = LTI_ATTACK_RANDOM,
                                          .steps = 100,
                                          .state_bytes = sizeof(lti_apgd),
                                          .begin = begin,
                                          .see = see,
                                          .climb = climb};

const lt_attack lti_attack_apgd_ce = {
    .name = "apgd-ce",
    .title = "auto-PGD on the cross-entropy",
    .cite = "croce2020",
    .doc = "Projected gradient ascent with momentum and a step size that is halved at checkpoints, on the "
           "cross-entropy in margin form.",
    .opts = lti_attack_no_options,
    .ops = &ops,
};
