// boundary.h - labels from across the nearest decision boundary, as boundary shrinking uses them.
#ifndef LT_BOUNDARY_H
#define LT_BOUNDARY_H
#include "lethe/unlearn.h"
#include "attack/attack_impl.h"
#include "train/train_impl.h"
#include "unlearn/recipe.h"

typedef struct lti_boundary_cfg { // of both forms of boundary shrinking; rows of lti_boundary_options
    LTI_RECIPE_FIELDS
    float bound;
} lti_boundary_cfg;
extern const lt_option lti_boundary_options[];

// A frozen copy G of a model that gives a batch other labels: argmax G(x'), with x' = round255(clamp(x + bound
// sign(grad_x CE(G(x), y)), 0, 1)). [AMUN 5]
typedef struct lti_boundary {
    lt_model *frozen;
    float bound;
    lti_grad grad;
    lti_plans plans; // logits of the frozen copy
    lt_val outs[1];
    float *x;          // (batch,C,H,W)
    lt_passes *passes; // counted here; the caller's, in the memory of its job
} lti_boundary;
// Always followed by lti_boundary_clear, also when it fails. batch: the largest that will come.
lt_status lti_boundary_init(lti_boundary *b, const lt_model *model, const lt_env *env, int64_t batch, float bound);
void lti_boundary_clear(lti_boundary *b);
void lti_boundary_changed(lti_boundary *b); // parameters or state of `frozen` were rewritten
// labels (batch->n): the true ones become those of x'.
lt_status lti_boundary_labels(lti_boundary *b, const lt_batch *batch, int32_t *labels);
#endif
