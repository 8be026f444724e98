// inspect.c - what is in a tensor file or a run, and how a model is compiled.
#include "lethe/inspect.h"
#include "base/json_write.h"
#include "lethe/tensorfile.h"
#include "run/run_impl.h"
#include <ctype.h>
#include <math.h>
#include <string.h>

// ---- tensors

static double value_at(const lt_tensor *t, int64_t i)
{
    switch (t->dtype) {
    case LT_F32:
        return (double)((const float *)t->data)[i];
    case LT_F64:
        return ((const double *)t->data)[i];
    case LT_I32:
        return ((const int32_t *)t->data)[i];
    case LT_I64:
        return (double)((const int64_t *)t->data)[i];
    case LT_U8:
        return ((const uint8_t *)t->data)[i];
    default:
        return NAN;
    }
}

static int64_t element_count(const lt_tensor *t)
{
    int64_t n = 1;
    for (int i = 0; i < t->n_dims; i++)
        n *= t->dim[i];
    return n;
}

void lt_tensor_measure(const lt_tensor *t, lt_tensor_stats *s)
{
    double low = INFINITY, high = -INFINITY, sum = 0;
    *s = (lt_tensor_stats){.n = element_count(t), .min = NAN, .max = NAN, .mean = NAN};
    for (int64_t i = 0; i < s->n; i++) {
        const double v = value_at(t, i);
        if (!isfinite(v)) {
            s->n_not_finite++;
            continue;
        }
        low = fmin(low, v);
        high = fmax(high, v);
        sum += v;
    }
    if (s->n == s->n_not_finite)
        return;
    s->min = low;
    s->max = high;
    s->mean = sum / (double)(s->n - s->n_not_finite);
}

static void write_tensor(const lt_tensor_file *file, int i, bool stats, lti_json *w)
{
    const lt_tensor *t = lt_tensor_file_at(file, i);
    char type[16]; // in the file: half precision arrives in memory as f32
    lti_format(type, sizeof type, "%s", lt_tensor_file_stored_type(file, i));
    for (char *p = type; *p; p++)
        *p = (char)tolower((unsigned char)*p);
    lti_json_begin(w, NULL, '{');
    lti_json_text(w, "name", t->name);
    lti_json_text(w, "dtype", type);
    lti_json_begin(w, "shape", '[');
    for (int k = 0; k < t->n_dims; k++)
        lti_json_int(w, NULL, t->dim[k]);
    lti_json_end(w, ']');
    if (stats) {
        lt_tensor_stats s;
        lt_tensor_measure(t, &s);
        lti_json_real(w, "min", s.min);
        lti_json_real(w, "max", s.max);
        lti_json_real(w, "mean", s.mean);
        lti_json_int(w, "not_finite", s.n_not_finite);
    }
    lti_json_end(w, '}');
}

static void write_file(const lt_tensor_file *file, bool stats, lti_json *w)
{
    int64_t n_elements = 0;
    for (int i = 0; i < lt_tensor_file_count(file); i++)
        n_elements += element_count(lt_tensor_file_at(file, i));
    lti_json_int(w, "n_elements", n_elements);
    lti_json_begin(w, "metadata", '{');
    for (int i = 0; i < lt_tensor_file_n_meta(file); i++) {
        const lt_meta m = lt_tensor_file_meta_at(file, i);
        lti_json_text(w, m.key, m.value);
    }
    lti_json_end(w, '}');
    lti_json_begin(w, "tensors", '[');
    for (int i = 0; i < lt_tensor_file_count(file); i++)
        write_tensor(file, i, stats, w);
    lti_json_end(w, ']');
}

static lt_status inspect_tensors(const char *path, bool stats, lti_json *w)
{
    lt_tensor_file *file;
    char digest[65];
    LT_TRY(lt_tensor_file_open(path, &file));
    lti_json_text(w, "file", path);
    write_file(file, stats, w);
    lt_tensor_file_close(file);
    LT_TRY(lt_file_digest(path, digest));
    lti_json_text(w, "file_digest", digest);
    return LT_OK;
}

// ---- models

static lt_status write_plan(const lt_inspect_spec *spec, const lt_model *m, lti_json *w)
{
    lt_plan *plan;
    LT_TRY(lt_model_plan(m, spec->train ? LT_PLAN_OF_TRAINING : LT_PLAN_OF_INFERENCE, spec->batch,
                         spec->env->plan_flags, spec->env->backend, &plan));
    const lt_plan_stats stats = lt_plan_get_stats(plan);
    char *dump = lt_plan_dump(plan);
    lti_json_begin(w, "plan", '{');
    lti_json_real(w, "gflop", stats.flop / 1e9);
    lti_json_real(w, "slab_mib", (double)stats.slab_bytes / 0x1p20);
    lti_json_int(w, "n_kernels", stats.n_kernels);
    lti_json_int(w, "n_reorders", stats.n_reorders);
    lti_json_int(w, "n_ref_fallbacks", stats.n_ref_fallbacks);
    lti_json_text(w, "dump", dump ? dump : "");
    lti_json_end(w, '}');
    lti_free(dump);
    lt_plan_destroy(plan);
    return LT_OK;
}

static lt_status write_model(const lt_inspect_spec *spec, const lt_model *m, lti_json *w)
{
    char digest[65];
    lt_model_digest(m, digest);
    lti_json_text(w, "model", m->spec);
    lti_json_int(w, "parameters", m->n_params);
    lti_json_int(w, "state", m->n_state);
    lti_json_text(w, "model_digest", digest);
    return spec->plan ? write_plan(spec, m, w) : LT_OK;
}

static bool is_given(const char *text)
{
    return text && *text;
}

static const char *input_of(const lt_inspect_spec *spec)
{
    return is_given(spec->fallback.input) ? spec->fallback.input : "3x32x32";
}

static lt_status inspect_architecture(const lt_inspect_spec *spec, lti_json *w)
{
    const lt_model_fallback *f = &spec->fallback;
    lt_model_shape shape = {.n_classes = spec->n_classes};
    lt_model *m;
    char *text;
    LT_TRY(lt_parse_image_shape(input_of(spec), &shape));
    LT_TRY(lt_model_spec_normalize(f->model, is_given(f->normalize) ? f->normalize : "none", shape.c, &text));
    lt_status status = lt_model_create(text, shape, &m);
    lti_free(text);
    LT_TRY(status);
    lt_model_init(m, 1);
    status = write_model(spec, m, w);
    lt_model_destroy(m);
    return status;
}

static lt_status write_differences(const lt_inspect_spec *spec, const char *path, lti_json *w, int *n)
{
    lt_model_shape shape = {0};
    lt_differences d;
    LT_TRY(lt_parse_image_shape(input_of(spec), &shape));
    lt_status status = lt_model_compare(path, spec->fallback.model, &shape, &d);
    lti_json_text(w, "asked", spec->fallback.model);
    lti_json_begin(w, "differences", '[');
    for (int i = 0; i < d.n; i++) {
        lti_json_begin(w, NULL, '{');
        lti_json_text(w, "tensor", d.row[i].name);
        lti_json_text(w, "kind", lt_difference_kind_text(d.row[i].kind));
        lti_json_text(w, "expected", d.row[i].expected);
        lti_json_text(w, "found", d.row[i].found);
        lti_json_end(w, '}');
    }
    lti_json_end(w, ']');
    *n = d.n;
    lt_differences_clear(&d);
    return status;
}

// Opened as everything else opens it; a file that does not fit the architecture asked for is shown with what differs.
static lt_status inspect_model(const lt_inspect_spec *spec, const char *path, lti_json *w)
{
    lt_model_facts facts;
    lt_model_fallback fallback = spec->fallback;
    lt_trained_model m = {0};
    int n_differences = 0;
    fallback.input = input_of(spec);
    LT_TRY(lt_model_examine(path, &facts));
    if (!facts.own && facts.guessed)
        lti_json_text(w, "fits", facts.spec);
    if (!facts.own && !is_given(fallback.model)) {
        if (!spec->plan)
            return LT_OK;
        LT_FAIL(LT_E_USAGE, "%s: the file does not name its architecture", spec->file);
        return lt_error_hint("name it with --model");
    }
    if (!facts.own)
        LT_TRY(write_differences(spec, path, w, &n_differences));
    if (n_differences)
        return LT_OK;
    if (!is_given(fallback.normalize))
        fallback.normalize = "none"; // changes nothing that is shown here
    lt_status status = lt_trained_model_open(spec->file, is_given(fallback.model) ? &fallback : NULL, NULL, &m);
    if (status == LT_OK)
        status = write_model(spec, m.model, w);
    lt_trained_model_close(&m);
    return status;
}

static lt_status inspect_file(const lt_inspect_spec *spec, lti_json *w)
{
    char *path = lti_is_dir(spec->file) ? lti_asprintf("%s/model.safetensors", spec->file) : lti_strdup(spec->file);
    if (!path)
        return LTI_NOMEM("path");
    lt_status status = inspect_tensors(path, spec->stats, w);
    if (status == LT_OK)
        status = inspect_model(spec, path, w);
    lti_free(path);
    return status;
}

lt_status lt_inspect(const lt_inspect_spec *spec, char **json)
{
    lti_json w = {0};
    lti_json_begin(&w, NULL, '{');
    const lt_status status = spec->file ? inspect_file(spec, &w) : inspect_architecture(spec, &w);
    lti_json_end(&w, '}');
    *json = lti_json_take(&w);
    if (status == LT_OK)
        return *json ? LT_OK : LTI_NOMEM("inspect");
    lti_free(*json);
    *json = NULL;
    return status;
}
