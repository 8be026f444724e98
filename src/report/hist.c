// hist.c - histograms of confidence and of attack scores of retained, forgotten and test samples, with fitted normals.
// [AMUN 7.8]
//
// One panel a method, of its first run; all panels of one kind share their axes, so that shapes compare.
#include "report/section.h"
#include <math.h>
#include <string.h>

#define PHI "\xcf\x86"

typedef struct kind { // what is shown: phi of the signals, or the scores of one attack
    int attack;       // -1 = phi
    const char *x_label, *y_label;
    bool round; // range to whole numbers
} kind;
typedef struct panel {
    int row; // -1 = nothing to show
    lti_hist group[3];
} panel;

// Values of one row and group (-1 = all), finite ones only.
static int64_t values_of(const lt_report_row *r, const kind *k, int group, double *out)
{
    if (k->attack < 0)
        return lt_signals_feature(r->signals, LT_FEAT_PHI, group, out);
    int64_t n = 0;
    for (int64_t i = 0; i < r->signals->n; i++)
        if ((group < 0 || r->signals->group[i] == group) && isfinite(r->score[k->attack][i]))
            out[n++] = r->score[k->attack][i];
    return n;
}

static bool has(const lt_report_row *r, const kind *k)
{
    return r->signals && (k->attack < 0 || (r->score && r->score[k->attack]));
}

// The first row of the group that has what is shown.
static int first_row(const lti_doc *d, const lti_group *g, const kind *k)
{
    for (int i = 0; i < g->n; i++)
        if (has(&d->spec->rows[g->row[i]], k))
            return g->row[i];
    return -1;
}

// The 0.5 % and 99.5 % quantiles of all values of all panels.
static lt_status common_range(const lti_doc *d, const kind *k, const panel *panels, lti_hist_axis *axis)
{
    int64_t total = 0, n = 0;
    size_t bytes;
    for (int g = 0; g < d->n_groups; g++)
        total += panels[g].row >= 0 ? d->spec->rows[panels[g].row].signals->n : 0;
    double *all = lti_mul_size((size_t)total, sizeof *all, &bytes) ? NULL : lti_malloc(bytes);
    if (!all)
        return LTI_NOMEM("histogram");
    for (int g = 0; g < d->n_groups; g++)
        if (panels[g].row >= 0)
            n += values_of(&d->spec->rows[panels[g].row], k, -1, all + n);
    lti_sort_values(all, n);
    axis->lo = n ? all[(int64_t)(0.005 * (double)(n - 1))] : 0;
    axis->hi = n ? all[(int64_t)(0.995 * (double)(n - 1))] : 0;
    if (k->round) {
        axis->lo = floor(axis->lo);
        axis->hi = ceil(axis->hi);
    }
    if (!(axis->hi > axis->lo))
        axis->hi = axis->lo + 1;
    lti_free(all);
    return LT_OK;
}

static lt_status fill_panel(const lt_report_row *r, const kind *k, const lti_hist_axis *axis, panel *p)
{
    size_t bytes;
    double *value = lti_mul_size((size_t)r->signals->n, sizeof *value, &bytes) ? NULL : lti_malloc(bytes);
    if (!value)
        return LTI_NOMEM("histogram");
    for (int g = 0; g < 3; g++) {
        int64_t n = values_of(r, k, g, value);
        lti_hist_fill(&p->group[g], axis, value, n);
    }
    lti_free(value);
    return LT_OK;
}

// The highest inner bin of all panels, so that clipped tails do not set the scale.
static double common_top(const panel *panels, int n)
{
    double top = 0;
    for (int i = 0; i < n; i++)
        for (int g = 0; g < 3 && panels[i].row >= 0; g++)
            for (int k = 1; k + 1 < LTI_HIST_BINS; k++)
                top = fmax(top, panels[i].group[g].density[k]);
    return top > 0 ? top : 1;
}

// ---- drawing

static const lti_style group_style[3] = {{.color = 0}, {.color = 1}, {.color = LTI_INK}}; // retain, forget, test
static const int order[3] = {LT_GROUP_RETAIN, LT_GROUP_TEST, LT_GROUP_FORGET};            // forget on top

static void normal(lti_plot *p, const lti_hist *h, const lti_hist_axis *axis, lti_style style)
{
    enum { N = 81 };
    double x[N], y[N];
    if (!(h->sd > 0))
        return;
    for (int i = 0; i < N; i++) {
        x[i] = axis->lo + (axis->hi - axis->lo) * i / (N - 1);
        double z = (x[i] - h->mean) / h->sd;
        y[i] = exp(-0.5 * z * z) / (h->sd * sqrt(2 * 3.14159265358979323846));
    }
    style.dash = 2;
    lti_plot_line(p, N, x, y, style);
}

static void describe_panel(const panel *q, lti_buf *b)
{
    static const char *const name[3] = {"retain", "forget", "test"};
    lti_buf_printf(b, "Mean, standard deviation and median:");
    for (int g = 0; g < 3; g++)
        if (q->group[g].n > 0)
            lti_buf_printf(b, " %s %.2f, %.2f, %.2f.", name[g], q->group[g].mean,
                           isfinite(q->group[g].sd) ? q->group[g].sd : 0.0, q->group[g].median);
}

static void draw_panel(lti_doc *d, const kind *k, const panel *q, const panel *before, lti_hist_axis axis)
{
    const lt_report_row *r = &d->spec->rows[q->row];
    lti_buf desc = {0};
    lti_plot p;
    describe_panel(q, &desc);
    lti_plot_open(d,
                  &(lti_frame){.title = lti_row_title(d, q->row),
                               .subtitle = r->setting,
                               .desc = lti_desc(d, &desc),
                               .x = {.label = k->x_label, .lo = axis.lo, .hi = axis.hi, .tight = true, .want = 6},
                               .y = {.label = k->y_label, .hi = axis.top, .want = 4}},
                  &p);
    lti_buf_clear(&desc);
    for (int i = 0; i < 3; i++)
        if (q->group[order[i]].n > 0) {
            const lti_hist *h = &q->group[order[i]];
            lti_plot_bars(&p, LTI_HIST_BINS, axis.lo, axis.hi, h->density, group_style[order[i]], true);
            lti_plot_bars(&p, LTI_HIST_BINS, axis.lo, axis.hi, h->density, group_style[order[i]], false);
        }
    for (int i = 0; i < 3; i++)
        normal(&p, &q->group[order[i]], &axis, group_style[order[i]]);
    if (before && before->group[LT_GROUP_FORGET].n > 0 && r->role != LT_ROW_ORIGINAL)
        lti_plot_bars(&p, LTI_HIST_BINS, axis.lo, axis.hi, before->group[LT_GROUP_FORGET].density,
                      (lti_style){.color = 1, .dash = 4}, false);
    for (int i = 0; i < 3; i++)
        if (isfinite(q->group[order[i]].median))
            lti_plot_mark(&p, q->group[order[i]].median, 0, LTI_DIAMOND, group_style[order[i]]);
    lti_plot_close(&p);
}

static void draw_all(lti_doc *d, const kind *k, const panel *panels, lti_hist_axis axis)
{
    const panel *before = NULL;
    for (int g = 0; g < d->n_groups && !before; g++)
        if (panels[g].row >= 0 && d->group[g].role == LT_ROW_ORIGINAL)
            before = &panels[g];
    lti_legend_open(d);
    lti_legend(d, group_style[0], "retain");
    lti_legend(d, group_style[1], "forget");
    lti_legend(d, group_style[2], "test");
    lti_legend(d, (lti_style){.color = LTI_SOFT, .dash = 2}, "fitted normal");
    if (before)
        lti_legend(d, (lti_style){.color = 1, .dash = 4}, "forget, before unlearning");
    lti_legend_mark(d, LTI_DIAMOND, (lti_style){.color = LTI_SOFT}, "median");
    lti_legend_close(d);
    lti_buf_printf(&d->b, "<div class=\"grid\">\n");
    for (int g = 0; g < d->n_groups; g++)
        if (panels[g].row >= 0)
            draw_panel(d, k, &panels[g], before, axis);
    lti_buf_printf(&d->b, "</div>\n");
}

static lt_status show(lti_doc *d, const kind *k, const char *title, const char *text)
{
    int n = 0;
    lti_hist_axis axis = {0};
    panel *panels = lti_calloc((size_t)d->n_groups + 1, sizeof *panels);
    if (!panels)
        return LTI_NOMEM("histogram");
    for (int g = 0; g < d->n_groups; g++) {
        panels[g].row = first_row(d, &d->group[g], k);
        n += panels[g].row >= 0;
    }
    lt_status status = n > 0 ? common_range(d, k, panels, &axis) : LT_OK;
    for (int g = 0; g < d->n_groups && status == LT_OK; g++)
        if (panels[g].row >= 0)
            status = fill_panel(&d->spec->rows[panels[g].row], k, &axis, &panels[g]);
    if (n > 0 && status == LT_OK) {
        axis.top = common_top(panels, d->n_groups);
        lti_section(d, title);
        lti_small(d, text);
        draw_all(d, k, panels, axis);
    }
    lti_free(panels);
    return status;
}

static lt_status put_histograms(lti_doc *d)
{
    const kind phi = {.attack = -1,
                      .x_label = PHI " = log( p(true class) / p(any other) ), nats",
                      .y_label = "density per nat",
                      .round = true};
    LT_TRY(show(d, &phi, "Confidence before and after",
                "After good unlearning the forgotten samples look like test samples (as for the oracle), not like "
                "retained ones. Of several runs of a method the first is shown; values beyond the axis are counted in "
                "its end bins."));
    if (d->spec->n_attacks == 0)
        return LT_OK;
    char *label = lti_asprintf("score of %s, larger = more likely a member", d->spec->attacks[0]);
    if (!label)
        return LTI_NOMEM("histogram");
    const kind score = {.attack = 0, .x_label = label, .y_label = "density"};
    lt_status status = show(d, &score, "Scores of the strongest attack",
                            "The same samples as the attack scores them: what it tells apart are forgotten and test "
                            "samples.");
    lti_free(label);
    return status;
}

const lti_report_section lti_section_histograms = {
    .name = "histograms",
    .put = put_histograms,
};
