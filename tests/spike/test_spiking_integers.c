// test_spiking_integers.c - spiking networks of integers: neurons against the traces of the specification, the layer
// norm against its formula, whole networks against their simulation, the float network and the exported C, spike by
// spike.
#include "lt_test.h"
#include "lethe/spike.h"
#include "quant/int_rig.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static uint32_t draw(uint32_t step, int64_t i)
{
    lt_rng rng = lt_rng_at(6, LT_STREAM_TEST, step, (uint64_t)i);
    return lt_rng_u32(&rng);
}

// ---- neurons

// Currents 1.5, 0.4, 1.5, 0.75 at a threshold of 1 and a decay of 1/2, in 65,536ths.
static void neurons_follow_the_traces(void **state)
{
    (void)state;
    static const struct {
        int32_t kind;
        double u[4];
        int s[4];
    } trace[] = {{LT_NEURON_SUBTRACT_DELAYED, {1.5, .15, 1.575, .5375}, {1, 0, 1, 0}},
                 {LT_NEURON_SUBTRACT_BETATHETA, {1.5, .65, 1.825, 1.1625}, {1, 0, 1, 1}},
                 {LT_NEURON_ZERO_IMMEDIATE, {1.5, .4, 1.7, .75}, {1, 0, 1, 0}},
                 {LT_NEURON_ZERO_DELAYED, {1.5, 0, 1.5, 0}, {1, 0, 1, 0}},
                 {LT_NEURON_SJ_LIF, {.75, .575, 1.0375, .375}, {0, 0, 1, 0}},
                 {LT_NEURON_SJ_LIF_SOFT, {.75, .575, 1.0375, .39375}, {0, 0, 1, 0}},
                 {LT_NEURON_SJ_IF, {1.5, .4, 1.9, .75}, {1, 0, 1, 0}},
                 {LT_NEURON_SJ_IF_SOFT, {1.5, .9, 2.4, 2.15}, {1, 0, 1, 1}}};
    static const double current[4] = {1.5, .4, 1.5, .75};
    for (size_t i = 0; i < sizeof trace / sizeof *trace; i++) {
        const lt_int_neuron a = {
            .kind = trace[i].kind, .threshold = 1 << 16, .decay = LT_INT_DECAY_ONE / 2, .bits = 28};
        int32_t u = 0;
        for (int t = 0; t < 4; t++) {
            const int32_t x = (int32_t)lrint(current[t] * 65536);
            uint8_t s = 2;
            lt_int_neuron_run(&a, 1, 1, &x, &u, &s, NULL);
            assert_int_equal(s, trace[i].s[t]);
            assert_true(fabs((double)u / 65536 - trace[i].u[t]) < 1e-4);
        }
    }
}

// A potential of exactly the threshold fires in SpikingJelly's neurons and in no other.
static void threshold_itself(void **state)
{
    (void)state;
    for (int32_t kind = 0; kind < LT_N_NEURONS; kind++) {
        const bool averages = kind == LT_NEURON_SJ_LIF || kind == LT_NEURON_SJ_LIF_SOFT;
        const lt_int_neuron a = {.kind = kind, .threshold = 1000, .decay = LT_INT_DECAY_ONE / 2, .bits = 20};
        int32_t u[3] = {0};
        const int32_t x[3] = {averages ? 1996 : 999, averages ? 2000 : 1000, averages ? 2002 : 1001};
        uint8_t s[3];
        lt_int_neuron_run(&a, 1, 3, x, u, s, NULL);
        assert_int_equal(s[0], 0);
        assert_int_equal(s[1], kind >= LT_NEURON_SJ_LIF);
        assert_int_equal(s[2], 1);
    }
}

// D(v) is the nearest integer to decay v, halves up, below zero too.
static void decay_rounds_to_nearest(void **state)
{
    (void)state;
    static const int32_t decay[] = {0, 1, 32768, 58982, 65535, LT_INT_DECAY_ONE};
    for (size_t k = 0; k < sizeof decay / sizeof *decay; k++)
        for (int32_t v = -2000; v <= 2000; v++) {
            const lt_int_neuron a = {
                .kind = LT_NEURON_SUBTRACT_DELAYED, .threshold = 1 << 20, .decay = decay[k], .bits = 28};
            int32_t u = v;
            const int32_t x = 0;
            uint8_t s;
            lt_int_neuron_run(&a, 1, 1, &x, &u, &s, NULL);
            assert_int_equal(u, (int32_t)floor((double)decay[k] * v / 65536 + 0.5));
        }
}

static void layer_norm_is_its_formula(void **state)
{
    (void)state;
    enum { N = 777 };
    static int32_t x[N], y[N];
    for (uint32_t round = 0; round < 20; round++) {
        const double size = ldexp(1, 4 + (int)(round % 17)), eps = (double)(1 + round * round * 100);
        double mean = 0, variance = 0;
        for (int i = 0; i < N; i++) {
            x[i] = (int32_t)lrint(size * ((double)draw(round, i) / 2147483648.0 - (round % 3 ? 1.0 : 0.2)));
            mean += x[i] / (double)N;
        }
        for (int i = 0; i < N; i++)
            variance += (x[i] - mean) * (x[i] - mean) / N;
        lti_int_layer_norm(x, N, (int64_t)eps, y);
        for (int i = 0; i < N; i++) {
            const double want = (x[i] - mean) / sqrt(variance + eps), unit = 1 / sqrt(variance + eps);
            if (fabs((double)y[i] / 65536 - want) > 0.51 * unit + 1e-3 * fabs(want) + 1e-4)
                fail_msg("round %u, element %d: expected %.6f, found %.6f", round, i, want, (double)y[i] / 65536);
        }
    }
    for (int i = 0; i < N; i++)
        x[i] = -5; // no spread at all
    lti_int_layer_norm(x, N, 1, y);
    for (int i = 0; i < N; i++)
        assert_int_equal(y[i], 0);
    for (int64_t v = 0; v < 5000; v++) {
        const int64_t r = lti_isqrt(v);
        assert_true(r * r <= v && (r + 1) * (r + 1) > v);
    }
    assert_int_equal(lti_isqrt(((int64_t)1 << 58) - 1), (1 << 29) - 1);
}

// ---- networks

typedef struct rig {
    int_rig i;
    int64_t n; // test clips
    const uint8_t *x;
    lt_int_info info;
} rig;

static void vary_parameters(lt_model *m)
{
    lt_value_info info;
    for (lt_val v = 0; v < lt_graph_n_values(m->graph); v++) {
        assert_ok(lt_graph_value(m->graph, v, &info));
        if (info.role != LT_ROLE_PARAM || info.shape.n_dims != 1)
            continue;
        for (int64_t i = 0; i < info.shape.dim[0]; i++) {
            float *p = &m->params[info.slab_offset + i];
            if (strstr(info.name, ".decay"))
                *p = 0.15f;
            else if (strstr(info.name, "step.weight") || strstr(info.name, "norm.weight"))
                *p = 0.7f + (float)(draw(5, i + v) % 1000) / 1000;
            else
                *p += (float)(draw(6, i + v) % 1000) / 2500 - 0.2f;
        }
    }
}

static void open_rig(rig *r, const char *data, const char *spec, const char *method, int bits)
{
    *r = (rig){.x = NULL};
    assert_ok(lt_dataset_open(data, NULL, &r->i.ds));
    assert_ok(lt_backend_create("auto", 1, &r->i.backend));
    r->i.env = (lt_env){.backend = r->i.backend, .plan_flags = LT_PLAN_NO_TUNE};
    assert_ok(
        lt_model_create(spec, (lt_model_shape){r->i.ds->c, r->i.ds->h, r->i.ds->w, r->i.ds->n_classes}, &r->i.model));
    lt_model_init(r->i.model, 3);
    vary_parameters(r->i.model);
    int_rig_quantize(&r->i, method, bits);
    int_rig_finish(&r->i, 8);
    lt_int_net_info(r->i.net, &r->info);
    r->n = r->i.ds->split[LT_TEST].n;
    r->x = r->i.ds->split[LT_TEST].x;
}

#define GLYPHS "moving-glyphs,steps=4,train=16,test=10,side=12"
#define SMALL "moving-glyphs,steps=3,train=16,test=6,side=8"
#define IMAGES "synthetic,train=16,test=6"
static const struct {
    const char *data, *spec, *method;
    int bits;
} cases[] = {
    {GLYPHS, "spiking-vgg:steps=4,width=4,depth=4,threshold=0.4", "msqe", 4},
    {GLYPHS, "spiking-vgg:steps=4,width=4,depth=3,norm=batch,pool=average,neuron=zero-immediate,beta=0.9,readout=rate",
     "lsq", 3},
    {GLYPHS,
     "spiking-vgg:steps=4,width=4,depth=2,norm=none,neuron=spikingjelly-lif,learn-decay=1,threshold=0.1,"
     "readout=current",
     "msqe-levels", 3},
    {SMALL, "spiking-resnet18:steps=3,width=4", "msqe", 4},
    {IMAGES, "spiking-resnet18:steps=3,width=2,norm=tebn,neuron=spikingjelly-if-soft", "ste", 4},
    {GLYPHS, "spiking-vgg:steps=4,width=4,depth=2,norm=batch,neuron=subtract-betatheta,learn-decay=1,threshold=0.3",
     "msqe", 2},
    {GLYPHS, "spiking-vgg:steps=4,width=4,depth=2,norm=tebn,neuron=zero-delayed,threshold=0.3", "msqe", 4},
    {IMAGES, "spiking-vgg:steps=2,width=2,depth=2,neuron=spikingjelly-lif-soft,threshold=0.1", "msqe", 4},
    {"moving-glyphs,steps=1,train=16,test=6,side=8", "spiking-vgg:steps=1,width=4,depth=2,threshold=0.2", "msqe", 4},
};
enum { N_EXPORTED = 5 };

// Bit for bit: logits and the spikes of every layer, in every kernel, and by double arithmetic over the float weights.
static void networks_equal_their_simulation(void **state)
{
    (void)state;
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        rig r;
        open_rig(&r, cases[c].data, cases[c].spec, cases[c].method, cases[c].bits);
        const size_t z_bytes = (size_t)(r.n * r.info.n_classes) * sizeof(int64_t),
                     s_bytes = (size_t)(r.n * r.info.n_neuron_layers) * sizeof(int64_t);
        int64_t *z = malloc(2 * z_bytes), *s = malloc(2 * s_bytes), *z2 = z + r.n * r.info.n_classes,
                *s2 = s + r.n * r.info.n_neuron_layers;
        assert_ok(lt_int_net_spikes(r.i.net, r.x, r.n, 2, NULL, z, s));
        assert_ok(lt_int_net_spikes(r.i.net, r.x, r.n, 1, "c", z2, s2));
        assert_memory_equal(z, z2, z_bytes);
        assert_memory_equal(s, s2, s_bytes);
        assert_ok(lt_int_net_simulate(r.i.net, r.x, r.n, z2, s2));
        assert_memory_equal(z, z2, z_bytes);
        assert_memory_equal(s, s2, s_bytes);
        for (int l = 0; l < r.info.n_neuron_layers; l++) {
            int64_t spikes = 0;
            for (int64_t i = 0; i < r.n; i++)
                spikes += s[i * r.info.n_neuron_layers + l];
            if (spikes == 0)
                fail_msg("%s: layer %d never fires", cases[c].spec, l);
        }
        free(z);
        free(s);
        int_rig_close(&r.i);
    }
}

// The float network with the same weights fires as often, within a few spikes near the threshold.
static void rates_are_those_of_the_float_network(void **state)
{
    (void)state;
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        rig r;
        open_rig(&r, cases[c].data, cases[c].spec, cases[c].method, cases[c].bits);
        int64_t *z = malloc((size_t)(r.n * r.info.n_classes) * sizeof *z),
                *s = malloc((size_t)(r.n * r.info.n_neuron_layers) * sizeof *s);
        lt_spike_activity a;
        const lt_view view = lt_view_split(r.i.ds, LT_TEST);
        assert_ok(lt_int_net_spikes(r.i.net, r.x, r.n, 1, NULL, z, s));
        assert_ok(lt_spike_activity_measure(r.i.model, &view, &r.i.env, 4, &a));
        assert_int_equal(a.n_layers, r.info.n_neuron_layers);
        assert_int_equal(a.steps, r.info.n_steps);
        for (int l = 0; l < a.n_layers; l++) {
            double spikes = 0;
            for (int64_t i = 0; i < r.n; i++)
                spikes += (double)s[i * a.n_layers + l];
            const double cells = (double)r.n * (double)a.steps * (double)a.layer[l].n_neurons, rate = spikes / cells;
            if (fabs(rate - a.layer[l].rate) > 0.1 * a.layer[l].rate + 2 / sqrt(cells))
                fail_msg("%s: %s: rate %.4f of floats, %.4f of integers", cases[c].spec, a.layer[l].name,
                         a.layer[l].rate, rate);
        }
        lt_spike_activity_clear(&a);
        free(z);
        free(s);
        int_rig_close(&r.i);
    }
}

// ---- export

static void write_main(const char *path, const char *header)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fprintf(f,
            "#include \"%s\"\n#include <stdio.h>\nint main(void) { static uint8_t x[LETHE_CHANNELS * LETHE_HEIGHT * "
            "LETHE_WIDTH]; while (fread(x, sizeof x, 1, stdin) == 1) { int64_t z[LETHE_CLASSES]; lethe_logits(x, z); "
            "printf(\"%%d\", lethe_predict(x)); for (int k = 0; k < LETHE_CLASSES; k++) printf(\" %%lld\", (long "
            "long)z[k]); for (int l = 0; l < LETHE_NEURON_LAYERS; l++) printf(\" %%lu\", (unsigned "
            "long)lethe_spikes[l]); putchar('\\n'); } return 0; }\n",
            header);
    fclose(f);
}

// The exported file compiles without warnings; on every test clip it predicts the same and fires as often.
static void check_export(const rig *r, const char *name)
{
    char source[300], main_c[300], clips[300], program[300], header[64], command[2600];
    const int n_layers = r->info.n_neuron_layers, n_classes = r->info.n_classes;
    snprintf(source, sizeof source, "%s/%s.c", LT_TEST_BINARY_DIR, name);
    snprintf(main_c, sizeof main_c, "%s/%s_main.c", LT_TEST_BINARY_DIR, name);
    snprintf(clips, sizeof clips, "%s/%s.bin", LT_TEST_BINARY_DIR, name);
    snprintf(program, sizeof program, "%s/%s.run", LT_TEST_BINARY_DIR, name);
    snprintf(header, sizeof header, "%.50s.h", name);
    assert_ok(lt_int_net_export_c(r->i.net, source));
    write_main(main_c, header);
    FILE *f = fopen(clips, "wb");
    assert_non_null(f);
    const size_t per = (size_t)(r->i.ds->c * r->i.ds->h * r->i.ds->w);
    assert_int_equal(fwrite(r->x, per, (size_t)r->n, f), r->n);
    fclose(f);
    snprintf(command, sizeof command, "cc -std=c11 -O1 -Wall -Wextra -Werror -o %s %s %s && %s < %s > %s.out", program,
             source, main_c, program, clips, program);
    assert_int_equal(system(command), 0);
    int64_t *z = malloc((size_t)(r->n * n_classes) * sizeof *z), *s = malloc((size_t)(r->n * n_layers) * sizeof *s);
    assert_ok(lt_int_net_spikes(r->i.net, r->x, r->n, 1, NULL, z, s));
    snprintf(command, sizeof command, "%s.out", program);
    f = fopen(command, "r");
    assert_non_null(f);
    for (int64_t i = 0; i < r->n; i++) {
        int best = 0, found = -1;
        long long v = 0;
        for (int k = 1; k < n_classes; k++)
            best = z[i * n_classes + k] > z[i * n_classes + best] ? k : best;
        assert_int_equal(fscanf(f, "%d", &found), 1);
        assert_int_equal(found, best);
        for (int k = 0; k < n_classes; k++) {
            assert_int_equal(fscanf(f, "%lld", &v), 1);
            assert_int_equal(v, z[i * n_classes + k]);
        }
        for (int l = 0; l < n_layers; l++) {
            assert_int_equal(fscanf(f, "%lld", &v), 1);
            assert_int_equal(v, s[i * n_layers + l]);
        }
    }
    fclose(f);
    free(z);
    free(s);
}

static void exported_c_fires_alike(void **state)
{
    (void)state;
    if (system("command -v cc >/dev/null 2>&1") != 0)
        skip();
    for (size_t c = 0; c < N_EXPORTED; c++) {
        rig r;
        char name[64];
        open_rig(&r, cases[c].data, cases[c].spec, cases[c].method, cases[c].bits);
        snprintf(name, sizeof name, "exported_spiking_%zu", c);
        check_export(&r, name);
        int_rig_close(&r.i);
    }
}

// Recordings of a sensor, where they are at hand.
static void recordings_fire_alike(void **state)
{
    (void)state;
    char data[1024];
    struct stat st;
    const char *root = getenv("LETHE_DATA");
    snprintf(data, sizeof data, "%s/events/n-mnist", root ? root : "");
    if (!root || stat(data, &st) != 0 || system("command -v cc >/dev/null 2>&1") != 0)
        skip();
    rig r;
    snprintf(data, sizeof data, "n-mnist:%s/events/n-mnist,steps=5", root);
    open_rig(&r, data, "spiking-vgg:steps=5,width=4,depth=4", "msqe", 4);
    check_export(&r, "exported_nmnist");
    enum { SIMULATED = 2 };
    int64_t *z = malloc((size_t)(r.n * r.info.n_classes) * sizeof *z), simulated[SIMULATED * 10];
    assert_ok(lt_int_net_run(r.i.net, r.x, r.n, 1, NULL, z));
    assert_ok(lt_int_net_simulate(r.i.net, r.x, SIMULATED, simulated, NULL));
    assert_memory_equal(z, simulated, sizeof simulated);
    free(z);
    int_rig_close(&r.i);
}

// Weights, biases and threshold twice as large are the same network: the step is part of the threshold.
static void scale_folds_into_the_threshold(void **state)
{
    (void)state;
    rig a, b;
    open_rig(&a, GLYPHS, "spiking-vgg:steps=4,width=4,depth=2,norm=none,threshold=1", "msqe", 4);
    open_rig(&b, GLYPHS, "spiking-vgg:steps=4,width=4,depth=2,norm=none,threshold=2", "msqe", 4);
    lt_int_net_destroy(b.i.net);
    lt_quant_destroy(b.i.quant);
    for (int64_t i = 0; i < b.i.model->n_params; i++)
        b.i.model->params[i] = 2 * a.i.model->params[i];
    lt_quant_cfg cfg = a.i.quant->cfg;
    cfg.method = "msqe";
    assert_ok(lti_quant_create(&cfg, b.i.model, &b.i.quant));
    for (int k = 0; k < b.i.quant->n_grids; k++)
        lti_grid_set_step(&b.i.quant->grid[k], 2 * a.i.quant->grid[k].step);
    lti_q_deploy_all(b.i.quant, NULL, b.i.model->params, b.i.model->params, b.i.quant->code);
    assert_ok(lt_int_net_create(b.i.model, b.i.quant, b.i.ds, &b.i.env, &b.i.net));
    int64_t *z = malloc((size_t)(2 * a.n * a.info.n_classes) * sizeof *z),
            *s = malloc((size_t)(2 * a.n * a.info.n_neuron_layers) * sizeof *s);
    assert_ok(lt_int_net_spikes(a.i.net, a.x, a.n, 1, NULL, z, s));
    assert_ok(
        lt_int_net_spikes(b.i.net, a.x, a.n, 1, NULL, z + a.n * a.info.n_classes, s + a.n * a.info.n_neuron_layers));
    assert_memory_equal(s, s + a.n * a.info.n_neuron_layers, (size_t)(a.n * a.info.n_neuron_layers) * sizeof *s);
    assert_memory_equal(z, z + a.n * a.info.n_classes, (size_t)(a.n * a.info.n_classes) * sizeof *z);
    free(z);
    free(s);
    int_rig_close(&a.i);
    int_rig_close(&b.i);
}

// What has no integers says so; potentials are part of the memory.
static void refusals_and_sizes(void **state)
{
    (void)state;
    rig r;
    open_rig(&r, GLYPHS, "spiking-vgg:steps=4,width=4,depth=2,dropout=0", "msqe", 4);
    int64_t neurons = 4 * 12 * 12 + 4 * 6 * 6 + 32 + 10;
    assert_int_equal(r.info.state_bytes, 4 * neurons);
    assert_true(r.info.activation_bytes > r.info.state_bytes);
    assert_int_equal(r.info.n_neuron_layers, 4);
    assert_fails(LT_E_UNSUPPORTED, "potential", lt_int_net_export_onnx(r.i.net, "never.onnx"));
    int_rig_close(&r.i);
    open_rig(&r, GLYPHS, "spiking-vgg:steps=4,width=4,depth=2", "msqe", 4);
    lt_model *m = NULL;
    lt_int_net *net = NULL;
    lt_quant *q = NULL;
    lt_dataset *ds = NULL;
    assert_ok(lt_dataset_open(IMAGES, NULL, &ds));
    assert_ok(lt_model_create("spiking-vgg:steps=2,width=2,depth=2,coding=rate",
                              (lt_model_shape){ds->c, ds->h, ds->w, ds->n_classes}, &m));
    lt_model_init(m, 1);
    lt_quant_cfg cfg = r.i.quant->cfg;
    cfg.method = "msqe";
    assert_ok(lti_quant_create(&cfg, m, &q));
    assert_fails(LT_E_UNSUPPORTED, "rate_code", lt_int_net_create(m, q, ds, &r.i.env, &net));
    lt_quant_destroy(q);
    lt_model_destroy(m);
    lt_dataset_close(ds);
    int_rig_close(&r.i);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(neurons_follow_the_traces),       cmocka_unit_test(threshold_itself),
        cmocka_unit_test(decay_rounds_to_nearest),         cmocka_unit_test(layer_norm_is_its_formula),
        cmocka_unit_test(networks_equal_their_simulation), cmocka_unit_test(rates_are_those_of_the_float_network),
        cmocka_unit_test(exported_c_fires_alike),          cmocka_unit_test(recordings_fire_alike),
        cmocka_unit_test(scale_folds_into_the_threshold),  cmocka_unit_test(refusals_and_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
