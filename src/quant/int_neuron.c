// int_neuron.c - integer neurons and the integer layer norm in front of them [SPIKE 16, 19].
#include "quant/intnet_impl.h"

// floor((decay v + 2^15) / 2^16): to nearest, halves up, also below zero.
static int64_t scale_by_decay(int64_t v, int64_t decay)
{
    enum { DECAY_SHIFT = 16 };
    return lti_floor_shift(decay * v + (1 << (DECAY_SHIFT - 1)), DECAY_SHIFT);
}

// The next potential from the last one and whether it fired [SPIKE 1-6].
static int64_t next_potential(const lt_int_neuron *a, int64_t u, bool fired, int64_t x)
{
    const int64_t reduced = u - (fired ? a->threshold : 0), cleared = fired ? 0 : u;
    switch ((lt_neuron)a->kind) {
    case LT_NEURON_SUBTRACT_DELAYED:
        return scale_by_decay(u, a->decay) + x - (fired ? a->threshold : 0);
    case LT_NEURON_SUBTRACT_BETATHETA:
        return scale_by_decay(reduced, a->decay) + x;
    case LT_NEURON_ZERO_IMMEDIATE:
        return scale_by_decay(cleared, a->decay) + x;
    case LT_NEURON_ZERO_DELAYED:
        return fired ? 0 : scale_by_decay(u, a->decay) + x;
    case LT_NEURON_SJ_LIF:
        return cleared + scale_by_decay(x - cleared, a->decay);
    case LT_NEURON_SJ_LIF_SOFT:
        return reduced + scale_by_decay(x - reduced, a->decay);
    case LT_NEURON_SJ_IF:
        return cleared + x;
    case LT_NEURON_SJ_IF_SOFT:
    case LT_N_NEURONS:
        break;
    }
    return reduced + x;
}

int64_t lti_int_neuron_step(const lt_int_neuron *a, int64_t n, const int32_t *x, int32_t *u, uint8_t *s)
{
    const int64_t top = ((int64_t)1 << (a->bits - 1)) - 1, bottom = -top - 1;
    const int64_t fires = a->kind >= LT_NEURON_SJ_LIF ? a->threshold : (int64_t)a->threshold + 1; // the least that does
    int64_t saturated = 0;
    for (int64_t i = 0; i < n; i++) {
        int64_t v = next_potential(a, u[i], u[i] >= fires, x[i]);
        saturated += v > top || v < bottom;
        v = v > top ? top : v < bottom ? bottom : v;
        u[i] = (int32_t)v;
        s[i] = v >= fires;
    }
    return saturated;
}

void lt_int_neuron_run(const lt_int_neuron *neuron, int64_t steps, int64_t n, const int32_t *x, int32_t *u, uint8_t *s,
                       int64_t *n_saturated)
{
    int64_t saturated = 0;
    for (int64_t t = 0; t < steps; t++)
        saturated += lti_int_neuron_step(neuron, n, x + t * n, u, s + t * n);
    if (n_saturated)
        *n_saturated = saturated;
}

// ---- layer norm

int64_t lti_isqrt(int64_t v)
{
    int64_t root = 0;
    for (int64_t bit = (int64_t)1 << 31; bit > 0; bit >>= 1)
        if ((root + bit) <= v / (root + bit)) // (root + bit)^2 <= v without overflow
            root += bit;
    return root;
}

void lti_int_layer_norm(const int32_t *x, int64_t n, int64_t eps, int32_t *y)
{
    enum { ROOT_BITS = 8, GAIN_BITS = 24 };
    int64_t sum = 0, square = 0;
    for (int64_t i = 0; i < n; i++)
        sum += x[i];
    const int64_t mean = lti_floor_div(sum + n / 2, n);
    for (int64_t i = 0; i < n; i++)
        square += (x[i] - mean) * (x[i] - mean);
    const int64_t root = lti_isqrt((square / n + eps) << 2 * ROOT_BITS);
    const int64_t gain = ((int64_t)LTI_INT_THRESHOLD << (ROOT_BITS + GAIN_BITS)) / root;
    for (int64_t i = 0; i < n; i++)
        y[i] = (int32_t)lti_saturate(lti_floor_shift((x[i] - mean) * gain + ((int64_t)1 << (GAIN_BITS - 1)), GAIN_BITS),
                                     LTI_INT_NORM_MAX);
}
