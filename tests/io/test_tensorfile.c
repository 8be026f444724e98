// Safetensors: files of the format's own writer, round trips, and every way a header can lie.
#include "lt_test.h"
#include "base/base.h"
#include "io/tensorfile_impl.h"
#include <dirent.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

static char dir[40];

static const char *in(const char *file)
{
    static char path[200];
    snprintf(path, sizeof path, "%s/%s", dir, file);
    return path;
}

static const char *fixture(const char *file)
{
    static char path[400];
    snprintf(path, sizeof path, "%s/tests/io/fixtures/%s", LT_TEST_SOURCE_DIR, file);
    return path;
}

static const lt_tensor *need(const lt_tensor_file *f, const char *name, lt_dtype dtype, size_t n_bytes)
{
    const lt_tensor *t = lt_tensor_file_find(f, name);
    assert_non_null(t);
    assert_int_equal(t->dtype, dtype);
    assert_int_equal(t->n_bytes, n_bytes);
    return t;
}

static void check_data(const lt_tensor_file *f, const char *name, lt_dtype dtype, const void *data, size_t n_bytes)
{
    assert_memory_equal(need(f, name, dtype, n_bytes)->data, data, n_bytes);
}
#define CHECK(f, name, dtype, T, ...)                                                                                  \
    check_data(f, name, dtype, (const T[]){__VA_ARGS__}, sizeof((const T[]){__VA_ARGS__}))

// The arrays of make_fixtures.py, in whatever file they come.
static void check_arrays(const lt_tensor_file *f)
{
    CHECK(f, "f4", LT_F32, float, 1.5f, -2.0f, 3.25f, 0.0f, 1e-30f, -1e30f);
    CHECK(f, "f8", LT_F64, double, 0.1, -1e300);
    CHECK(f, "f2", LT_F32, float, 1.0f, -0.5f, 65504.0f, 0x1p-24f, INFINITY, -0.0f);
    CHECK(f, "i8", LT_I64, int64_t, -(1ll << 62), (1ll << 62) + 1);
    CHECK(f, "i2", LT_I32, int32_t, -32768, 32767, -1);
    CHECK(f, "i1", LT_I8, int8_t, -128, 127);
    CHECK(f, "u8", LT_I64, int64_t, 0, INT64_MAX);
    CHECK(f, "u4", LT_I64, int64_t, 0, UINT32_MAX);
    CHECK(f, "u2", LT_I32, int32_t, 0, 65535);
    CHECK(f, "u1", LT_U8, uint8_t, 0, 255);
    CHECK(f, "b1", LT_U8, uint8_t, 1, 0, 1);
    int32_t count[24];
    for (int i = 0; i < 24; i++)
        count[i] = i;
    check_data(f, "fortran", LT_I32, count, sizeof count);
    const lt_tensor *t = need(f, "fortran", LT_I32, sizeof count);
    assert_int_equal(t->n_dims, 3);
    assert_true(t->dim[0] == 2 && t->dim[1] == 3 && t->dim[2] == 4);
    t = need(f, "empty", LT_F32, 0);
    assert_true(t->n_dims == 2 && t->dim[0] == 0 && t->dim[1] == 3 && t->data);
    for (int i = 0; i < lt_tensor_file_count(f); i++)
        assert_int_equal((uintptr_t)lt_tensor_file_at(f, i)->data % lti_raw_of(lt_tensor_file_at(f, i)->dtype)->size,
                         0);
    assert_null(lt_tensor_file_at(f, -1));
    assert_null(lt_tensor_file_at(f, lt_tensor_file_count(f)));
    assert_null(lt_tensor_file_find(f, "none"));
}

static void official_file(void **state)
{
    (void)state;
    lt_tensor_file *f;
    assert_ok(lt_tensor_file_open(fixture("official.safetensors"), &f));
    assert_int_equal(lt_tensor_file_count(f), 14);
    check_arrays(f);
    CHECK(f, "scalar", LT_F32, float, 2.5f);
    assert_int_equal(lt_tensor_file_find(f, "scalar")->n_dims, 0);
    assert_int_equal(lt_tensor_file_n_meta(f), 2);
    assert_string_equal(lt_tensor_file_meta(f, "note"), "\xc3\xa4 \"quoted\"");
    assert_null(lt_tensor_file_meta(f, "none"));
    assert_null(lt_tensor_file_meta_at(f, 2).key);
    lt_tensor_file_close(f);
}

static void numpy_files(void **state)
{
    (void)state;
    static const char *const files[] = {"numpy_stored.npz", "numpy_deflated.npz"};
    for (int i = 0; i < 2; i++) {
        lt_tensor_file *f;
        assert_ok(lt_tensor_file_open(fixture(files[i]), &f));
        assert_int_equal(lt_tensor_file_count(f), 14);
        check_arrays(f);
        CHECK(f, "i4", LT_I32, int32_t, -7);
        assert_int_equal(lt_tensor_file_find(f, "i4")->n_dims, 0);
        lt_tensor_file_close(f);
    }
    lt_tensor_file *f;
    assert_ok(lt_tensor_file_open(fixture("npy_v2.npz"), &f));
    CHECK(f, "v2", LT_F32, float, 4, 5);
    lt_tensor_file_close(f);
}

// The official file at every address: our own alignment must not depend on the caller's.
static void unaligned_bytes(void **state)
{
    (void)state;
    char *bytes;
    size_t n;
    assert_ok(lt_read_file(fixture("official.safetensors"), 100000, &bytes, &n));
    char *moved = malloc(n + 16);
    for (size_t shift = 0; shift < 8; shift++) {
        lt_tensor_file *f;
        memcpy(moved + shift, bytes, n);
        assert_ok(lt_safetensors_parse(moved + shift, n, "moved", &f));
        memset(moved, 0xee, n + 16); // nothing points into it
        check_arrays(f);
        lt_tensor_file_close(f);
    }
    free(moved);
    free(bytes);
}

// Every half against the definition of the format.
static void all_halves(void **state)
{
    (void)state;
    const lti_raw_type *half = lti_raw_by_safetensors("F16"), *bfloat = lti_raw_by_safetensors("BF16");
    for (unsigned bits = 0; bits < 65536; bits++) {
        const unsigned char raw[2] = {(unsigned char)bits, (unsigned char)(bits >> 8)};
        float x, b;
        assert_ok(lti_raw_convert(half, raw, 1, &x, "", ""));
        assert_ok(lti_raw_convert(bfloat, raw, 1, &b, "", ""));
        const int e = bits >> 10 & 31, m = bits & 1023;
        const double value = e ? ldexp(1 + m / 1024.0, e - 15) : ldexp(m / 1024.0, -14);
        if (e == 31)
            assert_true(m ? isnan(x) : isinf(x));
        else
            assert_true((double)x == (bits >> 15 ? -value : value));
        if (!isnan(x))
            assert_true(!signbit(x) == !(bits >> 15));
        uint32_t word;
        memcpy(&word, &b, sizeof word);
        assert_int_equal(word, bits << 16);
    }
}

static void round_trip(void **state)
{
    (void)state;
    float w[6] = {1, 2, 3, 4, 5, NAN};
    int64_t steps[1] = {1ll << 60};
    int8_t group[3] = {-1, 0, 2};
    uint16_t bf[2] = {0x3f80, 0xc000};
    const lt_tensor tensors[] = {
        {"g\"\xc3\xa4", LT_I8, 1, {3}, group, sizeof group},
        {"bf", LT_BF16, 1, {2}, bf, sizeof bf},
        {"w", LT_F32, 2, {2, 3}, w, sizeof w},
        {"steps", LT_I64, 0, {0}, steps, sizeof steps},
        {"nothing", LT_F32, 2, {4, 0}, NULL, 0},
    };
    const lt_meta meta[] = {{"b", "1"}, {"a", "line\nbreak"}};
    char digest[65], again[65];
    assert_ok(lt_safetensors_write(in("a"), tensors, 5, meta, 2));
    assert_ok(lt_file_digest(in("a"), digest));
    lt_tensor_file *f;
    assert_ok(lt_tensor_file_open(in("a"), &f));
    assert_int_equal(lt_tensor_file_count(f), 5);
    check_data(f, "w", LT_F32, w, sizeof w);
    check_data(f, "g\"\xc3\xa4", LT_I8, group, sizeof group);
    check_data(f, "steps", LT_I64, steps, sizeof steps);
    CHECK(f, "bf", LT_F32, float, 1, -2);
    need(f, "nothing", LT_F32, 0);
    assert_string_equal(lt_tensor_file_meta(f, "a"), "line\nbreak");
    assert_string_equal(lt_tensor_file_meta_at(f, 0).key, "b"); // order kept
    lt_tensor_file_close(f);
    assert_ok(lt_safetensors_write(in("a"), tensors, 5, meta, 2));
    assert_ok(lt_file_digest(in("a"), again));
    assert_string_equal(digest, again);
    assert_ok(lt_safetensors_write(in("a"), NULL, 0, NULL, 0));
    assert_ok(lt_tensor_file_open(in("a"), &f));
    assert_int_equal(lt_tensor_file_count(f), 0);
    lt_tensor_file_close(f);
    unlink(in("a"));
}

static void writer_refusals(void **state)
{
    (void)state;
    float w[6] = {0};
    const lt_tensor wrong_size[] = {{"w", LT_F32, 2, {2, 2}, w, sizeof w}};
    const lt_tensor negative[] = {{"w", LT_F32, 2, {-1, 2}, w, sizeof w}};
    const lt_tensor twice[] = {{"w", LT_F32, 1, {6}, w, sizeof w}, {"w", LT_F32, 1, {6}, w, sizeof w}};
    const lt_tensor bf[] = {{"w", LT_BF16, 1, {12}, w, sizeof w}};
    assert_fails(LT_E_SHAPE, "tensor 'w'", lt_safetensors_write(in("a"), wrong_size, 1, NULL, 0));
    assert_fails(LT_E_SHAPE, "tensor 'w'", lt_npz_write(in("a"), negative, 1));
    assert_fails(LT_E_FORMAT, "'w' twice", lt_safetensors_write(in("a"), twice, 2, NULL, 0));
    assert_fails(LT_E_UNSUPPORTED, ".npy has no type for BF16", lt_npz_write(in("a"), bf, 1));
    assert_fails(LT_E_IO, "No such file", lt_safetensors_write(in("none/a"), twice, 1, NULL, 0));
    assert_fails(LT_E_IO, "No such file", lt_npz_write(in("none/a"), twice, 1));
    assert_int_not_equal(access(in("a"), F_OK), 0);
}

typedef struct lie {
    const char *header;
    size_t data_bytes;
    lt_status status;
    const char *message;
} lie;

#define T(dtype, shape, offsets) "{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"
static const lie lies[] = {
    {"{\"a\":" T("F32", "[2]", "[0,8]") "}", 8, LT_OK, ""},
    {"{\"a\":" T("F32", "[2]", "[0,8]") "}   \n", 8, LT_OK, ""},
    {"{}", 0, LT_OK, ""},
    {"{\"b\":" T("U8", "[0]", "[4,4]") ",\"a\":" T("F32", "[1]", "[0,4]") "}", 4, LT_OK, ""},
    {"{\"a\":" T("F32", "[2]", "[0,8]") "}", 9, LT_E_FORMAT, "expected 8 bytes of tensors, found 9"},
    {"{\"a\":" T("F32", "[2]", "[0,8]") "}", 7, LT_E_FORMAT, "'a': expected offsets within 0..7, found 0..8"},
    {"{}", 1, LT_E_FORMAT, "expected 0 bytes of tensors, found 1"},
    {"{\"a\":" T("U8", "[8]", "[0,8]") ",\"b\":" T("U8", "[8]", "[4,12]") "}", 12, LT_E_FORMAT, "found an overlap"},
    {"{\"a\":" T("U8", "[8]", "[0,8]") ",\"b\":" T("U8", "[8]", "[0,8]") "}", 8, LT_E_FORMAT, "found an overlap"},
    {"{\"a\":" T("U8", "[4]", "[0,4]") ",\"b\":" T("U8", "[4]", "[8,12]") "}", 12, LT_E_FORMAT,
     "start at byte 4, found 8"},
    {"{\"a\":" T("U8", "[4]", "[4,8]") "}", 8, LT_E_FORMAT, "start at byte 0, found 4"},
    {"{\"a\":" T("U8", "[4]", "[4,0]") "}", 8, LT_E_FORMAT, "expected offsets within"},
    {"{\"a\":" T("U8", "[4]", "[-4,0]") "}", 8, LT_E_FORMAT, "expected offsets within"},
    {"{\"a\":" T("U8", "[4]", "[0,9223372036854775807]") "}", 8, LT_E_FORMAT, "expected offsets within"},
    {"{\"a\":" T("U8", "[4]", "[0,99999999999999999999]") "}", 8, LT_E_FORMAT, "expected a JSON header"},
    {"{\"a\":" T("U8", "[4]", "[0]") "}", 8, LT_E_FORMAT, "\"data_offsets\" to be [begin, end]"},
    {"{\"a\":" T("U8", "[4]", "[0,4.0]") "}", 4, LT_E_FORMAT, "\"data_offsets\" to be [begin, end]"},
    {"{\"a\":" T("U8", "[4]", "{}") "}", 4, LT_E_FORMAT, "\"data_offsets\" to be [begin, end]"},
    {"{\"a\":" T("F32", "[3]", "[0,8]") "}", 8, LT_E_FORMAT, "'a': expected 12 bytes for its shape, found 8"},
    {"{\"a\":" T("F32", "[]", "[0,8]") "}", 8, LT_E_FORMAT, "'a': expected 4 bytes for its shape, found 8"},
    {"{\"a\":" T("F32", "[-1]", "[0,8]") "}", 8, LT_E_FORMAT, "whole numbers from 0"},
    {"{\"a\":" T("F32", "[2.0]", "[0,8]") "}", 8, LT_E_FORMAT, "whole numbers from 0"},
    {"{\"a\":" T("F32", "2", "[0,8]") "}", 8, LT_E_FORMAT, "\"shape\" to be a list"},
    // 2^62 * 4 floats = 2^66 bytes: 0 in 64 bits.
    {"{\"a\":" T("F32", "[4611686018427387904,4]", "[0,0]") "}", 0, LT_E_FORMAT, "found an overflow"},
    {"{\"a\":" T("F64", "[4611686018427387904]", "[0,0]") "}", 0, LT_E_FORMAT, "found an overflow"},
    {"{\"a\":" T("U8", "[9223372036854775807,9223372036854775807,0]", "[0,0]") "}", 0, LT_E_FORMAT,
     "found an overflow"},
    {"{\"a\":" T("U8", "[1,1,1,1,1,1,1,1,1]", "[0,1]") "}", 1, LT_E_FORMAT, "at most 8 dimensions, found 9"},
    {"{\"a\":" T("F8_E4M3", "[1]", "[0,1]") "}", 1, LT_E_FORMAT, "a known element type, found 'F8_E4M3'"},
    {"{\"a\":{\"dtype\":1,\"shape\":[1],\"data_offsets\":[0,1]}}", 1, LT_E_FORMAT, "\"dtype\" to be text"},
    {"{\"a\":{\"shape\":[1],\"data_offsets\":[0,1]}}", 1, LT_E_FORMAT, "an object of dtype, shape and data_offsets"},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1],\"x\":1}}", 1, LT_E_FORMAT, "an object of dtype"},
    {"{\"a\":[]}", 0, LT_E_FORMAT, "an object of dtype, shape and data_offsets"},
    {"{\"a\":" T("U8", "[1]", "[0,1]") ",\"a\":" T("U8", "[1]", "[1,2]") "}", 2, LT_E_FORMAT, "duplicate object key"},
    {"{\"a\":{\"dtype\":\"U8\",\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1, LT_E_FORMAT,
     "duplicate object key"},
    {"{\"__metadata__\":{\"k\":1}}", 0, LT_E_FORMAT, "metadata 'k': expected text"},
    {"{\"__metadata__\":[]}", 0, LT_E_FORMAT, "expected \"__metadata__\" to be an object"},
    {"{\"a\":", 0, LT_E_FORMAT, "expected a JSON header"},
    {"{} x", 0, LT_E_FORMAT, "expected a JSON header"},
    {"{\"\xff\":1}", 0, LT_E_FORMAT, "expected a JSON header"},
    {"{\"a\\u0000b\":" T("U8", "[1]", "[0,1]") "}", 1, LT_E_FORMAT, "expected a JSON header"},
    {"[]", 0, LT_E_FORMAT, "starting with '{'"},
    {" {}", 0, LT_E_FORMAT, "starting with '{'"},
    {"", 0, LT_E_FORMAT, "starting with '{'"},
};

static char *build(const lie *l, size_t *n)
{
    const uint64_t length = strlen(l->header);
    *n = 8 + (size_t)length + l->data_bytes;
    char *bytes = calloc(1, *n);
    memcpy(bytes, &length, 8);
    memcpy(bytes + 8, l->header, (size_t)length);
    return bytes;
}

static void lying_headers(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        lt_tensor_file *f;
        size_t n;
        char *bytes = build(&lies[i], &n);
        const lt_status status = lt_safetensors_parse(bytes, n, "f", &f);
        if (lies[i].status == LT_OK)
            assert_ok(status);
        else
            assert_fails(lies[i].status, lies[i].message, status);
        lt_tensor_file_close(f);
        free(bytes);
    }
}

static void lying_lengths(void **state)
{
    (void)state;
    lt_tensor_file *f;
    unsigned char bytes[10] = {2, 0, 0, 0, 0, 0, 0, 0, '{', '}'};
    assert_ok(lt_safetensors_parse(bytes, 10, "f", &f));
    lt_tensor_file_close(f);
    for (size_t n = 0; n < 10; n++)
        assert_fails(LT_E_FORMAT, "f: expected a", lt_safetensors_parse(bytes, n, "f", &f));
    bytes[0] = 3;
    assert_fails(LT_E_FORMAT, "expected a header of 3 bytes, found the end", lt_safetensors_parse(bytes, 10, "f", &f));
    bytes[7] = 0xff;
    assert_fails(LT_E_FORMAT, "at most 100000000 bytes", lt_safetensors_parse(bytes, 10, "f", &f));
    memset(bytes, 0xff, 8);
    assert_fails(LT_E_FORMAT, "at most 100000000 bytes", lt_safetensors_parse(bytes, 10, "f", &f));
}

// A real file cut at every length fails cleanly and says something.
static void truncated(void **state)
{
    (void)state;
    char *bytes;
    size_t n;
    lt_tensor_file *f;
    assert_ok(lt_read_file(fixture("official.safetensors"), 100000, &bytes, &n));
    for (size_t cut = 0; cut < n; cut++) {
        char *copy = malloc(cut ? cut : 1); // exact size, for the address sanitizer
        memcpy(copy, bytes, cut);
        assert_fails(LT_E_FORMAT, "cut: ", lt_safetensors_parse(copy, cut, "cut", &f));
        assert_null(f);
        free(copy);
    }
    free(bytes);
}

static void other_files(void **state)
{
    (void)state;
    lt_tensor_file *f;
    assert_fails(LT_E_INPUT, "No such file", lt_tensor_file_open(in("none"), &f));
    assert_null(f);
    assert_fails(LT_E_INPUT, "Is a directory", lt_tensor_file_open(dir, &f));
    assert_ok(lt_write_file_atomic(in("a"), "", 0));
    assert_fails(LT_E_FORMAT, "at least 8 bytes, found 0", lt_tensor_file_open(in("a"), &f));
    assert_ok(lt_write_file_atomic(in("a"), "\x93NUMPY\1", 7));
    assert_fails(LT_E_FORMAT, "a single .npy array", lt_tensor_file_open(in("a"), &f));
    unlink(in("a"));
    char digest[65];
    assert_fails(LT_E_INPUT, "No such file", lt_file_digest(in("none"), digest));
    assert_fails(LT_E_INPUT, "Is a directory", lt_file_digest(dir, digest));
    assert_ok(lt_file_digest("/dev/null", digest));
    assert_string_equal(digest, "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8");
}

// A full disk (the file size limit) keeps the old file and leaves no other.
static void full_disk(void **state)
{
    (void)state;
    static float big[5000];
    const lt_tensor t[] = {{"big", LT_F32, 1, {5000}, big, sizeof big}};
    struct rlimit old, small;
    assert_ok(lt_write_file_atomic(in("a"), "old", 3));
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &old);
    small = old;
    small.rlim_cur = 4096;
    setrlimit(RLIMIT_FSIZE, &small);
    const lt_status s = lt_safetensors_write(in("a"), t, 1, NULL, 0), z = lt_npz_write(in("a"), t, 1);
    setrlimit(RLIMIT_FSIZE, &old);
    assert_int_equal(s, LT_E_NOSPACE);
    assert_fails(LT_E_NOSPACE, "cannot write", z);
    char *bytes;
    size_t n;
    assert_ok(lt_read_file(in("a"), 100, &bytes, &n));
    assert_string_equal(bytes, "old");
    free(bytes);
    unlink(in("a"));
}

static lt_status write_and_read(void)
{
    float w[6] = {1, 2, 3, 4, 5, 6};
    const lt_tensor tensors[] = {{"w", LT_F32, 2, {2, 3}, w, sizeof w}, {"v", LT_F32, 1, {6}, w, sizeof w}};
    const lt_meta meta[] = {{"key", "value"}};
    lt_tensor_file *f;
    LT_TRY(lt_safetensors_write(in("a"), tensors, 2, meta, 1));
    LT_TRY(lt_tensor_file_open(in("a"), &f));
    lt_tensor_file_close(f);
    LT_TRY(lt_tensor_file_open(fixture("official.safetensors"), &f));
    lt_tensor_file_close(f);
    LT_TRY(lt_npz_write(in("a"), tensors, 2));
    LT_TRY(lt_tensor_file_open(in("a"), &f));
    lt_tensor_file_close(f);
    LT_TRY(lt_tensor_file_open(fixture("numpy_deflated.npz"), &f));
    lt_tensor_file_close(f);
    char digest[65];
    return lt_file_digest(in("a"), digest);
}

static void failing_allocations(void **state)
{
    (void)state;
    int n = 1;
    for (lt_status status = LT_E_NOMEM; status != LT_OK; n++) {
        assert_true(n < 2000);
        lti_alloc_fail_at(n);
        status = write_and_read();
        lti_alloc_fail_at(0);
        if (status != LT_OK)
            assert_int_equal(status, LT_E_NOMEM);
    }
    assert_true(n > 60);
    unlink(in("a"));
}

static int make(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "%s/lethe-tensorfile-XXXXXX", lt_test_root());
    return mkdtemp(dir) ? 0 : -1;
}

static int clean(void **state)
{
    (void)state;
    return rmdir(dir); // fails when a test left something behind
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(official_file), cmocka_unit_test(numpy_files),   cmocka_unit_test(unaligned_bytes),
        cmocka_unit_test(all_halves),    cmocka_unit_test(round_trip),    cmocka_unit_test(writer_refusals),
        cmocka_unit_test(lying_headers), cmocka_unit_test(lying_lengths), cmocka_unit_test(truncated),
        cmocka_unit_test(other_files),   cmocka_unit_test(full_disk),     cmocka_unit_test(failing_allocations),
    };
    return cmocka_run_group_tests(tests, make, clean);
}
