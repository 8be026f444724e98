// audit_print.c - the tables of an audit: metrics against retraining, AMUN's bound, representations, lint.
#include "audit.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

// ---- representation audit

static double mean_of(const json_t *list)
{
    double sum = 0;
    size_t i;
    const json_t *one;
    json_array_foreach((json_t *)list, i, one) sum += json_is_number(one) ? json_number_value(one) : (double)NAN;
    return json_array_size(list) ? sum / (double)json_array_size(list) : (double)NAN;
}

static const char *fixed(double v, char text[24])
{
    if (!isfinite(v))
        return "-";
    snprintf(text, 24, "%.3f", v);
    return text;
}

static double mean_at(const json_t *object, const char *a, const char *b)
{
    const json_t *inner = json_object_get(object, a);
    return mean_of(b ? json_object_get(inner, b) : inner);
}

static void print_representation(const json_t *depth, FILE *out)
{
    cli_table t = {.n_columns = 11, .left = {true}, .drop = {0, 0, 3, 0, 2, 6, 5, 0, 0, 7, 4}};
    size_t i;
    const json_t *p, *cka_list = json_object_get(depth, "cka"), *relearn = json_object_get(depth, "relearn");
    cli_table_row(&t, "stage", "AUC: " LT_KIND_UNLEARNED, LT_KIND_ORIGINAL, LT_KIND_RETRAINED,
                  "class %: " LT_KIND_UNLEARNED, LT_KIND_ORIGINAL, LT_KIND_RETRAINED, "CKA: u-o", "u-r", "o-r", "r-r");
    json_array_foreach(json_object_get(depth, "probe"), i, p)
    {
        const json_t *c = json_array_get(cka_list, i);
        char text[10][24];
        cli_table_row(&t, cli_text(p, "stage"), fixed(cli_real(p, "membership_auc.unlearned"), text[0]),
                      fixed(cli_real(p, "membership_auc.original"), text[1]),
                      fixed(mean_at(p, "membership_auc", "retrained"), text[2]),
                      cli_percent(cli_real(p, "class_acc.unlearned"), text[3]),
                      cli_percent(cli_real(p, "class_acc.original"), text[4]),
                      cli_percent(mean_at(p, "class_acc", "retrained"), text[5]),
                      fixed(cli_real(c, "to_original"), text[6]), fixed(mean_at(c, "to_retrained", NULL), text[7]),
                      fixed(mean_at(c, "original_to_retrained", NULL), text[8]),
                      fixed(cli_real(c, "retrained_pair"), text[9]));
    }
    fputs("\nDepth: probes of forgotten against test samples (AUC), their classes, likeness of stages (CKA; "
          "o " LT_KIND_ORIGINAL ", u " LT_KIND_UNLEARNED ", r " LT_KIND_RETRAINED ")\n",
          out);
    cli_table_print(&t, out);
    cli_table_clear(&t);
    char a[24], b[24], c[24], d[24];
    fprintf(out,
            "relearning, area under forget accuracy: " LT_KIND_UNLEARNED " %s, " LT_KIND_ORIGINAL
            " %s, " LT_KIND_RETRAINED " %s; " LT_KIND_RETRAINED " pairs differ by %s",
            fixed(cli_real(relearn, "area.unlearned"), a), fixed(cli_real(relearn, "area.original"), b),
            fixed(mean_at(relearn, "area", "retrained"), c), fixed(cli_real(relearn, "retrained_pair"), d));
    fprintf(out, "%s%s\n", *cli_text(relearn, "statistic.verdict") ? "; " : "", cli_text(relearn, "statistic.verdict"));
}

// ---- AMUN's bound

static void print_bound(const json_t *d, FILE *out)
{
    char as[24], wrong[24];
    const json_t *oracle;
    size_t i;
    if (!json_is_object(d))
        return;
    fprintf(
        out,
        "\nAMUN's theorem (a diagnostic: its convexity does not hold for networks), %.0f samples\n"
        "distance to the adversarial partner: median %.3g, 95 %% below %.3g\n"
        "Lipschitz constant of the loss: at most %.3g from the norms of the layers, at least %.3g between partners\n",
        cli_real(d, "n"), cli_real(d, "delta.median"), cli_real(d, "delta.p95"), cli_real(d, "lipschitz.loss"),
        cli_real(d, "lipschitz.local_max"));
    if (json_array_size(json_object_get(d, "oracles")))
        fputs("distances between the models: o " LT_KIND_ORIGINAL ", u " LT_KIND_UNLEARNED ", r " LT_KIND_RETRAINED
              "\n",
              out);
    json_array_foreach(json_object_get(d, "oracles"), i, oracle)
    {
        fprintf(out, "%s: C %.3g, L delta - C %.3g (bound), %.3g (local); |o-r| %.4g, |u-r| %.4g, |u-o| %.4g\n",
                cli_text(oracle, "run"), cli_real(oracle, "c.mean"), cli_real(oracle, "l_delta_minus_c.bound_mean"),
                cli_real(oracle, "l_delta_minus_c.local_mean"), cli_real(oracle, "distance_l2.original_retrained"),
                cli_real(oracle, "distance_l2.unlearned_retrained"),
                cli_real(oracle, "distance_l2.unlearned_original"));
        fprintf(out, "    it predicts %s %% of the partners as adversarial, %s %% as anything but the true class\n",
                cli_percent(cli_real(oracle, "transfer.as_adv"), as),
                cli_percent(cli_real(oracle, "transfer.wrong"), wrong));
    }
}

// ---- metrics

static double oracle_mean(const json_t *r, const char *path)
{
    double sum = 0;
    size_t i;
    json_t *one, *list = json_object_get(r, "oracles");
    json_array_foreach(list, i, one) sum += cli_real(one, path);
    return json_array_size(list) ? sum / (double)json_array_size(list) : (double)NAN;
}

static void print_row(cli_table *t, const json_t *r, const char *name, const char *path)
{
    char text[3][24], key[80];
    double value = cli_real(r, path), mean = oracle_mean(r, path);
    snprintf(key, sizeof key, "verdict.%s", path);
    cli_table_row(t, name, cli_percent(value, text[0]), cli_percent(mean, text[1]),
                  isfinite(value - mean) ? cli_percent(fabs(value - mean), text[2]) : "-",
                  json_array_size(json_object_get(r, "oracles")) ? cli_text(r, key) : "");
}

// Every metric of the list that has a line, of the model and then of each attack that was run.
static void print_metrics(const json_t *r, const lt_mia *attack, cli_table *t)
{
    char path[LT_METRIC_PATH], title[LT_METRIC_TITLE];
    for (int i = 0; i < LT_N_METRICS; i++) {
        const lt_metric_id id = (lt_metric_id)i;
        const lt_metric *m = lt_metric_get(id);
        if (!(m->flags & LT_METRIC_TABLE) || (m->source == LT_METRIC_OF_ATTACK) != (attack != NULL))
            continue;
        char *name = cli_format("%s %%", lt_metric_title(id, attack, title));
        print_row(t, r, name, lt_metric_path(id, attack, path));
        free(name);
    }
}

void cli_lint_print(const json_t *lint, FILE *out)
{
    size_t i;
    const json_t *item;
    json_array_foreach((json_t *)lint, i, item)
        fprintf(out, "%s: %s\n", cli_text(item, "severity"), cli_text(item, "text"));
}

void cli_audit_print(const json_t *r, FILE *out)
{
    cli_table t = {.n_columns = 5, .left = {true, false, false, false, true}};
    cli_table_row(&t, "metric", LT_KIND_UNLEARNED, LT_KIND_RETRAINED, "difference",
                  json_array_size(json_object_get(r, "oracles")) ? "verdict" : "");
    print_metrics(r, NULL, &t);
    for (const lt_mia *const *m = lt_mia_list(); *m; m++)
        if (json_is_object(json_object_get(r, (*m)->name)))
            print_metrics(r, *m, &t);
    cli_table_print(&t, out);
    cli_table_clear(&t);
    if (isfinite(cli_real(r, "avg_gap")))
        fprintf(out, "average gap: %.2f points with MIS, %.2f with phi AUC; all metrics together: %s\n",
                100 * cli_real(r, "avg_gap"), 100 * cli_real(r, "avg_gap_auc"), cli_text(r, "verdict.overall"));
    print_bound(json_object_get(r, "diagnostics"), out);
    if (json_object_get(r, "depth"))
        print_representation(json_object_get(r, "depth"), out);
    cli_lint_print(json_object_get(r, "lint"), out);
}
