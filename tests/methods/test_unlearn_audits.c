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

// The golden reference models, and behind them those that have unlearned nothing.
static lt_references join_references(const lt_references *a, lt_tensor_file *golden, lt_tensor_file *models)
{
    const lt_tensor *z = lt_tensor_file_find(golden, "trained"),
                    *member = lt_tensor_file_find(golden, "trained_member");
    assert_true(z && member && z->dtype == LT_F32 && z->dim[1] == a->n && z->dim[2] == a->k);
    const size_t row = (size_t)a->n, m = (size_t)a->m, t = (size_t)z->dim[0];
    float *logits = malloc((m + t) * row * (size_t)a->k * sizeof *logits);
    uint8_t *kind = malloc((m + t) * row);
    memcpy(logits, a->logits, m * row * (size_t)a->k * sizeof *logits);
    memcpy(logits + m * row * (size_t)a->k, z->data, t * row * (size_t)a->k * sizeof *logits);
    memcpy(kind, lt_tensor_file_find(models, "member_unlearned")->data, m * row);
    memcpy(kind + m * row, member->data, t * row);
    return (lt_references){.m = (int64_t)(m + t), .n = a->n, .k = a->k, .logits = logits, .member = kind};
}

typedef struct efficacy {
    lt_tensor_file *golden, *models;
    lt_signals *target, original;
    lt_references *unlearned, refs;
    const lt_mia *mia;
} efficacy;

static void efficacy_open(efficacy *e)
{
    assert_ok(lt_tensor_file_open(GOLDEN "unlearn_audit_golden.npz", &e->golden));
    assert_ok(lt_tensor_file_open(GOLDEN "mia_references.npz", &e->models));
    assert_ok(lt_signals_open(GOLDEN "mia_target.npz", &e->target));
    assert_ok(lt_references_open(GOLDEN "mia_references.npz", e->target, &e->unlearned));
    e->refs = join_references(e->unlearned, e->golden, e->models);
    e->original = *e->target;
    e->original.logits = lt_tensor_file_find(e->golden, "original")->data;
    assert_ok(lt_mia_find("ruli-efficacy", &e->mia));
}

static void efficacy_close(efficacy *e)
{
    world_references_clear(&e->refs);
    lt_references_destroy(e->unlearned);
    lt_signals_destroy(e->target);
    lt_tensor_file_close(e->models);
    lt_tensor_file_close(e->golden);
}

static double *efficacy_scores(const efficacy *e, const char *bandwidth, const char *clip)
{
    lt_optset *set;
    void *cfg = calloc(1, e->mia->cfg_size);
    double *score = calloc((size_t)e->target->n, sizeof *score);
    assert_ok(lt_optset_create(&set));
    assert_ok(lt_optset_add(set, "", e->mia->opts, cfg, LT_OPTGROUP_FLAGS));
    assert_ok(lt_optset_set(set, "bandwidth", bandwidth, "test"));
    assert_ok(lt_optset_set(set, "clip", clip, "test"));
    const lt_mia_in in = {.target = e->target, .refs = &e->refs, .original = &e->original};
    assert_ok(lt_mia_run(e->mia, &in, cfg, score));
    lt_optset_destroy(set);
    free(cfg);
    return score;
}

static void efficacy_equals_numpy(void **state)
{
    (void)state;
    static const char *const name[] = {"efficacy_pooled", "efficacy_1"};
    efficacy e;
    int64_t n;
    efficacy_open(&e);
    const double *share = array(e.golden, "share_1", &n);
    for (int v = 0; v < 2; v++) {
        double *score = efficacy_scores(&e, v ? "1" : "0", v ? "1e-6" : "0");
        const double *want = array(e.golden, name[v], &n);
        assert_int_equal(n, e.target->n);
        for (int64_t i = 0; i < n; i++) {
            assert_true(isnan(want[i]) ? isnan(score[i]) : fabs(score[i] - want[i]) < 1e-6 * (1 + fabs(want[i])));
            if (v == 1 && !isnan(want[i])) // the authors' form of the same score
                assert_true(fabs(1 / (1 + exp(-score[i])) - share[i]) < 1e-6);
        }
        free(score);
    }
    double *score = efficacy_scores(&e, "1", "1e-6");
    double side[2][64];
    int64_t count[2] = {0, 0};
    for (int64_t i = 0; i < e.target->n; i++)
        if (e.target->group[i] != LT_GROUP_RETAIN) {
            const int is_test = e.target->group[i] == LT_GROUP_TEST;
            side[is_test][count[is_test]++] = score[i];
        }
    assert_true(fabs(lt_auc(side[0], count[0], side[1], count[1]) - array(e.golden, "efficacy_auc_1", &n)[0]) < 1e-9);
    free(score);
    efficacy_close(&e);
}

// What each score may look at: privacy nothing of trained models, efficacy nothing of OUT under unlearned ones.
static void scores_take_their_own_models(void **state)
{
    (void)state;
    efficacy e;
    efficacy_open(&e);
    const int64_t m = e.unlearned->m, row = e.refs.n * e.refs.k;
    float *logits = (float *)(uintptr_t)e.refs.logits;
    const lt_mia *privacy;
    assert_ok(lt_mia_find("ruli", &privacy));
    void *cfg = default_cfg(privacy);
    double *before = calloc((size_t)e.refs.n, sizeof *before), *after = calloc((size_t)e.refs.n, sizeof *after);
    double *ours = efficacy_scores(&e, "0", "0");
    const lt_mia_in in = {.target = e.target, .refs = &e.refs};
    assert_ok(lt_mia_run(privacy, &in, cfg, before));
    for (int64_t i = 0; i < 6 * row; i++) // all of the trained models
        logits[m * row + i] += (float)(i % 7);
    assert_ok(lt_mia_run(privacy, &in, cfg, after));
    assert_memory_equal(before, after, (size_t)e.refs.n * sizeof *before);
    for (int64_t i = 0; i < 6 * row; i++)
        logits[m * row + i] -= (float)(i % 7);
    for (int64_t r = 0; r < m; r++)
        for (int64_t i = r * e.refs.n; i < (r + 1) * e.refs.n; i++)
            if (e.refs.member[i] == LT_MEMBER_OUT && lti_references_unlearned(&e.refs, r))
                logits[i * e.refs.k + i % e.refs.k] += 3;
    double *again = efficacy_scores(&e, "0", "0");
    for (int64_t i = 0; i < e.refs.n; i++)
        assert_true(isnan(ours[i]) ? isnan(again[i]) : fabs(ours[i] - again[i]) < 1e-4 * (1 + fabs(ours[i])));
    free(ours);
    free(again);
    free(before);
    free(after);
    free(cfg);
    efficacy_close(&e);
}

static void efficacy_says_what_is_missing(void **state)
{
    (void)state;
    efficacy e;
    efficacy_open(&e);
    void *cfg = default_cfg(e.mia);
    double score[64];
    lt_references unlearned = e.refs;
    unlearned.m = e.unlearned->m;
    for (int64_t m = 0; m < unlearned.m; m++) // no trained model among them
        ((uint8_t *)(uintptr_t)e.refs.member)[m * e.refs.n] = LT_MEMBER_UNLEARNED;
    lt_mia_in in = {.target = e.target, .refs = &e.refs};
    assert_fails(LT_E_USAGE, "expected outputs of the original model, found none", lt_mia_run(e.mia, &in, cfg, score));
    in.original = &e.original;
    in.refs = &unlearned;
    assert_fails(LT_E_FORMAT, "that has unlearned no sample, found none among 12", lt_mia_run(e.mia, &in, cfg, score));
    in.refs = NULL;
    assert_fails(LT_E_USAGE, "expected reference models, found none", lt_mia_run(e.mia, &in, cfg, score));
    lt_signals other = e.original;
    int64_t *id = calloc((size_t)other.n, sizeof *id);
    memcpy(id, other.id, (size_t)other.n * sizeof *id);
    id[3] += 1000;
    other.id = id;
    in.refs = &e.refs;
    in.original = &other;
    assert_fails(LT_E_FORMAT, "are of other samples", lt_mia_run(e.mia, &in, cfg, score));
    free(id);
    free(cfg);
    efficacy_close(&e);
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

// A made audit: M models that have unlearned every second sample, T that have unlearned nothing, a target, an original.
// left: what unlearning left of the rise of phi that training gives. 0: they are oracles.
enum { MADE_N = 1600, MADE_M = 12, MADE_T = 8 };
static double made_efficacy_auc(uint32_t run, double left)
{
    enum { N = MADE_N, M = MADE_M, T = MADE_T };
    float *logits = calloc((size_t)(M + T + 2) * N * 2, sizeof *logits), *last = logits + (M + T) * N * 2;
    uint8_t *member = calloc((size_t)(M + T) * N, sizeof *member);
    lt_signals target = {.n = N, .k = 2, .logits = last}, original = {.n = N, .k = 2, .logits = last + 2 * N};
    target.label = calloc(N, sizeof *target.label);
    target.id = calloc(N, sizeof *target.id);
    target.group = calloc(N, sizeof *target.group);
    double *score = calloc(3 * N, sizeof *score), *side[2] = {score + N, score + 2 * N};
    for (int i = 0; i < N; i++) {
        lt_rng rng = lt_rng_at(31, LT_STREAM_TEST, run, (uint64_t)i);
        const double own = 2 * lt_rng_normal(&rng), rise = 1.5;
        const bool is_test = i % 2;
        target.group[i] = is_test ? LT_GROUP_TEST : LT_GROUP_FORGET;
        target.id[i] = i;
        for (int m = 0; m < M + T; m++) {
            const bool odd = (m + i) % 2;
            member[m * N + i] = m < M ? (odd ? LT_MEMBER_UNLEARNED : LT_MEMBER_OUT) : odd;
            logits[2 * (m * N + i)] = (float)(own + 0.5 * lt_rng_normal(&rng) + (odd ? rise * (m < M ? left : 1) : 0));
        }
        target.logits[2 * i] = (float)(own + 0.5 * lt_rng_normal(&rng) + (is_test ? 0 : rise * left));
        original.logits[2 * i] = (float)(own + 0.5 * lt_rng_normal(&rng) + (is_test ? 0 : rise));
    }
    original.label = target.label, original.id = target.id, original.group = target.group;
    const lt_mia *mia;
    const lt_references refs = {.m = M + T, .n = N, .k = 2, .logits = logits, .member = member};
    assert_ok(lt_mia_find("ruli_efficacy", &mia));
    void *cfg = default_cfg(mia);
    assert_ok(lt_mia_run(mia, &(lt_mia_in){.target = &target, .refs = &refs, .original = &original}, cfg, score));
    int64_t n[2] = {0, 0};
    for (int i = 0; i < N; i++)
        side[i % 2][n[i % 2]++] = score[i];
    const double auc = lt_auc(side[0], n[0], side[1], n[1]);
    free(cfg);
    free(logits);
    free(member);
    free(target.label);
    free(target.id);
    free(target.group);
    free(score);
    return auc;
}

// Oracles in the place of the target and of the unlearned models: half, +- 5 points. What unlearning left is seen, and
// so is the opposite: samples that look less like members than unseen ones do.
static void efficacy_of_oracles_is_half(void **state)
{
    (void)state;
    double mean = 0;
    for (uint32_t run = 0; run < 4; run++) {
        const double auc = made_efficacy_auc(run, 0);
        assert_true(fabs(auc - 0.5) < 0.05);
        mean += auc / 4;
    }
    assert_true(fabs(mean - 0.5) < 0.02);
    assert_true(made_efficacy_auc(9, 0.6) > 0.7);
    assert_true(made_efficacy_auc(9, -0.6) > 0.7);
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
        cmocka_unit_test(efficacy_equals_numpy),
        cmocka_unit_test(scores_take_their_own_models),
        cmocka_unit_test(efficacy_says_what_is_missing),
        cmocka_unit_test(efficacy_of_oracles_is_half),
        cmocka_unit_test(iam_equals_numpy),
        cmocka_unit_test(iam_orders_what_is_known),
        cmocka_unit_test(ruli_of_oracles_is_half),
        cmocka_unit_test(iam_of_an_oracle_is_that_of_the_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
