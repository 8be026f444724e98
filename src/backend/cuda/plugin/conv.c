// conv.c - convolution and its gradients by cuDNN: which engine, and running it.
//
// Candidates are the engines of two graphs: the convolution with what follows it, and the convolution alone, whose rest
// is left to the caller's kernels. Timed, the fastest is taken, the convolution alone charged with a pass over its
// output; else the first of the library's order that compiles and runs, the longer graph first. Equal shapes get equal
// engines (ltc_device.choices): a network repeats its layers, and compiling takes longer than running.
#include "backend/cuda/kernels/elementwise.h"
#include "backend/cuda/plugin/graph.h"
#include "backend/cuda/plugin/plugin.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEY = 96, TIMED_RUNS = 5 };
static const size_t most_workspace = (size_t)1 << 30;

struct ltc_choice { // also what conv_run gets: it lives as long as the device
    ltc_choice *next;
    char key[KEY];
    ltc_graph *graph; // NULL: the library has none
    int plan;
    bool finishes;
    size_t workspace_bytes;
    double us;
    char impl[64], log[128];
};

// ---- tensors to try candidates on

typedef struct buffers {
    void *t[LTC_CONV_TENSORS];
    size_t workspace_bytes;
    uint32_t n_out; // elements of the output
} buffers;

static void free_buffers(ltc_device *dev, buffers *b)
{
    for (int i = 0; i < LTC_CONV_TENSORS; i++)
        if (b->t[i])
            ltc_release(dev, b->t[i]);
    *b = (buffers){0};
}

// Zeroed tensors of the convolution, and the largest workspace a candidate may use.
static int take_buffers(ltc_device *dev, const ltc_conv_shape *s, buffers *b)
{
    const size_t size = s->bf16 ? 2 : 4, n = (size_t)s->n, c = (size_t)s->c, k = (size_t)s->k;
    const size_t x = n * c * (size_t)s->h * (size_t)s->w, y = n * k * (size_t)s->oh * (size_t)s->ow;
    const size_t w = k * c * (size_t)s->r * (size_t)s->s, out = s->pass == LTC_CONV      ? y
                                                                : s->pass == LTC_CONV_DX ? x
                                                                                         : w;
    size_t n_free = 0, total = 0;
    *b = (buffers){.n_out = (uint32_t)out};
    int code = ltc_cuda(cudaMemGetInfo(&n_free, &total), "cudaMemGetInfo");
    b->workspace_bytes = n_free / 4 < most_workspace ? n_free / 4 : most_workspace;
    const size_t bytes[LTC_CONV_TENSORS] = {
        [LTC_IN0] = size * (s->pass == LTC_CONV_DX ? y : x),
        [LTC_IN1] = size * (s->pass == LTC_CONV_DW ? y : w),
        [LTC_OUT] = size * out,
        [LTC_WORKSPACE] = b->workspace_bytes ? b->workspace_bytes : 1,
        [LTC_BIAS] = s->bias ? 4 * k : 0,
        [LTC_ADDED] = s->add ? size * out : 0,
        [LTC_MASK] = s->relu && s->pass == LTC_CONV_DX ? size * out : 0,
    };
    for (int i = 0; i < LTC_CONV_TENSORS && code == LTC_OK; i++)
        if (bytes[i])
            code = ltc_alloc(dev, bytes[i], &b->t[i]);
    if (code != LTC_OK)
        free_buffers(dev, b);
    return code;
}

// ---- candidates

typedef struct chooser {
    ltc_device *dev;
    const ltc_conv_shape *s;
    buffers b;
    cudaEvent_t begin, end;
    double rest_us; // what a pass over the output takes
    ltc_choice *best;
    size_t logged;
} chooser;

// Microseconds of one run, over several.
static int timed(chooser *c, int (*run)(chooser *, const ltc_graph *, int), const ltc_graph *g, int plan, double *us)
{
    float ms = 0;
    int code = ltc_cuda(cudaEventRecord(c->begin, c->dev->stream), "cudaEventRecord");
    for (int i = 0; i < TIMED_RUNS && code == LTC_OK; i++)
        code = run(c, g, plan);
    if (code == LTC_OK)
        code = ltc_cuda(cudaEventRecord(c->end, c->dev->stream), "cudaEventRecord");
    if (code == LTC_OK)
        code = ltc_cuda(cudaEventSynchronize(c->end), "cudaEventSynchronize");
    if (code == LTC_OK)
        code = ltc_cuda(cudaEventElapsedTime(&ms, c->begin, c->end), "cudaEventElapsedTime");
    *us = 1e3 * (double)ms / TIMED_RUNS;
    return code;
}

static int run_plan(chooser *c, const ltc_graph *g, int plan)
{
    return ltc_graph_run(c->dev->cudnn, g, plan, c->b.t);
}

// A pass like the caller's kernels: reads the output and what is added or masks, and writes the output.
static int run_rest(chooser *c, const ltc_graph *g, int plan)
{
    (void)g, (void)plan;
    ltc_args a = {.f = {1.0f}};
    void *const t[] = {c->b.t[LTC_OUT], c->b.t[LTC_ADDED], c->b.t[LTC_MASK], c->b.t[LTC_OUT]};
    for (int i = 0; i < 4; i++)
        a.t[i] = (ltc_tensor){t[i], c->s->bf16};
    a.d[0] = t[1] && t[2] ? LTC_ADD_RELU_DX : t[2] ? LTC_RELU_DX : t[1] ? LTC_ADD : LTC_RELU;
    a.d[1] = (int32_t)c->b.n_out;
    return ltc_launch(c->dev, LTC_K_map, &a, (c->b.n_out + 3) / 4);
}

static void log_candidate(chooser *c, const char *name, bool finishes, double us)
{
    char *log = c->best->log;
    const size_t size = sizeof c->best->log;
    const bool alone = !finishes && (c->s->bias || c->s->add || c->s->relu);
    const int w = snprintf(log + c->logged, size - c->logged, "%s%s%s: %.0f us", c->logged ? ", " : "", name,
                           alone ? " alone" : "", us);
    if (w < 0 || (size_t)w >= size - c->logged)
        log[c->logged] = 0; // no room for this one
    else
        c->logged += (size_t)w;
}

// Makes the plan the choice if it works and is faster. LTC_UNSUPPORTED: it does not work, whatever the library's
// reason.
static int try_plan(chooser *c, ltc_graph *g, int plan, bool finishes)
{
    static const char *const pass[] = {[LTC_CONV] = "fwd", [LTC_CONV_DX] = "dx", [LTC_CONV_DW] = "dw"};
    size_t bytes = 0;
    const char *name = NULL;
    double us = 0;
    if (ltc_graph_plan(g, plan, &bytes, &name) != LTC_OK || bytes > c->b.workspace_bytes ||
        run_plan(c, g, plan) != LTC_OK)
        return LTC_UNSUPPORTED;
    int code = ltc_cuda(cudaStreamSynchronize(c->dev->stream), "convolution");
    if (code == LTC_OK && c->s->tune) {
        code = timed(c, run_plan, g, plan, &us);
        us += finishes ? 0 : c->rest_us;
        log_candidate(c, name, finishes, us);
    }
    ltc_choice *e = c->best;
    if (code != LTC_OK || (e->graph && us >= e->us))
        return code;
    e->graph = g;
    e->plan = plan;
    e->finishes = finishes;
    e->workspace_bytes = bytes;
    e->us = us;
    snprintf(e->impl, sizeof e->impl, "cudnn %s %.32s%s", pass[c->s->pass], name,
             finishes && (c->s->bias || c->s->add || c->s->relu) ? " with the rest" : "");
    return code;
}

static int try_graph(chooser *c, bool finish, ltc_graph **g)
{
    const ltc_target card = {.handle = c->dev->cudnn};
    int code = ltc_graph_make(&card, c->s, finish, g);
    if (code != LTC_OK)
        return code == LTC_UNSUPPORTED ? LTC_OK : code;
    for (int i = 0; i < ltc_graph_n_plans(*g) && code == LTC_OK && (c->s->tune || !c->best->graph); i++) {
        code = try_plan(c, *g, i, finish);
        code = code == LTC_UNSUPPORTED ? LTC_OK : code;
    }
    return code;
}

// Without timing, floats that may not be rounded go alone: such convolutions are bound by arithmetic, where a pass over
// the output matters little, and have more engines alone.
static int try_graphs(chooser *c)
{
    const ltc_conv_shape *s = c->s;
    const bool more = s->bias || s->add || s->relu;
    ltc_graph *g[2] = {NULL, NULL};
    int code = LTC_OK;
    if (more && s->tune)
        code = timed(c, run_rest, NULL, 0, &c->rest_us);
    if (code == LTC_OK && more && (s->tune || s->bf16 || s->tf32))
        code = try_graph(c, true, &g[0]);
    if (code == LTC_OK && (s->tune || !c->best->graph))
        code = try_graph(c, false, &g[1]);
    if (code != LTC_OK)
        c->best->graph = NULL;
    for (int i = 0; i < 2; i++)
        if (g[i] != c->best->graph)
            ltc_graph_free(g[i]);
    return code;
}

static int choose(ltc_device *dev, const ltc_conv_shape *s, ltc_choice *e)
{
    chooser c = {.dev = dev, .s = s, .best = e};
    int code = take_buffers(dev, s, &c.b);
    if (code != LTC_OK)
        return code;
    code = ltc_cuda(cudaEventCreate(&c.begin), "cudaEventCreate");
    if (code == LTC_OK)
        code = ltc_cuda(cudaEventCreate(&c.end), "cudaEventCreate");
    if (code == LTC_OK)
        code = try_graphs(&c);
    if (c.begin)
        (void)cudaEventDestroy(c.begin);
    if (c.end)
        (void)cudaEventDestroy(c.end);
    free_buffers(dev, &c.b);
    return code;
}

static int find_choice(ltc_device *dev, const ltc_conv_shape *s, ltc_choice **choice)
{
    char key[KEY];
    snprintf(key, sizeof key, "%d %d %d %d %d %d %d %d %d %d %d %d %d %d%d%d%d%d%d", (int)s->pass, s->n, s->c, s->h,
             s->w, s->k, s->r, s->s, s->oh, s->ow, s->stride, s->pad, s->dilation, s->bias, s->add, s->relu, s->bf16,
             s->tf32, s->tune);
    for (ltc_choice *e = dev->choices; e; e = e->next)
        if (strcmp(e->key, key) == 0) {
            *choice = e;
            return LTC_OK;
        }
    ltc_choice *e = calloc(1, sizeof *e);
    if (!e)
        return ltc_fail(LTC_FAILED, "out of host memory");
    const int code = choose(dev, s, e);
    if (code != LTC_OK) {
        free(e);
        return code;
    }
    memcpy(e->key, key, sizeof key);
    e->next = dev->choices;
    dev->choices = e;
    *choice = e;
    return LTC_OK;
}

void ltc_choices_free(ltc_device *dev)
{
    for (ltc_choice *e = dev->choices, *next; e; e = next) {
        next = e->next;
        ltc_graph_free(e->graph);
        free(e);
    }
    dev->choices = NULL;
}

int ltc_conv_make(ltc_device *dev, const ltc_conv_shape *shape, ltc_conv_made *made)
{
    ltc_choice *e = NULL;
    int code = ltc_cuda(cudaSetDevice(dev->index), "cudaSetDevice");
    if (code == LTC_OK)
        code = find_choice(dev, shape, &e);
    if (code != LTC_OK)
        return code;
    if (!e || !e->graph)
        return ltc_fail(LTC_UNSUPPORTED, "cuDNN has no engine with repeatable results");
    *made = (ltc_conv_made){.conv = e, .workspace_bytes = e->workspace_bytes, .finishes = e->finishes, .us = e->us};
    memcpy(made->impl, e->impl, sizeof made->impl);
    memcpy(made->log, e->log, sizeof made->log);
    return LTC_OK;
}

int ltc_conv_run(ltc_device *dev, const void *made, void *const *tensor)
{
    const ltc_choice *e = made;
    int code = ltc_cuda(cudaSetDevice(dev->index), "cudaSetDevice");
    if (code == LTC_OK)
        code = ltc_graph_run(dev->cudnn, e->graph, e->plan, tensor);
    return code == LTC_UNSUPPORTED ? LTC_FAILED : code;
}

void ltc_conv_free(ltc_device *dev, void *made)
{
    (void)dev, (void)made; // a choice, which other convolutions of this shape run, too
}
