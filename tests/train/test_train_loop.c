// test_train_loop.c - whole small jobs: they learn, repeat bit for bit, respect masks, stop at divergence, report what
// they do, and do not allocate once they run.
#include "train_test.h"

#include <math.h>

#include "train/train_impl.h"

// Everything a sink and on_step have seen.
typedef struct seen {
    int n_steps, n_epochs, n_progress, n_fields;
    int64_t last_epoch, done, total, allocs_first, allocs_last;
    double loss[256], lr[256], train_acc, test_acc, test_loss, images_per_s;
    int64_t n[256], batch[256];
    int phase[256];
} seen;

static void on_step(const lt_job *job, const lt_step *step, void *ctx)
{
    (void)job;
    seen *s = ctx;
    assert_in_range(s->n_steps, 0, 255);
    s->loss[s->n_steps] = step->loss;
    s->lr[s->n_steps] = step->lr;
    s->n[s->n_steps] = step->n;
    s->phase[s->n_steps] = step->phase;
    s->batch[s->n_steps] = step->batch;
    if (s->n_steps == 0)
        s->allocs_first = lti_alloc_count();
    s->allocs_last = lti_alloc_count();
    s->n_steps++;
    assert_int_equal(step->step, s->n_steps);
}

static double field(const lt_event *e, const char *key)
{
    for (int i = 0; i < e->n_fields; i++)
        if (strcmp(e->fields[i].key, key) == 0)
            return e->fields[i].value;
    fail_msg("%s: no field %s", e->name, key);
    return 0;
}

static void sink(void *self, const lt_event *e)
{
    seen *s = self;
    if (strcmp(e->name, "train.epoch") == 0) {
        assert_int_equal(e->kind, LT_EV_METRIC);
        s->n_epochs++;
        s->last_epoch = e->epoch;
        s->n_fields = e->n_fields;
        s->train_acc = field(e, "train_acc");
        s->images_per_s = field(e, "images_per_s");
        assert_true(field(e, "lr") == lti_decimal_of((float)field(e, "lr"))); // 0.05 as it was given, not the float
        if (e->n_fields > 4) {
            s->test_acc = field(e, "test_acc");
            s->test_loss = field(e, "test_loss");
        }
    } else if (strcmp(e->name, "train.progress") == 0) {
        assert_int_equal(e->kind, LT_EV_PROGRESS);
        assert_string_equal(e->unit, "images");
        s->n_progress++;
        s->done = e->done;
        s->total = e->total;
    }
}

static void watch(fixture *f, seen *s)
{
    memset(s, 0, sizeof *s);
    assert_ok(lt_events_create(&f->env.events));
    assert_ok(lt_events_add(f->env.events, (lt_sink){sink, s}));
    f->job.on_step = on_step;
    f->job.step_ctx = s;
}

static void unwatch(fixture *f)
{
    lt_events_destroy(f->env.events);
    f->env.events = NULL;
}

static void memorises(lt_optimizer_kind kind, float lr)
{
    fixture f;
    t_open(&f, "ref", 1);
    f.job.cfg.optimizer = (int32_t)kind;
    f.job.cfg.lr = lr;
    f.job.cfg.epochs = 25;
    lt_train_result r;
    assert_ok(lt_train_run(&f.job, &f.env, NULL, false, &r));
    assert_int_equal(r.epochs, 25);
    assert_int_equal(r.steps, 75);
    assert_int_equal(r.images, 25 * T_TRAIN);
    assert_int_equal(r.n_forward, r.images);
    assert_int_equal(r.n_backward, r.images);
    assert_int_equal(r.eval.n, 0);
    assert_true(r.wall_s > 0 && r.images_per_s > 0);
    const lt_view train = lt_view_split(f.ds, LT_TRAIN), test = lt_view_split(f.ds, LT_TEST);
    lt_eval_result on_train, on_test;
    assert_ok(lt_evaluate(f.model, &train, &f.env, 8, NULL, NULL, &on_train));
    assert_ok(lt_evaluate(f.model, &test, &f.env, 8, NULL, NULL, &on_test));
    if (on_train.acc < 1 || on_train.loss > 0.3 || on_test.acc < 0.75)
        fail_msg("train acc %g loss %g, test acc %g", on_train.acc, on_train.loss, on_test.acc);
    t_close(&f);
}

static void learns(void **state)
{
    (void)state;
    memorises(LT_SGD, 0.05f);
    memorises(LT_ADAMW, 0.01f);
}

// The order of phases and batches, learning rates by step, and what events say.
static void reports(void **state)
{
    (void)state;
    fixture f;
    seen *s = lti_calloc(1, sizeof *s);
    t_open(&f, "ref", 1);
    watch(&f, s);
    const lt_view test = lt_view_split(f.ds, LT_TEST);
    f.job.eval_view = &test;
    f.job.cfg.eval_every = 2;
    f.job.n_phases = 2; // 22 in batches of 8, then 13
    f.job.phase[1] = (lt_phase){.view = {test}, .n_views = 1};
    lt_train_result r;
    assert_ok(lt_train_run(&f.job, &f.env, NULL, false, &r));
    assert_int_equal(s->n_steps, 15);
    const int64_t n[] = {8, 8, 6, 8, 5}, batch[] = {0, 1, 2, 0, 1};
    for (int i = 0; i < 15; i++) {
        assert_int_equal(s->n[i], n[i % 5]);
        assert_int_equal(s->batch[i], batch[i % 5]);
        assert_int_equal(s->phase[i], i % 5 >= 3);
        assert_true(fabs(s->lr[i] - lt_train_lr(&f.job.cfg, i / 5, i % 5, 5)) < 1e-12);
    }
    assert_int_equal(s->n_epochs, 3);
    assert_int_equal(s->last_epoch, 3);
    assert_int_equal(s->n_fields, 6); // the last epoch is always evaluated
    assert_true(s->n_progress >= 1 && s->done == 3 * (T_TRAIN + T_TEST) && s->total == s->done);
    assert_int_equal(r.eval.n, T_TEST);
    assert_true(r.eval.acc == s->test_acc && r.eval.loss == s->test_loss && r.train_acc == s->train_acc);
    lt_eval_result again;
    assert_ok(lt_evaluate(f.model, &test, &f.env, 8, NULL, NULL, &again));
    assert_true(again.acc == r.eval.acc && fabs(again.loss - r.eval.loss) < 1e-12);
    unwatch(&f);
    t_close(&f);
    lti_free(s);
}

static void no_allocation(void **state)
{
    (void)state;
    fixture f;
    seen *s = lti_calloc(1, sizeof *s);
    for (int threads = 0; threads < 3; threads += 2) {
        t_open(&f, "ref", 2);
        watch(&f, s);
        f.env.loader_threads = threads;
        f.job.phase[0].view[0].augment = true;
        assert_ok(lt_train_run(&f.job, &f.env, NULL, false, NULL));
        assert_int_equal(s->n_steps, 9); // three epochs, both batch sizes
        assert_true(s->allocs_first > 0);
        assert_int_equal(s->allocs_last, s->allocs_first);
        unwatch(&f);
        t_close(&f);
    }
    lti_free(s);
}

static void digest_after(const char *backend, int n_threads, int loader_threads, uint64_t seed, char out[65])
{
    fixture f;
    t_open(&f, backend, n_threads);
    f.env.loader_threads = loader_threads;
    f.job.seed = seed;
    f.job.phase[0].view[0].augment = true;
    assert_ok(lt_train_run(&f.job, &f.env, NULL, false, NULL));
    lt_model_digest(f.model, out);
    t_close(&f);
}

static void same_seed_same_bits(void **state)
{
    (void)state;
    for (const char *const *name = lt_backend_names(); *name; name++) {
        char a[65], b[65];
        digest_after(*name, 2, 0, 1, a);
        digest_after(*name, 2, 0, 1, b);
        assert_string_equal(a, b);
        digest_after(*name, 2, 1, 1, b);
        assert_string_equal(a, b);
        digest_after(*name, 2, 4, 1, b);
        assert_string_equal(a, b);
        digest_after(*name, 2, 0, 2, b);
        assert_string_not_equal(a, b);
    }
}

static void mask_untouched(void **state)
{
    (void)state;
    fixture f;
    t_open(&f, "ref", 1);
    const int64_t n = f.model->n_params;
    uint8_t *mask = lti_calloc((size_t)n, 1);
    float *before = lti_calloc((size_t)n, sizeof *before);
    memcpy(before, f.model->params, (size_t)n * sizeof *before);
    for (int64_t i = 0; i < n; i++)
        mask[i] = i % 2 == 1;
    f.job.mask = mask;
    f.job.l1 = 1e-4f;
    assert_ok(lt_train_run(&f.job, &f.env, NULL, false, NULL));
    int64_t moved = 0;
    for (int64_t i = 0; i < n; i++) {
        const bool same = memcmp(&before[i], &f.model->params[i], sizeof(float)) == 0;
        assert_true(same || mask[i]);
        moved += !same;
    }
    assert_true(moved > n / 4);
    lti_free(mask);
    lti_free(before);
    t_close(&f);
}

static double l1_norm(float l1)
{
    fixture f;
    t_open(&f, "ref", 1);
    f.job.l1 = l1;
    assert_ok(lt_train_run(&f.job, &f.env, NULL, false, NULL));
    double sum = 0;
    for (int64_t i = 0; i < f.model->n_params; i++)
        sum += fabs((double)f.model->params[i]);
    t_close(&f);
    return sum;
}

static void l1_shrinks(void **state)
{
    (void)state;
    assert_true(l1_norm(0.01f) < 0.9 * l1_norm(0));
}

static double first_loss(fixture *f)
{
    seen *s = lti_calloc(1, sizeof *s);
    watch(f, s);
    f->job.cfg.epochs = 1;
    assert_ok(lt_train_run(&f->job, &f->env, NULL, false, NULL));
    unwatch(f);
    const double loss = s->loss[0];
    lti_free(s);
    return loss;
}

// The loss of the first step: smoothing mixes in the mean of all labels' losses, weights scale, negative ones ascend.
static void losses(void **state)
{
    (void)state;
    fixture f;
    double by_label[T_CLASSES], plain = 0, mean = 0;
    int32_t labels[T_TRAIN];
    for (int k = -1; k < T_CLASSES; k++) { // -1: the true labels
        t_open(&f, "ref", 1);
        for (int i = 0; i < T_TRAIN; i++)
            labels[i] = k;
        f.job.phase[0].view[0].labels = k < 0 ? NULL : labels;
        const double loss = first_loss(&f);
        if (k < 0) {
            plain = loss;
        } else {
            by_label[k] = loss;
            mean += by_label[k] / T_CLASSES;
        }
        t_close(&f);
    }
    t_open(&f, "ref", 1);
    f.job.cfg.label_smoothing = 0.3f;
    const double smooth = first_loss(&f);
    assert_true(fabs(smooth - (0.7 * plain + 0.3 * mean)) < 1e-5);
    t_close(&f);
    t_open(&f, "ref", 1);
    f.job.phase[0].view[0].weight = -2;
    assert_true(fabs(first_loss(&f) + 2 * plain) < 1e-5);
    t_close(&f);
}

// A batch that is never full is averaged over what it holds.
static void partial_batch(void **state)
{
    (void)state;
    char digest[2][65];
    for (int k = 0; k < 2; k++) {
        fixture f;
        t_open(&f, "ref", 1);
        f.job.cfg.batch = k ? 1000 : T_TRAIN;
        assert_ok(lt_train_run(&f.job, &f.env, NULL, false, NULL));
        assert_int_equal(f.model->bn_batches, 3); // one a step
        lt_model_digest(f.model, digest[k]);
        t_close(&f);
    }
    assert_string_equal(digest[0], digest[1]);
}

// Gradient ascent (weight -1) from a trained model undoes it.
static void ascends(void **state)
{
    (void)state;
    fixture f;
    t_open(&f, "ref", 1);
    f.job.cfg.epochs = 25;            // long enough for the running statistics to settle
    f.job.cfg.label_smoothing = 0.2f; // keeps the gradient from vanishing
    f.job.cfg.lr = 0.05f;
    const lt_view train = lt_view_split(f.ds, LT_TRAIN);
    lt_eval_result before, after;
    assert_ok(lt_train_run(&f.job, &f.env, NULL, false, NULL));
    assert_ok(lt_evaluate(f.model, &train, &f.env, 8, NULL, NULL, &before));
    f.job.phase[0].view[0].weight = -1;
    f.job.cfg.epochs = 4;
    f.job.cfg.label_smoothing = 0;
    assert_ok(lt_train_run(&f.job, &f.env, NULL, false, NULL));
    assert_ok(lt_evaluate(f.model, &train, &f.env, 8, NULL, NULL, &after));
    if (!(after.loss > 2 * before.loss))
        fail_msg("loss %g before, %g after", before.loss, after.loss);
    t_close(&f);
}

// cfg.augment off is the same as no augmentation at all; on, it matters.
static void augment_switch(void **state)
{
    (void)state;
    char digest[4][65];
    for (int k = 0; k < 4; k++) {
        fixture f;
        t_open(&f, "ref", 1);
        f.job.cfg.augment = k & 1;
        f.job.phase[0].view[0].augment = k & 2;
        assert_ok(lt_train_run(&f.job, &f.env, NULL, false, NULL));
        lt_model_digest(f.model, digest[k]);
        t_close(&f);
    }
    assert_string_equal(digest[0], digest[1]);
    assert_string_equal(digest[0], digest[2]);
    assert_string_not_equal(digest[0], digest[3]);
}

// A learning rate of a million from the second epoch on: stops, names a tensor, and goes back to where that epoch
// began.
static lt_status rate_epoch(lt_job *job, int32_t epoch, void *ctx)
{
    if (epoch == 1) {
        job->cfg.lr = 1e6f;
        job->cfg.momentum = 0.99f;
        lt_model_digest(job->model, ctx);
    }
    return LT_OK;
}

static void diverges(void **state)
{
    (void)state;
    fixture f;
    char start[65], now[65];
    t_open(&f, "ref", 1);
    f.job.cfg.epochs = 40;
    f.job.cfg.weight_decay = 0.1f;
    f.job.cfg.schedule = LT_SCHED_CONST;
    f.job.on_epoch = rate_epoch;
    f.job.ctx = start;
    f.job.cfg.divergence_factor = 0;                // only what is not finite
    f.job.phase[0].view[0].row = (int64_t[512]){0}; // one sample over and over: many steps within an epoch
    f.job.phase[0].view[0].n = 512;
    lt_train_result r;
    assert_fails(LT_E_DIVERGED, "epoch 1", lt_train_run(&f.job, &f.env, NULL, false, &r));
    assert_int_equal(r.epochs, 1);
    const char *message = lt_error_get()->message;
    if (!strstr(message, "conv") && !strstr(message, "bn") && !strstr(message, "linear"))
        fail_msg("no tensor in '%s'", message);
    assert_contains(message, "step");
    assert_contains(lt_error_get()->hint, "1e+06");
    lt_model_digest(f.model, now);
    assert_string_equal(now, start);
    t_close(&f);
}

// A finite jump of the loss stops the job only when the guard is on.
static lt_status spike_epoch(lt_job *job, int32_t epoch, void *ctx)
{
    (void)ctx;
    if (epoch == 9)
        job->phase[0].view[0].weight = 1000;
    return LT_OK;
}

static void spikes(void **state)
{
    (void)state;
    for (int guard = 0; guard < 2; guard++) {
        fixture f;
        t_open(&f, "ref", 1);
        f.job.cfg.epochs = 10;
        f.job.cfg.lr = 1e-4f;
        f.job.cfg.divergence_factor = guard ? 20 : 0;
        f.job.on_epoch = spike_epoch;
        if (guard)
            assert_fails(LT_E_DIVERGED, "epoch 9", lt_train_run(&f.job, &f.env, NULL, false, NULL));
        else
            assert_ok(lt_train_run(&f.job, &f.env, NULL, false, NULL));
        if (guard)
            assert_contains(lt_error_get()->message, "gradient");
        t_close(&f);
    }
}

static void blames(void **state)
{
    (void)state;
    fixture f;
    t_open(&f, "ref", 1);
    float *grads = lti_calloc((size_t)f.model->n_params, sizeof *grads);
    lt_value_info info;
    assert_ok(lt_graph_value(f.model->graph, lt_graph_find(f.model->graph, "conv2.weight"), &info));
    lti_nonfinite_report b;
    grads[info.slab_offset + 3] = -7;
    lti_find_nonfinite(f.model, grads, &b);
    assert_string_equal(b.tensor, "conv2.weight");
    assert_string_equal(b.kind, "gradient");
    assert_true(b.finite && b.value == -7);
    grads[info.slab_offset + 5] = INFINITY;
    lti_find_nonfinite(f.model, grads, &b);
    assert_string_equal(b.tensor, "conv2.weight");
    assert_false(b.finite);
    assert_ok(lt_graph_value(f.model->graph, lt_graph_find(f.model->graph, "bn3.running_var"), &info));
    f.model->state[info.slab_offset] = NAN;
    lti_find_nonfinite(f.model, grads, &b);
    assert_string_equal(b.tensor, "bn3.running_var");
    assert_string_equal(b.kind, "running statistic");
    assert_ok(lt_graph_value(f.model->graph, lt_graph_find(f.model->graph, "linear.bias"), &info));
    f.model->params[info.slab_offset] = NAN;
    lti_find_nonfinite(f.model, grads, &b);
    assert_string_equal(b.tensor, "linear.bias");
    assert_string_equal(b.kind, "parameter");
    lti_free(grads);
    t_close(&f);
}

static void refuses(void **state)
{
    (void)state;
    fixture f;
    t_open(&f, "ref", 1);
    const lt_phase good = f.job.phase[0];
    int64_t rows[] = {0, T_TRAIN};
    int32_t labels[T_TRAIN] = {0};
    labels[4] = T_CLASSES;
    f.job.phase[0].view[0].row = rows;
    f.job.phase[0].view[0].n = 2;
    assert_fails(LT_E_FORMAT, "22", lt_train_run(&f.job, &f.env, NULL, false, NULL));
    f.job.phase[0] = good;
    f.job.phase[0].view[0].labels = labels;
    assert_fails(LT_E_FORMAT, "label", lt_train_run(&f.job, &f.env, NULL, false, NULL));
    f.job.phase[0] = good;
    f.job.phase[0].view[0].ds = NULL;
    assert_fails(LT_E_USAGE, "data set", lt_train_run(&f.job, &f.env, NULL, false, NULL));
    f.job.phase[0] = good;
    f.job.phase[0].view[0].weight = NAN;
    assert_fails(LT_E_USAGE, "weight", lt_train_run(&f.job, &f.env, NULL, false, NULL));
    f.job.phase[0] = good;
    f.job.n_phases = 0;
    assert_fails(LT_E_USAGE, "phases", lt_train_run(&f.job, &f.env, NULL, false, NULL));
    f.job.n_phases = 1;
    f.job.cfg.batch = 0;
    assert_fails(LT_E_USAGE, "batch", lt_train_run(&f.job, &f.env, NULL, false, NULL));
    f.job.cfg.batch = 8;
    lt_model *other = NULL;
    assert_ok(lt_model_create("simple-conv:width=4", (lt_model_shape){T_C, 16, 16, T_CLASSES}, &other));
    f.job.model = other;
    assert_fails(LT_E_SHAPE, "8x8", lt_train_run(&f.job, &f.env, NULL, false, NULL));
    f.job.model = f.model;
    lt_model_destroy(other);
    assert_fails(LT_E_USAGE, "backend", lt_train_run(&f.job, &(lt_env){0}, NULL, false, NULL));
    t_close(&f);
}

static lt_status failing_epoch(lt_job *job, int32_t epoch, void *ctx)
{
    (void)job, (void)ctx;
    return epoch == 1 ? LT_FAIL(LT_E_CHECK, "the recipe's own failure") : LT_OK;
}

static void on_epoch_can_fail(void **state)
{
    (void)state;
    fixture f;
    t_open(&f, "ref", 1);
    f.job.on_epoch = failing_epoch;
    lt_train_result r;
    assert_fails(LT_E_CHECK, "own failure", lt_train_run(&f.job, &f.env, NULL, false, &r));
    assert_int_equal(r.epochs, 1);
    t_close(&f);
}

// Fails the n-th allocation for n = 1, 2, 3, ... until the job succeeds.
static void survives_no_memory(void **state)
{
    (void)state;
    fixture f;
    const char *path = "train_nomem.safetensors";
    t_open(&f, "ref", 1);
    const lt_view test = lt_view_split(f.ds, LT_TEST);
    f.job.eval_view = &test;
    f.job.cfg.epochs = 1;
    lt_status status = LT_E_NOMEM;
    int64_t n = 0;
    while (status != LT_OK && n < 20000) {
        lti_alloc_fail_at(++n);
        status = lt_train_run(&f.job, &f.env, path, false, NULL);
        lti_alloc_fail_at(0);
        if (status != LT_OK && status != LT_E_NOMEM)
            fail_msg("allocation %lld: status %d, %s", (long long)n, (int)status, lt_error_get()->message);
    }
    assert_int_equal(status, LT_OK);
    assert_true(n > 20);
    remove(path);
    t_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(learns),
        cmocka_unit_test(reports),
        cmocka_unit_test(no_allocation),
        cmocka_unit_test(same_seed_same_bits),
        cmocka_unit_test(mask_untouched),
        cmocka_unit_test(l1_shrinks),
        cmocka_unit_test(losses),
        cmocka_unit_test(partial_batch),
        cmocka_unit_test(ascends),
        cmocka_unit_test(augment_switch),
        cmocka_unit_test(diverges),
        cmocka_unit_test(spikes),
        cmocka_unit_test(blames),
        cmocka_unit_test(refuses),
        cmocka_unit_test(on_epoch_can_fail),
        cmocka_unit_test(survives_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
