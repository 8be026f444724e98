// cmd_convert.c - `lethe convert`: checkpoints of other programs into run directories, and models into other formats.
#include "cli.h"
#include <stdlib.h>
#include <string.h>

struct opts {
    lt_model_fallback file;
    lt_train_cfg training;
    const char *data, *recipe, *like;
    bool force;
};
static const lt_option own[] = {
    LT_STR(struct opts, data, NULL, "data set that the model was trained on, KIND[:PATH][,key=value...]"),
    LT_STR(struct opts, recipe, NULL,
           "YAML file that says how the model was trained, as `unlearn --method retrain --recipe` takes it; options of "
           "training count more"),
    LT_STR(struct opts, like, NULL, "write .pth, .pt or .npz under the names that this checkpoint has"),
    LT_BOOL(struct opts, force, 0, "replace an existing output"),
    LT_OPT_END,
};
static const cli_group groups[] = {
    {"", "Model files without metadata", lt_model_fallback_options, offsetof(struct opts, file), LT_OPTGROUP_FLAGS},
    {"", "Details", own, 0, LT_OPTGROUP_FLAGS},
    {"train", "How the model was trained (for the oracle: unlearn --method retrain)", lt_train_options,
     offsetof(struct opts, training), LT_OPTGROUP_FLAGS},
    {NULL, NULL, NULL, 0, 0},
};

// A recipe is recorded when the user has said for how long the model was trained: defaults are no recipe.
static bool has_recipe(const cli_call *call)
{
    const struct opts *o = call->opts;
    const char *value, *origin;
    if (o->recipe && *o->recipe)
        return true;
    return lt_optset_get(call->set, "train.epochs", &value, &origin) == LT_OK && strcmp(origin, "default") != 0;
}

static lt_status run(cli_call *call)
{
    const struct opts *o = call->opts;
    const lt_dataset *ds = NULL;
    if (call->n_positional != 2) {
        LT_FAIL(LT_E_USAGE, "convert: expected an input and an output, found %d arguments", call->n_positional);
        return lt_error_hint("for example: lethe convert model.pth runs/imported --model resnet18:width=64 ...");
    }
    if (o->data && *o->data)
        LT_TRY(cli_dataset(call, o->data, &ds));
    const lt_convert_spec spec = {.in = call->positional[0],
                                  .out = call->positional[1],
                                  .fallback = &o->file,
                                  .ds = ds,
                                  .recipe = has_recipe(call) ? &o->training : NULL,
                                  .recipe_file = o->recipe,
                                  .options = call->set,
                                  .like = o->like,
                                  .force = o->force,
                                  .events = call->session->events};
    char *text;
    LT_TRY(lt_convert(&spec, &text));
    lt_status status = cli_json_parse(text, "result", &call->result);
    free(text);
    return status;
}

static void print(const cli_call *call, FILE *out)
{
    const json_t *r = call->result;
    fprintf(out, "%s: %s for %s images, %.0f classes, %.0f parameters\nmodel digest %.16s, written to %s\n",
            cli_text(r, "from"), cli_text(r, "model"), cli_text(r, "input"), cli_real(r, "n_classes"),
            cli_real(r, "parameters"), cli_text(r, "model_digest"), cli_text(r, "out"));
}

const cli_verb cli_verb_convert = {
    .name = "convert",
    .usage = "RUN|FILE OUT [options]",
    .about =
        "Reads a model (run, .safetensors, .pth, .pt, .npz, .onnx) and writes it in the format that the suffix of OUT\n"
        "names: .safetensors, .pth or .pt (torch.load reads it with weights_only=True), .npz, .onnx (image in [0,1] "
        "to\n"
        "logits, batch norm kept, so that it can be read again), or .nir for spiking networks. Without such a suffix "
        "OUT\n"
        "becomes a run directory, which every other verb takes: what the file could not say and the data that the\n"
        "model was trained on are recorded in it. Nothing in a checkpoint is executed. Options of training (or\n"
        "--config FILE.yaml) record how the model was trained, with --epochs at least: retraining needs it. --recipe "
        "takes the\n"
        "same from a file, of several trainings where there were some.",
    .examples = "  lethe convert model.pth runs/imported --model resnet18:width=64 \\\n"
                "      --normalize 0.4914,0.4822,0.4465:0.2023,0.1994,0.2010 --data folder:/data/photos \\\n"
                "      --epochs 200 --lr 0.1 --weight-decay 5e-4\n"
                "  lethe convert runs/amun amun.pth\n"
                "  lethe convert runs/amun amun.onnx\n"
                "  lethe convert runs/amun amun.pth --like model.pth\n",
    .opts_size = sizeof(struct opts),
    .groups = groups,
    .run = run,
    .print = print,
};
