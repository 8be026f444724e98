// source.c - trained models: opening them from run directories or files, with what their metadata says about data,
// recipe and forgotten samples.
#include "cli.h"
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static bool is_dir(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static bool is_file(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

static lt_status load_optional(const char *dir, const char *file, json_t **out)
{
    char *path = cli_format("%s/%s", dir, file);
    lt_status status = is_file(path) ? cli_json_load(path, out) : LT_OK;
    free(path);
    return status;
}

static lt_status find_model(const char *given, cli_source *src)
{
    src->name = cli_format("%s", given);
    if (!is_dir(given)) {
        src->path = cli_format("%s", given);
        return LT_OK;
    }
    src->dir = cli_format("%s", given);
    size_t n = strlen(src->dir);
    while (n > 1 && src->dir[n - 1] == '/')
        src->dir[--n] = '\0';
    src->path = cli_format("%s/model.safetensors", src->dir);
    if (!is_file(src->path)) {
        LT_FAIL(LT_E_IO, "%s: no model.safetensors in this directory", given);
        return lt_error_hint("expected a finished run of `lethe train` or `lethe unlearn`, or a model file");
    }
    LT_TRY(load_optional(src->dir, "resolved.json", &src->resolved));
    return load_optional(src->dir, "result.json", &src->result);
}

// The weights must be those the run reported: a file swapped or damaged later is an integrity error, not a result.
static lt_status check_digest(const cli_source *src)
{
    const char *expected = cli_text(src->result, "model_digest");
    char found[65];
    if (!*expected)
        return LT_OK;
    lt_model_digest(src->model, found);
    if (strcmp(expected, found) != 0)
        return LT_FAIL(LT_E_INTEGRITY, "%s: result.json says model digest %.16s..., the file has %.16s...", src->name,
                       expected, found);
    return LT_OK;
}

lt_status cli_source_open(const char *run_or_file, const cli_foreign *foreign, cli_source *src)
{
    *src = (cli_source){0};
    LT_TRY(find_model(run_or_file, src));
    lt_model_shape shape;
    const lt_model_shape *given = NULL;
    if (foreign && foreign->ds) {
        shape = (lt_model_shape){foreign->ds->c, foreign->ds->h, foreign->ds->w, foreign->ds->n_classes};
        given = &shape;
    }
    const char *spec = foreign && foreign->model && *foreign->model ? foreign->model : NULL;
    LT_TRY(lt_model_open(src->path, spec, spec ? given : NULL, &src->model));
    return check_digest(src);
}

void cli_source_close(cli_source *src)
{
    lt_model_destroy(src->model);
    json_decref(src->resolved);
    json_decref(src->result);
    free(src->name);
    free(src->dir);
    free(src->path);
    *src = (cli_source){0};
}

const char *cli_source_meta(const cli_source *src, const char *key)
{
    for (int i = 0; i < src->model->n_meta; i++)
        if (!strcmp(src->model->meta[i].key, key))
            return src->model->meta[i].value;
    return NULL;
}

// ---- the training recipe travels in the metadata as {"lr": "0.1", ...}

char *cli_recipe_json(const lt_optset *set)
{
    json_t *all = json_object();
    for (const lt_option *o = lt_train_options; o->name; o++) {
        char *key = cli_format("train.%s", o->name);
        const char *value;
        if (lt_optset_get(set, key, &value, NULL) == LT_OK)
            cli_put(all, o->name, json_string(value));
        free(key);
    }
    char *text = json_dumps(all, JSON_COMPACT);
    json_decref(all);
    return text;
}

static lt_status apply_recipe(const cli_source *src, const json_t *recipe, lt_optset *set)
{
    const char *key;
    const json_t *value;
    json_object_foreach((json_t *)recipe, key, value)
    {
        if (!json_is_string(value) || !lt_optset_has(set, key))
            return LT_FAIL(LT_E_FORMAT, "%s: metadata lethe.recipe: unknown training option '%s'", src->path, key);
        lt_status status = lt_optset_set(set, key, json_string_value(value), "recipe");
        if (status != LT_OK)
            return LT_FAIL(LT_E_FORMAT, "%s: metadata lethe.recipe: %s", src->path, lt_error_get()->message);
    }
    return LT_OK;
}

lt_status cli_source_recipe(const cli_source *src, lt_train_cfg *cfg)
{
    lt_options_defaults(lt_train_options, cfg);
    const char *text = cli_source_meta(src, "lethe.recipe");
    if (!text)
        return LT_OK;
    json_error_t error;
    json_t *recipe = json_loads(text, 0, &error);
    if (!recipe)
        return LT_FAIL(LT_E_FORMAT, "%s: metadata lethe.recipe: %s", src->path, error.text);
    lt_optset *set = NULL;
    lt_status status = lt_optset_create(&set);
    if (status == LT_OK)
        status = lt_optset_add(set, "", lt_train_options, cfg, 0);
    if (status == LT_OK)
        status = apply_recipe(src, recipe, set);
    lt_optset_destroy(set);
    json_decref(recipe);
    return status;
}

// ---- data

lt_status cli_source_data(cli_call *call, const cli_source *src, const char *given, const lt_dataset **ds)
{
    const char *spec = given && *given ? given : cli_source_meta(src, "lethe.data");
    if (!spec) {
        LT_FAIL(LT_E_USAGE, "%s: the file does not say which data the model was trained on", src->name);
        return lt_error_hint("name it with --data KIND:PATH");
    }
    LT_TRY(cli_dataset(call, spec, ds));
    const char *digest = cli_source_meta(src, "lethe.data_digest");
    if (digest && strcmp(digest, (*ds)->digest) != 0) {
        if (given && *given)
            lt_warn(call->session->events, "data.other", "%s was trained on other data than %s", src->name, spec);
        else
            return LT_FAIL(LT_E_INTEGRITY, "data %s: digest %.16s..., but %s was trained on %.16s...", spec,
                           (*ds)->digest, src->name, digest);
    }
    return LT_OK;
}

// ---- forget and retain rows

void cli_sets_clear(cli_sets *sets)
{
    lt_index_set_clear(&sets->forget);
    lt_index_set_clear(&sets->retain);
}

static const char forget_key[] = "lethe.forget_digest";

// A list that has lost a line would put a forgotten sample back among the retained ones.
static lt_status check_list(const cli_source *src, const lt_dataset *ds, const char *path, const char *key,
                            const lt_index_set *set)
{
    const char *expected = cli_source_meta(src, key), *data = cli_source_meta(src, "lethe.data_digest");
    char found[65];
    if (!expected || !data || strcmp(data, ds->digest) != 0)
        return LT_OK;
    lt_index_set_digest(ds, LT_TRAIN, set, found);
    if (strcmp(expected, found) == 0)
        return LT_OK;
    return LT_FAIL(LT_E_INTEGRITY, "%s: expected the samples the model has forgotten (digest %.16s...), found %.16s...",
                   path, expected, found);
}

// file: of the run's directory; key: of its digest in the metadata of the model.
static lt_status parse_file(const cli_source *src, const lt_dataset *ds, const char *file, const char *key, bool *found,
                            lt_index_set *out)
{
    char *path = cli_format("%s/%s", src->dir, file), *spec = cli_format("file:%s", path);
    lt_status status = LT_OK;
    *found = is_file(path);
    if (*found)
        status = lt_forget_parse(ds, spec, 0, out);
    if (*found && status == LT_OK) {
        status = check_list(src, ds, path, key, out);
        if (status != LT_OK)
            lt_index_set_clear(out);
    }
    free(path);
    free(spec);
    return status;
}

// Rows of a and b, each once, ascending. seen: one byte per row of the split.
static void merge(const lt_index_set *a, const lt_index_set *b, int64_t n_rows, lt_index_set *out)
{
    uint8_t *seen = cli_alloc((size_t)n_rows, 1);
    for (int64_t i = 0; i < a->n; i++)
        seen[a->row[i]] = 1;
    for (int64_t i = 0; i < b->n; i++)
        seen[b->row[i]] = 1;
    out->row = cli_alloc((size_t)(a->n + b->n), sizeof *out->row);
    out->n = 0;
    for (int64_t row = 0; row < n_rows; row++)
        if (seen[row])
            out->row[out->n++] = row;
    free(seen);
}

// All that this model has forgotten: forgotten.csv where there were several requests, else forget.csv, else nothing.
lt_status cli_forgotten_by(const cli_source *src, const lt_dataset *ds, lt_index_set *all)
{
    bool found = false;
    if (src->dir)
        LT_TRY(parse_file(src, ds, "forgotten.csv", "lethe.forgotten_digest", &found, all));
    if (src->dir && !found)
        LT_TRY(parse_file(src, ds, "forget.csv", forget_key, &found, all));
    return LT_OK;
}

static lt_status choose_forget(const cli_source *src, const lt_dataset *ds, const char *spec, uint64_t seed,
                               lt_index_set *forget)
{
    bool found = false;
    if (spec && *spec)
        return lt_forget_parse(ds, spec, seed, forget);
    if (src->dir)
        LT_TRY(parse_file(src, ds, "forget.csv", forget_key, &found, forget));
    if (found)
        return LT_OK;
    LT_FAIL(LT_E_USAGE, "%s: no forget set: there is no forget.csv", src->name);
    return lt_error_hint("name one with --forget random:10%%, class:3 or file:IDS.csv");
}

lt_status cli_sets_of_run(const cli_source *src, const lt_dataset *ds, const cli_forget *ask, cli_sets *sets)
{
    lt_index_set before = {0}, gone = {0};
    lt_status status = LT_OK;
    *sets = (cli_sets){0};
    LT_TRY_GOTO(choose_forget(src, ds, ask->spec, ask->seed, &sets->forget), done);
    LT_TRY_GOTO(cli_forgotten_by(src, ds, &before), done);
    merge(&sets->forget, &before, ds->split[LT_TRAIN].n, &gone);
    sets->n_before = before.n;
    if (ask->is_new && gone.n != sets->forget.n + before.n) {
        status =
            LT_FAIL(LT_E_USAGE, "--forget %s: %lld of these samples have been forgotten already by %s or before it",
                    ask->spec, (long long)(sets->forget.n + before.n - gone.n), src->name);
        goto done;
    }
    LT_TRY_GOTO(lt_index_set_complement(ds->split[LT_TRAIN].n, &gone, &sets->retain), done);
done:
    free(gone.row);
    lt_index_set_clear(&before);
    if (status != LT_OK)
        cli_sets_clear(sets);
    return status;
}

// ---- signals

lt_status cli_signals(cli_call *call, const cli_source *src, const lt_dataset *ds, const cli_sets *sets, lt_signals **s)
{
    char digest[65];
    lt_index_set_digest(ds, LT_TRAIN, &sets->forget, digest);
    if (src->dir && !strcmp(cli_text(src->result, "forget_digest"), digest) &&
        !strcmp(cli_text(src->result, "data_digest"), ds->digest)) {
        char *path = cli_format("%s/signals.npz", src->dir);
        bool there = is_file(path);
        lt_status status = there ? lt_signals_open(path, s) : LT_OK;
        free(path);
        if (there)
            return status;
    }
    lt_env env;
    LT_TRY(cli_env(call, &env));
    return lt_signals_compute(src->model, ds, &sets->forget, &sets->retain, &env, s);
}
