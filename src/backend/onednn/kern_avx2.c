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
#define KERN_LANES 8
#define KERN_STREAM(p, v) _mm256_stream_ps((p), (__m256)(v))
#define KERN_FENCE() _mm_sfence()
#ifdef __has_builtin
#if __has_builtin(__builtin_shufflevector)
#define KERN_ROUND(half, x, y, a, b)                                                                                   \
    do {                                                                                                               \
        if ((half) == 4) {                                                                                             \
            (x) = __builtin_shufflevector(a, b, 0, 1, 2, 3, 8, 9, 10, 11);                                             \
            (y) = __builtin_shufflevector(a, b, 4, 5, 6, 7, 12, 13, 14, 15);                                           \
        } else if ((half) == 2) {                                                                                      \
            (x) = __builtin_shufflevector(a, b, 0, 1, 8, 9, 4, 5, 12, 13);                                             \
            (y) = __builtin_shufflevector(a, b, 2, 3, 10, 11, 6, 7, 14, 15);                                           \
        } else {                                                                                                       \
            (x) = __builtin_shufflevector(a, b, 0, 8, 2, 10, 4, 12, 6, 14);                                            \
            (y) = __builtin_shufflevector(a, b, 1, 9, 3, 11, 5, 13, 7, 15);                                            \
        }                                                                                                              \
    } while (0)
#endif
#endif
#include "backend/onednn/kern_body.h"

#define WINO_LANES 8
#define WINO_ROWS 4
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
