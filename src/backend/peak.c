// peak.c - the float32 multiply-add rate this machine reaches: independent FMA chains in registers, one team of
// threads.
//
// The widest vectors the CPU has, enough chains to hide the latency of an FMA (4 to 5 cycles, 2 a cycle): 12
// accumulators. The rate is the ceiling that `bench` compares convolution rates with; padding counted in nominal
// FLOPs can exceed it.
#include "lethe/peak.h"
#include "base/base.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { CHAINS = 12, INNER = 4096 };
#if defined(__clang__)
#define LTI_UNROLL _Pragma("unroll")
#else
#define LTI_UNROLL _Pragma("GCC unroll 12") // so that the accumulators live in registers
#endif

#if defined(__x86_64__)
__attribute__((target("avx512f"))) static float chunk_avx512(float seed)
{
    __m512 acc[CHAINS], a = _mm512_set1_ps(0.999f), b = _mm512_set1_ps(1e-3f);
    for (int k = 0; k < CHAINS; k++)
        acc[k] = _mm512_set1_ps(seed + (float)k);
    for (int i = 0; i < INNER; i++)
        LTI_UNROLL for (int k = 0; k < CHAINS; k++) acc[k] = _mm512_fmadd_ps(acc[k], a, b);
    for (int k = 1; k < CHAINS; k++)
        acc[0] = _mm512_add_ps(acc[0], acc[k]);
    return _mm512_cvtss_f32(acc[0]);
}

__attribute__((target("avx2,fma"))) static float chunk_avx2(float seed)
{
    __m256 acc[CHAINS], a = _mm256_set1_ps(0.999f), b = _mm256_set1_ps(1e-3f);
    for (int k = 0; k < CHAINS; k++)
        acc[k] = _mm256_set1_ps(seed + (float)k);
    for (int i = 0; i < INNER; i++)
        LTI_UNROLL for (int k = 0; k < CHAINS; k++) acc[k] = _mm256_fmadd_ps(acc[k], a, b);
    for (int k = 1; k < CHAINS; k++)
        acc[0] = _mm256_add_ps(acc[0], acc[k]);
    return _mm256_cvtss_f32(acc[0]);
}
#endif

// Plain C: four-wide vectors, which the compiler maps to what the target has.
typedef float vec4 __attribute__((vector_size(16)));
static float chunk_plain(float seed)
{
    vec4 acc[CHAINS], a = {0.999f, 0.999f, 0.999f, 0.999f}, b = {1e-3f, 1e-3f, 1e-3f, 1e-3f};
    for (int k = 0; k < CHAINS; k++)
        acc[k] = (vec4){seed + (float)k, seed, seed, seed};
    for (int i = 0; i < INNER; i++)
        LTI_UNROLL for (int k = 0; k < CHAINS; k++) acc[k] = acc[k] * a + b;
    for (int k = 1; k < CHAINS; k++)
        acc[0] += acc[k];
    return acc[0][0];
}

typedef float chunk_fn(float seed);
struct team {
    chunk_fn *chunk;
    int width; // floats in a vector
    double seconds;
    atomic_int ready, go, stop;
};
struct member {
    struct team *team;
    pthread_t thread;
    int64_t n_chunks;
    float sink; // keeps the sums alive
};

static void *run_chunks(void *self)
{
    struct member *m = self;
    struct team *t = m->team;
    float sum = t->chunk(1.0f);
    atomic_fetch_add(&t->ready, 1);
    while (!atomic_load(&t->go))
        ;
    while (!atomic_load(&t->stop)) {
        sum += t->chunk(sum * 1e-9f);
        m->n_chunks++;
    }
    m->sink = sum;
    return NULL;
}

static void choose_kernel(struct team *t)
{
    t->chunk = chunk_plain;
    t->width = 4;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f")) {
        t->chunk = chunk_avx512;
        t->width = 16;
    } else if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        t->chunk = chunk_avx2;
        t->width = 8;
    }
#endif
}

static lt_status measure(struct team *t, int n_threads, double *gflops)
{
    struct member *m = lti_calloc((size_t)n_threads, sizeof *m);
    int started = 0;
    int64_t chunks = 0;
    if (!m)
        return LTI_NOMEM("threads of the peak measurement");
    for (; started < n_threads; started++) {
        m[started].team = t;
        if (pthread_create(&m[started].thread, NULL, run_chunks, &m[started]) != 0)
            break;
    }
    while (atomic_load(&t->ready) < started)
        ;
    const double start_s = lti_now_s();
    atomic_store(&t->go, 1);
    while (started > 0 && lti_now_s() - start_s < t->seconds) {
        const struct timespec nap = {.tv_nsec = 1000000};
        nanosleep(&nap, NULL);
    }
    atomic_store(&t->stop, 1);
    const double elapsed = lti_now_s() - start_s;
    for (int i = 0; i < started; i++) {
        pthread_join(m[i].thread, NULL);
        chunks += m[i].n_chunks;
    }
    lti_free(m);
    if (started == 0)
        return LT_FAIL(LT_E_FAIL, "peak measurement: no thread could be started");
    *gflops = (double)chunks * INNER * CHAINS * t->width * 2 / elapsed / 1e9;
    return LT_OK;
}

lt_status lt_measure_fma_peak(int n_threads, double seconds, double *gflops)
{
    enum { TRIES = 3, MOST_THREADS = 4096 };
    *gflops = 0;
    if (n_threads < 1 || n_threads > MOST_THREADS || !(seconds > 0))
        return LT_FAIL(LT_E_USAGE, "peak measurement: expected 1..%d threads and a time, found %d and %g s",
                       MOST_THREADS, n_threads, seconds);
    for (int i = 0; i < TRIES; i++) {
        struct team t = {.seconds = seconds / TRIES};
        double rate;
        choose_kernel(&t);
        LT_TRY(measure(&t, n_threads, &rate));
        *gflops = rate > *gflops ? rate : *gflops;
    }
    return LT_OK;
}
