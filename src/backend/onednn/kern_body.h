// kern_body.h - the inner loops behind kern.h, included once per instruction set.
//
// A pixel of 16 channels is PARTS vectors of KERN_LANES floats. Vectors longer than a register would be simpler to
// write, but gcc compares them lane by lane, with a jump each, and keeps them in memory.
//
// No guard on purpose: the including file sets LTI_KERN_TABLE, LTI_KERN_ISA and KERN_LANES; where the processor can
// write around its caches KERN_STREAM(p, v), which does so with a vec, and KERN_FENCE(), after which others see it; and
// where the compiler can shuffle KERN_ROUND(half, x, y, a, b), which makes of the rows a and b, taken as blocks of
// `half` lanes, alternately x of their even blocks and y of their odd ones.
typedef float vec __attribute__((vector_size(4 * KERN_LANES)));
typedef int32_t ivec __attribute__((vector_size(4 * KERN_LANES)));
typedef float mem_vec __attribute__((vector_size(4 * KERN_LANES), aligned(4), may_alias));
typedef int32_t mem_ivec __attribute__((vector_size(4 * KERN_LANES), aligned(4), may_alias));

enum { PARTS = LTI_LANES / KERN_LANES };

#define LOAD(p) ((vec) * (const mem_vec *)(p))
#define STORE(p, v) (*(mem_vec *)(p) = (v))
#define ZERO ((vec){0})
#define EACH_PART _Pragma("GCC unroll 16") for (int c = 0; c < PARTS; c++)
#define PART(p) LOAD((p) + c * KERN_LANES)
#define STORE_PART(p, v) STORE((p) + c * KERN_LANES, v)
#ifndef KERN_STREAM
#define KERN_STREAM(p, v) STORE(p, v)
#define KERN_FENCE() ((void)0)
#endif
// A NaN stays a NaN, so that a diverged network is seen in its loss.
#define RELU(v) ((vec)((ivec)(v) & ~((v) < ZERO)))
#define MASK(v, y) ((vec)((ivec)(v) & ((y) > ZERO)))

// The constants of 16 channels, in registers as far as there are enough.
#define CONSTANT(v, p)                                                                                                 \
    vec v[PARTS];                                                                                                      \
    EACH_PART v[c] = PART(p)

static void sum(const float *x, int64_t px, float *s)
{
    vec a[4][PARTS] = {{{0}}};
    int64_t i = 0;
    for (; i + 4 <= px; i += 4)
        _Pragma("GCC unroll 4") for (int k = 0; k < 4; k++) EACH_PART a[k][c] += PART(x + 16 * (i + k));
    for (; i < px; i++)
        EACH_PART a[0][c] += PART(x + 16 * i);
    EACH_PART STORE_PART(s, (a[0][c] + a[1][c]) + (a[2][c] + a[3][c]));
}

static void moments(const float *x, int64_t px, float *mean, float *m2)
{
    vec m[PARTS], a[4][PARTS] = {{{0}}};
    sum(x, px, mean);
    EACH_PART m[c] = PART(mean) / (float)px;
    int64_t i = 0;
    for (; i + 4 <= px; i += 4)
        _Pragma("GCC unroll 4") for (int k = 0; k < 4; k++) EACH_PART
        {
            const vec d = PART(x + 16 * (i + k)) - m[c];
            a[k][c] += d * d;
        }
    for (; i < px; i++)
        EACH_PART
        {
            const vec d = PART(x + 16 * i) - m[c];
            a[0][c] += d * d;
        }
    EACH_PART
    {
        STORE_PART(mean, m[c]);
        STORE_PART(m2, (a[0][c] + a[1][c]) + (a[2][c] + a[3][c]));
    }
}

// The loop of a function that writes y, one vector v an iteration, made by the statements: cached or non-temporal.
#define WRITE_LOOP(y, ...)                                                                                             \
    do {                                                                                                               \
        for (int64_t i = 0; !stream && i < 16 * px; i += 16)                                                           \
            EACH_PART                                                                                                  \
            {                                                                                                          \
                vec v;                                                                                                 \
                __VA_ARGS__;                                                                                           \
                STORE_PART((y) + i, v);                                                                                \
            }                                                                                                          \
        for (int64_t i = 0; stream && i < 16 * px; i += 16)                                                            \
            EACH_PART                                                                                                  \
            {                                                                                                          \
                vec v;                                                                                                 \
                __VA_ARGS__;                                                                                           \
                KERN_STREAM((y) + i + c * KERN_LANES, v);                                                              \
            }                                                                                                          \
        if (stream)                                                                                                    \
            KERN_FENCE();                                                                                              \
    } while (0)

static void affine(const float *x, float *y, int64_t px, const float *mean, const float *a, const float *b,
                   bool with_relu, bool stream)
{
    CONSTANT(m, mean);
    CONSTANT(va, a);
    CONSTANT(vb, b);
    WRITE_LOOP(y, v = (PART(x + i) - m[c]) * va[c] + vb[c]; if (with_relu) v = RELU(v));
}

static void affine_add(const float *x, const float *r, float *y, int64_t px, const float *mean, const float *a,
                       const float *b, bool with_relu, bool stream)
{
    CONSTANT(m, mean);
    CONSTANT(va, a);
    CONSTANT(vb, b);
    WRITE_LOOP(y, v = (PART(x + i) - m[c]) * va[c] + vb[c]; v += PART(r + i); if (with_relu) v = RELU(v));
}

// The loop of a function that sums g into s1 and g * d into s2, vectors of the pixel `at` made by the statements.
// Pixels alternate between two sums of each: less waiting for the last addition.
#define SUMS_STEP(k, index, ...)                                                                                       \
    EACH_PART                                                                                                          \
    {                                                                                                                  \
        const int64_t at = (index);                                                                                    \
        vec g, d;                                                                                                      \
        __VA_ARGS__;                                                                                                   \
        a[k][c] += g;                                                                                                  \
        b[k][c] += g * d;                                                                                              \
    }
#define SUMS_LOOP(...)                                                                                                 \
    do {                                                                                                               \
        vec a[2][PARTS] = {{{0}}}, b[2][PARTS] = {{{0}}};                                                              \
        int64_t i = 0;                                                                                                 \
        for (; i + 32 <= 16 * px; i += 32)                                                                             \
            _Pragma("GCC unroll 2") for (int k = 0; k < 2; k++) SUMS_STEP(k, i + 16 * k, __VA_ARGS__);                 \
        if (i < 16 * px)                                                                                               \
            SUMS_STEP(0, i, __VA_ARGS__);                                                                              \
        EACH_PART                                                                                                      \
        {                                                                                                              \
            STORE_PART(s1, a[0][c] + a[1][c]);                                                                         \
            STORE_PART(s2, b[0][c] + b[1][c]);                                                                         \
        }                                                                                                              \
    } while (0)

static void bn_sums(const float *x, const float *dy, const float *y, int64_t px, const float *mean, float *s1,
                    float *s2)
{
    CONSTANT(m, mean);
    if (y)
        SUMS_LOOP(g = MASK(PART(dy + at), PART(y + at)); d = PART(x + at) - m[c]);
    else
        SUMS_LOOP(g = PART(dy + at); d = PART(x + at) - m[c]);
}

static void bn_dx(const float *x, const float *dy, const float *y, float *dx, int64_t px, const float *mean,
                  const float *a, const float *b, const float *d, bool stream)
{
    CONSTANT(m, mean);
    CONSTANT(va, a);
    CONSTANT(vb, b);
    CONSTANT(vd, d);
    WRITE_LOOP(dx, v = PART(dy + i); if (y) v = MASK(v, PART(y + i));
               v = va[c] * v + (vb[c] * (PART(x + i) - m[c]) + vd[c]));
}

static void bn_relu_sums(const float *x, const float *dy, int64_t px, const float *mean, const float *ga,
                         const float *gb, float *s1, float *s2)
{
    CONSTANT(m, mean);
    CONSTANT(va, ga);
    CONSTANT(vb, gb);
    SUMS_LOOP(d = PART(x + at) - m[c]; g = d * va[c] + vb[c]; g = MASK(PART(dy + at), g));
}

static void bn_relu_dx(const float *x, const float *dy, float *dx, int64_t px, const float *mean, const float *ga,
                       const float *gb, const float *a, const float *b, const float *d, bool stream)
{
    CONSTANT(m, mean);
    CONSTANT(vga, ga);
    CONSTANT(vgb, gb);
    CONSTANT(va, a);
    CONSTANT(vb, b);
    CONSTANT(vd, d);
    WRITE_LOOP(dx, const vec e = PART(x + i) - m[c]; v = e * vga[c] + vgb[c]; v = MASK(PART(dy + i), v);
               v = va[c] * v + (vb[c] * e + vd[c]));
}

static void fill(float *y, int64_t px, const float *value)
{
    CONSTANT(v, value);
    for (int64_t i = 0; i < 16 * px; i += 16)
        EACH_PART STORE_PART(y + i, v[c]);
}

static void avg_pool(const float *x, float *y, int64_t h, int64_t w, int64_t kernel, int64_t stride)
{
    const int64_t oh = (h - kernel) / stride + 1, ow = (w - kernel) / stride + 1;
    const float mul = 1.0f / (float)(kernel * kernel);
    for (int64_t i = 0; i < oh; i++)
        for (int64_t j = 0; j < ow; j++) {
            vec s[PARTS] = {{0}};
            for (int64_t r = 0; r < kernel; r++)
                for (int64_t q = 0; q < kernel; q++)
                    EACH_PART s[c] += PART(x + 16 * ((i * stride + r) * w + j * stride + q));
            EACH_PART STORE_PART(y + 16 * (i * ow + j), s[c] * mul);
        }
}

static void avg_pool_dx(const float *dy, float *dx, int64_t h, int64_t w, int64_t kernel, int64_t stride)
{
    const int64_t oh = (h - kernel) / stride + 1, ow = (w - kernel) / stride + 1;
    const float mul = 1.0f / (float)(kernel * kernel);
    const float none[16] = {0};
    fill(dx, h * w, none);
    for (int64_t i = 0; i < oh; i++)
        for (int64_t j = 0; j < ow; j++) {
            vec g[PARTS];
            EACH_PART g[c] = PART(dy + 16 * (i * ow + j)) * mul;
            for (int64_t r = 0; r < kernel; r++)
                for (int64_t q = 0; q < kernel; q++) {
                    float *at = dx + 16 * ((i * stride + r) * w + j * stride + q);
                    EACH_PART STORE_PART(at, PART(at) + g[c]);
                }
        }
}

static void max_pool(const float *x, float *y, int32_t *index, int64_t h, int64_t w, int64_t kernel, int64_t stride)
{
    const int64_t oh = (h - kernel) / stride + 1, ow = (w - kernel) / stride + 1;
    for (int64_t i = 0; i < oh; i++)
        for (int64_t j = 0; j < ow; j++) {
            const int64_t first = i * stride * w + j * stride;
            vec best[PARTS];
            ivec at[PARTS];
            EACH_PART best[c] = PART(x + 16 * first);
            EACH_PART at[c] = (ivec){0} + (int32_t)first;
            for (int64_t r = 0; r < kernel; r++)
                for (int64_t q = 0; q < kernel; q++) {
                    const int64_t p = first + r * w + q;
                    EACH_PART
                    {
                        const vec v = PART(x + 16 * p), b = best[c];
                        // NOLINTNEXTLINE(misc-redundant-expression): a NaN wins, so that it is seen
                        const ivec better = (v > b) | ((v != v) & (b == b));
                        best[c] = (vec)(((ivec)v & better) | ((ivec)b & ~better));
                        at[c] = (((ivec){0} + (int32_t)p) & better) | (at[c] & ~better);
                    }
                }
            EACH_PART STORE_PART(y + 16 * (i * ow + j), best[c]);
            EACH_PART *(mem_ivec *)(index + 16 * (i * ow + j) + c * KERN_LANES) = at[c];
        }
}

static void max_pool_dx(const float *dy, const int32_t *index, float *dx, int64_t px_in, int64_t px_out)
{
    const float none[16] = {0};
    fill(dx, px_in, none);
    for (int64_t i = 0; i < px_out; i++)
        for (int l = 0; l < 16; l++)
            dx[16 * (int64_t)index[16 * i + l] + l] += dy[16 * i + l];
}

static void relu(const float *x, float *y, int64_t n)
{
    int64_t i = 0;
    for (; i + KERN_LANES <= n; i += KERN_LANES) {
        vec v = LOAD(x + i);
        STORE(y + i, RELU(v));
    }
    for (; i < n; i++)
        y[i] = x[i] < 0.0f ? 0.0f : x[i];
}

static void relu_dx(const float *dy, const float *y, float *dx, int64_t n, float alpha)
{
    int64_t i = 0;
    for (; i + KERN_LANES <= n; i += KERN_LANES) {
        vec v = LOAD(dy + i) * alpha;
        STORE(dx + i, MASK(v, LOAD(y + i)));
    }
    for (; i < n; i++)
        dx[i] = y[i] > 0.0f ? dy[i] * alpha : 0.0f;
}

static void add(const float *a, const float *b, float *y, int64_t n, float alpha, bool with_relu)
{
    int64_t i = 0;
    for (; i + KERN_LANES <= n; i += KERN_LANES) {
        vec v = (LOAD(a + i) + LOAD(b + i)) * alpha;
        if (with_relu)
            v = RELU(v);
        STORE(y + i, v);
    }
    for (; i < n; i++) {
        float v = (a[i] + b[i]) * alpha;
        y[i] = with_relu && v < 0.0f ? 0.0f : v;
    }
}

static void add_relu_dx(const float *a, const float *b, const float *y, float *dx, int64_t n, float alpha)
{
    int64_t i = 0;
    for (; i + KERN_LANES <= n; i += KERN_LANES) {
        const vec v = (LOAD(a + i) + LOAD(b + i)) * alpha;
        STORE(dx + i, MASK(v, LOAD(y + i)));
    }
    for (; i < n; i++)
        dx[i] = y[i] > 0.0f ? (a[i] + b[i]) * alpha : 0.0f;
}

static void gather(const float *x, int64_t step, float *to, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        EACH_PART STORE_PART(to + i * 16, PART(x + i * step * 16));
}

static void scatter_add(const float *from, const float *y, float *dx, int64_t step, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        const int64_t at = i * step * 16;
        EACH_PART STORE_PART(dx + at, MASK(PART(dx + at) + PART(from + i * 16), PART(y + at)));
    }
}

static void scale(const float *x, float *y, int64_t n, float mul, float sub)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = (x[i] - sub) * mul;
}

#ifdef KERN_ROUND
// Rows become columns, KERN_LANES of each: every round exchanges blocks of half as many lanes as the last.
static inline __attribute__((always_inline)) void transpose(vec *t)
{
    _Pragma("GCC unroll 4") for (int half = KERN_LANES / 2; half; half /= 2)
        _Pragma("GCC unroll 16") for (int i = 0; i < KERN_LANES; i++) if (!(i & half))
    {
        const vec a = t[i], b = t[i + half];
        KERN_ROUND(half, t[i], t[i + half], a, b);
    }
}

static void to_plain_16(const float *blk, float *plain, int64_t stride, int n_ch)
{
    vec t[KERN_LANES];
    for (int c0 = 0; c0 < 16; c0 += KERN_LANES)
        for (int p0 = 0; p0 < 16; p0 += KERN_LANES) {
            _Pragma("GCC unroll 16") for (int i = 0; i < KERN_LANES; i++) t[i] = LOAD(blk + 16 * (p0 + i) + c0);
            transpose(t);
            for (int c = 0; c < KERN_LANES && c0 + c < n_ch; c++)
                STORE(plain + (c0 + c) * stride + p0, t[c]);
        }
}

static void to_blocked_16(const float *plain, int64_t stride, float *blk, int n_ch)
{
    vec t[KERN_LANES];
    for (int c0 = 0; c0 < 16; c0 += KERN_LANES)
        for (int p0 = 0; p0 < 16; p0 += KERN_LANES) {
            for (int c = 0; c < KERN_LANES; c++)
                t[c] = c0 + c < n_ch ? LOAD(plain + (c0 + c) * stride + p0) : ZERO;
            transpose(t);
            _Pragma("GCC unroll 16") for (int i = 0; i < KERN_LANES; i++) STORE(blk + 16 * (p0 + i) + c0, t[i]);
        }
}
#else
static void to_plain_16(const float *blk, float *plain, int64_t stride, int n_ch)
{
    for (int c = 0; c < n_ch; c++)
        for (int i = 0; i < 16; i++)
            plain[c * stride + i] = blk[16 * i + c];
}

static void to_blocked_16(const float *plain, int64_t stride, float *blk, int n_ch)
{
    for (int i = 0; i < 16; i++)
        for (int c = 0; c < 16; c++)
            blk[16 * i + c] = c < n_ch ? plain[c * stride + i] : 0.0f;
}
#endif

static void to_plain(const float *blk, float *plain, int64_t stride, int64_t px, int n_ch)
{
    int64_t p = 0;
    for (; p + 16 <= px; p += 16)
        to_plain_16(blk + 16 * p, plain + p, stride, n_ch);
    for (; p < px; p++)
        for (int c = 0; c < n_ch; c++)
            plain[c * stride + p] = blk[16 * p + c];
}

static void to_blocked(const float *plain, int64_t stride, float *blk, int64_t px, int n_ch)
{
    int64_t p = 0;
    for (; p + 16 <= px; p += 16)
        to_blocked_16(plain + p, stride, blk + 16 * p, n_ch);
    for (; p < px; p++)
        for (int c = 0; c < 16; c++)
            blk[16 * p + c] = c < n_ch ? plain[c * stride + p] : 0.0f;
}

const lti_kern LTI_KERN_TABLE = {
    .isa = LTI_KERN_ISA,
    .wino = &LTI_WINO_TABLE,
    .sum = sum,
    .moments = moments,
    .affine = affine,
    .affine_add = affine_add,
    .bn_sums = bn_sums,
    .bn_dx = bn_dx,
    .bn_relu_sums = bn_relu_sums,
    .bn_relu_dx = bn_relu_dx,
    .fill = fill,
    .avg_pool = avg_pool,
    .avg_pool_dx = avg_pool_dx,
    .max_pool = max_pool,
    .max_pool_dx = max_pool_dx,
    .relu = relu,
    .relu_dx = relu_dx,
    .add = add,
    .add_relu_dx = add_relu_dx,
    .gather = gather,
    .scatter_add = scatter_add,
    .scale = scale,
    .to_plain = to_plain,
    .to_blocked = to_blocked,
};

#undef LOAD
#undef STORE
#undef ZERO
#undef RELU
#undef MASK
#undef WRITE_LOOP
#undef SUMS_LOOP
#undef SUMS_STEP
#undef EACH_PART
#undef PART
#undef STORE_PART
#undef CONSTANT
