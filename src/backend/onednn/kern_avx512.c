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
#define LTI_KERN_SHUFFLE 1
#endif
#endif
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
