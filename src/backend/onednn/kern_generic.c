// kern_generic.c - inner loops for any processor, and the choice of the best table at run time.
//
// The loops live in kern_body.h and are compiled three times, so that the default build is portable and still uses
// 512-bit vectors where they exist. A choice by table (rather than by function multiversioning) keeps sanitizers and
// both compilers happy, since no ifunc resolver runs before main.
#include "backend/onednn/wino.h"

#define LTI_WINO_TABLE lti_wino_generic
#define LTI_KERN_TABLE lti_kern_generic
#define LTI_KERN_ISA "baseline"
#define LTI_WINO_ISA "baseline"
#define KERN_LANES 4
#include "backend/onednn/kern_body.h"

#define WINO_LANES 4
#define WINO_ROWS 3
#define WINO_WIDTH 16
#define WINO_STRIDED 64
#define WINO_FMA(a, b, c) ((a) * (b) + (c))
#include "backend/onednn/wino_body.h"

const lti_kern *lti_kern_best(void)
{
#ifdef LTI_KERN_X86
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512bw"))
        return &lti_kern_avx512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return &lti_kern_avx2;
#endif
    return &lti_kern_generic;
}

const lti_wino_kern *lti_wino_best_bf16(void)
{
    const lti_kern *kern = lti_kern_best();
#ifdef LTI_KERN_X86
    if (kern == &lti_kern_avx512 && __builtin_cpu_supports("avx512bf16"))
        return &lti_wino_avx512bf16;
#endif
    return kern->wino;
}
