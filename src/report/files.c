// files.c - the report of a comparison of runs, and the files it is written to.
#include "lethe/audits.h"
#include "lethe/machine.h"
#include "report/report_impl.h"
#include <stdlib.h>
#include <string.h>

lt_status lt_report_compare(const lt_run_comparison *c, const lt_report_options *o, lt_report **report)
{
    lt_machine m;
    *report = NULL;
    lt_machine_read(&m);
    char *machine = lti_asprintf("%s, %d of %d cores usable, %s", m.cpu, m.n_usable, m.n_cores, m.isa),
         *version = lti_asprintf("%s%s%s", LT_VERSION, o->backend ? ", " : "",
                                 o->backend ? lt_backend_version(o->backend) : "");
    const char *const facts[] = {"Machine", machine, "lethe", version, NULL};
    const lt_comparison_row *first = c->comparison.n > 0 ? &c->comparison.row[0] : NULL;
    const lt_report_source source = {.title = o->title,
                                     .with_images = o->with_images,
                                     .seed = o->seed,
                                     .comparison = &c->comparison,
                                     .ds = c->ds,
                                     .n_forget = c->sets.forget.n,
                                     .model = first ? lt_run_comparison_model(c, first)->model : NULL,
                                     .facts = facts,
                                     .audits = o->audits,
                                     .n_audits = o->n_audits,
                                     .streams = (const char *const *)c->stream,
                                     .n_streams = c->n_streams,
                                     .quantized = (const char *const *)c->quantized,
                                     .n_quantized = c->n_quantized};
    const lt_status status = machine && version ? lt_report_from_runs(&source, report) : LTI_NOMEM("report");
    lti_free(machine);
    lti_free(version);
    return status;
}

// Frees the text.
static lt_status write_text(const char *path, char *text)
{
    const lt_status status = text ? lt_write_file_atomic(path, text, strlen(text)) : LTI_NOMEM(path);
    free(text);
    return status;
}

static lt_status write_page(const lt_report_spec *spec, const lt_report_files *to)
{
    if (to->format == LT_REPORT_HTML)
        return lt_report_html(spec, to->page);
    return write_text(to->page, to->format == LT_REPORT_CSV ? lt_report_all_csv(spec) : lt_report_all_markdown(spec));
}

lt_status lt_report_write(const lt_report *report, const lt_report_files *to)
{
    const lt_report_spec *spec = lt_report_get(report);
    if (to->page)
        LT_TRY(write_page(spec, to));
    if (to->markdown)
        LT_TRY(write_text(to->markdown, lt_report_markdown(spec)));
    if (to->csv)
        LT_TRY(write_text(to->csv, lt_report_csv(spec)));
    return LT_OK;
}

lt_status lt_report_study(const lt_study_result *study, const char *title, const lt_report_files *to)
{
    lt_report *report;
    LT_TRY(lt_report_from_runs(&(lt_report_source){.title = title, .study = study}, &report));
    const lt_status status = lt_report_write(report, to);
    lt_report_destroy(report);
    return status;
}
