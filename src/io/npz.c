// npz.c - reader of NumPy .npz: a zip archive (libzip) of .npy members, stored or deflated.
//
// Sizes in the archive are claims: a member is measured against its shape before anything is allocated, and a
// compressed member cannot claim more than deflate can expand. Reading to the end makes libzip check the CRC.
#include "io/tensorfile_impl.h"
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zip.h>

enum { NPY_HEADER_MAX = 1 << 20, MEMBERS_MAX = 1 << 16, DEFLATE_MOST = 1100, NAME_MAX_BYTES = 4096 };
enum { EXPANSION_MOST = 100, EXPANSION_FREE_BYTES = 64 << 20 };

typedef struct npy {
    const lti_raw_type *type;
    bool fortran;
    int n_dims;
    int64_t dim[LT_FILE_MAX_DIMS];
    size_t n_elements;
} npy;

typedef struct reader {
    const char *label, *name; // file and member
    zip_file_t *member;
    uint64_t left; // bytes of the member not read yet
} reader;

static lt_status read_exact(reader *r, void *to, size_t n)
{
    if (n > r->left)
        return LT_FAIL(LT_E_FORMAT, "%s: %s: expected %zu more bytes, found %llu", r->label, r->name, n,
                       (unsigned long long)r->left);
    for (size_t got = 0; got < n;) {
        const zip_int64_t step = zip_fread(r->member, (char *)to + got, n - got);
        if (step <= 0)
            return LT_FAIL(LT_E_FORMAT, "%s: %s: expected %zu more bytes, found a broken archive (%s)", r->label,
                           r->name, n - got, step < 0 ? zip_file_strerror(r->member) : "it ends early");
        got += (size_t)step;
    }
    r->left -= n;
    return LT_OK;
}

// ---- the header: a Python dict literal {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }

static void skip_blanks(const char **p)
{
    *p += strspn(*p, " \t\n\r");
}

static bool accept_token(const char **p, const char *text)
{
    skip_blanks(p);
    const size_t n = strlen(text);
    if (strncmp(*p, text, n) != 0)
        return false;
    *p += n;
    return true;
}

// A quoted string without escapes, copied to out.
static bool accept_string(const char **p, char *out, size_t out_size)
{
    skip_blanks(p);
    const char quote = **p;
    if (quote != '\'' && quote != '"')
        return false;
    const char *end = strchr(*p + 1, quote);
    const size_t n = end ? (size_t)(end - *p - 1) : 0;
    if (!end || n >= out_size)
        return false;
    memcpy(out, *p + 1, n);
    out[n] = 0;
    *p = end + 1;
    return true;
}

static bool accept_dim(const char **p, int64_t *dim)
{
    skip_blanks(p);
    const size_t n = strspn(*p, "0123456789");
    *dim = 0;
    for (size_t i = 0; i < n; i++)
        if (__builtin_mul_overflow(*dim, 10, dim) || __builtin_add_overflow(*dim, (*p)[i] - '0', dim))
            return false;
    *p += n;
    accept_token(p, "L"); // written by Python 2
    return n > 0;
}

static lt_status bad_header(const reader *r, const char *want)
{
    return LT_FAIL(LT_E_FORMAT, "%s: %s: expected %s in the .npy header, found something else", r->label, r->name,
                   want);
}

static lt_status take_shape(const reader *r, const char **p, npy *a)
{
    bool open = accept_token(p, "(");
    a->n_dims = 0;
    while (open && !accept_token(p, ")")) {
        if (a->n_dims == LT_FILE_MAX_DIMS)
            return LT_FAIL(LT_E_FORMAT, "%s: %s: expected at most %d dimensions, found more", r->label, r->name,
                           (int)LT_FILE_MAX_DIMS);
        if (!accept_dim(p, &a->dim[a->n_dims++]) || (!accept_token(p, ",") && **p != ')'))
            open = false;
    }
    return open ? LT_OK : bad_header(r, "a shape such as (3, 4)");
}

static lt_status take_descr(const reader *r, const char **p, npy *a)
{
    char descr[16];
    if (!accept_string(p, descr, sizeof descr))
        return LT_FAIL(LT_E_FORMAT, "%s: %s: expected one element type such as '<f4', found a structure", r->label,
                       r->name);
    const bool order = strchr("<|=", descr[0]) && descr[0]; // '=' is the byte order of the machine: ours is little
    a->type = order ? lti_raw_by_npy(descr + 1) : NULL;
    if (!a->type)
        return LT_FAIL(LT_E_FORMAT, "%s: %s: expected a little-endian number type, found '%s'", r->label, r->name,
                       descr);
    return LT_OK;
}

static lt_status parse_dict(const reader *r, const char *p, npy *a)
{
    enum { DESCR = 1, ORDER = 2, SHAPE = 4 };
    unsigned seen = 0;
    char key[32];
    if (!accept_token(&p, "{"))
        return bad_header(r, "{");
    while (!accept_token(&p, "}")) {
        if (!accept_string(&p, key, sizeof key) || !accept_token(&p, ":"))
            return bad_header(r, "'key': value");
        if (!strcmp(key, "descr")) {
            seen |= DESCR;
            LT_TRY(take_descr(r, &p, a));
        } else if (!strcmp(key, "fortran_order")) {
            seen |= ORDER;
            a->fortran = accept_token(&p, "True");
            if (!a->fortran && !accept_token(&p, "False"))
                return bad_header(r, "True or False");
        } else if (!strcmp(key, "shape")) {
            seen |= SHAPE;
            LT_TRY(take_shape(r, &p, a));
        } else {
            return bad_header(r, "descr, fortran_order or shape");
        }
        skip_blanks(&p);
        if (!accept_token(&p, ",") && *p != '}')
            return bad_header(r, "a comma");
    }
    skip_blanks(&p);
    return *p == 0 && seen == (DESCR | ORDER | SHAPE) ? LT_OK
                                                      : bad_header(r, "descr, fortran_order and shape, nothing else");
}

static lt_status read_npy_header(reader *r, npy *a)
{
    unsigned char magic[8], length[4] = {0};
    LT_TRY(read_exact(r, magic, sizeof magic));
    if (memcmp(magic, "\x93NUMPY", 6) != 0)
        return LT_FAIL(LT_E_FORMAT, "%s: %s: expected a .npy array, found something else", r->label, r->name);
    if (magic[6] < 1 || magic[6] > 3)
        return LT_FAIL(LT_E_FORMAT, "%s: %s: expected .npy version 1 to 3, found %d", r->label, r->name, magic[6]);
    LT_TRY(read_exact(r, length, magic[6] == 1 ? 2 : 4));
    uint32_t n;
    memcpy(&n, length, sizeof n);
    if (n > NPY_HEADER_MAX || n > r->left)
        return LT_FAIL(LT_E_FORMAT, "%s: %s: expected a header within the member, found a length of %u", r->label,
                       r->name, (unsigned)n);
    char *text = lti_malloc((size_t)n + 1);
    if (!text)
        return LTI_NOMEM(r->label);
    lt_status status = read_exact(r, text, n);
    text[n] = 0;
    if (status == LT_OK)
        status = strlen(text) == n ? parse_dict(r, text, a) : bad_header(r, "no zero bytes");
    lti_free(text);
    return status;
}

// Column-major elements to row-major: counts through the target in order and keeps the source offset alongside.
static void to_row_major(const npy *a, const unsigned char *from, unsigned char *to)
{
    const size_t size = a->type->size;
    size_t stride[LT_FILE_MAX_DIMS] = {0}, offset = 0, n = size;
    int64_t at[LT_FILE_MAX_DIMS] = {0};
    for (int d = 0; d < a->n_dims; d++) {
        stride[d] = n;
        n *= (size_t)a->dim[d];
    }
    for (size_t i = 0; i < a->n_elements; i++, to += size) {
        memcpy(to, from + offset, size);
        for (int d = a->n_dims - 1; d >= 0; d--) {
            offset += stride[d];
            if (++at[d] < a->dim[d])
                break;
            offset -= stride[d] * (size_t)a->dim[d];
            at[d] = 0;
        }
    }
}

// Reads the elements into t->data; conversions and transposition go through a second buffer.
static lt_status read_elements(reader *r, const npy *a, lt_tensor *t)
{
    const size_t bytes = (size_t)r->left;
    const bool transpose = a->fortran && a->n_dims > 1;
    if (a->type->widen == LTI_AS_IS && !transpose)
        return read_exact(r, t->data, bytes);
    unsigned char *raw = lti_malloc(bytes), *ordered = transpose ? lti_malloc(bytes) : NULL;
    lt_status status = raw && (ordered || !transpose) ? read_exact(r, raw, bytes) : LTI_NOMEM(r->label);
    if (status == LT_OK) {
        if (transpose)
            to_row_major(a, raw, ordered);
        status = lti_raw_convert(a->type, transpose ? ordered : raw, a->n_elements, t->data, r->label, t->name);
    }
    lti_free(raw);
    lti_free(ordered);
    return status;
}

static lt_status read_member(reader *r, const char *name, lt_tensor_file *file)
{
    npy a = {0};
    size_t bytes;
    lt_tensor *t;
    char byte;
    LT_TRY(read_npy_header(r, &a));
    if (lti_dims_product(a.n_dims, a.dim, &a.n_elements) || lti_mul_size(a.n_elements, a.type->size, &bytes))
        return LT_FAIL(LT_E_FORMAT, "%s: %s: expected a shape that fits in memory, found an overflow", r->label,
                       r->name);
    if (bytes != r->left)
        return LT_FAIL(LT_E_FORMAT, "%s: %s: expected %zu bytes for its shape, found %llu", r->label, r->name, bytes,
                       (unsigned long long)r->left);
    LT_TRY(lti_tensor_file_add(file, name, a.type, a.n_dims, a.dim, a.n_elements, &t));
    LT_TRY(read_elements(r, &a, t));
    if (zip_fread(r->member, &byte, 1) != 0) // the end, where the CRC is compared
        return LT_FAIL(LT_E_FORMAT, "%s: %s: expected intact data, found a broken archive (%s)", r->label, r->name,
                       zip_file_strerror(r->member));
    return LT_OK;
}

static lt_status open_member(zip_t *zip, zip_uint64_t i, const char *label, lt_tensor_file *file)
{
    zip_stat_t st;
    char name[NAME_MAX_BYTES];
    if (zip_stat_index(zip, i, 0, &st) != 0 || !(st.valid & ZIP_STAT_NAME) || !(st.valid & ZIP_STAT_SIZE) ||
        !(st.valid & ZIP_STAT_COMP_SIZE))
        return LT_FAIL(LT_E_FORMAT, "%s: expected a list of arrays, found a broken archive (%s)", label,
                       zip_strerror(zip));
    const size_t n = strlen(st.name);
    if (n < 5 || n >= sizeof name || strcmp(st.name + n - 4, ".npy") != 0) {
        return LT_FAIL(LT_E_FORMAT, "%s: expected only .npy members, found '%.200s'", label, st.name);
    }
    if (st.comp_size < st.size / DEFLATE_MOST)
        return LT_FAIL(LT_E_FORMAT, "%s: %s: expected at most %d-fold compression, found %llu bytes from %llu", label,
                       st.name, DEFLATE_MOST, (unsigned long long)st.size, (unsigned long long)st.comp_size);
    memcpy(name, st.name, n - 4);
    name[n - 4] = 0;
    if (lt_tensor_file_find(file, name))
        return LT_FAIL(LT_E_FORMAT, "%s: expected each array once, found '%s' twice", label, name);
    reader r = {.label = label, .name = st.name, .left = st.size, .member = zip_fopen_index(zip, i, 0)};
    if (!r.member)
        return LT_FAIL(LT_E_FORMAT, "%s: %s: cannot be opened: %s", label, st.name, zip_strerror(zip));
    lt_status status = read_member(&r, name, file);
    zip_fclose(r.member);
    return status;
}

// All members together may not claim more than numbers plausibly expand to, nor than this machine could hold: a file of
// 4 MB must not ask for 4 GB. Small archives may hold constant arrays, which deflate compresses a thousandfold.
static lt_status check_expansion(zip_t *zip, zip_int64_t n, const char *label)
{
    uint64_t size = 0, packed = 0;
    for (zip_int64_t i = 0; i < n; i++) {
        zip_stat_t st;
        if (zip_stat_index(zip, (zip_uint64_t)i, 0, &st) != 0 || !(st.valid & ZIP_STAT_SIZE) ||
            !(st.valid & ZIP_STAT_COMP_SIZE) || __builtin_add_overflow(size, st.size, &size) ||
            __builtin_add_overflow(packed, st.comp_size, &packed))
            return LT_FAIL(LT_E_FORMAT, "%s: expected a list of arrays, found a broken archive (%s)", label,
                           zip_strerror(zip));
    }
    if (size > EXPANSION_FREE_BYTES && size / EXPANSION_MOST > packed) {
        LT_FAIL(LT_E_FORMAT,
                "%s: expected arrays of at most %d times their compressed size, found %llu MiB from %.1f MiB", label,
                EXPANSION_MOST, (unsigned long long)(size >> 20), (double)packed / (1 << 20));
        return lt_error_hint("write the file with np.savez, uncompressed, if it really holds that much");
    }
    const long pages = sysconf(_SC_PHYS_PAGES), page_bytes = sysconf(_SC_PAGESIZE);
    if (pages > 0 && page_bytes > 0 && size / (uint64_t)page_bytes > (uint64_t)pages)
        return LT_FAIL(LT_E_NOMEM, "%s: its arrays take %llu MiB, this machine has %llu MiB of memory", label,
                       (unsigned long long)(size >> 20),
                       (unsigned long long)((uint64_t)pages * (uint64_t)page_bytes >> 20));
    return LT_OK;
}

static lt_status read_members(zip_t *zip, const char *label, lt_tensor_file **file)
{
    lt_tensor_file *f = NULL;
    const zip_int64_t n = zip_get_num_entries(zip, 0);
    lt_status status = n >= 0 && n <= MEMBERS_MAX ? lti_tensor_file_new((size_t)n, 0, &f)
                                                  : LT_FAIL(LT_E_FORMAT, "%s: expected at most %d arrays, found %lld",
                                                            label, MEMBERS_MAX, (long long)n);
    if (status == LT_OK)
        status = check_expansion(zip, n, label);
    for (zip_int64_t i = 0; i < n && status == LT_OK; i++)
        status = open_member(zip, (zip_uint64_t)i, label, f);
    if (status != LT_OK) {
        lt_tensor_file_close(f);
        return status;
    }
    *file = f;
    return LT_OK;
}

// Takes over `source`, which has n_bytes.
static lt_status read_archive(zip_source_t *source, size_t n_bytes, const char *label, lt_tensor_file **file)
{
    char prefix[NAME_MAX_BYTES];
    zip_error_t error;
    zip_error_init(&error);
    errno = 0; // for want of memory libzip may say that this is no archive
    zip_t *zip = zip_open_from_source(source, ZIP_RDONLY, &error);
    if (!zip) {
        const bool memory = errno == ENOMEM || zip_error_code_zip(&error) == ZIP_ER_MEMORY;
        zip_source_free(source);
        lt_status status =
            memory ? LTI_NOMEM(label)
                   : LT_FAIL(LT_E_FORMAT,
                             "%s: expected an .npz archive or a PyTorch checkpoint, found one that cannot be read: %s",
                             label, zip_error_strerror(&error));
        zip_error_fini(&error);
        return status;
    }
    zip_error_fini(&error);
    lt_status status = lti_torch_zip_prefix(zip, prefix, 200) ? lti_torch_zip_read(zip, prefix, n_bytes, label, file)
                                                              : read_members(zip, label, file);
    zip_discard(zip);
    return status;
}

lt_status lti_npz_open(const char *path, lt_tensor_file **file)
{
    *file = NULL;
    struct stat st;
    if (stat(path, &st) != 0)
        return lti_errno_fail("read", path);
    zip_source_t *source = zip_source_file_create(path, 0, -1, NULL);
    return source ? read_archive(source, (size_t)st.st_size, path, file) : LTI_NOMEM(path);
}

lt_status lt_npz_parse(const void *bytes, size_t n, const char *label, lt_tensor_file **file)
{
    *file = NULL;
    if (n == 0) // which libzip takes for an archive without members
        return LT_FAIL(LT_E_FORMAT, "%s: expected an .npz archive, found nothing", label);
    zip_source_t *source = zip_source_buffer_create(bytes, n, 0, NULL);
    return source ? read_archive(source, n, label, file) : LTI_NOMEM(label);
}
