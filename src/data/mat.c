// mat.c - arrays of numbers in MATLAB files of level 5 (save -v6 and -v7), read from bytes in memory.
//
// A file is a header of 128 bytes and elements: a tag (type, length), then the bytes. An element is a variable, or
// holds one compressed with zlib. A variable's own elements are its flags, dimensions, name and numbers; what has at
// most four bytes may lie in its tag. MATLAB stores numbers in the smallest type that holds them all, whatever their
// class. Every length is checked before it is followed, and the checksum of a compressed variable after it was read:
// why that is done here and not by a library, docs/decisions/0019-matlab-files.md says.
#include "data/mat.h"
#include <stdio.h>
#include <string.h>

enum {
    HEADER_BYTES = 128,
    TAG_BYTES = 8,
    INSIDE_BYTES = 4,   // of a small element, in its tag
    MOST_SHRINK = 1032, // bytes that one byte of deflate can stand for
    CHUNK = 4096
};
enum { TYPE_I8 = 1, TYPE_U8, TYPE_I16, TYPE_U16, TYPE_I32, TYPE_U32, TYPE_F32, TYPE_F64 = 9, TYPE_I64 = 12, TYPE_U64 };
enum { TYPE_ARRAY = 14, TYPE_COMPRESSED = 15 };
enum { CLASS_DOUBLE = 6, CLASS_U8 = 9, CLASS_U64 = 15, FLAG_LOGICAL = 0x200, FLAG_COMPLEX = 0x800 };

static uint64_t number_at(const lti_mat *mat, const uint8_t *b, int n)
{
    uint64_t v = 0;
    for (int i = 0; i < n; i++)
        v |= (uint64_t)b[i] << 8 * (mat->big_endian ? n - 1 - i : i);
    return v;
}

static uint32_t u32_at(const lti_mat *mat, const uint8_t *b)
{
    return (uint32_t)number_at(mat, b, 4);
}

lt_status lti_mat_open(const uint8_t *bytes, size_t n, const char *label, lti_mat *mat)
{
    static const char hdf5[] = "\x89HDF\r\n\x1a\n";
    *mat = (lti_mat){.bytes = bytes, .n = n, .label = label};
    const bool marked = n >= HEADER_BYTES && (!memcmp(bytes + 126, "IM", 2) || !memcmp(bytes + 126, "MI", 2));
    mat->big_endian = marked && bytes[126] == 'M';
    const uint64_t version = marked ? number_at(mat, bytes + 124, 2) : 0;
    if (version == 0x200 || (n >= sizeof hdf5 - 1 && !memcmp(bytes, hdf5, sizeof hdf5 - 1))) {
        LT_FAIL(LT_E_FORMAT, "%s: expected a MATLAB file of level 5, found one of version 7.3 (HDF5)", label);
        return lt_error_hint("MATLAB writes level 5 with save(..., '-v7')");
    }
    if (version != 0x100)
        return LT_FAIL(LT_E_FORMAT, "%s: expected a MATLAB file of level 5, found %zu bytes without its header", label,
                       n);
    return LT_OK;
}

// ---- the bytes of a variable, one after another, compressed or not

static lt_status ends_early(const lti_mat_array *a)
{
    return LT_FAIL(LT_E_FORMAT, "%s: variable %s ends before its last number", a->mat->label,
                   a->name[0] ? a->name : "without a name");
}

static lt_status is_broken(const lti_mat_array *a)
{
    return LT_FAIL(LT_E_FORMAT, "%s: variable %s: broken compressed data: %s", a->mat->label,
                   a->name[0] ? a->name : "without a name", a->z.msg ? a->z.msg : "unknown reason");
}

static lt_status inflate_some(lti_mat_array *a, uint8_t *to, size_t n)
{
    while (n > 0) {
        const uInt want = (uInt)(n < 1 << 30 ? n : 1 << 30);
        a->z.next_out = to;
        a->z.avail_out = want;
        const int code = inflate(&a->z, Z_NO_FLUSH);
        const size_t got = want - a->z.avail_out;
        to += got;
        n -= got;
        if (code == Z_BUF_ERROR || (code == Z_STREAM_END && n > 0))
            return ends_early(a);
        if (code != Z_OK && code != Z_STREAM_END)
            return is_broken(a);
    }
    return LT_OK;
}

static lt_status take(lti_mat_array *a, void *to, size_t n)
{
    if (n > a->left)
        return ends_early(a);
    if (n == 0)
        return LT_OK;
    a->left -= n;
    if (a->compressed)
        return inflate_some(a, to, n);
    memcpy(to, a->at, n);
    a->at += n;
    return LT_OK;
}

// What is behind the numbers: padding, and the checksum of all that was read.
static lt_status check_end(lti_mat_array *a)
{
    uint8_t rest[CHUNK];
    int code = a->compressed ? Z_OK : Z_STREAM_END;
    while (code == Z_OK) {
        a->z.next_out = rest;
        a->z.avail_out = sizeof rest;
        code = inflate(&a->z, Z_NO_FLUSH);
    }
    return code == Z_STREAM_END ? LT_OK : code == Z_BUF_ERROR ? ends_early(a) : is_broken(a);
}

// ---- elements

typedef struct element {
    uint32_t type;
    size_t n;
    bool small; // its bytes are `inside`
    uint8_t inside[INSIDE_BYTES];
} element;

static lt_status take_tag(lti_mat_array *a, element *e)
{
    uint8_t tag[TAG_BYTES];
    LT_TRY(take(a, tag, sizeof tag));
    const uint32_t first = u32_at(a->mat, tag);
    *e = (element){.type = first & 0xffff, .n = first >> 16, .small = first >> 16 != 0};
    memcpy(e->inside, tag + 4, sizeof e->inside);
    if (!e->small)
        e->n = u32_at(a->mat, tag + 4);
    if (e->small && e->n > INSIDE_BYTES)
        return LT_FAIL(LT_E_FORMAT, "%s: a small element of %zu bytes, expected at most %d", a->mat->label, e->n,
                       INSIDE_BYTES);
    return LT_OK;
}

// A whole element with a tag of its own, padded to 8 bytes. *n: its bytes, at most `room`; longer ones are an error.
static lt_status take_element(lti_mat_array *a, const char *what, uint8_t *to, size_t room, size_t *n)
{
    element e;
    uint8_t padding[8];
    LT_TRY(take_tag(a, &e));
    if (e.n > room)
        return LT_FAIL(LT_E_FORMAT, "%s: %s of a variable: %zu bytes, expected at most %zu", a->mat->label, what, e.n,
                       room);
    *n = e.n;
    if (e.small) {
        memcpy(to, e.inside, e.n);
        return LT_OK;
    }
    LT_TRY(take(a, to, e.n));
    return take(a, padding, (8 - e.n % 8) % 8);
}

static lt_status take_dims(lti_mat_array *a)
{
    enum { MOST_DIMS = 32 };
    uint8_t dims[4 * MOST_DIMS];
    size_t n;
    LT_TRY(take_element(a, "dimensions", dims, sizeof dims, &n));
    a->n_dims = (int)(n / 4);
    a->n = 1;
    for (int k = 0; k < a->n_dims; k++) {
        const int64_t dim = u32_at(a->mat, dims + 4 * (size_t)k);
        if (__builtin_mul_overflow(a->n, dim, &a->n))
            return LT_FAIL(LT_E_FORMAT, "%s: the dimensions of a variable overflow", a->mat->label);
        if (k < LTI_MAT_DIMS)
            a->dim[k] = dim;
    }
    return LT_OK;
}

// From flags to name; what is left are the numbers. Variables that are not arrays of numbers have is_numeric false.
static lt_status take_head(lti_mat_array *a)
{
    uint8_t flags[8] = {0};
    size_t n;
    LT_TRY(take_element(a, "flags", flags, sizeof flags, &n));
    const uint32_t bits = u32_at(a->mat, flags);
    const int class_number = (int)(bits & 0xff);
    a->is_numeric = class_number >= CLASS_DOUBLE && class_number <= CLASS_U64 && !(bits & FLAG_COMPLEX);
    a->is_u8 = class_number == CLASS_U8 && a->is_numeric && !(bits & FLAG_LOGICAL);
    if (class_number < 1 || class_number > CLASS_U64) // objects have no dimensions here
        return LT_OK;
    LT_TRY(take_dims(a));
    LT_TRY(take_element(a, "name", (uint8_t *)a->name, sizeof a->name - 1, &n));
    a->name[n] = '\0';
    return LT_OK;
}

// The stream of the element at bytes[0..n-1], up to the first tag inside the variable.
static lt_status start(const lti_mat *mat, uint32_t type, const uint8_t *bytes, size_t n, lti_mat_array *a)
{
    uint8_t tag[TAG_BYTES];
    *a = (lti_mat_array){.mat = mat, .at = bytes, .left = n};
    if (type != TYPE_COMPRESSED)
        return LT_OK;
    if (inflateInit(&a->z) != Z_OK)
        return LTI_NOMEM("compressed data");
    a->compressed = true;
    a->z.next_in = (Bytef *)(uintptr_t)bytes;
    a->z.avail_in = (uInt)n;
    a->left = sizeof tag;
    LT_TRY(take(a, tag, sizeof tag));
    if (u32_at(mat, tag) != TYPE_ARRAY)
        return LT_FAIL(LT_E_FORMAT, "%s: compressed data that is no variable", mat->label);
    a->left = u32_at(mat, tag + 4);
    if (a->left / MOST_SHRINK > n)
        return LT_FAIL(LT_E_FORMAT, "%s: a variable of %zu bytes in %zu compressed ones", mat->label, a->left, n);
    return LT_OK;
}

void lti_mat_array_clear(lti_mat_array *a)
{
    if (a->compressed)
        inflateEnd(&a->z);
    *a = (lti_mat_array){0};
}

static lt_status not_found(const lti_mat *mat, const char *name, const lti_buf *others)
{
    return others->failed ? LTI_NOMEM("names")
                          : LT_FAIL(LT_E_FORMAT, "%s: expected a variable %s, found %s", mat->label, name,
                                    others->n ? others->data : "none");
}

lt_status lti_mat_find(const lti_mat *mat, const char *name, lti_mat_array *a)
{
    enum { MOST_NAMES = 200 };
    lti_buf others = {0};
    lt_status status = LT_OK;
    *a = (lti_mat_array){0};
    for (size_t at = HEADER_BYTES; mat->n - at >= TAG_BYTES;) {
        const uint32_t type = u32_at(mat, mat->bytes + at), n = u32_at(mat, mat->bytes + at + 4);
        at += TAG_BYTES;
        if (n > mat->n - at) {
            status = LT_FAIL(LT_E_FORMAT, "%s: the file ends in the middle of a variable: %zu of %u bytes", mat->label,
                             mat->n - at, n);
            goto out;
        }
        if (type == TYPE_ARRAY || type == TYPE_COMPRESSED) {
            LT_TRY_GOTO(start(mat, type, mat->bytes + at, n, a), out);
            LT_TRY_GOTO(take_head(a), out);
            if (strcmp(a->name, name) == 0)
                goto out;
            if (others.n < MOST_NAMES)
                lti_buf_printf(&others, "%s%s", others.n ? ", " : "", a->name);
            lti_mat_array_clear(a);
        }
        at += n;
    }
    status = not_found(mat, name, &others);
out:
    lti_buf_clear(&others);
    if (status != LT_OK)
        lti_mat_array_clear(a);
    return status;
}

// ---- numbers

static int width_of(uint32_t type)
{
    switch (type) {
    case TYPE_I8:
    case TYPE_U8:
        return 1;
    case TYPE_I16:
    case TYPE_U16:
        return 2;
    case TYPE_I32:
    case TYPE_U32:
    case TYPE_F32:
        return 4;
    case TYPE_F64:
    case TYPE_I64:
    case TYPE_U64:
        return 8;
    default:
        return 0;
    }
}

static double value_of(uint32_t type, uint64_t bits)
{
    const uint32_t low = (uint32_t)bits;
    float f32;
    double f64;
    switch (type) {
    case TYPE_I8:
        return (int8_t)bits;
    case TYPE_I16:
        return (int16_t)bits;
    case TYPE_I32:
        return (int32_t)bits;
    case TYPE_I64:
        return (double)(int64_t)bits;
    case TYPE_F32:
        memcpy(&f32, &low, sizeof f32);
        return (double)f32;
    case TYPE_F64:
        memcpy(&f64, &bits, sizeof f64);
        return f64;
    default:
        return (double)bits;
    }
}

// The tag of the numbers, of which there must be as many as the dimensions say.
static lt_status take_numbers_tag(lti_mat_array *a, element *e)
{
    LT_TRY(take_tag(a, e));
    const int width = width_of(e->type);
    if (!a->is_numeric || width == 0)
        return LT_FAIL(LT_E_FORMAT, "%s: variable %s: expected real numbers", a->mat->label, a->name);
    size_t bytes;
    if (lti_mul_size((size_t)a->n, (size_t)width, &bytes) || bytes != e->n)
        return LT_FAIL(LT_E_FORMAT, "%s: variable %s: %zu bytes, expected %lld numbers of %d", a->mat->label, a->name,
                       e->n, (long long)a->n, width);
    return e->small || e->n <= a->left ? LT_OK : ends_early(a);
}

lt_status lti_mat_read_u8(lti_mat_array *a, lti_mat_room_fn *room, void *ctx)
{
    element e;
    uint8_t *to;
    LT_TRY(take_numbers_tag(a, &e));
    if (e.type != TYPE_U8)
        return LT_FAIL(LT_E_FORMAT, "%s: variable %s: stored with type %u, expected bytes", a->mat->label, a->name,
                       e.type);
    LT_TRY(room(ctx, &to));
    if (e.small)
        memcpy(to, e.inside, e.n);
    else
        LT_TRY(take(a, to, e.n));
    return check_end(a);
}

lt_status lti_mat_read_numbers(lti_mat_array *a, lti_mat_number_fn *fn, void *ctx)
{
    element e;
    uint8_t chunk[CHUNK];
    LT_TRY(take_numbers_tag(a, &e));
    const int width = width_of(e.type);
    int64_t i = 0;
    for (size_t done = 0; done < e.n;) {
        const size_t n = e.n - done < sizeof chunk ? e.n - done : sizeof chunk;
        if (e.small)
            memcpy(chunk, e.inside, n);
        else
            LT_TRY(take(a, chunk, n));
        for (size_t k = 0; k < n; k += (size_t)width)
            LT_TRY(fn(ctx, i++, value_of(e.type, number_at(a->mat, chunk + k, width))));
        done += n;
    }
    return check_end(a);
}
