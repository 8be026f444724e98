// test_study_page.c - the page of a study: every metric that was measured, spreads, names by what differs, tuning.
#include "lt_test.h"
#include "base/base.h"
#include "lethe/report.h"
#include <stdlib.h>

static const char summary[] =
    "{\"study\":\"a <study>\",\"data\":\"synthetic\",\"model\":\"simple-conv\",\"n_bases\":2,\"n_forget_sets\":1,"
    "\"n_repetitions\":1,\"n_oracles\":2,\"rows\":["
    "{\"role\":\"original\",\"method\":\"original\",\"access\":null,\"n_runs\":2,\"metrics\":{"
    "\"ua\":{\"n\":2,\"mean\":0.971,\"sd\":0.015,\"low\":0.96,\"high\":0.98,\"difference\":0.1,\"band\":0.02,"
    "\"verdict\":\"distinguishable\"}},\"verdict\":{\"overall\":\"distinguishable\"}},"
    "{\"role\":\"oracle\",\"method\":\"retrain\",\"access\":null,\"n_runs\":4,\"metrics\":{"
    "\"ua\":{\"n\":4,\"mean\":0.871,\"sd\":0.028}}},"
    "{\"role\":\"method\",\"method\":\"ft\",\"access\":\"retain\",\"n_runs\":2,\"options\":\"epochs=10 lr=0.03\","
    "\"tuned_on_oracle\":true,\"metrics\":{\"ua\":{\"n\":2,\"mean\":0.907,\"sd\":0.019,\"low\":0.9,\"high\":0.91,"
    "\"difference\":0.036,\"band\":0.02,\"verdict\":\"indistinguishable\"},"
    "\"rmia_ft_auc\":{\"n\":2,\"mean\":0.504,\"sd\":0.023},\"avg_gap_rmia\":{\"n\":2,\"mean\":0.0183,\"sd\":0.0065}},"
    "\"verdict\":{\"overall\":\"indistinguishable\"}},"
    "{\"role\":\"method\",\"method\":\"ga\",\"access\":\"forget-only\",\"n_runs\":2,\"options\":\"epochs=10 lr=0.001\","
    "\"metrics\":{\"ua\":{\"n\":2,\"mean\":0.855,\"sd\":0.078}},\"verdict\":{\"overall\":\"too few seeds\"}}],"
    "\"null_band\":{\"ua\":{\"sd\":0.01,\"half_width\":0.021,\"degrees_of_freedom\":2}},"
    "\"lint\":[{\"id\":\"single-seed\",\"severity\":\"warning\",\"text\":\"one <seed>\"}],"
    "\"tuning\":{\"objective\":\"gap-rmia\",\"used_oracle\":true,\"base\":1,\"forget\":\"random:10%\",\"n_tried\":6},"
    "\"parts\":{\"n\":9,\"n_done\":8,\"n_failed\":1},"
    "\"failed\":[{\"part\":\"runs/x\",\"state\":\"failed\",\"error\":\"it <broke>\"}]}";

static lt_report *make_report(lt_study_result *study, char dir[64])
{
    char path[96];
    lt_report *report;
    snprintf(dir, 64, "%s/study-page-XXXXXX", lt_test_root());
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/summary.json", dir);
    assert_ok(lt_write_file_atomic(path, summary, strlen(summary)));
    assert_ok(lt_study_result_read(dir, study));
    unlink(path);
    assert_ok(lt_report_from_runs(&(lt_report_source){.study = study}, &report));
    return report;
}

static void the_page_says_what_was_measured(void **state)
{
    static const char *const want[] = {
        "<title>a &lt;study&gt;</title>",
        "simple-conv on synthetic",
        "A study of 2 original models, 1 forget set, 1 repetition, and 2 retrained models",
        "97.1<small>&plusmn;1.5</small>",
        "90.7<small>&plusmn;1.9</small>", // every line averages its runs
        "RMIA, online FT AUC",
        "50.4<small>&plusmn;2.3</small>",
        "Average gap (RMIA, online)",
        "1.8<small>&plusmn;0.7",
        "<small>lr=0.03</small>",
        "<small>lr=0.001</small>", // names by what differs
        "Every method has epochs=10.",
        "<small>area chosen with an oracle</small>",
        "6 settings were tried on the original model of seed 1",
        "gap-rmia were chosen.",
        "null band \xc2\xb1\x32.1",
        "one &lt;seed&gt;",
        "runs/x: it &lt;broke&gt;",
    };
    static const char *const absent[] = {"LiRA", "<small>epochs", "<script", "<seed>"};
    char dir[64], path[96], *page;
    size_t n;
    lt_study_result study;
    (void)state;
    lt_report *report = make_report(&study, dir);
    snprintf(path, sizeof path, "%s/report.html", dir);
    assert_ok(lt_report_html(lt_report_get(report), path));
    assert_ok(lt_read_file(path, 1 << 20, &page, &n));
    for (size_t i = 0; i < sizeof want / sizeof *want; i++)
        assert_contains(page, want[i]);
    for (size_t i = 0; i < sizeof absent / sizeof *absent; i++)
        if (strstr(page, absent[i]))
            fail_msg("the page has '%s'", absent[i]);
    free(page);
    lt_report_destroy(report);
    lt_study_result_clear(&study);
    unlink(path);
    rmdir(dir);
}

static void its_numbers_are_lines_of_csv(void **state)
{
    char dir[64];
    lt_study_result study;
    (void)state;
    lt_report *report = make_report(&study, dir);
    char *csv = lt_report_all_csv(lt_report_get(report));
    assert_contains(csv, "study,\"Original\",\"\",\"\",\"\",\"ua\",0.97");
    assert_contains(csv, "study,\"ft, retain\",\"\",\"\",\"\",\"rmia_ft_auc\",0.504");
    assert_contains(csv, "study,\"ft, retain\",\"\",\"\",\"\",\"ua\",0.9070");
    assert_contains(csv, "\"single-seed\"");
    free(csv);
    lt_report_destroy(report);
    lt_study_result_clear(&study);
    rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_page_says_what_was_measured),
        cmocka_unit_test(its_numbers_are_lines_of_csv),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
