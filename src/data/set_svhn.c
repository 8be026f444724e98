// set_svhn.c - Street View House Numbers, cropped digits ("format 2"): train_32x32.mat, test_32x32.mat and, on request,
// extra_32x32.mat.
//
// Each is a MATLAB file of X, (32,32,3,N) bytes with the first dimension running fastest, and y, (N,1) with 10 for the
// digit 0. The pixels of an image lie together, so they are read straight to their place and turned there, plane by
// plane. With extra=1 its images follow those of the training split, and are numbered on.
#include "data/mat.h"
#include "data_impl.h"
#include <stdio.h>
#include <string.h>

enum { SIDE = 32, PLANE = SIDE * SIDE, CHANNELS = 3, N_DIGITS = 10 };

static const char *shape_of(const lti_mat_array *a, char out[120])
{
    size_t n = 0;
    for (int k = 0; k < a->n_dims && k < LTI_MAT_DIMS; k++)
        n += (size_t)snprintf(out + n, 120 - n, "%s%lld", k ? "," : "", (long long)a->dim[k]);
    snprintf(out + n, 120 - n, "%s", a->n_dims > LTI_MAT_DIMS ? ",..." : "");
    return out;
}

// MATLAB drops a last dimension of one.
static lt_status check_images(const lti_mat_array *x, const char *label)
{
    char shape[120];
    const bool fits = (x->n_dims == 4 || x->n_dims == 3) && x->dim[0] == SIDE && x->dim[1] == SIDE &&
                      x->dim[2] == CHANNELS && x->n > 0 && x->is_u8;
    return fits ? LT_OK
                : LT_FAIL(LT_E_FORMAT, "%s: X: expected uint8 images of shape (%d,%d,%d,N), found shape (%s)%s", label,
                          SIDE, SIDE, CHANNELS, shape_of(x, shape), x->is_u8 ? "" : " of another class");
}

static lt_status check_labels(const lti_mat_array *y, int64_t n, const char *label)
{
    char shape[120];
    const bool column = y->n_dims == 2 && (y->dim[0] == 1 || y->dim[1] == 1) && y->is_numeric;
    return column && y->n == n
               ? LT_OK
               : LT_FAIL(LT_E_FORMAT,
                         "%s: y: expected %lld labels of shape (%lld,1), one for each image, found shape (%s)%s", label,
                         (long long)n, (long long)n, shape_of(y, shape), y->is_numeric ? "" : " of no numbers");
}

typedef struct images { // that are appended
    lti_raw *raw;
    lt_split split;
    const char *label;
    int64_t first, n;
} images;

static lt_status make_room(void *ctx, uint8_t **to)
{
    const images *im = ctx;
    LT_TRY(lti_raw_reserve(im->raw, im->split, im->first + im->n));
    *to = im->raw->split[im->split].x + (size_t)im->first * CHANNELS * PLANE;
    return LT_OK;
}

static lt_status add_label(void *ctx, int64_t i, double value)
{
    const images *im = ctx;
    uint8_t *x;
    if (!(value >= 1 && value <= N_DIGITS) || value != (double)(int)value)
        return LT_FAIL(LT_E_FORMAT, "%s: y: label %g of image %lld, expected 1..%d (%d is the digit 0)", im->label,
                       value, (long long)i, N_DIGITS, N_DIGITS);
    return lti_raw_append(im->raw, im->split, (int32_t)value % N_DIGITS, &x); // its pixels are there
}

static void transpose(uint8_t *plane)
{
    for (int r = 0; r < SIDE; r++)
        for (int c = 0; c < r; c++) {
            const uint8_t kept = plane[r * SIDE + c];
            plane[r * SIDE + c] = plane[c * SIDE + r];
            plane[c * SIDE + r] = kept;
        }
}

lt_status lti_svhn_parse(const uint8_t *bytes, size_t n, const char *label, lt_split s, lti_raw *raw)
{
    lti_mat mat;
    lti_mat_array x = {0}, y = {0};
    lt_status status = LT_OK;
    LT_TRY(lti_mat_open(bytes, n, label, &mat));
    LT_TRY_GOTO(lti_mat_find(&mat, "X", &x), out);
    LT_TRY_GOTO(check_images(&x, label), out);
    images im = {raw, s, label, raw->split[s].n, x.n_dims == 4 ? x.dim[3] : 1};
    LT_TRY_GOTO(lti_mat_find(&mat, "y", &y), out);
    LT_TRY_GOTO(check_labels(&y, im.n, label), out);
    LT_TRY_GOTO(lti_mat_read_u8(&x, make_room, &im), out);
    for (int64_t i = 0; i < CHANNELS * im.n; i++)
        transpose(raw->split[s].x + ((size_t)im.first * CHANNELS + (size_t)i) * PLANE);
    LT_TRY_GOTO(lti_mat_read_numbers(&y, add_label, &im), out);
out:
    lti_mat_array_clear(&x);
    lti_mat_array_clear(&y);
    return status;
}

// A file of the folder; *found false: it is not there.
static lt_status read_file(const lti_open_args *args, const char *name, lt_split s, lti_raw *raw, bool *found)
{
    const uint8_t *bytes;
    size_t n;
    const char *path = lti_join(&raw->arena, args->path, name);
    if (!path)
        return LTI_NOMEM("path");
    *found = lti_is_file(path);
    if (!*found)
        return LT_OK;
    LT_TRY(lti_map_file(path, &bytes, &n));
    const lt_status status = lti_svhn_parse(bytes, n, path, s, raw);
    lti_unmap_file(bytes, n);
    return status;
}

static lt_status parse_extra(const lti_open_args *args, bool *extra)
{
    const char *text = lti_spec_get(args->spec, "extra");
    *extra = text && (!strcmp(text, "1") || !strcmp(text, "yes"));
    return !text || *extra || !strcmp(text, "0") || !strcmp(text, "no")
               ? LT_OK
               : LT_FAIL(LT_E_USAGE, "%s: extra=%s, expected yes or no", args->kind, text);
}

lt_status lti_open_svhn(const lti_open_args *args, lti_raw *raw)
{
    static const char *const names[2] = {"train_32x32.mat", "test_32x32.mat"};
    static const char *const missing[2] = {"train_32x32.mat is missing", "test_32x32.mat is missing"};
    bool found, extra;
    LT_TRY(parse_extra(args, &extra));
    if (!lti_is_dir(args->path))
        return LT_FAIL(LT_E_INPUT, "%s: %s: expected the folder of train_32x32.mat and test_32x32.mat, found a file",
                       args->kind, args->path);
    LT_TRY(lti_raw_use_scratch(raw, args));
    raw->c = CHANNELS;
    raw->h = raw->w = SIDE;
    raw->n_classes = N_DIGITS;
    for (int s = 0; s < 2; s++) {
        if (s == LT_TEST && args->skip_test && raw->split[LT_TRAIN].n > 0)
            continue;
        LT_TRY(read_file(args, names[s], (lt_split)s, raw, &found));
        raw->missing[s] = found ? NULL : missing[s];
    }
    if (!extra)
        return LT_OK;
    LT_TRY(read_file(args, "extra_32x32.mat", LT_TRAIN, raw, &found));
    return found ? LT_OK
                 : LT_FAIL(LT_E_INPUT, "%s: %s: extra=yes, but extra_32x32.mat is missing", args->kind, args->path);
}
