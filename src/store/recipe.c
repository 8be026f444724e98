// recipe.c - a request as text, and the address made from it.
#include "store_impl.h"
#include <string.h>

// Options that say how to run, not what comes out.
static bool counts(const char *name)
{
    static const char *const not_counted[] = {"eval_every", "checkpoint_every_s"};
    for (size_t i = 0; i < sizeof not_counted / sizeof *not_counted; i++)
        if (strcmp(name, not_counted[i]) == 0)
            return false;
    return true;
}

static const char *enum_name(const lt_option *o, int32_t value)
{
    for (const lt_opt_value *v = o->values; v->name; v++)
        if (v->value == value)
            return v->name;
    return "?"; // refused later by the trainer
}

static const char *value_text(const lt_option *o, const void *cfg, char out[LTI_NUMBER_MAX])
{
    const void *at = (const char *)cfg + o->offset;
    switch (o->type) {
    case LT_OPT_BOOL:
        return *(const bool *)at ? "true" : "false";
    case LT_OPT_I32:
        lti_format(out, LTI_NUMBER_MAX, "%d", (int)*(const int32_t *)at);
        return out;
    case LT_OPT_I64:
        lti_format(out, LTI_NUMBER_MAX, "%lld", (long long)*(const int64_t *)at);
        return out;
    case LT_OPT_F32:
        return lti_number_text((double)*(const float *)at, true, out);
    case LT_OPT_ENUM:
        return enum_name(o, *(const int32_t *)at);
    default:
        LT_BUG("option %s: a type that no table of a recipe uses", o->name);
    }
}

// The rows of one table: all into the recipe, those that differ from their default into the digest.
static lt_status add_options(const lt_option *rows, const void *cfg, const void *defaults, json_t *recipe, lti_hash *h)
{
    for (const lt_option *o = rows; o->name; o++) {
        char a[LTI_NUMBER_MAX], b[LTI_NUMBER_MAX];
        if (!counts(o->name))
            continue;
        const char *value = value_text(o, cfg, a), *usual = value_text(o, defaults, b);
        if (json_object_set_new(recipe, o->name, json_string(value)) != 0)
            return LTI_NOMEM("recipe");
        if (strcmp(value, usual) != 0) {
            lti_hash_add(h, o->name, strlen(o->name) + 1);
            lti_hash_add(h, value, strlen(value) + 1);
        }
    }
    return LT_OK;
}

lt_status lti_ref_recipe(const lt_ref_request *request, json_t **recipe, char digest[65])
{
    lt_train_cfg train;
    lt_clip_cfg clip;
    lti_hash h;
    lt_options_defaults(lt_train_options, &train);
    lt_options_defaults(lt_clip_norm_options, &clip);
    lt_options_defaults(lt_clip_rule_options, &clip);
    lti_hash_init(&h);
    *recipe = json_object();
    if (!*recipe)
        return LTI_NOMEM("recipe");
    lt_status status = add_options(lt_train_options, &request->train, &train, *recipe, &h);
    if (status == LT_OK && lt_clip_is_on(&request->clip))
        status = add_options(lt_clip_norm_options, &request->clip, &clip, *recipe, &h);
    if (status == LT_OK && lt_clip_is_on(&request->clip))
        status = add_options(lt_clip_rule_options, &request->clip, &clip, *recipe, &h);
    lti_hash_hex(&h, digest);
    if (status != LT_OK) {
        json_decref(*recipe);
        *recipe = NULL;
    }
    return status;
}

void lti_reference_path(const lt_ref_request *request, const char *recipe_digest, lt_ref *ref)
{
    static const char format[] = "lethe reference model 1";
    const lt_dataset *ds = request->ds;
    const int64_t shape[] = {ds->c, ds->h, ds->w, ds->n_classes};
    lti_hash h;
    lti_hash_init(&h);
    lti_hash_add(&h, format, sizeof format);
    lti_hash_add(&h, request->model, strlen(request->model) + 1);
    lti_hash_add(&h, shape, sizeof shape);
    lti_hash_add(&h, recipe_digest, 64);
    lti_hash_add(&h, ds->digest, 64);
    lti_hash_add(&h, ref->mask_digest, 64);
    lti_hash_add(&h, &ref->seed, sizeof ref->seed);
    lti_hash_hex(&h, ref->address);
}
