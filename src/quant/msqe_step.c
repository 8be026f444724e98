// msqe_step.c - the penalty of msqe with a learned step: the grid follows the weights by the penalty alone [QAT 1.2].
#include "quant/quant_impl.h"

const lti_quantizer lti_quantizer_msqe_step = {
    .info = {.name = "msqe-step",
             .title = "Squared distance to the nearest level, learned step",
             .cite = "biswas2025",
             .doc = "As msqe; the step of each grid is learned from the gradient of the penalty."},
    .flags = LTI_Q_PENALTY,
    .grid = LTI_GRID_MIDRISE,
    .n_own = lti_own_one,
    .own_lr = 1e-4f,
    .penalize = lti_msqe_penalize,
    .stiffness = lti_msqe_stiffness};
