// autoattack.c - the standard composition. [Croce and Hein 2020, section 5]
#include "attack/engine.h"

static const lti_attack_part parts[] = {
    {.name = "apgd-ce", .restarts = 1},
    {.name = "apgd-t", .restarts = 1, .targets = 9},
    {.name = "fab-t", .restarts = 1, .targets = 9},
    {.name = "square", .restarts = 1},
    {.name = NULL},
};

static const struct lti_attack_ops ops = {.parts = parts};

const lt_attack lti_attack_autoattack = {
    .name = "autoattack",
    .title = "AutoAttack: apgd-ce, apgd-t, fab-t, square in turn",
    .cite = "croce2020",
    .doc = "The standard ensemble: each attack on what those before it left, each from the original image. No option "
           "changes its parts.",
    .opts = lti_attack_no_options,
    .ops = &ops,
};
