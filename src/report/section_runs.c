// section_runs.c - the runs that every number links to, and facts of the whole.
#include "report/section.h"
#include "lethe/run.h"
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static void facts(lti_buf *b, const char *const *fact)
{
    lti_buf_printf(b, "<dl>\n");
    for (int i = 0; fact[i] && fact[i + 1]; i += 2) {
        lti_buf_printf(b, "<dt>");
        lti_html_text(b, fact[i]);
        lti_buf_printf(b, "</dt><dd>");
        lti_html_text(b, fact[i + 1]);
        lti_buf_printf(b, "</dd>\n");
    }
    lti_buf_printf(b, "</dl>\n");
}

static void run(lti_doc *d, int row)
{
    const lt_report_row *r = &d->spec->rows[row];
    const char *only_dir[] = {"Run", r->run_dir, NULL};
    lti_buf_printf(&d->b, "<section id=\"run-%d\"><h3>", row + 1);
    lti_html_text(&d->b, lti_row_title(d, row));
    lti_buf_printf(&d->b, " <small>");
    lti_html_text(&d->b, r->setting);
    if (r->seed) {
        lti_buf_printf(&d->b, "%sseed ", r->setting && *r->setting ? ", " : "");
        lti_html_text(&d->b, r->seed);
    }
    lti_buf_printf(&d->b, "</small></h3>\n");
    if (r->facts || r->run_dir)
        facts(&d->b, r->facts ? r->facts : only_dir);
    lti_buf_printf(&d->b, "</section>\n");
}

static lt_status put_runs(lti_doc *d)
{
    const lt_report_spec *s = d->spec;
    if (s->n_rows > 0) {
        lti_section(d, "The runs");
        for (int i = 0; i < s->n_rows; i++)
            run(d, i);
    }
    if (s->facts && s->facts[0]) {
        lti_section(d, "Facts");
        facts(&d->b, s->facts);
    }
    return LT_OK;
}

// ---- facts of a run: path, command, seed, digests

enum { MAX_FACTS = 32 };
typedef struct fact_list {
    lti_gather *g;
    const char **item; // 2 MAX_FACTS + 1
    int n;
} fact_list;

static void add_fact(fact_list *f, const char *key, const char *value)
{
    if (!value || !*value || f->n == MAX_FACTS)
        return;
    f->item[2 * f->n] = key;
    f->item[2 * f->n + 1] = lti_gather_text(f->g, "%s", value);
    f->n += f->item[2 * f->n + 1] != NULL;
}

// A word of a shell command: quoted unless it is plain.
static void add_word(lti_buf *b, const char *text)
{
    if (*text && !text[strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./:=,%+@-")]) {
        lti_buf_puts(b, text);
        return;
    }
    lti_buf_puts(b, "'");
    for (const char *s = text; *s; s++)
        lti_buf_add(b, *s == '\'' ? "'\\''" : s, *s == '\'' ? 4 : 1);
    lti_buf_puts(b, "'");
}

static void add_option(lti_buf *b, const char *key, const json_t *value)
{
    char *full = json_is_string(value) ? NULL : json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(17));
    char *own = lt_json_shorten(full);
    const char *text = own ? own : json_string_value(value);
    if (json_is_boolean(value) && !strchr(key, '.'))
        lti_buf_printf(b, " --%s%s", json_is_true(value) ? "" : "no-", key);
    else if (text) {
        lti_buf_printf(b, strchr(key, '.') ? " --set %s=" : " --%s ", key);
        add_word(b, text);
    }
    free(own);
    free(full);
}

static bool is_given(const char *key, const json_t *entry)
{
    static const char *const left_out[] = {"json",        "quiet",  "verbose", "config", "set",
                                           "show-config", "resume", "force",   "run",    NULL};
    const json_t *value = json_object_get(entry, "value");
    if (!strcmp(lti_json_text_at(entry, "origin"), "default") || !value || json_is_null(value))
        return false;
    for (const char *const *k = left_out; *k; k++)
        if (!strcmp(*k, key))
            return false;
    return true;
}

// The command with every option that was given, by flag, file or environment.
static void add_command(fact_list *f, json_t *resolved, const json_t *env)
{
    lti_buf b = {0};
    const char *key, *verb = lti_json_text_at(env, "verb"), *run = lti_json_text_at(resolved, "run.value");
    json_t *entry;
    if (!*verb || !resolved)
        return;
    lti_buf_printf(&b, "lethe %s", verb);
    if (*run) {
        lti_buf_puts(&b, " ");
        add_word(&b, run);
    }
    json_object_foreach(resolved, key, entry) if (is_given(key, entry))
        add_option(&b, key, json_object_get(entry, "value"));
    add_fact(f, "Command", b.data);
    lti_buf_clear(&b);
}

static void add_formatted(fact_list *f, const char *key, const char *fmt, double a, double b)
{
    char text[80];
    if (!isfinite(a))
        return;
    lti_format(text, sizeof text, fmt, a, b);
    add_fact(f, key, text);
}

static void add_build(fact_list *f, const json_t *env)
{
    if (env)
        add_fact(f, "Made by",
                 lti_gather_text(f->g, "lethe %s, %s, %s", lti_json_text_at(env, "lethe"),
                                 lti_json_text_at(env, "compiler"), lti_json_text_at(env, "cpu")));
}

static const char *const *facts_of_row(lti_gather *g, int row)
{
    static const char *const digest[][2] = {
        {"Parent digest", "parent_digest"}, {"Data digest", "data_digest"}, {"Forget set digest", "forget_digest"}};
    const lt_comparison_row *of = &g->source->comparison->row[row];
    const json_t *r = g->result[row], *env = g->env[row];
    fact_list f = {g, lti_gather_alloc(g, 2 * MAX_FACTS + 1, sizeof(char *)), 0};
    if (!f.item)
        return NULL;
    add_fact(&f, "Run", of->run);
    add_fact(&f, "Method", lti_json_text_at(r, "title"));
    add_command(&f, g->resolved[row], env);
    add_fact(&f, "Seed", of->seed);
    add_formatted(&f, "Samples", "%.0f forgotten, %.0f retained", lti_json_real_at(r, "n_forget"),
                  lti_json_real_at(r, "n_retain"));
    add_fact(&f, "Started", lti_json_text_at(env, "started"));
    add_formatted(&f, "Wall time", "%.1f s", lti_json_real_at(r, "wall_s"), 0);
    add_fact(&f, "Model digest", of->identity.digest);
    for (size_t i = 0; i < sizeof digest / sizeof *digest; i++)
        add_fact(&f, digest[i][0], lti_json_text_at(r, digest[i][1]));
    add_fact(&f, "Config digest", lti_json_text_at(env, "config_digest"));
    add_build(&f, env);
    return f.item;
}

static const char *recipe_of(const lt_model *m)
{
    for (int i = 0; i < m->n_meta; i++)
        if (!strcmp(m->meta[i].key, "lethe.recipe"))
            return m->meta[i].value;
    return NULL;
}

static const char *const *facts_of_all(lti_gather *g)
{
    const lt_report_source *s = g->source;
    fact_list f = {g, lti_gather_alloc(g, 2 * MAX_FACTS + 1, sizeof(char *)), 0};
    if (!f.item)
        return NULL;
    if (s->ds) {
        add_fact(&f, "Data",
                 lti_gather_text(g, "%s: %lld training and %lld test images, %dx%dx%d, %d classes", s->ds->spec,
                                 (long long)s->ds->split[LT_TRAIN].n, (long long)s->ds->split[LT_TEST].n, s->ds->c,
                                 s->ds->h, s->ds->w, s->ds->n_classes));
        add_fact(&f, "Data digest", s->ds->digest);
    }
    if (s->model) {
        add_fact(&f, "Model", lti_gather_text(g, "%s, %lld parameters", s->model->spec, (long long)s->model->n_params));
        add_fact(&f, "Training recipe", recipe_of(s->model));
    }
    add_fact(&f, "Forget set",
             lti_gather_text(g, "%lld samples, digest %s", (long long)s->n_forget, s->comparison->forget_digest));
    for (int i = 0; s->facts && s->facts[i] && s->facts[i + 1]; i += 2)
        add_fact(&f, s->facts[i], s->facts[i + 1]);
    return f.item;
}

static lt_status gather_runs(lti_gather *g)
{
    lt_report_row *row = (lt_report_row *)(uintptr_t)g->spec->rows; // the gatherer's own
    if (g->spec->n_rows == 0)
        return LT_OK;
    for (int i = 0; i < g->spec->n_rows; i++)
        if (!(row[i].facts = facts_of_row(g, i)))
            return LTI_NOMEM("report");
    g->spec->facts = facts_of_all(g);
    return g->spec->facts ? LT_OK : LTI_NOMEM("report");
}

const lti_report_section lti_section_runs = {
    .name = "runs",
    .gather = gather_runs,
    .put = put_runs,
};
