// ab_compare_step.c - a training step of one build of lethe as a module that ab_compare loads together with that of
// another build.
#include "ab_compare.h"
#include "loss_net.h"
#include <string.h>

static loss_net net;
static lt_backend *backend;
static lt_plan *plan;

static bool is_train;

static void make(const char *model, const char *what, int batch, int n_threads)
{
    is_train = strcmp(what, "input-grad") != 0;
    loss_net_create(model, &net);
    must(lt_backend_create("auto", n_threads, &backend));
    plan = loss_net_plan(&net, backend, is_train ? TRAIN : INPUT_GRAD, batch, 0);
    loss_net_fill(&net, plan, is_train ? TRAIN : INPUT_GRAD, batch);
}

static int n_steps(void)
{
    return plan->n_steps;
}

static const char *op_of(int i)
{
    const int32_t node = plan->step[i].node;
    return node < 0 ? "reorder" : plan->g->node[node].op->name;
}

static double time_step(int i)
{
    const lti_step *s = &plan->step[i];
    double start = lti_now_s();
    if (s->kernel.prepare)
        must(s->kernel.prepare(&s->kernel, s->ptr, s->kernel.prepared));
    if (!is_train && !s->prepare_always) // parameters do not change from step to step
        start = lti_now_s();
    must(s->kernel.run(&s->kernel, s->ptr, plan->scratch));
    return lti_now_s() - start;
}

__attribute__((visibility("default"))) const ab_module lethe_ab_module = {make, n_steps, op_of, time_step};
