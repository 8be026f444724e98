// wino.h - the inner loops of our own Winograd convolution F(4x4, 3x3), one table per instruction set.
//
// Everything here is serial and works on one tile or one small matrix product; wino.c cuts a tensor into tiles and
// blocks. A transformed tile has LTI_WINO_POINTS values per channel; value p of a tile is `stride` floats after value p
// - 1.
#ifndef LT_WINO_H
#define LT_WINO_H
#include "backend/onednn/kern.h"

enum { LTI_WINO_OUT = 4, LTI_WINO_IN = 6, LTI_WINO_POINTS = 36, LTI_WINO_TAPS = 9 };

// The _half functions are the same with transformed values rounded to bf16 and products summed in f32. Values lie in
// pairs, one pair in the place of a float, the first in its low half: forward, two neighbouring channels; gradient of
// the filter, two neighbouring tiles.
typedef struct lti_wino_kern {
    const char *isa;
    int rows;  // tiles of one matrix product
    int width; // output channels of one matrix product: 16 or 32
    // V = B^T x B of the 6x6 patch at (y0, x0) of an (h, w, 16) plane, zero outside the plane
    void (*input)(const float *x, int64_t h, int64_t w, int64_t y0, int64_t x0, float *v, int64_t stride);
    // y = A^T M A + bias [max 0], written where it lies inside the plane; bias may be NULL
    void (*output)(const float *m, int64_t stride, float *y, int64_t h, int64_t w, int64_t y0, int64_t x0,
                   const float *bias, bool relu);
    // D = A dy A^T of the 4x4 patch at (y0, x0), zero outside the plane
    void (*gradient)(const float *dy, int64_t h, int64_t w, int64_t y0, int64_t x0, float *d, int64_t stride);
    // U = G g G^T for 16 filters, tap i of filter l at g[i][l]
    void (*filter)(const float *g, float *u);
    // g = G^T U G, the adjoint of filter
    void (*filter_gradient)(const float *u, float *g);
    // m[block][row][16] = sum over channels of v[block][row][16] * u[channel][n]; n = width or 16; strides: floats from
    // one block of v, of m to the next
    void (*multiply)(const float *v, int64_t v_blocks, int64_t v_stride, const float *u, float *m, int64_t m_stride,
                     int n);
    // For 16 rows c and n = 16 or 32 columns k: u[c][k] (row stride u_stride) (+)= sum over tiles of v[tile][c] *
    // d[tile][k]; d_stride: floats from the first to the second 16 columns of d
    void (*accumulate)(const float *v, const float *d, float *u, int64_t tiles, int64_t d_stride, int64_t u_stride,
                       int n, bool first);
    // As input: 16 values of a tile take 8 floats.
    void (*input_half)(const float *x, int64_t h, int64_t w, int64_t y0, int64_t x0, float *v, int64_t stride);
    // 16 pairs (a[i], b[i])
    void (*pack)(const float *a, const float *b, float *pairs);
    // As multiply; u in pairs of channels
    void (*multiply_half)(const float *v, int64_t v_blocks, int64_t v_stride, const float *u, float *m,
                          int64_t m_stride, int n);
    // As accumulate; tiles: pairs of them
    void (*accumulate_half)(const float *v, const float *d, float *u, int64_t tiles, int64_t d_stride, int64_t u_stride,
                            int n, bool first);
} lti_wino_kern;

extern const lti_wino_kern lti_wino_generic;
#ifdef LTI_KERN_X86
extern const lti_wino_kern lti_wino_avx2, lti_wino_avx512, lti_wino_avx512bf16;
#endif
// The best table for the _half functions: products of bf16 where the processor has them, else made of f32 ones.
const lti_wino_kern *lti_wino_best_half(void);
#endif
