// memory.c - what the caches and the memory give: bytes a second that all threads read and write together, each in a
// buffer of its own, by the size of that.
//
// usage: memory [threads]
// Best of several runs. Two threads whose cores share a third-level cache slow each other down beyond half of it; two
// that do not share one read twice as much from memory as well.
#include "base/base.h"
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef _OPENMP
#include <omp.h>
#endif

enum { RUNS = 5, LINE = 64 };
static const size_t large = (size_t)128 << 20;

typedef uint64_t line __attribute__((vector_size(LINE), may_alias));

// One word of every line is read, every line is written whole.
static void pass(char *p, size_t bytes, bool write)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < bytes; i += LINE) {
        if (write)
            *(volatile line *)(p + i) = (line){0};
        else
            sum += *(volatile uint64_t *)(p + i);
    }
    volatile uint64_t used = sum;
    (void)used;
}

static int thread(void)
{
#ifdef _OPENMP
    return omp_get_thread_num();
#else
    return 0;
#endif
}

static double gb_per_s(char *const *p, int n_threads, size_t bytes, bool write)
{
    double best = 0;
    for (int r = 0; r < RUNS; r++) {
        const double start = lti_now_s();
#pragma omp parallel num_threads(n_threads)
        for (size_t i = 0; i < large / bytes; i++)
            pass(p[thread()], bytes, write);
        const double rate = 1e-9 * (double)n_threads * (double)large / (lti_now_s() - start);
        best = rate > best ? rate : best;
    }
    return best;
}

int main(int argc, char **argv)
{
    const int n = argc > 1 ? atoi(argv[1]) : 2;
    if (n < 1 || n > 1024) {
        fprintf(stderr, "memory: threads must be 1 to 1024, not '%s'\n", argv[1]);
        return 2;
    }
    char **p = lti_calloc((size_t)n, sizeof *p);
    for (int i = 0; p && i < n; i++) {
        p[i] = lti_aligned_alloc(LINE, large);
        if (!p[i]) {
            fprintf(stderr, "memory: %zu MiB a thread are more than there is\n", large >> 20);
            return 7;
        }
        memset(p[i], 1, large);
    }
    if (!p)
        return 7;
    printf("%d threads, GB/s together\n", n);
    for (size_t bytes = (size_t)512 << 10; bytes <= large; bytes *= 2)
        printf("%7zu KiB a thread: read %6.1f, write %6.1f\n", bytes >> 10, gb_per_s(p, n, bytes, false),
               gb_per_s(p, n, bytes, true));
    for (int i = 0; i < n; i++)
        lti_free(p[i]);
    lti_free(p);
    return 0;
}
