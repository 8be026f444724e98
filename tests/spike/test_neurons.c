// test_neurons.c - steps of time: neurons against snnTorch and SpikingJelly (tests/golden/make_spiking.py), the golden
// traces and equality rules of the specification, independence of samples, layer norm, dropout.
#include "lt_test.h"
#include "backend_fixture.h"
#include "lethe/plan.h"
#include "lethe/tensorfile.h"
#include <math.h>
#include <stdlib.h>

static lt_backend *backend;

BACKEND_FIXTURE(backend, "ref")

typedef struct net { // one neuron layer over (N*T,F)
    lt_graph *g;
    lt_plan *plan;
    lt_val x, s, u, seed, p;
    float param, grad;
} net;

static void open_net(net *n, int64_t rows, int64_t features, int32_t steps, lt_neuron_attr attr, bool learn)
{
    *n = (net){.p = LT_NONE};
    assert_ok(lt_graph_create(&n->g));
    n->x = lt_input(n->g, "x", LT_F32, LT_SHAPE(rows, features));
    n->seed = lt_input(n->g, "ds", LT_F32, LT_SHAPE(rows, features));
    if (learn)
        n->p = lt_param(n->g, "decay", LT_SHAPE(1));
    n->s = lt_lif(n->g, n->x, n->p, steps, attr, &n->u);
    const lt_val outs[] = {n->s, n->u}, wrt[] = {n->x};
    const lt_plan_spec spec = {.outs = outs,
                               .n_outs = 2,
                               .grad_of = n->s,
                               .seed = n->seed,
                               .wrt = wrt,
                               .n_wrt = 1,
                               .wrt_params = learn,
                               .batch = 1,
                               .train = true,
                               .dtype = LT_F32};
    assert_ok(lt_plan_create(n->g, &spec, backend, &n->plan));
    if (learn)
        assert_ok(lt_plan_bind(n->plan, &n->param, NULL, &n->grad));
}

static void close_net(net *n)
{
    lt_plan_destroy(n->plan);
    lt_graph_destroy(n->g);
}

// ---- golden sequences

static int32_t find_name(const char *(*name)(int32_t), const char *wanted, size_t n)
{
    for (int32_t i = 0; name(i); i++)
        if (strlen(name(i)) == n && !strncmp(name(i), wanted, n))
            return i;
    fail_msg("no neuron or surrogate %s", wanted);
    return -1;
}

static const float *golden(const lt_tensor_file *file, const char *key, const char *what)
{
    char name[192];
    snprintf(name, sizeof name, "%s/%s", key, what);
    const lt_tensor *t = lt_tensor_file_find(file, name);
    return t ? t->data : NULL;
}

static void assert_near(const char *key, const char *what, const float *got, const float *want, int n)
{
    assert_non_null(want);
    for (int i = 0; i < n; i++)
        if (!(fabsf(got[i] - want[i]) <= 1e-5f * (1 + fabsf(want[i]))))
            fail_msg("%s: %s[%d]: expected %.8g, found %.8g", key, what, i, (double)want[i], (double)got[i]);
}

static void run_golden(const lt_tensor_file *file, const char *key, int64_t rows, int64_t features, int32_t steps)
{
    const char *surrogate = strchr(key, '/') + 1, *how = strchr(surrogate, '/') + 1;
    const bool learn = !strcmp(how, "learn");
    const int n_all = (int)(rows * features);
    lt_neuron_attr attr = {.kind = find_name(lt_neuron_name, key, (size_t)(surrogate - 1 - key)),
                           .surrogate = find_name(lt_surrogate_name, surrogate, (size_t)(how - 1 - surrogate)),
                           .threshold = 1,
                           .decay = 0.5f};
    net n;
    open_net(&n, rows, features, steps, attr, learn);
    memcpy(lt_plan_buffer(n.plan, n.x), golden(file, key, "x"), (size_t)n_all * sizeof(float));
    memcpy(lt_plan_buffer(n.plan, n.seed), golden(file, key, "ds"), (size_t)n_all * sizeof(float));
    assert_ok(lt_plan_run(n.plan));
    const float *s = lt_plan_buffer(n.plan, n.s);
    float *u = lt_plan_buffer(n.plan, n.u);
    assert_near(key, "s", s, golden(file, key, "s"), n_all);
    assert_near(key, "dx", lt_plan_grad(n.plan, 0), golden(file, key, "dx"), n_all);
    if (learn)
        assert_near(key, "dp", &n.grad, golden(file, key, "dp"), 1);
    const bool soft = strstr(key, "soft") != NULL;
    if (golden(file, key, "v")) // SpikingJelly shows the potential after the reset only
        for (int i = 0; i < n_all; i++)
            u[i] = soft ? u[i] - s[i] : u[i] * (1 - s[i]);
    assert_near(key, "u", u, golden(file, key, golden(file, key, "v") ? "v" : "u"), n_all);
    close_net(&n);
}

static void test_golden(void **state)
{
    (void)state;
    lt_tensor_file *file = NULL;
    assert_ok(lt_tensor_file_open(LT_TEST_SOURCE_DIR "/tests/golden/spiking.safetensors", &file));
    const int64_t n = atoi(lt_tensor_file_meta(file, "N")), steps = atoi(lt_tensor_file_meta(file, "T"));
    const int64_t features = atoi(lt_tensor_file_meta(file, "F"));
    int cases = 0;
    for (int i = 0; i < lt_tensor_file_count(file); i++) {
        const char *name = lt_tensor_file_at(file, i)->name;
        const size_t len = strlen(name);
        char key[128];
        if (len < 3 || strcmp(name + len - 3, "/dx") != 0)
            continue;
        snprintf(key, sizeof key, "%.*s", (int)(len - 3), name);
        run_golden(file, key, n * steps, features, (int32_t)steps);
        cases++;
    }
    assert_int_equal(cases, 28);
    lt_tensor_file_close(file);
}

// ---- traces of the specification: beta 0.5, threshold 1, currents 1.5, 0.4, 1.5, 0.75

static void test_traces(void **state)
{
    (void)state;
    static const struct {
        int32_t kind;
        float u[4];
        int s[4];
    } trace[] = {{LT_NEURON_SUBTRACT_DELAYED, {1.5f, .15f, 1.575f, .5375f}, {1, 0, 1, 0}},
                 {LT_NEURON_SUBTRACT_BETATHETA, {1.5f, .65f, 1.825f, 1.1625f}, {1, 0, 1, 1}},
                 {LT_NEURON_ZERO_IMMEDIATE, {1.5f, .4f, 1.7f, .75f}, {1, 0, 1, 0}},
                 {LT_NEURON_ZERO_DELAYED, {1.5f, 0, 1.5f, 0}, {1, 0, 1, 0}},
                 {LT_NEURON_SJ_LIF, {.75f, .575f, 1.0375f, .375f}, {0, 0, 1, 0}}};
    static const float current[4] = {1.5f, .4f, 1.5f, .75f};
    for (size_t i = 0; i < sizeof trace / sizeof *trace; i++) {
        net n;
        open_net(&n, 4, 1, 4, (lt_neuron_attr){.kind = trace[i].kind, .threshold = 1, .decay = 0.5f}, false);
        memcpy(lt_plan_buffer(n.plan, n.x), current, sizeof current);
        assert_ok(lt_plan_run(n.plan));
        const float *u = lt_plan_buffer(n.plan, n.u), *s = lt_plan_buffer(n.plan, n.s);
        for (int t = 0; t < 4; t++) {
            assert_true(fabsf(u[t] - trace[i].u[t]) < 1e-6f);
            assert_int_equal((int)s[t], trace[i].s[t]);
        }
        close_net(&n);
    }
}

// A potential of exactly the threshold fires in SpikingJelly's neurons and in no other.
static void test_equality(void **state)
{
    (void)state;
    for (int32_t kind = 0; kind < LT_N_NEURONS; kind++) {
        const bool averages = kind == LT_NEURON_SJ_LIF || kind == LT_NEURON_SJ_LIF_SOFT;
        net n;
        open_net(&n, 1, 1, 1, (lt_neuron_attr){.kind = kind, .threshold = 1, .decay = 0.5f}, false);
        *(float *)lt_plan_buffer(n.plan, n.x) = averages ? 2 : 1;
        assert_ok(lt_plan_run(n.plan));
        assert_true(*(float *)lt_plan_buffer(n.plan, n.s) == (kind >= LT_NEURON_SJ_LIF ? 1.0f : 0.0f));
        close_net(&n);
    }
}

// The surrogate gradient of the published recipe: 1 where the potential is the threshold, a half at 1 / pi from it.
static void test_surrogate_peak(void **state)
{
    (void)state;
    const double pi = acos(-1.0);
    const float x[] = {1, (float)(1 + 1 / pi), (float)(1 - 1 / pi)}, want[] = {1, 0.5f, 0.5f};
    net n;
    open_net(&n, 1, 3, 1, (lt_neuron_attr){.surrogate = LT_SURROGATE_ATAN, .threshold = 1, .decay = 0.5f}, false);
    for (int i = 0; i < 3; i++) {
        ((float *)lt_plan_buffer(n.plan, n.x))[i] = x[i];
        ((float *)lt_plan_buffer(n.plan, n.seed))[i] = 1;
    }
    assert_ok(lt_plan_run(n.plan));
    for (int i = 0; i < 3; i++)
        assert_true(fabsf(((const float *)lt_plan_grad(n.plan, 0))[i] - want[i]) < 1e-5f);
    close_net(&n);
}

// State does not run from one sample into the next: a sample has the same spikes in both places.
static void test_samples_apart(void **state)
{
    (void)state;
    enum { T = 6, F = 5 };
    net n;
    open_net(&n, 2 * T, F, T, (lt_neuron_attr){.threshold = 1, .decay = 0.9f}, false);
    float *x = lt_plan_buffer(n.plan, n.x);
    for (int i = 0; i < T * F; i++)
        x[i] = x[T * F + i] = 0.1f * (float)(i % 11);
    assert_ok(lt_plan_run(n.plan));
    const float *s = lt_plan_buffer(n.plan, n.s);
    float sum = 0;
    for (int i = 0; i < T * F; i++) {
        assert_true(s[i] == s[T * F + i]);
        sum += s[i];
    }
    assert_true(sum > 0);
    close_net(&n);
}

// Rows of a batched value: N*T in a plan of N samples, and steps that do not divide them are refused.
static void test_rows(void **state)
{
    (void)state;
    lt_graph *g;
    lt_value_info info;
    assert_ok(lt_graph_create(&g));
    const lt_val x = lt_input(g, "x", LT_F32, LT_SHAPE(LT_BATCH, 6, 2, 2)), rows = lt_split_steps(g, x, 3);
    assert_ok(lt_graph_value(g, rows, &info));
    assert_int_equal(info.shape.dim[0], 3 * LT_BATCH);
    assert_int_equal(info.shape.dim[1], 2);
    const lt_val s = lt_lif(g, rows, LT_NONE, 3, (lt_neuron_attr){.threshold = 1, .decay = 0.5f}, NULL);
    const lt_val y = lt_sum_steps(g, s, 3, 1);
    assert_ok(lt_graph_value(g, y, &info));
    assert_int_equal(info.shape.dim[0], LT_BATCH);
    lt_plan *plan;
    assert_ok(lt_plan_create(
        g, &(lt_plan_spec){.outs = &y, .n_outs = 1, .grad_of = LT_NONE, .seed = LT_NONE, .batch = 4, .dtype = LT_F32},
        backend, &plan));
    lt_plan_destroy(plan);
    assert_int_equal(lt_lif(g, rows, LT_NONE, 2, (lt_neuron_attr){.threshold = 1, .decay = 0.5f}, NULL), LT_NONE);
    assert_fails(LT_E_SHAPE, "whole number of samples", lt_graph_status(g));
    lt_graph_destroy(g);
}

// Dropout: the share that is dropped, other masks in other runs, nothing in evaluation, and the gradient's mask.
static void test_dropout(void **state)
{
    (void)state;
    enum { N = 4000 };
    lt_graph *g;
    float counter = 0;
    assert_ok(lt_graph_create(&g));
    const lt_val x = lt_input(g, "x", LT_F32, LT_SHAPE(1, N)), seed = lt_input(g, "dy", LT_F32, LT_SHAPE(1, N));
    const lt_val y = lt_dropout(g, x, lt_state(g, "counter", LT_SHAPE(1)), 0.25f, 3);
    lt_plan_spec spec = {.outs = &y,
                         .n_outs = 1,
                         .grad_of = y,
                         .seed = seed,
                         .wrt = &x,
                         .n_wrt = 1,
                         .batch = 1,
                         .train = true,
                         .dtype = LT_F32};
    lt_plan *train, *eval;
    assert_ok(lt_plan_create(g, &spec, backend, &train));
    spec.train = false;
    assert_ok(lt_plan_create(g, &spec, backend, &eval));
    assert_ok(lt_plan_bind(train, NULL, &counter, NULL));
    assert_ok(lt_plan_bind(eval, NULL, &counter, NULL));
    int dropped[2] = {0, 0}, differ = 0;
    float first[N];
    for (int run = 0; run < 2; run++) {
        for (int i = 0; i < N; i++)
            ((float *)lt_plan_buffer(train, x))[i] = ((float *)lt_plan_buffer(train, seed))[i] = 1;
        assert_ok(lt_plan_run(train));
        const float *out = lt_plan_buffer(train, y), *dx = lt_plan_grad(train, 0);
        for (int i = 0; i < N; i++) {
            assert_true(out[i] == dx[i]);
            dropped[run] += out[i] == 0;
            differ += run && out[i] != first[i];
            first[i] = out[i];
        }
        assert_in_range(dropped[run], N / 4 - 120, N / 4 + 120);
    }
    assert_true(differ > N / 8);
    assert_true(counter == 2);
    ((float *)lt_plan_buffer(eval, x))[5] = 7;
    assert_ok(lt_plan_run(eval));
    assert_true(((float *)lt_plan_buffer(eval, y))[5] == 7);
    lt_plan_destroy(train);
    lt_plan_destroy(eval);
    lt_graph_destroy(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),         cmocka_unit_test(test_traces),        cmocka_unit_test(test_equality),
        cmocka_unit_test(test_surrogate_peak), cmocka_unit_test(test_samples_apart), cmocka_unit_test(test_rows),
        cmocka_unit_test(test_dropout),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
