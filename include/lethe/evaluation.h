// evaluation.h - the evaluation of a trained model on its data: accuracy, loss and calibration per split and class,
// activity of spiking networks, the integer form of quantized ones. What `lethe eval` does.
//
// Threads: calls may run concurrently with different backends and results; a model and a data set may be shared.
#ifndef LT_EVALUATION_H
#define LT_EVALUATION_H
#include "lethe/intnet.h"
#include "lethe/runs.h"
#include "lethe/spike.h"
LT_BEGIN

typedef struct lt_evaluation_spec {
    const lt_trained_model *model;
    const lt_dataset *ds;
    bool other_data;          // ds is not what the model was trained on: it has no forget set of its own
    lt_forget_request forget; // spec NULL = the forget set of the run, if it has one
    bool train;               // the training split (and retained samples), too
    bool integer;             // of a quantized run: with integers only, as the deployed network computes
    const char *signals;      // outputs of all samples to this .npz; NULL or "" = none
    int n_threads;            // of the integer network
    const lt_env *env;
} lt_evaluation_spec;
typedef enum lt_evaluated_part {
    LT_EVALUATED_TRAIN,
    LT_EVALUATED_RETAIN,
    LT_EVALUATED_FORGET,
    LT_EVALUATED_TEST,
    LT_N_EVALUATED
} lt_evaluated_part;
typedef struct lt_evaluated_split {
    bool is_measured;
    lt_eval_result result; // of the integer network: n and acc, else NAN
    double *class_acc;     // (n_classes); NULL with integers
} lt_evaluated_split;
typedef struct lt_evaluation { // owned; borrows the model, the data set and the text of `signals`
    const lt_trained_model *model;
    const lt_dataset *ds;
    lt_evaluated_split split[LT_N_EVALUATED];
    bool has_forget_set;
    double images_per_s, wall_s; // of the forward passes of the splits
    bool has_activity;
    lt_spike_activity activity;
    bool has_integer;
    lt_int_info integer;
    const char *signals;
} lt_evaluation;
// Errors as of lt_trained_model_sets, lt_evaluator_run, lt_int_net_create and lt_signals_save. Clear it in either case.
LT_API lt_status lt_evaluate_model(const lt_evaluation_spec *spec, lt_evaluation *e);
LT_API void lt_evaluation_clear(lt_evaluation *e);
LT_API char *lt_evaluation_json(const lt_evaluation *e); // malloc'ed, NULL = out of memory
// The codes of a quantized run (codes.safetensors); LT_E_USAGE when it has none.
LT_API lt_status lt_trained_model_codes(const lt_trained_model *m, lt_quant **quant);

LT_END_DECLS
#endif
