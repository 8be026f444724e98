// test_progress.c - the progress line on a terminal of some width: nothing is wrapped or cut before the remaining time,
// an evaluation keeps the line of its training, and the remaining time is that of the whole job.
#include "lt_test.h"
#include "cli.h"
#include <fcntl.h>
#include <pty.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

static int master, kept_stderr;
static lt_events *events;
static struct cli_progress *progress;

static int open_terminal(void **state)
{
    (void)state;
    int slave;
    struct termios raw;
    assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
    tcgetattr(slave, &raw);
    cfmakeraw(&raw);
    tcsetattr(slave, TCSANOW, &raw);
    kept_stderr = dup(STDERR_FILENO);
    dup2(slave, STDERR_FILENO);
    close(slave);
    fcntl(master, F_SETFL, O_NONBLOCK);
    setenv("TERM", "xterm", 1);
    if (lt_events_create(&events) != LT_OK)
        return -1;
    progress = cli_progress_create(events);
    return progress ? 0 : -1;
}

static int close_terminal(void **state)
{
    (void)state;
    lt_events_destroy(events);
    cli_progress_destroy(progress);
    fflush(stderr);
    dup2(kept_stderr, STDERR_FILENO);
    close(kept_stderr);
    close(master);
    return 0;
}

static void set_width(int columns)
{
    const struct winsize size = {.ws_row = 24, .ws_col = (unsigned short)columns};
    assert_int_equal(ioctl(STDERR_FILENO, TIOCSWINSZ, &size), 0);
}

static void nap(int ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L}, NULL);
}

static void emit(const char *name, int64_t done, int64_t total)
{
    static const lt_field fields[] = {{"loss", 1.2345}, {"acc", 0.561}, {"lr", 0.1}, {"images_per_s", 800}};
    lt_emit(events, &(lt_event){.kind = LT_EV_PROGRESS,
                                .name = name,
                                .done = done,
                                .total = total,
                                .unit = "images",
                                .epoch = 0,
                                .step = 0,
                                .fields = fields,
                                .n_fields = strncmp(name, "eval", 4) ? 4 : 0});
}

// What is on the terminal's line after everything that was written since the last call.
static const char *line(void)
{
    static char text[4096];
    char got[4096];
    size_t used = 0;
    ssize_t n;
    fflush(stderr);
    while (used < sizeof got - 1 && (n = read(master, got + used, sizeof got - 1 - used)) > 0) // one write at a time
        used += (size_t)n;
    got[used] = '\0';
    const char *last = strrchr(got, '\r');
    snprintf(text, sizeof text, "%s", last ? last + 1 : got);
    return strncmp(text, "\033[K", 3) ? text : text + 3;
}

static void widths_are_kept(void **state)
{
    (void)state;
    static const int width[] = {160, 100, 80, 60, 40, 24};
    cli_progress_stage(progress, "training resnet18:width=8");
    for (size_t i = 0; i < sizeof width / sizeof *width; i++) {
        set_width(width[i]);
        cli_progress_stage(progress, "training resnet18:width=8");
        emit("train.progress", 0, 1000);
        nap(450);
        emit("train.progress", 450, 1000);
        const char *shown = line();
        assert_true(strlen(shown) > 10 && strlen(shown) < (size_t)width[i]);
        assert_non_null(strstr(shown, " 45 %"));
        assert_non_null(strstr(shown, "ETA 0:01"));
        assert_int_equal(strstr(shown, "acc 56.1 %") != NULL, width[i] >= 60);
        assert_int_equal(strstr(shown, "loss 1.23") != NULL, width[i] >= 80);
        assert_int_equal(strchr(shown, '#') != NULL, width[i] >= 100);
    }
}

static void evaluations_keep_the_line(void **state)
{
    (void)state;
    set_width(120);
    cli_progress_stage(progress, "training");
    emit("train.progress", 0, 1000);
    nap(450);
    emit("train.progress", 500, 1000);
    assert_non_null(strstr(line(), "training  50 %"));
    nap(120);
    emit("eval.progress", 10, 100);
    const char *shown = line();
    assert_non_null(strstr(shown, "training, evaluating  50 %"));
    assert_non_null(strstr(shown, "acc 56.1 %"));
    emit("eval.progress", 100, 100);
    assert_string_equal(line(), ""); // nothing erased
    nap(120);
    emit("train.progress", 510, 1000);
    shown = line();
    assert_non_null(strstr(shown, "training  51 %"));
    assert_non_null(strstr(shown, "ETA 0:01")); // the time from the beginning counts: no new start after an evaluation
    emit("train.progress", 1000, 1000);
    assert_string_equal(line(), "");
}

static void the_whole_job_is_what_remains(void **state)
{
    (void)state;
    set_width(120);
    emit("job.part", 0, 10); // the first tenth
    cli_progress_stage(progress, "[1/2]");
    emit("train.progress", 0, 100);
    nap(500);
    emit("train.progress", 50, 100); // half a second for a twentieth of the whole: nine and a half remain
    const char *shown = line(), *eta = strstr(shown, "ETA 0:");
    assert_non_null(eta);
    const int seconds = atoi(eta + 6);
    assert_true(seconds >= 9 && seconds <= 14);
    cli_progress_stage(progress, "[1/2] and more");
    emit("search.progress", 0, 100); // another stream of the same part: what was reached stays
    nap(450);
    emit("search.progress", 1, 100);
    eta = strstr(line(), "ETA 0:");
    assert_non_null(eta);
    assert_true(atoi(eta + 6) >= 17);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(widths_are_kept, open_terminal, close_terminal),
        cmocka_unit_test_setup_teardown(evaluations_keep_the_line, open_terminal, close_terminal),
        cmocka_unit_test_setup_teardown(the_whole_job_is_what_remains, open_terminal, close_terminal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
