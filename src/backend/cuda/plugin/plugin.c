// plugin.c - cards, memory, copies and recordings over the CUDA runtime, and the table of the plug-in.
//
// All work of a device goes to one stream, so it runs in the order in which it was given. The runtime is linked
// statically: what has to be found at run time is the driver, cuDNN and cuBLASLt.
#include "backend/cuda/plugin/plugin.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static _Thread_local char message[256];

static const char *error(void)
{
    return message;
}

int ltc_fail(int code, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(message, sizeof message, fmt, args);
    va_end(args);
    return code;
}

int ltc_cuda(cudaError_t e, const char *what)
{
    if (e == cudaSuccess)
        return LTC_OK;
    (void)cudaGetLastError(); // an error that is reported here must not show up at the next call
    return ltc_fail(e == cudaErrorMemoryAllocation ? LTC_NO_MEMORY : LTC_FAILED, "%s: %s", what, cudaGetErrorString(e));
}

// ---- cards

// Why the runtime cannot talk to a driver, in the terms of somebody who could install one.
static int no_driver(cudaError_t e)
{
    int driver = 0, runtime = 0;
    (void)cudaGetLastError();
    if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0)
        return ltc_fail(LTC_NO_DRIVER, "libcuda.so.1 is missing (%s)", cudaGetErrorString(e));
    (void)cudaRuntimeGetVersion(&runtime);
    return ltc_fail(LTC_NO_DRIVER, "it is for CUDA %d.%d, this plug-in needs %d.%d (%s)", driver / 1000,
                    driver % 1000 / 10, runtime / 1000, runtime % 1000 / 10, cudaGetErrorString(e));
}

static int find_card(int index, ltc_info *info)
{
    int n = 0;
    struct cudaDeviceProp prop;
    const cudaError_t e = cudaGetDeviceCount(&n);
    if (e == cudaErrorNoDevice || (e == cudaSuccess && n == 0))
        return ltc_fail(LTC_NO_DEVICE, "this machine has none");
    if (e != cudaSuccess)
        return no_driver(e);
    if (index >= n)
        return ltc_fail(LTC_NO_DEVICE, "this machine has %d, counted from 0", n);
    const int code = ltc_cuda(cudaGetDeviceProperties(&prop, index), "cudaGetDeviceProperties");
    if (code != LTC_OK)
        return code;
    if (prop.major < 8)
        return ltc_fail(LTC_NO_DEVICE, "%.64s is sm_%d%d, sm_80 or newer is needed", prop.name, prop.major, prop.minor);
    snprintf(info->name, sizeof info->name, "%.127s", prop.name);
    info->major = prop.major;
    info->minor = prop.minor;
    info->n_devices = n;
    info->total_bytes = prop.totalGlobalMem;
    return LTC_OK;
}

static void describe(ltc_info *info)
{
    int runtime = 0;
    const size_t dnn = cudnnGetVersion(), lt = cublasLtGetVersion();
    (void)cudaRuntimeGetVersion(&runtime);
    snprintf(info->version, sizeof info->version, "CUDA %d.%d, cuDNN %zu.%zu.%zu, cuBLASLt %zu.%zu", runtime / 1000,
             runtime % 1000 / 10, dnn / 10000, dnn % 10000 / 100, dnn % 100, lt / 10000, lt % 10000 / 100);
}

static void close_device(ltc_device *dev)
{
    (void)cudaSetDevice(dev->index);
    ltc_choices_free(dev);
    if (dev->lt)
        (void)cublasLtDestroy(dev->lt);
    if (dev->cudnn)
        (void)cudnnDestroy(dev->cudnn);
    if (dev->stream)
        (void)cudaStreamDestroy(dev->stream);
    free(dev);
}

static int open_parts(ltc_device *dev)
{
    int code = ltc_cuda(cudaSetDevice(dev->index), "cudaSetDevice");
    if (code == LTC_OK)
        code = ltc_cuda(cudaStreamCreateWithFlags(&dev->stream, cudaStreamNonBlocking), "cudaStreamCreate");
    if (code == LTC_OK)
        code = ltc_cudnn(cudnnCreate(&dev->cudnn), "cudnnCreate");
    if (code == LTC_OK)
        code = ltc_cudnn(cudnnSetStream(dev->cudnn, dev->stream), "cudnnSetStream");
    if (code != LTC_OK)
        return code;
    const cublasStatus_t s = cublasLtCreate(&dev->lt);
    return s == CUBLAS_STATUS_SUCCESS ? LTC_OK : ltc_fail(LTC_FAILED, "cublasLtCreate: %s", cublasLtGetStatusString(s));
}

// All queues of a GPU share its memory, whichever was opened as the sibling of another.
static int open_device(int index, ltc_device *sibling, ltc_device **dev, ltc_info *info)
{
    (void)sibling;
    *info = (ltc_info){0};
    int code = find_card(index, info);
    if (code != LTC_OK)
        return code;
    describe(info);
    ltc_device *d = calloc(1, sizeof *d);
    if (!d)
        return ltc_fail(LTC_FAILED, "out of host memory");
    d->index = index;
    code = open_parts(d);
    if (code != LTC_OK) {
        close_device(d);
        return code == LTC_UNSUPPORTED ? LTC_FAILED : code;
    }
    *dev = d;
    return LTC_OK;
}

// Threads share a device one after the other; the runtime keeps the current device per thread.
static int enter(const ltc_device *dev)
{
    return ltc_cuda(cudaSetDevice(dev->index), "cudaSetDevice");
}

// ---- memory

int ltc_alloc(ltc_device *dev, size_t bytes, void **p)
{
    int code = enter(dev);
    if (code == LTC_OK)
        code = ltc_cuda(cudaMalloc(p, bytes), "cudaMalloc");
    if (code == LTC_OK) {
        code = ltc_cuda(cudaMemsetAsync(*p, 0, bytes, dev->stream), "cudaMemsetAsync");
        if (code != LTC_OK)
            (void)cudaFree(*p);
    }
    return code;
}

// Waits for the device, so work that uses the memory is done before it goes.
void ltc_release(ltc_device *dev, void *p)
{
    (void)cudaSetDevice(dev->index);
    (void)cudaStreamSynchronize(dev->stream);
    (void)cudaFree(p);
}

static int host_alloc(ltc_device *dev, size_t bytes, void **p)
{
    int code = enter(dev);
    if (code == LTC_OK)
        code = ltc_cuda(cudaHostAlloc(p, bytes, cudaHostAllocDefault), "cudaHostAlloc");
    for (size_t i = 0; code == LTC_OK && i < bytes; i++)
        ((char *)*p)[i] = 0;
    return code;
}

static void host_release(ltc_device *dev, void *p)
{
    (void)cudaSetDevice(dev->index);
    (void)cudaStreamSynchronize(dev->stream);
    (void)cudaFreeHost(p);
}

static int memory(ltc_device *dev, size_t *free_bytes, size_t *total_bytes)
{
    const int code = enter(dev);
    return code == LTC_OK ? ltc_cuda(cudaMemGetInfo(free_bytes, total_bytes), "cudaMemGetInfo") : code;
}

static int move(ltc_device *dev, void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind)
{
    const int code = enter(dev);
    return code == LTC_OK ? ltc_cuda(cudaMemcpyAsync(to, from, bytes, kind, dev->stream), "cudaMemcpyAsync") : code;
}

static int upload(ltc_device *dev, void *device, const void *host, size_t bytes)
{
    return move(dev, device, host, bytes, cudaMemcpyHostToDevice);
}

static int download(ltc_device *dev, void *host, const void *device, size_t bytes)
{
    return move(dev, host, device, bytes, cudaMemcpyDeviceToHost);
}

static int copy(ltc_device *dev, void *to, const void *from, size_t bytes)
{
    return move(dev, to, from, bytes, cudaMemcpyDeviceToDevice);
}

static int zero(ltc_device *dev, void *p, size_t bytes)
{
    const int code = enter(dev);
    return code == LTC_OK ? ltc_cuda(cudaMemsetAsync(p, 0, bytes, dev->stream), "cudaMemsetAsync") : code;
}

static int sync_device(ltc_device *dev)
{
    const int code = enter(dev);
    return code == LTC_OK ? ltc_cuda(cudaStreamSynchronize(dev->stream), "cudaStreamSynchronize") : code;
}

// ---- recordings

static int capture_begin(ltc_device *dev)
{
    const int code = enter(dev);
    return code == LTC_OK ? ltc_cuda(cudaStreamBeginCapture(dev->stream, cudaStreamCaptureModeThreadLocal),
                                     "cudaStreamBeginCapture")
                          : code;
}

static int capture_end(ltc_device *dev, void **captured)
{
    cudaGraph_t graph = NULL;
    cudaGraphExec_t exec = NULL;
    *captured = NULL;
    int code = enter(dev);
    if (code == LTC_OK)
        code = ltc_cuda(cudaStreamEndCapture(dev->stream, &graph), "cudaStreamEndCapture");
    if (code == LTC_OK)
        code = ltc_cuda(cudaGraphInstantiate(&exec, graph, 0), "cudaGraphInstantiate");
    if (graph)
        (void)cudaGraphDestroy(graph);
    if (code == LTC_OK)
        *captured = exec;
    return code;
}

static int captured_launch(ltc_device *dev, void *captured)
{
    const int code = enter(dev);
    return code == LTC_OK ? ltc_cuda(cudaGraphLaunch((cudaGraphExec_t)captured, dev->stream), "cudaGraphLaunch") : code;
}

static void captured_free(ltc_device *dev, void *captured)
{
    (void)cudaSetDevice(dev->index);
    (void)cudaStreamSynchronize(dev->stream);
    (void)cudaGraphExecDestroy((cudaGraphExec_t)captured);
}

__attribute__((visibility("default"))) const ltc_api *ltc_plugin(void);

const ltc_api *ltc_plugin(void)
{
    static const ltc_api table = {
        .version = LTC_VERSION,
        .error = error,
        .open = open_device,
        .close = close_device,
        .alloc = ltc_alloc,
        .release = ltc_release,
        .host_alloc = host_alloc,
        .host_release = host_release,
        .memory = memory,
        .upload = upload,
        .download = download,
        .zero = zero,
        .copy = copy,
        .launch = ltc_launch,
        .conv_run = ltc_conv_run,
        .gemm_run = ltc_gemm_run,
        .sync = sync_device,
        .conv_make = ltc_conv_make,
        .conv_free = ltc_conv_free,
        .gemm_make = ltc_gemm_make,
        .gemm_free = ltc_gemm_free,
        .capture_begin = capture_begin,
        .capture_end = capture_end,
        .captured_launch = captured_launch,
        .captured_free = captured_free,
    };
    return &table;
}
