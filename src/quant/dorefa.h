// dorefa.h - the weights of DoReFa, which PACT uses too.
#ifndef LT_QUANT_DOREFA_H
#define LT_QUANT_DOREFA_H
#include "quant/quant_impl.h"
void lti_dorefa_prepare(lt_quant *q, const float *p);
float lti_dorefa_latent(const lti_grid *g, float w);
float lti_dorefa_step(const float *w, int64_t n, int bits);
void lti_dorefa_backward(const lti_qpiece *p);
#endif
