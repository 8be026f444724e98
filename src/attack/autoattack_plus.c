// autoattack_plus.c - the composition with restarts. [Croce and Hein 2020, section 5]
#include "attack/engine.h"

static const lti_attack_part parts[] = {
    {.name = "apgd-ce", .restarts = 5},
    {.name = "apgd-dlr", .restarts = 5},
    {.name = "fab", .restarts = 5},
    {.name = "square", .restarts = 1},
    {.name = "apgd-t", .restarts = 1, .targets = 9},
    {.name = "fab-t", .restarts = 1, .targets = 9},
    {.name = NULL},
};

static const struct lti_attack_ops ops = {.parts = parts};

const lt_attack lti_attack_autoattack_plus = {
    .name = "autoattack-plus",
    .title = "AutoAttack with more restarts",
    .cite = "croce2020",
    .doc = "apgd-ce, apgd-dlr and fab with 5 restarts each, square, apgd-t and fab-t.",
    .opts = lti_attack_no_options,
    .ops = &ops,
};
