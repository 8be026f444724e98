// test_report.c - the page: complete, escaped, self-contained; and its tables as text.
#include "base/base.h"
#include "lethe/report.h"
#include "report/report_impl.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { N_GROUP = 400, N_CLASSES = 10, N_PAIRS = 6, SIDE = 32, N_METRICS = 2, N_ATTACKS = 2, N_STEPS = 4 };

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

static lt_report_row make_row(const char *name, lt_row_role role, double ua, double gap)
{
    lt_report_row r = {.name = name, .setting = role == LT_ROW_METHOD ? "with retain data" : "", .role = role};
    r.audit = (lt_audit){.ua = ua, .ra = 0.998, .ta = 0.86};
    r.audit.svc.confidence = 1 - ua;
    r.audit.phi.ft = 0.4 + 0.15 * ua;
    r.summary.gap_mis = gap;
    r.summary.gap_auc = gap / 2;
    r.summary.seconds = 12.3;
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
    // what a page with everything has beyond that
    lt_report_row many[5]; // original, two oracles, two runs of one method
    lt_report_metric metric[N_METRICS];
    lt_report_value value[5][N_METRICS];
    double difference[2], score[5][N_ATTACKS][3 * N_GROUP];
    const double *score_of[5][N_ATTACKS];
    lt_report_cost cost[5];
    lt_report_lint lint[3];
    lt_report_probe probe[2];
    lt_report_cka cka[2];
    lt_report_representation depth;
    lt_report_stream stream;
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

static const char *const attack_names[N_ATTACKS] = {"RMIA <online>", "Loss"};
static const char *const class_names[N_CLASSES] = {"a&b", "<c>", "2", "3", "4", "5", "6", "7", "8", "9"};
static const double two[2] = {0.5, 0.52}, steps[N_STEPS] = {0, 1, 2, 4}, rising[N_STEPS] = {0.4, 0.6, 0.8, 0.9},
                    falling[N_STEPS] = {0.9, NAN, 0.7, 0.6};
static const double *const two_curves[2] = {rising, falling};

static void fill_depth(struct fixture *f)
{
    f->probe[0] = (lt_report_probe){"stem", {0.5, 0.52, two, 2}, {0.3, 0.4, two, 2}};
    f->probe[1] = (lt_report_probe){"layer <1>", {0.7, NAN, NULL, 0}, {NAN, 0.4, two, 1}};
    f->cka[0] = (lt_report_cka){"stem", 0.99, 0.95, two, 2};
    f->cka[1] = (lt_report_cka){"layer <1>", NAN, NAN, NULL, 0};
    f->depth = (lt_report_representation){.row = 3,
                                          .probe = f->probe,
                                          .n_probes = 2,
                                          .cka = f->cka,
                                          .n_cka = 2,
                                          .step = steps,
                                          .n_steps = N_STEPS,
                                          .forget_acc = {rising, falling, two_curves, 2},
                                          .test_acc = {NULL, rising, NULL, 0}};
    f->stream = (lt_report_stream){"amun & co", "runs/s", N_STEPS, rising, falling};
    f->spec.depth = &f->depth;
    f->spec.n_depth = 1;
    f->spec.streams = &f->stream;
    f->spec.n_streams = 1;
}

static void fill_many_row(struct fixture *f, int i)
{
    static const int from[5] = {0, 1, 1, 3, 3};
    static const double ua[5] = {0.99, 0.85, 0.87, 0.90, 0.94}, auc[5] = {0.6, 0.5, 0.52, 0.53, 0.57};
    f->many[i] = f->row[from[i]];
    for (int k = 0; k < 3 * N_GROUP; k++) {
        lt_rng rng = lt_rng_at(9, LT_STREAM_TEST, (uint32_t)i, (uint64_t)k);
        f->score[i][0][k] = lt_rng_normal(&rng) + (k / N_GROUP == LT_GROUP_FORGET ? 0.5 : 0);
        f->score[i][1][k] = k % 3;
    }
    for (int a = 0; a < N_ATTACKS; a++)
        f->score_of[i][a] = f->score[i][a];
    f->value[i][0] = (lt_report_value){ua[i], {ua[i] - 0.03, ua[i] + 0.03}, i > 2 ? "distinguishable" : NULL};
    f->value[i][1] = (lt_report_value){auc[i], {NAN, NAN}, NULL};
    f->cost[i] = (lt_report_cost){{0, 0, i + 1.0}, 0.5, {0, 0, 100}, {0, 0, 100}};
    f->many[i].seed = i % 2 ? "1" : "2";
    f->many[i].group = i == 0 ? NULL : i < 3 ? "oracle" : "amun";
    f->many[i].value = f->value[i];
    f->many[i].score = f->score_of[i];
    f->many[i].cost = i ? &f->cost[i] : NULL;
    f->many[i].verdict = i > 2 ? "too few seeds" : NULL;
}

// A page with every section.
static void fill_all(struct fixture *f)
{
    static const char *const facts[] = {"Command", "lethe unlearn 'a b' --set x=<y>", "Seed", "1", NULL};
    fill(f);
    for (int i = 0; i < 5; i++)
        fill_many_row(f, i);
    f->many[3].facts = facts;
    f->difference[0] = -0.02;
    f->difference[1] = 0.02;
    f->metric[0] = (lt_report_metric){"ua", "Forget accuracy", 0.86, {0.80, 0.92}, f->difference, 2, true};
    f->metric[1] = (lt_report_metric){"rmia.ft_auc", "RMIA <AUC>", 0.51, {NAN, NAN}, NULL, 0, true};
    f->lint[0] = (lt_report_lint){-1, LT_LINT_NOTE, "few-references", "8 models"};
    f->lint[1] = (lt_report_lint){3, LT_LINT_ERROR, "no-change", "runs/<x> has the weights of its parent"};
    f->lint[2] = (lt_report_lint){0, LT_LINT_WARNING, "few-test", "12 test samples"};
    f->spec.rows = f->many;
    f->spec.n_rows = 5;
    f->spec.metrics = f->metric;
    f->spec.n_metrics = N_METRICS;
    f->spec.attacks = attack_names;
    f->spec.n_attacks = N_ATTACKS;
    f->spec.seed = 5;
    f->spec.class_names = class_names;
    f->spec.lint = f->lint;
    f->spec.n_lint = 3;
    fill_depth(f);
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
    assert_int_equal(count(text, "<td class=\"best"), 2); // AMUN, both gaps
    assert_non_null(strstr(text, "<td class=\"best\"><a href=\"#run-4\">0.40</a></td>"));
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

// ---- structure, without a browser

static bool is_void(const char *name)
{
    static const char *const list[] = {"meta", "img", NULL};
    for (int i = 0; list[i]; i++)
        if (!strcmp(list[i], name))
            return true;
    return false;
}

// Every tag opened is closed, in order; attributes are quoted; no raw < or & in text.
static void check_nesting(const char *text)
{
    char stack[64][16], name[16];
    int depth = 0;
    const char *at = strstr(text, "<html");
    assert_non_null(at);
    for (; *at; at++) {
        if (*at == '&')
            assert_true(strcspn(at, ";") < 9);
        if (*at != '<')
            continue;
        bool closing = at[1] == '/';
        const char *word = at + 1 + closing;
        size_t n = strcspn(word, " >/\n");
        assert_true(n > 0 && n < sizeof name);
        memcpy(name, word, n);
        name[n] = '\0';
        bool quoted = false;
        for (at = word; *at && (quoted || *at != '>'); at++) {
            assert_true(*at != '<');
            quoted ^= *at == '"';
        }
        assert_true(*at == '>');
        if (closing) {
            assert_true(depth > 0);
            assert_string_equal(stack[--depth], name);
        } else if (at[-1] != '/' && !is_void(name)) {
            assert_true(depth < 64);
            memcpy(stack[depth++], name, sizeof name);
        }
        if (!strcmp(name, "style") && !closing)
            at = strstr(at, "</style>") - 1;
    }
    assert_int_equal(depth, 0);
}

// Every href="#id" has its id, and no id is there twice.
static void check_links(const char *text)
{
    char needle[64];
    int n = 0;
    for (const char *at = text; (at = strstr(at, " href=\"#")) != NULL; at++, n++) {
        int length = (int)strcspn(at + 8, "\"");
        snprintf(needle, sizeof needle, " id=\"%.*s\"", length, at + 8);
        assert_int_equal(count(text, needle), 1);
    }
    for (const char *at = text; (at = strstr(at, " id=\"")) != NULL; at++) {
        snprintf(needle, sizeof needle, "%.*s\"", 5 + (int)strcspn(at + 5, "\""), at);
        assert_int_equal(count(text, needle), 1);
    }
    assert_true(n > 20);
}

// "nan" or "inf" as a number, wherever text or a coordinate could hold one.
static void check_numbers(const char *text)
{
    static const char *const word[] = {">nan", ">-nan", "\"nan", "\"-nan", " nan",  " -nan", "Hnan", "Vnan",
                                       "Lnan", ">inf",  ">-inf", "\"inf",  " inf ", "Linf",  "(nan"};
    for (size_t i = 0; i < sizeof word / sizeof *word; i++)
        assert_null(strstr(text, word[i]));
}

static void test_page_structure(void **state)
{
    (void)state;
    static struct fixture f;
    fill_all(&f);
    char *text = page(&f.spec);
    check_nesting(text);
    check_links(text);
    check_numbers(text);
    assert_int_equal(count(text, "<th>"), 0); // every head of a table says of what
    assert_int_equal(count(text, " role=\"img\""), count(text, "</desc>"));
    assert_int_equal(count(text, "<desc id="), count(text, "<title id="));
    assert_null(strstr(text, "></desc>")); // in words
    assert_int_equal(count(text, "<figure>"), 2 + 2 + 3 + 3 + 1 + 3 + 2 + 2);
    free(text);
}

static void test_page_sections(void **state)
{
    (void)state;
    static struct fixture f;
    fill_all(&f);
    char *text = page(&f.spec);
    assert_non_null(strstr(text, "<b>error</b><a href=\"#run-4\">AMUN, seed 1</a>: runs/&lt;x&gt; has the weights"));
    assert_true(strstr(text, "<b>error</b>") < strstr(text, "<b>warning</b>"));
    assert_true(strstr(text, "<b>warning</b>") < strstr(text, "<b>note</b>"));
    assert_non_null(strstr(text, "null band \xc2\xb1"
                                 "6.0"));
    assert_non_null(
        strstr(text, "<a href=\"#run-4\">90.0</a><small>87.0 to 93.0</small><small>distinguishable</small>"));
    assert_non_null(strstr(text, "<a href=\"#run-5\">200.0</a></td><td><a href=\"#run-5\">100.0</a>")); // 5 s of 2.5 s
    assert_non_null(strstr(text, "--set x=&lt;y&gt;"));
    assert_non_null(strstr(text, "amun &amp; co"));
    assert_int_equal(count(text, "lt;online&gt;"), 5); // caption and title of its ROC, axes of three histograms
    free(text);
    f.spec.n_depth = f.spec.n_streams = f.spec.n_lint = 0; // absent data: nothing is said
    text = page(&f.spec);
    assert_null(strstr(text, "Representation audit"));
    assert_null(strstr(text, "Sequential requests"));
    assert_null(strstr(text, "Warnings"));
    check_nesting(text);
    check_links(text);
    free(text);
}

// Names that try to leave their place, in every field that holds text.
static void test_page_hostile(void **state)
{
    (void)state;
    static struct fixture f;
    static const char evil[] = "\"><script>alert(1)</script><svg onload='x'>&\xff";
    static const char *const names[N_CLASSES] = {evil, evil, evil, evil, evil, evil, evil, evil, evil, evil};
    static const char *const attacks[N_ATTACKS] = {evil, evil}, *const facts[] = {evil, evil, NULL};
    fill_all(&f);
    for (int i = 0; i < 5; i++) {
        f.many[i].name = f.many[i].setting = f.many[i].seed = f.many[i].run_dir = f.many[i].verdict = evil;
        f.many[i].facts = facts;
        f.value[i][0].verdict = evil;
    }
    for (int i = 0; i < N_PAIRS; i++)
        f.pair_text[i] = evil;
    f.metric[0].title = f.metric[1].title = f.stream.name = f.curve[0].name = evil;
    f.probe[0].stage = f.cka[0].stage = f.lint[0].id = f.lint[0].text = evil;
    f.spec.attacks = attacks;
    f.spec.class_names = names;
    f.spec.title = f.spec.subtitle = f.spec.note = evil;
    f.spec.facts = facts;
    char *text = page(&f.spec);
    assert_null(strstr(text, "<script"));
    assert_null(strstr(text, "<svg onload"));
    assert_null(strstr(text, "onload='"));
    check_nesting(text);
    check_links(text);
    free(text);
}

// ---- numbers behind the charts

static void test_group_gap(void **state)
{
    (void)state;
    static struct fixture f;
    lti_doc d;
    fill_all(&f);
    assert_int_equal(lti_doc_init(&d, &f.spec), LT_OK);
    assert_int_equal(d.n_groups, 3);
    assert_int_equal(d.group[1].n, 2);
    assert_int_equal(d.group[2].n, 2);
    lti_gap gap = lti_group_gap(&d, &d.group[2], 0); // 0.90 and 0.94 against 0.86: t(1) = 12.7062, sd/sqrt(2) = 0.02
    assert_true(fabs(gap.mean - 0.06) < 1e-12);
    assert_true(fabs(gap.interval.high - gap.mean - 12.7062 * 0.02) < 1e-4);
    assert_true(fabs(gap.mean - gap.interval.low - 12.7062 * 0.02) < 1e-4);
    gap = lti_group_gap(&d, &d.group[0], 0); // one run: the interval over its samples
    assert_true(fabs(gap.mean - 0.13) < 1e-12);
    assert_true(fabs(gap.interval.low - 0.10) < 1e-12 && fabs(gap.interval.high - 0.16) < 1e-12);
    gap = lti_group_gap(&d, &d.group[0], 1);
    assert_true(isnan(gap.interval.low));
    f.value[3][0].value = NAN; // a run that lacks the figure does not count
    gap = lti_group_gap(&d, &d.group[2], 0);
    assert_int_equal(gap.n, 1);
    assert_true(fabs(gap.mean - 0.08) < 1e-12);
    lti_doc_clear(&d);
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
    fill_all(&f);
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

// Every number of the page, in both forms.
static void test_all_numbers(void **state)
{
    (void)state;
    static struct fixture f;
    fill_all(&f);
    f.many[4].name = "say \"x\"";
    char *csv = lt_report_all_csv(&f.spec), *md = lt_report_all_markdown(&f.spec);
    assert_non_null(csv);
    assert_non_null(md);
    assert_int_equal(strncmp(csv, "section,model,setting,seed,run,quantity,value,low,high,text\n", 60), 0);
    int lines = count(csv, "\n");
    int classes = 5 * (N_CLASSES + N_CLASSES), depth = (4 + 4 + 2 + 3) + (4 + 2) + N_STEPS * (2 + 2) + N_STEPS * 2;
    assert_int_equal(lines, 1 + 5 * 8 + 2 + 2 + 2 + 5 * 2 + 2 * 2 + classes + 4 * 13 + depth + 2 * N_STEPS + 3);
    assert_non_null(strstr(
        csv,
        "\ncomparison,\"say \"\"x\"\"\",\"with retain data\",\"2\",\"runs/x\",\"forget_acc\",0.85999999999999999,,,"));
    assert_non_null(strstr(
        csv,
        "\nnull_band,\"oracles\",\"\",\"\",\"\",\"ua\",0.85999999999999999,0.80000000000000004,0.92000000000000004,"));
    assert_non_null(strstr(csv, "\"error: runs/<x> has the weights of its parent\""));
    assert_non_null(strstr(csv, "\"of_retraining_time\",2,,,")); // 5 s of 2.5 s
    assert_non_null(strstr(csv, "request_fr_minus_ft_auc,\"amun & co\""));
    assert_non_null(strstr(md, "\n## gap\n"));
    assert_non_null(strstr(md, "| AMUN | with retain data | 1 | ua | 0.9 | 0.87 | 0.93 | distinguishable |"));
    assert_null(strstr(md, "nan"));
    assert_null(strstr(csv, "nan"));
    free(csv);
    free(md);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_page_complete),       cmocka_unit_test(test_page_escapes),
        cmocka_unit_test(test_page_self_contained), cmocka_unit_test(test_page_small_inputs),
        cmocka_unit_test(test_page_errors),         cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_text_tables),         cmocka_unit_test(test_page_structure),
        cmocka_unit_test(test_page_sections),       cmocka_unit_test(test_page_hostile),
        cmocka_unit_test(test_group_gap),           cmocka_unit_test(test_all_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
