// test_train_resume.c - a job interrupted anywhere and resumed ends with the bits of the uninterrupted one; files of
// other jobs and damaged files are refused.
#include "train_test.h"

#include <stdlib.h>
#include <unistd.h>

#include "lethe/run.h"
#include "train/train_impl.h"

enum { EPOCHS = 3, PER_EPOCH = 5, STEPS = EPOCHS * PER_EPOCH };
static const char path[] = "train_resume.safetensors", copy[] = "train_resume_copy.safetensors";

// A job with all that has state: two phases (22 samples augmented, then 13 with random labels), a recipe that looks at
// the model at the start of each epoch, momentum, a schedule that moves with every step.
typedef struct plan {
    fixture f;
    volatile int stop;
    int64_t stop_at, first, last; // steps seen
    int32_t labels[T_TEST];
    lt_view test;
} plan;

static lt_status relabel(lt_job *job, int32_t epoch, void *ctx)
{
    plan *p = ctx;
    char digest[65];
    lt_model_digest(job->model, digest);
    for (int i = 0; i < T_TEST; i++)
        p->labels[i] = (digest[i] + epoch) % T_CLASSES;
    job->phase[1].view[0].labels = p->labels;
    return LT_OK;
}

static void on_step(const lt_job *job, const lt_step *step, void *ctx)
{
    (void)job;
    plan *p = ctx;
    p->first = p->first ? p->first : step->step;
    p->last = step->step;
    p->stop = step->step == p->stop_at;
}

static void setup_on(plan *p, const char *backend, lt_optimizer_kind kind, int loader_threads)
{
    memset(p, 0, sizeof *p);
    t_open(&p->f, backend, 2);
    lt_job *job = &p->f.job;
    job->cfg.epochs = EPOCHS;
    job->cfg.optimizer = (int32_t)kind;
    job->cfg.lr = kind == LT_ADAMW ? 0.01f : 0.1f;
    job->cfg.eval_every = 2;
    job->phase[0].view[0].augment = true;
    job->n_phases = 2;
    job->phase[1] = (lt_phase){.view = {lt_view_split(p->f.ds, LT_TEST)}, .n_views = 1};
    job->phase[1].view[0].tag = 1;
    job->on_epoch = relabel;
    job->ctx = p;
    job->on_step = on_step;
    job->step_ctx = p;
    p->test = lt_view_split(p->f.ds, LT_TEST);
    job->eval_view = &p->test;
    p->f.env.loader_threads = loader_threads;
    p->f.env.stop = &p->stop;
    p->stop_at = -1;
}

static void setup(plan *p, lt_optimizer_kind kind, int loader_threads)
{
    setup_on(p, "ref", kind, loader_threads);
}

typedef struct outcome {
    char digest[65];
    lt_train_result r;
    int64_t bn_batches;
} outcome;

static void finish(plan *p, const char *file, outcome *o)
{
    assert_ok(lt_train_run(&p->f.job, &p->f.env, file, file != NULL, &o->r));
    lt_model_digest(p->f.model, o->digest);
    o->bn_batches = p->f.model->bn_batches;
    t_close(&p->f);
}

static void same(const outcome *a, const outcome *b, int64_t at)
{
    if (strcmp(a->digest, b->digest) != 0)
        fail_msg("stopped after step %lld: weights differ", (long long)at);
    assert_int_equal(a->bn_batches, b->bn_batches);
    assert_int_equal(a->r.steps, b->r.steps);
    assert_int_equal(a->r.images, b->r.images);
    assert_int_equal(a->r.epochs, b->r.epochs);
    assert_int_equal(a->r.eval.n, b->r.eval.n);
    assert_true(a->r.last_loss == b->r.last_loss && a->r.train_acc == b->r.train_acc);
    assert_true(a->r.eval.acc == b->r.eval.acc && a->r.eval.loss == b->r.eval.loss && a->r.eval.ece == b->r.eval.ece);
}

static void interrupt_after(plan *p, int64_t step)
{
    p->stop_at = step;
    p->stop = step == 0;
    assert_fails(LT_E_INTERRUPTED, path, lt_train_run(&p->f.job, &p->f.env, path, false, NULL));
    assert_int_equal(p->last, step);
    t_close(&p->f);
}

static void every_step(lt_optimizer_kind kind, int loader_threads)
{
    plan *p = malloc(sizeof *p);
    outcome whole, resumed;
    setup(p, kind, 0);
    finish(p, NULL, &whole);
    assert_int_equal(whole.r.steps, STEPS);
    assert_int_equal(whole.r.eval.n, T_TEST);
    for (int64_t at = 0; at <= STEPS; at++) {
        setup(p, kind, loader_threads);
        interrupt_after(p, at);
        setup(p, kind, loader_threads);
        lt_model_init(p->f.model, 99); // all of the model comes from the file
        finish(p, path, &resumed);
        assert_int_equal(p->first, at < STEPS ? at + 1 : 0);
        same(&whole, &resumed, at);
    }
    remove(path);
    free(p);
}

static void sgd_everywhere(void **state)
{
    (void)state;
    every_step(LT_SGD, 0);
}

static void adamw_everywhere(void **state)
{
    (void)state;
    every_step(LT_ADAMW, 1);
}

static void threads_everywhere(void **state)
{
    (void)state;
    every_step(LT_SGD, 4);
}

static void other_backends(void **state)
{
    (void)state;
    plan *p = malloc(sizeof *p);
    for (const char *const *name = lt_backend_names(); *name; name++) {
        outcome whole, resumed;
        setup_on(p, *name, LT_SGD, 0);
        finish(p, NULL, &whole);
        for (int64_t at = 2; at < STEPS; at += 5) {
            setup_on(p, *name, LT_SGD, 1);
            interrupt_after(p, at);
            setup_on(p, *name, LT_SGD, 1);
            finish(p, path, &resumed);
            same(&whole, &resumed, at);
        }
    }
    remove(path);
    free(p);
}

// Stopped after each single step, resumed each time.
static void step_by_step(void **state)
{
    (void)state;
    plan *p = malloc(sizeof *p);
    outcome whole, last;
    setup(p, LT_SGD, 0);
    finish(p, NULL, &whole);
    for (int64_t at = 1; at <= STEPS; at++) {
        setup(p, LT_SGD, 0);
        p->stop_at = at;
        assert_fails(LT_E_INTERRUPTED, path, lt_train_run(&p->f.job, &p->f.env, path, at > 1, NULL));
        assert_int_equal(p->first, at);
        t_close(&p->f);
    }
    setup(p, LT_SGD, 0);
    finish(p, path, &last);
    same(&whole, &last, STEPS);
    setup(p, LT_SGD, 0); // resuming a finished job does nothing
    finish(p, path, &last);
    assert_int_equal(p->first, 0);
    same(&whole, &last, STEPS);
    remove(path);
    free(p);
}

static void copy_file(const char *from, const char *to)
{
    char *bytes = NULL;
    size_t n = 0;
    assert_ok(lt_read_file(from, 1 << 24, &bytes, &n));
    assert_ok(lt_write_file_atomic(to, bytes, n));
    free(bytes);
}

// A checkpoint is due after a second; what a killed run leaves behind is used.
static void slow_step(const lt_job *job, const lt_step *step, void *ctx)
{
    (void)job, (void)ctx;
    if (step->step == 7)
        usleep(1050000);
    if (step->step == 9)
        copy_file(path, copy);
}

static void periodic(void **state)
{
    (void)state;
    plan *p = malloc(sizeof *p);
    outcome whole, resumed;
    setup(p, LT_SGD, 0);
    remove(path);
    p->f.job.cfg.checkpoint_every_s = 1;
    p->f.job.on_step = slow_step;
    assert_ok(lt_train_run(&p->f.job, &p->f.env, path, false, &whole.r));
    lt_model_digest(p->f.model, whole.digest);
    whole.bn_batches = p->f.model->bn_batches;
    t_close(&p->f);
    setup(p, LT_SGD, 0);
    finish(p, copy, &resumed);
    assert_int_equal(p->first, 8);
    same(&whole, &resumed, 7);
    remove(path);
    remove(copy);
    free(p);
}

static void no_path(void **state)
{
    (void)state;
    plan *p = malloc(sizeof *p);
    setup(p, LT_SGD, 0);
    p->stop_at = 4;
    lt_train_result r;
    assert_fails(LT_E_INTERRUPTED, "step 4", lt_train_run(&p->f.job, &p->f.env, NULL, false, &r));
    assert_int_equal(r.steps, 4);
    t_close(&p->f);
    free(p);
}

static void missing_file_starts_over(void **state)
{
    (void)state;
    plan *p = malloc(sizeof *p);
    outcome whole, resumed;
    remove(path);
    setup(p, LT_SGD, 0);
    finish(p, NULL, &whole);
    setup(p, LT_SGD, 0);
    finish(p, path, &resumed);
    assert_int_equal(p->first, 1);
    same(&whole, &resumed, 0);
    remove(path);
    free(p);
}

#define REFUSED(part, change)                                                                                          \
    do {                                                                                                               \
        setup(p, LT_SGD, 0);                                                                                           \
        change;                                                                                                        \
        assert_fails(LT_E_USAGE, "its " part, lt_train_run(&p->f.job, &p->f.env, path, true, NULL));                   \
        t_close(&p->f);                                                                                                \
    } while (0)

static void other_jobs(void **state)
{
    (void)state;
    plan *p = malloc(sizeof *p);
    setup(p, LT_SGD, 0);
    interrupt_after(p, 3);
    int64_t rows[T_TRAIN];
    for (int i = 0; i < T_TRAIN; i++)
        rows[i] = T_TRAIN - 1 - i;
    uint8_t *mask = lti_calloc(100000, 1);
    REFUSED("recipe", p->f.job.seed = 12);
    REFUSED("recipe", p->f.job.cfg.lr = 0.2f);
    REFUSED("recipe", p->f.job.l1 = 0.2f);
    REFUSED("recipe", p->f.job.cfg.epochs = 9);
    REFUSED("data", p->f.job.phase[0].view[0].row = rows);
    REFUSED("data", p->f.job.phase[0].view[0].weight = 0.5f);
    REFUSED("data", p->f.job.phase[1].shuffle = true);
    REFUSED("mask", p->f.job.mask = mask);
    setup(p, LT_SGD, 0);
    lt_model_destroy(p->f.model);
    assert_ok(lt_model_create("simple-conv:width=3", (lt_model_shape){T_C, T_SIDE, T_SIDE, T_CLASSES}, &p->f.model));
    p->f.job.model = p->f.model;
    assert_fails(LT_E_USAGE, "its model", lt_train_run(&p->f.job, &p->f.env, path, true, NULL));
    t_close(&p->f);
    // What does not change the result may differ.
    outcome o;
    setup(p, LT_SGD, 0);
    p->f.job.cfg.eval_every = 0;
    p->f.job.cfg.checkpoint_every_s = 7;
    finish(p, path, &o);
    lti_free(mask);
    remove(path);
    free(p);
}

// Writes the state of an interrupted job with one byte changed, or cut, and expects `status`.
static void damaged(lt_status status, long byte, bool cut)
{
    plan *p = malloc(sizeof *p);
    setup(p, LT_SGD, 0);
    interrupt_after(p, 3);
    char *bytes = NULL;
    size_t n = 0;
    assert_ok(lt_read_file(path, 1 << 24, &bytes, &n));
    const size_t at = byte < 0 ? n - (size_t)-byte : (size_t)byte;
    bytes[at] ^= 4;
    assert_ok(lt_write_file_atomic(path, bytes, cut ? at : n));
    free(bytes);
    setup(p, LT_SGD, 0);
    char before[65], after[65];
    lt_model_digest(p->f.model, before);
    assert_fails(status, "train_resume", lt_train_run(&p->f.job, &p->f.env, path, true, NULL));
    lt_model_digest(p->f.model, after);
    assert_string_equal(before, after); // nothing of it was used
    t_close(&p->f);
    remove(path);
    free(p);
}

static void damaged_files(void **state)
{
    (void)state;
    damaged(LT_E_INTEGRITY, -3, false);
    damaged(LT_E_INTEGRITY, -1000, false);
    damaged(LT_E_FORMAT, -3, true);
    damaged(LT_E_FORMAT, 4, true);
    plan *p = malloc(sizeof *p);
    setup(p, LT_SGD, 0); // a model file is no state file
    assert_ok(lt_model_save(p->f.model, path));
    assert_fails(LT_E_FORMAT, "training state", lt_train_run(&p->f.job, &p->f.env, path, true, NULL));
    t_close(&p->f);
    remove(path);
    setup(p, LT_SGD, 0);
    p->stop = 1;
    assert_fails(LT_E_IO, "no/such", lt_train_run(&p->f.job, &p->f.env, "no/such/dir.safetensors", false, NULL));
    t_close(&p->f);
    free(p);
}

// A checkpoint of another recipe is refused, whichever option differs: all of the table but the two that change no
// weight.
static void other_recipes(void **state)
{
    (void)state;
    static const char *const changes_nothing[] = {"eval_every", "checkpoint_every_s"};
    fixture f;
    char before[4][65], after[4][65];
    t_open(&f, "ref", 1);
    lti_job_digests(&f.job, before);
    for (const lt_option *row = lt_train_options; row->name; row++) {
        lt_job job = f.job;
        void *field = (char *)&job.cfg + row->offset;
        if (row->type == LT_OPT_BOOL)
            *(bool *)field = !*(bool *)field;
        else if (row->type == LT_OPT_F32)
            *(float *)field += 0.25f;
        else if (row->type == LT_OPT_I64)
            *(int64_t *)field += 1;
        else if (row->type == LT_OPT_ENUM)
            *(int32_t *)field = row->values[*(int32_t *)field == row->values[0].value].value;
        else
            *(int32_t *)field += 1;
        lti_job_digests(&job, after);
        bool same = false;
        for (int i = 0; i < 2; i++)
            same = same || !strcmp(row->name, changes_nothing[i]);
        if ((strcmp(before[1], after[1]) == 0) != same)
            print_error("option %s\n", row->name);
        assert_true((strcmp(before[1], after[1]) == 0) == same);
        assert_string_equal(before[0], after[0]);
        assert_string_equal(before[2], after[2]);
    }
    t_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sgd_everywhere),
        cmocka_unit_test(adamw_everywhere),
        cmocka_unit_test(threads_everywhere),
        cmocka_unit_test(step_by_step),
        cmocka_unit_test(other_backends),
        cmocka_unit_test(periodic),
        cmocka_unit_test(no_path),
        cmocka_unit_test(other_jobs),
        cmocka_unit_test(other_recipes),
        cmocka_unit_test(damaged_files),
        cmocka_unit_test(missing_file_starts_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
