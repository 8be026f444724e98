// report.h - the self-contained HTML report: tables and inline SVG, readable without scripts; and single PNG files.
#ifndef LT_REPORT_H
#define LT_REPORT_H
#include "lethe/audit.h"
LT_BEGIN

typedef enum lt_report_role { LT_ROW_METHOD, LT_ROW_ORIGINAL, LT_ROW_ORACLE } lt_report_role;

typedef struct lt_report_row {  // one model
    const char *name, *setting; // "AMUN", "with retain data"
    lt_report_role role;
    lt_audit audit;
    double gap_mis, gap_auc;   // NaN = oracle or not computed
    double seconds;            // NaN = unknown
    const lt_signals *signals; // histograms; may be NULL
    const char *run_dir;
} lt_report_row;
typedef struct lt_report_curve { // one training curve
    const char *name;
    int n;
    const double *epoch, *loss, *train_acc, *test_acc; // fractions; test_acc may be NULL or hold NaN
} lt_report_curve;
typedef struct lt_report_spec {
    const char *title, *subtitle;
    const char *note;         // a paragraph under the title: what was done, on which data; may be NULL
    const char *const *facts; // key, value, ..., NULL; may be NULL
    const lt_report_row *rows;
    int n_rows;
    const lt_report_curve *curves;
    int n_curves;
    // strip of forget images and their adversarial neighbours: n_pairs x (C,H,W) floats in [0,1], C = 1 or 3
    int n_pairs, c, h, w;
    const float *clean, *adv;
    const char *const *pair_text; // n_pairs captions
} lt_report_spec;
// One file, no scripts, nothing fetched; written atomically. All text of the spec is escaped.
LT_API lt_status lt_report_html(const lt_report_spec *spec, const char *path);
LT_API char *lt_report_markdown(const lt_report_spec *spec); // the table; malloc'ed, NULL when out of memory
LT_API char *lt_report_csv(const lt_report_spec *spec);      // the table, fractions in full precision

// One picture (C,H,W), C = 1 or 3, as a PNG file.
LT_API lt_status lt_png_write(const char *path, int c, int h, int w, const uint8_t *x);

LT_END_DECLS
#endif
