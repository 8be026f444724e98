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
// In the half form transformed tiles and filters are rounded to bf16, two values in the space of a float, and products
// are summed in f32; activations, filters and everything else stay f32. Offsets count floats in both forms.
#include "backend/onednn/wino_impl.h"
#include <string.h>

enum {
    PREPARED_MAX = 12 << 20, // constant filters are kept transformed up to this size
    PRIVATE_FILTER_MAX =
        3 << 20,                 // few threads transform them each for itself up to this one: larger ones take too much
    PRIVATE_TILES_MAX = 5 << 20, // of the third-level cache; and tiles, where these are few
};

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
            for (int c = 0; !d->bf16 && c < LTI_LANES; c++)
                p->form->filter(g + c * TAPS * LTI_LANES, p->tap, to + c * columns, d->weights_t_stride);
            for (int c = 0; d->bf16 && c < LTI_LANES; c += 2) {
                for (int i = 0; i < 2; i++)
                    p->form->filter(g + (c + i) * TAPS * LTI_LANES, p->tap, t[i], LTI_LANES);
                for (int i = 0; i < p->form->points; i++)
                    d->kern->pack(t[0] + i * LTI_LANES, t[1] + i * LTI_LANES,
                                  to + c / 2 * columns + i * d->weights_t_stride);
            }
        }
}

// All of it by one thread.
static void transform_panels(const wino *d, const float *w, float *u)
{
    const int64_t columns = d->out_b * LTI_LANES;
    for (const part *p = d->part; p < d->part + d->n_parts; p++)
        for (int64_t k = 0; k < columns; k += d->kern->width)
            transform_panel(d, p, w, k, 0, d->in_b, u + p->point * d->weights_t_stride + k * d->in_b * d->lanes);
}

// By all threads.
static void transform_filter(const wino *d, const float *w, float *u)
{
    const int64_t depth = d->in_b * d->lanes, width = d->kern->width;
    const int64_t n_panels = (d->out_b * LTI_LANES + width - 1) / width;
#pragma omp parallel for num_threads(d->n_threads) schedule(static)
    for (int64_t i = 0; i < n_panels * d->in_b; i++) {
        const int64_t first = i / d->in_b * width, b = i % d->in_b;
        for (const part *p = d->part; p < d->part + d->n_parts; p++)
            transform_panel(d, p, w, first, b, b + 1, u + p->point * d->weights_t_stride + first * depth);
    }
}

// ---- forward and gradient of the input
static void block_inputs(const wino *d, const part *p, const float *x, int64_t first, int64_t n_tiles, float *v)
{
    const int64_t depth = d->in_b * d->lanes;
    const groups all = groups_of(d, n_tiles);
    lti_wino_transform *transform = d->bf16 ? p->form->input_bf16 : p->form->input;
    for (int64_t b = 0; b < d->in_b; b++) {
        tile t = tile_at(d, first);
        for (int64_t i = 0; i < all.n; i++) {
            const group g = group_at(&all, i);
            float *to = v + g.first * depth + b * g.rows * d->lanes;
            for (int r = 0, run; r < g.n; r += run, to += run * d->lanes, tile_skip(d, &t, run)) {
                const lti_wino_patch at = in_patch(d, p, &t);
                run = run_length(d, p, &t, g.n - r);
                if (run > 1)
                    p->form->input_run(in_plane(d, x, t.n, b), &at, run, to, d->in_tiles_stride);
                else
                    transform(in_plane(d, x, t.n, b), &at, to, d->in_tiles_stride);
            }
        }
    }
}

// What the products of a block have time to fetch: its outputs, what is added to them, and the inputs of another.
typedef struct prefetch_list {
    prefetch of[4];
    int n;
} prefetch_list;

static void prefetch_list_add(prefetch_list *c, prefetch what)
{
    if (what.base)
        c->of[c->n++] = what;
}

// Products of n_tiles with the columns from first to end; u and m point at the first of them.
static void block_products(const wino *d, int points, const float *v, int64_t n_tiles, const float *u, int64_t first,
                           int64_t end, float *m, prefetch_list *c)
{
    const int64_t width = d->kern->width, depth = d->in_b * d->lanes, columns = end - first;
    const groups all = groups_of(d, n_tiles);
    lti_wino_multiply *multiply = d->bf16 ? d->kern->multiply_bf16 : d->kern->multiply;
    for (int p = 0; p < points; p++, v += d->in_tiles_stride, u += d->weights_t_stride, m += d->products_stride)
        for (int64_t k = 0; k < columns; k += width) {
            for (int more = all.more > 0; more >= 0; more--) { // the groups of one tile more come first
                const group g = group_at(&all, more ? 0 : all.more);
                multiply(&(lti_wino_product){
                    .v = v + g.first * depth,
                    .u = u + k * depth,
                    .m = m + g.first * columns + k * g.rows,
                    .in_tiles_blocks = d->in_b,
                    .in_tiles_stride = g.rows * d->lanes,
                    .in_tiles_step = g.rows * depth,
                    .products_stride = g.rows * LTI_LANES,
                    .products_step = g.rows * columns,
                    .times = more ? all.more : all.n - all.more,
                    .rows = g.rows,
                    .n = (int)smaller(width, columns - k),
                });
            }
            for (int i = 0; i < c->n; i++)
                prefetch_lines(&c->of[i]);
        }
}

// The output of a convolution and what is added besides the products; NULL = nothing.
typedef struct epilogue_args {
    float *y;
    const float *bias, *residual, *mask;
} epilogue_args;

// Output blocks begin..end, which is what m holds. Forward, y is the sum of the parts; backward, each makes its own
// pixels.
static void block_outputs(const wino *d, const part *p, const float *m, int64_t begin, int64_t end, int64_t first,
                          int64_t n_tiles, const epilogue_args *e)
{
    const int64_t columns = (end - begin) * LTI_LANES;
    const groups all = groups_of(d, n_tiles);
    const bool sum = d->pass == LTI_CONV_FWD, last = !sum || p->last;
    for (int64_t b = begin; b < end; b++) {
        float add[LTI_LANES] = {0};
        lti_wino_epilogue epilogue = {
            .bias = e->bias && p->first ? add : NULL, .add = sum && !p->first, .relu = d->relu && last};
        if (e->bias)
            memcpy(add, e->bias + b * LTI_LANES, (size_t)smaller(LTI_LANES, d->out - b * LTI_LANES) * sizeof *add);
        tile t = tile_at(d, first);
        for (int64_t i = 0; i < all.n; i++) {
            const group g = group_at(&all, i);
            const float *from = m + g.first * columns + (b - begin) * g.rows * LTI_LANES;
            for (int r = 0; r < g.n; r++, from += LTI_LANES, tile_step(d, &t)) {
                const lti_wino_patch at = out_patch(d, p, &t);
                const int64_t plane = out_plane(d, t.n, b);
                epilogue.residual = e->residual && last ? e->residual + plane : NULL;
                epilogue.mask = e->mask && last ? e->mask + plane : NULL;
                p->form->output(from, d->products_stride, e->y + plane, &at, &epilogue);
            }
        }
    }
}

// w NULL: u holds the transformed filter; else every thread makes its own.
static void run_tiles(const lt_kernel *k, const float *x, const float *w, const float *u, const epilogue_args *e,
                      void *scratch)
{
    const wino *d = k->data;
    const int64_t columns = d->out_b * LTI_LANES, n_blocks = (d->tiles + d->block - 1) / d->block;
    const int64_t calls = d->points * ((columns + d->kern->width - 1) / d->kern->width);
    lti_work_partition blocks;
    lti_work_partition_init(&blocks, n_blocks, d->n_threads);
#pragma omp parallel num_threads(d->n_threads)
    for (int64_t b, n = 0; lti_work_partition_next(&blocks, false, &b); n++) {
        float *v = lti_thread_scratch(k, lti_thread(), scratch), *m = v + d->max_points * d->in_tiles_stride;
        const float *from = w ? v + d->private_offset : u;
        if (w && n == 0)
            transform_panels(d, w, v + d->private_offset);
        const int64_t first = b * d->block, next = first + d->block;
        const int64_t n_tiles = smaller(d->block, d->tiles - first);
        const int64_t px = d->oh * d->ow, soon = calls / d->n_parts;
        prefetch_list c = {.n = 0};
        prefetch_list_add(&c, prefetch_range(d, e->y, d->out_b, px, first, n_tiles, soon));
        prefetch_list_add(&c, prefetch_range(d, e->residual, d->out_b, px, first, n_tiles, soon));
        prefetch_list_add(&c, prefetch_range(d, e->mask, d->out_b, px, first, n_tiles, soon));
        prefetch_list_add(&c,
                          prefetch_range(d, next < d->tiles ? x : NULL, d->in_b, d->ih * d->iw, next, n_tiles, calls));
        for (const part *p = d->part; p < d->part + d->n_parts; p++) {
            block_inputs(d, p, x, first, n_tiles, v);
            block_products(d, p->form->points, v, n_tiles, from + p->point * d->weights_t_stride, 0, columns, m, &c);
            block_outputs(d, p, m, 0, d->out_b, first, n_tiles, e);
        }
    }
}

// w NULL: u holds the whole transformed filter.
static void run_panels(const lt_kernel *kernel, const part *p, const float *x, const float *w, const float *u,
                       const epilogue_args *e, void *scratch)
{
    const wino *d = kernel->data;
    const int64_t columns = d->out_b * LTI_LANES, depth = d->in_b * d->lanes;
    const groups all = groups_of(d, d->tiles);
    float *shared_v = lti_shared_scratch(kernel, scratch);
    lti_work_partition partition;
    lti_work_partition_init(&partition, all.n, d->n_threads);
#pragma omp parallel num_threads(d->n_threads) if (!d->private_copies)
    for (int64_t i; !d->private_copies && lti_work_partition_next(&partition, false, &i);) {
        const group g = group_at(&all, i);
        block_inputs(d, p, x, g.first, g.n, shared_v + g.first * depth);
    }
    lti_work_partition panels;
    lti_work_partition_init(&panels, (columns + d->kern->width - 1) / d->kern->width, d->n_threads);
#pragma omp parallel num_threads(d->n_threads)
    for (int64_t i, done = 0; lti_work_partition_next(&panels, false, &i); done++) {
        float *m = lti_thread_scratch(kernel, lti_thread(), scratch), *own_u = m + d->max_points * d->products_stride;
        float *v = d->private_copies ? m + d->private_offset : shared_v;
        const int64_t k = i * d->kern->width, end = k + panel_columns(d, k);
        prefetch_list nothing = {0};
        if (d->private_copies && done == 0)
            block_inputs(d, p, x, 0, d->tiles, v);
        if (w)
            transform_panel(d, p, w, k, 0, d->in_b, own_u);
        block_products(d, p->form->points, v, d->tiles, w ? own_u : u + p->point * d->weights_t_stride + k * depth, k,
                       end, m, &nothing);
        block_outputs(d, p, m, k / LTI_LANES, end / LTI_LANES, 0, d->tiles, e);
    }
}

static lt_status forward_run(const lt_kernel *k, void *const *arg, void *scratch)
{
    const wino *d = k->data;
    const float *x = arg[0];
    epilogue_args e = {0};
    void *const *next = arg + 2; // forward: bias, residual; backward: mask, residual; then what is made
    if (d->bias)
        e.bias = *next++;
    if (d->mask)
        e.mask = *next++;
    if (d->residual)
        e.residual = *next++;
    e.y = *next;
    if (d->panel_major) {
        for (const part *p = d->part; p < d->part + d->n_parts; p++)
            run_panels(k, p, x, d->prepared_filter ? NULL : arg[1], k->prepared, &e, scratch);
        return LT_OK;
    }
    float *u = d->prepared_filter ? k->prepared : lti_shared_scratch(k, scratch);
    if (!d->prepared_filter && !d->private_copies)
        transform_filter(d, arg[1], u);
    run_tiles(k, x, d->private_copies ? arg[1] : NULL, u, &e, scratch);
    return LT_OK;
}

static lt_status forward_prepare(const lt_kernel *k, void *const *arg, void *prepared)
{
    transform_filter(k->data, arg[1], prepared);
    return LT_OK;
}

// ---- making one
bool lti_wino_fits(const lti_conv_shape *s)
{
    return s->r == 3 && s->s == 3 && s->stride <= 2 && s->pad <= 2 && s->dilation == 1 &&
           s->x_layout == LT_LAYOUT_BLOCKED16 && s->y_layout == LT_LAYOUT_BLOCKED16;
}

// floats: of a transformed channel and a product, for all channels of a tile.
static int64_t tiles_of_block(const wino *d, int64_t floats)
{
    const int64_t fit = BLOCK_BYTES / (d->max_points * floats * (int64_t)sizeof(float));
    return fit >= 8 * MIN_TILES ? 4 * MIN_TILES : fit >= 2 * MIN_TILES ? 2 * MIN_TILES : MIN_TILES;
}

static void plan_forward(wino *d, lt_kernel *k)
{
    const int64_t in = d->in_b * LTI_LANES, out = d->out_b * LTI_LANES, least = d->kern->least_rows;
    const int64_t pairs = in * out, share = (d->tiles + d->n_threads - 1) / d->n_threads;
    const int64_t depth = d->in_b * d->lanes; // floats of the transformed channels of a tile
    const size_t filter_bytes = (size_t)(d->points * spread(depth * out)) * sizeof(float);
    int64_t own, shared;
    d->panel_major = pairs >= 2 * d->tiles * in; // few tiles, many filters
    d->prepared_filter = d->prepared_filter && filter_bytes <= PREPARED_MAX;
    if (d->panel_major) {
        d->block = d->tiles < least ? least : d->tiles;
        d->products_stride = spread(d->block * smaller(d->kern->width, out));
        d->weights_t_stride = !d->prepared_filter ? spread(depth * smaller(d->kern->width, out)) : spread(depth * out);
        d->in_tiles_stride = spread(d->block * depth);
        d->private_offset =
            (size_t)(d->max_points * (d->products_stride + (d->prepared_filter ? 0 : d->weights_t_stride)));
        d->private_copies = d->n_threads > 1 && d->n_threads <= LTI_PRIVATE_COPY_MAX_THREADS &&
                            d->max_points * d->in_tiles_stride * (int64_t)sizeof(float) <= PRIVATE_TILES_MAX;
        own = shared = d->max_points * d->in_tiles_stride;
    } else {
        d->block = smaller(whole_rows(d, tiles_of_block(d, depth + out)), share);
        const int64_t room = d->block < least ? least : d->block;
        d->in_tiles_stride = spread(room * depth);
        d->products_stride = spread(room * out);
        d->weights_t_stride = spread(depth * out);
        d->private_offset = (size_t)(d->max_points * (d->in_tiles_stride + d->products_stride));
        d->private_copies = !d->prepared_filter && d->n_threads > 1 && d->n_threads <= LTI_PRIVATE_COPY_MAX_THREADS &&
                            filter_bytes <= PRIVATE_FILTER_MAX;
        own = shared = d->prepared_filter ? 0 : d->points * d->weights_t_stride;
    }
    k->run = forward_run;
    // A pixel of the residual is read before that pixel is written, unless the output is summed up from parts.
    k->in_place = d->residual && (d->pass == LTI_CONV_DX || d->n_parts == 1) ? 1u << 3 : 0;
    lti_plan_scratch(k, d->n_threads, d->private_offset + (size_t)(d->private_copies ? own : 0),
                     (size_t)(d->private_copies ? 0 : shared));
    if (d->prepared_filter) {
        k->prepare = forward_prepare;
        k->prepared_bytes = filter_bytes;
    }
}

static void add_part(wino *d, lti_wino_form_id form, const part *where)
{
    part *p = &d->part[d->n_parts++];
    *p = *where;
    p->form = &d->kern->form[form];
    p->point = d->points;
    p->first = d->n_parts == 1;
    d->points += p->form->points;
    d->max_points = d->max_points > p->form->points ? d->max_points : p->form->points;
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

lt_status lti_wino_make(const lti_dn *dn, const lti_conv_shape *s, bool bf16, lt_kernel *k)
{
    wino *d = lti_calloc(1, sizeof *d);
    if (!d)
        return LTI_NOMEM("convolution");
    const bool dx = s->pass == LTI_CONV_DX;
    *d = (wino){
        .kern = bf16 ? dn->wino_bf16 : dn->kern->wino,
        .blk = dn->kern,
        .bf16 = bf16,
        .lanes = bf16 ? LTI_LANES / 2 : LTI_LANES,
        .n_threads = dn->n_threads,
        .pass = s->pass,
        .relu = s->relu,
        .bias = s->bias,
        .residual = s->residual,
        .mask = s->mask,
        .prepared_filter = s->constant,
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
        lti_wino_plan_dw(d, k);
    else
        plan_forward(d, k);
    return LT_OK;
}
