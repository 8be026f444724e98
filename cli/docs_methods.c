// docs_methods.c - the reference of unlearning methods and membership attacks in Markdown, and the options of one entry
// alone for its page in docs/methods.
//
// Methods that train share a dozen and a half options. A row that at least half of the methods have, with the same
// meaning, is printed once; a method then lists only its own rows, and the shared ones whose default differs.
#include "cli.h"
#include <stdlib.h>
#include <string.h>

// The rows of an option table: lines "| `PREFIX.KEY` | DEFAULT | VALUES and meaning |". malloc'ed.
static lt_status table_text(const char *prefix, const lt_option *table, size_t cfg_size, char **text)
{
    lt_optset *set;
    *text = NULL;
    if (!table[0].name)
        return LT_OK;
    LT_TRY(lt_optset_create(&set));
    void *cfg = cli_alloc(cfg_size + 1, 1);
    lt_status status = lt_optset_add(set, prefix, table, cfg, LT_OPTGROUP_FLAGS);
    if (status == LT_OK && !(*text = lt_optset_markdown(set)))
        status = LT_FAIL(LT_E_NOMEM, "out of memory: documentation");
    lt_optset_destroy(set);
    free(cfg);
    return status;
}

typedef struct row { // pointers into a line
    const char *key, *def, *rest;
    int n_key, n_def, n_rest;
} row;

static bool split_row(const char *line, const char *prefix, row *r)
{
    char start[128];
    const int n = snprintf(start, sizeof start, "| `%s.", prefix);
    const char *end = line + strcspn(line, "\n");
    if (n < 0 || strncmp(line, start, (size_t)n) != 0)
        return false;
    r->key = line + n;
    r->n_key = (int)strcspn(r->key, "`");
    r->def = strstr(r->key, " | ");
    r->rest = r->def ? strstr(r->def + 3, " | ") : NULL;
    if (!r->rest || r->rest > end)
        return false;
    r->def += 3;
    r->n_def = (int)(r->rest - r->def);
    r->n_rest = (int)(end - r->rest);
    return true;
}

typedef struct shared {
    row r; // of the first method that has it
    int n;
} shared;
enum { MAX_SHARED = 256 };

static bool same_row(const row *a, const row *b)
{
    return a->n_key == b->n_key && a->n_rest == b->n_rest && !strncmp(a->key, b->key, (size_t)a->n_key) &&
           !strncmp(a->rest, b->rest, (size_t)a->n_rest);
}

static const shared *find_shared(const shared *all, int n, const row *r)
{
    for (int i = 0; i < n; i++)
        if (same_row(&all[i].r, r))
            return &all[i];
    return NULL;
}

typedef struct method_texts {
    int n, n_shared;
    char **text;    // per method: its table, or NULL
    char **prefix;  // "unlearn.NAME"
    shared *shared; // all rows at first, then those of at least half of the methods
} method_texts;

static lt_status read_methods(method_texts *t)
{
    const lt_unlearn_method *const *m = lt_unlearn_methods();
    while (m[t->n])
        t->n++;
    t->text = cli_alloc((size_t)t->n, sizeof *t->text);
    t->prefix = cli_alloc((size_t)t->n, sizeof *t->prefix);
    t->shared = cli_alloc(MAX_SHARED, sizeof *t->shared);
    for (int i = 0; i < t->n; i++) {
        t->prefix[i] = cli_format("unlearn.%s", m[i]->name);
        LT_TRY(table_text(t->prefix[i], m[i]->opts, m[i]->cfg_size, &t->text[i]));
        for (const char *line = t->text[i]; line && *line; line = strchr(line, '\n') + 1) {
            row r;
            if (!split_row(line, t->prefix[i], &r))
                continue;
            shared *known = (shared *)find_shared(t->shared, t->n_shared, &r);
            if (known)
                known->n++;
            else if (t->n_shared < MAX_SHARED)
                t->shared[t->n_shared++] = (shared){r, 1};
        }
    }
    int kept = 0;
    for (int i = 0; i < t->n_shared; i++)
        if (2 * t->shared[i].n >= t->n)
            t->shared[kept++] = t->shared[i];
    t->n_shared = kept;
    return LT_OK;
}

static void clear_methods(method_texts *t)
{
    for (int i = 0; i < t->n; i++) {
        free(t->text[i]);
        free(t->prefix[i]);
    }
    free(t->text);
    free(t->prefix);
    free(t->shared);
}

static const char table_head[] = "| option | default | values | meaning |\n|---|---|---|---|\n";

static void print_shared(const method_texts *t, FILE *out)
{
    int first = 0;
    while (first < t->n && !t->text[first])
        first++;
    fprintf(
        out,
        "### Options of methods that train\n\nEach of these has the key `unlearn.METHOD.NAME`. Defaults are those of "
        "`%s`; a method lists those that it changes.\n\n%s",
        first < t->n ? lt_unlearn_methods()[first]->name : "", table_head);
    for (int i = 0; i < t->n_shared; i++) {
        const row *r = &t->shared[i].r;
        fprintf(out, "| `%.*s` | %.*s%.*s\n", r->n_key, r->key, r->n_def, r->def, r->n_rest, r->rest);
    }
    fputs("\n", out);
}

static void print_method_options(const method_texts *t, int i, FILE *out)
{
    int n_own = 0, n_shared = 0, n_changed = 0;
    for (const char *line = t->text[i]; line && *line; line = strchr(line, '\n') + 1) {
        row r;
        if (!split_row(line, t->prefix[i], &r))
            continue;
        const shared *s = find_shared(t->shared, t->n_shared, &r);
        n_shared += s != NULL;
        if (s)
            continue;
        fputs(n_own++ ? "" : table_head, out);
        fprintf(out, "%.*s\n", (int)strcspn(line, "\n"), line);
    }
    fputs(n_own ? "\n" : "", out);
    if (!n_shared)
        return;
    fputs("The [options of methods that train](#options-of-methods-that-train)", out);
    for (const char *line = t->text[i]; line && *line; line = strchr(line, '\n') + 1) {
        row r;
        const shared *s = split_row(line, t->prefix[i], &r) ? find_shared(t->shared, t->n_shared, &r) : NULL;
        if (s && (s->r.n_def != r.n_def || strncmp(s->r.def, r.def, (size_t)r.n_def) != 0))
            fprintf(out, "%s `%.*s` %.*s", n_changed++ ? "," : ", with", r.n_key, r.key, r.n_def, r.def);
    }
    fputs(n_shared < t->n_shared ? " (those that it has).\n\n" : ".\n\n", out);
}

lt_status cli_docs_methods(FILE *out)
{
    method_texts t = {0};
    lt_status status = read_methods(&t);
    fputs("## Unlearning methods\n\nEquations, sources and deviations: [docs/methods](methods/README.md).\n\n", out);
    if (status == LT_OK)
        print_shared(&t, out);
    for (int i = 0; i < t.n && status == LT_OK; i++) {
        const lt_unlearn_method *m = lt_unlearn_methods()[i];
        fprintf(out, "### %s: %s\n\n%s\n\n", m->name, m->title, m->doc);
        char *defaults = lt_unlearn_defaults_text(m);
        for (const char *line = defaults; line && *line; line = strchr(line, '\n') + 1)
            fprintf(out, "- %.*s\n", (int)strcspn(line, "\n"), line);
        fputs(defaults && *defaults ? "\n" : "", out);
        free(defaults);
        print_method_options(&t, i, out);
    }
    clear_methods(&t);
    return status;
}

// The same but for dashes and underscores.
static bool same_name(const char *a, const char *b)
{
    for (; *a && (*a == *b || (strchr("_-", *a) && strchr("_-", *b) && *b)); a++, b++)
        ;
    return !*a && !*b;
}

lt_status cli_docs_options(const char *key, FILE *out)
{
    char *text = NULL;
    lt_status status = LT_E_USAGE;
    for (const lt_unlearn_method *const *m = lt_unlearn_methods(); *m; m++) {
        char *prefix = cli_format("unlearn.%s", (*m)->name);
        if (!strcmp(prefix, key))
            status = table_text(prefix, (*m)->opts, (*m)->cfg_size, &text);
        free(prefix);
    }
    for (const lt_mia *const *m = lt_mia_list(); *m; m++)
        if (same_name((*m)->name, key))
            status = table_text((*m)->name, (*m)->opts, (*m)->cfg_size, &text);
    if (status == LT_E_USAGE)
        status =
            LT_FAIL(LT_E_USAGE, "--dump-docs options: expected unlearn.METHOD or a membership attack, found '%s'", key);
    else if (status == LT_OK)
        fputs(text && *text ? text : "It has no options.\n", out);
    free(text);
    return status;
}
