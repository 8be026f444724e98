// help.c - `lethe --help` and `lethe VERB --help`, from the descriptors and option tables.
#include "cli.h"
#include <stdlib.h>
#include <string.h>

void cli_print_usage(FILE *out)
{
    fputs("lethe " LT_VERSION " - train image classifiers, make them forget samples, audit the forgetting\n\n"
          "Usage: lethe COMMAND [options]\n\nCommands:\n",
          out);
    for (const cli_row *r = cli_rows; r->name; r++)
        fprintf(out, "  %-10s %s\n", r->name, r->line);
    fputs("\n`lethe COMMAND --help` explains a command. Start with `lethe demo`.\n"
          "Exit codes: 0 ok, 1 runtime error, 2 usage, 3 bad input, 4 integrity mismatch, 5 divergence,\n"
          "6 a requested check failed, 7 out of a resource, 75 interrupted and resumable.\n",
          out);
}

void cli_print_wrapped(const char *text, FILE *out)
{
    enum { WIDTH = 100 };
    for (int column = 0; *text;) {
        int n = (int)strcspn(text, " ");
        if (column > 0 && column + 1 + n > WIDTH) {
            fputc('\n', out);
            column = 0;
        }
        column += fprintf(out, "%s%.*s", column ? " " : "", n, text);
        text += n;
        text += strspn(text, " ");
    }
    fputc('\n', out);
}

// The rows of one table, without the frame lt_optset_help puts around them.
static lt_status print_table(FILE *out, const char *title, const char *prefix, const lt_option *table, void *cfg,
                             const lt_optset *presets, unsigned flags)
{
    lt_optset *set;
    LT_TRY(lt_optset_create(&set));
    lt_status status = lt_optset_add(set, prefix, table, cfg, flags);
    if (status == LT_OK && presets)
        status = lt_optset_take_presets(set, presets);
    char *text = status == LT_OK ? lt_optset_help(set) : NULL;
    lt_optset_destroy(set);
    LT_TRY(status);
    if (!text)
        return LT_FAIL(LT_E_NOMEM, "out of memory: help");
    char *rows = strchr(text, '\n'), *end = strstr(text, "\nOptions everywhere:");
    if (end)
        *end = '\0';
    if (title)
        fprintf(out, "\n%s:\n", title);
    fputs(rows ? rows + 1 : text, out);
    free(text);
    return LT_OK;
}

lt_status cli_print_options(FILE *out, const char *title, const char *prefix, const lt_option *table, void *cfg,
                            const lt_optset *presets)
{
    return print_table(out, title, prefix, table, cfg, presets, LT_OPTGROUP_FLAGS);
}

void cli_print_entry_options(FILE *out, const char *prefix, const lt_option *table, void *cfg)
{
    if (table[0].name && print_table(out, NULL, prefix, table, cfg, NULL, 0) != LT_OK)
        fprintf(out, "  (%s)\n", lt_error_get()->message);
}

lt_status cli_print_help(cli_call *call, FILE *out)
{
    const cli_verb *v = call->verb;
    fprintf(out, "Usage: lethe %s %s\n\n%s\n", v->name, v->usage, v->about);
    for (const cli_group *g = v->groups; g && g->table; g++)
        LT_TRY(cli_print_options(out, g->title, g->prefix, g->table, (char *)call->opts + g->offset, call->set));
    if (v->more_help)
        v->more_help(call, out);
    for (const cli_shared_group *g = cli_shared_groups; g->table; g++)
        if (cli_has_shared(v, g))
            LT_TRY(cli_print_options(out, g->title, "", g->table, (char *)call + g->offset, NULL));
    if (v->examples)
        fprintf(out, "\nExamples:\n%s", v->examples);
    return LT_OK;
}
