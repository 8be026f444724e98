// records.c - the ledger of this directory: its records, one of them, and the receipt of one. Nothing is written to it.
#include "lethe/ledger.h"
#include "serve_impl.h"
#include <stdlib.h>
#include <string.h>

// The ledger in which runs that lie directly below the root are recorded. *ledger stays NULL when there is none yet.
static lt_status open_ledger(const lti_serve *s, lt_ledger **ledger)
{
    char run[LTI_FILE_MAX + 2], *path = NULL;
    *ledger = NULL;
    snprintf(run, sizeof run, "%s/-", s->root);
    LT_TRY(lt_ledger_path(NULL, run, &path));
    lt_status status = lt_ledger_open(path, LT_LEDGER_READ, ledger);
    if (status == LT_E_INPUT) {
        lt_error_clear();
        status = LT_OK;
    }
    free(path);
    return status;
}

static lt_status send_json_text(lti_response *r, char *text)
{
    json_t *value = json_loads(text, 0, NULL);
    free(text);
    if (!value)
        return LT_FAIL(LT_E_NOMEM, "out of memory: records");
    lti_respond_json(r, 200, value);
    return LT_OK;
}

lt_status lti_get_records(lti_serve *s, const lti_target *t, const json_t *body, lti_response *r)
{
    lt_ledger *ledger;
    char *text = NULL;
    (void)body;
    LT_TRY(open_ledger(s, &ledger));
    if (!ledger) {
        lti_respond_json(r, 200, json_pack("{s:n, s:i, s:[]}", "file", "n_records", 0, "records"));
        return LT_OK;
    }
    const lt_status status = lt_ledger_list_json(ledger, lti_target_get(t, "request"), &text);
    lt_ledger_close(ledger);
    LT_TRY(status);
    return send_json_text(r, text);
}

// The record that the request names in `id`, and the ledger that has it.
static lt_status open_record(const lti_serve *s, const lti_target *t, int64_t *id, lt_ledger **ledger)
{
    enum { MAX_DIGITS = 15 };
    const char *text = lti_target_get(t, "id");
    if (!text || !*text || strlen(text) > MAX_DIGITS || text[strspn(text, "0123456789")])
        return LT_FAIL(LT_E_USAGE, "request: expected 'id' to be the number of a record");
    *id = strtoll(text, NULL, 10);
    LT_TRY(open_ledger(s, ledger));
    lt_ledger_entry head = {.id = 0};
    const lt_status status = *ledger ? lt_ledger_head(*ledger, &head) : LT_OK;
    if (status == LT_OK && *id > 0 && *id <= head.id)
        return LT_OK;
    lt_ledger_close(*ledger);
    *ledger = NULL;
    LT_TRY(status);
    return LT_FAIL(LT_E_INPUT, "the ledger of this directory has no record %lld", (long long)*id);
}

lt_status lti_get_one_record(lti_serve *s, const lti_target *t, const json_t *body, lti_response *r)
{
    lt_ledger *ledger;
    char *text = NULL;
    int64_t id;
    (void)body;
    LT_TRY(open_record(s, t, &id, &ledger));
    const lt_status status = lt_ledger_record_json(ledger, id, &text);
    lt_ledger_close(ledger);
    LT_TRY(status);
    return send_json_text(r, text);
}

lt_status lti_get_receipt(lti_serve *s, const lti_target *t, const json_t *body, lti_response *r)
{
    lt_ledger *ledger;
    lt_receipt_spec spec = {.format = LT_RECEIPT_HTML};
    (void)body;
    LT_TRY(open_record(s, t, &spec.id, &ledger));
    const lt_status status = lt_ledger_export(ledger, &spec, &r->body);
    lt_ledger_close(ledger);
    LT_TRY(status);
    r->n_bytes = strlen(r->body);
    r->code = 200;
    r->type = "text/html; charset=utf-8";
    r->policy = LTI_POLICY_REPORT;
    return LT_OK;
}
