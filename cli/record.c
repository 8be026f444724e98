// record.c - what was done goes into the ledger, after the work (lethe/ledger.h).
#include "cli.h"
#include <stdlib.h>
#include <string.h>

static bool records(const cli_call *call)
{
    return (call->verb->uses & CLI_RECORD) && call->ledger.record;
}

lt_status cli_record_check(cli_call *call)
{
    lt_ledger *ledger;
    const char *path = call->ledger.ledger;
    if (!records(call) || !path || !*path)
        return LT_OK;
    LT_TRY(lt_ledger_open(path, LT_LEDGER_APPEND, &ledger));
    lt_ledger_close(ledger);
    return LT_OK;
}

// The JSON text that a library wrote gets one more member, without a change of its numbers.
static void put_member(cli_call *call, const char *key, json_t *value)
{
    char *text = json_dumps(value, JSON_COMPACT), *end = call->json ? strrchr(call->json, '}') : NULL;
    if (text && end) {
        while (end > call->json && (end[-1] == '\n' || end[-1] == ' '))
            end--;
        char *longer = cli_format("%.*s,\n  \"%s\": %s\n}\n", (int)(end - call->json), call->json, key, text);
        free(call->json);
        call->json = longer;
    }
    free(text);
    cli_put(call->result, key, value);
}

// A record is never changed: a run that was recorded before keeps the request of then.
static void warn_of_other_request(cli_call *call, const char *path, int64_t id)
{
    const char *request = call->ledger.request_id;
    lt_ledger *ledger;
    char *text = NULL;
    bool is_named = !request || !*request;
    if (is_named || lt_ledger_open(path, LT_LEDGER_READ, &ledger) != LT_OK)
        return;
    if (lt_ledger_list_json(ledger, request, &text) == LT_OK) {
        json_t *list = json_loads(text, 0, NULL);
        const json_t *records_of = json_object_get(list, "records");
        for (size_t i = 0; i < json_array_size(records_of); i++)
            is_named = is_named || json_integer_value(json_object_get(json_array_get(records_of, i), "id")) == id;
        json_decref(list);
    }
    free(text);
    lt_ledger_close(ledger);
    if (!is_named)
        lt_warn(
            call->session->events, "ledger",
            "record %lld of %s, made before, does not name the request '%s', and a record is never changed; --force "
            "computes the run again and records it with that name",
            (long long)id, path, request);
}

static lt_status record_result(cli_call *call, const char *run, json_t *said)
{
    char key[LT_DIR_MAX], *path = NULL;
    lt_ledger_entry entry;
    LT_TRY(lt_key_path(call->ledger.sample_key, "sample.key", key));
    const lt_ledger_result result = {
        .ledger = call->ledger.ledger,
        .run = run,
        .is_audit = !(call->verb->uses & CLI_PLACE),
        .result = call->result,
        .options = call->set,
        .source = {.request = call->ledger.request_id, .sample_key = key, .ds = call->session->data}};
    lt_status status = lt_ledger_record_result(&result, &path, &entry);
    if (path)
        cli_put_text(said, "file", path);
    if (status == LT_OK && path) {
        cli_put(said, "record", json_integer(entry.id));
        cli_put_text(said, "digest", entry.digest);
        if (!entry.is_known)
            cli_say(call->session, "recorded: %s, record %lld", path, (long long)entry.id);
        else if (!result.is_audit)
            warn_of_other_request(call, path, entry.id);
    }
    free(path);
    return status;
}

void cli_record(cli_call *call)
{
    const char *run = cli_text(call->result, "run");
    const bool has_dir = call->verb->uses & CLI_PLACE;
    if (!records(call) || !*run || (has_dir && !lt_run_is_done(run)))
        return;
    json_t *said = json_object();
    if (record_result(call, run, said) != LT_OK) {
        const lt_error *e = lt_error_get();
        cli_put_text(said, "error", e->message);
        lt_warn(call->session->events, "ledger", "not recorded: %s%s%s", e->message,
                has_dir ? "; the run is complete, and can be recorded later: lethe ledger record " : "",
                has_dir ? run : "");
        lt_error_clear();
    }
    if (json_object_size(said))
        put_member(call, "ledger", said);
    else
        json_decref(said);
}
