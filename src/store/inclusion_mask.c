// keep.c - which sample trains which reference model.
//
// Columns are drawn independently: the models of a sample do not depend on the number of other samples, and each has
// a sequence of its own, so no order of drawing can matter.
#include "store_impl.h"

lt_status lt_inclusion_mask(int count, int64_t n, uint64_t seed, uint8_t *member)
{
    if (count < 2 || count % 2 != 0) {
        LT_FAIL(LT_E_USAGE, "reference models: expected an even number of at least 2, found %d", count);
        return lt_error_hint("every sample is in the training data of exactly half of the models");
    }
    int *rank = lti_malloc((size_t)count * sizeof *rank);
    if (!rank)
        return LTI_NOMEM("inclusion mask");
    for (int64_t j = 0; j < n; j++) {
        lt_rng rng = lt_rng_at(seed, LT_STREAM_MASK, 0, (uint64_t)j);
        for (int r = 0; r < count; r++)
            rank[r] = r;
        for (int r = count - 1; r > 0; r--) { // Fisher and Yates
            const int other = (int)lt_rng_below(&rng, (uint64_t)r + 1), keep = rank[r];
            rank[r] = rank[other];
            rank[other] = keep;
        }
        for (int r = 0; r < count; r++) // [AMUN 7.4] IN where the rank is below M/2
            member[(int64_t)r * n + j] = rank[r] < count / 2;
    }
    lti_free(rank);
    return LT_OK;
}
