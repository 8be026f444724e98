// curves.c - how the models were trained: loss and accuracy over the epochs.
#include "report/section.h"
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LABELS = 100 };

static double last_finite(const double *v, int n)
{
    while (n > 0 && !isfinite(v[n - 1]))
        n--;
    return n > 0 ? v[n - 1] : (double)NAN;
}

static lti_style style_of(int curve)
{
    return (lti_style){.color = curve % LTI_N_COLORS, .thick = curve == 0};
}

static void extend(lti_axis *a, const double *v, int n)
{
    for (int i = 0; v && i < n; i++)
        if (isfinite(v[i])) {
            a->lo = fmin(a->lo, v[i]);
            a->hi = fmax(a->hi, v[i]);
        }
}

static lti_axis epochs(const lt_report_spec *s)
{
    lti_axis x = {.label = "epoch", .lo = INFINITY, .hi = -INFINITY, .tight = true};
    for (int i = 0; i < s->n_curves; i++)
        extend(&x, s->curves[i].epoch, s->curves[i].n);
    return x;
}

static void loss_chart(lti_doc *d)
{
    const lt_report_spec *s = d->spec;
    lti_axis y = {.label = "cross-entropy, nats", .want = 4};
    lti_plot p;
    for (int i = 0; i < s->n_curves; i++)
        extend(&y, s->curves[i].loss, s->curves[i].n);
    lti_plot_open(
        d, &(lti_frame){.title = "Loss", .desc = "Training loss by epoch.", .right = LABELS, .x = epochs(s), .y = y},
        &p);
    for (int i = 0; i < s->n_curves; i++) {
        const lt_report_curve *c = &s->curves[i];
        lti_plot_line(&p, c->n, c->epoch, c->loss, style_of(i));
        lti_plot_label(&p, last_finite(c->loss, c->n), style_of(i), c->name);
    }
    lti_plot_close(&p);
}

static void accuracy_chart(lti_doc *d)
{
    const lt_report_spec *s = d->spec;
    lti_plot p;
    lti_plot_open(d,
                  &(lti_frame){.title = "Accuracy",
                               .subtitle = "dashed: test",
                               .desc = "Accuracy on training samples (solid) and test samples (dashed) by epoch.",
                               .right = LABELS,
                               .x = epochs(s),
                               .y = {.label = "correct, %", .hi = 100, .want = 4}},
                  &p);
    for (int i = 0; i < s->n_curves; i++) {
        const lt_report_curve *c = &s->curves[i];
        double *v[2] = {lti_calloc((size_t)c->n + 1, sizeof(double)), lti_calloc((size_t)c->n + 1, sizeof(double))};
        d->b.failed = d->b.failed || !v[0] || !v[1];
        for (int k = 0; v[0] && v[1] && k < c->n; k++) {
            v[0][k] = 100 * c->train_acc[k];
            v[1][k] = c->test_acc ? 100 * c->test_acc[k] : (double)NAN;
        }
        if (v[0] && v[1]) {
            lti_plot_line(&p, c->n, c->epoch, v[0], style_of(i));
            lti_plot_line(&p, c->n, c->epoch, v[1], (lti_style){.color = i % LTI_N_COLORS, .dash = 4});
            lti_plot_label(&p, last_finite(v[0], c->n), style_of(i), c->name);
        }
        lti_free(v[0]);
        lti_free(v[1]);
    }
    lti_plot_close(&p);
}

static lt_status put_curves(lti_doc *d)
{
    lti_axis x = epochs(d->spec);
    if (x.lo > x.hi)
        return LT_OK;
    lti_section(d, "Training");
    lti_buf_printf(&d->b, "<div class=\"grid\">\n");
    loss_chart(d);
    accuracy_chart(d);
    lti_buf_printf(&d->b, "</div>\n");
    return LT_OK;
}

// ---- from metrics.jsonl: one line per finished epoch; a resumed run may repeat one, the last counts

enum { MAX_CURVES = 8 };
typedef struct curve_data {
    int n;
    double *epoch, *loss, *train_acc, *test_acc;
} curve_data;

static void put_epoch(curve_data *c, int max, const json_t *event)
{
    const double epoch = lti_json_real_at(event, "epoch");
    const int i = c->n > 0 && c->epoch[c->n - 1] >= epoch ? (int)epoch - 1 : c->n;
    if (!isfinite(epoch) || i < 0 || i >= max || i > c->n)
        return;
    c->epoch[i] = epoch;
    c->loss[i] = lti_json_real_at(event, "loss");
    c->train_acc[i] = lti_json_real_at(event, "train_acc");
    c->test_acc[i] = lti_json_real_at(event, "test_acc");
    c->n = i + 1;
}

static void parse_lines(lti_gather *g, char *text, curve_data *c)
{
    int lines = 1;
    for (const char *p = text; (p = strchr(p, '\n')) != NULL; p++)
        lines++;
    c->epoch = lti_gather_alloc(g, (size_t)lines, sizeof(double));
    c->loss = lti_gather_alloc(g, (size_t)lines, sizeof(double));
    c->train_acc = lti_gather_alloc(g, (size_t)lines, sizeof(double));
    c->test_acc = lti_gather_alloc(g, (size_t)lines, sizeof(double));
    if (!c->epoch || !c->loss || !c->train_acc || !c->test_acc)
        return;
    for (char *line = text, *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
        *end = '\0';
        json_t *event = json_loads(line, 0, NULL);
        if (!strcmp(lti_json_text_at(event, "event"), "train.epoch"))
            put_epoch(c, lines, event);
        json_decref(event);
    }
}

// Absent or unreadable metrics leave an empty curve: the report is about results, curves are extra.
static void read_curve(lti_gather *g, const char *dir, curve_data *c)
{
    enum { MAX_BYTES = 1 << 26 };
    char *path = lti_asprintf("%s/metrics.jsonl", dir), *text = NULL;
    size_t n;
    *c = (curve_data){0};
    if (path && lt_read_file(path, MAX_BYTES, &text, &n) == LT_OK)
        parse_lines(g, text, c);
    lt_error_clear();
    free(text);
    lti_free(path);
}

static const char *curve_name(lti_gather *g, const lt_comparison_row *row)
{
    const lt_comparison *c = g->source->comparison;
    int n = 0;
    for (int i = 0; i < c->n; i++)
        n += c->row[i].role == row->role;
    return n > 1 && row->seed ? lti_gather_text(g, "%s seed %s", row->name, row->seed) : row->name;
}

static lt_status gather_curves(lti_gather *g)
{
    const lt_comparison *c = g->source->comparison;
    lt_report_curve *out = lti_gather_alloc(g, MAX_CURVES, sizeof *out);
    int n = 0;
    for (int i = 0; out && i < g->spec->n_rows && n < MAX_CURVES; i++) {
        curve_data d;
        if (c->row[i].role == LT_ROW_METHOD)
            continue;
        read_curve(g, c->row[i].run, &d);
        if (d.n > 0)
            out[n++] = (lt_report_curve){curve_name(g, &c->row[i]), d.n, d.epoch, d.loss, d.train_acc, d.test_acc};
    }
    g->spec->curves = out;
    g->spec->n_curves = n;
    return out ? LT_OK : LTI_NOMEM("report");
}

const lti_report_section lti_section_curves = {
    .name = "curves",
    .gather = gather_curves,
    .put = put_curves,
};
