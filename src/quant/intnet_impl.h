// intnet_impl.h - the layers of an integer network.
#ifndef LT_INTNET_IMPL_H
#define LT_INTNET_IMPL_H
#include "lethe/intnet.h"
#include "quant/quant_impl.h"

enum { LTI_INT_MAX_TERMS = 12, LTI_INT_MAX_LAYERS = 128, LTI_INT_MAX_TENSORS = 160 };

typedef enum lti_int_type { LTI_INT_U8, LTI_INT_I16, LTI_INT_I32 } lti_int_type;
typedef struct lti_int_tensor { // (h,w,c) integers, value = scale * integer
    lti_int_type type;
    int64_t h, w, c;
    int32_t largest; // of its integers' sizes
    double scale;
    int64_t offset, bytes; // place in the memory of activations
    int first, last;       // layers that make and last read it
} lti_int_tensor;

typedef enum lti_int_coding {
    LTI_INT_MIDRISE,
    LTI_INT_MIDTREAD,
    LTI_INT_BIT,
    LTI_INT_SIGNED8,
    LTI_INT_ONES
} lti_int_coding;
typedef struct lti_int_weights { // (k, r, s, c) integers
    const char *name;            // of the tensor of the model
    lti_int_coding coding;
    int bits, bit; // stored bits; bit: which one (LTI_INT_BIT)
    int64_t k, r, s, c;
    int16_t *w;
    int8_t *w8; // lti_int_layout of the rows, NULL when they do not fit
    int64_t kp;
    int32_t largest;
    const float *values; // of the model file, (k,c,r,s)
} lti_int_weights;

typedef struct lti_int_term { // M * (weights o source), or M * source
    int source;
    lti_int_weights *weights; // NULL = the source itself
    int stride, pad;
    int32_t *mul; // (table_steps, k)
    double *real; // (k) multiplier before it was made an integer
} lti_int_term;

typedef enum lti_int_kind {
    LTI_INT_AFFINE,
    LTI_INT_LOGITS, // adds to the logits at every step
    LTI_INT_SUM_POOL,
    LTI_INT_MAX_POOL,
    // ---- of spiking networks
    LTI_INT_CURRENT,    // an affine layer with signed results
    LTI_INT_NEURON,     // an affine layer whose results are the currents of neurons
    LTI_INT_LAYER_NORM, // over all of a tensor
    LTI_INT_COUNT       // adds a tensor of spikes to the logits
} lti_int_kind;
enum {
    LTI_INT_CURRENT_MAX = 1 << 20,   // currents that are stored saturate here
    LTI_INT_CURRENT_UNITS = 1 << 18, // integer of the largest current of the calibration
    LTI_INT_THRESHOLD = 1 << 16,
    LTI_INT_STATE_BITS = 28,
    LTI_INT_NORM_MAX = 1 << 27 // results of a layer norm saturate here; 1.0 is LTI_INT_THRESHOLD
};
typedef struct lti_int_layer {
    lti_int_kind kind;
    char name[96];
    int n_terms, target; // target: tensor; -1 for logits
    lti_int_term term[LTI_INT_MAX_TERMS];
    int64_t k, h, w;
    int shift, bits; // of an affine layer
    int table_steps; // tables of their own for every step: steps, or 1
    int64_t *add;    // (table_steps, k) offset, half a unit included
    double *real_add;
    int source, kernel, stride, pad; // pools; source: of layer norm and count too
    bool once;                       // its source is the same at every step: computed at the first one only
    int state, ordinal;              // tensor of potentials, -1; which of the layers of neurons it is
    lt_int_neuron neuron;
    int64_t eps; // of layer norm, in squares of the unit of its source
} lti_int_layer;

struct lt_int_net {
    lti_arena arena;
    lt_model_shape shape;
    lti_int_tensor tensor[LTI_INT_MAX_TENSORS];
    int n_tensors;
    lti_int_layer layer[LTI_INT_MAX_LAYERS];
    int n_layers;
    bool has_time;        // a spiking network
    int n_steps;          // of time; 1 without
    int n_neurons;        // layers of neurons
    bool frames;          // a clip: channels of one step after the other
    int16_t lut[3 * 256]; // input byte to integer, per channel; identity without a normalisation
    bool has_lut;
    int64_t memory_bytes, scratch_bytes, float_bytes;
    const lt_model *model; // borrowed: float values for the simulation
};

enum { LTI_INT_LANES = 16 };
// rows (k,kp) of weights as blocks of 16 channels: (block, kp/4, 16, 4), zeros where there is no channel.
void lti_int_layout(const int8_t *rows, int64_t k, int64_t kp, int8_t *out);
// A convolution whose windows are read where they lie, and what becomes of its sums.
typedef struct lti_int_conv {
    const uint8_t *x;             // source with its zeros around it
    int64_t line, step, row_step; // bytes: of a row of the source; from a window to the next; to the row below
    int64_t r, span;              // rows of a window; bytes of one, a multiple of 4
    const int8_t *weights;        // order of lti_int_layout
    int64_t k, kp, h, w;          // channels; bytes of a window; places
    int inner;                    // pair sums that can be added in 16 bits; 0 = none
} lti_int_conv;
typedef struct lti_int_end { // out = clamp((mul acc + (sum or add) + same_mul same) >> shift, 0, top)
    const int32_t *mul, *same_mul;
    const int64_t *add, *sum; // (k); (h,w,k) in the place of it, or NULL
    const uint8_t *same;      // (h,w,k) of a shortcut, or NULL
    int shift;
    int64_t top;
    uint8_t *out;
} lti_int_end;
void lti_int_conv_avx2(const lti_int_conv *c, const lti_int_end *e);
void lti_int_conv_vnni(const lti_int_conv *c, const lti_int_end *e);

typedef struct lti_int_kernel {
    const char *name;
    // acc[i][k] = sum_j a[i][j] w[k][j]; a (n,kp) unsigned, kp a multiple of 4; w in the order of lti_int_layout.
    // inner: pair sums that can be added in 16 bits.
    void (*gemm)(const uint8_t *a, int64_t n, const int8_t *w, int64_t k, int64_t kp, int inner, int32_t *acc);
    void (*add_term)(int64_t *sum, const int32_t *acc, const int32_t *mul, int64_t n, int64_t k); // sum += mul[k] acc
    void (*finish)(const int64_t *sum, int64_t n, int shift, int64_t top, uint8_t *out); // clamp(sum >> shift, 0, top)
    void (*conv)(const lti_int_conv *c, const lti_int_end *e); // NULL = by gemm, add_term and finish
} lti_int_kernel;
extern const lti_int_kernel lti_int_kernel_c, lti_int_kernel_avx2, lti_int_kernel_vnni;
const lti_int_kernel *lti_int_kernel_best(void);

void lti_int_pack(const uint8_t *codes, int64_t n, int bits, uint8_t *out); // little-endian, element 0 in the low bits
void lti_int_unpack(const uint8_t *packed, int64_t n, int bits, uint8_t *codes);
static inline int64_t lti_packed_bytes(int64_t n, int bits)
{
    return (n * bits + 7) / 8;
}
// Code that is stored for integer w of a weight tensor, and its width.
int lti_int_code(const lti_int_weights *w, int16_t value);
int lti_int_code_bits(const lti_int_weights *w);
// ---- spiking networks (int_neuron.c)
static inline int64_t lti_floor_shift(int64_t v, int shift) // floor(v / 2^shift)
{
    return v < 0 ? -1 - ((-1 - v) >> shift) : v >> shift;
}
static inline int64_t lti_floor_div(int64_t v, int64_t by) // by > 0
{
    return v < 0 ? -1 - (-1 - v) / by : v / by;
}
static inline int64_t lti_saturate(int64_t v, int64_t bound) // to [-bound, bound]
{
    return v > bound ? bound : v < -bound ? -bound : v;
}
int64_t lti_isqrt(int64_t v); // floor(sqrt(v))
// One step of n neurons; returns how many potentials saturated.
int64_t lti_int_neuron_step(const lt_int_neuron *neuron, int64_t n, const int32_t *x, int32_t *u, uint8_t *s);
void lti_int_layer_norm(const int32_t *x, int64_t n, int64_t eps, int32_t *y); // [SPIKE 19]
// Integer of one place of a term, bounds by padding; acc over the kernel window: reference.
int32_t lti_int_acc(const lt_int_net *net, const lti_int_term *t, const void *source, int64_t y, int64_t x, int64_t k);
// ---- making a network
// largest, by value of the graph: the largest activation of each float ReLU on some training images.
lt_status lti_int_calibrate(const lt_model *m, const lt_dataset *ds, const lt_env *env, float *largest);
void lti_int_place_tensors(lt_int_net *net); // offsets of all tensors, memory_bytes and scratch_bytes
#endif
