// quantize_print.c - the human form of what `lethe quantize` made.
#include "quantize.h"
#include <math.h>

static void print_reaudit(const json_t *r, FILE *out)
{
    static const char *const row[] = {"before", "after", "retrained"};
    if (!r)
        return;
    cli_table t = {.n_columns = 5, .left = {true}};
    cli_table_row(&t, "forgetting", "UA %", "RA %", "TA %", "AUC forget/test %");
    for (int i = 0; i < 3; i++) {
        const json_t *a = json_object_get(r, row[i]);
        char b[4][24];
        if (json_is_object(a))
            cli_table_row(&t, row[i], cli_percent(cli_real(a, "ua"), b[0]), cli_percent(cli_real(a, "ra"), b[1]),
                          cli_percent(cli_real(a, "ta"), b[2]), cli_percent(cli_real(a, "ft_auc"), b[3]));
    }
    cli_table_print(&t, out);
    cli_table_clear(&t);
    const json_t *interval = json_object_get(r, "auc_shift_interval");
    fprintf(out, "AUC of forgotten against test samples moved by %+.1f points (95 %% interval %+.1f to %+.1f): %s\n",
            100 * cli_real(r, "auc_shift"), 100 * json_number_value(json_array_get(interval, 0)),
            100 * json_number_value(json_array_get(interval, 1)),
            json_is_true(json_object_get(r, "relapse")) ? "forgotten samples look more like members again"
                                                        : "no sign that forgetting was undone");
}

static void print_groups(const json_t *groups, FILE *out)
{
    size_t i, k;
    json_t *group, *chip;
    json_array_foreach(groups, i, group)
    {
        fprintf(out, "group %zu: chips", i);
        json_array_foreach(group, k, chip) fprintf(out, " %lld", (long long)json_integer_value(chip));
        fputc('\n', out);
    }
}

void cli_print_chips(const json_t *r, FILE *out)
{
    const char *key;
    json_t *row, *rows = json_object_get(r, "rows");
    char nominal[24];
    fprintf(
        out,
        "%s, %.0f bits on %.0f chips: %.3g of the cells stuck, spread %.3g, %s encoding; nominal accuracy %s %%\n\n",
        cli_text(r, "source"), cli_real(r, "bits"), cli_real(r, "chips.n"), cli_real(r, "fault_rate"),
        cli_real(r, "variability"), cli_text(r, "encoding"), cli_percent(cli_real(r, "test_acc_q"), nominal));
    cli_table t = {.n_columns = 7, .left = {true}};
    cli_table_row(&t, "accuracy %", "mean", "worst", "5 %", "median", "95 %", "yield %");
    json_object_foreach(rows, key, row)
    {
        char b[6][24];
        cli_table_row(&t, key, cli_percent(cli_real(row, "mean"), b[0]), cli_percent(cli_real(row, "worst"), b[1]),
                      cli_percent(cli_real(row, "q05"), b[2]), cli_percent(cli_real(row, "q50"), b[3]),
                      cli_percent(cli_real(row, "q95"), b[4]), cli_percent(cli_real(row, "yield"), b[5]));
    }
    cli_table_print(&t, out);
    cli_table_clear(&t);
    fprintf(
        out,
        "\nyield: chips of at least %.1f %% accuracy. Rows -bn have batch-norm statistics re-estimated on the chip.\n",
        100 * cli_real(r, "chips.yield_at"));
    print_groups(json_object_get(r, "groups"), out);
    fprintf(out, "%s\n", cli_text(r, "run"));
}

void cli_print_export(const json_t *r, FILE *out)
{
    char q[24], i[24];
    fprintf(out, "%s: test accuracy %s %% by integers, %s %% by the float simulation\n", cli_text(r, "path"),
            cli_percent(cli_real(r, "test_acc_integer"), i), cli_percent(cli_real(r, "test_acc_q"), q));
    fprintf(out,
            "read-only memory %.1f KiB (weights %.1f, tables %.1f; float model %.1f), activations %.1f KiB, %.2f M "
            "multiply-adds\n",
            (cli_real(r, "integer.weight_bytes") + cli_real(r, "integer.table_bytes")) / 1024,
            cli_real(r, "integer.weight_bytes") / 1024, cli_real(r, "integer.table_bytes") / 1024,
            cli_real(r, "integer.float_bytes") / 1024, cli_real(r, "integer.activation_bytes") / 1024,
            cli_real(r, "integer.macs") / 1e6);
}

void cli_print_quantized(const json_t *r, FILE *out)
{
    char fp[24], q[24], before[24];
    fprintf(out,
            "%s, %s to %.0f bits: test accuracy %s %% (float %s %%; before batch-norm statistics were re-estimated %s "
            "%%)\n",
            cli_text(r, "model"), cli_text(r, "method"), cli_real(r, "bits"), cli_percent(cli_real(r, "test_acc_q"), q),
            cli_percent(cli_real(r, "test_acc_fp"), fp), cli_percent(cli_real(r, "test_acc_before_bn"), before));
    fprintf(out, "%.0f weights in %zu tensors, at most %.0f levels hit, %.1f %% of all parameter bits\n",
            cli_real(r, "n_weights"), json_array_size(json_object_get(r, "tensors")), cli_real(r, "levels_hit"),
            100 * cli_real(r, "faultable_share"));
    if (cli_real(r, "fault_rate") > 0 || cli_real(r, "variability") > 0)
        fprintf(
            out,
            "chip %.0f: %.3g of the cells stuck (%.3g of the weights touched), spread %.3g, %s encoding, %s mapping; "
            "%.0f weights off their level\n",
            cli_real(r, "chips.first"), cli_real(r, "fault_rate"), cli_real(r, "touched_share"),
            cli_real(r, "variability"), cli_text(r, "encoding"), cli_text(r, "mapping"), cli_real(r, "n_unreachable"));
    if (isfinite(cli_real(r, "residual")))
        fprintf(out, "residual %.2g steps^2, %.2g %% of codes changed in the last epoch\n", cli_real(r, "residual"),
                100 * cli_real(r, "code_change"));
    print_reaudit(json_object_get(r, "reaudit"), out);
    fprintf(out, "%s%s\n", cli_text(r, "run"),
            json_object_get(r, "cached") ? " (finished before; --force recomputes it)" : "");
}
