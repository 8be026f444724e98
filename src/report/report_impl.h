// report_impl.h - what the files of report share: the page under construction, escaping, the chart layer, pictures.
#ifndef LT_REPORT_IMPL_H
#define LT_REPORT_IMPL_H
#include "base/base.h"
#include "lethe/report.h"

// ---- text (html.c)
// Escapes & < > " ' and replaces control characters and bytes that are not UTF-8. NULL writes nothing.
void lti_html_text(lti_buf *b, const char *text);
void lti_html_title(lti_buf *b, const char *text);                // with a capital letter in front
void lti_html_short(lti_buf *b, const char *text, int max_chars); // as above, cut with an ellipsis
void lti_html_head(lti_buf *b, const char *title);                // doctype to <main>, style included
void lti_html_tail(lti_buf *b);
// A number or, when it is not finite, an en dash.
void lti_html_number(lti_buf *b, double value, int decimals);

// ---- styles: a colour, and a dash pattern for readers who do not see it
enum { LTI_INK = -1, LTI_SOFT = -2, LTI_N_COLORS = 7, LTI_N_DASHES = 6 };
typedef struct lti_style {
    int color; // 0.. : the CSS variable --c<color>; LTI_INK, LTI_SOFT
    int dash;  // 0 = solid
    bool thick;
} lti_style;
typedef enum lti_shape { LTI_DOT, LTI_RING, LTI_SQUARE, LTI_DIAMOND, LTI_TICK } lti_shape;

// ---- the page (page.c): its spec, its rows gathered to methods, and what is written so far
typedef struct lti_group { // rows of one method, in their order
    char *name;            // of its own: numbered where another group has the same
    const char *setting;
    lt_row_role role;
    int n, *row; // row: indices into spec->rows
    lti_style style;
} lti_group;
enum { LTI_MAX_SECTIONS = 20 };
typedef struct lti_doc {
    const lt_report_spec *spec;
    lti_buf b;      // of the body
    lti_buf answer; // the sentence that the page opens with; empty where it compares nothing
    int n_groups, *row_index;
    lti_group *group;
    int n_figures, n_sections;
    const char *section[LTI_MAX_SECTIONS]; // titles; the ids are s0, s1, ...
} lti_doc;
lt_status lti_doc_init(lti_doc *d, const lt_report_spec *spec);
void lti_doc_clear(lti_doc *d);
const char *lti_desc(lti_doc *d, const lti_buf *desc);      // its text; a failed buffer fails the page
void lti_section(lti_doc *d, const char *title);            // <h2> that the contents list
void lti_small(lti_doc *d, const char *html);               // a paragraph of explanation, markup included
void lti_legend_open(lti_doc *d);                           // <ul>
void lti_legend(lti_doc *d, lti_style s, const char *text); // a line of this style
void lti_legend_mark(lti_doc *d, lti_shape shape, lti_style s, const char *text);
void lti_legend_close(lti_doc *d);
void lti_link_open(lti_doc *d, int row);               // <a> to the section of the run
void lti_row_name(lti_doc *d, const lt_report_row *r); // title, setting and seed in a row's head, escaped
// Opens a table in a box that scrolls sideways, and up and down where it has very many rows.
void lti_table_open(lti_doc *d, int64_t n_rows);
const char *lti_row_title(const lti_doc *d, int row);            // its name in charts, tables and lists: "FT 2"
void lti_row_head(lti_doc *d, int row);                          // <tr> and the head of a row, which links to its run
void lti_value(lti_doc *d, int row, double value, int decimals); // with its link; NaN is a dash
void lti_cell(lti_doc *d, int row, double value, int decimals);  // <td> with one
double lti_row_metric(const lt_report_row *r, lt_metric_id id);  // of a model or of a summary
// Mean over the rows of a group of a metric minus the oracles' mean, with an interval: of the mean over several rows
// (Student, 95 %), over the samples for one. NaN where not known.
typedef struct lti_gap {
    double mean;
    lt_interval interval;
    int n;
} lti_gap;
lti_gap lti_group_gap(const lti_doc *d, const lti_group *g, int metric);
bool lti_has_values(const lti_doc *d);
enum { LTI_METHODS_A_CHART = 5 };
bool lti_in_part(const lti_doc *d, int group, int part); // original and oracles are in every part; part -1 = all
void lti_group_legend(lti_doc *d, int part, bool guessing);

// ---- what a deletion costs (section_costs.c): search, mask and update, and its shares of the oracles' mean; NaN
// without one
typedef struct lti_deletion {
    double seconds, of_time, of_passes;
} lti_deletion;
lti_deletion lti_deletion_cost(const lt_report_spec *s, const lt_report_cost *c);

// ---- per-class accuracies (classes.c)
// acc, n: (K) of one group of samples; acc is NaN for a class without samples.
void lti_class_accuracies(const lt_signals *s, int group, double *acc, int64_t *n);

// ---- the chart layer (chart.c): one <figure> with an SVG of LTI_CHART_W units width
enum { LTI_CHART_W = 340, LTI_MAX_LABELS = 16 };
typedef struct lti_axis {
    const char *label; // with its unit; NULL = the axis carries names of rows
    double lo, hi;     // values; a linear axis moves them out to ticks unless it is tight
    bool log, tight;
    int want;                // ticks, about
    double step;             // filled by lti_plot_open
    int decimals;            // likewise
    const char *const *tick; // names at 0, 1, ..., hi instead of numbers; may be NULL
} lti_axis;
typedef struct lti_frame {
    const char *title, *subtitle, *desc; // desc: the chart in words, for readers who do not see it
    int height, left, right;             // 0 = the usual
    lti_axis x, y;
} lti_frame;
typedef struct lti_label {
    double y; // drawing units
    lti_style style;
    const char *text;
} lti_label;
typedef struct lti_plot {
    lti_buf *b;
    int height, left, right, bottom;
    lti_axis x, y;
    lti_label label[LTI_MAX_LABELS];
    int n_labels;
} lti_plot;
void lti_plot_open(lti_doc *d, const lti_frame *frame, lti_plot *p);
double lti_plot_x(const lti_plot *p, double v); // drawing units, kept inside the plot
double lti_plot_y(const lti_plot *p, double v);
// Points that are not finite are left out and the line joins the others; a single one becomes a dot.
void lti_plot_line(lti_plot *p, int n, const double *x, const double *y, lti_style style);
void lti_plot_band(lti_plot *p, int n, const double *x, const double *lo, const double *hi, lti_style style);
void lti_plot_bars(lti_plot *p, int n, double lo, double hi, const double *height, lti_style style, bool fill);
void lti_plot_box(lti_plot *p, double x0, double x1, double y0, double y1); // shaded
void lti_plot_mark(lti_plot *p, double x, double y, lti_shape shape, lti_style style);
void lti_plot_span(lti_plot *p, double x0, double x1, double y, lti_style style); // interval of a mark
void lti_plot_zero(lti_plot *p, double x);                                        // upright rule at x
void lti_plot_row(lti_plot *p, int row, const char *name, int link);              // head of a row; link: a run or -1
// Names a line at its right end; the labels are spread so that they do not overlap.
void lti_plot_label(lti_plot *p, double y, lti_style style, const char *text);
void lti_plot_close(lti_plot *p);

enum { LTI_HIST_BINS = 40 };
typedef struct lti_hist { // density of one group
    double density[LTI_HIST_BINS];
    double median, mean, sd;
    int64_t n;
} lti_hist;
typedef struct lti_hist_axis {
    double lo, hi, top; // x range, y maximum
} lti_hist_axis;
void lti_sort_values(double *value, int64_t n); // ascending; none may be NaN
// Values beyond the axis count in its first or last bin. n = 0 leaves an empty histogram (median NaN).
void lti_hist_fill(lti_hist *hist, const lti_hist_axis *axis, double *value, int64_t n); // sorts value

// ---- ROC curves (roc.c)
enum { LTI_ROC_POINTS = 91 };
// TPR at n_points rising false positive rates: the largest of a rule "score >= t" whose FPR is not larger. NaN when a
// side is empty or a score is NaN. lo, hi: percentile band of 95 % over draws of the samples; NULL = none.
lt_status lti_roc(const double *pos, int64_t n_pos, const double *neg, int64_t n_neg, const double *fpr, int n_points,
                  uint64_t seed, double *tpr, double *lo, double *hi);

// ---- pictures (png.c)
// Appends data:image/png;base64,... of x (C,H,W), C = 1 or 3.

#endif
