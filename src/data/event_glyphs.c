// event_glyphs.c - a simulated event camera in front of a moving glyph.
//
// The glyph is a seven-segment digit with round ends. It moves along a closed path of three straight legs, as the
// saccades of N-MNIST do, with a start, a direction and a size of its own. Brightness is sampled every millisecond;
// between two samples a pixel emits one event for every contrast threshold that its log brightness has moved away from
// the one at its last event, at times interpolated linearly. Noise events come at a rate of their own.
#include "event_impl.h"
#include "lethe/rng.h"
#include <math.h>
#include <stdlib.h>

enum { STEP_US = 1000, N_SEGMENTS = 7, SIDE_MAX = 512 };

static const uint8_t segments_of[10] = {0x77, 0x24, 0x5d, 0x6d, 0x2e, 0x6b, 0x7b, 0x25, 0x7f, 0x6f};
// Ends of segments in a box of width 1 and height 2: top, upper left, upper right, middle, lower left, lower right,
// bottom; bit k of segments_of is segment k.
static const float segment_end[N_SEGMENTS][4] = {{0, 0, 1, 0}, {0, 0, 0, 1}, {1, 0, 1, 1}, {0, 1, 1, 1},
                                                 {0, 1, 0, 2}, {1, 1, 1, 2}, {0, 2, 1, 2}};

typedef struct scene {
    uint8_t segments;
    double size, thick, slant; // pixels a unit, pixels, shear
    double x[4], y[4];         // corners of the path of the middle, closed
    double duration_us;
    int side;
} scene;

static double distance(double px, double py, const float e[4])
{
    const double dx = (double)e[2] - (double)e[0], dy = (double)e[3] - (double)e[1];
    double t = ((px - (double)e[0]) * dx + (py - (double)e[1]) * dy) / (dx * dx + dy * dy);
    t = t < 0 ? 0 : t > 1 ? 1 : t;
    return hypot(px - (double)e[0] - t * dx, py - (double)e[1] - t * dy);
}

// Log brightness at a pixel: dark ground, bright strokes, an edge one pixel wide.
static double log_brightness(const scene *s, double t_us, int x, int y)
{
    const double at = 3 * t_us / s->duration_us;
    const int leg = at < 3 ? (int)at : 2;
    const double part = at - leg;
    const double cx = s->x[leg] + part * (s->x[leg + 1] - s->x[leg]),
                 cy = s->y[leg] + part * (s->y[leg + 1] - s->y[leg]);
    const double v = (y - cy) / s->size + 1, u = (x - cx) / s->size + 0.5 + s->slant * (v - 1);
    double nearest = 1e9;
    for (int k = 0; k < N_SEGMENTS; k++)
        if (s->segments >> k & 1)
            nearest = fmin(nearest, distance(u, v, segment_end[k]));
    const double edge = s->thick - nearest * s->size + 0.5, cover = edge < 0 ? 0 : edge > 1 ? 1 : edge;
    return log(0.1 + 0.9 * cover);
}

static void draw_scene(const lt_glyph_spec *spec, lt_rng *rng, scene *s)
{
    const double side = spec->side;
    s->segments = segments_of[spec->label];
    s->side = spec->side;
    s->duration_us = (double)spec->duration_us;
    s->size = side * (0.16 + 0.08 * (double)lt_rng_uniform(rng));
    s->thick = side * (0.03 + 0.025 * (double)lt_rng_uniform(rng));
    s->slant = 0.3 * ((double)lt_rng_uniform(rng) - 0.5);
    const double turn = 6.283185307179586 * (double)lt_rng_uniform(rng), reach = side * 0.1;
    const double mx = side * (0.5 + 0.12 * ((double)lt_rng_uniform(rng) - 0.5)),
                 my = side * (0.5 + 0.12 * ((double)lt_rng_uniform(rng) - 0.5));
    for (int k = 0; k < 4; k++) {
        s->x[k] = mx + reach * cos(turn + 2.0943951023931953 * k);
        s->y[k] = my + reach * sin(turn + 2.0943951023931953 * k);
    }
}

typedef struct sensor {
    const lt_glyph_spec *spec;
    lt_event_stream *out;
    int64_t cap;
} sensor;

static lt_status put_event(sensor *c, double t_us, int x, int y, bool on)
{
    LT_TRY(lti_events_reserve(c->out, 1, &c->cap));
    c->out->event[c->out->n++] =
        (lt_dvs_event){.t_us = (int64_t)t_us, .x = (uint16_t)x, .y = (uint16_t)y, .p = (uint8_t)on};
    return LT_OK;
}

// Events of one pixel between two samples of its log brightness; *level: that at its last event.
static lt_status emit_changes(sensor *c, double t_us, const double before, const double after, double *level, int x,
                              int y)
{
    const double threshold = c->spec->threshold;
    while (fabs(after - *level) >= threshold) {
        const double next = *level + (after > *level ? threshold : -threshold);
        const double part = after != before ? (next - before) / (after - before) : 0;
        LT_TRY(put_event(c, t_us + STEP_US * (part < 0 ? 0 : part > 1 ? 1 : part), x, y, next > *level));
        *level = next;
    }
    return LT_OK;
}

static lt_status add_noise(sensor *c, lt_rng *rng)
{
    const double mean = c->spec->noise_hz * (double)c->spec->duration_us * 1e-6 * c->spec->side * c->spec->side;
    const int64_t n_most = (int64_t)ceil(mean);
    for (int64_t i = 0; i < n_most; i++) {
        const double left = mean - (double)i;
        if (left < 1 && (double)lt_rng_uniform(rng) >= left)
            break;
        const double t = (double)lt_rng_uniform(rng) * (double)c->spec->duration_us;
        const int x = (int)lt_rng_below(rng, (uint64_t)c->spec->side),
                  y = (int)lt_rng_below(rng, (uint64_t)c->spec->side);
        LT_TRY(put_event(c, t, x, y, lt_rng_below(rng, 2) == 1));
    }
    return LT_OK;
}

static lt_status record(sensor *c, const scene *s, double *brightness, double *level, lt_rng *rng)
{
    const int side = c->spec->side;
    for (int i = 0; i < side * side; i++)
        brightness[i] = level[i] = log_brightness(s, 0, i % side, i / side);
    for (int64_t t = 0; t < c->spec->duration_us; t += STEP_US)
        for (int i = 0; i < side * side; i++) {
            const double now = log_brightness(s, (double)(t + STEP_US), i % side, i / side);
            LT_TRY(emit_changes(c, (double)t, brightness[i], now, &level[i], i % side, i / side));
            brightness[i] = now;
        }
    return add_noise(c, rng);
}

static int compare_events(const void *a, const void *b)
{
    const lt_dvs_event *p = a, *q = b;
    if (p->t_us != q->t_us)
        return p->t_us < q->t_us ? -1 : 1;
    if (p->y != q->y)
        return p->y - q->y;
    return p->x != q->x ? p->x - q->x : p->p - q->p;
}

lt_status lt_glyph_events(const lt_glyph_spec *spec, lt_event_stream *stream)
{
    *stream = (lt_event_stream){0};
    if (spec->label < 0 || spec->label > 9 || spec->side < 8 || spec->side > SIDE_MAX || spec->duration_us < STEP_US ||
        !(spec->threshold > 0) || !(spec->noise_hz >= 0))
        return LT_FAIL(
            LT_E_USAGE,
            "glyph: label %d, side %d, %lld us, threshold %g: expected 0 to 9, 8 to %d, at least %d us and a "
            "positive threshold",
            spec->label, spec->side, (long long)spec->duration_us, spec->threshold, SIDE_MAX, STEP_US);
    lt_rng rng = lt_rng_at(spec->seed, LT_STREAM_EVENTS, 0, (uint64_t)spec->index);
    scene s;
    draw_scene(spec, &rng, &s);
    sensor c = {.spec = spec, .out = stream};
    const size_t n = (size_t)spec->side * (size_t)spec->side;
    double *rows = lti_malloc(2 * n * sizeof *rows);
    lt_status status = rows ? record(&c, &s, rows, rows + n, &rng) : LTI_NOMEM("a simulated sensor");
    lti_free(rows);
    if (status != LT_OK) {
        lt_event_stream_clear(stream);
        return status;
    }
    stream->w = stream->h = spec->side;
    qsort(stream->event, (size_t)stream->n, sizeof *stream->event, compare_events);
    return LT_OK;
}
