// device_profile.c - the time of a step by kernel on a device, relative to the limits of its memory and its arithmetic.
//
// usage: device_profile DEVICE [MODEL] [BATCH] [train|input-grad|infer] [small]
// DEVICE: cuda:0,precision=bf16,tune=1, with LETHE_CUDA_PLUGIN=build/release/cli/liblethe_cuda.so. small: ceilings on
// little data, to try the program itself. Prints one JSON object: a step's seconds, the ceilings measured on this
// device, and per kind of kernel how many there are, their time, bytes (every tensor once) and operations. Every kernel
// is recorded several times in a row and replayed, so that what it takes to launch it is not counted. `least_us` is
// what the ceilings allow.
#include "loss_net.h"

enum { RUNS = 20, ROUNDS = 5, STEPS = 30, MOST_KINDS = 64, NAME = 40 };

// Queued work.
typedef struct work {
    lt_backend *b;
    lt_plan *plan;
    const lti_step *step;
    void *to, *from;
    size_t bytes;
} work;

static lt_status run_step(const work *w)
{
    const lt_kernel *k = &w->step->kernel;
    if (k->prepare && (w->plan->train || w->step->prepare_always))
        LT_TRY(k->prepare(k, w->step->ptr, k->prepared));
    return k->run(k, w->step->ptr, w->plan->scratch);
}

static lt_status run_copy(const work *w)
{
    return w->b->ops->device->copy(w->b, w->to, w->from, w->bytes);
}

// Seconds of one run: the least of some rounds.
static double seconds(lt_status (*run)(const work *), const work *w)
{
    const lt_device_ops *d = w->b->ops->device;
    void *captured = NULL;
    double best = 1e9;
    must(run(w)); // sets libraries up
    must(d->sync(w->b));
    must(d->capture_begin(w->b));
    for (int i = 0; i < RUNS; i++)
        must(run(w));
    must(d->capture_end(w->b, &captured));
    for (int r = 0; r < ROUNDS; r++) {
        const double start = lti_now_s();
        must(d->captured_launch(w->b, captured));
        must(d->sync(w->b));
        const double s = (lti_now_s() - start) / RUNS;
        best = s < best ? s : best;
    }
    d->captured_free(w->b, captured);
    return best;
}

// ---- ceilings

// Products as fast as they come: a 1x1 convolution with many channels.
static double product_ceiling(lt_backend *b, int64_t channels)
{
    lt_graph *g = NULL;
    lt_plan *plan = NULL;
    must(lt_graph_create(&g));
    const lt_val x = lt_input(g, "x", LT_F32, LT_SHAPE(LT_BATCH, channels, 16, 16));
    const lt_val w = lt_param(g, "w", LT_SHAPE(channels, channels, 1, 1));
    const lt_val y = lt_conv2d(g, x, w, LT_NONE, (lt_conv_attr){.stride = 1, .groups = 1});
    must(lt_graph_status(g));
    const lt_plan_spec spec = {
        .outs = &y, .n_outs = 1, .grad_of = LT_NONE, .seed = LT_NONE, .batch = 64, .dtype = LT_F32};
    must(lt_plan_create(g, &spec, b, &plan));
    float *params = lti_calloc((size_t)(channels * channels), sizeof *params);
    must(params ? LT_OK : LTI_NOMEM("parameters"));
    must(lt_plan_bind(plan, params, NULL, NULL));
    must(lt_plan_run(plan));
    double best = 0;
    for (int32_t i = 0; i < plan->n_steps; i++) {
        const lti_step *s = &plan->step[i];
        if (s->node < 0 || plan->g->node[s->node].op != &lt_op_conv2d)
            continue;
        const work conv = {.b = b, .plan = plan, .step = s};
        best = lt_plan_get_stats(plan).flop / seconds(run_step, &conv);
    }
    lt_plan_destroy(plan);
    lt_graph_destroy(g);
    lti_free(params);
    return best;
}

// Bytes read and written a second.
static double memory_ceiling(lt_backend *b, size_t bytes)
{
    const lt_device_ops *d = b->ops->device;
    work w = {.b = b, .bytes = bytes};
    must(d->alloc(b, bytes, &w.to));
    must(d->alloc(b, bytes, &w.from));
    const double s = seconds(run_copy, &w);
    d->release(b, w.to);
    d->release(b, w.from);
    return 2.0 * (double)bytes / s;
}

// ---- kinds of kernels

typedef struct kind {
    char name[NAME];
    int calls;
    double s, bytes, flop, least_s;
} kind;

static void name_of(const lt_plan *plan, const lti_step *s, char name[NAME])
{
    if (s->node < 0) {
        snprintf(name, NAME, "change of layout");
        return;
    }
    const lt_node *n = &plan->g->node[s->node];
    const bool conv = n->op == &lt_op_conv2d || n->op == &lt_op_conv2d_dx, dw = n->op == &lt_op_conv2d_dw;
    if (conv || dw) {
        const lt_shape *w = &plan->g->value[conv ? n->in[1] : n->out[0]].shape;
        snprintf(name, NAME, "%s %lldx%lld stride %d", n->op->name, (long long)w->dim[2], (long long)w->dim[3],
                 n->attr.stride);
    } else {
        snprintf(name, NAME, "%s%s", n->op->name, n->attr.relu ? " relu" : "");
    }
}

static void count(lt_plan *plan, kind *kinds, int *n_kinds, double memory, double product)
{
    for (int32_t i = 0; i < plan->n_steps; i++) {
        const lti_step *s = &plan->step[i];
        if (s->prologue)
            continue;
        char name[NAME];
        double bytes = 0, flop = 0;
        name_of(plan, s, name);
        for (int j = 0; j < s->n_args; j++)
            bytes += (double)plan->tensor[s->arg[j]].bytes;
        if (s->node >= 0) {
            const lt_node *n = &plan->g->node[s->node];
            lt_shape in[LT_KERNEL_MAX_ARGS], out[LT_KERNEL_MAX_ARGS]; // in a plan dimensions are known
            for (int j = 0; j < n->n_in; j++)
                in[j] = plan->g->value[n->in[j]].shape;
            for (int j = 0; j < n->n_out; j++)
                out[j] = plan->g->value[n->out[j]].shape;
            flop = n->op->flop ? n->op->flop(&n->attr, n->n_in, in, out) : 0;
        }
        int k = 0;
        while (k < *n_kinds && strcmp(kinds[k].name, name) != 0)
            k++;
        if (k == MOST_KINDS)
            continue;
        if (k == *n_kinds)
            memcpy(kinds[(*n_kinds)++].name, name, NAME);
        const work w = {.b = plan->backend, .plan = plan, .step = s};
        kinds[k].calls++;
        kinds[k].s += seconds(run_step, &w);
        kinds[k].bytes += bytes;
        kinds[k].flop += flop;
        kinds[k].least_s += bytes / memory > flop / product ? bytes / memory : flop / product;
    }
}

static void print(const loss_net *n, lt_backend *b, const char *name, int64_t batch, double step_s, double memory,
                  double product, const kind *kinds, int n_kinds)
{
    printf("{\n \"device\": \"%s\", \"model\": \"%s\", \"workload\": \"%s\", \"batch\": %lld,\n", lt_backend_version(b),
           n->model->spec, name, (long long)batch);
    printf(" \"step_us\": %.1f, \"memory_gb_s\": %.1f, \"product_tflop_s\": %.2f,\n \"kernels\": [", step_s * 1e6,
           memory * 1e-9, product * 1e-12);
    for (int i = 0; i < n_kinds; i++)
        printf(
            "%s\n  {\"kind\": \"%s\", \"calls\": %d, \"us\": %.1f, \"least_us\": %.1f, \"mb\": %.1f, \"gflop\": %.2f}",
            i ? "," : "", kinds[i].name, kinds[i].calls, kinds[i].s * 1e6, kinds[i].least_s * 1e6,
            kinds[i].bytes * 1e-6, kinds[i].flop * 1e-9);
    printf("\n ]\n}\n");
}

static const char *const names[] = {[TRAIN] = "train", [INPUT_GRAD] = "input-grad", [INFER] = "infer"};
enum { N_WORKLOADS = sizeof names / sizeof *names };

static void profile(lt_backend *b, const loss_net *n, workload w, int64_t batch, bool small)
{
    static kind kinds[MOST_KINDS];
    int n_kinds = 0;
    lt_plan *plan = loss_net_plan(n, b, w, batch, 0);
    loss_net_fill(n, plan, w, batch);
    double step_s = 1e9;
    for (int i = 0; i < STEPS; i++) {
        const double start = lti_now_s();
        must(lt_plan_run(plan));
        const double s = lti_now_s() - start;
        step_s = s < step_s ? s : step_s;
    }
    const double memory = memory_ceiling(b, small ? 1 << 16 : (size_t)1 << 29);
    const double product = product_ceiling(b, small ? 16 : 2048);
    count(plan, kinds, &n_kinds, memory, product);
    print(n, b, names[w], batch, step_s, memory, product, kinds, n_kinds);
    lt_plan_destroy(plan);
}

int main(int argc, char **argv)
{
    const int64_t batch = argc > 3 ? atoi(argv[3]) : 128;
    const bool small = argc > 5 && strcmp(argv[5], "small") == 0;
    int w = TRAIN;
    while (argc > 4 && w < N_WORKLOADS && strcmp(argv[4], names[w]) != 0)
        w++;
    if (argc < 2 || argc > 6 || batch < 1 || w == N_WORKLOADS || (argc == 6 && !small)) {
        fprintf(stderr, "usage: device_profile DEVICE [MODEL] [BATCH] [train|input-grad|infer] [small]\n");
        return 2;
    }
    lt_backend *b = NULL;
    loss_net n = {0};
    must(lt_backend_create(argv[1], 1, &b));
    if (!b->ops->device) {
        fprintf(stderr, "device_profile: '%s' has no memory of its own; step_profile is for such\n", argv[1]);
        return 2;
    }
    loss_net_create(argc > 2 ? argv[2] : "resnet18", &n);
    profile(b, &n, (workload)w, batch, small);
    loss_net_destroy(&n);
    lt_backend_destroy(b);
    return 0;
}
