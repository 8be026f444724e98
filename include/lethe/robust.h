// robust.h - adversarial attacks with a budget or of minimum norm, and what they say about robustness.
//
// One engine runs every attack of the registry (lt_attacks): each sample has a slot of its own with its own step, step
// size and random numbers, and nothing reads a statistic of the batch, so results do not depend on the batch size, the
// order or the subset of samples. With LT_PLAN_FIXED_ORDER in lt_env.plan_flags every plan has the same shape as well,
// and results are bit-identical for any `batch` and number of threads. Equations and sources: docs/methods/attacks.md.
//
// Pixels are in [0,1]; radii are norms of raw pixels. Functions are thread-safe for different results and backends.
#ifndef LT_ROBUST_H
#define LT_ROBUST_H
#include "lethe/attack.h"
LT_BEGIN

typedef enum lt_norm { LT_NORM_LINF, LT_NORM_L2 } lt_norm;

typedef enum lt_attack_loss { // what is maximised; docs/methods/attacks.md eq. 4-8
    LT_LOSS_AUTO,             // the attack's own
    LT_LOSS_CE,               // cross-entropy in margin form: never saturates
    LT_LOSS_MARGIN,           // max_{j!=y} z_j - z_y
    LT_LOSS_DLR,              // difference of logits ratio
} lt_attack_loss;

// What is attacked: one model, or an ensemble under one head. All members take the same images and classes.
typedef enum lt_combine {
    LT_COMBINE_SOFTMAX, // log of the mean softmax
    LT_COMBINE_LOGITS,  // mean logits
    LT_COMBINE_VOTE, // majority of the members' classes, ties to the smallest; gradients are those of the softmax head
} lt_combine;
typedef struct lt_attack_target {
    const lt_model *const *model; // (n_models) borrowed
    int n_models;
    int32_t combine;  // lt_combine; of more than one model
    double noise_std; // Gaussian noise added to every input before the model, its own for every query: a randomised
                      // defence; 0 = none
} lt_attack_target;

typedef struct lt_attack_spec { // rows of lt_attack_spec_options
    int32_t norm;               // lt_norm
    const char *eps;            // radius, "8/255" or "0.5"; unused by attacks of minimum norm
    int32_t steps;              // 0 = the attack's default
    double step_size;           // 0 = step_ratio
    double step_ratio;          // step as a share of the radius; 0 = the attack's default
    int32_t restarts;           // runs of each random start, on samples that survive
    int32_t targets;            // classes that targeted runs aim at, at most K-1
    int32_t loss;               // lt_attack_loss
    const char *target;         // "" = any other class; "next", "random", "least-likely", or a class number
    int32_t eot;                // evaluations averaged per step, for randomised models
    int32_t quantize;           // bits that the results are rounded to (8), re-evaluated; 0 = not
    bool best_loss;             // no early exit: keep the iterate of the largest loss over all restarts
    bool transfer;              // no early exit: keep the last iterate, for transfer to other models
    bool min_norm;              // fab and fab-t: the nearest example, not one within eps
    bool polish;                // minimum norm: 16 bisections between image and result
    bool parity;                // the quirks of public code, where an attack documents one
    bool legacy_normalized;     // fgsm, bim, pgd, mi-fgsm: eps and steps in units of the normalised image, clamped to
                                // its [0,1], as the scripts of FastClip and LOTOS do; results leave the radius
    uint64_t seed;
    int64_t batch; // slots in flight
} lt_attack_spec;
LT_API extern const lt_option lt_attack_spec_options[];
LT_API void lt_attack_spec_init(lt_attack_spec *spec); // defaults of the rows
// "8/255", "0.03", "1e-3": a ratio of two finite decimals, at least 0. LT_E_USAGE.
LT_API lt_status lt_attack_parse_eps(const char *text, double *eps);

// Published settings: "madry", "lotos", "fastclip". Sets what the preset says of these attacks (names with commas) in a
// set to which the rows of lt_attack_spec_options are bound without a prefix and those of attacks under their names.
// What flags, files or the environment gave stays. LT_E_USAGE: unknown preset, or an attack that it says nothing about.
LT_API lt_status lt_attack_preset_apply(const char *preset, const char *attacks, lt_optset *set);
LT_API const char *lt_attack_preset_name(int i);  // from 0; NULL past the last
LT_API const char *lt_attack_preset_title(int i); // one line

typedef enum lt_robust_status { // codes in files, never renumbered
    LT_ROBUST_CLEAN_WRONG = 0,  // misclassified before any attack: not attacked, not robust
    LT_ROBUST_BROKEN = 1,
    LT_ROBUST_ROBUST = 2,
    LT_ROBUST_INVALID = 3,   // a logit or gradient was not finite: neither robust nor broken
    LT_ROBUST_NOT_FOUND = 4, // attack of minimum norm without a result: distance infinite
} lt_robust_status;

enum { // lt_robust_result.flags: reasons to distrust the evaluation; docs/methods/attacks.md table 2
    LT_FLAG_RANDOMISED = 1 << 0,
    LT_FLAG_SOFTMAX = 1 << 1,
    LT_FLAG_ZERO_GRADIENT = 1 << 2,
    LT_FLAG_SQUARE_BETTER = 1 << 3,
    LT_FLAG_CLASSES = 1 << 4,
    LT_FLAG_BATCH_DEPENDENT = 1 << 5,
    LT_FLAG_STATEFUL = 1 << 6,
    LT_FLAG_MISMATCH = 1 << 7,
    LT_FLAG_NOT_CONVERGED = 1 << 8,
    LT_N_FLAGS = 9,
};
LT_API const char *lt_robust_flag_name(int bit);                 // 0..LT_N_FLAGS-1: "F1-randomised", ...
LT_API const char *lt_robust_flag_meaning(int bit, int32_t eot); // one sentence; eot: evaluations that were averaged

typedef struct lt_attack_part { // one attack of a composition, in the order they ran
    char name[32];
    double robust_acc, interval[2]; // after it; Wilson, 95 %
    int64_t n_broken;               // samples it broke that those before it had not
    int64_t n_forward, n_backward;  // samples through the model
    double wall_s;
} lt_attack_part;
enum { LT_ATTACK_MAX_PARTS = 16 };

typedef struct lt_robust_result {
    int64_t n;
    int c, h, w, n_classes;
    double eps;                     // NAN for attacks of minimum norm
    int32_t norm;                   // lt_norm
    int32_t eot;                    // evaluations averaged per step
    int64_t *id;                    // (n) official index
    int32_t *label;                 // (n)
    int32_t *clean_pred, *adv_pred; // (n)
    int32_t *goal;                  // (n) class aimed at, -1 = any other than the label
    float *x, *x_adv;               // (n,C,H,W) in [0,1]; x_adv = x where nothing was found, confirmed or not
    double
        *clean_margin; // (n) z_y - max_{j != y} z_j of the clean image; negative where it is wrong, NAN with its logits
    double *distance;  // (n) of x_adv in `norm`, INFINITY for NOT_FOUND
    double *raw_distance;                       // (n) before polishing
    double *l2;                                 // (n)
    uint8_t *status;                            // (n) lt_robust_status
    int16_t *broken_by;                         // (n) index of the part, -1 = none
    int64_t *queries_f, *queries_b;             // (n) forward and backward passes of each sample
    double clean_acc, robust_acc, success_rate; // fractions; success: of the samples that were right
    double robust_interval[2];                  // Wilson, 95 %
    double mean_l2, median_l2;                  // over broken samples; NAN without any
    double mean_distance, median_distance;      // the same, in `norm`
    double quantized_robust_acc;                // with lt_attack_spec.quantize; NAN otherwise
    double mean_robust_acc; // with lt_attack_spec.eot above 1: mean over single fresh evaluations of the results; NAN
                            // otherwise
    int64_t n_unconfirmed;  // found by a part, but not by the majority of eot fresh evaluations: not counted as broken
    int64_t n_forward, n_backward; // samples through the model, all parts
    int64_t n_invalid, n_zero_gradient;
    double wall_s, images_per_s; // images_per_s: samples evaluated per second, all their passes included
    unsigned flags;              // LT_FLAG_*
    int n_parts;
    lt_attack_part part[LT_ATTACK_MAX_PARTS];
} lt_robust_result;
LT_API void lt_robust_result_destroy(lt_robust_result *r); // NULL is fine

// Runs the attacks, each on the samples that those before it left, each from the original image.
// attacks: names with commas, "autoattack" and other compositions included; "pgd", "apgd-ce,square". cfg(name): the
// options of an attack, or NULL for its defaults; may be NULL. Fails with LT_E_USAGE (unknown name, norm or loss that
// an attack does not take, eps), LT_E_FORMAT (pixels outside [0,1], naming the image), LT_E_SHAPE, LT_E_INTERRUPTED.
// Events: "attack.progress" PROGRESS in samples, "attack.part" METRIC after each attack.
typedef const void *(*lt_attack_cfg_fn)(const lt_attack *attack, void *ctx);
LT_API lt_status lt_robust_evaluate(const lt_attack_target *target, const lt_view *view, const char *attacks,
                                    const lt_attack_spec *spec, lt_attack_cfg_fn cfg, void *cfg_ctx, const lt_env *env,
                                    lt_robust_result **result);

// FILE.npz: x, x_adv (N,C,H,W) f32; y, y_adv, clean_pred, ids i64 (N); eps f64 (N) (the radius, or the distance found);
// delta f64 (N) in the norm; delta_l2 f64 (N); status u8 (N); queries_f, queries_b i64 (N).
LT_API lt_status lt_robust_save(const lt_robust_result *r, const char *path);
// Share of the n samples that an attack within radius breaks, as far as these results show: of attacks of minimum norm
// for every radius; of attacks with a budget, radii below eps count only examples that lie within them. Non-decreasing.
LT_API double lt_robust_success_at(const lt_robust_result *r, double radius);

// Robust accuracy at ascending radii, out (n): a sample broken at one radius counts as broken at all larger ones and is
// not attacked again, so the curve never rises. Attacks of minimum norm run once. Arguments as lt_robust_evaluate;
// spec.eps is not read. LT_E_USAGE for radii that do not ascend.
typedef struct lt_robust_curve_job {
    const lt_attack_target *target;
    const lt_view *view;
    const char *attacks;
    const lt_attack_spec *spec;
    lt_attack_cfg_fn cfg; // may be NULL
    void *cfg_ctx;
    const double *radius; // (n)
    int n;
} lt_robust_curve_job;
LT_API lt_status lt_robust_curve(const lt_robust_curve_job *job, const lt_env *env, double *robust_acc);

// Per image: no example may lie nearer, in L2, than margin / (sqrt(2) lipschitz), lipschitz an upper bound of the
// Lipschitz constant of the logits in L2. Fills radius (n) (0 where the clean image is wrong) and counts examples
// inside it: more than 0 means that the bound or the attack is wrong.
LT_API int64_t lt_robust_certify(const lt_robust_result *r, double lipschitz, double *radius);

// Wilson interval of k successes of n at 95 %.
LT_API void lt_wilson(int64_t k, int64_t n, double interval[2]);

// ---- transfer
typedef struct lt_transfer_matrix { // of examples crafted on source s, on target t; (n_sources, n_targets) row-major
    int n_sources, n_targets;
    int64_t n;
    int64_t *numerator; // samples of `eligible` whose example t misclassifies (targeted: as the class aimed at)
    int64_t *eligible;  // samples that s and t get right and whose example fools s
    int64_t *both_right;
    int64_t *robust;   // samples that t gets right clean and under the example
    double *rate;      // numerator / eligible, NAN when none
    double *clean_acc; // (n_targets)
    int64_t n_invalid; // samples of all cells that are left out, because a logit of source or target was not finite
} lt_transfer_matrix;
LT_API void lt_transfer_matrix_clear(lt_transfer_matrix *m);
// Crafts with spec->transfer (last iterate, no early exit) on every source; all targets see the same examples.
typedef struct lt_transfer_job {
    const lt_attack_target *source, *target; // (n_sources), (n_targets)
    int n_sources, n_targets;
    const lt_view *view;
    const char *attack;         // with a radius
    const lt_attack_spec *spec; // transfer is set
    lt_attack_cfg_fn cfg;       // may be NULL
    void *cfg_ctx;
} lt_transfer_job;
LT_API lt_status lt_transfer_run(const lt_transfer_job *job, const lt_env *env, lt_transfer_matrix *out);
// Black-box robustness: examples of source[0], answered by target[0]. Predictions, status, accuracies and success of
// the result are the target's; parts and passes are those of the attack on the source.
LT_API lt_status lt_transfer_evaluate(const lt_transfer_job *job, const lt_env *env, lt_robust_result **result);

LT_END_DECLS
#endif
