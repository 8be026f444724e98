// cmd_unlearn.c - `lethe unlearn`: a child run whose model has forgotten some training samples of its parent.
//
// The options of the method are bound after the arguments are searched for --method, so that its rows are flags, config
// keys and help like all others (`lethe unlearn --method amun --help`).
#include "requests.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct opts {
    lt_model_fallback file;
    lt_unlearn_what what;
    lt_train_cfg train; // of a method that trains from scratch
    const char *oracle, *references;
    bool tensorboard;
};
static const lt_option tracking[] = {
    LT_BOOL(struct opts, tensorboard, 0,
            "event files for TensorBoard in the run directory, besides metrics.csv and .jsonl"),
    LT_OPT_END,
};
// They configure the evaluation of requests, not what is computed: a finished stream is evaluated again without being
// rerun.
static const lt_option judging[] = {
    LT_STR(struct opts, oracle, NULL, "--requests: retrained runs to compare with: one, one per request, or a stream"),
    LT_STR(struct opts, references, NULL, "--requests: outputs of reference models on all samples (.npz), for RMIA"),
    LT_OPT_END,
};
static const cli_group groups[] = {
    {"", "Unlearning", lt_unlearn_what_options, offsetof(struct opts, what), LT_OPTGROUP_FLAGS},
    CLI_MODEL_FILE_GROUP(struct opts, file),
    {"", "Evaluation of requests", judging, 0, LT_OPTGROUP_FLAGS | LT_OPTGROUP_NODIGEST},
    {"", "Tracking", tracking, 0, LT_OPTGROUP_FLAGS | LT_OPTGROUP_NODIGEST},
    {NULL, NULL, NULL, 0, 0},
};

// ---- the method's own options

static lt_status prepare(cli_call *call)
{
    const lt_unlearn_method *m;
    LT_TRY(lt_unlearn_method_asked(call->argc, call->argv, &m));
    if (!m)
        return LT_OK;
    char prefix[64];
    snprintf(prefix, sizeof prefix, "unlearn.%s", m->name);
    call->extra = m;
    call->extra_cfg = cli_alloc(m->cfg_size, 1);
    if (m->needs & LT_FROM_SCRATCH)
        LT_TRY(
            cli_add_options(call, "train", lt_train_options, &((struct opts *)call->opts)->train, LT_OPTGROUP_FLAGS));
    return cli_add_options(call, prefix, m->opts, call->extra_cfg, LT_OPTGROUP_FLAGS);
}

static void more_help(const cli_call *call, FILE *out)
{
    const lt_unlearn_method *chosen = call->extra;
    if (chosen) {
        fprintf(out, "\n%s\n", chosen->title);
        cli_print_wrapped(chosen->doc, out);
        char *defaults = lt_unlearn_defaults_text(chosen);
        if (defaults && *defaults)
            fprintf(out, "\n%s\n", defaults);
        free(defaults);
        if (chosen->opts[0].name)
            cli_print_options(out, NULL, "", chosen->opts, call->extra_cfg, NULL);
        if (chosen->needs & LT_FROM_SCRATCH)
            cli_print_options(out, "How the original was trained (default: as its run recorded)", "", lt_train_options,
                              &((struct opts *)call->opts)->train, NULL);
        return;
    }
    fputs("\nMethods (`lethe unlearn --method NAME --help` shows the options of one):\n", out);
    for (const lt_unlearn_method *const *m = lt_unlearn_methods(); *m; m++)
        fprintf(out, "  %-16s %s\n", (*m)->name, (*m)->title);
}

// ---- the run

static lt_status check_method(const cli_call *call)
{
    const struct opts *o = call->opts;
    const lt_unlearn_method *m = call->extra;
    if (m && o->what.method && !strcmp(m->name, o->what.method))
        return LT_OK;
    if (!o->what.method || !*o->what.method) {
        LT_FAIL(LT_E_USAGE, "unlearn: --method is missing");
        return lt_error_hint("for example --method amun; `lethe unlearn --help` lists the methods");
    }
    LT_FAIL(LT_E_USAGE, "unlearn: method '%s' was found too late to read its options", o->what.method);
    return lt_error_hint("give it as --method %s", o->what.method);
}

// What is searched shows forgotten images: it is kept only where the user asks for it.
static lt_status choose_cache(const struct opts *o, const char **cache)
{
    *cache = o->what.cache && *o->what.cache ? o->what.cache : NULL;
    return *cache ? lt_make_dirs(*cache) : LT_OK;
}

static lt_status run_single(cli_call *call, const lt_unlearn_order *order)
{
    lt_unlearn_record record;
    cli_progress_stage(call->session->progress, "unlearning with %s", order->method->name);
    lt_status status = lt_unlearn_dir(order, &record);
    if (status == LT_OK)
        status = cli_set_result(call, record.json, record.dir);
    else
        cli_hint_resume(call, status, "", record.dir);
    lt_unlearn_record_clear(&record);
    return status;
}

static lt_status run_stream(cli_call *call, const lt_unlearn_order *order)
{
    const struct opts *o = call->opts;
    lt_stream_record record;
    cli_list oracles = {0};
    cli_list_option(&oracles, call, "oracle");
    const lt_stream_audit audit = {.oracle = (const char *const *)oracles.item,
                                   .n_oracles = oracles.n,
                                   .references = o->references,
                                   .n_threads = cli_threads(call)};
    cli_progress_stage(call->session->progress, "%s", order->method->name);
    lt_status status = lt_stream_dir(order, &audit, &record);
    cli_progress_clear(call->session->progress);
    if (status == LT_OK)
        status = cli_set_result(call, record.json, record.dir);
    else
        cli_hint_resume(call, status, "", record.dir);
    lt_stream_record_clear(&record);
    cli_list_clear(&oracles);
    return status;
}

static lt_status check_requests(cli_call *call)
{
    const struct opts *o = call->opts;
    const char *value, *origin;
    const bool has_requests = o->what.requests && *o->what.requests;
    if (o->what.requests && !has_requests) // not the default forget set, which was not requested
        return LT_FAIL(LT_E_USAGE, "--requests: expected a file of requests or split:KxN:IDS.csv, found nothing");
    if (has_requests && !strncmp(o->what.requests, "cut:", 4))
        cli_say(call->session, "notice: requests cut:KxN:FILE are now called split:KxN:FILE");
    LT_TRY(lt_optset_get(call->set, "forget", &value, &origin));
    if (has_requests && strcmp(origin, "default") != 0)
        return LT_FAIL(LT_E_USAGE, "unlearn: --requests names what is forgotten: omit --forget");
    const char *stray = has_requests                      ? NULL
                        : o->oracle && *o->oracle         ? "--oracle"
                        : o->references && *o->references ? "--references"
                        : o->what.request_lr_decay < 1    ? "--request-lr-decay"
                                                          : NULL;
    if (!stray)
        return LT_OK;
    LT_FAIL(LT_E_USAGE, "unlearn: %s goes with --requests", stray);
    return lt_error_hint("`lethe audit RUN` compares a single request with oracles and reference models");
}

static lt_status run_order(cli_call *call, lt_trained_model *base)
{
    const struct opts *o = call->opts;
    lt_env env;
    const lt_dataset *ds = NULL;
    const char *cache;
    if (o->what.data && *o->what.data)
        LT_TRY(cli_dataset(call, o->what.data, &ds));
    const bool is_run = lt_run_is_done(o->what.run); // which says everything itself
    LT_TRY(lt_trained_model_open(o->what.run, is_run ? NULL : &o->file, is_run ? NULL : ds, base));
    LT_TRY(cli_model_data(call, base, o->what.data, &ds));
    LT_TRY(choose_cache(o, &cache));
    LT_TRY(cli_env(call, &env));
    cli_catch_signals(call->session);
    const lt_unlearn_order order = {.what = o->what,
                                    .method = call->extra,
                                    .cfg = call->extra_cfg,
                                    .train = &((struct opts *)call->opts)->train,
                                    .seed = call->seed.seed,
                                    .compute = call->compute,
                                    .base = base,
                                    .ds = ds,
                                    .env = &env,
                                    .cache_dir = cache,
                                    .out = call->run_dir.out,
                                    .force = call->run_dir.force,
                                    .tensorboard = o->tensorboard,
                                    .set = call->set};
    return o->what.requests && *o->what.requests ? run_stream(call, &order) : run_single(call, &order);
}

static lt_status run(cli_call *call)
{
    lt_trained_model base = {0};
    LT_TRY(cli_positional(call, "run", 1, 1));
    LT_TRY(check_method(call));
    LT_TRY(check_requests(call));
    lt_status status = run_order(call, &base);
    lt_trained_model_close(&base);
    return status;
}

static void print(const cli_call *call, FILE *out)
{
    const json_t *r = call->result;
    char forget[24], before[24], retain[24], test[24];
    if (json_object_get(r, "n_requests")) {
        cli_requests_print(r, out);
        return;
    }
    fprintf(out,
            "%s on %.0f sample%s: forget accuracy %s %% (before: %s %%), retain accuracy %s %%, test accuracy %s %%\n",
            cli_text(r, "title"), cli_real(r, "n_forget"), cli_real(r, "n_forget") == 1 ? "" : "s",
            cli_percent(cli_real(r, "forget_acc"), forget), cli_percent(cli_real(r, "original.forget_acc"), before),
            cli_percent(cli_real(r, "retain_acc"), retain), cli_percent(cli_real(r, "test_acc"), test));
    if (isfinite(cli_real(r, "phi_share"))) { // not defined where the original is as sure of unseen samples
        if (isfinite(cli_real(r, "original.phi_share")))
            snprintf(before, sizeof before, "%.2f", cli_real(r, "original.phi_share"));
        else
            snprintf(before, sizeof before, "not defined");
        fprintf(out, "phi share %.2f (before: %s; 0 = like retained samples, 1 = like unseen ones)\n",
                cli_real(r, "phi_share"), before);
    }
    if (json_object_get(r, "acc_f"))
        fprintf(out, "test accuracy of the forgotten classes %s %%, of the others %s %%\n",
                cli_percent(cli_real(r, "acc_f"), forget), cli_percent(cli_real(r, "acc_r"), retain));
    fprintf(out, "parameter change %.4g (L2); search %.1f s, update %.1f s, evaluation %.1f s\n",
            cli_real(r, "delta_norm_l2"), cli_real(r, "time.search_s"), cli_real(r, "time.update_s"),
            cli_real(r, "time.eval_s"));
    fprintf(out, "%s%s\n", cli_text(r, "run"),
            json_object_get(r, "cached") ? " (finished before; --force recomputes it)" : "");
}

const cli_verb cli_verb_unlearn = {
    .name = "unlearn",
    .usage = "RUN --method METHOD [--forget WHAT | --requests FILE] [options]",
    .about = "Makes the model of a trained run forget samples or classes, and leaves a child run: model.safetensors, "
             "forget.csv,\n"
             "signals.npz (outputs on retained, forgotten and test samples), result.json. `retrain` makes the oracle "
             "to audit\n"
             "against. A child run can be unlearned again; what it forgot before then stays out of the retained data.\n"
             "\n"
             "--requests serves several forget sets one after another, each in its own run (OUT/request-1, ...) "
             "that starts\n"
             "from the one before with a fresh optimizer, and audits every model on every request so far. FILE holds "
             "one\n"
             "request a line: random:200 (perhaps with seed=7), class:3 or file:IDS.csv (relative to FILE). "
             "split:5x1000:IDS.csv "
             "cuts\n"
             "one list in its order.",
    .examples =
        "  lethe unlearn runs/base --method amun --forget random:10% --out runs/amun\n"
        "  lethe unlearn runs/base --method retrain --forget random:10% --out runs/retrain\n"
        "  lethe unlearn runs/base --method amun --no-use-retain-data --lr 0.005\n"
        "  lethe unlearn runs/base --method amun --adaptive --requests split:5x1000:ids.csv --out runs/stream\n",
    .uses = CLI_COMPUTE | CLI_SEED | CLI_PLACE | CLI_RESUME | CLI_RECORD,
    .opts_size = sizeof(struct opts),
    .groups = groups,
    .prepare = prepare,
    .more_help = more_help,
    .run = run,
    .print = print,
};
