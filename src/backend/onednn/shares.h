// shares.h - work items for the threads of a kernel, each with a share of its own.
//
// Items are numbered as their images lie, and a thread begins with the same part of them in every kernel: what it wrote
// in the last one is in its own caches. That matters most where cores do not share a third-level cache (Zen: beyond a
// complex of eight); there, width 16 trains a fifth faster than with items for whoever comes first. A thread that is
// done takes items from the others, so that a core that is busy with something else holds nobody up.
#ifndef LT_ONEDNN_SHARES_H
#define LT_ONEDNN_SHARES_H
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#ifdef _OPENMP
#include <omp.h>
#endif

enum {
    LTI_MAX_SHARES = 64, // threads beyond that begin with another's
    LTI_OWN_THREADS = 4, // up to this many make small things that all need each for itself: less than waiting for
                         // lines that another core has written
};

typedef struct lti_share {
    _Alignas(64) _Atomic int64_t taken; // a cache line each: threads count without disturbing one another
    int64_t first, end;
} lti_share;

typedef struct lti_shares {
    int n;
    lti_share share[LTI_MAX_SHARES];
} lti_shares;

static inline void lti_shares_init(lti_shares *s, int64_t n_items, int n_threads)
{
    s->n = n_threads < LTI_MAX_SHARES ? n_threads : LTI_MAX_SHARES;
    for (int i = 0; i < s->n; i++) {
        atomic_init(&s->share[i].taken, 0);
        s->share[i].first = n_items * i / s->n;
        s->share[i].end = n_items * (i + 1) / s->n;
    }
}

// The share that an item is in.
static inline int64_t lti_shares_owner(int64_t item, int64_t n_items, int n_threads)
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
static inline bool lti_shares_take(lti_shares *s, bool back, int64_t *item)
{
    const int own = lti_thread() % s->n;
    for (int k = 0; k < s->n; k++) {
        lti_share *from = &s->share[(own + k) % s->n];
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
