// test_onednn_conv.c - convolutions of the oneDNN backend: odd channel counts and sides, strides, batch 1 and more,
// blocked and plain layouts, one thread and three, tuned and by rule, our own kernels against oneDNN's, bf16 products.
#include "lt_test.h"
#ifdef LETHE_HAVE_ONEDNN
#include "backend/onednn_test.h"
#include <pthread.h>

static void check_conv(int64_t n, int64_t c, int64_t k, int64_t h, int64_t w, int64_t r, int stride, int pad)
{
    const int64_t oh = (h + 2 * pad - r) / stride + 1, ow = (w + 2 * pad - r) / stride + 1;
    const lt_arg x = image(n, c, h, w), f = filter(k, c, r, r), y = image(n, k, oh, ow), b = vector(k);
    const lt_attr a = {.stride = stride, .pad = pad, .groups = 1, .dilation = 1};
    lt_attr relu = a, dx = a, dw = a;
    relu.relu = true;
    dx.shape = x.shape;
    dw.shape = f.shape;
    check(&CASE(conv2d, a, 2, 1, 1e-4, x, f, y));
    check(&CASE(conv2d, relu, 3, 1, 1e-4, x, f, b, y));
    check(&CASE(conv2d_dx, dx, 2, 1, 1e-4, y, f, x));
    check(&CASE(conv2d_dw, dw, 2, 1, 1e-4, x, y, f));
}

static void test_conv(void **state)
{
    (void)state;
    check_conv(2, 3, 16, 9, 9, 3, 1, 1);    // a stem
    check_conv(3, 1, 20, 12, 10, 5, 1, 2);  // MNIST
    check_conv(5, 16, 32, 9, 7, 3, 2, 1);   // stride, odd sides
    check_conv(2, 32, 32, 16, 16, 3, 1, 1); // Winograd
    check_conv(1, 48, 64, 6, 6, 3, 1, 1);
    check_conv(4, 16, 48, 8, 8, 1, 2, 0); // shortcut
    check_conv(2, 20, 24, 7, 7, 3, 1, 1); // channel tails on both sides
    check_conv(3, 8, 8, 6, 5, 3, 1, 0);   // no padding
    check_conv(2, 4, 10, 5, 5, 3, 2, 1);
    check_conv(130, 16, 16, 4, 4, 3, 1, 1);
    check_conv(260, 16, 20, 7, 8, 3, 1, 1); // enough tiles to sum a filter gradient in chunks
    check_conv(5, 33, 70, 10, 3, 3, 1, 2);  // panels of 32 filters and the rest, more padding
    check_conv(40, 32, 48, 12, 9, 3, 1, 0);
    check_conv(37, 3, 16, 16, 16, 3, 1, 1); // parts of the batch of unequal size: a stem, a stride, a shortcut
    check_conv(35, 64, 128, 8, 8, 3, 2, 1);
    check_conv(37, 32, 64, 8, 8, 1, 2, 0);
}

static void test_same_bits(void **state)
{
    (void)state;
    const lt_arg x = image(40, 32, 16, 16), w = filter(32, 32, 3, 3);
    lt_attr a = {.stride = 1, .pad = 1, .groups = 1, .dilation = 1, .shape = w.shape};
    for (int i = 0; i < 3; i++) {
        same_bits(backend_three, backend_three, &CASE(conv2d, a, 2, 1, 0, x, w, x));
        same_bits(backend_three, backend_three, &CASE(conv2d_dw, a, 2, 1, 0, x, x, w));
    }
    // The rule takes our own Winograd here, which does not care for the number of threads either.
    same_bits_by_rule(&CASE(conv2d, a, 2, 1, 0, x, w, x));
    same_bits_by_rule(&CASE(conv2d_dw, a, 2, 1, 0, x, x, w));
    a.shape = x.shape;
    same_bits_by_rule(&CASE(conv2d_dx, a, 2, 1, 0, x, w, x));
}

// Our own Winograd: far closer to the exact result than the bound of the other tests, in every pass, by prepared
// filters or not, and with the same bits whatever the number of threads.
static void check_own(const op_case *t)
{
    static const double bound = 3e-6;
    enum { N_RUNS = 3 };
    values in = {0}, expected = {0};
    float *got[N_RUNS][MAX_ARGS];
    const int out = t->n_in;
    make_inputs(t, &in);
    make_inputs(t, &expected);
    run_reference(t, &expected);
    for (int i = 0; i < N_RUNS; i++) {
        const unsigned flags = LT_PLAN_NO_TUNE | (i == N_RUNS - 1 ? EVALUATE : 0);
        run_onednn(i == 0 ? backend_one : backend_three, t, flags, true, &in, NULL, got[i]);
        const double error = relative_l2(t, out, got[i][out], expected.d[out]);
        if (!(error < bound))
            fail_msg("%s with %s: relative error %g, at most %g", t->op->name, last_impl[1], error, bound);
        assert_memory_equal(got[i][out], got[0][out], count(&t->arg[out]) * sizeof(float));
    }
    for (int i = 0; i < N_RUNS; i++)
        for (int j = 0; j < t->n_in + t->n_out; j++)
            free(got[i][j]);
    clear(t, &in);
    clear(t, &expected);
}

typedef struct own_shape {
    int64_t n, c, k, h, w;
    int pad;
} own_shape;
static const own_shape stride_1[] = {{1, 64, 64, 32, 32, 1}, {3, 256, 32, 8, 8, 1},  {2, 20, 35, 9, 7, 1},
                                     {1, 17, 16, 1, 1, 1},   {2, 33, 18, 5, 12, 0},  {2, 24, 16, 11, 6, 2},
                                     {70, 32, 48, 8, 9, 1},  {9, 130, 140, 6, 5, 2}, {260, 16, 20, 7, 8, 1},
                                     {5, 512, 48, 4, 4, 1},  {131, 16, 16, 4, 4, 1}, {41, 32, 48, 12, 9, 0},
                                     {1, 48, 64, 6, 6, 1}};
static const own_shape stride_2[] = {{1, 16, 16, 8, 8, 1},    {3, 64, 128, 16, 16, 1}, {2, 20, 35, 9, 7, 1},
                                     {1, 17, 16, 1, 1, 1},    {2, 33, 18, 5, 12, 0},   {1, 16, 40, 3, 3, 0},
                                     {1, 16, 40, 2, 2, 1},    {2, 24, 16, 11, 6, 2},   {70, 32, 48, 8, 9, 1},
                                     {33, 16, 20, 31, 30, 0}, {5, 48, 100, 4, 4, 1},   {9, 130, 140, 6, 5, 2},
                                     {260, 16, 20, 15, 16, 1}};
enum { N_STRIDE_1 = sizeof stride_1 / sizeof stride_1[0], N_STRIDE_2 = sizeof stride_2 / sizeof stride_2[0] };

// Calls `pass` on the forward pass (plain; with bias, residual and ReLU), the gradient of the input (plain; with a
// second gradient and a mask) and that of the filter.
static void each_pass(const own_shape *s, int stride, void (*pass)(const op_case *))
{
    const lt_arg x = image(s->n, s->c, s->h, s->w), f = filter(s->k, s->c, 3, 3), b = vector(s->k);
    own_winograd = true;
    const lt_arg y = image(s->n, s->k, (s->h + 2 * s->pad - 3) / stride + 1, (s->w + 2 * s->pad - 3) / stride + 1);
    lt_attr a = {.stride = stride, .pad = s->pad, .groups = 1, .dilation = 1, .shape = x.shape}, relu = a;
    relu.relu = true;
    pass(&CASE(conv2d, a, 2, 1, 0, x, f, y));
    pass(&CASE(conv2d, relu, 4, 1, 0, x, f, b, y, y));
    pass(&CASE(conv2d_dx, a, 2, 1, 0, y, f, x));
    pass(&CASE(conv2d_dx, a, 4, 1, 0, y, f, x, x, x));
    a.shape = f.shape;
    pass(&CASE(conv2d_dw, a, 2, 1, 0, x, y, f));
    own_winograd = false;
}

static void test_own_winograd(void **state)
{
    (void)state;
    for (int i = 0; i < N_STRIDE_1; i++)
        each_pass(&stride_1[i], 1, check_own);
    for (int i = 0; i < N_STRIDE_2; i++)
        each_pass(&stride_2[i], 2, check_own);
}

// Our own 1x1 convolutions: planes that are no multiple of a product's rows or of the stride, tails of channels, images
// whose sums are made together; a shortcut's gradient that adds to another one.
typedef struct point_shape {
    int64_t n, c, k, h, w;
    int stride;
} point_shape;
static const point_shape points[] = {{3, 16, 32, 8, 8, 2},   {5, 20, 40, 9, 7, 2},   {2, 33, 18, 17, 5, 3},
                                     {2, 64, 48, 5, 6, 1},   {37, 48, 100, 8, 8, 2}, {1, 17, 16, 32, 31, 2},
                                     {9, 130, 70, 7, 14, 2}, {130, 16, 20, 6, 7, 1}, {4, 24, 33, 40, 12, 1}};
enum { N_POINTS = sizeof points / sizeof points[0], POINT_PASSES = 4 };

// Forward, both gradients and, of a stride, the one that adds; how many.
static int point_passes(const point_shape *s, op_case *pass)
{
    const lt_arg x = image(s->n, s->c, s->h, s->w), f = filter(s->k, s->c, 1, 1);
    const lt_arg y = image(s->n, s->k, (s->h - 1) / s->stride + 1, (s->w - 1) / s->stride + 1);
    lt_attr a = {.stride = s->stride, .groups = 1, .dilation = 1, .shape = x.shape}, masked = a, dw = a;
    masked.masked = true;
    dw.shape = f.shape;
    pass[0] = CASE(conv2d, a, 2, 1, 1e-4, x, f, y);
    pass[1] = CASE(conv2d_dx, a, 2, 1, 1e-4, y, f, x);
    pass[2] = CASE(conv2d_dw, dw, 2, 1, 1e-4, x, y, f);
    pass[3] = CASE(conv2d_dx, masked, 4, 1, 1e-4, y, f, x, x, x);
    return s->stride > 1 ? POINT_PASSES : POINT_PASSES - 1;
}

// Plans of every kind take the one that adds by themselves.
static void check_found(const op_case *t)
{
    values in = {0}, expected = {0};
    make_inputs(t, &in);
    make_inputs(t, &expected);
    run_reference(t, &expected);
    for (int i = 0; i < 2; i++) {
        run_onednn(backend_three, t, i ? LT_PLAN_FIXED_ORDER : LT_PLAN_NO_TUNE, true, &in, &expected, NULL);
        assert_non_null(strstr(last_impl[1], "in place"));
    }
    run_onednn(backend_three, t, LT_PLAN_NO_LAYOUT | LT_PLAN_NO_TUNE, false, &in, &expected, NULL);
    clear(t, &in);
    clear(t, &expected);
}

static void test_point(void **state)
{
    (void)state;
    for (int i = 0; i < N_POINTS; i++) {
        op_case pass[POINT_PASSES];
        const int n = point_passes(&points[i], pass);
        own_point = true;
        for (int j = 0; j < n; j++)
            check_own(&pass[j]);
        own_point = false;
        if (n == POINT_PASSES)
            check_found(&pass[n - 1]);
    }
}

// Threads that share the channels of a chunk of tiles, and a group's channels where there are no chunks.
static void test_many_threads(void **state)
{
    static const own_shape shape[] = {{260, 48, 20, 7, 8, 1}, {40, 80, 300, 4, 4, 1}};
    lt_backend *many = NULL;
    (void)state;
    assert_ok(lt_backend_create("onednn", 13, &many));
    own_winograd = true;
    for (int i = 0; i < 2; i++)
        for (int stride = 1; stride <= 2; stride++) {
            const own_shape *s = &shape[i];
            const lt_arg x = image(s->n, s->c, s->h * stride, s->w * stride), f = filter(s->k, s->c, 3, 3);
            const lt_arg y = image(s->n, s->k, s->h, s->w);
            lt_attr a = {.stride = stride, .pad = s->pad, .groups = 1, .dilation = 1, .shape = x.shape};
            same_bits_with(backend_one, many, &CASE(conv2d, a, 2, 1, 0, x, f, y), LT_PLAN_NO_TUNE);
            same_bits_with(backend_one, many, &CASE(conv2d_dx, a, 2, 1, 0, y, f, x), LT_PLAN_NO_TUNE);
            a.shape = f.shape;
            same_bits_with(backend_one, many, &CASE(conv2d_dw, a, 2, 1, 0, x, y, f), LT_PLAN_NO_TUNE);
        }
    own_winograd = false;
    own_point = true;
    for (int i = 0; i < N_POINTS; i++) {
        op_case pass[POINT_PASSES];
        for (int j = point_passes(&points[i], pass) - 1; j >= 0; j--)
            same_bits_with(backend_one, many, &pass[j], LT_PLAN_NO_TUNE);
    }
    own_point = false;
    lt_backend_destroy(many);
}

// Several inputs change with every run, the filter does not: it is prepared once.
static void test_prepares_from_the_filter(void **state)
{
    (void)state;
    const lt_arg x = image(2, 32, 8, 8), f = filter(32, 32, 3, 3);
    const lt_attr a = {.stride = 1, .pad = 1, .groups = 1, .dilation = 1, .shape = x.shape, .relu = true};
    const op_case t = CASE(conv2d, a, 4, 1, 0, x, f, vector(32), x, x);
    const lt_bind_in in = {
        .op = t.op, .attr = &t.attr, .n_in = 4, .n_out = 1, .arg = t.arg, .real = LT_F32, .flags = LT_PLAN_NO_TUNE};
    lt_kernel k = {0};
    assert_ok(lti_bind_conv(backend_one->self, &in, &k));
    assert_non_null(k.prepare);
    assert_int_equal(k.prepare_reads, 1u << 1);
    k.destroy(&k);
}

// Where the fixed rule takes a strided one: not where few tiles share a transformed filter, nor for few channels.
static void test_strided_rule(void **state)
{
    static const struct {
        int64_t n, c; // c 0: one channel fewer than the instruction set asks for; -1: just as many
        lti_conv_pass pass;
        bool constant, own;
    } rule[] = {{128, -1, LTI_CONV_FWD, false, true}, {128, 256, LTI_CONV_DX, false, true},
                {128, 0, LTI_CONV_FWD, false, false}, {8, 256, LTI_CONV_FWD, false, false},
                {8, 256, LTI_CONV_FWD, true, true},   {8, 256, LTI_CONV_DX, false, false},
                {8, 256, LTI_CONV_DW, false, true}};
    (void)state;
    const int least = ((const lti_dn *)backend_one->self)->kern->wino->strided_rule;
    for (size_t i = 0; i < sizeof rule / sizeof rule[0]; i++) {
        const int64_t c = rule[i].c > 0 ? rule[i].c : rule[i].c == 0 ? least - 1 : least;
        const lti_conv_shape s = {.pass = rule[i].pass,
                                  .n = rule[i].n,
                                  .dilation = 1,
                                  .c = c,
                                  .h = 8,
                                  .w = 8,
                                  .k = 2 * c,
                                  .r = 3,
                                  .s = 3,
                                  .oh = 4,
                                  .ow = 4,
                                  .stride = 2,
                                  .pad = 1,
                                  .constant = rule[i].constant,
                                  .x_layout = LT_LAYOUT_BLOCKED16,
                                  .y_layout = LT_LAYOUT_BLOCKED16};
        lti_choice choice;
        assert_ok(lti_conv_select(backend_one->self, &s, false, &choice));
        assert_int_equal(choice.algorithm == LTI_OWN_WINOGRAD, rule[i].own);
    }
}

// ---- products of bf16
// Within what rounding to 8 digits and the transforms allow of the exact result; and with the processor's own products
// as with products of f32, which are exact: a sum in another order, a value on the brink of two bf16 numbers now and
// then.
static void check_bf16(const op_case *t)
{
    enum { N_TABLES = 4 };
    lti_dn *one = backend_one->self, *three = backend_three->self;
    const lti_wino_kern *best = one->wino_bf16, *table[N_TABLES] = {&lti_wino_generic, one->kern->wino, best, best};
    values in = {0}, expected = {0};
    float *got[N_TABLES][MAX_ARGS];
    const int out = t->n_in;
    make_inputs(t, &in);
    make_inputs(t, &expected);
    run_reference(t, &expected);
    for (int i = 0; i < N_TABLES; i++) {
        lt_backend *b = i == N_TABLES - 1 ? backend_three : backend_one;
        one->wino_bf16 = three->wino_bf16 = table[i];
        run_onednn(b, t, LT_PLAN_BF16 | LT_PLAN_NO_TUNE, true, &in, NULL, got[i]);
        const double error = relative_l2(t, out, got[i][out], expected.d[out]);
        if (!(error < 0.02 && error > 1e-5))
            fail_msg("%s with %s: relative error %g", t->op->name, last_impl[1], error);
        for (size_t j = 0; i == N_TABLES - 1 && j < count(&t->arg[out]); j++)
            assert_true(got[i][out][j] == got[i - 1][out][j]); // whatever the number of threads
    }
    for (size_t j = 0; j < count(&t->arg[out]); j++)
        expected.d[out][j] = (double)got[0][out][j];
    for (int i = 1; i < N_TABLES; i++) {
        const double other = relative_l2(t, out, got[i][out], expected.d[out]);
        if (!(other < 5e-4))
            fail_msg("%s with %s: %g away from the plain loops", t->op->name, table[i]->isa, other);
    }
    for (int i = 0; i < N_TABLES; i++)
        for (int j = 0; j < t->n_in + t->n_out; j++)
            free(got[i][j]);
    one->wino_bf16 = three->wino_bf16 = best;
    clear(t, &in);
    clear(t, &expected);
}

static void test_bf16(void **state)
{
    (void)state;
    for (int i = 0; i < N_STRIDE_1; i++)
        each_pass(&stride_1[i], 1, check_bf16);
    for (int i = 0; i < N_STRIDE_2; i++)
        each_pass(&stride_2[i], 2, check_bf16);
}

// A plan may run on any thread of the host program, two of them at once.
typedef struct job {
    lt_kernel k;
    void *arg[3], *scratch;
    lt_status status;
} job;

static void *run_job(void *data)
{
    job *j = data;
    for (int i = 0; i < 5 && j->status == LT_OK; i++)
        j->status = j->k.run(&j->k, j->arg, j->scratch);
    return NULL;
}

static void test_other_threads(void **state)
{
    (void)state;
    const lt_arg x = image(6, 32, 12, 12), w = filter(64, 32, 3, 3), y = image(6, 64, 6, 6);
    const lt_attr a = {.stride = 2, .pad = 1, .groups = 1, .dilation = 1};
    const op_case t = CASE(conv2d, a, 2, 1, 0, x, w, y);
    lt_arg arg[3] = {x, w, y};
    arg[0].layout = LT_LAYOUT_BLOCKED16;
    const lt_bind_in in = {t.op, &t.attr, 2, 1, arg, LT_F32, false, LT_PLAN_NO_TUNE};
    values v = {0};
    job j[3] = {0};
    pthread_t thread[2];
    make_inputs(&t, &v);
    for (int i = 0; i < 3; i++) {
        assert_ok(backend_three->ops->bind(backend_three, &in, &j[i].k));
        for (int k = 0; k < 3; k++)
            j[i].arg[k] = place(&arg[k], j[i].k.layout[k], v.d[k]);
        j[i].scratch = lti_aligned_alloc(64, j[i].k.scratch_bytes + 64);
        j[i].k.prepared = lti_aligned_alloc(64, j[i].k.prepared_bytes + 64);
        if (j[i].k.prepare)
            assert_ok(j[i].k.prepare(&j[i].k, j[i].arg, j[i].k.prepared));
    }
    run_job(&j[2]);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, run_job, &j[i]), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_join(thread[i], NULL), 0);
    for (int i = 0; i < 3; i++) {
        assert_ok(j[i].status);
        assert_memory_equal(j[i].arg[2], j[2].arg[2], count(&y) * sizeof(float));
    }
    for (int i = 0; i < 3; i++) {
        for (int k = 0; k < 3; k++)
            lti_free(j[i].arg[k]);
        lti_free(j[i].scratch);
        lti_free(j[i].k.prepared);
        j[i].k.destroy(&j[i].k);
    }
    clear(&t, &v);
}

static void convolutions(void **state)
{
    test_conv(state);
    test_own_winograd(state);
    test_point(state);
}

static void test_instruction_sets(void **state)
{
    with_other_kernels(convolutions, state);
}

#ifdef LT_TEST_OTHER_ISA
enum { OTHER_ISA = 1 }; // test_onednn_conv_isa_full.c
#else
enum { OTHER_ISA = 0 };
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conv),          cmocka_unit_test(test_same_bits),
        cmocka_unit_test(test_own_winograd),  cmocka_unit_test(test_many_threads),
        cmocka_unit_test(test_strided_rule),  cmocka_unit_test(test_prepares_from_the_filter),
        cmocka_unit_test(test_bf16),          cmocka_unit_test(test_point),
        cmocka_unit_test(test_other_threads),
    };
    const struct CMUnitTest other[] = {cmocka_unit_test(test_instruction_sets)};
    return OTHER_ISA ? cmocka_run_group_tests(other, setup, teardown) : cmocka_run_group_tests(tests, setup, teardown);
}
#else
int main(void)
{
    puts("built without oneDNN: nothing to test");
    return 77;
}
#endif
