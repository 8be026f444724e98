// pact.c - PACT: activations clipped at a learned bound, weights as DoReFa's [QAT 6].
#include "quant/dorefa.h"

const lti_quantizer lti_quantizer_pact = {
    .info = {.name = "pact",
             .title = "PACT: learned clipping of activations, DoReFa weights",
             .cite = "pact2018",
             .doc = "Needs --act-bits: the activations are what PACT is about; weights are those of dorefa."},
    .flags = LTI_Q_FORWARD,
    .grid = LTI_GRID_MIDRISE,
    .first_step = lti_dorefa_step,
    .forward = lti_ste_forward,
    .backward = lti_dorefa_backward,
    .prepare = lti_dorefa_prepare,
    .latent = lti_dorefa_latent,
    .act_method = 1 + LT_ACT_PACT};
