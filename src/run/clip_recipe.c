// clip_recipe.c - spectral clipping as part of how a model was trained: in its metadata, and for training it again.
#include "run/run_impl.h"
#include <stdlib.h>
#include <string.h>

static const char key[] = "lethe.clip"; // of lt_clip_set_meta

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
    if (!lt_clip_is_on(&r->cfg))
        return LT_OK;
    LT_TRY(lt_clipper_create(job->model, &r->cfg, job->seed, r->env, &r->clipper));
    return lt_clipper_attach(r->clipper, job);
}
