// conv.c - convolution and its gradients by cuDNN: which algorithm, and running it.
//
// The three passes differ in names and in the order of descriptors only; a table of adapters makes them one. Candidates
// come from the library, timed on scratch memory or ranked by its rule, and of those whose result does not depend on
// scheduling the first that runs is taken. Equal shapes get equal algorithms (ltc_device.choices): a network repeats
// its layers, and its plans for other batch sizes repeat nothing.
#include "backend/cuda/plugin/plugin.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_CANDIDATES = 16, KEY = 96 };
static const size_t most_workspace = (size_t)1 << 30;

typedef struct conv {
    ltc_pass pass;
    cudnnTensorDescriptor_t x, y;
    cudnnFilterDescriptor_t w;
    cudnnConvolutionDescriptor_t desc;
    int algo;
    size_t workspace_bytes;
    size_t bytes[3]; // of x, w, y
} conv;

typedef struct candidate { // what the three kinds of results have in common
    int algo;
    cudnnStatus_t status;
    float ms; // -1: not timed
    size_t bytes;
    cudnnDeterminism_t determinism;
    cudnnMathType_t math;
} candidate;

struct ltc_choice {
    ltc_choice *next;
    char key[KEY];
    int algo; // -1: the library has none
    cudnnMathType_t math;
    double us;
    char impl[64], log[128];
};

int ltc_cudnn(cudnnStatus_t s, const char *what)
{
    if (s == CUDNN_STATUS_SUCCESS)
        return LTC_OK;
    const int code = CUDNN_STATUS_CATEGORY(s) == CUDNN_STATUS_NOT_SUPPORTED      ? LTC_UNSUPPORTED
                     : s == CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED ? LTC_NO_MEMORY
                                                                                 : LTC_FAILED;
    return ltc_fail(code, "%s: %s", what, cudnnGetErrorString(s));
}

// ---- the passes

typedef struct buffers {
    void *x, *w, *y, *workspace;
    size_t workspace_bytes;
} buffers;

typedef struct pass_ops {
    const char *name;
    cudnnStatus_t (*workspace)(cudnnHandle_t h, const conv *c, int algo, size_t *bytes);
    cudnnStatus_t (*rank)(cudnnHandle_t h, const conv *c, candidate *found, int *n);
    cudnnStatus_t (*time)(cudnnHandle_t h, const conv *c, const buffers *b, candidate *found, int *n);
    cudnnStatus_t (*run)(cudnnHandle_t h, const conv *c, const buffers *b);
} pass_ops;

#define KEEP(perf, n, found)                                                                                           \
    for (int i = 0; i < *(n); i++)                                                                                     \
        (found)[i] = (candidate)                                                                                       \
        {                                                                                                              \
            (int)(perf)[i].algo, (perf)[i].status, (perf)[i].time, (perf)[i].memory, (perf)[i].determinism,            \
                (perf)[i].mathType                                                                                     \
        }

static const float one = 1.0f, none = 0.0f;

static cudnnStatus_t fwd_workspace(cudnnHandle_t h, const conv *c, int algo, size_t *bytes)
{
    return cudnnGetConvolutionForwardWorkspaceSize(h, c->x, c->w, c->desc, c->y, (cudnnConvolutionFwdAlgo_t)algo,
                                                   bytes);
}

static cudnnStatus_t fwd_rank(cudnnHandle_t h, const conv *c, candidate *found, int *n)
{
    cudnnConvolutionFwdAlgoPerf_t perf[MOST_CANDIDATES];
    const cudnnStatus_t s =
        cudnnGetConvolutionForwardAlgorithm_v7(h, c->x, c->w, c->desc, c->y, MOST_CANDIDATES, n, perf);
    if (s == CUDNN_STATUS_SUCCESS)
        KEEP(perf, n, found);
    return s;
}

static cudnnStatus_t fwd_time(cudnnHandle_t h, const conv *c, const buffers *b, candidate *found, int *n)
{
    cudnnConvolutionFwdAlgoPerf_t perf[MOST_CANDIDATES];
    const cudnnStatus_t s = cudnnFindConvolutionForwardAlgorithmEx(
        h, c->x, b->x, c->w, b->w, c->desc, c->y, b->y, MOST_CANDIDATES, n, perf, b->workspace, b->workspace_bytes);
    if (s == CUDNN_STATUS_SUCCESS)
        KEEP(perf, n, found);
    return s;
}

static cudnnStatus_t fwd_run(cudnnHandle_t h, const conv *c, const buffers *b)
{
    return cudnnConvolutionForward(h, &one, c->x, b->x, c->w, b->w, c->desc, (cudnnConvolutionFwdAlgo_t)c->algo,
                                   b->workspace, b->workspace_bytes, &none, c->y, b->y);
}

static cudnnStatus_t dx_workspace(cudnnHandle_t h, const conv *c, int algo, size_t *bytes)
{
    return cudnnGetConvolutionBackwardDataWorkspaceSize(h, c->w, c->y, c->desc, c->x,
                                                        (cudnnConvolutionBwdDataAlgo_t)algo, bytes);
}

static cudnnStatus_t dx_rank(cudnnHandle_t h, const conv *c, candidate *found, int *n)
{
    cudnnConvolutionBwdDataAlgoPerf_t perf[MOST_CANDIDATES];
    const cudnnStatus_t s =
        cudnnGetConvolutionBackwardDataAlgorithm_v7(h, c->w, c->y, c->desc, c->x, MOST_CANDIDATES, n, perf);
    if (s == CUDNN_STATUS_SUCCESS)
        KEEP(perf, n, found);
    return s;
}

static cudnnStatus_t dx_time(cudnnHandle_t h, const conv *c, const buffers *b, candidate *found, int *n)
{
    cudnnConvolutionBwdDataAlgoPerf_t perf[MOST_CANDIDATES];
    const cudnnStatus_t s = cudnnFindConvolutionBackwardDataAlgorithmEx(
        h, c->w, b->w, c->y, b->y, c->desc, c->x, b->x, MOST_CANDIDATES, n, perf, b->workspace, b->workspace_bytes);
    if (s == CUDNN_STATUS_SUCCESS)
        KEEP(perf, n, found);
    return s;
}

static cudnnStatus_t dx_run(cudnnHandle_t h, const conv *c, const buffers *b)
{
    return cudnnConvolutionBackwardData(h, &one, c->w, b->w, c->y, b->y, c->desc,
                                        (cudnnConvolutionBwdDataAlgo_t)c->algo, b->workspace, b->workspace_bytes, &none,
                                        c->x, b->x);
}

static cudnnStatus_t dw_workspace(cudnnHandle_t h, const conv *c, int algo, size_t *bytes)
{
    return cudnnGetConvolutionBackwardFilterWorkspaceSize(h, c->x, c->y, c->desc, c->w,
                                                          (cudnnConvolutionBwdFilterAlgo_t)algo, bytes);
}

static cudnnStatus_t dw_rank(cudnnHandle_t h, const conv *c, candidate *found, int *n)
{
    cudnnConvolutionBwdFilterAlgoPerf_t perf[MOST_CANDIDATES];
    const cudnnStatus_t s =
        cudnnGetConvolutionBackwardFilterAlgorithm_v7(h, c->x, c->y, c->desc, c->w, MOST_CANDIDATES, n, perf);
    if (s == CUDNN_STATUS_SUCCESS)
        KEEP(perf, n, found);
    return s;
}

static cudnnStatus_t dw_time(cudnnHandle_t h, const conv *c, const buffers *b, candidate *found, int *n)
{
    cudnnConvolutionBwdFilterAlgoPerf_t perf[MOST_CANDIDATES];
    const cudnnStatus_t s = cudnnFindConvolutionBackwardFilterAlgorithmEx(
        h, c->x, b->x, c->y, b->y, c->desc, c->w, b->w, MOST_CANDIDATES, n, perf, b->workspace, b->workspace_bytes);
    if (s == CUDNN_STATUS_SUCCESS)
        KEEP(perf, n, found);
    return s;
}

static cudnnStatus_t dw_run(cudnnHandle_t h, const conv *c, const buffers *b)
{
    return cudnnConvolutionBackwardFilter(h, &one, c->x, b->x, c->y, b->y, c->desc,
                                          (cudnnConvolutionBwdFilterAlgo_t)c->algo, b->workspace, b->workspace_bytes,
                                          &none, c->w, b->w);
}

static const pass_ops passes[] = {
    [LTC_CONV] = {"fwd", fwd_workspace, fwd_rank, fwd_time, fwd_run},
    [LTC_CONV_DX] = {"dx", dx_workspace, dx_rank, dx_time, dx_run},
    [LTC_CONV_DW] = {"dw", dw_workspace, dw_rank, dw_time, dw_run},
};

// ---- descriptors

static int describe(conv *c, const ltc_conv_shape *s)
{
    const cudnnDataType_t type = s->bf16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT;
    const size_t size = s->bf16 ? 2 : 4;
    int code = ltc_cudnn(cudnnCreateTensorDescriptor(&c->x), "cudnnCreateTensorDescriptor");
    if (code == LTC_OK)
        code = ltc_cudnn(cudnnCreateTensorDescriptor(&c->y), "cudnnCreateTensorDescriptor");
    if (code == LTC_OK)
        code = ltc_cudnn(cudnnCreateFilterDescriptor(&c->w), "cudnnCreateFilterDescriptor");
    if (code == LTC_OK)
        code = ltc_cudnn(cudnnCreateConvolutionDescriptor(&c->desc), "cudnnCreateConvolutionDescriptor");
    if (code == LTC_OK)
        code = ltc_cudnn(cudnnSetTensor4dDescriptor(c->x, CUDNN_TENSOR_NHWC, type, s->n, s->c, s->h, s->w), "x");
    if (code == LTC_OK)
        code = ltc_cudnn(cudnnSetTensor4dDescriptor(c->y, CUDNN_TENSOR_NHWC, type, s->n, s->k, s->oh, s->ow), "y");
    if (code == LTC_OK) // in this format (K,C,R,S) lies as (K,R,S,C)
        code = ltc_cudnn(cudnnSetFilter4dDescriptor(c->w, type, CUDNN_TENSOR_NHWC, s->k, s->c, s->r, s->s), "w");
    if (code == LTC_OK)
        code = ltc_cudnn(cudnnSetConvolution2dDescriptor(c->desc, s->pad, s->pad, s->stride, s->stride, 1, 1,
                                                         CUDNN_CROSS_CORRELATION, CUDNN_DATA_FLOAT),
                         "cudnnSetConvolution2dDescriptor");
    c->pass = s->pass;
    c->bytes[0] = size * (size_t)s->n * (size_t)s->c * (size_t)s->h * (size_t)s->w;
    c->bytes[1] = size * (size_t)s->k * (size_t)s->c * (size_t)s->r * (size_t)s->s;
    c->bytes[2] = size * (size_t)s->n * (size_t)s->k * (size_t)s->oh * (size_t)s->ow;
    return code;
}

// f32 means f32: without this floats may be rounded to tf32.
static cudnnMathType_t math_of(const ltc_conv_shape *s)
{
    return s->bf16 ? CUDNN_TENSOR_OP_MATH : s->tf32 ? CUDNN_DEFAULT_MATH : CUDNN_FMA_MATH;
}

static bool is_plain_float(const ltc_conv_shape *s)
{
    return !s->bf16 && !s->tf32;
}

void ltc_conv_free(ltc_device *dev, void *p)
{
    conv *c = p;
    (void)dev;
    if (c->x)
        (void)cudnnDestroyTensorDescriptor(c->x);
    if (c->y)
        (void)cudnnDestroyTensorDescriptor(c->y);
    if (c->w)
        (void)cudnnDestroyFilterDescriptor(c->w);
    if (c->desc)
        (void)cudnnDestroyConvolutionDescriptor(c->desc);
    free(c);
}

// ---- choosing

static void free_buffers(ltc_device *dev, buffers *b)
{
    void *p[] = {b->x, b->w, b->y, b->workspace};
    for (int i = 0; i < 4; i++)
        if (p[i])
            ltc_release(dev, p[i]);
    *b = (buffers){0};
}

// Zeroed tensors of the convolution, and the largest workspace a candidate may use.
static int take_buffers(ltc_device *dev, const conv *c, buffers *b)
{
    size_t n_free = 0, total = 0;
    *b = (buffers){0};
    int code = ltc_alloc(dev, c->bytes[0], &b->x);
    if (code == LTC_OK)
        code = ltc_alloc(dev, c->bytes[1], &b->w);
    if (code == LTC_OK)
        code = ltc_alloc(dev, c->bytes[2], &b->y);
    if (code == LTC_OK)
        code = ltc_cuda(cudaMemGetInfo(&n_free, &total), "cudaMemGetInfo");
    b->workspace_bytes = n_free / 2 < most_workspace ? n_free / 2 : most_workspace;
    if (code == LTC_OK)
        code = ltc_alloc(dev, b->workspace_bytes ? b->workspace_bytes : 1, &b->workspace);
    if (code != LTC_OK)
        free_buffers(dev, b);
    return code;
}

// Makes this candidate the algorithm of c. LTC_UNSUPPORTED when it may not be used or does not run.
static int try_candidate(ltc_device *dev, conv *c, const ltc_conv_shape *s, const candidate *k, const buffers *b)
{
    if (k->status != CUDNN_STATUS_SUCCESS || k->determinism != CUDNN_DETERMINISTIC)
        return LTC_UNSUPPORTED;
    int code = ltc_cudnn(cudnnSetConvolutionMathType(c->desc, is_plain_float(s) ? CUDNN_FMA_MATH : k->math),
                         "cudnnSetConvolutionMathType");
    if (code == LTC_OK)
        code = ltc_cudnn(passes[c->pass].workspace(dev->cudnn, c, k->algo, &c->workspace_bytes), "workspace size");
    if (code == LTC_OK && c->workspace_bytes > b->workspace_bytes)
        code = LTC_UNSUPPORTED;
    c->algo = k->algo;
    if (code == LTC_OK)
        code = ltc_cudnn(passes[c->pass].run(dev->cudnn, c, b), "convolution");
    if (code != LTC_OK) // whatever the library's reason, the next one may do
        return LTC_UNSUPPORTED;
    return ltc_cuda(cudaStreamSynchronize(dev->stream), "convolution");
}

static void note(ltc_choice *e, const conv *c, const candidate *found, int n, const candidate *best)
{
    size_t at = 0;
    snprintf(e->impl, sizeof e->impl, "cudnn %s algo %d%s", passes[c->pass].name, best->algo,
             best->math == CUDNN_TENSOR_OP_MATH ? " tensor-op"
             : best->math == CUDNN_FMA_MATH     ? " fma"
                                                : "");
    e->us = best->ms > 0 ? 1e3 * (double)best->ms : 0;
    for (int i = 0; i < n && e->us > 0; i++) {
        if (found[i].status != CUDNN_STATUS_SUCCESS || found[i].ms <= 0)
            continue;
        const int w = snprintf(e->log + at, sizeof e->log - at, "%s%d%s: %.0f us", at ? ", " : "", found[i].algo,
                               found[i].determinism == CUDNN_DETERMINISTIC ? "" : "*", 1e3 * (double)found[i].ms);
        if (w < 0 || (size_t)w >= sizeof e->log - at) {
            e->log[at] = 0; // the slower ones are left out
            return;
        }
        at += (size_t)w;
    }
}

static int choose(ltc_device *dev, conv *c, const ltc_conv_shape *s, ltc_choice *e)
{
    candidate found[MOST_CANDIDATES];
    buffers b;
    int n = 0, code = take_buffers(dev, c, &b);
    if (code != LTC_OK)
        return code;
    const pass_ops *p = &passes[c->pass];
    code = ltc_cudnn(s->tune ? p->time(dev->cudnn, c, &b, found, &n) : p->rank(dev->cudnn, c, found, &n),
                     "candidates of a convolution");
    e->algo = -1;
    for (int i = 0; i < n && code == LTC_OK && e->algo < 0; i++) {
        if (!s->tune)
            found[i].ms = -1;
        code = try_candidate(dev, c, s, &found[i], &b);
        if (code == LTC_OK) {
            e->algo = c->algo;
            e->math = is_plain_float(s) ? CUDNN_FMA_MATH : found[i].math;
            found[i].math = e->math;
            note(e, c, found, n, &found[i]);
        }
        code = code == LTC_UNSUPPORTED ? LTC_OK : code;
    }
    free_buffers(dev, &b);
    return code == LTC_UNSUPPORTED ? LTC_OK : code; // without candidates: none
}

static int find_choice(ltc_device *dev, conv *c, const ltc_conv_shape *s, const ltc_choice **choice)
{
    char key[KEY];
    snprintf(key, sizeof key, "%d %d %d %d %d %d %d %d %d %d %d %d %d%d%d", (int)s->pass, s->n, s->c, s->h, s->w, s->k,
             s->r, s->s, s->oh, s->ow, s->stride, s->pad, s->bf16, s->tf32, s->tune);
    for (const ltc_choice *e = dev->choices; e; e = e->next)
        if (strcmp(e->key, key) == 0) {
            *choice = e;
            return LTC_OK;
        }
    ltc_choice *e = calloc(1, sizeof *e);
    if (!e)
        return ltc_fail(LTC_FAILED, "out of host memory");
    const int code = choose(dev, c, s, e);
    if (code != LTC_OK) {
        free(e);
        return code;
    }
    memcpy(e->key, key, sizeof key);
    e->next = dev->choices;
    dev->choices = e;
    *choice = e;
    return LTC_OK;
}

void ltc_choices_free(ltc_device *dev)
{
    for (ltc_choice *e = dev->choices, *next; e; e = next) {
        next = e->next;
        free(e);
    }
    dev->choices = NULL;
}

// Sets up c as chosen.
static int settle(ltc_device *dev, conv *c, const ltc_choice *choice)
{
    if (choice->algo < 0)
        return ltc_fail(LTC_UNSUPPORTED, "cuDNN has no deterministic algorithm");
    c->algo = choice->algo;
    const int code = ltc_cudnn(cudnnSetConvolutionMathType(c->desc, choice->math), "cudnnSetConvolutionMathType");
    return code == LTC_OK
               ? ltc_cudnn(passes[c->pass].workspace(dev->cudnn, c, c->algo, &c->workspace_bytes), "workspace size")
               : code;
}

int ltc_conv_make(ltc_device *dev, const ltc_conv_shape *shape, ltc_conv_made *made)
{
    const ltc_choice *choice = NULL;
    conv *c = calloc(1, sizeof *c);
    if (!c)
        return ltc_fail(LTC_FAILED, "out of host memory");
    int code = ltc_cuda(cudaSetDevice(dev->index), "cudaSetDevice");
    if (code == LTC_OK)
        code = describe(c, shape);
    if (code == LTC_OK)
        code = ltc_cudnn(cudnnSetConvolutionMathType(c->desc, math_of(shape)), "cudnnSetConvolutionMathType");
    if (code == LTC_OK)
        code = find_choice(dev, c, shape, &choice);
    if (code == LTC_OK)
        code = settle(dev, c, choice);
    if (code != LTC_OK) {
        ltc_conv_free(dev, c);
        return code;
    }
    *made = (ltc_conv_made){.conv = c, .workspace_bytes = c->workspace_bytes, .us = choice->us};
    memcpy(made->impl, choice->impl, sizeof made->impl);
    memcpy(made->log, choice->log, sizeof made->log);
    return LTC_OK;
}

int ltc_conv_run(ltc_device *dev, const void *made, const void *in0, const void *in1, void *out, void *workspace)
{
    const conv *c = made;
    const int code = ltc_cuda(cudaSetDevice(dev->index), "cudaSetDevice");
    if (code != LTC_OK)
        return code;
    buffers b = {.workspace = workspace, .workspace_bytes = c->workspace_bytes};
    b.x = c->pass == LTC_CONV_DX ? out : (void *)in0;
    b.w = c->pass == LTC_CONV_DW ? out : (void *)in1;
    b.y = c->pass == LTC_CONV ? out : c->pass == LTC_CONV_DX ? (void *)in0 : (void *)in1;
    const int ran = ltc_cudnn(passes[c->pass].run(dev->cudnn, c, &b), "convolution");
    return ran == LTC_UNSUPPORTED ? LTC_FAILED : ran;
}
