// Philox against the published known answers, and the properties lethe relies on: pure function, range, distribution.
#include "lt_test.h"
#include "lethe/rng.h"
#include <Random123/philox.h>
#include <math.h>
#include <stdlib.h>

// The three vectors for philox4x32-10 in the kat_vectors file of Random123: counter, key, answer.
static const uint32_t known[3][10] = {
    {0, 0, 0, 0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
    {0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0x408f276d, 0x41c83b0e, 0xa20bc7c6,
     0x6d5451fd},
    {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0, 0xd16cfe09, 0x94fdcceb, 0x5001e420,
     0x24126ea1},
};

static void known_answers(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        // The reader itself, started at the counter and key of the vector.
        lt_rng rng = {.key = {known[i][4], known[i][5]}};
        memcpy(rng.counter, known[i], sizeof rng.counter);
        for (int j = 0; j < 4; j++)
            assert_int_equal(lt_rng_u32(&rng), known[i][6 + j]);
    }
}

// Key and counter layout are part of the reproducibility contract: recomputed here from the description in rng.c.
static void layout(void **state)
{
    (void)state;
    const uint64_t seed = 0x0123456789abcdef, index = 0x1122334455667788;
    philox4x32_ctr_t who = {{0x89abcdef, 0x01234567, LT_STREAM_TEST, 0}};
    philox4x32_key_t derive = {{0x6c657468, 0x65726e67}};
    philox4x32_ctr_t key = philox4x32_R(10, who, derive);
    lt_rng rng = lt_rng_at(seed, LT_STREAM_TEST, 77, index);
    for (uint32_t block = 0; block < 3; block++) {
        philox4x32_ctr_t counter = {{block, 0x55667788, 0x11223344, 77}};
        philox4x32_key_t k = {{key.v[0], key.v[1]}};
        philox4x32_ctr_t out = philox4x32_R(10, counter, k);
        for (int i = 0; i < 4; i++)
            assert_int_equal(lt_rng_u32(&rng), out.v[i]);
    }
}

static void separate_sequences(void **state)
{
    (void)state;
    lt_rng base = lt_rng_at(1, 2, 3, 4);
    lt_rng fork = base;
    lt_rng other[] = {lt_rng_at(2, 2, 3, 4),
                      lt_rng_at(1, 3, 3, 4),
                      lt_rng_at(1, 2, 4, 4),
                      lt_rng_at(1, 2, 3, 5),
                      lt_rng_at(1ull << 32 | 1, 2, 3, 4),
                      lt_rng_at(1, 2, 3, 1ull << 32 | 4)};
    const uint32_t first = lt_rng_u32(&base);
    assert_int_equal(lt_rng_u32(&fork), first);
    for (size_t i = 0; i < sizeof other / sizeof *other; i++)
        assert_int_not_equal(lt_rng_u32(&other[i]), first);
}

static void below_is_uniform(void **state)
{
    (void)state;
    enum { N = 7, DRAWS = 70000 };
    int count[N] = {0};
    lt_rng rng = lt_rng_at(5, LT_STREAM_TEST, 0, 0);
    for (int i = 0; i < DRAWS; i++) {
        const uint64_t r = lt_rng_below(&rng, N);
        assert_true(r < N);
        count[r]++;
    }
    double chi2 = 0;
    for (int i = 0; i < N; i++)
        chi2 += pow(count[i] - DRAWS / (double)N, 2) / (DRAWS / (double)N);
    assert_true(chi2 < 22.46); // 6 degrees of freedom, p = 0.001
    for (int i = 0; i < 10; i++)
        assert_int_equal(lt_rng_below(&rng, 1), 0);
}

// Ranges far above 2^32, where plain modulo would favour small numbers: 3/4 of 2^64 makes the lower half twice as
// likely.
static void below_large(void **state)
{
    (void)state;
    const uint64_t n = 3ull << 62;
    int low = 0;
    lt_rng rng = lt_rng_at(6, LT_STREAM_TEST, 0, 0);
    for (int i = 0; i < 30000; i++) {
        const uint64_t r = lt_rng_below(&rng, n);
        assert_true(r < n);
        low += r < n / 3;
    }
    assert_true(abs(low - 10000) < 350); // 4 standard deviations; modulo would give 15000
}

static void uniform_and_normal(void **state)
{
    (void)state;
    enum { N = 100000 };
    lt_rng rng = lt_rng_at(7, LT_STREAM_TEST, 0, 0);
    double sum = 0, square = 0, fourth = 0;
    for (int i = 0; i < N; i++) {
        const float u = lt_rng_uniform(&rng);
        assert_true(u >= 0 && u < 1);
        sum += (double)u;
    }
    assert_true(fabs(sum / N - 0.5) < 0.004);
    sum = 0;
    for (int i = 0; i < N; i++) {
        const double z = lt_rng_normal(&rng);
        assert_true(isfinite(z));
        sum += z;
        square += z * z;
        fourth += z * z * z * z;
    }
    assert_true(fabs(sum / N) < 0.013);
    assert_true(fabs(square / N - 1) < 0.018);
    assert_true(fabs(fourth / N - 3) < 0.13);
}

static void permutations(void **state)
{
    (void)state;
    enum { N = 1000 };
    int64_t perm[N], again[N];
    bool seen[N] = {false};
    lt_rng_permutation(9, LT_STREAM_SHUFFLE, 4, N, perm);
    lt_rng_permutation(9, LT_STREAM_SHUFFLE, 4, N, again);
    assert_memory_equal(perm, again, sizeof perm);
    int fixed = 0;
    for (int i = 0; i < N; i++) {
        assert_true(perm[i] >= 0 && perm[i] < N && !seen[perm[i]]);
        seen[perm[i]] = true;
        fixed += perm[i] == i;
    }
    assert_true(fixed < 10);
    lt_rng_permutation(9, LT_STREAM_SHUFFLE, 5, N, again);
    assert_memory_not_equal(perm, again, sizeof perm);
    lt_rng_permutation(9, LT_STREAM_SHUFFLE, 5, 0, again); // nothing to do is fine
}

// All 6 orders of 3 things equally likely.
static void permutations_are_uniform(void **state)
{
    (void)state;
    enum { DRAWS = 12000 };
    int count[27] = {0};
    for (uint32_t i = 0; i < DRAWS; i++) {
        int64_t p[3];
        lt_rng_permutation(1, LT_STREAM_TEST, i, 3, p);
        count[9 * p[0] + 3 * p[1] + p[2]]++;
    }
    double chi2 = 0;
    for (int i = 0; i < 27; i++)
        if (count[i])
            chi2 += pow(count[i] - DRAWS / 6.0, 2) / (DRAWS / 6.0);
    assert_true(chi2 < 20.5); // 5 degrees of freedom, p = 0.001
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_answers),      cmocka_unit_test(layout),
        cmocka_unit_test(separate_sequences), cmocka_unit_test(below_is_uniform),
        cmocka_unit_test(below_large),        cmocka_unit_test(uniform_and_normal),
        cmocka_unit_test(permutations),       cmocka_unit_test(permutations_are_uniform),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
