// cmd_quantize.c - `lethe quantize`: low-bit weights by training or after it, on ideal or faulty chips.
#include "quantize.h"
#include <stdlib.h>
#include <string.h>

static const lt_opt_value steps[] = {{"minmax", LT_PTQ_MINMAX, "the largest weight is the outer level"},
                                     {"mse", LT_PTQ_MSE, "least squared error"},
                                     {"percentile", LT_PTQ_PERCENTILE, "the outer level at a percentile of |w|"},
                                     {"mean", LT_PTQ_MEAN, "2 mean|w| / sqrt(z), as training starts"},
                                     {NULL, 0, NULL}};
static const lt_opt_value formats[] = {{"c", LT_EXPORT_C, "one C11 file and its header"},
                                       {"onnx", LT_EXPORT_ONNX, "ONNX with QuantizeLinear and DequantizeLinear"},
                                       {"packed", LT_EXPORT_PACKED, "packed codes and tables, safetensors"},
                                       {NULL, 0, NULL}};
static const lt_option own[] = {
    LT_STR(cli_quantize_opts, action, NULL, "train, ptq, population or export (also the first argument)"),
    LT_STR(cli_quantize_opts, run, NULL,
           "trained run or model file; population, export: quantized run (second argument)"),
    LT_STR(cli_quantize_opts, data, NULL, "data set; default: the one the model was trained on"),
    LT_ENUM(cli_quantize_opts, step, LT_PTQ_MSE, steps, "ptq: how the step is chosen"),
    LT_F64(cli_quantize_opts, percentile, 99.9, 1e-3, 100, "%", "ptq --step percentile: which one"),
    LT_I32(cli_quantize_opts, chips, 20, 1, 100000, "chips", "population: how many, numbered from --chip on"),
    LT_I32(cli_quantize_opts, chip_images, 0, 0, 1000000000, "images",
           "population: test images that measure a chip, the first ones; 0 = all"),
    LT_BOOL(cli_quantize_opts, sensitivity, 0, "train, ptq: what each tensor alone costs on its levels"),
    LT_BOOL(cli_quantize_opts, reaudit, 0, "train, ptq of an unlearned run: audit its forgetting before and after"),
    LT_STR(cli_quantize_opts, oracle, NULL, "--reaudit: retrained run to compare with"),
    LT_ENUM(cli_quantize_opts, format, LT_EXPORT_C, formats, "export: what to write to --out"),
    LT_BOOL(cli_quantize_opts, fine_tune, 0, "population: also train on every chip, with the options of training"),
    LT_I32(cli_quantize_opts, groups, 0, 0, LT_QUANT_MAX_GROUP, "groups",
           "population: also train once for every group of chips with like faults; 0 = no groups"),
    LT_F64(cli_quantize_opts, yield_at, 0, 0, 1, "",
           "population: accuracy that counts as working; 0 = two points below the nominal one"),
    LT_OPT_END,
};
static const cli_group groups[] = {
    {"", "Input and action", own, 0, LT_OPTGROUP_FLAGS},
    CLI_MODEL_FILE_GROUP(cli_quantize_opts, file),
    {"quant", "Quantization", lt_quant_options, offsetof(cli_quantize_opts, quant), LT_OPTGROUP_FLAGS},
    {"chip", "Chip", lt_quant_chip_options, offsetof(cli_quantize_opts, quant.device), LT_OPTGROUP_FLAGS},
    {"train", "Training", lt_train_options, offsetof(cli_quantize_opts, train), LT_OPTGROUP_FLAGS},
    {NULL, NULL, NULL, 0, 0},
};

static lt_status prepare(cli_call *call)
{
    return lt_quantize_train_defaults(call->set);
}

// ---- actions

struct job {
    lt_trained_model src;
    lt_trained_model oracle;
    const lt_dataset *ds;
    lt_env env;
};

static lt_status open_job(cli_call *call, struct job *job)
{
    const cli_quantize_opts *o = call->opts;
    job->ds = NULL;
    if (o->data && *o->data)
        LT_TRY(cli_dataset(call, o->data, &job->ds));
    LT_TRY(lt_trained_model_open(o->run, &o->file, job->ds, &job->src));
    LT_TRY(cli_model_data(call, &job->src, o->data, &job->ds));
    if (o->reaudit && o->oracle && *o->oracle)
        LT_TRY(lt_trained_model_open(o->oracle, &o->file, lt_run_is_done(o->oracle) ? NULL : job->ds, &job->oracle));
    cli_catch_signals(call->session);
    return cli_env(call, &job->env);
}

static void close_job(struct job *job)
{
    lt_trained_model_close(&job->src);
    lt_trained_model_close(&job->oracle);
}

static lt_quantize_order order_of(cli_call *call, const struct job *job)
{
    const cli_quantize_opts *o = call->opts;
    return (lt_quantize_order){.base = &job->src,
                               .ds = job->ds,
                               .quant = o->quant,
                               .train = o->train,
                               .seed = call->seed.seed,
                               .set = call->set,
                               .out = call->run_dir.out,
                               .force = call->run_dir.force,
                               .env = &job->env,
                               .post_training = strcmp(o->action, "ptq") == 0,
                               .ptq_step = (lt_ptq_step)o->step,
                               .percentile = o->percentile,
                               .sensitivity = o->sensitivity,
                               .reaudit = o->reaudit,
                               .oracle = job->oracle.model,
                               .n_chips = o->chips,
                               .n_chip_images = o->chip_images,
                               .fine_tune = o->fine_tune,
                               .n_groups = o->groups,
                               .yield_at = o->yield_at,
                               .n_workers = cli_threads(call),
                               .backend = cli_backend_name(call),
                               .join = call->workers.join};
}

static lt_status finish(cli_call *call, lt_status status, const char *json, const char *dir)
{
    if (status == LT_OK)
        return cli_set_result(call, json, dir);
    cli_hint_resume(call, status, ((const cli_quantize_opts *)call->opts)->action, dir);
    return status;
}

static lt_status run_quantize(cli_call *call)
{
    const cli_quantize_opts *o = call->opts;
    struct job job = {0};
    lt_status status = open_job(call, &job);
    if (status == LT_OK && !strcmp(o->action, "train"))
        status = lt_quantize_default_rate(job.ds, &o->quant, &o->train, call->set);
    if (status == LT_OK) {
        lt_quantize_record record;
        const lt_quantize_order order = order_of(call, &job);
        cli_progress_stage(call->session->progress, "quantizing to %d bits with %s", (int)o->quant.bits,
                           order.post_training ? "ptq" : o->quant.method);
        status = lt_quantize_dir(&order, &record);
        status = finish(call, status, record.json, record.dir);
        lt_quantize_record_clear(&record);
    }
    close_job(&job);
    return status;
}

static lt_status begin_population(cli_call *call, bool *written)
{
    static const char *const words[] = {"quantize", NULL};
    const char *out = call->run_dir.out;
    const bool is_local = !strcmp(call->workers.executor, "local");
    if (!is_local && (!out || !*out))
        return LT_FAIL(LT_E_USAGE, "quantize population: --executor %s needs --out, the directory that workers share",
                       call->workers.executor);
    return cli_workers_begin(call, words, is_local ? "" : out, written);
}

static lt_status run_population(cli_call *call)
{
    struct job job = {0};
    bool written = false;
    lt_status status = open_job(call, &job);
    if (status == LT_OK)
        status = lt_chips_default_device(&job.src, call->session->events, call->set);
    if (status == LT_OK)
        status = begin_population(call, &written);
    if (status == LT_OK && !written) {
        lt_chips_record record;
        const lt_quantize_order order = order_of(call, &job);
        cli_progress_stage(call->session->progress, "%d chips", order.n_chips);
        status = lt_chips_dir(&order, &record);
        status = finish(call, status, record.json, record.dir);
        lt_chips_record_clear(&record);
    }
    close_job(&job);
    return status;
}

static lt_status export_to(cli_call *call, const char *path)
{
    const cli_quantize_opts *o = call->opts;
    struct job job = {0};
    LT_TRY(lt_export_check(path, (lt_export_format)o->format, call->run_dir.force)); // before the work
    lt_status status = open_job(call, &job);
    if (status == LT_OK) {
        lt_export_record record;
        status = lt_integer_run_export(&job.src, job.ds, &job.env, (lt_export_format)o->format, path, &record);
        status = finish(call, status, record.json, path);
        lt_export_record_clear(&record);
    }
    close_job(&job);
    return status;
}

static lt_status run_export(cli_call *call)
{
    const cli_quantize_opts *o = call->opts;
    if (!call->run_dir.out || !*call->run_dir.out) {
        LT_FAIL(LT_E_USAGE, "quantize export: --out is missing");
        return lt_error_hint("for example --out model.c, --format onnx --out model.onnx");
    }
    char *path = lt_export_path(call->run_dir.out, (lt_export_format)o->format);
    const lt_status status = path ? export_to(call, path) : LT_FAIL(LT_E_NOMEM, "out of memory: quantize export");
    free(path);
    return status;
}

// ---- the verb

static const cli_action actions[] = {{"train", run_quantize, cli_print_quantized},
                                     {"ptq", run_quantize, cli_print_quantized},
                                     {"population", run_population, cli_print_chips},
                                     {"export", run_export, cli_print_export},
                                     {NULL, NULL, NULL}};

// Options of one action that another one was given would be silently without effect.
static const struct {
    const char *option;
    const char *owners[3]; // actions; the list ends with NULL
} belongs[] = {
    {"step", {"ptq", NULL}},
    {"percentile", {"ptq", NULL}},
    {"sensitivity", {"train", "ptq", NULL}},
    {"reaudit", {"train", "ptq", NULL}},
    {"oracle", {"train", "ptq", NULL}},
    {"chips", {"population", NULL}},
    {"chip-images", {"population", NULL}},
    {"fine-tune", {"population", NULL}},
    {"groups", {"population", NULL}},
    {"yield-at", {"population", NULL}},
    {"format", {"export", NULL}},
};

static bool is_owner(const char *const *owners, const char *action)
{
    while (*owners && strcmp(*owners, action) != 0)
        owners++;
    return *owners != NULL;
}

// A file or the environment may hold options of several actions, and the script of a worker repeats them with --set;
// what is typed is meant for this one.
static lt_status check_strays(const cli_call *call, const char *action)
{
    for (size_t i = 0; i < sizeof belongs / sizeof *belongs; i++) {
        const char *value, *origin;
        LT_TRY(lt_optset_get(call->set, belongs[i].option, &value, &origin));
        const bool is_typed = !strcmp(origin, "flag") || (!strcmp(origin, "--set") && !call->workers.join);
        if (!is_typed || is_owner(belongs[i].owners, action))
            continue;
        const char *other = belongs[i].owners[1];
        return LT_FAIL(LT_E_USAGE, "quantize %s: --%s is an option of quantize %s%s%s", action, belongs[i].option,
                       belongs[i].owners[0], other ? " and " : "", other ? other : "");
    }
    return LT_OK;
}

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
    for (const cli_action *a = actions; call->n_positional > 0 && a->name; a++)
        if (!strcmp(a->name, call->positional[0]))
            LT_TRY(check_strays(call, a->name));
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
        "train    quantization-aware training from a float run: by a penalty (msqe and its variants) or "
        "straight-through\n"
        "ptq      the same levels without training\n"
        "population  a quantized run on many faulty or variable chips: mean, quantiles, worst, yield\n"
        "export   the integer network of a quantized run as C, ONNX or packed tables, written to --out\n"
        "The run holds model.safetensors with the weights as the hardware computes with them, and codes.safetensors\n"
        "with the integer codes, levels and encoding. --fault-rate and --variability make a chip of which some cells\n"
        "are stuck or differ: training then knows its map (--no-fault-aware: does not), and --chip N is another one.\n"
        "Defaults of training are those for a trained model: 15 epochs, weight decay 1e-4, and a learning rate such "
        "that\n"
        "the rates of all steps add up to 15, within 0.01 to 0.05; with stuck cells 0.05. --lr R sets another one.",
    .examples = "  lethe quantize train runs/base --bits 4 --method msqe-step --out runs/q4\n"
                "  lethe quantize ptq runs/base --bits 4 --step mse\n"
                "  lethe quantize export runs/q4 --format c --out model.c\n"
                "  lethe quantize population runs/q4 --chips 20 --fault-rate 0.05\n"
                "  lethe quantize population runs/q4 --chips 20 --fault-rate 0.05 --groups 5\n"
                "  lethe quantize train runs/base --bits 4 --fault-rate 0.1 --chip 3 --encoding sign-magnitude\n",
    .uses = CLI_COMPUTE | CLI_SEED | CLI_PLACE | CLI_RESUME | CLI_RECORD | CLI_WORKERS,
    .opts_size = sizeof(cli_quantize_opts),
    .groups = groups,
    .prepare = prepare,
    .more_help = more_help,
    .run = run,
    .print = print,
};
