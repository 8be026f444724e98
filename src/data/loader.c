// loader.c - batches in order, made ahead of time by a few threads.
//
// A ring of preallocated batches. Under one lock, workers claim the next batch number, fill its slot outside the lock
// and mark it; the caller takes batches strictly in order. A slot is claimed again only after the caller has given it
// back, by asking for the next batch. What a batch holds is a pure function of its number (batch.c), so the number of
// threads and their timing cannot show in the result, and an epoch can be entered at any batch.
#include "data_impl.h"
#include <pthread.h>
#include <signal.h>
#include <string.h>

enum { MAX_THREADS = 256 };

typedef struct slot {
    lt_batch batch;
    int64_t holds; // number of the finished batch in it, -1 = none
} slot;

struct lt_loader {
    lti_batch_source src; // owns its views and starts
    int64_t n, batch, n_batches;
    int rank, n_ranks; // n_ranks at least 1
    int64_t *order;    // (n) positions in this epoch's order; NULL = as they come
    uint64_t seed;
    uint32_t phase;
    slot *slots;
    int n_slots;
    lt_batch end; // n = 0
    bool started;

    pthread_mutex_t lock;                     // all below, and the slots' `holds`
    pthread_cond_t work;                      // a batch may be claimed, or quit
    pthread_cond_t done;                      // a batch is finished, or a worker became idle
    int64_t next_make, next_take, n_released; // batches below n_released are given back
    int n_busy;
    bool quit;
    pthread_t *thread;
    int n_threads;
};

static void make_batch(lt_loader *l, int64_t b, slot *s)
{
    const int64_t begin = b * l->batch, n = l->n - begin < l->batch ? l->n - begin : l->batch;
    const int64_t first = begin + n * l->rank / l->n_ranks;
    lti_batch_fill(&l->src, l->order ? l->order + first : NULL, first, lt_batch_share(n, l->rank, l->n_ranks),
                   &s->batch);
    s->batch.n_all = n;
}

int64_t lt_batch_share(int64_t n, int rank, int n_ranks)
{
    return n_ranks <= 1 ? n : n * (rank + 1) / n_ranks - n * rank / n_ranks;
}

static void *worker(void *arg)
{
    lt_loader *l = arg;
    pthread_mutex_lock(&l->lock);
    for (;;) {
        while (!l->quit && !(l->next_make < l->n_batches && l->next_make < l->n_released + l->n_slots))
            pthread_cond_wait(&l->work, &l->lock);
        if (l->quit)
            break;
        int64_t b = l->next_make++;
        slot *s = &l->slots[b % l->n_slots];
        s->holds = -1;
        l->n_busy++;
        pthread_mutex_unlock(&l->lock);
        make_batch(l, b, s);
        pthread_mutex_lock(&l->lock);
        s->holds = b;
        l->n_busy--;
        pthread_cond_broadcast(&l->done);
    }
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

static lt_status batch_alloc(const lt_loader *l, lt_batch *b)
{
    size_t n = (size_t)l->batch, len = (size_t)l->src.c * (size_t)l->src.h * (size_t)l->src.w, bytes;
    if (lti_mul_size(n, len * sizeof *b->x, &bytes))
        return LT_FAIL(LT_E_USAGE, "a batch of %lld images does not fit in memory", (long long)l->batch);
    b->x = l->src.no_images ? NULL : lti_aligned_alloc(64, bytes);
    b->y = lti_calloc(n, sizeof *b->y);
    b->weight = lti_calloc(n, sizeof *b->weight);
    b->id = lti_calloc(n, sizeof *b->id);
    b->tag = lti_calloc(n, sizeof *b->tag);
    b->view = lti_calloc(n, sizeof *b->view);
    b->at = lti_calloc(n, sizeof *b->at);
    b->row = lti_calloc(n, sizeof *b->row);
    b->augmented = lti_calloc(n, sizeof *b->augmented);
    const bool all = b->y && b->weight && b->id && b->tag && b->view && b->at && b->row && b->augmented;
    return all && (b->x || l->src.no_images) ? LT_OK : LTI_NOMEM("loader batches");
}

// Workers block all signals: an interrupt belongs to the thread that runs the job.
static lt_status start_threads(lt_loader *l, int n_threads)
{
    if (n_threads == 0)
        return LT_OK;
    l->thread = lti_calloc((size_t)n_threads, sizeof *l->thread);
    if (!l->thread)
        return LTI_NOMEM("loader threads");
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = 0;
    while (l->n_threads < n_threads && !failed) {
        failed = pthread_create(&l->thread[l->n_threads], NULL, worker, l);
        l->n_threads += !failed;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed)
        return LT_FAIL(LT_E_FAIL, "cannot start loader thread %d of %d: %s", l->n_threads + 1, n_threads,
                       strerror(failed));
    return LT_OK;
}

static lt_status take_views(const lt_loader_spec *spec, lt_loader *l)
{
    int n = spec->n_views;
    lt_view *view = lti_calloc((size_t)n, sizeof *view);
    l->src.view = view;
    int64_t *start = lti_calloc((size_t)n + 1, sizeof *start);
    l->src.start = start;
    if (!view || !start)
        return LTI_NOMEM("loader views");
    const lt_dataset *first = spec->views[0].ds;
    for (int v = 0; v < n; v++) {
        LT_TRY(lti_view_check(&spec->views[v], v));
        const lt_dataset *ds = spec->views[v].ds;
        if (ds->c != first->c || ds->h != first->h || ds->w != first->w)
            return LT_FAIL(LT_E_SHAPE, "view %d: images are %dx%dx%d, those of view 0 are %dx%dx%d", v, ds->c, ds->h,
                           ds->w, first->c, first->h, first->w);
        view[v] = spec->views[v];
        start[v + 1] = start[v] + view[v].n;
    }
    l->src.n_views = n;
    l->src.c = first->c;
    l->src.h = first->h;
    l->src.w = first->w;
    l->n = start[n];
    return LT_OK;
}

static lt_status build(const lt_loader_spec *spec, lt_loader *l)
{
    LT_TRY(take_views(spec, l));
    l->batch = spec->batch;
    l->n_batches = (l->n + l->batch - 1) / l->batch;
    l->src.pad = spec->pad;
    l->src.no_images = spec->no_images;
    l->src.seed = l->seed = spec->seed;
    l->phase = spec->phase;
    l->rank = spec->rank;
    l->n_ranks = spec->n_ranks > 1 ? spec->n_ranks : 1;
    if (spec->shuffle) {
        l->order = lti_calloc((size_t)l->n, sizeof *l->order);
        if (!l->order)
            return LTI_NOMEM("epoch order");
    }
    // One slot with the caller, one per worker, one ready.
    l->n_slots = spec->n_threads > 0 ? spec->n_threads + 2 : 1;
    l->slots = lti_calloc((size_t)l->n_slots, sizeof *l->slots);
    if (!l->slots)
        return LTI_NOMEM("loader batches");
    for (int i = 0; i < l->n_slots; i++)
        LT_TRY(batch_alloc(l, &l->slots[i].batch));
    l->next_make = l->n_batches; // idle until start
    return start_threads(l, spec->n_threads);
}

lt_status lt_loader_create(const lt_loader_spec *spec, lt_loader **loader)
{
    *loader = NULL;
    if (spec->n_views < 1 || !spec->views)
        return LT_FAIL(LT_E_USAGE, "loader: no views");
    if (spec->batch < 1)
        return LT_FAIL(LT_E_USAGE, "loader: batch is %lld, expected at least 1", (long long)spec->batch);
    if (spec->n_threads < 0 || spec->n_threads > MAX_THREADS)
        return LT_FAIL(LT_E_USAGE, "loader: %d threads, expected 0..%d", spec->n_threads, MAX_THREADS);
    if (spec->n_ranks > 1 && (spec->rank < 0 || spec->rank >= spec->n_ranks))
        return LT_FAIL(LT_E_USAGE, "loader: rank %d of %d", spec->rank, spec->n_ranks);
    if (spec->pad < 0 || spec->pad > LTI_MAX_SIDE)
        return LT_FAIL(LT_E_USAGE, "loader: pad is %d, expected 0..%d", spec->pad, LTI_MAX_SIDE);
    lt_loader *l = lti_calloc(1, sizeof *l);
    if (!l)
        return LTI_NOMEM("loader");
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->work, NULL);
    pthread_cond_init(&l->done, NULL);
    lt_status status = build(spec, l);
    if (status != LT_OK) {
        lt_loader_destroy(l);
        return status;
    }
    *loader = l;
    return LT_OK;
}

void lt_loader_destroy(lt_loader *l)
{
    if (!l)
        return;
    pthread_mutex_lock(&l->lock);
    l->quit = true;
    pthread_cond_broadcast(&l->work);
    pthread_mutex_unlock(&l->lock);
    for (int i = 0; i < l->n_threads; i++)
        pthread_join(l->thread[i], NULL);
    pthread_cond_destroy(&l->done);
    pthread_cond_destroy(&l->work);
    pthread_mutex_destroy(&l->lock);
    for (int i = 0; l->slots && i < l->n_slots; i++) {
        lt_batch *b = &l->slots[i].batch;
        lti_free(b->x);
        lti_free(b->y);
        lti_free(b->weight);
        lti_free(b->id);
        lti_free(b->tag);
        lti_free(b->view);
        lti_free(b->at);
        lti_free(b->row);
        lti_free(b->augmented);
    }
    lti_free(l->slots);
    lti_free(l->thread);
    lti_free(l->order);
    lti_free((void *)l->src.start);
    lti_free((void *)l->src.view);
    lti_free(l);
}

int64_t lt_loader_n_batches(const lt_loader *loader)
{
    return loader->n_batches;
}

// The epoch's order, Fisher-Yates. The phase is the counter's index: loaders of one job do not share an order.
static void shuffle(lt_loader *l, uint32_t epoch)
{
    for (int64_t i = 0; i < l->n; i++)
        l->order[i] = i;
    lt_rng rng = lt_rng_at(l->seed, LT_STREAM_SHUFFLE, epoch, l->phase);
    for (int64_t i = l->n - 1; i > 0; i--) {
        int64_t j = (int64_t)lt_rng_below(&rng, (uint64_t)i + 1), t = l->order[i];
        l->order[i] = l->order[j];
        l->order[j] = t;
    }
}

lt_status lt_loader_start(lt_loader *l, uint32_t epoch, int64_t first_batch)
{
    if (first_batch < 0 || first_batch > l->n_batches)
        return LT_FAIL(LT_E_USAGE, "loader: start at batch %lld of %lld", (long long)first_batch,
                       (long long)l->n_batches);
    pthread_mutex_lock(&l->lock);
    l->next_make = l->n_batches; // no more is claimed; wait for the active ones
    while (l->n_busy > 0)
        pthread_cond_wait(&l->done, &l->lock);
    l->src.epoch = epoch;
    if (l->order)
        shuffle(l, epoch);
    for (int i = 0; i < l->n_slots; i++)
        l->slots[i].holds = -1;
    l->next_make = l->next_take = l->n_released = first_batch;
    l->started = true;
    pthread_cond_broadcast(&l->work);
    pthread_mutex_unlock(&l->lock);
    return LT_OK;
}

lt_status lt_loader_next(lt_loader *l, const lt_batch **batch)
{
    *batch = NULL;
    if (!l->started)
        return LT_FAIL(LT_E_USAGE, "loader: next before start");
    if (l->n_threads == 0) {
        if (l->next_take < l->n_batches)
            make_batch(l, l->next_take, &l->slots[0]);
        *batch = l->next_take < l->n_batches ? &l->slots[0].batch : &l->end;
        l->next_take += l->next_take < l->n_batches;
        return LT_OK;
    }
    pthread_mutex_lock(&l->lock);
    l->n_released = l->next_take;
    pthread_cond_broadcast(&l->work);
    if (l->next_take == l->n_batches) {
        *batch = &l->end;
    } else {
        slot *s = &l->slots[l->next_take % l->n_slots];
        while (s->holds != l->next_take)
            pthread_cond_wait(&l->done, &l->lock);
        l->next_take++;
        *batch = &s->batch;
    }
    pthread_mutex_unlock(&l->lock);
    return LT_OK;
}
