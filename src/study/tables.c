// tables.c - results.csv, tuning.csv (RFC 4180 quoting; empty for what is not known) and summary.md.
#include "study/runner_impl.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

// ---- fields of CSV: text, fractions with nine digits, whole numbers

static void put_comma(lti_buf *b)
{
    if (b->n && b->data && b->data[b->n - 1] != '\n')
        lti_buf_puts(b, ",");
}

static void put_text(lti_buf *b, const char *text)
{
    put_comma(b);
    if (!text)
        return;
    if (!text[strcspn(text, ",\"\r\n")]) {
        lti_buf_puts(b, text);
        return;
    }
    lti_buf_puts(b, "\"");
    for (; *text; text++) {
        lti_buf_puts(b, *text == '"' ? "\"" : "");
        lti_buf_add(b, text, 1);
    }
    lti_buf_puts(b, "\"");
}

static void put_real(lti_buf *b, double value)
{
    json_t *number = isfinite(value) ? json_real(value) : NULL;
    char *text = number ? json_dumps(number, JSON_ENCODE_ANY | JSON_REAL_PRECISION(9)) : NULL;
    put_comma(b);
    lti_buf_puts(b, text ? text : "");
    free(text);
    json_decref(number);
}

static void put_count(lti_buf *b, double value)
{
    put_comma(b);
    if (isfinite(value))
        lti_buf_printf(b, "%lld", (long long)value);
}

static void put_seed(lti_buf *b, uint64_t value)
{
    put_comma(b);
    lti_buf_printf(b, "%llu", (unsigned long long)value);
}

static void put_bool(lti_buf *b, bool value)
{
    put_text(b, value ? "true" : "false");
}

// ---- results.csv

static void put_head(lti_buf *b, const lt_study_result *x)
{
    lti_buf_puts(b, "base,forget,forget_seed,repetition,role,method,access,options,n_oracles");
    for (int i = 0; i < x->n_metrics; i++)
        put_text(b, x->metric[i].column);
    lti_buf_puts(b, ",verdict,verdict_ua,verdict_ra,verdict_ta,verdict_mis,lint,search_forward,search_backward,"
                    "mask_forward,mask_backward,update_forward,update_backward,run,search_s,mask_s,update_s,eval_s\n");
}

static void put_row(lti_buf *b, const lt_study_result *x, const lt_study_row *row)
{
    put_seed(b, row->base);
    put_text(b, row->forget);
    put_seed(b, row->forget_seed);
    if (row->role == LT_STUDY_ORIGINAL)
        put_text(b, NULL);
    else
        put_seed(b, row->repetition);
    put_text(b, lt_study_role_text(row->role));
    put_text(b, row->method);
    put_text(b, row->access);
    put_text(b, row->options);
    put_count(b, row->n_oracles);
    for (int i = 0; i < x->n_metrics; i++)
        put_real(b, row->value[i]);
    put_text(b, row->verdict);
    put_text(b, row->verdict_ua);
    put_text(b, row->verdict_ra);
    put_text(b, row->verdict_ta);
    put_text(b, row->verdict_mis);
    put_text(b, row->lint);
    for (int i = 0; i < LT_STUDY_EVAL; i++) {
        put_count(b, row->forward[i]);
        put_count(b, row->backward[i]);
    }
    put_text(b, row->run);
    for (int i = 0; i < LT_STUDY_N_COSTS; i++)
        put_real(b, row->seconds[i]);
    lti_buf_puts(b, "\n");
}

char *lti_study_rows_csv(const lt_study_result *x)
{
    lti_buf b = {0};
    put_head(&b, x);
    for (int i = 0; i < x->n_rows; i++)
        put_row(&b, x, &x->row[i]);
    return lti_buf_take(&b);
}

// ---- tuning.csv

static void put_trial(lti_buf *b, const lt_study_result *x, const lt_study_trial *t)
{
    const double metric[] = {t->ua, t->ra, t->ta, t->mis, t->phi_ft_auc, t->gap_mis, t->gap_auc};
    put_text(b, t->method);
    put_text(b, t->access);
    put_count(b, t->point);
    put_text(b, t->is_random ? "random" : "grid");
    put_text(b, t->options);
    put_text(b, x->objective);
    put_real(b, t->value);
    put_bool(b, x->uses_oracle);
    put_bool(b, t->is_chosen);
    for (size_t i = 0; i < sizeof metric / sizeof *metric; i++)
        put_real(b, metric[i]);
    put_count(b, t->n_forward);
    put_count(b, t->n_backward);
    put_text(b, lt_study_state_text(t->state));
    put_text(b, t->error);
    put_text(b, t->run);
    put_real(b, t->update_s);
    lti_buf_puts(b, "\n");
}

char *lti_study_trials_csv(const lt_study_result *x)
{
    lti_buf b = {0};
    lti_buf_puts(&b, "method,access,point,source,options,objective,value,used_oracle,chosen,ua,ra,ta,mis,phi_ft_auc,"
                     "avg_gap_mis,avg_gap_auc,n_forward,n_backward,state,error,run,update_s\n");
    for (int i = 0; i < x->n_trials; i++)
        put_trial(&b, x, &x->trial[i]);
    return lti_buf_take(&b);
}

// ---- summary.md

static const char *const column[][2] = {{"UA", "ua"},
                                        {"RA", "ra"},
                                        {"TA", "ta"},
                                        {"MIS", "mis"},
                                        {"phi FT AUC", "phi_ft_auc"},
                                        {"RMIA FT AUC", "rmia_ft_auc"},
                                        {"gap (MIS)", "avg_gap_mis"},
                                        {"gap (phi)", "avg_gap_auc"},
                                        {"gap (RMIA)", "avg_gap_rmia"}};
enum { N_COLUMNS = sizeof column / sizeof *column };

static void print_cell(lti_buf *b, const lt_study_value *v)
{
    if (!v || !v->n)
        lti_buf_puts(b, " - |");
    else if (!isfinite(v->sd))
        lti_buf_printf(b, " %.2f |", 100 * v->mean);
    else if (!isfinite(v->low))
        lti_buf_printf(b, " %.2f +- %.2f |", 100 * v->mean, 100 * v->sd);
    else
        lti_buf_printf(b, " %.2f +- %.2f [%.2f, %.2f] |", 100 * v->mean, 100 * v->sd, 100 * v->low, 100 * v->high);
}

static void print_table(lti_buf *b, const lt_study_result *x)
{
    lti_buf_puts(b, "| method | access | runs |");
    for (int c = 0; c < N_COLUMNS; c++)
        lti_buf_printf(b, " %s |", column[c][0]);
    lti_buf_puts(b, " verdict |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|\n");
    for (int i = 0; i < x->n_summaries; i++) {
        const lt_study_summary *s = &x->summary[i];
        lti_buf_printf(b, "| %s | %s | %d |", s->method, s->access ? s->access : "", s->n_runs);
        for (int c = 0; c < N_COLUMNS; c++) {
            const int m = lti_study_metric_index(x, column[c][1]);
            print_cell(b, m < 0 ? NULL : &s->value[m]);
        }
        lti_buf_printf(b, " %s |\n", s->verdict ? s->verdict : "");
    }
}

// Class metrics; the rank is by the gap of class-MIA among methods that pass the gate. [class-audit 4]
static void print_classes(lti_buf *b, const lt_study_result *x)
{
    static const char *const of[][2] = {{"ACC_f", "acc_f"},          {"ACC_r", "acc_r"},
                                        {"class-MIA", "class_mia"},  {"gap (class-MIA)", "class_mia_gap"},
                                        {"TV", "class_tv"},          {"TV of means", "class_tv_mean"},
                                        {"SVC-MIA", "class_svc_mia"}};
    enum { N_OF = sizeof of / sizeof *of };
    const int ranked = lti_study_metric_index(x, "class_mia_gap");
    if (ranked < 0)
        return;
    lti_buf_puts(b,
                 "\nForgotten classes. The rank is by the gap of class-MIA, among methods of an access setting whose "
                 "ACC_f is at most one point above retraining.\n\n| method | access |");
    for (int c = 0; c < N_OF; c++)
        lti_buf_printf(b, " %s |", of[c][0]);
    lti_buf_puts(b, " rank |\n|---|---|---|---|---|---|---|---|---|---|\n");
    for (int i = 0; i < x->n_summaries; i++) {
        const lt_study_summary *s = &x->summary[i];
        lti_buf_printf(b, "| %s | %s |", s->method, s->access ? s->access : "");
        for (int c = 0; c < N_OF; c++)
            print_cell(b, &s->value[lti_study_metric_index(x, of[c][1])]);
        if (s->rank[ranked])
            lti_buf_printf(b, " %d |\n", s->rank[ranked]);
        else
            lti_buf_puts(b, " - |\n");
    }
}

static void print_bands(lti_buf *b, const lt_study_result *x)
{
    lti_buf_puts(b, "\nRetraining against retraining, in points: deviation, and half-width of the band of a further "
                    "retrained model.\n\n");
    for (int c = 0; c < N_COLUMNS; c++) {
        const int m = lti_study_metric_index(x, column[c][1]);
        if (m < 0)
            continue;
        const lt_study_band *band = &x->band[m];
        if (band->is_known)
            lti_buf_printf(b, "- %s: %.2f, %.2f\n", column[c][0], 100 * band->sd, 100 * band->half_width);
        else if (band->gap.n)
            lti_buf_printf(b, "- %s of an oracle to the others: %.2f\n", column[c][0], 100 * band->gap.mean);
    }
}

char *lti_study_markdown(const lt_study_result *x)
{
    lti_buf b = {0};
    lti_buf_printf(&b,
                   "# %s\n\n%s, %s. Percent; mean +- standard deviation over runs [95 %% interval of the mean].\n\n",
                   x->name && *x->name ? x->name : "Study", x->data, x->model);
    print_table(&b, x);
    print_classes(&b, x);
    print_bands(&b, x);
    lti_buf_puts(&b, "\nSettings:\n\n");
    for (int i = 0; i < x->n_summaries; i++)
        if (x->summary[i].options && *x->summary[i].options)
            lti_buf_printf(&b, "- %s, %s: %s\n", x->summary[i].method, x->summary[i].access, x->summary[i].options);
    lti_buf_puts(&b, "\nNotes:\n\n");
    for (int i = 0; i < x->lint.n; i++)
        lti_buf_printf(&b, "- %s\n", x->lint.item[i].text);
    for (int i = 0; i < x->n_failures; i++)
        lti_buf_printf(&b, "- %s %s: %s\n", x->failure[i].id, lt_study_state_text(x->failure[i].state),
                       x->failure[i].error ? x->failure[i].error : "");
    return lti_buf_take(&b);
}
