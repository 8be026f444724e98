// class_ulira.h - arithmetic of U-LiRA for whole classes, apart so that it can be checked.
#ifndef LT_CLASS_ULIRA_H
#define LT_CLASS_ULIRA_H
#include "lethe/status.h"
#include <stdint.h>

typedef struct lti_ulira_class {
    double accuracy, auc;  // means over the pairs held out: at the equal-error threshold; of the evidence
    double threshold;      // mean of the equal-error thresholds
    double mean_u, mean_r; // of all values
} lti_ulira_class;
// u (t,n), r (t,n): a score of n forgotten samples under t >= 3 unlearned and t retrained models. Evidence: log-ratio
// of Gaussians with each sample's means and one spread a side, at least 1e-2; one pair is held out at a time.
// LT_E_NOMEM.
lt_status lti_ulira_leave_pair_out(const double *u, const double *r, int t, int64_t n, lti_ulira_class *out);
// Share of x (n) whose evidence, by all models, is at least the threshold. LT_E_NOMEM.
lt_status lti_ulira_flagged(const double *u, const double *r, int t, int64_t n, const double *x, double threshold,
                            double *share);
#endif
