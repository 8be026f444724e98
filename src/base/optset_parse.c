// optset_parse.c - values from the command line and the environment.
//
// The arguments are walked once per source, weakest first (--config, then --set, then flags): every walk reads all
// arguments the same way and acts only on its own kind, so nothing has to be queued.
#include "base/optset_impl.h"
#include <stdlib.h>
#include <string.h>

typedef enum walk_kind { WALK_CONFIG, WALK_SET, WALK_FLAGS } walk_kind;

typedef struct walk {
    lt_optset *set;
    walk_kind kind;
    int argc, at;
    char *const *argv;
} walk;

// The value of the option at argv[at]: what follows '=', or the next argument.
static lt_status take_value(walk *w, const char *name, const char *after_equals, const char **value)
{
    if (after_equals) {
        *value = after_equals;
        return LT_OK;
    }
    const char *next = w->at + 1 < w->argc ? w->argv[w->at + 1] : NULL;
    if (!next)
        return LT_FAIL(LT_E_USAGE, "--%s: expected a value, found nothing after it", name);
    if (!strncmp(next, "--", 2)) {
        LT_FAIL(LT_E_USAGE, "--%s: expected a value, found '%s'", name, next);
        return lt_error_hint("write --%s=%s if that is the value", name, next);
    }
    w->at++;
    *value = next;
    return LT_OK;
}

// "--name" alone is yes; a switch that has a third state also takes the word after it.
static const char *take_switch_word(walk *w, const lt_option *o)
{
    const char *next = w->at + 1 < w->argc ? w->argv[w->at + 1] : NULL;
    for (const lt_opt_value *v = o->type == LT_OPT_ENUM && next ? o->values : NULL; v && v->name; v++)
        if (!strcmp(v->name, next)) {
            w->at++;
            return next;
        }
    return "true";
}

bool lti_optset_is_source(const char *key)
{
    return !strcmp(key, "config") || !strcmp(key, "set");
}

// what: "--set" or "LETHE_SET"
static lt_status apply_set(lt_optset *set, const char *text, const char *what)
{
    const char *equals = strchr(text, '=');
    if (!equals || equals == text)
        return LT_FAIL(LT_E_USAGE, "%s: expected key=value, found '%s'", what, text);
    char *key = lti_asprintf("%.*s", (int)(equals - text), text);
    if (!key)
        return LTI_NOMEM("--set");
    lt_status status = lti_optset_is_source(key)
                           ? LT_FAIL(LT_E_USAGE, "%s: %s is not set by a key: write --%s", what, key, key)
                           : lt_optset_set(set, key, equals + 1, "--set");
    lti_free(key);
    return status;
}

// "no-x" -> "x", "plan.no-x" -> "plan.x" when that is a switch and the name as written is no option; else *row is NULL.
static lt_status find_negated(lt_optset *set, const char *name, lti_opt_row **row)
{
    const lti_opt_row *other;
    const char *dot = strrchr(name, '.');
    const char *tail = dot ? dot + 1 : name;
    *row = NULL;
    if (strncmp(tail, "no-", 3) != 0 || lti_optset_find(set, name, LTI_FIND_FLAG, &other))
        return LT_OK;
    char *plain = lti_asprintf("%.*s%s", (int)(tail - name), name, tail + 3);
    if (!plain)
        return LTI_NOMEM(name);
    lti_opt_row *found = lti_optset_find(set, plain, LTI_FIND_FLAG, &other);
    if (!found)
        found = lti_optset_find_alias(set, plain, LTI_FIND_FLAG, &other);
    lt_status status = found ? lti_optset_note_alias(set, plain, found) : LT_OK;
    lti_free(plain);
    if (found && !other && lti_opt_is_switch(found->o))
        *row = found;
    return status;
}

static lt_status walk_flag(walk *w, const char *name, const char *after_equals)
{
    lti_opt_row *row;
    const char *value = "false";
    LT_TRY(find_negated(w->set, name, &row));
    if (row) {
        if (after_equals)
            return LT_FAIL(LT_E_USAGE, "--%s: expected no value, found '%s'", name, after_equals);
    } else {
        LT_TRY(lti_optset_require(w->set, name, LTI_FIND_FLAG, "", "--", &row));
        LT_TRY(lti_optset_note_alias(w->set, name, row));
        if (lti_opt_is_switch(row->o))
            value = after_equals ? after_equals : take_switch_word(w, row->o);
        else
            LT_TRY(take_value(w, name, after_equals, &value));
    }
    if (w->kind != WALK_FLAGS)
        return LT_OK;
    char *what = lti_asprintf("--%s", name);
    if (!what)
        return LTI_NOMEM(name);
    lt_status status = lti_optset_assign(w->set, row, value, "flag", what);
    lti_free(what);
    return status;
}

// --config and --set belong to every option set. A table may also list them, for its help; then the row gets the value.
static lt_status walk_option(walk *w, const char *name, const char *after_equals)
{
    const char *value;
    const bool config = !strcmp(name, "config");
    if (!config && strcmp(name, "set") != 0)
        return walk_flag(w, name, after_equals);
    LT_TRY(take_value(w, name, after_equals, &value));
    if (config && w->kind == WALK_CONFIG)
        LT_TRY(lt_optset_load_yaml(w->set, value));
    if (!config && w->kind == WALK_SET)
        LT_TRY(apply_set(w->set, value, "--set"));
    if (w->kind == WALK_FLAGS && lt_optset_has(w->set, name))
        LT_TRY(lt_optset_set(w->set, name, value, "flag"));
    return LT_OK;
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static lt_status walk_args(lt_optset *set, walk_kind kind, int argc, char *const *argv, const char **positional, int *n)
{
    walk w = {.set = set, .kind = kind, .argc = argc, .argv = argv};
    bool options = true;
    *n = 0;
    for (; w.at < argc; w.at++) {
        const char *arg = argv[w.at];
        if (options && !strcmp(arg, "--")) {
            options = false;
        } else if (options && !strncmp(arg, "--", 2)) {
            const size_t length = strcspn(arg + 2, "=");
            char *name = lti_asprintf("%.*s", (int)length, arg + 2);
            if (!name)
                return LTI_NOMEM(arg);
            lt_status status = walk_option(&w, name, arg[2 + length] ? arg + 2 + length + 1 : NULL);
            lti_free(name);
            LT_TRY(status);
        } else if (options && arg[0] == '-' && is_letter(arg[1])) {
            LT_FAIL(LT_E_USAGE, "unknown option %s", arg);
            return lt_error_hint("options are long: --help lists them");
        } else {
            positional[(*n)++] = arg;
        }
    }
    return LT_OK;
}

// The twins of --config and --set, each a little weaker than its flag.
static const char *environment(const char *variable)
{
    const char *value = getenv(variable);
    return value && *value ? value : NULL;
}

lt_status lt_optset_parse(lt_optset *set, int argc, char *const *argv, const char **positional, int *n_positional)
{
    const char *config = environment("LETHE_CONFIG"), *assignment = environment("LETHE_SET");
    if (config)
        LT_TRY(lt_optset_load_yaml(set, config));
    LT_TRY(walk_args(set, WALK_CONFIG, argc, argv, positional, n_positional));
    LT_TRY(lt_optset_load_env(set));
    if (assignment)
        LT_TRY(apply_set(set, assignment, "LETHE_SET"));
    LT_TRY(walk_args(set, WALK_SET, argc, argv, positional, n_positional));
    return walk_args(set, WALK_FLAGS, argc, argv, positional, n_positional);
}

// LETHE_DATA and LETHE_HOME name directories; they are no twins of options that happen to be called so.
static bool is_reserved(const char *variable)
{
    return !strcmp(variable, "LETHE_DATA") || !strcmp(variable, "LETHE_HOME");
}

static lt_status load_variable(lt_optset *set, lti_opt_row *row, const char *name, bool *found)
{
    char *variable = lti_asprintf("LETHE_%s", name);
    if (!variable)
        return LTI_NOMEM(name);
    for (char *p = variable; *p; p++)
        *p = *p == '-' || *p == '.' ? '_' : *p >= 'a' && *p <= 'z' ? (char)(*p - 'a' + 'A') : *p;
    const char *value = is_reserved(variable) ? NULL : getenv(variable);
    lt_status status = LT_OK;
    *found = value && *value; // empty counts as not set
    if (*found) {
        char *origin = lti_asprintf("env %s", variable);
        status = origin ? lti_optset_assign(set, row, value, origin, variable) : LTI_NOMEM(name);
        lti_free(origin);
    }
    lti_free(variable);
    return status;
}

lt_status lt_optset_load_env(lt_optset *set)
{
    bool found;
    for (int i = 0; i < set->n_rows; i++) {
        lti_opt_row *row = &set->row[i];
        const bool bare = row->name != row->key && lti_opt_is_flag(set, row);
        if (bare)
            LT_TRY(lti_optset_load_env_aliases(set, row, row->name, load_variable));
        LT_TRY(lti_optset_load_env_aliases(set, row, row->key, load_variable));
        if (bare)
            LT_TRY(load_variable(set, row, row->name, &found));
        LT_TRY(load_variable(set, row, row->key, &found)); // the longer name wins, and a current one over an old one
    }
    return LT_OK;
}
