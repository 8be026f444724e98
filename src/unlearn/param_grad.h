// param_grad.h - gradients of the loss with respect to the parameters, batch by batch, for what does not train: masks,
// importances, influence.
#ifndef LT_PARAM_GRAD_H
#define LT_PARAM_GRAD_H
#include "lethe/unlearn.h"
#include "train/train_impl.h"

typedef struct lti_param_grad {
    const lt_model *model; // borrowed; never written
    const lt_env *env;
    lt_graph *graph;
    lt_val labels, weight, loss, outs[2];
    lti_plans plans;
    float *grads;        // (n_params) of the last run
    const float *logits; // (n,K) of the last run
    lt_passes passes;
} lti_param_grad;
// Always followed by lti_param_grad_clear, also when it fails.
lt_status lti_param_grad_init(lti_param_grad *g, const lt_model *model, const lt_env *env);
void lti_param_grad_clear(lti_param_grad *g);
// grads = gradient of the mean cross-entropy of n images in evaluation mode. x (n,C,H,W), y (n).
lt_status lti_param_grad_run(lti_param_grad *g, const float *x, const int32_t *y, int64_t n);

// One pass over a view. each: called with every batch after its run; or, when `raw`, instead of it.
typedef struct lti_grad_pass {
    const lt_view *view;
    int64_t batch, n_max; // n_max: stop after so many samples, 0 = all
    bool shuffle, raw;
    uint64_t seed;
    const char *what; // for messages
    lt_status (*each)(void *ctx, lti_param_grad *g, const lt_batch *batch);
    void *ctx;
} lti_grad_pass;
// Stops between batches with LT_E_INTERRUPTED. Emits "unlearn.progress" PROGRESS in images.
lt_status lti_param_grad_pass(lti_param_grad *g, const lti_grad_pass *pass);
#endif
