// test_spike_measures.c - synaptic operations against a count by hand, the integer neuron, NIR there and back.
#include "lt_test.h"
#include "backend_fixture.h"
#include "lethe/intnet.h"
#include "lethe/spike.h"
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

static lt_backend *backend;

BACKEND_FIXTURE(backend, "auto")

// Two steps of 4x4 frames of two polarities with events at three known places.
static lt_dataset *make_events(void)
{
    enum { C = 4, SIDE = 4 };
    uint8_t x[C * SIDE * SIDE] = {0};
    const int32_t y = 0;
    x[0] = 2;          // step 0, off, corner: two events that reach 2x2 outputs
    x[1 * 16 + 5] = 1; // step 0, on, inside: 3x3 outputs
    x[3 * 16 + 2] = 1; // step 1, on, edge: 2x3 outputs
    lt_dataset *ds;
    assert_ok(lt_dataset_from_arrays(C, SIDE, SIDE, 2, 1, x, &y, 1, x, &y, &ds));
    return ds;
}

static void test_synops(void **state)
{
    (void)state;
    lt_dataset *ds = make_events();
    lt_model *m;
    lt_spike_activity a;
    assert_ok(lt_model_create("spiking-vgg:steps=2,width=1,depth=1,norm=none,dropout=0,readout=current",
                              (lt_model_shape){4, 4, 4, 2}, &m));
    // Weights zero, biases of the first layer 2: each of its 16 neurons fires at every step, those behind it never.
    lt_value_info info;
    assert_ok(lt_graph_value(m->graph, lt_graph_find(m->graph, "features.0.bias"), &info));
    m->params[info.slab_offset] = 2;
    const lt_view view = lt_view_split(ds, LT_TEST);
    const lt_env env = {.backend = backend};
    assert_ok(lt_spike_activity_measure(m, &view, &env, 4, &a));
    assert_int_equal(a.n_layers, 2);
    assert_string_equal(a.layer[0].name, "features.0");
    assert_int_equal(a.layer[0].n_neurons, 16);
    assert_true(a.layer[0].rate == 1 && a.layer[1].rate == 0);
    // Convolution: (2*4 + 9 + 6) outputs of one channel; linear: 32 spikes reach 8 outputs each; the last: none.
    assert_true(a.synops == 23 + 32 * 8);
    assert_true(a.macs == 0);
    assert_true(a.dense_macs == 2 * (16 * 2 * 9 + 16 * 8 + 8 * 2));
    assert_true(fabs(a.energy_pj - 0.9 * a.synops) < 1e-9);
    lt_spike_activity_clear(&a);
    uint8_t *spikes;
    int64_t n = 5;
    assert_ok(lt_spike_raster(m, &view, 0, &env, "features.0", &n, &spikes));
    assert_int_equal(n, 5);
    for (int i = 0; i < 10; i++)
        assert_int_equal(spikes[i], 1);
    free(spikes);
    assert_fails(LT_E_USAGE, "no neurons", lt_spike_raster(m, &view, 0, &env, "conv9", &n, &spikes));
    lt_model_destroy(m);
    assert_ok(lt_model_create("simple-conv:width=2", (lt_model_shape){3, 32, 32, 2}, &m));
    assert_fails(LT_E_USAGE, "spiking network", lt_spike_activity_measure(m, &view, &env, 4, &a));
    lt_model_destroy(m);
    lt_dataset_close(ds);
}

// Integer neuron: rounding up at halves also below zero, saturation, and the spikes of the float neuron when every
// potential is a whole number of units.
static void test_int_neuron(void **state)
{
    (void)state;
    const lt_int_neuron neuron = {.threshold = 10, .decay = LT_INT_DECAY_ONE / 2, .bits = 6};
    int32_t u[3] = {3, -3, -4}, zero[3] = {0, 0, 0};
    uint8_t s[3];
    int64_t saturated;
    lt_int_neuron_run(&neuron, 1, 3, zero, u, s, &saturated);
    assert_int_equal(u[0], 2);  // 1.5 up
    assert_int_equal(u[1], -1); // -1.5 up
    assert_int_equal(u[2], -2);
    assert_int_equal(saturated, 0);
    int32_t big[1] = {100}, low[1] = {-100}, v[1] = {0};
    lt_int_neuron_run(&neuron, 1, 1, big, v, s, &saturated);
    assert_int_equal(v[0], 31);
    assert_int_equal(s[0], 1);
    assert_int_equal(saturated, 1);
    lt_int_neuron_run(&neuron, 1, 1, low, v, s, &saturated);
    assert_int_equal(v[0], -32);
    // Equality does not fire; the reset comes one step late.
    int32_t x[3] = {10, 0, 12}, w[1] = {0};
    uint8_t out[3];
    lt_int_neuron_run(&neuron, 3, 1, x, w, out, NULL);
    assert_int_equal(out[0], 0);
    assert_int_equal(out[2], 1);
    // Against the float neuron in units of 2^-20 of the threshold: the same spikes but where a potential is that close.
    enum { T = 50, N = 20 };
    static int32_t current[T * N], state_u[N];
    static uint8_t spikes[T * N];
    double f[N] = {0};
    uint64_t seed = 1;
    int differ = 0, fired = 0;
    for (int i = 0; i < T * N; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        current[i] = (int32_t)((seed >> 40) % (1 << 21)) - (1 << 19);
    }
    lt_int_neuron_run(&(lt_int_neuron){.threshold = 1 << 20, .decay = LT_INT_DECAY_ONE / 2, .bits = 24}, T, N, current,
                      state_u, spikes, &saturated);
    for (int t = 0; t < T; t++)
        for (int i = 0; i < N; i++) {
            const double theta = 1 << 20;
            f[i] = 0.5 * f[i] + current[t * N + i] - (f[i] > theta ? theta : 0);
            differ += (f[i] > theta) != spikes[t * N + i];
            fired += spikes[t * N + i];
        }
    assert_true(fired > 50 && differ == 0 && saturated == 0);
}

static void test_nir(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to; // to: with batch norm folded
        lt_model_shape shape;
    } net[] = {{"spiking-vgg:steps=3,width=2,depth=4,norm=batch,pool=average,dropout=0",
                "spiking-vgg:steps=3,width=2,depth=4,norm=none,pool=average,dropout=0",
                {6, 8, 8, 3}},
               {"spiking-resnet18:steps=2,width=2", "spiking-resnet18:steps=2,width=2,norm=none", {3, 8, 8, 3}},
               {"spiking-resnet18:steps=2,width=2,neuron=spikingjelly-lif,learn-decay=1",
                "spiking-resnet18:steps=2,width=2,neuron=spikingjelly-lif,norm=none",
                {3, 8, 8, 3}}};
    char path[256];
    snprintf(path, sizeof path, "%s/test_spike_measures_%d.nir", LT_TEST_BINARY_DIR, (int)getpid());
    if (!lt_nir_available())
        skip();
    for (size_t i = 0; i < sizeof net / sizeof *net; i++) {
        lt_model *a, *b;
        assert_ok(lt_model_create(net[i].from, net[i].shape, &a));
        lt_model_init(a, 5);
        for (int64_t k = 0; k < a->n_state; k++)
            a->state[k] = a->state[k] * 1.5f + 0.01f * (float)(k % 7);
        assert_ok(lt_nir_export(a, path));
        assert_ok(lt_nir_import(path, net[i].to, net[i].shape, &b));
        float logits[2][6];
        lt_model *const both[2] = {a, b};
        for (int k = 0; k < 2; k++) {
            lt_plan *plan;
            assert_ok(lt_plan_create(both[k]->graph,
                                     &(lt_plan_spec){.outs = &both[k]->logits,
                                                     .n_outs = 1,
                                                     .grad_of = LT_NONE,
                                                     .seed = LT_NONE,
                                                     .batch = 2,
                                                     .dtype = LT_F32},
                                     backend, &plan));
            assert_ok(lt_plan_bind(plan, both[k]->params, both[k]->state, NULL));
            float *x = lt_plan_buffer(plan, both[k]->x);
            for (int j = 0; j < 2 * net[i].shape.c * 64; j++)
                x[j] = (float)(j * 31 % 17) / (net[i].shape.c > 3 ? 1500.0f : 17.0f);
            assert_ok(lt_plan_run(plan));
            memcpy(logits[k], lt_plan_buffer(plan, both[k]->logits), sizeof logits[k]);
            lt_plan_destroy(plan);
        }
        for (int j = 0; j < 6; j++)
            if (!(fabsf(logits[0][j] - logits[1][j]) < 1e-4f))
                fail_msg("%s: logit %d: %g and %g", net[i].from, j, (double)logits[0][j], (double)logits[1][j]);
        lt_model_destroy(b);
        assert_fails(LT_E_USAGE, "", lt_nir_import(path, "spiking-vgg:nothing=1", net[i].shape, &b));
        assert_fails(LT_E_UNSUPPORTED, "norm=none", lt_nir_import(path, net[i].from, net[i].shape, &b));
        lt_model_destroy(a);
    }
    lt_model *m;
    assert_fails(
        LT_E_SHAPE, "weights",
        lt_nir_import(path, "spiking-resnet18:steps=2,width=4,norm=none,neuron=spikingjelly-lif", net[1].shape, &m));
    assert_fails(LT_E_FORMAT, "", lt_nir_import(path, "spiking-resnet18:steps=2,width=2,norm=none", net[1].shape, &m));
    FILE *f = fopen(path, "w");
    fputs("no HDF5", f);
    fclose(f);
    assert_fails(LT_E_FORMAT, "HDF5", lt_nir_import(path, net[1].to, net[1].shape, &m));
    unlink(path);
    assert_ok(lt_model_create("spiking-vgg:steps=3,width=2,depth=2", net[0].shape, &m));
    assert_fails(LT_E_UNSUPPORTED, "NIR has no node for", lt_nir_export(m, path));
    lt_model_destroy(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_synops),
        cmocka_unit_test(test_int_neuron),
        cmocka_unit_test(test_nir),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
