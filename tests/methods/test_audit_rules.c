// test_audit_rules.c - rules of attacks, verdicts and intervals that larger tests pass over, one by one: ties,
// boundaries, weights, draws.
#include "mia_test.h"
#include <string.h>

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

// ---- RMIA and LiRA

// Without `balanced` pbar is the mean over all models, however many of them were trained on the sample.
static void rmia_weighs_every_model_alike(void **state)
{
    (void)state;
    enum { N = 90, M = 7 };
    world w;
    world_init(&w, 40, 20, 30, 1.0, 0.7);
    lt_signals target = world_model(&w, 1, true);
    lt_references refs = world_references(&w, M); // 3 or 4 of 7
    lti_rmia_cfg *cfg = default_cfg(&lti_mia_rmia);
    double ratio[N], want[N], got[N];
    uint8_t everyone[N];
    cfg->signal = LTI_RMIA_SOFTMAX;
    cfg->gamma = 1.1;
    memset(everyone, 1, sizeof everyone);
    for (int64_t i = 0; i < N; i++) {
        double sum = 0;
        for (int64_t r = 0; r < M; r++)
            sum += lti_rmia_signal(refs.logits + (r * N + i) * WORLD_K, WORLD_K, w.label[i], cfg);
        ratio[i] = lti_rmia_signal(target.logits + i * WORLD_K, WORLD_K, w.label[i], cfg) / (sum / M);
    }
    assert_ok(lti_rmia_count(ratio, everyone, N, cfg->gamma, 1, want));
    assert_ok(lt_mia_run(&lti_mia_rmia, &(lt_mia_in){.target = &target, .refs = &refs}, cfg, got));
    for (int i = 0; i < N; i++)
        assert_near(got[i], want[i], 1e-12);
    free(cfg);
    free(target.logits);
    world_references_clear(&refs);
    world_clear(&w);
}

static void the_first_of_equal_values_of_a_is_chosen(void **state)
{
    (void)state;
    world w;
    world_init(&w, 40, 20, 30, 1.0, 0.7);
    lt_signals target = world_model(&w, 1, true);
    lt_references refs = world_references(&w, 5);
    lti_rmia_cfg *cfg = default_cfg(&lti_mia_rmia_offline);
    lt_mia_tuning choice;
    cfg->signal = LTI_RMIA_SOFTMAX;
    cfg->gamma = 1e6; // no pair counts: every value of a is as good as any
    cfg->tune_a = true;
    assert_ok(lt_mia_tune(&lti_mia_rmia_offline, &(lt_mia_in){.target = &target, .refs = &refs}, cfg, &choice));
    assert_true(choice.auc[0] == 0.5 && choice.auc[10] == 0.5 && choice.value == 0.0);
    free(cfg);
    free(target.logits);
    world_references_clear(&refs);
    world_clear(&w);
}

static void lira_scores(const lt_signals *target, const lt_references *refs, int variance, double *score)
{
    const lti_lira_cfg cfg = {variance};
    assert_ok(lt_mia_run(&lti_mia_lira, &(lt_mia_in){.target = target, .refs = refs}, &cfg, score));
}

// Spreads of their own from 32 models of both kinds on; with enough of one kind only, none has one.
static void lira_needs_32_models_of_both_kinds(void **state)
{
    (void)state;
    enum { N = 30 };
    world w;
    world_init(&w, 10, 10, 10, 1.0, 0.7);
    lt_signals target = world_model(&w, 1, true);
    lt_references refs = world_references(&w, 64);
    uint8_t *member = (uint8_t *)(uintptr_t)refs.member;
    double by_rule[N], fixed[N], own[N];
    lira_scores(&target, &refs, LTI_LIRA_AUTO, by_rule);
    lira_scores(&target, &refs, LTI_LIRA_FIXED, fixed);
    lira_scores(&target, &refs, LTI_LIRA_PER_EXAMPLE, own);
    assert_memory_equal(by_rule, own, sizeof own);
    assert_memory_not_equal(fixed, own, sizeof own);
    for (int64_t r = 0; r < 4; r++) // 34 OUT and 30 IN for every second sample
        for (int64_t i = 0; i < N; i++)
            member[r * N + i] = LT_MEMBER_OUT;
    lira_scores(&target, &refs, LTI_LIRA_AUTO, by_rule);
    lira_scores(&target, &refs, LTI_LIRA_FIXED, fixed);
    assert_memory_equal(by_rule, fixed, sizeof fixed);
    free(target.logits);
    world_references_clear(&refs);
    world_clear(&w);
}

// ---- figures of an attack

// Groups of unequal size, a score on the threshold, and rates in both directions.
static void figures_of_an_attack_have_their_definitions(void **state)
{
    (void)state;
    float z[2 * 9] = {0};
    int64_t label[9] = {0}, id[9] = {0};
    int8_t group[9] = {0, 0, 0, 1, 1, 2, 2, 2, 2};
    const double score[9] = {5, 4, -5, 0, -1, 1, -1, -2, -3};
    const lt_signals s = {.n = 9, .k = 2, .logits = z, .label = label, .id = id, .group = group};
    lt_mia_metrics f;
    assert_int_equal(lti_mia_lira.threshold, 0);
    assert_ok(lt_mia_measure(&s, &lti_mia_lira, score, &f));
    assert_near(f.ft_acc, 0.5 * (1 / 2.0 + 3 / 4.0), 1e-15); // what reaches the threshold is a member
    assert_near(f.tpr_1.fr, 2 / 3.0, 1e-15);                 // retained are the positives
    assert_near(f.tpr_1.rt, 2 / 3.0, 1e-15);
    assert_near(f.tpr_1.ft, 0, 0);
}

// Larger groups are drawn down to the smallest with the seeds 0, 1 and 2; the AUC is the mean of the three.
static void an_auc_is_the_mean_of_three_draws(void **state)
{
    (void)state;
    enum { N_TEST = 40, N_FORGET = 15, N_RETAIN = 60 };
    static const int64_t n_group[3] = {N_RETAIN, N_FORGET, N_TEST};
    double value[3][N_RETAIN], drawn[3][N_FORGET], ft = 0, fr = 0, rt = 0;
    const double *const score[3] = {value[0], value[1], value[2]};
    lt_auc_triple got;
    for (uint32_t g = 0; g < 3; g++)
        for (int64_t i = 0; i < n_group[g]; i++) {
            lt_rng rng = lt_rng_at(5, LT_STREAM_TEST, g, (uint64_t)i);
            value[g][i] = lt_rng_normal(&rng) + (g == 0);
        }
    for (uint64_t seed = 0; seed < 3; seed++) {
        for (uint32_t g = 0; g < 3; g++) {
            int64_t perm[N_RETAIN];
            lt_rng_permutation(seed, LT_STREAM_AUDIT, LTI_DRAW_AUC + g, n_group[g], perm);
            for (int i = 0; i < N_FORGET; i++)
                drawn[g][i] = value[g][perm[i]];
        }
        ft += lt_auc(drawn[1], N_FORGET, drawn[2], N_FORGET) / 3;
        fr += lt_auc(drawn[0], N_FORGET, drawn[1], N_FORGET) / 3;
        rt += lt_auc(drawn[0], N_FORGET, drawn[2], N_FORGET) / 3;
    }
    assert_ok(lti_auc_triple(score, n_group, &got));
    assert_near(got.ft, ft, 1e-12);
    assert_near(got.fr, fr, 1e-12);
    assert_near(got.rt, rt, 1e-12);
}

static void distances_of_a_gap_do_not_cancel(void **state)
{
    (void)state;
    const lt_audit a = {.ua = 0.9, .ra = 0.8, .ta = 0.7}, r = {.ua = 0.8, .ra = 0.9, .ta = 0.7};
    assert_near(lt_avg_gap(&a, &r, 1, LT_GAP_MIS), 0.05, 1e-12);
}

// Members in a random order, so that the halves of the cross-fitted threshold are random ones; test samples in theirs.
static void shadow_members_are_drawn(void **state)
{
    (void)state;
    world w;
    lti_shadow shadow;
    world_init(&w, 40, 10, 40, 0.0, 1.0);
    lt_signals s = world_model(&w, 1, false);
    assert_ok(lti_shadow_draw(&s, &(lt_audit_cfg){.seed = 1}, &shadow));
    bool sorted[2] = {true, true};
    for (int64_t i = 1; i < shadow.n; i++) {
        sorted[0] = sorted[0] && shadow.member[i] > shadow.member[i - 1];
        sorted[1] = sorted[1] && shadow.non_member[i] > shadow.non_member[i - 1];
    }
    assert_true(shadow.n == 40 && !sorted[0] && sorted[1]);
    lti_shadow_clear(&shadow);
    free(s.logits);
    world_clear(&w);
}

// ---- verdicts

static void a_pool_is_never_finer_than_its_resolution(void **state)
{
    (void)state;
    lt_verdict_cfg cfg;
    lt_equivalence one, pooled;
    const double same[4] = {0.5, 0.5, 0.5, 0.5};
    lt_options_defaults(lt_verdict_options, &cfg);
    lt_compare(0.53, same, 4, 0.02, &cfg, &one);
    lt_compare_pooled(&(lt_pooled){one.difference, 0, 3, 1, 0.25, 0.02}, &cfg, &pooled);
    assert_near(one.band, lti_student_quantile(0.025, 3) * 0.02 * sqrt(1.25), 1e-12);
    assert_near(pooled.band, one.band, 1e-15);
    assert_near(pooled.p, one.p, 1e-12);
}

// ---- bootstrap

// The interval of a mean from draws made here: clusters of unequal size weigh by their runs, and quantiles lie between
// order statistics as NumPy's do.
static void an_interval_is_made_of_its_draws(void **state)
{
    (void)state;
    enum { DRAWS = 6 };
    const double value[5] = {1, 2, 4, 8, 16}, sum[3] = {3, 12, 16}, size[3] = {2, 2, 1};
    const int cluster[5] = {0, 0, 1, 1, 2};
    double mean[DRAWS];
    lt_interval got;
    for (uint64_t i = 0; i < DRAWS; i++) {
        lt_rng rng = lt_rng_at(10, LT_STREAM_AUDIT, LTI_DRAW_BOOTSTRAP_MEAN, i);
        double total = 0, n = 0;
        for (int c = 0; c < 3; c++) {
            const uint64_t k = lt_rng_below(&rng, 3);
            total += sum[k];
            n += size[k];
        }
        mean[i] = total / n;
    }
    qsort(mean, DRAWS, sizeof *mean, ascending);
    assert_ok(lt_bootstrap_mean(value, cluster, 5, DRAWS, 0.3, 10, &got));
    assert_near(got.low, mean[0] + 0.75 * (mean[1] - mean[0]), 1e-12);  // 0.15 of 5 steps
    assert_near(got.high, mean[4] + 0.25 * (mean[5] - mean[4]), 1e-12); // 0.85 of them
    assert_true(mean[0] < mean[1] && mean[4] < mean[5]);
}

// Forgotten and test samples with the very same scores: draws of their own make an AUC that varies.
static void groups_are_drawn_apart(void **state)
{
    (void)state;
    enum { N = 60 };
    world w;
    world_init(&w, N, N, N, 0.0, 1.0);
    lt_signals s = world_model(&w, 1, false);
    double score[3 * N], ft, fr, rt;
    lt_interval acc[3];
    lt_auc_intervals auc[2];
    lt_verdict_cfg cfg;
    lt_options_defaults(lt_verdict_options, &cfg);
    for (int i = 0; i < 3 * N; i++) {
        lt_rng rng = lt_rng_at(6, LT_STREAM_TEST, 0, (uint64_t)(i % N));
        score[i] = lt_rng_normal(&rng);
    }
    double part[3 * N];
    memcpy(part, score, sizeof part);
    part[N] = (double)NAN; // one forgotten sample has no score
    assert_ok(lt_audit_bootstrap(&s, 2, (const double *const[]){score, part}, &cfg, 3, acc, auc));
    assert_true(auc[0].ft.high - auc[0].ft.low > 0.1 && auc[0].rt.high - auc[0].rt.low > 0.1);
    ft = lt_auc(score + N, N, score + 2 * N, N), fr = lt_auc(score, N, score + N, N), rt = ft;
    assert_true(auc[0].ft.low < ft && ft < auc[0].ft.high && auc[0].fr.low < fr && fr < auc[0].fr.high);
    assert_true(auc[0].rt.low < rt && rt < auc[0].rt.high);
    assert_true(isnan(auc[1].ft.low) && isnan(auc[1].fr.low)); // positives that lack one, negatives that lack one
    assert_memory_equal(&auc[1].rt, &auc[0].rt, sizeof auc[1].rt);
    free(s.logits);
    world_clear(&w);
}

// The AUC of retained against forgotten samples is over their pairs, whatever the size of the third group.
static void intervals_of_unequal_groups_hold_their_figures(void **state)
{
    (void)state;
    world w;
    world_init(&w, 90, 30, 200, 1.0, 1.0);
    lt_signals s = world_model(&w, 1, false);
    double *loss = malloc((size_t)w.n * sizeof *loss);
    lt_interval acc[3];
    lt_auc_intervals auc;
    lt_verdict_cfg cfg;
    lt_options_defaults(lt_verdict_options, &cfg);
    assert_ok(lt_mia_run(&lti_mia_loss, &(lt_mia_in){.target = &s}, NULL, loss));
    assert_ok(lt_audit_bootstrap(&s, 1, (const double *const[]){loss}, &cfg, 4, acc, &auc));
    const double fr = lt_auc(loss, 90, loss + 90, 30), rt = lt_auc(loss, 90, loss + 120, 200);
    assert_true(auc.fr.low < fr && fr < auc.fr.high && auc.rt.low < rt && rt < auc.rt.high);
    free(loss);
    free(s.logits);
    world_clear(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rmia_weighs_every_model_alike),
        cmocka_unit_test(the_first_of_equal_values_of_a_is_chosen),
        cmocka_unit_test(lira_needs_32_models_of_both_kinds),
        cmocka_unit_test(figures_of_an_attack_have_their_definitions),
        cmocka_unit_test(an_auc_is_the_mean_of_three_draws),
        cmocka_unit_test(distances_of_a_gap_do_not_cancel),
        cmocka_unit_test(shadow_members_are_drawn),
        cmocka_unit_test(a_pool_is_never_finer_than_its_resolution),
        cmocka_unit_test(an_interval_is_made_of_its_draws),
        cmocka_unit_test(groups_are_drawn_apart),
        cmocka_unit_test(intervals_of_unequal_groups_hold_their_figures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
