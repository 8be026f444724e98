// attack_batch.h - rows of the engine whose images stay where a plan reads them: on a device, if there is one.
//
// For attacks that move only by steps along their gradient (LTI_ATTACK_ROW_STEPS): of a run of the plan they see the
// class and the length of the gradient, and what they answer is a scale and a radius. Row r is slot r. On a CPU the
// images are those of the slots. On a device the rows of a batch lie on it, clean and as far as they have got: a sample
// goes up when its turn comes and down when it is done; in between only classes and lengths of gradients come down, and
// only steps go up.
#ifndef LTI_ATTACK_BATCH_H
#define LTI_ATTACK_BATCH_H
#include "attack/attack_impl.h"
#include "attack/engine.h"

typedef struct lti_attack_batch {
    lti_grad *grad;
    const lti_slot *slot; // (batch) of the engine
    int64_t batch, d;     // rows at most; C*H*W
    int k;
    lti_grad_io io;       // of the last run
    lti_row_stats *stats; // (batch) of the last run
    lti_row_step *move;   // (batch) steps to take, n_moves of them
    int64_t n_moves;
    struct lti_attack_batch_device *device; // on a device, else NULL
} lti_attack_batch;
// slot stays where it is. Always followed by lti_attack_batch_clear, also when it fails; that before the samples go:
// copies into them may be under way.
lt_status lti_attack_batch_init(lti_attack_batch *st, lti_grad *grad, const lti_slot *slot, int64_t batch);
void lti_attack_batch_clear(lti_attack_batch *st);
// Gradients of rows from..from+n-1 through a bucket that holds them; stats (n) is filled.
lt_status lti_attack_batch_evaluate(lti_attack_batch *st, lti_grad_loss loss, int bucket, int64_t from, int64_t n);
// A step of the row along the gradient in row grad_row of the last run, to be taken by lti_attack_batch_step.
void lti_attack_batch_add_step(lti_attack_batch *st, int64_t row, int64_t grad_row);
lt_status lti_attack_batch_step(lti_attack_batch *st);               // takes all steps; then there are none
lt_status lti_attack_batch_reset(lti_attack_batch *st, int64_t row); // the row is the clean image again
// Rows r < n with done[r] leave: their images go to the samples, and the rest moves up, as the slots will.
lt_status lti_attack_batch_retire(lti_attack_batch *st, int64_t n, const bool *done);
lt_status lti_attack_batch_write_back(lti_attack_batch *st, int64_t n); // the samples of all n slots hold their images
// ---- attack_batch_device.c
lt_status lti_attack_batch_device_init(lti_attack_batch *st, lt_backend *b);
void lti_attack_batch_device_clear(lti_attack_batch *st);
// Rows from..from+n-1 into the plan of io.
lt_status lti_attack_batch_device_load(lti_attack_batch *st, int64_t from, int64_t n);
lt_status lti_attack_batch_device_evaluate(lti_attack_batch *st, int64_t n);
lt_status lti_attack_batch_device_step(lti_attack_batch *st);
lt_status lti_attack_batch_device_reset(lti_attack_batch *st, int64_t row);
lt_status lti_attack_batch_device_retire(lti_attack_batch *st, int64_t n, const bool *done);
lt_status lti_attack_batch_device_write_back(lti_attack_batch *st);
#endif
