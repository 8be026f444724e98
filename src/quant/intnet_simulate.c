// intnet_simulate.c - what an integer network should compute, from the float weights of the model file and dequantized
// activations in double: every accumulator must come out as an integer, and the same one.
#include "quant/intnet_impl.h"

#include <math.h>
#include <string.h>

typedef struct simulation {
    const lt_int_net *net;
    double *value[LTI_INT_MAX_TENSORS]; // real values, (h,w,c)
    int step;
    int64_t *spikes; // (n_neurons) of the clip, or NULL
} simulation;

// Weight (k, r, s, c) as a real number.
static double weight_of(const lti_int_term *t, int64_t k, int64_t r, int64_t s, int64_t c, double scale)
{
    const lti_int_weights *w = t->weights;
    const bool whole = w->coding == LTI_INT_MIDRISE || w->coding == LTI_INT_MIDTREAD;
    if (whole)
        return (double)w->values[((k * w->c + c) * w->r + r) * w->s + s];
    return scale * w->w[((k * w->r + r) * w->s + s) * w->c + c];
}

// Real sum of a term at one place.
static double real_sum(const simulation *m, const lti_int_term *t, int64_t y, int64_t x, int64_t k, double weight_scale)
{
    const lti_int_tensor *s = &m->net->tensor[t->source];
    const double *v = m->value[t->source];
    if (!t->weights)
        return v[(y * s->w + x) * s->c + k];
    double sum = 0;
    for (int64_t r = 0; r < t->weights->r; r++)
        for (int64_t q = 0; q < t->weights->s; q++) {
            const int64_t sy = y * t->stride - t->pad + r, sx = x * t->stride - t->pad + q;
            if (sy < 0 || sy >= s->h || sx < 0 || sx >= s->w)
                continue;
            for (int64_t c = 0; c < t->weights->c; c++)
                sum += weight_of(t, k, r, q, c, weight_scale) * v[(sy * s->w + sx) * s->c + c];
        }
    return sum;
}

// Scale of a weight term: from the first weight that is not 0, of the model file.
static double weight_scale(const lti_int_term *t, int64_t k)
{
    const lti_int_weights *w = t->weights;
    if (!w || (w->coding != LTI_INT_MIDRISE && w->coding != LTI_INT_MIDTREAD))
        return 1;
    for (int64_t r = 0; r < w->r; r++)
        for (int64_t s = 0; s < w->s; s++)
            for (int64_t c = 0; c < w->c; c++) {
                const int i = w->w[((k * w->r + r) * w->s + s) * w->c + c];
                if (i != 0)
                    return (double)w->values[((k * w->c + c) * w->r + r) * w->s + s] / i;
            }
    return 1;
}

// The accumulator of a term: the real sum over its scales, which must be an integer.
static lt_status accumulator(const simulation *m, const lti_int_layer *l, int t, int64_t at, int64_t k, double *acc)
{
    const lti_int_term *term = &l->term[t];
    const double ws = weight_scale(term, k), scale = m->net->tensor[term->source].scale * ws;
    const double real = real_sum(m, term, at / l->w, at % l->w, k, ws) / scale;
    *acc = nearbyint(real);
    if (fabs(real - *acc) > 0.05)
        return LT_FAIL(LT_E_INTEGRITY, "%s: term %d, channel %lld: the accumulator is %.6f, no integer", l->name, t,
                       (long long)k, real);
    return LT_OK;
}

static double saturate(double v, double bound)
{
    return v > bound ? bound : v < -bound ? -bound : v;
}

// The next potential of a neuron, everything in units of its current; floor(decay u + 1/2) rounds halves up.
static double next_potential(const lt_int_neuron *a, double u, double x)
{
    const double h = a->threshold, beta = (double)a->decay / LT_INT_DECAY_ONE;
    const bool fired = a->kind >= LT_NEURON_SJ_LIF ? u >= h : u > h;
    const double reset =
        a->kind == LT_NEURON_SUBTRACT_BETATHETA || a->kind == LT_NEURON_SJ_LIF_SOFT || a->kind == LT_NEURON_SJ_IF_SOFT
            ? u - (fired ? h : 0)
            : (fired ? 0 : u);
    switch ((lt_neuron)a->kind) {
    case LT_NEURON_SUBTRACT_DELAYED:
        return floor(beta * u + 0.5) + x - (fired ? h : 0);
    case LT_NEURON_ZERO_DELAYED:
        return fired ? 0 : floor(beta * u + 0.5) + x;
    case LT_NEURON_SUBTRACT_BETATHETA:
    case LT_NEURON_ZERO_IMMEDIATE:
        return floor(beta * reset + 0.5) + x;
    case LT_NEURON_SJ_LIF:
    case LT_NEURON_SJ_LIF_SOFT:
        return reset + floor(beta * (x - reset) + 0.5);
    default:
        return reset + x;
    }
}

// A sum of a layer, which is shifted down to an integer of its target.
static void end_sum(simulation *m, const lti_int_layer *l, int64_t i, long double sum)
{
    const long double code = floorl(ldexpl(sum, -l->shift)), top = (1 << l->bits) - 1;
    double *to = &m->value[l->target][i];
    const double scale = m->net->tensor[l->target].scale;
    if (l->kind == LTI_INT_AFFINE) {
        *to = (double)(code < 0 ? 0 : code > top ? top : code) * scale;
    } else if (l->kind == LTI_INT_CURRENT) {
        *to = saturate((double)code, LTI_INT_CURRENT_MAX) * scale;
    } else {
        const lt_int_neuron *a = &l->neuron;
        double *u = &m->value[l->state][i];
        const double bound = ldexp(1, a->bits - 1),
                     next = next_potential(a, *u, saturate((double)code, LTI_INT_NORM_MAX));
        *u = next > bound - 1 ? bound - 1 : next < -bound ? -bound : next;
        *to = a->kind >= LT_NEURON_SJ_LIF ? *u >= a->threshold : *u > a->threshold;
        if (m->spikes)
            m->spikes[l->ordinal] += *to > 0;
    }
}

static lt_status simulate_affine(simulation *m, const lti_int_layer *l, int64_t *logits)
{
    const int64_t table = l->table_steps > 1 ? m->step * l->k : 0;
    for (int64_t at = 0; at < l->h * l->w; at++)
        for (int64_t k = 0; k < l->k; k++) {
            long double sum = (long double)l->add[table + k];
            for (int t = 0; t < l->n_terms; t++) {
                double acc = 0;
                LT_TRY(accumulator(m, l, t, at, k, &acc));
                sum += (long double)l->term[t].mul[table + k] * (long double)acc;
            }
            if (l->kind == LTI_INT_LOGITS)
                logits[k] += (int64_t)sum;
            else
                end_sum(m, l, at * l->k + k, sum);
        }
    return LT_OK;
}

// [SPIKE 19] in extended precision, which holds every product exactly.
static void simulate_layer_norm(simulation *m, const lti_int_layer *l)
{
    const lti_int_tensor *s = &m->net->tensor[l->source];
    const int64_t n = s->h * s->w * s->c, half = n / 2;
    const double *x = m->value[l->source];
    long double sum = 0, square = 0;
    for (int64_t i = 0; i < n; i++)
        sum += nearbyint(x[i] / s->scale);
    const long double mean = floorl((sum + (long double)half) / (long double)n);
    for (int64_t i = 0; i < n; i++) {
        const long double d = (long double)nearbyint(x[i] / s->scale) - mean;
        square += d * d;
    }
    const long double variance = floorl(square / (long double)n) + (long double)l->eps,
                      root = floorl(sqrtl(ldexpl(variance, 16))), gain = floorl(ldexpl(1, 48) / root);
    for (int64_t i = 0; i < n; i++) {
        const long double d = (long double)nearbyint(x[i] / s->scale) - mean;
        m->value[l->target][i] =
            saturate((double)floorl(ldexpl(d * gain, -24) + 0.5L), LTI_INT_NORM_MAX) * m->net->tensor[l->target].scale;
    }
}

static void simulate_pool(simulation *m, const lti_int_layer *l)
{
    const lti_int_tensor *s = &m->net->tensor[l->source];
    const double *x = m->value[l->source];
    for (int64_t y = 0; y < l->h; y++)
        for (int64_t c = 0; c < l->w; c++)
            for (int64_t k = 0; k < l->k; k++) {
                double sum = 0, most = s->type == LTI_INT_I32 ? -INFINITY : 0;
                for (int r = 0; r < l->kernel; r++)
                    for (int q = 0; q < l->kernel; q++) {
                        const int64_t sy = y * l->stride - l->pad + r, sx = c * l->stride - l->pad + q;
                        if (sy < 0 || sy >= s->h || sx < 0 || sx >= s->w)
                            continue;
                        const double v = x[(sy * s->w + sx) * s->c + k];
                        sum += v;
                        most = fmax(most, v);
                    }
                m->value[l->target][(y * l->w + c) * l->k + k] =
                    l->kind == LTI_INT_MAX_POOL ? most : sum / s->scale * m->net->tensor[l->target].scale;
            }
}

static void simulate_load(simulation *m, const uint8_t *image)
{
    const lt_int_net *net = m->net;
    const lti_int_tensor *s = &net->tensor[0];
    const int64_t plane = s->h * s->w, first = net->frames ? m->step * s->c : 0;
    for (int64_t p = 0; p < plane; p++)
        for (int64_t c = 0; c < s->c; c++) {
            const uint8_t v = image[(first + c) * plane + p];
            m->value[0][p * s->c + c] = (net->has_lut ? net->lut[(first + c) * 256 + v] : v) * s->scale;
        }
}

static lt_status simulate_layer(simulation *m, const lti_int_layer *l, int64_t *logits)
{
    if (l->n_terms > 0)
        return simulate_affine(m, l, logits);
    if (l->kind == LTI_INT_LAYER_NORM)
        simulate_layer_norm(m, l);
    else if (l->kind == LTI_INT_COUNT)
        for (int64_t k = 0; k < l->k; k++)
            logits[k] += (int64_t)m->value[l->source][k];
    else
        simulate_pool(m, l);
    return LT_OK;
}

static lt_status simulate_image(simulation *m, const uint8_t *image, int64_t *logits)
{
    const lt_int_net *net = m->net;
    memset(logits, 0, (size_t)net->shape.n_classes * sizeof *logits);
    for (int i = 0; i < net->n_layers; i++)
        if (net->layer[i].state >= 0) {
            const lti_int_tensor *u = &net->tensor[net->layer[i].state];
            memset(m->value[net->layer[i].state], 0, (size_t)(u->h * u->w * u->c) * sizeof(double));
        }
    for (m->step = 0; m->step < net->n_steps; m->step++) {
        simulate_load(m, image);
        for (int i = 0; i < net->n_layers; i++)
            LT_TRY(simulate_layer(m, &net->layer[i], logits));
    }
    return LT_OK;
}

lt_status lt_int_net_simulate(const lt_int_net *net, const uint8_t *images, int64_t n, int64_t *logits, int64_t *spikes)
{
    simulation m = {.net = net};
    lt_status status = LT_OK;
    const int64_t per = (int64_t)net->shape.c * net->shape.h * net->shape.w;
    if (spikes)
        memset(spikes, 0, (size_t)(n * net->n_neurons) * sizeof *spikes);
    for (int i = 0; i < net->n_tensors && status == LT_OK; i++) {
        const lti_int_tensor *t = &net->tensor[i];
        m.value[i] = lti_calloc((size_t)(t->h * t->w * t->c), sizeof(double));
        status = m.value[i] ? LT_OK : LTI_NOMEM("simulated activations");
    }
    for (int64_t i = 0; i < n && status == LT_OK; i++) {
        m.spikes = spikes ? spikes + i * net->n_neurons : NULL;
        status = simulate_image(&m, images + i * per, logits + i * net->shape.n_classes);
    }
    for (int i = 0; i < net->n_tensors; i++)
        lti_free(m.value[i]);
    return status;
}
