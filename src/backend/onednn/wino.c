// wino.c - our own Winograd convolution for 3x3 filters of stride 1 and 2: forward, gradient of the input, gradient of
// the filter.
//
// Why: oneDNN has none from 3.2 on and, where it has one, ours is faster on the layers of a CIFAR network. The gradient
// of the input is the forward convolution with turned filters. The gradient of the filter is the adjoint of the
// bilinear algorithm: dg = G^T [sum over tiles (A dy A^T) . (B^T x B)] G.
//
// A filter of stride 2 is four filters of stride 1, of 2x2, 2x1, 1x2 and 1x1 taps, on the four phases of its input: the
// pixels of even and odd rows and columns, padding counted. y is the sum of the four convolutions; each phase of dx is
// the gradient of one of them; each makes its own taps of the gradient of the filter. With 4x4 outputs a tile that is
// 25 + 20 + 20 + 16 = 81 multiplications a channel pair instead of 144. Below, one such convolution is a "part".
//
// Work is cut into blocks of tiles. A block's transformed inputs V and products M stay in the second-level cache where
// the channels allow it; a thread takes a block through all three stages alone, so threads meet only at the end of a
// call. Sums of the filter gradient are made in a number of chunks that depends on the shape only and are added in
// order: bits do not depend on the number of threads.
//
// In the half form transformed tiles and filters are rounded to bf16, two values in the place of a float, and products
// are summed in f32; activations, filters and everything else stay f32. Offsets count floats in both forms.
#include "backend/onednn/onednn_impl.h"
#include "backend/onednn/wino.h"
#include "base/base.h"
#include <stdio.h>
#include <string.h>
#ifdef _OPENMP
#include <omp.h>
#endif

enum {
    MAX_PARTS = 4,
    MAX_POINTS = LTI_WINO_MAX_POINTS,
    MAX_TAPS = LTI_WINO_MAX_TAPS,
    TAPS = 9,                 // of the filter as a whole
    LINE = 16,                // floats of a cache line: added to strides that would be a multiple of the page size
    BLOCK_BYTES = 512 << 10,  // of V and M: well inside a second-level cache
    MIN_TILES = 27,           // where that would leave fewer tiles, a filter value is not used often enough:
    BIG_TILES = 56,           // this many then, and V and M lie in the third level
    PREPARED_MAX = 12 << 20,  // constant filters are kept transformed up to this size
    SMALL_FILTER = 128 * 128, // filter gradients up to this many channel pairs are summed in chunks
    CHUNKS = 16,
    FEW_CHUNKS = 8,
    MIN_CHUNKS = 4,
    CHUNK_PAIRS = 64 * 64, // up to this many pairs CHUNKS, then FEW_CHUNKS; below MIN_CHUNKS none
    CHUNK_TILES = 128,     // at least, in a chunk
    GROUP_BYTES = 8 << 20, // of V and transformed filters of a group of input channels, where there are no chunks
};

typedef struct part {
    const lti_wino_form *form;
    int64_t in_y, in_x, out_y, out_x; // of the first tile of an image
    int64_t point;                    // its first one among those of all parts
    int tap[MAX_TAPS];                // of its taps in the 3x3 filter
    bool first, last;
} part;

typedef struct wino {
    const lti_wino_kern *kern;
    const lti_kern *blk;
    int n_threads;
    lti_conv_pass pass;
    bool relu, bias, keep; // keep: the transformed filter lives in prepared memory
    bool half;
    int64_t lanes; // floats that 16 transformed values take
    part part[MAX_PARTS];
    int n_parts;
    int64_t points, most; // of all parts; of the largest
    int64_t n, in, out;   // images; channels of the tensor that is read in overlapping tiles and of the other one
    int64_t in_b, out_b;  // in blocks of 16
    int64_t ih, iw, oh, ow;
    int64_t in_step, out_step; // from one pixel of a tile to the next
    int64_t th, tw, tiles;
    int64_t block;              // tiles a block, a multiple of kern->rows
    int64_t v_stride, m_stride; // floats from one point to the next
    int64_t u_stride;
    bool by_panel;  // see above
    int64_t chunks; // filter gradient: partial sums; 0 = all of dy is transformed first, then
    int64_t group;  // this many blocks of input channels at a time
    size_t block_at, block_floats, u_at, taps_at; // in scratch: one block per thread, then what threads share
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
static int64_t panel_columns(const wino *d, int64_t first)
{
    return smaller(d->kern->width, d->out_b * LTI_LANES - first);
}

// 16 filters of 16 input channels, g[channel][tap][16]. Forward: w (out, in, 3, 3).
static void load_forward(const wino *d, const float *w, int64_t in, int64_t out, int64_t n_in, int n_out, float *g)
{
    d->blk->to_blocked(w + (out * d->in + in) * TAPS, d->in * TAPS, g, n_in * TAPS, n_out);
}

// Gradient of the input: w (in, out, 3, 3). Sixteen values are quicker to turn than nine: where w does not end, the
// first taps of the next filters are taken along, and written over by the next channel's.
static void load_backward(const wino *d, const float *w, int64_t in, int64_t out, int64_t n_in, int n_out, float *g)
{
    const int64_t end = d->in * d->out * TAPS;
    for (int64_t c = in; c < in + n_in; c++, g += TAPS * LTI_LANES) {
        const int64_t at = (c * d->out + out) * TAPS, last = at + (n_out - 1) * TAPS + LTI_LANES;
        d->blk->to_blocked(w + at, TAPS, g, last <= end ? LTI_LANES : TAPS, n_out);
    }
}

enum { FILTERS = (LTI_LANES * TAPS + LTI_LANES - TAPS) * LTI_LANES }; // floats that load_filters writes

static void load_filters(const wino *d, const float *w, int64_t in_block, int64_t out_block, float *g)
{
    const int64_t in = in_block * LTI_LANES, out = out_block * LTI_LANES, n_in = smaller(LTI_LANES, d->in - in);
    const int n_out = (int)smaller(LTI_LANES, d->out - out);
    if (d->pass == LTI_CONV_FWD)
        load_forward(d, w, in, out, n_in, n_out, g);
    else
        load_backward(d, w, in, out, n_in, n_out, g);
    memset(g + n_in * TAPS * LTI_LANES, 0, (size_t)((LTI_LANES - n_in) * TAPS * LTI_LANES) * sizeof *g);
}

// A part of a panel, blocks begin..end of input channels; u points at the panel whose first column is `first`. Half: in
// pairs of channels, u[point][panel][channel / 2][columns].
static void transform_panel(const wino *d, const part *p, const float *w, int64_t first, int64_t begin, int64_t end,
                            float *u)
{
    const int64_t columns = panel_columns(d, first);
    for (int64_t b = begin; b < end; b++)
        for (int64_t k = 0; k < columns; k += LTI_LANES) {
            float g[FILTERS], t[2][MAX_POINTS * LTI_LANES];
            float *to = u + b * d->lanes * columns + k;
            load_filters(d, w, b, (first + k) / LTI_LANES, g);
            for (int c = 0; !d->half && c < LTI_LANES; c++)
                p->form->filter(g + c * TAPS * LTI_LANES, p->tap, to + c * columns, d->u_stride);
            for (int c = 0; d->half && c < LTI_LANES; c += 2) {
                for (int i = 0; i < 2; i++)
                    p->form->filter(g + (c + i) * TAPS * LTI_LANES, p->tap, t[i], LTI_LANES);
                for (int i = 0; i < p->form->points; i++)
                    d->kern->pack(t[0] + i * LTI_LANES, t[1] + i * LTI_LANES, to + c / 2 * columns + i * d->u_stride);
            }
        }
}

static void transform_filter(const wino *d, const float *w, float *u)
{
    const int64_t depth = d->in_b * d->lanes, width = d->kern->width;
    const int64_t n_panels = (d->out_b * LTI_LANES + width - 1) / width;
#pragma omp parallel for num_threads(d->n_threads) schedule(static)
    for (int64_t i = 0; i < n_panels * d->in_b; i++) {
        const int64_t first = i / d->in_b * width, b = i % d->in_b;
        for (const part *p = d->part; p < d->part + d->n_parts; p++)
            transform_panel(d, p, w, first, b, b + 1, u + p->point * d->u_stride + first * depth);
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

// Where a part reads and writes a tile.
static lti_wino_patch in_patch(const wino *d, const part *p, const tile *t)
{
    const int64_t step = d->in_step * LTI_WINO_OUT;
    return (lti_wino_patch){d->ih, d->iw, p->in_y + t->y * step, p->in_x + t->x * step, d->in_step};
}

static lti_wino_patch out_patch(const wino *d, const part *p, const tile *t)
{
    const int64_t step = d->out_step * LTI_WINO_OUT;
    return (lti_wino_patch){d->oh, d->ow, p->out_y + t->y * step, p->out_x + t->x * step, d->out_step};
}

static const float *in_plane(const wino *d, const float *x, int64_t n, int64_t b)
{
    return x + (n * d->in_b + b) * d->ih * d->iw * LTI_LANES;
}

static int64_t out_plane(const wino *d, int64_t n, int64_t b)
{
    return (n * d->out_b + b) * d->oh * d->ow * LTI_LANES;
}

// What a thread will touch after the products of a block: the block it is about to write and the one it will probably
// read next. Fetched a few lines at a time between products, which need no memory, so that the waiting is hidden.
typedef struct ahead {
    const float *base;
    int64_t blocks, plane_px, first_px, n_px; // pixels of one channel block, counted through all images
    int64_t block, px;                        // where the next run of neighbouring pixels starts
    const float *at;                          // next pixel (16 channels: one cache line) and how many follow it
    int64_t left, per_call;
} ahead;

// Moves on to the next run, which ends with its plane; base becomes NULL when there is none.
static void ahead_run(ahead *a)
{
    if (a->px == a->n_px) {
        a->px = 0;
        a->block++;
    }
    if (a->block == a->blocks) {
        a->base = NULL;
        return;
    }
    const int64_t px = a->first_px + a->px, n = px / a->plane_px, in_plane = px % a->plane_px;
    a->at = a->base + ((n * a->blocks + a->block) * a->plane_px + in_plane) * LTI_LANES;
    a->left = smaller(a->plane_px - in_plane, a->n_px - a->px);
    a->px += a->left;
}

// About what n_tiles from first_tile on cover of a tensor, to be fetched in the given number of calls. base NULL:
// nothing.
static ahead ahead_of(const wino *d, const float *base, int64_t blocks, int64_t plane_px, int64_t first_tile,
                      int64_t n_tiles, int64_t calls)
{
    const int64_t tile_px = plane_px / (d->th * d->tw);
    ahead a = {.base = base, .blocks = blocks, .plane_px = plane_px, .first_px = first_tile * tile_px};
    a.n_px = n_tiles * tile_px;
    a.per_call = (blocks * a.n_px + calls - 1) / calls;
    if (a.per_call == 0)
        a.base = NULL;
    if (a.base)
        ahead_run(&a);
    return a;
}

static inline void fetch(ahead *a)
{
    for (int64_t n = a->per_call; a->base && n > 0;) {
        const int64_t run = smaller(n, a->left);
        for (int64_t i = 0; i < run; i++)
            __builtin_prefetch(a->at + i * LTI_LANES, 0, 2);
        n -= run;
        a->at += run * LTI_LANES;
        a->left -= run;
        if (a->left == 0)
            ahead_run(a);
    }
}

// ---- forward and gradient of the input
static void block_inputs(const wino *d, const part *p, const float *x, int64_t first, int64_t n_tiles, float *v)
{
    const int64_t rows = d->kern->rows, panel = d->in_b * rows * d->lanes;
    lti_wino_transform *transform = d->half ? p->form->input_half : p->form->input;
    for (int64_t b = 0; b < d->in_b; b++) {
        tile t = tile_at(d, first);
        for (int64_t i = 0; i < n_tiles; i++, tile_step(d, &t)) {
            const lti_wino_patch at = in_patch(d, p, &t);
            transform(in_plane(d, x, t.n, b), &at, v + i / rows * panel + (b * rows + i % rows) * d->lanes,
                      d->v_stride);
        }
    }
}

// Products of n_tiles with the columns from first to end; u and m point at the first of them.
static void block_products(const wino *d, int points, const float *v, int64_t n_tiles, const float *u, int64_t first,
                           int64_t end, float *m, ahead *read, ahead *write)
{
    const int64_t rows = d->kern->rows, width = d->kern->width, depth = d->in_b * d->lanes;
    for (int p = 0; p < points; p++)
        for (int64_t k = first; k < end; k += width)
            for (int64_t i = 0; i < n_tiles; i += rows) {
                (d->half ? d->kern->multiply_half
                         : d->kern->multiply)(v + p * d->v_stride + i * depth, d->in_b, rows * d->lanes,
                                              u + p * d->u_stride + (k - first) * depth,
                                              m + p * d->m_stride + i * (end - first) + (k - first) * rows,
                                              rows * LTI_LANES, (int)smaller(width, end - k));
                fetch(write);
                fetch(read);
            }
}

// Output blocks begin..end, which is what m holds.
static void block_outputs(const wino *d, const part *p, const float *m, int64_t begin, int64_t end, int64_t first,
                          int64_t n_tiles, const float *bias, float *y)
{
    const int64_t rows = d->kern->rows, panel = (end - begin) * rows * LTI_LANES;
    const bool sum = d->pass == LTI_CONV_FWD; // of all parts
    for (int64_t b = begin; b < end; b++) {
        float add[LTI_LANES] = {0};
        const lti_wino_finish finish = {bias && p->first ? add : NULL, sum && !p->first, d->relu && p->last};
        if (bias)
            memcpy(add, bias + b * LTI_LANES, (size_t)smaller(LTI_LANES, d->out - b * LTI_LANES) * sizeof *add);
        tile t = tile_at(d, first);
        for (int64_t i = 0; i < n_tiles; i++, tile_step(d, &t)) {
            const lti_wino_patch at = out_patch(d, p, &t);
            p->form->output(m + i / rows * panel + (b - begin) * rows * LTI_LANES + i % rows * LTI_LANES, d->m_stride,
                            y + out_plane(d, t.n, b), &at, &finish);
        }
    }
}

static float *block_of_thread(const wino *d, void *scratch)
{
    return (float *)scratch + d->block_at + (size_t)thread_id() * d->block_floats;
}

static void run_tiles(const wino *d, const float *x, const float *u, const float *bias, float *y, void *scratch)
{
    const int64_t columns = d->out_b * LTI_LANES, n_blocks = (d->tiles + d->block - 1) / d->block;
    const int64_t calls = d->points * ((columns + d->kern->width - 1) / d->kern->width) * (d->block / d->kern->rows);
#pragma omp parallel for num_threads(d->n_threads) schedule(dynamic, 1)
    for (int64_t b = 0; b < n_blocks; b++) {
        float *v = block_of_thread(d, scratch), *m = v + d->most * d->v_stride;
        const int64_t first = b * d->block, next = first + d->n_threads * d->block;
        const int64_t n_tiles = smaller(d->block, d->tiles - first);
        ahead read = ahead_of(d, next < d->tiles ? x : NULL, d->in_b, d->ih * d->iw, next, n_tiles, calls);
        ahead write = ahead_of(d, y, d->out_b, d->oh * d->ow, first, n_tiles, calls / d->n_parts);
        for (const part *p = d->part; p < d->part + d->n_parts; p++) {
            block_inputs(d, p, x, first, n_tiles, v);
            block_products(d, p->form->points, v, n_tiles, u + p->point * d->u_stride, 0, columns, m, &read, &write);
            block_outputs(d, p, m, 0, d->out_b, first, n_tiles, bias, y);
        }
    }
}

// w NULL: u holds the whole transformed filter.
static void run_panels(const wino *d, const part *p, const float *x, const float *w, const float *u, const float *bias,
                       float *y, void *scratch)
{
    const int64_t columns = d->out_b * LTI_LANES, rows = d->kern->rows;
    const int64_t depth = d->in_b * d->lanes;
    float *v = (float *)scratch + d->u_at;
#pragma omp parallel for num_threads(d->n_threads) schedule(dynamic, 1)
    for (int64_t i = 0; i < d->tiles; i += rows)
        block_inputs(d, p, x, i, smaller(rows, d->tiles - i), v + i * depth);
#pragma omp parallel for num_threads(d->n_threads) schedule(dynamic, 1)
    for (int64_t k = 0; k < columns; k += d->kern->width) {
        float *m = block_of_thread(d, scratch), *own_u = m + d->most * d->m_stride;
        const int64_t end = k + panel_columns(d, k);
        ahead nothing = {0};
        if (w)
            transform_panel(d, p, w, k, 0, d->in_b, own_u);
        block_products(d, p->form->points, v, d->tiles, w ? own_u : u + p->point * d->u_stride + k * depth, k, end, m,
                       &nothing, &nothing);
        block_outputs(d, p, m, k / LTI_LANES, end / LTI_LANES, 0, d->tiles, bias, y);
    }
}

static lt_status forward_run(const lt_kernel *k, void *const *arg, void *scratch)
{
    const wino *d = k->data;
    const float *x = arg[0], *bias = d->bias ? arg[2] : NULL;
    float *y = arg[d->bias ? 3 : 2];
    if (d->by_panel) {
        for (const part *p = d->part; p < d->part + d->n_parts; p++)
            run_panels(d, p, x, d->keep ? NULL : arg[1], k->prepared, bias, y, scratch);
        return LT_OK;
    }
    float *u = d->keep ? k->prepared : (float *)scratch + d->u_at;
    if (!d->keep)
        transform_filter(d, arg[1], u);
    run_tiles(d, x, u, bias, y, scratch);
    return LT_OK;
}

static lt_status forward_prepare(const lt_kernel *k, void *const *arg, void *prepared)
{
    transform_filter(k->data, arg[1], prepared);
    return LT_OK;
}

// ---- gradient of the filter: here V and D are [point][block of 16 channels][tile][16], or in pairs of tiles

// Two neighbouring tiles, or one and zeros, as pairs.
static void pair_of_tiles(const wino *d, int points, lti_wino_transform *transform, const float *const plane[2],
                          const lti_wino_patch at[2], int n, float *to, int64_t stride)
{
    float t[2][MAX_POINTS * LTI_LANES] __attribute__((aligned(64)));
    for (int i = 0; i < n; i++)
        transform(plane[i], &at[i], t[i], LTI_LANES);
    if (n < 2)
        memset(t[1], 0, sizeof t[1]);
    for (int p = 0; p < points; p++)
        d->kern->pack(t[0] + p * LTI_LANES, t[1] + p * LTI_LANES, to + p * stride);
}

static void dw_inputs_half(const wino *d, const part *p, const float *x, int64_t first, int64_t n_tiles, int64_t b,
                           float *v)
{
    tile t = tile_at(d, first);
    for (int64_t i = 0; i < n_tiles; i += 2, v += LTI_LANES) {
        const float *plane[2] = {0};
        lti_wino_patch at[2] = {{0}};
        int n = 0;
        for (; n < 2 && i + n < n_tiles; n++, tile_step(d, &t)) {
            plane[n] = in_plane(d, x, t.n, b);
            at[n] = in_patch(d, p, &t);
        }
        pair_of_tiles(d, p->form->points, p->form->input, plane, at, n, v, d->v_stride);
    }
}

static void dw_gradients_half(const wino *d, const part *p, const float *dy, int64_t first, int64_t n_tiles, int64_t b,
                              float *e)
{
    tile t = tile_at(d, first);
    for (int64_t i = 0; i < n_tiles; i += 2, e += LTI_LANES) {
        const float *plane[2] = {0};
        lti_wino_patch at[2] = {{0}};
        int n = 0;
        for (; n < 2 && i + n < n_tiles; n++, tile_step(d, &t)) {
            plane[n] = dy + out_plane(d, t.n, b);
            at[n] = out_patch(d, p, &t);
        }
        pair_of_tiles(d, p->form->points, p->form->gradient, plane, at, n, e, d->m_stride);
    }
}

// Rows row.. of v (of e): transformed tiles first..first + n_tiles of channel blocks begin..end of x (of all of dy).
static void dw_inputs(const wino *d, const part *p, const float *x, int64_t first, int64_t n_tiles, int64_t row,
                      int64_t begin, int64_t end, float *v)
{
    for (int64_t b = begin; b < end; b++, v += d->block * d->lanes) {
        if (d->half) {
            dw_inputs_half(d, p, x, first, n_tiles, b, v + row * d->lanes);
            continue;
        }
        tile t = tile_at(d, first);
        for (int64_t i = 0; i < n_tiles; i++, tile_step(d, &t)) {
            const lti_wino_patch at = in_patch(d, p, &t);
            p->form->input(in_plane(d, x, t.n, b), &at, v + (row + i) * LTI_LANES, d->v_stride);
        }
    }
}

static void dw_gradients(const wino *d, const part *p, const float *dy, int64_t first, int64_t n_tiles, int64_t row,
                         float *e)
{
    for (int64_t b = 0; b < d->out_b; b++, e += d->block * d->lanes) {
        if (d->half) {
            dw_gradients_half(d, p, dy, first, n_tiles, b, e + row * d->lanes);
            continue;
        }
        tile t = tile_at(d, first);
        for (int64_t i = 0; i < n_tiles; i++, tile_step(d, &t)) {
            const lti_wino_patch at = out_patch(d, p, &t);
            p->form->gradient(dy + out_plane(d, t.n, b), &at, e + (row + i) * LTI_LANES, d->m_stride);
        }
    }
}

// Sums that the next product adds to: they wait in the third level while a product needs the first only.
static void fetch_sums(const float *u, int64_t row, int64_t columns)
{
    for (int i = 0; i < LTI_LANES; i++)
        for (int64_t k = 0; k < columns; k += LTI_LANES)
            __builtin_prefetch(u + i * row + k, 1, 3);
}

// u[channel][out] (+)= sum over tiles, for one point and one block of input channels.
static void dw_products(const wino *d, int p, int64_t b, const float *v, const float *e, int64_t n_tiles, bool first,
                        float *u)
{
    const int64_t columns = d->out_b * LTI_LANES, step = d->kern->width, block = d->block * d->lanes;
    float *sums = u + p * d->u_stride + b * LTI_LANES * columns;
    for (int64_t k = 0; k < columns; k += step) {
        if (k + step < columns)
            fetch_sums(sums + k + step, columns, smaller(step, columns - k - step));
        else if (b + 1 < d->group)
            fetch_sums(sums + LTI_LANES * columns, columns, smaller(step, columns));
        (d->half ? d->kern->accumulate_half : d->kern->accumulate)(
            v + p * d->v_stride + b * block, e + p * d->m_stride + k / LTI_LANES * block, sums + k,
            d->half ? (n_tiles + 1) / 2 : n_tiles, block, columns, (int)smaller(step, columns - k), first);
    }
}

// Adds the partial sums in order and brings each 16 filters of a part back to taps, for input channels begin..end; u
// begins there. g[out block][channel][tap][16]
static void dw_taps(const wino *d, const part *p, const float *u, int64_t n_sums, int64_t begin, int64_t end, float *g)
{
    const int64_t columns = d->out_b * LTI_LANES;
#pragma omp parallel for num_threads(d->n_threads) schedule(static)
    for (int64_t i = begin * d->out_b; i < end * d->out_b; i++) {
        const int64_t channel = i / d->out_b, b = i % d->out_b;
        const float *from = u + (channel - begin) * columns + b * LTI_LANES;
        float *to = g + (b * d->in + channel) * TAPS * LTI_LANES;
        if (n_sums == 1) {
            p->form->filter_gradient(from, d->u_stride, to, p->tap);
            continue;
        }
        float t[MAX_POINTS * LTI_LANES];
        for (int j = 0; j < p->form->points; j++, from += d->u_stride) {
            memcpy(t + j * LTI_LANES, from, LTI_LANES * sizeof *t);
            for (int64_t s = 1; s < n_sums; s++)
                for (int l = 0; l < LTI_LANES; l++)
                    t[j * LTI_LANES + l] += from[s * d->points * d->u_stride + l];
        }
        p->form->filter_gradient(t, LTI_LANES, to, p->tap);
    }
}

static void dw_store(const wino *d, const float *g, float *dw)
{
#pragma omp parallel for num_threads(d->n_threads) schedule(static)
    for (int64_t i = 0; i < d->out_b * d->in_b; i++) {
        const int64_t b = i / d->in_b, first = i % d->in_b * LTI_LANES, n = smaller(LTI_LANES, d->in - first);
        d->blk->to_plain(g + (b * d->in + first) * TAPS * LTI_LANES, dw + (b * LTI_LANES * d->in + first) * TAPS,
                         d->in * TAPS, n * TAPS, (int)smaller(LTI_LANES, d->out - b * LTI_LANES));
    }
}

// Chunks of pairs begin at a pair.
static int64_t chunk_start(const wino *d, int64_t c)
{
    const int64_t at = d->tiles * c / d->chunks;
    return d->half && c < d->chunks ? at & ~(int64_t)1 : at;
}

// All parts of one block of tiles; sum: where this chunk's sums begin.
static void dw_block(const wino *d, const float *x, const float *dy, int64_t first, int64_t n_tiles, bool start,
                     float *v, float *sum, ahead *read_x, ahead *read_dy)
{
    float *e = v + d->most * d->v_stride;
    for (const part *p = d->part; p < d->part + d->n_parts; p++) {
        dw_inputs(d, p, x, first, n_tiles, 0, 0, d->in_b, v);
        dw_gradients(d, p, dy, first, n_tiles, 0, e);
        for (int i = 0; i < p->form->points; i++)
            for (int64_t b = 0; b < d->in_b; b++) {
                dw_products(d, i, b, v, e, n_tiles, start, sum + p->point * d->u_stride);
                fetch(read_x);
                fetch(read_dy);
            }
    }
}

static lt_status dw_chunks_run(const lt_kernel *k, void *const *arg, void *scratch)
{
    const wino *d = k->data;
    const float *x = arg[0], *dy = arg[1];
    float *sums = (float *)scratch + d->u_at;
    const int64_t calls = d->points * d->in_b;
#pragma omp parallel for num_threads(d->n_threads) schedule(dynamic, 1)
    for (int64_t c = 0; c < d->chunks; c++) {
        float *v = block_of_thread(d, scratch), *sum = sums + c * d->points * d->u_stride;
        const int64_t start = chunk_start(d, c), end = chunk_start(d, c + 1);
        for (int64_t i = start; i < end; i += d->block) {
            const int64_t n_tiles = smaller(d->block, end - i), next = i + d->block < end ? i + d->block : d->tiles;
            ahead read_x = ahead_of(d, next < d->tiles ? x : NULL, d->in_b, d->ih * d->iw, next, n_tiles, calls);
            ahead read_dy = ahead_of(d, next < d->tiles ? dy : NULL, d->out_b, d->oh * d->ow, next, n_tiles, calls);
            dw_block(d, x, dy, i, n_tiles, i == start, v, sum, &read_x, &read_dy);
        }
    }
    for (const part *p = d->part; p < d->part + d->n_parts; p++)
        dw_taps(d, p, sums + p->point * d->u_stride, d->chunks, 0, d->in, (float *)scratch + d->taps_at);
    dw_store(d, (float *)scratch + d->taps_at, arg[2]);
    return LT_OK;
}

// Tiles a thread transforms at a time: those of an image, of two where they come in pairs.
static int64_t piece(const wino *d)
{
    return d->th * d->tw * (d->half ? 2 : 1);
}

// One group of input channels: V, then all its products with E, then its filters. What a group makes is small enough
// for the third-level cache, and a point of E is used by every block of the group while it is in the second.
static void dw_group(const wino *d, const part *p, const float *x, int64_t begin, int64_t end, const float *e, float *v,
                     float *u, float *g)
{
    const int64_t step = piece(d), n_blocks = end - begin, n_units = p->form->points * n_blocks;
#pragma omp parallel for num_threads(d->n_threads) schedule(dynamic, 1)
    for (int64_t i = 0; i < d->tiles; i += step)
        dw_inputs(d, p, x, i, smaller(step, d->tiles - i), i, begin, end, v);
#pragma omp parallel for num_threads(d->n_threads) schedule(dynamic, 1)
    for (int64_t i = 0; i < n_units; i++)
        dw_products(d, (int)(i / n_blocks), i % n_blocks, v, e, d->tiles, true, u);
    dw_taps(d, p, u, 1, begin * LTI_LANES, smaller(end * LTI_LANES, d->in), g);
}

static lt_status dw_groups_run(const lt_kernel *k, void *const *arg, void *scratch)
{
    const wino *d = k->data;
    const float *dy = arg[1];
    float *v = (float *)scratch + d->block_at, *e = v + d->most * d->v_stride, *u = (float *)scratch + d->u_at;
    float *g = (float *)scratch + d->taps_at;
    const int64_t step = piece(d);
    for (const part *p = d->part; p < d->part + d->n_parts; p++) {
#pragma omp parallel for num_threads(d->n_threads) schedule(dynamic, 1)
        for (int64_t i = 0; i < d->tiles; i += step)
            dw_gradients(d, p, dy, i, smaller(step, d->tiles - i), i, e);
        for (int64_t b = 0; b < d->in_b; b += d->group)
            dw_group(d, p, arg[0], b, smaller(b + d->group, d->in_b), e, v, u, g);
    }
    dw_store(d, g, arg[2]);
    return LT_OK;
}

// ---- making one
bool lti_wino_fits(const lti_conv_shape *s)
{
    return s->r == 3 && s->s == 3 && s->stride <= 2 && s->pad <= 2 && s->x_layout == LT_LAYOUT_BLOCKED16 &&
           s->y_layout == LT_LAYOUT_BLOCKED16;
}

static void plan_forward(wino *d, lt_kernel *k)
{
    const int64_t in = d->in_b * LTI_LANES, out = d->out_b * LTI_LANES, rows = d->kern->rows;
    const int64_t pairs = in * out, share = round_up((d->tiles + d->n_threads - 1) / d->n_threads, rows);
    const int64_t depth = d->in_b * d->lanes; // floats of the transformed channels of a tile
    const size_t filter_bytes = (size_t)(d->points * spread(depth * out)) * sizeof(float);
    int64_t shared;
    d->by_panel = pairs >= d->tiles * in;
    d->keep = d->keep && filter_bytes <= PREPARED_MAX;
    if (d->by_panel) {
        const bool own = !d->keep;
        d->block = round_up(d->tiles, rows);
        d->m_stride = spread(d->block * smaller(d->kern->width, out));
        d->u_stride = own ? spread(depth * smaller(d->kern->width, out)) : spread(depth * out);
        d->v_stride = spread(d->block * depth);
        d->block_floats = (size_t)(d->most * (d->m_stride + (own ? d->u_stride : 0)));
        shared = d->most * d->v_stride;
    } else {
        const int64_t fits = BLOCK_BYTES / (d->most * (depth + out) * (int64_t)sizeof(float));
        d->block = smaller(round_up(fits < MIN_TILES ? BIG_TILES : fits, rows), share);
        d->v_stride = spread(d->block * depth);
        d->m_stride = spread(d->block * out);
        d->u_stride = spread(depth * out);
        d->block_floats = (size_t)(d->most * (d->v_stride + d->m_stride));
        shared = d->keep ? 0 : d->points * d->u_stride;
    }
    d->u_at = d->block_floats * (size_t)d->n_threads;
    k->run = forward_run;
    k->scratch_bytes = (d->u_at + (size_t)shared) * sizeof(float);
    if (d->keep) {
        k->prepare = forward_prepare;
        k->prepared_bytes = filter_bytes;
    }
}

static void plan_dw(wino *d, lt_kernel *k)
{
    const int64_t unit = d->half ? 2 : 1;
    const int64_t depth = (d->in_b + d->out_b) * d->lanes, pairs = d->in_b * d->out_b * LTI_LANES * LTI_LANES;
    const int64_t most = pairs <= CHUNK_PAIRS ? CHUNKS : pairs <= SMALL_FILTER ? FEW_CHUNKS : 0;
    d->chunks = smaller(most, d->tiles / CHUNK_TILES);
    if (d->chunks < MIN_CHUNKS)
        d->chunks = 0;
    int threads = d->n_threads;
    if (d->chunks) {
        const int64_t block = BLOCK_BYTES / (d->most * depth * (int64_t)sizeof(float)) / unit * unit;
        const int64_t share = round_up((d->tiles + d->chunks - 1) / d->chunks, unit);
        d->block = smaller(block < MIN_TILES ? BIG_TILES : block, share);
        d->group = d->in_b;
    } else {
        d->block = round_up(d->tiles, unit);
        const int64_t one = d->most * (d->lanes * d->block + d->out_b * LTI_LANES * LTI_LANES) * (int64_t)sizeof(float);
        d->group = smaller(GROUP_BYTES > one ? GROUP_BYTES / one : 1, d->in_b);
        threads = 1;
    }
    d->v_stride = spread(d->block * d->group * d->lanes);
    d->m_stride = spread(d->block * d->out_b * d->lanes);
    d->u_stride = spread(d->group * d->out_b * LTI_LANES * LTI_LANES);
    d->block_floats = (size_t)(d->most * (d->v_stride + d->m_stride));
    d->u_at = d->block_floats * (size_t)threads;
    k->run = d->chunks ? dw_chunks_run : dw_groups_run;
    d->taps_at = d->u_at + (size_t)(d->u_stride * (d->chunks ? d->chunks * d->points : d->most));
    k->scratch_bytes = (d->taps_at + (size_t)(d->out_b * d->in * TAPS * LTI_LANES)) * sizeof(float);
}

static void add_part(wino *d, lti_wino_form_id form, const part *where)
{
    part *p = &d->part[d->n_parts++];
    *p = *where;
    p->form = &d->kern->form[form];
    p->point = d->points;
    p->first = d->n_parts == 1;
    d->points += p->form->points;
    d->most = d->most > p->form->points ? d->most : p->form->points;
}

static void plan_stride_1(wino *d, const lti_conv_shape *s)
{
    const bool dx = s->pass == LTI_CONV_DX;
    const int64_t origin = dx ? s->pad - 2 : -s->pad;
    part p = {.in_y = origin, .in_x = origin, .last = true};
    for (int i = 0; i < TAPS; i++)
        p.tap[i] = dx ? TAPS - 1 - i : i;
    add_part(d, LTI_WINO_3X3, &p);
}

// One dimension of a part of stride 2: phase 0 has the taps 0 and 2, phase 1 the tap 1.
typedef struct phase {
    int64_t in, out;
    int n_taps, tap[2];
} phase;

// y[i] = sum of x[2i + r - pad] g[r]. Backwards, pixel 2m - pad of dx is dy[m - 1] g[2] + dy[m] g[0], and pixel 2m + 1
// - pad is dy[m] g[1]; m starts where the pixel is the first one inside.
static phase phase_of(const lti_conv_shape *s, int i)
{
    phase p = {.in = i - s->pad, .n_taps = i == 0 ? 2 : 1, .tap = {i, 2}};
    if (s->pass == LTI_CONV_DX) {
        const int64_t m = (s->pad + 1 - i) / 2;
        p.in = i == 0 ? m - 1 : m;
        p.out = 2 * m + i - s->pad;
        p.tap[0] = 2 - i;
        p.tap[1] = 0;
    }
    return p;
}

static void plan_stride_2(wino *d, const lti_conv_shape *s)
{
    static const lti_wino_form_id form[2][2] = {{LTI_WINO_2X2, LTI_WINO_2X1}, {LTI_WINO_1X2, LTI_WINO_1X1}};
    for (int i = 0; i < MAX_PARTS; i++) {
        const phase y = phase_of(s, i / 2), x = phase_of(s, i % 2);
        part p = {.in_y = y.in, .in_x = x.in, .out_y = y.out, .out_x = x.out, .last = i == MAX_PARTS - 1};
        for (int r = 0; r < y.n_taps; r++)
            for (int t = 0; t < x.n_taps; t++)
                p.tap[r * x.n_taps + t] = 3 * y.tap[r] + x.tap[t];
        add_part(d, form[i / 2][i % 2], &p);
    }
}

static void destroy(lt_kernel *k)
{
    lti_free(k->data);
}

lt_status lti_wino_make(const lti_dn *dn, const lti_conv_shape *s, bool half, lt_kernel *k)
{
    wino *d = lti_calloc(1, sizeof *d);
    if (!d)
        return LTI_NOMEM("convolution");
    const bool dx = s->pass == LTI_CONV_DX;
    *d = (wino){
        .kern = half ? dn->wino_half : dn->kern->wino,
        .blk = dn->kern,
        .half = half,
        .lanes = half ? LTI_LANES / 2 : LTI_LANES,
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
        .in_step = dx ? 1 : s->stride,
        .out_step = dx ? s->stride : 1,
    };
    d->in_b = (d->in + LTI_LANES - 1) / LTI_LANES;
    d->out_b = (d->out + LTI_LANES - 1) / LTI_LANES;
    d->th = (d->oh + d->out_step * LTI_WINO_OUT - 1) / (d->out_step * LTI_WINO_OUT);
    d->tw = (d->ow + d->out_step * LTI_WINO_OUT - 1) / (d->out_step * LTI_WINO_OUT);
    d->tiles = d->n * d->th * d->tw;
    if (s->stride == 1)
        plan_stride_1(d, s);
    else
        plan_stride_2(d, s);
    k->data = d;
    k->destroy = destroy;
    if (s->pass == LTI_CONV_DW)
        plan_dw(d, k);
    else
        plan_forward(d, k);
    return LT_OK;
}
