// loss_net.h - what the profiles of whole steps share: a CIFAR-sized model with the loss of its logits, a plan of one
// of its workloads, and data to run it on. Any failure ends the program with its message.
#ifndef LT_BENCH_LOSS_NET_H
#define LT_BENCH_LOSS_NET_H
#include "base/base.h"
#include "graph/plan_impl.h"
#include "lethe/model.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct loss_net {
    lt_model *model;
    lt_graph *graph; // the model's, with the loss behind it
    lt_val labels, weight, loss;
    float *grads; // (model->n_params)
} loss_net;

typedef enum workload { TRAIN, INPUT_GRAD, INFER } workload;

static inline void must(lt_status status)
{
    if (status == LT_OK)
        return;
    fprintf(stderr, "%s: %s\n", lt_status_text(status), lt_error_get()->message);
    exit(1);
}

static inline void loss_net_create(const char *model, loss_net *n)
{
    must(lt_model_create(model, (lt_model_shape){3, 32, 32, 10}, &n->model));
    lt_model_init(n->model, 1);
    must(lt_graph_dup(n->model->graph, &n->graph));
    n->labels = lt_input(n->graph, "labels", LT_I32, LT_SHAPE(LT_BATCH));
    n->weight = lt_input(n->graph, "weight", LT_F32, LT_SHAPE(LT_BATCH));
    n->loss = lt_weighted_sum(n->graph, lt_cross_entropy(n->graph, n->model->logits, n->labels, 0), n->weight);
    must(lt_graph_status(n->graph));
    n->grads = lti_calloc((size_t)n->model->n_params, sizeof *n->grads);
    must(n->grads ? LT_OK : LTI_NOMEM("gradients"));
}

static inline void loss_net_destroy(loss_net *n)
{
    lti_free(n->grads);
    lt_graph_destroy(n->graph);
    lt_model_destroy(n->model);
}

static inline lt_plan *loss_net_plan(const loss_net *n, lt_backend *b, workload w, int64_t batch, unsigned flags)
{
    const lt_val out = w == INFER ? n->model->logits : n->loss;
    const lt_plan_spec spec = {.outs = &out,
                               .n_outs = 1,
                               .grad_of = w == INFER ? LT_NONE : n->loss,
                               .seed = LT_NONE,
                               .wrt = &n->model->x,
                               .n_wrt = w == INPUT_GRAD,
                               .wrt_params = w == TRAIN,
                               .batch = batch,
                               .train = w == TRAIN,
                               .dtype = LT_F32,
                               .flags = flags};
    lt_plan *plan = NULL;
    must(lt_plan_create(n->graph, &spec, b, &plan));
    return plan;
}

// Parameters, images, labels and weights of a plan made by loss_net_plan.
static inline void loss_net_fill(const loss_net *n, lt_plan *plan, workload w, int64_t batch)
{
    const lt_model_shape s = n->model->shape;
    must(lt_plan_bind(plan, n->model->params, n->model->state, n->grads));
    float *x = lt_plan_buffer(plan, n->model->x), *weight = w == INFER ? NULL : lt_plan_buffer(plan, n->weight);
    int32_t *labels = w == INFER ? NULL : lt_plan_buffer(plan, n->labels);
    for (int64_t i = 0; i < batch * s.c * s.h * s.w; i++)
        x[i] = (float)((uint32_t)i * 2654435761u >> 8) / (float)(1 << 24);
    for (int64_t i = 0; i < batch && w != INFER; i++) {
        weight[i] = 2.0f / (float)batch * ((float)((uint32_t)i * 2654435761u >> 8) / (float)(1 << 24));
        labels[i] = (int32_t)(i % s.n_classes);
    }
}
#endif
