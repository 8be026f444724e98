// tables.c - the tables of the page: comparison, every figure with its verdict, costs; and the notes and the runs that
// all numbers link to.
#include "report/report_impl.h"
#include <math.h>
#include <string.h>

// ---- comparison

static double best_gap(const lt_report_spec *s, bool auc)
{
    double best = INFINITY;
    for (int i = 0; i < s->n_rows; i++) {
        double gap = auc ? s->rows[i].gap_auc : s->rows[i].gap_mis;
        if (s->rows[i].role == LT_ROW_METHOD && isfinite(gap))
            best = fmin(best, gap);
    }
    return best;
}

static void row_head(lti_doc *d, int row)
{
    const lt_report_row *r = &d->spec->rows[row];
    lti_buf_printf(&d->b, r->role == LT_ROW_METHOD ? "<tr><th scope=\"row\">" : "<tr class=\"ref\"><th scope=\"row\">");
    lti_link_open(d, row);
    lti_row_name(d, r);
    lti_buf_printf(&d->b, "</a></th>");
}

static bool has_verdicts(const lt_report_spec *s)
{
    for (int i = 0; i < s->n_rows; i++)
        if (s->rows[i].verdict)
            return true;
    return false;
}

static void verdict_cell(lti_doc *d, const char *verdict)
{
    lti_buf_printf(&d->b, "<td>");
    if (verdict)
        lti_html_text(&d->b, verdict);
    else
        lti_buf_printf(&d->b, "&ndash;");
    lti_buf_printf(&d->b, "</td>");
}

lt_status lti_put_comparison(lti_doc *d)
{
    const lt_report_spec *s = d->spec;
    if (s->n_rows == 0)
        return LT_OK;
    double best_mis = best_gap(s, false), best_auc = best_gap(s, true);
    lti_section(d, "Comparison with retraining");
    lti_buf_printf(&d->b, "<div class=\"scroll\" tabindex=\"0\"><table>\n<thead><tr><th scope=\"col\">Method</th>"
                          "<th scope=\"col\">Forget acc., %%</th><th scope=\"col\">Retain acc., %%</th>"
                          "<th scope=\"col\">Test acc., %%</th><th scope=\"col\">MIA (MIS), %%</th>"
                          "<th scope=\"col\">&phi; AUC forget / test, %%</th><th scope=\"col\">Avg. gap (MIS)</th>"
                          "<th scope=\"col\">Avg. gap (AUC)</th><th scope=\"col\">Seconds</th>");
    if (has_verdicts(s))
        lti_buf_printf(&d->b, "<th scope=\"col\">All figures against retraining</th>");
    lti_buf_printf(&d->b, "</tr></thead>\n<tbody>\n");
    for (int i = 0; i < s->n_rows; i++) {
        const lt_report_row *r = &s->rows[i];
        row_head(d, i);
        lti_cell(d, i, 100 * r->audit.ua, 1, false);
        lti_cell(d, i, 100 * r->audit.ra, 1, false);
        lti_cell(d, i, 100 * r->audit.ta, 1, false);
        lti_cell(d, i, 100 * r->audit.svc.confidence, 1, false);
        lti_cell(d, i, 100 * r->audit.phi.ft, 1, false);
        lti_cell(d, i, 100 * r->gap_mis, 2, r->role == LT_ROW_METHOD && r->gap_mis <= best_mis);
        lti_cell(d, i, 100 * r->gap_auc, 2, r->role == LT_ROW_METHOD && r->gap_auc <= best_auc);
        lti_cell(d, i, r->seconds, r->seconds < 100 ? 1 : 0, false);
        if (has_verdicts(s))
            verdict_cell(d, r->verdict);
        lti_buf_printf(&d->b, "</tr>\n");
    }
    lti_buf_printf(&d->b, "</tbody></table></div>\n");
    lti_small(d,
              "The oracle is a model trained from scratch without the forgotten samples: the target is to be like it, "
              "not to score low. Avg. gap is the mean absolute difference to it over forget, retain and test accuracy "
              "and the membership figure, in percentage points; smaller is better, the smallest is marked. MIS is the "
              "share of forgotten samples that an SVC on the confidence calls non-members. &phi; AUC tells forgotten "
              "from test samples by confidence alone: 50 % means an attacker can only guess. Every number leads to "
              "the run it comes from.");
    return LT_OK;
}

// ---- every figure with its verdict: one line a metric, one column a model

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

lt_status lti_put_metrics_table(lti_doc *d)
{
    const lt_report_spec *s = d->spec;
    lti_buf *b = &d->b;
    if (!lti_has_values(d))
        return LT_OK;
    lti_section(d, "Metrics and verdicts");
    lti_small(d, "In %, with the interval over the draw of the samples and the verdict against the oracles. The null "
                 "band is where one more retrained model would fall; it needs two oracles or more.");
    lti_buf_printf(b, "<div class=\"scroll tall\" tabindex=\"0\"><table>\n<thead><tr><th scope=\"col\">Figure, %%</th>"
                      "<th scope=\"col\">Oracles, mean and null band</th>");
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

// ---- costs

static double sum3(const double v[LT_N_COSTS])
{
    double sum = 0;
    for (int i = 0; i < LT_N_COSTS; i++)
        sum += v[i];
    return sum;
}

static double passes(const lt_report_cost *c)
{
    return sum3(c->forward) + sum3(c->backward);
}

// Mean over the oracles; NaN without one.
static double of_oracles(const lt_report_spec *s, double (*get)(const lt_report_cost *c))
{
    int n = 0;
    double sum = 0;
    for (int i = 0; i < s->n_rows; i++)
        if (s->rows[i].role == LT_ROW_ORACLE && s->rows[i].cost) {
            sum += get(s->rows[i].cost);
            n++;
        }
    return n && sum > 0 ? sum / n : (double)NAN;
}

static double seconds(const lt_report_cost *c)
{
    return sum3(c->seconds);
}

lti_deletion lti_deletion_cost(const lt_report_spec *s, const lt_report_cost *c)
{
    return (lti_deletion){seconds(c), seconds(c) / of_oracles(s, seconds), passes(c) / of_oracles(s, passes)};
}

static void cost_row(lti_doc *d, int row)
{
    const lt_report_cost *c = d->spec->rows[row].cost;
    lti_deletion total = lti_deletion_cost(d->spec, c);
    row_head(d, row);
    for (int i = 0; i < LT_N_COSTS; i++)
        lti_cell(d, row, c->seconds[i], 1, false);
    lti_cell(d, row, c->eval_s, 1, false);
    lti_cell(d, row, sum3(c->forward), 0, false);
    lti_cell(d, row, sum3(c->backward), 0, false);
    lti_cell(d, row, total.seconds, 1, false);
    lti_cell(d, row, 100 * total.of_time, 1, false);
    lti_cell(d, row, 100 * total.of_passes, 1, false);
    lti_buf_printf(&d->b, "</tr>\n");
}

lt_status lti_put_costs(lti_doc *d)
{
    const lt_report_spec *s = d->spec;
    int n = 0;
    for (int i = 0; i < s->n_rows; i++)
        n += s->rows[i].cost != NULL;
    if (n == 0)
        return LT_OK;
    lti_section(d, "Cost");
    lti_buf_printf(&d->b, "<div class=\"scroll\" tabindex=\"0\"><table>\n<thead><tr><th scope=\"col\">Method</th>"
                          "<th scope=\"col\">Search, s</th><th scope=\"col\">Mask, s</th>"
                          "<th scope=\"col\">Update, s</th><th scope=\"col\">Evaluation, s</th>"
                          "<th scope=\"col\">Forward passes, samples</th>"
                          "<th scope=\"col\">Backward passes, samples</th><th scope=\"col\">Deletion, s</th>"
                          "<th scope=\"col\">of retraining's time, %%</th>"
                          "<th scope=\"col\">of retraining's passes, %%</th></tr></thead>\n<tbody>\n");
    for (int i = 0; i < s->n_rows; i++)
        if (s->rows[i].cost)
            cost_row(d, i);
    lti_buf_printf(&d->b, "</tbody></table></div>\n");
    lti_small(d,
              "Deletion is search, mask and update; the evaluation is not part of it. Passes are samples through the "
              "network in search, mask and update together, which no machine changes; a pass back counts like one "
              "forth. A search that was found in the cache costs what is shown, not what it cost the first time.");
    return LT_OK;
}

// ---- notes

const char *lt_report_severity_text(lt_report_severity severity)
{
    return severity == LT_LINT_ERROR ? "error" : severity == LT_LINT_WARNING ? "warning" : "note";
}

static void lint_item(lti_doc *d, const lt_report_lint *l)
{
    const char *severity = lt_report_severity_text(l->severity);
    lti_buf_printf(&d->b, "<li class=\"%s\"><b>%s</b>", severity, severity);
    if (l->row >= 0 && l->row < d->spec->n_rows) {
        lti_link_open(d, l->row);
        lti_html_text(&d->b, d->spec->rows[l->row].name);
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

lt_status lti_put_lint(lti_doc *d)
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

// ---- runs

static void facts(lti_buf *b, const char *const *fact)
{
    lti_buf_printf(b, "<dl>\n");
    for (int i = 0; fact[i] && fact[i + 1]; i += 2) {
        lti_buf_printf(b, "<dt>");
        lti_html_text(b, fact[i]);
        lti_buf_printf(b, "</dt><dd>");
        lti_html_text(b, fact[i + 1]);
        lti_buf_printf(b, "</dd>\n");
    }
    lti_buf_printf(b, "</dl>\n");
}

static void put_run(lti_doc *d, int row)
{
    const lt_report_row *r = &d->spec->rows[row];
    const char *only_dir[] = {"Run", r->run_dir, NULL};
    lti_buf_printf(&d->b, "<section id=\"run-%d\"><h3>", row + 1);
    lti_html_text(&d->b, r->name);
    lti_buf_printf(&d->b, " <small>");
    lti_html_text(&d->b, r->setting);
    if (r->seed) {
        lti_buf_printf(&d->b, "%sseed ", r->setting && *r->setting ? ", " : "");
        lti_html_text(&d->b, r->seed);
    }
    lti_buf_printf(&d->b, "</small></h3>\n");
    if (r->facts || r->run_dir)
        facts(&d->b, r->facts ? r->facts : only_dir);
    lti_buf_printf(&d->b, "</section>\n");
}

lt_status lti_put_runs(lti_doc *d)
{
    const lt_report_spec *s = d->spec;
    if (s->n_rows > 0) {
        lti_section(d, "The runs");
        for (int i = 0; i < s->n_rows; i++)
            put_run(d, i);
    }
    if (s->facts && s->facts[0]) {
        lti_section(d, "Facts");
        facts(&d->b, s->facts);
    }
    return LT_OK;
}
