// report_impl.h - what the files of report share: escaping, charts, pictures.
#ifndef LT_REPORT_IMPL_H
#define LT_REPORT_IMPL_H
#include "base/base.h"
#include "lethe/report.h"

// ---- text (html.c)
// Escapes & < > " ' and replaces control characters and bytes that are not UTF-8. NULL writes nothing.
void lti_html_text(lti_buf *b, const char *text);
void lti_html_head(lti_buf *b, const char *title); // doctype to <main>, style included
void lti_html_tail(lti_buf *b);
// A number or, when it is not finite, an en dash.
void lti_html_number(lti_buf *b, double value, int decimals);

// ---- charts (chart.c)
typedef struct lti_series {
    const char *name;
    int n;
    const double *x, *y; // not finite = left out
    int color;           // 0.. : the CSS variable --c<color>
    bool dashed;
} lti_series;
typedef struct lti_chart {
    const char *title, *x_label, *y_label;
    const lti_series *series;
    int n_series;
    bool y_from_zero;
    double y_max_fixed; // > 0: the top of the y axis
} lti_chart;
void lti_chart_lines(lti_buf *b, const lti_chart *chart); // one <figure>

enum { LTI_HIST_BINS = 40 };
typedef struct lti_hist { // density of one group
    double density[LTI_HIST_BINS];
    double median;
    int64_t n;
} lti_hist;
typedef struct lti_hist_axis {
    double lo, hi, top; // x range, y maximum
} lti_hist_axis;
void lti_sort_values(double *value, int64_t n); // ascending; none may be NaN
// Values beyond the axis count in its first or last bin. n = 0 leaves an empty histogram (median NaN).
void lti_hist_fill(lti_hist *hist, const lti_hist_axis *axis, double *value, int64_t n); // sorts value
typedef struct lti_hist_panel {
    const char *title, *subtitle;
    const lti_hist *group[3];      // by lt_group
    const lti_hist *forget_before; // dashed outline; may be NULL
    lti_hist_axis axis;
} lti_hist_panel;
void lti_chart_hist(lti_buf *b, const lti_hist_panel *panel); // one <figure>

// ---- pictures (png.c)
// Appends data:image/png;base64,... of x (C,H,W), C = 1 or 3.
lt_status lti_png_data_uri(lti_buf *b, int c, int h, int w, const uint8_t *x);

#endif
