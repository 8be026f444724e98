// device_buffer_cache.c - memory of the host that does not change, copied to a GPU once for all sibling backends of
// each other.
//
// Sibling backends are queues of one GPU, each used by its own thread; the first one that needs a copy makes
// it while the others wait, and the last one to give it back releases it.
#include "base/base.h"
#include "graph/backend.h"

typedef struct copy {
    struct copy *next;
    const void *host;
    size_t bytes;
    void *device;
    int n_users;
} copy;

struct lti_device_buffer_cache {
    pthread_mutex_t lock; // all below; taken after a backend's device_lock
    int n_backends;
    copy *copies;
};

lt_status lti_device_buffer_cache_open(lt_backend *b, const lt_backend *sibling)
{
    lti_device_buffer_cache *r = sibling ? sibling->buffer_cache : lti_calloc(1, sizeof *r);
    if (!r)
        return LTI_NOMEM("backend");
    if (!sibling)
        pthread_mutex_init(&r->lock, NULL);
    pthread_mutex_lock(&r->lock);
    r->n_backends++;
    pthread_mutex_unlock(&r->lock);
    b->buffer_cache = r;
    return LT_OK;
}

void lti_device_buffer_cache_close(lt_backend *b)
{
    lti_device_buffer_cache *r = b->buffer_cache;
    if (!r)
        return;
    pthread_mutex_lock(&r->lock);
    const bool last = --r->n_backends == 0;
    pthread_mutex_unlock(&r->lock);
    if (!last)
        return;
    if (r->copies)
        LT_BUG("a device copy of %zu bytes was never given back", r->copies->bytes);
    pthread_mutex_destroy(&r->lock);
    lti_free(r);
}

static copy **find(lti_device_buffer_cache *r, const void *host, size_t bytes)
{
    copy **at = &r->copies;
    while (*at && ((*at)->host != host || (*at)->bytes != bytes))
        at = &(*at)->next;
    return at;
}

static lt_status upload_copy(lt_backend *b, copy *c)
{
    LT_TRY(b->ops->device->alloc(b, c->bytes, &c->device));
    lt_status status = b->ops->device->upload(b, c->device, c->host, c->bytes);
    const lt_error why = *lt_error_get();
    const lt_status waited = b->ops->device->sync(b); // the other queues know nothing of this one
    if (status != LT_OK)
        lt_error_restore(&why);
    else
        status = waited;
    if (status != LT_OK)
        b->ops->device->release(b, c->device);
    return status;
}

static lt_status get_or_copy(lt_backend *b, const void *host, size_t bytes, copy **out)
{
    lti_device_buffer_cache *r = b->buffer_cache;
    copy *c = *find(r, host, bytes);
    *out = c;
    if (c)
        return LT_OK;
    c = lti_calloc(1, sizeof *c);
    if (!c)
        return LTI_NOMEM("device copy");
    *c = (copy){.next = r->copies, .host = host, .bytes = bytes};
    const lt_status status = upload_copy(b, c);
    if (status != LT_OK) {
        lti_free(c);
        return status;
    }
    *out = r->copies = c;
    return LT_OK;
}

lt_status lti_device_buffer_acquire(lt_backend *b, const void *host, size_t bytes, void **device)
{
    copy *c = NULL;
    pthread_mutex_lock(&b->device_lock);
    pthread_mutex_lock(&b->buffer_cache->lock);
    const lt_status status = get_or_copy(b, host, bytes, &c);
    if (status == LT_OK) {
        c->n_users++;
        *device = c->device;
    }
    pthread_mutex_unlock(&b->buffer_cache->lock);
    pthread_mutex_unlock(&b->device_lock);
    return status == LT_OK ? LT_OK : lt_error_frame(status, __FILE__, __LINE__, __func__);
}

void lti_device_buffer_release(lt_backend *b, const void *host, size_t bytes)
{
    pthread_mutex_lock(&b->device_lock);
    pthread_mutex_lock(&b->buffer_cache->lock);
    copy **at = find(b->buffer_cache, host, bytes), *c = *at;
    if (!c)
        LT_BUG("a device copy of %zu bytes is given back that was never taken", bytes);
    if (--c->n_users == 0) {
        *at = c->next;
        b->ops->device->release(b, c->device);
        lti_free(c);
    }
    pthread_mutex_unlock(&b->buffer_cache->lock);
    pthread_mutex_unlock(&b->device_lock);
}
