// test_ops.c - every op of the table: gradients against finite differences, linear ops against their adjoints.
#include "graph/op_cases.h"
#include "backend_fixture.h"

static lt_backend *ref;
BACKEND_FIXTURE(ref, "ref")

static double inner(const double *a, const double *b, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

// <seed, out> after a forward run with the data now in the case.
static double forward(const op_case *c, op_run *r, int out, double *buffer)
{
    op_case_load(c, r);
    OP_CASE_NEED(lt_plan_run(r->plan) == LT_OK, c->text);
    op_get(r, c->out[out], buffer);
    return inner(buffer, c->seed_data[out], lti_shape_count(&c->g->value[c->out[out]].shape));
}

// Central differences on four points: error h^4, so a step of 1e-3 leaves about twelve digits.
static double difference(const op_case *c, op_run *r, int out, double *x, double *buffer)
{
    const double h = 1e-3, at = *x;
    double f[4];
    for (int i = 0; i < 4; i++) {
        static const double step[4] = {-2, -1, 1, 2};
        *x = at + step[i] * h;
        f[i] = forward(c, r, out, buffer);
    }
    *x = at;
    return (f[0] - 8 * f[1] + 8 * f[2] - f[3]) / (12 * h);
}

static void check_gradient(op_case *c, int out)
{
    lt_val wrt[LT_NODE_MAX_IN];
    int n_wrt = 0, which[LT_NODE_MAX_IN];
    for (int i = 0; i < c->n_in; i++)
        if (c->diff[i]) {
            which[n_wrt] = i;
            wrt[n_wrt++] = c->in[i];
        }
    lt_plan_spec spec = {
        .outs = &c->out[out], .n_outs = 1, .grad_of = LT_NONE, .batch = 1, .dtype = LT_F64, .train = true};
    op_run fwd, back;
    assert_int_equal(op_run_open(c->g, &spec, ref, &fwd), LT_OK);
    spec = (lt_plan_spec){.grad_of = c->out[out],
                          .seed = c->seed[out],
                          .wrt = wrt,
                          .n_wrt = n_wrt,
                          .batch = 1,
                          .dtype = LT_F64,
                          .train = true};
    if (op_run_open(c->g, &spec, ref, &back) != LT_OK)
        fail_msg("%s: %s", c->text, lt_error_get()->message);
    op_case_load(c, &back);
    assert_int_equal(lt_plan_run(back.plan), LT_OK);
    double *buffer = calloc((size_t)lti_shape_count(&c->g->value[c->out[out]].shape), sizeof *buffer);
    for (int i = 0; i < n_wrt; i++) {
        const double *grad = lt_plan_grad(back.plan, i);
        double worst = 0, scale = 1e-3;
        for (int64_t j = 0; j < lti_shape_count(&c->g->value[wrt[i]].shape); j++) {
            double d = difference(c, &fwd, out, &c->in_data[which[i]][j], buffer);
            worst = fmax(worst, fabs(d - grad[j]));
            scale = fmax(scale, fabs(d));
        }
        if (!(worst < 1e-6 * scale))
            fail_msg("%s: output %d, input %d: gradient off by %g of %g", c->text, out, which[i], worst, scale);
    }
    free(buffer);
    op_run_close(&fwd);
    op_run_close(&back);
}

static void gradients_match_differences(void **state)
{
    (void)state;
    for (int i = 0; i < N_OP_CASES; i++) {
        op_case c;
        op_case_build(op_cases[i], &c);
        bool any = false;
        for (int j = 0; j < c.n_in; j++)
            any = any || c.diff[j];
        for (int j = 0; any && j < c.n_out; j++)
            if (c.check[j])
                check_gradient(&c, j);
        op_case_clear(&c);
    }
}

// <A x - A 0, u> = <x, A' u> for ops that are linear in their first input (A 0: biases).
static void check_adjoint(op_case *c)
{
    int64_t n = lti_shape_count(&c->g->value[c->in[0]].shape);
    lt_plan_spec spec = {.outs = &c->out[0],
                         .n_outs = 1,
                         .grad_of = c->out[0],
                         .seed = c->seed[0],
                         .wrt = &c->in[0],
                         .n_wrt = 1,
                         .batch = 1,
                         .dtype = LT_F64};
    op_run r;
    assert_int_equal(op_run_open(c->g, &spec, ref, &r), LT_OK);
    double *buffer = calloc((size_t)lti_shape_count(&c->g->value[c->out[0]].shape), sizeof *buffer);
    double at_x = forward(c, &r, 0, buffer), adjoint = inner(lt_plan_grad(r.plan, 0), c->in_data[0], n);
    memset(c->in_data[0], 0, (size_t)n * sizeof(double));
    double at_0 = forward(c, &r, 0, buffer);
    if (!(fabs(at_x - at_0 - adjoint) < 1e-12 * (fabs(at_x) + fabs(at_0) + 1)))
        fail_msg("%s: <Ax,u> = %.17g, <x,A'u> = %.17g", c->text, at_x - at_0, adjoint);
    free(buffer);
    op_run_close(&r);
}

static void linear_ops_have_their_adjoint(void **state)
{
    (void)state;
    int n = 0;
    for (int i = 0; i < N_OP_CASES; i++) {
        op_case c;
        op_case_build(op_cases[i], &c);
        if ((c.op->flags & LT_OP_LINEAR) && !op_key(c.text, "relu") && c.diff[0]) {
            check_adjoint(&c);
            n++;
        }
        op_case_clear(&c);
    }
    assert_true(n > 30);
}

static void every_op_has_a_case(void **state)
{
    (void)state;
    static const lt_op *const ops[] = {
#define LT_X(op) &lt_op_##op,
#include "graph/ops.list"
#undef LT_X
    };
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
        bool found = ops[i] == &lt_op_bn || ops[i] == &lt_op_dropout; // have no kernel: plans replace them
        assert_ptr_equal(lt_op_find(ops[i]->name), ops[i]);
        for (int j = 0; j < N_OP_CASES && !found; j++) {
            size_t n = strlen(ops[i]->name);
            found = strncmp(op_cases[j], ops[i]->name, n) == 0 && op_cases[j][n] == ' ';
        }
        if (!found)
            fail_msg("op %s has no case", ops[i]->name);
    }
    assert_null(lt_op_find("no such op"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_match_differences),
        cmocka_unit_test(linear_ops_have_their_adjoint),
        cmocka_unit_test(every_op_has_a_case),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
