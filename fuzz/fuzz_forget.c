// fuzz_forget.c - arbitrary bytes as a list of indices to forget.
#include "data/data_impl.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    enum { N = 64 };
    static const uint8_t x[N];
    static const int32_t y[N];
    lt_dataset *ds;
    lt_index_set forget;
    if (lt_dataset_from_arrays(1, 1, 1, 2, N, x, y, 0, NULL, NULL, &ds) != LT_OK)
        abort();
    if (lti_forget_ids_parse(ds, (const char *)bytes, n, "fuzz", &forget) == LT_OK) {
        if (forget.n < 1 || forget.n >= N)
            abort();
        for (int64_t i = 0; i < forget.n; i++)
            if (forget.row[i] < 0 || forget.row[i] >= N || (i > 0 && forget.row[i] <= forget.row[i - 1]))
                abort();
    } else if (forget.row) {
        abort();
    }
    lt_index_set_clear(&forget);
    lt_dataset_close(ds);
    return 0;
}
