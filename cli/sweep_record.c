// sweep_record.c - what a sweep keeps of its parts: OUT/parts/ID.json records with which arguments a part was made and
// how that ended, and what it made has a place of its own.
#include "sweep.h"
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static bool exists(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0;
}

static json_t *identity(const sweep *s, const sweep_part *p)
{
    sweep elsewhere = *s; // directories can be moved
    cli_list args = {0};
    json_t *list = json_array();
    elsewhere.out = "$OUT";
    sweep_make_args(&elsewhere, p, &args);
    for (int i = 0; i < args.n; i++)
        json_array_append_new(list, json_string(args.item[i]));
    cli_list_clear(&args);
    return list;
}

json_t *sweep_load_record(const sweep *s, const sweep_part *p)
{
    char *path = sweep_path(s, "parts", p->id, ".json");
    json_t *record = NULL;
    if (exists(path) && cli_json_load(path, &record) != LT_OK) // cut off: as if it were not there
        lt_error_clear();
    free(path);
    return record;
}

lt_status sweep_make_parent(const char *path)
{
    char *dir = cli_format("%.*s", (int)(strrchr(path, '/') - path), path);
    lt_status status = lt_make_dirs(dir);
    free(dir);
    return status;
}

lt_status sweep_save_record(const sweep *s, const sweep_part *p, const char *state)
{
    char *path = sweep_path(s, "parts", p->id, ".json");
    json_t *record = json_object();
    cli_put(record, "kind", json_string(sweep_kind_text[p->kind]));
    cli_put(record, "state", json_string(state));
    cli_put_real(record, "seconds", p->seconds);
    if (p->error)
        cli_put_text(record, "error", p->error);
    cli_put(record, "args", identity(s, p));
    char *text = cli_json_text(record);
    lt_status status = sweep_make_parent(path);
    if (status == LT_OK)
        status = lt_write_file_atomic(path, text, strlen(text));
    free(text);
    free(path);
    json_decref(record);
    return status;
}

char *sweep_product(const sweep *s, const sweep_part *p)
{
    if (p->kind == SWEEP_OUTPUTS)
        return cli_format("%s/%s.npz", s->out, p->id);
    if (p->kind == SWEEP_TUNE || p->kind == SWEEP_AUDIT)
        return cli_format("%s/%s.json", s->out, p->id);
    return cli_format("%s/%s/DONE", s->out, p->id);
}

bool sweep_same_args(const sweep *s, const sweep_part *p, const json_t *record)
{
    json_t *now = identity(s, p);
    bool same = json_equal(now, json_object_get(record, "args")) != 0;
    json_decref(now);
    return same;
}

bool sweep_is_made(const sweep *s, const sweep_part *p)
{
    char *file = sweep_product(s, p);
    json_t *answer = NULL;
    bool made = exists(file);
    if (made && (p->kind == SWEEP_TUNE || p->kind == SWEEP_AUDIT) && cli_json_load(file, &answer) != LT_OK) {
        lt_error_clear(); // cut off: as if it were not there
        made = false;
    }
    json_decref(answer);
    free(file);
    return made;
}
