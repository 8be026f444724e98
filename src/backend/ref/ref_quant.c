// ref_quant.c - reference kernels: activations rounded to levels, and the gradient of value and step.
#include "ref_impl.h"
#include <math.h>

#define REAL float
#define FN(name) name##_f32
#include "ref_quant.inc"
#undef REAL
#undef FN
#define REAL double
#define FN(name) name##_f64
#include "ref_quant.inc"

const lti_ref_row lti_ref_quant[] = {{&lt_op_act_quant, act_quant_f32, act_quant_f64, NULL},
                                     {&lt_op_act_quant_dx, act_quant_dx_f32, act_quant_dx_f64, NULL},
                                     {0}};
