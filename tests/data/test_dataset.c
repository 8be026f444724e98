// Opening by spec: the registry, keys, subsets, classes, holdout, digests, $LETHE_DATA; and the synthetic set.
#include "data_test.h"

// 3x2x2 images; sample i has label label[i] and pixels i.
static lt_dataset *arrays(int n_classes, int n_train, const int32_t *train_y, int n_test, const int32_t *test_y)
{
    static uint8_t x[100 * 12];
    for (int i = 0; i < 100 * 12; i++)
        x[i] = (uint8_t)(i / 12);
    lt_dataset *ds;
    assert_ok(lt_dataset_from_arrays(3, 2, 2, n_classes, n_train, x, train_y, n_test, x, test_y, &ds));
    return ds;
}

static void sets_from_arrays(void **state)
{
    (void)state;
    static const int32_t y[6] = {0, 1, 2, 2, 1, 0}, wrong[6] = {0, 1, 3, 0, 0, 0};
    static const uint8_t x[6 * 12];
    lt_dataset *ds = arrays(3, 6, y, 4, y), *none;
    assert_int_equal(ds->split[LT_TRAIN].n, 6);
    assert_int_equal(ds->split[LT_TEST].n, 4);
    assert_int_equal(ds->split[LT_TRAIN].x[5 * 12 + 3], 5);
    assert_int_equal(ds->split[LT_TEST].id[3], 3);
    assert_string_equal(ds->class_names[2], "2");
    assert_string_equal(ds->kind, "arrays");
    assert_int_equal(strlen(ds->digest), 64);
    lt_dataset_close(ds);
    assert_fails(LT_E_FORMAT, "training sample 2: label 3, expected 0..2",
                 lt_dataset_from_arrays(3, 2, 2, 3, 6, x, wrong, 0, NULL, NULL, &none));
    assert_fails(LT_E_USAGE, "0x2x2", lt_dataset_from_arrays(0, 2, 2, 3, 6, x, y, 0, NULL, NULL, &none));
    assert_fails(LT_E_USAGE, "-1 +", lt_dataset_from_arrays(3, 2, 2, 3, -1, x, y, 0, NULL, NULL, &none));
    assert_null(none);
    lt_dataset_close(NULL);
}

static void digests_see_everything(void **state)
{
    (void)state;
    static const int32_t y[5] = {0, 1, 2, 2, 1}, other[5] = {0, 1, 2, 2, 0};
    lt_dataset *sets[] = {arrays(3, 5, y, 4, y), arrays(3, 5, other, 4, y), arrays(3, 5, y, 4, other),
                          arrays(3, 4, y, 5, y), arrays(4, 5, y, 4, y),     arrays(3, 5, y, 4, y)};
    enum { N_SETS = sizeof sets / sizeof *sets };
    assert_string_equal(sets[0]->digest, sets[N_SETS - 1]->digest);
    for (int a = 0; a < N_SETS - 1; a++)
        for (int b = 0; b < a; b++)
            assert_true(strcmp(sets[a]->digest, sets[b]->digest) != 0 ||
                        (a == 2 && b == 0)); // y and other agree in the first 4
    for (int a = 0; a < N_SETS; a++)
        lt_dataset_close(sets[a]);
    lt_dataset *p = must_open("synthetic:train=20,test=10"), *q = must_open("synthetic:train=20,test=10,seed=1");
    assert_string_not_equal(p->digest, q->digest); // pixels
    lt_dataset_close(p);
    lt_dataset_close(q);
}

static void the_registry(void **state)
{
    (void)state;
    int n;
    const lt_dataset_kind *kinds = lt_dataset_kinds(&n);
    static const char *const expected[] = {
        "cifar10",     "cifar100",  "mnist",   "fashion-mnist", "svhn",        "folder", "tiny-imagenet", "tar", "npz",
        "safetensors", "synthetic", "n-mnist", "n-caltech101",  "cifar10-dvs", "events", "moving-glyphs"};
    assert_int_equal(n, sizeof expected / sizeof *expected);
    for (int k = 0; k < n; k++) {
        assert_string_equal(kinds[k].name, expected[k]);
        assert_true(strlen(kinds[k].title) > 10);
        assert_contains(kinds[k].keys, "train-limit,test-limit,classes,holdout,subset-seed,allow-partial");
    }
    assert_contains(kinds[10].keys, "noise");
    assert_contains(kinds[n - 1].keys, "noise-hz");
}

static void names_and_keys_that_do_not_exist(void **state)
{
    (void)state;
    assert_open_fails(LT_E_USAGE, "'cifar1'", "cifar1:/tmp");
    assert_contains(lt_error_get()->hint, "cifar10");
    assert_open_fails(LT_E_USAGE, "'zebra'", "zebra");
    assert_contains(lt_error_get()->hint, "fashion-mnist, svhn, folder");
    assert_open_fails(LT_E_USAGE, "synthetic: no key 'train-limt'", "synthetic:train-limt=5");
    assert_contains(lt_error_get()->hint, "'train-limit'");
    assert_open_fails(LT_E_USAGE, "no key 'coarse'", "cifar10:/tmp,coarse=1");
    assert_open_fails(LT_E_USAGE, "train-limit", "synthetic:train-limit=ten");
    assert_open_fails(LT_E_USAGE, "train-limit", "synthetic:train-limit=0");
    assert_open_fails(LT_E_USAGE, "noise", "synthetic:noise=-1");
    assert_open_fails(LT_E_USAGE, "a path was given", "synthetic:/tmp");
    assert_open_fails(LT_E_USAGE, "folder: needs a path", "folder");
    assert_open_fails(LT_E_INPUT, "cifar10: /no/such/place: no such file", "cifar10:/no/such/place");
    assert_open_fails(LT_E_USAGE, "found no name", "");
}

static void data_are_found_under_the_environment(void **state)
{
    (void)state;
    const char *before = getenv("LETHE_DATA");
    char *keep = before ? strdup(before) : NULL;
    unsetenv("LETHE_DATA");
    assert_open_fails(LT_E_USAGE, "LETHE_DATA is not set", "cifar10");
    assert_contains(lt_error_get()->hint, "cifar-10-batches-bin");
    setenv("LETHE_DATA", in_scratch("store"), 1);
    assert_open_fails(LT_E_INPUT, "no folder cifar-10-batches-bin in /", "cifar10,train-limit=5");
    lt_dataset *ds = must_open("synthetic:train=30,test=20"), *found;
    assert_ok(lt_dataset_export_cifar(ds, in_scratch("store/cifar-10-batches-bin")));
    found = must_open("cifar10,allow-partial=1"); // no colon: keys only
    assert_int_equal(found->split[LT_TRAIN].n, 30);
    assert_memory_equal(found->split[LT_TRAIN].x, ds->split[LT_TRAIN].x, 30 * 3072);
    lt_dataset_close(found);
    assert_ok(lt_dataset_export_cifar(ds, in_scratch("store2/cifar10"))); // the second usual name
    setenv("LETHE_DATA", in_scratch("store2"), 1);
    lt_dataset_close(must_open("cifar10:allow_partial=1")); // underscores are dashes
    lt_dataset_close(ds);
    if (keep)
        setenv("LETHE_DATA", keep, 1);
    else
        unsetenv("LETHE_DATA");
    free(keep);
}

static void count_classes(const lt_dataset *ds, lt_split s, int64_t *count)
{
    memset(count, 0, 16 * sizeof *count);
    for (int64_t i = 0; i < ds->split[s].n; i++)
        count[ds->split[s].y[i]]++;
}

static void limits_are_balanced_stable_and_nested(void **state)
{
    (void)state;
    int64_t count[16];
    lt_dataset *all = must_open("synthetic:train=500,test=200"),
               *big = must_open("synthetic:train=500,test=200,train-limit=203"),
               *again = must_open("synthetic:train=500,test=200,train-limit=203,test-limit=20"),
               *small = must_open("synthetic:train=500,test=200,train-limit=100"),
               *other = must_open("synthetic:train=500,test=200,train-limit=100,subset-seed=1"),
               *more = must_open("synthetic:train=500,test=200,train-limit=501");
    const lt_split_data *a = &all->split[LT_TRAIN], *b = &big->split[LT_TRAIN], *s = &small->split[LT_TRAIN];
    assert_int_equal(b->n, 203);
    count_classes(big, LT_TRAIN, count);
    for (int k = 0; k < 10; k++)
        assert_int_equal(count[k], k < 3 ? 21 : 20);
    for (int64_t i = 0; i < b->n; i++) { // ids ascend, and name the same pictures as before
        assert_true(i == 0 || b->id[i] > b->id[i - 1]);
        assert_int_equal(b->y[i], a->y[b->id[i]]);
        assert_memory_equal(b->x + i * 3072, a->x + b->id[i] * 3072, 3072);
    }
    assert_int_equal(big->split[LT_TEST].n, 200);
    assert_int_equal(again->split[LT_TEST].n, 20);
    assert_memory_equal(again->split[LT_TRAIN].id, b->id, 203 * sizeof(int64_t));
    for (int64_t i = 0; i < s->n; i++)
        assert_true(lti_dataset_row_of_id(big, LT_TRAIN, s->id[i]) >= 0);
    int same = 0;
    for (int64_t i = 0; i < s->n; i++)
        same += lti_dataset_row_of_id(other, LT_TRAIN, s->id[i]) >= 0;
    assert_in_range(same, 5, 45); // 100 of 500 by chance: 20
    assert_int_equal(more->split[LT_TRAIN].n, 500);
    assert_string_equal(more->digest, all->digest);
    lt_dataset_close(all);
    lt_dataset_close(big);
    lt_dataset_close(again);
    lt_dataset_close(small);
    lt_dataset_close(other);
    lt_dataset_close(more);
}

// Class 0 has 2 samples, class 1 has 40, class 2 has 40: what class 0 lacks goes to the others.
static void limits_of_uneven_classes(void **state)
{
    (void)state;
    int32_t y[82];
    for (int i = 0; i < 82; i++)
        y[i] = i < 2 ? 0 : 1 + i % 2;
    lti_raw raw = {.c = 3, .h = 2, .w = 2, .n_classes = 3};
    for (int i = 0; i < 82; i++) {
        uint8_t *x;
        assert_ok(lti_raw_append(&raw, LT_TRAIN, y[i], &x));
        memset(x, i, 12);
    }
    lti_spec spec;
    assert_ok(lti_spec_parse("test:train-limit=31", &spec));
    assert_ok(lti_subset_apply(&(lti_open_args){.kind = "test", .spec = &spec}, &raw));
    int64_t count[3] = {0};
    assert_int_equal(raw.split[LT_TRAIN].n, 31);
    for (int i = 0; i < 31; i++) {
        count[raw.split[LT_TRAIN].y[i]]++;
        assert_int_equal(raw.split[LT_TRAIN].x[i * 12], raw.split[LT_TRAIN].id[i]);
    }
    assert_int_equal(count[0], 2);
    assert_in_range(count[1], 14, 15);
    assert_in_range(count[2], 14, 15);
    lti_spec_clear(&spec);
    lti_raw_clear(&raw);
}

static void classes_are_kept_and_renumbered(void **state)
{
    (void)state;
    lt_dataset *all = must_open("synthetic:train=200,test=50"),
               *two = must_open("synthetic:train=200,test=50,classes=spotted-ring+3+striped-disc");
    assert_int_equal(two->n_classes, 3);
    assert_string_equal(two->class_names[0], "spotted-ring");
    assert_string_equal(two->class_names[1], "spotted-square");
    assert_string_equal(two->class_names[2], "striped-disc");
    assert_int_equal(two->split[LT_TRAIN].n, 60);
    assert_int_equal(two->split[LT_TEST].n, 15);
    static const int32_t old_label[3] = {9, 3, 0};
    for (int s = 0; s < 2; s++)
        for (int64_t i = 0; i < two->split[s].n; i++)
            assert_int_equal(all->split[s].y[two->split[s].id[i]], old_label[two->split[s].y[i]]);
    lt_dataset_close(two);
    two = must_open("synthetic:train=200,test=50,classes=0+1,train-limit=10");
    int64_t count[16];
    count_classes(two, LT_TRAIN, count);
    assert_int_equal(count[0], 5);
    assert_int_equal(count[1], 5);
    lt_dataset_close(two);
    lt_dataset_close(all);
    assert_open_fails(LT_E_USAGE, "no class '10'", "synthetic:train=20,classes=1+10");
    assert_open_fails(LT_E_USAGE, "no class ''", "synthetic:train=20,classes=1+");
    assert_open_fails(LT_E_USAGE, "'1' appears twice", "synthetic:train=20,classes=1+2+1");
}

static void holdout_cuts_a_test_split(void **state)
{
    (void)state;
    lt_events *events;
    heard h = {0};
    lt_dataset *all = must_open("synthetic:train=300,test=50"), *cut;
    assert_ok(lt_events_create(&events));
    assert_ok(lt_events_add(events, (lt_sink){hear, &h}));
    assert_ok(lt_dataset_open("synthetic:train=300,test=50,holdout=100", events, &cut));
    assert_true(heard_of(&h, "data.holdout", "100 samples held out of the training files"));
    assert_true(heard_of(&h, "data.open", "200 training and 100 test images, 3x32x32, 10 classes"));
    const lt_split_data *a = &all->split[LT_TRAIN];
    assert_int_equal(cut->split[LT_TRAIN].n, 200);
    assert_int_equal(cut->split[LT_TEST].n, 100);
    int seen[300] = {0};
    int64_t count[16];
    for (int s = 0; s < 2; s++) {
        const lt_split_data *d = &cut->split[s];
        for (int64_t i = 0; i < d->n; i++) {
            seen[d->id[i]]++;
            assert_int_equal(d->y[i], a->y[d->id[i]]);
            assert_memory_equal(d->x + i * 3072, a->x + d->id[i] * 3072, 3072);
            assert_true(i == 0 || d->id[i] > d->id[i - 1]);
        }
    }
    for (int i = 0; i < 300; i++)
        assert_int_equal(seen[i], 1);
    count_classes(cut, LT_TEST, count);
    for (int k = 0; k < 10; k++)
        assert_int_equal(count[k], 10);
    lt_dataset_close(cut);
    lt_dataset_close(all);
    lt_events_destroy(events);
    assert_open_fails(LT_E_USAGE, "holdout=300, but there are only 300", "synthetic:train=300,test=50,holdout=300");
}

static void index_sets(void **state)
{
    (void)state;
    lt_index_set all, some = {3, (int64_t[]){4, 1, 2}}, rest, bad = {1, (int64_t[]){6}};
    assert_ok(lt_index_set_range(6, &all));
    assert_int_equal(all.n, 6);
    assert_int_equal(all.row[5], 5);
    assert_ok(lt_index_set_complement(6, &some, &rest));
    assert_int_equal(rest.n, 3);
    assert_int_equal(rest.row[0], 0);
    assert_int_equal(rest.row[1], 3);
    assert_int_equal(rest.row[2], 5);
    lt_index_set_clear(&rest);
    assert_ok(lt_index_set_complement(6, &all, &rest));
    assert_int_equal(rest.n, 0);
    lt_index_set_clear(&rest);
    assert_fails(LT_E_USAGE, "row 6", lt_index_set_complement(6, &bad, &rest));
    assert_null(rest.row);
    lt_index_set_clear(&all);
    lt_index_set_clear(&all);
    lt_index_set_clear(NULL);
}

// ---- the synthetic set

// The digest pins the pictures: they must not change silently, nor differ between compilers.
static void synthetic_pictures_are_pinned(void **state)
{
    (void)state;
    lt_dataset *ds = must_open("synthetic:train=200,test=100");
    assert_string_equal(ds->digest, "9e700deb2c757f698e5e2890e6071e2fd26af54d26f7e867ad9c5f297c8f5426");
    lt_dataset_close(ds);
}

static void synthetic_sets_are_prefixes(void **state)
{
    (void)state;
    lt_dataset *large = must_open("synthetic:train=300,test=40,seed=3"),
               *small = must_open("synthetic:train=95,test=40,seed=3");
    assert_memory_equal(large->split[LT_TRAIN].x, small->split[LT_TRAIN].x, 95 * 3072);
    assert_memory_equal(large->split[LT_TRAIN].y, small->split[LT_TRAIN].y, 95 * sizeof(int32_t));
    for (int64_t block = 0; block < 30; block++) { // each ten in a row hold every class once
        int seen = 0;
        for (int64_t i = 0; i < 10; i++)
            seen |= 1 << large->split[LT_TRAIN].y[10 * block + i];
        assert_int_equal(seen, 1023);
    }
    assert_memory_not_equal(large->split[LT_TRAIN].x, large->split[LT_TEST].x, 40 * 3072);
    int differ = 0;
    for (int i = 0; i < 40; i++)
        differ += large->split[LT_TRAIN].y[i] != large->split[LT_TEST].y[i];
    assert_true(differ > 20); // the order of labels is drawn too
    lt_dataset_close(small);
    small = must_open("synthetic:train=95,test=40,seed=3,noise=0.5");
    assert_memory_not_equal(large->split[LT_TRAIN].x, small->split[LT_TRAIN].x, 95 * 3072);
    assert_memory_equal(large->split[LT_TRAIN].y, small->split[LT_TRAIN].y, 95 * sizeof(int32_t));
    lt_dataset_close(large);
    lt_dataset_close(small);
}

static void synthetic_pictures_vary(void **state)
{
    (void)state;
    lt_dataset *ds = must_open("synthetic:train=100,test=10");
    const lt_split_data *d = &ds->split[LT_TRAIN];
    for (int64_t i = 0; i < d->n; i++) {
        int low = 255, high = 0;
        for (int p = 0; p < 3072; p++) {
            low = d->x[i * 3072 + p] < low ? d->x[i * 3072 + p] : low;
            high = d->x[i * 3072 + p] > high ? d->x[i * 3072 + p] : high;
        }
        assert_true(high - low > 40); // something can be seen
        assert_true(i == 0 || memcmp(d->x, d->x + i * 3072, 3072) != 0);
    }
    lt_dataset_close(ds);
}

static void exported_files_read_back(void **state)
{
    (void)state;
    lt_dataset *ds = must_open("synthetic:train=23,test=9"), *back;
    assert_ok(lt_dataset_export_cifar(ds, in_scratch("export")));
    back = must_open(spec_of("cifar10", "export", ",allow-partial=1"));
    for (int s = 0; s < 2; s++) {
        assert_int_equal(back->split[s].n, ds->split[s].n);
        assert_memory_equal(back->split[s].x, ds->split[s].x, (size_t)ds->split[s].n * 3072);
        assert_memory_equal(back->split[s].y, ds->split[s].y, (size_t)ds->split[s].n * sizeof(int32_t));
    }
    lt_dataset_close(back);
    char *names;
    size_t n;
    assert_ok(lt_read_file(in_scratch("export/batches.meta.txt"), 1000, &names, &n));
    assert_contains(names, "striped-disc\nspotted-disc\n");
    free(names);
    lt_dataset_close(ds);
    static const int32_t y[1];
    ds = arrays(3, 1, y, 1, y);
    assert_fails(LT_E_SHAPE, "not 3x2x2", lt_dataset_export_cifar(ds, in_scratch("never")));
    lt_dataset_close(ds);
}

static void failing_allocations(void **state)
{
    (void)state;
    check_every_allocation("synthetic:train=40,test=20,classes=1+2+5,holdout=5,train-limit=4");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sets_from_arrays),
        cmocka_unit_test(digests_see_everything),
        cmocka_unit_test(the_registry),
        cmocka_unit_test(names_and_keys_that_do_not_exist),
        cmocka_unit_test(data_are_found_under_the_environment),
        cmocka_unit_test(limits_are_balanced_stable_and_nested),
        cmocka_unit_test(limits_of_uneven_classes),
        cmocka_unit_test(classes_are_kept_and_renumbered),
        cmocka_unit_test(holdout_cuts_a_test_split),
        cmocka_unit_test(index_sets),
        cmocka_unit_test(synthetic_pictures_are_pinned),
        cmocka_unit_test(synthetic_sets_are_prefixes),
        cmocka_unit_test(synthetic_pictures_vary),
        cmocka_unit_test(exported_files_read_back),
        cmocka_unit_test(failing_allocations),
    };
    return cmocka_run_group_tests(tests, scratch_begin, scratch_end);
}
