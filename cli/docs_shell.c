// docs_shell.c - `lethe --dump-docs bash|zsh|fish`: completion of commands, options and their named values, from the
// tables.
#include "cli.h"
#include <string.h>

typedef void row_fn(const cli_verb *v, const lt_option *row, FILE *out);

static void table_rows(const cli_verb *v, const lt_option *table, row_fn *fn, FILE *out)
{
    for (; table->name; table++)
        if (table->help)
            fn(v, table, out);
}

// Every option of a verb that is a plain flag: its own, then the shared ones.
static void each_option(const cli_verb *v, row_fn *fn, FILE *out)
{
    for (const cli_group *g = v->groups; g && g->table; g++)
        table_rows(v, g->table, fn, out);
    for (const cli_shared_group *g = cli_shared_groups; g->table; g++)
        if (cli_has_shared(v, g))
            table_rows(v, g->table, fn, out);
}

static void put_flag(const char *before, const lt_option *row, FILE *out)
{
    fputs(before, out);
    for (const char *p = row->name; *p; p++)
        fputc(*p == '_' ? '-' : *p, out);
}

static bool is_switch(const lt_option *row)
{
    return row->type == LT_OPT_BOOL || row->values == lt_auto_values;
}

// The row of lt_unlearn_what_options that takes the name of a method.
static bool names_method(const lt_option *row)
{
    for (const lt_option *o = lt_unlearn_what_options; o->name; o++)
        if (o == row)
            return row->offset == offsetof(lt_unlearn_what, method);
    return false;
}

// The words that an option with has_values can be given, separated by blanks.
static void put_values(const lt_option *row, FILE *out)
{
    const char *blank = "";
    for (const lt_opt_value *value = row->type == LT_OPT_ENUM ? row->values : NULL; value && value->name;
         value++, blank = " ")
        fprintf(out, "%s%s", blank, value->name);
    for (const lt_unlearn_method *const *m = names_method(row) ? lt_unlearn_methods() : NULL; m && *m; m++, blank = " ")
        fprintf(out, "%s%s", blank, (*m)->name);
}

static bool has_values(const lt_option *row)
{
    return (row->type == LT_OPT_ENUM && !is_switch(row)) || names_method(row);
}

// In single quotes of a shell; `also` are characters that get a backslash.
static void put_quoted(const char *text, const char *also, FILE *out)
{
    for (; *text; text++) {
        if (*text == '\'')
            fputs("'\\''", out);
        else
            fprintf(out, "%s%c", strchr(also, *text) ? "\\" : "", *text);
    }
}

// ---- bash

static void bash_word(const cli_verb *v, const lt_option *row, FILE *out)
{
    (void)v;
    put_flag(" --", row, out);
    if (is_switch(row))
        put_flag(" --no-", row, out);
}

static void bash_values(const cli_verb *v, const lt_option *row, FILE *out)
{
    if (!has_values(row))
        return;
    fprintf(out, "    '%s ", v->name);
    put_flag("--", row, out);
    fputs("') values=\"", out);
    put_values(row, out);
    fputs("\" ;;\n", out);
}

static void dump_bash(FILE *out)
{
    fputs("# bash completion of lethe; made by `lethe --dump-docs bash`\n_lethe()\n{\n    local "
          "cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} words values=\n"
          "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n        COMPREPLY=($(compgen -W \"--help --version",
          out);
    for (const cli_row *r = cli_rows; r->name; r++)
        fprintf(out, " %s", r->name);
    fputs("\" -- \"$cur\"))\n        return\n    fi\n"
          "    if [ \"$cur\" = = ]; then\n        cur=\n    elif [ \"$prev\" = = ]; then\n"
          "        prev=${COMP_WORDS[COMP_CWORD-2]}\n    fi\n"
          "    case \"${COMP_WORDS[1]} $prev\" in\n",
          out);
    for (const cli_row *r = cli_rows; r->name; r++)
        each_option(r->verb, bash_values, out);
    fputs("    esac\n    if [ -n \"$values\" ]; then\n        COMPREPLY=($(compgen -W \"$values\" -- \"$cur\"))\n"
          "        return\n    fi\n    case ${COMP_WORDS[1]} in\n",
          out);
    for (const cli_row *r = cli_rows; r->name; r++) {
        fprintf(out, "    %s) words=\"--help", r->name);
        each_option(r->verb, bash_word, out);
        fputs("\" ;;\n", out);
    }
    fputs("    esac\n    case $cur in\n    -*) COMPREPLY=($(compgen -W \"$words\" -- \"$cur\")) ;;\n    *) "
          "COMPREPLY=($(compgen -f -- \"$cur\")) ;;\n    esac\n}\n"
          "complete -o filenames -F _lethe lethe\n",
          out);
}

// ---- zsh

static void zsh_option(const cli_verb *v, const lt_option *row, FILE *out)
{
    (void)v;
    static const char special[] = "[]:\\";
    fputs(" \\\n        '", out);
    put_flag("--", row, out);
    fputs(is_switch(row) ? "[" : "=[", out);
    put_quoted(row->help, special, out);
    fputs("]", out);
    if (!is_switch(row)) {
        fprintf(out, ":%s:", row->unit && *row->unit ? row->unit : "value");
        if (has_values(row)) {
            fputs("(", out);
            put_values(row, out);
            fputs(")", out);
        } else if (row->type == LT_OPT_STR) {
            fputs("_files", out);
        }
    }
    fputs("'", out);
    if (is_switch(row)) {
        fputs(" \\\n        '", out);
        put_flag("--no-", row, out);
        fputs("[", out);
        put_quoted(row->help, special, out);
        fputs("]'", out);
    }
}

static void dump_zsh(FILE *out)
{
    fputs("#compdef lethe\n# zsh completion of lethe; made by `lethe --dump-docs zsh`\n_lethe()\n{\n"
          "    local -a commands\n    commands=(\n",
          out);
    for (const cli_row *r = cli_rows; r->name; r++) {
        fprintf(out, "        '%s:", r->name);
        put_quoted(r->line, ":\\", out);
        fputs("'\n", out);
    }
    fputs("    )\n    if (( CURRENT == 2 )); then\n        _describe -t commands command commands\n        return\n    "
          "fi\n"
          "    local verb=$words[2]\n    shift words\n    (( CURRENT-- ))\n    case $verb in\n",
          out);
    for (const cli_row *r = cli_rows; r->name; r++) {
        fprintf(out, "    %s) _arguments -S : \\\n        '--help[explain the command]'", r->name);
        each_option(r->verb, zsh_option, out);
        fputs(" \\\n        '*:file:_files' ;;\n", out);
    }
    fputs("    esac\n}\ncompdef _lethe lethe\n", out);
}

// ---- fish

static void fish_option(const cli_verb *v, const lt_option *row, FILE *out)
{
    fprintf(out, "complete -c lethe -n '__fish_seen_subcommand_from %s'", v->name);
    put_flag(" -l ", row, out);
    if (has_values(row)) {
        fputs(" -x -a '", out);
        put_values(row, out);
        fputs("'", out);
    } else if (!is_switch(row)) {
        fputs(" -r", out);
    }
    fputs(" -d '", out);
    for (const char *p = row->help; *p; p++)
        fprintf(out, "%s%c", *p == '\'' || *p == '\\' ? "\\" : "", *p);
    fputs("'\n", out);
    if (is_switch(row)) {
        fprintf(out, "complete -c lethe -n '__fish_seen_subcommand_from %s'", v->name);
        put_flag(" -l no-", row, out);
        fputs("\n", out);
    }
}

static void dump_fish(FILE *out)
{
    fputs("# fish completion of lethe; made by `lethe --dump-docs fish`\n"
          "complete -c lethe -n __fish_use_subcommand -l help -d 'list the commands'\n"
          "complete -c lethe -n __fish_use_subcommand -l version -d 'print the version'\n",
          out);
    for (const cli_row *r = cli_rows; r->name; r++) {
        fprintf(out, "complete -c lethe -n __fish_use_subcommand -f -a %s -d '", r->name);
        for (const char *p = r->line; *p; p++)
            fprintf(out, "%s%c", *p == '\'' || *p == '\\' ? "\\" : "", *p);
        fputs("'\n", out);
        each_option(r->verb, fish_option, out);
    }
}

bool cli_dump_completion(const char *shell, FILE *out)
{
    static const struct {
        const char *name;
        void (*dump)(FILE *out);
    } shells[] = {{"bash", dump_bash}, {"zsh", dump_zsh}, {"fish", dump_fish}};
    for (size_t i = 0; i < sizeof shells / sizeof *shells; i++)
        if (!strcmp(shells[i].name, shell)) {
            shells[i].dump(out);
            return true;
        }
    return false;
}
