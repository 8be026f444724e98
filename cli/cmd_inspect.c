// cmd_inspect.c - `lethe inspect`: what is in a tensor file or a run, and how a model is compiled.
#include "cli.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct opts {
    const char *file;
    lt_model_fallback fallback;
    bool plan, stats, train;
    int64_t batch;
    int32_t n_classes;
};
static const lt_option own[] = {
    LT_STR(struct opts, file, NULL, "run, model file or array file (also the first argument)"),
    LT_BOOL(struct opts, stats, 0, "minimum, maximum and mean of every tensor"),
    LT_BOOL(struct opts, plan, 0, "print the compiled plan: kernel, algorithm and layout of every node"),
    LT_BOOL(struct opts, train, 0, "plan of a training step instead of inference"),
    LT_I64(struct opts, batch, 128, 1, 65536, "images", "batch size of the plan"),
    LT_I32(struct opts, n_classes, 10, 2, 1000000, "", "number of classes of --model without a file"),
    LT_OPT_END,
};
static const cli_group groups[] = {
    {"", "Output", own, 0, LT_OPTGROUP_FLAGS},
    CLI_MODEL_FILE_GROUP(struct opts, fallback),
    {NULL, NULL, NULL, 0, 0},
};

static lt_status run(cli_call *call)
{
    const struct opts *o = call->opts;
    const bool has_file = call->n_positional > 0 || (o->file && *o->file);
    const bool architecture = !has_file && o->fallback.model && *o->fallback.model;
    lt_env env;
    char *json;
    LT_TRY(cli_positional(call, "file", architecture ? 0 : 1, 1));
    const lt_inspect_spec spec = {.file = architecture ? NULL : o->file,
                                  .fallback = o->fallback,
                                  .n_classes = o->n_classes,
                                  .stats = o->stats,
                                  .plan = o->plan,
                                  .train = o->train,
                                  .batch = o->batch,
                                  .env = &env};
    if (o->plan)
        LT_TRY(cli_env(call, &env));
    LT_TRY(lt_inspect(&spec, &json));
    return cli_json_take(json, &call->result);
}

// A file that does not fit the architecture asked for is shown, and refused all the same.
static lt_status check_differences(const cli_call *call)
{
    const size_t n = json_array_size(json_object_get(call->result, "differences"));
    if (!n)
        return LT_OK;
    return LT_FAIL(LT_E_FORMAT, "%s does not hold %s: %zu tensors differ", cli_text(call->result, "file"),
                   cli_text(call->result, "asked"), n);
}

static void print_differences(const json_t *r, FILE *out)
{
    size_t i;
    const json_t *row;
    const json_t *list = json_object_get(r, "differences");
    cli_table t = {.n_columns = 4, .left = {true, true, true, true}};
    if (!json_array_size(list))
        return;
    fprintf(out, "\nDifferences from %s:\n", cli_text(r, "asked"));
    cli_table_row(&t, "tensor", "difference", "expected", "found");
    json_array_foreach(list, i, row) cli_table_row(&t, cli_text(row, "tensor"), cli_text(row, "kind"),
                                                   cli_text(row, "expected"), cli_text(row, "found"));
    cli_table_print(&t, out);
    cli_table_clear(&t);
}

static void print_tensors(const json_t *r, FILE *out)
{
    cli_table t = {.n_columns = 6, .left = {true, true, true}};
    size_t i, k;
    const json_t *one, *dim;
    cli_table_row(&t, "tensor", "type", "shape", "min", "max", "mean");
    json_array_foreach(json_object_get(r, "tensors"), i, one)
    {
        char shape[160] = "", number[3][24] = {"", "", ""};
        size_t n = 0;
        static const char *const keys[3] = {"min", "max", "mean"};
        json_array_foreach(json_object_get(one, "shape"), k, dim) if (n < sizeof shape) n +=
            (size_t)snprintf(shape + n, sizeof shape - n, "%s%lld", k ? "x" : "", (long long)json_integer_value(dim));
        for (int c = 0; c < 3; c++)
            if (isfinite(cli_real(one, keys[c])))
                snprintf(number[c], 24, "%.4g", cli_real(one, keys[c]));
        cli_table_row(&t, cli_text(one, "name"), cli_text(one, "dtype"), n ? shape : "scalar", number[0], number[1],
                      number[2]);
    }
    cli_table_print(&t, out);
    cli_table_clear(&t);
}

static void print(const cli_call *call, FILE *out)
{
    const json_t *r = call->result;
    json_t *value;
    const char *key;
    if (json_object_get(r, "tensors")) {
        print_tensors(r, out);
        fprintf(out, "\n%.0f elements; file digest %s\n", cli_real(r, "n_elements"), cli_text(r, "file_digest"));
    }
    print_differences(r, out);
    if (*cli_text(r, "fits"))
        fprintf(out, "its tensors fit --model %s\n", cli_text(r, "fits"));
    json_object_foreach(json_object_get(r, "metadata"), key, value)
    {
        char *line = cli_format("%s = %s", key, json_string_value(value));
        cli_keep_printable(line);
        fprintf(out, "%s\n", line);
        free(line);
    }
    if (*cli_text(r, "model"))
        fprintf(out, "%s: %.0f parameters, %.0f of state; model digest %s\n", cli_text(r, "model"),
                cli_real(r, "parameters"), cli_real(r, "state"), cli_text(r, "model_digest"));
    if (json_object_get(r, "plan"))
        fprintf(out, "\nplan: %.2f GFLOP, %.1f MiB, %.0f kernels, %.0f reorders, %.0f reference fallbacks\n%s",
                cli_real(r, "plan.gflop"), cli_real(r, "plan.slab_mib"), cli_real(r, "plan.n_kernels"),
                cli_real(r, "plan.n_reorders"), cli_real(r, "plan.n_ref_fallbacks"), cli_text(r, "plan.dump"));
}

const cli_verb cli_verb_inspect = {
    .name = "inspect",
    .usage = "RUN|FILE [--model MODEL] | --model MODEL --plan",
    .about = "Lists tensors, shapes, metadata and digests of a model or array file, and prints how a model is compiled "
             "on this\n"
             "machine. With --model every tensor that keeps a file from being read as that architecture is listed "
             "(exit code 3).",
    .examples = "  lethe inspect runs/base\n"
                "  lethe inspect model.pth --model resnet18:width=64\n"
                "  lethe inspect --model resnet18 --plan --train --batch 64\n",
    .uses = CLI_COMPUTE,
    .opts_size = sizeof(struct opts),
    .groups = groups,
    .run = run,
    .check = check_differences,
    .print = print,
};
