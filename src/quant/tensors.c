// tensors.c - which tensors of a model are quantized, their grids, and their pieces in blocks of the update [QAT 1.7].
//
// Convolutions and linear layers in the order of the graph; the first and the last one stay float (or get 8 bits), as
// do 1x1 projections of shortcuts, biases and batch norm.
#include "quant/quant_impl.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct found {
    lt_value_info info;
    int64_t k; // output channels
    bool pointwise;
} found;

static int64_t count_of(const lt_shape *s)
{
    int64_t n = 1;
    for (int i = 0; i < s->n_dims; i++)
        n *= s->dim[i];
    return n;
}

// Weight tensors of convolutions and linear layers; list: room for one per node. A tensor used twice counts once.
static int list_weights(const lt_graph *g, found *list)
{
    int n = 0;
    for (int32_t i = 0; i < lti_graph_n_nodes(g); i++) {
        const lt_node *node = lti_graph_node(g, i);
        lt_value_info info;
        if ((node->op != &lt_op_conv2d && node->op != &lt_op_linear) ||
            lt_graph_value(g, node->in[1], &info) != LT_OK || info.role != LT_ROLE_PARAM)
            continue;
        bool known = false;
        for (int j = 0; j < n; j++)
            known = known || list[j].info.slab_offset == info.slab_offset;
        if (!known)
            list[n++] =
                (found){.info = info,
                        .k = info.shape.dim[0],
                        .pointwise = info.shape.n_dims == 4 && info.shape.dim[2] == 1 && info.shape.dim[3] == 1};
    }
    return n;
}

static bool is_chosen(const lt_quant_cfg *cfg, const found *f, int i, int n)
{
    const bool end = i == 0 || i == n - 1;
    if (end)
        return cfg->ends != LT_ENDS_FLOAT;
    return cfg->shortcuts || !f->pointwise;
}

static void add_tensor(lt_quant *q, const found *f, int ordinal, int n_weights_in_model)
{
    const bool end = ordinal == 0 || ordinal == n_weights_in_model - 1;
    lti_qtensor *t = &q->tensor[q->n_tensors++];
    *t = (lti_qtensor){.name = f->info.name,
                       .shape = f->info.shape,
                       .from = f->info.slab_offset,
                       .n = count_of(&f->info.shape),
                       .first = q->n_weights,
                       .grid = q->n_grids,
                       .bits = end && q->cfg.ends == LT_ENDS_8BIT ? 8 : q->cfg.bits,
                       .id = (uint32_t)ordinal,
                       .lambda_scale = 1};
    t->faulty = t->bits <= LT_QUANT_MAX_CELL_BITS;
    t->n_grids = q->cfg.granularity == LT_STEP_CHANNEL ? (int)f->k : 1;
    t->per = t->n / t->n_grids;
    q->n_weights += t->n;
    q->n_grids += t->n_grids;
}

// One piece per block and grid; slabs are cut at multiples of LT_UPDATE_BLOCK.
static int cut(const lt_quant *q, lti_segment *out)
{
    int n = 0;
    for (int i = 0; i < q->n_tensors; i++) {
        const lti_qtensor *t = &q->tensor[i];
        for (int k = 0; k < t->n_grids; k++) {
            const int64_t end = t->from + (k + 1) * t->per;
            for (int64_t at = t->from + k * t->per, to; at < end; at = to, n++) {
                to = (at / LT_UPDATE_BLOCK + 1) * LT_UPDATE_BLOCK;
                to = to < end ? to : end;
                if (out)
                    out[n] = (lti_segment){.tensor = i, .grid = t->grid + k, .from = at, .n = to - at};
            }
        }
    }
    return n;
}

// Tensors lie in the slab in the order in which the graph made them, which is that of the list.
static void index_blocks(lt_quant *q)
{
    int s = 0;
    for (int b = 0; b <= q->n_blocks; b++) {
        while (s < q->n_segments && q->segment[s].from < (int64_t)b * LT_UPDATE_BLOCK)
            s++;
        q->segment_of_block[b] = s;
    }
}

static lt_status allocate(lt_quant *q)
{
    q->n_own = q->quantizer->n_own ? q->quantizer->n_own(q->cfg.bits) : 0;
    q->n_segments = cut(q, NULL);
    q->n_all_weights = q->model->n_params;
    q->n_blocks = (int)((q->model->n_params + LT_UPDATE_BLOCK - 1) / LT_UPDATE_BLOCK);
    q->grid = lti_calloc((size_t)q->n_grids, sizeof *q->grid);
    q->segment = lti_calloc((size_t)q->n_segments, sizeof *q->segment);
    q->segment_of_block = lti_calloc((size_t)q->n_blocks + 1, sizeof *q->segment_of_block);
    q->own = lti_calloc((size_t)q->n_grids * (size_t)q->n_own + 1, sizeof *q->own);
    q->code = lti_calloc((size_t)q->n_weights, sizeof *q->code);
    q->info = lti_calloc((size_t)q->n_tensors, sizeof *q->info);
    if (!q->grid || !q->segment || !q->segment_of_block || !q->own || !q->code || !q->info)
        return LTI_NOMEM("grids of a model");
    cut(q, q->segment);
    index_blocks(q);
    return LT_OK;
}

static int by_offset(const void *a, const void *b)
{
    const lti_qtensor *x = a, *y = b;
    return x->from < y->from ? -1 : x->from > y->from;
}

// In the order of the slab, whatever the order of the graph.
static void order_tensors(lt_quant *q)
{
    qsort(q->tensor, (size_t)q->n_tensors, sizeof *q->tensor, by_offset);
    q->n_weights = q->n_grids = 0;
    for (int i = 0; i < q->n_tensors; i++) {
        q->tensor[i].first = q->n_weights;
        q->tensor[i].grid = q->n_grids;
        q->n_weights += q->tensor[i].n;
        q->n_grids += q->tensor[i].n_grids;
    }
}

static lt_status find_tensors(lt_quant *q)
{
    const int32_t n_nodes = lti_graph_n_nodes(q->model->graph);
    found *list = lti_calloc((size_t)n_nodes + 1, sizeof *list);
    q->tensor = lti_calloc((size_t)n_nodes + 1, sizeof *q->tensor);
    if (!list || !q->tensor) {
        lti_free(list);
        return LTI_NOMEM("quantized tensors");
    }
    const int n = list_weights(q->model->graph, list);
    for (int i = 0; i < n; i++)
        if (is_chosen(&q->cfg, &list[i], i, n))
            add_tensor(q, &list[i], i, n);
    lti_free(list);
    if (q->n_tensors == 0) {
        LT_FAIL(LT_E_USAGE, "%s has no tensor to quantize", q->model->spec);
        return lt_error_hint("the first and the last layer stay float: --ends same or --ends 8bit quantizes them too");
    }
    order_tensors(q);
    return LT_OK;
}

lt_status lti_quant_create(const lt_quant_cfg *cfg, const lt_model *model, lt_quant **out)
{
    *out = NULL;
    if (cfg->bits < 2 || cfg->bits > LT_QUANT_MAX_BITS)
        return LT_FAIL(LT_E_USAGE, "quantization: expected 2 to %d bits, found %d", LT_QUANT_MAX_BITS, (int)cfg->bits);
    const lti_quantizer *z = NULL;
    LT_TRY(lti_quantizer_find(cfg->method, &z));
    LT_TRY(lti_chip_check(&cfg->device, cfg->bits));
    lt_quant *q = lti_calloc(1, sizeof *q);
    if (!q)
        return LTI_NOMEM("quantized model");
    *q = (lt_quant){.cfg = *cfg, .model = model, .quantizer = z};
    snprintf(q->method, sizeof q->method, "%s", z->info.name);
    q->cfg.method = q->method;
    if (z->force_mapping)
        q->cfg.device.mapping = z->force_mapping - 1;
    lt_status status = LT_OK;
    LT_TRY_GOTO(find_tensors(q), done);
    LT_TRY_GOTO(allocate(q), done);
    LT_TRY_GOTO(lti_quant_init_grids(q), done);
    LT_TRY_GOTO(lti_maps_draw(q, &q->cfg.device, &q->maps), done);
    *out = q;
done:
    if (status != LT_OK)
        lt_quant_destroy(q);
    return status;
}

void lt_quant_destroy(lt_quant *q)
{
    if (!q)
        return;
    lti_maps_clear(&q->maps);
    lti_free(q->tensor);
    lti_free(q->grid);
    lti_free(q->segment);
    lti_free(q->segment_of_block);
    lti_free(q->own);
    lti_free(q->code);
    lti_free(q->info);
    lti_free(q);
}

lt_status lti_quant_init_grids(lt_quant *q)
{
    const lti_quantizer *z = q->quantizer;
    for (int i = 0; i < q->n_tensors; i++) {
        lti_qtensor *t = &q->tensor[i];
        for (int k = 0; k < t->n_grids; k++) {
            const float *w = q->model->params + t->from + k * t->per;
            const float step =
                z->first_step ? z->first_step(w, t->per, t->bits) : lti_step_from_mean(w, t->per, t->bits, z->grid);
            lti_grid *g = &q->grid[t->grid + k];
            lti_grid_init(g, z->grid, t->bits, step);
            float *own = q->own + (size_t)(t->grid + k) * (size_t)q->n_own;
            for (int j = 0; j < q->n_own; j++)
                own[j] = q->n_own == 1 ? step : g->gain[j];
        }
        q->info[i].step0 = (double)q->grid[t->grid].step;
    }
    return LT_OK;
}

void lti_q_own_to_grids(lt_quant *q)
{
    for (int k = 0; k < q->n_grids && q->n_own > 0; k++) {
        lti_grid *g = &q->grid[k];
        float *own = q->own + (size_t)k * (size_t)q->n_own;
        const float least = 1e-6f * g->step0; // steps and gains stay above 0, so that codes can be read
        for (int j = 0; j < q->n_own; j++)
            if (!(own[j] >= least))
                own[j] = least;
        if (q->n_own == 1)
            lti_grid_set_step(g, own[0]);
        else if (g->bits + 1 == q->n_own)
            lti_grid_set_gains(g, own);
    }
}

int lt_quant_n_tensors(const lt_quant *q)
{
    return q->n_tensors;
}

const char *lt_quant_float_tensor(const lt_quant *q, int i)
{
    const lt_graph *g = q->model->graph;
    found *list = lti_calloc((size_t)lti_graph_n_nodes(g) + 1, sizeof *list);
    const char *name = NULL;
    const int n = list ? list_weights(g, list) : 0;
    for (int k = 0; k < n && !name; k++) {
        bool quantized = false;
        for (int j = 0; j < q->n_tensors; j++)
            quantized = quantized || q->tensor[j].from == list[k].info.slab_offset;
        if (!quantized && i-- == 0)
            name = list[k].info.name;
    }
    lti_free(list);
    return name;
}

void lt_quant_tensor(const lt_quant *q, int i, lt_quant_tensor_info *info)
{
    const lti_qtensor *t = &q->tensor[i];
    *info = q->info[i];
    info->name = t->name;
    info->bits = t->bits;
    info->n_grids = t->n_grids;
    info->n = t->n;
    info->step = (double)q->grid[t->grid].step;
}
