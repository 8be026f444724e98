// data_test.h - what the data tests share: a scratch folder, files of given bytes, JPEG and PNG writers, where real
// data is.
#ifndef DATA_TEST_H
#define DATA_TEST_H
#include "lt_test.h"
#include "data/data_impl.h"
#include <ftw.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <jpeglib.h>
#include <png.h>

// ---- a scratch folder, removed by scratch_end
static char scratch_dir[64];

static inline int scratch_begin(void **state)
{
    (void)state;
    snprintf(scratch_dir, sizeof scratch_dir, "/tmp/lethe-data-XXXXXX");
    return mkdtemp(scratch_dir) ? 0 : -1;
}

static inline int scratch_remove(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static inline int scratch_end(void **state)
{
    (void)state;
    return nftw(scratch_dir, scratch_remove, 16, FTW_DEPTH | FTW_PHYS);
}

// A path inside the scratch folder; good until the eighth call from now.
static inline const char *in_scratch(const char *name)
{
    static char path[8][400];
    static int i;
    i = (i + 1) % 8;
    snprintf(path[i], sizeof path[i], "%s/%s", scratch_dir, name);
    return path[i];
}

// "kind:SCRATCH/name keys"
static inline const char *spec_of(const char *kind, const char *name, const char *keys)
{
    static char spec[4][500];
    static int i;
    i = (i + 1) % 4;
    snprintf(spec[i], sizeof spec[i], "%s:%s/%s%s", kind, scratch_dir, name, keys);
    return spec[i];
}

static inline void put_file(const char *name, const void *bytes, size_t n)
{
    char dir[400];
    snprintf(dir, sizeof dir, "%s", in_scratch(name));
    *strrchr(dir, '/') = '\0';
    assert_ok(lt_make_dirs(dir));
    assert_ok(lt_write_file_atomic(in_scratch(name), bytes, n));
}

static inline void put_text(const char *name, const char *text)
{
    put_file(name, text, strlen(text));
}

static inline lt_dataset *must_open(const char *spec)
{
    lt_dataset *ds = NULL;
    assert_ok(lt_dataset_open(spec, NULL, &ds));
    return ds;
}

#define assert_open_fails(code, part, spec)                                                                            \
    do {                                                                                                               \
        lt_dataset *ds_ = (lt_dataset *)1;                                                                             \
        assert_fails(code, part, lt_dataset_open(spec, NULL, &ds_));                                                   \
        assert_null(ds_);                                                                                              \
    } while (0)

// Opening must fail cleanly whichever allocation fails, and succeed when none does.
static inline void check_every_allocation(const char *spec)
{
    lt_status status = LT_E_NOMEM;
    for (int64_t k = 1; status != LT_OK; k++) {
        assert_true(k < 5000);
        lt_dataset *ds = NULL;
        lti_alloc_fail_at(k);
        status = lt_dataset_open(spec, NULL, &ds);
        lti_alloc_fail_at(0);
        if (status != LT_OK) {
            assert_int_equal(status, LT_E_NOMEM);
            assert_null(ds);
        }
        lt_dataset_close(ds);
    }
}

// ---- events
typedef struct heard {
    int n;
    char name[8][40], text[8][300];
} heard;

static inline void hear(void *self, const lt_event *event)
{
    heard *h = self;
    if (h->n < 8) {
        snprintf(h->name[h->n], sizeof h->name[0], "%s", event->name);
        snprintf(h->text[h->n++], sizeof h->text[0], "%s", event->text ? event->text : "");
    }
}

static inline bool heard_of(const heard *h, const char *name, const char *part)
{
    for (int i = 0; i < h->n; i++)
        if (strcmp(h->name[i], name) == 0 && strstr(h->text[i], part))
            return true;
    return false;
}

// ---- encoded images. px is interleaved, (h, w, c).
static inline size_t make_jpeg(const uint8_t *px, int h, int w, int c, uint8_t **out)
{
    struct jpeg_compress_struct jpeg;
    struct jpeg_error_mgr errors;
    unsigned long n = 0;
    *out = NULL;
    jpeg.err = jpeg_std_error(&errors);
    jpeg_create_compress(&jpeg);
    jpeg_mem_dest(&jpeg, out, &n);
    jpeg.image_width = (JDIMENSION)w;
    jpeg.image_height = (JDIMENSION)h;
    jpeg.input_components = c;
    jpeg.in_color_space = c == 1 ? JCS_GRAYSCALE : c == 3 ? JCS_RGB : JCS_CMYK;
    jpeg_set_defaults(&jpeg);
    jpeg_set_quality(&jpeg, 100, TRUE);
    for (int k = 0; k < jpeg.num_components; k++)
        jpeg.comp_info[k].h_samp_factor = jpeg.comp_info[k].v_samp_factor = 1;
    jpeg_start_compress(&jpeg, TRUE);
    while (jpeg.next_scanline < jpeg.image_height) {
        JSAMPROW row = (JSAMPROW)(uintptr_t)(px + (size_t)jpeg.next_scanline * (size_t)w * (size_t)c);
        jpeg_write_scanlines(&jpeg, &row, 1);
    }
    jpeg_finish_compress(&jpeg);
    jpeg_destroy_compress(&jpeg);
    return n;
}

typedef struct png_bytes {
    uint8_t *data;
    size_t n;
} png_bytes;

static inline void png_take(png_structp png, png_bytep bytes, size_t n)
{
    png_bytes *out = png_get_io_ptr(png);
    out->data = realloc(out->data, out->n + n);
    memcpy(out->data + out->n, bytes, n);
    out->n += n;
}

// type: PNG_COLOR_TYPE_*; rows are row_bytes apart; palette: 4 colours for PNG_COLOR_TYPE_PALETTE
static inline size_t make_png(const uint8_t *px, int h, int w, int type, int depth, bool interlaced, size_t row_bytes,
                              uint8_t **out)
{
    static const png_color palette[4] = {{10, 20, 30}, {40, 50, 60}, {70, 80, 90}, {200, 210, 220}};
    png_bytes bytes = {0};
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    png_set_write_fn(png, &bytes, png_take, NULL);
    png_set_IHDR(png, info, (png_uint_32)w, (png_uint_32)h, depth, type,
                 interlaced ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
                 PNG_FILTER_TYPE_DEFAULT);
    if (type == PNG_COLOR_TYPE_PALETTE)
        png_set_PLTE(png, info, palette, 4);
    png_write_info(png, info);
    png_bytep *rows = malloc((size_t)h * sizeof *rows);
    for (int y = 0; y < h; y++)
        rows[y] = (png_bytep)(uintptr_t)(px + (size_t)y * row_bytes);
    png_write_image(png, rows);
    png_write_end(png, NULL);
    png_destroy_write_struct(&png, &info);
    free(rows);
    *out = bytes.data;
    return bytes.n;
}

// An RGB PNG of one colour per quarter, different for every `mark`: (h, w, 3)
static inline size_t marked_png(int h, int w, uint8_t mark, uint8_t **out)
{
    uint8_t *px = malloc((size_t)h * (size_t)w * 3);
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++)
            for (int k = 0; k < 3; k++)
                px[(y * w + x) * 3 + k] = (uint8_t)(mark + 40 * k + (y >= h / 2 ? 7 : 0) + (x >= w / 2 ? 3 : 0));
    size_t n = make_png(px, h, w, PNG_COLOR_TYPE_RGB, 8, false, (size_t)w * 3, out);
    free(px);
    return n;
}

static inline void put_marked_png(const char *name, int h, int w, uint8_t mark)
{
    uint8_t *bytes;
    size_t n = marked_png(h, w, mark, &bytes);
    put_file(name, bytes, n);
    free(bytes);
}

// ---- real data: folder of a set under $LETHE_DATA, /tmp/data, or unpacked from ../shared/data into the build folder
static inline const char *real_data(const char *folder, const char *unpack_name)
{
    static char path[400];
    const char *env = getenv("LETHE_DATA"), *roots[3] = {env ? env : "", "/tmp/data", LT_TEST_BINARY_DIR "/data"};
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%s", roots[i], folder);
        if (roots[i][0] && lti_is_dir(path))
            return path;
    }
    char command[1200];
    const char *script = LT_TEST_SOURCE_DIR "/../shared/data/unpack.sh";
    if (access(script, X_OK) != 0)
        return NULL;
    snprintf(command, sizeof command, "'%s' '%s' %s >/dev/null 2>&1", script, roots[2], unpack_name);
    return system(command) == 0 && lti_is_dir(path) ? path : NULL;
}
#endif
