// reports.c - pages below the root: listed, and served in a sandbox without scripts.
#include "serve_impl.h"
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MAX_DEPTH = 4, MAX_REPORTS = 1000, MAX_BYTES = 1 << 26 };

static bool is_page(const char *name)
{
    static const char suffix[] = ".html";
    const size_t n = strlen(name), m = sizeof suffix - 1;
    return n > m && !strcmp(name + n - m, suffix);
}

static void collect(json_t *reports, const char *dir, const char *place, int depth)
{
    DIR *d = opendir(dir);
    if (!d)
        return;
    for (struct dirent *e; (e = readdir(d)) != NULL && json_array_size(reports) < MAX_REPORTS;) {
        char path[LTI_FILE_MAX], below[LTI_PLACE_MAX];
        struct stat st;
        if (snprintf(path, sizeof path, "%s/%s", dir, e->d_name) >= (int)sizeof path ||
            snprintf(below, sizeof below, "%s%s%s", place, *place ? "/" : "", e->d_name) >= (int)sizeof below ||
            lti_place_check(below) != LT_OK || lstat(path, &st) != 0)
            continue;
        if (S_ISDIR(st.st_mode) && depth < MAX_DEPTH)
            collect(reports, path, below, depth + 1);
        json_t *name = S_ISREG(st.st_mode) && is_page(e->d_name) ? json_string(below) : NULL;
        if (name)
            json_array_append_new(reports, json_pack("{s:o, s:I, s:I}", "path", name, "bytes", (json_int_t)st.st_size,
                                                     "time", (json_int_t)st.st_mtime));
    }
    closedir(d);
    lt_error_clear();
}

lt_status lti_get_reports(lti_serve *s, const lti_target *t, const json_t *body, lti_response *r)
{
    json_t *reports = json_array();
    (void)t;
    (void)body;
    collect(reports, s->root, "", 1);
    lti_respond_json(r, 200, json_pack("{s:o}", "reports", reports));
    return LT_OK;
}

lt_status lti_get_report(lti_serve *s, const lti_target *t, const json_t *body, lti_response *r)
{
    const char *place = lti_target_get(t, "path");
    char path[LTI_FILE_MAX];
    (void)body;
    if (!place || !is_page(place))
        return LT_FAIL(LT_E_USAGE, "request: expected 'path' to name an .html file");
    LT_TRY(lti_place_find(s, place, path));
    LT_TRY(lt_read_file(path, MAX_BYTES, &r->body, &r->n_bytes));
    r->code = 200;
    r->type = "text/html; charset=utf-8";
    r->policy = LTI_POLICY_REPORT;
    return LT_OK;
}
