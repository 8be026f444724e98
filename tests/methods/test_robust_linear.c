// test_robust_linear.c - attacks against models whose distances are known in closed form: linear, with pixels inside
// the box and with half of them on its faces. Bounds after the reference figures of docs/methods/attacks.md.
#include "robust_test.h"
#include "attack/hyperplane.h"

enum { IMAGES = 40 };
static rt_world worlds[2]; // interior pixels; 30 % zeros and 20 % ones
static double truth[2][2][IMAGES];

static int open_worlds(void **state)
{
    (void)state;
    for (int b = 0; b < 2; b++) {
        rt_open_linear(&worlds[b], RT_K, IMAGES, 0.2, b == 1);
        for (int norm = LT_NORM_LINF; norm <= LT_NORM_L2; norm++)
            for (int i = 0; i < IMAGES; i++)
                truth[b][norm][i] = rt_linear_distance(&worlds[b], (lt_norm)norm, i);
    }
    return 0;
}

static int close_worlds(void **state)
{
    (void)state;
    rt_close(&worlds[0]);
    rt_close(&worlds[1]);
    return 0;
}

// ---- the projection: on the plane, in the box, no feasible point nearer, as bisection finds it
static void check_plane(lt_norm norm, int n, lt_rng *rng)
{
    float *t = malloc((size_t)n * sizeof *t), *w = malloc((size_t)n * sizeof *w);
    double *wd = malloc((size_t)n * sizeof *wd), b = 0, value = 0, length = 0;
    for (int i = 0; i < n; i++) {
        const float u = lt_rng_uniform(rng);
        t[i] = u < 0.2f ? 0 : u < 0.4f ? 1 : lt_rng_uniform(rng);
        w[i] = lt_rng_uniform(rng) < 0.1f ? 0 : (float)(lt_rng_normal(rng) * exp(3 * lt_rng_normal(rng)));
        b += (double)w[i] * (double)lt_rng_uniform(rng); // feasible
    }
    const lti_hyperplane h = lti_hyperplane_solve(norm, t, w, b, n);
    double size = 0, gap = b;
    for (int i = 0; i < n; i++) {
        const double d = lti_hyperplane_step(&h, t[i], w[i]), v = (double)t[i] + d;
        assert_true(v >= -1e-15 && v <= 1 + 1e-15);
        value += (double)w[i] * v;
        size += fabs((double)w[i]);
        length = norm == LT_NORM_L2 ? length + d * d : fmax(length, fabs(d));
        gap -= (double)w[i] * (double)t[i];
    }
    length = norm == LT_NORM_L2 ? sqrt(length) : length;
    assert_true(fabs(value - b) <= 1e-12 * (1 + size));
    assert_true(fabs(length - h.length) <= 1e-12 * (1 + length));
    for (int i = 0; i < n; i++)
        wd[i] = gap < 0 ? -(double)w[i] : (double)w[i];
    const double bisected = rt_plane_distance(norm, t, wd, fabs(gap), n);
    assert_true(fabs(length - bisected) <= 1e-9 * (1 + length));
    free(t);
    free(w);
    free(wd);
}

static void test_hyperplane(void **state)
{
    (void)state;
    static const int sizes[] = {2, 3, 5, 17, 100, 1000};
    lt_rng rng = lt_rng_at(9, LT_STREAM_TEST, 1, 0);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int round = 0; round < 40; round++)
            for (int norm = LT_NORM_LINF; norm <= LT_NORM_L2; norm++)
                check_plane((lt_norm)norm, sizes[i], &rng);
    // Out of reach: everything moves as far as it can.
    const float t[2] = {0.25f, 0.5f}, w[2] = {1, -2};
    const lti_hyperplane h = lti_hyperplane_solve(LT_NORM_LINF, t, w, 9, 2);
    assert_true(fabs(lti_hyperplane_step(&h, t[0], w[0]) - 0.75) < 1e-15);
    assert_true(fabs(lti_hyperplane_step(&h, t[1], w[1]) + 0.5) < 1e-15);
    const float zero[2] = {0, 0};
    const lti_hyperplane none = lti_hyperplane_solve(LT_NORM_L2, t, zero, 1, 2);
    assert_true(lti_hyperplane_step(&none, t[0], 0) == 0);
}

// ---- attacks with a radius, just above and just below the distance

// Share of images broken at `factor` times their own distance.
static double broken_at(const char *attack, int b, lt_norm norm, double factor, int steps)
{
    rt_world *t = &worlds[b];
    const lt_view whole = t->view;
    int64_t row = 0;
    int n = 0;
    for (int i = 0; i < IMAGES; i++) {
        char eps[64];
        snprintf(eps, sizeof eps, "%.17g", factor * truth[b][norm][i]);
        lt_attack_spec spec = rt_spec((int32_t)norm, eps);
        spec.steps = steps;
        row = i;
        t->view.row = &row;
        t->view.n = 1;
        t->view.images = t->x + i * RT_N;
        t->view.labels = t->y + i;
        lt_robust_result *r = rt_attack(t, attack, &spec);
        n += r->status[0] == LT_ROBUST_BROKEN;
        assert_true(r->distance[0] <= r->eps);
        lt_robust_result_destroy(r);
    }
    t->view = whole;
    return n / (double)IMAGES;
}

static void test_radius(void **state)
{
    (void)state;
    for (int b = 0; b < 2; b++)
        for (int norm = LT_NORM_LINF; norm <= LT_NORM_L2; norm++) {
            assert_true(broken_at("apgd-t", b, (lt_norm)norm, 1.01, 0) == 1);
            assert_true(broken_at("apgd-t", b, (lt_norm)norm, 1.02, 20) == 1);
            assert_true(broken_at("apgd-t", b, (lt_norm)norm, 0.999, 0) == 0);
            assert_true(broken_at("apgd-dlr", b, (lt_norm)norm, 1.01, 0) >= 0.85);
            assert_true(broken_at("apgd-dlr", b, (lt_norm)norm, 0.999, 30) == 0);
            assert_true(broken_at("fab-t", b, (lt_norm)norm, 1.01, 20) == 1);
            assert_true(broken_at("fab-t", b, (lt_norm)norm, 0.999, 20) == 0);
            assert_true(broken_at("square", b, (lt_norm)norm, 0.999, 60) == 0);
            assert_true(broken_at("square", b, (lt_norm)norm, 4, 300) > 0.8);
        }
}

// ---- attacks of minimum norm: ratio of what they find to the truth

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

typedef struct ratios {
    double least, median, most;
    int n_found;
} ratios;

static ratios ratios_of(const char *attack, int b, lt_norm norm, int steps, bool polish, bool parity)
{
    lt_attack_spec spec = rt_spec((int32_t)norm, "0");
    double v[IMAGES];
    ratios out = {0};
    spec.steps = steps;
    spec.polish = polish;
    spec.parity = parity;
    spec.min_norm = true;
    lt_robust_result *r = rt_attack(&worlds[b], attack, &spec);
    assert_int_equal(r->flags & LT_FLAG_MISMATCH, 0);
    for (int i = 0; i < IMAGES; i++) {
        if (r->status[i] == LT_ROBUST_NOT_FOUND) {
            assert_true(isinf(r->distance[i]));
            assert_memory_equal(r->x_adv + i * RT_N, worlds[b].x + i * RT_N, RT_N * sizeof *r->x_adv);
            continue;
        }
        assert_true(r->raw_distance[i] >= r->distance[i]);
        v[out.n_found++] = r->distance[i] / truth[b][norm][i];
    }
    lt_robust_result_destroy(r);
    if (out.n_found == 0)
        return out;
    qsort(v, (size_t)out.n_found, sizeof *v, ascending);
    out.least = v[0];
    out.median = v[out.n_found / 2];
    out.most = v[out.n_found - 1];
    return out;
}

static void test_fab(void **state)
{
    (void)state;
    for (int b = 0; b < 2; b++)
        for (int norm = LT_NORM_LINF; norm <= LT_NORM_L2; norm++) {
            const ratios raw = ratios_of("fab-t", b, (lt_norm)norm, 20, false, false),
                         polished = ratios_of("fab-t", b, (lt_norm)norm, 20, true, false);
            assert_int_equal(raw.n_found, IMAGES);
            assert_true(raw.least > 1 - 1e-5 && raw.most < 1.0085);
            assert_true(polished.least > 1 - 1e-5 && polished.most <= 1.001);
            const ratios all = ratios_of("fab", b, (lt_norm)norm, 20, true, false);
            assert_true(all.n_found == IMAGES && all.least > 1 - 1e-5 && all.median < 1.01);
        }
}

static void test_fmn(void **state)
{
    (void)state;
    for (int b = 0; b < 2; b++)
        for (int norm = LT_NORM_LINF; norm <= LT_NORM_L2; norm++) {
            const ratios r = ratios_of("fmn", b, (lt_norm)norm, 100, false, false);
            assert_int_equal(r.n_found, IMAGES);
            assert_true(r.least > 1 - 1e-5 && r.median <= 1.002 && r.most <= 1.12);
        }
    // The published rule converges to the boundary from inside where the box is active.
    assert_int_equal(ratios_of("fmn", 1, LT_NORM_L2, 100, false, true).n_found, 0);
}

static void test_others(void **state)
{
    (void)state;
    for (int b = 0; b < 2; b++) {
        const ratios l2 = ratios_of("deepfool", b, LT_NORM_L2, 0, false, false),
                     linf = ratios_of("deepfool", b, LT_NORM_LINF, 0, false, false),
                     ddn = ratios_of("ddn", b, LT_NORM_L2, 200, false, false);
        assert_true(l2.n_found == IMAGES && l2.least > 1 - 1e-5 && l2.median <= 1.03);
        assert_true(linf.n_found == IMAGES && linf.least > 1 - 1e-5 && linf.median <= 1.06);
        assert_true(ddn.n_found == IMAGES && ddn.least > 1 - 1e-5 && ddn.median <= 1.3);
        for (int norm = LT_NORM_LINF; norm <= LT_NORM_L2; norm++) {
            const ratios best = ratios_of("min-norm", b, (lt_norm)norm, 0, true, false);
            assert_true(best.n_found == IMAGES && best.least > 1 - 1e-5 && best.most <= 1.002);
        }
    }
    const ratios cw = ratios_of("cw", 0, LT_NORM_L2, 200, false, false);
    assert_true(cw.n_found >= IMAGES - 1 && cw.least > 1 - 1e-5 && cw.median <= 1.03);
}

// Pixels at 0 and 1 are no walls for the tanh parametrisation: slow at the default rate, moving all the same.
static const void *fast_cw(const lt_attack *attack, void *ctx)
{
    lt_options_defaults(attack->opts, ctx);
    for (const lt_option *o = attack->opts; o->name; o++)
        if (strcmp(o->name, "lr") == 0)
            *(double *)(void *)((char *)ctx + o->offset) = 0.1;
    return ctx;
}

static void test_cw_at_the_faces(void **state)
{
    (void)state;
    const lt_model *model = &worlds[1].model;
    const lt_attack_target target = {.model = &model, .n_models = 1};
    lt_attack_spec spec = rt_spec(LT_NORM_L2, "0");
    double cfg[16];
    lt_robust_result *r = NULL;
    spec.steps = 100;
    assert_ok(lt_robust_evaluate(&target, &worlds[1].view, "cw", &spec, fast_cw, cfg, &worlds[1].env, &r));
    int n_found = 0, n_moved = 0;
    for (int64_t i = 0; i < r->n; i++) {
        n_found += r->status[i] == LT_ROBUST_BROKEN;
        for (int j = 0; j < RT_N; j++)
            n_moved += r->x[i * RT_N + j] == 0 && r->x_adv[i * RT_N + j] > 1e-3f;
    }
    assert_true(n_found >= IMAGES - 2 && n_moved > 100);
    lt_robust_result_destroy(r);
}

// With two classes the cross-entropy aims at the only boundary, and ddn finds it; ratios fall back to margins (F5).
static void test_two_classes(void **state)
{
    (void)state;
    rt_world two;
    rt_open_linear(&two, 2, 16, 0.2, true);
    lt_attack_spec spec = rt_spec(LT_NORM_L2, "0");
    spec.steps = 300;
    spec.polish = false;
    lt_robust_result *r = rt_attack(&two, "ddn", &spec);
    for (int i = 0; i < 16; i++) {
        const double d = rt_linear_distance(&two, LT_NORM_L2, i);
        assert_int_equal(r->status[i], LT_ROBUST_BROKEN);
        assert_true(r->distance[i] >= d * (1 - 1e-5) && r->distance[i] <= 1.02 * d);
    }
    assert_int_equal(r->flags, 0);
    lt_robust_result_destroy(r);
    spec = rt_spec(LT_NORM_LINF, "0.5");
    r = rt_attack(&two, "apgd-dlr,apgd-t,fab-t", &spec);
    assert_true(r->robust_acc == 0);
    assert_int_equal(r->flags, LT_FLAG_CLASSES);
    lt_robust_result_destroy(r);
    rt_close(&two);
}

// AutoAttack breaks what any of its parts breaks: its set of robust samples is their intersection.
static void test_autoattack(void **state)
{
    (void)state;
    static const char *const parts[] = {"apgd-ce", "apgd-t", "fab-t", "square"};
    lt_attack_spec spec = rt_spec(LT_NORM_LINF, "0.012");
    lt_robust_result *all = rt_attack(&worlds[0], "apgd-ce,apgd-t,fab-t", &spec);
    bool robust[IMAGES];
    memset(robust, true, sizeof robust);
    for (int p = 0; p < 3; p++) {
        lt_robust_result *r = rt_attack(&worlds[0], parts[p], &spec);
        assert_true(all->robust_acc <= r->robust_acc);
        for (int i = 0; i < IMAGES; i++)
            robust[i] = robust[i] && r->status[i] == LT_ROBUST_ROBUST;
        lt_robust_result_destroy(r);
    }
    for (int i = 0; i < IMAGES; i++) {
        assert_int_equal(all->status[i] == LT_ROBUST_ROBUST, robust[i]);
        assert_int_equal(robust[i], truth[0][LT_NORM_LINF][i] > 0.012);
        assert_int_equal(all->broken_by[i] >= 0, !robust[i]);
    }
    assert_true(all->robust_acc > 0 && all->robust_acc < 1);
    assert_int_equal(all->n_parts, 3);
    lt_robust_result_destroy(all);
}

// The curve is the distribution of the distances, whichever kind of attack draws it, and never rises.
static void test_curve(void **state)
{
    (void)state;
    const double radius[] = {0, 0.004, 0.008, 0.012, 0.02, 0.5};
    const lt_model *model = &worlds[1].model;
    const lt_attack_target target = {.model = &model, .n_models = 1};
    static const char *const attacks[] = {"apgd-t", "min-norm"};
    for (int a = 0; a < 2; a++) {
        lt_attack_spec spec = rt_spec(LT_NORM_LINF, "1");
        double acc[6];
        const lt_robust_curve_job job = {
            .target = &target, .view = &worlds[1].view, .attacks = attacks[a], .spec = &spec, .radius = radius, .n = 6};
        assert_ok(lt_robust_curve(&job, &worlds[1].env, acc));
        for (int k = 0; k < 6; k++) {
            int n = 0;
            for (int i = 0; i < IMAGES; i++)
                n += truth[1][LT_NORM_LINF][i] > radius[k];
            assert_true(fabs(acc[k] - n / (double)IMAGES) <= 1.0 / IMAGES + 1e-12);
            assert_true(k == 0 || acc[k] <= acc[k - 1]);
        }
        assert_true(acc[0] == 1 && acc[5] == 0);
    }
    lt_attack_spec spec = rt_spec(LT_NORM_LINF, "1");
    const double falling[] = {0.1, 0.05};
    double acc[2];
    const lt_robust_curve_job job = {
        .target = &target, .view = &worlds[1].view, .attacks = "pgd", .spec = &spec, .radius = falling, .n = 2};
    assert_int_equal(lt_robust_curve(&job, &worlds[1].env, acc), LT_E_USAGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hyperplane),
        cmocka_unit_test(test_radius),
        cmocka_unit_test(test_fab),
        cmocka_unit_test(test_fmn),
        cmocka_unit_test(test_others),
        cmocka_unit_test(test_two_classes),
        cmocka_unit_test(test_cw_at_the_faces),
        cmocka_unit_test(test_autoattack),
        cmocka_unit_test(test_curve),
    };
    return cmocka_run_group_tests(tests, open_worlds, close_worlds);
}
