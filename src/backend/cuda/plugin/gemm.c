// gemm.c - row-major matrix products by cuBLASLt.
//
// The library is column-major, so D = op(A) op(B) is computed as D' = op(B)' op(A)': B first, dimensions swapped, and
// a row-major matrix with c columns is a column-major one with leading dimension c. Operands are pieces of the caller's
// slabs and may begin at any float, so only algorithms are taken that allow that.
#include "backend/cuda/plugin/plugin.h"
#include <stdlib.h>

enum { WORKSPACE = 4 << 20 };

typedef struct gemm {
    cublasLtMatmulDesc_t desc;
    cublasLtMatrixLayout_t a, b, d; // in the library's order: a is our B
    cublasLtMatmulAlgo_t algo;
    size_t workspace_bytes;
} gemm;

static int check(cublasStatus_t s, const char *what)
{
    if (s == CUBLAS_STATUS_SUCCESS)
        return LTC_OK;
    return ltc_fail(s == CUBLAS_STATUS_ALLOC_FAILED ? LTC_NO_MEMORY : LTC_FAILED, "%s: %s", what,
                    cublasLtGetStatusString(s));
}

void ltc_gemm_free(ltc_device *dev, void *p)
{
    gemm *g = p;
    (void)dev;
    if (g->desc)
        (void)cublasLtMatmulDescDestroy(g->desc);
    if (g->a)
        (void)cublasLtMatrixLayoutDestroy(g->a);
    if (g->b)
        (void)cublasLtMatrixLayoutDestroy(g->b);
    if (g->d)
        (void)cublasLtMatrixLayoutDestroy(g->d);
    free(g);
}

// A row-major (rows, columns) matrix as the library sees it.
static int layout(cublasLtMatrixLayout_t *out, int32_t rows, int32_t columns)
{
    return check(cublasLtMatrixLayoutCreate(out, CUDA_R_32F, (uint64_t)columns, (uint64_t)rows, columns),
                 "cublasLtMatrixLayoutCreate");
}

static int describe(gemm *g, const ltc_gemm_shape *s)
{
    const cublasOperation_t op[2] = {s->tb ? CUBLAS_OP_T : CUBLAS_OP_N, s->ta ? CUBLAS_OP_T : CUBLAS_OP_N};
    int code = check(
        cublasLtMatmulDescCreate(&g->desc, s->tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F, CUDA_R_32F),
        "cublasLtMatmulDescCreate");
    if (code == LTC_OK)
        code =
            check(cublasLtMatmulDescSetAttribute(g->desc, CUBLASLT_MATMUL_DESC_TRANSA, &op[0], sizeof op[0]), "TRANSA");
    if (code == LTC_OK)
        code =
            check(cublasLtMatmulDescSetAttribute(g->desc, CUBLASLT_MATMUL_DESC_TRANSB, &op[1], sizeof op[1]), "TRANSB");
    if (code == LTC_OK)
        code = layout(&g->a, s->tb ? s->n : s->k, s->tb ? s->k : s->n);
    if (code == LTC_OK)
        code = layout(&g->b, s->ta ? s->k : s->m, s->ta ? s->m : s->k);
    if (code == LTC_OK)
        code = layout(&g->d, s->m, s->n);
    return code;
}

static int prefer(cublasLtMatmulPreference_t pref)
{
    static const cublasLtMatmulPreferenceAttributes_t aligned[] = {
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES};
    const size_t most = WORKSPACE;
    const uint32_t bytes = sizeof(float);
    int code =
        check(cublasLtMatmulPreferenceSetAttribute(pref, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &most, sizeof most),
              "MAX_WORKSPACE_BYTES");
    for (size_t i = 0; i < sizeof aligned / sizeof *aligned && code == LTC_OK; i++)
        code = check(cublasLtMatmulPreferenceSetAttribute(pref, aligned[i], &bytes, sizeof bytes), "MIN_ALIGNMENT");
    return code;
}

static int choose(ltc_device *dev, gemm *g)
{
    cublasLtMatmulPreference_t pref = NULL;
    cublasLtMatmulHeuristicResult_t found;
    int n = 0, code = check(cublasLtMatmulPreferenceCreate(&pref), "cublasLtMatmulPreferenceCreate");
    if (code == LTC_OK)
        code = prefer(pref);
    if (code == LTC_OK)
        code = check(cublasLtMatmulAlgoGetHeuristic(dev->lt, g->desc, g->a, g->b, g->d, g->d, pref, 1, &found, &n),
                     "cublasLtMatmulAlgoGetHeuristic");
    if (code == LTC_OK && n == 0)
        code = ltc_fail(LTC_FAILED, "cuBLASLt has no algorithm for a matrix product");
    if (code == LTC_OK) {
        g->algo = found.algo;
        g->workspace_bytes = found.workspaceSize;
    }
    if (pref)
        (void)cublasLtMatmulPreferenceDestroy(pref);
    return code;
}

int ltc_gemm_make(ltc_device *dev, const ltc_gemm_shape *shape, void **made, size_t *workspace_bytes)
{
    gemm *g = calloc(1, sizeof *g);
    if (!g)
        return ltc_fail(LTC_FAILED, "out of host memory");
    int code = ltc_cuda(cudaSetDevice(dev->index), "cudaSetDevice");
    if (code == LTC_OK)
        code = describe(g, shape);
    if (code == LTC_OK)
        code = choose(dev, g);
    if (code != LTC_OK) {
        ltc_gemm_free(dev, g);
        return code;
    }
    *made = g;
    *workspace_bytes = g->workspace_bytes;
    return LTC_OK;
}

int ltc_gemm_run(ltc_device *dev, const void *made, const float *a, const float *b, float *d, void *workspace)
{
    const gemm *g = made;
    const float one = 1.0f, none = 0.0f;
    const int code = ltc_cuda(cudaSetDevice(dev->index), "cudaSetDevice");
    if (code != LTC_OK)
        return code;
    return check(cublasLtMatmul(dev->lt, g->desc, &one, b, g->a, a, g->b, &none, d, g->d, d, g->d, &g->algo, workspace,
                                g->workspace_bytes, dev->stream),
                 "cublasLtMatmul");
}
