// feature_loss.h - a term of the loss that is a function of the features of a whole batch: what the last layer reads.
//
// The gradient with respect to the features is computed on the host, from a forward pass of the same batch in the mode
// of the step, and enters the graph as the constant G of sum_i <h_i, G_i>, which has this gradient. The value of that
// sum is not the value of the term.
#ifndef LT_FEATURE_LOSS_H
#define LT_FEATURE_LOSS_H
#include "unlearn/recipe.h"
#include "train/train_impl.h"

typedef struct lti_feature_batch {
    const lt_objective_batch *at;
    int64_t n, d;
    const float *h;  // (n,d)
    float *gradient; // (n,d), zero: of n times the term, as the trainer takes the mean over the batch
} lti_feature_batch;
typedef struct lti_feature_loss {
    const lt_unlearn_in *in;
    bool train; // mode of batch norm in the steps
    // Which rows take part: none, then neither the extra pass nor a gradient is made. NULL = all batches do.
    bool (*applies)(void *ctx, const lt_batch *batch);
    lt_status (*gradient)(void *ctx, lti_feature_batch *f);
    // Weight of the cross-entropy of a row relative to that of its view, which multiplies both terms.
    float (*ce_weight)(void *ctx, const lt_batch *batch, int64_t row);
    void *ctx;
    // ---- filled by lti_feature_loss_open
    lt_objective objective;
    lt_val h, target, constant, outs[1];
    int64_t d;
    lti_plans plans;
    float *state;
    int64_t n_forward; // samples of extra passes
} lti_feature_loss;
// The value that the last layer reads, (N,d), and its width.
lt_val lti_features_of(const lt_model *model, int64_t *d);
lt_status lti_feature_loss_open(lti_feature_loss *f); // then job->objective = &f->objective
void lti_feature_loss_clear(lti_feature_loss *f);
// h (n,d) of the rows of a view, in evaluation mode and un-augmented. Counts its passes.
lt_status lti_features_read(const lt_model *model, const lt_env *env, const lt_view *view, float *h, lt_passes *passes);
#endif
