// test_ranks.c - data-parallel training against training alone: the same trajectory, checkpoints, tails of batches.
#include "train_test.h"
#include <math.h>
#include <pthread.h>
#include <stdlib.h>

enum { MAX_RANKS = 9, MAX_STEPS = 64 };

typedef struct rank_job {
    fixture f;
    lt_train_result result;
    lt_status status;
    lt_error error;
    char path[160];
    bool resume;
    double loss[MAX_STEPS];
    int n_steps, stop_at; // stop_at: step after which this rank asks to stop; 0 = never
    lt_interrupt_flag stop;
} rank_job;

static void on_step(const lt_job *job, const lt_step *step, void *ctx)
{
    rank_job *j = ctx;
    (void)job;
    if (j->n_steps < MAX_STEPS)
        j->loss[j->n_steps++] = step->loss;
    if (j->stop_at && j->n_steps == j->stop_at)
        lt_interrupt(&j->stop);
}

static void *work(void *arg)
{
    rank_job *j = arg;
    j->f.env.stop = &j->stop;
    j->status = lt_train_run(&j->f.job, &j->f.env, j->path[0] ? j->path : NULL, j->resume, &j->result);
    j->error = *lt_error_get();
    return NULL;
}

// Opens a job for each rank; spec: the model, NULL = that of the fixture. Then they run to their ends.
static rank_job *open_ranks(int n, const char *spec, int64_t batch, const char *path)
{
    rank_job *job = calloc((size_t)n, sizeof *job);
    assert_non_null(job);
    for (int r = 0; r < n; r++) {
        t_open(&job[r].f, "ref", 1);
        if (spec) {
            lt_model_destroy(job[r].f.model);
            assert_ok(lt_model_create(spec, (lt_model_shape){T_C, T_SIDE, T_SIDE, T_CLASSES}, &job[r].f.model));
            lt_model_init(job[r].f.model, 5);
            job[r].f.job.model = job[r].f.model;
        }
        job[r].f.job.cfg.batch = batch;
        job[r].f.job.cfg.lr = 0.02F;
        job[r].f.job.phase[0].view[0].augment = true;
        job[r].f.job.on_step = on_step;
        job[r].f.job.step_ctx = &job[r];
        snprintf(job[r].path, sizeof job[r].path, "%s", path ? path : "");
    }
    return job;
}

static void run_ranks(rank_job *job, int n)
{
    lt_comm *comm[MAX_RANKS];
    pthread_t thread[MAX_RANKS];
    assert_ok(lt_comm_threads(n, comm));
    for (int r = 0; r < n; r++) {
        job[r].f.env.comm = comm[r];
        job[r].n_steps = 0;
        assert_int_equal(pthread_create(&thread[r], NULL, work, &job[r]), 0);
    }
    for (int r = 0; r < n; r++)
        pthread_join(thread[r], NULL);
    for (int r = 0; r < n; r++)
        lt_comm_close(comm[r], 0);
}

static void close_ranks(rank_job *job, int n)
{
    for (int r = 0; r < n; r++)
        t_close(&job[r].f);
    free(job);
}

static double distance(const lt_model *a, const lt_model *b)
{
    double sum = 0, norm = 0;
    for (int64_t i = 0; i < a->n_params; i++) {
        sum += pow((double)a->params[i] - (double)b->params[i], 2);
        norm += pow((double)a->params[i], 2);
    }
    return sqrt(sum / norm);
}

static void assert_same_everywhere(const rank_job *job, int n)
{
    for (int r = 0; r < n; r++) {
        if (job[r].status != LT_OK)
            fail_msg("rank %d: %s", r, job[r].error.message);
        assert_true(distance(job[0].f.model, job[r].f.model) == 0);
        assert_int_equal(job[r].result.images, job[0].result.images);
        assert_true(job[r].result.train_acc == job[0].result.train_acc);
    }
}

// Without batch norm the sum over shares is the gradient of the batch, up to the order of its additions.
static void without_batch_norm_the_trajectory_is_that_of_one_process(void **state)
{
    (void)state;
    static const char spec[] = "simple-conv:width=4,bn=0";
    rank_job *alone = open_ranks(1, spec, 8, NULL);
    run_ranks(alone, 1);
    assert_same_everywhere(alone, 1);
    for (int n = 2; n <= 4; n++) {
        rank_job *job = open_ranks(n, spec, 8, NULL);
        run_ranks(job, n);
        assert_same_everywhere(job, n);
        assert_int_equal(job[0].n_steps, alone[0].n_steps);
        assert_int_equal(job[0].result.images, alone[0].result.images);
        for (int i = 0; i < job[0].n_steps; i++)
            if (!(fabs(job[0].loss[i] - alone[0].loss[i]) <= 1e-4 * fabs(alone[0].loss[i])))
                fail_msg("%d ranks, step %d: loss %g, alone %g", n, i, job[0].loss[i], alone[0].loss[i]);
        assert_true(distance(alone[0].f.model, job[0].f.model) < 1e-4);
        assert_true(fabs(job[0].result.train_acc - alone[0].result.train_acc) < 0.1);
        close_ranks(job, n);
    }
    close_ranks(alone, 1);
}

// With it every rank normalises by its own share, as PyTorch's DistributedDataParallel does: noise, no other model.
static void with_batch_norm_the_trajectory_stays_near(void **state)
{
    (void)state;
    rank_job *alone = open_ranks(1, NULL, 8, NULL), *job = open_ranks(2, NULL, 8, NULL);
    run_ranks(alone, 1);
    run_ranks(job, 2);
    assert_same_everywhere(job, 2);
    assert_true(distance(alone[0].f.model, job[0].f.model) > 0);
    assert_true(distance(alone[0].f.model, job[0].f.model) < 0.3);
    assert_int_equal(job[0].f.model->bn_batches, alone[0].f.model->bn_batches);
    for (int64_t i = 0; i < job[0].f.model->n_state; i++) {
        const float mine = job[0].f.model->state[i], want = alone[0].f.model->state[i];
        assert_true(mine == job[1].f.model->state[i]);
        assert_true(fabsf(mine - want) < 0.3F * (0.5F + fabsf(want))); // a mean over the ranks, not their sum
    }
    close_ranks(job, 2);
    close_ranks(alone, 1);
}

// 22 samples in batches of 8 leave 6 for 9 ranks: some of them have none.
static void more_ranks_than_samples_of_a_batch(void **state)
{
    (void)state;
    static const char spec[] = "simple-conv:width=4,bn=0";
    rank_job *alone = open_ranks(1, spec, 8, NULL), *job = open_ranks(MAX_RANKS, spec, 8, NULL);
    run_ranks(alone, 1);
    run_ranks(job, MAX_RANKS);
    assert_same_everywhere(job, MAX_RANKS);
    assert_true(distance(alone[0].f.model, job[0].f.model) < 1e-4);
    close_ranks(job, MAX_RANKS);
    close_ranks(alone, 1);
}

static void an_interrupted_job_ends_with_the_same_bits(void **state)
{
    (void)state;
    char path[160];
    snprintf(path, sizeof path, "%s/test_ranks-%d.safetensors", lt_test_root(), (int)getpid());
    rank_job *whole = open_ranks(2, NULL, 8, NULL), *job = open_ranks(2, NULL, 8, path);
    run_ranks(whole, 2);
    job[1].stop_at = 4; // the second rank alone is asked to stop; both do
    run_ranks(job, 2);
    assert_int_equal(job[0].status, LT_E_INTERRUPTED);
    assert_int_equal(job[1].status, LT_E_INTERRUPTED);
    assert_int_equal(access(path, F_OK), 0);
    rank_job *again = open_ranks(2, NULL, 8, path);
    again[0].resume = again[1].resume = true;
    run_ranks(again, 2);
    assert_same_everywhere(again, 2);
    assert_true(distance(whole[0].f.model, again[0].f.model) == 0);
    close_ranks(again, 2);
    close_ranks(job, 2);
    close_ranks(whole, 2);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_batch_norm_the_trajectory_is_that_of_one_process),
        cmocka_unit_test(with_batch_norm_the_trajectory_stays_near),
        cmocka_unit_test(more_ranks_than_samples_of_a_batch),
        cmocka_unit_test(an_interrupted_job_ends_with_the_same_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
