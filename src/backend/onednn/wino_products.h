// wino_products.h - the matrix products of wino_body.h, which includes it once per instruction set: tiles times
// filters, and sums over tiles for the gradient of a filter.
//
// No guard on purpose. Uses the vectors and macros of wino_body.h and of the file that includes that.
static void wino_pack(const float *a, const float *b, float *pairs)
{
    for (int l = 0; l < LTI_LANES; l += WINO_LANES)
        WSTORE(pairs + l, WINO_PAIRS(WLOAD(a + l), WLOAD(b + l)));
}

// rows times n_vec vectors of columns; every accumulator lives in a register, so both must be literals at the call.
WINLINE void multiply(const float *v, int64_t in_tiles_blocks, int64_t in_tiles_stride, const float *u, float *m,
                      int64_t products_stride, const int rows, const int n_vec, const bool half)
{
    const int steps = half ? LTI_LANES / 2 : LTI_LANES;
    wvec acc[WINO_ROWS][WINO_WIDTH / WINO_LANES], col[WINO_WIDTH / WINO_LANES];
    WUNROLL
    for (int i = 0; i < rows; i++) {
        WUNROLL
        for (int j = 0; j < n_vec; j++)
            acc[i][j] = (wvec){0};
    }
    // Unrolled by four: the end of a loop of sixteen turns may come as a surprise to the processor.
    for (int64_t b = 0; b < in_tiles_blocks; b++, v += in_tiles_stride) {
        WSOME
        for (int c = 0; c < steps; c++, u += n_vec * WINO_LANES) {
            WUNROLL
            for (int j = 0; j < n_vec; j++)
                col[j] = WLOAD(u + j * WINO_LANES);
            WUNROLL
            for (int i = 0; i < rows; i++) {
                const wvec x = WSET(v[i * steps + c]);
                WUNROLL
                for (int j = 0; j < n_vec; j++)
                    acc[i][j] = half ? WINO_DOT(x, col[j], acc[i][j]) : WINO_FMA(x, col[j], acc[i][j]);
            }
        }
    }
    WUNROLL
    for (int i = 0; i < rows; i++) {
        WUNROLL
        for (int j = 0; j < n_vec; j++)
            WSTORE(m + j * WINO_LANES / LTI_LANES * products_stride + i * LTI_LANES + j * WINO_LANES % LTI_LANES,
                   acc[i][j]);
    }
}

// One function for every number of rows and of columns.
#define WINO_MULTIPLY(ROWS)                                                                                            \
    WINLINE void multiply_##ROWS(const lti_wino_product *p, const int n_vec, const bool half)                          \
    {                                                                                                                  \
        const float *v = p->v;                                                                                         \
        float *m = p->m;                                                                                               \
        for (int64_t i = 0; i < p->times; i++, v += p->in_tiles_step, m += p->products_step)                           \
            multiply(v, p->in_tiles_blocks, p->in_tiles_stride, p->u, m, p->products_stride, ROWS, n_vec, half);       \
    }                                                                                                                  \
    static void wino_multiply_##ROWS(const lti_wino_product *p)                                                        \
    {                                                                                                                  \
        if (p->n == WINO_WIDTH)                                                                                        \
            multiply_##ROWS(p, WINO_WIDTH / WINO_LANES, false);                                                        \
        else                                                                                                           \
            multiply_##ROWS(p, LTI_LANES / WINO_LANES, false);                                                         \
    }                                                                                                                  \
    static void wino_multiply_half_##ROWS(const lti_wino_product *p)                                                   \
    {                                                                                                                  \
        if (p->n == WINO_WIDTH)                                                                                        \
            multiply_##ROWS(p, WINO_WIDTH / WINO_LANES, true);                                                         \
        else                                                                                                           \
            multiply_##ROWS(p, LTI_LANES / WINO_LANES, true);                                                          \
    }
#define WINO_PLAIN(ROWS) wino_multiply_##ROWS,
#define WINO_ROUNDED(ROWS) wino_multiply_half_##ROWS,
#if WINO_ROWS == 14
#define WINO_LEAST_ROWS 7
#define WINO_EACH(X) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14)
#elif WINO_ROWS == 4
#define WINO_LEAST_ROWS 2
#define WINO_EACH(X) X(2) X(3) X(4)
#elif WINO_ROWS == 3
#define WINO_LEAST_ROWS 2
#define WINO_EACH(X) X(2) X(3)
#endif
WINO_EACH(WINO_MULTIPLY)

static void wino_multiply(const lti_wino_product *p)
{
    static lti_wino_multiply *const of[] = {WINO_EACH(WINO_PLAIN)};
    of[p->rows - WINO_LEAST_ROWS](p);
}

static void wino_multiply_half(const lti_wino_product *p)
{
    static lti_wino_multiply *const of[] = {WINO_EACH(WINO_ROUNDED)};
    of[p->rows - WINO_LEAST_ROWS](p);
}

// rows times n_vec vectors, d_step floats apart in d and u_step in u; rows and n_vec literals at the call.
WINLINE void accumulate(const float *v, const float *d, float *u, int64_t tiles, int64_t d_step, int64_t u_step,
                        int64_t weights_t_stride, bool first, const int rows, const int n_vec, const bool half)
{
    wvec acc[LTI_LANES][2], col[2];
    const float *from = u;
    WUNROLL
    for (int i = 0; i < rows; i++, from += weights_t_stride) {
        WOPAQUE(from);
        WUNROLL
        for (int j = 0; j < n_vec; j++)
            acc[i][j] = first ? (wvec){0} : WLOAD(from + j * u_step);
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
    for (int i = 0; i < rows; i++, u += weights_t_stride) {
        WOPAQUE(u);
        WUNROLL
        for (int j = 0; j < n_vec; j++)
            WSTORE(u + j * u_step, acc[i][j]);
    }
}

WINLINE void accumulate_16(const float *v, const float *d, float *u, int64_t tiles, int64_t d_stride,
                           int64_t weights_t_stride, int n, bool first, const bool half)
{
#if WINO_LANES == 16
    if (n == LTI_LANES) {
        accumulate(v, d, u, tiles, 0, 0, weights_t_stride, first, LTI_LANES, 1, half);
        return;
    }
    for (int c = 0; c < LTI_LANES; c += 8)
        accumulate(v + c, d, u + c * weights_t_stride, tiles, d_stride, LTI_LANES, weights_t_stride, first, 8, 2, half);
#else
    (void)d_stride;
    (void)n;
    for (int k = 0; k < LTI_LANES; k += 2 * WINO_LANES)
        for (int c = 0; c < LTI_LANES; c += 4)
            accumulate(v + c, d + k, u + c * weights_t_stride + k, tiles, WINO_LANES, WINO_LANES, weights_t_stride,
                       first, 4, 2, half);
#endif
}

static void wino_accumulate(const float *v, const float *d, float *u, int64_t tiles, int64_t d_stride,
                            int64_t weights_t_stride, int n, bool first)
{
    accumulate_16(v, d, u, tiles, d_stride, weights_t_stride, n, first, false);
}

static void wino_accumulate_half(const float *v, const float *d, float *u, int64_t tiles, int64_t d_stride,
                                 int64_t weights_t_stride, int n, bool first)
{
    accumulate_16(v, d, u, tiles, d_stride, weights_t_stride, n, first, true);
}

#undef WINO_MULTIPLY
#undef WINO_PLAIN
#undef WINO_ROUNDED
