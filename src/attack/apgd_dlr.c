// apgd_dlr.c - auto-PGD on the difference of logits ratio. [ATT 7, 13-15]
#include "attack/apgd.h"

static lti_next start_run(lti_slot *s, const void *cfg)
{
    (void)cfg;
    return lti_apgd_start_run(s, s->state);
}

static lti_next take_logits(lti_slot *s, const void *cfg)
{
    (void)cfg;
    return lti_apgd_take_logits(s, s->state, lti_slot_own_loss(s, LTI_LOSS_DLR));
}

static lti_next take_gradient(lti_slot *s, const void *cfg)
{
    (void)cfg;
    return lti_apgd_take_gradient(s, s->state);
}

static const struct lti_attack_ops ops = {.number = 6,
                                          .flags = LTI_ATTACK_RANDOM | LTI_ATTACK_DLR,
                                          .steps = 100,
                                          .state_bytes = sizeof(lti_apgd),
                                          .start_run = start_run,
                                          .take_logits = take_logits,
                                          .take_gradient = take_gradient};

const lt_attack lti_attack_apgd_dlr = {
    .name = "apgd-dlr",
    .title = "auto-PGD on the difference of logits ratio",
    .cite = "croce2020",
    .doc = "Projected gradient ascent with momentum and a step size that is halved at checkpoints, on the difference "
           "of logits ratio, which is invariant to the scale of the logits.",
    .opts = lti_attack_no_options,
    .ops = &ops,
};
