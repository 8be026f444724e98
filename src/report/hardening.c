// hardening.c - spectra of layers before and after clipping, and transfer of examples between members of ensembles.
#include "report/section.h"
#include <math.h>

// ---- spectra: norms by layer with their bracket; the reshaped kernel for comparison

static double highest(const lt_report_spec *s)
{
    double most = 0;
    for (int i = 0; i < s->n_spectra; i++)
        for (int k = 0; k < s->spectra[i].spectra->n_layers; k++)
            most = fmax(most, s->spectra[i].spectra->layer[k].sigma[0]);
    return most;
}

static void put_norms(lti_doc *d)
{
    const lt_report_spec *s = d->spec;
    lti_plot p;
    int n = 0;
    for (int i = 0; i < s->n_spectra; i++)
        n = s->spectra[i].spectra->n_layers > n ? s->spectra[i].spectra->n_layers : n;
    lti_plot_open(d,
                  &(lti_frame){.title = "Spectral norm by layer",
                               .desc = "Largest singular value of every layer, in the order of the network.",
                               .right = 100,
                               .x = {.label = "layer, in order", .lo = 1, .hi = n > 1 ? n : 2, .tight = true},
                               .y = {.label = "largest singular value", .lo = 0, .hi = highest(s), .want = 4}},
                  &p);
    for (int i = 0; i < s->n_spectra; i++) {
        const lt_spectra *one = s->spectra[i].spectra;
        const lti_style style = {.color = i % LTI_N_COLORS, .thick = i == 0};
        double *xy = lti_calloc(2 * (size_t)one->n_layers + 1, sizeof *xy);
        d->b.failed = d->b.failed || !xy;
        for (int k = 0; xy && k < one->n_layers; k++) {
            xy[k] = k + 1;
            xy[one->n_layers + k] = one->layer[k].sigma[0];
        }
        if (xy && one->n_layers > 0) {
            lti_plot_line(&p, one->n_layers, xy, xy + one->n_layers, style);
            lti_plot_label(&p, xy[2 * one->n_layers - 1], style, s->spectra[i].name);
        }
        lti_free(xy);
    }
    lti_plot_close(&p);
}

// Singular values of the first layer that has several, one line per model.
static void put_spectrum(lti_doc *d)
{
    const lt_report_spec *s = d->spec;
    lti_plot p;
    const lt_spectra *first = s->spectra[0].spectra;
    if (first->n_layers == 0 || first->layer[0].k < 2)
        return;
    int layer = 0;
    while (layer + 1 < first->n_layers && first->layer[layer].kind != LT_LAYER_CONV)
        layer++;
    lti_plot_open(d,
                  &(lti_frame){.title = "Singular values of one layer",
                               .subtitle = first->layer[layer].name,
                               .desc = "Leading singular values of a convolution.",
                               .right = 100,
                               .x = {.label = "index", .lo = 1, .hi = first->layer[layer].k, .tight = true},
                               .y = {.label = "singular value", .lo = 0, .hi = highest(s), .want = 4}},
                  &p);
    for (int i = 0; i < s->n_spectra; i++) {
        const lt_spectra *one = s->spectra[i].spectra;
        const lti_style style = {.color = i % LTI_N_COLORS, .thick = i == 0};
        double x[32];
        if (layer >= one->n_layers || one->layer[layer].k > 32)
            continue;
        for (int k = 0; k < one->layer[layer].k; k++)
            x[k] = k + 1;
        lti_plot_line(&p, one->layer[layer].k, x, one->layer[layer].sigma, style);
        lti_plot_label(&p, one->layer[layer].sigma[one->layer[layer].k - 1], style, s->spectra[i].name);
    }
    lti_plot_close(&p);
}

static void put_layer_table(lti_doc *d, const lt_report_spectra *m)
{
    lti_buf *b = &d->b;
    lti_buf_printf(b, "<div class=\"scroll\"><table><caption>");
    lti_html_text(b, m->name);
    lti_buf_printf(b, "</caption><thead><tr><th>Layer</th><th>Kind</th><th>Norm</th><th>Lower</th><th>Upper</"
                      "th><th>Reshaped kernel</th></tr></thead>"
                      "<tbody>\n");
    for (int i = 0; i < m->spectra->n_layers; i++) {
        const lt_spectrum *l = &m->spectra->layer[i];
        lti_buf_printf(b, "<tr><th>");
        lti_html_text(b, l->name);
        lti_buf_printf(b, "</th><td>%s</td><td>%.4f</td><td>%.4f</td><td>", lt_layer_kind_name(l->kind), l->sigma[0],
                       l->lower);
        lti_html_number(b, l->upper, 4);
        lti_buf_printf(b, "</td><td>");
        lti_html_number(b, l->kernel_norm, 4);
        lti_buf_printf(b, "</td></tr>\n");
    }
    lti_buf_printf(b, "</tbody></table></div>\n<p>Lipschitz bound: ");
    lti_html_number(b, m->spectra->lipschitz_bound, 4);
    lti_buf_printf(b, " per pixel unit (%s).</p>\n", m->spectra->bound_by);
}

static lt_status put_spectra_section(lti_doc *d)
{
    if (d->spec->n_spectra <= 0)
        return LT_OK;
    lti_section(d, "Spectral norms");
    lti_buf_printf(&d->b, "<div class=\"grid\">\n");
    put_norms(d);
    put_spectrum(d);
    lti_buf_printf(&d->b, "</div>\n");
    for (int i = 0; i < d->spec->n_spectra; i++)
        put_layer_table(d, &d->spec->spectra[i]);
    return LT_OK;
}

// ---- transfer: a heat map from the member in the row to the member in the column

static void put_matrix(lti_doc *d, const lt_report_ensemble *e)
{
    lti_buf *b = &d->b;
    const lt_ensemble_eval *v = e->result;
    lti_buf_printf(b, "<div class=\"scroll\"><table><caption>");
    lti_html_text(b, e->name);
    lti_buf_printf(b, "</caption><thead><tr><th>Examples made on</th>");
    for (int j = 0; j < v->n; j++)
        lti_buf_printf(b, "<th>answered by member %d, %%</th>", j + 1);
    lti_buf_printf(b, "</tr></thead><tbody>\n");
    for (int i = 0; i < v->n; i++) {
        lti_buf_printf(b, "<tr><th>member %d</th>", i + 1);
        for (int j = 0; j < v->n; j++) {
            const double rate = v->transfer[i * v->n + j];
            const double shade = isfinite(rate) ? 0.75 * rate : 0;
            lti_buf_printf(b, "<td class=\"heat\" style=\"background:rgba(214,90,49,%.2f)\">", shade);
            lti_html_number(b, 100 * rate, 1);
            lti_buf_printf(b, " <small>%lld of %lld</small></td>", (long long)v->numerator[i * v->n + j],
                           (long long)v->eligible[i * v->n + j]);
        }
        lti_buf_printf(b, "</tr>\n");
    }
    lti_buf_printf(b, "</tbody></table></div>\n");
}

static void put_summary(lti_doc *d)
{
    lti_buf *b = &d->b;
    lti_buf_printf(b,
                   "<div class=\"scroll\"><table><thead><tr><th>Ensemble</th><th>Accuracy %%</th><th>Robust %%</th>"
                   "<th>Members robust %%</th><th>Transfer %%</th><th>Black-box robust %%</th></tr></thead><tbody>\n");
    for (int i = 0; i < d->spec->n_ensembles; i++) {
        const lt_report_ensemble *e = &d->spec->ensembles[i];
        const double value[] = {e->result->acc, e->result->robust_acc, e->result->mean_robust, e->result->mean_transfer,
                                e->result->black_box_robust};
        lti_buf_printf(b, "<tr><th>");
        lti_html_text(b, e->name);
        lti_buf_printf(b, "</th>");
        for (size_t k = 0; k < sizeof value / sizeof *value; k++) {
            lti_buf_printf(b, "<td>");
            lti_html_number(b, 100 * value[k], 1);
            lti_buf_printf(b, "</td>");
        }
        lti_buf_printf(b, "</tr>\n");
    }
    lti_buf_printf(b, "</tbody></table></div>\n");
}

static lt_status put_transfer_section(lti_doc *d)
{
    if (d->spec->n_ensembles <= 0)
        return LT_OK;
    lti_section(d, "Transfer between members");
    put_summary(d);
    lti_small(d,
              "Rates condition on samples that both members classify correctly and on examples that fool their source; "
              "the diagonal is the share of a member's correct samples that its own attack fools.");
    for (int i = 0; i < d->spec->n_ensembles; i++)
        put_matrix(d, &d->spec->ensembles[i]);
    return LT_OK;
}

const lti_report_section lti_section_spectra = {
    .name = "spectra",
    .put = put_spectra_section,
};
const lti_report_section lti_section_transfer = {
    .name = "transfer",
    .put = put_transfer_section,
};
