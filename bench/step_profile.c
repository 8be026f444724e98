// step_profile.c - whole steps of a CIFAR ResNet-18 through the plan: training, input gradient, inference, and where
// the time goes.
//
// usage: step_profile [model] [batch] [threads] [mode: train|pgd|infer|all] [list] [backend] [plan flags] [runs]
// Each mode runs for some seconds; best and median rates are printed, and with "list" the time of every kernel: least
// wall time and least processor time of all threads over some runs. The second tells something on a busy machine too.
#include "base/base.h"
#include "graph/plan_impl.h"
#include "lethe/model.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum { MAX_RUNS = 400, MAX_STEPS = 600 };

static void must(lt_status status)
{
    if (status == LT_OK)
        return;
    fprintf(stderr, "%s: %s\n", lt_status_text(status), lt_error_get()->message);
    exit(1);
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void fill(float *p, int64_t n, float scale)
{
    for (int64_t i = 0; i < n; i++)
        p[i] = scale * ((float)((uint32_t)i * 2654435761u >> 8) / (float)(1 << 24));
}

static double cpu_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

// Least time of every step of the plan over some runs.
static void profile(lt_plan *plan, int runs)
{
    static double best[MAX_STEPS], cpu[MAX_STEPS];
    double sum = 0, cpu_sum = 0;
    for (int r = 0; r < runs; r++)
        for (int32_t i = 0; i < plan->n_steps && i < MAX_STEPS; i++) {
            const lti_step *s = &plan->step[i];
            const double t0 = lti_now_s(), c0 = cpu_s();
            if (s->kernel.prepare && (plan->train || s->prepare_always))
                must(s->kernel.prepare(&s->kernel, s->ptr, s->kernel.prepared));
            must(s->kernel.run(&s->kernel, s->ptr, plan->scratch));
            const double t = lti_now_s() - t0, c = cpu_s() - c0;
            best[i] = r == 0 || t < best[i] ? t : best[i];
            cpu[i] = r == 0 || c < cpu[i] ? c : cpu[i];
        }
    char *dump = lt_plan_dump(plan), *line = dump;
    for (int32_t i = -3; dump && line && i < plan->n_steps; i++) {
        char *end = strchr(line, '\n');
        if (!end)
            break;
        *end = 0;
        if (i >= 0 && i < MAX_STEPS && !plan->step[i].prologue) {
            printf("%9.0f us %9.0f us cpu %s\n", best[i] * 1e6, cpu[i] * 1e6, line);
            sum += best[i];
            cpu_sum += cpu[i];
        }
        line = end + 1;
    }
    printf("sum of kernels %.1f ms, %.1f ms cpu\n", sum * 1e3, cpu_sum * 1e3);
    free(dump);
}

typedef struct bench {
    lt_model *model;
    lt_graph *graph;
    lt_val labels, weight, loss;
    lt_backend *backend;
    int64_t batch;
    unsigned flags;
    int runs;
    float *grads, *momentum;
} bench;

static double run_once(const bench *b, lt_plan *plan, bool train)
{
    const double t0 = lti_now_s();
    must(lt_plan_run(plan));
    if (train) {
#pragma omp parallel for simd schedule(static)
        for (int64_t i = 0; i < b->model->n_params; i++) {
            const float v = 0.9f * b->momentum[i] + b->grads[i] + 5e-4f * b->model->params[i];
            b->momentum[i] = v;
            b->model->params[i] -= 0.01f * v;
        }
    }
    return lti_now_s() - t0;
}

static void mode(const bench *b, const char *name, bool list)
{
    const bool train = strcmp(name, "train") == 0, infer = strcmp(name, "infer") == 0;
    const lt_val out = infer ? b->model->logits : b->loss;
    const lt_plan_spec spec = {
        .outs = &out,
        .n_outs = 1,
        .grad_of = infer ? LT_NONE : b->loss,
        .seed = LT_NONE,
        .wrt = &b->model->x,
        .n_wrt = !infer && !train,
        .wrt_params = train,
        .batch = b->batch,
        .train = train,
        .dtype = LT_F32,
        .flags = b->flags,
    };
    lt_plan *plan = NULL;
    double t[MAX_RUNS], start = lti_now_s();
    int n = 0;
    must(lt_plan_create(b->graph, &spec, b->backend, &plan));
    const double compile_s = lti_now_s() - start;
    must(lt_plan_bind(plan, b->model->params, b->model->state, b->grads));
    fill(lt_plan_buffer(plan, b->model->x), b->batch * b->model->shape.c * b->model->shape.h * b->model->shape.w, 1);
    if (!infer) {
        fill(lt_plan_buffer(plan, b->weight), b->batch, 2.0f / (float)b->batch);
        int32_t *labels = lt_plan_buffer(plan, b->labels);
        for (int64_t i = 0; i < b->batch; i++)
            labels[i] = (int32_t)(i % b->model->shape.n_classes);
    }
    for (int i = 0; i < 2; i++)
        run_once(b, plan, train);
    const int64_t allocations = lti_alloc_count();
    start = lti_now_s();
    while (n < MAX_RUNS && (n < b->runs || lti_now_s() - start < 3))
        t[n++] = run_once(b, plan, train);
    qsort(t, (size_t)n, sizeof t[0], by_value);
    const lt_plan_stats st = lt_plan_get_stats(plan);
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("%-6s best %7.1f img/s (%.1f ms)  median %7.1f  %4.0f GFLOP/s  slab %.0f MB  peak RSS %.0f MB  %d kernels "
           "%d reorders %d ref  compiled in %.2f s  allocations %lld\n",
           name, (double)b->batch / t[0], t[0] * 1e3, (double)b->batch / t[n / 2], st.flop / t[0] * 1e-9,
           (double)st.slab_bytes * 1e-6, (double)usage.ru_maxrss * 1e-3, st.n_kernels, st.n_reorders,
           st.n_ref_fallbacks, compile_s, (long long)(lti_alloc_count() - allocations));
    if (list)
        profile(plan, b->runs);
    lt_plan_destroy(plan);
}

int main(int argc, char **argv)
{
    const char *what = argc > 4 ? argv[4] : "all";
    bench b = {.batch = argc > 2 ? atoi(argv[2]) : 128, .runs = argc > 8 ? atoi(argv[8]) : 5};
    b.flags = argc > 7 ? (unsigned)atoi(argv[7]) : 0;
    must(lt_model_create(argc > 1 ? argv[1] : "resnet18:width=64", (lt_model_shape){3, 32, 32, 10}, &b.model));
    must(lt_backend_create(argc > 6 ? argv[6] : "auto", argc > 3 ? atoi(argv[3]) : 2, &b.backend));
    lt_model_init(b.model, 1);
    must(lt_graph_dup(b.model->graph, &b.graph));
    b.labels = lt_input(b.graph, "labels", LT_I32, LT_SHAPE(LT_BATCH));
    b.weight = lt_input(b.graph, "weight", LT_F32, LT_SHAPE(LT_BATCH));
    b.loss = lt_weighted_sum(b.graph, lt_cross_entropy(b.graph, b.model->logits, b.labels, 0), b.weight);
    must(lt_graph_status(b.graph));
    b.grads = lti_calloc((size_t)b.model->n_params, sizeof *b.grads);
    b.momentum = lti_calloc((size_t)b.model->n_params, sizeof *b.momentum);
    printf("%s, batch %lld, %s\n", b.model->spec, (long long)b.batch, lt_backend_version(b.backend));
    for (int i = 0; i < 3; i++) {
        static const char *const names[] = {"train", "pgd", "infer"};
        if (strcmp(what, "all") == 0 || strcmp(what, names[i]) == 0)
            mode(&b, names[i], argc > 5 && strcmp(argv[5], "list") == 0);
    }
    lti_free(b.grads);
    lti_free(b.momentum);
    lt_graph_destroy(b.graph);
    lt_model_destroy(b.model);
    lt_backend_destroy(b.backend);
    return 0;
}
