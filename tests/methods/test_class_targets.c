// test_class_targets.c - TRW, RWFT, DELETE and the logit mask: the identities of their targets, against NumPy
// (golden/make_class_golden.py) and against one another.
#include "unlearn_test.h"
#include "golden_arrays.h"
#include "base/eigen.h"
#include "unlearn/class_targets.h"
#include "unlearn/subspace.h"
#include "model/model_impl.h"

static lt_tensor_file *golden;

static const void *array(const char *name, int64_t n)
{
    return golden_array(golden, name, n);
}

enum { K = 7, D = 12, N = 9, N_BETA = 3, M = 9 };
// ---- eigenvalues

// Rows of v are orthonormal, and a = v' diag(w) v.
static void assert_decomposes(const double *a, const double *v, const double *w, int n, double tolerance)
{
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) {
            double same = 0, rebuilt = 0;
            for (int k = 0; k < n; k++) {
                same += v[i * n + k] * v[j * n + k];
                rebuilt += w[k] * v[k * n + i] * v[k * n + j];
            }
            assert_true(fabs(same - (i == j)) < 1e-12);
            assert_true(fabs(rebuilt - a[i * n + j]) < tolerance);
        }
}

static void eigenvectors_rebuild_the_matrix(void **state)
{
    (void)state;
    const double *a = array("symmetric", M * M);
    double v[M * M], w[M];
    memcpy(v, a, sizeof v);
    assert_ok(lti_eigen_symmetric(v, M, w));
    assert_all_close(w, array("eigenvalues", M), M, 1e-11);
    assert_decomposes(a, v, w, M, 1e-10);
    double zero[16] = {0}, one[1] = {3}, bad[4] = {1, NAN, NAN, 1};
    assert_ok(lti_eigen_symmetric(zero, 4, w));
    assert_true(w[0] == 0 && w[3] == 0);
    assert_ok(lti_eigen_symmetric(one, 1, w));
    assert_true(w[0] == 3 && fabs(one[0]) == 1);
    assert_fails(LT_E_FAIL, "row 0, column 1", lti_eigen_symmetric(bad, 2, w));
}

// A larger one, which numbers of a grid fill: -1 beside a diagonal of 2 has eigenvalues 2 - 2 cos(pi k / (n + 1)).
static void large_matrices_converge(void **state)
{
    (void)state;
    enum { SIZE = 150 };
    double *a = lti_calloc(SIZE * SIZE, sizeof *a), w[SIZE];
    for (int i = 0; i < SIZE; i++) {
        a[i * SIZE + i] = 2;
        if (i > 0)
            a[i * SIZE + i - 1] = a[(i - 1) * SIZE + i] = -1;
    }
    assert_ok(lti_eigen_symmetric(a, SIZE, w));
    for (int i = 0; i < SIZE; i++)
        assert_true(fabs(w[i] - (2 - 2 * cos(acos(-1.0) * (SIZE - i) / (SIZE + 1)))) < 1e-12);
    lti_free(a);
}

// Gram matrices of fewer rows than columns: most eigenvalues are zero but for rounding.
static void few_rows_converge(void **state)
{
    (void)state;
    enum { SIZE = 120, ROWS = 20 };
    double *b = lti_calloc(ROWS * SIZE, sizeof *b), *a = lti_calloc(SIZE * SIZE, sizeof *a),
           *v = lti_calloc(SIZE * SIZE, sizeof *v), w[SIZE];
    for (int grade = 0; grade < 6; grade++) {
        for (int i = 0; i < ROWS * SIZE; i++) {
            lt_rng rng = lt_rng_at(1, LT_STREAM_TEST, (uint32_t)grade, (uint32_t)i);
            b[i] = fmax(0, lt_rng_normal(&rng)) * pow(10, -0.1 * grade * (i / SIZE)); // as after a ReLU
        }
        memset(a, 0, SIZE * SIZE * sizeof *a);
        for (int k = 0; k < ROWS; k++)
            for (int i = 0; i < SIZE * SIZE; i++)
                a[i] += b[k * SIZE + i / SIZE] * b[k * SIZE + i % SIZE];
        memcpy(v, a, SIZE * SIZE * sizeof *a);
        assert_ok(lti_eigen_symmetric(v, SIZE, w));
        assert_decomposes(a, v, w, SIZE, 1e-13 * w[0]);
        assert_true(fabs(w[ROWS]) < 1e-13 * w[0]);
    }
    lti_free(a);
    lti_free(b);
    lti_free(v);
}

// ---- similarity

static void similarities_are_numpys(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        lti_similarity_cfg cfg;
    } kind[] = {{"cos", {LTI_SIM_COSINE, 5, 1}},
                {"pca2", {LTI_SIM_PCA, 2, 1}},
                {"pca5", {LTI_SIM_PCA, 5, 1}},
                {"softmax", {LTI_SIM_SOFTMAX, 5, 0.1}},
                {"pca_softmax", {LTI_SIM_PCA_SOFTMAX, 2, 0.5}}};
    const float *w = array("weights", K * D);
    const uint8_t *gone = array("gone", K);
    double s[K * K];
    for (int i = 0; i < 5; i++) {
        assert_ok(lti_class_similarity(w, K, D, kind[i].cfg, gone, s));
        assert_all_close(s, array(kind[i].name, K * K), K * K, 1e-9);
    }
    float none[K * D] = {0};
    assert_fails(LT_E_USAGE, "weight row", lti_class_similarity(none, K, D, kind[0].cfg, gone, s));
}

// ---- subspaces

enum { DIM = 6, N_F = 40, N_R = 50 };

static void take_moments(lti_moments_pair *m, double *forget, double *retain)
{
    *m = (lti_moments_pair){.d = DIM, .forget = forget, .retain = retain};
    memset(forget, 0, DIM * DIM * sizeof *forget);
    memset(retain, 0, DIM * DIM * sizeof *retain);
    lti_add_second_moment(array("forget_x", N_F * DIM), N_F, DIM, 1.0 / N_F, forget);
    lti_add_second_moment(array("retain_x", N_R * DIM), N_R, DIM, 1.0 / N_R, retain);
    for (int i = 0; i < DIM; i++)
        for (int j = 0; j < i; j++) {
            forget[j * DIM + i] = forget[i * DIM + j];
            retain[j * DIM + i] = retain[i * DIM + j];
        }
}

static void projectors_are_numpys(void **state)
{
    (void)state;
    lti_moments_pair m;
    double forget[DIM * DIM], retain[DIM * DIM], pt[DIM * DIM];
    take_moments(&m, forget, retain);
    assert_ok(lti_svd_projector(&m, 100, 3, pt));
    assert_all_close(pt, array("svd", DIM * DIM), DIM * DIM, 1e-6);
    take_moments(&m, forget, retain);
    assert_ok(lti_mupht_projector(&m, 0.9, pt));
    assert_all_close(pt, array("mupht", DIM * DIM), DIM * DIM, 1e-6);
    float w[2 * DIM], before[2 * DIM]; // what the forget inputs leave is orthogonal to the projected directions
    for (int i = 0; i < 2 * DIM; i++)
        before[i] = w[i] = (float)sin(i);
    assert_ok(lti_project_rows(w, 2, DIM, pt));
    for (int o = 0; o < 2; o++)
        for (int j = 0; j < DIM; j++) {
            double left = 0;
            for (int i = 0; i < DIM; i++)
                left += (double)w[o * DIM + i] * pt[i * DIM + j];
            assert_true(fabs(left) < 1e-6);
        }
    const double none[DIM * DIM] = {0}; // P = 0: the same bits
    memcpy(w, before, sizeof w);
    assert_ok(lti_project_rows(w, 2, DIM, none));
    assert_memory_equal(w, before, sizeof w);
}

// Both closed forms forget the class of the toy; that of the retained space keeps the others. [SVD] [MUpHT]
static void projections_forget_the_class(void **state)
{
    (void)state;
    static const char *const name[] = {"svd", "mupht"};
    for (int i = 0; i < 2; i++) {
        const lt_unlearn_method *m = find(name[i]);
        lt_model *model = toy_trained(&world);
        lt_unlearn_in in = input(model);
        lt_unlearn_result r;
        in.forget = &world.class_forget;
        in.retain = &world.class_retain;
        void *cfg = config(m, i == 0 ? "alpha_f=30" : "");
        assert_ok(lt_unlearn_run(m, &in, cfg, &r));
        double acc[2];
        for (int s = 0; s < 2; s++) {
            const lt_view view = lt_view_rows(world.ds, LT_TRAIN, s == 0 ? &world.class_forget : &world.class_retain);
            lt_eval_result e;
            assert_ok(lt_evaluate(model, &view, &world.env, 32, NULL, NULL, &e));
            acc[s] = e.acc;
        }
        assert_true(acc[0] < 0.5 && (i == 1 || acc[1] > 0.5));
        assert_true(r.update.n_forward > 0 && r.update.n_backward == 0);
        lt_unlearn_result_clear(&r);
        lti_free(cfg);
        lt_model_destroy(model);
    }
}

// ---- targets

typedef struct draw { // one random image
    double z[K], s[K], hat[K], q[K];
} draw;

static lt_rng draws(uint64_t i)
{
    return lt_rng_at(4, LT_STREAM_TEST, 9, i);
}

static void draw_row(uint64_t i, draw *r)
{
    lt_rng rng = draws(i);
    for (int k = 0; k < K; k++) {
        r->z[k] = 3 * lt_rng_normal(&rng);
        r->s[k] = lt_rng_normal(&rng);
    }
    lti_tilted_softmax(r->z, K, array("gone", K), r->s, 0, r->hat);
}

static double kl(const double *a, const double *b)
{
    double sum = 0;
    for (int k = 0; k < K; k++)
        sum += a[k] > 0 ? a[k] * log(a[k] / b[k]) : 0;
    return sum;
}

static void targets_are_the_formula(void **state)
{
    (void)state;
    const double *z = array("logits", N * K), *s = array("cos", K * K), *beta = array("beta", N_BETA);
    const double *want = array("q", N_BETA * N * K);
    const int32_t *y = array("label", N);
    const uint8_t *gone = array("gone", K);
    double q[K];
    for (int b = 0; b < N_BETA; b++)
        for (int n = 0; n < N; n++) {
            lti_tilted_softmax(z + n * K, K, gone, s + y[n] * K, beta[b], q);
            assert_all_close(q, want + (b * N + n) * K, K, 1e-12);
            assert_true(q[2] == 0 && q[5] == 0);
        }
}

// Limits of the tilt, and that constants in s and z do not matter. [TRW 3]
static void tilts_have_their_limits(void **state)
{
    (void)state;
    const uint8_t *gone = array("gone", K);
    for (uint64_t i = 0; i < 50; i++) {
        draw r;
        double other[K], moved[K];
        int best = -1;
        draw_row(i, &r);
        lti_tilted_softmax(r.z, K, gone, r.s, 1e4, r.q);
        for (int k = 0; k < K; k++)
            if (!gone[k] && (best < 0 || r.s[k] > r.s[best]))
                best = k;
        for (int k = 0; k < K; k++)
            assert_true(fabs(r.q[k] - (k == best)) < 1e-6);
        lti_tilted_softmax(r.z, K, gone, r.s, 2.5, r.q);
        for (int k = 0; k < K; k++)
            moved[k] = r.s[k] + 17;
        lti_tilted_softmax(r.z, K, gone, moved, 2.5, other);
        assert_all_close(other, r.q, K, 1e-12);
        for (int k = 0; k < K; k++)
            moved[k] = r.z[k] + 40;
        moved[2] = 400; // the forgotten class does not matter however sure the model is of it
        lti_tilted_softmax(moved, K, gone, r.s, 2.5, other);
        assert_all_close(other, r.q, K, 1e-12);
        lti_tilted_softmax(r.z, K, gone, NULL, 0, other);
        assert_all_close(other, r.hat, K, 0);
    }
}

// The tilted distribution is the nearest of its expected similarity, and distances add up. [TRW 4]
static void targets_are_an_information_projection(void **state)
{
    (void)state;
    const uint8_t *gone = array("gone", K);
    for (uint64_t i = 0; i < 1000; i++) {
        draw r;
        double q[K], sum = 0, b1, b2;
        draw_row(i, &r);
        lti_tilted_softmax(r.z, K, gone, r.s, 1.5, r.q);
        const double c = lti_expectation(r.q, r.s, K);
        lt_rng rng = draws(1000 + i);
        for (int k = 0; k < K; k++)
            sum += q[k] = gone[k] ? 0 : (double)lt_rng_uniform(&rng) + 1e-3;
        for (int k = 0; k < K; k++)
            q[k] /= sum;
        // Move q onto the constraint by mixing it with the corner on the other side of c.
        const double e = lti_expectation(q, r.s, K);
        int corner = -1;
        for (int k = 0; k < K; k++)
            if (!gone[k] && (corner < 0 || (e < c ? r.s[k] > r.s[corner] : r.s[k] < r.s[corner])))
                corner = k;
        const double t = (c - e) / (r.s[corner] - e);
        for (int k = 0; k < K; k++)
            q[k] = (1 - t) * q[k] + t * (k == corner);
        assert_true(t >= 0 && t <= 1 && fabs(lti_expectation(q, r.s, K) - c) < 1e-12);
        assert_true(kl(r.q, r.hat) <= kl(q, r.hat) + 1e-12);
        assert_true(fabs(kl(q, r.hat) - kl(q, r.q) - kl(r.q, r.hat)) < 1e-10);
        assert_ok(lti_tilt_for(r.z, K, gone, r.s, c, &b1));
        assert_true(fabs(b1 - 1.5) < 1e-9);
        lti_tilted_softmax(r.z, K, gone, r.s, 1.6, q); // strictly increasing
        assert_true(lti_expectation(q, r.s, K) > c);
        assert_ok(lti_tilt_for(r.z, K, gone, r.s, lti_expectation(q, r.s, K), &b2));
        assert_true(fabs(b2 - 1.6) < 1e-9);
    }
}

static void impossible_expectations_are_refused(void **state)
{
    (void)state;
    draw r;
    double beta, most = -INFINITY;
    draw_row(3, &r);
    for (int k = 0; k < K; k++)
        most = ((const uint8_t *)array("gone", K))[k] ? most : fmax(most, r.s[k]);
    assert_fails(LT_E_USAGE, "expected similarity", lti_tilt_for(r.z, K, array("gone", K), r.s, most, &beta));
    assert_ok(lti_tilt_for(r.z, K, array("gone", K), r.s, most - 1e-6, &beta));
    assert_true(beta > 5);
}

// ---- the methods

static float *outputs(const lt_model *m)
{
    const lt_view all = lt_view_split(world.ds, LT_TRAIN);
    lt_eval_result r;
    float *z = lti_calloc(TOY_TRAIN * TOY_K, sizeof *z);
    assert_ok(lt_evaluate(m, &all, &world.env, 32, z, NULL, &r));
    return z;
}

static void delete_is_trw_without_tilt_and_retain_data(void **state)
{
    (void)state;
    lt_unlearn_result r;
    lt_model *a = unlearn("delete", "lr=0.01,schedule=const", true, 3, &r);
    lt_unlearn_result_clear(&r);
    static const char *const same[] = {"lr=0.01,beta=0,remain_frac=0,schedule=const", "lr=0.01,beta=0,schedule=const"};
    for (int i = 0; i < 2; i++) {
        lt_model *b = unlearn("trw", same[i], i == 0, 3, &r);
        assert_true(same_params(a, b));
        assert_true(r.update.n_backward == 3 * TOY_PER_CLASS);
        lt_unlearn_result_clear(&r);
        lt_model_destroy(b);
    }
    lt_model *c = unlearn("trw", "lr=0.01,beta=1,remain_frac=0,schedule=const", true, 3, &r);
    assert_false(same_params(a, c));
    lt_unlearn_result_clear(&r);
    lt_model *d = unlearn("trw", "beta=0", true, 3, &r),
             *e = (lt_unlearn_result_clear(&r), unlearn("rwft", "", true, 3, &r));
    assert_true(same_params(d, e));
    lt_unlearn_result_clear(&r);
    lt_model_destroy(a);
    lt_model_destroy(c);
    lt_model_destroy(d);
    lt_model_destroy(e);
}

static void the_mask_touches_nothing_else(void **state)
{
    (void)state;
    lt_unlearn_result r;
    lt_model *m = unlearn("logit-mask", "", true, 3, &r);
    float *before = outputs(world.model), *after = outputs(m);
    for (int i = 0; i < TOY_TRAIN; i++)
        for (int k = 0; k < TOY_K; k++)
            if (k == TOY_CLASS)
                assert_true(after[i * TOY_K + k] < -9e3f);
            else
                assert_memory_equal(&before[i * TOY_K + k], &after[i * TOY_K + k], sizeof *before);
    assert_true(fabs(r.delta_norm_l2 - 1e4) < 1e-2);
    lti_free(before);
    lti_free(after);
    lt_unlearn_result_clear(&r);
    lt_model_destroy(m);
}

// Training moves the outputs on the forgotten images towards the targets.
// Rounds share the epochs that are run, also when the largest rate raised their number. [TRW 6]
static void rounds_share_raised_epochs(void **state)
{
    (void)state;
    lt_unlearn_result r;
    lt_model *raised = unlearn("trw", "epochs=0,rounds=2,lr_area=500", true, 3, &r);
    const int32_t epochs = r.train.epochs;
    lt_unlearn_result_clear(&r);
    assert_true(epochs > 10);
    for (int rounds = 1; rounds <= 2; rounds++) {
        char values[64];
        snprintf(values, sizeof values, "epochs=%d,rounds=%d,lr_area=500", epochs, rounds);
        lt_model *given = unlearn("trw", values, true, 3, &r);
        lt_unlearn_result_clear(&r);
        assert_true(same_params(raised, given) == (rounds == 2));
        lt_model_destroy(given);
    }
    lt_model_destroy(raised);
}

static void training_approaches_the_targets(void **state)
{
    (void)state;
    char *dir = toy_temp_dir(), *path = lti_asprintf("%s/targets.npz", dir);
    char values[256];
    lt_optset *set;
    lt_unlearn_result r;
    lt_model *model = toy_trained(&world);
    const lt_unlearn_method *m = find("trw");
    lt_unlearn_in in = input_for(m, model);
    snprintf(values, sizeof values, "epochs=12,lr=0.05,beta=2,save_targets=%s", path);
    void *cfg = config_open(m, values, &set);
    float *before = outputs(world.model);
    assert_ok(lt_unlearn_run(m, &in, cfg, &r));
    lt_tensor_file *file;
    assert_ok(lt_tensor_file_open(path, &file));
    const lt_tensor *q = lt_tensor_file_find(file, "q"), *ids = lt_tensor_file_find(file, "ids");
    const lt_tensor *s = lt_tensor_file_find(file, "similarity"), *beta = lt_tensor_file_find(file, "beta");
    assert_true(q->dim[0] == TOY_PER_CLASS && q->dim[1] == TOY_K && s->dim[0] == TOY_K && s->dim[1] == TOY_K);
    assert_true(*(const double *)beta->data == 2);
    float *after = outputs(model);
    double distance[2] = {0};
    for (int i = 0; i < TOY_PER_CLASS; i++) {
        const int64_t row = world.class_forget.row[i];
        const double *target = (const double *)q->data + i * TOY_K;
        double want[TOY_K], z[TOY_K], p[TOY_K];
        const uint8_t gone[TOY_K] = {0, 1, 0, 0}, none[TOY_K] = {0};
        assert_int_equal(((const int64_t *)ids->data)[i], world.ds->split[LT_TRAIN].id[row]);
        for (int t = 0; t < 2; t++) {
            for (int k = 0; k < TOY_K; k++)
                z[k] = (double)(t == 0 ? before : after)[row * TOY_K + k];
            if (t == 0) {
                lti_tilted_softmax(z, TOY_K, gone, (const double *)s->data + TOY_CLASS * TOY_K, 2, want);
                for (int k = 0; k < TOY_K; k++)
                    assert_true(fabs(want[k] - target[k]) < 1e-6);
            }
            lti_tilted_softmax(z, TOY_K, none, NULL, 0, p);
            for (int k = 0; k < TOY_K; k++)
                distance[t] += fabs(p[k] - target[k]);
        }
    }
    assert_true(distance[1] < 0.5 * distance[0]);
    lti_free(before);
    lti_free(after);
    lt_tensor_file_close(file);
    lt_unlearn_result_clear(&r);
    lt_optset_destroy(set);
    lti_free(cfg);
    lt_model_destroy(model);
    lti_free(path);
    toy_remove_dir(dir);
}

static void requests_that_are_no_classes_are_refused(void **state)
{
    (void)state;
    lt_unlearn_result r;
    lt_model *model = toy_trained(&world);
    lt_unlearn_in in = input(model);
    void *cfg = config(find("trw"), "");
    assert_fails(LT_E_USAGE, "whole classes", lt_unlearn_run(find("trw"), &in, cfg, &r));
    in.retain = NULL;
    in.use_retain = false;
    assert_fails(LT_E_USAGE, "at least one class to stay", lt_unlearn_run(find("trw"), &in, cfg, &r));
    lti_free(cfg);
    in = input_for(find("trw"), model);
    static const char *const bad[] = {"expected_similarity=1", "rounds=4"};
    static const char *const why[] = {"expected similarity", "one round an epoch"};
    for (int i = 0; i < 2; i++) {
        cfg = config(find("trw"), bad[i]);
        assert_fails(LT_E_USAGE, why[i], lt_unlearn_run(find("trw"), &in, cfg, &r));
        lti_free(cfg);
    }
    assert_true(same_params(model, world.model));
    lt_model_destroy(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(eigenvectors_rebuild_the_matrix),
        cmocka_unit_test(large_matrices_converge),
        cmocka_unit_test(few_rows_converge),
        cmocka_unit_test(similarities_are_numpys),
        cmocka_unit_test(projectors_are_numpys),
        cmocka_unit_test(projections_forget_the_class),
        cmocka_unit_test(targets_are_the_formula),
        cmocka_unit_test(tilts_have_their_limits),
        cmocka_unit_test(targets_are_an_information_projection),
        cmocka_unit_test(impossible_expectations_are_refused),
        cmocka_unit_test(delete_is_trw_without_tilt_and_retain_data),
        cmocka_unit_test(the_mask_touches_nothing_else),
        cmocka_unit_test(rounds_share_raised_epochs),
        cmocka_unit_test(training_approaches_the_targets),
        cmocka_unit_test(requests_that_are_no_classes_are_refused),
    };
    assert_ok(lt_tensor_file_open(LT_TEST_SOURCE_DIR "/tests/methods/golden/class_golden.npz", &golden));
    const int status = cmocka_run_group_tests(tests, set_up, tear_down);
    lt_tensor_file_close(golden);
    return status;
}
