// process.c - one task as a process of this machine.
#include "executor/executor_impl.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;
enum { FILE_MODE = 0644 };

// The lock is that of the open file: the process inherits it as its standard error.
static lt_status open_log(const char *log, int *fd)
{
    *fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, FILE_MODE);
    if (*fd < 0)
        return lti_errno_fail("write", log);
    if (flock(*fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) // file systems without locks are fine
        return LT_OK;
    close(*fd);
    *fd = -1;
    return LT_FAIL(LT_E_BUSY, "%s: expected a task that is not running, found it locked by another process", log);
}

static int add_streams(posix_spawn_file_actions_t *files, int log, const char *out)
{
    int error = posix_spawn_file_actions_addopen(files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (!error)
        error = posix_spawn_file_actions_addopen(files, STDOUT_FILENO, out, O_WRONLY | O_CREAT | O_TRUNC, FILE_MODE);
    return error ? error : posix_spawn_file_actions_adddup2(files, log, STDERR_FILENO);
}

// Signals that ask for an end are not ignored, even where the parent process ignores them.
static int set_signals(posix_spawnattr_t *attributes)
{
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGTERM);
    const int error = posix_spawnattr_setsigdefault(attributes, &ends);
    return error ? error : posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF);
}

static int spawn_process(const char *program, const lt_task *task, char **argv, int log, pid_t *pid)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    int error = posix_spawn_file_actions_init(&files);
    if (error)
        return error;
    error = posix_spawnattr_init(&attributes);
    if (!error) {
        error = add_streams(&files, log, task->output);
        if (!error)
            error = set_signals(&attributes);
        if (!error && task->dir)
            error = posix_spawn_file_actions_addchdir_np(&files, task->dir);
        if (!error)
            error = posix_spawnattr_setpgroup(&attributes, 0);
        if (!error)
            error = posix_spawn(pid, program, &files, &attributes, argv, environ);
        posix_spawnattr_destroy(&attributes);
    }
    posix_spawn_file_actions_destroy(&files);
    return error;
}

// argv of posix_spawn is not const, though nothing is changed: copies keep the qualifiers of the task.
static char **copy_args(lti_arena *arena, const lt_task *task)
{
    size_t n = 0;
    while (task->args[n])
        n++;
    char **argv = lti_arena_alloc(arena, (n + 2) * sizeof *argv);
    bool complete = argv && (argv[0] = lti_arena_strdup(arena, "lethe"));
    for (size_t i = 0; complete && i < n; i++)
        complete = (argv[i + 1] = lti_arena_strdup(arena, task->args[i])) != NULL;
    return complete ? argv : NULL;
}

lt_status lti_process_start(const char *program, const lt_task *task, pid_t *pid)
{
    int log;
    lti_arena arena = {0};
    LT_TRY(open_log(task->log, &log));
    char **argv = copy_args(&arena, task);
    lt_status status = argv ? LT_OK : LTI_NOMEM(task->name);
    if (status == LT_OK) {
        const int error = spawn_process(program, task, argv, log, pid);
        if (error)
            status = LT_FAIL(error == ENOSPC ? LT_E_NOSPACE : LT_E_FAIL, "%s: cannot start a process: %s", task->name,
                             strerror(error));
    }
    lti_arena_clear(&arena);
    close(log); // the process has its own
    return status;
}

lt_status lti_process_poll(pid_t pid, lt_task_end *end)
{
    int wait_status;
    const pid_t got = waitpid(pid, &wait_status, WNOHANG);
    if (got < 0 && errno != EINTR)
        return LT_FAIL(LT_E_FAIL, "waiting for process %d: %s", (int)pid, strerror(errno));
    if (got != pid)
        return LT_OK;
    end->ended = true;
    end->exit_code = WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : -1;
    end->signal = WIFSIGNALED(wait_status) ? WTERMSIG(wait_status) : 0;
    return LT_OK;
}
