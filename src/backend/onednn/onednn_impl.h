// onednn_impl.h - what the files of the oneDNN backend share.
#ifndef LT_ONEDNN_IMPL_H
#define LT_ONEDNN_IMPL_H
#include "backend/onednn/dnnl_shim.h"
#include "backend/onednn/kern.h"
#include "graph/backend.h"

typedef struct lti_tune lti_tune;

// ---- scratch of our own kernels: a piece for each thread, then what they share
static inline float *lti_thread_scratch(const lt_kernel *k, int64_t thread, void *scratch)
{
    return (float *)(void *)((char *)scratch + (size_t)thread * k->thread_stride);
}

static inline float *lti_shared_scratch(const lt_kernel *k, void *scratch)
{
    return lti_thread_scratch(k, k->threads, scratch);
}

enum { LTI_PAGE_FLOATS = 1024 }; // pieces of different threads do not meet in a page

static inline void lti_plan_scratch(lt_kernel *k, int n_threads, size_t own_floats, size_t shared_floats)
{
    k->threads = own_floats ? n_threads : 0;
    k->thread_stride = (own_floats + LTI_PAGE_FLOATS - 1) / LTI_PAGE_FLOATS * LTI_PAGE_FLOATS * sizeof(float);
    k->scratch_bytes = (size_t)k->threads * k->thread_stride + shared_floats * sizeof(float);
}

// What lt_backend.self points to. Read-only after open except the tuning table, which has its own lock.
typedef struct lti_dn {
    dnnl_engine_t engine;
    int n_threads;
    const lti_kern *kern;
    const struct lti_wino_kern *wino_bf16; // its functions on bf16
    lti_tune *tune;
} lti_dn;

// The data of one of our own kernels: dimensions of the blocked tensor it walks over.
typedef struct lti_blk {
    const lti_kern *kern;
    int n_threads;
    int64_t n, c, cb, h, w, px; // cb = ceil(c / 16), px = h * w
    int64_t oh, ow;             // pooling and padding: the other side
    int64_t parts, part_px;     // a plane is cut into parts of at most part_px pixels, a function of the shape alone
    int64_t group;              // neighbouring channel blocks one thread takes together
    int64_t count;              // elementwise: floats
    int64_t units;              // partial results per channel block: n * parts
    int64_t *map;               // padding: source row/column of each padded one, or -1
    int n_in;                   // inputs of the node
    lt_attr attr;
} lti_blk;

// Allocates k->data for a kernel walking over `shape` (N,C,H,W) and sets k->destroy.
lt_status lti_blk_create(const lti_dn *dn, const lt_bind_in *in, const lt_shape *shape, lt_kernel *k);
void lti_blk_impl(lt_kernel *k, const lti_blk *d, const char *what); // fills k->impl
bool lti_blk_fits(const lt_bind_in *in, int i); // is argument i one that a blocked kernel should take?

// One binder per op family; LT_E_UNSUPPORTED without an error record leaves the node to the reference backend.
typedef lt_status lti_binder(lti_dn *dn, const lt_bind_in *in, lt_kernel *k);
lti_binder lti_bind_conv, lti_bind_bn_train, lti_bind_bn_apply, lti_bind_bn_train_dx, lti_bind_bn_eval,
    lti_bind_bn_eval_dx;
lti_binder lti_bind_relu, lti_bind_relu_dx, lti_bind_add, lti_bind_add_relu_dx, lti_bind_scale, lti_bind_normalize,
    lti_bind_channel_sum;
lti_binder lti_bind_pool, lti_bind_gap, lti_bind_pad, lti_bind_linear, lti_bind_act_quant;
lti_binder lti_bind_lif, lti_bind_lif_dx, lti_bind_layer_norm, lti_bind_repeat_steps; // blk_time.c

void lti_blk_reorder(const lti_dn *dn, const lt_shape *shape, lt_layout from, const void *src, lt_layout to, void *dst);

// ---- tuning: which of oneDNN's implementations to take for a convolution; tune.c
typedef enum lti_algorithm { // first oneDNN's, then our own; bf16: f32 tensors, products of values rounded to bf16
    LTI_DIRECT,
    LTI_DNNL_WINOGRAD,
    LTI_DIRECT_BF16,
    LTI_OWN_WINOGRAD,
    LTI_OWN_WINOGRAD_BF16,
    LTI_OWN_STEM,
    LTI_OWN_POINTWISE,
    LTI_N_ALGORITHMS
} lti_algorithm;
typedef struct lti_choice {
    lti_algorithm algorithm;
    bool free_layout; // activations in the implementation's own layout, converted by us
    int index;        // in the order in which oneDNN offers implementations, each name counted once
    char impl[64];
    double us;
    char log[128]; // candidates and their times
} lti_choice;
lt_status lti_tune_open(const char *id, lti_tune **tune); // id names processor, library version and threads
void lti_tune_close(lti_tune *tune);
// Are choices kept from one process to the next? If not, timing must not decide, or equal seeds would give unequal
// bits. To be called between begin and end.
bool lti_tune_persistent(const lti_tune *tune);
// Between begin and end no other thread or process chooses. lti_tune_get is false when the key is unknown.
lt_status lti_tune_begin(lti_tune *tune, const char *key);
bool lti_tune_get(const lti_tune *tune, const char *key, lti_choice *choice);
// *stored false: it could not be written and is forgotten.
lt_status lti_tune_put(lti_tune *tune, const char *key, const lti_choice *choice, bool *stored);
void lti_tune_end(lti_tune *tune); // only after a begin that succeeded

// ---- convolution: conv.c makes a kernel of one implementation, conv_select.c decides which
typedef struct lti_conv_shape {
    lti_conv_pass pass;
    dnnl_dim_t n, c, h, w, k, r, s, oh, ow, stride, pad, dilation;
    bool bias, relu;
    bool residual, mask; // what is made is finished: conv_epilogue.c
    bool masked;         // the residual is 0 where the mask is
    bool constant;       // the weights stay the same for many runs
    bool bf16;           // products of bf16 are allowed
    bool direct;         // no Winograd
    bool own;            // no Winograd of oneDNN's
    lt_layout x_layout, y_layout;
} lti_conv_shape;
lti_conv_shape lti_conv_shape_of(const lt_bind_in *in);
lt_status lti_conv_pd(const lti_dn *dn, const lti_conv_shape *shape, const lti_choice *choice,
                      dnnl_primitive_desc_t *pd);
lt_status lti_conv_make(const lti_dn *dn, const lti_conv_shape *shape, const lti_choice *choice, lt_kernel *k);
// The shape without what comes after the convolution, for kernels that cannot do it.
lti_conv_shape lti_conv_without_epilogue(const lti_conv_shape *shape);
// Makes *k, a kernel of the unfinished shape, one of `shape`: it adds, masks and cuts off in place afterwards. Owns *k
// as it was. conv_epilogue.c
lt_status lti_conv_epilogue_make(const lti_dn *dn, const lti_conv_shape *shape, size_t count, lt_kernel *k);
// Our own: Winograd, wino.c; the image gradient of a first layer, stem.c; 1x1 filters, conv_1x1.c.
bool lti_wino_fits(const lti_conv_shape *shape);
lt_status lti_wino_make(const lti_dn *dn, const lti_conv_shape *shape, bool bf16, lt_kernel *k);
bool lti_stem_fits(const lti_dn *dn, const lti_conv_shape *shape);
lt_status lti_stem_make(const lti_dn *dn, const lti_conv_shape *shape, lt_kernel *k);
bool lti_conv_1x1_fits(const lti_dn *dn, const lti_conv_shape *shape);
bool lti_conv_1x1_applies_epilogue(const lti_dn *dn,
                                   const lti_conv_shape *shape); // does it apply the epilogue itself, in place?
lt_status lti_conv_1x1_make(const lti_dn *dn, const lti_conv_shape *shape, lt_kernel *k);
// LT_E_UNSUPPORTED without a record when oneDNN has nothing. tune = false: the fixed rule.
void lti_conv_full_precision_first(lti_choice *c, int n); // candidates of f32 before those of bf16, else in order
lt_status lti_conv_select(const lti_dn *dn, const lti_conv_shape *shape, bool tune, lti_choice *choice);
// Parts of the batch, each a kernel of one thread: the same bits with any number of threads. one: a backend of one
// thread. The choice is the fixed rule's for a part. conv_batch_split.c
lt_status lti_batch_split_make(const lti_dn *one, int n_threads, const lti_conv_shape *shape, lt_kernel *k,
                               lti_choice *choice);
#endif
