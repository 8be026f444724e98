// test_attack_quirks.c - where public code of an attack does something else than what is documented, the documented
// rule. One test for each difference: it fails when the attack follows the public code. More of them, with their
// --parity forms, are in test_robust_flags.c and test_robust_engine.c.
#include "robust_test.h"
#include "attack/apgd.h"

// Logits (own, 0, -1, -5) at the point, a gradient of `slope` in every pixel.
static lti_next answer(rt_by_hand *b, const struct lti_attack_ops *a, const void *cfg, float own, float slope)
{
    const float z[4] = {own, 0, -1, -5};
    memcpy(b->z, z, sizeof z);
    b->s.pred = own < 0 ? 1 : 0;
    const lti_next next = a->take_logits(&b->s, cfg);
    if (next != LTI_GRADIENT)
        return next;
    for (int j = 0; j < RT_N; j++)
        b->dx[j] = slope;
    b->s.dx_max = fabs((double)slope);
    return a->take_gradient(&b->s, cfg);
}

// ---- auto-PGD

// The first loss is compared with the loss at the start, not with 0: of 22 steps 17 rise, more than 0.75 of them.
static void test_apgd_first_loss(void **state)
{
    (void)state;
    for (int parity = 0; parity < 2; parity++) {
        rt_by_hand b = {0};
        const struct lti_attack_ops *a = rt_hold(&b, "apgd-dlr", LT_NORM_L2, 0.1);
        const lti_apgd *apgd = (const void *)b.state;
        float own = 6; // a loss below 0
        b.s.steps = 100;
        b.spec.parity = parity;
        assert_int_equal(a->start_run(&b.s, NULL), LTI_EVALUATE);
        assert_int_equal(answer(&b, a, NULL, own, 1), LTI_EVALUATE);
        for (int step = 1; step <= 22; step++) {
            own += step <= 17 ? -0.1f : 0.01f;
            assert_int_equal(answer(&b, a, NULL, own, 1), LTI_EVALUATE);
        }
        assert_true(apgd->eta == (parity ? 0.1 : 0.2));
    }
}

// The step counts as halved before the first checkpoint: a best loss that is the first one halves it only at the
// second.
static void test_apgd_first_checkpoint(void **state)
{
    (void)state;
    rt_by_hand b = {0};
    const struct lti_attack_ops *a = rt_hold(&b, "apgd-ce", LT_NORM_L2, 0.1);
    const lti_apgd *apgd = (const void *)b.state;
    float own = 6;
    b.s.steps = 100;
    assert_int_equal(a->start_run(&b.s, NULL), LTI_EVALUATE);
    assert_int_equal(answer(&b, a, NULL, 1, 1), LTI_EVALUATE);
    for (int step = 1; step <= 41; step++) {
        if (step == 23)
            assert_true(apgd->eta == 0.2);
        assert_int_equal(answer(&b, a, NULL, own, 1), LTI_EVALUATE);
        own -= 0.1f;
    }
    assert_true(apgd->eta == 0.1);
}

// The first misclassified iterate ends the run and is what is kept, not the last of all.
static void test_first_success(void **state)
{
    (void)state;
    static const char *const names[] = {"apgd-ce", "apgd-dlr", "pgd", "bim", "mi-fgsm"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        rt_by_hand b = {0};
        const struct lti_attack_ops *a = rt_hold(&b, names[i], LT_NORM_LINF, 0.1);
        b.s.steps = 10;
        assert_int_equal(a->start_run(&b.s, NULL), LTI_EVALUATE);
        for (int step = 0; step < 3; step++)
            assert_int_equal(answer(&b, a, NULL, 3, 1), LTI_EVALUATE);
        assert_false(b.s.found);
        assert_int_equal(answer(&b, a, NULL, -1, 1), LTI_STOP);
        assert_true(b.s.found && b.s.found_step == 3 && b.s.best_pred == 1);
        assert_memory_equal(b.s.best, b.s.x, sizeof b.x0);
    }
}

// ---- momentum: no division by a gradient of length 0

static void test_momentum_without_gradient(void **state)
{
    (void)state;
    for (int parity = 0; parity < 2; parity++) {
        rt_by_hand b = {0};
        const struct lti_attack_ops *a = rt_hold(&b, "mi-fgsm", LT_NORM_LINF, 0.1);
        float before[RT_N];
        int n_up = 0, n_down = 0;
        b.s.steps = 10;
        b.spec.parity = parity;
        assert_int_equal(a->start_run(&b.s, NULL), LTI_EVALUATE);
        assert_int_equal(answer(&b, a, NULL, 3, 0), LTI_EVALUATE);
        for (int j = 0; j < RT_N; j++) {
            n_up += b.s.x[j] > b.x0[j];
            n_down += b.s.x[j] < b.x0[j];
        }
        assert_int_equal(n_up + n_down, parity ? 0 : RT_N); // a random direction instead
        assert_true(parity || (n_up > RT_N / 4 && n_down > RT_N / 4));
        assert_int_equal(b.s.n_zero, 1);
        memcpy(before, b.s.x, sizeof before);
        assert_int_equal(answer(&b, a, NULL, 3, 1), LTI_EVALUATE);
        int n_moved = 0;
        for (int j = 0; j < RT_N; j++)
            n_moved += fabs(fabs((double)b.s.x[j] - (double)before[j]) - 0.01) < 1e-6;
        assert_int_equal(n_moved, RT_N); // the sum is a number
    }
}

// ---- fewer classes than targets: one run for each other class

static void test_few_classes(void **state)
{
    (void)state;
    static const struct {
        int k, targets, runs;
        bool flagged;
    } cases[] = {{2, 9, 1, true}, {3, 9, 2, true}, {4, 9, 3, true}, {4, 3, 3, false}, {10, 4, 4, false}};
    static const char *const names[] = {"apgd-t", "fab-t"};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int a = 0; a < 2; a++) {
            rt_world t;
            rt_open_linear(&t, cases[i].k, 6, 0.5, false);
            lt_attack_spec spec = rt_spec(LT_NORM_LINF, "1e-5"); // nothing is found
            spec.targets = cases[i].targets;
            spec.steps = 4;
            lt_robust_result *r = rt_attack(&t, names[a], &spec);
            assert_true(r->robust_acc == 1 && r->n_invalid == 0);
            for (int64_t s = 0; s < r->n; s++)
                assert_int_equal(a == 0 ? r->queries_f[s] : r->queries_b[s] + 1, 1 + (a == 0 ? 5 : 4) * cases[i].runs);
            assert_true(!(r->flags & LT_FLAG_CLASSES) == !cases[i].flagged);
            lt_robust_result_destroy(r);
            rt_close(&t);
        }
}

// The ratio of apgd-min is a targeted one, which three classes have not.
static void test_bisected_ratio_of_three_classes(void **state)
{
    (void)state;
    for (int k = 3; k <= 4; k++) {
        rt_world t;
        rt_open_linear(&t, k, 4, 0.5, false);
        lt_attack_spec spec = rt_spec(LT_NORM_L2, "1");
        spec.steps = 4;
        lt_robust_result *r = rt_attack(&t, "apgd-min", &spec);
        assert_true(!(r->flags & LT_FLAG_CLASSES) == (k == 4));
        lt_robust_result_destroy(r);
        rt_close(&t);
    }
}

// ---- noise: every step climbs the mean of the gradients, so two seeds agree on it; the last one of them is noise

static lt_val build_hidden(lt_graph *g, lt_val x)
{
    enum { HIDDEN = 48 };
    const lt_val h = lt_relu(g, lt_linear(g, x, lt_param(g, "w1", LT_SHAPE(HIDDEN, RT_N)), LT_NONE));
    return lt_linear(g, h, lt_param(g, "w2", LT_SHAPE(4, HIDDEN)), LT_NONE);
}

// Mean cosine between the first steps of two seeds.
static double agreement(rt_world *t, bool parity)
{
    const lt_model *model = &t->model;
    const lt_attack_target target = {.model = &model, .n_models = 1, .noise_std = 0.5};
    lt_robust_result *r[2];
    double sum = 0;
    for (uint64_t seed = 0; seed < 2; seed++) {
        lt_attack_spec spec = rt_spec(LT_NORM_L2, "0.5");
        spec.eot = 40;
        spec.steps = 1;
        spec.step_size = 0.5;
        spec.transfer = true;
        spec.seed = seed;
        spec.parity = parity;
        assert_ok(lt_robust_evaluate(&target, &t->view, "bim", &spec, NULL, NULL, &t->env, &r[seed]));
    }
    int n = 0;
    for (int64_t i = 0; i < t->n; i++) {
        double ab = 0, aa = 0, bb = 0;
        for (int64_t j = i * RT_N; j < (i + 1) * RT_N; j++) {
            const double x = (double)t->x[j], a = (double)r[0]->x_adv[j] - x, b = (double)r[1]->x_adv[j] - x;
            ab += a * b;
            aa += a * a;
            bb += b * b;
        }
        if (aa > 0 && bb > 0) { // right under both seeds, so attacked
            sum += ab / sqrt(aa * bb);
            n++;
        }
    }
    assert_true(n > t->n / 4);
    lt_robust_result_destroy(r[0]);
    lt_robust_result_destroy(r[1]);
    return sum / n;
}

static void test_mean_gradient(void **state)
{
    (void)state;
    rt_world t;
    rt_open_net(&t, 4, 16, build_hidden, 0.3);
    rt_label_by_model(&t);
    const double ours = agreement(&t, false), public_code = agreement(&t, true);
    assert_true(ours > 0.9 && public_code < 0.8);
    rt_close(&t);
}

// An attack that takes many iterates under noise picks one whose draws favoured it. What the fresh evaluations do not
// confirm is not broken, so that the robust accuracy is near the mean of single evaluations; public code keeps it.
static void test_fresh_evaluations(void **state)
{
    (void)state;
    rt_world t;
    lt_robust_result *r[2];
    rt_open_net(&t, 4, 16, build_hidden, 0.3);
    rt_label_by_model(&t);
    const lt_model *model = &t.model;
    const lt_attack_target target = {.model = &model, .n_models = 1, .noise_std = 0.5};
    for (int parity = 0; parity < 2; parity++) {
        lt_attack_spec spec = rt_spec(LT_NORM_L2, "0.02");
        spec.eot = 3;
        spec.steps = 40;
        spec.parity = parity;
        assert_ok(lt_robust_evaluate(&target, &t.view, "bim", &spec, NULL, NULL, &t.env, &r[parity]));
    }
    assert_true(r[0]->n_unconfirmed > 0 && r[1]->n_unconfirmed == 0);
    assert_true(r[0]->robust_acc > r[1]->robust_acc + 0.05);
    assert_true(fabs(r[0]->mean_robust_acc - r[0]->robust_acc) < fabs(r[1]->mean_robust_acc - r[1]->robust_acc));
    lt_robust_result_destroy(r[0]);
    lt_robust_result_destroy(r[1]);
    rt_close(&t);
}

// An example of minimum norm that is confirmed stays when a later part finds a nearer one that is not.
static void test_confirmed_stays(void **state)
{
    (void)state;
    rt_world t;
    lt_robust_result *r[2];
    rt_open_net(&t, 4, 16, build_hidden, 0.3);
    rt_label_by_model(&t);
    const lt_model *model = &t.model;
    const lt_attack_target target = {.model = &model, .n_models = 1, .noise_std = 0.3};
    static const char *const lists[] = {"fab", "fab,apgd-min,apgd-min"};
    for (int i = 0; i < 2; i++) {
        lt_attack_spec spec = rt_spec(LT_NORM_L2, "0.02");
        spec.eot = 3;
        spec.steps = 10;
        spec.min_norm = true;
        spec.polish = false;
        assert_ok(lt_robust_evaluate(&target, &t.view, lists[i], &spec, NULL, NULL, &t.env, &r[i]));
    }
    assert_true(r[0]->success_rate > 0 && r[1]->n_unconfirmed > r[0]->n_unconfirmed);
    for (int64_t i = 0; i < t.n; i++)
        if (r[0]->status[i] == LT_ROBUST_BROKEN)
            assert_true(r[1]->status[i] == LT_ROBUST_BROKEN && r[1]->distance[i] <= r[0]->distance[i]);
    lt_robust_result_destroy(r[0]);
    lt_robust_result_destroy(r[1]);
    rt_close(&t);
}

// The noise of an image is that of its sample, wherever it stands in the view.
static void test_noise_of_a_subset(void **state)
{
    (void)state;
    enum { N = 24, LESS = 5 };
    rt_world t;
    int64_t row[N];
    lt_robust_result *r[2];
    rt_open_net(&t, 4, N, build_hidden, 0.3);
    rt_label_by_model(&t);
    const lt_model *model = &t.model;
    const lt_attack_target target = {.model = &model, .n_models = 1, .noise_std = 0.5};
    const lt_attack_spec spec = rt_spec(LT_NORM_L2, "0.1");
    lt_view part = t.view;
    for (int i = 0; i < N; i++)
        row[i] = i;
    part.row = row + LESS;
    part.n = N - LESS;
    part.images = t.x + LESS * RT_N;
    part.labels = t.y + LESS;
    assert_ok(lt_robust_evaluate(&target, &t.view, "pgd", &spec, NULL, NULL, &t.env, &r[0]));
    assert_ok(lt_robust_evaluate(&target, &part, "pgd", &spec, NULL, NULL, &t.env, &r[1]));
    for (int i = 0; i < N - LESS; i++) {
        assert_int_equal(r[1]->id[i], r[0]->id[i + LESS]);
        assert_true(r[1]->clean_margin[i] == r[0]->clean_margin[i + LESS]);
        assert_int_equal(r[1]->status[i], r[0]->status[i + LESS]);
    }
    lt_robust_result_destroy(r[0]);
    lt_robust_result_destroy(r[1]);
    rt_close(&t);
}

// ---- aimed at a class, no other answer is a success: of the model itself, of its rounded images, of another model

static void test_aimed(void **state)
{
    (void)state;
    rt_world t;
    lt_robust_result *r[2];
    rt_open_linear(&t, RT_K, 40, 0.1, false);
    const lt_model *model = &t.model;
    const lt_attack_target target = {.model = &model, .n_models = 1};
    lt_attack_spec spec = rt_spec(LT_NORM_LINF, "0.012");
    spec.target = "least-likely";
    spec.transfer = true;
    spec.quantize = 8;
    const lt_transfer_job job = {.source = &target,
                                 .target = &target,
                                 .n_sources = 1,
                                 .n_targets = 1,
                                 .view = &t.view,
                                 .attack = "bim",
                                 .spec = &spec};
    assert_ok(lt_robust_evaluate(&target, &t.view, "bim", &spec, NULL, NULL, &t.env, &r[0]));
    assert_ok(lt_transfer_evaluate(&job, &t.env, &r[1]));
    int64_t n_other = 0;
    for (int64_t i = 0; i < t.n; i++)
        n_other += r[0]->adv_pred[i] != r[0]->label[i] && r[0]->adv_pred[i] != r[0]->goal[i];
    assert_true(n_other > 0);
    assert_true(r[0]->robust_acc >= (double)n_other / (double)t.n);
    assert_true(r[0]->quantized_robust_acc >= r[0]->robust_acc); // towards the image, so no nearer to the class
    assert_memory_equal(r[0]->status, r[1]->status, (size_t)t.n * sizeof *r[0]->status);
    lt_robust_result_destroy(r[0]);
    lt_robust_result_destroy(r[1]);
    rt_close(&t);
}

// ---- square: a window may be as large as the image

static void test_square_whole_image(void **state)
{
    (void)state;
    const struct {
        double p_init;
        bool rescale;
    } cfg = {1, false};
    rt_by_hand b = {0};
    const struct lti_attack_ops *a = rt_hold(&b, "square", LT_NORM_LINF, 0.05);
    assert_int_equal(a->start_run(&b.s, &cfg), LTI_EVALUATE);
    assert_int_equal(a->take_logits(&b.s, &cfg), LTI_EVALUATE);
    for (int j = 0; j < RT_N; j++) { // one sign per channel, the border included
        const int first = j / (RT_H * RT_H) * RT_H * RT_H;
        assert_int_equal(b.s.x[j] > b.x0[j], b.s.x[first] > b.x0[first]);
    }
}

// ---- minimum norm

// A step that ends inside the ball of fmn is not stretched to its surface, and no pixel further than the norm asks.
static void test_fmn_inside(void **state)
{
    (void)state;
    static const struct {
        lt_norm norm;
        double alpha, expected;
    } cases[] = {{LT_NORM_L2, 1, 1}, {LT_NORM_LINF, 0.1, 0.1 / 13.856406460551018}}; // alpha g / ||g||_2 of 192 pixels
    for (int i = 0; i < 2; i++) {
        const double cfg[] = {cases[i].alpha, 0.05};
        rt_by_hand b = {0};
        const struct lti_attack_ops *a = rt_hold(&b, "fmn", cases[i].norm, (double)INFINITY);
        b.s.mode = LTI_MODE_MIN_NORM;
        b.s.steps = 100;
        assert_int_equal(a->start_run(&b.s, cfg), LTI_EVALUATE);
        assert_int_equal(answer(&b, a, cfg, 1, 0.01f),
                         LTI_EVALUATE); // the boundary: 1 / ||g|| away, more than the step
        const double d = lti_distance(cases[i].norm, b.s.x, b.x0, RT_N);
        assert_true(fabs(d - cases[i].expected) < 1e-5);
    }
}

static lt_val build_constant(lt_graph *g, lt_val x)
{
    return lt_linear(g, lt_scale(g, x, 0), lt_param(g, "w", LT_SHAPE(4, RT_N)), lt_param(g, "b", LT_SHAPE(4)));
}

// A model that nothing fools: no attack of minimum norm passes its last point, or a black image, off as an example.
static void test_not_found(void **state)
{
    (void)state;
    rt_world t;
    int n = 0;
    rt_open_net(&t, 4, 4, build_constant, 0);
    for (const lt_attack *const *a = lt_attacks(); *a; a++) {
        if (!(*a)->ops || (*a)->ops->parts || !((*a)->ops->flags & (LTI_ATTACK_MIN_NORM | LTI_ATTACK_EITHER)))
            continue;
        for (int parity = 0; parity < 2; parity++) {
            lt_attack_spec spec = rt_spec(LT_NORM_L2, "0");
            spec.min_norm = true;
            spec.steps = 5;
            spec.parity = parity;
            lt_robust_result *r = rt_attack(&t, (*a)->name, &spec);
            assert_true(r->robust_acc == 1 && r->success_rate == 0 && isnan(r->mean_l2));
            assert_memory_equal(r->x_adv, t.x, (size_t)(r->n * RT_N) * sizeof *r->x_adv);
            for (int64_t i = 0; i < r->n; i++) {
                assert_int_equal(r->status[i], LT_ROBUST_NOT_FOUND);
                assert_true(isinf(r->distance[i]) && r->adv_pred[i] == r->clean_pred[i]);
            }
            lt_robust_result_destroy(r);
            n++;
        }
    }
    assert_true(n >= 14);
    rt_close(&t);
}

// The largest other logit may be negative: it is no zero of a mask.
static void test_negative_logits(void **state)
{
    (void)state;
    const float z[4] = {-1, -2, -3, -4};
    float dz[4];
    assert_true(lti_loss(LTI_LOSS_MARGIN, &(lti_loss_in){z, 4, 0, -1}, dz) == -1 && dz[0] == -1 && dz[1] == 1);
    const struct {
        double c, kappa, lr;
        int32_t search_steps;
    } cfg = {1, 0, 0.01, 1};
    rt_by_hand b = {0};
    const struct lti_attack_ops *a = rt_hold(&b, "cw", LT_NORM_L2, (double)INFINITY);
    memcpy(b.z, z, sizeof z);
    b.s.mode = LTI_MODE_MIN_NORM;
    b.s.steps = 100;
    assert_int_equal(a->start_run(&b.s, &cfg), LTI_EVALUATE);
    assert_int_equal(a->take_logits(&b.s, &cfg), LTI_GRADIENT);
    assert_false(b.s.found);
    b.z[0] = -2.5f; // below another one
    b.s.pred = 1;
    assert_int_equal(a->take_logits(&b.s, &cfg), LTI_EVALUATE);
    assert_true(b.s.found);
}

// ---- a logit that overflows on the way: NaN compares false with everything and is no success

static lt_val build_overflow(lt_graph *g, lt_val x)
{
    const lt_val w = lt_param(g, "w", LT_SHAPE(4, RT_N)), b = lt_param(g, "b", LT_SHAPE(4));
    const lt_val sum = lt_param(g, "sum", LT_SHAPE(1, RT_N)), c = lt_param(g, "c", LT_SHAPE(1));
    const lt_val over = lt_relu(g, lt_linear(g, x, sum, c)), to = lt_param(g, "to", LT_SHAPE(4, 1));
    const lt_val huge = lt_scale(g, lt_scale(g, over, 1e30f), 1e30f);
    return lt_add(g, lt_linear(g, x, w, b), lt_linear(g, huge, to, LT_NONE));
}

static void test_overflow(void **state)
{
    (void)state;
    enum { N = 24 };
    rt_world t;
    rt_open_net(&t, 4, N, build_overflow, 0.05);
    float *sum = t.model.params + 4 * RT_N + 4, *c = sum + RT_N;
    for (int j = 0; j < RT_N; j++)
        sum[j] = 1;
    for (int i = 0; i < N; i++) { // the same sum for all, and finite logits for every image as it is
        double total = 0;
        for (int j = 0; j < RT_N; j++)
            total += (double)t.x[i * RT_N + j];
        for (int j = 0; j < RT_N; j++)
            t.x[i * RT_N + j] += (float)((RT_N / 2.0 - total) / RT_N);
    }
    *c = -(float)(RT_N / 2.0 + 0.1);
    rt_label_by_model(&t);
    lt_attack_spec spec = rt_spec(LT_NORM_LINF, "0.05");
    for (int parity = 0; parity < 2; parity++) {
        spec.parity = parity;
        lt_robust_result *r = rt_attack(&t, "pgd", &spec);
        int64_t n[5] = {0};
        for (int64_t i = 0; i < N; i++) {
            double total = 0;
            for (int64_t j = i * RT_N; j < (i + 1) * RT_N; j++)
                total += (double)r->x_adv[j];
            assert_true(total < RT_N / 2.0 + 0.101); // what is kept has finite logits
            n[r->status[i]]++;
        }
        assert_true(n[LT_ROBUST_INVALID] > 0 && n[LT_ROBUST_INVALID] < N && n[LT_ROBUST_CLEAN_WRONG] == 0);
        assert_int_equal(r->n_invalid, n[LT_ROBUST_INVALID]);
        assert_true(r->robust_acc == (double)n[LT_ROBUST_ROBUST] / (double)(N - r->n_invalid));
        assert_int_equal(r->part[0].n_broken, n[LT_ROBUST_BROKEN]);
        assert_true(r->part[0].robust_acc == r->robust_acc && r->part[0].interval[0] == r->robust_interval[0]);
        assert_true(r->clean_acc == 1); // all clean logits are finite, and right
        lt_robust_result_destroy(r);
    }
    rt_close(&t);
}

// Nor is it an example that transfers, or one that fools a model which did not make it.
static void test_overflow_of_the_target(void **state)
{
    (void)state;
    enum { N = 24 };
    rt_world t;
    rt_open_linear(&t, 4, N, 0.1, false);
    lt_model weak = t.model;
    weak.params = calloc((size_t)weak.n_params, sizeof *weak.params);
    memcpy(weak.params, t.model.params, (size_t)weak.n_params * sizeof *weak.params);
    weak.params[4 * RT_N] = NAN; // the bias of class 0
    const lt_model *models[2] = {&t.model, &weak};
    const lt_attack_target source = {.model = &models[0], .n_models = 1}, target = {.model = &models[1], .n_models = 1};
    lt_attack_spec spec = rt_spec(LT_NORM_LINF, "0.3");
    const lt_transfer_job job = {.source = &source,
                                 .target = &target,
                                 .n_sources = 1,
                                 .n_targets = 1,
                                 .view = &t.view,
                                 .attack = "bim",
                                 .spec = &spec};
    lt_transfer_matrix m;
    lt_robust_result *r = NULL;
    assert_ok(lt_transfer_run(&job, &t.env, &m));
    assert_true(m.n_invalid == N && m.eligible[0] == 0 && m.numerator[0] == 0 && isnan(m.rate[0]));
    assert_ok(lt_transfer_evaluate(&job, &t.env, &r));
    assert_true(r->n_invalid == N && isnan(r->robust_acc) && isnan(r->success_rate));
    lt_robust_result_destroy(r);
    lt_transfer_matrix_clear(&m);
    free(weak.params);
    rt_close(&t);
}

// ---- units of normalised images: the iterates of the scripts, computed in their space

static lt_val build_two_normalized(lt_graph *g, lt_val flat)
{
    static const float mean[RT_C] = {0.5f, 0.4f, 0.45f}, std[RT_C] = {0.2f, 0.25f, 0.3f};
    const lt_val x = lt_graph_find(g, "x"), w = lt_param(g, "w", LT_SHAPE(2, RT_N));
    (void)flat;
    return lt_linear(g, lt_flatten(g, lt_normalize(g, x, mean, std)), w, LT_NONE);
}

static void test_legacy_units(void **state)
{
    (void)state;
    enum { STEPS = 5, N = 6 };
    static const double mean[RT_C] = {0.5, 0.4, 0.45}, std[RT_C] = {0.2, 0.25, 0.3};
    static const char *const names[] = {"bim", "mi-fgsm"};
    const double eps = 0.04, a = 0.01;
    rt_world t;
    rt_open_net(&t, 2, N, build_two_normalized, 0.1);
    rt_label_by_model(&t);
    lt_attack_spec spec = rt_spec(LT_NORM_LINF, "0.04");
    spec.steps = STEPS;
    spec.step_size = a;
    spec.transfer = true;
    spec.legacy_normalized = true;
    for (int k = 0; k < 2; k++) {
        lt_robust_result *r = rt_attack(&t, names[k], &spec);
        assert_false(r->flags & LT_FLAG_MISMATCH);
        assert_true(r->clean_acc == 1);
        double most = 0;
        for (int64_t j = 0; j < N * RT_N; j++) {
            const int64_t p = j % RT_N, c = p / (RT_H * RT_H), y = t.y[j / RT_N];
            const float *w = t.model.params;
            const double up = (double)w[(1 - y) * RT_N + p] > (double)w[y * RT_N + p] ? 1 : -1,
                         x = ((double)t.x[j] - mean[c]) / std[c];
            double d = 0;
            for (int s = 0; s < STEPS; s++) {
                d = fmax(-eps, fmin(eps, d + a * up));
                d = fmax(0, fmin(1, x + d)) - x; // leaves the ball, as what is published does
            }
            assert_true(fabs(mean[c] + std[c] * (x + d) - (double)r->x_adv[j]) < 1e-6);
            most = fmax(most, fabs(d));
        }
        assert_true(most > 10 * eps);
        lt_robust_result_destroy(r);
    }
    assert_int_equal(rt_try(&t, "apgd-ce", &spec), LT_E_USAGE);
    spec.norm = LT_NORM_L2;
    assert_int_equal(rt_try(&t, "bim", &spec), LT_E_USAGE);
    rt_close(&t);
    rt_open_linear(&t, 4, 4, 0.1, false);
    spec.norm = LT_NORM_LINF;
    assert_int_equal(rt_try(&t, "bim", &spec), LT_E_USAGE); // no normalisation
    rt_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_apgd_first_loss),
        cmocka_unit_test(test_apgd_first_checkpoint),
        cmocka_unit_test(test_first_success),
        cmocka_unit_test(test_momentum_without_gradient),
        cmocka_unit_test(test_few_classes),
        cmocka_unit_test(test_mean_gradient),
        cmocka_unit_test(test_fresh_evaluations),
        cmocka_unit_test(test_confirmed_stays),
        cmocka_unit_test(test_noise_of_a_subset),
        cmocka_unit_test(test_aimed),
        cmocka_unit_test(test_bisected_ratio_of_three_classes),
        cmocka_unit_test(test_square_whole_image),
        cmocka_unit_test(test_fmn_inside),
        cmocka_unit_test(test_not_found),
        cmocka_unit_test(test_negative_logits),
        cmocka_unit_test(test_overflow),
        cmocka_unit_test(test_overflow_of_the_target),
        cmocka_unit_test(test_legacy_units),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
