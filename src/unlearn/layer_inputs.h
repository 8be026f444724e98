// layer_inputs.h - the vectors that samples give a layer as inputs: rows of a linear layer, patches that the kernel of
// a convolution sees.
#ifndef LT_LAYER_INPUTS_H
#define LT_LAYER_INPUTS_H
#include "unlearn/layers.h"
#include "unlearn/recipe.h"

typedef struct lti_layer_vector {
    int64_t sample; // number in the list of rows
    int64_t n;      // vectors that every sample of this list gives
    int32_t label;  // class of the sample
    const float *x; // (layer.n_in), borrowed until the next one
} lti_layer_vector;
typedef struct lti_layer_inputs {
    const lt_model *model; // that runs, in evaluation mode on un-augmented images
    const lti_layer *layer;
    const lt_index_set *rows; // of the training split
    int64_t patches;          // of a convolution for all rows, about; at places drawn by the seed
    void (*each)(void *ctx, const lti_layer_vector *v);
    void *ctx;
} lti_layer_inputs;
// Calls `each` for every vector, in the order of the rows. Counts its passes in ctx; LT_E_INTERRUPTED between batches.
lt_status lti_layer_inputs_run(const lt_unlearn_in *in, const lti_layer_inputs *inputs, lt_unlearn_plan_ctx *ctx);

void lti_sort_rows(lt_index_set *rows);
// At most `most` rows of a set, drawn by the seed, in ascending order. step tells several draws of one run apart. Owned
// by the caller.
lt_status lti_draw_rows(const lt_unlearn_in *in, const lt_index_set *all, int64_t most, uint32_t step,
                        lt_index_set *out);

// Edits the layers of a copy of in->model one after the other, from input to output, and puts it in the place of the
// model when all are done. Depthwise kernels are passed over: they have no rows to project.
typedef struct lti_layer_walk {
    bool sequential; // a layer's inputs are those of the edited layers before it, else of the trained model
    // runs: gives the inputs; work: is edited. number, n: of the layer, from 0, and of all.
    lt_status (*edit)(void *ctx, const lt_model *runs, lt_model *work, const lti_layer *layer, int number, int n);
    void *ctx;
} lti_layer_walk;
lt_status lti_layers_edit(const lt_unlearn_in *in, const lti_layer_walk *walk);
#endif
