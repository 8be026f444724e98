// test_runner.c - the jobs of a study, run by a stand-in for the command: what identifies a job, what is chosen, what
// is made again, and what happens when jobs fail.
#include "study/runner_fixture.h"

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
    session s = open_text(w, text, NULL);
    lt_study_plan plan;
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
        {"{method: lotus, access: [retain], grid: {lr-area: default}}", "lr-area: lotus states no default area"},
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

// Originals and references are clipped, and the default area is that of a clipped original.
static void clipping_reaches_every_training(void **state)
{
    static const char *const want[] = {"tuning/amun/retain/lr-area=0.1667", "tuning/amun/retain/lr-area=0.5",
                                       "tuning/amun/retain/lr-area=1.5"};
    world *w = *state;
    char text[sizeof basic + 256];
    snprintf(text, sizeof text, "%strain: {clip-norm: 0.5}\nmethods:\n%s", basic,
             "  - {method: amun, access: [retain], grid: {lr-area: default}}\n");
    session s = open_text(w, text, NULL);
    size_t n = 0;
    for (int i = 0; i < s.runner->n_jobs; i++)
        if (s.runner->job[i].kind == LT_STUDY_TRIAL) {
            assert_true(n < sizeof want / sizeof *want);
            assert_string_equal(s.runner->job[i].id, want[n++]);
        }
    assert_int_equal(n, sizeof want / sizeof *want);
    static const lt_study_kind kinds[] = {LT_STUDY_BASE, LT_STUDY_REFERENCES, LT_STUDY_OUTPUTS};
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        const lti_study_identity *id = &identify(&s, kinds[k])->identity;
        int found = 0;
        for (int i = 0; i < id->n; i++)
            found += !strcmp(id->field[i].key, "clip-norm") && !strcmp(id->field[i].value, "0.5");
        assert_int_equal(found, 1);
    }
    close_session(&s);
}

static void keep_share(void *self, const lt_event *e)
{
    *(double *)self = (double)e->done / (double)e->total;
}

static double share_told(session *s)
{
    double last_s = 0, share = -1;
    lt_events *events;
    assert_ok(lt_events_create(&events));
    assert_ok(lt_events_add(events, (lt_sink){keep_share, &share}));
    s->runner->order.events = events;
    lti_study_report_progress(s->runner, true, &last_s);
    s->runner->order.events = NULL;
    lt_events_destroy(events);
    return share;
}

// A study whose first job takes an hour does not stand at 0 for so long.
static void a_running_job_counts_by_its_share(void **state)
{
    world *w = *state;
    char path[400];
    session s = open_session(w, FT, NULL);
    lti_study_job *base = &s.runner->job[lti_study_find_job(s.runner, LT_STUDY_BASE, 0, -1)];
    double total = 0;
    for (int i = 0; i < s.runner->n_jobs; i++)
        total += s.runner->job[i].passes;
    assert_near(share_told(&s), 0, 0);
    base->state = LT_STUDY_RUNNING;
    assert_near(share_told(&s), 0, 0); // it has not said anything
    snprintf(path, sizeof path, "%s/%s/progress.json", w->out, base->id);
    assert_ok(lti_study_make_parent(path));
    static const char half[] = "{\"event\": \"train.progress\", \"done\": 50, \"total\": 100}";
    static const char other[] = "{\"event\": \"eval.progress\", \"done\": 99, \"total\": 100}";
    assert_ok(lt_write_file_atomic(path, half, strlen(half)));
    assert_near(share_told(&s), 0.5 * base->passes / total, 1e-3);
    assert_ok(lt_write_file_atomic(path, other, strlen(other))); // counts something else: the share stays
    assert_near(share_told(&s), 0.5 * base->passes / total, 1e-3);
    assert_ok(lt_write_file_atomic(path, "{", 1));
    assert_near(share_told(&s), 0.5 * base->passes / total, 1e-3);
    base->state = LT_STUDY_DONE;
    assert_near(share_told(&s), base->passes / total, 1e-3);
    close_session(&s);
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
        cmocka_unit_test_setup_teardown(the_smallest_objective_is_chosen, set_up, tear_down),
        cmocka_unit_test_setup_teardown(default_areas_are_those_of_the_setting, set_up, tear_down),
        cmocka_unit_test_setup_teardown(areas_must_be_known_and_differ, set_up, tear_down),
        cmocka_unit_test_setup_teardown(clipping_reaches_every_training, set_up, tear_down),
        cmocka_unit_test_setup_teardown(finished_jobs_are_kept, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_was_made_again_is_known_later, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_job_that_fails_does_not_stop_the_others, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_moved_directory_begins_failed_jobs_anew, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_forget_set_may_belong_to_one_original_model, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_interrupted_study_says_so, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_directory_has_one_runner, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_claimed_job_is_nobody_elses, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_job_is_identified_by_its_options, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_running_job_counts_by_its_share, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_allocation_of_a_runner_may_fail, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
