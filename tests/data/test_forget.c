// Forget sets: by number, share, class and file; every way a list can be wrong; the published lists on CIFAR-10.
#include "data_test.h"

static lt_dataset *set;       // 200 samples, 20 of each class
static lt_dataset *set_small; // 60 of them: ids are not rows

static int open_sets(void **state)
{
    set = must_open("synthetic:train=200,test=10");
    set_small = must_open("synthetic:train=200,test=10,train-limit=60");
    return scratch_begin(state);
}

static int close_sets(void **state)
{
    lt_dataset_close(set);
    lt_dataset_close(set_small);
    return scratch_end(state);
}

static void check_set(const lt_dataset *ds, const lt_index_set *f)
{
    for (int64_t i = 0; i < f->n; i++) {
        assert_in_range(f->row[i], 0, ds->split[LT_TRAIN].n - 1);
        assert_true(i == 0 || f->row[i] > f->row[i - 1]);
    }
}

static void random_sets(void **state)
{
    (void)state;
    lt_index_set a, b, c, d;
    assert_ok(lt_forget_parse(set, "random:10%", 7, &a));
    assert_ok(lt_forget_parse(set, "random:20", 7, &b));
    assert_ok(lt_forget_parse(set, "random:20", 8, &c));
    assert_ok(lt_forget_parse(set, "random:30", 7, &d));
    assert_int_equal(a.n, 20);
    assert_int_equal(d.n, 30);
    check_set(set, &a);
    check_set(set, &d);
    assert_memory_equal(a.row, b.row, 20 * sizeof *a.row);
    assert_memory_not_equal(a.row, c.row, 20 * sizeof *a.row);
    int inside = 0;
    for (int i = 0; i < 20; i++)
        for (int j = 0; j < 30; j++)
            inside += a.row[i] == d.row[j];
    assert_int_equal(inside, 20); // a larger set of the same seed contains the smaller one
    int64_t count[10] = {0};      // class-blind: 20 draws give every class its two with probability 1e-5
    bool uneven = false;
    for (int i = 0; i < 20; i++)
        count[set->split[LT_TRAIN].y[a.row[i]]]++;
    for (int k = 0; k < 10; k++)
        uneven |= count[k] != 2;
    assert_true(uneven);
    lt_index_set_clear(&a);
    lt_index_set_clear(&b);
    lt_index_set_clear(&c);
    lt_index_set_clear(&d);
    assert_ok(lt_forget_parse(set, "random:0.6%", 0, &a)); // 1.2 samples
    assert_int_equal(a.n, 1);
    lt_index_set_clear(&a);
}

static void classes(void **state)
{
    (void)state;
    lt_index_set a, b;
    assert_ok(lt_forget_parse(set, "class:3,7", 0, &a));
    assert_ok(lt_forget_parse(set, "class:spotted-square,spotted-cross", 0, &b));
    assert_int_equal(a.n, 40);
    check_set(set, &a);
    for (int i = 0; i < 40; i++)
        assert_true(set->split[LT_TRAIN].y[a.row[i]] == 3 || set->split[LT_TRAIN].y[a.row[i]] == 7);
    assert_memory_equal(a.row, b.row, 40 * sizeof *a.row);
    lt_index_set_clear(&a);
    lt_index_set_clear(&b);
}

static void bad_names(void **state)
{
    (void)state;
    static const struct {
        const char *spec, *part;
    } cases[] = {
        {"random", "not a forget set"},
        {"ids.csv", "not a forget set"},
        {"random:", "whole number"},
        {"random:0", "expected 1..200"},
        {"random:201", "expected 1..200"},
        {"random:200", "nothing would be retained"},
        {"random:100%", "nothing would be retained"},
        {"random:101%", "expected 0..100"},
        {"random:0.1%", "empty"},
        {"random:ten%", "expected a number"},
        {"random:-5", "expected 1..200"},
        {"class:", "no class ''"},
        {"class:10", "no class '10'"},
        {"class:-1", "no class '-1'"},
        {"class:3,,4", "no class ''"},
        {"class:3,7,3", "'3' appears twice"},
        {"class:0,1,2,3,4,5,6,7,8,9", "nothing would be retained"},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        lt_index_set f = {1, NULL};
        assert_fails(LT_E_USAGE, cases[k].part, lt_forget_parse(set, cases[k].spec, 0, &f));
        assert_int_equal(f.n, 0);
        assert_null(f.row);
    }
}

static void good_lists(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "5\n17\n3\n",
        "5\r\n17\r\n3",
        "\xef\xbb\xbfunlearn_idx\n5\n17\n3\n",
        "unlearn_idx\n\n  5 \n\t17\n3\n\n",
        "index\n+5\n17\n003\n",
        ",unlearn_idx\n0,5\n1,17\n2,3\n",
        "label,id,note\n9,5,a\n9,17,\n0,3,b,c\n",
    };
    for (size_t k = 0; k < sizeof texts / sizeof *texts; k++) {
        lt_index_set f;
        assert_ok(lti_forget_ids_parse(set, texts[k], strlen(texts[k]), "list", &f));
        assert_int_equal(f.n, 3);
        assert_int_equal(f.row[0], 3);
        assert_int_equal(f.row[1], 5);
        assert_int_equal(f.row[2], 17);
        lt_index_set_clear(&f);
    }
}

static void bad_lists(void **state)
{
    (void)state;
    static const struct {
        const char *text, *part;
    } cases[] = {
        {"", "list: empty"},
        {"\n \n", "list: empty"},
        {"unlearn_idx\n", "list: empty"},
        {"5\n6\n5\n", "list:3: index 5 appears twice, first in line 1"},
        {"unlearn_idx\n5\n\n6\n05\n", "list:5: index 5 appears twice, first in line 2"},
        {"5\n200\n", "list:2: index 200 is out of range, expected 0..199"},
        {"-1\n", "list:1: index -1 is out of range"},
        {"99999999999999999999999999\n", "list:1: index 99999999999999999999999999 is out of range"},
        {"9223372036854775808\n", "is out of range"},
        {"5\nsix\n", "list:2: 'six' is not an index"},
        {"5\n6.0\n", "list:2: '6.0' is not an index"},
        {"5\n6,7\n", "list:2: '6,7' is not an index"},
        {"5\n-\n", "list:2: '-' is not an index"},
        {"who\n5\n", "list:1: 'who' is neither an index nor a header"},
        {"unlearn_idx\n5\nunlearn_idx\n", "list:3: 'unlearn_idx' is not an index"},
        {"a,id\n1,5\n2\n", "list:3: no column 2"},
        {"a,id\n1,\n", "list:2: '' is not an index"},
        {"\x01\xff\x02\n", "list:1: '?"},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        lt_index_set f;
        assert_fails(LT_E_FORMAT, cases[k].part,
                     lti_forget_ids_parse(set, cases[k].text, strlen(cases[k].text), "list", &f));
        assert_int_equal(f.n, 0);
        assert_null(f.row);
    }
    char all[1000] = "";
    for (int i = 0; i < 200; i++)
        snprintf(all + strlen(all), sizeof all - strlen(all), "%d\n", i);
    lt_index_set f;
    assert_fails(LT_E_FORMAT, "nothing would be retained", lti_forget_ids_parse(set, all, strlen(all), "list", &f));
    assert_fails(LT_E_INPUT, "none.csv", lt_forget_parse(set, "file:/no/such/none.csv", 0, &f));
}

static void ids_of_a_subset(void **state)
{
    (void)state;
    const lt_split_data *d = &set_small->split[LT_TRAIN];
    char text[64];
    lt_index_set f;
    snprintf(text, sizeof text, "%lld\n%lld\n", (long long)d->id[59], (long long)d->id[10]);
    assert_ok(lti_forget_ids_parse(set_small, text, strlen(text), "list", &f));
    assert_int_equal(f.n, 2);
    assert_int_equal(f.row[0], 10);
    assert_int_equal(f.row[1], 59);
    lt_index_set_clear(&f);
    int64_t absent = 0;
    while (lti_dataset_row_of_id(set_small, LT_TRAIN, absent) >= 0)
        absent++;
    snprintf(text, sizeof text, "%lld\n", (long long)absent);
    assert_fails(LT_E_FORMAT, "is not in the training split, which holds 60 of 200 samples",
                 lti_forget_ids_parse(set_small, text, strlen(text), "list", &f));
    assert_contains(lt_error_get()->hint, "train-limit=60");
}

static void written_lists_read_back(void **state)
{
    (void)state;
    lt_index_set f, back;
    char spec[500], digest[65], again[65], other[65];
    assert_ok(lt_forget_parse(set_small, "random:17", 3, &f));
    assert_ok(lt_forget_write(set_small, &f, in_scratch("forget.csv")));
    snprintf(spec, sizeof spec, "file:%s", in_scratch("forget.csv"));
    assert_ok(lt_forget_parse(set_small, spec, 0, &back));
    assert_int_equal(back.n, 17);
    assert_memory_equal(f.row, back.row, 17 * sizeof *f.row);
    lt_index_set_clear(&back);
    assert_ok(lt_forget_parse(set, spec, 0, &back)); // official ids: the same samples of the whole set
    for (int i = 0; i < 17; i++)
        assert_int_equal(back.row[i], set_small->split[LT_TRAIN].id[f.row[i]]);
    lt_index_set_digest(set_small, LT_TRAIN, &f, digest);
    lt_index_set_digest(set, LT_TRAIN, &back, again);
    assert_string_equal(digest, again); // over ids, not rows
    back.n--;
    lt_index_set_digest(set, LT_TRAIN, &back, other);
    assert_string_not_equal(digest, other);
    lt_index_set_clear(&f);
    lt_index_set_clear(&back);
    assert_ok(lt_forget_parse(set, "random:2", 3, &f));
    assert_true(lt_forget_write(set, &f, "/no/such/folder/forget.csv") != LT_OK);
    lt_index_set_clear(&f);
}

static void failing_allocations(void **state)
{
    (void)state;
    static const char *const specs[] = {"random:10%", "class:1,2", NULL};
    for (int c = 0; c < 3; c++) {
        lt_status status = LT_E_NOMEM;
        for (int64_t k = 1; status != LT_OK; k++) {
            lt_index_set f;
            lti_alloc_fail_at(k);
            status =
                specs[c] ? lt_forget_parse(set, specs[c], 0, &f) : lti_forget_ids_parse(set, "1\n2\n", 4, "list", &f);
            lti_alloc_fail_at(0);
            assert_true(status == LT_OK || (status == LT_E_NOMEM && !f.row));
            lt_index_set_clear(&f);
        }
    }
}

// The published lists: 10 % and 20 % of CIFAR-10 by seed, indices in the official order.
static void published_lists(void **state)
{
    (void)state;
    static const char *const lists[] = {"5000-seed1",  "5000-seed10",  "5000-seed100",
                                        "10000-seed1", "10000-seed10", "10000-seed100"};
    char path[600];
    snprintf(path, sizeof path, "%s/../shared/data/forget-indices", LT_TEST_SOURCE_DIR);
    const char *cifar = real_data("cifar-10-batches-bin", "cifar10");
    if (!cifar || !lti_is_dir(path)) {
        print_message("no CIFAR-10 or no published lists here: skipped\n");
        skip();
    }
    char spec[500];
    snprintf(spec, sizeof spec, "cifar10:%s", cifar);
    lt_dataset *ds = must_open(spec);
    for (size_t k = 0; k < sizeof lists / sizeof *lists; k++) {
        lt_index_set f;
        snprintf(path, sizeof path, "file:%s/../shared/data/forget-indices/cifar10-%s.csv", LT_TEST_SOURCE_DIR,
                 lists[k]);
        assert_ok(lt_forget_parse(ds, path, 0, &f));
        assert_int_equal(f.n, k < 3 ? 5000 : 10000);
        check_set(ds, &f);
        if (k == 0) { // the list starts with 26247, 35067
            assert_true(lti_dataset_row_of_id(ds, LT_TRAIN, 26247) == 26247);
            bool found = false;
            for (int64_t i = 0; i < f.n; i++)
                found |= f.row[i] == 26247;
            assert_true(found);
        }
        lt_index_set_clear(&f);
    }
    lt_dataset_close(ds);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_sets),
        cmocka_unit_test(classes),
        cmocka_unit_test(bad_names),
        cmocka_unit_test(good_lists),
        cmocka_unit_test(bad_lists),
        cmocka_unit_test(ids_of_a_subset),
        cmocka_unit_test(written_lists_read_back),
        cmocka_unit_test(failing_allocations),
        cmocka_unit_test(published_lists),
    };
    return cmocka_run_group_tests(tests, open_sets, close_sets);
}
