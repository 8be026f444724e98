// arg_max.h - the class that a model predicts, from its logits. One rule everywhere: the first of equals.
#ifndef LTI_ARG_MAX_H
#define LTI_ARG_MAX_H
#include "base/host_device.h"
#include <stdint.h>

LTI_HOST_DEVICE int32_t lti_arg_max(const float *z, int32_t k)
{
    int32_t best = 0;
    for (int32_t j = 1; j < k; j++)
        if (z[j] > z[best])
            best = j;
    return best;
}
#endif
