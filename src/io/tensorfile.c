// tensorfile.c - what all tensor files share: the list of tensors, element types, opening by content, digests.
#include "io/onnx.h"
#include "io/tensorfile_impl.h"
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "both formats are little endian and are copied as they are");

enum { DIGEST_CHUNK = 1 << 16 };
#define MAX_FILE_BYTES ((size_t)1 << 40)

static const lti_raw_type raw_types[] = {
    {"F32", "f4", 4, LT_F32, 4, LTI_AS_IS}, {"F64", "f8", 8, LT_F64, 8, LTI_AS_IS},
    {"I32", "i4", 4, LT_I32, 4, LTI_AS_IS}, {"I64", "i8", 8, LT_I64, 8, LTI_AS_IS},
    {"U8", "u1", 1, LT_U8, 1, LTI_AS_IS},   {"I8", "i1", 1, LT_I8, 1, LTI_AS_IS},
    {"F16", "f2", 2, LT_F32, 4, LTI_HALF},  {"BF16", NULL, 2, LT_F32, 4, LTI_BFLOAT},
    {"I16", "i2", 2, LT_I32, 4, LTI_I16},   {"U16", "u2", 2, LT_I32, 4, LTI_U16},
    {"U32", "u4", 4, LT_I64, 8, LTI_U32},   {"U64", "u8", 8, LT_I64, 8, LTI_U64},
    {"BOOL", "b1", 1, LT_U8, 1, LTI_BOOL},
};
static const lti_raw_type raw_bf16 = {"BF16", NULL, 2, LT_BF16, 2, LTI_AS_IS}; // as written
enum { N_RAW_TYPES = sizeof raw_types / sizeof *raw_types };

const lti_raw_type *lti_raw_by_safetensors(const char *name)
{
    for (int i = 0; i < N_RAW_TYPES; i++)
        if (!strcmp(raw_types[i].safetensors, name))
            return &raw_types[i];
    return NULL;
}

const lti_raw_type *lti_raw_by_npy(const char *name)
{
    for (int i = 0; i < N_RAW_TYPES; i++)
        if (raw_types[i].npy && !strcmp(raw_types[i].npy, name))
            return &raw_types[i];
    return NULL;
}

const lti_raw_type *lti_raw_of(lt_dtype dtype)
{
    if (dtype == LT_BF16)
        return &raw_bf16;
    for (int i = 0; i < N_RAW_TYPES; i++)
        if (raw_types[i].dtype == dtype && raw_types[i].widen == LTI_AS_IS)
            return &raw_types[i];
    LT_BUG("dtype %d", (int)dtype);
}

// IEEE 754 binary16 to float: exact.
static float half_to_float(uint16_t h)
{
    const int exponent = h >> 10 & 31, mantissa = h & 1023;
    float magnitude;
    if (exponent == 31)
        magnitude = mantissa ? NAN : INFINITY;
    else if (exponent == 0)
        magnitude = (float)mantissa * 0x1p-24f; // zero and subnormals
    else
        magnitude = ldexpf((float)(1024 + mantissa), exponent - 25);
    return h & 0x8000 ? -magnitude : magnitude;
}

lt_status lti_raw_convert(const lti_raw_type *type, const unsigned char *from, size_t n, void *to, const char *label,
                          const char *name)
{
    if (type->widen == LTI_AS_IS) {
        if (n)
            memcpy(to, from, n * type->size);
        return LT_OK;
    }
    for (size_t i = 0; i < n; i++, from += type->size) {
        uint64_t bits = 0;
        memcpy(&bits, from, type->size);
        switch (type->widen) {
        case LTI_HALF:
            ((float *)to)[i] = half_to_float((uint16_t)bits);
            break;
        case LTI_BFLOAT: {
            const uint32_t word = (uint32_t)bits << 16;
            memcpy((float *)to + i, &word, sizeof word);
            break;
        }
        case LTI_I16:
            ((int32_t *)to)[i] = (int32_t)bits - (bits & 0x8000 ? 0x10000 : 0);
            break;
        case LTI_U16:
            ((int32_t *)to)[i] = (int32_t)bits;
            break;
        case LTI_U64:
            if (bits > INT64_MAX)
                return LT_FAIL(LT_E_FORMAT, "%s: tensor '%s': expected values up to 2^63-1, found %llu", label, name,
                               (unsigned long long)bits);
            // fall through
        case LTI_U32:
            ((int64_t *)to)[i] = (int64_t)bits;
            break;
        case LTI_BOOL:
            ((uint8_t *)to)[i] = bits != 0;
            break;
        case LTI_AS_IS:
            break;
        }
    }
    return LT_OK;
}

bool lti_dims_product(int n_dims, const int64_t *dim, size_t *n)
{
    // A zero dimension makes the product 0, but the others must still be sane: multiply them all first.
    size_t product = 1;
    bool zero = false;
    for (int i = 0; i < n_dims; i++) {
        if (dim[i] < 0 || (dim[i] > 0 && lti_mul_size(product, (size_t)dim[i], &product)))
            return true;
        zero |= dim[i] == 0;
    }
    *n = zero ? 0 : product;
    return false;
}

lt_status lti_tensor_file_new(size_t n_tensors, size_t n_meta, lt_tensor_file **file)
{
    lt_tensor_file *f = lti_calloc(1, sizeof *f);
    if (!f)
        return LTI_NOMEM("tensor file");
    *f = (lt_tensor_file){.tensor = lti_calloc(n_tensors, sizeof *f->tensor),
                          .owned = lti_calloc(n_tensors, sizeof *f->owned),
                          .stored = lti_calloc(n_tensors, sizeof *f->stored),
                          .meta = lti_calloc(n_meta, sizeof *f->meta)};
    if (!f->tensor || !f->owned || !f->stored || !f->meta) {
        lt_tensor_file_close(f);
        return LTI_NOMEM("tensor file");
    }
    *file = f;
    return LT_OK;
}

lt_status lti_tensor_file_add(lt_tensor_file *file, const char *name, const lti_raw_type *type, int n_dims,
                              const int64_t *dim, size_t n_elements, lt_tensor **tensor)
{
    lt_tensor *t = &file->tensor[file->n_tensors];
    size_t n_bytes;
    *t = (lt_tensor){.name = lti_arena_strdup(&file->arena, name), .dtype = type->dtype, .n_dims = n_dims};
    for (int i = 0; i < n_dims; i++)
        t->dim[i] = dim[i];
    if (!t->name || lti_mul_size(n_elements, type->memory_size, &n_bytes) ||
        !(t->data = lti_aligned_alloc(64, n_bytes)))
        return LTI_NOMEM(name);
    t->n_bytes = n_bytes;
    file->stored[file->n_tensors] = type->safetensors;
    file->owned[file->n_tensors++] = true;
    *tensor = t;
    return LT_OK;
}

lt_status lti_tensors_check(const char *path, const lt_tensor *tensors, int n)
{
    for (int i = 0; i < n; i++) {
        const lt_tensor *t = &tensors[i];
        size_t count;
        if (!t->name || t->n_dims < 0 || t->n_dims > LT_FILE_MAX_DIMS || lti_dims_product(t->n_dims, t->dim, &count) ||
            lti_mul_size(count, lti_raw_of(t->dtype)->memory_size, &count) || count != t->n_bytes)
            return LT_FAIL(LT_E_SHAPE, "cannot write %s: tensor '%s': expected a shape of %zu bytes, found another",
                           path, t->name ? t->name : "(no name)", t->n_bytes);
        for (int j = 0; j < i; j++)
            if (!strcmp(tensors[j].name, t->name))
                return LT_FAIL(LT_E_FORMAT, "cannot write %s: expected each tensor once, found '%s' twice", path,
                               t->name);
    }
    return LT_OK;
}

void lt_tensor_file_close(lt_tensor_file *file)
{
    if (!file)
        return;
    for (int i = 0; i < file->n_tensors; i++)
        if (file->owned[i])
            lti_free(file->tensor[i].data);
    lti_arena_clear(&file->arena);
    lti_free(file->tensor);
    lti_free(file->owned);
    lti_free(file->stored);
    lti_free(file->meta);
    if (file->map_bytes)
        munmap(file->bytes, file->map_bytes);
    else
        lti_free(file->bytes);
    lti_free(file);
}

const char *lt_tensor_file_stored_type(const lt_tensor_file *file, int i)
{
    return file->stored[i];
}

int lt_tensor_file_count(const lt_tensor_file *file)
{
    return file->n_tensors;
}

const lt_tensor *lt_tensor_file_at(const lt_tensor_file *file, int i)
{
    return i >= 0 && i < file->n_tensors ? &file->tensor[i] : NULL;
}

const lt_tensor *lt_tensor_file_find(const lt_tensor_file *file, const char *name)
{
    for (int i = 0; i < file->n_tensors; i++)
        if (!strcmp(file->tensor[i].name, name))
            return &file->tensor[i];
    return NULL;
}

const char *lt_tensor_file_meta(const lt_tensor_file *file, const char *key)
{
    for (int i = 0; i < file->n_meta; i++)
        if (!strcmp(file->meta[i].key, key))
            return file->meta[i].value;
    return NULL;
}

int lt_tensor_file_n_meta(const lt_tensor_file *file)
{
    return file->n_meta;
}

lt_meta lt_tensor_file_meta_at(const lt_tensor_file *file, int i)
{
    return i >= 0 && i < file->n_meta ? file->meta[i] : (lt_meta){0};
}

static lt_status open_for_reading(const char *path, int *fd)
{
    *fd = open(path, O_RDONLY | O_CLOEXEC);
    return *fd >= 0 ? LT_OK : lti_errno_fail("read", path);
}

// Up to `want` bytes; fewer only at the end of the file.
static lt_status read_some(int fd, const char *path, unsigned char *to, size_t want, size_t *got)
{
    for (*got = 0; *got < want;) {
        const ssize_t n = read(fd, to + *got, want - *got);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return lti_errno_fail("read", path);
        if (n == 0)
            break;
        *got += (size_t)n;
    }
    return LT_OK;
}

lt_status lt_safetensors_map(const char *path, lt_tensor_file **file)
{
    struct stat st;
    int fd;
    *file = NULL;
    LT_TRY(lti_need_regular(path));
    LT_TRY(open_for_reading(path, &fd));
    lt_status status = fstat(fd, &st) == 0 ? LT_OK : lti_errno_fail("read", path);
    const size_t n = (size_t)st.st_size;
    void *bytes = status == LT_OK && n > 0 ? mmap(NULL, n, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
    close(fd);
    if (status == LT_OK && n == 0)
        status = LT_FAIL(LT_E_FORMAT, "%s: expected a safetensors file, found an empty one", path);
    else if (status == LT_OK && bytes == MAP_FAILED)
        status = lti_errno_fail("map", path);
    LT_TRY(status);
    status = lti_safetensors_parse(bytes, n, true, path, file);
    if (status == LT_OK)
        (*file)->map_bytes = n;
    else
        munmap(bytes, n);
    return status;
}

lt_status lt_tensor_file_open(const char *path, lt_tensor_file **file)
{
    unsigned char head[264] = {0};
    size_t n;
    int fd;
    *file = NULL;
    LT_TRY(lti_need_regular(path)); // a pipe cannot be read twice, and /dev/zero has no end
    LT_TRY(open_for_reading(path, &fd));
    lt_status status = read_some(fd, path, head, sizeof head, &n);
    close(fd);
    LT_TRY(status);
    if (!memcmp(head, "PK\3\4", 4) || !memcmp(head, "PK\5\6", 4))
        return lti_npz_open(path, file);
    if (!memcmp(head, "\x93NUMPY", 6)) {
        LT_FAIL(LT_E_FORMAT, "%s: expected safetensors or .npz, found a single .npy array", path);
        return lt_error_hint("save it with numpy.savez, which names its arrays");
    }
    if (!memcmp(head + 257, "ustar", 5))
        return LT_FAIL(LT_E_FORMAT, "%s: expected a checkpoint, found a tar archive: unpack it first", path);
    if (lti_ends_with(path, ".npz"))
        return LT_FAIL(LT_E_FORMAT, "%s: expected an .npz archive, found %s", path,
                       n ? "other bytes" : "an empty file");
    const bool is_onnx = lti_onnx_begins(head, n < sizeof head ? n : sizeof head);
    if (!is_onnx && lti_ends_with(path, ".onnx"))
        return LT_FAIL(LT_E_FORMAT, "%s: expected an ONNX model, found %s", path, n ? "other bytes" : "an empty file");
    char *bytes;
    LT_TRY(lt_read_file(path, MAX_FILE_BYTES, &bytes, &n));
    if (lti_torch_stream(head, n < sizeof head ? n : sizeof head)) {
        status = lt_torch_stream_parse(bytes, n, path, file);
        lti_free(bytes);
        return status;
    }
    if (is_onnx) {
        status = lt_onnx_parse(bytes, n, path, file);
        lti_free(bytes);
        return status;
    }
    if (n > 1 && head[0] == 0x80 && head[1] >= 2 && head[1] <= 5 && (n < 9 || head[8] != '{')) {
        lti_free(bytes);
        LT_FAIL(LT_E_FORMAT, "%s: expected a file written by torch.save, found another pickle", path);
        return lt_error_hint("save the state_dict of the model: torch.save(model.state_dict(), FILE)");
    }
    status = lti_safetensors_parse(bytes, n, true, path, file);
    if (status != LT_OK)
        lti_free(bytes);
    return status;
}

lt_status lt_file_digest(const char *path, char out[65])
{
    int fd;
    size_t n = 1;
    lti_hash hash;
    lt_status status = LT_OK;
    LT_TRY(open_for_reading(path, &fd));
    unsigned char *chunk = lti_malloc(DIGEST_CHUNK);
    if (!chunk)
        status = LTI_NOMEM(path);
    lti_hash_init(&hash);
    while (status == LT_OK && n) {
        status = read_some(fd, path, chunk, DIGEST_CHUNK, &n);
        if (status == LT_OK)
            lti_hash_add(&hash, chunk, n);
    }
    close(fd);
    lti_free(chunk);
    if (status == LT_OK)
        lti_hash_hex(&hash, out);
    return status;
}
