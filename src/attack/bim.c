// bim.c - PGD that starts at the image. [ATT 11; Kurakin, Goodfellow, Bengio 2017]
#include "attack/pgd.h"

static const lti_pgd_form form = {.step = 2.5};

static lti_next start_run(lti_slot *s, const void *cfg)
{
    (void)cfg;
    return lti_pgd_start_run(s, &form);
}

static lti_next take_logits(lti_slot *s, const void *cfg)
{
    (void)cfg;
    return lti_pgd_take_logits(s);
}

static lti_next take_gradient(lti_slot *s, const void *cfg)
{
    (void)cfg;
    return lti_pgd_take_gradient(s, &form);
}

static const struct lti_attack_ops ops = {
    .number = 3, .steps = 50, .start_run = start_run, .take_logits = take_logits, .take_gradient = take_gradient};

const lt_attack lti_attack_bim = {
    .name = "bim",
    .title = "basic iterative method: PGD from the image itself",
    .cite = "kurakin2017",
    .doc = "PGD without a random start.",
    .opts = lti_attack_no_options,
    .ops = &ops,
};
