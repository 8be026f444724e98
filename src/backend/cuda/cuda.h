// cuda.h - what the files of the CUDA backend share.
//
// A node becomes a program: a few calls of kernels, of the convolution library and of the matrix product, whose
// pointers are filled in when it runs. Binding is all data, so it can be read, and tested, without a GPU.
#ifndef LT_CUDA_H
#define LT_CUDA_H
#include "backend/cuda/api.h"
#include "graph/backend.h"

typedef enum lti_precision { LTI_CUDA_F32, LTI_CUDA_TF32, LTI_CUDA_BF16 } lti_precision;

typedef struct lti_cuda { // what lt_backend.self points to
    const ltc_api *api;
    ltc_device *dev;
    ltc_info info;
    int index;
    lti_precision precision;
    bool
        tune; // convolutions by timing, which may choose otherwise in another process, instead of by the library's rule
    bool own_conv;    // no convolution library
    lt_status failed; // of a call that could not report it; the next sync does
    lt_error failure;
} lti_cuda;

// Turns a code of the plug-in into a status with a message; LT_OK for LTC_OK.
lt_status lti_cuda_check(const lti_cuda *cu, int code, const char *doing);
// LT_E_UNSUPPORTED with one clear line when the plug-in is missing, broken or of another version.
lt_status lti_cuda_load(const ltc_api **api);
extern const lt_device_ops lti_cuda_device;

// ---- programs
enum { LTI_CUDA_MAX_CALLS = 6 };
typedef enum lti_cuda_from { LTI_FROM_NOWHERE, LTI_FROM_ARG, LTI_FROM_SCRATCH, LTI_FROM_PREPARED } lti_cuda_from;
typedef enum lti_cuda_kind { LTI_CALL_KERNEL, LTI_CALL_CONV, LTI_CALL_GEMM } lti_cuda_kind;

typedef struct lti_cuda_slot { // where the pointer of one tensor comes from
    lti_cuda_from from;
    int arg;
    size_t offset;
} lti_cuda_slot;

// Tensors of a convolution of the library: by ltc_conv_tensor; of a matrix product: a, b, d, workspace.
typedef struct lti_cuda_call {
    lti_cuda_kind kind;
    ltc_kernel kernel;
    uint32_t n;
    ltc_args args;
    lti_cuda_slot slot[LTC_MAX_TENSORS];
} lti_cuda_call;

typedef struct lti_cuda_program {
    lti_cuda *cu;
    int n_prepare, n_calls; // the first n_prepare belong to lt_kernel.prepare
    lti_cuda_call call[LTI_CUDA_MAX_CALLS];
    void *conv, *gemm; // of the library
} lti_cuda_program;

// ---- binding
typedef struct lti_cuda_bind {
    lti_cuda *cu;
    const lt_bind_in *in;
    lt_kernel *k;
    lti_cuda_program *program;
} lti_cuda_bind;
typedef lt_status lti_cuda_binder(lti_cuda_bind *b);
lti_cuda_binder lti_cuda_conv, lti_cuda_conv_dw;
lti_cuda_binder lti_cuda_map, lti_cuda_scale_by, lti_cuda_normalize, lti_cuda_channel_broadcast;
lti_cuda_binder lti_cuda_channel_sum, lti_cuda_dot;
lti_cuda_binder lti_cuda_bn_train, lti_cuda_bn_affine, lti_cuda_bn_grad, lti_cuda_bn_fold;
lti_cuda_binder lti_cuda_pool, lti_cuda_max_pool_at, lti_cuda_global_pool, lti_cuda_pad;
lti_cuda_binder lti_cuda_linear;
lti_cuda_binder lti_cuda_rows, lti_cuda_mul_rows;

lt_status lti_cuda_program_bind(lti_cuda *cu, const lt_bind_in *in, lti_cuda_binder *binder, lt_kernel *k);
lt_layout lti_cuda_image(const lti_cuda *cu); // the layout of activations
int64_t lti_cuda_count(const lt_shape *s, int from);
// Layout of argument i: that of activations for 4-d values, else plain. Before lti_cuda_arg.
void lti_cuda_as_image(lti_cuda_bind *b, int i);
// All 4-d arguments have the layout of the first input that is not plain.
void lti_cuda_as_inputs(lti_cuda_bind *b);
lti_cuda_call *lti_cuda_add(lti_cuda_bind *b, ltc_kernel kernel, int64_t n);
void lti_cuda_arg(const lti_cuda_bind *b, lti_cuda_call *c, int tensor, int arg);
void lti_cuda_at(lti_cuda_call *c, int tensor, lti_cuda_from from, size_t offset, bool bf16);
size_t lti_cuda_scratch(lti_cuda_bind *b, int64_t elements, size_t size); // offset of new scratch
int64_t lti_cuda_parts(int64_t rows, int64_t columns);                    // into how many parts rows are cut
#endif
