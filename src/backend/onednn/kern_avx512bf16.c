// kern_avx512bf16.c - the loops of wino_body.h for AVX-512 with bf16 products. Called only after a check of the
// processor.
#include "backend/onednn/wino.h"
#ifdef LTI_KERN_X86
#include <immintrin.h>
#endif

#ifdef LTI_KERN_X86
#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx512bf16,avx512f,avx512vl,avx512dq,avx512bw,avx2,fma"))),        \
                             apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512bf16,avx512f,avx512vl,avx512dq,avx512bw,avx2,fma,prefer-vector-width=512")
#endif
#define LTI_WINO_TABLE lti_wino_avx512bf16
#define LTI_WINO_ISA "AVX-512-BF16"
#define WINO_LANES 16
#define WINO_ROWS 14
#define WINO_WIDTH 32
#define WINO_STRIDED 32
#define WINO_FMA(a, b, c) ((wvec)_mm512_fmadd_ps((__m512)(a), (__m512)(b), (__m512)(c)))
#define WINO_DOT(a, b, c) ((wvec)_mm512_dpbf16_ps((__m512)(c), (__m512bh)(a), (__m512bh)(b)))
#define WINO_HALF(v) ((whalf)_mm512_cvtneps_pbh((__m512)(v)))
#define WINO_PAIRS(a, b) ((wvec)pairs_of((__m512)(a), (__m512)(b)))
static inline __attribute__((always_inline)) __m512i pairs_of(__m512 a, __m512 b)
{
    const __m512i low = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(a));
    const __m512i high = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(b));
    return _mm512_or_si512(low, _mm512_slli_epi32(high, 16));
}
#include "backend/onednn/wino_body.h"
#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#else
typedef int kern_avx512bf16_empty;
#endif
