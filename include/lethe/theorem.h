// theorem.h - the quantities of the AMUN theorem, measured on one unlearned model. [AMUN 9]
//
// For a sample (x,y) with adversarial example (x_adv,y_adv) at distance delta the theorem says of one gradient step
//     |u - r|^2 <= |o - r|^2 + (2 / beta) (L delta - C),
//     C = l(f_o(x_adv),y) + l(f_u(x_adv),y_adv) - l(f_r(x),y) - l(f_r(x_adv),y_adv),
// with the parameters o of the original, u of the unlearned and r of the retrained model (the paper: theta_o, theta'
// and theta_u), l the cross-entropy and L the Lipschitz constant of l(f_o(.),y). It assumes a loss that is convex in
// the parameters, which networks do not have: what is measured here is a diagnostic of where a result came from, never
// a certificate.
//
// Threads: models and data are only read; calls may run concurrently with different backends and results.
#ifndef LT_THEOREM_H
#define LT_THEOREM_H
#include "lethe/train.h"
LT_BEGIN

// ---- Lipschitz bound of the logits in the input, evaluation mode, from the norms of the layers

typedef struct lt_layer_norm {
    char *name;       // of the layer, "layer1.0.conv1"; of a batch norm that stands alone, its own
    const char *kind; // "conv", "conv+bn", "linear", "bn"; static
    double sigma;     // largest singular value of the layer as an operator on images of the size it meets
    int iterations;   // of the power iteration; 0 = closed form
    double residual;  // |A'A v - sigma^2 v| / sigma^2 of the unit vector v it ended with
} lt_layer_norm;
typedef struct lt_lipschitz {
    double bound; // of the logits: composition multiplies, a sum of branches adds
    int n_layers;
    lt_layer_norm *layer;
} lt_lipschitz;
typedef struct lt_lipschitz_cfg {
    double tolerance;       // stop when ten iterations raise sigma by less than this share; 0 = 1e-4
    int32_t max_iterations; // 0 = 2000
    uint64_t seed;          // of the start vector
} lt_lipschitz_cfg;
// Batch norm is the diagonal |gamma| / sqrt(var + eps), folded into the convolution it follows; a residual block gives
// 1 + product, or (shortcut + product) / 2 where the sum is halved: the graph says which. Power iteration approaches
// the norm from below, so the bound is as good as `tolerance`, not a certificate either. LT_E_UNSUPPORTED names a node
// there is no rule for. LT_E_INTERRUPTED. Emits "lipschitz.progress" PROGRESS in layers.
LT_API lt_status lt_lipschitz_bound(const lt_model *model, const lt_lipschitz_cfg *cfg, const lt_env *env,
                                    lt_lipschitz *out);
LT_API void lt_lipschitz_clear(lt_lipschitz *l);
// Largest singular value of one convolution (w (K,C,R,S) row-major, zero padding) on C x h x w images.
LT_API lt_status lt_conv_norm(const float *weight, lt_shape w, lt_conv_attr attr, int64_t height, int64_t width,
                              const lt_lipschitz_cfg *cfg, const lt_env *env, lt_layer_norm *out); // name stays NULL

// ---- the terms

typedef enum lt_theorem_term { // losses in nats, per sample
    LT_TERM_ORIGINAL_ADV,      // l(f_o(x_adv), y)
    LT_TERM_UNLEARNED_ADV,     // l(f_u(x_adv), y_adv)
    LT_TERM_RETRAINED_CLEAN,   // l(f_r(x), y)
    LT_TERM_RETRAINED_ADV,     // l(f_r(x_adv), y_adv)
    LT_TERM_ORIGINAL_CLEAN,    // l(f_o(x), y): about zero in the theorem, and needed for the local estimate of L
    LT_N_TERMS
} lt_theorem_term;
LT_API const char *lt_theorem_term_name(lt_theorem_term term); // "original_adv", ...

typedef struct lt_theorem_in {
    lt_view clean;        // n samples with their true labels
    const float *x_adv;   // (n,C,H,W) in [0,1]
    const int32_t *y_adv; // (n)
    const float *delta;   // (n) |x_adv - x|, L2
    const lt_model *original, *unlearned;
    const lt_model *retrained; // NULL = none: its terms, C and distances are NAN
} lt_theorem_in;
typedef struct lt_transfer {
    double as_adv, wrong; // share of x_adv predicted as y_adv; as anything but y
} lt_transfer;
typedef struct lt_theorem {
    int64_t n;
    double *loss[LT_N_TERMS]; // (n)
    double *c;                // (n)
    double *local;            // (n) |l(f_o(x_adv),y) - l(f_o(x),y)| / delta; NAN where delta is 0
    double local_max;         // of them: a lower bound of L
    double original_retrained, unlearned_retrained, unlearned_original; // distances of the parameters, L2
    lt_transfer original, unlearned, retrained;
} lt_theorem;
// LT_E_SHAPE when the models differ in architecture or do not fit the data.
LT_API lt_status lt_theorem_measure(const lt_theorem_in *in, const lt_env *env, lt_theorem *out);
LT_API void lt_theorem_clear(lt_theorem *t);

LT_END_DECLS
#endif
