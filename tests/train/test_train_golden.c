// test_train_golden.c - ten steps of the trainer itself against PyTorch's (tests/golden/make_golden.py): the losses of
// SGD with momentum and weight decay, and the logits of the model it ends with.
#include "model/golden.h"
#include "train/train_test.h"

enum { STEPS = 10 };

typedef struct setup {
    const char *golden, *backend;
    char name[96];
} setup;

static double number(const lt_tensor_file *file, const char *key)
{
    const char *text = lt_tensor_file_meta(file, key);
    assert_non_null(text);
    return strtod(text, NULL);
}

// As `fill` of make_golden.py.
static void fill(float *slab, const lt_value_info *info)
{
    double low = -0.2, high = 0.2;
    int64_t n = 1;
    const char *leaf = strrchr(info->name, '.') + 1;
    for (int i = 0; i < info->shape.n_dims; i++)
        n *= info->shape.dim[i];
    if (strcmp(leaf, "weight") == 0 && info->shape.n_dims > 1) {
        high = sqrt(6.0 / (double)(n / info->shape.dim[0]));
        low = -high;
    } else if (strcmp(leaf, "weight") == 0 || strcmp(leaf, "running_var") == 0) {
        low = 0.5;
        high = 1.5;
    }
    for (int64_t i = 0; i < n; i++)
        slab[info->slab_offset + i] = golden_value(info->name, i, low, high);
}

static lt_model *make_model(const lt_tensor_file *file)
{
    lt_model_shape shape = {.n_classes = (int)number(file, "classes")};
    lt_model *m = NULL;
    assert_int_equal(sscanf(lt_tensor_file_meta(file, "input"), "%dx%dx%d", &shape.c, &shape.h, &shape.w), 3);
    assert_ok(lt_model_create(lt_tensor_file_meta(file, "spec"), shape, &m));
    for (lt_val v = 0; v < lt_graph_n_values(m->graph); v++) {
        lt_value_info info;
        assert_ok(lt_graph_value(m->graph, v, &info));
        if (info.role == LT_ROLE_PARAM)
            fill(m->params, &info);
        else if (info.role == LT_ROLE_STATE)
            fill(m->state, &info);
    }
    return m;
}

typedef struct trace {
    golden_array want;
    int n;
} trace;

static void on_step(const lt_job *job, const lt_step *step, void *ctx)
{
    (void)job;
    trace *t = ctx;
    const double want = golden_at(t->want, t->n++);
    if (!(fabs(step->loss - want) <= 1e-3 * (0.1 + want)))
        fail_msg("loss of step %d: expected %.8g, found %.8g", t->n, want, step->loss);
}

static void ten_steps(void **state)
{
    const setup *s = *state;
    lt_tensor_file *file = golden_open(s->golden);
    lt_model *m = make_model(file);
    const int64_t n = (int64_t)number(file, "batch"), per = (int64_t)m->shape.c * m->shape.h * m->shape.w;
    uint8_t *bytes = lti_calloc((size_t)(n * per), 1); // the view's own images take their place
    float *images = lti_calloc((size_t)(n * per), sizeof *images);
    int32_t labels[64];
    float logits[64 * 32];
    assert_in_range(n, 1, 64);
    for (int64_t i = 0; i < n * per; i++)
        images[i] = golden_value(lt_tensor_file_meta(file, "images"), i, 0, 1);
    for (int64_t i = 0; i < n; i++)
        labels[i] = (int32_t)(golden_u("y", i) * m->shape.n_classes);
    lt_dataset *ds = NULL;
    assert_ok(lt_dataset_from_arrays(m->shape.c, m->shape.h, m->shape.w, m->shape.n_classes, n, bytes, labels, n, bytes,
                                     labels, &ds));
    lt_backend *backend = NULL;
    assert_ok(lt_backend_create(s->backend, 2, &backend));
    const lt_env env = {.backend = backend};
    lt_view view = lt_view_split(ds, LT_TRAIN);
    view.images = images;
    lt_job job = {.model = m, .n_phases = 1, .phase = {{.view = {view}, .n_views = 1}}};
    lt_options_defaults(lt_train_options, &job.cfg);
    job.cfg.schedule = LT_SCHED_CONST;
    job.cfg.batch = n;
    job.cfg.momentum = (float)number(file, "momentum");
    job.cfg.weight_decay = (float)number(file, "weight_decay");
    job.cfg.epochs = 1; // the files' steps begin after one pass that moved the running statistics only
    job.cfg.lr = 0;
    assert_ok(lt_train_run(&job, &env, NULL, false, NULL));
    trace t = {.want = golden_tensor(lt_tensor_file_find(file, "sgd_loss"))};
    job.cfg.epochs = STEPS;
    job.cfg.lr = (float)number(file, "lr");
    job.on_step = on_step;
    job.step_ctx = &t;
    assert_ok(lt_train_run(&job, &env, NULL, false, NULL));
    assert_int_equal(t.n, STEPS);
    lt_eval_result r;
    assert_ok(lt_evaluate(m, &view, &env, n, logits, NULL, &r));
    golden_compare("sgd_logits_eval", (golden_array){logits, false, n * m->shape.n_classes},
                   golden_tensor(lt_tensor_file_find(file, "sgd_logits_eval")), 5e-2, 0);
    lt_backend_destroy(backend);
    lt_dataset_close(ds);
    lt_model_destroy(m);
    lt_tensor_file_close(file);
    lti_free(images);
    lti_free(bytes);
}

int main(void)
{
    static const char *const cases[] = {"resnet18_w4", "resnet18_w4_half", "resnet18_w4_nobn", "simple_conv_w8"};
    enum { N_CASES = sizeof cases / sizeof *cases, MAX_BACKENDS = 4 };
    static setup setups[N_CASES * MAX_BACKENDS];
    static struct CMUnitTest tests[N_CASES * MAX_BACKENDS];
    size_t n = 0;
    for (const char *const *b = lt_backend_names(); *b; b++) {
        for (int c = 0; c < N_CASES && n < N_CASES * MAX_BACKENDS; c++, n++) {
            setups[n] = (setup){.golden = cases[c], .backend = *b};
            snprintf(setups[n].name, sizeof setups[n].name, "%s %s", cases[c], *b);
            tests[n] = (struct CMUnitTest){setups[n].name, ten_steps, NULL, NULL, &setups[n]};
        }
    }
    return _cmocka_run_group_tests("train golden", tests, n, NULL, NULL);
}
