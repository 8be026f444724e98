// wino.h - the inner loops of our own Winograd convolutions, one table per instruction set.
//
// Everything here is serial and works on one tile or one small matrix product; wino.c cuts a tensor into tiles and
// blocks. A form F(4x4, RxS) makes 4x4 outputs from (3 + R)x(3 + S) inputs, with as many values ("points") per channel
// of a transformed tile; value p of a tile is `stride` floats after value p - 1.
#ifndef LT_WINO_H
#define LT_WINO_H
#include "backend/onednn/kern.h"

enum { LTI_WINO_OUT = 4, LTI_WINO_MAX_RUN = 4, LTI_WINO_MAX_IN = 6, LTI_WINO_MAX_POINTS = 36, LTI_WINO_MAX_TAPS = 9 };

// A 3x3 filter of stride 1, and the four that a 3x3 filter of stride 2 is on the phases of its input.
typedef enum lti_wino_form_id {
    LTI_WINO_3X3,
    LTI_WINO_2X2,
    LTI_WINO_2X1,
    LTI_WINO_1X2,
    LTI_WINO_1X1,
    LTI_WINO_FORMS
} lti_wino_form_id;

// Position of the pixels of a patch in an (h, w, 16) plane: (y, x), then every step-th row and column; some may be
// outside.
typedef struct lti_wino_patch {
    int64_t h, w, y, x, step;
} lti_wino_patch;

// Epilogue of 16 channels of an output tile, in this order; NULL = none. add: to the present values. residual and mask
// have the layout of y.
typedef struct lti_wino_epilogue {
    const float *bias;
    bool add;
    const float *residual; // added
    bool relu;
    const float *mask; // zero where this is not positive
} lti_wino_epilogue;

typedef void lti_wino_transform(const float *plane, const lti_wino_patch *at, float *to, int64_t stride);
// n tiles that follow one another in a row, at most LTI_WINO_MAX_RUN; each 16 floats behind the one before it.
typedef void lti_wino_transform_run(const float *plane, const lti_wino_patch *at, int n, float *to, int64_t stride);
typedef struct lti_wino_form {
    int points, taps;
    lti_wino_transform *input;         // V = B^T x B, zero outside the plane
    lti_wino_transform_run *input_run; // the same; NULL where tiles share too little
    lti_wino_transform *gradient;      // D = A dy A^T of the 4x4 patch, zero outside the plane
    lti_wino_transform *input_bf16;    // as input; 16 values of a tile take 8 floats
    // y = A^T M A, with its epilogue, written inside the plane; at's y and x are not negative
    void (*output)(const float *m, int64_t stride, float *y, const lti_wino_patch *at,
                   const lti_wino_epilogue *epilogue);
    // U = G g G^T for 16 filters: tap i of the form is at g[tap[i]][16], point i goes to u + i * stride
    void (*filter)(const float *g, const int *tap, float *u, int64_t stride);
    // g = G^T U G, the adjoint of filter
    void (*filter_gradient)(const float *u, int64_t stride, float *g, const int *tap);
} lti_wino_form;

// m[block][row][16] = sum over channels of v[block][row][16] * u[channel][n]; n = width or 16; strides: floats from one
// block of v, of m to the next. So many `times`, each as many rows of other tiles, v_step and m_step floats further on.
// The sums of a row do not depend on the number of rows.
typedef struct lti_wino_product {
    const float *v, *u;
    float *m;
    int64_t in_tiles_blocks, in_tiles_stride, in_tiles_step, products_stride, products_step, times;
    int rows, n;
} lti_wino_product;

typedef void lti_wino_multiply(const lti_wino_product *p);

// The _half functions are the same with transformed values rounded to bf16 and products summed in f32. Values are in
// pairs, one pair in the space of a float, the first in its low half: forward, two adjacent channels; gradient of
// the filter, two neighbouring tiles.
typedef struct lti_wino_kern {
    const char *isa;
    int rows;         // tiles of one matrix product, at most
    int least_rows;   // and at least: at most half of the above, rounded up
    int width;        // output channels of one matrix product: 16 or 32
    int strided_rule; // channels on either side from where it is taken for stride 2 unless timing tells otherwise
    lti_wino_form form[LTI_WINO_FORMS];
    lti_wino_multiply *multiply;
    // For 16 rows c and n = 16 or 32 columns k: u[c][k] (row stride u_stride) (+)= sum over tiles of v[tile][c] *
    // d[tile][k]; d_stride: floats from the first to the second 16 columns of d
    void (*accumulate)(const float *v, const float *d, float *u, int64_t tiles, int64_t d_stride,
                       int64_t weights_t_stride, int n, bool first);
    // 16 pairs (a[i], b[i])
    void (*pack)(const float *a, const float *b, float *pairs);
    lti_wino_multiply *multiply_bf16; // u in pairs of channels
    // As accumulate; tiles: pairs of them
    void (*accumulate_bf16)(const float *v, const float *d, float *u, int64_t tiles, int64_t d_stride,
                            int64_t weights_t_stride, int n, bool first);
} lti_wino_kern;

extern const lti_wino_kern lti_wino_generic;
#ifdef LTI_KERN_X86
extern const lti_wino_kern lti_wino_avx2, lti_wino_avx512, lti_wino_avx512bf16;
#endif
// The best table for the _half functions: products of bf16 where the processor has them, else made of f32 ones.
const lti_wino_kern *lti_wino_best_bf16(void);
#endif
