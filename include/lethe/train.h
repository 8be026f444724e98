// train.h - one trainer for everything: a job says what to read, what to minimise and how; lt_train_run runs it.
//
// Training, retraining and every unlearning recipe are jobs. An epoch is a list of phases; a phase is a set of views
// shuffled together (or read in order). The loss is the mean over each batch of weight * CE, plus weight * KL towards
// soft targets (of a frozen teacher, or of a hook) where a phase distils. train knows no method.
//
// Threads: one job per model and backend at a time; jobs with different models and backends may run concurrently and
// share data sets. lt_interrupt may be called from any thread or signal handler.
#ifndef LT_TRAIN_H
#define LT_TRAIN_H
#include "lethe/comm.h"
#include "lethe/data.h"
#include "lethe/model.h"
#include "lethe/option.h"
LT_BEGIN

typedef enum lt_optimizer_kind { LT_SGD, LT_ADAMW } lt_optimizer_kind;
// Weight of the l1 penalty in epoch e of E: l1; l1 (1 - e / (E - l1_off_last_epochs)), then 0; l1 times the product of
// 2 - 2i/E over the epochs i before e.
typedef enum lt_l1_schedule { LT_L1_CONST, LT_L1_LINEAR, LT_L1_CUMULATIVE } lt_l1_schedule;
typedef enum lt_schedule_kind { LT_SCHED_CONST, LT_SCHED_STEP, LT_SCHED_COSINE, LT_SCHED_ONECYCLE } lt_schedule_kind;

typedef enum lt_adv_norm { LT_ADV_LINF, LT_ADV_L2 } lt_adv_norm;

typedef enum lt_augmentation { LT_AUGMENT_CROP, LT_AUGMENT_RESIZED_CROP } lt_augmentation;
// Loss of a sample where no adversarial form replaces it. Count and temporal need a model with steps of time.
typedef enum lt_loss_kind {
    LT_TRAIN_LOSS_CE,       // cross entropy of the logits
    LT_TRAIN_LOSS_COUNT,    // mean square error of spike counts, lt_count_mse
    LT_TRAIN_LOSS_TEMPORAL, // mean over the steps of the cross entropy of each step's output
} lt_loss_kind;

typedef struct lt_train_cfg { // every field is a row of lt_train_options
    int32_t epochs;
    int64_t batch;
    int32_t optimizer; // lt_optimizer_kind
    float lr, momentum, weight_decay;
    bool nesterov;
    float beta1, beta2, adam_eps;
    int32_t schedule; // lt_schedule_kind
    float lr_step_gamma;
    int32_t lr_step_every; // epochs
    int32_t warmup_epochs;
    int32_t loss; // lt_loss_kind
    float label_smoothing;
    bool augment;            // master switch: a view is augmented when view.augment and cfg.augment are both set
    int32_t augmentation;    // lt_augmentation
    float divergence_factor; // stop (LT_E_DIVERGED) when the loss is not finite, or exceeds divergence_factor * max(its
                             // running mean in that phase, log of the number of classes); 0 = only not finite
    int32_t eval_every;      // epochs; 0 = only at the end
    int32_t checkpoint_every_s; // 0 = only when interrupted and at the end
    int32_t adversarial;        // form of adversarial training, see lt_adversarial_find; 0 = none
    int32_t adv_norm;           // lt_adv_norm, of raw pixels
    float adv_eps, adv_step;    // radius; step of the attack, 0 = the form's own
    int32_t adv_steps;
    float trades_beta; // trades: weight of the KL
} lt_train_cfg;
LT_API extern const lt_option lt_train_options[];

// Adversarial training: every batch is attacked first, from a start of its own, with the model in evaluation mode, and
// the loss is that of the attacked images ("pgd", Madry et al. 2018) or of both ("trades", Zhang et al. 2019).
// Evaluation stays that of clean images. kind: what lt_train_cfg.adversarial takes. LT_E_USAGE with the nearest name.
LT_API lt_status lt_adversarial_find(const char *name, int32_t *kind);

enum { LT_JOB_MAX_PHASES = 4, LT_PHASE_MAX_VIEWS = 4, LT_JOB_MAX_TEACHERS = 2 };
// A second term of the loss of a view's samples: weight * T^2 KL(q || softmax(z / T)) towards soft targets
// q = softmax(t / T). The logits t are those of a teacher, of lt_job.on_targets, or of the one rewritten by the other.
// Up to the entropy of q this is the cross-entropy against q, and its gradient is weight * T (softmax(z / T) - q).
enum { LT_NO_TEACHER = -1 };
#define LT_TARGET_NEVER (-1e30f) // as a target logit: probability 0 exactly
typedef struct lt_distill {
    int teacher;  // index in lt_job.teacher, or LT_NO_TEACHER: on_targets alone gives the targets
    float weight; // 0 = no such term, negative = away from the targets
} lt_distill;
typedef struct lt_phase {
    lt_view view[LT_PHASE_MAX_VIEWS];
    lt_distill
        distill[LT_PHASE_MAX_VIEWS]; // of the view at the same index; views of a phase that distils differ in tag
    int n_views;
    bool shuffle;
    // No steps of its own: its batches, round and round, accompany those of the phase before. Both batches go through
    // the model separately, their losses and gradients add up, one update follows.
    bool companion;
    int64_t batch; // 0 = cfg.batch
} lt_phase;

typedef struct lt_step { // one finished step
    int64_t step;        // steps done in the whole job, this one included
    int32_t epoch;       // 0-based
    int phase;
    int64_t batch, n; // number of the batch within its phase, and its samples
    double loss, lr;
    double penalty; // weighted value of the penalties that know theirs; not part of loss
    bool ends_epoch;
} lt_step;

// ---- hooks of training: terms of the loss that depend on the parameters alone, values used in the place of the
// parameters, changes after an update (docs/decisions/0008-hooks-of-training.md)

typedef struct lt_update_at { // where in the job an update is made
    int32_t epoch, n_epochs;  // epoch: 0-based
    int64_t step, n_steps;    // of the epoch; step: 0-based
    double lr;                // of this update
    int pass;                 // of lt_transform.n_passes
} lt_update_at;

// Parameters that belong to a penalty or a transform and not to the model: steps and levels of a quantizer. Updated by
// SGD with momentum right after those of the model, at rate lr * (current / largest learning rate of the job). No
// weight decay unless asked for. Saved with checkpoints together with their momentum.
typedef struct lt_own_params {
    float *value; // (n), borrowed; NULL = none
    int64_t n;
    float lr, momentum, weight_decay;
} lt_own_params;

enum { LT_UPDATE_BLOCK = 16384, LT_JOB_MAX_PENALTIES = 4, LT_JOB_MAX_GROUPS = 8 };

// A penalty: weight * value(theta) is added to the loss. Its gradient is added to the gradient slab in the pass of the
// optimizer, block by block, while the block is in cache.
typedef struct lt_penalty {
    const char *name;     // of the recipe, in events and in checkpoints
    const char *identity; // every option that changes the numbers, as text: part of the job's digest; may be NULL
    // Weight at this update; called once before the pass. 0 skips the term. May prepare tables from `own`.
    double (*weight)(void *ctx, const lt_update_at *at);
    // Adds weight * d value / d theta to g (n) for coordinates from .. from + n - 1; p (n). Blocks begin at multiples
    // of LT_UPDATE_BLOCK and come once each, from several threads at the same time.
    void (*add)(void *ctx, float weight, int64_t from, int64_t n, const float *p, float *g);
    // After the pass: the weighted value of the term, and its gradient with respect to `own` (own.n). NULL = not known.
    double (*finish)(void *ctx, float *own_grad);
    // `own` has new values, after an update or from a checkpoint: bound them here; NULL = nothing to do.
    void (*own_updated)(void *ctx);
    lt_own_params own;
    void *ctx;
} lt_penalty;

// A transform of the parameters on their way into the graph: parameters -> values used. The model keeps the parameters
// and the optimizer moves them; losses, attacks and gradients see the values used, and `backward` turns a gradient with
// respect to these into one with respect to the parameters. Evaluation uses the values of `train` = false.
typedef struct lt_transform {
    const char *name, *identity; // as of a penalty
    bool in_training;            // false: training uses the parameters as they are, only evaluation is transformed
    // used (n_params of the model) from p. `at` is NULL outside of training; train: for a step of training.
    lt_status (*forward)(void *ctx, const lt_update_at *at, bool train, const lt_model *model, const float *p,
                         float *used);
    // g (n_params): gradient with respect to `used`, becomes that with respect to p; its own is added to own_grad
    // (own.n). NULL = the same.
    void (*backward)(void *ctx, const float *p, const float *used, float *g, float *own_grad);
    void (*own_updated)(void *ctx);
    lt_own_params own;
    int n_passes; // forward and backward passes of a step, each with values of its own; losses and gradients add up; 0
                  // = 1
    void *ctx;
} lt_transform;
// used (n_params, caller-owned) becomes what evaluation uses; transform NULL: a copy of the parameters.
LT_API lt_status lt_transform_apply(const lt_transform *transform, const lt_model *model, float *used);

typedef struct lt_param_group { // coordinates from .. from + n - 1 of the parameter slab
    int64_t from, n;
    float lr_scale, decay_scale; // factors of the learning rate and of the weight decay in it
} lt_param_group;

// A loss in the place of cross-entropy: of a model that is several, or made of gradients.
typedef struct lt_objective_batch {
    const lt_batch *batch;
    const int32_t *labels; // (batch->n)
    int32_t epoch;         // 0-based
    int64_t step;          // of the job, 0-based
} lt_objective_batch;
typedef struct lt_objective {
    const char *name, *identity; // as of a penalty
    // Adds the per-sample loss (N) to g, the model's graph with its values unmoved; labels (N) I32. train: the mode
    // that batch norm will have. Inputs made here are filled by `fill`.
    lt_status (*build)(void *ctx, lt_graph *g, lt_val labels, bool train, lt_val *per_sample);
    // Fills those inputs of a plan for a batch; the model is as the last step left it. NULL = there are none.
    lt_status (*fill)(void *ctx, const lt_objective_batch *at, lt_plan *plan);
    void *ctx;
} lt_objective;

enum { LT_UPDATE_CHANGED = 1, LT_UPDATE_RESET_MOMENTUM = 2 }; // what an after_update hook did, or wants

typedef struct lt_job {
    lt_model *model; // trained in place
    lt_train_cfg cfg;
    lt_phase phase[LT_JOB_MAX_PHASES];
    int n_phases;
    uint64_t seed;
    float l1; // penalty l1 * ||theta||_1 over all parameters (subgradient), 0 = none
    lt_l1_schedule l1_schedule;
    int32_t l1_off_last_epochs; // last epochs without a penalty (linear schedule)
    // Further terms, after l1. Their own parameters are updated in place.
    lt_penalty penalty[LT_JOB_MAX_PENALTIES];
    int n_penalties;
    const lt_transform *transform;           // NULL = none
    const lt_objective *objective;           // NULL = cross-entropy; not with a form of adversarial training of its own
                                             // loss, nor with label smoothing
    lt_param_group group[LT_JOB_MAX_GROUPS]; // in rising order, apart from each other
    int n_groups;
    // (n_params) 1 = trainable; masked coordinates stay bit-identical; NULL = all trainable. Constant while a job runs.
    const uint8_t *mask;
    bool bn_eval; // batch norm normalises with its running statistics and leaves them alone
    const lt_model *teacher[LT_JOB_MAX_TEACHERS]; // of lt_phase.distill: frozen, in evaluation mode, on the same batch
    float temperature;                            // T of distillation; above 0 when a phase distils
    // Called at the start of each epoch (0-based), may change views, l1 and the parameters of teachers (pointers stay
    // valid until the next call); NULL = none. Must depend on the epoch and on the model only: when a job is resumed
    // inside an epoch it is called again for that epoch, and sees the model as it was at the epoch's start. It ends the
    // job before this epoch by setting cfg.epochs to `epoch`.
    lt_status (*on_epoch)(struct lt_job *job, int32_t epoch, void *ctx);
    // Called before the first batch of each phase that has steps; may rewrite what views point to, not the views. NULL
    // = none. When a job is resumed inside a phase it is not called again for that phase: keep what it made in
    // `memory`.
    lt_status (*on_phase)(struct lt_job *job, int32_t epoch, int phase, void *ctx);
    // Called for each batch before it is used; may rewrite its labels (batch->n of them, from batch->y), classes of the
    // model. Must depend on the batch and on `memory` only. NULL = none.
    lt_status (*on_batch)(struct lt_job *job, int phase, const lt_batch *batch, int32_t *labels, void *ctx);
    // Called for each batch of a phase that distils: may rewrite target (batch->n, n_classes), the logits of the soft
    // targets. A row holds its teacher's logits, zeros without one; log q stands for the distribution q at T = 1. Must
    // depend on the batch, the teachers and `memory` only. NULL = none.
    lt_status (*on_targets)(struct lt_job *job, int phase, const lt_batch *batch, float *target, void *ctx);
    // Called after every after_update_every-th update of the job (0 = every one) and after the last one of an epoch.
    // May change parameters and statistics of the model, which are then up to date on the host, and says so in *did
    // (LT_UPDATE_*, 0 before the call); a failure ends the job with its status. NULL = none. Must depend on the model,
    // the step and `memory` only.
    lt_status (*after_update)(struct lt_job *job, const lt_step *step, unsigned *did, void *after_ctx);
    void *after_ctx;
    int64_t after_update_every;
    // Called once per update when its gradients are complete, before penalties and weight decay. g (n_params): the
    // gradient of the phase's batch; companion (n_params): that of the accompanying batch, or NULL without one. Leaves
    // in g what the update uses; without a hook the two are added. Must depend on its arguments and `memory` only.
    lt_status (*on_gradient)(struct lt_job *job, const lt_update_at *at, float *g, float *companion, void *ctx);
    void *ctx;    // of the other hooks
    void *memory; // (memory_bytes) what hooks must find again: saved with checkpoints, filled on resume
    size_t memory_bytes;
    const lt_view *eval_view; // evaluated every eval_every epochs and after the last one; NULL = none
    // After each step; NULL = none. Sees the model of that step and must not change it.
    void (*on_step)(const struct lt_job *job, const lt_step *step, void *step_ctx);
    void *step_ctx;
    bool step_only; // on_step does not read the slabs of the model itself (evaluators of the same backend may): they
                    // need not be brought from a device after each step
} lt_job;

typedef struct lt_env { // where and how things run; shared by every verb
    lt_backend *backend;
    int loader_threads;
    unsigned plan_flags;           // LT_PLAN_*, of every plan that trains or evaluates
    lt_events *events;             // may be NULL
    const lt_interrupt_flag *stop; // may be NULL
    // Data-parallel training: every rank trains on its share of each batch, and gradients and running statistics are
    // averaged over the ranks. All ranks run the same job; rank 0 alone writes checkpoints. NULL = alone. Evaluations
    // and everything else do not read it.
    lt_comm *comm;
} lt_env;

typedef struct lt_eval_result {
    int64_t n;
    double acc, loss, ece; // fractions and nats; expected calibration error with 15 bins
} lt_eval_result;

typedef struct lt_train_result { // a resumed job counts from its beginning
    int32_t epochs;
    int64_t steps, images;
    double wall_s, images_per_s, last_loss, train_acc; // images_per_s: evaluation and checkpoints not counted;
                                                       // train_acc: running accuracy of the last epoch, augmented
    int64_t n_forward, n_backward; // samples through forward and backward passes, teachers' and attacks included
    lt_eval_result eval;           // of eval_view, the last one made; n = 0 when there was none
} lt_train_result;

// Runs the job. checkpoint_path (may be NULL): state.safetensors written every checkpoint_every_s, at the end and on
// interruption (then LT_E_INTERRUPTED); resume: continue from it, ending with bit-identical weights, or start at the
// beginning when there is no such file. The file of another job is refused with LT_E_USAGE, a damaged one with
// LT_E_FORMAT or LT_E_INTEGRITY. Divergence: LT_E_DIVERGED naming tensor and step, the model left as it was at the last
// good epoch. Views that do not fit the model fail with LT_E_SHAPE or LT_E_FORMAT. result may be NULL.
//
// Events: "train.progress" PROGRESS in images of the whole job with fields loss, acc, lr, images_per_s, at most five a
// second; "train.epoch" METRIC with epoch = epochs finished, step, and fields loss, train_acc, lr, images_per_s and,
// when eval_view was evaluated, test_acc, test_loss; "train.resume" INFO; "train.backend" WARNING.
LT_API lt_status lt_train_run(lt_job *job, const lt_env *env, const char *checkpoint_path, bool resume,
                              lt_train_result *result);

// Learning rate of a step: the `step`-th (0-based) of `n_steps` in `epoch` (0-based).
LT_API double lt_train_lr(const lt_train_cfg *cfg, int32_t epoch, int64_t step, int64_t n_steps);
LT_API double lt_train_l1(const lt_job *job, int32_t epoch); // weight of the l1 penalty in `epoch` (0-based)

// ---- evaluation: un-augmented, eval mode
// logits: (n,K) caller-owned, or NULL. per_class_acc: n_classes doubles (of the model; NAN where the view has no sample
// of the class) or NULL. LT_E_INTERRUPTED when env->stop is raised. Emits "eval.progress" PROGRESS.
LT_API lt_status lt_evaluate(const lt_model *model, const lt_view *view, const lt_env *env, int64_t batch,
                             float *logits, double *per_class_acc, lt_eval_result *result);

// The same for many evaluations of one model, whose weights may change in between: plans are compiled once. Borrows
// model and env, which must outlive it.
typedef struct lt_evaluator lt_evaluator;
LT_API lt_status lt_evaluator_create(const lt_model *model, const lt_env *env, int64_t batch, lt_evaluator **evaluator);
LT_API void lt_evaluator_destroy(lt_evaluator *evaluator); // NULL is fine
LT_API lt_status lt_evaluator_run(lt_evaluator *evaluator, const lt_view *view, float *logits, double *per_class_acc,
                                  lt_eval_result *result);

// Do n samples leave a last batch that is far smaller than the others: below 16 and at most a quarter of a batch? With
// batch norm its step is mostly noise; a job says so once ("train.last-batch", a warning). Any thread.
LT_API bool lt_is_last_batch_small(int64_t n, int64_t batch);

LT_END_DECLS
#endif
