// test_cuda_graph_full.c - the operation graphs of cuDNN for the convolutions of ResNet-18, on cards described by their
// properties: which have engines, and which of those compile, needs no card. What an engine computes does.
//
// Engines that cuDNN compiles at run time ask for the driver library; the toolkit's stand-in for it (no function of it
// works) is enough to learn whether a graph is supported. Without either such graphs are left out, and said to be.
#include "backend/cuda/plugin/graph.h"
#include "backend/cuda/plugin/plugin.h"
#include "lt_test.h"
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

int ltc_fail(int code, const char *fmt, ...)
{
    (void)fmt;
    return code;
}

#define CARD(version, cores, shared, cache, name)                                                                      \
    "{\"deviceVer\":" version ",\"driverVer\":13000,\"cudaDeviceId\":0,\"totalGlobalMem\":80000000000,"                \
    "\"maxGridSize\":[2147483647,65535,65535],\"maxBlockSize\":[1024,1024,64],\"regsPerBlock\":65536,"                 \
    "\"multiProcessorCount\":" cores ",\"warpSize\":32,\"maxSharedMemoryPerBlock\":49152,"                             \
    "\"maxSharedMemoryPerBlockOptin\":" shared ",\"reservedSharedMemoryPerBlock\":1024,\"maxRegistersPerSM\":65536,"   \
    "\"maxCtasPerSM\":32,\"maxThreadsPerBlock\":1024,\"maxThreadsPerSM\":2048,\"pciDeviceId\":0,\"isTccDriver\":0,"    \
    "\"supportCoopLaunch\":1,\"smClockRateKHz\":1700000,\"memClockRateKHz\":1600000,\"l2CacheSize\":" cache ","        \
    "\"deviceName\":\"" name "\"}"

static const struct card {
    const char *name, *properties;
} cards[] = {{"sm_80", CARD("800", "108", "166912", "41943040", "A100")},
             {"sm_90", CARD("900", "132", "232448", "52428800", "H100")}};

typedef struct layer {
    int32_t c, k, size, kernel, stride;
} layer;

// Kinds of layers of ResNet-18 for images of 32 x 32.
static const layer layers[] = {{3, 64, 32, 3, 1},   {64, 64, 32, 3, 1},  {64, 128, 32, 3, 2}, {64, 128, 32, 1, 2},
                               {256, 256, 8, 3, 1}, {512, 512, 4, 3, 1}, {16, 16, 32, 3, 1},  {3, 16, 32, 3, 1}};
static const char *const precision[] = {"f32", "tf32", "bf16"}, *const pass_name[] = {"fwd", "dx", "dw"};
enum { N_CARDS = sizeof cards / sizeof *cards, N_LAYERS = sizeof layers / sizeof *layers };

static ltc_conv_shape shape_of(const layer *l, ltc_pass pass, int p, int32_t n)
{
    const int32_t pad = l->kernel / 2, out = (l->size + 2 * pad - l->kernel) / l->stride + 1;
    return (ltc_conv_shape){.pass = pass,
                            .n = n,
                            .c = l->c,
                            .h = l->size,
                            .w = l->size,
                            .k = l->k,
                            .r = l->kernel,
                            .s = l->kernel,
                            .oh = out,
                            .ow = out,
                            .stride = l->stride,
                            .pad = pad,
                            .dilation = 1,
                            .tf32 = p == 1,
                            .bf16 = p == 2};
}

static bool properties_suffice(void)
{
    const bool new_enough = cudnnGetVersion() >= 91100;
    if (!new_enough)
        print_message("cuDNN %zu cannot be asked about a GPU that is missing (9.11 or newer can)\n", cudnnGetVersion());
    return new_enough;
}

static ltc_graph *graph_of(const struct card *card, const ltc_conv_shape *s, bool finish)
{
    const ltc_target target = {.properties = card->properties};
    ltc_graph *g = NULL;
    const int code = ltc_graph_make(&target, s, finish, &g);
    if (code != LTC_OK && code != LTC_UNSUPPORTED)
        fail_msg("%s: code %d", card->name, code);
    return g;
}

// Compiles plans until one does. Which engines do is up to the library; that one does is what a user needs.
static bool compiles(ltc_graph *g)
{
    size_t bytes = 0, again = 1;
    const char *name = NULL;
    for (int i = 0; i < ltc_graph_n_plans(g); i++)
        if (ltc_graph_plan(g, i, &bytes, &name) == LTC_OK) {
            assert_non_null(name);
            assert_int_equal(ltc_graph_plan(g, i, &again, &name), LTC_OK); // kept
            assert_true(bytes == again);
            return true;
        }
    return false;
}

static void every_convolution_has_an_engine(void **state)
{
    (void)state;
    if (!properties_suffice())
        skip();
    for (int k = 0; k < N_CARDS; k++)
        for (int p = 0; p < 3; p++)
            for (int pass = LTC_CONV; pass <= LTC_CONV_DW; pass++)
                for (int i = 0; i < N_LAYERS; i++) {
                    const ltc_conv_shape s = shape_of(&layers[i], (ltc_pass)pass, p, 128);
                    ltc_graph *g = graph_of(&cards[k], &s, false);
                    if (!g || !compiles(g))
                        fail_msg("%s %s %s %d->%d: no engine", cards[k].name, precision[p], pass_name[pass], s.c, s.k);
                    ltc_graph_free(g);
                }
}

static void last_batches_have_an_engine(void **state)
{
    (void)state;
    if (!properties_suffice())
        skip();
    for (int32_t n = 1; n <= 1024; n *= 32)
        for (int pass = LTC_CONV; pass <= LTC_CONV_DW; pass++) {
            const ltc_conv_shape s = shape_of(&layers[1], (ltc_pass)pass, 2, n);
            ltc_graph *g = graph_of(&cards[1], &s, false);
            assert_non_null(g);
            assert_true(compiles(g));
            ltc_graph_free(g);
        }
}

// Of the engines that may round floats to tf32, those that do are left out for f32; what follows is left out if asked.
static void floats_are_not_rounded(void **state)
{
    (void)state;
    if (!properties_suffice())
        skip();
    for (int k = 0; k < N_CARDS; k++)
        for (int pass = LTC_CONV; pass <= LTC_CONV_DW; pass++) {
            ltc_conv_shape exact = shape_of(&layers[1], (ltc_pass)pass, 0, 128);
            const ltc_conv_shape rounded = shape_of(&layers[1], (ltc_pass)pass, 1, 128);
            exact.bias = exact.add = exact.relu = pass == LTC_CONV;
            ltc_graph *a = graph_of(&cards[k], &exact, false), *b = graph_of(&cards[k], &rounded, false);
            assert_non_null(a);
            assert_non_null(b);
            assert_true(ltc_graph_n_plans(a) < ltc_graph_n_plans(b));
            assert_int_equal(ltc_graph_n_operations(a), 1);
            assert_false(ltc_graph_takes(a, LTC_BIAS) || ltc_graph_takes(a, LTC_ADDED));
            ltc_graph_free(a);
            ltc_graph_free(b);
        }
}

// What fuse_late.c makes of networks: conv + bias [+ residual] [ReLU], gradient [+ another] masked.
static bool follow(ltc_conv_shape *s, int kind)
{
    if (s->pass == LTC_CONV) {
        s->bias = true;
        s->add = kind & 1;
        s->relu = kind & 2;
    } else {
        s->add = kind & 1;
        s->relu = true;
    }
    return s->pass == LTC_CONV ? kind < 4 : kind < 2;
}

static void what_follows_is_taken_along(void **state)
{
    (void)state;
    void *driver = dlopen("libcuda.so.1", RTLD_LAZY);
    if (!properties_suffice() || !driver) {
        print_message("no driver library, nor the toolkit's stand-in: engines compiled at run time cannot be asked\n");
        skip();
    }
    for (int k = 0; k < N_CARDS; k++)
        for (int p = 1; p < 3; p++) // what conv.c asks for without timing
            for (int pass = LTC_CONV; pass <= LTC_CONV_DX; pass++)
                for (int i = 1; i <= 5; i++)
                    for (int kind = 0; kind < 4; kind++) {
                        ltc_conv_shape s = shape_of(&layers[i], (ltc_pass)pass, p, 128);
                        if (!follow(&s, kind))
                            continue;
                        ltc_graph *g = graph_of(&cards[k], &s, true);
                        if (!g)
                            fail_msg("%s %s %s %d->%d, kind %d: not taken", cards[k].name, precision[p],
                                     pass_name[pass], s.c, s.k, kind);
                        assert_true(ltc_graph_takes(g, LTC_BIAS) == s.bias);
                        assert_true(ltc_graph_takes(g, LTC_ADDED) == s.add);
                        assert_true(ltc_graph_takes(g, LTC_MASK) == (s.relu && pass == LTC_CONV_DX));
                        assert_int_equal(ltc_graph_n_operations(g), 1 + s.bias + s.add + s.relu);
                        ltc_graph_free(g);
                    }
    dlclose(driver);
}

// Nonsense is an error of the library, passed on; nothing is made.
static void impossible_convolutions_are_refused(void **state)
{
    (void)state;
    if (!properties_suffice())
        skip();
    ltc_conv_shape s = shape_of(&layers[1], LTC_CONV, 2, 128);
    s.oh = 7; // not what the geometry gives
    const ltc_target target = {.properties = cards[1].properties}, broken = {.properties = "{\"deviceVer\": "};
    ltc_graph *g = NULL;
    assert_int_not_equal(ltc_graph_make(&target, &s, false, &g), LTC_OK);
    assert_null(g);
    s = shape_of(&layers[1], LTC_CONV, 2, 128);
    assert_int_not_equal(ltc_graph_make(&broken, &s, false, &g), LTC_OK);
    assert_null(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_convolution_has_an_engine),
        cmocka_unit_test(last_batches_have_an_engine),
        cmocka_unit_test(floats_are_not_rounded),
        cmocka_unit_test(what_follows_is_taken_along),
        cmocka_unit_test(impossible_convolutions_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
