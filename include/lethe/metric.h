// metric.h - named groups of samples, and the list of metrics that audits write.
//
// Both are registries: include/lethe/groups.list and include/lethe/metrics.list have one line per entry, and tables,
// JSON, CSV, pages, null bands and verdicts loop over them. Nothing compares the name of a metric.
//
// Threads: the lists are constant; all functions may be called from any thread.
#ifndef LT_METRIC_H
#define LT_METRIC_H
#include "lethe/audit.h"
LT_BEGIN

// ---- groups of samples: a group of the signals file, or those of its samples whose class was, or was not, forgotten
// as a whole (every training sample of the class is in the forget set).

typedef enum lt_group_id {
#define LT_X(id, name, title, stored, classes) LT_SAMPLES_##id,
#include "lethe/groups.list"
#undef LT_X
    LT_N_SAMPLE_GROUPS
} lt_group_id;
enum { LT_CLASSES_ALL, LT_CLASSES_REMAINING, LT_CLASSES_FORGOTTEN }; // lt_sample_group.classes
typedef struct lt_sample_group {
    const char *name, *title; // "test-retain", "test samples of the remaining classes"
    lt_group stored;          // group of the signals file that the samples come from
    int classes;              // LT_CLASSES_*
} lt_sample_group;
LT_API const lt_sample_group *lt_sample_group_get(lt_group_id id);        // a row of the list
LT_API lt_status lt_sample_group_find(const char *name, lt_group_id *id); // LT_E_USAGE with the nearest name
// in[i] = whether row i of the signals belongs to the group; in may be NULL. Returns their number, -1 when out of
// memory (recorded).
LT_API int64_t lt_sample_group_rows(const lt_signals *s, lt_group_id id, uint8_t *in);
// Accuracy on the group; NAN when it is empty. n: number of samples, may be NULL.
LT_API lt_status lt_sample_group_acc(const lt_signals *s, lt_group_id id, double *acc, int64_t *n);
// Classes of which every training sample is in the forget set: forgotten (k), may be NULL. Returns their number.
LT_API int lt_forgotten_classes(const lt_signals *s, bool *forgotten);

// ---- metrics

typedef enum lt_metric_unit {
    LT_UNIT_FRACTION, // shown in per cent
    LT_UNIT_POINTS,   // difference of fractions, shown in percentage points
    LT_UNIT_LOGIT,    // natural logarithm of odds
    LT_UNIT_COUNT,    // int64_t in its struct
    LT_UNIT_SECONDS,
} lt_metric_unit;
typedef enum lt_metric_direction {
    LT_TOWARD_RETRAINED, // best is what a retrained model has
    LT_LOWER_IS_BETTER,
    LT_HIGHER_IS_BETTER,
} lt_metric_direction;
typedef enum lt_metric_source { // where the value comes from
    LT_METRIC_OF_AUDIT,         // a field of lt_audit
    LT_METRIC_OF_ATTACK,        // a field of lt_mia_metrics, once per membership attack; key and title are completed
    LT_METRIC_OF_SUMMARY,       // a field of lt_audit_summary
    LT_METRIC_OF_KIND,          // written by an audit kind with lt_audit_put
} lt_metric_source;
enum {                       // lt_metric.flags
    LT_METRIC_JUDGED = 1,    // has a null band and a verdict, and counts for the verdict over all metrics
    LT_METRIC_INTERVAL = 2,  // has a bootstrap interval over the draw of the samples
    LT_METRIC_CHART = 4,     // has a chart of differences in the report
    LT_METRIC_TABLE = 8,     // has a line in the table of one audit
    LT_METRIC_COLUMN = 16,   // has a column in the table of several models
    LT_METRIC_OPTIONAL = 32, // left out of the result where it was not measured
};
typedef enum lt_metric_id {
#define LT_X(id, ...) LT_METRIC_##id,
#include "lethe/metrics.list"
#undef LT_X
    LT_N_METRICS
} lt_metric_id;
typedef struct lt_metric {
    lt_metric_source source;
    const char *key;    // path in results, "svc_mia.confidence"; of an attack: below the attack's name, "ft_auc"
    const char *title;  // "forget accuracy"; of an attack: after the attack's title
    const char *column; // name in CSV files, "forget_acc"
    const char *head;   // heading of a column, without the unit: "forget acc."
    lt_metric_unit unit;
    lt_metric_direction direction;
    unsigned groups; // 1 << lt_group_id of every group of samples it is made from
    unsigned flags;
    size_t offset;     // of the field in the struct of its source
    int decimals;      // in tables, of percent where the unit is a fraction
    int drop_priority; // in narrow tables: columns with the largest go first; 0 = never
} lt_metric;
LT_API const lt_metric *lt_metric_get(lt_metric_id id); // a row of the list
// The metric of a path in results; *attack is NULL for one of no attack. LT_E_USAGE for a path that is none.
LT_API lt_status lt_metric_find(const char *path, lt_metric_id *id, const lt_mia **attack);
enum { LT_METRIC_PATH = 64, LT_METRIC_TITLE = 128 };
// attack: of LT_METRIC_OF_ATTACK, else NULL. Return out.
LT_API const char *lt_metric_path(lt_metric_id id, const lt_mia *attack, char out[LT_METRIC_PATH]);
LT_API const char *lt_metric_title(lt_metric_id id, const lt_mia *attack, char out[LT_METRIC_TITLE]);
LT_API bool
lt_metric_of_forgotten(lt_metric_id id); // forgotten samples, or test samples of forgotten classes, enter it
// One over the samples of the smallest group that the metric is made from; 0 for none. n: by lt_group_id.
LT_API double lt_metric_resolution(lt_metric_id id, const int64_t n[LT_N_SAMPLE_GROUPS]);
typedef struct lt_audit_summary { // of one model among several; NAN = not known
    double gap_mis, gap_auc;      // average gap to the oracles [AMUN 7.6]; NAN for an oracle
    double seconds;               // that the model cost
} lt_audit_summary;
// The field of the source's struct (lt_audit, lt_mia_metrics, lt_audit_summary); counts as a double.
LT_API double lt_metric_field(lt_metric_id id, const void *source);

LT_END_DECLS
#endif
