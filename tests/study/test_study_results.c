// test_study_results.c - that every metric of a study arrives under its name, in rows, summaries and verdicts.
#include "study/runner_fixture.h"

static void every_metric_arrives_under_its_name(void **state)
{
    static const struct {
        const char *column;
        double digit;
    } want[] = {{"ua", 0.01},         {"ra", 0.02},          {"ta", 0.03},         {"mis", 0.04},
                {"phi_ft_auc", 0.05}, {"rmia_ft_auc", 0.06}, {"rmia_fr_auc", 0.07}};
    world *w = *state;
    lt_study_result x = run_session(w, FT);
    assert_int_equal(x.n_rows, 4); // original, two oracles, one run
    const lt_study_row *run = row_of(&x, LT_STUDY_METHOD, 0), *oracle = row_of(&x, LT_STUDY_RETRAINED, 1);
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        assert_near(value_of(&x, row_of(&x, LT_STUDY_ORIGINAL, 0), want[i].column), 0.1 + want[i].digit, 1e-12);
        assert_near(value_of(&x, run, want[i].column), 0.4 + want[i].digit, 1e-12);
        assert_near(value_of(&x, oracle, want[i].column), 0.3 + want[i].digit, 1e-12);
    }
    assert_near(value_of(&x, run, "rmia_ft_tpr_at_1_fpr"), 0.405, 1e-12);
    assert_near(value_of(&x, run, "rmia_ft_tpr_at_0_1_fpr"), 0.406, 1e-12);
    assert_near(value_of(&x, run, "phi_ft_tpr_at_1_fpr"), 0.401, 1e-12);
    assert_true(isnan(value_of(&x, run, "lira_ft_auc"))); // not asked for
    // every metric of the run is 0.15 from the mean of the oracles; an oracle is 0.1 from the other one
    assert_near(value_of(&x, run, "avg_gap_mis"), 0.15, 1e-12);
    assert_near(value_of(&x, run, "avg_gap_rmia"), 0.15, 1e-12);
    assert_near(value_of(&x, oracle, "avg_gap_auc"), 0.1, 1e-12);
    // the stand-in calls every model indistinguishable, the original too
    assert_string_equal(run->verdict, "this study cannot tell");
    assert_string_equal(row_of(&x, LT_STUDY_ORIGINAL, 0)->verdict, "this study cannot tell");
    assert_string_equal(run->verdict_ua, "distinguishable");
    assert_string_equal(run->lint, "few-test");
    assert_null(oracle->verdict);
    for (int i = 0; i < LT_STUDY_EVAL; i++) {
        assert_near(run->forward[i], 1 + 2 * i, 0);
        assert_near(run->backward[i], 2 + 2 * i, 0);
    }
    assert_near(run->seconds[LT_STUDY_SEARCH], 7, 0);
    assert_near(run->seconds[LT_STUDY_EVAL], 10, 0);
    lt_study_result_clear(&x);
}

// The first of two methods has the smaller gap and is not ranked: the forgotten class keeps its accuracy.
static void what_does_not_forget_a_class_is_not_ranked(void **state)
{
    static const char text[] = "data: synthetic,train=40,test=20\nmodel: simple-conv:width=4\nbases: [1]\n"
                               "forget: ['class:3']\noracles: [1, 2]\nmethods:\n" FT
                               "  - {method: rl, access: [retain], options: {epochs: 1}}\n";
    world *w = *state;
    lt_study_result x;
    session s = open_text(w, text, NULL);
    assert_ok(lt_study_run(s.runner));
    assert_ok(lt_study_summarize(s.runner, &x));
    const int gap = lti_study_metric_index(&x, "class_mia_gap"), acc_f = lti_study_metric_index(&x, "acc_f");
    int n_methods = 0;
    for (int i = 0; i < x.n_summaries; i++) {
        const lt_study_summary *of = &x.summary[i];
        if (of->role != LT_STUDY_METHOD)
            continue;
        const bool is_first = !strcmp(of->method, "ft");
        assert_near(of->value[acc_f].mean, is_first ? 0.9 : 0.1, 1e-12);
        assert_near(of->value[gap].mean, is_first ? 0.4 : 0.5, 1e-12);
        assert_int_equal(of->rank[gap], is_first ? 0 : 1);
        n_methods++;
    }
    assert_int_equal(n_methods, 2);
    lt_study_result_clear(&x);
    close_session(&s);
}

static void assert_same_summary(const lt_study_result *a, const lt_study_result *b)
{
    assert_int_equal(a->n_summaries, b->n_summaries);
    for (int i = 0; i < a->n_summaries; i++) {
        const lt_study_summary *x = &a->summary[i], *y = &b->summary[i];
        assert_int_equal(x->role, y->role);
        assert_string_equal(x->method, y->method);
        assert_int_equal(x->n_runs, y->n_runs);
        assert_string_equal(x->verdict ? x->verdict : "", y->verdict ? y->verdict : "");
        for (int m = 0; m < a->n_metrics; m++) {
            assert_int_equal(x->value[m].n, y->value[m].n);
            assert_int_equal(x->rank[m], y->rank[m]);
            assert_int_equal(x->value[m].is_compared, y->value[m].is_compared);
            if (x->value[m].n)
                assert_near(x->value[m].mean, y->value[m].mean, 0);
        }
    }
}

// A margin that everything holds: runs together are told no more than single ones, and the words are read back.
static void a_study_whose_original_passes_cannot_tell(void **state)
{
    world *w = *state;
    lt_study_result x = run_session(w, FT "audit: {verdict-margin: 1}\n"), y;
    const lt_study_summary *original = &x.summary[0], *method = &x.summary[x.n_summaries - 1];
    const int ua = lti_study_metric_index(&x, "ua");
    assert_int_equal(original->role, LT_STUDY_ORIGINAL);
    assert_string_equal(original->verdict, "this study cannot tell");
    assert_string_equal(method->verdict, "this study cannot tell");
    assert_int_equal(method->value[ua].test.verdict, LT_VERDICT_CANNOT_TELL);
    assert_int_equal(method->n_verdicts[LT_VERDICT_CANNOT_TELL], 1);
    assert_ok(lt_study_result_write(&x));
    assert_ok(lt_study_result_read(w->out, &y));
    assert_string_equal(y.summary[y.n_summaries - 1].verdict, "this study cannot tell");
    assert_int_equal(y.summary[y.n_summaries - 1].value[ua].test.verdict, LT_VERDICT_CANNOT_TELL);
    lt_study_result_clear(&x);
    lt_study_result_clear(&y);
}

static void a_result_is_read_back(void **state)
{
    world *w = *state;
    lt_study_result x = run_session(w, SEARCH), y;
    assert_fails(LT_E_INPUT, "expected a finished study", lt_study_result_read(w->out, &y));
    assert_ok(lt_study_result_write(&x));
    assert_true(lt_is_study_dir(w->out));
    assert_ok(lt_study_result_read(w->out, &y));
    assert_same_summary(&x, &y);
    char *a = lt_study_result_json(&x), *b = lt_study_result_json(&y);
    assert_string_equal(a, b); // nothing of summary.json is lost
    free(a);
    free(b);
    lt_study_result_clear(&x);
    lt_study_result_clear(&y);
    assert_fails(LT_E_INPUT, "summary.json", lt_study_result_read(w->dir, &y));
    char path[320];
    snprintf(path, sizeof path, "%s/summary.json", w->out);
    assert_ok(lt_write_file_atomic(path, "{\"rows\": 1}", 11));
    assert_fails(LT_E_FORMAT, "expected the summary of a study", lt_study_result_read(w->out, &y));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_metric_arrives_under_its_name, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_does_not_forget_a_class_is_not_ranked, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_study_whose_original_passes_cannot_tell, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_result_is_read_back, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
