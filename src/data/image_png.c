// image_png.c - PNG to planes with libpng.
//
// Palettes become RGB, small depths become eight bits, transparency is dropped, gamma and colour profiles are ignored:
// the bytes that other data loaders see. Errors leave through longjmp; what lives across the jump is in one struct.
#include "data_impl.h"
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <png.h>

enum { MAX_CHUNK_BYTES = 1 << 23, MAX_CACHED_CHUNKS = 256 };

typedef struct decoder {
    png_structp png;
    png_infop info;
    jmp_buf jump;
    char text[128];
    lt_status status; // of our own failures: the record is set then
    const uint8_t *bytes;
    size_t n, at;
    uint8_t *pixels; // interleaved
    png_bytep *rows;
    lti_image *image;
    const char *label;
} decoder;

static void on_error(png_structp png, png_const_charp text)
{
    decoder *d = png_get_error_ptr(png);
    snprintf(d->text, sizeof d->text, "%s", text);
    longjmp(d->jump, 1);
}

static void on_warning(png_structp png, png_const_charp text)
{
    (void)png;
    (void)text;
}

static void give_bytes(png_structp png, png_bytep out, size_t n)
{
    decoder *d = png_get_io_ptr(png);
    if (n > d->n - d->at)
        png_error(png, "the file ends too early");
    memcpy(out, d->bytes + d->at, n);
    d->at += n;
}

static void give_up(decoder *d, lt_status status)
{
    d->status = status;
    longjmp(d->jump, 1);
}

static void plain_bytes(png_structp png, png_infop info)
{
    int type = png_get_color_type(png, info);
    if (png_get_bit_depth(png, info) == 16)
        png_set_scale_16(png);
    if (type == PNG_COLOR_TYPE_PALETTE)
        png_set_palette_to_rgb(png);
    if (type == PNG_COLOR_TYPE_GRAY)
        png_set_expand_gray_1_2_4_to_8(png);
    png_set_strip_alpha(png);
    png_set_interlace_handling(png);
    png_read_update_info(png, info);
}

static void decode(decoder *d)
{
    png_set_user_limits(d->png, LTI_MAX_SIDE, LTI_MAX_SIDE);
    png_set_chunk_malloc_max(d->png, MAX_CHUNK_BYTES);
    png_set_chunk_cache_max(d->png, MAX_CACHED_CHUNKS);
    png_set_read_fn(d->png, d, give_bytes);
    png_read_info(d->png, d->info);
    int h = (int)png_get_image_height(d->png, d->info), w = (int)png_get_image_width(d->png, d->info);
    plain_bytes(d->png, d->info);
    int c = png_get_channels(d->png, d->info);
    if (c != 1 && c != 3)
        png_error(d->png, "unexpected number of channels");
    lt_status status = lti_image_alloc(c, h, w, d->label, d->image);
    if (status != LT_OK)
        give_up(d, status);
    size_t stride = (size_t)w * (size_t)c, plane = (size_t)h * (size_t)w;
    if (png_get_rowbytes(d->png, d->info) != stride)
        png_error(d->png, "unexpected row length");
    d->pixels = lti_calloc((size_t)h, stride);
    d->rows = lti_calloc((size_t)h, sizeof *d->rows);
    if (!d->pixels || !d->rows)
        give_up(d, LTI_NOMEM(d->label));
    for (int y = 0; y < h; y++)
        d->rows[y] = d->pixels + (size_t)y * stride;
    png_read_image(d->png, d->rows);
    png_read_end(d->png, NULL);
    for (size_t i = 0; i < plane; i++)
        for (int k = 0; k < c; k++)
            d->image->px[(size_t)k * plane + i] = d->pixels[i * (size_t)c + (size_t)k];
}

// The decoder is the caller's, so nothing of it is lost in the jump.
static bool try_decode(decoder *d)
{
    if (setjmp(d->jump) != 0)
        return false;
    decode(d);
    return true;
}

lt_status lti_png_decode(const uint8_t *bytes, size_t n, const char *label, lti_image *image)
{
    decoder d = {.bytes = bytes, .n = n, .image = image, .label = label};
    *image = (lti_image){0};
    d.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &d, on_error, on_warning);
    d.info = d.png ? png_create_info_struct(d.png) : NULL;
    if (!d.info) {
        png_destroy_read_struct(&d.png, NULL, NULL);
        return LTI_NOMEM("PNG decoder");
    }
    bool whole = try_decode(&d);
    png_destroy_read_struct(&d.png, &d.info, NULL);
    lti_free(d.pixels);
    lti_free(d.rows);
    if (whole)
        return LT_OK;
    lti_image_clear(image);
    return d.status != LT_OK ? d.status : LT_FAIL(LT_E_FORMAT, "%s: damaged PNG: %s", label, d.text);
}
