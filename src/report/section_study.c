// section_study.c - a study: one line per method and access setting, its runs averaged, with their spread.
//
// What differs between methods names a line; what all of them share is said once. Everything comes from the result of
// the study, so the page is the same whether it ends a sweep or is made later from summary.json.
#include "report/section.h"
#include <math.h>
#include <string.h>

static const lt_study_result *study_of(const lt_report_spec *spec)
{
    for (int i = 0; i < lti_n_sections; i++)
        if (lti_sections[i] == &lti_section_study)
            return spec->own[i];
    return NULL;
}

static lt_status gather_study(lti_gather *g)
{
    const lt_study_result *x = g->source->study;
    if (!x)
        return LT_OK;
    lt_report_lint *lint = lti_gather_alloc(g, (size_t)x->lint.n, sizeof *lint);
    lt_study_result *kept = lti_gather_alloc(g, 1, sizeof *kept);
    if (!lint || !kept)
        return LTI_NOMEM("report");
    *kept = *x; // borrows what it points to
    g->spec->own[g->self] = kept;
    for (int i = 0; i < x->lint.n; i++)
        lint[i] = (lt_report_lint){-1, x->lint.item[i].severity, x->lint.item[i].id, x->lint.item[i].text};
    g->spec->lint = lint;
    g->spec->n_lint = x->lint.n;
    g->spec->subtitle = lti_gather_text(g, "%s on %s", x->model, x->data);
    g->spec->note = lti_gather_text(
        g,
        "A study of %d original model%s, %d forget set%s, %d repetition%s, and %d retrained model%s for each. A line "
        "averages the runs of one method; numbers after \xc2\xb1 are standard deviations over runs.",
        x->n_bases, x->n_bases == 1 ? "" : "s", x->n_forget_sets, x->n_forget_sets == 1 ? "" : "s", x->n_repetitions,
        x->n_repetitions == 1 ? "" : "s", x->n_oracles, x->n_oracles == 1 ? "" : "s");
    return g->spec->subtitle && g->spec->note ? LT_OK : LTI_NOMEM("report");
}

// ---- what is shown

static bool is_measured(const lt_study_result *x, int metric)
{
    for (int i = 0; i < x->n_summaries; i++)
        if (x->summary[i].value[metric].n)
            return true;
    return false;
}

// Columns of the first table: accuracies, MIS, and for every attack its AUC of forgotten against test samples.
static bool is_main(const lt_study_metric *m)
{
    static const char *const listed[] = {"ua", "ra", "ta", "mis", "phi_ft_auc"};
    for (size_t i = 0; i < sizeof listed / sizeof *listed; i++)
        if (!strcmp(m->column, listed[i]))
            return true;
    const char *end = strstr(m->column, "_ft_auc");
    return m->attack && !m->gap && end && !end[strlen("_ft_auc")];
}

static bool is_column(const lt_study_result *x, int metric)
{
    return (is_main(&x->metric[metric]) || x->metric[metric].gap) && is_measured(x, metric);
}

static const char *title_of(const lt_study_summary *s)
{
    return s->role == LT_STUDY_ORIGINAL ? "Original" : s->role == LT_STUDY_RETRAINED ? "Retrained (oracle)" : s->method;
}

// ---- options: "lr=0.01 epochs=10", word by word

static const char *next_word(const char *at, size_t *n)
{
    at += strspn(at, " ");
    *n = strcspn(at, " ");
    return *n ? at : NULL;
}

static bool has_word(const char *options, const char *word, size_t n)
{
    size_t length;
    for (const char *at = next_word(options, &length); at; at = next_word(at + length, &length))
        if (length == n && !strncmp(at, word, n))
            return true;
    return false;
}

static bool is_shared(const lt_study_result *x, const char *word, size_t n)
{
    for (int i = 0; i < x->n_summaries; i++)
        if (x->summary[i].role == LT_STUDY_METHOD &&
            !has_word(x->summary[i].options ? x->summary[i].options : "", word, n))
            return false;
    return true;
}

// Those that every method has, or those in which this one differs from some other.
static void put_options(lti_buf *b, const lt_study_result *x, const lt_study_summary *s, bool shared)
{
    size_t n;
    const char *separator = "";
    for (const char *at = next_word(s->options ? s->options : "", &n); at; at = next_word(at + n, &n))
        if (is_shared(x, at, n) == shared) {
            char *word = lti_asprintf("%s%.*s", separator, (int)n, at);
            b->failed = b->failed || !word;
            lti_html_text(b, word);
            lti_free(word);
            separator = ", ";
        }
}

static void put_name(lti_doc *d, const lt_study_result *x, const lt_study_summary *s)
{
    lti_buf *b = &d->b;
    lti_html_text(b, title_of(s));
    if (s->role != LT_STUDY_METHOD)
        return;
    lti_buf_puts(b, " <small>");
    lti_html_text(b, s->access);
    lti_buf_puts(b, "</small><small>");
    put_options(b, x, s, false);
    lti_buf_puts(b, "</small>");
    if (s->tuned_on_oracle)
        lti_buf_puts(b, "<small>area chosen with an oracle</small>");
}

// ---- the table

static void put_spread(lti_buf *b, const lt_study_value *v, bool with_interval)
{
    if (!v->n) {
        lti_buf_puts(b, "<td>&ndash;</td>");
        return;
    }
    lti_buf_printf(b, "<td>%.1f", 100 * v->mean);
    if (isfinite(v->sd))
        lti_buf_printf(b, "<small>&plusmn;%.1f</small>", 100 * v->sd);
    if (with_interval && isfinite(v->low))
        lti_buf_printf(b, "<small>%.1f to %.1f</small>", 100 * v->low, 100 * v->high);
    lti_buf_puts(b, "</td>");
}

// The verdict and the gaps first: on a narrow screen they are what is seen.
static void put_heads(lti_doc *d, const lt_study_result *x)
{
    lti_buf *b = &d->b;
    lti_buf_puts(b, "<div class=\"scroll\" tabindex=\"0\"><table>\n<thead><tr><th scope=\"col\">Method</th>"
                    "<th scope=\"col\">All metrics against retraining</th><th scope=\"col\" class=\"wide\">Runs</th>");
    for (int gap = 1; gap >= 0; gap--)
        for (int m = 0; m < x->n_metrics; m++)
            if (is_column(x, m) && x->metric[m].gap == gap) {
                lti_buf_puts(b, "<th scope=\"col\">");
                lti_html_title(b, x->metric[m].title);
                lti_buf_puts(b, gap ? "</th>" : ", %</th>");
            }
    lti_buf_puts(b, "</tr></thead>\n<tbody>\n");
}

static void put_table(lti_doc *d, const lt_study_result *x)
{
    lti_buf *b = &d->b;
    put_heads(d, x);
    for (int i = 0; i < x->n_summaries; i++) {
        const lt_study_summary *s = &x->summary[i];
        lti_buf_puts(b, s->role == LT_STUDY_METHOD ? "<tr><th scope=\"row\">" : "<tr class=\"ref\"><th scope=\"row\">");
        put_name(d, x, s);
        lti_buf_puts(b, "</th><td class=\"text\">");
        lti_html_text(b, s->verdict ? s->verdict : "\xe2\x80\x93");
        lti_buf_printf(b, "</td><td class=\"wide\">%d</td>", s->n_runs);
        for (int gap = 1; gap >= 0; gap--)
            for (int m = 0; m < x->n_metrics; m++)
                if (is_column(x, m) && x->metric[m].gap == gap)
                    put_spread(b, &s->value[m], gap);
        lti_buf_puts(b, "</tr>\n");
    }
    lti_buf_puts(b, "</tbody></table></div>\n");
}

static void put_shared(lti_doc *d, const lt_study_result *x)
{
    lti_buf shared = {0};
    for (int i = 0; i < x->n_summaries && !shared.n; i++)
        if (x->summary[i].role == LT_STUDY_METHOD)
            put_options(&shared, x, &x->summary[i], true);
    if (shared.n) {
        lti_buf_puts(&d->b, "<p class=\"small\">Every method has ");
        lti_buf_add(&d->b, shared.data ? shared.data : "", shared.n);
        lti_buf_puts(&d->b, ".</p>\n");
    }
    lti_buf_clear(&shared);
}

static void put_tuning(lti_doc *d, const lt_study_result *x)
{
    if (!x->objective)
        return;
    lti_buf_printf(&d->b,
                   "<p>%d settings were tried on the original model of seed %llu and a forget set that is not "
                   "evaluated (",
                   x->n_tried, (unsigned long long)x->tuning_base);
    lti_html_text(&d->b, x->tuning_forget);
    lti_buf_puts(&d->b, "); those with the smallest ");
    lti_html_text(&d->b, x->objective);
    lti_buf_puts(&d->b, x->uses_oracle
                            ? " were chosen. That objective compares with retrained models, which nobody has who needs "
                              "unlearning: learning rates, and so learning-rate areas, were chosen by seeing an oracle "
                              "where a line says so.</p>\n"
                            : " were chosen. That objective needs no retrained model.</p>\n");
}

// ---- charts: the difference from retraining of every method, metric by metric

enum { ROW_H = 20, HEAD = 48, NAMES = 112 };

static double oracle_mean(const lt_study_result *x, int metric)
{
    for (int i = 0; i < x->n_summaries; i++)
        if (x->summary[i].role == LT_STUDY_RETRAINED)
            return x->summary[i].value[metric].mean;
    return (double)NAN;
}

static bool is_drawn(const lt_study_summary *s, int metric)
{
    return s->role != LT_STUDY_RETRAINED && s->value[metric].n && s->value[metric].is_compared;
}

// The interval of the mean, moved to the difference; without one the mean alone.
static lt_interval difference_interval(const lt_study_value *v)
{
    const double shift = v->test.difference - v->mean;
    return (lt_interval){v->low + shift, v->high + shift};
}

static void widen(lti_axis *axis, double v)
{
    if (isfinite(v)) {
        axis->lo = fmin(axis->lo, v);
        axis->hi = fmax(axis->hi, v);
    }
}

static lti_axis points_axis(const lt_study_result *x, int metric)
{
    lti_axis axis = {.label = "difference to the oracles, percentage points", .want = 4};
    for (int i = 0; i < x->n_summaries; i++) {
        const lt_study_value *v = &x->summary[i].value[metric];
        if (!is_drawn(&x->summary[i], metric))
            continue;
        widen(&axis, 100 * v->test.difference);
        widen(&axis, 100 * difference_interval(v).low);
        widen(&axis, 100 * difference_interval(v).high);
    }
    const double half = 2 * fmax(fmax(-axis.lo, axis.hi), 0.5);
    if (x->band[metric].is_known) {
        widen(&axis, -fmin(100 * x->band[metric].half_width, half));
        widen(&axis, fmin(100 * x->band[metric].half_width, half));
    }
    return axis;
}

static void put_difference(lti_plot *p, const lt_study_summary *s, int metric, int row)
{
    const lt_study_value *v = &s->value[metric];
    const bool original = s->role == LT_STUDY_ORIGINAL;
    const bool retains = s->access && !strcmp(s->access, lt_access_text(LT_ACCESS_RETAIN));
    const lti_style style = {.color = original ? LTI_SOFT : retains ? 0 : 1};
    lti_plot_row(p, row, title_of(s), -1);
    lti_plot_span(p, 100 * difference_interval(v).low, 100 * difference_interval(v).high, row + 0.5, style);
    lti_plot_mark(p, 100 * v->test.difference, row + 0.5, original ? LTI_RING : retains ? LTI_DOT : LTI_DIAMOND, style);
}

static void put_chart(lti_doc *d, const lt_study_result *x, int metric)
{
    const lt_study_band *band = &x->band[metric];
    int n_rows = 0, row = 0;
    char subtitle[64] = "";
    lti_buf desc = {0};
    lti_plot p;
    lti_buf_puts(&desc, "Difference to the oracles in percentage points.");
    for (int i = 0; i < x->n_summaries; i++)
        if (is_drawn(&x->summary[i], metric)) {
            n_rows++;
            lti_buf_printf(&desc, " %s: %+.1f.", title_of(&x->summary[i]),
                           100 * x->summary[i].value[metric].test.difference);
        }
    if (band->is_known)
        lti_format(subtitle, sizeof subtitle, "null band \xc2\xb1%.1f", 100 * band->half_width);
    lti_plot_open(d,
                  &(lti_frame){.title = x->metric[metric].title,
                               .subtitle = subtitle,
                               .desc = lti_desc(d, &desc),
                               .height = HEAD + ROW_H * n_rows,
                               .left = NAMES,
                               .x = points_axis(x, metric),
                               .y = {.lo = n_rows, .hi = 0}},
                  &p);
    lti_buf_clear(&desc);
    if (band->is_known)
        lti_plot_box(&p, -100 * band->half_width, 100 * band->half_width, 0, n_rows);
    lti_plot_zero(&p, 0);
    for (int i = 0; i < x->n_summaries; i++)
        if (is_drawn(&x->summary[i], metric))
            put_difference(&p, &x->summary[i], metric, row++);
    lti_plot_close(&p);
}

static bool has_chart(const lt_study_result *x, int metric)
{
    bool any = false;
    for (int i = 0; i < x->n_summaries; i++)
        any = any || is_drawn(&x->summary[i], metric);
    return any && is_main(&x->metric[metric]);
}

static void put_charts(lti_doc *d, const lt_study_result *x)
{
    int n = 0;
    for (int m = 0; m < x->n_metrics; m++)
        n += has_chart(x, m);
    if (n == 0)
        return;
    lti_section(d, "Difference from retraining, with intervals");
    lti_small(d, "The mean over the runs of a method minus the mean of the oracles of the same original models and "
                 "forget sets. Bars are 95 % bootstrap intervals over the draw of original model and forget set. "
                 "Inside the shaded null band a model differs no more than one more retrained model would.");
    lti_legend_open(d);
    lti_legend_mark(d, LTI_RING, (lti_style){.color = LTI_SOFT}, "original");
    lti_legend_mark(d, LTI_DOT, (lti_style){.color = 0}, lt_access_text(LT_ACCESS_RETAIN));
    lti_legend_mark(d, LTI_DIAMOND, (lti_style){.color = 1}, lt_access_text(LT_ACCESS_FORGET_ONLY));
    lti_legend_close(d);
    lti_buf_puts(&d->b, "<div class=\"grid\">\n");
    for (int m = 0; m < x->n_metrics; m++)
        if (has_chart(x, m))
            put_chart(d, x, m);
    lti_buf_puts(&d->b, "</div>\n");
}

// ---- every metric, one a line

static void put_band_cell(lti_buf *b, const lt_study_result *x, int metric)
{
    const lt_study_band *band = &x->band[metric];
    const double mean = oracle_mean(x, metric);
    lti_buf_puts(b, "<td>");
    lti_html_number(b, 100 * mean, 1);
    if (band->is_known)
        lti_buf_printf(b, "<small>&plusmn;%.1f band</small>", 100 * band->half_width);
    lti_buf_puts(b, "</td>");
}

static void put_verdict_cell(lti_buf *b, const lt_study_value *v)
{
    const bool differs = v->is_compared && v->test.verdict == LT_VERDICT_DIFFERENT;
    if (!v->n) {
        lti_buf_puts(b, "<td>&ndash;</td>");
        return;
    }
    lti_buf_printf(b, "<td%s>%.1f", differs ? " class=\"ne\"" : "", 100 * v->mean);
    if (isfinite(v->sd))
        lti_buf_printf(b, "<small>&plusmn;%.1f</small>", 100 * v->sd);
    if (v->is_compared) {
        lti_buf_puts(b, "<small>");
        lti_html_text(b, lt_verdict_text(v->test.verdict));
        lti_buf_puts(b, "</small>");
    }
    lti_buf_puts(b, "</td>");
}

static void put_metrics(lti_doc *d, const lt_study_result *x)
{
    lti_buf *b = &d->b;
    lti_section(d, "Metrics and verdicts");
    lti_small(d, "In %, means over runs with their standard deviation, and the verdict of all runs together against "
                 "the oracles; the null band is where one more retrained model would fall.");
    lti_table_open(d, x->n_metrics);
    lti_buf_puts(b, "\n<thead><tr><th scope=\"col\">Metric, %</th><th scope=\"col\">Oracles</th>");
    for (int i = 0; i < x->n_summaries; i++)
        if (x->summary[i].role != LT_STUDY_RETRAINED) {
            lti_buf_puts(b, "<th scope=\"col\">");
            put_name(d, x, &x->summary[i]);
            lti_buf_puts(b, "</th>");
        }
    lti_buf_puts(b, "</tr></thead>\n<tbody>\n");
    for (int m = 0; m < x->n_metrics; m++) {
        if (!is_measured(x, m))
            continue;
        lti_buf_puts(b, "<tr><th scope=\"row\">");
        lti_html_title(b, x->metric[m].title);
        lti_buf_puts(b, "</th>");
        put_band_cell(b, x, m);
        for (int i = 0; i < x->n_summaries; i++)
            if (x->summary[i].role != LT_STUDY_RETRAINED)
                put_verdict_cell(b, &x->summary[i].value[m]);
        lti_buf_puts(b, "</tr>\n");
    }
    lti_buf_puts(b, "</tbody></table></div>\n");
}

static void put_failures(lti_doc *d, const lt_study_result *x)
{
    if (x->n_failures == 0)
        return;
    lti_section(d, "What failed");
    lti_buf_puts(&d->b, "<ul class=\"lint\">\n");
    for (int i = 0; i < x->n_failures; i++) {
        lti_buf_printf(&d->b, "<li><b>%s</b>", lt_study_state_text(x->failure[i].state));
        lti_html_text(&d->b, x->failure[i].id);
        lti_buf_puts(&d->b, ": ");
        lti_html_text(&d->b, x->failure[i].error);
        lti_buf_puts(&d->b, "</li>\n");
    }
    lti_buf_puts(&d->b, "</ul>\n");
}

static lt_status put_study(lti_doc *d)
{
    const lt_study_result *x = study_of(d->spec);
    if (!x || x->n_summaries == 0)
        return LT_OK;
    lti_section(d, "Comparison with retraining");
    put_table(d, x);
    put_shared(d, x);
    lti_small(d,
              "The oracle is a model trained from scratch without the forgotten samples: the target is to be like it, "
              "not to score low. The average gap is the mean absolute difference to it over forget, retain and test "
              "accuracy and the membership metric in brackets, in percentage points, computed per run and averaged "
              "then, with its 95 % interval; the oracle's is that of each oracle to the others.");
    put_tuning(d, x);
    put_charts(d, x);
    put_metrics(d, x);
    put_failures(d, x);
    return LT_OK;
}

static void write_study(lti_lines *w)
{
    const lt_study_result *x = study_of(w->d->spec);
    for (int i = 0; x && i < x->n_summaries; i++) {
        const lt_study_summary *s = &x->summary[i];
        char *name = lti_asprintf("%s%s%s", title_of(s), s->access ? ", " : "", s->access ? s->access : "");
        w->b->failed = w->b->failed || !name;
        for (int m = 0; m < x->n_metrics; m++)
            if (s->value[m].n)
                lti_lines_add(w, &(lti_line){"study", NULL, name, x->metric[m].column,
                                             s->value[m].is_compared ? lt_verdict_text(s->value[m].test.verdict) : NULL,
                                             s->value[m].mean, (lt_interval){s->value[m].low, s->value[m].high}});
        if (s->options)
            lti_lines_add(w, &(lti_line){"study", NULL, name, "options", s->options, (double)NAN, lti_no_interval});
        lti_free(name);
    }
}

const lti_report_section lti_section_study = {
    .name = "study",
    .gather = gather_study,
    .put = put_study,
    .lines = write_study,
};
