// text.c - the numbers of the page as Markdown and CSV: the comparison alone, or all of them.
#include "report/report_impl.h"
#include <math.h>
#include <string.h>

static void markdown_text(lti_buf *b, const char *text)
{
    for (const char *s = text ? text : ""; *s; s++) {
        if (strchr("|\\`*_<>[]", *s))
            lti_buf_add(b, "\\", 1);
        lti_buf_add(b, *s == '\n' ? " " : s, 1);
    }
}

static void markdown_number(lti_buf *b, double value, int decimals)
{
    if (isfinite(value))
        lti_buf_printf(b, " %.*f |", decimals, value);
    else
        lti_buf_printf(b, " - |");
}

char *lt_report_markdown(const lt_report_spec *spec)
{
    lti_buf b = {0};
    lti_buf_printf(&b, "| method | uses | forget acc. %% | retain acc. %% | test acc. %% | MIS %% | phi AUC %% | gap "
                       "(MIS) | gap (AUC) | seconds |\n"
                       "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|\n");
    for (int i = 0; i < spec->n_rows; i++) {
        const lt_report_row *r = &spec->rows[i];
        lti_buf_printf(&b, "| ");
        markdown_text(&b, r->name);
        lti_buf_printf(&b, " | ");
        markdown_text(&b, r->setting);
        lti_buf_printf(&b, " |");
        const double percent[5] = {r->audit.ua, r->audit.ra, r->audit.ta, r->audit.svc.confidence, r->audit.phi.ft};
        for (int k = 0; k < 5; k++)
            markdown_number(&b, 100 * percent[k], 1);
        markdown_number(&b, 100 * r->gap_mis, 2);
        markdown_number(&b, 100 * r->gap_auc, 2);
        markdown_number(&b, r->seconds, 1);
        lti_buf_printf(&b, "\n");
    }
    return lti_buf_take(&b);
}

static void csv_text(lti_buf *b, const char *text)
{
    lti_buf_add(b, "\"", 1);
    for (const char *s = text ? text : ""; *s; s++) {
        if (*s == '"')
            lti_buf_add(b, "\"", 1);
        lti_buf_add(b, s, 1);
    }
    lti_buf_add(b, "\"", 1);
}

char *lt_report_csv(const lt_report_spec *spec)
{
    lti_buf b = {0};
    lti_buf_printf(&b, "method,uses,forget_acc,retain_acc,test_acc,mis,phi_auc,gap_mis,gap_auc,seconds,run\n");
    for (int i = 0; i < spec->n_rows; i++) {
        const lt_report_row *r = &spec->rows[i];
        csv_text(&b, r->name);
        lti_buf_add(&b, ",", 1);
        csv_text(&b, r->setting);
        const double value[8] = {r->audit.ua,     r->audit.ra, r->audit.ta, r->audit.svc.confidence,
                                 r->audit.phi.ft, r->gap_mis,  r->gap_auc,  r->seconds};
        for (int k = 0; k < 8; k++) {
            if (isfinite(value[k]))
                lti_buf_printf(&b, ",%.17g", value[k]);
            else
                lti_buf_add(&b, ",", 1);
        }
        lti_buf_add(&b, ",", 1);
        csv_text(&b, r->run_dir);
        lti_buf_add(&b, "\n", 1);
    }
    return lti_buf_take(&b);
}

// ---- everything, as lines of one number each

struct line {
    const char *section;
    const lt_report_row *row; // NULL = of no one model
    const char *name, *quantity, *text;
    double value;
    lt_interval interval;
};
typedef void (*line_fn)(lti_buf *b, const struct line *line, void *state);
typedef struct writer {
    const lti_doc *d;
    lti_buf *b;
    line_fn put;
    void *state;
} writer;

static const lt_interval none = {NAN, NAN};

static void emit(const writer *w, const char *section, int row, const char *quantity, double value)
{
    const struct line line = {section, &w->d->spec->rows[row], NULL, quantity, NULL, value, none};
    w->put(w->b, &line, w->state);
}

static void put_comparison(const writer *w)
{
    static const char *const name[] = {"forget_acc", "retain_acc", "test_acc", "mis",
                                       "phi_auc",    "gap_mis",    "gap_auc",  "seconds"};
    for (int i = 0; i < w->d->spec->n_rows; i++) {
        const lt_report_row *r = &w->d->spec->rows[i];
        const double value[8] = {r->audit.ua,     r->audit.ra, r->audit.ta, r->audit.svc.confidence,
                                 r->audit.phi.ft, r->gap_mis,  r->gap_auc,  r->seconds};
        for (int k = 0; k < 8; k++)
            emit(w, "comparison", i, name[k], value[k]);
        if (r->verdict)
            w->put(w->b, &(struct line){"comparison", r, NULL, "verdict", r->verdict, NAN, none}, w->state);
    }
}

static void put_figures(const writer *w)
{
    const lt_report_spec *s = w->d->spec;
    for (int m = 0; m < s->n_metrics; m++) {
        const lt_report_metric *of = &s->metrics[m];
        w->put(w->b, &(struct line){"null_band", NULL, "oracles", of->key, NULL, of->mean, of->null_band}, w->state);
        for (int k = 0; k < of->n_oracle_differences; k++)
            w->put(w->b,
                   &(struct line){"oracle_difference", NULL, "oracles", of->key, NULL, of->oracle_difference[k], none},
                   w->state);
    }
    for (int i = 0; i < s->n_rows; i++)
        for (int m = 0; m < s->n_metrics && s->rows[i].value; m++) {
            const lt_report_value *v = &s->rows[i].value[m];
            w->put(w->b,
                   &(struct line){"figure", &s->rows[i], NULL, s->metrics[m].key, v->verdict, v->value, v->interval},
                   w->state);
        }
}

static void put_gaps(const writer *w)
{
    const lt_report_spec *s = w->d->spec;
    for (int g = 0; g < w->d->n_groups; g++)
        for (int m = 0; m < s->n_metrics && w->d->group[g].role != LT_ROW_ORACLE; m++) {
            lti_gap gap = lti_group_gap(w->d, &w->d->group[g], m);
            if (gap.n > 0)
                w->put(
                    w->b,
                    &(struct line){"gap", NULL, w->d->group[g].name, s->metrics[m].key, NULL, gap.mean, gap.interval},
                    w->state);
        }
}

static bool put_classes(const writer *w)
{
    static const struct {
        const char *name;
        int group;
    } of[2] = {{"class_forget_acc", LT_GROUP_FORGET}, {"class_test_acc", LT_GROUP_TEST}};
    const lt_report_spec *s = w->d->spec;
    for (int i = 0; i < s->n_rows; i++) {
        const lt_signals *signals = s->rows[i].signals;
        if (!signals)
            continue;
        double *acc = lti_calloc((size_t)signals->k, sizeof *acc);
        int64_t *n = lti_calloc((size_t)signals->k, sizeof *n);
        for (int g = 0; acc && n && g < 2; g++) {
            lti_class_accuracies(signals, of[g].group, acc, n);
            for (int c = 0; c < signals->k; c++) {
                char number[24];
                lti_format(number, sizeof number, "%d", c);
                if (n[c] > 0)
                    emit(w, of[g].name, i, s->class_names ? s->class_names[c] : number, acc[c]);
            }
        }
        bool failed = !acc || !n;
        lti_free(acc);
        lti_free(n);
        if (failed)
            return false;
    }
    return true;
}

static void put_costs(const writer *w)
{
    static const char *const phase[LT_N_COSTS] = {"search", "mask", "update"};
    char name[40];
    for (int i = 0; i < w->d->spec->n_rows; i++) {
        const lt_report_cost *c = w->d->spec->rows[i].cost;
        for (int k = 0; c && k < LT_N_COSTS; k++) {
            lti_format(name, sizeof name, "%s_s", phase[k]);
            emit(w, "cost", i, name, c->seconds[k]);
            lti_format(name, sizeof name, "%s_forward", phase[k]);
            emit(w, "cost", i, name, c->forward[k]);
            lti_format(name, sizeof name, "%s_backward", phase[k]);
            emit(w, "cost", i, name, c->backward[k]);
        }
        if (!c)
            continue;
        lti_deletion total = lti_deletion_cost(w->d->spec, c);
        emit(w, "cost", i, "eval_s", c->eval_s);
        emit(w, "cost", i, "deletion_s", total.seconds);
        emit(w, "cost", i, "of_retraining_time", total.of_time);
        emit(w, "cost", i, "of_retraining_passes", total.of_passes);
    }
}

static void put_by_model(const writer *w, int row, const char *section, const char *stage, lt_report_by_model t)
{
    char name[160];
    lti_format(name, sizeof name, "%s " LT_KIND_ORIGINAL, stage);
    emit(w, section, row, name, t.original);
    lti_format(name, sizeof name, "%s " LT_KIND_UNLEARNED, stage);
    emit(w, section, row, name, t.unlearned);
    lti_format(name, sizeof name, "%s " LT_KIND_RETRAINED, stage);
    for (int k = 0; k < t.n_retrained; k++)
        emit(w, section, row, name, t.retrained[k]);
}

static void put_relearn(const writer *w, const lt_report_representation *d, const char *section,
                        const lt_report_relearn *r)
{
    char name[80];
    for (int i = 0; i < d->n_steps; i++) {
        lti_format(name, sizeof name, "step %g", d->step[i]);
        put_by_model(w, d->row, section, name,
                     (lt_report_by_model){.original = r->original ? r->original[i] : (double)NAN,
                                          .unlearned = r->unlearned ? r->unlearned[i] : (double)NAN});
        lti_format(name, sizeof name, "step %g " LT_KIND_RETRAINED, d->step[i]);
        for (int k = 0; k < r->n_retrained; k++)
            emit(w, section, d->row, name, r->retrained[k][i]);
    }
}

static void put_depth(const writer *w)
{
    char name[160];
    for (int i = 0; i < w->d->spec->n_depth; i++) {
        const lt_report_representation *d = &w->d->spec->depth[i];
        for (int k = 0; k < d->n_probes; k++) {
            put_by_model(w, d->row, "probe_membership_auc", d->probe[k].stage, d->probe[k].membership_auc);
            put_by_model(w, d->row, "probe_class_acc", d->probe[k].stage, d->probe[k].class_acc);
        }
        for (int k = 0; k < d->n_cka; k++) {
            lti_format(name, sizeof name, "%s to " LT_KIND_ORIGINAL, d->cka[k].stage);
            emit(w, "cka", d->row, name, d->cka[k].to_original);
            lti_format(name, sizeof name, "%s to " LT_KIND_RETRAINED, d->cka[k].stage);
            for (int r = 0; r < d->cka[k].n_retrained; r++)
                emit(w, "cka", d->row, name, d->cka[k].to_retrained[r]);
            lti_format(name, sizeof name, "%s retrained pair", d->cka[k].stage);
            emit(w, "cka", d->row, name, d->cka[k].retrained_pair);
        }
        put_relearn(w, d, "relearn_forget_acc", &d->forget_acc);
        put_relearn(w, d, "relearn_test_acc", &d->test_acc);
    }
}

static void put_streams(const writer *w)
{
    char name[48];
    for (int i = 0; i < w->d->spec->n_streams; i++) {
        const lt_report_stream *t = &w->d->spec->streams[i];
        for (int k = 0; k < t->n; k++) {
            lti_format(name, sizeof name, "%d", k + 1);
            w->put(w->b, &(struct line){"request_fr_minus_ft_auc", NULL, t->name, name, NULL, t->current[k], none},
                   w->state);
            w->put(
                w->b,
                &(struct line){"request_cumulative_fr_minus_ft_auc", NULL, t->name, name, NULL, t->cumulative[k], none},
                w->state);
        }
    }
}

static void put_lint(const writer *w)
{
    for (int i = 0; i < w->d->spec->n_lint; i++) {
        const lt_report_lint *l = &w->d->spec->lint[i];
        char *text = lti_asprintf("%s: %s", lt_report_severity_text(l->severity), l->text);
        w->put(w->b,
               &(struct line){"lint", l->row >= 0 ? &w->d->spec->rows[l->row] : NULL, NULL, l->id, text, NAN, none},
               w->state);
        w->b->failed = w->b->failed || !text;
        lti_free(text);
    }
}

static char *write_all(const lt_report_spec *spec, const char *head, line_fn put, void *state)
{
    lti_doc d;
    lti_buf b = {0};
    if (lti_doc_init(&d, spec) != LT_OK)
        return NULL;
    const writer w = {&d, &b, put, state};
    lti_buf_puts(&b, head);
    put_comparison(&w);
    put_figures(&w);
    put_gaps(&w);
    b.failed = !put_classes(&w) || b.failed;
    put_costs(&w);
    put_depth(&w);
    put_streams(&w);
    put_lint(&w);
    lti_doc_clear(&d);
    return lti_buf_take(&b);
}

static void csv_number(lti_buf *b, double v)
{
    if (isfinite(v))
        lti_buf_printf(b, ",%.17g", v);
    else
        lti_buf_add(b, ",", 1);
}

static void csv_line(lti_buf *b, const struct line *l, void *state)
{
    (void)state;
    lti_buf_puts(b, l->section);
    const char *const text[5] = {l->row ? l->row->name : l->name, l->row ? l->row->setting : NULL,
                                 l->row ? l->row->seed : NULL, l->row ? l->row->run_dir : NULL, l->quantity};
    for (int i = 0; i < 5; i++) {
        lti_buf_add(b, ",", 1);
        csv_text(b, text[i]);
    }
    csv_number(b, l->value);
    csv_number(b, l->interval.low);
    csv_number(b, l->interval.high);
    lti_buf_add(b, ",", 1);
    csv_text(b, l->text);
    lti_buf_add(b, "\n", 1);
}

char *lt_report_all_csv(const lt_report_spec *spec)
{
    return write_all(spec, "section,model,setting,seed,run,quantity,value,low,high,text\n", csv_line, NULL);
}

static void markdown_value(lti_buf *b, double v)
{
    if (isfinite(v))
        lti_buf_printf(b, " %.6g |", v);
    else
        lti_buf_printf(b, " - |");
}

static void markdown_line(lti_buf *b, const struct line *l, void *state)
{
    const char **section = state;
    if (!*section || strcmp(*section, l->section) != 0) {
        lti_buf_printf(b,
                       "\n## %s\n\n| model | uses | seed | quantity | value | low | high | text |\n"
                       "|---|---|---|---|--:|--:|--:|---|\n",
                       l->section);
        *section = l->section;
    }
    lti_buf_printf(b, "| ");
    markdown_text(b, l->row ? l->row->name : l->name);
    lti_buf_printf(b, " | ");
    markdown_text(b, l->row ? l->row->setting : NULL);
    lti_buf_printf(b, " | ");
    markdown_text(b, l->row ? l->row->seed : NULL);
    lti_buf_printf(b, " | ");
    markdown_text(b, l->quantity);
    lti_buf_printf(b, " |");
    markdown_value(b, l->value);
    markdown_value(b, l->interval.low);
    markdown_value(b, l->interval.high);
    lti_buf_printf(b, " ");
    markdown_text(b, l->text);
    lti_buf_printf(b, " |\n");
}

char *lt_report_all_markdown(const lt_report_spec *spec)
{
    const char *section = NULL;
    lti_buf head = {0};
    lti_buf_printf(&head, "# ");
    markdown_text(&head, spec->title);
    lti_buf_printf(&head, "\n\nFractions and seconds; intervals of 95 %%.\n");
    char *text = head.failed ? NULL : write_all(spec, head.data, markdown_line, &section);
    lti_buf_clear(&head);
    return text;
}
