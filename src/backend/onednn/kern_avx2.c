// kern_avx2.c - the inner loops of kern_body.h compiled for AVX2. Called only after a check of the processor.
#include "backend/onednn/wino.h"
#ifdef LTI_KERN_X86
#include <immintrin.h>
#endif

#ifdef LTI_KERN_X86
#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif
#define LTI_WINO_TABLE lti_wino_avx2
#define LTI_KERN_TABLE lti_kern_avx2
#define LTI_KERN_ISA "AVX2"
#define LTI_WINO_ISA "AVX2"
typedef float kern_half __attribute__((vector_size(32), may_alias));
#define KERN_STREAM(p, v)                                                                                              \
    (_mm256_stream_ps((p), (__m256)((const kern_half *)&(v))[0]),                                                      \
     _mm256_stream_ps((p) + 8, (__m256)((const kern_half *)&(v))[1]))
#define KERN_FENCE() _mm_sfence()
#include "backend/onednn/kern_body.h"

#define WINO_LANES 8
#define WINO_ROWS 6
#define WINO_WIDTH 16
#define WINO_STRIDED 16
#define WINO_FMA(a, b, c) ((wvec)_mm256_fmadd_ps((__m256)(a), (__m256)(b), (__m256)(c)))
#include "backend/onednn/wino_body.h"
#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#else
typedef int lti_kern_avx2_empty;
#endif
