// model_plan.c - plans made straight from a model: inference, gradient of the loss to the input, training step.
#include "base/base.h"
#include "lethe/inspect.h"
#include <stdlib.h>

lt_status lt_parse_image_shape(const char *text, lt_model_shape *shape)
{
    enum { LARGEST = 4096 };
    const char *at = text;
    char *end;
    long dim[3] = {0};
    for (int i = 0; i < 3; i++) {
        dim[i] = strtol(at, &end, 10);
        if (end == at || dim[i] < 1 || dim[i] > LARGEST || *end != (i < 2 ? 'x' : '\0'))
            return LT_FAIL(LT_E_USAGE,
                           "--input: expected CHANNELSxHEIGHTxWIDTH such as 3x32x32, each 1..%d, found '%s'",
                           (int)LARGEST, text);
        at = end + 1;
    }
    shape->c = (int)dim[0];
    shape->h = (int)dim[1];
    shape->w = (int)dim[2];
    return LT_OK;
}

static lt_status add_loss(lt_graph *g, const lt_model *m, lt_val *loss)
{
    lt_val labels = lt_input(g, "labels", LT_I32, LT_SHAPE(LT_BATCH));
    lt_val weight = lt_input(g, "weight", LT_F32, LT_SHAPE(LT_BATCH));
    *loss = lt_weighted_sum(g, lt_cross_entropy(g, m->logits, labels, 0), weight);
    return lt_graph_status(g);
}

lt_status lt_model_plan(const lt_model *m, lt_model_plan_kind kind, int64_t batch, unsigned flags, lt_backend *backend,
                        lt_plan **plan)
{
    lt_graph *g = NULL;
    lt_val loss = LT_NONE;
    lt_status status = LT_OK;
    LT_TRY(lt_graph_dup(m->graph, &g));
    if (kind != LT_PLAN_OF_INFERENCE)
        LT_TRY_GOTO(add_loss(g, m, &loss), done);
    lt_plan_spec spec = {.outs = kind == LT_PLAN_OF_INFERENCE ? &m->logits : &loss,
                         .n_outs = 1,
                         .grad_of = loss,
                         .seed = LT_NONE,
                         .wrt = kind == LT_PLAN_OF_INPUT_GRAD ? &m->x : NULL,
                         .n_wrt = kind == LT_PLAN_OF_INPUT_GRAD,
                         .wrt_params = kind == LT_PLAN_OF_TRAINING,
                         .batch = batch,
                         .train = kind == LT_PLAN_OF_TRAINING,
                         .dtype = LT_F32,
                         .flags = flags};
    LT_TRY_GOTO(lt_plan_create(g, &spec, backend, plan), done);
done:
    lt_graph_destroy(g);
    return status;
}
