// fuzz_svhn.c - arbitrary bytes as a MATLAB file of Street View House Numbers.
#include "data/data_impl.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    lti_raw raw = {.c = 3, .h = 32, .w = 32, .n_classes = 10};
    unsigned sum = 0;
    if (lti_svhn_parse(bytes, n, "fuzz", LT_TRAIN, &raw) == LT_OK) {
        const lti_raw_split *d = &raw.split[LT_TRAIN];
        for (int64_t i = 0; i < d->n; i++) {
            if (d->y[i] < 0 || d->y[i] >= raw.n_classes)
                abort();
            for (size_t k = 0; k < lti_raw_sample_bytes(&raw); k++)
                sum += d->x[(size_t)i * lti_raw_sample_bytes(&raw) + k];
        }
    }
    static volatile unsigned sink;
    sink = sum;
    (void)sink;
    lti_raw_clear(&raw);
    return 0;
}
