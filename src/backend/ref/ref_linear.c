// ref_linear.c - reference kernels: the fully connected layer, sums of products, products with scalars and rows.
#include "ref_impl.h"

static size_t double_row(const lti_ref_call *c) // one row of the output
{
    return (size_t)c->arg[c->n_in].shape.dim[1] * sizeof(double);
}

#define REAL float
#define FN(name) name##_f32
#include "ref_linear.inc"
#undef REAL
#undef FN
#define REAL double
#define FN(name) name##_f64
#include "ref_linear.inc"

#define ROW(name, scratch)                                                                                             \
    {                                                                                                                  \
        &lt_op_##name, name##_f32, name##_f64, scratch                                                                 \
    }
const lti_ref_row lti_ref_linear[] = {
    ROW(linear, NULL),          ROW(linear_dx, double_row),
    ROW(linear_dw, double_row), ROW(weighted_sum, NULL),
    ROW(scale_rows, NULL),      ROW(dot, NULL),
    ROW(scale_by, NULL),        ROW(mul_rows, NULL),
    ROW(row_dot, NULL),         {0},
};
