// rmia.c - seconds of membership scores for a large target: generated logits of reference models, every attack once.
//
// usage: rmia [samples] [models] [classes] [threads] [repetitions]
// Best of the repetitions; check the load average before believing a number. Needs the public library only:
//
//   cc -O2 -Iinclude bench/rmia.c -o build/rmia -Lbuild/release/cli -llethe -Wl,-rpath,$PWD/build/release/cli
#include "lethe/audit.h"
#include "lethe/rng.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void *must_alloc(size_t bytes)
{
    void *p = malloc(bytes);
    if (!p)
        exit(7);
    return p;
}

// Members are more confident; all models agree on what is easy.
static void fill(float *logits, const uint8_t *member, int64_t model, int64_t n, int k)
{
    for (int64_t i = 0; i < n; i++) {
        lt_rng rng = lt_rng_at(1, LT_STREAM_TEST, (uint32_t)model, (uint64_t)i);
        for (int j = 0; j < k; j++)
            logits[i * k + j] = 4.0f * lt_rng_uniform(&rng) - 2.0f;
        logits[i * k + i % k] += (float)(i % 97) / 20.0f + 2.0f * (float)member[i];
    }
}

static double seconds_of(const lt_mia *mia, const lt_mia_in *in, double *score, int repetitions, double *auc)
{
    double best = 1e30;
    void *cfg = must_alloc(mia->cfg_size + 1);
    lt_mia_metrics f;
    lt_options_defaults(mia->opts, cfg);
    for (int r = 0; r < repetitions; r++) {
        double start = now_s();
        if (lt_mia_run(mia, in, cfg, score) != LT_OK) {
            fprintf(stderr, "%s\n", lt_error_get()->message);
            best = -1;
            break;
        }
        double t = now_s() - start;
        best = t < best ? t : best;
    }
    *auc = best >= 0 && lt_mia_measure(in->target, mia, score, &f) == LT_OK ? f.auc.ft : -1;
    free(cfg);
    return best;
}

int main(int argc, char **argv)
{
    int64_t n = argc > 1 ? atoll(argv[1]) : 60000, m = argc > 2 ? atoll(argv[2]) : 128;
    int k = argc > 3 ? atoi(argv[3]) : 10, threads = argc > 4 ? atoi(argv[4]) : 2, times = argc > 5 ? atoi(argv[5]) : 3;
    float *logits = must_alloc((size_t)(m * n * k) * sizeof *logits);
    uint8_t *member = must_alloc((size_t)(m * n)), *own = must_alloc((size_t)n);
    lt_signals s = {.n = n, .k = k, .logits = must_alloc((size_t)(n * k) * sizeof(float))};
    s.label = must_alloc((size_t)n * sizeof *s.label);
    s.id = must_alloc((size_t)n * sizeof *s.id);
    s.group = must_alloc((size_t)n);
    for (int64_t i = 0; i < n; i++) {
        s.label[i] = i % k, s.id[i] = i;
        s.group[i] = (int8_t)(i % 12 < 9 ? LT_GROUP_RETAIN : i % 12 < 10 ? LT_GROUP_FORGET : LT_GROUP_TEST);
        own[i] = s.group[i] != LT_GROUP_TEST;
        for (int64_t r = 0; r < m; r++)
            member[r * n + i] = (uint8_t)((i + r) % 2);
    }
    fill(s.logits, own, m, n, k);
    for (int64_t r = 0; r < m; r++)
        fill(logits + r * n * k, member + r * n, r, n, k);
    const lt_references refs = {.m = m, .n = n, .k = k, .logits = logits, .member = member};
    const lt_mia_in in = {.target = &s, .refs = &refs, .seed = 1, .n_threads = threads};
    double *score = must_alloc((size_t)n * sizeof *score), auc;
    printf("%lld samples, %lld models, %d classes, %d threads\n", (long long)n, (long long)m, k, threads);
    for (const lt_mia *const *a = lt_mia_list(); *a; a++) {
        if ((*a)->needs & LT_MIA_NEED_UNLEARNED)
            continue;
        double t = seconds_of(*a, &in, score, times, &auc);
        printf("%-16s %8.3f s   forget/test AUC %.4f\n", (*a)->name, t, auc);
    }
    lt_verdict_cfg cfg;
    lt_interval acc[3];
    lt_auc_intervals interval;
    lt_options_defaults(lt_verdict_options, &cfg);
    double start = now_s();
    if (lt_audit_bootstrap(&s, 1, (const double *const[]){score}, &cfg, 1, acc, &interval) == LT_OK)
        printf("%-16s %8.3f s   %d draws of one attack\n", "bootstrap", now_s() - start, (int)cfg.bootstrap);
    free(logits);
    free(member);
    free(own);
    free(score);
    free(s.logits);
    free(s.label);
    free(s.id);
    free(s.group);
    return 0;
}
