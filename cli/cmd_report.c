// cmd_report.c - `lethe report`: one self-contained page from runs that forgot the same samples.
#include "cli.h"
#include <stdlib.h>
#include <string.h>

struct opts {
    const char *out, *title, *markdown, *csv;
    lt_audit_cfg audit;
};
static const lt_option own[] = {
    LT_STR(struct opts, out, "report.html", "HTML file to write"),
    LT_STR(struct opts, title, "Unlearning report", "title of the page"),
    LT_STR(struct opts, markdown, NULL, "also write the table as Markdown to this file"),
    LT_STR(struct opts, csv, NULL, "also write the table as CSV to this file"),
    LT_OPT_END,
};
static const cli_group groups[] = {
    {"", "What to write", own, 0, LT_OPTGROUP_FLAGS},
    {"audit", "How to audit", lt_audit_options, offsetof(struct opts, audit), LT_OPTGROUP_FLAGS},
    {NULL, NULL, NULL, 0, 0},
};

static lt_status run(cli_call *call)
{
    struct opts *o = call->opts;
    cli_board board = {0};
    lt_status status = LT_OK;
    if (call->n_positional < 1) {
        LT_FAIL(LT_E_USAGE, "report: expected at least one run");
        return lt_error_hint("for example: lethe report runs/retrain runs/amun --out report.html");
    }
    o->audit.seed = call->seed.seed;
    LT_TRY_GOTO(cli_board_build(call, call->positional, call->n_positional, &o->audit, &board), done);
    LT_TRY_GOTO(
        cli_board_report(call, &board,
                         &(cli_outputs){.title = o->title, .html = o->out, .markdown = o->markdown, .csv = o->csv}),
        done);
    call->result = json_object();
    cli_put_text(call->result, "report", o->out);
    cli_put(call->result, "n_forget", json_integer(board.sets.forget.n));
    cli_put(call->result, "rows", cli_board_json(&board));
done:
    cli_progress_clear(call->session->progress);
    cli_board_clear(&board);
    return status;
}

static void print(const cli_call *call, FILE *out)
{
    cli_board_print(json_object_get(call->result, "rows"), out);
    fprintf(out, "%s\n", cli_text(call->result, "report"));
}

const cli_verb cli_verb_report = {
    .name = "report",
    .usage = "RUN... [--out FILE.html] [options]",
    .about = "Writes one page without scripts or outside references: the comparison table, confidence histograms "
             "before and\n"
             "after, adversarial neighbours, training curves, and the facts needed to make it again. The runs must "
             "have forgotten\n"
             "the same samples; those made by `--method retrain` are the oracles, and the common parent is added.",
    .examples = "  lethe report runs/retrain runs/ft runs/amun --out report.html\n",
    .uses = CLI_COMPUTE | CLI_SEED,
    .opts_size = sizeof(struct opts),
    .groups = groups,
    .run = run,
    .print = print,
};
