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
// Rows in the order retain, forget, test. forget and retain are rows of the training split; either may be NULL or
// empty.
LT_API lt_status lt_signals_compute(const lt_model *model, const lt_dataset *ds, const lt_index_set *forget,
                                    const lt_index_set *retain, const lt_env *env, lt_signals **s);
LT_API lt_status lt_signals_save(const lt_signals *s, const char *npz);
// Files of other tools are welcome: logits may be f32 or f64, the integers of any stored width. Everything else is
// checked: keys, shapes, that logits are finite, labels in 0..K-1, ids not negative, groups 0..2, K >= 2, N >= 1. A
// file that does not fit fails with LT_E_FORMAT naming file, key, row, what was expected and what was found.
LT_API lt_status lt_signals_open(const char *npz, lt_signals **s);
LT_API lt_status lt_signals_parse(const void *bytes, size_t n, const char *label,
                                  lt_signals **s); // the bytes of an npz

// Per-sample features in double, from logits and label [AMUN 7.2, 7.7]. out: room for every row of the group; group -1
// = all rows, else only that group's, compacted in row order. Returns their number; out NULL only counts.
typedef enum lt_feature {
    LT_FEAT_CORRECT,
    LT_FEAT_CONFIDENCE,
    LT_FEAT_ENTROPY,
    LT_FEAT_MENTROPY,
    LT_FEAT_PHI,
    LT_FEAT_LOSS,
    LT_N_FEATURES
} lt_feature;
LT_API const char *lt_feature_name(lt_feature f);
LT_API int64_t lt_signals_feature(const lt_signals *s, lt_feature f, int group, double *out);
LT_API double lt_signals_acc(const lt_signals *s, int group); // NAN when the group is empty

// AUC with mid-ranks [AMUN 7.5]: P(pos > neg) + P(pos = neg)/2. NAN when a side is empty, a score is NAN, or memory is
// short.
LT_API double lt_auc(const double *pos, int64_t n_pos, const double *neg, int64_t n_neg);
// Largest true positive rate of a rule "score >= t" whose false positive rate is at most fpr. NAN as above.
LT_API double lt_tpr_at_fpr(const double *pos, int64_t n_pos, const double *neg, int64_t n_neg, double fpr);

typedef struct lt_audit_cfg {
    uint64_t seed;      // of the draws below; not a row: every verb has one --seed
    int64_t max_shadow; // at most so many shadow samples per class; 0 = no cap, as in the paper (row)
} lt_audit_cfg;
LT_API extern const lt_option lt_audit_options[];

// SVC-MIA [AMUN 7.2]: fraction of the forget set predicted non-member, one classifier per feature (libsvm C-SVC, RBF, C
// = 3, gamma = 1 / number of features). Shadow members: |test| samples of the retain set drawn without replacement;
// shadow non-members: the test set. Where the retain set is smaller than the test set, or max_shadow is set, both
// classes are drawn down to the same number n_shadow. Fails with LT_E_FORMAT when a group is empty.
typedef struct lt_svc_mia {
    double correctness, confidence, entropy, m_entropy, prob; // fractions in [0,1]; MIS = 100 * confidence
    int64_t n_shadow;                                         // per class
} lt_svc_mia;
LT_API lt_status lt_audit_svc_mia(const lt_signals *s, const lt_audit_cfg *cfg, lt_svc_mia *out);

// Class-wise threshold attack [AMUN 7.3] with the same shadow samples: for each class the threshold with the best
// balanced accuracy on them (the smallest among equals; of all classes together where a class lacks one kind);
// correctness has no threshold.
typedef struct lt_threshold_mia {
    double correctness, confidence, entropy, m_entropy; // fraction of the forget set called member
} lt_threshold_mia;
LT_API lt_status lt_audit_threshold(const lt_signals *s, const lt_audit_cfg *cfg, lt_threshold_mia *out);

typedef struct lt_auc_triple {
    double ft, fr,
        rt; // forget vs test, retain vs forget, retain vs test; balanced sub-sampling, seeds 0,1,2 [AMUN 7.5]
} lt_auc_triple;
LT_API lt_status lt_audit_auc(const lt_signals *s, lt_feature f, lt_auc_triple *out);

typedef struct lt_audit {
    double ua, ra, ta;
    lt_svc_mia svc;
    lt_threshold_mia threshold;
    lt_auc_triple phi; // AUC of phi, the reference-free score
    lt_auc_triple conf;
    double phi_median[3];         // by lt_group
    double phi_tpr_1, phi_tpr_01; // TPR of phi, forget against test, at 1 % and 0.1 % FPR, all samples
    int64_t n[3];                 // samples by lt_group
} lt_audit;
LT_API lt_status lt_audit_run(const lt_signals *s, uint64_t seed, lt_audit *out); // no cap on shadow samples
LT_API lt_status lt_audit_run_cfg(const lt_signals *s, const lt_audit_cfg *cfg, lt_audit *out);

// Average gap [AMUN 7.6] in fractions against the mean of n_oracles audits. mia: MIS (svc confidence) or FT AUC of phi.
typedef enum lt_gap_mia { LT_GAP_MIS, LT_GAP_PHI_AUC } lt_gap_mia;
LT_API double lt_avg_gap(const lt_audit *a, const lt_audit *oracles, int n_oracles, lt_gap_mia mia);

LT_END_DECLS
#endif
