// nir.h - a NIR graph in memory, between a model (nir_model.c) and a file (nir_hdf5.c).
#ifndef LTI_NIR_H
#define LTI_NIR_H
#include "base/base.h"
#include "lethe/spike.h"

enum { LTI_NIR_NAME = 64, LTI_NIR_TEXT = 32, LTI_NIR_MAX_NODES = 4096 };

typedef struct lti_nir_node {
    char name[LTI_NIR_NAME], type[LTI_NIR_TEXT]; // "Conv2d", "Affine", "LIF", ...
    lt_shape weight_shape;                       // of Conv2d (K,C,R,S) and Affine (K,C); n_dims 0 = none
    float *weight, *bias;                        // owned; bias (K)
    lt_shape shape; // without rows: Input, Output, neurons; the input of Flatten and Conv2d
    int32_t kernel[2], stride[2], pad[2], dilation[2], groups;
    double tau, r, threshold, reset; // neurons: one value for all
    char neuron[LTI_NIR_TEXT];       // metadata: the name of the semantics; "" = none
} lti_nir_node;

typedef struct lti_nir {
    int n, n_edges, cap_edges;
    lti_nir_node *node; // (LTI_NIR_MAX_NODES)
    int32_t (*edge)[2]; // from, to
} lti_nir;

lt_status lti_nir_init(lti_nir *g);
void lti_nir_clear(lti_nir *g);
lt_status lti_nir_add_edge(lti_nir *g, int32_t from, int32_t to);
lt_status lti_nir_from_model(const lt_model *model, lti_nir *g);
lt_status lti_nir_write(const char *path, const lti_nir *g);
lt_status lti_nir_read(const char *path, lti_nir *g);
#endif
