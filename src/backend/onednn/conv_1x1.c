// conv_1x1.c - our own convolution with 1x1 filters and any stride, without padding: the shortcuts of a residual net.
//
// It is a matrix product of pixels and channels. The products are those of our Winograd (wino_products.h): they need 16
// channels of some pixels next to each other, which is their layout with stride 1; with another one they are copied
// together first. Images are shared out as in every other kernel (decision 6): oneDNN's code for the gradient of a
// strided input divides otherwise, and what it makes then comes from the other core's caches.
//
// The gradient of the filter is summed in chunks of images, whose number depends on the shape alone, and these are
// added in order: bits do not depend on the number of threads.
#include "backend/onednn/onednn_impl.h"
#include "backend/onednn/work_partition.h"
#include "backend/onednn/wino.h"
#include "base/base.h"
#include <string.h>

enum {
    SUM_ROWS = 128,        // pixels whose sums are made at once: those of one or of several images
    CHUNKS = 8,            // of images
    CHUNK_BYTES = 4 << 20, // of sums in all
    MIN_CHUNKS = 2,
    AHEAD = 28, // pixels of a plane fetched before they are copied: about two products
};

typedef struct conv_1x1 {
    const lti_kern *kern;
    int n_threads;
    lti_conv_shape s;
    int64_t in, out, in_b, out_b; // channels of what is read and of what is made, and blocks of 16
    int64_t x_px, px;             // of the plane of x and of y
    size_t filter_floats, own_at; // in a thread's scratch: where what follows the filter begins
    bool own_filter;
    int64_t images, chunks; // gradient of the filter: a block; of all images
} conv_1x1;

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

// ---- the filter in the layout of the products: u[panel][channel read][columns made]
static void fill_panel(const conv_1x1 *d, const float *w, int64_t first, float *u)
{
    const int64_t columns = smaller(d->kern->wino->width, d->out_b * LTI_LANES - first);
    memset(u, 0, (size_t)(d->in_b * LTI_LANES * columns) * sizeof *u);
    for (int64_t k = 0; k < columns && first + k < d->out; k += LTI_LANES) {
        const int64_t n_out = smaller(LTI_LANES, d->out - first - k);
        for (int64_t c = 0; c < d->in; c += LTI_LANES) {
            const int64_t n_in = smaller(LTI_LANES, d->in - c);
            float t[LTI_LANES * LTI_LANES];
            if (d->s.pass == LTI_CONV_FWD) // w (made, read)
                d->kern->to_blocked(w + (first + k) * d->in + c, d->in, t, n_in, (int)n_out);
            for (int64_t i = 0; i < n_in; i++) {
                const float *from = d->s.pass == LTI_CONV_FWD ? t + i * LTI_LANES : w + (c + i) * d->out + first + k;
                memcpy(u + (c + i) * columns + k, from, (size_t)n_out * sizeof *u);
            }
        }
    }
}

static void fill_filter(const conv_1x1 *d, const float *w, float *u)
{
    for (int64_t k = 0; k < d->out_b * LTI_LANES; k += d->kern->wino->width)
        fill_panel(d, w, k, u + k * d->in_b * LTI_LANES);
}

// ---- rows of pixels
// Offset of pixel p of y in the plane of x.
static int64_t pixel_of(const conv_1x1 *d, int64_t p)
{
    return p / d->s.ow * d->s.stride * d->s.w + p % d->s.ow * d->s.stride;
}

// Runs of pixels of y, n from p on, each in one row.
typedef struct run_of {
    int64_t p, end, n; // the run begins at p and has n pixels
} run_of;

static run_of run_at(const conv_1x1 *d, int64_t p, int64_t end)
{
    return (run_of){p, end, smaller(d->s.ow - p % d->s.ow, end - p)};
}

static void next_run(const conv_1x1 *d, run_of *r)
{
    *r = run_at(d, r->p + r->n, r->end);
}

static void fetch_pixels(const conv_1x1 *d, int64_t p, int64_t end, const float *plane)
{
    for (run_of r = run_at(d, p, smaller(end, d->px)); r.p < r.end; next_run(d, &r)) {
        const float *at = plane + pixel_of(d, r.p) * LTI_LANES;
        for (int64_t i = 0; i < r.n; i++)
            __builtin_prefetch(at + i * d->s.stride * LTI_LANES, 1, 3);
    }
}

// The pixels of a plane of x that meet n ones of y, from p on.
static void gather_pixels(const conv_1x1 *d, const float *plane, int64_t p, int64_t n, float *to)
{
    for (run_of r = run_at(d, p, p + n); r.p < r.end; to += r.n * LTI_LANES, next_run(d, &r))
        d->kern->gather(plane + pixel_of(d, r.p) * LTI_LANES, d->s.stride, to, r.n);
}

// Adds to the pixels of x that the filters read; the others stay as they are.
static void scatter_add(const conv_1x1 *d, const float *from, int64_t p, int64_t n, float *plane, const float *mask)
{
    for (run_of r = run_at(d, p, p + n); r.p < r.end; from += r.n * LTI_LANES, next_run(d, &r)) {
        const int64_t at = pixel_of(d, r.p) * LTI_LANES;
        d->kern->scatter_add(from, mask + at, plane + at, d->s.stride, r.n);
    }
}

// Pixels of x that no filter reads have no gradient.
static void scatter(const conv_1x1 *d, const float *from, int64_t p, int64_t n, float *plane)
{
    const int64_t step = d->s.stride;
    for (int64_t i = p; i < p + n; i++, from += LTI_LANES) {
        const int64_t y = i / d->s.ow * step, x = i % d->s.ow * step;
        const int64_t rows = smaller(step, d->s.h - y), columns = smaller(step, d->s.w - x);
        float *to = plane + (y * d->s.w + x) * LTI_LANES;
        for (int64_t r = 0; r < rows; r++, to += d->s.w * LTI_LANES)
            for (int64_t c = 0; c < columns; c++)
                memset(to + c * LTI_LANES, 0, LTI_LANES * sizeof *to);
        memcpy(plane + (y * d->s.w + x) * LTI_LANES, from, LTI_LANES * sizeof *to);
    }
}

// One image. v: room for the pixels of a product, m: for what it makes.
static void one_image(const conv_1x1 *d, const float *from, const float *u, float *to, const float *mask, float *v,
                      float *m)
{
    const bool dx = d->s.pass == LTI_CONV_DX, strided = d->s.stride > 1;
    const lti_wino_kern *kern = d->kern->wino;
    const int64_t read = (dx ? d->px : d->x_px) * LTI_LANES, made = (dx ? d->x_px : d->px) * LTI_LANES;
    const int64_t groups = (d->px + kern->rows - 1) / kern->rows, columns = d->out_b * LTI_LANES;
    for (int64_t g = 0; g < groups; g++) {
        const int64_t p = d->px * g / groups, n = d->px * (g + 1) / groups - p;
        const float *rows = from + p * LTI_LANES;
        int64_t stride = read;
        if (strided && !dx) {
            for (int64_t b = 0; b < d->in_b; b++) {
                fetch_pixels(d, p + AHEAD, p + n + AHEAD, from + b * read);
                gather_pixels(d, from + b * read, p, n, v + b * n * LTI_LANES);
            }
            rows = v;
            stride = n * LTI_LANES;
        }
        for (int64_t k = 0; k < columns; k += kern->width) {
            const int n_columns = (int)smaller(kern->width, columns - k);
            const bool whole = !strided || !dx; // no gaps between the pixels that are written
            float *plane = to + k / LTI_LANES * made;
            const lti_wino_product product = {
                .v = rows,
                .u = u + k * d->in_b * LTI_LANES,
                .m = whole ? plane + p * LTI_LANES : m,
                .in_tiles_blocks = d->in_b,
                .in_tiles_stride = stride,
                .products_stride = whole ? made : n * LTI_LANES,
                .times = 1,
                .rows = (int)n,
                .n = n_columns,
            };
            if (whole) {
                kern->multiply(&product);
                continue;
            }
            for (int b = 0; mask && b < n_columns / LTI_LANES; b++) {
                fetch_pixels(d, p + AHEAD, p + n + AHEAD, plane + b * made);
                fetch_pixels(d, p + AHEAD, p + n + AHEAD, mask + (k / LTI_LANES + b) * made);
            }
            kern->multiply(&product);
            for (int b = 0; b < n_columns / LTI_LANES; b++)
                if (mask)
                    scatter_add(d, m + b * n * LTI_LANES, p, n, plane + b * made, mask + (k / LTI_LANES + b) * made);
                else
                    scatter(d, m + b * n * LTI_LANES, p, n, plane + b * made);
        }
    }
}

static lt_status run_1x1(const lt_kernel *k, void *const *arg, void *scratch)
{
    const conv_1x1 *d = k->data;
    const bool dx = d->s.pass == LTI_CONV_DX;
    const float *from = arg[0];
    const float *mask = d->s.mask ? arg[2] : NULL, *residual = d->s.residual ? arg[3] : NULL;
    float *to = arg[residual ? 4 : 2], *all = lti_shared_scratch(k, scratch);
    const int64_t read = d->in_b * (dx ? d->px : d->x_px) * LTI_LANES;
    const int64_t made = d->out_b * (dx ? d->x_px : d->px) * LTI_LANES;
    lti_work_partition images;
    lti_work_partition_init(&images, d->s.n, d->n_threads);
    if (!d->own_filter)
        fill_filter(d, arg[1], all);
#pragma omp parallel num_threads(d->n_threads)
    for (int64_t i, n = 0; lti_work_partition_next(&images, false, &i); n++) {
        float *own = lti_thread_scratch(k, lti_thread(), scratch), *v = own + d->own_at;
        if (d->own_filter && n == 0)
            fill_filter(d, arg[1], own);
        if (residual && residual != to)
            memcpy(to + i * made, residual + i * made, (size_t)made * sizeof *to);
        one_image(d, from + i * read, d->own_filter ? own : all, to + i * made, mask ? mask + i * made : NULL, v,
                  v + d->in_b * LTI_LANES * d->kern->wino->rows);
    }
    return LT_OK;
}

// ---- the gradient of the filter: u[channel of x][channel of y], for each chunk
static float *sums_of(const lt_kernel *k, int64_t chunk, void *scratch)
{
    const conv_1x1 *d = k->data; // in the piece of the thread whose share it is
    const int64_t owner = lti_work_partition_owner(chunk, d->chunks, d->n_threads);
    const int64_t first = d->chunks * owner / d->n_threads;
    return lti_thread_scratch(k, owner, scratch) + d->own_at + (size_t)(chunk - first) * d->filter_floats;
}

// Images begin..end are added to the sums, or are the first. v: room for rows of both tensors.
static void add_images(const conv_1x1 *d, const float *x, const float *dy, int64_t begin, int64_t end, bool first,
                       float *v, float *u)
{
    const int64_t rows = (end - begin) * d->px, columns = d->out_b * LTI_LANES;
    const int64_t x_plane = d->x_px * LTI_LANES, y_plane = d->px * LTI_LANES;
    float *e = v + d->in_b * d->images * y_plane;
    const float *of_y = e;
    int64_t y_stride = rows * LTI_LANES;
    for (int64_t b = 0; b < d->in_b; b++)
        for (int64_t i = begin; i < end; i++)
            gather_pixels(d, x + (i * d->in_b + b) * x_plane, 0, d->px, v + (b * (end - begin) + i - begin) * y_plane);
    if (d->images == 1) { // already in that layout
        of_y = dy + begin * d->out_b * y_plane;
        y_stride = y_plane;
    } else
        for (int64_t b = 0; b < d->out_b; b++)
            for (int64_t i = begin; i < end; i++)
                memcpy(e + (b * (end - begin) + i - begin) * y_plane, dy + (i * d->out_b + b) * y_plane,
                       (size_t)y_plane * sizeof *e);
    for (int64_t r = 0; r < rows; r += SUM_ROWS)
        for (int64_t b = 0; b < d->in_b; b++)
            for (int64_t k = 0; k < columns; k += d->kern->wino->width)
                d->kern->wino->accumulate(v + (b * rows + r) * LTI_LANES,
                                          of_y + k / LTI_LANES * y_stride + r * LTI_LANES,
                                          u + b * LTI_LANES * columns + k, smaller(SUM_ROWS, rows - r), y_stride,
                                          columns, (int)smaller(d->kern->wino->width, columns - k), first && r == 0);
}

// Adds the sums of the chunks in order: 16 channels of x and 16 of y, which begin at `at`.
static void store(const conv_1x1 *d, float *const *u, int64_t at, int64_t c, int64_t k, float *dw)
{
    const int64_t columns = d->out_b * LTI_LANES, n_in = smaller(LTI_LANES, d->in - c);
    float t[LTI_LANES * LTI_LANES];
    for (int64_t i = 0; i < n_in; i++) {
        memcpy(t + i * LTI_LANES, u[0] + at + i * columns, LTI_LANES * sizeof *t);
        for (int64_t s = 1; s < d->chunks; s++)
            for (int l = 0; l < LTI_LANES; l++)
                t[i * LTI_LANES + l] += u[s][at + i * columns + l];
    }
    d->kern->to_plain(t, dw + k * d->in + c, d->in, n_in, (int)smaller(LTI_LANES, d->out - k));
}

static lt_status dw_run(const lt_kernel *k, void *const *arg, void *scratch)
{
    const conv_1x1 *d = k->data;
    const int64_t n_blocks = (d->s.n + d->images - 1) / d->images;
    float *u[CHUNKS];
    for (int64_t c = 0; c < d->chunks; c++)
        u[c] = sums_of(k, c, scratch);
    lti_work_partition chunks;
    lti_work_partition_init(&chunks, d->chunks, d->n_threads);
#pragma omp parallel num_threads(d->n_threads)
    for (int64_t c; lti_work_partition_next(&chunks, false, &c);) {
        const int64_t first = n_blocks * c / d->chunks, end = n_blocks * (c + 1) / d->chunks;
        for (int64_t i = first; i < end; i++)
            add_images(d, arg[0], arg[1], i * d->images, smaller((i + 1) * d->images, d->s.n), i == first,
                       lti_thread_scratch(k, lti_thread(), scratch), u[c]);
    }
#pragma omp parallel for num_threads(d->n_threads) schedule(static)
    for (int64_t i = 0; i < d->in_b * d->out_b; i++) {
        const int64_t c = i / d->out_b * LTI_LANES, b = i % d->out_b * LTI_LANES;
        store(d, u, c * d->out_b * LTI_LANES + b, c, b, arg[2]);
    }
    return LT_OK;
}

// ---- making one
bool lti_conv_1x1_fits(const lti_dn *dn, const lti_conv_shape *s)
{
    return s->r == 1 && s->s == 1 && s->pad == 0 && s->x_layout == LT_LAYOUT_BLOCKED16 &&
           s->y_layout == LT_LAYOUT_BLOCKED16 && !s->bias && !s->relu && s->oh * s->ow >= dn->kern->wino->least_rows;
}

bool lti_conv_1x1_applies_epilogue(const lti_dn *dn, const lti_conv_shape *s)
{
    return lti_conv_1x1_fits(dn, s) && s->pass == LTI_CONV_DX && s->stride > 1 && s->masked;
}

static void plan_dw(conv_1x1 *d, lt_kernel *k)
{
    const int64_t at_once = SUM_ROWS / d->px, fit = CHUNK_BYTES / ((int64_t)d->filter_floats * (int64_t)sizeof(float));
    d->images = at_once > 1 ? at_once : 1;
    const int64_t n_blocks = (d->s.n + d->images - 1) / d->images;
    d->chunks = smaller(CHUNKS, fit < MIN_CHUNKS ? MIN_CHUNKS : fit);
    d->chunks = smaller(d->chunks, n_blocks);
    d->own_at = (size_t)((d->in_b + (d->images > 1 ? d->out_b : 0)) * d->images * d->px * LTI_LANES);
    const size_t sums = (size_t)((d->chunks + d->n_threads - 1) / d->n_threads) * d->filter_floats;
    k->run = dw_run;
    lti_plan_scratch(k, d->n_threads, d->own_at + sums, 0);
}

static void plan_products(conv_1x1 *d, lt_kernel *k)
{
    const size_t rows = (size_t)(d->in_b * LTI_LANES + d->kern->wino->width) * (size_t)d->kern->wino->rows;
    k->in_place = d->s.residual ? 1u << 3 : 0;
    d->own_filter = d->n_threads <= LTI_PRIVATE_COPY_MAX_THREADS;
    d->own_at = d->own_filter ? d->filter_floats : 0;
    k->run = run_1x1;
    lti_plan_scratch(k, d->n_threads, d->own_at + rows, d->own_filter ? 0 : d->filter_floats);
}

static void destroy(lt_kernel *k)
{
    lti_free(k->data);
}

lt_status lti_conv_1x1_make(const lti_dn *dn, const lti_conv_shape *s, lt_kernel *k)
{
    conv_1x1 *d = lti_calloc(1, sizeof *d);
    if (!d)
        return LTI_NOMEM("convolution");
    const bool dx = s->pass == LTI_CONV_DX;
    *d = (conv_1x1){
        .kern = dn->kern,
        .n_threads = dn->n_threads,
        .s = *s,
        .in = dx ? s->k : s->c,
        .out = dx ? s->c : s->k,
        .x_px = s->h * s->w,
        .px = s->oh * s->ow,
    };
    d->in_b = (d->in + LTI_LANES - 1) / LTI_LANES;
    d->out_b = (d->out + LTI_LANES - 1) / LTI_LANES;
    d->filter_floats = (size_t)(d->in_b * d->out_b * LTI_LANES * LTI_LANES);
    k->data = d;
    k->destroy = destroy;
    if (s->pass == LTI_CONV_DW)
        plan_dw(d, k);
    else
        plan_products(d, k);
    return LT_OK;
}
