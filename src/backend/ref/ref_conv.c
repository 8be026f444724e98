// ref_conv.c - reference kernels: convolution and its gradients, padding, channel sums.
//
// Convolution accumulates whole output planes: the inner loop walks along a row with one filter tap held fixed, which
// a compiler turns into vector code, and padding is handled by the range of each tap instead of by tests.
#include "ref_impl.h"

// Outputs o in [lo, hi) for which the input position o * stride + offset is in [0, n).
static void tap_range(int64_t n_out, int64_t n, int64_t stride, int64_t offset, int64_t *lo, int64_t *hi)
{
    *lo = offset < 0 ? (-offset + stride - 1) / stride : 0;
    *hi = n - offset > 0 ? (n - offset - 1) / stride + 1 : 0;
    if (*hi > n_out)
        *hi = n_out;
}

// Which input position a padded position shows; -1 = zero.
static int64_t pad_source(int64_t i, int64_t n, const lt_attr *a)
{
    i -= a->pad;
    if (i >= 0 && i < n)
        return i;
    if (a->pad_mode == LT_PAD_CIRCULAR)
        return i < 0 ? i + n : i - n;
    if (a->pad_mode == LT_PAD_REFLECT)
        return i < 0 ? -i : 2 * (n - 1) - i;
    return -1;
}

static size_t row_scratch(const lti_ref_call *c) // one row of dy
{
    return (size_t)c->arg[1].shape.dim[3] * sizeof(double);
}

#define REAL float
#define FN(name) name##_f32
#include "ref_conv.inc"
#undef REAL
#undef FN
#define REAL double
#define FN(name) name##_f64
#include "ref_conv.inc"

#define ROW(name, scratch)                                                                                             \
    {                                                                                                                  \
        &lt_op_##name, name##_f32, name##_f64, scratch                                                                 \
    }
const lti_ref_row lti_ref_conv[] = {
    ROW(conv2d, lti_ref_out_plane),   ROW(conv2d_dx, lti_ref_out_plane),
    ROW(conv2d_dw, row_scratch),      ROW(pad2d, NULL),
    ROW(pad2d_dx, lti_ref_out_plane), ROW(channel_sum, NULL),
    ROW(channel_broadcast, NULL),     {0},
};
