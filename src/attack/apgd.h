// apgd.h - the machine behind apgd-ce, apgd-dlr, apgd-t and apgd-min.
#ifndef LTI_APGD_H
#define LTI_APGD_H
#include "attack/engine.h"

typedef struct lti_apgd {
    double eta, best, check, last; // step size; losses: best, best at the last check, of the last point
    int32_t window, least_window, shrink, count, n_up;
    bool halved, improved, stop_at_success; // the last: although the mode of the slot would go on
} lti_apgd;

lti_next lti_apgd_start_run(lti_slot *s, lti_apgd *a);
lti_next lti_apgd_take_logits(lti_slot *s, lti_apgd *a, int32_t loss);
lti_next lti_apgd_take_gradient(lti_slot *s, lti_apgd *a);
// The same as functions of an attack whose state is an lti_apgd and whose form is the loss, an int32_t.
lti_next lti_apgd_begin(lti_slot *s, const void *cfg);
lti_next lti_apgd_on_logits(lti_slot *s, const void *cfg);
lti_next lti_apgd_on_gradient(lti_slot *s, const void *cfg);
#define LTI_APGD_FUNCTIONS                                                                                             \
    .state_bytes = sizeof(lti_apgd), .start_run = lti_apgd_begin, .take_logits = lti_apgd_on_logits,                   \
    .take_gradient = lti_apgd_on_gradient
#endif
