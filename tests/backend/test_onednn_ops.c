// test_onednn_ops.c - every op the oneDNN backend binds around convolutions, alone: odd channel counts, odd sides,
// batch 1 and more, blocked and plain layouts, one thread and three.
#include "lt_test.h"
#ifdef LETHE_HAVE_ONEDNN
#include "backend/onednn_test.h"

static void test_batch_norm(void **state)
{
    (void)state;
    for (int i = 0; i < N_SHAPES; i++)
        for (int relu = 0; relu < 2; relu++) {
            const struct shape s = shapes[i];
            const lt_arg x = image(s.n, s.c, s.h, s.w), v = vector(s.c);
            const lt_attr a = {.eps = 1e-5f, .momentum = 0.1f, .relu = relu};
            op_case train = CASE(bn_train, a, 5, 3, 2e-5, x, v, v, v, v, x, v, v);
            op_case eval = CASE(bn_eval, a, 5, 1, 1e-5, x, v, v, v, v, x);
            op_case dx = CASE(bn_train_dx, a, 5, 3, 1e-4, x, x, v, v, v, x, v, v);
            op_case eval_dx = CASE(bn_eval_dx, a, 5, 3, 1e-4, x, x, v, v, v, x, v, v);
            if (relu) {
                dx = CASE(bn_train_dx, a, 6, 3, 1e-4, x, x, v, v, v, v, x, v, v);
                eval_dx = CASE(bn_eval_dx, a, 6, 3, 1e-4, x, x, v, v, v, x, x, v, v);
            }
            op_case sum = CASE(bn_train, a, 6, 3, 2e-5, x, v, v, v, v, x, x, v, v);
            op_case again = CASE(bn_apply, a, 5, 1, 1e-5, x, v, v, v, v, x);
            op_case sum_again = CASE(bn_apply, a, 6, 1, 1e-5, x, v, v, v, v, x, x);
            sum.positive[4] = again.positive[4] = sum_again.positive[4] = true;
            check(&sum);
            check(&again);
            check(&sum_again);
            train.positive[4] = eval.positive[4] = dx.positive[4] = eval_dx.positive[4] = true;
            check(&train);
            check(&eval);
            check(&dx);
            check(&eval_dx);
            check(&CASE(channel_sum, no_attr, 1, 1, 1e-5, x, v));
        }
}

// So large that results are written around the caches.
static void test_large_batch_norm(void **state)
{
    (void)state;
    const lt_arg x = image(61, 64, 32, 32), v = vector(64);
    const lt_attr a = {.eps = 1e-5f, .momentum = 0.1f, .relu = true}, plain = {.eps = 1e-5f};
    op_case sum = CASE(bn_train, a, 6, 3, 2e-5, x, v, v, v, v, x, x, v, v);
    op_case again = CASE(bn_apply, a, 5, 1, 1e-5, x, v, v, v, v, x);
    op_case dx = CASE(bn_train_dx, plain, 5, 3, 1e-4, x, x, v, v, v, x, v, v);
    op_case relu_dx = CASE(bn_train_dx, a, 6, 3, 1e-4, x, x, v, v, v, v, x, v, v);
    sum.positive[4] = again.positive[4] = dx.positive[4] = relu_dx.positive[4] = true;
    check(&sum);
    check(&again);
    check(&dx);
    check(&relu_dx);
}

static void test_pointwise(void **state)
{
    static const float mean[64] = {0.4f, 0.5f, 0.3f}, istd[64] = {4.0f, 5.0f, 3.0f, 1.0f};
    (void)state;
    for (int i = 0; i < N_SHAPES; i++) {
        const struct shape s = shapes[i];
        const lt_arg x = image(s.n, s.c, s.h, s.w), m = matrix(s.n, s.c);
        const lt_attr half = {.alpha = 0.5f}, relu = {.alpha = -2.0f, .relu = true},
                      norm = {.mean = mean, .istd = istd};
        check(&CASE(relu, no_attr, 1, 1, 1e-6, x, x));
        check(&CASE(relu, no_attr, 1, 1, 1e-6, m, m));
        check(&CASE(relu_dx, half, 2, 1, 1e-6, x, x, x));
        check(&CASE(add, half, 2, 1, 1e-6, x, x, x));
        check(&CASE(add, relu, 2, 1, 1e-6, x, x, x));
        check(&CASE(add, relu, 2, 1, 1e-6, m, m, m));
        check(&CASE(add_relu_dx, half, 3, 1, 1e-6, x, x, x, x));
        check(&CASE(add_relu_dx, half, 3, 1, 1e-6, m, m, m, m));
        check(&CASE(scale, half, 1, 1, 1e-6, x, x));
        check(&CASE(normalize, norm, 1, 1, 1e-6, x, x));
        check(&CASE(normalize_dx, norm, 1, 1, 1e-6, x, x));
    }
}

static void test_pooling(void **state)
{
    static const struct {
        int64_t n, c, h, w;
        int kernel, stride;
    } pools[] = {
        {2, 16, 8, 8, 2, 2}, {3, 20, 7, 9, 3, 2}, {1, 8, 5, 5, 3, 1}, {5, 64, 4, 4, 4, 4}, {2, 33, 9, 9, 2, 3}};
    (void)state;
    for (size_t i = 0; i < sizeof pools / sizeof pools[0]; i++) {
        const int64_t n = pools[i].n, c = pools[i].c;
        const int k = pools[i].kernel, st = pools[i].stride;
        const lt_arg x = image(n, c, pools[i].h, pools[i].w), m = matrix(n, c);
        const lt_arg y = image(n, c, (pools[i].h - k) / st + 1, (pools[i].w - k) / st + 1);
        const lt_attr a = {.kernel = k, .stride = st, .shape = x.shape};
        lt_arg index = y;
        index.dtype = LT_I32;
        check(&CASE(avg_pool, a, 1, 1, 1e-5, x, y));
        check(&CASE(avg_pool_dx, a, 1, 1, 1e-5, y, x));
        check(&CASE(max_pool, a, 1, 2, 1e-6, x, y, index));
        check(&CASE(max_pool_dx, a, 2, 1, 1e-5, y, index, x));
        check(&CASE(global_avg_pool, a, 1, 1, 1e-5, x, m));
        check(&CASE(global_avg_pool_dx, a, 1, 1, 1e-5, m, x));
    }
}

static void test_padding(void **state)
{
    static const lt_pad_mode modes[] = {LT_PAD_ZERO, LT_PAD_CIRCULAR, LT_PAD_REFLECT};
    (void)state;
    for (int i = 0; i < 3; i++)
        for (int pad = 1; pad < 4; pad++) {
            const lt_arg x = image(3, 20, 5, 6), y = image(3, 20, 5 + 2 * pad, 6 + 2 * pad);
            const lt_attr a = {.pad = pad, .pad_mode = modes[i]};
            check(&CASE(pad2d, a, 1, 1, 1e-6, x, y));
            check(&CASE(pad2d_dx, a, 1, 1, 1e-5, y, x));
        }
}

static void test_linear(void **state)
{
    static const int64_t dims[][3] = {{1, 16, 10}, {128, 512, 10}, {5, 7, 3}, {33, 64, 100}};
    (void)state;
    for (int i = 0; i < 4; i++) {
        const int64_t n = dims[i][0], c = dims[i][1], k = dims[i][2];
        const lt_arg x = matrix(n, c), y = matrix(n, k), b = vector(k);
        lt_arg w = matrix(k, c);
        w.role = LT_ROLE_PARAM;
        check(&CASE(linear, no_attr, 2, 1, 1e-5, x, w, y));
        check(&CASE(linear, no_attr, 3, 1, 1e-5, x, w, b, y));
        check(&CASE(linear_dx, no_attr, 2, 1, 1e-5, y, w, x));
        check(&CASE(linear_dw, no_attr, 2, 1, 1e-5, x, y, w));
    }
}

// Statistics of values with a mean a thousand times their deviation: a sum of squares would lose everything.
static void test_bn_large_mean(void **state)
{
    (void)state;
    const lt_arg x = image(16, 16, 16, 16), v = vector(16);
    const lt_attr a = {.eps = 1e-5f, .momentum = 0.1f};
    const op_case t = CASE(bn_train, a, 5, 3, 0, x, v, v, v, v, x, v, v);
    values in = {0}, expected = {0};
    make_inputs(&t, &in);
    make_inputs(&t, &expected);
    for (size_t j = 0; j < count(&x); j++)
        in.d[0][j] = expected.d[0][j] = (double)(float)(1000.0 + in.d[0][j]);
    run_reference(&t, &expected);
    float *got[MAX_ARGS];
    run_onednn(backend_three, &t, 0, true, &in, NULL, got);
    for (int64_t c = 0; c < 16; c++) {
        assert_true(fabs((double)got[6][c] / expected.d[6][c] - 1) < 1e-6);
        assert_true(fabs((double)got[7][c] / expected.d[7][c] - 1) < 1e-5);
    }
    for (int i = 0; i < t.n_in + t.n_out; i++)
        free(got[i]);
    clear(&t, &in);
    clear(&t, &expected);
}

static void test_same_bits(void **state)
{
    (void)state;
    for (int i = 0; i < N_SHAPES; i++) {
        const struct shape s = shapes[i];
        const lt_arg x = image(s.n, s.c, s.h, s.w), v = vector(s.c);
        const lt_attr a = {.eps = 1e-5f, .momentum = 0.1f, .relu = true};
        op_case t = CASE(bn_train, a, 5, 3, 0, x, v, v, v, v, x, v, v);
        same_bits(backend_one, backend_three, &t);
        t = CASE(bn_train_dx, a, 6, 3, 0, x, x, v, v, v, v, x, v, v);
        t.positive[4] = true;
        same_bits(backend_one, backend_three, &t);
        t = CASE(channel_sum, no_attr, 1, 1, 0, x, v);
        same_bits(backend_one, backend_three, &t);
    }
}

static void test_reorder(void **state)
{
    (void)state;
    for (int i = 0; i < N_SHAPES; i++) {
        const struct shape s = shapes[i];
        const lt_arg x = image(s.n, s.c, s.h, s.w);
        const size_t blocked = lti_layout_bytes(&x.shape, LT_F32, LT_LAYOUT_BLOCKED16),
                     plain = count(&x) * sizeof(float);
        float *from = malloc(plain), *back = malloc(plain), *to = malloc(blocked), *expected = malloc(blocked);
        assert_true(from && back && to && expected);
        for (size_t j = 0; j < count(&x); j++)
            from[j] = (float)uniform();
        memset(to, 0x7f, blocked);
        lti_reorder(&x.shape, 4, LT_LAYOUT_PLAIN, from, LT_LAYOUT_BLOCKED16, expected);
        backend_three->ops->reorder(backend_three, &x.shape, LT_LAYOUT_PLAIN, from, LT_LAYOUT_BLOCKED16, to);
        assert_memory_equal(to, expected, blocked);
        backend_three->ops->reorder(backend_three, &x.shape, LT_LAYOUT_BLOCKED16, to, LT_LAYOUT_PLAIN, back);
        assert_memory_equal(back, from, plain);
        free(from);
        free(back);
        free(to);
        free(expected);
    }
}

// A NaN that a ReLU hid would hide a diverged network from its loss. Every lane in turn holds one.
static void test_nan(void **state)
{
    (void)state;
    enum { PX = 3, N = PX * LTI_LANES, POINTS = 36 };
    const lti_kern *k = ((lti_dn *)backend_one->self)->kern;
    const float one[LTI_LANES] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, zero[LTI_LANES] = {0};
    _Alignas(64) float x[N], other[N], y[N];
    for (int at = 0; at < N; at++) {
        for (int i = 0; i < N; i++)
            x[i] = other[i] = i % 3 ? -1.0f : 1.0f;
        x[at] = NAN;
        k->relu(x, y, N);
        assert_true(isnan(y[at]));
        k->relu(x, y, at + 1); // the end of a run that no vector covers
        assert_true(isnan(y[at]));
        k->add(x, other, y, N, 1.0f, true);
        assert_true(isnan(y[at]));
        for (int stream = 0; stream < 2; stream++) {
            k->affine(x, y, PX, zero, one, zero, true, stream);
            assert_true(isnan(y[at]));
            assert_true(y[(at + 1) % N] >= 0 && y[(at + 2) % N] >= 0);
            k->affine_add(x, other, y, PX, zero, one, zero, true, stream);
            assert_true(isnan(y[at]));
        }
    }
    float m[POINTS * LTI_LANES], tile[LTI_WINO_OUT * LTI_WINO_OUT * LTI_LANES];
    const lti_wino_patch where = {.h = LTI_WINO_OUT, .w = LTI_WINO_OUT, .step = 1};
    const lti_wino_epilogue finish = {.relu = true};
    for (int i = 0; i < POINTS * LTI_LANES; i++)
        m[i] = NAN;
    k->wino->form[LTI_WINO_3X3].output(m, LTI_LANES, tile, &where, &finish);
    for (size_t i = 0; i < sizeof tile / sizeof *tile; i++)
        assert_true(isnan(tile[i]));
}

static void ops(void **state)
{
    test_batch_norm(state);
    test_pointwise(state);
    test_pooling(state);
    test_reorder(state);
    test_nan(state);
}

static void test_instruction_sets(void **state)
{
    with_other_kernels(ops, state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_batch_norm),    cmocka_unit_test(test_large_batch_norm), cmocka_unit_test(test_pointwise),
        cmocka_unit_test(test_pooling),       cmocka_unit_test(test_padding),          cmocka_unit_test(test_linear),
        cmocka_unit_test(test_bn_large_mean), cmocka_unit_test(test_same_bits),        cmocka_unit_test(test_reorder),
        cmocka_unit_test(test_nan),           cmocka_unit_test(test_instruction_sets),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
#else
int main(void)
{
    puts("built without oneDNN: nothing to test");
    return 77;
}
#endif
