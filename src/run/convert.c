// convert.c - models from one format into another, and foreign checkpoints into run directories.
//
// A run directory made from a checkpoint has no training recipe: whoever retrains it must give one. What it was trained
// on is recorded when the caller names it.
#include "base/json_write.h"
#include "lethe/spike.h"
#include "run/run_impl.h"
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static bool has_suffix(const char *path, const char *suffix)
{
    const size_t n = strlen(path), k = strlen(suffix);
    return n > k && !strcmp(path + n - k, suffix);
}

typedef lt_status write_fn(const lt_model *model, const char *path);

static write_fn *find_writer(const char *path)
{
    static const struct {
        const char *suffix;
        write_fn *write;
    } writers[] = {{".safetensors", lt_model_save},
                   {".pth", lt_model_export},
                   {".pt", lt_model_export},
                   {".npz", lt_model_export},
                   {".nir", lt_nir_export}};
    for (size_t i = 0; i < sizeof writers / sizeof *writers; i++)
        if (has_suffix(path, writers[i].suffix))
            return writers[i].write;
    return NULL;
}

static char *make_result(const lt_convert_spec *spec, const lt_model *model)
{
    char digest[65];
    lti_buf b = {0};
    lt_model_digest(model, digest);
    lti_buf_puts(&b, "{\"model\":");
    lti_buf_json_string(&b, model->spec);
    lti_buf_printf(&b, ",\"input\":\"%dx%dx%d\",\"n_classes\":%d,\"parameters\":%lld,\"from\":", model->shape.c,
                   model->shape.h, model->shape.w, model->shape.n_classes, (long long)model->n_params);
    lti_buf_json_string(&b, spec->in);
    lti_buf_puts(&b, ",\"out\":");
    lti_buf_json_string(&b, spec->out);
    if (spec->ds) {
        lti_buf_puts(&b, ",\"data\":");
        lti_buf_json_string(&b, spec->ds->spec);
        lti_buf_printf(&b, ",\"data_digest\":\"%s\",\"n_train\":%lld", spec->ds->digest,
                       (long long)spec->ds->split[LT_TRAIN].n);
    }
    lti_buf_printf(&b, ",\"model_digest\":\"%s\"}", digest);
    return lti_buf_take(&b);
}

static lt_status check_like(const lt_convert_spec *spec, write_fn *write)
{
    if (!spec->like || !*spec->like || write == lt_model_export)
        return LT_OK;
    return LT_FAIL(LT_E_USAGE, "--like: names of another checkpoint are for .pth, .pt and .npz, found %s", spec->out);
}

static lt_status write_file(const lt_convert_spec *spec, const lt_model *model, write_fn *write)
{
    struct stat st;
    if (!spec->force && lstat(spec->out, &st) == 0) {
        LT_FAIL(LT_E_USAGE, "%s: it is there already", spec->out);
        return lt_error_hint("--force replaces it");
    }
    if (spec->like && *spec->like)
        return lt_model_export_like(model, spec->like, spec->out);
    return write(model, spec->out);
}

static lt_status fill_run(const lt_convert_spec *spec, lt_model *model, lt_result_dir *d)
{
    if (spec->ds) {
        const lt_provenance p = {.ds = spec->ds, .is_trained = !model->class_names};
        LT_TRY(lt_model_set_provenance(model, &p));
        LT_TRY(lt_model_set_meta(model, "lethe.data", spec->ds->spec));
        LT_TRY(lt_result_dir_add_samples(d, spec->ds));
    }
    if (spec->recipe) {
        const lt_provenance p = {.recipe = spec->recipe};
        LT_TRY(lt_model_set_provenance(model, &p));
    }
    LT_TRY(lt_model_set_meta(model, "lethe.imported", spec->in));
    return lt_model_save(model, d->model);
}

static lt_status write_run(const lt_convert_spec *spec, lt_model *model, char **result_json)
{
    char digest[65];
    lt_model_digest(model, digest);
    const char *const facts[] = {"source_digest", digest, spec->ds ? "data_digest" : NULL,
                                 spec->ds ? spec->ds->digest : NULL, NULL};
    const lt_result_dir_spec to = {.verb = "convert",
                                   .label = "convert",
                                   .out = spec->out,
                                   .force = spec->force,
                                   .options = spec->options,
                                   .facts = facts,
                                   .events = spec->events};
    lt_result_dir d;
    lt_status status = lt_result_dir_open(&to, &d);
    if (status == LT_OK && d.finished) {
        status = lt_result_dir_stored(&d, result_json);
    } else if (status == LT_OK) {
        status = fill_run(spec, model, &d);
        if (status == LT_OK && !(*result_json = make_result(spec, model)))
            status = LTI_NOMEM("result");
        if (status == LT_OK)
            status = lt_result_dir_finish(&d, *result_json);
    }
    lt_result_dir_close(&d);
    return status;
}

lt_status lt_convert(const lt_convert_spec *spec, char **result_json)
{
    lt_trained_model m;
    write_fn *write = find_writer(spec->out);
    *result_json = NULL;
    LT_TRY(check_like(spec, write));
    lt_status status = lt_trained_model_open(spec->in, spec->fallback, spec->ds, &m);
    if (status == LT_OK && write) {
        status = write_file(spec, m.model, write);
        if (status == LT_OK && !(*result_json = make_result(spec, m.model)))
            status = LTI_NOMEM("result");
    } else if (status == LT_OK) {
        status = write_run(spec, m.model, result_json);
    }
    lt_trained_model_close(&m);
    return status;
}
