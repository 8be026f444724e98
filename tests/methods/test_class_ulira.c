// test_class_ulira.c - U-LiRA of classes, KLoM and BASE on outputs whose state is known.
#include "mia_test.h"
#include "audit/class_ulira.h"
#include "audit/klom.h"

enum { T = 6, N = 300 };

// Each sample has a mean of its own; unlearned models are shifted.
static void draw(double shift, uint32_t step, double *v)
{
    for (int i = 0; i < N; i++) {
        lt_rng own = lt_rng_at(31, LT_STREAM_TEST, 0, (uint64_t)i),
               rng = lt_rng_at(32, LT_STREAM_TEST, step, (uint64_t)i);
        const double mean = 3 * lt_rng_normal(&own);
        for (int m = 0; m < T; m++)
            v[m * N + i] = mean + shift + lt_rng_normal(&rng);
    }
}

static void retrained_on_both_sides_is_half(void **state)
{
    (void)state;
    static double u[T * N], r[T * N];
    lti_ulira_class same, apart;
    double share;
    draw(0, 1, u);
    draw(0, 2, r);
    assert_ok(lti_ulira_leave_pair_out(u, r, T, N, &same));
    assert_true(fabs(same.accuracy - 0.5) < 0.05 && fabs(same.auc - 0.5) < 0.05);
    draw(1.5, 1, u);
    assert_ok(lti_ulira_leave_pair_out(u, r, T, N, &apart));
    assert_true(apart.accuracy > 0.65 && apart.auc > apart.accuracy && apart.mean_u > apart.mean_r);
    static double x[N];
    memcpy(x, u, sizeof x); // a model that looks unlearned, then one that never had the class
    assert_ok(lti_ulira_flagged(u, r, T, N, x, apart.threshold, &share));
    assert_true(share > 0.65);
    memcpy(x, r, sizeof x);
    assert_ok(lti_ulira_flagged(u, r, T, N, x, apart.threshold, &share));
    assert_true(share < 0.35);
}

// Where floored scores are all alike the spread has its least value and ties are half.
static void floored_scores_are_ties(void **state)
{
    (void)state;
    static double u[T * N], r[T * N];
    lti_ulira_class c;
    for (int i = 0; i < T * N; i++)
        u[i] = r[i] = -6.9;
    assert_ok(lti_ulira_leave_pair_out(u, r, T, N, &c));
    assert_true(fabs(c.auc - 0.5) < 1e-12 && fabs(c.accuracy - 0.5) < 1e-12);
}

static void klom_is_a_divergence_of_histograms(void **state)
{
    (void)state;
    const double a[4] = {0, 0, 1, 1}, b[4] = {0, 1, 1, 1}, far[4] = {-500, -500, 500, 500};
    const double expected = 0.5 * log(0.5 / 0.25) + 0.5 * log(0.5 / 0.75);
    assert_true(fabs(lti_klom(a, 4, b, 4) - expected) < 1e-12);
    assert_true(fabs(lti_klom(a, 4, a, 4)) < 1e-12);
    assert_true(lti_klom(far, 4, b, 4) > 1); // kept in +-100
    const double one[1] = {2}, other[1] = {2};
    assert_true(fabs(lti_klom(one, 1, other, 1)) < 1e-12);
}

static void base_is_the_loss_beside_the_references(void **state)
{
    (void)state;
    static const char *const name[] = {"base", "base_offline"};
    const float target[2] = {3, 0}, refs_logits[2 * 2] = {1, 0, -1, 0};
    const int64_t label[1] = {0}, id[1] = {0};
    const int8_t group[1] = {LT_GROUP_FORGET};
    const uint8_t member[2] = {LT_MEMBER_IN, LT_MEMBER_OUT};
    lt_signals s = {.n = 1,
                    .k = 2,
                    .logits = (float *)target,
                    .label = (int64_t *)label,
                    .id = (int64_t *)id,
                    .group = (int8_t *)group};
    const lt_references refs = {.m = 2, .n = 1, .k = 2, .logits = refs_logits, .member = member};
    const double own = -log1p(exp(-1.5)), in = 1 / (1 + exp(-0.5)), out = 1 / (1 + exp(0.5)); // T = 2
    const double expected[2] = {own - log((in + out) / 2), own - 0.33 * log(out)};
    for (int i = 0; i < 2; i++) {
        const lt_mia *mia;
        double score;
        assert_ok(lt_mia_find(name[i], &mia));
        void *cfg = calloc(1, mia->cfg_size);
        lt_options_defaults(mia->opts, cfg);
        assert_ok(lt_mia_run(mia, &(lt_mia_in){.target = &s, .refs = &refs}, cfg, &score));
        assert_true(fabs(score - expected[i]) < 1e-12);
        free(cfg);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(retrained_on_both_sides_is_half),
        cmocka_unit_test(floored_scores_are_ties),
        cmocka_unit_test(klom_is_a_divergence_of_histograms),
        cmocka_unit_test(base_is_the_loss_beside_the_references),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
