// robustness.c - what attacks found: accuracies with intervals, accuracy against the radius, examples in pictures.
#include "report/section.h"
#include <math.h>
#include <string.h>

enum { MAX_PICTURES = 8, LABELS = 100 };

static void put_table(lti_doc *d)
{
    lti_buf *b = &d->b;
    lti_buf_printf(b,
                   "<div class=\"scroll\"><table><thead><tr><th>Model</th><th>Attack</th><th>Norm</th><th>Radius</th>"
                   "<th>Clean %%</th><th>Robust %%</th><th>95 %% interval</th><th>Median distance</th><th>Median "
                   "L2</th><th>Flags</th></tr>"
                   "</thead><tbody>\n");
    for (int i = 0; i < d->spec->n_robust; i++) {
        const lt_report_attack *a = &d->spec->robust[i];
        const lt_robust_result *r = a->result;
        lti_buf_printf(b, "<tr><th>");
        lti_html_text(b, a->model);
        lti_buf_printf(b, "</th><td>");
        lti_html_text(b, a->attack);
        lti_buf_printf(b, "</td><td>%s</td><td>", r->norm == LT_NORM_L2 ? "L2" : "L-inf");
        lti_html_number(b, r->eps, 4); // not a number for attacks of minimum norm, which are about the distance
        lti_buf_printf(b, "</td><td>%.1f</td><td>", 100 * r->clean_acc);
        lti_html_number(b, isnan(r->eps) ? (double)NAN : 100 * r->robust_acc, 1);
        if (isnan(r->eps))
            lti_buf_printf(b, "</td><td></td><td>");
        else
            lti_buf_printf(b, "</td><td>%.1f to %.1f</td><td>", 100 * r->robust_interval[0],
                           100 * r->robust_interval[1]);
        lti_html_number(b, r->median_distance, 4);
        lti_buf_printf(b, "</td><td>");
        lti_html_number(b, r->median_l2, 3);
        lti_buf_printf(b, "</td><td>");
        for (int bit = 0; bit < LT_N_FLAGS; bit++)
            if (r->flags >> bit & 1)
                lti_buf_printf(b, "%s ", lt_robust_flag_name(bit));
        lti_buf_printf(b, "</td></tr>\n");
    }
    lti_buf_printf(b, "</tbody></table></div>\n");
}

static void put_curves(lti_doc *d)
{
    const lt_report_spec *s = d->spec;
    lti_axis x = {.label = "radius, pixels of [0,1]", .tight = true};
    lti_plot p;
    for (int i = 0; i < s->n_robust; i++)
        for (int k = 0; k < s->robust[i].n_radii; k++)
            x.hi = fmax(x.hi, s->robust[i].radius[k]);
    if (x.hi <= 0)
        return;
    lti_buf_printf(&d->b, "<div class=\"grid\">\n");
    lti_plot_open(d,
                  &(lti_frame){.title = "Accuracy against the radius",
                               .desc = "Share of images that stay correct under attack, by radius.",
                               .right = LABELS,
                               .x = x,
                               .y = {.label = "correct, %", .hi = 100, .want = 4}},
                  &p);
    for (int i = 0; i < s->n_robust; i++) {
        const lt_report_attack *a = &s->robust[i];
        const lti_style style = {.color = i % LTI_N_COLORS, .thick = i == 0};
        double *y = lti_calloc((size_t)a->n_radii + 1, sizeof *y);
        d->b.failed = d->b.failed || !y;
        for (int k = 0; y && k < a->n_radii; k++)
            y[k] = 100 * a->robust_acc[k];
        if (y && a->n_radii > 0) {
            lti_plot_line(&p, a->n_radii, a->radius, y, style);
            lti_plot_label(&p, y[a->n_radii - 1], style, a->model);
        }
        lti_free(y);
    }
    lti_plot_close(&p);
    lti_buf_printf(&d->b, "</div>\n");
}

static lt_status put_robustness(lti_doc *d)
{
    if (d->spec->n_robust <= 0)
        return LT_OK;
    lti_section(d, "Robustness to adversarial examples");
    put_table(d);
    put_curves(d);
    return LT_OK;
}

// ---- pictures

static uint8_t to_byte(double v)
{
    return (uint8_t)lrint(255 * (v < 0 ? 0 : v > 1 ? 1 : v));
}

// Rows: image, example, difference. Columns: the first broken samples.
static void fill_grid(const lt_robust_result *r, const int64_t *sample, int n, double factor, uint8_t *grid)
{
    const int w = n * (r->w + 1) - 1, h = 3 * (r->h + 1) - 1;
    memset(grid, 255, (size_t)r->c * (size_t)w * (size_t)h);
    for (int i = 0; i < n; i++)
        for (int c = 0; c < r->c; c++)
            for (int y = 0; y < r->h; y++)
                for (int x = 0; x < r->w; x++) {
                    const int64_t at = ((sample[i] * r->c + c) * r->h + y) * r->w + x;
                    const double clean = (double)r->x[at], adv = (double)r->x_adv[at];
                    uint8_t *out =
                        grid + ((size_t)c * (size_t)h + (size_t)y) * (size_t)w + (size_t)(i * (r->w + 1) + x);
                    const size_t row = (size_t)(r->h + 1) * (size_t)w;
                    out[0] = to_byte(clean);
                    out[row] = to_byte(adv);
                    out[2 * row] = to_byte(0.5 + factor * (adv - clean));
                }
}

lt_status lt_robust_picture(const lt_robust_result *r, const uint8_t *hidden, const char *path)
{
    int64_t sample[MAX_PICTURES], n_hidden = 0;
    int n = 0;
    double most = 0;
    if (r->c != 1 && r->c != 3)
        return LT_FAIL(LT_E_SHAPE, "pictures of %d channels: expected 1 or 3", r->c);
    for (int64_t i = 0; i < r->n && n < MAX_PICTURES; i++) {
        if (r->status[i] != LT_ROBUST_BROKEN)
            continue;
        if (hidden && hidden[i])
            n_hidden++;
        else
            sample[n++] = i;
    }
    if (n == 0 && n_hidden > 0) {
        LT_FAIL(LT_E_FAIL, "%s: expected adversarial examples to draw, found %lld, all of forgotten samples", path,
                (long long)n_hidden);
        return lt_error_hint("--with-images draws them");
    }
    if (n == 0)
        return LT_FAIL(LT_E_FAIL, "%s: expected at least one adversarial example to draw, found none", path);
    const int64_t dim = (int64_t)r->c * r->h * r->w;
    for (int i = 0; i < n; i++)
        for (int64_t j = 0; j < dim; j++)
            most = fmax(most, fabs((double)r->x_adv[sample[i] * dim + j] - (double)r->x[sample[i] * dim + j]));
    const int w = n * (r->w + 1) - 1, h = 3 * (r->h + 1) - 1;
    uint8_t *grid = lti_malloc((size_t)r->c * (size_t)w * (size_t)h);
    if (!grid)
        return LTI_NOMEM("picture");
    fill_grid(r, sample, n, most > 0 ? 0.5 / most : 1, grid);
    const lt_status status = lt_png_write(path, r->c, h, w, grid);
    lti_free(grid);
    return status;
}

const lti_report_section lti_section_robustness = {
    .name = "robustness",
    .put = put_robustness,
};
