// test_hierarchy.c - forget sets by superclass and subclass: CIFAR-100, which has two labels a record.
#include "lt_test.h"
#include "base/base.h"
#include "lethe/data.h"
#include <stdlib.h>
#include <unistd.h>

enum { RECORD = 2 + 3 * 32 * 32, N = 12 };

// Records (coarse, fine): apple and mushroom share fruit_and_vegetables (4), baby and boy people (14).
static char *write_set(void)
{
    static const uint8_t label[N][2] = {{4, 0},  {4, 51}, {14, 2}, {14, 11}, {4, 0},  {14, 2},
                                        {4, 51}, {4, 0},  {14, 2}, {14, 11}, {4, 51}, {14, 2}};
    static uint8_t bytes[N * RECORD];
    char *dir = lti_asprintf("%s/lethe-hierarchy-XXXXXX", lt_test_root());
    assert_non_null(mkdtemp(dir));
    for (int i = 0; i < N; i++) {
        memcpy(bytes + i * RECORD, label[i], 2);
        memset(bytes + i * RECORD + 2, 10 * i, RECORD - 2);
    }
    static const char *const file[] = {"train.bin", "test.bin"};
    for (int f = 0; f < 2; f++) {
        char *path = lti_asprintf("%s/%s", dir, file[f]);
        assert_ok(lt_write_file_atomic(path, (const char *)bytes, sizeof bytes));
        lti_free(path);
    }
    return dir;
}

static lt_dataset *open_set(const char *dir, const char *keys)
{
    lt_dataset *ds;
    char *spec = lti_asprintf("cifar100:%s,allow-partial=1%s", dir, keys);
    assert_ok(lt_dataset_open(spec, NULL, &ds));
    lti_free(spec);
    return ds;
}

static void check_rows(const lt_dataset *ds, const char *spec, const int64_t *row, int64_t n)
{
    lt_index_set set;
    assert_ok(lt_forget_parse(ds, spec, 0, &set));
    assert_int_equal(set.n, n);
    for (int64_t i = 0; i < n; i++)
        assert_int_equal(ds->split[LT_TRAIN].id[set.row[i]], row[i]);
    lt_index_set_clear(&set);
}

static void superclasses_are_all_their_classes(void **state)
{
    (void)state;
    char *dir = write_set();
    lt_dataset *ds = open_set(dir, "");
    lt_index_set set;
    check_rows(ds, "superclass:people", (int64_t[]){2, 3, 5, 8, 9, 11}, 6);
    check_rows(ds, "superclass:4", (int64_t[]){0, 1, 4, 6, 7, 10}, 6);
    assert_fails(LT_E_USAGE, "no class 'persons'", lt_forget_parse(ds, "superclass:persons", 0, &set));
    assert_fails(LT_E_USAGE, "has no training samples", lt_forget_parse(ds, "superclass:fish", 0, &set));
    assert_fails(LT_E_USAGE, "all 12 training samples",
                 lt_forget_parse(ds, "superclass:people,fruit_and_vegetables", 0, &set));
    assert_fails(LT_E_USAGE, "read by its fine classes", lt_forget_parse(ds, "subclass:apple", 0, &set));
    lt_dataset_close(ds);
    lti_free(dir);
}

static void subclasses_are_part_of_a_class(void **state)
{
    (void)state;
    char *dir = write_set();
    lt_dataset *ds = open_set(dir, ",coarse=1");
    lt_index_set set;
    assert_int_equal(ds->n_classes, 20);
    check_rows(ds, "subclass:baby", (int64_t[]){2, 5, 8, 11}, 4);
    check_rows(ds, "subclass:apple,boy", (int64_t[]){0, 3, 4, 7, 9}, 5);
    assert_fails(LT_E_USAGE, "appears twice", lt_forget_parse(ds, "subclass:baby,2", 0, &set));
    assert_fails(LT_E_USAGE, "read by its coarse classes", lt_forget_parse(ds, "superclass:people", 0, &set));
    lt_dataset_close(ds);
    ds = open_set(dir, ",coarse=1,classes=people+fruit_and_vegetables,holdout=4,train-limit=6"); // labels move along
    for (int s = 0; s < 2; s++)
        for (int64_t i = 0; i < ds->split[s].n; i++) {
            const int fine = ds->split[s].other[i];
            assert_int_equal(ds->split[s].y[i], fine == 0 || fine == 51);
        }
    lt_dataset_close(ds);
    lti_free(dir);
}

static void other_sets_say_that_they_have_none(void **state)
{
    (void)state;
    const uint8_t x[4] = {0};
    const int32_t y[4] = {0, 1, 0, 1};
    lt_dataset *ds;
    lt_index_set set;
    assert_ok(lt_dataset_from_arrays(1, 1, 1, 2, 4, x, y, 4, x, y, &ds));
    assert_fails(LT_E_USAGE, "has no superclasses", lt_forget_parse(ds, "superclass:people", 0, &set));
    assert_fails(LT_E_USAGE, "has no subclasses", lt_forget_parse(ds, "subclass:baby", 0, &set));
    lt_dataset_close(ds);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(superclasses_are_all_their_classes),
        cmocka_unit_test(subclasses_are_part_of_a_class),
        cmocka_unit_test(other_sets_say_that_they_have_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
