// test_backends.c - conformance of every backend in the registry: each op case and a whole network give, in float, what
// the reference kernels give in double.
#include "graph/conformance.h"
#include "backend_fixture.h"

static lt_backend *ref;
BACKEND_FIXTURE(ref, "ref")

static void every_op_agrees(void **state)
{
    (void)state;
    for (const char *const *name = lt_backend_names(); *name; name++) {
        lt_backend *backend;
        assert_int_equal(lt_backend_create(*name, 2, &backend), LT_OK);
        for (int i = 0; i < N_OP_CASES; i++) {
            op_case c;
            op_case_build(op_cases[i], &c);
            for (int out = 0; out <= c.n_out; out++) { // the last: running statistics
                bool train = out % 2;                  // prepared once or always: the same numbers
                numbers a = case_numbers(&c, out, backend, LT_F32, train);
                numbers b = case_numbers(&c, out, ref, LT_F64, train);
                double d = distance(&a, &b);
                if (!(d < 2e-5))
                    fail_msg("%s: %s: output %d is off by %g", *name, c.text, out, d);
                free(a.v);
                free(b.v);
            }
            op_case_clear(&c);
        }
        lt_backend_destroy(backend);
    }
}

static void networks_agree(void **state)
{
    (void)state;
    small_net n;
    small_net_build(&n);
    static const unsigned flags[] = {LT_PLAN_NO_TUNE, LT_PLAN_NO_TUNE | LT_PLAN_NO_LAYOUT,
                                     LT_PLAN_NO_TUNE | LT_PLAN_NO_FUSE,
                                     LT_PLAN_NO_TUNE | LT_PLAN_NO_FOLD | LT_PLAN_NO_REUSE, 0};
    for (const char *const *name = lt_backend_names(); *name; name++) {
        lt_backend *backend;
        assert_int_equal(lt_backend_create(*name, 2, &backend), LT_OK);
        for (int i = 0; i < 10; i++) {
            numbers a[N_PARTS] = {{0}}, b[N_PARTS] = {{0}};
            net_numbers(&n, backend, LT_F32, i % 2, flags[i / 2], a);
            net_numbers(&n, ref, LT_F64, i % 2, 0, b);
            for (int p = 0; p < N_PARTS; p++) {
                double d = distance(&a[p], &b[p]);
                if (!(d < 1e-4))
                    fail_msg("%s: train %d, flags %u, part %d: off by %g", *name, i % 2, flags[i / 2], p, d);
                free(a[p].v);
                free(b[p].v);
            }
        }
        lt_backend_destroy(backend);
    }
    lt_graph_destroy(n.g);
}

static void runs_repeat_to_the_bit(void **state)
{
    (void)state;
    small_net n;
    small_net_build(&n);
    for (const char *const *name = lt_backend_names(); *name; name++) {
        lt_backend *backend;
        assert_int_equal(lt_backend_create(*name, 2, &backend), LT_OK);
        numbers a[N_PARTS] = {{0}}, b[N_PARTS] = {{0}};
        net_numbers(&n, backend, LT_F32, true, LT_PLAN_NO_TUNE, a);
        net_numbers(&n, backend, LT_F32, true, LT_PLAN_NO_TUNE, b);
        for (int p = 0; p < N_PARTS; p++) {
            assert_memory_equal(a[p].v, b[p].v, (size_t)a[p].n * sizeof(double));
            free(a[p].v);
            free(b[p].v);
        }
        lt_backend_destroy(backend);
    }
    lt_graph_destroy(n.g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_op_agrees),
        cmocka_unit_test(networks_agree),
        cmocka_unit_test(runs_repeat_to_the_bit),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
