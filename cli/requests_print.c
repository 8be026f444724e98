// requests_print.c - what `lethe unlearn --requests` prints of its result.
#include "requests.h"
#include <stdlib.h>

static void print_requests(const json_t *r, FILE *out)
{
    static const char *const path[] = {"forget_acc",
                                       "retain_acc",
                                       "test_acc",
                                       "phi.ft_auc",
                                       "phi.fr_auc",
                                       "fr_minus_ft_auc",
                                       "cumulative.fr_minus_ft_auc",
                                       "rmia.fr_minus_ft_auc"};
    enum { N = sizeof path / sizeof *path };
    cli_table t = {.n_columns = N + 2};
    size_t k;
    const json_t *row;
    cli_table_row(&t, "request", "samples", "forget %", "retain %", "test %", "FT AUC %", "FR AUC %", "FR-FT",
                  "all so far", "RMIA FR-FT");
    json_array_foreach(json_object_get(r, "requests"), k, row)
    {
        char text[N][24];
        char *number = cli_format("%zu", k + 1), *n = cli_format("%.0f", cli_real(row, "n_forget"));
        for (int i = 0; i < N; i++)
            cli_percent(cli_real(row, path[i]), text[i]);
        cli_table_row(&t, number, n, text[0], text[1], text[2], text[3], text[4], text[5], text[6], text[7]);
        free(number);
        free(n);
    }
    cli_table_print(&t, out);
    cli_table_clear(&t);
}

// How well the early requests are still forgotten at the end.
static void print_again(const json_t *r, FILE *out)
{
    const json_t *matrix = json_object_get(r, "reaudit"), *one;
    size_t n = json_array_size(matrix), k;
    cli_table t = {.n_columns = 5};
    if (n < 2)
        return;
    cli_table_row(&t, "request", "forget %", "FT AUC % after it", "at the end", "FR-FT at the end");
    json_array_foreach(json_array_get(matrix, n - 1), k, one)
    {
        const json_t *then = json_array_get(json_array_get(matrix, k), k);
        char text[4][24];
        char *number = cli_format("%zu", k + 1);
        cli_table_row(&t, number, cli_percent(cli_real(one, "forget_acc"), text[0]),
                      cli_percent(cli_real(then, "phi.ft_auc"), text[1]),
                      cli_percent(cli_real(one, "phi.ft_auc"), text[2]),
                      cli_percent(cli_real(one, "phi.fr_minus_ft_auc"), text[3]));
        free(number);
    }
    fputs("\nre-audited after the last request:\n", out);
    cli_table_print(&t, out);
    cli_table_clear(&t);
}

static void print_oracles(const json_t *r, FILE *out)
{
    const json_t *row;
    size_t k;
    cli_table t = {.n_columns = 6, .left = {false, false, false, false, false, true}};
    if (!json_is_object(json_object_get(json_array_get(json_object_get(r, "requests"), 0), "oracle")))
        return;
    cli_table_row(&t, "request", "forget", "test", "FT AUC", "distance", "oracle");
    json_array_foreach(json_object_get(r, "requests"), k, row)
    {
        char text[3][24];
        char *number = cli_format("%zu", k + 1), *far = cli_format("%.4g", cli_real(row, "oracle.distance_l2"));
        cli_table_row(&t, number, cli_percent(cli_real(row, "oracle.difference.forget_acc"), text[0]),
                      cli_percent(cli_real(row, "oracle.difference.test_acc"), text[1]),
                      cli_percent(cli_real(row, "oracle.difference.phi_ft_auc"), text[2]), far,
                      cli_text(row, "oracle.run"));
        free(number);
        free(far);
    }
    fputs("\nmodel minus oracle, in points:\n", out);
    cli_table_print(&t, out);
    cli_table_clear(&t);
}

void cli_requests_print(const json_t *r, FILE *out)
{
    fprintf(out, "%s: %.0f requests, %.0f samples forgotten\n\n", cli_text(r, "title"), cli_real(r, "n_requests"),
            cli_real(r, "n_forget"));
    print_requests(r, out);
    print_again(r, out);
    print_oracles(r, out);
    fprintf(out, "\nsearch %.1f s, update %.1f s, evaluation %.1f s\n%s%s\n", cli_real(r, "time.search_s"),
            cli_real(r, "time.update_s"), cli_real(r, "time.eval_s"), cli_text(r, "run"),
            json_object_get(r, "cached") ? " (finished before; --force recomputes it)" : "");
}
