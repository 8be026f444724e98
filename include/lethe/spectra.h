// spectra.h - singular values of the layers of a model as the linear maps they are, each with a bracket.
//
// A convolution is measured with its real stride, padding, groups and image size, batch norm in evaluation form, a
// convolution followed by batch norm as one map. Equations: docs/methods/spectra.md [SPECTRA].
//
// Threads: calls may run concurrently with different backends, maps and results.
#ifndef LT_SPECTRA_H
#define LT_SPECTRA_H
#include "lethe/linear_map.h"
#include "lethe/option.h"
#include "lethe/train.h"
LT_BEGIN

typedef enum lt_layer_kind {
    LT_LAYER_NORMALIZE, // input normalisation
    LT_LAYER_CONV,
    LT_LAYER_LINEAR,
    LT_LAYER_BN,      // batch norm, evaluation form
    LT_LAYER_CONV_BN, // a convolution and the batch norm that follows it, as one map
    LT_LAYER_POOL     // average pooling
} lt_layer_kind;
LT_API const char *lt_layer_kind_name(lt_layer_kind kind); // "conv", "conv+bn", ...

typedef struct lt_spectra_cfg { // rows of lt_spectra_options
    int32_t top_k;              // singular values of a layer
    int32_t iterations;         // most steps of PowerQR
    float tolerance;            // stop when no value moved by more than this part in 10 steps
    float shift;                // PowerQR iterates A'A + shift I; the authors' code has 1
    int32_t grid;               // frequencies of each direction for the upper bound, 0 = by the size of the layer
    uint64_t seed;              // of the start vectors; no row: the caller's own seed
    bool upper;                 // compute the upper ends
} lt_spectra_cfg;
LT_API extern const lt_option lt_spectra_options[];

typedef struct lt_spectrum { // of one layer
    char *name;              // "layer1.0.conv1", "layer1.0.conv1+layer1.0.bn1"
    lt_layer_kind kind;
    int k;
    double *sigma; // (k), descending
    double lower,
        upper; // of sigma[0]: |A v| of the Ritz vector in double precision; a certified bound, NAN = none known
    double kernel_norm; // spectral norm of the weight reshaped to (K, C R S); NAN for layers without one
    double residual;    // |A'A v - sigma^2 v| / sigma^2 of the first pair
    int32_t iterations;
    const char *upper_by; // how the upper end was obtained: "frequencies", "gram", "exact", "none"
} lt_spectrum;
typedef struct lt_spectra {
    lt_spectrum *layer;
    int n_layers;
    double lipschitz_bound;            // of the logits, L2 to L2, in pixel units: composed of the upper ends
    double lipschitz_bound_normalized; // the same behind the input normalisation
    const char *bound_by;              // "certified"; "crude": a layer has no certificate, its padded norm stands in
} lt_spectra;
// Measures every linear layer of the model. LT_E_UNSUPPORTED names an op without a rule. Events: "spectra.progress"
// PROGRESS in layers.
LT_API lt_status lt_spectra_measure(const lt_model *model, const lt_spectra_cfg *cfg, const lt_env *env,
                                    lt_spectra *out);
LT_API void lt_spectra_clear(lt_spectra *s);

// ---- one linear map
// Shifted subspace iteration on A'A + shift I with Rayleigh-Ritz [SPECTRA 1-3].
typedef struct lt_power_qr {
    int32_t block;      // vectors iterated on, the batch of the map
    int32_t iterations; // most; in: limit, out: made
    double tolerance;   // 0 = always all iterations
    double shift;
    int32_t n_watched; // leading values that decide on convergence; 0 = all
    double residual;   // out, of the first pair
} lt_power_qr;
// v (block,n_in): start vectors of any full rank, then the right singular vectors, orthonormal rows; sigma (block)
// descending. u (block,n_out) receives A v, NULL = not wanted.
LT_API lt_status lt_power_qr_run(lt_linear_map *map, lt_power_qr *cfg, float *v, float *u, double *sigma,
                                 const lt_interrupt_flag *stop);
// Standard normal start vectors (count,n), a function of seed and tensor.
LT_API void lt_power_qr_start(float *v, int64_t count, int64_t n, uint64_t seed, uint32_t tensor);

// ---- certified upper bound of a convolution or a matrix
typedef struct lt_conv_bound_in {
    const double *weight; // (K,C/groups,R,S); a matrix (K,C) has height = width = R = S = 1
    lt_shape shape;       // of the weight, four dimensions
    lt_conv_attr attr;
    int64_t height, width; // of the image, before padding
    int32_t grid;          // 0 = chosen by cost
    int n_threads;
} lt_conv_bound_in;
// *upper = NAN and *by = "none" for padding that has no certificate (reflect).
LT_API lt_status lt_conv_upper_bound(const lt_conv_bound_in *in, double *upper, const char **by);
// Spectral norm of the weight as a (K, C R S) matrix.
LT_API lt_status lt_kernel_norm(const double *weight, int64_t rows, int64_t columns, double *norm);

LT_END_DECLS
#endif
