// graph.h - a convolution with what follows it, as one operation graph of cuDNN.
//
// The library's heuristics find a graph for a GPU: the one of a handle, or one described by its properties
// alone (cuDNN 9.11 or newer), which needs no GPU: so tests can see which graphs an H100 would take.
#ifndef LTC_GRAPH_H
#define LTC_GRAPH_H
#include "backend/cuda/api.h"
#include <cudnn.h>

enum { LTC_MOST_PLANS = 12 };

typedef struct ltc_target {
    cudnnHandle_t handle;
    const char *properties; // JSON, used where handle is NULL
} ltc_target;

typedef struct ltc_graph ltc_graph;

// The graph of the convolution, with what follows it (shape->bias, add, relu) if `finish`. LTC_UNSUPPORTED: the library
// has no engine whose results are repeatable and as exact as requested. Freed by ltc_graph_free.
int ltc_graph_make(const ltc_target *target, const ltc_conv_shape *shape, bool finish, ltc_graph **graph);
void ltc_graph_free(ltc_graph *graph);
bool ltc_graph_takes(const ltc_graph *graph, ltc_conv_tensor tensor); // must be given to ltc_graph_run
int ltc_graph_n_operations(const ltc_graph *graph);                   // 1: the convolution alone
int ltc_graph_n_plans(const ltc_graph *graph); // best first, by the library's rule; at most LTC_MOST_PLANS

// Compiles plan i, once. LTC_UNSUPPORTED where that fails.
int ltc_graph_plan(ltc_graph *graph, int i, size_t *workspace_bytes, const char **name);
// Queues a compiled plan. tensor: by ltc_conv_tensor, those that the graph has.
int ltc_graph_run(cudnnHandle_t handle, const ltc_graph *graph, int i, void *const *tensor);
#endif
