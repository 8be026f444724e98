// audit.h - what the files of `lethe audit` and `lethe report` share: options of attacks, audits of runs, tables.
#ifndef LETHE_CLI_AUDIT_H
#define LETHE_CLI_AUDIT_H
#include "cli.h"

// ---- audit_options.c: membership attacks on the command line
lt_status cli_attacks_bind(cli_call *call);             // every attack's rows as --ATTACK.OPTION
void cli_attacks_help(const cli_call *call, FILE *out); // list and options
// What lt_mia_set_open takes. cfg: room for the pointers, one per registered attack.
lt_mia_set_spec cli_attacks_spec(const cli_call *call, const char *which, const char *references, void **cfg);
enum { CLI_MAX_ATTACKS = 64 };

// ---- audit_runs.c: models of an audit that are runs
lt_audit_subject cli_subject(const cli_source *src, const char *name); // opened again when an audit kind asks for it
lt_status cli_check_parent(const cli_source *child, const char *parent);
double cli_last_train_acc(const cli_source *src); // running accuracy of the last epoch in metrics.jsonl; NAN = unknown

// ---- audit_print.c: tables of a result
void cli_audit_print(const json_t *result, FILE *out);
void cli_lint_print(const json_t *lint, FILE *out);
#endif
