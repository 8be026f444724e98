// test_images.c - class folders and tar archives of images.
#include "data_test.h"
#include "lethe/dataset_info.h"
#include <archive.h>
#include <archive_entry.h>
#include <zlib.h>

// ---- class folders

static void put_grey_png(const char *name, int h, int w, uint8_t mark)
{
    uint8_t *px = malloc((size_t)(h * w)), *bytes;
    memset(px, mark, (size_t)(h * w));
    size_t n = make_png(px, h, w, PNG_COLOR_TYPE_GRAY, 8, false, (size_t)w, &bytes);
    put_file(name, bytes, n);
    free(px);
    free(bytes);
}

// Sets of a few pictures whose first byte says which one it is.
static void put_folder(const char *root)
{
    static const struct {
        const char *name;
        uint8_t mark;
    } files[] = {
        {"train/dog/b.png", 13},     {"train/dog/a.png", 12}, {"train/cat/10.png", 3}, {"train/cat/2.png", 5},
        {"train/cat/deep/1.PNG", 7}, {"test/cat/1.png", 21},  {"test/dog/1.png", 22},  {"val/dog/1.png", 99},
    };
    char name[200];
    for (size_t k = 0; k < sizeof files / sizeof *files; k++) {
        snprintf(name, sizeof name, "%s/%s", root, files[k].name);
        put_marked_png(name, 6, 8, files[k].mark);
    }
}

static void check_folder(const lt_dataset *ds)
{
    static const uint8_t marks[5] = {3, 5, 7, 12, 13};
    assert_int_equal(ds->n_classes, 2);
    assert_string_equal(ds->class_names[0], "cat");
    assert_string_equal(ds->class_names[1], "dog");
    assert_int_equal(ds->c, 3);
    assert_int_equal(ds->h, 6);
    assert_int_equal(ds->w, 8);
    assert_int_equal(ds->split[LT_TRAIN].n, 5);
    for (int i = 0; i < 5; i++) {
        const uint8_t *x = ds->split[LT_TRAIN].x + i * 144;
        assert_int_equal(ds->split[LT_TRAIN].y[i], i < 3 ? 0 : 1);
        assert_int_equal(x[0], marks[i]);
        assert_int_equal(x[47], marks[i] + 10);
        assert_int_equal(x[48], marks[i] + 40);
    }
    assert_int_equal(ds->split[LT_TEST].n, 2);
    assert_int_equal(ds->split[LT_TEST].x[0], 21);
    assert_int_equal(ds->split[LT_TEST].x[144], 22);
}

static void class_folders(void **state)
{
    (void)state;
    put_folder("folder");
    put_text("folder/train/cat/notes.txt", "not a picture");
    put_text("folder/train/list.csv", "neither");
    put_text("folder/train/cat/.hidden.png", "nor this");
    lt_events *events;
    heard h = {0};
    lt_dataset *ds;
    assert_ok(lt_events_create(&events));
    assert_ok(lt_events_add(events, (lt_sink){hear, &h}));
    assert_ok(lt_dataset_open(spec_of("folder", "folder", ""), events, &ds));
    assert_true(heard_of(&h, "data.skipped", "2 files that are not images"));
    check_folder(ds);
    lt_dataset_close(ds);
    lt_events_destroy(events);
    ds = must_open(spec_of("folder", "folder/train", ",holdout=1")); // class folders alone
    assert_int_equal(ds->split[LT_TRAIN].n, 4);
    assert_int_equal(ds->split[LT_TEST].n, 1);
    lt_dataset_close(ds);
    ds = must_open(spec_of("folder", "folder", ",size=3"));
    assert_int_equal(ds->h, 3);
    assert_int_equal(ds->w, 3);
    lt_dataset_close(ds);
}

static void grey_and_colour(void **state)
{
    (void)state;
    put_grey_png("grey/train/a/1.png", 4, 4, 50);
    put_grey_png("grey/train/b/1.png", 4, 4, 60);
    put_grey_png("grey/test/a/1.png", 4, 4, 70);
    lt_dataset *ds = must_open(spec_of("folder", "grey", ""));
    assert_int_equal(ds->c, 1);
    assert_int_equal(ds->split[LT_TRAIN].x[16], 60);
    lt_dataset_close(ds);
    put_marked_png("grey/test/b/1.png", 4, 4, 80); // one colour picture makes the set a colour set
    ds = must_open(spec_of("folder", "grey", ""));
    assert_int_equal(ds->c, 3);
    for (int p = 0; p < 48; p++)
        assert_int_equal(ds->split[LT_TRAIN].x[p], 50);
    assert_int_equal(ds->split[LT_TEST].x[48], 80);
    assert_int_equal(ds->split[LT_TEST].x[48 + 16], 120);
    lt_dataset_close(ds);
}

// What is no file of the set is left out and said, and nothing waits for a pipe that nobody writes to.
static void pipes_and_links_are_skipped(void **state)
{
    (void)state;
    put_folder("odd");
    put_marked_png("outside/1.png", 6, 8, 99);
    assert_int_equal(mkfifo(in_scratch("odd/train/cat/0.png"), 0600), 0);
    assert_int_equal(symlink("../../../outside/1.png", in_scratch("odd/train/cat/9.png")), 0);
    assert_int_equal(symlink("nowhere.png", in_scratch("odd/train/cat/8.png")), 0);
    assert_int_equal(symlink("../../outside", in_scratch("odd/train/emu")), 0);
    lt_events *events;
    heard h = {0};
    lt_dataset *ds;
    assert_ok(lt_events_create(&events));
    assert_ok(lt_events_add(events, (lt_sink){hear, &h}));
    assert_ok(lt_dataset_open(spec_of("folder", "odd", ""), events, &ds));
    assert_true(heard_of(&h, "data.skipped", "4 entries were skipped because they are pipes"));
    assert_true(heard_of(&h, "data.skipped", "odd/train/"));
    check_folder(ds);
    lt_dataset_close(ds);
    // Links inside the set count as what they lead to.
    assert_int_equal(symlink("../dog/a.png", in_scratch("odd/train/cat/7.png")), 0);
    assert_ok(lt_dataset_open(spec_of("folder", "odd", ""), events, &ds));
    assert_int_equal(ds->split[LT_TRAIN].n, 6);
    lt_dataset_close(ds);
    lt_events_destroy(events);
    assert_int_equal(mkfifo(in_scratch("fifo.tar"), 0600), 0);
    assert_open_fails(LT_E_INPUT, "a device or a pipe", spec_of("tar", "fifo.tar", ""));
    assert_ok(lt_make_dirs(in_scratch("shards")));
    assert_int_equal(mkfifo(in_scratch("shards/train-000.tar"), 0600), 0);
    assert_open_fails(LT_E_INPUT, "no training shards", spec_of("tar", "shards", ""));
}

static void bad_folders(void **state)
{
    (void)state;
    put_folder("bad");
    put_marked_png("bad/train/cat/z.png", 6, 9, 1);
    assert_open_fails(LT_E_FORMAT, "z.png: 9x6 pixels, but the first image has 8x6", spec_of("folder", "bad", ""));
    assert_contains(lt_error_get()->hint, "size=N");
    lt_dataset_close(must_open(spec_of("folder", "bad", ",size=6")));
    put_text("bad/train/cat/z.png", "this is text");
    assert_open_fails(LT_E_FORMAT, "bad/train/cat/z.png: neither a JPEG nor a PNG", spec_of("folder", "bad", ""));
    char *bytes;
    size_t n;
    assert_ok(lt_read_file(in_scratch("bad/train/cat/2.png"), 10000, &bytes, &n));
    put_file("bad/train/cat/z.png", bytes, n - 20);
    free(bytes);
    assert_open_fails(LT_E_FORMAT, "z.png: damaged PNG", spec_of("folder", "bad", ""));
    unlink(in_scratch("bad/train/cat/z.png"));
    put_text("bad/train/cat/z.webp", "RIFF");
    assert_open_fails(LT_E_FORMAT, "z.webp: this image format is not read", spec_of("folder", "bad", ""));
    unlink(in_scratch("bad/train/cat/z.webp"));
    put_marked_png("bad/test/emu/1.png", 6, 8, 1);
    assert_open_fails(LT_E_FORMAT, "class 'emu' is in the test split only", spec_of("folder", "bad", ""));
    lt_dataset_close(must_open(spec_of("folder", "bad", ",holdout=1"))); // leaves test unread
    put_text("bad/train/ant/readme", "x");
    assert_open_fails(LT_E_FORMAT, "ant: a class folder without JPEG or PNG images", spec_of("folder", "bad", ""));
    assert_open_fails(LT_E_INPUT, "is not a folder", spec_of("folder", "bad/train/dog/a.png", ""));
    put_marked_png("deep/train/a/2/3/4/5/6/7/8/1.png", 6, 8, 1);
    lt_dataset_close(must_open(spec_of("folder", "deep", ",allow-partial=1")));
    put_marked_png("deep/train/a/2/3/4/5/6/7/8/9/1.png", 6, 8, 1);
    assert_open_fails(LT_E_FORMAT, "folders nested deeper than 8", spec_of("folder", "deep", ",allow-partial=1"));
    assert_ok(lt_make_dirs(in_scratch("empty")));
    assert_open_fails(LT_E_INPUT, "there are no class folders", spec_of("folder", "empty", ""));
    put_marked_png("flat/1.png", 6, 8, 1);
    assert_open_fails(LT_E_INPUT, "there are no class folders", spec_of("folder", "flat", ""));
}

// ---- Tiny ImageNet

static void put_tiny(const char *root, const char *annotations)
{
    static const char *const files[] = {"train/n2/images/n2_0.png", "train/n1/images/n1_0.png",
                                        "train/n1/images/n1_1.png", "val/images/val_0.png", "val/images/val_1.png"};
    char name[200];
    for (int k = 0; k < 5; k++) {
        snprintf(name, sizeof name, "%s/%s", root, files[k]);
        put_marked_png(name, 6, 8, (uint8_t)(k + 1));
    }
    snprintf(name, sizeof name, "%s/train/n1/n1_boxes.txt", root);
    put_text(name, "n1_0.png\t0\t0\t5\t5\n");
    snprintf(name, sizeof name, "%s/val/val_annotations.txt", root);
    put_text(name, annotations);
}

static void tiny_imagenet(void **state)
{
    (void)state;
    put_tiny("tiny", "val_1.png\tn1\t0\t0\t5\t5\r\n\nval_0.png\tn2\n");
    lt_dataset *ds = must_open(spec_of("tiny-imagenet", "tiny", ""));
    assert_int_equal(ds->n_classes, 2);
    assert_string_equal(ds->class_names[0], "n1");
    assert_int_equal(ds->split[LT_TRAIN].n, 3);
    assert_int_equal(ds->split[LT_TEST].n, 2);
    for (int i = 0; i < 2; i++) // val_1 is mark 5 of n1, val_0 mark 4 of n2
        assert_int_equal(ds->split[LT_TEST].x[i * 144], ds->split[LT_TEST].y[i] == 0 ? 5 : 4);
    assert_true(ds->split[LT_TEST].y[0] != ds->split[LT_TEST].y[1]);
    lt_dataset_close(ds);
}

static void bad_annotations(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
        lt_status code;
    } cases[] = {
        {"val_0.png n1\n", "line 1: expected FILE, a tab and a class, found no tab", LT_E_FORMAT},
        {"\nval_0.png\t\t1\n", "line 2: expected FILE, a tab and a class, found an empty class", LT_E_FORMAT},
        {"../images/val_0.png\tn1\n", "found no name of a file", LT_E_FORMAT},
        {"val_0.png\tn3\n", "its class n3 has no training images", LT_E_FORMAT},
        {"val_9.png\tn1\n", "val_9.png", LT_E_INPUT},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        put_tiny("tiny-bad", cases[k].text);
        assert_open_fails(cases[k].code, cases[k].message, spec_of("tiny-imagenet", "tiny-bad", ""));
    }
    put_folder("tiny-folders"); // val with class folders
    lt_dataset *ds = must_open(spec_of("tiny-imagenet", "tiny-folders", ""));
    check_folder(ds);
    lt_dataset_close(ds);
}

// ---- archives

typedef struct entry {
    const char *name;
    const void *bytes;
    size_t n;
} entry;

static void put_tar(const char *name, const entry *entries, int n)
{
    struct archive *a = archive_write_new();
    archive_write_set_format_pax_restricted(a);
    archive_write_add_filter_none(a);
    char dir[400];
    snprintf(dir, sizeof dir, "%s", in_scratch(name));
    *strrchr(dir, '/') = '\0';
    assert_ok(lt_make_dirs(dir));
    assert_int_equal(archive_write_open_filename(a, in_scratch(name)), ARCHIVE_OK);
    for (int i = 0; i < n; i++) {
        struct archive_entry *e = archive_entry_new();
        archive_entry_set_pathname(e, entries[i].name);
        archive_entry_set_size(e, (la_int64_t)entries[i].n);
        archive_entry_set_filetype(e, entries[i].bytes ? AE_IFREG : AE_IFDIR);
        archive_entry_set_perm(e, 0644);
        archive_write_header(a, e);
        if (entries[i].bytes)
            archive_write_data(a, entries[i].bytes, entries[i].n);
        archive_entry_free(e);
    }
    archive_write_close(a);
    archive_write_free(a);
}

static void class_folders_in_a_tar(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint8_t mark;
    } files[] = {
        // archive order is not path order; another name for the top folder
        {"set/val/dog/1.png", 99},       {"set/test/dog/1.png", 22},  {"set/train/dog/b.png", 13},
        {"set/train/cat/deep/1.PNG", 7}, {"set/train/cat/2.png", 5},  {"set/train/dog/a.png", 12},
        {"set/test/cat/1.png", 21},      {"set/train/cat/10.png", 3},
    };
    enum { N = sizeof files / sizeof *files };
    entry entries[N + 3] = {
        {"set/", NULL, 0}, {"set/train/readme.txt", "text", 4}, {"set/train/cat/._2.png", "junk", 4}};
    uint8_t *bytes[N];
    for (int i = 0; i < N; i++) {
        size_t n = marked_png(6, 8, files[i].mark, &bytes[i]);
        entries[i + 3] = (entry){files[i].name, bytes[i], n};
    }
    put_tar("folders.tar", entries, N + 3);
    put_folder("same");
    lt_dataset *tar = must_open(spec_of("tar", "folders.tar", "")), *dir = must_open(spec_of("folder", "same", ""));
    check_folder(tar);
    assert_string_equal(tar->digest, dir->digest);
    lt_dataset_close(tar);
    lt_dataset_close(dir);
    entry flat[2] = {{"one.png", bytes[0], entries[3].n}};
    put_tar("flat.tar", flat, 1);
    assert_open_fails(LT_E_FORMAT, "one.png is not in a class folder", spec_of("tar", "flat.tar", ""));
    char *whole;
    size_t n;
    assert_ok(lt_read_file(in_scratch("folders.tar"), 1 << 20, &whole, &n));
    put_file("cut.tar", whole, n / 2 + 100);
    assert_open_fails(LT_E_FORMAT, "cut.tar", spec_of("tar", "cut.tar", ""));
    free(whole);
    for (int i = 0; i < N; i++)
        free(bytes[i]);
}

static void cifar10_from_images(void **state)
{
    (void)state;
    static const char *const names[10] = {"airplane", "automobile", "bird",  "cat",  "deer",
                                          "dog",      "frog",       "horse", "ship", "truck"};
    char name[100];
    entry entries[20];
    uint8_t *bytes[20];
    static char entry_name[20][100];
    for (int k = 0; k < 20; k++) {
        snprintf(entry_name[k], sizeof entry_name[k], "%s/%s/0001.png", k < 10 ? "train" : "test", names[k % 10]);
        size_t n = marked_png(32, 32, (uint8_t)(k * 5), &bytes[k]);
        entries[k] = (entry){entry_name[k], bytes[k], n};
        snprintf(name, sizeof name, "c10img/%s/%s/0001.png", k < 10 ? "train" : "test", names[k % 10]);
        put_file(name, bytes[k], n);
    }
    put_tar("c10img.tar", entries, 20);
    lt_events *events;
    heard h = {0};
    lt_dataset *dir, *tar;
    assert_ok(lt_events_create(&events));
    assert_ok(lt_events_add(events, (lt_sink){hear, &h}));
    assert_ok(lt_dataset_open(spec_of("cifar10", "c10img", ""), events, &dir));
    assert_true(heard_of(&h, "data.order", "do not apply"));
    lt_events_destroy(events);
    tar = must_open(spec_of("cifar10", "c10img.tar", ""));
    assert_int_equal(dir->n_classes, 10);
    for (int k = 0; k < 10; k++) {
        assert_int_equal(dir->split[LT_TRAIN].y[k], k);
        assert_int_equal(dir->split[LT_TRAIN].x[k * 3072], k * 5);
        assert_string_equal(dir->class_names[k], names[k]);
    }
    assert_string_equal(dir->digest, tar->digest);
    lt_dataset_close(dir);
    lt_dataset_close(tar);
    put_folder("not-cifar");
    assert_open_fails(LT_E_FORMAT, "2 class folders of 8x6 images, expected 10 of 32x32",
                      spec_of("cifar10", "not-cifar", ""));
    assert_int_equal(rename(in_scratch("c10img/train/truck"), in_scratch("c10img/train/van")), 0);
    assert_int_equal(rename(in_scratch("c10img/test/truck"), in_scratch("c10img/test/van")), 0);
    assert_open_fails(LT_E_FORMAT, "class folder 'van', expected 'truck' or '9'", spec_of("cifar10", "c10img", ""));
    for (int k = 0; k < 20; k++)
        free(bytes[k]);
}

static uint8_t *shard_png[4];
static size_t shard_n[4];

static entry png_entry(const char *name, int k)
{
    if (!shard_png[k])
        shard_n[k] = marked_png(6, 8, (uint8_t)(10 * k), &shard_png[k]);
    return (entry){name, shard_png[k], shard_n[k]};
}

static void shards(void **state)
{
    (void)state;
    entry a[] = {png_entry("x/000.png", 0), {"x/._000.png", "junk", 4}, {"x/000.cls", "2", 1},
                 {"x/000.json", "{}", 2},   {"x/001.cls", "0\n", 2},    png_entry("x/001.png", 1)};
    entry b[] = {png_entry("002.seg.png", 3), png_entry("002.png", 2), {"002.cls", "11", 2}};
    entry t[] = {png_entry("0.png", 3), {"0.cls", "1", 1}};
    put_tar("wds/train-000.tar", a, sizeof a / sizeof *a);
    put_tar("wds/train-001.tar", b, 3);
    put_tar("wds/test-000.tar", t, 2);
    put_text("wds/README", "text");
    lt_dataset *ds = must_open(spec_of("tar", "wds", ""));
    assert_int_equal(ds->n_classes, 12);
    assert_int_equal(ds->split[LT_TRAIN].n, 3);
    static const int32_t labels[3] = {2, 0, 11};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(ds->split[LT_TRAIN].y[i], labels[i]);
        assert_int_equal(ds->split[LT_TRAIN].x[i * 144], 10 * i);
        assert_int_equal(ds->split[LT_TRAIN].id[i], i);
    }
    assert_int_equal(ds->split[LT_TEST].n, 1);
    assert_int_equal(ds->split[LT_TEST].x[0], 30);
    // a request names samples by their files in the shards
    static const char *const requests[] = {"name:002.png", "name:train-001.tar/002.png", "name:*2.png"};
    assert_string_equal(ds->split[LT_TRAIN].name[0], "train-000.tar/x/000.png");
    assert_string_equal(ds->split[LT_TRAIN].name[2], "train-001.tar/002.png");
    for (size_t k = 0; k < sizeof requests / sizeof *requests; k++) {
        lt_index_set f;
        assert_ok(lt_forget_parse(ds, requests[k], 1, &f));
        assert_int_equal(f.n, 1);
        assert_int_equal(f.row[0], 2);
        lt_index_set_clear(&f);
    }
    lt_index_set in_folder;
    assert_ok(lt_forget_parse(ds, "name:x/001.png", 1, &in_folder));
    assert_int_equal(in_folder.row[0], 1);
    lt_index_set_clear(&in_folder);
    // the same in folders, and one shard alone
    put_tar("wds2/train/000.tar", a, sizeof a / sizeof *a);
    put_tar("wds2/train/001.tar", b, 3);
    put_tar("wds2/val/000.tar", t, 2);
    lt_dataset *same = must_open(spec_of("tar", "wds2", ""));
    assert_string_equal(ds->digest, same->digest);
    lt_dataset_close(same);
    lt_dataset_close(ds);
    assert_open_fails(LT_E_INPUT, "no test split", spec_of("tar", "wds/train-000.tar", ""));
    ds = must_open(spec_of("tar", "wds/train-000.tar", ",holdout=1"));
    assert_int_equal(ds->split[LT_TRAIN].n, 1);
    lt_dataset_close(ds);
    assert_ok(lt_make_dirs(in_scratch("wds3")));
    assert_open_fails(LT_E_INPUT, "no training shards", spec_of("tar", "wds3", ""));
}

static void bad_shards(void **state)
{
    (void)state;
    static const char long_label[65] = "1";
    entry good[] = {png_entry("0.png", 0), {"0.cls", "1", 1}};
    const struct {
        entry e[3];
        int n;
        const char *part;
    } cases[] = {
        {{png_entry("0.png", 0), png_entry("1.png", 0), {"1.cls", "1", 1}}, 3, "sample '0' has an image but no .cls"},
        {{{"0.cls", "1", 1}, png_entry("1.png", 0), {"1.cls", "1", 1}}, 3, "sample '0' has a .cls file but no image"},
        {{png_entry("0.png", 0), {"0.cls", "cat", 3}}, 2, "0.cls: not a class number"},
        {{png_entry("0.png", 0), {"0.cls", "", 0}}, 2, "0.cls: not a class number"},
        {{png_entry("0.png", 0), {"0.cls", "-1", 2}}, 2, "0.cls: not a class number"},
        {{png_entry("0.png", 0), {"0.cls", "100000", 6}}, 2, "0.cls: not a class number, expected 0..99999"},
        {{png_entry("0.png", 0), {"0.cls", long_label, sizeof long_label}}, 2, "0.cls: 65 bytes, expected at most 64"},
        {{png_entry("0.png", 0), {"0.cls", "1", 1}, {"0.cls", "2", 1}}, 3, "sample '0' has two labels"},
        {{png_entry("0.png", 0), png_entry("0.jpg", 0), {"0.cls", "2", 1}}, 3, "sample '0' has two images"},
        {{{"0.png", "text", 4}, {"0.cls", "2", 1}}, 2, "train-0.tar: 0.png: neither a JPEG nor a PNG"},
    };
    put_tar("badwds/test-0.tar", good, 2);
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        put_tar("badwds/train-0.tar", cases[k].e, cases[k].n);
        assert_open_fails(LT_E_FORMAT, cases[k].part, spec_of("tar", "badwds", ""));
    }
}

static void failing_allocations(void **state)
{
    (void)state;
    put_folder("nomem");
    check_every_allocation(spec_of("folder", "nomem", ",size=4"));
    uint8_t px[27] = {9}, *jpeg;
    size_t n = make_jpeg(px, 3, 3, 3, &jpeg);
    entry e[] = {{"0.jpg", jpeg, n}, {"0.cls", "1", 1}, {"1.jpg", jpeg, n}, {"1.cls", "0", 1}};
    put_tar("nomem-wds/train.tar", e, 4);
    put_tar("nomem-wds/test.tar", e, 4);
    check_every_allocation(spec_of("tar", "nomem-wds", ""));
    entry f[] = {{"train/a/0.jpg", jpeg, n}, {"train/b/0.jpg", jpeg, n}, {"test/a/0.jpg", jpeg, n}};
    put_tar("nomem.tar", f, 3);
    check_every_allocation(spec_of("tar", "nomem.tar", ""));
    free(jpeg);
}

static int end(void **state)
{
    for (int k = 0; k < 4; k++)
        free(shard_png[k]);
    return scratch_end(state);
}

// ---- shards that were packed

static void check_packed(const lt_dataset *ds, const char *spec)
{
    lt_dataset *back = must_open(spec);
    assert_string_equal(back->digest, ds->digest); // shape, labels, ids and pixels
    assert_int_equal(back->n_classes, ds->n_classes);
    for (int k = 0; k < ds->n_classes; k++)
        assert_string_equal(back->class_names[k], ds->class_names[k]);
    lt_dataset_close(back);
}

static void packed_shards(void **state)
{
    (void)state;
    static uint8_t grey[3 * 6];
    static const int32_t y[3] = {0, 2, 0};
    lt_dataset *ds = must_open("synthetic:train=53,test=20"), *small;
    assert_ok(lt_dataset_pack(ds, in_scratch("packed"), 25, NULL));
    assert_true(lti_is_file(in_scratch("packed/train-000002.tar")) &&
                lti_is_file(in_scratch("packed/test-000000.tar")));
    assert_false(lti_is_file(in_scratch("packed/train-000003.tar")));
    check_packed(ds, spec_of("tar", "packed", ""));
    assert_fails(LT_E_USAGE, "packed: expected a new or an empty folder, found test-000000.tar in it",
                 lt_dataset_pack(ds, in_scratch("packed"), 25, NULL));
    assert_ok(lt_dataset_export(ds, LT_DATASET_TAR, in_scratch("packed.tar")));
    check_packed(ds, spec_of("tar", "packed.tar", ""));
    assert_ok(lt_dataset_pack(ds, in_scratch("again.tar"), 1, NULL)); // the same bytes
    char *one, *two;
    size_t n, m;
    assert_ok(lt_read_file(in_scratch("packed.tar"), 1 << 24, &one, &n));
    assert_ok(lt_read_file(in_scratch("again.tar"), 1 << 24, &two, &m));
    assert_int_equal(n, m);
    assert_memory_equal(one, two, n);
    lti_free(one);
    lti_free(two);
    lt_dataset_close(ds);
    for (size_t k = 0; k < sizeof grey; k++)
        grey[k] = (uint8_t)(37 * k);
    // grey, and of four classes two without a sample
    assert_ok(lt_dataset_from_arrays(1, 2, 3, 4, 3, grey, y, 1, grey, y, &small));
    assert_ok(lt_dataset_pack(small, in_scratch("grey.tar"), 10, NULL));
    check_packed(small, spec_of("tar", "grey.tar", ""));
    lt_dataset_close(small);
    ds = must_open("moving-glyphs:train=2,test=2");
    assert_fails(LT_E_UNSUPPORTED, "event recordings are not written as shards",
                 lt_dataset_pack(ds, in_scratch("events.tar"), 10, NULL));
    lt_dataset_close(ds);
    assert_ok(lt_dataset_from_arrays(2, 1, 3, 3, 3, grey, y, 1, grey, y, &small));
    assert_fails(LT_E_SHAPE, "1 or 3 channels, not 2", lt_dataset_pack(small, in_scratch("two.tar"), 10, NULL));
    lt_dataset_close(small);
}

static void a_pack_that_fails_leaves_nothing(void **state)
{
    (void)state;
    lt_dataset *ds = must_open("synthetic:train=6,test=2");
    lt_status status = LT_E_NOMEM;
    for (int64_t k = 1; status != LT_OK; k++) {
        assert_true(k < 2000);
        lti_alloc_fail_at(k);
        status = lt_dataset_pack(ds, in_scratch("fail"), 3, NULL);
        lti_alloc_fail_at(0);
        lti_paths left;
        if (status == LT_OK || !lti_is_dir(in_scratch("fail")))
            continue;
        assert_int_equal(status, LT_E_NOMEM);
        assert_ok(lti_list_dir(&(lti_open_args){.kind = "tar"}, in_scratch("fail"), &left));
        assert_int_equal(left.n, 0);
        lti_paths_clear(&left);
    }
    check_packed(ds, spec_of("tar", "fail", ""));
    lt_dataset_close(ds);
}

static void an_interrupted_pack_leaves_nothing(void **state)
{
    (void)state;
    lt_dataset *ds = must_open("synthetic:train=6,test=2");
    lt_interrupt_flag stop = 0;
    lti_paths left;
    assert_ok(lt_make_dirs(in_scratch("stopped/empty")));
    lt_interrupt(&stop);
    assert_fails(LT_E_INTERRUPTED, "interrupted, nothing was written",
                 lt_dataset_pack(ds, in_scratch("stopped/new/"), 3, &stop));
    assert_fails(LT_E_INTERRUPTED, "interrupted", lt_dataset_pack(ds, in_scratch("stopped/one.tar"), 3, &stop));
    assert_ok(lti_list_dir(&(lti_open_args){.kind = "tar"}, in_scratch("stopped"), &left));
    assert_int_equal(left.n, 1);
    assert_string_equal(left.name[0], "empty");
    lti_paths_clear(&left);
    assert_ok(lt_dataset_pack(ds, in_scratch("stopped/empty"), 3, NULL));
    check_packed(ds, spec_of("tar", "stopped/empty", ""));
    lt_dataset_close(ds);
}

static void classes_named_in_shards(void **state)
{
    (void)state;
    uint8_t px[12] = {1, 2, 3}, *png;
    const size_t n = make_png(px, 2, 2, PNG_COLOR_TYPE_RGB, 8, false, 6, &png);
    const struct {
        const char *names, *more, *part;
    } cases[] = {
        {"a\nb\n", "a\nc\n", "class 1 is 'c', expected another name"},
        {"a\nb\n", "a\nb\nc\n", "class 2 is 'c', expected another name"},
        {"a\nb\n", "a\n", "1 lines, expected 2 or more"},
        {"a\nb", "a\nb", "1 lines, expected 1 or more that end in a line break"},
        {"a\na\n", "a\na\n", "class 1 is 'a', expected another name"},
        {"a\n", "a\n", "label 1, but __classes__ names 1 classes"},
        {"", "", "0 lines, expected 1 or more"},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        const entry first[] = {
            {"__classes__", cases[k].names, strlen(cases[k].names)}, {"1.png", png, n}, {"1.cls", "1", 1}};
        const entry second[] = {
            {"__classes__", cases[k].more, strlen(cases[k].more)}, {"2.png", png, n}, {"2.cls", "0", 1}};
        assert_ok(lt_make_dirs(in_scratch("named")));
        put_tar("named/test-0.tar", second, 3);
        put_tar("named/train-0.tar", first, 3);
        assert_open_fails(LT_E_FORMAT, cases[k].part, spec_of("tar", "named", ""));
    }
    free(png);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(class_folders),
        cmocka_unit_test(grey_and_colour),
        cmocka_unit_test(pipes_and_links_are_skipped),
        cmocka_unit_test(bad_folders),
        cmocka_unit_test(tiny_imagenet),
        cmocka_unit_test(packed_shards),
        cmocka_unit_test(a_pack_that_fails_leaves_nothing),
        cmocka_unit_test(an_interrupted_pack_leaves_nothing),
        cmocka_unit_test(classes_named_in_shards),
        cmocka_unit_test(bad_annotations),
        cmocka_unit_test(class_folders_in_a_tar),
        cmocka_unit_test(cifar10_from_images),
        cmocka_unit_test(shards),
        cmocka_unit_test(bad_shards),
        cmocka_unit_test(failing_allocations),
    };
    return cmocka_run_group_tests(tests, scratch_begin, end);
}
