// forest.c - the gap to retraining of every method, metric by metric, with the null band of retraining itself.
//
// A row is a method: the mean over its runs minus the mean of the oracles, in percentage points, with its interval. The
// shaded band is where one more retrained model would fall (docs/decisions/0004-equivalence-test.md); the first row
// shows what retraining does to itself, each oracle against the others.
#include "report/section.h"
#include <math.h>

enum { ROW_H = 20, HEAD = 48, NAMES = 104 };

static void widen(lti_axis *x, double v)
{
    if (isfinite(v)) {
        x->lo = fmin(x->lo, v);
        x->hi = fmax(x->hi, v);
    }
}

// The axis holds methods and oracles; a null band much wider than they are (few oracles) may run over it.
static lti_axis points_axis(const lti_doc *d, const lt_report_metric *m, int metric)
{
    const double room = 2;
    lti_axis x = {.label = "difference to the oracles, percentage points", .want = 4};
    for (int i = 0; i < m->n_oracle_differences; i++)
        widen(&x, 100 * m->oracle_difference[i]);
    for (int g = 0; g < d->n_groups; g++)
        if (d->group[g].role != LT_ROW_ORACLE) {
            lti_gap gap = lti_group_gap(d, &d->group[g], metric);
            widen(&x, 100 * gap.mean);
            widen(&x, 100 * gap.interval.low);
            widen(&x, 100 * gap.interval.high);
        }
    double half = room * fmax(fmax(-x.lo, x.hi), 0.5);
    if (isfinite(m->null_band.low)) {
        widen(&x, fmax(100 * (m->null_band.low - m->mean), -half));
        widen(&x, fmin(100 * (m->null_band.high - m->mean), half));
    }
    return x;
}

static void describe(const lti_doc *d, int metric, lti_buf *b)
{
    const lt_report_metric *m = &d->spec->metrics[metric];
    lti_buf_printf(b, "Difference to the oracles in percentage points.");
    if (isfinite(m->null_band.low))
        lti_buf_printf(b, " Null band of retraining: %.1f to %.1f.", 100 * (m->null_band.low - m->mean),
                       100 * (m->null_band.high - m->mean));
    for (int g = 0; g < d->n_groups; g++) {
        lti_gap gap = lti_group_gap(d, &d->group[g], metric);
        if (d->group[g].role != LT_ROW_ORACLE && isfinite(gap.mean))
            lti_buf_printf(b, " %s: %+.1f.", d->group[g].name, 100 * gap.mean);
    }
}

static void method_row(lti_doc *d, lti_plot *p, const lti_group *g, int row, int metric)
{
    lti_gap gap = lti_group_gap(d, g, metric);
    lti_plot_row(p, row, g->name, g->row[0]);
    lti_plot_span(p, 100 * gap.interval.low, 100 * gap.interval.high, row + 0.5, g->style);
    lti_plot_mark(p, 100 * gap.mean, row + 0.5, g->role == LT_ROW_ORIGINAL ? LTI_RING : LTI_DOT, g->style);
}

static void panel(lti_doc *d, int metric)
{
    const lt_report_metric *m = &d->spec->metrics[metric];
    bool band = isfinite(m->null_band.low), null_row = m->n_oracle_differences > 0;
    int n_rows = null_row, row = 0;
    lti_buf desc = {0};
    char subtitle[64] = "";
    lti_plot p;
    if (band)
        lti_format(subtitle, sizeof subtitle, "null band \xc2\xb1%.1f", 100 * (m->null_band.high - m->mean));
    for (int g = 0; g < d->n_groups; g++)
        n_rows += d->group[g].role != LT_ROW_ORACLE;
    describe(d, metric, &desc);
    lti_plot_open(d,
                  &(lti_frame){.title = m->title,
                               .subtitle = subtitle,
                               .desc = lti_desc(d, &desc),
                               .height = HEAD + ROW_H * n_rows,
                               .left = NAMES,
                               .x = points_axis(d, m, metric),
                               .y = {.lo = n_rows, .hi = 0}},
                  &p);
    lti_buf_clear(&desc);
    if (band)
        lti_plot_box(&p, 100 * (m->null_band.low - m->mean), 100 * (m->null_band.high - m->mean), 0, n_rows);
    lti_plot_zero(&p, 0);
    if (null_row) {
        lti_plot_row(&p, row, "Retrain", -1);
        for (int i = 0; i < m->n_oracle_differences; i++)
            lti_plot_mark(&p, 100 * m->oracle_difference[i], row + 0.5, LTI_TICK, (lti_style){.color = LTI_INK});
        row++;
    }
    for (int g = 0; g < d->n_groups; g++)
        if (d->group[g].role != LT_ROW_ORACLE)
            method_row(d, &p, &d->group[g], row++, metric);
    lti_plot_close(&p);
}

static lt_status put_forest(lti_doc *d)
{
    int n = 0;
    for (int m = 0; m < d->spec->n_metrics; m++)
        n += d->spec->metrics[m].chart && isfinite(d->spec->metrics[m].mean);
    if (n == 0 || !lti_has_values(d))
        return LT_OK;
    lti_section(d, "Difference from retraining, with intervals");
    lti_small(d, "Each row is one method: its mean over the runs minus the mean of the oracles. Bars are 95 % "
                 "intervals: of the mean over several runs, else over the draw of the samples. Inside the shaded "
                 "null band a model differs from retraining no more than one more retrained model would; ticks are "
                 "the oracles, each against the others. Few oracles make a band that runs over the axis.");
    lti_group_legend(d, -1, false);
    lti_buf_printf(&d->b, "<div class=\"grid\">\n");
    for (int m = 0; m < d->spec->n_metrics; m++)
        if (d->spec->metrics[m].chart && isfinite(d->spec->metrics[m].mean))
            panel(d, m);
    lti_buf_printf(&d->b, "</div>\n");
    return LT_OK;
}

static void write_gaps(lti_lines *w)
{
    const lt_report_spec *s = w->d->spec;
    for (int g = 0; g < w->d->n_groups; g++)
        for (int m = 0; m < s->n_metrics && w->d->group[g].role != LT_ROW_ORACLE; m++) {
            lti_gap gap = lti_group_gap(w->d, &w->d->group[g], m);
            if (gap.n > 0)
                lti_lines_add(
                    w, &(lti_line){"gap", NULL, w->d->group[g].name, s->metrics[m].key, NULL, gap.mean, gap.interval});
        }
}

const lti_report_section lti_section_forest = {
    .name = "forest",
    .put = put_forest,
    .lines = write_gaps,
};
