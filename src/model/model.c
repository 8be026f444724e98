// model.c - making, copying, initialising and digesting models.
//
// A model is a graph plus two slabs; what each tensor is follows from its role, name and shape in the graph, so there
// is no second list of tensors to keep in step. Building the graph and allocating the slabs are separate, because a
// file must be checked against the graph before its word is trusted with memory.
#include "model/model_impl.h"
#include "graph/op.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

int64_t lti_model_shape_count(const lt_shape *shape)
{
    int64_t n = 1;
    for (int i = 0; i < shape->n_dims; i++)
        n *= shape->dim[i];
    return n;
}

bool lti_has_suffix(const char *name, const char *suffix, size_t *stem_len)
{
    size_t n = strlen(name), m = strlen(suffix);
    *stem_len = n - m;
    return n >= m && strcmp(name + n - m, suffix) == 0;
}

bool lti_model_tensor(const lt_model *model, lt_val v, lt_value_info *info)
{
    return lt_graph_value(model->graph, v, info) == LT_OK &&
           (info->role == LT_ROLE_PARAM || info->role == LT_ROLE_STATE);
}

lt_status lti_model_shape_check(const lt_model_shape *s)
{
    if (s->c < 1 || s->c > LTI_CHANNELS_MAX || s->h < 1 || s->h > LTI_IMAGE_SIDE_MAX || s->w < 1 ||
        s->w > LTI_IMAGE_SIDE_MAX)
        return LT_FAIL(LT_E_SHAPE, "model input: expected 1..%d channels and sides of 1..%d, found %dx%dx%d",
                       LTI_CHANNELS_MAX, LTI_IMAGE_SIDE_MAX, s->c, s->h, s->w);
    if (s->n_classes < 1 || s->n_classes > LTI_CLASSES_MAX)
        return LT_FAIL(LT_E_SHAPE, "model: expected 1..%d classes, found %d", LTI_CLASSES_MAX, s->n_classes);
    return LT_OK;
}

// Rounds what every ReLU but the first leaves [QAT 1.6]: the steps are parameters behind all others, act.1.step, ...
static void quantize_activations(const lti_model_spec *spec, lt_model *m)
{
    lt_graph *g = m->graph;
    int n_relu = 0;
    for (int32_t i = 0; i < lti_graph_n_nodes(g) && lt_graph_status(g) == LT_OK; i++) {
        const lt_node *node = lti_graph_node(g, i);
        const lt_val y = node->out[0];
        if (node->op != &lt_op_relu || y == m->logits || n_relu++ == 0)
            continue;
        char name[LTI_NAME_MAX];
        snprintf(name, sizeof name, "act.%d.step", n_relu - 1);
        lt_graph_quantize_value(g, y, lt_param(g, name, LT_SHAPE(1)), spec->act_bits, (lt_act_rule)spec->act_rule);
    }
}

static lt_status build_graph(const lti_model_spec *spec, lt_model *m)
{
    const lt_model_shape s = m->shape;
    LT_TRY(lt_graph_create(&m->graph));
    m->x = lt_input(m->graph, "x", LT_F32, LT_SHAPE(LT_BATCH, s.c, s.h, s.w));
    lt_val y = spec->normalize ? lt_normalize(m->graph, m->x, spec->mean, spec->std) : m->x;
    m->logits = spec->arch->build(m->graph, y, s.n_classes, spec->cfg);
    if (spec->act_bits > 0)
        quantize_activations(spec, m);
    lt_status status = lt_graph_status(m->graph);
    if (status == LT_E_SHAPE) { // the graph speaks of a layer, the caller chose the images
        char layer[LT_ERROR_MESSAGE_MAX / 2];
        snprintf(layer, sizeof layer, "%.500s", lt_error_get()->message);
        return LT_FAIL(LT_E_SHAPE, "%s cannot take %dx%dx%d images: %s", spec->name, s.c, s.h, s.w, layer);
    }
    LT_TRY(status);
    m->n_params = lt_graph_n_params(m->graph);
    m->n_state = lt_graph_n_state(m->graph);
    return LT_OK;
}

lt_status lti_model_build(const char *spec, lt_model_shape shape, lt_model **model)
{
    *model = NULL;
    lti_model_spec parsed;
    LT_TRY(lti_model_shape_check(&shape));
    LT_TRY(lti_model_spec_parse(spec, shape.c, &parsed));
    lt_model *m = lti_calloc(1, sizeof *m);
    if (!m)
        return LTI_NOMEM("a model");
    m->shape = shape;
    m->spec = lti_model_spec_text(&parsed);
    lt_status status = m->spec ? build_graph(&parsed, m) : LTI_NOMEM("a model");
    if (status != LT_OK) {
        lt_model_destroy(m);
        return lt_error_frame(status, __FILE__, __LINE__, __func__);
    }
    *model = m;
    return LT_OK;
}

lt_status lti_model_alloc(lt_model *m)
{
    size_t param_bytes, state_bytes;
    if (lti_mul_size((size_t)m->n_params, sizeof(float), &param_bytes) ||
        lti_mul_size((size_t)m->n_state, sizeof(float), &state_bytes))
        return LTI_NOMEM("the parameters of a model");
    LT_TRY(lti_memory_check((double)param_bytes + (double)state_bytes, m->spec));
    m->params = lti_aligned_alloc(64, param_bytes);
    m->state = lti_aligned_alloc(64, state_bytes);
    if (!m->params || !m->state)
        return LT_FAIL(LT_E_NOMEM, "out of memory: %lld parameters of %s", (long long)m->n_params, m->spec);
    return LT_OK;
}

lt_status lt_model_create(const char *spec, lt_model_shape shape, lt_model **model)
{
    LT_TRY(lti_model_build(spec, shape, model));
    lt_status status = lti_model_alloc(*model);
    if (status != LT_OK) {
        lt_model_destroy(*model);
        *model = NULL;
        return lt_error_frame(status, __FILE__, __LINE__, __func__);
    }
    return LT_OK;
}

static void free_meta(lt_model *m)
{
    for (int i = 0; i < m->n_meta; i++) {
        lti_free((char *)m->meta[i].key);
        lti_free((char *)m->meta[i].value);
    }
    lti_free(m->meta);
}

void lt_model_destroy(lt_model *m)
{
    if (!m)
        return;
    lt_graph_destroy(m->graph);
    lti_free(m->params);
    lti_free(m->state);
    lti_free((char *)m->spec);
    lti_free((void *)m->class_names);
    free_meta(m);
    lti_free(m);
}

static lt_status copy_parts(const lt_model *m, lt_model *c)
{
    c->shape = m->shape;
    c->x = m->x;
    c->logits = m->logits;
    c->n_params = m->n_params;
    c->n_state = m->n_state;
    c->bn_batches = m->bn_batches;
    c->spec = lti_strdup(m->spec);
    if (!c->spec)
        return LTI_NOMEM("a copy of a model");
    LT_TRY(lt_graph_dup(m->graph, &c->graph));
    LT_TRY(lti_model_alloc(c));
    memcpy(c->params, m->params, (size_t)m->n_params * sizeof *m->params);
    memcpy(c->state, m->state, (size_t)m->n_state * sizeof *m->state);
    if (m->class_names)
        LT_TRY(lt_model_set_class_names(c, m->class_names));
    for (int i = 0; i < m->n_meta; i++)
        LT_TRY(lt_model_set_meta(c, m->meta[i].key, m->meta[i].value));
    return LT_OK;
}

lt_status lt_model_dup(const lt_model *model, lt_model **copy)
{
    *copy = NULL;
    lt_model *c = lti_calloc(1, sizeof *c);
    if (!c)
        return LTI_NOMEM("a copy of a model");
    lt_status status = copy_parts(model, c);
    if (status != LT_OK) {
        lt_model_destroy(c);
        return lt_error_frame(status, __FILE__, __LINE__, __func__);
    }
    *copy = c;
    return LT_OK;
}

// Inputs of one output unit of the layer that owns the tensor `name`; 0 for batch norms. Biases share their weight's.
static int64_t fan_in(const lt_model *m, const char *name, const lt_value_info *info)
{
    char weight[LTI_NAME_MAX];
    lt_value_info w = *info;
    size_t stem;
    if (lti_has_suffix(name, ".bias", &stem)) {
        snprintf(weight, sizeof weight, "%.*s.weight", (int)stem, name);
        lt_val v = lt_graph_find(m->graph, weight);
        if (v == LT_NONE || lt_graph_value(m->graph, v, &w) != LT_OK)
            LT_BUG("%s has no %s", name, weight);
    }
    return w.shape.n_dims < 2 ? 0 : lti_model_shape_count(&w.shape) / w.shape.dim[0];
}

void lt_model_init(lt_model *m, uint64_t seed)
{
    uint64_t tensor = 0; // number among the parameters: a tensor's values depend on nothing else
    size_t stem;
    lt_value_info info;
    m->bn_batches = 0;
    for (lt_val v = 0; v < lt_graph_n_values(m->graph); v++) {
        if (!lti_model_tensor(m, v, &info))
            continue;
        const int64_t n = lti_model_shape_count(&info.shape);
        if (info.role == LT_ROLE_STATE) {
            const float start = lti_has_suffix(info.name, ".running_var", &stem) ? 1.0f : 0.0f;
            for (int64_t i = 0; i < n; i++)
                m->state[info.slab_offset + i] = start;
            continue;
        }
        const int64_t fan = fan_in(m, info.name, &info);
        const float bound = fan ? 1.0f / sqrtf((float)fan) : 0;
        const float norm_start =
            lti_has_suffix(info.name, ".weight", &stem) || lti_has_suffix(info.name, ".step", &stem) ? 1.0f : 0.0f;
        lt_rng rng = lt_rng_at(seed, LT_STREAM_INIT, 0, tensor++);
        for (int64_t i = 0; i < n; i++)
            m->params[info.slab_offset + i] = fan ? bound * (2 * lt_rng_uniform(&rng) - 1) : norm_start;
    }
}

lt_status lt_model_set_class_names(lt_model *m, const char *const *names)
{
    const size_t n = (size_t)m->shape.n_classes;
    size_t bytes = n * sizeof(char *);
    for (size_t i = 0; i < n; i++)
        bytes += strlen(names[i]) + 1;
    const char **block = lti_malloc(bytes); // the pointers, then the strings they point to
    if (!block)
        return LTI_NOMEM("class names");
    char *text = (char *)(block + n);
    for (size_t i = 0; i < n; i++) {
        size_t len = strlen(names[i]) + 1;
        memcpy(text, names[i], len);
        block[i] = text;
        text += len;
    }
    lti_free((void *)m->class_names);
    m->class_names = block;
    return LT_OK;
}

bool lti_model_meta_reserved(const char *key)
{
    static const char *const reserved[] = {"format",        "lethe.model", "lethe.input",
                                           "lethe.classes", "lethe.mean",  "lethe.std"};
    for (size_t i = 0; i < sizeof reserved / sizeof reserved[0]; i++)
        if (strcmp(key, reserved[i]) == 0)
            return true;
    return false;
}

lt_status lt_model_set_meta(lt_model *m, const char *key, const char *value)
{
    if (lti_model_meta_reserved(key))
        return LT_FAIL(LT_E_USAGE, "model metadata: '%s' is written from the model itself", key);
    char *v = lti_strdup(value);
    if (!v)
        return LTI_NOMEM("model metadata");
    for (int i = 0; i < m->n_meta; i++) {
        if (strcmp(m->meta[i].key, key) == 0) {
            lti_free((char *)m->meta[i].value);
            m->meta[i].value = v;
            return LT_OK;
        }
    }
    char *k = lti_strdup(key);
    lt_meta *more = k ? lti_realloc(m->meta, (size_t)(m->n_meta + 1) * sizeof *more) : NULL;
    if (!more) {
        lti_free(k);
        lti_free(v);
        return LTI_NOMEM("model metadata");
    }
    more[m->n_meta++] = (lt_meta){k, v};
    m->meta = more;
    return LT_OK;
}

int lt_model_stages(const lt_model *m, lt_val *stage, int max)
{
    int n = 0;
    lt_value_info info;
    for (lt_val v = 0; v < lt_graph_n_values(m->graph); v++) {
        if (lt_graph_value(m->graph, v, &info) != LT_OK || info.role != LT_ROLE_TEMP || !*info.name ||
            info.shape.n_dims != 4 || info.shape.dim[0] != LT_BATCH) // spikes of every step are no stage
            continue;
        if (n < max)
            stage[n] = v;
        n++;
    }
    return n;
}

void lt_model_digest(const lt_model *m, char out[65])
{
    lti_hash h;
    lti_hash_init(&h);
    lt_value_info info;
    for (lt_val v = 0; v < lt_graph_n_values(m->graph); v++) {
        if (!lti_model_tensor(m, v, &info))
            continue;
        const float *data = (info.role == LT_ROLE_PARAM ? m->params : m->state) + info.slab_offset;
        const int64_t n_dims = info.shape.n_dims;
        lti_hash_add(&h, info.name, strlen(info.name) + 1);
        lti_hash_add(&h, &n_dims, sizeof n_dims);
        lti_hash_add(&h, info.shape.dim, (size_t)n_dims * sizeof info.shape.dim[0]);
        lti_hash_add(&h, data, (size_t)lti_model_shape_count(&info.shape) * sizeof *data);
    }
    lti_hash_hex(&h, out);
}
