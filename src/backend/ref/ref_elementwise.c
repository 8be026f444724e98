// ref_elementwise.c - reference kernels: maps over elements. Outputs may share memory with the first input.
#include "ref_impl.h"

#define REAL float
#define FN(name) name##_f32
#include "ref_elementwise.inc"
#undef REAL
#undef FN
#define REAL double
#define FN(name) name##_f64
#include "ref_elementwise.inc"

#define ROW(name)                                                                                                      \
    {                                                                                                                  \
        &lt_op_##name, name##_f32, name##_f64, NULL                                                                    \
    }
const lti_ref_row lti_ref_elementwise[] = {ROW(relu), ROW(relu_dx), ROW(add), ROW(add_relu_dx), ROW(scale), {0}};
