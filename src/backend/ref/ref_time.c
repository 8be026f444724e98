// ref_time.c - reference kernels: steps of time, neurons, layer norm, dropout, losses of spike counts.
#include "ref_impl.h"
#include "lethe/rng.h"
#include <math.h>
#include <string.h>

#define REAL float
#define FN(name) name##_f32
#include "ref_time.inc"
#undef REAL
#undef FN
#define REAL double
#define FN(name) name##_f64
#include "ref_time.inc"

static size_t lif_scratch(const lti_ref_call *c)
{
    return (size_t)lti_ref_count(&c->arg[0].shape, 1) * LTI_NEURON_SCRATCH_ROWS * sizeof(double);
}

#define ROW(name, scratch)                                                                                             \
    {                                                                                                                  \
        &lt_op_##name, name##_f32, name##_f64, scratch                                                                 \
    }
const lti_ref_row lti_ref_time[] = {
    ROW(lif, NULL),           ROW(lif_dx, lif_scratch),
    ROW(repeat_steps, NULL),  ROW(sum_steps, NULL),
    ROW(step_scale, NULL),    ROW(step_scale_dp, NULL),
    ROW(rate_code, NULL),     ROW(layer_norm, NULL),
    ROW(layer_norm_dx, NULL), ROW(dropout_train, NULL),
    ROW(dropout_dx, NULL),    ROW(count_mse, NULL),
    ROW(count_mse_dz, NULL),  {0},
};
