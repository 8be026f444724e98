// fab.h - the machine behind fab and fab-t.
#ifndef LTI_FAB_H
#define LTI_FAB_H
#include "attack/engine.h"

typedef struct lti_fab {
    double ratio, df; // of the nearest class so far: |df| / ||w||, df
    int32_t class;    // whose gradient is on its way
    bool pulled;      // x was moved towards the image after a success
} lti_fab;

lti_next lti_fab_start_run(lti_slot *s, lti_fab *f);
lti_next lti_fab_take_logits(lti_slot *s, lti_fab *f, bool to_target);
lti_next lti_fab_take_gradient(lti_slot *s, lti_fab *f, bool to_target);
// The same as functions of an attack whose state is an lti_fab; towards slot.target where there is one.
lti_next lti_fab_begin(lti_slot *s, const void *cfg);
lti_next lti_fab_on_logits(lti_slot *s, const void *cfg);
lti_next lti_fab_on_gradient(lti_slot *s, const void *cfg);
#define LTI_FAB_FUNCTIONS                                                                                              \
    .state_bytes = sizeof(lti_fab), .start_run = lti_fab_begin, .take_logits = lti_fab_on_logits,                      \
    .take_gradient = lti_fab_on_gradient
#endif
