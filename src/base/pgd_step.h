// pgd_step.h - one step of projected gradient ascent before its projection, for attacks and for adversarial training.
//
// Who uses it projects: attacks exactly (attack/box.c), adversarial training as its authors' code does.
#ifndef LTI_PGD_STEP_H
#define LTI_PGD_STEP_H
#include <stdint.h>

// x (n) += step * sign(g), single precision; the sign of 0 is 0.
static inline void lti_pgd_step_linf(float step, const float *g, int64_t n, float *x)
{
    for (int64_t j = 0; j < n; j++)
        x[j] += step * (float)((g[j] > 0) - (g[j] < 0));
}

// x (n) += step * g / length, in double; length: that of g, above 0.
static inline void lti_pgd_step_l2(double step, const float *g, double length, int64_t n, float *x)
{
    for (int64_t j = 0; j < n; j++)
        x[j] = (float)((double)x[j] + step * ((double)g[j] / length));
}
#endif
