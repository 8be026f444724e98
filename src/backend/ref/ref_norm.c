// ref_norm.c - reference kernels: batch normalisation, folding, input normalisation.
#include "ref_impl.h"
#include <math.h>

#define REAL float
#define FN(name) name##_f32
#include "ref_norm.inc"
#undef REAL
#undef FN
#define REAL double
#define FN(name) name##_f64
#include "ref_norm.inc"

#define ROW(name)                                                                                                      \
    {                                                                                                                  \
        &lt_op_##name, name##_f32, name##_f64, NULL                                                                    \
    }
const lti_ref_row lti_ref_norm[] = {
    ROW(bn_train),   ROW(bn_apply), ROW(bn_train_dx), ROW(bn_train_dx2), ROW(bn_eval),
    ROW(bn_eval_dx), ROW(bn_fold),  ROW(normalize),   ROW(normalize_dx), {0},
};
