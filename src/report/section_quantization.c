// section_quantization.c - runs of `lethe quantize`: accuracy against bits, on chips against the rate of faults and the
// spread with bands, codes before and after training, what each tensor costs alone.
#include "report/section.h"
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { LABELS = 96, MAX_HISTOGRAMS = 4, MAX_POINTS = 64 };

typedef struct quantized {
    const char *name, *method, *encoding;
    double bits, act_bits, rate, spread, fp, q, residual, q05, q50, q95;
    bool is_population;
    int n_codes;
    double before[16], after[16]; // shares of codes over all tensors
    int n_tensors;
    const char **tensor;
    double *drop; // NaN = not measured
} quantized;
typedef struct own_data {
    quantized *run;
    int n;
} own_data;

// ---- gathering

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash && slash[1] ? slash + 1 : path;
}

static void add_codes(const json_t *tensor, const char *key, double *share, int *n_codes)
{
    const json_t *h = json_object_get(tensor, key);
    const int n = (int)json_array_size(h);
    for (int c = 0; c < n && c < 16; c++)
        share[c] += json_number_value(json_array_get(h, (size_t)c));
    *n_codes = n > *n_codes && n <= 16 ? n : *n_codes;
}

static void to_shares(double *v)
{
    double sum = 0;
    for (int c = 0; c < 16; c++)
        sum += v[c];
    for (int c = 0; c < 16 && sum > 0; c++)
        v[c] *= 100 / sum;
}

static lt_status read_tensors(lti_gather *g, const json_t *r, quantized *q)
{
    const json_t *tensors = json_object_get(r, "tensors");
    q->n_tensors = (int)json_array_size(tensors);
    q->tensor = lti_gather_alloc(g, (size_t)q->n_tensors + 1, sizeof *q->tensor);
    q->drop = lti_gather_alloc(g, (size_t)q->n_tensors + 1, sizeof *q->drop);
    if (!q->tensor || !q->drop)
        return LT_E_NOMEM;
    for (int i = 0; i < q->n_tensors; i++) {
        const json_t *t = json_array_get(tensors, (size_t)i);
        q->tensor[i] = lti_json_text_at(t, "name");
        q->drop[i] = lti_json_real_at(t, "acc_drop_alone");
        add_codes(t, "histogram_before", q->before, &q->n_codes);
        add_codes(t, "histogram", q->after, &q->n_codes);
    }
    to_shares(q->before);
    to_shares(q->after);
    return LT_OK;
}

static lt_status gather(lti_gather *g)
{
    const lt_report_source *s = g->source;
    if (s->n_quantized == 0)
        return LT_OK;
    own_data *own = lti_gather_alloc(g, 1, sizeof *own);
    if (!own || !(own->run = lti_gather_alloc(g, (size_t)s->n_quantized, sizeof *own->run)))
        return LT_E_NOMEM;
    for (int i = 0; i < s->n_quantized; i++) {
        const json_t *r = g->quantized[i];
        quantized *q = &own->run[own->n++];
        *q = (quantized){.name = lti_gather_text(g, "%s", last_part(s->quantized[i])),
                         .method = lti_json_text_at(r, "method"),
                         .encoding = lti_json_text_at(r, "encoding"),
                         .bits = lti_json_real_at(r, "bits"),
                         .act_bits = lti_json_real_at(r, "act_bits"),
                         .rate = lti_json_real_at(r, "fault_rate"),
                         .spread = lti_json_real_at(r, "variability"),
                         .fp = lti_json_real_at(r, "test_acc_fp"),
                         .q = lti_json_real_at(r, "test_acc_q"),
                         .residual = lti_json_real_at(r, "residual"),
                         .q05 = lti_json_real_at(r, "chips.q05"),
                         .q50 = lti_json_real_at(r, "chips.q50"),
                         .q95 = lti_json_real_at(r, "chips.q95"),
                         .is_population = strcmp(lti_json_text_at(r, "action"), "population") == 0};
        LT_TRY(read_tensors(g, r, q));
    }
    g->spec->own[g->self] = own;
    return LT_OK;
}

static own_data *data_of(const lt_report_spec *s)
{
    for (int i = 0; i < lti_n_sections; i++)
        if (lti_sections[i] == &lti_section_quantization)
            return s->own[i];
    return NULL;
}

// ---- drawing

static void put_table(lti_doc *d, const own_data *o)
{
    lti_buf *b = &d->b;
    lti_buf_printf(b, "<div class=\"scroll\"><table><thead><tr><th>Run</th><th>Bits</th><th>Activations</th>"
                      "<th>Stuck %%</th><th>Spread</th><th>Float %%</th><th>Quantized %%</th>"
                      "<th>Chips %%: median <small>5 %% to 95 %%</small></th><th>Residual</th></tr></thead><tbody>\n");
    for (int i = 0; i < o->n; i++) {
        const quantized *q = &o->run[i];
        lti_buf_printf(b, "<tr><th>");
        lti_html_text(b, q->name);
        lti_buf_printf(b, "<small>");
        lti_html_text(b, q->method);
        lti_buf_printf(b, ", ");
        lti_html_text(b, q->encoding);
        lti_buf_printf(b, " encoding</small></th><td>%.0f</td><td>", q->bits);
        if (q->act_bits > 0)
            lti_buf_printf(b, "%.0f bits", q->act_bits);
        else
            lti_buf_printf(b, "float");
        lti_buf_printf(b, "</td><td>%.3g</td><td>%.3g", 100 * q->rate, q->spread);
        lti_buf_printf(b, "</td><td>");
        lti_html_number(b, 100 * q->fp, 1);
        lti_buf_printf(b, "</td><td>");
        lti_html_number(b, 100 * q->q, 1);
        if (q->is_population)
            lti_buf_printf(b, "</td><td>%.1f<small>%.1f to %.1f</small></td><td>", 100 * q->q50, 100 * q->q05,
                           100 * q->q95);
        else
            lti_buf_printf(b, "</td><td></td><td>");
        if (isfinite(q->residual))
            lti_buf_printf(b, "%.1e", q->residual);
        lti_buf_printf(b, "</td></tr>\n");
    }
    lti_buf_printf(b, "</tbody></table></div>\n");
}

typedef struct curve { // one line: runs of equal key, by rising x
    const char *key;
    int n;
    double x[MAX_POINTS], y[MAX_POINTS], lo[MAX_POINTS], hi[MAX_POINTS];
} curve;

static void add_point(curve *list, int *n, const char *key, const double point[4])
{
    int i = 0;
    while (i < *n && strcmp(list[i].key, key) != 0)
        i++;
    if (i == *n) {
        if (*n == LTI_N_COLORS)
            return;
        list[(*n)++] = (curve){.key = key};
    }
    curve *c = &list[i];
    if (c->n == MAX_POINTS)
        return;
    int at = c->n++;
    for (; at > 0 && c->x[at - 1] > point[0]; at--) {
        c->x[at] = c->x[at - 1];
        c->y[at] = c->y[at - 1];
        c->lo[at] = c->lo[at - 1];
        c->hi[at] = c->hi[at - 1];
    }
    c->x[at] = point[0];
    c->y[at] = point[1];
    c->lo[at] = point[2];
    c->hi[at] = point[3];
}

static void put_curves(lti_doc *d, const lti_frame *frame, const curve *list, int n, bool bands)
{
    lti_plot p;
    lti_plot_open(d, frame, &p);
    for (int i = 0; i < n; i++) {
        const lti_style style = {.color = i % LTI_N_COLORS};
        if (bands && list[i].n > 1)
            lti_plot_band(&p, list[i].n, list[i].x, list[i].lo, list[i].hi, style);
        lti_plot_line(&p, list[i].n, list[i].x, list[i].y, style);
        for (int k = 0; k < list[i].n; k++)
            lti_plot_mark(&p, list[i].x[k], list[i].y[k], LTI_DOT, style);
        lti_plot_label(&p, list[i].y[list[i].n - 1], style, list[i].key);
    }
    lti_plot_close(&p);
}

static void put_bits(lti_doc *d, const own_data *o)
{
    curve list[LTI_N_COLORS];
    int n = 0, n_points = 0;
    double lo = INFINITY, hi = 0;
    for (int i = 0; i < o->n; i++) {
        const quantized *q = &o->run[i];
        if (q->is_population || q->rate > 0 || q->spread > 0)
            continue;
        add_point(list, &n, q->method, (double[4]){q->bits, 100 * q->q, 0, 0});
        lo = fmin(lo, q->bits);
        hi = fmax(hi, q->bits);
        n_points++;
    }
    if (n_points < 2)
        return;
    put_curves(
        d,
        &(lti_frame){.title = "Accuracy against bits",
                     .desc = "Test accuracy of the quantized models by bits per weight, one line a method.",
                     .right = LABELS,
                     .x = {.label = "bits per weight", .lo = lo, .hi = hi > lo ? hi : lo + 1, .tight = true, .want = 4},
                     .y = {.label = "test accuracy, %", .hi = 100, .want = 5}},
        list, n, false);
}

// Populations against one property of their chips; the band holds 90 % of the chips.
static void put_chips(lti_doc *d, const own_data *o, bool spread)
{
    curve list[LTI_N_COLORS];
    int n = 0;
    double hi = 0;
    for (int i = 0; i < o->n; i++) {
        const quantized *q = &o->run[i];
        const double x = spread ? q->spread : 100 * q->rate, other = spread ? q->rate : q->spread;
        if (!q->is_population || !(x > 0) || other > 0)
            continue;
        add_point(list, &n, q->encoding, (double[4]){x, 100 * q->q50, 100 * q->q05, 100 * q->q95});
        hi = fmax(hi, x);
    }
    if (n == 0)
        return;
    put_curves(
        d,
        &(lti_frame){.title =
                         spread ? "Chips: accuracy against the spread of cells" : "Chips: accuracy against stuck cells",
                     .desc = "Median test accuracy over chips by encoding; bands from the 5 % to the 95 % quantile.",
                     .right = LABELS,
                     .x = {.label = spread ? "relative spread" : "stuck cells, %", .hi = hi, .tight = true, .want = 5},
                     .y = {.label = "test accuracy, %", .hi = 100, .want = 5}},
        list, n, true);
}

static void put_codes(lti_doc *d, const quantized *q)
{
    char title[160];
    double top = 0;
    for (int c = 0; c < q->n_codes; c++)
        top = fmax(top, fmax(q->before[c], q->after[c]));
    if (q->n_codes == 0 || !(top > 0))
        return;
    snprintf(title, sizeof title, "Codes of %.100s", q->name);
    lti_plot p;
    lti_plot_open(d,
                  &(lti_frame){.title = title,
                               .subtitle = "filled: deployed; outline: before training",
                               .desc = "Share of the weights on every level, over all quantized tensors.",
                               .x = {.label = "code", .hi = q->n_codes, .tight = true, .want = 8},
                               .y = {.label = "weights, %", .hi = top, .want = 4}},
                  &p);
    lti_plot_bars(&p, q->n_codes, 0, q->n_codes, q->after, (lti_style){.color = 0}, true);
    lti_plot_bars(&p, q->n_codes, 0, q->n_codes, q->before, (lti_style){.color = 1}, false);
    lti_plot_close(&p);
}

static void put_sensitivity(lti_doc *d, const quantized *q)
{
    char title[160];
    double top = 0.1, low = 0;
    double *drop = lti_calloc((size_t)q->n_tensors + 1, sizeof *drop);
    bool any = false;
    for (int i = 0; i < q->n_tensors && drop; i++) {
        any = any || isfinite(q->drop[i]);
        drop[i] = isfinite(q->drop[i]) ? 100 * q->drop[i] : 0;
        top = fmax(top, drop[i]);
        low = fmin(low, drop[i]);
    }
    if (any) {
        snprintf(title, sizeof title, "Sensitivity of %.100s", q->name);
        lti_plot p;
        lti_plot_open(d,
                      &(lti_frame){.title = title,
                                   .subtitle = "one tensor alone on its levels, in the order of the network",
                                   .desc = "Loss of accuracy in points when a single tensor is quantized.",
                                   .x = {.label = "tensor", .hi = q->n_tensors, .tight = true, .want = 8},
                                   .y = {.label = "accuracy lost, points", .lo = low, .hi = top, .want = 4}},
                      &p);
        lti_plot_bars(&p, q->n_tensors, 0, q->n_tensors, drop, (lti_style){.color = 0}, true);
        lti_plot_close(&p);
    }
    lti_free(drop);
}

static lt_status put(lti_doc *d)
{
    const own_data *o = data_of(d->spec);
    if (!o)
        return LT_OK;
    lti_section(d, "Quantization and chips");
    put_table(d, o);
    lti_buf_printf(&d->b, "<div class=\"grid\">\n");
    put_bits(d, o);
    put_chips(d, o, false);
    put_chips(d, o, true);
    for (int i = 0, n = 0; i < o->n && n < MAX_HISTOGRAMS; i++)
        if (o->run[i].n_codes > 0) {
            put_codes(d, &o->run[i]);
            put_sensitivity(d, &o->run[i]);
            n++;
        }
    lti_buf_printf(&d->b, "</div>\n");
    return LT_OK;
}

static void lines(lti_lines *w)
{
    const own_data *o = data_of(w->d->spec);
    for (int i = 0; o && i < o->n; i++) {
        const quantized *q = &o->run[i];
        const struct {
            const char *key;
            double value;
        } number[] = {{"bits", q->bits},       {"test_acc_fp", q->fp},     {"test_acc_q", q->q},
                      {"fault_rate", q->rate}, {"variability", q->spread}, {"chips.q05", q->q05},
                      {"chips.q50", q->q50},   {"chips.q95", q->q95}};
        for (size_t k = 0; k < sizeof number / sizeof *number; k++)
            if (isfinite(number[k].value))
                lti_lines_add(w, &(lti_line){.section = "quantization",
                                             .name = q->name,
                                             .quantity = number[k].key,
                                             .value = number[k].value,
                                             .interval = lti_no_interval});
    }
}

const lti_report_section lti_section_quantization = {
    .name = "quantization", .gather = gather, .put = put, .lines = lines};
