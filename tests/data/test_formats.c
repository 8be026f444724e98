// CIFAR binaries, IDX and npz files: good ones, and a table of broken ones for each.
#include "data_test.h"
#include "lethe/tensorfile.h"
#include <archive.h>
#include <archive_entry.h>
#include <zlib.h>

// ---- CIFAR

enum { REC10 = 3073, REC100 = 3074 };

static uint8_t *cifar_records(int n, int n_labels, int first)
{
    size_t rec = (size_t)(3072 + n_labels);
    uint8_t *bytes = malloc((size_t)n * rec + 1);
    for (int i = 0; i < n; i++) {
        uint8_t *r = bytes + (size_t)i * rec;
        r[0] = (uint8_t)((i + first) % (n_labels == 1 ? 10 : 20));
        if (n_labels == 2)
            r[1] = (uint8_t)((i * 7 + first) % 100);
        for (int p = 0; p < 3072; p++)
            r[n_labels + p] = (uint8_t)(i * 31 + p + first);
    }
    return bytes;
}

static void put_cifar(const char *name, int n, int n_labels, int first)
{
    uint8_t *bytes = cifar_records(n, n_labels, first);
    put_file(name, bytes, (size_t)n * (size_t)(3072 + n_labels));
    free(bytes);
}

static void put_cifar10_dir(const char *dir, int n)
{
    char name[100];
    for (int b = 1; b <= 6; b++) {
        snprintf(name, sizeof name, b < 6 ? "%s/data_batch_%d.bin" : "%s/test_batch.bin", dir, b);
        put_cifar(name, n, 1, 10 * b);
    }
}

static void cifar10_order_is_file_after_file(void **state)
{
    (void)state;
    put_cifar10_dir("c10", 4);
    lt_dataset *ds = must_open(spec_of("cifar10", "c10", ",allow-partial=1"));
    assert_int_equal(ds->n_classes, 10);
    assert_string_equal(ds->class_names[9], "truck");
    assert_int_equal(ds->split[LT_TRAIN].n, 20);
    assert_int_equal(ds->split[LT_TEST].n, 4);
    for (int i = 0; i < 20; i++) {
        int first = 10 * (i / 4 + 1), k = i % 4;
        assert_int_equal(ds->split[LT_TRAIN].id[i], i);
        assert_int_equal(ds->split[LT_TRAIN].y[i], (k + first) % 10);
        assert_int_equal(ds->split[LT_TRAIN].x[i * 3072 + 1000], (uint8_t)(k * 31 + 1000 + first));
    }
    assert_int_equal(ds->split[LT_TEST].x[0], 60);
    lt_dataset_close(ds);
    // a folder that holds the usual folder
    put_cifar10_dir("outer/cifar-10-batches-bin", 2);
    ds = must_open(spec_of("cifar10", "outer", ",allow-partial=1"));
    assert_int_equal(ds->split[LT_TRAIN].n, 10);
    lt_dataset_close(ds);
}

static void cifar10_files_of_the_wrong_size(void **state)
{
    (void)state;
    put_cifar10_dir("short", 4);
    assert_open_fails(LT_E_FORMAT,
                      "data_batch_1.bin: 12292 bytes, expected 30730000 (10000 records of 3073 bytes): the file is cut",
                      spec_of("cifar10", "short", ""));
    assert_contains(lt_error_get()->hint, "allow-partial");
    uint8_t *bytes = cifar_records(4, 1, 0);
    put_file("short/data_batch_3.bin", bytes, 4 * REC10 - 5);
    assert_open_fails(LT_E_FORMAT,
                      "data_batch_3.bin: 12287 bytes is not a whole number of 3073-byte records: record 3 has 3068",
                      spec_of("cifar10", "short", ",allow-partial=1"));
    free(bytes);
    bytes = calloc(10001, REC10);
    put_file("short/data_batch_3.bin", bytes, (size_t)10001 * REC10);
    assert_open_fails(
        LT_E_FORMAT,
        "data_batch_3.bin: 30733073 bytes, expected 30730000 (10000 records of 3073 bytes): the file is too",
        spec_of("cifar10", "short", ",allow-partial=1"));
    free(bytes);
    unlink(in_scratch("short/data_batch_3.bin"));
    assert_open_fails(LT_E_INPUT, "data_batch_3.bin is missing", spec_of("cifar10", "short", ",allow-partial=1"));
    unlink(in_scratch("short/data_batch_4.bin"));
    unlink(in_scratch("short/data_batch_5.bin"));
    assert_open_fails(LT_E_INPUT, "data_batch_3.bin is missing, though 2 of the 5", spec_of("cifar10", "short", ""));
    lt_dataset *ds = must_open(spec_of("cifar10", "short", ",allow-partial=1")); // ends early: ids stay right
    assert_int_equal(ds->split[LT_TRAIN].n, 8);
    lt_dataset_close(ds);
}

static void cifar10_wrong_labels(void **state)
{
    (void)state;
    put_cifar10_dir("label", 4);
    uint8_t *bytes = cifar_records(4, 1, 0);
    bytes[2 * REC10] = 10;
    put_file("label/data_batch_2.bin", bytes, 4 * REC10);
    free(bytes);
    assert_open_fails(LT_E_FORMAT, "data_batch_2.bin: record 2 (byte 6146): label 10, expected 0..9",
                      spec_of("cifar10", "label", ",allow-partial=1"));
}

static void cifar10_without_files(void **state)
{
    (void)state;
    put_text("nothing/readme.txt", "x");
    assert_open_fails(LT_E_INPUT, "no training split: data_batch_1.bin to data_batch_5.bin are missing",
                      spec_of("cifar10", "nothing", ""));
    assert_open_fails(LT_E_INPUT, "no training split: train.bin is missing",
                      spec_of("cifar100", "nothing", ",allow-partial=1"));
}

static void cifar100_labels(void **state)
{
    (void)state;
    put_cifar("c100/train.bin", 30, 2, 3);
    put_cifar("c100/test.bin", 20, 2, 5);
    lt_dataset *ds = must_open(spec_of("cifar100", "c100", ",allow-partial=1"));
    assert_int_equal(ds->n_classes, 100);
    assert_string_equal(ds->class_names[99], "worm");
    for (int i = 0; i < 30; i++) {
        assert_int_equal(ds->split[LT_TRAIN].y[i], (i * 7 + 3) % 100);
        assert_int_equal(ds->split[LT_TRAIN].x[i * 3072], (uint8_t)(i * 31 + 3));
    }
    lt_dataset_close(ds);
    ds = must_open(spec_of("cifar100", "c100", ",allow-partial=1,coarse=1"));
    assert_int_equal(ds->n_classes, 20);
    assert_string_equal(ds->class_names[19], "vehicles_2");
    assert_int_equal(ds->split[LT_TRAIN].y[4], 7);
    lt_dataset_close(ds);
    uint8_t *bytes = cifar_records(4, 2, 0);
    bytes[REC100 + 1] = 100;
    put_file("c100/test.bin", bytes, 4 * REC100);
    assert_open_fails(LT_E_FORMAT, "test.bin: record 1 (byte 3075): fine label 100, expected 0..99",
                      spec_of("cifar100", "c100", ",allow-partial=1"));
    bytes[REC100 + 1] = 0;
    bytes[REC100] = 20;
    put_file("c100/test.bin", bytes, 4 * REC100);
    assert_open_fails(LT_E_FORMAT, "coarse label 20, expected 0..19", spec_of("cifar100", "c100", ",allow-partial=1"));
    free(bytes);
}

static void a_single_sample_file(void **state)
{
    (void)state;
    put_cifar("sample/test500.bin", 40, 2, 0);
    assert_open_fails(LT_E_INPUT, "no training split: there is only a test file", spec_of("cifar100", "sample", ""));
    lt_dataset *ds = must_open(spec_of("cifar100", "sample", ",allow-partial=1"));
    assert_int_equal(ds->split[LT_TRAIN].n, 0);
    assert_int_equal(ds->split[LT_TEST].n, 40);
    lt_dataset_close(ds);
    ds = must_open(spec_of("cifar100", "sample/test500.bin", ",holdout=10"));
    assert_int_equal(ds->split[LT_TRAIN].n, 30);
    assert_int_equal(ds->split[LT_TEST].n, 10);
    lt_dataset_close(ds);
}

// entries: n pairs of name and file of the scratch folder
static void put_tar(const char *name, const char *const (*entries)[2], int n)
{
    struct archive *a = archive_write_new();
    archive_write_set_format_ustar(a);
    archive_write_add_filter_gzip(a);
    assert_int_equal(archive_write_open_filename(a, in_scratch(name)), ARCHIVE_OK);
    for (int i = 0; i < n; i++) {
        char *bytes;
        size_t size;
        assert_ok(lt_read_file(in_scratch(entries[i][1]), 1 << 26, &bytes, &size));
        struct archive_entry *e = archive_entry_new();
        archive_entry_set_pathname(e, entries[i][0]);
        archive_entry_set_size(e, (la_int64_t)size);
        archive_entry_set_filetype(e, AE_IFREG);
        archive_entry_set_perm(e, 0644);
        archive_write_header(a, e);
        archive_write_data(a, bytes, size);
        archive_entry_free(e);
        free(bytes);
    }
    archive_write_close(a);
    archive_write_free(a);
}

static void cifar10_inside_a_tar(void **state)
{
    (void)state;
    put_cifar10_dir("c10tar", 3);
    static const char *const entries[][2] = {
        // not in order, as in the official archive
        {"cifar-10-batches-bin/data_batch_4.bin", "c10tar/data_batch_4.bin"},
        {"cifar-10-batches-bin/test_batch.bin", "c10tar/test_batch.bin"},
        {"cifar-10-batches-bin/data_batch_1.bin", "c10tar/data_batch_1.bin"},
        {"cifar-10-batches-bin/data_batch_5.bin", "c10tar/data_batch_5.bin"},
        {"cifar-10-batches-bin/data_batch_2.bin", "c10tar/data_batch_2.bin"},
        {"cifar-10-batches-bin/data_batch_3.bin", "c10tar/data_batch_3.bin"},
    };
    put_tar("c10.tar.gz", entries, 6);
    lt_dataset *dir = must_open(spec_of("cifar10", "c10tar", ",allow-partial=1")),
               *tar = must_open(spec_of("cifar10", "c10.tar.gz", ",allow-partial=1"));
    assert_string_equal(dir->digest, tar->digest);
    lt_dataset_close(dir);
    lt_dataset_close(tar);
    assert_open_fails(LT_E_FORMAT, "9219 bytes, expected 30730000", spec_of("cifar10", "c10.tar.gz", ""));
    put_tar("c10-gap.tar.gz", entries, 5);
    assert_open_fails(LT_E_INPUT, "data_batch_3.bin is missing",
                      spec_of("cifar10", "c10-gap.tar.gz", ",allow-partial=1"));
    put_text("not.tar", "this is no archive at all");
    assert_open_fails(LT_E_FORMAT, "not.tar: cannot be read as a tar archive", spec_of("cifar10", "not.tar", ""));
}

// ---- IDX

static size_t idx_images(uint8_t *out, uint32_t n, uint32_t h, uint32_t w)
{
    const uint32_t head[4] = {0x803, n, h, w};
    for (int i = 0; i < 16; i++)
        out[i] = (uint8_t)(head[i / 4] >> (24 - 8 * (i % 4)));
    for (uint32_t i = 0; i < n * h * w; i++)
        out[16 + i] = (uint8_t)(i * 3);
    return 16 + (size_t)n * h * w;
}

static size_t idx_labels(uint8_t *out, uint32_t n)
{
    const uint32_t head[2] = {0x801, n};
    for (int i = 0; i < 8; i++)
        out[i] = (uint8_t)(head[i / 4] >> (24 - 8 * (i % 4)));
    for (uint32_t i = 0; i < n; i++)
        out[8 + i] = (uint8_t)(i % 10);
    return 8 + n;
}

static void put_gz(const char *name, const void *bytes, size_t n)
{
    gzFile f = gzopen(in_scratch(name), "wb");
    assert_int_equal(gzwrite(f, bytes, (unsigned)n), (int)n);
    gzclose(f);
}

static void put_idx_pair(const char *dir, const char *prefix, uint32_t n, bool gz)
{
    static uint8_t x[16 + 100 * 20], y[8 + 100];
    char name[2][100];
    snprintf(name[0], sizeof name[0], "%s/%s-images-idx3-ubyte%s", dir, prefix, gz ? ".gz" : "");
    snprintf(name[1], sizeof name[1], "%s/%s-labels-idx1-ubyte%s", dir, prefix, gz ? ".gz" : "");
    size_t n_x = idx_images(x, n, 4, 5), n_y = idx_labels(y, n);
    if (gz) {
        assert_ok(lt_make_dirs(in_scratch(dir)));
        put_gz(name[0], x, n_x);
        put_gz(name[1], y, n_y);
    } else {
        put_file(name[0], x, n_x);
        put_file(name[1], y, n_y);
    }
}

static void idx_plain_and_compressed(void **state)
{
    (void)state;
    put_idx_pair("idx", "train", 50, false);
    put_idx_pair("idx", "t10k", 20, false);
    put_idx_pair("idxgz", "train", 50, true);
    put_idx_pair("idxgz", "t10k", 20, true);
    lt_dataset *a = must_open(spec_of("mnist", "idx", "")), *b = must_open(spec_of("mnist", "idxgz", "")),
               *f = must_open(spec_of("fashion-mnist", "idx", ""));
    assert_int_equal(a->c, 1);
    assert_int_equal(a->h, 4);
    assert_int_equal(a->w, 5);
    assert_int_equal(a->split[LT_TRAIN].n, 50);
    assert_int_equal(a->split[LT_TEST].n, 20);
    assert_int_equal(a->split[LT_TRAIN].y[13], 3);
    assert_int_equal(a->split[LT_TRAIN].x[2 * 20 + 1], 41 * 3);
    assert_string_equal(a->digest, b->digest);
    assert_string_equal(a->class_names[7], "7");
    assert_string_equal(f->class_names[7], "Sneaker");
    lt_dataset_close(a);
    lt_dataset_close(b);
    lt_dataset_close(f);
}

static void idx_with_one_split(void **state)
{
    (void)state;
    put_idx_pair("t10k", "t10k", 100, false);
    assert_open_fails(LT_E_INPUT, "no training split: train-images-idx3-ubyte", spec_of("mnist", "t10k", ""));
    assert_contains(lt_error_get()->hint, "holdout=N");
    lt_events *events;
    heard h = {0};
    lt_dataset *ds;
    assert_ok(lt_events_create(&events));
    assert_ok(lt_events_add(events, (lt_sink){hear, &h}));
    assert_ok(lt_dataset_open(spec_of("mnist", "t10k", ",holdout=30"), events, &ds));
    assert_true(heard_of(&h, "data.holdout", "30 samples held out of the test files"));
    assert_int_equal(ds->split[LT_TRAIN].n, 70);
    assert_int_equal(ds->split[LT_TEST].n, 30);
    lt_dataset_close(ds);
    lt_events_destroy(events);
    unlink(in_scratch("t10k/t10k-labels-idx1-ubyte"));
    assert_open_fails(LT_E_INPUT, "no t10k-labels-idx1-ubyte", spec_of("mnist", "t10k", ",holdout=30"));
}

static void broken_idx(void **state)
{
    (void)state;
    static uint8_t x[16 + 3 * 20], y[8 + 4];
    size_t n_x = idx_images(x, 3, 4, 5), n_y = idx_labels(y, 3);
    enum { IMAGES, LABELS };
    static const struct {
        int file, at, value; // byte changed; at < 0: length changed by value
        const char *part;
    } cases[] = {
        {IMAGES, 2, 9, "X: magic number 0x00000903, expected 0x00000803"},
        {IMAGES, 3, 1, "X: magic number 0x00000801"},
        {LABELS, 3, 3, "Y: magic number 0x00000803, expected 0x00000801"},
        {IMAGES, -1, -1, "X: 59 bytes after the header, which announces 60"},
        {IMAGES, -1, -50, "X: 10 bytes after the header"},
        {IMAGES, -1, -70, "X: 6 bytes, expected an IDX header of 16"},
        {LABELS, -1, 1, "Y: 4 bytes after the header, which announces 3"},
        {LABELS, -1, -8, "Y: 3 bytes, expected an IDX header of 8"},
        {IMAGES, 4, 255, "which announces"},
        {IMAGES, 11, 0, "60 bytes after the header, which announces 0"},
        {LABELS, 9, 10, "Y: label 1 (byte 9) is 10, expected 0..9"},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        uint8_t bad_x[sizeof x], bad_y[sizeof y];
        memcpy(bad_x, x, sizeof x);
        memcpy(bad_y, y, sizeof y);
        size_t n[2] = {n_x, n_y};
        if (cases[k].at >= 0)
            (cases[k].file == IMAGES ? bad_x : bad_y)[cases[k].at] = (uint8_t)cases[k].value;
        else
            n[cases[k].file] += (size_t)cases[k].value;
        lti_raw raw = {.c = 1, .n_classes = 10};
        assert_fails(
            LT_E_FORMAT, cases[k].part,
            lti_idx_parse(&(lti_idx_source){bad_x, n[0], "X"}, &(lti_idx_source){bad_y, n[1], "Y"}, LT_TRAIN, &raw));
        lti_raw_clear(&raw);
    }
    uint8_t y4[12];
    size_t n_y4 = idx_labels(y4, 4);
    lti_raw raw = {.c = 1, .n_classes = 10};
    assert_fails(LT_E_FORMAT, "Y: 4 labels for the 3 images of X",
                 lti_idx_parse(&(lti_idx_source){x, n_x, "X"}, &(lti_idx_source){y4, n_y4, "Y"}, LT_TRAIN, &raw));
    raw.h = raw.w = 28;
    assert_fails(LT_E_FORMAT, "images of 5x4 pixels, those of the other split have 28x28",
                 lti_idx_parse(&(lti_idx_source){x, n_x, "X"}, &(lti_idx_source){y, n_y, "Y"}, LT_TRAIN, &raw));
    lti_raw_clear(&raw);
}

static void truncated_gzip(void **state)
{
    (void)state;
    put_idx_pair("cut", "train", 100, true);
    put_idx_pair("cut", "t10k", 20, true);
    char *bytes;
    size_t n;
    assert_ok(lt_read_file(in_scratch("cut/train-images-idx3-ubyte.gz"), 1 << 20, &bytes, &n));
    put_file("cut/train-images-idx3-ubyte.gz", bytes, n / 2);
    assert_open_fails(LT_E_FORMAT, "train-images-idx3-ubyte.gz: gzip data ends", spec_of("mnist", "cut", ""));
    bytes[n / 2] ^= 0x55;
    bytes[n / 2 + 1] ^= 0x55;
    put_file("cut/train-images-idx3-ubyte.gz", bytes, n);
    assert_open_fails(LT_E_FORMAT, "train-images-idx3-ubyte.gz: broken gzip data", spec_of("mnist", "cut", ""));
    free(bytes);
}

// ---- npz

typedef struct npz {
    lt_tensor t[4];
    uint8_t x[2][3 * 60];
    int64_t y64[2][3];
    int32_t y32[2][3];
    uint8_t y8[2][3];
} npz;

// Three images (n,3,4,5) or (n,4,5,3) a split; image i, channel c, pixel p: 60 i + 20 c + p.
static void fill_npz(npz *z, bool channels_last, lt_dtype y_type)
{
    static const char *const names[4] = {"train_x", "train_y", "test_x", "test_y"};
    memset(z, 0, sizeof *z);
    for (int s = 0; s < 2; s++) {
        for (int i = 0; i < 3; i++) {
            z->y64[s][i] = z->y32[s][i] = z->y8[s][i] = (uint8_t)(i + s);
            for (int c = 0; c < 3; c++)
                for (int p = 0; p < 20; p++)
                    z->x[s][60 * i + (channels_last ? 3 * p + c : 20 * c + p)] = (uint8_t)(60 * i + 20 * c + p);
        }
        z->t[2 * s] = (lt_tensor){
            .name = names[2 * s], .dtype = LT_U8, .n_dims = 4, .dim = {3, 3, 4, 5}, .data = z->x[s], .n_bytes = 180};
        if (channels_last)
            memcpy(z->t[2 * s].dim, (int64_t[]){3, 4, 5, 3}, 4 * sizeof(int64_t));
        size_t size = y_type == LT_I64 ? 8 : y_type == LT_I32 ? 4 : 1;
        void *y = y_type == LT_I64 ? (void *)z->y64[s] : y_type == LT_I32 ? (void *)z->y32[s] : z->y8[s];
        z->t[2 * s + 1] = (lt_tensor){
            .name = names[2 * s + 1], .dtype = y_type, .n_dims = 1, .dim = {3}, .data = y, .n_bytes = 3 * size};
    }
}

static void npz_layouts_and_types(void **state)
{
    (void)state;
    static npz z;
    char digest[65] = "";
    static const lt_dtype types[] = {LT_I64, LT_I32, LT_U8};
    for (int k = 0; k < 6; k++) {
        fill_npz(&z, k % 2 == 1, types[k / 2]);
        if (k == 3) { // (n,1) labels and the other names
            z.t[1].n_dims = z.t[3].n_dims = 2;
            z.t[1].dim[1] = z.t[3].dim[1] = 1;
            z.t[0].name = "x_train";
            z.t[1].name = "y_train";
            z.t[2].name = "test_images";
            z.t[3].name = "test_labels";
        }
        assert_ok(lt_npz_write(in_scratch("set.npz"), z.t, 4));
        lt_dataset *ds = must_open(spec_of("npz", "set.npz", ""));
        assert_int_equal(ds->c, 3);
        assert_int_equal(ds->h, 4);
        assert_int_equal(ds->w, 5);
        assert_int_equal(ds->n_classes, 4);
        for (int i = 0; i < 180; i++)
            assert_int_equal(ds->split[LT_TRAIN].x[i], i);
        assert_int_equal(ds->split[LT_TEST].y[2], 3);
        if (k > 0)
            assert_string_equal(digest, ds->digest);
        snprintf(digest, sizeof digest, "%s", ds->digest);
        lt_dataset_close(ds);
    }
    fill_npz(&z, false, LT_U8); // grey without a channel axis
    for (int s = 0; s < 2; s++) {
        z.t[2 * s].n_dims = 3;
        memcpy(z.t[2 * s].dim, (int64_t[]){3, 12, 5}, 3 * sizeof(int64_t));
    }
    assert_ok(lt_npz_write(in_scratch("set.npz"), z.t, 4));
    lt_dataset *ds = must_open(spec_of("npz", "set.npz", ""));
    assert_int_equal(ds->c, 1);
    assert_int_equal(ds->h, 12);
    lt_dataset_close(ds);
}

static void npz_ambiguous_layout(void **state)
{
    (void)state;
    static npz z;
    fill_npz(&z, false, LT_U8);
    for (int s = 0; s < 2; s++)
        memcpy(z.t[2 * s].dim, (int64_t[]){3, 3, 20, 1}, 4 * sizeof(int64_t));
    assert_ok(lt_npz_write(in_scratch("set.npz"), z.t, 4));
    assert_open_fails(LT_E_FORMAT, "shape (3,3,20,1) does not show", spec_of("npz", "set.npz", ""));
    assert_contains(lt_error_get()->hint, "layout=");
    lt_dataset *ds = must_open(spec_of("npz", "set.npz", ",layout=nchw"));
    assert_int_equal(ds->c, 3);
    assert_int_equal(ds->w, 1);
    lt_dataset_close(ds);
    ds = must_open(spec_of("npz", "set.npz", ",layout=nhwc"));
    assert_int_equal(ds->c, 1);
    assert_int_equal(ds->h, 3);
    assert_int_equal(ds->w, 20);
    lt_dataset_close(ds);
    assert_open_fails(LT_E_USAGE, "layout=chwn", spec_of("npz", "set.npz", ",layout=chwn"));
}

static void broken_npz(void **state)
{
    (void)state;
    static npz z;
    const char *spec = spec_of("npz", "bad.npz", "");
    fill_npz(&z, false, LT_I64);
    z.y64[0][1] = -1;
    assert_ok(lt_npz_write(in_scratch("bad.npz"), z.t, 4));
    assert_open_fails(LT_E_FORMAT, "train_y: label -1 of sample 1", spec);
    fill_npz(&z, false, LT_I64);
    z.t[3].dim[0] = 2;
    z.t[3].n_bytes = 16;
    assert_ok(lt_npz_write(in_scratch("bad.npz"), z.t, 4));
    assert_open_fails(LT_E_FORMAT, "test_y: expected 3 labels in one column", spec);
    fill_npz(&z, false, LT_I64);
    static float x32[180];
    z.t[0].dtype = LT_F32;
    z.t[0].data = x32;
    z.t[0].n_bytes = sizeof x32;
    assert_ok(lt_npz_write(in_scratch("bad.npz"), z.t, 4));
    assert_open_fails(LT_E_FORMAT, "train_x: expected uint8 images", spec);
    fill_npz(&z, false, LT_I64);
    memcpy(z.t[2].dim, (int64_t[]){3, 3, 5, 4}, 4 * sizeof(int64_t));
    assert_ok(lt_npz_write(in_scratch("bad.npz"), z.t, 4));
    assert_open_fails(LT_E_FORMAT, "images of 3x5x4, those of the other split have 3x4x5", spec);
    fill_npz(&z, false, LT_I64);
    assert_ok(lt_npz_write(in_scratch("bad.npz"), z.t, 3));
    assert_open_fails(LT_E_FORMAT, "there is test_x, but no array of its labels", spec);
    assert_ok(lt_npz_write(in_scratch("bad.npz"), z.t, 2));
    assert_open_fails(LT_E_INPUT, "no test split: the file has no arrays test_x", spec);
    put_text("bad.npz", "PK not really");
    assert_open_fails(LT_E_FORMAT, "bad.npz", spec);
}

static void failing_allocations(void **state)
{
    (void)state;
    put_cifar10_dir("nomem", 2);
    put_idx_pair("nomem-idx", "train", 5, true);
    put_idx_pair("nomem-idx", "t10k", 5, false);
    check_every_allocation(spec_of("cifar10", "nomem", ",allow-partial=1"));
    check_every_allocation(spec_of("mnist", "nomem-idx", ""));
}

// ---- the real files, where they are

static void real_cifar10(void **state)
{
    (void)state;
    const char *dir = real_data("cifar-10-batches-bin", "cifar10");
    if (!dir) {
        print_message("no CIFAR-10 here: skipped\n");
        skip();
    }
    char spec[500];
    snprintf(spec, sizeof spec, "cifar10:%s,train-limit=1000,test-limit=100", dir);
    lt_dataset *ds = must_open(spec);
    int64_t count[10] = {0};
    for (int i = 0; i < 1000; i++)
        count[ds->split[LT_TRAIN].y[i]]++;
    for (int k = 0; k < 10; k++)
        assert_int_equal(count[k], 100);
    lt_dataset_close(ds);
}

static void real_samples(void **state)
{
    (void)state;
    static const struct {
        const char *folder, *unpack, *kind, *keys;
        int64_t n_train, n_test;
        int c, h, n_classes;
    } sets[] = {
        {"mnist", "mnist", "mnist", ",holdout=2000", 8000, 2000, 1, 28, 10},
        {"fashion-mnist", "fashion-mnist", "fashion-mnist", ",holdout=2000", 8000, 2000, 1, 28, 10},
        {"cifar-100-sample", "cifar100", "cifar100", ",holdout=100", 400, 100, 3, 32, 100},
        {"tiny-imagenet-200-sample", "tiny-imagenet", "tiny-imagenet", "", 400, 100, 3, 64, 10},
        {"tiny-imagenet-200-sample", "tiny-imagenet", "folder", ",holdout=100", 300, 100, 3, 64, 10},
        {"tiny-imagenet-200-sample", "tiny-imagenet", "folder", ",holdout=100,size=32", 300, 100, 3, 32, 10},
    };
    int n_found = 0;
    for (size_t k = 0; k < sizeof sets / sizeof *sets; k++) {
        const char *dir = real_data(sets[k].folder, sets[k].unpack);
        if (!dir)
            continue;
        char spec[500];
        snprintf(spec, sizeof spec, "%s:%s%s", sets[k].kind, dir, sets[k].keys);
        lt_dataset *ds = must_open(spec);
        n_found++;
        assert_int_equal(ds->split[LT_TRAIN].n, sets[k].n_train);
        assert_int_equal(ds->split[LT_TEST].n, sets[k].n_test);
        assert_int_equal(ds->c, sets[k].c);
        assert_int_equal(ds->h, sets[k].h);
        assert_int_equal(ds->n_classes, sets[k].n_classes);
        lt_dataset_close(ds);
    }
    if (n_found == 0) {
        print_message("no real samples here: skipped\n");
        skip();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cifar10_order_is_file_after_file),
        cmocka_unit_test(cifar10_files_of_the_wrong_size),
        cmocka_unit_test(cifar10_wrong_labels),
        cmocka_unit_test(cifar10_without_files),
        cmocka_unit_test(cifar100_labels),
        cmocka_unit_test(a_single_sample_file),
        cmocka_unit_test(cifar10_inside_a_tar),
        cmocka_unit_test(idx_plain_and_compressed),
        cmocka_unit_test(idx_with_one_split),
        cmocka_unit_test(broken_idx),
        cmocka_unit_test(truncated_gzip),
        cmocka_unit_test(npz_layouts_and_types),
        cmocka_unit_test(npz_ambiguous_layout),
        cmocka_unit_test(broken_npz),
        cmocka_unit_test(failing_allocations),
        cmocka_unit_test(real_cifar10),
        cmocka_unit_test(real_samples),
    };
    return cmocka_run_group_tests(tests, scratch_begin, scratch_end);
}
