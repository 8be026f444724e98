// augment.h - crop, flip and random label of one sample as a function of (seed, epoch, view tag, official id): the same
// lines for the loader's threads and for a kernel on a device, so both see the same batches to the last bit.
#ifndef LTI_AUGMENT_H
#define LTI_AUGMENT_H
#include "base/rng_draw.h"

// Where each output pixel comes from: out(r, q) = in(r + dy, (flip ? w-1-q : q) + dx), zero outside.
typedef struct lti_move {
    int32_t dy, dx, flip;
} lti_move;

// The counter's index: official ids stay below 2^40, so views with different tags never share random numbers.
LTI_HOST_DEVICE uint64_t lti_draw_index(int32_t tag, int64_t id)
{
    return ((uint64_t)(uint32_t)tag << 40) ^ (uint64_t)id;
}

// dy and dx from -pad..pad, a fair flip.
LTI_HOST_DEVICE lti_move lti_draw_move(uint64_t seed, uint32_t epoch, int32_t tag, int64_t id, int32_t pad)
{
    lt_rng rng = lti_rng_at(seed, LT_STREAM_AUGMENT, epoch, lti_draw_index(tag, id));
    const uint32_t span = 2 * (uint32_t)pad + 1;
    lti_move m;
    m.dy = (int32_t)lti_rng_below32(&rng, span) - pad;
    m.dx = (int32_t)lti_rng_below32(&rng, span) - pad;
    m.flip = (int32_t)lti_rng_below32(&rng, 2);
    return m;
}

// Bits of how an image is made.
enum { LTI_IMAGE_AUGMENT = 1, LTI_IMAGE_FLOATS = 2 };

// A true division, to agree with other tools to the last bit.
LTI_HOST_DEVICE float lti_pixel(uint8_t byte)
{
    return (float)byte / 255.0f;
}
#endif
