// test_onednn_ops.c - every op the oneDNN backend binds, alone, against the reference backend in double precision.
//
// Kernels are bound by hand, so that a fault is found here and not somewhere in a network: odd channel counts, odd
// sides, strides, batch 1 and more, blocked and plain layouts, one thread and three, tuned and by rule.
#include "lt_test.h"
#ifdef LETHE_HAVE_ONEDNN
#include "backend/onednn/onednn_impl.h"
#include "backend/onednn/wino.h"
#include "base/base.h"
#include "graph/backend.h"
#include "graph/graph_impl.h"
#include "graph/plan_impl.h"
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

enum { MAX_ARGS = LT_KERNEL_MAX_ARGS, EVALUATE = 1 << 20 };

typedef struct op_case {
    const lt_op *op;
    lt_attr attr;
    int n_in, n_out;
    lt_arg arg[MAX_ARGS];
    bool positive[MAX_ARGS]; // variances
    double tolerance;        // of the root mean square of the expected output
} op_case;

#define CASE(op_name, attributes, ins, outs, tol, ...)                                                                 \
    ((op_case){.op = &lt_op_##op_name,                                                                                 \
               .attr = (attributes),                                                                                   \
               .n_in = (ins),                                                                                          \
               .n_out = (outs),                                                                                        \
               .tolerance = (tol),                                                                                     \
               .arg = {__VA_ARGS__}})

static const lt_attr no_attr;
static lt_backend *backend_one, *backend_two, *backend_three;
static uint64_t rng_state;

static double uniform(void)
{
    rng_state = rng_state * 6364136223846793005u + 1442695040888963407u;
    return (double)(int64_t)(rng_state >> 11) / (double)(1LL << 52) - 1.0; // [-1, 1)
}

static size_t count(const lt_arg *a)
{
    return (size_t)lti_shape_count(&a->shape);
}

// ---- one run
typedef struct values {
    double *d[MAX_ARGS]; // plain, double; I32 arguments as int32_t
} values;

static void clear(const op_case *t, values *v)
{
    for (int i = 0; i < t->n_in + t->n_out; i++)
        free(v->d[i]);
}

static bool is_image(const lt_arg *a)
{
    return a->shape.n_dims == 4 && a->role == LT_ROLE_TEMP;
}

// Inputs are numbers a float holds exactly, so that both sides see the same ones.
static void make_inputs(const op_case *t, values *v)
{
    rng_state = 12345;
    for (int i = 0; i < t->n_in + t->n_out; i++) {
        v->d[i] = calloc(count(&t->arg[i]), sizeof(double));
        assert_non_null(v->d[i]);
        for (size_t j = 0; i < t->n_in && j < count(&t->arg[i]); j++) {
            const double u = uniform();
            v->d[i][j] = (double)(float)(t->positive[i] ? 1.0 + 0.5 * u : u + 0.25);
        }
    }
}

static void run_reference(const op_case *t, values *v)
{
    lt_arg arg[MAX_ARGS];
    memcpy(arg, t->arg, sizeof arg);
    for (int i = 0; i < t->n_in + t->n_out; i++) {
        arg[i].layout = LT_LAYOUT_PLAIN;
        if (arg[i].dtype == LT_F32)
            arg[i].dtype = LT_F64;
    }
    const lt_bind_in in = {t->op, &t->attr, t->n_in, t->n_out, arg, LT_F64, true, 0};
    lt_kernel k = {0};
    assert_ok(lti_ref_bind(&in, &k));
    void *p[MAX_ARGS] = {0}, *scratch = calloc(1, k.scratch_bytes + 64);
    for (int i = 0; i < t->n_in + t->n_out; i++)
        p[i] = v->d[i];
    assert_ok(k.run(&k, p, scratch));
    free(scratch);
    k.destroy(&k);
}

// Memory of an argument as the kernel wants it.
static void *place(const lt_arg *a, lt_layout layout, const double *from)
{
    const size_t n = count(a);
    float *plain = malloc(n * sizeof *plain);
    void *to = lti_aligned_alloc(64, lti_layout_bytes(&a->shape, LT_F32, layout) + 64);
    assert_true(plain && to);
    if (a->dtype == LT_I32)
        memcpy(plain, from, n * sizeof *plain);
    else
        for (size_t i = 0; i < n; i++)
            plain[i] = (float)from[i];
    if (layout == LT_LAYOUT_PLAIN)
        memcpy(to, plain, n * sizeof *plain);
    else
        lti_reorder(&a->shape, 4, LT_LAYOUT_PLAIN, plain, layout, to);
    free(plain);
    return to;
}

// Every float past the real channels of a blocked value must be zero.
static void check_tail(const op_case *t, const lt_arg *a, const float *x)
{
    const int64_t c = a->shape.dim[1], blocks = (c + 15) / 16, px = a->shape.dim[2] * a->shape.dim[3];
    for (int64_t i = 0; i < a->shape.dim[0] * blocks * px; i++)
        for (int64_t l = 0; l < 16; l++)
            if (i / px % blocks * 16 + l >= c && x[i * 16 + l] != 0.0f)
                fail_msg("%s: channel tail is %g, expected 0", t->op->name, (double)x[i * 16 + l]);
}

static void compare(const op_case *t, int i, const void *got, const double *expected)
{
    const size_t n = count(&t->arg[i]);
    double square = 0;
    if (t->arg[i].dtype == LT_I32) {
        assert_memory_equal(got, expected, n * sizeof(int32_t));
        return;
    }
    for (size_t j = 0; j < n; j++)
        square += expected[j] * expected[j];
    const double bound = t->tolerance * (sqrt(square / (double)n) + 1e-30);
    for (size_t j = 0; j < n; j++) {
        const double x = (double)((const float *)got)[j];
        if (!(fabs(x - expected[j]) <= bound))
            fail_msg("%s output %d element %zu: %.9g, expected %.9g within %.3g", t->op->name, i - t->n_in, j, x,
                     expected[j], bound);
    }
}

// Runs the case on `b`; NULL expected: only that it runs. Outputs come back plain in got[] (caller frees) when not
// NULL.
static char last_impl[2][288]; // of the last two kernels, for messages
static bool own_winograd;      // bind convolutions to ours, whatever the rule says

static lt_status bind(lt_backend *b, const lt_bind_in *in, lt_kernel *k)
{
    if (!own_winograd)
        return b->ops->bind(b, in, k);
    const lti_conv_shape s = lti_conv_shape_of(in);
    const lti_choice choice = {.algorithm = s.half ? LTI_OWN_WINOGRAD_BF16 : LTI_OWN_WINOGRAD};
    assert_true(lti_wino_fits(&s));
    for (int i = 0; i < in->n_in + in->n_out; i++)
        k->layout[i] = is_image(&in->arg[i]) ? LT_LAYOUT_BLOCKED16 : LT_LAYOUT_PLAIN;
    return lti_conv_make(b->self, &s, &choice, k);
}

static void run_onednn(lt_backend *b, const op_case *t, unsigned flags, bool blocked, const values *in_values,
                       const values *expected, float **got)
{
    // Evaluation plans keep prepared weights, training plans make them in each run.
    const bool train = !(flags & EVALUATE);
    flags &= ~(unsigned)EVALUATE;
    lt_arg arg[MAX_ARGS];
    memcpy(arg, t->arg, sizeof arg);
    for (int i = 0; i < t->n_in; i++)
        arg[i].layout = blocked && is_image(&arg[i]) ? LT_LAYOUT_BLOCKED16 : LT_LAYOUT_PLAIN;
    const lt_bind_in in = {t->op, &t->attr, t->n_in, t->n_out, arg, LT_F32, train, flags};
    lt_kernel k = {0};
    const lt_status status = bind(b, &in, &k);
    if (status == LT_E_UNSUPPORTED && (flags & LT_PLAN_NO_LAYOUT || !blocked))
        return; // left to the reference backend
    assert_ok(status);
    memcpy(last_impl[0], last_impl[1], sizeof last_impl[0]);
    snprintf(last_impl[1], sizeof last_impl[1], "%s (%s)", k.impl, k.tuned);
    void *p[MAX_ARGS] = {0}, *scratch = lti_aligned_alloc(64, k.scratch_bytes + 64);
    for (int i = 0; i < t->n_in + t->n_out; i++)
        p[i] = place(&t->arg[i], k.layout[i], in_values->d[i]);
    k.prepared = lti_aligned_alloc(64, k.prepared_bytes + 64);
    for (size_t i = 0; i < k.scratch_bytes; i++)
        ((char *)scratch)[i] = (char)0x7f; // content is undefined: make it large numbers
    const int64_t allocations = lti_alloc_count();
    if (k.prepare)
        assert_ok(k.prepare(&k, p, k.prepared));
    assert_ok(k.run(&k, p, scratch));
    assert_int_equal(lti_alloc_count(), allocations);
    for (int i = 0; i < t->n_in + t->n_out; i++) {
        const lt_arg *a = &t->arg[i];
        float *plain = malloc(count(a) * sizeof *plain);
        assert_non_null(plain);
        if (k.layout[i] == LT_LAYOUT_BLOCKED16) {
            if (a->dtype == LT_F32)
                check_tail(t, a, p[i]);
            b->ops->reorder(b, &a->shape, LT_LAYOUT_BLOCKED16, p[i], LT_LAYOUT_PLAIN, plain);
        } else {
            memcpy(plain, p[i], count(a) * sizeof *plain);
        }
        if (expected)
            compare(t, i, plain, expected->d[i]);
        if (got)
            got[i] = plain;
        else
            free(plain);
        lti_free(p[i]);
    }
    lti_free(scratch);
    lti_free(k.prepared);
    if (k.destroy)
        k.destroy(&k);
}

static void assert_same_bits(const op_case *t, float *const *a, float *const *b, const char *with)
{
    for (int i = 0; i < t->n_in + t->n_out; i++)
        if (memcmp(a[i], b[i], count(&t->arg[i]) * sizeof(float)) != 0)
            fail_msg("%s, argument %d: %s and %s give other bits with %s", t->op->name, i, last_impl[0], last_impl[1],
                     with);
}

static void free_all(const op_case *t, float *const *v)
{
    for (int i = 0; i < t->n_in + t->n_out; i++)
        free(v[i]);
}

// The right numbers, and the same bits with one thread, two and three. expected NULL: only the bits.
static void check_fixed_order_with(const op_case *t, unsigned flags, const values *in, const values *expected)
{
    lt_backend *const backend[] = {backend_one, backend_two, backend_three};
    float *got[3][MAX_ARGS] = {{0}};
    for (int i = 0; i < 3; i++)
        run_onednn(backend[i], t, LT_PLAN_FIXED_ORDER | flags, !(flags & LT_PLAN_NO_LAYOUT), in, expected, got[i]);
    for (int i = 1; i < 3 && got[0][0]; i++)
        assert_same_bits(t, got[0], got[i], "other threads in fixed order");
    for (int i = 0; i < 3; i++)
        free_all(t, got[i]);
}

static void check_fixed_order(const op_case *t, const values *in, const values *expected)
{
    const bool conv = t->op == &lt_op_conv2d || t->op == &lt_op_conv2d_dx || t->op == &lt_op_conv2d_dw;
    check_fixed_order_with(t, 0, in, expected);
    if (!conv)
        return;
    check_fixed_order_with(t, EVALUATE, in, expected);
    check_fixed_order_with(t, LT_PLAN_NO_LAYOUT, in, expected);
    check_fixed_order_with(t, LT_PLAN_BF16, in, NULL);
}

static void check(const op_case *t)
{
    values in = {0}, expected = {0};
    make_inputs(t, &in);
    make_inputs(t, &expected);
    if (t->op == &lt_op_max_pool_dx)
        for (size_t j = 0; j < count(&t->arg[1]); j++) {
            const int32_t at = (int32_t)(j * 7 % (size_t)(t->arg[2].shape.dim[2] * t->arg[2].shape.dim[3]));
            ((int32_t *)in.d[1])[j] = ((int32_t *)expected.d[1])[j] = at;
        }
    run_reference(t, &expected);
    run_onednn(backend_one, t, 0, true, &in, &expected, NULL);
    run_onednn(backend_three, t, 0, true, &in, &expected, NULL);
    run_onednn(backend_three, t, 0, false, &in, &expected, NULL);
    run_onednn(backend_one, t, LT_PLAN_NO_LAYOUT, false, &in, &expected, NULL);
    run_onednn(backend_one, t, LT_PLAN_NO_TUNE, true, &in, &expected, NULL);
    run_onednn(backend_three, t, LT_PLAN_NO_TUNE | EVALUATE, true, &in, &expected, NULL);
    check_fixed_order(t, &in, &expected);
    clear(t, &in);
    clear(t, &expected);
}

// ---- shapes
static lt_arg image(int64_t n, int64_t c, int64_t h, int64_t w)
{
    return (lt_arg){{4, {n, c, h, w}}, LT_F32, LT_ROLE_TEMP, LT_LAYOUT_PLAIN};
}

static lt_arg filter(int64_t k, int64_t c, int64_t r, int64_t s)
{
    return (lt_arg){{4, {k, c, r, s}}, LT_F32, LT_ROLE_PARAM, LT_LAYOUT_PLAIN};
}

static lt_arg matrix(int64_t n, int64_t c)
{
    return (lt_arg){{2, {n, c}}, LT_F32, LT_ROLE_TEMP, LT_LAYOUT_PLAIN};
}

static lt_arg vector(int64_t c)
{
    return (lt_arg){{1, {c}}, LT_F32, LT_ROLE_PARAM, LT_LAYOUT_PLAIN};
}

static const struct shape {
    int64_t n, c, h, w;
} shapes[] = {{1, 16, 8, 8},   {5, 20, 7, 9}, {2, 8, 5, 5},   {3, 64, 4, 4},
              {2, 33, 33, 31}, {9, 32, 1, 1}, {130, 16, 3, 3}};
enum { N_SHAPES = sizeof shapes / sizeof shapes[0] };

static void check_conv(int64_t n, int64_t c, int64_t k, int64_t h, int64_t w, int64_t r, int stride, int pad)
{
    const int64_t oh = (h + 2 * pad - r) / stride + 1, ow = (w + 2 * pad - r) / stride + 1;
    const lt_arg x = image(n, c, h, w), f = filter(k, c, r, r), y = image(n, k, oh, ow), b = vector(k);
    const lt_attr a = {.stride = stride, .pad = pad, .groups = 1};
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
    check_conv(137, 16, 20, 7, 8, 3, 1, 1); // enough tiles to sum a filter gradient in chunks
    check_conv(5, 33, 70, 10, 3, 3, 1, 2);  // panels of 32 filters and the rest, more padding
    check_conv(40, 32, 48, 12, 9, 3, 1, 0);
    check_conv(37, 3, 16, 16, 16, 3, 1, 1); // parts of the batch of unequal size: a stem, a stride, a shortcut
    check_conv(35, 64, 128, 8, 8, 3, 2, 1);
    check_conv(37, 32, 64, 8, 8, 1, 2, 0);
}

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

// Our own reductions must not depend on the number of threads; a convolution repeats itself bit for bit.
static void same_bits_with(lt_backend *a, lt_backend *b, const op_case *t, unsigned flags)
{
    values in = {0};
    float *first[MAX_ARGS], *second[MAX_ARGS];
    make_inputs(t, &in);
    run_onednn(a, t, flags, true, &in, NULL, first);
    run_onednn(b, t, flags, true, &in, NULL, second);
    assert_same_bits(t, first, second,
                     a == b                    ? "the same threads"
                     : flags & LT_PLAN_NO_TUNE ? "more threads, untuned"
                                               : "more threads");
    free_all(t, first);
    free_all(t, second);
    clear(t, &in);
}

static void same_bits(lt_backend *a, lt_backend *b, const op_case *t)
{
    same_bits_with(a, b, t, 0);
}

static void same_bits_by_rule(const op_case *t)
{
    same_bits_with(backend_one, backend_three, t, LT_PLAN_NO_TUNE);
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
    const lt_arg x = image(40, 32, 16, 16), w = filter(32, 32, 3, 3);
    lt_attr a = {.stride = 1, .pad = 1, .groups = 1, .shape = w.shape};
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

static double relative_l2(const op_case *t, int i, const float *got, const double *expected)
{
    double error = 0, square = 0;
    for (size_t j = 0; j < count(&t->arg[i]); j++) {
        error += ((double)got[j] - expected[j]) * ((double)got[j] - expected[j]);
        square += expected[j] * expected[j];
    }
    return sqrt(error / square);
}

// Our own Winograd of stride 2: far closer to the exact result than the bound of the other
// tests, in every pass, by prepared filters or not, and with the same bits whatever the number of threads.
static void check_strided(const op_case *t)
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

typedef struct strided {
    int64_t n, c, k, h, w;
    int pad;
} strided;
static const strided strided_shapes[] = {{1, 16, 16, 8, 8, 1},    {3, 64, 128, 16, 16, 1}, {2, 20, 35, 9, 7, 1},
                                         {1, 17, 16, 1, 1, 1},    {2, 33, 18, 5, 12, 0},   {1, 16, 40, 3, 3, 0},
                                         {1, 16, 40, 2, 2, 1},    {2, 24, 16, 11, 6, 2},   {70, 32, 48, 8, 9, 1},
                                         {33, 16, 20, 31, 30, 0}, {5, 48, 100, 4, 4, 1},   {9, 130, 140, 6, 5, 2},
                                         {137, 16, 20, 15, 16, 1}};
enum { N_STRIDED = sizeof strided_shapes / sizeof strided_shapes[0] };

// Calls `pass` on the forward pass (plain; with bias and ReLU) and both gradients of a shape.
static void each_pass(const strided *s, void (*pass)(const op_case *))
{
    const lt_arg x = image(s->n, s->c, s->h, s->w), f = filter(s->k, s->c, 3, 3), b = vector(s->k);
    own_winograd = true;
    const lt_arg y = image(s->n, s->k, (s->h + 2 * s->pad - 3) / 2 + 1, (s->w + 2 * s->pad - 3) / 2 + 1);
    lt_attr a = {.stride = 2, .pad = s->pad, .groups = 1, .shape = x.shape}, relu = a;
    relu.relu = true;
    pass(&CASE(conv2d, a, 2, 1, 0, x, f, y));
    pass(&CASE(conv2d, relu, 3, 1, 0, x, f, b, y));
    pass(&CASE(conv2d_dx, a, 2, 1, 0, y, f, x));
    a.shape = f.shape;
    pass(&CASE(conv2d_dw, a, 2, 1, 0, x, y, f));
    own_winograd = false;
}

static void test_strided(void **state)
{
    (void)state;
    for (int i = 0; i < N_STRIDED; i++)
        each_pass(&strided_shapes[i], check_strided);
}

// Where the fixed rule takes it: not where few tiles share a transformed filter, nor for few channels.
static void test_strided_rule(void **state)
{
    static const struct {
        int64_t n, c;
        lti_conv_pass pass;
        bool constant, own;
    } rule[] = {{128, 64, LTI_CONV_FWD, false, true},  {128, 256, LTI_CONV_DX, false, true},
                {128, 32, LTI_CONV_FWD, false, false}, {8, 256, LTI_CONV_FWD, false, false},
                {8, 256, LTI_CONV_FWD, true, true},    {8, 256, LTI_CONV_DX, false, false},
                {8, 256, LTI_CONV_DW, false, true}};
    (void)state;
    for (size_t i = 0; i < sizeof rule / sizeof rule[0]; i++) {
        const lti_conv_shape s = {.pass = rule[i].pass,
                                  .n = rule[i].n,
                                  .c = rule[i].c,
                                  .h = 8,
                                  .w = 8,
                                  .k = 2 * rule[i].c,
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
        assert_ok(lti_conv_pick(backend_one->self, &s, false, &choice));
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
    const lti_wino_kern *best = one->wino_half, *table[N_TABLES] = {&lti_wino_generic, one->kern->wino, best, best};
    values in = {0}, expected = {0};
    float *got[N_TABLES][MAX_ARGS];
    const int out = t->n_in;
    make_inputs(t, &in);
    make_inputs(t, &expected);
    run_reference(t, &expected);
    for (int i = 0; i < N_TABLES; i++) {
        lt_backend *b = i == N_TABLES - 1 ? backend_three : backend_one;
        one->wino_half = three->wino_half = table[i];
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
    one->wino_half = three->wino_half = best;
    clear(t, &in);
    clear(t, &expected);
}

static void test_bf16(void **state)
{
    static const struct {
        int64_t n, c, k, h, w;
        int pad;
    } s[] = {{2, 32, 32, 16, 16, 1}, {1, 48, 64, 6, 6, 1},  {2, 20, 24, 7, 7, 1},   {131, 16, 16, 4, 4, 1},
             {137, 16, 20, 7, 8, 1}, {5, 33, 70, 10, 3, 2}, {41, 32, 48, 12, 9, 0}, {3, 130, 140, 4, 4, 1}};
    (void)state;
    for (size_t i = 0; i < sizeof s / sizeof s[0]; i++) {
        const int64_t oh = s[i].h + 2 * s[i].pad - 2, ow = s[i].w + 2 * s[i].pad - 2;
        const lt_arg x = image(s[i].n, s[i].c, s[i].h, s[i].w), y = image(s[i].n, s[i].k, oh, ow);
        const lt_arg f = filter(s[i].k, s[i].c, 3, 3);
        lt_attr a = {.stride = 1, .pad = s[i].pad, .groups = 1, .shape = x.shape};
        check_bf16(&CASE(conv2d, a, 2, 1, 0, x, f, y));
        check_bf16(&CASE(conv2d_dx, a, 2, 1, 0, y, f, x));
        a.shape = f.shape;
        check_bf16(&CASE(conv2d_dw, a, 2, 1, 0, x, y, f));
    }
    for (int i = 0; i < N_STRIDED; i++)
        each_pass(&strided_shapes[i], check_bf16);
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
    const lt_attr a = {.stride = 2, .pad = 1, .groups = 1};
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

// The same loops compiled for other instruction sets.
static void test_instruction_sets(void **state)
{
    lti_dn *one = backend_one->self, *two = backend_two->self, *three = backend_three->self;
    const lti_kern *best = one->kern, *other[] = {&lti_kern_generic, NULL};
#ifdef LTI_KERN_X86
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        other[1] = &lti_kern_avx2;
#endif
    for (int i = 0; i < 2 && other[i]; i++) {
        one->kern = two->kern = three->kern = other[i];
        test_batch_norm(state);
        test_pointwise(state);
        test_pooling(state);
        test_reorder(state);
        test_conv(state);
        test_strided(state);
    }
    one->kern = two->kern = three->kern = best;
}

static int setup(void **state)
{
    static char dir[] = "/tmp/lethe-test-onednn-XXXXXX";
    (void)state;
#ifdef LT_TEST_ISA
    if (setenv("DNNL_MAX_CPU_ISA", LT_TEST_ISA, 1) != 0)
        return -1;
#endif
    if (!mkdtemp(dir) || setenv("LETHE_CACHE", dir, 1) != 0)
        return -1;
    return lt_backend_create("onednn", 1, &backend_one) == LT_OK &&
                   lt_backend_create("onednn", 2, &backend_two) == LT_OK &&
                   lt_backend_create("onednn", 3, &backend_three) == LT_OK
               ? 0
               : -1;
}

static int teardown(void **state)
{
    (void)state;
    char command[128];
    lt_backend_destroy(backend_one);
    lt_backend_destroy(backend_two);
    lt_backend_destroy(backend_three);
    snprintf(command, sizeof command, "rm -rf '%s'", getenv("LETHE_CACHE"));
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conv),          cmocka_unit_test(test_batch_norm),
        cmocka_unit_test(test_pointwise),     cmocka_unit_test(test_pooling),
        cmocka_unit_test(test_padding),       cmocka_unit_test(test_linear),
        cmocka_unit_test(test_bn_large_mean), cmocka_unit_test(test_same_bits),
        cmocka_unit_test(test_reorder),       cmocka_unit_test(test_instruction_sets),
        cmocka_unit_test(test_bf16),          cmocka_unit_test(test_other_threads),
        cmocka_unit_test(test_strided),       cmocka_unit_test(test_strided_rule),
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
