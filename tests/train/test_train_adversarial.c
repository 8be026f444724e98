// test_train_adversarial.c - adversarial training: one step against PyTorch, what it buys against an attack, resuming.
#include "train_test.h"
#include <math.h>
#include <stdlib.h>
#include "lethe/tensorfile.h"

#define GOLDEN LT_TEST_SOURCE_DIR "/tests/train/golden/adversarial_golden.npz"
enum { G_N = 6, G_K = 4, G_PER = T_C * T_SIDE * T_SIDE };
#define G_SEED 11

static const lt_tensor *golden(const lt_tensor_file *f, const char *fmt, const char *a, const char *b)
{
    char key[96];
    lti_format(key, sizeof key, fmt, a, b);
    const lt_tensor *t = lt_tensor_file_find(f, key);
    if (!t)
        fail_msg("golden file has no %s", key);
    return t;
}

// Calls use(slab, golden tensor) for every tensor of the model that is in `params`.
static void compare_tensors(const lt_model *m, const float *slab, lt_role role, const lt_tensor_file *f,
                            const char *set, const char *kind, double tol)
{
    for (lt_val v = 0; v < lt_graph_n_values(m->graph); v++) {
        lt_value_info info;
        assert_ok(lt_graph_value(m->graph, v, &info));
        if (info.role != role)
            continue;
        char fmt[64];
        lti_format(fmt, sizeof fmt, "%%s.%s.%%s", kind);
        const lt_tensor *want = golden(f, fmt, set, info.name);
        const double *w = want->data;
        const int64_t n = (int64_t)(want->n_bytes / sizeof *w);
        double square = 0, error = 0;
        for (int64_t i = 0; i < n; i++) {
            const double d = (double)slab[info.slab_offset + i] - w[i];
            square += w[i] * w[i];
            error += d * d;
        }
        if (!(sqrt(error) <= tol * sqrt(square)))
            fail_msg("%s %s of %s: relative error %g", set, kind, info.name, sqrt(error / square));
    }
}

static void load_model(const lt_tensor_file *f, lt_model *m)
{
    for (lt_val v = 0; v < lt_graph_n_values(m->graph); v++) {
        lt_value_info info;
        assert_ok(lt_graph_value(m->graph, v, &info));
        if (info.role != LT_ROLE_PARAM && info.role != LT_ROLE_STATE)
            continue;
        const lt_tensor *t = golden(f, "model.%s%s", info.name, "");
        memcpy((info.role == LT_ROLE_PARAM ? m->params : m->state) + info.slab_offset, t->data, t->n_bytes);
    }
}

static void keep_loss(const lt_job *job, const lt_step *step, void *ctx)
{
    (void)job;
    *(double *)ctx = step->loss;
}

// One step of plain gradient descent with learning rate 1: what the parameters lose is the gradient.
static void golden_step(const char *backend, const char *form, int32_t norm, float eps, double tol)
{
    lt_tensor_file *f;
    lt_dataset *ds;
    lt_backend *b;
    lt_model *m, *before;
    static uint8_t bytes[G_N * G_PER];
    char set[32];
    double loss = 0;
    lti_format(set, sizeof set, "%s.%s", form, norm == LT_ADV_L2 ? "l2" : "linf");
    assert_ok(lt_tensor_file_open(GOLDEN, &f));
    const lt_tensor *x = golden(f, "%s%s", "x", ""), *y = golden(f, "%s%s", "y", "");
    assert_ok(lt_dataset_from_arrays(T_C, T_SIDE, T_SIDE, G_K, G_N, bytes, y->data, G_N, bytes, y->data, &ds));
    assert_ok(lt_backend_create(backend, 1, &b));
    assert_ok(lt_model_create("simple-conv:width=4", (lt_model_shape){T_C, T_SIDE, T_SIDE, G_K}, &m));
    load_model(f, m);
    assert_ok(lt_model_dup(m, &before));
    const lt_env env = {.backend = b};
    lt_view view = lt_view_split(ds, LT_TRAIN);
    view.images = x->data;
    lt_job job = {.model = m, .seed = G_SEED, .n_phases = 1, .on_step = keep_loss, .step_ctx = &loss};
    job.phase[0] = (lt_phase){.view = {view}, .n_views = 1};
    lt_options_defaults(lt_train_options, &job.cfg);
    assert_ok(lt_adversarial_find(form, &job.cfg.adversarial));
    job.cfg.adv_norm = norm;
    job.cfg.adv_eps = eps;
    job.cfg.adv_steps = 5;
    job.cfg.epochs = 1;
    job.cfg.batch = G_N;
    job.cfg.lr = 1;
    job.cfg.momentum = job.cfg.weight_decay = 0;
    job.cfg.schedule = LT_SCHED_CONST;
    lt_train_result r;
    assert_ok(lt_train_run(&job, &env, NULL, false, &r));
    const double want = *(const double *)golden(f, "%s.%s", set, "loss")->data;
    if (!(fabs(loss - want) <= tol * want))
        fail_msg("%s on %s: loss %.8g, expected %.8g", set, backend, loss, want);
    float *gradient = lti_calloc((size_t)m->n_params, sizeof *gradient);
    for (int64_t i = 0; i < m->n_params; i++)
        gradient[i] = before->params[i] - m->params[i];
    compare_tensors(m, gradient, LT_ROLE_PARAM, f, set, "grad", 10 * tol);
    compare_tensors(m, m->state, LT_ROLE_STATE, f, set, "state", tol); // clean first, then attacked
    const bool pair = strcmp(form, "trades") == 0;
    assert_int_equal(m->bn_batches, pair ? 2 : 1);
    assert_int_equal(r.n_forward, G_N * (pair ? 2 + 1 + 5 : 1 + 5));
    assert_int_equal(r.n_backward, G_N * (pair ? 2 + 5 : 1 + 5));
    lti_free(gradient);
    lt_model_destroy(m);
    lt_model_destroy(before);
    lt_backend_destroy(b);
    lt_dataset_close(ds);
    lt_tensor_file_close(f);
}

// With l2 the attack is a continuous function of rounding. With linf a gradient near 0 may change its sign, and a pixel
// moves by two steps: the figures agree less closely.
static void a_step_is_pytorchs(void **state)
{
    (void)state;
    for (const char *const *b = lt_backend_names(); *b; b++) {
        golden_step(*b, "trades", LT_ADV_L2, 0.5f, 1e-3);
        golden_step(*b, "pgd", LT_ADV_L2, 0.5f, 1e-3);
        golden_step(*b, "trades", LT_ADV_LINF, 0.031f, 1e-2);
        golden_step(*b, "pgd", LT_ADV_LINF, 0.031f, 1e-3);
    }
}

// ---- what it is for

static float clamp(float v, float low, float high)
{
    return v < low ? low : v > high ? high : v;
}

// Accuracy on the test split under 20 steps of linf PGD on the cross entropy: an attack of this file's own.
static double robust_acc(const lt_model *m, const lt_dataset *ds, lt_backend *b, float eps)
{
    lt_graph *g;
    lt_plan *plan;
    assert_ok(lt_graph_dup(m->graph, &g));
    const lt_val y = lt_input(g, "y", LT_I32, LT_SHAPE(LT_BATCH)), w = lt_input(g, "w", LT_F32, LT_SHAPE(LT_BATCH));
    const lt_val loss = lt_weighted_sum(g, lt_cross_entropy(g, m->logits, y, 0), w);
    const int64_t n = ds->split[LT_TEST].n, per = (int64_t)ds->c * ds->h * ds->w;
    const lt_plan_spec spec = {.outs = &m->logits,
                               .n_outs = 1,
                               .grad_of = loss,
                               .seed = LT_NONE,
                               .wrt = &m->x,
                               .n_wrt = 1,
                               .batch = n,
                               .dtype = LT_F32};
    assert_ok(lt_plan_create(g, &spec, b, &plan));
    assert_ok(lt_plan_bind(plan, m->params, m->state, NULL));
    float *x = lt_plan_buffer(plan, m->x), *weight = lt_plan_buffer(plan, w);
    const float *dx = lt_plan_grad(plan, 0), *z = lt_plan_buffer(plan, m->logits);
    memcpy(lt_plan_buffer(plan, y), ds->split[LT_TEST].y, (size_t)n * sizeof(int32_t));
    for (int64_t i = 0; i < n * per; i++)
        x[i] = (float)ds->split[LT_TEST].x[i] / 255.0f;
    for (int64_t i = 0; i < n; i++)
        weight[i] = 1;
    for (int s = 0; s < 20; s++) {
        assert_ok(lt_plan_run(plan));
        for (int64_t i = 0; i < n * per; i++) {
            const float clean = (float)ds->split[LT_TEST].x[i] / 255.0f;
            const float up = x[i] + eps / 8 * (float)((dx[i] > 0) - (dx[i] < 0));
            x[i] = clamp(clamp(up, clean - eps, clean + eps), 0, 1);
        }
    }
    assert_ok(lt_plan_run(plan));
    int64_t hits = 0;
    for (int64_t i = 0; i < n; i++) {
        int best = 0;
        for (int k = 1; k < ds->n_classes; k++)
            best = z[i * ds->n_classes + k] > z[i * ds->n_classes + best] ? k : best;
        hits += best == ds->split[LT_TEST].y[i];
    }
    lt_plan_destroy(plan);
    lt_graph_destroy(g);
    return (double)hits / (double)n;
}

enum { R_TRAIN = 160, R_TEST = 100 };

// Two cues: a bright quarter that an attack of 0.06 cannot hide, and a faint pattern over the whole image that tells
// the class without error and that it can turn over. Plain training takes both, robust training must leave the faint.
static lt_dataset *two_cues(void)
{
    static uint8_t x[2][R_TRAIN * G_PER];
    static int32_t y[2][R_TRAIN];
    static const int count[2] = {R_TRAIN, R_TEST};
    lt_dataset *ds;
    for (int s = 0; s < 2; s++)
        for (int i = 0; i < count[s]; i++) {
            lt_rng rng = lt_rng_at(9, LT_STREAM_TEST, (uint32_t)s, (uint64_t)i);
            y[s][i] = i % T_CLASSES;
            for (int p = 0; p < G_PER; p++) {
                const int row = p / T_SIDE % T_SIDE, col = p % T_SIDE;
                const int quarter = 2 * (row >= T_SIDE / 2) + (col >= T_SIDE / 2);
                const int faint = (row * (y[s][i] % 2) + col * (y[s][i] / 2) + y[s][i]) % 2 ? 9 : -9;
                const int v = 110 + faint + (quarter == y[s][i] ? 50 : 0) + (int)lt_rng_below(&rng, 61) - 30;
                x[s][i * G_PER + p] = (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
            }
        }
    assert_ok(lt_dataset_from_arrays(T_C, T_SIDE, T_SIDE, T_CLASSES, R_TRAIN, x[0], y[0], R_TEST, x[1], y[1], &ds));
    return ds;
}

static double train_and_attack(lt_dataset *ds, lt_backend *b, const char *form, double *clean)
{
    lt_model *m;
    const lt_env env = {.backend = b};
    lt_view test = lt_view_split(ds, LT_TEST);
    assert_ok(lt_model_create("simple-conv:width=4", (lt_model_shape){T_C, T_SIDE, T_SIDE, T_CLASSES}, &m));
    lt_model_init(m, 2);
    lt_job job = {.model = m, .seed = 5, .n_phases = 1};
    job.phase[0] = (lt_phase){.view = {lt_view_split(ds, LT_TRAIN)}, .n_views = 1, .shuffle = true};
    lt_options_defaults(lt_train_options, &job.cfg);
    assert_ok(lt_adversarial_find(form, &job.cfg.adversarial));
    job.cfg.epochs = 12;
    job.cfg.batch = 32;
    job.cfg.lr = 0.05f;
    job.cfg.adv_eps = 0.06f;
    job.cfg.adv_steps = 5;
    assert_ok(lt_train_run(&job, &env, NULL, false, NULL));
    lt_eval_result r;
    assert_ok(lt_evaluate(m, &test, &env, R_TEST, NULL, NULL, &r));
    *clean = r.acc;
    const double robust = robust_acc(m, ds, b, 0.06f);
    lt_model_destroy(m);
    return robust;
}

static void robust_accuracy_rises(void **state)
{
    (void)state;
    static const char *const form[] = {"none", "trades", "pgd"};
    lt_backend *b;
    double clean[3], robust[3];
    assert_ok(lt_backend_create("ref", 1, &b));
    lt_dataset *ds = two_cues();
    for (int i = 0; i < 3; i++) {
        robust[i] = train_and_attack(ds, b, form[i], &clean[i]);
        print_message("%s: clean %.2f, robust %.2f\n", form[i], clean[i], robust[i]);
    }
    assert_true(clean[0] > 0.9);
    for (int i = 1; i < 3; i++) {
        assert_true(robust[i] >= robust[0] + 0.1);
        assert_true(clean[i] > 0.6);
    }
    lt_dataset_close(ds);
    lt_backend_destroy(b);
}

// ---- resuming

static const char path[] = "train_adversarial.safetensors";

typedef struct stopper {
    volatile int stop;
    int64_t at;
} stopper;

static void stop_at(const lt_job *job, const lt_step *step, void *ctx)
{
    (void)job;
    stopper *s = ctx;
    s->stop = step->step == s->at;
}

static void prepare(fixture *f, const char *form, int32_t norm, stopper *s)
{
    t_open(f, "ref", 1);
    assert_ok(lt_adversarial_find(form, &f->job.cfg.adversarial));
    f->job.cfg.adv_norm = norm;
    f->job.cfg.adv_eps = norm == LT_ADV_L2 ? 0.4f : 0.031f;
    f->job.cfg.adv_steps = 3;
    f->job.phase[0].view[0].augment = true;
    f->job.on_step = stop_at;
    f->job.step_ctx = s;
    f->env.stop = &s->stop;
}

static void resumed_bits_are_the_same(void **state)
{
    (void)state;
    static const struct {
        const char *form;
        int32_t norm;
    } cases[] = {{"trades", LT_ADV_LINF}, {"trades", LT_ADV_L2}, {"pgd", LT_ADV_LINF}, {"pgd", LT_ADV_L2}};
    for (size_t c = 0; c < 4; c++) {
        char whole[65], parts[65];
        lt_train_result a, b;
        fixture f;
        stopper s = {0};
        prepare(&f, cases[c].form, cases[c].norm, &s);
        assert_ok(lt_train_run(&f.job, &f.env, NULL, false, &a));
        lt_model_digest(f.model, whole);
        t_close(&f);
        for (int64_t at = 1; at < 9; at += 3) { // 3 epochs of 3 steps
            s = (stopper){.at = at};
            prepare(&f, cases[c].form, cases[c].norm, &s);
            assert_fails(LT_E_INTERRUPTED, "", lt_train_run(&f.job, &f.env, path, false, NULL));
            t_close(&f);
            s = (stopper){0};
            prepare(&f, cases[c].form, cases[c].norm, &s);
            assert_ok(lt_train_run(&f.job, &f.env, path, true, &b));
            lt_model_digest(f.model, parts);
            assert_string_equal(whole, parts);
            assert_int_equal(a.n_forward, b.n_forward);
            assert_int_equal(a.n_backward, b.n_backward);
            t_close(&f);
        }
        prepare(&f, cases[c].form, cases[c].norm, &s); // another attack is another job
        f.job.cfg.adv_eps *= 2;
        assert_fails(LT_E_USAGE, "recipe", lt_train_run(&f.job, &f.env, path, true, NULL));
        t_close(&f);
        remove(path);
    }
}

static void nonsense_is_refused(void **state)
{
    (void)state;
    fixture f;
    stopper s = {0};
    int32_t kind = 7;
    assert_fails(LT_E_USAGE, "tradez", lt_adversarial_find("tradez", &kind));
    assert_int_equal(kind, 7);
    prepare(&f, "trades", LT_ADV_LINF, &s);
    f.job.cfg.adv_eps = 0;
    assert_fails(LT_E_USAGE, "adv_eps above 0", lt_train_run(&f.job, &f.env, NULL, false, NULL));
    f.job.cfg.adv_eps = 0.1f;
    f.job.cfg.adversarial = 99;
    assert_fails(LT_E_USAGE, "adversarial", lt_train_run(&f.job, &f.env, NULL, false, NULL));
    f.job.cfg.adversarial = -1;
    assert_fails(LT_E_USAGE, "adversarial", lt_train_run(&f.job, &f.env, NULL, false, NULL));
    t_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_step_is_pytorchs),
        cmocka_unit_test(robust_accuracy_rises),
        cmocka_unit_test(resumed_bits_are_the_same),
        cmocka_unit_test(nonsense_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
