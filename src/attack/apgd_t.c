// apgd_t.c - auto-PGD towards each of the likeliest other classes. [ATT 8, 13-16]
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

static const struct lti_attack_ops ops = {.number = 7,
                                          .flags = LTI_ATTACK_RANDOM | LTI_ATTACK_DLR | LTI_ATTACK_PER_TARGET,
                                          .steps = 100,
                                          .state_bytes = sizeof(lti_apgd),
                                          .start_run = start_run,
                                          .take_logits = take_logits,
                                          .take_gradient = take_gradient};

const lt_attack lti_attack_apgd_t = {
    .name = "apgd-t",
    .title = "auto-PGD towards each of the likeliest other classes",
    .cite = "croce2020",
    .doc = "One run of auto-PGD for each of the classes with the largest clean logits, on the targeted difference of "
           "logits ratio; any wrong class is a success.",
    .opts = lti_attack_no_options,
    .ops = &ops,
};
