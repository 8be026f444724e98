// image_jpeg.c - JPEG to planes with libjpeg.
//
// libjpeg reports by calling back: errors, and warnings about damaged data, leave through longjmp, so that a picture is
// either whole or refused with one line. Everything that lives across the jump is in one struct.
#include "data_impl.h"
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <jpeglib.h>
#include <jerror.h>

enum { MAX_SCANS = 128 }; // progressive files can ask for endless passes over the picture

typedef struct decoder {
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    jmp_buf jump;
    char text[JMSG_LENGTH_MAX];
    lt_status status; // of our own failures: the record is set then
    uint8_t *row;
    lti_image *image;
    const char *label;
} decoder;

static void on_error(j_common_ptr jpeg)
{
    decoder *d = jpeg->client_data;
    jpeg->err->format_message(jpeg, d->text);
    longjmp(d->jump, 1);
}

// Level -1 is damaged data. Stray bytes between segments harm nothing and are common.
static void on_message(j_common_ptr jpeg, int level)
{
    int code = jpeg->err->msg_code;
    if (level < 0 && code != JWRN_EXTRANEOUS_DATA && code != JWRN_ADOBE_XFORM)
        on_error(jpeg);
}

static void on_progress(j_common_ptr jpeg)
{
    decoder *d = jpeg->client_data;
    if (d->jpeg.input_scan_number > MAX_SCANS) {
        snprintf(d->text, sizeof d->text, "more than %d scans", MAX_SCANS);
        longjmp(d->jump, 1);
    }
}

static void give_up(decoder *d, lt_status status)
{
    d->status = status;
    longjmp(d->jump, 1);
}

// Adobe writes CMYK inverted, so that a product of two bytes is the plain colour.
static uint8_t ink(const uint8_t *px, int k, bool inverted)
{
    unsigned a = px[k], b = px[3];
    if (!inverted) {
        a = 255 - a;
        b = 255 - b;
    }
    return (uint8_t)((a * b + 127) / 255);
}

static void split_row(const decoder *d, int y)
{
    const lti_image *im = d->image;
    size_t plane = (size_t)im->h * (size_t)im->w;
    int n = d->jpeg.output_components;
    uint8_t *out = im->px + (size_t)y * (size_t)im->w;
    for (int x = 0; x < im->w; x++)
        for (int k = 0; k < im->c; k++)
            out[(size_t)k * plane + (size_t)x] = n == 4 ? ink(d->row + 4 * (size_t)x, k, d->jpeg.saw_Adobe_marker)
                                                        : d->row[(size_t)n * (size_t)x + (size_t)k];
}

static void decode(decoder *d, const uint8_t *bytes, size_t n)
{
    jpeg_create_decompress(&d->jpeg);
    d->jpeg.progress = &d->progress;
    jpeg_mem_src(&d->jpeg, bytes, n);
    jpeg_read_header(&d->jpeg, TRUE);
    J_COLOR_SPACE space = d->jpeg.jpeg_color_space;
    bool cmyk = space == JCS_CMYK || space == JCS_YCCK, grey = space == JCS_GRAYSCALE;
    d->jpeg.out_color_space = cmyk ? JCS_CMYK : grey ? JCS_GRAYSCALE : JCS_RGB;
    // jpeg_read_header bounds both sides by 65500
    lt_status status =
        lti_image_alloc(grey ? 1 : 3, (int)d->jpeg.image_height, (int)d->jpeg.image_width, d->label, d->image);
    if (status != LT_OK)
        give_up(d, status);
    jpeg_start_decompress(&d->jpeg);
    d->row = lti_malloc((size_t)d->jpeg.output_width * (size_t)d->jpeg.output_components);
    if (!d->row)
        give_up(d, LTI_NOMEM(d->label));
    while (d->jpeg.output_scanline < d->jpeg.output_height) {
        int y = (int)d->jpeg.output_scanline;
        JSAMPROW rows[1] = {d->row};
        jpeg_read_scanlines(&d->jpeg, rows, 1);
        split_row(d, y);
    }
    jpeg_finish_decompress(&d->jpeg);
}

// The decoder is the caller's, so nothing of it is lost in the jump.
static bool try_decode(decoder *d, const uint8_t *bytes, size_t n)
{
    if (setjmp(d->jump) != 0)
        return false;
    decode(d, bytes, n);
    return true;
}

lt_status lti_jpeg_decode(const uint8_t *bytes, size_t n, const char *label, lti_image *image)
{
    decoder d = {.image = image, .label = label};
    *image = (lti_image){0};
    d.jpeg.err = jpeg_std_error(&d.errors);
    d.errors.error_exit = on_error;
    d.errors.emit_message = on_message;
    d.progress.progress_monitor = on_progress;
    d.jpeg.client_data = &d;
    bool whole = try_decode(&d, bytes, n);
    jpeg_destroy_decompress(&d.jpeg);
    lti_free(d.row);
    if (whole)
        return LT_OK;
    lti_image_clear(image);
    return d.status != LT_OK ? d.status : LT_FAIL(LT_E_FORMAT, "%s: damaged JPEG: %s", label, d.text);
}
