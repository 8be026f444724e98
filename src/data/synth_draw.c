// synth_draw.c - one picture of the procedural set.
//
// A picture shows one object, large, somewhere near the middle: one of five shapes (disc, square, triangle, cross,
// ring) with one of two surfaces (stripes or spots). The ten combinations are the classes. Everything else is nuisance:
// place, size, rotation, proportions, colours, surface period and contrast, a background with its own faint surface,
// small distractors of any class, a bar in front, uneven light, noise. Some objects are half-way to another shape and
// some surfaces half-way to the other, always nearer to their own class: labels are never wrong, but such pictures have
// to be memorised. The classes do not change under a mirror or a shift, so the usual crop and flip augmentation
// is valid.
//
// Only + - * / sqrt and floor are used, no libm functions with platform-dependent rounding, so that the bytes are the
// same everywhere. All randomness is lt_rng at (seed, LT_STREAM_SYNTHETIC, split, index).
#include "data_impl.h"
#include <math.h>
#include <string.h>

#pragma STDC FP_CONTRACT OFF

enum { SIDE = LTI_SYNTH_SIDE, N_SHAPES = 5, LABEL_STEP = 2 };
typedef enum shape { DISC, SQUARE, TRIANGLE, CROSS, RING } shape;

typedef struct rgb {
    float c[3];
} rgb;

typedef struct surface { // two colours mixed by a periodic pattern
    float ax, ay;        // unit vector across the stripes
    float inv_period, phase_u, phase_v;
    float spots; // 0 = stripes, 1 = spots, between = both at once
    rgb a, b;
} surface;

typedef struct object {
    float x, y, inv_rx, inv_ry, edge; // centre, radii; edge: pixels per unit of the shape's distance
    float ux, uy;                     // rotation as a unit vector
    shape kind, other;
    float blend; // of `other` into `kind`, below 1/2
    surface skin;
} object;

static float between(lt_rng *rng, float low, float high)
{
    return low + (high - low) * lt_rng_uniform(rng);
}

static bool chance(lt_rng *rng, double p)
{
    return lt_rng_uniform(rng) < (float)p;
}

static float clamp01(float v)
{
    return v < 0 ? 0 : v > 1 ? 1 : v;
}

// hue 0..1 around the circle, saturation, value: piecewise linear, as usual.
static rgb hsv(float hue, float saturation, float value)
{
    static const float offset[3] = {5, 3, 1};
    rgb r;
    hue -= floorf(hue);
    for (int k = 0; k < 3; k++) {
        float t = offset[k] + 6 * hue;
        t = t >= 6 ? t - 6 : t;
        r.c[k] = value - value * saturation * clamp01(t < 4 - t ? t : 4 - t);
    }
    return r;
}

static rgb colour(lt_rng *rng)
{
    float hue = lt_rng_uniform(rng), saturation = between(rng, 0.1f, 0.9f);
    return hsv(hue, saturation, between(rng, 0.15f, 0.95f));
}

// Cues: like things in photographs, classes have usual colours. The hue leans on the shape, the brightness of the
// ground on the surface; one picture in seven follows neither.
static rgb object_colour(lt_rng *rng, int kind, bool usual)
{
    float spread = between(rng, -0.5f, 0.5f) + between(rng, -0.5f, 0.5f); // triangular, within 1 of its middle
    float hue = (float)kind / N_SHAPES + spread * (usual ? 0.12f : 0.5f), saturation = between(rng, 0.45f, 0.95f);
    return hsv(hue, saturation, between(rng, 0.45f, 0.95f));
}

static rgb ground_colour(lt_rng *rng, int spots, bool usual)
{
    float hue = lt_rng_uniform(rng), saturation = between(rng, 0.05f, 0.5f), value = between(rng, 0.2f, 0.8f);
    return hsv(hue, saturation, usual ? value + (spots ? -0.2f : 0.2f) : value);
}

static float distance2(rgb a, rgb b)
{
    float d = 0;
    for (int k = 0; k < 3; k++)
        d += (a.c[k] - b.c[k]) * (a.c[k] - b.c[k]);
    return d;
}

// A colour at least `apart` away from `from`; the most distant of a few tries.
static rgb colour_apart(lt_rng *rng, rgb from, float apart)
{
    rgb best = colour(rng);
    for (int tries = 0; tries < 8 && distance2(best, from) < apart * apart; tries++) {
        rgb next = colour(rng);
        if (distance2(next, from) > distance2(best, from))
            best = next;
    }
    return best;
}

static rgb mix(rgb a, rgb b, float t)
{
    rgb r;
    for (int k = 0; k < 3; k++)
        r.c[k] = a.c[k] + (b.c[k] - a.c[k]) * t;
    return r;
}

// A uniform direction without sine and cosine: a point in the unit disc, projected on the circle.
static void direction(lt_rng *rng, float *x, float *y)
{
    for (int tries = 0; tries < 32; tries++) {
        float a = between(rng, -1, 1), b = between(rng, -1, 1), r2 = a * a + b * b;
        if (r2 > 0.01f && r2 <= 1) {
            float r = sqrtf(r2);
            *x = a / r;
            *y = b / r;
            return;
        }
    }
    *x = 1;
    *y = 0;
}

// A direction near the first axis: the other component stays within `most`.
static void lean(lt_rng *rng, float most, float *along, float *across)
{
    *across = between(rng, -most, most);
    *along = sqrtf(1 - *across * *across);
}

// Triangle wave with period 1, between -1 and 1.
static float wave(float t)
{
    t -= floorf(t);
    return t < 0.5f ? 4 * t - 1 : 3 - 4 * t;
}

static rgb surface_at(const surface *s, float x, float y)
{
    float u = wave((x * s->ax + y * s->ay) * s->inv_period + s->phase_u);
    float v = wave((y * s->ax - x * s->ay) * s->inv_period + s->phase_v);
    float stripes = u, spots = u + v;
    return mix(s->a, s->b, clamp01(0.5f + 1.3f * (stripes + (spots - stripes) * s->spots)));
}

static surface make_surface(lt_rng *rng, float spots, rgb a, rgb b, float min_period, float max_period)
{
    surface s = {.spots = spots, .a = a, .b = b};
    direction(rng, &s.ax, &s.ay);
    s.inv_period = 1 / between(rng, min_period, max_period);
    s.phase_u = lt_rng_uniform(rng);
    s.phase_v = lt_rng_uniform(rng);
    return s;
}

static float maxf(float a, float b)
{
    return a > b ? a : b;
}

static float box_at(float x, float y, float half_w, float half_h)
{
    return maxf(fabsf(x) - half_w, fabsf(y) - half_h);
}

// Signed distance (negative inside), about 1 from centre to rim; areas of the shapes are alike.
static float shape_at(shape kind, float x, float y)
{
    float r = sqrtf(x * x + y * y);
    switch (kind) {
    case DISC:
        return r - 0.9f;
    case SQUARE:
        return box_at(x, y, 0.8f, 0.8f);
    case TRIANGLE: // equilateral: three half planes at 0.55 from the centre
        return maxf(-y, maxf(0.8660254f * x + 0.5f * y, -0.8660254f * x + 0.5f * y)) - 0.55f;
    case CROSS: {
        float a = box_at(x, y, 1.0f, 0.36f), b = box_at(x, y, 0.36f, 1.0f);
        return a < b ? a : b;
    }
    case RING:
        break;
    }
    return fabsf(r - 0.7f) - 0.29f;
}

static object make_object(lt_rng *rng, shape kind, float x, float y, float radius)
{
    object o = {.x = x, .y = y, .kind = kind, .other = kind};
    float stretch = between(rng, 0.85f, 1.18f);
    o.inv_rx = 1 / (radius * stretch);
    o.inv_ry = stretch / radius;
    o.edge = radius;
    lean(rng, 0.45f, &o.ux, &o.uy);
    return o;
}

static void paint(const object *o, rgb canvas[SIDE * SIDE])
{
    float reach = 1.5f * o->edge + 2; // no shape goes further from its centre
    for (int r = 0; r < SIDE; r++) {
        float dy = (float)r - o->y;
        for (int q = 0; q < SIDE && fabsf(dy) < reach; q++) {
            float dx = (float)q - o->x;
            if (fabsf(dx) >= reach)
                continue;
            float u = (dx * o->ux + dy * o->uy) * o->inv_rx, v = (dy * o->ux - dx * o->uy) * o->inv_ry;
            float d = shape_at(o->kind, u, v);
            if (o->blend > 0)
                d += (shape_at(o->other, u, v) - d) * o->blend;
            float cover = clamp01(0.5f - d * o->edge);
            if (cover > 0)
                canvas[r * SIDE + q] = mix(canvas[r * SIDE + q], surface_at(&o->skin, dx, dy), cover);
        }
    }
}

static void paint_background(lt_rng *rng, rgb ground, double noise, rgb canvas[SIDE * SIDE])
{
    float gx, gy, slope = between(rng, 0, 0.25f);
    direction(rng, &gx, &gy);
    rgb other = colour(rng);
    // The faint surface is of either kind: texture alone says nothing about the class.
    float strength = chance(rng, 0.7) ? between(rng, 0.1f, 0.35f) * (float)(noise < 1.5 ? noise : 1.5) : 0;
    surface s = make_surface(rng, chance(rng, 0.5) ? 1.0f : 0.0f, ground, mix(ground, other, strength), 3, 9);
    for (int r = 0; r < SIDE; r++) {
        for (int q = 0; q < SIDE; q++) {
            rgb c = surface_at(&s, (float)q, (float)r);
            float t = (((float)q - 15.5f) * gx + ((float)r - 15.5f) * gy) / 16 * slope;
            canvas[r * SIDE + q] = mix(c, other, clamp01(t));
        }
    }
}

static void paint_distractors(lt_rng *rng, rgb ground, double noise, rgb canvas[SIDE * SIDE])
{
    int n = (int)lt_rng_below(rng, 4);
    for (int i = 0; i < n; i++) {
        shape kind = (shape)lt_rng_below(rng, N_SHAPES);
        float x = between(rng, 0, SIDE), y = between(rng, 0, SIDE), radius = between(rng, 2, 4.5f);
        object o = make_object(rng, kind, x, y, radius);
        rgb a = colour_apart(rng, ground, 0.3f), b = colour(rng);
        o.skin = make_surface(rng, chance(rng, 0.5) ? 1.0f : 0.0f, a, b, 2.5f, 5);
        if (chance(rng, 0.5 * noise))
            paint(&o, canvas);
    }
}

static void paint_main(lt_rng *rng, int32_t label, bool usual, rgb ground, double noise, rgb canvas[SIDE * SIDE])
{
    shape kind = (shape)(label / 2);
    float spots = (float)(label % 2);
    float x = between(rng, 11.5f, 19.5f), y = between(rng, 11.5f, 19.5f), radius = between(rng, 7.5f, 11.5f);
    object o = make_object(rng, kind, x, y, radius);
    o.other = (shape)(((int)kind + 1 + (int)lt_rng_below(rng, N_SHAPES - 1)) % N_SHAPES);
    bool odd_shape = chance(rng, 0.08 * noise), odd_skin = chance(rng, 0.08 * noise);
    float blend = between(rng, 0.2f, 0.45f), skin = between(rng, 0.2f, 0.42f);
    o.blend = odd_shape ? blend : 0;
    if (odd_skin)
        spots += spots > 0 ? -skin : skin;
    rgb a = object_colour(rng, label / 2, usual), b = colour_apart(rng, a, 0.4f);
    for (int tries = 0; tries < 8 && distance2(a, ground) < 0.09f; tries++)
        a = object_colour(rng, label / 2, usual);
    float period = between(rng, 0.5f, 0.9f) * radius;
    o.skin = make_surface(rng, spots, a, mix(a, b, between(rng, 0.5f, 1)), period, period);
    lean(rng, 0.6f, &o.skin.ay, &o.skin.ax); // stripes lie rather than stand
    paint(&o, canvas);
}

// A bar that cuts through the picture, in front of everything.
static void paint_bar(lt_rng *rng, rgb canvas[SIDE * SIDE])
{
    float nx, ny, width = between(rng, 1.5f, 3);
    direction(rng, &nx, &ny);
    float offset = between(rng, -8, 8);
    rgb c = colour(rng);
    for (int r = 0; r < SIDE; r++) {
        for (int q = 0; q < SIDE; q++) {
            float d = fabsf(((float)q - 15.5f) * nx + ((float)r - 15.5f) * ny - offset) - width;
            canvas[r * SIDE + q] = mix(canvas[r * SIDE + q], c, clamp01(0.5f - d));
        }
    }
}

// Light and noise, then bytes. The noise is the sum of four bytes of one draw: near enough to normal, and exact.
static void develop(lt_rng *rng, double noise, const rgb canvas[SIDE * SIDE], uint8_t *x)
{
    float gain[3], lift = between(rng, -0.08f, 0.08f), sd = between(rng, 0.01f, 0.04f) * (float)noise;
    for (int k = 0; k < 3; k++)
        gain[k] = between(rng, 0.8f, 1.2f);
    for (int k = 0; k < 3; k++) {
        for (int i = 0; i < SIDE * SIDE; i++) {
            uint32_t u = lt_rng_u32(rng);
            int sum = (int)(u & 255) + (int)(u >> 8 & 255) + (int)(u >> 16 & 255) + (int)(u >> 24) - 510;
            float v =
                (canvas[i].c[k] - 0.5f) * gain[k] + 0.5f + lift + sd * ((float)sum / 147.8f); // 147.8: sd of the sum
            x[k * SIDE * SIDE + i] = (uint8_t)(clamp01(v) * 255 + 0.5f);
        }
    }
}

// Each ten pictures in a row hold each class once, in random order.
int32_t lti_synth_label(uint64_t seed, lt_split s, int64_t i)
{
    int32_t perm[LTI_SYNTH_CLASSES];
    lt_rng rng = lt_rng_at(seed, LT_STREAM_SYNTHETIC, (uint32_t)s + LABEL_STEP, (uint64_t)i / LTI_SYNTH_CLASSES);
    for (int k = 0; k < LTI_SYNTH_CLASSES; k++) {
        int j = (int)lt_rng_below(&rng, (uint64_t)k + 1);
        perm[k] = perm[j];
        perm[j] = k;
    }
    return perm[i % LTI_SYNTH_CLASSES];
}

void lti_synth_draw(uint64_t seed, lt_split s, int64_t i, double noise, uint8_t *x)
{
    rgb canvas[SIDE * SIDE];
    lt_rng rng = lt_rng_at(seed, LT_STREAM_SYNTHETIC, (uint32_t)s, (uint64_t)i);
    int32_t label = lti_synth_label(seed, s, i);
    bool usual = !chance(&rng, 0.15 * noise);
    rgb ground = ground_colour(&rng, label % 2, usual);
    paint_background(&rng, ground, noise, canvas);
    paint_distractors(&rng, ground, noise, canvas);
    paint_main(&rng, label, usual, ground, noise, canvas);
    bool bar = chance(&rng, 0.25 * noise);
    if (bar)
        paint_bar(&rng, canvas);
    develop(&rng, noise, canvas, x);
}
