// option.h - options declared once: one row gives the flag, help, man page, docs table, YAML key, --set key,
// environment variable, completion, range check and the entry in resolved.json.
//
// A table is a const array of lt_option ended by LT_OPT_END, describing the fields of one plain config struct. An
// lt_optset binds several tables ("groups") to struct instances and applies values in the order
// default < config file < environment < --set < flag, remembering each value's origin. Groups with a non-empty prefix
// have keys "prefix.name"; flags are "--name" for the groups marked LT_OPTGROUP_FLAGS, "--prefix.name" for the others.
// Underscores and dashes are the same in names. Unknown keys fail with LT_E_USAGE and a nearest-name hint.
//
// Threads: tables are constant and may be read by any thread; an lt_optset belongs to one thread at a time.
#ifndef LT_OPTION_H
#define LT_OPTION_H
#include "lethe/status.h"
LT_BEGIN

typedef enum lt_opt_type {
    LT_OPT_BOOL,
    LT_OPT_I32,
    LT_OPT_I64,
    LT_OPT_U64,
    LT_OPT_F32,
    LT_OPT_F64,
    LT_OPT_STR,
    LT_OPT_ENUM
} lt_opt_type;

typedef struct lt_opt_value { // a named constant of an LT_OPT_ENUM row; arrays end with name NULL
    const char *name;
    int32_t value;
    const char *help;
} lt_opt_value;

typedef struct lt_option {
    const char *name; // NULL ends the table
    lt_opt_type type;
    size_t offset;        // of the field in the config struct
    double def, min, max; // numbers; for ENUM `def` is the value
    const char *def_str;  // STR only; may be NULL
    const lt_opt_value *values;
    const char *unit, *help; // help NULL: an option of the past, accepted and listed nowhere
} lt_option;

// NOLINTBEGIN(bugprone-macro-parentheses): types, field names and initialisers take no parentheses
// The field's C type is checked at compile time: a float row on an int field does not compile.
#define LT_OPT_TYPED(T, field, ctype) (offsetof(T, field) + 0 * sizeof(_Generic(&((T *)0)->field, ctype * : 1)))
#define LT_F32(T, field, def_, min_, max_, unit_, help_)                                                               \
    {                                                                                                                  \
        .name = #field, .type = LT_OPT_F32, .offset = LT_OPT_TYPED(T, field, float), .def = def_, .min = min_,         \
        .max = max_, .unit = unit_, .help = help_                                                                      \
    }
#define LT_F64(T, field, def_, min_, max_, unit_, help_)                                                               \
    {                                                                                                                  \
        .name = #field, .type = LT_OPT_F64, .offset = LT_OPT_TYPED(T, field, double), .def = def_, .min = min_,        \
        .max = max_, .unit = unit_, .help = help_                                                                      \
    }
#define LT_I32(T, field, def_, min_, max_, unit_, help_)                                                               \
    {                                                                                                                  \
        .name = #field, .type = LT_OPT_I32, .offset = LT_OPT_TYPED(T, field, int32_t), .def = def_, .min = min_,       \
        .max = max_, .unit = unit_, .help = help_                                                                      \
    }
#define LT_I64(T, field, def_, min_, max_, unit_, help_)                                                               \
    {                                                                                                                  \
        .name = #field, .type = LT_OPT_I64, .offset = LT_OPT_TYPED(T, field, int64_t), .def = def_, .min = min_,       \
        .max = max_, .unit = unit_, .help = help_                                                                      \
    }
#define LT_U64(T, field, def_, help_)                                                                                  \
    {                                                                                                                  \
        .name = #field, .type = LT_OPT_U64, .offset = LT_OPT_TYPED(T, field, uint64_t), .def = def_, .min = 0,         \
        .max = 1.8446744073709552e19, .unit = "", .help = help_                                                        \
    }
#define LT_BOOL(T, field, def_, help_)                                                                                 \
    {                                                                                                                  \
        .name = #field, .type = LT_OPT_BOOL, .offset = LT_OPT_TYPED(T, field, bool), .def = def_, .min = 0, .max = 1,  \
        .unit = "", .help = help_                                                                                      \
    }
#define LT_STR(T, field, def_, help_)                                                                                  \
    {                                                                                                                  \
        .name = #field, .type = LT_OPT_STR, .offset = LT_OPT_TYPED(T, field, const char *), .def_str = def_,           \
        .unit = "", .help = help_                                                                                      \
    }
#define LT_ENUM(T, field, def_, values_, help_)                                                                        \
    {                                                                                                                  \
        .name = #field, .type = LT_OPT_ENUM, .offset = LT_OPT_TYPED(T, field, int32_t), .def = def_,                   \
        .values = values_, .unit = "", .help = help_                                                                   \
    }
// A switch with a third state, "auto": what it means then is said in its help. Written as --name, --no-name or
// --name=auto|yes|no; the words of a BOOL serve, too. The field holds an lt_auto.
#define LT_SWITCH(T, field, help_) LT_ENUM(T, field, LT_AUTO, lt_auto_values, help_)
#define LT_OPT_END                                                                                                     \
    {                                                                                                                  \
        .name = NULL                                                                                                   \
    }
// NOLINTEND(bugprone-macro-parentheses)

typedef enum lt_auto { LT_NO, LT_YES, LT_AUTO } lt_auto;
LT_API extern const lt_opt_value lt_auto_values[]; // names of the values of an option that has "auto"

// Fill a config struct with the table's defaults. For code that needs no lt_optset.
LT_API void lt_options_defaults(const lt_option *table, void *cfg);
// The value of one row in a config struct, as text that reads back to the same value: what lt_optset_get gives. A
// number is written to `number`; NULL for a string that is not set.
enum { LT_OPTION_TEXT_MAX = 32 };
LT_API const char *lt_option_text(const lt_option *row, const void *cfg, char number[LT_OPTION_TEXT_MAX]);

typedef struct lt_optset lt_optset; // owns copies of all strings it stores into config structs

enum {
    LT_OPTGROUP_FLAGS = 1,    // rows are also plain --name flags
    LT_OPTGROUP_NODIGEST = 2, // rows say how to run, not what (--quiet, --out, --resume): kept out of lt_optset_digest
};

LT_API lt_status lt_optset_create(lt_optset **set); // an empty set; LT_E_NOMEM
LT_API void lt_optset_destroy(lt_optset *set);      // NULL is fine; STR fields of bound structs become invalid
// Bind a table to cfg and write its defaults. `prefix` may be "". Table, prefix and cfg must outlive the set.
LT_API lt_status lt_optset_add(lt_optset *set, const char *prefix, const lt_option *table, void *cfg, unsigned flags);

// The same for a cfg that is filled already: its values stay, and those that are no defaults get this origin.
LT_API lt_status lt_optset_add_filled(lt_optset *set, const char *prefix, const lt_option *table, void *cfg,
                                      unsigned flags, const char *origin);

// Set one value from text. key: "name" (searched in all groups, ambiguous = error) or "prefix.name". origin: "--set",
// "flag", "config", "env LETHE_LR", ... Its first word ranks the value; any other word ("demo", "resumed") ranks
// between default and config file. A value is always checked, and dropped without error when a stronger origin has set
// the option before.
LT_API lt_status lt_optset_set(lt_optset *set, const char *key, const char *value, const char *origin);
LT_API bool lt_optset_has(const lt_optset *set, const char *key);
// The canonical value text of key ("" for a string without value) and its origin, or LT_E_USAGE. origin may be NULL.
LT_API lt_status lt_optset_get(const lt_optset *set, const char *key, const char **value, const char **origin);

// argv[0..argc-1] without the program and verb. Accepts --name value, --name=value, --flag, --no-flag for BOOL,
// --set key=value, --config FILE.yaml. Positional arguments are moved to positional[] (room for argc) and counted.
// "--" ends options. The set remembers flags and applies config file, environment and flags in the documented order.
LT_API lt_status lt_optset_parse(lt_optset *set, int argc, char *const *argv, const char **positional,
                                 int *n_positional);
LT_API lt_status lt_optset_load_yaml(lt_optset *set, const char *path);

// The value of an option before the set that has it is made, because the tables of the set depend on it. Errors are
// left to parsing. malloc'ed; NULL when the source does not say it, or when out of memory.
typedef enum lt_option_source {
    LT_PEEK_ARGS,  // --NAME VALUE, --NAME=VALUE, --set NAME=VALUE; the last one wins
    LT_PEEK_ENV,   // LETHE_NAME
    LT_PEEK_FILES, // the top level of the YAML file of --config, else of LETHE_CONFIG
} lt_option_source;
LT_API char *lt_option_peek(int argc, char *const *argv, const char *name, lt_option_source source);
// LETHE_<NAME> (rows that have a plain --name flag) and LETHE_<PREFIX>_<NAME>, upper case, dots and dashes as
// underscores. LETHE_DATA and LETHE_HOME are directories and never read as options; an empty variable counts as unset.
LT_API lt_status lt_optset_load_env(lt_optset *set);

// Options that were renamed are still found under their old names by all of the above; each old name that was used
// leaves one line for the user, "option OLD is now called NEW", valid as long as the set. NULL beyond the last one.
LT_API bool lt_option_is_old_name(const char *key); // does it end with one, in any table?
LT_API int lt_optset_n_notices(const lt_optset *set);
LT_API const char *lt_optset_notice(const lt_optset *set, int i);

// What the program itself has set in `from` (origins such as "demo") is set here for options of the same keys, and
// shown as their default by lt_optset_help. LT_E_NOMEM.
LT_API lt_status lt_optset_take_presets(lt_optset *set, const lt_optset *from);

// All return malloc'ed text the caller frees, NULL when out of memory.
LT_API char *lt_optset_help(const lt_optset *set);     // option section of --help
LT_API char *lt_optset_markdown(const lt_optset *set); // docs table
LT_API char *lt_optset_json(const lt_optset *set); // resolved.json: {"key": {"value":..., "origin":...}}, sorted keys
LT_API char *lt_optset_show(const lt_optset *set); // --show-config: "key = value   # origin"
// BLAKE2b-256 hex of all values (not origins), sorted by key; two equal configurations have equal digests. out[65].
LT_API void lt_optset_digest(const lt_optset *set, char out[65]);

// Nearest name to `word` by edit distance, or NULL when nothing is close. `names` ends with NULL.
LT_API const char *lt_nearest(const char *word, const char *const *names);

LT_END_DECLS
#endif
