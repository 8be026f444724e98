// sweep_rows.h - the table of a sweep, before it is summed up.
#ifndef LETHE_CLI_SWEEP_ROWS_H
#define LETHE_CLI_SWEEP_ROWS_H
#include "sweep.h"

typedef struct sweep_metric {
    char *column, *path;
    bool judged; // enters the verdict
    bool gap;    // the average gap with the figure at `path` in the place of the MIS
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
bool sweep_is_of(const json_t *row, const char *role, const char *method, const char *access); // NULL = any
int sweep_cell_of(const sweep *s, const json_t *row); // number of its (original model, forget set)

// ---- sweep_compare.c: runs of one method against retraining
lt_status sweep_verdict_cfg(const sweep *s, lt_verdict_cfg *cfg); // the study's
// Spread of retraining, and the band of a further retrained model; NULL where there are too few oracles.
json_t *sweep_band_json(const sweep *s, const lt_verdict_cfg *cfg, const json_t *rows, const sweep_metric *m);
// Adds difference, band, p, bound, margin and verdict to every judged metric in `to`. Returns the verdict of all.
lt_verdict sweep_compare_put(const sweep *s, const lt_verdict_cfg *cfg, const json_t *rows,
                             const sweep_metrics *metrics, const char *method, const char *access, json_t *to);
#endif
