// apgd_t.c - auto-PGD towards each of the likeliest other classes. [ATT 8, 13-16]
#include "attack/apgd.h"

static const int32_t loss = LTI_LOSS_DLR;

static const struct lti_attack_ops ops = {.number = 7,
                                          .flags = LTI_ATTACK_RANDOM | LTI_ATTACK_DLR | LTI_ATTACK_PER_TARGET,
                                          .steps = 100,
                                          .form = &loss,
                                          LTI_APGD_FUNCTIONS};

const lt_attack lti_attack_apgd_t = {
    .name = "apgd-t",
    .title = "auto-PGD towards each of the likeliest other classes",
    .cite = "croce2020",
    .doc = "One run of auto-PGD for each of the classes with the largest clean logits, on the targeted difference of "
           "logits ratio; any wrong class is a success.",
    .opts = lti_attack_no_options,
    .ops = &ops,
};
