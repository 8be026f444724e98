// quantize_impl.h - what the files of quantized runs share.
#ifndef LTI_RUN_QUANTIZE_IMPL_H
#define LTI_RUN_QUANTIZE_IMPL_H
#include "lethe/evaluation.h"
#include "lethe/quantization.h"
#include "run/run_impl.h"

lt_status lti_open_quantize_dir(const lt_quantize_order *o, const char *label, const char *parent_digest,
                                lt_result_dir *to);
void lti_write_chip(lti_json *j, const lt_quant_chip *chip, int bits); // bits of a weight
#endif
