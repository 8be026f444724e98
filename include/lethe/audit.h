// audit.h - membership inference audits from signals. Scores need no model: logits, labels and groups are enough.
#ifndef LT_AUDIT_H
#define LT_AUDIT_H
#include "lethe/train.h"
LT_BEGIN

typedef enum lt_group { LT_GROUP_RETAIN = 0, LT_GROUP_FORGET = 1, LT_GROUP_TEST = 2 } lt_group;

// Evaluation-mode, un-augmented outputs of one model (product.md 5). Owned.
typedef struct lt_signals {
    int64_t n;
    int k;
    float *logits;  // (n,k)
    int64_t *label; // (n)
    int64_t *id;    // (n)
    int8_t *group;  // (n) lt_group
} lt_signals;
LT_API void lt_signals_destroy(lt_signals *s);
LT_API lt_status lt_signals_compute(const lt_model *model, const lt_dataset *ds, const lt_index_set *forget,
                                    const lt_index_set *retain, const lt_env *env, lt_signals **s);
LT_API lt_status lt_signals_save(const lt_signals *s, const char *npz);
LT_API lt_status lt_signals_open(const char *npz, lt_signals **s); // validates dtypes, shapes, ranges, finiteness

// Per-sample features in double (F from logits and label) [AMUN 7.2, 7.7]. out: n doubles; group -1 = all, else only that group, compacted; returns count.
typedef enum lt_feature { LT_FEAT_CORRECT, LT_FEAT_CONFIDENCE, LT_FEAT_ENTROPY, LT_FEAT_MENTROPY, LT_FEAT_PHI, LT_FEAT_LOSS, LT_N_FEATURES } lt_feature;
LT_API const char *lt_feature_name(lt_feature f);
LT_API int64_t lt_signals_feature(const lt_signals *s, lt_feature f, int group, double *out);
LT_API double lt_signals_acc(const lt_signals *s, int group);

// AUC with mid-ranks [AMUN 7.5]: P(pos > neg) + P(pos = neg)/2.
LT_API double lt_auc(const double *pos, int64_t n_pos, const double *neg, int64_t n_neg);
LT_API double lt_tpr_at_fpr(const double *pos, int64_t n_pos, const double *neg, int64_t n_neg, double fpr);

// SVC-MIA [AMUN 7.2]: fraction of the forget set predicted non-member, one classifier per feature.
typedef struct lt_svc_mia {
    double correctness, confidence, entropy, m_entropy, prob; // fractions in [0,1]; MIS = 100 * confidence
    int64_t n_shadow; // per class
} lt_svc_mia;
LT_API lt_status lt_audit_svc_mia(const lt_signals *s, uint64_t seed, lt_svc_mia *out);

// Class-wise threshold attack [AMUN 7.3]: balanced accuracy of forget (member) against test for each signal.
typedef struct lt_threshold_mia {
    double correctness, confidence, entropy, m_entropy; // fraction of the forget set called member
} lt_threshold_mia;
LT_API lt_status lt_audit_threshold(const lt_signals *s, uint64_t seed, lt_threshold_mia *out);

typedef struct lt_auc_triple {
    double ft, fr, rt; // forget vs test, retain vs forget, retain vs test; balanced sub-sampling, seeds 0,1,2 [AMUN 7.5]
} lt_auc_triple;
LT_API lt_status lt_audit_auc(const lt_signals *s, lt_feature f, lt_auc_triple *out);

typedef struct lt_audit {
    double ua, ra, ta;
    lt_svc_mia svc;
    lt_threshold_mia threshold;
    lt_auc_triple phi;      // AUC of phi, the reference-free score
    lt_auc_triple conf;
    double phi_median[3];   // by lt_group
} lt_audit;
LT_API lt_status lt_audit_run(const lt_signals *s, uint64_t seed, lt_audit *out);

// Average gap [AMUN 7.6] in fractions against the mean of n_oracles audits. mia: MIS (svc confidence) or FT AUC of phi.
typedef enum lt_gap_mia { LT_GAP_MIS, LT_GAP_PHI_AUC } lt_gap_mia;
LT_API double lt_avg_gap(const lt_audit *a, const lt_audit *oracles, int n_oracles, lt_gap_mia mia);

LT_END_DECLS
#endif
