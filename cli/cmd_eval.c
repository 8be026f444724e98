// cmd_eval.c - `lethe eval`: accuracy, loss and calibration of a model per split and per class; optionally its signals.
#include "cli.h"
#include "lethe/spike.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct opts {
    const char *run, *data, *signals, *forget;
    lt_model_fallback file;
    uint64_t forget_seed;
    bool train, force, integer;
};
static const lt_option own[] = {
    LT_STR(struct opts, run, NULL, "run or model file to evaluate (also the first argument)"),
    LT_STR(struct opts, data, NULL, "data set; default: the one the model was trained on"),
    LT_STR(struct opts, signals, NULL, "write logits, labels, ids and groups of all samples to this .npz"),
    LT_STR(struct opts, forget, NULL, "forget set to report apart; default: forget.csv of the run, if it has one"),
    LT_U64(struct opts, forget_seed, 1, "seed of the draw of a random forget set"),
    LT_BOOL(struct opts, train, 1, "evaluate the training split too; --no-train: only the test split"),
    LT_BOOL(struct opts, force, 0, "overwrite a file of another kind with --signals"),
    LT_BOOL(struct opts, integer, 0, "of a quantized run: compute with integers only, as the deployed network does"),
    LT_OPT_END,
};
static const cli_group groups[] = {
    {"", "Input and output", own, 0, LT_OPTGROUP_FLAGS},
    CLI_MODEL_FILE_GROUP(struct opts, file),
    {NULL, NULL, NULL, 0, 0},
};

static bool is_set(const char *text)
{
    return text && *text;
}

static lt_status evaluate(cli_call *call, const lt_trained_model *model, const lt_dataset *ds)
{
    const struct opts *o = call->opts;
    lt_env env;
    lt_evaluation result;
    LT_TRY(cli_env(call, &env));
    const lt_evaluation_spec spec = {.model = model,
                                     .ds = ds,
                                     .other_data = is_set(o->data),
                                     .forget = {.spec = o->forget, .seed = o->forget_seed},
                                     .train = o->train,
                                     .integer = o->integer,
                                     .signals = o->signals,
                                     .n_threads = cli_threads(call),
                                     .env = &env};
    cli_progress_stage(call->session->progress, "evaluating %s", o->run);
    lt_status status = lt_evaluate_model(&spec, &result);
    cli_progress_clear(call->session->progress);
    if (status == LT_OK)
        status = cli_json_take(lt_evaluation_json(&result), &call->result);
    lt_evaluation_clear(&result);
    return status;
}

static lt_status run(cli_call *call)
{
    const struct opts *o = call->opts;
    lt_trained_model model;
    const lt_dataset *ds = NULL;
    LT_TRY(cli_positional(call, "run", 1, 1));
    LT_TRY(lt_output_check("signals", o->signals, LT_OUTPUT_NPZ, o->force));
    if (is_set(o->data))
        LT_TRY(cli_dataset(call, o->data, &ds));
    lt_status status = lt_trained_model_open(o->run, &o->file, ds, &model);
    if (status == LT_OK) // a forget set is of the data of the training
        status = is_set(o->forget) ? cli_model_data(call, &model, o->data, &ds)
                                   : cli_model_other_data(call, &model, o->data, &ds);
    if (status == LT_OK)
        status = evaluate(call, &model, ds);
    lt_trained_model_close(&model);
    return status;
}

static void print_splits(const json_t *splits, FILE *out)
{
    static const char *const names[] = {"train", "retain", "forget", "test"};
    cli_table t = {.n_columns = 5, .left = {true}};
    cli_table_row(&t, "split", "images", "accuracy %", "loss", "calibration error %");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const json_t *s = json_object_get(splits, names[i]);
        char acc[24], ece[24],
            *n = cli_format("%.0f", cli_real(s, "n")),
            *loss =
                json_is_number(json_object_get(s, "loss")) ? cli_format("%.4f", cli_real(s, "loss")) : cli_format("-");
        if (s)
            cli_table_row(&t, names[i], n, cli_percent(cli_real(s, "acc"), acc), loss,
                          cli_percent(cli_real(s, "ece"), ece));
        free(n);
        free(loss);
    }
    cli_table_print(&t, out);
    cli_table_clear(&t);
}

static void print_classes(const json_t *splits, FILE *out)
{
    enum { MANY = 20 };
    json_t *test = json_object_get(json_object_get(splits, "test"), "per_class");
    json_t *train = json_object_get(json_object_get(splits, "train"), "per_class");
    json_t *classes = test ? test : train, *value;
    const char *name;
    if (!classes || json_object_size(classes) > MANY) {
        fputs("(accuracies of every class: --json)\n", out);
        return;
    }
    cli_table t = {.n_columns = 3, .left = {true}};
    cli_table_row(&t, "class", "train %", "test %");
    json_object_foreach(classes, name, value)
    {
        char a[24], b[24];
        cli_table_row(&t, name, cli_percent(train ? json_number_value(json_object_get(train, name)) : (double)NAN, a),
                      cli_percent(test ? json_number_value(json_object_get(test, name)) : (double)NAN, b));
    }
    fputc('\n', out);
    cli_table_print(&t, out);
    cli_table_clear(&t);
}

static void print_activity(const json_t *r, FILE *out)
{
    const char *name;
    json_t *rate;
    cli_table t = {.n_columns = 3, .left = {true}};
    if (!json_object_get(r, "spike_rate"))
        return;
    cli_table_row(&t, "neurons", "number", "spikes a step");
    json_object_foreach(json_object_get(r, "spike_rate"), name, rate)
    {
        char *n = cli_format("%.0f", json_number_value(json_object_get(json_object_get(r, "neurons"), name)));
        char *value = cli_format("%.4f", json_number_value(rate));
        cli_table_row(&t, name, n, value);
        free(n);
        free(value);
    }
    fputc('\n', out);
    cli_table_print(&t, out);
    cli_table_clear(&t);
    fprintf(out,
            "\nsynaptic operations a sample: %.0f, multiply-adds: %.0f (dense: %.0f)\n"
            "energy of arithmetic: %.3f uJ, dense %.3f uJ (%g pJ an addition, %g pJ a multiply-add, 45 nm)\n",
            cli_real(r, "synops"), cli_real(r, "macs"), cli_real(r, "dense_macs"), 1e-6 * cli_real(r, "energy_pj"),
            1e-6 * cli_real(r, "dense_energy_pj"), LT_SPIKE_PJ_ADD, LT_SPIKE_PJ_MAC);
}

static void print(const cli_call *call, FILE *out)
{
    const json_t *splits = json_object_get(call->result, "splits");
    fprintf(out, "%s on %s\n\n", cli_text(call->result, "model"), cli_text(call->result, "data"));
    print_splits(splits, out);
    print_classes(splits, out);
    print_activity(call->result, out);
}

const cli_verb cli_verb_eval = {
    .name = "eval",
    .usage = "RUN|FILE.safetensors [--data DATA] [options]",
    .about = "Evaluates a model on un-augmented images: accuracy, cross-entropy in nats and expected calibration error "
             "of each\n"
             "split, accuracy of each class. --signals writes the outputs that `lethe audit --signals` reads.",
    .examples = "  lethe eval runs/base\n"
                "  lethe eval model.safetensors --model resnet18 --data cifar10:/data/cifar-10-batches-bin\n"
                "  lethe eval runs/amun --signals amun.npz --json\n",
    .uses = CLI_COMPUTE,
    .opts_size = sizeof(struct opts),
    .groups = groups,
    .run = run,
    .print = print,
};
