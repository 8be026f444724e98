// msqe_only.c - the penalty alone, at one weight and without snaps: what plain scripts of the paper's code do
// [QAT 1.7].
#include "quant/quant_impl.h"

const lti_quantizer lti_quantizer_msqe_only = {
    .info = {.name = "msqe-only",
             .title = "The penalty of msqe at a constant weight, never snapped",
             .cite = "biswas2025",
             .doc = "Weights are put on levels only at the end: the residual says how much of the accuracy is luck."},
    .flags = LTI_Q_PENALTY | LTI_Q_NEVER_SNAPS | LTI_Q_NO_RAMP,
    .grid = LTI_GRID_MIDRISE,
    .penalize = lti_msqe_penalize,
    .stiffness = lti_msqe_stiffness};
