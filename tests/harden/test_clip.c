// FastClip and what it is compared with, on one convolution, on a small network, and while a job trains.
#include "harden/clip_impl.h"
#include "lt_test.h"
#include "backend_fixture.h"
#include <math.h>
#include <stdlib.h>

static lt_env env;

static lt_model *make_model(const char *spec, int side, uint64_t seed, double gain)
{
    lt_model *m;
    assert_ok(lt_model_create(spec, (lt_model_shape){3, side, side, 10}, &m));
    lt_model_init(m, seed);
    for (int64_t i = 0; i < m->n_params; i++)
        m->params[i] *= (float)gain;
    return m;
}

static lt_clip_cfg defaults(double norm)
{
    lt_clip_cfg cfg;
    lt_options_defaults(lt_clip_norm_options, &cfg);
    lt_options_defaults(lt_clip_rule_options, &cfg);
    cfg.clip_norm = (float)norm;
    return cfg;
}

static double largest(const lt_model *m, const char *layer)
{
    lt_spectra s;
    lt_spectra_cfg cfg = {.seed = 1};
    double found = -1;
    lt_options_defaults(lt_spectra_options, &cfg);
    cfg.iterations = 100;
    cfg.upper = false;
    assert_ok(lt_spectra_measure(m, &cfg, &env, &s));
    for (int i = 0; i < s.n_layers; i++)
        if (!strcmp(s.layer[i].name, layer))
            found = s.layer[i].sigma[0];
    lt_spectra_clear(&s);
    return found;
}

// Every layer ends at or below the target within 1 %, however it is measured; biases and statistics keep their bits.
static void test_once(void **state)
{
    (void)state;
    lt_model *m = make_model("simple-conv:width=6", 8, 1, 2.0), *was;
    const lt_clip_cfg cfg = defaults(1.0);
    lt_clip_report r;
    assert_ok(lt_model_dup(m, &was));
    assert_ok(lt_clip_model(m, &cfg, 1, &env, &r));
    assert_int_equal(r.n_layers, 4);
    int clipped = 0;
    for (int i = 0; i < r.n_layers; i++) {
        assert_true(r.layer[i].after <= 1.01);
        assert_true(largest(m, r.layer[i].name) <= 1.01);
        clipped += r.layer[i].events > 0;
    }
    assert_true(clipped >= 3 && r.layer[0].before > 1.2);
    for (lt_val v = 0; v < lt_graph_n_values(m->graph); v++) {
        lt_value_info info;
        assert_ok(lt_graph_value(m->graph, v, &info));
        const char *dot = strrchr(info.name, '.');
        if (info.role == LT_ROLE_PARAM && dot && (!strcmp(dot, ".bias") || strstr(info.name, "bn")))
            for (int64_t i = info.slab_offset; i < info.slab_offset + info.shape.dim[0]; i++)
                assert_true(m->params[i] == was->params[i]);
    }
    assert_memory_equal(m->state, was->state, (size_t)m->n_state * sizeof *m->state);
    // A clipped model is left alone.
    lt_model *again;
    lt_clip_report second;
    lt_clip_cfg loose = cfg;
    loose.clip_norm = 1.02f;
    assert_ok(lt_model_dup(m, &again));
    assert_ok(lt_clip_model(again, &loose, 2, &env, &second));
    assert_memory_equal(again->params, m->params, (size_t)m->n_params * sizeof *m->params);
    lt_clip_report_clear(&second);
    lt_clip_report_clear(&r);
    lt_model_destroy(again);
    lt_model_destroy(m);
    lt_model_destroy(was);
}

static double mean_singular(const lt_model *m)
{
    lt_spectra s;
    lt_spectra_cfg cfg = {.seed = 1};
    double sum = 0;
    lt_options_defaults(lt_spectra_options, &cfg);
    cfg.top_k = 32;
    cfg.upper = false;
    cfg.iterations = 60;
    assert_ok(lt_spectra_measure(m, &cfg, &env, &s));
    for (int i = 0; i < s.layer[0].k; i++)
        sum += s.layer[0].sigma[i] / s.layer[0].k;
    lt_spectra_clear(&s);
    return sum;
}

// What FastClip keeps of the other directions is more than rescaling does; Fourier clipping and the reshaped norm leave
// the real norm above the target.
static void test_rules(void **state)
{
    (void)state;
    lt_model *m = make_model("simple-conv:width=6,bn=0", 8, 3, 3.0);
    static const char *const names[] = {"line-search", "rescale", "gram", "fourier", "reshaped"};
    double after[5], mean[5];
    for (int i = 0; i < 5; i++) {
        lt_model *c;
        lt_clip_report r;
        lt_clip_cfg cfg = defaults(1.0);
        assert_ok(lt_clip_rule_find(names[i], &cfg.clip_rule));
        assert_ok(lt_model_dup(m, &c));
        assert_ok(lt_clip_model(c, &cfg, 1, &env, &r));
        after[i] = largest(c, "conv1");
        mean[i] = mean_singular(c);
        lt_clip_report_clear(&r);
        lt_model_destroy(c);
    }
    assert_true(after[0] <= 1.01 && after[0] > 0.9);
    assert_true(after[2] <= 1.02);
    assert_true(mean[0] > 1.1 * mean[1]); // rescaling takes every direction down
    assert_true(after[3] > 1.05);         // truncated after clipping with circular padding
    assert_true(after[4] > 1.3);          // the reshaped norm is too small
    lt_model_destroy(m);
}

// A rule that follows no vectors measures the weight as it is at the event, not as it was at the one before.
static void test_event_after_updates(void **state)
{
    (void)state;
    lt_model *m = make_model("simple-conv:width=6,bn=0", 8, 3, 0.1);
    lt_clip_cfg cfg = defaults(1.0);
    lt_clipper *c;
    bool changed;
    assert_ok(lt_clip_rule_find("rescale", &cfg.clip_rule));
    assert_ok(lt_clipper_create(m, &cfg, 1, &env, &c));
    assert_ok(lt_clipper_event(c, 1, &changed));
    assert_false(changed);
    for (int64_t i = 0; i < m->n_params; i++)
        m->params[i] *= 50;
    assert_ok(lt_clipper_event(c, 2, &changed));
    assert_true(changed);
    assert_true(largest(m, "conv1") < 1.3); // five steps measure too little
    lt_clipper_destroy(c);
    lt_model_destroy(m);
}

// A kernel that fills the circle, or with a dilation of 2 every second place of it, loses nothing when it is truncated:
// Fourier clipping is exact there.
static void test_fourier_fills_the_circle(void **state)
{
    (void)state;
    static const char *const specs[] = {"single-conv:width=6,padding-mode=circular,bn=0",
                                        "single-conv:width=6,padding=2,dilation=2,padding-mode=circular,bn=0"};
    for (int i = 0; i < 2; i++) {
        lt_model *m = make_model(specs[i], 3 + 3 * i, 3, 3.0);
        lt_clip_report r;
        lt_clip_cfg cfg = defaults(1.0);
        assert_true(largest(m, "conv1") > 2);
        assert_ok(lt_clip_rule_find("fourier", &cfg.clip_rule));
        assert_ok(lt_clip_model(m, &cfg, 1, &env, &r));
        assert_true(fabs(largest(m, "conv1") - 1) < 1e-4);
        lt_clip_report_clear(&r);
        lt_model_destroy(m);
    }
}

// The released rule comes down too, slower, and lifts a layer that is below the target.
static void test_released(void **state)
{
    (void)state;
    lt_model *m = make_model("simple-conv:width=6,bn=0", 8, 3, 3.0);
    lt_clip_cfg cfg = defaults(1.0);
    lt_clip_report r;
    assert_ok(lt_clip_rule_find("released", &cfg.clip_rule));
    assert_ok(lt_clip_model(m, &cfg, 1, &env, &r));
    for (int i = 0; i < r.n_layers; i++)
        assert_true(r.layer[i].after <= 1.01);
    lt_clip_report_clear(&r);
    for (int64_t i = 0; i < m->n_params; i++)
        m->params[i] *= 0.5f;
    lt_clipper *clipper;
    bool changed;
    cfg.clip_inner = 5;
    assert_ok(lt_clipper_create(m, &cfg, 1, &env, &clipper));
    for (int i = 0; i < 20; i++) {
        assert_ok(lt_clipper_event(clipper, (uint32_t)i, &changed));
        assert_true(changed || i > 0);
    }
    lt_clipper_destroy(clipper);
    assert_true(largest(m, "conv1") > 0.6);
    lt_model_destroy(m);
}

// Linear layers: only the clipped direction moves, in one step, and the other singular values stay.
static void test_linear_closed_form(void **state)
{
    (void)state;
    lt_model *m = make_model("simple-conv:width=4,bn=0", 8, 5, 4.0);
    lt_spectra before, after;
    lt_spectra_cfg s = {.seed = 1};
    lt_clip_cfg cfg = defaults(0);
    lt_clip_report r;
    lt_options_defaults(lt_spectra_options, &s);
    s.top_k = 5;
    s.tolerance = 1e-8f;
    s.iterations = 300;
    s.upper = false;
    assert_ok(lt_spectra_measure(m, &s, &env, &before));
    const int last = before.n_layers - 1;
    assert_int_equal(before.layer[last].kind, LT_LAYER_LINEAR);
    const double c = 0.5 * (before.layer[last].sigma[0] + before.layer[last].sigma[1]);
    cfg.clip_norm = 1e6f;
    cfg.clip_linear = (float)c;
    assert_ok(lt_clip_model(m, &cfg, 1, &env, &r));
    assert_ok(lt_spectra_measure(m, &s, &env, &after));
    assert_true(fabs(after.layer[last].sigma[0] - c) < 2e-3 * c);
    for (int i = 1; i < 5; i++)
        assert_true(fabs(after.layer[last].sigma[i] - before.layer[last].sigma[i]) < 2e-3 * c);
    lt_clip_report_clear(&r);
    lt_spectra_clear(&before);
    lt_spectra_clear(&after);
    lt_model_destroy(m);
}

// A convolution with its batch norm, and batch norm alone, in evaluation form: statistics keep their bits.
static void test_composed(void **state)
{
    (void)state;
    lt_model *m = make_model("simple-conv:width=6", 8, 2, 2.0);
    lt_clip_cfg cfg = defaults(0);
    lt_clip_report r;
    for (int64_t i = 0; i < m->n_state; i++)
        m->state[i] = 0.3f + 0.2f * (float)(i % 5);
    float *state_before = malloc((size_t)m->n_state * sizeof *state_before);
    memcpy(state_before, m->state, (size_t)m->n_state * sizeof *state_before);
    cfg.clip_compose = 1.0f;
    assert_true(largest(m, "conv1+bn1") > 1.2);
    assert_ok(lt_clip_model(m, &cfg, 1, &env, &r));
    assert_true(largest(m, "conv1+bn1") <= 1.01);
    assert_memory_equal(m->state, state_before, (size_t)m->n_state * sizeof *state_before);
    lt_clip_report_clear(&r);
    cfg.clip_compose = 0;
    cfg.clip_bn = 1.0f;
    assert_ok(lt_clip_model(m, &cfg, 1, &env, &r));
    assert_true(largest(m, "bn1") <= 1.0 + 1e-5);
    lt_clip_report_clear(&r);
    free(state_before);
    lt_model_destroy(m);
}

// ---- while a job trains

static void train(lt_model *m, const lt_dataset *ds, double norm, int epochs, const char *path, bool resume)
{
    lt_clip_cfg cfg = defaults(norm);
    lt_clipper *clipper;
    lt_job job = {.model = m, .n_phases = 1, .seed = 4};
    lt_options_defaults(lt_train_options, &job.cfg);
    job.cfg.epochs = epochs;
    job.cfg.batch = 50;
    job.cfg.schedule = LT_SCHED_CONST;
    job.cfg.lr = 0.05f;
    job.phase[0] = (lt_phase){.view = {lt_view_split(ds, LT_TRAIN)}, .n_views = 1, .shuffle = true};
    cfg.clip_every = 5;
    assert_ok(lt_clipper_create(m, &cfg, 4, &env, &clipper));
    assert_ok(lt_clipper_attach(clipper, &job));
    assert_ok(lt_train_run(&job, &env, path, resume, NULL));
    int64_t events;
    lt_clipper_counts(clipper, &events, NULL);
    assert_true(events > 0);
    lt_clipper_destroy(clipper);
}

// A vector that follows a weight by single steps is of unit length and ends at the largest singular value.
static void test_follow(void **state)
{
    (void)state;
    lt_model *m = make_model("simple-conv:width=6", 8, 1, 2.0);
    lti_layers layers;
    lti_tracker t;
    assert_ok(lti_layers_find(m, &layers));
    const lti_layer *l = &layers.layer[0];
    assert_ok(lti_tracker_init(&t, m, l, 1, &env));
    lti_tracker_restart(&t, 1, 0);
    for (int i = 0; i < 200; i++) {
        assert_ok(lti_tracker_follow(&t, 1));
        assert_true(fabs(lti_dot_f32(t.v, t.v, t.n_in) - 1) < 1e-5);
    }
    assert_ok(lti_tracker_step(&t, 0, 1));
    const double norm = largest(m, l->name);
    assert_true(fabs(t.sigma[0] - norm) < 0.01 * norm);
    lti_tracker_clear(&t);
    lti_layers_clear(&layers);
    lt_model_destroy(m);
}

static void test_training(void **state)
{
    (void)state;
    lt_dataset *ds;
    assert_ok(lt_dataset_open("synthetic:train=150,test=20", NULL, &ds));
    lt_model *m, *again;
    assert_ok(lt_model_create("simple-conv:width=4,bn=0", (lt_model_shape){ds->c, ds->h, ds->w, ds->n_classes}, &m));
    lt_model_init(m, 1);
    assert_ok(lt_model_dup(m, &again));
    train(m, ds, 0.8, 3, NULL, false);
    assert_true(largest(m, "conv1") <= 0.8 * 1.01 && largest(m, "linear") <= 0.8 * 1.01);
    train(again, ds, 0.8, 3, NULL, false);
    assert_memory_equal(m->params, again->params, (size_t)m->n_params * sizeof *m->params);
    lt_model_destroy(m);
    lt_model_destroy(again);
    lt_dataset_close(ds);
}

BACKEND_FIXTURE(env.backend, "auto")

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_once),
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_event_after_updates),
        cmocka_unit_test(test_fourier_fills_the_circle),
        cmocka_unit_test(test_released),
        cmocka_unit_test(test_composed),
        cmocka_unit_test(test_training),
        cmocka_unit_test(test_follow),
        cmocka_unit_test(test_linear_closed_form),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
