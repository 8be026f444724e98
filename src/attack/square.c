// square.c - random search with square-shaped changes; no gradients. [ATT 20-23; Andriushchenko et al. 2020, algorithms
// 1-3]
//
// Every proposal changes one window (L-inf) or moves weight between two windows (L2) and keeps the radius used up. It
// is accepted when the margin falls or the class changes. All window positions occur, the last row and column included.
#include "attack/engine.h"
#include <math.h>
#include <string.h>

struct cfg {
    double p_init;
    bool rescale;
};
static const lt_option opts[] = {
    LT_F64(struct cfg, p_init, 0.8, 1e-4, 1, "", "share of the pixels that the first windows change"),
    LT_BOOL(struct cfg, rescale, 0, "spread the schedule of window sizes over the queries, as the original does"),
    LT_OPT_END,
};

typedef struct search {
    double margin; // of the best point; what is minimised
} search;
enum { BEST_X, NEW_D, PATCH, VALUES }; // slot.work

typedef struct window {
    int y, x, side;
} window;

// Share of pixels at proposal `it`. [ATT 20]
static double share_at(const lti_slot *s, const struct cfg *c, int32_t it)
{
    static const int32_t ends[] = {10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000};
    const double at = c->rescale ? (double)it * 10000 / s->steps : (double)it;
    double p = c->p_init;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        p /= at > (double)ends[i] ? 2 : 1;
    return p;
}

static float *pixel_at(float *v, const lti_slot *s, int c, int y, int x)
{
    return v + ((int64_t)c * s->h + y) * s->w + x;
}

static window draw_window(lti_slot *s, int side)
{
    window w = {.side = side};
    if (s->spec->parity) { // public code never reaches the last row and column of positions
        w.y = (int)(lt_rng_uniform(&s->rng) * (float)(s->h - side));
        w.x = (int)(lt_rng_uniform(&s->rng) * (float)(s->w - side));
        return w;
    }
    w.y = (int)lt_rng_below(&s->rng, (uint64_t)s->h - (uint64_t)side + 1);
    w.x = (int)lt_rng_below(&s->rng, (uint64_t)s->w - (uint64_t)side + 1);
    return w;
}

static bool draw_sign(lti_slot *s)
{
    return lt_rng_u32(&s->rng) & 1;
}

// ---- L-inf

// One sign per channel and column. [ATT 21]
static void start_stripes(lti_slot *s)
{
    for (int c = 0; c < s->c; c++)
        for (int x = 0; x < s->w; x++) {
            const bool up = draw_sign(s);
            for (int y = 0; y < s->h; y++)
                *pixel_at(s->x, s, c, y, x) = up ? *pixel_at(s->hi, s, c, y, x) : *pixel_at(s->lo, s, c, y, x);
        }
}

// Writes the window into x; true when that changed a pixel.
static bool paint_window(lti_slot *s, window w, const bool *up)
{
    bool changed = false;
    for (int c = 0; c < s->c; c++)
        for (int y = w.y; y < w.y + w.side; y++)
            for (int x = w.x; x < w.x + w.side; x++) {
                const float v = up[c] ? *pixel_at(s->hi, s, c, y, x) : *pixel_at(s->lo, s, c, y, x);
                changed = changed || v != *pixel_at(s->work[BEST_X], s, c, y, x);
                *pixel_at(s->x, s, c, y, x) = v;
            }
    return changed;
}

static void propose_linf(lti_slot *s, double p)
{
    enum { TRIES = 8, MAX_CHANNELS = 64 };
    const int most = s->h < s->w ? s->h : s->w;
    int side = (int)lround(sqrt(p * s->h * s->w));
    side = side < 1 ? 1 : side > most ? most : side;
    const window w = draw_window(s, side);
    bool up[MAX_CHANNELS];
    for (int i = 0; i < TRIES; i++) { // signs that change nothing are not worth a query
        for (int c = 0; c < s->c; c++)
            up[c % MAX_CHANNELS] = draw_sign(s);
        if (paint_window(s, w, up))
            return;
    }
}

// ---- L2

// A pyramid of nested rectangles, 1/(m+1)^2 each, of unit length, into out (a,b). [ATT 22]
static void fill_bump(float *out, int a, int b, float sign)
{
    const int yc = a / 2 + 1, xc = b / 2 + 1;
    double square = 0;
    memset(out, 0, (size_t)(a * b) * sizeof *out);
    for (int m = 0; m < (yc > xc ? yc : xc); m++)
        for (int y = yc - 1 - m > 0 ? yc - 1 - m : 0; y < (yc + m < a ? yc + m : a); y++)
            for (int x = xc - 1 - m > 0 ? xc - 1 - m : 0; x < (xc + m < b ? xc + m : b); x++)
                out[y * b + x] += 1 / (float)((m + 1) * (m + 1));
    for (int i = 0; i < a * b; i++)
        square += (double)out[i] * (double)out[i];
    for (int i = 0; i < a * b; i++)
        out[i] = (float)((double)sign * (double)out[i] / sqrt(square > 0 ? square : 1));
}

// Two bumps of opposite sign, one above or next to the other, of unit length, into PATCH (side,side).
static void draw_patch(lti_slot *s, int side)
{
    float *p = s->work[PATCH];
    const int half = side / 2;
    double square = 0;
    if (half > 0)
        fill_bump(p, half, side, 1);
    fill_bump(p + half * side, side - half, side, -1);
    for (int i = 0; i < side * side; i++)
        square += (double)p[i] * (double)p[i];
    const bool turn = draw_sign(s);
    for (int y = 0; y < side; y++)
        for (int x = turn ? y + 1 : side; x < side; x++) {
            const float v = p[y * side + x];
            p[y * side + x] = p[x * side + y];
            p[x * side + y] = v;
        }
    for (int i = 0; i < side * side; i++)
        p[i] = (float)((double)p[i] / sqrt(square));
}

// x0 + e d / ||d||, d in NEW_D. [ATT 23]
static void finish_l2(lti_slot *s)
{
    const float *d = s->work[NEW_D];
    const double length = lti_distance(LT_NORM_L2, d, NULL, s->n), scale = length > 0 ? s->eps / length : 0;
    for (int64_t j = 0; j < s->n; j++)
        s->x[j] = (float)((double)s->x0[j] + scale * (double)d[j]);
    lti_slot_project(s, s->x);
}

static void start_tiles(lti_slot *s)
{
    const int most = s->h < s->w ? s->h : s->w, side = most / 5 > 1 ? most / 5 : 1;
    const int top = s->h > 5 * side ? (s->h - 5 * side) / 2 : 0, left = s->w > 5 * side ? (s->w - 5 * side) / 2 : 0;
    memset(s->work[NEW_D], 0, (size_t)s->n * sizeof *s->work[NEW_D]);
    for (int y = top; y + side <= s->h; y += side)
        for (int x = left; x + side <= s->w; x += side) {
            draw_patch(s, side);
            for (int c = 0; c < s->c; c++) {
                const float sign = draw_sign(s) ? 1 : -1;
                for (int i = 0; i < side * side; i++)
                    *pixel_at(s->work[NEW_D], s, c, y + i / side, x + i % side) = sign * s->work[PATCH][i];
            }
        }
    finish_l2(s);
}

static bool in_window(window w, int y, int x)
{
    return y >= w.y && y < w.y + w.side && x >= w.x && x < w.x + w.side;
}

// Square sum of channel c of d over w1 and, where given, w2.
static double channel_mass(lti_slot *s, float *d, int c, window w1, const window *w2)
{
    double sum = 0;
    for (int y = 0; y < s->h; y++)
        for (int x = 0; x < s->w; x++)
            if (in_window(w1, y, x) || (w2 && in_window(*w2, y, x)))
                sum += (double)*pixel_at(d, s, c, y, x) * (double)*pixel_at(d, s, c, y, x);
    return sum;
}

// v_c = (sign_c patch + d_c|w1 / ||d_c|w1||) at the length that both windows and the unused radius allow.
static void fill_channel(lti_slot *s, int c, window w1, window w2, double unused)
{
    float *d = s->work[NEW_D], *values = s->work[VALUES];
    const float *patch = s->work[PATCH];
    const double in1 = sqrt(channel_mass(s, d, c, w1, NULL)), both = channel_mass(s, d, c, w1, &w2),
                 sign = draw_sign(s) ? 1 : -1;
    double square = 0;
    for (int i = 0; i < w1.side * w1.side; i++) {
        const double v = sign * (double)patch[i] +
                         (double)*pixel_at(d, s, c, w1.y + i / w1.side, w1.x + i % w1.side) / (1e-12 + in1);
        square += v * v;
    }
    const double scale = sqrt(unused / s->c + both) / (1e-12 + sqrt(square));
    // The second window is emptied first, for the two may overlap; the new values replace both.
    for (int i = 0; i < w1.side * w1.side; i++)
        values[i] =
            (float)(scale * (sign * (double)patch[i] +
                             (double)*pixel_at(d, s, c, w1.y + i / w1.side, w1.x + i % w1.side) / (1e-12 + in1)));
    for (int i = 0; i < w2.side * w2.side; i++)
        *pixel_at(d, s, c, w2.y + i / w2.side, w2.x + i % w2.side) = 0;
    for (int i = 0; i < w1.side * w1.side; i++)
        *pixel_at(d, s, c, w1.y + i / w1.side, w1.x + i % w1.side) = values[i];
}

static void propose_l2(lti_slot *s, double p)
{
    const int most = s->h < s->w ? s->h : s->w;
    int side = (int)lround(sqrt(p * s->h * s->w));
    side = side < 3 ? 3 : side + (side % 2 == 0);
    side = side > most ? most : side;
    const window w1 = draw_window(s, side), w2 = draw_window(s, side);
    float *d = s->work[NEW_D];
    for (int64_t j = 0; j < s->n; j++)
        d[j] = (float)((double)s->work[BEST_X][j] - (double)s->x0[j]);
    const double r = lti_distance(LT_NORM_L2, d, NULL, s->n), unused = fmax(s->eps * s->eps - r * r, 0);
    draw_patch(s, side);
    for (int c = 0; c < s->c; c++)
        fill_channel(s, c, w1, w2, unused);
    finish_l2(s);
}

// ---- the attack

static lti_next start_run(lti_slot *s, const void *cfg)
{
    (void)cfg;
    memcpy(s->x, s->x0, (size_t)s->n * sizeof *s->x);
    if (s->norm == LT_NORM_L2)
        start_tiles(s);
    else
        start_stripes(s);
    return LTI_EVALUATE;
}

static lti_next take_logits(lti_slot *s, const void *cfg)
{
    const struct cfg *c = cfg;
    search *q = s->state;
    const lti_loss_in in = {s->z, s->n_classes, s->label, s->target};
    const double f = lti_loss(s->target >= 0 ? LTI_LOSS_MARGIN_TARGET : LTI_LOSS_MARGIN, &in, NULL);
    const bool accepted = s->step == 0 || -f < q->margin || lti_slot_success(s);
    s->step++; // queries
    // What is not accepted is no iterate. Public code is done at a tie, which is no success.
    if ((accepted && lti_slot_record(s, f)) || (s->spec->parity && f >= 0))
        return LTI_STOP;
    if (accepted) {
        q->margin = -f;
        memcpy(s->work[BEST_X], s->x, (size_t)s->n * sizeof *s->x);
    } else {
        memcpy(s->x, s->work[BEST_X], (size_t)s->n * sizeof *s->x);
    }
    if (s->step >= s->steps)
        return LTI_STOP;
    const double p = share_at(s, c, s->step - 1);
    if (s->norm == LT_NORM_L2)
        propose_l2(s, p);
    else
        propose_linf(s, p);
    return LTI_EVALUATE;
}

static const struct lti_attack_ops ops = {.number = 10,
                                          .flags = LTI_ATTACK_FORWARD_ONLY | LTI_ATTACK_RANDOM,
                                          .steps = 5000,
                                          .state_bytes = sizeof(search),
                                          .start_run = start_run,
                                          .take_logits = take_logits};

const lt_attack lti_attack_square = {
    .name = "square",
    .title = "square attack: random search without gradients",
    .cite = "square",
    .doc =
        "Random search with square windows at the edge of the ball, accepted when the margin falls. Needs no gradient, "
        "so it finds what masked gradients hide. A step is a query.",
    .cfg_size = sizeof(struct cfg),
    .opts = opts,
    .ops = &ops,
};
