// layers.h - the layers of a model that multiply by a weight matrix: convolutions and linear layers, in the order of
// computation.
#ifndef LT_UNLEARN_LAYERS_H
#define LT_UNLEARN_LAYERS_H
#include "lethe/model.h"

typedef struct lti_layer {
    bool conv;
    lt_val x, w;                       // input; weight, a parameter: (K,C/groups,R,S) or (K,C)
    int stride, pad, dilation, groups; // of a convolution
    int64_t offset;                    // of the weight in the parameter slab
    int64_t n_out, n_in;               // the weight as a matrix: K rows of C/groups R S
    int kernel;                        // R = S
} lti_layer;
// layer: room for max. Returns how many there are; at most max are written.
int lti_model_layers(const lt_model *model, lti_layer *layer, int max);
#endif
