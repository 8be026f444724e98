// page_runs.c - rows, metrics and notes of a board as the report library takes them, and what is told of every run:
// path, command, seed, digests.
#include "board.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

// ---- pool

void *cli_pool_keep(cli_pool *pool, void *item)
{
    void **longer = cli_alloc((size_t)pool->n + 1, sizeof *longer);
    if (pool->n)
        memcpy(longer, pool->item, (size_t)pool->n * sizeof *longer);
    free(pool->item);
    pool->item = longer;
    return pool->item[pool->n++] = item;
}

void *cli_pool_alloc(cli_pool *pool, size_t n, size_t size)
{
    return cli_pool_keep(pool, cli_alloc(n, size));
}

void cli_pool_clear(cli_pool *pool)
{
    for (int i = 0; i < pool->n; i++)
        free(pool->item[i]);
    free(pool->item);
    *pool = (cli_pool){0};
}

// ---- metrics

static const char *const group_pair[][2] = {
    {"ft_auc", "AUC forget / test"}, {"fr_auc", "AUC retain / forget"}, {"rt_auc", "AUC retain / test"}};

static const char *title_of(cli_pool *pool, const cli_board *board, const char *path)
{
    static const char *const fixed[][2] = {{"ua", "Forget accuracy"},
                                           {"ra", "Retain accuracy"},
                                           {"ta", "Test accuracy"},
                                           {"svc_mia.confidence", "MIA (MIS)"}};
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++)
        if (!strcmp(fixed[i][0], path))
            return fixed[i][1];
    for (int a = 0; a < board->attacks.n; a++)
        for (size_t k = 0; k < sizeof group_pair / sizeof *group_pair; k++) {
            char key[CLI_METRIC_PATH];
            snprintf(key, sizeof key, "%s.%s", board->attacks.mia[a]->name, group_pair[k][0]);
            if (!strcmp(key, path))
                return cli_pool_keep(pool, cli_format("%s, %s", board->attacks.mia[a]->title, group_pair[k][1]));
        }
    return path;
}

static lt_interval pair_at(const json_t *object, const char *path)
{
    char key[CLI_METRIC_PATH + 8];
    lt_interval v;
    snprintf(key, sizeof key, "%s.low", path);
    v.low = cli_real(object, key);
    snprintf(key, sizeof key, "%s.high", path);
    v.high = cli_real(object, key);
    return v;
}

// The member at "a.b" below an object.
static const json_t *member_at(const json_t *object, const char *path)
{
    char key[CLI_METRIC_PATH];
    for (const char *dot; (dot = strchr(path, '.')); path = dot + 1) {
        snprintf(key, sizeof key, "%.*s", (int)(dot - path), path);
        object = json_object_get(object, key);
    }
    return json_object_get(object, path);
}

// Bands depend on the oracles alone: any judged row has them.
static const json_t *null_bands(const cli_board *board)
{
    for (int i = 0; i < board->n; i++)
        if (board->entry[i].role != LT_ROW_ORACLE && json_is_object(json_object_get(board->entry[i].result, "verdict")))
            return json_object_get(board->entry[i].result, "null_band");
    return NULL;
}

static double oracle_mean(const cli_board *board, const char *path)
{
    double sum = 0;
    int n = 0;
    for (int i = 0; i < board->n; i++) {
        double v = cli_real(board->entry[i].result, path);
        if (board->entry[i].role == LT_ROW_ORACLE && isfinite(v)) {
            sum += v;
            n++;
        }
    }
    return n ? sum / n : (double)NAN;
}

static void fill_metric(cli_pool *pool, const cli_board *board, const json_t *band, const char *path,
                        lt_report_metric *m)
{
    const json_t *of = member_at(band, path), *list = json_object_get(of, "oracle_differences");
    const char *pair = strstr(path, "_auc");
    *m = (lt_report_metric){.key = cli_pool_keep(pool, cli_format("%s", path)),
                            .title = title_of(pool, board, path),
                            .null_band = pair_at(band, path)};
    // The mean of the distinct oracles is that of the band; without a band there is at most one distinct oracle.
    m->mean = of ? cli_real(of, "mean") : oracle_mean(board, path);
    m->chart = !pair || strstr(path, ".ft_auc");
    m->n_oracle_differences = (int)json_array_size(list);
    double *difference = cli_pool_alloc(pool, (size_t)m->n_oracle_differences, sizeof *difference);
    for (int i = 0; i < m->n_oracle_differences; i++) {
        const json_t *v = json_array_get(list, (size_t)i);
        difference[i] = json_is_number(v) ? json_number_value(v) : (double)NAN;
    }
    m->oracle_difference = difference;
}

void cli_page_metrics(cli_pool *pool, const cli_board *board, lt_report_spec *spec)
{
    int n;
    cli_metric *list = cli_metrics(&board->attacks, &board->entry[0].audited.audit, &n);
    lt_report_metric *metric = cli_pool_alloc(pool, (size_t)n, sizeof *metric);
    const char **attack = cli_pool_alloc(pool, (size_t)board->attacks.n, sizeof *attack);
    for (int i = 0; i < n; i++)
        fill_metric(pool, board, null_bands(board), list[i].path, &metric[i]);
    free(list);
    for (int i = 0; i < board->attacks.n; i++)
        attack[i] = board->attacks.mia[i]->title;
    spec->metrics = metric;
    spec->n_metrics = n;
    spec->attacks = attack;
    spec->n_attacks = board->attacks.n;
}

// ---- rows

static lt_report_value *values_of(cli_pool *pool, const lt_report_spec *spec, const json_t *result)
{
    lt_report_value *v = cli_pool_alloc(pool, (size_t)spec->n_metrics, sizeof *v);
    for (int m = 0; m < spec->n_metrics; m++) {
        const char *path = spec->metrics[m].key;
        const json_t *pair = member_at(json_object_get(result, "interval"), path);
        const json_t *low = json_array_get(pair, 0), *high = json_array_get(pair, 1);
        v[m].value = cli_real(result, path);
        v[m].interval.low = json_is_number(low) ? json_number_value(low) : (double)NAN;
        v[m].interval.high = json_is_number(high) ? json_number_value(high) : (double)NAN;
        v[m].verdict = json_string_value(member_at(json_object_get(result, "verdict"), path));
    }
    return v;
}

static lt_report_cost *cost_of(cli_pool *pool, const json_t *r)
{
    static const char *const phase[LT_N_COSTS] = {"search", "mask", "update"};
    if (!json_is_object(json_object_get(r, "time")) || !*cli_text(r, "method"))
        return NULL;
    lt_report_cost *c = cli_pool_alloc(pool, 1, sizeof *c);
    char path[32];
    for (int i = 0; i < LT_N_COSTS; i++) {
        snprintf(path, sizeof path, "time.%s_s", phase[i]);
        c->seconds[i] = cli_real(r, path);
        snprintf(path, sizeof path, "passes.%s.forward", phase[i]);
        c->forward[i] = cli_real(r, path);
        snprintf(path, sizeof path, "passes.%s.backward", phase[i]);
        c->backward[i] = cli_real(r, path);
    }
    c->eval_s = cli_real(r, "time.eval_s");
    return c;
}

// ---- facts of a run

enum { MAX_FACTS = 24 };
typedef struct facts {
    const char **item;
    int n;
} facts;

static void tell(cli_pool *pool, facts *f, const char *key, const char *value)
{
    if (!value || !*value || f->n == MAX_FACTS)
        return;
    f->item[2 * f->n] = key;
    f->item[2 * f->n + 1] = cli_pool_keep(pool, cli_format("%s", value));
    f->n++;
}

// A word of a shell command: quoted unless it is plain.
static char *shell_word(const char *text)
{
    if (*text && !text[strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./:=,%+@-")])
        return cli_format("%s", text);
    char *quoted = cli_alloc(4 * strlen(text) + 3, 1), *to = quoted;
    *to++ = '\'';
    for (const char *s = text; *s; s++) {
        memcpy(to, *s == '\'' ? "'\\''" : s, *s == '\'' ? 4 : 1);
        to += *s == '\'' ? 4 : 1;
    }
    *to = '\'';
    return quoted;
}

static void add_option(char **command, const char *key, const json_t *value)
{
    char *text = json_is_string(value) ? cli_format("%s", json_string_value(value))
                                       : json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(17));
    char *word = shell_word(text), *longer;
    if (!strcmp(key, "run"))
        longer = cli_format("%s %s", *command, word);
    else if (strchr(key, '.'))
        longer = cli_format("%s --set %s=%s", *command, key, word);
    else if (json_is_boolean(value))
        longer = cli_format("%s --%s%s", *command, json_is_true(value) ? "" : "no-", key);
    else
        longer = cli_format("%s --%s %s", *command, key, word);
    free(text);
    free(word);
    free(*command);
    *command = longer;
}

// The command with every option that was given, by flag, file or environment.
static char *command_of(const cli_source *src, const json_t *env)
{
    static const char *const not_said[] = {"json",        "quiet",  "verbose", "config", "set",
                                           "show-config", "resume", "force",   "run",    NULL};
    if (!*cli_text(env, "verb") || !src->resolved)
        return cli_format("%s", "");
    char *command = cli_format("lethe %s", cli_text(env, "verb"));
    const char *key;
    json_t *entry, *run = json_object_get(json_object_get(src->resolved, "run"), "value");
    if (json_is_string(run))
        add_option(&command, "run", run);
    json_object_foreach(src->resolved, key, entry)
    {
        const json_t *value = json_object_get(entry, "value");
        bool said = strcmp(cli_text(entry, "origin"), "default") != 0 && value && !json_is_null(value);
        for (const char *const *k = not_said; *k && said; k++)
            said = strcmp(*k, key) != 0;
        if (said)
            add_option(&command, key, value);
    }
    return command;
}

static const char *const *facts_of(cli_pool *pool, const cli_entry *e)
{
    static const char *const digest[][2] = {
        {"Parent digest", "parent_digest"}, {"Data digest", "data_digest"}, {"Forget set digest", "forget_digest"}};
    facts f = {.item = cli_pool_alloc(pool, 2 * MAX_FACTS + 1, sizeof *f.item)};
    const json_t *r = e->src.result;
    json_t *env = NULL;
    char model[65], *path = e->src.dir ? cli_format("%s/env.json", e->src.dir) : NULL;
    if (path && cli_json_load(path, &env) != LT_OK)
        lt_error_clear(); // a model file or a run of another tool: less is told
    char *command = command_of(&e->src, env),
         *made =
             cli_format("lethe %s, %s, %s", cli_text(env, "lethe"), cli_text(env, "compiler"), cli_text(env, "cpu")),
         *wall = cli_format("%.1f s", cli_real(r, "wall_s")),
         *counts = cli_format("%.0f forgotten, %.0f retained", cli_real(r, "n_forget"), cli_real(r, "n_retain"));
    lt_model_digest(e->src.model, model);
    tell(pool, &f, "Run", e->src.name);
    tell(pool, &f, "Method", cli_text(r, "title"));
    tell(pool, &f, "Command", command);
    tell(pool, &f, "Seed", e->seed);
    tell(pool, &f, "Samples", isfinite(cli_real(r, "n_forget")) ? counts : NULL);
    tell(pool, &f, "Started", cli_text(env, "started"));
    tell(pool, &f, "Wall time", isfinite(cli_real(r, "wall_s")) ? wall : NULL);
    tell(pool, &f, "Model digest", model);
    for (size_t i = 0; i < sizeof digest / sizeof *digest; i++)
        tell(pool, &f, digest[i][0], cli_text(r, digest[i][1]));
    tell(pool, &f, "Config digest", cli_text(env, "config_digest"));
    tell(pool, &f, "Made by", env ? made : NULL);
    free(command);
    free(made);
    free(wall);
    free(counts);
    free(path);
    json_decref(env);
    return f.item;
}

void cli_page_row(cli_pool *pool, const cli_board *board, const lt_report_spec *spec, int i, lt_report_row *row)
{
    const cli_entry *e = &board->entry[i];
    *row = (lt_report_row){.name = e->name,
                           .setting = e->setting,
                           .role = e->role,
                           .audit = e->audited.audit,
                           .gap_mis = e->gap_mis,
                           .gap_auc = e->gap_auc,
                           .seconds = e->seconds,
                           .signals = e->audited.signals,
                           .run_dir = e->src.name,
                           .seed = e->seed,
                           .group = e->group,
                           .score = (const double *const *)e->audited.score,
                           .value = values_of(pool, spec, e->result),
                           .cost = cost_of(pool, e->src.result),
                           .facts = facts_of(pool, e)};
    const char *overall = cli_text(e->result, "verdict.overall");
    row->verdict = *overall ? overall : NULL;
}

// ---- notes

static lt_report_severity severity_of(const json_t *item)
{
    const char *text = cli_text(item, "severity");
    for (int s = LT_LINT_NOTE; s <= LT_LINT_ERROR; s++)
        if (!strcmp(text, lt_report_severity_text((lt_report_severity)s)))
            return (lt_report_severity)s;
    return LT_LINT_WARNING;
}

static bool in_list(const json_t *list, const json_t *item)
{
    size_t i;
    json_t *other;
    json_array_foreach((json_t *)list, i, other) if (json_equal(other, (json_t *)item)) return true;
    return false;
}

static void take(const json_t *list, const json_t *except, int row, lt_report_lint *out, int *n)
{
    size_t i;
    json_t *item;
    json_array_foreach((json_t *)list, i, item)
    {
        if (!in_list(except, item))
            out[(*n)++] = (lt_report_lint){row, severity_of(item), cli_text(item, "id"), cli_text(item, "text")};
    }
}

void cli_page_lint(cli_pool *pool, const cli_board *board, lt_report_spec *spec)
{
    size_t most = json_array_size(board->lint);
    for (int i = 0; i < board->n; i++)
        most += json_array_size(json_object_get(board->entry[i].result, "lint"));
    lt_report_lint *lint = cli_pool_alloc(pool, most, sizeof *lint);
    take(board->lint, NULL, -1, lint, &spec->n_lint);
    for (int i = 0; i < board->n; i++)
        take(json_object_get(board->entry[i].result, "lint"), board->lint, i, lint, &spec->n_lint);
    spec->lint = lint;
}
