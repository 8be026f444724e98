// wino_body.h - the inner loops behind wino.h, included once per instruction set.
//
// F(4x4, RxS) [Lavin & Gray, "Fast Algorithms for Convolutional Neural Networks", 2016], the product of two forms of
// one dimension, each of which depends on its number of taps only. Three taps: on the points 0, +-P, +-Q and infinity;
// a tile of 6x6 inputs gives 4x4 outputs with 36 multiplications a channel pair instead of 144. Two taps: the same
// without 0. One tap: nothing to transform. Rows of B^T follow from the product of (x - point) over the finite points
// without the factor of each, rows of A^T are powers of the points, and G carries the scale factors. The usual points 1
// and 2 lose digits: for three taps 5/8 and 3/2 give a relative error of 1.1e-6 in a layer of 128 channels instead
// of 2.5e-6, for two 1/2 and 5/4 give 6.5e-7 instead of 2.8e-6.
//
// No guard on purpose. The including file sets LTI_WINO_TABLE, LTI_WINO_ISA, WINO_LANES (floats a vector), WINO_ROWS,
// WINO_WIDTH, WINO_STRIDED (lti_wino_kern.strided_rule) and WINO_FMA(a, b, c) = a * b + c. Where the processor has bf16
// it also sets WINO_DOT(a, b, c), both products of a pair added to c, WINO_HALF(v), a vector rounded to bf16, and
// WINO_PAIRS(a, b), two of them lane by lane.
typedef float wvec __attribute__((vector_size(4 * WINO_LANES)));
typedef int32_t wint __attribute__((vector_size(4 * WINO_LANES)));
typedef float wmem __attribute__((vector_size(4 * WINO_LANES), aligned(4), may_alias));
#define WLOAD(p) ((wvec) * (const wmem *)(p))
#define WSTORE(p, v) (*(wmem *)(p) = (v))
#if WINO_LANES == 16
#define WSET(x) ((wvec){(x), (x), (x), (x), (x), (x), (x), (x), (x), (x), (x), (x), (x), (x), (x), (x)})
#elif WINO_LANES == 8
#define WSET(x) ((wvec){(x), (x), (x), (x), (x), (x), (x), (x)})
#else
#define WSET(x) ((wvec){(x), (x), (x), (x)})
#endif
#define WRELU(v) ((wvec)((wint)(v) & ~((v) < (wvec){0}))) // a NaN stays one
#define WMASK(v, y) ((wvec)((wint)(v) & ((y) > (wvec){0})))
#define WUNROLL _Pragma("GCC unroll 16")
#define WSOME _Pragma("GCC unroll 4")
#define WINLINE static inline __attribute__((always_inline))
#define WAPART __attribute__((noinline))
// Hides where a pointer comes from: else the compiler makes the addresses of all points first and spills them.
#define WOPAQUE(p) __asm__("" : "+r"(p))

typedef uint32_t wuint __attribute__((vector_size(4 * WINO_LANES)));
typedef int16_t whalf __attribute__((vector_size(2 * WINO_LANES)));
typedef int16_t whalf_mem __attribute__((vector_size(2 * WINO_LANES), aligned(2), may_alias));
#ifndef WINO_DOT
// To the nearest bf16, ties to even, in the upper half of each lane; a NaN stays one.
WINLINE wuint half_round(wvec v)
{
    const wuint b = (wuint)v, nan = (wuint)(v != v); // NOLINT(misc-redundant-expression): true of a NaN
    const wuint r = b + 0x7fff + ((b >> 16) & 1);
    return (r & ~nan) | ((b | 0x400000) & nan);
}

WINLINE whalf half_of(wvec v)
{
    return __builtin_convertvector((wint)half_round(v) >> 16, whalf);
}

WINLINE wvec half_pairs(wvec a, wvec b)
{
    return (wvec)(half_round(a) >> 16 | (half_round(b) & 0xffff0000u));
}

WINLINE wvec half_dot(wvec a, wvec b, wvec c)
{
    const wvec a0 = (wvec)((wuint)a << 16), b0 = (wvec)((wuint)b << 16);
    const wvec a1 = (wvec)((wuint)a & 0xffff0000u), b1 = (wvec)((wuint)b & 0xffff0000u);
    return WINO_FMA(a1, b1, WINO_FMA(a0, b0, c));
}
#define WINO_HALF(v) half_of(v)
#define WINO_PAIRS(a, b) half_pairs(a, b)
#define WINO_DOT(a, b, c) half_dot(a, b, c)
#endif

// The points: two taps or three.
WINLINE float point_p(const int taps)
{
    return taps == 3 ? 0.625f : 0.5f;
}

WINLINE float point_q(const int taps)
{
    return taps == 3 ? 1.5f : 1.25f;
}

// Scale of a point a, b being the other one: 1 / product of (a - point) over the other finite points.
WINLINE float point_scale(const float a, const float b, const int taps)
{
    return 1.0f / (2.0f * (taps == 3 ? a * a : a) * (a * a - b * b));
}

// A transform of a whole tile holds what it made along one dimension in registers, which are too few for all of it: it
// goes over the tile twice, for the first points of the other dimension and for the rest. How many those are:
WINLINE int low_points(const int taps)
{
    return taps == 3 ? 3 : 2;
}

// One dimension of B^T x: 3 + taps values, in_step vectors apart, to as many, step vectors apart. In this order: point
// 0 where there are three taps, then +P, -P, +Q, -Q, infinity. The last five are the same function of the last inputs.
// First the low points, then the others.
WINLINE void input_low(const wvec *i, const int in_step, wvec *o, const int step, const int taps)
{
    if (taps == 1) {
        o[0] = i[0];
        o[step] = i[in_step];
        return;
    }
    const float p = point_p(taps), q = point_q(taps), p2 = p * p, q2 = q * q;
    if (taps == 3) {
        o[0] = WINO_FMA(WSET(p2 * q2), i[0], WINO_FMA(WSET(-(p2 + q2)), i[2 * in_step], i[4 * in_step]));
        i += in_step;
        o += step;
    }
    const wvec even = WINO_FMA(WSET(-q2), i[in_step], i[3 * in_step]);
    const wvec odd = WINO_FMA(WSET(-p * q2), i[0], WSET(p) * i[2 * in_step]);
    o[0] = even + odd;
    o[step] = even - odd;
}

WINLINE void input_high(const wvec *i, const int in_step, wvec *o, const int step, const int taps)
{
    if (taps == 1) {
        o[0] = i[2 * in_step];
        o[step] = i[3 * in_step];
        return;
    }
    const float p = point_p(taps), q = point_q(taps), p2 = p * p, q2 = q * q;
    if (taps == 3)
        i += in_step;
    const wvec even = WINO_FMA(WSET(-p2), i[in_step], i[3 * in_step]);
    const wvec odd = WINO_FMA(WSET(-q * p2), i[0], WSET(q) * i[2 * in_step]);
    o[0] = even + odd;
    o[step] = even - odd;
    o[2 * step] = WINO_FMA(WSET(p2 * q2), i[0], WINO_FMA(WSET(-(p2 + q2)), i[2 * in_step], i[4 * in_step]));
}

// One dimension of A^T m: 3 + taps values to four.
WINLINE void output_1d(const wvec *i, const int in_step, wvec *o, const int step, const int taps)
{
    if (taps == 1) {
        WUNROLL
        for (int k = 0; k < LTI_WINO_OUT; k++)
            o[k * step] = i[k * in_step];
        return;
    }
    const float p = point_p(taps), q = point_q(taps), p2 = p * p, q2 = q * q;
    const wvec *s = taps == 3 ? i + in_step : i;
    const wvec sum_p = s[0] + s[in_step], dif_p = s[0] - s[in_step];
    const wvec sum_q = s[2 * in_step] + s[3 * in_step], dif_q = s[2 * in_step] - s[3 * in_step];
    o[0] = taps == 3 ? i[0] + (sum_p + sum_q) : sum_p + sum_q;
    o[step] = WINO_FMA(WSET(q), dif_q, WSET(p) * dif_p);
    o[2 * step] = WINO_FMA(WSET(q2), sum_q, WSET(p2) * sum_p);
    o[3 * step] = WINO_FMA(WSET(q * q2), dif_q, WINO_FMA(WSET(p * p2), dif_p, s[4 * in_step]));
}

// One dimension of A dy: four values to 3 + taps, the low points and the others.
WINLINE void gradient_low(const wvec *i, const int in_step, wvec *o, const int step, const int taps)
{
    if (taps == 1) {
        input_low(i, in_step, o, step, 1);
        return;
    }
    const float p = point_p(taps), p2 = p * p;
    const wvec even = WINO_FMA(WSET(p2), i[2 * in_step], i[0]);
    const wvec odd = WINO_FMA(WSET(p * p2), i[3 * in_step], WSET(p) * i[in_step]);
    if (taps == 3) {
        o[0] = i[0];
        o += step;
    }
    o[0] = even + odd;
    o[step] = even - odd;
}

WINLINE void gradient_high(const wvec *i, const int in_step, wvec *o, const int step, const int taps)
{
    if (taps == 1) {
        input_high(i, in_step, o, step, 1);
        return;
    }
    const float q = point_q(taps), q2 = q * q;
    const wvec even = WINO_FMA(WSET(q2), i[2 * in_step], i[0]);
    const wvec odd = WINO_FMA(WSET(q * q2), i[3 * in_step], WSET(q) * i[in_step]);
    o[0] = even + odd;
    o[step] = even - odd;
    o[2 * step] = i[3 * in_step];
}

// One dimension of G g: taps values to 3 + taps. Of two taps the scales of -P and -Q are negative.
WINLINE void filter_1d(const wvec *i, const int in_step, wvec *o, const int step, const int taps)
{
    if (taps == 1) {
        WUNROLL
        for (int k = 0; k < 4; k++)
            o[k * step] = i[0];
        return;
    }
    const float p = point_p(taps), q = point_q(taps), n_p = point_scale(p, q, taps), n_q = point_scale(q, p, taps);
    const wvec odd_p = WSET(p * n_p) * i[in_step], odd_q = WSET(q * n_q) * i[in_step];
    wvec even_p = WSET(n_p) * i[0], even_q = WSET(n_q) * i[0];
    if (taps == 2) {
        o[0] = even_p + odd_p;
        o[step] = odd_p - even_p;
        o[2 * step] = even_q + odd_q;
        o[3 * step] = odd_q - even_q;
        o[4 * step] = i[in_step];
        return;
    }
    even_p = WINO_FMA(WSET(p * p * n_p), i[2 * in_step], even_p);
    even_q = WINO_FMA(WSET(q * q * n_q), i[2 * in_step], even_q);
    o[0] = WSET(1.0f / (p * p * (q * q))) * i[0];
    o[step] = even_p + odd_p;
    o[2 * step] = even_p - odd_p;
    o[3 * step] = even_q + odd_q;
    o[4 * step] = even_q - odd_q;
    o[5 * step] = i[2 * in_step];
}

// One dimension of G^T u: 3 + taps values to taps.
WINLINE void filter_gradient_1d(const wvec *i, const int in_step, wvec *o, const int step, const int taps)
{
    if (taps == 1) {
        o[0] = (i[0] + i[in_step]) + (i[2 * in_step] + i[3 * in_step]);
        return;
    }
    const float p = point_p(taps), q = point_q(taps), n_p = point_scale(p, q, taps), n_q = point_scale(q, p, taps);
    const wvec *s = taps == 3 ? i + in_step : i;
    const wvec sum_p = s[0] + s[in_step], dif_p = s[0] - s[in_step];
    const wvec sum_q = s[2 * in_step] + s[3 * in_step], dif_q = s[2 * in_step] - s[3 * in_step];
    if (taps == 2) {
        o[0] = WINO_FMA(WSET(n_q), dif_q, WSET(n_p) * dif_p);
        o[step] = WINO_FMA(WSET(q * n_q), sum_q, WINO_FMA(WSET(p * n_p), sum_p, s[4 * in_step]));
        return;
    }
    o[0] = WINO_FMA(WSET(n_q), sum_q, WINO_FMA(WSET(n_p), sum_p, WSET(1.0f / (p * p * (q * q))) * i[0]));
    o[step] = WINO_FMA(WSET(q * n_q), dif_q, WSET(p * n_p) * dif_p);
    o[2 * step] = WINO_FMA(WSET(q * q * n_q), sum_q, WINO_FMA(WSET(p * p * n_p), sum_p, s[4 * in_step]));
}

// A patch: where its rows begin, and which of its columns are inside the plane. A row outside is one of zeros.
typedef struct wino_rows {
    const float *row[LTI_WINO_MAX_IN];
    int64_t pixel; // floats from one to the next
    int first, end;
} wino_rows;

// As many pixels as a row of tiles reads, or of one tile with two from one pixel to the next.
enum { WINO_MAX_ROW = (LTI_WINO_MAX_RUN - 1) * LTI_WINO_OUT + LTI_WINO_MAX_IN };
static const float wino_zeros[WINO_MAX_ROW * LTI_LANES] __attribute__((aligned(64)));

WINLINE bool wino_inside(const lti_wino_patch *at, const int n_y, const int n_x)
{
    return at->y >= 0 && at->x >= 0 && at->y + (n_y - 1) * at->step < at->h && at->x + (n_x - 1) * at->step < at->w;
}

WINLINE const float *wino_first(const float *x, const lti_wino_patch *at)
{
    return x + (at->y * at->w + at->x) * LTI_LANES;
}

static __attribute__((noinline)) void wino_clip(const float *x, const lti_wino_patch *at, int n_y, int n_x,
                                                wino_rows *r)
{
    const float *from = wino_first(x, at);
    int64_t y = at->y;
    for (int i = 0; i < n_y; i++, y += at->step, from += at->step * at->w * LTI_LANES)
        r->row[i] = y < 0 || y >= at->h ? wino_zeros : from;
    r->pixel = at->step * LTI_LANES;
    r->first = 0;
    r->end = n_x;
    while (r->first < n_x && at->x + r->first * at->step < 0)
        r->first++;
    while (r->end > r->first && at->x + (r->end - 1) * at->step >= at->w)
        r->end--;
}

// Column k, n values of it.
WINLINE void wino_column(const wino_rows *r, const int k, const int n, const int l, wvec *to)
{
    if (k < r->first || k >= r->end) {
        WUNROLL
        for (int i = 0; i < n; i++)
            to[i] = (wvec){0};
        return;
    }
    WUNROLL
    for (int i = 0; i < n; i++)
        to[i] = WLOAD(r->row[i] + k * r->pixel + l);
}

WINLINE void wino_load(const float *from, int64_t step, const int n, wvec *to)
{
    WUNROLL
    for (int i = 0; i < n; i++)
        to[i] = WLOAD(from + i * step);
}

// Row k of the points of a tile, n of them.
WINLINE void points_store(const wvec *o, const int n, float *v, int64_t stride, const bool half)
{
    WUNROLL
    for (int j = 0; j < n; j++)
        if (half)
            *(whalf_mem *)(v + j * stride) = WINO_HALF(o[j]);
        else
            WSTORE(v + j * stride, o[j]);
}

// What goes into a product: tiles of the input, or (4x4 values, no overlap) of the gradient of the output.
typedef enum wino_side { WINO_INPUT, WINO_GRADIENT } wino_side;

WINLINE int side_in(const wino_side side, const int taps)
{
    return side == WINO_INPUT ? 3 + taps : LTI_WINO_OUT;
}

WINLINE void side_low(const wino_side side, const wvec *i, wvec *o, const int step, const int taps)
{
    if (side == WINO_INPUT)
        input_low(i, 1, o, step, taps);
    else
        gradient_low(i, 1, o, step, taps);
}

WINLINE void side_high(const wino_side side, const wvec *i, wvec *o, const int step, const int taps)
{
    if (side == WINO_INPUT)
        input_high(i, 1, o, step, taps);
    else
        gradient_high(i, 1, o, step, taps);
}

// Half of the transforms of a tile, from the patch inside the plane that begins at x or, where that is NULL, from r.
WINLINE void side_part(const wino_side side, const float *x, int64_t row, int64_t pixel, const wino_rows *r, float *v,
                       int64_t stride, const int taps_y, const int taps_x, const int l, const bool high,
                       const bool half)
{
    const int in_y = side_in(side, taps_y), in_x = side_in(side, taps_x), n_x = 3 + taps_x;
    const int low = low_points(taps_y), n = high ? 3 + taps_y - low : low;
    wvec t[3 * LTI_WINO_MAX_IN], i[LTI_WINO_MAX_IN], o[LTI_WINO_MAX_IN];
    const float *from = x ? x + l : NULL;
    WUNROLL
    for (int k = 0; k < in_x; k++, from += pixel) {
        if (x) {
            WOPAQUE(from);
            wino_load(from, row, in_y, i);
        } else
            wino_column(r, k, in_y, l, i);
        if (high)
            side_high(side, i, t + k, in_x, taps_y);
        else
            side_low(side, i, t + k, in_x, taps_y);
    }
    v += (high ? low * n_x * stride : 0) + (half ? l / 2 : l);
    WUNROLL
    for (int k = 0; k < n; k++, v += n_x * stride) {
        WOPAQUE(v);
        side_low(side, t + in_x * k, o, 1, taps_x);
        side_high(side, t + in_x * k, o + low_points(taps_x), 1, taps_x);
        points_store(o, n_x, v, stride, half);
    }
}

WINLINE void side_inside(const wino_side side, const float *x, const lti_wino_patch *at, float *v, int64_t stride,
                         const int taps_y, const int taps_x, const bool half)
{
    const int64_t row = at->step * at->w * LTI_LANES, pixel = at->step * LTI_LANES;
    for (int l = 0; l < LTI_LANES; l += WINO_LANES) {
        side_part(side, wino_first(x, at), row, pixel, NULL, v, stride, taps_y, taps_x, l, false, half);
        side_part(side, wino_first(x, at), row, pixel, NULL, v, stride, taps_y, taps_x, l, true, half);
    }
}

WINLINE void side_clipped(const wino_side side, const float *x, const lti_wino_patch *at, float *v, int64_t stride,
                          const int taps_y, const int taps_x, const bool half)
{
    wino_rows r;
    wino_clip(x, at, side_in(side, taps_y), side_in(side, taps_x), &r);
    for (int l = 0; l < LTI_LANES; l += WINO_LANES) {
        side_part(side, NULL, 0, 0, &r, v, stride, taps_y, taps_x, l, false, half);
        side_part(side, NULL, 0, 0, &r, v, stride, taps_y, taps_x, l, true, half);
    }
}

// Half of the transforms of n tiles in a row, with three taps: of its six columns a tile shares two with the one
// before.
WINLINE void run_part(const wino_rows *r, int n, float *v, int64_t stride, const int l, const bool high)
{
    enum { IN = LTI_WINO_MAX_IN, HALF = IN / 2, SHARED = IN - LTI_WINO_OUT };
    wvec t[HALF * IN], i[IN], o[IN];
    WUNROLL
    for (int k = 0; k < SHARED; k++) {
        wino_column(r, k, IN, l, i);
        if (high)
            input_high(i, 1, t + LTI_WINO_OUT + k, IN, 3);
        else
            input_low(i, 1, t + LTI_WINO_OUT + k, IN, 3);
    }
    v += (high ? HALF * IN * stride : 0) + l;
    for (int tile = 0; tile < n; tile++, v += LTI_LANES) {
        WUNROLL
        for (int k = 0; k < SHARED; k++) {
            WUNROLL
            for (int j = 0; j < HALF; j++)
                t[j * IN + k] = t[j * IN + LTI_WINO_OUT + k];
        }
        WUNROLL
        for (int k = SHARED; k < IN; k++) {
            wino_column(r, tile * LTI_WINO_OUT + k, IN, l, i);
            if (high)
                input_high(i, 1, t + k, IN, 3);
            else
                input_low(i, 1, t + k, IN, 3);
        }
        float *to = v;
        WUNROLL
        for (int j = 0; j < HALF; j++, to += IN * stride) {
            WOPAQUE(to);
            input_low(t + j * IN, 1, o, 1, 3);
            input_high(t + j * IN, 1, o + HALF, 1, 3);
            points_store(o, IN, to, stride, false);
        }
    }
}

static WAPART void wino_input_run_33(const float *x, const lti_wino_patch *at, int n, float *v, int64_t stride)
{
    wino_rows r;
    wino_clip(x, at, LTI_WINO_MAX_IN, (n - 1) * LTI_WINO_OUT + LTI_WINO_MAX_IN, &r);
    for (int l = 0; l < LTI_LANES; l += WINO_LANES) {
        run_part(&r, n, v, stride, l, false);
        run_part(&r, n, v, stride, l, true);
    }
}

// n neighbouring values of y at `at`, finished and written.
WINLINE void output_row(wvec *o, const int n, float *y, int64_t at, int64_t pixel, const wvec bias,
                        const lti_wino_epilogue *epilogue)
{
    WUNROLL
    for (int j = 0; j < n; j++)
        o[j] += epilogue->add ? (wvec)WLOAD(y + at + j * pixel) : bias;
    if (epilogue->residual) {
        WUNROLL
        for (int j = 0; j < n; j++)
            o[j] += WLOAD(epilogue->residual + at + j * pixel);
    }
    if (epilogue->relu) {
        WUNROLL
        for (int j = 0; j < n; j++)
            o[j] = WRELU(o[j]);
    }
    if (epilogue->mask) {
        WUNROLL
        for (int j = 0; j < n; j++)
            o[j] = WMASK(o[j], WLOAD(epilogue->mask + at + j * pixel));
    }
    WUNROLL
    for (int j = 0; j < n; j++)
        WSTORE(y + at + j * pixel, o[j]);
}

// 4x4 outputs of WINO_LANES channels; y, bias and what finish points to begin with them.
WINLINE void output_lanes(const float *m, int64_t stride, float *y, const lti_wino_patch *at,
                          const lti_wino_epilogue *epilogue, const wvec bias, const int taps_y, const int taps_x,
                          const bool clipped)
{
    const int n_y = 3 + taps_y, n_x = 3 + taps_x;
    const int64_t row = at->step * at->w * LTI_LANES, pixel = at->step * LTI_LANES;
    int64_t to = (at->y * at->w + at->x) * LTI_LANES;
    wvec t[LTI_WINO_OUT * LTI_WINO_MAX_IN], i[LTI_WINO_MAX_IN], o[LTI_WINO_OUT];
    WUNROLL
    for (int k = 0; k < n_x; k++, m += stride) {
        WOPAQUE(m);
        wino_load(m, n_x * stride, n_y, i);
        output_1d(i, 1, t + k, n_x, taps_y);
    }
    WUNROLL
    for (int k = 0; k < LTI_WINO_OUT; k++, to += row) {
        output_1d(t + n_x * k, 1, o, 1, taps_x);
        if (!clipped) {
            output_row(o, LTI_WINO_OUT, y, to, pixel, bias, epilogue);
            continue;
        }
        WUNROLL
        for (int j = 0; j < LTI_WINO_OUT; j++)
            if (at->y + k * at->step < at->h && at->x + j * at->step < at->w)
                output_row(o + j, 1, y, to + j * pixel, 0, bias, epilogue);
    }
}

WINLINE void output_any(const float *m, int64_t stride, float *y, const lti_wino_patch *at,
                        const lti_wino_epilogue *epilogue, const int taps_y, const int taps_x, const bool clipped)
{
    for (int l = 0; l < LTI_LANES; l += WINO_LANES) {
        lti_wino_epilogue f = *epilogue;
        const wvec bias = f.bias ? (wvec)WLOAD(f.bias + l) : (wvec){0};
        f.residual = f.residual ? f.residual + l : NULL;
        f.mask = f.mask ? f.mask + l : NULL;
        output_lanes(m + l, stride, y + l, at, &f, bias, taps_y, taps_x, clipped);
    }
}

WINLINE void filter_tile(const float *g, const int *tap, float *u, int64_t stride, const int taps_y, const int taps_x)
{
    const int n_y = 3 + taps_y, n_x = 3 + taps_x;
    for (int l = 0; l < LTI_LANES; l += WINO_LANES) {
        wvec t[LTI_WINO_MAX_IN * 3], i[3], o[LTI_WINO_MAX_IN];
        WUNROLL
        for (int k = 0; k < taps_x; k++) {
            WUNROLL
            for (int j = 0; j < taps_y; j++)
                i[j] = WLOAD(g + tap[j * taps_x + k] * LTI_LANES + l);
            filter_1d(i, 1, t + k, taps_x, taps_y);
        }
        WUNROLL
        for (int k = 0; k < n_y; k++) {
            filter_1d(t + taps_x * k, 1, o, 1, taps_x);
            WUNROLL
            for (int j = 0; j < n_x; j++)
                WSTORE(u + (n_x * k + j) * stride + l, o[j]);
        }
    }
}

WINLINE void filter_gradient_tile(const float *u, int64_t stride, float *g, const int *tap, const int taps_y,
                                  const int taps_x)
{
    const int n_y = 3 + taps_y, n_x = 3 + taps_x;
    for (int l = 0; l < LTI_LANES; l += WINO_LANES) {
        wvec t[3 * LTI_WINO_MAX_IN], i[LTI_WINO_MAX_IN], o[3];
        WUNROLL
        for (int k = 0; k < n_x; k++) {
            wino_load(u + k * stride + l, n_x * stride, n_y, i);
            filter_gradient_1d(i, 1, t + k, n_x, taps_y);
        }
        WUNROLL
        for (int k = 0; k < taps_y; k++) {
            filter_gradient_1d(t + n_x * k, 1, o, 1, taps_x);
            WUNROLL
            for (int j = 0; j < taps_x; j++)
                WSTORE(g + tap[taps_x * k + j] * LTI_LANES + l, o[j]);
        }
    }
}

// The functions of one form. Tiles at a border and outputs with something to add have their own code, so that the
// others find their way short.
#define WINO_SIDE(NAME, SIDE, R, S, HALF)                                                                              \
    static WAPART void wino_clipped_##NAME(const float *x, const lti_wino_patch *at, float *v, int64_t stride)         \
    {                                                                                                                  \
        side_clipped(SIDE, x, at, v, stride, R, S, HALF);                                                              \
    }                                                                                                                  \
    static void wino_##NAME(const float *x, const lti_wino_patch *at, float *v, int64_t stride)                        \
    {                                                                                                                  \
        if (wino_inside(at, side_in(SIDE, R), side_in(SIDE, S)))                                                       \
            side_inside(SIDE, x, at, v, stride, R, S, HALF);                                                           \
        else                                                                                                           \
            wino_clipped_##NAME(x, at, v, stride);                                                                     \
    }
#define WINO_FORM(R, S)                                                                                                \
    WINO_SIDE(input_##R##S, WINO_INPUT, R, S, false)                                                                   \
    WINO_SIDE(input_half_##R##S, WINO_INPUT, R, S, true)                                                               \
    WINO_SIDE(gradient_##R##S, WINO_GRADIENT, R, S, false)                                                             \
    static WAPART void wino_output_any_##R##S(const float *m, int64_t stride, float *y, const lti_wino_patch *at,      \
                                              const lti_wino_epilogue *epilogue)                                       \
    {                                                                                                                  \
        if (wino_inside(at, LTI_WINO_OUT, LTI_WINO_OUT))                                                               \
            output_any(m, stride, y, at, epilogue, R, S, false);                                                       \
        else                                                                                                           \
            output_any(m, stride, y, at, epilogue, R, S, true);                                                        \
    }                                                                                                                  \
    static void wino_output_##R##S(const float *m, int64_t stride, float *y, const lti_wino_patch *at,                 \
                                   const lti_wino_epilogue *epilogue)                                                  \
    {                                                                                                                  \
        static const lti_wino_epilogue nothing = {0};                                                                  \
        if (epilogue->bias || epilogue->add || epilogue->residual || epilogue->relu || epilogue->mask ||               \
            !wino_inside(at, LTI_WINO_OUT, LTI_WINO_OUT))                                                              \
            wino_output_any_##R##S(m, stride, y, at, epilogue);                                                        \
        else                                                                                                           \
            output_any(m, stride, y, at, &nothing, R, S, false);                                                       \
    }                                                                                                                  \
    static void wino_filter_##R##S(const float *g, const int *tap, float *u, int64_t stride)                           \
    {                                                                                                                  \
        filter_tile(g, tap, u, stride, R, S);                                                                          \
    }                                                                                                                  \
    static void wino_filter_gradient_##R##S(const float *u, int64_t stride, float *g, const int *tap)                  \
    {                                                                                                                  \
        filter_gradient_tile(u, stride, g, tap, R, S);                                                                 \
    }
WINO_FORM(3, 3)
WINO_FORM(2, 2)
WINO_FORM(2, 1)
WINO_FORM(1, 2)
WINO_FORM(1, 1)
#define WINO_ROW(R, S)                                                                                                 \
    [LTI_WINO_##R##X##S] = {                                                                                           \
        .points = (3 + (R)) * (3 + (S)),                                                                               \
        .taps = (R) * (S),                                                                                             \
        .input = wino_input_##R##S,                                                                                    \
        .input_run = (R) == 3 ? wino_input_run_33 : NULL,                                                              \
        .gradient = wino_gradient_##R##S,                                                                              \
        .input_bf16 = wino_input_half_##R##S,                                                                          \
        .output = wino_output_##R##S,                                                                                  \
        .filter = wino_filter_##R##S,                                                                                  \
        .filter_gradient = wino_filter_gradient_##R##S,                                                                \
    }

#include "backend/onednn/wino_products.h"

const lti_wino_kern LTI_WINO_TABLE = {
    .isa = LTI_WINO_ISA,
    .rows = WINO_ROWS,
    .least_rows = WINO_LEAST_ROWS,
    .width = WINO_WIDTH,
    .strided_rule = WINO_STRIDED,
    .form = {WINO_ROW(3, 3), WINO_ROW(2, 2), WINO_ROW(2, 1), WINO_ROW(1, 2), WINO_ROW(1, 1)},
    .multiply = wino_multiply,
    .accumulate = wino_accumulate,
    .pack = wino_pack,
    .multiply_bf16 = wino_multiply_half,
    .accumulate_bf16 = wino_accumulate_half,
};

#undef WLOAD
#undef WSTORE
#undef WSET
#undef WRELU
#undef WMASK
#undef WUNROLL
#undef WSOME
#undef WINLINE
#undef WOPAQUE
#undef WAPART
#undef WINO_FORM
#undef WINO_SIDE
#undef WINO_ROW
