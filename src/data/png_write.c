// png_write.c - small pictures as PNG, in a file or as a data URI inside the report.
//
// libpng writes to memory, so that both uses share one path and a file is written atomically. libpng reports errors by
// longjmp: everything that must survive it lives in one struct made before setjmp.
#include "data/png_write.h"
#include "lethe/dataset_info.h"
#include <png.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

struct encoder {
    lti_buf out;
    uint8_t *row; // (w, c) interleaved
    jmp_buf jump;
    char message[200];
};

static void on_error(png_structp png, png_const_charp message)
{
    struct encoder *e = png_get_error_ptr(png);
    snprintf(e->message, sizeof e->message, "%s", message);
    longjmp(e->jump, 1);
}

static void on_warning(png_structp png, png_const_charp message)
{
    (void)png;
    (void)message;
}

static void on_write(png_structp png, png_bytep bytes, png_size_t n)
{
    struct encoder *e = png_get_io_ptr(png);
    lti_buf_add(&e->out, (const char *)bytes, n);
}

static void on_flush(png_structp png)
{
    (void)png;
}

// x (C,H,W) planes to one interleaved row.
static void interleave(const uint8_t *x, int c, int h, int w, int y, uint8_t *row)
{
    for (int i = 0; i < w; i++)
        for (int k = 0; k < c; k++)
            row[i * c + k] = x[((size_t)k * (size_t)h + (size_t)y) * (size_t)w + (size_t)i];
}

static lt_status encode_rows(struct encoder *e, png_structp png, png_infop info, int c, int h, int w, const uint8_t *x)
{
    if (setjmp(e->jump))
        return LT_FAIL(LT_E_FAIL, "PNG encoder: %s", e->message);
    png_set_write_fn(png, e, on_write, on_flush);
    png_set_IHDR(png, info, (png_uint_32)w, (png_uint_32)h, 8, c == 3 ? PNG_COLOR_TYPE_RGB : PNG_COLOR_TYPE_GRAY,
                 PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png, info);
    for (int y = 0; y < h; y++) {
        interleave(x, c, h, w, y, e->row);
        png_write_row(png, e->row);
    }
    png_write_end(png, info);
    return LT_OK;
}

// On success e->out holds the file.
static lt_status encode(struct encoder *e, int c, int h, int w, const uint8_t *x)
{
    memset(e, 0, sizeof *e);
    if ((c != 1 && c != 3) || h < 1 || w < 1 || h > 65535 || w > 65535)
        return LT_FAIL(LT_E_SHAPE, "picture of shape (%d,%d,%d): expected 1 or 3 channels and 1 to 65535 pixels a side",
                       c, h, w);
    e->row = lti_malloc((size_t)w * (size_t)c);
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, e, on_error, on_warning);
    png_infop info = png ? png_create_info_struct(png) : NULL;
    lt_status status = e->row && info ? encode_rows(e, png, info, c, h, w, x) : LTI_NOMEM("PNG encoder");
    png_destroy_write_struct(&png, &info);
    lti_free(e->row);
    if (status == LT_OK && e->out.failed)
        status = LTI_NOMEM("PNG encoder");
    if (status != LT_OK)
        lti_buf_clear(&e->out);
    return status;
}

lt_status lti_png_encode(lti_buf *out, int c, int h, int w, const uint8_t *x)
{
    struct encoder e;
    LT_TRY(encode(&e, c, h, w, x));
    *out = e.out;
    return LT_OK;
}

static void base64(lti_buf *b, const uint8_t *in, size_t n)
{
    static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < n; i += 3) {
        uint32_t v = (uint32_t)in[i] << 16;
        if (i + 1 < n)
            v |= (uint32_t)in[i + 1] << 8;
        if (i + 2 < n)
            v |= in[i + 2];
        char out[4] = {digit[v >> 18], digit[(v >> 12) & 63], i + 1 < n ? digit[(v >> 6) & 63] : '=',
                       i + 2 < n ? digit[v & 63] : '='};
        lti_buf_add(b, out, 4);
    }
}

lt_status lti_png_data_uri(lti_buf *b, int c, int h, int w, const uint8_t *x)
{
    struct encoder e;
    LT_TRY(encode(&e, c, h, w, x));
    lti_buf_printf(b, "data:image/png;base64,");
    base64(b, (const uint8_t *)e.out.data, e.out.n);
    lti_buf_clear(&e.out);
    return LT_OK;
}

lt_status lt_png_write(const char *path, int c, int h, int w, const uint8_t *x)
{
    struct encoder e;
    LT_TRY(encode(&e, c, h, w, x));
    lt_status status = lt_write_file_atomic(path, e.out.data, e.out.n);
    lti_buf_clear(&e.out);
    return status == LT_OK ? LT_OK : lt_error_frame(status, __FILE__, __LINE__, __func__);
}
