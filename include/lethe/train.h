// train.h - one trainer for everything: a job says what to read, what to minimise and how; lt_train_run runs it.
//
// Training, retraining and every unlearning recipe are jobs. An epoch is a list of phases; a phase is a set of views
// shuffled together (or read in order). The loss is the mean over each batch of weight * CE. train knows no method.
#ifndef LT_TRAIN_H
#define LT_TRAIN_H
#include "lethe/data.h"
#include "lethe/model.h"
#include "lethe/option.h"
LT_BEGIN

typedef enum lt_optimizer_kind { LT_SGD, LT_ADAMW } lt_optimizer_kind;
typedef enum lt_schedule_kind { LT_SCHED_CONST, LT_SCHED_STEP, LT_SCHED_COSINE, LT_SCHED_ONECYCLE } lt_schedule_kind;

typedef struct lt_train_cfg { // every field is a row of lt_train_options
    int32_t epochs;
    int64_t batch;
    int32_t optimizer; // lt_optimizer_kind
    float lr, momentum, weight_decay;
    bool nesterov;
    float beta1, beta2, adam_eps;
    int32_t schedule;  // lt_schedule_kind
    float lr_step_gamma;
    int32_t lr_step_every; // epochs
    int32_t warmup_epochs;
    float label_smoothing;
    bool augment;
    float spike_factor;     // stop (LT_E_DIVERGED) when the loss is not finite, or exceeds spike_factor * its running mean; 0 = only not finite
    int32_t eval_every;     // epochs; 0 = only at the end
    int32_t checkpoint_every_s;
} lt_train_cfg;
LT_API extern const lt_option lt_train_options[];

enum { LT_JOB_MAX_PHASES = 4, LT_PHASE_MAX_VIEWS = 4 };
typedef struct lt_phase {
    lt_view view[LT_PHASE_MAX_VIEWS];
    int n_views;
    bool shuffle;
} lt_phase;

typedef struct lt_job {
    lt_model *model; // trained in place
    lt_train_cfg cfg;
    lt_phase phase[LT_JOB_MAX_PHASES];
    int n_phases;
    uint64_t seed;
    float l1;               // penalty l1 * ||theta||_1 over all parameters (subgradient), 0 = none
    const uint8_t *mask;    // (n_params) 1 = trainable; masked coordinates stay bit-identical; NULL = all trainable
    // Called at the start of each epoch (0-based), may change views (pointers stay valid until the next call); NULL = none.
    lt_status (*on_epoch)(struct lt_job *job, int32_t epoch, void *ctx);
    void *ctx;
} lt_job;

typedef struct lt_env { // where and how things run; shared by every verb
    lt_backend *backend;
    int loader_threads;
    unsigned plan_flags;
    lt_events *events;            // may be NULL
    const lt_interrupt_flag *stop; // may be NULL
} lt_env;

typedef struct lt_train_result {
    int32_t epochs;
    int64_t steps, images;
    double wall_s, images_per_s, last_loss, train_acc; // train_acc: running accuracy of the last epoch, augmented
    int64_t n_forward, n_backward; // samples through forward and backward passes
} lt_train_result;

// Runs the job. checkpoint_path (may be NULL): state.safetensors written every checkpoint_every_s and on interruption (then
// LT_E_INTERRUPTED); resume: continue from it, ending with bit-identical weights. Divergence: LT_E_DIVERGED naming tensor and step,
// the model left as it was at the last good epoch.
LT_API lt_status lt_train_run(lt_job *job, const lt_env *env, const char *checkpoint_path, bool resume, lt_train_result *result);

// ---- evaluation: un-augmented, eval mode
typedef struct lt_eval_result {
    int64_t n;
    double acc, loss, ece; // fractions and nats; expected calibration error with 15 bins
} lt_eval_result;
// logits: (n,K) caller-owned, or NULL. per_class_acc: n_classes doubles or NULL.
LT_API lt_status lt_evaluate(const lt_model *model, const lt_view *view, const lt_env *env, int64_t batch, float *logits,
                             double *per_class_acc, lt_eval_result *result);

LT_END_DECLS
#endif
