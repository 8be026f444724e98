// test_train_terms.c - the parts of a job that only some recipes use: teachers, companion phases, own batch sizes,
// hooks per phase and batch, memory kept over interruptions, batch norm in evaluation mode.
#include "train_test.h"

#include <math.h>
#include <stdlib.h>

enum { EPOCHS = 2 };
static char path[64]; // of the checkpoint

typedef struct seen {
    int n_steps;
    double loss[64];
    int64_t n[64], allocs_first, allocs_last;
    volatile int stop;
    int64_t stop_at;
} seen;

static void on_step(const lt_job *job, const lt_step *step, void *ctx)
{
    (void)job;
    seen *s = ctx;
    assert_in_range(s->n_steps, 0, 63);
    if (s->n_steps == 0)
        s->allocs_first = lti_alloc_count();
    s->allocs_last = lti_alloc_count();
    s->loss[s->n_steps] = step->loss;
    s->n[s->n_steps++] = step->n;
    s->stop = step->step == s->stop_at;
}

static lt_model *other_model(const fixture *f, uint64_t seed)
{
    lt_model *m;
    assert_ok(lt_model_create(f->model->spec, f->model->shape, &m));
    lt_model_init(m, seed);
    for (int64_t i = 0; i < m->n_params; i++)
        m->params[i] *= 3; // logits worth distilling
    return m;
}

static void plain_sgd(lt_job *job, seen *s)
{
    job->cfg.schedule = LT_SCHED_CONST;
    job->cfg.momentum = job->cfg.weight_decay = 0;
    job->cfg.augment = false;
    job->cfg.epochs = 1;
    *s = (seen){.stop_at = -1};
    job->on_step = on_step;
    job->step_ctx = s;
}

static void logits(const fixture *f, const lt_model *m, const lt_view *v, float *z)
{
    lt_eval_result r;
    assert_ok(lt_evaluate(m, v, &f->env, 64, z, NULL, &r));
}

// T^2 sum_k q_k (log q_k - log p_k), q = softmax(t / T), p = softmax(z / T)
static double plain_kl(const float *z, const float *t, double temperature)
{
    double p[T_CLASSES], q[T_CLASSES], sp = 0, sq = 0, kl = 0;
    for (int k = 0; k < T_CLASSES; k++) {
        sp += p[k] = exp((double)z[k] / temperature);
        sq += q[k] = exp((double)t[k] / temperature);
    }
    for (int k = 0; k < T_CLASSES; k++)
        kl += q[k] / sq * (log(q[k] / sq) - log(p[k] / sp));
    return temperature * temperature * kl;
}

static double plain_ce(const float *z, int32_t y)
{
    double sum = 0;
    for (int k = 0; k < T_CLASSES; k++)
        sum += exp((double)z[k]);
    return log(sum) - (double)z[y];
}

// Two views in one batch, each with a teacher and weights of its own, against plain loops; and a step goes down the
// gradient of exactly that loss: the loss falls by lr |g|^2 to first order.
static void teachers(const char *backend)
{
    fixture f;
    seen s;
    float z[T_TRAIN][T_CLASSES], good[T_TRAIN][T_CLASSES], bad[T_TRAIN][T_CLASSES];
    t_open(&f, backend, 2);
    lt_job *job = &f.job;
    plain_sgd(job, &s);
    job->cfg.batch = 64;
    job->cfg.lr = 1e-3f;
    job->cfg.epochs = 2;
    job->bn_eval = true;
    job->temperature = 2.5f;
    lt_model *teacher[2] = {other_model(&f, 21), other_model(&f, 22)};
    job->teacher[0] = teacher[0];
    job->teacher[1] = teacher[1];
    int64_t rows[2][T_TRAIN / 2];
    for (int64_t i = 0; i < T_TRAIN; i++)
        rows[i % 2][i / 2] = i;
    const float ce_weight[2] = {0.5f, 0}, kl_weight[2] = {-0.25f, 1.5f};
    for (int v = 0; v < 2; v++) {
        job->phase[0].view[v] = lt_view_rows(f.ds, LT_TRAIN, &(lt_index_set){.n = T_TRAIN / 2, .row = rows[v]});
        job->phase[0].view[v].tag = 5 + v;
        job->phase[0].view[v].weight = ce_weight[v];
        job->phase[0].distill[v] = (lt_distill){.teacher = 1 - v, .weight = kl_weight[v]};
    }
    job->phase[0].n_views = 2;
    const lt_view all = lt_view_split(f.ds, LT_TRAIN);
    logits(&f, f.model, &all, z[0]);
    logits(&f, teacher[0], &all, good[0]);
    logits(&f, teacher[1], &all, bad[0]);
    double want = 0;
    for (int i = 0; i < T_TRAIN; i++) {
        const int v = i % 2;
        want += (double)ce_weight[v] * plain_ce(z[i], f.ds->split[LT_TRAIN].y[i]) / T_TRAIN;
        want += (double)kl_weight[v] * plain_kl(z[i], v == 0 ? bad[i] : good[i], 2.5) / T_TRAIN;
    }
    lt_model *before;
    assert_ok(lt_model_dup(f.model, &before));
    lt_train_result r;
    assert_ok(lt_train_run(job, &f.env, NULL, false, &r));
    assert_true(fabs(s.loss[0] - want) < 1e-5 * (1 + fabs(want)));
    assert_int_equal(r.n_backward, 2 * T_TRAIN);
    assert_int_equal(r.n_forward, 3 * 2 * T_TRAIN);
    assert_memory_equal(before->state, f.model->state, (size_t)before->n_state * sizeof(float)); // bn_eval
    assert_int_equal(f.model->bn_batches, before->bn_batches);
    double step2 = 0; // of two steps in nearly the same direction: |2 lr g|^2
    for (int64_t i = 0; i < before->n_params; i++)
        step2 += pow((double)f.model->params[i] - (double)before->params[i], 2);
    const double fall = s.loss[0] - s.loss[1], expected = step2 / 4 / 1e-3;
    assert_true(expected > 1e-6 && fabs(fall - expected) < 0.05 * expected);
    lt_model_destroy(before);
    lt_model_destroy(teacher[0]);
    lt_model_destroy(teacher[1]);
    t_close(&f);
}

static void teachers_are_listened_to(void **state)
{
    (void)state;
    teachers("ref");
    teachers("auto");
}

// ---- soft targets from a hook

enum { TIMES = 4, N_LONG = TIMES * T_TRAIN }; // a view that holds every sample four times

typedef struct table {
    float logit[T_CLASSES]; // of every target, added to what is there
    int n_calls;
} table;

static lt_status add_table(lt_job *job, int phase, const lt_batch *batch, float *target, void *ctx)
{
    table *t = ctx;
    assert_int_equal(phase, 0);
    t->n_calls++;
    for (int64_t i = 0; i < batch->n; i++)
        for (int k = 0; k < T_CLASSES; k++)
            if (job->phase[0].distill[batch->view[i]].weight != 0)
                target[i * T_CLASSES + k] += t->logit[k];
    return LT_OK;
}

// Fills the job with one batch of two views, 88 samples that are not taught and 22 that are.
static void mixed_batch(fixture *f, seen *s, int64_t long_rows[N_LONG])
{
    lt_job *job = &f->job;
    plain_sgd(job, s);
    job->cfg.batch = N_LONG + T_TRAIN;
    job->cfg.lr = 0.01f;
    job->temperature = 1;
    job->bn_eval = true;
    for (int i = 0; i < N_LONG; i++)
        long_rows[i] = i % T_TRAIN;
    job->phase[0].view[0] = lt_view_rows(f->ds, LT_TRAIN, &(lt_index_set){.n = N_LONG, .row = long_rows});
    job->phase[0].view[1] = lt_view_split(f->ds, LT_TRAIN);
    job->phase[0].view[1].tag = 1;
    job->phase[0].view[1].weight = 0;
    job->phase[0].n_views = 2;
}

// The gradient with respect to the bias of the last layer is the mean of p - q over all samples.
static void gradient_is_p_minus_q(void **state)
{
    (void)state;
    fixture f;
    seen s;
    table t = {.logit = {logf(0.5f), LT_TARGET_NEVER, logf(0.2f), logf(0.3f)}};
    int64_t rows[N_LONG];
    float z[T_TRAIN][T_CLASSES], before[T_CLASSES];
    const double q[T_CLASSES] = {0.5, 0, 0.2, 0.3};
    double want[T_CLASSES] = {0};
    t_open(&f, "ref", 1);
    mixed_batch(&f, &s, rows);
    f.job.phase[0].view[0].weight = 0; // the targets alone
    f.job.phase[0].distill[1] = (lt_distill){.teacher = LT_NO_TEACHER, .weight = 0.75f};
    f.job.on_targets = add_table;
    f.job.ctx = &t;
    const lt_view all = lt_view_split(f.ds, LT_TRAIN);
    logits(&f, f.model, &all, z[0]);
    for (int i = 0; i < T_TRAIN; i++) {
        double sum = 0;
        for (int k = 0; k < T_CLASSES; k++)
            sum += exp((double)z[i][k]);
        for (int k = 0; k < T_CLASSES; k++)
            want[k] += 0.75 * (exp((double)z[i][k]) / sum - q[k]) / (N_LONG + T_TRAIN);
    }
    float *bias = f.model->params + f.model->n_params - T_CLASSES;
    memcpy(before, bias, sizeof before);
    assert_ok(lt_train_run(&f.job, &f.env, NULL, false, NULL));
    assert_int_equal(t.n_calls, 1);
    for (int k = 0; k < T_CLASSES; k++)
        assert_true(fabs(((double)before[k] - (double)bias[k]) / (double)0.01f - want[k]) < 1e-5);
    assert_true(fabs(want[1]) > 1e-2);
    t_close(&f);
}

// A teacher that a small part of the batch listens to runs on that part only, and a hook that adds to its logits sees
// them.
static void hooks_rewrite_teachers(void **state)
{
    (void)state;
    for (int tilt = 0; tilt < 2; tilt++) {
        fixture f;
        seen s;
        table t = {.logit = {0.5f * (float)tilt, (float)tilt, 0, 0}};
        int64_t rows[N_LONG];
        float z[T_TRAIN][T_CLASSES], y[T_TRAIN][T_CLASSES];
        t_open(&f, "ref", 1);
        mixed_batch(&f, &s, rows);
        lt_model *teacher = other_model(&f, 21);
        f.job.teacher[0] = teacher;
        f.job.phase[0].distill[1].weight = 2;
        f.job.on_targets = add_table;
        f.job.ctx = &t;
        const lt_view all = lt_view_split(f.ds, LT_TRAIN);
        logits(&f, f.model, &all, z[0]);
        logits(&f, teacher, &all, y[0]);
        double want = 0;
        for (int i = 0; i < T_TRAIN; i++) {
            for (int k = 0; k < T_CLASSES; k++)
                y[i][k] += t.logit[k];
            want += TIMES * plain_ce(z[i], f.ds->split[LT_TRAIN].y[i]) / (N_LONG + T_TRAIN);
            want += 2 * plain_kl(z[i], y[i], 1) / (N_LONG + T_TRAIN);
        }
        lt_train_result r;
        assert_ok(lt_train_run(&f.job, &f.env, NULL, false, &r));
        assert_true(fabs(s.loss[0] - want) < 1e-5 * (1 + fabs(want)));
        assert_int_equal(r.n_forward, N_LONG + T_TRAIN + T_TRAIN);
        lt_model_destroy(teacher);
        t_close(&f);
    }
}

// ---- a companion phase

static void step_of(const lt_phase *phase, int n_phases, float *delta)
{
    fixture f;
    seen s;
    t_open(&f, "ref", 1);
    plain_sgd(&f.job, &s);
    f.job.cfg.lr = 0.01f;
    memcpy(f.job.phase, phase, (size_t)n_phases * sizeof *phase);
    for (int p = 0; p < n_phases; p++)
        f.job.phase[p].view[0].ds = f.ds;
    f.job.n_phases = n_phases;
    float *before = lti_malloc((size_t)f.model->n_params * sizeof *before);
    memcpy(before, f.model->params, (size_t)f.model->n_params * sizeof *before);
    assert_ok(lt_train_run(&f.job, &f.env, NULL, false, NULL));
    assert_int_equal(s.n_steps, 1);
    for (int64_t i = 0; i < f.model->n_params; i++)
        delta[i] = f.model->params[i] - before[i];
    lti_free(before);
    t_close(&f);
}

static void gradients_add_up(void **state)
{
    (void)state;
    fixture f;
    t_open(&f, "ref", 1);
    const int64_t n = f.model->n_params;
    lt_phase two[2] = {{.view = {lt_view_split(f.ds, LT_TRAIN)}, .n_views = 1, .batch = 64},
                       {.view = {lt_view_split(f.ds, LT_TEST)}, .n_views = 1, .batch = 16, .companion = true}};
    two[0].view[0].weight = 0.75f;
    two[1].view[0].weight = -0.25f;
    two[1].view[0].tag = 1;
    float *both = lti_calloc((size_t)n, sizeof *both), *a = lti_calloc((size_t)n, sizeof *a);
    float *b = lti_calloc((size_t)n, sizeof *b);
    step_of(two, 2, both);
    step_of(two, 1, a);
    two[1].companion = false;
    step_of(two + 1, 1, b);
    double largest = 0;
    for (int64_t i = 0; i < n; i++) {
        largest = fmax(largest, fabs((double)b[i]));
        assert_true(fabs((double)both[i] - (double)a[i] - (double)b[i]) < 1e-6);
    }
    assert_true(largest > 1e-5);
    lti_free(both);
    lti_free(a);
    lti_free(b);
    t_close(&f);
}

// 22 samples in batches of 4 (6 steps) with 13 in batches of 5 (3) as their companion, twice round; then 13 in batches
// of 7.
static void three_phases(lt_job *job, const lt_dataset *ds)
{
    job->phase[0].batch = 4;
    job->phase[1] =
        (lt_phase){.view = {lt_view_split(ds, LT_TEST)}, .n_views = 1, .batch = 5, .companion = true, .shuffle = true};
    job->phase[1].view[0].tag = 1;
    job->phase[1].view[0].weight = -0.1f;
    job->phase[2] = (lt_phase){.view = {lt_view_split(ds, LT_TEST)}, .n_views = 1, .batch = 7, .shuffle = true};
    job->phase[2].view[0].tag = 2;
    job->n_phases = 3;
}

static void batches_go_round(void **state)
{
    (void)state;
    fixture f;
    seen s;
    lt_train_result r;
    t_open(&f, "ref", 1);
    plain_sgd(&f.job, &s);
    f.job.cfg.epochs = 3;
    three_phases(&f.job, f.ds);
    assert_ok(lt_train_run(&f.job, &f.env, NULL, false, &r));
    static const int64_t want[8] = {4 + 5, 4 + 5, 4 + 3, 4 + 5, 4 + 5, 2 + 3, 7, 6};
    assert_int_equal(s.n_steps, 24);
    for (int i = 0; i < 24; i++)
        assert_int_equal(s.n[i], want[i % 8]);
    assert_int_equal(r.images, 3 * (22 + 26 + 13));
    assert_int_equal(f.model->bn_batches, 3 * (12 + 2));
    assert_int_equal(s.allocs_last, s.allocs_first);
    f.job.phase[2].companion = true;
    assert_fails(LT_E_USAGE, "phase 2: expected a phase with steps", lt_train_run(&f.job, &f.env, NULL, false, NULL));
    f.job.phase[2].companion = false;
    f.job.phase[1].batch = -1;
    assert_fails(LT_E_USAGE, "found -1", lt_train_run(&f.job, &f.env, NULL, false, NULL));
    t_close(&f);
}

// ---- hooks and memory, resumed at every step

typedef struct recipe {
    fixture f;
    seen s;
    lt_model *teacher;
    int32_t memory[4];
    int n_calls[3];
} recipe;

// Reads the weights as they are when the phase begins: lost on resume unless kept.
static lt_status on_phase(lt_job *job, int32_t epoch, int phase, void *ctx)
{
    recipe *r = ctx;
    char digest[65];
    (void)epoch;
    lt_model_digest(job->model, digest);
    r->memory[phase] = digest[0];
    r->n_calls[phase]++;
    return LT_OK;
}

static lt_status on_batch(lt_job *job, int phase, const lt_batch *batch, int32_t *labels, void *ctx)
{
    const recipe *r = ctx;
    (void)job;
    for (int64_t i = 0; i < batch->n; i++) {
        assert_int_equal(labels[i], batch->y[i]);
        labels[i] = (int32_t)((batch->y[i] + r->memory[phase]) % T_CLASSES);
    }
    return LT_OK;
}

static void recipe_open(recipe *r)
{
    memset(r, 0, sizeof *r);
    t_open(&r->f, "ref", 1);
    lt_job *job = &r->f.job;
    plain_sgd(job, &r->s);
    job->cfg.epochs = EPOCHS;
    job->cfg.momentum = 0.9f;
    job->cfg.lr = 0.02f;
    job->cfg.augment = true;
    job->phase[0].view[0].augment = true;
    three_phases(job, r->f.ds);
    job->teacher[0] = r->teacher = other_model(&r->f, 21);
    job->temperature = 4;
    job->phase[2].distill[0].weight = 1;
    job->on_phase = on_phase;
    job->on_batch = on_batch;
    job->ctx = r;
    job->memory = r->memory;
    job->memory_bytes = sizeof r->memory;
    r->f.env.stop = &r->s.stop;
}

static void recipe_close(recipe *r)
{
    lt_model_destroy(r->teacher);
    t_close(&r->f);
}

static void resumes_everywhere(void **state)
{
    (void)state;
    recipe *r = malloc(sizeof *r);
    char whole[65], resumed[65];
    snprintf(path, sizeof path, "%s/lethe-terms-%ld.safetensors", lt_test_root(), (long)getpid());
    recipe_open(r);
    assert_ok(lt_train_run(&r->f.job, &r->f.env, NULL, false, NULL));
    lt_model_digest(r->f.model, whole);
    assert_true(r->n_calls[0] == EPOCHS && r->n_calls[1] == 0 && r->n_calls[2] == EPOCHS);
    assert_int_equal(r->s.n_steps, 8 * EPOCHS);
    assert_int_equal(r->s.allocs_last, r->s.allocs_first);
    recipe_close(r);
    for (int64_t at = 0; at <= 8 * EPOCHS; at++) {
        recipe_open(r);
        r->s.stop_at = at;
        r->s.stop = at == 0;
        lt_status status = lt_train_run(&r->f.job, &r->f.env, path, false, NULL);
        assert_int_equal(status, at < 8 * EPOCHS ? LT_E_INTERRUPTED : LT_OK); // nothing is left after the last step
        recipe_close(r);
        recipe_open(r);
        lt_model_init(r->f.model, 99);
        assert_ok(lt_train_run(&r->f.job, &r->f.env, path, true, NULL));
        lt_model_digest(r->f.model, resumed);
        if (strcmp(whole, resumed) != 0)
            fail_msg("stopped after step %lld: weights differ", (long long)at);
        recipe_close(r);
    }
    recipe_open(r); // another teacher is another job
    r->s.stop_at = 3;
    assert_fails(LT_E_INTERRUPTED, "", lt_train_run(&r->f.job, &r->f.env, path, false, NULL));
    r->s.stop = 0;
    r->teacher->params[0] += 1;
    assert_fails(LT_E_USAGE, "recipe differs", lt_train_run(&r->f.job, &r->f.env, path, true, NULL));
    recipe_close(r);
    remove(path);
    free(r);
}

static lt_status out_of_range(lt_job *job, int phase, const lt_batch *batch, int32_t *labels, void *ctx)
{
    (void)job, (void)phase, (void)batch, (void)ctx;
    labels[0] = T_CLASSES;
    return LT_OK;
}

static lt_status phase_fails(lt_job *job, int32_t epoch, int phase, void *ctx)
{
    (void)job, (void)epoch, (void)phase, (void)ctx;
    return LT_FAIL(LT_E_FAIL, "no such phase today");
}

static void refuses(void **state)
{
    (void)state;
    fixture f;
    t_open(&f, "ref", 1);
    lt_job *job = &f.job;
    job->phase[0].distill[0] = (lt_distill){.teacher = 0, .weight = 1};
    assert_fails(LT_E_USAGE, "temperature above 0", lt_train_run(job, &f.env, NULL, false, NULL));
    job->temperature = 1;
    assert_fails(LT_E_USAGE, "teacher 0 does not exist", lt_train_run(job, &f.env, NULL, false, NULL));
    job->phase[0].distill[0].teacher = LT_NO_TEACHER;
    assert_fails(LT_E_USAGE, "hook that gives targets", lt_train_run(job, &f.env, NULL, false, NULL));
    job->phase[0].distill[0].teacher = 0;
    job->phase[0].distill[0].weight = NAN;
    assert_fails(LT_E_USAGE, "finite weight", lt_train_run(job, &f.env, NULL, false, NULL));
    job->phase[0].distill[0].weight = 1;
    lt_model *wide;
    assert_ok(lt_model_create(f.model->spec, (lt_model_shape){T_C, T_SIDE, T_SIDE, T_CLASSES + 1}, &wide));
    job->teacher[0] = wide;
    assert_fails(LT_E_SHAPE, "of 5 classes", lt_train_run(job, &f.env, NULL, false, NULL));
    lt_model_destroy(wide);
    job->teacher[0] = f.model;
    job->phase[0].view[1] = job->phase[0].view[0];
    job->phase[0].distill[1] = job->phase[0].distill[0];
    job->phase[0].n_views = 2;
    assert_fails(LT_E_USAGE, "same tag", lt_train_run(job, &f.env, NULL, false, NULL));
    job->phase[0].n_views = 1;
    job->temperature = -1;
    assert_fails(LT_E_USAGE, "temperature of 0 or more", lt_train_run(job, &f.env, NULL, false, NULL));
    job->temperature = 0;
    job->phase[0].distill[0].weight = 0;
    job->memory_bytes = 4;
    assert_fails(LT_E_USAGE, "memory of 4 bytes", lt_train_run(job, &f.env, NULL, false, NULL));
    job->memory_bytes = 0;
    job->on_batch = out_of_range;
    assert_fails(LT_E_FORMAT, "found 4", lt_train_run(job, &f.env, NULL, false, NULL));
    job->on_batch = NULL;
    job->on_phase = phase_fails;
    assert_fails(LT_E_FAIL, "today", lt_train_run(job, &f.env, NULL, false, NULL));
    t_close(&f);
}

static void survives_no_memory(void **state)
{
    (void)state;
    lt_status status = LT_E_NOMEM;
    for (int64_t n = 1; status != LT_OK; n += 1 + n / 16) {
        recipe *r = malloc(sizeof *r);
        recipe_open(r);
        r->f.job.cfg.epochs = 1;
        lti_alloc_fail_at(n);
        status = lt_train_run(&r->f.job, &r->f.env, NULL, false, NULL);
        lti_alloc_fail_at(0);
        assert_true(status == LT_OK || status == LT_E_NOMEM);
        recipe_close(r);
        free(r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(teachers_are_listened_to),
        cmocka_unit_test(gradient_is_p_minus_q),
        cmocka_unit_test(hooks_rewrite_teachers),
        cmocka_unit_test(gradients_add_up),
        cmocka_unit_test(batches_go_round),
        cmocka_unit_test(resumes_everywhere),
        cmocka_unit_test(refuses),
        cmocka_unit_test(survives_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
