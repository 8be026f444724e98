// section_metrics.c - every metric with its verdict: one line a metric, one column a model.
#include "report/section.h"
#include <math.h>
#include <string.h>

static void range(lti_buf *b, lt_interval v)
{
    if (isfinite(v.low) && isfinite(v.high))
        lti_buf_printf(b, "<small>%.1f to %.1f</small>", 100 * v.low, 100 * v.high);
}

static void figure_cell(lti_doc *d, int row, int metric)
{
    const lt_report_value *v = d->spec->rows[row].value;
    if (!v || !isfinite(v[metric].value)) {
        lti_buf_printf(&d->b, "<td>&ndash;</td>");
        return;
    }
    v += metric;
    bool differs = v->verdict && !strcmp(v->verdict, lt_verdict_text(LT_VERDICT_DIFFERENT));
    lti_buf_printf(&d->b, differs ? "<td class=\"ne\">" : "<td>");
    lti_link_open(d, row);
    lti_buf_printf(&d->b, "%.1f</a>", 100 * v->value);
    range(&d->b, v->interval);
    if (v->verdict) {
        lti_buf_printf(&d->b, "<small>");
        lti_html_text(&d->b, v->verdict);
        lti_buf_printf(&d->b, "</small>");
    }
    lti_buf_printf(&d->b, "</td>");
}

static lt_status put_metrics(lti_doc *d)
{
    const lt_report_spec *s = d->spec;
    lti_buf *b = &d->b;
    if (!lti_has_values(d))
        return LT_OK;
    lti_section(d, "Metrics and verdicts");
    lti_small(d, "In %, with the interval over the draw of the samples and the verdict against the oracles. The null "
                 "band is where one more retrained model would fall; it needs two oracles or more.");
    lti_table_open(d, s->n_metrics);
    lti_buf_puts(b, "\n<thead><tr><th scope=\"col\">Metric, %</th><th scope=\"col\">Oracles, mean and null band</th>");
    for (int i = 0; i < s->n_rows; i++) {
        lti_buf_printf(b, "<th scope=\"col\">");
        lti_link_open(d, i);
        lti_row_name(d, &s->rows[i]);
        lti_buf_printf(b, "</a></th>");
    }
    lti_buf_printf(b, "</tr></thead>\n<tbody>\n");
    for (int m = 0; m < s->n_metrics; m++) {
        lti_buf_printf(b, "<tr><th scope=\"row\">");
        lti_html_text(b, s->metrics[m].title);
        lti_buf_printf(b, "</th><td>");
        lti_html_number(b, 100 * s->metrics[m].mean, 1);
        if (isfinite(s->metrics[m].null_band.low)) // all metrics are fractions
            range(b, (lt_interval){fmax(s->metrics[m].null_band.low, 0), fmin(s->metrics[m].null_band.high, 1)});
        lti_buf_printf(b, "</td>");
        for (int i = 0; i < s->n_rows; i++)
            figure_cell(d, i, m);
        lti_buf_printf(b, "</tr>\n");
    }
    lti_buf_printf(b, "</tbody></table></div>\n");
    return LT_OK;
}

static void write_metrics(lti_lines *w)
{
    const lt_report_spec *s = w->d->spec;
    for (int m = 0; m < s->n_metrics; m++) {
        const lt_report_metric *of = &s->metrics[m];
        lti_lines_add(w, &(lti_line){"null_band", NULL, "oracles", of->key, NULL, of->mean, of->null_band});
        for (int k = 0; k < of->n_oracle_differences; k++)
            lti_lines_add(w, &(lti_line){"oracle_difference", NULL, "oracles", of->key, NULL, of->oracle_difference[k],
                                         lti_no_interval});
    }
    for (int i = 0; i < s->n_rows; i++)
        for (int m = 0; m < s->n_metrics && s->rows[i].value; m++) {
            const lt_report_value *v = &s->rows[i].value[m];
            lti_lines_add(
                w, &(lti_line){"figure", &s->rows[i], NULL, s->metrics[m].key, v->verdict, v->value, v->interval});
        }
}

const lti_report_section lti_section_metrics = {
    .name = "metrics",
    .put = put_metrics,
    .lines = write_metrics,
};
