// export_packed.c - packed codes and tables of an integer network in a safetensors file.
//
// Per layer and term: LAYER.T.codes (U8) little-endian codes, element 0 in the low bits, order (K,R,S,C); LAYER.T.mul
// (I32); LAYER.add (I64). The metadata says how each is to be read: "LAYER.T": "coding bits k r s c stride pad source".
// Layers of neurons have "LAYER.neuron": "semantics threshold decay bits shift", the decay in 65,536ths.
#include "quant/intnet_impl.h"

#include <stdio.h>
#include <string.h>

typedef struct list {
    lti_arena arena;
    lt_tensor t[LTI_INT_MAX_LAYERS * 4];
    lt_meta meta[LTI_INT_MAX_LAYERS * 4];
    int n, n_meta;
} list;

static const char *keep(list *l, const char *text)
{
    return lti_arena_strdup(&l->arena, text);
}

static lt_status add(list *l, const char *name, lt_dtype dtype, int64_t n, size_t size, void *data)
{
    if (l->n >= (int)(sizeof l->t / sizeof *l->t))
        return LT_FAIL(LT_E_UNSUPPORTED, "export: too many layers");
    l->t[l->n++] = (lt_tensor){
        .name = keep(l, name), .dtype = dtype, .n_dims = 1, .dim = {n}, .data = data, .n_bytes = (size_t)n * size};
    return l->t[l->n - 1].name ? LT_OK : LTI_NOMEM("names of tensors");
}

static lt_status add_term(list *l, const lti_int_term *t, const char *name, int64_t k, int64_t tables)
{
    static const char *const coding[] = {"midrise", "midtread", "bit", "signed8", "ones"};
    const lti_int_weights *w = t->weights;
    char text[160], how[200];
    snprintf(text, sizeof text, "%s.mul", name);
    LT_TRY(add(l, text, LT_I32, tables * k, 4, t->mul));
    snprintf(how, sizeof how, "%s %d %lld %lld %lld %lld %d %d %d", w ? coding[w->coding] : "none",
             w ? lti_int_code_bits(w) : 0, w ? (long long)w->k : (long long)k, w ? (long long)w->r : 1,
             w ? (long long)w->s : 1, w ? (long long)w->c : 1, t->stride, t->pad, t->source);
    l->meta[l->n_meta++] = (lt_meta){keep(l, name), keep(l, how)};
    if (!w || lti_int_code_bits(w) == 0)
        return LT_OK;
    const int64_t n = w->k * w->r * w->s * w->c;
    uint8_t *code = lti_malloc((size_t)n),
            *packed = lti_arena_alloc(&l->arena, (size_t)lti_packed_bytes(n, lti_int_code_bits(w)));
    if (!code || !packed) {
        lti_free(code);
        return LTI_NOMEM("packed weights");
    }
    for (int64_t i = 0; i < n; i++)
        code[i] = (uint8_t)lti_int_code(w, w->w[i]);
    lti_int_pack(code, n, lti_int_code_bits(w), packed);
    lti_free(code);
    snprintf(text, sizeof text, "%s.codes", name);
    return add(l, text, LT_U8, lti_packed_bytes(n, lti_int_code_bits(w)), 1, packed);
}

static void describe_neuron(list *l, const lti_int_layer *layer, int i)
{
    char name[64], how[128];
    snprintf(name, sizeof name, "layer%d.neuron", i);
    snprintf(how, sizeof how, "%s %d %d %d %d", lt_neuron_name(layer->neuron.kind), (int)layer->neuron.threshold,
             (int)layer->neuron.decay, layer->neuron.bits, layer->shift);
    l->meta[l->n_meta++] = (lt_meta){keep(l, name), keep(l, how)};
}

lt_status lt_int_net_export_packed(const lt_int_net *net, const char *path)
{
    list *l = lti_calloc(1, sizeof *l);
    lt_status status = l ? LT_OK : LTI_NOMEM("list of tensors");
    for (int i = 0; i < net->n_layers && status == LT_OK; i++) {
        const lti_int_layer *layer = &net->layer[i];
        for (int t = 0; t < layer->n_terms && status == LT_OK; t++) {
            char name[128];
            snprintf(name, sizeof name, "layer%d.%d", i, t);
            status = add_term(l, &layer->term[t], name, layer->k, layer->table_steps);
        }
        if (layer->n_terms > 0 && status == LT_OK) {
            char name[128];
            snprintf(name, sizeof name, "layer%d.add", i);
            status = add(l, name, LT_I64, layer->table_steps * layer->k, 8, layer->add);
        }
        if (layer->state >= 0)
            describe_neuron(l, layer, i);
    }
    if (status == LT_OK) {
        l->meta[l->n_meta++] = (lt_meta){"lethe.packed", "1"};
        l->meta[l->n_meta++] = (lt_meta){"lethe.model", net->model->spec};
        status = lt_safetensors_write(path, l->t, l->n, l->meta, l->n_meta);
    }
    if (l)
        lti_arena_clear(&l->arena);
    lti_free(l);
    return status;
}
