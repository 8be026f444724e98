// intnet.h - a quantized model as integers: inference without floating point, and what it exports to.
//
// Weights are integers times a scale per output channel: odd numbers 2c - (2^n - 1) with scale s/2 for the midrise
// grid, c - 2^(n-1) for the midtread one, one term per bit for learned multipliers, 8 bits per channel for layers that
// stayed float. Activations are unsigned. A layer is y = clamp((sum_t M_t acc_t + B) >> S, 0, 2^k - 1) with 64-bit
// products, one rounding and batch norm, shortcut and ReLU inside; tensors lie as (H,W,C). docs/methods/deployment.md
// has the formulas.
#ifndef LT_INTNET_H
#define LT_INTNET_H
#include "lethe/quant.h"
LT_BEGIN

typedef struct lt_int_net lt_int_net; // immutable once made: many threads may run it

typedef struct lt_int_info {
    int n_layers, n_classes;
    int64_t macs;             // multiply-adds per image
    int64_t weight_bytes;     // packed
    int64_t table_bytes;      // multipliers and offsets
    int64_t activation_bytes; // largest sum of tensors that are alive at once, input included
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
// LT_E_INTEGRITY when an accumulator is no integer. Slow; for tests.
LT_API lt_status lt_int_net_simulate(const lt_int_net *net, const uint8_t *images, int64_t n, int64_t *logits);
// Accuracy on a split.
LT_API lt_status lt_int_net_evaluate(const lt_int_net *net, const lt_dataset *ds, lt_split split, int n_threads,
                                     double *acc, double *images_per_s);

// `path` and its header (.c becomes .h): int lethe_predict(const uint8_t *image), C11 without dependencies, allocation
// or floating point.
LT_API lt_status lt_int_net_export_c(const lt_int_net *net, const char *path);
LT_API lt_status lt_int_net_export_onnx(const lt_int_net *net, const char *path); // QDQ, integers as INT8, opset 13
LT_API lt_status lt_int_net_export_packed(const lt_int_net *net,
                                          const char *path); // safetensors: packed codes and tables

LT_END_DECLS
#endif
