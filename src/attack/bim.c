// bim.c - PGD that starts at the image. [ATT 11; Kurakin, Goodfellow, Bengio 2017]
#include "attack/pgd.h"

static const lti_pgd_form form = {.step = 2.5};

static lti_next begin(lti_slot *s, const void *cfg)
{
    (void)cfg;
    return lti_pgd_begin(s, &form);
}

static lti_next see(lti_slot *s, const void *cfg)
{
    (void)cfg;
    return lti_pgd_see(s);
}

static lti_next climb(lti_slot *s, const void *cfg)
{
    (void)cfg;
    return lti_pgd_climb(s, &form);
}

static const struct lti_attack_ops ops = {.number = 3, .steps = 50, .begin = begin, .see = see, .climb = climb};

const lt_attack lti_attack_bim = {
    .name = "bim",
    .title = "basic iterative method: PGD from the image itself",
    .cite = "kurakin2017",
    .doc = "PGD without a random start.",
    .opts = lti_attack_no_options,
    .ops = &ops,
};
