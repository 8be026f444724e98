// ensemble_impl.h - what the files about ensembles share: the loss of a method, and LOTOS.
#ifndef LT_ENSEMBLE_IMPL_H
#define LT_ENSEMBLE_IMPL_H
#include "clip_impl.h"
#include "lethe/ensemble.h"
#include "model/model_impl.h"

typedef struct lti_ensemble_loss { // of one training run; borrowed but for state
    const lt_ensemble *e;
    const lt_ensemble_cfg *cfg;
    const lt_env *env;
    uint64_t seed;
    lt_val labels, ce[LT_ENSEMBLE_MAX]; // (N) each, of the training graph
    bool train;
    int64_t epoch_steps; // of one epoch
    int lotos_every;     // steps between two gradients of LOTOS, where it is part of the training
    void *state;         // of the method
} lti_ensemble_loss;
// A method is a term that is added to the sum of the members' cross-entropies, or put in its place.
typedef struct lti_ensemble_method {
    const char *name, *title;
    bool lotos; // LOTOS belongs to it
    // *per_sample (N): the sum of cross-entropies, to be changed. NULL: nothing is added.
    lt_status (*build)(lti_ensemble_loss *l, lt_graph *g, lt_val *per_sample);
    lt_status (*fill)(lti_ensemble_loss *l, const lt_objective_batch *at, lt_plan *plan); // may be NULL
    void (*clear)(lti_ensemble_loss *l);                                                  // frees state; may be NULL
} lti_ensemble_method;
#define LT_X(symbol, name) extern const lti_ensemble_method lti_ensemble_##symbol;
#include "harden/ensemble_methods.list"
#undef LT_X
const lti_ensemble_method *lti_ensemble_method_of(int32_t method);

// Gradients of the cross-entropies with respect to the images, (N, C H W) each: values that can be differentiated
// again. Per sample: of the sum over the batch.
lt_status lti_input_gradients(lti_ensemble_loss *l, lt_graph *g, lt_val *gradient);

// ---- LOTOS
typedef struct lti_lotos lti_lotos;
// every: steps between two of its gradients.
lt_status lti_lotos_create(const lt_ensemble *e, const lt_ensemble_cfg *cfg, int every, const lt_env *env,
                           lti_lotos **lotos);
void lti_lotos_destroy(lti_lotos *l); // NULL is fine
size_t lti_lotos_memory_floats(const lti_lotos *l);
void lti_lotos_use_memory(lti_lotos *l, float *memory, uint64_t seed);
lt_status lti_lotos_follow(lti_lotos *l); // one step of PowerQR for every layer; after an update
// Term and gradient with the weights as they are; (n_params of joint), overwritten; NULL = the term alone.
lt_status lti_lotos_gradient(lti_lotos *l, float *gradient, double *loss);
double lti_lotos_length(const lti_lotos *l);   // mean |W_j v_k| / sigma_j of the last gradient
lt_status lti_lotos_error(const lti_lotos *l); // what went wrong inside the penalty
lt_penalty lti_lotos_penalty(lti_lotos *l);
#endif
