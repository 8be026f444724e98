// kern_body.h - the inner loops behind kern.h, written with 16-lane compiler vectors and included once per instruction
// set. The compiler maps a 16-lane vector to one, two or four registers.
//
// No guard on purpose: the including file sets LTI_KERN_TABLE and LTI_KERN_ISA, and where the processor can write
// around its caches also KERN_STREAM(p, v), which does so with a vec, and KERN_FENCE(), after which others see it.
typedef float vec __attribute__((vector_size(64)));
typedef int32_t ivec __attribute__((vector_size(64)));
typedef float mem_vec __attribute__((vector_size(64), aligned(4), may_alias));
typedef int32_t mem_ivec __attribute__((vector_size(64), aligned(4), may_alias));

#define LOAD(p) (*(const mem_vec *)(p))
#define STORE(p, v) (*(mem_vec *)(p) = (v))
#define ZERO ((vec){0})
#ifndef KERN_STREAM
#define KERN_STREAM(p, v) STORE(p, v)
#define KERN_FENCE() ((void)0)
#endif
// A NaN stays a NaN, so that a diverged network is seen in its loss.
#define RELU(v) ((vec)((ivec)(v) & ~((v) < ZERO)))
#define MASK(v, y) ((vec)((ivec)(v) & ((y) > ZERO)))

static void sum(const float *x, int64_t px, float *s)
{
    vec a0 = ZERO, a1 = ZERO, a2 = ZERO, a3 = ZERO;
    int64_t i = 0;
    for (; i + 4 <= px; i += 4) {
        a0 += LOAD(x + 16 * i);
        a1 += LOAD(x + 16 * i + 16);
        a2 += LOAD(x + 16 * i + 32);
        a3 += LOAD(x + 16 * i + 48);
    }
    for (; i < px; i++)
        a0 += LOAD(x + 16 * i);
    STORE(s, (a0 + a1) + (a2 + a3));
}

static void moments(const float *x, int64_t px, float *mean, float *m2)
{
    vec m, a0 = ZERO, a1 = ZERO, a2 = ZERO, a3 = ZERO;
    sum(x, px, mean);
    m = LOAD(mean) / (float)px;
    int64_t i = 0;
    for (; i + 4 <= px; i += 4) {
        vec d0 = LOAD(x + 16 * i) - m, d1 = LOAD(x + 16 * i + 16) - m;
        vec d2 = LOAD(x + 16 * i + 32) - m, d3 = LOAD(x + 16 * i + 48) - m;
        a0 += d0 * d0;
        a1 += d1 * d1;
        a2 += d2 * d2;
        a3 += d3 * d3;
    }
    for (; i < px; i++) {
        vec d = LOAD(x + 16 * i) - m;
        a0 += d * d;
    }
    STORE(mean, m);
    STORE(m2, (a0 + a1) + (a2 + a3));
}

// The loop of a function that writes y, one vector v a turn, made by the statements: into the caches or around them.
#define WRITE_LOOP(y, ...)                                                                                             \
    do {                                                                                                               \
        for (int64_t i = 0; !stream && i < 16 * px; i += 16) {                                                         \
            vec v;                                                                                                     \
            __VA_ARGS__;                                                                                               \
            STORE((y) + i, v);                                                                                         \
        }                                                                                                              \
        for (int64_t i = 0; stream && i < 16 * px; i += 16) {                                                          \
            vec v;                                                                                                     \
            __VA_ARGS__;                                                                                               \
            KERN_STREAM((y) + i, v);                                                                                   \
        }                                                                                                              \
        if (stream)                                                                                                    \
            KERN_FENCE();                                                                                              \
    } while (0)

static void affine(const float *x, float *y, int64_t px, const float *mean, const float *a, const float *b,
                   bool with_relu, bool stream)
{
    const vec m = LOAD(mean), va = LOAD(a), vb = LOAD(b);
    WRITE_LOOP(y, v = (LOAD(x + i) - m) * va + vb; if (with_relu) v = RELU(v));
}

static void affine_add(const float *x, const float *r, float *y, int64_t px, const float *mean, const float *a,
                       const float *b, bool with_relu, bool stream)
{
    const vec m = LOAD(mean), va = LOAD(a), vb = LOAD(b);
    WRITE_LOOP(y, v = (LOAD(x + i) - m) * va + vb; v += LOAD(r + i); if (with_relu) v = RELU(v));
}

static void bn_sums(const float *x, const float *dy, const float *y, int64_t px, const float *mean, float *s1,
                    float *s2)
{
    const vec m = LOAD(mean);
    vec a0 = ZERO, a1 = ZERO, b0 = ZERO, b1 = ZERO;
    int64_t i = 0;
    for (; i + 32 <= 16 * px; i += 32) {
        vec g0 = LOAD(dy + i), g1 = LOAD(dy + i + 16);
        if (y) {
            g0 = MASK(g0, LOAD(y + i));
            g1 = MASK(g1, LOAD(y + i + 16));
        }
        a0 += g0;
        a1 += g1;
        b0 += g0 * (LOAD(x + i) - m);
        b1 += g1 * (LOAD(x + i + 16) - m);
    }
    for (; i < 16 * px; i += 16) {
        vec g = LOAD(dy + i);
        if (y)
            g = MASK(g, LOAD(y + i));
        a0 += g;
        b0 += g * (LOAD(x + i) - m);
    }
    STORE(s1, a0 + a1);
    STORE(s2, b0 + b1);
}

static void bn_dx(const float *x, const float *dy, const float *y, float *dx, int64_t px, const float *mean,
                  const float *a, const float *b, const float *d, bool stream)
{
    const vec m = LOAD(mean), va = LOAD(a), vb = LOAD(b), vd = LOAD(d);
    WRITE_LOOP(dx, v = LOAD(dy + i); if (y) v = MASK(v, LOAD(y + i)); v = va * v + (vb * (LOAD(x + i) - m) + vd));
}

static void bn_relu_sums(const float *x, const float *dy, int64_t px, const float *mean, const float *ga,
                         const float *gb, float *s1, float *s2)
{
    const vec m = LOAD(mean), va = LOAD(ga), vb = LOAD(gb);
    vec a0 = ZERO, a1 = ZERO, b0 = ZERO, b1 = ZERO;
    int64_t i = 0;
    for (; i + 32 <= 16 * px; i += 32) {
        const vec d0 = LOAD(x + i) - m, d1 = LOAD(x + i + 16) - m;
        const vec y0 = d0 * va + vb, y1 = d1 * va + vb;
        const vec g0 = MASK(LOAD(dy + i), y0), g1 = MASK(LOAD(dy + i + 16), y1);
        a0 += g0;
        a1 += g1;
        b0 += g0 * d0;
        b1 += g1 * d1;
    }
    for (; i < 16 * px; i += 16) {
        const vec d = LOAD(x + i) - m, y = d * va + vb, g = MASK(LOAD(dy + i), y);
        a0 += g;
        b0 += g * d;
    }
    STORE(s1, a0 + a1);
    STORE(s2, b0 + b1);
}

static void bn_relu_dx(const float *x, const float *dy, float *dx, int64_t px, const float *mean, const float *ga,
                       const float *gb, const float *a, const float *b, const float *d, bool stream)
{
    const vec m = LOAD(mean), vga = LOAD(ga), vgb = LOAD(gb), va = LOAD(a), vb = LOAD(b), vd = LOAD(d);
    WRITE_LOOP(dx, const vec e = LOAD(x + i) - m; v = e * vga + vgb; v = MASK(LOAD(dy + i), v);
               v = va * v + (vb * e + vd));
}

static void fill(float *y, int64_t px, const float *value)
{
    const vec v = LOAD(value);
    for (int64_t i = 0; i < 16 * px; i += 16)
        STORE(y + i, v);
}

static void avg_pool(const float *x, float *y, int64_t h, int64_t w, int64_t kernel, int64_t stride)
{
    const int64_t oh = (h - kernel) / stride + 1, ow = (w - kernel) / stride + 1;
    const float mul = 1.0f / (float)(kernel * kernel);
    for (int64_t i = 0; i < oh; i++)
        for (int64_t j = 0; j < ow; j++) {
            vec s = ZERO;
            for (int64_t r = 0; r < kernel; r++)
                for (int64_t q = 0; q < kernel; q++)
                    s += LOAD(x + 16 * ((i * stride + r) * w + j * stride + q));
            STORE(y + 16 * (i * ow + j), s * mul);
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
            vec g = LOAD(dy + 16 * (i * ow + j)) * mul;
            for (int64_t r = 0; r < kernel; r++)
                for (int64_t q = 0; q < kernel; q++) {
                    float *at = dx + 16 * ((i * stride + r) * w + j * stride + q);
                    STORE(at, LOAD(at) + g);
                }
        }
}

static void max_pool(const float *x, float *y, int32_t *index, int64_t h, int64_t w, int64_t kernel, int64_t stride)
{
    const int64_t oh = (h - kernel) / stride + 1, ow = (w - kernel) / stride + 1;
    for (int64_t i = 0; i < oh; i++)
        for (int64_t j = 0; j < ow; j++) {
            const int64_t first = i * stride * w + j * stride;
            vec best = LOAD(x + 16 * first);
            ivec at = (ivec){0} + (int32_t)first;
            for (int64_t r = 0; r < kernel; r++)
                for (int64_t q = 0; q < kernel; q++) {
                    const int64_t p = first + r * w + q;
                    vec v = LOAD(x + 16 * p);
                    // NOLINTNEXTLINE(misc-redundant-expression): a NaN wins, so that it is seen
                    ivec better = (v > best) | ((v != v) & (best == best));
                    best = (vec)(((ivec)v & better) | ((ivec)best & ~better));
                    at = (((ivec){0} + (int32_t)p) & better) | (at & ~better);
                }
            STORE(y + 16 * (i * ow + j), best);
            *(mem_ivec *)(index + 16 * (i * ow + j)) = at;
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
    for (; i + 16 <= n; i += 16) {
        vec v = LOAD(x + i);
        STORE(y + i, RELU(v));
    }
    for (; i < n; i++)
        y[i] = x[i] < 0.0f ? 0.0f : x[i];
}

static void relu_dx(const float *dy, const float *y, float *dx, int64_t n, float alpha)
{
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) {
        vec v = LOAD(dy + i) * alpha;
        STORE(dx + i, MASK(v, LOAD(y + i)));
    }
    for (; i < n; i++)
        dx[i] = y[i] > 0.0f ? dy[i] * alpha : 0.0f;
}

static void add(const float *a, const float *b, float *y, int64_t n, float alpha, bool with_relu)
{
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) {
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
    for (; i + 16 <= n; i += 16) {
        const vec v = (LOAD(a + i) + LOAD(b + i)) * alpha;
        STORE(dx + i, MASK(v, LOAD(y + i)));
    }
    for (; i < n; i++)
        dx[i] = y[i] > 0.0f ? (a[i] + b[i]) * alpha : 0.0f;
}

static void pick(const float *x, int64_t step, float *to, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        STORE(to + i * 16, LOAD(x + i * step * 16));
}

static void put_sum(const float *from, const float *y, float *dx, int64_t step, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        const int64_t at = i * step * 16;
        STORE(dx + at, MASK(LOAD(dx + at) + LOAD(from + i * 16), LOAD(y + at)));
    }
}

static void scale(const float *x, float *y, int64_t n, float mul, float sub)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = (x[i] - sub) * mul;
}

#ifdef LTI_KERN_SHUFFLE
// Rows become columns: four rounds exchange blocks of 8, 4, 2 and 1 lanes.
static inline __attribute__((always_inline)) void transpose(vec *t)
{
    _Pragma("GCC unroll 16") for (int i = 0; i < 16; i++) if (!(i & 8))
    {
        const vec a = t[i], b = t[i + 8];
        t[i] = __builtin_shufflevector(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23);
        t[i + 8] = __builtin_shufflevector(a, b, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31);
    }
    _Pragma("GCC unroll 16") for (int i = 0; i < 16; i++) if (!(i & 4))
    {
        const vec a = t[i], b = t[i + 4];
        t[i] = __builtin_shufflevector(a, b, 0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27);
        t[i + 4] = __builtin_shufflevector(a, b, 4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31);
    }
    _Pragma("GCC unroll 16") for (int i = 0; i < 16; i++) if (!(i & 2))
    {
        const vec a = t[i], b = t[i + 2];
        t[i] = __builtin_shufflevector(a, b, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29);
        t[i + 2] = __builtin_shufflevector(a, b, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31);
    }
    _Pragma("GCC unroll 16") for (int i = 0; i < 16; i++) if (!(i & 1))
    {
        const vec a = t[i], b = t[i + 1];
        t[i] = __builtin_shufflevector(a, b, 0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30);
        t[i + 1] = __builtin_shufflevector(a, b, 1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31);
    }
}

static void to_plain_16(const float *blk, float *plain, int64_t stride, int n_ch)
{
    vec t[16];
    for (int i = 0; i < 16; i++)
        t[i] = LOAD(blk + 16 * i);
    transpose(t);
    for (int c = 0; c < n_ch; c++)
        STORE(plain + c * stride, t[c]);
}

static void to_blocked_16(const float *plain, int64_t stride, float *blk, int n_ch)
{
    vec t[16];
    for (int c = 0; c < 16; c++)
        t[c] = c < n_ch ? (vec)LOAD(plain + c * stride) : ZERO;
    transpose(t);
    for (int i = 0; i < 16; i++)
        STORE(blk + 16 * i, t[i]);
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
    .pick = pick,
    .put_sum = put_sum,
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
