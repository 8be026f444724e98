// chart.c - the chart layer: axes (linear, logarithmic, rows), lines, bands, bars, marks, labels, as inline SVG.
//
// Every chart is one <figure> with its own axes: a drawing of 340 units width that scales to its column, so labels stay
// readable when a phone shows one figure per row. Axes carry label and unit; linear ticks fall on 1, 2, 2.5 or 5 times
// a power of ten, logarithmic ones on powers of ten. Lines differ in dash as well as in colour. Each drawing has a
// title and a description in words.
#include "report/report_impl.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { HEIGHT = 220, LEFT = 48, RIGHT = 12, TOP = 10, BOTTOM = 38, LABEL_STEP = 12 };

// ---- scales

// Ticks for [lo, hi] with about `want` steps; the ends move out to ticks unless the axis is tight.
static void set_ticks(lti_axis *a)
{
    if (!(a->hi > a->lo)) {
        double pad = fabs(a->lo) > 0 ? 0.1 * fabs(a->lo) : 1;
        a->lo -= pad;
        a->hi += pad;
    }
    int want = a->want > 0 ? a->want : 5;
    double raw = (a->hi - a->lo) / want, power = pow(10, floor(log10(raw))), m = raw / power;
    a->step = power * (m <= 1 + 1e-9 ? 1 : m <= 2 + 1e-9 ? 2 : m <= 2.5 + 1e-9 ? 2.5 : m <= 5 + 1e-9 ? 5 : 10);
    a->decimals = 0;
    double v = a->step;
    while (a->decimals < 12 && fabs(v - round(v)) > 1e-6 * v) {
        v *= 10;
        a->decimals++;
    }
    if (!a->tight) {
        a->lo = a->step * floor(a->lo / a->step + 1e-9);
        a->hi = a->step * ceil(a->hi / a->step - 1e-9);
    }
}

// 0 to 1 along the axis.
static double position(const lti_axis *a, double v)
{
    if (a->log)
        return v > a->lo ? log(fmin(v, a->hi) / a->lo) / log(a->hi / a->lo) : 0;
    double at = (v - a->lo) / (a->hi - a->lo);
    return at < 0 ? 0 : at > 1 ? 1 : at;
}

double lti_plot_x(const lti_plot *p, double v)
{
    return p->left + (LTI_CHART_W - p->left - p->right) * position(&p->x, v);
}

double lti_plot_y(const lti_plot *p, double v)
{
    return p->bottom - (p->bottom - TOP) * position(&p->y, v);
}

// ---- axes

static void text_at(lti_buf *b, double x, double y, const char *anchor, const char *text)
{
    lti_buf_printf(b, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">", x, y, anchor);
    lti_html_text(b, text);
    lti_buf_printf(b, "</text>");
}

static void tick_text(const lti_axis *a, double v, char *out, size_t size)
{
    if (a->log)
        lti_format(out, size, "%g", v);
    else // no minus before a zero
        lti_format(out, size, "%.*f", a->decimals, fabs(v) < 1e-9 * a->step ? 0.0 : v);
}

static void x_tick(const lti_plot *p, double v, const char *text)
{
    double at = lti_plot_x(p, v);
    lti_buf_printf(p->b, "<line class=\"axis\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\"/>", at, at, p->bottom,
                   p->bottom + 4);
    text_at(p->b, at, p->bottom + 15, "middle", text);
}

static void y_tick(const lti_plot *p, double v, const char *text)
{
    double at = lti_plot_y(p, v);
    lti_buf_printf(p->b, "<line class=\"rule\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>", p->left,
                   LTI_CHART_W - p->right, at, at);
    text_at(p->b, p->left - 5, at + 3.5, "end", text);
}

static void put_ticks(const lti_plot *p, const lti_axis *a, void (*put)(const lti_plot *p, double v, const char *text))
{
    char text[32];
    if (a->tick) {
        for (int i = 0; i <= (int)a->hi; i++)
            put(p, i, a->tick[i]);
    } else if (a->log) {
        for (int k = (int)ceil(log10(a->lo) - 1e-9); k <= (int)floor(log10(a->hi) + 1e-9); k++) {
            tick_text(a, pow(10, k), text, sizeof text);
            put(p, pow(10, k), text);
        }
    } else {
        double first = ceil(a->lo / a->step - 1e-9); // a tight axis may begin and end between ticks
        int n = (int)floor(a->hi / a->step - first + 1e-9);
        for (int i = 0; i <= n; i++) {
            double v = (first + i) * a->step;
            tick_text(a, v, text, sizeof text);
            put(p, v, text);
        }
    }
}

static void put_axes(const lti_plot *p)
{
    double middle = 0.5 * (p->left + LTI_CHART_W - p->right);
    if (p->y.label)
        put_ticks(p, &p->y, y_tick);
    put_ticks(p, &p->x, x_tick);
    lti_buf_printf(p->b, "<line class=\"axis\" x1=\"%d\" x2=\"%d\" y1=\"%d\" y2=\"%d\"/>", p->left,
                   LTI_CHART_W - p->right, p->bottom, p->bottom);
    if (p->y.label && middle + 3.0 * (double)strlen(p->x.label) > LTI_CHART_W) // a long label is centred in the figure
        middle = 0.5 * LTI_CHART_W;
    text_at(p->b, middle, p->height - 6, "middle", p->x.label);
    if (p->y.label) {
        lti_buf_printf(p->b, "<text transform=\"translate(11 %.1f) rotate(-90)\" text-anchor=\"middle\">",
                       0.5 * (TOP + p->bottom));
        lti_html_text(p->b, p->y.label);
        lti_buf_printf(p->b, "</text>");
    }
    lti_buf_printf(p->b, "\n");
}

static void set_axis(lti_axis *a)
{
    if (!a->log && !a->tick && a->label)
        set_ticks(a);
}

void lti_plot_open(lti_doc *d, const lti_frame *f, lti_plot *p)
{
    lti_buf *b = &d->b;
    int id = d->n_figures++;
    *p = (lti_plot){.b = b, .x = f->x, .y = f->y};
    p->height = f->height > 0 ? f->height : HEIGHT;
    p->left = f->left > 0 ? f->left : LEFT;
    p->right = f->right > 0 ? f->right : RIGHT;
    p->bottom = p->height - BOTTOM;
    set_axis(&p->x);
    set_axis(&p->y);
    lti_buf_printf(b, "<figure><figcaption>");
    lti_html_text(b, f->title);
    if (f->subtitle && *f->subtitle) {
        lti_buf_printf(b, " <span>");
        lti_html_text(b, f->subtitle);
        lti_buf_printf(b, "</span>");
    }
    lti_buf_printf(b,
                   "</figcaption>\n<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-labelledby=\"t%d d%d\"><title "
                   "id=\"t%d\">",
                   LTI_CHART_W, p->height, id, id, id);
    lti_html_text(b, f->title);
    lti_buf_printf(b, "</title><desc id=\"d%d\">", id);
    lti_html_text(b, f->desc);
    lti_buf_printf(b, "</desc>\n");
    put_axes(p);
}

// ---- marks

static const char *color_of(lti_style s, char out[16])
{
    if (s.color < 0)
        lti_format(out, 16, "var(--%s)", s.color == LTI_INK ? "fg" : "soft");
    else
        lti_format(out, 16, "var(--c%d)", s.color % LTI_N_COLORS);
    return out;
}

static void path_open(lti_buf *b, lti_style s)
{
    char color[16];
    lti_buf_printf(b, "<path class=\"l%d%s\" stroke=\"%s\" d=\"", s.dash % LTI_N_DASHES, s.thick ? " thick" : "",
                   color_of(s, color));
}

void lti_plot_line(lti_plot *p, int n, const double *x, const double *y, lti_style style)
{
    int n_points = 0;
    double last_x = 0, last_y = 0;
    for (int i = 0; i < n; i++) {
        if (!isfinite(x[i]) || !isfinite(y[i]))
            continue;
        if (n_points++ == 0)
            path_open(p->b, style);
        last_x = lti_plot_x(p, x[i]);
        last_y = lti_plot_y(p, y[i]);
        lti_buf_printf(p->b, "%s%.1f %.1f", n_points > 1 ? "L" : "M", last_x, last_y);
    }
    if (n_points > 0)
        lti_buf_printf(p->b, "\"/>\n");
    if (n_points == 1) {
        char color[16];
        lti_buf_printf(p->b, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"2.5\" fill=\"%s\"/>\n", last_x, last_y,
                       color_of(style, color));
    }
}

void lti_plot_band(lti_plot *p, int n, const double *x, const double *lo, const double *hi, lti_style style)
{
    char color[16];
    int n_points = 0;
    for (int i = 0; i < n; i++)
        if (isfinite(lo[i]) && isfinite(hi[i])) {
            if (n_points++ == 0)
                lti_buf_printf(p->b, "<path class=\"fill\" style=\"fill:%s\" d=\"", color_of(style, color));
            lti_buf_printf(p->b, "%s%.1f %.1f", n_points > 1 ? "L" : "M", lti_plot_x(p, x[i]), lti_plot_y(p, hi[i]));
        }
    for (int i = n - 1; i >= 0; i--)
        if (isfinite(lo[i]) && isfinite(hi[i]))
            lti_buf_printf(p->b, "L%.1f %.1f", lti_plot_x(p, x[i]), lti_plot_y(p, lo[i]));
    if (n_points > 0)
        lti_buf_printf(p->b, "Z\"/>\n");
}

void lti_plot_bars(lti_plot *p, int n, double lo, double hi, const double *height, lti_style style, bool fill)
{
    char color[16];
    double width = (hi - lo) / n;
    if (fill)
        lti_buf_printf(p->b, "<path class=\"fill\" style=\"fill:%s\" d=\"M%.1f %.1f", color_of(style, color),
                       lti_plot_x(p, lo), lti_plot_y(p, 0));
    else {
        path_open(p->b, style);
        lti_buf_printf(p->b, "M%.1f %.1f", lti_plot_x(p, lo), lti_plot_y(p, height[0]));
    }
    for (int i = 0; i < n; i++)
        lti_buf_printf(p->b, "V%.1fH%.1f", lti_plot_y(p, height[i]), lti_plot_x(p, lo + (i + 1) * width));
    if (fill)
        lti_buf_printf(p->b, "V%.1fZ", lti_plot_y(p, 0));
    lti_buf_printf(p->b, "\"/>\n");
}

void lti_plot_box(lti_plot *p, double x0, double x1, double y0, double y1)
{
    double left = lti_plot_x(p, x0), top = fmin(lti_plot_y(p, y0), lti_plot_y(p, y1));
    lti_buf_printf(p->b, "<rect class=\"null\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/>\n", left, top,
                   fmax(lti_plot_x(p, x1) - left, 1), fabs(lti_plot_y(p, y1) - lti_plot_y(p, y0)));
}

// The outline of a mark around (x, y) in drawing units.
static void shape_at(lti_buf *b, double x, double y, lti_shape shape, lti_style style)
{
    char color[16];
    color_of(style, color);
    switch (shape) {
    case LTI_DOT:
        lti_buf_printf(b, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3.6\" fill=\"%s\"/>", x, y, color);
        break;
    case LTI_RING:
        lti_buf_printf(b, "<circle class=\"ring\" cx=\"%.1f\" cy=\"%.1f\" r=\"3.4\" stroke=\"%s\"/>", x, y, color);
        break;
    case LTI_SQUARE:
        lti_buf_printf(b, "<rect x=\"%.1f\" y=\"%.1f\" width=\"6.6\" height=\"6.6\" fill=\"%s\"/>", x - 3.3, y - 3.3,
                       color);
        break;
    case LTI_DIAMOND:
        lti_buf_printf(b, "<path style=\"fill:%s\" d=\"M%.1f %.1fl4.4 4.4l-4.4 4.4l-4.4 -4.4z\"/>", color, x, y - 4.4);
        break;
    case LTI_TICK:
        lti_buf_printf(b, "<path class=\"thick\" stroke=\"%s\" d=\"M%.1f %.1fv9\"/>", color, x, y - 4.5);
        break;
    }
}

void lti_plot_mark(lti_plot *p, double x, double y, lti_shape shape, lti_style style)
{
    if (isfinite(x) && isfinite(y))
        shape_at(p->b, lti_plot_x(p, x), lti_plot_y(p, y), shape, style);
}

void lti_plot_span(lti_plot *p, double x0, double x1, double y, lti_style style)
{
    if (!isfinite(x0) || !isfinite(x1))
        return;
    style.dash = 0;
    path_open(p->b, style);
    lti_buf_printf(p->b, "M%.1f %.1fv6M%.1f %.1fH%.1fm0 -3v6\"/>", lti_plot_x(p, x0), lti_plot_y(p, y) - 3,
                   lti_plot_x(p, x0), lti_plot_y(p, y), lti_plot_x(p, x1));
}

void lti_plot_zero(lti_plot *p, double x)
{
    lti_buf_printf(p->b, "<line class=\"axis\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\"/>\n", lti_plot_x(p, x),
                   lti_plot_x(p, x), TOP, p->bottom);
}

void lti_plot_row(lti_plot *p, int row, const char *name, int link)
{
    double y = lti_plot_y(p, row + 0.5);
    if (link >= 0)
        lti_buf_printf(p->b, "<a href=\"#run-%d\">", link + 1);
    lti_buf_printf(p->b, "<text class=\"row\" x=\"%d\" y=\"%.1f\" text-anchor=\"end\">", p->left - 8, y + 4);
    lti_html_short(p->b, name, (p->left - 8) / 6);
    lti_buf_printf(p->b, "</text>");
    if (link >= 0)
        lti_buf_printf(p->b, "</a>");
    lti_buf_printf(p->b, "<line class=\"rule\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>\n", p->left,
                   LTI_CHART_W - p->right, y, y);
}

// ---- labels at the right ends of lines

void lti_plot_label(lti_plot *p, double y, lti_style style, const char *text)
{
    if (p->n_labels < LTI_MAX_LABELS && isfinite(y))
        p->label[p->n_labels++] = (lti_label){lti_plot_y(p, y), style, text};
}

static int by_height(const void *a, const void *b)
{
    double x = ((const lti_label *)a)->y, y = ((const lti_label *)b)->y;
    return (x > y) - (x < y);
}

// Downwards until none overlaps, then up again where the column has run over its foot.
static void spread(const lti_plot *p, double at[LTI_MAX_LABELS])
{
    for (int i = 0; i < p->n_labels; i++)
        at[i] = i > 0 && p->label[i].y < at[i - 1] + LABEL_STEP ? at[i - 1] + LABEL_STEP : p->label[i].y;
    double floor_y = p->bottom;
    for (int i = p->n_labels - 1; i >= 0 && at[i] > floor_y; i--) {
        at[i] = floor_y;
        floor_y -= LABEL_STEP;
    }
}

void lti_plot_close(lti_plot *p)
{
    double at[LTI_MAX_LABELS];
    char color[16];
    int x = LTI_CHART_W - p->right;
    qsort(p->label, (size_t)p->n_labels, sizeof *p->label, by_height);
    spread(p, at);
    for (int i = 0; i < p->n_labels; i++) {
        const lti_label *l = &p->label[i];
        lti_buf_printf(p->b, "<path class=\"lead\" d=\"M%d %.1fL%d %.1f\"/>", x + 1, l->y, x + 7, at[i]);
        lti_buf_printf(p->b, "<text class=\"end\" style=\"fill:%s\" x=\"%d\" y=\"%.1f\">", color_of(l->style, color),
                       x + 9, at[i] + 3.5);
        lti_html_short(p->b, l->text, (p->right - 9) / 6);
        lti_buf_printf(p->b, "</text>\n");
    }
    lti_buf_printf(p->b, "</svg></figure>\n");
}

// ---- legends

void lti_legend_open(lti_doc *d)
{
    lti_buf_printf(&d->b, "<ul class=\"legend\">");
}

static void legend_end(lti_doc *d, const char *text)
{
    lti_buf_printf(&d->b, "</svg>");
    lti_html_text(&d->b, text);
    lti_buf_printf(&d->b, "</li>\n");
}

void lti_legend(lti_doc *d, lti_style s, const char *text)
{
    lti_buf_printf(&d->b, "<li><svg viewBox=\"0 0 30 10\" aria-hidden=\"true\">");
    path_open(&d->b, s);
    lti_buf_printf(&d->b, "M0 5H30\"/>");
    legend_end(d, text);
}

void lti_legend_mark(lti_doc *d, lti_shape shape, lti_style s, const char *text)
{
    lti_buf_printf(&d->b, "<li><svg viewBox=\"0 0 30 10\" aria-hidden=\"true\">");
    shape_at(&d->b, 15, 5, shape, s);
    legend_end(d, text);
}

void lti_legend_close(lti_doc *d)
{
    lti_buf_printf(&d->b, "</ul>\n");
}

// ---- histograms

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
    hist->median = hist->mean = hist->sd = NAN;
    if (n <= 0)
        return;
    lti_sort_values(value, n);
    hist->median = n % 2 ? value[n / 2] : 0.5 * (value[n / 2 - 1] + value[n / 2]);
    double width = (axis->hi - axis->lo) / LTI_HIST_BINS, sum = 0, squares = 0;
    for (int64_t i = 0; i < n; i++) {
        double at = (value[i] - axis->lo) / width;
        int bin = at < 0 ? 0 : at >= LTI_HIST_BINS ? LTI_HIST_BINS - 1 : (int)at;
        hist->density[bin] += 1;
        sum += value[i];
    }
    hist->mean = sum / (double)n;
    for (int64_t i = 0; i < n; i++)
        squares += (value[i] - hist->mean) * (value[i] - hist->mean);
    hist->sd = n > 1 ? sqrt(squares / (double)(n - 1)) : (double)NAN;
    for (int i = 0; i < LTI_HIST_BINS; i++)
        hist->density[i] /= (double)n * width;
}
