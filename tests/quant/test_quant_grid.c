// test_quant_grid.c - levels, nearest levels and first steps; maps of chips.
#include "lt_test.h"

#include "quant/quant_impl.h"

#include <math.h>
#include <string.h>

static float draw(uint32_t step, int64_t i)
{
    lt_rng rng = lt_rng_at(5, LT_STREAM_TEST, step, (uint64_t)i);
    return (float)lt_rng_normal(&rng);
}

// Smallest distance, of equal ones the lower level.
static int brute_force(const lti_grid *g, float w)
{
    int best = 0;
    for (int c = 1; c < g->n_levels; c++) {
        const double d = fabs((double)w - (double)g->level[c]), e = fabs((double)w - (double)g->level[best]);
        if (d < e || (d == e && g->level[c] < g->level[best]))
            best = c;
    }
    return best;
}

static void nearest_is_nearest(void **state)
{
    (void)state;
    for (int bits = 2; bits <= 8; bits++)
        for (int kind = LTI_GRID_MIDRISE; kind <= LTI_GRID_MIDTREAD; kind++) {
            lti_grid g;
            lti_grid_init(&g, (lti_grid_kind)kind, bits, 0.125f); // exact in binary: ties are ties
            for (int i = -4 * g.n_levels; i <= 4 * g.n_levels; i++) {
                const float w = 0.125f * (float)i / 4;
                assert_int_equal(lti_grid_nearest(&g, w), brute_force(&g, w));
            }
            lti_grid_init(&g, (lti_grid_kind)kind, bits, 0.0371f);
            for (int i = 0; i < 2000; i++) {
                const float w = draw(0, i) * g.step * (float)g.n_levels / 3;
                const int c = lti_grid_nearest(&g, w), want = brute_force(&g, w);
                if (c != want) // rounding near a midpoint: equally near within the last bits
                    assert_true(fabs(fabs((double)w - (double)g.level[c]) - fabs((double)w - (double)g.level[want])) <
                                1e-6);
            }
            for (int c = 0; c < g.n_levels; c++) // levels come back as themselves, the top included
                for (int side = -1; side <= 1; side++)
                    assert_int_equal(lti_grid_nearest(&g, g.level[c] + (float)side * g.step / 4), c);
        }
}

// Learned multipliers in any order, also where levels cross or coincide.
static void multipliers_are_searched_in_order(void **state)
{
    (void)state;
    int n_crossed = 0;
    for (uint32_t k = 0; k < 300; k++) {
        const int bits = 2 + (int)(k % 3);
        float gain[LT_QUANT_MAX_BITS + 1];
        lti_grid g;
        lti_grid_init(&g, LTI_GRID_MULTIPLIERS, bits, 0.25f);
        for (int b = 0; b <= bits; b++)
            gain[b] = k % 7 == 0 ? 0.5f : fabsf(draw(1 + k, b));
        lti_grid_set_gains(&g, gain);
        n_crossed += !lti_grid_monotone(&g);
        for (int i = 0; i < 200; i++) {
            const float w = 2 * draw(1 + k, 100 + i);
            const int c = lti_grid_nearest(&g, w), want = brute_force(&g, w);
            assert_true(g.level[c] == g.level[want] ||
                        fabs(fabs((double)w - (double)g.level[c]) - fabs((double)w - (double)g.level[want])) < 1e-6);
        }
        for (int i = 0; i + 1 < g.n_levels; i++) // a midpoint itself goes to the lower level
            assert_true(g.level[lti_grid_nearest(&g, g.mid[i])] <= g.level[g.order[i]] + 1e-7f);
    }
    assert_true(n_crossed > 50);
}

static void first_steps(void **state)
{
    (void)state;
    enum { N = 200000 };
    float *w = lti_malloc(N * sizeof *w);
    for (int i = 0; i < N; i++)
        w[i] = draw(2, i);
    for (int bits = 2; bits <= 4; bits++) {
        const double z = ((1 << bits) - 1) / 2.0, want = 2 * sqrt(2 / acos(-1.0)) / sqrt(z);
        assert_true(fabs((double)lti_step_from_mean(w, N, bits, LTI_GRID_MIDRISE) - want) < 0.01 * want);
    }
    for (int i = 0; i < N; i++)
        w[i] = 0.3f;
    assert_true(lti_step_from_mean(w, N, 4, LTI_GRID_MIDRISE) > 0);
    memset(w, 0, N * sizeof *w);
    assert_true(lti_step_from_mean(w, N, 4, LTI_GRID_MIDRISE) > 0);
    lti_free(w);
}

// ---- chips

static lt_quant *open_quant(const lt_model *m, const lt_quant_chip *chip)
{
    lt_quant_cfg cfg;
    lt_options_defaults(lt_quant_options, &cfg);
    cfg.device = *chip;
    lt_quant *q = NULL;
    assert_ok(lti_quant_create(&cfg, m, &q));
    return q;
}

static lt_quant_chip chip_of(float rate, float sigma, int32_t number)
{
    lt_quant_chip c;
    lt_options_defaults(lt_quant_chip_options, &c);
    c.fault_rate = rate;
    c.variability = sigma;
    c.chip = number;
    return c;
}

static lt_model *open_model(uint64_t seed)
{
    lt_model *m = NULL;
    assert_ok(lt_model_create("resnet18:width=8", (lt_model_shape){3, 32, 32, 10}, &m));
    lt_model_init(m, seed);
    return m;
}

static void maps_are_nested_and_pure(void **state)
{
    (void)state;
    lt_model *m = open_model(1), *other = open_model(2);
    lt_quant_chip few = chip_of(0.05f, 0, 3), many = chip_of(0.2f, 0, 3), next = chip_of(0.2f, 0, 4);
    few.stuck_at_1 = many.stuck_at_1 = 0.5f;
    lt_quant *a = open_quant(m, &few), *b = open_quant(m, &many), *c = open_quant(other, &many),
             *d = open_quant(m, &next);
    int64_t stuck[2] = {0}, ones = 0, differ = 0, cells = 4 * a->n_weights;
    for (int64_t i = 0; i < a->n_weights; i++) {
        const unsigned x = a->maps.state[i], y = b->maps.state[i];
        assert_true((x & 0xff & ~y) == 0 && ((x >> 8) & 0xff) == ((y >> 8) & x & 0xff)); // a subset, of the same kind
        stuck[0] += __builtin_popcount(x & 0xff);
        stuck[1] += __builtin_popcount(y & 0xff);
        ones += __builtin_popcount(y >> 8);
        differ += y != d->maps.state[i];
    }
    assert_memory_equal(b->maps.state, c->maps.state,
                        (size_t)b->n_weights * sizeof *b->maps.state); // whatever the weights
    assert_true(differ > a->n_weights / 10);
    const double p[2] = {0.05, 0.2};
    for (int k = 0; k < 2; k++)
        assert_true(fabs((double)stuck[k] / (double)cells - p[k]) < 4 * sqrt(p[k] * (1 - p[k]) / (double)cells));
    assert_true(fabs((double)ones / (double)stuck[1] - 0.5) < 0.02);
    lt_quant_destroy(a);
    lt_quant_destroy(b);
    lt_quant_destroy(c);
    lt_quant_destroy(d);
    lt_model_destroy(m);
    lt_model_destroy(other);
}

static void seeds_are_apart(void **state)
{
    (void)state;
    lt_model *m = open_model(1);
    lt_quant_chip base = chip_of(0.1f, 0.2f, 0), fault = base, spread = base;
    fault.fault_seed = 9;
    spread.variability_seed = 9;
    lt_quant *a = open_quant(m, &base), *b = open_quant(m, &fault), *c = open_quant(m, &spread);
    const size_t states = (size_t)a->n_weights * sizeof *a->maps.state,
                 gains = (size_t)(a->n_weights * a->maps.n_cells) * sizeof *a->maps.eps;
    assert_true(memcmp(a->maps.state, b->maps.state, states) != 0 && memcmp(a->maps.eps, b->maps.eps, gains) == 0);
    assert_true(memcmp(a->maps.state, c->maps.state, states) == 0 && memcmp(a->maps.eps, c->maps.eps, gains) != 0);
    lt_quant_destroy(a);
    lt_quant_destroy(b);
    lt_quant_destroy(c);
    lt_model_destroy(m);
}

// Applying a chip to codes that were written for it changes nothing; on another chip it does.
static void deployed_codes_are_reachable(void **state)
{
    (void)state;
    lt_model *m = open_model(1);
    for (int e = 0; e < 5; e++)
        for (int mapping = 0; mapping < 2; mapping++) {
            lt_quant_chip chip = chip_of(0.2f, 0, 1);
            chip.encoding = e;
            chip.mapping = mapping;
            chip.stuck_at_1 = 0.3f;
            lt_quant *q = open_quant(m, &chip);
            float *w = lti_malloc((size_t)m->n_params * sizeof *w);
            lti_q_deploy_all(q, &q->maps, m->params, w, q->code);
            int64_t moved = 0;
            for (int j = 0; j < q->n_tensors; j++) {
                const lti_qtensor *t = &q->tensor[j];
                const lti_grid *g = &q->grid[t->grid];
                for (int64_t i = 0; i < t->n; i++) {
                    const int c = q->code[t->first + i];
                    const uint32_t at = lti_state_index(q->maps.state[t->first + i], q->maps.n_cells);
                    assert_true(q->maps.table->reachable[at] >> c & 1);
                    assert_true(w[t->from + i] == g->level[c]);
                    moved += c != lti_grid_nearest(g, m->params[t->from + i]);
                    if (mapping == LT_MAP_NEAREST) { // brute force by value
                        float best = INFINITY;
                        for (int k = 0; k < 16; k++)
                            if (q->maps.table->reachable[at] >> k & 1)
                                best = fminf(best, fabsf(m->params[t->from + i] - g->level[k]));
                        assert_true(fabsf(m->params[t->from + i] - g->level[c]) <= best + 1e-6f);
                    }
                }
            }
            assert_true(moved > q->n_weights / 100);
            lti_free(w);
            lt_quant_destroy(q);
        }
    lt_model_destroy(m);
}

// RMS errors of a Gaussian layer under spread, within 3 % of the recorded ones.
static void spread_of_cells(void **state)
{
    (void)state;
    enum { N = 1 << 15 };
    static const struct {
        int bits;
        lt_encoding e;
        int mapping;
        double want[4];
    } row[] = {{4, LT_ENC_OFFSET, LT_MAP_BITMAP, {.377, .768, 1.141, 1.535}},
               {4, LT_ENC_OFFSET, LT_MAP_NEAREST, {.212, .312, .426, .569}},
               {4, LT_ENC_SIGN_MAGNITUDE, LT_MAP_BITMAP, {.073, .143, .224, .301}},
               {3, LT_ENC_OFFSET, LT_MAP_BITMAP, {.278, .555, .832, 1.119}},
               {3, LT_ENC_OFFSET, LT_MAP_NEAREST, {.277, .338, .431, .543}},
               {3, LT_ENC_SIGN_MAGNITUDE, LT_MAP_BITMAP, {.070, .140, .210, .276}}};
    for (size_t r = 0; r < sizeof row / sizeof *row; r++)
        for (int k = 0; k < 4; k++) {
            lti_grid g;
            const double z = ((1 << row[r].bits) - 1) / 2.0;
            lti_grid_init(&g, LTI_GRID_MIDRISE, row[r].bits, (float)(2 * sqrt(2 / acos(-1.0)) / sqrt(z)));
            lti_qtensor t = {.n = N, .per = N, .n_grids = 1, .bits = row[r].bits, .faulty = true};
            lt_quant q = {.tensor = &t, .n_tensors = 1, .grid = &g, .n_grids = 1, .n_weights = N};
            q.cfg.bits = row[r].bits;
            lt_quant_chip chip = chip_of(0, 0.1f * (float)(k + 1), 0);
            chip.encoding = (int32_t)row[r].e;
            chip.mapping = (int32_t)row[r].mapping;
            lti_maps maps;
            assert_ok(lti_maps_draw(&q, &chip, &maps));
            double square = 0;
            for (int64_t i = 0; i < N; i++) {
                const float w = draw(3, i);
                float v = 0;
                lti_q_deploy(&q, &maps, &t, &g, i, w, &v);
                const float from = row[r].mapping == LT_MAP_BITMAP ? g.level[lti_grid_nearest(&g, w)] : w;
                square += pow((double)v - (double)from, 2);
            }
            const double found = sqrt(square / N);
            if (fabs(found - row[r].want[k]) > 0.03 * row[r].want[k])
                fail_msg("row %zu, sigma %.1f: expected %.3f, found %.4f", r, 0.1 * (k + 1), row[r].want[k], found);
            lti_maps_clear(&maps);
        }
}

static void models_of_spread(void **state)
{
    (void)state;
    enum { N = 250000 };
    lti_grid g;
    lti_grid_init(&g, LTI_GRID_MIDRISE, 4, 0.5f);
    lti_qtensor t = {.n = N, .per = N, .n_grids = 1, .bits = 4, .faulty = true};
    lt_quant q = {.tensor = &t, .n_tensors = 1, .grid = &g, .n_grids = 1, .n_weights = N};
    q.cfg.bits = 4;
    for (int model = 0; model < 4; model++) {
        lt_quant_chip chip = chip_of(0, 0.2f, 0);
        chip.variability_model = model;
        lti_maps maps;
        assert_ok(lti_maps_draw(&q, &chip, &maps));
        double sum = 0, square = 0;
        for (int64_t i = 0; i < 4 * N; i++) {
            sum += (double)maps.eps[i];
            square += (double)maps.eps[i] * (double)maps.eps[i];
        }
        const double mean = sum / (4.0 * N), cv = sqrt(square / (4.0 * N) - mean * mean) / mean;
        if (model == LT_VAR_RESISTANCE)
            assert_true(mean > 1.03 && mean < 1.06); // 1 / (1 + 0.2 x) is above 1 on average
        else
            assert_true(fabs(mean - 1) < 0.002 && fabs(cv - 0.2) < 0.002);
        lti_maps_clear(&maps);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nearest_is_nearest), cmocka_unit_test(multipliers_are_searched_in_order),
        cmocka_unit_test(first_steps),        cmocka_unit_test(maps_are_nested_and_pure),
        cmocka_unit_test(seeds_are_apart),    cmocka_unit_test(deployed_codes_are_reachable),
        cmocka_unit_test(spread_of_cells),    cmocka_unit_test(models_of_spread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
