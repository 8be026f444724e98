// runner_impl.h - what the files of the runner share: jobs, what identifies them, and what came out.
//
// Jobs are listed in an order in which every one comes after those it needs. What identifies a job is known when those
// have ended: the runs of a method wait for its tuning, an audit for what there is to audit.
#ifndef LTI_STUDY_RUNNER_IMPL_H
#define LTI_STUDY_RUNNER_IMPL_H
#include "base/base.h"
#include "io/json_read.h"
#include "lethe/study.h"
#include "study/parse.h"
#include <jansson.h>

enum { LTI_STUDY_PATH = 4096 }; // the longest path below the directory of a study fits; checked once

// ---- what a job is made from: the options of a verb that decide its result. How it is run (threads, where its output
// goes) is no part of it, and other jobs are named by their id: directories can be moved.
typedef struct lti_study_field {
    const char *key;          // of the option, without dashes in front; NULL = positional
    const char *value;        // NULL with job NULL = a switch
    const char *job, *suffix; // the value is what another job makes: OUT/job + suffix
} lti_study_field;
typedef struct lti_study_identity {
    const char *verb, *action; // action: of verbs that are several, else NULL
    int n, capacity;
    lti_study_field *field;
    char digest[65];  // of all above
    lti_arena arena;  // of the texts
    bool failed;      // memory ran out
} lti_study_identity; // zero-initialised

typedef struct lti_study_need {
    int job;
    bool soft; // must have ended, need not have succeeded
} lti_study_need;

typedef struct lti_study_job {
    lt_study_kind kind;
    const char *id; // "bases/b1": names directory, record and log below OUT
    int n_needs;
    lti_study_need *need;
    int base, forget; // index in runner->base, runner->forget; -1 = none
    int method, access, point;
    uint64_t seed;
    lt_study_state state;
    bool existing;  // existed before
    bool changed;   // was made now: what depends on it is recomputed
    char made[17];  // names this product: another one has another; "" = made by an older version
    char from[65];  // digest of the products that it is made from
    double passes;  // estimated samples through the model, forward and backward counted as one
    double seconds; // that it took, over all invocations; NAN when not known
    const char *error;
    bool force;  // there is another one of the same name
    bool locked; // by a process that another runner started
    int claim;   // file that is locked while this runner has the job; 0 = none
    int64_t task;
    double start_s;
    double share; // of its training, as a running job last told
    lti_study_identity identity;
} lti_study_job;

typedef struct lti_study_forget_set {
    const lt_study_forget *forget;
    int64_t n, n_retain;
    bool tuning;
} lti_study_forget_set;

struct lt_study_runner {
    lti_arena arena; // every text that stays
    bool failed;     // memory ran out
    lt_study_order order;
    const lt_study *study;
    const lt_dataset *ds;
    char *out;
    int n_workers;
    int n_bases; // of the study, then that of tuning when it is another
    uint64_t *base;
    int n_forget; // of the study, then that of tuning
    lti_study_forget_set *forget;
    int n_jobs, job_capacity;
    lti_study_job *job;
    lt_study_options **point; // (n_methods, LT_N_ACCESS) lists of the settings of a search, with areas as numbers
    int *chosen;              // (n_methods, LT_N_ACCESS) point, or -1
    int n_trials;
    lt_study_trial *trial; // in the order of the study: method, access, point; those that were judged
};

// ---- runner.c: texts that live as long as the runner. When memory runs out: "" and r->failed.
const char *lti_study_text(lt_study_runner *r, const char *fmt, ...) LT_PRINTF(2, 3);
void *lti_study_list(lt_study_runner *r, size_t n, size_t size); // zeroed, NULL with r->failed
char *lti_study_path(const lt_study_runner *r, const char *folder, const char *id, const char *suffix,
                     char out[LTI_STUDY_PATH]);     // OUT/folder/id+suffix; folder may be NULL
const char *lti_study_label(const lt_study *study); // of its file, for messages
const char *lti_study_options_text(lti_arena *arena, const lt_study_options *a,
                                   const lt_study_options *b); // "lr=0.01 epochs=10"; b may be NULL; NULL = no memory
// ---- areas.c
lt_status lti_study_resolve_areas(lt_study_runner *r); // LT_E_USAGE when a method states no default
const lt_study_options *lti_study_point(const lt_study_runner *r, int method, int access, int point);
// ---- jobs.c
lt_status lti_study_make_jobs(lt_study_runner *r);
int lti_study_find_job(const lt_study_runner *r, lt_study_kind kind, int base, int forget); // the first, or -1
bool lti_study_has_ended(const lti_study_job *j);
// ---- identity.c
lt_status lti_study_identify(const lt_study_runner *r, const lti_study_job *j, lti_study_identity *id);
void lti_study_identity_clear(lti_study_identity *id);
// The command that makes it, in the arena; ends with NULL. extra: arguments after it, or NULL.
lt_status lti_study_command(const lti_study_identity *id, const char *out, const char *const *extra, lti_arena *arena,
                            const char *const **args);
// The same with the keys of the identity, which stay when options get other names: as in records of older versions.
lt_status lti_study_old_command(const lti_study_identity *id, const char *out, lti_arena *arena,
                                const char *const **args);
// ---- record.c
typedef struct lti_study_record {
    bool found, same; // same: made from what identifies the job now
    bool moved;       // in a directory of another name: an unfinished run in it cannot be continued
    char state[16], error[LT_ERROR_MESSAGE_MAX], made[17], from[65]; // from "": of an older version
    double seconds;
} lti_study_record;
void lti_study_load_record(const lt_study_runner *r, const lti_study_job *j, lti_study_record *record);
lt_status lti_study_save_record(const lt_study_runner *r, const lti_study_job *j, const char *state);
char *lti_study_product(const lt_study_runner *r, const lti_study_job *j, char out[LTI_STUDY_PATH]); // what it makes
bool lti_study_is_made(const lt_study_runner *r, const lti_study_job *j);
lt_status lti_study_make_parent(const char *path); // the directory it lies in
json_t *lti_study_load_result(const lt_study_runner *r,
                              const char *id); // result.json of a run; NULL when there is none
// ---- check.c: settles a waiting job that is finished already or cannot run. *ready: it is to be run now.
lt_status lti_study_check_job(lt_study_runner *r, lti_study_job *j, bool *ready);
void lti_study_settle(lt_study_runner *r, lti_study_job *j, lt_study_state state, const char *error);
lt_status lti_study_finish(lt_study_runner *r, lti_study_job *j, bool existing);
bool lti_study_judges(const lti_study_job *j);                           // its product is what the audit says
void lti_study_name_product(const lt_study_runner *r, lti_study_job *j); // a new one: fills made
// ---- claim.c: who works in a directory, and on a job
lt_status lti_study_lock_dir(const lt_study_runner *r, int *lock); // LT_E_BUSY
void lti_study_unlock_dir(int lock);
lt_status lti_study_claim(const lt_study_runner *r, lti_study_job *j); // LT_E_BUSY: another runner has it
void lti_study_release(lti_study_job *j);
lt_status lti_study_keep_file(const lt_study_runner *r); // the study as OUT/study.yaml
// ---- progress.c
bool lti_study_makes_run(const lti_study_job *j);
void lti_study_report_progress(lt_study_runner *r, bool force, double *last_s); // at most a few times a second
// ---- choose.c
lt_status lti_study_choose(lt_study_runner *r, const lti_study_job *choice); // reads the audit; fills chosen, trial
double lti_study_objective(const char *objective, const json_t *base, const json_t *figures);
// ---- estimate.c
void lti_study_estimate(lt_study_runner *r);
lt_status lti_study_recipe(const lt_study *study, lti_study_training *recipe); // of its original models
// ---- results. Texts and lists are in the arena of the result.
typedef struct lti_study_own {
    lti_arena arena;
    bool failed;
} lti_study_own;
const char *lti_result_text(lt_study_result *x, const char *fmt, ...) LT_PRINTF(2, 3); // "" when memory runs out
const char *lti_result_copy(lt_study_result *x, const char *text);                     // NULL stays NULL
void *lti_result_list(lt_study_result *x, size_t n, size_t size);
lt_status lti_result_begin(lt_study_result *x);
lt_status lti_result_check(const lt_study_result *x);                     // LT_E_NOMEM when memory ran out before
lt_status lti_study_metrics(lt_study_result *x, bool has_classes);        // metrics.c: fills metric
int lti_study_metric_index(const lt_study_result *x, const char *column); // -1 = none
double lti_study_gap(const json_t *figures, const json_t *oracles, const char *mia);    // rows.c, [AMUN 7.6]
lt_status lti_study_rows(const lt_study_runner *r, lt_study_result *x, json_t *audits); // rows.c: fills row
bool lti_study_is_row_of(const lt_study_row *row, lt_study_role role, const char *method, const char *access);
// result_files.c: of summary.json. LT_E_FORMAT.
lt_status lti_study_result_parse(const char *text, size_t n, const char *label, lt_study_result *result);
// compare.c: runs of one method against retraining
lt_status lti_study_verdict_cfg(const lt_study *study, lt_verdict_cfg *cfg);
lt_status lti_study_band(const lt_study_runner *r, const lt_study_result *x, const lt_verdict_cfg *cfg, int metric,
                         lt_study_band *band);
// Fills the test of every judged metric; NULL method: the originals.
lt_status lti_study_compare(const lt_study_runner *r, const lt_study_result *x, const lt_verdict_cfg *cfg,
                            lt_study_summary *s);
// lint.c: of the study itself, and what its audits say
lt_status lti_study_lint(const lt_study *study, const json_t *audits, lt_study_result *x);
// tables.c; malloc'ed, NULL = out of memory
char *lti_study_rows_csv(const lt_study_result *x);
char *lti_study_trials_csv(const lt_study_result *x);
char *lti_study_chosen_json(const lt_study_result *x);
char *lti_study_markdown(const lt_study_result *x);
#endif
