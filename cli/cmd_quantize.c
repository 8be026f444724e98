// cmd_quantize.c - `lethe quantize`: low-bit weights by training or after it, on ideal or faulty chips.
#include "quantize.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const lt_opt_value steps[] = {{"minmax", LT_PTQ_MINMAX, "the largest weight is the outer level"},
                                     {"mse", LT_PTQ_MSE, "least squared error"},
                                     {"percentile", LT_PTQ_PERCENTILE, "the outer level at a percentile of |w|"},
                                     {"mean", LT_PTQ_MEAN, "2 mean|w| / sqrt(z), as training starts"},
                                     {NULL, 0, NULL}};
static const lt_opt_value formats[] = {{"c", CLI_FORMAT_C, "one C11 file and its header"},
                                       {"onnx", CLI_FORMAT_ONNX, "ONNX with QuantizeLinear and DequantizeLinear"},
                                       {"packed", CLI_FORMAT_PACKED, "packed codes and tables, safetensors"},
                                       {NULL, 0, NULL}};
static const lt_option own[] = {
    LT_STR(cli_quantize_opts, action, NULL, "train, ptq, population or export (also the first argument)"),
    LT_STR(cli_quantize_opts, run, NULL,
           "trained run or model file; population, export: quantized run (second argument)"),
    LT_STR(cli_quantize_opts, data, NULL, "data set; default: the one the model was trained on"),
    LT_STR(cli_quantize_opts, model, NULL, "architecture of a model file without lethe metadata"),
    LT_ENUM(cli_quantize_opts, step, LT_PTQ_MSE, steps, "ptq: how the step is chosen"),
    LT_F64(cli_quantize_opts, percentile, 99.9, 1e-3, 100, "%", "ptq --step percentile: which one"),
    LT_I32(cli_quantize_opts, chips, 20, 1, 100000, "chips", "population: how many, numbered from --chip on"),
    LT_BOOL(cli_quantize_opts, sensitivity, 0, "train, ptq: what each tensor alone costs on its levels"),
    LT_BOOL(cli_quantize_opts, reaudit, 0, "train, ptq of an unlearned run: audit its forgetting before and after"),
    LT_STR(cli_quantize_opts, oracle, NULL, "--reaudit: retrained run to compare with"),
    LT_ENUM(cli_quantize_opts, format, CLI_FORMAT_C, formats, "export: what to write to --out"),
    LT_BOOL(cli_quantize_opts, fine_tune, 0, "population: also train on every chip, with the options of training"),
    LT_F64(cli_quantize_opts, yield_at, 0, 0, 1, "",
           "population: accuracy that counts as working; 0 = two points below the nominal one"),
    LT_OPT_END,
};
static const cli_group groups[] = {
    {"", "Input and action", own, 0, LT_OPTGROUP_FLAGS},
    {"quant", "Quantization", lt_quant_options, offsetof(cli_quantize_opts, quant), LT_OPTGROUP_FLAGS},
    {"chip", "Chip", lt_quant_chip_options, offsetof(cli_quantize_opts, quant.device), LT_OPTGROUP_FLAGS},
    {"train", "Training", lt_train_options, offsetof(cli_quantize_opts, train), LT_OPTGROUP_FLAGS},
    {NULL, NULL, NULL, 0, 0},
};

// Fine-tuning starts from a trained model: fewer epochs, a lower rate and less decay than training from nothing.
static lt_status prepare(cli_call *call)
{
    static const char *const usual[][2] = {
        {"train.epochs", "15"}, {"train.lr", "0.05"}, {"train.weight_decay", "1e-4"}, {NULL, NULL}};
    for (int i = 0; usual[i][0]; i++)
        LT_TRY(lt_optset_set(call->set, usual[i][0], usual[i][1], "quantize"));
    return LT_OK;
}

// ---- opening

lt_status cli_quantize_open(cli_call *call, cli_quantize_job *job)
{
    const cli_quantize_opts *o = call->opts;
    cli_foreign foreign = {.model = o->model};
    if (o->data && *o->data)
        LT_TRY(cli_dataset(call, o->data, &foreign.ds));
    LT_TRY(cli_source_open(o->run, &foreign, &job->src));
    LT_TRY(cli_source_data(call, &job->src, o->data, &job->ds));
    lt_model_digest(job->src.model, job->parent_digest);
    cli_catch_signals(call->session);
    return cli_env(call, &job->env);
}

void cli_quantize_close(cli_quantize_job *job, lt_status status)
{
    lt_quant_destroy(job->quant);
    lt_model_destroy(job->float_model);
    cli_run_close(&job->run, status);
    cli_source_close(&job->src);
}

// ---- results

static json_t *tensors_json(const lt_quant *q)
{
    json_t *list = json_array();
    for (int i = 0; i < lt_quant_n_tensors(q); i++) {
        lt_quant_tensor_info t;
        lt_quant_tensor(q, i, &t);
        json_t *j = json_object(), *histogram = json_array(), *before = json_array();
        cli_put(j, "name", json_string(t.name));
        cli_put(j, "bits", json_integer(t.bits));
        cli_put(j, "n", json_integer(t.n));
        cli_put(j, "grids", json_integer(t.n_grids));
        cli_put(j, "levels_hit", json_integer(t.levels_hit));
        cli_put_real(j, "step", t.step);
        cli_put_real(j, "step_at_start", t.step0);
        cli_put_real(j, "residual", t.residual);
        cli_put_real(j, "code_change", t.code_change);
        cli_put_real(j, "outside", t.outside);
        cli_put_real(j, "tau_steps", t.tau_steps);
        cli_put_real(j, "mean_error", t.mean_error);
        cli_put_real(j, "rms_error", t.rms_error);
        for (int c = 0; c < 1 << t.bits && t.bits <= 4; c++)
            json_array_append_new(histogram, json_integer(t.histogram[c]));
        for (int c = 0; c < 1 << t.bits && t.bits <= 4; c++)
            json_array_append_new(before, json_integer(t.histogram_before[c]));
        cli_put(j, "histogram_before", before);
        cli_put(j, "histogram", histogram);
        json_array_append_new(list, j);
    }
    return list;
}

// One chip is a population of one.
static json_t *one_chip(const cli_quantize_opts *o, double acc)
{
    json_t *j = json_object();
    cli_put(j, "n", json_integer(1));
    cli_put(j, "first", json_integer(o->quant.device.chip));
    for (const char *const *key = (const char *const[]){"mean", "worst", "q05", "q50", "q95", NULL}; *key; key++)
        cli_put_real(j, *key, acc);
    return j;
}

void cli_quantize_put_chip(json_t *r, const cli_call *call)
{
    const cli_quantize_opts *o = call->opts;
    const lt_quant_chip *c = &o->quant.device;
    static const char *const texts[][2] = {{"encoding", "chip.encoding"},
                                           {"mapping", "chip.mapping"},
                                           {"variability_model", "chip.variability_model"},
                                           {NULL, NULL}};
    cli_put_real(r, "fault_rate", (double)c->fault_rate);
    cli_put_real(r, "stuck_at_1", (double)c->stuck_at_1);
    cli_put_real(r, "variability", (double)c->variability);
    for (int i = 0; texts[i][0]; i++) {
        const char *value = "";
        if (lt_optset_get(call->set, texts[i][1], &value, NULL) == LT_OK)
            cli_put(r, texts[i][0], json_string(value));
    }
    cli_put(r, "fault_seed", json_integer((json_int_t)c->fault_seed));
    cli_put(r, "variability_seed", json_integer((json_int_t)c->variability_seed));
}

static json_t *result_json(cli_call *call, const cli_quantize_job *job, const lt_quant_result *q, double start_s)
{
    const cli_quantize_opts *o = call->opts;
    const bool trains = strcmp(o->action, "train") == 0;
    char digest[65];
    json_t *r = json_object();
    lt_model_digest(job->src.model, digest);
    cli_put_text(r, "action", o->action);
    cli_put(r, "model", json_string(job->src.model->spec));
    cli_put_text(r, "data", job->ds->spec);
    cli_put(r, "data_digest", json_string(job->ds->digest));
    cli_put(r, "parent_digest", json_string(job->parent_digest));
    cli_put_text(r, "method", trains ? o->quant.method : "ptq");
    cli_put(r, "bits", json_integer(q->bits));
    cli_put(r, "act_bits", json_integer(o->quant.act_bits));
    cli_put_real(r, "test_acc_fp", q->acc_fp);
    cli_put_real(r, "test_acc_q", q->acc);
    cli_put_real(r, "test_loss_fp", q->loss_fp);
    cli_put_real(r, "test_loss_q", q->loss);
    cli_put_real(r, "test_acc", q->acc);
    cli_put_real(r, "test_loss", q->loss);
    cli_put_real(r, "test_acc_before_bn", q->acc_before_bn);
    cli_put(r, "levels_hit", json_integer(q->levels_hit));
    cli_put(r, "n_weights", json_integer(q->n_weights));
    cli_put(r, "n_unreachable", json_integer(q->n_unreachable));
    cli_put_real(r, "faultable_share", q->faultable_share);
    cli_quantize_put_chip(r, call);
    cli_put(r, "chips", one_chip(o, q->acc));
    if (trains) {
        cli_put_real(r, "residual", q->residual);
        cli_put_real(r, "code_change", q->code_change);
        cli_put_real(r, "travel", q->travel);
        cli_put(r, "epochs", json_integer(q->train.epochs));
        cli_put(r, "steps", json_integer(q->train.steps));
        cli_put_real(r, "images_per_s", q->train.images_per_s);
    }
    cli_put(r, "tensors", tensors_json(job->quant));
    cli_put_real(r, "wall_s", cli_now_s() - start_s);
    cli_put(r, "seed", json_integer((json_int_t)call->seed.seed));
    cli_put(r, "model_digest", json_string(digest));
    if (*lt_trained_model_text(&job->src, "forget_digest"))
        cli_put(r, "forget_digest", json_string(lt_trained_model_text(&job->src, "forget_digest")));
    return r;
}

// What the parent has forgotten goes along, so that audits and evaluations of the quantized run find it.
static lt_status copy_forgotten(cli_quantize_job *job)
{
    static const char *const name[] = {"forget.csv", "forgotten.csv"};
    for (int i = 0; i < 2 && job->src.dir; i++) {
        char from[4096], to[4096], *text = NULL;
        size_t n = 0;
        struct stat st;
        snprintf(from, sizeof from, "%s/%s", job->src.dir, name[i]);
        if (stat(from, &st) != 0)
            continue;
        LT_TRY(lt_run_path(job->run.to.run, name[i], to, sizeof to));
        LT_TRY(lt_read_file(from, 1 << 30, &text, &n));
        const lt_status status = lt_write_file_atomic(to, text, n);
        free(text);
        LT_TRY(status);
    }
    return LT_OK;
}

static lt_status save(cli_call *call, cli_quantize_job *job)
{
    const cli_quantize_opts *o = call->opts;
    char path[4096], digest[65];
    lt_optset_digest(call->set, digest);
    const lt_provenance p = {.ds = job->ds, .config_digest = digest, .parent_digest = job->parent_digest};
    LT_TRY(lt_model_set_provenance(job->src.model, &p));
    LT_TRY(lt_model_set_meta(job->src.model, "lethe.quant", strcmp(o->action, "ptq") ? o->quant.method : "ptq"));
    LT_TRY(copy_forgotten(job));
    LT_TRY(lt_model_save(job->src.model, job->run.to.model));
    LT_TRY(lt_run_path(job->run.to.run, "codes.safetensors", path, sizeof path));
    return lt_quant_save(job->quant, path);
}

// Drop of accuracy per tensor, next to its other numbers.
static lt_status put_sensitivity(cli_quantize_job *job, json_t *r)
{
    const int n = lt_quant_n_tensors(job->quant);
    const lt_view test = lt_view_split(job->ds, LT_TEST);
    double *drop = cli_alloc((size_t)n, sizeof *drop);
    const lt_status status =
        test.n > 0 ? lt_quant_sensitivity(job->quant, job->float_model, &test, &job->env, drop) : LT_OK;
    for (int i = 0; i < n && status == LT_OK && test.n > 0; i++)
        cli_put_real(json_array_get(json_object_get(r, "tensors"), (size_t)i), "acc_drop_alone", drop[i]);
    free(drop);
    return status;
}

static lt_status quantize(cli_call *call, cli_quantize_job *job)
{
    const cli_quantize_opts *o = call->opts;
    const bool trains = strcmp(o->action, "train") == 0;
    const double start_s = cli_now_s();
    LT_TRY(cli_quantize_open(call, job));
    const char *const facts[] = {"data_digest", job->ds->digest, "parent_digest", job->parent_digest, NULL};
    LT_TRY(cli_run_open(call, "quantize", facts, &job->run));
    if (job->run.to.finished)
        return cli_run_finish(&job->run, NULL);
    lt_quant_in in = {.model = job->src.model,
                      .ds = job->ds,
                      .env = &job->env,
                      .seed = call->seed.seed,
                      .train = &o->train,
                      .checkpoint = job->run.to.state,
                      .resume = !call->place.force};
    lt_quant_result q;
    job->float_model = job->src.model;
    job->src.model = NULL;
    in.float_model = job->float_model;
    LT_TRY(lt_quant_activations(&o->quant, &in, &job->src.model));
    in.model = job->src.model;
    cli_progress_stage(call->session->progress, "quantizing to %d bits with %s", (int)o->quant.bits,
                       trains ? o->quant.method : "ptq");
    if (trains)
        LT_TRY(lt_quant_train(&o->quant, &in, &job->quant, &q));
    else
        LT_TRY(lt_quant_ptq(&o->quant, (lt_ptq_step)o->step, o->percentile, &in, &job->quant, &q));
    LT_TRY(save(call, job));
    json_t *r = result_json(call, job, &q, start_s);
    lt_status status = o->sensitivity ? put_sensitivity(job, r) : LT_OK;
    if (status == LT_OK && o->reaudit)
        status = cli_quantize_reaudit(call, job, r);
    if (status != LT_OK) {
        json_decref(r);
        return status;
    }
    return cli_run_finish(&job->run, r);
}

static lt_status run_quantize(cli_call *call)
{
    cli_quantize_job job = {0};
    const lt_status status = quantize(call, &job);
    cli_quantize_close(&job, status);
    return status;
}

static void print_quantize(const json_t *r, FILE *out)
{
    char fp[24], q[24], before[24];
    fprintf(out, "%s, %s to %.0f bits: test accuracy %s %% (float %s %%; before batch norm was taken anew %s %%)\n",
            cli_text(r, "model"), cli_text(r, "method"), cli_real(r, "bits"), cli_percent(cli_real(r, "test_acc_q"), q),
            cli_percent(cli_real(r, "test_acc_fp"), fp), cli_percent(cli_real(r, "test_acc_before_bn"), before));
    fprintf(out, "%.0f weights in %zu tensors, at most %.0f levels hit, %.1f %% of all parameter bits\n",
            cli_real(r, "n_weights"), json_array_size(json_object_get(r, "tensors")), cli_real(r, "levels_hit"),
            100 * cli_real(r, "faultable_share"));
    if (cli_real(r, "fault_rate") > 0 || cli_real(r, "variability") > 0)
        fprintf(
            out,
            "chip %.0f: %.3g of the cells stuck, spread %.3g, %s encoding, %s mapping; %.0f weights off their level\n",
            cli_real(r, "chips.first"), cli_real(r, "fault_rate"), cli_real(r, "variability"), cli_text(r, "encoding"),
            cli_text(r, "mapping"), cli_real(r, "n_unreachable"));
    if (isfinite(cli_real(r, "residual")))
        fprintf(out, "residual %.2g steps^2, %.2g %% of codes changed in the last epoch\n", cli_real(r, "residual"),
                100 * cli_real(r, "code_change"));
    cli_print_reaudit(json_object_get(r, "reaudit"), out);
    fprintf(out, "%s%s\n", cli_text(r, "run"),
            json_object_get(r, "cached") ? " (finished before; --force makes it again)" : "");
}

// ---- the verb

static const cli_action actions[] = {{"train", run_quantize, print_quantize},
                                     {"ptq", run_quantize, print_quantize},
                                     {"population", cli_quantize_population, cli_print_chips},
                                     {"export", cli_quantize_export, cli_print_export},
                                     {NULL, NULL, NULL}};

static lt_status run(cli_call *call)
{
    const cli_quantize_opts *o = call->opts;
    if (call->n_positional > 2)
        return LT_FAIL(LT_E_USAGE, "quantize: expected an action and a run, found '%s' too", call->positional[2]);
    if (call->n_positional > 0)
        LT_TRY(lt_optset_set(call->set, "action", call->positional[0], "flag"));
    if (call->n_positional > 1)
        LT_TRY(lt_optset_set(call->set, "run", call->positional[1], "flag"));
    if (o->action && call->n_positional == 0)
        call->positional[call->n_positional++] = o->action;
    if (call->n_positional > 0 && (!o->run || !*o->run)) {
        LT_FAIL(LT_E_USAGE, "quantize %s: which run?", call->positional[0]);
        return lt_error_hint("for example: lethe quantize train runs/base --bits 4");
    }
    return cli_action_run(call, actions, "quantize train runs/base --bits 4 --method msqe-step");
}

static void print(const cli_call *call, FILE *out)
{
    cli_action_print(call, actions, out);
}

static void more_help(const cli_call *call, FILE *out)
{
    (void)call;
    fputs("\nMethods:\n", out);
    for (const lt_quant_method_info *const *m = lt_quant_methods(); *m; m++) {
        fprintf(out, "  %-14s %s\n", (*m)->name, (*m)->title);
    }
}

const cli_verb cli_verb_quantize = {
    .name = "quantize",
    .usage = "train | ptq | population | export  RUN [options]",
    .about =
        "Puts the weights of a trained model on 2^bits levels.\n"
        "train    quantization-aware training from a float run: by a penalty (msqe and its kin) or straight-through\n"
        "ptq      the same levels without training\n"
        "population  a quantized run on many faulty or variable chips: mean, quantiles, worst, yield\n"
        "export   the integer network of a quantized run as C, ONNX or packed tables, written to --out\n"
        "The run holds model.safetensors with the weights as the hardware computes with them, and codes.safetensors\n"
        "with the integer codes, levels and encoding. --fault-rate and --variability make a chip of which some cells\n"
        "are stuck or differ: training then knows its map (--no-fault-aware: does not), and --chip N is another one.",
    .examples = "  lethe quantize train runs/base --bits 4 --method msqe-step --out runs/q4\n"
                "  lethe quantize ptq runs/base --bits 4 --step mse\n"
                "  lethe quantize export runs/q4 --format c --out model.c\n"
                "  lethe quantize population runs/q4 --chips 20 --fault-rate 0.05\n"
                "  lethe quantize train runs/base --bits 4 --fault-rate 0.1 --chip 3 --encoding sign-magnitude\n",
    .uses = CLI_COMPUTE | CLI_SEED | CLI_PLACE | CLI_RESUME | CLI_RECORD,
    .opts_size = sizeof(cli_quantize_opts),
    .groups = groups,
    .prepare = prepare,
    .more_help = more_help,
    .run = run,
    .print = print,
};
