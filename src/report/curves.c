// curves.c - how the models were trained: loss and accuracy over the epochs.
#include "report/report_impl.h"
#include <math.h>

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

lt_status lti_put_curves(lti_doc *d)
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
