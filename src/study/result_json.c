// result_json.c - the result of a study as JSON: what `lethe sweep --json` prints, and summary.json.
#include "base/json_write.h"
#include "study/runner_impl.h"
#include <math.h>
#include <string.h>

// ---- values

static void write_value_fields(lti_json *w, const lt_study_value *v)
{
    lti_json_int(w, "n", v->n);
    lti_json_real(w, "mean", v->mean);
    lti_json_real(w, "sd", v->sd);
    lti_json_real(w, "low", v->low);
    lti_json_real(w, "high", v->high);
}

static void write_value(lti_json *w, const char *key, const lt_study_value *v)
{
    lti_json_begin(w, key, '{');
    write_value_fields(w, v);
    if (v->is_compared) {
        lti_json_real(w, "difference", v->test.difference);
        lti_json_real(w, "band", v->test.band);
        lti_json_real(w, "p", v->test.p);
        lti_json_real(w, "bound", v->test.bound);
        lti_json_real(w, "margin", v->test.margin);
        lti_json_text(w, "verdict", lt_verdict_text(v->test.verdict));
    }
    lti_json_end(w, '}');
}

static void write_verdict(lti_json *w, const lt_study_summary *s)
{
    lti_json_begin(w, "verdict", '{');
    lti_json_text(w, "overall", s->verdict);
    lti_json_begin(w, "runs", '{');
    for (int v = 0; v < LT_N_VERDICTS; v++)
        lti_json_int(w, lt_verdict_text((lt_verdict)v), s->n_verdicts[v]);
    lti_json_end(w, '}');
    lti_json_end(w, '}');
}

static void write_summary(lti_json *w, const lt_study_result *x, const lt_study_summary *s)
{
    char key[LT_METRIC_PATH];
    lti_json_begin(w, NULL, '{');
    lti_json_text(w, "role", lt_study_role_text(s->role));
    lti_json_text(w, "method", s->method);
    lti_json_text(w, "access", s->access);
    lti_json_int(w, "n_runs", s->n_runs);
    lti_json_int(w, "n_bases", s->n_bases);
    lti_json_int(w, "n_forget_sets", s->n_forget_sets);
    lti_json_int(w, "n_seeds", s->n_seeds);
    if (s->options)
        lti_json_text(w, "options", s->options);
    if (s->tuned_on_oracle)
        lti_json_bool(w, "tuned_on_oracle", true);
    lti_json_begin(w, "metrics", '{');
    for (int i = 0; i < x->n_metrics; i++)
        if (s->value[i].n)
            write_value(w, x->metric[i].column, &s->value[i]);
    lti_json_end(w, '}');
    if (s->verdict)
        write_verdict(w, s);
    for (int i = 0; i < x->n_metrics; i++)
        if (s->rank[i]) {
            lti_format(key, sizeof key, "rank_%s", x->metric[i].column);
            lti_json_int(w, key, s->rank[i]);
        }
    lti_json_end(w, '}');
}

static void write_bands(lti_json *w, const lt_study_result *x)
{
    lti_json_begin(w, "null_band", '{');
    for (int i = 0; i < x->n_metrics; i++) {
        const lt_study_band *band = &x->band[i];
        if (band->is_known) {
            lti_json_begin(w, x->metric[i].column, '{');
            lti_json_real(w, "sd", band->sd);
            lti_json_real(w, "half_width", band->half_width);
            lti_json_int(w, "degrees_of_freedom", band->df);
            lti_json_end(w, '}');
        } else if (band->gap.n) {
            write_value(w, x->metric[i].column, &band->gap);
        }
    }
    lti_json_end(w, '}');
}

// ---- the rest

static void write_study(lti_json *w, const lt_study_result *x)
{
    lti_json_text(w, "study", x->name);
    lti_json_text(w, "data", x->data);
    lti_json_text(w, "data_digest", x->data_digest);
    lti_json_text(w, "model", x->model);
    lti_json_int(w, "n_bases", x->n_bases);
    lti_json_int(w, "n_forget_sets", x->n_forget_sets);
    lti_json_int(w, "n_repetitions", x->n_repetitions);
    lti_json_int(w, "n_oracles", x->n_oracles);
    lti_json_int(w, "n_references", x->n_references);
}

static void write_lint(lti_json *w, const lt_lint *lint)
{
    lti_json_begin(w, "lint", '[');
    for (int i = 0; i < lint->n; i++) {
        lti_json_begin(w, NULL, '{');
        lti_json_text(w, "id", lint->item[i].id);
        lti_json_text(w, "severity", lt_severity_text(lint->item[i].severity));
        lti_json_text(w, "text", lint->item[i].text);
        lti_json_end(w, '}');
    }
    lti_json_end(w, ']');
}

static void write_tuning(lti_json *w, const lt_study_result *x)
{
    if (!x->objective) {
        lti_json_null(w, "tuning");
        return;
    }
    lti_json_begin(w, "tuning", '{');
    lti_json_text(w, "objective", x->objective);
    lti_json_bool(w, "used_oracle", x->uses_oracle);
    lti_json_int(w, "base", (int64_t)x->tuning_base);
    lti_json_text(w, "forget", x->tuning_forget);
    lti_json_int(w, "forget_seed", (int64_t)x->tuning_forget_seed);
    lti_json_int(w, "n_tried", x->n_tried);
    lti_json_end(w, '}');
}

static void write_jobs(lti_json *w, const lt_study_result *x)
{
    lti_json_begin(w, "parts", '{');
    lti_json_int(w, "n", x->n_jobs);
    lti_json_int(w, "n_done", x->n_in_state[LT_STUDY_DONE]);
    lti_json_int(w, "n_existing", x->n_existing);
    lti_json_int(w, "n_unfit", x->n_in_state[LT_STUDY_UNFIT]);
    lti_json_int(w, "n_failed", x->n_in_state[LT_STUDY_FAILED]);
    lti_json_int(w, "n_blocked", x->n_in_state[LT_STUDY_BLOCKED]);
    lti_json_end(w, '}');
    lti_json_begin(w, "failed", '[');
    for (int i = 0; i < x->n_failures; i++) {
        lti_json_begin(w, NULL, '{');
        lti_json_text(w, "part", x->failure[i].id);
        lti_json_text(w, "state", lt_study_state_text(x->failure[i].state));
        lti_json_text(w, "error", x->failure[i].error);
        lti_json_end(w, '}');
    }
    lti_json_end(w, ']');
}

char *lt_study_result_json(const lt_study_result *x)
{
    lti_json w = {0};
    lti_json_begin(&w, NULL, '{');
    write_study(&w, x);
    lti_json_begin(&w, "rows", '[');
    for (int i = 0; i < x->n_summaries; i++)
        write_summary(&w, x, &x->summary[i]);
    lti_json_end(&w, ']');
    write_bands(&w, x);
    write_lint(&w, &x->lint);
    write_tuning(&w, x);
    write_jobs(&w, x);
    if (x->out) // where it lies: not in the file, which can be moved
        lti_json_text(&w, "out", x->out);
    lti_json_end(&w, '}');
    return lti_json_take(&w);
}

// ---- chosen.json

static void write_trial_count(lti_json *w, const char *key, double value)
{
    if (isfinite(value))
        lti_json_int(w, key, (int64_t)value);
    else
        lti_json_null(w, key);
}

static void write_trial(lti_json *w, const lt_study_result *x, const lt_study_trial *t)
{
    lti_json_begin(w, NULL, '{');
    lti_json_text(w, "method", t->method);
    lti_json_text(w, "access", t->access);
    lti_json_int(w, "point", t->point);
    lti_json_text(w, "source", t->is_random ? "random" : "grid");
    lti_json_text(w, "options", t->options);
    lti_json_text(w, "objective", x->objective);
    lti_json_real(w, "value", t->value);
    lti_json_bool(w, "used_oracle", x->uses_oracle);
    lti_json_bool(w, "chosen", t->is_chosen);
    lti_json_real(w, "ua", t->ua);
    lti_json_real(w, "ra", t->ra);
    lti_json_real(w, "ta", t->ta);
    lti_json_real(w, "mis", t->mis);
    lti_json_real(w, "phi_ft_auc", t->phi_ft_auc);
    lti_json_real(w, "avg_gap_mis", t->gap_mis);
    lti_json_real(w, "avg_gap_auc", t->gap_auc);
    write_trial_count(w, "n_forward", t->n_forward);
    write_trial_count(w, "n_backward", t->n_backward);
    lti_json_real(w, "update_s", t->update_s);
    lti_json_text(w, "state", lt_study_state_text(t->state));
    lti_json_text(w, "error", t->error);
    lti_json_text(w, "run", t->run);
    lti_json_end(w, '}');
}

char *lti_study_chosen_json(const lt_study_result *x)
{
    lti_json w = {0};
    lti_json_begin(&w, NULL, '[');
    for (int i = 0; i < x->n_trials; i++)
        if (x->trial[i].is_chosen)
            write_trial(&w, x, &x->trial[i]);
    lti_json_end(&w, ']');
    return lti_json_take(&w);
}
