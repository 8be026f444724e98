// representation_result.h - the result of the representation audit, and its JSON.
#ifndef LT_REPRESENTATION_RESULT_H
#define LT_REPRESENTATION_RESULT_H
#include "audit/kind_impl.h"
#include "lethe/representation.h"

enum { LTI_UNLEARNED, LTI_ORIGINAL, LTI_RETRAINED }; // places of the models; oracles from LTI_RETRAINED on
typedef struct lti_cka {                             // NAN = not measured
    double to_original, retrained_pair;
    double *to_retrained, *original_to_retrained; // (n_retrained)
} lti_cka;
typedef struct lti_representation {
    lti_arena arena;      // of all that follows, curves excepted
    const char *original; // name; NULL = there is none
    lt_representation_cfg cfg;
    uint64_t seed;
    int64_t n_forget, n_test, n_same_class, n_retain; // samples drawn
    int n_models, n_retrained, n_stages;
    char **stage;
    int64_t *width;                      // (n_stages)
    double *auc, *acc_forget, *acc_test; // (n_models, n_stages); NAN = there is no original
    lti_cka *cka;                        // (n_stages, 2): on forgotten, on test samples
    lt_relearn *curve;                   // (n_models); n = 0: there is no original
    double *area;                        // (n_models) under the curve of forget accuracy
    lt_equivalence area_test;
    double area_pair, threshold; // mean difference of two oracles; accuracy half-way of retraining's curve
} lti_representation;
lt_status lti_representation_create(const lt_audit_in *in, const lt_representation_cfg *cfg, lti_representation **r);
lt_status lti_representation_stages(lti_representation *r, const lt_features *f); // allocates what is per stage
void lti_representation_destroy(void *r);
void lti_representation_write(const void *r, lti_json *w);
#endif
