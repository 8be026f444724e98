// sweep_rows.h - the table of a sweep, before it is summed up.
#ifndef LETHE_CLI_SWEEP_ROWS_H
#define LETHE_CLI_SWEEP_ROWS_H
#include "sweep.h"

typedef struct sweep_metric {
    char *column, *path;
    bool gap; // the average gap with the figure at `path` in the place of the MIS
} sweep_metric;
typedef struct sweep_metrics {
    int n;
    sweep_metric *metric;
} sweep_metrics;
void sweep_metrics_init(sweep_metrics *m);
void sweep_metrics_clear(sweep_metrics *m);

// figures: of one model; where it is one of the oracles, it is compared with the others.
double sweep_gap(const json_t *figures, const json_t *oracles, const char *mia);
char *sweep_options_text(const lt_study_options *a, const lt_study_options *b); // "lr=0.01 epochs=10"; NULL = none
// rows: one object per model of each finished audit, keys are columns. audits: what they were read from, in order.
lt_status sweep_rows(const sweep *s, const sweep_metrics *metrics, json_t *rows, json_t *audits);
#endif
