// ledger_replay.c - a recorded run repeated from the record alone: its options, its data, the model it started from.
#include "ledger/ledger_impl.h"
#include "run/run_impl.h"
#include <ftw.h>
#include <stdlib.h>
#include <string.h>

typedef struct replay { // everything that must be given back
    const json_t *body;
    const char *out;
    lt_optset *set;
    lt_dataset *ds;
    lt_trained_model base;
    lt_env env;
    void *cfg; // of the method
    lt_threads threads;
} replay;

static void replay_clear(replay *r)
{
    lt_optset_destroy(r->set);
    lt_trained_model_close(&r->base);
    lt_dataset_close(r->ds);
    lt_backend_destroy(r->env.backend);
    lti_free(r->cfg);
}

// Every recorded value of an option that the set has.
static lt_status set_options(replay *r)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)json_object_get(r->body, "config"), key, value)
    {
        if (!lt_optset_has(r->set, key))
            continue;
        char *text = json_is_string(value) ? lti_strdup(json_string_value(value)) : lti_canonical(value, 0);
        lt_status status = text ? lt_optset_set(r->set, key, text, "record") : LTI_NOMEM("replay");
        lti_free(text);
        LT_TRY(status);
    }
    return LT_OK;
}

static lt_status add_threads(replay *r)
{
    return lt_optset_add(r->set, "", lt_threads_options, &r->threads, LT_OPTGROUP_FLAGS | LT_OPTGROUP_NODIGEST);
}

static lt_status open_env(replay *r, const lt_compute *compute, const lt_env *outer)
{
    if (outer)
        r->env = (lt_env){.events = outer->events, .stop = outer->stop};
    return lt_compute_open(compute, &r->threads, &r->env);
}

// What a run needs and this machine does not have is no fault of the record.
static lt_status missing(lt_status status)
{
    char why[LT_ERROR_MESSAGE_MAX];
    if (status == LT_OK || status == LT_E_NOMEM)
        return status;
    lti_format(why, sizeof why, "%s", lt_error_get()->message);
    return LT_FAIL(LT_E_UNSUPPORTED, "%s", why);
}

static lt_status replay_train(replay *r, char digest[LTI_HEX], const lt_env *outer)
{
    lt_train_order order;
    lt_train_record record;
    lt_train_order_defaults(&order);
    LT_TRY(lt_train_order_bind(&order, r->set, false));
    LT_TRY(add_threads(r));
    LT_TRY(set_options(r));
    if (order.what.population > 0)
        return LT_FAIL(LT_E_UNSUPPORTED, "it is a population; its members are separate runs");
    LT_TRY(missing(lt_dataset_open(order.what.data, outer ? outer->events : NULL, &r->ds)));
    LT_TRY(open_env(r, &order.compute, outer));
    order.ds = r->ds;
    order.env = &r->env;
    order.out = r->out;
    lt_status status = lt_train_dir(&order, &record);
    if (status == LT_OK)
        lti_format(digest, LTI_HEX, "%s", record.model_digest);
    lt_train_record_clear(&record);
    return status;
}

// The model that the run started from, if it still exists unchanged.
static lt_status open_base(replay *r)
{
    char found[LTI_HEX];
    json_t *result = json_object();
    lt_trained_model child = {.dir = (char *)(uintptr_t)lti_json_text_at(r->body, "run.dir"), .result = result};
    const bool ok = lti_put_text(result, "parent", lti_json_text_at(r->body, "parent.run"));
    char *parent = ok ? lt_trained_model_parent(&child) : NULL;
    json_decref(result);
    if (!parent)
        return LTI_NOMEM("replay");
    const bool exists = lti_is_dir(parent) || lti_is_file(parent);
    lt_status status = exists ? missing(lt_trained_model_open(parent, NULL, NULL, &r->base))
                              : LT_FAIL(LT_E_UNSUPPORTED, "the original model %s is not available", parent);
    if (status == LT_OK) {
        lt_model_digest(r->base.model, found);
        if (strcmp(found, lti_json_text_at(r->body, "parent.digest")) != 0)
            status = LT_FAIL(LT_E_UNSUPPORTED, "%s is another model than the one before", parent);
    }
    lti_free(parent);
    return status;
}

static lt_status replay_unlearn(replay *r, char digest[LTI_HEX], const lt_env *outer)
{
    const lt_unlearn_method *method;
    lt_unlearn_order order;
    lt_unlearn_record record;
    if (*lti_json_text_at(r->body, "result.stream_digest"))
        return LT_FAIL(LT_E_UNSUPPORTED, "it is one of several requests, which can only be repeated together");
    LT_TRY(lt_unlearn_find(lti_json_text_at(r->body, "method.name"), &method));
    r->cfg = lti_calloc(1, method->cfg_size + 1);
    if (!r->cfg)
        return LTI_NOMEM("replay");
    lt_unlearn_order_defaults(method, r->cfg, &order);
    LT_TRY(lt_unlearn_order_bind(&order, r->cfg, r->set, false));
    LT_TRY(add_threads(r));
    LT_TRY(set_options(r));
    if (order.what.requests && *order.what.requests)
        return LT_FAIL(LT_E_UNSUPPORTED, "it is several requests");
    LT_TRY(open_base(r));
    LT_TRY(missing(
        lt_trained_model_data(&r->base, order.what.data, LT_DATA_TRAINING, outer ? outer->events : NULL, &r->ds)));
    LT_TRY(open_env(r, &order.compute, outer));
    order.base = &r->base;
    order.ds = r->ds;
    order.env = &r->env;
    order.out = r->out;
    lt_status status = lt_unlearn_dir(&order, &record);
    if (status == LT_OK)
        lti_format(digest, LTI_HEX, "%s", record.model_digest);
    lt_unlearn_record_clear(&record);
    return status;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *walk)
{
    (void)st;
    (void)type;
    (void)walk;
    return remove(path);
}

lt_status lti_replay(const json_t *body, const lt_ledger_verify_spec *spec, const char *scratch, char digest[LTI_HEX])
{
    enum { OPEN_FILES = 16 };
    const char *kind = lti_json_text_at(body, "kind");
    char *out = lti_asprintf("%s/record-%lld", scratch, (long long)json_integer_value(json_object_get(body, "id")));
    replay r = {.body = body, .out = out};
    lt_status status = out ? lt_optset_create(&r.set) : LTI_NOMEM("replay");
    if (status == LT_OK && !strcmp(kind, "train"))
        status = replay_train(&r, digest, spec->env);
    else if (status == LT_OK && !strcmp(kind, "unlearn"))
        status = replay_unlearn(&r, digest, spec->env);
    else if (status == LT_OK)
        status = LT_FAIL(LT_E_UNSUPPORTED, "runs of kind '%s' are not repeated", kind);
    replay_clear(&r);
    if (out)
        nftw(out, remove_entry, OPEN_FILES, FTW_DEPTH | FTW_PHYS);
    lti_free(out);
    return status;
}
