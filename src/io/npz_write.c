// npz_write.c - writer of NumPy .npz files: stored .npy members in a zip archive.
//
// Written here rather than by libzip: the format of stored members is small, the file goes through our atomic writer
// (fsync, full disk reported at the right place), and fixed time stamps make equal content equal bytes. Members of
// 4 GiB and more use the 64-bit records, as NumPy itself does.
#include "io/tensorfile_impl.h"
#include <string.h>
#include <zlib.h>

enum { DOS_DATE_1980_01_01 = 33, VERSION_PLAIN = 20, VERSION_64 = 45, NPY_ALIGN = 64 };

static void put(lti_buf *b, uint64_t value, int n_bytes) // little endian
{
    for (int i = 0; i < n_bytes; i++) {
        const char byte = (char)(value >> 8 * i & 255);
        lti_buf_add(b, &byte, 1);
    }
}

typedef struct placed {
    uint64_t offset, size;
    uint32_t crc;
} placed;

static uint64_t cap32(uint64_t value, bool big)
{
    return big ? 0xffffffffu : value;
}

// The fields that local and central headers share: from the needed version to the extra length.
static void put_common(lti_buf *b, const lti_zip_part *part, const placed *at, bool big, size_t extra_bytes)
{
    put(b, big ? VERSION_64 : VERSION_PLAIN, 2);
    put(b, 0x0800, 2); // names are UTF-8
    put(b, 0, 2);      // stored
    put(b, 0, 2);
    put(b, DOS_DATE_1980_01_01, 2);
    put(b, at->crc, 4);
    put(b, cap32(at->size, big), 4);
    put(b, cap32(at->size, big), 4);
    put(b, strlen(part->name), 2);
    put(b, extra_bytes, 2);
}

static void put_local(lti_buf *b, const lti_zip_part *part, const placed *at, bool big)
{
    put(b, 0x04034b50, 4);
    put_common(b, part, at, big, big ? 20 : 0);
    lti_buf_puts(b, part->name);
    if (big) {
        put(b, 1, 2);
        put(b, 16, 2);
        put(b, at->size, 8);
        put(b, at->size, 8);
    }
}

static void put_central(lti_buf *b, const lti_zip_part *part, const placed *at, bool big)
{
    put(b, 0x02014b50, 4);
    put(b, big ? VERSION_64 : VERSION_PLAIN, 2); // made by
    put_common(b, part, at, big, big ? 28 : 0);
    put(b, 0, 2); // comment
    put(b, 0, 2); // disk
    put(b, 0, 2);
    put(b, 0, 4);
    put(b, cap32(at->offset, big), 4);
    lti_buf_puts(b, part->name);
    if (big) {
        put(b, 1, 2);
        put(b, 24, 2);
        put(b, at->size, 8);
        put(b, at->size, 8);
        put(b, at->offset, 8);
    }
}

static void put_end(lti_buf *b, uint64_t n, uint64_t directory, uint64_t directory_bytes, bool big)
{
    if (big) {
        put(b, 0x06064b50, 4);
        put(b, 44, 8);
        put(b, VERSION_64, 2);
        put(b, VERSION_64, 2);
        put(b, 0, 4);
        put(b, 0, 4);
        put(b, n, 8);
        put(b, n, 8);
        put(b, directory_bytes, 8);
        put(b, directory, 8);
        put(b, 0x07064b50, 4); // where that record is
        put(b, 0, 4);
        put(b, directory + directory_bytes, 8);
        put(b, 1, 4);
    }
    put(b, 0x06054b50, 4);
    put(b, 0, 2);
    put(b, 0, 2);
    put(b, big ? 0xffff : n, 2);
    put(b, big ? 0xffff : n, 2);
    put(b, cap32(directory_bytes, big), 4);
    put(b, cap32(directory, big), 4);
    put(b, 0, 2);
}

// Writes what is in b and empties it; *offset moves along.
static lt_status flush(lti_writer *w, lti_buf *b, uint64_t *offset)
{
    if (b->failed)
        return LTI_NOMEM(w->path);
    LT_TRY(lti_writer_add(w, b->data, b->n));
    *offset += b->n;
    b->n = 0;
    return LT_OK;
}

static lt_status write_members(lti_writer *w, const lti_zip_part *part, size_t n, placed *at, uint64_t zip64_from)
{
    lti_buf b = {0};
    lt_status status = LT_OK;
    uint64_t offset = 0;
    bool any_big = n >= 0xffff;
    for (size_t i = 0; i < n; i++) {
        const lti_zip_part *p = &part[i];
        at[i] = (placed){.offset = offset, .size = p->head_bytes + p->body_bytes};
        uLong crc = crc32_z(crc32_z(0, NULL, 0), p->head, p->head_bytes);
        at[i].crc = (uint32_t)(p->body_bytes ? crc32_z(crc, p->body, p->body_bytes) : crc);
        put_local(&b, p, &at[i], at[i].size >= zip64_from);
        LT_TRY_GOTO(flush(w, &b, &offset), done);
        LT_TRY_GOTO(lti_writer_add(w, p->head, p->head_bytes), done);
        LT_TRY_GOTO(lti_writer_add(w, p->body, p->body_bytes), done);
        offset += at[i].size;
    }
    const uint64_t directory = offset;
    for (size_t i = 0; i < n; i++) {
        const bool big = at[i].size >= zip64_from || at[i].offset >= zip64_from;
        any_big |= big;
        put_central(&b, &part[i], &at[i], big);
    }
    const uint64_t directory_bytes = b.n;
    put_end(&b, n, directory, directory_bytes, any_big || directory >= zip64_from);
    status = flush(w, &b, &offset);
done:
    lti_buf_clear(&b);
    return status;
}

lt_status lti_zip_write(const char *path, const lti_zip_part *part, size_t n, uint64_t zip64_from)
{
    for (size_t i = 0; i < n; i++)
        if (strlen(part[i].name) > 0xffff)
            return LT_FAIL(LT_E_UNSUPPORTED, "cannot write %s: expected names up to 65535 bytes, found a longer one",
                           path);
    placed *at = lti_calloc(n, sizeof *at);
    if (!at)
        return LTI_NOMEM(path);
    lti_writer w = {.fd = -1};
    lt_status status;
    LT_TRY_GOTO(lti_writer_open(path, &w), done);
    LT_TRY_GOTO(write_members(&w, part, n, at, zip64_from), done);
    LT_TRY_GOTO(lti_writer_commit(&w), done);
done:
    lti_writer_abort(&w);
    lti_free(at);
    return status;
}

// Magic, version 1.0, header length, dict, blanks and a newline, in all a multiple of 64 as NumPy writes it.
static lt_status make_npy_header(const char *path, const lt_tensor *t, lti_buf *b)
{
    const lti_raw_type *type = lti_raw_of(t->dtype);
    if (!type->npy)
        return LT_FAIL(LT_E_UNSUPPORTED, "cannot write %s: array '%s': .npy has no type for %s", path, t->name,
                       type->safetensors);
    lti_buf dict = {0};
    lti_buf_printf(&dict, "{'descr': '%s%s', 'fortran_order': False, 'shape': (", type->size == 1 ? "|" : "<",
                   type->npy);
    for (int i = 0; i < t->n_dims; i++)
        lti_buf_printf(&dict, "%s%lld", i ? ", " : "", (long long)t->dim[i]);
    lti_buf_puts(&dict, t->n_dims == 1 ? ",), }" : "), }"); // a tuple of one needs its comma
    while (!dict.failed && (10 + dict.n + 1) % NPY_ALIGN)
        lti_buf_puts(&dict, " ");
    lti_buf_puts(&dict, "\n");
    lti_buf_add(b, "\x93NUMPY\1\0", 8);
    put(b, dict.n, 2);
    if (!dict.failed)
        lti_buf_add(b, dict.data, dict.n);
    const bool failed = dict.failed || b->failed;
    lti_buf_clear(&dict);
    return failed ? LTI_NOMEM(path) : LT_OK;
}

lt_status lt_npz_write(const char *path, const lt_tensor *tensors, int n)
{
    LT_TRY(lti_tensors_check(path, tensors, n));
    lt_status status = LT_OK;
    lti_zip_part *part = lti_calloc((size_t)n, sizeof *part);
    lti_buf *head = lti_calloc((size_t)n, sizeof *head);
    char **name = lti_calloc((size_t)n, sizeof *name);
    if (!part || !head || !name)
        status = LTI_NOMEM(path);
    for (int i = 0; i < n && status == LT_OK; i++) {
        const lt_tensor *t = &tensors[i];
        status = make_npy_header(path, t, &head[i]);
        name[i] = lti_asprintf("%s.npy", t->name);
        if (status == LT_OK && !name[i])
            status = LTI_NOMEM(path);
        part[i] = (lti_zip_part){name[i], head[i].data, t->data, head[i].n, t->n_bytes};
    }
    if (status == LT_OK)
        status = lti_zip_write(path, part, (size_t)n, 0xffffffffu);
    for (int i = 0; i < n && head && name; i++) {
        lti_buf_clear(&head[i]);
        lti_free(name[i]);
    }
    lti_free(part);
    lti_free(head);
    lti_free(name);
    return status;
}
