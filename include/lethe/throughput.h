// throughput.h - how fast this machine trains, attacks and infers: images a second of single steps, against the
// measured multiply-add peak. What `lethe bench` does.
//
// Threads: a measurement takes all threads it is given; run nothing else at the same time.
#ifndef LT_THROUGHPUT_H
#define LT_THROUGHPUT_H
#include "lethe/inspect.h"
LT_BEGIN

typedef enum lt_workload { LT_WORK_TRAIN, LT_WORK_INPUT_GRAD, LT_WORK_INFER, LT_N_WORKLOADS } lt_workload;
LT_API const char *lt_workload_name(lt_workload w); // "train", "input-grad", "infer"
typedef struct lt_throughput_spec {
    const char *model; // architecture
    lt_model_shape shape;
    int64_t batch;
    unsigned workloads;    // 1 << lt_workload of those to time
    int n_steps, n_warmup; // timed; before them, in which plans are compiled and tuned
    bool peak;             // measure the multiply-add peak of the processor as well
    const lt_env *env;
} lt_throughput_spec;
typedef struct lt_timing { // of one workload; seconds a step
    bool is_timed;
    double median_s, best_s, worst_s, images_per_s, images_per_s_best;
    double gflop_per_step, gflops, share_of_peak; // nominal operations, two per multiply-add; share 0 = no peak
    double peak_rss_mib;
} lt_timing;
typedef struct lt_throughput {
    char model[256], backend[256];
    int64_t batch;
    int n_threads;
    double peak_gflops; // 0 = not measured
    double peak_rss_mib;
    lt_timing timing[LT_N_WORKLOADS];
} lt_throughput;
// The training step is the real one: loader, plan, optimizer, on random images. The input-gradient step is what an
// attack repeats, inference the forward pass; both run their plans directly. Emits "bench.stage" BEGIN.
LT_API lt_status lt_throughput_measure(const lt_throughput_spec *spec, lt_throughput *out);
LT_API char *lt_throughput_json(const lt_throughput *t); // malloc'ed, NULL = out of memory

LT_END_DECLS
#endif
