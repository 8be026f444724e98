// ensemble.h - several models trained together so that what fools one does not fool the others.
//
// A joint model holds all members in one graph and one parameter slab; its logits are the log of the mean softmax. One
// job trains it: the ordinary loop, optimizer, checkpoints and hooks. Equations: docs/methods/lotos.md, trs.md, adp.md,
// gal.md, dverge.md.
//
// Threads: an ensemble belongs to one thread at a time; different ones may be trained concurrently, each with its own
// backend.
#ifndef LT_ENSEMBLE_H
#define LT_ENSEMBLE_H
#include "lethe/clip.h"
#include "lethe/robust.h"
LT_BEGIN

enum { LT_ENSEMBLE_MAX = 6 };
typedef struct lt_ensemble {
    int n;
    lt_model *member[LT_ENSEMBLE_MAX]; // owned
    lt_model *joint;                   // owned; training moves it, lt_ensemble_pull copies it to the members
    lt_val logits[LT_ENSEMBLE_MAX];    // of the members, in the graph of joint
    int64_t param_at[LT_ENSEMBLE_MAX], state_at[LT_ENSEMBLE_MAX]; // where a member's slabs begin in those of joint
} lt_ensemble;
// specs: n architectures; all take the same images and classes. Parameters of member j from the stream of seed + j.
LT_API lt_status lt_ensemble_create(const char *const *specs, int n, lt_model_shape shape, uint64_t seed,
                                    lt_ensemble **ensemble);
// From trained models, which are copied.
LT_API lt_status lt_ensemble_join(const lt_model *const *member, int n, lt_ensemble **ensemble);
LT_API void lt_ensemble_destroy(lt_ensemble *e); // NULL is fine
LT_API void lt_ensemble_pull(lt_ensemble *e);    // joint -> members
// DIR/member-0.safetensors, ... LT_E_INPUT names what is missing.
LT_API lt_status lt_ensemble_save(const lt_ensemble *e, const char *dir);
LT_API lt_status lt_ensemble_open(const char *dir, lt_ensemble **ensemble);

typedef struct lt_ensemble_cfg { // rows of lt_ensemble_options
    int32_t method;              // lt_ensemble_method_find
    bool lotos;                  // add LOTOS to the method
    float lotos_weight;          // lambda_c, of the sum over ordered pairs and layers
    float lotos_mal;             // allowed length
    int32_t lotos_vectors;       // k
    int32_t lotos_every;         // steps; 0 = 1, with trs 5
    bool lotos_stem;             // the first convolution only; always so between different architectures
    bool lotos_normalize;        // divide by M N (N-1) as in the paper
    bool lotos_parity;           // skip the steps that the released code skips
    bool trs_parity;             // the terms that the released code leaves in the loss of a step
    float trs_cos, trs_smooth, gal_weight, adp_entropy, adp_det;
    float dverge_eps, dverge_step;
    int32_t dverge_steps;
} lt_ensemble_cfg;
LT_API extern const lt_option lt_ensemble_options[];
LT_API lt_status lt_ensemble_method_find(const char *name, int32_t *method); // LT_E_USAGE with the nearest name

typedef struct lt_ensemble_result {
    lt_train_result train;
    double lotos_loss, lotos_length; // at the end: the term, and mean |W_j v_k| / sigma_j
    int64_t n_clips;
    double hooks_s; // time of clipping and tracking
} lt_ensemble_result;
// Trains the joint model of e with the views of job (its model, objective, penalties and hooks are set here), then
// pulls. clip: NULL or clip_norm = 0 for none. path, resume: as lt_train_run.
typedef struct lt_ensemble_job {
    lt_job job;
    lt_ensemble_cfg cfg;
    const lt_clip_cfg *clip;
    const char *path;
    bool resume;
} lt_ensemble_job;
LT_API lt_status lt_ensemble_train(lt_ensemble *e, const lt_ensemble_job *in, const lt_env *env,
                                   lt_ensemble_result *result);

typedef struct lt_ensemble_eval_cfg {
    const char *attack; // of the registry, with a radius
    lt_attack_spec spec;
    const lt_model *const *surrogate; // black-box sources, attacked one at a time
    int n_surrogates;
    bool white_box; // attack the ensemble itself, too
} lt_ensemble_eval_cfg;
typedef struct lt_ensemble_eval {
    int n, n_surrogates;
    double member_acc[LT_ENSEMBLE_MAX], acc; // acc: of the ensemble
    double *transfer;                        // (n,n) rate from i to j; NAN without eligible samples
    int64_t *eligible, *numerator;           // (n,n)
    double mean_transfer, mean_robust;       // over pairs i != j; 1 - mean of the diagonal
    double *black_box;                       // (n_surrogates) rate from the surrogate to the ensemble
    double black_box_robust;                 // 1 - mean of them; NAN without surrogates
    double robust_acc, robust_interval[2];   // of the ensemble under the attack on itself; NAN without white_box
} lt_ensemble_eval;
LT_API lt_status lt_ensemble_evaluate(const lt_ensemble *e, const lt_view *view, const lt_ensemble_eval_cfg *cfg,
                                      const lt_env *env, lt_ensemble_eval *out); // accuracies, transfer, robustness
LT_API void lt_ensemble_eval_clear(lt_ensemble_eval *e);

LT_END_DECLS
#endif
