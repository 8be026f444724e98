// conv_batch_split.c - a convolution of oneDNN whose bits do not depend on the number of threads.
//
// oneDNN divides the sum of a weight gradient among its threads, and it may choose its blocks by their number. Here
// the batch is cut into parts, a function of the shape alone; each part is a kernel that was described for one thread
// and runs on one, and threads share out the parts. Forward and gradient of the input: the images of a part are its
// own. Gradient of the filter: every part makes its own sum, and these are added in the order of the batch.
#include "backend/onednn/onednn_impl.h"
#include "backend/onednn/work_partition.h"
#include "base/base.h"
#include <stdio.h>

enum {
    MOST_PARTS = 16,      // more threads than that find nothing to do
    LEAST_PARTS = 4,      // of a filter gradient, however large
    SUM_BYTES = 16 << 20, // of partial sums
    ADD_FLOATS = 4096,    // added at a time, so that the sum stays in the first-level cache
};

typedef struct parts {
    const lti_kern *kern;
    int n_threads;
    lti_conv_pass pass;
    bool bias;
    int64_t n, part, n_parts;     // images, images of a part, parts
    int64_t x_image, y_image;     // floats of an image in memory
    int64_t filter;               // floats
    size_t sums_at, thread_bytes; // in scratch: a piece for each thread, then the sums of all parts but the first
    size_t rest_at;               // in prepared memory: weights for the last part
    lt_kernel (*kernel)[2];       // (threads): one for parts of full size and one for a smaller last part
} parts;

static bool is_rest(const parts *d, int64_t i)
{
    return (i + 1) * d->part > d->n;
}

static size_t aligned(size_t bytes)
{
    return (bytes + 63) & ~(size_t)63;
}

static lt_status run_part(const parts *d, int64_t i, void *const *arg, float *sums, char *own_scratch, char *prepared)
{
    lt_kernel *k = &d->kernel[lti_thread()][is_rest(d, i)];
    const int64_t first = i * d->part;
    const int out = d->bias ? 3 : 2;
    void *own[4] = {arg[0], arg[1], arg[2], arg[out]};
    own[0] = (float *)arg[0] + first * (d->pass == LTI_CONV_DX ? d->y_image : d->x_image);
    if (d->pass == LTI_CONV_DW) {
        own[1] = (float *)arg[1] + first * d->y_image;
        own[2] = i == 0 ? arg[2] : sums + (i - 1) * d->filter;
    } else {
        own[out] = (float *)arg[out] + first * (d->pass == LTI_CONV_DX ? d->x_image : d->y_image);
    }
    k->prepared = prepared + (is_rest(d, i) ? d->rest_at : 0);
    return k->run(k, own, own_scratch);
}

static void add_sums(const parts *d, const float *sums, float *dw)
{
#pragma omp parallel for num_threads(d->n_threads) schedule(static)
    for (int64_t at = 0; at < d->filter; at += ADD_FLOATS) {
        const int64_t n = d->filter - at < ADD_FLOATS ? d->filter - at : ADD_FLOATS;
        for (int64_t i = 0; i + 1 < d->n_parts; i++)
            d->kern->add(dw + at, sums + i * d->filter + at, dw + at, n, 1.0f, false);
    }
}

static lt_status run_batch_split(const lt_kernel *k, void *const *arg, void *scratch)
{
    const parts *d = k->data;
    float *sums = (float *)((char *)scratch + d->sums_at);
    int failed = 0;
#pragma omp parallel for num_threads(d->n_threads) schedule(dynamic, 1) reduction(| : failed)
    for (int64_t i = 0; i < d->n_parts; i++)
        failed |=
            run_part(d, i, arg, sums, (char *)scratch + (size_t)lti_thread() * d->thread_bytes, k->prepared) != LT_OK;
    if (failed) // what happened is recorded in the thread where it did
        return LT_FAIL(LT_E_FAIL, "oneDNN: a part of a convolution could not be computed (%s)", k->impl);
    if (d->pass == LTI_CONV_DW)
        add_sums(d, sums, arg[2]);
    return LT_OK;
}

static lt_status prepare(const lt_kernel *k, void *const *arg, void *prepared)
{
    const parts *d = k->data;
    for (int rest = 0; rest < 2; rest++) {
        lt_kernel *one = &d->kernel[0][rest];
        if (one->prepare)
            LT_TRY(one->prepare(one, arg, (char *)prepared + (rest ? d->rest_at : 0)));
    }
    return LT_OK;
}

static void destroy(lt_kernel *k)
{
    parts *d = k->data;
    if (!d)
        return;
    for (int i = 0; d->kernel && i < 2 * d->n_threads; i++)
        if (d->kernel[i / 2][i % 2].destroy)
            d->kernel[i / 2][i % 2].destroy(&d->kernel[i / 2][i % 2]);
    lti_free(d->kernel);
    lti_free(d);
    k->data = NULL;
}

// ---- making one
static int64_t floats(lt_layout layout, int64_t c, int64_t px)
{
    return (layout == LT_LAYOUT_BLOCKED16 ? (c + LTI_LANES - 1) / LTI_LANES * LTI_LANES : c) * px;
}

static int64_t most_parts(const parts *d)
{
    const int64_t fit = SUM_BYTES / (d->filter * (int64_t)sizeof(float));
    if (d->pass != LTI_CONV_DW || fit > MOST_PARTS)
        return MOST_PARTS;
    return fit < LEAST_PARTS ? LEAST_PARTS : fit;
}

// The kernels of all threads for parts of n images, by the fixed rule. *first: what was chosen.
static lt_status make_kernels(const lti_dn *one, lti_conv_shape shape, int64_t n, int rest, parts *d,
                              lti_choice *choice)
{
    shape.n = n;
    const lt_status status = lti_conv_select(one, &shape, false, choice);
    if (status != LT_OK)
        return status;
    for (int t = 0; t < d->n_threads; t++)
        LT_TRY(lti_conv_make(one, &shape, choice, &d->kernel[t][rest]));
    return LT_OK;
}

static lt_status fill(const lti_dn *one, const lti_conv_shape *s, parts *d, lt_kernel *k, lti_choice *choice)
{
    lti_choice of_rest;
    lt_status status = make_kernels(one, *s, d->part, 0, d, choice);
    if (status == LT_OK && d->n % d->part)
        status = make_kernels(one, *s, d->n % d->part, 1, d, &of_rest);
    if (status != LT_OK)
        return status;
    const lt_kernel *full = &d->kernel[0][0], *rest = &d->kernel[0][1];
    const size_t most = full->scratch_bytes > rest->scratch_bytes ? full->scratch_bytes : rest->scratch_bytes;
    d->thread_bytes = aligned(most);
    d->sums_at = d->thread_bytes * (size_t)d->n_threads;
    k->scratch_bytes = d->sums_at;
    if (d->pass == LTI_CONV_DW)
        k->scratch_bytes += (size_t)((d->n_parts - 1) * d->filter) * sizeof(float);
    d->rest_at = aligned(full->prepared_bytes);
    k->prepared_bytes = d->rest_at + rest->prepared_bytes;
    k->prepare = full->prepare || rest->prepare ? prepare : NULL;
    return LT_OK;
}

lt_status lti_batch_split_make(const lti_dn *one, int n_threads, const lti_conv_shape *s, lt_kernel *k,
                               lti_choice *choice)
{
    parts *d = lti_calloc(1, sizeof *d);
    if (!d)
        return LTI_NOMEM("convolution");
    *d = (parts){
        .kern = one->kern,
        .pass = s->pass,
        .bias = s->bias,
        .n = s->n,
        .x_image = floats(s->x_layout, s->c, s->h * s->w),
        .y_image = floats(s->y_layout, s->k, s->oh * s->ow),
        .filter = s->k * s->c * s->r * s->s,
    };
    d->part = (d->n + most_parts(d) - 1) / most_parts(d);
    d->n_parts = (d->n + d->part - 1) / d->part;
    d->n_threads = n_threads < d->n_parts ? n_threads : (int)d->n_parts;
    d->kernel = lti_calloc((size_t)d->n_threads, sizeof *d->kernel);
    k->data = d;
    k->destroy = destroy;
    k->run = run_batch_split;
    const lt_status status = d->kernel ? fill(one, s, d, k, choice) : LTI_NOMEM("convolution");
    if (status != LT_OK)
        destroy(k);
    return status;
}
