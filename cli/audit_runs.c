// audit_runs.c - models of an audit that are runs: what is known of them, and opening them again.
#include "audit.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static lt_status open_subject(const lt_audit_subject *s, lt_model **model)
{
    cli_source src;
    const lt_status status = cli_source_open(s->name, NULL, &src);
    *model = status == LT_OK ? src.model : NULL;
    if (status == LT_OK)
        src.model = NULL; // the caller's
    cli_source_close(&src);
    return status;
}

lt_audit_subject cli_subject(const cli_source *src, const char *name)
{
    lt_audit_subject s = {.name = name, .open = open_subject};
    if (src && src->model)
        lt_model_identify(src->model, &s.identity);
    return s;
}

// A parent that was moved or made again since is not what the run was made from.
lt_status cli_check_parent(const cli_source *child, const char *parent)
{
    const char *expected = cli_text(child->result, "parent_digest");
    char digest[65];
    cli_source src;
    lt_status status = cli_source_open(parent, NULL, &src);
    if (status == LT_OK) {
        lt_model_digest(src.model, digest);
        if (*expected && strcmp(digest, expected) != 0)
            status = LT_FAIL(LT_E_INTEGRITY, "%s: model digest %.16s..., but %s was made from %.16s...", parent, digest,
                             child->name, expected);
    }
    cli_source_close(&src);
    return status;
}

double cli_last_train_acc(const cli_source *src)
{
    enum { MAX_BYTES = 1 << 28 };
    char *path = src->dir ? cli_format("%s/metrics.jsonl", src->dir) : NULL, *text = NULL;
    double seen = NAN;
    size_t n;
    if (path && lt_read_file(path, MAX_BYTES, &text, &n) == LT_OK)
        for (char *line = text; line && *line;) {
            char *end = strchr(line, '\n');
            json_t *row = json_loadb(line, end ? (size_t)(end - line) : strlen(line), 0, NULL);
            if (!strcmp(cli_text(row, "event"), "train.epoch"))
                seen = cli_real(row, "train_acc");
            json_decref(row);
            line = end ? end + 1 : NULL;
        }
    lt_error_clear();
    free(text);
    free(path);
    return seen;
}
