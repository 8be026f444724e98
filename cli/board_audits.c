// board_audits.c - every row of a board as `lethe audit` would judge it: intervals, null bands, verdicts, notes; and
// what audits made earlier have found beyond that (depth of forgetting).
#include "board.h"
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

// ---- bands and verdicts

static cli_audited *oracles_of(const cli_board *board, int *n)
{
    cli_audited *oracle = cli_alloc((size_t)board->n, sizeof *oracle); // shallow copies
    *n = 0;
    for (int i = 0; i < board->n; i++)
        if (board->entry[i].role == LT_ROW_ORACLE)
            oracle[(*n)++] = board->entry[i].audited;
    return oracle;
}

lt_status cli_board_judge(cli_call *call, const lt_verdict_cfg *cfg, cli_board *board)
{
    int n;
    cli_audited *oracle = oracles_of(board, &n);
    lt_status status = LT_OK;
    for (int i = 0; i < board->n && status == LT_OK; i++) {
        cli_entry *e = &board->entry[i];
        bool judged = e->role != LT_ROW_ORACLE && n > 0;
        cli_progress_stage(call->session->progress, "intervals of %s", e->src.name);
        e->result = json_deep_copy(e->audited.json);
        status = cli_verdict_put(&board->attacks, &e->audited, oracle, judged ? n : 0, cfg, call->seed.seed, e->result);
        if (!judged) // an oracle is not held against itself
            cli_put(e->result, "verdict", json_null());
    }
    free(oracle);
    return status;
}

// ---- notes

static bool has_item(const json_t *lint, const json_t *item)
{
    size_t i;
    const json_t *other;
    json_array_foreach((json_t *)lint, i, other) if (json_equal((json_t *)other, (json_t *)item)) return true;
    return false;
}

static void lint_row(const cli_board *board, cli_entry *e, const cli_audited *oracle, char *const *name, int n)
{
    json_t *lint = json_array();
    cli_put(e->result, "lint", lint);
    cli_lint_signals(lint, e->audited.signals);
    if (e->role == LT_ROW_ORACLE)
        return;
    cli_lint_stale(lint, &e->src, &e->audited.audit);
    if (e->role == LT_ROW_ORIGINAL)
        return;
    cli_lint_target(lint, &e->src);
    cli_lint_scores(lint, &board->attacks, &e->audited, e->result);
    cli_lint_counts(lint, &e->audited.audit, n);
    cli_lint_oracles(lint, oracle, name, n);
    if (board->attacks.refs)
        cli_lint_references(lint, board->attacks.refs, e->audited.signals);
    for (int i = 0; i < board->n; i++)
        if (board->entry[i].role == LT_ROW_ORACLE)
            cli_lint_oracle(lint, &e->src, &board->entry[i].src, board->forget_digest);
}

// What is said of two rows or more is said once, of all.
static void hoist(cli_board *board)
{
    for (int i = 0; i < board->n; i++) {
        json_t *lint = json_object_get(board->entry[i].result, "lint");
        for (size_t k = 0; k < json_array_size(lint); k++) {
            json_t *item = json_array_get(lint, k);
            int n = 0;
            for (int j = 0; j < board->n; j++)
                n += has_item(json_object_get(board->entry[j].result, "lint"), item);
            if (n > 1 && !has_item(board->lint, item))
                json_array_append(board->lint, item);
        }
    }
}

void cli_board_lint(cli_board *board)
{
    int n, k = 0;
    cli_audited *oracle = oracles_of(board, &n);
    char **name = cli_alloc((size_t)board->n, sizeof *name);
    for (int i = 0; i < board->n; i++)
        if (board->entry[i].role == LT_ROW_ORACLE)
            name[k++] = board->entry[i].src.name;
    for (int i = 0; i < board->n; i++)
        lint_row(board, &board->entry[i], oracle, name, n);
    free(oracle);
    free(name);
    cli_lint_twins(board->lint, board->ds, &board->sets);
    hoist(board);
}

// ---- audits made earlier

bool cli_same_place(const char *a, const char *b)
{
    struct stat x, y;
    if (!strcmp(a, b))
        return true;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static lt_status take_depth(cli_board *board, int row, const json_t *audit, const char *path)
{
    json_t *depth = json_object_get(audit, "depth");
    if (!depth || json_is_null(depth)) // an audit without --depth
        return LT_OK;
    if (!json_is_object(depth))
        return LT_FAIL(LT_E_FORMAT, "%s: depth: expected an object as `lethe audit --depth --json` writes it", path);
    json_t *item = json_object();
    cli_put(item, "row", json_integer(row));
    cli_put(item, "depth", json_deep_copy(depth));
    json_array_append_new(board->depth, item);
    return LT_OK;
}

static lt_status read_audit(const char *path, cli_board *board)
{
    json_t *audit = NULL;
    lt_status status = LT_OK;
    LT_TRY(cli_json_load(path, &audit));
    const char *run = cli_text(audit, "run");
    int row = -1;
    for (int i = 0; i < board->n && row < 0 && *run; i++)
        if (cli_same_place(run, board->entry[i].src.name))
            row = i;
    if (!*run) {
        LT_FAIL(LT_E_FORMAT, "%s: expected the result of an audit, found no text \"run\"", path);
        status = lt_error_hint("write it with: lethe audit RUN ... --json > %s", path);
    } else if (row < 0) {
        status =
            LT_FAIL(LT_E_USAGE, "--audit-json %s: it is of %s, which is none of the runs of this report", path, run);
    } else {
        status = take_depth(board, row, audit, path);
    }
    json_decref(audit);
    return status;
}

// An audit.json inside a run is of that run, wherever it lies now.
static lt_status read_own(cli_board *board, int row)
{
    struct stat st;
    json_t *audit = NULL;
    const char *dir = board->entry[row].src.dir;
    char *path = dir ? cli_format("%s/audit.json", dir) : NULL;
    lt_status status = path && stat(path, &st) == 0 ? cli_json_load(path, &audit) : LT_OK;
    if (audit)
        status = take_depth(board, row, audit, path);
    json_decref(audit);
    free(path);
    return status;
}

lt_status cli_board_read_audits(const cli_list *files, cli_board *board)
{
    for (int i = 0; files && i < files->n; i++)
        LT_TRY(read_audit(files->item[i], board));
    for (int i = 0; i < board->n; i++) {
        bool given = false; // a file that was named counts for its run
        for (size_t k = 0; k < json_array_size(board->depth) && !given; k++)
            given = json_integer_value(json_object_get(json_array_get(board->depth, k), "row")) == i;
        if (!given)
            LT_TRY(read_own(board, i));
    }
    return LT_OK;
}
