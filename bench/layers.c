// layers.c - microseconds of every kernel of a CIFAR ResNet-18, one by one, on the oneDNN backend.
//
// usage: layers [width] [batch] [threads] [filter]
// Kernels are bound by hand, without a graph, and run on cold-ish buffers of their own: the sum is close to a step, and
// the lines show where it goes. Minimum of several runs; check the load average before believing a number.
#include "base/base.h"
#include "graph/backend.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern const lt_backend_ops lti_backend_onednn;

enum { LARGE = 8 << 20 }; // bytes from where memory comes in large pages

typedef struct totals {
    double fwd, dx, dw, elt;
} totals;

static size_t bytes_of(const lt_shape *s, lt_layout layout)
{
    size_t n = sizeof(float);
    for (int i = 0; i < s->n_dims; i++) {
        const size_t d = (size_t)s->dim[i];
        n *= i == 1 && layout == LT_LAYOUT_BLOCKED16 ? (d + 15) / 16 * 16 : d;
    }
    return n;
}

static float *fill(size_t bytes)
{
    float *p = lti_aligned_alloc(64, bytes); // in large pages, as those of a plan
    if (!p)
        exit(7);
    for (size_t i = 0; i < bytes / sizeof *p; i++)
        p[i] = (float)(int)((unsigned)i * 2654435761u >> 21) * (1.0f / 1024) - 0.9f;
    return p;
}

// Binds, runs for about 0.2 s, prints, returns seconds.
static double measure(lt_backend *b, const char *label, const lt_op *op, const lt_attr *attr, int n_in, int n_out,
                      const lt_arg *arg, double flop, bool train)
{
    lt_kernel k = {0};
    const lt_bind_in in = {op, attr, n_in, n_out, arg, LT_F32, train, 0};
    if (b->ops->bind(b, &in, &k) != LT_OK) {
        printf("%-28s %-14s not bound: %s\n", label, op->name, lt_error_get()->message);
        return 0;
    }
    void *p[LT_KERNEL_MAX_ARGS] = {0};
    size_t bytes = 0;
    for (int i = 0; i < n_in + n_out; i++) {
        const size_t n = bytes_of(&arg[i].shape, k.layout[i]);
        p[i] = fill(n);
        bytes += n;
    }
    void *scratch = fill(k.scratch_bytes + LARGE);
    k.prepared = fill(k.prepared_bytes + 64);
    double best = 1e30;
    const double start = lti_now_s();
    for (int i = 0; i < 4 || lti_now_s() - start < 0.2; i++) {
        const double t0 = lti_now_s();
        if ((k.prepare && k.prepare(&k, p, k.prepared) != LT_OK) || k.run(&k, p, scratch) != LT_OK)
            exit(1);
        const double t = lti_now_s() - t0;
        best = i && t < best ? t : best;
    }
    printf("%-28s %-14s %9.0f us", label, op->name, best * 1e6);
    if (flop > 0)
        printf(" %7.0f GFLOP/s", flop / best * 1e-9);
    else
        printf(" %7.1f GB/s   ", (double)bytes / best * 1e-9);
    printf("  scratch %6.1f MB  %s  [%s]\n", (double)k.scratch_bytes * 1e-6, k.impl, k.tuned);
    for (int i = 0; i < n_in + n_out; i++)
        lti_free(p[i]);
    lti_free(scratch);
    lti_free(k.prepared);
    if (k.destroy)
        k.destroy(&k);
    return best;
}

static lt_arg tensor(int64_t n, int64_t c, int64_t h, int64_t w, lt_layout layout)
{
    return (lt_arg){{4, {n, c, h, w}}, LT_F32, LT_ROLE_TEMP, layout};
}

static lt_arg vector(int64_t c)
{
    return (lt_arg){{1, {c}}, LT_F32, LT_ROLE_PARAM, LT_LAYOUT_PLAIN};
}

static void conv(lt_backend *b, int64_t n, int64_t ic, int64_t oc, int64_t h, int k, int stride, int times, totals *t)
{
    char label[64];
    const int64_t oh = (h + 2 * (k / 2) - k) / stride + 1;
    const lt_layout xl = ic <= 3 ? LT_LAYOUT_PLAIN : LT_LAYOUT_BLOCKED16;
    const lt_arg x = tensor(n, ic, h, h, xl), y = tensor(n, oc, oh, oh, LT_LAYOUT_BLOCKED16);
    const lt_arg w = tensor(oc, ic, k, k, LT_LAYOUT_PLAIN);
    lt_attr a = {.stride = stride, .pad = k / 2, .groups = 1};
    const double flop = 2.0 * (double)(n * oh * oh * oc * ic * k * k);
    snprintf(label, sizeof label, "%dx%d s%d %lld->%lld @%lld x%d", k, k, stride, (long long)ic, (long long)oc,
             (long long)h, times);
    t->fwd += times * measure(b, label, &lt_op_conv2d, &a, 2, 1, (lt_arg[]){x, w, y}, flop, true);
    a.shape = x.shape;
    const double dx = measure(b, label, &lt_op_conv2d_dx, &a, 2, 1, (lt_arg[]){y, w, x}, flop, true);
    if (ic > 3)
        t->dx += times * dx;
    a.shape = w.shape;
    t->dw += times * measure(b, label, &lt_op_conv2d_dw, &a, 2, 1, (lt_arg[]){x, y, w}, flop, true);
}

static void around(lt_backend *b, int64_t n, int64_t c, int64_t h, int relu, int plain, int adds, totals *t)
{
    char label[64];
    const lt_arg x = tensor(n, c, h, h, LT_LAYOUT_BLOCKED16), v = vector(c);
    lt_attr a = {.eps = 1e-5f, .momentum = 0.1f, .alpha = 1, .relu = true};
    snprintf(label, sizeof label, "%lld @%lld", (long long)c, (long long)h);
    t->elt += relu * measure(b, label, &lt_op_bn_train, &a, 5, 3, (lt_arg[]){x, v, v, v, v, x, v, v}, 0, true);
    t->elt += relu * measure(b, label, &lt_op_bn_train_dx, &a, 6, 3, (lt_arg[]){x, x, v, v, v, v, x, v, v}, 0, true);
    t->elt += adds * measure(b, label, &lt_op_add, &a, 2, 1, (lt_arg[]){x, x, x}, 0, true);
    a.relu = false;
    t->elt += plain * measure(b, label, &lt_op_bn_train, &a, 5, 3, (lt_arg[]){x, v, v, v, v, x, v, v}, 0, true);
    t->elt += plain * measure(b, label, &lt_op_bn_train_dx, &a, 5, 3, (lt_arg[]){x, x, v, v, v, x, v, v}, 0, true);
    t->elt += adds * measure(b, label, &lt_op_add, &a, 2, 1, (lt_arg[]){x, x, x}, 0, true);
    t->elt += adds * measure(b, label, &lt_op_relu_dx, &a, 2, 1, (lt_arg[]){x, x, x}, 0, true);
}

int main(int argc, char **argv)
{
    const int64_t c = argc > 1 ? atoi(argv[1]) : 64, n = argc > 2 ? atoi(argv[2]) : 128;
    lt_backend b = {.ops = &lti_backend_onednn, .n_threads = argc > 3 ? atoi(argv[3]) : 2};
    totals t = {0};
    if (b.ops->open(&b) != LT_OK) {
        fprintf(stderr, "%s\n", lt_error_get()->message);
        return 1;
    }
    printf("%s, width %lld, batch %lld, %d threads\n", b.version, (long long)c, (long long)n, b.n_threads);
    conv(&b, n, 3, c, 32, 3, 1, 1, &t);
    for (int stage = 0; stage < 4; stage++) {
        const int64_t w = c << stage, h = 32 >> stage;
        conv(&b, n, w, w, h, 3, 1, stage ? 3 : 4, &t);
        if (stage) {
            conv(&b, n, w / 2, w, 2 * h, 3, 2, 1, &t);
            conv(&b, n, w / 2, w, 2 * h, 1, 2, 1, &t);
        }
        around(&b, n, w, h, stage ? 2 : 3, stage ? 3 : 2, 2, &t);
    }
    printf("sum ms: conv fwd %.1f dx %.1f dw %.1f, around %.1f, all %.1f: %.1f images/s\n", t.fwd * 1e3, t.dx * 1e3,
           t.dw * 1e3, t.elt * 1e3, (t.fwd + t.dx + t.dw + t.elt) * 1e3, (double)n / (t.fwd + t.dx + t.dw + t.elt));
    b.ops->close(&b);
    return 0;
}
