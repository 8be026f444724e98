// clip_cost.c - what spectral clipping adds to a step of training.
//   clip_cost [MODEL] [BATCH] [STEPS] [ROUNDS] [THREADS]
// Rounds of STEPS steps with and without clipping at the paper's schedule (an event every 50 updates with batch norm,
// 100 without, one step of PowerQR after each) alternate; the median over the rounds of the mean step is printed as
// JSON. Times are processor time, so that other work of the machine does not enter.
#include "lethe/lethe.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MAX_ROUNDS = 32 };

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
    fprintf(stderr, "clip_cost: %s\n", lt_error_get()->message);
    exit(1);
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *v, int n)
{
    qsort(v, (size_t)n, sizeof *v, compare);
    return n % 2 ? v[n / 2] : 0.5 * (v[n / 2 - 1] + v[n / 2]);
}

typedef struct bench {
    lt_model *model;
    lt_dataset *ds;
    lt_env env;
    int64_t batch;
    int32_t steps;
    double mark, step_s[4096];
    int n;
} bench;

static void on_step(const lt_job *job, const lt_step *step, void *ctx)
{
    bench *b = ctx;
    (void)job;
    const double t = now_s();
    if (step->step > 2 && b->n < 4096) // the first ones compile and warm up
        b->step_s[b->n++] = t - b->mark;
    b->mark = t;
}

// Seconds of all steps but the first two, clipping events included.
static double run_round(bench *b, bool clip)
{
    lt_clip_cfg cfg;
    lt_clipper *clipper = NULL;
    lt_job job = {.model = b->model, .n_phases = 1, .seed = 1, .on_step = on_step, .step_ctx = b};
    lt_options_defaults(lt_train_options, &job.cfg);
    lt_options_defaults(lt_clip_norm_options, &cfg);
    lt_options_defaults(lt_clip_rule_options, &cfg);
    job.cfg.epochs = 1;
    job.cfg.batch = b->batch;
    job.cfg.lr = 1e-4f;
    job.phase[0] = (lt_phase){.view = {lt_view_split(b->ds, LT_TRAIN)}, .n_views = 1, .shuffle = true};
    cfg.clip_norm = 1;
    cfg.clip_final = false; // happens once in a training
    lt_model_init(b->model, 1);
    b->n = 0;
    if (clip) {
        must(lt_clipper_create(b->model, &cfg, 1, &b->env, &clipper));
        must(lt_clipper_attach(clipper, &job));
    }
    b->mark = now_s();
    must(lt_train_run(&job, &b->env, NULL, false, NULL));
    lt_clipper_destroy(clipper);
    double sum = 0;
    for (int i = 0; i < b->n; i++)
        sum += b->step_s[i];
    return b->n ? sum / b->n : 0;
}

int main(int argc, char **argv)
{
    const char *spec = argc > 1 ? argv[1] : "resnet18:width=16";
    bench b = {.batch = argc > 2 ? atoi(argv[2]) : 128, .steps = argc > 3 ? atoi(argv[3]) : 104};
    int rounds = argc > 4 ? atoi(argv[4]) : 3;
    char data[96];
    double plain[MAX_ROUNDS], clipped[MAX_ROUNDS];
    rounds = rounds < 1 ? 1 : rounds > MAX_ROUNDS ? MAX_ROUNDS : rounds;
    must(lt_backend_create("auto", argc > 5 ? atoi(argv[5]) : 1, &b.env.backend));
    snprintf(data, sizeof data, "synthetic:train=%lld,test=10", (long long)b.batch * b.steps);
    must(lt_dataset_open(data, NULL, &b.ds));
    must(lt_model_create(spec, (lt_model_shape){b.ds->c, b.ds->h, b.ds->w, b.ds->n_classes}, &b.model));
    for (int r = 0; r < rounds; r++) {
        plain[r] = run_round(&b, false);
        clipped[r] = run_round(&b, true);
    }
    const double p = median(plain, rounds), c = median(clipped, rounds);
    printf("{\"model\": \"%s\", \"batch\": %lld, \"steps\": %d, \"rounds\": %d, \"step_ms\": %.3f, "
           "\"clipped_step_ms\": %.3f, "
           "\"overhead\": %.4f}\n",
           spec, (long long)b.batch, (int)b.steps, rounds, 1e3 * p, 1e3 * c, c / p - 1);
    lt_model_destroy(b.model);
    lt_dataset_close(b.ds);
    lt_backend_destroy(b.env.backend);
    return 0;
}
