// ste_masked.c - straight-through training with bit-mapped faulty weights in the forward pass [QAT 6, masked STE].
#include "quant/quant_impl.h"

const lti_quantizer lti_quantizer_ste_masked = {
    .info = {.name = "ste-masked",
             .title = "Straight-through training through the faults of the chip (bit map)",
             .cite = "matic2018",
             .doc = "The nearest level is written and read through the faults; float weights learn around them."},
    .flags = LTI_Q_FORWARD,
    .grid = LTI_GRID_MIDRISE,
    .forward = lti_ste_forward,
    .backward = lti_ste_backward,
    .force_mapping = 1 + LT_MAP_BITMAP};
