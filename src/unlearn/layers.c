// layers.c - finds the convolutions and linear layers of a model's graph.
#include "unlearn/layers.h"
#include "graph/graph_impl.h"
#include "model/model_impl.h"

int lti_model_layers(const lt_model *model, lti_layer *layer, int max)
{
    const lt_graph *g = model->graph;
    int n = 0;
    for (int32_t i = 0; i < g->n_nodes; i++) {
        const lt_node *node = &g->node[i];
        lt_value_info info;
        const bool conv = node->op == &lt_op_conv2d;
        if ((!conv && node->op != &lt_op_linear) || !lti_model_tensor(model, node->in[1], &info) ||
            info.role != LT_ROLE_PARAM)
            continue;
        if (n < max)
            layer[n] = (lti_layer){.conv = conv,
                                   .x = node->in[0],
                                   .w = node->in[1],
                                   .stride = conv ? node->attr.stride : 1,
                                   .pad = conv ? node->attr.pad : 0,
                                   .dilation = conv ? node->attr.dilation : 1,
                                   .groups = conv ? node->attr.groups : 1,
                                   .offset = info.slab_offset,
                                   .n_out = info.shape.dim[0],
                                   .n_in = lti_model_shape_count(&info.shape) / info.shape.dim[0],
                                   .kernel = conv ? (int)info.shape.dim[2] : 1};
        n++;
    }
    return n;
}
