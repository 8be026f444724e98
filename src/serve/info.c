// info.c - what this server may do, and what can be asked of it: methods and their options, data sets, architectures.
#include "serve_impl.h"
#include <stdlib.h>
#include <string.h>

lt_status lti_get_info(lti_serve *s, const lti_target *t, const json_t *body, lti_response *r)
{
    const char *slash = strrchr(s->root, '/');
    (void)t;
    (void)body;
    json_t *name = json_string(slash && slash[1] ? slash + 1 : s->root);
    lti_respond_json(r, 200,
                     json_pack("{s:s, s:o, s:b, s:b, s:i}", "version", LT_VERSION, "root",
                               name ? name : json_string("runs"), "with_images", s->with_images, "token_to_read",
                               s->token_to_read, "jobs", s->queue.max_running));
    return LT_OK;
}

static json_t *options_json(const lt_option *table, size_t cfg_size)
{
    json_t *list = json_array();
    void *cfg = calloc(1, cfg_size + 1);
    if (!cfg)
        return list;
    lt_options_defaults(table, cfg);
    for (const lt_option *row = table; row->name; row++) {
        char number[LT_OPTION_TEXT_MAX], key[64];
        const char *value = lt_option_text(row, cfg, number);
        json_t *one = json_object(), *words = json_array();
        snprintf(key, sizeof key, "%s", row->name);
        for (char *p = key; *p; p++)
            *p = *p == '_' ? '-' : *p;
        json_object_set_new(one, "key", json_string(key));
        json_object_set_new(one, "help", json_string(row->help ? row->help : ""));
        json_object_set_new(one, "default", json_string(value ? value : ""));
        for (const lt_opt_value *v = row->type == LT_OPT_ENUM ? row->values : NULL; v && v->name; v++)
            json_array_append_new(words, json_string(v->name));
        json_object_set_new(one, "values", words);
        json_array_append_new(list, one);
    }
    free(cfg);
    return list;
}

lt_status lti_get_methods(lti_serve *s, const lti_target *t, const json_t *body, lti_response *r)
{
    json_t *methods = json_array(), *data = json_array(), *models = json_array();
    int n;
    (void)s;
    (void)t;
    (void)body;
    for (const lt_unlearn_method *const *m = lt_unlearn_methods(); *m; m++)
        json_array_append_new(methods,
                              json_pack("{s:s, s:s, s:s, s:b, s:b, s:o}", "name", (*m)->name, "title", (*m)->title,
                                        "doc", (*m)->doc, "needs_retain", ((*m)->needs & LT_NEED_RETAIN) != 0,
                                        "whole_classes", ((*m)->needs & LT_WHOLE_CLASSES) != 0, "options",
                                        options_json((*m)->opts, (*m)->cfg_size)));
    const lt_dataset_kind *kind = lt_dataset_kinds(&n);
    for (int i = 0; i < n; i++)
        json_array_append_new(data, json_pack("{s:s, s:s}", "name", kind[i].name, "title", kind[i].title));
    const lt_arch *arch = lt_model_archs(&n);
    for (int i = 0; i < n; i++)
        json_array_append_new(
            models, json_pack("{s:s, s:s, s:s}", "name", arch[i].name, "title", arch[i].title, "keys", arch[i].keys));
    lti_respond_json(r, 200,
                     json_pack("{s:o, s:o, s:o, s:o}", "methods", methods, "data", data, "models", models,
                               "train_options", options_json(lt_train_options, sizeof(lt_train_cfg))));
    return LT_OK;
}
