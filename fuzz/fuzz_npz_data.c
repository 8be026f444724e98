// fuzz_npz_data.c - arbitrary bytes as a data set in one .npz file.
#include "data/data_impl.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    lti_spec spec = {0};
    lti_open_args args = {.kind = "npz", .path = "fuzz", .spec = &spec};
    lti_raw raw = {0};
    if (lti_npz_set_parse(bytes, n, "fuzz", &args, &raw) == LT_OK)
        for (int s = 0; s < 2; s++)
            for (int64_t i = 0; i < raw.split[s].n; i++)
                if (raw.split[s].y[i] < 0 || raw.split[s].y[i] >= raw.n_classes)
                    abort();
    lti_raw_clear(&raw);
    return 0;
}
