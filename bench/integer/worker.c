// worker.c - integer and float inference of lethe, one measurement for every line of the standard input: what
// bench/integer/integer.py alternates with onnxruntime.
//
// usage: integer_worker QUANTIZED_RUN FLOAT_RUN IMAGES THREADS BATCH FILE
// The first IMAGES test images of the quantized run's data set are used; their bytes, then their classes as int32, go
// to FILE. A line "integer" or "float" runs all of them once and is answered by one JSON object: processor seconds of
// the process (all threads), wall seconds, images that were classified right. The first answer describes the network.
#include "lethe/lethe.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct worker {
    lt_trained_model quantized, plain;
    lt_dataset *ds;
    lt_backend *backend;
    lt_integer_run integer;
    lt_evaluator *evaluator;
    int64_t n, *logits;
    int threads;
} worker;

static void must(lt_status status)
{
    if (status == LT_OK)
        return;
    const lt_error *e = lt_error_get();
    fprintf(stderr, "integer_worker: %s\n", e->message);
    if (*e->hint)
        fprintf(stderr, "hint: %s\n", e->hint);
    exit(1);
}

static double seconds_of(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void write_images(const worker *w, const char *path)
{
    const lt_split_data *s = &w->ds->split[LT_TEST];
    const size_t per = (size_t)w->ds->c * (size_t)w->ds->h * (size_t)w->ds->w, n = (size_t)w->n;
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(s->x, per, n, f) != n || fwrite(s->y, sizeof *s->y, n, f) != n || fclose(f) != 0) {
        fprintf(stderr, "integer_worker: %s: cannot be written\n", path);
        exit(1);
    }
}

static void describe(const worker *w)
{
    lt_int_info info;
    lt_int_net_info(w->integer.net, &info);
    char *text = lt_int_info_json(&info);
    for (char *c = text; *c; c++) // one line
        *c = *c == '\n' ? ' ' : *c;
    printf("{\"integer\": %s, \"images\": %lld, \"channels\": %lld, \"height\": %lld, \"width\": %lld, "
           "\"quantized\": \"%s\", \"float\": \"%s\", \"backend\": \"%s\", \"classes\": %d}\n",
           text, (long long)w->n, (long long)w->ds->c, (long long)w->ds->h, (long long)w->ds->w,
           w->quantized.model->spec, w->plain.model->spec, lt_backend_version(w->backend), w->ds->n_classes);
    fflush(stdout);
    free(text);
}

static int64_t count_right(const worker *w)
{
    const int32_t *y = w->ds->split[LT_TEST].y;
    const int k = w->ds->n_classes;
    int64_t right = 0;
    for (int64_t i = 0; i < w->n; i++) {
        int best = 0;
        for (int c = 1; c < k; c++)
            best = w->logits[i * k + c] > w->logits[i * k + best] ? c : best;
        right += best == y[i];
    }
    return right;
}

static void measure(worker *w, bool integer)
{
    lt_view view = lt_view_split(w->ds, LT_TEST);
    lt_eval_result r = {0};
    view.n = w->n;
    const double cpu = seconds_of(CLOCK_PROCESS_CPUTIME_ID), wall = seconds_of(CLOCK_MONOTONIC);
    if (integer)
        must(lt_int_net_run(w->integer.net, w->ds->split[LT_TEST].x, w->n, w->threads, NULL, w->logits));
    else
        must(lt_evaluator_run(w->evaluator, &view, NULL, NULL, &r));
    const double cpu_s = seconds_of(CLOCK_PROCESS_CPUTIME_ID) - cpu, wall_s = seconds_of(CLOCK_MONOTONIC) - wall;
    printf("{\"cpu_s\": %.6f, \"wall_s\": %.6f, \"right\": %lld}\n", cpu_s, wall_s,
           integer ? (long long)count_right(w) : (long long)(r.acc * (double)w->n + 0.5));
    fflush(stdout);
}

int main(int argc, char **argv)
{
    if (argc != 7) {
        fprintf(stderr, "usage: integer_worker QUANTIZED_RUN FLOAT_RUN IMAGES THREADS BATCH FILE\n");
        return 2;
    }
    worker w = {.threads = atoi(argv[4])};
    must(lt_trained_model_open(argv[1], NULL, NULL, &w.quantized));
    must(lt_trained_model_data(&w.quantized, NULL, LT_DATA_ANY, NULL, &w.ds));
    must(lt_trained_model_open(argv[2], NULL, w.ds, &w.plain));
    must(lt_backend_create("auto", w.threads, &w.backend));
    const lt_env env = {.backend = w.backend, .loader_threads = 0};
    w.n = w.ds->split[LT_TEST].n < atoi(argv[3]) ? w.ds->split[LT_TEST].n : atoi(argv[3]);
    must(lt_integer_run_open(&w.quantized, w.ds, &env, &w.integer));
    must(lt_evaluator_create(w.plain.model, &env, atoi(argv[5]), &w.evaluator));
    w.logits = malloc((size_t)(w.n * w.ds->n_classes) * sizeof *w.logits);
    if (!w.logits)
        return 7;
    write_images(&w, argv[6]);
    describe(&w);
    char line[32];
    while (fgets(line, sizeof line, stdin))
        measure(&w, strncmp(line, "integer", 7) == 0);
    free(w.logits);
    lt_evaluator_destroy(w.evaluator);
    lt_integer_run_close(&w.integer);
    lt_backend_destroy(w.backend);
    lt_trained_model_close(&w.plain);
    lt_trained_model_close(&w.quantized);
    lt_dataset_close(w.ds);
    return 0;
}
