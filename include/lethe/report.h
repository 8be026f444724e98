// report.h - the self-contained HTML report: tables and inline SVG, readable without scripts; and single PNG files.
//
// Threads: calls may run concurrently when they write different files; what they read may be shared. Calls that open
// models use the backend of their lt_env alone.
#ifndef LT_REPORT_H
#define LT_REPORT_H
#include "lethe/audits.h"
#include "lethe/dataset_info.h"
#include "lethe/ensemble.h"
#include "lethe/robust.h"
#include "lethe/study.h"
LT_BEGIN

typedef struct lt_report_metric {    // one figure, compared with retraining; all are fractions
    const char *key, *title;         // "rmia.ft_auc", "RMIA AUC forget / test"
    double mean;                     // of the oracles; NaN = there is none
    lt_interval null_band;           // where one further retrained model falls; NaN = fewer than two oracles
    const double *oracle_difference; // each oracle minus the mean of the others; NULL = fewer than two
    int n_oracle_differences;
    bool chart; // has a chart of its own in the page; every metric is in its tables
} lt_report_metric;
typedef struct lt_report_value {
    double value;         // NaN = not measured
    lt_interval interval; // over the draw of the samples; NaN = not known
    const char *verdict;  // of lt_verdict_text; NULL = there is none
} lt_report_value;
enum { LT_COST_SEARCH, LT_COST_MASK, LT_COST_UPDATE, LT_N_COSTS };
typedef struct lt_report_cost { // NaN = not known
    double seconds[LT_N_COSTS], eval_s;
    double forward[LT_N_COSTS], backward[LT_N_COSTS]; // samples through passes
} lt_report_cost;

typedef struct lt_report_row {  // one model
    const char *name, *setting; // "AMUN", "with retain data"
    lt_row_role role;
    lt_audit audit;
    lt_audit_summary summary;  // gaps NaN = oracle or not computed; seconds NaN = unknown
    const lt_signals *signals; // histograms, matrices, ROC; may be NULL
    const char *run_dir;
    // All of the following may be NULL.
    const char *seed;             // as text
    const char *group;            // rows of equal group are one method under several seeds
    const lt_report_value *value; // (n_metrics)
    const double *const *score;   // (n_attacks) x (signals->n), larger = more likely a member; one attack may be NULL
    const char *verdict;          // of all metrics together
    const lt_report_cost *cost;
    const char *const *facts; // key, value, ..., NULL: what the run was made from
} lt_report_row;
typedef struct lt_report_curve { // one training curve
    const char *name;
    int n;
    const double *epoch, *loss, *train_acc, *test_acc; // fractions; test_acc may be NULL or hold NaN
} lt_report_curve;

typedef struct lt_report_lint {
    int row; // -1 = all of the page
    lt_severity severity;
    const char *id, *text;
} lt_report_lint;

// Depth of forgetting: three models of one row. NaN and n_retrained 0 = not measured.
typedef struct lt_report_by_model {
    double original, unlearned;
    const double *retrained; // (n_retrained)
    int n_retrained;
} lt_report_by_model;
typedef struct lt_report_probe { // a linear probe on the activations of one stage
    const char *stage;
    lt_report_by_model membership_auc, class_acc; // fractions
} lt_report_probe;
typedef struct lt_report_cka { // similarity of representations, 0 to 1
    const char *stage;
    double to_original, retrained_pair; // retrained_pair: two retrained models with one another
    const double *to_retrained;         // (n_retrained)
    int n_retrained;
} lt_report_cka;
typedef struct lt_report_relearn { // accuracy while the forgotten samples are relearned; each curve (n)
    const double *original, *unlearned;
    const double *const *retrained; // (n_retrained)
    int n_retrained;
} lt_report_relearn;
typedef struct lt_report_representation {
    int row;
    const lt_report_probe *probe;
    int n_probes;
    const lt_report_cka *cka;
    int n_cka;
    const double *step; // (n_steps)
    int n_steps;
    lt_report_relearn forget_acc, test_acc; // fractions
} lt_report_representation;

typedef struct lt_report_stream { // requests served one after another
    const char *name, *run_dir;
    int n;
    const double *current, *cumulative; // (n) AUC retain/forget minus AUC forget/test; NaN = not measured
} lt_report_stream;

typedef struct lt_report_attack { // one evaluation of robustness
    const char *model, *attack;
    const lt_robust_result *result;
    const double *radius, *robust_acc; // (n_radii) of lt_robust_curve; may be NULL
    int n_radii;
} lt_report_attack;

enum { LT_REPORT_MAX_SECTIONS = 32 };
typedef struct lt_report_spectra { // norms of a model's layers; the first is the one that others are compared with
    const char *name;
    const lt_spectra *spectra;
} lt_report_spectra;

typedef struct lt_report_ensemble {
    const char *name;
    const lt_ensemble_eval *result;
} lt_report_ensemble;

typedef struct lt_report_spec {
    const char *title, *subtitle;
    const char *note;         // a paragraph under the title: what was done, on which data; may be NULL
    const char *const *facts; // key, value, ..., NULL; may be NULL
    const lt_report_row *rows;
    int n_rows;
    const lt_report_curve *curves;
    int n_curves;
    // strip of forget images and their adversarial examples: n_pairs x (C,H,W) floats in [0,1], C = 1 or 3
    int n_pairs, c, h, w;
    const float *clean, *adv;
    const char *const *pair_text; // n_pairs captions
    const char *withheld;         // instead of pictures: why there are none, and where what they show lies; or NULL
    const lt_report_metric *metrics;
    int n_metrics;
    const char *const *attacks; // titles of what row.score holds
    int n_attacks;
    uint64_t seed;                  // of the draws behind the bands of ROC curves
    const char *const *class_names; // (K) of the signals; NULL = numbers
    const lt_report_lint *lint;
    int n_lint;
    const lt_report_representation *depth;
    int n_depth;
    const lt_report_stream *streams;
    int n_streams;
    const lt_report_attack *robust;
    int n_robust;
    const lt_report_spectra *spectra;
    int n_spectra;
    const lt_report_ensemble *ensembles;
    int n_ensembles;
    void *own[LT_REPORT_MAX_SECTIONS]; // data of sections that have no field of their own
} lt_report_spec;
// A report made from runs: the comparison, and what the directories of its rows hold beyond it (options, costs, curves,
// adversarial sets, earlier audits).
typedef struct lt_report_source {
    const char *title;               // NULL = that of the study
    uint64_t seed;                   // of the draws behind the bands of ROC curves
    const lt_comparison *comparison; // labelled and judged; n = 0 when there are streams alone
    const lt_dataset *ds;            // of the comparison; may be NULL without rows
    int64_t n_forget;
    const lt_model *model;     // of the first row
    const char *const *facts;  // key, value, ..., NULL: what else to say of the whole; may be NULL
    const char *const *audits; // files of `lethe audit --json` of these runs; RUN/audit.json is read in any case
    int n_audits;
    const char *const *streams; // directories of requests served one after another
    int n_streams;
    const char *const *quantized; // runs of `lethe quantize`
    int n_quantized;
    bool with_images;             // pictures of forgotten samples may be on the page
    const lt_study_result *study; // a page of a study: means over its runs, instead of a comparison; may be NULL
} lt_report_source;
typedef struct lt_report lt_report; // owns what its spec points to, but for the source
// LT_E_FORMAT for audits that are none, LT_E_USAGE for audits of other runs, errors of lt_adv_set_open.
LT_API lt_status lt_report_from_runs(const lt_report_source *source, lt_report **report);
LT_API const lt_report_spec *lt_report_get(const lt_report *report);
LT_API void lt_report_destroy(lt_report *report); // NULL is fine

// ---- the report of runs, and its files
typedef struct lt_report_options {
    const char *title;
    uint64_t seed;             // of the draws behind the bands of ROC curves
    bool with_images;          // pictures of forgotten samples may be on the page
    const char *const *audits; // (n_audits) files of `lethe audit --json`
    int n_audits;
    const lt_backend *backend; // named on the page; may be NULL
} lt_report_options;
// The comparison must outlive the report. Errors as of lt_report_from_runs.
LT_API lt_status lt_report_compare(const lt_run_comparison *c, const lt_report_options *options, lt_report **report);
typedef enum lt_report_format { LT_REPORT_HTML, LT_REPORT_CSV, LT_REPORT_MARKDOWN } lt_report_format;
typedef struct lt_report_files { // paths; NULL = not written
    const char *page;
    lt_report_format format;    // of page: HTML, or all its numbers as CSV or Markdown
    const char *markdown, *csv; // the comparison alone
} lt_report_files;
LT_API lt_status lt_report_write(const lt_report *report, const lt_report_files *to);
// The page of a study, made and written. title NULL = that of the study.
LT_API lt_status lt_report_study(const lt_study_result *study, const char *title, const lt_report_files *to);

// One file, no scripts, nothing fetched; written atomically. All text of the spec is escaped.
LT_API lt_status lt_report_html(const lt_report_spec *spec, const char *path);
LT_API char *lt_report_markdown(const lt_report_spec *spec); // the comparison; malloc'ed, NULL when out of memory
LT_API char *lt_report_csv(const lt_report_spec *spec);      // the comparison, fractions in full precision
// Every number of the tables and points of the page, malloc'ed, NULL when out of memory. Markdown: one table per
// section. CSV: one number a line with the columns section, model, setting, seed, run, quantity, value, low, high,
// text; fractions in full precision.
LT_API char *lt_report_all_markdown(const lt_report_spec *spec);
LT_API char *lt_report_all_csv(const lt_report_spec *spec);

// The first adversarial examples of a result: image, example and magnified difference above one another, in one
// picture. hidden: (n) samples that are not to be shown, such as forgotten ones (lt_attack_record); may be NULL.
// LT_E_FAIL when there is none to show.
LT_API lt_status lt_robust_picture(const lt_robust_result *r, const uint8_t *hidden, const char *path);

LT_END_DECLS
#endif
