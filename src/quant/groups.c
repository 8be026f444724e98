// groups.c - chips whose maps of faults are alike share one training [QAT 3.5].
//
// A weight of a group can have the levels that it can have on every chip of it; where there is none, each chip takes
// what is nearest to a common target. What that costs is known before any training, so groups are formed by merging,
// again and again, the two of which the merged one adds the least squared error.
#include "quant/quant_impl.h"

#include <math.h>
#include <string.h>

uint32_t lti_maps_reachable(const lti_maps *m, int64_t at)
{
    uint32_t set = m->table->n_levels < 32 ? (1u << m->table->n_levels) - 1 : ~0u;
    if (m->state)
        set = m->table->reachable[lti_state_index(m->state[at], m->n_cells)];
    for (int j = 0; j < m->n_members; j++)
        set &= lti_maps_reachable(&m->member[j], at);
    return set;
}

// The level of a set that is nearest to w; of equally near ones the lower. -1 for an empty set.
static int nearest_in_set(const lti_grid *g, uint32_t set, float w)
{
    int best = -1;
    float best_d = 0;
    for (int i = 0; i < g->n_levels; i++) {
        const int c = g->order[i];
        const float d = fabsf(w - g->level[c]);
        if (set >> c & 1 && (best < 0 || d < best_d)) {
            best = c;
            best_d = d;
        }
    }
    return best;
}

// Sum over the chips of (w - what the chip makes of code c)^2.
static double error_of_target(const lti_grid *g, const uint16_t *set, int n, int c, float w)
{
    double sum = 0;
    for (int j = 0; j < n; j++) {
        const double d = (double)w - (double)g->level[nearest_in_set(g, set[j], g->level[c])];
        sum += d * d;
    }
    return sum;
}

int lti_group_target(const lti_grid *g, const uint16_t *set, int n, float w, double *error)
{
    uint32_t common = (1u << g->n_levels) - 1;
    for (int j = 0; j < n; j++)
        common &= set[j];
    int best = nearest_in_set(g, common, w);
    if (best >= 0) {
        const double d = (double)w - (double)g->level[best];
        *error = n * d * d;
        return best;
    }
    for (int i = 0; i < g->n_levels; i++) {
        const double e = error_of_target(g, set, n, g->order[i], w);
        if (best < 0 || e < *error) {
            best = g->order[i];
            *error = e;
        }
    }
    return best;
}

int lti_maps_group_nearest(const lti_maps *m, const lti_grid *g, int64_t at, float w, float *value)
{
    uint16_t set[LT_QUANT_MAX_GROUP];
    double error = 0;
    for (int j = 0; j < m->n_members; j++)
        set[j] = (uint16_t)lti_maps_reachable(&m->member[j], at);
    const int c = lti_group_target(g, set, m->n_members, w, &error);
    *value = g->level[c];
    return c;
}

lt_status lti_maps_draw_group(const lt_quant *q, const lt_quant_chip *chip, const int32_t *chips, int n, lti_maps *m)
{
    *m = (lti_maps){.chip = *chip};
    if (n < 1 || n > LT_QUANT_MAX_GROUP)
        return LT_FAIL(LT_E_USAGE, "group of chips: expected 1 to %d chips, found %d", LT_QUANT_MAX_GROUP, n);
    if (chip->variability > 0) {
        LT_FAIL(LT_E_USAGE, "group of chips: cells with spread have values of their own on every chip");
        return lt_error_hint("give --fault-rate without --variability");
    }
    if (chip->mapping != LT_MAP_NEAREST)
        return LT_FAIL(LT_E_USAGE, "group of chips: expected the mapping nearest, because a bit map reads through the "
                                   "faults of one chip");
    if (lti_chip_ideal(chip))
        return LT_OK;
    lt_status status = LT_OK;
    m->n_cells = lt_encoding_n_cells((lt_encoding)chip->encoding, q->cfg.bits);
    LT_TRY_GOTO(lti_fault_table_create((lt_encoding)chip->encoding, q->cfg.bits, &m->table), done);
    m->member = lti_calloc((size_t)n, sizeof *m->member);
    if (!m->member)
        LT_TRY_GOTO(LTI_NOMEM("maps of a group"), done);
    for (; m->n_members < n; m->n_members++) {
        lt_quant_chip one = *chip;
        one.chip = chips[m->n_members];
        LT_TRY_GOTO(lti_maps_draw(q, &one, &m->member[m->n_members]), done);
    }
done:
    if (status != LT_OK)
        lti_maps_clear(m);
    return status;
}

// ---- forming groups

typedef struct grouping {
    const lt_quant *q;
    int n;         // chips
    int64_t n_at;  // weights that are sampled
    int64_t *at;   // of all quantized ones
    float *w;      // their levels
    int *grid;     // and grids
    uint16_t *set; // (n, n_at)
    int32_t *group;
    double *cost;     // (n) of the group of that number
    double *together; // (n, n) of two groups merged; a < b
} grouping;

// Sum over the weights of the squared error, in steps, on all chips of groups a and b (b < 0: a alone).
static double cost_of(const grouping *x, int a, int b)
{
    const uint16_t *row[LT_QUANT_MAX_GROUP];
    int n = 0;
    for (int j = 0; j < x->n; j++)
        if (x->group[j] == a || x->group[j] == b)
            row[n++] = x->set + j * x->n_at;
    double sum = 0;
    for (int64_t i = 0; i < x->n_at; i++) {
        const lti_grid *g = &x->q->grid[x->grid[i]];
        uint16_t set[LT_QUANT_MAX_GROUP];
        double error = 0;
        for (int j = 0; j < n; j++)
            set[j] = row[j][i];
        lti_group_target(g, set, n, x->w[i], &error);
        sum += error / ((double)g->step * (double)g->step);
    }
    return sum;
}

static void compare_with_all(grouping *x, int a)
{
#pragma omp parallel for schedule(dynamic)
    for (int b = 0; b < x->n; b++)
        if (b != a && x->cost[b] >= 0) {
            const double c = cost_of(x, a, b);
            x->together[a * x->n + b] = x->together[b * x->n + a] = c;
        }
}

static void merge_cheapest(grouping *x)
{
    int first = -1, second = -1;
    double least = INFINITY;
    for (int a = 0; a < x->n; a++)
        for (int b = a + 1; b < x->n; b++) {
            const double adds =
                x->cost[a] < 0 || x->cost[b] < 0 ? INFINITY : x->together[a * x->n + b] - x->cost[a] - x->cost[b];
            if (adds < least) {
                least = adds;
                first = a;
                second = b;
            }
        }
    if (first < 0)
        return;
    for (int j = 0; j < x->n; j++)
        if (x->group[j] == second)
            x->group[j] = first;
    x->cost[first] = x->together[first * x->n + second];
    x->cost[second] = -1; // is no group any more
    compare_with_all(x, first);
}

// Weights at equal distances, so few that all pairs of chips can be compared.
static lt_status choose_weights(grouping *x)
{
    enum { MOST = 1 << 18 };
    const lt_quant *q = x->q;
    const double pairs = (double)x->n * x->n;
    int64_t most = (int64_t)(4294967296.0 / pairs);
    most = most < MOST ? most : MOST;
    const int64_t every = (q->n_weights + most - 1) / most, room = q->n_weights / every + q->n_tensors + 1;
    x->at = lti_calloc((size_t)room, sizeof *x->at);
    x->w = lti_calloc((size_t)room, sizeof *x->w);
    x->grid = lti_calloc((size_t)room, sizeof *x->grid);
    if (!x->at || !x->w || !x->grid)
        return LTI_NOMEM("weights of a grouping");
    for (int j = 0; j < q->n_tensors; j++) {
        const lti_qtensor *t = &q->tensor[j];
        for (int64_t i = 0; i < t->n && t->faulty; i += every) {
            x->at[x->n_at] = t->first + i;
            x->grid[x->n_at] = t->grid + (int)(i / t->per);
            x->w[x->n_at] = q->grid[x->grid[x->n_at]].level[q->code[t->first + i]];
            x->n_at++;
        }
    }
    return LT_OK;
}

static lt_status read_maps(grouping *x, const lt_quant_chip *device)
{
    x->set = lti_calloc((size_t)(x->n * x->n_at), sizeof *x->set);
    if (!x->set)
        return LTI_NOMEM("maps of a grouping");
    for (int j = 0; j < x->n; j++) {
        lt_quant_chip one = *device;
        lti_maps maps;
        one.chip += j;
        LT_TRY(lti_maps_draw(x->q, &one, &maps));
        for (int64_t i = 0; i < x->n_at; i++)
            x->set[j * x->n_at + i] = (uint16_t)lti_maps_reachable(&maps, x->at[i]);
        lti_maps_clear(&maps);
    }
    return LT_OK;
}

// Groups are numbered by their first chips.
static void number_groups(const grouping *x, int32_t *group, double *cost)
{
    int next = 0;
    for (int j = 0; j < x->n; j++) {
        if (x->group[j] == j) {
            cost[next] = x->cost[j] / (double)(x->n_at > 0 ? x->n_at : 1);
            group[j] = next++;
        } else {
            group[j] = group[x->group[j]];
        }
    }
}

lt_status lt_chip_groups(const lt_quant *q, const lt_quant_chip *device, int n, int n_groups, int32_t *group,
                         double *cost)
{
    if (n < 1 || n > LT_QUANT_MAX_GROUP || n_groups < 1 || n_groups > n)
        return LT_FAIL(LT_E_USAGE, "groups: expected 1 to %d groups of at most %d chips, found %d groups of %d", n,
                       LT_QUANT_MAX_GROUP, n_groups, n);
    if (!(device->fault_rate > 0) || device->variability > 0)
        return LT_FAIL(LT_E_USAGE, "groups: expected chips with stuck cells and no spread of cells");
    grouping x = {.q = q, .n = n};
    lt_status status = LT_OK;
    LT_TRY_GOTO(choose_weights(&x), done);
    LT_TRY_GOTO(read_maps(&x, device), done);
    x.group = lti_calloc((size_t)n, sizeof *x.group);
    x.cost = lti_calloc((size_t)n, sizeof *x.cost);
    x.together = lti_calloc((size_t)n * (size_t)n, sizeof *x.together);
    if (!x.group || !x.cost || !x.together)
        LT_TRY_GOTO(LTI_NOMEM("groups of chips"), done);
    for (int j = 0; j < n; j++)
        x.group[j] = j;
    for (int j = 0; j < n; j++)
        x.cost[j] = cost_of(&x, j, -1);
    for (int j = 0; j < n && n_groups < n; j++)
        compare_with_all(&x, j);
    for (int k = n; k > n_groups; k--)
        merge_cheapest(&x);
    number_groups(&x, group, cost);
done:
    lti_free(x.at);
    lti_free(x.w);
    lti_free(x.grid);
    lti_free(x.set);
    lti_free(x.group);
    lti_free(x.cost);
    lti_free(x.together);
    return status;
}
