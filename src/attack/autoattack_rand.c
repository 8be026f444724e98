// autoattack_rand.c - the composition for randomised defences. [Croce and Hein 2020, section 5]
#include "attack/engine.h"

static const lti_attack_part parts[] = {
    {.name = "apgd-ce", .restarts = 1},
    {.name = "apgd-dlr", .restarts = 1},
    {.name = NULL},
};

static const struct lti_attack_ops ops = {.eot = 20, .parts = parts};

const lt_attack lti_attack_autoattack_rand = {
    .name = "autoattack-rand",
    .title = "AutoAttack for randomised models",
    .cite = "croce2020",
    .doc = "apgd-ce and apgd-dlr, gradients averaged over 20 evaluations unless --eot says otherwise.",
    .opts = lti_attack_no_options,
    .ops = &ops,
};
