// fuzz_cifar.c - arbitrary bytes as CIFAR records. The first byte chooses the layout.
#include "data/data_impl.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    const lti_cifar_layout *const layouts[3] = {&lti_cifar10_layout, &lti_cifar100_layout, &lti_cifar100_coarse_layout};
    if (n < 1)
        return 0;
    const lti_cifar_layout *layout = layouts[bytes[0] % 3];
    lti_raw raw = {.c = 3, .h = 32, .w = 32, .n_classes = layout->limit[layout->label_at]};
    if (lti_cifar_parse(bytes + 1, n - 1, layout, "fuzz", LT_TRAIN, &raw) == LT_OK)
        for (int64_t i = 0; i < raw.split[LT_TRAIN].n; i++)
            if (raw.split[LT_TRAIN].y[i] >= raw.n_classes)
                abort();
    lti_raw_clear(&raw);
    return 0;
}
