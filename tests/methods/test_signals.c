// test_signals.c - signals from a model, through a file and back, and files that lie.
#include "method_test.h"
#include "lethe/run.h"
#include "lethe/tensorfile.h"

static lt_signals *compute(void)
{
    lt_signals *s;
    assert_ok(lt_signals_compute(world.model, world.ds, &world.forget, &world.retain, &world.env, &s));
    return s;
}

static void signals_are_the_models_outputs(void **state)
{
    (void)state;
    lt_signals *s = compute();
    assert_int_equal(s->n, TOY_TRAIN + TOY_TEST);
    assert_int_equal(s->k, TOY_K);
    lt_view retain = lt_view_rows(world.ds, LT_TRAIN, &world.retain), test = lt_view_split(world.ds, LT_TEST);
    float *z = lti_malloc(sizeof(float) * TOY_TRAIN * TOY_K);
    lt_eval_result r;
    assert_ok(lt_evaluate(world.model, &retain, &world.env, 128, z, NULL, &r));
    assert_memory_equal(s->logits, z, (size_t)(retain.n * TOY_K) * sizeof *z);
    assert_true(lt_signals_acc(s, LT_GROUP_RETAIN) == r.acc);
    assert_ok(lt_evaluate(world.model, &test, &world.env, 128, NULL, NULL, &r));
    assert_true(lt_signals_acc(s, LT_GROUP_TEST) == r.acc);
    for (int64_t i = 0; i < world.forget.n; i++) {
        int64_t at = world.retain.n + i;
        assert_int_equal(s->group[at], LT_GROUP_FORGET);
        assert_int_equal(s->id[at], world.ds->split[LT_TRAIN].id[world.forget.row[i]]);
        assert_int_equal(s->label[at], world.ds->split[LT_TRAIN].y[world.forget.row[i]]);
    }
    lti_free(z);
    lt_signals_destroy(s);
    assert_ok(lt_signals_compute(world.model, world.ds, NULL, NULL, &world.env, &s)); // the test split alone
    assert_int_equal(s->n, TOY_TEST);
    assert_int_equal(s->group[0], LT_GROUP_TEST);
    lt_signals_destroy(s);
}

static void signals_survive_a_file(void **state)
{
    (void)state;
    char *dir = toy_temp_dir(), *path = lti_asprintf("%s/signals.npz", dir);
    lt_signals *a = compute(), *b;
    assert_ok(lt_signals_save(a, path));
    assert_ok(lt_signals_open(path, &b));
    assert_true(a->n == b->n && a->k == b->k);
    assert_memory_equal(a->logits, b->logits, (size_t)(a->n * a->k) * sizeof *a->logits);
    assert_memory_equal(a->label, b->label, (size_t)a->n * sizeof *a->label);
    assert_memory_equal(a->id, b->id, (size_t)a->n * sizeof *a->id);
    assert_memory_equal(a->group, b->group, (size_t)a->n);
    // The dtypes other programs rely on.
    lt_tensor_file *f;
    assert_ok(lt_tensor_file_open(path, &f));
    assert_int_equal(lt_tensor_file_find(f, "logits")->dtype, LT_F32);
    assert_int_equal(lt_tensor_file_find(f, "labels")->dtype, LT_I64);
    assert_int_equal(lt_tensor_file_find(f, "ids")->dtype, LT_I64);
    assert_int_equal(lt_tensor_file_find(f, "group")->dtype, LT_I8);
    lt_tensor_file_close(f);
    assert_fails(LT_E_INPUT, "nowhere", lt_signals_open("/nowhere/signals.npz", &b));
    lt_signals_destroy(a);
    lt_signals_destroy(b);
    lti_free(path);
    toy_remove_dir(dir);
}

// ---- files of other tools: a good one, then one change at a time

typedef struct foreign {
    float logits[6];
    double wide[6];
    int64_t labels[3], ids[3];
    int32_t short_labels[3];
    int8_t group[3];
    uint8_t byte_group[3];
    lt_tensor t[4];
} foreign;

static void foreign_init(foreign *f)
{
    *f = (foreign){.logits = {1, 2, 3, 4, 5, 6},
                   .wide = {1, 2, 3, 4, 5, 6},
                   .labels = {0, 1, 1},
                   .ids = {7, 8, 9},
                   .short_labels = {0, 1, 1},
                   .group = {0, 1, 2},
                   .byte_group = {0, 1, 2}};
    f->t[0] = (lt_tensor){"logits", LT_F32, 2, {3, 2}, f->logits, sizeof f->logits};
    f->t[1] = (lt_tensor){"labels", LT_I64, 1, {3}, f->labels, sizeof f->labels};
    f->t[2] = (lt_tensor){"ids", LT_I64, 1, {3}, f->ids, sizeof f->ids};
    f->t[3] = (lt_tensor){"group", LT_I8, 1, {3}, f->group, sizeof f->group};
}

typedef void (*change)(foreign *f);
static void keep(foreign *f)
{
    (void)f;
}
static void use_other_dtypes(foreign *f)
{
    f->t[0] = (lt_tensor){"logits", LT_F64, 2, {3, 2}, f->wide, sizeof f->wide};
    f->t[1] = (lt_tensor){"labels", LT_I32, 1, {3}, f->short_labels, sizeof f->short_labels};
    f->t[3] = (lt_tensor){"group", LT_U8, 1, {3}, f->byte_group, sizeof f->byte_group};
}
static void rename_labels(foreign *f)
{
    f->t[1].name = "label";
}
static void make_logits_integer(foreign *f)
{
    f->t[0].dtype = LT_I32;
}
static void flatten_logits(foreign *f)
{
    f->t[0].n_dims = 1;
    f->t[0].dim[0] = 6;
}
static void one_class(foreign *f)
{
    f->t[0].dim[1] = 1;
    f->t[0].n_bytes /= 2;
}
static void no_rows(foreign *f)
{
    f->t[0].dim[0] = 0;
    f->t[0].n_bytes = 0;
}
static void nan_logit(foreign *f)
{
    f->logits[3] = NAN;
}
static void huge_logit(foreign *f)
{
    use_other_dtypes(f);
    f->wide[4] = 1e300;
}
static void label_too_large(foreign *f)
{
    f->labels[2] = 2;
}
static void label_negative(foreign *f)
{
    f->labels[0] = -1;
}
static void label_short(foreign *f)
{
    f->t[1].dim[0] = 2;
    f->t[1].n_bytes = 16;
}
static void labels_float(foreign *f)
{
    f->t[1] = (lt_tensor){"labels", LT_F64, 1, {3}, f->wide, 3 * sizeof(double)};
}
static void id_negative(foreign *f)
{
    f->ids[1] = -5;
}
static void group_unknown(foreign *f)
{
    f->group[0] = 3;
}
static void group_negative(foreign *f)
{
    f->group[2] = -1;
}

static void foreign_files_are_checked(void **state)
{
    (void)state;
    static const struct {
        change change;
        const char *message; // NULL: accepted
    } table[] = {
        {keep, NULL},
        {use_other_dtypes, NULL},
        {rename_labels, "expected an array 'labels'"},
        {make_logits_integer, "array 'logits': expected float32 or float64"},
        {flatten_logits, "array 'logits': expected 2 dimensions, found 1"},
        {one_class, "at least 2 classes, found 1"},
        {no_rows, "at least one row"},
        {nan_logit, "row 1, class 1: expected a finite float"},
        {huge_logit, "row 2, class 0: expected a finite float"},
        {label_too_large, "array 'labels', row 2: expected 0..1, found 2"},
        {label_negative, "array 'labels', row 0: expected 0..1, found -1"},
        {label_short, "array 'labels': expected 3 elements as in 'logits', found 2"},
        {labels_float, "array 'labels': expected integers"},
        {id_negative, "array 'ids', row 1"},
        {group_unknown, "array 'group', row 0: expected 0..2, found 3"},
        {group_negative, "array 'group', row 2: expected 0..2, found -1"},
    };
    char *dir = toy_temp_dir(), *path = lti_asprintf("%s/foreign.npz", dir);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        foreign f;
        foreign_init(&f);
        table[i].change(&f);
        assert_ok(lt_npz_write(path, f.t, 4));
        lt_signals *s = NULL;
        if (table[i].message) {
            assert_fails(LT_E_FORMAT, table[i].message, lt_signals_open(path, &s));
            assert_contains(lt_error_get()->message, "foreign.npz");
            continue;
        }
        assert_ok(lt_signals_open(path, &s));
        assert_true(s->n == 3 && s->k == 2 && s->logits[5] == 6 && s->label[1] == 1 && s->id[2] == 9 &&
                    s->group[2] == 2);
        lt_signals_destroy(s);
    }
    lti_free(path);
    toy_remove_dir(dir);
}

// Every truncation and single-byte change is either refused with a message or gives valid signals.
static void damaged_bytes_are_survived(void **state)
{
    (void)state;
    char *dir = toy_temp_dir(), *path = lti_asprintf("%s/signals.npz", dir), *bytes;
    size_t n;
    foreign f;
    foreign_init(&f);
    assert_ok(lt_npz_write(path, f.t, 4));
    assert_ok(lt_read_file(path, 1 << 20, &bytes, &n));
    lt_signals *s;
    for (size_t cut = 0; cut < n; cut += 7)
        assert_int_not_equal(lt_signals_parse(bytes, cut, "cut", &s), LT_OK);
    for (size_t at = 0; at < n; at++) {
        bytes[at] = (char)(bytes[at] ^ 0x55);
        if (lt_signals_parse(bytes, n, "flip", &s) == LT_OK) {
            double x[3];
            assert_int_equal(lt_signals_feature(s, LT_FEAT_PHI, -1, x), s->n);
            lt_signals_destroy(s);
        } else {
            assert_true(lt_error_get()->message[0]);
        }
        bytes[at] = (char)(bytes[at] ^ 0x55);
    }
    free(bytes);
    lti_free(path);
    toy_remove_dir(dir);
}

// Signals of three samples whose ids are unique within their group only.
static lt_signals *small_signals(const int64_t row[3])
{
    static const int64_t id[3] = {4, 5, 4}, label[3] = {0, 1, 1}, subclass[3] = {7, 8, 9};
    lt_signals *s = lti_calloc(1, sizeof *s);
    *s = (lt_signals){.n = 3, .k = 2};
    s->logits = lti_calloc(6, sizeof *s->logits);
    s->label = lti_calloc(3, sizeof *s->label);
    s->id = lti_calloc(3, sizeof *s->id);
    s->group = lti_calloc(3, sizeof *s->group);
    s->subclass = lti_calloc(3, sizeof *s->subclass);
    for (int i = 0; i < 3; i++) {
        s->label[i] = label[row[i]], s->id[i] = id[row[i]], s->group[i] = (int8_t)row[i];
        s->subclass[i] = subclass[row[i]];
        s->logits[2 * i] = (float)row[i], s->logits[2 * i + 1] = -(float)row[i];
    }
    return s;
}

static void rows_come_into_the_order_of_the_target(void **state)
{
    (void)state;
    lt_signals *target = small_signals((const int64_t[]){0, 1, 2}), *s = small_signals((const int64_t[]){2, 0, 1});
    assert_false(lt_signals_same_samples(target, s));
    assert_ok(lt_signals_match(target, "s.npz", s));
    assert_true(lt_signals_same_samples(target, s) && lt_signals_same_outputs(target, s));
    assert_memory_equal(s->subclass, target->subclass, 3 * sizeof *s->subclass);
    assert_ok(lt_signals_match(target, "s.npz", s)); // in order: nothing moves
    assert_true(lt_signals_same_outputs(target, s));
    s->label[2] = 0;
    assert_fails(LT_E_FORMAT, "id 4 with label 0 in group 2 instead of label 1", lt_signals_match(target, "s.npz", s));
    s->id[1] = 6;
    assert_fails(LT_E_FORMAT, "s.npz: array 'ids': expected the samples of the audited model, found no id 5 in group 1",
                 lt_signals_match(target, "s.npz", s));
    s->group[1] = 0, s->id[1] = 4;
    assert_fails(LT_E_FORMAT, "id 4 occurs twice in its group (rows 0 and 1)", lt_signals_match(target, "s.npz", s));
    s->n = 2;
    assert_fails(LT_E_FORMAT, "(3 rows), found others (2 rows)", lt_signals_match(target, "s.npz", s));
    lt_signals_destroy(s);
    lt_signals_destroy(target);
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    char *dir = toy_temp_dir(), *path = lti_asprintf("%s/signals.npz", dir);
    lt_signals *s = NULL;
    lt_status status = LT_E_NOMEM;
    for (int64_t n = 1; status != LT_OK; n = toy_next_failure(n)) {
        lti_alloc_fail_at(n);
        status = lt_signals_compute(world.model, world.ds, &world.forget, &world.retain, &world.env, &s);
        lti_alloc_fail_at(0);
        assert_true(status == LT_OK || status == LT_E_NOMEM);
    }
    status = LT_E_NOMEM;
    for (int64_t n = 1; status != LT_OK; n = toy_next_failure(n)) {
        lti_alloc_fail_at(n);
        status = lt_signals_save(s, path);
        lti_alloc_fail_at(0);
        assert_true(status == LT_OK || status == LT_E_NOMEM);
    }
    lt_signals_destroy(s);
    status = LT_E_NOMEM;
    for (int64_t n = 1; status != LT_OK; n = toy_next_failure(n)) {
        lti_alloc_fail_at(n);
        status = lt_signals_open(path, &s);
        lti_alloc_fail_at(0);
        assert_true(status == LT_OK || status == LT_E_NOMEM);
    }
    lt_signals_destroy(s);
    lti_free(path);
    toy_remove_dir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signals_are_the_models_outputs),
        cmocka_unit_test(signals_survive_a_file),
        cmocka_unit_test(foreign_files_are_checked),
        cmocka_unit_test(damaged_bytes_are_survived),
        cmocka_unit_test(rows_come_into_the_order_of_the_target),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
