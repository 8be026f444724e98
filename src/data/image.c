// image.c - encoded images to planes of bytes, and one size for all of them.
//
// The format is detected from the first bytes, not from the name. Sizes are bounded before anything is allocated.
#include "data_impl.h"
#include <string.h>
#include <strings.h>

void lti_image_clear(lti_image *image)
{
    lti_free(image->px);
    *image = (lti_image){0};
}

bool lti_image_name(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot && (strcasecmp(dot, ".jpg") == 0 || strcasecmp(dot, ".jpeg") == 0 || strcasecmp(dot, ".png") == 0);
}

lt_status lti_image_alloc(int c, int h, int w, const char *label, lti_image *image)
{
    if (h < 1 || w < 1 || h > LTI_MAX_SIDE || w > LTI_MAX_SIDE || (int64_t)h * w > LTI_MAX_IMAGE_PIXELS)
        return LT_FAIL(LT_E_FORMAT, "%s: %dx%d pixels, expected at most %d a side and %d in all", label, w, h,
                       LTI_MAX_SIDE, LTI_MAX_IMAGE_PIXELS);
    *image = (lti_image){c, h, w, lti_malloc((size_t)c * (size_t)h * (size_t)w)};
    return image->px ? LT_OK : LTI_NOMEM(label);
}

lt_status lti_image_decode(const uint8_t *bytes, size_t n, const char *label, lti_image *image)
{
    static const uint8_t png[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
    *image = (lti_image){0};
    if (n >= 3 && bytes[0] == 0xff && bytes[1] == 0xd8 && bytes[2] == 0xff)
        return lti_jpeg_decode(bytes, n, label, image);
    if (n >= sizeof png && memcmp(bytes, png, sizeof png) == 0)
        return lti_png_decode(bytes, n, label, image);
    if (n == 0)
        return LT_FAIL(LT_E_FORMAT, "%s: empty file, expected a JPEG or PNG image", label);
    return LT_FAIL(LT_E_FORMAT, "%s: neither a JPEG nor a PNG image (%zu bytes, the first is 0x%02x)", label, n,
                   bytes[0]);
}

// ---- resizing
// One axis at a time, with a triangle filter as wide as the reduction (bilinear when enlarging). Weights are integers
// that add up to 2^16, so the result is the same on every machine.

typedef struct taps { // of one output position
    int first, n;
    uint32_t *weight; // (n)
} taps;

enum { WEIGHT_ONE = 1 << 16 };

static int imin(int a, int b)
{
    return a < b ? a : b;
}

// Output i of n_out reads the input around (i + 1/2) * n_in / n_out.
static void make_taps(int i, int n_in, int n_out, taps *t)
{
    double scale = (double)n_in / n_out, width = scale > 1 ? scale : 1, centre = (i + 0.5) * scale, total = 0;
    int first = (int)(centre - width), last = imin((int)(centre + width + 1), n_in - 1);
    first = first > 0 ? first : 0;
    t->first = first;
    t->n = last - first + 1;
    for (int pass = 0; pass < 2; pass++) {
        uint32_t sum = 0;
        int best = 0;
        for (int k = 0; k < t->n; k++) {
            double d = first + k + 0.5 - centre, w = 1 - (d < 0 ? -d : d) / width;
            w = w > 0 ? w : 0;
            if (pass == 0) {
                total += w;
                continue;
            }
            t->weight[k] = (uint32_t)(w / total * WEIGHT_ONE + 0.5);
            sum += t->weight[k];
            best = t->weight[k] > t->weight[best] ? k : best;
        }
        if (pass == 1)
            t->weight[best] += (uint32_t)WEIGHT_ONE - sum; // modulo 2^32: may also take away
    }
}

// in (rows, n_in) with the given strides -> out (rows, n_out)
typedef struct axis {
    int n_in, n_out, rows;
    size_t in_step, in_row, out_step, out_row;
} axis;

static void resize_axis(const axis *a, const uint8_t *in, uint8_t *out, uint32_t *weight)
{
    for (int i = 0; i < a->n_out; i++) {
        taps t = {.weight = weight};
        make_taps(i, a->n_in, a->n_out, &t);
        for (int r = 0; r < a->rows; r++) {
            const uint8_t *from = in + (size_t)r * a->in_row + (size_t)t.first * a->in_step;
            uint32_t sum = WEIGHT_ONE / 2;
            for (int k = 0; k < t.n; k++)
                sum += t.weight[k] * from[(size_t)k * a->in_step];
            out[(size_t)r * a->out_row + (size_t)i * a->out_step] = (uint8_t)(sum / WEIGHT_ONE);
        }
    }
}

static lt_status resize(const lti_image *in, int h, int w, const char *label, lti_image *out)
{
    lti_image wide = {0};
    uint32_t *weight = lti_malloc(((size_t)in->h + (size_t)in->w + 8) * 2 * sizeof *weight);
    lt_status status = weight ? LT_OK : LTI_NOMEM(label);
    if (status == LT_OK)
        status = lti_image_alloc(in->c, in->h, w, label, &wide);
    if (status == LT_OK)
        status = lti_image_alloc(in->c, h, w, label, out);
    for (int c = 0; status == LT_OK && c < in->c; c++) {
        const uint8_t *from = in->px + (size_t)c * (size_t)in->h * (size_t)in->w;
        uint8_t *mid = wide.px + (size_t)c * (size_t)in->h * (size_t)w,
                *to = out->px + (size_t)c * (size_t)h * (size_t)w;
        resize_axis(&(axis){in->w, w, in->h, 1, (size_t)in->w, 1, (size_t)w}, from, mid, weight);
        resize_axis(&(axis){in->h, h, w, (size_t)w, 1, (size_t)w, 1}, mid, to, weight);
    }
    lti_image_clear(&wide);
    lti_free(weight);
    return status;
}

lt_status lti_image_fit(lti_image *image, int side, const char *label)
{
    if (image->h == side && image->w == side)
        return LT_OK;
    int shorter = imin(image->h, image->w);
    int h = (int)((int64_t)image->h * side / shorter), w = (int)((int64_t)image->w * side / shorter);
    lti_image scaled = {0}, square = {0};
    lt_status status = resize(image, h, w, label, &scaled);
    if (status == LT_OK)
        status = lti_image_alloc(image->c, side, side, label, &square);
    for (int c = 0; status == LT_OK && c < image->c; c++)
        for (int r = 0; r < side; r++)
            memcpy(square.px + ((size_t)c * (size_t)side + (size_t)r) * (size_t)side,
                   scaled.px + ((size_t)c * (size_t)h + (size_t)(r + (h - side) / 2)) * (size_t)w +
                       (size_t)((w - side) / 2),
                   (size_t)side);
    lti_image_clear(&scaled);
    if (status != LT_OK) {
        lti_image_clear(&square);
        return status;
    }
    lti_image_clear(image);
    *image = square;
    return LT_OK;
}
