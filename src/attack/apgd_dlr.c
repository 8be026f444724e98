// apgd_dlr.c - auto-PGD on the difference of logits ratio. [ATT 7, 13-15]
#include "attack/apgd.h"

static const int32_t loss = LTI_LOSS_DLR;

static const struct lti_attack_ops ops = {
    .number = 6, .flags = LTI_ATTACK_RANDOM | LTI_ATTACK_DLR, .steps = 100, .form = &loss, LTI_APGD_FUNCTIONS};

const lt_attack lti_attack_apgd_dlr = {
    .name = "apgd-dlr",
    .title = "auto-PGD on the difference of logits ratio",
    .cite = "croce2020",
    .doc = "Projected gradient ascent with momentum and a step size that is halved at checkpoints, on the difference "
           "of logits ratio, which is invariant to the scale of the logits.",
    .opts = lti_attack_no_options,
    .ops = &ops,
};
