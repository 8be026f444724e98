// intnet.h - a quantized model as integers: inference without floating point, and what it exports to.
//
// Weights are integers times a scale per output channel: odd numbers 2c - (2^n - 1) with scale s/2 for the midrise
// grid, c - 2^(n-1) for the midtread one, one term per bit for learned multipliers, 8 bits per channel for layers that
// stayed float. Activations are unsigned. A layer is y = clamp((sum_t M_t acc_t + B) >> S, 0, 2^k - 1) with 64-bit
// products, one rounding and batch norm, shortcut and ReLU inside; tensors lie as (H,W,C). docs/methods/deployment.md
// has the formulas. A spiking network runs step by step: layers of integer neurons keep their potentials from one step
// to the next, and a clip is a sample of all its steps (docs/methods/spiking.md).
#ifndef LT_INTNET_H
#define LT_INTNET_H
#include "lethe/quant.h"
LT_BEGIN

typedef struct lt_int_net lt_int_net; // immutable once made: many threads may run it

typedef struct lt_int_info {
    int n_layers, n_classes;
    int n_steps;              // of time; 1 for a network without
    int n_neuron_layers;      // layers of integer neurons; 0 for a network without time
    int64_t macs;             // multiply-adds per image, over all steps as if spikes were dense
    int64_t weight_bytes;     // packed
    int64_t table_bytes;      // multipliers and offsets
    int64_t activation_bytes; // largest sum of tensors that are alive at once, input and potentials included
    int64_t state_bytes;      // of these, membrane potentials: what lives from step to step
    int64_t float_bytes;      // parameters and statistics of the model in float32
    const char *kernel;       // instruction set of the matrix products here: "avx512-vnni", "avx2", "c"
} lt_int_info;

// model: with the deployed weights; quant: its codes. Activations that were not rounded in training get 8 bits up to
// their largest value on training images of ds. LT_E_UNSUPPORTED names what has no integers: values of cells with
// spread, a reference column, an op.
LT_API lt_status lt_int_net_create(const lt_model *model, const lt_quant *quant, const lt_dataset *ds,
                                   const lt_env *env, lt_int_net **net);
LT_API void lt_int_net_destroy(lt_int_net *net);
LT_API void lt_int_net_info(const lt_int_net *net, lt_int_info *info);
LT_API char *lt_int_info_json(const lt_int_info *info); // malloc'ed, NULL = out of memory
// images (n,C,H,W) bytes; logits (n,K): integers, all of one scale. kernel: NULL = the best one of this machine, or
// "c".
LT_API lt_status lt_int_net_run(const lt_int_net *net, const uint8_t *images, int64_t n, int n_threads,
                                const char *kernel, int64_t *logits);
// The same by other means: convolutions in double over the float weights of the model file and dequantized activations.
// LT_E_INTEGRITY when an accumulator is no integer. Slow; for tests. spikes: as lt_int_net_spikes, may be NULL.
LT_API lt_status lt_int_net_simulate(const lt_int_net *net, const uint8_t *images, int64_t n, int64_t *logits,
                                     int64_t *spikes);
// lt_int_net_run on clips, and the spikes of every layer of neurons in each: spikes (n, n_neuron_layers), in the order
// of computation. LT_E_USAGE for a network without neurons.
LT_API lt_status lt_int_net_spikes(const lt_int_net *net, const uint8_t *clips, int64_t n, int n_threads,
                                   const char *kernel, int64_t *logits, int64_t *spikes);
// Accuracy on a split.
LT_API lt_status lt_int_net_evaluate(const lt_int_net *net, const lt_dataset *ds, lt_split split, int n_threads,
                                     double *acc, double *images_per_s);

// ---- integer neurons [SPIKE 16]
// Semantics of lt_neuron on integers. Products with the decay round to nearest, halves up, also below zero:
// D(v) = floor((decay v + 2^15) / 2^16), so beta = 1/2 is (v + 1) >> 1. The potential saturates at the bounds of `bits`
// (2 to 31) bits, signed.
typedef struct lt_int_neuron {
    int32_t kind;      // lt_neuron
    int32_t threshold; // in the unit of the currents, above 0
    int32_t decay;     // beta, or 1 / tau, times 65536: 0 to LT_INT_DECAY_ONE
    int bits;
} lt_int_neuron;
enum { LT_INT_DECAY_ONE = 1 << 16 };
// x, s (steps, n); u (n): potentials, zero before a sample. *n_saturated counts saturations, may be NULL.
LT_API void lt_int_neuron_run(const lt_int_neuron *neuron, int64_t steps, int64_t n, const int32_t *x, int32_t *u,
                              uint8_t *s, int64_t *n_saturated);

// `path` and its header (.c becomes .h): int lethe_predict(const uint8_t *image), C11 without dependencies, allocation
// or floating point.
LT_API lt_status lt_int_net_export_c(const lt_int_net *net, const char *path);
LT_API lt_status lt_int_net_export_onnx(const lt_int_net *net, const char *path); // QDQ, integers as INT8, opset 13
LT_API lt_status lt_int_net_export_packed(const lt_int_net *net,
                                          const char *path); // safetensors: packed codes and tables

LT_END_DECLS
#endif
