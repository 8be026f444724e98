// safetensors.c - reader and writer of the safetensors format: 8 bytes header length, JSON header, tensor bytes.
//
// The reader accepts what the format's own reader accepts: tensors in offset order must follow one another without
// gaps or overlap and end exactly at the end of the file. Nothing is allocated from a number in the header before that
// number has been checked against the bytes that the file really has.
#include "io/tensorfile_impl.h"
#include "io/json_read.h"
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { HEADER_MAX = 100000000, PREFIX = 8 };

typedef struct entry {
    const char *name; // borrowed from the JSON tree
    const lti_raw_type *type;
    int n_dims;
    int64_t dim[LT_FILE_MAX_DIMS];
    size_t begin, end, n_elements; // bytes [begin, end) of the data part
} entry;

typedef struct parser {
    const char *label;
    json_t *root;
    entry *entries;
    size_t n_entries, n_meta, data_bytes;
} parser;

static lt_status read_header(parser *p, const unsigned char *bytes, size_t n)
{
    uint64_t header = 0;
    if (n < PREFIX)
        return LT_FAIL(LT_E_FORMAT, "%s: expected a safetensors file of at least %d bytes, found %zu", p->label, PREFIX,
                       n);
    memcpy(&header, bytes, PREFIX);
    if (header > HEADER_MAX)
        return LT_FAIL(LT_E_FORMAT, "%s: expected a safetensors header of at most %d bytes, found %llu", p->label,
                       HEADER_MAX, (unsigned long long)header);
    if (header > n - PREFIX)
        return LT_FAIL(LT_E_FORMAT, "%s: expected a header of %llu bytes, found the end of the file after %zu",
                       p->label, (unsigned long long)header, n - PREFIX);
    if (header == 0 || bytes[PREFIX] != '{')
        return LT_FAIL(LT_E_FORMAT, "%s: expected a safetensors header starting with '{', found another byte",
                       p->label);
    json_error_t error;
    p->root = lti_json_parse((const char *)bytes + PREFIX, (size_t)header, JSON_REJECT_DUPLICATES, &error);
    if (!p->root) {
        if (lti_json_lacked_memory(&error))
            return LTI_NOMEM(p->label);
        return LT_FAIL(LT_E_FORMAT, "%s: expected a JSON header, found an error at byte %d: %s", p->label,
                       error.position, error.text);
    }
    p->data_bytes = n - PREFIX - (size_t)header;
    return LT_OK;
}

static lt_status wrong(const parser *p, const char *name, const char *want)
{
    return LT_FAIL(LT_E_FORMAT, "%s: tensor '%s': expected %s, found something else", p->label, name, want);
}

static lt_status read_shape(const parser *p, entry *e, const json_t *shape)
{
    if (!json_is_array(shape))
        return wrong(p, e->name, "\"shape\" to be a list");
    if (json_array_size(shape) > LT_FILE_MAX_DIMS)
        return LT_FAIL(LT_E_FORMAT, "%s: tensor '%s': expected at most %d dimensions, found %zu", p->label, e->name,
                       (int)LT_FILE_MAX_DIMS, json_array_size(shape));
    e->n_dims = (int)json_array_size(shape);
    for (int i = 0; i < e->n_dims; i++) {
        const json_t *d = json_array_get(shape, (size_t)i);
        if (!json_is_integer(d) || json_integer_value(d) < 0)
            return wrong(p, e->name, "dimensions to be whole numbers from 0");
        e->dim[i] = json_integer_value(d);
    }
    return LT_OK;
}

static lt_status read_offsets(const parser *p, entry *e, const json_t *offsets)
{
    const json_t *begin = json_array_get(offsets, 0), *end = json_array_get(offsets, 1);
    if (json_array_size(offsets) != 2 || !json_is_integer(begin) || !json_is_integer(end))
        return wrong(p, e->name, "\"data_offsets\" to be [begin, end]");
    const json_int_t b = json_integer_value(begin), f = json_integer_value(end);
    if (b < 0 || f < b || (uint64_t)f > p->data_bytes)
        return LT_FAIL(LT_E_FORMAT, "%s: tensor '%s': expected offsets within 0..%zu, found %lld..%lld", p->label,
                       e->name, p->data_bytes, (long long)b, (long long)f);
    e->begin = (size_t)b;
    e->end = (size_t)f;
    return LT_OK;
}

static lt_status read_entry(const parser *p, entry *e, const json_t *value)
{
    if (!json_is_object(value) || json_object_size(value) != 3)
        return wrong(p, e->name, "an object of dtype, shape and data_offsets");
    const char *dtype = json_string_value(json_object_get(value, "dtype"));
    if (!dtype)
        return wrong(p, e->name, "\"dtype\" to be text");
    e->type = lti_raw_by_safetensors(dtype);
    if (!e->type)
        return LT_FAIL(LT_E_FORMAT, "%s: tensor '%s': expected a known element type, found '%s'", p->label, e->name,
                       dtype);
    LT_TRY(read_shape(p, e, json_object_get(value, "shape")));
    LT_TRY(read_offsets(p, e, json_object_get(value, "data_offsets")));
    size_t bytes;
    if (lti_dims_product(e->n_dims, e->dim, &e->n_elements) || lti_mul_size(e->n_elements, e->type->size, &bytes))
        return LT_FAIL(LT_E_FORMAT, "%s: tensor '%s': expected a shape that fits in memory, found an overflow",
                       p->label, e->name);
    if (bytes != e->end - e->begin)
        return LT_FAIL(LT_E_FORMAT, "%s: tensor '%s': expected %zu bytes for its shape, found %zu", p->label, e->name,
                       bytes, e->end - e->begin);
    return LT_OK;
}

static lt_status check_meta(parser *p, const json_t *meta)
{
    const char *key;
    const json_t *value;
    if (!json_is_object(meta))
        return LT_FAIL(LT_E_FORMAT, "%s: expected \"__metadata__\" to be an object, found something else", p->label);
    p->n_meta = json_object_size(meta);
    json_object_foreach((json_t *)meta, key, value) if (!json_is_string(value)) return LT_FAIL(
        LT_E_FORMAT, "%s: metadata '%s': expected text, found something else", p->label, key);
    return LT_OK;
}

static int by_offset(const void *a, const void *b)
{
    const entry *x = a, *y = b;
    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    if (x->end != y->end)
        return x->end < y->end ? -1 : 1;
    return strcmp(x->name, y->name);
}

static lt_status check_cover(const parser *p)
{
    size_t at = 0;
    for (size_t i = 0; i < p->n_entries; i++) {
        const entry *e = &p->entries[i];
        if (e->begin < at)
            return LT_FAIL(LT_E_FORMAT, "%s: tensors '%s' and '%s': expected separate bytes, found an overlap",
                           p->label, p->entries[i - 1].name, e->name);
        if (e->begin > at)
            return LT_FAIL(LT_E_FORMAT, "%s: tensor '%s': expected it to start at byte %zu, found %zu (a gap)",
                           p->label, e->name, at, e->begin);
        at = e->end;
    }
    if (at != p->data_bytes)
        return LT_FAIL(LT_E_FORMAT, "%s: expected %zu bytes of tensors, found %zu", p->label, at, p->data_bytes);
    return LT_OK;
}

static lt_status read_entries(parser *p)
{
    const char *key;
    json_t *value;
    p->entries = lti_calloc(json_object_size(p->root), sizeof *p->entries);
    if (!p->entries)
        return LTI_NOMEM(p->label);
    json_object_foreach(p->root, key, value)
    {
        if (!strcmp(key, "__metadata__")) {
            LT_TRY(check_meta(p, value));
            continue;
        }
        entry *e = &p->entries[p->n_entries++];
        e->name = key;
        LT_TRY(read_entry(p, e, value));
    }
    qsort(p->entries, p->n_entries, sizeof *p->entries, by_offset);
    return check_cover(p);
}

static lt_status fill_meta(const parser *p, lt_tensor_file *f)
{
    const char *key;
    json_t *value;
    json_object_foreach(json_object_get(p->root, "__metadata__"), key, value)
    {
        lt_meta m = {lti_arena_strdup(&f->arena, key), lti_arena_strdup(&f->arena, json_string_value(value))};
        if (!m.key || !m.value)
            return LTI_NOMEM(p->label);
        f->meta[f->n_meta++] = m;
    }
    return LT_OK;
}

// Points into `data` where that needs neither conversion nor alignment and the file owns it; copies otherwise.
static lt_status fill_tensors(const parser *p, lt_tensor_file *f, unsigned char *data, bool adopt)
{
    for (size_t i = 0; i < p->n_entries; i++) {
        const entry *e = &p->entries[i];
        unsigned char *from = data + e->begin;
        lt_tensor *t;
        if (adopt && e->type->widen == LTI_AS_IS && (uintptr_t)from % e->type->size == 0) {
            t = &f->tensor[f->n_tensors];
            *t = (lt_tensor){.name = lti_arena_strdup(&f->arena, e->name),
                             .dtype = e->type->dtype,
                             .n_dims = e->n_dims,
                             .data = from,
                             .n_bytes = e->end - e->begin};
            if (!t->name)
                return LTI_NOMEM(p->label);
            memcpy(t->dim, e->dim, sizeof t->dim);
            f->stored[f->n_tensors] = e->type->safetensors;
            f->n_tensors++; // owned[] stays false
        } else {
            LT_TRY(lti_tensor_file_add(f, e->name, e->type, e->n_dims, e->dim, e->n_elements, &t));
            LT_TRY(lti_raw_convert(e->type, from, e->n_elements, t->data, p->label, e->name));
        }
    }
    return LT_OK;
}

lt_status lti_safetensors_parse(char *bytes, size_t n, bool adopt, const char *label, lt_tensor_file **file)
{
    parser p = {.label = label};
    lt_tensor_file *f = NULL;
    lt_status status;
    *file = NULL;
    LT_TRY_GOTO(read_header(&p, (const unsigned char *)bytes, n), done);
    LT_TRY_GOTO(read_entries(&p), done);
    LT_TRY_GOTO(lti_tensor_file_new(p.n_entries, p.n_meta, &f), done);
    LT_TRY_GOTO(fill_meta(&p, f), done);
    LT_TRY_GOTO(fill_tensors(&p, f, (unsigned char *)bytes + (n - p.data_bytes), adopt), done);
    if (adopt)
        f->bytes = bytes;
    *file = f;
    f = NULL;
done:
    lt_tensor_file_close(f);
    lti_free(p.entries);
    json_decref(p.root);
    return status;
}

lt_status lt_safetensors_parse(const void *bytes, size_t n, const char *label, lt_tensor_file **file)
{
    return lti_safetensors_parse((char *)bytes, n, false, label, file); // not adopted: only read
}

// Offsets are given out by element size, largest first, so that every tensor is aligned; equal sizes keep their order.
static void assign_offsets(const lt_tensor *tensors, int n, size_t *begin)
{
    size_t at = 0;
    for (size_t size = 8; size; size /= 2)
        for (int i = 0; i < n; i++)
            if (lti_raw_of(tensors[i].dtype)->size == size) {
                begin[i] = at;
                at += tensors[i].n_bytes;
            }
}

static void add_header_entry(lti_buf *b, const lt_tensor *t, size_t begin)
{
    lti_buf_puts(b, b->n > 1 ? "," : "");
    lti_buf_json_string(b, t->name);
    lti_buf_printf(b, ":{\"dtype\":\"%s\",\"shape\":[", lti_raw_of(t->dtype)->safetensors);
    for (int i = 0; i < t->n_dims; i++)
        lti_buf_printf(b, "%s%lld", i ? "," : "", (long long)t->dim[i]);
    lti_buf_printf(b, "],\"data_offsets\":[%zu,%zu]}", begin, begin + t->n_bytes);
}

static lt_status make_header(const char *path, const lt_tensor *tensors, int n, const size_t *begin,
                             const lt_meta *meta, int n_meta, lti_buf *b)
{
    lti_buf_puts(b, "{");
    if (n_meta) {
        lti_buf_puts(b, "\"__metadata__\":{");
        for (int i = 0; i < n_meta; i++) {
            lti_buf_puts(b, i ? "," : "");
            lti_buf_json_string(b, meta[i].key);
            lti_buf_puts(b, ":");
            lti_buf_json_string(b, meta[i].value);
        }
        lti_buf_puts(b, "}");
    }
    for (int i = 0; i < n; i++)
        add_header_entry(b, &tensors[i], begin[i]);
    lti_buf_puts(b, "}");
    while (!b->failed && b->n % 8)
        lti_buf_puts(b, " "); // the data part starts 8-aligned
    if (b->failed)
        return LTI_NOMEM(path);
    if (b->n > HEADER_MAX)
        return LT_FAIL(LT_E_UNSUPPORTED, "cannot write %s: expected a header of at most %d bytes, found %zu", path,
                       HEADER_MAX, b->n);
    return LT_OK;
}

static lt_status write_parts(lti_writer *w, const lti_buf *header, const lt_tensor *tensors, int n)
{
    const uint64_t length = header->n;
    LT_TRY(lti_writer_add(w, &length, sizeof length));
    LT_TRY(lti_writer_add(w, header->data, header->n));
    for (size_t size = 8; size; size /= 2) // the order of place()
        for (int i = 0; i < n; i++)
            if (lti_raw_of(tensors[i].dtype)->size == size)
                LT_TRY(lti_writer_add(w, tensors[i].data, tensors[i].n_bytes));
    return LT_OK;
}

lt_status lt_safetensors_write(const char *path, const lt_tensor *tensors, int n, const lt_meta *meta, int n_meta)
{
    LT_TRY(lti_tensors_check(path, tensors, n));
    lti_buf header = {0};
    lti_writer w = {.fd = -1};
    lt_status status;
    size_t *begin = lti_calloc((size_t)n, sizeof *begin);
    if (!begin)
        return LTI_NOMEM(path);
    assign_offsets(tensors, n, begin);
    LT_TRY_GOTO(make_header(path, tensors, n, begin, meta, n_meta, &header), done);
    LT_TRY_GOTO(lti_writer_open(path, &w), done);
    LT_TRY_GOTO(write_parts(&w, &header, tensors, n), done);
    LT_TRY_GOTO(lti_writer_commit(&w), done);
done:
    lti_writer_abort(&w);
    lti_buf_clear(&header);
    lti_free(begin);
    return status;
}
