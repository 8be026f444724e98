// optset.c - option tables bound to config structs: finding rows, checking values, remembering who set them.
//
// Every source (file, environment, --set, flag) ends in lti_optset_assign. It always checks the value, also when a
// stronger source has spoken already: a wrong line in a config file is an error whatever the flags say.
#include "base/optset_impl.h"
#include <float.h>
#include <string.h>

static char fold(char c)
{
    return c == '_' ? '-' : c;
}

lt_status lt_optset_create(lt_optset **set)
{
    *set = lti_calloc(1, sizeof **set);
    return *set ? LT_OK : LTI_NOMEM("option set");
}

void lt_optset_destroy(lt_optset *set)
{
    if (!set)
        return;
    lti_arena_clear(&set->arena);
    lti_free(set->group);
    lti_free(set->row);
    lti_free(set->notice);
    lti_free(set);
}

static const char *enum_name(const lt_option *o, int32_t value)
{
    for (const lt_opt_value *v = o->values; v->name; v++)
        if (v->value == value)
            return v->name;
    LT_BUG("option %s: %d is not one of its values", o->name, (int)value);
}

static const char *default_text(const lt_option *o, char out[LTI_NUMBER_MAX])
{
    switch (o->type) {
    case LT_OPT_STR:
        return o->def_str;
    case LT_OPT_BOOL:
        return o->def != 0 ? "true" : "false";
    case LT_OPT_ENUM:
        return enum_name(o, (int32_t)o->def);
    default:
        return lti_number_text(o->def, o->type == LT_OPT_F32, out);
    }
}

// prefix + "." + name with dashes for underscores, in the arena.
static char *make_key(lt_optset *set, const char *prefix, const char *name)
{
    const size_t n_prefix = strlen(prefix);
    char *key = lti_arena_alloc(&set->arena, n_prefix + strlen(name) + 2);
    if (!key)
        return NULL;
    lti_format(key, n_prefix + strlen(name) + 2, "%s%s%s", prefix, n_prefix ? "." : "", name);
    for (char *p = key; *p; p++)
        *p = fold(*p);
    return key;
}

static lt_status add_row(lt_optset *set, const lt_option *o, void *cfg)
{
    const lti_opt_group *group = &set->group[set->n_groups];
    char number[LTI_NUMBER_MAX];
    const char *text = default_text(o, number);
    char *key = make_key(set, group->prefix, o->name);
    char *value = text ? lti_arena_strdup(&set->arena, text) : NULL;
    if (!key || (text && !value))
        return LTI_NOMEM("option table");
    for (int i = 0; i < set->n_rows; i++)
        if (!strcmp(set->row[i].key, key))
            LT_BUG("option %s is declared twice", key);
    set->row[set->n_rows++] = (lti_opt_row){.o = o,
                                            .field = (char *)cfg + o->offset,
                                            .group = set->n_groups,
                                            .key = key,
                                            .name = *group->prefix ? key + strlen(group->prefix) + 1 : key,
                                            .value = value,
                                            .origin = "default",
                                            .level = LTI_LEVEL_DEFAULT};
    return LT_OK;
}

lt_status lt_optset_add(lt_optset *set, const char *prefix, const lt_option *table, void *cfg, unsigned flags)
{
    size_t n = 0;
    while (table[n].name)
        n++;
    lti_opt_group *group = lti_realloc(set->group, ((size_t)set->n_groups + 1) * sizeof *group);
    if (!group)
        return LTI_NOMEM("option table");
    set->group = group;
    lti_opt_row *row = lti_realloc(set->row, ((size_t)set->n_rows + n) * sizeof *row);
    if (!row)
        return LTI_NOMEM("option table");
    set->row = row;
    char *canonical = make_key(set, "", prefix);
    if (!canonical)
        return LTI_NOMEM("option table");
    group[set->n_groups] = (lti_opt_group){.prefix = canonical, .flags = flags};
    const int n_rows = set->n_rows;
    for (size_t i = 0; i < n; i++) {
        lt_status status = add_row(set, &table[i], cfg);
        if (status != LT_OK) {
            set->n_rows = n_rows;
            return status;
        }
    }
    set->n_groups++;
    lt_options_defaults(table, cfg);
    return LT_OK;
}

bool lti_opt_is_flag(const lt_optset *set, const lti_opt_row *row)
{
    return (set->group[row->group].flags & LT_OPTGROUP_FLAGS) || row->key == row->name;
}

lti_opt_row *lti_optset_find(const lt_optset *set, const char *key, unsigned how, const lti_opt_row **ambiguous)
{
    lti_opt_row *found = NULL;
    *ambiguous = NULL;
    for (int i = 0; i < set->n_rows; i++)
        if (lti_same_key(set->row[i].key, key))
            return &set->row[i];
    for (int i = 0; i < set->n_rows; i++) {
        lti_opt_row *row = &set->row[i];
        if (!lti_same_key(row->name, key) || ((how & LTI_FIND_FLAG) && !lti_opt_is_flag(set, row)))
            continue;
        if (found) {
            *ambiguous = row;
            return found;
        }
        found = row;
    }
    return found;
}

// Hints are a courtesy: without memory for the candidates there is none.
static void hint_nearest(const lt_optset *set, const char *key, unsigned how, const char *dashes)
{
    const char **names = lti_calloc(2 * (size_t)set->n_rows + 3, sizeof *names);
    if (!names)
        return;
    int n = 0;
    for (int i = 0; i < set->n_rows; i++) {
        if (!(how & LTI_FIND_FLAG) || lti_opt_is_flag(set, &set->row[i]))
            names[n++] = set->row[i].name;
        names[n++] = set->row[i].key;
    }
    if (how & LTI_FIND_FLAG) {
        names[n++] = "config";
        names[n++] = "set";
    }
    const char *near = lt_nearest(key, names);
    if (near)
        lt_error_hint("did you mean %s%s?", dashes, near);
    lti_free(names);
}

lt_status lti_optset_require(const lt_optset *set, const char *key, unsigned how, const char *where, const char *dashes,
                             lti_opt_row **row)
{
    const lti_opt_row *other;
    *row = lti_optset_find(set, key, how, &other);
    if (!*row)
        *row = lti_optset_find_alias(set, key, how, &other);
    if (*row && other) {
        LT_FAIL(LT_E_USAGE, "%s%s%s: expected one option, found several of this name", where, dashes, key);
        return lt_error_hint("write %s%s or %s%s", dashes, (*row)->key, dashes, other->key);
    }
    if (*row)
        return LT_OK;
    LT_FAIL(LT_E_USAGE, "%sunknown option %s%s", where, dashes, key);
    hint_nearest(set, key, how, dashes);
    return LT_E_USAGE;
}

typedef union opt_data {
    bool b;
    int32_t i32;
    int64_t i64;
    uint64_t u64;
    float f32;
    double f64;
    const char *str;
} opt_data;

static bool is_bool_word(const char *text, bool *out)
{
    static const char *const words[] = {"false", "true", "no", "yes", "off", "on", "0", "1"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (!strcmp(text, words[i])) {
            *out = i % 2 == 1;
            return true;
        }
    return false;
}

static lt_status parse_bool(const char *text, const char *what, bool *out)
{
    if (is_bool_word(text, out))
        return LT_OK;
    return LT_FAIL(LT_E_USAGE, "%s: expected true or false, found '%s'", what, text);
}

bool lti_opt_is_switch(const lt_option *o)
{
    return o->type == LT_OPT_BOOL || (o->type == LT_OPT_ENUM && o->values == lt_auto_values);
}

static lt_status parse_enum(const lt_option *o, const char *text, const char *what, int32_t *out)
{
    lti_buf list = {0};
    const char *names[64];
    size_t n = 0;
    bool on;
    if (lti_opt_is_switch(o) && is_bool_word(text, &on)) {
        *out = on ? LT_YES : LT_NO;
        return LT_OK;
    }
    for (const lt_opt_value *v = o->values; v->name; v++) {
        if (lti_same_key(v->name, text)) {
            *out = v->value;
            lti_buf_clear(&list);
            return LT_OK;
        }
        if (n + 1 < sizeof names / sizeof *names)
            names[n++] = v->name;
        lti_buf_printf(&list, "%s%s", list.n ? ", " : "", v->name);
    }
    names[n] = NULL;
    LT_FAIL(LT_E_USAGE, "%s: expected one of %s, found '%s'", what, list.data ? list.data : "its values", text);
    const char *near = lt_nearest(text, names);
    if (near)
        lt_error_hint("did you mean %s?", near);
    lti_buf_clear(&list);
    return LT_E_USAGE;
}

// Row limits are doubles; converted so that a limit beyond the type's own means the type's own.
static int64_t limit_i64(double limit)
{
    return limit >= 0x1p63 ? INT64_MAX : limit < -0x1p63 ? INT64_MIN : (int64_t)limit;
}

static double clamp(double x, double low, double high)
{
    return x < low ? low : x > high ? high : x;
}

static lt_status parse_value(const lt_option *o, const char *text, const char *what, opt_data *out)
{
    int64_t whole = 0;
    double real = 0;
    switch (o->type) {
    case LT_OPT_BOOL:
        return parse_bool(text, what, &out->b);
    case LT_OPT_I32:
        LT_TRY(lti_parse_i64(text, what, limit_i64(clamp(o->min, INT32_MIN, INT32_MAX)),
                             limit_i64(clamp(o->max, INT32_MIN, INT32_MAX)), &whole));
        out->i32 = (int32_t)whole;
        return LT_OK;
    case LT_OPT_I64:
        return lti_parse_i64(text, what, limit_i64(o->min), limit_i64(o->max), &out->i64);
    case LT_OPT_U64: // up to what the integers of JSON readers and of the ledger hold without loss
        return lti_parse_u64(text, what, (uint64_t)limit_i64(o->max), &out->u64);
    case LT_OPT_F32:
        LT_TRY(lti_parse_f64(text, what, clamp(o->min, -FLT_MAX, FLT_MAX), clamp(o->max, -FLT_MAX, FLT_MAX), &real));
        out->f32 = (float)real;
        return LT_OK;
    case LT_OPT_F64:
        return lti_parse_f64(text, what, o->min, o->max, &out->f64);
    case LT_OPT_ENUM:
        return parse_enum(o, text, what, &out->i32);
    case LT_OPT_STR:
        out->str = text;
        return LT_OK;
    }
    LT_BUG("option %s: type %d", o->name, (int)o->type);
}

static void store(lt_opt_type type, void *field, const opt_data *d)
{
    switch (type) {
    case LT_OPT_BOOL:
        *(bool *)field = d->b;
        break;
    case LT_OPT_I32:
    case LT_OPT_ENUM:
        *(int32_t *)field = d->i32;
        break;
    case LT_OPT_I64:
        *(int64_t *)field = d->i64;
        break;
    case LT_OPT_U64:
        *(uint64_t *)field = d->u64;
        break;
    case LT_OPT_F32:
        *(float *)field = d->f32;
        break;
    case LT_OPT_F64:
        *(double *)field = d->f64;
        break;
    case LT_OPT_STR:
        *(const char **)field = d->str;
        break;
    }
}

// One text per value, however it was written: equal configurations then have equal digests.
static const char *value_text(const lt_option *o, const opt_data *d, char number[LTI_NUMBER_MAX])
{
    switch (o->type) {
    case LT_OPT_BOOL:
        return d->b ? "true" : "false";
    case LT_OPT_ENUM:
        return enum_name(o, d->i32);
    case LT_OPT_I32:
        lti_format(number, LTI_NUMBER_MAX, "%d", (int)d->i32);
        return number;
    case LT_OPT_I64:
        lti_format(number, LTI_NUMBER_MAX, "%lld", (long long)d->i64);
        return number;
    case LT_OPT_U64:
        lti_format(number, LTI_NUMBER_MAX, "%llu", (unsigned long long)d->u64);
        return number;
    case LT_OPT_F32:
        return lti_number_text((double)d->f32, true, number);
    case LT_OPT_F64:
        return lti_number_text(d->f64, false, number);
    case LT_OPT_STR:
        return d->str;
    }
    LT_BUG("option %s: type %d", o->name, (int)o->type);
}

// In the arena.
static const char *canonical_text(lt_optset *set, const lt_option *o, const opt_data *d)
{
    char number[LTI_NUMBER_MAX];
    return lti_arena_strdup(&set->arena, value_text(o, d, number));
}

static opt_data load(lt_opt_type type, const void *field)
{
    opt_data d = {0};
    switch (type) {
    case LT_OPT_BOOL:
        d.b = *(const bool *)field;
        break;
    case LT_OPT_I32:
    case LT_OPT_ENUM:
        d.i32 = *(const int32_t *)field;
        break;
    case LT_OPT_I64:
        d.i64 = *(const int64_t *)field;
        break;
    case LT_OPT_U64:
        d.u64 = *(const uint64_t *)field;
        break;
    case LT_OPT_F32:
        d.f32 = *(const float *)field;
        break;
    case LT_OPT_F64:
        d.f64 = *(const double *)field;
        break;
    case LT_OPT_STR:
        d.str = *(const char *const *)field;
        break;
    }
    return d;
}

const char *lt_option_text(const lt_option *row, const void *cfg, char number[LT_OPTION_TEXT_MAX])
{
    _Static_assert((int)LT_OPTION_TEXT_MAX == (int)LTI_NUMBER_MAX, "one size of buffer for both");
    const opt_data d = load(row->type, (const char *)cfg + row->offset);
    return value_text(row, &d, number);
}

static lti_opt_level level_of(const char *origin)
{
    static const struct {
        const char *word;
        lti_opt_level level;
    } levels[] = {{"default", LTI_LEVEL_DEFAULT},
                  {"config", LTI_LEVEL_CONFIG},
                  {"env", LTI_LEVEL_ENV},
                  {"--set", LTI_LEVEL_SET},
                  {"flag", LTI_LEVEL_FLAG}};
    const size_t n = strcspn(origin, " ");
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++)
        if (strlen(levels[i].word) == n && !strncmp(origin, levels[i].word, n))
            return levels[i].level;
    return LTI_LEVEL_PRESET;
}

lt_status lt_optset_take_presets(lt_optset *set, const lt_optset *from)
{
    for (int i = 0; i < from->n_rows; i++) {
        const lti_opt_row *preset = &from->row[i];
        if (preset->level != LTI_LEVEL_PRESET || !preset->value || !lt_optset_has(set, preset->key))
            continue;
        LT_TRY(lt_optset_set(set, preset->key, preset->value, preset->origin));
    }
    return LT_OK;
}

lt_status lti_optset_assign(lt_optset *set, lti_opt_row *row, const char *value, const char *origin, const char *what)
{
    opt_data data;
    LT_TRY(lti_optset_rename_value(set, row, &value));
    LT_TRY(parse_value(row->o, value, what, &data));
    const lti_opt_level level = level_of(origin);
    if (level < row->level)
        return LT_OK;
    const char *text = canonical_text(set, row->o, &data);
    const char *from = lti_arena_strdup(&set->arena, origin);
    if (!text || !from)
        return LTI_NOMEM(what);
    if (row->o->type == LT_OPT_STR)
        data.str = text;
    store(row->o->type, row->field, &data);
    row->value = text;
    row->origin = from;
    row->level = level;
    return LT_OK;
}

lt_status lt_optset_set(lt_optset *set, const char *key, const char *value, const char *origin)
{
    lti_opt_row *row;
    const bool is_flag = !strcmp(origin, "flag"), is_set = !strcmp(origin, "--set");
    LT_TRY(
        lti_optset_require(set, key, is_flag ? LTI_FIND_FLAG : 0, is_set ? "--set: " : "", is_flag ? "--" : "", &row));
    LT_TRY(lti_optset_note_alias(set, key, row));
    char *what = lti_asprintf("%s%s", is_flag ? "--" : is_set ? "--set " : "", key);
    if (!what)
        return LTI_NOMEM(key);
    lt_status status = lti_optset_assign(set, row, value, origin, what);
    lti_free(what);
    return status;
}

bool lt_optset_has(const lt_optset *set, const char *key)
{
    const lti_opt_row *other;
    return (lti_optset_find(set, key, 0, &other) || lti_optset_find_alias(set, key, 0, &other)) && !other;
}

lt_status lt_optset_get(const lt_optset *set, const char *key, const char **value, const char **origin)
{
    lti_opt_row *row;
    LT_TRY(lti_optset_require(set, key, 0, "", "", &row));
    *value = row->value ? row->value : "";
    if (origin)
        *origin = row->origin;
    return LT_OK;
}

const lti_opt_row *lti_optset_next(const lt_optset *set, const lti_opt_row *last)
{
    const lti_opt_row *best = NULL;
    for (int i = 0; i < set->n_rows; i++) {
        const lti_opt_row *row = &set->row[i];
        if ((!last || strcmp(row->key, last->key) > 0) && (!best || strcmp(row->key, best->key) < 0))
            best = row;
    }
    return best;
}

lt_status lt_optset_add_filled(lt_optset *set, const char *prefix, const lt_option *table, void *cfg, unsigned flags,
                               const char *origin)
{
    lti_arena texts = {0};
    size_t n = 0;
    lt_status status = LT_OK;
    while (table[n].name)
        n++;
    const char **text = lti_arena_alloc(&texts, (n + 1) * sizeof *text);
    for (size_t i = 0; text && i < n; i++) {
        char number[LTI_NUMBER_MAX];
        const char *value = lt_option_text(&table[i], cfg, number);
        text[i] = value ? lti_arena_strdup(&texts, value) : NULL;
        if (value && !text[i])
            text = NULL;
    }
    if (!text)
        status = LTI_NOMEM("option table");
    const int first = set->n_rows;
    if (status == LT_OK)
        status = lt_optset_add(set, prefix, table, cfg, flags);
    for (size_t i = 0; status == LT_OK && i < n; i++) {
        lti_opt_row *row = &set->row[first + (int)i];
        if (text[i] && (!row->value || strcmp(row->value, text[i]) != 0))
            status = lti_optset_assign(set, row, text[i], origin, row->key);
    }
    lti_arena_clear(&texts);
    return status;
}
