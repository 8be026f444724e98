// representation.h - the representation audit: linear probes on the stages of a network, the similarity (CKA) of the
// stages of two networks, and how fast a network relearns the forgotten samples.
//
// Probes and CKA are pure functions of arrays in double, row-major (n samples, p features); they read nothing but their
// arguments and may run concurrently. Features and relearning curves run a model, which they leave as it is; such calls
// may run concurrently with different backends.
#ifndef LT_REPRESENTATION_H
#define LT_REPRESENTATION_H
#include "lethe/audit.h"
LT_BEGIN

typedef struct lt_representation_cfg { // rows of lt_representation_options
    int64_t representation_samples;    // at most so many samples of each group
    double probe_l2, probe_tol;
    int32_t probe_folds, relearn_steps, relearn_every;
    int64_t relearn_batch;
    float relearn_lr;
    bool relearn_reinit; // rows of the last layer of the forgotten samples' classes are redrawn first
} lt_representation_cfg;
LT_API extern const lt_option lt_representation_options[];

// At most max of the rows of `from`, ascending: a function of (seed, group, number of rows, max). Owned.
LT_API lt_status lt_representation_draw(const lt_index_set *from, lt_group group, int64_t max, uint64_t seed,
                                        lt_index_set *drawn);

// ---- linear probe: (multinomial) logistic regression on standardised features
//
// Minimises over w, b: mean over the samples of CE(w f + b, y) + ridge / 2 |w|^2, where f is x with the mean and the
// standard deviation of its columns taken out (constant columns become 0). With two classes w is one row: the logits
// are (0, w f + b). The objective is strictly convex in w, so the answer does not depend on the solver: L-BFGS from
// zero until no component of the gradient is above probe_tol.
typedef struct lt_probe {
    int k, m;              // classes; rows of w: k, or 1 for two classes
    int64_t p;             // features
    double *mean, *istd;   // (p)
    double *w;             // (m,p+1), b in the last column
    double loss, grad_max; // the objective and the largest component of its gradient at the end
    int32_t n_iterations;
} lt_probe;
// x (n,p), y (n) in 0..k-1, k >= 2. Reads probe_l2 (above 0) and probe_tol of cfg. Fails with LT_E_USAGE for other
// values, LT_E_FORMAT for features that are not finite, LT_E_DIVERGED when the tolerance is not reached.
LT_API lt_status lt_probe_fit(const double *x, int64_t n, int64_t p, const int32_t *y, int k,
                              const lt_representation_cfg *cfg, lt_probe *probe);
LT_API void lt_probe_clear(lt_probe *probe);
LT_API void lt_probe_logits(const lt_probe *probe, const double *x, int64_t n, double *z);       // z (n,k)
LT_API double lt_probe_acc(const lt_probe *probe, const double *x, int64_t n, const int32_t *y); // NAN when n = 0
// Membership: AUC of probes that tell members (n_m,p) from non-members (n_o,p), cross-validated. Both are dealt at
// random (seed) into probe_folds folds; no sample is scored by a probe it trained; mean of the folds' AUCs. *auc = NAN
// when one side has fewer than two samples.
LT_API lt_status lt_probe_membership(const double *member, int64_t n_m, const double *other, int64_t n_o, int64_t p,
                                     const lt_representation_cfg *cfg, uint64_t seed, double *auc);

// ---- linear CKA [Kornblith, Norouzi, Lee, Hinton 2019]
//
// HSIC(X,Y) / sqrt(HSIC(X,X) HSIC(Y,Y)) with linear kernels; 1 for features that are equal up to rotation and scale.
// Plain: HSIC = |X'Y|_F^2 of centred columns, which nears 1 for any two nets when p is not small against n. Debiased:
// the unbiased estimator of HSIC [Song et al. 2012; Nguyen, Raghu, Kornblith 2021], which has expectation 0 for
// independent features; it may be slightly negative.
typedef enum lt_cka_kind { LT_CKA_PLAIN, LT_CKA_DEBIASED } lt_cka_kind;
// x (n,p), y (n,q): the same samples in the same order. *cka = NAN when one of them does not vary. LT_E_USAGE when n is
// below 2 (plain) or 4 (debiased).
LT_API lt_status lt_cka_linear(const double *x, int64_t p, const double *y, int64_t q, int64_t n, lt_cka_kind kind,
                               double *cka);

// ---- features of the stages of a model
typedef struct lt_features { // owned
    int64_t n;
    int n_stages;
    char **name;    // of the stage: "stem", "layer1", ...
    int64_t *width; // channels
    float **x;      // [stage] (n,width): means over the map, in evaluation mode, un-augmented
} lt_features;
// Fails with LT_E_UNSUPPORTED for an architecture without named stages (lt_model_stages), LT_E_DIVERGED for features
// that are not finite, otherwise as lt_evaluate. Emits "depth.features" PROGRESS.
LT_API lt_status lt_features_compute(const lt_model *model, const lt_view *view, const lt_env *env, int64_t batch,
                                     lt_features **features);
LT_API void lt_features_destroy(lt_features *features); // NULL is fine

// ---- relearning
//
// A copy of the model is fine-tuned on the forget set alone: relearn_steps steps of SGD (momentum 0.9, no weight decay,
// constant relearn_lr, no augmentation, batch norm in evaluation mode, so that only the weights move). Batches follow
// each other in an order made from the seed alone: the same for every model.
typedef struct lt_relearn { // owned; one entry every relearn_every steps, the first at step 0, the last at the end
    int n;
    int64_t *step;
    double *forget_acc, *forget_loss, *test_acc, *test_loss;
} lt_relearn;
// forget: rows of the training split of ds. test: the view evaluated as `test_*`.
LT_API lt_status lt_relearn_run(const lt_model *model, const lt_dataset *ds, const lt_index_set *forget,
                                const lt_view *test, const lt_representation_cfg *cfg, uint64_t seed, const lt_env *env,
                                lt_relearn *curve);
LT_API void lt_relearn_clear(lt_relearn *curve);
// Mean of value (n) over the steps (trapezia).
LT_API double lt_relearn_area(const int64_t *step, const double *value, int n);
// Step at which the value first reaches the threshold, on straight lines between entries; NAN = never.
LT_API double lt_relearn_reach(const int64_t *step, const double *value, int n, double threshold);

LT_END_DECLS
#endif
