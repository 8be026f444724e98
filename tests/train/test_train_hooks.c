// test_train_hooks.c - penalties with parameters of their own, transforms of parameters, and the hook after an update.
#include "train_test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- a penalty: half the squared distance of every parameter to a centre that is learned

typedef struct pull {
    const lt_job *job;
    float centre[1];
    double weight, sum[64]; // of p - centre, by block
    double square[64];
    int n_weighed, n_updated;
} pull;

static double pull_weight(void *ctx, const lt_update_at *at)
{
    pull *q = ctx;
    assert_true(at->step < at->n_steps && at->epoch < at->n_epochs && at->lr > 0);
    q->n_weighed++;
    return q->weight * (1 + at->epoch);
}

static void pull_add(void *ctx, float weight, int64_t from, int64_t n, const float *p, float *g)
{
    pull *q = ctx;
    assert_true(from % LT_UPDATE_BLOCK == 0 && n <= LT_UPDATE_BLOCK);
    double sum = 0, square = 0;
    for (int64_t i = 0; i < n; i++) {
        const float d = p[i] - q->centre[0];
        g[i] += weight * d;
        sum += (double)weight * (double)d;
        square += 0.5 * (double)weight * (double)d * (double)d;
    }
    q->sum[from / LT_UPDATE_BLOCK] = sum;
    q->square[from / LT_UPDATE_BLOCK] = square;
}

static double pull_finish(void *ctx, float *own_grad)
{
    pull *q = ctx;
    double value = 0, grad = 0;
    for (int i = 0; i < 64; i++) {
        grad -= q->sum[i];
        value += q->square[i];
    }
    own_grad[0] = (float)grad;
    return value;
}

static void pull_updated(void *ctx)
{
    ((pull *)ctx)->n_updated++;
}

static void add_pull(fixture *f, pull *q, double weight)
{
    *q = (pull){.job = &f->job, .centre = {0.25f}, .weight = weight};
    f->job.penalty[0] = (lt_penalty){.name = "pull",
                                     .identity = "half square",
                                     .weight = pull_weight,
                                     .add = pull_add,
                                     .finish = pull_finish,
                                     .own_updated = pull_updated,
                                     .own = {.value = q->centre, .n = 1, .lr = 1e-5f, .momentum = 0.5f},
                                     .ctx = q};
    f->job.n_penalties = 1;
}

static double mean_distance(const lt_model *m, double centre)
{
    double sum = 0;
    for (int64_t i = 0; i < m->n_params; i++)
        sum += fabs((double)m->params[i] - centre);
    return sum / (double)m->n_params;
}

static void penalties_pull_and_learn(void **state)
{
    (void)state;
    double distance[2];
    for (int k = 0; k < 2; k++) {
        fixture f;
        pull q;
        t_open(&f, "ref", 2);
        add_pull(&f, &q, k ? 2 : 0);
        assert_ok(lt_train_run(&f.job, &f.env, NULL, false, NULL));
        assert_int_equal(q.n_weighed, 9);
        assert_int_equal(q.n_updated, k ? 9 : 0);
        assert_true(k ? q.centre[0] != 0.25f : q.centre[0] == 0.25f); // weight 0 leaves the centre alone
        distance[k] = mean_distance(f.model, (double)q.centre[0]);
        t_close(&f);
    }
    assert_true(distance[1] < 0.5 * distance[0]);
}

// One step by hand: the penalty's gradient goes through the momentum like that of the loss.
static void one_step_by_hand(void **state)
{
    (void)state;
    fixture f;
    pull q;
    float *after[2];
    int64_t n = 0;
    float *start = NULL;
    for (int k = 0; k < 2; k++) {
        t_open(&f, "ref", 1);
        f.job.cfg.epochs = 1;
        f.job.cfg.batch = 64;
        f.job.cfg.schedule = LT_SCHED_CONST;
        f.job.cfg.lr = 0.125f;
        n = f.model->n_params;
        if (k)
            add_pull(&f, &q, 0.5);
        start = realloc(start, (size_t)n * sizeof *start);
        memcpy(start, f.model->params, (size_t)n * sizeof *start);
        assert_ok(lt_train_run(&f.job, &f.env, NULL, false, NULL));
        after[k] = malloc((size_t)n * sizeof(float));
        memcpy(after[k], f.model->params, (size_t)n * sizeof(float));
        t_close(&f);
    }
    double grad = 0;
    for (int64_t i = 0; i < n; i++) {
        const double want = (double)after[0][i] - 0.125 * 0.5 * ((double)start[i] - 0.25);
        grad -= 0.5 * ((double)start[i] - 0.25);
        assert_true(fabs((double)after[1][i] - want) < 1e-6);
    }
    assert_true(fabs((double)q.centre[0] - (0.25 - 1e-5 * grad)) < 1e-6);
    free(after[0]);
    free(after[1]);
    free(start);
}

// ---- a transform: every parameter is used rounded to quarters, times a gain that is learned

typedef struct rounding {
    const lt_model *model;
    float gain[1];
    int n_train, n_eval;
} rounding;

static lt_status round_forward(void *ctx, const lt_update_at *at, bool train, const lt_model *model, const float *p,
                               float *used)
{
    rounding *r = ctx;
    assert_true(train == (at != NULL));
    ++*(train ? &r->n_train : &r->n_eval);
    for (int64_t i = 0; i < model->n_params; i++)
        used[i] = r->gain[0] * roundf(4 * p[i]) / 4;
    return LT_OK;
}

static void round_backward(void *ctx, const float *p, const float *used, float *g, float *own_grad)
{
    (void)p;
    const rounding *r = ctx;
    own_grad[0] = 0;
    for (int64_t i = r->model->n_params - 20; i < r->model->n_params; i++) // no batch norm takes these gains away
        own_grad[0] += g[i] * used[i] / r->gain[0];
}

static void transforms_are_used(void **state)
{
    (void)state;
    fixture f;
    t_open(&f, "ref", 1);
    rounding r = {.model = f.model, .gain = {1}};
    const lt_transform transform = {.name = "round",
                                    .in_training = true,
                                    .forward = round_forward,
                                    .backward = round_backward,
                                    .own = {.value = r.gain, .n = 1, .lr = 0.01f},
                                    .ctx = &r};
    const lt_view test = lt_view_split(f.ds, LT_TEST);
    f.job.transform = &transform;
    f.job.eval_view = &test;
    f.job.cfg.eval_every = 0;
    lt_train_result result;
    assert_ok(lt_train_run(&f.job, &f.env, NULL, false, &result));
    assert_int_equal(r.n_train, 9);
    assert_int_equal(r.n_eval, 1);
    // What was evaluated is the transformed model, not the parameters.
    lt_model *used;
    lt_eval_result plain, again;
    assert_ok(lt_model_dup(f.model, &used));
    assert_ok(lt_transform_apply(&transform, f.model, used->params));
    assert_ok(lt_evaluate(used, &test, &f.env, 8, NULL, NULL, &again));
    assert_ok(lt_evaluate(f.model, &test, &f.env, 8, NULL, NULL, &plain));
    assert_true(again.loss == result.eval.loss && plain.loss != result.eval.loss);
    assert_true(r.gain[0] != 1);
    int64_t off_grid = 0;
    for (int64_t i = 0; i < f.model->n_params; i++)
        off_grid += f.model->params[i] != roundf(4 * f.model->params[i]) / 4;
    assert_true(off_grid > f.model->n_params / 2); // the parameters themselves stay latent
    lt_model_destroy(used);
    t_close(&f);
}

// ---- the hook after an update

typedef struct snap {
    int n_calls, n_ends;
    int64_t fail_at;
    volatile int stop;
    int64_t stop_at;
} snap;

static lt_status snap_half(lt_job *job, const lt_step *step, unsigned *did, void *ctx)
{
    snap *s = ctx;
    s->n_calls++;
    s->n_ends += step->ends_epoch;
    if (step->step == s->fail_at)
        return LT_FAIL(LT_E_FAIL, "snap failed at step %lld", (long long)step->step);
    for (int64_t i = 0; i < job->model->n_params; i++)
        job->model->params[i] = roundf(job->model->params[i] * 256) / 256;
    *did = LT_UPDATE_CHANGED | (step->ends_epoch ? LT_UPDATE_RESET_MOMENTUM : 0u);
    return LT_OK;
}

static void stop_at(const lt_job *job, const lt_step *step, void *ctx)
{
    (void)job;
    snap *s = ctx;
    s->stop = step->step == s->stop_at;
}

static void hook_changes_parameters(void **state)
{
    (void)state;
    fixture f;
    snap s = {.fail_at = -1};
    t_open(&f, "onednn", 1);
    f.job.after_update = snap_half;
    f.job.after_ctx = &s;
    f.job.after_update_every = 2; // 9 steps: 2, 4, 6, 8 and the ends 3, 6, 9
    assert_ok(lt_train_run(&f.job, &f.env, NULL, false, NULL));
    assert_int_equal(s.n_calls, 6);
    assert_int_equal(s.n_ends, 3);
    for (int64_t i = 0; i < f.model->n_params; i++)
        assert_true(f.model->params[i] * 256 == roundf(f.model->params[i] * 256));
    s.fail_at = 4;
    assert_int_equal(lt_train_run(&f.job, &f.env, NULL, false, NULL), LT_E_FAIL);
    assert_non_null(strstr(lt_error_get()->message, "snap failed at step 4"));
    t_close(&f);
}

// Interrupted between and resumed, all hooks set: the same bits, own parameters and their momentum included.
static void resumes_with_the_same_bits(void **state)
{
    (void)state;
    char path[128];
    snprintf(path, sizeof path, "%s/doors_state.safetensors", LT_TEST_BINARY_DIR);
    float centre[2], gain[2], *params[2];
    for (int k = 0; k < 2; k++) {
        fixture f;
        pull q;
        snap s = {.fail_at = -1, .stop_at = k ? 5 : -1};
        t_open(&f, "ref", 1);
        rounding r = {.model = f.model, .gain = {1}};
        add_pull(&f, &q, 0.1);
        const lt_transform transform = {.name = "round",
                                        .in_training = true,
                                        .forward = round_forward,
                                        .backward = round_backward,
                                        .own = {.value = r.gain, .n = 1, .lr = 0.01f, .momentum = 0.9f},
                                        .ctx = &r};
        f.job.transform = &transform;
        f.job.after_update = snap_half;
        f.job.after_ctx = &s;
        f.job.on_step = stop_at;
        f.job.step_ctx = &s;
        f.env.stop = &s.stop;
        remove(path);
        if (k) {
            assert_int_equal(lt_train_run(&f.job, &f.env, path, false, NULL), LT_E_INTERRUPTED);
            q.n_updated = 0;
            s.stop = 0;
            s.stop_at = -1;
            lt_model_init(f.model, 99); // the checkpoint brings everything back
            q.centre[0] = r.gain[0] = 7;
        }
        assert_ok(lt_train_run(&f.job, &f.env, path, k == 1, NULL));
        if (k)
            assert_int_equal(q.n_updated, 1 + 4); // what came from the checkpoint, then the steps that were left
        centre[k] = q.centre[0];
        gain[k] = r.gain[0];
        params[k] = malloc((size_t)f.model->n_params * sizeof(float));
        memcpy(params[k], f.model->params, (size_t)f.model->n_params * sizeof(float));
        if (k) {
            assert_memory_equal(params[0], params[1], (size_t)f.model->n_params * sizeof(float));
            f.job.penalty[0].identity = "another";
            assert_int_equal(lt_train_run(&f.job, &f.env, path, true, NULL), LT_E_USAGE);
        }
        t_close(&f);
    }
    assert_true(centre[0] == centre[1] && gain[0] == gain[1]);
    free(params[0]);
    free(params[1]);
    remove(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(penalties_pull_and_learn),   cmocka_unit_test(one_step_by_hand),
        cmocka_unit_test(transforms_are_used),        cmocka_unit_test(hook_changes_parameters),
        cmocka_unit_test(resumes_with_the_same_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
