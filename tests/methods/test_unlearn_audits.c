// test_unlearn_audits.c - RULI and IAM against NumPy (golden/make_unlearn_audit_golden.py), and what they say of models
// whose state is known.
#include "mia_test.h"
#include "audit/iam.h"

#define GOLDEN LT_TEST_SOURCE_DIR "/tests/methods/golden/"

static const double *array(lt_tensor_file *file, const char *name, int64_t *n)
{
    const lt_tensor *t = lt_tensor_file_find(file, name);
    assert_non_null(t);
    *n = 1;
    for (int d = 0; d < t->n_dims; d++)
        *n *= t->dim[d];
    return t->data;
}

static void ruli_equals_numpy(void **state)
{
    (void)state;
    static const char *const name[] = {"ruli_pooled", "ruli_1"}, *const values[] = {"0", "1"};
    lt_tensor_file *golden, *models;
    lt_signals *target;
    lt_references *refs;
    assert_ok(lt_tensor_file_open(GOLDEN "unlearn_audit_golden.npz", &golden));
    assert_ok(lt_tensor_file_open(GOLDEN "mia_references.npz", &models));
    assert_ok(lt_signals_open(GOLDEN "mia_target.npz", &target));
    assert_ok(lt_references_open(GOLDEN "mia_references.npz", target, &refs));
    refs->member = lt_tensor_file_find(models, "member_unlearned")->data;
    for (int v = 0; v < 2; v++) {
        lt_optset *set;
        int64_t n;
        const lt_mia *mia;
        assert_ok(lt_mia_find("ruli", &mia));
        void *cfg = calloc(1, mia->cfg_size);
        double *score = calloc((size_t)target->n, sizeof *score);
        assert_ok(lt_optset_create(&set));
        assert_ok(lt_optset_add(set, "", mia->opts, cfg, LT_OPTGROUP_FLAGS));
        assert_ok(lt_optset_set(set, "bandwidth", values[v], "test"));
        assert_ok(lt_optset_set(set, "clip", v ? "1e-6" : "0", "test"));
        const double *want = array(golden, name[v], &n);
        assert_int_equal(n, target->n);
        assert_ok(lt_mia_run(mia, &(lt_mia_in){.target = target, .refs = refs}, cfg, score));
        for (int64_t i = 0; i < n; i++)
            assert_true(isnan(want[i]) ? isnan(score[i]) : fabs(score[i] - want[i]) < 1e-6 * (1 + fabs(want[i])));
        lt_optset_destroy(set);
        free(score);
        free(cfg);
    }
    lt_references_destroy(refs);
    lt_signals_destroy(target);
    lt_tensor_file_close(models);
    lt_tensor_file_close(golden);
}

static double signal_of(double p)
{
    return -log(1e-2 - log(p + 1e-5));
}

static void iam_equals_numpy(void **state)
{
    (void)state;
    lt_tensor_file *golden;
    int64_t m_n, n;
    double out[4 * 25], orig[25], unl[25], score[25];
    assert_ok(lt_tensor_file_open(GOLDEN "unlearn_audit_golden.npz", &golden));
    const double *p_out = array(golden, "iam_out", &m_n), *p_orig = array(golden, "iam_orig", &n);
    const double *p_unl = array(golden, "iam_unl", &n);
    assert_true(n == 25 && m_n == 4 * n);
    for (int i = 0; i < m_n; i++)
        out[i] = signal_of(p_out[i]);
    for (int i = 0; i < n; i++) {
        orig[i] = signal_of(p_orig[i]);
        unl[i] = signal_of(p_unl[i]);
    }
    for (int all = 0; all < 2; all++) {
        const double *want = array(golden, all ? "iam" : "iam_one", &n);
        assert_ok(lti_iam_score(out, all ? 4 : 1, n, orig, unl, score));
        for (int i = 0; i < n; i++)
            assert_true(fabs(score[i] - want[i]) < 1e-9);
    }
    lt_tensor_file_close(golden);
}

// The original has unlearned nothing; a model like those that never saw the samples has a middling score; one that is
// further away than they are has unlearned too much.
static void iam_orders_what_is_known(void **state)
{
    (void)state;
    enum { N = 200, M = 3 };
    double out[M * N], orig[N], like_out[N], beyond[N], score[N], mean[3] = {0};
    for (int i = 0; i < N; i++) {
        lt_rng rng = lt_rng_at(9, LT_STREAM_TEST, 1, (uint64_t)i);
        for (int m = 0; m < M; m++)
            out[m * N + i] = 0.3 * lt_rng_normal(&rng);
        like_out[i] = 0.3 * lt_rng_normal(&rng);
        orig[i] = 4;
        beyond[i] = -2 + 0.3 * lt_rng_normal(&rng);
    }
    const double *who[3] = {orig, like_out, beyond};
    for (int w = 0; w < 3; w++) {
        assert_ok(lti_iam_score(out, M, N, orig, who[w], score));
        for (int i = 0; i < N; i++)
            mean[w] += score[i] / N;
    }
    assert_true(mean[0] < 0.1 && mean[1] > 0.8 && mean[2] > mean[1]);
    const float z[3] = {2, 0, -1};
    const double p = exp(2) / (exp(2) + 1 + exp(-1));
    assert_true(fabs(lti_iam_signal(z, 3, 0) - signal_of(p)) < 1e-9);
}

// Oracles in the place of the target: RULI cannot tell the samples that reference models unlearned from the others.
static void ruli_of_oracles_is_half(void **state)
{
    (void)state;
    enum { N = 1200, M = 12 };
    float *logits = calloc((size_t)M * N * 2, sizeof *logits);
    uint8_t *member = calloc((size_t)M * N, sizeof *member);
    lt_signals target = {.n = N, .k = 2};
    target.logits = calloc(N * 2, sizeof *target.logits);
    target.label = calloc(N, sizeof *target.label);
    target.id = calloc(N, sizeof *target.id);
    target.group = calloc(N, sizeof *target.group);
    double *score = calloc(N, sizeof *score), *side[2] = {calloc(N, sizeof(double)), calloc(N, sizeof(double))};
    double auc[2] = {0, 0};
    for (int leak = 0; leak < 2; leak++) {
        int64_t n[2] = {0, 0};
        for (int i = 0; i < N; i++) {
            lt_rng rng = lt_rng_at(21, LT_STREAM_TEST, (uint32_t)leak, (uint64_t)i);
            const double own = 2 * lt_rng_normal(&rng);
            target.group[i] = i % 2 ? LT_GROUP_TEST : LT_GROUP_FORGET;
            target.id[i] = i;
            for (int m = 0; m < M; m++) {
                member[m * N + i] = (m + i) % 2 ? LT_MEMBER_UNLEARNED : LT_MEMBER_OUT;
                logits[2 * (m * N + i)] = (float)(own + 0.5 * lt_rng_normal(&rng) + ((m + i) % 2 ? 1 : 0));
            }
            const double shift = leak && target.group[i] == LT_GROUP_FORGET ? 1 : 0; // what an oracle does not have
            target.logits[2 * i] = (float)(own + 0.5 * lt_rng_normal(&rng) + shift);
        }
        const lt_mia *mia;
        const lt_references refs = {.m = M, .n = N, .k = 2, .logits = logits, .member = member};
        assert_ok(lt_mia_find("ruli", &mia));
        void *cfg = calloc(1, mia->cfg_size);
        lt_options_defaults(mia->opts, cfg);
        assert_ok(lt_mia_run(mia, &(lt_mia_in){.target = &target, .refs = &refs}, cfg, score));
        for (int i = 0; i < N; i++)
            side[target.group[i] == LT_GROUP_TEST][n[target.group[i] == LT_GROUP_TEST]++] = score[i];
        auc[leak] = lt_auc(side[0], n[0], side[1], n[1]);
        free(cfg);
    }
    assert_true(fabs(auc[0] - 0.5) < 0.05 && auc[1] > 0.7);
    free(logits);
    free(member);
    free(target.logits);
    free(target.label);
    free(target.id);
    free(target.group);
    free(score);
    free(side[0]);
    free(side[1]);
}

// An oracle scores as the others do, within 5 points.
static void iam_of_an_oracle_is_that_of_the_others(void **state)
{
    (void)state;
    enum { N = 400, M = 6 };
    double out[M * N], orig[N], others[(M - 1) * N], score[N], mean[M] = {0}, all = 0;
    for (int i = 0; i < M * N; i++) {
        lt_rng rng = lt_rng_at(22, LT_STREAM_TEST, 0, (uint64_t)i);
        out[i] = 1 + 0.5 * lt_rng_normal(&rng);
    }
    for (int i = 0; i < N; i++)
        orig[i] = 4.4;
    for (int m = 0; m < M; m++) {
        for (int o = 0, at = 0; o < M; o++)
            if (o != m)
                memcpy(others + N * at++, out + N * o, N * sizeof *others);
        assert_ok(lti_iam_score(others, M - 1, N, orig, out + N * m, score));
        for (int i = 0; i < N; i++)
            mean[m] += score[i] / N;
        all += mean[m] / M;
    }
    for (int m = 0; m < M; m++)
        assert_true(fabs(mean[m] - all) < 0.05);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ruli_equals_numpy),
        cmocka_unit_test(iam_equals_numpy),
        cmocka_unit_test(iam_orders_what_is_known),
        cmocka_unit_test(ruli_of_oracles_is_half),
        cmocka_unit_test(iam_of_an_oracle_is_that_of_the_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
