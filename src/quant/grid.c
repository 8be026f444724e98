// grid.c - the levels of one tensor or channel, and the nearest of them [QAT 1.2, 1.4].
#include "quant/quant_impl.h"

#include <math.h>

static void fill_uniform(lti_grid *g)
{
    for (int c = 0; c < g->n_levels; c++)
        g->level[c] = g->step * ((float)c - g->zero);
}

// a_c = sum of the gains of the set bits - reference: the rows of S R.
static void fill_multipliers(lti_grid *g)
{
    for (int c = 0; c < g->n_levels; c++) {
        float a = 0;
        for (int b = 0; b < g->bits; b++)
            a += (c >> b & 1) ? g->gain[b] : 0.0f;
        g->level[c] = a - g->gain[g->bits];
    }
}

// Codes by rising level (insertion sort: nearly sorted already, and stable), and the midpoints between neighbours.
static void sort_levels(lti_grid *g)
{
    for (int i = 0; i < g->n_levels; i++) {
        int at = i;
        for (; at > 0 && g->level[g->order[at - 1]] > g->level[i]; at--)
            g->order[at] = g->order[at - 1];
        g->order[at] = (uint8_t)i;
    }
    for (int i = 0; i + 1 < g->n_levels; i++)
        g->mid[i] = 0.5f * (g->level[g->order[i]] + g->level[g->order[i + 1]]);
}

void lti_grid_set_step(lti_grid *g, float step)
{
    g->step = step;
    for (int b = 0; b < g->bits; b++)
        g->gain[b] = step * (float)(1 << b);
    g->gain[g->bits] = step * g->zero;
    fill_uniform(g);
    sort_levels(g);
}

void lti_grid_set_gains(lti_grid *g, const float *gain)
{
    for (int b = 0; b <= g->bits; b++)
        g->gain[b] = gain[b];
    fill_multipliers(g);
    sort_levels(g);
    g->step = (g->level[g->order[g->n_levels - 1]] - g->level[g->order[0]]) / (float)(g->n_levels - 1);
}

void lti_grid_init(lti_grid *g, lti_grid_kind kind, int bits, float step)
{
    *g = (lti_grid){.kind = kind, .bits = bits, .n_levels = 1 << bits, .step0 = step};
    const int middle = g->n_levels / 2;
    g->zero = kind == LTI_GRID_MIDTREAD ? (float)middle : 0.5f * (float)(g->n_levels - 1);
    lti_grid_set_step(g, step);
}

bool lti_grid_monotone(const lti_grid *g)
{
    for (int i = 0; i < g->n_levels; i++)
        if (g->order[i] != i)
            return false;
    return true;
}

int lti_grid_nearest(const lti_grid *g, float w)
{
    if (g->kind != LTI_GRID_MULTIPLIERS)
        return lti_uniform_code(w, g->step, g->zero, g->n_levels);
    int low = 0, high = g->n_levels - 1; // the first midpoint that is not below w
    while (low < high) {
        const int at = (low + high) / 2;
        if (w <= g->mid[at])
            high = at;
        else
            low = at + 1;
    }
    return g->order[low];
}

float lti_step_from_mean(const float *w, int64_t n, int bits, lti_grid_kind kind)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += fabs((double)w[i]);
    const double top = (double)(1 << bits), zero = kind == LTI_GRID_MIDTREAD ? top / 2 - (bits > 1) : (top - 1) / 2;
    const double step = 2 * (sum / (double)(n > 0 ? n : 1)) / sqrt(zero);
    return step > 1e-12 ? (float)step : 1e-3f; // a layer of zeros still has levels
}
