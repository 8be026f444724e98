// stem.c - the gradient with respect to the image of a network's first convolution: few channels out, many in.
//
// An attack needs it in every step. oneDNN pads the three channels to sixteen and discards thirteen. Here every
// pixel of dy is multiplied with all taps at once, t[channel, r, s] = sum over k of dy[k] * w[k, channel, r, s] (a
// matrix product with 27 of 32 columns in use), and each plane of t is added to the image shifted by (r, s). One image
// belongs to one thread, so the order of sums is fixed.
#include "backend/onednn/onednn_impl.h"
#include "backend/onednn/work_partition.h"
#include "backend/onednn/wino.h"
#include "base/base.h"
#include <string.h>

enum { MAX_TAPS = 32, MAX_BLOCKS = MAX_TAPS / LTI_LANES };

typedef struct stem {
    const lti_kern *kern;
    int n_threads;
    lti_conv_shape s;
    int64_t k_b, taps, tap_b; // blocks of 16
    int64_t px;               // of dy
    size_t u_floats, thread_floats;
} stem;

// u[panel][k][columns]: taps as columns, panels in the layout of the matrix product.
static void turn_filter(const stem *d, const float *w, float *u)
{
    const int64_t channels = d->k_b * LTI_LANES, columns = d->tap_b * LTI_LANES, width = d->kern->wino->width;
    memset(u, 0, d->u_floats * sizeof *u);
    for (int64_t k = 0; k < d->s.k; k++)
        for (int64_t j = 0; j < d->taps; j++) {
            const int64_t first = j / width * width, n = columns - first < width ? columns - first : width;
            u[first * channels + k * n + j - first] = w[k * d->taps + j];
        }
}

// t[block][pixel][16] = dy of one image times u.
static void multiply_image(const stem *d, const float *dy, const float *u, float *t)
{
    const int64_t rows = d->kern->wino->rows, columns = d->tap_b * LTI_LANES, width = d->kern->wino->width;
    for (int64_t p = 0; p < d->px; p += rows) {
        const int64_t at = p + rows > d->px ? d->px - rows : p; // the last group overlaps the one before
        for (int64_t j = 0; j < columns; j += width) {
            const int64_t n = columns - j < width ? columns - j : width;
            d->kern->wino->multiply(&(lti_wino_product){
                .v = dy + at * LTI_LANES,
                .u = u + j * d->k_b * LTI_LANES,
                .m = t + j * d->px + at * LTI_LANES,
                .in_tiles_blocks = d->k_b,
                .in_tiles_stride = d->px * LTI_LANES,
                .products_stride = d->px * LTI_LANES,
                .times = 1,
                .rows = (int)rows,
                .n = (int)n,
            });
        }
    }
}

// dx[c][h + r - pad][w + s - pad] += plane[c, r, s][h][w]
static void add_shifted(const stem *d, const float *plane, int64_t r, int64_t s, float *dx)
{
    const int64_t dh = r - d->s.pad, dw = s - d->s.pad;
    const int64_t w0 = dw < 0 ? -dw : 0, w1 = d->s.w - dw < d->s.ow ? d->s.w - dw : d->s.ow;
    for (int64_t h = dh < 0 ? -dh : 0; h < d->s.oh && h + dh < d->s.h && w1 > w0; h++) {
        float *to = dx + (h + dh) * d->s.w + w0 + dw;
        const float *from = plane + h * d->s.ow + w0;
        d->kern->add(to, from, to, w1 - w0, 1.0f, false);
    }
}

static void one_image(const stem *d, const float *dy, const float *u, float *t, float *dx)
{
    float *plane = t + d->tap_b * LTI_LANES * d->px;
    multiply_image(d, dy, u, t);
    memset(dx, 0, (size_t)(d->s.c * d->s.h * d->s.w) * sizeof *dx);
    for (int64_t b = 0; b < d->tap_b; b++) {
        const int64_t n = d->taps - b * LTI_LANES < LTI_LANES ? d->taps - b * LTI_LANES : LTI_LANES;
        d->kern->to_plain(t + b * LTI_LANES * d->px, plane, d->px, d->px, (int)n);
        for (int64_t l = 0; l < n; l++) {
            const int64_t tap = b * LTI_LANES + l, c = tap / (d->s.r * d->s.s), rs = tap % (d->s.r * d->s.s);
            add_shifted(d, plane + l * d->px, rs / d->s.s, rs % d->s.s, dx + c * d->s.h * d->s.w);
        }
    }
}

static lt_status run_stem(const lt_kernel *k, void *const *arg, void *scratch)
{
    const stem *d = k->data;
    const float *dy = arg[0];
    float *dx = arg[2], *u = scratch;
    turn_filter(d, arg[1], u);
#pragma omp parallel for num_threads(d->n_threads) schedule(static)
    for (int64_t i = 0; i < d->s.n; i++)
        one_image(d, dy + i * d->k_b * d->px * LTI_LANES, u, u + d->u_floats + (size_t)lti_thread() * d->thread_floats,
                  dx + i * d->s.c * d->s.h * d->s.w);
    return LT_OK;
}

static void destroy(lt_kernel *k)
{
    lti_free(k->data);
}

bool lti_stem_fits(const lti_dn *dn, const lti_conv_shape *s)
{
    return s->pass == LTI_CONV_DX && s->stride == 1 && s->dilation == 1 && s->x_layout == LT_LAYOUT_PLAIN &&
           s->y_layout == LT_LAYOUT_BLOCKED16 && s->c * s->r * s->s <= MAX_TAPS &&
           s->oh * s->ow >= dn->kern->wino->rows;
}

lt_status lti_stem_make(const lti_dn *dn, const lti_conv_shape *s, lt_kernel *k)
{
    stem *d = lti_calloc(1, sizeof *d);
    if (!d)
        return LTI_NOMEM("convolution");
    d->kern = dn->kern;
    d->n_threads = dn->n_threads;
    d->s = *s;
    d->k_b = (s->k + LTI_LANES - 1) / LTI_LANES;
    d->taps = s->c * s->r * s->s;
    d->tap_b = (d->taps + LTI_LANES - 1) / LTI_LANES;
    d->px = s->oh * s->ow;
    d->u_floats = (size_t)(d->k_b * LTI_LANES * d->tap_b * LTI_LANES);
    d->thread_floats = (size_t)((d->tap_b + 1) * LTI_LANES * d->px);
    k->data = d;
    k->destroy = destroy;
    k->run = run_stem;
    k->scratch_bytes = (d->u_floats + d->thread_floats * (size_t)d->n_threads) * sizeof(float);
    return LT_OK;
}
