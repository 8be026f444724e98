// report.c - one page that shows what an unlearning run did and how close it came to retraining.
//
// The order follows the reader's questions: which method came closest to the oracle (table), what the confidences look
// like before and after [AMUN 7.8], what the adversarial neighbours are [AMUN 2], how the models were trained, and
// with which data, seeds and versions.
#include "report/report_impl.h"
#include <math.h>
#include <string.h>

static double best_gap(const lt_report_spec *s, bool auc)
{
    double best = INFINITY;
    for (int i = 0; i < s->n_rows; i++) {
        double gap = auc ? s->rows[i].gap_auc : s->rows[i].gap_mis;
        if (s->rows[i].role == LT_ROW_METHOD && isfinite(gap))
            best = fmin(best, gap);
    }
    return best;
}

static void cell(lti_buf *b, double value, int decimals, bool best)
{
    lti_buf_printf(b, best ? "<td class=\"best\">" : "<td>");
    lti_html_number(b, value, decimals);
    lti_buf_printf(b, "</td>");
}

static void table(lti_buf *b, const lt_report_spec *s)
{
    double best_mis = best_gap(s, false), best_auc = best_gap(s, true);
    lti_buf_printf(b,
                   "<h2>How close to retraining</h2>\n<div class=\"scroll\"><table>\n<thead><tr><th>Method</th>"
                   "<th>Forget acc., %%</th><th>Retain acc., %%</th><th>Test acc., %%</th><th>MIA (MIS), %%</th>"
                   "<th>&phi; AUC forget / test, %%</th><th>Avg. gap (MIS)</th><th>Avg. gap (AUC)</th><th>Seconds</th>"
                   "</tr></thead>\n<tbody>\n");
    for (int i = 0; i < s->n_rows; i++) {
        const lt_report_row *r = &s->rows[i];
        lti_buf_printf(b, r->role == LT_ROW_METHOD ? "<tr><th>" : "<tr class=\"ref\"><th>");
        lti_html_text(b, r->name);
        if (r->setting && *r->setting) {
            lti_buf_printf(b, "<small>");
            lti_html_text(b, r->setting);
            lti_buf_printf(b, "</small>");
        }
        lti_buf_printf(b, "</th>");
        cell(b, 100 * r->audit.ua, 1, false);
        cell(b, 100 * r->audit.ra, 1, false);
        cell(b, 100 * r->audit.ta, 1, false);
        cell(b, 100 * r->audit.svc.confidence, 1, false);
        cell(b, 100 * r->audit.phi.ft, 1, false);
        cell(b, 100 * r->gap_mis, 2, r->role == LT_ROW_METHOD && r->gap_mis <= best_mis);
        cell(b, 100 * r->gap_auc, 2, r->role == LT_ROW_METHOD && r->gap_auc <= best_auc);
        cell(b, r->seconds, r->seconds < 100 ? 1 : 0, false);
        lti_buf_printf(b, "</tr>\n");
    }
    lti_buf_printf(b, "</tbody></table></div>\n<p class=\"small\">The oracle is a model trained from scratch without "
                      "the forgotten samples: "
                      "the target is to be like it, not to score low. Avg. gap is the mean absolute difference to it "
                      "over forget, retain "
                      "and test accuracy and the membership figure, in percentage points; smaller is better, the "
                      "smallest is marked. MIS is the share "
                      "of forgotten samples that an SVC on the confidence calls non-members. &phi; AUC tells forgotten "
                      "from test samples by "
                      "confidence alone: 50 %% means an attacker can only guess.</p>\n");
}

static void legend_item(lti_buf *b, int color, bool dashed, const char *text)
{
    lti_buf_printf(b, "<li><i style=\"border-color:var(--c%d)\"%s></i>", color % 8, dashed ? " class=\"dash\"" : "");
    lti_html_text(b, text);
    lti_buf_printf(b, "</li>");
}

// ---- confidences
struct hists {
    lti_hist group[3];
};

// A common x range: the 0.5 % and 99.5 % quantiles of all values of all rows.
static lt_status common_range(const lt_report_spec *s, lti_hist_axis *axis)
{
    int64_t total = 0, n = 0;
    for (int i = 0; i < s->n_rows; i++)
        total += s->rows[i].signals ? s->rows[i].signals->n : 0;
    axis->lo = -1;
    axis->hi = 1;
    if (total == 0)
        return LT_OK;
    size_t bytes;
    double *all = lti_mul_size((size_t)total, sizeof *all, &bytes) ? NULL : lti_malloc(bytes);
    if (!all)
        return LTI_NOMEM("confidence histogram");
    for (int i = 0; i < s->n_rows; i++)
        if (s->rows[i].signals)
            n += lt_signals_feature(s->rows[i].signals, LT_FEAT_PHI, -1, all + n);
    lti_sort_values(all, n);
    axis->lo = floor(all[(int64_t)(0.005 * (double)(n - 1))]);
    axis->hi = ceil(all[(int64_t)(0.995 * (double)(n - 1))]);
    if (axis->hi <= axis->lo)
        axis->hi = axis->lo + 1;
    lti_free(all);
    return LT_OK;
}

static lt_status fill_hists(const lt_signals *signals, const lti_hist_axis *axis, struct hists *h)
{
    size_t bytes;
    double *value = lti_mul_size((size_t)signals->n, sizeof *value, &bytes) ? NULL : lti_malloc(bytes);
    if (!value)
        return LTI_NOMEM("confidence histogram");
    for (int g = 0; g < 3; g++) {
        int64_t n = lt_signals_feature(signals, LT_FEAT_PHI, g, value);
        lti_hist_fill(&h->group[g], axis, value, n);
    }
    lti_free(value);
    return LT_OK;
}

// The top of the y axis: the highest inner bin of all panels, so that clipped tails do not set the scale.
static double common_top(const struct hists *h, int n)
{
    double top = 0;
    for (int i = 0; i < n; i++)
        for (int g = 0; g < 3; g++)
            for (int k = 1; k + 1 < LTI_HIST_BINS; k++)
                top = fmax(top, h[i].group[g].density[k]);
    return top > 0 ? top : 1;
}

static void panels(lti_buf *b, const lt_report_spec *s, const struct hists *h, lti_hist_axis axis)
{
    const lti_hist *before = NULL;
    for (int i = 0; i < s->n_rows; i++)
        if (s->rows[i].signals && s->rows[i].role == LT_ROW_ORIGINAL && !before)
            before = &h[i].group[LT_GROUP_FORGET];
    lti_buf_printf(b, "<ul class=\"legend\">");
    legend_item(b, 0, false, "retain");
    legend_item(b, 1, false, "forget");
    legend_item(b, 2, false, "test");
    if (before)
        legend_item(b, 1, true, "forget, before unlearning");
    lti_buf_printf(b, "</ul>\n<div class=\"grid\">\n");
    for (int i = 0; i < s->n_rows; i++) {
        const lt_report_row *r = &s->rows[i];
        if (!r->signals)
            continue;
        lti_hist_panel p = {.title = r->name, .subtitle = r->setting, .axis = axis};
        for (int g = 0; g < 3; g++)
            p.group[g] = &h[i].group[g];
        p.forget_before = r->role == LT_ROW_ORIGINAL ? NULL : before;
        lti_chart_hist(b, &p);
    }
    lti_buf_printf(b, "</div>\n");
}

static lt_status confidences(lti_buf *b, const lt_report_spec *s)
{
    int n_signals = 0;
    for (int i = 0; i < s->n_rows; i++)
        n_signals += s->rows[i].signals != NULL;
    if (n_signals == 0)
        return LT_OK;
    lti_hist_axis axis = {0};
    LT_TRY(common_range(s, &axis));
    struct hists *h = lti_calloc((size_t)s->n_rows, sizeof *h);
    if (!h)
        return LTI_NOMEM("confidence histogram");
    lt_status status = LT_OK;
    for (int i = 0; i < s->n_rows && status == LT_OK; i++)
        if (s->rows[i].signals)
            status = fill_hists(s->rows[i].signals, &axis, &h[i]);
    if (status == LT_OK) {
        axis.top = common_top(h, s->n_rows);
        lti_buf_printf(
            b,
            "<h2>Confidence before and after</h2>\n<p class=\"small\">After good unlearning the forgotten samples look "
            "like test "
            "samples (as for the oracle), not like retained ones. Triangles mark medians; values beyond the axis are "
            "counted in its end bins.</p>\n");
        panels(b, s, h, axis);
    }
    lti_free(h);
    return status;
}

// ---- adversarial neighbours
static void to_bytes(const float *x, size_t n, uint8_t *out)
{
    for (size_t i = 0; i < n; i++) {
        float v = x[i] < 0 ? 0 : x[i] > 1 ? 1 : x[i];
        out[i] = (uint8_t)lrintf(255 * v);
    }
}

static lt_status picture(lti_buf *b, const lt_report_spec *s, const uint8_t *x, const char *alt)
{
    lti_buf_printf(b, "<img alt=\"%s\" width=\"%d\" height=\"%d\" src=\"", alt, s->w, s->h);
    LT_TRY(lti_png_data_uri(b, s->c, s->h, s->w, x));
    lti_buf_printf(b, "\">");
    return LT_OK;
}

// One factor for the whole strip, so that differences compare: the largest one becomes full contrast.
static float magnification(const lt_report_spec *s, size_t image)
{
    float most = 0;
    for (size_t i = 0; i < image * (size_t)s->n_pairs; i++)
        most = fmaxf(most, fabsf(s->adv[i] - s->clean[i]));
    float factor = most > 0 ? floorf(0.5f / most) : 1;
    return factor < 1 ? 1 : factor > 50 ? 50 : factor;
}

static lt_status pair(lti_buf *b, const lt_report_spec *s, int i, float factor, uint8_t *bytes, float *diff)
{
    size_t image = (size_t)s->c * (size_t)s->h * (size_t)s->w;
    const float *clean = s->clean + (size_t)i * image, *adv = s->adv + (size_t)i * image;
    lti_buf_printf(b, "<div>");
    to_bytes(clean, image, bytes);
    LT_TRY(picture(b, s, bytes, "forgotten image"));
    to_bytes(adv, image, bytes);
    LT_TRY(picture(b, s, bytes, "its adversarial neighbour"));
    for (size_t k = 0; k < image; k++)
        diff[k] = 0.5f + factor * (adv[k] - clean[k]);
    to_bytes(diff, image, bytes);
    LT_TRY(picture(b, s, bytes, "difference, magnified"));
    lti_html_text(b, s->pair_text ? s->pair_text[i] : NULL);
    lti_buf_printf(b, "</div>\n");
    return LT_OK;
}

static lt_status strip(lti_buf *b, const lt_report_spec *s)
{
    if (s->n_pairs <= 0)
        return LT_OK;
    if ((s->c != 1 && s->c != 3) || s->h < 1 || s->w < 1)
        return LT_FAIL(LT_E_SHAPE, "report pictures of shape (%d,%d,%d): expected 1 or 3 channels", s->c, s->h, s->w);
    size_t image = (size_t)s->c * (size_t)s->h * (size_t)s->w;
    float factor = magnification(s, image);
    uint8_t *bytes = lti_malloc(image);
    float *diff = lti_malloc(image * sizeof *diff);
    lt_status status = bytes && diff ? LT_OK : LTI_NOMEM("report pictures");
    lti_buf_printf(
        b,
        "<h2>Forgotten images and their adversarial neighbours</h2>\n<p class=\"small\">From top to bottom: the image, "
        "the nearest "
        "point found that the original model takes for another class, and their difference around grey, %.0f times "
        "magnified.</p>\n<div class=\"strip\">\n",
        (double)factor);
    for (int i = 0; i < s->n_pairs && status == LT_OK; i++)
        status = pair(b, s, i, factor, bytes, diff);
    lti_buf_printf(b, "</div>\n");
    lti_free(bytes);
    lti_free(diff);
    return status;
}

// ---- training curves
static lt_status curves(lti_buf *b, const lt_report_spec *s)
{
    if (s->n_curves <= 0)
        return LT_OK;
    lti_series *series = lti_calloc((size_t)s->n_curves * 3, sizeof *series);
    if (!series)
        return LTI_NOMEM("training curves");
    lti_series *loss = series, *acc = series + s->n_curves;
    int n_acc = 0;
    lti_buf_printf(b, "<h2>Training</h2>\n<ul class=\"legend\">");
    for (int i = 0; i < s->n_curves; i++) {
        const lt_report_curve *c = &s->curves[i];
        legend_item(b, i, false, c->name);
        loss[i] = (lti_series){.name = c->name, .n = c->n, .x = c->epoch, .y = c->loss, .color = i};
        acc[n_acc++] = (lti_series){.name = c->name, .n = c->n, .x = c->epoch, .y = c->train_acc, .color = i};
        if (c->test_acc)
            acc[n_acc++] =
                (lti_series){.name = c->name, .n = c->n, .x = c->epoch, .y = c->test_acc, .color = i, .dashed = true};
    }
    if (n_acc > s->n_curves)
        lti_buf_printf(b, "<li><i class=\"dash\"></i>test</li>");
    lti_buf_printf(b, "</ul>\n<div class=\"grid\">\n");
    lti_chart_lines(b, &(lti_chart){.title = "Loss",
                                    .x_label = "epoch",
                                    .y_label = "cross-entropy, nats",
                                    .series = loss,
                                    .n_series = s->n_curves,
                                    .y_from_zero = true});
    lti_chart_lines(b, &(lti_chart){.title = "Accuracy",
                                    .x_label = "epoch",
                                    .y_label = "fraction correct",
                                    .series = acc,
                                    .n_series = n_acc,
                                    .y_from_zero = true,
                                    .y_max_fixed = 1});
    lti_buf_printf(b, "</div>\n");
    lti_free(series);
    return LT_OK;
}

static void facts(lti_buf *b, const lt_report_spec *s)
{
    if (!s->facts || !s->facts[0])
        return;
    lti_buf_printf(b, "<h2>Facts</h2>\n<dl>\n");
    for (int i = 0; s->facts[i] && s->facts[i + 1]; i += 2) {
        lti_buf_printf(b, "<dt>");
        lti_html_text(b, s->facts[i]);
        lti_buf_printf(b, "</dt><dd>");
        lti_html_text(b, s->facts[i + 1]);
        lti_buf_printf(b, "</dd>\n");
    }
    lti_buf_printf(b, "</dl>\n");
}

lt_status lt_report_html(const lt_report_spec *spec, const char *path)
{
    lti_buf b = {0};
    lt_status status = LT_OK;
    lti_html_head(&b, spec->title);
    lti_buf_printf(&b, "<h1>");
    lti_html_text(&b, spec->title);
    lti_buf_printf(&b, "</h1>\n<p class=\"lead\">");
    lti_html_text(&b, spec->subtitle);
    lti_buf_printf(&b, "</p>\n");
    if (spec->note) {
        lti_buf_printf(&b, "<p>");
        lti_html_text(&b, spec->note);
        lti_buf_printf(&b, "</p>\n");
    }
    if (spec->n_rows > 0)
        table(&b, spec);
    LT_TRY_GOTO(confidences(&b, spec), done);
    LT_TRY_GOTO(strip(&b, spec), done);
    LT_TRY_GOTO(curves(&b, spec), done);
    facts(&b, spec);
    lti_html_tail(&b);
    if (b.failed)
        status = LTI_NOMEM("report");
    else
        LT_TRY_GOTO(lt_write_file_atomic(path, b.data, b.n), done);
done:
    lti_buf_clear(&b);
    return status;
}

// ---- the table as text
static void markdown_text(lti_buf *b, const char *text)
{
    for (const char *s = text ? text : ""; *s; s++) {
        if (strchr("|\\`*_<>[]", *s))
            lti_buf_add(b, "\\", 1);
        lti_buf_add(b, *s == '\n' ? " " : s, 1);
    }
}

static void markdown_number(lti_buf *b, double value, int decimals)
{
    if (isfinite(value))
        lti_buf_printf(b, " %.*f |", decimals, value);
    else
        lti_buf_printf(b, " - |");
}

char *lt_report_markdown(const lt_report_spec *spec)
{
    lti_buf b = {0};
    lti_buf_printf(&b, "| method | uses | forget acc. %% | retain acc. %% | test acc. %% | MIS %% | phi AUC %% | gap "
                       "(MIS) | gap (AUC) | seconds |\n"
                       "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|\n");
    for (int i = 0; i < spec->n_rows; i++) {
        const lt_report_row *r = &spec->rows[i];
        lti_buf_printf(&b, "| ");
        markdown_text(&b, r->name);
        lti_buf_printf(&b, " | ");
        markdown_text(&b, r->setting);
        lti_buf_printf(&b, " |");
        const double percent[5] = {r->audit.ua, r->audit.ra, r->audit.ta, r->audit.svc.confidence, r->audit.phi.ft};
        for (int k = 0; k < 5; k++)
            markdown_number(&b, 100 * percent[k], 1);
        markdown_number(&b, 100 * r->gap_mis, 2);
        markdown_number(&b, 100 * r->gap_auc, 2);
        markdown_number(&b, r->seconds, 1);
        lti_buf_printf(&b, "\n");
    }
    return lti_buf_take(&b);
}

static void csv_text(lti_buf *b, const char *text)
{
    lti_buf_add(b, "\"", 1);
    for (const char *s = text ? text : ""; *s; s++) {
        if (*s == '"')
            lti_buf_add(b, "\"", 1);
        lti_buf_add(b, s, 1);
    }
    lti_buf_add(b, "\"", 1);
}

char *lt_report_csv(const lt_report_spec *spec)
{
    lti_buf b = {0};
    lti_buf_printf(&b, "method,uses,forget_acc,retain_acc,test_acc,mis,phi_auc,gap_mis,gap_auc,seconds,run\n");
    for (int i = 0; i < spec->n_rows; i++) {
        const lt_report_row *r = &spec->rows[i];
        csv_text(&b, r->name);
        lti_buf_add(&b, ",", 1);
        csv_text(&b, r->setting);
        const double value[8] = {r->audit.ua,     r->audit.ra, r->audit.ta, r->audit.svc.confidence,
                                 r->audit.phi.ft, r->gap_mis,  r->gap_auc,  r->seconds};
        for (int k = 0; k < 8; k++) {
            if (isfinite(value[k]))
                lti_buf_printf(&b, ",%.17g", value[k]);
            else
                lti_buf_add(&b, ",", 1);
        }
        lti_buf_add(&b, ",", 1);
        csv_text(&b, r->run_dir);
        lti_buf_add(&b, "\n", 1);
    }
    return lti_buf_take(&b);
}
