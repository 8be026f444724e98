// sweep.h - what the files of `lethe sweep` share: the parts of a study, how they run, and what comes out.
//
// A part is one invocation of another verb. Parts are listed in an order in which every one comes after those it needs;
// what their arguments are is known when those are settled (the runs of a method wait for its tuning).
#ifndef LETHE_CLI_SWEEP_H
#define LETHE_CLI_SWEEP_H
#include "cli.h"
#include <sys/types.h>

typedef enum sweep_kind {
    SWEEP_BASE,       // trains an original model
    SWEEP_ORACLE,     // retrains without a forget set
    SWEEP_REFERENCES, // trains the missing reference models of the store
    SWEEP_OUTPUTS,    // their outputs on the samples of one forget set
    SWEEP_POINT,      // unlearning with one setting of a search
    SWEEP_TUNE,       // audits the settings of one method and access; the best is chosen
    SWEEP_RUN,        // unlearning that is evaluated
    SWEEP_AUDIT,      // audits all that was made from one original model and forget set
    SWEEP_N_KINDS
} sweep_kind;

typedef enum sweep_state {
    SWEEP_WAITING,
    SWEEP_RUNNING,
    SWEEP_DONE,
    SWEEP_UNFIT,   // a setting that diverges or changes nothing: an answer, not a failure
    SWEEP_FAILED,  // with an error of its own
    SWEEP_BLOCKED, // something it needs has failed
    SWEEP_STOPPED, // interrupted, or never begun because the sweep was
} sweep_state;

typedef struct sweep_dep {
    int part;
    bool soft; // must be settled, need not have succeeded
} sweep_dep;

typedef struct sweep_part {
    sweep_kind kind;
    char *id; // "bases/b1": names directory, record and log below OUT
    int n_deps;
    sweep_dep *dep;
    int base, forget; // index in sweep.base, sweep.forget; -1 = none
    int method, access, point, repetition;
    uint64_t seed;
    sweep_state state;
    bool existing;  // was there before
    bool changed;   // was made now: what depends on it is made again
    double passes;  // estimated samples through the model, forward and backward counted as one
    double seconds; // that it took, over all invocations; NAN when not known
    char *error;
    bool force; // there is another one of the same name
    bool held;  // by a process that an earlier sweep started
    pid_t pid;
    double start_s;
    cli_list args; // with OUT; what it is recognised by has $OUT in its place
} sweep_part;

typedef struct sweep_forget {
    const lt_study_forget *forget;
    int64_t n, n_retain;
    bool tuning;
} sweep_forget;

typedef struct sweep {
    cli_call *call;
    const lt_study *study;
    const lt_dataset *ds;
    const char *out;
    int n_jobs;
    int n_bases; // of the study, then that of tuning when it is another
    uint64_t *base;
    int n_forget; // of the study, then that of tuning
    sweep_forget *forget;
    int n_parts;
    sweep_part *part;
    int *chosen;   // (n_methods, LT_N_ACCESS) point, or -1
    json_t *tuned; // rows of tuning.csv
} sweep;

// ---- sweep_grid.c
void sweep_grid_build(sweep *s);
void sweep_clear(sweep *s);
char *sweep_path(const sweep *s, const char *folder, const char *id, const char *suffix); // OUT/folder/id+suffix
char *sweep_dir(const sweep *s, const sweep_part *p);                                     // OUT/id
int sweep_find(const sweep *s, sweep_kind kind, int base, int forget);                    // first such part, or -1
bool sweep_settled(const sweep_part *p);
// ---- sweep_args.c
void sweep_make_args(const sweep *s, const sweep_part *p, cli_list *args);
// ---- sweep_record.c
json_t *sweep_load_record(const sweep *s, const sweep_part *p); // NULL when there is none
lt_status sweep_save_record(const sweep *s, const sweep_part *p, const char *state);
bool sweep_same_args(const sweep *s, const sweep_part *p, const json_t *record);
char *sweep_product(const sweep *s, const sweep_part *p); // path of what it makes
bool sweep_is_made(const sweep *s, const sweep_part *p);
lt_status sweep_make_parent(const char *path); // the directory it lies in
// ---- sweep_run.c
// Settles a waiting part that is there already or cannot run. True: it is to be run now.
bool sweep_look(sweep *s, sweep_part *p);
lt_status sweep_execute(sweep *s);
// ---- sweep_choose.c
double sweep_objective(const sweep *s, const json_t *base, const json_t *point);
lt_status sweep_choose(sweep *s, const sweep_part *tune); // reads the audit, fills chosen and tuned
// ---- sweep_cost.c
void sweep_estimate(sweep *s);
lt_status sweep_dry_run(sweep *s, bool measure, json_t **result);
void sweep_print_dry_run(const json_t *r, FILE *out);
// ---- sweep_table.c
lt_status sweep_collect(sweep *s, json_t **summary); // writes the tables
void sweep_print_summary(const json_t *r, FILE *out);
extern const char *const sweep_kind_text[SWEEP_N_KINDS];
const char *sweep_state_text(const sweep_part *p);
// ---- sweep_csv.c
char *sweep_csv(const json_t *rows, const char *const *column, int n_columns); // malloc'ed text
#endif
