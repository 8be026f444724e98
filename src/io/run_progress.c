// run_progress.c - progress.json, for programs that watch a run from outside: how far it is. Losing it loses nothing,
// so errors are passed over and nothing waits for the disk.
#include "base/json_write.h"
#include "io/run_impl.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static char *make_json(const lt_event *e)
{
    struct timespec now;
    lti_json j = {0};
    clock_gettime(CLOCK_REALTIME, &now);
    lti_json_begin(&j, NULL, '{');
    lti_json_text(&j, "event", e->name ? e->name : "");
    lti_json_int(&j, "done", e->done);
    lti_json_int(&j, "total", e->total);
    lti_json_text(&j, "unit", e->unit ? e->unit : "");
    lti_json_int(&j, "epoch", e->epoch);
    lti_json_real(&j, "wall_s", e->wall_s);
    lti_json_real(&j, "time", (double)now.tv_sec + 1e-9 * (double)now.tv_nsec);
    for (int i = 0; i < e->n_fields; i++)
        lti_json_real(&j, e->fields[i].key, e->fields[i].value);
    lti_json_end(&j, '}');
    return lti_json_take(&j);
}

void lti_run_write_progress(const char *dir, const lt_event *e)
{
    char *text = make_json(e), *path = lti_asprintf("%s/progress.json", dir),
         *temporary = lti_asprintf("%s/.progress.json", dir);
    FILE *f = text && path && temporary ? fopen(temporary, "we") : NULL;
    if (f) {
        const bool is_whole = fputs(text, f) >= 0;
        if (fclose(f) == 0 && is_whole)
            (void)!rename(temporary, path);
    }
    free(text);
    lti_free(path);
    lti_free(temporary);
}

void lti_run_remove_progress(const char *dir)
{
    char *path = lti_asprintf("%s/progress.json", dir);
    if (path)
        unlink(path);
    lti_free(path);
}
