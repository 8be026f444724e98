// test_robust_toy.c - attacks of minimum norm against the true distances of a small network of two inputs, found by
// looking at every point of a fine grid: several linear pieces, bends between them, the faces of the box.
#include "robust_test.h"

enum { HIDDEN = 12, CLASSES = 3, IMAGES = 24, GRID = 601 };
static rt_world toy;
static double truth[2][IMAGES];
static uint8_t answer[GRID][GRID];

static int classify(double a, double b)
{
    const float *p = toy.model.params, *w1 = p, *b1 = w1 + HIDDEN * 2, *w2 = b1 + HIDDEN, *b2 = w2 + HIDDEN * HIDDEN,
                *w3 = b2 + HIDDEN, *b3 = w3 + CLASSES * HIDDEN;
    double h[HIDDEN], g[HIDDEN], best = -INFINITY;
    int class = 0;
    for (int i = 0; i < HIDDEN; i++)
        h[i] = fmax(0, (double)w1[2 * i] * a + (double)w1[2 * i + 1] * b + (double)b1[i]);
    for (int i = 0; i < HIDDEN; i++) {
        g[i] = (double)b2[i];
        for (int j = 0; j < HIDDEN; j++)
            g[i] += (double)w2[i * HIDDEN + j] * h[j];
        g[i] = fmax(0, g[i]);
    }
    for (int c = 0; c < CLASSES; c++) {
        double z = (double)b3[c];
        for (int j = 0; j < HIDDEN; j++)
            z += (double)w3[c * HIDDEN + j] * g[j];
        if (z > best) {
            best = z;
            class = c;
        }
    }
    return class;
}

static void find_truth(void)
{
    for (int i = 0; i < GRID; i++)
        for (int j = 0; j < GRID; j++)
            answer[i][j] = (uint8_t)classify(i / (double)(GRID - 1), j / (double)(GRID - 1));
    for (int s = 0; s < IMAGES; s++) {
        truth[0][s] = truth[1][s] = INFINITY;
        for (int i = 0; i < GRID; i++)
            for (int j = 0; j < GRID; j++) {
                if (answer[i][j] == toy.y[s])
                    continue;
                const double a = fabs(i / (double)(GRID - 1) - (double)toy.x[2 * s]),
                             b = fabs(j / (double)(GRID - 1) - (double)toy.x[2 * s + 1]);
                truth[LT_NORM_LINF][s] = fmin(truth[LT_NORM_LINF][s], fmax(a, b));
                truth[LT_NORM_L2][s] = fmin(truth[LT_NORM_L2][s], sqrt(a * a + b * b));
            }
    }
}

static int open_toy(void **state)
{
    (void)state;
    memset(&toy, 0, sizeof toy);
    rt_open_data(&toy, 1, 1, 2, CLASSES, IMAGES);
    assert_ok(lt_graph_create(&toy.g));
    lt_graph *g = toy.g;
    const lt_val x = lt_input(g, "x", LT_F32, LT_SHAPE(LT_BATCH, 1, 1, 2));
    lt_val h = lt_flatten(g, x);
    static const char *const names[][2] = {{"w1", "b1"}, {"w2", "b2"}, {"w3", "b3"}};
    static const int sizes[] = {2, HIDDEN, HIDDEN, CLASSES};
    for (int i = 0; i < 3; i++) { // one after the other: the slab is in the order of creation
        const lt_val w = lt_param(g, names[i][0], LT_SHAPE(sizes[i + 1], sizes[i]));
        const lt_val b = lt_param(g, names[i][1], LT_SHAPE(sizes[i + 1]));
        h = lt_linear(g, h, w, b);
        h = i < 2 ? lt_relu(g, h) : h;
    }
    assert_ok(lt_graph_status(g));
    toy.model = (lt_model){.spec = "toy", .shape = {1, 1, 2, CLASSES}, .graph = g, .x = x, .logits = h};
    toy.model.n_params = lt_graph_n_params(g);
    toy.model.params = calloc((size_t)toy.model.n_params, sizeof(float));
    // Kinks through the middle of the square; the last layer is centred so that all classes occur.
    lt_rng rng = lt_rng_at(3, LT_STREAM_TEST, 4, 0);
    float *p = toy.model.params;
    for (int64_t i = 0; i < toy.model.n_params; i++)
        p[i] = (float)lt_rng_normal(&rng);
    for (int i = 0; i < HIDDEN; i++)
        p[HIDDEN * 2 + i] = -(p[2 * i] * lt_rng_uniform(&rng) + p[2 * i + 1] * lt_rng_uniform(&rng));
    int seen[CLASSES] = {0};
    for (int i = 0; i < IMAGES; i++) {
        toy.x[2 * i] = i % 6 == 0 ? 0 : lt_rng_uniform(&rng);
        toy.x[2 * i + 1] = i % 7 == 0 ? 1 : lt_rng_uniform(&rng);
        toy.y[i] = classify((double)toy.x[2 * i], (double)toy.x[2 * i + 1]);
        seen[toy.y[i]]++;
    }
    assert_true((seen[0] > 0) + (seen[1] > 0) + (seen[2] > 0) >= 2);
    find_truth();
    return 0;
}

static int close_toy(void **state)
{
    (void)state;
    rt_close(&toy);
    return 0;
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

// Nothing closer than the truth; the median and the worst of the ratios.
static void check_attack(const char *attack, lt_norm norm, int32_t steps, double median, double share_found)
{
    const double cell = 1.5 / (GRID - 1);
    lt_attack_spec spec = rt_spec((int32_t)norm, "0");
    double ratio[IMAGES];
    int n = 0, n_reachable = 0;
    spec.min_norm = true;
    spec.steps = steps;
    lt_robust_result *r = rt_attack(&toy, attack, &spec);
    for (int i = 0; i < IMAGES; i++) {
        n_reachable += isfinite(truth[norm][i]);
        if (r->status[i] != LT_ROBUST_BROKEN)
            continue;
        assert_true(r->distance[i] >= truth[norm][i] - cell);
        ratio[n++] = fmax(0, r->distance[i] - cell) / truth[norm][i];
    }
    assert_true(n >= share_found * n_reachable);
    qsort(ratio, (size_t)n, sizeof *ratio, ascending);
    if (ratio[n / 2] > median)
        fail_msg("%s, norm %d: median ratio %g, expected at most %g", attack, (int)norm, ratio[n / 2], median);
    lt_robust_result_destroy(r);
}

static void test_distances(void **state)
{
    (void)state;
    for (int norm = LT_NORM_LINF; norm <= LT_NORM_L2; norm++) {
        check_attack("min-norm", (lt_norm)norm, 0, 1.01, 1);
        check_attack("fab-t", (lt_norm)norm, 100, 1.02, 0.9);
        check_attack("fab", (lt_norm)norm, 100, 1.02, 0.9);
        check_attack("fmn", (lt_norm)norm, 300, 1.1, 0.8);
        check_attack("deepfool", (lt_norm)norm, 0, 1.3, 0.7);
        check_attack("apgd-min", (lt_norm)norm, 0, 1.02, 0.9);
    }
    check_attack("ddn", LT_NORM_L2, 300, 1.1, 0.7);
    check_attack("cw", LT_NORM_L2, 300, 1.06, 0.7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_distances)};
    return cmocka_run_group_tests(tests, open_toy, close_toy);
}
