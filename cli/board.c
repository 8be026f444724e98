// board.c - several runs side by side: opening them, and their outputs on one forget set.
//
// All models see the same samples: those that the first run with a forget set has forgotten. The runs made by a method
// that retrains are the oracles; the parent of the unlearned runs is added as the original.
#include "board.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

// Options that change no weights, or that the comparison shows otherwise.
static const char *const ignored_options[] = {"run",     "out",         "force",    "resume",       "json",
                                              "quiet",   "set",         "verbose",  "show-config",  "config",
                                              "threads", "device",      "seed",     "method",       "loader-threads",
                                              "backend", "cache",       "save-adv", "retain",       "use-retain-data",
                                              "forget",  "forget-seed", "data",     "unlearn.seed", NULL};

static bool is_ignored(const char *key)
{
    for (const char *const *k = ignored_options; *k; k++)
        if (!strcmp(*k, key))
            return true;
    return false;
}

static char *option_text(const json_t *value)
{
    if (!value || json_is_null(value))
        return cli_format("-");
    if (json_is_string(value))
        return cli_format("%s", json_string_value(value));
    char *dump = json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(6)), *text = cli_format("%s", dump);
    free(dump);
    return text;
}

static lt_status add_options(const cli_source *src, lt_comparison_row *row)
{
    const char *key;
    json_t *entry;
    lt_status status = LT_OK;
    json_object_foreach(src->resolved, key, entry)
    {
        if (is_ignored(key) || status != LT_OK)
            continue;
        char *text = option_text(json_object_get(entry, "value"));
        status = lt_comparison_add_option(row, key, text);
        free(text);
    }
    return status;
}

// What the model cost: search, mask and update of a method; all of it for a training.
static double seconds_of(const json_t *r)
{
    double parts = cli_real(r, "time.search_s") + cli_real(r, "time.mask_s") + cli_real(r, "time.update_s");
    return isfinite(parts) ? parts : cli_real(r, "wall_s");
}

static lt_status fill_row(const cli_source *src, lt_comparison_row *row)
{
    const json_t *use = json_object_get(src->result, "use_retain"), *seed = json_object_get(src->result, "seed");
    row->run = cli_format("%s", src->name);
    row->method = cli_format("%s", cli_text(src->result, "method"));
    row->uses_retain = json_is_boolean(use) ? json_is_true(use) : -1;
    if (json_is_integer(seed))
        row->seed = cli_format("%lld", (long long)json_integer_value(seed));
    row->seconds = seconds_of(src->result);
    row->last_train_acc = cli_last_train_acc(src);
    lt_trained_model_effect(src, &row->effect);
    lt_model_identify(src->model, &row->identity);
    return add_options(src, row);
}

static lt_status add_run(cli_board *board, const char *run)
{
    lt_comparison_row *row;
    cli_source *source = cli_alloc((size_t)board->n_sources + 1, sizeof *source);
    if (board->n_sources)
        memcpy(source, board->source, (size_t)board->n_sources * sizeof *source);
    free(board->source);
    board->source = source;
    LT_TRY(cli_source_open(run, NULL, &source[board->n_sources++]));
    LT_TRY(lt_comparison_add(&board->comparison, &row));
    return fill_row(&source[board->n_sources - 1], row);
}

// A directory whose result lists requests is no row: its children forgot different samples. A quantized run is one only
// when it has forgotten something.
static lt_status add_other(cli_board *board, const char *run, bool *is_row)
{
    char *path = cli_format("%s/result.json", run);
    struct stat st;
    json_t *result = NULL;
    lt_status status = stat(path, &st) == 0 ? cli_json_load(path, &result) : LT_OK;
    free(path);
    const bool is_stream = json_is_array(json_object_get(result, "requests"));
    const bool is_quantized = isfinite(cli_real(result, "test_acc_q"));
    if (is_stream)
        cli_list_push(&board->streams, run, strlen(run));
    if (is_quantized)
        cli_list_push(&board->quantized, run, strlen(run));
    *is_row = !is_stream && (!is_quantized || *cli_text(result, "forget_digest"));
    json_decref(result);
    return status;
}

// ---- the parent

static bool has_original(const cli_board *board)
{
    for (int i = 0; i < board->n_sources; i++)
        if (!*cli_text(board->source[i].result, "method"))
            return true;
    return false;
}

// The parent, when it still exists with the weights the children started from.
static lt_status add_parent(cli_call *call, cli_board *board)
{
    char digest[65];
    if (!*cli_text(board->source[0].result, "parent") || has_original(board))
        return LT_OK;
    char *path = cli_find_parent(&board->source[0]);
    const int n_rows = board->comparison.n, n = board->n_sources;
    lt_status status = add_run(board, path);
    if (status == LT_OK) {
        lt_model_digest(board->source[n].model, digest);
        if (strcmp(digest, cli_text(board->source[0].result, "parent_digest")) != 0)
            status = LT_FAIL(LT_E_INTEGRITY, "%s: its weights are not those that %s started from", path,
                             board->source[0].name);
    }
    if (status != LT_OK) { // the table is complete without it
        lt_warn(call->session->events, "report.parent", "original model left out: %s", lt_error_get()->message);
        if (board->comparison.n > n_rows)
            lt_comparison_drop_last(&board->comparison);
        cli_source_close(&board->source[n]);
        board->n_sources = n;
        lt_error_clear();
    }
    free(path);
    return LT_OK;
}

// ---- samples and outputs

static cli_source *source_of(const cli_board *board, const lt_comparison_row *row)
{
    for (int i = 0; i < board->n_sources; i++)
        if (!strcmp(board->source[i].name, row->run))
            return &board->source[i];
    return NULL;
}

const lt_model *cli_board_model(const cli_board *board)
{
    return source_of(board, &board->comparison.row[0])->model;
}

static const lt_comparison_row *first_unlearned(const lt_comparison *c)
{
    for (int i = 0; i < c->n; i++)
        if (c->row[i].role != LT_ROW_ORIGINAL)
            return &c->row[i];
    return NULL;
}

static lt_status choose_sets(cli_call *call, cli_board *board)
{
    lt_comparison *c = &board->comparison;
    const lt_comparison_row *first = first_unlearned(c);
    if (!first) {
        LT_FAIL(LT_E_USAGE, "%s: expected at least one run that forgot something", c->row[0].run);
        return lt_error_hint("give runs of `lethe unlearn`, retrain among them");
    }
    const cli_source *src = source_of(board, first);
    LT_TRY(cli_source_data(call, src, NULL, &board->ds));
    LT_TRY(cli_sets_of_run(src, board->ds, &(cli_forget){0}, &board->sets));
    lt_index_set_digest(board->ds, LT_TRAIN, &board->sets.forget, c->forget_digest);
    for (int i = 0; i < c->n; i++) {
        const char *own = cli_text(source_of(board, &c->row[i])->result, "forget_digest");
        if (*own && strcmp(own, c->forget_digest) != 0)
            return LT_FAIL(LT_E_USAGE, "%s and %s forgot different samples and cannot be compared in one table",
                           first->run, c->row[i].run);
    }
    return lt_dataset_duplicates(board->ds, &board->sets.forget, &board->sets.retain, &c->duplicates);
}

static lt_status open_attacks(cli_call *call, const cli_board_spec *spec, const lt_signals *s, lt_comparison *c)
{
    void *cfg[CLI_MAX_ATTACKS];
    const lt_mia_set_spec attacks = cli_attacks_spec(call, spec->attacks, spec->references, cfg);
    return lt_mia_set_open(&attacks, s, &c->attacks);
}

static lt_status measure_rows(cli_call *call, const cli_board_spec *spec, cli_board *board)
{
    lt_comparison *c = &board->comparison;
    for (int i = 0; i < c->n; i++) {
        lt_comparison_row *row = &c->row[i];
        lt_signals *s;
        cli_progress_stage(call->session->progress, "auditing %s", row->run);
        LT_TRY(cli_signals(call, source_of(board, row), board->ds, &board->sets, &s));
        lt_status status = i == 0 ? open_attacks(call, spec, s, c) : LT_OK;
        if (status == LT_OK && !lt_signals_same_samples(s, i ? c->row[0].audited.signals : s))
            status = LT_FAIL(LT_E_FORMAT, "%s: its signals hold other samples than those of %s, or in another order",
                             row->run, c->row[0].run);
        if (status != LT_OK) {
            lt_signals_destroy(s);
            return status;
        }
        LT_TRY(lt_audited_measure(&c->attacks, spec->audit, s, &row->audited));
    }
    return LT_OK;
}

bool cli_same_place(const char *a, const char *b)
{
    struct stat x, y;
    if (!strcmp(a, b))
        return true;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static lt_status add_runs(const cli_board_spec *spec, cli_board *board)
{
    for (int i = 0; i < spec->n_runs; i++) {
        bool is_row;
        for (int k = 0; k < i; k++) // twice would look like two seeds that agree
            if (cli_same_place(spec->runs[k], spec->runs[i]))
                return LT_FAIL(LT_E_USAGE, "%s: expected each run once, found it again as %s", spec->runs[k],
                               spec->runs[i]);
        LT_TRY(add_other(board, spec->runs[i], &is_row));
        if (is_row)
            LT_TRY(add_run(board, spec->runs[i]));
    }
    return LT_OK;
}

lt_status cli_board_build(cli_call *call, const cli_board_spec *spec, cli_board *board)
{
    lt_verdict_cfg verdict;
    *board = (cli_board){0};
    lt_options_defaults(lt_verdict_options, &verdict);
    LT_TRY(add_runs(spec, board));
    if (board->comparison.n == 0) // requests alone: no table to compare
        return LT_OK;
    LT_TRY(lt_comparison_check_originals(&board->comparison));
    LT_TRY(add_parent(call, board));
    lt_comparison_sort(&board->comparison);
    LT_TRY(lt_comparison_label(&board->comparison));
    LT_TRY(choose_sets(call, board));
    LT_TRY(measure_rows(call, spec, board));
    cli_progress_stage(call->session->progress, "intervals");
    return lt_comparison_judge(&board->comparison, spec->verdict ? spec->verdict : &verdict, call->seed.seed);
}

void cli_board_clear(cli_board *board)
{
    lt_comparison_clear(&board->comparison);
    for (int i = 0; i < board->n_sources; i++)
        cli_source_close(&board->source[i]);
    free(board->source);
    cli_list_clear(&board->streams);
    cli_list_clear(&board->quantized);
    cli_sets_clear(&board->sets);
    *board = (cli_board){0};
}

lt_status cli_board_json(const cli_board *board, json_t **rows)
{
    return cli_json_take(lt_comparison_json(&board->comparison), rows);
}

// ---- the table

// Without words that the unit and the title of the table say.
static char *short_head(const lt_metric *m)
{
    const char *acc = strstr(m->head, " acc."), *gap = strncmp(m->head, "avg. ", 5) ? m->head : m->head + 5;
    return acc ? cli_format("%.*s %%", (int)(acc - m->head), m->head)
               : cli_format("%s%s", gap, m->unit == LT_UNIT_FRACTION ? " %" : "");
}

static const char *metric_text(const json_t *row, lt_metric_id id, char text[24])
{
    const lt_metric *m = lt_metric_get(id);
    const double value = cli_real(row, m->key), scale = m->unit == LT_UNIT_SECONDS ? 1 : 100;
    if (!isfinite(value))
        return "-";
    snprintf(text, 24, "%.*f", m->decimals, scale * value);
    return text;
}

// Of rows that forgot whole classes. An oracle's figures are those it has against the other oracles.
static void print_classes(const json_t *rows, FILE *out)
{
    static const char *const key[] = {"acc_f", "acc_r", "svc_mia", "mia_nn.score", "mia_nn.gap", "tv"};
    const char *cell[8] = {"forgotten classes", "acc_f %", "acc_r %", "SVC-MIA %", "class-MIA %", "gap", "TV %"};
    char text[6][24];
    cli_table t = {.n_columns = 7, .left = {true}};
    size_t i;
    const json_t *row, *oracles = NULL;
    json_array_foreach((json_t *)rows, i,
                       row) if (json_array_size(json_object_get(json_object_get(row, "class_audit"), "oracles")) > 0)
        oracles = json_object_get(json_object_get(row, "class_audit"), "oracles");
    cli_table_cells(&t, cell);
    size_t n_rows = 0, n_oracles = 0;
    json_array_foreach((json_t *)rows, i, row)
    {
        const json_t *a = json_object_get(row, "class_audit");
        if (!a)
            continue;
        if (!strcmp(cli_text(row, "role"), lt_row_role_text(LT_ROW_ORACLE)) && n_oracles < json_array_size(oracles))
            a = json_array_get(oracles, n_oracles++);
        cell[0] = cli_text(row, "name");
        for (int k = 0; k < 6; k++) {
            const double v = cli_real(a, key[k]);
            snprintf(text[k], sizeof text[k], isfinite(v) ? "%.1f" : "-", 100 * v);
            cell[k + 1] = text[k];
        }
        cli_table_cells(&t, cell);
        n_rows++;
    }
    if (n_rows > 0) {
        fputc('\n', out);
        cli_table_print(&t, out);
    }
    cli_table_clear(&t);
}

void cli_board_print(const json_t *rows, FILE *out)
{
    cli_table t = {.n_columns = 2, .left = {true, true}};
    lt_metric_id column[CLI_TABLE_MAX_COLUMNS];
    const char *cell[CLI_TABLE_MAX_COLUMNS] = {"method", ""};
    char text[CLI_TABLE_MAX_COLUMNS][24], *head[CLI_TABLE_MAX_COLUMNS] = {NULL};
    size_t i;
    const json_t *row;
    t.drop[1] = 1; // the setting may be cut, and goes last
    for (int id = 0; id < LT_N_METRICS; id++) {
        const lt_metric *m = lt_metric_get((lt_metric_id)id);
        if (!(m->flags & LT_METRIC_COLUMN) || t.n_columns == CLI_TABLE_MAX_COLUMNS)
            continue;
        head[t.n_columns] = short_head(m);
        t.drop[t.n_columns] = m->drop_priority;
        cell[t.n_columns] = head[t.n_columns];
        column[t.n_columns++] = (lt_metric_id)id;
    }
    cli_table_cells(&t, cell);
    json_array_foreach((json_t *)rows, i, row)
    {
        cell[0] = cli_text(row, "name");
        cell[1] = cli_text(row, "setting");
        for (int c = 2; c < t.n_columns; c++)
            cell[c] = metric_text(row, column[c], text[c]);
        cli_table_cells(&t, cell);
    }
    for (int c = 0; c < t.n_columns; c++)
        free(head[c]);
    cli_table_print(&t, out);
    cli_table_clear(&t);
    print_classes(rows, out);
}
