// convert.c - models from one format into another, and foreign checkpoints into run directories.
//
// A run directory made from a checkpoint has no training recipe: retraining it needs one. What it was trained
// on is recorded when the caller names it.
#include "base/json_write.h"
#include "lethe/spike.h"
#include "run/run_impl.h"
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef lt_status write_fn(const lt_model *model, const char *path);

static write_fn *find_writer(const char *path)
{
    static const struct {
        const char *suffix;
        write_fn *write;
    } writers[] = {{".safetensors", lt_model_save}, {".pth", lt_model_export},       {".pt", lt_model_export},
                   {".npz", lt_model_export},       {".onnx", lt_model_export_onnx}, {".nir", lt_nir_export}};
    for (size_t i = 0; i < sizeof writers / sizeof *writers; i++)
        if (lti_ends_with(path, writers[i].suffix))
            return writers[i].write;
    return NULL;
}

// ---- the recipe of a file

typedef struct conversion {
    const lt_convert_spec *spec;
    lt_model *model;
    lt_recipe history;          // n = 0: none was given
    const lt_train_cfg *recipe; // of the last training; NULL = not known
    char recipe_digest[65];     // of all trainings; "" without a file
} conversion;

// The data of an earlier training: those of the model, or its own, which must fit the model.
static lt_status complete_stage(const conversion *c, lt_recipe_stage *s, int i)
{
    const lt_dataset *ds = c->spec->ds;
    const lt_model_shape *shape = &c->model->shape;
    lt_dataset *own = NULL;
    lt_status status = *s->data ? lt_dataset_open(s->data, c->spec->events, &own) : LT_OK;
    if (own)
        ds = own;
    if (status == LT_OK && !ds)
        status = LT_FAIL(LT_E_USAGE, "%s: training %d: expected the data of this training, or --data, found neither",
                         c->spec->recipe_file, i + 1);
    if (status == LT_OK &&
        (ds->c != shape->c || ds->h != shape->h || ds->w != shape->w || ds->n_classes != shape->n_classes))
        status =
            LT_FAIL(LT_E_SHAPE, "%s: training %d: expected %dx%dx%d images of %d classes, found %dx%dx%d of %d in %s",
                    c->spec->recipe_file, i + 1, shape->c, shape->h, shape->w, shape->n_classes, ds->c, ds->h, ds->w,
                    ds->n_classes, ds->spec);
    if (status == LT_OK) {
        lti_free(s->data);
        lti_free(s->data_digest);
        s->data = lti_strdup(ds->spec);
        s->data_digest = lti_strdup(ds->digest);
        status = s->data && s->data_digest ? LT_OK : LTI_NOMEM("recipe");
    }
    lt_dataset_close(own);
    return status;
}

static lt_status check_last_data(const conversion *c, const lt_recipe_stage *last)
{
    const lt_dataset *ds = c->spec->ds;
    if (!*last->data || (ds && !strcmp(last->data, ds->spec)))
        return LT_OK;
    LT_FAIL(LT_E_USAGE, "%s: the last training was on %s, but --data says %s", c->spec->recipe_file, last->data,
            ds ? ds->spec : "nothing");
    return lt_error_hint("name the data that the model was trained on last with --data");
}

static void digest_history(conversion *c)
{
    lti_json j = {0};
    lti_hash h;
    lti_recipe_write(&j, NULL, c->history.stage, c->history.n);
    char *text = lti_json_take(&j);
    lti_hash_init(&h);
    lti_hash_add(&h, text ? text : "", text ? strlen(text) : 0);
    lti_hash_hex(&h, c->recipe_digest);
    free(text);
}

static lt_status read_recipe(conversion *c)
{
    const lt_convert_spec *spec = c->spec;
    bool is_given;
    c->recipe = spec->recipe;
    if (!spec->recipe_file || !*spec->recipe_file)
        return LT_OK;
    LT_TRY(lt_recipe_open(spec->recipe_file, &c->history));
    lt_recipe_stage *last = &c->history.stage[c->history.n - 1];
    LT_TRY(check_last_data(c, last));
    for (int i = 0; i + 1 < c->history.n; i++)
        LT_TRY(complete_stage(c, &c->history.stage[i], i));
    if (spec->recipe && spec->options && lt_optset_has(spec->options, "train.epochs")) {
        LT_TRY(lti_recipe_overlay(spec->options, &last->cfg, &is_given));
        last->cfg = *spec->recipe;
    }
    c->recipe = &last->cfg;
    digest_history(c);
    return LT_OK;
}

static void put_recipe(const conversion *c, lti_buf *b)
{
    lti_json j = {0};
    char *last = c->recipe ? lt_recipe_json(c->recipe) : NULL, *earlier = NULL;
    if (c->history.n > 1) {
        lti_recipe_write(&j, NULL, c->history.stage, c->history.n - 1);
        earlier = lti_json_take(&j);
    }
    if (last)
        lti_buf_printf(b, ",\"recipe\":%s", last);
    if (earlier)
        lti_buf_printf(b, ",\"earlier_trainings\":%s", earlier);
    free(last);
    free(earlier);
}

static char *make_result(const conversion *c)
{
    const lt_convert_spec *spec = c->spec;
    const lt_model *model = c->model;
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
    put_recipe(c, &b);
    if (*c->recipe_digest)
        lti_buf_printf(&b, ",\"recipe_digest\":\"%s\"", c->recipe_digest);
    lti_buf_printf(&b, ",\"source_digest\":\"%s\",\"model_digest\":\"%s\"}", digest, digest);
    return lti_buf_take(&b);
}

static lt_status check_options(const lt_convert_spec *spec, write_fn *write)
{
    if (write && spec->recipe_file && *spec->recipe_file)
        return LT_FAIL(LT_E_USAGE,
                       "--recipe: how a model was trained is recorded in a run directory, found the file %s",
                       spec->out);
    if (!spec->like || !*spec->like || write == lt_model_export)
        return LT_OK;
    return LT_FAIL(LT_E_USAGE, "--like: names of another checkpoint are for .pth, .pt and .npz, found %s", spec->out);
}

static lt_status write_file(const lt_convert_spec *spec, const lt_model *model, write_fn *write)
{
    struct stat st;
    if (!spec->force && lstat(spec->out, &st) == 0) {
        LT_FAIL(LT_E_USAGE, "%s: it exists already", spec->out);
        return lt_error_hint("--force replaces it");
    }
    if (spec->like && *spec->like)
        return lt_model_export_like(model, spec->like, spec->out);
    return write(model, spec->out);
}

static lt_status fill_run(const conversion *c, lt_result_dir *d)
{
    const lt_convert_spec *spec = c->spec;
    lt_model *model = c->model;
    if (spec->ds) {
        const lt_provenance p = {.ds = spec->ds, .is_trained = !model->class_names};
        LT_TRY(lt_model_set_provenance(model, &p));
        LT_TRY(lt_model_set_meta(model, "lethe.data", spec->ds->spec));
        LT_TRY(lt_result_dir_add_samples(d, spec->ds));
    }
    if (c->recipe) {
        const lt_provenance p = {.recipe = c->recipe};
        LT_TRY(lt_model_set_provenance(model, &p));
    }
    if (c->history.n > 1)
        LT_TRY(lti_recipe_set_earlier(model, c->history.stage, c->history.n - 1));
    LT_TRY(lt_model_set_meta(model, "lethe.imported", spec->in));
    return lt_model_save(model, d->model);
}

static lt_status write_run(const conversion *c, char **result_json)
{
    const lt_convert_spec *spec = c->spec;
    char digest[65];
    const char *facts[8] = {"source_digest", digest};
    int n = 2;
    lt_model_digest(c->model, digest);
    if (spec->ds) {
        facts[n++] = "data_digest";
        facts[n++] = spec->ds->digest;
    }
    if (*c->recipe_digest) {
        facts[n++] = "recipe_digest";
        facts[n++] = c->recipe_digest;
    }
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
        status = fill_run(c, &d);
        if (status == LT_OK && !(*result_json = make_result(c)))
            status = LTI_NOMEM("result");
        if (status == LT_OK)
            status = lt_result_dir_finish(&d, *result_json);
    }
    lt_result_dir_close(&d);
    return status;
}

static lt_status convert(conversion *c, write_fn *write, char **result_json)
{
    if (!write) {
        LT_TRY(read_recipe(c));
        return write_run(c, result_json);
    }
    LT_TRY(write_file(c->spec, c->model, write));
    *result_json = make_result(c);
    return *result_json ? LT_OK : LTI_NOMEM("result");
}

// Weights alone do not tell the size of the images. Where nobody says it, it is the one that the architecture was made
// for: text ("3x32x32") becomes the input of f.
static void assume_input(const lt_convert_spec *spec, lt_model_fallback *f, char text[32])
{
    lt_model_facts facts;
    if (spec->ds || (f->input && *f->input) || !f->model || !*f->model || !lti_is_file(spec->in))
        return;
    if (lt_model_examine(spec->in, &facts) != LT_OK) { // opening it says why
        lt_error_clear();
        return;
    }
    if (facts.own)
        return;
    const bool large = !strncmp(f->model, "resnet18-imagenet", strlen("resnet18-imagenet"));
    const int channels = facts.channels ? facts.channels : 3, size = large ? 224 : channels == 1 ? 28 : 32;
    snprintf(text, 32, "%dx%dx%d", channels, size, size);
    f->input = text;
    lt_warn(spec->events, "convert.input",
            "%s: the file does not say the size of its images: %s, which its architecture was made for (--input says "
            "another)",
            spec->in, text);
}

lt_status lt_convert(const lt_convert_spec *spec, char **result_json)
{
    lt_trained_model m;
    lt_model_fallback fallback = {0};
    char input[32];
    conversion c = {.spec = spec};
    write_fn *write = find_writer(spec->out);
    *result_json = NULL;
    LT_TRY(check_options(spec, write));
    if (spec->fallback)
        fallback = *spec->fallback;
    assume_input(spec, &fallback, input);
    lt_status status = lt_trained_model_open(spec->in, &fallback, spec->ds, &m);
    c.model = m.model;
    if (status == LT_OK)
        status = convert(&c, write, result_json);
    lt_recipe_clear(&c.history);
    lt_trained_model_close(&m);
    return status;
}
