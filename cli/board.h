// board.h - a comparison of runs and its report; shared by report and demo.
#ifndef LETHE_CLI_BOARD_H
#define LETHE_CLI_BOARD_H
#include "audit.h"

typedef struct cli_board {
    lt_comparison comparison;
    const lt_dataset *ds;
    cli_sets sets;
    int n_sources;
    cli_source *source; // of the rows, in the order they were added
    cli_list quantized; // runs of `lethe quantize`
    cli_list streams;   // directories of requests served one after another: OUT of `unlearn --requests`
} cli_board;
typedef struct cli_board_spec {
    const char *const *runs;
    int n_runs;
    const char *attacks, *references; // as of `lethe audit`; NULL = default
    const lt_audit_cfg *audit;
    const lt_verdict_cfg *verdict; // NULL = defaults
} cli_board_spec;
lt_status cli_board_build(cli_call *call, const cli_board_spec *spec, cli_board *board);
void cli_board_clear(cli_board *board);
lt_status cli_board_json(const cli_board *board, json_t **rows);
void cli_board_print(const json_t *rows, FILE *out);     // the table
const lt_model *cli_board_model(const cli_board *board); // of the first row
bool cli_same_place(const char *a, const char *b);       // one directory under two names is one run

typedef enum cli_page_format { CLI_PAGE_HTML, CLI_PAGE_CSV, CLI_PAGE_MD } cli_page_format;
typedef struct cli_outputs { // files to write; NULL = not
    const char *title, *page, *markdown, *csv;
    cli_page_format format; // of page
    uint64_t seed;
    const cli_list *audits; // results of `lethe audit --json`; may be NULL
    bool with_images;
} cli_outputs;
lt_status cli_board_report(cli_call *call, const cli_board *board, const cli_outputs *to);
#endif
