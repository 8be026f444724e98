// Linear maps, PowerQR and the upper bound against the explicit matrix of small layers.
#include "harden/harden_impl.h"
#include "backend_fixture.h"
#include "lt_test.h"
#include <math.h>
#include <stdlib.h>

static lt_backend *ref;
BACKEND_FIXTURE(ref, "ref")

typedef struct layer_case {
    const char *name;
    int c, k, r, h, w;
    lt_conv_attr attr;
} layer_case;
static const layer_case cases[] = {
    {"3x3 zero", 3, 8, 3, 8, 8, {1, 1, 1, LT_PAD_ZERO, 1}},
    {"3x3 no padding", 3, 5, 3, 7, 6, {1, 0, 1, LT_PAD_ZERO, 1}},
    {"3x3 padding 2", 2, 4, 3, 6, 6, {1, 2, 1, LT_PAD_ZERO, 1}},
    {"3x3 stride 2", 4, 8, 3, 8, 8, {2, 1, 1, LT_PAD_ZERO, 1}},
    {"3x3 stride 2 odd", 4, 6, 3, 7, 9, {2, 1, 1, LT_PAD_ZERO, 1}},
    {"3x3 stride 3", 3, 4, 3, 9, 9, {3, 1, 1, LT_PAD_ZERO, 1}},
    {"5x5 zero", 2, 3, 5, 8, 8, {1, 2, 1, LT_PAD_ZERO, 1}},
    {"5x5 stride 2", 2, 6, 5, 8, 8, {2, 2, 1, LT_PAD_ZERO, 1}},
    {"2x2 even", 3, 4, 2, 7, 7, {1, 1, 1, LT_PAD_ZERO, 1}},
    {"4x4 even stride 2", 3, 4, 4, 8, 8, {2, 1, 1, LT_PAD_ZERO, 1}},
    {"1x1", 6, 5, 1, 5, 5, {1, 0, 1, LT_PAD_ZERO, 1}},
    {"1x1 stride 2", 6, 8, 1, 6, 6, {2, 0, 1, LT_PAD_ZERO, 1}},
    {"3x3 dilation 2", 3, 5, 3, 9, 8, {1, 2, 1, LT_PAD_ZERO, 2}},
    {"3x3 dilation 2 stride 2", 4, 6, 3, 9, 9, {2, 2, 1, LT_PAD_ZERO, 2}},
    {"5x5 dilation 2 stride 4", 3, 4, 5, 13, 13, {4, 4, 1, LT_PAD_ZERO, 2}},
    {"3x3 dilation 3 stride 2", 3, 4, 3, 9, 10, {2, 3, 1, LT_PAD_ZERO, 3}},
    {"2x2 dilation 2", 3, 4, 2, 7, 7, {1, 1, 1, LT_PAD_ZERO, 2}},
    {"groups 2 dilation 2", 4, 8, 3, 7, 7, {1, 2, 2, LT_PAD_ZERO, 2}},
    {"circular dilation 2", 3, 6, 3, 8, 8, {1, 2, 1, LT_PAD_CIRCULAR, 2}},
    {"circular dilation 3", 3, 6, 3, 8, 9, {1, 3, 1, LT_PAD_CIRCULAR, 3}},
    {"circular dilation 2 stride 2", 3, 6, 3, 8, 8, {2, 2, 1, LT_PAD_CIRCULAR, 2}},
    {"reflect dilation 2", 3, 6, 3, 8, 8, {1, 2, 1, LT_PAD_REFLECT, 2}},
    {"groups 2", 4, 8, 3, 7, 7, {1, 1, 2, LT_PAD_ZERO, 1}},
    {"groups 4 stride 2", 8, 8, 3, 8, 8, {2, 1, 4, LT_PAD_ZERO, 1}},
    {"depthwise", 5, 5, 3, 7, 7, {1, 1, 5, LT_PAD_ZERO, 1}},
    {"circular", 3, 6, 3, 8, 8, {1, 1, 1, LT_PAD_CIRCULAR, 1}},
    {"circular stride 2", 3, 6, 3, 8, 8, {2, 1, 1, LT_PAD_CIRCULAR, 1}},
    {"circular 5x5", 2, 3, 5, 7, 8, {1, 2, 1, LT_PAD_CIRCULAR, 1}},
    {"reflect", 3, 6, 3, 8, 8, {1, 1, 1, LT_PAD_REFLECT, 1}},
    {"reflect stride 2", 3, 4, 3, 8, 8, {2, 1, 1, LT_PAD_REFLECT, 1}},
};
enum { N_CASES = sizeof cases / sizeof *cases };

typedef struct layer {
    lt_graph *g;
    lt_val x, y, w, b;
    float *params;
    int64_t n_params;
} layer;

static void fill(float *v, int64_t n, uint64_t seed)
{
    lt_rng rng = lt_rng_at(seed, LT_STREAM_TEST, 0, 0);
    for (int64_t i = 0; i < n; i++)
        v[i] = (float)(0.3 * lt_rng_normal(&rng));
}

static layer make(const layer_case *c, uint64_t seed)
{
    layer l = {0};
    assert_ok(lt_graph_create(&l.g));
    l.x = lt_input(l.g, "x", LT_F32, LT_SHAPE(LT_BATCH, c->c, c->h, c->w));
    l.w = lt_param(l.g, "w", LT_SHAPE(c->k, c->c / c->attr.groups, c->r, c->r));
    l.b = lt_param(l.g, "b", LT_SHAPE(c->k));
    l.y = lt_conv2d(l.g, l.x, l.w, l.b, c->attr);
    assert_ok(lt_graph_status(l.g));
    l.n_params = lt_graph_n_params(l.g);
    l.params = calloc((size_t)l.n_params, sizeof *l.params);
    fill(l.params, l.n_params, seed);
    return l;
}

static void drop(layer *l)
{
    lt_graph_destroy(l->g);
    free(l->params);
}

static lt_linear_map *map_of(const layer *l, int batch)
{
    lt_linear_map *m;
    const lt_linear_map_spec spec = {
        .graph = l->g, .from = l->x, .to = l->y, .batch = batch, .dtype = LT_F32, .weight = {l->w, LT_NONE}};
    assert_ok(lt_linear_map_create(&spec, ref, &m));
    assert_ok(lt_linear_map_bind(m, l->params, NULL));
    return m;
}

// (n_out,n_in) of the map, from the images of the unit vectors.
static double *explicit_matrix(lt_linear_map *m)
{
    const int64_t n = lt_linear_map_n_in(m), k = lt_linear_map_n_out(m);
    double *a = calloc((size_t)(n * k), sizeof *a);
    float *x = calloc((size_t)(n + k), sizeof *x);
    for (int64_t i = 0; i < n; i++) {
        x[i] = 1;
        assert_ok(lt_linear_map_apply(m, x, x + n));
        x[i] = 0;
        for (int64_t j = 0; j < k; j++)
            a[j * n + i] = (double)x[n + j];
    }
    free(x);
    return a;
}

// All singular values, descending, by one-sided Jacobi on the smaller side: shares nothing with the library.
static double *dense_singular(const double *a, int64_t rows, int64_t columns, int64_t *count)
{
    const bool flip = rows > columns;
    const int64_t m = flip ? columns : rows, n = flip ? rows : columns;
    double *u = calloc((size_t)(m * n), sizeof *u), *s = calloc((size_t)m, sizeof *s);
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++)
            u[i * n + j] = flip ? a[j * columns + i] : a[i * columns + j];
    for (int sweep = 0; sweep < 12; sweep++)
        for (int64_t p = 0; p < m; p++)
            for (int64_t q = p + 1; q < m; q++) {
                double x = 0, y = 0, z = 0;
                for (int64_t j = 0; j < n; j++) {
                    x += u[p * n + j] * u[p * n + j];
                    y += u[q * n + j] * u[q * n + j];
                    z += u[p * n + j] * u[q * n + j];
                }
                if (fabs(z) <= 1e-12 * sqrt(x * y))
                    continue;
                const double theta = (y - x) / (2 * z);
                const double t = (theta >= 0 ? 1 : -1) / (fabs(theta) + sqrt(theta * theta + 1));
                const double c = 1 / sqrt(t * t + 1), d = t * c;
                for (int64_t j = 0; j < n; j++) {
                    const double e = u[p * n + j], f = u[q * n + j];
                    u[p * n + j] = c * e - d * f;
                    u[q * n + j] = d * e + c * f;
                }
            }
    for (int64_t i = 0; i < m; i++) {
        for (int64_t j = 0; j < n; j++)
            s[i] += u[i * n + j] * u[i * n + j];
        s[i] = sqrt(s[i]);
    }
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = i + 1; j < m; j++)
            if (s[j] > s[i]) {
                const double t = s[i];
                s[i] = s[j];
                s[j] = t;
            }
    free(u);
    *count = m;
    return s;
}

static double frob(const double *s, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += s[i] * s[i];
    return sqrt(sum);
}

static double *weight_double(const layer *l)
{
    double *d = calloc((size_t)l->n_params, sizeof *d);
    for (int64_t i = 0; i < l->n_params; i++)
        d[i] = (double)l->params[i];
    return d;
}

static double upper_of(const layer *l, const layer_case *c)
{
    lt_value_info info;
    double upper, *d = weight_double(l);
    const char *by;
    assert_ok(lt_graph_value(l->g, l->w, &info));
    const lt_conv_bound_in in = {
        .weight = d, .shape = info.shape, .attr = c->attr, .height = c->h, .width = c->w, .n_threads = 1};
    assert_ok(lt_conv_upper_bound(&in, &upper, &by));
    free(d);
    return upper;
}

static void test_against_dense(void **state)
{
    (void)state;
    for (int i = 0; i < N_CASES; i++) {
        const layer_case *c = &cases[i];
        layer l = make(c, (uint64_t)i + 1);
        lt_linear_map *one = map_of(&l, 1), *many = map_of(&l, 8);
        const int64_t n = lt_linear_map_n_in(one), k = lt_linear_map_n_out(one);
        double *a = explicit_matrix(one), sigma[8];
        int64_t count;
        double *truth = dense_singular(a, k, n, &count);
        float *v = calloc((size_t)(8 * n), sizeof *v);
        lt_power_qr q = {.block = 8, .iterations = 400, .tolerance = 1e-7, .n_watched = 5};
        lt_power_qr_start(v, 8, n, 3, 0);
        assert_ok(lt_power_qr_run(many, &q, v, NULL, sigma, NULL));
        for (int j = 0; j < 5; j++)
            if (fabs(sigma[j] - truth[j]) > 1e-3 * truth[j])
                fail_msg("%s: value %d is %.8g, the matrix has %.8g", c->name, j, sigma[j], truth[j]);
        const double upper = upper_of(&l, c);
        if (c->attr.pad_mode == LT_PAD_REFLECT)
            assert_true(isnan(upper));
        else if (!(upper >= truth[0]) || upper > 1.6 * truth[0])
            fail_msg("%s: upper bound %.8g, the matrix has %.8g", c->name, upper, truth[0]);
        assert_true(frob(truth, count) > truth[0]); // the reference itself is no rank-one accident
        free(a);
        free(truth);
        free(v);
        lt_linear_map_destroy(one);
        lt_linear_map_destroy(many);
        drop(&l);
    }
}

static double dot(const float *a, const float *b, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += (double)a[i] * (double)b[i];
    return sum;
}

static void test_adjoint(void **state)
{
    (void)state;
    for (int i = 0; i < N_CASES; i++) {
        layer l = make(&cases[i], 7);
        lt_linear_map *m = map_of(&l, 2);
        const int64_t n = 2 * lt_linear_map_n_in(m), k = 2 * lt_linear_map_n_out(m), nw = l.n_params - cases[i].k;
        float *x = calloc((size_t)(2 * (n + k) + l.n_params), sizeof *x), *y = x + n, *ax = y + k, *ay = ax + k;
        fill(x, n, 1);
        fill(y, k, 2);
        assert_ok(lt_linear_map_apply(m, x, ax));
        assert_ok(lt_linear_map_adjoint(m, y, ay));
        const double left = dot(ax, y, k), right = dot(x, ay, n), size = sqrt(dot(ax, ax, k) * dot(y, y, k));
        if (fabs(left - right) > 1e-6 * size)
            fail_msg("%s: <Ax,y> = %.9g, <x,A'y> = %.9g", cases[i].name, left, right);
        float *dw = ay + n;
        assert_ok(lt_linear_map_weight_grad(m, x, y, (void *[]){dw, NULL}));
        if (fabs(dot(dw, l.params, nw) - left) > 1e-5 * size) // linear in the weight, too
            fail_msg("%s: <dw,w> = %.9g, <Ax,y> = %.9g", cases[i].name, dot(dw, l.params, nw), left);
        free(x);
        lt_linear_map_destroy(m);
        drop(&l);
    }
}

// A residual branch y = x + bn(conv(x)) with pooling: biases and shifts must be gone, the matrix exact.
static void test_composition(void **state)
{
    (void)state;
    lt_graph *g;
    assert_ok(lt_graph_create(&g));
    lt_val x = lt_input(g, "x", LT_F32, LT_SHAPE(LT_BATCH, 4, 6, 6)), w = lt_param(g, "w", LT_SHAPE(4, 4, 3, 3));
    lt_val b = lt_param(g, "b", LT_SHAPE(4));
    lt_bn_args bn = {
        .gamma = lt_param(g, "gamma", LT_SHAPE(4)), .beta = lt_param(g, "beta", LT_SHAPE(4)), .eps = 1e-5f};
    bn.running_mean = lt_state(g, "mean", LT_SHAPE(4));
    bn.running_var = lt_state(g, "var", LT_SHAPE(4));
    lt_val h = lt_batch_norm(g, lt_conv2d(g, x, w, b, (lt_conv_attr){.stride = 1, .pad = 1}), bn);
    lt_val y = lt_avg_pool2d(g, lt_add(g, h, x), 2, 2), r = lt_relu(g, h);
    assert_ok(lt_graph_status(g));
    float params[4 * 4 * 9 + 12], slab[8];
    fill(params, 4 * 4 * 9 + 12, 5);
    for (int i = 0; i < 8; i++)
        slab[i] = i < 4 ? 0.3f : 0.5f + 0.25f * (float)i;
    lt_linear_map_spec spec = {
        .graph = g, .from = x, .to = y, .batch = 1, .dtype = LT_F32, .weight = {LT_NONE, LT_NONE}};
    lt_linear_map *m;
    assert_ok(lt_linear_map_create(&spec, ref, &m));
    assert_ok(lt_linear_map_bind(m, params, slab));
    const lt_plan_spec plan_spec = {
        .outs = &y, .n_outs = 1, .grad_of = LT_NONE, .seed = LT_NONE, .batch = 1, .dtype = LT_F32};
    lt_plan *plan;
    assert_ok(lt_plan_create(g, &plan_spec, ref, &plan));
    assert_ok(lt_plan_bind(plan, params, slab, NULL));
    float in[144], out[36], at[36], at_zero[36];
    fill(in, 144, 9);
    assert_ok(lt_linear_map_apply(m, in, out));
    memset(lt_plan_buffer(plan, x), 0, sizeof in);
    assert_ok(lt_plan_run(plan));
    memcpy(at_zero, lt_plan_buffer(plan, y), sizeof at_zero);
    memcpy(lt_plan_buffer(plan, x), in, sizeof in);
    assert_ok(lt_plan_run(plan));
    memcpy(at, lt_plan_buffer(plan, y), sizeof at);
    for (int i = 0; i < 36; i++)
        assert_true(fabsf(at[i] - at_zero[i] - out[i]) < 1e-5f);
    assert_true(fabsf(at_zero[0]) > 1e-3f); // there was an offset to lose
    lt_linear_map_destroy(m);
    spec.to = r;
    assert_fails(LT_E_UNSUPPORTED, "relu", lt_linear_map_create(&spec, ref, &m));
    lt_plan_destroy(plan);
    lt_graph_destroy(g);
}

// delta kernel 1, zero 0, one channel of ones with circular padding k^2, scaling by |a|.
static void test_known_values(void **state)
{
    (void)state;
    const layer_case c = {"one channel", 1, 1, 3, 8, 8, {1, 1, 1, LT_PAD_CIRCULAR, 1}};
    const float kernels[][9] = {
        {0, 0, 0, 0, 1, 0, 0, 0, 0}, {0}, {1, 1, 1, 1, 1, 1, 1, 1, 1}, {0, 0, 0, 0, -2, 0, 0, 0, 0}};
    const double expected[] = {1, 0, 9, 2};
    for (int i = 0; i < 4; i++) {
        layer l = make(&c, 1);
        double sigma[3];
        float v[3 * 64];
        memcpy(l.params, kernels[i], sizeof kernels[i]);
        lt_linear_map *m = map_of(&l, 3);
        lt_power_qr q = {.block = 3, .iterations = 200, .tolerance = 1e-8};
        lt_power_qr_start(v, 3, 64, 1, 0);
        assert_ok(lt_power_qr_run(m, &q, v, NULL, sigma, NULL));
        assert_true(fabs(sigma[0] - expected[i]) < 1e-5);
        const double upper = upper_of(&l, &c);
        assert_true(upper >= expected[i] * (1 - 1e-9) && upper <= expected[i] * 1.002 + 1e-12);
        lt_linear_map_destroy(m);
        drop(&l);
    }
}

// Non-negativity of what QR returns cannot matter: the values are norms. A start that QR would give a negative diagonal
// (all rows negated) has the same values.
static void test_sign(void **state)
{
    (void)state;
    layer l = make(&cases[0], 4);
    lt_linear_map *m = map_of(&l, 4);
    const int64_t n = lt_linear_map_n_in(m);
    float *v = calloc((size_t)(8 * n), sizeof *v), *u = v + 4 * n;
    double a[4], b[4];
    lt_power_qr_start(v, 4, n, 1, 0);
    for (int64_t i = 0; i < 4 * n; i++)
        u[i] = -v[i];
    lt_power_qr q = {.block = 4, .iterations = 30, .shift = 1}, r = q;
    assert_ok(lt_power_qr_run(m, &q, v, NULL, a, NULL));
    assert_ok(lt_power_qr_run(m, &r, u, NULL, b, NULL));
    for (int i = 0; i < 4; i++)
        assert_true(a[i] == b[i] && a[i] > 0);
    free(v);
    lt_linear_map_destroy(m);
    drop(&l);
}

// Circular padding at a real size: the largest symbol over the n x n frequencies, by power iteration here.
static void test_fourier_full_size(void **state)
{
    (void)state;
    const layer_case c = {"circular 32", 8, 8, 3, 32, 32, {1, 1, 1, LT_PAD_CIRCULAR, 1}};
    layer l = make(&c, 2);
    double best = 0;
    for (int f = 0; f < 32 * 32; f++) {
        double re[64] = {0}, im[64] = {0}, x[16], y[16];
        for (int t = 0; t < 9; t++)
            for (int i = 0; i < 64; i++) {
                const double phase = 2 * M_PI * (f / 32 * (t / 3) + f % 32 * (t % 3)) / 32.0;
                re[i] += (double)l.params[i * 9 + t] * cos(phase);
                im[i] -= (double)l.params[i * 9 + t] * sin(phase);
            }
        for (int i = 0; i < 16; i++)
            x[i] = 1 + i % 3;
        double norm = 0;
        for (int step = 0; step < 200; step++) { // x <- F^H F x
            memset(y, 0, sizeof y);
            for (int i = 0; i < 8; i++)
                for (int j = 0; j < 8; j++) {
                    y[i] += re[i * 8 + j] * x[j] - im[i * 8 + j] * x[8 + j];
                    y[8 + i] += re[i * 8 + j] * x[8 + j] + im[i * 8 + j] * x[j];
                }
            double xx = 0, yy = 0;
            for (int i = 0; i < 16; i++) {
                xx += x[i] * x[i];
                yy += y[i] * y[i];
            }
            norm = sqrt(yy / xx);
            for (int j = 0; j < 8; j++) {
                double a = 0, b = 0;
                for (int i = 0; i < 8; i++) {
                    a += re[i * 8 + j] * y[i] + im[i * 8 + j] * y[8 + i];
                    b += re[i * 8 + j] * y[8 + i] - im[i * 8 + j] * y[i];
                }
                x[j] = a / yy;
                x[8 + j] = b / yy;
            }
        }
        best = fmax(best, norm);
    }
    lt_linear_map *m = map_of(&l, 4);
    const int64_t n = lt_linear_map_n_in(m);
    float *v = calloc((size_t)(4 * n), sizeof *v);
    double sigma[4];
    lt_power_qr q = {.block = 4, .iterations = 60};
    lt_power_qr_start(v, 4, n, 1, 0);
    assert_ok(lt_power_qr_run(m, &q, v, NULL, sigma, NULL));
    if (fabs(sigma[0] - best) > 0.01 * best)
        fail_msg("PowerQR %.6g, Fourier %.6g", sigma[0], best);
    const double upper = upper_of(&l, &c);
    assert_true(upper >= best && upper <= 1.002 * best);
    free(v);
    lt_linear_map_destroy(m);
    drop(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_adjoint),     cmocka_unit_test(test_against_dense),
        cmocka_unit_test(test_composition), cmocka_unit_test(test_known_values),
        cmocka_unit_test(test_sign),        cmocka_unit_test(test_fourier_full_size),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
