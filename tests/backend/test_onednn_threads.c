// test_onednn_threads.c - a backend of one thread computes on one thread, whatever OpenMP's own default says; and
// shares of work, of which one thread must be able to do all: a team may be smaller than was requested.
//
// oneDNN reads the number of threads when a primitive is described, not only when it runs. A process of its own: once
// another kernel has started a team, its threads stay.
#include "lt_test.h"
#if defined(LETHE_HAVE_ONEDNN) && defined(_OPENMP) && defined(__linux__)
#include "backend/onednn/work_partition.h"
#include "base/base.h"
#include "graph/backend.h"
#include <dirent.h>
#include <omp.h>

static int threads_of_process(void)
{
    int n = 0;
    DIR *d = opendir("/proc/self/task");
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));)
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

static lt_arg tensor(int64_t n, int64_t c, int64_t h, lt_layout layout)
{
    return (lt_arg){{4, {n, c, h, h}}, LT_F32, LT_ROLE_TEMP, layout};
}

static void run_op(lt_backend *b, const lt_op *op, const lt_attr *attr, const lt_arg *arg)
{
    const lt_bind_in in = {op, attr, 2, 1, arg, LT_F32, true, LT_PLAN_NO_TUNE};
    lt_kernel k = {0};
    void *p[3], *scratch, *prepared;
    assert_ok(b->ops->bind(b, &in, &k));
    for (int i = 0; i < 3; i++)
        assert_non_null(p[i] = lti_aligned_alloc(64, lti_layout_bytes(&arg[i].shape, LT_F32, k.layout[i])));
    assert_non_null(scratch = lti_aligned_alloc(64, k.scratch_bytes));
    assert_non_null(prepared = lti_aligned_alloc(64, k.prepared_bytes));
    k.prepared = prepared;
    if (k.prepare)
        assert_ok(k.prepare(&k, p, prepared));
    assert_ok(k.run(&k, p, scratch));
    for (int i = 0; i < 3; i++)
        lti_free(p[i]);
    lti_free(scratch);
    lti_free(prepared);
    if (k.destroy)
        k.destroy(&k);
}

// Every pass of convolutions that oneDNN takes: stride 2, 1x1 and a first layer.
static void run_all(lt_backend *b)
{
    static const struct {
        int64_t c, k, r, stride;
    } shapes[] = {{32, 48, 3, 2}, {32, 48, 1, 2}, {3, 32, 3, 1}};
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        const int64_t c = shapes[i].c, k = shapes[i].k, r = shapes[i].r;
        const lt_arg x = tensor(16, c, 16, c == 3 ? LT_LAYOUT_PLAIN : LT_LAYOUT_BLOCKED16);
        const lt_arg y = tensor(16, k, 16 / shapes[i].stride, LT_LAYOUT_BLOCKED16);
        const lt_arg w = {{4, {k, c, r, r}}, LT_F32, LT_ROLE_PARAM, LT_LAYOUT_PLAIN};
        lt_attr a = {.stride = (int32_t)shapes[i].stride, .pad = (int32_t)(r / 2), .groups = 1, .dilation = 1};
        run_op(b, &lt_op_conv2d, &a, (lt_arg[]){x, w, y});
        a.shape = x.shape;
        run_op(b, &lt_op_conv2d_dx, &a, (lt_arg[]){y, w, x});
        a.shape = w.shape;
        run_op(b, &lt_op_conv2d_dw, &a, (lt_arg[]){x, y, w});
    }
}

static void one_thread_means_one(void **state)
{
    (void)state;
    lt_backend *one, *three;
    omp_set_num_threads(4);
    assert_ok(lt_backend_create("onednn", 1, &one));
    const int before = threads_of_process();
    run_all(one);
    assert_int_equal(threads_of_process(), before);
    assert_int_equal(omp_get_max_threads(), 4); // the program's own setting is as it was
    lt_backend_destroy(one);
    assert_ok(lt_backend_create("onednn", 3, &three)); // the count can tell: three are three
    run_all(three);
    assert_int_equal(threads_of_process(), before + 2);
    lt_backend_destroy(three);
}

// The only thread there is begins with its own share, from the given end, and goes on with those of the others.
static void one_thread_takes_all(void **state)
{
    static const struct {
        int n_items, n_threads;
    } work[] = {{10, 3}, {2, 5}, {0, 2}, {100, LTI_MAX_WORK_RANGES + 9}, {1, 1}};
    (void)state;
    for (size_t i = 0; i < sizeof work / sizeof work[0]; i++)
        for (int back = 0; back < 2; back++) {
            const int n = work[i].n_items;
            int times[100] = {0}, taken = 0;
            lti_work_partition s;
            lti_work_partition_init(&s, n, work[i].n_threads);
            const int64_t own = s.range[0].end;
            for (int64_t item; lti_work_partition_next(&s, back, &item); taken++) {
                assert_in_range(item, 0, n - 1);
                if (taken < own)
                    assert_int_equal(item, back ? own - 1 - taken : taken);
                times[item]++;
            }
            for (int k = 0; k < n; k++)
                assert_int_equal(times[k], 1);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(one_thread_means_one), cmocka_unit_test(one_thread_takes_all)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
#else
int main(void)
{
    return 77; // skipped
}
#endif
