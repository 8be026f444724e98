// depth.c - how deep the forgetting goes (probes, similarity of representations, relearning), and what a stream of
// requests does to it. Writes nothing where there are no such measurements.
#include "report/section.h"
#include <jansson.h>
#include <math.h>

enum { ROW_H = 22, HEAD = 48, NAMES = 84, LABELS = 78 };
static const lti_style original = {.color = LTI_SOFT, .dash = 1}, retrained = {.color = LTI_INK, .thick = true},
                       unlearned = {.color = 1};

static double mean_of(const double *v, int n)
{
    double sum = 0;
    int count = 0;
    for (int i = 0; i < n; i++)
        if (isfinite(v[i])) {
            sum += v[i];
            count++;
        }
    return count ? sum / count : (double)NAN;
}

static void span_of(const double *v, int n, double *lo, double *hi)
{
    *lo = INFINITY;
    *hi = -INFINITY;
    for (int i = 0; i < n; i++)
        if (isfinite(v[i])) {
            *lo = fmin(*lo, v[i]);
            *hi = fmax(*hi, v[i]);
        }
}

static void box_of(lti_plot *p, const double *v, int n, double scale, int row)
{
    double lo, hi;
    span_of(v, n, &lo, &hi);
    if (lo < hi)
        lti_plot_box(p, scale * lo, scale * hi, row + 0.15, row + 0.85);
}

static void widen(lti_axis *x, double v)
{
    if (isfinite(v)) {
        x->lo = fmin(x->lo, v);
        x->hi = fmax(x->hi, v);
    }
}

// ---- probes

typedef lt_report_by_model (*three_of)(const lt_report_probe *p);
static lt_report_by_model auc_of(const lt_report_probe *p)
{
    return p->membership_auc;
}
static lt_report_by_model acc_of(const lt_report_probe *p)
{
    return p->class_acc;
}

static void describe_three(lti_buf *b, const char *stage, lt_report_by_model t, double scale)
{
    lti_buf_printf(b, " %s:", stage);
    if (isfinite(t.original))
        lti_buf_printf(b, " " LT_KIND_ORIGINAL " %.1f", scale * t.original);
    if (isfinite(t.unlearned))
        lti_buf_printf(b, " " LT_KIND_UNLEARNED " %.1f", scale * t.unlearned);
    if (isfinite(mean_of(t.retrained, t.n_retrained)))
        lti_buf_printf(b, " " LT_KIND_RETRAINED " %.1f", scale * mean_of(t.retrained, t.n_retrained));
    lti_buf_printf(b, ".");
}

static void probe_chart(lti_doc *d, const lt_report_representation *depth, const char *title, const char *axis,
                        three_of get, double neutral)
{
    lti_axis x = {.label = axis, .lo = neutral, .hi = neutral, .want = 5};
    lti_buf desc = {0};
    lti_plot p;
    lti_buf_printf(&desc, "By stage, in per cent.");
    for (int i = 0; i < depth->n_probes; i++) {
        lt_report_by_model t = get(&depth->probe[i]);
        widen(&x, 100 * t.original);
        widen(&x, 100 * t.unlearned);
        for (int k = 0; k < t.n_retrained; k++)
            widen(&x, 100 * t.retrained[k]);
        describe_three(&desc, depth->probe[i].stage, t, 100);
    }
    lti_plot_open(d,
                  &(lti_frame){.title = title,
                               .desc = lti_desc(d, &desc),
                               .height = HEAD + ROW_H * depth->n_probes,
                               .left = NAMES,
                               .x = x,
                               .y = {.lo = depth->n_probes, .hi = 0}},
                  &p);
    lti_buf_clear(&desc);
    if (neutral > 0)
        lti_plot_zero(&p, neutral);
    for (int i = 0; i < depth->n_probes; i++) {
        lt_report_by_model t = get(&depth->probe[i]);
        lti_plot_row(&p, i, depth->probe[i].stage, -1);
        box_of(&p, t.retrained, t.n_retrained, 100, i);
        lti_plot_mark(&p, 100 * mean_of(t.retrained, t.n_retrained), i + 0.5, LTI_TICK, retrained);
        lti_plot_mark(&p, 100 * t.original, i + 0.5, LTI_RING, original);
        lti_plot_mark(&p, 100 * t.unlearned, i + 0.5, LTI_DOT, unlearned);
    }
    lti_plot_close(&p);
}

// ---- similarity

static void cka_chart(lti_doc *d, const lt_report_representation *depth)
{
    lti_axis x = {.label = "linear CKA on the forgotten samples, 1 = alike", .hi = 1, .want = 5};
    lti_buf desc = {0};
    lti_plot p;
    lti_buf_printf(&desc, "By stage.");
    for (int i = 0; i < depth->n_cka; i++) {
        const lt_report_cka *c = &depth->cka[i];
        widen(&x, c->to_original); // debiased estimates can lie below zero
        widen(&x, c->retrained_pair);
        for (int k = 0; k < c->n_retrained; k++)
            widen(&x, c->to_retrained[k]);
        lti_buf_printf(&desc, " %s:", c->stage);
        if (isfinite(c->to_original))
            lti_buf_printf(&desc, " to the original %.2f", c->to_original);
        if (isfinite(mean_of(c->to_retrained, c->n_retrained)))
            lti_buf_printf(&desc, " to retrained %.2f", mean_of(c->to_retrained, c->n_retrained));
        lti_buf_printf(&desc, ".");
    }
    lti_plot_open(d,
                  &(lti_frame){.title = "Similarity of representations",
                               .subtitle = "of the unlearned model",
                               .desc = lti_desc(d, &desc),
                               .height = HEAD + ROW_H * depth->n_cka,
                               .left = NAMES,
                               .x = x,
                               .y = {.lo = depth->n_cka, .hi = 0}},
                  &p);
    lti_buf_clear(&desc);
    for (int i = 0; i < depth->n_cka; i++) {
        const lt_report_cka *c = &depth->cka[i];
        lti_plot_row(&p, i, c->stage, -1);
        box_of(&p, c->to_retrained, c->n_retrained, 1, i);
        lti_plot_mark(&p, c->retrained_pair, i + 0.5, LTI_DIAMOND, (lti_style){.color = 2});
        lti_plot_mark(&p, mean_of(c->to_retrained, c->n_retrained), i + 0.5, LTI_TICK, retrained);
        lti_plot_mark(&p, c->to_original, i + 0.5, LTI_RING, original);
    }
    lti_plot_close(&p);
}

// ---- relearning

static void percent_line(lti_plot *p, const lt_report_representation *depth, const double *acc, lti_style style,
                         lti_buf *failed, const char *name)
{
    if (!acc)
        return;
    double *y = lti_calloc((size_t)depth->n_steps + 1, sizeof *y), last = NAN;
    failed->failed = failed->failed || !y;
    for (int i = 0; y && i < depth->n_steps; i++) {
        y[i] = 100 * acc[i];
        last = isfinite(y[i]) ? y[i] : last;
    }
    if (y)
        lti_plot_line(p, depth->n_steps, depth->step, y, style);
    if (name)
        lti_plot_label(p, last, style, name);
    lti_free(y);
}

static bool any_curve(const lt_report_representation *depth, const lt_report_relearn *r)
{
    return depth->n_steps > 0 && (r->original || r->unlearned || r->n_retrained > 0);
}

static void relearn_chart(lti_doc *d, const lt_report_representation *depth, const lt_report_relearn *r,
                          const char *title)
{
    lti_plot p;
    if (!any_curve(depth, r))
        return;
    lti_plot_open(d,
                  &(lti_frame){.title = title,
                               .desc = "Accuracy by step while the forgotten samples are relearned, of the "
                                       "unlearned, the original and the retrained models.",
                               .right = LABELS,
                               .x = {.label = "steps of training on the forgotten samples",
                                     .lo = depth->step[0],
                                     .hi = depth->step[depth->n_steps - 1],
                                     .tight = true},
                               .y = {.label = "correct, %", .hi = 100, .want = 4}},
                  &p);
    for (int i = 0; i < r->n_retrained; i++)
        percent_line(&p, depth, r->retrained[i], (lti_style){.color = LTI_INK}, &d->b,
                     i == 0 ? LT_KIND_RETRAINED : NULL);
    percent_line(&p, depth, r->original, original, &d->b, LT_KIND_ORIGINAL);
    percent_line(&p, depth, r->unlearned, (lti_style){.color = 1, .thick = true}, &d->b, LT_KIND_UNLEARNED);
    lti_plot_close(&p);
}

// ---- sections

static void legend(lti_doc *d, const lt_report_representation *depth)
{
    lti_legend_open(d);
    lti_legend_mark(d, LTI_DOT, unlearned, LT_KIND_UNLEARNED " model");
    lti_legend_mark(d, LTI_RING, original, depth->n_cka ? "original, or similarity to it" : LT_KIND_ORIGINAL);
    lti_legend_mark(d, LTI_TICK, retrained,
                    depth->n_cka ? "retrained, mean (range shaded), or similarity to them"
                                 : "retrained, mean (range shaded)");
    if (depth->n_cka)
        lti_legend_mark(d, LTI_DIAMOND, (lti_style){.color = 2}, "two retrained models with one another");
    lti_legend_close(d);
}

static void show(lti_doc *d, const lt_report_representation *depth)
{
    if (depth->row >= 0 && depth->row < d->spec->n_rows) {
        lti_buf_printf(&d->b, "<h3>");
        lti_link_open(d, depth->row);
        lti_row_name(d, &d->spec->rows[depth->row]);
        lti_buf_printf(&d->b, "</a></h3>\n");
    }
    if (depth->n_probes || depth->n_cka)
        legend(d, depth);
    lti_buf_printf(&d->b, "<div class=\"grid\">\n");
    if (depth->n_probes) {
        probe_chart(d, depth, "Membership probe AUC by stage", "AUC of forgotten against test samples, %", auc_of, 50);
        probe_chart(d, depth, "Class probe accuracy by stage", "class of forgotten samples found, %", acc_of, 0);
    }
    if (depth->n_cka)
        cka_chart(d, depth);
    relearn_chart(d, depth, &depth->forget_acc, "Relearning: forgotten samples");
    relearn_chart(d, depth, &depth->test_acc, "Relearning: test samples");
    lti_buf_printf(&d->b, "</div>\n");
}

static lt_status put_depth(lti_doc *d)
{
    if (d->spec->n_depth == 0)
        return LT_OK;
    lti_section(d, "Representation audit");
    lti_small(d,
              "A model may answer as if it had forgotten and still hold the samples inside. Linear probes test every "
              "stage; similarity compares the stages with those of other models; relearning measures how fast the "
              "forgotten samples come back. Good forgetting looks like the retrained models, not like the "
              "original.");
    for (int i = 0; i < d->spec->n_depth; i++)
        show(d, &d->spec->depth[i]);
    return LT_OK;
}

static void write_three(lti_lines *w, int row, const char *section, const char *stage, lt_report_by_model t)
{
    char name[160];
    lti_format(name, sizeof name, "%s " LT_KIND_ORIGINAL, stage);
    lti_lines_row(w, section, row, name, t.original);
    lti_format(name, sizeof name, "%s " LT_KIND_UNLEARNED, stage);
    lti_lines_row(w, section, row, name, t.unlearned);
    lti_format(name, sizeof name, "%s " LT_KIND_RETRAINED, stage);
    for (int k = 0; k < t.n_retrained; k++)
        lti_lines_row(w, section, row, name, t.retrained[k]);
}

static void write_relearn(lti_lines *w, const lt_report_representation *d, const char *section,
                          const lt_report_relearn *r)
{
    char name[80];
    for (int i = 0; i < d->n_steps; i++) {
        lti_format(name, sizeof name, "step %g", d->step[i]);
        write_three(w, d->row, section, name,
                    (lt_report_by_model){.original = r->original ? r->original[i] : (double)NAN,
                                         .unlearned = r->unlearned ? r->unlearned[i] : (double)NAN});
        lti_format(name, sizeof name, "step %g " LT_KIND_RETRAINED, d->step[i]);
        for (int k = 0; k < r->n_retrained; k++)
            lti_lines_row(w, section, d->row, name, r->retrained[k][i]);
    }
}

static void write_depth(lti_lines *w)
{
    char name[160];
    for (int i = 0; i < w->d->spec->n_depth; i++) {
        const lt_report_representation *d = &w->d->spec->depth[i];
        for (int k = 0; k < d->n_probes; k++) {
            write_three(w, d->row, "probe_membership_auc", d->probe[k].stage, d->probe[k].membership_auc);
            write_three(w, d->row, "probe_class_acc", d->probe[k].stage, d->probe[k].class_acc);
        }
        for (int k = 0; k < d->n_cka; k++) {
            lti_format(name, sizeof name, "%s to " LT_KIND_ORIGINAL, d->cka[k].stage);
            lti_lines_row(w, "cka", d->row, name, d->cka[k].to_original);
            lti_format(name, sizeof name, "%s to " LT_KIND_RETRAINED, d->cka[k].stage);
            for (int r = 0; r < d->cka[k].n_retrained; r++)
                lti_lines_row(w, "cka", d->row, name, d->cka[k].to_retrained[r]);
            lti_format(name, sizeof name, "%s retrained pair", d->cka[k].stage);
            lti_lines_row(w, "cka", d->row, name, d->cka[k].retrained_pair);
        }
        write_relearn(w, d, "relearn_forget_acc", &d->forget_acc);
        write_relearn(w, d, "relearn_test_acc", &d->test_acc);
    }
}

// ---- from the "depth" object of an audit's JSON, which may lack anything: what is not a number is NaN, and is left
// out.

static double number(const json_t *v)
{
    return json_is_number(v) ? json_number_value(v) : (double)NAN;
}

// A list of numbers, or one number as a list of one. n = 0 when it is neither.
static const double *take_numbers(lti_gather *g, const json_t *v, int *n)
{
    const int n_items = json_is_number(v) ? 1 : (int)json_array_size(v);
    double *out = lti_gather_alloc(g, (size_t)n_items, sizeof *out);
    *n = out ? n_items : 0;
    for (int i = 0; i < *n; i++)
        out[i] = json_is_number(v) ? json_number_value(v) : number(json_array_get(v, (size_t)i));
    return out;
}

static lt_report_by_model take_three(lti_gather *g, const json_t *v)
{
    lt_report_by_model t = {number(json_object_get(v, LT_KIND_ORIGINAL)), number(json_object_get(v, LT_KIND_UNLEARNED)),
                            NULL, 0};
    t.retrained = take_numbers(g, json_object_get(v, LT_KIND_RETRAINED), &t.n_retrained);
    return t;
}

static void take_probes(lti_gather *g, const json_t *list, lt_report_representation *out)
{
    const int n = (int)json_array_size(list);
    lt_report_probe *p = lti_gather_alloc(g, (size_t)n, sizeof *p);
    for (int i = 0; p && i < n; i++) {
        const json_t *item = json_array_get(list, (size_t)i);
        p[i].stage = lti_json_text_at(item, "stage");
        p[i].membership_auc = take_three(g, json_object_get(item, "membership_auc"));
        p[i].class_acc = take_three(g, json_object_get(item, "class_acc"));
    }
    out->probe = p;
    out->n_probes = p ? n : 0;
}

static void take_cka(lti_gather *g, const json_t *list, lt_report_representation *out)
{
    const int n = (int)json_array_size(list);
    lt_report_cka *c = lti_gather_alloc(g, (size_t)n, sizeof *c);
    for (int i = 0; c && i < n; i++) {
        const json_t *item = json_array_get(list, (size_t)i);
        c[i].stage = lti_json_text_at(item, "stage");
        c[i].to_original = number(json_object_get(item, "to_original"));
        c[i].retrained_pair = number(json_object_get(item, "retrained_pair"));
        c[i].to_retrained = take_numbers(g, json_object_get(item, "to_retrained"), &c[i].n_retrained);
    }
    out->cka = c;
    out->n_cka = c ? n : 0;
}

// A curve of n_steps values; shorter lists end in NaN. NULL when there is none.
static const double *take_curve(lti_gather *g, const json_t *v, int n_steps)
{
    double *out = json_is_array(v) ? lti_gather_alloc(g, (size_t)n_steps, sizeof *out) : NULL;
    for (int i = 0; out && i < n_steps; i++)
        out[i] = number(json_array_get(v, (size_t)i));
    return out;
}

static lt_report_relearn take_relearning(lti_gather *g, const json_t *v, int n_steps)
{
    const json_t *list = json_object_get(v, LT_KIND_RETRAINED);
    lt_report_relearn r = {.original = take_curve(g, json_object_get(v, LT_KIND_ORIGINAL), n_steps),
                           .unlearned = take_curve(g, json_object_get(v, LT_KIND_UNLEARNED), n_steps)};
    const bool nested = json_is_array(json_array_get(list, 0));
    const int n = json_array_size(list) == 0 ? 0 : nested ? (int)json_array_size(list) : 1;
    const double **curves = lti_gather_alloc(g, (size_t)n, sizeof *curves);
    for (int i = 0; curves && i < n; i++) {
        const double *one = take_curve(g, nested ? json_array_get(list, (size_t)i) : list, n_steps);
        if (one)
            curves[r.n_retrained++] = one;
    }
    r.retrained = curves;
    return r;
}

static lt_status take_row(lti_gather *g, int row, const json_t *audit, lt_report_representation *out, int *n)
{
    const json_t *depth = json_object_get(audit, lt_audit_kind_get(LT_AUDIT_representation)->key);
    const json_t *relearn = json_object_get(depth, "relearn");
    if (!depth || json_is_null(depth)) // an audit without representations
        return LT_OK;
    if (!json_is_object(depth))
        return LT_FAIL(LT_E_FORMAT,
                       "%s%s: depth: expected an object as `lethe audit --representations --json` writes it",
                       g->audit_path[row] ? g->audit_path[row] : g->source->comparison->row[row].run,
                       g->audit_path[row] ? "" : "/audit.json");
    lt_report_representation *d = &out[(*n)++];
    d->row = row;
    take_probes(g, json_object_get(depth, "probe"), d);
    take_cka(g, json_object_get(depth, "cka"), d);
    d->step = take_numbers(g, json_object_get(relearn, "steps"), &d->n_steps);
    d->forget_acc = take_relearning(g, json_object_get(relearn, "forget_acc"), d->n_steps);
    d->test_acc = take_relearning(g, json_object_get(relearn, "test_acc"), d->n_steps);
    return LT_OK;
}

static lt_status gather_depth(lti_gather *g)
{
    const int n_rows = g->spec->n_rows;
    lt_report_representation *out = lti_gather_alloc(g, (size_t)n_rows, sizeof *out);
    if (!out)
        return LTI_NOMEM("report");
    for (int i = 0; i < n_rows; i++)
        LT_TRY(take_row(g, i, g->audit[i], out, &g->spec->n_depth));
    g->spec->depth = out;
    return LT_OK;
}

const lti_report_section lti_section_depth = {
    .name = "depth",
    .gather = gather_depth,
    .put = put_depth,
    .lines = write_depth,
};
