// orders.c - requests become commands. Every argument is made here from a checked field: a request names runs, methods
// and options, never arguments.
#include "serve_impl.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *text_of(const json_t *body, const char *key)
{
    const char *text = json_string_value(json_object_get(body, key));
    return text ? text : "";
}

static lt_status add_option(lti_job *job, const char *key, const char *value)
{
    char *text;
    if (asprintf(&text, "--%s=%s", key, value) < 0)
        return LT_FAIL(LT_E_NOMEM, "out of memory: job");
    const lt_status status = lti_job_add_arg(job, text);
    free(text);
    return status;
}

static lt_status set_texts(lti_job *job, const char *verb, const char *place, const char *title)
{
    job->verb = strdup(verb);
    job->place = strdup(place);
    job->title = strdup(title);
    job->message = strdup("");
    return job->verb && job->place && job->title && job->message ? LT_OK : LT_FAIL(LT_E_NOMEM, "out of memory: job");
}

// The name of what is made: as given, or made of the verb and the number of the job.
static lt_status choose_name(const json_t *body, const lti_job *job, const char *stem, char out[80])
{
    const char *name = text_of(body, "name");
    if (*name && !lti_name_is_plain(name)) {
        (void)LT_FAIL(LT_E_USAGE, "'%.80s': expected a name of letters, digits, dots, dashes and underscores", name);
        return lt_error_hint("for example base-2; at most 64 characters");
    }
    if (*name)
        snprintf(out, 80, "%s", name);
    else
        snprintf(out, 80, "%.40s-%lld", stem, (long long)job->id);
    return LT_OK;
}

// A value as text: strings, numbers and booleans of JSON.
static bool value_text(const json_t *value, char *out, size_t size)
{
    if (json_is_string(value))
        return snprintf(out, size, "%s", json_string_value(value)) < (int)size;
    if (json_is_boolean(value))
        return snprintf(out, size, "%s", json_is_true(value) ? "true" : "false") < (int)size;
    char *text = json_is_number(value) ? json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(15)) : NULL;
    const bool ok = text && snprintf(out, size, "%s", text) < (int)size;
    free(text);
    return ok;
}

// Options of one table, each checked by its row before it becomes an argument.
static lt_status add_options(lti_job *job, const json_t *options, lt_optset *set)
{
    enum { VALUE_MAX = 200 };
    const char *key;
    json_t *value;
    char text[VALUE_MAX];
    json_object_foreach((json_t *)options, key, value)
    {
        if (!value_text(value, text, sizeof text))
            return LT_FAIL(LT_E_USAGE, "option '%.40s': expected a number, a word, true or false", key);
        LT_TRY(lt_optset_set(set, key, text, "flag"));
        LT_TRY(add_option(job, key, text));
    }
    return LT_OK;
}

static lt_status check_options(lti_job *job, const json_t *options, const lt_option *table, size_t cfg_size)
{
    lt_optset *set;
    if (!json_object_size(options))
        return LT_OK;
    void *cfg = calloc(1, cfg_size + 1);
    if (!cfg)
        return LT_FAIL(LT_E_NOMEM, "out of memory: options");
    lt_status status = lt_optset_create(&set);
    if (status == LT_OK) {
        status = lt_optset_add(set, "", table, cfg, LT_OPTGROUP_FLAGS);
        if (status == LT_OK)
            status = add_options(job, options, set);
        lt_optset_destroy(set);
    }
    free(cfg);
    return status;
}

static lt_status add_seed(lti_job *job, const json_t *body)
{
    const json_t *seed = json_object_get(body, "seed");
    char text[32];
    if (!seed)
        return LT_OK;
    if (!json_is_integer(seed) || json_integer_value(seed) < 0)
        return LT_FAIL(LT_E_USAGE, "seed: expected a number from 0");
    snprintf(text, sizeof text, "%lld", (long long)json_integer_value(seed));
    return add_option(job, "seed", text);
}

// ---- one function per kind

static lt_status order_train(lti_serve *s, const json_t *body, lti_job *job)
{
    const char *data = text_of(body, "data"), *model = text_of(body, "model");
    char name[80], title[400];
    (void)s;
    if (!*data)
        return LT_FAIL(LT_E_USAGE, "say which data to train on, for example synthetic or cifar10");
    LT_TRY(choose_name(body, job, "train", name));
    snprintf(title, sizeof title, "Train %.80s on %.200s", *model ? model : "resnet18", data);
    LT_TRY(set_texts(job, "train", name, title));
    LT_TRY(lti_job_add_arg(job, "train"));
    LT_TRY(add_option(job, "data", data));
    if (*model)
        LT_TRY(add_option(job, "model", model));
    LT_TRY(add_seed(job, body));
    LT_TRY(check_options(job, json_object_get(body, "options"), lt_train_options, sizeof(lt_train_cfg)));
    return add_option(job, "out", name);
}

static lt_status add_deletion(lti_serve *s, const json_t *body, const lti_deletion *d, const char *list, lti_job *job)
{
    const lt_unlearn_method *method;
    char name[80], spec[LTI_FILE_MAX], title[400], seed[32];
    json_t *found;
    LT_TRY(lt_unlearn_find(d->method, &method));
    LT_TRY(choose_name(body, job, method->name, name));
    LT_TRY(lti_deletion_check(s, d, list, &found));
    const long long n = json_integer_value(json_object_get(found, "n_forget"));
    json_decref(found);
    snprintf(title, sizeof title, "Forget %lld sample%s of %.120s with %s", n, n == 1 ? "" : "s", d->run, method->name);
    LT_TRY(set_texts(job, "unlearn", name, title));
    LT_TRY(lti_deletion_spec(d, list + strlen(s->root) + 1, spec)); // as seen from the root, where it runs
    LT_TRY(lti_job_add_arg(job, "unlearn"));
    LT_TRY(lti_job_add_arg(job, d->run));
    LT_TRY(add_option(job, "method", method->name));
    LT_TRY(add_option(job, "forget", spec));
    snprintf(seed, sizeof seed, "%llu", (unsigned long long)d->seed);
    LT_TRY(add_option(job, "forget-seed", seed));
    if (!d->use_retain)
        LT_TRY(lti_job_add_arg(job, "--no-use-retain-data"));
    LT_TRY(add_seed(job, body));
    LT_TRY(check_options(job, json_object_get(body, "options"), method->opts, method->cfg_size));
    return add_option(job, "out", name);
}

static lt_status order_unlearn(lti_serve *s, const json_t *body, lti_job *job)
{
    lti_deletion d;
    char list[LTI_FILE_MAX];
    LT_TRY(lti_deletion_parse(body, &d));
    LT_TRY(lti_queue_file(&s->queue, job->id, "list", list));
    const lt_status status = add_deletion(s, body, &d, list, job);
    if (status != LT_OK)
        unlink(list);
    return status;
}

static lt_status order_report(lti_serve *s, const json_t *body, lti_job *job)
{
    enum { MAX_ROWS = 50 };
    const json_t *runs = json_object_get(body, "runs"), *one;
    char name[80], place[128], title[400], dir[LTI_FILE_MAX];
    size_t i;
    if (json_array_size(runs) < 1 || json_array_size(runs) > MAX_ROWS)
        return LT_FAIL(LT_E_USAGE, "choose 1 to %d runs for the report", MAX_ROWS);
    LT_TRY(choose_name(body, job, "report", name));
    snprintf(place, sizeof place, "reports/%s.html", name);
    snprintf(title, sizeof title, "Report on %zu run%s", json_array_size(runs), json_array_size(runs) == 1 ? "" : "s");
    LT_TRY(set_texts(job, "report", place, title));
    LT_TRY(lti_job_add_arg(job, "report"));
    json_array_foreach((json_t *)runs, i, one)
    {
        const char *run = json_string_value(one);
        LT_TRY(lti_place_find(s, run ? run : "", dir));
        if (!lt_run_is_done(dir))
            return LT_FAIL(LT_E_USAGE, "%.80s: expected a finished run", run);
        LT_TRY(lti_job_add_arg(job, run));
    }
    if (json_is_true(json_object_get(body, "with_images"))) {
        if (!s->with_images)
            return LT_FAIL(LT_E_USAGE, "this server was started without --with-images");
        LT_TRY(lti_job_add_arg(job, "--with-images"));
    }
    if (snprintf(dir, sizeof dir, "%s/reports", s->root) >= (int)sizeof dir)
        return LT_FAIL(LT_E_USAGE, "%s: the path is too long", s->root);
    LT_TRY(lt_make_dirs(dir));
    return add_option(job, "out", place);
}

static const struct order {
    const char *kind;
    lt_status (*make)(lti_serve *s, const json_t *body, lti_job *job);
} orders[] = {{"train", order_train}, {"unlearn", order_unlearn}, {"report", order_report}};

lt_status lti_order_job(lti_serve *s, const json_t *body, lti_job *job)
{
    const char *kind = text_of(body, "kind");
    memset(job, 0, sizeof *job);
    for (size_t i = 0; i < sizeof orders / sizeof *orders; i++)
        if (!strcmp(orders[i].kind, kind)) {
            job->id = lti_queue_reserve_id(&s->queue);
            return orders[i].make(s, body, job);
        }
    return LT_FAIL(LT_E_USAGE, "kind: expected train, unlearn or report, found '%.40s'", kind);
}
