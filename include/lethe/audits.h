// audits.h - audits and comparisons of runs, model files and stored outputs: opened, measured on the same samples,
// judged. What `lethe audit` and `lethe report` do, without the command.
//
// Everything that an order or a spec points to is borrowed until its result is cleared. A result belongs to one thread
// at a time; calls may run concurrently when they share no backend.
#ifndef LT_AUDITS_H
#define LT_AUDITS_H
#include "lethe/class_audit.h"
#include "lethe/comparison.h"
#include "lethe/representation.h"
#include "lethe/runs.h"
#include "lethe/store.h"
LT_BEGIN

// ---- audits of models that forgot the same samples, against the same retrained ones
typedef struct lt_audit_order { // fields may be NULL or 0 unless it says otherwise
    const char *const *run;     // (n_runs), at least one: run directories or model files; or one .npz of outputs
    int n_runs;
    const char *const *oracle; // (n_oracles) of retrained models, of the same kind
    int n_oracles;
    bool of_signals;                   // the names above are .npz files of outputs (lt_signals_open)
    const char *data;                  // data set; NULL = the one that the first run names
    lt_dataset *ds;                    // already open: used where it is the wanted one, instead of opening it again
    const lt_model_fallback *fallback; // for files of other tools
    lt_forget_request forget;          // spec NULL = the forget set of the first run
    const char *original;              // original model, run or file; NULL = the parent of each run, or of the oracles
    const char *original_signals;      // .npz of outputs of the original model: whose risk rose, and verdicts
    const lt_mia_set_spec *attacks;    // needed
    const lt_audit_cfg *audit;         // needed
    const lt_verdict_cfg *verdict;     // needed
    const lt_class_audit_cfg *classes;
    const lt_representation_cfg *representation; // NULL = no representation audit
    bool amun_bound;                             // terms of AMUN's bound, of runs that keep an adversarial set
    const char *scores, *risk, *amun_bound_out;  // files to write, of a single run
    const lt_env *env;                           // needed unless of_signals
} lt_audit_order;
typedef struct lt_audit_result { // owned
    int n;
    const lt_audit_report **report; // (n) of the runs, in their order
    struct lti_audit_job *job;      // private
} lt_audit_result;
// The oracles, data and attacks of the first run serve all of them; each is held against the oracles that were
// retrained for its own original model, and its verdicts against those of that model (lt_audit_judge_original), which
// is measured when there are two oracles or more. The warning "audit.original" says when it cannot be opened,
// "audit.oracles" that oracles of other originals were left out. LT_E_USAGE for orders that contradict themselves and
// for models of different data sets; LT_E_FORMAT where outputs are of other samples; LT_E_INTEGRITY where a parent has
// changed since; errors of opening, of evaluation and of the audit kinds. Clear the result in either case. Emits
// "audit.stage".
LT_API lt_status lt_audit_runs(const lt_audit_order *order, lt_audit_result *result);
LT_API void lt_audit_result_clear(lt_audit_result *result);
// The first report as one object, those of further runs in its list "also"; malloc'ed, NULL = out of memory.
LT_API char *lt_audit_result_json(const lt_audit_result *result);
// LT_E_CHECK when an average gap (MIS) is larger than max_gap (0 = any) or, unless allow_lint, the linter found an
// error.
LT_API lt_status lt_audit_result_check(const lt_audit_result *result, double max_gap, bool allow_lint);

// ---- outputs of reference models, as audits read them
// Writes logits (M,N,K), member (M,N), ids and labels (N) of the samples of the signals file samples_from, in its order
// and with its `group`, or of all samples of the plan when it is NULL or "". *n: their number. LT_E_FORMAT, LT_E_SHAPE
// where the file does not fit the data; errors of lt_ref_signals.
LT_API lt_status lt_reference_outputs(const lt_ref_plan *plan, const lt_ref_env *env, const char *samples_from,
                                      const char *npz, int64_t *n);

// ---- comparison of runs that forgot the same samples
typedef struct lt_compare_spec {
    const char *const *run; // (n_runs) methods, oracles (made by a method that retrains), perhaps the original model;
    int n_runs;             // and directories of request streams, and runs of `lethe quantize`
    lt_dataset *ds;         // as of lt_audit_order
    const lt_model_fallback
        *fallback; // for files of other tools: the original model may be one. NULL = as the runs say
    const lt_mia_set_spec *attacks;
    const lt_audit_cfg *audit;
    const lt_verdict_cfg *verdict; // NULL = defaults
    uint64_t seed;
    const lt_env *env;
} lt_compare_spec;
typedef struct lt_run_comparison { // owned
    lt_comparison comparison;      // rows: no streams, and no quantized runs that forgot nothing
    const lt_dataset *ds;
    lt_dataset *own_ds; // ds, when it was opened here
    lt_sample_sets sets;
    int n_models;
    lt_trained_model *model; // of the rows, in the order they were added
    int n_quantized, n_streams;
    char **quantized, **stream; // directories
} lt_run_comparison;
// All models are measured on the samples that the first run with a forget set has forgotten. The parent of the
// unlearned runs is added as the original where it still exists with the weights they started from; the warning
// "report.parent" says when it does not. LT_E_USAGE for runs given twice, that forgot different samples, or of which
// none forgot anything. Clear it in either case. Emits "audit.stage".
LT_API lt_status lt_compare_runs(const lt_compare_spec *spec, lt_run_comparison *c);
LT_API void lt_run_comparison_clear(lt_run_comparison *c);
LT_API const lt_trained_model *lt_run_comparison_model(const lt_run_comparison *c, const lt_comparison_row *row);
// {"report", "n_forget", "rows", "lint"}: rows as lt_comparison_json. report: where the page was written. malloc'ed,
// NULL = out of memory.
LT_API char *lt_run_comparison_json(const lt_run_comparison *c, const char *report);
// LT_E_CHECK when the linter found an error in a row, unless allow_lint.
LT_API lt_status lt_run_comparison_check(const lt_run_comparison *c, bool allow_lint);
LT_API bool lt_same_path(const char *a, const char *b); // one directory under two names is one

LT_END_DECLS
#endif
