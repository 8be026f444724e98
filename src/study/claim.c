// claim.c - who works in the directory of a study, and on a job.
//
// One runner holds OUT/lock alone, or several that join hold it together. Runners that join claim a job from before it
// starts until its end is recorded: OUT/logs/ID.claim. Besides, the process of a job holds its log as long as it lives
// (executor.h), also when its runner is gone. All are locks of open files: they end with who holds them, however that
// ends, and none is inherited by mistake.
#include "study/parse.h"
#include "study/runner_impl.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

enum { FILE_MODE = 0644 };

static lt_status open_lock(const char *path, int *fd)
{
    *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, FILE_MODE);
    return *fd < 0 ? lti_errno_fail("write", path) : LT_OK;
}

lt_status lti_study_lock_dir(const lt_study_runner *r, int *lock)
{
    char path[LTI_STUDY_PATH];
    LT_TRY(lt_make_dirs(r->out));
    LT_TRY(open_lock(lti_study_path(r, NULL, "lock", "", path), lock));
    if (flock(*lock, (r->order.join ? LOCK_SH : LOCK_EX) | LOCK_NB) == 0)
        return LT_OK;
    if (errno != EWOULDBLOCK)
        return lti_errno_fail("lock", path);
    (void)LT_FAIL(LT_E_BUSY, "%s: another `lethe sweep` works in this directory", r->out);
    return lt_error_hint("with --join several may work in one directory, when all of them have it");
}

void lti_study_unlock_dir(int lock)
{
    if (lock >= 0)
        close(lock);
}

lt_status lti_study_claim(const lt_study_runner *r, lti_study_job *j)
{
    char path[LTI_STUDY_PATH];
    int fd;
    if (!r->order.join)
        return LT_OK;
    lti_study_path(r, "logs", j->id, ".claim", path);
    LT_TRY(lti_study_make_parent(path));
    LT_TRY(open_lock(path, &fd));
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        const bool busy = errno == EWOULDBLOCK;
        const lt_status status =
            busy ? LT_FAIL(LT_E_BUSY, "%s: another sweep has claimed it", j->id) : lti_errno_fail("lock", path);
        close(fd);
        return status;
    }
    j->claim = fd;
    return LT_OK;
}

void lti_study_release(lti_study_job *j)
{
    if (j->claim > 0)
        close(j->claim);
    j->claim = 0;
}

lt_status lti_study_keep_file(const lt_study_runner *r)
{
    char path[LTI_STUDY_PATH];
    const lti_study_reader *reader = r->study->own;
    return lt_write_file_atomic(lti_study_path(r, NULL, "study.yaml", "", path), reader->text, reader->n_text);
}
