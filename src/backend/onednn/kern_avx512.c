// kern_avx512.c - the inner loops of kern_body.h compiled for AVX-512. Called only after a check of the processor.
#include "backend/onednn/wino.h"
#ifdef LTI_KERN_X86
#include <immintrin.h>
#endif

#ifdef LTI_KERN_X86
#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx512f,avx512vl,avx512dq,avx512bw,avx2,fma"))),                   \
                             apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512vl,avx512dq,avx512bw,avx2,fma,prefer-vector-width=512")
#endif
#define LTI_WINO_TABLE lti_wino_avx512
#define LTI_KERN_TABLE lti_kern_avx512
#define LTI_KERN_ISA "AVX-512"
#define LTI_WINO_ISA "AVX-512"
#ifdef __has_builtin
#if __has_builtin(__builtin_shufflevector)
#define KERN_ROUND(half, x, y, a, b)                                                                                   \
    do {                                                                                                               \
        if ((half) == 8) {                                                                                             \
            (x) = __builtin_shufflevector(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23);               \
            (y) = __builtin_shufflevector(a, b, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31);         \
        } else if ((half) == 4) {                                                                                      \
            (x) = __builtin_shufflevector(a, b, 0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27);             \
            (y) = __builtin_shufflevector(a, b, 4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31);           \
        } else if ((half) == 2) {                                                                                      \
            (x) = __builtin_shufflevector(a, b, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29);             \
            (y) = __builtin_shufflevector(a, b, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31);           \
        } else {                                                                                                       \
            (x) = __builtin_shufflevector(a, b, 0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30);            \
            (y) = __builtin_shufflevector(a, b, 1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31);            \
        }                                                                                                              \
    } while (0)
#endif
#endif
#define KERN_LANES 16
#define KERN_STREAM(p, v) _mm512_stream_ps((p), (__m512)(v))
#define KERN_FENCE() _mm_sfence()
#include "backend/onednn/kern_body.h"

#define WINO_LANES 16
#define WINO_ROWS 14
#define WINO_WIDTH 32
#define WINO_STRIDED 32
#define WINO_FMA(a, b, c) ((wvec)_mm512_fmadd_ps((__m512)(a), (__m512)(b), (__m512)(c)))
#include "backend/onednn/wino_body.h"
#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#else
typedef int lti_kern_avx512_empty;
#endif
