// audit_impl.h - what the audit files share: the shadow draw, and one SVM fit (also called by the parity test).
#ifndef LT_AUDIT_IMPL_H
#define LT_AUDIT_IMPL_H
#include "base/arg_max.h"
#include "base/base.h"
#include "lethe/audit.h"

// Draws of an audit are indexed by `step` of LT_STREAM_AUDIT. Part of the reproducibility contract: append only.
enum {
    LTI_DRAW_SHADOW_RETAIN = 0,
    LTI_DRAW_SHADOW_TEST = 1,
    LTI_DRAW_ROC = 8,        // + 0 positives, 1 negatives; index = draw
    LTI_DRAW_AUC = 16,       // + group
    LTI_DRAW_BOOTSTRAP = 32, // + group; index = draw
    LTI_DRAW_BOOTSTRAP_MEAN = 35,
    LTI_DRAW_PROBE = 48,             // + side; folds of the membership probe
    LTI_DRAW_DEPTH = 56,             // + group; samples of the depth audit
    LTI_DRAW_POWER = 62,             // start of a power iteration
    LTI_DRAW_CLASS_MEMBER = 1 << 20, // + class; samples of a discriminator
    LTI_DRAW_CLASS_OTHER = 2 << 20,  // + class; those it is compared with
    LTI_DRAW_PROTOTYPE = 3 << 20,    // + draw
    LTI_DRAW_RELEARN = 4096,         // + round over the forget set
};

// Rows of the signals that serve as shadow members and non-members; n of each, as drawn.
typedef struct lti_shadow {
    int64_t n;
    int64_t *member, *non_member; // (n)
} lti_shadow;
lt_status lti_shadow_draw(const lt_signals *s, const lt_audit_cfg *cfg, lti_shadow *shadow);
void lti_shadow_clear(lti_shadow *shadow);

int64_t lti_group_rows(const lt_signals *s, int group, int64_t *row); // row may be NULL; returns the count

// ---- classes and subclasses that were forgotten as a whole
// Every sample belongs to one unit: its label (0..k-1), or, where its subclass was forgotten and its label was not,
// unit k + j of forgotten subclass j.
typedef struct lti_class_units {
    int n, n_forgotten;
    int32_t *unit;     // (samples)
    uint8_t *role;     // (n) lt_class_role
    int32_t *label;    // (n) of the unit's samples
    int64_t *subclass; // (n) or -1: the unit is a whole label
} lti_class_units;
lt_status lti_class_units_make(const lt_signals *s, lti_class_units *u); // LT_E_NOMEM
void lti_class_units_clear(lti_class_units *u);

// Class probabilities of one row, and one feature of it.
void lti_probabilities(const float *logits, int k, double *p);
double lti_feature(const float *logits, int k, int64_t label, lt_feature f);

// AUCs of three groups of scores, balanced. A pair with a NAN in one of its groups is NAN.
lt_status lti_auc_triple(const double *const score[3], const int64_t n_group[3], lt_auc_triple *out);

// ---- class-wise thresholds. half 0 or 1: learnt from the shadow samples with even or odd numbers only; -1 = from all.
double lti_threshold_signal(const lt_signals *s, int64_t row, lt_feature f);
lt_status lti_threshold_learn(const lt_signals *s, const lti_shadow *shadow, int half, lt_feature f,
                              double *threshold); // (k)

// ---- outputs in another order
typedef struct lti_row_keys { // of the rows of a file
    int64_t n;
    const int64_t *id;
    const int8_t *group; // NULL = not known
} lti_row_keys;
// *from (target->n), the caller's: the row of every sample of the target; NULL = all are in their place. LT_E_FORMAT:
// other samples, or ids that do not tell them apart.
lt_status lti_match_rows(const lt_signals *target, const lti_row_keys *rows, const char *label, int64_t **from);

// ---- reference models

// What is known of one sample's signal over the reference models of one kind (by lt_membership): Welford's count, mean
// and sum of squared deviations, in double.
typedef struct lti_moments {
    int64_t n;
    double mean, m2;
} lti_moments;
typedef double (*lti_signal_fn)(const float *logits, int k, int64_t label, const void *cfg);
// (n,3): moments of every sample by lt_membership. NULL = out of memory (recorded).
lti_moments *lti_reference_moments(const lt_mia_in *in, lti_signal_fn signal, const void *cfg);
bool lti_references_unlearned(const lt_references *refs, int64_t model); // some sample
double lti_phi(const float *logits, int k, int64_t label, const void *unused);

// ---- normal and Student distributions
double lti_normal_log_pdf(double x, double mean, double sd);
double lti_normal_log_cdf(double x, double mean, double sd); // no cancellation in either tail
double lti_student_tail(double t, double df);                // P(T > t), t >= 0
double lti_student_quantile(double p, double df);            // t with P(T > t) = p, 0 < p <= 0.5

// C-SVC on dense features (row-major): class 0 = negative rows, then class 1 = positive rows.
typedef struct lti_svc_cfg {
    bool linear; // else RBF
    double c, gamma;
} lti_svc_cfg;
typedef struct lti_svc_problem {
    const double *negative, *positive; // (n_negative,d), (n_positive,d)
    int64_t n_negative, n_positive;
    int d;
    lti_svc_cfg cfg;
} lti_svc_problem;
// decision: (n_target), above 0 = negative (class 0).
lt_status lti_svc_decide(const lti_svc_problem *problem, const double *target, int64_t n_target, double *decision);
// That of the SVC-MIA: C = 3, gamma = 1 / d, n rows of each; non-members are class 0.
lt_status lti_svc(const double *non_member, const double *member, int64_t n, const double *target, int64_t n_target,
                  int d, double *decision);
double lti_median(double *v, int64_t n); // sorts v; NAN of nothing
#endif
