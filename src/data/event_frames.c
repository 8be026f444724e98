// event_frames.c - counts of events by polarity in pieces of a recording, and resizing.
#include "event_impl.h"
#include <math.h>
#include <string.h>

typedef struct cut { // frame of event i
    int32_t steps;
    lt_frame_rule rule;
    int64_t first_us, size; // microseconds or events a frame
} cut;

static int64_t frame_of(const cut *c, int64_t i, int64_t t_us)
{
    const bool count = c->rule == LT_FRAMES_COUNT || c->rule == LT_FRAMES_COUNT_ALL;
    const bool all = c->rule == LT_FRAMES_TIME_ALL || c->rule == LT_FRAMES_COUNT_ALL;
    const int64_t at = c->size > 0 ? (count ? i : t_us - c->first_us) / c->size : (all ? c->steps - 1 : c->steps);
    return all && at >= c->steps ? c->steps - 1 : at;
}

static lt_status make_cut(const lt_event_stream *s, const lt_frame_spec *spec, cut *c, int64_t *limit)
{
    if (s->n < 1)
        return LT_FAIL(LT_E_FORMAT, "frames of a recording without events");
    if (spec->steps < 1 || spec->w < 1 || spec->h < 1)
        return LT_FAIL(LT_E_USAGE, "frames: %d of %dx%d pixels, expected positive numbers", (int)spec->steps, spec->w,
                       spec->h);
    const int64_t duration = s->event[s->n - 1].t_us - s->event[0].t_us;
    *c = (cut){spec->steps, spec->rule, s->event[0].t_us, duration / spec->steps};
    *limit = spec->steps;
    if (spec->rule == LT_FRAMES_COUNT || spec->rule == LT_FRAMES_COUNT_ALL)
        c->size = s->n / spec->steps;
    if (spec->rule == LT_FRAMES_WINDOW) {
        if (spec->window_us < 1)
            return LT_FAIL(LT_E_USAGE, "frames: a window of %lld us, expected a positive number",
                           (long long)spec->window_us);
        c->size = spec->window_us;
        const int64_t full = duration >= c->size ? (duration - c->size) / c->size + 1 : 0;
        *limit = full < spec->steps ? full : spec->steps;
    }
    return LT_OK;
}

static lt_status check_filled(const cut *c, const lt_event_stream *s)
{
    int64_t next = 0;
    for (int64_t i = 0; i < s->n; i++) {
        const int64_t at = frame_of(c, i, s->event[i].t_us);
        if (at > next)
            break;
        next = at == next ? at + 1 : next;
    }
    return next >= c->steps ? LT_OK
                            : LT_FAIL(LT_E_FORMAT, "frames: none of the events is in frame %lld", (long long)next);
}

lt_status lt_event_frames(const lt_event_stream *s, const lt_frame_spec *spec, uint16_t *frames, int64_t *n_lost)
{
    cut c;
    int64_t limit, lost = 0;
    const size_t plane = (size_t)spec->w * (size_t)spec->h;
    LT_TRY(make_cut(s, spec, &c, &limit));
    if (spec->rule == LT_FRAMES_TIME_ALL)
        LT_TRY(check_filled(&c, s));
    memset(frames, 0, (size_t)spec->steps * 2 * plane * sizeof *frames);
    for (int64_t i = 0; i < s->n; i++) {
        const lt_dvs_event *e = &s->event[i];
        const int64_t at = frame_of(&c, i, e->t_us);
        if (e->x >= spec->w || e->y >= spec->h)
            return LT_FAIL(LT_E_FORMAT, "frames: event %lld at (%d,%d) is outside of %dx%d pixels", (long long)i, e->x,
                           e->y, spec->w, spec->h);
        if (at >= limit) {
            lost++;
            continue;
        }
        uint16_t *count = frames + ((size_t)at * 2 + (e->p ? 1 : 0)) * plane + (size_t)e->y * (size_t)spec->w + e->x;
        *count = *count < UINT16_MAX ? (uint16_t)(*count + 1) : *count;
    }
    if (n_lost)
        *n_lost = lost;
    return LT_OK;
}

// Source place of an output pixel, clamped to the picture, and the weight of the second of its two neighbours.
static void place(int out, int n_out, int n_in, int *a, int *b, float *weight)
{
    float at = ((float)out + 0.5f) * (float)n_in / (float)n_out - 0.5f;
    at = at < 0 ? 0 : at;
    *a = (int)at < n_in - 1 ? (int)at : n_in - 1;
    *b = *a + 1 < n_in ? *a + 1 : *a;
    *weight = at - (float)*a;
}

void lt_resize_plane(const float *in, int h, int w, float *out, int H, int W)
{
    for (int r = 0; r < H; r++) {
        int r0, r1;
        float wr;
        place(r, H, h, &r0, &r1, &wr);
        for (int q = 0; q < W; q++) {
            int q0, q1;
            float wq;
            place(q, W, w, &q0, &q1, &wq);
            const float top = in[r0 * w + q0] * (1 - wq) + in[r0 * w + q1] * wq;
            const float bottom = in[r1 * w + q0] * (1 - wq) + in[r1 * w + q1] * wq;
            out[r * W + q] = top * (1 - wr) + bottom * wr;
        }
    }
}
