// api.h - the boundary between lethe and the plug-in liblethe_cuda.so: plain C, no type of CUDA.
//
// Everything that can be decided without a GPU is on lethe's side: which kernel, which layout, what is copied when.
// The plug-in only does what needs the driver: memory, queued work, recordings, cuDNN and cuBLASLt. It uses no symbol
// of lethe, so it can be loaded into any build of the same LTC_VERSION. Tests load another library behind the same
// table, which runs the same kernel bodies on the host.
//
// Functions return LTC_OK or another code; after another one, error() is the text (of the calling thread).
#ifndef LT_CUDA_API_H
#define LT_CUDA_API_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LTC_VERSION = 4, LTC_MAX_TENSORS = 9, LTC_MAX_SIZES = 16, LTC_MAX_NUMBERS = 12 };

typedef enum ltc_code {
    LTC_OK,
    LTC_NO_DRIVER,   // no NVIDIA driver, or one too old for this plug-in
    LTC_NO_DEVICE,   // a driver, but no GPU of that number
    LTC_NO_MEMORY,   // on the device
    LTC_UNSUPPORTED, // this library has no such convolution
    LTC_FAILED
} ltc_code;

// One argument of a kernel: real elements as float, or rounded to bfloat16.
typedef struct ltc_tensor {
    void *p;
    int32_t bf16;
} ltc_tensor;

// What a kernel body gets; each body states what it reads. By value, so a captured graph keeps it.
typedef struct ltc_args {
    ltc_tensor t[LTC_MAX_TENSORS];
    int32_t d[LTC_MAX_SIZES];
    float f[LTC_MAX_NUMBERS];
    uint64_t seed;
} ltc_args;

typedef enum ltc_kernel { // one function kernels/<file>.h: void ltc_<name>(const ltc_args *a, uint32_t i)
#define LTC_X(name) LTC_K_##name,
#include "kernels.list"
#undef LTC_X
    LTC_N_KERNELS
} ltc_kernel;

typedef enum ltc_pass { LTC_CONV, LTC_CONV_DX, LTC_CONV_DW } ltc_pass;

// A convolution of x (N,H,W,C) with w (K,R,S,C) to y (N,OH,OW,K), or one of its gradients. All images and w have the
// same element type. What follows is done at once where the library can: LTC_CONV adds a bias (K floats), an image like
// y, and takes the ReLU; LTC_CONV_DX adds an image like dx and masks the sum by that of a ReLU's output, like dx.
typedef struct ltc_conv_shape {
    ltc_pass pass;
    int32_t n, c, h, w, k, r, s, oh, ow, stride, pad, dilation;
    bool bias, add, relu; // what follows
    bool bf16;            // else float
    bool tf32;            // products of floats may be rounded to tf32
    bool tune;            // time the candidates; else take the library's first
} ltc_conv_shape;

typedef enum ltc_conv_tensor {
    LTC_IN0, // inputs of a pass in order: x, w; dy, w; x, dy
    LTC_IN1,
    LTC_OUT,
    LTC_WORKSPACE,
    LTC_BIAS, // of what follows, where that is done at once
    LTC_ADDED,
    LTC_MASK,
    LTC_CONV_TENSORS
} ltc_conv_tensor;

typedef struct ltc_conv_made {
    void *conv; // for conv_run, freed by conv_free
    size_t workspace_bytes;
    bool finishes; // conv_run also does what follows
    double us;     // 0: not timed
    char impl[64]; // "cudnn fwd algo 1 tensor-op"
    char log[128]; // candidates and their times
} ltc_conv_made;

// D (m,n) = op(A) op(B), all row-major floats that begin anywhere. ta: A is stored (k,m), tb: B is stored (n,k).
typedef struct ltc_gemm_shape {
    int32_t m, n, k;
    bool ta, tb, tf32;
} ltc_gemm_shape;

typedef struct ltc_info {
    char name[128];       // of the GPU
    char version[96];     // "CUDA 13.0, cuDNN 9.13, cuBLASLt 13.1"
    int32_t major, minor; // compute capability
    int32_t n_devices;
    size_t total_bytes;
} ltc_info;

typedef struct ltc_device ltc_device; // one GPU with its own queue
typedef struct ltc_api {
    int version; // LTC_VERSION
    const char *(*error)(void);
    // sibling: another queue of this GPU, or NULL. Work of both may use the same memory, and either may release it.
    int (*open)(int index, ltc_device *sibling, ltc_device **dev, ltc_info *info);
    void (*close)(ltc_device *dev);

    int (*alloc)(ltc_device *dev, size_t bytes, void **p); // zeroed
    void (*release)(ltc_device *dev, void *p);
    int (*host_alloc)(ltc_device *dev, size_t bytes, void **p); // zeroed, page-locked
    void (*host_release)(ltc_device *dev, void *p);
    int (*memory)(ltc_device *dev, size_t *free_bytes, size_t *total_bytes);

    // Queued, in order.
    int (*upload)(ltc_device *dev, void *device, const void *host, size_t bytes);
    int (*download)(ltc_device *dev, void *host, const void *device, size_t bytes);
    int (*zero)(ltc_device *dev, void *p, size_t bytes);
    int (*copy)(ltc_device *dev, void *to, const void *from, size_t bytes);
    int (*launch)(ltc_device *dev, ltc_kernel kernel, const ltc_args *args, uint32_t n); // body for 0..n-1
    int (*conv_run)(ltc_device *dev, const void *conv, void *const *tensor);             // by ltc_conv_tensor
    int (*gemm_run)(ltc_device *dev, const void *gemm, const float *a, const float *b, float *d, void *workspace);
    int (*sync)(ltc_device *dev);

    // LTC_UNSUPPORTED: the library cannot.
    int (*conv_make)(ltc_device *dev, const ltc_conv_shape *shape, ltc_conv_made *made);
    void (*conv_free)(ltc_device *dev, void *conv);
    int (*gemm_make)(ltc_device *dev, const ltc_gemm_shape *shape, void **gemm, size_t *workspace_bytes);
    void (*gemm_free)(ltc_device *dev, void *gemm);

    int (*capture_begin)(ltc_device *dev);
    int (*capture_end)(ltc_device *dev, void **captured);
    int (*captured_launch)(ltc_device *dev, void *captured);
    void (*captured_free)(ltc_device *dev, void *captured);
} ltc_api;

// The one symbol of the plug-in.
#define LTC_ENTRY "ltc_plugin"
typedef const ltc_api *ltc_entry(void);
#endif
