// sweep_choose.c - what a search is judged by, and the choice.
//
// gap-mis, gap-auc, gap-ATTACK: the average gap [AMUN 7.6] to the oracles of the tuning forget set. It uses models
// that nobody has who needs unlearning, so a table made with it says so.
// no-oracle: |FT AUC of phi - 1/2| + loss of test accuracy + loss of retain accuracy against the original model. An
// attack that cannot tell forgotten from test samples is what unlearning is for, and the original model is at hand;
// accuracies above the original's do not count. Ours: no paper is followed.
#include "sweep.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static double loss_of(const json_t *base, const json_t *point, const char *key)
{
    const double loss = cli_real(base, key) - cli_real(point, key);
    return loss < 0 ? 0 : loss; // NaN stays
}

double sweep_objective(const sweep *s, const json_t *base, const json_t *point)
{
    const char *objective = s->study->tuning.objective;
    if (!strcmp(objective, "no-oracle"))
        return fabs(cli_real(point, "auc.phi.ft") - 0.5) + loss_of(base, point, "ta") + loss_of(base, point, "ra");
    if (!strcmp(objective, "gap-mis"))
        return cli_real(point, "avg_gap");
    if (!strcmp(objective, "gap-auc"))
        return cli_real(point, "avg_gap_auc");
    char *path = cli_format("%s.avg_gap", objective + 4); // gap-ATTACK
    double value = cli_real(point, path);
    free(path);
    return value;
}

static char *options_text(const lt_study_options *options)
{
    char *text = cli_format("%s", "");
    for (int i = 0; i < options->n; i++) {
        char *longer = cli_format("%s%s%s=%s", text, i ? " " : "", options->option[i].key, options->option[i].value);
        free(text);
        text = longer;
    }
    return text;
}

static json_t *load_result(const sweep *s, const sweep_part *p)
{
    char *path = cli_format("%s/%s/result.json", s->out, p->id);
    json_t *result = NULL;
    if (cli_json_load(path, &result) != LT_OK)
        lt_error_clear();
    free(path);
    return result;
}

// Passes of search, mask and update together; null for a run that was not finished.
static json_t *count_json(const json_t *result, const char *direction)
{
    static const char *const stage[] = {"search", "mask", "update"};
    double sum = 0;
    for (int i = 0; i < 3; i++) {
        char *path = cli_format("passes.%s.%s", stage[i], direction);
        sum += cli_real(result, path);
        free(path);
    }
    return isfinite(sum) ? json_integer((json_int_t)sum) : json_null();
}

static json_t *row_json(const sweep *s, const sweep_part *p, const json_t *figures, double value)
{
    static const char *const copied[][2] = {{"ua", "ua"},
                                            {"ra", "ra"},
                                            {"ta", "ta"},
                                            {"mis", "svc_mia.confidence"},
                                            {"phi_ft_auc", "auc.phi.ft"},
                                            {"avg_gap_mis", "avg_gap"},
                                            {"avg_gap_auc", "avg_gap_auc"}};
    const lt_study_method *m = &s->study->method[p->method];
    json_t *row = json_object(), *result = load_result(s, p);
    char *options = options_text(&m->point[p->point]);
    cli_put(row, "method", json_string(m->name));
    cli_put(row, "access", json_string(lt_access_text(p->access)));
    cli_put(row, "point", json_integer(p->point));
    cli_put(row, "source", json_string(p->point < m->n_grid ? "grid" : "random"));
    cli_put_text(row, "options", options);
    cli_put(row, "objective", json_string(s->study->tuning.objective));
    cli_put_real(row, "value", value);
    cli_put(row, "used_oracle", json_boolean(s->study->tuning.uses_oracle));
    cli_put(row, "chosen", json_false());
    for (size_t i = 0; i < sizeof copied / sizeof *copied; i++)
        cli_put_real(row, copied[i][0], cli_real(figures, copied[i][1]));
    cli_put(row, "n_forward", count_json(result, "forward"));
    cli_put(row, "n_backward", count_json(result, "backward"));
    cli_put_real(row, "update_s", cli_real(result, "time.update_s"));
    cli_put(row, "state", json_string(sweep_state_text(p)));
    cli_put_text(row, "error", p->state == SWEEP_DONE ? "" : p->error);
    cli_put_text(row, "run", p->id);
    free(options);
    json_decref(result);
    return row;
}

static void drop_rows(sweep *s, const sweep_part *tune)
{
    for (size_t i = json_array_size(s->tuned); i-- > 0;) {
        const json_t *row = json_array_get(s->tuned, i);
        if (!strcmp(cli_text(row, "method"), s->study->method[tune->method].name) &&
            !strcmp(cli_text(row, "access"), lt_access_text(tune->access)))
            json_array_remove(s->tuned, i);
    }
}

// The audit lists the settings that gave a model in their order. The first of equal settings is taken.
static lt_status choose(sweep *s, const sweep_part *tune, const json_t *audit)
{
    const json_t *also = json_object_get(audit, "also");
    size_t at = 0;
    int *chosen = &s->chosen[tune->method * LT_N_ACCESS + tune->access];
    double best = INFINITY;
    json_t *best_row = NULL;
    *chosen = -1;
    for (int i = 0; i < tune->n_deps; i++) {
        const sweep_part *p = &s->part[tune->dep[i].part];
        if (p->kind != SWEEP_POINT)
            continue;
        const json_t *figures = p->state == SWEEP_DONE ? json_array_get(also, at++) : NULL;
        const double value = figures ? sweep_objective(s, audit, figures) : (double)NAN;
        json_t *row = row_json(s, p, figures, value);
        json_array_append_new(s->tuned, row);
        if (value < best) {
            best = value;
            best_row = row;
            *chosen = p->point;
        }
    }
    if (at != json_array_size(also))
        return LT_FAIL(LT_E_INTEGRITY, "%s.json: expected figures of %zu runs, found %zu", tune->id, at,
                       json_array_size(also));
    if (*chosen < 0)
        return LT_FAIL(LT_E_CHECK, "%s: no setting has a finite objective %s", tune->id, s->study->tuning.objective);
    cli_put(best_row, "chosen", json_true());
    return LT_OK;
}

lt_status sweep_choose(sweep *s, const sweep_part *tune)
{
    char *path = cli_format("%s/%s.json", s->out, tune->id);
    json_t *audit = NULL;
    lt_status status = cli_json_load(path, &audit);
    free(path);
    LT_TRY(status);
    drop_rows(s, tune);
    status = choose(s, tune, audit);
    json_decref(audit);
    return status;
}
