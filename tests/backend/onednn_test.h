// onednn_test.h - ops of the oneDNN backend, bound by hand and compared with the reference backend in double precision.
//
// Kernels are bound alone, so that a fault is found here and not somewhere in a network. A program that defines
// LT_TEST_ISA holds oneDNN to that instruction set: the variable must be set before the library is first used.
#ifndef LT_ONEDNN_TEST_H
#define LT_ONEDNN_TEST_H
#include "backend/onednn/onednn_impl.h"
#include "backend/onednn/wino.h"
#include "base/base.h"
#include "graph/backend.h"
#include "graph/graph_impl.h"
#include "graph/plan_impl.h"
#include <math.h>
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

static inline double uniform(void)
{
    rng_state = rng_state * 6364136223846793005u + 1442695040888963407u;
    return (double)(int64_t)(rng_state >> 11) / (double)(1LL << 52) - 1.0; // [-1, 1)
}

static inline size_t count(const lt_arg *a)
{
    return (size_t)lti_shape_count(&a->shape);
}

// ---- one run
typedef struct values {
    double *d[MAX_ARGS]; // plain, double; I32 arguments as int32_t
} values;

static inline void clear(const op_case *t, values *v)
{
    for (int i = 0; i < t->n_in + t->n_out; i++)
        free(v->d[i]);
}

static inline bool is_image(const lt_arg *a)
{
    return a->shape.n_dims == 4 && a->role == LT_ROLE_TEMP;
}

// Inputs are numbers a float holds exactly, so that both sides see the same ones.
static inline void make_inputs(const op_case *t, values *v)
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
    for (size_t j = 0; t->attr.masked && j < count(&t->arg[3]); j++)
        v->d[3][j] = v->d[2][j] > 0 ? v->d[3][j] : 0;
}

static inline void run_reference(const op_case *t, values *v)
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
static inline void *place(const lt_arg *a, lt_layout layout, const double *from)
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
static inline void check_tail(const op_case *t, const lt_arg *a, const float *x)
{
    const int64_t c = a->shape.dim[1], blocks = (c + 15) / 16, px = a->shape.dim[2] * a->shape.dim[3];
    for (int64_t i = 0; i < a->shape.dim[0] * blocks * px; i++)
        for (int64_t l = 0; l < 16; l++)
            if (i / px % blocks * 16 + l >= c && x[i * 16 + l] != 0.0f)
                fail_msg("%s: channel tail is %g, expected 0", t->op->name, (double)x[i * 16 + l]);
}

static inline void compare(const op_case *t, int i, const void *got, const double *expected)
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
static bool own_point;         // the same for 1x1 filters

static inline lt_status bind(lt_backend *b, const lt_bind_in *in, lt_kernel *k)
{
    if (!own_winograd && !own_point)
        return b->ops->bind(b, in, k);
    const lti_conv_shape s = lti_conv_shape_of(in);
    const lti_algorithm winograd = s.bf16 ? LTI_OWN_WINOGRAD_BF16 : LTI_OWN_WINOGRAD;
    const lti_choice choice = {.algorithm = own_point ? LTI_OWN_POINTWISE : winograd};
    assert_true(own_point ? lti_conv_1x1_fits(b->self, &s) : lti_wino_fits(&s));
    for (int i = 0; i < in->n_in + in->n_out; i++)
        k->layout[i] = is_image(&in->arg[i]) ? LT_LAYOUT_BLOCKED16 : LT_LAYOUT_PLAIN;
    return lti_conv_make(b->self, &s, &choice, k);
}

// A kernel that may write over input i makes the same of it there.
static inline void check_in_place(const op_case *t, const lt_kernel *k, void *const *p, void *scratch, int i)
{
    const size_t bytes = lti_layout_bytes(&t->arg[i].shape, LT_F32, k->layout[i]);
    void *q[MAX_ARGS];
    memcpy(q, p, sizeof q);
    assert_non_null(q[t->n_in] = lti_aligned_alloc(64, bytes + 64));
    memcpy(q[t->n_in], p[i], bytes);
    q[i] = q[t->n_in];
    assert_ok(k->run(k, q, scratch));
    assert_memory_equal(q[t->n_in], p[t->n_in], bytes);
    lti_free(q[t->n_in]);
}

static inline void run_onednn(lt_backend *b, const op_case *t, unsigned flags, bool blocked, const values *in_values,
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
    for (int i = 0; i < t->n_in; i++)
        if (k.in_place >> i & 1)
            check_in_place(t, &k, p, scratch, i);
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

static inline void assert_same_bits(const op_case *t, float *const *a, float *const *b, const char *with)
{
    for (int i = 0; i < t->n_in + t->n_out; i++)
        if (memcmp(a[i], b[i], count(&t->arg[i]) * sizeof(float)) != 0)
            fail_msg("%s, argument %d: %s and %s give other bits with %s", t->op->name, i, last_impl[0], last_impl[1],
                     with);
}

static inline void free_all(const op_case *t, float *const *v)
{
    for (int i = 0; i < t->n_in + t->n_out; i++)
        free(v[i]);
}

// The right numbers, and the same bits with one thread, two and three. expected NULL: only the bits.
static inline void check_fixed_order_with(const op_case *t, unsigned flags, const values *in, const values *expected)
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

static inline void check_fixed_order(const op_case *t, const values *in, const values *expected)
{
    const bool conv = t->op == &lt_op_conv2d || t->op == &lt_op_conv2d_dx || t->op == &lt_op_conv2d_dw;
    check_fixed_order_with(t, 0, in, expected);
    if (!conv)
        return;
    check_fixed_order_with(t, EVALUATE, in, expected);
    check_fixed_order_with(t, LT_PLAN_NO_LAYOUT, in, expected);
    check_fixed_order_with(t, LT_PLAN_BF16, in, NULL);
}

static inline void check(const op_case *t)
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
static inline lt_arg image(int64_t n, int64_t c, int64_t h, int64_t w)
{
    return (lt_arg){{4, {n, c, h, w}}, LT_F32, LT_ROLE_TEMP, LT_LAYOUT_PLAIN};
}

static inline lt_arg filter(int64_t k, int64_t c, int64_t r, int64_t s)
{
    return (lt_arg){{4, {k, c, r, s}}, LT_F32, LT_ROLE_PARAM, LT_LAYOUT_PLAIN};
}

static inline lt_arg matrix(int64_t n, int64_t c)
{
    return (lt_arg){{2, {n, c}}, LT_F32, LT_ROLE_TEMP, LT_LAYOUT_PLAIN};
}

static inline lt_arg vector(int64_t c)
{
    return (lt_arg){{1, {c}}, LT_F32, LT_ROLE_PARAM, LT_LAYOUT_PLAIN};
}

static const struct shape {
    int64_t n, c, h, w;
} shapes[] = {{1, 16, 8, 8},   {5, 20, 7, 9}, {2, 8, 5, 5},   {3, 64, 4, 4},
              {2, 33, 33, 31}, {9, 32, 1, 1}, {130, 16, 3, 3}};
enum { N_SHAPES = sizeof shapes / sizeof shapes[0] };

// Our own reductions must not depend on the number of threads; a convolution repeats itself bit for bit.
static inline void same_bits_with(lt_backend *a, lt_backend *b, const op_case *t, unsigned flags)
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

static inline void same_bits(lt_backend *a, lt_backend *b, const op_case *t)
{
    same_bits_with(a, b, t, 0);
}

static inline void same_bits_by_rule(const op_case *t)
{
    same_bits_with(backend_one, backend_three, t, LT_PLAN_NO_TUNE);
}

static inline double relative_l2(const op_case *t, int i, const float *got, const double *expected)
{
    double error = 0, square = 0;
    for (size_t j = 0; j < count(&t->arg[i]); j++) {
        error += ((double)got[j] - expected[j]) * ((double)got[j] - expected[j]);
        square += expected[j] * expected[j];
    }
    return sqrt(error / square);
}

// Calls `run` with the loops compiled for other instruction sets.
static inline void with_other_kernels(void (*run)(void **state), void **state)
{
    lti_dn *one = backend_one->self, *two = backend_two->self, *three = backend_three->self;
    const lti_kern *best = one->kern, *other[] = {&lti_kern_generic, NULL};
#ifdef LTI_KERN_X86
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        other[1] = &lti_kern_avx2;
#endif
    for (int i = 0; i < 2 && other[i]; i++) {
        one->kern = two->kern = three->kern = other[i];
        run(state);
    }
    one->kern = two->kern = three->kern = best;
}

static inline int setup(void **state)
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

static inline int teardown(void **state)
{
    (void)state;
    char command[128];
    lt_backend_destroy(backend_one);
    lt_backend_destroy(backend_two);
    lt_backend_destroy(backend_three);
    snprintf(command, sizeof command, "rm -rf '%s'", getenv("LETHE_CACHE"));
    return system(command);
}

#endif
