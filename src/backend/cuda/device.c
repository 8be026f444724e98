// device.c - memory, queued work and captured graphs of a GPU: lt_device_ops over the plug-in's table.
#include "backend/cuda/cuda.h"
#include "base/base.h"

static lt_status out_of_memory(const lti_cuda *cu, size_t bytes)
{
    size_t n_free = 0, total = 0;
    if (cu->api->memory(cu->dev, &n_free, &total) != LTC_OK)
        n_free = 0;
    LT_FAIL(LT_E_NOMEM, "cuda:%d: out of device memory: %.1f MiB more were needed, %.1f of %.1f MiB are free",
            cu->index, (double)bytes / 1048576, (double)n_free / 1048576, (double)total / 1048576);
    return lt_error_hint("a smaller --batch needs less");
}

static lt_status device_alloc(lt_backend *b, size_t bytes, void **p)
{
    lti_cuda *cu = b->self;
    const int code = cu->api->alloc(cu->dev, bytes ? bytes : 1, p);
    return code == LTC_NO_MEMORY ? out_of_memory(cu, bytes) : lti_cuda_check(cu, code, "device memory");
}

static void device_release(lt_backend *b, void *p)
{
    lti_cuda *cu = b->self;
    if (p)
        cu->api->release(cu->dev, p);
}

static lt_status host_alloc(lt_backend *b, size_t bytes, void **p)
{
    lti_cuda *cu = b->self;
    const int code = cu->api->host_alloc(cu->dev, bytes ? bytes : 1, p);
    return code == LTC_NO_MEMORY ? LTI_NOMEM("page-locked memory for copies to the device")
                                 : lti_cuda_check(cu, code, "page-locked memory");
}

static void host_release(lt_backend *b, void *p)
{
    lti_cuda *cu = b->self;
    if (p)
        cu->api->host_release(cu->dev, p);
}

static lt_status upload(lt_backend *b, void *device, const void *host, size_t bytes)
{
    lti_cuda *cu = b->self;
    return bytes == 0 ? LT_OK : lti_cuda_check(cu, cu->api->upload(cu->dev, device, host, bytes), "copy to the device");
}

static lt_status download(lt_backend *b, void *host, const void *device, size_t bytes)
{
    lti_cuda *cu = b->self;
    return bytes == 0 ? LT_OK
                      : lti_cuda_check(cu, cu->api->download(cu->dev, host, device, bytes), "copy from the device");
}

static lt_status zero(lt_backend *b, void *device, size_t bytes)
{
    lti_cuda *cu = b->self;
    return bytes == 0 ? LT_OK : lti_cuda_check(cu, cu->api->zero(cu->dev, device, bytes), "clearing device memory");
}

static lt_status copy(lt_backend *b, void *to, const void *from, size_t bytes)
{
    lti_cuda *cu = b->self;
    return bytes == 0 ? LT_OK : lti_cuda_check(cu, cu->api->copy(cu->dev, to, from, bytes), "copy on the device");
}

static lt_status sync(lt_backend *b)
{
    lti_cuda *cu = b->self;
    const lt_status status = lti_cuda_check(cu, cu->api->sync(cu->dev), "waiting for the device");
    if (cu->failed == LT_OK)
        return status;
    const lt_status before = cu->failed; // the older failure is the cause
    lt_error_restore(&cu->failure);
    cu->failed = LT_OK;
    return before;
}

static lt_status capture_begin(lt_backend *b)
{
    lti_cuda *cu = b->self;
    return lti_cuda_check(cu, cu->api->capture_begin(cu->dev), "starting to record");
}

static lt_status capture_end(lt_backend *b, void **captured)
{
    lti_cuda *cu = b->self;
    return lti_cuda_check(cu, cu->api->capture_end(cu->dev, captured), "recording a step");
}

static lt_status captured_launch(lt_backend *b, void *captured)
{
    lti_cuda *cu = b->self;
    return lti_cuda_check(cu, cu->api->captured_launch(cu->dev, captured), "running a recorded step");
}

static void captured_free(lt_backend *b, void *captured)
{
    lti_cuda *cu = b->self;
    if (captured)
        cu->api->captured_free(cu->dev, captured);
}

static lt_status launch(lti_cuda *cu, ltc_kernel kernel, const ltc_args *a, int64_t n, const char *doing)
{
    if (n > INT32_MAX)
        return LT_FAIL(LT_E_UNSUPPORTED, "cuda: %s: %lld values, at most 2^31 - 1", doing, (long long)n);
    return n < 1 ? LT_OK : lti_cuda_check(cu, cu->api->launch(cu->dev, kernel, a, (uint32_t)n), doing);
}

static lt_status update(lt_backend *b, const lt_device_update *u)
{
    ltc_args a = {.t = {{u->p, 0}, {(void *)u->g, 0}, {u->m, 0}, {u->v, 0}, {(void *)u->mask, 0}, {u->bad, 0}}};
    if (u->v) {
        const float f[] = {u->lr, u->decay, u->beta1, u->beta2, u->c1, u->c2, u->root_bc2, u->eps, u->l1};
        for (size_t i = 0; i < sizeof f / sizeof *f; i++)
            a.f[i] = f[i];
    } else {
        const float f[] = {u->lr, u->momentum, u->weight_decay, u->l1};
        for (size_t i = 0; i < sizeof f / sizeof *f; i++)
            a.f[i] = f[i];
        a.d[0] = u->nesterov;
    }
    return launch(b->self, u->v ? LTC_K_adamw : LTC_K_sgd, &a, u->n, "optimizer step");
}

static lt_status images(lt_backend *b, const lt_device_images *im)
{
    const int64_t n = (int64_t)im->n * im->c * im->h * im->w;
    ltc_args a = {
        .t = {{(void *)im->image, 0}, {(void *)im->id, 0}, {(void *)im->tag, 0}, {(void *)im->how, 0}, {im->x, 0}},
        .d = {im->c, im->h, im->w, im->pad, (int32_t)im->epoch},
        .seed = im->seed};
    return launch(b->self, LTC_K_images, &a, n, "images of a batch");
}

// ---- between two gradients of an attack

static lt_status rows(lt_backend *b, const lt_device_rows *r)
{
    const ltc_args a = {.t = {{(void *)r->from, 0}, {(void *)r->index, 0}, {r->to, 0}}, .d = {r->d}};
    return launch(b->self, LTC_K_rows, &a, (int64_t)r->n * r->d, "rows of a batch");
}

static lt_status attack_eval(lt_backend *b, const lt_device_attack_eval *l)
{
    const ltc_args length = {.t = {{(void *)l->g, 0}, {NULL, 0}, {l->part, 0}, {NULL, 0}}, .d = {l->d}};
    const ltc_args row = {.t = {{l->part, 0}, {(void *)l->z, 0}, {l->stats, 0}}, .d = {l->k}};
    LT_TRY(launch(b->self, LTC_K_ball_parts, &length, (int64_t)l->n * LTI_L2_BALL_PARTS, "lengths of gradients"));
    return launch(b->self, LTC_K_row_look, &row, l->n, "predictions");
}

static lt_status attack_step(lt_backend *b, const lt_device_attack_step *c)
{
    const int64_t n = (int64_t)c->n * c->d;
    const ltc_args up = {.t = {{c->image, 0}, {(void *)c->g, 0}, {c->move, 0}}, .d = {c->d}};
    const ltc_args dist = {.t = {{c->image, 0}, {(void *)c->x, 0}, {c->part, 0}, {c->move, 0}}, .d = {c->d}};
    const ltc_args shrink = {.t = {{c->part, 0}, {c->move, 0}}};
    const ltc_args back = {.t = {{(void *)c->x, 0}, {c->image, 0}, {c->move, 0}}, .d = {c->d}};
    LT_TRY(launch(b->self, LTC_K_climb, &up, n, "step of an attack"));
    LT_TRY(launch(b->self, LTC_K_ball_parts, &dist, (int64_t)c->n * LTI_L2_BALL_PARTS, "distances from images"));
    LT_TRY(launch(b->self, LTC_K_climb_shrink, &shrink, c->n, "step of an attack"));
    return launch(b->self, LTC_K_climb_back, &back, n, "step of an attack");
}

const lt_device_ops lti_cuda_device = {
    .alloc = device_alloc,
    .release = device_release,
    .host_alloc = host_alloc,
    .host_release = host_release,
    .upload = upload,
    .download = download,
    .zero = zero,
    .copy = copy,
    .sync = sync,
    .capture_begin = capture_begin,
    .capture_end = capture_end,
    .captured_launch = captured_launch,
    .captured_free = captured_free,
    .update = update,
    .images = images,
    .rows = rows,
    .attack_eval = attack_eval,
    .attack_step = attack_step,
};
