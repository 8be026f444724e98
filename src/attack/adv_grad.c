// adv_grad.c - gradients of a loss with respect to the image, for whole batches of independent samples.
//
// The loss differentiated is the sum (not the mean) over rows, with weight 1 for rows in use, so row i of the result is
// exactly the gradient of sample i whatever shares its batch. Only forward and data-gradient kernels run: nothing
// depends on parameter gradients. Batch sizes come in halving buckets, one plan each, compiled when first needed: a
// shrinking set of active samples moves down the buckets instead of computing padding.
#include "graph/backend.h"
#include "attack/attack_impl.h"

lt_status lti_grad_init(lti_grad *g, const lt_model *model, const lt_env *env, int64_t batch)
{
    *g = (lti_grad){.model = model, .env = env};
    for (int64_t size = batch; size > 0; size /= 2) {
        if (g->n_buckets == LTI_MAX_BUCKETS)
            LT_BUG("attack batch %lld needs more than %d buckets", (long long)batch, LTI_MAX_BUCKETS);
        g->size[g->n_buckets++] = size;
    }
    LT_TRY(lt_graph_dup(model->graph, &g->graph));
    g->labels = lt_input(g->graph, "attack.labels", LT_I32, LT_SHAPE(LT_BATCH));
    g->weight = lt_input(g->graph, "attack.weight", LT_F32, LT_SHAPE(LT_BATCH));
    lt_val ce = lt_cross_entropy(g->graph, model->logits, g->labels, 0.0f);
    lt_val margin = lt_margin_loss(g->graph, model->logits, g->labels);
    g->loss[LTI_GRAD_CE] = lt_weighted_sum(g->graph, ce, g->weight);
    g->loss[LTI_GRAD_MARGIN] = lt_weighted_sum(g->graph, margin, g->weight);
    LT_TRY(lt_graph_status(g->graph));
    return LT_OK;
}

void lti_grad_clear(lti_grad *g)
{
    for (int l = 0; l < LTI_N_GRAD_LOSSES; l++)
        for (int b = 0; b < g->n_buckets; b++)
            lt_plan_destroy(g->plan[l][b]);
    lt_graph_destroy(g->graph);
    *g = (lti_grad){0};
}

int lti_grad_bucket(const lti_grad *g, int64_t n)
{
    int b = 0;
    while (b + 1 < g->n_buckets && g->size[b + 1] >= n) // smallest bucket that holds n
        b++;
    if (b + 1 < g->n_buckets && 4 * n < 3 * g->size[b]) // too empty: fill the next one and let the rest wait
        b++;
    return b;
}

static lt_status compile(lti_grad *g, lti_grad_loss loss, int64_t size, lt_plan **plan)
{
    const lt_plan_spec spec = {.outs = &g->model->logits,
                               .n_outs = 1,
                               .grad_of = g->loss[loss],
                               .seed = LT_NONE,
                               .wrt = &g->model->x,
                               .n_wrt = 1,
                               .batch = size,
                               .dtype = LT_F32,
                               .flags = g->env->plan_flags & ~(unsigned)LT_PLAN_BF16}; // must hold for f32 too
    lt_plan *made;
    LT_TRY(lt_plan_create(g->graph, &spec, g->env->backend, &made));
    // An eval-mode plan without parameter gradients only reads its slabs.
    lt_status status = lt_plan_bind(made, g->model->params, g->model->state, NULL);
    lti_plan_keep_outputs_on_device(made, g->on_device);
    lti_plan_input_produced_on_device(made, g->model->x, g->on_device);
    if (status == LT_OK)
        *plan = made;
    else
        lt_plan_destroy(made);
    return status;
}

lt_status lti_grad_io_get(lti_grad *g, lti_grad_loss loss, int bucket, lti_grad_io *io)
{
    lt_plan **plan = &g->plan[loss][bucket];
    if (!*plan)
        LT_TRY(compile(g, loss, g->size[bucket], plan));
    *io = (lti_grad_io){.size = g->size[bucket],
                        .plan = *plan,
                        .x = lt_plan_buffer(*plan, g->model->x),
                        .label = lt_plan_buffer(*plan, g->labels),
                        .weight = lt_plan_buffer(*plan, g->weight),
                        .logits = lt_plan_buffer(*plan, g->model->logits),
                        .dx = lt_plan_grad(*plan, 0)};
    if (g->on_device) {
        io->x = lti_plan_device_input(*plan, g->model->x);
        io->logits = lti_plan_device_output(*plan, g->model->logits);
        io->dx = lti_plan_device_grad(*plan, 0);
    }
    return LT_OK;
}
