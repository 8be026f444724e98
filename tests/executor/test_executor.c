// test_executor.c - tasks as processes: where their output goes, how they end, who holds a log, and the registry.
#include "lt_test.h"
#include "lethe/executor.h"
#include "lethe/run.h"
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

typedef struct shell { // tasks of the shell in a directory of their own
    char dir[256], out[300], log[300];
    lt_executor *executor;
} shell;

static int set_up(void **state)
{
    shell *s = calloc(1, sizeof *s);
    snprintf(s->dir, sizeof s->dir, "%s/executor-XXXXXX", lt_test_root());
    if (!mkdtemp(s->dir))
        return 1;
    snprintf(s->out, sizeof s->out, "%s/out", s->dir);
    snprintf(s->log, sizeof s->log, "%s/log", s->dir);
    const lt_executor_cfg cfg = {.program = "/bin/sh", .slots = 3};
    *state = s;
    signal(SIGINT, SIG_IGN); // as in a script's background: tasks must be stopped all the same
    return lt_executor_open("local", &cfg, &s->executor) != LT_OK;
}

static int tear_down(void **state)
{
    shell *s = *state;
    lt_executor_close(s->executor);
    unlink(s->out);
    unlink(s->log);
    rmdir(s->dir);
    free(s);
    return 0;
}

static lt_status start_script(shell *s, const char *script, int64_t *id)
{
    const char *const args[] = {"-c", script, NULL};
    return lt_executor_start(
        s->executor, &(lt_task){.name = "script", .args = args, .slots = 1, .output = s->out, .log = s->log}, id);
}

static lt_task_end wait_for_end(shell *s, int64_t id)
{
    lt_task_end end = {0};
    for (int i = 0; i < 2000 && !end.ended; i++) {
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
        assert_ok(lt_executor_poll(s->executor, id, &end));
    }
    assert_true(end.ended);
    return end;
}

static void assert_file(const char *path, const char *want)
{
    char *text;
    size_t n;
    assert_ok(lt_read_file(path, 1 << 16, &text, &n));
    assert_string_equal(text, want);
    free(text);
}

static void output_is_replaced_and_the_log_appended_to(void **state)
{
    shell *s = *state;
    int64_t id;
    assert_ok(start_script(s, "echo one; echo first >&2", &id));
    assert_int_equal(wait_for_end(s, id).exit_code, 0);
    assert_ok(start_script(s, "echo 2; echo second >&2; exit 6", &id));
    lt_task_end end = wait_for_end(s, id);
    assert_int_equal(end.exit_code, 6);
    assert_int_equal(end.signal, 0);
    assert_file(s->out, "2\n");
    assert_file(s->log, "first\nsecond\n");
}

static void a_signal_is_reported(void **state)
{
    shell *s = *state;
    int64_t id;
    assert_ok(start_script(s, "kill -KILL $$", &id));
    lt_task_end end = wait_for_end(s, id);
    assert_int_equal(end.exit_code, -1);
    assert_int_equal(end.signal, SIGKILL);
}

static void a_task_is_asked_to_end(void **state)
{
    shell *s = *state;
    int64_t id;
    assert_ok(start_script(s, "trap 'exit 75' INT; echo ready; while :; do sleep 0.01; done", &id));
    struct stat st = {0};
    for (int i = 0; i < 2000 && st.st_size == 0; i++) {
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
        stat(s->out, &st);
    }
    assert_ok(lt_executor_cancel(s->executor, id));
    assert_int_equal(wait_for_end(s, id).exit_code, 75);
}

// Also when the parent process has ended: the lock is that of the process.
static void a_log_has_one_holder(void **state)
{
    shell *s = *state;
    int64_t id, second;
    assert_ok(start_script(s, "while :; do sleep 0.01; done", &id));
    assert_fails(LT_E_BUSY, "locked by another process", start_script(s, "exit 0", &second));
    assert_ok(lt_executor_cancel(s->executor, id));
    wait_for_end(s, id);
    assert_ok(start_script(s, "exit 0", &second));
    assert_int_equal(wait_for_end(s, second).exit_code, 0);
}

static void what_cannot_be_started_is_an_error(void **state)
{
    shell *s = *state;
    lt_executor *other;
    int64_t id;
    const char *const args[] = {"x", NULL};
    lt_task task = {.name = "nobody", .args = args, .slots = 1, .output = s->out, .log = s->log};
    assert_ok(lt_executor_open("local", &(lt_executor_cfg){.program = "/nowhere/lethe"}, &other));
    assert_true(lt_executor_capacity(other) >= 1);
    assert_fails(LT_E_FAIL, "nobody: cannot start a process", lt_executor_start(other, &task, &id));
    task.log = "/nowhere/log";
    assert_true(lt_executor_start(s->executor, &task, &id) == LT_E_IO);
    lt_executor_close(other);
}

static void kinds_are_found_by_name(void **state)
{
    shell *s = *state;
    lt_executor *other;
    const lt_executor_kind *kind;
    assert_int_equal(lt_executor_capacity(s->executor), 3);
    assert_string_equal(lt_executor_name(s->executor), "local");
    for (const lt_executor_kind *const *k = lt_executor_kinds(); *k; k++) {
        assert_ok(lt_executor_find((*k)->name, &kind));
        assert_ptr_equal(kind, *k);
        assert_true((*k)->doc && *(*k)->doc);
    }
    assert_fails(LT_E_USAGE, "unknown executor 'lokal'",
                 lt_executor_open("lokal", &(lt_executor_cfg){.program = "x"}, &other));
    assert_non_null(strstr(lt_error_get()->hint, "local"));
    lt_executor_close(NULL);
}

// ---- scripts

static void scripts_quote_what_they_run(void **state)
{
    (void)state;
    const char *const args[] = {"sweep", "it's.yaml", "--join", NULL}, *const env[] = {"LETHE_DATA", "/a b", NULL};
    const lt_worker_script s = {.name = "first",
                                .program = "/opt/le the",
                                .dir = "/work here",
                                .args = args,
                                .env = env,
                                .log = "out/slurm",
                                .n_workers = 20,
                                .slots = 8};
    static const char command[] = "'/opt/le the' 'sweep' 'it'\\''s.yaml' '--join'\n";
    char *text;
    assert_ok(lt_executor_script("slurm", &s, &text));
    assert_contains(text, "#!/bin/sh\n#SBATCH --job-name=first\n#SBATCH --array=1-20\n");
    assert_contains(text, "#SBATCH --cpus-per-task=8\n");
    assert_contains(text, "#SBATCH --output=out/slurm-%A_%a.log\n");
    assert_contains(text, "export LETHE_DATA='/a b'\ncd '/work here' || exit\nexec '/opt");
    assert_contains(text, command);
    free(text);
    assert_ok(lt_executor_script("mpirun", &s, &text));
    assert_contains(text, "exec mpirun -n 20 --bind-to none -x LETHE_DATA \"$@\" ");
    assert_contains(text, command);
    free(text);
    lt_executor *other;
    assert_fails(LT_E_USAGE, "starts tasks itself", lt_executor_script("local", &s, &text));
    assert_fails(LT_E_USAGE, "only writes a script",
                 lt_executor_open("slurm", &(lt_executor_cfg){.program = "x"}, &other));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(output_is_replaced_and_the_log_appended_to, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_signal_is_reported, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_task_is_asked_to_end, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_log_has_one_holder, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_cannot_be_started_is_an_error, set_up, tear_down),
        cmocka_unit_test_setup_teardown(kinds_are_found_by_name, set_up, tear_down),
        cmocka_unit_test(scripts_quote_what_they_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
