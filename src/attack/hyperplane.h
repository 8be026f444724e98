// hyperplane.h - the nearest point of a hyperplane inside the pixel box.
#ifndef LTI_HYPERPLANE_H
#define LTI_HYPERPLANE_H
#include "attack/engine.h"

// Nearest point of {v in [0,1]^n: <w, v> = b} to t, as t + d; d_i = lti_hyperplane_step(h, t_i, w_i). When the plane
// misses the box, the point of the box nearest to it along w.
typedef struct lti_hyperplane {
    lt_norm norm;
    double lambda; // multiplier; INFINITY: every coordinate uses its slack
    double sign;   // of w, so that the point lies where <w, .> is larger
    double length; // ||d||_p
} lti_hyperplane;
lti_hyperplane lti_hyperplane_solve(lt_norm norm, const float *t, const float *w, double b, int64_t n);
double lti_hyperplane_step(const lti_hyperplane *h, float t, float w);
#endif
