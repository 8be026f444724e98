// test_wiring.c - every metric arrives under its name: from the structs that hold it to JSON, CSV, Markdown and the
// page.
//
// Fields are set by name here, not through the list of metrics, each to a value that no other field has; a field that
// is read in the place of another one is found by the value that arrives.
#include "base/base.h"
#include "lethe/report.h"
#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { N = 24, K = 2, N_ROWS = 4, ORIGINAL = 0, METHOD = 3, N_ATTACKS = 2 };
#define STEP 0.01         // from one row to the next
#define SECOND_ATTACK 0.4 // of the second attack beyond the first
#define MORE_PHI 0.02     // of the method's phi AUC beyond its step

// key below the result, value of row 0
static const struct {
    const char *key;
    double value;
} of_model[] =
    {
        {"ua", 0.101},
        {"ra", 0.202},
        {"ta", 0.303},
        {"svc_mia.correctness", 0.111},
        {"svc_mia.confidence", 0.212},
        {"svc_mia.entropy", 0.313},
        {"svc_mia.m_entropy", 0.414},
        {"svc_mia.prob", 0.515},
        {"threshold.correctness", 0.121},
        {"threshold.confidence", 0.222},
        {"threshold.entropy", 0.323},
        {"threshold.m_entropy", 0.424},
        {"auc.phi.ft", 0.131},
        {"auc.phi.fr", 0.232},
        {"auc.phi.rt", 0.333},
        {"auc.confidence.ft", 0.141},
        {"auc.confidence.fr", 0.242},
        {"auc.confidence.rt", 0.343},
        {"auc.phi_tpr_at_1_fpr", 0.151},
        {"auc.phi_tpr_at_0_1_fpr", 0.052},
        {"phi_median.retain", 0.601},
        {"phi_median.forget", 0.702},
        {"phi_median.test", 0.803},
},
  of_attack[] = {
      {"ft_auc", 0.161},
      {"fr_auc", 0.262},
      {"rt_auc", 0.363},
      {"ft_tpr_at_1_fpr", 0.171},
      {"fr_tpr_at_1_fpr", 0.272},
      {"rt_tpr_at_1_fpr", 0.373},
      {"ft_tpr_at_0_1_fpr", 0.081},
      {"fr_tpr_at_0_1_fpr", 0.182},
      {"rt_tpr_at_0_1_fpr", 0.283},
      {"ft_accuracy", 0.191},
};

static void fill_audit(lt_audit *a, double d, bool is_method)
{
    *a = (lt_audit){.ua = 0.101 + d, .ra = 0.202 + d, .ta = 0.303 + d, .n = {N / 3, N / 3, N / 3}};
    a->svc = (lt_svc_mia){.correctness = 0.111 + d,
                          .confidence = 0.212 + d,
                          .entropy = 0.313 + d,
                          .m_entropy = 0.414 + d,
                          .prob = 0.515 + d,
                          .n_shadow = 17};
    a->threshold = (lt_threshold_mia){
        .correctness = 0.121 + d, .confidence = 0.222 + d, .entropy = 0.323 + d, .m_entropy = 0.424 + d};
    a->phi = (lt_auc_triple){.ft = 0.131 + d + (is_method ? MORE_PHI : 0), .fr = 0.232 + d, .rt = 0.333 + d};
    a->conf = (lt_auc_triple){.ft = 0.141 + d, .fr = 0.242 + d, .rt = 0.343 + d};
    a->phi_tpr_1 = 0.151 + d;
    a->phi_tpr_01 = 0.052 + d;
    a->phi_median[LT_GROUP_RETAIN] = 0.601 + d;
    a->phi_median[LT_GROUP_FORGET] = 0.702 + d;
    a->phi_median[LT_GROUP_TEST] = 0.803 + d;
}

static lt_mia_metrics attack_metrics(double d)
{
    return (lt_mia_metrics){.auc = {.ft = 0.161 + d, .fr = 0.262 + d, .rt = 0.363 + d},
                            .tpr_1 = {.ft = 0.171 + d, .fr = 0.272 + d, .rt = 0.373 + d},
                            .tpr_01 = {.ft = 0.081 + d, .fr = 0.182 + d, .rt = 0.283 + d},
                            .ft_acc = 0.191 + d};
}

static lt_signals *make_signals(int row)
{
    lt_signals *s = lti_calloc(1, sizeof *s);
    s->n = N;
    s->k = K;
    s->logits = lti_calloc(N * K, sizeof *s->logits);
    s->label = lti_calloc(N, sizeof *s->label);
    s->id = lti_calloc(N, sizeof *s->id);
    s->group = lti_calloc(N, 1);
    for (int i = 0; i < N; i++) {
        s->label[i] = i % K;
        s->id[i] = i;
        s->group[i] = (int8_t)(i % 3);
        s->logits[i * K] = (float)(i * 0.1 - 1.0 + row * 0.01);
        s->logits[i * K + 1] = (float)(row * 0.02 - i * 0.03);
    }
    return s;
}

static void add_row(lt_comparison *c, int row, const char *method)
{
    const double d = STEP * row;
    lt_comparison_row *r;
    char text[24];
    assert_int_equal(lt_comparison_add(c, &r), LT_OK);
    snprintf(text, sizeof text, "runs/%d", row);
    r->run = lti_strdup(text);
    r->method = lti_strdup(method);
    r->uses_retain = 1;
    r->seconds = 12.5 + row;
    r->audited.signals = make_signals(row);
    fill_audit(&r->audited.audit, d, row == METHOD);
    r->audited.n_scores = N_ATTACKS;
    r->audited.score = lti_calloc(N_ATTACKS, sizeof *r->audited.score);
    r->audited.mia = lti_calloc(N_ATTACKS, sizeof *r->audited.mia);
    for (int a = 0; a < N_ATTACKS; a++) {
        r->audited.score[a] = lti_calloc(N, sizeof **r->audited.score);
        r->audited.mia[a] = attack_metrics(d + SECOND_ATTACK * a);
    }
}

static void make_comparison_with(lt_comparison *c, double margin)
{
    static const char *const method[N_ROWS] = {"", "retrain", "retrain", "salun"};
    lt_verdict_cfg verdict;
    lt_options_defaults(lt_verdict_options, &verdict);
    verdict.bootstrap = 0;
    if (margin > 0)
        verdict.verdict_margin = margin;
    *c = (lt_comparison){0};
    for (int i = 0; i < N_ROWS; i++)
        add_row(c, i, method[i]);
    assert_int_equal(
        lt_mia_set_open(&(lt_mia_set_spec){.which = "loss,class_threshold"}, c->row[0].audited.signals, &c->attacks),
        LT_OK);
    lt_comparison_sort(c);
    assert_int_equal(lt_comparison_label(c), LT_OK);
    assert_int_equal(lt_comparison_judge(c, &verdict, 1), LT_OK);
}

static void make_comparison(lt_comparison *c)
{
    make_comparison_with(c, 0);
}

static const json_t *at(const json_t *object, const char *path)
{
    char key[64];
    for (const char *dot; (dot = strchr(path, '.')); path = dot + 1) {
        snprintf(key, sizeof key, "%.*s", (int)(dot - path), path);
        object = json_object_get(object, key);
    }
    return json_object_get(object, path);
}

static void expect(const json_t *object, const char *path, double value)
{
    const json_t *v = at(object, path);
    if (!json_is_number(v) || fabs(json_number_value(v) - value) > 1e-12)
        fail_msg("%s: expected %g, found %g", path, value, json_is_number(v) ? json_number_value(v) : (double)NAN);
}

static void expect_model(const json_t *object, int row)
{
    char path[96];
    for (size_t i = 0; i < sizeof of_model / sizeof *of_model; i++) {
        const bool more = row == METHOD && !strcmp(of_model[i].key, "auc.phi.ft");
        expect(object, of_model[i].key, of_model[i].value + STEP * row + (more ? MORE_PHI : 0));
    }
    expect(object, "svc_mia.n_shadow", 17);
    for (int a = 0; a < N_ATTACKS; a++)
        for (size_t i = 0; i < sizeof of_attack / sizeof *of_attack; i++) {
            snprintf(path, sizeof path, "%s.%s", a ? "class_threshold" : "loss", of_attack[i].key);
            expect(object, path, of_attack[i].value + STEP * row + SECOND_ATTACK * a);
        }
}

// ---- JSON

// Oracles are rows 1 and 2: their mean is 1.5 steps above row 0, the method 1.5 steps above that.
static void expect_bands(const json_t *result, double steps)
{
    static const char *const judged[][2] = {
        {"ua", "0.101"}, {"ra", "0.202"}, {"ta", "0.303"}, {"svc_mia.confidence", "0.212"}, {"loss.ft_auc", "0.161"}};
    char path[96];
    for (size_t i = 0; i < sizeof judged / sizeof *judged; i++) {
        const double base = atof(judged[i][1]);
        snprintf(path, sizeof path, "null_band.%s.mean", judged[i][0]);
        expect(result, path, base + 1.5 * STEP);
        snprintf(path, sizeof path, "null_band.%s.difference", judged[i][0]);
        expect(result, path, steps * STEP);
        snprintf(path, sizeof path, "verdict.%s", judged[i][0]);
        assert_true(json_is_string(at(result, path)));
    }
    expect(result, "avg_gap", fabs(steps) * STEP);
}

// Every member of a null band, of metrics of the model.
static void expect_tests(const json_t *result, const lt_audit_report *report)
{
    static const struct {
        lt_metric_id id;
        const char *key;
    } judged[] = {
        {LT_METRIC_UA, "ua"}, {LT_METRIC_RA, "ra"}, {LT_METRIC_TA, "ta"}, {LT_METRIC_MIS, "svc_mia.confidence"}};
    for (size_t i = 0; i < sizeof judged / sizeof *judged; i++) {
        const lt_equivalence *c = &lt_audit_metric(report, judged[i].id, NULL)->test;
        const struct {
            const char *key;
            double value;
        } member[] = {
            {"mean", c->mean}, {"sd", c->sd},       {"low", c->mean - c->band}, {"high", c->mean + c->band},
            {"p", c->p},       {"bound", c->bound}, {"margin", c->margin},      {"difference", c->difference}};
        assert_true(c->band > 0 && c->p != c->bound);
        for (size_t k = 0; k < sizeof member / sizeof *member; k++) {
            char path[96];
            snprintf(path, sizeof path, "null_band.%s.%s", judged[i].key, member[k].key);
            expect(result, path, member[k].value);
        }
    }
}

static void metrics_arrive_in_the_json_of_a_comparison(void **state)
{
    (void)state;
    lt_comparison c;
    make_comparison(&c);
    char *text = lt_comparison_json(&c);
    json_t *rows = json_loads(text, 0, NULL);
    assert_int_equal(json_array_size(rows), N_ROWS);
    for (int i = 0; i < N_ROWS; i++) {
        const json_t *row = json_array_get(rows, (size_t)i);
        expect_model(row, i);
        expect(row, "seconds", 12.5 + i);
    }
    expect_bands(json_array_get(rows, METHOD), 1.5);
    expect_bands(json_array_get(rows, ORIGINAL), -1.5);
    expect(json_array_get(rows, METHOD), "avg_gap_auc", (3 * 1.5 * STEP + 1.5 * STEP + MORE_PHI) / 4);
    expect(json_array_get(rows, METHOD), "loss.avg_gap", 1.5 * STEP);
    assert_string_equal(json_string_value(at(json_array_get(rows, METHOD), "name")), "SalUn");
    assert_string_equal(json_string_value(at(json_array_get(rows, 1), "role")), "oracle");
    json_decref(rows);
    free(text);
    lt_comparison_clear(&c);
}

static void metrics_arrive_in_the_json_of_an_audit(void **state)
{
    (void)state;
    lt_comparison c;
    make_comparison(&c);
    char *text = lt_audit_report_json(c.row[METHOD].report);
    json_t *result = json_loads(text, 0, NULL);
    expect_model(result, METHOD);
    for (int i = 0; i < 2; i++)
        expect_model(json_array_get(json_object_get(result, "oracles"), (size_t)i), 1 + i);
    expect_bands(result, 1.5);
    expect_tests(result, c.row[METHOD].report);
    json_decref(result);
    free(text);
    lt_comparison_clear(&c);
}

// ---- tables: heading and value of each column

static const struct {
    const char *column, *heading; // CSV, page
    double value;                 // of the method, as it is shown on the page
    int decimals;
    double scale; // of the page
} columns[] = {
    {"forget_acc", "Forget acc., %", 0.101 + 3 * STEP, 1, 100},
    {"retain_acc", "Retain acc., %", 0.202 + 3 * STEP, 1, 100},
    {"test_acc", "Test acc., %", 0.303 + 3 * STEP, 1, 100},
    {"mis", "MIS, %", 0.212 + 3 * STEP, 1, 100},
    {"phi_auc", "phi AUC, %", 0.131 + 3 * STEP + MORE_PHI, 1, 100},
    {"gap_mis", "Avg. gap (MIS)", 1.5 * STEP, 2, 100},
    {"gap_auc", "Avg. gap (AUC)", (6 * STEP + MORE_PHI) / 4, 2, 100},
    {"seconds", "Seconds", 15.5, 1, 1},
};
enum { N_COLUMNS = sizeof columns / sizeof *columns };

static lt_report *make_report(const lt_comparison *c)
{
    lt_report *report;
    const lt_report_source source = {.title = "wiring", .seed = 1, .comparison = c, .n_forget = N / 3};
    assert_int_equal(lt_report_from_runs(&source, &report), LT_OK);
    return report;
}

// The i-th field of a line, fields separated by `mark`; quotes are taken off.
static void field(const char *line, int i, char mark, char out[64])
{
    for (; i > 0; i--)
        line = strchr(line, mark) + 1;
    const char quoted = *line == '"';
    snprintf(out, 64, "%.*s", (int)strcspn(line + quoted, quoted ? "\"" : mark == ',' ? ",\n" : "|\n"), line + quoted);
}

static void metrics_arrive_in_csv_and_markdown(void **state)
{
    (void)state;
    lt_comparison c;
    char found[64], expected[64];
    make_comparison(&c);
    lt_report *report = make_report(&c);
    char *csv = lt_report_csv(lt_report_get(report)), *md = lt_report_markdown(lt_report_get(report));
    const char *row = strstr(csv, "\"SalUn\""), *md_row = strstr(md, "| SalUn");
    for (int i = 0; i < N_COLUMNS; i++) {
        field(csv, 2 + i, ',', found);
        assert_string_equal(found, columns[i].column);
        field(row, 2 + i, ',', found);
        if (fabs(atof(found) - columns[i].value) > 1e-12)
            fail_msg("CSV column %s: expected %g, found %s", columns[i].column, columns[i].value, found);
        field(md_row, 3 + i, '|', found);
        snprintf(expected, sizeof expected, " %.*f ", columns[i].decimals, columns[i].scale * columns[i].value);
        assert_string_equal(found, expected);
    }
    free(csv);
    free(md);
    lt_report_destroy(report);
    lt_comparison_clear(&c);
}

// Text of the i-th cell of this kind after `from`, without markup.
static void cell(const char *from, const char *tag, int i, char out[64])
{
    const char *p = from;
    for (int k = 0; k <= i; k++)
        p = strstr(p, tag) + 1;
    size_t n = 0;
    for (p = strchr(p, '>') + 1; strncmp(p, "</t", 3) != 0 && n < 63; p++) {
        if (*p == '<')
            p = strchr(p, '>');
        else
            out[n++] = *p;
    }
    out[n] = '\0';
}

static void metrics_arrive_on_the_page(void **state)
{
    (void)state;
    const char *path = LT_TEST_BINARY_DIR "/test_wiring.html";
    lt_comparison c;
    char found[64], expected[64], *page = NULL;
    size_t n;
    make_comparison(&c);
    lt_report *report = make_report(&c);
    assert_int_equal(lt_report_html(lt_report_get(report), path), LT_OK);
    assert_int_equal(lt_read_file(path, 1 << 24, &page, &n), LT_OK);
    const char *table = strstr(page, "<thead>"), *row = strstr(table, ">SalUn ");
    assert_non_null(row);
    for (int i = 0; i < N_COLUMNS; i++) {
        cell(table, "<th", 2 + i, found); // after <thead> and the name
        assert_string_equal(found, columns[i].heading);
        cell(row, "<td", i, found);
        snprintf(expected, sizeof expected, "%.*f", columns[i].decimals, columns[i].scale * columns[i].value);
        assert_string_equal(found, expected);
    }
    free(page);
    lt_report_destroy(report);
    lt_comparison_clear(&c);
}

// A margin that everything holds: the original is indistinguishable, and nothing follows for the method. The same word
// in the results, on the page and among its numbers.
static void a_blind_study_cannot_tell(void **state)
{
    (void)state;
    const char *path = LT_TEST_BINARY_DIR "/test_wiring_blind.html", *words = lt_verdict_text(LT_VERDICT_CANNOT_TELL);
    lt_comparison c;
    char *page = NULL;
    size_t n;
    make_comparison_with(&c, 1);
    char *text = lt_comparison_json(&c), *audit = lt_audit_report_json(c.row[METHOD].report);
    json_t *rows = json_loads(text, 0, NULL), *result = json_loads(audit, 0, NULL);
    assert_string_equal(json_string_value(at(json_array_get(rows, METHOD), "verdict.overall")), words);
    assert_string_equal(json_string_value(at(json_array_get(rows, ORIGINAL), "verdict.overall")), words);
    assert_string_equal(json_string_value(at(json_array_get(rows, METHOD), "verdict.ta")), words);
    assert_null(strstr(text, "\"indistinguishable\""));
    assert_string_equal(json_string_value(at(result, "verdict.overall")), words);
    assert_string_equal(json_string_value(at(result, "original.verdict.overall")), words);
    assert_string_equal(json_string_value(at(result, "original.run")), "runs/0");
    expect(result, "original.ua", 0.101);
    assert_null(strstr(audit, "\"indistinguishable\""));
    json_decref(rows);
    json_decref(result);
    free(text);
    free(audit);
    lt_report *report = make_report(&c);
    assert_int_equal(lt_report_html(lt_report_get(report), path), LT_OK);
    assert_int_equal(lt_read_file(path, 1 << 24, &page, &n), LT_OK);
    const char *row = strstr(strstr(page, "<thead>"), ">SalUn ");
    const char *answer = strstr(page, "This study cannot tell");
    assert_non_null(answer);
    assert_true(answer < strstr(page, "<nav")); // what the page opens with
    assert_non_null(row && strstr(row, words));
    assert_null(strstr(page, ">indistinguishable<"));
    free(page);
    char *csv = lt_report_all_csv(lt_report_get(report));
    assert_non_null(strstr(csv, words));
    assert_null(strstr(csv, "indistinguishable"));
    free(csv);
    lt_report_destroy(report);
    lt_comparison_clear(&c);
}

// Only the metrics of forgotten samples are withheld where the original is distinguishable as a whole.
static void an_original_is_held_against_each_metric(void **state)
{
    (void)state;
    lt_comparison c;
    make_comparison_with(&c, 1);
    lt_audit_report *method = c.row[METHOD].report, *original = c.row[ORIGINAL].report;
    original->overall = LT_VERDICT_DIFFERENT;
    method->overall = LT_VERDICT_SAME;
    for (int i = 0; i < method->n_metrics; i++) {
        method->metric[i].test.verdict = LT_VERDICT_SAME;
        original->metric[i].test.verdict = LT_VERDICT_SAME;
    }
    original->metric[0].test.verdict = LT_VERDICT_DIFFERENT; // forget accuracy
    lt_audit_judge_original(method, original);
    assert_int_equal(method->overall, LT_VERDICT_SAME);
    assert_int_equal(lt_audit_metric(method, LT_METRIC_UA, NULL)->test.verdict, LT_VERDICT_SAME);
    assert_int_equal(lt_audit_metric(method, LT_METRIC_TA, NULL)->test.verdict, LT_VERDICT_SAME);
    assert_int_equal(lt_audit_metric(method, LT_METRIC_MIS, NULL)->test.verdict, LT_VERDICT_CANNOT_TELL);
    // an original that differs in retained and test samples alone: no metric of forgotten samples can tell
    original->metric[0].test.verdict = LT_VERDICT_SAME;
    lt_audit_judge_original(method, original);
    assert_int_equal(method->overall, LT_VERDICT_CANNOT_TELL);
    assert_int_equal(lt_audit_metric(method, LT_METRIC_TA, NULL)->test.verdict, LT_VERDICT_SAME);
    lt_comparison_clear(&c);
}

static void set_identity(lt_comparison_row *r, const char *digest, const char *parent, const char *data)
{
    snprintf(r->identity.digest, sizeof r->identity.digest, "%s", digest);
    snprintf(r->identity.parent_digest, sizeof r->identity.parent_digest, "%s", parent);
    snprintf(r->identity.data_digest, sizeof r->identity.data_digest, "%s", data);
    snprintf(r->identity.method, sizeof r->identity.method, "%s", r->method);
}

static void rows_of_other_originals_or_data_are_refused(void **state)
{
    (void)state;
    lt_comparison c = {0};
    add_row(&c, 0, "");
    add_row(&c, 1, "retrain");
    add_row(&c, 2, "salun");
    set_identity(&c.row[0], "first", "", "data");
    set_identity(&c.row[1], "r", "first", "data");
    set_identity(&c.row[2], "s", "first", "data");
    assert_int_equal(lt_comparison_check_originals(&c), LT_OK);
    set_identity(&c.row[2], "s", "second", "data");
    assert_int_equal(lt_comparison_check_originals(&c), LT_E_USAGE);
    assert_non_null(strstr(lt_error_get()->message, "different original models"));
    set_identity(&c.row[2], "s", "first", "other");
    assert_int_equal(lt_comparison_check_originals(&c), LT_E_USAGE);
    assert_non_null(strstr(lt_error_get()->message, "different data sets"));
    set_identity(&c.row[2], "s", "first", "data");
    set_identity(&c.row[0], "second", "", "data");
    assert_int_equal(lt_comparison_check_originals(&c), LT_E_USAGE);
    assert_non_null(strstr(lt_error_get()->message, "is not the original model"));
    lt_comparison_clear(&c);
}

// The lines of every metric with its interval and verdict.
static void metrics_arrive_among_all_numbers(void **state)
{
    (void)state;
    lt_comparison c;
    char expected[160];
    make_comparison(&c);
    lt_report *report = make_report(&c);
    char *csv = lt_report_all_csv(lt_report_get(report));
    static const struct {
        const char *key;
        double value;
    } judged[] = {{"ua", 0.101},          {"ra", 0.202},          {"ta", 0.303},         {"svc_mia.confidence", 0.212},
                  {"loss.ft_auc", 0.161}, {"loss.fr_auc", 0.262}, {"loss.rt_auc", 0.363}};
    for (size_t i = 0; i < sizeof judged / sizeof *judged; i++) {
        snprintf(expected, sizeof expected, "\"runs/3\",\"%s\",%.17g,", judged[i].key, judged[i].value + 3 * STEP);
        if (!strstr(csv, expected))
            fail_msg("no line with %s", expected);
    }
    free(csv);
    lt_report_destroy(report);
    lt_comparison_clear(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(metrics_arrive_in_the_json_of_a_comparison),
        cmocka_unit_test(metrics_arrive_in_the_json_of_an_audit),
        cmocka_unit_test(metrics_arrive_in_csv_and_markdown),
        cmocka_unit_test(metrics_arrive_on_the_page),
        cmocka_unit_test(metrics_arrive_among_all_numbers),
        cmocka_unit_test(a_blind_study_cannot_tell),
        cmocka_unit_test(an_original_is_held_against_each_metric),
        cmocka_unit_test(rows_of_other_originals_or_data_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
