// sweep_rows.c - one row per audited model, from the audits: figures, gaps, verdicts, cost.
#include "sweep_rows.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

// ---- metrics: column and place in the figures of an audit

static void add_metric(sweep_metrics *m, char *column, char *path, bool gap)
{
    const bool judged = !gap && !strstr(column, "_tpr_"); // rates at few false positives are too coarse
    m->metric[m->n++] = (sweep_metric){.column = column, .path = path, .judged = judged, .gap = gap};
}

static void add_attack_metrics(sweep_metrics *m, const char *name)
{
    static const char *const figure[] = {"ft_auc", "fr_auc", "rt_auc", "ft_tpr_at_1_fpr", "ft_tpr_at_0_1_fpr"};
    for (size_t i = 0; i < sizeof figure / sizeof *figure; i++)
        add_metric(m, cli_format("%s_%s", name, figure[i]), cli_format("%s.%s", name, figure[i]), false);
}

void sweep_metrics_init(sweep_metrics *m)
{
    static const char *const fixed[][2] = {{"ua", "ua"},
                                           {"ra", "ra"},
                                           {"ta", "ta"},
                                           {"mis", "svc_mia.confidence"},
                                           {"phi_ft_auc", "auc.phi.ft"},
                                           {"phi_fr_auc", "auc.phi.fr"},
                                           {"phi_rt_auc", "auc.phi.rt"},
                                           {"phi_ft_tpr_at_1_fpr", "auc.phi_tpr_at_1_fpr"},
                                           {"phi_ft_tpr_at_0_1_fpr", "auc.phi_tpr_at_0_1_fpr"}};
    enum { N_FIXED = sizeof fixed / sizeof *fixed, PER_ATTACK = 6 };
    int n_attacks = 0;
    while (lt_mia_list()[n_attacks])
        n_attacks++;
    *m = (sweep_metrics){.metric = cli_alloc(N_FIXED + 2 + PER_ATTACK * (size_t)n_attacks, sizeof *m->metric)};
    for (int i = 0; i < N_FIXED; i++)
        add_metric(m, cli_format("%s", fixed[i][0]), cli_format("%s", fixed[i][1]), false);
    for (int i = 0; i < n_attacks; i++)
        if (!(lt_mia_list()[i]->needs & LT_MIA_NEED_UNLEARNED)) // a study has no such models
            add_attack_metrics(m, lt_mia_list()[i]->name);
    add_metric(m, cli_format("avg_gap_mis"), cli_format("svc_mia.confidence"), true);
    add_metric(m, cli_format("avg_gap_auc"), cli_format("auc.phi.ft"), true);
    for (int i = 0; i < n_attacks; i++)
        if (!(lt_mia_list()[i]->needs & LT_MIA_NEED_UNLEARNED))
            add_metric(m, cli_format("avg_gap_%s", lt_mia_list()[i]->name),
                       cli_format("%s.ft_auc", lt_mia_list()[i]->name), true);
}

void sweep_metrics_clear(sweep_metrics *m)
{
    for (int i = 0; i < m->n; i++) {
        free(m->metric[i].column);
        free(m->metric[i].path);
    }
    free(m->metric);
}

// ---- gaps [AMUN 7.6]: every run against the mean of the oracles of its own audit

static double mean_of(const json_t *list, const json_t *without, const char *path)
{
    double sum = 0;
    int n = 0;
    size_t i;
    const json_t *one;
    json_array_foreach((json_t *)list, i, one)
    {
        if (one == without)
            continue;
        sum += cli_real(one, path);
        n++;
    }
    return n ? sum / n : (double)NAN;
}

double sweep_gap(const json_t *figures, const json_t *oracles, const char *mia)
{
    const char *const path[4] = {"ua", "ra", "ta", mia};
    double sum = 0;
    for (int i = 0; i < 4; i++)
        sum += fabs(cli_real(figures, path[i]) - mean_of(oracles, figures, path[i]));
    return sum / 4;
}

// ---- rows

bool sweep_is_of(const json_t *row, const char *role, const char *method, const char *access)
{
    return !strcmp(cli_text(row, "role"), role) && (!method || !strcmp(cli_text(row, "method"), method)) &&
           (!access || !strcmp(cli_text(row, "access"), access));
}

int sweep_cell_of(const sweep *s, const json_t *row)
{
    int b = 0, f = 0;
    while (b < s->n_bases && (json_int_t)s->base[b] != json_integer_value(json_object_get(row, "base")))
        b++;
    while (f < s->n_forget &&
           (strcmp(s->forget[f].forget->spec, cli_text(row, "forget")) != 0 ||
            (json_int_t)s->forget[f].forget->seed != json_integer_value(json_object_get(row, "forget_seed"))))
        f++;
    return b * s->n_forget + f;
}

static void put_figures(json_t *row, const sweep_metrics *metrics, const json_t *figures, const json_t *oracles)
{
    for (int i = 0; i < metrics->n; i++) {
        const sweep_metric *m = &metrics->metric[i];
        cli_put_real(row, m->column, m->gap ? sweep_gap(figures, oracles, m->path) : cli_real(figures, m->path));
    }
}

static char *lint_text(const json_t *figures)
{
    char *text = cli_format("%s", "");
    size_t i;
    const json_t *item;
    json_array_foreach(json_object_get(figures, "lint"), i, item)
    {
        char *longer = cli_format("%s%s%s", text, *text ? " " : "", cli_text(item, "id"));
        free(text);
        text = longer;
    }
    return text;
}

static void put_judgement(json_t *row, const json_t *figures)
{
    char *lint = lint_text(figures);
    cli_put(row, "verdict", json_string(cli_text(figures, "verdict.overall")));
    cli_put(row, "verdict_ua", json_string(cli_text(figures, "verdict.ua")));
    cli_put(row, "verdict_ra", json_string(cli_text(figures, "verdict.ra")));
    cli_put(row, "verdict_ta", json_string(cli_text(figures, "verdict.ta")));
    cli_put(row, "verdict_mis", json_string(cli_text(figures, "verdict.svc_mia.confidence")));
    cli_put_text(row, "lint", lint);
    free(lint);
}

static void put_count(json_t *row, const char *key, const json_t *result, const char *path)
{
    const double n = cli_real(result, path);
    cli_put(row, key, isfinite(n) ? json_integer((json_int_t)n) : json_null());
}

static void put_cost(json_t *row, const json_t *result)
{
    static const char *const stage[] = {"search", "mask", "update"};
    for (int i = 0; i < 3; i++) {
        char *forward[2] = {cli_format("%s_forward", stage[i]), cli_format("passes.%s.forward", stage[i])};
        char *backward[2] = {cli_format("%s_backward", stage[i]), cli_format("passes.%s.backward", stage[i])};
        put_count(row, forward[0], result, forward[1]);
        put_count(row, backward[0], result, backward[1]);
        for (int k = 0; k < 2; k++) {
            free(forward[k]);
            free(backward[k]);
        }
    }
    for (int i = 0; i < 4; i++) {
        char *key = cli_format("%s_s", i < 3 ? stage[i] : "eval"), *path = cli_format("time.%s", key);
        cli_put_real(row, key, cli_real(result, path));
        free(key);
        free(path);
    }
}

static json_t *load_result(const sweep *s, const char *id)
{
    char *path = cli_format("%s/%s/result.json", s->out, id);
    json_t *result = NULL;
    if (cli_json_load(path, &result) != LT_OK)
        lt_error_clear();
    free(path);
    return result;
}

char *sweep_options_text(const lt_study_options *a, const lt_study_options *b)
{
    char *text = cli_format("%s", "");
    for (int k = 0; k < 2; k++)
        for (int i = 0; (k ? b : a) && i < (k ? b : a)->n; i++) {
            const lt_study_option *o = &(k ? b : a)->option[i];
            char *longer = cli_format("%s%s%s=%s", text, *text ? " " : "", o->key, o->value);
            free(text);
            text = longer;
        }
    return text;
}

static void put_method(const sweep *s, json_t *row, const sweep_part *p)
{
    if (p->kind != SWEEP_RUN) {
        cli_put(row, "role", json_string(p->kind == SWEEP_BASE ? "original" : "oracle"));
        cli_put(row, "method", json_string(p->kind == SWEEP_BASE ? "original" : "retrain"));
        return;
    }
    const lt_study_method *m = &s->study->method[p->method];
    const int point = s->chosen[p->method * LT_N_ACCESS + p->access];
    char *options = sweep_options_text(&m->options, point >= 0 ? &m->point[point] : NULL);
    cli_put(row, "role", json_string("method"));
    cli_put(row, "method", json_string(m->name));
    cli_put(row, "access", json_string(lt_access_text(p->access)));
    cli_put(row, "repetition", json_integer((json_int_t)p->seed));
    cli_put_text(row, "options", options);
    free(options);
}

static void add_row(const sweep *s, const sweep_metrics *metrics, const sweep_part *audit, const sweep_part *p,
                    const json_t *figures, const json_t *oracles, json_t *rows)
{
    json_t *row = json_object(), *result = load_result(s, p->id);
    const lt_study_forget *f = s->forget[audit->forget].forget;
    cli_put(row, "base", json_integer((json_int_t)s->base[audit->base]));
    cli_put_text(row, "forget", f->spec);
    cli_put(row, "forget_seed", json_integer((json_int_t)f->seed));
    put_method(s, row, p);
    if (p->kind == SWEEP_ORACLE)
        cli_put(row, "repetition", json_integer((json_int_t)p->seed));
    cli_put(row, "n_oracles", json_integer((json_int_t)json_array_size(oracles) - (p->kind == SWEEP_ORACLE)));
    put_figures(row, metrics, figures, oracles);
    if (p->kind != SWEEP_ORACLE) // an audit does not judge its oracles
        put_judgement(row, figures);
    put_cost(row, result);
    cli_put_text(row, "run", p->id);
    json_array_append_new(rows, row);
    json_decref(result);
}

static void add_listed(const sweep *s, const sweep_metrics *metrics, const sweep_part *audit, sweep_kind kind,
                       const json_t *list, const json_t *oracles, json_t *rows)
{
    size_t at = 0;
    for (int i = 0; i < audit->n_deps; i++) {
        const sweep_part *p = &s->part[audit->dep[i].part];
        if (p->kind == kind && p->state == SWEEP_DONE && at < json_array_size(list))
            add_row(s, metrics, audit, p, json_array_get(list, at++), oracles, rows);
    }
}

lt_status sweep_rows(const sweep *s, const sweep_metrics *metrics, json_t *rows, json_t *audits)
{
    for (int i = 0; i < s->n_parts; i++) {
        const sweep_part *audit = &s->part[i];
        if (audit->kind != SWEEP_AUDIT || audit->state != SWEEP_DONE)
            continue;
        char *path = cli_format("%s/%s.json", s->out, audit->id);
        json_t *figures = NULL;
        lt_status status = cli_json_load(path, &figures);
        free(path);
        LT_TRY(status);
        const json_t *oracles = json_object_get(figures, "oracles");
        add_row(s, metrics, audit, &s->part[sweep_find(s, SWEEP_BASE, audit->base, -1)], figures, oracles, rows);
        add_listed(s, metrics, audit, SWEEP_ORACLE, oracles, oracles, rows);
        add_listed(s, metrics, audit, SWEEP_RUN, json_object_get(figures, "also"), oracles, rows);
        json_array_append_new(audits, figures);
    }
    return LT_OK;
}
