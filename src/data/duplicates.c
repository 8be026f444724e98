// duplicates.c - images that two groups of a data set share, pixel for pixel.
#include "data/data_impl.h"
#include <stdlib.h>
#include <string.h>

enum { FORGET, RETAIN, TEST, N_GROUPS };
struct image {
    uint64_t hash;
    const uint8_t *x;
    int8_t group;
};

static uint64_t hash_bytes(const uint8_t *x, size_t n) // FNV-1a; equal hashes are compared byte by byte
{
    uint64_t h = 1469598103934665603u;
    for (size_t i = 0; i < n; i++)
        h = (h ^ x[i]) * 1099511628211u;
    return h;
}

static int compare_hashes(const void *a, const void *b)
{
    uint64_t x = ((const struct image *)a)->hash, y = ((const struct image *)b)->hash;
    return (x > y) - (x < y);
}

static int64_t add_images(struct image *out, const lt_split_data *split, const lt_index_set *rows, size_t bytes,
                          int8_t group)
{
    int64_t n = rows ? rows->n : split->n;
    for (int64_t i = 0; i < n; i++) {
        const uint8_t *x = split->x + (size_t)(rows ? rows->row[i] : i) * bytes;
        out[i] = (struct image){hash_bytes(x, bytes), x, group};
    }
    return n;
}

// Images of group `from` that have an equal one in another group, counted by that group.
static void count_shared(struct image *all, int64_t n, size_t bytes, int from, int64_t found[N_GROUPS])
{
    qsort(all, (size_t)n, sizeof *all, compare_hashes);
    for (int64_t i = 0, end; i < n; i = end) {
        for (end = i + 1; end < n && all[end].hash == all[i].hash;)
            end++;
        for (int64_t a = i; a < end; a++) {
            bool shared[N_GROUPS] = {false};
            for (int64_t b = i; all[a].group == from && b < end; b++)
                if (!shared[all[b].group] && all[b].group != from)
                    shared[all[b].group] = !memcmp(all[a].x, all[b].x, bytes);
            for (int g = 0; g < N_GROUPS; g++)
                found[g] += shared[g];
        }
    }
}

static size_t image_bytes(const lt_dataset *ds)
{
    return (size_t)ds->c * (size_t)ds->h * (size_t)ds->w;
}

lt_status lt_dataset_duplicates(const lt_dataset *ds, const lt_index_set *forget, const lt_index_set *retain,
                                lt_duplicates *out)
{
    const lt_split_data *train = &ds->split[LT_TRAIN], *test = &ds->split[LT_TEST];
    int64_t found[N_GROUPS] = {0};
    struct image *all = lti_calloc((size_t)(forget->n + retain->n + test->n) + 1, sizeof *all);
    if (!all)
        return LTI_NOMEM("duplicate images");
    int64_t n = add_images(all, train, forget, image_bytes(ds), FORGET);
    n += add_images(all + n, train, retain, image_bytes(ds), RETAIN);
    n += add_images(all + n, test, NULL, image_bytes(ds), TEST);
    count_shared(all, n, image_bytes(ds), FORGET, found);
    lti_free(all);
    *out = (lt_duplicates){.in_retain = found[RETAIN], .in_test = found[TEST]};
    return LT_OK;
}

lt_status lt_dataset_shared_images(const lt_dataset *ds, int64_t *n_shared)
{
    const lt_split_data *train = &ds->split[LT_TRAIN], *test = &ds->split[LT_TEST];
    int64_t found[N_GROUPS] = {0};
    struct image *all = lti_calloc((size_t)(train->n + test->n) + 1, sizeof *all);
    if (!all)
        return LTI_NOMEM("duplicate images");
    int64_t n = add_images(all, train, NULL, image_bytes(ds), RETAIN);
    n += add_images(all + n, test, NULL, image_bytes(ds), TEST);
    count_shared(all, n, image_bytes(ds), TEST, found);
    lti_free(all);
    *n_shared = found[RETAIN];
    return LT_OK;
}
