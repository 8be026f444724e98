// onnx_read.c - the initializers of an ONNX model as tensors, and its metadata_props.
//
// Of the graph only its tensors are read: which network they belong to is settled by their names and shapes, as for
// every other file. A field that is not known is skipped by its wire type; every length is held against what is left of
// the message around it, so nothing is read beyond the bytes and nesting is as deep as the messages named here.
#include "io/onnx.h"
#include "io/tensorfile_impl.h"
#include <string.h>

enum { INITIALIZERS_MAX = 1 << 13, NAME_MAX_BYTES = 512, META_MAX = 1 << 12, EXTERNAL = 1 };
enum { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 }; // wire types

typedef struct span {
    const unsigned char *at;
    size_t n;
} span;

typedef struct field {
    uint64_t number;
    int wire;
    uint64_t value; // VARINT
    span bytes;     // of the others: the bytes of the value
} field;

// ---- protocol buffers

static bool take_varint(span *s, uint64_t *v)
{
    *v = 0;
    for (unsigned shift = 0; s->n > 0 && shift < 64; shift += 7) {
        const unsigned char byte = *s->at;
        s->at++, s->n--;
        *v |= (uint64_t)(byte & 127) << shift;
        if (byte < 128)
            return true;
    }
    return false;
}

static bool take_bytes(span *s, uint64_t n, span *out)
{
    if (n > s->n)
        return false;
    *out = (span){s->at, (size_t)n};
    s->at += n, s->n -= (size_t)n;
    return true;
}

static bool take_field(span *s, field *f)
{
    uint64_t key, n;
    if (!take_varint(s, &key))
        return false;
    *f = (field){.number = key >> 3, .wire = (int)(key & 7)};
    switch (f->wire) {
    case VARINT:
        return take_varint(s, &f->value);
    case FIXED64:
        return take_bytes(s, 8, &f->bytes);
    case FIXED32:
        return take_bytes(s, 4, &f->bytes);
    case BYTES:
        return take_varint(s, &n) && take_bytes(s, n, &f->bytes);
    default: // groups, which ONNX has none of
        return false;
    }
}

static bool is_message(const field *f, uint64_t number)
{
    return f->number == number && f->wire == BYTES;
}

static lt_status fail_broken(const char *label, const char *what)
{
    return LT_FAIL(LT_E_FORMAT, "%s: expected an ONNX model, found %s that is broken or cut off", label, what);
}

bool lti_onnx_begins(const void *head, size_t n)
{
    // ir_version, then one of the fields that writers put behind it: producer, domain, model version, graph, opset.
    static const unsigned char second[] = {0x12, 0x1a, 0x22, 0x28, 0x32, 0x3a, 0x42, 0x72};
    const unsigned char *b = head;
    return n > 8 && b[0] == 0x08 && b[1] > 0 && b[1] < 64 && memchr(second, b[2], sizeof second) != NULL &&
           b[8] != '{'; // safetensors: a length of eight bytes, then JSON
}

// ---- tensors

typedef struct initializer {
    char name[NAME_MAX_BYTES];
    int n_dims;
    int64_t dim[LT_FILE_MAX_DIMS];
    uint64_t type;
    const lti_raw_type *raw;
    span data;         // raw_data
    span message;      // the whole, from which lists are read again
    size_t n_in_lists; // elements in float_data and its like
    bool has_raw_data;
} initializer;

// Lists of elements by field: float_data, int32_data, int64_data, double_data, uint64_data.
static int list_wire(uint64_t number)
{
    return number == 4 ? FIXED32 : number == 10 ? FIXED64 : number == 5 || number == 7 || number == 11 ? VARINT : -1;
}

static const lti_raw_type *find_type(uint64_t type)
{
    static const char *const name[] = {
        [1] = "F32",  [2] = "U8",   [3] = "I8",   [4] = "U16",  [5] = "I16",  [6] = "I32",  [7] = "I64",
        [9] = "BOOL", [10] = "F16", [11] = "F64", [12] = "U32", [13] = "U64", [16] = "BF16"};
    return type < sizeof name / sizeof *name && name[type] ? lti_raw_by_safetensors(name[type]) : NULL;
}

static bool add_dim(initializer *t, uint64_t d)
{
    if (t->n_dims == LT_FILE_MAX_DIMS || d > INT64_MAX)
        return false;
    t->dim[t->n_dims++] = (int64_t)d;
    return true;
}

static bool read_dims(initializer *t, const field *f)
{
    span packed = f->bytes;
    uint64_t d;
    if (f->wire == VARINT)
        return add_dim(t, f->value);
    if (f->wire != BYTES)
        return false;
    while (packed.n)
        if (!take_varint(&packed, &d) || !add_dim(t, d))
            return false;
    return true;
}

// The list in which elements of a type are where they are not raw bytes.
static uint64_t list_of(uint64_t type)
{
    enum { FLOAT = 1, INT64 = 7, DOUBLE = 11, UINT32 = 12, UINT64 = 13 };
    return type == FLOAT ? 4 : type == DOUBLE ? 10 : type == INT64 ? 7 : type == UINT32 || type == UINT64 ? 11 : 5;
}

// Elements of one field of a list, packed or single. out: their `size` low bytes each, NULL = count them only.
static bool read_list(const field *f, size_t size, size_t *n, unsigned char *out)
{
    const int wire = list_wire(f->number);
    span packed = f->bytes;
    uint64_t v = f->value;
    if (f->wire != wire && f->wire != BYTES)
        return false;
    if (f->wire == VARINT) {
        if (out)
            memcpy(out + *n * size, &v, size);
        ++*n;
        return true;
    }
    if (wire != VARINT) { // little endian, as in memory
        const size_t each = wire == FIXED32 ? 4 : 8;
        if (packed.n % each || each != size)
            return false;
        if (out && packed.n)
            memcpy(out + *n * size, packed.at, packed.n);
        *n += packed.n / each;
        return true;
    }
    for (; packed.n; ++*n) {
        if (!take_varint(&packed, &v))
            return false;
        if (out)
            memcpy(out + *n * size, &v, size);
    }
    return true;
}

static lt_status read_header(span message, const char *label, initializer *t)
{
    field f;
    bool is_external = false;
    *t = (initializer){.message = message};
    for (span s = message; s.n;) {
        if (!take_field(&s, &f))
            return fail_broken(label, "a tensor");
        if (f.number == 1 && !read_dims(t, &f))
            return LT_FAIL(LT_E_FORMAT, "%s: a tensor: expected at most %d dimensions of 0 or more, found others",
                           label, LT_FILE_MAX_DIMS);
        if (f.number == 2 && f.wire == VARINT)
            t->type = f.value;
        if (is_message(&f, 8)) {
            if (f.bytes.n == 0 || f.bytes.n >= sizeof t->name || memchr(f.bytes.at, 0, f.bytes.n))
                return LT_FAIL(LT_E_FORMAT, "%s: a tensor: expected a name of 1..%d bytes, found another", label,
                               NAME_MAX_BYTES - 1);
            memcpy(t->name, f.bytes.at, f.bytes.n);
            t->name[f.bytes.n] = 0;
        }
        if (is_message(&f, 9)) {
            t->data = f.bytes;
            t->has_raw_data = true;
        }
        is_external |= f.number == 13 || (f.number == 14 && f.value == EXTERNAL);
    }
    if (!*t->name)
        return LT_FAIL(LT_E_FORMAT, "%s: expected a name of every tensor, found one without", label);
    if (is_external) {
        LT_FAIL(LT_E_UNSUPPORTED, "%s: tensor '%s': its numbers are in another file", label, t->name);
        return lt_error_hint("save the model in one file: onnx.save(onnx.load(FILE), OUT) of the Python package");
    }
    t->raw = find_type(t->type);
    if (!t->raw)
        return LT_FAIL(LT_E_UNSUPPORTED, "%s: tensor '%s': expected numbers of 8 to 64 bits, found element type %llu",
                       label, t->name, (unsigned long long)t->type);
    return LT_OK;
}

static lt_status count_elements(const char *label, initializer *t, size_t *n_elements)
{
    field f;
    size_t bytes;
    for (span s = t->message; s.n && take_field(&s, &f);)
        if (list_wire(f.number) >= 0 &&
            (f.number != list_of(t->type) || !read_list(&f, t->raw->size, &t->n_in_lists, NULL)))
            return LT_FAIL(LT_E_FORMAT, "%s: tensor '%s': expected numbers of its type, found another list", label,
                           t->name);
    if (lti_dims_product(t->n_dims, t->dim, n_elements) || lti_mul_size(*n_elements, t->raw->size, &bytes))
        return LT_FAIL(LT_E_FORMAT, "%s: tensor '%s': expected a shape that fits memory, found another", label,
                       t->name);
    if (t->has_raw_data ? t->data.n != bytes || t->n_in_lists : t->n_in_lists != *n_elements)
        return LT_FAIL(LT_E_FORMAT, "%s: tensor '%s': expected %zu numbers by its shape, found %zu", label, t->name,
                       *n_elements, t->has_raw_data ? t->data.n / t->raw->size + t->n_in_lists : t->n_in_lists);
    return LT_OK;
}

static lt_status copy_elements(const char *label, const initializer *t, size_t n_elements, void *to)
{
    field f;
    size_t n = 0;
    if (t->has_raw_data)
        return lti_raw_convert(t->raw, t->data.at, n_elements, to, label, t->name);
    unsigned char *elements = lti_malloc(n_elements * t->raw->size + 1);
    if (!elements)
        return LTI_NOMEM(t->name);
    for (span s = t->message; s.n && take_field(&s, &f);)
        if (list_wire(f.number) >= 0)
            read_list(&f, t->raw->size, &n, elements);
    const lt_status status = lti_raw_convert(t->raw, elements, n_elements, to, label, t->name);
    lti_free(elements);
    return status;
}

// Shapes, axes, pads and factors that nodes read are initializers too, but no parameters.
static bool is_constant(const initializer *t)
{
    return t->n_dims == 0 || t->raw->dtype == LT_I64;
}

static lt_status add_initializer(lt_tensor_file *file, span message, const char *label)
{
    initializer t;
    lt_tensor *added;
    size_t n_elements;
    LT_TRY(read_header(message, label, &t));
    LT_TRY(count_elements(label, &t, &n_elements));
    if (is_constant(&t))
        return LT_OK;
    if (lt_tensor_file_find(file, t.name))
        return LT_FAIL(LT_E_FORMAT, "%s: expected each tensor once, found '%s' twice", label, t.name);
    LT_TRY(lti_tensor_file_add(file, t.name, t.raw, t.n_dims, t.dim, n_elements, &added));
    return copy_elements(label, &t, n_elements, added->data);
}

// ---- the model

typedef struct contents {
    span graph;
    bool has_graph;
    size_t n_initializers, n_meta;
} contents;

static lt_status survey(span model, const char *label, contents *c)
{
    field f;
    *c = (contents){0};
    while (model.n) {
        if (!take_field(&model, &f))
            return fail_broken(label, "one");
        if (is_message(&f, 7)) {
            if (c->has_graph)
                return LT_FAIL(LT_E_FORMAT, "%s: expected one graph, found two", label);
            c->graph = f.bytes;
            c->has_graph = true;
        }
        c->n_meta += is_message(&f, 14);
    }
    if (!c->has_graph)
        return LT_FAIL(LT_E_FORMAT, "%s: expected an ONNX model, found no graph", label);
    for (span s = c->graph; s.n;) {
        if (!take_field(&s, &f))
            return fail_broken(label, "a graph");
        c->n_initializers += is_message(&f, 5);
    }
    if (c->n_initializers > INITIALIZERS_MAX || c->n_meta > META_MAX)
        return LT_FAIL(LT_E_FORMAT, "%s: expected at most %d tensors and %d entries of metadata, found %zu and %zu",
                       label, INITIALIZERS_MAX, META_MAX, c->n_initializers, c->n_meta);
    return LT_OK;
}

// Text in the file's arena. Bytes 0 would end it early: such an entry is refused.
static lt_status copy_text(lt_tensor_file *file, span bytes, const char *label, const char **out)
{
    char *text = lti_arena_alloc(&file->arena, bytes.n + 1);
    if (!text)
        return LTI_NOMEM("metadata");
    if (bytes.n && memchr(bytes.at, 0, bytes.n))
        return LT_FAIL(LT_E_FORMAT, "%s: metadata: expected text, found a byte 0", label);
    if (bytes.n)
        memcpy(text, bytes.at, bytes.n);
    text[bytes.n] = 0;
    *out = text;
    return LT_OK;
}

static lt_status add_meta(lt_tensor_file *file, span entry, const char *label)
{
    field f;
    lt_meta meta = {"", ""};
    while (entry.n) {
        if (!take_field(&entry, &f))
            return fail_broken(label, "metadata");
        if (is_message(&f, 1))
            LT_TRY(copy_text(file, f.bytes, label, &meta.key));
        if (is_message(&f, 2))
            LT_TRY(copy_text(file, f.bytes, label, &meta.value));
    }
    if (lt_tensor_file_meta(file, meta.key))
        return LT_FAIL(LT_E_FORMAT, "%s: metadata: expected each key once, found '%.80s' twice", label, meta.key);
    file->meta[file->n_meta++] = meta;
    return LT_OK;
}

static lt_status read_model(lt_tensor_file *file, span model, span graph, const char *label)
{
    field f;
    while (graph.n && take_field(&graph, &f))
        if (is_message(&f, 5))
            LT_TRY(add_initializer(file, f.bytes, label));
    while (model.n && take_field(&model, &f))
        if (is_message(&f, 14))
            LT_TRY(add_meta(file, f.bytes, label));
    return LT_OK;
}

lt_status lt_onnx_parse(const void *bytes, size_t n, const char *label, lt_tensor_file **file)
{
    const span model = {bytes, n};
    contents c;
    lt_tensor_file *f;
    *file = NULL;
    LT_TRY(survey(model, label, &c));
    LT_TRY(lti_tensor_file_new(c.n_initializers, c.n_meta, &f));
    const lt_status status = read_model(f, model, c.graph, label);
    if (status == LT_OK)
        *file = f;
    else
        lt_tensor_file_close(f);
    return status;
}
