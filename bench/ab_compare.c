// ab_compare.c - two builds of lethe in one process: every kernel of a training step of one, then of the other, and so
// on.
//
// usage: ab_compare OLD.so NEW.so [model] [batch] [threads] [rounds] [train|input-grad]
// The modules are bench/ab_compare_step.so of two build folders. Whole programs run in turns tell changes of a tenth on
// a machine whose speed swings; kernels in turns see the same machine within milliseconds and tell one in a hundred.
// Each kernel finds the other build's data in the caches, so times are a little longer than in a step of its own.
#include "ab_compare.h"
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_OPS = 64, MOST_ROUNDS = 1000, MOST_BATCH = 65536, MOST_THREADS = 1024 };

typedef struct op_time {
    const char *name;
    double old_s, new_s; // sums over kernels of medians
} op_time;

static const ab_module *load(const char *path)
{
    void *module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    const ab_module *step = module ? dlsym(module, "lethe_ab_module") : NULL;
    if (step)
        return step;
    fprintf(stderr, "ab_compare: %s\n", dlerror());
    exit(1);
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *v, int n)
{
    qsort(v, (size_t)n, sizeof *v, by_value);
    return v[n / 2];
}

static op_time *entry(op_time *ops, const char *name)
{
    int i = 0;
    while (i < MOST_OPS - 1 && ops[i].name && strcmp(ops[i].name, name) != 0)
        i++;
    ops[i].name = name;
    return &ops[i];
}

static void time_kernel(const ab_module *const side[2], int step, int rounds, op_time *to)
{
    double old_s[MOST_ROUNDS], ratio[MOST_ROUNDS];
    for (int r = -1; r < rounds; r++) { // the first warms up
        const double a = side[0]->run(step), b = side[1]->run(step);
        if (r >= 0) {
            old_s[r] = a;
            ratio[r] = b / a;
        }
    }
    const double s = median(old_s, rounds);
    to->old_s += s;
    to->new_s += s * median(ratio, rounds);
}

// Argument i, a number from 1 to most.
static int parse_number(int argc, char **argv, int i, const char *name, int most, int unless_given)
{
    if (i >= argc)
        return unless_given;
    char *end;
    const long n = strtol(argv[i], &end, 10);
    if (end != argv[i] && !*end && n >= 1 && n <= most)
        return (int)n;
    fprintf(stderr, "ab_compare: %s '%s': expected 1 to %d\n", name, argv[i], most);
    exit(2);
}

int main(int argc, char **argv)
{
    if (argc < 3 || argc > 8) {
        fprintf(stderr, "usage: ab_compare OLD.so NEW.so [model] [batch] [threads] [rounds] [train|input-grad]\n");
        return 2;
    }
    const char *model = argc > 3 ? argv[3] : "resnet18:width=16";
    const int batch = parse_number(argc, argv, 4, "batch", MOST_BATCH, 128);
    const int threads = parse_number(argc, argv, 5, "threads", MOST_THREADS, 1);
    const int rounds = parse_number(argc, argv, 6, "rounds", MOST_ROUNDS, 20);
    const char *workload = argc > 7 ? argv[7] : "train";
    if (strcmp(workload, "train") != 0 && strcmp(workload, "input-grad") != 0) {
        fprintf(stderr, "ab_compare: workload '%s': expected train or input-grad\n", workload);
        return 2;
    }
    const ab_module *const side[2] = {load(argv[1]), load(argv[2])};
    if (side[0] == side[1]) {
        fprintf(stderr, "ab_compare: %s and %s are one module; copy it to compare it with itself\n", argv[1], argv[2]);
        return 2;
    }
    for (int i = 0; i < 2; i++)
        side[i]->make(model, workload, batch, threads);
    if (side[0]->n_steps() != side[1]->n_steps()) {
        fprintf(stderr, "ab_compare: the plans differ: %d and %d steps\n", side[0]->n_steps(), side[1]->n_steps());
        return 1;
    }
    op_time ops[MOST_OPS] = {{0}}, all = {"all", 0, 0};
    for (int i = 0; i < side[0]->n_steps(); i++) {
        if (strcmp(side[0]->op_of(i), side[1]->op_of(i)) != 0) {
            fprintf(stderr, "ab_compare: step %d is %s and %s\n", i, side[0]->op_of(i), side[1]->op_of(i));
            return 1;
        }
        time_kernel(side, i, rounds, entry(ops, side[0]->op_of(i)));
    }
    printf("%s, %s, batch %d, %d threads, medians of %d turns\n", model, workload, batch, threads, rounds);
    for (int i = 0; i < MOST_OPS && ops[i].name; i++) {
        printf("%-14s old %8.2f ms  new %8.2f ms  x%.3f\n", ops[i].name, 1e3 * ops[i].old_s, 1e3 * ops[i].new_s,
               ops[i].new_s / ops[i].old_s);
        all.old_s += ops[i].old_s;
        all.new_s += ops[i].new_s;
    }
    printf("%-14s old %8.2f ms  new %8.2f ms  x%.3f\n", all.name, 1e3 * all.old_s, 1e3 * all.new_s,
           all.new_s / all.old_s);
    return 0;
}
