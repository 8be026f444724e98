// intnet_memory.c - where the activations of an integer network lie: the first place that is free while a tensor lives,
// and what the network takes up.
#include "quant/intnet_impl.h"

// What is made once and read at every step stays until the last layer.
static void note_reader(lt_int_net *net, int tensor, int l)
{
    const int maker = net->tensor[tensor].first;
    const bool kept = maker < 0 ? !net->frames : net->layer[maker].once;
    const bool every_step = net->n_steps > 1 && !net->layer[l].once;
    net->tensor[tensor].last = kept && every_step ? net->n_layers : l;
}

static void find_lives(lt_int_net *net)
{
    for (int i = 0; i < net->n_tensors; i++)
        net->tensor[i].first = net->tensor[i].last = -1;
    for (int l = 0; l < net->n_layers; l++) {
        const lti_int_layer *layer = &net->layer[l];
        for (int t = 0; t < layer->n_terms; t++)
            note_reader(net, layer->term[t].source, l);
        if (layer->source >= 0)
            note_reader(net, layer->source, l);
        if (layer->target >= 0)
            net->tensor[layer->target].first = net->tensor[layer->target].last = l;
        if (layer->state >= 0)
            net->tensor[layer->state].last = net->n_layers; // from the start
    }
}

void lti_int_place_tensors(lt_int_net *net)
{
    find_lives(net);
    for (int i = 0; i < net->n_tensors; i++) {
        lti_int_tensor *t = &net->tensor[i];
        t->offset = 0;
        for (bool moved = true; moved;) {
            moved = false;
            for (int j = 0; j < i; j++) {
                const lti_int_tensor *o = &net->tensor[j];
                const bool together = t->first <= o->last && o->first <= t->last;
                if (together && t->offset < o->offset + o->bytes && o->offset < t->offset + t->bytes) {
                    t->offset = (o->offset + o->bytes + 63) / 64 * 64;
                    moved = true;
                }
            }
        }
        net->memory_bytes = t->offset + t->bytes > net->memory_bytes ? t->offset + t->bytes : net->memory_bytes;
    }
    net->memory_bytes = (net->memory_bytes + 63) / 64 * 64;
    for (int l = 0; l < net->n_layers; l++)
        for (int t = 0; t < net->layer[l].n_terms; t++) {
            const lti_int_weights *w = net->layer[l].term[t].weights;
            const int64_t n = net->layer[l].h * net->layer[l].w;
            const lti_int_term *term = &net->layer[l].term[t];
            const lti_int_tensor *s = &net->tensor[term->source];
            const int64_t gathered = w ? n * w->kp : 0,
                          padded = w ? (s->h + 2 * term->pad) * (s->w + 2 * term->pad) * s->c : 0;
            const int64_t bytes = (gathered > padded ? gathered : padded) + n * net->layer[l].k * 12 + 256;
            net->scratch_bytes = bytes > net->scratch_bytes ? bytes : net->scratch_bytes;
        }
}

void lt_int_net_destroy(lt_int_net *net)
{
    if (!net)
        return;
    lti_arena_clear(&net->arena);
    lti_free(net);
}

int lti_int_code_bits(const lti_int_weights *w)
{
    return w->coding == LTI_INT_BIT ? 1 : w->coding == LTI_INT_ONES ? 0 : w->bits;
}

int lti_int_code(const lti_int_weights *w, int16_t v)
{
    switch (w->coding) {
    case LTI_INT_MIDRISE:
        return (v + (1 << w->bits) - 1) / 2;
    case LTI_INT_MIDTREAD:
        return v + (1 << (w->bits - 1));
    case LTI_INT_SIGNED8:
        return (uint8_t)v;
    case LTI_INT_BIT:
    case LTI_INT_ONES:
        break;
    }
    return v;
}

void lt_int_net_info(const lt_int_net *net, lt_int_info *info)
{
    *info = (lt_int_info){.n_layers = net->n_layers,
                          .n_classes = net->shape.n_classes,
                          .n_steps = net->n_steps,
                          .n_neuron_layers = net->n_neurons,
                          .activation_bytes = net->memory_bytes,
                          .float_bytes = net->float_bytes,
                          .kernel = lti_int_kernel_best()->name};
    for (int l = 0; l < net->n_layers; l++) {
        const lti_int_layer *layer = &net->layer[l];
        for (int t = 0; t < layer->n_terms; t++) {
            const lti_int_weights *w = layer->term[t].weights;
            info->table_bytes += layer->table_steps * layer->k * 4;
            if (!w)
                continue;
            const int64_t runs = layer->once ? 1 : net->n_steps;
            info->macs += w->coding == LTI_INT_ONES ? 0 : runs * layer->h * layer->w * w->k * w->r * w->s * w->c;
            info->weight_bytes += lti_packed_bytes(w->k * w->r * w->s * w->c, lti_int_code_bits(w));
        }
        info->table_bytes += layer->n_terms > 0 ? layer->table_steps * layer->k * 8 : 0;
        info->state_bytes += layer->state >= 0 ? net->tensor[layer->state].bytes : 0;
    }
}
