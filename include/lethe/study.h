// study.h - a whole study as one YAML file: what is trained, forgotten, tuned, retrained and audited (docs/sweeps.md).
//
// Parsing reads nothing but the text: names of methods, attacks and options are checked here, data and models by who
// runs the study. Random points of a search are drawn here, so a study is a pure function of its file.
//
// A runner makes jobs of a study, has an executor run those that are not finished, and sums up what they found. Jobs
// are ordinary runs and audits below one directory, so another runner continues where one ended.
//
// Threads: a parsed study is immutable and may be shared; a runner and its result belong to one thread at a time.
#ifndef LT_STUDY_H
#define LT_STUDY_H
#include "lethe/audit.h"
#include "lethe/executor.h"
#include "lethe/lint.h"
#include "lethe/unlearn.h"
LT_BEGIN

typedef struct lt_study_option { // as `--key=value` of the verb it belongs to; key with dashes, value canonical
    const char *key, *value;
} lt_study_option;
typedef struct lt_study_options {
    int n;
    lt_study_option *option;
} lt_study_options;

typedef struct lt_study_seeds {
    int n;
    uint64_t *seed;
} lt_study_seeds;

typedef struct lt_study_forget {
    const char *spec; // as for lt_forget_parse
    uint64_t seed;
    const char *name;     // serves as a file name; differs between the forget sets of a study
    lt_study_seeds bases; // original models that forget it; n 0 = all of the study
    int line;
} lt_study_forget;

enum { LT_ACCESS_RETAIN, LT_ACCESS_FORGET_ONLY, LT_N_ACCESS };
LT_API const char *lt_access_text(int access); // "retain", "forget-only"

typedef struct lt_study_method {
    const char *name; // serves as a file name
    const lt_unlearn_method *method;
    bool access[LT_N_ACCESS]; // settings it is run in: those asked for that the method supports
    lt_study_options options; // of every run
    int n_points;             // 0 = nothing to tune
    lt_study_options *point;  // (n_points) grid points in order (last option fastest), then random ones; all different
    int n_grid;               // the first so many points are of the grid
    int line;
} lt_study_method;

typedef struct lt_study_oracles {
    lt_study_seeds seeds;
    bool shared; // one set of oracles per forget set; else one per original model and forget set
} lt_study_oracles;

typedef struct lt_study_references { // count 0 = none
    int32_t count;
    uint64_t seed, keep_seed;
    const char *store;      // NULL = the user's
    lt_study_options train; // recipe, complete
} lt_study_references;

typedef struct lt_study_tuning { // where hyper-parameters are chosen; spec NULL = nothing is tuned
    uint64_t base, seed;         // of the original model; of unlearning
    lt_study_forget forget;
    lt_study_seeds oracles;
    const char *objective; // "no-oracle", "gap-mis", "gap-auc" or "gap-ATTACK"
    bool uses_oracle;
    int32_t budget; // most points of a method
} lt_study_tuning;

typedef struct lt_study {
    const char *name, *data, *model; // name may be NULL
    int data_line, model_line;
    lt_study_options train, audit;
    const char *attacks; // names separated by commas, NULL = all that the references allow
    lt_study_seeds bases, repetitions;
    int n_forget, n_methods;
    lt_study_forget *forget;
    lt_study_method *method;
    lt_study_oracles oracles;
    lt_study_references references;
    lt_study_tuning tuning;
    void *own;
} lt_study;

// LT_E_FORMAT for text that is no YAML or a value of the wrong kind, LT_E_USAGE for unknown keys, methods, attacks and
// options and for values out of range; the message begins with LABEL:LINE. Aliases are refused.
LT_API lt_status lt_study_parse(const char *text, size_t n, const char *label, lt_study **study);
LT_API lt_status lt_study_open(const char *path, lt_study **study); // files up to 1 MiB
LT_API void lt_study_close(lt_study *study);                        // NULL is fine

// Seed of the oracle `seed` of an original model: the seeds of a study are per original model unless shared, so that no
// two oracles are the same network.
LT_API uint64_t lt_study_oracle_seed(uint64_t base, uint64_t seed);

// ---- jobs: each is one invocation of a verb of the command

typedef enum lt_study_kind {
    LT_STUDY_BASE,       // trains an original model
    LT_STUDY_ORACLE,     // retrains without a forget set
    LT_STUDY_REFERENCES, // trains the missing reference models of the store
    LT_STUDY_OUTPUTS,    // their outputs on the samples of one forget set
    LT_STUDY_TRIAL,      // unlearning with one setting of a search
    LT_STUDY_CHOICE,     // audits the settings of one method and access; the best is chosen
    LT_STUDY_RUN,        // unlearning that is evaluated
    LT_STUDY_AUDIT,      // audits all that was made from one original model and forget set
    LT_STUDY_N_KINDS
} lt_study_kind;
LT_API const char *lt_study_kind_text(lt_study_kind kind); // "original model"

typedef enum lt_study_state {
    LT_STUDY_WAITING,
    LT_STUDY_RUNNING,
    LT_STUDY_DONE,
    LT_STUDY_UNFIT,   // a setting that diverges or changes nothing: an answer, not a failure
    LT_STUDY_FAILED,  // with an error of its own
    LT_STUDY_BLOCKED, // something it needs has failed
    LT_STUDY_STOPPED, // interrupted, or never begun because the runner was
    LT_STUDY_N_STATES
} lt_study_state;
LT_API const char *lt_study_state_text(lt_study_state state); // "missing", "running", "done", ...

typedef struct lt_study_order {
    const lt_study *study;
    const lt_dataset *ds;  // opened from study->data
    const char *out;       // directory of the study, which need not exist
    lt_executor *executor; // of the jobs; its capacity is the number of workers
    bool join;             // other runners work in the directory, too: jobs that they have begun are waited for
    lt_events *events;     // PROGRESS "sweep.parts"; may be NULL
    const lt_interrupt_flag *stop;
} lt_study_order;
typedef struct lt_study_runner lt_study_runner;
// Everything in the order is borrowed. Checks what parsing cannot: model and forget sets against the data, with the
// file's name and line in front of the message. Writes nothing. One thread.
LT_API lt_status lt_study_runner_create(const lt_study_order *order, lt_study_runner **runner);
LT_API void lt_study_runner_destroy(lt_study_runner *runner); // NULL is fine

// ---- before it runs
typedef struct lt_study_estimate {
    int n, n_done;
    double passes; // samples through the model that are missing, forward and backward counted as one
    double core_s; // seconds of one worker; NAN = the speed is not known
} lt_study_estimate;
typedef struct lt_study_job {
    const char *id; // "bases/b1"
    lt_study_kind kind;
    lt_study_state state;
    double passes, core_s;
} lt_study_job;
typedef struct lt_study_plan {
    char *out;
    int n_workers, n_jobs, n_missing;
    const char *rate_from; // "finished parts", "measured", "none"
    double passes_per_core_s, core_s, wall_s;
    lt_study_estimate kind[LT_STUDY_N_KINDS];
    lt_study_job *job; // (n_jobs)
    void *own;
} lt_study_plan;
// What there is and what is missing. measure: time a few steps on `backend` when no finished job tells the speed.
// Writes nothing.
LT_API lt_status lt_study_plan_make(lt_study_runner *runner, bool measure, const char *backend, lt_study_plan *plan);
LT_API char *lt_study_plan_json(const lt_study_plan *plan); // malloc'ed, NULL = out of memory
LT_API void lt_study_plan_clear(lt_study_plan *plan);

// ---- the run
// Runs every job that is not finished. Jobs that fail do not stop the others and are no error of the call: they are in
// the result. Writes DIR/study.yaml, parts/ (what each job was made from, and how it ended), logs/. LT_E_BUSY while
// another runner works in the directory, unless both join; LT_E_INTERRUPTED when it was stopped: jobs have written
// checkpoints, and the same order continues. LT_E_IO, LT_E_NOSPACE.
LT_API lt_status lt_study_run(lt_study_runner *runner);

// ---- what came out
typedef struct lt_study_metric {
    const char *column, *title; // "rmia_ft_auc", "RMIA FT AUC"
    const char *path;           // in the results of audits, or in their class audits
    const lt_mia *attack;       // NULL = of none
    bool judged;                // enters the verdict
    bool gap;                   // the average gap with the metric at `path` in the place of the MIS
    bool of_classes;            // of studies that forget whole classes
    bool ranked;                // methods have ranks by it: the smallest first
} lt_study_metric;
typedef enum lt_study_role { LT_STUDY_ORIGINAL, LT_STUDY_RETRAINED, LT_STUDY_METHOD } lt_study_role;
LT_API const char *lt_study_role_text(lt_study_role role); // "original", "oracle", "method"

enum { LT_STUDY_SEARCH, LT_STUDY_MASK, LT_STUDY_UPDATE, LT_STUDY_EVAL, LT_STUDY_N_COSTS };
typedef struct lt_study_row { // one audited model; texts are borrowed from the result
    lt_study_role role;
    uint64_t base, forget_seed, repetition; // repetition: not of originals
    const char *forget, *method, *access;   // access: of methods, else NULL
    const char *options, *run, *lint;       // lint: ids of its warnings, NULL for oracles
    const char *verdict, *verdict_ua, *verdict_ra, *verdict_ta, *verdict_mis; // NULL for oracles
    int n_oracles;
    int cell;                                                     // its (original model, forget set)
    double *value;                                                // (n_metrics); NAN = not measured
    double forward[LT_STUDY_N_COSTS], backward[LT_STUDY_N_COSTS]; // samples; NAN = not known; not of EVAL
    double seconds[LT_STUDY_N_COSTS];
} lt_study_row;

typedef struct lt_study_value { // of several runs
    int n;                      // that have it; 0 = none
    double mean, sd, low, high; // low, high: 95 % bootstrap interval of the mean; NAN where there is none
    bool is_compared;           // with retraining: the test
    lt_equivalence test;
} lt_study_value;
typedef struct lt_study_summary { // all models of one method and access setting
    lt_study_role role;
    const char *method, *access, *options; // access, options: of methods, else NULL
    bool tuned_on_oracle;                  // its learning-rate area was chosen by comparison with retrained models
    int n_runs, n_bases, n_forget_sets, n_seeds;
    lt_study_value *value; // (n_metrics)
    int *rank; // (n_metrics) by mean gap among the methods of its access setting; 0 = none. Where whole classes are
               // forgotten, only methods that pass the gate have one [class-audit 4]
    const char *verdict;           // of all metrics together; NULL for oracles
    int n_verdicts[LT_N_VERDICTS]; // of single runs, by lt_verdict
} lt_study_summary;
typedef struct lt_study_band { // retraining against retraining
    bool is_known;
    double sd, half_width; // of a metric
    int df;
    lt_study_value gap; // of a gap: each oracle to the others
} lt_study_band;
typedef struct lt_study_trial { // one setting of a search
    const char *method, *access, *options, *run, *error;
    int point;
    bool is_random, is_chosen;
    double value; // of the objective; NAN = unfit
    double ua, ra, ta, mis, phi_ft_auc, gap_mis, gap_auc, n_forward, n_backward, update_s;
    lt_study_state state;
} lt_study_trial;
typedef struct lt_study_failure {
    const char *id, *error;
    lt_study_state state;
} lt_study_failure;
typedef struct lt_study_result {                         // owned
    const char *name, *data, *data_digest, *model, *out; // name: NULL = none
    int n_bases, n_forget_sets, n_repetitions, n_oracles, n_references;
    int n_metrics, n_rows, n_summaries, n_trials, n_failures;
    lt_study_metric *metric;
    lt_study_row *row;
    lt_study_summary *summary;
    lt_study_band *band; // (n_metrics)
    lt_study_trial *trial;
    lt_study_failure *failure;
    const char *objective, *tuning_forget; // of tuning; objective NULL = nothing was tuned
    bool uses_oracle;
    int n_tried; // settings
    uint64_t tuning_base, tuning_forget_seed;
    lt_lint lint;
    int n_jobs, n_existing, n_in_state[LT_STUDY_N_STATES]; // existing: before this call
    void *own;
} lt_study_result;
// Sums up the finished jobs; writes nothing. LT_E_FORMAT for an audit that is none.
LT_API lt_status lt_study_summarize(const lt_study_runner *runner, lt_study_result *result);
// results.csv, tuning.csv, chosen.json, summary.json, summary.md in result->out.
LT_API lt_status lt_study_result_write(const lt_study_result *result);
// From summary.json, without data and models; row and trial stay empty. LT_E_INPUT, LT_E_FORMAT.
LT_API lt_status lt_study_result_read(const char *out, lt_study_result *result);
LT_API bool lt_is_study_dir(const char *dir); // has study.yaml; finished or not
LT_API void lt_study_result_clear(lt_study_result *result);
LT_API char *lt_study_result_json(const lt_study_result *result); // with "out"; malloc'ed, NULL = out of memory
// LT_E_FAIL when jobs failed or could not begin: names the first, says how many.
LT_API lt_status lt_study_result_check(const lt_study_result *result);
LT_API char *lt_study_default_out(const char *file); // sweeps/NAME for .../NAME.yaml; malloc'ed, NULL = out of memory

LT_END_DECLS
#endif
