// test_references.c - reference files of other tools: what is read, and what is refused with which words.
#include "mia_test.h"

enum { M = 2, N = 3, K = 2 };
typedef struct foreign {
    float logits[M * N * K];
    double wide[M * N * K];
    uint8_t member[M * N];
    int64_t long_member[M * N], ids[N];
    int32_t labels[N];
    int8_t group[N];
    lt_tensor t[5];
    int n_tensors;
} foreign;

static void foreign_init(foreign *f)
{
    *f = (foreign){.member = {0, 1, 0, 1, 0, 2},
                   .long_member = {0, 1, 0, 1, 0, 2},
                   .ids = {7, 8, 9},
                   .labels = {0, 1, 1},
                   .group = {0, 1, 2}};
    for (int i = 0; i < M * N * K; i++)
        f->wide[i] = f->logits[i] = (float)i / 4;
    f->t[0] = (lt_tensor){"logits", LT_F32, 3, {M, N, K}, f->logits, sizeof f->logits};
    f->t[1] = (lt_tensor){"member", LT_U8, 2, {M, N}, f->member, sizeof f->member};
    f->t[2] = (lt_tensor){"ids", LT_I64, 1, {N}, f->ids, sizeof f->ids};
    f->t[3] = (lt_tensor){"labels", LT_I32, 1, {N}, f->labels, sizeof f->labels};
    f->t[4] = (lt_tensor){"group", LT_I8, 1, {N}, f->group, sizeof f->group};
    f->n_tensors = 2;
}

typedef void (*change)(foreign *f);
static void keep(foreign *f)
{
    (void)f;
}
static void other_dtypes(foreign *f)
{
    f->t[0] = (lt_tensor){"logits", LT_F64, 3, {M, N, K}, f->wide, sizeof f->wide};
    f->t[1] = (lt_tensor){"member", LT_I64, 2, {M, N}, f->long_member, sizeof f->long_member};
}
static void with_rows(foreign *f)
{
    f->n_tensors = 5;
}
static void no_member(foreign *f)
{
    f->n_tensors = 1;
}
static void flat_logits(foreign *f)
{
    f->t[0] = (lt_tensor){"logits", LT_F32, 2, {M * N, K}, f->logits, sizeof f->logits};
}
static void float_member(foreign *f)
{
    f->t[1] = (lt_tensor){"member", LT_F32, 2, {M, N}, f->logits, M * N * sizeof(float)};
}
static void turned_member(foreign *f)
{
    f->t[1] = (lt_tensor){"member", LT_U8, 2, {N, M}, f->member, sizeof f->member};
}
static void three(foreign *f)
{
    f->member[4] = 3;
}
static void negative(foreign *f)
{
    other_dtypes(f);
    f->long_member[5] = -1;
}
static void not_finite(foreign *f)
{
    f->logits[1 * N * K + 2 * K + 1] = NAN;
}
static void too_large(foreign *f)
{
    other_dtypes(f);
    f->wide[3] = 1e39;
}
static void one_class(foreign *f)
{
    f->t[0] = (lt_tensor){"logits", LT_F32, 3, {M, N * K, 1}, f->logits, sizeof f->logits};
}
static void fewer_samples(foreign *f)
{
    f->t[0] = (lt_tensor){"logits", LT_F32, 3, {M, N - 1, K}, f->logits, M * (N - 1) * K * sizeof(float)};
    f->t[1] = (lt_tensor){"member", LT_U8, 2, {M, N - 1}, f->member, M * (N - 1)};
}
static void more_classes(foreign *f)
{
    f->t[0] = (lt_tensor){"logits", LT_F32, 3, {1, N, K + 2}, f->logits, sizeof f->logits};
    f->t[1] = (lt_tensor){"member", LT_U8, 2, {1, N}, f->member, N};
}
static void other_order(foreign *f) // of the ids alone: labels and groups contradict them
{
    f->n_tensors = 5;
    f->ids[1] = 9, f->ids[2] = 8;
}
static void other_ids(foreign *f)
{
    f->n_tensors = 3;
    f->ids[2] = 10;
}
static void repeated_ids(foreign *f)
{
    f->n_tensors = 3;
    f->ids[0] = 8, f->ids[1] = 7, f->ids[2] = 8;
}
static void float_ids(foreign *f)
{
    f->n_tensors = 3;
    f->t[2] = (lt_tensor){"ids", LT_F32, 1, {N}, f->logits, N * sizeof(float)};
}
static void no_such_group(foreign *f)
{
    f->n_tensors = 5;
    f->group[1] = 3;
}
static void other_labels(foreign *f)
{
    f->n_tensors = 5;
    f->labels[0] = 1;
}

static lt_status read_changed(change edit, const lt_signals *target, lt_references **refs)
{
    foreign f;
    char path[256];
    snprintf(path, sizeof path, "%s/lethe-refs-%d.npz", lt_test_root(), (int)getpid());
    foreign_init(&f);
    edit(&f);
    assert_ok(lt_npz_write(path, f.t, f.n_tensors));
    lt_status status = lt_references_open(path, target, refs);
    unlink(path);
    return status;
}

static lt_signals target_signals(void)
{
    static float logits[N * K];
    static int64_t label[N] = {0, 1, 1}, id[N] = {7, 8, 9};
    static int8_t group[N] = {0, 1, 2};
    return (lt_signals){.n = N, .k = K, .logits = logits, .label = label, .id = id, .group = group};
}

static void good_files_are_read(void **state)
{
    (void)state;
    static const change good[] = {keep, other_dtypes, with_rows};
    static const uint8_t member[M * N] = {0, 1, 0, 1, 0, 2};
    const lt_signals target = target_signals();
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        lt_references *refs;
        assert_ok(read_changed(good[i], &target, &refs));
        assert_true(refs->m == M && refs->n == N && refs->k == K);
        assert_memory_equal(refs->member, member, sizeof member);
        for (int j = 0; j < M * N * K; j++)
            assert_true(refs->logits[j] == (float)j / 4);
        lt_references_destroy(refs);
    }
    lt_references_destroy(NULL);
}

static void bad_files_are_refused(void **state)
{
    (void)state;
    static const struct {
        change edit;
        const char *part;
    } row[] = {
        {no_member, "expected an array 'member'"},
        {flat_logits, "'logits': expected 3 dimensions, found 2"},
        {float_member, "'member': expected integers"},
        {turned_member, "'member': expected (2, 3), models and samples as in 'logits', found (3, 2)"},
        {three, "model 1, row 1: expected 0 (not trained on), 1 (trained on) or 2"},
        {negative, "model 1, row 2: expected 0"},
        {not_finite, "model 1, row 2, class 1: expected a finite float, found nan"},
        {too_large, "model 0, row 1, class 1: expected a finite float, found inf"},
        {one_class, "2 classes"},
        {fewer_samples, "expected 3 samples as in the target, found 2"},
        {more_classes, "expected 2 classes as in the target, found 4"},
        {other_order, "'group', row 2: expected 1 as in the target, found 2"},
        {other_ids, "found no id 9 (row 2 of the audited model)"},
        {repeated_ids, "id 8 occurs twice (rows 0 and 2)"},
        {float_ids, "'ids': expected integers"},
        {no_such_group, "'group', row 1: expected 0..2, found 3"},
        {other_labels, "'labels', row 0: expected 0 as in the target, found 1"},
    };
    const lt_signals target = target_signals();
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        lt_references *refs = NULL;
        assert_fails(LT_E_FORMAT, row[i].part, read_changed(row[i].edit, &target, &refs));
        assert_null(refs);
    }
}

// Rows as last, first, second: of both widths of file, since one of them has arrays of its own.
static void turn_rows(foreign *f)
{
    static const int from[N] = {2, 0, 1};
    const foreign old = *f;
    for (int m = 0; m < M; m++)
        for (int i = 0; i < N; i++) {
            f->member[m * N + i] = old.member[m * N + from[i]];
            f->long_member[m * N + i] = old.long_member[m * N + from[i]];
            for (int j = 0; j < K; j++) {
                f->logits[(m * N + i) * K + j] = old.logits[(m * N + from[i]) * K + j];
                f->wide[(m * N + i) * K + j] = old.wide[(m * N + from[i]) * K + j];
            }
        }
    for (int i = 0; i < N; i++)
        f->ids[i] = old.ids[from[i]], f->labels[i] = old.labels[from[i]], f->group[i] = old.group[from[i]];
    f->n_tensors = 5;
}
static void turned(foreign *f)
{
    turn_rows(f);
}
static void turned_ids_alone(foreign *f)
{
    turn_rows(f);
    f->n_tensors = 3;
}
static void turned_other_dtypes(foreign *f)
{
    turn_rows(f);
    other_dtypes(f);
}

static void rows_come_into_the_order_of_the_target(void **state)
{
    (void)state;
    static const change turns[] = {turned, turned_ids_alone, turned_other_dtypes};
    static const uint8_t member[M * N] = {0, 1, 0, 1, 0, 2};
    const lt_signals target = target_signals();
    for (size_t i = 0; i < sizeof turns / sizeof *turns; i++) {
        lt_references *refs;
        assert_ok(read_changed(turns[i], &target, &refs));
        assert_memory_equal(refs->member, member, sizeof member);
        for (int j = 0; j < M * N * K; j++)
            assert_true(refs->logits[j] == (float)j / 4);
        assert_false(refs->unlabelled);
        lt_references_destroy(refs);
    }
}

// Two splits that are both numbered from 0: groups tell their samples apart, and without them nothing does.
static void numbered(foreign *f)
{
    turn_rows(f);
    f->ids[0] = f->ids[1] = 0, f->ids[2] = 1; // target: 0, 1 and 0 of the test split
}
static void numbered_without_groups(foreign *f)
{
    numbered(f);
    f->n_tensors = 4;
}
static void numbered_in_order(foreign *f)
{
    f->n_tensors = 3;
    f->ids[0] = f->ids[2] = 0, f->ids[1] = 1;
}
static void numbered_other_group(foreign *f)
{
    numbered(f);
    f->group[0] = 1;
}

static void ids_are_unique_within_their_group(void **state)
{
    (void)state;
    lt_references *refs;
    int64_t id[N] = {0, 1, 0};
    lt_signals target = target_signals();
    target.id = id;
    assert_ok(read_changed(numbered, &target, &refs));
    for (int j = 0; j < M * N * K; j++)
        assert_true(refs->logits[j] == (float)j / 4);
    lt_references_destroy(refs);
    assert_ok(read_changed(numbered_in_order, &target, &refs));
    lt_references_destroy(refs);
    assert_fails(LT_E_FORMAT, "id 0 occurs twice in the audited model (rows 0 and 2)",
                 read_changed(numbered_without_groups, &target, &refs));
    assert_fails(LT_E_FORMAT, "found no id 0 in group 2 (row 2 of the audited model)",
                 read_changed(numbered_other_group, &target, &refs));
    target.group = (int8_t[N]){0, 1, 0};
    assert_fails(LT_E_FORMAT, "id 0 occurs twice in a group of the audited model (rows 0 and 2)",
                 read_changed(numbered, &target, &refs));
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    const lt_signals target = target_signals();
    lt_status status = LT_E_NOMEM;
    for (int n = 1; status != LT_OK; n++) {
        foreign f;
        char path[256];
        lt_references *refs = NULL;
        snprintf(path, sizeof path, "%s/lethe-refs-oom-%d.npz", lt_test_root(), (int)getpid());
        foreign_init(&f);
        turned_other_dtypes(&f);
        assert_ok(lt_npz_write(path, f.t, f.n_tensors));
        lti_alloc_fail_at(n);
        status = lt_references_open(path, &target, &refs);
        lti_alloc_fail_at(0);
        assert_true(status == LT_OK || (status == LT_E_NOMEM && !refs));
        lt_references_destroy(refs);
        unlink(path);
        assert_true(n < 200);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_files_are_read),
        cmocka_unit_test(bad_files_are_refused),
        cmocka_unit_test(rows_come_into_the_order_of_the_target),
        cmocka_unit_test(ids_are_unique_within_their_group),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
