// depth.c - how deep the forgetting goes (probes, similarity of representations, relearning), and what a stream of
// requests does to it. Writes nothing where there are no such measurements.
#include "report/report_impl.h"
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

typedef lt_report_by_model (*by_model_of)(const lt_report_probe *p);
static lt_report_by_model auc_of(const lt_report_probe *p)
{
    return p->membership_auc;
}
static lt_report_by_model acc_of(const lt_report_probe *p)
{
    return p->class_acc;
}

static void describe_by_model(lti_buf *b, const char *stage, lt_report_by_model t, double scale)
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
                        by_model_of get, double neutral)
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
        describe_by_model(&desc, depth->probe[i].stage, t, 100);
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
                               .desc = "Accuracy by step while the forgotten samples are learnt again, of the "
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
        probe_chart(d, depth, "Membership probe AUC by stage", "AUC of forgotten against test samples, %", auc_of,
                    50);
        probe_chart(d, depth, "Class probe accuracy by stage", "class of forgotten samples found, %", acc_of, 0);
    }
    if (depth->n_cka)
        cka_chart(d, depth);
    relearn_chart(d, depth, &depth->forget_acc, "Relearning: forgotten samples");
    relearn_chart(d, depth, &depth->test_acc, "Relearning: test samples");
    lti_buf_printf(&d->b, "</div>\n");
}

lt_status lti_put_representation(lti_doc *d)
{
    if (d->spec->n_depth == 0)
        return LT_OK;
    lti_section(d, "Representation audit");
    lti_small(d, "A model may answer as if it had forgotten and still hold the samples inside. Linear probes ask every "
                 "stage; similarity compares the stages with those of other models; relearning asks how fast the "
                 "forgotten samples come back. Good forgetting looks like the retrained models, not like the "
                 "original.");
    for (int i = 0; i < d->spec->n_depth; i++)
        show(d, &d->spec->depth[i]);
    return LT_OK;
}

lt_status lti_put_streams(lti_doc *d)
{
    const lt_report_spec *s = d->spec;
    int n_max = 0;
    lti_axis y = {.label = "AUC retain/forget \xe2\x88\x92 forget/test, points", .want = 5};
    lti_plot p;
    for (int i = 0; i < s->n_streams; i++) {
        n_max = s->streams[i].n > n_max ? s->streams[i].n : n_max;
        for (int k = 0; k < s->streams[i].n; k++) {
            widen(&y, 100 * s->streams[i].current[k]);
            widen(&y, 100 * s->streams[i].cumulative[k]);
        }
    }
    if (n_max == 0)
        return LT_OK;
    lti_section(d, "Sequential requests");
    lti_small(d, "The AUC of retained against forgotten samples minus that of forgotten against test samples, after "
                 "each request: higher is better. Solid: the samples of that request; dashed: all so far.");
    lti_buf_printf(&d->b, "<div class=\"grid\">\n");
    lti_plot_open(
        d,
        &(lti_frame){.title = "Stream of requests",
                     .desc = "Difference of the two AUCs in points by request.",
                     .height = 260,
                     .right = LABELS,
                     .x = {.label = "request", .lo = 1, .hi = n_max, .tight = true, .want = n_max < 8 ? n_max : 8},
                     .y = y},
        &p);
    for (int i = 0; i < s->n_streams; i++) {
        const lt_report_stream *t = &s->streams[i];
        double *v = lti_calloc((size_t)t->n * 3 + 1, sizeof *v);
        if (!v) {
            d->b.failed = true;
            break;
        }
        for (int k = 0; k < t->n; k++) {
            v[k] = k + 1;
            v[t->n + k] = 100 * t->current[k];
            v[2 * t->n + k] = 100 * t->cumulative[k];
        }
        lti_style style = {.color = i % LTI_N_COLORS};
        lti_plot_line(&p, t->n, v, v + t->n, style);
        for (int k = 0; k < t->n; k++)
            lti_plot_mark(&p, v[k], v[t->n + k], LTI_DOT, style);
        lti_plot_label(&p, v[2 * t->n - 1], style, t->name);
        style.dash = 4;
        lti_plot_line(&p, t->n, v, v + 2 * t->n, style);
        lti_free(v);
    }
    lti_plot_close(&p);
    lti_buf_printf(&d->b, "</div>\n");
    return LT_OK;
}
