// fuzz_idx.c - arbitrary bytes as a pair of IDX files: two bytes say how long the labels are, the images follow.
#include "data/data_impl.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    if (n < 2)
        return 0;
    size_t n_labels = (size_t)bytes[0] | (size_t)bytes[1] << 8;
    n_labels = n_labels < n - 2 ? n_labels : n - 2;
    lti_idx_source labels = {bytes + 2, n_labels, "labels"},
                   images = {bytes + 2 + n_labels, n - 2 - n_labels, "images"};
    lti_raw raw = {.c = 1, .n_classes = 10};
    if (lti_idx_parse(&images, &labels, LT_TRAIN, &raw) == LT_OK)
        for (int64_t i = 0; i < raw.split[LT_TRAIN].n; i++)
            if (raw.split[LT_TRAIN].y[i] < 0 || raw.split[LT_TRAIN].y[i] >= 10)
                abort();
    lti_raw_clear(&raw);
    return 0;
}
