// test_quant_groups.c - chips that share a training: common levels and targets by brute force, groups against all
// partitions, trained weights that every chip of a group can have, a population with groups.
#include "train/train_test.h"

#include "quant/quant_impl.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static uint32_t draw(uint32_t step, int64_t i)
{
    lt_rng rng = lt_rng_at(11, LT_STREAM_TEST, step, (uint64_t)i);
    return lt_rng_u32(&rng);
}

static double square(double x)
{
    return x * x;
}

// What chip j makes of a target, by value.
static double value_on_chip(const lti_grid *g, uint16_t set, double target)
{
    double best = INFINITY;
    for (int c = 0; c < g->n_levels; c++) {
        const double v = (double)g->level[c];
        const bool nearer =
            fabs(v - target) < fabs(best - target) || (fabs(v - target) <= fabs(best - target) && v < best);
        if (set >> c & 1 && nearer)
            best = v;
    }
    return best;
}

static void targets_by_brute_force(void **state)
{
    (void)state;
    int without = 0;
    for (uint32_t k = 0; k < 4000; k++) {
        const int bits = 2 + (int)(k % 3), n = 1 + (int)(k / 3 % 4);
        lti_grid g;
        lti_grid_init(&g, LTI_GRID_MIDRISE, bits, 0.5f);
        uint16_t set[4], common = (uint16_t)((1u << g.n_levels) - 1);
        for (int j = 0; j < n; j++) {
            const uint32_t mask = draw(1, k * 8 + (uint32_t)j) & ((1u << bits) - 1),
                           value = draw(2, k * 8 + (uint32_t)j) & mask;
            set[j] = (uint16_t)lt_fault_reachable(LT_ENC_OFFSET, bits, mask, value);
            common = common & set[j];
        }
        const float w = ((float)(draw(3, k) % 1000) / 1000 - 0.5f) * 0.6f * (float)g.n_levels;
        double error = -1, least = INFINITY;
        const int c = lti_group_target(&g, set, n, w, &error);
        for (int t = 0; t < g.n_levels; t++) {
            double sum = 0;
            for (int j = 0; j < n; j++)
                sum += square((double)w - value_on_chip(&g, set[j], (double)g.level[t]));
            if (!common || common >> t & 1)
                least = fmin(least, sum);
        }
        assert_true(!common || common >> c & 1);
        assert_true(fabs(error - least) < 1e-6);
        without += !common;
    }
    assert_in_range(without, 100, 3000);
}

// ---- groups of small maps

enum { N_CHIPS = 6, N_WEIGHTS = 40 };
typedef struct small {
    lti_qtensor t;
    lti_grid g;
    uint8_t code[N_WEIGHTS];
    lt_quant q;
    uint16_t set[N_CHIPS][N_WEIGHTS];
} small;

static void open_small(small *s, const lt_quant_chip *chip)
{
    *s = (small){.t = {.n = N_WEIGHTS, .per = N_WEIGHTS, .n_grids = 1, .bits = 3, .faulty = true}};
    lti_grid_init(&s->g, LTI_GRID_MIDRISE, 3, 0.25f);
    s->q = (lt_quant){.tensor = &s->t, .n_tensors = 1, .grid = &s->g, .n_grids = 1, .n_weights = N_WEIGHTS};
    s->q.code = s->code;
    s->q.cfg.bits = 3;
    for (int i = 0; i < N_WEIGHTS; i++)
        s->code[i] = (uint8_t)(draw(4, i) % 8);
    for (int j = 0; j < N_CHIPS; j++) {
        lt_quant_chip one = *chip;
        lti_maps maps;
        one.chip += j;
        assert_ok(lti_maps_draw(&s->q, &one, &maps));
        for (int i = 0; i < N_WEIGHTS; i++)
            s->set[j][i] =
                (uint16_t)lt_fault_reachable((lt_encoding)chip->encoding, 3, maps.state[i] & 0xff, maps.state[i] >> 8);
        lti_maps_clear(&maps);
    }
}

// Squared error, in steps, of a weight over the chips in `members`.
static double cost_of(const small *s, unsigned members)
{
    double sum = 0;
    for (int i = 0; i < N_WEIGHTS; i++) {
        const double w = (double)s->g.level[s->code[i]];
        double least = INFINITY;
        unsigned common = 0xff;
        for (int j = 0; j < N_CHIPS; j++)
            common &= members >> j & 1 ? s->set[j][i] : 0xffu;
        for (int t = 0; t < 8; t++) {
            double e = 0;
            for (int j = 0; j < N_CHIPS; j++)
                if (members >> j & 1)
                    e += square(w - value_on_chip(&s->g, s->set[j][i], (double)s->g.level[t]));
            if (!common || common >> t & 1)
                least = fmin(least, e);
        }
        sum += least / square((double)s->g.step);
    }
    return sum / N_WEIGHTS;
}

// Least cost over all partitions of the chips from `j` on into exactly k groups.
static double best_partition(const small *s, int j, unsigned *groups, int used, int k)
{
    if (j == N_CHIPS) {
        double sum = used == k ? 0 : INFINITY;
        for (int g = 0; g < used; g++)
            sum += cost_of(s, groups[g]);
        return sum;
    }
    double best = INFINITY;
    for (int g = 0; g <= used && g < k; g++) {
        groups[g] = (g < used ? groups[g] : 0) | 1u << j;
        best = fmin(best, best_partition(s, j + 1, groups, g < used ? used : used + 1, k));
        groups[g] &= ~(1u << j);
    }
    return best;
}

static void groups_against_all_partitions(void **state)
{
    (void)state;
    for (int kind = 0; kind < 6; kind++) {
        lt_quant_chip chip;
        small s;
        lt_options_defaults(lt_quant_chip_options, &chip);
        chip.fault_rate = 0.15f;
        chip.stuck_at_1 = kind % 2 ? 0.5f : 0;
        chip.encoding = kind / 2;
        chip.chip = 10 * kind;
        open_small(&s, &chip);
        for (int k = 1; k <= N_CHIPS; k++) {
            int32_t group[N_CHIPS];
            double cost[N_CHIPS], sum = 0;
            unsigned members[N_CHIPS] = {0}, room[N_CHIPS] = {0};
            assert_ok(lt_chip_groups(&s.q, &chip, N_CHIPS, k, group, cost));
            for (int j = 0; j < N_CHIPS; j++) {
                assert_in_range(group[j], 0, k - 1);
                members[group[j]] |= 1u << j;
            }
            for (int g = 0; g < k; g++) {
                assert_true(members[g] != 0);
                assert_true(fabs(cost[g] - cost_of(&s, members[g])) < 1e-9);
                sum += cost[g];
            }
            const double best = best_partition(&s, 0, room, 0, k);
            assert_true(sum >= best - 1e-9);
            if (k == 1 || k >= N_CHIPS - 1) // at most one merge: the cheapest one
                assert_true(sum <= best + 1e-9);
            if (sum > 1.25 * best) // greedy merging is no exact search
                fail_msg("kind %d, %d groups: cost %.4f, the best partition %.4f", kind, k, sum, best);
        }
    }
}

// ---- training

// Every weight has a level that all chips of its group can have, where there is one, and keeps it on each of them.
static void one_training_fits_all(void **state)
{
    (void)state;
    static const char *const methods[] = {"msqe", "ste-reachable", "qfalt"};
    for (int k = 0; k < 6; k++) {
        fixture f;
        lt_quant_cfg cfg;
        lt_train_cfg recipe;
        lt_quant *q = NULL;
        lt_quant_result r;
        const int32_t chips[] = {4, 9, 2};
        t_open(&f, "ref", 1);
        lt_options_defaults(lt_quant_options, &cfg);
        lt_options_defaults(lt_quant_chip_options, &cfg.device);
        lt_options_defaults(lt_train_options, &recipe);
        cfg.method = methods[k % 3];
        cfg.bn_batches = 1;
        cfg.device.fault_rate = 0.15f;
        cfg.device.stuck_at_1 = k / 3 ? 0.5f : 0;
        recipe.epochs = 2;
        recipe.batch = 8;
        const lt_quant_in in = {
            .model = f.model, .ds = f.ds, .env = &f.env, .seed = 1, .train = &recipe, .group = chips, .n_group = 3};
        assert_ok(lt_quant_train(&cfg, &in, &q, &r));
        assert_true(k / 3 ? r.n_conflicts > 0 : r.n_conflicts == 0);
        float *own = malloc((size_t)f.model->n_params * sizeof *own);
        for (int j = 0; j < 3; j++) {
            lt_quant_chip chip = cfg.device;
            lti_maps maps;
            int64_t moved = 0;
            chip.chip = chips[j];
            chip.mapping = LT_MAP_NEAREST;
            assert_ok(lt_quant_program(q, &chip, NULL, own));
            assert_ok(lti_maps_draw(q, &chip, &maps));
            for (int t = 0; t < q->n_tensors; t++)
                for (int64_t i = 0; i < q->tensor[t].n; i++) {
                    const int64_t at = q->tensor[t].first + i;
                    const bool common = lti_maps_reachable(&q->maps, at) != 0;
                    if (common)
                        assert_true(own[q->tensor[t].from + i] == f.model->params[q->tensor[t].from + i]);
                    assert_true(!common || lti_maps_reachable(&maps, at) >> q->code[at] & 1);
                    moved += own[q->tensor[t].from + i] != f.model->params[q->tensor[t].from + i];
                }
            assert_true(moved <= r.n_conflicts);
            lti_maps_clear(&maps);
        }
        free(own);
        lt_quant_destroy(q);
        t_close(&f);
    }
}

static void what_cannot_be_grouped(void **state)
{
    (void)state;
    fixture f;
    lt_quant_cfg cfg;
    lt_train_cfg recipe;
    lt_quant *q = NULL;
    lt_quant_result r;
    const int32_t chips[] = {0, 1};
    t_open(&f, "ref", 1);
    lt_options_defaults(lt_quant_options, &cfg);
    lt_options_defaults(lt_quant_chip_options, &cfg.device);
    lt_options_defaults(lt_train_options, &recipe);
    const lt_quant_in in = {
        .model = f.model, .ds = f.ds, .env = &f.env, .seed = 1, .train = &recipe, .group = chips, .n_group = 2};
    cfg.device.variability = 0.1f;
    assert_fails(LT_E_USAGE, "values of their own", lt_quant_train(&cfg, &in, &q, &r));
    cfg.device.variability = 0;
    cfg.device.fault_rate = 0.1f;
    cfg.method = "ste-masked";
    assert_fails(LT_E_USAGE, "mapping nearest", lt_quant_train(&cfg, &in, &q, &r));
    t_close(&f);
}

static void population_with_groups(void **state)
{
    (void)state;
    enum { CHIPS = 4 };
    fixture f;
    lt_quant_cfg cfg;
    lt_train_cfg recipe;
    lt_quant *q = NULL;
    lt_quant_result r;
    char table[256];
    t_open(&f, "ref", 1);
    lt_options_defaults(lt_quant_options, &cfg);
    lt_options_defaults(lt_quant_chip_options, &cfg.device);
    lt_options_defaults(lt_train_options, &recipe);
    recipe.epochs = 1;
    recipe.batch = 8;
    cfg.bn_batches = 1;
    cfg.bits = 3;
    const lt_quant_in in = {.model = f.model, .ds = f.ds, .env = &f.env, .seed = 1, .train = &recipe};
    assert_ok(lt_quant_ptq(&cfg, LT_PTQ_MSE, 100, &in, &q, &r));
    snprintf(table, sizeof table, "%s/groups_chips.csv", LT_TEST_BINARY_DIR);
    remove(table);
    int32_t group[CHIPS], again_group[CHIPS];
    double acc[LT_POP_N_ROWS * CHIPS], again[LT_POP_N_ROWS * CHIPS];
    lt_quant_cfg tuning = cfg;
    tuning.bits = 4; // the codes have 3: options of the training follow them
    lt_chip_population p = {.quant = q,
                            .model = f.model,
                            .ds = f.ds,
                            .device = cfg.device,
                            .n = CHIPS,
                            .bn_batches = 1,
                            .n_workers = 1,
                            .seed = 1,
                            .n_groups = 2,
                            .group_tune = &tuning,
                            .group = group,
                            .train = &recipe,
                            .backend = "ref",
                            .table = table};
    p.device.fault_rate = 0.1f;
    assert_ok(lt_chip_population_run(&p, acc));
    for (int j = 0; j < CHIPS; j++) {
        assert_in_range(group[j], 0, 1);
        assert_true(acc[LT_POP_GROUPED * CHIPS + j] >= 0 && acc[LT_POP_GROUPED * CHIPS + j] <= 1);
        assert_true(isnan(acc[LT_POP_TUNED * CHIPS + j]));
    }
    p.group = again_group; // from the table
    assert_ok(lt_chip_population_run(&p, again));
    assert_memory_equal(group, again_group, sizeof group);
    for (int j = 0; j < CHIPS; j++)
        assert_true(fabs(acc[LT_POP_GROUPED * CHIPS + j] - again[LT_POP_GROUPED * CHIPS + j]) < 1e-8);
    p.n_groups = CHIPS + 1;
    assert_fails(LT_E_USAGE, "as many groups as chips", lt_chip_population_run(&p, again));
    remove(table);
    lt_quant_destroy(q);
    t_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(targets_by_brute_force), cmocka_unit_test(groups_against_all_partitions),
        cmocka_unit_test(one_training_fits_all),  cmocka_unit_test(what_cannot_be_grouped),
        cmocka_unit_test(population_with_groups),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
