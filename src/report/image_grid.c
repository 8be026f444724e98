// image_grid.c - forgotten images, their adversarial examples and the difference of both, magnified. [AMUN 2]
//
// A report is evidence that travels. It shows what was to be forgotten only when that was requested.
#include "data/png_write.h"
#include "report/section.h"
#include "lethe/attack.h"
#include <jansson.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>

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
    LT_TRY(picture(b, s, bytes, "its adversarial example"));
    for (size_t k = 0; k < image; k++)
        diff[k] = 0.5f + factor * (adv[k] - clean[k]);
    to_bytes(diff, image, bytes);
    LT_TRY(picture(b, s, bytes, "difference, magnified"));
    lti_html_text(b, s->pair_text ? s->pair_text[i] : NULL);
    lti_buf_printf(b, "</div>\n");
    return LT_OK;
}

static lt_status put_pictures(lti_doc *d)
{
    const lt_report_spec *s = d->spec;
    lti_buf *b = &d->b;
    if (s->withheld) {
        lti_section(d, "Forgotten images and their adversarial examples");
        lti_buf_puts(b, "<p class=\"small\">");
        lti_html_text(b, s->withheld);
        lti_buf_puts(b, "</p>\n");
        return LT_OK;
    }
    if (s->n_pairs <= 0)
        return LT_OK;
    if ((s->c != 1 && s->c != 3) || s->h < 1 || s->w < 1)
        return LT_FAIL(LT_E_SHAPE, "report pictures of shape (%d,%d,%d): expected 1 or 3 channels", s->c, s->h, s->w);
    size_t image = (size_t)s->c * (size_t)s->h * (size_t)s->w;
    float factor = magnification(s, image);
    uint8_t *bytes = lti_malloc(image);
    float *diff = lti_malloc(image * sizeof *diff);
    lt_status status = bytes && diff ? LT_OK : LTI_NOMEM("report pictures");
    lti_section(d, "Forgotten images and their adversarial examples");
    lti_buf_printf(
        b,
        "<p class=\"small\">From top to bottom: the image, the nearest point found that the original model takes for "
        "another class, and their difference around grey, %.0f times magnified.</p>\n<div class=\"strip\">\n",
        (double)factor);
    for (int i = 0; i < s->n_pairs && status == LT_OK; i++)
        status = pair(b, s, i, factor, bytes, diff);
    lti_buf_printf(b, "</div>\n");
    lti_free(bytes);
    lti_free(diff);
    return status;
}

// ---- from the adversarial set of the first run that keeps one: of different classes where there are enough

enum { MAX_PAIRS = 12 };

static int choose_pairs(const lt_adv_set *adv, int n_classes, int64_t *chosen)
{
    int n = 0, want = n_classes < MAX_PAIRS ? n_classes : MAX_PAIRS;
    for (int round = 0; round < MAX_PAIRS && n < MAX_PAIRS; round++)
        for (int k = 0; k < want && n < MAX_PAIRS; k++) {
            int seen = 0;
            for (int64_t i = 0; i < adv->n; i++)
                if (adv->status[i] == LT_ADV_OK && adv->label[i] == k && seen++ == round) {
                    chosen[n++] = i;
                    break;
                }
        }
    return n;
}

static lt_status fill_pairs(lti_gather *g, const lt_adv_set *adv)
{
    const lt_dataset *ds = g->source->ds;
    int64_t chosen[MAX_PAIRS];
    const size_t image = (size_t)ds->c * (size_t)ds->h * (size_t)ds->w;
    const int n = choose_pairs(adv, ds->n_classes, chosen);
    float *clean = lti_gather_alloc(g, (size_t)n * image, sizeof *clean),
          *moved = lti_gather_alloc(g, (size_t)n * image, sizeof *moved);
    const char **text = lti_gather_alloc(g, (size_t)n, sizeof *text);
    if (!clean || !moved || !text)
        return LTI_NOMEM("report");
    int used = 0;
    for (int i = 0; i < n; i++) {
        const int64_t at = chosen[i], row = lt_dataset_row_of_id(ds, LT_TRAIN, adv->id[at]);
        if (row < 0)
            continue;
        for (size_t k = 0; k < image; k++)
            clean[(size_t)used * image + k] = (float)ds->split[LT_TRAIN].x[(size_t)row * image + k] / 255.0f;
        memcpy(moved + (size_t)used * image, adv->x_adv + (size_t)at * image, image * sizeof(float));
        text[used++] = lti_gather_text(g, "%s \xe2\x86\x92 %s, distance %.2f", ds->class_names[adv->label[at]],
                                       ds->class_names[adv->adv_pred[at]], (double)adv->delta_norm[at]);
    }
    g->spec->n_pairs = used;
    g->spec->c = ds->c;
    g->spec->h = ds->h;
    g->spec->w = ds->w;
    g->spec->clean = clean;
    g->spec->adv = moved;
    g->spec->pair_text = text;
    return LT_OK;
}

static lt_status open_first_set(lti_gather *g, lt_adv_set **adv)
{
    for (int i = 0; i < g->spec->n_rows && !*adv; i++) {
        struct stat st; // made with --no-save-adv: no strip from this run
        char *dir = lti_asprintf("%s/adv", g->source->comparison->row[i].run);
        if (!dir)
            return LTI_NOMEM("report");
        const bool kept = json_object_get(g->result[i], "adversarial_set") && stat(dir, &st) == 0;
        const lt_status status = kept ? lt_adv_set_open(dir, adv) : LT_OK;
        lti_free(dir);
        LT_TRY(status);
    }
    return LT_OK;
}

// Pictures are left out; the reader must know that the runs may still hold them.
static lt_status say_withheld(lti_gather *g)
{
    lti_buf b = {0};
    for (int i = 0; i < g->spec->n_rows; i++) {
        struct stat st;
        char *dir = lti_asprintf("%s/adv", g->source->comparison->row[i].run);
        if (dir && stat(dir, &st) == 0)
            lti_buf_printf(&b, "%s%s", b.n ? ", " : "", dir);
        lti_free(dir);
    }
    char *where = lti_buf_take(&b);
    if (!where)
        return LTI_NOMEM("report");
    g->spec->withheld = lti_gather_text(
        g, "Pictures of forgotten samples are left out; lethe report --with-images shows them. %s%.3000s%s",
        *where ? "Adversarial examples of forgotten images, from which the images can be recognised, are kept in "
               : "None of these runs keeps adversarial examples of forgotten images.",
        where, *where ? ": delete these folders when they are no longer needed." : "");
    free(where);
    return g->spec->withheld ? LT_OK : LTI_NOMEM("report");
}

static lt_status gather_pictures(lti_gather *g)
{
    const lt_dataset *ds = g->source->ds;
    lt_adv_set *adv = NULL;
    if (!ds)
        return LT_OK;
    if (!g->source->with_images)
        return say_withheld(g);
    LT_TRY(open_first_set(g, &adv));
    const bool fits = adv && adv->c == ds->c && adv->h == ds->h && adv->w == ds->w && (ds->c == 1 || ds->c == 3);
    const lt_status status = fits ? fill_pairs(g, adv) : LT_OK;
    lt_adv_set_destroy(adv);
    return status;
}

const lti_report_section lti_section_pictures = {
    .name = "pictures",
    .gather = gather_pictures,
    .put = put_pictures,
};
