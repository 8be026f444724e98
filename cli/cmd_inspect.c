// cmd_inspect.c - `lethe inspect`: what is in a tensor file or a run, and how a model is compiled.
#include "cli.h"
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct opts {
    const char *file, *model, *input;
    bool plan, stats, train;
    int64_t batch;
    int32_t classes;
};
static const lt_option own[] = {
    LT_STR(struct opts, file, NULL, "run, .safetensors or .npz file (also the first argument)"),
    LT_BOOL(struct opts, stats, 0, "minimum, maximum and mean of every tensor"),
    LT_BOOL(struct opts, plan, 0, "print the compiled plan: kernel, algorithm and layout of every node"),
    LT_BOOL(struct opts, train, 0, "plan of a training step instead of inference"),
    LT_I64(struct opts, batch, 128, 1, 65536, "images", "batch size of the plan"),
    LT_STR(struct opts, model, NULL, "architecture to plan without a file, or of a file without lethe metadata"),
    LT_STR(struct opts, input, "3x32x32", "image shape, channels x height x width (with --model)"),
    LT_I32(struct opts, classes, 10, 2, 1000000, "", "number of classes (with --model)"),
    LT_OPT_END,
};
static const cli_group groups[] = {{"", "Output", own, 0, LT_OPTGROUP_FLAGS}, {NULL, NULL, NULL, 0, 0}};

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

static void put_stats(json_t *j, const lt_tensor *t)
{
    double lo = INFINITY, hi = -INFINITY, sum = 0;
    int64_t n = element_count(t), n_bad = 0;
    for (int64_t i = 0; i < n; i++) {
        double v = value_at(t, i);
        if (!isfinite(v)) {
            n_bad++;
            continue;
        }
        lo = fmin(lo, v);
        hi = fmax(hi, v);
        sum += v;
    }
    cli_put_real(j, "min", lo);
    cli_put_real(j, "max", hi);
    cli_put_real(j, "mean", n > n_bad ? sum / (double)(n - n_bad) : (double)NAN);
    cli_put(j, "not_finite", json_integer(n_bad));
}

// The type in the file: half precision arrives in memory as f32.
static json_t *stored_type(const lt_tensor_file *file, int i)
{
    char name[16];
    snprintf(name, sizeof name, "%s", lt_tensor_file_stored_type(file, i));
    for (char *p = name; *p; p++)
        *p = (char)tolower((unsigned char)*p);
    return json_string(name);
}

static json_t *tensor_json(const lt_tensor_file *file, int i, bool stats)
{
    const lt_tensor *t = lt_tensor_file_at(file, i);
    json_t *j = json_object(), *shape = json_array();
    cli_put_text(j, "name", t->name);
    cli_put(j, "dtype", stored_type(file, i));
    for (int k = 0; k < t->n_dims; k++)
        json_array_append_new(shape, json_integer(t->dim[k]));
    cli_put(j, "shape", shape);
    if (stats)
        put_stats(j, t);
    return j;
}

static lt_status list_file(const char *path, bool stats, json_t *r)
{
    lt_tensor_file *file;
    LT_TRY(lt_tensor_file_open(path, &file));
    json_t *tensors = json_array(), *meta = json_object();
    int64_t n_elements = 0;
    for (int i = 0; i < lt_tensor_file_count(file); i++) {
        const lt_tensor *t = lt_tensor_file_at(file, i);
        n_elements += element_count(t);
        json_array_append_new(tensors, tensor_json(file, i, stats));
    }
    for (int i = 0; i < lt_tensor_file_n_meta(file); i++) {
        lt_meta m = lt_tensor_file_meta_at(file, i);
        cli_put_text(meta, m.key, m.value);
    }
    lt_tensor_file_close(file);
    cli_put_text(r, "file", path);
    cli_put(r, "n_elements", json_integer(n_elements));
    cli_put(r, "metadata", meta);
    cli_put(r, "tensors", tensors);
    char digest[65];
    LT_TRY(lt_file_digest(path, digest));
    cli_put(r, "file_digest", json_string(digest));
    return LT_OK;
}

static void put_model(json_t *r, const lt_model *m)
{
    char digest[65];
    lt_model_digest(m, digest);
    cli_put(r, "model", json_string(m->spec));
    cli_put(r, "parameters", json_integer(m->n_params));
    cli_put(r, "state", json_integer(m->n_state));
    cli_put(r, "model_digest", json_string(digest));
}

static lt_status put_plan(cli_call *call, const lt_model *m, json_t *r)
{
    const struct opts *o = call->opts;
    lt_env env;
    lt_plan *plan = NULL;
    LT_TRY(cli_env(call, &env));
    LT_TRY(
        cli_plan_create(m, o->train ? CLI_PLAN_TRAIN : CLI_PLAN_INFER, o->batch, env.plan_flags, env.backend, &plan));
    lt_plan_stats stats = lt_plan_get_stats(plan);
    char *dump = lt_plan_dump(plan);
    json_t *j = json_object();
    cli_put_real(j, "gflop", stats.flop / 1e9);
    cli_put_real(j, "slab_mib", (double)stats.slab_bytes / (1024.0 * 1024.0));
    cli_put(j, "n_kernels", json_integer(stats.n_kernels));
    cli_put(j, "n_reorders", json_integer(stats.n_reorders));
    cli_put(j, "n_ref_fallbacks", json_integer(stats.n_ref_fallbacks));
    cli_put(j, "dump", json_string(dump ? dump : ""));
    cli_put(r, "plan", j);
    free(dump);
    lt_plan_destroy(plan);
    return LT_OK;
}

static lt_status run_architecture(cli_call *call, json_t *r)
{
    const struct opts *o = call->opts;
    lt_model_shape shape = {.n_classes = o->classes};
    lt_model *m = NULL;
    LT_TRY(cli_parse_input(o->input, &shape));
    LT_TRY(lt_model_create(o->model, shape, &m));
    lt_model_init(m, 1);
    put_model(r, m);
    lt_status status = o->plan ? put_plan(call, m, r) : LT_OK;
    lt_model_destroy(m);
    return status;
}

static lt_status run_file(cli_call *call, json_t *r)
{
    const struct opts *o = call->opts;
    struct stat st;
    bool dir = stat(o->file, &st) == 0 && S_ISDIR(st.st_mode);
    char *path = dir ? cli_format("%s/model.safetensors", o->file) : cli_format("%s", o->file);
    lt_status status = list_file(path, o->stats, r);
    free(path);
    LT_TRY(status);
    bool ours = *cli_text(json_object_get(r, "metadata"), "lethe.model") ||
                json_object_get(json_object_get(r, "metadata"), "lethe.model");
    if (!ours && !(o->model && *o->model)) {
        if (!o->plan)
            return LT_OK;
        LT_FAIL(LT_E_USAGE, "%s: the file does not name its architecture", o->file);
        return lt_error_hint("name it with --model");
    }
    lt_model_shape shape = {.n_classes = o->classes};
    cli_source src = {0};
    LT_TRY(cli_parse_input(o->input, &shape));
    status = lt_model_open(cli_text(r, "file"), ours ? NULL : o->model, ours ? NULL : &shape, &src.model);
    if (status == LT_OK) {
        put_model(r, src.model);
        status = o->plan ? put_plan(call, src.model, r) : LT_OK;
    }
    cli_source_close(&src);
    return status;
}

static lt_status run(cli_call *call)
{
    const struct opts *o = call->opts;
    bool architecture = call->n_positional == 0 && !(o->file && *o->file) && o->model && *o->model;
    LT_TRY(cli_positional(call, "file", architecture ? 0 : 1, 1));
    call->result = json_object();
    lt_status status = architecture ? run_architecture(call, call->result) : run_file(call, call->result);
    if (status != LT_OK) {
        json_decref(call->result);
        call->result = NULL;
    }
    return status;
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
    .usage = "RUN|FILE | --model MODEL --plan",
    .about = "Lists tensors, shapes, metadata and digests of a model or array file, and prints how a model is compiled "
             "on this\n"
             "machine.",
    .examples = "  lethe inspect runs/base\n"
                "  lethe inspect --model resnet18 --plan --train --batch 64\n",
    .uses = CLI_COMPUTE,
    .opts_size = sizeof(struct opts),
    .groups = groups,
    .run = run,
    .print = print,
};
