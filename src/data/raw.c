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

lt_status lti_raw_use_scratch(lti_raw *raw, const lti_open_args *args)
{
    const char *dir;
    LT_TRY(lti_scratch_dir(args, &dir));
    if (dir && !(raw->scratch = lti_arena_strdup(&raw->arena, dir)))
        return LTI_NOMEM("images");
    return LT_OK;
}

static lt_status reserve_labels(const lti_raw *raw, lti_raw_split *d, int64_t cap)
{
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
    return LT_OK;
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
    LT_TRY(lti_pixels_resize(&d->pixels, raw->scratch, x_bytes));
    d->x = d->pixels.x;
    LT_TRY(reserve_labels(raw, d, cap));
    d->cap = cap;
    return LT_OK;
}

lt_status lti_raw_borrow(lti_raw *raw, lt_split s, int64_t n, uint8_t *x)
{
    lti_raw_split *d = &raw->split[s];
    LT_TRY(reserve_labels(raw, d, n));
    for (int64_t i = 0; i < n; i++)
        d->id[i] = i;
    d->x = x;
    d->n = d->cap = n;
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

// Images in the reader's file are left as they are: those that stay are copied.
static lt_status copy_kept(lti_raw *raw, lti_raw_split *d, const uint8_t *keep)
{
    const size_t bytes = lti_raw_sample_bytes(raw);
    int64_t n = 0;
    for (int64_t i = 0; i < d->n; i++)
        n += keep[i] != 0;
    if (n == d->n)
        return LT_OK;
    LT_TRY(lti_pixels_resize(&d->pixels, raw->scratch, (size_t)n * bytes));
    uint8_t *to = d->pixels.x;
    for (int64_t i = 0; i < d->n; i++)
        if (keep[i]) {
            memcpy(to, d->x + (size_t)i * bytes, bytes);
            to += bytes;
        }
    d->x = d->pixels.x;
    d->cap = n;
    return LT_OK;
}

lt_status lti_raw_keep(lti_raw *raw, lt_split s, const uint8_t *keep)
{
    lti_raw_split *d = &raw->split[s];
    size_t bytes = lti_raw_sample_bytes(raw);
    const bool own = d->pixels.x != NULL;
    int64_t n = 0;
    if (!own)
        LT_TRY(copy_kept(raw, d, keep));
    for (int64_t i = 0; i < d->n; i++) {
        if (!keep[i])
            continue;
        if (n != i && own)
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
    if (own && n > 0 && n < d->cap && lti_pixels_resize(&d->pixels, raw->scratch, (size_t)n * bytes) == LT_OK) {
        d->x = d->pixels.x;
        d->cap = n;
    }
    return LT_OK;
}

void lti_raw_split_clear(lti_raw_split *d)
{
    lti_pixels_clear(&d->pixels);
    lti_free(d->y);
    lti_free(d->id);
    lti_free(d->other);
    lti_free(d->name);
    *d = (lti_raw_split){0};
}

void lti_raw_clear(lti_raw *raw)
{
    for (int s = 0; s < 2; s++)
        lti_raw_split_clear(&raw->split[s]);
    lt_tensor_file_close(raw->file);
    lti_arena_clear(&raw->arena);
    *raw = (lti_raw){0};
}
