// penalty_cost.c - what the penalty of quantization-aware training adds to a step.
//   penalty_cost [MODEL] [BATCH] [STEPS] [ROUNDS] [METHOD]
// Rounds of STEPS steps of one thread with and without the penalty alternate; the median over the rounds of the mean
// step is printed as JSON. Times are processor time, so that other work of the machine does not enter.
#include "quant/quant_impl.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { MAX_ROUNDS = 32, MAX_STEPS = 4096 };

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void must(lt_status status)
{
    if (status == LT_OK)
        return;
    fprintf(stderr, "penalty_cost: %s\n", lt_error_get()->message);
    exit(1);
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

typedef struct bench {
    lt_model *model;
    lt_dataset *ds;
    lt_env env;
    const char *method;
    int64_t batch;
    double mark, sum;
    int n;
} bench;

static void on_step(const lt_job *job, const lt_step *step, void *ctx)
{
    bench *b = ctx;
    (void)job;
    const double t = now_s();
    if (step->step > 2) { // the first ones compile and warm up
        b->sum += t - b->mark;
        b->n++;
    }
    b->mark = t;
}

static double run_round(bench *b, bool penalty)
{
    lt_quant *q = NULL;
    lt_quant_cfg cfg;
    lt_job job = {.model = b->model, .n_phases = 1, .seed = 1, .on_step = on_step, .step_ctx = b};
    lt_options_defaults(lt_train_options, &job.cfg);
    lt_options_defaults(lt_quant_options, &cfg);
    lt_options_defaults(lt_quant_chip_options, &cfg.device);
    job.cfg.epochs = 1;
    job.cfg.batch = b->batch;
    job.cfg.lr = 1e-3f;
    job.phase[0] = (lt_phase){.view = {lt_view_split(b->ds, LT_TRAIN)}, .n_views = 1, .shuffle = true};
    cfg.method = b->method;
    lt_model_init(b->model, 1);
    if (penalty) {
        must(lti_quant_create(&cfg, b->model, &q));
        q->lambda_end[0] = q->lambda_end[1] = 100;
        q->momentum = job.cfg.momentum;
        q->lr_max = job.cfg.lr;
        job.penalty[job.n_penalties++] = lti_quant_penalty(q);
    }
    b->n = 0;
    b->sum = 0;
    b->mark = now_s();
    must(lt_train_run(&job, &b->env, NULL, false, NULL));
    lt_quant_destroy(q);
    return b->n ? b->sum / b->n : 0;
}

int main(int argc, char **argv)
{
    const char *spec = argc > 1 ? argv[1] : "resnet18:width=16";
    bench b = {.batch = argc > 2 ? atoi(argv[2]) : 128, .method = argc > 5 ? argv[5] : "msqe-step"};
    const int steps = argc > 3 ? atoi(argv[3]) : 20;
    int rounds = argc > 4 ? atoi(argv[4]) : 3;
    char data[96];
    double plain[MAX_ROUNDS], with[MAX_ROUNDS];
    rounds = rounds < 1 ? 1 : rounds > MAX_ROUNDS ? MAX_ROUNDS : rounds;
    must(lt_backend_create("auto", 1, &b.env.backend));
    snprintf(data, sizeof data, "synthetic:train=%lld,test=10", (long long)b.batch * steps);
    must(lt_dataset_open(data, NULL, &b.ds));
    must(lt_model_create(spec, (lt_model_shape){b.ds->c, b.ds->h, b.ds->w, b.ds->n_classes}, &b.model));
    for (int r = 0; r < rounds; r++) {
        plain[r] = run_round(&b, false);
        with[r] = run_round(&b, true);
    }
    qsort(plain, (size_t)rounds, sizeof *plain, compare);
    qsort(with, (size_t)rounds, sizeof *with, compare);
    const double p = plain[rounds / 2], w = with[rounds / 2];
    printf("{\"model\": \"%s\", \"method\": \"%s\", \"batch\": %lld, \"steps\": %d, \"rounds\": %d, \"step_ms\": %.3f, "
           "\"penalty_step_ms\": %.3f, \"overhead\": %.4f}\n",
           spec, b.method, (long long)b.batch, steps, rounds, 1e3 * p, 1e3 * w, w / p - 1);
    lt_model_destroy(b.model);
    lt_dataset_close(b.ds);
    lt_backend_destroy(b.env.backend);
    return 0;
}
