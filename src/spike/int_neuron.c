// int_neuron.c - the integer form of subtract-delayed with decay 1/2 [SPIKE 16].
#include "lethe/spike.h"

void lt_int_neuron_run(const lt_int_neuron *neuron, int64_t steps, int64_t n, const int32_t *x, int32_t *u, uint8_t *s,
                       int64_t *n_saturated)
{
    const int64_t top = ((int64_t)1 << (neuron->bits - 1)) - 1, bottom = -top - 1;
    int64_t saturated = 0;
    for (int64_t t = 0; t < steps; t++)
        for (int64_t i = 0; i < n; i++) {
            const int64_t before = u[i];
            // Floor division by two of v + 1, written without a shift of a negative number.
            const int64_t half = before + 1 >= 0 ? (before + 1) / 2 : -((-(before + 1) + 1) / 2);
            int64_t v = half + x[t * n + i] - (before > neuron->threshold ? neuron->threshold : 0);
            saturated += v > top || v < bottom;
            v = v > top ? top : v < bottom ? bottom : v;
            u[i] = (int32_t)v;
            s[t * n + i] = v > neuron->threshold;
        }
    if (n_saturated)
        *n_saturated = saturated;
}
