// cmd_norms.c - `lethe norms`: spectral norms of a model's layers as the maps they are; clipping of a checkpoint.
#include "cli.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct opts {
    const char *file, *out, *report;
    float clip;
    bool force;
    lt_model_fallback fallback;
    lt_spectra_cfg spectra;
    lt_clip_cfg rule;
};
static const lt_option own[] = {
    LT_STR(struct opts, file, NULL, "run or model file (also the first argument)"),
    LT_F32(struct opts, clip, 0, 0, 1e6, "",
           "clip convolutions and linear layers to this norm and write the model to --out; 0 = only measure"),
    LT_STR(struct opts, out, NULL, "file of the clipped model (with --clip)"),
    LT_STR(struct opts, report, NULL, "also a page with the spectra, with --clip before and after"),
    LT_BOOL(struct opts, force, 0, "overwrite existing files"),
    LT_OPT_END,
};
static const cli_group groups[] = {
    {"", "Input", own, 0, LT_OPTGROUP_FLAGS},
    {"", "Files that lethe did not write", lt_model_fallback_options, offsetof(struct opts, fallback),
     LT_OPTGROUP_FLAGS},
    {"spectra", "Spectra", lt_spectra_options, offsetof(struct opts, spectra), LT_OPTGROUP_FLAGS},
    {"clip", "Clipping", lt_clip_rule_options, offsetof(struct opts, rule), LT_OPTGROUP_FLAGS},
    {NULL, NULL, NULL, 0, 0},
};

static lt_status write_report(const struct opts *o, const char *model, const lt_norms_record *r)
{
    const bool has_before = r->before.n_layers > 0;
    const lt_report_spectra all[] = {{has_before ? "before" : o->file, has_before ? &r->before : &r->after},
                                     {"after", &r->after}};
    const lt_report_spec page = {
        .title = "Spectra of layers", .subtitle = model, .spectra = all, .n_spectra = has_before ? 2 : 1};
    return lt_report_html(&page, o->report);
}

static lt_status measure(cli_call *call, lt_model *model)
{
    const struct opts *o = call->opts;
    const bool wants_page = o->report && *o->report;
    lt_env env;
    lt_norms_record record;
    cli_catch_signals(call->session);
    LT_TRY(cli_env(call, &env));
    const lt_norms_order order = {.model = model,
                                  .clip = (double)o->clip,
                                  .rule = o->rule,
                                  .spectra = o->spectra,
                                  .seed = call->seed.seed,
                                  .out = o->out,
                                  .measure_before = wants_page && o->clip > 0,
                                  .env = &env};
    cli_progress_stage(call->session->progress, "spectra of %s", model->spec);
    lt_status status = lt_norms_measure(&order, &record);
    if (status == LT_OK)
        status = cli_set_result(call, record.json, "norms");
    if (status == LT_OK && wants_page)
        status = write_report(o, model->spec, &record);
    lt_norms_record_clear(&record);
    return status;
}

static lt_status run(cli_call *call)
{
    const struct opts *o = call->opts;
    lt_trained_model m = {0};
    LT_TRY(cli_positional(call, "file", 1, 1));
    if ((o->clip > 0) != (o->out && *o->out)) // before a file is opened
        return LT_FAIL(LT_E_USAGE, "norms: --clip and --out go together");
    LT_TRY(lt_output_check("out", o->out, LT_OUTPUT_NEW, o->force));
    LT_TRY(lt_output_check("report", o->report, LT_OUTPUT_PAGE, o->force));
    lt_status status = lt_trained_model_open(o->file, &o->fallback, NULL, &m);
    if (status == LT_OK)
        status = measure(call, m.model);
    lt_trained_model_close(&m);
    return status;
}

static const char *number(double v, char buf[24])
{
    snprintf(buf, 24, isfinite(v) ? "%.4f" : "-", v);
    return buf;
}

static void print(const cli_call *call, FILE *out)
{
    const json_t *r = call->result;
    const json_t *one;
    size_t i;
    cli_table t = {.n_columns = 7, .left = {true, true}};
    char b[5][24];
    cli_table_row(&t, "layer", "kind", "norm", "lower", "upper", "reshaped kernel", "steps");
    json_array_foreach(json_object_get(r, "layers"), i, one)
    {
        snprintf(b[4], sizeof b[4], "%.0f", cli_real(one, "iterations"));
        cli_table_row(&t, cli_text(one, "name"), cli_text(one, "kind"),
                      number(json_real_value(json_array_get(json_object_get(one, "sigma"), 0)), b[0]),
                      number(cli_real(one, "lower"), b[1]), number(cli_real(one, "upper"), b[2]),
                      number(cli_real(one, "kernel_norm"), b[3]), b[4]);
    }
    cli_table_print(&t, out);
    cli_table_clear(&t);
    if (json_is_number(json_object_get(r, "lipschitz_bound")))
        fprintf(out, "\nLipschitz bound of %s: %.6g per pixel unit, %.6g behind the input normalisation (%s)\n",
                cli_text(r, "model"), cli_real(r, "lipschitz_bound"), cli_real(r, "lipschitz_bound_normalized"),
                cli_text(r, "lipschitz_bound_by"));
    json_array_foreach(json_object_get(r, "clipped"), i, one) fprintf(
        out, "%s %s: %.4f to %.4f in %.0f events (target %.4g)\n", i ? "       " : "clipped", cli_text(one, "name"),
        cli_real(one, "before"), cli_real(one, "after"), cli_real(one, "events"), cli_real(one, "target"));
    if (*cli_text(r, "out"))
        fprintf(out, "%s\n", cli_text(r, "out"));
}

const cli_verb cli_verb_norms = {
    .name = "norms",
    .usage = "RUN|FILE [--top-k K] [--clip C --out FILE]",
    .about = "Prints the spectral norm of every linear layer as the map it is - convolutions with their stride, "
             "padding and\n"
             "image size, batch norm in evaluation form, a convolution together with its batch norm - with a bracket: "
             "what a\n"
             "vector attains from below, a certificate from above. Next to it is the norm of the reshaped kernel, "
             "which\n"
             "common frameworks report. The Lipschitz bound of the network is composed of the upper ends.\n"
             "--clip C writes a copy whose convolutions and linear layers have a norm of at most C (FastClip).",
    .examples = "  lethe norms runs/base --top-k 5\n"
                "  lethe norms resnet18.safetensors --input 3x32x32 --json\n"
                "  lethe norms runs/base --clip 1 --out clipped.safetensors\n",
    .uses = CLI_COMPUTE | CLI_SEED,
    .opts_size = sizeof(struct opts),
    .groups = groups,
    .run = run,
    .print = print,
};
