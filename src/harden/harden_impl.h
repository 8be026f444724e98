// harden_impl.h - what the files of harden share: the linear layers of a model, and dense helpers in double.
#ifndef LT_HARDEN_IMPL_H
#define LT_HARDEN_IMPL_H
#include "base/base.h"
#include "graph/graph_impl.h"
#include "lethe/spectra.h"

typedef struct lti_layer {
    char *name; // owned
    lt_layer_kind kind;
    lt_val from, to;         // of the model's graph
    lt_val weight;           // conv, linear, conv+bn; else LT_NONE
    int32_t conv, bn, other; // nodes: convolution or linear; batch norm; pooling and normalisation; or -1
    lt_conv_attr attr;       // of conv, with the padding of a pad2d node in front of it
} lti_layer;
typedef struct lti_layers {
    lti_layer *layer;
    int n;
} lti_layers;
// In graph order. A convolution whose only user is a batch norm gives three entries: itself, the norm, and both.
lt_status lti_layers_find(const lt_model *model, lti_layers *out);
void lti_layers_clear(lti_layers *l);
const float *lti_model_data(const lt_model *model, lt_val v); // of a PARAM or STATE value

// (n,n) symmetric; destroyed. value (n) descending, vector (n,n): row i belongs to value i. Cyclic Jacobi.
void lti_symmetric_eigen(double *a, int n, double *value, double *vector);
// Orthonormal rows of v (k,n), modified Gram-Schmidt twice; a dependent row is replaced by a random one.
void lti_orthonormalize(float *v, int k, int64_t n, uint32_t draw);
double lti_dot_f32(const float *a, const float *b, int64_t n); // in double

// The norm of one layer as the walk over the graph needs it.
typedef lt_status (*lti_layer_norm_fn)(void *ctx, const lti_layer *layer, double *norm);
// Lipschitz bound of the logits from layer norms; *behind_normalize: without the input normalisation's factor.
lt_status lti_compose_bound(const lt_model *model, const lti_layers *layers, lti_layer_norm_fn norm, void *ctx,
                            double *bound, double *behind_normalize);
#endif
