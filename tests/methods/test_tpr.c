// test_tpr.c - true positive rates belong to the false positive rate and the pair of groups that they are named after.
#include "lt_test.h"
#include <stdlib.h>
#include "lethe/audit.h"

#define assert_near(a, b) assert_true((a) - (b) < 1e-12 && (b) - (a) < 1e-12)

enum { N = 1000, SMALL = 200 };

// n scores of one group: count[i] of them are value[i].
static void fill_scores(double *score, const double *value, const int *count, int n_values)
{
    int n = 0;
    for (int v = 0; v < n_values; v++)
        for (int k = 0; k < count[v]; k++)
            score[n++] = value[v];
    assert_int_equal(n, N);
}

// Test scores are 0..999: a false positive rate of 1 % is a threshold above 989, of 0.1 % above 998. Five forgotten
// samples at 4000 are 0.5 % of their group.
static void rates_have_their_threshold_and_pair(void **state)
{
    (void)state;
    static const double retain_value[] = {5000, 3000, 2000, 995.5, -1}, forget_value[] = {4000, 2000, 995.5, -1};
    static const int retain_count[] = {20, 50, 130, 500, 300}, forget_count[] = {5, 95, 300, 600};
    static float logits[3 * N * 2];
    static int64_t label[3 * N], id[3 * N];
    static int8_t group[3 * N];
    static double score[3 * N];
    const lt_mia *mia;
    lt_mia_metrics m;
    for (int i = 0; i < 3 * N; i++) {
        id[i] = i;
        group[i] = (int8_t)(i / N);
        score[i] = i % N;
    }
    fill_scores(score + N * LT_GROUP_RETAIN, retain_value, retain_count, 5);
    fill_scores(score + N * LT_GROUP_FORGET, forget_value, forget_count, 4);
    const lt_signals s = {.n = 3 * N, .k = 2, .logits = logits, .label = label, .id = id, .group = group};
    assert_ok(lt_mia_find("loss", &mia));
    assert_ok(lt_mia_measure(&s, mia, score, &m));
    assert_near(m.tpr_1.ft, 0.4);
    assert_near(m.tpr_1.rt, 0.7);
    assert_near(m.tpr_1.fr, 0.07);
    assert_near(m.tpr_01.ft, 0.1);
    assert_near(m.tpr_01.rt, 0.2);
    assert_near(m.tpr_01.fr, 0.02);
}

// The same of phi, which is the logit of the label where the other one is 0. Of 200 test samples 1 % are two, 0.1 %
// none.
static void rates_of_phi_have_their_threshold(void **state)
{
    (void)state;
    static float logits[3 * SMALL * 2];
    static int64_t label[3 * SMALL], id[3 * SMALL];
    static int8_t group[3 * SMALL];
    lt_audit a;
    for (int i = 0; i < 3 * SMALL; i++) {
        const int k = i % SMALL;
        id[i] = i;
        group[i] = (int8_t)(i / SMALL);
        const double forget = k < 10 ? 3.0 : k < 50 ? 1.975 : -1.0;
        logits[2 * i] = (float)(group[i] == LT_GROUP_FORGET ? forget : 0.01 * k);
    }
    const lt_signals s = {.n = 3 * SMALL, .k = 2, .logits = logits, .label = label, .id = id, .group = group};
    assert_ok(lt_audit_run_cfg(&s, &(lt_audit_cfg){.seed = 1, .shadow_cap = 20}, &a));
    assert_near(a.phi_tpr_1, 0.25);
    assert_near(a.phi_tpr_01, 0.05);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rates_have_their_threshold_and_pair),
        cmocka_unit_test(rates_of_phi_have_their_threshold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
