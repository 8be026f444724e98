// chip.c - the maps of one device, and what its cells do to a weight [QAT 3.1, 4].
//
// A cell is stuck when its uniform number lies below the rate, so maps are nested in the rate; numbers are functions of
// (seed, chip, tensor, weight, cell). Faults and spread have seeds of their own.
#include "quant/quant_impl.h"

#include <math.h>
#include <string.h>

bool lti_chip_ideal(const lt_quant_chip *chip)
{
    return !(chip->fault_rate > 0) && !(chip->variability > 0);
}

lt_status lti_chip_check(const lt_quant_chip *c, int bits)
{
    if (!(c->fault_rate >= 0 && c->fault_rate <= 1) || !(c->stuck_at_1 >= 0 && c->stuck_at_1 <= 1))
        return LT_FAIL(LT_E_USAGE, "chip: expected rates of 0 to 1, found %g and %g", (double)c->fault_rate,
                       (double)c->stuck_at_1);
    if (!(c->variability >= 0 && c->variability <= 4))
        return LT_FAIL(LT_E_USAGE, "chip: expected a spread of 0 to 4, found %g", (double)c->variability);
    if (c->chip < 0)
        return LT_FAIL(LT_E_USAGE, "chip: expected a number of 0 or more, found %d", (int)c->chip);
    if (!lti_chip_ideal(c) && bits > LT_QUANT_MAX_CELL_BITS)
        return LT_FAIL(LT_E_USAGE, "faults and variability: expected 2 to %d bits per weight, found %d",
                       LT_QUANT_MAX_CELL_BITS, bits);
    if (c->variability > 0 && c->encoding == LT_ENC_GRAY) {
        LT_FAIL(LT_E_USAGE, "variability with the gray encoding: the bits of a Gray code have no weights");
        return lt_error_hint("take offset, twos, sign-magnitude or differential");
    }
    return LT_OK;
}

double lt_chip_touched_share(const lt_quant_chip *c, int bits)
{
    return 1 - pow(1 - lti_decimal_of(c->fault_rate), lt_encoding_n_cells((lt_encoding)c->encoding, bits));
}

// Uniform numbers of n cells, and of the kind of their faults.
static uint16_t draw_state(const lt_quant_chip *c, uint32_t id, int64_t i, int n_cells)
{
    lt_rng rng = lt_rng_at(c->fault_seed, LT_STREAM_FAULT, (uint32_t)c->chip, (uint64_t)id << 40 | (uint64_t)i);
    unsigned mask = 0, value = 0;
    for (int b = 0; b < n_cells; b++) {
        const double u = (double)lt_rng_u32(&rng) / 4294967296.0;
        const double kind = (double)lt_rng_u32(&rng) / 4294967296.0;
        if (u < (double)c->fault_rate) {
            mask |= 1u << b;
            value |= (unsigned)(kind < (double)c->stuck_at_1) << b;
        }
    }
    return (uint16_t)(mask | value << 8);
}

static float draw_gain(const lt_quant_chip *c, lt_rng *rng)
{
    const double sigma = (double)c->variability, x = lt_rng_normal(rng);
    switch ((lt_variability_model)c->variability_model) {
    case LT_VAR_CONDUCTANCE_TRUNCATED:
        return (float)fmax(1 + sigma * x, 0);
    case LT_VAR_LOGNORMAL: {
        const double s = sqrt(log(1 + sigma * sigma));
        return (float)exp(s * x - s * s / 2);
    }
    case LT_VAR_RESISTANCE:
        return (float)(1 + sigma * x > 0 ? 1 / (1 + sigma * x)
                                         : 1); // a resistance that is not positive is the mean one
    case LT_VAR_CONDUCTANCE:
        break;
    }
    return (float)(1 + sigma * x);
}

static void draw_tensor(const lti_qtensor *t, lti_maps *m)
{
    const lt_quant_chip *c = &m->chip;
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < t->n; i++) {
        if (m->state && t->faulty)
            m->state[t->first + i] = draw_state(c, t->id, i, m->n_cells);
        if (!m->eps)
            continue;
        lt_rng rng = lt_rng_at(c->variability_seed, LT_STREAM_VARIABILITY, (uint32_t)c->chip,
                               (uint64_t)t->id << 40 | (uint64_t)i);
        for (int b = 0; b < m->n_cells; b++)
            m->eps[(t->first + i) * m->n_cells + b] = t->faulty ? draw_gain(c, &rng) : 1.0f;
    }
}

// The words of an encoding must have the levels of the grid [QAT 3.1].
static lt_status check_words(const lt_quant *q, const lt_quant_chip *c)
{
    const bool has_sign = c->encoding == LT_ENC_SIGN_MAGNITUDE || c->encoding == LT_ENC_DIFFERENTIAL;
    for (int j = 0; j < q->n_tensors; j++) {
        const lti_qtensor *t = &q->tensor[j];
        const lti_grid_kind kind = t->faulty ? q->grid[t->grid].kind : LTI_GRID_MIDRISE;
        if (kind == LTI_GRID_MIDTREAD && has_sign) {
            LT_FAIL(LT_E_USAGE,
                    "encoding: %s has a level at 0 and one more below than above it, which sign and "
                    "magnitude have not",
                    t->name);
            return lt_error_hint("take offset or twos, or a method without a level at 0 (seq instead of lsq)");
        }
        if (kind == LTI_GRID_MULTIPLIERS && c->variability > 0 && c->encoding != LT_ENC_OFFSET)
            return LT_FAIL(LT_E_USAGE,
                           "variability: the learnt levels of %s are sums of gains of an offset code; "
                           "expected the encoding offset",
                           t->name);
    }
    return LT_OK;
}

lt_status lti_maps_draw(const lt_quant *q, const lt_quant_chip *chip, lti_maps *m)
{
    *m = (lti_maps){.chip = *chip, .n_cells = lt_encoding_n_cells((lt_encoding)chip->encoding, q->cfg.bits)};
    LT_TRY(lti_chip_check(chip, q->cfg.bits));
    if (lti_chip_ideal(chip))
        return LT_OK;
    LT_TRY(check_words(q, chip));
    lt_status status = LT_OK;
    LT_TRY_GOTO(lti_fault_table_create((lt_encoding)chip->encoding, q->cfg.bits, &m->table), done);
    if (chip->fault_rate > 0 && !(m->state = lti_calloc((size_t)q->n_weights, sizeof *m->state)))
        LT_TRY_GOTO(LTI_NOMEM("map of faults"), done);
    if (chip->variability > 0 && !(m->eps = lti_malloc((size_t)q->n_weights * (size_t)m->n_cells * sizeof *m->eps)))
        LT_TRY_GOTO(LTI_NOMEM("map of spread"), done);
    for (int i = 0; i < q->n_tensors; i++)
        draw_tensor(&q->tensor[i], m);
done:
    if (status != LT_OK)
        lti_maps_clear(m);
    return status;
}

void lti_maps_clear(lti_maps *m)
{
    lti_free(m->state);
    lti_free(m->eps);
    lti_free(m->table);
    for (int j = 0; j < m->n_members; j++)
        lti_maps_clear(&m->member[j]);
    lti_free(m->member);
    *m = (lti_maps){0};
}

// ---- one weight

static uint32_t state_of(const lti_maps *m, int64_t at)
{
    return m->state ? lti_state_index(m->state[at], m->n_cells) : 0;
}

// What a code is worth in the cells of weight `at`: its word as the faults leave it, with the gains of the cells.
static float value_in_cells(const lti_maps *m, const lti_grid *g, int64_t at, int code)
{
    const uint32_t state = m->state ? m->state[at] : 0, mask = state & 0xff, stuck = state >> 8;
    const lt_encoding e = (lt_encoding)m->chip.encoding;
    const uint32_t word = (lt_encoding_word(e, g->bits, code) & ~mask) | (stuck & mask);
    return m->eps ? lti_cell_value(e, g, word, m->eps + at * m->n_cells)
                  : g->level[m->table->read[state_of(m, at)][code]];
}

static int nearest_in_cells(const lti_maps *m, const lti_grid *g, int64_t at, float w, float *value)
{
    int best = -1;
    float best_d = 0;
    for (int i = 0; i < g->n_levels; i++) { // by rising nominal level: of equal distances the first one stays
        const int c = g->order[i];
        const float v = value_in_cells(m, g, at, c), d = fabsf(w - v);
        if (best < 0 || d < best_d) {
            best = c;
            best_d = d;
            *value = v;
        }
    }
    return m->table->read[state_of(m, at)][best];
}

static int nearest_reachable(const lti_maps *m, const lti_grid *g, int64_t at, float w, float *value)
{
    const uint32_t state = state_of(m, at);
    int best = -1;
    if (g->kind == LTI_GRID_MIDRISE) {
        const float u = 2 * (w / g->step + g->zero);
        const int top = 2 * g->n_levels - 1;
        int k = !(u > 0) ? 0 : u >= (float)top ? top : (int)u;
        k += k < top && (float)k < u;
        best = m->table->nearest[state][k];
    } else {
        float best_d = 0;
        for (int i = 0; i < g->n_levels; i++) {
            const int c = g->order[i];
            const float d = fabsf(w - g->level[c]);
            if (m->table->reachable[state] >> c & 1 && (best < 0 || d < best_d)) {
                best = c;
                best_d = d;
            }
        }
    }
    *value = g->level[best];
    return best;
}

int lti_q_nearest(const lt_quant *q, const lti_maps *m, const lti_qtensor *t, const lti_grid *g, int64_t i, float w,
                  float *value)
{
    (void)q;
    if (m && m->n_members > 0 && t->faulty)
        return lti_maps_group_nearest(m, g, t->first + i, w, value);
    if (m && m->eps && t->faulty)
        return nearest_in_cells(m, g, t->first + i, w, value);
    if (m && m->state && t->faulty)
        return nearest_reachable(m, g, t->first + i, w, value);
    const int c = lti_grid_nearest(g, w);
    *value = g->level[c];
    return c;
}

int lti_q_deploy(const lt_quant *q, const lti_maps *m, const lti_qtensor *t, const lti_grid *g, int64_t i, float w,
                 float *value)
{
    if (!m || !t->faulty || (!m->eps && !m->state && m->n_members == 0))
        return lti_q_nearest(q, NULL, t, g, i, w, value);
    if (m->chip.mapping == LT_MAP_NEAREST)
        return lti_q_nearest(q, m, t, g, i, w, value);
    const int c = lti_grid_nearest(g, w);
    *value = value_in_cells(m, g, t->first + i, c);
    return m->state ? m->table->read[state_of(m, t->first + i)][c] : c;
}

// ---- whole slabs

// Mean over all maps of the shift of a grid's values: what one reference column can take away.
static double expected_shift(const lti_maps *m, const lti_grid *g, const int64_t *histogram, int64_t n)
{
    const double p = (double)m->chip.fault_rate, f1 = (double)m->chip.stuck_at_1;
    double shift = 0;
    for (uint32_t mask = 0; mask < 1u << m->n_cells; mask++)
        for (uint32_t value = 0; value < 1u << m->n_cells; value++) {
            if (value & ~mask)
                continue;
            double prob = 1;
            for (int b = 0; b < m->n_cells; b++)
                prob *= !(mask >> b & 1) ? 1 - p : value >> b & 1 ? p * f1 : p * (1 - f1);
            for (int c = 0; c < g->n_levels && prob > 0; c++)
                shift += prob * (double)histogram[c] / (double)n *
                         (double)(g->level[m->table->read[mask | value << m->n_cells][c]] - g->level[c]);
        }
    return shift;
}

static float in_grid(const lt_quant *q, const lti_grid *g, float w, bool latent)
{
    return latent ? lti_latent(q, g, w) : w;
}

// Subtracts the expected shift of every grid from its values, as one more column of cells would.
static void correct_shift(const lt_quant *q, const lti_maps *m, const lti_qtensor *t, const float *p, float *weights,
                          bool latent)
{
    for (int k = 0; k < t->n_grids; k++) {
        const lti_grid *g = &q->grid[t->grid + k];
        const int64_t from = t->from + k * t->per;
        int64_t histogram[LTI_LEVELS] = {0};
        for (int64_t i = 0; i < t->per; i++)
            histogram[lti_grid_nearest(g, in_grid(q, g, p[from + i], latent))]++;
        const float shift = (float)expected_shift(m, g, histogram, t->per);
        for (int64_t i = 0; i < t->per; i++)
            weights[from + i] -= shift;
    }
}

// latent: p holds weights as training has them; otherwise levels.
static void deploy_all(const lt_quant *q, const lti_maps *m, const float *p, float *weights, uint8_t *code, bool latent)
{
    if (weights != p && q->n_all_weights > 0)
        memcpy(weights, p, (size_t)q->n_all_weights * sizeof *weights);
    for (int j = 0; j < q->n_tensors; j++) {
        const lti_qtensor *t = &q->tensor[j];
        const bool correct =
            m && m->chip.reference_column && m->state && t->faulty && m->chip.mapping == LT_MAP_BITMAP && weights != p;
#pragma omp parallel for schedule(static)
        for (int64_t i = 0; i < t->n; i++) {
            const lti_grid *g = &q->grid[t->grid + (int)(i / t->per)];
            float v = 0;
            const int c = lti_q_deploy(q, m, t, g, i, in_grid(q, g, p[t->from + i], latent), &v);
            weights[t->from + i] = v;
            if (code)
                code[t->first + i] = (uint8_t)c;
        }
        if (correct)
            correct_shift(q, m, t, p, weights, latent);
    }
}

void lti_q_deploy_all(const lt_quant *q, const lti_maps *m, const float *p, float *weights, uint8_t *code)
{
    deploy_all(q, m, p, weights, code, true);
}

void lti_q_deploy_levels(const lt_quant *q, const lti_maps *m, const float *levels, float *weights)
{
    deploy_all(q, m, levels, weights, NULL, false);
}
