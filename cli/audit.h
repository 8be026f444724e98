// audit.h - what the files of `lethe audit` share: attacks with their options, audited models, verdicts, risk lists.
#ifndef LETHE_CLI_AUDIT_H
#define LETHE_CLI_AUDIT_H
#include "cli.h"

// ---- audit_mia.c
typedef struct cli_attacks { // those chosen, in order; the first is the one of the risk list
    int n;
    const lt_mia **mia;
    void **cfg;            // borrowed from the call
    lt_mia_tuning *choice; // (n) what each chose on the reference models
    lt_references *refs;   // or NULL
    uint64_t seed;
    int n_threads;
} cli_attacks;
lt_status cli_attacks_bind(cli_call *call);             // every attack's rows as --ATTACK.OPTION
void cli_attacks_help(const cli_call *call, FILE *out); // list and options
// which: names separated by commas; NULL or "" = all that the references allow. references: npz path or NULL.
lt_status cli_attacks_open(cli_call *call, const char *which, const char *references, const lt_signals *target,
                           cli_attacks *attacks);
void cli_attacks_clear(cli_attacks *attacks);
void cli_attacks_defaults(cli_call *call); // for verbs that have not bound the rows: every attack's defaults

typedef struct cli_audited { // one model and all its figures
    lt_signals *signals;
    lt_audit audit;
    int n_scores;
    double **score;      // (n_scores, N) in the order of the attacks
    lt_mia_metrics *mia; // (n_scores)
    json_t *json;        // the same figures
} cli_audited;
// Takes the signals, also when it fails. Attacks are left out when `attacks` is NULL.
lt_status cli_audited_measure(const cli_attacks *attacks, const lt_audit_cfg *cfg, lt_signals *s, cli_audited *out);
void cli_audited_clear(cli_audited *a);
lt_status cli_scores_save(const cli_attacks *attacks, const cli_audited *target, const char *npz);
json_t *cli_references_json(const cli_attacks *attacks, const lt_signals *target); // count, one attacked by the rest

// The metrics that have a verdict, by their path in the result.
enum { CLI_METRIC_PATH = 64 };
typedef struct cli_metric {
    char path[CLI_METRIC_PATH];
    double resolution; // one over the samples of the smallest group it is made from
} cli_metric;
cli_metric *cli_metrics(const cli_attacks *attacks, const lt_audit *a, int *n); // freed by the caller

// ---- audit_verdict.c: adds "avg_gap" of every attack, "interval", "null_band" and "verdict" to result
lt_status cli_verdict_put(const cli_attacks *attacks, const cli_audited *target, const cli_audited *oracle,
                          int n_oracles, const lt_verdict_cfg *cfg, uint64_t seed, json_t *result);

// ---- audit_depth.c: what the stages of the network still tell; for runs
typedef struct cli_depth {
    const cli_source *source; // the audited run
    const char *original;     // run or file; NULL or "" = the parent of the run, if it has one
    const cli_list *oracles;
    const lt_dataset *ds;
    const cli_sets *sets;
    const lt_representation_cfg *cfg;
    const lt_verdict_cfg *verdict;
    uint64_t seed;
} cli_depth;
lt_status cli_depth_check(const cli_depth *in); // what can be refused before the work starts
lt_status cli_depth_json(cli_call *call, const cli_depth *in, json_t **out);
void cli_depth_print(const json_t *depth, FILE *out);

// ---- audit_risk.c
// before may be NULL. csv: file to write, or NULL. NULL = no attack was run (no list, no error).
lt_status cli_risk(const cli_attacks *attacks, const cli_audited *target, const lt_signals *before, const char *csv,
                   json_t **out);

// ---- audit_theorem.c: diagnostics of AMUN's theorem
typedef struct cli_theorem_ask {
    const cli_source *source; // audited run
    const lt_dataset *ds;
    char *const *oracle; // runs
    int n_oracles;
    const char *npz; // file to write per sample, or NULL
    json_t *lint;
} cli_theorem_ask;
// *out = NULL when the run keeps no adversarial set, or its base is not there (then with a note).
lt_status cli_theorem(cli_call *call, const cli_theorem_ask *ask, json_t **out);
void cli_theorem_print(const json_t *diagnostics, FILE *out);

// ---- lint_signals.c: what arrays alone give away
void cli_lint_signals(json_t *lint, const lt_signals *s);
void cli_lint_scores(json_t *lint, const cli_attacks *attacks, const cli_audited *target, const json_t *result);
void cli_lint_references(json_t *lint, const lt_references *refs, const lt_signals *target);
void cli_lint_oracles(json_t *lint, const cli_audited *oracle, char *const *name, int n);
void cli_lint_stale(json_t *lint, const cli_source *target, const lt_audit *a);
bool cli_same_samples(const lt_signals *a, const lt_signals *b);
bool cli_same_outputs(const lt_signals *a, const lt_signals *b);
// Accuracy on test samples of classes that were not forgotten as a whole; NAN when no class was.
double cli_other_classes_acc(const lt_signals *s, int *n_forgotten_classes);
#endif
