// msqe_levels.c - the penalty of msqe with learned bit multipliers: a_c = sum_b beta_b(c) R_b - R_n [QAT 1.2].
#include "quant/quant_impl.h"

const lti_quantizer lti_quantizer_msqe_levels = {
    .info = {.name = "msqe-levels",
             .title = "Squared distance to the nearest level, learned levels",
             .cite = "biswas2025",
             .doc = "As msqe; the n gains of the bits and the reference of each grid are learned, which gives levels "
                    "that are not equally far apart."},
    .flags = LTI_Q_PENALTY,
    .grid = LTI_GRID_MULTIPLIERS,
    .n_own = lti_own_gains,
    .own_lr = 1e-4f,
    .penalize = lti_msqe_penalize,
    .stiffness = lti_msqe_stiffness};
