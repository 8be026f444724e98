// event_augment.c - EventDrop (Gu et al., IJCAI 2021) on frames of counts.
//
// One of four is chosen for each sample and epoch: nothing; every event with a ratio of 0.1 to 0.9; the events of a
// piece of time of that ratio; those of an area of a ratio of 0.05 to 0.3 of the pixels. On frames a piece of time is a
// run of whole frames, rounded.
#include "data_impl.h"
#include <math.h>
#include <string.h>

enum { NOTHING, RATIO, TIME, AREA, N_WAYS };

static float draw_ratio(lt_rng *rng)
{
    return 0.1f * (float)(1 + lt_rng_below(rng, 9));
}

// Each of the events of a pixel by itself.
static void drop_ratio(lt_rng *rng, float ratio, int64_t n, float *x)
{
    for (int64_t i = 0; i < n; i++) {
        const int count = (int)lrintf(x[i] * 255);
        int left = 0;
        for (int k = 0; k < count; k++)
            left += lt_rng_uniform(rng) >= ratio;
        if (count)
            x[i] = (float)left / 255.0f;
    }
}

static void drop_time(lt_rng *rng, const lt_dataset *ds, float *x)
{
    const size_t frame = 2 * (size_t)ds->h * (size_t)ds->w;
    const int n = (int)lrintf(draw_ratio(rng) * (float)ds->steps);
    const int first = (int)lt_rng_below(rng, (uint64_t)ds->steps - (uint64_t)n + 1);
    memset(x + (size_t)first * frame, 0, (size_t)n * frame * sizeof *x);
}

static void drop_area(lt_rng *rng, const lt_dataset *ds, float *x)
{
    const float side = sqrtf(0.05f * (float)(1 + lt_rng_below(rng, 6)));
    const int h = (int)lrintf(side * (float)ds->h), w = (int)lrintf(side * (float)ds->w);
    const int top = (int)lt_rng_below(rng, (uint64_t)ds->h - (uint64_t)h + 1),
              left = (int)lt_rng_below(rng, (uint64_t)ds->w - (uint64_t)w + 1);
    for (int c = 0; c < ds->c; c++)
        for (int r = top; r < top + h; r++)
            memset(x + ((size_t)c * (size_t)ds->h + (size_t)r) * (size_t)ds->w + left, 0, (size_t)w * sizeof *x);
}

void lti_event_drop(const lt_dataset *ds, lt_rng rng, float *x)
{
    switch (lt_rng_below(&rng, N_WAYS)) {
    case RATIO: {
        const float ratio = draw_ratio(&rng);
        drop_ratio(&rng, ratio, (int64_t)ds->c * ds->h * ds->w, x);
        break;
    }
    case TIME:
        drop_time(&rng, ds, x);
        break;
    case AREA:
        drop_area(&rng, ds, x);
        break;
    default:
        break;
    }
}
