// step_cost.h - what something adds to a step of training: rounds of steps with and without it alternate, the median
// over the rounds of the mean step is printed as JSON. Times are processor time, so that other work of the machine does
// not enter.
#ifndef BENCH_STEP_COST_H
#define BENCH_STEP_COST_H
#include "lethe/train.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { STEP_COST_MAX_ROUNDS = 32, STEP_COST_WARM_STEPS = 2 }; // the first steps compile and warm up

typedef struct step_cost {
    const char *name;  // of the program
    const char *model; // architecture
    const char *what;  // key of the step with it, "clipped_step_ms"
    const char *note;  // further keys, "\"method\": \"lsq\", ", or ""
    int64_t batch;
    int steps, rounds, threads;
    float lr;
    lt_model *opened;
    lt_env env;
    double mark, sum;
    int n;
    // Adds it to the job of c->opened; what is made is destroyed by `detach` after the round.
    lt_status (*attach)(struct step_cost *c, lt_job *job);
    void (*detach)(struct step_cost *c);
    void *ctx;
    char extra[64]; // further keys at the end, written by detach
} step_cost;

static inline double step_cost_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static inline void step_cost_must(const step_cost *c, lt_status status)
{
    if (status == LT_OK)
        return;
    fprintf(stderr, "%s: %s\n", c->name, lt_error_get()->message);
    exit(1);
}

static inline int step_cost_compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static inline double step_cost_median(double *v, int n)
{
    qsort(v, (size_t)n, sizeof *v, step_cost_compare);
    return n % 2 ? v[n / 2] : 0.5 * (v[n / 2 - 1] + v[n / 2]);
}

static inline void step_cost_on_step(const lt_job *job, const lt_step *step, void *ctx)
{
    step_cost *c = ctx;
    const double t = step_cost_now();
    (void)job;
    if (step->step > STEP_COST_WARM_STEPS) {
        c->sum += t - c->mark;
        c->n++;
    }
    c->mark = t;
}

// Seconds of a step, on average over all but the first ones.
static inline double step_cost_round(step_cost *c, const lt_dataset *ds, bool with)
{
    lt_job job = {.model = c->opened, .n_phases = 1, .seed = 1, .on_step = step_cost_on_step, .step_ctx = c};
    lt_options_defaults(lt_train_options, &job.cfg);
    job.cfg.epochs = 1;
    job.cfg.batch = c->batch;
    job.cfg.lr = c->lr;
    job.phase[0] = (lt_phase){.view = {lt_view_split(ds, LT_TRAIN)}, .n_views = 1, .shuffle = true};
    lt_model_init(c->opened, 1);
    if (with)
        step_cost_must(c, c->attach(c, &job));
    c->n = 0;
    c->sum = 0;
    c->mark = step_cost_now();
    step_cost_must(c, lt_train_run(&job, &c->env, NULL, false, NULL));
    if (with)
        c->detach(c);
    return c->n ? c->sum / c->n : 0;
}

static inline void step_cost_run(step_cost *c)
{
    char data[96];
    lt_dataset *ds;
    double plain[STEP_COST_MAX_ROUNDS], with[STEP_COST_MAX_ROUNDS];
    const int rounds = c->rounds < 1 ? 1 : c->rounds > STEP_COST_MAX_ROUNDS ? STEP_COST_MAX_ROUNDS : c->rounds;
    step_cost_must(c, lt_backend_create("auto", c->threads, &c->env.backend));
    snprintf(data, sizeof data, "synthetic:train=%lld,test=10", (long long)c->batch * c->steps);
    step_cost_must(c, lt_dataset_open(data, NULL, &ds));
    step_cost_must(c, lt_model_create(c->model, (lt_model_shape){ds->c, ds->h, ds->w, ds->n_classes}, &c->opened));
    for (int r = 0; r < rounds; r++) {
        plain[r] = step_cost_round(c, ds, false);
        with[r] = step_cost_round(c, ds, true);
    }
    const double p = step_cost_median(plain, rounds), w = step_cost_median(with, rounds);
    printf("{\"model\": \"%s\", %s\"batch\": %lld, \"steps\": %d, \"rounds\": %d, \"step_ms\": %.3f, \"%s\": %.3f, "
           "\"overhead\": %.4f%s}\n",
           c->model, c->note, (long long)c->batch, c->steps, rounds, 1e3 * p, c->what, 1e3 * w, w / p - 1, c->extra);
    lt_model_destroy(c->opened);
    lt_dataset_close(ds);
    lt_backend_destroy(c->env.backend);
}
#endif
