// test_charts.c - numbers behind the charts of the report, and PNG files that decode to the bytes they were made from.
#include "base/base.h"
#include "lethe/report.h"
#include "report/report_impl.h"
#include <math.h>
#include <png.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static void test_roc(void **state)
{
    (void)state;
    enum { N_POS = 137, N_NEG = 251, N = 31 };
    double pos[N_POS], neg[N_NEG], fpr[N], tpr[N], lo[N], hi[N], again[N], lo2[N], hi2[N];
    for (int i = 0; i < N_POS + N_NEG; i++) {
        lt_rng rng = lt_rng_at(3, LT_STREAM_TEST, 77, (uint64_t)i);
        double v = round(4 * lt_rng_normal(&rng)) / 4; // many ties
        if (i < N_POS)
            pos[i] = v + 0.5;
        else
            neg[i - N_POS] = v;
    }
    for (int k = 0; k < N; k++)
        fpr[k] = pow(10, -3 + 3.0 * k / (N - 1));
    assert_int_equal(lti_roc(pos, N_POS, neg, N_NEG, fpr, N, 1, tpr, lo, hi), LT_OK);
    for (int k = 0; k < N; k++) { // the same rule by another way
        assert_true(fabs(tpr[k] - lt_tpr_at_fpr(pos, N_POS, neg, N_NEG, fpr[k])) < 1e-12);
        assert_true(lo[k] <= hi[k] && lo[k] >= 0 && hi[k] <= 1);
        assert_true(k == 0 || tpr[k] >= tpr[k - 1]);
    }
    int middle = 2 * N / 3, inside = 0;
    for (int k = middle; k < N; k++)
        inside += lo[k] <= tpr[k] && tpr[k] <= hi[k];
    assert_int_equal(inside, N - middle);
    assert_true(hi[middle] - lo[middle] > 0.02 && hi[middle] - lo[middle] < 0.5);
    assert_int_equal(lti_roc(pos, N_POS, neg, N_NEG, fpr, N, 1, again, lo2, hi2), LT_OK);
    assert_memory_equal(lo, lo2, sizeof lo);
    assert_memory_equal(hi, hi2, sizeof hi);
    pos[5] = NAN;
    assert_int_equal(lti_roc(pos, N_POS, neg, N_NEG, fpr, N, 1, tpr, NULL, NULL), LT_OK);
    assert_true(isnan(tpr[0]) && isnan(tpr[N - 1]));
}

static void test_class_accuracies(void **state)
{
    (void)state;
    float logits[6 * 3] = {1, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 1};
    int64_t label[6] = {0, 0, 1, 1, 1, 2}, n[3];
    int8_t group[6] = {1, 1, 1, 1, 1, 2};
    double acc[3];
    const lt_signals s = {.n = 6, .k = 3, .logits = logits, .label = label, .id = label, .group = group};
    lti_class_accuracies(&s, LT_GROUP_FORGET, acc, n);
    assert_true(fabs(acc[0] - 0.5) < 1e-12 && fabs(acc[1] - 1.0 / 3) < 1e-12 && isnan(acc[2]));
    assert_int_equal(n[0] + 10 * n[1] + 100 * n[2], 32);
}

static void test_short_text(void **state)
{
    (void)state;
    lti_buf b = {0};
    lti_html_short(&b, "caf\xc3\xa9s & more", 5);
    lti_html_short(&b, "|<ab>", 5);
    assert_string_equal(b.data, "caf\xc3\xa9\xe2\x80\xa6|&lt;ab&gt;");
    lti_buf_clear(&b);
}

static void test_histogram(void **state)
{
    (void)state;
    double value[] = {3, -5, 0.5, 9, 1.5};
    lti_hist_axis axis = {.lo = 0, .hi = 4.0, .top = 1};
    lti_hist h;
    lti_hist_fill(&h, &axis, value, 5);
    assert_true(fabs(h.median - 1.5) < 1e-12);
    double width = 0.1, sum = 0;
    for (int i = 0; i < LTI_HIST_BINS; i++)
        sum += h.density[i] * width;
    assert_true(fabs(sum - 1) < 1e-12);                                    // a density, clipped values included
    assert_true(fabs(h.density[0] * width - 0.2) < 1e-12);                 // -5
    assert_true(fabs(h.density[LTI_HIST_BINS - 1] * width - 0.2) < 1e-12); // 9
    assert_true(fabs(h.density[5] * width - 0.2) < 1e-12);                 // 0.5
    lti_hist_fill(&h, &axis, value, 0);
    assert_true(isnan(h.median));
}

static void test_png_round_trip(void **state)
{
    (void)state;
    const char *path = LT_TEST_BINARY_DIR "/test_report.png";
    enum { H = 5, W = 7 };
    uint8_t x[3 * H * W], back[3 * H * W];
    for (int i = 0; i < 3 * H * W; i++)
        x[i] = (uint8_t)(i * 37);
    for (int c = 1; c <= 3; c += 2) {
        assert_int_equal(lt_png_write(path, c, H, W, x), LT_OK);
        png_image image = {.version = PNG_IMAGE_VERSION};
        assert_true(png_image_begin_read_from_file(&image, path));
        assert_int_equal(image.width, W);
        assert_int_equal(image.height, H);
        image.format = c == 3 ? PNG_FORMAT_RGB : PNG_FORMAT_GRAY;
        assert_true(png_image_finish_read(&image, NULL, back, 0, NULL));
        for (int k = 0; k < c; k++)
            for (int i = 0; i < H * W; i++)
                assert_int_equal(back[i * c + k], x[k * H * W + i]);
    }
    assert_int_equal(lt_png_write(path, 2, H, W, x), LT_E_SHAPE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_roc),       cmocka_unit_test(test_class_accuracies), cmocka_unit_test(test_short_text),
        cmocka_unit_test(test_histogram), cmocka_unit_test(test_png_round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
