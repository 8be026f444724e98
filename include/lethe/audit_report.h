// audit_report.h - the audit of one model against retrained ones, put together from audit kinds.
//
// An audit kind examines a model, or at the unlearned, the original and the retrained models together, and writes named
// metrics (metric.h) and a result of its own. It is one file and one line of include/lethe/kinds.list; null bands and
// verdicts follow from the metrics. Nothing here opens files of runs: models come through lt_audit_subject.
//
// Threads: calls may run concurrently when they write different results and share no backend; what they read may be
// shared.
#ifndef LT_AUDIT_REPORT_H
#define LT_AUDIT_REPORT_H
#include "lethe/lint.h"
LT_BEGIN

// ---- membership attacks that are chosen for an audit

typedef struct lt_mia_set { // in order; the first is the one of the risk list. Owned
    int n;
    const lt_mia **mia;
    void **cfg;                 // (n) borrowed, or own
    lt_mia_tuning *choice;      // (n) what each chose on the reference models
    double *self_auc;           // (n) by lt_mia_set_measure_self; NULL before, NAN = cannot say
    lt_references *refs;        // or NULL
    const lt_signals *original; // of the specification
    uint64_t seed;
    int n_threads;
    void *own;
} lt_mia_set;
typedef struct lt_mia_set_spec {
    const char *which;      // names separated by commas; NULL or "" = all that the references allow
    const char *references; // npz, or NULL
    void *const *cfg;       // of every attack of lt_mia_list(), in that order; NULL = defaults. Must outlive the set
    uint64_t seed;
    int n_threads;              // no result depends on it
    const lt_signals *original; // outputs of the model before unlearning, or NULL. Must outlive the set
} lt_mia_set_spec;
// References and choices fit the samples of `target`. LT_E_USAGE for unknown names and attacks that lack references,
// LT_E_FORMAT for references that no attack can use; as lt_references_open and lt_mia_tune.
LT_API lt_status lt_mia_set_open(const lt_mia_set_spec *spec, const lt_signals *target, lt_mia_set *attacks);
// Fills self_auc: for every attack with references the AUC of the samples that the last reference model was trained on
// against those it was not, by the others. [AMUN 11.21]
LT_API lt_status lt_mia_set_measure_self(lt_mia_set *attacks, const lt_signals *target);
LT_API void lt_mia_set_clear(lt_mia_set *attacks);

// ---- one model and what its outputs say

typedef struct lt_audited {
    lt_signals *signals; // owned
    lt_audit audit;
    int n_scores;        // attacks that were run, in the order of the set
    double **score;      // (n_scores, N)
    lt_mia_metrics *mia; // (n_scores)
} lt_audited;
// Takes the signals, also when it fails. No attack is run when `attacks` is NULL.
LT_API lt_status lt_audited_measure(const lt_mia_set *attacks, const lt_audit_cfg *cfg, lt_signals *s, lt_audited *out);
LT_API void lt_audited_clear(lt_audited *a);
LT_API double lt_audited_metric(const lt_audited *a, const lt_mia_set *attacks, lt_metric_id id, const lt_mia *attack);
// The scores of every attack as one array each, f64, larger = more likely a member (docs/audits.md).
LT_API lt_status lt_scores_save(const lt_mia_set *attacks, const lt_audited *target, const char *npz);

// ---- what an audit is given

typedef struct lt_audit_subject { // one model
    const char *name;             // for messages and results
    const lt_audited *audited;    // NULL = its outputs are not measured
    lt_model_identity identity;
    const lt_model *model; // when it is open already
    // Opens the model, owned by the caller; NULL: there is only `model`, or nothing but outputs.
    lt_status (*open)(const struct lt_audit_subject *s, lt_model **model);
    const void *self; // of `open`
} lt_audit_subject;
typedef struct lt_audit_shared lt_audit_shared;
typedef struct lt_audit_in {
    lt_audit_subject unlearned;        // the audited model
    const lt_audit_subject *original;  // before unlearning; NULL = not known
    const lt_audit_subject *parent;    // the model that this one started from, mostly the original; NULL = not known
    const lt_audit_subject *retrained; // the oracles
    int n_retrained;
    const lt_mia_set *attacks;
    const lt_verdict_cfg *verdict;
    uint64_t seed;
    lt_audit_shared *shared; // NULL = every audit measures all its models
    // The following are missing from an audit of arrays.
    const lt_env *env;
    const lt_dataset *ds;
    const lt_index_set *forget, *retain; // rows of the training split
    const char *adv_dir;                 // adversarial set that the run keeps; may be NULL
} lt_audit_in;

// ---- kinds

typedef struct lt_audit_report lt_audit_report;
enum {                        // lt_audit_kind.needs
    LT_AUDIT_NEED_MODELS = 1, // models, data and samples: not arrays alone
    LT_AUDIT_NEED_ORIGINAL = 2,
    LT_AUDIT_ON_REQUEST = 4, // not part of an audit unless it is asked for
};
struct lti_json; // JSON text that is being written (private)
typedef struct lt_audit_kind {
    const char *name; // "representation"
    const char *key;  // of its object in the result; NULL: it writes metrics only
    const char *title, *doc, *cite;
    unsigned needs;
    size_t cfg_size;
    const lt_option *opts;
    // What can be refused before the work starts; may be NULL.
    lt_status (*check)(const lt_audit_in *in, const void *cfg);
    // Puts metrics into the report; *data is its own result, NULL = there is nothing to say of this model.
    lt_status (*run)(const lt_audit_in *in, const void *cfg, lt_audit_report *report, void **data);
    void (*write)(const void *data, struct lti_json *json); // members of its object; NULL when key is
    void (*clear)(void *data);                              // frees it
    void (*clear_shared)(void *of); // frees what it has put into lt_audit_shared; NULL = it shares nothing
} lt_audit_kind;
typedef enum lt_audit_kind_id {
#define LT_X(name) LT_AUDIT_##name,
#include "lethe/kinds.list"
#undef LT_X
    LT_N_AUDIT_KINDS
} lt_audit_kind_id;
LT_API const lt_audit_kind *lt_audit_kind_get(lt_audit_kind_id id); // a row of the list
// What kinds have measured of models that several audits have in common: given to each of them, cleared when all their
// reports are gone. Not for audits that run at the same time. Starts as {0}.
struct lt_audit_shared {
    void *of[LT_N_AUDIT_KINDS];
};
LT_API void lt_audit_shared_clear(lt_audit_shared *shared);

// ---- risk of single samples: the share of test samples that score lower (lt_mia_risk), by the first attack of the set

typedef struct lt_risk_sample {
    int64_t id, label;
    int8_t group;               // lt_group
    double score, risk, before; // before: the risk before unlearning; NAN = not known
} lt_risk_sample;
enum { LT_RISK_TOP = 10 };
typedef struct lt_risk_group {
    int64_t n, n_high, n_rose; // high: a risk of 0.99 or more, found at a false positive rate of 1 %
    double median;
    int n_top, n_top_rose;
    lt_risk_sample top[LT_RISK_TOP], top_rose[LT_RISK_TOP]; // by risk; by its rise. Equals in the order of the file
} lt_risk_group;
typedef struct lt_risk { // owned
    const lt_mia *attack;
    bool has_before;
    lt_risk_group forget, retain;
    int64_t n;
    lt_risk_sample *sample; // (n) that have a score, by falling risk
} lt_risk;
// before: outputs before unlearning on the same samples, or NULL. *risk = NULL when the set has no attack.
LT_API lt_status lt_risk_measure(const lt_mia_set *attacks, const lt_audited *target, const lt_signals *before,
                                 lt_risk **risk);
LT_API lt_status lt_risk_save(const lt_risk *risk, const char *csv);
LT_API void lt_risk_destroy(lt_risk *risk); // NULL is fine

// ---- the result

typedef struct lt_metric_result {
    lt_metric_id id;
    const lt_mia *attack; // of LT_METRIC_OF_ATTACK
    double value;         // of the audited model; NAN = not measured
    lt_interval interval; // over the draw of the samples; NAN = none
    double resolution;
    double *retrained;               // (n_retrained) of every oracle
    double retrained_mean, distance; // over the distinct oracles; |value - retrained_mean|. NAN without one
    lt_equivalence test;             // against the distinct oracles; judged metrics only
    double *difference;              // (n_distinct) of every distinct oracle to the mean of the others; NULL below two
} lt_metric_result;
struct lt_audit_report { // owned; borrows what lt_audit_in holds
    const lt_audit_in *in;
    const struct lt_audit_report *original; // of lt_audit_judge_original; borrowed
    int n_metrics;
    lt_metric_result *metric;
    int n_distinct, *distinct; // oracles that repeat an earlier one to the last bit are left out
    lt_verdict overall;
    lt_audit_summary summary;                // gaps; seconds NAN
    double *attack_gap;                      // (attacks) average gap with the attack's FT AUC as the membership term
    double *oracle_gap_mis, *oracle_gap_auc; // (n_distinct) of every distinct oracle to the others; NULL below two
    bool has_run[LT_N_AUDIT_KINDS];
    void *data[LT_N_AUDIT_KINDS]; // results of kinds
    lt_risk *risk;                // filled by who asks for it; NULL = none
    lt_lint lint;
};
LT_API lt_status lt_audit_report_create(const lt_audit_in *in, lt_audit_report **report); // empty; kinds fill it
LT_API void lt_audit_report_destroy(lt_audit_report *report);                             // NULL is fine
// cfg: cfg_size bytes described by the kind's options; NULL = defaults.
LT_API lt_status lt_audit_kind_check(lt_audit_kind_id id, const lt_audit_in *in, const void *cfg);
LT_API lt_status lt_audit_kind_run(lt_audit_kind_id id, const void *cfg, lt_audit_report *report);
// Of kinds: a metric of the audited model and (n_retrained) of the oracles.
LT_API lt_status lt_audit_put(lt_audit_report *report, lt_metric_id id, const lt_mia *attack, double value,
                              const double *retrained);
LT_API lt_status lt_audit_judge(lt_audit_report *report); // after the last kind: bands, verdicts, gaps, intervals
// Holds verdicts against those of the original model, judged with the same oracles (lt_verdict_given_original): the
// verdict over all metrics, those of metrics that forgotten samples enter and, where the original is indistinguishable
// over all metrics, every one. Where none of the metrics of forgotten samples can tell, all metrics together cannot.
// original: kept by the caller as long as the report; may be the report itself.
LT_API void lt_audit_judge_original(lt_audit_report *report, const lt_audit_report *original);
LT_API const lt_metric_result *lt_audit_metric(const lt_audit_report *report, lt_metric_id id, const lt_mia *attack);
// What the diagnostics of AMUN's bound measured, one row per sample, as an npz; LT_E_USAGE when there is nothing.
LT_API lt_status lt_amun_bound_save(lt_audit_report *report, const char *npz);
// Every lint check, on top of what the report knows: reads role, before, forget_digest, last_train_acc, duplicates and
// expects_retrained of `extra`.
LT_API lt_status lt_audit_report_lint(lt_audit_report *report, const lt_lint_in *extra);
LT_API char *lt_audit_report_json(const lt_audit_report *report); // malloc'ed; NULL = out of memory
// The first of n >= 1 reports as above, the others in its list "also".
LT_API char *lt_audit_reports_json(const lt_audit_report *const *report, int n);

// ---- the representation audit in one line per stage
enum { LT_KIND_OF_UNLEARNED, LT_KIND_OF_ORIGINAL, LT_KIND_OF_RETRAINED, LT_N_MODEL_KINDS }; // retrained: the mean
typedef struct lt_representation_row {
    const char *stage; // borrowed from the report
    double membership_auc[LT_N_MODEL_KINDS], class_acc[LT_N_MODEL_KINDS];
    // CKA of the unlearned model with the original and the retrained ones, of these two, and of two retrained ones.
    double cka_original, cka_retrained, cka_original_retrained, cka_retrained_pair;
} lt_representation_row;
typedef struct lt_representation_summary { // owned; n = 0 when the audit was not made
    int n;
    lt_representation_row *stage;
    double relearn_area[LT_N_MODEL_KINDS], relearn_pair; // under forget accuracy; mean difference of two retrained ones
    const char *verdict;                                 // on the area; "" without retrained models
} lt_representation_summary;
// What a report that has this kind says in short.
LT_API lt_status lt_audit_representation(const lt_audit_report *report, lt_representation_summary *summary);
LT_API void lt_representation_summary_clear(lt_representation_summary *summary);

LT_END_DECLS
#endif
