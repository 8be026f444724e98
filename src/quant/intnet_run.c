// intnet_run.c - an integer network on images: plain C, and matrix products of the machine's instruction set.
//
// An image at a time and a thread; a layer gathers the windows of its source into rows and multiplies these with the
// weights. Accumulators are exact 32-bit sums in every kernel, so all give the same integers.
#include "quant/intnet_impl.h"

#include <stdlib.h>
#include <string.h>

typedef struct machine { // one thread's memory
    const lt_int_net *net;
    const lti_int_kernel *kernel;
    uint8_t *memory;  // activations
    uint8_t *scratch; // rows, accumulators, sums
    int64_t *spikes;  // (n_neurons) of the clip, or NULL
} machine;

static void *tensor_of(const machine *m, int i)
{
    return m->memory + m->net->tensor[i].offset;
}

static int32_t read_integer(const lti_int_tensor *t, const void *data, int64_t at)
{
    switch (t->type) {
    case LTI_INT_U8:
        return ((const uint8_t *)data)[at];
    case LTI_INT_I16:
        return ((const int16_t *)data)[at];
    case LTI_INT_I32:
        break;
    }
    return ((const int32_t *)data)[at];
}

int32_t lti_int_acc(const lt_int_net *net, const lti_int_term *t, const void *source, int64_t y, int64_t x, int64_t k)
{
    const lti_int_tensor *s = &net->tensor[t->source];
    const lti_int_weights *w = t->weights;
    if (!w)
        return read_integer(s, source, (y * s->w + x) * s->c + k);
    int32_t acc = 0;
    const int16_t *row = w->w + k * w->r * w->s * w->c;
    for (int64_t r = 0; r < w->r; r++)
        for (int64_t c = 0; c < w->s; c++) {
            const int64_t sy = y * t->stride - t->pad + r, sx = x * t->stride - t->pad + c;
            if (sy < 0 || sy >= s->h || sx < 0 || sx >= s->w)
                continue; // padding is the integer 0
            for (int64_t i = 0; i < w->c; i++)
                acc += row[(r * w->s + c) * w->c + i] * read_integer(s, source, (sy * s->w + sx) * s->c + i);
        }
    return acc;
}

// ---- products by kernel

static int inner_sums(const lti_int_weights *w, const lti_int_tensor *s)
{
    const int64_t pair = 2 * (int64_t)w->largest * s->largest;
    const int64_t n = pair > 0 ? 32767 / pair : 64;
    return n > 64 ? 64 : (int)n;
}

static bool fits_kernel(const machine *m, const lti_int_term *t)
{
    const lti_int_tensor *s = &m->net->tensor[t->source];
    return t->weights && t->weights->w8 && s->type == LTI_INT_U8;
}

// One row of a window: (s,c) bytes, zeros outside of the image.
static void gather_row(const lti_int_tensor *s, const lti_int_weights *w, const uint8_t *line, int64_t sx, uint8_t *to)
{
    if (sx >= 0 && sx + w->s <= s->w) { // whole: its bytes lie together
        memcpy(to, line + sx * s->c, (size_t)(w->s * w->c));
        return;
    }
    for (int64_t q = 0; q < w->s; q++, sx++, to += w->c) {
        if (sx < 0 || sx >= s->w)
            memset(to, 0, (size_t)w->c);
        else
            memcpy(to, line + sx * s->c, (size_t)w->c);
    }
}

// The windows of all output places as rows of kp bytes, (r,s,c) in order, zeros behind.
static void gather_rows(const lti_int_tensor *s, const lti_int_term *t, const lti_int_layer *l, const uint8_t *x,
                        uint8_t *rows)
{
    const lti_int_weights *w = t->weights;
    const int64_t line = w->s * w->c, used = w->r * line;
    for (int64_t y = 0; y < l->h; y++)
        for (int64_t c = 0; c < l->w; c++, rows += w->kp) {
            for (int64_t r = 0; r < w->r; r++) {
                const int64_t sy = y * t->stride - t->pad + r;
                if (sy < 0 || sy >= s->h)
                    memset(rows + r * line, 0, (size_t)line);
                else
                    gather_row(s, w, x + sy * s->w * s->c, c * t->stride - t->pad, rows + r * line);
            }
            memset(rows + used, 0, (size_t)(w->kp - used));
        }
}

static void term_sums(const machine *m, const lti_int_layer *l, const lti_int_term *t, uint8_t *scratch, int32_t *acc)
{
    const lti_int_tensor *s = &m->net->tensor[t->source];
    const void *x = tensor_of(m, t->source);
    const int64_t n = l->h * l->w;
    if (fits_kernel(m, t)) {
        gather_rows(s, t, l, x, scratch);
        m->kernel->gemm(scratch, n, t->weights->w8, l->k, t->weights->kp, inner_sums(t->weights, s), acc);
        return;
    }
    if (!t->weights && s->type == LTI_INT_U8) {
        for (int64_t i = 0; i < n * l->k; i++)
            acc[i] = ((const uint8_t *)x)[i];
        return;
    }
    for (int64_t i = 0; i < n; i++)
        for (int64_t k = 0; k < l->k; k++)
            acc[i * l->k + k] = lti_int_acc(m->net, t, x, i / l->w, i % l->w, k);
}

static const int32_t *step_table(const lti_int_layer *l, const int32_t *table, int step)
{
    return table + (l->table_steps > 1 ? step * l->k : 0);
}

// Sums of a layer as currents: stored, or what its neurons add to their potentials.
static void finish_currents(const machine *m, const lti_int_layer *l, const int64_t *sum, int32_t *current)
{
    const int64_t n = l->h * l->w * l->k;
    const bool stored = l->kind == LTI_INT_CURRENT;
    int32_t *to = stored ? tensor_of(m, l->target) : current;
    for (int64_t i = 0; i < n; i++)
        to[i] =
            (int32_t)lti_saturate(lti_floor_shift(sum[i], l->shift), stored ? LTI_INT_CURRENT_MAX : LTI_INT_NORM_MAX);
    if (stored)
        return;
    uint8_t *s = tensor_of(m, l->target);
    lti_int_neuron_step(&l->neuron, n, current, tensor_of(m, l->state), s);
    for (int64_t i = 0; i < n && m->spikes; i++)
        m->spikes[l->ordinal] += s[i];
}

// ---- convolution and end of a layer in one pass

// The source with zeros around it; itself where there are none.
static const uint8_t *pad_source(const lti_int_tensor *s, int pad, const uint8_t *x, uint8_t *room)
{
    const int64_t line = (s->w + 2 * pad) * s->c, edge = pad * s->c;
    if (pad == 0)
        return x;
    memset(room, 0, (size_t)(pad * line));
    memset(room + (s->h + pad) * line, 0, (size_t)(pad * line));
    for (int64_t y = 0; y < s->h; y++) {
        uint8_t *row = room + (y + pad) * line;
        memset(row, 0, (size_t)edge);
        memcpy(row + edge, x + y * s->w * s->c, (size_t)(s->w * s->c));
        memset(row + edge + s->w * s->c, 0, (size_t)edge);
    }
    return room;
}

// Where rows of windows are no multiples of four bytes, windows are gathered one behind the other.
static lti_int_conv conv_of(const machine *m, const lti_int_layer *l, const lti_int_term *t, uint8_t *room)
{
    const lti_int_tensor *s = &m->net->tensor[t->source];
    const lti_int_weights *w = t->weights;
    lti_int_conv c = {.weights = w->w8, .k = l->k, .kp = w->kp, .h = l->h, .w = l->w, .inner = inner_sums(w, s)};
    if (w->s * w->c % 4 != 0) {
        gather_rows(s, t, l, tensor_of(m, t->source), room);
        c.x = room;
        c.r = 1;
        c.span = c.line = c.step = w->kp;
        c.row_step = l->w * w->kp;
        return c;
    }
    c.x = pad_source(s, t->pad, tensor_of(m, t->source), room);
    c.line = (s->w + 2 * t->pad) * s->c;
    c.r = w->r;
    c.span = w->s * w->c;
    c.step = t->stride * s->c;
    c.row_step = t->stride * c.line;
    return c;
}

typedef struct parts { // terms of a layer
    int conv, same;    // the largest convolution of bytes; bytes as they are; -1
    bool more;
} parts;

static parts parts_of(const machine *m, const lti_int_layer *l)
{
    parts p = {-1, -1, false};
    for (int t = 0; t < l->n_terms; t++) {
        const lti_int_term *term = &l->term[t];
        const bool bytes = m->net->tensor[term->source].type == LTI_INT_U8;
        const bool conv = term->weights && term->weights->w8 && bytes;
        if (conv && p.conv < 0)
            p.conv = t;
        else if (conv && term->weights->kp > l->term[p.conv].weights->kp)
            p.conv = t, p.more = true;
        else if (!term->weights && bytes && p.same < 0)
            p.same = t;
        else
            p.more = true;
    }
    return p;
}

// Everything else of a layer first, where there is more than one convolution.
static bool run_fused(const machine *m, const lti_int_layer *l, int step)
{
    if (!m->kernel->conv || l->kind != LTI_INT_AFFINE)
        return false;
    const parts p = parts_of(m, l);
    const int64_t n = l->h * l->w * l->k;
    const int64_t *add = l->add + (l->table_steps > 1 ? step * l->k : 0);
    if (p.conv < 0)
        return false;
    int64_t *sum = (int64_t *)(void *)m->scratch;
    int32_t *acc = (int32_t *)(void *)(m->scratch + (n * 8 + 63) / 64 * 64);
    uint8_t *room = (uint8_t *)acc + (n * 4 + 63) / 64 * 64;
    for (int64_t i = 0; i < n && p.more; i += l->k)
        memcpy(sum + i, add, (size_t)l->k * sizeof *sum);
    for (int t = 0; t < l->n_terms && p.more; t++)
        if (t != p.conv && t != p.same) {
            term_sums(m, l, &l->term[t], room, acc);
            m->kernel->add_term(sum, acc, step_table(l, l->term[t].mul, step), l->h * l->w, l->k);
        }
    const lti_int_conv c = conv_of(m, l, &l->term[p.conv], room);
    const lti_int_end e = {.mul = step_table(l, l->term[p.conv].mul, step),
                           .same_mul = p.same >= 0 ? step_table(l, l->term[p.same].mul, step) : NULL,
                           .add = add,
                           .sum = p.more ? sum : NULL,
                           .same = p.same >= 0 ? tensor_of(m, l->term[p.same].source) : NULL,
                           .shift = l->shift,
                           .top = ((int64_t)1 << l->bits) - 1,
                           .out = tensor_of(m, l->target)};
    m->kernel->conv(&c, &e);
    return true;
}

static void run_affine(const machine *m, const lti_int_layer *l, int step, int64_t *logits)
{
    if (run_fused(m, l, step))
        return;
    const int64_t n = l->h * l->w * l->k;
    const int64_t *add = l->add + (l->table_steps > 1 ? step * l->k : 0);
    int64_t *sum = (int64_t *)(void *)m->scratch;
    int32_t *acc = (int32_t *)(void *)(m->scratch + (n * 8 + 63) / 64 * 64);
    uint8_t *rows = (uint8_t *)acc + (n * 4 + 63) / 64 * 64;
    for (int64_t i = 0; i < n; i += l->k)
        memcpy(sum + i, add, (size_t)l->k * sizeof *sum);
    for (int t = 0; t < l->n_terms; t++) {
        term_sums(m, l, &l->term[t], rows, acc);
        m->kernel->add_term(sum, acc, step_table(l, l->term[t].mul, step), l->h * l->w, l->k);
    }
    if (l->kind == LTI_INT_LOGITS) {
        for (int64_t i = 0; i < n; i++)
            logits[i] += sum[i];
        return;
    }
    if (l->kind != LTI_INT_AFFINE) {
        finish_currents(m, l, sum, acc);
        return;
    }
    m->kernel->finish(sum, n, l->shift, ((int64_t)1 << l->bits) - 1, tensor_of(m, l->target));
}

static void run_pool(const machine *m, const lti_int_layer *l)
{
    const lti_int_tensor *s = &m->net->tensor[l->source];
    const void *x = tensor_of(m, l->source);
    const bool most = l->kind == LTI_INT_MAX_POOL;
    for (int64_t y = 0; y < l->h; y++)
        for (int64_t c = 0; c < l->w; c++)
            for (int64_t k = 0; k < l->k; k++) {
                int32_t v = most && s->type == LTI_INT_I32 ? INT32_MIN : 0;
                for (int r = 0; r < l->kernel; r++)
                    for (int q = 0; q < l->kernel; q++) {
                        const int64_t sy = y * l->stride - l->pad + r, sx = c * l->stride - l->pad + q;
                        if (sy < 0 || sy >= s->h || sx < 0 || sx >= s->w)
                            continue;
                        const int32_t i = read_integer(s, x, (sy * s->w + sx) * s->c + k);
                        v = most ? (i > v ? i : v) : v + i;
                    }
                const int64_t at = (y * l->w + c) * l->k + k;
                if (most && s->type == LTI_INT_U8)
                    ((uint8_t *)tensor_of(m, l->target))[at] = (uint8_t)v;
                else
                    ((int32_t *)tensor_of(m, l->target))[at] = v;
            }
}

// Planes of bytes of one step become (H,W,C).
static void load_image(const machine *m, const uint8_t *image, int step)
{
    const lti_int_tensor *s = &m->net->tensor[0];
    const int64_t plane = s->h * s->w, first = m->net->frames ? step * s->c : 0;
    for (int64_t p = 0; p < plane; p++)
        for (int64_t c = 0; c < s->c; c++) {
            const uint8_t v = image[(first + c) * plane + p];
            if (m->net->has_lut)
                ((int16_t *)tensor_of(m, 0))[p * s->c + c] = m->net->lut[(first + c) * 256 + v];
            else
                ((uint8_t *)tensor_of(m, 0))[p * s->c + c] = v;
        }
}

static void run_norm(const machine *m, const lti_int_layer *l)
{
    const lti_int_tensor *s = &m->net->tensor[l->source];
    lti_int_layer_norm(tensor_of(m, l->source), s->h * s->w * s->c, l->eps, tensor_of(m, l->target));
}

static void run_count(const machine *m, const lti_int_layer *l, int64_t *logits)
{
    for (int64_t k = 0; k < l->k; k++)
        logits[k] += read_integer(&m->net->tensor[l->source], tensor_of(m, l->source), k);
}

static void run_layer(const machine *m, const lti_int_layer *l, int step, int64_t *logits)
{
    switch (l->kind) {
    case LTI_INT_SUM_POOL:
    case LTI_INT_MAX_POOL:
        run_pool(m, l);
        return;
    case LTI_INT_LAYER_NORM:
        run_norm(m, l);
        return;
    case LTI_INT_COUNT:
        run_count(m, l, logits);
        return;
    case LTI_INT_AFFINE:
    case LTI_INT_LOGITS:
    case LTI_INT_CURRENT:
    case LTI_INT_NEURON:
        run_affine(m, l, step, logits);
    }
}

static void run_image(const machine *m, const uint8_t *image, int64_t *logits)
{
    const lt_int_net *net = m->net;
    memset(logits, 0, (size_t)net->shape.n_classes * sizeof *logits);
    for (int i = 0; i < net->n_layers; i++)
        if (net->layer[i].state >= 0) // no clip begins with the potentials of the one before
            memset(tensor_of(m, net->layer[i].state), 0, (size_t)net->tensor[net->layer[i].state].bytes);
    for (int t = 0; t < net->n_steps; t++) {
        if (t == 0 || net->frames)
            load_image(m, image, t);
        for (int i = 0; i < net->n_layers; i++)
            if (t == 0 || !net->layer[i].once)
                run_layer(m, &net->layer[i], t, logits);
    }
}

const lti_int_kernel *lti_int_kernel_best(void)
{
#if defined(__x86_64__) && defined(__GNUC__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bw"))
        return &lti_int_kernel_vnni;
    if (__builtin_cpu_supports("avx2"))
        return &lti_int_kernel_avx2;
#endif
    return &lti_int_kernel_c;
}

static const lti_int_kernel *kernel_of(const char *name)
{
    const lti_int_kernel *best = lti_int_kernel_best();
    if (!name)
        return best;
#if defined(__x86_64__) && defined(__GNUC__)
    if (strcmp(name, lti_int_kernel_avx2.name) == 0 && __builtin_cpu_supports("avx2"))
        return &lti_int_kernel_avx2;
#endif
    return strcmp(name, best->name) == 0 ? best : &lti_int_kernel_c;
}

typedef struct order { // clips to run
    const uint8_t *images;
    int64_t n;
    int n_threads;
    const char *kernel;
    int64_t *logits, *spikes; // spikes: (n, n_neurons) or NULL
} order;

static lt_status run_all(const lt_int_net *net, const order *o)
{
    const int64_t per = (int64_t)net->shape.c * net->shape.h * net->shape.w;
    const size_t each = (size_t)(net->memory_bytes + net->scratch_bytes + 4096);
    const int n_threads = o->n_threads > 0 ? o->n_threads : 1;
    uint8_t *memory = lti_aligned_alloc(64, each * (size_t)n_threads);
    if (!memory)
        return LTI_NOMEM("activations of an integer network");
#pragma omp parallel for schedule(static) num_threads(n_threads)
    for (int t = 0; t < n_threads; t++) {
        machine m = {.net = net,
                     .kernel = kernel_of(o->kernel),
                     .memory = memory + each * (size_t)t,
                     .scratch = memory + each * (size_t)t + (net->memory_bytes + 63) / 64 * 64};
        for (int64_t i = o->n * t / n_threads; i < o->n * (t + 1) / n_threads; i++) {
            m.spikes = o->spikes ? o->spikes + i * net->n_neurons : NULL;
            run_image(&m, o->images + i * per, o->logits + i * net->shape.n_classes);
        }
    }
    lti_free(memory);
    return LT_OK;
}

lt_status lt_int_net_run(const lt_int_net *net, const uint8_t *images, int64_t n, int n_threads, const char *kernel,
                         int64_t *logits)
{
    return run_all(net, &(order){images, n, n_threads, kernel, logits, NULL});
}

lt_status lt_int_net_spikes(const lt_int_net *net, const uint8_t *clips, int64_t n, int n_threads, const char *kernel,
                            int64_t *logits, int64_t *spikes)
{
    if (net->n_neurons == 0)
        return LT_FAIL(LT_E_USAGE, "spikes: expected a spiking network, found %s", net->model->spec);
    memset(spikes, 0, (size_t)(n * net->n_neurons) * sizeof *spikes);
    return run_all(net, &(order){clips, n, n_threads, kernel, logits, spikes});
}

lt_status lt_int_net_evaluate(const lt_int_net *net, const lt_dataset *ds, lt_split split, int n_threads, double *acc,
                              double *images_per_s)
{
    const lt_split_data *s = &ds->split[split];
    const int k = net->shape.n_classes;
    int64_t *z = lti_malloc((size_t)(s->n > 0 ? s->n : 1) * (size_t)k * sizeof *z), correct = 0;
    if (!z)
        return LTI_NOMEM("logits");
    const double start = lti_now_s();
    const lt_status status = lt_int_net_run(net, s->x, s->n, n_threads, NULL, z);
    *images_per_s = (double)s->n / (lti_now_s() - start);
    for (int64_t i = 0; i < s->n && status == LT_OK; i++) {
        int best = 0;
        for (int j = 1; j < k; j++)
            best = z[i * k + j] > z[i * k + best] ? j : best;
        correct += best == s->y[i];
    }
    lti_free(z);
    *acc = s->n > 0 ? (double)correct / (double)s->n : 0;
    return status;
}
