// clip_recipe.c - spectral clipping as part of how a model was trained: in its metadata, and for training it again.
#include "run/run_impl.h"
#include <stdlib.h>
#include <string.h>

static const char key[] = "lethe.clip"; // {"clip_norm":"1",...}

static bool clips(const lt_clip_cfg *c)
{
    return c->clip_norm > 0 || c->clip_linear > 0 || c->clip_bn > 0 || c->clip_compose > 0;
}

static void add_rows(lti_buf *b, const lt_option *rows, const lt_clip_cfg *cfg)
{
    char number[LT_OPTION_TEXT_MAX];
    for (const lt_option *o = rows; o->name; o++) {
        const char *text = lt_option_text(o, cfg, number);
        lti_buf_puts(b, b->n > 1 ? "," : "");
        lti_buf_json_string(b, o->name);
        lti_buf_puts(b, ":");
        lti_buf_json_string(b, text ? text : "");
    }
}

char *lti_clip_json(const lt_clip_cfg *cfg)
{
    lti_buf b = {0};
    lti_buf_puts(&b, "{");
    if (clips(cfg)) {
        add_rows(&b, lt_clip_norm_options, cfg);
        add_rows(&b, lt_clip_rule_options, cfg);
    }
    lti_buf_puts(&b, "}");
    return lti_buf_take(&b);
}

// A model that was fine-tuned without clipping must not keep the entry of the one that it started from.
lt_status lti_set_clip_recipe(lt_model *model, const lt_clip_cfg *cfg)
{
    bool has_entry = false;
    for (int i = 0; i < model->n_meta; i++)
        has_entry |= !strcmp(model->meta[i].key, key);
    if (!clips(cfg) && !has_entry)
        return LT_OK;
    char *text = lti_clip_json(cfg);
    const lt_status status = text ? lt_model_set_meta(model, key, text) : LTI_NOMEM("recipe");
    free(text);
    return status;
}

lt_status lti_clip_read(const char *label, const json_t *recipe, lt_clip_cfg *cfg)
{
    lt_optset *set = NULL;
    const char *name;
    const json_t *value;
    LT_TRY(lt_optset_create(&set));
    lt_status status = lt_optset_add(set, "", lt_clip_norm_options, cfg, 0);
    if (status == LT_OK)
        status = lt_optset_add(set, "", lt_clip_rule_options, cfg, 0);
    json_object_foreach((json_t *)recipe, name, value)
    {
        if (status != LT_OK)
            break;
        if (!json_is_string(value) || !lt_optset_has(set, name))
            status = LT_FAIL(LT_E_FORMAT, "%s: clipping: unknown option '%s'", label, name);
        else
            status = lt_optset_set(set, name, json_string_value(value), "recipe");
    }
    lt_optset_destroy(set);
    return status;
}

lt_status lt_trained_model_clip(const lt_trained_model *m, lt_clip_cfg *cfg)
{
    lt_options_defaults(lt_clip_norm_options, cfg);
    lt_options_defaults(lt_clip_rule_options, cfg);
    const char *text = lt_trained_model_meta(m, key);
    if (!text)
        return LT_OK;
    json_error_t error;
    json_t *recipe = lti_json_parse(text, strlen(text), 0, &error);
    if (!recipe && lti_json_lacked_memory(&error))
        return LTI_NOMEM(key);
    if (!recipe)
        return LT_FAIL(LT_E_FORMAT, "%s: metadata %s: %s", m->path, key, error.text);
    const lt_status status = lti_clip_read(m->path, recipe, cfg);
    json_decref(recipe);
    return status;
}

lt_status lti_clip_job(void *ctx, lt_job *job)
{
    lti_clip_recipe *r = ctx;
    if (!clips(&r->cfg))
        return LT_OK;
    LT_TRY(lt_clipper_create(job->model, &r->cfg, job->seed, r->env, &r->clipper));
    return lt_clipper_attach(r->clipper, job);
}
