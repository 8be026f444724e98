// attack_batch_device.c - the rows that search, on a device: (batch,C,H,W) of clean images and of where they have got
// to.
//
// Row r holds the sample of slot r. What leaves is gathered, copied down in one piece and put into the samples after
// the next wait; the rest is gathered into a second pair of buffers, in the slots' order, so what runs is always the
// front. One wait a step: for what was seen. Host memory that copies read is not written before the wait after them.
#include "graph/backend.h"
#include "attack/attack_batch.h"
#include <string.h>

typedef struct lti_attack_batch_device {
    lt_backend *b;
    void *device_memory, *host_memory; // all below, each as one piece
    int64_t n;                         // rows on the device: slots 0..n-1
    // on the device
    float *x, *image, *other_x, *other_image, *out; // (batch,d)
    double *part;                                   // (batch,LTI_L2_BALL_PARTS)
    lti_row_stats *stats;                           // (batch)
    lti_row_step *move;                             // (batch)
    int32_t *index;                                 // (N_LISTS,batch)
    // memory that copies fast
    float *up_x, *up_image, *down; // (batch,d) on their way
    lti_row_stats *down_stats;     // (batch)
    lti_row_step *up_move;         // (batch)
    int32_t *up_index;             // (N_LISTS,batch) of rows: for the plan, to leave, to stay
    float **sample;                // (batch) where the rows in `down` go, n_down of them
    int64_t n_down;
} lti_attack_batch_device;

enum { LOADED, RETIRED, KEPT, N_LISTS };

static const lt_device_ops *ops(const lti_attack_batch_device *t)
{
    return t->b->ops->device;
}

// ---- memory

enum { ALIGN = 256 };

// The next `bytes` of a piece of memory; base NULL: only counts.
static void *carve_buffer(char *base, size_t *used, size_t bytes)
{
    void *p = base ? base + *used : NULL;
    *used += (bytes + ALIGN - 1) / ALIGN * ALIGN;
    return p;
}

static size_t layout_device(const lti_attack_batch *st, lti_attack_batch_device *t, char *base)
{
    const size_t n = (size_t)st->batch, images = n * (size_t)st->d * sizeof(float);
    size_t used = 0;
    t->x = carve_buffer(base, &used, images);
    t->image = carve_buffer(base, &used, images);
    t->other_x = carve_buffer(base, &used, images);
    t->other_image = carve_buffer(base, &used, images);
    t->out = carve_buffer(base, &used, images);
    t->part = carve_buffer(base, &used, n * LTI_L2_BALL_PARTS * sizeof *t->part);
    t->stats = carve_buffer(base, &used, n * sizeof *t->stats);
    t->move = carve_buffer(base, &used, n * sizeof *t->move);
    t->index = carve_buffer(base, &used, N_LISTS * n * sizeof *t->index);
    return used;
}

static size_t layout_host(const lti_attack_batch *st, lti_attack_batch_device *t, char *base)
{
    const size_t n = (size_t)st->batch, images = n * (size_t)st->d * sizeof(float);
    size_t used = 0;
    t->up_x = carve_buffer(base, &used, images);
    t->up_image = carve_buffer(base, &used, images);
    t->down = carve_buffer(base, &used, images);
    t->down_stats = carve_buffer(base, &used, n * sizeof *t->down_stats);
    t->up_move = carve_buffer(base, &used, n * sizeof *t->up_move);
    t->up_index = carve_buffer(base, &used, N_LISTS * n * sizeof *t->up_index);
    t->sample = carve_buffer(base, &used, n * sizeof *t->sample);
    return used;
}

static lt_status allocate_buffers(lti_attack_batch *st)
{
    lti_attack_batch_device *t = st->device;
    LT_TRY(ops(t)->alloc(t->b, layout_device(st, t, NULL), &t->device_memory));
    LT_TRY(ops(t)->host_alloc(t->b, layout_host(st, t, NULL), &t->host_memory));
    layout_device(st, t, t->device_memory);
    layout_host(st, t, t->host_memory);
    return LT_OK;
}

lt_status lti_attack_batch_device_init(lti_attack_batch *st, lt_backend *b)
{
    st->device = lti_calloc(1, sizeof *st->device);
    if (!st->device)
        return LTI_NOMEM("attack");
    st->device->b = b;
    st->grad->on_device = true;
    pthread_mutex_lock(&b->device_lock);
    const lt_status status = allocate_buffers(st);
    pthread_mutex_unlock(&b->device_lock);
    return status;
}

void lti_attack_batch_device_clear(lti_attack_batch *st)
{
    lti_attack_batch_device *t = st->device;
    if (!t)
        return;
    const lt_error why = *lt_error_get();
    pthread_mutex_lock(&t->b->device_lock);
    if (ops(t)->sync(t->b) != LT_OK) // copies may be under way; what failed was said where it happened
        lt_error_restore(&why);
    ops(t)->release(t->b, t->device_memory);
    ops(t)->host_release(t->b, t->host_memory);
    pthread_mutex_unlock(&t->b->device_lock);
    lti_free(t);
    st->device = NULL;
}

// ---- samples that come and go; the lock is held

// Waits, and puts what came down into the set.
static lt_status receive_rows(lti_attack_batch *st)
{
    lti_attack_batch_device *t = st->device;
    const size_t d = (size_t)st->d;
    LT_TRY(ops(t)->sync(t->b));
    for (int64_t r = 0; r < t->n_down; r++)
        memcpy(t->sample[r], t->down + (size_t)r * d, d * sizeof *t->down);
    t->n_down = 0;
    return LT_OK;
}

// Rows t->n..n-1 are filled.
static lt_status send_rows(lti_attack_batch *st, int64_t n)
{
    lti_attack_batch_device *t = st->device;
    const size_t d = (size_t)st->d, first = (size_t)t->n * d, bytes = (size_t)(n - t->n) * d * sizeof *t->x;
    if (n <= t->n)
        return LT_OK;
    for (int64_t r = t->n; r < n; r++) {
        memcpy(t->up_x + (size_t)r * d, st->slot[r].x0, d * sizeof *t->up_x);
        memcpy(t->up_image + (size_t)r * d, st->slot[r].x, d * sizeof *t->up_image);
    }
    LT_TRY(ops(t)->upload(t->b, t->x + first, t->up_x + first, bytes));
    LT_TRY(ops(t)->upload(t->b, t->image + first, t->up_image + first, bytes));
    t->n = n;
    return LT_OK;
}

// to: the rows of `from` that up_index of this list names.
static lt_status gather_rows(lti_attack_batch *st, int list, int64_t n, const float *from, float *to)
{
    lti_attack_batch_device *t = st->device;
    const lt_device_rows rows = {
        .from = from, .index = t->index + list * st->batch, .n = (int32_t)n, .d = (int32_t)st->d, .to = to};
    return ops(t)->rows(t->b, &rows);
}

static lt_status upload_list(lti_attack_batch *st, int list, int64_t n)
{
    lti_attack_batch_device *t = st->device;
    const int64_t at = list * st->batch;
    return ops(t)->upload(t->b, t->index + at, t->up_index + at, (size_t)n * sizeof *t->index);
}

static lt_status queue_load(lti_attack_batch *st, int64_t from, int64_t n)
{
    lti_attack_batch_device *t = st->device;
    LT_TRY(send_rows(st, from + n));
    for (int64_t r = 0; r < st->io.size; r++)
        t->up_index[LOADED * st->batch + r] = (int32_t)(from + (r < n ? r : 0));
    LT_TRY(upload_list(st, LOADED, st->io.size));
    return gather_rows(st, LOADED, st->io.size, t->image, st->io.x);
}

// The images of the rows in the list LEAVING are on their way down.
static lt_status queue_download(lti_attack_batch *st, int64_t n)
{
    lti_attack_batch_device *t = st->device;
    for (int64_t r = 0; r < n; r++)
        t->sample[r] = st->slot[t->up_index[RETIRED * st->batch + r]].out;
    t->n_down = n;
    LT_TRY(upload_list(st, RETIRED, n));
    LT_TRY(gather_rows(st, RETIRED, n, t->image, t->out));
    return ops(t)->download(t->b, t->down, t->out, (size_t)(n * st->d) * sizeof *t->down);
}

static lt_status queue_compact(lti_attack_batch *st, int64_t n)
{
    lti_attack_batch_device *t = st->device;
    float *const x = t->x, *const image = t->image;
    LT_TRY(upload_list(st, KEPT, n));
    LT_TRY(gather_rows(st, KEPT, n, x, t->other_x));
    LT_TRY(gather_rows(st, KEPT, n, image, t->other_image));
    t->x = t->other_x;
    t->image = t->other_image;
    t->other_x = x;
    t->other_image = image;
    t->n = n;
    return LT_OK;
}

static lt_status queue_retire(lti_attack_batch *st, int64_t n, const bool *done)
{
    lti_attack_batch_device *t = st->device;
    int64_t n_out = 0, n_stay = 0;
    for (int64_t r = 0; r < t->n; r++)
        if (r < n && done[r])
            t->up_index[RETIRED * st->batch + n_out++] = (int32_t)r;
        else
            t->up_index[KEPT * st->batch + n_stay++] = (int32_t)r;
    if (n_out == 0)
        return LT_OK;
    LT_TRY(queue_download(st, n_out));
    return queue_compact(st, n_stay);
}

static lt_status write_back_all(lti_attack_batch *st)
{
    lti_attack_batch_device *t = st->device;
    LT_TRY(receive_rows(st));
    for (int64_t r = 0; r < t->n; r++)
        t->up_index[RETIRED * st->batch + r] = (int32_t)r;
    LT_TRY(queue_download(st, t->n));
    return receive_rows(st);
}

// ---- a step; the lock is held

static lt_status queue_evaluate(lti_attack_batch *st, int64_t n)
{
    lti_attack_batch_device *t = st->device;
    const lt_device_attack_eval look = {.z = st->io.logits,
                                        .g = st->io.dx,
                                        .n = (int32_t)n,
                                        .k = st->k,
                                        .d = (int32_t)st->d,
                                        .part = t->part,
                                        .stats = t->stats};
    LT_TRY(ops(t)->attack_eval(t->b, &look));
    LT_TRY(ops(t)->download(t->b, t->down_stats, t->stats, (size_t)n * sizeof *t->stats));
    LT_TRY(receive_rows(st));
    memcpy(st->stats, t->down_stats, (size_t)n * sizeof *t->stats);
    return LT_OK;
}

static lt_status queue_step(lti_attack_batch *st)
{
    lti_attack_batch_device *t = st->device;
    const int64_t n = st->n_moves;
    const lt_device_attack_step climb = {.x = t->x,
                                         .g = st->io.dx,
                                         .image = t->image,
                                         .move = t->move,
                                         .n = (int32_t)n,
                                         .d = (int32_t)st->d,
                                         .part = t->part};
    memcpy(t->up_move, st->move, (size_t)n * sizeof *t->move);
    LT_TRY(ops(t)->upload(t->b, t->move, t->up_move, (size_t)n * sizeof *t->move));
    return ops(t)->attack_step(t->b, &climb);
}

// ---- what attack_batch.c calls

static lt_status locked_end(lti_attack_batch *st, lt_status status)
{
    pthread_mutex_unlock(&st->device->b->device_lock);
    return status == LT_OK ? LT_OK : lt_error_frame(status, __FILE__, __LINE__, __func__);
}

static void locked_begin(lti_attack_batch *st)
{
    pthread_mutex_lock(&st->device->b->device_lock);
}

lt_status lti_attack_batch_device_load(lti_attack_batch *st, int64_t from, int64_t n)
{
    locked_begin(st);
    return locked_end(st, queue_load(st, from, n));
}

lt_status lti_attack_batch_device_evaluate(lti_attack_batch *st, int64_t n)
{
    locked_begin(st);
    return locked_end(st, queue_evaluate(st, n));
}

lt_status lti_attack_batch_device_step(lti_attack_batch *st)
{
    locked_begin(st);
    return locked_end(st, queue_step(st));
}

lt_status lti_attack_batch_device_reset(lti_attack_batch *st, int64_t row)
{
    lti_attack_batch_device *t = st->device;
    const size_t d = (size_t)st->d, at = (size_t)row * d;
    locked_begin(st);
    return locked_end(st, ops(t)->copy(t->b, t->image + at, t->x + at, d * sizeof *t->x));
}

lt_status lti_attack_batch_device_retire(lti_attack_batch *st, int64_t n, const bool *done)
{
    locked_begin(st);
    return locked_end(st, queue_retire(st, n, done));
}

lt_status lti_attack_batch_device_write_back(lti_attack_batch *st)
{
    locked_begin(st);
    return locked_end(st, write_back_all(st));
}
