// launch.cu - kernel bodies as kernels: one thread an index.
#include "backend/cuda/kernels/all.h"
#include "backend/cuda/plugin/plugin.h"

enum { THREADS = 256, FEW_THREADS = 64, FEW = 132 * THREADS }; // few indices are spread over more multiprocessors

#define LTC_X(name)                                                                                                    \
    static __global__ void __launch_bounds__(THREADS) kernel_##name(const ltc_args a, uint32_t n)                      \
    {                                                                                                                  \
        const uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;                                                      \
        if (i < n)                                                                                                     \
            ltc_##name(&a, i);                                                                                         \
    }
#include "backend/cuda/kernels.list"
#undef LTC_X

typedef void kernel_function(const ltc_args, uint32_t);
static kernel_function *const kernels[] = {
#define LTC_X(name) kernel_##name,
#include "backend/cuda/kernels.list"
#undef LTC_X
};

int ltc_launch(ltc_device *dev, ltc_kernel kernel, const ltc_args *args, uint32_t n)
{
    const int code = ltc_cuda(cudaSetDevice(dev->index), "cudaSetDevice");
    if (code != LTC_OK)
        return code;
    if (kernel < 0 || kernel >= LTC_N_KERNELS || n == 0 || n > INT32_MAX) // i must not wrap around in the last block
        return ltc_fail(LTC_FAILED, "kernel %d with %u indices", (int)kernel, (unsigned)n);
    const uint32_t threads = n < FEW ? FEW_THREADS : THREADS;
    kernels[kernel]<<<(n + threads - 1) / threads, threads, 0, dev->stream>>>(*args, n);
    return ltc_cuda(cudaGetLastError(), "kernel launch");
}
