// near_duplicates.c - training images that show what a forgotten image shows: copies, and copies that were saved again,
// brightened, slightly shifted or mirrored.
//
// An image is described by box averages on a coarse grid, less their mean and scaled to length 1, so that brightness
// and contrast do not matter; two descriptions are compared by their correlation, the second one mirrored as well. What
// is close enough there is compared again at a fine grid. Thresholds: a crop of one pixel and JPEG of quality 50 keep a
// photograph above them, other photographs of the same class stay far below (test_samples).
#include "data_impl.h"
#include <math.h>
#include <string.h>

enum { COARSE = 6, FINE = 16, CHANNELS_MAX = 3, DIM_MAX = CHANNELS_MAX * FINE * FINE };
static const float coarse_least = 0.95f;

typedef struct describer {
    const lt_dataset *ds;
    int grid, channels, dim; // dim = channels * grid * grid
} describer;

static describer describer_of(const lt_dataset *ds, int grid)
{
    const int side = ds->h < ds->w ? ds->h : ds->w;
    describer d = {
        .ds = ds, .grid = grid < side ? grid : side, .channels = ds->c < CHANNELS_MAX ? ds->c : CHANNELS_MAX};
    d.dim = d.channels * d.grid * d.grid;
    return d;
}

// out (channels, grid, grid), mean 0 and length 1; all zero for an image of one colour.
static void describe_image(const describer *d, int64_t row, bool mirrored, float *out)
{
    const lt_dataset *ds = d->ds;
    const uint8_t *x = ds->split[LT_TRAIN].x + (size_t)row * (size_t)(ds->c * ds->h * ds->w);
    double mean = 0, square = 0;
    for (int c = 0, k = 0; c < d->channels; c++)
        for (int i = 0; i < d->grid; i++)
            for (int j = 0; j < d->grid; j++, k++) {
                const int top = i * ds->h / d->grid, bottom = (i + 1) * ds->h / d->grid;
                const int left = j * ds->w / d->grid, right = (j + 1) * ds->w / d->grid;
                int64_t sum = 0;
                for (int h = top; h < bottom; h++)
                    for (int w = left; w < right; w++)
                        sum += x[(c * ds->h + h) * ds->w + (mirrored ? ds->w - 1 - w : w)];
                out[k] = (float)((double)sum / ((bottom - top) * (right - left)));
                mean += out[k];
            }
    mean /= d->dim;
    for (int k = 0; k < d->dim; k++) {
        out[k] -= (float)mean;
        square += (double)out[k] * out[k];
    }
    const float scale = square > 0 ? (float)(1 / sqrt(square)) : 0;
    for (int k = 0; k < d->dim; k++)
        out[k] *= scale;
}

static float correlate(const float *a, const float *b, int n)
{
    float sum = 0;
    for (int k = 0; k < n; k++)
        sum += a[k] * b[k];
    return sum;
}

static float compare_fine(const describer *fine, int64_t forgotten, int64_t kept, bool mirrored)
{
    float a[DIM_MAX], b[DIM_MAX];
    describe_image(fine, forgotten, false, a);
    describe_image(fine, kept, mirrored, b);
    return correlate(a, b, fine->dim);
}

// The most similar forgotten image of a kept one.
static lt_near_duplicate find_nearest(const describer *coarse, const describer *fine, const lt_index_set *forget,
                                      const float *known, int64_t row)
{
    lt_near_duplicate best = {.row = row, .of_row = -1};
    float own[2][DIM_MAX];
    describe_image(coarse, row, false, own[0]);
    describe_image(coarse, row, true, own[1]);
    for (int64_t i = 0; i < forget->n; i++)
        for (int mirrored = 0; mirrored < 2; mirrored++) {
            if (correlate(known + i * coarse->dim, own[mirrored], coarse->dim) < coarse_least)
                continue;
            const float similarity = compare_fine(fine, forget->row[i], row, mirrored != 0);
            if (similarity > best.similarity) {
                best.similarity = similarity;
                best.of_row = forget->row[i];
                best.mirrored = mirrored != 0;
            }
        }
    return best;
}

void lt_near_duplicates_clear(lt_near_duplicates *found)
{
    lti_free(found->item);
    *found = (lt_near_duplicates){0};
}

lt_status lt_dataset_near_duplicates(const lt_dataset *ds, const lt_index_set *forget, const lt_index_set *kept,
                                     double least, lt_near_duplicates *found)
{
    const describer coarse = describer_of(ds, COARSE), fine = describer_of(ds, FINE);
    *found = (lt_near_duplicates){0};
    float *known = lti_calloc((size_t)(forget->n * coarse.dim) + 1, sizeof *known);
    lt_near_duplicate *nearest = lti_calloc((size_t)kept->n + 1, sizeof *nearest);
    if (!known || !nearest) {
        lti_free(known);
        lti_free(nearest);
        return LTI_NOMEM("near duplicates");
    }
    for (int64_t i = 0; i < forget->n; i++)
        describe_image(&coarse, forget->row[i], false, known + i * coarse.dim);
#pragma omp parallel for schedule(dynamic, 64)
    for (int64_t i = 0; i < kept->n; i++)
        nearest[i] = find_nearest(&coarse, &fine, forget, known, kept->row[i]);
    for (int64_t i = 0; i < kept->n; i++)
        if (nearest[i].of_row >= 0 && (double)nearest[i].similarity >= least)
            nearest[found->n++] = nearest[i];
    lti_free(known);
    found->item = nearest;
    return LT_OK;
}
