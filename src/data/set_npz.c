// set_npz.c - data sets in one NumPy .npz file.
//
// Images: uint8, (n,C,H,W), (n,H,W,C) or (n,H,W), as train_x and test_x; labels: whole numbers, (n) or (n,1), as
// train_y and test_y. The names of two common collections work too (x_train, train_images). Which axis holds the
// channels is recognized by its length, 1 or 3; where that leaves two readings, layout=nchw|nhwc decides.
#include "data_impl.h"
#include "lethe/tensorfile.h"
#include <string.h>

typedef enum layout { LAYOUT_AUTO, LAYOUT_NCHW, LAYOUT_NHWC } layout;

static lt_status parse_layout(const lti_open_args *args, layout *out)
{
    const char *text = lti_spec_get(args->spec, "layout");
    *out = LAYOUT_AUTO;
    if (!text)
        return LT_OK;
    if (strcmp(text, "nchw") == 0)
        *out = LAYOUT_NCHW;
    else if (strcmp(text, "nhwc") == 0)
        *out = LAYOUT_NHWC;
    else
        return LT_FAIL(LT_E_USAGE, "%s: layout=%s, expected nchw or nhwc", args->kind, text);
    return LT_OK;
}

static const lt_tensor *find(const lt_tensor_file *file, lt_split s, bool images)
{
    static const char *const names[2][2][3] = {
        {{"train_x", "x_train", "train_images"}, {"train_y", "y_train", "train_labels"}},
        {{"test_x", "x_test", "test_images"}, {"test_y", "y_test", "test_labels"}},
    };
    for (int k = 0; k < 3; k++) {
        const lt_tensor *t = lt_tensor_file_find(file, names[s][images ? 0 : 1][k]);
        if (t)
            return t;
    }
    return NULL;
}

// dims[0..2] = c, h, w
static lt_status image_dims(const char *label, const lt_tensor *x, layout wanted, bool *channels_last, int64_t dims[3])
{
    if (x->dtype != LT_U8 || x->n_dims < 3 || x->n_dims > 4)
        return LT_FAIL(LT_E_FORMAT, "%s: %s: expected uint8 images with 3 or 4 dimensions, found %d dimensions%s",
                       label, x->name, x->n_dims, x->dtype == LT_U8 ? "" : " of another type");
    *channels_last = false;
    dims[0] = 1;
    if (x->n_dims == 4) {
        bool first = x->dim[1] == 1 || x->dim[1] == 3, last = x->dim[3] == 1 || x->dim[3] == 3;
        if (wanted == LAYOUT_AUTO && first == last) {
            lt_status status = LT_FAIL(
                LT_E_FORMAT, "%s: %s: shape (%lld,%lld,%lld,%lld) does not show which dimension holds the channels",
                label, x->name, (long long)x->dim[0], (long long)x->dim[1], (long long)x->dim[2], (long long)x->dim[3]);
            lt_error_hint("add layout=nchw or layout=nhwc");
            return status;
        }
        *channels_last = wanted == LAYOUT_NHWC || (wanted == LAYOUT_AUTO && last);
        dims[0] = *channels_last ? x->dim[3] : x->dim[1];
    }
    int at = x->n_dims == 4 && !*channels_last ? 2 : 1;
    dims[1] = x->dim[at];
    dims[2] = x->dim[at + 1];
    if (dims[0] < 1 || dims[0] > 4096 || dims[1] < 1 || dims[1] > LTI_MAX_SIDE || dims[2] < 1 || dims[2] > LTI_MAX_SIDE)
        return LT_FAIL(LT_E_FORMAT, "%s: %s: images of %lldx%lldx%lld", label, x->name, (long long)dims[0],
                       (long long)dims[1], (long long)dims[2]);
    return LT_OK;
}

static bool label_at(const lt_tensor *y, int64_t i, int64_t *v)
{
    switch ((int)y->dtype) {
    case LT_I64:
        memcpy(v, (const char *)y->data + (size_t)i * sizeof *v, sizeof *v);
        return true;
    case LT_I32: {
        int32_t v32;
        memcpy(&v32, (const char *)y->data + (size_t)i * sizeof v32, sizeof v32);
        *v = v32;
        return true;
    }
    case LT_U8:
        *v = ((const uint8_t *)y->data)[i];
        return true;
    default:
        return false;
    }
}

static void copy_image(const uint8_t *from, bool channels_last, const lti_raw *raw, uint8_t *to)
{
    size_t c = (size_t)raw->c, plane = (size_t)raw->h * (size_t)raw->w;
    if (!channels_last) {
        memcpy(to, from, c * plane);
        return;
    }
    for (size_t k = 0; k < c; k++)
        for (size_t i = 0; i < plane; i++)
            to[k * plane + i] = from[i * c + k];
}

static lt_status take_split(const char *label, const lt_tensor *x, const lt_tensor *y, layout wanted, lt_split s,
                            lti_raw *raw)
{
    bool channels_last = false;
    int64_t dims[3] = {0, 0, 0}, n = x->n_dims > 0 ? x->dim[0] : 0;
    LT_TRY(image_dims(label, x, wanted, &channels_last, dims));
    if (y->n_dims < 1 || y->n_dims > 2 || (y->n_dims == 2 && y->dim[1] != 1) || y->dim[0] != n)
        return LT_FAIL(LT_E_FORMAT, "%s: %s: expected %lld labels in one column, as many as %s has images", label,
                       y->name, (long long)n, x->name);
    if (raw->c == 0) {
        raw->c = (int)dims[0];
        raw->h = (int)dims[1];
        raw->w = (int)dims[2];
    }
    if (raw->c != dims[0] || raw->h != dims[1] || raw->w != dims[2])
        return LT_FAIL(LT_E_FORMAT, "%s: %s: images of %lldx%lldx%lld, those of the other split have %dx%dx%d", label,
                       x->name, (long long)dims[0], (long long)dims[1], (long long)dims[2], raw->c, raw->h, raw->w);
    LT_TRY(lti_raw_reserve(raw, s, n));
    for (int64_t i = 0; i < n; i++) {
        int64_t v;
        uint8_t *to;
        if (!label_at(y, i, &v))
            return LT_FAIL(LT_E_FORMAT, "%s: %s: expected labels of type int64, int32 or uint8", label, y->name);
        if (v < 0 || v >= LTI_MAX_CLASSES)
            return LT_FAIL(LT_E_FORMAT, "%s: %s: label %lld of sample %lld, expected 0..%d", label, y->name,
                           (long long)v, (long long)i, LTI_MAX_CLASSES - 1);
        raw->n_classes = v >= raw->n_classes ? (int)v + 1 : raw->n_classes;
        LT_TRY(lti_raw_append(raw, s, (int32_t)v, &to));
        copy_image((const uint8_t *)x->data + (size_t)i * lti_raw_sample_bytes(raw), channels_last, raw, to);
    }
    return LT_OK;
}

static lt_status take_file(const lt_tensor_file *file, const char *label, const lti_open_args *args, lti_raw *raw)
{
    static const char *const missing[2] = {"the file has no arrays train_x and train_y",
                                           "the file has no arrays test_x and test_y"};
    layout wanted;
    LT_TRY(parse_layout(args, &wanted));
    for (int s = 0; s < 2; s++) {
        const lt_tensor *x = find(file, (lt_split)s, true), *y = find(file, (lt_split)s, false);
        if (s == LT_TEST && args->skip_test && raw->split[LT_TRAIN].n > 0)
            continue;
        if (!x && !y) {
            raw->missing[s] = missing[s];
            continue;
        }
        if (!x || !y)
            return LT_FAIL(LT_E_FORMAT, "%s: there is %s, but no array of its %s", label, x ? x->name : y->name,
                           x ? "labels" : "images");
        LT_TRY(take_split(label, x, y, wanted, (lt_split)s, raw));
    }
    return LT_OK;
}

lt_status lti_npz_set_parse(const void *bytes, size_t n, const char *label, const lti_open_args *args, lti_raw *raw)
{
    lt_tensor_file *file;
    LT_TRY(lt_npz_parse(bytes, n, label, &file));
    lt_status status = take_file(file, label, args, raw);
    lt_tensor_file_close(file);
    return status;
}

lt_status lti_open_npz(const lti_open_args *args, lti_raw *raw)
{
    lt_tensor_file *file;
    LT_TRY(lt_tensor_file_open(args->path, &file));
    lt_status status = take_file(file, args->path, args, raw);
    lt_tensor_file_close(file);
    return status;
}
