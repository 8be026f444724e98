// wino_dw.c - the gradient of the filter of our own Winograd convolution. Here V and E, the transformed tiles of x and
// of dy, are [point][block of 16 channels][tile][16], or in pairs of tiles where products are of bf16.
#include "backend/onednn/wino_impl.h"
#include <string.h>

enum {
    SMALL_FILTER = 128 * 128, // filter gradients up to this many channel pairs are summed in chunks
    CHUNKS = 8,               // at most, and half as many of more pairs than
    CHUNK_PAIRS = 64 * 64,    //
    CHUNK_TILES = 512,        // in a chunk, or its sums weigh too much
    MIN_CHUNKS = 2,           // all the same, as long as each has at least so many tiles:
    MIN_CHUNK_TILES = 128,
    BLOCK_TILES = 32,        // sums are read and written once for so many; for twice as many where
    TWICE_BYTES = 600 << 10, // the transforms of those fit, or if there are few in all
    NEAR_SUMS = 256 << 10,   // sums of a chunk up to this size stay in the second-level cache
    SUM_TILES = 128,         // at most, of one product: those of 16 rows and 32 columns fit the first-level cache
    GROUP_BYTES = 4 << 20,   // of V and transformed filters of a group of input channels, without chunks
    POINT_THREADS = 8,       // up to this many threads take a whole point of a group each
    PRIVATE_BYTES = 5 << 20, // few threads transform all of dy each for itself up to this size, in the third-level
                             // cache, next to half a group
};

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

// One of the two tensors whose tiles meet: x in overlapping tiles, or dy.
typedef struct side {
    const float *data;
    bool dy;
} side;

static const float *side_plane(const wino *d, const side *s, int64_t n, int64_t b)
{
    return s->dy ? s->data + out_plane(d, n, b) : in_plane(d, s->data, n, b);
}

// One row: a tile, or n of a pair. Moves t on.
static void dw_row(const wino *d, const part *p, const side *s, tile *t, int n, int64_t b, float *to)
{
    const int64_t stride = s->dy ? d->products_stride : d->in_tiles_stride;
    lti_wino_transform *transform = s->dy ? p->form->gradient : p->form->input;
    const float *plane[2] = {0};
    lti_wino_patch at[2] = {{0}};
    for (int i = 0; i < n; i++, tile_step(d, t)) {
        plane[i] = side_plane(d, s, t->n, b);
        at[i] = s->dy ? out_patch(d, p, t) : in_patch(d, p, t);
    }
    if (d->bf16)
        pair_of_tiles(d, p->form->points, transform, plane, at, n, to, stride);
    else
        transform(plane[0], &at[0], to, stride);
}

// Transformed tiles first..first + n_tiles of one block of channels, one row a tile, or one a pair of tiles.
static void dw_rows(const wino *d, const part *p, const side *s, int64_t first, int64_t n_tiles, int64_t b, float *to)
{
    tile t = tile_at(d, first);
    for (int64_t i = 0, n; i < n_tiles; i += n) {
        n = s->dy ? 1 : run_length(d, p, &t, n_tiles - i);
        if (n > 1) {
            const lti_wino_patch at = in_patch(d, p, &t);
            p->form->input_run(side_plane(d, s, t.n, b), &at, (int)n, to, d->in_tiles_stride);
            tile_skip(d, &t, (int)n);
            to += n * LTI_LANES;
        } else {
            n = d->bf16 ? smaller(2, n_tiles - i) : 1;
            dw_row(d, p, s, &t, (int)n, b, to);
            to += LTI_LANES;
        }
    }
}

// Blocks begin..end of channels; `to` begins with block begin.
static void dw_tiles(const wino *d, const part *p, const side *s, int64_t first, int64_t n_tiles, int64_t begin,
                     int64_t end, float *to)
{
    for (int64_t b = begin; b < end; b++, to += d->block * d->lanes)
        dw_rows(d, p, s, first, n_tiles, b, to);
}

// The same of all tiles, by all threads. One block of channels after the other: then the places where the points of a
// tile go to move on slowly, and few pages are written at a time.
static void dw_all_tiles(const wino *d, const part *p, const side *s, int64_t begin, int64_t end, float *to)
{
#pragma omp parallel for num_threads(d->n_threads) schedule(static, 1)
    for (int t = 0; t < d->n_threads; t++) {
        const int64_t first = (d->tiles * t / d->n_threads) & ~(int64_t)1;
        const int64_t last = t + 1 == d->n_threads ? d->tiles : (d->tiles * (t + 1) / d->n_threads) & ~(int64_t)1;
        for (int64_t b = begin; b < end; b++)
            dw_rows(d, p, s, first, last - first, b, to + ((b - begin) * d->block + first) * d->lanes);
    }
}

// Sums that the next product adds to: all of them are too many for the second level, and a product needs the first
// only.
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
    const bool far = d->points * d->weights_t_stride * (int64_t)sizeof(float) > NEAR_SUMS;
    const int64_t n_rows = d->bf16 ? (n_tiles + 1) / 2 : n_tiles;
    float *sums = u + p * d->weights_t_stride + b * LTI_LANES * columns;
    v += p * d->in_tiles_stride + b * block;
    e += p * d->products_stride;
    for (int64_t i = 0; i < n_rows; i += SUM_TILES, first = false)
        for (int64_t k = 0; k < columns; k += step) {
            if (far && k + step < columns)
                fetch_sums(sums + k + step, columns, smaller(step, columns - k - step));
            else if (far && b + 1 < d->group)
                fetch_sums(sums + LTI_LANES * columns, columns, smaller(step, columns));
            (d->bf16 ? d->kern->accumulate_bf16 : d->kern->accumulate)(
                v + i * LTI_LANES, e + k / LTI_LANES * block + i * LTI_LANES, sums + k, smaller(SUM_TILES, n_rows - i),
                block, columns, (int)smaller(step, columns - k), first);
        }
}

// Partial sums of all points and filters, in the order in which they are added.
typedef struct sums {
    float *of[CHUNKS];
    int64_t n;
} sums;

// Adds n partial sums of every point to those of the first chunk; in that, those of the first point begin at `at`.
static void add_sums(const wino *d, const part *p, const sums *u, int64_t at, int64_t n)
{
    for (int i = 0; i < p->form->points; i++, at += d->weights_t_stride)
        for (int64_t s = 1; s < u->n; s++)
            d->blk->add(u->of[0] + at, u->of[s] + at, u->of[0] + at, n, 1.0f, false);
}

// All filters of input channels begin..end, by n_threads: adds their partial sums and brings them back to taps. Those
// of the first point begin at `at`. g[out block][channel][tap][16]
static void dw_taps(const wino *d, const part *p, int n_threads, const sums *u, int64_t at, int64_t begin, int64_t end,
                    float *g)
{
    const int64_t columns = d->out_b * LTI_LANES, n = end - begin;
#pragma omp parallel for num_threads(n_threads) schedule(static, 1) if (n_threads > 1)
    for (int t = 0; t < n_threads; t++) {
        const int64_t first = n * t / n_threads, last = n * (t + 1) / n_threads;
        add_sums(d, p, u, at + first * columns, (last - first) * columns);
        for (int64_t c = first; c < last; c++)
            for (int64_t b = 0; b < d->out_b; b++)
                p->form->filter_gradient(u->of[0] + at + c * columns + b * LTI_LANES, d->weights_t_stride,
                                         g + (b * d->in + begin + c) * TAPS * LTI_LANES, p->tap);
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
    return d->bf16 && c < d->chunks ? at & ~(int64_t)1 : at;
}

// What a thread takes: some blocks of input channels of a chunk of tiles. More threads than chunks share the channels.
typedef struct piece {
    int64_t chunk, begin, end;
} piece;

static int64_t n_splits(const wino *d)
{
    return smaller((d->n_threads + d->chunks - 1) / d->chunks, d->in_b);
}

static piece piece_of(const wino *d, int64_t i)
{
    const int64_t n = n_splits(d), s = i % n;
    return (piece){i / n, d->in_b * s / n, d->in_b * (s + 1) / n};
}

// All parts of one block of tiles; sum: where this chunk's sums begin.
static void dw_block(const wino *d, const piece *own, const float *x, const float *dy, int64_t first, int64_t n_tiles,
                     bool start, float *v, float *sum, prefetch *read_x, prefetch *read_dy)
{
    float *e = v + d->max_points * d->in_tiles_stride;
    for (const part *p = d->part; p < d->part + d->n_parts; p++) {
        dw_tiles(d, p, &(side){x, false}, first, n_tiles, own->begin, own->end, v);
        dw_tiles(d, p, &(side){dy, true}, first, n_tiles, 0, d->out_b, e);
        float *to = sum + p->point * d->weights_t_stride + own->begin * LTI_LANES * d->out_b * LTI_LANES;
        for (int i = 0; i < p->form->points; i++)
            for (int64_t b = 0; b < own->end - own->begin; b++) {
                dw_products(d, i, b, v, e, n_tiles, start, to);
                prefetch_lines(read_x);
                prefetch_lines(read_dy);
            }
    }
}

// The sums of a chunk are in the buffer of the thread that owns it.
static float *sums_of(const lt_kernel *k, int64_t chunk, void *scratch)
{
    const wino *d = k->data;
    const int64_t owner = lti_work_partition_owner(chunk, d->chunks, d->n_threads),
                  first = d->chunks * owner / d->n_threads;
    return lti_thread_scratch(k, owner, scratch) + d->private_offset +
           (size_t)((chunk - first) * d->points * d->weights_t_stride);
}

static lt_status dw_chunks_run(const lt_kernel *k, void *const *arg, void *scratch)
{
    const wino *d = k->data;
    const float *x = arg[0], *dy = arg[1];
    float *g = lti_shared_scratch(k, scratch);
    sums u = {.n = d->chunks};
    for (int64_t c = 0; c < d->chunks; c++)
        u.of[c] = sums_of(k, c, scratch);
    const int64_t n_pieces = d->chunks * n_splits(d);
    lti_work_partition pieces;
    lti_work_partition_init(&pieces, n_pieces, d->n_threads);
#pragma omp parallel num_threads(d->n_threads)
    for (int64_t s; lti_work_partition_next(&pieces, false, &s);) {
        const piece own = piece_of(d, s);
        float *v = lti_thread_scratch(k, lti_thread(), scratch), *sum = u.of[own.chunk];
        const int64_t start = chunk_start(d, own.chunk), end = chunk_start(d, own.chunk + 1);
        const int64_t calls = d->points * (own.end - own.begin);
        for (int64_t i = start; i < end; i += d->block) {
            const int64_t n_tiles = smaller(d->block, end - i), next = i + d->block;
            prefetch read_x =
                prefetch_range(d, next < d->tiles ? x : NULL, d->in_b, d->ih * d->iw, next, n_tiles, calls);
            prefetch read_dy =
                prefetch_range(d, next < d->tiles ? dy : NULL, d->out_b, d->oh * d->ow, next, n_tiles, calls);
            dw_block(d, &own, x, dy, i, n_tiles, i == start, v, sum, &read_x, &read_dy);
        }
    }
    for (const part *p = d->part; p < d->part + d->n_parts; p++)
        dw_taps(d, p, d->n_threads, &u, p->point * d->weights_t_stride, 0, d->in, g);
    dw_store(d, g, arg[2]);
    return LT_OK;
}

// One group of input channels: V, then all its products with E, then its filters. What a group makes is small enough
// for the third-level cache, and a point of E is used by every block of the group while it is in the second.
static void dw_group(const wino *d, const part *p, const float *x, int64_t begin, int64_t end, const float *e, float *v,
                     float *u, float *g)
{
    const int64_t n_blocks = end - begin, n_units = p->form->points * n_blocks;
    const int64_t at_once = d->n_threads <= POINT_THREADS ? n_blocks : 1;
    dw_all_tiles(d, p, &(side){x, false}, begin, end, v);
#pragma omp parallel for num_threads(d->n_threads) schedule(dynamic, 1)
    for (int64_t first = 0; first < n_units; first += at_once)
        for (int64_t i = first; i < smaller(first + at_once, n_units); i++)
            dw_products(d, (int)(i / n_blocks), i % n_blocks, v, e, d->tiles, true, u);
    dw_taps(d, p, d->n_threads, &(sums){{u}, 1}, 0, begin * LTI_LANES, smaller(end * LTI_LANES, d->in), g);
}

static lt_status dw_groups_run(const lt_kernel *k, void *const *arg, void *scratch)
{
    const wino *d = k->data;
    const float *dy = arg[1];
    float *v = lti_shared_scratch(k, scratch), *e = v + d->max_points * d->in_tiles_stride,
          *u = e + d->max_points * d->products_stride;
    float *g = v + d->taps_offset;
    for (const part *p = d->part; p < d->part + d->n_parts; p++) {
        dw_all_tiles(d, p, &(side){dy, true}, 0, d->out_b, e);
        for (int64_t b = 0; b < d->in_b; b += d->group)
            dw_group(d, p, arg[0], b, smaller(b + d->group, d->in_b), e, v, u, g);
    }
    dw_store(d, g, arg[2]);
    return LT_OK;
}

// Few threads: each takes groups of input channels from their tiles to their filters and makes all of E for itself.
// That is less than waiting for the half that another core has written, and no thread waits for another.
static lt_status dw_own_run(const lt_kernel *k, void *const *arg, void *scratch)
{
    const wino *d = k->data;
    const side x = {arg[0], false}, dy = {arg[1], true};
    float *g = lti_shared_scratch(k, scratch);
    for (const part *p = d->part; p < d->part + d->n_parts; p++) {
        lti_work_partition partition;
        lti_work_partition_init(&partition, (d->in_b + d->group - 1) / d->group, d->n_threads);
#pragma omp parallel num_threads(d->n_threads)
        for (int64_t i, n = 0; lti_work_partition_next(&partition, false, &i); n++) {
            float *v = lti_thread_scratch(k, lti_thread(), scratch), *e = v + d->max_points * d->in_tiles_stride,
                  *u = e + d->max_points * d->products_stride;
            const int64_t begin = i * d->group, end = smaller(begin + d->group, d->in_b);
            if (n == 0)
                dw_tiles(d, p, &dy, 0, d->tiles, 0, d->out_b, e);
            dw_tiles(d, p, &x, 0, d->tiles, begin, end, v);
            for (int j = 0; j < p->form->points; j++)
                for (int64_t b = 0; b < end - begin; b++)
                    dw_products(d, j, b, v, e, d->tiles, true, u);
            dw_taps(d, p, 1, &(sums){{u}, 1}, 0, begin * LTI_LANES, smaller(end * LTI_LANES, d->in), g);
        }
    }
    dw_store(d, g, arg[2]);
    return LT_OK;
}

void lti_wino_plan_dw(wino *d, lt_kernel *k)
{
    const int64_t unit = d->bf16 ? 2 : 1;
    const int64_t pairs = d->in_b * d->out_b * LTI_LANES * LTI_LANES;
    d->chunks = smaller(pairs <= CHUNK_PAIRS ? CHUNKS : CHUNKS / 2, d->tiles / CHUNK_TILES);
    if (d->chunks < MIN_CHUNKS)
        d->chunks = MIN_CHUNKS;
    if (pairs > SMALL_FILTER || d->tiles < MIN_CHUNKS * MIN_CHUNK_TILES)
        d->chunks = 0;
    if (d->chunks) {
        const int64_t share = (d->tiles + d->chunks - 1) / d->chunks;
        const int64_t twice =
            d->max_points * (d->in_b + d->out_b) * d->lanes * (int64_t)sizeof(float) * 2 * BLOCK_TILES;
        const bool few = share <= 4 * BLOCK_TILES;
        const int64_t n_tiles = few || twice <= TWICE_BYTES ? 2 * BLOCK_TILES : BLOCK_TILES;
        d->block = round_up(smaller(whole_rows(d, n_tiles), share), unit);
        d->group = d->in_b;
    } else {
        d->block = round_up(d->tiles, unit);
        const int64_t one =
            d->max_points * (d->lanes * d->block + d->out_b * LTI_LANES * LTI_LANES) * (int64_t)sizeof(float);
        const int64_t e_bytes = d->max_points * d->out_b * d->lanes * d->block * (int64_t)sizeof(float);
        d->private_copies = d->n_threads > 1 && d->n_threads <= LTI_PRIVATE_COPY_MAX_THREADS &&
                            d->in_b >= d->n_threads && e_bytes <= PRIVATE_BYTES;
        const int64_t room = d->private_copies ? GROUP_BYTES / 2 : GROUP_BYTES;
        d->group = smaller(room > one ? room / one : 1, d->in_b);
        if (d->private_copies)
            d->group = smaller(d->group, (d->in_b + d->n_threads - 1) / d->n_threads);
    }
    d->in_tiles_stride = spread(d->block * d->group * d->lanes);
    d->products_stride = spread(d->block * d->out_b * d->lanes);
    d->weights_t_stride = spread(d->group * d->out_b * LTI_LANES * LTI_LANES);
    const size_t taps = (size_t)(d->out_b * d->in * TAPS * LTI_LANES),
                 tiles = (size_t)(d->max_points * (d->in_tiles_stride + d->products_stride));
    const size_t one_sum = (size_t)(d->max_points * d->weights_t_stride);
    if (d->chunks) {
        const int64_t sums_each = (d->chunks + d->n_threads - 1) / d->n_threads;
        k->run = dw_chunks_run;
        d->private_offset = tiles;
        lti_plan_scratch(k, d->n_threads, tiles + (size_t)(sums_each * d->points * d->weights_t_stride), taps);
    } else if (d->private_copies) {
        k->run = dw_own_run;
        lti_plan_scratch(k, d->n_threads, tiles + one_sum, taps);
    } else {
        k->run = dw_groups_run;
        d->taps_offset = tiles + one_sum;
        lti_plan_scratch(k, d->n_threads, 0, d->taps_offset + taps);
    }
}
