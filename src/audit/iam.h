// iam.h - the arithmetic of IAM, for its golden test.
#ifndef LT_IAM_H
#define LT_IAM_H
#include "lethe/status.h"
#include <stdint.h>

double lti_iam_signal(const float *logits, int k, int64_t label);
// out (n) = unlearning score of samples with signals s_unl (n); s_out (m,n) of models without the sample, s_orig (n) of
// the original. LT_E_NOMEM.
lt_status lti_iam_score(const double *s_out, int64_t m, int64_t n, const double *s_orig, const double *s_unl,
                        double *out);
#endif
