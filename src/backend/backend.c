// backend.c - the registry of compute backends, made from backends.list and devices.list.
#include "base/base.h"
#include "lethe/machine.h"
#include "graph/backend.h"
#include <string.h>
#include <unistd.h>

#define LT_X(name) extern const lt_backend_ops lti_backend_##name;
#include "backend/backends.list"
#include "backend/devices.list"
#undef LT_X

static const lt_backend_ops *const registry[] = {
#define LT_X(name) &lti_backend_##name,
#include "backend/backends.list"
#undef LT_X
};
enum { N_BACKENDS = sizeof registry / sizeof *registry };

static const lt_backend_ops *const devices[] = {
#define LT_X(name) &lti_backend_##name,
#include "backend/devices.list"
#undef LT_X
};
enum { N_DEVICES = sizeof devices / sizeof *devices };

const char *const *lt_backend_names(void)
{
    static const char *const names[] = {
#define LT_X(name) #name,
#include "backend/backends.list"
#undef LT_X
        NULL};
    return names;
}

const char *const *lt_device_names(void)
{
    static const char *const names[] = {
#define LT_X(name) #name,
#include "backend/devices.list"
#undef LT_X
        NULL};
    return names;
}

static void make_lock(lt_backend *b)
{
    pthread_mutexattr_t attr;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&b->device_lock, &attr);
    pthread_mutexattr_destroy(&attr);
}

static void free_backend(lt_backend *b)
{
    lti_device_buffer_cache_close(b);
    pthread_mutex_destroy(&b->device_lock);
    lti_free(b->spec);
    lti_free(b);
}

static lt_status open_parts(lt_backend *b, const char *spec, const lt_backend *sibling)
{
    b->spec = lti_strdup(spec);
    if (!b->spec)
        return LTI_NOMEM("backend");
    LT_TRY(lti_device_buffer_cache_open(b, sibling));
    b->sibling = sibling;
    const lt_status status = b->ops->open(b);
    b->sibling = NULL;
    return status;
}

static lt_status open_backend(const lt_backend_ops *ops, const char *spec, int n_threads, const lt_backend *sibling,
                              lt_backend **backend)
{
    lt_backend *b = lti_calloc(1, sizeof *b);
    if (!b)
        return LTI_NOMEM("backend");
    b->ops = ops;
    make_lock(b);
    b->fallback = lti_ref_bind;
    b->n_threads = n_threads > 0 ? n_threads : lt_usable_cores();
    const lt_status status = open_parts(b, spec, sibling);
    if (status != LT_OK) {
        free_backend(b);
        return status;
    }
    *backend = b;
    return LT_OK;
}

lt_status lti_backend_create_sibling(const lt_backend *first, int n_threads, lt_backend **backend)
{
    *backend = NULL;
    return open_backend(first->ops, first->spec, n_threads, first, backend);
}

lt_status lt_backend_create(const char *name, int n_threads, lt_backend **backend)
{
    *backend = NULL;
    lt_status status = LT_E_UNSUPPORTED;
    if (strcmp(name, "auto") == 0) {
        for (int i = 0; i < N_BACKENDS && !*backend; i++)
            status = open_backend(registry[i], name, n_threads, NULL, backend);
        if (status == LT_OK)
            lt_error_clear(); // of better backends that did not open
        return status;
    }
    for (int i = 0; i < N_BACKENDS; i++)
        if (strcmp(registry[i]->name, name) == 0)
            return open_backend(registry[i], name, n_threads, NULL, backend);
    for (int i = 0; i < N_DEVICES; i++)
        if (strcspn(name, ":,") == strlen(devices[i]->name) &&
            strncmp(devices[i]->name, name, strlen(devices[i]->name)) == 0)
            return open_backend(devices[i], name, n_threads, NULL, backend);
    lti_buf known = {0};
    for (int i = 0; i < N_BACKENDS; i++)
        lti_buf_printf(&known, " %s", registry[i]->name);
    for (int i = 0; i < N_DEVICES; i++)
        lti_buf_printf(&known, " %s", devices[i]->name);
    status = LT_FAIL(LT_E_USAGE, "backend %s: not built in; there are: auto%s", name, known.data ? known.data : "");
    lti_buf_clear(&known);
    return status;
}

void lt_backend_destroy(lt_backend *backend)
{
    if (!backend)
        return;
    backend->ops->close(backend);
    free_backend(backend);
}

const char *lt_backend_name(const lt_backend *backend)
{
    return backend->ops->name;
}

const char *lt_backend_version(const lt_backend *backend)
{
    return backend->version;
}

int lt_backend_n_threads(const lt_backend *backend)
{
    return backend->n_threads;
}
