// audit.h - what verbs that audit share: options of membership attacks, comparisons of runs, tables.
#ifndef LETHE_CLI_AUDIT_H
#define LETHE_CLI_AUDIT_H
#include "cli.h"

// ---- audit_options.c: membership attacks on the command line
lt_status cli_attacks_bind(cli_call *call);             // every attack's rows as --ATTACK.OPTION
void cli_attacks_help(const cli_call *call, FILE *out); // list and options
// What lt_mia_set_open takes. cfg: room for the pointers, one per registered attack.
lt_mia_set_spec cli_attacks_spec(const cli_call *call, const char *which, const char *references, void **cfg);
enum { CLI_MAX_ATTACKS = 64 };

// ---- audit_print.c: tables of a result
void cli_audit_print(const lt_audit_report *report, const json_t *result, FILE *out); // result: its JSON
void cli_lint_print(const json_t *lint, FILE *out);

// ---- comparison.c: comparisons of runs
typedef struct cli_compare_options {
    const char *const *runs;
    int n_runs;
    const lt_model_fallback *file;    // of model files among them
    const char *attacks, *references; // as of `lethe audit`; NULL = default
    const lt_audit_cfg *audit;
    const lt_verdict_cfg *verdict; // NULL = defaults
} cli_compare_options;
lt_status cli_compare(cli_call *call, const cli_compare_options *o, lt_run_comparison *c); // clear it in either case
lt_status cli_compare_report(cli_call *call, const lt_run_comparison *c, lt_report_options *o,
                             const lt_report_files *to);
void cli_comparison_print(const json_t *rows, FILE *out); // the table
#endif
