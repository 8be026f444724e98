// docs.c - `lethe --dump-docs markdown|man`: the reference page and the man page, from the tables; docs_shell.c has
// completion.
//
// Nothing here depends on the machine, so the committed docs/cli.md can be compared with the program's output.
#include "cli.h"
#include <stdlib.h>
#include <string.h>

static const char everywhere[] =
    "Every command takes --seed, --threads and --device; on those that draw or compute nothing they have no effect.";

typedef void table_fn(FILE *out, const char *prefix, const lt_option *table);
typedef lt_status verb_fn(cli_call *call, const char *line, FILE *out);

static lt_status each_verb(cli_session *s, verb_fn *fn, FILE *out)
{
    for (const cli_row *r = cli_rows; r->name; r++) {
        cli_call call;
        lt_status status = cli_call_begin(s, r->verb, 0, NULL, &call);
        if (status == LT_OK)
            status = fn(&call, r->line, out);
        cli_call_end(&call);
        LT_TRY(status);
    }
    return LT_OK;
}

// ---- Markdown

static lt_status markdown_table(FILE *out, const char *title, const char *prefix, const lt_option *table,
                                size_t cfg_size)
{
    lt_optset *set;
    if (!table[0].name)
        return LT_OK;
    LT_TRY(lt_optset_create(&set));
    void *cfg = cli_alloc(cfg_size + 1, 1);
    lt_status status = lt_optset_add(set, prefix, table, cfg, LT_OPTGROUP_FLAGS);
    char *text = status == LT_OK ? lt_optset_markdown(set) : NULL;
    if (text)
        fprintf(out, "%s%s%s%s\n", title ? "**" : "", title ? title : "", title ? "**\n\n" : "", text);
    else if (status == LT_OK)
        status = LT_FAIL(LT_E_NOMEM, "out of memory: documentation");
    free(text);
    lt_optset_destroy(set);
    free(cfg);
    return status;
}

// The verb that printed this table before, with the same keys.
static const char *printed_by(const cli_verb *before, const cli_group *group)
{
    for (const cli_row *r = cli_rows; r->name && r->verb != before; r++)
        for (const cli_group *g = r->verb->groups; g && g->table; g++)
            if (g->table == group->table && !strcmp(g->prefix, group->prefix))
                return r->name;
    return NULL;
}

static lt_status markdown_verb(cli_call *call, const char *line, FILE *out)
{
    const cli_verb *v = call->verb;
    fprintf(out, "## lethe %s\n\n%c%s.\n\n    lethe %s %s\n\n```\n%s\n```\n\n", v->name, line[0] - 'a' + 'A', line + 1,
            v->name, v->usage, v->about);
    for (const cli_group *g = v->groups; g && g->table; g++) {
        const char *other = printed_by(v, g);
        if (other)
            fprintf(out, "**%s**: as of [lethe %s](#lethe-%s).\n\n", g->title, other, other);
        else
            LT_TRY(markdown_table(out, g->title, g->prefix, g->table, v->opts_size));
    }
    if (v->uses) {
        fputs("Common groups:", out);
        for (const cli_shared_group *g = cli_shared_groups; g->table; g++)
            if (g->title && g->use && (v->uses & g->use))
                fprintf(out, " *%s*", g->title);
        fputs(".\n\n", out);
    }
    if (v->examples)
        fprintf(out, "Examples:\n\n```\n%s```\n\n", v->examples);
    return LT_OK;
}

static lt_status markdown(cli_session *s, FILE *out)
{
    fputs("# The lethe command\n\nMade by `lethe --dump-docs markdown`; do not edit. Options are flags `--name`, keys "
          "of the `--config` YAML file, keys of\n"
          "`--set key=value`, and environment variables `LETHE_NAME`; the order is default, file, environment, "
          "`--set`, flag.\n\n"
          "| command | job |\n|---|---|\n",
          out);
    for (const cli_row *r = cli_rows; r->name; r++)
        fprintf(out, "| [`%s`](#lethe-%s) | %s |\n", r->name, r->name, r->line);
    fputs("\n## Exit codes\n\n| code | meaning |\n|---|---|\n| 0 | ok |\n| 1 | runtime error |\n| 2 | usage |\n| 3 | "
          "bad input or format |\n"
          "| 4 | integrity mismatch |\n| 5 | numerical divergence |\n| 6 | a requested check failed |\n| 7 | out of a "
          "resource |\n"
          "| 75 | interrupted, resumable |\n| 128+n | killed by signal n |\n\n## Common options\n\n",
          out);
    for (const cli_shared_group *g = cli_shared_groups; g->table; g++)
        if (!g->unless) // the others are the same options where they have no effect
            LT_TRY(markdown_table(out, g->title, "", g->table, sizeof(cli_call)));
    fprintf(out, "%s\n\n", everywhere);
    LT_TRY(each_verb(s, markdown_verb, out));
    LT_TRY(cli_docs_methods(out));
    fputs("## Membership attacks\n\n", out);
    for (const lt_mia *const *m = lt_mia_list(); *m; m++) {
        fprintf(out, "### %s: %s\n\n%s\n\n", (*m)->name, (*m)->title, (*m)->doc);
        LT_TRY(markdown_table(out, NULL, (*m)->name, (*m)->opts, (*m)->cfg_size));
    }
    int n;
    const lt_dataset_kind *kind = lt_dataset_kinds(&n);
    fputs("## Data sets\n\n| kind | what | keys |\n|---|---|---|\n", out);
    for (int i = 0; i < n; i++)
        fprintf(out, "| `%s` | %s | %s |\n", kind[i].name, kind[i].title, kind[i].keys);
    const lt_arch *arch = lt_model_archs(&n);
    fputs("\n## Models\n\n| name | what | keys and defaults |\n|---|---|---|\n", out);
    for (int i = 0; i < n; i++)
        fprintf(out, "| `%s` | %s | %s |\n", arch[i].name, arch[i].title, arch[i].keys);
    return LT_OK;
}

// ---- man page

static void roff(FILE *out, const char *text)
{
    bool start = true;
    for (; *text; text++) {
        if (start && (*text == '.' || *text == '\''))
            fputs("\\&", out);
        if (*text == '\\')
            fputs("\\e", out);
        else if (*text == '-')
            fputs("\\-", out);
        else
            fputc(*text, out);
        start = *text == '\n';
    }
}

static void man_option(FILE *out, const lt_option *o)
{
    fputs(".TP\n\\fB\\-\\-", out);
    if (o->type == LT_OPT_BOOL || o->values == lt_auto_values)
        fputs("[no\\-]", out);
    for (const char *p = o->name; *p; p++)
        fputs(*p == '_' || *p == '-' ? "\\-" : (char[]){*p, '\0'}, out);
    fputs("\\fR\n", out);
    roff(out, o->help);
    if (o->unit && *o->unit)
        fprintf(out, " [%s]", o->unit);
    if (o->type == LT_OPT_STR && o->def_str && *o->def_str) {
        fputs(" (default ", out);
        roff(out, o->def_str);
        fputs(")", out);
    } else if (o->type == LT_OPT_ENUM) {
        for (const lt_opt_value *v = o->values; v->name; v++)
            fprintf(out, "%s%s%s", v == o->values ? " (" : ", ", v->name,
                    v->value == (int32_t)o->def ? " by default" : "");
        fputs(")", out);
    } else if (o->type == LT_OPT_BOOL) {
        fprintf(out, " (default %s)", o->def != 0 ? "on" : "off");
    } else if (o->type != LT_OPT_STR) {
        fprintf(out, " (default %g)", o->def);
    }
    fputc('\n', out);
}

static void man_table(FILE *out, const char *title, const lt_option *table)
{
    if (title) {
        fputs(".PP\n\\fI", out);
        roff(out, title);
        fputs("\\fR\n", out);
    }
    for (; table->name; table++)
        if (table->help)
            man_option(out, table);
}

static lt_status man_verb(cli_call *call, const char *line, FILE *out)
{
    const cli_verb *v = call->verb;
    fputs(".SH LETHE ", out);
    for (const char *p = v->name; *p; p++)
        fputc(*p - 'a' + 'A', out);
    fputs("\n.B lethe ", out);
    roff(out, v->name);
    fputc(' ', out);
    roff(out, v->usage);
    fputs("\n.PP\n", out);
    roff(out, line);
    fputs(".\n.PP\n.nf\n", out);
    roff(out, v->about);
    fputs("\n.fi\n", out);
    for (const cli_group *g = v->groups; g && g->table; g++)
        man_table(out, g->title, g->table);
    if (v->examples) {
        fputs(".PP\nExamples:\n.nf\n", out);
        roff(out, v->examples);
        fputs(".fi\n", out);
    }
    return LT_OK;
}

static lt_status man(cli_session *s, FILE *out)
{
    fputs(".TH LETHE 1 \"\" \"lethe " LT_VERSION
          "\" \"User commands\"\n.SH NAME\nlethe \\- train image classifiers, make them forget, audit the forgetting\n"
          ".SH SYNOPSIS\n.B lethe\n.I COMMAND\n[options]\n.SH DESCRIPTION\nOptions are flags, keys of a YAML file "
          "(\\-\\-config), keys of \\-\\-set, and "
          "environment variables LETHE_NAME.\nStandard output is the result, standard error the progress.\n",
          out);
    LT_TRY(each_verb(s, man_verb, out));
    fputs(".SH COMMON OPTIONS\n", out);
    for (const cli_shared_group *g = cli_shared_groups; g->table; g++)
        if (!g->unless)
            man_table(out, g->title, g->table);
    fputs(".PP\n", out);
    roff(out, everywhere);
    fputc('\n', out);
    fputs(".SH UNLEARNING METHODS\n", out);
    for (const lt_unlearn_method *const *m = lt_unlearn_methods(); *m; m++) {
        fprintf(out, ".SS %s\n", (*m)->name);
        roff(out, (*m)->doc);
        fputc('\n', out);
        man_table(out, NULL, (*m)->opts);
    }
    fputs(".SH EXIT STATUS\n0 ok, 1 runtime error, 2 usage, 3 bad input or format, 4 integrity mismatch, 5 numerical "
          "divergence, 6 a requested check\n"
          "failed, 7 out of a resource, 75 interrupted and resumable, 128+n killed by signal n.\n"
          ".SH ENVIRONMENT\n.TP\nLETHE_DATA\nfolder of data sets\n.TP\nLETHE_HOME\nfolder of the run ledger and the "
          "cache\n.TP\nLETHE_TRACE\n"
          "when set, errors are printed with their trace\n.TP\nNO_COLOR\nwhen set, no colours\n",
          out);
    return LT_OK;
}

lt_status cli_dump_docs(cli_session *s, const char *form, const char *key, FILE *out)
{
    if (!strcmp(form, "options"))
        return cli_docs_options(key, out);
    if (!strcmp(form, "markdown"))
        return markdown(s, out);
    if (!strcmp(form, "man"))
        return man(s, out);
    if (cli_dump_completion(form, out))
        return LT_OK;
    return LT_FAIL(LT_E_USAGE, "--dump-docs: expected markdown, man, bash, zsh, fish or options KEY, found '%s'", form);
}
