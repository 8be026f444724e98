// raw.c - the growing arrays a reader fills.
//
// Growth doubles, sizes are overflow-checked because counts come from file headers. Rows keep the reader's order, and
// ids number them, so dropping rows keeps ids ascending: everything that looks an id up relies on that.
#include "data_impl.h"
#include <string.h>

size_t lti_raw_sample_bytes(const lti_raw *raw)
{
    return (size_t)raw->c * (size_t)raw->h * (size_t)raw->w;
}

lt_status lti_raw_reserve(lti_raw *raw, lt_split s, int64_t cap)
{
    lti_raw_split *d = &raw->split[s];
    if (cap <= d->cap)
        return LT_OK;
    size_t x_bytes;
    if (cap > LTI_MAX_SAMPLES || lti_mul_size((size_t)cap, lti_raw_sample_bytes(raw), &x_bytes) ||
        x_bytes > PTRDIFF_MAX)
        return LT_FAIL(LT_E_FORMAT, "%lld images of %dx%dx%d do not fit in memory", (long long)cap, raw->c, raw->h,
                       raw->w);
    uint8_t *x = lti_realloc(d->x, x_bytes);
    if (!x)
        return LTI_NOMEM("images");
    d->x = x;
    int32_t *y = lti_realloc(d->y, (size_t)cap * sizeof *y);
    if (!y)
        return LTI_NOMEM("labels");
    d->y = y;
    int64_t *id = lti_realloc(d->id, (size_t)cap * sizeof *id);
    if (!id)
        return LTI_NOMEM("sample ids");
    d->id = id;
    int32_t *other = raw->n_other > 0 ? lti_realloc(d->other, (size_t)cap * sizeof *other) : NULL;
    if (raw->n_other > 0 && !other)
        return LTI_NOMEM("labels");
    d->other = raw->n_other > 0 ? other : d->other;
    d->cap = cap;
    return LT_OK;
}

lt_status lti_raw_append(lti_raw *raw, lt_split s, int32_t y, uint8_t **x)
{
    lti_raw_split *d = &raw->split[s];
    if (d->n == d->cap)
        LT_TRY(lti_raw_reserve(raw, s, d->cap < 64 ? 64 : 2 * d->cap));
    *x = d->x + (size_t)d->n * lti_raw_sample_bytes(raw);
    d->y[d->n] = y;
    d->id[d->n] = d->n;
    if (d->other)
        d->other[d->n] = 0;
    d->n++;
    return LT_OK;
}

void lti_raw_keep(lti_raw *raw, lt_split s, const uint8_t *keep)
{
    lti_raw_split *d = &raw->split[s];
    size_t bytes = lti_raw_sample_bytes(raw);
    int64_t n = 0;
    for (int64_t i = 0; i < d->n; i++) {
        if (!keep[i])
            continue;
        if (n != i)
            memcpy(d->x + (size_t)n * bytes, d->x + (size_t)i * bytes, bytes);
        d->y[n] = d->y[i];
        d->id[n] = d->id[i];
        if (d->other)
            d->other[n] = d->other[i];
        if (d->name)
            d->name[n] = d->name[i];
        n++;
    }
    d->n = n;
    // Give the rest back; a failing shrink only means that the memory stays.
    uint8_t *x = n > 0 && n < d->cap ? lti_realloc(d->x, (size_t)n * bytes) : NULL;
    if (x) {
        d->x = x;
        d->cap = n;
    }
}

void lti_raw_clear(lti_raw *raw)
{
    for (int s = 0; s < 2; s++) {
        lti_free(raw->split[s].x);
        lti_free(raw->split[s].y);
        lti_free(raw->split[s].id);
        lti_free(raw->split[s].other);
        lti_free(raw->split[s].name);
    }
    lti_arena_clear(&raw->arena);
    *raw = (lti_raw){0};
}
