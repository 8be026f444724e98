// board.c - several runs side by side: their signals on one forget set, audits, and the gap to the oracles.
//
// All models are asked about the same samples: those that the first run with a forget set has forgotten. The runs made
// by `retrain` are the oracles; the parent of the unlearned runs is added as the original. Runs that differ in nothing
// but their seed form a group; options in which runs of one method differ become part of their setting.
#include "board.h"
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static lt_report_role role_of(const cli_source *src)
{
    const char *method = cli_text(src->result, "method");
    return !*method ? LT_ROW_ORIGINAL : !strcmp(method, "retrain") ? LT_ROW_ORACLE : LT_ROW_METHOD;
}

static char *name_of(const cli_entry *e)
{
    if (e->role == LT_ROW_ORIGINAL)
        return cli_format("Original");
    if (e->role == LT_ROW_ORACLE)
        return cli_format("Retrain");
    char *name = cli_format("%s", cli_text(e->src.result, "method"));
    for (char *p = name; *p; p++)
        *p = (char)toupper((unsigned char)*p);
    return name;
}

// ---- options that tell runs of one method apart

// Options that change no weights, or that the board shows otherwise.
static const char *const not_told[] = {"run",    "out",     "force",          "resume",  "json",         "quiet",
                                       "set",    "verbose", "show-config",    "config",  "threads",      "device",
                                       "seed",   "method",  "loader-threads", "backend", "cache",        "save-adv",
                                       "retain", "forget",  "forget-seed",    "data",    "unlearn.seed", NULL};

static bool is_told(const char *key)
{
    for (const char *const *k = not_told; *k; k++)
        if (!strcmp(*k, key))
            return false;
    return true;
}

static char *option_text(const cli_entry *e, const char *key)
{
    const json_t *value = json_object_get(json_object_get(e->src.resolved, key), "value");
    if (!value || json_is_null(value))
        return cli_format("-");
    if (json_is_string(value))
        return cli_format("%s", json_string_value(value));
    char *dump = json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(6)), *text = cli_format("%s", dump);
    free(dump);
    return text;
}

static bool same_method(const cli_entry *a, const cli_entry *b)
{
    return a->role == b->role && !strcmp(cli_text(a->src.result, "method"), cli_text(b->src.result, "method")) &&
           json_equal(json_object_get(a->src.result, "use_retain"), json_object_get(b->src.result, "use_retain"));
}

static bool differs(const cli_board *board, const cli_entry *e, const char *key)
{
    bool found = false;
    char *own = option_text(e, key);
    for (int i = 0; i < board->n && !found; i++)
        if (same_method(e, &board->entry[i])) {
            char *other = option_text(&board->entry[i], key);
            found = strcmp(own, other) != 0;
            free(other);
        }
    free(own);
    return found;
}

// "key=value; ..." of the options in which the runs of this method differ; "" when in none. No commas: the comparison
// as CSV is read by scripts that split at them.
static char *told_options(const cli_board *board, const cli_entry *e)
{
    char *text = cli_format("%s", "");
    const char *key;
    json_t *value;
    json_object_foreach(e->src.resolved, key, value)
    {
        if (!is_told(key) || !differs(board, e, key))
            continue;
        const char *dot = strncmp(key, "unlearn.", 8) ? NULL : strchr(key + 8, '.');
        char *own = option_text(e, key),
             *longer = cli_format("%s%s%s=%s", text, *text ? "; " : "", dot ? dot + 1 : key, own);
        free(own);
        free(text);
        text = longer;
    }
    return text;
}

static char *setting_of(const cli_entry *e, const char *options)
{
    const json_t *use = json_object_get(e->src.result, "use_retain");
    const char *what = e->role == LT_ROW_ORIGINAL ? "before unlearning"
                       : e->role == LT_ROW_ORACLE ? "from scratch: the oracle"
                       : json_is_true(use)        ? "with retained data"
                                                  : "forget data only";
    return cli_format("%s%s%s", what, *options ? "; " : "", options);
}

static void tell_apart(cli_board *board)
{
    for (int i = 0; i < board->n; i++) {
        cli_entry *e = &board->entry[i];
        char *options = told_options(board, e);
        e->setting = setting_of(e, options);
        e->group = cli_format("%s|%s", e->name, e->setting);
        free(options);
    }
}

// What the model cost: search, mask and update of a method; all of it for a training.
static double seconds_of(const cli_entry *e)
{
    const json_t *r = e->src.result;
    double parts = cli_real(r, "time.search_s") + cli_real(r, "time.mask_s") + cli_real(r, "time.update_s");
    return isfinite(parts) ? parts : cli_real(r, "wall_s");
}

static lt_status add_entry(cli_board *board, const char *run)
{
    cli_entry *entry = cli_alloc((size_t)board->n + 1, sizeof *entry);
    if (board->n)
        memcpy(entry, board->entry, (size_t)board->n * sizeof *entry);
    free(board->entry);
    board->entry = entry;
    cli_entry *e = &entry[board->n++];
    LT_TRY(cli_source_open(run, NULL, &e->src));
    e->role = role_of(&e->src);
    e->name = name_of(e);
    if (json_is_integer(json_object_get(e->src.result, "seed")))
        e->seed = cli_format("%lld", (long long)json_integer_value(json_object_get(e->src.result, "seed")));
    e->seconds = seconds_of(e);
    e->gap_mis = e->gap_auc = NAN;
    return LT_OK;
}

static void entry_clear(cli_entry *e)
{
    cli_source_close(&e->src);
    cli_audited_clear(&e->audited);
    json_decref(e->result);
    free(e->name);
    free(e->setting);
    free(e->seed);
    free(e->group);
}

// A directory whose result lists requests is no row: its children forgot different samples.
static lt_status add_stream(cli_board *board, const char *run, bool *is_stream)
{
    char *path = cli_format("%s/result.json", run);
    struct stat st;
    json_t *result = NULL;
    lt_status status = stat(path, &st) == 0 ? cli_json_load(path, &result) : LT_OK;
    free(path);
    *is_stream = json_is_array(json_object_get(result, "requests"));
    if (!*is_stream) {
        json_decref(result);
        return status;
    }
    cli_stream *stream = cli_alloc((size_t)board->n_streams + 1, sizeof *stream);
    if (board->n_streams)
        memcpy(stream, board->stream, (size_t)board->n_streams * sizeof *stream);
    free(board->stream);
    board->stream = stream;
    stream[board->n_streams++] = (cli_stream){cli_format("%s", run), result};
    return LT_OK;
}

static bool has_original(const cli_board *board)
{
    for (int i = 0; i < board->n; i++)
        if (board->entry[i].role == LT_ROW_ORIGINAL)
            return true;
    return false;
}

// The path of the parent as its child wrote it, or, when the runs have moved together, beside the child.
// The parent, when it is still there with the weights the children started from.
static lt_status add_parent(cli_call *call, cli_board *board)
{
    char digest[65];
    if (!*cli_text(board->entry[0].src.result, "parent") || has_original(board))
        return LT_OK;
    char *path = cli_find_parent(&board->entry[0].src);
    int n = board->n;
    lt_status status = add_entry(board, path);
    if (status == LT_OK) {
        lt_model_digest(board->entry[n].src.model, digest);
        if (strcmp(digest, cli_text(board->entry[0].src.result, "parent_digest")) != 0)
            status = LT_FAIL(LT_E_INTEGRITY, "%s: its weights are not those that %s started from", path,
                             board->entry[0].src.name);
    }
    if (status != LT_OK) { // the table is complete without it
        lt_warn(call->session->events, "report.parent", "original model left out: %s", lt_error_get()->message);
        entry_clear(&board->entry[n]);
        board->n = n;
        lt_error_clear();
        status = LT_OK;
    }
    free(path);
    return status;
}

static int rank(const cli_entry *e)
{
    return e->role == LT_ROW_ORIGINAL ? 0 : e->role == LT_ROW_ORACLE ? 1 : 2;
}

// Original, oracles, methods; stable.
static void order(cli_board *board)
{
    for (int i = 1; i < board->n; i++)
        for (int k = i; k > 0 && rank(&board->entry[k]) < rank(&board->entry[k - 1]); k--) {
            cli_entry t = board->entry[k];
            board->entry[k] = board->entry[k - 1];
            board->entry[k - 1] = t;
        }
}

static lt_status choose_sets(cli_call *call, cli_board *board)
{
    const cli_entry *first = NULL;
    for (int i = 0; i < board->n && !first; i++)
        if (board->entry[i].role != LT_ROW_ORIGINAL)
            first = &board->entry[i];
    if (!first) {
        LT_FAIL(LT_E_USAGE, "%s: expected at least one run that forgot something", board->entry[0].src.name);
        return lt_error_hint("give runs of `lethe unlearn`, retrain among them");
    }
    LT_TRY(cli_source_data(call, &first->src, NULL, &board->ds));
    LT_TRY(cli_sets_of_run(&first->src, board->ds, &(cli_forget){0}, &board->sets));
    lt_index_set_digest(board->ds, LT_TRAIN, &board->sets.forget, board->forget_digest);
    for (int i = 0; i < board->n; i++) {
        const char *own = cli_text(board->entry[i].src.result, "forget_digest");
        if (*own && strcmp(own, board->forget_digest) != 0)
            return LT_FAIL(LT_E_USAGE, "%s and %s forgot different samples and cannot be compared in one table",
                           first->src.name, board->entry[i].src.name);
    }
    return LT_OK;
}

static lt_status audit_entries(cli_call *call, const cli_board_spec *spec, cli_board *board)
{
    for (int i = 0; i < board->n; i++) {
        cli_entry *e = &board->entry[i];
        lt_signals *s;
        cli_progress_stage(call->session->progress, "auditing %s", e->src.name);
        LT_TRY(cli_signals(call, &e->src, board->ds, &board->sets, &s));
        lt_status status = i == 0 ? cli_attacks_open(call, spec->attacks, spec->references, s, &board->attacks) : LT_OK;
        if (status == LT_OK && !cli_same_samples(s, i ? board->entry[0].audited.signals : s))
            status = LT_FAIL(LT_E_FORMAT, "%s: its signals hold other samples than those of %s, or in another order",
                             e->src.name, board->entry[0].src.name);
        if (status != LT_OK) {
            lt_signals_destroy(s);
            return status;
        }
        LT_TRY(cli_audited_measure(&board->attacks, spec->audit, s, &e->audited));
    }
    return LT_OK;
}

static void fill_gaps(cli_board *board)
{
    lt_audit *oracle = cli_alloc((size_t)board->n, sizeof *oracle);
    int n = 0;
    for (int i = 0; i < board->n; i++)
        if (board->entry[i].role == LT_ROW_ORACLE)
            oracle[n++] = board->entry[i].audited.audit;
    for (int i = 0; i < board->n && n > 0; i++) {
        cli_entry *e = &board->entry[i];
        if (e->role == LT_ROW_ORACLE)
            continue;
        e->gap_mis = lt_avg_gap(&e->audited.audit, oracle, n, LT_GAP_MIS);
        e->gap_auc = lt_avg_gap(&e->audited.audit, oracle, n, LT_GAP_PHI_AUC);
    }
    free(oracle);
}

lt_status cli_board_build(cli_call *call, const cli_board_spec *spec, cli_board *board)
{
    lt_verdict_cfg verdict;
    *board = (cli_board){.lint = json_array(), .depth = json_array()};
    lt_options_defaults(lt_verdict_options, &verdict);
    cli_attacks_defaults(call);
    for (int i = 0; i < spec->n_runs; i++) {
        bool is_stream;
        for (int k = 0; k < i; k++) // twice would look like two seeds that agree
            if (cli_same_place(spec->runs[k], spec->runs[i]))
                return LT_FAIL(LT_E_USAGE, "%s: expected each run once, found it again as %s", spec->runs[k],
                               spec->runs[i]);
        LT_TRY(add_stream(board, spec->runs[i], &is_stream));
        if (!is_stream)
            LT_TRY(add_entry(board, spec->runs[i]));
    }
    if (board->n == 0) // requests alone: no table to compare
        return LT_OK;
    LT_TRY(add_parent(call, board));
    order(board);
    tell_apart(board);
    LT_TRY(choose_sets(call, board));
    LT_TRY(audit_entries(call, spec, board));
    fill_gaps(board);
    LT_TRY(cli_board_judge(call, spec->verdict ? spec->verdict : &verdict, board));
    cli_board_lint(board);
    return cli_board_read_audits(spec->audits, board);
}

void cli_board_clear(cli_board *board)
{
    for (int i = 0; i < board->n; i++)
        entry_clear(&board->entry[i]);
    for (int i = 0; i < board->n_streams; i++) {
        free(board->stream[i].name);
        json_decref(board->stream[i].result);
    }
    free(board->entry);
    free(board->stream);
    json_decref(board->lint);
    json_decref(board->depth);
    cli_attacks_clear(&board->attacks);
    cli_sets_clear(&board->sets);
    *board = (cli_board){0};
}

// ---- output

json_t *cli_audit_json(const lt_audit *a)
{
    static const char *const group[3] = {"retain", "forget", "test"};
    json_t *j = json_object(), *svc = json_object(), *threshold = json_object(), *auc = json_object(),
           *median = json_object();
    cli_put_real(j, "ua", a->ua);
    cli_put_real(j, "ra", a->ra);
    cli_put_real(j, "ta", a->ta);
    cli_put_real(svc, "correctness", a->svc.correctness);
    cli_put_real(svc, "confidence", a->svc.confidence);
    cli_put_real(svc, "entropy", a->svc.entropy);
    cli_put_real(svc, "m_entropy", a->svc.m_entropy);
    cli_put_real(svc, "prob", a->svc.prob);
    cli_put(svc, "n_shadow", json_integer(a->svc.n_shadow));
    cli_put(j, "svc_mia", svc);
    cli_put_real(threshold, "correctness", a->threshold.correctness);
    cli_put_real(threshold, "confidence", a->threshold.confidence);
    cli_put_real(threshold, "entropy", a->threshold.entropy);
    cli_put_real(threshold, "m_entropy", a->threshold.m_entropy);
    cli_put(j, "threshold", threshold);
    for (int i = 0; i < 2; i++) {
        const lt_auc_triple *t = i ? &a->conf : &a->phi;
        json_t *triple = json_object();
        cli_put_real(triple, "ft", t->ft);
        cli_put_real(triple, "fr", t->fr);
        cli_put_real(triple, "rt", t->rt);
        cli_put(auc, i ? "confidence" : "phi", triple);
    }
    cli_put_real(auc, "phi_tpr_at_1_fpr", a->phi_tpr_1);
    cli_put_real(auc, "phi_tpr_at_0_1_fpr", a->phi_tpr_01);
    cli_put(j, "auc", auc);
    for (int g = 0; g < 3; g++)
        cli_put_real(median, group[g], a->phi_median[g]);
    cli_put(j, "phi_median", median);
    return j;
}

json_t *cli_board_json(const cli_board *board)
{
    static const char *const role[] = {
        [LT_ROW_METHOD] = "method", [LT_ROW_ORIGINAL] = "original", [LT_ROW_ORACLE] = "oracle"};
    json_t *rows = json_array();
    for (int i = 0; i < board->n; i++) {
        const cli_entry *e = &board->entry[i];
        json_t *row = json_deep_copy(e->result);
        cli_put_text(row, "name", e->name);
        cli_put(row, "setting", json_string(e->setting));
        cli_put(row, "role", json_string(role[e->role]));
        cli_put_text(row, "run", e->src.name);
        cli_put(row, "seed", e->seed ? json_deep_copy(json_object_get(e->src.result, "seed")) : json_null());
        cli_put_real(row, "avg_gap", e->gap_mis);
        cli_put_real(row, "avg_gap_auc", e->gap_auc);
        cli_put_real(row, "seconds", e->seconds);
        json_array_append_new(rows, row);
    }
    return rows;
}

static char *number(double value, int decimals)
{
    return isfinite(value) ? cli_format("%.*f", decimals, value) : cli_format("-");
}

void cli_board_print(const json_t *rows, FILE *out)
{
    cli_table t = {.n_columns = 8, .left = {true, true}};
    cli_table_row(&t, "method", "", "forget %", "retain %", "test %", "MIA %", "avg gap", "seconds");
    size_t i;
    const json_t *row;
    json_array_foreach((json_t *)rows, i, row)
    {
        char forget[24], retain[24], test[24], mia[24];
        char *gap = number(100 * cli_real(row, "avg_gap"), 2), *seconds = number(cli_real(row, "seconds"), 1);
        cli_table_row(&t, cli_text(row, "name"), cli_text(row, "setting"), cli_percent(cli_real(row, "ua"), forget),
                      cli_percent(cli_real(row, "ra"), retain), cli_percent(cli_real(row, "ta"), test),
                      cli_percent(cli_real(row, "svc_mia.confidence"), mia), gap, seconds);
        free(gap);
        free(seconds);
    }
    cli_table_print(&t, out);
    cli_table_clear(&t);
}
