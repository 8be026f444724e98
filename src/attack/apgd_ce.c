// apgd_ce.c - auto-PGD on the cross-entropy. [ATT 13-15]
#include "attack/apgd.h"

static const int32_t loss = LTI_LOSS_CE;

static const struct lti_attack_ops ops = {
    .number = 5, .flags = LTI_ATTACK_RANDOM, .steps = 100, .form = &loss, LTI_APGD_FUNCTIONS};

const lt_attack lti_attack_apgd_ce = {
    .name = "apgd-ce",
    .title = "auto-PGD on the cross-entropy",
    .cite = "croce2020",
    .doc = "Projected gradient ascent with momentum and a step size that is halved at checkpoints, on the "
           "cross-entropy in margin form.",
    .opts = lti_attack_no_options,
    .ops = &ops,
};
