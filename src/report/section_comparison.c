// section_comparison.c - the table of all models: one column for each metric of the list that asks for one, and the
// verdict over all metrics.
#include "report/section.h"
#include <math.h>
#include <string.h>

static bool is_column(int id)
{
    return lt_metric_get((lt_metric_id)id)->flags & LT_METRIC_COLUMN;
}

// The smallest difference to retraining is marked.
static bool has_best(const lt_metric *m)
{
    return m->unit == LT_UNIT_POINTS && m->direction == LT_LOWER_IS_BETTER;
}

static double best_value(const lt_report_spec *s, lt_metric_id id)
{
    double best = INFINITY;
    for (int i = 0; i < s->n_rows; i++) {
        const double value = lti_row_metric(&s->rows[i], id);
        if (s->rows[i].role == LT_ROW_METHOD && isfinite(value))
            best = fmin(best, value);
    }
    return best;
}

static bool has_verdicts(const lt_report_spec *s)
{
    for (int i = 0; i < s->n_rows; i++)
        if (s->rows[i].verdict)
            return true;
    return false;
}

// Columns that a narrow screen can miss are marked for the style sheet.
static void put_heads(lti_doc *d)
{
    lti_buf *b = &d->b;
    lti_buf_puts(b, "<div class=\"scroll\" tabindex=\"0\"><table>\n<thead><tr><th scope=\"col\">Method</th>");
    for (int id = 0; id < LT_N_METRICS; id++) {
        const lt_metric *m = lt_metric_get((lt_metric_id)id);
        if (!is_column(id))
            continue;
        lti_buf_printf(b, "<th scope=\"col\"%s>", m->drop_priority > 0 ? " class=\"wide\"" : "");
        lti_html_title(b, m->head);
        lti_buf_puts(b, m->unit == LT_UNIT_FRACTION ? ", %</th>" : "</th>");
    }
    if (has_verdicts(d->spec))
        lti_buf_puts(b, "<th scope=\"col\">All metrics against retraining</th>");
    lti_buf_puts(b, "</tr></thead>\n<tbody>\n");
}

static void put_value(lti_doc *d, int row, lt_metric_id id)
{
    const lt_metric *m = lt_metric_get(id);
    const lt_report_row *r = &d->spec->rows[row];
    const double value = lti_row_metric(r, id);
    const bool best = has_best(m) && r->role == LT_ROW_METHOD && value <= best_value(d->spec, id);
    const double scale = m->unit == LT_UNIT_FRACTION || m->unit == LT_UNIT_POINTS ? 100 : 1;
    const int decimals = m->unit == LT_UNIT_SECONDS && value >= 100 ? 0 : m->decimals;
    lti_buf_printf(&d->b, "<td%s>",
                   best && m->drop_priority > 0 ? " class=\"best wide\""
                   : best                       ? " class=\"best\""
                   : m->drop_priority > 0       ? " class=\"wide\""
                                                : "");
    lti_value(d, row, scale * value, decimals);
    lti_buf_puts(&d->b, "</td>");
}

// ---- the answer in one sentence

static const lt_report_row *find_role(const lt_report_spec *s, lt_row_role role)
{
    for (int i = 0; i < s->n_rows; i++)
        if (s->rows[i].role == role)
            return &s->rows[i];
    return NULL;
}

static const lt_report_row *find_nearest(const lt_report_spec *s)
{
    const lt_report_row *nearest = NULL;
    for (int i = 0; i < s->n_rows; i++) {
        const lt_report_row *r = &s->rows[i];
        const double gap = lti_row_metric(r, LT_METRIC_GAP_MIS);
        if (r->role == LT_ROW_METHOD && isfinite(gap) && (!nearest || gap < lti_row_metric(nearest, LT_METRIC_GAP_MIS)))
            nearest = r;
    }
    return nearest;
}

// Of the verdicts in use; texts of other tools are none.
static bool has_verdict(const lt_report_row *row, lt_verdict wanted)
{
    lt_verdict v;
    return row && row->verdict && lt_verdict_find(row->verdict, &v) && v == wanted;
}

static void put_verdict(lti_doc *d, const char *verdict)
{
    lti_buf_puts(&d->b, "<td class=\"text\">");
    if (verdict)
        lti_html_text(&d->b, verdict);
    else
        lti_buf_puts(&d->b, "&ndash;");
    lti_buf_puts(&d->b, "</td>");
}

static bool has_lint_error(const lt_report_spec *s)
{
    for (int i = 0; i < s->n_lint; i++)
        if (s->lint[i].severity == LT_LINT_ERROR)
            return true;
    return false;
}

static void put_nearest(lti_doc *d, const lt_report_row *nearest, const lt_report_row *original)
{
    lti_buf *b = &d->b;
    const double gap = lti_row_metric(nearest, LT_METRIC_GAP_MIS);
    const double before = original ? lti_row_metric(original, LT_METRIC_GAP_MIS) : (double)NAN;
    if (gap >= before) {
        lti_buf_printf(b,
                       "No method came nearer to retraining than the original model, which has forgotten nothing and "
                       "has an average gap of %.2f points; the nearest method is ",
                       100 * before);
        lti_row_name(d, nearest);
        lti_buf_printf(b, " with %.2f", 100 * gap);
    } else {
        lti_row_name(d, nearest);
        lti_buf_printf(b, " came nearest to retraining, with an average gap of %.2f points", 100 * gap);
        if (isfinite(before))
            lti_buf_printf(b, "; the original model has %.2f", 100 * before);
    }
    lti_buf_puts(b, has_lint_error(d->spec) ? "; errors of the linter say that the comparison means little."
                    : has_verdict(nearest, LT_VERDICT_SAME)
                        ? "; over all metrics it is indistinguishable from retraining."
                    : has_verdict(nearest, LT_VERDICT_DIFFERENT)
                        ? "; over all metrics it is distinguishable from retraining."
                        : "; without several retrained models it is not known whether that is more than chance.");
}

// Which method came nearest to retraining, and whether that means anything: what the page opens with.
static void put_answer(lti_doc *d)
{
    const lt_report_spec *s = d->spec;
    const lt_report_row *original = find_role(s, LT_ROW_ORIGINAL), *nearest = find_nearest(s);
    const lti_buf page = d->b; // written in its place: links to rows are the document's
    d->b = (lti_buf){0};
    lti_buf_puts(&d->b, "<p class=\"answer\">");
    if (!find_role(s, LT_ROW_ORACLE) || !nearest)
        lti_buf_puts(&d->b, "No retrained model is among these runs: nothing here says how near a method came to it.");
    else if (has_verdict(original, LT_VERDICT_CANNOT_TELL))
        lti_buf_puts(&d->b, "This study cannot tell: the original model, which has forgotten nothing, is itself "
                            "indistinguishable from retraining on these samples.");
    else
        put_nearest(d, nearest, original);
    lti_buf_puts(&d->b, "</p>\n");
    d->answer = d->b;
    d->b = page;
}

static lt_status put_comparison(lti_doc *d)
{
    const lt_report_spec *s = d->spec;
    if (s->n_rows == 0)
        return LT_OK;
    lti_section(d, "Comparison with retraining");
    put_answer(d);
    put_heads(d);
    for (int i = 0; i < s->n_rows; i++) {
        lti_row_head(d, i);
        for (int id = 0; id < LT_N_METRICS; id++)
            if (is_column(id))
                put_value(d, i, (lt_metric_id)id);
        if (has_verdicts(s))
            put_verdict(d, s->rows[i].verdict);
        lti_buf_puts(&d->b, "</tr>\n");
    }
    lti_buf_puts(&d->b, "</tbody></table></div>\n");
    lti_small(d,
              "The oracle is a model trained from scratch without the forgotten samples: the target is to be like it, "
              "not to score low. The average gap is the mean absolute difference to it over forget, retain and test "
              "accuracy and the membership metric, in percentage points; smaller is better, the smallest is marked. "
              "MIS is the share of forgotten samples that an SVC on the confidence calls non-members. phi AUC tells "
              "forgotten from test samples by confidence alone: at 50 % an attacker can only guess. Every number leads "
              "to the run it comes from.");
    return LT_OK;
}

static void write_comparison(lti_lines *w)
{
    for (int i = 0; i < w->d->spec->n_rows; i++) {
        const lt_report_row *r = &w->d->spec->rows[i];
        for (int id = 0; id < LT_N_METRICS; id++)
            if (is_column(id))
                lti_lines_row(w, "comparison", i, lt_metric_get((lt_metric_id)id)->column,
                              lti_row_metric(r, (lt_metric_id)id));
        if (r->verdict)
            lti_lines_add(w, &(lti_line){"comparison", r, NULL, "verdict", r->verdict, NAN, lti_no_interval});
    }
}

const lti_report_section lti_section_comparison = {
    .name = "comparison",
    .put = put_comparison,
    .lines = write_comparison,
};
