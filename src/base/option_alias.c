// option_alias.c - old names of options: accepted wherever a name may be written, each with a notice of the new one.
#include "base/option_alias.h"
#include "base/optset_impl.h"
#include <stdlib.h>
#include <string.h>

typedef struct alias {
    const char *old, *now; // last parts of a key
} alias;

static const alias aliases[] = {
#define LT_X(old, now) {old, now},
#define LT_X_VALUE(name, old, now)
#include "base/option_aliases.list"
#undef LT_X
#undef LT_X_VALUE
};
enum { N_ALIASES = sizeof aliases / sizeof *aliases };

static const struct {
    const char *name, *old, *now;
} values[] = {
#define LT_X(old, now)
#define LT_X_VALUE(name, old, now) {name, old, now},
#include "base/option_aliases.list"
#undef LT_X
#undef LT_X_VALUE
};

// The length of what stands before `tail` in `key`; -1 when key does not end with it as a whole part.
static int head_length(const char *key, const char *tail)
{
    const size_t n = strlen(key), m = strlen(tail);
    const bool ends = m <= n && (m == n || key[n - m - 1] == '.') && lti_same_key(key + n - m, tail);
    return ends ? (int)(n - m) : -1;
}

lti_opt_row *lti_optset_find_alias(const lt_optset *set, const char *key, unsigned how, const lti_opt_row **ambiguous)
{
    for (int i = 0; i < N_ALIASES; i++) {
        const int head = head_length(key, aliases[i].old);
        char now[256]; // no key is longer; without memory of its own a look-up cannot fail
        if (head < 0 || (size_t)head + strlen(aliases[i].now) >= sizeof now)
            continue;
        lti_format(now, sizeof now, "%.*s%s", head, key, aliases[i].now);
        lti_opt_row *row = lti_optset_find(set, now, how, ambiguous);
        if (row)
            return row;
    }
    return NULL;
}

// Takes text, which may be NULL. A notice that stands already is not added again.
static lt_status add_notice(lt_optset *set, char *text)
{
    for (int i = 0; text && i < set->n_notices; i++)
        if (!strcmp(set->notice[i], text)) {
            lti_free(text);
            return LT_OK;
        }
    const char *kept = text ? lti_arena_strdup(&set->arena, text) : NULL;
    const char **notice = lti_realloc(set->notice, ((size_t)set->n_notices + 1) * sizeof *notice);
    lti_free(text);
    if (notice)
        set->notice = notice;
    if (!kept || !notice)
        return LTI_NOMEM("notice of an option");
    notice[set->n_notices++] = kept;
    return LT_OK;
}

lt_status lti_optset_note_alias(lt_optset *set, const char *key, const lti_opt_row *row)
{
    const lti_opt_row *other;
    if (lti_optset_find(set, key, 0, &other))
        return LT_OK; // the name is current
    const char *now = strchr(key, '.') ? row->key : row->name;
    return add_notice(set, lti_asprintf("option %s is now called %s", key, now));
}

lt_status lti_optset_rename_value(lt_optset *set, const lti_opt_row *row, const char **value)
{
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        if (row->o->type != LT_OPT_ENUM || !lti_same_key(row->name, values[i].name) ||
            !lti_same_key(*value, values[i].old))
            continue;
        *value = values[i].now;
        return add_notice(set, lti_asprintf("option %s: %s is now called %s", row->name, values[i].old, *value));
    }
    return LT_OK;
}

lt_status lti_optset_load_env_aliases(lt_optset *set, lti_opt_row *row, const char *name, lti_load_variable *load)
{
    for (int i = 0; i < N_ALIASES; i++) {
        const int head = head_length(name, aliases[i].now);
        if (head < 0)
            continue;
        char *old = lti_asprintf("%.*s%s", head, name, aliases[i].old);
        const lti_opt_row *other;
        bool found = false;
        lt_status status = old ? LT_OK : LTI_NOMEM(name);
        if (status == LT_OK && !lti_optset_find(set, old, 0, &other)) // a current option of that name comes first
            status = load(set, row, old, &found);
        if (status == LT_OK && found)
            status = lti_optset_note_alias(set, old, row);
        lti_free(old);
        LT_TRY(status);
    }
    return LT_OK;
}

const char *lti_option_current_name(const char *key, char out[LTI_OPTION_KEY_MAX])
{
    for (int i = 0; i < N_ALIASES; i++) {
        const int head = head_length(key, aliases[i].old);
        if (head < 0)
            continue;
        lti_format(out, LTI_OPTION_KEY_MAX, "%.*s%s", head, key, aliases[i].now);
        return out;
    }
    return key;
}

bool lt_option_is_old_name(const char *key)
{
    for (int i = 0; i < N_ALIASES; i++) {
        const size_t n = strlen(key), m = strlen(aliases[i].old);
        if (m <= n && lti_same_key(key + n - m, aliases[i].old) && (m == n || strchr(".-_", key[n - m - 1])))
            return true;
    }
    return false;
}

int lt_optset_n_notices(const lt_optset *set)
{
    return set->n_notices;
}

const char *lt_optset_notice(const lt_optset *set, int i)
{
    return i >= 0 && i < set->n_notices ? set->notice[i] : NULL;
}
