// test_svhn.c - Street View House Numbers: MATLAB files as MATLAB and libmatio write them, and broken ones.
#include "data_test.h"
#include <zlib.h>

enum { SIDE = 32, IMAGE = 3 * SIDE * SIDE, MAX_N = 40 };
enum { U8 = 2, U16 = 4, F64 = 9, CLASS_CHAR = 4, CLASS_DOUBLE = 6, CLASS_U8 = 9 };

// ---- writing: a variable as MATLAB lays it out

typedef struct variable {
    const char *name;
    int class_number, type; // of the numbers as they are stored
    int n_dims;
    uint32_t dim[5];
    const void *data;
    size_t n_bytes;
    uint32_t flags;
} variable;
typedef struct mat_file {
    uint8_t bytes[2 * MAX_N * IMAGE];
    size_t n;
    bool big_endian, compressed;
} mat_file;

static size_t put_number(uint8_t *to, uint64_t v, int n, bool big_endian)
{
    for (int i = 0; i < n; i++)
        to[i] = (uint8_t)(v >> 8 * (big_endian ? n - 1 - i : i));
    return (size_t)n;
}

// Up to four bytes go into the tag.
static size_t put_element(uint8_t *to, uint32_t type, const void *bytes, size_t n, bool big)
{
    memset(to, 0, 8);
    if (n > 0 && n <= 4) {
        put_number(to, (uint32_t)n << 16 | type, 4, big);
        memcpy(to + 4, bytes, n);
        return 8;
    }
    put_number(to, type, 4, big);
    put_number(to + 4, n, 4, big);
    if (n > 0)
        memcpy(to + 8, bytes, n);
    memset(to + 8 + n, 0, 8);
    return 8 + (n + 7) / 8 * 8;
}

static size_t put_variable(uint8_t *to, const variable *v, bool big)
{
    uint8_t flags[8] = {0}, dims[20];
    size_t at = 8;
    put_number(flags, (uint32_t)v->class_number | v->flags, 4, big);
    for (int k = 0; k < v->n_dims; k++)
        put_number(dims + 4 * k, v->dim[k], 4, big);
    at += put_element(to + at, 6, flags, sizeof flags, big);
    at += put_element(to + at, 5, dims, 4 * (size_t)v->n_dims, big);
    at += put_element(to + at, 1, v->name, strlen(v->name), big);
    at += put_element(to + at, (uint32_t)v->type, v->data, v->n_bytes, big);
    put_number(to, 14, 4, big);
    put_number(to + 4, at - 8, 4, big);
    return at;
}

static void start_mat(mat_file *f, bool big_endian, bool compressed)
{
    *f = (mat_file){.n = 128, .big_endian = big_endian, .compressed = compressed};
    memset(f->bytes, ' ', 124);
    memcpy(f->bytes, "MATLAB 5.0 MAT-file", 19);
    put_number(f->bytes + 124, 0x100, 2, big_endian);
    memcpy(f->bytes + 126, big_endian ? "MI" : "IM", 2);
}

static void add_variable(mat_file *f, const variable *v)
{
    static uint8_t plain[sizeof f->bytes];
    uint8_t *to = f->bytes + f->n;
    const size_t n = put_variable(plain, v, f->big_endian);
    uLongf n_packed = sizeof f->bytes - f->n - 8;
    if (!f->compressed) {
        memcpy(to, plain, n);
        f->n += n;
        return;
    }
    assert_int_equal(compress(to + 8, &n_packed, plain, n), Z_OK);
    put_number(to, 15, 4, f->big_endian);
    put_number(to + 4, n_packed, 4, f->big_endian);
    f->n += 8 + n_packed;
}

// ---- the images: pixel (i, c, row, column)

static uint8_t pixel(int i, int c, int row, int column)
{
    return (uint8_t)(7 * i + 50 * c + 4 * row + column / 4);
}

static uint8_t x_bytes[MAX_N * IMAGE], y_bytes[MAX_N];

static void fill(int n)
{
    size_t at = 0;
    for (int i = 0; i < n; i++) {
        y_bytes[i] = (uint8_t)(10 - i % 10);
        for (int c = 0; c < 3; c++)
            for (int column = 0; column < SIDE; column++)
                for (int row = 0; row < SIDE; row++)
                    x_bytes[at++] = pixel(i, c, row, column);
    }
}

static variable images(int n)
{
    return (variable){"X", CLASS_U8, U8, 4, {SIDE, SIDE, 3, (uint32_t)n}, x_bytes, (size_t)n * IMAGE, 0};
}

static variable labels(int n)
{
    return (variable){"y", CLASS_DOUBLE, U8, 2, {(uint32_t)n, 1}, y_bytes, (size_t)n, 0};
}

static mat_file file; // too large for the stack

static void put_mat(const char *name, int n, bool big_endian, bool compressed)
{
    fill(n);
    start_mat(&file, big_endian, compressed);
    add_variable(&file, &(variable){"about", CLASS_CHAR, U16, 2, {1, 3}, "d\0i\0g", 6, 0});
    add_variable(&file, &(variable[]){images(n)}[0]);
    add_variable(&file, &(variable[]){labels(n)}[0]);
    put_file(name, file.bytes, file.n);
}

static void check_images(const lt_split_data *d, int64_t first, int n)
{
    for (int i = 0; i < n; i++) {
        const uint8_t *x = d->x + (size_t)(first + i) * IMAGE;
        assert_int_equal(d->y[first + i], (10 - i % 10) % 10);
        for (int c = 0; c < 3; c++)
            for (int row = 0; row < SIDE; row++)
                for (int column = 0; column < SIDE; column++)
                    assert_int_equal(*x++, pixel(i, c, row, column));
    }
}

static void images_and_labels(void **state)
{
    (void)state;
    for (int k = 0; k < 4; k++) {
        put_mat("svhn/train_32x32.mat", 12, k & 1, k & 2);
        put_mat("svhn/test_32x32.mat", 1, k & 1, k & 2); // y lies in its tag
        lt_dataset *ds = must_open(spec_of("svhn", "svhn", k == 3 ? ",scratch=/tmp" : ""));
        assert_int_equal(ds->c, 3);
        assert_int_equal(ds->h, SIDE);
        assert_int_equal(ds->n_classes, 10);
        assert_string_equal(ds->class_names[0], "0");
        assert_int_equal(ds->split[LT_TRAIN].n, 12);
        assert_int_equal(ds->split[LT_TEST].n, 1);
        check_images(&ds->split[LT_TRAIN], 0, 12);
        check_images(&ds->split[LT_TEST], 0, 1);
        lt_dataset_close(ds);
    }
}

static void as_libmatio_writes_them(void **state)
{
    (void)state;
    static const char *const seeds[2] = {"deflated", "plain"};
    static const int n[2] = {3, 1};
    for (int k = 0; k < 2; k++) {
        char path[400], *bytes;
        size_t size;
        lti_raw raw = {.c = 3, .h = SIDE, .w = SIDE, .n_classes = 10};
        snprintf(path, sizeof path, LT_TEST_SOURCE_DIR "/fuzz/corpus/fuzz_svhn/%s", seeds[k]);
        assert_ok(lt_read_file(path, 1 << 20, &bytes, &size));
        assert_ok(lti_svhn_parse((const uint8_t *)bytes, size, path, LT_TRAIN, &raw));
        assert_int_equal(raw.split[LT_TRAIN].n, n[k]);
        check_images(&(lt_split_data){.x = raw.split[LT_TRAIN].x, .y = raw.split[LT_TRAIN].y}, 0, n[k]);
        lti_raw_clear(&raw);
        lti_free(bytes);
    }
}

static void extra_images_follow(void **state)
{
    (void)state;
    put_mat("more/train_32x32.mat", 5, false, true);
    put_mat("more/test_32x32.mat", 6, false, true);
    assert_open_fails(LT_E_INPUT, "extra_32x32.mat is missing", spec_of("svhn", "more", ",extra=yes"));
    put_mat("more/extra_32x32.mat", 30, false, true);
    lt_dataset *ds = must_open(spec_of("svhn", "more", ""));
    assert_int_equal(ds->split[LT_TRAIN].n, 5);
    lt_dataset_close(ds);
    ds = must_open(spec_of("svhn", "more", ",extra=yes"));
    assert_int_equal(ds->split[LT_TRAIN].n, 35);
    assert_int_equal(ds->split[LT_TRAIN].id[34], 34);
    check_images(&ds->split[LT_TRAIN], 0, 5);
    check_images(&ds->split[LT_TRAIN], 5, 30);
    check_images(&ds->split[LT_TEST], 0, 6);
    lt_dataset_close(ds);
    assert_open_fails(LT_E_USAGE, "extra=all, expected yes or no", spec_of("svhn", "more", ",extra=all"));
}

static void folders_that_are_not_whole(void **state)
{
    (void)state;
    put_mat("half/train_32x32.mat", 20, false, true);
    assert_open_fails(LT_E_INPUT, "no test split: test_32x32.mat is missing", spec_of("svhn", "half", ""));
    lt_dataset *ds = must_open(spec_of("svhn", "half", ",holdout=10"));
    assert_int_equal(ds->split[LT_TEST].n, 10);
    lt_dataset_close(ds);
    assert_open_fails(LT_E_INPUT, "expected the folder of train_32x32.mat",
                      spec_of("svhn", "half/train_32x32.mat", ""));
    put_text("empty/train_32x32.mat", "");
    assert_open_fails(LT_E_FORMAT, "train_32x32.mat: expected a MATLAB file of level 5, found 0 bytes",
                      spec_of("svhn", "empty", ""));
    assert_int_equal(setenv("LETHE_DATA", in_scratch("store"), 1), 0);
    put_mat("store/SVHN/train_32x32.mat", 2, false, false);
    put_mat("store/SVHN/test_32x32.mat", 2, false, false);
    ds = must_open("svhn");
    assert_int_equal(ds->split[LT_TEST].n, 2);
    lt_dataset_close(ds);
    unsetenv("LETHE_DATA");
}

// ---- broken files

static char parsed[65]; // digest of the images and labels that parse found

static lt_status parse(size_t n)
{
    lti_raw raw = {.c = 3, .h = SIDE, .w = SIDE, .n_classes = 10};
    uint8_t *exact = malloc(n ? n : 1); // so that a sanitizer sees a read behind it
    memcpy(exact, file.bytes, n);
    const lt_status status = lti_svhn_parse(exact, n, "F.mat", LT_TRAIN, &raw);
    free(exact);
    const lti_raw_split *found = &raw.split[LT_TRAIN];
    lti_hash hash;
    lti_hash_init(&hash);
    if (status == LT_OK) {
        lti_hash_add(&hash, found->x, (size_t)found->n * lti_raw_sample_bytes(&raw));
        lti_hash_add(&hash, found->y, (size_t)found->n * sizeof *found->y);
    }
    lti_hash_hex(&hash, parsed);
    lti_raw_clear(&raw);
    return status;
}

static lt_status parse_variables(const variable *v, int n, bool compressed)
{
    start_mat(&file, false, compressed);
    for (int k = 0; k < n; k++)
        add_variable(&file, &v[k]);
    return parse(file.n);
}

static void wrong_variables(void **state)
{
    (void)state;
    static const double halves[2] = {1.5, 2}, high[2] = {1, 11}, below[2] = {0, 1};
    fill(3);
    const variable x = images(2), y = labels(2);
    variable square = x, floats = x, complex_x = x, cell = x, five = x, text = y, y64 = y;
    square.dim[1] = 31;
    floats.class_number = CLASS_DOUBLE;
    complex_x.flags = 0x800;
    cell.class_number = 1;
    five.n_dims = 5;
    five.dim[4] = 1;
    text.class_number = CLASS_CHAR;
    y64.type = F64;
    y64.n_bytes = sizeof halves;
    y64.data = halves;
    variable y_high = y64, y_below = y64, shorter = x;
    y_high.data = high;
    y_below.data = below;
    shorter.n_bytes -= 8;
    const struct {
        const char *part;
        variable v[2];
        int n;
    } cases[] = {
        {"F.mat: expected a variable X, found y", {y}, 1},
        {"F.mat: expected a variable X, found none", {y}, 0},
        {"F.mat: expected a variable y, found X", {x}, 1},
        {"X: expected uint8 images of shape (32,32,3,N), found shape (32,31,3,2)", {square, y}, 2},
        {"X: expected uint8 images of shape (32,32,3,N), found shape (32,32,3,2) of another class", {floats, y}, 2},
        {"found shape (32,32,3,2) of another class", {complex_x, y}, 2},
        {"found shape (32,32,3,2) of another class", {cell, y}, 2},
        {"found shape (32,32,3,2,...)", {five, y}, 2},
        {"variable X: 6136 bytes, expected 6144 numbers of 1", {shorter, y}, 2},
        {"y: expected 2 labels of shape (2,1), one for each image, found shape (3,1)", {x, labels(3)}, 2},
        {"found shape (2,1) of no numbers", {x, text}, 2},
        {"y: label 1.5 of image 0, expected 1..10 (10 is the digit 0)", {x, y64}, 2},
        {"y: label 11 of image 1", {x, y_high}, 2},
        {"y: label 0 of image 0", {x, y_below}, 2},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++)
        for (int compressed = 0; compressed < 2; compressed++) {
            assert_fails(LT_E_FORMAT, cases[k].part, parse_variables(cases[k].v, cases[k].n, compressed));
            assert_contains(lt_error_get()->message, "F.mat");
        }
}

static void not_a_file_of_level_5(void **state)
{
    (void)state;
    static const char hdf5[] = "\x89HDF\r\n\x1a\n and more";
    put_mat("any.mat", 2, false, true);
    file.bytes[124] = 0;
    file.bytes[125] = 2;
    assert_fails(LT_E_FORMAT, "F.mat: expected a MATLAB file of level 5, found one of version 7.3 (HDF5)",
                 parse(file.n));
    assert_contains(lt_error_get()->hint, "-v7");
    memcpy(file.bytes, hdf5, sizeof hdf5);
    assert_fails(LT_E_FORMAT, "version 7.3", parse(sizeof hdf5));
    memset(file.bytes, 'a', 200);
    assert_fails(LT_E_FORMAT, "F.mat: expected a MATLAB file of level 5, found 200 bytes without", parse(200));
    assert_fails(LT_E_FORMAT, "found 20 bytes without its header", parse(20));
}

// Every length that a file can be cut to, and every byte of it changed: an error, or for bytes that mean nothing the
// same data.
static void damaged_files(void **state)
{
    (void)state;
    for (int compressed = 0; compressed < 2; compressed++) {
        put_mat("whole.mat", 2, false, compressed);
        const size_t n = file.n;
        for (size_t k = 0; k<n; k += n> 2000 && k > 300 ? 97 : 1)
            assert_int_equal(parse(k), LT_E_FORMAT);
        assert_int_equal(parse(n), LT_OK);
        if (!compressed)
            continue;
        char whole[sizeof parsed];
        int n_sound = 0;
        memcpy(whole, parsed, sizeof whole);
        for (size_t k = 128; k < n; k++) {
            file.bytes[k] ^= 0x10;
            if (parse(n) == LT_OK) {
                assert_string_equal(parsed, whole);
                n_sound++;
            }
            file.bytes[k] ^= 0x10;
        }
        assert_true(n_sound < 120); // the variable that nobody reads
    }
    put_mat("cut/train_32x32.mat", 8, false, false);
    put_file("cut/train_32x32.mat", file.bytes, 9000);
    assert_open_fails(LT_E_FORMAT, "cut/train_32x32.mat: the file ends in the middle of a variable: 8",
                      spec_of("svhn", "cut", ""));
}

static void failing_allocations(void **state)
{
    (void)state;
    put_mat("nomem/train_32x32.mat", 3, false, true);
    put_mat("nomem/test_32x32.mat", 2, false, false);
    put_mat("nomem/extra_32x32.mat", 2, false, true);
    check_every_allocation(spec_of("svhn", "nomem", ",extra=yes"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(images_and_labels),   cmocka_unit_test(as_libmatio_writes_them),
        cmocka_unit_test(extra_images_follow), cmocka_unit_test(folders_that_are_not_whole),
        cmocka_unit_test(wrong_variables),     cmocka_unit_test(not_a_file_of_level_5),
        cmocka_unit_test(damaged_files),       cmocka_unit_test(failing_allocations),
    };
    return cmocka_run_group_tests(tests, scratch_begin, scratch_end);
}
