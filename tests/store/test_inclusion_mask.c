// test_inclusion_mask.c - the inclusion mask: every sample is IN for exactly half of the models, drawn fairly and
// reproducibly.
#include "lt_test.h"

#include <math.h>
#include <stdlib.h>

#include "lethe/store.h"

static uint8_t *keep(int count, int64_t n, uint64_t seed)
{
    uint8_t *m = malloc((size_t)count * (size_t)n);
    assert_ok(lt_inclusion_mask(count, n, seed, m));
    return m;
}

static void columns_sum_to_half(void **state) // [AMUN 12.1]
{
    (void)state;
    static const int counts[] = {2, 4, 6, 10, 64, 128};
    for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
        for (int64_t n = 1; n <= 3001; n += 1500) {
            const int count = counts[c];
            uint8_t *m = keep(count, n, 7 + c);
            for (int64_t j = 0; j < n; j++) {
                int sum = 0;
                for (int r = 0; r < count; r++) {
                    assert_true(m[r * n + j] <= 1);
                    sum += m[r * n + j];
                }
                assert_int_equal(sum, count / 2);
            }
            free(m);
        }
    }
}

// Rows hold about half of the samples, and two models share the samples of a draw without replacement: a given pair is
// IN together with probability (M/2)(M/2 - 1) / (M (M - 1)). Six standard deviations, fixed seed.
static void drawn_fairly(void **state)
{
    (void)state;
    enum { M = 8, N = 20000 };
    uint8_t *m = keep(M, N, 3);
    const double both = 0.5 * (M / 2 - 1) / (M - 1);
    for (int r = 0; r < M; r++) {
        for (int s = 0; s <= r; s++) {
            double sum = 0;
            for (int j = 0; j < N; j++)
                sum += m[r * N + j] & m[s * N + j];
            const double p = r == s ? 0.5 : both;
            assert_true(fabs(sum - N * p) < 6 * sqrt(N * p * (1 - p)));
        }
    }
    // Neighbouring columns know nothing of each other.
    double same = 0;
    for (int j = 1; j < N; j++)
        same += m[j] == m[j - 1];
    assert_true(fabs(same - (N - 1) * 0.5) < 6 * sqrt(N * 0.25));
    free(m);
}

static void function_of_seed_and_column(void **state)
{
    (void)state;
    uint8_t *a = keep(6, 400, 9), *again = keep(6, 400, 9), *other = keep(6, 400, 10), *longer = keep(6, 900, 9);
    assert_memory_equal(a, again, 6 * 400);
    assert_memory_not_equal(a, other, 6 * 400);
    for (int r = 0; r < 6; r++) // more samples do not change the models of the first ones
        assert_memory_equal(a + r * 400, longer + r * 900, 400);
    free(a);
    free(again);
    free(other);
    free(longer);
}

static void refused(void **state)
{
    (void)state;
    uint8_t m[64];
    assert_fails(LT_E_USAGE, "expected an even number of at least 2, found 7", lt_inclusion_mask(7, 4, 0, m));
    assert_fails(LT_E_USAGE, "found 0", lt_inclusion_mask(0, 4, 0, m));
    assert_fails(LT_E_USAGE, "found -2", lt_inclusion_mask(-2, 4, 0, m));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(columns_sum_to_half),
        cmocka_unit_test(drawn_fairly),
        cmocka_unit_test(function_of_seed_and_column),
        cmocka_unit_test(refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
