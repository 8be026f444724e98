// test_audit.c - scores with known answers: AUC under ties, features, attacks on synthetic logits, parity with
// scikit-learn.
#include "lt_test.h"
#include <math.h>
#include <stdlib.h>
#include "lethe/tensorfile.h"
#include "audit/audit_impl.h"

#define GOLDEN LT_TEST_SOURCE_DIR "/tests/methods/golden/svc_golden.npz"
#define assert_near(a, b, tol) assert_true(fabs((a) - (b)) <= (tol))

// ---- AUC and TPR

static double auc_by_pairs(const double *pos, int n_pos, const double *neg, int n_neg)
{
    double won = 0.0;
    for (int i = 0; i < n_pos; i++)
        for (int j = 0; j < n_neg; j++)
            won += pos[i] > neg[j] ? 1.0 : pos[i] == neg[j] ? 0.5 : 0.0;
    return won / n_pos / n_neg;
}

static void auc_has_the_textbook_values(void **state)
{
    (void)state;
    const double a[] = {3, 1, 2, 2, 5}, ones[] = {1, 1}, mixed[] = {1, 0}, inf[] = {INFINITY, -INFINITY};
    assert_true(lt_auc(a, 5, a, 5) == 0.5); // identical lists: exactly one half
    assert_true(lt_auc(ones, 2, mixed, 2) == 0.75);
    assert_true(lt_auc(mixed, 2, ones, 2) == 0.25);
    assert_true(lt_auc(inf, 1, a, 5) == 1.0);
    assert_true(lt_auc(inf, 2, inf, 2) == 0.5);
    assert_true(isnan(lt_auc(a, 0, a, 5)));
    assert_true(isnan(lt_auc(a, 5, (const double[]){NAN}, 1)));
}

static void auc_equals_counting_pairs(void **state)
{
    (void)state;
    for (uint32_t t = 0; t < 50; t++) {
        lt_rng rng = lt_rng_at(7, LT_STREAM_TEST, t, 0);
        double pos[37], neg[23];
        int n_pos = 1 + (int)lt_rng_below(&rng, 37), n_neg = 1 + (int)lt_rng_below(&rng, 23);
        for (int i = 0; i < 37; i++)
            pos[i] = (double)lt_rng_below(&rng, 1 + t);
        for (int i = 0; i < 23; i++)
            neg[i] = (double)lt_rng_below(&rng, 1 + t) - 0.1 * t;
        assert_near(lt_auc(pos, n_pos, neg, n_neg), auc_by_pairs(pos, n_pos, neg, n_neg), 1e-12);
        assert_near(lt_auc(pos, n_pos, neg, n_neg) + lt_auc(neg, n_neg, pos, n_pos), 1.0, 1e-12);
    }
}

static void tpr_respects_the_bound_under_ties(void **state)
{
    (void)state;
    const double pos[] = {9, 8, 5, 5, 1}, neg[] = {7, 5, 3, 2};
    assert_true(lt_tpr_at_fpr(pos, 5, neg, 4, 0.0) == 0.4);  // threshold above 7
    assert_true(lt_tpr_at_fpr(pos, 5, neg, 4, 0.25) == 0.4); // 5 would bring two of four negatives
    assert_true(lt_tpr_at_fpr(pos, 5, neg, 4, 0.5) == 0.8);
    assert_true(lt_tpr_at_fpr(pos, 5, neg, 4, 1.0) == 1.0);
    assert_true(lt_tpr_at_fpr(neg, 4, pos, 5, 0.0) == 0.0);
}

// ---- synthetic signals

typedef struct toy {
    lt_signals s;
    float logits[3000 * 4];
    int64_t label[3000], id[3000];
    int8_t group[3000];
} toy;

// n_g samples a group, margin[g] the mean of the true logit over the others, noise its spread.
static void toy_init(toy *t, const int n_g[3], const double margin[3], double noise)
{
    int64_t n = 0;
    for (int g = 0; g < 3; g++) {
        for (int i = 0; i < n_g[g]; i++, n++) {
            lt_rng rng = lt_rng_at(3, LT_STREAM_TEST, (uint32_t)g, (uint64_t)i);
            t->label[n] = (int64_t)lt_rng_below(&rng, 4);
            t->id[n] = n;
            t->group[n] = (int8_t)g;
            for (int j = 0; j < 4; j++)
                t->logits[n * 4 + j] = (float)(0.1 * lt_rng_normal(&rng));
            t->logits[n * 4 + t->label[n]] += (float)(margin[g] + noise * lt_rng_normal(&rng));
        }
    }
    t->s = (lt_signals){.n = n, .k = 4, .logits = t->logits, .label = t->label, .id = t->id, .group = t->group};
}

static void features_have_closed_forms(void **state)
{
    (void)state;
    float z[] = {(float)log(0.5), (float)log(0.25), (float)log(0.125), (float)log(0.125)};
    const double p[] = {0.5, 0.25, 0.125, 0.125};
    double h = 0.0, m = -(1 - p[1]) * log(p[1]);
    for (int j = 0; j < 4; j++) {
        h -= p[j] * log(p[j]);
        m -= j == 1 ? 0.0 : p[j] * log(1 - p[j]);
    }
    assert_near(lti_feature(z, 4, 1, LT_FEAT_CONFIDENCE), 0.25, 1e-7);
    assert_near(lti_feature(z, 4, 1, LT_FEAT_ENTROPY), h, 1e-6);
    assert_near(lti_feature(z, 4, 1, LT_FEAT_MENTROPY), m, 1e-6);
    assert_near(lti_feature(z, 4, 1, LT_FEAT_PHI), log(0.25 / 0.75), 1e-6);
    assert_near(lti_feature(z, 4, 1, LT_FEAT_LOSS), -log(0.25), 1e-6);
    assert_true(lti_feature(z, 4, 0, LT_FEAT_CORRECT) == 1.0 && lti_feature(z, 4, 1, LT_FEAT_CORRECT) == 0.0);
    float hard[] = {300.0f, -300.0f, 0.0f, 0.0f}; // every probability rounds to 0 or 1
    assert_near(lti_feature(hard, 4, 0, LT_FEAT_PHI), 300.0 - log(2.0), 1e-9);
    assert_near(lti_feature(hard, 4, 1, LT_FEAT_LOSS), 600.0, 1e-9);
    assert_near(lti_feature(hard, 4, 0, LT_FEAT_MENTROPY), 0.0, 1e-12);
    assert_near(lti_feature(hard, 4, 1, LT_FEAT_MENTROPY), 2 * -log(1e-30), 1e-6); // both logarithms clamped
}

static void groups_are_compacted(void **state)
{
    (void)state;
    static toy t;
    toy_init(&t, (const int[]){5, 3, 4}, (const double[]){4, 4, 4}, 0.0);
    double all[12], some[4];
    assert_int_equal(lt_signals_feature(&t.s, LT_FEAT_LOSS, -1, all), 12);
    assert_int_equal(lt_signals_feature(&t.s, LT_FEAT_LOSS, LT_GROUP_FORGET, some), 3);
    assert_memory_equal(some, all + 5, 3 * sizeof *some);
    assert_int_equal(lt_signals_feature(&t.s, LT_FEAT_LOSS, LT_GROUP_TEST, NULL), 4);
    assert_true(lt_signals_acc(&t.s, -1) == 1.0);
    t.s.group[11] = 0;
    assert_int_equal(lt_signals_feature(&t.s, LT_FEAT_LOSS, LT_GROUP_RETAIN, NULL), 6);
}

// ---- attacks

static void a_separated_forget_set_is_found(void **state)
{
    (void)state;
    static toy t;
    lt_audit_cfg cfg = {0};
    lt_svc_mia svc;
    lt_threshold_mia thr;
    toy_init(&t, (const int[]){400, 100, 300}, (const double[]){6, 6, 1}, 0.2); // forget looks like retain
    assert_ok(lt_audit_svc_mia(&t.s, &cfg, &svc));
    assert_ok(lt_audit_threshold(&t.s, &cfg, &thr));
    assert_int_equal(svc.n_shadow, 300);
    assert_true(svc.confidence == 0.0 && svc.entropy == 0.0 && svc.m_entropy == 0.0 && svc.prob <= 0.02);
    assert_true(thr.confidence >= 0.98 && thr.entropy >= 0.98 && thr.m_entropy >= 0.98 && thr.correctness == 1.0);
    toy_init(&t, (const int[]){400, 100, 300}, (const double[]){6, 1, 1}, 0.2); // forget looks like test
    assert_ok(lt_audit_svc_mia(&t.s, &cfg, &svc));
    assert_ok(lt_audit_threshold(&t.s, &cfg, &thr));
    assert_true(svc.confidence == 1.0 && svc.entropy == 1.0 && svc.m_entropy == 1.0 && svc.prob == 1.0);
    assert_true(thr.confidence == 0.0 && thr.entropy == 0.0 && thr.m_entropy == 0.0);
}

static void shadow_sets_are_balanced_and_capped(void **state)
{
    (void)state;
    static toy t;
    lti_shadow a, b;
    toy_init(&t, (const int[]){50, 10, 80}, (const double[]){2, 2, 2}, 1.0);
    assert_ok(lti_shadow_draw(&t.s, &(lt_audit_cfg){.seed = 1}, &a));
    assert_int_equal(a.n, 50); // the retain set is the smaller one
    bool seen[140] = {false};
    for (int64_t i = 0; i < a.n; i++) {
        assert_int_equal(t.group[a.member[i]], LT_GROUP_RETAIN);
        assert_int_equal(t.group[a.non_member[i]], LT_GROUP_TEST);
        assert_false(seen[a.member[i]] || seen[a.non_member[i]]); // without replacement
        seen[a.member[i]] = seen[a.non_member[i]] = true;
    }
    assert_ok(lti_shadow_draw(&t.s, &(lt_audit_cfg){.seed = 2}, &b));
    assert_memory_not_equal(a.non_member, b.non_member, 50 * sizeof *a.member);
    lti_shadow_clear(&b);
    assert_ok(lti_shadow_draw(&t.s, &(lt_audit_cfg){.seed = 1, .shadow_cap = 20}, &b));
    assert_int_equal(b.n, 20);
    assert_memory_equal(a.non_member, b.non_member, 20 * sizeof *a.member); // the cap takes a prefix
    lti_shadow_clear(&a);
    lti_shadow_clear(&b);
}

// Two classes, so confidence grows with the margin z_y - z_other alone. As many retain as test samples: all are drawn.
static double threshold_share(const double margin[10], const int64_t label[10])
{
    static const int8_t group[] = {0, 0, 0, 0, 2, 2, 2, 2, 1, 1};
    float z[20] = {0};
    int64_t id[10] = {0};
    lt_threshold_mia thr;
    for (int i = 0; i < 10; i++)
        z[2 * i + label[i]] = (float)margin[i];
    lt_signals s = {.n = 10,
                    .k = 2,
                    .logits = z,
                    .label = (int64_t *)(uintptr_t)label,
                    .id = id,
                    .group = (int8_t *)(uintptr_t)group};
    assert_ok(lt_audit_threshold(&s, &(lt_audit_cfg){0}, &thr));
    return thr.confidence;
}

static void thresholds_are_class_wise_with_a_fallback(void **state)
{
    (void)state;
    // Class 0: members at 1, others at 0; class 1: members at 5, others at 3. A margin of 2 is a member of class 0 and
    // a margin of 4 is not one of class 1, which no common threshold can say.
    const int64_t both[] = {0, 0, 1, 1, 0, 0, 1, 1, 0, 1}, ones[] = {0, 0, 1, 1, 0, 0, 1, 1, 1, 1};
    const int64_t no_others[] = {0, 0, 1, 1, 0, 0, 0, 0, 1, 1};
    assert_true(threshold_share((const double[]){1, 1, 5, 5, 0, 0, 3, 3, 2, 4}, both) == 0.5);
    assert_true(threshold_share((const double[]){1, 1, 5, 5, 0, 0, 3, 3, 2, 4}, ones) == 0.0);
    assert_true(threshold_share((const double[]){1, 1, 5, 5, 0, 0, 3, 3, 5, 6}, ones) ==
                1.0); // the threshold itself counts
    // Thresholds 1 and 3 are equally good: the smaller one.
    assert_true(threshold_share((const double[]){1, 1, 1, 3, 0, 0, 0, 2, 2, 2}, ones) == 1.0);
    // Class 1 has no shadow non-members: the common threshold (4, the smallest member) stands in.
    assert_true(threshold_share((const double[]){4, 4, 5, 5, 0, 0, 3, 3, 3.5, 4.5}, no_others) == 0.5);
}

static void empty_groups_are_refused(void **state)
{
    (void)state;
    static toy t;
    lt_audit out;
    toy_init(&t, (const int[]){5, 0, 4}, (const double[]){4, 4, 4}, 0.0);
    assert_fails(LT_E_FORMAT, "forget (1)", lt_audit_run(&t.s, 0, &out));
    assert_true(isnan(lt_signals_acc(&t.s, LT_GROUP_FORGET)));
}

static void the_gap_is_the_mean_of_four_distances(void **state)
{
    (void)state;
    lt_audit a = {.ua = 0.9, .ra = 1.0, .ta = 0.8},
             r[2] = {{.ua = 0.8, .ra = 0.9, .ta = 0.8}, {.ua = 0.6, .ra = 1.0, .ta = 0.9}};
    a.svc.confidence = 0.10, r[0].svc.confidence = 0.20, r[1].svc.confidence = 0.30;
    a.phi.ft = 0.60, r[0].phi.ft = 0.50, r[1].phi.ft = 0.52;
    assert_near(lt_avg_gap(&a, r, 2, LT_GAP_MIS), (0.2 + 0.05 + 0.05 + 0.15) / 4, 1e-12);
    assert_near(lt_avg_gap(&a, r, 2, LT_GAP_PHI_AUC), (0.2 + 0.05 + 0.05 + 0.09) / 4, 1e-12);
    assert_true(lt_avg_gap(r, r, 1, LT_GAP_MIS) == 0.0);
    assert_true(isnan(lt_avg_gap(&a, r, 0, LT_GAP_MIS)));
}

static void the_whole_audit_is_consistent(void **state)
{
    (void)state;
    static toy t;
    lt_audit a, b;
    toy_init(&t, (const int[]){900, 200, 400}, (const double[]){5, 5, 3}, 1.5);
    assert_ok(lt_audit_run(&t.s, 5, &a));
    assert_ok(lt_audit_run(&t.s, 5, &b));
    assert_memory_equal(&a, &b, sizeof a); // a function of signals and seed
    assert_true(a.n[0] == 900 && a.n[1] == 200 && a.n[2] == 400);
    // phi is N(m, 1.5): AUC = Phi(2 / (1.5 sqrt 2)) = 0.827
    assert_near(a.phi.ft, 0.827, 0.04);
    assert_near(a.phi.rt, 0.827, 0.04);
    assert_near(a.phi.fr, 0.5, 0.05);
    assert_near(a.phi_median[0], 5 - log(3.0), 0.25);
    assert_near(a.phi_median[2], 3 - log(3.0), 0.25);
    assert_true(a.phi_tpr_01 <= a.phi_tpr_1 && a.phi_tpr_1 < 0.5);
    assert_near(a.phi.ft, a.conf.ft, 1e-9); // confidence is a monotone function of phi
}

// One sample of each group after the other is misread, at three different rates.
static void accuracies_are_those_of_their_groups(void **state)
{
    (void)state;
    static const int n_wrong[3] = {4, 6, 10};
    static toy t;
    lt_audit a;
    toy_init(&t, (const int[]){40, 20, 40}, (const double[]){9, 9, 9}, 0.0);
    for (int g = 0, first = 0; g < 3; first += g == 1 ? 20 : 40, g++)
        for (int i = first; i < first + n_wrong[g]; i++)
            t.label[i] = (t.label[i] + 1) % 4;
    assert_ok(lt_audit_run(&t.s, 5, &a));
    assert_near(a.ra, 0.9, 1e-12);
    assert_near(a.ua, 0.7, 1e-12);
    assert_near(a.ta, 0.75, 1e-12);
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    static toy t;
    lt_audit out;
    toy_init(&t, (const int[]){30, 10, 20}, (const double[]){5, 5, 3}, 1.5);
    lt_status status = LT_E_NOMEM;
    int n = 0;
    while (status != LT_OK) {
        lti_alloc_fail_at(++n);
        status = lt_audit_run(&t.s, 5, &out);
        lti_alloc_fail_at(0);
        assert_true(status == LT_OK || status == LT_E_NOMEM);
        assert_true(n < 1000);
    }
    assert_true(n > 20);
}

// ---- parity with scikit-learn (golden/make_svc_golden.py)

static const double *golden_f64(const lt_tensor_file *f, const char *prefix, const char *key)
{
    char name[64];
    snprintf(name, sizeof name, "%s_%s", prefix, key);
    const lt_tensor *t = lt_tensor_file_find(f, name);
    assert_non_null(t);
    assert_int_equal(t->dtype, LT_F64);
    return t->data;
}

static void check_decisions(const lt_tensor_file *f, const char *key, int d)
{
    const double *x = golden_f64(f, "feature", key), *want = golden_f64(f, "decision", key);
    double got[60]; // rows: 150 retain, 60 forget, 150 test
    assert_ok(lti_svc(x + 210 * d, x, 150, x + 150 * d, 60, d, got));
    for (int i = 0; i < 60; i++)
        assert_near(got[i], want[i], 2e-3); // the solvers stop at 1e-3
}

static void svc_equals_scikit_learn(void **state)
{
    (void)state;
    static const char *const key[] = {"correctness", "confidence", "entropy", "m_entropy"};
    lt_tensor_file *f;
    lt_signals *s;
    assert_ok(lt_tensor_file_open(GOLDEN, &f));
    assert_ok(lt_signals_open(GOLDEN, &s));
    assert_int_equal(s->n, 360);
    double got[360], p[5];
    for (int j = 0; j < 4; j++) {
        const double *want = golden_f64(f, "feature", key[j]);
        lt_signals_feature(s, (lt_feature)j, -1, got);
        for (int i = 0; i < 360; i++)
            assert_near(got[i], want[i], 1e-9 * (1 + fabs(want[i])));
        check_decisions(f, key[j], 1);
    }
    const double *prob = golden_f64(f, "feature", "prob");
    for (int i = 0; i < 360; i++) {
        lti_probabilities(s->logits + i * 5, 5, p);
        for (int j = 0; j < 5; j++)
            assert_near(p[j], prob[i * 5 + j], 1e-12);
    }
    check_decisions(f, "prob", 5);
    const lt_tensor *share = lt_tensor_file_find(f, "non_member_share");
    const double *want = share->data;
    lt_svc_mia mia; // its own order of the same shadow samples
    assert_ok(lt_audit_svc_mia(s, &(lt_audit_cfg){.seed = 9}, &mia));
    assert_int_equal(mia.n_shadow, 150);
    assert_true(mia.correctness == want[0] && mia.confidence == want[1] && mia.entropy == want[2]);
    assert_true(mia.m_entropy == want[3] && mia.prob == want[4]);
    lt_signals_destroy(s);
    lt_tensor_file_close(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(auc_has_the_textbook_values),
        cmocka_unit_test(auc_equals_counting_pairs),
        cmocka_unit_test(tpr_respects_the_bound_under_ties),
        cmocka_unit_test(features_have_closed_forms),
        cmocka_unit_test(groups_are_compacted),
        cmocka_unit_test(a_separated_forget_set_is_found),
        cmocka_unit_test(shadow_sets_are_balanced_and_capped),
        cmocka_unit_test(thresholds_are_class_wise_with_a_fallback),
        cmocka_unit_test(empty_groups_are_refused),
        cmocka_unit_test(the_gap_is_the_mean_of_four_distances),
        cmocka_unit_test(accuracies_are_those_of_their_groups),
        cmocka_unit_test(the_whole_audit_is_consistent),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(svc_equals_scikit_learn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
