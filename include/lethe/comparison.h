// comparison.h - a comparison of several models that forgot the same samples: one row each, with its audit.
//
// Rows are added with what is known of each run; lt_comparison_label names them and gathers repeats, and
// lt_comparison_judge holds every row against the rows of retrained models. Nothing here opens runs.
//
// Threads: a comparison belongs to one thread at a time; different ones are independent.
#ifndef LT_COMPARISON_H
#define LT_COMPARISON_H
#include "lethe/audit_report.h"
LT_BEGIN

typedef enum lt_row_role { LT_ROW_METHOD, LT_ROW_ORIGINAL, LT_ROW_ORACLE } lt_row_role;
LT_API const char *lt_row_role_text(lt_row_role role); // "method", "original", "oracle"

typedef struct lt_comparison_option { // of the run, as text
    char *key, *value;
} lt_comparison_option;
typedef struct lt_comparison_row {
    // Filled by who adds the row; strings are malloc'ed and become the comparison's.
    char *run;       // directory or file
    char *method;    // name of the unlearning method; "" = trained only
    int uses_retain; // 1, 0; -1 = does not say
    char *seed;      // NULL = the run does not say
    int n_options;
    lt_comparison_option *option; // in which rows of one method may differ
    double seconds;               // that the model cost; NAN = not known
    lt_model_identity identity;
    lt_audited audited;
    double last_train_acc; // running accuracy of the last epoch; NAN = not known
    lt_lint_effect effect; // what the run says of its original model
    // Filled by lt_comparison_label.
    lt_row_role role;
    char *name, *setting, *group; // group: rows with the same are repeats with other seeds
    // Filled by lt_comparison_judge.
    lt_audit_in in;
    lt_audit_report *report;
    lt_audit_summary summary; // gaps are NAN for oracles
} lt_comparison_row;
typedef struct lt_comparison { // owned; zero-initialised
    int n;
    lt_comparison_row *row;
    lt_mia_set attacks;
    char forget_digest[65];
    lt_duplicates duplicates; // of forgotten images
    lt_lint lint;             // of all rows together
    lt_verdict_cfg verdict;
    lt_audit_subject *oracle; // (n_oracles), made by lt_comparison_judge
    int n_oracles;
} lt_comparison;
LT_API lt_status lt_comparison_add(lt_comparison *c, lt_comparison_row **row); // a new row, zeroed; moves the others
LT_API void lt_comparison_drop_last(lt_comparison *c);
// LT_E_USAGE when rows were made from different original models or data sets, or when a model that was only trained is
// not the original of the others: distances to the retrained models of one original say nothing about the runs of
// another.
LT_API lt_status lt_comparison_check_originals(const lt_comparison *c);
LT_API lt_status lt_comparison_add_option(lt_comparison_row *row, const char *key, const char *value); // copies
LT_API void lt_comparison_sort(lt_comparison *c); // original, oracles, methods; stable. Sets the roles
LT_API lt_status lt_comparison_label(lt_comparison *c);
// Every row must be measured on the same samples.
LT_API lt_status lt_comparison_judge(lt_comparison *c, const lt_verdict_cfg *cfg, uint64_t seed);
LT_API void lt_comparison_clear(lt_comparison *c);
LT_API char *lt_comparison_json(const lt_comparison *c); // array of rows; malloc'ed, NULL = out of memory

LT_END_DECLS
#endif
