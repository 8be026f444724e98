// history.c - how a model came to be: its trainings in order, as its file and as a user say it.
//
// The last training is lethe.recipe, lethe.data and lethe.data_digest of the metadata; those before it, of a model that
// was fine-tuned, are lethe.stages, a JSON list of the same facts with the samples that had been forgotten by then.
#include "base/json_write.h"
#include "base/yaml_tree.h"
#include "run/run_impl.h"
#include <stdlib.h>
#include <string.h>

enum { STAGES_MAX = 16, MAX_LIST_BYTES = 1 << 30 };
static const char stages_key[] = "lethe.stages";

void lt_recipe_clear(lt_recipe *r)
{
    for (int i = 0; i < r->n; i++) {
        lti_free(r->stage[i].data);
        lti_free(r->stage[i].data_digest);
        lti_free(r->stage[i].run);
        lti_free(r->stage[i].forgotten);
    }
    lti_free(r->stage);
    *r = (lt_recipe){0};
}

static lt_status add_stage(lt_recipe *r, const char *label, lt_recipe_stage **stage)
{
    if (r->n == STAGES_MAX)
        return LT_FAIL(LT_E_FORMAT, "%s: expected at most %d trainings, found more", label, STAGES_MAX);
    if (!r->stage && !(r->stage = lti_calloc(STAGES_MAX, sizeof *r->stage)))
        return LTI_NOMEM("recipe");
    *stage = &r->stage[r->n++];
    **stage = (lt_recipe_stage){0};
    lt_options_defaults(lt_train_options, &(*stage)->cfg);
    lt_options_defaults(lt_clip_norm_options, &(*stage)->clip);
    lt_options_defaults(lt_clip_rule_options, &(*stage)->clip);
    return LT_OK;
}

static lt_status copy_text(const char *text, char **out)
{
    *out = lti_strdup(text ? text : "");
    return *out ? LT_OK : LTI_NOMEM("recipe");
}

// ---- options as {"lr":"0.1",...}

char *lt_recipe_json(const lt_train_cfg *cfg)
{
    lti_buf b = {0};
    char number[LT_OPTION_TEXT_MAX];
    lti_buf_puts(&b, "{");
    for (const lt_option *o = lt_train_options; o->name; o++) {
        lti_buf_puts(&b, o == lt_train_options ? "" : ",");
        lti_buf_json_string(&b, o->name);
        lti_buf_puts(&b, ":");
        const char *text = lt_option_text(o, cfg, number);
        lti_buf_json_string(&b, text ? text : "");
    }
    lti_buf_puts(&b, "}");
    return lti_buf_take(&b);
}

static lt_status set_option(const char *label, lt_optset *set, const char *key, const char *value)
{
    if (!value || !lt_optset_has(set, key))
        return LT_FAIL(LT_E_FORMAT, "%s: unknown training option '%s'", label, key);
    if (lt_optset_set(set, key, value, "recipe") == LT_OK)
        return LT_OK;
    char message[LT_ERROR_MESSAGE_MAX];
    lti_format(message, sizeof message, "%s", lt_error_get()->message);
    return LT_FAIL(LT_E_FORMAT, "%s: %s", label, message);
}

static lt_status open_options(lt_train_cfg *cfg, lt_optset **set)
{
    LT_TRY(lt_optset_create(set));
    return lt_optset_add(*set, "", lt_train_options, cfg, 0);
}

static lt_status read_options(const char *label, const json_t *recipe, lt_train_cfg *cfg)
{
    lt_optset *set = NULL;
    const char *key;
    const json_t *value;
    lt_status status = open_options(cfg, &set);
    json_object_foreach((json_t *)recipe, key, value)
    {
        if (status == LT_OK)
            status = set_option(label, set, key, json_string_value(value));
    }
    lt_optset_destroy(set);
    return status;
}

lt_status lti_recipe_overlay(lt_optset *set, const lt_train_cfg *cfg, bool *is_given)
{
    enum { KEY_MAX = 64 };
    *is_given = false;
    for (const lt_option *row = lt_train_options; row->name; row++) {
        char key[KEY_MAX], number[LT_OPTION_TEXT_MAX];
        const char *value, *origin, *text = cfg ? lt_option_text(row, cfg, number) : NULL;
        lti_format(key, sizeof key, "train.%s", row->name);
        LT_TRY(lt_optset_get(set, key, &value, &origin));
        *is_given |= strcmp(origin, "default") != 0 && strcmp(origin, "recipe") != 0;
        if (cfg)
            LT_TRY(lt_optset_set(set, key, text ? text : "", "recipe"));
    }
    return LT_OK;
}

// ---- from the metadata of a model

bool lt_trained_model_has_recipe(const lt_trained_model *m)
{
    return lt_trained_model_meta(m, "lethe.recipe") != NULL;
}

static lt_status parse_meta(const lt_trained_model *m, const char *key, json_t **json)
{
    json_error_t error;
    const char *text = lt_trained_model_meta(m, key);
    *json = text ? lti_json_parse(text, strlen(text), 0, &error) : NULL;
    if (text && !*json && lti_json_lacked_memory(&error))
        return LTI_NOMEM(key);
    return !text || *json ? LT_OK : LT_FAIL(LT_E_FORMAT, "%s: metadata %s: %s", m->path, key, error.text);
}

lt_status lt_trained_model_recipe(const lt_trained_model *m, lt_train_cfg *cfg)
{
    json_t *recipe;
    lt_options_defaults(lt_train_options, cfg);
    LT_TRY(parse_meta(m, "lethe.recipe", &recipe));
    char *label = lti_asprintf("%s: metadata lethe.recipe", m->path);
    lt_status status = label ? read_options(label, recipe, cfg) : LTI_NOMEM("recipe");
    lti_free(label);
    json_decref(recipe);
    return status;
}

static lt_status read_forgotten(const char *label, const json_t *list, lt_recipe_stage *s)
{
    const size_t n = json_array_size(list);
    s->forgotten = n ? lti_calloc(n, sizeof *s->forgotten) : NULL;
    if (n && !s->forgotten)
        return LTI_NOMEM("recipe");
    for (size_t i = 0; i < n; i++) {
        const json_t *id = json_array_get(list, i);
        if (!json_is_integer(id))
            return LT_FAIL(LT_E_FORMAT, "%s: forgotten: expected indices of samples", label);
        s->forgotten[s->n_forgotten++] = json_integer_value(id);
    }
    return LT_OK;
}

static lt_status read_stage(const char *label, const json_t *j, lt_recipe *r)
{
    lt_recipe_stage *s;
    const json_t *recipe = json_object_get(j, "recipe");
    LT_TRY(add_stage(r, label, &s));
    LT_TRY(copy_text(lti_json_text_at(j, "data"), &s->data));
    LT_TRY(copy_text(lti_json_text_at(j, "data_digest"), &s->data_digest));
    LT_TRY(copy_text(lti_json_text_at(j, "run"), &s->run));
    LT_TRY(read_forgotten(label, json_object_get(j, "forgotten"), s));
    LT_TRY(lti_clip_read(label, json_object_get(j, "clip"), &s->clip));
    s->is_recorded = true;
    s->is_known = json_is_object(recipe);
    return s->is_known ? read_options(label, recipe, &s->cfg) : LT_OK;
}

static lt_status read_earlier(const lt_trained_model *m, lt_recipe *r)
{
    json_t *stages;
    LT_TRY(parse_meta(m, stages_key, &stages));
    char *label = lti_asprintf("%s: metadata %s", m->path, stages_key);
    lt_status status = label ? LT_OK : LTI_NOMEM("recipe");
    for (size_t i = 0; status == LT_OK && i < json_array_size(stages); i++)
        status = read_stage(label, json_array_get(stages, i), r);
    lti_free(label);
    json_decref(stages);
    return status;
}

static lt_status read_last(const lt_trained_model *m, lt_recipe *r)
{
    lt_recipe_stage *s;
    LT_TRY(add_stage(r, m->path, &s));
    LT_TRY(copy_text(lt_trained_model_meta(m, "lethe.data"), &s->data));
    LT_TRY(copy_text(lt_trained_model_meta(m, "lethe.data_digest"), &s->data_digest));
    LT_TRY(copy_text(m->dir, &s->run));
    s->is_recorded = true;
    s->is_known = lt_trained_model_has_recipe(m);
    LT_TRY(lt_trained_model_clip(m, &s->clip));
    return lt_trained_model_recipe(m, &s->cfg);
}

lt_status lt_trained_model_history(const lt_trained_model *m, lt_recipe *r)
{
    *r = (lt_recipe){0};
    lt_status status = read_earlier(m, r);
    if (status == LT_OK)
        status = read_last(m, r);
    if (status != LT_OK)
        lt_recipe_clear(r);
    return status;
}

// ---- into the metadata of a model

static void write_stage(lti_json *j, const lt_recipe_stage *s)
{
    char *recipe = s->is_known ? lt_recipe_json(&s->cfg) : NULL, *clip = lt_clip_json(&s->clip);
    lti_json_begin(j, NULL, '{');
    lti_json_text(j, "data", s->data);
    lti_json_text(j, "data_digest", s->data_digest);
    lti_json_text(j, "run", s->run);
    if (recipe)
        lti_json_raw(j, "recipe", recipe);
    else
        lti_json_null(j, "recipe");
    lti_json_raw(j, "clip", clip ? clip : "{}");
    lti_json_begin(j, "forgotten", '[');
    for (int64_t i = 0; i < s->n_forgotten; i++)
        lti_json_int(j, NULL, s->forgotten[i]);
    lti_json_end(j, ']');
    lti_json_end(j, '}');
    free(recipe);
    free(clip);
}

void lti_recipe_write(lti_json *j, const char *key, const lt_recipe_stage *stage, int n)
{
    lti_json_begin(j, key, '[');
    for (int i = 0; i < n; i++)
        write_stage(j, &stage[i]);
    lti_json_end(j, ']');
}

lt_status lti_recipe_set_earlier(lt_model *model, const lt_recipe_stage *stage, int n)
{
    lti_json j = {0};
    if (n == 0)
        return LT_OK;
    lti_recipe_write(&j, NULL, stage, n);
    char *text = lti_json_take(&j);
    lt_status status = text ? lt_model_set_meta(model, stages_key, text) : LTI_NOMEM("recipe");
    free(text);
    return status;
}

// Ids in a list that lethe wrote: numbers, one a line below a header.
static lt_status read_ids(const char *path, lt_recipe_stage *s)
{
    char *text;
    size_t n, room = 1;
    LT_TRY(lt_read_file(path, MAX_LIST_BYTES, &text, &n));
    for (const char *c = text; *c; c++)
        room += *c == '\n';
    lti_free(s->forgotten);
    s->n_forgotten = 0;
    s->forgotten = lti_calloc(room, sizeof *s->forgotten);
    for (const char *line = text; s->forgotten && line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
        char *end;
        const int64_t id = strtoll(line, &end, 10);
        if (end != line)
            s->forgotten[s->n_forgotten++] = id;
    }
    lti_free(text);
    return s->forgotten ? LT_OK : LTI_NOMEM("recipe");
}

lt_status lti_recipe_note_forgotten(const lt_trained_model *m, lt_recipe_stage *s)
{
    static const char *const files[] = {"forgotten.csv", "forget.csv"}; // the first has what the second has
    for (size_t i = 0; i < sizeof files / sizeof *files && m->dir; i++) {
        char *path = lti_asprintf("%s/%s", m->dir, files[i]);
        if (!path)
            return LTI_NOMEM("path");
        const bool found = lti_is_file(path);
        lt_status status = found ? read_ids(path, s) : LT_OK;
        lti_free(path);
        if (found)
            return status;
    }
    return LT_OK;
}

// ---- from a file of the user

static lt_status read_yaml_stage(const char *path, lti_arena *arena, const lti_yaml *map, lt_recipe *r)
{
    enum { LABEL_MAX = 512 };
    lt_recipe_stage *s;
    lt_optset *set = NULL;
    char label[LABEL_MAX];
    bool has_epochs = false;
    LT_TRY(lti_yaml_expect(path, map, LTI_YAML_MAP));
    LT_TRY(add_stage(r, path, &s));
    s->is_known = true;
    lt_status status = open_options(&s->cfg, &set);
    for (const lti_yaml *node = map->first; status == LT_OK && node; node = node->next) {
        const char *value;
        lti_format(label, sizeof label, "%s:%d", path, node->line);
        status = lti_yaml_value(path, arena, node, &value);
        if (status != LT_OK)
            break;
        if (!strcmp(node->key, "data"))
            status = copy_text(value, &s->data);
        else
            status = set_option(label, set, node->key, value);
        has_epochs |= !strcmp(node->key, "epochs");
    }
    lt_optset_destroy(set);
    LT_TRY(status);
    if (!has_epochs || s->cfg.epochs < 1)
        return LT_FAIL(LT_E_USAGE, "%s:%d: expected how many epochs this training had, 1 or more, found %s", path,
                       map->line, has_epochs ? "0" : "none");
    LT_TRY(s->data ? LT_OK : copy_text(NULL, &s->data));
    LT_TRY(copy_text(NULL, &s->data_digest));
    return copy_text(NULL, &s->run);
}

static lt_status read_yaml(const char *path, const char *text, size_t n, lti_arena *arena, lt_recipe *r)
{
    lti_yaml *root;
    LT_TRY(lti_yaml_parse(text, n, path, arena, &root));
    LT_TRY(lti_yaml_expect(path, root, LTI_YAML_MAP));
    const lti_yaml *stages = lti_yaml_get(root, "stages");
    if (!stages)
        return read_yaml_stage(path, arena, root, r);
    LT_TRY(lti_yaml_expect(path, stages, LTI_YAML_LIST));
    if (root->n != 1 || stages->n < 1)
        return LT_FAIL(LT_E_FORMAT, "%s:%d: expected `stages` alone, with one training or more", path, stages->line);
    for (const lti_yaml *node = stages->first; node; node = node->next)
        LT_TRY(read_yaml_stage(path, arena, node, r));
    return LT_OK;
}

lt_status lt_recipe_open(const char *path, lt_recipe *r)
{
    char *text;
    size_t n;
    lti_arena arena = {0};
    *r = (lt_recipe){0};
    LT_TRY(lt_read_file(path, LTI_YAML_MAX_BYTES, &text, &n));
    lt_status status = read_yaml(path, text, n, &arena, r);
    lti_free(text);
    lti_arena_clear(&arena);
    if (status != LT_OK)
        lt_recipe_clear(r);
    return status;
}
