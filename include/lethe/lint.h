// lint.h - checks of an audit: what makes its metrics less certain, or says something else than they seem to.
//
// A check is one file src/audit/lint/ID.c and one line of src/audit/lint/checks.list.
//
// Threads: a list belongs to one thread at a time. lt_lint_run reads its input only.
#ifndef LT_LINT_H
#define LT_LINT_H
#include "lethe/metric.h"
LT_BEGIN

typedef enum lt_severity {
    LT_LINT_NOTE,    // nothing is wrong
    LT_LINT_WARNING, // metrics are less certain than they look
    LT_LINT_ERROR,   // metrics do not say what they seem to
} lt_severity;
LT_API const char *lt_severity_text(lt_severity severity); // "note", "warning", "error"

typedef struct lt_lint_item {
    const char *id; // of a check, or of who added it; static
    lt_severity severity;
    char *text;
} lt_lint_item;
typedef struct lt_lint { // zero-initialised
    int n;
    lt_lint_item *item;
} lt_lint;
LT_API lt_status lt_lint_add(lt_lint *lint, const char *id, lt_severity severity, const char *fmt, ...)
    LT_PRINTF(4, 5); // id must outlive the list
LT_API lt_status lt_lint_copy(lt_lint *lint, const lt_lint_item *item);
LT_API bool lt_lint_has(const lt_lint *lint, const lt_lint_item *item); // one with the same id, severity and text
LT_API lt_severity lt_lint_worst(const lt_lint *lint);                  // LT_LINT_NOTE for an empty list
LT_API void lt_lint_clear(lt_lint *lint);
LT_API char *lt_lint_json(const lt_lint *lint); // [{"id","severity","text"}]; malloc'ed, NULL = out of memory

// What a model and the metadata of its file say. "" = nothing.
typedef struct lt_model_identity {
    bool known;      // false: there are outputs alone
    char digest[65]; // of the weights
    char spec[256], method[64], parent_digest[65], forget_digest[65], data_digest[65];
    bool has_batch_norm;
    int64_t batch;  // of the recipe it was trained by; 0 = not known
    bool retrained; // by a method that trains from scratch without the forget set
} lt_model_identity;
LT_API void lt_model_identify(const lt_model *model, lt_model_identity *identity);

typedef struct lt_lint_model {
    const char *name;
    lt_model_identity identity;
    const lt_signals *signals;
} lt_lint_model;

typedef enum lt_lint_role { LT_LINT_OF_UNLEARNED = 1, LT_LINT_OF_ORIGINAL = 2, LT_LINT_OF_RETRAINED = 4 } lt_lint_role;
typedef struct lt_lint_attack { // membership attack on the audited model
    const char *name;
    double ft_auc;
    lt_interval ft_interval;
} lt_lint_attack;
typedef struct lt_lint_effect { // what a run says of its original model and of what it spent; NAN = not known
    double forget_acc, retain_acc, test_acc; // of the original model, on the samples of the run
    double lr_area, lr_area_default;
    double acc_f, acc_r; // of the original model, test samples of forgotten and of kept classes; for whole classes only
    double pair_acc;     // of the unlearned model, on adversarial images it was trained on together with the forgotten
                         // ones; NAN where it was not
} lt_lint_effect;
typedef struct lt_lint_in { // fields may be NULL, 0 or NAN: checks that need them find nothing
    lt_lint_role role;      // of the model that is checked
    lt_lint_model model;
    const lt_audit *audit; // of the model
    const lt_lint_model *retrained;
    int n_retrained;
    bool expects_retrained;  // an audit without retrained models lacks something
    bool lacks_original;     // some verdict is "indistinguishable", and that of the original model is not known
    const char *before_name; // outputs before unlearning
    const lt_signals *before;
    const char *forget_digest; // of the samples that the audit calls forgotten
    const lt_references *refs;
    const lt_lint_attack *attacks;
    int n_attacks;
    const lt_lint_effect *effect;
    const char *area_chosen_by;      // objective with retrained models that chose the learning-rate area; NULL = none
    double last_train_acc;           // running accuracy of the last epoch that trained this model
    const lt_duplicates *duplicates; // of forgotten images
} lt_lint_in;

// Check that studies leave out where original models share their oracles by intent.
#define LT_LINT_OTHER_ORIGINAL "oracle-other-original"
typedef struct lt_lint_out lt_lint_out;
typedef struct lt_lint_check {
    const char *id;
    lt_severity severity;
    unsigned roles;  // LT_LINT_OF_* of the models it checks
    const char *doc; // one sentence: what it finds
    lt_status (*run)(const lt_lint_in *in, lt_lint_out *out);
} lt_lint_check;
LT_API const lt_lint_check *const *lt_lint_checks(void); // NULL-terminated registry, in the order of the results
// Says something in the name of the check that runs.
LT_API lt_status lt_lint_say(lt_lint_out *out, const char *fmt, ...) LT_PRINTF(2, 3);
LT_API lt_status lt_lint_run(const lt_lint_in *in, lt_lint *lint); // every check of the registry; appends

LT_END_DECLS
#endif
