// ref_pool.c - reference kernels: pooling.
#include "ref_impl.h"
#include <math.h>

#define REAL float
#define FN(name) name##_f32
#include "ref_pool.inc"
#undef REAL
#undef FN
#define REAL double
#define FN(name) name##_f64
#include "ref_pool.inc"

#define ROW(name, scratch)                                                                                             \
    {                                                                                                                  \
        &lt_op_##name, name##_f32, name##_f64, scratch                                                                 \
    }
const lti_ref_row lti_ref_pool[] = {
    ROW(avg_pool, NULL),           ROW(avg_pool_dx, lti_ref_out_plane),
    ROW(max_pool, NULL),           ROW(max_pool_dx, lti_ref_out_plane),
    ROW(max_pool_at, NULL),        ROW(global_avg_pool, NULL),
    ROW(global_avg_pool_dx, NULL), {0},
};
