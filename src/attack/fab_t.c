// fab_t.c - the fast adaptive boundary attack towards one class per run. [ATT 19]
#include "attack/fab.h"

static const struct lti_attack_ops ops = {.number = 9,
                                          .flags = LTI_ATTACK_PER_TARGET | LTI_ATTACK_OTHER_STARTS | LTI_ATTACK_EITHER,
                                          .steps = 100,
                                          LTI_FAB_FUNCTIONS};

const lt_attack lti_attack_fab_t = {
    .name = "fab-t",
    .title = "fast adaptive boundary attack, one run per target class",
    .cite = "fab",
    .doc =
        "Projects onto the linearised boundary towards each of the classes with the largest clean logits, inside the "
        "pixel box and biased towards the image. One gradient per step.",
    .opts = lti_attack_no_options,
    .ops = &ops,
};
