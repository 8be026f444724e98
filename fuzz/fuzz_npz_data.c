// fuzz_npz_data.c - arbitrary bytes as a data set of arrays: one .npz file, or a safetensors file whose images stay
// where they are.
#include "data/data_impl.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    lti_spec spec = {0};
    lti_open_args args = {.kind = "npz", .path = "fuzz", .spec = &spec};
    lti_raw raw = {0};
    lt_status status;
    if (n >= 2 && !memcmp(bytes, "PK", 2)) {
        status = lti_npz_set_parse(bytes, n, "fuzz", &args, &raw);
    } else {
        status = lt_safetensors_parse(bytes, n, "fuzz", &raw.file);
        if (status == LT_OK)
            status = lti_arrays_take(raw.file, "fuzz", &args, &raw);
    }
    unsigned sum = 0;
    if (status == LT_OK)
        for (int s = 0; s < 2; s++)
            for (int64_t i = 0; i < raw.split[s].n; i++) {
                if (raw.split[s].y[i] < 0 || raw.split[s].y[i] >= raw.n_classes)
                    abort();
                const size_t image = lti_raw_sample_bytes(&raw);
                sum += raw.split[s].x[(size_t)i * image] + raw.split[s].x[(size_t)(i + 1) * image - 1];
            }
    static volatile unsigned sink;
    sink = sum;
    (void)sink;
    lti_raw_clear(&raw);
    return 0;
}
