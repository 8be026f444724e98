// board.h - several runs side by side (board.c), and their report (page*.c); shared by report and demo.
#ifndef LETHE_CLI_BOARD_H
#define LETHE_CLI_BOARD_H
#include "audit.h"

typedef struct cli_entry { // one row
    cli_source src;
    char *name, *setting, *seed, *group; // seed NULL = the run says none; group: rows with the same are repeats
    lt_report_role role;
    cli_audited audited;
    json_t *result; // what `lethe audit` prints of it: figures, intervals, bands, verdicts, lint
    double gap_mis, gap_auc, seconds;
} cli_entry;
typedef struct cli_stream { // a directory of requests served one after another: OUT of `unlearn --requests`
    char *name;
    json_t *result;
} cli_stream;
typedef struct cli_board {
    int n;
    cli_entry *entry;
    int n_streams;
    cli_stream *stream;
    const lt_dataset *ds;
    cli_sets sets;
    char forget_digest[65];
    cli_attacks attacks;
    json_t *lint;  // of all rows together
    json_t *depth; // array of {"row", "depth"} found in audits
} cli_board;
typedef struct cli_board_spec {
    const char *const *runs;
    int n_runs;
    const char *attacks, *references; // as of `lethe audit`; NULL = default
    const lt_audit_cfg *audit;
    const lt_verdict_cfg *verdict; // NULL = defaults
    const cli_list *audits;        // files of `lethe audit --json`; may be NULL
} cli_board_spec;
lt_status cli_board_build(cli_call *call, const cli_board_spec *spec, cli_board *board);
void cli_board_clear(cli_board *board);
json_t *cli_board_json(const cli_board *board);      // array of rows
void cli_board_print(const json_t *rows, FILE *out); // the table

// ---- board_audits.c: bands, verdicts and notes of every row; what other audits have found
lt_status cli_board_judge(cli_call *call, const lt_verdict_cfg *cfg, cli_board *board);
void cli_board_lint(cli_board *board);
bool cli_same_place(const char *a, const char *b);                        // one directory under two names is one run
lt_status cli_board_read_audits(const cli_list *files, cli_board *board); // and RUN/audit.json of every row

// ---- page.c
typedef enum cli_page_format { CLI_PAGE_HTML, CLI_PAGE_CSV, CLI_PAGE_MD } cli_page_format;
typedef struct cli_outputs { // files to write; NULL = not
    const char *title, *page, *markdown, *csv;
    cli_page_format format; // of page
    uint64_t seed;
} cli_outputs;
lt_status cli_board_report(cli_call *call, const cli_board *board, const cli_outputs *to);

// ---- page_runs.c, page_depth.c: parts of the page as the library takes them. What they point to lives in the pool or
// in the board.
typedef struct cli_pool {
    int n;
    void **item;
} cli_pool;
void *cli_pool_keep(cli_pool *pool, void *item); // freed with the pool; returns item
void *cli_pool_alloc(cli_pool *pool, size_t n, size_t size);
void cli_pool_clear(cli_pool *pool);
void cli_page_metrics(cli_pool *pool, const cli_board *board, lt_report_spec *spec);
void cli_page_row(cli_pool *pool, const cli_board *board, const lt_report_spec *spec, int i, lt_report_row *row);
void cli_page_lint(cli_pool *pool, const cli_board *board, lt_report_spec *spec);
void cli_page_depth(cli_pool *pool, const cli_board *board, lt_report_spec *spec);
void cli_page_streams(cli_pool *pool, const cli_board *board, lt_report_spec *spec);
#endif
