// integer_run.c - the integer network of a quantized run: opened, and exported.
#include "lethe/output_file.h"
#include "run/quantize_impl.h"
#include <stdlib.h>
#include <string.h>

const char *const lt_export_file_name[LT_N_EXPORT_FORMATS] = {[LT_EXPORT_C] = "lethe_model.c",
                                                              [LT_EXPORT_ONNX] = "lethe_model.onnx",
                                                              [LT_EXPORT_PACKED] = "lethe_model.safetensors"};

char *lt_export_path(const char *out, lt_export_format format)
{
    return lti_is_dir(out) ? lti_asprintf("%s/%s", out, lt_export_file_name[format]) : lti_strdup(out);
}

lt_status lt_export_check(const char *path, lt_export_format format, bool force)
{
    static const lt_output_kind kind[] = {
        [LT_EXPORT_C] = LT_OUTPUT_C, [LT_EXPORT_ONNX] = LT_OUTPUT_ONNX, [LT_EXPORT_PACKED] = LT_OUTPUT_PACKED};
    const size_t n = strlen(path);
    LT_TRY(lt_output_check("out", path, kind[format], force));
    if (format != LT_EXPORT_C || n < 2)
        return LT_OK;
    char *header = lti_asprintf("%.*sh", (int)n - 1, path);
    const lt_status status = header ? lt_output_check("out", header, LT_OUTPUT_C, force) : LTI_NOMEM("export");
    lti_free(header);
    return status;
}

lt_status lt_integer_run_open(const lt_trained_model *base, const lt_dataset *ds, const lt_env *env,
                              lt_integer_run *run)
{
    *run = (lt_integer_run){0};
    LT_TRY(lt_trained_model_codes(base, &run->quant));
    return lt_int_net_create(base->model, run->quant, ds, env, &run->net);
}

void lt_integer_run_close(lt_integer_run *run)
{
    lt_int_net_destroy(run->net);
    lt_quant_destroy(run->quant);
    *run = (lt_integer_run){0};
}

static char *write_record(const lt_trained_model *base, const char *path, const lt_export_record *r)
{
    lti_json j = {0};
    char *info = lt_int_info_json(&r->info);
    if (!info)
        return NULL;
    lti_json_begin(&j, NULL, '{');
    lti_json_text(&j, "action", "export");
    lti_json_text(&j, "source", base->name);
    lti_json_text(&j, "path", path);
    lti_json_text(&j, "digest", r->digest);
    lti_json_real(&j, "bits", lt_trained_model_real(base, "bits"));
    lti_json_real(&j, "test_acc_fp", lt_trained_model_real(base, "test_acc_fp"));
    lti_json_real(&j, "test_acc_q", lt_trained_model_real(base, "test_acc_q"));
    lti_json_real(&j, "test_acc_integer", r->test_acc);
    lti_json_real(&j, "images_per_s", r->images_per_s);
    lti_json_raw(&j, "integer", info);
    lti_json_end(&j, '}');
    free(info);
    return lti_json_take(&j);
}

static lt_status write_file(const lt_int_net *net, lt_export_format format, const char *path)
{
    if (format == LT_EXPORT_ONNX)
        return lt_int_net_export_onnx(net, path);
    return format == LT_EXPORT_PACKED ? lt_int_net_export_packed(net, path) : lt_int_net_export_c(net, path);
}

lt_status lt_integer_run_export(const lt_trained_model *base, const lt_dataset *ds, const lt_env *env,
                                lt_export_format format, const char *path, lt_export_record *r)
{
    lt_integer_run run;
    lt_status status = LT_OK;
    *r = (lt_export_record){0};
    LT_TRY_GOTO(lt_integer_run_open(base, ds, env, &run), done);
    LT_TRY_GOTO(
        lt_int_net_evaluate(run.net, ds, LT_TEST, lt_backend_n_threads(env->backend), &r->test_acc, &r->images_per_s),
        done);
    lt_int_net_info(run.net, &r->info);
    LT_TRY_GOTO(write_file(run.net, format, path), done);
    LT_TRY_GOTO(lt_file_digest(path, r->digest), done);
    r->json = write_record(base, path, r);
    if (!r->json)
        status = LTI_NOMEM("result");
done:
    lt_integer_run_close(&run);
    return status;
}

void lt_export_record_clear(lt_export_record *r)
{
    free(r->json);
    *r = (lt_export_record){0};
}
