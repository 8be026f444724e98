// class_impl.h - what the files of the class audit share.
#ifndef LT_CLASS_IMPL_H
#define LT_CLASS_IMPL_H
#include "audit/audit_impl.h"
#include "lethe/class_audit.h"

typedef struct lti_class_world {    // one audit
    const lt_signals *const *model; // (n_models): the audited one first
    int n_models, k, n_forgotten, n_kept;
    lti_class_units units;    // of the samples: classes, then forgotten subclasses
    const int32_t *forgotten; // (n_forgotten) units
    const int32_t *kept;      // (n_kept) units, all of them classes: outputs of the models
    const lt_class_audit_cfg *cfg;
    uint64_t seed;
} lti_class_world;

// Rows of a unit in a group. row may be NULL; returns the count.
int64_t lti_class_rows(const lti_class_world *w, int group, int32_t unit, int64_t *row);

// accept (n_forgotten, K): share of the test samples of each forgotten class that the discriminator of each kept class
// accepts, learnt and applied on the same model; NAN for classes that are not kept. [class-mia 1]
lt_status lti_class_accept(const lti_class_world *w, const lt_signals *s, double *accept);
// The discriminator of class i learnt on the outputs of one model, applied to another one's outputs of class f.
lt_status lti_class_transfer(const lti_class_world *w, const lt_signals *learnt, const lt_signals *applied, int32_t i,
                             int32_t f, double *share);
// Balanced accuracy of an SVM between the outputs of two models on the test samples of class f: learnt on every second
// sample, asked about the others. [class-mia 3]
lt_status lti_class_two_sample(const lti_class_world *w, const lt_signals *a, const lt_signals *b, int32_t f,
                               double *accuracy);
// [class-audit 3]
lt_status lti_class_svc_mia(const lti_class_world *w, const lt_signals *s, double *share);
#endif
