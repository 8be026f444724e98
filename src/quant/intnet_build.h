// intnet_build.h - the walk over the graph of a model that makes an integer network: values on the way, and what the
// files of the walk share.
#ifndef LT_INTNET_BUILD_H
#define LT_INTNET_BUILD_H
#include "quant/intnet_impl.h"

typedef struct lti_sum_term {
    int source;
    lti_int_weights *weights;
    int stride, pad;
    double *factor; // (k)
} lti_sum_term;
typedef struct lti_int_value { // of a value of the graph
    int tensor;                // >= 0: integers
    bool is_sum, relu;
    int n_terms;
    lti_sum_term term[LTI_INT_MAX_TERMS];
    double *offset;       // (k)
    const float *by_step; // (steps) factor of every step; NULL = 1
    int64_t k, h, w;
    int pad; // zeros around a tensor that the layer behind it reads
} lti_int_value;

typedef struct lti_int_builder {
    lt_int_net *net;
    const lt_model *model;
    const lt_quant *quant;
    const lt_graph *graph;
    lti_int_value *value; // by value of the graph
    float *largest;       // by value: largest activation on training images, of ReLUs
    const char *label;
    bool once; // what is made now is the same at every step
    bool done; // logits are there
} lti_int_builder;

const float *lti_int_param(const lti_int_builder *b, lt_val v);  // values of a parameter or state; NULL for LT_NONE
void *lti_int_alloc(lti_int_builder *b, int64_t n, size_t size); // lives as long as the network; NULL = out of memory
int lti_int_new_tensor(lti_int_builder *b, lti_int_type type, const lti_int_value *v, double scale, int32_t largest);
lti_int_layer *lti_int_new_layer(lti_int_builder *b, lti_int_kind kind);
// Factors and offsets of v become integers of one shift, in multiples of `unit`.
lt_status lti_int_settle(lti_int_builder *b, lti_int_layer *l, const lti_int_value *v, double unit);
lt_status lti_int_as_sum(lti_int_builder *b, lt_val id, lti_int_value *out);
lt_status lti_int_as_tensor(lti_int_builder *b, lt_val id, lti_int_value **v);
lt_status lti_int_unsupported(const lt_node *n);

// ---- spiking networks (intnet_spiking.c)
// Rounds the settled offsets of a layer to nearest.
void lti_int_round_up_halves(lti_int_layer *l);
// A sum of tensors of whole numbers, each once: spikes that meet.
bool lti_int_is_whole(const lti_int_value *v);
lt_status lti_int_materialize_whole(lti_int_builder *b, lti_int_value *v);
// Signed integers: currents in front of a pool or a layer norm, or repeated over time.
lt_status lti_int_as_current(lti_int_builder *b, lt_val id, lti_int_value **v);
lt_status lti_int_walk_time(lti_int_builder *b, const lt_node *n, bool *known); // ops of time; known = false for others
#endif
