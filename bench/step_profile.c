// step_profile.c - whole steps of a CIFAR ResNet-18 through the plan: training, input gradient, inference, and where
// the time goes.
//
// usage: step_profile [model] [batch] [threads] [mode: train|pgd|infer|all] [list] [backend] [plan flags] [runs]
// Each mode runs for some seconds; best and median rates are printed, and with "list" the time of every kernel: least
// wall time and least processor time of all threads over some runs. The second tells something on a busy machine too.
#include "loss_net.h"
#include <sys/resource.h>
#include <time.h>

enum { MAX_RUNS = 400, MAX_STEPS = 600 };

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
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
    loss_net net;
    lt_backend *backend;
    int64_t batch;
    unsigned flags;
    int runs;
    float *momentum;
} bench;

static double run_once(const bench *b, lt_plan *plan, bool train)
{
    float *params = b->net.model->params;
    const double t0 = lti_now_s();
    must(lt_plan_run(plan));
    if (train) {
#pragma omp parallel for simd schedule(static)
        for (int64_t i = 0; i < b->net.model->n_params; i++) {
            const float v = 0.9f * b->momentum[i] + b->net.grads[i] + 5e-4f * params[i];
            b->momentum[i] = v;
            params[i] -= 0.01f * v;
        }
    }
    return lti_now_s() - t0;
}

static void mode(const bench *b, workload w, const char *name, bool list)
{
    const bool train = w == TRAIN;
    double t[MAX_RUNS], start = lti_now_s();
    int n = 0;
    lt_plan *plan = loss_net_plan(&b->net, b->backend, w, b->batch, b->flags);
    const double compile_s = lti_now_s() - start;
    loss_net_fill(&b->net, plan, w, b->batch);
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
    loss_net_create(argc > 1 ? argv[1] : "resnet18:width=64", &b.net);
    must(lt_backend_create(argc > 6 ? argv[6] : "auto", argc > 3 ? atoi(argv[3]) : 2, &b.backend));
    b.momentum = lti_calloc((size_t)b.net.model->n_params, sizeof *b.momentum);
    must(b.momentum ? LT_OK : LTI_NOMEM("momentum"));
    printf("%s, batch %lld, %s\n", b.net.model->spec, (long long)b.batch, lt_backend_version(b.backend));
    for (int i = 0; i < 3; i++) {
        static const char *const names[] = {[TRAIN] = "train", [INPUT_GRAD] = "pgd", [INFER] = "infer"};
        if (strcmp(what, "all") == 0 || strcmp(what, names[i]) == 0)
            mode(&b, (workload)i, names[i], argc > 5 && strcmp(argv[5], "list") == 0);
    }
    lti_free(b.momentum);
    loss_net_destroy(&b.net);
    lt_backend_destroy(b.backend);
    return 0;
}
