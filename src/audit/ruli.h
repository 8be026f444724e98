// ruli.h - the two scores of RULI: privacy and efficacy. docs/methods/ruli.md
#ifndef LT_RULI_H
#define LT_RULI_H
#include "audit/mia_impl.h"

typedef struct lti_ruli_cfg {
    double bandwidth, clip;
} lti_ruli_cfg;
// clang-format off
#define LTI_RULI_ROWS                                                                                                  \
    LT_F64(lti_ruli_cfg, bandwidth, 0, 0, 1e6, "",                                                                     \
           "of the Gaussian kernels: 1 in the authors' code; 0 = Silverman's rule on the deviations of all samples "   \
           "together, for few models"),                                                                                \
    LT_F64(lti_ruli_cfg, clip, 0, 0, 0.4, "",                                                                          \
           "probabilities are kept at least this far from 0 and 1: 1e-6 in the authors' "                              \
           "code; 0 = exact")
// clang-format on

typedef enum lti_ruli_kind { // what a reference model is to a sample
    LTI_RULI_UNLEARNED,      // has unlearned it
    LTI_RULI_OUT,            // never saw it, and has unlearned others
    LTI_RULI_TRAINED_OUT     // never saw it, and has unlearned nothing
} lti_ruli_kind;
// out (n): log density of the models that unlearned a sample less that of the models `against`, at its phi: of the
// target, or, against LTI_RULI_TRAINED_OUT, of the original model for test samples. NAN without models of both kinds.
lt_status lti_ruli_score(const lt_mia_in *in, const lti_ruli_cfg *cfg, lti_ruli_kind against, double *out);
#endif
