// pipeline.h - training and unlearning as whole runs: from options and data to a run directory with model, outputs and
// result. What `lethe train` and `lethe unlearn` do, without the command.
//
// An order is a plain struct of options; zero-initialise it, call its _defaults, change what differs. The same options
// and inputs name the same run: a finished one is returned as it is, an interrupted one is continued. Everything an
// order points to is borrowed. Calls of one process may run at the same time when they share neither directory nor
// backend.
#ifndef LT_PIPELINE_H
#define LT_PIPELINE_H
#include "lethe/class_audit.h"
#include "lethe/clip.h"
#include "lethe/population.h"
#include "lethe/runs.h"
#include "lethe/unlearn.h"
LT_BEGIN

// ---- where to compute
typedef enum lt_precision { LT_PRECISION_F32, LT_PRECISION_BF16 } lt_precision;
typedef enum lt_conv_algorithm { LT_CONV_AUTO, LT_CONV_WINOGRAD, LT_CONV_DIRECT } lt_conv_algorithm;
typedef struct lt_compute { // rows of lt_compute_options: they are part of what identifies a run
    const char *device, *backend;
    int32_t precision, conv_algorithm;
    bool deterministic, checkpoint_activations;
} lt_compute;
LT_API extern const lt_option lt_compute_options[];
typedef struct lt_threads { // rows of lt_threads_options: how to run, not what
    int32_t threads, loader_threads;
    bool oversubscribe; // more threads than usable cores, if asked for
} lt_threads;
LT_API extern const lt_option lt_threads_options[];
LT_API unsigned lt_compute_plan_flags(const lt_compute *compute);
LT_API const char *
lt_compute_backend_name(const lt_compute *compute); // of lt_backend_create: the device, or the backend
// Fills env: a backend, which env->backend owns from now on (lt_backend_destroy), and the flags. threads 0: one thread
// per usable core. LT_E_USAGE for an unknown device or backend.
LT_API lt_status lt_compute_open(const lt_compute *compute, const lt_threads *threads, lt_env *env);

// ---- training
typedef struct lt_train_what {                   // rows of lt_train_what_options
    const char *data, *model, *normalize, *init; // model: of a file `init` that does not say it; must not contradict it
    int32_t population;
    int32_t ranks; // recorded; env->comm is what is used
} lt_train_what;
LT_API extern const lt_option lt_train_what_options[];

typedef struct lt_train_order {
    lt_train_what what;
    lt_train_cfg cfg;
    lt_clip_cfg clip; // spectral clipping after updates; all zero = none
    uint64_t seed;
    lt_compute compute;   // recorded; env is what is used
    const lt_dataset *ds; // opened from what.data
    const lt_env *env;
    const char *out;      // run directory; NULL = runs/train-DIGEST
    bool force;           // start over
    bool tensorboard;     // metrics also as event files of TensorBoard
    const lt_optset *set; // bound to the options of this order, with their origins; NULL = made from them
} lt_train_order;
LT_API void lt_train_order_defaults(lt_train_order *order);
// Adds the options of the order to a set, bound to its own fields: what, "train", "clip", the seed, compute. With
// is_filled the values of the order are those of the set, of origin "call"; without, the order gets the defaults, and
// what the set parses. The order must stay where it is as long as the set; its texts belong to the set from now on.
// LT_E_NOMEM.
LT_API lt_status lt_train_order_bind(lt_train_order *order, lt_optset *set, bool is_filled);

typedef struct lt_train_record { // what a run is worth; accuracies are fractions, NAN without a test split
    char dir[LT_RESULT_PATH_MAX];
    bool is_cached; // it was finished before
    char *json;     // the whole result, as in result.json; owned
    double train_acc, train_loss, test_acc, test_loss, images_per_s, wall_s;
    int64_t n_train, n_test, n_params, epochs, steps, n_clips; // n_clips: updates that were clipped
    double clip_s;
    char model_digest[65];
} lt_train_record;
LT_API void lt_train_record_clear(lt_train_record *record);
// With env->comm all ranks make the same call, with a directory that all of them see; rank 0 alone writes it, and the
// records of the others have no json. LT_E_SHAPE when model and data do not fit; errors of lt_result_dir_open and
// lt_train_run. After LT_E_INTERRUPTED the same order continues.
LT_API lt_status lt_train_dir(const lt_train_order *order, lt_train_record *record);

typedef struct lt_population_record {
    char dir[LT_RESULT_PATH_MAX];
    bool is_cached;
    char *json;       // as in result.json and population.json
    lt_error failure; // of the first member that failed; status LT_OK = none did
} lt_population_record;
LT_API void lt_population_record_clear(lt_population_record *record);
// n runs DIR/000, DIR/001, ... with the seeds order->seed + i, each with one compute thread and the bits it has alone.
// order->env: its events and stop flag; threads: members at once. Members that fail do not stop the others and are no
// error of the call.
LT_API lt_status lt_population_dir(const lt_train_order *order, int n, const lt_threads *threads,
                                   lt_population_record *record);

// ---- unlearning
typedef struct lt_unlearn_what { // rows of lt_unlearn_what_options
    const char *run, *method, *forget, *requests, *data, *recipe, *cache;
    uint64_t forget_seed;
    double request_lr_decay;
    bool use_retain_data, save_adv;
    int32_t until; // 0 = all epochs, 1 = held-out
} lt_unlearn_what;
LT_API extern const lt_option lt_unlearn_what_options[];

typedef struct lt_unlearn_order {
    lt_unlearn_what what; // what.run: how the base is named in the result; what.method: as method->name
    const lt_unlearn_method *method;
    const void *cfg; // options of the method
    // Of a method with LT_FROM_SCRATCH: how the original was trained, last of all. With `set` the struct that is bound
    // to it as "train", in which options that were not set become what the base or what.recipe says; without, complete.
    // NULL = what they say.
    lt_train_cfg *train;
    uint64_t seed;
    lt_compute compute;
    const lt_trained_model *base; // stays as it is
    const lt_dataset *ds;
    const lt_env *env;
    const char *cache_dir; // of adversarial sets; NULL = none
    const char *out;       // NULL = runs/METHOD-DIGEST
    bool force;
    bool tensorboard;                // as lt_train_order
    const lt_optset *set;            // as lt_train_order
    const lt_unlearn_stream *stream; // of which this is one request; NULL = a single one
} lt_unlearn_order;
LT_API void lt_unlearn_order_defaults(const lt_unlearn_method *method, void *cfg, lt_unlearn_order *order);
// As lt_train_order_bind: what, the options of the method as "unlearn.METHOD" bound to cfg, order->train as "train" of
// a method with LT_FROM_SCRATCH unless it is NULL, the seed, compute. cfg becomes that of the order.
LT_API lt_status lt_unlearn_order_bind(lt_unlearn_order *order, void *cfg, lt_optset *set, bool is_filled);

// The method that a command line means before its options can be bound, because the options are those of the method: of
// --method, the run of --resume, LETHE_METHOD, the file of --config or LETHE_CONFIG. *method is NULL when none of them
// names one; LT_E_USAGE for a name that no method has.
LT_API lt_status lt_unlearn_method_asked(int argc, char *const *argv, const lt_unlearn_method **method);

typedef struct lt_unlearn_state { // of a model, on the samples of a run
    double forget_acc, retain_acc, test_acc, retain_loss, test_loss;
    lt_phi_stats phi;
    int n_forgotten_classes; // as a whole, subclasses included; class_acc is theirs
    lt_class_acc class_acc;
} lt_unlearn_state;

typedef struct lt_unlearn_record {
    char dir[LT_RESULT_PATH_MAX];
    bool is_cached;
    char *json; // owned
    int64_t n_forget, n_retain, n_forgotten_before, epochs, steps;
    lt_unlearn_state after, before; // of the result, of the base model
    lt_unlearn_setup setup;         // not of a cached run: lr and areas only
    double train_acc, delta_norm_l2, search_s, mask_s, update_s, eval_s, wall_s;
    double pair_acc;     // as of lt_lint_effect
    int64_t n_backward;  // samples through backward passes of the update
    char adv_digest[65]; // of the adversarial set, "" when there is none or it was not cached
    char model_digest[65], forget_digest[65];
} lt_unlearn_record;
LT_API void lt_unlearn_record_clear(lt_unlearn_record *record);
// Errors of lt_unlearn_check, lt_result_dir_open and lt_unlearn_run; LT_E_DIVERGED also when the finished model answers
// retained samples with a loss that no model in use has.
LT_API lt_status lt_unlearn_dir(const lt_unlearn_order *order, lt_unlearn_record *record);

// Several forget sets one after another [AMUN 8.1]: order->what.requests as lt_requests_open takes them. Request k
// starts from the model that request k-1 left, in a run of its own, DIR/request-k, with every option of the order; the
// directory of the stream is a run, too, with the last model. All models are audited on all requests so far.
typedef struct lt_stream_audit {
    const char *const *oracle; // retrained runs: none, one, or one per request; a stream among them stands for its own
    int n_oracles;
    const char *references; // .npz of outputs of reference models on all samples, for RMIA; NULL = none
    int n_threads;
} lt_stream_audit;
typedef struct lt_stream_record {
    char dir[LT_RESULT_PATH_MAX];
    bool is_cached;
    char *json;
} lt_stream_record;
LT_API void lt_stream_record_clear(lt_stream_record *record);
LT_API lt_status lt_stream_dir(const lt_unlearn_order *order, const lt_stream_audit *audit, lt_stream_record *record);

LT_END_DECLS
#endif
