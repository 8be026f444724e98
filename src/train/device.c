// device.c - training on a backend with memory of its own: parameters, moments and pixels stay there between steps.
//
// The host's slabs are what the rest of the library knows; here is decided when they are the older copy. They are
// brought up to date before a checkpoint, an evaluation, a hook, a diagnosis and the end (lti_on_device_to_host), so
// nobody else notices. Batches are made on the device from the bytes of the data set where that is the same thing: no
// replaced images, no hook or teacher that reads them. The order of an epoch and the labels come from the loader in any
// case, and crops and flips from the same function of the same counters (base/augment.h): batches are equal to the bit.
#include "trainer.h"

#include <string.h>

static const lt_device_ops *device_of(const lti_trainer *t)
{
    return t->env->backend->ops->device;
}

// ---- what stays there

static lt_status mirror(lti_trainer *t, const void *host, int64_t n, size_t size, lti_mirror **m)
{
    return host && n > 0 ? lti_mirror_get(t->env->backend, (void *)host, (size_t)n * size, m) : LT_OK;
}

static bool update_fits(const lt_job *job)
{
    for (int p = 0; p < job->n_phases; p++)
        if (job->phase[p].beside) // its gradients are added on the host
            return false;
    return true;
}

static lt_status take_mirrors(lti_trainer *t)
{
    lti_on_device *d = &t->there;
    const lt_model *model = t->job->model;
    const int64_t n = model->n_params;
    void *p = NULL;
    LT_TRY(mirror(t, model->params, n, sizeof(float), &d->params));
    LT_TRY(mirror(t, model->state, model->n_state, sizeof(float), &d->state));
    LT_TRY(mirror(t, t->grads, n, sizeof(float), &d->grads));
    LT_TRY(mirror(t, t->optim.m, n, sizeof(float), &d->m));
    LT_TRY(mirror(t, t->optim.v, n, sizeof(float), &d->v));
    LT_TRY(mirror(t, t->job->mask, n, 1, &d->mask));
    LT_TRY(device_of(t)->alloc(t->env->backend, sizeof *d->bad, &p));
    d->bad = p;
    LT_TRY(device_of(t)->host_alloc(t->env->backend, sizeof *d->bad_host, &p));
    d->bad_host = p;
    d->update = true;
    lti_plans_leave_there(&t->plans, true);
    return LT_OK;
}

lt_status lti_on_device_init(lti_trainer *t)
{
    if (!device_of(t) || t->job->model->n_params == 0 || !update_fits(t->job))
        return LT_OK;
    pthread_mutex_lock(&t->env->backend->device_lock);
    const lt_status status = take_mirrors(t);
    pthread_mutex_unlock(&t->env->backend->device_lock);
    return status;
}

void lti_on_device_clear(lti_trainer *t)
{
    lti_on_device *d = &t->there;
    lt_backend *b = t->env ? t->env->backend : NULL;
    if (!b || !b->ops->device)
        return;
    lti_mirror *const all[] = {d->params, d->state, d->grads, d->m, d->v, d->mask};
    const lt_error why = *lt_error_get();
    pthread_mutex_lock(&b->device_lock);
    if (b->ops->device->sync(b) != LT_OK)
        lt_error_restore(&why);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        lti_mirror_put(all[i]);
    for (int i = 0; i < LTI_MAX_RESIDENT; i++)
        b->ops->device->release(b, d->resident[i].device);
    b->ops->device->release(b, d->bad);
    b->ops->device->release(b, d->index);
    b->ops->device->host_release(b, d->bad_host);
    pthread_mutex_unlock(&b->device_lock);
    *d = (lti_on_device){0};
}

static lt_status to_host(lti_mirror *const *m, int n)
{
    for (int i = 0; i < n; i++)
        if (m[i])
            LT_TRY(lti_mirror_to_host(m[i]));
    return LT_OK;
}

lt_status lti_on_device_model_to_host(lti_trainer *t)
{
    return to_host((lti_mirror *[]){t->there.params, t->there.state}, 2);
}

lt_status lti_on_device_to_host(lti_trainer *t)
{
    LT_TRY(lti_on_device_model_to_host(t));
    return to_host((lti_mirror *[]){t->there.grads, t->there.m, t->there.v}, 3);
}

// Every write of the trainer to a slab that may have a copy on a device goes through one of these two.
void lti_trainer_wrote_model(lti_trainer *t)
{
    const lt_model *m = t->job->model;
    lti_slab_written(t->env->backend, m->params);
    if (m->n_state > 0)
        lti_slab_written(t->env->backend, m->state);
    lti_plans_prepare_anew(&t->plans);
}

void lti_trainer_wrote_optim(lti_trainer *t)
{
    lti_slab_written(t->env->backend, t->optim.m);
    if (t->optim.v)
        lti_slab_written(t->env->backend, t->optim.v);
}

// ---- the optimizer

static lt_status queue_update(lti_trainer *t, const lti_update *u)
{
    lti_on_device *d = &t->there;
    lt_backend *b = t->env->backend;
    lti_mirror *const read[] = {d->params, d->m, d->v, d->mask};
    lt_device_update numbers;
    for (size_t i = 0; i < sizeof read / sizeof *read; i++)
        if (read[i])
            LT_TRY(lti_mirror_to_device(read[i]));
    lti_optim_numbers(&t->optim, u, &numbers);
    numbers.p = lti_mirror_device(d->params);
    numbers.g = lti_mirror_device(d->grads);
    numbers.m = lti_mirror_device(d->m);
    numbers.v = d->v ? lti_mirror_device(d->v) : NULL;
    numbers.mask = d->mask ? lti_mirror_device(d->mask) : NULL;
    numbers.bad = d->bad;
    LT_TRY(device_of(t)->zero(b, d->bad, sizeof *d->bad));
    LT_TRY(device_of(t)->update(b, &numbers));
    lti_mirror_device_changed(d->params);
    lti_mirror_device_changed(d->m);
    if (d->v)
        lti_mirror_device_changed(d->v);
    LT_TRY(device_of(t)->download(b, d->bad_host, d->bad, sizeof *d->bad));
    return device_of(t)->sync(b);
}

lt_status lti_on_device_update(lti_trainer *t, const lti_update *u, bool *finite)
{
    if (!t->there.update)
        return LT_OK;
    pthread_mutex_lock(&t->env->backend->device_lock);
    const lt_status status = queue_update(t, u);
    pthread_mutex_unlock(&t->env->backend->device_lock);
    LT_TRY(status);
    lti_plans_prepare_anew(&t->plans);
    *finite = *t->there.bad_host == 0;
    return LT_OK;
}

// ---- images

// One split, its own pixels, and nobody else who wants to see them: no hook, no teacher, no attack.
static bool images_fit(const lti_trainer *t, int p)
{
    const lt_phase *phase = &t->job->phase[p];
    const lt_view *first = &t->view[p][0];
    if (t->job->on_batch || lti_job_distils(t->job) || t->job->cfg.adversarial || phase->beside ||
        lti_has_side(t->job, p))
        return false;
    for (int v = 0; v < phase->n_views; v++)
        if (t->view[p][v].images || t->view[p][v].ds != first->ds || t->view[p][v].split != first->split)
            return false;
    return true;
}

static lti_resident *resident(lti_trainer *t, const uint8_t *host)
{
    for (int i = 0; i < LTI_MAX_RESIDENT; i++)
        if (!t->there.resident[i].host || t->there.resident[i].host == host)
            return &t->there.resident[i];
    return NULL;
}

static lt_status bring_pixels(lti_trainer *t, int p)
{
    const lt_dataset *ds = t->view[p][0].ds;
    const lt_split_data *s = &ds->split[t->view[p][0].split];
    const size_t bytes = (size_t)s->n * (size_t)ds->c * (size_t)ds->h * (size_t)ds->w;
    lt_backend *b = t->env->backend;
    lti_resident *r = resident(t, s->x);
    if (!r)
        return LT_OK;
    if (!r->host) {
        LT_TRY(device_of(t)->alloc(b, bytes, &r->device));
        LT_TRY(device_of(t)->upload(b, r->device, s->x, bytes));
        LT_TRY(device_of(t)->sync(b));
        r->host = s->x;
    }
    t->there.images[p] = true;
    return LT_OK;
}

// Bytes of what describes a sample: row, id, tag, augmented, each as an array of its own.
enum { INDEX_BYTES = 8 + 8 + 4 + 1 };

static lt_status need_index(lti_trainer *t, int64_t rows)
{
    if (rows <= t->there.index_rows)
        return LT_OK;
    device_of(t)->release(t->env->backend, t->there.index);
    t->there.index = NULL;
    t->there.index_rows = 0;
    LT_TRY(device_of(t)->alloc(t->env->backend, (size_t)rows * INDEX_BYTES, &t->there.index));
    t->there.index_rows = rows;
    return LT_OK;
}

lt_status lti_on_device_open_phase(lti_trainer *t, int p)
{
    t->there.images[p] = false;
    if (t->job->phase[p].beside && t->there.update) { // on_epoch added it; the host side is up to date here
        t->there.update = false;
        lti_plans_leave_there(&t->plans, false);
    }
    if (!device_of(t) || !images_fit(t, p))
        return LT_OK;
    pthread_mutex_lock(&t->env->backend->device_lock);
    lt_status status = need_index(t, lti_phase_batch(t->job, p));
    if (status == LT_OK)
        status = bring_pixels(t, p);
    pthread_mutex_unlock(&t->env->backend->device_lock);
    return status;
}

// Uploads n elements and moves the place on; wide elements come first, so all are aligned.
static lt_status put_index(lti_trainer *t, char **at, const void *host, int64_t n, size_t size, void *where)
{
    LT_TRY(device_of(t)->upload(t->env->backend, *at, host, (size_t)n * size));
    memcpy(where, at, sizeof *at);
    *at += (size_t)t->there.index_rows * size;
    return LT_OK;
}

static lt_status queue_images(lti_trainer *t, int p, const lt_batch *b, lt_plan *plan)
{
    const lt_view *view = &t->view[p][0];
    const lt_dataset *ds = view->ds;
    lt_device_images im = {.bytes = resident(t, ds->split[view->split].x)->device,
                           .n = (int32_t)b->n,
                           .c = ds->c,
                           .h = ds->h,
                           .w = ds->w,
                           .pad = 4,
                           .seed = t->job->seed,
                           .epoch = (uint32_t)t->at.epoch,
                           .x = lti_plan_device_input(plan, t->job->model->x)};
    char *at = t->there.index;
    LT_TRY(put_index(t, &at, b->row, b->n, sizeof *b->row, &im.row));
    LT_TRY(put_index(t, &at, b->id, b->n, sizeof *b->id, &im.id));
    LT_TRY(put_index(t, &at, b->tag, b->n, sizeof *b->tag, &im.tag));
    LT_TRY(put_index(t, &at, b->augmented, b->n, 1, &im.augment));
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
