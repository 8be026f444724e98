// resized_crop.c - random resized crop and flip, as torchvision's RandomResizedCrop and RandomHorizontalFlip: a window
// of 8 to 100 % of the image's area and an aspect of 3/4 to 4/3, scaled back to the image's size (bilinear, pixel
// centres).
//
// A window is never larger than the image, so it is only ever scaled up and antialiasing has nothing to do.
#include "data_impl.h"
#include "base/augment.h"
#include <math.h>

lti_window lti_draw_window(uint64_t seed, uint32_t epoch, int32_t tag, int64_t id, int h, int w)
{
    lt_rng rng = lt_rng_at(seed, LT_STREAM_AUGMENT, epoch, lti_draw_index(tag, id));
    lti_window win = {.flip = (int)lt_rng_below(&rng, 2)};
    for (int i = 0; i < 10; i++) {
        const double area = (double)h * w * (0.08 + 0.92 * (double)lt_rng_uniform(&rng));
        const double aspect = exp(log(0.75) + (double)lt_rng_uniform(&rng) * (log(4.0 / 3) - log(0.75)));
        win.w = (int)lrint(sqrt(area * aspect));
        win.h = (int)lrint(sqrt(area / aspect));
        if (win.w < 1 || win.w > w || win.h < 1 || win.h > h)
            continue;
        win.y = (int)lt_rng_below(&rng, (uint64_t)(h - win.h) + 1);
        win.x = (int)lt_rng_below(&rng, (uint64_t)(w - win.w) + 1);
        return win;
    }
    // The largest centred window whose aspect is allowed.
    const double aspect = (double)w / h;
    win.w = aspect > 4.0 / 3 ? (int)lrint(h * 4.0 / 3) : w;
    win.h = aspect < 0.75 ? (int)lrint(w / 0.75) : h;
    win.y = (h - win.h) / 2;
    win.x = (w - win.w) / 2;
    return win;
}

// Source of output coordinate i: the lower neighbour, and the share of the upper one.
static int source_of(int i, int n_out, int from, int n_in, double *share)
{
    const double at = fmax((i + 0.5) * n_in / n_out - 0.5, 0);
    int low = (int)at;
    low = low < n_in - 1 ? low : n_in - 1;
    *share = low < n_in - 1 ? at - low : 0;
    return from + low;
}

static double pixel_at(const uint8_t *u8, const float *f32, size_t i)
{
    return u8 ? (double)lti_pixel(u8[i]) : (double)f32[i];
}

void lti_resized_crop(const uint8_t *u8, const float *f32, int c, int h, int w, lti_window win, float *out)
{
    for (int k = 0; k < c; k++)
        for (int r = 0; r < h; r++) {
            double dy = 0;
            const int y = source_of(r, h, win.y, win.h, &dy);
            for (int q = 0; q < w; q++) {
                double dx = 0;
                const int x = source_of(win.flip ? w - 1 - q : q, w, win.x, win.w, &dx);
                const size_t at = ((size_t)k * (size_t)h + (size_t)y) * (size_t)w + (size_t)x;
                const size_t right = dx > 0 ? 1 : 0, below = dy > 0 ? (size_t)w : 0;
                const double top = (1 - dx) * pixel_at(u8, f32, at) + dx * pixel_at(u8, f32, at + right);
                const double bottom =
                    (1 - dx) * pixel_at(u8, f32, at + below) + dx * pixel_at(u8, f32, at + below + right);
                *out++ = (float)((1 - dy) * top + dy * bottom);
            }
        }
}
