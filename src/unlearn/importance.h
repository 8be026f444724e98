// importance.h - the arithmetic of the methods that change parameters without training, apart so that it can be checked
// against references.
#ifndef LT_IMPORTANCE_H
#define LT_IMPORTANCE_H
#include "unlearn/param_grad.h"

// ---- ssd.c. importance[i] = mean over the batches of the view of (d mean CE / d theta_i)^2
lt_status lti_importance(lti_param_grad *g, const lt_view *view, int64_t batch, uint64_t seed, float *importance);
// Where forget > select * all: theta *= min(dampen * all / forget, 1). mask NULL = everywhere.
void lti_dampen(float *theta, const float *forget, const float *all, int64_t n, double select, double dampen,
                const uint8_t *mask);
// The percentile 100 - log(1 + 100 forget_share) of forget / all, interpolated; INFINITY where no ratio is finite. [SSD
// 2]
lt_status lti_adaptive_selection(const float *forget, const float *all, int64_t n, double forget_share, double *alpha);

// ---- fisher.c. fisher[i] = mean over n_max samples (0 = all) of sum_y p(y|x) (d CE(x,y) / d theta_i)^2
lt_status lti_fisher(lti_param_grad *g, const lt_view *view, int64_t n_max, uint64_t seed, float *fisher);
// Variance of the noise on one parameter tensor, written over its `fisher` values. last: of the last layer.
void lti_fisher_variance(float *fisher, const lt_shape *shape, double alpha, bool last);

// ---- influence.c. The next gradient g (n) of the streaming product k ~ F^-1 v: o, k (n) start as g_1 and v.
void lti_woodfisher_step(const float *g, int64_t n, float *o, float *k);
#endif
