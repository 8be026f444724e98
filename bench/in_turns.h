// in_turns.h - what a module of in_turns_step.c offers to in_turns.c; one of each per process.
#ifndef LT_BENCH_IN_TURNS_H
#define LT_BENCH_IN_TURNS_H

typedef struct turn_step {
    void (*make)(const char *model, int batch, int n_threads);
    int (*n_steps)(void);
    const char *(*op_of)(int step);
    double (*run)(int step); // seconds
} turn_step;

extern const turn_step lethe_turn_step;
#endif
