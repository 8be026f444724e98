// study_end.c - the default directory of a study, and the error of one with failed jobs.
#include "base/base.h"
#include "lethe/study.h"
#include <string.h>

char *lt_study_default_out(const char *file)
{
    const char *base = strrchr(file, '/');
    base = base ? base + 1 : file;
    const char *dot = strrchr(base, '.');
    const size_t n = dot && dot != base ? (size_t)(dot - base) : strlen(base);
    return lti_asprintf("sweeps/%.*s", (int)n, base);
}

lt_status lt_study_result_check(const lt_study_result *r)
{
    const int n = r->n_failures;
    if (n == 0)
        return LT_OK;
    LT_FAIL(LT_E_FAIL, "%d part%s failed or could not begin; the first is %s: %s", n, n == 1 ? "" : "s",
            r->failure[0].id, r->failure[0].error ? r->failure[0].error : "");
    return lt_error_hint("summary.json lists them; the same command tries them again");
}
