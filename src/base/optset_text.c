// optset_text.c - what an option set says about itself: help, documentation, resolved.json, --show-config, digest.
#include "base/optset_impl.h"
#include <string.h>

enum { HELP_COLUMN = 30, HELP_WIDTH = 100 };

static const char *default_of(const lt_option *o, char number[LTI_NUMBER_MAX])
{
    switch (o->type) {
    case LT_OPT_STR:
        return o->def_str && *o->def_str ? o->def_str : NULL;
    case LT_OPT_BOOL:
        return o->def != 0 ? "on" : "off";
    case LT_OPT_ENUM:
        for (const lt_opt_value *v = o->values; v->name; v++)
            if (v->value == (int32_t)o->def)
                return v->name;
        return NULL;
    default:
        return lti_number_text(o->def, o->type == LT_OPT_F32, number);
    }
}

static bool is_number(lt_opt_type type)
{
    return type != LT_OPT_BOOL && type != LT_OPT_STR && type != LT_OPT_ENUM;
}

// "0..10", "a, b, c" or nothing. The full range of a type is no information.
static void add_range(lti_buf *b, const lt_option *o)
{
    char low[LTI_NUMBER_MAX], high[LTI_NUMBER_MAX];
    if (o->type == LT_OPT_ENUM)
        for (const lt_opt_value *v = o->values; v->name; v++)
            lti_buf_printf(b, "%s%s", v == o->values ? "" : ", ", v->name);
    else if (is_number(o->type) && o->type != LT_OPT_U64)
        lti_buf_printf(b, "%s..%s", lti_number_text(o->min, false, low), lti_number_text(o->max, false, high));
}

// Appends text word by word, starting new lines at HELP_COLUMN.
static void add_wrapped(lti_buf *b, int column, const char *text)
{
    while (*text) {
        const int length = (int)strcspn(text, " ");
        if (column > HELP_COLUMN && column + 1 + length > HELP_WIDTH) {
            lti_buf_printf(b, "\n%*s", HELP_COLUMN, "");
            column = HELP_COLUMN;
        } else if (column > HELP_COLUMN) {
            lti_buf_puts(b, " ");
            column++;
        }
        lti_buf_add(b, text, (size_t)length);
        column += length;
        text += length;
        text += strspn(text, " ");
    }
    lti_buf_puts(b, "\n");
}

static const char *get_metavar(const lt_option *o)
{
    if (lti_opt_is_switch(o))
        return "";
    switch (o->type) {
    case LT_OPT_BOOL:
        return "";
    case LT_OPT_F32:
    case LT_OPT_F64:
        return " X";
    case LT_OPT_STR:
        return " TEXT";
    case LT_OPT_ENUM:
        return " NAME";
    default:
        return " N";
    }
}

static void add_help_line(lti_buf *b, const char *option, const char *text)
{
    int column = 2 + (int)strlen(option);
    lti_buf_printf(b, "  %s", option);
    if (column + 2 > HELP_COLUMN) {
        lti_buf_puts(b, "\n");
        column = 0;
    }
    lti_buf_printf(b, "%*s", HELP_COLUMN - column, "");
    add_wrapped(b, HELP_COLUMN, text);
}

// The sentence of an option: help, unit, range and default.
static void describe(lti_buf *b, const lti_opt_row *row)
{
    char number[LTI_NUMBER_MAX];
    const lt_option *o = row->o;
    const char *def = default_of(o, number);
    if (row->level == LTI_LEVEL_PRESET && row->value)
        def = o->type != LT_OPT_BOOL ? row->value : !strcmp(row->value, "true") ? "on" : "off";
    lti_buf range = {0};
    add_range(&range, o);
    lti_buf_puts(b, o->help);
    if (o->unit && *o->unit)
        lti_buf_printf(b, " [%s]", o->unit);
    if (range.n || def)
        lti_buf_printf(b, " (%s%s%s%s)", range.n ? range.data : "", range.n && def ? "; " : "", def ? "default " : "",
                       def ? def : "");
    b->failed |= range.failed;
    lti_buf_clear(&range);
}

static void add_help_row(lti_buf *b, const lt_optset *set, const lti_opt_row *row)
{
    const lt_option *o = row->o;
    lti_buf option = {0}, text = {0};
    const char *name = lti_opt_is_flag(set, row) ? row->name : row->key;
    const char *dot = strrchr(name, '.');
    const int head = dot ? (int)(dot - name) + 1 : 0;
    lti_buf_printf(&option, "--%.*s%s%s%s", head, name, lti_opt_is_switch(o) ? "[no-]" : "", name + head,
                   get_metavar(o));
    describe(&text, row);
    if (option.data && text.data)
        add_help_line(b, option.data, text.data);
    else
        b->failed = true;
    if (o->type == LT_OPT_ENUM)
        for (const lt_opt_value *v = o->values; v->name; v++)
            if (v->help && *v->help)
                lti_buf_printf(b, "%*s%s: %s\n", HELP_COLUMN + 2, "", v->name, v->help);
    lti_buf_clear(&option);
    lti_buf_clear(&text);
}

char *lt_optset_help(const lt_optset *set)
{
    lti_buf b = {0};
    for (int g = 0; g < set->n_groups; g++) {
        const char *prefix = set->group[g].prefix;
        lti_buf_printf(&b, "%s%s%s:\n", g ? "\n" : "", *prefix ? "Options of " : "Options", prefix);
        for (int i = 0; i < set->n_rows; i++)
            if (set->row[i].group == g && set->row[i].o->help)
                add_help_row(&b, set, &set->row[i]);
    }
    if (!lt_optset_has(set, "config") || !lt_optset_has(set, "set"))
        lti_buf_puts(&b, "\nOptions everywhere:\n");
    if (!lt_optset_has(set, "config"))
        add_help_line(&b, "--config FILE", "read options from a YAML file");
    if (!lt_optset_has(set, "set"))
        add_help_line(&b, "--set KEY=VALUE",
                      "set any option by its full name; stronger than the file and the environment");
    return lti_buf_take(&b);
}

// Table cells cannot hold a bare '|'.
static void add_cell(lti_buf *b, const char *text)
{
    for (; *text; text++)
        lti_buf_printf(b, "%s%c", *text == '|' ? "\\" : "", *text);
    lti_buf_puts(b, " |");
}

char *lt_optset_markdown(const lt_optset *set)
{
    lti_buf b = {0};
    lti_buf_puts(&b, "| option | default | values | meaning |\n|---|---|---|---|\n");
    for (int i = 0; i < set->n_rows; i++) {
        const lt_option *o = set->row[i].o;
        if (!o->help)
            continue;
        char number[LTI_NUMBER_MAX];
        const char *def = default_of(o, number);
        lti_buf range = {0};
        add_range(&range, o);
        lti_buf_printf(&b, "| `%s` | ", set->row[i].key);
        add_cell(&b, def ? def : "");
        lti_buf_puts(&b, " ");
        add_cell(&b, range.data ? range.data : "");
        lti_buf_puts(&b, " ");
        add_cell(&b, o->help);
        if (o->unit && *o->unit) {
            b.n -= b.n >= 2 ? 2 : 0; // reopen the cell for the unit
            lti_buf_printf(&b, " [%s] |", o->unit);
        }
        lti_buf_puts(&b, "\n");
        b.failed |= range.failed;
        lti_buf_clear(&range);
    }
    return lti_buf_take(&b);
}

static void add_json_value(lti_buf *b, const lti_opt_row *row)
{
    if (!row->value)
        lti_buf_puts(b, "null");
    else if (row->o->type == LT_OPT_STR || row->o->type == LT_OPT_ENUM)
        lti_buf_json_string(b, row->value);
    else
        lti_buf_puts(b, row->value); // canonical number or true/false: JSON already
}

char *lt_optset_json(const lt_optset *set)
{
    lti_buf b = {0};
    lti_buf_puts(&b, "{");
    for (const lti_opt_row *row = NULL; (row = lti_optset_next(set, row));) {
        lti_buf_printf(&b, "%s\n  \"%s\": {\"value\": ", b.n > 1 ? "," : "", row->key);
        add_json_value(&b, row);
        lti_buf_puts(&b, ", \"origin\": ");
        lti_buf_json_string(&b, row->origin);
        lti_buf_puts(&b, "}");
    }
    lti_buf_puts(&b, set->n_rows ? "\n}\n" : "}\n");
    return lti_buf_take(&b);
}

char *lti_optset_yaml(const lt_optset *set)
{
    lti_buf b = {0};
    for (const lti_opt_row *row = NULL; (row = lti_optset_next(set, row));) {
        if (row->level == LTI_LEVEL_DEFAULT || (set->group[row->group].flags & LT_OPTGROUP_NODIGEST))
            continue;
        lti_buf_printf(&b, "%s: ", row->key);
        lti_buf_json_string(&b, row->value); // a JSON string is a YAML one
        lti_buf_puts(&b, "\n");
    }
    return lti_buf_take(&b);
}

char *lt_optset_show(const lt_optset *set)
{
    lti_buf b = {0};
    int widest = 0;
    for (const lti_opt_row *row = NULL; (row = lti_optset_next(set, row));) {
        const int width = (int)(strlen(row->key) + strlen(row->value ? row->value : "")) + 3;
        widest = width > widest && width <= 60 ? width : widest;
    }
    for (const lti_opt_row *row = NULL; (row = lti_optset_next(set, row));) {
        const char *value = row->value ? row->value : "";
        const int pad = widest - (int)(strlen(row->key) + strlen(value)) - 3;
        lti_buf_printf(&b, "%s = %s%*s   # %s\n", row->key, value, pad > 0 ? pad : 0, "", row->origin);
    }
    return lti_buf_take(&b);
}

void lt_optset_digest(const lt_optset *set, char out[65])
{
    lti_hash h;
    lti_hash_init(&h);
    for (const lti_opt_row *row = NULL; (row = lti_optset_next(set, row));) {
        if (set->group[row->group].flags & LT_OPTGROUP_NODIGEST)
            continue;
        lti_hash_add(&h, row->key, strlen(row->key) + 1);
        lti_hash_add(&h, row->value ? "=" : "0", 1); // "" and absent differ
        if (row->value)
            lti_hash_add(&h, row->value, strlen(row->value) + 1);
    }
    lti_hash_hex(&h, out);
}
