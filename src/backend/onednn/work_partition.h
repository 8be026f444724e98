// work_partition.h - work items for the threads of a kernel, each with its own share.
//
// Items are numbered in the order of their images, and a thread begins with the same part of them in every kernel: what
// it wrote in the last one is in its own caches. That matters most where cores do not share a third-level cache (Zen:
// beyond a complex of eight): on such a machine width 16 trains a fifth faster than with items for the first free
// thread. A thread that is done takes items from the others, so that a core that is busy with something else delays no
// other.
#ifndef LT_ONEDNN_WORK_PARTITION_H
#define LT_ONEDNN_WORK_PARTITION_H
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#ifdef _OPENMP
#include <omp.h>
#endif

enum {
    LTI_MAX_WORK_RANGES = 64,         // threads beyond that begin with another's
    LTI_PRIVATE_COPY_MAX_THREADS = 4, // up to this many make small things that all need each for itself: less than
                                      // waiting for lines that another core has written
};

typedef struct lti_work_range {
    _Alignas(64) _Atomic int64_t taken; // a cache line each: threads count without disturbing one another
    int64_t first, end;
} lti_work_range;

typedef struct lti_work_partition {
    int n;
    lti_work_range range[LTI_MAX_WORK_RANGES];
} lti_work_partition;

static inline void lti_work_partition_init(lti_work_partition *s, int64_t n_items, int n_threads)
{
    s->n = n_threads < LTI_MAX_WORK_RANGES ? n_threads : LTI_MAX_WORK_RANGES;
    for (int i = 0; i < s->n; i++) {
        atomic_init(&s->range[i].taken, 0);
        s->range[i].first = n_items * i / s->n;
        s->range[i].end = n_items * (i + 1) / s->n;
    }
}

// The share that an item is in.
static inline int64_t lti_work_partition_owner(int64_t item, int64_t n_items, int n_threads)
{
    return ((item + 1) * n_threads - 1) / n_items;
}

static inline int lti_thread(void)
{
#ifdef _OPENMP
    return omp_get_thread_num();
#else
    return 0;
#endif
}

// The next item for this thread; false = none is left. back: a share from its end, where its last items were the first.
static inline bool lti_work_partition_next(lti_work_partition *s, bool back, int64_t *item)
{
    const int own = lti_thread() % s->n;
    for (int k = 0; k < s->n; k++) {
        lti_work_range *from = &s->range[(own + k) % s->n];
        const int64_t n = from->end - from->first;
        if (atomic_load_explicit(&from->taken, memory_order_relaxed) >= n)
            continue;
        const int64_t i = atomic_fetch_add_explicit(&from->taken, 1, memory_order_relaxed);
        if (i >= n)
            continue;
        *item = back ? from->end - 1 - i : from->first + i;
        return true;
    }
    return false;
}
#endif
