// op_cases.h - one table of problem strings for every op, and what tests need to run them.
//
// A case is "op in=INPUT,INPUT,... [key=value ...]". INPUT is dims joined by x, then optionally ":" and letters:
//     what it holds: n normal (default), p positive, a away from zero, d distinct values, s small ones, y a ReLU's
//     output, q rows of probabilities, iK integers below K, j valid positions for max_pool's index; where it lives: P
//     parameter, S state (default: an input of the graph).
// Keys: the attributes of the op; shape=; diff= inputs to differentiate ("-" none; default: all real ones);
// outs= outputs to differentiate (default: all real ones). Used here against finite differences in double, and by
// tests/backend against the reference kernels in float.
#ifndef LT_OP_CASES_H
#define LT_OP_CASES_H
#include "graph/graph_impl.h"
#include "graph/backend.h"
#include "lethe/rng.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const op_cases[] = {
    "conv2d in=2x3x7x6,4x3x3x3:P stride=1 pad=1",
    "conv2d in=1x2x5x5,3x2x3x3:P,3:P stride=1 pad=0",
    "conv2d in=2x3x8x7,4x3x3x3:P,4:P stride=2 pad=1",
    "conv2d in=2x17x6x6,20x17x1x1:P stride=2 pad=0",
    "conv2d in=1x1x9x9,2x1x5x4:P stride=3 pad=2",
    "conv2d in=2x2x4x4:d,3x2x3x3:Pd stride=1 pad=1 relu=1",
    "conv2d in=2x3x6x6,5x3x3x3:P,5:P,2x5x6x6 stride=1 pad=1 relu=1 diff=-",
    "conv2d in=2x20x7x6,36x20x3x3:P,36:P,2x36x7x6 stride=1 pad=1 relu=1 diff=-",
    "conv2d in=2x17x6x6,20x17x3x3:P,20:P,2x20x3x3 stride=2 pad=1 diff=-",
    "conv2d_dx in=2x4x4x4,4x3x3x3:P,2x3x8x7:y stride=2 pad=1 shape=2x3x8x7 diff=-",
    "conv2d_dx in=2x20x6x7,20x36x3x3:P,2x36x6x7:y,2x36x6x7 stride=1 pad=1 shape=2x36x6x7 diff=-",
    "conv2d_dx in=2x20x4x4,20x17x3x3:P,2x17x8x8:y,2x17x8x8 stride=2 pad=1 shape=2x17x8x8 diff=-",
    "conv2d_dx in=2x4x4x4,4x3x3x3:P stride=2 pad=1 shape=2x3x8x7",
    "conv2d_dx in=1x3x5x5,3x2x3x3:P stride=1 pad=1 shape=1x2x5x5",
    "conv2d_dx in=2x20x3x3,20x17x1x1:P stride=2 pad=0 shape=2x17x6x6",
    "conv2d_dw in=2x3x8x7,2x4x4x4 stride=2 pad=1 shape=4x3x3x3",
    "conv2d_dw in=1x2x5x5,1x3x5x5 stride=1 pad=1 shape=3x2x3x3",
    "conv2d_dw in=2x17x6x6,2x20x3x3 stride=2 pad=0 shape=20x17x1x1",
    "conv2d in=2x3x8x7,4x3x3x3:P,4:P stride=1 pad=2 dilation=2",
    "conv2d in=2x20x9x8,36x20x3x3:P,36:P,2x36x5x4 stride=2 pad=2 dilation=2 relu=1 diff=-",
    "conv2d in=2x20x7x6,36x20x3x3:P stride=1 pad=2 dilation=2 diff=-",
    "conv2d in=2x17x9x6,20x17x2x3:P stride=1 pad=3 dilation=3",
    "conv2d in=2x4x7x7,6x2x3x3:P stride=2 pad=2 dilation=2 groups=2",
    "conv2d_dx in=2x4x8x7,4x3x3x3:P stride=1 pad=2 dilation=2 shape=2x3x8x7",
    "conv2d_dx in=2x20x5x4,20x17x3x3:P,2x17x9x8:y,2x17x9x8 stride=2 pad=2 dilation=2 shape=2x17x9x8 diff=-",
    "conv2d_dx in=2x6x4x4,6x2x3x3:P stride=2 pad=2 dilation=2 groups=2 shape=2x4x7x7",
    "conv2d_dx in=2x36x7x6,36x20x3x3:P stride=1 pad=2 dilation=2 shape=2x20x7x6 diff=-",
    "conv2d_dw in=2x20x7x6,2x36x7x6 stride=1 pad=2 dilation=2 shape=36x20x3x3 diff=-",
    "conv2d_dw in=2x3x8x7,2x4x8x7 stride=1 pad=2 dilation=2 shape=4x3x3x3",
    "conv2d_dw in=2x17x9x6,2x20x12x6 stride=1 pad=3 dilation=3 shape=20x17x2x3",
    "conv2d in=2x4x5x6,6x2x3x3:P stride=1 pad=1 groups=2",
    "conv2d in=1x6x7x7,6x1x3x3:P,6:P stride=2 pad=1 groups=6",
    "conv2d_dx in=2x6x5x6,6x2x3x3:P stride=1 pad=1 groups=2 shape=2x4x5x6",
    "conv2d_dw in=2x4x7x7,2x6x4x4 stride=2 pad=1 groups=2 shape=6x2x3x3",
    "pad2d in=2x3x4x5 pad=2 pad_mode=0",
    "pad2d in=2x3x4x5 pad=4 pad_mode=1",
    "pad2d in=2x3x4x5 pad=3 pad_mode=2",
    "pad2d_dx in=2x3x8x9 pad=2 pad_mode=0",
    "pad2d_dx in=1x3x8x9 pad=2 pad_mode=1",
    "pad2d_dx in=1x3x8x9 pad=2 pad_mode=2",
    "channel_sum in=3x5x4x3",
    "channel_sum in=3x5",
    "channel_broadcast in=5 shape=3x5x4x3",
    "channel_broadcast in=5 shape=3x5",
    "bn_train in=4x3x3x5,3:pP,3:P,3:S,3:pS eps=1e-5 momentum=0.1 outs=0",
    "bn_train in=6x18,18:pP,18:P,18:S,18:pS eps=1e-3 momentum=0.3 outs=0",
    "bn_train in=4x3x3x5:d,3:pP,3:P,3:S,3:pS eps=1e-5 momentum=0.1 relu=1 outs=0",
    "bn_train_dx in=4x3x3x5,4x3x3x5,3:pP,3,3:p eps=1e-5 diff=-",
    "bn_train_dx in=2x17x3x3,2x17x3x3,17:pP,17,17:p,17:P eps=1e-5 relu=1 diff=-",
    "bn_train_dx2 in=4x3x3x5,4x3x3x5,4x3x3x5,3:pP,3,3:p eps=1e-5 diff=-",
    "bn_train in=4x3x3x5,3:pP,3:P,3:S,3:pS,4x3x3x5 eps=1e-5 momentum=0.1 relu=1 diff=-",
    "bn_train in=2x17x3x3,17:pP,17:P,17:S,17:pS,2x17x3x3 eps=1e-5 momentum=0.1 diff=-",
    "bn_apply in=2x17x3x3,17:pP,17:P,17,17:p eps=1e-5 diff=-",
    "bn_apply in=6x18,18:pP,18:P,18,18:p eps=1e-5 relu=1 diff=-",
    "bn_apply in=2x17x3x3,17:pP,17:P,17,17:p,2x17x3x3 eps=1e-5 relu=1 diff=-",
    "bn_eval in=2x3x3x5,3:pP,3:P,3:S,3:pS eps=1e-5 diff=012",
    "bn_eval in=3x18,18:pP,18:P,18:S,18:pS eps=1e-3 diff=012",
    "bn_eval in=2x3x4x4:d,3:pP,3:P,3:S,3:pS eps=1e-5 relu=1 diff=012",
    "bn_eval_dx in=2x3x3x5,2x3x3x5,3:pP,3:S,3:pS eps=1e-5 diff=012",
    "bn_eval_dx in=2x17x3x3,2x17x3x3,17:pP,17:S,17:pS,2x17x3x3:y eps=1e-5 relu=1 diff=012",
    "bn_fold in=4x3x3x3:P,4:pP,4:P,4:S,4:pS eps=1e-5 diff=-",
    "bn_fold in=4x3x3x3:P,4:pP,4:P,4:S,4:pS,4:P eps=1e-5 diff=-",
    "relu in=2x3x4x5:a",
    "relu in=3x7:a",
    "relu_dx in=2x17x4x5,2x17x4x5:y alpha=1 diff=0",
    "relu_dx in=2x3x4x5,2x3x4x5:y alpha=0.5 diff=0",
    "add in=2x17x3x3,2x17x3x3 alpha=1",
    "add in=2x3x4x5,2x3x4x5 alpha=0.5",
    "add in=2x3x4x5:d,2x3x4x5:s alpha=0.5 relu=1",
    "add_relu_dx in=2x17x3x3,2x17x3x3,2x17x3x3:y alpha=0.5 diff=-",
    "act_quant in=2x3x4x5:p,1:p bits=2 diff=-",
    "act_quant in=2x20x5x3:p,1:p bits=4 rule=1 diff=-",
    "act_quant in=3x7,1:p bits=3 diff=-",
    "act_quant_dx in=2x3x4x5,2x3x4x5,1:p bits=2 diff=-",
    "act_quant_dx in=2x20x5x3,2x20x5x3,1:p bits=4 rule=1 diff=-",
    "act_quant_dx in=3x7,3x7,1:p bits=3 diff=-",
    "scale in=2x17x3x3 alpha=-0.7",
    "normalize in=2x3x4x4 constants=1",
    "normalize_dx in=2x3x4x4 constants=1",
    "avg_pool in=2x3x7x6 kernel=3 stride=2",
    "avg_pool in=1x17x4x4 kernel=4 stride=4",
    "avg_pool_dx in=2x3x3x2 kernel=3 stride=2 shape=2x3x7x6",
    "avg_pool_dx in=1x17x1x1 kernel=4 stride=4 shape=1x17x4x4",
    "max_pool in=2x3x7x6:d kernel=3 stride=2",
    "max_pool in=1x17x4x4:d kernel=2 stride=2",
    "max_pool_dx in=2x3x3x2,2x3x3x2:j kernel=3 stride=2 shape=2x3x7x6",
    "max_pool_dx in=1x17x2x2,1x17x2x2:j kernel=2 stride=2 shape=1x17x4x4",
    "max_pool_at in=2x3x7x6,2x3x3x2:j kernel=3 stride=2",
    "global_avg_pool in=2x17x4x5",
    "global_avg_pool_dx in=2x17 shape=2x17x4x5",
    "reshape in=2x3x4x5 shape=2x60",
    "reshape in=2x60 shape=2x3x4x5",
    "linear in=4x7,5x7:P",
    "linear in=4x33,10x33:P,10:P",
    "linear_dx in=4x5,5x7:P",
    "linear_dw in=4x7,4x5",
    "softmax in=3x7",
    "softmax_dx in=3x7,3x7:q diff=0",
    "ce in=4x7,4:i7",
    "ce in=4x7,4:i7 smoothing=0.2",
    "ce_dz in=4,4x7:q,4:i7 smoothing=0.2",
    "ce_soft in=4x7,4x7:q diff=0",
    "ce_soft_dz in=4,4x7:q,4x7:q diff=01",
    "kl in=4x7,4x7 temperature=1 diff=0 outs=01",
    "kl in=4x7,4x7 temperature=4 diff=0 outs=01",
    "kl_dz in=4,4x7:q,4x7:q temperature=4 diff=01",
    "kl_pair in=4x7,4x7 temperature=1 diff=01 outs=0",
    "kl_pair in=4x7,4x7 temperature=4 diff=01 outs=0",
    "kl_pair_dt in=4,4x7,4x7 temperature=4 diff=0",
    "margin in=4x7:d,4:i7",
    "margin_dz in=4,4:i7,4:i7,4x7",
    "weighted_sum in=9,9",
    "scale_rows in=1,9",
    "dot in=2x3x4x5,2x3x4x5",
    "scale_by in=1,2x3x4x5",
    "mul_rows in=4,4x7",
    "row_dot in=4x7,4x7",
    "log_softmax in=3x5",
    "log_softmax_dx in=3x5,3x5 diff=-",
    "log_add_exp in=3x5,3x5",
    "log_add_exp_da in=3x5,3x5,3x5 diff=-",
    "abs in=3x5:a",
    "abs_dx in=3x5,3x5:a diff=-",
    "row_cos in=3x7,3x7",
    "row_cos_da in=3,3x7,3x7 diff=-",
    "adp in=3:i5,3x5,3x5 alpha=2 momentum=0.5",
    "adp in=4:i6,4x6,4x6,4x6 alpha=0.5 momentum=1",
    "adp_dz in=3,3:i5,3x5,3x5 alpha=2 momentum=0.5 kernel=1 diff=-",
    "concat in=2x3x4x5,2x2x4x5",
    "channel_slice in=2x5x3x4 kernel=1 shape=2x3x3x4",
    "channel_slice in=2x5x3x4 kernel=0 shape=2x5x3x4",
    "lif in=6x3x2x2 steps=3 neuron=0 surrogate=0 surrogate_scale=2 decay=0.6 threshold=0.4 smooth=1 reset_gradient=1 "
    "outs=0",
    "lif in=6x3x2x2 steps=3 neuron=0 surrogate=3 surrogate_scale=3 decay=0.6 threshold=0.4 smooth=1 reset_gradient=1 "
    "outs=0",
    "lif in=8x5,1:sP steps=4 neuron=0 surrogate=0 decay=0.7 threshold=0.3 smooth=1 reset_gradient=1 outs=0",
    "lif in=8x17x3x3 steps=4 neuron=0 surrogate=1 decay=0.5 threshold=0.3 diff=-",
    "lif_dx in=8x17x3x3,8x17x3x3,8x17x3x3 steps=4 neuron=0 surrogate=0 decay=0.5 threshold=0.3 diff=-",
    "lif_dx in=6x5,6x5,6x5,1:sP steps=3 neuron=0 surrogate=0 decay=0.5 threshold=0.3 diff=-",
    "lif in=6x3x2x2 steps=3 neuron=1 surrogate=0 surrogate_scale=2 decay=0.6 threshold=0.4 smooth=1 reset_gradient=1 "
    "outs=0",
    "lif in=6x3x2x2 steps=3 neuron=1 surrogate=3 surrogate_scale=3 decay=0.6 threshold=0.4 smooth=1 reset_gradient=1 "
    "outs=0",
    "lif in=8x5,1:sP steps=4 neuron=1 surrogate=0 decay=0.7 threshold=0.3 smooth=1 reset_gradient=1 outs=0",
    "lif in=8x17x3x3 steps=4 neuron=1 surrogate=1 decay=0.5 threshold=0.3 diff=-",
    "lif_dx in=8x17x3x3,8x17x3x3,8x17x3x3 steps=4 neuron=1 surrogate=1 decay=0.5 threshold=0.3 diff=-",
    "lif_dx in=6x5,6x5,6x5,1:sP steps=3 neuron=1 surrogate=1 decay=0.5 threshold=0.3 diff=-",
    "lif in=6x3x2x2 steps=3 neuron=2 surrogate=0 surrogate_scale=2 decay=0.6 threshold=0.4 smooth=1 reset_gradient=1 "
    "outs=0",
    "lif in=6x3x2x2 steps=3 neuron=2 surrogate=3 surrogate_scale=3 decay=0.6 threshold=0.4 smooth=1 reset_gradient=1 "
    "outs=0",
    "lif in=8x5,1:sP steps=4 neuron=2 surrogate=0 decay=0.7 threshold=0.3 smooth=1 reset_gradient=1 outs=0",
    "lif in=8x17x3x3 steps=4 neuron=2 surrogate=1 decay=0.5 threshold=0.3 diff=-",
    "lif_dx in=8x17x3x3,8x17x3x3,8x17x3x3 steps=4 neuron=2 surrogate=2 decay=0.5 threshold=0.3 diff=-",
    "lif_dx in=6x5,6x5,6x5,1:sP steps=3 neuron=2 surrogate=2 decay=0.5 threshold=0.3 diff=-",
    "lif in=6x3x2x2 steps=3 neuron=3 surrogate=0 surrogate_scale=2 decay=0.6 threshold=0.4 smooth=1 reset_gradient=1 "
    "outs=0",
    "lif in=6x3x2x2 steps=3 neuron=3 surrogate=3 surrogate_scale=3 decay=0.6 threshold=0.4 smooth=1 reset_gradient=1 "
    "outs=0",
    "lif in=8x5,1:sP steps=4 neuron=3 surrogate=0 decay=0.7 threshold=0.3 smooth=1 reset_gradient=1 outs=0",
    "lif in=8x17x3x3 steps=4 neuron=3 surrogate=1 decay=0.5 threshold=0.3 diff=-",
    "lif_dx in=8x17x3x3,8x17x3x3,8x17x3x3 steps=4 neuron=3 surrogate=3 decay=0.5 threshold=0.3 diff=-",
    "lif_dx in=6x5,6x5,6x5,1:sP steps=3 neuron=3 surrogate=3 decay=0.5 threshold=0.3 diff=-",
    "lif in=6x3x2x2 steps=3 neuron=4 surrogate=0 surrogate_scale=2 decay=0.6 threshold=0.4 smooth=1 reset_gradient=1 "
    "outs=0",
    "lif in=6x3x2x2 steps=3 neuron=4 surrogate=3 surrogate_scale=3 decay=0.6 threshold=0.4 smooth=1 reset_gradient=1 "
    "outs=0",
    "lif in=8x5,1:sP steps=4 neuron=4 surrogate=0 decay=0.7 threshold=0.3 smooth=1 reset_gradient=1 outs=0",
    "lif in=8x17x3x3 steps=4 neuron=4 surrogate=1 decay=0.5 threshold=0.3 diff=-",
    "lif_dx in=8x17x3x3,8x17x3x3,8x17x3x3 steps=4 neuron=4 surrogate=0 decay=0.5 threshold=0.3 diff=-",
    "lif_dx in=6x5,6x5,6x5,1:sP steps=3 neuron=4 surrogate=0 decay=0.5 threshold=0.3 diff=-",
    "lif in=6x3x2x2 steps=3 neuron=5 surrogate=0 surrogate_scale=2 decay=0.6 threshold=0.4 smooth=1 reset_gradient=1 "
    "outs=0",
    "lif in=6x3x2x2 steps=3 neuron=5 surrogate=3 surrogate_scale=3 decay=0.6 threshold=0.4 smooth=1 reset_gradient=1 "
    "outs=0",
    "lif in=8x5,1:sP steps=4 neuron=5 surrogate=0 decay=0.7 threshold=0.3 smooth=1 reset_gradient=1 outs=0",
    "lif in=8x17x3x3 steps=4 neuron=5 surrogate=1 decay=0.5 threshold=0.3 diff=-",
    "lif_dx in=8x17x3x3,8x17x3x3,8x17x3x3 steps=4 neuron=5 surrogate=1 decay=0.5 threshold=0.3 diff=-",
    "lif_dx in=6x5,6x5,6x5,1:sP steps=3 neuron=5 surrogate=1 decay=0.5 threshold=0.3 diff=-",
    "lif in=6x3x2x2 steps=3 neuron=6 surrogate=0 surrogate_scale=2 decay=0.6 threshold=0.4 smooth=1 reset_gradient=1 "
    "outs=0",
    "lif in=6x3x2x2 steps=3 neuron=6 surrogate=3 surrogate_scale=3 decay=0.6 threshold=0.4 smooth=1 reset_gradient=1 "
    "outs=0",
    "lif in=8x5,1:sP steps=4 neuron=6 surrogate=0 decay=0.7 threshold=0.3 smooth=1 reset_gradient=1 outs=0",
    "lif in=8x17x3x3 steps=4 neuron=6 surrogate=1 decay=0.5 threshold=0.3 diff=-",
    "lif_dx in=8x17x3x3,8x17x3x3,8x17x3x3 steps=4 neuron=6 surrogate=2 decay=0.5 threshold=0.3 diff=-",
    "lif_dx in=6x5,6x5,6x5,1:sP steps=3 neuron=6 surrogate=2 decay=0.5 threshold=0.3 diff=-",
    "lif in=6x3x2x2 steps=3 neuron=7 surrogate=0 surrogate_scale=2 decay=0.6 threshold=0.4 smooth=1 reset_gradient=1 "
    "outs=0",
    "lif in=6x3x2x2 steps=3 neuron=7 surrogate=3 surrogate_scale=3 decay=0.6 threshold=0.4 smooth=1 reset_gradient=1 "
    "outs=0",
    "lif in=8x5,1:sP steps=4 neuron=7 surrogate=0 decay=0.7 threshold=0.3 smooth=1 reset_gradient=1 outs=0",
    "lif in=8x17x3x3 steps=4 neuron=7 surrogate=1 decay=0.5 threshold=0.3 diff=-",
    "lif_dx in=8x17x3x3,8x17x3x3,8x17x3x3 steps=4 neuron=7 surrogate=3 decay=0.5 threshold=0.3 diff=-",
    "lif_dx in=6x5,6x5,6x5,1:sP steps=3 neuron=7 surrogate=3 decay=0.5 threshold=0.3 diff=-",
    "repeat_steps in=2x3x2x2 steps=3 alpha=0.5",
    "sum_steps in=6x3x2x2 steps=3 alpha=0.5",
    "step_scale in=6x3x2x2,3:P steps=3",
    "step_scale_dp in=6x3x2x2,6x3x2x2 steps=3 diff=-",
    "rate_code in=2x3x2x2:p steps=4 seed=3 diff=-",
    "layer_norm in=4x3x2x5 eps=1e-3 outs=0",
    "layer_norm in=3x7 eps=1e-5 outs=0",
    "layer_norm_dx in=4x3x2x5,4x3x2x5,4:p eps=1e-3 diff=-",
    "dropout_train in=3x17,1:S p=0.5 seed=1 outs=0 diff=-",
    "dropout_dx in=3x17,1:p p=0.25 seed=1 diff=-",
    "count_mse in=3x5,3:i5 steps=4 target_on=3 target_off=1",
    "count_mse_dz in=3,3x5,3:i5 steps=4 target_on=3 target_off=1 diff=-",
};
enum { N_OP_CASES = sizeof op_cases / sizeof *op_cases };

typedef struct op_case {
    const char *text;
    const lt_op *op;
    lt_graph *g;
    int n_in, n_out;
    lt_val in[LT_NODE_MAX_IN], out[LT_NODE_MAX_OUT];
    lt_val seed[LT_NODE_MAX_OUT]; // cotangent inputs of the real outputs, else LT_NONE
    double *in_data[LT_NODE_MAX_IN], *seed_data[LT_NODE_MAX_OUT];
    bool diff[LT_NODE_MAX_IN], check[LT_NODE_MAX_OUT]; // inputs and outputs to differentiate
} op_case;

#define OP_CASE_NEED(ok, text)                                                                                         \
    do {                                                                                                               \
        if (!(ok)) {                                                                                                   \
            fprintf(stderr, "%s:%d: %s: %s (%s)\n", __FILE__, __LINE__, text, #ok, lt_error_get()->message);           \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

static inline lt_shape op_parse_shape(const char **p)
{
    lt_shape s = {0};
    do {
        char *end;
        s.dim[s.n_dims++] = strtoll(*p, &end, 10);
        *p = end;
    } while (**p == 'x' && s.n_dims < LT_MAX_DIMS && (*p)++);
    return s;
}

// Value of "key=" in the case, or NULL.
static inline const char *op_key(const char *text, const char *key)
{
    char want[32];
    snprintf(want, sizeof want, " %s=", key);
    const char *at = strstr(text, want);
    return at ? at + strlen(want) : NULL;
}

static inline float op_number(const char *text, const char *key, float missing)
{
    const char *at = op_key(text, key);
    return at ? strtof(at, NULL) : missing;
}

static inline lt_attr op_parse_attr(const char *text)
{
    static const float constants[2][32] = {{0.1f, 0.2f, 0.3f}, {2, 3, 4}};
    lt_attr a = {.stride = (int32_t)op_number(text, "stride", 0),
                 .pad = (int32_t)op_number(text, "pad", 0),
                 .kernel = (int32_t)op_number(text, "kernel", 0),
                 .groups = (int32_t)op_number(text, "groups", 1),
                 .dilation = (int32_t)op_number(text, "dilation", 1),
                 .pad_mode = (lt_pad_mode)op_number(text, "pad_mode", 0),
                 .relu = op_number(text, "relu", 0) > 0,
                 .alpha = op_number(text, "alpha", 0),
                 .eps = op_number(text, "eps", 0),
                 .momentum = op_number(text, "momentum", 0),
                 .smoothing = op_number(text, "smoothing", 0),
                 .bits = (int32_t)op_number(text, "bits", 0),
                 .rule = (int32_t)op_number(text, "rule", 0),
                 .temperature = op_number(text, "temperature", 0),
                 .steps = (int32_t)op_number(text, "steps", 0),
                 .neuron = {.kind = (int32_t)op_number(text, "neuron", 0),
                            .surrogate = (int32_t)op_number(text, "surrogate", 0),
                            .threshold = op_number(text, "threshold", 1),
                            .decay = op_number(text, "decay", 0.5f),
                            .surrogate_scale = op_number(text, "surrogate_scale", 0),
                            .reset_gradient = op_number(text, "reset_gradient", 0) > 0,
                            .smooth = op_number(text, "smooth", 0) > 0},
                 .target_on = op_number(text, "target_on", 0),
                 .target_off = op_number(text, "target_off", 0),
                 .p = op_number(text, "p", 0),
                 .seed = (uint64_t)op_number(text, "seed", 0)};
    const char *shape = op_key(text, "shape");
    if (shape)
        a.shape = op_parse_shape(&shape);
    if (op_key(text, "constants")) {
        a.mean = constants[0];
        a.istd = constants[1];
    }
    return a;
}

// Positions h*W+w inside each window of a max pooling with output shape s.
static inline double op_pool_position(const lt_attr *a, const lt_shape *s, const lt_shape *x, int64_t i, lt_rng *rng)
{
    int64_t v = i % s->dim[3] * a->stride, h = i / s->dim[3] % s->dim[2] * a->stride;
    h += (int64_t)lt_rng_below(rng, (uint64_t)a->kernel);
    v += (int64_t)lt_rng_below(rng, (uint64_t)a->kernel);
    return (double)(h * x->dim[3] + v);
}

static inline double *op_make_data(const char *what, const lt_shape *s, const lt_attr *a, const lt_shape *x,
                                   uint64_t index)
{
    int64_t n = lti_shape_count(s), cols = s->dim[s->n_dims - 1];
    double *data = malloc((size_t)n * sizeof *data);
    lt_rng rng = lt_rng_at(1, LT_STREAM_TEST, 0, index);
    for (int64_t i = 0; i < n; i++)
        switch (*what) {
        case 'p':
            data[i] = 0.5 + (double)lt_rng_uniform(&rng);
            break;
        case 'a':
        case 'y': {
            double v = (double)lt_rng_uniform(&rng) - 0.5;
            data[i] = v + (v < 0 ? -0.2 : 0.2);
            data[i] = *what == 'y' && v < 0 ? 0 : data[i];
            break;
        }
        case 'd': // a permutation of odd multiples of a half step: distinct, and none near zero
            data[i] = 0;
            break;
        case 's':
            data[i] = 0.004 * (double)lt_rng_uniform(&rng);
            break;
        case 'q':
            data[i] = 0.1 + (double)lt_rng_uniform(&rng);
            break;
        case 'i':
            data[i] = (double)lt_rng_below(&rng, (uint64_t)strtoul(what + 1, NULL, 10));
            break;
        case 'j':
            data[i] = op_pool_position(a, s, x, i, &rng);
            break;
        default:
            data[i] = lt_rng_normal(&rng);
        }
    if (*what == 'd') {
        int64_t *perm = malloc((size_t)n * sizeof *perm);
        lt_rng_permutation(index, LT_STREAM_TEST, 1, n, perm);
        for (int64_t i = 0; i < n; i++)
            data[i] = ((double)(2 * perm[i] + 1) - (double)n) / (double)n;
        free(perm);
    }
    for (int64_t i = 0; *what == 'q' && i < n; i += cols) {
        double sum = 0;
        for (int64_t j = i; j < i + cols; j++)
            sum += data[j];
        for (int64_t j = i; j < i + cols; j++)
            data[j] /= sum;
    }
    return data;
}

static inline void op_add_input(op_case *c, const char **p, const lt_attr *attr)
{
    static const char kinds[] = "npadsyqij";
    char name[16], what[8] = "n";
    lt_shape shape = op_parse_shape(p);
    lt_role role = LT_ROLE_INPUT;
    if (**p == ':')
        for ((*p)++; **p && **p != ',' && **p != ' '; (*p)++) {
            if (**p == 'P')
                role = LT_ROLE_PARAM;
            else if (**p == 'S')
                role = LT_ROLE_STATE;
            else if (strchr(kinds, **p))
                snprintf(what, sizeof what, "%.3s", *p);
        }
    int i = c->n_in++;
    bool integer = *what == 'i' || *what == 'j';
    snprintf(name, sizeof name, "in%d", i);
    c->in[i] = role == LT_ROLE_PARAM   ? lt_param(c->g, name, shape)
               : role == LT_ROLE_STATE ? lt_state(c->g, name, shape)
                                       : lt_input(c->g, name, integer ? LT_I32 : LT_F32, shape);
    OP_CASE_NEED(c->in[i] != LT_NONE, c->text);
    const lt_shape *x = attr->shape.n_dims ? &attr->shape : &c->g->value[c->in[0]].shape;
    c->in_data[i] = op_make_data(what, &shape, attr, x, (uint64_t)(i + 1));
    c->diff[i] = !integer;
}

static inline void op_case_build(const char *text, op_case *c)
{
    *c = (op_case){.text = text};
    char op[32];
    size_t n = strcspn(text, " ");
    snprintf(op, sizeof op, "%.*s", (int)n, text);
    c->op = lt_op_find(op);
    OP_CASE_NEED(c->op, text);
    OP_CASE_NEED(lt_graph_create(&c->g) == LT_OK, text);
    lt_attr attr = op_parse_attr(text);
    for (const char *p = op_key(text, "in"); *p && *p != ' '; p += *p == ',')
        op_add_input(c, &p, &attr);
    lti_emit(c->g, c->op, &attr, c->n_in, c->in, c->out);
    OP_CASE_NEED(lt_graph_status(c->g) == LT_OK, text);
    c->n_out = c->op->n_out;
    const char *diff = op_key(text, "diff"), *outs = op_key(text, "outs");
    for (int i = 0; i < c->n_in; i++)
        c->diff[i] = c->diff[i] && (!diff || (memchr(diff, '0' + i, strcspn(diff, " ")) != NULL));
    for (int i = 0; i < c->n_out; i++) {
        const lti_value *out = &c->g->value[c->out[i]];
        char name[16];
        c->seed[i] = LT_NONE;
        c->check[i] = lti_is_real(out->dtype) && (!outs || memchr(outs, '0' + i, strcspn(outs, " ")));
        if (!lti_is_real(out->dtype))
            continue;
        snprintf(name, sizeof name, "seed%d", i);
        lt_shape shape = out->shape;
        c->seed[i] = lt_input(c->g, name, LT_F32, shape);
        c->seed_data[i] = op_make_data("n", &shape, &attr, NULL, (uint64_t)(100 + i));
    }
}

static inline void op_case_clear(op_case *c)
{
    for (int i = 0; i < c->n_in; i++)
        free(c->in_data[i]);
    for (int i = 0; i < c->n_out; i++)
        free(c->seed_data[i]);
    lt_graph_destroy(c->g);
}

// ---- a plan with slabs of its own, read and written as doubles
typedef struct op_run {
    const lt_graph *g;
    lt_plan *plan;
    lt_dtype dtype;
    void *params, *state, *grads;
} op_run;

static inline void op_store(lt_dtype dtype, void *to, const double *from, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (dtype == LT_F64)
            ((double *)to)[i] = from[i];
        else if (dtype == LT_F32)
            ((float *)to)[i] = (float)from[i];
        else
            ((int32_t *)to)[i] = (int32_t)from[i];
}

static inline void op_fetch(lt_dtype dtype, const void *from, double *to, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        to[i] = dtype == LT_F64   ? ((const double *)from)[i]
                : dtype == LT_F32 ? (double)((const float *)from)[i]
                                  : (double)((const int32_t *)from)[i];
}

static inline lt_status op_run_open(const lt_graph *g, const lt_plan_spec *spec, lt_backend *backend, op_run *r)
{
    *r = (op_run){.g = g, .dtype = spec->dtype};
    size_t n_params = (size_t)lt_graph_n_params(g), n_state = (size_t)lt_graph_n_state(g);
    r->params = calloc(n_params + 1, 8);
    r->state = calloc(n_state + 1, 8);
    r->grads = calloc(n_params + 1, 8);
    lt_status status = lt_plan_create(g, spec, backend, &r->plan);
    return status == LT_OK ? lt_plan_bind(r->plan, r->params, r->state, r->grads) : status;
}

static inline void op_run_close(op_run *r)
{
    lt_plan_destroy(r->plan);
    free(r->params);
    free(r->state);
    free(r->grads);
}

static inline void op_set(op_run *r, lt_val v, const double *data)
{
    const lti_value *value = &r->g->value[v];
    size_t size = r->dtype == LT_F64 ? 8 : 4, offset = (size_t)(value->slab_offset < 0 ? 0 : value->slab_offset) * size;
    void *to = value->role == LT_ROLE_PARAM   ? (char *)r->params + offset
               : value->role == LT_ROLE_STATE ? (char *)r->state + offset
                                              : lt_plan_buffer(r->plan, v);
    OP_CASE_NEED(to, value->name);
    int64_t n = lti_shape_count(&value->shape);
    if (value->role == LT_ROLE_PARAM)
        lt_plan_params_changed(r->plan);
    op_store(lti_is_real(value->dtype) ? r->dtype : value->dtype, to, data, n);
}

static inline void op_get(op_run *r, lt_val v, double *data)
{
    const lti_value *value = &r->g->value[v];
    const void *from = lt_plan_buffer(r->plan, v);
    OP_CASE_NEED(from, "output");
    op_fetch(lti_is_real(value->dtype) ? r->dtype : value->dtype, from, data, lti_shape_count(&value->shape));
}

// All inputs and seeds of a case.
static inline void op_case_load(const op_case *c, op_run *r)
{
    for (int i = 0; i < c->n_in; i++)
        op_set(r, c->in[i], c->in_data[i]);
    for (int i = 0; i < c->n_out; i++)
        if (c->seed[i] != LT_NONE)
            op_set(r, c->seed[i], c->seed_data[i]);
}
#endif
