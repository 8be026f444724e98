// report.h - the self-contained HTML report: tables and inline SVG, readable without scripts.
#ifndef LT_REPORT_H
#define LT_REPORT_H
#include "lethe/audit.h"
LT_BEGIN

typedef struct lt_report_row { // one method
    const char *name, *setting; // "AMUN", "with retain data"
    lt_audit audit;
    double gap_mis, gap_auc; // NaN = oracle or not computed
    double seconds;
    const lt_signals *signals; // histograms; may be NULL
    const char *run_dir;
} lt_report_row;
typedef struct lt_report_curve { // one training curve
    const char *name;
    int n;
    const double *epoch, *loss, *train_acc, *test_acc; // test_acc may hold NaN
} lt_report_curve;
typedef struct lt_report_spec {
    const char *title, *subtitle;
    const char *const *facts; // key, value, ..., NULL
    const lt_report_row *rows;
    int n_rows;
    const lt_report_curve *curves;
    int n_curves;
    // strip of forget images and their adversarial neighbours: n_pairs x (C,H,W) floats in [0,1]
    int n_pairs, c, h, w;
    const float *clean, *adv;
    const char *const *pair_text; // n_pairs captions
} lt_report_spec;
LT_API lt_status lt_report_html(const lt_report_spec *spec, const char *path);
LT_API char *lt_report_markdown(const lt_report_spec *spec); // the table; malloc'ed

LT_END_DECLS
#endif
