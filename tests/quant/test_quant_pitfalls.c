// test_quant_pitfalls.c - known ways to get quantization wrong that no other test of this folder looks at: folding,
// the order of the last steps, rounding of halves, scales of learned steps, reference columns, threads, gates, layers
// that stay float, floating point in exported code.
#include "train/train_test.h"

#include "quant/intnet_impl.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#ifdef _OPENMP
#include <omp.h>
#endif

static float draw(uint32_t step, int64_t i)
{
    lt_rng rng = lt_rng_at(12, LT_STREAM_TEST, step, (uint64_t)i);
    return (float)lt_rng_normal(&rng);
}

static void default_options(lt_quant_cfg *cfg, lt_train_cfg *recipe)
{
    lt_options_defaults(lt_quant_options, cfg);
    lt_options_defaults(lt_quant_chip_options, &cfg->device);
    lt_options_defaults(lt_train_options, recipe);
    recipe->batch = 8;
    recipe->epochs = 2;
    cfg->bn_batches = 2;
}

// A small quantized network and its integers.
static void open_net(fixture *f, lt_quant **q, lt_int_net **net)
{
    lt_quant_cfg cfg;
    lt_train_cfg recipe;
    t_open(f, "ref", 1);
    default_options(&cfg, &recipe);
    assert_ok(lti_quant_create(&cfg, f->model, q));
    lti_q_deploy_all(*q, NULL, f->model->params, f->model->params, (*q)->code);
    assert_ok(lt_bn_reestimate(f->model, f->ds, &f->env, &recipe, 2, 1));
    assert_ok(lt_int_net_create(f->model, *q, f->ds, &f->env, net));
}

// ---- folding

// The layers that an integer network gives 8 bits, on those 8 bits in the float model too.
static void round_float_layers(lt_model *m, const lt_quant *q)
{
    for (int i = 0; lt_quant_float_tensor(q, i); i++) {
        lt_value_info info;
        assert_ok(lt_graph_value(m->graph, lt_graph_find(m->graph, lt_quant_float_tensor(q, i)), &info));
        int64_t per = 1;
        for (int d = 1; d < info.shape.n_dims; d++)
            per *= info.shape.dim[d];
        for (int64_t k = 0; k < info.shape.dim[0]; k++) {
            float *w = m->params + info.slab_offset + k * per, most = 0;
            for (int64_t j = 0; j < per; j++)
                most = fmaxf(most, fabsf(w[j]));
            for (int64_t j = 0; j < per; j++)
                w[j] = (float)((double)most / 127 * nearbyint((double)w[j] / ((double)most / 127)));
        }
    }
}

// 1,000 images through the integer network, with batch norm folded, and through the float network, without: logits
// differ by the 8 bits of the first activation, which stays float in training, and classes only where two logits are
// closer than that.
static void folded_is_unfolded(void **state)
{
    (void)state;
    enum { N = 1000, SIDE = 8, C = 3, K = 4 };
    static uint8_t x[N * C * SIDE * SIDE];
    static int32_t y[N];
    for (size_t i = 0; i < sizeof x; i++)
        x[i] = (uint8_t)fminf(255, fmaxf(0, 128 + 60 * draw(1, (int64_t)i)));
    lt_dataset *ds;
    lt_backend *backend;
    lt_model *m;
    lt_quant *q;
    lt_int_net *net;
    lt_quant_cfg cfg;
    lt_train_cfg recipe;
    lt_eval_result e;
    assert_ok(lt_dataset_from_arrays(C, SIDE, SIDE, K, N, x, y, N, x, y, &ds));
    assert_ok(lt_backend_create("auto", 1, &backend));
    const lt_env env = {.backend = backend, .plan_flags = LT_PLAN_NO_TUNE};
    assert_ok(lt_model_create("simple-conv:width=8,act-bits=4", (lt_model_shape){C, SIDE, SIDE, K}, &m));
    lt_model_init(m, 3);
    lt_value_info info;
    for (lt_val v = 0; v < lt_graph_n_values(m->graph); v++) {
        assert_ok(lt_graph_value(m->graph, v, &info));
        if (strncmp(info.name, "act.", 4) == 0)
            m->params[info.slab_offset] = 0.15f;
    }
    default_options(&cfg, &recipe);
    recipe.batch = 100;
    cfg.method = "msqe";
    cfg.bits = 4;
    assert_ok(lti_quant_create(&cfg, m, &q));
    lti_q_deploy_all(q, NULL, m->params, m->params, q->code);
    round_float_layers(m, q);
    assert_ok(lt_bn_reestimate(m, ds, &env, &recipe, 2, 1));
    assert_ok(lt_int_net_create(m, q, ds, &env, &net));
    static int64_t z[N * K];
    static float f[N * K];
    const lt_view view = lt_view_split(ds, LT_TEST);
    assert_ok(lt_int_net_run(net, x, N, 1, NULL, z));
    assert_ok(lt_evaluate(m, &view, &env, 100, f, NULL, &e));
    const double unit = ldexp(1, -net->layer[net->n_layers - 1].shift);
    int differ = 0;
    double spread = 0, worst = 0;
    for (int i = 0; i < N; i++) {
        int a = 0, b = 0;
        double error = 0;
        for (int k = 0; k < K; k++) {
            a = f[i * K + k] > f[i * K + a] ? k : a;
            b = z[i * K + k] > z[i * K + b] ? k : b;
            error = fmax(error, fabs((double)f[i * K + k] - unit * (double)z[i * K + k]));
            spread = fmax(spread, fabs((double)f[i * K + k]));
        }
        differ += a != b;
        assert_true(a == b || (double)f[i * K + a] - (double)f[i * K + b] <= 2 * error);
        worst = fmax(worst, error);
    }
    if (differ > 2 || worst > 0.1 * spread)
        fail_msg("%d of %d classes differ, logits of up to %g by up to %g", differ, N, spread, worst);
    lt_int_net_destroy(net);
    lt_quant_destroy(q);
    lt_model_destroy(m);
    lt_backend_destroy(backend);
    lt_dataset_close(ds);
}

// The folded multiply and shift of every layer and channel over the whole range of its accumulator against the real
// factors in extended precision: the same code, but for one next to it within a millionth of a half.
static void requantization_is_exact(void **state)
{
    (void)state;
    fixture f;
    lt_quant *q;
    lt_int_net *net;
    int64_t n_checked = 0;
    open_net(&f, &q, &net);
    for (int i = 0; i < net->n_layers; i++) {
        const lti_int_layer *l = &net->layer[i];
        if (l->kind != LTI_INT_AFFINE || l->n_terms != 1 || !l->term[0].weights)
            continue;
        const lti_int_weights *w = l->term[0].weights;
        const int64_t bound = (int64_t)w->largest * net->tensor[l->term[0].source].largest * w->r * w->s * w->c;
        const long double unit = net->tensor[l->target].scale, top = (1 << l->bits) - 1;
        const int64_t every = bound > 20000 ? bound / 20000 : 1;
        for (int64_t k = 0; k < l->k; k++)
            for (int64_t acc = -bound; acc <= bound; acc += every, n_checked++) {
                const int64_t sum = l->term[0].mul[k] * acc + l->add[k];
                uint8_t code;
                lti_int_kernel_c.finish(&sum, 1, l->shift, (1 << l->bits) - 1, &code);
                const long double real = ((long double)l->term[0].real[k] * acc + l->real_add[k]) / unit + 0.5L;
                long double want = floorl(real);
                want = want < 0 ? 0 : want > top ? top : want;
                if (fabsl(code - want) > 0 && fabsl(real - roundl(real)) > 1e-6L * (1 + fabsl(real)))
                    fail_msg("%s, channel %lld, accumulator %lld: code %d, expected %.0Lf", l->name, (long long)k,
                             (long long)acc, code, want);
            }
    }
    assert_true(n_checked > 50000);
    lt_int_net_destroy(net);
    lt_quant_destroy(q);
    t_close(&f);
}

// ---- the last steps

// Batch norm is taken anew after the weights are what is deployed: doing it again changes nothing, and the loss on
// training images falls.
static void batch_norm_comes_last(void **state)
{
    (void)state;
    fixture f;
    lt_quant_cfg cfg;
    lt_train_cfg recipe;
    lt_quant *q;
    lt_quant_result r;
    lt_model *again, *stale;
    lt_eval_result before, after;
    t_open(&f, "ref", 1);
    assert_ok(lt_train_run(&f.job, &f.env, NULL, false, NULL));
    default_options(&cfg, &recipe);
    cfg.bits = 2;
    assert_ok(lt_model_dup(f.model, &stale));
    const lt_quant_in in = {.model = f.model, .ds = f.ds, .env = &f.env, .seed = 1, .train = &recipe};
    assert_ok(lt_quant_ptq(&cfg, LT_PTQ_MINMAX, 100, &in, &q, &r));
    assert_ok(lt_model_dup(f.model, &again));
    assert_ok(lt_bn_reestimate(again, f.ds, &f.env, &recipe, cfg.bn_batches, 1));
    assert_memory_equal(again->state, f.model->state, (size_t)f.model->n_state * sizeof(float));
    memcpy(stale->params, f.model->params, (size_t)f.model->n_params * sizeof(float)); // with the float statistics
    const lt_view train = lt_view_split(f.ds, LT_TRAIN);
    assert_ok(lt_evaluate(stale, &train, &f.env, 22, NULL, NULL, &before));
    assert_ok(lt_evaluate(f.model, &train, &f.env, 22, NULL, NULL, &after));
    assert_true(after.loss < before.loss);
    lt_model_destroy(again);
    lt_model_destroy(stale);
    lt_quant_destroy(q);
    t_close(&f);
}

// ---- halves

// Every midpoint between two codes goes up, in the trainer's activations and in every kernel of the engine.
static void halves_of_activations_go_up(void **state)
{
    (void)state;
    enum { TOP = 15 };
    for (int onednn = 0; onednn < 2; onednn++) {
        lt_graph *g;
        lt_backend *backend;
        lt_plan *plan;
        float step[1] = {0.25f};
        if (lt_backend_create(onednn ? "onednn" : "ref", 1, &backend) != LT_OK) {
            lt_error_clear();
            continue;
        }
        assert_ok(lt_graph_create(&g));
        const lt_val x = lt_input(g, "x", LT_F32, LT_SHAPE(LT_BATCH, TOP, 1, 1));
        const lt_val y = lt_act_quant(g, x, lt_param(g, "step", LT_SHAPE(1)), 4, LT_ACT_RULE_LSQ);
        const lt_plan_spec spec = {
            .outs = &y, .n_outs = 1, .grad_of = LT_NONE, .seed = LT_NONE, .batch = 1, .dtype = LT_F32};
        assert_ok(lt_plan_create(g, &spec, backend, &plan));
        assert_ok(lt_plan_bind(plan, step, NULL, NULL));
        for (int c = 0; c < TOP; c++)
            ((float *)lt_plan_buffer(plan, x))[c] = 0.25f * ((float)c + 0.5f);
        assert_ok(lt_plan_run(plan));
        for (int c = 0; c < TOP; c++)
            assert_true(((const float *)lt_plan_buffer(plan, y))[c] == 0.25f * (float)(c + 1));
        lt_plan_destroy(plan);
        lt_graph_destroy(g);
        lt_backend_destroy(backend);
    }
    const lti_int_kernel *const kernel[] = {&lti_int_kernel_c, lti_int_kernel_best()};
    for (int k = 0; k < 2; k++)
        for (int shift = 1; shift < 40; shift += 13) {
            int64_t sum[2 * TOP];
            uint8_t code[2 * TOP];
            const int64_t half = (int64_t)1 << (shift - 1);
            for (int c = 0; c < TOP; c++) { // c and a half, and one less; the layer's offset holds half a unit
                sum[2 * c] = ((int64_t)c << shift) + half + half;
                sum[2 * c + 1] = sum[2 * c] - 1;
            }
            kernel[k]->finish(sum, 2 * (int64_t)TOP, shift, TOP, code);
            for (int c = 0; c < TOP; c++) {
                assert_int_equal(code[2 * c], c + 1);
                assert_int_equal(code[2 * c + 1], c);
            }
        }
}

// ---- learned steps

// Relative change of the step over that of the weights: within a factor of 10 for layers of 64 and of 16,384 weights.
static void steps_move_like_weights(void **state)
{
    (void)state;
    static const char *const methods[] = {"lsq", "seq"};
    static const int sizes[] = {64, 1024, 16384};
    enum { MOST = 16384, ROUNDS = 12 };
    static float w[MOST], used[MOST], grad[MOST];
    for (int k = 0; k < 2; k++) {
        double least = INFINITY, most = 0;
        for (int s = 0; s < 3; s++) {
            const int n = sizes[s];
            double ratio = 0;
            for (uint32_t round = 0; round < ROUNDS; round++) {
                lti_grid g;
                lti_qtensor t = {.n = n, .per = n, .n_grids = 1, .bits = 4};
                lt_quant q = {.tensor = &t, .n_tensors = 1, .grid = &g, .n_grids = 1, .n_weights = n, .n_own = 1};
                assert_ok(lti_quantizer_find(methods[k], &q.quantizer));
                double own[LT_QUANT_MAX_BITS + 1] = {0}, up = 0, size = 0;
                for (int i = 0; i < n; i++) {
                    w[i] = 0.05f * draw(20 + round, i);
                    grad[i] = draw(50 + round, i);
                    up += (double)grad[i] * (double)grad[i];
                    size += (double)w[i] * (double)w[i];
                }
                lti_grid_init(&g, q.quantizer->grid, 4, lti_step_from_mean(w, n, 4, q.quantizer->grid));
                lti_qpiece p = {.q = &q, .t = &t, .g = &g, .n = n, .w = w, .used = used, .own = own, .grad = grad};
                q.quantizer->forward(&p);
                p.value = used;
                q.quantizer->backward(&p);
                ratio += pow(own[0] / (double)g.step, 2) / (up / size) / ROUNDS;
            }
            least = fmin(least, sqrt(ratio));
            most = fmax(most, sqrt(ratio));
        }
        if (!(most < 10 * least))
            fail_msg("%s: relative moves of steps from %g to %g of those of the weights", methods[k], least, most);
    }
}

// ---- chips

static void open_layer(lti_qtensor *t, lti_grid *g, lt_quant *q, int n, int bits)
{
    *t = (lti_qtensor){.n = n, .per = n, .n_grids = 1, .bits = bits, .faulty = true};
    const double z = ((1 << bits) - 1) / 2.0;
    lti_grid_init(g, LTI_GRID_MIDRISE, bits, (float)(2 * sqrt(2 / acos(-1.0)) / sqrt(z)));
    *q = (lt_quant){
        .tensor = t, .n_tensors = 1, .grid = g, .n_grids = 1, .n_weights = n, .n_all_weights = n, .code = NULL};
    q->cfg.bits = bits;
    assert_ok(lti_quantizer_find("msqe", &q->quantizer));
}

// The mean error of stuck-at-0 cells is -p z s; one reference column takes it away.
static void reference_column_takes_the_shift(void **state)
{
    (void)state;
    enum { N = 60000 };
    static float w[N], used[N];
    lti_qtensor t;
    lti_grid g;
    lt_quant q;
    open_layer(&t, &g, &q, N, 4);
    for (int i = 0; i < N; i++)
        w[i] = draw(2, i);
    for (int with = 0; with < 2; with++) {
        lt_quant_chip chip;
        lti_maps maps;
        lt_options_defaults(lt_quant_chip_options, &chip);
        chip.fault_rate = 0.2f;
        chip.mapping = LT_MAP_BITMAP;
        chip.reference_column = with;
        assert_ok(lti_maps_draw(&q, &chip, &maps));
        lti_q_deploy_all(&q, &maps, w, used, NULL);
        double mean = 0, square = 0;
        for (int i = 0; i < N; i++) {
            const double d = (double)used[i] - (double)g.level[lti_grid_nearest(&g, w[i])];
            mean += d / N;
            square += d * d / N;
        }
        assert_true(fabs(mean - (with ? 0 : -0.874)) < 0.02); // of the table by encoding
        assert_true(fabs(sqrt(square) - (with ? 1.533 : 1.765)) < 0.02);
        lti_maps_clear(&maps);
    }
}

static void maps_do_not_depend_on_threads(void **state)
{
    (void)state;
#ifdef _OPENMP
    enum { N = 20000 };
    lti_qtensor t;
    lti_grid g;
    lt_quant q;
    lti_maps one, two;
    lt_quant_chip chip;
    open_layer(&t, &g, &q, N, 4);
    lt_options_defaults(lt_quant_chip_options, &chip);
    chip.fault_rate = chip.variability = 0.2f;
    const int before = omp_get_max_threads();
    omp_set_num_threads(1);
    assert_ok(lti_maps_draw(&q, &chip, &one));
    omp_set_num_threads(2);
    assert_ok(lti_maps_draw(&q, &chip, &two));
    omp_set_num_threads(before);
    assert_memory_equal(one.state, two.state, N * sizeof *one.state);
    assert_memory_equal(one.eps, two.eps, 4 * N * sizeof *one.eps);
    lti_maps_clear(&one);
    lti_maps_clear(&two);
#else
    skip();
#endif
}

static void touched_weights(void **state)
{
    (void)state;
    lt_quant_chip chip;
    lt_options_defaults(lt_quant_chip_options, &chip);
    chip.fault_rate = 0.2f;
    assert_true(fabs(lt_chip_touched_share(&chip, 4) - 0.5904) < 1e-6);
    chip.encoding = LT_ENC_DIFFERENTIAL; // six cells
    assert_true(fabs(lt_chip_touched_share(&chip, 4) - (1 - pow(0.8, 6))) < 1e-6);
}

// ---- gates

typedef struct heard {
    int residual, oscillation, schedule;
} heard;

static void listen(void *self, const lt_event *e)
{
    heard *h = self;
    h->residual += e->kind == LT_EV_WARNING && strcmp(e->name, "quant.residual") == 0;
    h->oscillation += e->kind == LT_EV_WARNING && strcmp(e->name, "quant.oscillation") == 0;
    h->schedule += e->kind == LT_EV_WARNING && strcmp(e->name, "quant.schedule") == 0;
}

static heard warnings_of(const char *method, float lr, float tau1)
{
    fixture f;
    lt_quant_cfg cfg;
    lt_train_cfg recipe;
    lt_quant *q;
    lt_quant_result r;
    heard h = {0};
    t_open(&f, "ref", 1);
    default_options(&cfg, &recipe);
    assert_ok(lt_events_create(&f.env.events));
    assert_ok(lt_events_add(f.env.events, (lt_sink){listen, &h}));
    cfg.method = method;
    cfg.snap_every = 0;
    cfg.tau1 = tau1;
    recipe.lr = lr;
    recipe.epochs = 4;
    const lt_quant_in in = {.model = f.model, .ds = f.ds, .env = &f.env, .seed = 1, .train = &recipe};
    assert_ok(lt_quant_train(&cfg, &in, &q, &r));
    lt_quant_destroy(q);
    lt_events_destroy(f.env.events);
    t_close(&f);
    return h;
}

// A penalty that has not converged, codes that oscillate, and schedules that cannot work are said to be so.
static void gates_warn(void **state)
{
    (void)state;
    const heard weak = warnings_of("msqe", 0.01f, 50), wild = warnings_of("ste", 2.0f, 0.002f);
    assert_true(weak.residual == 1 && weak.schedule >= 1 && weak.oscillation == 0);
    assert_true(wild.oscillation == 1 && wild.residual == 0);
}

// ---- what stays float

static void every_layer_is_listed(void **state)
{
    (void)state;
    static const int32_t ends[] = {LT_ENDS_FLOAT, LT_ENDS_8BIT, LT_ENDS_SAME};
    lt_model *m;
    assert_ok(lt_model_create("resnet18:width=4", (lt_model_shape){3, 8, 8, 4}, &m));
    lt_model_init(m, 1);
    for (int k = 0; k < 3; k++)
        for (int shortcuts = 0; shortcuts < 2; shortcuts++) {
            lt_quant_cfg cfg;
            lt_train_cfg recipe;
            lt_quant *q;
            int n = 0;
            default_options(&cfg, &recipe);
            cfg.ends = ends[k];
            cfg.shortcuts = shortcuts;
            assert_ok(lti_quant_create(&cfg, m, &q));
            while (lt_quant_float_tensor(q, n))
                n++;
            assert_int_equal(n, (k == 0 ? 2 : 0) + (shortcuts ? 0 : 3));
            assert_int_equal(n + lt_quant_n_tensors(q), 21);
            if (k == 0)
                assert_string_equal(lt_quant_float_tensor(q, 0), "conv1.weight");
            lt_quant_destroy(q);
        }
    lt_model_destroy(m);
}

// The exported file has no floating point at all.
static void exported_code_is_integers(void **state)
{
    (void)state;
    fixture f;
    lt_quant *q;
    lt_int_net *net;
    char path[256], *text = NULL;
    size_t n = 0;
    open_net(&f, &q, &net);
    snprintf(path, sizeof path, "%s/exported_integers.c", LT_TEST_BINARY_DIR);
    assert_ok(lt_int_net_export_c(net, path));
    assert_ok(lt_read_file(path, 1 << 24, &text, &n));
    assert_true(strstr(text, "int lethe_predict(") && !strstr(text, "float") && !strstr(text, "double"));
    assert_true(!strstr(text, "malloc") && !strstr(text, "#include <math.h>"));
    free(text);
    lt_int_net_destroy(net);
    lt_quant_destroy(q);
    t_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(folded_is_unfolded),
        cmocka_unit_test(requantization_is_exact),
        cmocka_unit_test(batch_norm_comes_last),
        cmocka_unit_test(halves_of_activations_go_up),
        cmocka_unit_test(steps_move_like_weights),
        cmocka_unit_test(reference_column_takes_the_shift),
        cmocka_unit_test(maps_do_not_depend_on_threads),
        cmocka_unit_test(touched_weights),
        cmocka_unit_test(gates_warn),
        cmocka_unit_test(every_layer_is_listed),
        cmocka_unit_test(exported_code_is_integers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
