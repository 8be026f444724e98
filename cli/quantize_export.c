// quantize_export.c - `lethe quantize export`, and the integer network of a run for `lethe eval --integer`.
#include "quantize.h"
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

lt_status cli_integer_net_open(const cli_source *src, const lt_dataset *ds, const lt_env *env, cli_integer_net *net)
{
    LT_TRY(lt_trained_model_codes(src, &net->quant));
    return lt_int_net_create(src->model, net->quant, ds, env, &net->net);
}

void cli_integer_net_close(cli_integer_net *net)
{
    lt_int_net_destroy(net->net);
    lt_quant_destroy(net->quant);
}

json_t *cli_integer_net_json(const cli_integer_net *net)
{
    lt_int_info info;
    json_t *json;
    lt_int_net_info(net->net, &info);
    return cli_json_take(lt_int_info_json(&info), &json) == LT_OK ? json : NULL;
}

// A directory gets a file of the usual name.
static char *target_path(const char *out, int32_t format)
{
    static const char *const name[] = {"lethe_model.c", "lethe_model.onnx", "lethe_model.safetensors"};
    struct stat st;
    const bool dir = stat(out, &st) == 0 && S_ISDIR(st.st_mode);
    return dir ? cli_format("%s/%s", out, name[format]) : cli_format("%s", out);
}

// Neither the file nor the header next to a C file may be somebody else's.
static lt_status may_export(const cli_call *call, int32_t format, const char *path)
{
    static const cli_file_kind kind[] = {
        [CLI_FORMAT_C] = CLI_FILE_C, [CLI_FORMAT_ONNX] = CLI_FILE_ONNX, [CLI_FORMAT_PACKED] = CLI_FILE_PACKED};
    const size_t n = strlen(path);
    LT_TRY(cli_may_write("out", path, kind[format], call->place.force));
    if (format != CLI_FORMAT_C || n < 2)
        return LT_OK;
    char *header = cli_format("%.*sh", (int)n - 1, path);
    const lt_status status = cli_may_write("out", header, CLI_FILE_C, call->place.force);
    free(header);
    return status;
}

static lt_status write_format(const lt_int_net *net, int32_t format, const char *path)
{
    if (format == CLI_FORMAT_ONNX)
        return lt_int_net_export_onnx(net, path);
    return format == CLI_FORMAT_PACKED ? lt_int_net_export_packed(net, path) : lt_int_net_export_c(net, path);
}

static lt_status export(cli_call *call, cli_quantize_job *job, cli_integer_net *net)
{
    const cli_quantize_opts *o = call->opts;
    double acc = 0, per_s = 0;
    char digest[65];
    if (!call->place.out || !*call->place.out) {
        LT_FAIL(LT_E_USAGE, "quantize export: --out is missing");
        return lt_error_hint("for example --out model.c, --format onnx --out model.onnx");
    }
    char *path = target_path(call->place.out, o->format);
    lt_status status = may_export(call, o->format, path); // before the work
    if (status == LT_OK)
        status = cli_quantize_open(call, job);
    if (status == LT_OK)
        status = cli_integer_net_open(&job->src, job->ds, &job->env, net);
    if (status == LT_OK)
        status = lt_int_net_evaluate(net->net, job->ds, LT_TEST, cli_threads(call), &acc, &per_s);
    if (status == LT_OK)
        status = write_format(net->net, o->format, path);
    if (status == LT_OK)
        status = lt_file_digest(path, digest);
    if (status == LT_OK) {
        json_t *r = json_object();
        cli_put_text(r, "action", "export");
        cli_put_text(r, "source", job->src.name);
        cli_put_text(r, "path", path);
        cli_put(r, "digest", json_string(digest));
        cli_put_real(r, "bits", lt_trained_model_real(&job->src, "bits"));
        cli_put_real(r, "test_acc_fp", lt_trained_model_real(&job->src, "test_acc_fp"));
        cli_put_real(r, "test_acc_q", lt_trained_model_real(&job->src, "test_acc_q"));
        cli_put_real(r, "test_acc_integer", acc);
        cli_put_real(r, "images_per_s", per_s);
        cli_put(r, "integer", cli_integer_net_json(net));
        call->result = r;
    }
    free(path);
    return status;
}

lt_status cli_quantize_export(cli_call *call)
{
    cli_quantize_job job = {0};
    cli_integer_net net = {0};
    const lt_status status = export(call, &job, &net);
    cli_integer_net_close(&net);
    cli_quantize_close(&job, status);
    return status;
}

void cli_print_export(const json_t *r, FILE *out)
{
    char q[24], i[24];
    fprintf(out, "%s: test accuracy %s %% by integers, %s %% by the float simulation\n", cli_text(r, "path"),
            cli_percent(cli_real(r, "test_acc_integer"), i), cli_percent(cli_real(r, "test_acc_q"), q));
    fprintf(out,
            "read-only memory %.1f KiB (weights %.1f, tables %.1f; float model %.1f), activations %.1f KiB, %.2f M "
            "multiply-adds\n",
            (cli_real(r, "integer.weight_bytes") + cli_real(r, "integer.table_bytes")) / 1024,
            cli_real(r, "integer.weight_bytes") / 1024, cli_real(r, "integer.table_bytes") / 1024,
            cli_real(r, "integer.float_bytes") / 1024, cli_real(r, "integer.activation_bytes") / 1024,
            cli_real(r, "integer.macs") / 1e6);
}
