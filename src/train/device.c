// device.c - training on a backend with memory of its own: parameters, moments and pixels stay on the device between
// steps.
//
// The host's slabs are what the rest of the library knows; here is decided when they are the older copy. They are
// brought up to date before a checkpoint, an evaluation, a hook, a diagnosis and the end (lti_on_device_to_host), so
// no other code notices. Batches are made on the device from the bytes of the data set and from images that views put
// in their place, unless somebody on the host wants to see them: a hook, a teacher, an attack. The order of an epoch
// and the labels come from the loader in any case, and crops and flips from the same function of the same counters
// (base/augment.h): batches are equal to the bit.
#include "base/augment.h"
#include "trainer.h"

#include <string.h>

static const lt_device_ops *device_of(const lti_trainer *t)
{
    return t->env->backend->ops->device;
}

// ---- what stays on the device

static lt_status acquire_copy(lti_trainer *t, const void *host, int64_t n, size_t size, lti_device_copy **m)
{
    return host && n > 0 ? lti_device_copy_acquire(t->env->backend, (void *)host, (size_t)n * size, m) : LT_OK;
}

static bool update_fits(const lt_job *job)
{
    if (job->n_penalties > 0 || job->transform || job->n_groups > 0 || job->on_gradient) // hooks run on the host
        return false;
    for (int p = 0; p < job->n_phases; p++)
        if (job->phase[p].companion) // its gradients are added on the host
            return false;
    return true;
}

static lt_status acquire_copies(lti_trainer *t)
{
    lti_on_device *d = &t->on_device;
    const lt_model *model = t->job->model;
    const int64_t n = model->n_params;
    void *p = NULL;
    LT_TRY(acquire_copy(t, model->params, n, sizeof(float), &d->params));
    LT_TRY(acquire_copy(t, model->state, model->n_state, sizeof(float), &d->state));
    LT_TRY(acquire_copy(t, t->grads, n, sizeof(float), &d->grads));
    LT_TRY(acquire_copy(t, t->optim.m, n, sizeof(float), &d->m));
    LT_TRY(acquire_copy(t, t->optim.v, n, sizeof(float), &d->v));
    LT_TRY(acquire_copy(t, t->job->mask, n, 1, &d->mask));
    LT_TRY(device_of(t)->alloc(t->env->backend, sizeof *d->bad, &p));
    d->bad = p;
    LT_TRY(device_of(t)->host_alloc(t->env->backend, sizeof *d->bad_host, &p));
    d->bad_host = p;
    d->update = true;
    lti_plans_keep_on_device(&t->plans, true);
    return LT_OK;
}

lt_status lti_on_device_init(lti_trainer *t)
{
    if (!device_of(t) || t->job->model->n_params == 0 || !update_fits(t->job))
        return LT_OK;
    pthread_mutex_lock(&t->env->backend->device_lock);
    const lt_status status = acquire_copies(t);
    pthread_mutex_unlock(&t->env->backend->device_lock);
    return status;
}

void lti_on_device_clear(lti_trainer *t)
{
    lti_on_device *d = &t->on_device;
    lt_backend *b = t->env ? t->env->backend : NULL;
    if (!b || !b->ops->device)
        return;
    lti_device_copy *const all[] = {d->params, d->state, d->grads, d->m, d->v, d->mask};
    const lt_error why = *lt_error_get();
    pthread_mutex_lock(&b->device_lock);
    if (b->ops->device->sync(b) != LT_OK)
        lt_error_restore(&why);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        lti_device_copy_release(all[i]);
    for (int i = 0; i < LTI_MAX_SPLIT_BUFFERS; i++)
        if (d->split_buffer[i].host)
            lti_device_buffer_release(b, d->split_buffer[i].host, d->split_buffer[i].bytes);
    b->ops->device->release(b, d->bad);
    for (int p = 0; p < LT_JOB_MAX_PHASES; p++)
        for (int v = 0; v < LT_PHASE_MAX_VIEWS; v++)
            b->ops->device->release(b, d->replaced[p][v].device);
    b->ops->device->release(b, d->index);
    b->ops->device->host_release(b, d->index_host);
    b->ops->device->host_release(b, d->bad_host);
    pthread_mutex_unlock(&b->device_lock);
    *d = (lti_on_device){0};
}

static lt_status to_host(lti_device_copy *const *m, int n)
{
    for (int i = 0; i < n; i++)
        if (m[i])
            LT_TRY(lti_device_copy_to_host(m[i]));
    return LT_OK;
}

lt_status lti_on_device_model_to_host(lti_trainer *t)
{
    return to_host((lti_device_copy *[]){t->on_device.params, t->on_device.state}, 2);
}

lt_status lti_on_device_to_host(lti_trainer *t)
{
    LT_TRY(lti_on_device_model_to_host(t));
    return to_host((lti_device_copy *[]){t->on_device.grads, t->on_device.m, t->on_device.v}, 3);
}

// Every write of the trainer to a slab that may have a copy on a device goes through one of these two.
void lti_trainer_mark_model_dirty(lti_trainer *t)
{
    const lt_model *m = t->job->model;
    lti_mark_host_dirty(t->env->backend, m->params);
    if (m->n_state > 0)
        lti_mark_host_dirty(t->env->backend, m->state);
    lti_plans_repack_weights(&t->plans);
}

void lti_trainer_mark_optim_dirty(lti_trainer *t)
{
    lti_mark_host_dirty(t->env->backend, t->optim.m);
    if (t->optim.v)
        lti_mark_host_dirty(t->env->backend, t->optim.v);
}

// ---- the optimizer

static lt_status queue_update(lti_trainer *t, const lti_update *u)
{
    lti_on_device *d = &t->on_device;
    lt_backend *b = t->env->backend;
    lti_device_copy *const read[] = {d->params, d->m, d->v, d->mask};
    lt_device_update numbers;
    for (size_t i = 0; i < sizeof read / sizeof *read; i++)
        if (read[i])
            LT_TRY(lti_device_copy_to_device(read[i]));
    lti_optim_numbers(&t->optim, u, &numbers);
    numbers.p = lti_device_copy_address(d->params);
    numbers.g = lti_device_copy_address(d->grads);
    numbers.m = lti_device_copy_address(d->m);
    numbers.v = d->v ? lti_device_copy_address(d->v) : NULL;
    numbers.mask = d->mask ? lti_device_copy_address(d->mask) : NULL;
    numbers.bad = d->bad;
    LT_TRY(device_of(t)->zero(b, d->bad, sizeof *d->bad));
    LT_TRY(device_of(t)->update(b, &numbers));
    lti_device_copy_mark_device_dirty(d->params);
    lti_device_copy_mark_device_dirty(d->m);
    if (d->v)
        lti_device_copy_mark_device_dirty(d->v);
    LT_TRY(device_of(t)->download(b, d->bad_host, d->bad, sizeof *d->bad));
    return device_of(t)->sync(b);
}

lt_status lti_on_device_update(lti_trainer *t, const lti_update *u, bool *finite)
{
    if (!t->on_device.update)
        return LT_OK;
    pthread_mutex_lock(&t->env->backend->device_lock);
    const lt_status status = queue_update(t, u);
    pthread_mutex_unlock(&t->env->backend->device_lock);
    LT_TRY(status);
    lti_plans_repack_weights(&t->plans);
    *finite = *t->on_device.bad_host == 0;
    return LT_OK;
}

// ---- images

// No other code reads them: no hook, no teacher, no attack.
static bool images_fit(const lti_trainer *t, int p)
{
    const lt_phase *phase = &t->job->phase[p];
    for (int v = 0; v < phase->n_views; v++)
        if (phase->view[v].ds && phase->view[v].ds->steps > 0) // frames of events are augmented on the host
            return false;
    return t->job->cfg.augmentation == LT_AUGMENT_CROP && !t->job->on_batch &&
           !(t->job->objective && t->job->objective->fill) && !lti_job_distils(t->job) && !t->job->cfg.adversarial &&
           !phase->companion && !lti_has_companion(t->job, p);
}

static size_t image_elements(const lt_dataset *ds)
{
    return (size_t)ds->c * (size_t)ds->h * (size_t)ds->w;
}

static lti_split_buffer *split_buffer(lti_trainer *t, const uint8_t *host)
{
    for (int i = 0; i < LTI_MAX_SPLIT_BUFFERS; i++)
        if (!t->on_device.split_buffer[i].host || t->on_device.split_buffer[i].host == host)
            return &t->on_device.split_buffer[i];
    return NULL;
}

// fits: false when there are too many splits.
static lt_status bring_pixels(lti_trainer *t, const lt_view *view, bool *fits)
{
    const lt_split_data *s = &view->ds->split[view->split];
    const size_t bytes = (size_t)s->n * image_elements(view->ds);
    lti_split_buffer *r = split_buffer(t, s->x);
    *fits = r != NULL || bytes == 0;
    if (!r || r->host || bytes == 0)
        return LT_OK;
    LT_TRY(lti_device_buffer_acquire(t->env->backend, s->x, bytes, &r->device));
    r->host = s->x;
    r->bytes = bytes;
    return LT_OK;
}

// Always copied every time: their owner may have changed them since.
static lt_status bring_replaced(lti_trainer *t, const lt_view *view, lti_replaced *r)
{
    const size_t bytes = (size_t)view->n * image_elements(view->ds) * sizeof(float);
    lt_backend *b = t->env->backend;
    if (bytes > r->bytes) {
        device_of(t)->release(b, r->device);
        *r = (lti_replaced){0};
        LT_TRY(device_of(t)->alloc(b, bytes, &r->device));
        r->bytes = bytes;
    }
    LT_TRY(device_of(t)->upload(b, r->device, view->images, bytes));
    return device_of(t)->sync(b);
}

static lt_status bring_all_replaced(lti_trainer *t, int p)
{
    for (int v = 0; v < t->job->phase[p].n_views; v++)
        if (t->view[p][v].images)
            LT_TRY(bring_replaced(t, &t->view[p][v], &t->on_device.replaced[p][v]));
    return LT_OK;
}

lt_status lti_on_device_images_changed(lti_trainer *t, int p)
{
    if (!t->on_device.images[p])
        return LT_OK;
    pthread_mutex_lock(&t->env->backend->device_lock);
    const lt_status status = bring_all_replaced(t, p);
    pthread_mutex_unlock(&t->env->backend->device_lock);
    return status;
}

static lt_status bring_views(lti_trainer *t, int p)
{
    bool fits = true;
    for (int v = 0; v < t->job->phase[p].n_views && fits; v++)
        if (!t->view[p][v].images)
            LT_TRY(bring_pixels(t, &t->view[p][v], &fits));
    if (!fits)
        return LT_OK;
    LT_TRY(bring_all_replaced(t, p));
    t->on_device.images[p] = true;
    return LT_OK;
}

// Bytes of what describes a sample, each as an array of its own: image, id, tag, how.
enum { INDEX_BYTES = sizeof(void *) + 8 + 4 + 1 };

static lt_status need_index(lti_trainer *t, int64_t rows)
{
    lti_on_device *d = &t->on_device;
    if (rows <= d->index_rows)
        return LT_OK;
    device_of(t)->release(t->env->backend, d->index);
    device_of(t)->host_release(t->env->backend, d->index_host);
    d->index = d->index_host = NULL;
    d->index_rows = 0;
    LT_TRY(device_of(t)->alloc(t->env->backend, (size_t)rows * INDEX_BYTES, &d->index));
    LT_TRY(device_of(t)->host_alloc(t->env->backend, (size_t)rows * INDEX_BYTES, &d->index_host));
    d->index_rows = rows;
    return LT_OK;
}

lt_status lti_on_device_open_phase(lti_trainer *t, int p)
{
    t->on_device.images[p] = false;
    if (t->job->phase[p].companion && t->on_device.update) { // on_epoch added it; the host side is up to date here
        t->on_device.update = false;
        lti_plans_keep_on_device(&t->plans, false);
    }
    if (!device_of(t) || !images_fit(t, p))
        return LT_OK;
    pthread_mutex_lock(&t->env->backend->device_lock);
    lt_status status = need_index(t, lti_phase_batch(t->job, p));
    if (status == LT_OK)
        status = bring_views(t, p);
    pthread_mutex_unlock(&t->env->backend->device_lock);
    return status;
}

// Uploads n elements and moves the place on; wide elements come first, so all are aligned.
static lt_status put_index(lti_trainer *t, char **at, const void *host, int64_t n, size_t size, void *where)
{
    LT_TRY(device_of(t)->upload(t->env->backend, *at, host, (size_t)n * size));
    memcpy(where, at, sizeof *at);
    *at += (size_t)t->on_device.index_rows * size;
    return LT_OK;
}

// Where the image of sample i of the batch lies, and how it is made.
static const void *image_of(lti_trainer *t, int p, const lt_batch *b, int64_t i, uint8_t *how)
{
    const lt_view *view = &t->view[p][b->view[i]];
    const size_t n = image_elements(view->ds);
    *how = b->augmented[i] ? LTI_IMAGE_AUGMENT : 0;
    if (!view->images)
        return (const uint8_t *)split_buffer(t, view->ds->split[view->split].x)->device + (size_t)b->row[i] * n;
    *how |= LTI_IMAGE_FLOATS;
    return (const float *)t->on_device.replaced[p][b->view[i]].device + (size_t)b->at[i] * n;
}

static lt_status queue_images(lti_trainer *t, int p, const lt_batch *b, lt_plan *plan)
{
    const lt_dataset *ds = t->view[p][0].ds;
    lt_device_images im = {.n = (int32_t)b->n,
                           .c = ds->c,
                           .h = ds->h,
                           .w = ds->w,
                           .pad = 4,
                           .seed = t->job->seed,
                           .epoch = (uint32_t)t->at.epoch,
                           .x = lti_plan_device_input(plan, t->job->model->x)};
    const void **image = t->on_device.index_host;
    uint8_t *how = (uint8_t *)(image + t->on_device.index_rows);
    char *at = t->on_device.index;
    for (int64_t i = 0; i < b->n; i++)
        image[i] = image_of(t, p, b, i, &how[i]);
    LT_TRY(put_index(t, &at, image, b->n, sizeof *image, &im.image));
    LT_TRY(put_index(t, &at, b->id, b->n, sizeof *b->id, &im.id));
    LT_TRY(put_index(t, &at, b->tag, b->n, sizeof *b->tag, &im.tag));
    LT_TRY(put_index(t, &at, how, b->n, 1, &im.how));
    return device_of(t)->images(t->env->backend, &im);
}

// The batch must stay as it is until the plan has run.
lt_status lti_on_device_images(lti_trainer *t, int p, const lt_batch *b, lt_plan *plan)
{
    pthread_mutex_lock(&t->env->backend->device_lock);
    const lt_status status = queue_images(t, p, b, plan);
    pthread_mutex_unlock(&t->env->backend->device_lock);
    return status;
}
