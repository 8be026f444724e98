// test_cuda_train.c - training on the emulated card: the device sees the loader's batches, steps follow those on the
// CPU, interruption does not show, and what goes wrong is said.
#include "cuda/cuda_test.h"
#include "base/augment.h"
#include "graph/backend.h"
#include "train/train_test.h"
#include <math.h>

enum { LEN = T_C * T_SIDE * T_SIDE, MOST_STEPS = 64 };

static int setup(void **state)
{
    (void)state;
    emu_use(NULL);
    return 0;
}

// ---- batches

typedef struct on_card { // images, and one batch's worth of memory
    void *bytes, *floats, *image, *id, *tag, *how, *x;
} on_card;

static void *there(lt_backend *b, const void *host, size_t bytes)
{
    void *p;
    assert_ok(b->ops->device->alloc(b, bytes, &p));
    if (host)
        assert_ok(b->ops->device->upload(b, p, host, bytes));
    return p;
}

// x (n,C,H,W) as the device makes it of what the loader says. replaced: the view that has images of its own.
static void device_batch(lt_backend *b, const lt_view *replaced, const lt_batch *batch, uint64_t seed, uint32_t epoch,
                         float *x)
{
    const lt_split_data *s = &replaced->ds->split[LT_TRAIN];
    const size_t n = (size_t)batch->n;
    const void *image[16];
    uint8_t how[16];
    on_card c = {.bytes = there(b, s->x, (size_t)s->n * LEN),
                 .floats = there(b, replaced->images, (size_t)replaced->n * LEN * 4)};
    for (size_t i = 0; i < n; i++) {
        const bool floats = batch->tag[i] == replaced->tag;
        image[i] = floats ? (const void *)((const float *)c.floats + batch->at[i] * LEN)
                          : (const void *)((const uint8_t *)c.bytes + batch->row[i] * LEN);
        how[i] = (uint8_t)((batch->augmented[i] ? LTI_IMAGE_AUGMENT : 0) | (floats ? LTI_IMAGE_FLOATS : 0));
    }
    c.image = there(b, image, n * sizeof *image);
    c.id = there(b, batch->id, n * 8);
    c.tag = there(b, batch->tag, n * 4);
    c.how = there(b, how, n);
    c.x = there(b, NULL, n * LEN * 4);
    const lt_device_images im = {.image = c.image,
                                 .id = c.id,
                                 .tag = c.tag,
                                 .how = c.how,
                                 .n = (int32_t)batch->n,
                                 .c = T_C,
                                 .h = T_SIDE,
                                 .w = T_SIDE,
                                 .pad = 4,
                                 .seed = seed,
                                 .epoch = epoch,
                                 .x = c.x};
    assert_ok(b->ops->device->images(b, &im));
    assert_ok(b->ops->device->download(b, x, c.x, n * LEN * 4));
    assert_ok(b->ops->device->sync(b));
    void *const all[] = {c.bytes, c.floats, c.image, c.id, c.tag, c.how, c.x};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        b->ops->device->release(b, all[i]);
}

static void device_makes_the_loaders_batches(void **state)
{
    (void)state;
    lt_dataset *ds = t_dataset();
    lt_backend *b;
    static const int64_t rows[] = {3, 21, 3, 0, 7};
    static float images[6 * LEN];
    lt_view views[4];
    for (int v = 0; v < 4; v++)
        views[v] = lt_view_split(ds, LT_TRAIN);
    for (int i = 0; i < 6 * LEN; i++)
        images[i] = (float)(i * 37 % 1000) / 999.0f;
    views[0].augment = views[2].augment = views[3].augment = true;
    views[3].row = rows + 1; // images in their place, in an order of their own
    views[3].n = 4;
    views[3].images = images + LEN;
    views[3].tag = 4;
    views[1].row = rows;
    views[1].n = 5;
    views[2].tag = 9;
    assert_ok(lt_backend_create("cuda", 1, &b));
    int n_seen = 0, n_equal_plain = 0;
    for (uint32_t epoch = 0; epoch < 4; epoch++) {
        const uint64_t seed = epoch < 2 ? 5 : UINT64_C(0x123456789abcdef);
        const lt_loader_spec spec = {
            .views = views, .n_views = 4, .batch = 10, .shuffle = true, .seed = seed, .phase = 1, .pad = 4};
        lt_loader *l;
        const lt_batch *batch;
        assert_ok(lt_loader_create(&spec, &l));
        assert_ok(lt_loader_start(l, epoch, 0));
        for (assert_ok(lt_loader_next(l, &batch)); batch->n > 0; assert_ok(lt_loader_next(l, &batch))) {
            float x[10 * LEN];
            device_batch(b, &views[3], batch, seed, epoch, x);
            assert_memory_equal(x, batch->x, (size_t)batch->n * LEN * sizeof *x);
            for (int64_t i = 0; i < batch->n; i++, n_seen++) {
                const uint8_t *bytes = ds->split[LT_TRAIN].x + batch->row[i] * LEN;
                bool plain = true;
                for (int p = 0; p < LEN; p++)
                    plain = plain && x[i * LEN + p] == (float)bytes[p] / 255.0f;
                n_equal_plain += plain;
            }
        }
        lt_loader_destroy(l);
    }
    assert_int_equal(n_seen, 4 * (2 * T_TRAIN + 5 + 4));
    assert_true(n_equal_plain >= 4 * 5 && n_equal_plain < n_seen / 2); // augmented ones differ
    lt_backend_destroy(b);
    lt_dataset_close(ds);
}

// ---- whole jobs

typedef struct trace {
    double loss[MOST_STEPS];
    int n;
    lt_interrupt_flag *stop; // set after step stop_at
    int stop_at;
} trace;

static void on_step(const lt_job *job, const lt_step *step, void *ctx)
{
    trace *t = ctx;
    (void)job;
    assert_true(t->n < MOST_STEPS);
    t->loss[t->n++] = step->loss;
    if (t->stop && t->n == t->stop_at)
        *t->stop = 1;
}

static const char *const models[] = {"simple-conv:width=4", "resnet18:width=4"};

static void use_model(fixture *f, const char *spec)
{
    lt_model_destroy(f->model);
    assert_ok(lt_model_create(spec, (lt_model_shape){T_C, T_SIDE, T_SIDE, T_CLASSES}, &f->model));
    lt_model_init(f->model, 5);
    f->job.model = f->model;
}

static void train(const char *backend, const char *model, int32_t optimizer, const uint8_t *mask, fixture *f, trace *t)
{
    t_open(f, backend, 1);
    use_model(f, model);
    *t = (trace){0};
    f->job.cfg.optimizer = optimizer;
    f->job.cfg.lr = 1e-3f; // few samples and batch norm: larger steps would part any two machines
    f->job.cfg.schedule = LT_SCHED_CONST;
    f->job.cfg.epochs = 4;
    f->job.phase[0].view[0].augment = true;
    f->job.mask = mask;
    f->job.on_step = on_step;
    f->job.step_ctx = t;
    f->job.step_only = true;
    lt_train_result r;
    if (lt_train_run(&f->job, &f->env, NULL, false, &r) != LT_OK)
        fail_msg("%s: %s", backend, lt_error_get()->message);
}

static void steps_follow_the_cpu(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        fixture a, b, c;
        trace ta, tb, tc;
        train("cuda", models[i / 2], i % 2 ? LT_ADAMW : LT_SGD, NULL, &a, &ta);
        train("ref", models[i / 2], i % 2 ? LT_ADAMW : LT_SGD, NULL, &b, &tb);
        train("cuda:precision=bf16", models[i / 2], i % 2 ? LT_ADAMW : LT_SGD, NULL, &c, &tc);
        assert_int_equal(ta.n, 12);
        assert_int_equal(tb.n, 12);
        // The last layers of the second model normalise 6 to 8 numbers: a ReLU that flips in the last bit shows there
        // after some steps, whatever the backend, and all of bf16 does.
        double worst = 0, worst_bf16 = 0;
        for (int s = 0; s < (i < 2 ? 10 : 7); s++) {
            worst = fmax(worst, fabs(ta.loss[s] - tb.loss[s]) / tb.loss[s]);
            worst_bf16 = fmax(worst_bf16, fabs(tc.loss[s] - tb.loss[s]) / tb.loss[s]);
            if (!(fabs(ta.loss[s] - tb.loss[s]) < 1e-4 * tb.loss[s]))
                fail_msg("%s, step %d: loss %.8g, on the CPU %.8g", models[i / 2], s, ta.loss[s], tb.loss[s]);
            if (i < 2 && !(fabs(tc.loss[s] - tb.loss[s]) < 3e-2 * tb.loss[s]))
                fail_msg("%s bf16, step %d: loss %.8g, on the CPU %.8g", models[i / 2], s, tc.loss[s], tb.loss[s]);
        }
        printf("parity loss of steps, f32: worst %.3g (allowed 1e-4) in %s\n", worst, models[i / 2]);
        if (i < 2)
            printf("parity loss of steps, bf16: worst %.3g (allowed 3e-2) in %s\n", worst_bf16, models[i / 2]);
        assert_true(ta.loss[0] != ta.loss[3]);
        t_close(&a);
        t_close(&b);
        t_close(&c);
    }
}

static void masked_parameters_keep_their_bits(void **state)
{
    (void)state;
    fixture f;
    trace t;
    t_open(&f, "cuda", 1);
    use_model(&f, models[1]);
    const int64_t n = f.model->n_params;
    uint8_t *mask = calloc((size_t)n, 1);
    float *before = malloc((size_t)n * sizeof *before);
    memcpy(before, f.model->params, (size_t)n * sizeof *before);
    for (int64_t i = 0; i < n; i++)
        mask[i] = i % 3 == 0;
    t_close(&f);
    train("cuda", models[1], LT_SGD, mask, &f, &t);
    int64_t moved = 0;
    for (int64_t i = 0; i < n; i++) {
        if (!mask[i])
            assert_memory_equal(&before[i], &f.model->params[i], sizeof(float));
        moved += before[i] != f.model->params[i];
    }
    assert_true(moved > n / 6);
    t_close(&f);
    free(mask);
    free(before);
}

static void interruption_does_not_show(void **state)
{
    (void)state;
    char path[] = "/tmp/lethe-cuda-XXXXXX";
    assert_non_null(mkdtemp(path));
    char *file = lti_asprintf("%s/state.safetensors", path);
    fixture whole, part;
    trace t;
    train("cuda", models[1], LT_SGD, NULL, &whole, &t);
    for (int stop_at = 2; stop_at <= 6; stop_at += 4) { // inside the first epoch, at the end of the second
        lt_interrupt_flag stop = 0;
        t_open(&part, "cuda", 1);
        use_model(&part, models[1]);
        trace pt = {.stop = &stop, .stop_at = stop_at};
        part.job.cfg = whole.job.cfg;
        part.job.phase[0].view[0].augment = true;
        part.job.on_step = on_step;
        part.job.step_ctx = &pt;
        part.env.stop = &stop;
        assert_int_equal(lt_train_run(&part.job, &part.env, file, false, NULL), LT_E_INTERRUPTED);
        stop = 0;
        pt.stop = NULL;
        lt_model_init(part.model, 99); // what the checkpoint must replace
        assert_ok(lt_train_run(&part.job, &part.env, file, true, NULL));
        assert_int_equal(pt.n, t.n);
        assert_memory_equal(part.model->params, whole.model->params, (size_t)part.model->n_params * sizeof(float));
        assert_memory_equal(part.model->state, whole.model->state, (size_t)part.model->n_state * sizeof(float));
        t_close(&part);
        remove(file);
    }
    t_close(&whole);
    rmdir(path);
    lti_free(file);
}

static void steps_move_little(void **state)
{
    (void)state;
    if (!emu_is_used())
        skip();
    emu_counts *c = emu_count();
    fixture f;
    trace t;
    assert_non_null(c);
    const emu_counts before = *c;
    train("cuda", models[1], LT_SGD, NULL, &f, &t);
    const long params = (long)f.model->n_params * 4, image = LEN * 4;
    // Up: pixels once, parameters and moments at the start, parameters again at each of four epochs; not at each of 12
    // steps, and no image as floats. Down: parameters, moments and gradients once an epoch.
    assert_true(c->uploaded - before.uploaded < 8 * params + T_TRAIN * image);
    assert_true(c->downloaded - before.downloaded < 4 * 3 * params + params);
    // Two batch sizes: three full batches an epoch of 22 samples are two of 8 and one of 6.
    assert_int_equal(c->recordings - before.recordings, 2);
    assert_int_equal(c->replays - before.replays, t.n - 2);
    assert_int_equal(c->recordings_freed - before.recordings_freed, 2);
    t_close(&f);
}

// ---- views with images of their own

typedef struct replacer {
    float image[5 * LEN];
    int64_t row[5];
    int32_t label[5];
} replacer;

// New images in the same place, as a method draws them.
static lt_status draw_images(lt_job *job, int32_t epoch, void *ctx)
{
    replacer *r = ctx;
    (void)job;
    lt_rng rng = lt_rng_at(23, LT_STREAM_TEST, (uint32_t)epoch, 0);
    for (int i = 0; i < 5 * LEN; i++)
        r->image[i] = lt_rng_uniform(&rng);
    return LT_OK;
}

static lt_status draw_in_phase(lt_job *job, int32_t epoch, int phase, void *ctx)
{
    return phase == 1 ? draw_images(job, epoch + 100, ctx) : LT_OK;
}

static void train_replaced(const char *backend, bool by_phase, fixture *f, trace *t, replacer *r)
{
    t_open(f, backend, 1);
    *t = (trace){0};
    for (int i = 0; i < 5; i++) {
        r->row[i] = 4 * i;
        r->label[i] = i % T_CLASSES;
    }
    draw_images(NULL, 0, r);
    lt_view own = lt_view_rows(f->ds, LT_TRAIN, &(lt_index_set){.n = 5, .row = r->row});
    own.images = r->image;
    own.labels = r->label;
    own.tag = 1;
    own.augment = true;
    lt_view test = lt_view_split(f->ds, LT_TEST); // another split in the same phase
    test.tag = 2;
    f->job.phase[0].view[1] = own;
    f->job.phase[0].view[2] = test;
    f->job.phase[0].n_views = 3;
    f->job.phase[0].view[0].augment = true;
    f->job.phase[1] = (lt_phase){.view = {own}, .n_views = 1, .batch = 5};
    f->job.phase[1].view[0].tag = 3;
    f->job.n_phases = 2;
    if (by_phase)
        f->job.on_phase = draw_in_phase;
    else
        f->job.on_epoch = draw_images;
    f->job.ctx = r;
    f->job.on_step = on_step;
    f->job.step_ctx = t;
    f->job.step_only = true;
    f->job.cfg.lr = 1e-3f;
    f->job.cfg.schedule = LT_SCHED_CONST;
    if (lt_train_run(&f->job, &f->env, NULL, false, NULL) != LT_OK)
        fail_msg("%s: %s", backend, lt_error_get()->message);
}

static void replaced_images_stay_there(void **state)
{
    (void)state;
    for (int by_phase = 0; by_phase < 2; by_phase++) {
        static replacer ra, rb;
        fixture a, b;
        trace ta, tb;
        emu_counts *c = emu_is_used() ? emu_count() : NULL;
        const long before = c ? c->uploaded : 0;
        train_replaced("cuda", by_phase, &a, &ta, &ra);
        const long up = c ? c->uploaded - before : 0;
        train_replaced("ref", by_phase, &b, &tb, &rb);
        assert_int_equal(ta.n, 18); // 40 samples in 5 batches, and one of the second phase, three times
        for (int s = 0; s < ta.n; s++)
            if (!(fabs(ta.loss[s] - tb.loss[s]) < 1e-5 * tb.loss[s]))
                fail_msg("step %d: loss %.8g, on the CPU %.8g", s, ta.loss[s], tb.loss[s]);
        // Up: pixels once, own images of both phases at most twice an epoch; 45 images an epoch would be 135.
        const long params = (long)a.model->n_params * 4, image = LEN * 4;
        assert_true(up <
                    (by_phase ? 14 : 8) * params + (T_TRAIN + T_TEST) * LEN + (3 * 10 + 3 * 5) * image + 3 * 45 * 64);
        t_close(&a);
        t_close(&b);
    }
}

static void failures_are_said(void **state)
{
    (void)state;
    if (!emu_is_used())
        skip();
    fixture f;
    emu_use("memory=100000");
    t_open(&f, "cuda", 1);
    use_model(&f, models[1]);
    assert_int_equal(lt_train_run(&f.job, &f.env, NULL, false, NULL), LT_E_NOMEM);
    assert_non_null(strstr(lt_error_get()->message, "out of device memory"));
    assert_non_null(strstr(lt_error_get()->message, "MiB more were needed"));
    t_close(&f);
    lt_status status = LT_E_FAIL;
    int n_failed = 0;
    for (int at = 1; status != LT_OK; at += 97) { // any launch may fail; the job ends, nothing is left over
        char fault[32];
        snprintf(fault, sizeof fault, "fail=%d", at);
        emu_use(fault);
        t_open(&f, "cuda", 1);
        use_model(&f, models[1]);
        status = lt_train_run(&f.job, &f.env, NULL, false, NULL);
        if (status != LT_OK) {
            assert_int_equal(status, LT_E_FAIL);
            assert_non_null(strstr(lt_error_get()->message, "illegal memory access"));
            n_failed++;
        }
        t_close(&f);
    }
    assert_true(n_failed > 5);
    emu_use(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(device_makes_the_loaders_batches),
        cmocka_unit_test(steps_follow_the_cpu),
        cmocka_unit_test(masked_parameters_keep_their_bits),
        cmocka_unit_test(interruption_does_not_show),
        cmocka_unit_test(steps_move_little),
        cmocka_unit_test(replaced_images_stay_there),
        cmocka_unit_test(failures_are_said),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
