// inspect.h - what is in a tensor file or a run, and how a model is compiled. What `lethe inspect` does; and plans made
// straight from a model, as it and `lethe bench` need them.
//
// Threads: calls may run concurrently with different backends and results.
#ifndef LT_INSPECT_H
#define LT_INSPECT_H
#include "lethe/runs.h"
LT_BEGIN

// ---- plans
typedef enum lt_model_plan_kind { LT_PLAN_OF_INFERENCE, LT_PLAN_OF_INPUT_GRAD, LT_PLAN_OF_TRAINING } lt_model_plan_kind;
// flags: LT_PLAN_*. Plans of a loss add two inputs after the model's values: labels (N) I32, then weight (N) F32.
LT_API lt_status lt_model_plan(const lt_model *m, lt_model_plan_kind kind, int64_t batch, unsigned flags,
                               lt_backend *backend, lt_plan **plan);
LT_API lt_status lt_parse_image_shape(const char *text, lt_model_shape *shape); // "3x32x32"; LT_E_USAGE

// ---- tensors
typedef struct lt_tensor_stats { // of the finite elements; NAN without one
    double min, max, mean;
    int64_t n, n_not_finite;
} lt_tensor_stats;
LT_API void lt_tensor_measure(const lt_tensor *t, lt_tensor_stats *stats); // over all elements

// ---- files
typedef struct lt_inspect_spec {
    const char *file;           // run, model file or array file; NULL = an architecture alone
    lt_model_fallback fallback; // of a file that does not say it; input NULL = 3x32x32
    int n_classes;              // of an architecture alone
    bool stats;                 // of every tensor
    bool plan, train;           // the compiled plan: of inference, or of a training step
    int64_t batch;              // of the plan
    const lt_env *env;          // needed for a plan
} lt_inspect_spec;
// *json: malloc'ed. A file that is not what fallback.model asks for is no error: "differences" then lists every tensor
// that is missing, extra or of another shape (lt_model_compare), and the file is not opened as a model. LT_E_USAGE for
// a plan of a file that names no architecture; errors of opening and compiling.
LT_API lt_status lt_inspect(const lt_inspect_spec *spec, char **json);

LT_END_DECLS
#endif
