// run_state.c - is a run finished, in progress, or interrupted? Asked from outside, without touching its lock: a lock
// taken for a look, however short, would make a run fail that starts in this moment.
#include "base/base.h"
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>

enum { RECENT_S = 10 };

static bool has_file(const char *dir, const char *name, struct stat *st)
{
    char *path = lti_asprintf("%s/%s", dir, name);
    const bool found = path && stat(path, st) == 0;
    lti_free(path);
    return found;
}

// "1: FLOCK  ADVISORY  WRITE 4711 08:01:131072 0 EOF"
static bool is_locked(const struct stat *dir)
{
    enum { LINE_BYTES = 256 };
    char line[LINE_BYTES], place[64], mine[64];
    bool found = false;
    FILE *f = fopen("/proc/locks", "re");
    if (!f)
        return false;
    snprintf(mine, sizeof mine, "%02x:%02x:%ju", major(dir->st_dev), minor(dir->st_dev), (uintmax_t)dir->st_ino);
    while (!found && fgets(line, sizeof line, f))
        found = sscanf(line, "%*s FLOCK %*s WRITE %*s %63s", place) == 1 && strcmp(place, mine) == 0;
    fclose(f);
    return found;
}

lt_run_state lt_run_state_of(const char *dir)
{
    struct stat st, progress;
    if (!has_file(dir, "env.json", &st) || !S_ISREG(st.st_mode))
        return LT_RUN_NONE;
    if (has_file(dir, "DONE", &st))
        return LT_RUN_DONE;
    if (stat(dir, &st) == 0 && is_locked(&st))
        return LT_RUN_ACTIVE;
    // Locks of another machine are not in the list of this one.
    const bool is_recent = has_file(dir, "progress.json", &progress) && time(NULL) - progress.st_mtime < RECENT_S;
    return is_recent ? LT_RUN_ACTIVE : LT_RUN_STOPPED;
}
