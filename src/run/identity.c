// identity.c - the training set of a model, found again by content.
//
// A run remembers its training set in samples.safetensors; a run that comes from another one has that one's. When the
// data are no longer what they were, samples keep their ids as long as their images are there. What is missing must
// have been forgotten by the model: anything else would put wrong samples into the retain set.
#include "run/run_impl.h"
#include <stdlib.h>
#include <string.h>

enum { ANCESTORS_MAX = 64, MAX_LIST_BYTES = 1 << 30 };

// Path of the sample list of the run or of the nearest one that it comes from; NULL when there is none.
static char *find_list(const lt_trained_model *m)
{
    char *list = m->dir ? lti_asprintf("%s/" LTI_SAMPLES_FILE, m->dir) : NULL;
    char *run = lt_trained_model_parent(m);
    for (int i = 0; i < ANCESTORS_MAX && list && !lti_is_file(list); i++) {
        lti_free(list);
        list = NULL;
        if (!run || !*run || !lti_is_dir(run))
            break;
        list = lti_asprintf("%s/" LTI_SAMPLES_FILE, run);
        lt_trained_model up = {.dir = run};
        char *path = lti_asprintf("%s/result.json", run);
        if (path && lti_is_file(path))
            (void)lti_json_load(path, &up.result);
        lti_free(path);
        char *next = lt_trained_model_parent(&up);
        json_decref(up.result);
        lti_free(run);
        run = next;
    }
    lti_free(run);
    if (list && !lti_is_file(list)) {
        lti_free(list);
        list = NULL;
    }
    lt_error_clear();
    return list;
}

static int compare_ids(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

// Official ids in a list that lethe wrote: numbers, one a line below a header. Takes those of `id` (ascending) off.
static void strike_listed(const char *text, int64_t *id, int64_t *n)
{
    for (const char *line = text; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
        char *end;
        const int64_t listed = strtoll(line, &end, 10);
        int64_t *at = end != line ? bsearch(&listed, id, (size_t)*n, sizeof *id, compare_ids) : NULL;
        if (!at)
            continue;
        memmove(at, at + 1, (size_t)(*n - (at - id) - 1) * sizeof *id);
        --*n;
    }
}

static lt_status strike_forgotten(const lt_trained_model *m, lt_identity *identity)
{
    static const char *const files[] = {"forgotten.csv", "forget.csv"};
    for (size_t i = 0; i < sizeof files / sizeof *files && m->dir; i++) {
        char *text = NULL, *path = lti_asprintf("%s/%s", m->dir, files[i]);
        size_t n;
        if (!path)
            return LTI_NOMEM("path");
        lt_status status = lti_is_file(path) ? lt_read_file(path, MAX_LIST_BYTES, &text, &n) : LT_OK;
        if (status == LT_OK && text)
            strike_listed(text, identity->missing, &identity->n_missing);
        lti_free(text);
        lti_free(path);
        LT_TRY(status);
    }
    return LT_OK;
}

static lt_status judge_identity(const lt_trained_model *m, const lt_dataset *ds, int64_t n_gone,
                                const lt_identity *identity, lt_events *events)
{
    if (identity->n_found == 0)
        return LT_FAIL(LT_E_INTEGRITY, "data %s: none of its samples is one that %s was trained on", ds->spec, m->name);
    if (identity->n_missing) {
        LT_FAIL(LT_E_INTEGRITY,
                "data %s: %lld of the samples that %s was trained on are not in it and have not been forgotten; the "
                "first is index %lld",
                ds->spec, (long long)identity->n_missing, m->name, (long long)identity->missing[0]);
        return lt_error_hint("put the images back, or name the data as they were (keys such as train-limit= count)");
    }
    if (identity->changed)
        lt_warn(
            events, "data.identified",
            "%s has changed since %s was trained: %lld samples found by content, %lld forgotten ones are gone, %lld "
            "new ones are left out",
            ds->spec, m->name, (long long)identity->n_found, (long long)n_gone, (long long)identity->n_new);
    return LT_OK;
}

// The list may be that of an earlier run, which is not open.
static lt_status open_list(const char *path, lt_sample_list **list)
{
    char *dir = lti_asprintf("%.*s", (int)(strlen(path) - strlen("/" LTI_SAMPLES_FILE)), path);
    if (!dir)
        return LTI_NOMEM("path");
    lt_status status = lt_run_is_done(dir) ? lt_run_check_file(dir, LTI_SAMPLES_FILE) : LT_OK;
    lti_free(dir);
    return status == LT_OK ? lt_sample_list_open(path, list) : status;
}

lt_status lti_sample_list_find(const lt_trained_model *m, lt_sample_list **list, bool *found)
{
    char *path = find_list(m);
    *list = NULL;
    *found = path != NULL;
    lt_status status = path ? open_list(path, list) : LT_OK;
    lti_free(path);
    return status;
}

static lt_status identify(const lt_trained_model *m, const char *path, lt_dataset *ds, lt_events *events)
{
    lt_sample_list *list;
    lt_identity identity;
    LT_TRY(open_list(path, &list));
    lt_status status = lt_dataset_identify(ds, list, &identity);
    lt_sample_list_close(list);
    LT_TRY(status);
    const int64_t n_gone = identity.n_missing;
    status = strike_forgotten(m, &identity);
    if (status == LT_OK)
        status = judge_identity(m, ds, n_gone, &identity, events);
    lt_identity_clear(&identity);
    return status;
}

lt_status lti_remember_samples(const lt_trained_model *base, const lt_dataset *ds, const lt_result_dir *to,
                               lt_model *model)
{
    char *list = find_list(base);
    const bool is_known = list != NULL;
    lti_free(list);
    if (!lt_trained_model_meta(base, "lethe.data")) {
        const lt_provenance p = {.ds = ds, .is_trained = !model->class_names};
        LT_TRY(lt_model_set_provenance(model, &p));
        LT_TRY(lt_model_set_meta(model, "lethe.data", ds->spec));
    }
    return is_known ? LT_OK : lt_result_dir_add_samples(to, ds);
}

// The first class that has another name in the data; -1 = none, or names are not known.
static int find_other_class(const lt_trained_model *m, const lt_dataset *ds)
{
    const char *const *of_model = m->model->class_names;
    for (int i = 0; of_model && ds->class_names && i < ds->n_classes && i < m->model->shape.n_classes; i++)
        if (strcmp(of_model[i], ds->class_names[i]) != 0)
            return i;
    return -1;
}

lt_status lt_trained_model_check_data(const lt_trained_model *m, lt_dataset *ds, lt_data_use use, lt_events *events)
{
    const char *digest = lt_trained_model_meta(m, "lethe.data_digest");
    if (!digest || strcmp(digest, ds->digest) == 0)
        return LT_OK;
    if (use == LT_DATA_ANY) {
        const int other = find_other_class(m, ds);
        lt_warn(events, "data.other", "%s was trained on other data than %s", m->name, ds->spec);
        if (other >= 0)
            lt_warn(events, "data.classes", "class %d is '%s' for %s and '%s' in %s: are these the same classes?",
                    other, m->model->class_names[other], m->name, ds->class_names[other], ds->spec);
        return LT_OK;
    }
    char *path = find_list(m);
    lt_status status = path ? identify(m, path, ds, events)
                            : LT_FAIL(LT_E_INTEGRITY, "data %s: digest %.16s..., but %s was trained on %.16s...",
                                      ds->spec, ds->digest, m->name, digest);
    lti_free(path);
    return status;
}
