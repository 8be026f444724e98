// demo.h - the demonstration: a small model is trained, retrained without a forget set, unlearned by several methods,
// and all of them are audited and reported. What `lethe demo` does, without the command.
//
// Every step is a run directory, made by the calls of pipeline.h, so that an interrupted demonstration continues with
// the same order.
//
// Threads: one demonstration per directory at a time; calls with different directories and backends may run
// concurrently.
#ifndef LT_DEMO_H
#define LT_DEMO_H
#include "lethe/audits.h"
#include "lethe/pipeline.h"
LT_BEGIN

typedef struct lt_demo_cfg {              // rows of lt_demo_options
    const char *data;                     // NULL or "" = cifar10 when it is found, else synthetic
    const char *forget, *methods;         // methods: names separated by commas; the ending -no-retain: forget data only
    int32_t width, epochs, method_epochs; // method_epochs 0 = those of each method
    int64_t train_limit, test_limit, batch;
    float lr;
    bool augment, classes, with_images; // with_images: forgotten images may be kept and shown
    uint64_t forget_seed;
} lt_demo_cfg;
LT_API extern const lt_option lt_demo_options[];
// What `classes` stands for, unless it was set explicitly: the set holds lt_demo_options, bound to cfg.
LT_API lt_status lt_demo_class_defaults(const lt_demo_cfg *cfg, lt_optset *set);

// The data set of a demonstration, opened: *spec is malloc'ed, *ds the caller's to close. *is_stand_in: no real data
// set was found, and it is the synthetic one. One that is found and damaged is an error of lt_dataset_open.
LT_API lt_status lt_demo_open_data(const lt_demo_cfg *cfg, lt_events *events, char **spec, lt_dataset **ds,
                                   bool *is_stand_in);

typedef struct lt_demo_step {
    int number, n_steps;                             // from 1; n_steps + 1 is the audit
    const char *title;                               // one line; NULL for the audit
    double from, to;                                 // shares of the expected work before and after it, 0 to 1
    bool is_done;                                    // false: it begins, and what follows is NAN
    double train_acc, forget_acc, test_acc, seconds; // fractions; train_acc of the training, forget_acc of the others
} lt_demo_step;
typedef struct lt_demo_order { // everything is borrowed
    lt_demo_cfg cfg;
    lt_audit_cfg audit;
    uint64_t seed;
    lt_compute compute;
    const char *data; // spec that ds was opened from
    lt_dataset *ds;
    bool is_stand_in;
    const lt_env *env;
    const char *out; // directory of the demonstration
    bool force;
    int n_threads;                                        // of membership attacks
    void (*on_step)(void *ctx, const lt_demo_step *step); // may be NULL
    void *ctx;
} lt_demo_order;
// Trains, retrains, unlearns, audits, and writes OUT/report.html. *json: {"data","synthetic","out","report","n_forget",
// "rows","wall_s"} with rows as lt_comparison_json, malloc'ed. LT_E_USAGE for unknown methods; errors of lt_train_dir,
// lt_unlearn_dir, lt_compare_runs and lt_report_write. After LT_E_INTERRUPTED the same order continues.
LT_API lt_status lt_demo_run(const lt_demo_order *order, char **json);

LT_END_DECLS
#endif
