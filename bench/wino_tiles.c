// wino_tiles.c - the inner loops of our Winograd convolution by themselves, on data of the first two caches: the
// matrix products of both kinds and the transforms of a tile, on one thread.
//
// usage: wino_tiles
// Processor time, least of many runs. What a convolution falls short of these rates is lost to memory.
#include "backend/onednn/wino.h"
#include "base/base.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

// STRIDE: floats from one point to the next; PLANE: pixels a side.
enum { RUNS = 300, TILES = 36, TURNS = 20, STRIDE = 1040, PLANE = 32 };

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static float *numbers(size_t n)
{
    float *p = lti_aligned_alloc(64, n * sizeof *p);
    if (!p)
        exit(7);
    for (size_t i = 0; i < n; i++)
        p[i] = (float)((uint32_t)i * 2654435761u >> 24) * (1.0f / 256) - 0.5f;
    return p;
}

// rows tiles of C channels times the filters of one panel, several panels in turns.
static void products(const lti_wino_kern *k, int c)
{
    enum { PANELS = 4, CALLS = 64 };
    const int64_t depth = c, panel = depth * k->width;
    float *v = numbers((size_t)(k->rows * depth)), *u = numbers((size_t)(PANELS * panel));
    float *m = numbers((size_t)(k->rows * k->width));
    double best = 1e9;
    for (int r = 0; r < RUNS; r++) {
        const double start = now();
        for (int i = 0; i < CALLS; i++)
            k->multiply(&(lti_wino_product){
                .v = v,
                .u = u + i % PANELS * panel,
                .m = m,
                .in_tiles_blocks = c / LTI_LANES,
                .in_tiles_stride = k->rows * LTI_LANES,
                .products_stride = k->rows * LTI_LANES,
                .times = 1,
                .rows = k->rows,
                .n = k->width,
            });
        const double t = now() - start;
        best = t < best ? t : best;
    }
    printf("products, %3d channels        %7.1f GFLOP/s\n", c, 2e-9 * k->rows * (double)panel * CALLS / best);
    lti_free(v);
    lti_free(u);
    lti_free(m);
}

static void sums(const lti_wino_kern *k, int tiles)
{
    enum { WORK = 16384 };
    float *v = numbers((size_t)tiles * LTI_LANES), *d = numbers((size_t)tiles * (size_t)k->width);
    float *u = numbers((size_t)(LTI_LANES * k->width));
    double best = 1e9;
    for (int r = 0; r < RUNS; r++) {
        const double start = now();
        for (int i = 0; i < WORK / tiles; i++)
            k->accumulate(v, d, u, tiles, (int64_t)tiles * LTI_LANES, k->width, k->width, false);
        const double t = now() - start;
        best = t < best ? t : best;
    }
    printf("filter gradients, %3d tiles   %7.1f GFLOP/s\n", tiles,
           2e-9 * LTI_LANES * k->width * (double)(WORK / tiles * tiles) / best);
    lti_free(v);
    lti_free(d);
    lti_free(u);
}

typedef struct planes {
    float *x, *v, *y;
    int side, first; // of the map; of the first tile: -1 = the border is padding
} planes;

typedef void transform(const lti_wino_form *f, const planes *p, const lti_wino_patch *at, int i);

static void input(const lti_wino_form *f, const planes *p, const lti_wino_patch *at, int i)
{
    f->input(p->x, at, p->v + i * LTI_LANES, STRIDE);
}

static void gradient(const lti_wino_form *f, const planes *p, const lti_wino_patch *at, int i)
{
    f->gradient(p->x, at, p->v + i * LTI_LANES, STRIDE);
}

static void output(const lti_wino_form *f, const planes *p, const lti_wino_patch *at, int i)
{
    const lti_wino_epilogue nothing = {0};
    lti_wino_patch from = *at;
    from.y -= p->first;
    from.x -= p->first;
    f->output(p->v + i * LTI_LANES, STRIDE, p->y, &from, &nothing);
}

static void filter(const lti_wino_form *f, const planes *p, const lti_wino_patch *at, int i)
{
    static const int tap[9] = {0, 1, 2, 3, 4, 5, 6, 7, 8};
    (void)at;
    f->filter(p->x + i * 9 * LTI_LANES, tap, p->v + i * LTI_LANES, STRIDE);
}

static void time_transform(const lti_wino_kern *k, const char *name, transform *run, const planes *p)
{
    const int64_t end = p->first + (p->side / LTI_WINO_OUT - (p->first > 0)) * LTI_WINO_OUT; // of tiles inside
    double best = 1e9;
    for (int r = 0; r < RUNS; r++) {
        const double start = now();
        lti_wino_patch at = {p->side, p->side, p->first, p->first, 1};
        for (int i = 0; i < TILES * TURNS; i++) {
            run(&k->form[LTI_WINO_3X3], p, &at, i % TILES);
            at.x += LTI_WINO_OUT;
            if (at.x == end) {
                at.x = p->first;
                at.y = at.y + LTI_WINO_OUT == end ? p->first : at.y + LTI_WINO_OUT;
            }
        }
        const double t = now() - start;
        best = t < best ? t : best;
    }
    printf("%-30s%7.1f ns a tile of 16 channels\n", name, 1e9 * best / (TILES * TURNS));
}

int main(void)
{
    const lti_wino_kern *k = lti_kern_best()->wino;
    const size_t plane = PLANE * PLANE * LTI_LANES;
    planes p = {numbers(plane), numbers((size_t)LTI_WINO_MAX_POINTS * STRIDE), numbers(plane), PLANE, 1};
    printf("%s\n", k->isa);
    for (int c = 64; c <= 512; c *= 2)
        products(k, c);
    for (int tiles = 32; tiles <= 512; tiles *= 2)
        sums(k, tiles);
    time_transform(k, "input", input, &p);
    time_transform(k, "output", output, &p);
    time_transform(k, "output gradient", gradient, &p);
    time_transform(k, "filter", filter, &p);
    p.side = 8;
    p.first = -1;
    time_transform(k, "input at the border", input, &p);
    lti_free(p.x);
    lti_free(p.v);
    lti_free(p.y);
    return 0;
}
