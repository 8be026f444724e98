// ab_compare.h - what a module of ab_compare_step.c offers to ab_compare.c; one of each per process.
#ifndef LT_BENCH_AB_COMPARE_H
#define LT_BENCH_AB_COMPARE_H

typedef struct ab_module {
    // workload: "train" or "input-grad"
    void (*make)(const char *model, const char *workload, int batch, int n_threads);
    int (*n_steps)(void);
    const char *(*op_of)(int step);
    double (*run)(int step); // seconds; what is prepared once per change of the parameters is in them for "train" only
} ab_module;

extern const ab_module lethe_ab_module;
#endif
