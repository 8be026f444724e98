// pgd.h - the family of fixed-step gradient attacks: what differs is the start, the step and the momentum.
#ifndef LTI_PGD_H
#define LTI_PGD_H
#include "attack/engine.h"

typedef struct lti_pgd_form {
    bool random_start;
    double step; // a = step * eps / N, unless the spec says otherwise
    double momentum;
} lti_pgd_form;
lti_next lti_pgd_start_run(lti_slot *s, const lti_pgd_form *form);
lti_next lti_pgd_take_logits(lti_slot *s);
lti_next lti_pgd_take_gradient(lti_slot *s, const lti_pgd_form *form);
#endif
