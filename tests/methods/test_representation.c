// test_representation.c - probes against NumPy's Newton, CKA against whole kernel matrices and its invariances,
// features of stages against the network's own head, relearning curves against what they must do.
#include "method_test.h"
#include "lethe/representation.h"
#include "lethe/tensorfile.h"
#include "audit/audit_impl.h"

#define GOLDEN LT_TEST_SOURCE_DIR "/tests/methods/golden/representation_golden.npz"
#define assert_near(a, b, tol) assert_true(fabs((a) - (b)) <= (tol))

static lt_representation_cfg config(void)
{
    lt_representation_cfg cfg;
    lt_options_defaults(lt_representation_options, &cfg);
    return cfg;
}

static const lt_tensor *golden(const lt_tensor_file *f, const char *set, const char *name)
{
    char key[64];
    snprintf(key, sizeof key, "%s%s", set, name);
    const lt_tensor *t = lt_tensor_file_find(f, key);
    assert_non_null(t);
    return t;
}

// (n) standard normal numbers of their own stream
static void normal(uint32_t step, int64_t n, double *x)
{
    lt_rng rng = lt_rng_at(3, LT_STREAM_TEST, step, 0);
    for (int64_t i = 0; i < n; i++)
        x[i] = lt_rng_normal(&rng);
}

// ---- probe

static void probe_equals_newton(void **state)
{
    (void)state;
    static const struct {
        const char *set;
        int k;
        double tol;
    } cases[] = {{"binary_", 2, 1e-6}, {"separable_", 2, 1e-5}, {"classes_", 4, 1e-5}};
    lt_tensor_file *f;
    assert_ok(lt_tensor_file_open(GOLDEN, &f));
    for (size_t c = 0; c < 3; c++) {
        const lt_tensor *x = golden(f, cases[c].set, "x"), *y = golden(f, cases[c].set, "y"),
                        *w = golden(f, cases[c].set, "w");
        lt_representation_cfg cfg = config();
        lt_probe probe;
        cfg.probe_l2 = *(const double *)golden(f, "", "ridge")->data;
        cfg.probe_tol = 1e-9;
        assert_ok(lt_probe_fit(x->data, x->dim[0], x->dim[1], y->data, cases[c].k, &cfg, &probe));
        assert_true(probe.grad_max <= 1e-9);
        assert_int_equal(probe.m, w->dim[0]);
        for (int64_t i = 0; i < w->dim[0] * w->dim[1]; i++)
            assert_near(probe.w[i], ((const double *)w->data)[i], cases[c].tol);
        lt_probe_clear(&probe);
    }
    lt_tensor_file_close(f);
}

// The gradient the solver reports is that of the objective as written, taken here by differences of its value.
static void probe_is_a_minimum(void **state)
{
    (void)state;
    enum { N = 50, P = 4 };
    double x[N * P], z[N * 2];
    int32_t y[N];
    lt_representation_cfg cfg = config();
    lt_probe probe;
    normal(1, N * P, x);
    for (int i = 0; i < N; i++)
        y[i] = x[i * P] + x[i * P + 1] > 0.3 * x[i * P + 2]; // separable: perfect on its own samples
    cfg.probe_tol = 1e-8;
    assert_ok(lt_probe_fit(x, N, P, y, 2, &cfg, &probe));
    assert_true(lt_probe_acc(&probe, x, N, y) == 1.0);
    double least = 0;
    for (int j = -1; j <= P; j++)
        for (int sign = -1; sign <= 1; sign += 2) {
            if (j >= 0)
                probe.w[j] += sign * 0.01;
            lt_probe_logits(&probe, x, N, z);
            double loss = 0;
            for (int i = 0; i < N; i++)
                loss += (log(exp(z[2 * i]) + exp(z[2 * i + 1])) - z[2 * i + y[i]]) / N;
            for (int c = 0; c < P; c++)
                loss += 0.5 * cfg.probe_l2 * probe.w[c] * probe.w[c];
            if (j < 0)
                assert_near(least = loss, probe.loss, 1e-12);
            else
                assert_true(loss > least);
            if (j >= 0)
                probe.w[j] -= sign * 0.01;
        }
    lt_probe_clear(&probe);
}

static void probe_refuses_nonsense(void **state)
{
    (void)state;
    double x[] = {1, 2, 3, 4};
    const int32_t y[] = {0, 1, 0, 1}, far[] = {0, 1, 2, 1};
    lt_representation_cfg cfg = config();
    lt_probe probe;
    assert_fails(LT_E_FORMAT, "label 2 of sample 2", lt_probe_fit(x, 4, 1, far, 2, &cfg, &probe));
    cfg.probe_l2 = 0;
    assert_fails(LT_E_USAGE, "ridge", lt_probe_fit(x, 4, 1, y, 2, &cfg, &probe));
    cfg = config();
    x[1] = NAN;
    assert_fails(LT_E_FORMAT, "feature 0 of sample 1", lt_probe_fit(x, 4, 1, y, 2, &cfg, &probe));
    x[1] = 2;
    cfg.probe_tol = 1e-300; // below rounding: said, not passed off
    normal(2, 4, x);
    assert_fails(LT_E_DIVERGED, "probe: gradient", lt_probe_fit(x, 4, 1, y, 2, &cfg, &probe));
}

static void membership_tells_what_there_is(void **state)
{
    (void)state;
    enum { N = 400, P = 6 };
    static double member[N * P], other[N * P];
    const lt_representation_cfg cfg = config();
    double null, shifted, again, swapped;
    normal(10, N * P, member);
    normal(11, N * P, other);
    assert_ok(lt_probe_membership(member, N, other, N, P, &cfg, 1, &null));
    assert_near(null, 0.5, 0.06); // three standard errors of 400 against 400
    for (int i = 0; i < N; i++)
        member[i * P + 2] += 1; // best possible AUC: Phi(1 / sqrt 2) = 0.760
    assert_ok(lt_probe_membership(member, N, other, N, P, &cfg, 1, &shifted));
    assert_near(shifted, 0.76, 0.05);
    assert_ok(lt_probe_membership(member, N, other, N, P, &cfg, 1, &again));
    assert_true(shifted == again);
    assert_ok(lt_probe_membership(other, N, member, N, P, &cfg, 1, &swapped));
    assert_near(swapped, shifted, 0.02); // from the other side the folds are dealt otherwise
    assert_ok(lt_probe_membership(member, 1, other, N, P, &cfg, 1, &null));
    assert_true(isnan(null));
    // Many more features than samples, and nothing to learn: cross-validation must not call it memory.
    assert_ok(lt_probe_membership(member + P * 10, 20, other, 20, 40, &cfg, 1, &null));
    assert_near(null, 0.5, 0.35);
}

// ---- CKA

// Folds of unequal size by hand: fitted on the others, weighed by the samples that are tested.
static void membership_is_the_mean_over_folds(void **state)
{
    (void)state;
    enum { N0 = 8, N1 = 11, P = 2, FOLDS = 3 };
    double x[2][N1 * P], sum = 0, got, few;
    const int64_t n[2] = {N0, N1};
    int64_t perm[2][N1];
    lt_representation_cfg cfg = config();
    cfg.probe_folds = FOLDS;
    for (uint32_t side = 0; side < 2; side++) {
        normal(12 + side, n[side] * P, x[side]);
        lt_rng_permutation(7, LT_STREAM_AUDIT, LTI_DRAW_PROBE + side, n[side], perm[side]);
    }
    for (int fold = 0; fold < FOLDS; fold++) {
        double train[(N0 + N1) * P], score[2][N1];
        int32_t y[N0 + N1];
        int n_train = 0, n_test[2] = {0};
        lt_probe probe;
        for (int side = 0; side < 2; side++)
            for (int i = 0; i < n[side]; i++)
                if (i % FOLDS != fold) {
                    memcpy(train + n_train * P, x[side] + perm[side][i] * P, P * sizeof(double));
                    y[n_train++] = side;
                }
        assert_ok(lt_probe_fit(train, n_train, P, y, 2, &cfg, &probe));
        for (int side = 0; side < 2; side++)
            for (int i = fold; i < n[side]; i += FOLDS) {
                double z[2];
                lt_probe_logits(&probe, x[side] + perm[side][i] * P, 1, z);
                score[side][n_test[side]++] = z[1];
            }
        sum += (n_test[0] + n_test[1]) * lt_auc(score[1], n_test[1], score[0], n_test[0]);
        lt_probe_clear(&probe);
    }
    assert_ok(lt_probe_membership(x[1], N1, x[0], N0, P, &cfg, 7, &got));
    assert_near(got, sum / (N0 + N1), 1e-12);
    assert_ok(lt_probe_membership(x[1], N1, x[0], 3, P, &cfg, 7, &got));
    cfg.probe_folds = 10; // never more folds than samples of a side
    assert_ok(lt_probe_membership(x[1], N1, x[0], 3, P, &cfg, 7, &few));
    assert_true(few == got);
}

static void cka_equals_kernel_matrices(void **state)
{
    (void)state;
    lt_tensor_file *f;
    double got;
    assert_ok(lt_tensor_file_open(GOLDEN, &f));
    const lt_tensor *a = golden(f, "", "a"), *b = golden(f, "", "b"), *wide = golden(f, "", "wide"),
                    *c = golden(f, "", "c");
    const double *want = golden(f, "", "cka")->data;
    for (int kind = 0; kind < 2; kind++) {
        assert_ok(lt_cka_linear(a->data, 7, b->data, 5, 40, (lt_cka_kind)kind, &got));
        assert_near(got, want[kind], 1e-12);
        assert_ok(lt_cka_linear(wide->data, 30, c->data, 20, 12, (lt_cka_kind)kind, &got)); // p > n
        assert_near(got, want[2 + kind], 1e-12);
        assert_ok(lt_cka_linear(c->data, 20, wide->data, 30, 12, (lt_cka_kind)kind, &got));
        assert_near(got, want[2 + kind], 1e-12);
    }
    lt_tensor_file_close(f);
}

// y = scale * (x R) + shift, R a product of plane rotations
static void rotate(const double *x, int n, int p, double *y)
{
    for (int i = 0; i < n; i++) {
        double *row = y + i * p;
        memcpy(row, x + i * p, (size_t)p * sizeof *row);
        for (int t = 0; t < 3 * p; t++) {
            const int a = t % p, b = (a + 1 + t / p) % p;
            const double angle = 0.3 + t, u = row[a], v = row[b];
            if (a == b)
                continue;
            row[a] = cos(angle) * u - sin(angle) * v;
            row[b] = sin(angle) * u + cos(angle) * v;
        }
        for (int c = 0; c < p; c++)
            row[c] = -2.5 * row[c] + 4 * c;
    }
}

static void cka_has_its_invariances(void **state)
{
    (void)state;
    static const int size[2][2] = {{60, 5}, {10, 30}}; // samples, features
    double x[300], y[300], z[300], got, other;
    for (int s = 0; s < 2; s++)
        for (int kind = 0; kind < 2; kind++) {
            const int n = size[s][0], p = size[s][1];
            normal(20, n * p, x);
            normal(21, n * p, z);
            rotate(x, n, p, y);
            assert_ok(lt_cka_linear(x, p, y, p, n, (lt_cka_kind)kind, &got));
            assert_near(got, 1, 1e-10);
            assert_ok(lt_cka_linear(x, p, z, p, n, (lt_cka_kind)kind, &got));
            assert_ok(lt_cka_linear(y, p, z, p, n, (lt_cka_kind)kind, &other));
            assert_near(got, other, 1e-10);
            assert_true(got < 0.95);
        }
    // Independent features: the plain form sees likeness where there is none, the debiased one does not.
    static double wide_x[100 * 50], wide_y[100 * 50];
    normal(22, 100 * 50, wide_x);
    normal(23, 100 * 50, wide_y);
    assert_ok(lt_cka_linear(wide_x, 50, wide_y, 50, 100, LT_CKA_PLAIN, &got));
    assert_ok(lt_cka_linear(wide_x, 50, wide_y, 50, 100, LT_CKA_DEBIASED, &other));
    assert_true(got > 0.25);
    assert_near(other, 0, 0.06);
    const double flat[] = {3, 3, 3, 3, 3};
    assert_ok(lt_cka_linear(flat, 1, wide_x, 1, 5, LT_CKA_PLAIN, &got));
    assert_true(isnan(got));
    assert_fails(LT_E_USAGE, "expected at least 4", lt_cka_linear(flat, 1, flat, 1, 3, LT_CKA_DEBIASED, &got));
}

// ---- features

// The last stage of simple-conv feeds a linear layer on its flattened map. When the map is one pixel, the mean over it
// is the map, so head and features must give the logits of an ordinary evaluation.
static void features_are_what_the_head_reads(void **state)
{
    (void)state;
    lt_model *m;
    lt_features *f;
    lt_value_info w, b;
    assert_ok(lt_model_create(TOY_MODEL, (lt_model_shape){TOY_C, TOY_H, TOY_H, TOY_K}, &m));
    lt_model_init(m, 4);
    for (int64_t i = 0; i < m->n_state; i++)
        m->state[i] += 0.25f; // batch norm has something to do
    const lt_view view = lt_view_split(world.ds, LT_TEST);
    float logits[TOY_TEST * TOY_K];
    lt_eval_result r;
    assert_ok(lt_evaluate(m, &view, &world.env, 16, logits, NULL, &r));
    assert_ok(lt_features_compute(m, &view, &world.env, 16, &f));
    assert_int_equal(f->n, TOY_TEST);
    assert_int_equal(f->n_stages, 3);
    assert_string_equal(f->name[0], "stage1");
    assert_string_equal(f->name[2], "stage3");
    for (int i = 0; i < 3; i++)
        assert_int_equal(f->width[i], 4 << i);
    assert_ok(lt_graph_value(m->graph, lt_graph_find(m->graph, "linear.weight"), &w));
    assert_ok(lt_graph_value(m->graph, lt_graph_find(m->graph, "linear.bias"), &b));
    assert_int_equal(w.shape.dim[1], 16);
    for (int i = 0; i < TOY_TEST; i++)
        for (int k = 0; k < TOY_K; k++) {
            double z = (double)m->params[b.slab_offset + k];
            for (int c = 0; c < 16; c++)
                z += (double)m->params[w.slab_offset + k * 16 + c] * (double)f->x[2][i * 16 + c];
            assert_near(z, (double)logits[i * TOY_K + k], 1e-4);
        }
    lt_features_destroy(f);
    world.stop = 1;
    assert_fails(LT_E_INTERRUPTED, "features interrupted", lt_features_compute(m, &view, &world.env, 16, &f));
    world.stop = 0;
    lt_model_destroy(m);
}

static void every_architecture_names_its_stages(void **state)
{
    (void)state;
    int n;
    const lt_arch *arch = lt_model_archs(&n);
    for (int i = 0; i < n; i++) {
        lt_model *m;
        lt_val stage[16];
        char *spec = lti_asprintf("%s:width=2", arch[i].name);
        assert_ok(lt_model_create(spec, (lt_model_shape){3, 32, 32, 10}, &m));
        const int n_stages = lt_model_stages(m, stage, 16);
        assert_in_range(n_stages, 1, 16);
        for (int s = 1; s < n_stages; s++)
            assert_true(stage[s] > stage[s - 1]);
        lt_model_destroy(m);
        lti_free(spec);
    }
}

// ---- relearning

static void a_model_learns_again_and_stays_as_it_was(void **state)
{
    (void)state;
    lt_representation_cfg cfg = config();
    lt_relearn curve, again, trained;
    lt_view test = lt_view_split(world.ds, LT_TEST);
    char before[65], after[65];
    cfg.relearn_steps = 23;
    cfg.relearn_every = 5;
    cfg.relearn_batch = 16;
    cfg.relearn_lr = 0.01f;
    lt_model *fresh = toy_model();
    lt_model_digest(fresh, before);
    assert_ok(lt_relearn_run(fresh, world.ds, &world.forget, &test, &cfg, 1, &world.env, &curve));
    lt_model_digest(fresh, after);
    assert_string_equal(before, after);
    assert_int_equal(curve.n, 6); // 0, 5, 10, 15, 20, 23
    assert_int_equal(curve.step[4], 20);
    assert_int_equal(curve.step[5], 23);
    assert_true(curve.forget_loss[5] < curve.forget_loss[0]);
    assert_ok(lt_relearn_run(fresh, world.ds, &world.forget, &test, &cfg, 1, &world.env, &again));
    for (int i = 0; i < curve.n; i++)
        assert_true(curve.forget_loss[i] == again.forget_loss[i] && curve.test_acc[i] == again.test_acc[i]);
    // Entry 0 is the model itself, and who has seen the samples is ahead.
    assert_ok(lt_relearn_run(world.model, world.ds, &world.forget, &test, &cfg, 1, &world.env, &trained));
    lt_view forget = lt_view_rows(world.ds, LT_TRAIN, &world.forget);
    lt_eval_result r;
    assert_ok(lt_evaluate(world.model, &forget, &world.env, 128, NULL, NULL, &r));
    assert_true(trained.forget_acc[0] == r.acc && trained.forget_loss[0] == r.loss);
    assert_true(lt_relearn_area(trained.step, trained.forget_acc, trained.n) >
                lt_relearn_area(curve.step, curve.forget_acc, curve.n));
    world.stop = 1;
    lt_relearn_clear(&again);
    assert_fails(LT_E_INTERRUPTED, "",
                 lt_relearn_run(fresh, world.ds, &world.forget, &test, &cfg, 1, &world.env, &again));
    world.stop = 0;
    lt_relearn_clear(&curve);
    lt_relearn_clear(&trained);
    lt_model_destroy(fresh);
}

// The job by hand: the forget set round after round, each in an order of its own; batch norm as it is, no decay, no
// augmentation.
static void relearning_is_this_job(void **state)
{
    (void)state;
    enum { STEPS = 7, BATCH = 16, ROWS = STEPS * BATCH };
    lt_representation_cfg cfg = config();
    lt_relearn curve;
    lt_view test = lt_view_split(world.ds, LT_TEST), forget = lt_view_rows(world.ds, LT_TRAIN, &world.forget);
    lt_eval_result r;
    int64_t row[ROWS], perm[TOY_FORGET];
    cfg.relearn_steps = STEPS;
    cfg.relearn_every = 100;
    cfg.relearn_batch = BATCH;
    cfg.relearn_lr = 0.02f;
    assert_ok(lt_relearn_run(world.model, world.ds, &world.forget, &test, &cfg, 5, &world.env, &curve));
    for (int i = 0; i < ROWS; i++) {
        if (i % TOY_FORGET == 0)
            lt_rng_permutation(5, LT_STREAM_AUDIT, LTI_DRAW_RELEARN + (uint32_t)(i / TOY_FORGET), TOY_FORGET, perm);
        row[i] = world.forget.row[perm[i % TOY_FORGET]];
    }
    lt_model *copy = toy_trained(&world);
    lt_job job = {.model = copy, .seed = 5, .n_phases = 1, .bn_eval = true};
    lt_options_defaults(lt_train_options, &job.cfg);
    job.cfg.epochs = 1;
    job.cfg.batch = BATCH;
    job.cfg.lr = 0.02f;
    job.cfg.weight_decay = 0;
    job.cfg.schedule = LT_SCHED_CONST;
    job.cfg.augment = false;
    job.cfg.divergence_factor = 0;
    job.phase[0].view[0] = lt_view_rows(world.ds, LT_TRAIN, &(lt_index_set){.n = ROWS, .row = row});
    job.phase[0].n_views = 1;
    assert_ok(lt_train_run(&job, &world.env, NULL, false, NULL));
    assert_ok(lt_evaluate(copy, &forget, &world.env, 128, NULL, NULL, &r));
    assert_int_equal(curve.n, 2);
    assert_true(curve.forget_loss[1] == r.loss && curve.forget_acc[1] == r.acc);
    lt_relearn_clear(&curve);
    lt_model_destroy(copy);
}

static void areas_and_thresholds_are_those_of_straight_lines(void **state)
{
    (void)state;
    const int64_t step[] = {0, 4, 10};
    const double value[] = {0, 1, 0.5};
    assert_near(lt_relearn_area(step, value, 3), (2 + 4.5) / 10, 1e-15);
    assert_near(lt_relearn_area(step, value, 1), 0, 0);
    assert_near(lt_relearn_reach(step, value, 3, 0.25), 1, 1e-15);
    assert_true(lt_relearn_reach(step, value, 3, 0) == 0);
    assert_true(isnan(lt_relearn_reach(step, value, 3, 1.5)));
}

// Every allocation may fail: an error, no leak, and no change.
static void memory_may_run_out(void **state)
{
    (void)state;
    enum { N = 12, P = 3 };
    double x[N * P], y[N * P], v;
    const lt_representation_cfg cfg = config();
    lt_status status = LT_E_NOMEM;
    normal(30, N * P, x);
    normal(31, N * P, y);
    for (int64_t n = 1; status != LT_OK; n = toy_next_failure(n)) {
        lti_alloc_fail_at(n);
        status = lt_probe_membership(x, N, y, N, P, &cfg, 1, &v);
        lti_alloc_fail_at(0);
        assert_true(status == LT_OK || status == LT_E_NOMEM);
    }
    status = LT_E_NOMEM;
    for (int64_t n = 1; status != LT_OK; n++) {
        lti_alloc_fail_at(n);
        status = lt_cka_linear(x, P, y, P, N, LT_CKA_DEBIASED, &v);
        lti_alloc_fail_at(0);
        assert_true(status == LT_OK || status == LT_E_NOMEM);
    }
    const lt_view view = lt_view_split(world.ds, LT_TEST);
    status = LT_E_NOMEM;
    for (int64_t n = 1; status != LT_OK; n = toy_next_failure(n)) {
        lt_features *f = NULL;
        lti_alloc_fail_at(n);
        status = lt_features_compute(world.model, &view, &world.env, 32, &f);
        lti_alloc_fail_at(0);
        assert_true(status == LT_OK || status == LT_E_NOMEM);
        lt_features_destroy(f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(probe_equals_newton),
        cmocka_unit_test(probe_is_a_minimum),
        cmocka_unit_test(probe_refuses_nonsense),
        cmocka_unit_test(membership_tells_what_there_is),
        cmocka_unit_test(membership_is_the_mean_over_folds),
        cmocka_unit_test(cka_equals_kernel_matrices),
        cmocka_unit_test(cka_has_its_invariances),
        cmocka_unit_test(features_are_what_the_head_reads),
        cmocka_unit_test(every_architecture_names_its_stages),
        cmocka_unit_test(a_model_learns_again_and_stays_as_it_was),
        cmocka_unit_test(relearning_is_this_job),
        cmocka_unit_test(areas_and_thresholds_are_those_of_straight_lines),
        cmocka_unit_test(memory_may_run_out),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
