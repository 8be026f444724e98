// ste_reachable.c - straight-through training on the levels that each weight can have on its chip [QAT 6,
// nearest-reachable STE].
#include "quant/quant_impl.h"

const lti_quantizer lti_quantizer_ste_reachable = {
    .info = {.name = "ste-reachable",
             .title = "Straight-through training on the reachable levels of each weight",
             .cite = "faq2023",
             .doc = "The forward pass uses the nearest level (or actual value) that the weight can have on its chip."},
    .flags = LTI_Q_FORWARD,
    .grid = LTI_GRID_MIDRISE,
    .forward = lti_ste_forward,
    .backward = lti_ste_backward,
    .force_mapping = 1 + LT_MAP_NEAREST};
