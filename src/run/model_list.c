// model_list.c - several models by name: runs, model files, and the members of ensembles.
#include "run/run_impl.h"
#include "lethe/robustness.h"
#include <string.h>

static bool is_ensemble(const char *path)
{
    char first[LT_RESULT_PATH_MAX];
    lti_format(first, sizeof first, "%s/member-0.safetensors", path);
    return lti_is_file(first);
}

static lt_status add_model(lt_model_list *list, const lt_model *model, const char *name)
{
    if (list->n == LT_MODEL_LIST_MAX)
        return LT_FAIL(LT_E_USAGE, "%s: expected at most %d models, found more", name, LT_MODEL_LIST_MAX);
    list->model[list->n] = model;
    list->name[list->n++] = name;
    return LT_OK;
}

static lt_status add_ensemble(lt_model_list *list, const char *path)
{
    lt_ensemble **e = &list->ensemble[list->n_ensembles];
    char *name = lti_strdup(path);
    list->ensemble_name[list->n_ensembles++] = name;
    if (!name)
        return LTI_NOMEM("path");
    LT_TRY(lt_ensemble_open(path, e));
    for (int i = 0; i < (*e)->n; i++)
        LT_TRY(add_model(list, (*e)->member[i], name));
    return LT_OK;
}

lt_status lt_model_list_add(lt_model_list *list, const char *path, const lt_model_fallback *fallback,
                            const lt_dataset *ds)
{
    if (list->n == LT_MODEL_LIST_MAX)
        return LT_FAIL(LT_E_USAGE, "%s: expected at most %d models, found more", path, LT_MODEL_LIST_MAX);
    if (is_ensemble(path))
        return add_ensemble(list, path);
    lt_trained_model *m = &list->single[list->n_single++];
    LT_TRY(lt_trained_model_open(path, fallback, ds, m));
    return add_model(list, m->model, m->name);
}

void lt_model_list_clear(lt_model_list *list)
{
    for (int i = 0; i < list->n_single; i++)
        lt_trained_model_close(&list->single[i]);
    for (int i = 0; i < list->n_ensembles; i++) {
        lt_ensemble_destroy(list->ensemble[i]);
        lti_free(list->ensemble_name[i]);
    }
    *list = (lt_model_list){0};
}

lt_status lt_model_list_data_spec(const lt_model_list *list, const char *given, const char **spec)
{
    *spec = given;
    for (int i = 0; list->n > 0 && i < list->model[0]->n_meta && !(*spec && **spec); i++)
        if (!strcmp(list->model[0]->meta[i].key, "lethe.data"))
            *spec = list->model[0]->meta[i].value;
    if (*spec && **spec)
        return LT_OK;
    LT_FAIL(LT_E_USAGE, "%s: its data set is not on record", list->n > 0 ? list->name[0] : "models");
    return lt_error_hint("name it with --data");
}
