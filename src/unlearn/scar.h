// scar.h - arithmetic of SCAR, apart so that it can be checked against references.
#ifndef LT_SCAR_H
#define LT_SCAR_H
#include "lethe/status.h"
#include <stdint.h>

// cov (d,d), a covariance, becomes the inverse of its shrunk (twice) and normalised form. [SCAR 2] LT_E_NOMEM,
// LT_E_FAIL.
lt_status lti_scar_inverse(double *cov, int64_t d, double gamma1, double gamma2);
// Squared Mahalanobis distance of u = (h^delta) / |h^delta| to mean (d, of length 1), and its gradient with respect to
// h (d; may be NULL). Features below 1e-6 count as 1e-6 and have no gradient. scratch (2 d). [SCAR 1]
double lti_scar_distance(const float *h, const double *mean, const double *inverse, int64_t d, double delta,
                         double *scratch, double *gradient);
#endif
