// record.c - what was done goes into the ledger, after the work (lethe/ledger.h).
#include "cli.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

lt_status cli_key_path(const char *given, const char *name, char out[4096])
{
    char dir[4096];
    if (!given || !*given)
        LT_TRY(cli_key_dir(dir));
    const int n = given && *given ? snprintf(out, 4096, "%s", given) : snprintf(out, 4096, "%s/%s", dir, name);
    return n < 4096 ? LT_OK : LT_FAIL(LT_E_USAGE, "%s: the path is longer than 4095 bytes", name);
}

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

static lt_status record_audits(const cli_call *call, lt_ledger *ledger, const lt_ledger_source *source,
                               lt_ledger_entry *entry)
{
    size_t i;
    const json_t *one;
    lt_status status = LT_OK;
    json_t *also = json_object_get(call->result, "also"), *all = json_array();
    json_array_append(all, call->result);
    json_array_extend(all, also);
    json_array_foreach(all, i, one)
    {
        char *text = cli_json_text(one);
        if (status == LT_OK)
            status = lt_ledger_record_audit(ledger, text, call->set, source, entry);
        free(text);
    }
    json_decref(all);
    return status;
}

static lt_status record_result(cli_call *call, const char *run, json_t *said)
{
    char key[4096], *path = NULL;
    const bool is_run = lt_run_is_done(run);
    lt_ledger *ledger = NULL;
    lt_ledger_entry entry = {0};
    lt_ledger_source source = {.request = call->ledger.request_id, .sample_key = key, .ds = call->session->data};
    LT_TRY(cli_key_path(call->ledger.sample_key, "sample.key", key));
    LT_TRY(lt_ledger_path(call->ledger.ledger, is_run ? run : NULL, &path));
    lt_status status = lt_ledger_open(path, LT_LEDGER_APPEND, &ledger);
    if (status == LT_OK && (call->verb->uses & CLI_PLACE))
        status = lt_ledger_record_run(ledger, run, &source, &entry);
    else if (status == LT_OK)
        status = record_audits(call, ledger, &source, &entry);
    lt_ledger_close(ledger);
    cli_put_text(said, "file", path);
    if (status == LT_OK) {
        cli_put(said, "record", json_integer(entry.id));
        cli_put_text(said, "digest", entry.digest);
        if (!entry.is_known)
            cli_say(call->session, "recorded: %s, record %lld", path, (long long)entry.id);
    }
    free(path);
    return status;
}

// An audit of arrays has no run beside which a ledger would lie: it is recorded in one that was named or is there.
static bool has_place(const cli_call *call, const char *run)
{
    char *path = NULL;
    const char *home = getenv("LETHE_HOME"), *given = call->ledger.ledger;
    if ((given && *given) || (home && *home) || lt_run_is_done(run))
        return true;
    const bool found = lt_ledger_path(NULL, NULL, &path) == LT_OK && access(path, F_OK) == 0;
    free(path);
    return found;
}

void cli_record(cli_call *call)
{
    const char *run = cli_text(call->result, "run");
    const bool has_dir = call->verb->uses & CLI_PLACE;
    if (!records(call) || !*run || (has_dir && !lt_run_is_done(run)) || !has_place(call, run))
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
    put_member(call, "ledger", said);
}
