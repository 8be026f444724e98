// sweep_print.c - a plan and a result of a study as tables.
#include "sweep.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

// ---- the plan

static char *time_text(double s)
{
    return !isfinite(s)  ? cli_format("-")
           : s >= 172800 ? cli_format("%.1f d", s / 86400)
           : s >= 7200   ? cli_format("%.1f h", s / 3600)
           : s >= 120    ? cli_format("%.0f min", s / 60)
                         : cli_format("%.0f s", s);
}

void sweep_print_plan(const json_t *r, FILE *out)
{
    cli_table t = {.n_columns = 6, .left = {true}};
    size_t i;
    const json_t *kind;
    cli_table_row(&t, "part", "number", "done", "missing", "thousand passes", "core time");
    json_array_foreach(json_object_get(r, "kinds"), i, kind)
    {
        if (cli_real(kind, "n") <= 0)
            continue;
        char *n[3] = {cli_format("%.0f", cli_real(kind, "n")), cli_format("%.0f", cli_real(kind, "n_done")),
                      cli_format("%.0f", cli_real(kind, "n_missing"))};
        char *passes = cli_format("%.1f", cli_real(kind, "passes") / 1000),
             *seconds = time_text(cli_real(kind, "core_seconds"));
        cli_table_row(&t, cli_text(kind, "kind"), n[0], n[1], n[2], passes, seconds);
        for (int k = 0; k < 3; k++)
            free(n[k]);
        free(passes);
        free(seconds);
    }
    cli_table_print(&t, out);
    cli_table_clear(&t);
    char *wall = time_text(cli_real(r, "seconds"));
    fprintf(out, "%.0f of %.0f parts are missing; about %s with %.0f workers (rate: %s). Nothing was run.\n",
            cli_real(r, "n_missing"), cli_real(r, "n_parts"), wall, cli_real(r, "jobs"), cli_text(r, "rate_from"));
    free(wall);
}

// ---- the result

static const char *percent_of(const json_t *row, const char *column, char text[24])
{
    char path[96];
    snprintf(path, sizeof path, "metrics.%s.mean", column);
    const double mean = cli_real(row, path);
    if (!isfinite(mean))
        return "-";
    snprintf(text, 24, "%.2f", 100 * mean);
    return text;
}

static void print_accuracies(const json_t *rows, FILE *out)
{
    cli_table t = {.n_columns = 8, .left = {true, true}, .drop = {[2] = 1}};
    size_t i;
    const json_t *row;
    t.left[7] = true;
    cli_table_row(&t, "method", "access", "runs", "forget", "retain", "test", "gap MIS", "verdict");
    json_array_foreach(rows, i, row)
    {
        char text[4][24], *runs = cli_format("%.0f", cli_real(row, "n_runs"));
        cli_table_row(&t, cli_text(row, "method"), cli_text(row, "access"), runs, percent_of(row, "ua", text[0]),
                      percent_of(row, "ra", text[1]), percent_of(row, "ta", text[2]),
                      percent_of(row, "avg_gap_mis", text[3]), cli_text(row, "verdict.overall"));
        free(runs);
    }
    cli_table_print(&t, out);
    cli_table_clear(&t);
}

// ---- membership inference: what was measured, a few attacks a table so that none is left out

typedef struct attack_columns {
    const char *head;
    char value[64], gap[64]; // columns of the result
} attack_columns;

static bool is_measured(const json_t *rows, const char *column)
{
    size_t i;
    const json_t *row;
    char text[24];
    json_array_foreach(rows, i, row) if (percent_of(row, column, text) == text) return true;
    return false;
}

static int list_attacks(const json_t *rows, attack_columns *list)
{
    int n = 0;
    list[n++] = (attack_columns){"MIS", "mis", "avg_gap_mis"};
    list[n++] = (attack_columns){"phi", "phi_ft_auc", "avg_gap_auc"};
    for (const lt_mia *const *attack = lt_mia_list(); *attack; attack++) {
        attack_columns *a = &list[n];
        a->head = (*attack)->title;
        snprintf(a->value, sizeof a->value, "%s_ft_auc", (*attack)->name);
        snprintf(a->gap, sizeof a->gap, "avg_gap_%s", (*attack)->name);
        n += is_measured(rows, a->value);
    }
    return n;
}

static void print_attacks(const json_t *rows, const attack_columns *attack, int n, FILE *out)
{
    const char *cell[CLI_TABLE_MAX_COLUMNS] = {"method", "access"};
    cli_table t = {.n_columns = 2 + 2 * n, .left = {true, true}};
    size_t i;
    const json_t *row;
    for (int k = 0; k < n; k++) {
        cell[2 + 2 * k] = attack[k].head;
        cell[3 + 2 * k] = "gap";
    }
    cli_table_cells(&t, cell);
    json_array_foreach(rows, i, row)
    {
        char text[CLI_TABLE_MAX_COLUMNS][24];
        cell[0] = cli_text(row, "method");
        cell[1] = cli_text(row, "access");
        for (int k = 0; k < n; k++) {
            cell[2 + 2 * k] = percent_of(row, attack[k].value, text[2 * k]);
            cell[3 + 2 * k] = percent_of(row, attack[k].gap, text[2 * k + 1]);
        }
        cli_table_cells(&t, cell);
    }
    cli_table_print(&t, out);
    cli_table_clear(&t);
}

static void print_membership(const json_t *rows, FILE *out)
{
    enum { A_TABLE = 3 };
    int n_all = 2;
    while (lt_mia_list()[n_all - 2])
        n_all++;
    attack_columns *list = cli_alloc((size_t)n_all + 1, sizeof *list);
    const int n = list_attacks(rows, list);
    fputs("\nMembership inference, per cent: MIS, or AUC of forgotten against test samples; average gap with it\n",
          out);
    for (int k = 0; k < n; k += A_TABLE)
        print_attacks(rows, list + k, n - k < A_TABLE ? n - k : A_TABLE, out);
    fputc('\n', out);
    free(list);
}

// Texts come from files; frees the line.
static void print_line(FILE *out, char *line)
{
    cli_keep_printable(line);
    fprintf(out, "%s\n", line);
    free(line);
}

void sweep_print_result(const json_t *r, FILE *out)
{
    size_t i;
    const json_t *item, *rows = json_object_get(r, "rows");
    fputs("Accuracies and average gap to retraining, per cent, means over runs\n", out);
    print_accuracies(rows, out);
    print_membership(rows, out);
    json_array_foreach(json_object_get(r, "lint"), i, item)
        print_line(out, cli_format("%s: %s", cli_text(item, "severity"), cli_text(item, "text")));
    json_array_foreach(json_object_get(r, "failed"), i, item) print_line(
        out, cli_format("%s %s: %s", cli_text(item, "state"), cli_text(item, "part"), cli_text(item, "error")));
    fprintf(out, "%.0f parts, %.0f of them done before; report: %s\n", cli_real(r, "parts.n"),
            cli_real(r, "parts.n_existing"), cli_text(r, "report"));
}
