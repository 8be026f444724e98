// test_single_conv.c - the network of studies of padding: its operator and its spectra against matrices written out
// here, for every padding mode, stride and kernel, and what clipping leaves of them.
#include "harden/clip_impl.h"
#include "backend_fixture.h"
#include "lt_test.h"
#include <math.h>
#include <stdlib.h>

static lt_env env;
BACKEND_FIXTURE(env.backend, "ref")

typedef struct shape_case {
    const char *spec;
    int kernel, padding, stride;
    lt_pad_mode mode;
} shape_case;
static const shape_case cases[] = {
    {"single-conv:width=4", 3, 1, 1, LT_PAD_REFLECT}, // the defaults
    {"single-conv:width=4,padding-mode=zeros", 3, 1, 1, LT_PAD_ZERO},
    {"single-conv:width=4,padding-mode=circular", 3, 1, 1, LT_PAD_CIRCULAR},
    {"single-conv:width=4,stride=2", 3, 1, 2, LT_PAD_REFLECT},
    {"single-conv:width=3,kernel=5,padding=2", 5, 2, 1, LT_PAD_REFLECT},
    {"single-conv:width=3,kernel=4,padding=3,stride=3", 4, 3, 3, LT_PAD_REFLECT},
    {"single-conv:width=5,kernel=5,padding=1,stride=2,padding-mode=zeros", 5, 1, 2, LT_PAD_ZERO},
    {"single-conv:width=4,padding=0", 3, 0, 1, LT_PAD_REFLECT},
    {"single-conv:width=3,kernel=1,padding=3", 1, 3, 1, LT_PAD_REFLECT}, // one pixel is seen three times a side
};
enum { N_CASES = sizeof cases / sizeof *cases, C = 2, H = 7, W = 6, N_IN = C * H * W };

typedef struct matrix {
    int64_t rows;
    double *a; // (rows, N_IN)
} matrix;

static lt_model *make(const shape_case *c, bool bn, uint64_t seed)
{
    lt_model *m;
    char spec[128];
    snprintf(spec, sizeof spec, "%s%s", c->spec, bn ? "" : ",bn=0");
    assert_ok(lt_model_create(spec, (lt_model_shape){C, H, W, 5}, &m));
    lt_model_init(m, seed);
    for (int64_t i = 0; i < m->n_params; i++)
        m->params[i] *= 3;
    return m;
}

static const lt_value_info *find(const lt_model *m, const char *name)
{
    static lt_value_info info;
    for (lt_val v = 0; v < lt_graph_n_values(m->graph); v++)
        if (lt_graph_value(m->graph, v, &info) == LT_OK && !strcmp(info.name, name))
            return &info;
    fail_msg("no value %s", name);
    return NULL;
}

// Where a place in the padded image comes from; -1: from nowhere.
static int source(int at, int n, lt_pad_mode mode)
{
    if (at >= 0 && at < n)
        return at;
    if (mode == LT_PAD_ZERO)
        return -1;
    if (mode == LT_PAD_CIRCULAR)
        return (at + n) % n;
    return at < 0 ? -at : 2 * (n - 1) - at;
}

// The convolution from its weights, times `scale` (K) of batch norm or 1.
static matrix write_out(const lt_model *m, const shape_case *c, const double *scale)
{
    const lt_value_info *w = find(m, "conv1.weight");
    const float *weight = m->params + w->slab_offset;
    const int k = (int)w->shape.dim[0], s = c->kernel, oh = (H + 2 * c->padding - s) / c->stride + 1,
              ow = (W + 2 * c->padding - s) / c->stride + 1;
    matrix out = {(int64_t)k * oh * ow, calloc((size_t)(k * oh * ow) * N_IN, sizeof(double))};
    for (int64_t row = 0; row < out.rows; row++)
        for (int tap = 0; tap < C * s * s; tap++) {
            const int o = (int)row / (oh * ow), i = (int)row / ow % oh, j = (int)row % ow;
            const int y = source(i * c->stride + tap / s % s - c->padding, H, c->mode),
                      x = source(j * c->stride + tap % s - c->padding, W, c->mode);
            if (y >= 0 && x >= 0)
                out.a[row * N_IN + tap / (s * s) * H * W + y * W + x] +=
                    (double)weight[o * C * s * s + tap] * (scale ? scale[o] : 1);
        }
    return out;
}

// The two largest singular values, by power iteration on A'A in double, the second orthogonal to the first.
static void two_largest(const matrix *m, double sigma[2])
{
    double v[2][N_IN], next[N_IN];
    for (int e = 0; e < 2; e++) {
        for (int j = 0; j < N_IN; j++)
            v[e][j] = sin(1.0 + 1.7 * j + 5 * e);
        for (int round = 0; round < 4000; round++) {
            double length = 0, along = 0;
            memset(next, 0, sizeof next);
            for (int64_t r = 0; r < m->rows; r++) {
                double y = 0;
                for (int j = 0; j < N_IN; j++)
                    y += m->a[r * N_IN + j] * v[e][j];
                for (int j = 0; j < N_IN; j++)
                    next[j] += y * m->a[r * N_IN + j];
            }
            for (int j = 0; e == 1 && j < N_IN; j++)
                along += next[j] * v[0][j];
            for (int j = 0; j < N_IN; j++) {
                next[j] -= e == 1 ? along * v[0][j] : 0;
                length += next[j] * next[j];
            }
            length = sqrt(length);
            const double now = sqrt(length); // |A'A v| of a unit vector
            for (int j = 0; j < N_IN; j++)
                v[e][j] = next[j] / length;
            if (round > 10 && fabs(now - sigma[e]) < 1e-14 * now)
                break;
            sigma[e] = now;
        }
    }
}

static const lt_spectrum *layer_of(const lt_spectra *s, const char *name)
{
    for (int i = 0; i < s->n_layers; i++)
        if (!strcmp(s->layer[i].name, name))
            return &s->layer[i];
    fail_msg("no layer %s", name);
    return NULL;
}

static void measure(const lt_model *m, lt_spectra *s)
{
    lt_spectra_cfg cfg = {.seed = 1};
    lt_options_defaults(lt_spectra_options, &cfg);
    cfg.top_k = 2;
    cfg.iterations = 400;
    cfg.tolerance = 1e-7f;
    assert_ok(lt_spectra_measure(m, &cfg, &env, s));
}

static void assert_spectrum(const lt_spectrum *l, const matrix *a, const shape_case *c)
{
    double truth[2] = {0};
    two_largest(a, truth);
    for (int j = 0; j < 2; j++)
        if (!(fabs(l->sigma[j] - truth[j]) <= 1e-3 * truth[j]))
            fail_msg("%s, %s: value %d is %.8g, the matrix has %.8g", c->spec, l->name, j, l->sigma[j], truth[j]);
    assert_true(l->lower <= truth[0] * (1 + 1e-6));
    if (c->mode == LT_PAD_REFLECT && c->padding > 0)
        assert_true(isnan(l->upper));
    else
        assert_true(l->upper >= truth[0] * (1 - 1e-9));
}

static void test_spectra(void **state)
{
    (void)state;
    for (int i = 0; i < N_CASES; i++) {
        const shape_case *c = &cases[i];
        lt_model *m = make(c, true, (uint64_t)i + 1);
        lt_spectra s;
        double scale[8];
        const lt_value_info *gamma = find(m, "bn1.weight");
        const int64_t k = gamma->shape.dim[0], at = gamma->slab_offset;
        const int64_t var = find(m, "bn1.running_var")->slab_offset;
        for (int64_t j = 0; j < k; j++) {
            m->params[at + j] = 0.5f + 0.2f * (float)j;
            m->state[var + j] = 0.4f + 0.3f * (float)j;
            scale[j] = (double)m->params[at + j] / sqrt((double)m->state[var + j] + 1e-5);
        }
        measure(m, &s);
        matrix conv = write_out(m, c, NULL), both = write_out(m, c, scale);
        assert_spectrum(layer_of(&s, "conv1"), &conv, c);
        assert_spectrum(layer_of(&s, "conv1+bn1"), &both, c);
        double truth[2] = {0};
        two_largest(&both, truth);
        assert_true(s.lipschitz_bound >= truth[0] * layer_of(&s, "linear")->lower); // also where it is crude
        free(conv.a);
        free(both.a);
        lt_spectra_clear(&s);
        lt_model_destroy(m);
    }
}

// Logits of the model from the written-out matrix: the same padding in the forward pass.
static void test_logits(void **state)
{
    (void)state;
    for (int i = 0; i < N_CASES; i++) {
        const shape_case *c = &cases[i];
        lt_model *m = make(c, false, 20 + (uint64_t)i);
        matrix conv = write_out(m, c, NULL);
        const float *b = m->params + find(m, "conv1.bias")->slab_offset,
                    *w = m->params + find(m, "linear.weight")->slab_offset,
                    *last = m->params + find(m, "linear.bias")->slab_offset;
        const int64_t map = conv.rows / find(m, "conv1.bias")->shape.dim[0];
        const lt_plan_spec spec = {
            .outs = &m->logits, .n_outs = 1, .grad_of = LT_NONE, .seed = LT_NONE, .batch = 1, .dtype = LT_F32};
        lt_plan *plan;
        assert_ok(lt_plan_create(m->graph, &spec, env.backend, &plan));
        assert_ok(lt_plan_bind(plan, m->params, m->state, NULL));
        float *x = lt_plan_buffer(plan, m->x);
        double z[5];
        for (int j = 0; j < N_IN; j++)
            x[j] = (float)(0.5 + 0.5 * sin(3.0 * j + i));
        for (int k = 0; k < 5; k++) {
            z[k] = (double)last[k];
            for (int64_t r = 0; r < conv.rows; r++) {
                double y = (double)b[r / map];
                for (int j = 0; j < N_IN; j++)
                    y += conv.a[r * N_IN + j] * (double)x[j];
                z[k] += y > 0 ? y * (double)w[k * conv.rows + r] : 0;
            }
        }
        assert_ok(lt_plan_run(plan));
        const float *found = lt_plan_buffer(plan, m->logits);
        for (int k = 0; k < 5; k++)
            if (!(fabs((double)found[k] - z[k]) <= 1e-4 * (1 + fabs(z[k]))))
                fail_msg("%s: logit %d is %.8g, expected %.8g", c->spec, k, (double)found[k], z[k]);
        free(conv.a);
        lt_plan_destroy(plan);
        lt_model_destroy(m);
    }
}

// FastClip brings the true operator, padding included, to the target.
static void test_clip(void **state)
{
    (void)state;
    for (int i = 0; i < N_CASES; i++) {
        const shape_case *c = &cases[i];
        lt_model *m = make(c, true, 40 + (uint64_t)i);
        lt_clip_cfg cfg;
        lt_clip_report r;
        double before[2] = {0}, after[2] = {0};
        lt_options_defaults(lt_clip_norm_options, &cfg);
        lt_options_defaults(lt_clip_rule_options, &cfg);
        matrix a = write_out(m, c, NULL);
        two_largest(&a, before);
        cfg.clip_norm = (float)(0.5 * before[0]);
        free(a.a);
        assert_ok(lt_clip_model(m, &cfg, 1, &env, &r));
        a = write_out(m, c, NULL);
        two_largest(&a, after);
        if (!(after[0] <= 0.505 * before[0]) || after[0] < 0.4 * before[0])
            fail_msg("%s: %.6g became %.6g, expected at most half", c->spec, before[0], after[0]);
        free(a.a);
        lt_clip_report_clear(&r);
        lt_model_destroy(m);
    }
}

static void test_errors(void **state)
{
    (void)state;
    lt_model *m = NULL;
    const lt_model_shape shape = {C, H, W, 5};
    assert_fails(LT_E_SHAPE, "single-conv", lt_model_create("single-conv:padding=7", shape, &m));
    assert_fails(LT_E_SHAPE, "does not fit", lt_model_create("single-conv:kernel=9,padding=0", shape, &m));
    assert_fails(LT_E_USAGE, "padding-mode", lt_model_create("single-conv:padding-mode=mirror", shape, &m));
    assert_fails(LT_E_USAGE, "stride", lt_model_create("single-conv:stride=0", shape, &m));
    assert_null(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spectra),
        cmocka_unit_test(test_logits),
        cmocka_unit_test(test_clip),
        cmocka_unit_test(test_errors),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
