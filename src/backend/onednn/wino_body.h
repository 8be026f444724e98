// wino_body.h - the inner loops behind wino.h, included once per instruction set.
//
// F(4x4, 3x3) [Lavin & Gray, "Fast Algorithms for Convolutional Neural Networks", 2016] on the points 0, +-P, +-Q and
// infinity. A tile of 6x6 inputs gives 4x4 outputs with 36 multiplications a channel pair instead of 144. The usual
// points 1 and 2 lose digits; with 5/8 and 3/2 the relative error of a layer of 128 channels is 1.1e-6 instead
// of 2.5e-6. Rows of B^T follow from the polynomial x (x^2 - P^2) (x^2 - Q^2) without the factor of each point, rows of
// A^T are powers of the points, and G carries the scale factors.
//
// No guard on purpose. The including file sets LTI_WINO_TABLE, LTI_WINO_ISA, WINO_LANES (floats a vector), WINO_ROWS,
// WINO_WIDTH and WINO_FMA(a, b, c) = a * b + c. Where the processor has bf16 it also sets WINO_DOT(a, b, c), both
// products of a pair added to c, WINO_HALF(v), a vector rounded to bf16, and WINO_PAIRS(a, b), two of them lane by
// lane.
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
#define WUNROLL _Pragma("GCC unroll 16")
#define WINLINE static inline __attribute__((always_inline))

#define P 0.625f
#define Q 1.5f
#define P2 (P * P)
#define Q2 (Q * Q)
#define N_0 (1.0f / (P2 * Q2))
#define N_P (1.0f / (2.0f * P2 * (P2 - Q2)))
#define N_Q (1.0f / (2.0f * Q2 * (Q2 - P2)))

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

// One dimension of B^T x: six values i0..i5 to six values, `step` vectors apart.
WINLINE void input_1d(wvec i0, wvec i1, wvec i2, wvec i3, wvec i4, wvec i5, wvec *o, int step)
{
    const wvec even_p = WINO_FMA(WSET(-Q2), i2, i4), odd_p = WINO_FMA(WSET(-Q2), i1, i3);
    const wvec even_q = WINO_FMA(WSET(-P2), i2, i4), odd_q = WINO_FMA(WSET(-P2), i1, i3);
    o[0] = WINO_FMA(WSET(P2 * Q2), i0, WINO_FMA(WSET(-(P2 + Q2)), i2, i4));
    o[step] = WINO_FMA(WSET(P), odd_p, even_p);
    o[2 * step] = WINO_FMA(WSET(-P), odd_p, even_p);
    o[3 * step] = WINO_FMA(WSET(Q), odd_q, even_q);
    o[4 * step] = WINO_FMA(WSET(-Q), odd_q, even_q);
    o[5 * step] = WINO_FMA(WSET(P2 * Q2), i1, WINO_FMA(WSET(-(P2 + Q2)), i3, i5));
}

// One dimension of A^T m: six values to four.
WINLINE void output_1d(wvec i0, wvec i1, wvec i2, wvec i3, wvec i4, wvec i5, wvec *o, int step)
{
    const wvec sum_p = i1 + i2, dif_p = i1 - i2, sum_q = i3 + i4, dif_q = i3 - i4;
    o[0] = i0 + (sum_p + sum_q);
    o[step] = WINO_FMA(WSET(Q), dif_q, WSET(P) * dif_p);
    o[2 * step] = WINO_FMA(WSET(Q2), sum_q, WSET(P2) * sum_p);
    o[3 * step] = WINO_FMA(WSET(Q * Q2), dif_q, WINO_FMA(WSET(P * P2), dif_p, i5));
}

// One dimension of A dy: four values to six.
WINLINE void gradient_1d(wvec i0, wvec i1, wvec i2, wvec i3, wvec *o, int step)
{
    const wvec even_p = WINO_FMA(WSET(P2), i2, i0), odd_p = WINO_FMA(WSET(P * P2), i3, WSET(P) * i1);
    const wvec even_q = WINO_FMA(WSET(Q2), i2, i0), odd_q = WINO_FMA(WSET(Q * Q2), i3, WSET(Q) * i1);
    o[0] = i0;
    o[step] = even_p + odd_p;
    o[2 * step] = even_p - odd_p;
    o[3 * step] = even_q + odd_q;
    o[4 * step] = even_q - odd_q;
    o[5 * step] = i3;
}

// One dimension of G g: three values to six.
WINLINE void filter_1d(wvec i0, wvec i1, wvec i2, wvec *o, int step)
{
    const wvec even_p = WINO_FMA(WSET(P2 * N_P), i2, WSET(N_P) * i0), odd_p = WSET(P * N_P) * i1;
    const wvec even_q = WINO_FMA(WSET(Q2 * N_Q), i2, WSET(N_Q) * i0), odd_q = WSET(Q * N_Q) * i1;
    o[0] = WSET(N_0) * i0;
    o[step] = even_p + odd_p;
    o[2 * step] = even_p - odd_p;
    o[3 * step] = even_q + odd_q;
    o[4 * step] = even_q - odd_q;
    o[5 * step] = i2;
}

// One dimension of G^T u: six values to three.
WINLINE void filter_gradient_1d(wvec i0, wvec i1, wvec i2, wvec i3, wvec i4, wvec i5, wvec *o, int step)
{
    const wvec sum_p = i1 + i2, dif_p = i1 - i2, sum_q = i3 + i4, dif_q = i3 - i4;
    o[0] = WINO_FMA(WSET(N_Q), sum_q, WINO_FMA(WSET(N_P), sum_p, WSET(N_0) * i0));
    o[step] = WINO_FMA(WSET(Q * N_Q), dif_q, WSET(P * N_P) * dif_p);
    o[2 * step] = WINO_FMA(WSET(Q2 * N_Q), sum_q, WINO_FMA(WSET(P2 * N_P), sum_p, i5));
}

// Copies the part of a size x size patch that lies inside the plane into `patch`, zero elsewhere.
static void wino_clip(const float *x, int64_t h, int64_t w, int64_t y0, int64_t x0, int size, float *patch)
{
    for (int i = 0; i < size; i++)
        for (int j = 0; j < size; j++, patch += LTI_LANES) {
            const int64_t row = y0 + i, col = x0 + j;
            const bool inside = row >= 0 && row < h && col >= 0 && col < w;
            const float *from = x + (row * w + col) * LTI_LANES;
            for (int l = 0; l < LTI_LANES; l += WINO_LANES)
                WSTORE(patch + l, inside ? WLOAD(from + l) : (wvec){0});
        }
}

WINLINE void input_tile(const float *x, int64_t h, int64_t w, int64_t y0, int64_t x0, float *v, int64_t stride,
                        const bool half)
{
    float patch[LTI_WINO_IN * LTI_WINO_IN * LTI_LANES] __attribute__((aligned(64)));
    const float *from = x + (y0 * w + x0) * LTI_LANES;
    int64_t line = w * LTI_LANES;
    if (y0 < 0 || x0 < 0 || y0 + LTI_WINO_IN > h || x0 + LTI_WINO_IN > w) {
        wino_clip(x, h, w, y0, x0, LTI_WINO_IN, patch);
        from = patch;
        line = LTI_WINO_IN * LTI_LANES;
    }
    for (int l = 0; l < LTI_LANES; l += WINO_LANES) {
        wvec t[36], o[6];
        for (int j = 0; j < 6; j++) {
            const float *f = from + j * LTI_LANES + l;
            input_1d(WLOAD(f), WLOAD(f + line), WLOAD(f + 2 * line), WLOAD(f + 3 * line), WLOAD(f + 4 * line),
                     WLOAD(f + 5 * line), t + j, 6);
        }
        for (int i = 0; i < 6; i++) {
            const wvec *r = t + 6 * i;
            input_1d(r[0], r[1], r[2], r[3], r[4], r[5], o, 1);
            for (int j = 0; j < 6; j++)
                if (half)
                    *(whalf_mem *)(v + (6 * i + j) * stride + l / 2) = WINO_HALF(o[j]);
                else
                    WSTORE(v + (6 * i + j) * stride + l, o[j]);
        }
    }
}

static void wino_input(const float *x, int64_t h, int64_t w, int64_t y0, int64_t x0, float *v, int64_t stride)
{
    input_tile(x, h, w, y0, x0, v, stride, false);
}

static void wino_input_half(const float *x, int64_t h, int64_t w, int64_t y0, int64_t x0, float *v, int64_t stride)
{
    input_tile(x, h, w, y0, x0, v, stride, true);
}

static void wino_pack(const float *a, const float *b, float *pairs)
{
    for (int l = 0; l < LTI_LANES; l += WINO_LANES)
        WSTORE(pairs + l, WINO_PAIRS(WLOAD(a + l), WLOAD(b + l)));
}

static void wino_output(const float *m, int64_t stride, float *y, int64_t h, int64_t w, int64_t y0, int64_t x0,
                        const float *bias, bool relu)
{
    const int n_i = h - y0 < 4 ? (int)(h - y0) : 4, n_j = w - x0 < 4 ? (int)(w - x0) : 4;
    for (int l = 0; l < LTI_LANES; l += WINO_LANES) {
        const wvec add = bias ? WLOAD(bias + l) : (wvec){0};
        wvec t[24], o[4];
        for (int j = 0; j < 6; j++) {
            const float *f = m + j * stride + l;
            output_1d(WLOAD(f), WLOAD(f + 6 * stride), WLOAD(f + 12 * stride), WLOAD(f + 18 * stride),
                      WLOAD(f + 24 * stride), WLOAD(f + 30 * stride), t + j, 6);
        }
        for (int i = 0; i < n_i; i++) {
            const wvec *r = t + 6 * i;
            float *to = y + ((y0 + i) * w + x0) * LTI_LANES + l;
            output_1d(r[0], r[1], r[2], r[3], r[4], r[5], o, 1);
            for (int j = 0; j < n_j; j++) {
                wvec v = o[j] + add;
                if (relu)
                    v = WRELU(v);
                WSTORE(to + j * LTI_LANES, v);
            }
        }
    }
}

static void wino_gradient(const float *dy, int64_t h, int64_t w, int64_t y0, int64_t x0, float *d, int64_t stride)
{
    float patch[LTI_WINO_OUT * LTI_WINO_OUT * LTI_LANES] __attribute__((aligned(64)));
    const float *from = dy + (y0 * w + x0) * LTI_LANES;
    int64_t line = w * LTI_LANES;
    if (y0 + LTI_WINO_OUT > h || x0 + LTI_WINO_OUT > w) {
        wino_clip(dy, h, w, y0, x0, LTI_WINO_OUT, patch);
        from = patch;
        line = LTI_WINO_OUT * LTI_LANES;
    }
    for (int l = 0; l < LTI_LANES; l += WINO_LANES) {
        wvec t[24], o[6];
        for (int j = 0; j < 4; j++) {
            const float *f = from + j * LTI_LANES + l;
            gradient_1d(WLOAD(f), WLOAD(f + line), WLOAD(f + 2 * line), WLOAD(f + 3 * line), t + j, 4);
        }
        for (int i = 0; i < 6; i++) {
            const wvec *r = t + 4 * i;
            gradient_1d(r[0], r[1], r[2], r[3], o, 1);
            for (int j = 0; j < 6; j++)
                WSTORE(d + (6 * i + j) * stride + l, o[j]);
        }
    }
}

static void wino_filter(const float *g, float *u)
{
    for (int l = 0; l < LTI_LANES; l += WINO_LANES) {
        wvec t[18], o[6];
        for (int j = 0; j < 3; j++)
            filter_1d(WLOAD(g + j * LTI_LANES + l), WLOAD(g + (3 + j) * LTI_LANES + l),
                      WLOAD(g + (6 + j) * LTI_LANES + l), t + j, 3);
        for (int i = 0; i < 6; i++) {
            filter_1d(t[3 * i], t[3 * i + 1], t[3 * i + 2], o, 1);
            for (int j = 0; j < 6; j++)
                WSTORE(u + (6 * i + j) * LTI_LANES + l, o[j]);
        }
    }
}

static void wino_filter_gradient(const float *u, float *g)
{
    for (int l = 0; l < LTI_LANES; l += WINO_LANES) {
        wvec t[18], o[3];
        for (int j = 0; j < 6; j++) {
            const float *f = u + j * LTI_LANES + l;
            filter_gradient_1d(WLOAD(f), WLOAD(f + 6 * LTI_LANES), WLOAD(f + 12 * LTI_LANES), WLOAD(f + 18 * LTI_LANES),
                               WLOAD(f + 24 * LTI_LANES), WLOAD(f + 30 * LTI_LANES), t + j, 6);
        }
        for (int i = 0; i < 3; i++) {
            const wvec *r = t + 6 * i;
            filter_gradient_1d(r[0], r[1], r[2], r[3], r[4], r[5], o, 1);
            for (int j = 0; j < 3; j++)
                WSTORE(g + (3 * i + j) * LTI_LANES + l, o[j]);
        }
    }
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
    .input = wino_input,
    .output = wino_output,
    .gradient = wino_gradient,
    .filter = wino_filter,
    .filter_gradient = wino_filter_gradient,
    .multiply = wino_multiply,
    .accumulate = wino_accumulate,
    .input_half = wino_input_half,
    .pack = wino_pack,
    .multiply_half = wino_multiply_half,
    .accumulate_half = wino_accumulate_half,
};

#undef WLOAD
#undef WSTORE
#undef WSET
#undef WRELU
#undef WUNROLL
#undef WINLINE
#undef P
#undef Q
#undef P2
#undef Q2
#undef N_0
#undef N_P
#undef N_Q
