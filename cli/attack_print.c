// attack_print.c - the human form of what `lethe attack` found.
#include "attack.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

bool cli_attack_has_flag(const json_t *result, int bit)
{
    const json_t *flags = json_object_get(result, "flags");
    for (size_t i = 0; i < json_array_size(flags); i++)
        if (!strcmp(json_string_value(json_array_get(flags, i)), lt_robust_flag_name(bit)))
            return true;
    return false;
}

static char *interval_text(const json_t *j)
{
    return cli_format("%.1f .. %.1f", 100 * json_number_value(json_array_get(j, 0)),
                      100 * json_number_value(json_array_get(j, 1)));
}

static bool has_no_radius(const json_t *r) // of minimum norm
{
    return json_is_null(json_object_get(r, "eps"));
}

static void print_parts(const json_t *r, FILE *out)
{
    const bool min_norm = has_no_radius(r);
    cli_table t = {.n_columns = 7, .left = {true}};
    cli_table_row(&t, "attack", min_norm ? "not found %" : "robust %", "95 % interval", min_norm ? "found" : "broken",
                  "forward", "backward", "seconds");
    size_t i;
    json_t *part;
    json_array_foreach(json_object_get(r, "attacks"), i, part)
    {
        char acc[24];
        char *interval = interval_text(json_object_get(part, "robust_interval")),
             *broken = cli_format("%.0f", cli_real(part, "n_broken")),
             *forward = cli_format("%.0f", cli_real(part, "queries_f")),
             *backward = cli_format("%.0f", cli_real(part, "queries_b")),
             *seconds = cli_format("%.1f", cli_real(part, "wall_s"));
        cli_table_row(&t, cli_text(part, "attack"), cli_percent(cli_real(part, "robust_acc"), acc), interval, broken,
                      forward, backward, seconds);
        free(interval);
        free(broken);
        free(forward);
        free(backward);
        free(seconds);
    }
    cli_table_print(&t, out);
    cli_table_clear(&t);
}

static void print_curve(const json_t *r, FILE *out)
{
    const json_t *c = json_object_get(r, "curve"), *radius = json_object_get(c, "radius");
    if (!c)
        return;
    cli_table t = {.n_columns = 2};
    cli_table_row(&t, "radius", "robust %");
    for (size_t i = 0; i < json_array_size(radius); i++) {
        char acc[24], *at = cli_format("%.5f", json_number_value(json_array_get(radius, i)));
        cli_table_row(&t, at, cli_percent(json_number_value(json_array_get(json_object_get(c, "robust_acc"), i)), acc));
        free(at);
    }
    fputc('\n', out);
    cli_table_print(&t, out);
    cli_table_clear(&t);
}

static void print_matrix(const json_t *r, FILE *out)
{
    json_t *rows = json_object_get(r, "transfer"), *row, *cell;
    size_t i, k;
    fprintf(out, "transfer rate of %s, %s, radius %s: crafted on the row, answered by the column, %%\n\n",
            cli_text(r, "attack"), cli_text(r, "norm"), cli_text(r, "eps"));
    json_array_foreach(rows, i, row)
    {
        json_array_foreach(row, k, cell)
        {
            char text[24];
            fprintf(out, "%8s", cli_percent(json_is_number(cell) ? json_number_value(cell) : (double)NAN, text));
        }
        fprintf(out, "   %s\n", json_string_value(json_array_get(json_object_get(r, "models"), i)));
    }
}

static void print_radius(const json_t *r, FILE *out)
{
    char clean[24], robust[24];
    char *interval = interval_text(json_object_get(r, "robust_interval"));
    fprintf(out, "%s on %s, %s, radius %s\n\n", cli_text(r, "model"), cli_text(r, "data"), cli_text(r, "norm"),
            cli_text(r, "eps"));
    fprintf(out, "clean accuracy   %s %%\nrobust accuracy  %s %% (%s)\n", cli_percent(cli_real(r, "clean_acc"), clean),
            cli_percent(cli_real(r, "robust_acc"), robust), interval);
    free(interval);
}

// Attacks of minimum norm find an example of nearly every image; how far it is says how robust the model is.
static void print_distances(const json_t *r, FILE *out)
{
    char clean[24];
    fprintf(out, "%s on %s, nearest examples in %s\n\n", cli_text(r, "model"), cli_text(r, "data"),
            cli_text(r, "norm"));
    fprintf(out, "clean accuracy   %s %%\n", cli_percent(cli_real(r, "clean_acc"), clean));
    fprintf(out, "examples found   %.0f of %.0f images that were classified correctly\n", cli_real(r, "n_found"),
            round(cli_real(r, "clean_acc") * cli_real(r, "n")));
    if (isfinite(cli_real(r, "median_distance")))
        fprintf(out, "distance, %-6s median %.4g, mean %.4g\n", cli_text(r, "norm"), cli_real(r, "median_distance"),
                cli_real(r, "mean_distance"));
}

static void print_summary(const json_t *r, FILE *out)
{
    char robust[24];
    const bool min_norm = has_no_radius(r);
    (min_norm ? print_distances : print_radius)(r, out);
    if (json_object_get(r, "mean_robust_acc"))
        fprintf(out, "of one evaluation %s %% (mean); %.0f examples were not confirmed by fresh evaluations\n",
                cli_percent(cli_real(r, "mean_robust_acc"), robust), cli_real(r, "unconfirmed"));
    if (isfinite(cli_real(r, "median_l2")) && !(min_norm && !strcmp(cli_text(r, "norm"), "l2")))
        fprintf(out, "L2 of examples   median %.4g, mean %.4g\n", cli_real(r, "median_l2"), cli_real(r, "mean_l2"));
    if (json_object_get(r, "lipschitz_bound"))
        fprintf(out, "certified L2      mean %.4g (Lipschitz bound %.4g); %.0f examples inside\n",
                cli_real(r, "mean_certified_l2"), cli_real(r, "lipschitz_bound"), cli_real(r, "n_certificates_broken"));
    fputc('\n', out);
    print_parts(r, out);
    print_curve(r, out);
    const double draws = cli_real(r, "eot"); // absent: one
    const int32_t eot = draws > 1 ? (int32_t)draws : 1;
    for (int bit = 0; bit < LT_N_FLAGS; bit++)
        if (cli_attack_has_flag(r, bit))
            fprintf(out, "\n%s: %s\n", lt_robust_flag_name(bit), lt_robust_flag_meaning(bit, eot));
}

void cli_attack_print(const cli_call *call, FILE *out)
{
    const json_t *r = call->result;
    if (json_is_array(json_object_get(r, "transfer")))
        print_matrix(r, out);
    else
        print_summary(r, out);
}
