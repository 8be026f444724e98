// cmd_report.c - `lethe report`: one self-contained page from runs that forgot the same samples.
#include "audit.h"
#include "sweep.h"
#include <stdlib.h>
#include <string.h>

struct opts {
    const char *out, *title, *markdown, *csv, *references, *attacks, *audit_json;
    int32_t format;
    bool force, with_images, allow_lint;
    lt_model_fallback file;
    lt_audit_cfg audit;
    lt_verdict_cfg verdict;
    lt_run_comparison comparison; // no option: what check and release need
};
static const char usual_title[] = "Unlearning report";
static const lt_opt_value formats[] = {
    {"html", LT_REPORT_HTML, "one page, inline SVG, no scripts"},
    {"csv", LT_REPORT_CSV, "every number of its tables and points, one a line"},
    {"md", LT_REPORT_MARKDOWN, "the same as Markdown tables"},
    {NULL, 0, NULL},
};
static const lt_option own[] = {
    LT_STR(struct opts, out, NULL, "file to write; default: report.html, .csv or .md"),
    LT_ENUM(struct opts, format, LT_REPORT_HTML, formats, "what to write to --out"),
    LT_STR(struct opts, title, usual_title, "title of the page"),
    LT_STR(struct opts, markdown, NULL, "also write the comparison table as Markdown to this file"),
    LT_STR(struct opts, csv, NULL, "also write the comparison table as CSV to this file"),
    LT_STR(struct opts, references, NULL, "outputs of reference models on the same samples: .npz of logits, member"),
    LT_STR(struct opts, attacks, NULL, "membership attacks, separated by commas; default: all the references allow"),
    LT_STR(struct opts, audit_json, NULL,
           "results of `lethe audit --json` of these runs, separated by commas or the option repeated; RUN/audit.json "
           "is read where there is one"),
    LT_BOOL(struct opts, with_images, 0, "show forgotten images and their adversarial examples on the page"),
    LT_BOOL(struct opts, allow_lint, 1,
            "exit with code 0 although the linter found an error, which the page says; --no-allow-lint: with code 6"),
    LT_BOOL(struct opts, force, 0, "overwrite files of another kind"),
    LT_OPT_END,
};
static const cli_group groups[] = {
    {"", "Output", own, 0, LT_OPTGROUP_FLAGS},
    CLI_MODEL_FILE_GROUP(struct opts, file),
    {"audit", "Audit", lt_audit_options, offsetof(struct opts, audit), LT_OPTGROUP_FLAGS},
    {"audit", "Verdict", lt_verdict_options, offsetof(struct opts, verdict), LT_OPTGROUP_FLAGS},
    {NULL, NULL, NULL, 0, 0},
};

static const char *out_of(const struct opts *o)
{
    static const char *const by_format[] = {
        [LT_REPORT_HTML] = "report.html", [LT_REPORT_CSV] = "report.csv", [LT_REPORT_MARKDOWN] = "report.md"};
    return o->out && *o->out ? o->out : by_format[o->format];
}

static lt_status check_files(const struct opts *o)
{
    static const lt_output_kind kind[] = {
        [LT_REPORT_HTML] = LT_OUTPUT_PAGE, [LT_REPORT_CSV] = LT_OUTPUT_CSV, [LT_REPORT_MARKDOWN] = LT_OUTPUT_MARKDOWN};
    LT_TRY(lt_output_check("out", out_of(o), kind[o->format], o->force));
    LT_TRY(lt_output_check("markdown", o->markdown, LT_OUTPUT_MARKDOWN, o->force));
    return lt_output_check("csv", o->csv, LT_OUTPUT_CSV, o->force);
}

// A directory of `lethe sweep`: the page that ended it, from its summary.
static lt_status run_study(cli_call *call)
{
    const struct opts *o = call->opts;
    lt_study_result study;
    if ((o->markdown && *o->markdown) || (o->csv && *o->csv))
        return LT_FAIL(LT_E_USAGE, "--markdown, --csv: %s has summary.md and results.csv already", call->positional[0]);
    LT_TRY(lt_study_result_read(call->positional[0], &study));
    const char *title = strcmp(o->title, usual_title) != 0 ? o->title : NULL;
    lt_status status =
        lt_report_study(&study, title, &(lt_report_files){.page = out_of(o), .format = (lt_report_format)o->format});
    if (status == LT_OK)
        status = cli_json_take(lt_study_result_json(&study), &call->result);
    if (status == LT_OK)
        cli_put_text(call->result, "report", out_of(o));
    lt_study_result_clear(&study);
    return status;
}

static lt_status run(cli_call *call)
{
    struct opts *o = call->opts;
    lt_run_comparison *c = &o->comparison;
    cli_list audits = {0};
    lt_status status = LT_OK;
    if (call->n_positional < 1) {
        LT_FAIL(LT_E_USAGE, "report: expected at least one run");
        return lt_error_hint("for example: lethe report runs/retrain runs/amun --out report.html");
    }
    LT_TRY(check_files(o));
    if (call->n_positional == 1 && lt_is_study_dir(call->positional[0]))
        return run_study(call);
    o->audit.seed = call->seed.seed;
    cli_list_option(&audits, call, "audit-json");
    const cli_compare_options compare = {.runs = call->positional,
                                         .n_runs = call->n_positional,
                                         .file = &o->file,
                                         .attacks = o->attacks,
                                         .references = o->references,
                                         .audit = &o->audit,
                                         .verdict = &o->verdict};
    const lt_report_files files = {
        .page = out_of(o), .format = (lt_report_format)o->format, .markdown = o->markdown, .csv = o->csv};
    lt_report_options report = {.title = o->title,
                                .seed = call->seed.seed,
                                .with_images = o->with_images,
                                .audits = (const char *const *)audits.item,
                                .n_audits = audits.n};
    LT_TRY_GOTO(cli_compare(call, &compare, c), done);
    LT_TRY_GOTO(cli_compare_report(call, c, &report, &files), done);
    LT_TRY_GOTO(cli_json_take(lt_run_comparison_json(c, files.page), &call->result), done);
done:
    cli_list_clear(&audits);
    return status;
}

// The page is written in either case, and its first sentence says it too.
static lt_status check(const cli_call *call)
{
    const struct opts *o = call->opts;
    return lt_run_comparison_check(&o->comparison, o->allow_lint);
}

static void release(cli_call *call)
{
    struct opts *o = call->opts;
    lt_run_comparison_clear(&o->comparison);
}

// Warnings of all rows, then those of single rows that are not said of all.
static void print_lint(const json_t *r, FILE *out)
{
    size_t i, k;
    const json_t *row, *item, *all = json_object_get(r, "lint");
    cli_lint_print(all, out);
    json_array_foreach(json_object_get(r, "rows"), i, row)
    {
        json_t *of_row = json_array();
        json_array_foreach(json_object_get(row, "lint"), k, item) if (!cli_json_has(all, item))
            json_array_append(of_row, (json_t *)item);
        if (json_array_size(of_row))
            fprintf(out, "%s:\n", cli_text(row, "run"));
        cli_lint_print(of_row, out);
        json_decref(of_row);
    }
}

static void print(const cli_call *call, FILE *out)
{
    if (json_object_get(call->result, "null_band")) { // of a study
        sweep_print_result(call->result, out);
        return;
    }
    if (json_array_size(json_object_get(call->result, "rows")))
        cli_comparison_print(json_object_get(call->result, "rows"), out);
    print_lint(call->result, out);
    fprintf(out, "%s\n", cli_text(call->result, "report"));
}

const cli_verb cli_verb_report = {
    .name = "report",
    .usage = "RUN... [--out FILE] [--format html|csv|md] [options]",
    .about =
        "Writes one page without scripts or outside references: the comparison with retraining, differences with "
        "null\n"
        "bands, metrics and verdicts, ROC curves, histograms, per-class accuracy, cost, adversarial examples, "
        "training\n"
        "curves, warnings of the linter, and the runs that every number links to. The runs must have\n"
        "forgotten the same samples; those made by `--method retrain` are the oracles, and the common parent is "
        "added.\n"
        "Runs that differ in nothing but their seed are one method in the charts. A directory of requests is drawn "
        "apart.\nA directory of `lethe sweep` alone gives the page of the study.",
    .examples = "  lethe report runs/retrain runs/ft runs/amun --out report.html\n"
                "  lethe report runs/retrain-* runs/amun-* --references refs.npz --audit-json amun-depth.json\n"
                "  lethe report runs/retrain runs/amun --format csv --out numbers.csv\n",
    .uses = CLI_COMPUTE | CLI_SEED,
    .opts_size = sizeof(struct opts),
    .groups = groups,
    .prepare = cli_attacks_bind,
    .more_help = cli_attacks_help,
    .run = run,
    .check = check,
    .print = print,
    .release = release,
};
