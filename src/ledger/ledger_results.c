// ledger_results.c - which ledger is meant, whole calls on it, and their results as JSON.
#include "base/json_write.h"
#include "ledger/ledger_impl.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool is_given(const char *text)
{
    return text && *text;
}

lt_status lt_ledger_open_named(const char *given, const char *run_dir, lt_ledger_access access, lt_ledger **ledger)
{
    static const char below_runs[] = "runs/lethe.db";
    char *path;
    LT_TRY(lt_ledger_path(given, run_dir, &path));
    const bool is_default = !is_given(given) && !run_dir && !lti_is_file(path) && lti_is_file(below_runs);
    const char *chosen = is_default ? below_runs : path;
    if (access == LT_LEDGER_APPEND && !run_dir && !lti_is_file(chosen)) // signing must not make a ledger
        access = LT_LEDGER_READ;
    const lt_status status = lt_ledger_open(chosen, access, ledger);
    free(path);
    return status;
}

// ---- records

static lt_status record_run(const char *given, const char *run, const lt_ledger_source *source, lti_json *j)
{
    lt_ledger *ledger;
    lt_ledger_entry entry;
    if (!lt_run_is_done(run)) // before a ledger is made
        return LT_FAIL(LT_E_INPUT, "%s: expected a finished run, found none", run);
    LT_TRY(lt_ledger_open_named(given, run, LT_LEDGER_APPEND, &ledger));
    const lt_status status = lt_ledger_record_run(ledger, run, source, &entry);
    if (status == LT_OK) {
        lti_json_begin(j, NULL, '{');
        lti_json_text(j, "run", run);
        lti_json_text(j, "file", lt_ledger_file(ledger));
        lti_json_int(j, "record", entry.id);
        lti_json_bool(j, "known", entry.is_known);
        lti_json_end(j, '}');
    }
    lt_ledger_close(ledger);
    return status;
}

static lt_status take_json(lti_json *j, lt_status status, char **json)
{
    char *text = lti_json_take(j);
    *json = status == LT_OK ? text : NULL;
    if (status != LT_OK)
        free(text);
    else if (!text)
        status = LTI_NOMEM("ledger");
    return status;
}

lt_status lt_ledger_record_runs(const char *given, const char *const *run, int n, const lt_ledger_source *source,
                                char **json)
{
    lti_json j = {0};
    lt_status status = LT_OK;
    lti_json_begin(&j, NULL, '{');
    lti_json_begin(&j, "recorded", '[');
    for (int i = 0; i < n && status == LT_OK; i++)
        status = record_run(given, run[i], source, &j);
    lti_json_end(&j, ']');
    lti_json_end(&j, '}');
    return take_json(&j, status, json);
}

// An audit of arrays has no run in whose directory a ledger would be: it is recorded in one that was named or exists.
static bool has_ledger(const lt_ledger_result *r)
{
    char *path = NULL;
    if (is_given(r->ledger) || is_given(getenv("LETHE_HOME")) || lt_run_is_done(r->run))
        return true;
    const bool found = lt_ledger_path(NULL, NULL, &path) == LT_OK && access(path, F_OK) == 0;
    free(path);
    return found;
}

// The audit, and those of further runs in its list "also".
static lt_status record_audits(lt_ledger *ledger, const lt_ledger_result *r, lt_ledger_entry *entry)
{
    const json_t *also = json_object_get(r->result, "also");
    const size_t n = 1 + json_array_size(also);
    for (size_t i = 0; i < n; i++) {
        char *text = json_dumps(i ? json_array_get(also, i - 1) : r->result, JSON_REAL_PRECISION(17));
        const lt_status status =
            text ? lt_ledger_record_audit(ledger, text, r->options, &r->source, entry) : LTI_NOMEM("ledger");
        free(text);
        LT_TRY(status);
    }
    return LT_OK;
}

lt_status lt_ledger_record_result(const lt_ledger_result *r, char **path, lt_ledger_entry *entry)
{
    lt_ledger *ledger = NULL;
    *path = NULL;
    *entry = (lt_ledger_entry){0};
    if (!has_ledger(r))
        return LT_OK;
    LT_TRY(lt_ledger_path(r->ledger, lt_run_is_done(r->run) ? r->run : NULL, path));
    LT_TRY(lt_ledger_open(*path, LT_LEDGER_APPEND, &ledger));
    const lt_status status =
        r->is_audit ? record_audits(ledger, r, entry) : lt_ledger_record_run(ledger, r->run, &r->source, entry);
    lt_ledger_close(ledger);
    return status;
}

// ---- keys and signatures

lt_status lt_ledger_keygen_json(const char *path, char **json)
{
    char fingerprint[LT_FINGERPRINT_HEX];
    lti_json j = {0};
    LT_TRY(lt_ledger_keygen(path, fingerprint));
    char *public_key = lti_asprintf("%s.pub", path);
    lti_json_begin(&j, NULL, '{');
    lti_json_text(&j, "key", path);
    lti_json_text(&j, "public_key", public_key);
    lti_json_text(&j, "fingerprint", fingerprint);
    lti_json_end(&j, '}');
    const lt_status status = take_json(&j, public_key ? LT_OK : LTI_NOMEM("ledger"), json);
    lti_free(public_key);
    return status;
}

lt_status lt_ledger_sign_json(lt_ledger *ledger, const char *key_file, char **json)
{
    lt_ledger_signature s;
    lti_json j = {0};
    LT_TRY(lt_ledger_sign(ledger, key_file, &s));
    lti_json_begin(&j, NULL, '{');
    lti_json_text(&j, "file", lt_ledger_file(ledger));
    lti_json_int(&j, "record", s.entry.id);
    lti_json_int(&j, "signed_up_to", s.covers);
    lti_json_text(&j, "signed_digest", s.covers_digest);
    lti_json_text(&j, "fingerprint", s.fingerprint);
    lti_json_end(&j, '}');
    return take_json(&j, LT_OK, json);
}

// ---- receipts

bool lt_is_receipt(const char *path)
{
    FILE *f = fopen(path, "rb");
    const int first = f ? getc(f) : EOF;
    if (f)
        fclose(f);
    return first == '{' || first == '<';
}

lt_status lt_receipt_format_of(const char *path, lt_receipt_format *format)
{
    const bool html = lti_ends_with(path, ".html");
    if (!html && !lti_ends_with(path, ".json"))
        return LT_FAIL(LT_E_USAGE, "--out: expected a name that ends with .html or .json, found '%s'", path);
    *format = html ? LT_RECEIPT_HTML : LT_RECEIPT_JSON;
    return LT_OK;
}

lt_status lt_receipt_write(const char *path, const char *text, bool force, char **json)
{
    lti_json j = {0};
    if (!force && lti_is_file(path)) {
        LT_FAIL(LT_E_USAGE, "--out %s: expected no file, found one", path);
        return lt_error_hint("--force replaces it");
    }
    LT_TRY(lt_write_file_atomic(path, text, strlen(text)));
    lti_json_begin(&j, NULL, '{');
    lti_json_text(&j, "written", path);
    lti_json_int(&j, "bytes", (int64_t)strlen(text));
    lti_json_end(&j, '}');
    return take_json(&j, LT_OK, json);
}
