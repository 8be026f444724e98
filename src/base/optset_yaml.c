// optset_yaml.c - values from a YAML file: nested maps become dotted keys, a list of scalars becomes "a,b,c".
#include "base/optset_impl.h"
#include "base/yaml_tree.h"

static lt_status assign(lt_optset *set, const char *label, int line, const char *key, const char *value)
{
    lti_opt_row *row;
    char *where = lti_asprintf("%s:%d: ", label, line);
    char *what = lti_asprintf("%s:%d: %s", label, line, key);
    char *origin = lti_asprintf("config %s:%d", label, line);
    lt_status status = where && what && origin ? LT_OK : LTI_NOMEM(label);
    if (status == LT_OK && lti_optset_is_source(key))
        status = LT_FAIL(LT_E_USAGE, "%s: a file of options takes no others in: write --%s", what, key);
    if (status == LT_OK)
        status = lti_optset_require(set, key, 0, where, "", &row);
    if (status == LT_OK)
        status = lti_optset_note_alias(set, key, row);
    if (status == LT_OK && row->seen == set->n_yaml) // under another name: as a dotted key, or without its prefix
        status = LT_FAIL(LT_E_USAGE, "%s: expected each option once, found a second one", what);
    if (status == LT_OK) {
        row->seen = set->n_yaml;
        status = lti_optset_assign(set, row, value, origin, what);
    }
    lti_free(where);
    lti_free(what);
    lti_free(origin);
    return status;
}

static lt_status load_map(lt_optset *set, const char *label, lti_arena *arena, const char *outer, const lti_yaml *map)
{
    for (const lti_yaml *c = map->first; c; c = c->next) {
        const char *value;
        char *key = outer ? lti_asprintf("%s.%s", outer, c->key) : lti_strdup(c->key);
        lt_status status = key ? LT_OK : LTI_NOMEM(label);
        if (status == LT_OK && c->kind == LTI_YAML_MAP) {
            status = load_map(set, label, arena, key, c);
        } else if (status == LT_OK) {
            status = lti_yaml_value(label, arena, c, &value);
            if (status == LT_OK)
                status = assign(set, label, c->line, key, value);
        }
        lti_free(key);
        LT_TRY(status);
    }
    return LT_OK;
}

lt_status lti_optset_load_yaml_text(lt_optset *set, const char *text, size_t n, const char *label)
{
    lti_arena arena = {0};
    lti_yaml *root;
    lt_status status = LT_OK;
    set->n_yaml++;
    LT_TRY_GOTO(lti_yaml_parse(text, n, label, &arena, &root), done);
    LT_TRY_GOTO(lti_yaml_expect(label, root, LTI_YAML_MAP), done);
    LT_TRY_GOTO(load_map(set, label, &arena, NULL, root), done);
done:
    lti_arena_clear(&arena);
    return status;
}

lt_status lt_optset_load_yaml(lt_optset *set, const char *path)
{
    char *text;
    size_t n;
    LT_TRY(lt_read_file(path, LTI_YAML_MAX_BYTES, &text, &n));
    lt_status status = lti_optset_load_yaml_text(set, text, n, path);
    lti_free(text);
    return status;
}
