// op.h - the op table. One row of ops.list per op, one descriptor per op in ops_<family>.c; nothing else switches on op
// kind.
//
// An op gives its shape rule, its calculus (vjp emits nodes of the same table: the only calculus in the project) and
// its cost. Gradients are therefore ordinary nodes: planned, fused, laid out and bound like any other, and can be
// differentiated again where the gradient ops have a vjp themselves (the three convolution kernels are closed under
// it).
#ifndef LT_OP_H
#define LT_OP_H
#include "lethe/graph.h"

enum { LT_NODE_MAX_IN = 8, LT_NODE_MAX_OUT = 4 };

// One flat attribute record for all ops; an op documents which fields it reads.
typedef struct lt_attr {
    int32_t stride, pad, groups, kernel, dilation;
    lt_pad_mode pad_mode;
    bool relu;   // fused max(0, .) at the end (bn, add, conv2d); its gradient op masks dy where y <= 0
    bool masked; // conv2d_dx of four inputs: the other gradient is 0 already where the mask makes it so
    float alpha; // scale, add: y = alpha * (a + b)
    float eps, momentum, smoothing, temperature;
    int32_t bits, rule;          // act_quant: lt_act_rule
    lt_shape shape;              // target shape where it cannot be inferred (conv2d_dx, pool gradients, reshape)
    const float *mean, *istd;    // normalize: C values owned by the graph
    int32_t steps;               // ops over time: rows n * steps + t belong to sample n
    lt_neuron_attr neuron;       // lif
    float target_on, target_off; // count_mse: spikes wanted of the class and of the others
    float p;                     // dropout: probability of dropping
    uint64_t seed;               // dropout, rate_code: which stream of random numbers
} lt_attr;

// Of a convolution, with zeros replaced by what they stand for; without the padding mode, which is a node of its own.
lt_attr lti_conv_attr(lt_conv_attr attr);

typedef struct lt_node {
    const struct lt_op *op;
    lt_val in[LT_NODE_MAX_IN], out[LT_NODE_MAX_OUT]; // LT_NONE = absent optional input
    int n_in, n_out;
    lt_attr attr;
    int32_t fwd;         // index of the forward node this backward node pairs with, or -1
    bool rematerialized; // a copy made by the recompute pass
} lt_node;

enum {                  // lt_op.flags
    LT_OP_INPLACE0 = 1, // out[0] may share memory with in[0]: kernels must allow it
    LT_OP_ELEMENTWISE = 2,
    LT_OP_LINEAR = 4,      // linear in in[0]: tested by the dot-product identity
    LT_OP_SIDE_EFFECT = 8, // writes a STATE value; kept even when its outputs are unused
    LT_OP_VIEW = 16,       // out[0] is in[0] with another shape: no kernel (reshape)
};

typedef struct lt_op {
    const char *name;
    int n_in_min, n_in_max, n_out;
    unsigned flags;
    // Output shapes and dtypes from inputs and attributes. Fails with LT_E_SHAPE naming what is wrong.
    lt_status (*infer)(const lt_attr *attr, int n_in, const lt_shape *in, const lt_dtype *dtype, lt_shape *out,
                       lt_dtype *out_dtype);
    // dout[i]: gradient of out[i] or LT_NONE. Writes din[i] (LT_NONE when zero or not differentiable). need[i]: is it
    // wanted. NULL: not differentiable. May copy `node` first: adding nodes can move the node array.
    lt_status (*vjp)(lt_graph *g, int32_t node, const lt_val *dout, const bool *need, lt_val *din);
    double (*flop)(const lt_attr *attr, int n_in, const lt_shape *in, const lt_shape *out); // nominal; NULL = 0
} lt_op;

// The nodes of a graph in topological order; borrowed until a node is added.
int32_t lti_graph_n_nodes(const lt_graph *g);
const lt_node *lti_graph_node(const lt_graph *g, int32_t i);
int32_t lti_graph_maker(const lt_graph *g, lt_val v); // node that makes v, or -1

#define LT_X(op) extern const lt_op lt_op_##op;
#include "graph/ops.list"
#undef LT_X
const lt_op *lt_op_find(const char *name); // NULL when unknown
#endif
