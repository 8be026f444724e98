// plugin.h - what the files of liblethe_cuda.so share. They are C over the libraries' C interfaces; only launch.cu,
// which turns kernel bodies into kernels, is CUDA C++.
#ifndef LTC_PLUGIN_H
#define LTC_PLUGIN_H
#include "backend/cuda/api.h"
#include <cublasLt.h>
#include <cuda_runtime_api.h>
#include <cudnn.h>

typedef struct ltc_choice ltc_choice;

struct ltc_device {
    int index;
    cudaStream_t stream;
    cudnnHandle_t cudnn;
    cublasLtHandle_t lt;
    ltc_choice *choices; // of convolutions: equal shapes get equal engines, compiled and timed once
};

#ifdef __cplusplus
extern "C" {
#endif
int ltc_fail(int code, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int ltc_cuda(cudaError_t e, const char *what);    // LTC_OK, LTC_NO_MEMORY or LTC_FAILED, with the text kept
int ltc_cudnn(cudnnStatus_t s, const char *what); // also LTC_UNSUPPORTED

int ltc_alloc(ltc_device *dev, size_t bytes, void **p);
void ltc_release(ltc_device *dev, void *p);
int ltc_launch(ltc_device *dev, ltc_kernel kernel, const ltc_args *args, uint32_t n);
int ltc_conv_make(ltc_device *dev, const ltc_conv_shape *shape, ltc_conv_made *made);
void ltc_conv_free(ltc_device *dev, void *conv);
int ltc_conv_run(ltc_device *dev, const void *conv, void *const *tensor);
void ltc_choices_free(ltc_device *dev);
int ltc_gemm_make(ltc_device *dev, const ltc_gemm_shape *shape, void **gemm, size_t *workspace_bytes);
void ltc_gemm_free(ltc_device *dev, void *gemm);
int ltc_gemm_run(ltc_device *dev, const void *gemm, const float *a, const float *b, float *d, void *workspace);
#ifdef __cplusplus
}
#endif
#endif
