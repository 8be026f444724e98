// page.c - files of a report: the page, and the comparison as Markdown and CSV.
#include "board.h"
#include <stdlib.h>
#include <string.h>

static lt_status write_text(const char *path, char *text)
{
    lt_status status =
        text ? lt_write_file_atomic(path, text, strlen(text)) : LT_FAIL(LT_E_NOMEM, "out of memory: %s", path);
    free(text);
    return status;
}

static lt_status write_page(const lt_report_spec *spec, const cli_outputs *to)
{
    if (to->format == CLI_PAGE_HTML)
        return lt_report_html(spec, to->page);
    return write_text(to->page, to->format == CLI_PAGE_CSV ? lt_report_all_csv(spec) : lt_report_all_markdown(spec));
}

static lt_status write_files(const lt_report_spec *spec, const cli_outputs *to)
{
    if (to->page)
        LT_TRY(write_page(spec, to));
    if (to->markdown)
        LT_TRY(write_text(to->markdown, lt_report_markdown(spec)));
    if (to->csv)
        LT_TRY(write_text(to->csv, lt_report_csv(spec)));
    return LT_OK;
}

lt_status cli_board_report(cli_call *call, const cli_board *board, const cli_outputs *to)
{
    lt_machine m;
    lt_report *report = NULL;
    lt_machine_read(&m);
    const lt_backend *backend = call->session->backend;
    char *machine = cli_format("%s, %d of %d cores usable, %s", m.cpu, m.n_usable, m.n_cores, m.isa),
         *version = cli_format("%s%s%s", LT_VERSION, backend ? ", " : "",
                               backend ? lt_backend_version(call->session->backend) : "");
    const char *const facts[] = {"Machine", machine, "lethe", version, NULL};
    const lt_report_source source = {.title = to->title,
                                     .with_images = to->with_images,
                                     .seed = to->seed,
                                     .comparison = &board->comparison,
                                     .ds = board->ds,
                                     .n_forget = board->sets.forget.n,
                                     .model = board->n_sources ? cli_board_model(board) : NULL,
                                     .facts = facts,
                                     .audits = to->audits ? (const char *const *)to->audits->item : NULL,
                                     .n_audits = to->audits ? to->audits->n : 0,
                                     .streams = (const char *const *)board->streams.item,
                                     .n_streams = board->streams.n,
                                     .quantized = (const char *const *)board->quantized.item,
                                     .n_quantized = board->quantized.n};
    lt_status status = lt_report_from_runs(&source, &report);
    if (status == LT_OK)
        status = write_files(lt_report_get(report), to);
    lt_report_destroy(report);
    free(machine);
    free(version);
    return status;
}
