// test_ref_values.c - reference kernels on numbers worked out by hand, and where floating point bites: large logits,
// NaN, ties. Gradients cannot show a wrong constant or a wrong tie; these can.
#include "graph/op_cases.h"
#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>

enum { MAX_N = 64 };

// Runs a case on given inputs (NULL: the case's own) and compares output `out` in both types.
static void expect(const char *text, const double *const in[], int out, const double *expected, int n, double tolerance)
{
    lt_backend *ref;
    assert_int_equal(lt_backend_create("ref", 1, &ref), LT_OK);
    for (int dtype = LT_F32; dtype <= LT_F64; dtype++) {
        op_case c;
        op_case_build(text, &c);
        for (int i = 0; i < c.n_in; i++)
            if (in[i])
                memcpy(c.in_data[i], in[i], (size_t)lti_shape_count(&c.g->value[c.in[i]].shape) * sizeof(double));
        lt_plan_spec spec = {
            .outs = c.out, .n_outs = c.n_out, .grad_of = LT_NONE, .batch = 1, .train = true, .dtype = (lt_dtype)dtype};
        op_run r;
        double found[MAX_N] = {0};
        assert_int_equal(op_run_open(c.g, &spec, ref, &r), LT_OK);
        op_case_load(&c, &r);
        assert_int_equal(lt_plan_run(r.plan), LT_OK);
        if (out >= 0) {
            assert_int_equal(lti_shape_count(&c.g->value[c.out[out]].shape), n);
            op_get(&r, c.out[out], found);
        } else {
            op_fetch((lt_dtype)dtype, r.state, found, n);
        }
        for (int i = 0; i < n; i++)
            if (isnan(expected[i]) ? !isnan(found[i]) : !(fabs(found[i] - expected[i]) <= tolerance))
                fail_msg("%s: output %d, element %d is %.9g, expected %.9g", text, out, i, found[i], expected[i]);
        op_run_close(&r);
        op_case_clear(&c);
    }
    lt_backend_destroy(ref);
}
#define IN(...) ((const double *const[]){__VA_ARGS__})
#define V(...) ((const double[]){__VA_ARGS__})

static void convolution(void **state)
{
    (void)state;
    // 3x3 image 1..9, 2x2 filter, padding 1, stride 2: corners see one tap each
    expect("conv2d in=1x1x3x3,1x1x2x2:P,1:P stride=2 pad=1",
           IN(V(1, 2, 3, 4, 5, 6, 7, 8, 9), V(1, 10, 100, 1000), V(0.5)), 0,
           V(1000 + 0.5, 200 + 3000 + 0.5, 40 + 7000 + 0.5, 5 + 60 + 800 + 9000 + 0.5), 4, 1e-3);
    expect("conv2d in=1x1x1x2,1x1x1x1:P stride=1 relu=1", IN(V(-1, 2), V(3)), 0, V(0, 6), 2, 0);
    expect("conv2d in=1x1x1x2,1x1x1x1:P stride=1 relu=1", IN(V(NAN, 2), V(3)), 0, V(NAN, 6), 2, 0);
    expect("pad2d in=1x1x1x3 pad=0 pad_mode=1", IN(V(1, 2, 3)), 0, V(1, 2, 3), 3, 0);
    expect("pad2d in=1x1x2x2 pad=1 pad_mode=0", IN(V(1, 2, 3, 4)), 0, V(0, 0, 0, 0, 0, 1, 2, 0, 0, 3, 4, 0, 0, 0, 0, 0),
           16, 0);
    expect("pad2d in=1x1x2x2 pad=1 pad_mode=1", IN(V(1, 2, 3, 4)), 0, V(4, 3, 4, 3, 2, 1, 2, 1, 4, 3, 4, 3, 2, 1, 2, 1),
           16, 0);
    expect("pad2d in=1x1x3x3 pad=1 pad_mode=2", IN(V(1, 2, 3, 4, 5, 6, 7, 8, 9)), 0,
           V(5, 4, 5, 6, 5, 2, 1, 2, 3, 2, 5, 4, 5, 6, 5, 8, 7, 8, 9, 8, 5, 4, 5, 6, 5), 25, 0);
}

static void batch_norm(void **state)
{
    (void)state;
    // values 1 2 6 7: mean 4, biased variance 6.5, unbiased 26/3
    const double s = sqrt(6.5 + 0.25);
    const double *const in[] = {V(1, 2, 6, 7), V(2), V(5), V(10), V(20)};
    const char *text = "bn_train in=2x1x1x2,1:P,1:P,1:S,1:S eps=0.25 momentum=0.25";
    expect(text, in, 0, V(5 - 6 / s, 5 - 4 / s, 5 + 4 / s, 5 + 6 / s), 4, 1e-6);
    expect(text, in, 1, V(4), 1, 0);
    expect(text, in, 2, V(1 / s), 1, 1e-7);
    expect(text, in, -1, V(0.75 * 10 + 0.25 * 4, 0.75 * 20 + 0.25 * 26 / 3), 2, 1e-5);
    expect("bn_eval in=2x1,1:P,1:P,1:S,1:S eps=0.25", IN(V(1, 4), V(3), V(5), V(2), V(2)), 0, V(3, 9), 2, 1e-6);
    expect("bn_fold in=1x1x1x2:P,1:P,1:P,1:S,1:S,1:P eps=0.25", IN(V(1, 4), V(3), V(5), V(2), V(2), V(7)), 0, V(2, 8),
           2, 1e-6);
    expect("bn_fold in=1x1x1x2:P,1:P,1:P,1:S,1:S,1:P eps=0.25", IN(V(1, 4), V(3), V(5), V(2), V(2), V(7)), 1, V(15), 1,
           1e-6);
    // a large mean does not drown the variance: 1e4 + {-1, 1}
    expect("bn_train in=2x1,1:P,1:P,1:S,1:S eps=1e-5 momentum=0.1", IN(V(9999, 10001), V(1), V(0), V(0), V(1)), 0,
           V(-1, 1), 2, 2e-3);
}

static void pooling(void **state)
{
    (void)state;
    expect("max_pool in=1x1x2x4 kernel=2 stride=2", IN(V(1, 3, 5, 5, 3, 2, 5, 4)), 0, V(3, 5), 2, 0);
    expect("max_pool in=1x1x2x4 kernel=2 stride=2", IN(V(1, 3, 5, 5, 3, 2, 5, 4)), 1, V(1, 2), 2, 0); // first of equals
    expect("max_pool in=1x1x1x3 kernel=1 stride=2", IN(V(-1, NAN, -3)), 0, V(-1, -3), 2, 0);
    expect("max_pool in=1x1x2x2 kernel=2 stride=2", IN(V(1, NAN, 3, 2)), 0, V(NAN), 1, 0);
    expect("avg_pool in=1x1x2x4 kernel=2 stride=2", IN(V(1, 3, 5, 5, 3, 2, 5, 4)), 0, V(2.25, 4.75), 2, 0);
    expect("global_avg_pool in=1x2x1x2", IN(V(1, 3, 5, 8)), 0, V(2, 6.5), 2, 0);
}

static void elementwise(void **state)
{
    (void)state;
    expect("relu in=4", IN(V(-1, 0, 2, NAN)), 0, V(0, 0, 2, NAN), 4, 0);
    expect("relu_dx in=3,3 alpha=0.5", IN(V(4, 6, 8), V(1, 0, -1)), 0, V(2, 0, 0), 3, 0); // the gradient at 0 is 0
    expect("add in=3,3 alpha=0.5 relu=1", IN(V(-4, 6, NAN), V(1, 2, 3)), 0, V(0, 4, NAN), 3, 0);
    expect("scale in=2 alpha=-3", IN(V(2, -1)), 0, V(-6, 3), 2, 0);
    expect("normalize in=1x2x1x1 constants=1", IN(V(1.1, 5.2)), 0, V(2, 15), 2, 1e-5);
}

static void losses(void **state)
{
    (void)state;
    const double l = log(1 + exp(-1.0)); // two classes, one logit ahead by 1
    expect("ce in=2x2,2:i2", IN(V(1, 0, 1, 0), V(0, 1)), 0, V(l, l + 1), 2, 1e-6);
    expect("ce in=2x2,2:i2", IN(V(1001, 1000, -1e4, 1e4), V(0, 0)), 0, V(l, 2e4), 2, 1e-4);
    expect("ce in=1x2,1:i2 smoothing=0.2", IN(V(1, 0), V(0)), 0, V(0.9 * l + 0.1 * (l + 1)), 1, 1e-6);
    expect("ce_soft in=1x2,1x2", IN(V(1, 0), V(0.25, 0.75)), 0, V(l + 0.75), 1, 1e-6);
    expect("ce_soft in=1x2,1x2", IN(V(INFINITY, 0), V(0, 0)), 0, V(0), 1, 0);
    expect("softmax in=1x2", IN(V(1e4, 1e4 + log(3))), 0, V(0.25, 0.75), 2, 3e-4);
    // T = 2: p = (3/4, 1/4), q = (1/2, 1/2), T^2 KL = 4 (log(2/3)/2 + log(2)/2)
    expect("kl in=1x2,1x2 temperature=2", IN(V(2 * log(3), 0), V(5, 5)), 0, V(2 * (log(2.0 / 3) + log(2))), 1, 1e-5);
    expect("kl in=1x2,1x2 temperature=1", IN(V(0, 1e4), V(1e4, 0)), 0, V(1e4), 1, 1e-2);
    expect("margin in=2x3,2:i3", IN(V(5, 2, 3, 1, 1, 1), V(0, 2)), 0, V(-2, 0), 2, 0);
    expect("margin in=2x3,2:i3", IN(V(5, 2, 3, 1, 1, 1), V(0, 2)), 1, V(2, 0), 2, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(convolution), cmocka_unit_test(batch_norm), cmocka_unit_test(pooling),
        cmocka_unit_test(elementwise), cmocka_unit_test(losses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
