// test_runner.c - the jobs of a study, run by a stand-in for the command: what identifies a job, that every metric
// arrives under its name, what is made again, and what happens when jobs fail.
#include "lt_test.h"
#include "base/base.h"
#include "lethe/study.h"
#include "study/runner_impl.h"
#include <math.h>
#include <stdlib.h>
#include <sys/stat.h>

// The k-th model of an audit (the original is 0, oracles 1 and 2, runs 3 and 4) has metrics that are k hundredths and
// thousandths of their own, so that no two are equal. A run with the option lr=13 fails, one with lr=14 diverges.
static const char stand_in[] =
    "echo \"$*\" >>\"$(dirname \"$0\")/calls\"\n"
    "model() { echo \"{\\\"ua\\\":0.$1"
    "1,\\\"ra\\\":0.$1"
    "2,\\\"ta\\\":0.$1"
    "3,\\\"avg_gap\\\":0.$1"
    "8,\\\"avg_gap_auc\\\":0.$1"
    "9,\"\n"
    "  echo \"\\\"svc_mia\\\":{\\\"confidence\\\":0.$1"
    "4},\\\"rmia\\\":{\\\"ft_auc\\\":0.$1"
    "6,\\\"fr_auc\\\":0.$1"
    "7,\"\n"
    "  echo \"\\\"ft_tpr_at_1_fpr\\\":0.$1"
    "05,\\\"ft_tpr_at_0_1_fpr\\\":0.$1"
    "06},\"\n"
    "  echo \"\\\"auc\\\":{\\\"phi\\\":{\\\"ft\\\":0.$1"
    "5},\\\"phi_tpr_at_1_fpr\\\":0.$1"
    "01},\"\n"
    "  echo \"\\\"lint\\\":[{\\\"id\\\":\\\"few-test\\\",\\\"text\\\":\\\"few\\\"}],\"\n"
    "  echo \"\\\"verdict\\\":{\\\"overall\\\":\\\"indistinguishable\\\",\\\"ua\\\":\\\"distinguishable\\\"}\"; }\n"
    "out= also=-2 oracles=0\n"
    "for a; do case $a in --out=*) out=${a#--out=};; --oracle=*) oracles=$((oracles+1));;\n"
    "  --lr=13) echo '{\"error\":{\"message\":\"thirteen\"}}'; exit 1;; --lr=14) exit 5;; -*) ;;\n"
    "  *) also=$((also+1));; esac; done\n" // arguments after the verb and the audited run
    "case $1 in\n"
    "train|unlearn) mkdir -p $out; echo '{\"passes\":{\"search\":{\"forward\":1,\"backward\":2},\"mask\":"
    "{\"forward\":3,\"backward\":4},\"update\":{\"forward\":5,\"backward\":6}},\"time\":{\"search_s\":7,\"mask_s\":8,"
    "\"update_s\":9,\"eval_s\":10}}' >$out/result.json; : >$out/DONE; echo '{}';;\n"
    "store) case $out in *.npz) : >$out;; esac; echo '{}';;\n"
    "audit) model 1; k=0; echo ',\"oracles\":['; while [ $k -lt $oracles ]; do [ $k = 0 ] || echo ,; k=$((k+1));\n"
    "  model $((k+1)); echo '}'; done; k=0; echo '],\"also\":['; while [ $k -lt $also ]; do [ $k = 0 ] || echo ,;\n"
    "  k=$((k+1)); model $((k+3)); echo '}'; done; echo ']}';;\n"
    "esac\n";

static const char basic[] =
    "study: stand-in\n"
    "data: synthetic,train=40,test=20\n"
    "model: simple-conv:width=4\n"
    "bases: [1]\n"
    "forget: [{spec: 'random:25%', seed: 1}]\n"
    "oracles: [1, 2]\n"
    "references: {count: 4}\n"
    "tuning: {base: 1, forget: {spec: 'random:25%', seed: 9}, objective: gap-mis, oracles: [1]}\n";

static void assert_near(double a, double b, double tolerance)
{
    if (!(fabs(a - b) <= tolerance))
        fail_msg("expected %.15g, got %.15g", b, a);
}

typedef struct world {
    char dir[256], out[300], calls[300];
    lt_executor *executor;
    lt_dataset *ds;
} world;

static int set_up(void **state)
{
    world *w = calloc(1, sizeof *w);
    char program[300], script[sizeof stand_in + 16];
    snprintf(w->dir, sizeof w->dir, "%s/runner-XXXXXX", lt_test_root());
    if (!mkdtemp(w->dir))
        return 1;
    snprintf(w->out, sizeof w->out, "%s/out", w->dir);
    snprintf(w->calls, sizeof w->calls, "%s/calls", w->dir);
    snprintf(program, sizeof program, "%s/program", w->dir);
    snprintf(script, sizeof script, "#!/bin/sh\n%s", stand_in);
    assert_ok(lt_write_file_atomic(program, script, strlen(script)));
    chmod(program, 0755);
    assert_ok(lt_executor_open("local", &(lt_executor_cfg){.program = program, .slots = 2}, &w->executor));
    assert_ok(lt_dataset_open("synthetic,train=40,test=20", NULL, &w->ds));
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    world *w = *state;
    char command[400];
    lt_executor_close(w->executor);
    lt_dataset_close(w->ds);
    snprintf(command, sizeof command, "rm -rf %s", w->dir);
    const int failed = system(command); // NOLINT(cert-env33-c)
    free(w);
    return failed;
}

typedef struct session { // one study with its runner
    lt_study *study;
    lt_study_runner *runner;
} session;

static session open_session(world *w, const char *methods, const lt_interrupt_flag *stop)
{
    char text[sizeof basic + 512];
    session s;
    snprintf(text, sizeof text, "%smethods:\n%s", basic, methods);
    assert_ok(lt_study_parse(text, strlen(text), "s.yaml", &s.study));
    assert_ok(lt_study_runner_create(
        &(lt_study_order){.study = s.study, .ds = w->ds, .out = w->out, .executor = w->executor, .stop = stop},
        &s.runner));
    return s;
}

static void close_session(session *s)
{
    lt_study_runner_destroy(s->runner);
    lt_study_close(s->study);
}

static lt_study_result run_session(world *w, const char *methods)
{
    lt_study_result x;
    session s = open_session(w, methods, NULL);
    assert_ok(lt_study_run(s.runner));
    assert_ok(lt_study_summarize(s.runner, &x));
    close_session(&s);
    return x;
}

static double value_of(const lt_study_result *x, const lt_study_row *row, const char *column)
{
    const int m = lti_study_metric_index(x, column);
    assert_true(m >= 0);
    return row->value[m];
}

static int count_calls(const world *w, const char *part)
{
    char *text;
    size_t n_bytes;
    int n = 0;
    if (lt_read_file(w->calls, 1 << 20, &text, &n_bytes) != LT_OK)
        return 0;
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
        n += strstr(line, part) != NULL;
    free(text);
    return n;
}

#define FT "  - {method: ft, access: [retain], options: {epochs: 1}}\n"
#define SEARCH "  - {method: ft, access: [retain], grid: {lr: [0.1, 0.2]}}\n"

// ---- jobs

static int count_jobs(const lt_study_plan *plan, const char *part)
{
    int n = 0;
    for (int i = 0; i < plan->n_jobs; i++)
        n += strstr(plan->job[i].id, part) != NULL;
    return n;
}

static void a_forget_set_may_belong_to_one_original_model(void **state)
{
    static const char text[] = "data: synthetic,train=40,test=20\nmodel: simple-conv:width=4\nbases: [1, 2, 3]\n"
                               "forget: [{spec: 'random:25%', seed: 1, bases: [1]}, {spec: 'random:25%', seed: 2, "
                               "bases: [2, 3]}]\noracles: [1, 2]\nmethods:\n" FT;
    world *w = *state;
    session s;
    lt_study_plan plan;
    assert_ok(lt_study_parse(text, sizeof text - 1, "s.yaml", &s.study));
    assert_ok(lt_study_runner_create(
        &(lt_study_order){.study = s.study, .ds = w->ds, .out = w->out, .executor = w->executor}, &s.runner));
    assert_ok(lt_study_plan_make(s.runner, false, "auto", &plan));
    assert_int_equal(count_jobs(&plan, "bases/"), 3);
    assert_int_equal(count_jobs(&plan, "oracles/"), 6);
    assert_int_equal(count_jobs(&plan, "oracles/b1-random-25pct-s1"), 2);
    assert_int_equal(count_jobs(&plan, "runs/ft/retain/b1-random-25pct-s1"), 1);
    assert_int_equal(count_jobs(&plan, "runs/ft/retain/"), 3);
    assert_int_equal(count_jobs(&plan, "audits/b3-random-25pct-s2"), 1);
    assert_int_equal(count_jobs(&plan, "audits/"), 3);
    lt_study_plan_clear(&plan);
    close_session(&s);
}

// ---- results

static const lt_study_row *row_of(const lt_study_result *x, lt_study_role role, int k)
{
    for (int i = 0; i < x->n_rows; i++)
        if (x->row[i].role == role && k-- == 0)
            return &x->row[i];
    fail_msg("no row of role %d", role);
    abort();
}

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
    assert_false(lt_is_study_dir(w->out));
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

static void the_smallest_objective_is_chosen(void **state)
{
    world *w = *state;
    lt_study_result x = run_session(w, SEARCH);
    assert_int_equal(x.n_trials, 2);
    assert_near(x.trial[0].value, 0.48, 1e-12); // gap-mis
    assert_near(x.trial[1].value, 0.58, 1e-12);
    assert_true(x.trial[0].is_chosen && !x.trial[1].is_chosen);
    assert_near(x.trial[0].gap_auc, 0.49, 1e-12);
    assert_near(x.trial[0].n_forward, 9, 0);
    assert_near(x.trial[0].n_backward, 12, 0);
    assert_string_equal(row_of(&x, LT_STUDY_METHOD, 0)->options, "lr=0.1");
    assert_true(x.uses_oracle);
    assert_string_equal(x.objective, "gap-mis");
    const lt_study_summary *method = &x.summary[x.n_summaries - 1];
    assert_true(method->tuned_on_oracle && !x.summary[0].tuned_on_oracle);
    bool said = false;
    for (int i = 0; i < x.lint.n; i++)
        said = said || (!strcmp(x.lint.item[i].id, "tuned-on-oracle") &&
                        !strncmp(x.lint.item[i].text, "ft (retain): the learning-rate area was chosen by gap-mis", 57));
    assert_true(said);
    lt_study_result_clear(&x);
}

// Of the base run's augmentation, the access and the form that the method chooses.
static void default_areas_are_those_of_the_setting(void **state)
{
    static const char *const want[] = {
        "tuning/ft/retain/lr-area=10",       "tuning/ft/retain/lr-area=30",  "tuning/ft/retain/lr-area=90",
        "tuning/amun/retain/lr-area=5",      "tuning/amun/retain/lr-area=7", "tuning/amun/forget-only/lr-area=0.2",
        "tuning/amun/forget-only/lr-area=7",
    };
    world *w = *state;
    session s = open_session(w,
                             "  - {method: ft, access: [retain], grid: {lr-area: default}}\n"
                             "  - {method: amun, grid: {lr-area: [x1, 7]}}\n",
                             NULL);
    size_t n = 0;
    for (int i = 0; i < s.runner->n_jobs; i++)
        if (s.runner->job[i].kind == LT_STUDY_TRIAL) {
            assert_true(n < sizeof want / sizeof *want);
            assert_string_equal(s.runner->job[i].id, want[n++]);
        }
    assert_int_equal(n, sizeof want / sizeof *want);
    close_session(&s);
}

static void areas_must_be_known_and_differ(void **state)
{
    world *w = *state;
    static const struct {
        const char *method, *message;
    } bad[] = {
        {"{method: scrub, access: [retain], grid: {lr-area: default}}", "lr-area: scrub states no default area"},
        {"{method: ft, access: [retain], grid: {lr-area: [x1, 30]}}", "settings 1 and 2 of ft are the same"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[sizeof basic + 512];
        lt_study *study;
        lt_study_runner *runner;
        snprintf(text, sizeof text, "%smethods:\n  - %s\n", basic, bad[i].method);
        assert_ok(lt_study_parse(text, strlen(text), "s.yaml", &study));
        const lt_study_order order = {.study = study, .ds = w->ds, .out = w->out, .executor = w->executor};
        assert_fails(LT_E_USAGE, bad[i].message, lt_study_runner_create(&order, &runner));
        lt_study_close(study);
    }
}

// ---- what is made again

static void finished_jobs_are_kept(void **state)
{
    world *w = *state;
    lt_study_result x = run_session(w, FT);
    const int n_calls = count_calls(w, "");
    assert_int_equal(n_calls, 7); // original, two oracles, models, outputs, run, audit
    assert_int_equal(x.n_jobs, 7);
    assert_int_equal(count_calls(w, "--inclusion-seed=0"), 2); // names of options as they are now
    assert_int_equal(count_calls(w, "--use-retain-data"), 1);
    assert_int_equal(count_calls(w, "--keep-seed") + count_calls(w, "--also") + count_calls(w, "--retain"), 0);
    lt_study_result_clear(&x);
    x = run_session(w, FT);
    assert_int_equal(count_calls(w, ""), n_calls);
    assert_int_equal(x.n_existing, 7);
    lt_study_result_clear(&x);
    x = run_session(w, "  - {method: ft, access: [retain], options: {epochs: 2}}\n");
    assert_int_equal(count_calls(w, ""), n_calls + 2); // the run and its audit
    assert_int_equal(count_calls(w, "--epochs=2"), 1);
    assert_int_equal(count_calls(w, "--force"), 1);
    lt_study_result_clear(&x);
}

// Also when the runner that made something again did not live to see what depends on it.
static void what_was_made_again_is_known_later(void **state)
{
    world *w = *state;
    char path[400];
    lt_study_result x = run_session(w, FT);
    lt_study_result_clear(&x);
    const int n_calls = count_calls(w, "");
    session s = open_session(w, FT, NULL); // the oracle alone, as if its runner were killed then
    for (int i = 0; i < s.runner->n_jobs; i++) {
        lti_study_job *j = &s.runner->job[i];
        if (!strcmp(j->id, "oracles/b1-random-25pct-s1-o2")) {
            bool ready;
            assert_ok(lti_study_check_job(s.runner, &s.runner->job[0], &ready));
            assert_ok(lti_study_check_job(s.runner, j, &ready));
            assert_int_equal(j->state, LT_STUDY_DONE);
            lti_study_name_product(s.runner, j);
            assert_ok(lti_study_save_record(s.runner, j, "done"));
        }
    }
    close_session(&s);
    x = run_session(w, FT);
    assert_int_equal(count_calls(w, ""), n_calls + 1); // the audit
    assert_int_equal(count_calls(w, "audit"), 2);
    lt_study_result_clear(&x);
    // a record of an older version, which has no names of products, stands
    snprintf(path, sizeof path, "%s/parts/audits/b1-random-25pct-s1.json", w->out);
    char *text, *from;
    size_t n;
    assert_ok(lt_read_file(path, 1 << 16, &text, &n));
    from = strstr(text, "\"from\"");
    assert_non_null(from);
    from[1] = 'F'; // an unknown key
    assert_ok(lt_write_file_atomic(path, text, n));
    free(text);
    x = run_session(w, FT);
    assert_int_equal(count_calls(w, "audit"), 2);
    lt_study_result_clear(&x);
}

static void a_job_that_fails_does_not_stop_the_others(void **state)
{
    world *w = *state;
    lt_study_result x = run_session(w, FT "  - {name: bad, method: ft, access: [retain], options: {lr: 13}}\n"
                                          "  - {name: wild, method: ft, access: [retain], grid: {lr: [14]}}\n");
    assert_int_equal(x.n_in_state[LT_STUDY_FAILED], 1);
    assert_int_equal(x.n_in_state[LT_STUDY_UNFIT], 1);
    assert_int_equal(x.n_in_state[LT_STUDY_BLOCKED], 2); // choice and run of the one that diverged
    assert_string_equal(x.failure[0].error, "no setting of this search gave a model");
    bool found = false;
    for (int i = 0; i < x.n_failures; i++)
        found = found || (x.failure[i].state == LT_STUDY_FAILED && !strcmp(x.failure[i].error, "thirteen"));
    assert_true(found);
    assert_non_null(row_of(&x, LT_STUDY_METHOD, 0));
    lt_study_result_clear(&x);
}

// A run that did not finish cannot be continued under another name: its configuration has paths.
static void a_moved_directory_begins_failed_jobs_anew(void **state)
{
    world *w = *state;
    char moved[300];
    const char methods[] = "  - {name: bad, method: ft, access: [retain], options: {lr: 13}}\n";
    lt_study_result x = run_session(w, methods);
    lt_study_result_clear(&x);
    x = run_session(w, methods);
    lt_study_result_clear(&x);
    assert_int_equal(count_calls(w, "--lr=13"), 2);
    assert_int_equal(count_calls(w, "--force"), 0);
    snprintf(moved, sizeof moved, "%s/moved", w->dir);
    assert_int_equal(rename(w->out, moved), 0);
    memcpy(w->out, moved, sizeof w->out);
    x = run_session(w, methods);
    assert_int_equal(x.n_existing, x.n_jobs - 1); // all but the one that fails
    lt_study_result_clear(&x);
    assert_int_equal(count_calls(w, "--force"), 1);
}

static void an_interrupted_study_says_so(void **state)
{
    world *w = *state;
    lt_interrupt_flag stop = 1;
    session s = open_session(w, FT, &stop);
    assert_fails(LT_E_INTERRUPTED, "0 of 7 parts are done", lt_study_run(s.runner));
    close_session(&s);
}

static void a_directory_has_one_runner(void **state)
{
    world *w = *state;
    session s = open_session(w, FT, NULL);
    s.runner->order.join = true;
    int lock, other;
    assert_ok(lti_study_lock_dir(s.runner, &lock));
    assert_ok(lti_study_lock_dir(s.runner, &other)); // both join
    s.runner->order.join = false;
    assert_fails(LT_E_BUSY, "works in this directory", lt_study_run(s.runner));
    lti_study_unlock_dir(lock);
    lti_study_unlock_dir(other);
    assert_ok(lt_study_run(s.runner));
    close_session(&s);
}

static void a_claimed_job_is_nobody_elses(void **state)
{
    world *w = *state;
    session a = open_session(w, FT, NULL), b = open_session(w, FT, NULL);
    a.runner->order.join = b.runner->order.join = true;
    assert_ok(lti_study_claim(a.runner, &a.runner->job[0]));
    assert_fails(LT_E_BUSY, "bases/b1: another sweep has claimed it", lti_study_claim(b.runner, &b.runner->job[0]));
    assert_ok(lti_study_claim(b.runner, &b.runner->job[1]));
    lti_study_release(&a.runner->job[0]);
    assert_ok(lti_study_claim(b.runner, &b.runner->job[0]));
    close_session(&a);
    close_session(&b);
}

// ---- identity

static const lti_study_job *identify(session *s, lt_study_kind kind)
{
    for (int i = 0; i < s->runner->n_jobs; i++) {
        lti_study_job *j = &s->runner->job[i];
        if (j->kind != kind)
            continue;
        assert_ok(lti_study_identify(s->runner, j, &j->identity));
        return j;
    }
    fail_msg("no job of kind %d", kind);
    abort();
}

static void a_job_is_identified_by_its_options(void **state)
{
    world *w = *state;
    session a = open_session(w, FT, NULL),
            b = open_session(w, "  - {method: ft, access: [retain], options: {epochs: 2}}\n", NULL);
    char first[65];
    memcpy(first, identify(&a, LT_STUDY_RUN)->identity.digest, sizeof first);
    assert_string_equal(first, identify(&a, LT_STUDY_RUN)->identity.digest);
    assert_string_not_equal(first, identify(&b, LT_STUDY_RUN)->identity.digest);
    assert_string_equal(identify(&a, LT_STUDY_BASE)->identity.digest, identify(&b, LT_STUDY_BASE)->identity.digest);
    assert_string_not_equal(first, identify(&a, LT_STUDY_BASE)->identity.digest);
    b.runner->out = b.runner->out + 1; // directories can be moved
    const lti_study_job *base = identify(&b, LT_STUDY_BASE);
    assert_string_equal(identify(&a, LT_STUDY_BASE)->identity.digest, base->identity.digest);
    lti_arena arena = {0};
    const char *const *args;
    assert_ok(lti_study_command(&base->identity, "elsewhere", NULL, &arena, &args));
    assert_string_equal(args[0], "train");
    assert_string_equal(args[1], "--data=synthetic,train=40,test=20");
    assert_string_equal(args[3], "--seed=1");
    assert_string_equal(args[4], "--out=elsewhere/bases/b1");
    assert_null(args[5]);
    lti_arena_clear(&arena);
    close_session(&a);
    close_session(&b);
}

static void every_allocation_of_a_runner_may_fail(void **state)
{
    world *w = *state;
    char text[sizeof basic + 512];
    lt_study *study;
    lt_study_runner *runner;
    snprintf(text, sizeof text, "%smethods:\n%s", basic, SEARCH);
    assert_ok(lt_study_parse(text, strlen(text), "s.yaml", &study));
    const lt_study_order order = {.study = study, .ds = w->ds, .out = w->out, .executor = w->executor};
    lt_status status = LT_E_NOMEM;
    for (int i = 1; status != LT_OK; i++) {
        assert_true(i < 20000);
        lti_alloc_fail_at(i);
        status = lt_study_runner_create(&order, &runner);
        lti_alloc_fail_at(0);
        assert_true(status == LT_OK || (status == LT_E_NOMEM && !runner));
    }
    lt_study_runner_destroy(runner);
    lt_study_close(study);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_metric_arrives_under_its_name, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_study_whose_original_passes_cannot_tell, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_result_is_read_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_smallest_objective_is_chosen, set_up, tear_down),
        cmocka_unit_test_setup_teardown(default_areas_are_those_of_the_setting, set_up, tear_down),
        cmocka_unit_test_setup_teardown(areas_must_be_known_and_differ, set_up, tear_down),
        cmocka_unit_test_setup_teardown(finished_jobs_are_kept, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_was_made_again_is_known_later, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_job_that_fails_does_not_stop_the_others, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_moved_directory_begins_failed_jobs_anew, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_forget_set_may_belong_to_one_original_model, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_interrupted_study_says_so, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_directory_has_one_runner, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_claimed_job_is_nobody_elses, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_job_is_identified_by_its_options, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_allocation_of_a_runner_may_fail, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
