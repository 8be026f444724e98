// test_backends.c - conformance of every backend in the registry: each op case and a whole network give, in float, what
// the reference kernels give in double.
#include "graph/nets.h"
#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>

static lt_backend *ref;

static int setup(void **state)
{
    (void)state;
    return lt_backend_create("ref", 1, &ref) == LT_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    lt_backend_destroy(ref);
    return 0;
}

typedef struct numbers {
    double *v;
    int64_t n;
} numbers;

static void append(numbers *to, lt_dtype dtype, const void *data, int64_t n)
{
    to->v = realloc(to->v, (size_t)(to->n + n) * sizeof *to->v);
    op_fetch(dtype, data, to->v + to->n, n);
    to->n += n;
}

// Largest difference relative to the largest expected number.
static double distance(const numbers *a, const numbers *expected)
{
    double worst = 0, scale = 1e-3;
    assert_int_equal(a->n, expected->n);
    for (int64_t i = 0; i < a->n; i++) {
        double d = fabs(a->v[i] - expected->v[i]);
        worst = d > worst || isnan(d) ? d : worst;
        scale = fmax(scale, fabs(expected->v[i]));
    }
    return worst / scale;
}

static numbers case_numbers(const op_case *c, int out, lt_backend *backend, lt_dtype dtype, bool train)
{
    lt_plan_spec spec = {.outs = c->out,
                         .n_outs = c->n_out,
                         .grad_of = LT_NONE,
                         .batch = 1,
                         .train = train,
                         .dtype = dtype,
                         .flags = LT_PLAN_NO_TUNE};
    op_run r;
    numbers res = {0};
    if (op_run_open(c->g, &spec, backend, &r) != LT_OK)
        fail_msg("%s: %s", c->text, lt_error_get()->message);
    op_case_load(c, &r);
    if (lt_plan_run(r.plan) != LT_OK)
        fail_msg("%s: %s", c->text, lt_error_get()->message);
    if (out < c->n_out) {
        const lti_value *v = &c->g->value[c->out[out]];
        append(&res, lti_is_real(v->dtype) ? dtype : v->dtype, lt_plan_buffer(r.plan, c->out[out]),
               lti_shape_count(&v->shape));
    } else {
        append(&res, dtype, r.state, lt_graph_n_state(c->g));
    }
    op_run_close(&r);
    return res;
}

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

enum { N_PARTS = 6 };

// Parts of the result: loss, logits, dx, d block, running statistics, parameter gradients.
static void net_numbers(const small_net *n, lt_backend *backend, lt_dtype dtype, bool train, unsigned flags,
                        numbers *part)
{
    const lt_val outs[] = {n->loss, n->logits}, wrt[] = {n->x, n->block};
    lt_plan_spec spec = {.outs = outs,
                         .n_outs = 2,
                         .grad_of = n->loss,
                         .seed = LT_NONE,
                         .wrt = wrt,
                         .n_wrt = 2,
                         .wrt_params = train,
                         .batch = 5,
                         .train = train,
                         .dtype = dtype,
                         .flags = flags};
    op_run r;
    if (op_run_open(n->g, &spec, backend, &r) != LT_OK)
        fail_msg("%s", lt_error_get()->message);
    net_fill(n, &r, 5);
    for (int i = 0; i < 2; i++)
        assert_int_equal(lt_plan_run(r.plan), LT_OK);
    append(&part[0], dtype, lt_plan_buffer(r.plan, n->loss), 1);
    append(&part[1], dtype, lt_plan_buffer(r.plan, n->logits), 25);
    append(&part[2], dtype, lt_plan_grad(r.plan, 0), 5 * 3 * 64);
    append(&part[3], dtype, lt_plan_grad(r.plan, 1), 5 * 8 * 16);
    append(&part[4], dtype, r.state, lt_graph_n_state(n->g));
    if (train)
        append(&part[5], dtype, r.grads, lt_graph_n_params(n->g));
    op_run_close(&r);
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
