// test_quant_tables.c - encodings and stuck cells against exact enumeration: the tables of the method's page, to all
// their digits.
#include "lt_test.h"

#include "quant/quant_impl.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[] = {"offset", "twos", "sign-magnitude", "gray", "differential"};

// ---- words

static void words_are_bijective(void **state)
{
    (void)state;
    for (int e = 0; e < 5; e++)
        for (int bits = 2; bits <= 4; bits++) {
            bool seen[128] = {false};
            for (int c = 0; c < 1 << bits; c++) {
                const uint32_t w = lt_encoding_word((lt_encoding)e, bits, c);
                assert_true(w < 128 && !seen[w]);
                seen[w] = true;
                assert_int_equal(lt_encoding_code((lt_encoding)e, bits, w), c);
            }
        }
    assert_int_equal(lt_encoding_word(LT_ENC_TWOS, 3, 4), 0);           // -0 steps + half
    assert_int_equal(lt_encoding_word(LT_ENC_SIGN_MAGNITUDE, 3, 3), 4); // -(0 + 1/2)
    assert_int_equal(lt_encoding_word(LT_ENC_GRAY, 3, 5), 7);
}

// Value of a word by the formula of each encoding, in steps, against level c - z.
static double formula(lt_encoding e, int bits, uint32_t u)
{
    const int n = bits - 1;
    double v = 0;
    for (int b = 0; b < n; b++)
        v += (u >> b & 1) * (double)(1 << b);
    if (e == LT_ENC_OFFSET)
        return v + (u >> n & 1) * (double)(1 << n) - ((1 << bits) - 1) / 2.0;
    if (e == LT_ENC_TWOS)
        return v - (u >> n & 1) * (double)(1 << n) + 0.5;
    if (e == LT_ENC_SIGN_MAGNITUDE)
        return (u >> n & 1 ? -1 : 1) * (v + 0.5);
    for (int b = 0; b < n; b++) // differential
        v -= (u >> (n + b) & 1) * (double)(1 << b);
    return v + (u >> 2 * n & 1 ? -0.5 : 0.5);
}

static void words_have_their_values(void **state)
{
    (void)state;
    for (int bits = 2; bits <= 4; bits++)
        for (int c = 0; c < 1 << bits; c++)
            for (int e = 0; e < 5; e++)
                if (e != LT_ENC_GRAY) {
                    const uint32_t u = lt_encoding_word((lt_encoding)e, bits, c);
                    assert_float_equal((float)formula((lt_encoding)e, bits, u), (float)c - (float)((1 << bits) - 1) / 2,
                                       1e-6f);
                    lti_grid g;
                    const float ones[LTI_MAX_CELLS] = {1, 1, 1, 1, 1, 1};
                    lti_grid_init(&g, LTI_GRID_MIDRISE, bits, 0.25f);
                    assert_float_equal(lti_cell_value((lt_encoding)e, &g, u, ones), g.level[c], 1e-6f);
                }
}

// The same with a level at 0, whose words have no half.
static void words_of_midtread_levels(void **state)
{
    (void)state;
    const float ones[LTI_MAX_CELLS] = {1, 1, 1, 1, 1, 1};
    for (int bits = 2; bits <= 4; bits++)
        for (int c = 0; c < 1 << bits; c++)
            for (int e = LT_ENC_OFFSET; e <= LT_ENC_TWOS; e++) {
                lti_grid g;
                lti_grid_init(&g, LTI_GRID_MIDTREAD, bits, 0.25f);
                assert_float_equal(lti_cell_value((lt_encoding)e, &g, lt_encoding_word((lt_encoding)e, bits, c), ones),
                                   g.level[c], 1e-6f);
            }
}

// n = 3, stuck at 0 in bit 1: the worked example, and all 64 pairs of code and mask against the definition.
static void worked_example(void **state)
{
    (void)state;
    assert_int_equal(lt_fault_reachable(LT_ENC_OFFSET, 3, 2, 0), 1 << 0 | 1 << 1 | 1 << 4 | 1 << 5);
    const int target[] = {3, 6, 2}, read[] = {1, 4, 0}, nearest[] = {4, 5, 1};
    lti_fault_table *t = NULL;
    assert_ok(lti_fault_table_create(LT_ENC_OFFSET, 3, &t));
    for (int i = 0; i < 3; i++) {
        assert_int_equal(lt_fault_read(LT_ENC_OFFSET, 3, target[i], 2, 0), read[i]);
        assert_int_equal(t->nearest[2][2 * target[i]], nearest[i]);
    }
    for (int c = 0; c < 8; c++)
        for (uint32_t mask = 0; mask < 8; mask++) {
            assert_int_equal(lt_fault_read(LT_ENC_OFFSET, 3, c, mask, 0), c & ~(int)mask);
            const bool has = (c & ~(int)mask) == c;
            assert_int_equal(lt_fault_reachable(LT_ENC_OFFSET, 3, mask, 0) >> c & 1, has);
        }
    lti_free(t);
}

// ---- enumeration

typedef struct moments {
    double bitmap, shift, nearest; // mean squares and mean of the errors in steps
    double reachable;              // expected number of reachable levels
    double target, whole;          // probability that the code itself can be had, that no cell is stuck
} moments;

static moments enumerate(lt_encoding e, int bits, double p, double f1, const double *prob_of_code)
{
    const int n = lt_encoding_n_cells(e, bits), L = 1 << bits;
    lti_fault_table *t = NULL;
    assert_ok(lti_fault_table_create(e, bits, &t));
    moments m = {0};
    for (uint32_t mask = 0; mask < 1u << n; mask++)
        for (uint32_t value = 0; value < 1u << n; value++) {
            if (value & ~mask)
                continue;
            double prob = 1;
            for (int b = 0; b < n; b++)
                prob *= !(mask >> b & 1) ? 1 - p : value >> b & 1 ? p * f1 : p * (1 - f1);
            const uint32_t at = mask | value << n;
            m.reachable += prob * __builtin_popcount(t->reachable[at]);
            m.whole += mask ? 0 : prob;
            for (int c = 0; c < L; c++) {
                const double d = t->read[at][c] - c, r = t->nearest[at][2 * c] - c;
                m.bitmap += prob * prob_of_code[c] * d * d;
                m.target += t->reachable[at] >> c & 1 ? prob * prob_of_code[c] : 0;
                m.shift += prob * prob_of_code[c] * d;
                m.nearest += prob * prob_of_code[c] * r * r;
            }
        }
    lti_free(t);
    return m;
}

static void close_to(double found, double expected, const char *what, const char *name, int bits, double p)
{
    if (fabs(found - expected) > 0.00051)
        fail_msg("%s, %s, %d bits, p %g: expected %.3f, found %.5f", what, name, bits, p, expected, found);
}

static void uniform_codes(void **state)
{
    (void)state;
    static const double rate[] = {0.02, 0.05, 0.10, 0.20, 0.20}, f1[] = {0, 0, 0, 0, 0.5};
    static const double table[3][5][2] = {
        {{.224, .189}, {.357, .303}, {.510, .439}, {.735, .648}, {.707, .616}},
        {{.461, .327}, {.737, .532}, {1.058, .788}, {1.543, 1.210}, {1.449, 1.110}},
        {{.930, .590}, {1.487, .971}, {2.145, 1.461}, {3.146, 2.303}, {2.915, 2.065}},
    };
    for (int bits = 2; bits <= 4; bits++) {
        double prob[16];
        for (int c = 0; c < 1 << bits; c++)
            prob[c] = 1.0 / (1 << bits);
        for (int i = 0; i < 5; i++) {
            const moments m = enumerate(LT_ENC_OFFSET, bits, rate[i], f1[i], prob);
            close_to(sqrt(m.bitmap), table[bits - 2][i][0], "bit map", "offset", bits, rate[i]);
            close_to(sqrt(m.nearest), table[bits - 2][i][1], "nearest", "offset", bits, rate[i]);
            assert_true(fabs(m.reachable - pow(2 - rate[i], bits)) < 1e-12); // E|V| = (2 - p)^n for any mix
            assert_true(fabs(m.target - pow(1 - rate[i] / 2, bits)) < 1e-12);
            assert_true(fabs(m.whole - pow(1 - rate[i], bits)) < 1e-12);
        }
    }
}

static double cdf(double x)
{
    return 0.5 * erfc(-x / sqrt(2));
}

static double gauss_codes(int bits, double prob[16])
{
    const double z = ((1 << bits) - 1) / 2.0, s = 2 * sqrt(2 / acos(-1.0)) / sqrt(z);
    for (int c = 0; c < 1 << bits; c++) {
        const double low = c == 0 ? -INFINITY : s * (c - 0.5 - z),
                     high = c == (1 << bits) - 1 ? INFINITY : s * (c + 0.5 - z);
        prob[c] = cdf(high) - cdf(low);
    }
    return s;
}

// Noise of rounding a Gaussian layer over its variance.
static void rounding_noise(void **state)
{
    (void)state;
    static const double want[] = {.149, .0609, .0283};
    for (int bits = 2; bits <= 4; bits++) {
        double prob[16], noise = 0;
        const double s = gauss_codes(bits, prob), z = ((1 << bits) - 1) / 2.0;
        enum { N = 400000 };
        for (int i = 0; i < N; i++) { // the midpoint rule over 16 standard deviations
            const double x = -8 + 16 * (i + 0.5) / N, c = fmin(fmax(ceil(x / s + z - 0.5), 0), 2 * z);
            noise += pow(x - s * (c - z), 2) * exp(-x * x / 2) / sqrt(2 * acos(-1.0)) * 16 / N;
        }
        if (fabs(noise - want[bits - 2]) > (bits == 2 ? 6e-4 : 6e-5))
            fail_msg("%d bits: expected %.4f, found %.5f", bits, want[bits - 2], noise);
    }
}

typedef struct row {
    int bits;
    lt_encoding e;
    double cell[3][3]; // p = 5, 10, 20 %: bit map, without the common shift, nearest reachable; 0 = not listed
} row;

static void by_encoding(void **state)
{
    (void)state;
    static const row table[] = {
        {4, LT_ENC_OFFSET, {{.858, .829, .322}, {1.225, 1.144, .513}, {1.765, 1.533, .881}}},
        {4, LT_ENC_TWOS, {{.830, .829, .277}, {1.144, 1.144, .390}, {1.534, 1.533, .546}}},
        {4, LT_ENC_GRAY, {{.814, .813, .509}, {1.161, 1.156, .752}, {1.672, 1.649, 1.159}}},
        {4, LT_ENC_SIGN_MAGNITUDE, {{.355, .353, .226}, {.495, .489, .321}, {.678, .663, .458}}},
        {4, LT_ENC_DIFFERENTIAL, {{.165, 0, 0}, {.235, 0, 0}, {.335, 0, 0}}},
        {3, LT_ENC_OFFSET, {{.623, .605, .317}, {.887, .836, .482}, {1.273, 1.125, .771}}},
        {3, LT_ENC_TWOS, {{.605, .605, .292}, {.837, .836, .410}, {1.128, 1.125, .573}}},
        {3, LT_ENC_GRAY, {{.578, .577, .419}, {.825, .819, .615}, {1.187, 1.163, .931}}},
        {3, LT_ENC_SIGN_MAGNITUDE, {{.356, .353, .255}, {.496, .490, .361}, {.682, .665, .510}}},
        {3, LT_ENC_DIFFERENTIAL, {{.156, 0, 0}, {.221, 0, 0}, {.314, 0, 0}}},
        {2, LT_ENC_OFFSET, {{.462, .452, .341}, {.656, .627, .496}, {.935, .850, .739}}},
        {2, LT_ENC_TWOS, {{.453, .452, .328}, {.630, .627, .460}, {.860, .850, .640}}},
        {2, LT_ENC_GRAY, {{.424, .421, .375}, {.605, .597, .541}, {.872, .843, .793}}},
        {2, LT_ENC_SIGN_MAGNITUDE, {{.349, .346, .288}, {.488, .480, .406}, {.676, .655, .572}}},
    };
    static const double rate[] = {0.05, 0.10, 0.20};
    for (size_t r = 0; r < sizeof table / sizeof *table; r++)
        for (int i = 0; i < 3; i++) {
            double prob[16];
            const double s = gauss_codes(table[r].bits, prob);
            const moments m = enumerate(table[r].e, table[r].bits, rate[i], 0, prob);
            const double found[] = {s * sqrt(m.bitmap), s * sqrt(m.bitmap - m.shift * m.shift), s * sqrt(m.nearest)};
            for (int k = 0; k < 3; k++)
                if (table[r].cell[i][k] > 0)
                    close_to(found[k], table[r].cell[i][k],
                             k == 0   ? "bit map"
                             : k == 1 ? "no shift"
                                      : "nearest",
                             names[table[r].e], table[r].bits, rate[i]);
        }
}

static void both_kinds(void **state)
{
    (void)state;
    static const struct {
        int bits;
        lt_encoding e;
        double p, bitmap, nearest;
    } table[] = {{4, LT_ENC_OFFSET, .2, 1.624, .735},        {4, LT_ENC_TWOS, .2, 1.624, .735},
                 {4, LT_ENC_GRAY, .2, 1.289, .914},          {4, LT_ENC_SIGN_MAGNITUDE, .2, 1.109, .911},
                 {4, LT_ENC_DIFFERENTIAL, .2, 1.144, 0},     {3, LT_ENC_OFFSET, .2, 1.191, .679},
                 {3, LT_ENC_TWOS, .2, 1.191, .679},          {3, LT_ENC_GRAY, .2, .968, .757},
                 {3, LT_ENC_SIGN_MAGNITUDE, .2, .908, .757}, {3, LT_ENC_DIFFERENTIAL, .2, .822, 0},
                 {2, LT_ENC_OFFSET, .2, .898, .691},         {2, LT_ENC_SIGN_MAGNITUDE, .2, .780, .691},
                 {4, LT_ENC_OFFSET, .05, .840, .302},        {4, LT_ENC_OFFSET, .10, 1.175, .460}};
    for (size_t r = 0; r < sizeof table / sizeof *table; r++) {
        double prob[16];
        const double s = gauss_codes(table[r].bits, prob);
        const moments m = enumerate(table[r].e, table[r].bits, table[r].p, 0.5, prob);
        close_to(s * sqrt(m.bitmap), table[r].bitmap, "bit map, both kinds", names[table[r].e], table[r].bits,
                 table[r].p);
        if (table[r].nearest > 0)
            close_to(s * sqrt(m.nearest), table[r].nearest, "nearest, both kinds", names[table[r].e], table[r].bits,
                     table[r].p);
    }
    static const double shift[][2] = {{.05, -.219}, {.10, -.437}, {.20, -.874}};
    for (int i = 0; i < 3; i++) {
        double prob[16];
        const double s = gauss_codes(4, prob);
        close_to(s * enumerate(LT_ENC_OFFSET, 4, shift[i][0], 0, prob).shift, shift[i][1], "mean shift", "offset", 4,
                 shift[i][0]);
    }
}

// Differential pairs reach more levels than their canonical words when a cell is stuck at 1: checked by value.
static void reachable_by_brute_force(void **state)
{
    (void)state;
    for (int e = 0; e < 5; e++)
        for (int bits = 2; bits <= 4; bits++) {
            lti_fault_table *t = NULL;
            assert_ok(lti_fault_table_create((lt_encoding)e, bits, &t));
            for (uint32_t mask = 0; mask < 1u << t->n_cells; mask++)
                for (uint32_t value = 0; value < 1u << t->n_cells; value++) {
                    if (value & ~mask)
                        continue;
                    const uint32_t at = mask | value << t->n_cells;
                    assert_int_not_equal(t->reachable[at], 0); // never empty
                    for (int k = 0; k < 2 * t->n_levels; k++) {
                        int best = -1;
                        for (int c = 0; c < t->n_levels; c++)
                            if (t->reachable[at] >> c & 1 && (best < 0 || abs(2 * c - k) < abs(2 * best - k)))
                                best = c;
                        assert_int_equal(t->nearest[at][k], best);
                    }
                    for (int c = 0; c < t->n_levels; c++)
                        assert_true(t->reachable[at] >> t->read[at][c] & 1);
                }
            lti_free(t);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_are_bijective),
        cmocka_unit_test(words_have_their_values),
        cmocka_unit_test(words_of_midtread_levels),
        cmocka_unit_test(worked_example),
        cmocka_unit_test(uniform_codes),
        cmocka_unit_test(rounding_noise),
        cmocka_unit_test(by_encoding),
        cmocka_unit_test(both_kinds),
        cmocka_unit_test(reachable_by_brute_force),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
