// comparison.c - comparison of several runs: with what the session has open, and as a table.
#include "audit.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

lt_status cli_compare(cli_call *call, const cli_compare_options *o, lt_run_comparison *c)
{
    void *cfg[CLI_MAX_ATTACKS];
    lt_env env;
    *c = (lt_run_comparison){0};
    LT_TRY(cli_env(call, &env));
    const lt_mia_set_spec attacks = cli_attacks_spec(call, o->attacks, o->references, cfg);
    const lt_compare_spec spec = {.run = o->runs,
                                  .n_runs = o->n_runs,
                                  .ds = call->session->data,
                                  .fallback = o->file,
                                  .attacks = &attacks,
                                  .audit = o->audit,
                                  .verdict = o->verdict,
                                  .seed = call->seed.seed,
                                  .env = &env};
    const lt_status status = lt_compare_runs(&spec, c);
    cli_progress_clear(call->session->progress);
    return status;
}

lt_status cli_compare_report(cli_call *call, const lt_run_comparison *c, lt_report_options *o,
                             const lt_report_files *to)
{
    lt_report *report;
    o->backend = call->session->backend;
    LT_TRY(lt_report_compare(c, o, &report));
    const lt_status status = lt_report_write(report, to);
    lt_report_destroy(report);
    return status;
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

// Of rows that forgot whole classes. An oracle's metrics are those it has against the other oracles.
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
    size_t n_rows = 0, n_oracles = 0, n_marked = 0;
    json_array_foreach((json_t *)rows, i, row)
    {
        const json_t *a = json_object_get(row, "class_audit");
        if (!a)
            continue;
        if (!strcmp(cli_text(row, "role"), lt_row_role_text(LT_ROW_ORACLE)) && n_oracles < json_array_size(oracles))
            a = json_array_get(oracles, n_oracles++);
        cell[0] = cli_text(row, "name");
        const json_t *passes = json_object_get(a, "passes_gate");
        for (int k = 0; k < 6; k++) {
            const double v = cli_real(a, key[k]);
            // What cannot be ranked stands in brackets.
            const char *form = !isfinite(v) ? "-" : k >= 2 && json_is_false(passes) ? "(%.1f)" : "%.1f";
            snprintf(text[k], sizeof text[k], form, 100 * v);
            cell[k + 1] = text[k];
        }
        n_marked += json_is_false(passes);
        cli_table_cells(&t, cell);
        n_rows++;
    }
    if (n_rows > 0) {
        fputc('\n', out);
        cli_table_print(&t, out);
    }
    if (n_marked > 0)
        fputs("(in brackets: acc_f is more than a point above retraining, so the rest is not ranked)\n", out);
    cli_table_clear(&t);
}

void cli_comparison_print(const json_t *rows, FILE *out)
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
