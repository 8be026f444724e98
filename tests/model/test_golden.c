// Models against PyTorch: forward, all gradients, running statistics and ten steps of SGD
// (tests/golden/make_golden.py).
//
// The reference backend in double must agree to rounding: that checks the mathematics. Every backend in float must stay
// within the tolerances a user may rely on. The wide models run on fast backends only: plain loops would take a minute.
// Kernels are chosen by timing for one model and by rule for the others: timing all candidates takes most of the time.
#include "model/golden.h"

static const char *const cases[] = {"resnet18_w4",     "resnet18_w4_half",   "resnet18_w4_nobn", "resnet18_w4_64",
                                    "resnet18_w16",    "resnet18_w64",       "vgg19_w4",         "simple_conv_w8",
                                    "simple_conv_rgb", "resnet20_w4",        "dla_w2",           "dla_w2_nobn",
                                    "single_conv_rgb", "single_conv_reflect"};
enum { N_CASES = sizeof cases / sizeof cases[0], STEPS = 10, MAX_BACKENDS = 8 };

typedef struct setup {
    const char *golden, *backend;
    lt_dtype dtype;
    char name[96];
} setup;

typedef struct limits { // relative errors
    double logits, grad, stats, trace;
} limits;
// In double the files themselves are the limit: gradients and statistics are stored as floats.
static const limits limits_f64 = {1e-9, 1e-6, 1e-6, 1e-7}, limits_f32 = {1e-4, 1e-3, 1e-5, 1e-3};
// A ReLU whose input is nearer to zero than rounding, or a pool with two maxima, goes the other way in float, and moves
// the gradient by a step.
static const double kink_margin = 5e-6, kink_grad = 3e-2;

typedef struct run {
    const setup *s;
    limits lim;
    lt_tensor_file *file;
    lt_model *model;
    lt_backend *backend;
    lt_graph *graph;
    lt_val labels, weight, loss;
    lt_plan *eval, *train;
    void *params, *state, *grads; // of s->dtype
    int64_t batch;
} run;

static golden_array array(const run *r, const void *data, int64_t first, int64_t n)
{
    const bool wide = r->s->dtype == LT_F64;
    return (golden_array){(const char *)data + (size_t)first * (wide ? sizeof(double) : sizeof(float)), wide, n};
}

static void put(const run *r, void *data, int64_t i, double value)
{
    if (r->s->dtype == LT_F64)
        ((double *)data)[i] = value;
    else
        ((float *)data)[i] = (float)value;
}

static double number(const run *r, const char *key)
{
    const char *text = lt_tensor_file_meta(r->file, key);
    assert_non_null(text);
    return strtod(text, NULL);
}

static int64_t count(const lt_value_info *info)
{
    int64_t n = 1;
    for (int i = 0; i < info->shape.n_dims; i++)
        n *= info->shape.dim[i];
    return n;
}

static bool ends_with(const char *s, const char *end)
{
    return strlen(s) >= strlen(end) && strcmp(s + strlen(s) - strlen(end), end) == 0;
}

// As `fill` of make_golden.py.
static void fill(const run *r, void *slab, const lt_value_info *info)
{
    double low = -0.2, high = 0.2;
    if (ends_with(info->name, ".weight") && info->shape.n_dims > 1) {
        high = sqrt(6.0 / (double)(count(info) / info->shape.dim[0]));
        low = -high;
    } else if (ends_with(info->name, ".weight") || ends_with(info->name, ".running_var")) {
        low = 0.5;
        high = 1.5;
    }
    for (int64_t i = 0; i < count(info); i++)
        put(r, slab, info->slab_offset + i, (double)golden_value(info->name, i, low, high));
}

static void make_model(run *r)
{
    lt_model_shape shape = {.n_classes = (int)number(r, "classes")};
    const char *input = lt_tensor_file_meta(r->file, "input");
    assert_int_equal(sscanf(input, "%dx%dx%d", &shape.c, &shape.h, &shape.w), 3);
    assert_ok(lt_model_create(lt_tensor_file_meta(r->file, "spec"), shape, &r->model));
    const size_t real = r->s->dtype == LT_F64 ? sizeof(double) : sizeof(float);
    r->params = calloc((size_t)r->model->n_params, real);
    r->grads = calloc((size_t)r->model->n_params, real);
    r->state = calloc((size_t)r->model->n_state + 1, real);
    lt_value_info info;
    for (lt_val v = 0; v < lt_graph_n_values(r->model->graph); v++) {
        assert_ok(lt_graph_value(r->model->graph, v, &info));
        if (info.role == LT_ROLE_PARAM)
            fill(r, r->params, &info);
        else if (info.role == LT_ROLE_STATE)
            fill(r, r->state, &info);
    }
}

static void put_batch(const run *r, lt_plan *plan)
{
    const lt_model_shape s = r->model->shape;
    void *x = lt_plan_buffer(plan, r->model->x), *weight = lt_plan_buffer(plan, r->weight);
    int32_t *labels = lt_plan_buffer(plan, r->labels);
    for (int64_t i = 0; i < r->batch * s.c * s.h * s.w; i++)
        put(r, x, i, (double)golden_value(lt_tensor_file_meta(r->file, "images"), i, 0, 1));
    for (int64_t i = 0; i < r->batch; i++) {
        labels[i] = (int32_t)(golden_u("y", i) * s.n_classes);
        put(r, weight, i, 1.0 / (double)r->batch);
    }
}

static void make_plans(run *r)
{
    assert_ok(lt_graph_dup(r->model->graph, &r->graph));
    r->labels = lt_input(r->graph, "labels", LT_I32, LT_SHAPE(LT_BATCH));
    r->weight = lt_input(r->graph, "weight", LT_F32, LT_SHAPE(LT_BATCH));
    r->loss = lt_weighted_sum(r->graph, lt_cross_entropy(r->graph, r->model->logits, r->labels, 0), r->weight);
    assert_ok(lt_graph_status(r->graph));
    const lt_val outs[] = {r->model->logits, r->loss};
    lt_plan_spec spec = {.outs = outs,
                         .n_outs = 2,
                         .grad_of = r->loss,
                         .seed = LT_NONE,
                         .wrt = &r->model->x,
                         .n_wrt = 1,
                         .batch = r->batch,
                         .dtype = r->s->dtype,
                         .flags = strcmp(r->s->golden, "resnet18_w16") == 0 ? 0 : LT_PLAN_NO_TUNE};
    assert_ok(lt_plan_create(r->graph, &spec, r->backend, &r->eval));
    spec.train = spec.wrt_params = true;
    assert_ok(lt_plan_create(r->graph, &spec, r->backend, &r->train));
    assert_ok(lt_plan_bind(r->eval, r->params, r->state, NULL));
    assert_ok(lt_plan_bind(r->train, r->params, r->state, r->grads));
    put_batch(r, r->eval);
    put_batch(r, r->train);
}

// The golden tensor `prefix``name`, in full or as a summary.
static void compare_scaled(const run *r, const char *prefix, const char *name, golden_array got, double tolerance,
                           double scale)
{
    char key[256];
    snprintf(key, sizeof key, "%s%s", prefix, name);
    const lt_tensor *t = lt_tensor_file_find(r->file, key);
    if (t) {
        golden_compare(key, got, golden_tensor(t), tolerance, scale);
        return;
    }
    snprintf(key, sizeof key, "summary.%s%s", prefix, name);
    t = lt_tensor_file_find(r->file, key);
    if (!t)
        fail_msg("no golden tensor %s%s", prefix, name);
    golden_compare_summary(key, got, golden_tensor(t), tolerance, scale);
}

static void compare(const run *r, const char *name, golden_array got, double tolerance)
{
    compare_scaled(r, "", name, got, tolerance, 0);
}

static void compare_slab(const run *r, lt_role role, const void *slab, const char *prefix, double tolerance)
{
    lt_value_info info;
    double squares = 0;
    const golden_array all = array(r, slab, 0, role == LT_ROLE_PARAM ? r->model->n_params : r->model->n_state);
    for (int64_t i = 0; i < all.n; i++)
        squares += golden_at(all, i) * golden_at(all, i);
    for (lt_val v = 0; v < lt_graph_n_values(r->model->graph); v++) {
        assert_ok(lt_graph_value(r->model->graph, v, &info));
        if (info.role == role)
            compare_scaled(r, prefix, info.name, array(r, slab, info.slab_offset, count(&info)), tolerance,
                           1e-3 * sqrt(squares));
    }
}

static double loss_of(const run *r)
{
    return golden_at(array(r, lt_plan_buffer(r->train, r->loss), 0, 1), 0);
}

static void sgd_steps(run *r)
{
    const double lr = number(r, "lr"), momentum = number(r, "momentum"), decay = number(r, "weight_decay");
    const golden_array want = golden_tensor(lt_tensor_file_find(r->file, "sgd_loss"));
    double *velocity = calloc((size_t)r->model->n_params, sizeof *velocity);
    const golden_array p = array(r, r->params, 0, r->model->n_params), g = array(r, r->grads, 0, r->model->n_params);
    for (int step = 0; step < STEPS; step++) {
        assert_ok(lt_plan_run(r->train));
        const double error = fabs(loss_of(r) - golden_at(want, step));
        if (!(error <= r->lim.trace * (0.1 + golden_at(want, step))))
            fail_msg("loss of step %d: expected %.8g, found %.8g", step, golden_at(want, step), loss_of(r));
        for (int64_t i = 0; i < r->model->n_params; i++) {
            velocity[i] = momentum * velocity[i] + golden_at(g, i) + decay * golden_at(p, i);
            put(r, r->params, i, golden_at(p, i) - lr * velocity[i]);
        }
        lt_plan_params_changed(r->train);
    }
    free(velocity);
}

static void test_case(void **state)
{
    run r = {.s = *state, .file = golden_open(((const setup *)*state)->golden)};
    const lt_model_shape *shape;
    r.lim = r.s->dtype == LT_F64 ? limits_f64 : limits_f32;
    if (r.s->dtype == LT_F32 && number(&r, "kink_margin") < kink_margin)
        r.lim.grad = kink_grad;
    r.batch = (int64_t)number(&r, "batch");
    assert_ok(lt_backend_create(r.s->backend, 2, &r.backend));
    make_model(&r);
    make_plans(&r);
    shape = &r.model->shape;
    const int64_t n_logits = r.batch * shape->n_classes, n_x = r.batch * shape->c * shape->h * shape->w;

    assert_ok(lt_plan_run(r.eval));
    const golden_array eval_logits = array(&r, lt_plan_buffer(r.eval, r.model->logits), 0, n_logits);
    compare(&r, "logits_eval", eval_logits, r.lim.logits);
    compare(&r, "grad_x_eval", array(&r, lt_plan_grad(r.eval, 0), 0, n_x), r.lim.grad);

    assert_ok(lt_plan_run(r.train));
    compare(&r, "logits_train", array(&r, lt_plan_buffer(r.train, r.model->logits), 0, n_logits), r.lim.logits);
    compare(&r, "loss", array(&r, lt_plan_buffer(r.train, r.loss), 0, 1), r.lim.logits);
    compare(&r, "grad_x", array(&r, lt_plan_grad(r.train, 0), 0, n_x), r.lim.grad);
    compare_slab(&r, LT_ROLE_PARAM, r.grads, "grad.", r.lim.grad);
    compare_slab(&r, LT_ROLE_STATE, r.state, "after.", r.lim.stats);

    sgd_steps(&r);
    lt_plan_params_changed(r.eval);
    assert_ok(lt_plan_run(r.eval));
    compare(&r, "sgd_logits_eval", eval_logits, r.s->dtype == LT_F64 ? 1e-6 : 5e-2);

    lt_plan_destroy(r.eval);
    lt_plan_destroy(r.train);
    lt_graph_destroy(r.graph);
    lt_model_destroy(r.model);
    lt_backend_destroy(r.backend);
    lt_tensor_file_close(r.file);
    free(r.params);
    free(r.state);
    free(r.grads);
}

int main(void)
{
    static setup setups[N_CASES * (MAX_BACKENDS + 1)];
    static struct CMUnitTest tests[N_CASES * (MAX_BACKENDS + 1)];
    size_t n = 0;
    bool fast = false;
    for (const char *const *b = lt_backend_names(); *b; b++) {
        const bool ref = strcmp(*b, "ref") == 0;
        fast |= !ref;
        for (int wide = 0; wide <= (ref ? 1 : 0); wide++) {
            for (int c = 0; c < N_CASES; c++) {
                const bool is_wide = strcmp(cases[c], "resnet18_w64") == 0 || strcmp(cases[c], "resnet18_w16") == 0;
                if (strcmp(*b, "auto") == 0 || (ref && is_wide))
                    continue;
                setups[n] = (setup){cases[c], *b, wide ? LT_F64 : LT_F32, ""};
                snprintf(setups[n].name, sizeof setups[n].name, "%s %s %s", cases[c], *b, wide ? "f64" : "f32");
                tests[n] = (struct CMUnitTest){setups[n].name, test_case, NULL, NULL, &setups[n]};
                n++;
            }
        }
    }
    if (!fast)
        print_message("only the reference backend is built: wide models and fast kernels are not tested\n");
    return _cmocka_run_group_tests("golden", tests, n, NULL, NULL);
}
