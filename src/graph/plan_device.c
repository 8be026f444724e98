// plan_device.c - a plan whose backend has memory of its own.
//
// Activations, constants, scratch and what kernels prepare live on the device only. Of the caller's slabs there is one
// mirror per backend and host address, so that plans of several batch sizes, the evaluator and the optimizer work on
// the same copy. Each side of a mirror may be the newer one, never both; a run brings the device side up to date, and
// afterwards the host side of what it changed unless the caller asked to leave it on the device. That parameters
// changed is a fact about a plan: it prepares them again, from the newer side. Which side that is, only those say who
// write: a run, the optimizer on the device, and the code that wrote the slab of the host (lti_mark_host_dirty). Inputs
// and outputs are small and copied in every run, between a piece of fast host memory and the device.
//
// The kernels of a run are recorded as one unit in its second run (the first one lets libraries set themselves up) and
// replayed from then on: one recording for runs that prepare parameters again, one for those that do not. Binding other
// slabs drops the recordings, for they hold pointers.
#include "graph/plan_impl.h"
#include <string.h>

enum { HOST_ALIGN = 64 };

struct lti_device_copy {
    lti_device_copy *next;
    lt_backend *backend;
    char *host;
    void *device;
    size_t bytes;
    int n_users;
    bool host_newer, device_newer;
};

static void lock(lt_backend *b)
{
    pthread_mutex_lock(&b->device_lock);
}

static void unlock(lt_backend *b)
{
    pthread_mutex_unlock(&b->device_lock);
}

// ---- mirrors

static lti_device_copy *find_device_copy(const lt_backend *b, const void *host)
{
    for (lti_device_copy *m = b->device_copies; m; m = m->next)
        if (m->host == host)
            return m;
    return NULL;
}

static lt_status create_device_copy(lt_backend *b, void *host, size_t bytes, lti_device_copy **device_copy)
{
    lti_device_copy *m = lti_calloc(1, sizeof *m);
    if (!m)
        return LTI_NOMEM("device copy of a slab");
    *m = (lti_device_copy){.next = b->device_copies, .backend = b, .host = host, .bytes = bytes, .host_newer = true};
    lt_status status = b->ops->device->alloc(b, bytes, &m->device);
    if (status != LT_OK) {
        lti_free(m);
        return lt_error_frame(status, __FILE__, __LINE__, __func__);
    }
    b->device_copies = m;
    *device_copy = m;
    return LT_OK;
}

lt_status lti_device_copy_acquire(lt_backend *b, void *host, size_t bytes, lti_device_copy **device_copy)
{
    lock(b);
    lt_status status = LT_OK;
    lti_device_copy *m = find_device_copy(b, host);
    if (m && m->bytes != bytes)
        LT_BUG("a slab of %zu bytes is used with %zu bytes elsewhere", bytes, m->bytes);
    if (!m)
        status = create_device_copy(b, host, bytes, &m);
    else if (!m->device_newer) // the address may have been given to other memory since the last use
        m->host_newer = true;
    if (status == LT_OK) {
        m->n_users++;
        *device_copy = m;
    }
    unlock(b);
    return status;
}

void lti_device_copy_release(lti_device_copy *m)
{
    if (!m)
        return;
    lt_backend *b = m->backend;
    lock(b);
    if (--m->n_users == 0) {
        lti_device_copy **at = &b->device_copies;
        while (*at != m)
            at = &(*at)->next;
        *at = m->next;
        b->ops->device->release(b, m->device);
        lti_free(m);
    }
    unlock(b);
}

void *lti_device_copy_address(const lti_device_copy *m)
{
    return m->device;
}

void lti_mark_host_dirty(lt_backend *b, const void *host)
{
    if (!b->ops->device)
        return;
    lock(b);
    lti_device_copy *m = find_device_copy(b, host);
    if (m && m->device_newer)
        LT_BUG("the host side of a slab was written while it was the older one");
    if (m)
        m->host_newer = true;
    unlock(b);
}

void lti_device_copy_mark_device_dirty(lti_device_copy *m)
{
    if (m->host_newer)
        LT_BUG("the device side of a slab was changed while it was the older one");
    m->device_newer = true;
}

lt_status lti_device_copy_to_device(lti_device_copy *m)
{
    lock(m->backend);
    lt_status status = LT_OK;
    if (m->host_newer)
        status = m->backend->ops->device->upload(m->backend, m->device, m->host, m->bytes);
    m->host_newer = m->host_newer && status != LT_OK;
    unlock(m->backend);
    return status;
}

lt_status lti_device_copy_to_host(lti_device_copy *m)
{
    lt_backend *b = m->backend;
    lock(b);
    lt_status status = LT_OK;
    if (m->device_newer) {
        status = b->ops->device->download(b, m->host, m->device, m->bytes);
        if (status == LT_OK)
            status = b->ops->device->sync(b);
        m->device_newer = false; // after a failure what the device had is lost, which the status says
    }
    unlock(b);
    return status;
}

// ---- memory of a plan

static bool is_shown(const lt_plan *plan, int32_t t)
{
    bool shown = false;
    for (int32_t v = 0; v < plan->n_user_values; v++)
        shown = shown || plan->shown[v] == t;
    for (int32_t i = 0; i < plan->n_wrt; i++)
        shown = shown || plan->grad[i] == t;
    return shown;
}

static lt_status place_host(lt_plan *plan)
{
    lti_device_plan *h = plan->device_plan;
    h->host_offset = lti_calloc((size_t)plan->n_tensors, sizeof *h->host_offset);
    h->produced_on_device = lti_calloc((size_t)plan->n_user_values, sizeof *h->produced_on_device);
    if (!h->host_offset || !h->produced_on_device)
        return LTI_NOMEM("plan");
    for (int32_t t = 0; t < plan->n_tensors; t++) {
        if (!is_shown(plan, t))
            continue;
        h->host_offset[t] = h->host_bytes;
        h->host_bytes += (plan->tensor[t].bytes + HOST_ALIGN - 1) / HOST_ALIGN * HOST_ALIGN;
    }
    void *p = NULL;
    LT_TRY(plan->backend->ops->device->host_alloc(plan->backend, h->host_bytes, &p));
    h->host = p;
    return LT_OK;
}

static lt_status upload_constants(lt_plan *plan)
{
    const lt_device_ops *d = plan->backend->ops->device;
    char *image = lti_calloc(plan->slab_bytes[LTI_PERSISTENT] + 1, 1);
    if (!image)
        return LTI_NOMEM("plan memory");
    lti_fill_constants(plan, image);
    lt_status status = d->upload(plan->backend, plan->slab[LTI_PERSISTENT], image, plan->slab_bytes[LTI_PERSISTENT]);
    if (status == LT_OK)
        status = d->sync(plan->backend);
    lti_free(image);
    return status;
}

static lt_status take_memory(lt_plan *plan)
{
    const lt_device_ops *d = plan->backend->ops->device;
    void *p = NULL;
    for (int place = LTI_ACT; place <= LTI_PERSISTENT; place++) {
        LT_TRY(d->alloc(plan->backend, plan->slab_bytes[place], &p));
        plan->slab[place] = p;
    }
    LT_TRY(d->alloc(plan->backend, plan->scratch_bytes, &plan->scratch));
    LT_TRY(upload_constants(plan));
    return place_host(plan);
}

lt_status lti_device_plan_create(lt_plan *plan)
{
    plan->device_plan = lti_calloc(1, sizeof *plan->device_plan);
    if (!plan->device_plan)
        return LTI_NOMEM("plan");
    lock(plan->backend);
    lt_status status = take_memory(plan);
    unlock(plan->backend);
    return status;
}

static void drop_captures(lt_plan *plan)
{
    for (int i = 0; i < LTI_N_CAPTURES; i++) {
        plan->backend->ops->device->captured_free(plan->backend, plan->device_plan->captured[i]);
        plan->device_plan->captured[i] = NULL;
    }
    plan->device_plan->n_runs = 0;
}

void lti_device_plan_destroy(lt_plan *plan)
{
    const lt_device_ops *d = plan->backend->ops->device;
    lti_device_plan *h = plan->device_plan;
    lock(plan->backend);
    drop_captures(plan);
    for (int place = LTI_PARAM; place <= LTI_GRAD; place++)
        lti_device_copy_release(h->device_copy[place]);
    d->release(plan->backend, plan->slab[LTI_ACT]);
    d->release(plan->backend, plan->slab[LTI_PERSISTENT]);
    d->release(plan->backend, plan->scratch);
    d->host_release(plan->backend, h->host);
    unlock(plan->backend);
    lti_free(h->host_offset);
    lti_free(h->produced_on_device);
    lti_free(h);
    plan->device_plan = NULL;
}

lt_status lti_device_plan_bind(lt_plan *plan, void *const slab[LTI_N_PLACES])
{
    lti_device_plan *h = plan->device_plan;
    const size_t real = lti_dtype_size(plan->real);
    const size_t bytes[LTI_N_PLACES] = {[LTI_PARAM] = (size_t)lt_graph_n_params(plan->g) * real,
                                        [LTI_STATE] = (size_t)lt_graph_n_state(plan->g) * real,
                                        [LTI_GRAD] = plan->wrt_params ? (size_t)lt_graph_n_params(plan->g) * real : 0};
    lock(plan->backend);
    lt_status status = LT_OK;
    drop_captures(plan);
    for (int place = LTI_PARAM; place <= LTI_GRAD && status == LT_OK; place++) {
        lti_device_copy *old = h->device_copy[place];
        h->device_copy[place] = NULL;
        if (slab[place] && bytes[place] > 0)
            status = lti_device_copy_acquire(plan->backend, slab[place], bytes[place], &h->device_copy[place]);
        lti_device_copy_release(old);
        plan->slab[place] = h->device_copy[place] ? lti_device_copy_address(h->device_copy[place]) : NULL;
    }
    unlock(plan->backend);
    return status;
}

// Somebody changed them, and did not say where. A change on the device is known; else it can only
// have been on the host.
void lti_device_plan_params_changed(lt_plan *plan)
{
    lock(plan->backend);
    for (int place = LTI_PARAM; place <= LTI_STATE; place++) {
        lti_device_copy *m = plan->device_plan->device_copy[place];
        if (m && !m->device_newer)
            m->host_newer = true;
    }
    unlock(plan->backend);
}

void *lti_device_plan_host(const lt_plan *plan, int32_t tensor)
{
    return plan->device_plan->host + plan->device_plan->host_offset[tensor];
}

// ---- a run

static char *device_address(const lt_plan *plan, int32_t t)
{
    return plan->slab[plan->tensor[t].place] + plan->tensor[t].offset;
}

static lt_status bring_inputs(lt_plan *plan)
{
    const lti_device_plan *h = plan->device_plan;
    for (int place = LTI_PARAM; place <= LTI_STATE; place++)
        if (h->device_copy[place])
            LT_TRY(lti_device_copy_to_device(h->device_copy[place]));
    if (h->device_copy[LTI_GRAD]) // overwritten as a whole, whatever the caller put into it
        h->device_copy[LTI_GRAD]->host_newer = false;
    for (int32_t v = 0; v < plan->n_user_values; v++) {
        const int32_t t = plan->shown[v];
        if (t >= 0 && plan->g->value[v].role == LT_ROLE_INPUT && !h->produced_on_device[v])
            LT_TRY(plan->backend->ops->device->upload(plan->backend, device_address(plan, t),
                                                      lti_device_plan_host(plan, t), plan->tensor[t].bytes));
    }
    return LT_OK;
}

static bool is_output(const lt_plan *plan, lt_val v)
{
    return plan->shown[v] >= 0 && plan->g->value[v].role != LT_ROLE_INPUT;
}

static lt_status fetch(const lt_plan *plan, int32_t t)
{
    return plan->backend->ops->device->download(plan->backend, lti_device_plan_host(plan, t), device_address(plan, t),
                                                plan->tensor[t].bytes);
}

static lt_status bring_outputs(lt_plan *plan)
{
    lti_device_plan *h = plan->device_plan;
    for (int32_t v = 0; v < plan->n_user_values && !h->keep_outputs; v++)
        if (is_output(plan, v))
            LT_TRY(fetch(plan, plan->shown[v]));
    for (int32_t i = 0; i < plan->n_wrt && !h->keep_outputs; i++)
        LT_TRY(fetch(plan, plan->grad[i]));
    if (h->device_copy[LTI_STATE] && plan->train)
        lti_device_copy_mark_device_dirty(h->device_copy[LTI_STATE]);
    if (h->device_copy[LTI_GRAD])
        lti_device_copy_mark_device_dirty(h->device_copy[LTI_GRAD]);
    for (int place = LTI_STATE; place <= LTI_GRAD && !h->keep; place++)
        if (h->device_copy[place])
            LT_TRY(lti_device_copy_to_host(h->device_copy[place]));
    return h->keep_outputs ? LT_OK : plan->backend->ops->device->sync(plan->backend);
}

static lt_status zero_unreached(const lt_plan *plan)
{
    const size_t size = lti_dtype_size(plan->real);
    for (int32_t i = 0; i < plan->n_param_grads; i++)
        if (plan->grad_value[plan->n_wrt + i] == LT_NONE) {
            const lti_value *p = &plan->g->value[plan->param[i]];
            LT_TRY(plan->backend->ops->device->zero(plan->backend, plan->slab[LTI_GRAD] + (size_t)p->slab_offset * size,
                                                    (size_t)lti_shape_count(&p->shape) * size));
        }
    return LT_OK;
}

// which: index of the recording, which says what runs.
static lt_status run_recorded_steps(const lt_plan *plan, int which)
{
    return which < LTI_CAPTURE_FORWARD ? lti_plan_run_steps(plan, which)
                                       : lti_plan_run_half_steps(plan, which == LTI_CAPTURE_BACKWARD, false);
}

static lt_status capture_kernels(lt_plan *plan, int which)
{
    const lt_device_ops *d = plan->backend->ops->device;
    void *recording = NULL;
    LT_TRY(d->capture_begin(plan->backend));
    const lt_status status = run_recorded_steps(plan, which);
    const lt_error why = *lt_error_get();
    const lt_status ended = d->capture_end(plan->backend, &recording);
    if (status != LT_OK) {
        d->captured_free(plan->backend, recording);
        lt_error_restore(&why);
        return status;
    }
    LT_TRY(ended);
    plan->device_plan->captured[which] = recording;
    return LT_OK;
}

// Preparing parameters of a plan that does not train happens too rarely to be worth a recording.
static lt_status compute(lt_plan *plan, bool fresh)
{
    lti_device_plan *h = plan->device_plan;
    if (!h->captured[fresh] && h->n_runs > 0 && (!fresh || plan->train))
        LT_TRY(capture_kernels(plan, fresh));
    h->n_runs++;
    return h->captured[fresh] ? plan->backend->ops->device->captured_launch(plan->backend, h->captured[fresh])
                              : lti_plan_run_steps(plan, fresh);
}

static lt_status run_plan_on_device(lt_plan *plan)
{
    LT_TRY(bring_inputs(plan));
    LT_TRY(zero_unreached(plan));
    LT_TRY(compute(plan, plan->dirty || plan->train));
    plan->dirty = false;
    return bring_outputs(plan);
}

// ---- the halves of a run

static lt_status compute_half(lt_plan *plan, bool backward)
{
    lti_device_plan *h = plan->device_plan;
    const int which = backward ? LTI_CAPTURE_BACKWARD : LTI_CAPTURE_FORWARD;
    if (plan->dirty || h->n_runs < 2) { // kernels may still be loaded during the first runs
        h->n_runs++;
        return lti_plan_run_half_steps(plan, backward, plan->dirty);
    }
    if (!h->captured[which])
        LT_TRY(capture_kernels(plan, which));
    return plan->backend->ops->device->captured_launch(plan->backend, h->captured[which]);
}

static lt_status run_half_on_device(lt_plan *plan, bool backward)
{
    const lt_device_ops *d = plan->backend->ops->device;
    const int32_t seed = plan->seed == LT_NONE ? -1 : plan->shown[plan->seed];
    if (!backward)
        LT_TRY(bring_inputs(plan));
    else if (seed >= 0)
        LT_TRY(d->upload(plan->backend, device_address(plan, seed), lti_device_plan_host(plan, seed),
                         plan->tensor[seed].bytes));
    LT_TRY(compute_half(plan, backward));
    for (int32_t v = 0; v < plan->n_user_values && !backward; v++)
        if (is_output(plan, v))
            LT_TRY(fetch(plan, plan->shown[v]));
    for (int32_t i = 0; i < plan->n_wrt && backward; i++)
        LT_TRY(fetch(plan, plan->grad[i]));
    return d->sync(plan->backend);
}

lt_status lti_device_plan_run_half(lt_plan *plan, bool backward)
{
    lock(plan->backend);
    const lt_status status = run_half_on_device(plan, backward);
    if (status != LT_OK) { // nothing may be left that reads the caller's memory later
        const lt_error why = *lt_error_get();
        plan->backend->ops->device->sync(plan->backend);
        lt_error_restore(&why);
    }
    unlock(plan->backend);
    return status == LT_OK ? LT_OK : lt_error_frame(status, __FILE__, __LINE__, __func__);
}

lt_status lti_device_plan_run(lt_plan *plan)
{
    lock(plan->backend);
    const lt_status status = run_plan_on_device(plan);
    if (status != LT_OK) { // nothing may be left that reads the caller's memory later
        const lt_error why = *lt_error_get();
        plan->backend->ops->device->sync(plan->backend);
        lt_error_restore(&why);
    }
    unlock(plan->backend);
    return status == LT_OK ? LT_OK : lt_error_frame(status, __FILE__, __LINE__, __func__);
}

// ---- what training uses

bool lti_plan_on_device(const lt_plan *plan)
{
    return plan->device_plan != NULL;
}

void *lti_plan_device_input(lt_plan *plan, lt_val v)
{
    const bool input = v >= 0 && v < plan->n_user_values && plan->shown[v] >= 0;
    return plan->device_plan && input && plan->g->value[v].role == LT_ROLE_INPUT ? device_address(plan, plan->shown[v])
                                                                                 : NULL;
}

void lti_plan_input_produced_on_device(lt_plan *plan, lt_val v, bool produced_on_device)
{
    if (lti_plan_device_input(plan, v))
        plan->device_plan->produced_on_device[v] = produced_on_device;
}

const float *lti_plan_device_output(const lt_plan *plan, lt_val v)
{
    const bool output = plan->device_plan && v >= 0 && v < plan->n_user_values && is_output(plan, v);
    return output ? (const float *)(const void *)device_address(plan, plan->shown[v]) : NULL;
}

const float *lti_plan_device_grad(const lt_plan *plan, int i)
{
    return plan->device_plan && i >= 0 && i < plan->n_wrt
               ? (const float *)(const void *)device_address(plan, plan->grad[i])
               : NULL;
}

void lti_plan_keep_outputs_on_device(lt_plan *plan, bool keep)
{
    if (plan->device_plan)
        plan->device_plan->keep_outputs = keep;
}

void lti_plan_keep_on_device(lt_plan *plan, bool keep)
{
    if (plan->device_plan)
        plan->device_plan->keep = keep;
}

void lti_plan_repack_weights(lt_plan *plan)
{
    plan->dirty = true;
}
