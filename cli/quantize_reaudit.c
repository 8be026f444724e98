// quantize_reaudit.c - `lethe quantize ... --reaudit`: is what a run has forgotten still forgotten on few levels, on a
// faulty chip?
#include "quantize.h"
#include <math.h>

static json_t *audit_json(const lt_audit *a)
{
    json_t *j = json_object();
    cli_put_real(j, "ua", a->ua);
    cli_put_real(j, "ra", a->ra);
    cli_put_real(j, "ta", a->ta);
    cli_put_real(j, "svc_mia", a->svc.confidence);
    cli_put_real(j, "ft_auc", a->phi.ft);
    return j;
}

static lt_status run_reaudit(cli_call *call, cli_quantize_job *job, const lt_sample_sets *sets, const lt_model *oracle,
                             json_t *r)
{
    lt_reaudit a;
    const lt_reaudit_in in = {.before = job->float_model,
                              .after = job->src.model,
                              .retrained = oracle,
                              .ds = job->ds,
                              .forget = &sets->forget,
                              .retain = &sets->retain,
                              .seed = call->seed.seed,
                              .env = &job->env};
    LT_TRY(lt_reaudit_run(&in, &a));
    json_t *j = json_object(), *interval = json_array();
    cli_put(j, "n_forget", json_integer(sets->forget.n));
    cli_put(j, "before", audit_json(&a.before));
    cli_put(j, "after", audit_json(&a.after));
    cli_put(j, "retrained", a.has_retrained ? audit_json(&a.retrained) : json_null());
    cli_put_real(j, "gap_before", a.gap_before);
    cli_put_real(j, "gap_after", a.gap_after);
    cli_put_real(j, "auc_shift", a.auc_shift);
    json_array_append_new(interval, json_real(a.auc_low));
    json_array_append_new(interval, json_real(a.auc_high));
    cli_put(j, "auc_shift_interval", interval);
    cli_put_real(j, "forget_acc_shift", a.forget_shift);
    cli_put_real(j, "test_acc_shift", a.test_shift);
    cli_put(j, "relapse", json_boolean(a.relapse));
    cli_put(r, "reaudit", j);
    return LT_OK;
}

lt_status cli_quantize_reaudit(cli_call *call, cli_quantize_job *job, json_t *r)
{
    const cli_quantize_opts *o = call->opts;
    lt_sample_sets sets = {0};
    lt_trained_model oracle = {0};
    lt_status status = LT_OK;
    cli_progress_stage(call->session->progress, "auditing what was forgotten");
    // The sets are those of the parent, whose metadata names them; the quantized model is in its place already.
    lt_model *quantized = job->src.model;
    job->src.model = job->float_model;
    status = lt_trained_model_sets(&job->src, job->ds, &(lt_forget_request){0}, &sets);
    job->src.model = quantized;
    if (status != LT_OK) {
        lt_error_hint("--reaudit takes a run of `lethe unlearn`");
        return status;
    }
    if (o->oracle && *o->oracle)
        status = lt_trained_model_open(o->oracle, NULL, NULL, &oracle);
    if (status == LT_OK)
        status = run_reaudit(call, job, &sets, oracle.model, r);
    lt_trained_model_close(&oracle);
    lt_sample_sets_clear(&sets);
    return status;
}

void cli_print_reaudit(const json_t *r, FILE *out)
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
