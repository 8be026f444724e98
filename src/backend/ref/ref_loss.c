// ref_loss.c - reference kernels: softmax and the per-sample losses. Rows are computed in double, with the maximum
// subtracted before exp, so that no logit overflows.
#include "ref_impl.h"
#include <math.h>

static size_t two_rows(const lti_ref_call *c)
{
    return 2 * (size_t)c->arg[0].shape.dim[1] * sizeof(double);
}

static size_t four_rows(const lti_ref_call *c)
{
    return 4 * (size_t)c->arg[1].shape.dim[1] * sizeof(double);
}

static lt_status check_label(int32_t label, int64_t row, int64_t n_classes)
{
    if (label < 0 || label >= n_classes)
        return LT_FAIL(LT_E_FORMAT, "label %d in row %lld of the batch: expected 0 to %lld", (int)label, (long long)row,
                       (long long)n_classes - 1);
    return LT_OK;
}

#define REAL float
#define FN(name) name##_f32
#include "ref_loss.inc"
#undef REAL
#undef FN
#define REAL double
#define FN(name) name##_f64
#include "ref_loss.inc"

#define ROW(name, scratch)                                                                                             \
    {                                                                                                                  \
        &lt_op_##name, name##_f32, name##_f64, scratch                                                                 \
    }
const lti_ref_row lti_ref_loss[] = {
    ROW(softmax, two_rows),
    ROW(softmax_dx, NULL),
    ROW(ce, two_rows),
    ROW(ce_dz, NULL),
    ROW(ce_soft, two_rows),
    ROW(ce_soft_dz, NULL),
    ROW(kl, two_rows),
    ROW(kl_dz, NULL),
    {&lt_op_kl_pair, kl_f32, kl_f64, two_rows}, // the same forward pass
    ROW(kl_pair_dt, four_rows),
    ROW(margin, NULL),
    ROW(margin_dz, NULL),
    {0},
};
