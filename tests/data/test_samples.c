// test_samples.c - samples by file name, pattern and content; training sets that are found again after files have been
// deleted, added and renamed.
#include "data/data_test.h"
#include <math.h>

static lt_dataset *open_folder(void)
{
    return must_open(spec_of("folder", "set", ",allow-partial=1"));
}

static int begin(void **state)
{
    if (scratch_begin(state))
        return 1;
    static const char *const files[] = {"cat/1.png", "cat/2.png", "cat/deep/3.png", "dog/1.png",
                                        "dog/4.png", "eel/5.png", "eel/6.png"};
    char name[64];
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        snprintf(name, sizeof name, "set/train/%s", files[i]);
        put_marked_png(name, 4, 4, (uint8_t)(20 + 20 * i));
    }
    put_marked_png("set/train/eel/copy.png", 4, 4, 20 + 20 * 5); // the same picture as eel/5.png
    return 0;
}

static void assert_forgets(const lt_dataset *ds, const char *spec, const char *rows)
{
    lt_index_set f;
    char text[128] = "";
    assert_ok(lt_forget_parse(ds, spec, 1, &f));
    for (int64_t i = 0; i < f.n; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%lld", i ? " " : "", (long long)f.row[i]);
    assert_string_equal(text, rows);
    lt_index_set_clear(&f);
}

static const char *list_of(const char *text)
{
    static char spec[256];
    put_text("list.csv", text);
    snprintf(spec, sizeof spec, "file:%s", in_scratch("list.csv"));
    return spec;
}

static const char *column_of(const char *text, const char *column)
{
    static char spec[300];
    snprintf(spec, sizeof spec, "%s,column=%s", list_of(text), column);
    return spec;
}

static void test_names(void **state)
{
    (void)state;
    lt_dataset *ds = open_folder();
    char digest[LT_SAMPLE_DIGEST_HEX], spec[96];
    assert_int_equal(ds->split[LT_TRAIN].n, 8);
    assert_string_equal(ds->split[LT_TRAIN].name[2], "train/cat/deep/3.png");
    assert_string_equal(ds->split[LT_TRAIN].name[7], "train/eel/copy.png");
    assert_forgets(ds, "name:train/cat/1.png", "0");
    assert_forgets(ds, "name:cat/1.png", "0");
    assert_forgets(ds, "name:./dog/1.png", "3");
    assert_forgets(ds, "name:4.png", "4");
    assert_forgets(ds, "name:train/cat/*", "0 1 2");
    assert_forgets(ds, "name:[56].png", "5 6");
    lt_sample_digest(ds, LT_TRAIN, 5, digest);
    snprintf(spec, sizeof spec, "digest:%s", digest);
    assert_forgets(ds, spec, "5 7"); // every copy of the picture
    digest[16] = '\0';
    snprintf(spec, sizeof spec, "digest:%s", digest);
    assert_forgets(ds, spec, "5 7");
    lt_sample_digest(ds, LT_TRAIN, 0, digest);
    assert_forgets(ds, list_of(digest), "0"); // without the word before it
    snprintf(spec, sizeof spec, "who,digest\nann,%.20s\n", digest);
    assert_forgets(ds, list_of(spec), "0");
    snprintf(spec, sizeof spec, "name:%s", in_scratch("set/train/cat/1.png")); // as `find` prints it
    assert_forgets(ds, spec, "0");
    assert_forgets(ds, list_of("cat/2.png\r\n\n  dog/4.png  \n6\n"), "1 4 6");
    assert_forgets(ds, list_of("who,file\nann,\"cat/2.png\"\nbob,5.png\n"), "1 5");
    assert_forgets(ds, column_of("who,photo\n3,\"cat/2.png\"\n4,5.png\n", "photo"), "1 5");
    assert_forgets(ds, list_of("eel/*\n"), "5 6 7");
    lt_index_set f;
    assert_fails(LT_E_USAGE, "no training sample has this name", lt_forget_parse(ds, "name:cat/9.png", 1, &f));
    assert_fails(LT_E_USAGE, "2 training samples have this name, the first two are train/cat/1.png and train/dog/1.png",
                 lt_forget_parse(ds, "name:1.png", 1, &f));
    assert_fails(LT_E_FORMAT, "expected 16 to 32 hexadecimal digits", lt_forget_parse(ds, "digest:12ab", 1, &f));
    assert_fails(LT_E_FORMAT,
                 "3 of its lines do not name one sample each: line 1: 'gone.png' is no training sample; "
                 "line 3: '1.png' is the name of several samples, for example train/cat/1.png; line 4: "
                 "'cat/2.png' was named before",
                 lt_forget_parse(ds, list_of("gone.png\ncat/2.png\n1.png\ncat/2.png\n"), 1, &f));
    assert_fails(
        LT_E_FORMAT,
        "4 of its lines do not name one sample each: line 1: index 300 is out of range, expected 0..7; line 3: "
        "index 2 appears twice, first in line 2; line 4: 'x.png' is no training sample; line 5: digest '12ab'",
        lt_forget_parse(ds, list_of("300\n2\n2\nx.png\ndigest:12ab\n"), 1, &f));
    assert_fails(LT_E_FORMAT, "list.csv:2: digest '12ab': expected 16",
                 lt_forget_parse(ds, list_of("2\ndigest:12ab\n"), 1, &f));
    char many[1024] = "";
    for (int i = 0; i < 60; i++)
        snprintf(many + strlen(many), sizeof many - strlen(many), i == 40 ? "2\n" : "none-%d.png\n", i);
    assert_fails(LT_E_FORMAT, "; and lines 13-40, 42-60", lt_forget_parse(ds, list_of(many), 1, &f));
    assert_fails(LT_E_USAGE, "no training sample has this name",
                 lt_forget_parse(ds, "name:/elsewhere/train/cat/1.png", 1, &f)); // a file of another folder
    assert_fails(LT_E_FORMAT, "the column that was requested",
                 lt_forget_parse(ds, column_of("who,photo\n3,cat/2.png\n", "picture"), 1, &f));
    assert_fails(LT_E_FORMAT, "neither an index nor a header", lt_forget_parse(ds, list_of("who,photo\n3,x\n"), 1, &f));
    lt_dataset_close(ds);
}

static void test_without_names(void **state)
{
    (void)state;
    lt_index_set f;
    char spec[96], digest[LT_SAMPLE_DIGEST_HEX];
    lt_dataset *ds = must_open("synthetic,train-limit=40,test-limit=20");
    assert_null(ds->split[LT_TRAIN].name);
    assert_fails(LT_E_USAGE, "samples of synthetic have no file names", lt_forget_parse(ds, "name:cat/9.png", 1, &f));
    lt_sample_digest(ds, LT_TRAIN, 7, digest);
    snprintf(spec, sizeof spec, "digest:%s\n", digest);
    assert_forgets(ds, list_of(spec), "7");
    lt_dataset_close(ds);
}

// The files of a request are deleted, a class goes with them, one file is renamed and one is new: ids and class numbers
// stay what they were.
static void test_identity(void **state)
{
    (void)state;
    lt_dataset *ds = open_folder();
    lt_sample_list *list;
    lt_identity identity;
    char before[65], path[128];
    snprintf(path, sizeof path, "%s", in_scratch("samples.safetensors"));
    assert_ok(lt_sample_list_write(ds, path));
    assert_ok(lt_sample_list_open(path, &list));
    assert_int_equal(lt_sample_list_count(list), 8);
    memcpy(before, ds->digest, sizeof before);
    assert_ok(lt_dataset_identify(ds, list, &identity));
    assert_false(identity.changed);
    assert_int_equal(identity.n_found, 8);
    assert_string_equal(ds->digest, before);
    lt_identity_clear(&identity);
    lt_dataset_close(ds);

    unlink(in_scratch("set/train/dog/1.png"));
    unlink(in_scratch("set/train/dog/4.png"));
    rmdir(in_scratch("set/train/dog"));
    unlink(in_scratch("set/train/cat/1.png"));
    rename(in_scratch("set/train/eel/6.png"), in_scratch("set/train/eel/0.png"));
    put_marked_png("set/train/cat/new.png", 4, 4, 7);
    ds = open_folder();
    assert_int_equal(ds->n_classes, 2);
    assert_ok(lt_dataset_identify(ds, list, &identity));
    assert_true(identity.changed);
    assert_int_equal(identity.n_found, 5);
    assert_int_equal(identity.n_new, 1);
    assert_int_equal(identity.n_missing, 3);
    assert_int_equal(identity.missing[0], 0);
    assert_int_equal(identity.missing[1], 3);
    assert_int_equal(identity.missing[2], 4);
    assert_int_equal(ds->n_classes, 3);
    assert_string_equal(ds->class_names[1], "dog");
    static const int64_t ids[] = {1, 2, 5, 6, 7};
    static const int32_t labels[] = {0, 0, 2, 2, 2};
    assert_int_equal(ds->split[LT_TRAIN].n, 5);
    assert_memory_equal(ds->split[LT_TRAIN].id, ids, sizeof ids);
    assert_memory_equal(ds->split[LT_TRAIN].y, labels, sizeof labels);
    assert_string_equal(ds->split[LT_TRAIN].name[3], "train/eel/0.png"); // it was called 6.png
    assert_forgets(ds, list_of("6\n"), "3");
    assert_forgets(ds, "class:2", "2 3 4");
    lt_index_set f;
    assert_fails(LT_E_FORMAT, "index 0 is not in the training split", lt_forget_parse(ds, list_of("0\n"), 1, &f));
    lt_identity_clear(&identity);
    lt_dataset_close(ds);
    lt_sample_list_close(list);
}

// A photograph-like field: a few smooth waves, different for every seed.
static void paint(uint8_t *x, int seed, int shift, bool mirrored, int brighter)
{
    for (int c = 0; c < 3; c++)
        for (int h = 0; h < 32; h++)
            for (int w = 0; w < 32; w++) {
                const double u = (mirrored ? 31 - w : w) + shift, v = h;
                const double f = sin(0.21 * u + seed) + sin(0.17 * v + 2.3 * seed + c) +
                                 sin(0.11 * (u + v) * (1 + seed % 3) + c * seed);
                const double value = 127 + 35 * f + brighter;
                x[(c * 32 + h) * 32 + w] = (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
            }
}

static void test_near_duplicates(void **state)
{
    (void)state;
    enum { N = 12, BYTES = 3 * 32 * 32 };
    static uint8_t x[N * BYTES];
    const int32_t y[N] = {0};
    lt_dataset *ds;
    for (int i = 0; i < N; i++)
        paint(x + i * BYTES, i, 0, false, 0);
    paint(x + 3 * BYTES, 0, 0, false, 0);  // the same as 0
    paint(x + 5 * BYTES, 0, 1, false, 12); // moved by a pixel, brighter
    paint(x + 7 * BYTES, 1, 0, true, 0);   // 1, mirrored
    assert_ok(lt_dataset_from_arrays(3, 32, 32, 2, N, x, y, 1, x, y, &ds));
    int64_t forgotten[] = {0, 1}, kept[] = {2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
    const lt_index_set forget = {2, forgotten}, rest = {10, kept};
    lt_near_duplicates found;
    assert_ok(lt_dataset_near_duplicates(ds, &forget, &rest, LT_NEAR_DUPLICATE_LEAST, &found));
    assert_int_equal(found.n, 3);
    static const int64_t rows[] = {3, 5, 7}, of[] = {0, 0, 1};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(found.item[i].row, rows[i]);
        assert_int_equal(found.item[i].of_row, of[i]);
        assert_int_equal(found.item[i].mirrored, i == 2);
    }
    assert_true(found.item[0].similarity > 0.99999f && found.item[1].similarity < 0.9999f);
    lt_near_duplicates_clear(&found);
    lt_dataset_close(ds);
}

static void test_bad_lists(void **state)
{
    (void)state;
    lt_sample_list *list;
    lt_dataset *ds = must_open("synthetic,train-limit=40,test-limit=20");
    char path[128];
    snprintf(path, sizeof path, "%s", in_scratch("bad.safetensors"));
    assert_ok(lt_sample_list_write(ds, path));
    char *bytes;
    size_t n;
    assert_ok(lt_read_file(path, 1 << 20, &bytes, &n));
    for (size_t i = 8; i < n; i += 41) {
        bytes[i] = (char)(bytes[i] ^ 0x11);
        assert_ok(lt_write_file_atomic(path, bytes, n));
        if (lt_sample_list_open(path, &list) == LT_OK)
            lt_sample_list_close(list);
        else
            assert_int_equal(lt_error_get()->status, LT_E_FORMAT);
        bytes[i] = (char)(bytes[i] ^ 0x11);
    }
    free(bytes);
    lt_dataset_close(ds);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_names, begin, scratch_end),
        cmocka_unit_test_setup_teardown(test_without_names, begin, scratch_end),
        cmocka_unit_test_setup_teardown(test_identity, begin, scratch_end),
        cmocka_unit_test(test_near_duplicates),
        cmocka_unit_test_setup_teardown(test_bad_lists, begin, scratch_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
