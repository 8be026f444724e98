// test_verdict.c - tails of distributions, verdicts at their nominal rates, bootstrap intervals and their coverage.
#include "mia_test.h"

// Values from tables and from a calculation in 50 digits.
static void tails_have_their_values(void **state)
{
    (void)state;
    assert_near(lti_normal_log_cdf(0, 0, 1), -0.693147180559945, 1e-14);
    assert_near(lti_normal_log_cdf(-1, 0, 1), -1.841021645009264, 1e-12);
    assert_near(lti_normal_log_cdf(1, 3, 2), -1.841021645009264, 1e-12);
    assert_near(lti_normal_log_cdf(-10, 0, 1), -53.23128515051247, 1e-10);
    assert_near(lti_normal_log_cdf(-40, 0, 1), -804.6084420137538, 1e-8);
    assert_near(lti_normal_log_cdf(10, 0, 1), -7.619853024160527e-24, 1e-35);
    double before = lti_normal_log_cdf(-30.0001, 0, 1), after = lti_normal_log_cdf(-29.9999, 0, 1);
    assert_near(after - before, 0.0002 * 30.0333, 1e-6); // the two formulas meet; slope -z - 1/z
    assert_near(lti_normal_log_pdf(3, 1, 2), -0.5 - log(2) - 0.918938533204673, 1e-14);
    assert_near(lti_student_quantile(0.025, 1), 12.706204736432095, 1e-9);
    assert_near(lti_student_quantile(0.025, 4), 2.7764451051977987, 1e-11);
    assert_near(lti_student_quantile(0.05, 2), 2.919985580353725, 1e-11);
    assert_near(lti_student_quantile(0.025, 1e6), 1.9599663, 1e-6);
    assert_true(lti_student_tail(0, 3) == 0.5);
    for (int df = 1; df < 40; df += 3)
        assert_near(lti_student_tail(lti_student_quantile(0.01, df), df), 0.01, 1e-12);
}

static lt_verdict_cfg verdict_cfg(void)
{
    lt_verdict_cfg cfg;
    lt_options_defaults(lt_verdict_options, &cfg);
    return cfg;
}

static void verdicts_follow_their_rules(void **state)
{
    (void)state;
    const lt_verdict_cfg cfg = verdict_cfg();
    const double close[5] = {0.501, 0.499, 0.5, 0.502, 0.498}, same[3] = {1, 1, 1}, far[2] = {0.45, 0.55};
    lt_equivalence c;
    lt_compare(0.5, close, 0, 0.001, &cfg, &c);
    assert_true(c.verdict == LT_VERDICT_TOO_FEW && isnan(c.mean) && isnan(c.p));
    lt_compare(0.9, close, 1, 0.001, &cfg, &c);
    assert_true(c.verdict == LT_VERDICT_TOO_FEW && isnan(c.band));
    assert_near(c.difference, 0.399, 1e-12);
    lt_compare(0.5, close, 5, 0.0, &cfg, &c);
    assert_int_equal(c.verdict, LT_VERDICT_SAME);
    assert_near(c.sd, sqrt(2.5e-6), 1e-12);
    assert_near(c.band, 2.7764451 * sqrt(2.5e-6 * 1.2), 1e-9);
    assert_near(c.bound, 2.1318468 * sqrt(2.5e-6 / 5), 1e-9);
    lt_compare(0.51, close, 5, 0.0, &cfg, &c);
    assert_true(c.verdict == LT_VERDICT_DIFFERENT && c.p < 0.01);
    lt_compare(0.5, far, 2, 0.0, &cfg, &c); // t(1) is 12.7: nothing can be said
    assert_int_equal(c.verdict, LT_VERDICT_TOO_FEW);
    lt_compare(0.9995, same, 3, 0.0, &cfg, &c); // oracles of one value: the difference is negligible ...
    assert_true(c.verdict == LT_VERDICT_SAME && c.p == 1.0);
    lt_compare(0.99, same, 3, 0.01, &cfg, &c); // ... or one sample of a hundred
    assert_int_equal(c.verdict, LT_VERDICT_SAME);
    lt_compare(0.99, same, 3, 0.0001, &cfg, &c);
    assert_int_equal(c.verdict, LT_VERDICT_DIFFERENT);
    lt_compare(NAN, close, 5, 0.0, &cfg, &c);
    assert_true(c.verdict == LT_VERDICT_TOO_FEW && isnan(c.p));
}

static void an_original_that_passes_for_retrained_proves_nothing(void **state)
{
    (void)state;
    static const lt_verdict all[] = {LT_VERDICT_TOO_FEW, LT_VERDICT_SAME, LT_VERDICT_DIFFERENT, LT_VERDICT_CANNOT_TELL};
    lt_verdict found;
    for (int v = 0; v < LT_N_VERDICTS; v++)
        for (int o = 0; o < LT_N_VERDICTS; o++) {
            const bool is_blind = all[o] == LT_VERDICT_SAME || all[o] == LT_VERDICT_CANNOT_TELL;
            const lt_verdict held = lt_verdict_given_original(all[v], all[o]);
            assert_int_equal(held, all[v] == LT_VERDICT_SAME && is_blind ? LT_VERDICT_CANNOT_TELL : all[v]);
            assert_int_equal(lt_verdict_given_original(held, all[o]), held); // twice is once
        }
    for (int v = 0; v < LT_N_VERDICTS; v++) {
        assert_true(lt_verdict_find(lt_verdict_text(all[v]), &found));
        assert_int_equal(found, all[v]);
    }
    assert_string_equal(lt_verdict_text(LT_VERDICT_CANNOT_TELL), "this study cannot tell");
    assert_false(lt_verdict_find("", &found));
    assert_false(lt_verdict_find("same", &found));
}

static void a_pool_of_one_set_is_that_set(void **state)
{
    (void)state;
    const lt_verdict_cfg cfg = verdict_cfg();
    const double oracle[4] = {0.51, 0.47, 0.5, 0.53};
    lt_equivalence one, pooled;
    lt_compare(0.62, oracle, 4, 0.001, &cfg, &one);
    const lt_pooled same = {one.difference, one.sd, 3, 1, 0.25, 0.001};
    lt_compare_pooled(&same, &cfg, &pooled);
    assert_near(pooled.band, one.band, 1e-15);
    assert_near(pooled.bound, one.bound, 1e-15);
    assert_near(pooled.p, one.p, 1e-12);
    assert_true(pooled.verdict == one.verdict && pooled.margin == one.margin);
    lt_compare_pooled(&(lt_pooled){0.1, 0, 0, 1, 1, 0}, &cfg, &pooled);
    assert_true(pooled.verdict == LT_VERDICT_TOO_FEW && isnan(pooled.band));
}

// C cells with K runs and R oracles each, all of them retrained models of cells that differ: the pooled test calls them
// distinguishable at its level, and its power is more than nothing.
static void pooled_error_rates_are_nominal(void **state)
{
    (void)state;
    enum { WORLDS = 4000, C = 4, K = 2, R = 3 };
    lt_verdict_cfg cfg = verdict_cfg();
    cfg.verdict_min_effect = 0;
    int n_different[2] = {0};
    for (int shift = 0; shift < 2; shift++)
        for (int i = 0; i < WORLDS; i++) {
            lt_rng rng = lt_rng_at(31, LT_STREAM_TEST, (uint32_t)shift, (uint64_t)i);
            double difference = 0, squares = 0;
            for (int c = 0; c < C; c++) {
                double cell = 5 * lt_rng_normal(&rng), v[R], mean = 0;
                for (int r = 0; r < R; r++)
                    mean += (v[r] = cell + lt_rng_normal(&rng)) / R;
                for (int r = 0; r < R; r++)
                    squares += (v[r] - mean) * (v[r] - mean);
                for (int k = 0; k < K; k++)
                    difference += (cell + 1.5 * shift + lt_rng_normal(&rng) - mean) / (K * C);
            }
            const lt_pooled p = {difference, sqrt(squares / (C * (R - 1))), C * (R - 1), 1.0 / (K * C), 1.0 / (R * C),
                                 0};
            lt_equivalence out;
            lt_compare_pooled(&p, &cfg, &out);
            n_different[shift] += out.verdict == LT_VERDICT_DIFFERENT;
        }
    assert_true(fabs((double)n_different[0] / WORLDS - cfg.verdict_level) < 0.015); // 4 sd
    assert_true(n_different[1] > 0.7 * WORLDS);
}

static void means_of_runs_have_intervals(void **state)
{
    (void)state;
    enum { WORLDS = 400, N = 40, PER = 4 };
    const double v[4] = {1, 2, 3, 4};
    const int pairs[4] = {0, 0, 3, 3};
    lt_interval all, clustered, again, none;
    assert_ok(lt_bootstrap_mean(v, NULL, 4, 4000, 0.05, 1, &all));
    assert_ok(lt_bootstrap_mean(v, pairs, 4, 4000, 0.05, 1, &clustered));
    assert_ok(lt_bootstrap_mean(v, pairs, 4, 4000, 0.05, 1, &again));
    assert_true(all.low > 1 && all.low < 2 && all.high > 3 && all.high < 4);
    assert_true(clustered.low == 1.5 && clustered.high == 3.5); // a pair is drawn twice with probability 1/4
    assert_true(again.low == clustered.low && again.high == clustered.high);
    assert_ok(lt_bootstrap_mean(v, (const int[4]){2, 2, 2, 2}, 4, 100, 0.05, 1, &none));
    assert_true(isnan(none.low) && isnan(none.high));
    assert_ok(lt_bootstrap_mean(v, NULL, 1, 100, 0.05, 1, &none));
    assert_true(isnan(none.low));
    int covered[2] = {0}; // clusters of four with common errors, drawn together and drawn apart
    for (int i = 0; i < WORLDS; i++) {
        double x[N];
        int cluster[N];
        lt_rng rng = lt_rng_at(32, LT_STREAM_TEST, 0, (uint64_t)i);
        for (int k = 0; k < N; k++) {
            cluster[k] = k / PER;
            x[k] = k % PER ? x[k - 1] : lt_rng_normal(&rng);
        }
        for (int together = 0; together < 2; together++) {
            assert_ok(lt_bootstrap_mean(x, together ? cluster : NULL, N, 400, 0.05, (uint64_t)i, &all));
            covered[together] += all.low <= 0 && all.high >= 0;
        }
    }
    assert_true(covered[1] > 0.85 * WORLDS && covered[0] < 0.75 * WORLDS);
}

static void all_metrics_make_one_verdict(void **state)
{
    (void)state;
    const lt_verdict_cfg cfg = verdict_cfg();
    lt_equivalence c[4];
    for (int i = 0; i < 4; i++)
        c[i] = (lt_equivalence){.p = 0.5, .bound = 0.01, .margin = 0.02};
    assert_int_equal(lt_compare_all(c, 4, &cfg), LT_VERDICT_SAME);
    c[2].p = 0.02; // of four metrics one is below 0.05 often enough
    assert_int_equal(lt_compare_all(c, 4, &cfg), LT_VERDICT_SAME);
    c[1].bound = 0.03;
    assert_int_equal(lt_compare_all(c, 4, &cfg), LT_VERDICT_TOO_FEW);
    c[2].p = 0.0125;
    assert_int_equal(lt_compare_all(c, 4, &cfg), LT_VERDICT_DIFFERENT);
    c[0].p = c[0].bound = c[2].p = NAN; // not measured
    assert_int_equal(lt_compare_all(c, 4, &cfg), LT_VERDICT_TOO_FEW);
    assert_int_equal(lt_compare_all(c, 0, &cfg), LT_VERDICT_TOO_FEW);
}

// A further retrained model is called distinguishable with probability `level`, whatever the number of oracles. A fixed
// model at the margin is called indistinguishable with at most that probability where the margin is the given one.
static void error_rates_are_nominal(void **state)
{
    (void)state;
    enum { DRAWS = 8000 };
    const lt_verdict_cfg cfg = verdict_cfg();
    for (int n = 2; n <= 8; n += n < 5 ? 1 : 3) {
        int different = 0, too_few = 0, missed = 0;
        for (uint64_t t = 0; t < DRAWS; t++) {
            lt_rng rng = lt_rng_at(31, LT_STREAM_TEST, (uint32_t)n, t);
            double oracle[8];
            lt_equivalence c;
            for (int i = 0; i < n; i++)
                oracle[i] = 0.5 + 0.01 * lt_rng_normal(&rng);
            lt_compare(0.5 + 0.01 * lt_rng_normal(&rng), oracle, n, 0.0, &cfg, &c);
            different += c.verdict == LT_VERDICT_DIFFERENT;
            too_few += c.verdict == LT_VERDICT_TOO_FEW;
            for (int i = 0; i < n; i++)
                oracle[i] = 0.5 + (oracle[i] - 0.5) * 0.2; // deviation 0.002, margin 0.02
            lt_compare(0.52, oracle, n, 0.0, &cfg, &c);
            missed += c.verdict == LT_VERDICT_SAME;
        }
        assert_near((double)different / DRAWS, 0.05, 0.0085); // 3.5 deviations of the count
        assert_true((double)missed / DRAWS <= 0.05);
        if (n >= 5) // from five oracles on the question is always answered
            assert_int_equal(too_few, 0);
    }
}

// ---- on signals: retrained against retrained, and the original against retrained

enum { N_METRICS = 4, N_ORACLES = 5 };
static void metrics_of(const world *w, uint32_t model, bool leaky, double out[N_METRICS])
{
    lt_signals s = world_model(w, model, leaky);
    lt_auc_triple phi;
    assert_ok(lt_audit_auc(&s, LT_FEAT_PHI, &phi));
    out[0] = phi.ft, out[1] = phi.rt;
    out[2] = lt_signals_acc(&s, LT_GROUP_FORGET), out[3] = lt_signals_acc(&s, LT_GROUP_TEST);
    free(s.logits);
}

static void count_verdicts(const world *w, bool leaky, int n_draws, int count[N_METRICS][3], int all[3])
{
    const lt_verdict_cfg cfg = verdict_cfg();
    for (int t = 0; t < n_draws; t++) {
        double value[N_METRICS], oracle[N_ORACLES][N_METRICS], column[N_ORACLES];
        lt_equivalence c[N_METRICS];
        uint32_t first = 100000 + (uint32_t)t * (N_ORACLES + 1);
        metrics_of(w, first, leaky, value);
        for (uint32_t i = 0; i < N_ORACLES; i++)
            metrics_of(w, first + 1 + i, false, oracle[i]);
        for (int j = 0; j < N_METRICS; j++) {
            for (int i = 0; i < N_ORACLES; i++)
                column[i] = oracle[i][j];
            lt_compare(value[j], column, N_ORACLES, 1.0 / 150, &cfg, &c[j]);
            count[j][c[j].verdict]++;
        }
        all[lt_compare_all(c, N_METRICS, &cfg)]++;
    }
}

static void retrained_models_are_indistinguishable_at_the_nominal_rate(void **state)
{
    (void)state;
    enum { DRAWS = 400 };
    world w;
    int count[N_METRICS][3] = {{0}}, all[3] = {0};
    world_init(&w, 300, 150, 150, 1.5, 1.0);
    count_verdicts(&w, false, DRAWS, count, all);
    for (int j = 0; j < N_METRICS; j++) { // 20 expected, deviation 4.4
        assert_true(count[j][LT_VERDICT_DIFFERENT] <= 34);
        assert_int_equal(count[j][LT_VERDICT_TOO_FEW], 0);
    }
    for (int j = 0; j < 2; j++) // AUCs are all but continuous: not only at most
        assert_true(count[j][LT_VERDICT_DIFFERENT] >= 7);
    // A metric between the single and the corrected level is no proof of anything about all of them: too few seeds.
    assert_true(all[LT_VERDICT_DIFFERENT] <= 34 && all[LT_VERDICT_SAME] >= DRAWS * 7 / 10);
    world_clear(&w);
}

static void a_leaky_model_is_distinguishable(void **state)
{
    (void)state;
    enum { DRAWS = 50 };
    world w;
    int count[N_METRICS][3] = {{0}}, all[3] = {0};
    world_init(&w, 300, 150, 150, 1.5, 1.0);
    count_verdicts(&w, true, DRAWS, count, all);
    assert_int_equal(count[0][LT_VERDICT_DIFFERENT], DRAWS); // forget against test
    assert_int_equal(all[LT_VERDICT_DIFFERENT], DRAWS);
    world_clear(&w);
}

// ---- the same with real models (golden/make_retrained.py)

typedef struct stored { // metrics of every model
    int n_models, n_retrained;
    double metric[64][N_METRICS];
} stored;

static void stored_open(stored *r)
{
    lt_tensor_file *file;
    assert_ok(lt_tensor_file_open(LT_TEST_SOURCE_DIR "/tests/methods/golden/retrained.npz", &file));
    const lt_tensor *logits = lt_tensor_file_find(file, "logits"), *original = lt_tensor_file_find(file, "original");
    const lt_tensor *labels = lt_tensor_file_find(file, "labels"), *group = lt_tensor_file_find(file, "group");
    assert_true(logits && original && labels && group && logits->dim[0] <= 64);
    *r = (stored){.n_models = (int)logits->dim[0]};
    const int64_t n = logits->dim[1], k = logits->dim[2];
    int64_t *id = calloc((size_t)n, sizeof *id);
    for (int i = 0; i < r->n_models; i++) {
        union {
            const void *in;
            void *out;
        } z = {(const float *)logits->data + i * n * k}, y = {labels->data}, g = {group->data};
        const lt_signals s = {.n = n, .k = (int)k, .logits = z.out, .label = y.out, .id = id, .group = g.out};
        lt_auc_triple phi;
        assert_ok(lt_audit_auc(&s, LT_FEAT_PHI, &phi));
        r->n_retrained += !((const uint8_t *)original->data)[i];
        assert_true(i < r->n_retrained || ((const uint8_t *)original->data)[i]); // retrained ones come first
        r->metric[i][0] = phi.ft, r->metric[i][1] = phi.rt;
        r->metric[i][2] = lt_signals_acc(&s, LT_GROUP_FORGET), r->metric[i][3] = lt_signals_acc(&s, LT_GROUP_TEST);
    }
    free(id);
    lt_tensor_file_close(file);
}

// Draws oracles among the retrained models other than `audited` and counts the verdicts.
static void stored_verdicts(const stored *r, int audited, int n_draws, int different[N_METRICS], int all[3])
{
    const lt_verdict_cfg cfg = verdict_cfg();
    for (int t = 0; t < n_draws; t++) {
        int64_t order[64];
        int n_taken = 0;
        double column[N_METRICS][N_ORACLES];
        lt_equivalence c[N_METRICS];
        lt_rng_permutation((uint64_t)t, LT_STREAM_TEST, (uint32_t)audited, r->n_retrained, order);
        for (int i = 0; n_taken < N_ORACLES; i++)
            if (order[i] != audited) {
                for (int j = 0; j < N_METRICS; j++)
                    column[j][n_taken] = r->metric[order[i]][j];
                n_taken++;
            }
        for (int j = 0; j < N_METRICS; j++) {
            lt_compare(r->metric[audited][j], column[j], N_ORACLES, 1.0 / 60, &cfg, &c[j]);
            different[j] += c[j].verdict == LT_VERDICT_DIFFERENT;
        }
        all[lt_compare_all(c, N_METRICS, &cfg)]++;
    }
}

static void real_retrained_models_are_indistinguishable_and_originals_are_not(void **state)
{
    (void)state;
    enum { DRAWS = 200 };
    stored r;
    int different[N_METRICS] = {0}, all[3] = {0}, n = 0;
    stored_open(&r);
    assert_true(r.n_retrained >= 20 && r.n_models > r.n_retrained);
    for (int i = 0; i < r.n_retrained; i++, n += DRAWS)
        stored_verdicts(&r, i, DRAWS, different, all);
    for (int j = 0; j < N_METRICS; j++) // 0.05 expected; of some twenty models, one more or less is another 0.04
        assert_true((double)different[j] / n < 0.10 && (j == 1 || (double)different[j] / n > 0.01));
    assert_true((double)different[1] / n < 0.01); // retain against test: all but 1, its spread below a step
    assert_true((double)all[LT_VERDICT_DIFFERENT] / n < 0.10 && (double)all[LT_VERDICT_SAME] / n > 0.7);
    for (int i = r.n_retrained; i < r.n_models; i++) {
        int found[N_METRICS] = {0}, verdict[3] = {0};
        stored_verdicts(&r, i, DRAWS, found, verdict);
        assert_int_equal(verdict[LT_VERDICT_DIFFERENT], DRAWS);
        assert_true(found[0] == DRAWS && found[2] == DRAWS); // forget against test, and accuracy on the forget set
    }
}

// ---- bootstrap

static void intervals_hold_the_figures(void **state)
{
    (void)state;
    world w;
    world_init(&w, 200, 100, 120, 1.5, 1.0);
    lt_signals s = world_model(&w, 1, true);
    double *loss = malloc((size_t)w.n * sizeof *loss), *flat = calloc((size_t)w.n, sizeof *flat),
           *part = malloc((size_t)w.n * sizeof *part);
    assert_ok(lt_mia_run(&lti_mia_loss, &(lt_mia_in){.target = &s}, NULL, loss));
    for (int64_t i = 0; i < w.n; i++)
        part[i] = w.group[i] == LT_GROUP_RETAIN && i % 2 ? (double)NAN : loss[i];
    const double *const score[3] = {loss, flat, part};
    lt_verdict_cfg cfg = verdict_cfg();
    lt_interval acc[3], again[3];
    lt_auc_intervals auc[3], auc2[3];
    assert_ok(lt_audit_bootstrap(&s, 3, score, &cfg, 4, acc, auc));
    assert_ok(lt_audit_bootstrap(&s, 3, score, &cfg, 4, again, auc2));
    assert_memory_equal(acc, again, sizeof acc);
    double ft = lt_auc(loss + 200, 100, loss + 300, 120), rt = lt_auc(loss, 200, loss + 300, 120);
    assert_true(auc[0].ft.low < ft && ft < auc[0].ft.high && auc[0].rt.low < rt && rt < auc[0].rt.high);
    // deviation of an AUC of 100 against 120 continuous scores near 0.8: about 0.03
    assert_true(auc[0].ft.high - auc[0].ft.low > 0.06 && auc[0].ft.high - auc[0].ft.low < 0.16);
    for (int g = 0; g < 3; g++) {
        double a = lt_signals_acc(&s, g), sd = sqrt(a * (1 - a) / (double)w.n_group[g]);
        assert_true(acc[g].low <= a && a <= acc[g].high);
        assert_near(acc[g].high - acc[g].low, 2 * 1.96 * sd, 1.0 * sd);
    }
    assert_true(auc[1].ft.low == 0.5 && auc[1].ft.high == 0.5 && auc[1].rt.low == 0.5);
    assert_memory_equal(&auc[2].ft, &auc[0].ft, sizeof auc[2].ft); // missing retained scores change nothing else
    assert_true(isnan(auc[2].rt.low) && isnan(auc[2].fr.high));
    cfg.bootstrap = 0;
    assert_ok(lt_audit_bootstrap(&s, 1, score, &cfg, 4, acc, auc));
    assert_true(isnan(acc[0].low) && isnan(auc[0].ft.low));
    free(loss);
    free(flat);
    free(part);
    free(s.logits);
    world_clear(&w);
}

// Scores N(1,1) against N(0,1): the true AUC is Phi(1/sqrt 2).
static void intervals_cover_the_true_auc(void **state)
{
    (void)state;
    enum { TRIES = 300, N = 180 };
    lt_verdict_cfg cfg = verdict_cfg();
    cfg.bootstrap = 200;
    static float z[N * 2];
    static int64_t label[N], id[N];
    static int8_t group[N];
    double score[N], truth = 0.5 * erfc(-0.5);
    int hit = 0;
    for (uint32_t t = 0; t < TRIES; t++) {
        lt_rng rng = lt_rng_at(41, LT_STREAM_TEST, t, 0);
        lt_interval acc[3];
        lt_auc_intervals auc;
        for (int i = 0; i < N; i++) {
            group[i] = (int8_t)(i % 3);
            score[i] = lt_rng_normal(&rng) + (group[i] == LT_GROUP_FORGET);
        }
        const lt_signals s = {.n = N, .k = 2, .logits = z, .label = label, .id = id, .group = group};
        assert_ok(lt_audit_bootstrap(&s, 1, (const double *const[]){score}, &cfg, t, acc, &auc));
        hit += auc.ft.low <= truth && truth <= auc.ft.high;
    }
    assert_true(hit >= 270 && hit <= 298); // 285 expected; percentile intervals of 60 samples run a little short
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    world w;
    world_init(&w, 20, 10, 10, 1.0, 0.5);
    lt_signals s = world_model(&w, 1, true);
    const double score[40] = {1, 2, 3};
    lt_verdict_cfg cfg = verdict_cfg();
    cfg.bootstrap = 5;
    lt_status status = LT_E_NOMEM;
    for (int n = 1; status != LT_OK; n++) {
        lt_interval acc[3];
        lt_auc_intervals auc[2];
        lti_alloc_fail_at(n);
        status = lt_audit_bootstrap(&s, 2, (const double *const[]){score, score}, &cfg, 1, acc, auc);
        lti_alloc_fail_at(0);
        assert_true(status == LT_OK || status == LT_E_NOMEM);
        assert_true(n < 100);
    }
    free(s.logits);
    world_clear(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tails_have_their_values),
        cmocka_unit_test(verdicts_follow_their_rules),
        cmocka_unit_test(an_original_that_passes_for_retrained_proves_nothing),
        cmocka_unit_test(a_pool_of_one_set_is_that_set),
        cmocka_unit_test(pooled_error_rates_are_nominal),
        cmocka_unit_test(means_of_runs_have_intervals),
        cmocka_unit_test(all_metrics_make_one_verdict),
        cmocka_unit_test(error_rates_are_nominal),
        cmocka_unit_test(retrained_models_are_indistinguishable_at_the_nominal_rate),
        cmocka_unit_test(a_leaky_model_is_distinguishable),
        cmocka_unit_test(real_retrained_models_are_indistinguishable_and_originals_are_not),
        cmocka_unit_test(intervals_hold_the_figures),
        cmocka_unit_test(intervals_cover_the_true_auc),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
