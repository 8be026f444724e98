// test_robust_flags.c - evaluations that should not be trusted say so; ensembles, noise, ties, and the border of
// square.
#include "robust_test.h"

static lt_val build_softmax(lt_graph *g, lt_val x)
{
    return lt_softmax(g, lt_linear(g, x, lt_param(g, "w", LT_SHAPE(4, RT_N)), lt_param(g, "b", LT_SHAPE(4))));
}

static void test_softmax(void **state)
{
    (void)state;
    rt_world t;
    rt_open_net(&t, 4, 12, build_softmax, 0.1);
    rt_label_by_model(&t);
    lt_attack_spec spec = rt_spec(LT_NORM_LINF, "0.01");
    lt_robust_result *r = rt_attack(&t, "pgd", &spec);
    assert_true(r->flags & LT_FLAG_SOFTMAX);
    lt_robust_result_destroy(r);
    rt_close(&t);
}

// sign(W x) as relu(h) - relu(h - 1) of a steep h: its gradient is 0 nearly everywhere.
static lt_val build_steps(lt_graph *g, lt_val x)
{
    enum { HIDDEN = 24 };
    const lt_val h = lt_linear(g, x, lt_param(g, "w1", LT_SHAPE(HIDDEN, RT_N)), lt_param(g, "b1", LT_SHAPE(HIDDEN)));
    const lt_val steep = lt_scale(g, h, 1e5f), one = lt_param(g, "one", LT_SHAPE(HIDDEN));
    const lt_val shifted = lt_linear(g, steep, lt_param(g, "eye", LT_SHAPE(HIDDEN, HIDDEN)), one);
    const lt_val s = lt_add(g, lt_relu(g, steep), lt_scale(g, lt_relu(g, shifted), -1));
    return lt_linear(g, s, lt_param(g, "w2", LT_SHAPE(4, HIDDEN)), lt_param(g, "b2", LT_SHAPE(4)));
}

static void test_dead_gradients(void **state)
{
    (void)state;
    enum { HIDDEN = 24 };
    rt_world t;
    rt_open_net(&t, 4, 24, build_steps, 0.3);
    float *one = t.model.params + HIDDEN * RT_N + HIDDEN, *eye = one + HIDDEN;
    for (int j = 0; j < HIDDEN; j++)
        one[j] = -1;
    for (int j = 0; j < HIDDEN * HIDDEN; j++)
        eye[j] = j / HIDDEN == j % HIDDEN;
    rt_label_by_model(&t);
    lt_attack_spec spec = rt_spec(LT_NORM_LINF, "0.25");
    spec.parity = true; // no random direction where the gradient vanishes
    lt_robust_result *blind = rt_attack(&t, "bim", &spec);
    assert_true(blind->success_rate < 0.2);
    assert_true(blind->flags & LT_FLAG_ZERO_GRADIENT);
    assert_true(blind->n_zero_gradient > 0);
    spec.steps = 400;
    lt_robust_result *r = rt_attack(&t, "bim,square", &spec);
    assert_true(r->success_rate > 0.5);
    assert_true(r->flags & LT_FLAG_SQUARE_BETTER);
    lt_robust_result_destroy(blind);
    lt_robust_result_destroy(r);
    rt_close(&t);
}

// Noise in front of the model: F1. Averages of evaluations make the attack stronger than one of them, and what is
// counted as a success holds for the majority of fresh evaluations.
static void test_noise(void **state)
{
    (void)state;
    rt_world t;
    rt_open_linear(&t, RT_K, 24, 0.6, false);
    const lt_model *model = &t.model;
    const lt_attack_target target = {.model = &model, .n_models = 1, .noise_std = 0.03};
    lt_attack_spec spec = rt_spec(LT_NORM_LINF, "0.02");
    spec.eot = 20;
    spec.steps = 10;
    lt_robust_result *r = NULL;
    assert_ok(lt_robust_evaluate(&target, &t.view, "pgd", &spec, NULL, NULL, &t.env, &r));
    assert_true(r->flags & LT_FLAG_RANDOMISED);
    assert_int_equal(r->flags & LT_FLAG_MISMATCH, 0);
    assert_true(r->success_rate > 0);
    // What was done already is not advised.
    assert_int_equal(r->eot, 20);
    assert_non_null(strstr(lt_robust_flag_meaning(0, 1), "use --eot"));
    assert_null(strstr(lt_robust_flag_meaning(0, r->eot), "use --eot"));
    assert_string_equal(lt_robust_flag_meaning(1, 1), lt_robust_flag_meaning(1, 20));
    for (int64_t i = 0; i < r->n; i++)
        assert_true(r->queries_f[i] % 20 == 0 && r->queries_b[i] % 20 == 0);
    // Public code keeps the last of 20 gradients and selects survivors by one evaluation: cheaper, and no less broken.
    lt_robust_result *parity = NULL;
    spec.parity = true;
    assert_ok(lt_robust_evaluate(&target, &t.view, "pgd", &spec, NULL, NULL, &t.env, &parity));
    assert_true(parity->n_forward < r->n_forward && lti_distance(LT_NORM_LINF, parity->x_adv, r->x_adv, RT_N) > 0);
    assert_true(parity->part[0].robust_acc <= r->part[0].robust_acc);
    lt_robust_result_destroy(parity);
    lt_robust_result_destroy(r);
    rt_close(&t);
}

// A tie between the label and a later class belongs to the label: square has nothing to show for reaching it.
static lt_val build_constant(lt_graph *g, lt_val x)
{
    return lt_linear(g, lt_scale(g, x, 0), lt_param(g, "w", LT_SHAPE(4, RT_N)), lt_param(g, "b", LT_SHAPE(4)));
}

static void test_ties(void **state)
{
    (void)state;
    rt_world t;
    rt_open_net(&t, 4, 4, build_constant, 0);
    lt_attack_spec spec = rt_spec(LT_NORM_LINF, "0.1");
    spec.steps = 30;
    lt_robust_result *r = rt_attack(&t, "square,pgd", &spec);
    assert_true(r->clean_acc == 1 && r->robust_acc == 1);
    assert_true(r->flags & LT_FLAG_ZERO_GRADIENT);
    lt_robust_result_destroy(r);
    // A gradient of 0 is no division by 0: the momentum stays a number.
    spec.parity = true;
    r = rt_attack(&t, "mi-fgsm,apgd-ce,fab-t", &spec);
    assert_true(r->robust_acc == 1 && r->n_invalid == 0);
    lt_robust_result_destroy(r);
    spec.parity = false;
    t.y[0] = t.y[1] = t.y[2] = t.y[3] = 1; // class 0 wins the tie
    r = rt_attack(&t, "square", &spec);
    assert_true(r->clean_acc == 0);
    lt_robust_result_destroy(r);
    rt_close(&t);
}

// ---- square, one sample by hand: the model never answers better, so every proposal starts from the first point

static void test_square_positions(void **state)
{
    (void)state;
    struct {
        double p_init;
        bool rescale;
    } cfg = {0.01, false}; // windows of one pixel
    rt_by_hand b = {0};
    const struct lti_attack_ops *a = rt_hold(&b, "square", LT_NORM_LINF, 0.05);
    int64_t hits[RT_H * RT_H] = {0}, total = 0;
    assert_int_equal(a->start_run(&b.s, &cfg), LTI_EVALUATE);
    float first[RT_N];
    memcpy(first, b.s.x, sizeof first);
    for (int q = 0; q < 20000; q++) {
        assert_int_equal(a->take_logits(&b.s, &cfg), LTI_EVALUATE);
        int at = -1;
        for (int j = 0; j < RT_N; j++) {
            const double d = fabs((double)b.s.x[j] - (double)b.x0[j]);
            assert_true(d <= 0.05 && d > 0.0499999); // every pixel at the edge of the ball
            if (b.s.x[j] != first[j])
                at = j % (RT_H * RT_H);
        }
        if (at >= 0) {
            hits[at]++;
            total++;
        }
    }
    assert_true(total > 15000);
    double chi = 0;
    const double expected = (double)total / (RT_H * RT_H);
    for (int j = 0; j < RT_H * RT_H; j++)
        chi += ((double)hits[j] - expected) * ((double)hits[j] - expected) / expected;
    assert_true(chi < 108); // 63 degrees of freedom, p = 0.0004
}

// Public code draws floor(U (H - s)): the last row and column of positions never occur (--parity).
static void test_square_parity(void **state)
{
    (void)state;
    struct {
        double p_init;
        bool rescale;
    } cfg = {0.01, false}; // windows of one pixel
    rt_by_hand b = {0};
    const struct lti_attack_ops *a = rt_hold(&b, "square", LT_NORM_LINF, 0.05);
    b.spec.parity = true;
    assert_int_equal(a->start_run(&b.s, &cfg), LTI_EVALUATE);
    float first[RT_N];
    memcpy(first, b.s.x, sizeof first);
    int n_changed = 0;
    for (int q = 0; q < 5000; q++) {
        assert_int_equal(a->take_logits(&b.s, &cfg), LTI_EVALUATE);
        for (int j = 0; j < RT_N; j++) {
            const bool changed = b.s.x[j] != first[j];
            n_changed += changed;
            assert_false(changed && (j % RT_H == RT_H - 1 || j / RT_H % RT_H == RT_H - 1));
        }
    }
    assert_true(n_changed > 5000);
    // At a tie public code is done, and the class is still the label's: robust. Ours goes on.
    b.z[0] = b.z[1] = 1;
    assert_int_equal(a->take_logits(&b.s, &cfg), LTI_STOP);
    assert_false(b.s.found);
    b.spec.parity = false;
    assert_int_equal(a->take_logits(&b.s, &cfg), LTI_EVALUATE);
}

// Restarts of FAB begin within half the best distance known; in public code within half the radius (--parity).
static void test_fab_restarts(void **state)
{
    (void)state;
    for (int norm = 0; norm < 2; norm++) {
        rt_by_hand b = {0};
        const struct lti_attack_ops *fab = rt_hold(&b, "fab", norm ? LT_NORM_L2 : LT_NORM_LINF, 0.2);
        b.s.best_distance = 0.01;
        assert_int_equal(fab->start_run(&b.s, NULL), LTI_EVALUATE);
        assert_memory_equal(b.s.x, b.x0, sizeof b.x0); // the first run starts at the image
        b.s.restart = 1;
        assert_int_equal(fab->start_run(&b.s, NULL), LTI_EVALUATE);
        const double near = lti_distance(b.s.norm, b.s.x, b.x0, RT_N);
        assert_true(near > 0.0049 && near <= 0.005001);
        b.spec.parity = true;
        assert_int_equal(fab->start_run(&b.s, NULL), LTI_EVALUATE);
        const double far = lti_distance(b.s.norm, b.s.x, b.x0, RT_N);
        assert_true(far > 0.0999 && far <= 0.100001);
    }
}

static void test_square_l2(void **state)
{
    (void)state;
    struct {
        double p_init;
        bool rescale;
    } cfg = {0.8, false};
    rt_by_hand b = {0};
    const struct lti_attack_ops *a = rt_hold(&b, "square", LT_NORM_L2, 1.0);
    assert_int_equal(a->start_run(&b.s, &cfg), LTI_EVALUATE);
    for (int q = 0; q < 500; q++) {
        const double d = lti_distance(LT_NORM_L2, b.s.x, b.x0, RT_N);
        assert_true(d <= 1.0 && d > 0.9);
        assert_int_equal(a->take_logits(&b.s, &cfg), LTI_EVALUATE);
        b.z[0] -= 1e-3f; // accepted, so that differences pile up
        b.z[1] = b.z[0] - 1;
    }
}

// Images that are not square, down to one row.
static void test_square_shapes(void **state)
{
    (void)state;
    struct {
        double p_init;
        bool rescale;
    } cfg = {0.8, true};
    static const int shapes[][3] = {{3, 4, 16}, {3, 16, 4}, {3, 1, 64}, {1, 192, 1}, {1, 12, 16}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int norm = LT_NORM_LINF; norm <= LT_NORM_L2; norm++) {
            rt_by_hand b = {0};
            const struct lti_attack_ops *a = rt_hold(&b, "square", (lt_norm)norm, 0.5);
            b.s.c = shapes[i][0];
            b.s.h = shapes[i][1];
            b.s.w = shapes[i][2];
            assert_int_equal(a->start_run(&b.s, &cfg), LTI_EVALUATE);
            for (int q = 0; q < 100; q++) {
                assert_true(lti_distance((lt_norm)norm, b.s.x, b.x0, RT_N) <= 0.5);
                assert_int_equal(a->take_logits(&b.s, &cfg), LTI_EVALUATE);
                b.z[0] -= 1e-3f;
            }
        }
}

// ---- ensembles: three heads; the gradient of the softmax head against differences of log mean softmax

static double log_mean_softmax(const float *z, int n_models, int k, int c)
{
    double sum = 0;
    for (int m = 0; m < n_models; m++) {
        double all = 0;
        for (int j = 0; j < k; j++)
            all += exp((double)z[m * k + j]);
        sum += exp((double)z[m * k + c]) / all;
    }
    return log(sum / n_models);
}

static void test_ensemble_head(void **state)
{
    (void)state;
    enum { M = 3, K = 5 };
    rt_world t[M];
    const lt_model *models[M];
    for (int m = 0; m < M; m++) {
        rt_open_linear(&t[m], K, 6, 0.05, false);
        lt_rng rng = lt_rng_at(8, LT_STREAM_TEST, 1, (uint64_t)m);
        for (int j = 0; j < K * RT_N; j++)
            t[m].model.params[j] += (float)(0.1 * lt_rng_normal(&rng));
        models[m] = &t[m].model;
    }
    lti_attack_model *o = NULL;
    const lt_attack_target target = {.model = models, .n_models = M, .combine = LT_COMBINE_SOFTMAX};
    assert_ok(lti_attack_model_create(&target, &t[0].env, 4, &o));
    float x[RT_N], z[K], dz[K] = {0.3f, -1, 0.5f, 0, 0.2f}, dx[RT_N], zs[M * K];
    int32_t pred;
    memcpy(x, t[0].x, sizeof x);
    const lti_query q = {.x = x};
    assert_ok(lti_attack_model_forward(o, LTI_MODEL_GRADIENT, &q, 1, z, &pred));
    assert_ok(lti_attack_model_backward(o, LTI_MODEL_GRADIENT, dz, 1, dx));
    for (int m = 0; m < M; m++)
        for (int c = 0; c < K; c++) {
            double sum = (double)t[m].model.params[K * RT_N + c];
            for (int j = 0; j < RT_N; j++)
                sum += (double)t[m].model.params[c * RT_N + j] * (double)x[j];
            zs[m * K + c] = (float)sum;
        }
    for (int c = 0; c < K; c++)
        assert_true(fabs((double)z[c] - log_mean_softmax(zs, M, K, c)) < 1e-5);
    for (int j = 0; j < RT_N; j += 37) { // differences along single pixels
        double up = 0, down = 0;
        const float h = 1.0f / 256;
        for (int side = 0; side < 2; side++) {
            float moved[M * K];
            for (int m = 0; m < M; m++)
                for (int c = 0; c < K; c++)
                    moved[m * K + c] = zs[m * K + c] + (side ? -h : h) * t[m].model.params[c * RT_N + j];
            for (int c = 0; c < K; c++)
                *(side ? &down : &up) += (double)dz[c] * log_mean_softmax(moved, M, K, c);
        }
        assert_true(fabs((up - down) / (2 * (double)h) - (double)dx[j]) < 2e-3 * (1 + fabs((double)dx[j])));
    }
    lti_attack_model_destroy(o);
    // All heads can be attacked, and a vote is decided by votes.
    for (int32_t head = LT_COMBINE_SOFTMAX; head <= LT_COMBINE_VOTE; head++) {
        const lt_attack_target all = {.model = models, .n_models = M, .combine = head};
        lt_attack_spec spec = rt_spec(LT_NORM_LINF, "0.2");
        lt_robust_result *r = NULL;
        assert_ok(lt_robust_evaluate(&all, &t[0].view, "pgd", &spec, NULL, NULL, &t[0].env, &r));
        assert_true(r->clean_acc > 0 && r->robust_acc == 0);
        lt_robust_result_destroy(r);
    }
    for (int m = 0; m < M; m++)
        rt_close(&t[m]);
}

// Logits of 1e4: no probability is too small for its logarithm. The released head clamps at 1e-40 and stands still.
static void test_ensemble_extremes(void **state)
{
    (void)state;
    rt_world t;
    rt_open_linear(&t, 4, 4, 0.05, false);
    for (int64_t j = 0; j < t.model.n_params; j++)
        t.model.params[j] *= 1e4f;
    const lt_model *models[2] = {&t.model, &t.model};
    const lt_attack_target target = {.model = models, .n_models = 2};
    lt_attack_spec spec = rt_spec(LT_NORM_LINF, "0.2");
    lt_robust_result *r = NULL;
    assert_ok(lt_robust_evaluate(&target, &t.view, "pgd", &spec, NULL, NULL, &t.env, &r));
    assert_true(r->robust_acc == 0 && r->n_invalid == 0 && r->n_zero_gradient == 0);
    lt_robust_result_destroy(r);
    spec.parity = true;
    spec.loss = LT_LOSS_MARGIN;
    assert_ok(lt_robust_evaluate(&target, &t.view, "bim", &spec, NULL, NULL, &t.env, &r));
    assert_true(r->robust_acc == 1 && r->n_invalid == 0 && r->n_zero_gradient == r->n * 50);
    lt_robust_result_destroy(r);
    rt_close(&t);
}

// ---- transfer: of a model to itself everything that fools it transfers; counts add up
static void test_transfer(void **state)
{
    (void)state;
    rt_world t[2];
    const lt_model *models[2];
    for (int m = 0; m < 2; m++) {
        rt_open_linear(&t[m], RT_K, 24, 0.1, false);
        models[m] = &t[m].model;
    }
    lt_rng rng = lt_rng_at(8, LT_STREAM_TEST, 2, 0);
    for (int j = 0; j < RT_K * RT_N; j++)
        t[1].model.params[j] += (float)(0.15 * lt_rng_normal(&rng));
    const lt_attack_target targets[2] = {{.model = &models[0], .n_models = 1}, {.model = &models[1], .n_models = 1}};
    lt_attack_spec spec = rt_spec(LT_NORM_LINF, "0.02");
    spec.steps = 10;
    const lt_transfer_job job = {.source = targets,
                                 .target = targets,
                                 .n_sources = 2,
                                 .n_targets = 2,
                                 .view = &t[0].view,
                                 .attack = "bim",
                                 .spec = &spec};
    lt_transfer_matrix m;
    assert_ok(lt_transfer_run(&job, &t[0].env, &m));
    assert_true(m.rate[0] == 1 && m.rate[3] == 1);
    assert_true(m.rate[1] > 0 && m.rate[1] < 1);
    for (int c = 0; c < 4; c++)
        assert_true(m.numerator[c] <= m.eligible[c] && m.eligible[c] <= m.both_right[c] && m.both_right[c] <= m.n);
    assert_true(m.clean_acc[0] == 1 && m.clean_acc[1] <= 1);
    lt_robust_result *r = NULL;
    const lt_transfer_job black_box = {.source = &targets[1],
                                       .target = &targets[0],
                                       .n_sources = 1,
                                       .n_targets = 1,
                                       .view = &t[0].view,
                                       .attack = "bim",
                                       .spec = &spec};
    assert_ok(lt_transfer_evaluate(&black_box, &t[0].env, &r));
    assert_true(r->clean_acc == 1);
    assert_int_equal((int64_t)lround(r->robust_acc * (double)r->n), m.robust[2]);
    lt_robust_result_destroy(r);
    lt_transfer_matrix_clear(&m);
    rt_close(&t[0]);
    rt_close(&t[1]);
}

// Every attack with a radius has an iterate to transfer: inside its ball, and never lost by more restarts or targets.
static void test_transfer_of_every_attack(void **state)
{
    (void)state;
    static const char *const names[] = {"pgd", "apgd-ce", "apgd-t", "fab", "fab-t", "square", "autoattack"};
    rt_world t;
    rt_open_linear(&t, RT_K, 12, 0.1, false);
    for (size_t a = 0; a < sizeof names / sizeof *names; a++)
        for (int mode = 0; mode < 2; mode++) {
            lt_attack_spec spec = rt_spec(LT_NORM_LINF, "0.02");
            spec.steps = strcmp(names[a], "square") == 0 ? 400 : 10;
            spec.batch = 5;
            *(mode ? &spec.best_loss : &spec.transfer) = true;
            lt_robust_result *r = rt_attack(&t, names[a], &spec);
            assert_false(r->flags & LT_FLAG_MISMATCH);
            for (int64_t i = 0; i < r->n; i++)
                assert_true(lti_distance(LT_NORM_LINF, r->x_adv + i * RT_N, r->x + i * RT_N, RT_N) <= r->eps);
            spec.transfer = spec.best_loss = false;
            lt_robust_result *early = rt_attack(&t, names[a], &spec);
            if (strcmp(names[a], "pgd") != 0 && strcmp(names[a], "apgd-ce") != 0) // climbs the margin, or keeps it
                assert_true(r->robust_acc <= early->robust_acc);
            lt_robust_result_destroy(early);
            lt_robust_result_destroy(r);
        }
    rt_close(&t);
}

// The last iterate of Square is the last proposal that it accepted.
static void test_transfer_of_square(void **state)
{
    (void)state;
    rt_by_hand b = {0};
    float accepted[RT_N];
    const struct lti_attack_ops *a = rt_hold(&b, "square", LT_NORM_LINF, 0.1);
    const struct {
        double p_init;
        bool rescale;
    } cfg = {0.8, false};
    b.s.mode = LTI_MODE_TRANSFER;
    b.s.steps = 3;
    assert_int_equal(a->start_run(&b.s, &cfg), LTI_EVALUATE);
    for (int query = 0; query < 3; query++) {
        b.z[0] = query == 2 ? 9 : -1; // the third one is no success
        b.s.pred = query == 2 ? 0 : 1;
        if (query == 1)
            memcpy(accepted, b.s.x, sizeof accepted);
        assert_int_equal(a->take_logits(&b.s, &cfg), query == 2 ? LTI_STOP : LTI_EVALUATE);
    }
    assert_true(b.s.found && b.s.best_pred == 1);
    assert_memory_equal(b.s.best, accepted, sizeof accepted);
}

// ---- F7: the model changes while it is attacked

static lt_val build_linear(lt_graph *g, lt_val x)
{
    const lt_val w = lt_param(g, "w", LT_SHAPE(4, RT_N)),
                 b = lt_param(g, "b", LT_SHAPE(4)); // in this order in the slab
    return lt_linear(g, x, w, b);
}

static void change_model(void *self, const lt_event *event)
{
    rt_world *t = self;
    if (strncmp(event->name, "attack.", strlen("attack.")) == 0)
        t->model.params[4 * RT_N] += 1; // a bias
}

static void test_stateful(void **state)
{
    (void)state;
    lt_attack_spec spec = rt_spec(LT_NORM_LINF, "0.001");
    for (int changes = 0; changes < 2; changes++) {
        rt_world t;
        rt_open_net(&t, 4, 12, build_linear, 0.1);
        rt_label_by_model(&t);
        lt_events *events = NULL;
        assert_ok(lt_events_create(&events));
        if (changes)
            assert_ok(lt_events_add(events, (lt_sink){change_model, &t}));
        t.env.events = events;
        lt_robust_result *r = rt_attack(&t, "bim", &spec);
        assert_true(!(r->flags & LT_FLAG_STATEFUL) == !changes);
        assert_false(r->flags & (LT_FLAG_RANDOMISED | LT_FLAG_BATCH_DEPENDENT));
        lt_robust_result_destroy(r);
        lt_events_destroy(events);
        rt_close(&t);
    }
}

// ---- F6: logits that grow with the sum of squares over the whole batch; F8: an example that is none any more

static lt_val build_batch_sum(lt_graph *g, lt_val x)
{
    const lt_val own = build_linear(g, x), other = lt_linear(g, x, lt_param(g, "w2", LT_SHAPE(4, RT_N)), LT_NONE);
    return lt_add(g, own, lt_step_scale(g, other, lt_dot(g, x, x), 1));
}

static void test_batch_dependence(void **state)
{
    (void)state;
    lt_attack_spec spec = rt_spec(LT_NORM_LINF, "0.001");
    spec.steps = 4;
    for (int depends = 0; depends < 2; depends++) {
        rt_world t;
        rt_open_net(&t, 4, 8, depends ? build_batch_sum : build_linear, 0.1); // as many images as are asked again
        rt_label_by_model(&t);
        lt_robust_result *r = rt_attack(&t, "square", &spec);
        assert_true(!(r->flags & LT_FLAG_BATCH_DEPENDENT) == !depends);
        assert_false(r->flags & (LT_FLAG_RANDOMISED | LT_FLAG_STATEFUL));
        lt_robust_result_destroy(r);
        rt_close(&t);
    }
}

static void favour_label(void *self, const lt_event *event)
{
    rt_world *t = self;
    if (strcmp(event->name, "attack.part") == 0)
        t->model.params[4 * RT_N + t->y[0]] += 1000; // a bias
}

static void test_mismatch(void **state)
{
    (void)state;
    lt_attack_spec spec = rt_spec(LT_NORM_LINF, "0.5");
    for (int changes = 0; changes < 2; changes++) {
        rt_world t;
        rt_open_net(&t, 4, 4, build_linear, 0.1);
        rt_label_by_model(&t);
        lt_events *events = NULL;
        assert_ok(lt_events_create(&events));
        if (changes)
            assert_ok(lt_events_add(events, (lt_sink){favour_label, &t}));
        t.env.events = events;
        lt_robust_result *r = rt_attack(&t, "bim", &spec);
        assert_int_equal(r->status[0], LT_ROBUST_BROKEN);
        assert_true(!(r->flags & LT_FLAG_MISMATCH) == !changes);
        lt_robust_result_destroy(r);
        lt_events_destroy(events);
        rt_close(&t);
    }
}

// ---- F9: steps so short that successes come at the end of the run; longer ones, and the flag is gone

static void test_not_converged(void **state)
{
    (void)state;
    enum { STEPS = 40 };
    static const char *const eps[] = {"0.005", "0.01", "0.02", "0.03", "0.05", "0.08"};
    rt_world t;
    rt_open_net(&t, 4, 60, build_linear, 0.1);
    rt_label_by_model(&t);
    bool seen = false;
    for (size_t i = 0; i < sizeof eps / sizeof *eps; i++) {
        lt_attack_spec spec = rt_spec(LT_NORM_LINF, eps[i]);
        spec.steps = STEPS;
        spec.step_size = 2 * strtod(eps[i], NULL);
        lt_robust_result *quick = rt_attack(&t, "bim", &spec);
        spec.step_size = strtod(eps[i], NULL) / STEPS;
        lt_robust_result *slow = rt_attack(&t, "bim", &spec);
        if (quick->robust_acc > 0.2 && quick->robust_acc < 0.8) {
            assert_false(quick->flags & LT_FLAG_NOT_CONVERGED);
            seen |= (slow->flags & LT_FLAG_NOT_CONVERGED) != 0;
        }
        lt_robust_result_destroy(quick);
        lt_robust_result_destroy(slow);
    }
    assert_true(seen);
    rt_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_softmax),
        cmocka_unit_test(test_dead_gradients),
        cmocka_unit_test(test_noise),
        cmocka_unit_test(test_ties),
        cmocka_unit_test(test_square_positions),
        cmocka_unit_test(test_square_parity),
        cmocka_unit_test(test_fab_restarts),
        cmocka_unit_test(test_square_l2),
        cmocka_unit_test(test_square_shapes),
        cmocka_unit_test(test_ensemble_head),
        cmocka_unit_test(test_ensemble_extremes),
        cmocka_unit_test(test_transfer),
        cmocka_unit_test(test_transfer_of_every_attack),
        cmocka_unit_test(test_transfer_of_square),
        cmocka_unit_test(test_stateful),
        cmocka_unit_test(test_batch_dependence),
        cmocka_unit_test(test_mismatch),
        cmocka_unit_test(test_not_converged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
