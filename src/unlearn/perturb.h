// perturb.h - images moved within a ball by projected gradient steps on a frozen model, towards a class or away from
// one, for methods that train on them. docs/methods/l2ul.md
#ifndef LT_PERTURB_H
#define LT_PERTURB_H
#include "lethe/robust.h"
#include "lethe/unlearn.h"

typedef struct lti_perturb {
    int32_t norm; // lt_norm
    double eps, step_size;
    int32_t steps;
    bool targeted; // towards `label`, else away from it
    uint64_t seed; // of the random starts
} lti_perturb;
// out (n,C,H,W) becomes the images of the view, un-augmented, after `steps` steps on the cross-entropy with label (n),
// from a random start in the ball, kept in the ball and in [0,1]. Counts its passes. LT_E_INTERRUPTED between batches.
lt_status lti_perturb_view(const lt_model *model, const lt_env *env, const lt_view *view, const int32_t *label,
                           const lti_perturb *cfg, float *out, lt_passes *passes);
#endif
