// audit_print.c - the tables of an audit: metrics against retraining, AMUN's bound, representations, lint.
#include "audit.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

// ---- representation audit

static const char *fixed(double v, char text[24])
{
    if (!isfinite(v))
        return "-";
    snprintf(text, 24, "%.3f", v);
    return text;
}

static void print_stages(const lt_representation_summary *s, FILE *out)
{
    enum { U = LT_KIND_OF_UNLEARNED, O = LT_KIND_OF_ORIGINAL, R = LT_KIND_OF_RETRAINED };
    cli_table t = {.n_columns = 11, .left = {true}, .drop = {0, 0, 3, 0, 2, 6, 5, 0, 0, 7, 4}};
    cli_table_row(&t, "stage", "AUC: " LT_KIND_UNLEARNED, LT_KIND_ORIGINAL, LT_KIND_RETRAINED,
                  "class %: " LT_KIND_UNLEARNED, LT_KIND_ORIGINAL, LT_KIND_RETRAINED, "CKA: u-o", "u-r", "o-r", "r-r");
    for (int i = 0; i < s->n; i++) {
        const lt_representation_row *r = &s->stage[i];
        char text[10][24];
        cli_table_row(&t, r->stage, fixed(r->membership_auc[U], text[0]), fixed(r->membership_auc[O], text[1]),
                      fixed(r->membership_auc[R], text[2]), cli_percent(r->class_acc[U], text[3]),
                      cli_percent(r->class_acc[O], text[4]), cli_percent(r->class_acc[R], text[5]),
                      fixed(r->cka_original, text[6]), fixed(r->cka_retrained, text[7]),
                      fixed(r->cka_original_retrained, text[8]), fixed(r->cka_retrained_pair, text[9]));
    }
    cli_table_print(&t, out);
    cli_table_clear(&t);
}

static void print_representation(const lt_representation_summary *s, FILE *out)
{
    char a[24], b[24], c[24], d[24];
    const double *area = s->relearn_area;
    fputs("\nRepresentation audit: probes of forgotten against test samples (AUC) and of their classes, similarity of "
          "stages (CKA; o " LT_KIND_ORIGINAL ", u " LT_KIND_UNLEARNED ", r " LT_KIND_RETRAINED ")\n",
          out);
    print_stages(s, out);
    fprintf(out,
            "relearning, area under forget accuracy: " LT_KIND_UNLEARNED " %s, " LT_KIND_ORIGINAL
            " %s, " LT_KIND_RETRAINED " %s; " LT_KIND_RETRAINED " pairs differ by %s",
            fixed(area[LT_KIND_OF_UNLEARNED], a), fixed(area[LT_KIND_OF_ORIGINAL], b),
            fixed(area[LT_KIND_OF_RETRAINED], c), fixed(s->relearn_pair, d));
    fprintf(out, "%s%s\n", *s->verdict ? "; " : "", s->verdict);
}

// ---- AMUN's bound

static void print_bound(const json_t *d, FILE *out)
{
    char as[24], wrong[24];
    const json_t *oracle;
    size_t i;
    if (!json_is_object(d))
        return;
    fprintf(out,
            "\nAMUN's bound (a diagnostic: it assumes a convex loss, which networks do not have), %.0f samples\n"
            "distance to the adversarial example: median %.3g, 95 %% below %.3g\n"
            "Lipschitz constant of the loss: at most %.3g from the norms of the layers, at least %.3g between samples "
            "and adversarial examples\n",
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
        fprintf(out,
                "    it predicts %s %% of the adversarial examples as their adversarial class, %s %% as any but the "
                "true class\n",
                cli_percent(cli_real(oracle, "transfer.as_adv"), as),
                cli_percent(cli_real(oracle, "transfer.wrong"), wrong));
    }
}

// ---- metrics

// Every metric of the list that has a line, of the model and then of each attack that was run.
static void print_metrics(const lt_audit_report *r, const lt_mia *attack, cli_table *t)
{
    char title[LT_METRIC_TITLE], text[3][24];
    for (int i = 0; i < LT_N_METRICS; i++) {
        const lt_metric *metric = lt_metric_get((lt_metric_id)i);
        if (!(metric->flags & LT_METRIC_TABLE) || (metric->source == LT_METRIC_OF_ATTACK) != (attack != NULL))
            continue;
        const lt_metric_result *m = lt_audit_metric(r, (lt_metric_id)i, attack);
        if (!m && (metric->flags & LT_METRIC_OPTIONAL)) // of whole classes that were forgotten
            continue;
        const bool has_verdict =
            m && r->in->n_retrained > 0 && (metric->flags & LT_METRIC_JUDGED) && isfinite(m->value);
        char *name = cli_format("%s %%", lt_metric_title((lt_metric_id)i, attack, title));
        cli_table_row(t, name, cli_percent(m ? m->value : (double)NAN, text[0]),
                      cli_percent(m ? m->retrained_mean : (double)NAN, text[1]),
                      cli_percent(m ? m->distance : (double)NAN, text[2]),
                      has_verdict ? lt_verdict_text(m->test.verdict) : "");
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

void cli_audit_print(const lt_audit_report *r, const json_t *result, FILE *out)
{
    cli_table t = {.n_columns = 5, .left = {true, false, false, false, true}, .drop = {[2] = 1}};
    lt_representation_summary stages;
    cli_table_row(&t, "metric", LT_KIND_UNLEARNED, LT_KIND_RETRAINED, "difference",
                  r->in->n_retrained > 0 ? "verdict" : "");
    print_metrics(r, NULL, &t);
    for (const lt_mia *const *m = lt_mia_list(); *m; m++)
        if (lt_audit_metric(r, LT_METRIC_ATTACK_FT_AUC, *m))
            print_metrics(r, *m, &t);
    cli_table_print(&t, out);
    cli_table_clear(&t);
    if (isfinite(r->summary.gap_mis))
        fprintf(out, "average gap: %.2f points with MIS, %.2f with phi AUC\nall metrics together: %s\n",
                100 * r->summary.gap_mis, 100 * r->summary.gap_auc, lt_verdict_text(r->overall));
    print_bound(json_object_get(result, "diagnostics"), out);
    if (lt_audit_representation(r, &stages) == LT_OK && stages.n > 0)
        print_representation(&stages, out);
    lt_representation_summary_clear(&stages);
    cli_lint_print(json_object_get(result, "lint"), out);
}
