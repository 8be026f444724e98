// ledger_list.c - records as tables and JSON.
#include "ledger/ledger_impl.h"
#include <stdlib.h>
#include <string.h>

static lt_status text_of(json_t *value, char **json)
{
    char *text = value ? lti_canonical(value, 2) : NULL;
    json_decref(value);
    *json = text ? lti_asprintf("%s\n", text) : NULL;
    lti_free(text);
    return *json ? LT_OK : LTI_NOMEM("ledger");
}

lt_status lt_ledger_record_json(lt_ledger *ledger, int64_t id, char **json)
{
    lti_record r;
    json_t *body = NULL, *out = json_object();
    *json = NULL;
    lt_status status = lti_get_record(ledger, id, &r);
    if (status == LT_OK)
        status = lti_parse_json(r.body, strlen(r.body), ledger->path, &body);
    if (status == LT_OK && !(lti_put(out, "id", json_integer(r.id)) && lti_put_text(out, "prev", r.prev) &&
                             lti_put_text(out, "digest", r.digest) && json_object_set(out, "body", body) == 0))
        status = LTI_NOMEM("ledger");
    lti_record_clear(&r);
    json_decref(body);
    if (status == LT_OK)
        return text_of(out, json);
    json_decref(out);
    return status;
}

typedef struct listing {
    json_t *records;
    const char *request, *label;
    int64_t n;
} listing;

static bool put_or_null(json_t *row, const char *key, const json_t *body, const char *path)
{
    const char *text = lti_json_text_at(body, path);
    return lti_put_text(row, key, *text ? text : NULL);
}

static lt_status list_record(void *self, const lti_record *r)
{
    listing *to = self;
    json_t *body, *row = json_object();
    to->n++;
    lt_status status = lti_parse_json(r->body, strlen(r->body), to->label, &body);
    if (status != LT_OK) {
        json_decref(row);
        return status;
    }
    if (to->request && strcmp(lti_json_text_at(body, "request"), to->request) != 0) {
        json_decref(body);
        json_decref(row);
        return LT_OK;
    }
    const bool ok =
        lti_put(row, "id", json_integer(r->id)) && lti_put_text(row, "digest", r->digest) &&
        put_or_null(row, "kind", body, "kind") && put_or_null(row, "time", body, "time") &&
        put_or_null(row, "request", body, "request") && put_or_null(row, "run", body, "run.dir") &&
        put_or_null(row, "model", body, "model.digest") && put_or_null(row, "method", body, "method.name") &&
        put_or_null(row, "verdict", body, "result.verdict.overall") && json_array_append(to->records, row) == 0;
    json_decref(row);
    json_decref(body);
    return ok ? LT_OK : LTI_NOMEM("ledger");
}

lt_status lt_ledger_list_json(lt_ledger *ledger, const char *request, char **json)
{
    char id[LTI_HEX];
    listing to = {.records = json_array(), .request = request, .label = ledger->path};
    json_t *out = json_object();
    *json = NULL;
    lt_status status = lti_read_begin(ledger);
    if (status == LT_OK)
        status = lti_ledger_id(ledger, id);
    if (status == LT_OK)
        status = lti_for_records(ledger, list_record, &to);
    lti_read_end(ledger);
    if (status == LT_OK &&
        !(lti_put_text(out, "ledger", id) && lti_put_text(out, "file", ledger->path) &&
          lti_put(out, "n_records", json_integer(to.n)) && json_object_set(out, "records", to.records) == 0))
        status = LTI_NOMEM("ledger");
    json_decref(to.records);
    if (status == LT_OK)
        return text_of(out, json);
    json_decref(out);
    return status;
}
