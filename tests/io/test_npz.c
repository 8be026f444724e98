// NumPy archives: what our writer makes is read by libzip, what others may feed us is refused in words.
#include "lt_test.h"
#include "base/base.h"
#include "io/tensorfile_impl.h"
#include <stdlib.h>
#include <unistd.h>
#include <zip.h>

static char path[] = "/tmp/lethe-npz-XXXXXX";

static void round_trip(void **state)
{
    (void)state;
    float logits[6] = {1, 2, 3, 4, 5, 6};
    int64_t labels[3] = {0, 1, -1};
    int8_t group[3] = {0, 1, 2};
    double scalar[1] = {0.5};
    const lt_tensor t[] = {{"logits", LT_F32, 2, {3, 2}, logits, sizeof logits},
                           {"labels", LT_I64, 1, {3}, labels, sizeof labels},
                           {"group", LT_I8, 1, {3}, group, sizeof group},
                           {"scalar", LT_F64, 0, {0}, scalar, sizeof scalar},
                           {"nothing", LT_U8, 3, {2, 0, 5}, NULL, 0}};
    char digest[65], again[65];
    assert_ok(lt_npz_write(path, t, 5));
    assert_ok(lt_file_digest(path, digest));
    lt_tensor_file *f;
    assert_ok(lt_tensor_file_open(path, &f));
    assert_int_equal(lt_tensor_file_count(f), 5);
    for (int i = 0; i < 5; i++) {
        const lt_tensor *r = lt_tensor_file_at(f, i);
        assert_string_equal(r->name, t[i].name);
        assert_int_equal(r->dtype, t[i].dtype);
        assert_int_equal(r->n_dims, t[i].n_dims);
        assert_memory_equal(r->dim, t[i].dim, (size_t)t[i].n_dims * sizeof *r->dim);
        assert_int_equal(r->n_bytes, t[i].n_bytes);
        if (r->n_bytes)
            assert_memory_equal(r->data, t[i].data, r->n_bytes);
    }
    assert_int_equal(lt_tensor_file_n_meta(f), 0);
    lt_tensor_file_close(f);
    assert_ok(lt_npz_write(path, t, 5));
    assert_ok(lt_file_digest(path, again));
    assert_string_equal(digest, again);
    // libzip's consistency check compares local and central headers and every CRC position.
    zip_t *zip = zip_open(path, ZIP_RDONLY | ZIP_CHECKCONS, NULL);
    assert_non_null(zip);
    assert_int_equal(zip_get_num_entries(zip, 0), 5);
    zip_discard(zip);
    assert_ok(lt_npz_write(path, NULL, 0));
    assert_ok(lt_tensor_file_open(path, &f));
    assert_int_equal(lt_tensor_file_count(f), 0);
    lt_tensor_file_close(f);
}

// The 64-bit records, made to appear at small sizes.
static void zip64(void **state)
{
    (void)state;
    char big[3000];
    memset(big, 'b', sizeof big);
    const lti_zip_part part[] = {
        {"small", "ab", "cd", 2, 2}, {"big", "head", big, 4, sizeof big}, {"after", "xyz", NULL, 3, 0}};
    const char *const content[] = {"abcd", "headbb", "xyz"};
    const size_t size[] = {4, 3004, 3};
    const uint64_t from[] = {0xffffffff, 1000, 0}; // none, one and all of them large
    for (int k = 0; k < 3; k++) {
        assert_ok(lti_zip_write(path, part, 3, from[k]));
        zip_t *zip = zip_open(path, ZIP_RDONLY | ZIP_CHECKCONS, NULL);
        assert_non_null(zip);
        assert_int_equal(zip_get_num_entries(zip, 0), 3);
        for (zip_uint64_t i = 0; i < 3; i++) {
            char got[4000];
            assert_string_equal(zip_get_name(zip, i, 0), part[i].name);
            zip_file_t *member = zip_fopen_index(zip, i, 0);
            assert_int_equal(zip_fread(member, got, sizeof got), size[i]);
            assert_memory_equal(got, content[i], size[i] < 6 ? size[i] : 6);
            assert_int_equal(zip_fread(member, got, 1), 0); // and the CRC agrees
            zip_fclose(member);
        }
        zip_discard(zip);
    }
}

// An archive with one member of the given bytes, in memory.
static char *archive(const char *name, const void *bytes, size_t n_bytes, bool deflate, size_t *n)
{
    unlink(path);
    zip_t *zip = zip_open(path, ZIP_CREATE | ZIP_TRUNCATE, NULL);
    const zip_int64_t i = zip_file_add(zip, name, zip_source_buffer(zip, bytes, n_bytes, 0), 0);
    zip_set_file_compression(zip, (zip_uint64_t)i, deflate ? ZIP_CM_DEFLATE : ZIP_CM_STORE, 9);
    assert_int_equal(zip_close(zip), 0);
    char *all;
    assert_ok(lt_read_file(path, 1 << 24, &all, n));
    return all;
}

static lt_status parse_member(const char *name, const void *bytes, size_t n_bytes, lt_tensor_file **f)
{
    size_t n;
    char *all = archive(name, bytes, n_bytes, false, &n);
    const lt_status status = lt_npz_parse(all, n, "f", f);
    free(all);
    return status;
}

typedef struct lie {
    const char *dict;
    size_t data_bytes;
    lt_status status;
    const char *message;
} lie;

#define D(descr, order, shape) "{'descr': '" descr "', 'fortran_order': " order ", 'shape': " shape ", }"
static const lie lies[] = {
    {D("<f4", "False", "(2,)"), 8, LT_OK, ""},
    {"{\"shape\":(2),\"descr\":\"<f4\",\"fortran_order\":False}", 8, LT_OK, ""}, // any order, either quote
    {D("<f4", "True", "(2L, 1L)"), 8, LT_OK, ""},
    {D("=f4", "False", "()"), 4, LT_OK, ""},
    {D("<f4", "False", "(2,)"), 9, LT_E_FORMAT, "f: a.npy: expected 8 bytes for its shape, found 9"},
    {D("<f4", "False", "(2,)"), 7, LT_E_FORMAT, "expected 8 bytes for its shape, found 7"},
    {D("<f4", "False", "(4611686018427387904, 4)"), 0, LT_E_FORMAT, "found an overflow"},
    {D("<f4", "False", "(99999999999999999999,)"), 0, LT_E_FORMAT, "a shape such as (3, 4)"},
    {D("<f4", "False", "(-1,)"), 0, LT_E_FORMAT, "a shape such as (3, 4)"},
    {D("<f4", "False", "(1 2)"), 8, LT_E_FORMAT, "a shape such as (3, 4)"},
    {D("<f4", "False", "(1,"), 8, LT_E_FORMAT, "a shape such as (3, 4)"},
    {D("<f4", "False", "[1]"), 4, LT_E_FORMAT, "a shape such as (3, 4)"},
    {D("<f4", "False", "(1,1,1,1,1,1,1,1,1)"), 4, LT_E_FORMAT, "at most 8 dimensions"},
    {D(">f4", "False", "(1,)"), 4, LT_E_FORMAT, "a little-endian number type, found '>f4'"},
    {D("<c8", "False", "(1,)"), 8, LT_E_FORMAT, "found '<c8'"},
    {D("|O", "False", "(1,)"), 8, LT_E_FORMAT, "found '|O'"},
    {D("", "False", "(1,)"), 8, LT_E_FORMAT, "found ''"},
    {D("<f4", "Maybe", "(1,)"), 4, LT_E_FORMAT, "True or False"},
    {"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}", 4, LT_E_FORMAT, "found a structure"},
    {"{'descr': '<f4', 'shape': (1,)}", 4, LT_E_FORMAT, "descr, fortran_order and shape"},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'x': 1}", 4, LT_E_FORMAT,
     "descr, fortran_order or shape"},
    {"{'descr': '<f4' 'fortran_order': False}", 4, LT_E_FORMAT, "a comma"},
    {"{'descr': '<f4", 4, LT_E_FORMAT, "found a structure"},
    {"{'descr", 4, LT_E_FORMAT, "'key': value"},
    {D("<f4", "False", "(1,)") "x", 4, LT_E_FORMAT, "nothing else"},
    {"[]", 4, LT_E_FORMAT, "expected {"},
    {"", 4, LT_E_FORMAT, "expected {"},
};

static char *npy(const char *dict, size_t data_bytes, size_t *n)
{
    const size_t length = strlen(dict);
    *n = 10 + length + data_bytes;
    char *bytes = calloc(1, *n);
    memcpy(bytes, "\x93NUMPY\1\0", 8);
    bytes[8] = (char)(length & 255);
    bytes[9] = (char)(length >> 8);
    memcpy(bytes + 10, dict, length);
    return bytes;
}

static void lying_headers(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        lt_tensor_file *f;
        size_t n;
        char *bytes = npy(lies[i].dict, lies[i].data_bytes, &n);
        const lt_status status = parse_member("a.npy", bytes, n, &f);
        if (lies[i].status == LT_OK)
            assert_ok(status);
        else
            assert_fails(lies[i].status, lies[i].message, status);
        lt_tensor_file_close(f);
        free(bytes);
    }
}

static void bad_members(void **state)
{
    (void)state;
    lt_tensor_file *f;
    size_t n;
    char *bytes = npy(D("<f4", "False", "(2,)"), 8, &n);
    assert_fails(LT_E_FORMAT, "expected only .npy members, found 'readme.txt'",
                 parse_member("readme.txt", bytes, n, &f));
    assert_fails(LT_E_FORMAT, "found '.npy'", parse_member(".npy", bytes, n, &f));
    assert_fails(LT_E_FORMAT, "pickle byte 0: expected a value on the stack",
                 parse_member("archive/data.pkl", bytes, n, &f));
    assert_fails(LT_E_FORMAT, "a.npy: expected 8 more bytes, found 3", parse_member("a.npy", bytes, 3, &f));
    assert_fails(LT_E_FORMAT, "header within the member", parse_member("a.npy", bytes, 40, &f));
    bytes[6] = 4;
    assert_fails(LT_E_FORMAT, "version 1 to 3, found 4", parse_member("a.npy", bytes, n, &f));
    bytes[6] = 1;
    bytes[1] = 'X';
    assert_fails(LT_E_FORMAT, "expected a .npy array", parse_member("a.npy", bytes, n, &f));
    bytes[1] = 'N';
    bytes[20] = 0;
    assert_fails(LT_E_FORMAT, "no zero bytes", parse_member("a.npy", bytes, n, &f));
    free(bytes);
}

static void values_that_do_not_fit(void **state)
{
    (void)state;
    lt_tensor_file *f;
    size_t n;
    char *bytes = npy(D("<u8", "False", "(1,)"), 8, &n);
    memset(bytes + n - 8, 0xff, 8);
    assert_fails(LT_E_FORMAT, "'a': expected values up to 2^63-1, found 18446744073709551615",
                 parse_member("a.npy", bytes, n, &f));
    free(bytes);
}

// A compressed member that claims more than its bytes can hold is refused before memory is asked for.
static void bomb(void **state)
{
    (void)state;
    lt_tensor_file *f;
    size_t n, n_npy;
    char *bytes = npy(D("<f4", "False", "(469762020,)"), 400, &n_npy);
    char *all = archive("a.npy", bytes, n_npy, true, &n);
    const uint32_t claim = (uint32_t)(4u * 469762020u + n_npy - 400);
    for (size_t i = 0; i + 30 < n; i++) {
        if (!memcmp(all + i, "PK\3\4", 4)) // local header, central header: the size before compression
            memcpy(all + i + 22, &claim, 4);
        if (!memcmp(all + i, "PK\1\2", 4))
            memcpy(all + i + 24, &claim, 4);
    }
    assert_fails(LT_E_FORMAT, "expected arrays of at most 100 times their compressed size",
                 lt_npz_parse(all, n, "f", &f));
    free(all);
    free(bytes);
}

// An honest archive of zeros: a few may be what they say, hundreds of megabytes out of a few hundred kilobytes are not.
static void expansion_is_bounded(void **state)
{
    (void)state;
    lt_tensor_file *f;
    size_t n, n_npy;
    char *bytes = npy(D("|u1", "False", "(20000000,)"), 20000000, &n_npy);
    char *all = archive("a.npy", bytes, n_npy, true, &n);
    assert_true(n * 500 < n_npy);
    assert_ok(lt_npz_parse(all, n, "f", &f));
    lt_tensor_file_close(f);
    free(all);
    free(bytes);
    bytes = npy(D("|u1", "False", "(70000000,)"), 70000000, &n_npy);
    all = archive("a.npy", bytes, n_npy, true, &n);
    assert_fails(LT_E_FORMAT, "f: expected arrays of at most 100 times their compressed size, found 66 MiB from",
                 lt_npz_parse(all, n, "f", &f));
    assert_null(f);
    free(all);
    free(bytes);
}

// Two members of one name, which only a raw writer makes.
static void twice(void **state)
{
    (void)state;
    lt_tensor_file *f;
    size_t n;
    char *bytes = npy(D("<f4", "False", "(2,)"), 8, &n);
    const lti_zip_part part[] = {{"a.npy", bytes, NULL, n, 0}, {"a.npy", bytes, NULL, n, 0}};
    assert_ok(lti_zip_write(path, part, 2, UINT64_MAX));
    assert_fails(LT_E_FORMAT, "expected each array once, found 'a' twice", lt_tensor_file_open(path, &f));
    free(bytes);
}

// Cut at every length, and every single byte changed: an error or intact tensors, never anything else.
static void damaged(void **state)
{
    (void)state;
    lt_tensor_file *f;
    size_t n, n_npy;
    char *bytes = npy(D("<f4", "False", "(100,)"), 400, &n_npy);
    for (int deflate = 0; deflate < 2; deflate++) {
        char *all = archive("a.npy", bytes, n_npy, deflate, &n);
        for (size_t cut = 0; cut < n; cut++) {
            char *copy = malloc(cut ? cut : 1);
            memcpy(copy, all, cut);
            assert_fails(LT_E_FORMAT, "cut: ", lt_npz_parse(copy, cut, "cut", &f));
            assert_null(f);
            free(copy);
        }
        for (size_t i = 0; i < n; i++) {
            all[i] ^= 0x55;
            const lt_status status = lt_npz_parse(all, n, "bent", &f);
            if (status == LT_OK) { // a date, say
                assert_int_equal(lt_tensor_file_count(f), 1);
                assert_int_equal(lt_tensor_file_at(f, 0)->n_bytes, 400);
                for (int k = 0; k < 100; k++)
                    assert_true(((const float *)lt_tensor_file_at(f, 0)->data)[k] == 0);
            } else {
                assert_contains(lt_error_get()->message, "bent: ");
            }
            lt_tensor_file_close(f);
            all[i] ^= 0x55;
        }
        free(all);
    }
    free(bytes);
}

static int make(void **state)
{
    (void)state;
    const int fd = mkstemp(path);
    return fd < 0 || close(fd);
}

static int clean(void **state)
{
    (void)state;
    return unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),    cmocka_unit_test(zip64), cmocka_unit_test(bad_members),
        cmocka_unit_test(lying_headers), cmocka_unit_test(twice), cmocka_unit_test(values_that_do_not_fit),
        cmocka_unit_test(damaged),       cmocka_unit_test(bomb),  cmocka_unit_test(expansion_is_bounded),
    };
    return cmocka_run_group_tests(tests, make, clean);
}
