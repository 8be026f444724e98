// min_norm.c - the best of several attacks of minimum norm. [ATT 28]
#include "attack/engine.h"

static const lti_attack_part parts[] = {
    {.name = "deepfool"},
    {.name = "fmn", .steps = 100},
    {.name = "fab-t", .restarts = 1, .targets = 5, .steps = 20},
    {.name = "apgd-min", .restarts = 1},
    {.name = NULL},
};

static const struct lti_attack_ops ops = {.parts = parts};

const lt_attack lti_attack_min_norm = {
    .name = "min-norm",
    .title = "nearest example that several attacks find",
    .cite = "croce2020",
    .doc = "DeepFool, FMN, FAB-T with 5 targets and 20 steps, then bisected auto-PGD from the nearest of them; the "
           "smallest verified distance wins.",
    .opts = lti_attack_no_options,
    .ops = &ops,
};
