// emu.c - a GPU that is none: the table of the plug-in (src/backend/cuda/api.h) on the host, over the same kernel
// bodies. It runs everything of the CUDA backend but the driver's calls, and is stricter than a GPU:
// - device memory cannot be touched from outside (a host read of a device pointer is a fault, so is an overrun);
// - nothing runs before sync, so a host buffer that changes too early gives wrong numbers;
// - indices of a kernel run in a scrambled order, so bodies that depend on each other give wrong numbers;
// - workspaces are overwritten by every call that owns one.
// LETHE_EMU=no-driver | no-device | version | memory=BYTES | fail=N (the N-th launch) makes it fail as a GPU would.
#include "backend/cuda/kernels/all.h"
#include "cuda/emu.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

typedef void body(const ltc_args *a, uint32_t i);
static body *const bodies[] = {
#define LTC_X(name) ltc_##name,
#include "backend/cuda/kernels.list"
};

typedef struct block { // one allocation; usable bytes end at a page nobody may touch
    struct block *next;
    char *map, *p;
    size_t map_bytes, bytes;
} block;

typedef struct emu_conv {
    ltc_kernel kernel;
    uint32_t n;
    ltc_args args;
    bool bias, add, mask, finishes; // what follows
    ltc_kernel rest;
    ltc_args rest_args;
} emu_conv;

typedef struct work {
    enum { LAUNCH, COPY, ZERO, GEMM, SCRIBBLE } kind;
    ltc_kernel kernel;
    ltc_args args;
    uint32_t n;
    void *to;
    const void *from;
    size_t bytes;
    ltc_gemm_shape gemm;
    const float *a, *b;
    float *d;
} work;

typedef struct list {
    work *w;
    size_t n, cap;
} list;

typedef struct card {     // its memory, which the sibling queues share
    pthread_mutex_t lock; // also held while work runs, for memory can be touched then
    block *blocks;
    size_t used, limit;
    int n_devices;
} card;

struct ltc_device {
    card *card;
    list queue, *captured;
    long launches, fail_at;
};

static _Thread_local char message[128];
static emu_counts counts;
#define COUNT(what, n) (void)__atomic_add_fetch(&counts.what, (n), __ATOMIC_RELAXED)

static const char *error(void)
{
    return message;
}

static int fail(int code, const char *text)
{
    snprintf(message, sizeof message, "%s", text);
    return code;
}

static const char *asked(const char *what)
{
    const char *emu = getenv("LETHE_EMU");
    return emu && strncmp(emu, what, strlen(what)) == 0 ? emu + strlen(what) : NULL;
}

static card *new_card(void)
{
    card *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->limit = asked("memory=") ? strtoull(asked("memory="), NULL, 10) : (size_t)1 << 34;
    pthread_mutex_init(&c->lock, NULL);
    return c;
}

static int open_device(int index, ltc_device *sibling, ltc_device **dev, ltc_info *info)
{
    if (asked("no-driver"))
        return fail(LTC_NO_DRIVER, "CUDA driver version is insufficient for CUDA runtime version");
    if (asked("no-device") || index > 1)
        return fail(LTC_NO_DEVICE, asked("no-device") ? "this machine has none" : "this machine has 2");
    ltc_device *d = calloc(1, sizeof *d);
    if (d)
        d->card = sibling ? sibling->card : new_card();
    if (!d || !d->card) {
        free(d);
        return fail(LTC_FAILED, "out of host memory");
    }
    pthread_mutex_lock(&d->card->lock);
    d->card->n_devices++;
    pthread_mutex_unlock(&d->card->lock);
    d->fail_at = asked("fail=") ? strtol(asked("fail="), NULL, 10) : -1;
    *info = (ltc_info){.name = "emulated card", .version = "no CUDA", .n_devices = 2, .total_bytes = d->card->limit};
    *dev = d;
    return LTC_OK;
}

static void release(card *c, void *p)
{
    for (block **at = &c->blocks; *at; at = &(*at)->next)
        if ((*at)->p == p) {
            block *b = *at;
            *at = b->next;
            c->used -= b->bytes;
            munmap(b->map, b->map_bytes);
            free(b);
            return;
        }
    abort(); // not ours, or released twice
}

static void close_device(ltc_device *dev)
{
    card *c = dev->card;
    pthread_mutex_lock(&c->lock);
    const bool last = --c->n_devices == 0;
    if ((last && c->blocks) || dev->captured) {
        fprintf(stderr, "emu: device memory left over\n");
        abort();
    }
    pthread_mutex_unlock(&c->lock);
    if (last) {
        pthread_mutex_destroy(&c->lock);
        free(c);
    }
    free(dev->queue.w);
    free(dev);
}

static int take(card *c, size_t bytes, void **p)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), room = (bytes + 255) / 256 * 256;
    const size_t inside = (room + page - 1) / page * page;
    if (c->used + bytes > c->limit)
        return fail(LTC_NO_MEMORY, "out of memory");
    block *b = calloc(1, sizeof *b);
    char *map = mmap(NULL, inside + page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (!b || map == MAP_FAILED)
        return fail(LTC_FAILED, "out of host memory");
    *b = (block){c->blocks, map, map + inside - room, inside + page, bytes};
    c->blocks = b;
    c->used += bytes;
    *p = b->p;
    return LTC_OK;
}

static int alloc(ltc_device *dev, size_t bytes, void **p)
{
    pthread_mutex_lock(&dev->card->lock);
    const int code = take(dev->card, bytes, p);
    pthread_mutex_unlock(&dev->card->lock);
    return code;
}

static int host_alloc(ltc_device *dev, size_t bytes, void **p)
{
    (void)dev;
    *p = calloc(1, bytes);
    return *p ? LTC_OK : fail(LTC_NO_MEMORY, "out of memory");
}

static void host_release(ltc_device *dev, void *p)
{
    (void)dev;
    free(p);
}

static int memory(ltc_device *dev, size_t *free_bytes, size_t *total_bytes)
{
    pthread_mutex_lock(&dev->card->lock);
    *free_bytes = dev->card->limit - dev->card->used;
    *total_bytes = dev->card->limit;
    pthread_mutex_unlock(&dev->card->lock);
    return LTC_OK;
}

static int add(ltc_device *dev, const work *w)
{
    list *to = dev->captured ? dev->captured : &dev->queue;
    if (to->n == to->cap) {
        to->cap = to->cap ? 2 * to->cap : 64;
        to->w = realloc(to->w, to->cap * sizeof *to->w);
        if (!to->w)
            return fail(LTC_FAILED, "out of host memory");
    }
    to->w[to->n++] = *w;
    return LTC_OK;
}

static int upload(ltc_device *dev, void *device, const void *host, size_t bytes)
{
    COUNT(uploaded, (long)bytes);
    return add(dev, &(work){.kind = COPY, .to = device, .from = host, .bytes = bytes});
}

static int download(ltc_device *dev, void *host, const void *device, size_t bytes)
{
    COUNT(downloaded, (long)bytes);
    return add(dev, &(work){.kind = COPY, .to = host, .from = device, .bytes = bytes});
}

static int copy(ltc_device *dev, void *to, const void *from, size_t bytes)
{
    return add(dev, &(work){.kind = COPY, .to = to, .from = from, .bytes = bytes});
}

static int zero(ltc_device *dev, void *p, size_t bytes)
{
    return add(dev, &(work){.kind = ZERO, .to = p, .bytes = bytes});
}

static int launch(ltc_device *dev, ltc_kernel kernel, const ltc_args *args, uint32_t n)
{
    COUNT(launches, 1);
    if (++dev->launches == dev->fail_at)
        return fail(LTC_FAILED, "an illegal memory access was encountered");
    return add(dev, &(work){.kind = LAUNCH, .kernel = kernel, .args = *args, .n = n});
}

// ---- running

static void run_gemm(const work *w)
{
    const ltc_gemm_shape *s = &w->gemm;
    for (int32_t i = 0; i < s->m; i++)
        for (int32_t j = 0; j < s->n; j++) {
            double sum = 0;
            for (int32_t k = 0; k < s->k; k++)
                sum += (double)(s->ta ? w->a[k * s->m + i] : w->a[i * s->k + k]) *
                       (double)(s->tb ? w->b[j * s->k + k] : w->b[k * s->n + j]);
            w->d[i * s->n + j] = (float)sum;
        }
}

static uint32_t common(uint32_t a, uint32_t b)
{
    while (b) {
        const uint32_t t = a % b;
        a = b;
        b = t;
    }
    return a;
}

// 0..n-1 in steps of a number that has no factor in common with n.
static void run_launch(const work *w)
{
    uint32_t step = (uint32_t)(0.618 * (double)w->n) | 1u, at = w->n - 1;
    while (common(step, w->n) != 1)
        step += 2;
    for (uint32_t i = 0; i < w->n; i++) {
        bodies[w->kernel](&w->args, at);
        at = (uint32_t)(((uint64_t)at + step) % w->n);
    }
}

static void run_work(const work *w)
{
    switch (w->kind) {
    case LAUNCH:
        run_launch(w);
        break;
    case COPY:
        memmove(w->to, w->from, w->bytes);
        break;
    case ZERO:
        memset(w->to, 0, w->bytes);
        break;
    case SCRIBBLE:
        memset(w->to, 0xff, w->bytes);
        break;
    case GEMM:
        run_gemm(w);
        break;
    }
}

static void protect(const card *c, int how)
{
    for (const block *b = c->blocks; b; b = b->next)
        mprotect(b->map, b->map_bytes - (size_t)sysconf(_SC_PAGESIZE), how);
}

static int sync_device(ltc_device *dev)
{
    if (dev->captured)
        return fail(LTC_FAILED, "sync while recording");
    pthread_mutex_lock(&dev->card->lock);
    protect(dev->card, PROT_READ | PROT_WRITE);
    for (size_t i = 0; i < dev->queue.n; i++)
        run_work(&dev->queue.w[i]);
    dev->queue.n = 0;
    protect(dev->card, PROT_NONE);
    pthread_mutex_unlock(&dev->card->lock);
    return LTC_OK;
}

// Memory that queued work still uses must not go.
static void release_after(ltc_device *dev, void *p)
{
    if (!dev->captured)
        sync_device(dev);
    pthread_mutex_lock(&dev->card->lock);
    release(dev->card, p);
    pthread_mutex_unlock(&dev->card->lock);
}

// ---- libraries

enum { WORKSPACE = 1000 };

// What follows the convolution, at once in the cases where the plug-in would.
static void follow(emu_conv *c, const ltc_conv_shape *s)
{
    const bool dx = s->pass == LTC_CONV_DX;
    c->finishes = (s->bias || s->add || s->relu) && (s->tune || s->bf16 || s->tf32);
    c->bias = s->bias;
    c->add = s->add;
    c->mask = s->relu && dx;
    c->rest = dx ? LTC_K_map : LTC_K_affine;
    for (int i = 0; i < LTC_MAX_TENSORS; i++)
        c->rest_args.t[i].bf16 = s->bf16 && (dx || i == 0 || i == 5 || i == 6);
    c->rest_args.f[0] = dx ? 1.0f : 0.0f;
    c->rest_args.d[0] = dx ? (s->add ? LTC_ADD_RELU_DX : LTC_RELU_DX) : (int32_t)c->n;
    c->rest_args.d[1] = dx ? (int32_t)c->n : s->k;
    c->rest_args.d[2] = !dx && s->relu;
}

static int conv_make(ltc_device *dev, const ltc_conv_shape *s, ltc_conv_made *made)
{
    (void)dev;
    emu_conv *c = calloc(1, sizeof *c);
    if (!c)
        return fail(LTC_FAILED, "out of host memory");
    const int32_t d[] = {s->n, s->c, s->h, s->w, s->k, s->r, s->s, s->oh, s->ow, s->stride, s->pad, s->dilation, 1};
    memcpy(c->args.d, d, sizeof d);
    for (int i = 0; i < 3; i++)
        c->args.t[i].bf16 = s->bf16;
    c->kernel = s->pass == LTC_CONV ? LTC_K_conv : s->pass == LTC_CONV_DX ? LTC_K_conv_dx : LTC_K_conv_dw;
    c->n = (uint32_t)(s->pass == LTC_CONV      ? s->n * s->oh * s->ow * s->k
                      : s->pass == LTC_CONV_DX ? s->n * s->h * s->w * s->c
                                               : s->k * s->r * s->s * s->c);
    follow(c, s);
    *made = (ltc_conv_made){.conv = c, .workspace_bytes = WORKSPACE, .finishes = c->finishes, .us = s->tune ? 1 : 0};
    snprintf(made->impl, sizeof made->impl, "emu conv%s", c->finishes ? " with the rest" : "");
    return LTC_OK;
}

static void conv_free(ltc_device *dev, void *conv)
{
    (void)dev;
    free(conv);
}

static int conv_run(ltc_device *dev, const void *conv, void *const *t)
{
    const emu_conv *c = conv;
    ltc_args a = c->args, rest = c->rest_args;
    for (int i = LTC_IN0; i <= LTC_OUT; i++)
        a.t[i].p = t[i];
    add(dev, &(work){.kind = SCRIBBLE, .to = t[LTC_WORKSPACE], .bytes = WORKSPACE});
    const int code = add(dev, &(work){.kind = LAUNCH, .kernel = c->kernel, .args = a, .n = c->n});
    if (code != LTC_OK || !c->finishes)
        return code;
    const bool dx = c->rest == LTC_K_map;
    rest.t[0].p = rest.t[dx ? 3 : 6].p = t[LTC_OUT];
    if (c->bias)
        rest.t[2].p = t[LTC_BIAS];
    if (c->add)
        rest.t[dx ? 1 : 5].p = t[LTC_ADDED];
    if (c->mask)
        rest.t[2].p = t[LTC_MASK];
    return add(dev, &(work){.kind = LAUNCH, .kernel = c->rest, .args = rest, .n = (c->n + 3) / 4});
}

static int gemm_make(ltc_device *dev, const ltc_gemm_shape *shape, void **gemm, size_t *workspace_bytes)
{
    (void)dev;
    ltc_gemm_shape *s = malloc(sizeof *s);
    if (!s)
        return fail(LTC_FAILED, "out of host memory");
    *s = *shape;
    *gemm = s;
    *workspace_bytes = WORKSPACE;
    return LTC_OK;
}

static void gemm_free(ltc_device *dev, void *gemm)
{
    (void)dev;
    free(gemm);
}

static int gemm_run(ltc_device *dev, const void *gemm, const float *a, const float *b, float *d, void *workspace)
{
    add(dev, &(work){.kind = SCRIBBLE, .to = workspace, .bytes = WORKSPACE});
    return add(dev, &(work){.kind = GEMM, .gemm = *(const ltc_gemm_shape *)gemm, .a = a, .b = b, .d = d});
}

// ---- recordings

static int capture_begin(ltc_device *dev)
{
    if (dev->captured)
        return fail(LTC_FAILED, "a recording within a recording");
    dev->captured = calloc(1, sizeof *dev->captured);
    return dev->captured ? LTC_OK : fail(LTC_FAILED, "out of host memory");
}

static int capture_end(ltc_device *dev, void **captured)
{
    COUNT(recordings, 1);
    *captured = dev->captured;
    dev->captured = NULL;
    return LTC_OK;
}

static int captured_launch(ltc_device *dev, void *captured)
{
    const list *r = captured;
    COUNT(replays, 1);
    for (size_t i = 0; i < r->n; i++)
        if (add(dev, &r->w[i]) != LTC_OK)
            return LTC_FAILED;
    return LTC_OK;
}

static void captured_free(ltc_device *dev, void *captured)
{
    (void)dev;
    COUNT(recordings_freed, 1);
    free(((list *)captured)->w);
    free(captured);
}

__attribute__((visibility("default"))) const ltc_api *ltc_plugin(void);

emu_counts *emu_counts_get(void)
{
    return &counts;
}

const ltc_api *ltc_plugin(void)
{
#define TABLE(v)                                                                                                       \
    {                                                                                                                  \
        .version = (v), .error = error, .open = open_device, .close = close_device, .alloc = alloc,                    \
        .release = release_after, .host_alloc = host_alloc, .host_release = host_release, .memory = memory,            \
        .upload = upload, .download = download, .zero = zero, .copy = copy, .launch = launch, .conv_run = conv_run,    \
        .gemm_run = gemm_run, .sync = sync_device, .conv_make = conv_make, .conv_free = conv_free,                     \
        .gemm_make = gemm_make, .gemm_free = gemm_free, .capture_begin = capture_begin, .capture_end = capture_end,    \
        .captured_launch = captured_launch, .captured_free = captured_free                                             \
    }
    static const ltc_api table = TABLE(LTC_VERSION), other = TABLE(LTC_VERSION + 1);
    return asked("version") ? &other : &table;
}
