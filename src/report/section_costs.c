// section_costs.c - what a deletion costs: search, mask and update, in seconds and passes.
#include "report/section.h"
#include <math.h>

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
    lti_row_head(d, row);
    for (int i = 0; i < LT_N_COSTS; i++)
        lti_cell(d, row, c->seconds[i], 1);
    lti_cell(d, row, c->eval_s, 1);
    lti_cell(d, row, sum3(c->forward), 0);
    lti_cell(d, row, sum3(c->backward), 0);
    lti_cell(d, row, total.seconds, 1);
    lti_cell(d, row, 100 * total.of_time, 1);
    lti_cell(d, row, 100 * total.of_passes, 1);
    lti_buf_printf(&d->b, "</tr>\n");
}

static lt_status put_costs(lti_doc *d)
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

static void write_costs(lti_lines *w)
{
    static const char *const phase[LT_N_COSTS] = {"search", "mask", "update"};
    char name[40];
    for (int i = 0; i < w->d->spec->n_rows; i++) {
        const lt_report_cost *c = w->d->spec->rows[i].cost;
        for (int k = 0; c && k < LT_N_COSTS; k++) {
            lti_format(name, sizeof name, "%s_s", phase[k]);
            lti_lines_row(w, "cost", i, name, c->seconds[k]);
            lti_format(name, sizeof name, "%s_forward", phase[k]);
            lti_lines_row(w, "cost", i, name, c->forward[k]);
            lti_format(name, sizeof name, "%s_backward", phase[k]);
            lti_lines_row(w, "cost", i, name, c->backward[k]);
        }
        if (!c)
            continue;
        lti_deletion total = lti_deletion_cost(w->d->spec, c);
        lti_lines_row(w, "cost", i, "eval_s", c->eval_s);
        lti_lines_row(w, "cost", i, "deletion_s", total.seconds);
        lti_lines_row(w, "cost", i, "of_retraining_time", total.of_time);
        lti_lines_row(w, "cost", i, "of_retraining_passes", total.of_passes);
    }
}

const lti_report_section lti_section_costs = {
    .name = "costs",
    .put = put_costs,
    .lines = write_costs,
};
