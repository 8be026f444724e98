// test_serve_queue.c - jobs run one after another, can be interrupted and resumed, and outlive the server.
#include "serve_test.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

// Stands for `lethe`: `good` ends well, `bad` fails with a message, `wait` ends with 75 when interrupted, and well when
// it is started a second time. Each writes a line when it begins and ends.
static const char command[] = "#!/bin/sh\n"
                              "echo \"begin $1\" >>calls\n"
                              "case $1 in\n"
                              "good) ;;\n"
                              "bad) echo 'lethe: warning: odd' >&2; echo 'lethe: no such data' >&2; exit 3 ;;\n"
                              "wait) if [ -e again ]; then mkdir -p wait; echo >wait/DONE; exit 0; fi\n"
                              "    trap 'echo \"end $1\" >>calls; touch again; exit 75' INT\n"
                              "    touch waiting; while :; do sleep 0.05; done ;;\n"
                              "esac\n"
                              "echo \"end $1\" >>calls\n";

static void add(lti_queue *queue, const char *what)
{
    lti_job job = {0};
    job.title = strdup(what);
    job.verb = strdup(what);
    job.place = strdup(what);
    assert_ok(lti_job_add_arg(&job, what));
    assert_ok(lti_queue_add(queue, &job));
}

static lti_job_state state_of(lti_queue *queue, int64_t id)
{
    lti_job_state state = LTI_JOB_QUEUED;
    pthread_mutex_lock(&queue->mutex);
    for (int i = 0; i < queue->n; i++)
        if (queue->job[i].id == id)
            state = queue->job[i].state;
    pthread_mutex_unlock(&queue->mutex);
    return state;
}

static void sleep_ms(long ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

static void wait_state(lti_queue *queue, int64_t id, lti_job_state state)
{
    for (int i = 0; i < 1000 && state_of(queue, id) != state; i++)
        sleep_ms(10);
    assert_string_equal(lti_job_state_text(state_of(queue, id)), lti_job_state_text(state));
}

static void wait_file(const site *s, const char *name)
{
    char path[700];
    snprintf(path, sizeof path, "%s/%s", s->root, name);
    for (int i = 0; i < 1000 && access(path, F_OK) != 0; i++)
        sleep_ms(10);
    assert_int_equal(access(path, F_OK), 0);
}

static void jobs_run_in_order(void **state)
{
    site s;
    char path[700], *text;
    size_t n;
    (void)state;
    site_open(&s, command);
    site_start(&s);
    lti_queue *queue = &s.serve.queue;
    add(queue, "good");
    add(queue, "bad");
    add(queue, "wait");
    assert_ok(lti_queue_start(queue));
    wait_state(queue, 2, LTI_JOB_FAILED);
    assert_int_equal(state_of(queue, 1), LTI_JOB_DONE);
    assert_string_equal(queue->job[1].message, "no such data");
    assert_int_equal(queue->job[1].exit_code, 3);
    wait_file(&s, "waiting");
    assert_fails(LT_E_BUSY, "cancel it first", lti_queue_remove(queue, 3));
    assert_fails(LT_E_BUSY, "cannot be started again", lti_queue_again(queue, 3));
    assert_ok(lti_queue_cancel(queue, 3));
    wait_state(queue, 3, LTI_JOB_STOPPED);
    assert_ok(lti_queue_again(queue, 3));
    wait_state(queue, 3, LTI_JOB_DONE);
    assert_fails(LT_E_BUSY, "nothing to cancel", lti_queue_cancel(queue, 3));
    assert_fails(LT_E_INPUT, "no job 77", lti_queue_cancel(queue, 77));
    assert_ok(lti_queue_remove(queue, 1));
    assert_int_equal(queue->n, 2);
    snprintf(path, sizeof path, "%s/calls", s.root);
    assert_ok(lt_read_file(path, 1 << 16, &text, &n));
    assert_string_equal(text, "begin good\nend good\nbegin bad\nbegin wait\nend wait\nbegin wait\n");
    free(text);
    site_close(&s);
}

static void a_queued_job_is_cancelled_without_running(void **state)
{
    site s;
    (void)state;
    site_open(&s, command);
    site_start(&s);
    add(&s.serve.queue, "good");
    assert_ok(lti_queue_cancel(&s.serve.queue, 1));
    assert_int_equal(state_of(&s.serve.queue, 1), LTI_JOB_CANCELLED);
    assert_ok(lti_queue_start(&s.serve.queue));
    sleep_ms(400);
    assert_int_equal(state_of(&s.serve.queue, 1), LTI_JOB_CANCELLED);
    site_close(&s);
}

static void closing_interrupts_and_the_next_server_goes_on(void **state)
{
    site s;
    (void)state;
    site_open(&s, command);
    site_start(&s);
    add(&s.serve.queue, "wait");
    add(&s.serve.queue, "good");
    assert_ok(lti_queue_start(&s.serve.queue));
    wait_file(&s, "waiting");
    lti_serve_close(&s.serve);
    wait_file(&s, "again");
    site_start(&s);
    assert_int_equal(s.serve.queue.n, 2);
    assert_int_equal(state_of(&s.serve.queue, 1), LTI_JOB_QUEUED);
    assert_ok(lti_queue_start(&s.serve.queue));
    wait_state(&s.serve.queue, 2, LTI_JOB_DONE);
    assert_int_equal(state_of(&s.serve.queue, 1), LTI_JOB_DONE);
    site_close(&s);
}

// The server is killed: its job goes on alone, and is seen by the next server until it ends.
static void a_job_outlives_a_server_that_crashed(void **state)
{
    site s;
    (void)state;
    site_open(&s, command);
    const pid_t server = fork();
    if (server == 0) {
        site_start(&s);
        add(&s.serve.queue, "wait");
        (void)lti_queue_start(&s.serve.queue);
        for (;;)
            sleep_ms(1000);
    }
    wait_file(&s, "waiting");
    sleep_ms(100);
    assert_int_equal(kill(server, SIGKILL), 0);
    assert_int_equal(waitpid(server, NULL, 0), server);
    site_start(&s);
    assert_int_equal(state_of(&s.serve.queue, 1), LTI_JOB_RUNNING);
    assert_ok(lti_queue_start(&s.serve.queue));
    sleep_ms(500);
    assert_int_equal(state_of(&s.serve.queue, 1), LTI_JOB_RUNNING);
    assert_ok(lti_queue_cancel(&s.serve.queue, 1));
    wait_state(&s.serve.queue, 1, LTI_JOB_STOPPED);
    site_close(&s);
}

static void two_servers_do_not_share_a_queue(void **state)
{
    site s;
    lti_serve second;
    (void)state;
    site_open(&s, command);
    site_start(&s);
    const lt_serve_spec spec = {.cfg = &s.cfg, .root = s.root, .command = s.command};
    assert_fails(LT_E_BUSY, "another `lethe serve`", lti_serve_open(&spec, &second));
    site_close(&s);
}

static void damaged_job_files_are_left_alone(void **state)
{
    static const char *const bad[] = {"", "{", "[]", "{\"id\": 1}", "{\"id\": \"x\"}"};
    site s;
    char dir[700], name[40];
    (void)state;
    site_open(&s, command);
    site_start(&s);
    add(&s.serve.queue, "good");
    lti_serve_close(&s.serve);
    snprintf(dir, sizeof dir, "%s/.lethe/queue", s.root);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(name, sizeof name, "bad%zu.json", i);
        site_write(dir, name, bad[i], 0600);
    }
    site_start(&s);
    assert_int_equal(s.serve.queue.n, 1);
    assert_string_equal(s.serve.queue.job[0].title, "good");
    site_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jobs_run_in_order),
        cmocka_unit_test(a_queued_job_is_cancelled_without_running),
        cmocka_unit_test(closing_interrupts_and_the_next_server_goes_on),
        cmocka_unit_test(a_job_outlives_a_server_that_crashed),
        cmocka_unit_test(two_servers_do_not_share_a_queue),
        cmocka_unit_test(damaged_job_files_are_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
