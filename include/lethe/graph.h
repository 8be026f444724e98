// graph.h - a static description of a computation: values, and the nodes that make them.
//
// A graph names tensors; it holds no data. Shapes are exact except that dimension 0 of batched values is LT_BATCH and
// becomes a number when a plan is compiled. Builders read like algebra:
//     y = lt_relu(g, lt_batch_norm(g, lt_conv2d(g, x, w, LT_NONE, s1p1), bn));
// The first failing builder records its error in the graph, every later builder then returns LT_NONE, and
// lt_graph_status() reports it; so builder calls need no checks of their own. Not thread-safe while being built;
// a finished graph may be read by many threads.
#ifndef LT_GRAPH_H
#define LT_GRAPH_H
#include "lethe/status.h"
LT_BEGIN

typedef enum lt_dtype { LT_F32, LT_F64, LT_I32, LT_U8, LT_I64, LT_BF16, LT_I8 } lt_dtype;
typedef enum lt_role {
    LT_ROLE_INPUT, // written by the caller before a run
    LT_ROLE_PARAM, // lives in the parameter slab of a model; has gradients
    LT_ROLE_STATE, // lives in the state slab (running statistics); no gradients
    LT_ROLE_CONST, // a literal
    LT_ROLE_TEMP   // made by a node
} lt_role;
typedef enum lt_pad_mode { LT_PAD_ZERO, LT_PAD_CIRCULAR, LT_PAD_REFLECT } lt_pad_mode;

// LT_BATCH * T in dimension 0 stands for T rows per sample, one for each step of time: row n * T + t is step t of
// sample n (docs/decisions/0009-time-steps.md).
enum { LT_MAX_DIMS = 4, LT_BATCH = -1, LT_NONE = -1, LT_MAX_STEPS = 4096 };

typedef int32_t lt_val; // index of a value in its graph; LT_NONE = absent or failed
typedef struct lt_graph lt_graph;

typedef struct lt_shape { // row-major; images are N,C,H,W; filters K,C,R,S; linear weights K,C
    int n_dims;
    int64_t dim[LT_MAX_DIMS];
} lt_shape;

typedef struct lt_value_info {
    const char *name; // borrowed; "" for unnamed temporaries
    lt_shape shape;
    lt_dtype dtype; // F32 means "the plan's real type" (F32 or F64)
    lt_role role;
    int64_t slab_offset; // PARAM and STATE: element offset in its slab, in creation order, without gaps; else -1
} lt_value_info;

LT_API lt_status lt_graph_create(lt_graph **g); // an empty graph; LT_E_NOMEM
LT_API void lt_graph_destroy(lt_graph *g);      // NULL is fine
LT_API lt_status lt_graph_dup(const lt_graph *g, lt_graph **copy);
LT_API lt_status
lt_graph_status(const lt_graph *g); // LT_OK, or the first builder error (restored as this thread's record)
LT_API int32_t lt_graph_n_values(const lt_graph *g);
LT_API lt_status lt_graph_value(const lt_graph *g, lt_val v, lt_value_info *info);
LT_API lt_val lt_graph_find(const lt_graph *g, const char *name); // LT_NONE when there is none
LT_API int64_t lt_graph_n_params(const lt_graph *g);              // elements in the parameter slab
LT_API int64_t lt_graph_n_state(const lt_graph *g);

// Gives an unnamed temporary a name of its own, by which lt_graph_find and plans' dumps know it. Returns v.
LT_API lt_val lt_name(lt_graph *g, lt_val v, const char *name);
// `of`, computed once more with `to` in the place of `from` (same shape and type). Nodes that do not depend on `from`
// are shared; batch norms that do update their running statistics a second time, after those of the first computation.
LT_API lt_val lt_graph_clone_subgraph(lt_graph *g, lt_val of, lt_val from, lt_val to);

// Gives every batch norm that has none a mode, so that its gradients can be made in the graph itself.
LT_API lt_status lt_graph_set_mode(lt_graph *g, bool train);
typedef struct lt_graph_join {
    lt_val input, output; // of the graph that is copied: `to` takes the place of `input`
    lt_val to;            // of the graph that grows
    const char *prefix;   // of the names of its other inputs, parameters and statistics
} lt_graph_join;
// Copies the nodes of `from` into g; returns its `output` in g. Parameters and statistics are appended to the slabs in
// their order, without gaps.
LT_API lt_val lt_graph_append(lt_graph *g, const lt_graph *from, const lt_graph_join *join);

// ---- leaves
LT_API lt_val lt_input(lt_graph *g, const char *name, lt_dtype dtype, lt_shape shape); // filled before each run
LT_API lt_val lt_param(lt_graph *g, const char *name, lt_shape shape);                 // a range of the parameter slab
LT_API lt_val lt_state(lt_graph *g, const char *name, lt_shape shape); // kept with the model, not trained
#define LT_SHAPE(...) ((lt_shape){(int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), {__VA_ARGS__}})

// ---- ops. Dims: x (N,C,H,W), y (N,K,H',W'), H' = floor((H + 2 pad - dilation (R - 1) - 1) / stride) + 1.
typedef struct lt_conv_attr {
    int32_t stride, pad, groups; // groups: 0 or 1 = one; more run on the reference kernels
    lt_pad_mode pad_mode;        // circular and reflect become a pad2d node and a convolution without padding
    int32_t dilation;            // pixels from one tap of the filter to the next; 0 or 1 = neighbours
} lt_conv_attr;
LT_API lt_val lt_conv2d(lt_graph *g, lt_val x, lt_val w, lt_val bias,
                        lt_conv_attr attr); // w (K,C/groups,R,S); bias (K) or LT_NONE
LT_API lt_val lt_pad2d(lt_graph *g, lt_val x, int32_t pad, lt_pad_mode mode);

typedef struct lt_bn_args {
    lt_val gamma, beta;               // PARAM (C)
    lt_val running_mean, running_var; // STATE (C)
    float eps, momentum; // PyTorch meaning: running = (1-momentum)*running + momentum*batch, unbiased variance
} lt_bn_args;
// Train plans use batch statistics (biased variance) and update the running ones; eval plans use the running ones.
LT_API lt_val lt_batch_norm(lt_graph *g, lt_val x, lt_bn_args bn);
LT_API lt_val lt_relu(lt_graph *g, lt_val x); // gradient at 0 is 0
LT_API lt_val lt_add(lt_graph *g, lt_val a, lt_val b);
LT_API lt_val lt_scale(lt_graph *g, lt_val x, float alpha);
// x rounded to 2^bits levels from 0; step (1): the step (LSQ) or the largest level (PACT), learned.
typedef enum lt_act_rule { LT_ACT_RULE_LSQ, LT_ACT_RULE_PACT } lt_act_rule;
LT_API lt_val lt_act_quant(lt_graph *g, lt_val x, lt_val step, int bits, lt_act_rule rule);
// The same behind a value that is made already: all nodes that read v read the result in its place.
LT_API lt_val lt_graph_quantize_value(lt_graph *g, lt_val v, lt_val step, int bits, lt_act_rule rule);
// y[n,c,h,w] = (x - mean[c]) / std[c]; constants of the model. mean, std: C floats, copied.
LT_API lt_val lt_normalize(lt_graph *g, lt_val x, const float *mean, const float *std);
LT_API lt_val lt_avg_pool2d(lt_graph *g, lt_val x, int32_t kernel, int32_t stride);
LT_API lt_val lt_max_pool2d(lt_graph *g, lt_val x, int32_t kernel, int32_t stride);
LT_API lt_val lt_global_avg_pool(lt_graph *g, lt_val x);            // (N,C,H,W) -> (N,C)
LT_API lt_val lt_flatten(lt_graph *g, lt_val x);                    // (N,...) -> (N, product)
LT_API lt_val lt_linear(lt_graph *g, lt_val x, lt_val w, lt_val b); // x (N,C), w (K,C), b (K) or LT_NONE -> (N,K)
LT_API lt_val lt_softmax(lt_graph *g, lt_val logits);               // (N,K)
LT_API lt_val lt_log_softmax(lt_graph *g, lt_val logits);           // (N,K)
LT_API lt_val lt_concat(lt_graph *g, lt_val a, lt_val b);           // channels of a (N,C,H,W), then those of b
LT_API lt_val lt_pad_channels(lt_graph *g, lt_val x, int64_t before, int64_t after); // channels of zeros around x
// Per-sample losses (N). labels (N) I32; smoothing in [0,1): target = (1-s)*onehot + s/K.
LT_API lt_val lt_cross_entropy(lt_graph *g, lt_val logits, lt_val labels, float smoothing);
LT_API lt_val lt_cross_entropy_soft(lt_graph *g, lt_val logits,
                                    lt_val target); // target (N,K) distributions; not differentiated
// T^2 * KL(softmax(target/T) || softmax(logits/T)) per sample; target logits (N,K) not differentiated.
LT_API lt_val lt_kl_div(lt_graph *g, lt_val logits, lt_val target_logits, float temperature);
// The same value, differentiated with respect to both logits.
LT_API lt_val lt_kl_pair(lt_graph *g, lt_val logits, lt_val target_logits, float temperature);
LT_API lt_val lt_margin_loss(lt_graph *g, lt_val logits, lt_val labels); // max_{k!=y} z_k - z_y per sample (N)
// sum_n weight[n] * x[n] -> scalar (1). x (N), weight (N) INPUT. The mean is weight = 1/N; padding rows have weight 0.
LT_API lt_val lt_weighted_sum(lt_graph *g, lt_val x, lt_val weight);
// ---- time: values of T rows per sample. Ops without state see N*T independent rows.

// How a neuron's membrane potential u and spikes s evolve; the semantics are not interchangeable, so they have names
// (docs/methods/spiking.md, equations 1 to 7). x: input current, H: step function.
typedef enum lt_neuron {
    LT_NEURON_SUBTRACT_DELAYED,   // u = decay u' + x - threshold s',        s = [u > threshold]: snnTorch, subtract
    LT_NEURON_SUBTRACT_BETATHETA, // u = decay (u' - threshold s') + x,      s = [u > threshold]
    LT_NEURON_ZERO_IMMEDIATE,     // u = decay u' (1 - s') + x,              s = [u > threshold]: snnTorch 1.0, zero
    LT_NEURON_ZERO_DELAYED,       // u = (1 - s') (decay u' + x),            s = [u > threshold]: early snnTorch, zero
    LT_NEURON_SJ_LIF,             // v = u' (1 - s'), u = v + (x - v) / tau, s = [u >= threshold]; decay = 1 / tau
    LT_NEURON_SJ_LIF_SOFT,        // v = u' - threshold s', u as above,      s = [u >= threshold]
    LT_NEURON_SJ_IF,              // u = u' (1 - s') + x,                    s = [u >= threshold]
    LT_NEURON_SJ_IF_SOFT,         // u = u' - threshold s' + x,              s = [u >= threshold]
    LT_N_NEURONS
} lt_neuron;
typedef enum lt_surrogate {    // ds/du in the backward pass, v = u - threshold, a = surrogate_scale
    LT_SURROGATE_ATAN,         // (a/2) / (1 + (pi a v / 2)^2), a = 2
    LT_SURROGATE_FAST_SIGMOID, // 1 / (1 + a |v|)^2, a = 25
    LT_SURROGATE_RECTANGLE,    // 1 / a where |v| < a / 2, a = 1
    LT_SURROGATE_SIGMOID,      // a q (1 - q), q = 1 / (1 + exp(-a v)), a = 4
    LT_N_SURROGATES
} lt_surrogate;
typedef struct lt_neuron_attr {
    int32_t kind, surrogate; // lt_neuron, lt_surrogate
    float threshold, decay;  // decay: beta of the first four, 1 / tau of SJ_LIF
    float surrogate_scale;   // 0 = the default of the surrogate
    bool reset_gradient;     // gradients flow through the reset too; false = it is detached
    bool smooth; // s is the integral of the surrogate instead of a step: gradients become exact. For gradient checks.
} lt_neuron_attr;
LT_API const char *lt_neuron_name(int32_t kind); // "subtract-delayed", ...; NULL beyond the last one
LT_API const char *lt_surrogate_name(int32_t surrogate);
LT_API float lt_surrogate_scale(const lt_neuron_attr *a); // with the default put in
// x (N*T,...) -> spikes (N*T,...), u[-1] = 0 before every sample. p (1): PARAM or LT_NONE, learns the decay: beta =
// clamp(decay + p, 0, 1), or 1 / tau = sigmoid(logit(decay) + p), so 0 is the configured one. membrane: receives u, not
// differentiable; NULL = not wanted.
LT_API lt_val lt_lif(lt_graph *g, lt_val x, lt_val p, int32_t steps, lt_neuron_attr attr, lt_val *membrane);
LT_API lt_val lt_repeat_steps(lt_graph *g, lt_val x, int32_t steps);           // (N,...) -> (N*T,...); labels too
LT_API lt_val lt_sum_steps(lt_graph *g, lt_val x, int32_t steps, float alpha); // (N*T,...) -> (N,...), alpha * sum
LT_API lt_val lt_step_scale(lt_graph *g, lt_val x, lt_val p, int32_t steps);   // row n*T+t times p[t]; p (T)
LT_API lt_val lt_split_steps(lt_graph *g, lt_val x, int32_t steps);            // (N,T*C,H,W) -> (N*T,C,H,W): a view
// Bernoulli spikes with probability x (clamped to [0,1]): a function of the sample's own content, place, t and seed, so
// that a sample has the same spikes in every batch. The gradient is that of the expectation.
LT_API lt_val lt_rate_code(lt_graph *g, lt_val x, int32_t steps, uint64_t seed);
LT_API lt_val lt_layer_normalize(lt_graph *g, lt_val x,
                                 float eps); // over all dimensions but the first, biased variance
// Training plans drop elements with probability p and scale the others by 1 / (1 - p); counter: STATE (1), the number
// of runs so far, from which the mask follows. seed tells layers apart.
LT_API lt_val lt_dropout(lt_graph *g, lt_val x, lt_val counter, float p, uint64_t seed);
// mean_k (z_k - target_k)^2 / T per sample, z (N,K) spike counts; target floor(0.8 T) of the class, floor(0.2 T) else.
LT_API lt_val lt_count_mse(lt_graph *g, lt_val counts, lt_val labels, int32_t steps);

LT_API lt_val lt_dot(lt_graph *g, lt_val a, lt_val b); // <a, b> over all elements -> scalar (1); for VJPs and tests

// ---- gradients as values: for losses made of gradients (double backward). Plans make ordinary gradients themselves.
// grads[i] becomes d of / d wrt[i], or LT_NONE when `of` does not depend on wrt[i]. seed: cotangent of of's shape, or
// LT_NONE for a scalar. Batch norm has no mode yet here and is refused (LT_E_UNSUPPORTED), as are second derivatives
// that are missing; the error is also the graph's.
LT_API lt_status lt_gradients(lt_graph *g, lt_val of, lt_val seed, const lt_val *wrt, int n_wrt, lt_val *grads);

LT_END_DECLS
#endif
