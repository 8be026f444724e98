// amun_bound_impl.h - the result of the diagnostics of AMUN's bound.
#ifndef LT_AMUN_BOUND_IMPL_H
#define LT_AMUN_BOUND_IMPL_H
#include "audit/kind_impl.h"
#include "lethe/theorem.h"

typedef struct lti_bound_samples { // of the adversarial set, without those whose search failed
    int64_t n, n_failed, n_clean_wrong;
    int64_t *row, *id;  // (n)
    float *x_adv;       // (n,C,H,W)
    float *delta, *eps; // (n)
    int32_t *y, *y_adv; // (n)
} lti_bound_samples;
typedef struct lti_bound {
    lti_bound_samples s;
    char *base, **oracle; // names
    int n_oracles;
    lt_theorem *theorem; // one per oracle, or one without
    lt_lipschitz lipschitz;
    lt_lipschitz_cfg cfg;
    char *npz; // file that holds the samples; NULL = none
} lti_bound;
void lti_bound_destroy(void *bound);
void lti_bound_write(const void *bound, lti_json *w);
#endif
