// test_report.c - the page: complete, escaped, self-contained; pictures decode to the bytes they were made from.
#include "base/base.h"
#include "lethe/report.h"
#include "report/report_impl.h"
#include <math.h>
#include <png.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { N_GROUP = 400, N_CLASSES = 10, N_PAIRS = 6, SIDE = 32 };

static float synthetic_logits[5][3 * N_GROUP * N_CLASSES];
static int64_t labels[3 * N_GROUP], ids[3 * N_GROUP];
static int8_t groups[3 * N_GROUP];

// Logits whose phi has about the given mean and spread in each group.
static lt_signals make_signals(int row, const double mean[3], const double spread[3])
{
    for (int i = 0; i < 3 * N_GROUP; i++) {
        int g = i / N_GROUP;
        lt_rng rng = lt_rng_at(7, LT_STREAM_TEST, (uint32_t)row, (uint64_t)i);
        labels[i] = i % N_CLASSES;
        ids[i] = i;
        groups[i] = (int8_t)g;
        for (int k = 0; k < N_CLASSES; k++)
            synthetic_logits[row][i * N_CLASSES + k] = (float)(0.5 * lt_rng_normal(&rng));
        synthetic_logits[row][i * N_CLASSES + labels[i]] += (float)(mean[g] + 2.2 + spread[g] * lt_rng_normal(&rng));
    }
    return (lt_signals){
        .n = 3 * N_GROUP, .k = N_CLASSES, .logits = synthetic_logits[row], .label = labels, .id = ids, .group = groups};
}

static lt_report_row make_row(const char *name, lt_report_role role, double ua, double gap)
{
    lt_report_row r = {.name = name, .setting = role == LT_ROW_METHOD ? "with retain data" : "", .role = role};
    r.audit = (lt_audit){.ua = ua, .ra = 0.998, .ta = 0.86};
    r.audit.svc.confidence = 1 - ua;
    r.audit.phi.ft = 0.4 + 0.15 * ua;
    r.gap_mis = gap;
    r.gap_auc = gap / 2;
    r.seconds = 12.3;
    r.run_dir = "runs/x";
    return r;
}

struct fixture {
    lt_report_row row[4];
    lt_signals signals[4];
    lt_report_curve curve[2];
    double epoch[20], loss[20], train[20], test[20];
    float clean[N_PAIRS * 3 * SIDE * SIDE], adv[N_PAIRS * 3 * SIDE * SIDE];
    const char *pair_text[N_PAIRS];
    lt_report_spec spec;
};

static void fill(struct fixture *f)
{
    static const double mean[4][3] = {{7, 7, 4}, {7, 4, 4}, {7, 6.6, 4}, {6.8, 4.2, 3.9}};
    static const double spread[3] = {1.2, 1.6, 2.4};
    static const char *const facts[] = {"Data", "synthetic, 5000 training samples", "Seeds", "1", "Evil", "a<b & \"c\"",
                                        NULL};
    f->row[0] = make_row("Original", LT_ROW_ORIGINAL, 0.998, 0.07);
    f->row[1] = make_row("Retrain", LT_ROW_ORACLE, 0.85, NAN);
    f->row[2] = make_row("FT <b>", LT_ROW_METHOD, 0.97, 0.05);
    f->row[3] = make_row("AMUN", LT_ROW_METHOD, 0.86, 0.004);
    for (int i = 0; i < 4; i++) {
        f->signals[i] = make_signals(i, mean[i], spread);
        f->row[i].signals = &f->signals[i];
    }
    for (int i = 0; i < 20; i++) {
        f->epoch[i] = i + 1;
        f->loss[i] = 2.3 * exp(-0.2 * i);
        f->train[i] = 1 - 0.9 * exp(-0.25 * i);
        f->test[i] = i % 4 == 3 ? 0.86 - 0.8 * exp(-0.3 * i) : NAN;
    }
    f->curve[0] = (lt_report_curve){"Original", 20, f->epoch, f->loss, f->train, f->test};
    f->curve[1] = (lt_report_curve){"Retrain", 12, f->epoch, f->loss, f->train, NULL};
    for (int i = 0; i < N_PAIRS; i++) {
        f->pair_text[i] = "cat \xe2\x86\x92 dog, 0.31";
        for (int k = 0; k < 3 * SIDE * SIDE; k++) {
            float v = 0.5f + 0.4f * sinf((float)(k % SIDE) * 0.3f + (float)i) * cosf((float)(k / SIDE) * 0.2f);
            f->clean[i * 3 * SIDE * SIDE + k] = v;
            f->adv[i * 3 * SIDE * SIDE + k] = v + 0.02f * sinf((float)k);
        }
    }
    f->spec = (lt_report_spec){.title = "Unlearning report",
                               .subtitle = "ResNet-18 & <synthetic>",
                               .note = "Ten per cent forgotten.",
                               .facts = facts,
                               .rows = f->row,
                               .n_rows = 4,
                               .curves = f->curve,
                               .n_curves = 2,
                               .n_pairs = N_PAIRS,
                               .c = 3,
                               .h = SIDE,
                               .w = SIDE,
                               .clean = f->clean,
                               .adv = f->adv,
                               .pair_text = f->pair_text};
}

static char *page(const lt_report_spec *spec)
{
    const char *path = LT_TEST_BINARY_DIR "/test_report.html";
    char *text = NULL;
    size_t n = 0;
    assert_int_equal(lt_report_html(spec, path), LT_OK);
    assert_int_equal(lt_read_file(path, (size_t)1 << 26, &text, &n), LT_OK);
    return text;
}

static int count(const char *text, const char *word)
{
    int n = 0;
    while ((text = strstr(text, word)) != NULL) {
        n++;
        text++;
    }
    return n;
}

static void test_page_complete(void **state)
{
    (void)state;
    static struct fixture f;
    fill(&f);
    char *text = page(&f.spec);
    assert_int_equal(count(text, "<figure>"), 4 + 2);
    assert_int_equal(count(text, "data:image/png;base64,"), 3 * N_PAIRS);
    assert_int_equal(count(text, "class=\"best\""), 2); // AMUN, both gaps
    assert_non_null(strstr(text, "<td class=\"best\">0.40</td>"));
    assert_non_null(strstr(text, "99.8")); // original forget accuracy
    assert_int_equal(count(text, "<tr class=\"ref\">"), 2);
    assert_non_null(strstr(text, "&ndash;")); // the oracle has no gap to itself
    assert_non_null(strstr(text, "</html>"));
    free(text);
}

static void test_page_escapes(void **state)
{
    (void)state;
    static struct fixture f;
    fill(&f);
    f.spec.title = "<script>alert(1)</script>";
    f.pair_text[0] = "bad \xff\xfe bytes \x01 here\xc0\xaf";
    char *text = page(&f.spec);
    assert_null(strstr(text, "<script"));
    assert_null(strstr(text, "FT <b>"));
    assert_non_null(strstr(text, "FT &lt;b&gt;"));
    assert_non_null(strstr(text, "a&lt;b &amp; &quot;c&quot;"));
    assert_non_null(strstr(text, "bad \xef\xbf\xbd\xef\xbf\xbd bytes \xef\xbf\xbd here\xef\xbf\xbd\xef\xbf\xbd"));
    free(text);
}

// Nothing may be fetched: no URL of any scheme, no style import.
static void test_page_self_contained(void **state)
{
    (void)state;
    static struct fixture f;
    fill(&f);
    char *text = page(&f.spec);
    assert_null(strstr(text, "http"));
    assert_null(strstr(text, "url("));
    assert_null(strstr(text, "@import"));
    assert_null(strstr(text, "<link"));
    free(text);
}

static void test_page_small_inputs(void **state)
{
    (void)state;
    lt_report_row row = make_row("Only", LT_ROW_METHOD, NAN, NAN);
    double one = 1, loss = 0.5;
    lt_report_curve curve = {"c", 1, &one, &loss, &loss, NULL};
    lt_report_spec spec = {.title = "t", .subtitle = "", .rows = &row, .n_rows = 1, .curves = &curve, .n_curves = 1};
    char *text = page(&spec);
    assert_null(strstr(text, "nan"));
    assert_null(strstr(text, "inf"));
    free(text);
    text = page(&(lt_report_spec){.title = "empty"});
    assert_non_null(strstr(text, "</html>"));
    free(text);
}

static void test_page_errors(void **state)
{
    (void)state;
    static struct fixture f;
    fill(&f);
    assert_int_equal(lt_report_html(&f.spec, "/nonexistent-dir/x.html"), LT_E_IO);
    f.spec.c = 2;
    assert_int_equal(lt_report_html(&f.spec, LT_TEST_BINARY_DIR "/never.html"), LT_E_SHAPE);
}

static void test_out_of_memory(void **state)
{
    (void)state;
    static struct fixture f;
    fill(&f);
    const char *path = LT_TEST_BINARY_DIR "/test_report_nomem.html";
    int failures = 0;
    for (int64_t n = 1; n < 100000; n++) {
        lti_alloc_fail_at(n);
        lt_status status = lt_report_html(&f.spec, path);
        lti_alloc_fail_at(0);
        if (status == LT_OK)
            break;
        assert_int_equal(status, LT_E_NOMEM);
        failures++;
    }
    assert_true(failures > 3);
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

static void test_text_tables(void **state)
{
    (void)state;
    static struct fixture f;
    fill(&f);
    f.row[2].name = "a|b";
    f.row[2].setting = "say \"x\", y";
    char *md = lt_report_markdown(&f.spec), *csv = lt_report_csv(&f.spec);
    assert_int_equal(count(md, "\n"), 2 + 4);
    assert_non_null(strstr(md, "a\\|b"));
    assert_non_null(strstr(md, "| AMUN | with retain data | 86.0 | 99.8 | 86.0 | 14.0 | 52.9 | 0.40 | 0.20 | 12.3 |"));
    assert_int_equal(count(csv, "\n"), 1 + 4);
    assert_non_null(strstr(csv, "\"say \"\"x\"\", y\""));
    free(md);
    free(csv);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_page_complete),       cmocka_unit_test(test_page_escapes),
        cmocka_unit_test(test_page_self_contained), cmocka_unit_test(test_page_small_inputs),
        cmocka_unit_test(test_page_errors),         cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_histogram),           cmocka_unit_test(test_png_round_trip),
        cmocka_unit_test(test_text_tables),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
