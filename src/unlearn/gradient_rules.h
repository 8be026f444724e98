// gradient_rules.h - the arithmetic of methods that combine gradients of forgotten and retained images, apart so that
// it can be checked against references.
#ifndef LT_GRADIENT_RULES_H
#define LT_GRADIENT_RULES_H
#include <stdbool.h>
#include <stdint.h>

// ---- sfr_on.c
// w (n): the mean of w ce is sum (c_i / sum c) ce_i, c_i = 1 / (ce_i^power + 1e-15). [SFRON 2]
void lti_sfron_weights(const double *ce, int64_t n, double power, double *w);
// 1 where (forget + 1e-15) / (retain + 1e-15) >= threshold. [SFRON 1]
void lti_sfron_mask(const float *forget, const float *retain, int64_t n, double threshold, uint8_t *mask);

// ---- munba.c
// Weights of the two gradients. g1 = g_r.g_r, g2 = g_r.g_f, g3 = g_f.g_f. [MUNBa 1]
void lti_munba_bargain(double g1, double g2, double g3, double *a_r, double *a_f);

// ---- hamu.c
typedef enum lti_hamu_branch { LTI_HAMU_DIRECT, LTI_HAMU_RECTIFIED, LTI_HAMU_ASCENT } lti_hamu_branch;
// The change of one tensor: radius R = eta |g_r|, ascent of at least q on the forget loss. g_r, g_f, step (n); step may
// be g_r. ASCENT: no change of that length ascends so far, or both gradients are parallel. [HAMU 2]
lti_hamu_branch lti_hamu_step(const float *g_r, const float *g_f, int64_t n, double eta, double q, float *step);
// The most that such a change raises the forget loss while it does not raise the retained loss. [HAMU 3]
double lti_hamu_reach(const float *g_r, const float *g_f, int64_t n, double eta);
#endif
