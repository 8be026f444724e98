// set_idx.c - MNIST and Fashion-MNIST: IDX files, plain or gzip-compressed.
//
// An IDX file is a big-endian header (two zero bytes, the type 0x08 = bytes, the number of dimensions, then one 32-bit
// length per dimension) and the bytes. Images have three dimensions (n, h, w), labels one. A folder that holds only the
// t10k files can be split with holdout=N.
#include "data_impl.h"
#include <stdio.h>
#include <string.h>

enum { N_LABELS = 10, MAX_IDX_BYTES = 1 << 30 };

static const char *const fashion_names[N_LABELS] = {"T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
                                                    "Sandal",      "Shirt",   "Sneaker",  "Bag",   "Ankle boot"};

static uint32_t big_endian(const uint8_t *b)
{
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

// dim[0..n_dims-1] from the header; the rest of the file must be exactly their product.
static lt_status parse_header(const lti_idx_source *src, int n_dims, uint32_t *dim)
{
    size_t head = 4 + 4 * (size_t)n_dims, total = 1;
    if (src->n < head)
        return LT_FAIL(LT_E_FORMAT, "%s: %zu bytes, expected an IDX header of %zu", src->label, src->n, head);
    uint32_t magic = big_endian(src->bytes), expected = 0x800u + (uint32_t)n_dims;
    if (magic != expected)
        return LT_FAIL(LT_E_FORMAT, "%s: magic number 0x%08x, expected 0x%08x (bytes in %d dimensions)", src->label,
                       magic, expected, n_dims);
    for (int k = 0; k < n_dims; k++) {
        dim[k] = big_endian(src->bytes + 4 + 4 * (size_t)k);
        if (lti_mul_size(total, dim[k], &total))
            return LT_FAIL(LT_E_FORMAT, "%s: the header's dimensions overflow", src->label);
    }
    if (src->n - head != total)
        return LT_FAIL(LT_E_FORMAT, "%s: %zu bytes after the header, which announces %zu", src->label, src->n - head,
                       total);
    return LT_OK;
}

lt_status lti_idx_parse(const lti_idx_source *images, const lti_idx_source *labels, lt_split s, lti_raw *raw)
{
    uint32_t dim[3], n_labels;
    LT_TRY(parse_header(images, 3, dim));
    LT_TRY(parse_header(labels, 1, &n_labels));
    if (dim[0] != n_labels)
        return LT_FAIL(LT_E_FORMAT, "%s: %u labels for the %u images of %s", labels->label, n_labels, dim[0],
                       images->label);
    if (dim[1] < 1 || dim[2] < 1 || dim[1] > LTI_MAX_SIDE || dim[2] > LTI_MAX_SIDE)
        return LT_FAIL(LT_E_FORMAT, "%s: images of %ux%u pixels, expected 1..%d a side", images->label, dim[2], dim[1],
                       LTI_MAX_SIDE);
    if (raw->h == 0) {
        raw->h = (int)dim[1];
        raw->w = (int)dim[2];
    }
    if (raw->h != (int)dim[1] || raw->w != (int)dim[2])
        return LT_FAIL(LT_E_FORMAT, "%s: images of %ux%u pixels, those of the other split have %dx%d", images->label,
                       dim[2], dim[1], raw->w, raw->h);
    size_t len = lti_raw_sample_bytes(raw);
    LT_TRY(lti_raw_reserve(raw, s, n_labels));
    for (uint32_t i = 0; i < n_labels; i++) {
        uint8_t y = labels->bytes[8 + (size_t)i], *x;
        if (y >= raw->n_classes)
            return LT_FAIL(LT_E_FORMAT, "%s: label %u (byte %zu) is %d, expected 0..%d", labels->label, i,
                           8 + (size_t)i, y, raw->n_classes - 1);
        LT_TRY(lti_raw_append(raw, s, y, &x));
        memcpy(x, images->bytes + 16 + (size_t)i * len, len);
    }
    return LT_OK;
}

// The file as the archives have it, as older tools rename it, and either compressed.
static lt_status find_file(const char *dir, const char *prefix, const char *what, int n_dims, lti_arena *arena,
                           const char **path)
{
    static const char separators[2] = {'-', '.'};
    for (int k = 0; k < 4; k++) {
        char name[64];
        snprintf(name, sizeof name, "%s-%s%cidx%d-ubyte%s", prefix, what, separators[k % 2], n_dims,
                 k < 2 ? "" : ".gz");
        *path = lti_join(arena, dir, name);
        if (!*path)
            return LTI_NOMEM("file name");
        if (lti_is_file(*path))
            return LT_OK;
    }
    *path = NULL;
    return LT_OK;
}

static lt_status read_pair(const char *images, const char *labels, lt_split s, lti_raw *raw)
{
    uint8_t *x = NULL, *y = NULL;
    size_t n_x, n_y;
    lt_status status = LT_OK;
    LT_TRY_GOTO(lti_read_gz(images, MAX_IDX_BYTES, &x, &n_x), out);
    LT_TRY_GOTO(lti_read_gz(labels, MAX_IDX_BYTES, &y, &n_y), out);
    LT_TRY_GOTO(lti_idx_parse(&(lti_idx_source){x, n_x, images}, &(lti_idx_source){y, n_y, labels}, s, raw), out);
out:
    lti_free(x);
    lti_free(y);
    return status;
}

static lt_status open_idx(const lti_open_args *args, const char *const *names, lti_raw *raw)
{
    static const char *const prefix[2] = {"train", "t10k"};
    static const char *const missing[2] = {"train-images-idx3-ubyte (or .gz) is missing",
                                           "t10k-images-idx3-ubyte (or .gz) is missing"};
    raw->c = 1;
    raw->n_classes = N_LABELS;
    raw->class_name = names;
    for (int s = 0; s < 2; s++) {
        const char *images, *labels;
        if (s == LT_TEST && args->skip_test && raw->split[LT_TRAIN].n > 0)
            continue;
        LT_TRY(find_file(args->path, prefix[s], "images", 3, &raw->arena, &images));
        LT_TRY(find_file(args->path, prefix[s], "labels", 1, &raw->arena, &labels));
        if (!images) {
            raw->missing[s] = missing[s];
            continue;
        }
        if (!labels)
            return LT_FAIL(LT_E_INPUT, "%s: %s: there are images but no %s-labels-idx1-ubyte (or .gz)", args->kind,
                           args->path, prefix[s]);
        LT_TRY(read_pair(images, labels, (lt_split)s, raw));
    }
    return LT_OK;
}

lt_status lti_open_mnist(const lti_open_args *args, lti_raw *raw)
{
    return open_idx(args, NULL, raw);
}

lt_status lti_open_fashion_mnist(const lti_open_args *args, lti_raw *raw)
{
    return open_idx(args, fashion_names, raw);
}
