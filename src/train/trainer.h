// trainer.h - the working memory of one running job.
#ifndef LT_TRAINER_H
#define LT_TRAINER_H
#include "train_impl.h"

typedef struct lti_trainer {
    lt_job *job; // borrowed, like env and path
    const lt_env *env;
    const char *path; // of the checkpoint, or NULL
    lt_graph *graph;  // the model's, with the loss
    lt_val labels, weight, loss, outs[2];
    lti_plans plans;
    float *grads;                      // (n_params)
    float *start_params, *start_state; // the model at the start of the epoch
    lti_optim optim;
    lti_counts at;
    lti_sums sums;
    lti_state state;
    lt_evaluator *evaluator; // NULL without eval_view
    lt_view view[LT_JOB_MAX_PHASES][LT_PHASE_MAX_VIEWS];
    lt_loader *loader[LT_JOB_MAX_PHASES];
    int64_t phase_batches[LT_JOB_MAX_PHASES], epoch_batches, epoch_images;
    double start_s, mark_s, emit_s, save_s; // clock readings: run, last accounted step, last event, last checkpoint
    double wall_before_s, train_before_s;   // spent by the runs this one resumes
    int64_t images_before;                  // likewise
} lti_trainer;

// Always followed by lti_trainer_clear, also when it fails.
lt_status lti_trainer_init(lti_trainer *t, lt_job *job, const lt_env *env, const char *path);
void lti_trainer_clear(lti_trainer *t);
lt_status lti_trainer_open_epoch(lti_trainer *t); // loaders and plans for the views as they are now
#endif
