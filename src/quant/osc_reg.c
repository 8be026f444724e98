// osc_reg.c - the penalty of msqe with lambda < 0, then post-training quantization [QAT 6, R]: weights are pushed away
// from levels, towards midpoints, where rounding either way costs the same. A reconstruction: the exact form of the
// paper was not available. The nearest-level form is bounded by half a step.
#include "quant/quant_impl.h"

const lti_quantizer lti_quantizer_osc_reg = {
    .info = {.name = "osc-reg",
             .title = "Oscillation regularizer: away from the levels, then rounding (reconstruction)",
             .cite = "oscreg2025",
             .doc = "The penalty of msqe with a negative weight over float training; levels are fitted at the end."},
    .flags = LTI_Q_PENALTY | LTI_Q_NEVER_SNAPS | LTI_Q_NO_RAMP | LTI_Q_PTQ_AFTER,
    .grid = LTI_GRID_MIDRISE,
    .sign = -1,
    .penalize = lti_msqe_penalize,
    .stiffness = lti_msqe_stiffness};
