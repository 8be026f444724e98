// engine.h - slots, and what an attack is to the engine.
//
// An attack is a small machine per sample. The engine evaluates slot->x of many samples at once and asks each attack
// what it needs next: another evaluation at a point it has chosen, the gradient of a combination dz of the logits, or
// nothing more. Nothing is shared between slots.
#ifndef LTI_ENGINE_H
#define LTI_ENGINE_H
#include "base/arg_max.h"
#include "base/base.h"
#include "base/l2_ball.h"
#include "lethe/robust.h"

typedef enum lti_next {
    LTI_EVALUATE, // slot->x is the next point: logits, please
    LTI_GRADIENT, // slot->dz is filled: dx = gradient of <dz, logits> at slot->x, please
    LTI_STEP,     // slot->move is filled: x moves along dx, back into a ball, and is the next point
    LTI_RESET,    // the clean image is the next point
    LTI_STOP      // the run is over
} lti_next;

typedef enum lti_mode {
    LTI_MODE_BUDGET,    // stop at the first success inside the ball
    LTI_MODE_BEST_LOSS, // no early exit: the iterate of the largest loss
    LTI_MODE_TRANSFER,  // no early exit: the last iterate
    LTI_MODE_MIN_NORM,  // the nearest success
    LTI_MODE_FIRST,     // the first success, or where the run ended; of jobs with progress
} lti_mode;

enum { LTI_SLOT_WORK = 5, LTI_MAX_TOP = 4 };

typedef struct lti_units { // of normalised images, per pixel (n): a pixel is low + width times what is normalised
    float *low, *width;    // one block, at low
} lti_units;

typedef struct lti_slot {
    // ---- the sample; set by the engine
    int64_t i, id;                  // in the view; official
    int64_t n;                      // pixels C*H*W
    int32_t n_classes, label, goal; // goal: class of a targeted attack, -1 = any other class
    int c, h, w;
    lt_norm norm;
    lti_mode mode;
    double eps;           // radius; INFINITY for attacks of minimum norm
    const float *x0;      // (n) clean image
    const float *clean_z; // (K) its logits
    float *lo, *hi;       // (n) [0,1] and the L-inf ball, exactly
    const lt_attack_spec *spec;
    const lti_units *units; // NULL: eps and steps are pixels
    int32_t steps;          // of this attack
    double known;           // distance of the best example of earlier attacks, INFINITY when none
    const float *known_x;   // (n) that example
    // ---- the run
    int32_t restart, rank;      // number of the restart; of the target
    int32_t target;             // class that a targeted loss aims at: goal, or the rank-th by clean logit; -1 = none
    lt_rng rng;                 // a function of (seed, sample, attack, rank, restart) only
    const void *form;           // of the attack's ops
    void *state;                // the attack's own, zero at the start of a run
    float *memory;              // of the arrays that change with the sample
    float *out;                 // (n) of the sample: where the result goes
    float *work[LTI_SLOT_WORK]; // (n) each
    // ---- the exchange
    float *x;          // (n) the point
    const float *z;    // (K) logits at x; NULL where the plan has the loss in it
    int32_t pred;      // class at x
    float *dz;         // (K) filled before LTI_GRADIENT
    const float *dx;   // (n) its answer
    double dx_max;     // largest |dx|; 0: the gradient vanished
    double dx_norm;    // |dx|_2, for attacks with LTI_ATTACK_ROW_STEPS
    lti_row_step move; // scale and eps, filled before LTI_STEP
    int32_t loss;      // the loss that dz came from, so that averages over noise can recompute it
    // ---- what came out
    float *best; // (n)
    double best_distance, best_loss;
    int32_t best_pred;
    bool found, invalid, kept;           // kept: best holds a point
    int32_t step, found_step, run_steps; // step: counted by the attack
    int64_t n_forward, n_backward, n_zero, n_gradients;
    bool zero_at_start;
} lti_slot;

enum {                             // lti_attack_ops.flags
    LTI_ATTACK_MIN_NORM = 1,       // of minimum norm: no radius
    LTI_ATTACK_FORWARD_ONLY = 2,   // never asks for gradients
    LTI_ATTACK_MANY_GRADIENTS = 4, // asks for several gradients at one point
    LTI_ATTACK_PER_TARGET = 8,     // one run per target class
    LTI_ATTACK_RANDOM = 16,        // restarts differ
    LTI_ATTACK_NO_L2 = 32,
    LTI_ATTACK_NO_LINF = 64,
    LTI_ATTACK_DLR = 256,          // its own loss is the difference of logits ratio
    LTI_ATTACK_EITHER = 1024,      // with a radius, or of minimum norm
    LTI_ATTACK_OTHER_STARTS = 128, // restarts after the first differ, although the first is not random
    LTI_ATTACK_FIXED_STEPS = 512,  // the number of steps is part of the attack
    LTI_ATTACK_ANY_UNITS = 4096,   // its steps can be counted in normalised units
    LTI_ATTACK_ROW_STEPS = 2048,   // moves by LTI_STEP and LTI_RESET only; reads pred and dx_norm, no pixels
};

typedef struct lti_attack_part { // of a composition
    const char *name;
    int32_t restarts, targets, steps; // 0 = as asked
} lti_attack_part;

struct lti_attack_ops {
    uint32_t number; // of its random stream; never renumbered
    unsigned flags;
    int32_t steps; // default
    size_t state_bytes;
    int32_t eot;                  // of a composition: evaluations per step unless the spec asks for more
    const void *form;             // of attacks that share their functions: what tells this one apart
    const lti_attack_part *parts; // a composition (ends with name NULL); the functions below are NULL then
    lti_next (*start_run)(lti_slot *s, const void *cfg);     // sets x
    lti_next (*take_logits)(lti_slot *s, const void *cfg);   // z and pred at x are there
    lti_next (*take_gradient)(lti_slot *s, const void *cfg); // dx is there
};

extern const lt_option lti_attack_no_options[];
extern const struct lti_attack_ops lti_adv_search_ops; // adv_search_slot.c
extern const struct lti_attack_ops lti_polish_ops;     // polish.c: from the best example back towards the image

// ---- losses (loss_head.c): value f, and dz scaled to max |dz| = 1 (only its direction matters to attacks; for margins
// it is the gradient itself). K = 2: dlr becomes the margin; K = 3: targeted dlr likewise.
enum {
    LTI_LOSS_CE = LT_LOSS_CE,
    LTI_LOSS_MARGIN = LT_LOSS_MARGIN,
    LTI_LOSS_DLR = LT_LOSS_DLR,
    LTI_LOSS_CE_TARGET,
    LTI_LOSS_MARGIN_TARGET,
    LTI_LOSS_DLR_TARGET,
    LTI_LOSS_CE_SOFTMAX, // softmax - one-hot in single precision: --parity
};
typedef struct lti_loss_in {
    const float *z;
    int32_t k, label, target;
} lti_loss_in;
double lti_loss(int32_t loss, const lti_loss_in *in, float *dz); // dz may be NULL
// The loss of a slot at its point: fills dz, remembers which.
double lti_slot_loss(lti_slot *s, int32_t loss);
int32_t lti_slot_pick_loss(const lti_slot *s, int32_t own); // the spec's loss or the attack's
int32_t lti_slot_own_loss(const lti_slot *s, int32_t own);  // the attack's, towards the target where there is one

// ---- balls and boxes (box.c)
void lti_box(const float *x0, double eps, int64_t n, float *lo, float *hi);
void lti_project_l2(const float *x0, double eps, int64_t n, float *v); // ball, then box, exactly inside both
// Ends of the ball in normalised units, both inside the normalised [0,1].
void lti_units_box(const lti_units *u, const float *x0, double eps, int64_t n, float *lo, float *hi);
lt_status lti_units_create(const lt_attack_target *target, lti_units *u); // of its normalisation
void lti_units_clear(lti_units *u);
double lti_distance(lt_norm norm, const float *a, const float *b, int64_t n); // b NULL = 0
// x + a * direction, back into ball and box. g: the gradient; its sign (linf) or g / |g| (l2).
void lti_slot_step(lti_slot *s, double a, const float *g);
void lti_slot_project(lti_slot *s, float *v);     // into ball and box
void lti_random_direction(lti_slot *s, float *g); // normal
// Random point of the ball around x0, projected, into x.
void lti_slot_random_start(lti_slot *s);

// ---- results of a slot (slot.c)
int32_t lti_slot_ranked_class(const lti_slot *s, int32_t rank); // by clean logit, the label left out; -1 = none
bool lti_slot_success(const lti_slot *s);                       // at x
// Books what was seen at x: keeps it where the mode says so. True: the run may stop.
bool lti_slot_record(lti_slot *s, double loss);
// dx, or where it vanished a random direction in work[i] (parity: dx as it is). Counts.
const float *lti_slot_gradient(lti_slot *s, int i);

// ---- the thing that is attacked (attack_model.c): plans of all members, one bucket at a time
typedef struct lti_attack_model lti_attack_model;
typedef struct lti_query { // of one row
    const float *x;
    uint64_t seed, index; // of the noise of a randomised target: seed, sample, evaluation
    uint32_t draw;
} lti_query;
lt_status lti_attack_model_create(const lt_attack_target *target, const lt_env *env, int64_t batch,
                                  lti_attack_model **o);
// The softmax head of the code released with LOTOS: probabilities below 1e-40 count as that, and have no gradient.
void lti_attack_model_clamp(lti_attack_model *o);
void lti_attack_model_destroy(lti_attack_model *o);
int64_t lti_attack_model_rows(const lti_attack_model *o, int64_t n); // how many of n waiting rows to run at once
int lti_attack_model_n_classes(const lti_attack_model *o);
// kind: 0 forward only, 1 one gradient, 2 several gradients at one point
enum { LTI_MODEL_FORWARD, LTI_MODEL_GRADIENT, LTI_MODEL_GRADIENTS, LTI_N_MODEL_PLANS };
// z (n,K), pred (n): of n rows, at most lti_attack_model_rows(n).
lt_status lti_attack_model_forward(lti_attack_model *o, int kind, const lti_query *q, int64_t n, float *z,
                                   int32_t *pred);
// dx (n,C,H,W) = gradient of <dz, z> at the rows of the last forward run of that kind. dz (n,K).
lt_status lti_attack_model_backward(lti_attack_model *o, int kind, const float *dz, int64_t n, float *dx);

// ---- the engine (engine.c)
typedef struct lti_sample { // (n) of the driver
    const float *x0;        // (C,H,W); NULL: read from the job's view
    const float *clean_z;   // (K)
    int64_t id;
    int32_t label, goal;
    double eps;
    // in and out
    float *x_adv; // (C,H,W) the best example so far
    double distance;
    int32_t adv_pred;
    bool found, invalid;
    int32_t found_step, run_steps;
    int64_t n_forward, n_backward, n_zero, n_gradients;
    bool zero_at_start;
} lti_sample;
typedef struct lti_engine_job {
    const struct lti_attack_ops *ops;
    const void *cfg;
    const lt_attack_spec *spec;
    const lti_units *units; // NULL: pixels
    lti_mode mode;
    int32_t steps, restarts, n_ranks;
    int c, h, w, k;
    const lt_env *env;
    const lt_attack_target *target;
    int64_t *todo, n_todo, n_all; // samples to attack, in order; progress is reported of n_all
    lti_sample *sample;
    const lt_view *view; // of samples without x0
    // Jobs that can be suspended: every sample starts at its x_adv with its state in progress (n_samples, state_bytes).
    // When the job ends or is interrupted, and before every call of save, both say how far all samples have got, and
    // the first *n_left of todo are not done.
    void *progress;
    int64_t *n_left;
    void (*save)(void *ctx); // every save_every_s seconds; may be NULL
    void *save_ctx;
    double save_every_s;
    struct lti_grad *grad; // images stay where these plans read them (attack_batch.h); needs LTI_ATTACK_ROW_STEPS and
                           // progress. NULL: the model that lti_engine_run is given
} lti_engine_job;
lt_status lti_engine_run(lti_attack_model *model, const lti_engine_job *job);

// ---- an attack of the engine as one that makes an adversarial set (lt_attack_run), for unlearning
lt_status lti_engine_adv_set(const lt_attack *attack, const lt_model *model, const lt_view *view, const void *cfg,
                             const lt_env *env, lt_adv_set **set);
#endif
