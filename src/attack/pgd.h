// pgd.h - the family of fixed-step gradient attacks: what differs is the start, the step and the momentum.
#ifndef LTI_PGD_H
#define LTI_PGD_H
#include "attack/engine.h"

typedef struct lti_pgd_form {
    bool random_start;
    double step; // a = step * eps / N, unless the spec says otherwise
    double momentum;
} lti_pgd_form;
lti_next lti_pgd_start_run(lti_slot *s, const void *cfg); // slot.form: an lti_pgd_form
lti_next lti_pgd_take_logits(lti_slot *s, const void *cfg);
lti_next lti_pgd_take_gradient(lti_slot *s, const void *cfg);
#define LTI_PGD_FUNCTIONS                                                                                              \
    .start_run = lti_pgd_start_run, .take_logits = lti_pgd_take_logits, .take_gradient = lti_pgd_take_gradient
#endif
