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
#define WINLINE static inline __attribute__((always_inline))

typedef uint32_t wuint __attribute__((vector_size(4 * WINO_LANES)));
typedef int16_t whalf __attribute__((vector_size(2 * WINO_LANES)));
typedef int16_t whalf_mem __attribute__((vector_size(2 * WINO_LANES), aligned(2), may_alias));
#ifndef WINO_DOT
// To the nearest bf16, ties to even, in the upper half of each lane; a NaN stays one.
WINLINE wuint half_round(wvec v)
{
    const wuint b = (wuint)v, nan = (wuint)(v != v);
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

// One dimension of B^T x: 3 + taps values, in_step vectors apart, to as many, step vectors apart. In this order: point
// 0 where there are three taps, then +P, -P, +Q, -Q, infinity. The last five are the same function of the last inputs.
WINLINE void input_1d(const wvec *i, const int in_step, wvec *o, const int step, const int taps)
{
    if (taps == 1) {
        WUNROLL
        for (int k = 0; k < 4; k++)
            o[k * step] = i[k * in_step];
        return;
    }
    const float p = point_p(taps), q = point_q(taps), p2 = p * p, q2 = q * q;
    if (taps == 3) {
        o[0] = WINO_FMA(WSET(p2 * q2), i[0], WINO_FMA(WSET(-(p2 + q2)), i[2 * in_step], i[4 * in_step]));
        i += in_step;
        o += step;
    }
    const wvec i0 = i[0], i1 = i[in_step], i2 = i[2 * in_step], i3 = i[3 * in_step], i4 = i[4 * in_step];
    const wvec even_p = WINO_FMA(WSET(-q2), i1, i3), odd_p = WINO_FMA(WSET(-q2), i0, i2);
    const wvec even_q = WINO_FMA(WSET(-p2), i1, i3), odd_q = WINO_FMA(WSET(-p2), i0, i2);
    o[0] = WINO_FMA(WSET(p), odd_p, even_p);
    o[step] = WINO_FMA(WSET(-p), odd_p, even_p);
    o[2 * step] = WINO_FMA(WSET(q), odd_q, even_q);
    o[3 * step] = WINO_FMA(WSET(-q), odd_q, even_q);
    o[4 * step] = WINO_FMA(WSET(p2 * q2), i0, WINO_FMA(WSET(-(p2 + q2)), i2, i4));
}

// One dimension of A^T m: 3 + taps values to four.
WINLINE void output_1d(const wvec *i, const int in_step, wvec *o, const int step, const int taps)
{
    if (taps == 1) {
        input_1d(i, in_step, o, step, 1);
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

// One dimension of A dy: four values to 3 + taps.
WINLINE void gradient_1d(const wvec *i, const int in_step, wvec *o, const int step, const int taps)
{
    if (taps == 1) {
        input_1d(i, in_step, o, step, 1);
        return;
    }
    const float p = point_p(taps), q = point_q(taps), p2 = p * p, q2 = q * q;
    const wvec i0 = i[0], i1 = i[in_step], i2 = i[2 * in_step], i3 = i[3 * in_step];
    const wvec even_p = WINO_FMA(WSET(p2), i2, i0), odd_p = WINO_FMA(WSET(p * p2), i3, WSET(p) * i1);
    const wvec even_q = WINO_FMA(WSET(q2), i2, i0), odd_q = WINO_FMA(WSET(q * q2), i3, WSET(q) * i1);
    if (taps == 3) {
        o[0] = i0;
        o += step;
    }
    o[0] = even_p + odd_p;
    o[step] = even_p - odd_p;
    o[2 * step] = even_q + odd_q;
    o[3 * step] = even_q - odd_q;
    o[4 * step] = i3;
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

// The first and the end of the n places at, at + step, ... that lie in 0..size.
WINLINE void wino_range(int64_t at, int64_t step, int64_t size, int n, int *first, int *end)
{
    int a = 0, b = n;
    while (a < n && at + a * step < 0)
        a++;
    while (b > a && at + (b - 1) * step >= size)
        b--;
    *first = a;
    *end = b;
}

WINLINE float *wino_zeros(float *to, int px)
{
    for (int i = 0; i < px; i++, to += LTI_LANES)
        for (int l = 0; l < LTI_LANES; l += WINO_LANES)
            WSTORE(to + l, (wvec){0});
    return to;
}

// Copies the part of an n_y x n_x patch that lies inside the plane into `to`, zero elsewhere.
static void wino_clip(const float *x, const lti_wino_patch *at, int n_y, int n_x, float *to)
{
    int i0, i1, j0, j1;
    wino_range(at->y, at->step, at->h, n_y, &i0, &i1);
    wino_range(at->x, at->step, at->w, n_x, &j0, &j1);
    to = wino_zeros(to, i0 * n_x);
    for (int i = i0; i < i1; i++) {
        const float *from = x + ((at->y + i * at->step) * at->w + at->x + j0 * at->step) * LTI_LANES;
        to = wino_zeros(to, j0);
        for (int j = j0; j < j1; j++, from += at->step * LTI_LANES, to += LTI_LANES)
            for (int l = 0; l < LTI_LANES; l += WINO_LANES)
                WSTORE(to + l, WLOAD(from + l));
        to = wino_zeros(to, n_x - j1);
    }
    wino_zeros(to, (n_y - i1) * n_x);
}

// The patch itself where it lies inside the plane, else its copy; row and pixel: floats from one to the next.
WINLINE const float *wino_patch(const float *x, const lti_wino_patch *at, const int n_y, const int n_x, float *copy,
                                int64_t *row, int64_t *pixel)
{
    *row = at->step * at->w * LTI_LANES;
    *pixel = at->step * LTI_LANES;
    if (at->y >= 0 && at->x >= 0 && at->y + (n_y - 1) * at->step < at->h && at->x + (n_x - 1) * at->step < at->w)
        return x + (at->y * at->w + at->x) * LTI_LANES;
    wino_clip(x, at, n_y, n_x, copy);
    *row = n_x * LTI_LANES;
    *pixel = LTI_LANES;
    return copy;
}

WINLINE void wino_load(const float *from, int64_t step, const int n, wvec *to)
{
    WUNROLL
    for (int i = 0; i < n; i++)
        to[i] = WLOAD(from + i * step);
}

WINLINE void input_tile(const float *x, const lti_wino_patch *at, float *v, int64_t stride, const int taps_y,
                        const int taps_x, const bool half)
{
    const int n_y = 3 + taps_y, n_x = 3 + taps_x;
    float copy[LTI_WINO_MAX_POINTS * LTI_LANES] __attribute__((aligned(64)));
    int64_t row, pixel;
    const float *from = wino_patch(x, at, n_y, n_x, copy, &row, &pixel);
    for (int l = 0; l < LTI_LANES; l += WINO_LANES) {
        wvec t[LTI_WINO_MAX_POINTS], i[LTI_WINO_MAX_IN], o[LTI_WINO_MAX_IN];
        for (int k = 0; k < n_x; k++) {
            wino_load(from + k * pixel + l, row, n_y, i);
            input_1d(i, 1, t + k, n_x, taps_y);
        }
        for (int k = 0; k < n_y; k++) {
            input_1d(t + n_x * k, 1, o, 1, taps_x);
            WUNROLL
            for (int j = 0; j < n_x; j++)
                if (half)
                    *(whalf_mem *)(v + (n_x * k + j) * stride + l / 2) = WINO_HALF(o[j]);
                else
                    WSTORE(v + (n_x * k + j) * stride + l, o[j]);
        }
    }
}

// How many of the pixels of an output patch lie inside, in one dimension.
WINLINE int inside(int64_t size, int64_t at, int64_t step)
{
    int n = 0;
    while (n < LTI_WINO_OUT && at + n * step < size)
        n++;
    return n;
}

WINLINE void output_tile(const float *m, int64_t stride, float *y, const lti_wino_patch *at,
                         const lti_wino_finish *finish, const int taps_y, const int taps_x)
{
    const int n_y = 3 + taps_y, n_x = 3 + taps_x;
    const int n_i = inside(at->h, at->y, at->step), n_j = inside(at->w, at->x, at->step);
    for (int l = 0; l < LTI_LANES; l += WINO_LANES) {
        const wvec add = finish->bias ? WLOAD(finish->bias + l) : (wvec){0};
        wvec t[LTI_WINO_OUT * LTI_WINO_MAX_IN], i[LTI_WINO_MAX_IN], o[LTI_WINO_OUT];
        for (int k = 0; k < n_x; k++) {
            wino_load(m + k * stride + l, n_x * stride, n_y, i);
            output_1d(i, 1, t + k, n_x, taps_y);
        }
        for (int k = 0; k < n_i; k++) {
            float *to = y + ((at->y + k * at->step) * at->w + at->x) * LTI_LANES + l;
            output_1d(t + n_x * k, 1, o, 1, taps_x);
            for (int j = 0; j < n_j; j++, to += at->step * LTI_LANES) {
                wvec v = o[j] + (finish->add ? WLOAD(to) : add);
                if (finish->residual)
                    v += WLOAD(finish->residual + (to - y));
                if (finish->relu)
                    v = WRELU(v);
                if (finish->mask)
                    v = WMASK(v, WLOAD(finish->mask + (to - y)));
                WSTORE(to, v);
            }
        }
    }
}

WINLINE void gradient_tile(const float *dy, const lti_wino_patch *at, float *d, int64_t stride, const int taps_y,
                           const int taps_x)
{
    const int n_y = 3 + taps_y, n_x = 3 + taps_x;
    float copy[LTI_WINO_OUT * LTI_WINO_OUT * LTI_LANES] __attribute__((aligned(64)));
    int64_t row, pixel;
    const float *from = wino_patch(dy, at, LTI_WINO_OUT, LTI_WINO_OUT, copy, &row, &pixel);
    for (int l = 0; l < LTI_LANES; l += WINO_LANES) {
        wvec t[LTI_WINO_MAX_IN * LTI_WINO_OUT], i[LTI_WINO_OUT], o[LTI_WINO_MAX_IN];
        for (int k = 0; k < LTI_WINO_OUT; k++) {
            wino_load(from + k * pixel + l, row, LTI_WINO_OUT, i);
            gradient_1d(i, 1, t + k, LTI_WINO_OUT, taps_y);
        }
        for (int k = 0; k < n_y; k++) {
            gradient_1d(t + LTI_WINO_OUT * k, 1, o, 1, taps_x);
            WUNROLL
            for (int j = 0; j < n_x; j++)
                WSTORE(d + (n_x * k + j) * stride + l, o[j]);
        }
    }
}

WINLINE void filter_tile(const float *g, const int *tap, float *u, int64_t stride, const int taps_y, const int taps_x)
{
    const int n_y = 3 + taps_y, n_x = 3 + taps_x;
    for (int l = 0; l < LTI_LANES; l += WINO_LANES) {
        wvec t[LTI_WINO_MAX_IN * 3], i[3], o[LTI_WINO_MAX_IN];
        for (int k = 0; k < taps_x; k++) {
            WUNROLL
            for (int j = 0; j < taps_y; j++)
                i[j] = WLOAD(g + tap[j * taps_x + k] * LTI_LANES + l);
            filter_1d(i, 1, t + k, taps_x, taps_y);
        }
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
        for (int k = 0; k < n_x; k++) {
            wino_load(u + k * stride + l, n_x * stride, n_y, i);
            filter_gradient_1d(i, 1, t + k, n_x, taps_y);
        }
        for (int k = 0; k < taps_y; k++) {
            filter_gradient_1d(t + n_x * k, 1, o, 1, taps_x);
            WUNROLL
            for (int j = 0; j < taps_x; j++)
                WSTORE(g + tap[taps_x * k + j] * LTI_LANES + l, o[j]);
        }
    }
}

// The functions of one form.
#define WINO_FORM(R, S)                                                                                                \
    static void wino_input_##R##S(const float *x, const lti_wino_patch *at, float *v, int64_t stride)                  \
    {                                                                                                                  \
        input_tile(x, at, v, stride, R, S, false);                                                                     \
    }                                                                                                                  \
    static void wino_input_half_##R##S(const float *x, const lti_wino_patch *at, float *v, int64_t stride)             \
    {                                                                                                                  \
        input_tile(x, at, v, stride, R, S, true);                                                                      \
    }                                                                                                                  \
    static void wino_output_##R##S(const float *m, int64_t stride, float *y, const lti_wino_patch *at,                 \
                                   const lti_wino_finish *finish)                                                      \
    {                                                                                                                  \
        output_tile(m, stride, y, at, finish, R, S);                                                                   \
    }                                                                                                                  \
    static void wino_gradient_##R##S(const float *dy, const lti_wino_patch *at, float *d, int64_t stride)              \
    {                                                                                                                  \
        gradient_tile(dy, at, d, stride, R, S);                                                                        \
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
        .points = (3 + R) * (3 + S),                                                                                   \
        .taps = R * S,                                                                                                 \
        .input = wino_input_##R##S,                                                                                    \
        .gradient = wino_gradient_##R##S,                                                                              \
        .input_half = wino_input_half_##R##S,                                                                          \
        .output = wino_output_##R##S,                                                                                  \
        .filter = wino_filter_##R##S,                                                                                  \
        .filter_gradient = wino_filter_gradient_##R##S,                                                                \
    }

static void wino_pack(const float *a, const float *b, float *pairs)
{
    for (int l = 0; l < LTI_LANES; l += WINO_LANES)
        WSTORE(pairs + l, WINO_PAIRS(WLOAD(a + l), WLOAD(b + l)));
}

// Rows times n_vec vectors of columns; every accumulator lives in a register, so n_vec must be a literal at the call.
WINLINE void multiply(const float *v, int64_t v_blocks, int64_t v_stride, const float *u, float *m, int64_t m_stride,
                      const int n_vec, const bool half)
{
    const int steps = half ? LTI_LANES / 2 : LTI_LANES;
    wvec acc[WINO_ROWS][WINO_WIDTH / WINO_LANES], col[WINO_WIDTH / WINO_LANES];
    WUNROLL
    for (int i = 0; i < WINO_ROWS; i++) {
        WUNROLL
        for (int j = 0; j < n_vec; j++)
            acc[i][j] = (wvec){0};
    }
    for (int64_t b = 0; b < v_blocks; b++, v += v_stride)
        for (int c = 0; c < steps; c++, u += n_vec * WINO_LANES) {
            WUNROLL
            for (int j = 0; j < n_vec; j++)
                col[j] = WLOAD(u + j * WINO_LANES);
            WUNROLL
            for (int i = 0; i < WINO_ROWS; i++) {
                const wvec x = WSET(v[i * steps + c]);
                WUNROLL
                for (int j = 0; j < n_vec; j++)
                    acc[i][j] = half ? WINO_DOT(x, col[j], acc[i][j]) : WINO_FMA(x, col[j], acc[i][j]);
            }
        }
    WUNROLL
    for (int i = 0; i < WINO_ROWS; i++) {
        WUNROLL
        for (int j = 0; j < n_vec; j++)
            WSTORE(m + j * WINO_LANES / LTI_LANES * m_stride + i * LTI_LANES + j * WINO_LANES % LTI_LANES, acc[i][j]);
    }
}

static void wino_multiply(const float *v, int64_t v_blocks, int64_t v_stride, const float *u, float *m,
                          int64_t m_stride, int n)
{
    if (n == WINO_WIDTH)
        multiply(v, v_blocks, v_stride, u, m, m_stride, WINO_WIDTH / WINO_LANES, false);
    else
        multiply(v, v_blocks, v_stride, u, m, m_stride, LTI_LANES / WINO_LANES, false);
}

static void wino_multiply_half(const float *v, int64_t v_blocks, int64_t v_stride, const float *u, float *m,
                               int64_t m_stride, int n)
{
    if (n == WINO_WIDTH)
        multiply(v, v_blocks, v_stride, u, m, m_stride, WINO_WIDTH / WINO_LANES, true);
    else
        multiply(v, v_blocks, v_stride, u, m, m_stride, LTI_LANES / WINO_LANES, true);
}

// rows times n_vec vectors, d_step floats apart in d and u_step in u; rows and n_vec literals at the call.
WINLINE void accumulate(const float *v, const float *d, float *u, int64_t tiles, int64_t d_step, int64_t u_step,
                        int64_t u_stride, bool first, const int rows, const int n_vec, const bool half)
{
    wvec acc[LTI_LANES][2], col[2];
    WUNROLL
    for (int i = 0; i < rows; i++) {
        WUNROLL
        for (int j = 0; j < n_vec; j++)
            acc[i][j] = first ? (wvec){0} : WLOAD(u + i * u_stride + j * u_step);
    }
    for (int64_t t = 0; t < tiles; t++, v += LTI_LANES, d += LTI_LANES) {
        WUNROLL
        for (int j = 0; j < n_vec; j++)
            col[j] = WLOAD(d + j * d_step);
        WUNROLL
        for (int i = 0; i < rows; i++) {
            const wvec x = WSET(v[i]);
            WUNROLL
            for (int j = 0; j < n_vec; j++)
                acc[i][j] = half ? WINO_DOT(x, col[j], acc[i][j]) : WINO_FMA(x, col[j], acc[i][j]);
        }
    }
    WUNROLL
    for (int i = 0; i < rows; i++) {
        WUNROLL
        for (int j = 0; j < n_vec; j++)
            WSTORE(u + i * u_stride + j * u_step, acc[i][j]);
    }
}

WINLINE void accumulate_16(const float *v, const float *d, float *u, int64_t tiles, int64_t d_stride, int64_t u_stride,
                           int n, bool first, const bool half)
{
#if WINO_LANES == 16
    if (n == LTI_LANES) {
        accumulate(v, d, u, tiles, 0, 0, u_stride, first, LTI_LANES, 1, half);
        return;
    }
    for (int c = 0; c < LTI_LANES; c += 8)
        accumulate(v + c, d, u + c * u_stride, tiles, d_stride, LTI_LANES, u_stride, first, 8, 2, half);
#else
    (void)d_stride;
    (void)n;
    for (int k = 0; k < LTI_LANES; k += 2 * WINO_LANES)
        for (int c = 0; c < LTI_LANES; c += 4)
            accumulate(v + c, d + k, u + c * u_stride + k, tiles, WINO_LANES, WINO_LANES, u_stride, first, 4, 2, half);
#endif
}

static void wino_accumulate(const float *v, const float *d, float *u, int64_t tiles, int64_t d_stride, int64_t u_stride,
                            int n, bool first)
{
    accumulate_16(v, d, u, tiles, d_stride, u_stride, n, first, false);
}

static void wino_accumulate_half(const float *v, const float *d, float *u, int64_t tiles, int64_t d_stride,
                                 int64_t u_stride, int n, bool first)
{
    accumulate_16(v, d, u, tiles, d_stride, u_stride, n, first, true);
}

const lti_wino_kern LTI_WINO_TABLE = {
    .isa = LTI_WINO_ISA,
    .rows = WINO_ROWS,
    .width = WINO_WIDTH,
    .strided_rule = WINO_STRIDED,
    .form = {WINO_ROW(3, 3), WINO_ROW(2, 2), WINO_ROW(2, 1), WINO_ROW(1, 2), WINO_ROW(1, 1)},
    .multiply = wino_multiply,
    .accumulate = wino_accumulate,
    .pack = wino_pack,
    .multiply_half = wino_multiply_half,
    .accumulate_half = wino_accumulate_half,
};

#undef WLOAD
#undef WSTORE
#undef WSET
#undef WRELU
#undef WMASK
#undef WUNROLL
#undef WINLINE
#undef WINO_FORM
#undef WINO_ROW
