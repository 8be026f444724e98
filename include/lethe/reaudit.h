// reaudit.h - does a later change of an unlearned model undo its forgetting?
//
// The same audit of three models on the same samples: the unlearned one before and after the change (quantization,
// faults, spread, clipping), and a retrained one. Source: docs/methods/chips.md, "Forgetting after deployment".
//
// Threads: models and data are only read; calls may run concurrently with different backends and results.
#ifndef LT_REAUDIT_H
#define LT_REAUDIT_H
#include "lethe/audit.h"
LT_BEGIN

typedef struct lt_reaudit {
    lt_audit before, after, retrained; // retrained: all zero without such a model
    bool has_retrained;
    double gap_before, gap_after; // average gap to the retrained model (FT AUC of phi); NAN without
    // AUC of phi, forget against test samples, after minus before, over all samples, and its 95 % interval over draws
    // of the samples (paired: the same draws for both models). Above 0: forgotten samples look more like members again.
    double auc_shift, auc_low, auc_high;
    double forget_shift, test_shift; // accuracies, after minus before
    bool relapse;                    // auc_low > 0
} lt_reaudit;

typedef struct lt_reaudit_in {
    const lt_model *before, *after, *retrained; // retrained may be NULL
    const lt_dataset *ds;
    const lt_index_set *forget, *retain;
    uint64_t seed;
    const lt_env *env;
} lt_reaudit_in;
// LT_E_FORMAT when a group is empty.
LT_API lt_status lt_reaudit_run(const lt_reaudit_in *in, lt_reaudit *out);

LT_END_DECLS
#endif
