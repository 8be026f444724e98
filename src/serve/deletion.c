// deletion.c - a request to forget: resolved by the library before it is queued.
#include "serve_impl.h"
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_CLASSES_SHOWN = 20 };

static const char *text_of(const json_t *body, const char *key)
{
    const char *text = json_string_value(json_object_get(body, key));
    return text ? text : "";
}

lt_status lti_deletion_parse(const json_t *body, lti_deletion *d)
{
    static const char *const kinds[] = {"list", "class", "random", NULL};
    const json_t *seed = json_object_get(body, "forget_seed"), *retain = json_object_get(body, "use_retain");
    bool known = false;
    *d = (lti_deletion){
        .run = text_of(body, "run"),
        .method = text_of(body, "method"),
        .kind = text_of(body, "forget_kind"),
        .what = text_of(body, "forget"),
        .seed = json_is_integer(seed) && json_integer_value(seed) >= 0 ? (uint64_t)json_integer_value(seed) : 1,
        .use_retain = !retain || json_is_true(retain)};
    for (const char *const *kind = kinds; *kind; kind++)
        known |= !strcmp(d->kind, *kind);
    if (!*d->run)
        return LT_FAIL(LT_E_USAGE, "choose the run whose model is to forget");
    if (!*d->method)
        return LT_FAIL(LT_E_USAGE, "choose a method");
    if (!known)
        return LT_FAIL(LT_E_USAGE, "expected what to forget as a list, classes, or a random draw");
    if (!d->what[strspn(d->what, " \t\r\n")])
        return LT_FAIL(LT_E_USAGE, "say what to forget: nothing was entered");
    return LT_OK;
}

// Classes and draws become part of a specification: commas and colons of other parts are not for them.
lt_status lti_deletion_spec(const lti_deletion *d, const char *list_path, char out[LTI_FILE_MAX])
{
    int n;
    if (!strcmp(d->kind, "list"))
        n = snprintf(out, LTI_FILE_MAX, "file:%s", list_path);
    else if (d->what[strcspn(d->what, "\r\n:=")])
        return LT_FAIL(LT_E_USAGE, "'%.60s': expected %s", d->what,
                       !strcmp(d->kind, "class") ? "classes separated by commas" : "a share such as 10% or a number");
    else
        n = snprintf(out, LTI_FILE_MAX, "%s:%s", d->kind, d->what);
    return n < LTI_FILE_MAX ? LT_OK : LT_FAIL(LT_E_USAGE, "the list of classes is too long");
}

// Names of files are personal: no other user may read the list.
static lt_status write_list(const char *path, const char *text)
{
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    FILE *f = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (!f)
        return LT_FAIL(LT_E_IO, "%s cannot be written", path);
    bool ok = true;
    for (const char *p = text; *p; p++)
        ok = (*p == '\r' || putc(*p, f) != EOF) && ok; // line ends of forms are CR LF
    ok = putc('\n', f) != EOF && ok;
    return fclose(f) == 0 && ok ? LT_OK : LT_FAIL(LT_E_NOSPACE, "%s cannot be written", path);
}

static void count_classes(const lt_dataset *ds, const lt_index_set *forget, json_t *found)
{
    json_t *classes = json_array();
    int64_t *n = calloc((size_t)ds->n_classes, sizeof *n), *all = calloc((size_t)ds->n_classes, sizeof *all);
    int n_more = 0;
    for (int64_t i = 0; n && i < forget->n; i++)
        n[ds->split[LT_TRAIN].y[forget->row[i]]]++;
    for (int64_t i = 0; all && i < ds->split[LT_TRAIN].n; i++)
        all[ds->split[LT_TRAIN].y[i]]++;
    for (int k = 0; n && all && k < ds->n_classes; k++) {
        if (n[k] == 0)
            continue;
        if (json_array_size(classes) < MAX_CLASSES_SHOWN)
            json_array_append_new(classes, json_pack("{s:s, s:I, s:I}", "name", ds->class_names[k], "n",
                                                     (json_int_t)n[k], "of", (json_int_t)all[k]));
        else
            n_more++;
    }
    json_object_set_new(found, "classes", classes);
    json_object_set_new(found, "more_classes", json_integer(n_more));
    free(n);
    free(all);
}

static lt_status check_method(const lti_deletion *d, const lt_trained_model *m, const lt_dataset *ds,
                              const lt_sample_sets *sets, json_t *found)
{
    const lt_unlearn_method *method;
    lt_train_cfg recipe;
    const bool has_recipe = lt_trained_model_has_recipe(m);
    LT_TRY(lt_unlearn_find(d->method, &method));
    if (has_recipe)
        LT_TRY(lt_trained_model_recipe(m, &recipe));
    const lt_unlearn_in in = {.model = m->model,
                              .ds = ds,
                              .forget = &sets->forget,
                              .retain = &sets->retain,
                              .use_retain = d->use_retain,
                              .train_cfg = has_recipe ? &recipe : NULL};
    LT_TRY(lt_unlearn_check(method, &in));
    json_object_set_new(found, "method", json_string(method->name));
    json_object_set_new(found, "title", json_string(method->title));
    return LT_OK;
}

static lt_status resolve(const lti_deletion *d, const char *spec, const lt_trained_model *m, const lt_dataset *ds,
                         json_t *found)
{
    lt_sample_sets sets = {0};
    lt_duplicates duplicates = {0};
    const lt_forget_request request = {.spec = spec, .seed = d->seed, .is_new = true};
    lt_status status = lt_trained_model_sets(m, ds, &request, &sets);
    if (status == LT_OK)
        status = check_method(d, m, ds, &sets, found);
    if (status == LT_OK)
        status = lt_dataset_duplicates(ds, &sets.forget, &sets.retain, &duplicates);
    if (status == LT_OK) {
        json_object_set_new(found, "n_forget", json_integer(sets.forget.n));
        json_object_set_new(found, "n_retain", json_integer(sets.retain.n));
        json_object_set_new(found, "n_before", json_integer(sets.n_before));
        json_object_set_new(found, "duplicates", json_integer(duplicates.in_retain));
        count_classes(ds, &sets.forget, found);
    }
    lt_sample_sets_clear(&sets);
    return status;
}

static lt_status open_and_resolve(const lti_deletion *d, const char *dir, const char *spec, json_t *found)
{
    lt_trained_model m = {0};
    lt_dataset *ds = NULL;
    lt_status status = lt_trained_model_open(dir, NULL, NULL, &m);
    if (status == LT_OK)
        status = lt_trained_model_data(&m, NULL, LT_DATA_TRAINING, NULL, &ds);
    if (status == LT_OK)
        status = resolve(d, spec, &m, ds, found);
    lt_dataset_close(ds);
    lt_trained_model_close(&m);
    return status;
}

// The list is a file of the queue; to who sent it, it is the list.
static void hide_path(const char *path)
{
    lt_error e = *lt_error_get();
    char *at = strstr(e.message, path);
    const size_t n = strlen(path);
    static const char name[] = "the list";
    if (!at)
        return;
    memmove(at + sizeof name - 1, at + n, strlen(at + n) + 1); // the path is longer
    memcpy(at, name, sizeof name - 1);
    lt_error_restore(&e);
}

lt_status lti_deletion_check(lti_serve *s, const lti_deletion *d, const char *list_path, json_t **found)
{
    char dir[LTI_FILE_MAX], spec[LTI_FILE_MAX];
    *found = NULL;
    LT_TRY(lti_place_find(s, d->run, dir));
    if (!lt_run_is_done(dir)) {
        (void)LT_FAIL(LT_E_USAGE, "%.80s: expected a finished run", d->run);
        return lt_error_hint("wait until it is done, or choose another");
    }
    LT_TRY(lti_deletion_spec(d, list_path, spec));
    if (!strcmp(d->kind, "list"))
        LT_TRY(write_list(list_path, d->what));
    json_t *all = json_object();
    pthread_mutex_lock(&s->library);
    const lt_status status = open_and_resolve(d, dir, spec, all);
    pthread_mutex_unlock(&s->library);
    if (status == LT_OK) {
        *found = all;
    } else {
        hide_path(list_path);
        json_decref(all);
    }
    return status;
}
