// threads.h - the number of threads of a backend, also where OpenMP is missing.
//
// oneDNN takes its team size from the calling thread's OpenMP setting. That setting belongs to the host program, so
// every kernel that enters oneDNN sets it and puts it back; both are stores to thread-local memory.
#ifndef LT_ONEDNN_THREADS_H
#define LT_ONEDNN_THREADS_H
#ifdef _OPENMP
#include <omp.h>
static inline int lti_threads_enter(int n_threads)
{
    const int before = omp_get_max_threads();
    if (before != n_threads)
        omp_set_num_threads(n_threads);
    return before;
}
static inline void lti_threads_leave(int before, int n_threads)
{
    if (before != n_threads)
        omp_set_num_threads(before);
}
#else
static inline int lti_threads_enter(int n_threads)
{
    return n_threads;
}
static inline void lti_threads_leave(int before, int n_threads)
{
    (void)before;
    (void)n_threads;
}
#endif
#endif
