// wino.c - our own Winograd convolution for 3x3 filters of stride 1: forward, gradient of the input, gradient of the
// filter.
//
// Why: oneDNN has none from 3.2 on and, where it has one, ours is faster on the layers of a CIFAR network. The gradient
// of the input is the forward convolution with turned filters. The gradient of the filter is the adjoint of the
// bilinear algorithm: dg = G^T [sum over tiles (A dy A^T) . (B^T x B)] G.
//
// Work is cut into blocks of tiles. A block's transformed inputs V and products M stay in the second-level cache where
// the channels allow it; a thread takes a block through all three stages alone, so threads meet only at the end of a
// call. Sums of the filter gradient are made in a number of chunks that depends on the shape only and are added in
// order: bits do not depend on the number of threads.
#include "backend/onednn/onednn_impl.h"
#include "backend/onednn/wino.h"
#include "base/base.h"
#include <stdio.h>
#include <string.h>
#ifdef _OPENMP
#include <omp.h>
#endif

enum {
    POINTS = LTI_WINO_POINTS,
    LINE = 16,                  // floats of a cache line: added to strides that would be a multiple of the page size
    BLOCK_BYTES = 1 << 20,      // of V and M: about half of a second-level cache
    BIG_BLOCK_BYTES = 24 << 20, // where that would leave too few tiles to use each filter value often enough
    MIN_TILES = 28,
    PREPARED_MAX = 12 << 20,  // constant filters are kept transformed up to this size
    SMALL_FILTER = 128 * 128, // filter gradients up to this many channel pairs are summed in chunks
    CHUNKS = 16,
    FEW_CHUNKS = 8,
    CHUNK_PAIRS = 64 * 64,
};

typedef struct wino {
    const lti_wino_kern *kern;
    int n_threads;
    lti_conv_pass pass;
    bool relu, bias, keep; // keep: the transformed filter lives in prepared memory
    int64_t n, in, out;    // images; channels of the tensor that is read in 6x6 tiles and of the other one
    int64_t in_b, out_b;   // in blocks of 16
    int64_t ih, iw, oh, ow, pad;
    int64_t th, tw, tiles;
    int64_t block;              // tiles a block, a multiple of kern->rows
    int64_t v_stride, m_stride; // floats from one point to the next
    int64_t u_stride;
    int64_t chunks;                      // filter gradient: partial sums; 0 = all tiles are transformed first
    size_t block_at, block_floats, u_at; // in scratch: one block per thread, then the filter or its partial sums
} wino;

static int thread_id(void)
{
#ifdef _OPENMP
    return omp_get_thread_num();
#else
    return 0;
#endif
}

static int64_t round_up(int64_t n, int64_t to)
{
    return (n + to - 1) / to * to;
}

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

// A stride of a whole number of pages would put all 36 points of a tile into one set of the first-level cache.
static int64_t spread(int64_t floats)
{
    return round_up(floats, LINE) + (round_up(floats, LINE) / LINE % 2 ? 0 : LINE);
}

// ---- the transformed filter: u[point][panel][channel][columns], a panel being kern->width columns or what is left
static float *u_place(const wino *d, float *u, int64_t channel, int64_t out_block)
{
    const int64_t first = out_block * LTI_LANES / d->kern->width * d->kern->width;
    const int64_t columns = smaller(d->kern->width, d->out_b * LTI_LANES - first);
    return u + first * d->in_b * LTI_LANES + channel * columns + (out_block * LTI_LANES - first);
}

// Taps of 16 filters for one input channel. Forward: w (out, in, 3, 3); gradient of the input: w (in, out, 3, 3),
// turned.
static void load_taps(const wino *d, const float *w, int64_t channel, int64_t out_block, float *g)
{
    const bool dx = d->pass == LTI_CONV_DX;
    const int64_t lane_step = (dx ? 1 : d->in) * LTI_WINO_TAPS, channel_step = (dx ? d->out : 1) * LTI_WINO_TAPS;
    const int64_t lanes = smaller(LTI_LANES, d->out - out_block * LTI_LANES);
    memset(g, 0, LTI_WINO_TAPS * LTI_LANES * sizeof *g);
    for (int64_t l = 0; l < lanes && channel < d->in; l++) {
        const float *from = w + (out_block * LTI_LANES + l) * lane_step + channel * channel_step;
        for (int i = 0; i < LTI_WINO_TAPS; i++)
            g[i * LTI_LANES + l] = from[dx ? LTI_WINO_TAPS - 1 - i : i];
    }
}

static void transform_filter(const wino *d, const float *w, float *u)
{
    const int64_t channels = d->in_b * LTI_LANES;
#pragma omp parallel for num_threads(d->n_threads) schedule(static)
    for (int64_t i = 0; i < channels * d->out_b; i++) {
        const int64_t out_block = i / channels, channel = i % channels;
        float g[LTI_WINO_TAPS * LTI_LANES], t[POINTS * LTI_LANES];
        load_taps(d, w, channel, out_block, g);
        d->kern->filter(g, t);
        float *to = u_place(d, u, channel, out_block);
        for (int p = 0; p < POINTS; p++)
            memcpy(to + p * d->u_stride, t + p * LTI_LANES, LTI_LANES * sizeof *t);
    }
}

// ---- tiles
typedef struct tile {
    int64_t n, y, x;
} tile;

static tile tile_at(const wino *d, int64_t i)
{
    return (tile){i / (d->th * d->tw), i / d->tw % d->th, i % d->tw};
}

// The next tile in order, without a division.
static void tile_step(const wino *d, tile *t)
{
    if (++t->x < d->tw)
        return;
    t->x = 0;
    if (++t->y < d->th)
        return;
    t->y = 0;
    t->n++;
}

static const float *in_plane(const wino *d, const float *x, int64_t n, int64_t b)
{
    return x + (n * d->in_b + b) * d->ih * d->iw * LTI_LANES;
}

static int64_t out_plane(const wino *d, int64_t n, int64_t b)
{
    return (n * d->out_b + b) * d->oh * d->ow * LTI_LANES;
}

// ---- forward and gradient of the input
static void block_inputs(const wino *d, const float *x, int64_t first, int64_t n_tiles, float *v)
{
    const int64_t rows = d->kern->rows, panel = d->in_b * rows * LTI_LANES;
    for (int64_t b = 0; b < d->in_b; b++) {
        tile t = tile_at(d, first);
        for (int64_t i = 0; i < n_tiles; i++, tile_step(d, &t))
            d->kern->input(in_plane(d, x, t.n, b), d->ih, d->iw, t.y * LTI_WINO_OUT - d->pad,
                           t.x * LTI_WINO_OUT - d->pad,
                           v + i / rows * panel + b * rows * LTI_LANES + i % rows * LTI_LANES, d->v_stride);
    }
}

static void block_products(const wino *d, const float *v, const float *u, int64_t n_tiles, float *m)
{
    const int64_t rows = d->kern->rows, width = d->kern->width, columns = d->out_b * LTI_LANES;
    for (int p = 0; p < POINTS; p++)
        for (int64_t k = 0; k < columns; k += width)
            for (int64_t i = 0; i < n_tiles; i += rows)
                d->kern->multiply(v + p * d->v_stride + i * d->in_b * LTI_LANES,
                                  u + p * d->u_stride + k * d->in_b * LTI_LANES,
                                  m + p * d->m_stride + i * columns + k * rows, d->in_b, rows * LTI_LANES,
                                  (int)smaller(width, columns - k));
}

static void block_outputs(const wino *d, const float *m, int64_t first, int64_t n_tiles, const float *bias, float *y)
{
    const int64_t rows = d->kern->rows, panel = d->out_b * rows * LTI_LANES;
    for (int64_t b = 0; b < d->out_b; b++) {
        float add[LTI_LANES] = {0};
        if (bias)
            memcpy(add, bias + b * LTI_LANES, (size_t)smaller(LTI_LANES, d->out - b * LTI_LANES) * sizeof *add);
        tile t = tile_at(d, first);
        for (int64_t i = 0; i < n_tiles; i++, tile_step(d, &t))
            d->kern->output(m + i / rows * panel + b * rows * LTI_LANES + i % rows * LTI_LANES, d->m_stride,
                            y + out_plane(d, t.n, b), d->oh, d->ow, t.y * LTI_WINO_OUT, t.x * LTI_WINO_OUT,
                            bias ? add : NULL, d->relu);
    }
}

static lt_status forward_run(const lt_kernel *k, void *const *arg, void *scratch)
{
    const wino *d = k->data;
    const float *x = arg[0], *bias = d->bias ? arg[2] : NULL;
    float *y = arg[d->bias ? 3 : 2], *u = d->keep ? k->prepared : (float *)scratch + d->u_at;
    if (!d->keep)
        transform_filter(d, arg[1], u);
    const int64_t n_blocks = (d->tiles + d->block - 1) / d->block;
#pragma omp parallel for num_threads(d->n_threads) schedule(dynamic, 1)
    for (int64_t b = 0; b < n_blocks; b++) {
        float *v = (float *)scratch + d->block_at + (size_t)thread_id() * d->block_floats,
              *m = v + POINTS * d->v_stride;
        const int64_t n_tiles = smaller(d->block, d->tiles - b * d->block);
        block_inputs(d, x, b * d->block, n_tiles, v);
        block_products(d, v, u, n_tiles, m);
        block_outputs(d, m, b * d->block, n_tiles, bias, y);
    }
    return LT_OK;
}

static lt_status forward_prepare(const lt_kernel *k, void *const *arg, void *prepared)
{
    transform_filter(k->data, arg[1], prepared);
    return LT_OK;
}

// ---- gradient of the filter: here V and D are [point][block of 16 channels][tile][16]
static void dw_inputs(const wino *d, const float *x, const float *dy, int64_t first, int64_t n_tiles, int64_t row,
                      int64_t row_end, float *v, float *e)
{
    for (int64_t b = 0; b < d->in_b + d->out_b; b++) {
        tile t = tile_at(d, first);
        for (int64_t i = 0; i < n_tiles; i++, tile_step(d, &t)) {
            const int64_t y0 = t.y * LTI_WINO_OUT, x0 = t.x * LTI_WINO_OUT, at = (row + i) * LTI_LANES;
            if (b < d->in_b)
                d->kern->input(in_plane(d, x, t.n, b), d->ih, d->iw, y0 - d->pad, x0 - d->pad,
                               v + b * row_end * LTI_LANES + at, d->v_stride);
            else
                d->kern->gradient(dy + out_plane(d, t.n, b - d->in_b), d->oh, d->ow, y0, x0,
                                  e + (b - d->in_b) * row_end * LTI_LANES + at, d->m_stride);
        }
    }
}

// u[channel][out] (+)= sum over tiles, for one point and one block of input channels.
static void dw_products(const wino *d, int p, int64_t b, const float *v, const float *e, int64_t n_tiles,
                        int64_t row_end, bool first, float *u)
{
    const int64_t columns = d->out_b * LTI_LANES, step = d->kern->width;
    for (int64_t k = 0; k < columns; k += step)
        d->kern->accumulate(v + p * d->v_stride + b * row_end * LTI_LANES, e + p * d->m_stride + k * row_end,
                            u + p * d->u_stride + b * LTI_LANES * columns + k, n_tiles, row_end * LTI_LANES, columns,
                            (int)smaller(step, columns - k), first);
}

// Adds the partial sums in order and brings each 16 filters back to 3x3.
static void dw_finish(const wino *d, const float *u, int64_t n_sums, float *dw)
{
    const int64_t columns = d->out_b * LTI_LANES;
#pragma omp parallel for num_threads(d->n_threads) schedule(static)
    for (int64_t i = 0; i < d->in * d->out_b; i++) {
        const int64_t channel = i / d->out_b, b = i % d->out_b, lanes = smaller(LTI_LANES, d->out - b * LTI_LANES);
        float t[POINTS * LTI_LANES], g[LTI_WINO_TAPS * LTI_LANES];
        for (int p = 0; p < POINTS; p++) {
            const float *from = u + p * d->u_stride + channel * columns + b * LTI_LANES;
            memcpy(t + p * LTI_LANES, from, LTI_LANES * sizeof *t);
            for (int64_t s = 1; s < n_sums; s++) {
                from += POINTS * d->u_stride;
                for (int l = 0; l < LTI_LANES; l++)
                    t[p * LTI_LANES + l] += from[l];
            }
        }
        d->kern->filter_gradient(t, g);
        for (int64_t l = 0; l < lanes; l++)
            for (int j = 0; j < LTI_WINO_TAPS; j++)
                dw[((b * LTI_LANES + l) * d->in + channel) * LTI_WINO_TAPS + j] = g[j * LTI_LANES + l];
    }
}

static lt_status dw_chunks_run(const lt_kernel *k, void *const *arg, void *scratch)
{
    const wino *d = k->data;
    const float *x = arg[0], *dy = arg[1];
    float *sums = (float *)scratch + d->u_at;
#pragma omp parallel for num_threads(d->n_threads) schedule(dynamic, 1)
    for (int64_t c = 0; c < d->chunks; c++) {
        float *v = (float *)scratch + d->block_at + (size_t)thread_id() * d->block_floats,
              *e = v + POINTS * d->v_stride;
        const int64_t start = d->tiles * c / d->chunks, end = d->tiles * (c + 1) / d->chunks;
        for (int64_t i = start; i < end; i += d->block) {
            const int64_t n_tiles = smaller(d->block, end - i);
            dw_inputs(d, x, dy, i, n_tiles, 0, d->block, v, e);
            for (int p = 0; p < POINTS; p++)
                for (int64_t b = 0; b < d->in_b; b++)
                    dw_products(d, p, b, v, e, n_tiles, d->block, i == start, sums + c * POINTS * d->u_stride);
        }
    }
    dw_finish(d, sums, d->chunks, arg[2]);
    return LT_OK;
}

static lt_status dw_all_run(const lt_kernel *k, void *const *arg, void *scratch)
{
    const wino *d = k->data;
    const float *x = arg[0], *dy = arg[1];
    float *v = (float *)scratch + d->block_at, *e = v + POINTS * d->v_stride, *u = (float *)scratch + d->u_at;
    const int64_t step = d->th * d->tw, n_steps = d->n;
#pragma omp parallel for num_threads(d->n_threads) schedule(dynamic, 1)
    for (int64_t i = 0; i < n_steps; i++)
        dw_inputs(d, x, dy, i * step, step, i * step, d->tiles, v, e);
#pragma omp parallel for num_threads(d->n_threads) schedule(dynamic, 1)
    for (int64_t i = 0; i < POINTS * d->in_b; i++)
        dw_products(d, (int)(i / d->in_b), i % d->in_b, v, e, d->tiles, d->tiles, true, u);
    dw_finish(d, u, 1, arg[2]);
    return LT_OK;
}

// ---- making one
bool lti_wino_fits(const lti_conv_shape *s)
{
    return s->r == 3 && s->s == 3 && s->stride == 1 && s->pad <= 2 && s->x_layout == LT_LAYOUT_BLOCKED16 &&
           s->y_layout == LT_LAYOUT_BLOCKED16;
}

static void plan_forward(wino *d, lt_kernel *k)
{
    const int64_t channels = (d->in_b + d->out_b) * LTI_LANES, rows = d->kern->rows;
    const int64_t per_tile = POINTS * channels * (int64_t)sizeof(float);
    int64_t block = BLOCK_BYTES / per_tile;
    if (block < MIN_TILES)
        block = smaller(BIG_BLOCK_BYTES / per_tile, (d->tiles + d->n_threads - 1) / d->n_threads);
    block = smaller(block, (d->tiles + d->n_threads - 1) / d->n_threads);
    d->block = round_up(block > 0 ? block : 1, rows);
    d->v_stride = spread(d->block * d->in_b * LTI_LANES);
    d->m_stride = spread(d->block * d->out_b * LTI_LANES);
    d->u_stride = spread(d->in_b * d->out_b * LTI_LANES * LTI_LANES);
    d->block_floats = (size_t)(POINTS * (d->v_stride + d->m_stride));
    d->u_at = d->block_floats * (size_t)d->n_threads;
    const size_t u_bytes = (size_t)(POINTS * d->u_stride) * sizeof(float);
    d->keep = d->keep && u_bytes <= PREPARED_MAX;
    k->run = forward_run;
    k->scratch_bytes = d->u_at * sizeof(float) + (d->keep ? 0 : u_bytes);
    if (d->keep) {
        k->prepare = forward_prepare;
        k->prepared_bytes = u_bytes;
    }
}

static void plan_dw(wino *d, lt_kernel *k)
{
    const int64_t channels = (d->in_b + d->out_b) * LTI_LANES, pairs = d->in_b * d->out_b * LTI_LANES * LTI_LANES;
    int threads = d->n_threads;
    if (pairs <= SMALL_FILTER) {
        const int64_t per_tile = POINTS * channels * (int64_t)sizeof(float);
        const int64_t block = BLOCK_BYTES / per_tile;
        d->chunks = smaller(pairs <= CHUNK_PAIRS ? CHUNKS : FEW_CHUNKS, (d->tiles + MIN_TILES - 1) / MIN_TILES);
        d->block = smaller(block > MIN_TILES ? block : MIN_TILES, (d->tiles + d->chunks - 1) / d->chunks);
    } else {
        d->block = d->tiles;
        threads = 1;
    }
    d->v_stride = spread(d->block * d->in_b * LTI_LANES);
    d->m_stride = spread(d->block * d->out_b * LTI_LANES);
    d->u_stride = spread(pairs);
    d->block_floats = (size_t)(POINTS * (d->v_stride + d->m_stride));
    d->u_at = d->block_floats * (size_t)threads;
    k->run = d->chunks ? dw_chunks_run : dw_all_run;
    k->scratch_bytes = (d->u_at + (size_t)(POINTS * d->u_stride * (d->chunks ? d->chunks : 1))) * sizeof(float);
}

static void destroy(lt_kernel *k)
{
    lti_free(k->data);
}

lt_status lti_wino_make(const lti_dn *dn, const lti_conv_shape *s, lt_kernel *k)
{
    wino *d = lti_calloc(1, sizeof *d);
    if (!d)
        return LTI_NOMEM("convolution");
    const bool dx = s->pass == LTI_CONV_DX;
    *d = (wino){
        .kern = dn->kern->wino,
        .n_threads = dn->n_threads,
        .pass = s->pass,
        .relu = s->relu,
        .bias = s->bias,
        .keep = s->constant,
        .n = s->n,
        .in = dx ? s->k : s->c,
        .out = dx ? s->c : s->k,
        .ih = dx ? s->oh : s->h,
        .iw = dx ? s->ow : s->w,
        .oh = dx ? s->h : s->oh,
        .ow = dx ? s->w : s->ow,
        .pad = dx ? 2 - s->pad : s->pad,
    };
    d->in_b = (d->in + LTI_LANES - 1) / LTI_LANES;
    d->out_b = (d->out + LTI_LANES - 1) / LTI_LANES;
    d->th = (d->oh + LTI_WINO_OUT - 1) / LTI_WINO_OUT;
    d->tw = (d->ow + LTI_WINO_OUT - 1) / LTI_WINO_OUT;
    d->tiles = d->n * d->th * d->tw;
    k->data = d;
    k->destroy = destroy;
    if (s->pass == LTI_CONV_DW)
        plan_dw(d, k);
    else
        plan_forward(d, k);
    return LT_OK;
}
