// quantize_population.c - `lethe quantize population`: the codes of a quantized run on many chips.
#include "quantize.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

// Statistics of one row; the accuracies themselves too, in the order of the chips.
static json_t *row_json(const double *acc, int n, double at)
{
    lt_chip_stats s;
    json_t *j = json_object(), *all = json_array();
    lt_chip_stats_compute(acc, n, &s);
    cli_put(j, "n", json_integer(s.n));
    cli_put_real(j, "mean", s.mean);
    cli_put_real(j, "sd", s.sd);
    cli_put_real(j, "worst", s.worst);
    cli_put_real(j, "best", s.best);
    cli_put_real(j, "q05", s.q05);
    cli_put_real(j, "q50", s.q50);
    cli_put_real(j, "q95", s.q95);
    cli_put_real(j, "yield", lt_chip_yield(acc, n, at));
    for (int i = 0; i < n; i++)
        json_array_append_new(all, isfinite(acc[i]) ? json_real(acc[i]) : json_null());
    cli_put(j, "accuracies", all);
    return j;
}

static json_t *result_json(cli_call *call, const cli_quantize_job *job, const double *acc, double start_s)
{
    const cli_quantize_opts *o = call->opts;
    const int n = o->chips, main_row = o->fine_tune                               ? LT_POP_TUNED
                                       : o->quant.device.mapping == LT_MAP_BITMAP ? LT_POP_BITMAP_BN
                                                                                  : LT_POP_NEAREST_BN;
    const double nominal = lt_trained_model_real(&job->src, "test_acc_q");
    const double at = o->yield_at > 0 ? o->yield_at : nominal - 0.02;
    json_t *r = json_object(), *rows = json_object();
    cli_put_text(r, "action", "population");
    cli_put_text(r, "source", job->src.name);
    cli_put(r, "model", json_string(job->src.model->spec));
    cli_put_text(r, "data", job->ds->spec);
    cli_put(r, "data_digest", json_string(job->ds->digest));
    cli_put(r, "parent_digest", json_string(job->parent_digest));
    cli_put_text(r, "method", lt_trained_model_text(&job->src, "method"));
    cli_put_real(r, "bits", lt_trained_model_real(&job->src, "bits"));
    cli_put_real(r, "levels_hit", lt_trained_model_real(&job->src, "levels_hit"));
    cli_put_real(r, "test_acc_fp", lt_trained_model_real(&job->src, "test_acc_fp"));
    cli_put_real(r, "test_acc_q", nominal);
    cli_quantize_put_chip(r, call);
    for (int k = 0; k < LT_POP_N_ROWS; k++)
        if (k != LT_POP_TUNED || o->fine_tune)
            cli_put(rows, lt_population_row_name((lt_population_row)k), row_json(acc + k * n, n, at));
    json_t *chips = row_json(acc + main_row * n, n, at);
    cli_put(chips, "row", json_string(lt_population_row_name((lt_population_row)main_row)));
    cli_put(chips, "first", json_integer(o->quant.device.chip));
    cli_put_real(chips, "yield_at", at);
    cli_put(r, "chips", chips);
    cli_put(r, "rows", rows);
    cli_put_real(r, "wall_s", cli_now_s() - start_s);
    cli_put(r, "seed", json_integer((json_int_t)call->seed.seed));
    return r;
}

static lt_status population(cli_call *call, cli_quantize_job *job)
{
    const cli_quantize_opts *o = call->opts;
    char table[4096];
    const double start_s = cli_now_s();
    LT_TRY(cli_quantize_open(call, job));
    LT_TRY(lt_trained_model_codes(&job->src, &job->quant));
    if (!(o->quant.device.fault_rate > 0) && !(o->quant.device.variability > 0)) {
        LT_FAIL(LT_E_USAGE, "quantize population: ideal chips are all the same");
        return lt_error_hint("give --fault-rate or --variability");
    }
    const char *const facts[] = {"data_digest", job->ds->digest, "parent_digest", job->parent_digest, NULL};
    LT_TRY(cli_run_open(call, "population", facts, &job->run));
    if (job->run.to.finished)
        return cli_run_finish(&job->run, NULL);
    LT_TRY(lt_run_path(job->run.to.run, "chips.csv", table, sizeof table));
    double *acc = cli_alloc((size_t)LT_POP_N_ROWS * (size_t)o->chips, sizeof *acc);
    const lt_chip_population p = {.quant = job->quant,
                                  .model = job->src.model,
                                  .ds = job->ds,
                                  .device = o->quant.device,
                                  .n = o->chips,
                                  .bn_batches = o->quant.bn_batches,
                                  .n_workers = cli_threads(call),
                                  .seed = call->seed.seed,
                                  .tune = o->fine_tune ? &o->quant : NULL,
                                  .train = &o->train,
                                  .backend = cli_backend_name(call),
                                  .plan_flags = job->env.plan_flags,
                                  .table = table,
                                  .events = call->session->events,
                                  .stop = &call->session->stop};
    cli_progress_stage(call->session->progress, "%d chips", (int)o->chips);
    lt_status status = lt_chip_population_run(&p, acc);
    if (status == LT_OK)
        status = cli_run_finish(&job->run, result_json(call, job, acc, start_s));
    free(acc);
    return status;
}

lt_status cli_quantize_population(cli_call *call)
{
    cli_quantize_job job = {0};
    const lt_status status = population(call, &job);
    cli_quantize_close(&job, status);
    return status;
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
    fprintf(out, "\nyield: chips of at least %.1f %% accuracy. Rows -bn take batch norm anew on the chip.\n%s\n",
            100 * cli_real(r, "chips.yield_at"), cli_text(r, "run"));
}
