// class_targets.h - what class unlearning by soft targets shares: the classes to forget, how similar classes are by the
// weights of the last layer, and the distribution a forgotten image is trained towards. docs/methods/trw.md
#ifndef LT_CLASS_TARGETS_H
#define LT_CLASS_TARGETS_H
#include "unlearn/recipe.h"

// ---- classes
typedef struct lti_class_set {
    int32_t k, n_forget, n_keep;
    uint8_t *forget; // (K) 1 = forgotten by this request
    uint8_t *gone;   // (K) 1 = forgotten by this request or without any retained sample (an earlier one took it)
} lti_class_set;
// The classes of in->forget. LT_E_USAGE when one of them keeps samples in in->retain, or when no class is left.
// Without in->retain every class of the forget set counts as whole.
lt_status lti_class_set_make(const lt_unlearn_in *in, const char *method, lti_class_set *set);
void lti_class_set_clear(lti_class_set *set);

// ---- similarity of classes
enum { LTI_SIM_COSINE, LTI_SIM_PCA, LTI_SIM_SOFTMAX, LTI_SIM_PCA_SOFTMAX };
extern const lt_opt_value lti_similarity_values[];
typedef struct lti_similarity_cfg {
    int32_t kind, pca_dims;
    double temperature; // of the softmax kinds
} lti_similarity_cfg;
// s (K,K) from the rows of w (K,d). Row f: cosine of row f with every row [TRW 2], after projecting the centred rows on
// their first pca_dims principal directions in the pca kinds; the softmax kinds turn a row into a distribution over the
// classes that are not gone. LT_E_USAGE when a row has no length.
lt_status lti_class_similarity(const float *w, int32_t k, int64_t d, lti_similarity_cfg cfg, const uint8_t *gone,
                               double *s);

// ---- targets [TRW 1], [TRW 3]
// q (K) = softmax over the classes that are not gone of z_i + beta s_i; exactly 0 where gone. In double.
void lti_tilted_softmax(const double *z, int32_t k, const uint8_t *gone, const double *s, double beta, double *q);
double lti_expectation(const double *q, const double *s, int32_t k);
// The beta at which the expected similarity under the tilted distribution is c. [TRW 4] LT_E_USAGE when c is not inside
// (min s, max s) over the classes that are not gone.
lt_status lti_tilt_for(const double *z, int32_t k, const uint8_t *gone, const double *s, double c, double *beta);

// ---- a method that trains towards such targets
typedef struct lti_class_targets_cfg {
    lti_similarity_cfg similarity;
    double beta;
    bool by_expected; // expected gives the tilt of every image, instead of beta
    double expected;
    float forget_weight; // of the forget images' term
    double remain_frac;  // of the retained images used in each epoch
    int32_t rounds;      // the teacher is replaced so often, evenly over the epochs
    const char *save_targets;
} lti_class_targets_cfg;
// Adds views, targets and hooks to a job whose recipe is set; ctx keeps what they need.
lt_status lti_class_targets_plan(const lt_unlearn_in *in, const char *method, const lti_class_targets_cfg *cfg,
                                 bool augment, lt_unlearn_plan_ctx *ctx, lt_job *job);
#endif
