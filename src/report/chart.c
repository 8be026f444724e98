// chart.c - line charts and histograms as inline SVG.
//
// Every chart is one <figure> with its own axes: a 340 x 220 user-space drawing that scales to its column, so labels
// stay readable when a phone shows one figure per row. Axes carry label and unit; ticks fall on 1, 2 or 5 times a power
// of ten.
#include "report/report_impl.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CHART_W = 340, CHART_H = 220, LEFT = 44, RIGHT = 10, TOP = 10, BOTTOM = 38 };
static const double PLOT_W = CHART_W - LEFT - RIGHT, PLOT_H = CHART_H - TOP - BOTTOM;

struct axis {
    double lo, hi, step;
    int decimals;
};

// Ticks for [lo, hi] with about `want` steps; the ends move out to ticks.
static struct axis nice_axis(double lo, double hi, int want)
{
    if (!(hi > lo)) {
        double pad = fabs(lo) > 0 ? 0.1 * fabs(lo) : 1;
        lo -= pad;
        hi += pad;
    }
    double raw = (hi - lo) / want, power = pow(10, floor(log10(raw))), m = raw / power;
    struct axis a;
    a.step = power * (m <= 1 ? 1 : m <= 2 ? 2 : m <= 5 ? 5 : 10);
    a.lo = a.step * floor(lo / a.step + 1e-9);
    a.hi = a.step * ceil(hi / a.step - 1e-9);
    a.decimals = a.step >= 1 ? 0 : (int)ceil(-log10(a.step) - 1e-9);
    return a;
}

static double to_x(const struct axis *a, double v)
{
    return LEFT + PLOT_W * (v - a->lo) / (a->hi - a->lo);
}

static double to_y(const struct axis *a, double v)
{
    return TOP + PLOT_H * (1 - (v - a->lo) / (a->hi - a->lo));
}

static void draw_axes(lti_buf *b, const struct axis *x, const struct axis *y, const char *x_label, const char *y_label)
{
    int ny = (int)lround((y->hi - y->lo) / y->step);
    double first = ceil(x->lo / x->step - 1e-9); // the x axis may begin and end between ticks
    int nx = (int)floor(x->hi / x->step - first + 1e-9);
    for (int i = 0; i <= ny; i++) {
        double v = y->lo + i * y->step, py = to_y(y, v);
        lti_buf_printf(b, "<line class=\"rule\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>", LEFT, CHART_W - RIGHT,
                       py, py);
        lti_buf_printf(b, "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.*f</text>\n", LEFT - 5, py + 3.5,
                       y->decimals, v);
    }
    for (int i = 0; i <= nx; i++) {
        double v = (first + i) * x->step, px = to_x(x, v);
        lti_buf_printf(b, "<line class=\"axis\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\"/>", px, px,
                       CHART_H - BOTTOM, CHART_H - BOTTOM + 4);
        lti_buf_printf(b, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%.*f</text>\n", px, CHART_H - BOTTOM + 15,
                       x->decimals, v);
    }
    lti_buf_printf(b, "<line class=\"axis\" x1=\"%d\" x2=\"%d\" y1=\"%d\" y2=\"%d\"/>", LEFT, CHART_W - RIGHT,
                   CHART_H - BOTTOM, CHART_H - BOTTOM);
    lti_buf_printf(b, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">", LEFT + PLOT_W / 2, CHART_H - 6);
    lti_html_text(b, x_label);
    lti_buf_printf(b, "</text><text transform=\"translate(11 %.1f) rotate(-90)\" text-anchor=\"middle\">",
                   TOP + PLOT_H / 2);
    lti_html_text(b, y_label);
    lti_buf_printf(b, "</text>\n");
}

static void open_figure(lti_buf *b, const char *title, const char *subtitle)
{
    lti_buf_printf(b, "<figure><figcaption>");
    lti_html_text(b, title);
    if (subtitle && *subtitle) {
        lti_buf_printf(b, " <span>");
        lti_html_text(b, subtitle);
        lti_buf_printf(b, "</span>");
    }
    lti_buf_printf(b, "</figcaption>\n<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"", CHART_W, CHART_H);
    lti_html_text(b, title);
    lti_buf_printf(b, "\">\n");
}

static bool usable(const lti_series *s, int i)
{
    return isfinite(s->x[i]) && isfinite(s->y[i]);
}

static bool ranges(const lti_chart *c, struct axis *x, struct axis *y)
{
    double lo_x = INFINITY, hi_x = -INFINITY, lo_y = INFINITY, hi_y = -INFINITY;
    for (int k = 0; k < c->n_series; k++)
        for (int i = 0; i < c->series[k].n; i++)
            if (usable(&c->series[k], i)) {
                lo_x = fmin(lo_x, c->series[k].x[i]);
                hi_x = fmax(hi_x, c->series[k].x[i]);
                lo_y = fmin(lo_y, c->series[k].y[i]);
                hi_y = fmax(hi_y, c->series[k].y[i]);
            }
    if (lo_x > hi_x)
        return false;
    if (c->y_from_zero)
        lo_y = 0;
    if (c->y_max_fixed > 0)
        hi_y = c->y_max_fixed;
    *x = nice_axis(lo_x, hi_x, 5);
    x->lo = lo_x < hi_x ? lo_x : x->lo; // curves fill the width
    x->hi = lo_x < hi_x ? hi_x : x->hi;
    *y = nice_axis(lo_y, hi_y, 4);
    return true;
}

void lti_chart_lines(lti_buf *b, const lti_chart *chart)
{
    struct axis x, y;
    if (!ranges(chart, &x, &y))
        return;
    open_figure(b, chart->title, NULL);
    draw_axes(b, &x, &y, chart->x_label, chart->y_label);
    for (int k = 0; k < chart->n_series; k++) {
        const lti_series *s = &chart->series[k];
        bool pen = false;
        int n_points = 0;
        double px = 0, py = 0;
        lti_buf_printf(b, "<path class=\"%s\" stroke=\"var(--c%d)\" d=\"", s->dashed ? "dash" : "", s->color % 8);
        for (int i = 0; i < s->n; i++) {
            if (!usable(s, i))
                continue; // a curve may be sampled every few epochs only: join its points
            px = to_x(&x, s->x[i]);
            py = to_y(&y, fmin(fmax(s->y[i], y.lo), y.hi));
            lti_buf_printf(b, "%s%.1f %.1f", pen ? "L" : "M", px, py);
            pen = true;
            n_points++;
        }
        lti_buf_printf(b, "\"/>\n");
        if (n_points == 1)
            lti_buf_printf(b, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"2.5\" fill=\"var(--c%d)\"/>\n", px, py,
                           s->color % 8);
    }
    lti_buf_printf(b, "</svg></figure>\n");
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void lti_sort_values(double *value, int64_t n)
{
    qsort(value, (size_t)n, sizeof *value, by_value);
}

void lti_hist_fill(lti_hist *hist, const lti_hist_axis *axis, double *value, int64_t n)
{
    memset(hist, 0, sizeof *hist);
    hist->n = n;
    hist->median = NAN;
    if (n <= 0)
        return;
    lti_sort_values(value, n);
    hist->median = n % 2 ? value[n / 2] : 0.5 * (value[n / 2 - 1] + value[n / 2]);
    double width = (axis->hi - axis->lo) / LTI_HIST_BINS;
    for (int64_t i = 0; i < n; i++) {
        double at = (value[i] - axis->lo) / width;
        int bin = at < 0 ? 0 : at >= LTI_HIST_BINS ? LTI_HIST_BINS - 1 : (int)at;
        hist->density[bin] += 1;
    }
    for (int i = 0; i < LTI_HIST_BINS; i++)
        hist->density[i] /= (double)n * width;
}

// The outline of a histogram as a step line; `closed` brings it down to the axis at both ends.
static void step_path(lti_buf *b, const lti_hist *h, const struct axis *x, const struct axis *y, double lo, double hi,
                      bool closed)
{
    double width = (hi - lo) / LTI_HIST_BINS, base = to_y(y, 0);
    lti_buf_printf(b, " d=\"M%.1f %.1f", to_x(x, lo), closed ? base : to_y(y, fmin(h->density[0], y->hi)));
    for (int i = 0; i < LTI_HIST_BINS; i++)
        lti_buf_printf(b, "V%.1fH%.1f", to_y(y, fmin(h->density[i], y->hi)), to_x(x, lo + (i + 1) * width));
    if (closed)
        lti_buf_printf(b, "V%.1fZ", base);
    lti_buf_printf(b, "\"/>\n");
}

void lti_chart_hist(lti_buf *b, const lti_hist_panel *p)
{
    static const int color[3] = {0, 1, 2}; // retain, forget, test
    struct axis x = nice_axis(p->axis.lo, p->axis.hi, 6), y = nice_axis(0, p->axis.top, 4);
    x.lo = p->axis.lo;
    x.hi = p->axis.hi;
    open_figure(b, p->title, p->subtitle);
    draw_axes(b, &x, &y, "\xcf\x86 = log( p(true class) / p(any other) ), nats", "density per nat");
    static const int order[3] = {LT_GROUP_RETAIN, LT_GROUP_TEST, LT_GROUP_FORGET}; // forget on top
    for (int k = 0; k < 3; k++) {
        const lti_hist *h = p->group[order[k]];
        if (!h || h->n == 0)
            continue;
        lti_buf_printf(b, "<path class=\"fill\" style=\"fill:var(--c%d)\"", color[order[k]]);
        step_path(b, h, &x, &y, p->axis.lo, p->axis.hi, true);
        lti_buf_printf(b, "<path stroke=\"var(--c%d)\"", color[order[k]]);
        step_path(b, h, &x, &y, p->axis.lo, p->axis.hi, false);
    }
    if (p->forget_before && p->forget_before->n > 0) {
        lti_buf_printf(b, "<path class=\"dash\" stroke=\"var(--c1)\"");
        step_path(b, p->forget_before, &x, &y, p->axis.lo, p->axis.hi, false);
    }
    for (int k = 0; k < 3; k++) {
        const lti_hist *h = p->group[order[k]];
        if (!h || !isfinite(h->median))
            continue;
        double px = to_x(&x, fmin(fmax(h->median, x.lo), x.hi)), foot = CHART_H - BOTTOM;
        lti_buf_printf(b, "<path style=\"fill:var(--c%d)\" d=\"M%.1f %.1fl-4 7h8z\"/>\n", color[order[k]], px,
                       foot - 7.0);
    }
    lti_buf_printf(b, "</svg></figure>\n");
}
