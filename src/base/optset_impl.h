// optset_impl.h - the rows of an lt_optset, shared by optset*.c.
#ifndef LT_OPTSET_IMPL_H
#define LT_OPTSET_IMPL_H
#include "base/base.h"

// Who set a value last; a lower level never replaces a higher one. Origins without a level of their own (a verb's own
// presets, a resumed run) count as LEVEL_PRESET.
typedef enum lti_opt_level {
    LTI_LEVEL_DEFAULT,
    LTI_LEVEL_PRESET,
    LTI_LEVEL_CONFIG,
    LTI_LEVEL_ENV,
    LTI_LEVEL_SET,
    LTI_LEVEL_FLAG
} lti_opt_level;

typedef struct lti_opt_row {
    const lt_option *o;
    void *field;
    int group;
    const char *key, *name;     // canonical: dashes; name is the tail of key
    const char *value, *origin; // value NULL: a string option without value
    lti_opt_level level;
    unsigned seen; // number of the YAML file that set it last, to find keys given twice
} lti_opt_row;

typedef struct lti_opt_group {
    const char *prefix; // canonical
    unsigned flags;
} lti_opt_group;

struct lt_optset {
    lti_arena arena; // keys, values, origins
    lti_opt_group *group;
    lti_opt_row *row;
    int n_groups, n_rows;
    unsigned n_yaml;
    const char **notice; // (n_notices) old names that were used
    int n_notices;
};

enum { LTI_FIND_FLAG = 1 }; // bare names are looked for in LT_OPTGROUP_FLAGS groups only

// The row of `key`, NULL when there is none; *ambiguous is the second candidate, or NULL.
lti_opt_row *lti_optset_find(const lt_optset *set, const char *key, unsigned how, const lti_opt_row **ambiguous);
// The row whose old name is `key`, option_alias.c.
lti_opt_row *lti_optset_find_alias(const lt_optset *set, const char *key, unsigned how, const lti_opt_row **ambiguous);
// Keeps a notice when `key`, which led to `row`, is an old name.
lt_status lti_optset_note_alias(lt_optset *set, const char *key, const lti_opt_row *row);
// Replaces a value of an ENUM row by its present name when it is an old one, with a notice.
lt_status lti_optset_rename_value(lt_optset *set, const lti_opt_row *row, const char **value);
// Reads the environment twins of the old names of `name`, which is a name of `row`.
typedef lt_status lti_load_variable(lt_optset *set, lti_opt_row *row, const char *name, bool *found);
lt_status lti_optset_load_env_aliases(lt_optset *set, lti_opt_row *row, const char *name, lti_load_variable *load);
// As lti_optset_find, old names included, with an error. where: "" or "file.yaml:3: "; dashes: "--" or "".
lt_status lti_optset_require(const lt_optset *set, const char *key, unsigned how, const char *where, const char *dashes,
                             lti_opt_row **row);
bool lti_optset_is_source(const char *key); // "config", "set": where values come from; no key can set them
// what: how messages name the option, such as "--lr" or "file.yaml:3: lr".
lt_status lti_optset_assign(lt_optset *set, lti_opt_row *row, const char *value, const char *origin, const char *what);
bool lti_opt_is_switch(const lt_option *o);                         // BOOL, or LT_SWITCH
bool lti_opt_is_flag(const lt_optset *set, const lti_opt_row *row); // is plain --name accepted?
// Rows in the order of their keys: the one after `last` (NULL: the first), NULL at the end. A search per step, because
// tables are small and this way needs no memory, so that hashing cannot fail.
const lti_opt_row *lti_optset_next(const lt_optset *set, const lti_opt_row *last);
#endif
