// index_set.c - rows of a split as sets, their complements and ranges, and the way back from official ids.
#include "data_impl.h"
#include <string.h>

void lt_index_set_clear(lt_index_set *set)
{
    if (!set)
        return;
    lti_free(set->row);
    *set = (lt_index_set){0};
}

static lt_status rows_alloc(int64_t n, lt_index_set *set)
{
    size_t bytes;
    *set = (lt_index_set){0};
    if (n < 0 || lti_mul_size((size_t)n, sizeof *set->row, &bytes))
        return LT_FAIL(LT_E_USAGE, "an index set cannot have %lld rows", (long long)n);
    set->row = lti_malloc(bytes);
    return set->row ? LT_OK : LTI_NOMEM("index set");
}

lt_status lt_index_set_range(int64_t n, lt_index_set *all)
{
    LT_TRY(rows_alloc(n, all));
    for (int64_t i = 0; i < n; i++)
        all->row[i] = i;
    all->n = n;
    return LT_OK;
}

lt_status lt_index_set_complement(int64_t n, const lt_index_set *set, lt_index_set *rest)
{
    *rest = (lt_index_set){0};
    uint8_t *in = lti_calloc((size_t)(n > 0 ? n : 1), 1);
    if (!in)
        return LTI_NOMEM("index set");
    lt_status status = LT_OK;
    int64_t n_in = 0;
    for (int64_t i = 0; i < set->n; i++) {
        int64_t row = set->row[i];
        if (row < 0 || row >= n) {
            status = LT_FAIL(LT_E_USAGE, "index set: row %lld is outside 0..%lld", (long long)row, (long long)n - 1);
            goto out;
        }
        n_in += !in[row];
        in[row] = 1;
    }
    LT_TRY_GOTO(rows_alloc(n - n_in, rest), out);
    for (int64_t i = 0; i < n; i++)
        if (!in[i])
            rest->row[rest->n++] = i;
out:
    lti_free(in);
    return status;
}

// Binary search: readers number samples in order and subsets only drop rows, so ids ascend.
int64_t lti_dataset_row_of_id(const lt_dataset *ds, lt_split split, int64_t id)
{
    const lt_split_data *d = &ds->split[split];
    int64_t lo = 0, hi = d->n;
    while (lo < hi) {
        int64_t mid = lo + (hi - lo) / 2;
        if (d->id[mid] < id)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < d->n && d->id[lo] == id ? lo : -1;
}

int64_t lt_dataset_row_of_id(const lt_dataset *ds, lt_split split, int64_t id)
{
    return lti_dataset_row_of_id(ds, split, id);
}
