// klom.h - arithmetic of KLoM, apart so that it can be checked against references.
#ifndef LT_KLOM_H
#define LT_KLOM_H
#include <stdint.h>

enum { LTI_KLOM_BINS = 20 };
// KL between histograms of the values a (n_a) and b (n_b) in 20 bins over their joint range, values kept in +-100,
// shares at least 1e-5. [KLoM 1]
double lti_klom(const double *a, int n_a, const double *b, int n_b);
#endif
