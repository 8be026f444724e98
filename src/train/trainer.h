// trainer.h - the working memory of one running job.
#ifndef LT_TRAINER_H
#define LT_TRAINER_H
#include "train_impl.h"

typedef struct lti_adv { // of adversarial training; all but x unused without
    lt_graph *graph;     // the model's, with the objective of the attack
    lt_val labels, clean, weight, outs[1], wrt[1];
    lti_plans attack, forward; // with the gradient of the images; the logits alone
    lt_val x;                  // of the training graph: attacked images
} lti_adv;
// What a job keeps on the device of its backend, device.c; all zero on a CPU.
typedef struct lti_split_buffer { // the pixels of a split, lti_device_buffer_acquire
    const uint8_t *host;
    size_t bytes;
    void *device;
} lti_split_buffer;
enum { LTI_MAX_SPLIT_BUFFERS = 4 };
typedef struct lti_replaced { // images of a view's own; what they are may change with epochs and phases
    void *device;             // (n,C,H,W) floats
    size_t bytes;
} lti_replaced;
typedef struct lti_on_device {
    bool update; // the optimizer runs on the device
    lti_device_copy *params, *state, *grads, *m, *v, *mask;
    uint32_t *bad, *bad_host; // (1) on the device, and where it is read
    lti_split_buffer split_buffer[LTI_MAX_SPLIT_BUFFERS];
    lti_replaced replaced[LT_JOB_MAX_PHASES][LT_PHASE_MAX_VIEWS];
    bool images[LT_JOB_MAX_PHASES]; // the batches of this phase are made on the device
    void *index;                    // which images, ids, tags and how, of a batch
    void *index_host;               // of these, those that the loader does not have: images and how
    int64_t index_rows;
} lti_on_device;

typedef struct lti_trainer {
    lt_job *job; // borrowed, like env and path
    const lt_env *env;
    const char *path;                                        // of the checkpoint, or NULL
    lt_graph *graph;                                         // the model's, with the loss
    lt_val labels, weight, target, kl_weight, loss, outs[2]; // target, kl_weight: LT_NONE unless the job distils
    lti_plans plans;
    lti_plans teacher[LT_JOB_MAX_TEACHERS];
    lti_adv adv;
    float *grads;                      // (n_params)
    float *companion_grads;            // (n_params) when a phase accompanies another, else NULL
    float *pass_grads;                 // (n_params) when the transform makes several passes, else NULL
    bool warned_last_batch;            // said once
    int32_t *relabel;                  // (largest batch) when on_batch may change labels, else NULL
    float *start_params, *start_state; // the model at the start of the epoch
    lti_optim optim;
    lti_terms terms;
    lti_own own[LT_JOB_MAX_PENALTIES + 1]; // of the job's penalties, then of its transform
    float *used;        // (n_params) values that training uses: the model's parameters, or those of the transform
    float *used_eval;   // (n_params) values that evaluation uses, when a transform makes others; else NULL
    lt_model evaluated; // the model with these: its graph and statistics are borrowed
    lti_on_device on_device;
    lti_step_counters at;
    lti_loss_totals sums;
    lti_state state;
    lt_comm *comm;           // data-parallel training; NULL = alone
    bool stop_all;           // a rank was asked to stop: all have heard of it in the last step
    lt_env eval_env;         // of the evaluator: with several ranks it is not interrupted
    lt_evaluator *evaluator; // NULL without eval_view
    lt_view view[LT_JOB_MAX_PHASES][LT_PHASE_MAX_VIEWS];
    lt_loader *loader[LT_JOB_MAX_PHASES];
    int64_t phase_batches[LT_JOB_MAX_PHASES], epoch_batches, epoch_images; // epoch_batches: steps
    double start_s, mark_s, emit_s, save_s; // clock readings: run, last accounted step, last event, last checkpoint
    double wall_before_s, train_before_s;   // spent by the runs this one resumes
    int64_t images_before;                  // likewise
} lti_trainer;

// Always followed by lti_trainer_clear, also when it fails.
lt_status lti_trainer_init(lti_trainer *t, lt_job *job, const lt_env *env, const char *path);
void lti_trainer_clear(lti_trainer *t);
// ---- train_events.c
double lti_trainer_epoch_mean(const lti_trainer *t, double sum); // over the images of this epoch so far
void lti_trainer_emit_progress(lti_trainer *t);                  // "train.progress", unless the last one was just now
void lti_trainer_emit_epoch(const lti_trainer *t);               // "train.epoch", after at.epoch has gone up
static inline int64_t lti_phase_batch(const lt_job *job, int p)
{
    return job->phase[p].batch > 0 ? job->phase[p].batch : job->cfg.batch;
}
static inline bool lti_has_companion(const lt_job *job, int p) // the phase after p accompanies it
{
    return p + 1 < job->n_phases && job->phase[p + 1].companion;
}
// Fills the batch's distillation inputs of `plan` from the teachers of phase p.
lt_status lti_trainer_compute_teacher_logits(lti_trainer *t, int p, const lt_batch *b, lt_plan *plan);
// Teachers and temperature are there where phases ask for them; before any work starts.
lt_status lti_distill_check(const lt_job *job);
bool lti_job_distils(const lt_job *job);
lt_status lti_distill_init(lti_trainer *t);                             // the teachers' plan tables
lt_status lti_distill_open_phase(lti_trainer *t, int p, int64_t batch); // compiles the teachers of phase p for a batch
// Adversarial training. build: puts the form's loss (N) in the place of the cross entropy; open: compiles for a batch;
// attack: fills the attacked images of `plan` from the batch, which is of phase p. All do nothing without a form.
lt_status lti_loss_build(lti_trainer *t, lt_val *per_sample); // loss.c: of cfg.loss
lt_status lti_adv_build(lti_trainer *t, lt_val *per_sample);
lt_status lti_adv_open(lti_trainer *t, int64_t batch);
lt_status lti_adv_attack(lti_trainer *t, int p, const lt_batch *b, const int32_t *labels, lt_plan *plan);
int lti_adv_forwards(const lti_trainer *t); // passes of a batch through the model in one step of training
void lti_adv_clear(lti_trainer *t);
// The transform's values for a step to come; and for an evaluation.
lt_status lti_trainer_use_params(lti_trainer *t, const lt_update_at *at);
lt_status lti_trainer_use_params_eval(lti_trainer *t);
// ---- ranks.c: data-parallel training; nothing for one rank
static inline int lti_rank(const lti_trainer *t)
{
    return t->comm ? t->comm->rank : 0;
}
static inline int64_t lti_share(const lti_trainer *t, int64_t n) // of n samples, those of this rank
{
    return t->comm ? lt_batch_share(n, t->comm->rank, t->comm->size) : n;
}
lt_status lti_ranks_init(lti_trainer *t);
// Gradients and loss of a pass become those of the whole batch.
lt_status lti_ranks_sum_gradients(lti_trainer *t, bool companion, double *loss);
// After the passes of a step: running statistics become their mean over the ranks, counts their sums; a rank's request
// to stop becomes everybody's. correct: epoch_correct before the step.
lt_status lti_ranks_end_step(lti_trainer *t, int64_t correct);
lt_status lti_ranks_begin_epoch(lti_trainer *t); // rank 0's model is everybody's
// ---- device.c
lt_status lti_on_device_init(lti_trainer *t); // after the optimizer and the plans; nothing on a CPU
void lti_on_device_clear(lti_trainer *t);
// May the device make the images of phase p? To be asked before its loader is made.
lt_status lti_on_device_open_phase(lti_trainer *t, int p);
lt_status lti_on_device_images_changed(lti_trainer *t, int p); // a hook may have rewritten what its views point to
lt_status lti_on_device_images(lti_trainer *t, int p, const lt_batch *b, lt_plan *plan);
lt_status lti_on_device_update(lti_trainer *t, const lti_update *u, bool *finite);
lt_status lti_on_device_to_host(lti_trainer *t);       // before the host reads parameters, state, moments or gradients
lt_status lti_on_device_model_to_host(lti_trainer *t); // parameters and state only
void lti_trainer_mark_model_dirty(lti_trainer *t);     // the host's parameters or state were written
void lti_trainer_mark_optim_dirty(lti_trainer *t);     // the host's moments were written
lt_status lti_trainer_open_epoch(lti_trainer *t);      // loaders and plans for the views as they are now
#endif
