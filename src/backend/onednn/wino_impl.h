// wino_impl.h - what the files of our own Winograd convolution share: the description of one, its tiles, fetching
// ahead. wino.c says how it works.
#ifndef LT_WINO_IMPL_H
#define LT_WINO_IMPL_H
#include "backend/onednn/onednn_impl.h"
#include "backend/onednn/work_partition.h"
#include "backend/onednn/wino.h"
#include "base/base.h"

enum {
    MAX_PARTS = 4,
    MAX_POINTS = LTI_WINO_MAX_POINTS,
    MAX_TAPS = LTI_WINO_MAX_TAPS,
    TAPS = 9,                // of the filter as a whole
    LINE = 16,               // floats of a cache line: added to strides that would be a multiple of the page size
    BLOCK_BYTES = 288 << 10, // of V and M: the second-level cache also holds filters
    MIN_TILES = 8,           // of a block; twice as many where they fit, and four times where they take half of it
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
    bool relu, bias, residual, mask;
    bool prepared_filter; // the transformed filter lives in prepared memory
    bool bf16;
    int64_t lanes; // floats that 16 transformed values take
    part part[MAX_PARTS];
    int n_parts;
    int64_t points, max_points; // of all parts; of the largest
    int64_t n, in, out;         // images; channels of the tensor that is read in overlapping tiles and of the other one
    int64_t in_b, out_b;        // in blocks of 16
    int64_t ih, iw, oh, ow;
    int64_t in_step, out_step; // from one pixel of a tile to the next
    int64_t th, tw, tiles;
    int64_t block;                            // tiles a block
    int64_t in_tiles_stride, products_stride; // floats from one point to the next
    int64_t weights_t_stride;
    bool panel_major;    // all tiles for a panel of filters at a time, instead of all filters for a block of tiles
    bool private_copies; // every thread makes its own copy of the transformed filter or, by panel, of the tiles
    int64_t chunks;      // filter gradient: partial sums; 0 = all of dy is transformed first, then
    int64_t group;       // this many blocks of input channels at a time
    size_t private_offset, taps_offset; // in scratch: in a thread's piece, behind V and M; behind all pieces
} wino;

static inline int64_t round_up(int64_t n, int64_t to)
{
    return (n + to - 1) / to * to;
}

static inline int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

// A stride of a whole number of pages would put all 36 points of a tile into one set of the first-level cache.
static inline int64_t spread(int64_t floats)
{
    return round_up(floats, LINE) + (round_up(floats, LINE) / LINE % 2 ? 0 : LINE);
}

// ---- tiles
// Whole rows of tiles if there is at least one; adjacent tiles share lines of the image.
static inline int64_t whole_rows(const wino *d, int64_t n_tiles)
{
    return n_tiles > d->tw ? n_tiles - n_tiles % d->tw : n_tiles;
}

typedef struct tile {
    int64_t n, y, x;
} tile;

static inline tile tile_at(const wino *d, int64_t i)
{
    return (tile){i / (d->th * d->tw), i / d->tw % d->th, i % d->tw};
}

// The next tile in order, without a division.
static inline void tile_step(const wino *d, tile *t)
{
    if (++t->x < d->tw)
        return;
    t->x = 0;
    if (++t->y < d->th)
        return;
    t->y = 0;
    t->n++;
}

// How many tiles follow in the row from t on, of at most n that a transform takes at once.
static inline int run_length(const wino *d, const part *p, const tile *t, int64_t n)
{
    return p->form->input_run && !d->bf16 ? (int)smaller(smaller(n, d->tw - t->x), LTI_WINO_MAX_RUN) : 1;
}

// n tiles on in the same row, or to the next one.
static inline void tile_skip(const wino *d, tile *t, int n)
{
    t->x += n - 1;
    tile_step(d, t);
}

// Where a part reads and writes a tile.
static inline lti_wino_patch in_patch(const wino *d, const part *p, const tile *t)
{
    const int64_t step = d->in_step * LTI_WINO_OUT;
    return (lti_wino_patch){d->ih, d->iw, p->in_y + t->y * step, p->in_x + t->x * step, d->in_step};
}

static inline lti_wino_patch out_patch(const wino *d, const part *p, const tile *t)
{
    const int64_t step = d->out_step * LTI_WINO_OUT;
    return (lti_wino_patch){d->oh, d->ow, p->out_y + t->y * step, p->out_x + t->x * step, d->out_step};
}

// Tiles of a block are multiplied some rows at a time: as few times as possible, with nearly as many rows each.
// Products are short where channels are few, so that a division for each would be felt.
typedef struct groups {
    int64_t n, more; // of which have one tile more than the others
    int rows, least; // tiles of the others; rows of a product, at least
} groups;

typedef struct group {
    int64_t first;
    int n, rows; // tiles; rows of the product, more only where the block has fewer than that
} group;

static inline groups groups_of(const wino *d, int64_t n_tiles)
{
    const int64_t n = (n_tiles + d->kern->rows - 1) / d->kern->rows;
    return (groups){n, n_tiles % n, (int)(n_tiles / n), d->kern->least_rows};
}

static inline group group_at(const groups *g, int64_t i)
{
    const int n = g->rows + (i < g->more);
    return (group){i * g->rows + smaller(i, g->more), n, n < g->least ? g->least : n};
}

static inline const float *in_plane(const wino *d, const float *x, int64_t n, int64_t b)
{
    return x + (n * d->in_b + b) * d->ih * d->iw * LTI_LANES;
}

static inline int64_t out_plane(const wino *d, int64_t n, int64_t b)
{
    return (n * d->out_b + b) * d->oh * d->ow * LTI_LANES;
}

// What a thread will touch after the products of a block: the block it is about to write and the one it will probably
// read next. Fetched a few lines at a time between products, which need no memory, so that the waiting is hidden.
typedef struct prefetch {
    const float *base;
    int64_t blocks, plane_px, first_px, n_px; // pixels of one channel block, counted through all images
    int64_t block, px;                        // where the next run of neighbouring pixels starts
    const float *at;                          // next pixel (16 channels: one cache line) and how many follow it
    int64_t left, per_call;
} prefetch;

// Moves on to the next run, which ends with its plane; base becomes NULL after the last one.
static inline void prefetch_next_run(prefetch *a)
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
static inline prefetch prefetch_range(const wino *d, const float *base, int64_t blocks, int64_t plane_px,
                                      int64_t first_tile, int64_t n_tiles, int64_t calls)
{
    const int64_t tile_px = plane_px / (d->th * d->tw);
    prefetch a = {.base = base, .blocks = blocks, .plane_px = plane_px, .first_px = first_tile * tile_px};
    a.n_px = n_tiles * tile_px;
    a.per_call = (blocks * a.n_px + calls - 1) / calls;
    if (a.per_call == 0)
        a.base = NULL;
    if (a.base)
        prefetch_next_run(&a);
    return a;
}

static inline void prefetch_lines(prefetch *a)
{
    for (int64_t n = a->per_call; a->base && n > 0;) {
        const int64_t run = smaller(n, a->left);
        for (int64_t i = 0; i < run; i++)
            __builtin_prefetch(a->at + i * LTI_LANES, 0, 2);
        n -= run;
        a->at += run * LTI_LANES;
        a->left -= run;
        if (a->left == 0)
            prefetch_next_run(a);
    }
}

void lti_wino_plan_dw(wino *d,
                      lt_kernel *k); // wino_dw.c: blocks and scratch of the gradient of the filter, and its run
#endif
