// fuzz_requests.c - arbitrary bytes as a stream of forget requests. Lines that name files are refused by a directory
// that is not there.
#include "data/data_impl.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

// An absolute path would be read whatever it is; the file's own parser has its own target.
static bool names_absolute_file(const uint8_t *bytes, size_t n)
{
    static const char text[] = "file:/";
    for (size_t i = 0; i + sizeof text - 1 <= n; i++)
        if (memcmp(bytes + i, text, sizeof text - 1) == 0)
            return true;
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    enum { N = 64 };
    static const uint8_t x[N];
    static const int32_t y[N];
    lt_dataset *ds;
    lt_requests r;
    int64_t gone_row[] = {3, 9};
    const lt_index_set gone = {.n = 2, .row = gone_row};
    const lt_request_ask ask = {.seed = 1, .gone = &gone};
    uint8_t seen[N] = {[3] = 1, [9] = 1};
    if (names_absolute_file(bytes, n))
        return 0;
    if (lt_dataset_from_arrays(1, 1, 1, 2, N, x, y, 0, NULL, NULL, &ds) != LT_OK)
        abort();
    if (lti_requests_parse(ds, (const char *)bytes, n, "fuzz", "/nonexistent", &ask, &r) == LT_OK) {
        if (r.n < 1)
            abort();
        for (int k = 0; k < r.n; k++)
            for (int64_t i = 0; i < r.request[k].forget.n; i++) {
                const int64_t row = r.request[k].forget.row[i];
                if (row < 0 || row >= N || seen[row]++)
                    abort();
            }
    } else if (r.request || r.n) {
        abort();
    }
    lt_requests_clear(&r);
    lt_dataset_close(ds);
    return 0;
}
