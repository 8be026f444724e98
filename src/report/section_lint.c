// section_lint.c - warnings of the linter, the most severe first.
#include "report/section.h"
#include <math.h>

static void lint_item(lti_doc *d, const lt_report_lint *l)
{
    const char *severity = lt_severity_text(l->severity);
    lti_buf_printf(&d->b, "<li class=\"%s\"><b>%s</b>", severity, severity);
    if (l->row >= 0 && l->row < d->spec->n_rows) {
        lti_link_open(d, l->row);
        lti_html_text(&d->b, lti_row_title(d, l->row));
        if (d->spec->rows[l->row].seed) {
            lti_buf_printf(&d->b, ", seed ");
            lti_html_text(&d->b, d->spec->rows[l->row].seed);
        }
        lti_buf_printf(&d->b, "</a>: ");
    }
    lti_html_text(&d->b, l->text);
    lti_buf_printf(&d->b, " <small>(");
    lti_html_text(&d->b, l->id);
    lti_buf_printf(&d->b, ")</small></li>\n");
}

static lt_status put_lint(lti_doc *d)
{
    const lt_report_spec *s = d->spec;
    if (s->n_lint == 0)
        return LT_OK;
    lti_section(d, "Warnings (linter)");
    lti_buf_printf(&d->b, "<ul class=\"lint\">\n");
    for (int severity = LT_LINT_ERROR; severity >= LT_LINT_NOTE; severity--)
        for (int i = 0; i < s->n_lint; i++)
            if ((int)s->lint[i].severity == severity)
                lint_item(d, &s->lint[i]);
    lti_buf_printf(&d->b, "</ul>\n");
    return LT_OK;
}

static void write_lint(lti_lines *w)
{
    for (int i = 0; i < w->d->spec->n_lint; i++) {
        const lt_report_lint *l = &w->d->spec->lint[i];
        char *text = lti_asprintf("%s: %s", lt_severity_text(l->severity), l->text);
        lti_lines_add(w, &(lti_line){"lint", l->row >= 0 ? &w->d->spec->rows[l->row] : NULL, NULL, l->id, text, NAN,
                                     lti_no_interval});
        w->b->failed = w->b->failed || !text;
        lti_free(text);
    }
}

const lti_report_section lti_section_lint = {
    .name = "lint",
    .put = put_lint,
    .lines = write_lint,
};
