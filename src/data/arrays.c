// arrays.c - data sets in named arrays: what `npz` and `safetensors` share.
//
// Images: uint8, (n,C,H,W), (n,H,W,C) or (n,H,W), as train_x and test_x; labels: whole numbers, (n) or (n,1), as
// train_y and test_y. The names of two common collections work too (x_train, train_images). Which axis holds the
// channels is recognized by its length, 1 or 3; where that leaves two readings, layout=nchw|nhwc decides. class_name
// and train_name, test_name are texts that end in a zero byte each, one for every class and sample (uint8); they may be
// absent, as in files of other programs.
#include "data_impl.h"
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

// Labels of the samples that were borrowed.
static lt_status take_label(const char *label, const lt_tensor *y, int64_t i, lti_raw *raw, int32_t *to)
{
    int64_t v;
    if (!label_at(y, i, &v))
        return LT_FAIL(LT_E_FORMAT, "%s: %s: expected labels of type int64, int32 or uint8", label, y->name);
    if (v < 0 || v >= LTI_MAX_CLASSES)
        return LT_FAIL(LT_E_FORMAT, "%s: %s: label %lld of sample %lld, expected 0..%d", label, y->name, (long long)v,
                       (long long)i, LTI_MAX_CLASSES - 1);
    raw->n_classes = v >= raw->n_classes ? (int)v + 1 : raw->n_classes;
    *to = (int32_t)v;
    return LT_OK;
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
    if (raw->file && !channels_last) {
        LT_TRY(lti_raw_borrow(raw, s, n, x->data));
        for (int64_t i = 0; i < n; i++)
            LT_TRY(take_label(label, y, i, raw, &raw->split[s].y[i]));
        return LT_OK;
    }
    LT_TRY(lti_raw_reserve(raw, s, n));
    for (int64_t i = 0; i < n; i++) {
        int32_t v;
        uint8_t *to;
        LT_TRY(take_label(label, y, i, raw, &v));
        LT_TRY(lti_raw_append(raw, s, v, &to));
        copy_image((const uint8_t *)x->data + (size_t)i * lti_raw_sample_bytes(raw), channels_last, raw, to);
    }
    return LT_OK;
}

// n texts of an array, each with a zero byte behind it; *text is NULL when there is no such array.
static lt_status take_texts(const lt_tensor_file *file, const char *label, const char *name, int64_t n, lti_raw *raw,
                            const char ***text)
{
    const lt_tensor *t = lt_tensor_file_find(file, name);
    *text = NULL;
    if (!t)
        return LT_OK;
    int64_t n_found = 0;
    const char *bytes = t->data;
    for (size_t i = 0; t->dtype == LT_U8 && i < t->n_bytes; i++)
        n_found += bytes[i] == '\0';
    if (n_found != n || (n > 0 && bytes[t->n_bytes - 1] != '\0'))
        return LT_FAIL(LT_E_FORMAT, "%s: %s: expected %lld texts (uint8, a zero byte behind each), found %lld", label,
                       name, (long long)n, (long long)n_found);
    const char **list = lti_calloc((size_t)n + 1, sizeof *list);
    if (!list)
        return LTI_NOMEM("names");
    for (int64_t i = 0; i < n; i++, bytes += strlen(bytes) + 1)
        if (!(list[i] = lti_arena_strdup(&raw->arena, bytes))) {
            lti_free(list);
            return LTI_NOMEM("names");
        }
    *text = list;
    return LT_OK;
}

static lt_status take_class_names(const lt_tensor_file *file, const char *label, lti_raw *raw)
{
    const lt_tensor *t = lt_tensor_file_find(file, "class_name");
    const char **list;
    int64_t n = 0;
    for (size_t i = 0; t && t->dtype == LT_U8 && i < t->n_bytes; i++)
        n += ((const char *)t->data)[i] == '\0';
    if (!t)
        return LT_OK;
    if (n < raw->n_classes || n > LTI_MAX_CLASSES)
        return LT_FAIL(LT_E_FORMAT,
                       "%s: class_name: expected texts for %d classes (uint8, a zero byte behind each), found %lld",
                       label, raw->n_classes, (long long)n);
    LT_TRY(take_texts(file, label, "class_name", n, raw, &list));
    const char **kept = lti_arena_alloc(&raw->arena, (size_t)n * sizeof *kept);
    if (kept && list)
        memcpy(kept, list, (size_t)n * sizeof *kept);
    lti_free(list);
    if (!kept)
        return LTI_NOMEM("class names");
    raw->class_name = kept;
    raw->n_classes = (int)n;
    return LT_OK;
}

lt_status lti_arrays_take(const lt_tensor_file *file, const char *label, const lti_open_args *args, lti_raw *raw)
{
    static const char *const sample_names[2] = {"train_name", "test_name"};
    static const char *const missing[2] = {"the file has no arrays train_x and train_y",
                                           "the file has no arrays test_x and test_y"};
    layout wanted;
    LT_TRY(lti_raw_use_scratch(raw, args));
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
        LT_TRY(take_texts(file, label, sample_names[s], raw->split[s].n, raw, &raw->split[s].name));
    }
    return take_class_names(file, label, raw);
}
