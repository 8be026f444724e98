// strip.c - forgotten images beside their adversarial neighbours and the difference of both, magnified. [AMUN 2]
#include "report/report_impl.h"
#include <math.h>

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

lt_status lti_put_image_grid(lti_doc *d)
{
    const lt_report_spec *s = d->spec;
    lti_buf *b = &d->b;
    if (s->n_pairs <= 0)
        return LT_OK;
    if ((s->c != 1 && s->c != 3) || s->h < 1 || s->w < 1)
        return LT_FAIL(LT_E_SHAPE, "report pictures of shape (%d,%d,%d): expected 1 or 3 channels", s->c, s->h, s->w);
    size_t image = (size_t)s->c * (size_t)s->h * (size_t)s->w;
    float factor = magnification(s, image);
    uint8_t *bytes = lti_malloc(image);
    float *diff = lti_malloc(image * sizeof *diff);
    lt_status status = bytes && diff ? LT_OK : LTI_NOMEM("report pictures");
    lti_section(d, "Forgotten images and their adversarial neighbours");
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
