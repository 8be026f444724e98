// audit.h - membership inference audits from signals. Scores need no model: logits, labels and groups are enough.
//
// Threads: functions are pure in their arguments unless they write a file; calls may run concurrently, and any number
// of them may read the same signals.
#ifndef LT_AUDIT_H
#define LT_AUDIT_H
#include "lethe/train.h"
LT_BEGIN

typedef enum lt_group { LT_GROUP_RETAIN = 0, LT_GROUP_FORGET = 1, LT_GROUP_TEST = 2 } lt_group;

// The three kinds of model that audits speak of: words in tables and keys, letters in formulas.
#define LT_KIND_ORIGINAL "original"   // o: before unlearning
#define LT_KIND_UNLEARNED "unlearned" // u: the audited one
#define LT_KIND_RETRAINED "retrained" // r: without the forgotten samples, an oracle

// Evaluation-mode, un-augmented outputs of one model, the file of docs/audits.md. Owned.
typedef struct lt_signals {
    int64_t n;
    int k;
    float *logits;  // (n,k)
    int64_t *label; // (n)
    int64_t *id;    // (n)
    int8_t *group;  // (n) lt_group
    // (n) or NULL: finer classes that the labels are made of, such as the 100 of CIFAR-100 under its 20 superclasses.
    // A subclass has one label.
    int64_t *subclass;
} lt_signals;
LT_API void lt_signals_destroy(lt_signals *s);
LT_API bool lt_signals_same_samples(const lt_signals *a, const lt_signals *b); // ids, labels, groups, in order
LT_API bool lt_signals_same_outputs(const lt_signals *a, const lt_signals *b); // to the last bit
LT_API int lt_signals_predicted(const lt_signals *s, int64_t row); // class of the largest logit, the first of equals
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
// Brings the rows of s into the order of the target: by id, or by group and id where the ids of the target are unique
// within its groups only. LT_E_FORMAT names the label, such as the file, and the first sample that s does not have, has
// twice, or has with another label or group.
LT_API lt_status lt_signals_match(const lt_signals *target, const char *label, lt_signals *s);
// Retained, forgotten and test samples are there. LT_E_FORMAT names the empty group and the label, such as the file.
LT_API lt_status lt_signals_need_groups(const lt_signals *s, const char *label);

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
    int64_t shadow_cap; // at most so many shadow samples per class; 0 = no cap, as in the paper (row)
} lt_audit_cfg;
LT_API extern const lt_option lt_audit_options[];

// SVC-MIA [AMUN 7.2]: fraction of the forget set predicted non-member, one classifier per feature (libsvm C-SVC, RBF, C
// = 3, gamma = 1 / number of features). Shadow members: |test| samples of the retain set drawn without replacement;
// shadow non-members: the test set. Where the retain set is smaller than the test set, or shadow_cap is set, both
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
LT_API lt_status lt_audit_auc(const lt_signals *s, lt_feature f, lt_auc_triple *out); // of one feature, groups

typedef struct lt_phi_stats { // how forgotten samples compare with retained and unseen ones, without an oracle
    double share;             // 0 = like retained ones, 1 = like unseen ones [AREA 3]; NAN without test samples
    double auc;               // P(phi of a forgotten sample > that of a test sample); 0.5 = alike
} lt_phi_stats;
// phi = z_y - log sum over the others of exp z, medians of the groups: share = (retain - forget) / (retain - test).
// NAN where a group is empty, share also where the denominator is not positive. LT_E_NOMEM.
LT_API lt_status lt_audit_phi_stats(const lt_signals *s, lt_phi_stats *out);

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

// ---- reference models and per-sample attacks

// What a reference model was to a sample. An unlearned sample was trained on and then removed by the audited method.
typedef enum lt_membership { LT_MEMBER_OUT = 0, LT_MEMBER_IN = 1, LT_MEMBER_UNLEARNED = 2 } lt_membership;

// Outputs of m reference models on the n samples of a target. Owned.
typedef struct lt_references {
    int64_t m, n;
    int k;
    const float *logits;   // (m,n,k)
    const uint8_t *member; // (m,n) lt_membership
    bool unlabelled;       // the file says nothing of its rows (no ids, labels or group): their order was not checked
    void *file, *own[2];   // what holds the two arrays
} lt_references;
LT_API void lt_references_destroy(lt_references *refs); // NULL is fine
// An npz with `logits` (M,N,K) f32 or f64 and `member` (M,N) integers 0, 1 or 2. It must fit the target: the same N and
// K, and where it also holds `ids`, `labels` or `group` (N), the same values. Rows with ids are brought into the order
// of the target, as lt_signals_match does; without ids they must be in it. target NULL: rows stay as they are. Fails
// with LT_E_FORMAT naming file, array, model and row, what was expected and what was found.
LT_API lt_status lt_references_open(const char *npz, const lt_signals *target, lt_references **refs);
LT_API lt_status lt_references_parse(const void *bytes, size_t n, const char *label, const lt_signals *target,
                                     lt_references **refs);

enum { // what an attack needs of every sample it scores; lt_mia.needs
    LT_MIA_NEED_OUT = 1 << LT_MEMBER_OUT,
    LT_MIA_NEED_IN = 1 << LT_MEMBER_IN,
    LT_MIA_NEED_UNLEARNED = 1 << LT_MEMBER_UNLEARNED,
    LT_MIA_NEED_GROUPS = 8,       // no empty group
    LT_MIA_RETAIN_OPTIONAL = 16,  // retained samples without the needed models get the score NAN
    LT_MIA_NEED_TRAINED_OUT = 32, // OUT for a model that has unlearned no sample at all
    LT_MIA_NEED_ORIGINAL = 64,    // outputs of the original model
    LT_MIA_NEED_REFERENCES = LT_MIA_NEED_OUT | LT_MIA_NEED_IN | LT_MIA_NEED_UNLEARNED | LT_MIA_NEED_TRAINED_OUT,
};
typedef struct lt_mia_in {
    const lt_signals *target;
    const lt_references *refs; // NULL = none
    uint64_t seed;             // of the draws of attacks that learn from the target itself
    int n_threads;             // 0 or 1 = this thread only; no result depends on it
    // Outputs of the model before unlearning on the same samples; NULL = not known. Where no model has unlearned
    // anything (a retrained target) any trained model without the test samples will do.
    const lt_signals *original;
} lt_mia_in;

enum { LT_MIA_MAX_TRIED = 32 };
typedef struct lt_mia_tuning { // of an option that an attack chooses on the reference models
    const char *option;        // its name
    int n;                     // values tried; 0 = the configuration leaves nothing to choose
    double tried[LT_MIA_MAX_TRIED], auc[LT_MIA_MAX_TRIED]; // AUC of members against others
    double value;                                          // the one with the largest AUC, the first of equals
} lt_mia_tuning;

// An attack gives every sample one score from arrays alone, larger = more likely a member, in double.
typedef struct lt_mia {
    const char *name, *title, *cite; // cite: key in docs/refs.bib
    const char *doc;                 // one paragraph: score, source, deviations
    uint32_t needs;
    double threshold; // the attack's own rule is "member when score >= threshold"; NAN = it has none
    size_t cfg_size;
    const lt_option *opts;
    lt_status (*score)(const lt_mia_in *in, const void *cfg, double *score); // (n); pure
    // Sets in cfg what it leaves open, by attacking one reference model with the others. NULL = there is no such
    // option.
    lt_status (*tune)(const lt_mia_in *in, void *cfg, lt_mia_tuning *choice);
} lt_mia;
LT_API const lt_mia *const *lt_mia_list(void);                      // NULL-terminated registry, strongest first
LT_API lt_status lt_mia_find(const char *name, const lt_mia **mia); // LT_E_USAGE with the nearest name
// Checks what the attack needs, then scores. Fails with LT_E_USAGE when it needs references or the original model and
// there are none, with LT_E_FORMAT naming the first sample that lacks a model of a kind it needs.
LT_API lt_status lt_mia_run(const lt_mia *mia, const lt_mia_in *in, const void *cfg, double *score);

// Makes an open option of cfg definite; depends on the reference models and the labels only, so it is the same for
// every target with these samples. Scoring does it as well when it was not done before. LT_E_USAGE for fewer than three
// models, LT_E_FORMAT as lt_mia_run.
LT_API lt_status lt_mia_tune(const lt_mia *mia, const lt_mia_in *in, void *cfg, lt_mia_tuning *choice);

typedef struct lt_mia_metrics {
    lt_auc_triple auc;           // balanced sub-sampling [AMUN 7.5]; NAN where a group has no scores
    lt_auc_triple tpr_1, tpr_01; // TPR at 1 % and 0.1 % FPR of the same pairs, all samples
    double ft_acc;               // balanced accuracy, forget against test, of the attack's own rule; NAN = none
} lt_mia_metrics;
// Metrics of one attack from its scores (n).
LT_API lt_status lt_mia_measure(const lt_signals *s, const lt_mia *mia, const double *score, lt_mia_metrics *out);
// risk[i] in [0,1]: share of the test samples that score lower than sample i, ties counted half. One minus it is the
// false positive rate at which sample i would be called a member.
LT_API lt_status lt_mia_risk(const lt_signals *s, const double *score, double *risk);

// ---- against several oracles: docs/decisions/0004-equivalence-test.md

typedef struct lt_verdict_cfg { // rows of lt_verdict_options
    double verdict_level;       // 0.05
    double verdict_margin;      // 0.02
    double verdict_min_effect;  // 0.001
    int32_t bootstrap;          // 1000 draws; 0 = no intervals
} lt_verdict_cfg;
LT_API extern const lt_option lt_verdict_options[];

typedef enum lt_verdict {
    LT_VERDICT_TOO_FEW,     // "too few seeds"
    LT_VERDICT_SAME,        // "indistinguishable"
    LT_VERDICT_DIFFERENT,   // "distinguishable"
    LT_VERDICT_CANNOT_TELL, // "this study cannot tell": see lt_verdict_given_original
    LT_N_VERDICTS
} lt_verdict;
LT_API const char *lt_verdict_text(lt_verdict v);             // as it stands in results
LT_API bool lt_verdict_find(const char *text, lt_verdict *v); // of lt_verdict_text; false for anything else
// The original model has forgotten nothing. Where its own verdict is LT_VERDICT_SAME, that of another model is no
// evidence of forgetting: LT_VERDICT_SAME becomes LT_VERDICT_CANNOT_TELL, for the original itself too. Other verdicts
// stay. `original` may have been through this function already.
LT_API lt_verdict lt_verdict_given_original(lt_verdict v, lt_verdict original);
typedef struct lt_equivalence {
    int n_oracles;
    double mean, sd;   // of the oracles' values
    double difference; // value - mean
    double band;       // half-width of the null band: a further retrained model differs by less, with 1 - level
    double p;          // of the hypothesis that the value is that of a further retrained model
    double bound;      // with 1 - level the model is less than this away from the mean of retraining
    double margin;     // that the bound is held against
    lt_verdict verdict;
} lt_equivalence;
// One metric of a model against the same metric of n oracles. resolution: the step of the metric (1 / samples), the
// least spread that oracles of one value can have. Fields that need two oracles are NAN for fewer.
LT_API void lt_compare(double value, const double *oracle, int n, double resolution, const lt_verdict_cfg *cfg,
                       lt_equivalence *out);
// The same for the mean of several models against retraining, where the spread of retraining is pooled over several
// sets of oracles (one per forget set, say). of_models, of_oracles: variances of the mean of the models and of the mean
// of the oracles that `difference` is made of, in units of the variance of one retrained model: 1/n for n models.
// out->band is that of the difference; out->mean is NAN. All NAN when df is below 1.
typedef struct lt_pooled {
    double difference, sd;
    int df; // degrees of freedom of sd
    double of_models, of_oracles, resolution;
} lt_pooled;
LT_API void lt_compare_pooled(const lt_pooled *pooled, const lt_verdict_cfg *cfg, lt_equivalence *out);
// All metrics together: different when the smallest p is at most level / n (Bonferroni); else too few seeds when one
// bound is larger than its margin; else the same (an intersection-union test, so no correction).
LT_API lt_verdict lt_compare_all(const lt_equivalence *metric, int n, const lt_verdict_cfg *cfg);

typedef struct lt_interval {
    double low, high; // NAN where there is nothing to draw from
} lt_interval;
typedef struct lt_auc_intervals {
    lt_interval ft, fr, rt;
} lt_auc_intervals;
// Percentile intervals (1 - level) of accuracies (by lt_group) and of the AUCs of n_scores attacks: samples of each
// group drawn with replacement, the same draws for every figure. AUCs are those of all samples of the groups.
LT_API lt_status lt_audit_bootstrap(const lt_signals *s, int n_scores, const double *const *score,
                                    const lt_verdict_cfg *cfg, uint64_t seed, lt_interval acc[3],
                                    lt_auc_intervals *auc);

// Percentile interval (1 - level) of the mean of n values over the draw of clusters with replacement: values with the
// same cluster (0..n-1) are drawn together, because they share what made them. cluster NULL: every value is one of its
// own. NAN for fewer than two clusters. LT_E_NOMEM.
LT_API lt_status lt_bootstrap_mean(const double *value, const int *cluster, int n, int draws, double level,
                                   uint64_t seed, lt_interval *out);

// Average gap [AMUN 7.6] in fractions against the mean of n_oracles audits. mia: MIS (svc confidence) or FT AUC of phi.
typedef enum lt_gap_mia { LT_GAP_MIS, LT_GAP_PHI_AUC } lt_gap_mia;
LT_API double lt_avg_gap(const lt_audit *a, const lt_audit *oracles, int n_oracles, lt_gap_mia mia);

LT_END_DECLS
#endif
