// values.c - values of a study: checked one by one, with the line in every message.
#include "study/parse.h"
#include <string.h>

void *lti_study_alloc(lti_study_reader *r, size_t n, size_t size, lt_status *status)
{
    size_t bytes;
    void *p = lti_mul_size(n ? n : 1, size, &bytes) ? NULL : lti_arena_alloc(&r->arena, bytes);
    *status = p ? LT_OK : LTI_NOMEM(r->label);
    return p;
}

lt_status lti_study_keys(lti_study_reader *r, const lti_yaml *map, const char *const *known)
{
    LT_TRY(lti_yaml_expect(r->label, map, LTI_YAML_MAP));
    for (const lti_yaml *c = map->first; c; c = c->next) {
        bool found = false;
        for (const char *const *k = known; *k && !found; k++)
            found = lti_same_key(c->key, *k);
        if (found)
            continue;
        LT_FAIL(LT_E_USAGE, "%s:%d: unknown key '%s'%s%s", LTI_AT(r, c), c->key, map->key ? " in " : "",
                map->key ? map->key : "");
        const char *near = lt_nearest(c->key, known);
        return near ? lt_error_hint("did you mean '%s'?", near) : lt_error_hint("docs/sweeps.md lists the keys");
    }
    return LT_OK;
}

// Messages of the parsers of base get the place in front.
lt_status lti_study_placed(lti_study_reader *r, const lti_yaml *node, lt_status status)
{
    if (status == LT_OK)
        return LT_OK;
    const lt_error error = *lt_error_get();
    LT_FAIL(status, "%s:%d: %s", LTI_AT(r, node), error.message);
    return error.hint[0] ? lt_error_hint("%s", error.hint) : status;
}

#define MAX_SEED 1000000000000000u // so that seeds made from these are still integers of JSON

lt_status lti_study_u64(lti_study_reader *r, const lti_yaml *node, uint64_t *value)
{
    const char *text;
    LT_TRY(lti_yaml_text(r->label, node, &text));
    return lti_study_placed(r, node, lti_parse_u64(text, node->key, MAX_SEED, value));
}

lt_status lti_study_i32(lti_study_reader *r, const lti_yaml *node, int32_t min, int32_t max, int32_t *value)
{
    const char *text;
    int64_t wide;
    LT_TRY(lti_yaml_text(r->label, node, &text));
    LT_TRY(lti_study_placed(r, node, lti_parse_i64(text, node->key, min, max, &wide)));
    *value = (int32_t)wide;
    return LT_OK;
}

lt_status lti_study_f64(lti_study_reader *r, const lti_yaml *node, double *value)
{
    const char *text;
    LT_TRY(lti_yaml_text(r->label, node, &text));
    return lti_study_placed(r, node, lti_parse_f64(text, node->key, -1e300, 1e300, value));
}

lt_status lti_study_bool(lti_study_reader *r, const lti_yaml *node, bool *value)
{
    static const char *const yes[] = {"true", "yes", "on", NULL}, *const no[] = {"false", "no", "off", NULL};
    const char *text;
    LT_TRY(lti_yaml_text(r->label, node, &text));
    for (int i = 0; yes[i]; i++)
        if (!strcmp(text, yes[i]) || !strcmp(text, no[i])) {
            *value = !strcmp(text, yes[i]);
            return LT_OK;
        }
    return LT_FAIL(LT_E_USAGE, "%s:%d: %s: expected true or false, found '%s'", LTI_AT(r, node), node->key, text);
}

static lt_status add_seed(lti_study_reader *r, const lti_yaml *node, lt_study_seeds *seeds)
{
    uint64_t seed;
    LT_TRY(lti_study_u64(r, node, &seed));
    for (int i = 0; i < seeds->n; i++)
        if (seeds->seed[i] == seed)
            return LT_FAIL(LT_E_USAGE, "%s:%d: %s: expected different seeds, found %llu twice", LTI_AT(r, node),
                           node->key, (unsigned long long)seed);
    seeds->seed[seeds->n++] = seed;
    return LT_OK;
}

lt_status lti_study_seeds(lti_study_reader *r, const lti_yaml *node, lt_study_seeds *seeds)
{
    lt_status status;
    const bool one = node->kind == LTI_YAML_SCALAR;
    seeds->seed = lti_study_alloc(r, (size_t)(one ? 1 : node->n), sizeof *seeds->seed, &status);
    LT_TRY(status);
    if (one)
        return add_seed(r, node, seeds);
    LT_TRY(lti_yaml_expect(r->label, node, LTI_YAML_LIST));
    if (node->n == 0)
        return LT_FAIL(LT_E_USAGE, "%s:%d: %s: expected at least one seed, found none", LTI_AT(r, node), node->key);
    for (const lti_yaml *c = node->first; c; c = c->next)
        LT_TRY(add_seed(r, c, seeds));
    return LT_OK;
}

lt_status lti_study_name(lti_study_reader *r, const lti_yaml *node, const char **name)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+-";
    enum { MAX_NAME = 60 };
    LT_TRY(lti_yaml_text(r->label, node, name));
    if ((*name)[strspn(*name, allowed)] || (*name)[0] == '.' || (*name)[0] == '-' || strlen(*name) > MAX_NAME)
        return LT_FAIL(LT_E_USAGE,
                       "%s:%d: %s: expected at most %d letters, digits and . _ + -, not beginning with . or -, found "
                       "'%s'",
                       LTI_AT(r, node), node->key, MAX_NAME, *name);
    return LT_OK;
}

// ---- options

lt_status lti_study_set_open(const lti_study_table *tables, int n, lti_study_set *out)
{
    enum { ALIGN = 16 };
    size_t at = 0, total = 0;
    *out = (lti_study_set){0};
    for (int i = 0; i < n; i++)
        total += (tables[i].cfg_size + ALIGN) / ALIGN * ALIGN;
    out->cfg = lti_calloc(1, total + 1);
    lt_status status = out->cfg ? lt_optset_create(&out->set) : LTI_NOMEM("options of a study");
    for (int i = 0; i < n && status == LT_OK; i++) {
        status = lt_optset_add(out->set, tables[i].prefix, tables[i].table, (char *)out->cfg + at, 0);
        at += (tables[i].cfg_size + ALIGN) / ALIGN * ALIGN;
    }
    if (status != LT_OK)
        lti_study_set_close(out);
    return status;
}

void lti_study_set_close(lti_study_set *s)
{
    lt_optset_destroy(s->set);
    lti_free(s->cfg);
    *s = (lti_study_set){0};
}

lt_status lti_study_training_bind(lti_study_training *t, lt_optset *set)
{
    LT_TRY(lt_optset_add(set, "", lt_train_options, &t->train, 0));
    LT_TRY(lt_optset_add(set, "", lt_clip_norm_options, &t->clip, 0));
    return lt_optset_add(set, "", lt_clip_rule_options, &t->clip, 0);
}

static char *dashed(lti_study_reader *r, const char *key)
{
    char *copy = lti_arena_strdup(&r->arena, key);
    for (char *p = copy; p && *p; p++)
        *p = *p == '_' ? '-' : *p;
    return copy;
}

lt_status lti_study_value_text(lti_study_reader *r, lti_study_set *set, const char *key, const char *text,
                               const lti_yaml *at, lt_study_option *out)
{
    const char *canonical;
    LT_TRY(lti_study_placed(r, at, lt_optset_set(set->set, key, text, "study")));
    LT_TRY(lti_study_placed(r, at, lt_optset_get(set->set, key, &canonical, NULL)));
    out->key = dashed(r, key);
    out->value = lti_arena_strdup(&r->arena, canonical);
    return out->key && out->value ? LT_OK : LTI_NOMEM(r->label);
}

lt_status lti_study_value(lti_study_reader *r, lti_study_set *set, const char *key, const lti_yaml *node,
                          lt_study_option *out)
{
    const char *text;
    LT_TRY(lti_yaml_value(r->label, &r->arena, node, &text));
    return lti_study_value_text(r, set, key, text, node, out);
}

static lt_status add_option(lti_study_reader *r, lti_study_set *set, const char *key, const lti_yaml *node,
                            lt_study_options *out)
{
    lt_status status;
    if (node->kind == LTI_YAML_MAP) {
        for (const lti_yaml *c = node->first; c; c = c->next) {
            char *full = lti_asprintf("%s.%s", key, c->key);
            status = full ? add_option(r, set, full, c, out) : LTI_NOMEM(r->label);
            lti_free(full);
            LT_TRY(status);
        }
        return LT_OK;
    }
    lt_study_option *all = lti_study_alloc(r, (size_t)out->n + 1, sizeof *all, &status), one;
    LT_TRY(status);
    LT_TRY(lti_study_value(r, set, key, node, &one));
    for (int i = 0; i < out->n; i++) {
        if (!strcmp(out->option[i].key, one.key))
            return LT_FAIL(LT_E_USAGE, "%s:%d: %s: expected each option once, found a second one", LTI_AT(r, node),
                           key);
        all[i] = out->option[i];
    }
    all[out->n] = one;
    out->option = all;
    out->n++;
    return LT_OK;
}

lt_status lti_study_options(lti_study_reader *r, lti_study_set *set, const lti_yaml *map, lt_study_options *out)
{
    if (!map)
        return LT_OK;
    LT_TRY(lti_yaml_expect(r->label, map, LTI_YAML_MAP));
    for (const lti_yaml *c = map->first; c; c = c->next)
        LT_TRY(add_option(r, set, c->key, c, out));
    return LT_OK;
}
