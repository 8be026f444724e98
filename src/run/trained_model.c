// trained_model.c - trained models: opened from run directories or files, with what their metadata says about data and
// recipe.
#include "base/json_write.h"
#include "lethe/inspect.h"
#include "lethe/spike.h"
#include "run/run_impl.h"
#include <stdlib.h>
#include <string.h>

const lt_option lt_model_fallback_options[] = {
    LT_STR(lt_model_fallback, model, NULL, "architecture of a model file that does not say it, NAME[:key=value,...]"),
    LT_STR(lt_model_fallback, normalize, NULL,
           "MEAN:STD that such a model expects of its input, values per channel separated by commas; or none"),
    LT_STR(lt_model_fallback, input, NULL, "input of such a model, such as 3x32x32; default: that of the data"),
    LT_STR(lt_model_fallback, classes, NULL, "text file with one class name a line; default: the names of the data"),
    LT_OPT_END,
};

static lt_status find_model(const char *given, lt_trained_model *m)
{
    m->name = lti_strdup(given);
    if (!lti_is_dir(given)) {
        m->path = lti_strdup(given);
        return m->name && m->path ? LT_OK : LTI_NOMEM("path");
    }
    m->dir = lti_strdup(given);
    size_t n = m->dir ? strlen(m->dir) : 0;
    while (n > 1 && m->dir[n - 1] == '/')
        m->dir[--n] = '\0';
    m->path = m->dir ? lti_asprintf("%s/model.safetensors", m->dir) : NULL;
    if (!m->name || !m->path)
        return LTI_NOMEM("path");
    if (!lti_is_file(m->path)) {
        LT_FAIL(LT_E_INPUT, "%s: no model.safetensors in this directory", given);
        return lt_error_hint("expected a finished run of `lethe train` or `lethe unlearn`, or a model file");
    }
    if (lt_run_is_done(m->dir))
        LT_TRY(lt_run_check_files(m->dir));
    LT_TRY(lti_json_load_optional(m->dir, "resolved.json", &m->resolved));
    return lti_json_load_optional(m->dir, "result.json", &m->result);
}

// The weights must be those the run reported: a file swapped or damaged later is an integrity error, not a result.
static lt_status check_digest(const lt_trained_model *m)
{
    const char *expected = lti_json_text_at(m->result, "model_digest");
    char found[65];
    if (!*expected)
        return LT_OK;
    lt_model_digest(m->model, found);
    if (strcmp(expected, found) != 0)
        return LT_FAIL(LT_E_INTEGRITY, "%s: result.json says model digest %.16s..., the file has %.16s...", m->name,
                       expected, found);
    return LT_OK;
}

// ---- what the file leaves open

static bool is_given(const char *text)
{
    return text && *text;
}

static bool says_normalisation(const lt_model_fallback *f, const lt_model_facts *facts)
{
    return is_given(f->normalize) || facts->has_normalize || (is_given(f->model) && strstr(f->model, "mean="));
}

// Everything that is open is asked for at once.
static lt_status ask_for_missing(const lt_trained_model *m, const lt_model_fallback *f, const lt_model_facts *facts,
                                 bool has_shape)
{
    lti_buf b = {0};
    if (!is_given(f->model)) {
        lti_buf_printf(&b, "--model NAME:key=value");
        if (facts->guessed)
            lti_buf_printf(&b, " (its tensors fit %s)", facts->spec);
    }
    if (!has_shape)
        lti_buf_printf(&b, "%s--input CxHxW (%d channels) or --data", b.n ? "; " : "",
                       facts->channels ? facts->channels : 3);
    if (!says_normalisation(f, facts))
        lti_buf_printf(&b, "%s--normalize MEAN:STD or --normalize none", b.n ? "; " : "");
    char *text = lti_buf_take(&b);
    if (!text)
        return LTI_NOMEM("message");
    LT_FAIL(LT_E_USAGE, "%s: the file does not say everything that is needed; name %s", m->name, text);
    free(text);
    return lt_error_hint("lethe convert FILE RUN makes a run directory that remembers all this");
}

// *spec: for free(); NULL when the file says it.
static lt_status choose_spec(const lt_trained_model *m, const lt_model_fallback *f, const lt_model_facts *facts,
                             int channels, char **spec)
{
    *spec = NULL;
    if (facts->own && !is_given(f->model)) {
        if (!is_given(f->normalize))
            return LT_OK;
        return LT_FAIL(LT_E_USAGE, "--normalize: %s names its architecture, and with it its normalisation", m->name);
    }
    return lt_model_spec_normalize(f->model, is_given(f->normalize) ? f->normalize : "none", channels, spec);
}

// Labels are counted in the order of the data: the same names in another order would be other classes.
static lt_status check_class_order(const char *path, const char *const *name, const lt_dataset *ds)
{
    for (int i = 0; ds && ds->class_names && i < ds->n_classes; i++)
        for (int k = 0; k < ds->n_classes; k++)
            if (i != k && !strcmp(name[i], ds->class_names[k])) {
                LT_FAIL(LT_E_USAGE, "--classes %s: class %d is '%s', which is class %d in %s", path, i, name[i], k,
                        ds->spec);
                return lt_error_hint("folders count in the order of their names: rename them so that they sort in the "
                                     "order of the training");
            }
    return LT_OK;
}

// One name a line.
static lt_status read_classes(const char *path, const lt_dataset *ds, lt_model *model)
{
    enum { MAX_BYTES = 1 << 24 };
    char *text, *save = NULL;
    size_t n;
    int n_names = 0;
    LT_TRY(lt_read_file(path, MAX_BYTES, &text, &n));
    const char **name = lti_calloc((size_t)model->shape.n_classes + 1, sizeof *name);
    if (!name) {
        lti_free(text);
        return LTI_NOMEM("class names");
    }
    for (char *line = strtok_r(text, "\r\n", &save); line; line = strtok_r(NULL, "\r\n", &save))
        if (n_names++ < model->shape.n_classes)
            name[n_names - 1] = line;
    lt_status status = n_names == model->shape.n_classes
                           ? lt_model_set_class_names(model, name)
                           : LT_FAIL(LT_E_FORMAT, "--classes %s: expected %d names, one a line, found %d", path,
                                     model->shape.n_classes, n_names);
    if (status == LT_OK && ds && ds->n_classes == n_names)
        status = check_class_order(path, name, ds);
    lti_free(name);
    lti_free(text);
    return status;
}

// A graph of NIR has weights and neurons; the architecture and the images it takes must be given.
static lt_status open_nir(const lt_model_fallback *f, const lt_dataset *ds, lt_trained_model *m)
{
    lt_model_shape shape = {0};
    if (!is_given(f->model) || !ds) {
        LT_FAIL(LT_E_USAGE, "%s: name the architecture and the data set of a NIR graph", m->name);
        return lt_error_hint("--model spiking-vgg:norm=none,pool=average,... and --data");
    }
    shape = (lt_model_shape){ds->c, ds->h, ds->w, ds->n_classes};
    return lt_nir_import(m->path, f->model, shape, &m->model);
}

// What a file says of itself is not changed by --input: the norms of its layers, for one, belong to its image size.
static lt_status check_input(const char *input, const lt_trained_model *m)
{
    const lt_model_shape *s = &m->model->shape;
    lt_model_shape asked = {0};
    LT_TRY(lt_parse_image_shape(input, &asked));
    if (asked.c == s->c && asked.h == s->h && asked.w == s->w)
        return LT_OK;
    return LT_FAIL(LT_E_USAGE, "--input %s: %s takes %dx%dx%d images", input, m->name, s->c, s->h, s->w);
}

static lt_status open_file(const lt_model_fallback *fallback, const lt_dataset *ds, lt_trained_model *m)
{
    const lt_model_fallback none = {0}, *f = fallback ? fallback : &none;
    lt_model_shape shape = {0};
    lt_model_facts facts;
    char *spec = NULL;
    const bool has_shape = ds || is_given(f->input);
    const size_t n_path = strlen(m->path);
    if (n_path > 4 && !strcmp(m->path + n_path - 4, ".nir"))
        return open_nir(f, ds, m);
    LT_TRY(lt_model_examine(m->path, &facts));
    if (ds)
        shape = (lt_model_shape){ds->c, ds->h, ds->w, ds->n_classes};
    if (is_given(f->input))
        LT_TRY(lt_parse_image_shape(f->input, &shape));
    if (!facts.own && (!is_given(f->model) || !has_shape || !says_normalisation(f, &facts)))
        return ask_for_missing(m, f, &facts, has_shape);
    LT_TRY(choose_spec(m, f, &facts, shape.c ? shape.c : 3, &spec));
    lt_status status = lt_model_open(m->path, spec, spec && has_shape ? &shape : NULL, &m->model);
    free(spec);
    if (status == LT_OK && is_given(f->input))
        status = check_input(f->input, m);
    if (status == LT_OK && is_given(f->classes))
        status = read_classes(f->classes, ds, m->model);
    return status;
}

lt_status lt_trained_model_open(const char *run_or_file, const lt_model_fallback *fallback, const lt_dataset *ds,
                                lt_trained_model *m)
{
    *m = (lt_trained_model){0};
    LT_TRY(find_model(run_or_file, m));
    LT_TRY(open_file(fallback, ds, m));
    return check_digest(m);
}

void lt_trained_model_close(lt_trained_model *m)
{
    lt_model_destroy(m->model);
    json_decref(m->resolved);
    json_decref(m->result);
    lti_free(m->name);
    lti_free(m->dir);
    lti_free(m->path);
    *m = (lt_trained_model){0};
}

const char *lt_trained_model_meta(const lt_trained_model *m, const char *key)
{
    for (int i = 0; i < m->model->n_meta; i++)
        if (!strcmp(m->model->meta[i].key, key))
            return m->model->meta[i].value;
    return NULL;
}

const char *lt_trained_model_text(const lt_trained_model *m, const char *path)
{
    return lti_json_text_at(m->result, path);
}

double lt_trained_model_real(const lt_trained_model *m, const char *path)
{
    return lti_json_real_at(m->result, path);
}

void lt_trained_model_effect(const lt_trained_model *m, lt_lint_effect *effect)
{
    effect->forget_acc = lti_json_real_at(m->result, "original.forget_acc");
    effect->retain_acc = lti_json_real_at(m->result, "original.retain_acc");
    effect->test_acc = lti_json_real_at(m->result, "original.test_acc");
    effect->lr_area = lti_json_real_at(m->result, "lr_area");
    effect->lr_area_default = lti_json_real_at(m->result, "lr_area_default");
    effect->acc_f = lti_json_real_at(m->result, "original.acc_f");
    effect->acc_r = lti_json_real_at(m->result, "original.acc_r");
    effect->pair_acc = lti_json_real_at(m->result, "adversarial_set.pair_acc");
}

char *lt_trained_model_parent(const lt_trained_model *m)
{
    const char *parent = lti_json_text_at(m->result, "parent"), *base = strrchr(parent, '/');
    if (!*parent || lti_is_dir(parent) || lti_is_file(parent) || !m->dir)
        return lti_strdup(parent);
    char *sibling = lti_asprintf("%s/../%s", m->dir, base ? base + 1 : parent);
    if (!sibling || lti_is_dir(sibling) || lti_is_file(sibling))
        return sibling;
    lti_free(sibling);
    return lti_strdup(parent);
}

// ---- data

lt_status lt_trained_model_data_spec(const lt_trained_model *m, const char *given, const char **spec)
{
    *spec = given && *given ? given : lt_trained_model_meta(m, "lethe.data");
    if (*spec)
        return LT_OK;
    LT_FAIL(LT_E_USAGE, "%s: the file does not say which data the model was trained on", m->name);
    return lt_error_hint("name it with --data KIND:PATH");
}

lt_status lt_trained_model_data(const lt_trained_model *m, const char *given, lt_data_use use, lt_events *events,
                                lt_dataset **ds)
{
    const char *spec;
    *ds = NULL;
    LT_TRY(lt_trained_model_data_spec(m, given, &spec));
    LT_TRY(lt_dataset_open(spec, events, ds));
    lt_status status = lt_trained_model_check_data(m, *ds, use, events);
    if (status != LT_OK) {
        lt_dataset_close(*ds);
        *ds = NULL;
    }
    return status;
}

// ---- provenance

static lt_status set_meta(lt_model *model, const char *key, const char *value)
{
    return value && *value ? lt_model_set_meta(model, key, value) : LT_OK;
}

lt_status lt_model_set_provenance(lt_model *model, const lt_provenance *p)
{
    if (p->ds && p->is_trained) {
        LT_TRY(lt_model_set_class_names(model, p->ds->class_names));
        LT_TRY(lt_model_set_meta(model, "lethe.data", p->ds->spec));
    }
    if (p->ds)
        LT_TRY(lt_model_set_meta(model, "lethe.data_digest", p->ds->digest));
    if (p->recipe) {
        char *recipe = lt_recipe_json(p->recipe);
        if (!recipe)
            return LTI_NOMEM("recipe");
        lt_status status = lt_model_set_meta(model, "lethe.recipe", recipe);
        free(recipe);
        LT_TRY(status);
    }
    if (p->clip)
        LT_TRY(lt_clip_set_meta(model, p->clip));
    LT_TRY(set_meta(model, "lethe.config_digest", p->config_digest));
    LT_TRY(set_meta(model, "lethe.method", p->method));
    LT_TRY(set_meta(model, "lethe.parent_digest", p->parent_digest));
    LT_TRY(set_meta(model, "lethe.forgotten_digest", p->forgotten_digest));
    return set_meta(model, "lethe.forget_digest", p->forget_digest);
}
