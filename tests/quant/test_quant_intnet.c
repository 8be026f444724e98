// test_quant_intnet.c - packing, matrix products, the integer network against its simulation, and its C export.
#include "lt_test.h"

#include "quant/int_rig.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N_IMAGES = 12, SIDE = 16 };

static uint32_t draw(uint32_t step, int64_t i)
{
    lt_rng rng = lt_rng_at(4, LT_STREAM_TEST, step, (uint64_t)i);
    return lt_rng_u32(&rng);
}

static void packing_round_trips(void **state)
{
    (void)state;
    for (int bits = 1; bits <= 8; bits++)
        for (int n = 1; n <= 65; n++) {
            uint8_t code[65], back[65], packed[66];
            memset(packed, 0xa5, sizeof packed);
            for (int i = 0; i < n; i++)
                code[i] = (uint8_t)(draw((uint32_t)bits, n * 65 + i) & ((1u << bits) - 1));
            lti_int_pack(code, n, bits, packed);
            assert_int_equal(packed[lti_packed_bytes(n, bits)], 0xa5); // nothing behind the end
            lti_int_unpack(packed, n, bits, back);
            assert_memory_equal(code, back, (size_t)n);
        }
    const uint8_t code[] = {1, 2, 3, 0, 1};
    uint8_t packed[4];
    lti_int_pack(code, 5, 2, packed); // element 0 in the low bits
    assert_int_equal(packed[0], 1 | 2 << 2 | 3 << 4);
    lti_int_pack(code, 3, 4, packed); // as ONNX INT4: low nibble first
    assert_int_equal(packed[0], 0x21);
    assert_int_equal(packed[1], 0x03);
}

// Every kernel of this machine against plain sums, at the extremes that would saturate 16 bits, for all tails.
static void products_are_exact(void **state)
{
    (void)state;
    static const struct {
        int largest_w, largest_a;
    } range[] = {{15, 255}, {7, 255}, {3, 255}, {15, 15}, {3, 3}, {127, 255}};
    const lti_int_kernel *kernels[] = {&lti_int_kernel_c, lti_int_kernel_best(), &lti_int_kernel_avx2};
#if defined(__x86_64__) && defined(__GNUC__)
    const bool has_avx2 = __builtin_cpu_supports("avx2");
#else
    const bool has_avx2 = false;
#endif
    for (size_t r = 0; r < sizeof range / sizeof *range; r++)
        for (int used = 1; used <= 130; used += used < 66 ? 1 : 16) {
            enum { ROWS = 13, K = 7 };
            const int64_t kp = (used + 3) / 4 * 4;
            uint8_t a[ROWS * 192] = {0};
            int8_t w[K * 192] = {0}; // 192: longest row
            int8_t laid[LTI_INT_LANES * 192];
            int32_t acc[ROWS * K];
            for (int i = 0; i < ROWS; i++)
                for (int j = 0; j < used; j++)
                    a[i * kp + j] =
                        (uint8_t)(i == 0 ? range[r].largest_a
                                         : (int)(draw(9, i * 1000 + j) % (unsigned)(range[r].largest_a + 1)));
            for (int i = 0; i < K; i++)
                for (int j = 0; j < used; j++)
                    w[i * kp + j] =
                        (int8_t)(i == 0   ? range[r].largest_w
                                 : i == 1 ? -range[r].largest_w
                                          : (int)(draw(10, i * 1000 + j) % (unsigned)(2 * range[r].largest_w + 1)) -
                                                range[r].largest_w);
            lti_int_layout(w, K, kp, laid);
            const int pair = 2 * range[r].largest_w * range[r].largest_a;
            const int inner = pair <= 32767 ? (32767 / pair < 64 ? 32767 / pair : 64) : 0;
            for (int k = 0; k < 3; k++) {
                if (k == 2 && !has_avx2)
                    continue;
                kernels[k]->gemm(a, ROWS, laid, K, kp, inner, acc);
                for (int i = 0; i < ROWS; i++)
                    for (int j = 0; j < K; j++) {
                        int64_t want = 0;
                        for (int q = 0; q < used; q++)
                            want += (int64_t)a[i * kp + q] * w[j * kp + q];
                        if (acc[i * K + j] != want)
                            fail_msg("%s, %d x %d, %d long: expected %lld, found %d", kernels[k]->name,
                                     range[r].largest_w, range[r].largest_a, used, (long long)want, acc[i * K + j]);
                    }
            }
        }
}

typedef struct rig {
    int_rig i;
    uint8_t *x;
} rig;

// A quantized model with batch norm statistics that mean something.
static void open_rig(rig *r, const char *spec, const char *method, int bits)
{
    static uint8_t x[N_IMAGES * 3 * SIDE * SIDE];
    static int32_t y[N_IMAGES];
    *r = (rig){.x = x};
    for (int i = 0; i < N_IMAGES * 3 * SIDE * SIDE; i++)
        x[i] = (uint8_t)draw(1, i);
    for (int i = 0; i < N_IMAGES; i++)
        y[i] = i % 4;
    for (int i = 0; i < 3 * SIDE * SIDE; i++) { // all-black and all-white images
        x[i] = 0;
        x[3 * SIDE * SIDE + i] = 255;
    }
    assert_ok(lt_dataset_from_arrays(3, SIDE, SIDE, 4, N_IMAGES, x, y, N_IMAGES, x, y, &r->i.ds));
    assert_ok(lt_backend_create("ref", 1, &r->i.backend));
    r->i.env = (lt_env){.backend = r->i.backend};
    assert_ok(lt_model_create(spec, (lt_model_shape){3, SIDE, SIDE, 4}, &r->i.model));
    lt_model_init(r->i.model, 3);
    for (int64_t i = 0; i < r->i.model->n_params; i++)
        if (r->i.model->params[i] == 1.0f) // gains of batch norm (and steps of activations), some of them negative
            r->i.model->params[i] = (float)(draw(5, i) % 1000) / 700 - (draw(6, i) % 8 == 0 ? 0.9f : -0.2f);
    lt_value_info info;
    for (lt_val v = 0; v < lt_graph_n_values(r->i.model->graph); v++) {
        assert_ok(lt_graph_value(r->i.model->graph, v, &info));
        if (strncmp(info.name, "act.", 4) == 0)
            r->i.model->params[info.slab_offset] =
                strstr(spec, "act-bits=8") ? (strstr(spec, "pact") ? 4.0f : 0.015f) : 0.3f;
    }
    int_rig_quantize(&r->i, method, bits);
    if (r->i.quant->quantizer->grid == LTI_GRID_MULTIPLIERS)
        for (int k = 0; k < r->i.quant->n_grids; k++) {
            float gain[LT_QUANT_MAX_BITS + 1];
            for (int b = 0; b <= bits; b++)
                gain[b] = r->i.quant->grid[k].gain[b] * (1 + 0.1f * (float)(draw(7, k * 10 + b) % 5));
            lti_grid_set_gains(&r->i.quant->grid[k], gain);
        }
    int_rig_finish(&r->i, N_IMAGES);
}

static const struct {
    const char *spec, *method;
    int bits;
} cases[] = {
    {"resnet18:width=4", "msqe", 4},
    {"resnet18:width=4,act-bits=4", "msqe", 2},
    {"resnet18:width=4,proj-half=1,act-bits=3,mean=0.49+0.48+0.44,std=0.2+0.2+0.2", "lsq", 3},
    {"simple-conv:width=8,act-bits=2,act-rule=pact", "msqe-levels", 3},
    {"resnet18-imagenet:width=4", "ste", 4},
};

// Bit for bit: the integers of every kernel, and what double arithmetic over the float weights gives.
static void equals_simulation(void **state)
{
    (void)state;
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        rig r;
        open_rig(&r, cases[c].spec, cases[c].method, cases[c].bits);
        int64_t fast[N_IMAGES * 4], plain[N_IMAGES * 4], avx2[N_IMAGES * 4], simulated[N_IMAGES * 4];
        assert_ok(lt_int_net_run(r.i.net, r.x, N_IMAGES, 2, NULL, fast));
        assert_ok(lt_int_net_run(r.i.net, r.x, N_IMAGES, 1, "c", plain));
        assert_ok(lt_int_net_run(r.i.net, r.x, N_IMAGES, 1, "avx2", avx2));
        assert_ok(lt_int_net_simulate(r.i.net, r.x, N_IMAGES, simulated, NULL));
        assert_memory_equal(fast, plain, sizeof fast);
        assert_memory_equal(avx2, plain, sizeof fast);
        assert_memory_equal(simulated, plain, sizeof fast);
        int_rig_close(&r.i);
    }
}

// The unfolded float network with rounded activations: the same classes, logits close.
static void agrees_with_the_float_network(void **state)
{
    (void)state;
    static const struct {
        const char *spec, *method;
        int bits;
    } fine[] = {
        {"resnet18:width=4", "msqe", 4}, // 8 bits of activations everywhere: what is left is their rounding
        {"resnet18:width=4,proj-half=1,act-bits=8,mean=0.49+0.48+0.44,std=0.2+0.2+0.2", "lsq", 3},
        {"simple-conv:width=8,act-bits=8,act-rule=pact", "msqe-levels", 3},
    };
    for (size_t c = 0; c < sizeof fine / sizeof *fine; c++) {
        rig r;
        open_rig(&r, fine[c].spec, fine[c].method, fine[c].bits);
        int64_t z[N_IMAGES * 4];
        float want[N_IMAGES * 4];
        lt_eval_result e;
        const lt_view view = lt_view_split(r.i.ds, LT_TEST);
        assert_ok(lt_evaluate(r.i.model, &view, &r.i.env, N_IMAGES, want, NULL, &e));
        assert_ok(lt_int_net_run(r.i.net, r.x, N_IMAGES, 1, NULL, z));
        const double unit = ldexp(1, -r.i.net->layer[r.i.net->n_layers - 1].shift);
        double spread = 0, error = 0;
        int differ = 0;
        for (int i = 0; i < N_IMAGES; i++) {
            int a = 0, b = 0;
            for (int k = 0; k < 4; k++) {
                spread = fmax(spread, fabs((double)want[i * 4 + k]));
                error = fmax(error, fabs((double)want[i * 4 + k] - unit * (double)z[i * 4 + k]));
                a = want[i * 4 + k] > want[i * 4 + a] ? k : a;
                b = z[i * 4 + k] > z[i * 4 + b] ? k : b;
            }
            differ += a != b;
        }
        if (error > 0.2 * spread || differ > 1)
            fail_msg("%s: logits up to %g, off by %g, %d of %d classes differ", fine[c].spec, spread, error, differ,
                     N_IMAGES);
        int_rig_close(&r.i);
    }
}

// The exported file compiles without warnings and computes the same integers.
static void exported_c_computes_the_same(void **state)
{
    (void)state;
    if (system("command -v cc >/dev/null 2>&1") != 0)
        skip();
    for (size_t c = 0; c < 4; c++) {
        rig r;
        char source[256], command[2400], program[256];
        open_rig(&r, cases[c].spec, cases[c].method, cases[c].bits);
        snprintf(source, sizeof source, "%s/exported_%zu.c", LT_TEST_BINARY_DIR, c);
        snprintf(program, sizeof program, "%s/exported_%zu.run", LT_TEST_BINARY_DIR, c);
        assert_ok(lt_int_net_export_c(r.i.net, source));
        char main_c[300], images[300];
        snprintf(main_c, sizeof main_c, "%s/exported_%zu_main.c", LT_TEST_BINARY_DIR, c);
        snprintf(images, sizeof images, "%s/exported_%zu.bin", LT_TEST_BINARY_DIR, c);
        FILE *f = fopen(main_c, "w");
        assert_non_null(f);
        fprintf(f,
                "#include \"exported_%zu.h\"\n#include <stdio.h>\nint main(void) { static uint8_t x[LETHE_CHANNELS * "
                "LETHE_HEIGHT * LETHE_WIDTH]; while (fread(x, sizeof x, 1, stdin) == 1) { int64_t z[LETHE_CLASSES]; "
                "lethe_logits(x, z); printf(\"%%d\", lethe_predict(x)); for (int k = 0; k < LETHE_CLASSES; k++) "
                "printf(\" %%lld\", (long long)z[k]); putchar('\\n'); } return 0; }\n",
                c);
        fclose(f);
        f = fopen(images, "wb");
        assert_non_null(f);
        assert_int_equal(fwrite(r.x, 3 * SIDE * SIDE, N_IMAGES, f), N_IMAGES);
        fclose(f);
        snprintf(command, sizeof command, "cc -std=c11 -O1 -Wall -Wextra -Werror -o %s %s %s && %s < %s > %s.out",
                 program, source, main_c, program, images, program);
        assert_int_equal(system(command), 0);
        int64_t z[N_IMAGES * 4];
        assert_ok(lt_int_net_run(r.i.net, r.x, N_IMAGES, 1, NULL, z));
        snprintf(command, sizeof command, "%s.out", program);
        f = fopen(command, "r");
        assert_non_null(f);
        for (int i = 0; i < N_IMAGES; i++) {
            int best = 0, found = -1;
            for (int k = 1; k < 4; k++)
                best = z[i * 4 + k] > z[i * 4 + best] ? k : best;
            assert_int_equal(fscanf(f, "%d", &found), 1);
            assert_int_equal(found, best);
            for (int k = 0; k < 4; k++) {
                long long v = 0;
                assert_int_equal(fscanf(f, "%lld", &v), 1);
                assert_int_equal(v, z[i * 4 + k]);
            }
        }
        fclose(f);
        int_rig_close(&r.i);
    }
}

// Packed size = ceil(n N / 8) for the quantized tensors, and less than an eighth of the float model for 2 bits.
static void sizes_are_those_of_the_codes(void **state)
{
    (void)state;
    rig r;
    lt_int_info info;
    open_rig(&r, "resnet18:width=4,act-bits=4", "msqe", 2);
    lt_int_net_info(r.i.net, &info);
    int64_t want = 0;
    for (int j = 0; j < r.i.quant->n_tensors; j++)
        want += (2 * r.i.quant->tensor[j].n + 7) / 8;
    want += 4 * 3 * 9 + 4 * 32 + (4 * 8 + 8 * 16 + 16 * 32); // stem, linear layer and projections in 8 bits
    assert_int_equal(info.weight_bytes, want);
    assert_true(info.weight_bytes < info.float_bytes / 8);
    assert_true(info.activation_bytes < 4 * 16 * 16 * 4 + 4096);
    int_rig_close(&r.i);
}

// Not computed as if its taps were neighbours.
static void dilation_is_refused(void **state)
{
    (void)state;
    int_rig r = {0};
    assert_ok(lt_backend_create("ref", 1, &r.backend));
    r.env = (lt_env){.backend = r.backend};
    assert_ok(lt_dataset_open("synthetic,train-limit=20", NULL, &r.ds));
    assert_ok(lt_model_create("single-conv:width=2,padding=2,dilation=2,padding-mode=zeros",
                              (lt_model_shape){r.ds->c, r.ds->h, r.ds->w, r.ds->n_classes}, &r.model));
    lt_model_init(r.model, 1);
    lt_quant_cfg cfg;
    lt_options_defaults(lt_quant_options, &cfg);
    lt_options_defaults(lt_quant_chip_options, &cfg.device);
    cfg.ends = LT_ENDS_SAME;
    assert_ok(lti_quant_create(&cfg, r.model, &r.quant));
    assert_fails(LT_E_UNSUPPORTED, "dilation of 2", lt_int_net_create(r.model, r.quant, r.ds, &r.env, &r.net));
    int_rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packing_round_trips),
        cmocka_unit_test(products_are_exact),
        cmocka_unit_test(equals_simulation),
        cmocka_unit_test(agrees_with_the_float_network),
        cmocka_unit_test(exported_c_computes_the_same),
        cmocka_unit_test(sizes_are_those_of_the_codes),
        cmocka_unit_test(dilation_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
