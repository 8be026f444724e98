// train_impl.h - what the files of train share: plans by batch size, the optimizer, the checkpoint, the checks.
#ifndef LT_TRAIN_IMPL_H
#define LT_TRAIN_IMPL_H
#include "base/arg_max.h"
#include "base/base.h"
#include "graph/backend.h"
#include "lethe/train.h"

// ---- checks of what a caller hands in
lt_status lti_env_check(const lt_env *env);
lt_status lti_train_cfg_check(const lt_train_cfg *cfg); // ranges of the option rows; LT_E_USAGE naming the option
// The view fits the model: image size, number of rows, labels. `what` names it in messages.
lt_status lti_job_view_check(const lt_model *model, const lt_view *view, const char *what);

// There is memory for what training holds per parameter; with_params: and for the parameters themselves.
lt_status lti_training_memory_check(const lt_model *model, int32_t optimizer, bool with_params);

// ---- one compiled plan per batch size
enum { LTI_MAX_PLANS = 12 };
typedef struct lti_plan_slot {
    lt_plan *plan;
    int64_t batch;
    uint64_t used; // clock of the last use: the oldest is evicted
} lti_plan_slot;
typedef struct lti_plans { // zero-initialised, then filled by its user; everything but the slots is borrowed
    const lt_graph *graph;
    lt_plan_spec spec; // without the batch
    lt_backend *backend;
    void *params, *state, *grads;
    bool keep_on_device; // of plans on a device: gradients and state stay on the device (lti_plan_keep_on_device)
    // Plans whose buffers mean nothing between two uses lie in one piece of memory: that of the largest compiled plan
    // of this table, or of another table (NULL = none) whose plans do not run at the same time.
    bool share_memory;
    const struct lti_plans *share_from;
    lti_plan_slot slot[LTI_MAX_PLANS];
    uint64_t clock;
} lti_plans;
lt_status lti_plans_get(lti_plans *plans, int64_t batch, lt_plan **plan); // compiles on first use; owned by plans
// The evaluator's plans lie in the memory of these, which do not run while it does.
void lti_evaluator_share(lt_evaluator *evaluator, const lti_plans *plans);
int64_t lti_plans_fit(const lti_plans *plans, int64_t n); // smallest compiled batch >= n, or 0
void lti_plans_changed(lti_plans *plans);                 // parameters or state may have been changed by somebody else
void lti_plans_repack_weights(
    lti_plans *plans); // by the caller, who tells lti_mark_host_dirty what it wrote on the host
void lti_plans_keep_on_device(lti_plans *plans, bool leave); // lti_plan_keep_on_device of these and of later ones
void lti_plans_clear(lti_plans *plans);

// ---- optimizer: one pass over the slabs
typedef struct lti_optim {
    float *m;     // (n) momentum or first moment
    float *v;     // (n) second moment; NULL for SGD
    int64_t n, t; // t: updates done
} lti_optim;
// Penalties of a job: l1 first, then those of its list, with their weights at the update to come.
typedef struct lti_terms {
    lt_penalty term[1 + LT_JOB_MAX_PENALTIES];
    double weight[1 + LT_JOB_MAX_PENALTIES];
    int n;
    float l1; // weight of the first one, which a device knows too
} lti_terms;
lt_penalty lti_penalty_l1(const lt_job *job); // the entry of job->l1 and its schedule
void lti_terms_init(lti_terms *terms, const lt_job *job);
void lti_terms_weigh(lti_terms *terms, const lt_update_at *at);
bool lti_terms_others(const lti_terms *terms); // is a term besides l1 in the list

typedef struct lti_update {
    const lt_train_cfg *cfg;
    float *p;               // (n)
    float *g;               // (n); penalties are added to it
    const uint8_t *mask;    // (n) or NULL
    const lti_terms *terms; // weighed; NULL = none
    const lt_param_group *group;
    int n_groups;
    double lr;
    int n_threads;
} lti_update;

// Own parameters of a penalty or of the transform, with their optimizer.
typedef struct lti_own {
    lt_own_params params;
    float *grad, *m; // (n)
} lti_own;
lt_status lti_own_init(lti_own *own, lt_own_params params, const char *name);
void lti_own_clear(lti_own *own);
bool lti_own_step(lti_own *own, double lr_factor); // false when a value is not finite
lt_status lti_optim_init(lti_optim *o, int32_t kind, int64_t n);
void lti_optim_clear(lti_optim *o);
// The numbers of one update, for lti_optim_step and for a device. Counts the update: o->t goes up by one.
void lti_optim_numbers(lti_optim *o, const lti_update *u, lt_device_update *numbers);
bool lti_optim_step(lti_optim *o, const lti_update *u); // false when an updated parameter is not finite

// ---- progress of a job, and its file. Both structs hold one type only: they are stored as tensors.
typedef struct lti_step_counters {
    int64_t epoch, phase, batch; // the step to do next; phase = n_phases: only the end of the epoch is left to do
    int64_t steps, images, optim_t;
    int64_t teacher_images;                  // samples through teachers
    int64_t attack_forward, attack_backward; // samples of attacks, and of the second halves of pairs
    int64_t epoch_images, epoch_correct;
    int64_t bn_batches, start_bn_batches;
    int64_t n_mean[LT_JOB_MAX_PHASES];
    int64_t eval_n;
} lti_step_counters;
typedef struct lti_loss_totals {
    double lr, epoch_loss, last_loss, train_acc, wall_s, train_s; // lr: of the last step
    double mean[LT_JOB_MAX_PHASES];                               // running mean of the loss of each phase
    double eval_acc, eval_loss, eval_ece;
} lti_loss_totals;
typedef struct lti_state { // all borrowed
    lti_step_counters *counts;
    lti_loss_totals *sums;
    lt_model *model;
    lti_optim *optim;
    float *start_params, *start_state; // model at the start of the epoch
    void *memory;                      // (memory_bytes) of the job
    size_t memory_bytes;
    const lti_own *own; // (n_own) of the penalties in their order, then of the transform
    int n_own;
    char backend[160];  // name, version and threads: differing ones are only warned of
    char digest[4][65]; // lti_job_digests
} lti_state;
// What makes two jobs the same job, by part: model, recipe, data, mask. Taken before the first on_epoch call.
void lti_job_digests(const lt_job *job, char digest[4][65]);
lt_status lti_state_save(const lti_state *s, const char *path);
lt_status lti_state_load(const lti_state *s, const char *path, lt_events *events);

// ---- divergence
typedef struct lti_nonfinite_report {
    const char *tensor, *kind; // "parameter", "gradient", "running statistic"; tensor is borrowed from the graph
    double value;              // the first value that is not finite, or the largest one
    bool finite;               // nothing is infinite or NaN: the largest gradient is named
} lti_nonfinite_report;
void lti_find_nonfinite(const lt_model *model, const float *grads, lti_nonfinite_report *blame);

#endif
