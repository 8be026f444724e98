// test_unlearn_golden.c - saliency, importances, Fisher noise, WoodFisher, distillation and boundary labels against
// PyTorch (golden/make_unlearn_golden.py).
#include "golden_arrays.h"
#include "method_test.h"
#include "unlearn/boundary.h"
#include "unlearn/importance.h"
#include "unlearn/recipe.h"
#include "model/model_impl.h"

enum { N_FORGET = 10, N_RETAIN = 20, N = N_FORGET + N_RETAIN, CLASSES = 4, SIDE = 8 };

typedef struct golden {
    lt_tensor_file *file;
    lt_dataset *ds;
    lt_model *model, *teacher;
    lt_backend *backend;
    lt_env env;
    int64_t rows[N];
    lt_index_set forget, retain;
    lt_unlearn_in in;
} golden;

static const void *array(const golden *g, const char *name, int64_t n)
{
    return golden_array(g->file, name, n);
}

static lt_model *net(const golden *g, const char *name)
{
    lt_model *m;
    char key[32];
    assert_ok(lt_model_create("simple-conv:width=4", (lt_model_shape){1, SIDE, SIDE, CLASSES}, &m));
    snprintf(key, sizeof key, "%s.params", name);
    memcpy(m->params, array(g, key, m->n_params), (size_t)m->n_params * sizeof(float));
    snprintf(key, sizeof key, "%s.state", name);
    memcpy(m->state, array(g, key, m->n_state), (size_t)m->n_state * sizeof(float));
    return m;
}

static void golden_open(golden *g, const char *backend)
{
    *g = (golden){0};
    assert_ok(lt_tensor_file_open(LT_TEST_SOURCE_DIR "/tests/methods/golden/unlearn_golden.npz", &g->file));
    const uint8_t *x = array(g, "pixels", N * SIDE * SIDE);
    const int32_t *y = array(g, "y", N);
    assert_ok(lt_dataset_from_arrays(1, SIDE, SIDE, CLASSES, N, x, y, 1, x, y, &g->ds));
    g->model = net(g, "net");
    g->teacher = net(g, "teacher");
    assert_ok(lt_backend_create(backend, 1, &g->backend));
    g->env = (lt_env){.backend = g->backend, .plan_flags = LT_PLAN_NO_TUNE};
    for (int i = 0; i < N; i++)
        g->rows[i] = i;
    g->forget = (lt_index_set){N_FORGET, g->rows};
    g->retain = (lt_index_set){N_RETAIN, g->rows + N_FORGET};
    g->in = (lt_unlearn_in){
        .model = g->model, .ds = g->ds, .forget = &g->forget, .retain = &g->retain, .use_retain = true, .env = &g->env};
}

static void golden_close(golden *g)
{
    lt_model_destroy(g->model);
    lt_model_destroy(g->teacher);
    lt_dataset_close(g->ds);
    lt_backend_destroy(g->backend);
    lt_tensor_file_close(g->file);
}

// |got - want| at most tolerance times |want|, as vectors.
static void close_to(const golden *g, const char *name, const float *got, double tolerance)
{
    const int64_t n = g->model->n_params;
    const float *want = array(g, name, n);
    double diff = 0, norm = 0;
    for (int64_t i = 0; i < n; i++) {
        diff += pow((double)got[i] - (double)want[i], 2);
        norm += pow((double)want[i], 2);
    }
    if (!(norm > 0 && sqrt(diff) <= tolerance * sqrt(norm)))
        fail_msg("%s: relative distance %g", name, sqrt(diff / norm));
}

static void saliency(const char *backend)
{
    golden g;
    golden_open(&g, backend);
    const int64_t n = g.model->n_params;
    const float *want = array(&g, "saliency", n);
    const double ratios[] = {0.1, 0.5, 0.7, 1};
    for (int r = 0; r < 4; r++) {
        lt_unlearn_plan_ctx ctx = {0};
        assert_ok(lti_mask_make(&g.in, (lti_mask_cfg){LTI_MASK_SALUN, ratios[r], NULL}, 4, &ctx));
        int64_t ones = 0;
        double low = INFINITY, high = 0; // smallest inside, largest outside
        for (int64_t i = 0; i < n; i++) {
            ones += ctx.mask[i];
            if (ctx.mask[i])
                low = fmin(low, fabs((double)want[i]));
            else
                high = fmax(high, fabs((double)want[i]));
        }
        assert_int_equal(ones, (int64_t)floor(ratios[r] * (double)n)); // [AMUN 12.1]
        assert_true(high <= low * (1 + 1e-4));
        assert_int_equal(ctx.mask_passes.n_backward, N_FORGET);
        lti_free(ctx.mask);
    }
    golden_close(&g);
}

static void saliency_is_pytorchs(void **state)
{
    (void)state;
    saliency("ref");
    saliency("auto");
}

static void importances_are_pytorchs(void **state)
{
    (void)state;
    golden g;
    golden_open(&g, "ref");
    const size_t bytes = (size_t)g.model->n_params * sizeof(float);
    float *forget = lti_malloc(bytes), *all = lti_malloc(bytes), *batch = lti_malloc(bytes);
    lti_param_grad grad;
    assert_ok(lti_param_grad_init(&grad, g.model, &g.env));
    const lt_view view_f = lt_view_rows(g.ds, LT_TRAIN, &g.forget), view_all = lt_view_split(g.ds, LT_TRAIN);
    assert_ok(lti_importance(&grad, &view_f, 1, 3, forget));
    assert_ok(lti_importance(&grad, &view_all, 1, 3, all));
    assert_ok(lti_importance(&grad, &view_all, N, 3, batch));
    assert_int_equal(grad.passes.n_backward, N_FORGET + 2 * N);
    close_to(&g, "imp_forget", forget, 1e-4);
    close_to(&g, "imp_all", all, 1e-4);
    close_to(&g, "imp_batch", batch, 1e-4);
    lti_dampen(g.model->params, forget, all, g.model->n_params, 1.5, 0.7, NULL);
    close_to(&g, "dampened", g.model->params, 1e-5);
    lti_param_grad_clear(&grad);
    lti_free(forget);
    lti_free(all);
    lti_free(batch);
    golden_close(&g);
}

// numpy.percentile(ratios, 100 - log(1 + 100 share)) of 1, 2, ..., 100 in another order; two parameters have no
// gradient.
static void adaptive_selection_is_the_percentile_of_ratios(void **state)
{
    enum { N_RATIOS = 102 };
    float forget[N_RATIOS] = {0}, all[N_RATIOS] = {0};
    double alpha;
    (void)state;
    for (int i = 0; i < 100; i++) {
        all[i] = 1.0f / (float)(1 + i % 7);
        forget[i] = (float)((37 * i) % 100 + 1) * all[i];
    }
    forget[101] = 1;                                                       // infinite
    assert_ok(lti_adaptive_selection(forget, all, N_RATIOS, 0.1, &alpha)); // percentile 97.6021
    assert_float_equal(alpha, 97.62608368, 1e-5);
    assert_ok(lti_adaptive_selection(forget, all, N_RATIOS, 0.01, &alpha)); // percentile 99.3069
    assert_float_equal(alpha, 99.31378429, 1e-5);
    assert_ok(lti_adaptive_selection(forget + 100, all + 100, 2, 0.1, &alpha)); // nothing to select
    assert_true(isinf(alpha));
}

static void fisher_is_pytorchs(void **state)
{
    (void)state;
    golden g;
    golden_open(&g, "ref");
    float *fisher = lti_malloc((size_t)g.model->n_params * sizeof *fisher);
    lti_param_grad grad;
    assert_ok(lti_param_grad_init(&grad, g.model, &g.env));
    const lt_view view = lt_view_rows(g.ds, LT_TRAIN, &g.retain);
    assert_ok(lti_fisher(&grad, &view, 0, 3, fisher));
    assert_int_equal(grad.passes.n_backward, CLASSES * N_RETAIN);
    close_to(&g, "fisher", fisher, 1e-4);
    lt_val last[2];
    const int n_last = lti_last_layer(g.model, last);
    assert_int_equal(n_last, 2);
    for (lt_val v = 0; v < lt_graph_n_values(g.model->graph); v++) {
        lt_value_info info;
        if (lti_model_tensor(g.model, v, &info) && info.role == LT_ROLE_PARAM)
            lti_fisher_variance(fisher + info.slab_offset, &info.shape, 1e-6, v == last[0] || v == last[1]);
    }
    close_to(&g, "fisher_var", fisher, 1e-3);
    assert_ok(lti_fisher(&grad, &view, 7, 3, fisher)); // an estimate from fewer samples costs less
    assert_int_equal(grad.passes.n_backward, CLASSES * (N_RETAIN + 7));
    lti_param_grad_clear(&grad);
    lti_free(fisher);
    golden_close(&g);
}

static void woodfisher_is_pytorchs(void **state)
{
    (void)state;
    golden g;
    golden_open(&g, "ref");
    const int64_t n = g.model->n_params;
    float *o = lti_malloc((size_t)n * sizeof *o), *k = lti_malloc((size_t)n * sizeof *k);
    lti_param_grad grad;
    assert_ok(lti_param_grad_init(&grad, g.model, &g.env));
    memcpy(k, array(&g, "v", n), (size_t)n * sizeof *k);
    for (int i = N_FORGET; i < N; i++) {
        float x[SIDE * SIDE];
        for (int j = 0; j < SIDE * SIDE; j++)
            x[j] = (float)g.ds->split[LT_TRAIN].x[i * SIDE * SIDE + j] / 255.0f;
        assert_ok(lti_param_grad_run(&grad, x, &g.ds->split[LT_TRAIN].y[i], 1));
        if (i == N_FORGET)
            memcpy(o, grad.grads, (size_t)n * sizeof *o);
        else
            lti_woodfisher_step(grad.grads, n, o, k);
    }
    close_to(&g, "woodfisher", k, 1e-4);
    // The recursion is not v itself, by far more than that.
    const float *v = array(&g, "v", n);
    double moved = 0, norm = 0;
    for (int64_t i = 0; i < n; i++) {
        moved += pow((double)k[i] - (double)v[i], 2);
        norm += pow((double)v[i], 2);
    }
    assert_true(moved > 1e-5 * norm);
    lti_param_grad_clear(&grad);
    lti_free(o);
    lti_free(k);
    golden_close(&g);
}

static void distillation(const char *backend)
{
    golden g;
    golden_open(&g, backend);
    lt_job job = {.model = g.model, .n_phases = 1, .bn_eval = true, .temperature = 3, .teacher = {g.teacher}};
    lt_options_defaults(lt_train_options, &job.cfg);
    job.cfg.epochs = 1;
    job.cfg.batch = N_RETAIN;
    job.cfg.schedule = LT_SCHED_CONST;
    job.cfg.lr = 1;
    job.cfg.momentum = job.cfg.weight_decay = 0;
    job.phase[0] = (lt_phase){.view = {lt_view_rows(g.ds, LT_TRAIN, &g.retain)}, .n_views = 1};
    job.phase[0].view[0].weight = 0.9f;
    job.phase[0].distill[0].weight = 0.3f;
    float *grad = lti_malloc((size_t)g.model->n_params * sizeof *grad);
    memcpy(grad, g.model->params, (size_t)g.model->n_params * sizeof *grad);
    assert_ok(lt_train_run(&job, &g.env, NULL, false, NULL));
    for (int64_t i = 0; i < g.model->n_params; i++)
        grad[i] -= g.model->params[i]; // a step of length 1
    close_to(&g, "kd_grad", grad, 1e-4);
    lti_free(grad);
    golden_close(&g);
}

static void distillation_is_pytorchs(void **state)
{
    (void)state;
    distillation("ref");
    distillation("auto");
}

static void boundary_labels_are_pytorchs(void **state)
{
    (void)state;
    golden g;
    golden_open(&g, "ref");
    lti_boundary b;
    lt_passes passes = {0};
    int32_t labels[N_FORGET];
    const int32_t *want = array(&g, "boundary", N_FORGET), *y = g.ds->split[LT_TRAIN].y;
    float x[N_FORGET * SIDE * SIDE];
    for (int j = 0; j < N_FORGET * SIDE * SIDE; j++)
        x[j] = (float)g.ds->split[LT_TRAIN].x[j] / 255.0f;
    assert_ok(lti_boundary_init(&b, g.model, &g.env, 8, 0.1f)); // 10 rows in buckets of 8 and 2
    b.passes = &passes;
    lti_free(b.x);
    b.x = lti_calloc(N_FORGET * SIDE * SIDE, sizeof *b.x);
    const lt_batch batch = {.n = N_FORGET, .x = x, .y = (int32_t *)(uintptr_t)y};
    assert_ok(lti_boundary_labels(&b, &batch, labels));
    assert_memory_equal(labels, want, sizeof labels);
    assert_int_equal(passes.n_forward, 2 * N_FORGET);
    // The frozen copy is frozen: only what is written there counts.
    memset(g.model->params, 0, (size_t)g.model->n_params * sizeof(float));
    assert_ok(lti_boundary_labels(&b, &batch, labels));
    assert_memory_equal(labels, want, sizeof labels);
    memset(b.frozen->params, 0, (size_t)g.model->n_params * sizeof(float));
    lti_boundary_changed(&b);
    assert_ok(lti_boundary_labels(&b, &batch, labels));
    for (int i = 0; i < N_FORGET; i++)
        assert_int_equal(labels[i], 0);
    lti_boundary_clear(&b);
    golden_close(&g);
}

// Against sorting, with ties and signs.
static void the_top_is_exact(void **state)
{
    (void)state;
    enum { LEN = 500 };
    float g[LEN];
    uint8_t mask[LEN];
    for (int round = 0; round < 40; round++) {
        lt_rng rng = lt_rng_at(5, LT_STREAM_TEST, 9, (uint64_t)round);
        for (int i = 0; i < LEN; i++) {
            g[i] = (float)lt_rng_normal(&rng) * (round % 2 ? 1e-20f : 1);
            if (round % 4 == 0) // many equal ones
                g[i] = (float)((int)lt_rng_below(&rng, 7) - 3);
        }
        const int64_t k = (int64_t)lt_rng_below(&rng, LEN + 1);
        lti_mask_top(g, LEN, k, mask);
        int64_t ones = 0;
        for (int i = 0; i < LEN; i++) {
            int64_t before = 0; // larger ones, and equal ones at lower places
            for (int j = 0; j < LEN; j++)
                before += fabsf(g[j]) > fabsf(g[i]) || (fabsf(g[j]) == fabsf(g[i]) && j < i);
            assert_int_equal(mask[i], before < k);
            ones += mask[i];
        }
        assert_int_equal(ones, k);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(saliency_is_pytorchs),
        cmocka_unit_test(importances_are_pytorchs),
        cmocka_unit_test(adaptive_selection_is_the_percentile_of_ratios),
        cmocka_unit_test(fisher_is_pytorchs),
        cmocka_unit_test(woodfisher_is_pytorchs),
        cmocka_unit_test(distillation_is_pytorchs),
        cmocka_unit_test(boundary_labels_are_pytorchs),
        cmocka_unit_test(the_top_is_exact),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
