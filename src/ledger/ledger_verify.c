// ledger_verify.c - everything a ledger says, computed again.
//
// First what the file says of itself (structure, schema, chain, every byte, signatures), all in one read transaction;
// then what it says of other files (those of runs, digests of samples, models that are trained again). What could not
// be checked is listed: silence would be taken for a check.
#include "ledger/ledger_impl.h"
#include "lethe/tensorfile.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct verification {
    lt_ledger *ledger;
    const lt_ledger_verify_spec *spec;
    char id[LTI_HEX], prev[LTI_HEX]; // of the ledger; digest of the record before
    char (*digest)[LTI_HEX];         // of records 1..n
    int64_t n, room;
    json_t *checks; // bodies of records that speak of other files or sign
    json_t *not_checked;
    unsigned char trusted[LTI_KEY_BYTES];
    bool found_head, layout_checked;
    int64_t n_signatures, signed_up_to, trusted_up_to, n_files, n_missing, n_samples, n_replayed;
    char signed_by[LT_FINGERPRINT_HEX];
} verification;

static lt_status note(verification *v, const char *fmt, ...) LT_PRINTF(2, 3);
static lt_status note(verification *v, const char *fmt, ...)
{
    enum { NOTE_MAX = 512 };
    char text[NOTE_MAX];
    va_list args;
    va_start(args, fmt);
    lti_vformat(text, sizeof text, fmt, args);
    va_end(args);
    json_t *object = json_object(); // lti_put_text mends what is not UTF-8
    const bool ok =
        lti_put_text(object, "text", text) && json_array_append(v->not_checked, json_object_get(object, "text")) == 0;
    json_decref(object);
    return ok ? LT_OK : LTI_NOMEM("verification");
}

// ---- the file itself

static lt_status check_structure(lt_ledger *l)
{
    sqlite3_stmt *s = NULL;
    lt_status status = LT_OK;
    if (sqlite3_prepare_v2(l->db, "PRAGMA integrity_check(1)", -1, &s, NULL) != SQLITE_OK ||
        sqlite3_step(s) != SQLITE_ROW)
        status = lti_sql_fail(l, "check");
    else if (strcmp((const char *)sqlite3_column_text(s, 0), "ok") != 0)
        status =
            LT_FAIL(LT_E_INTEGRITY, "%s: the file is damaged: %s", l->path, (const char *)sqlite3_column_text(s, 0));
    sqlite3_finalize(s);
    return status;
}

static lt_status check_schema(lt_ledger *l)
{
    sqlite3_stmt *s = NULL;
    lt_status status = LT_OK;
    const char *const *expected = lti_schema;
    while (strncmp(*expected, "CREATE", strlen("CREATE")) != 0)
        expected++;
    if (sqlite3_prepare_v2(l->db, "SELECT name, sql FROM sqlite_schema ORDER BY rowid", -1, &s, NULL) != SQLITE_OK)
        return lti_sql_fail(l, "check");
    int code;
    while ((code = sqlite3_step(s)) == SQLITE_ROW && status == LT_OK) {
        const char *name = (const char *)sqlite3_column_text(s, 0), *sql = (const char *)sqlite3_column_text(s, 1);
        if (!*expected || !sql || strcmp(sql, *expected) != 0)
            status = LT_FAIL(LT_E_INTEGRITY, "%s: the schema was changed: '%s' is not what lethe makes", l->path,
                             name ? name : "");
        else
            expected++;
    }
    if (status == LT_OK && code != SQLITE_DONE)
        status = lti_sql_fail(l, "check");
    else if (status == LT_OK && *expected)
        status = LT_FAIL(LT_E_INTEGRITY, "%s: the schema was changed: it lacks '%.60s'", l->path, *expected);
    sqlite3_finalize(s);
    return status;
}

static lt_status keep_digest(verification *v, const char *digest)
{
    enum { FIRST_ROOM = 256 };
    if (v->n == v->room) {
        const int64_t room = v->room ? 2 * v->room : FIRST_ROOM;
        void *grown = lti_realloc(v->digest, (size_t)room * sizeof *v->digest);
        if (!grown)
            return LTI_NOMEM("verification");
        v->digest = grown;
        v->room = room;
    }
    lti_format(v->digest[v->n++], LTI_HEX, "%s", digest);
    return LT_OK;
}

static lt_status check_record(void *self, const lti_record *r)
{
    verification *v = self;
    json_t *body;
    LT_TRY(lti_record_check(r, v->n + 1, v->prev, v->ledger->path));
    LT_TRY(keep_digest(v, r->digest));
    lti_format(v->prev, sizeof v->prev, "%s", r->digest);
    if (r->id == 1)
        lti_format(v->id, sizeof v->id, "%s", r->digest);
    v->found_head = v->found_head || (v->spec->head && !strcmp(v->spec->head, r->digest));
    LT_TRY(lti_parse_json(r->body, strlen(r->body), v->ledger->path, &body));
    const bool ok = lti_put(body, "id", json_integer(r->id)) && json_array_append(v->checks, body) == 0;
    json_decref(body);
    return ok ? LT_OK : LTI_NOMEM("verification");
}

static lt_status check_signature(verification *v, const json_t *body)
{
    enum { LABEL_MAX = 512 };
    char label[LABEL_MAX];
    bool is_trusted;
    const int64_t id = json_integer_value(json_object_get(body, "id")),
                  of = json_integer_value(json_object_get(body, "of"));
    lti_format(label, sizeof label, "%.400s: record %lld", v->ledger->path, (long long)id);
    if (of < 1 || of >= id)
        return LT_FAIL(LT_E_INTEGRITY, "%s, field of: expected a record before it, found %lld", label, (long long)of);
    LT_TRY(lti_signature_check(body, v->id, v->digest[of - 1], v->spec->public_key ? v->trusted : NULL, label,
                               &is_trusted));
    v->n_signatures++;
    v->signed_up_to = of;
    if (is_trusted)
        v->trusted_up_to = of;
    lti_format(v->signed_by, sizeof v->signed_by, "%s", lti_json_text_at(body, "fingerprint"));
    return LT_OK;
}

static lt_status check_signatures(verification *v)
{
    size_t i;
    const json_t *body;
    json_array_foreach(v->checks, i, body) if (!strcmp(lti_json_text_at(body, "kind"), "signature"))
        LT_TRY(check_signature(v, body));
    if (v->spec->public_key && v->trusted_up_to == 0) {
        char expected[LT_FINGERPRINT_HEX];
        lti_key_fingerprint(v->trusted, sizeof v->trusted, "lethe-public-key-1\n", expected);
        return LT_FAIL(LT_E_INTEGRITY, "%s: expected a signature with the key %s, found %s", v->ledger->path, expected,
                       v->n_signatures ? v->signed_by : "none");
    }
    if (v->n_signatures == 0)
        return note(v, "nothing is signed: anyone who can write the file can have replaced all of it");
    const int64_t covered = v->spec->public_key ? v->trusted_up_to : v->signed_up_to;
    if (!v->spec->public_key)
        LT_TRY(
            note(v, "the signing key %s was not compared with a key that you trust (--public-key FILE)", v->signed_by));
    if (covered + 1 < v->n)
        LT_TRY(note(v, "records %lld to %lld are not signed", (long long)covered + 1, (long long)v->n));
    return LT_OK;
}

static lt_status check_file(verification *v)
{
    lt_ledger *l = v->ledger;
    LT_TRY(check_structure(l));
    LT_TRY(check_schema(l));
    lti_format(v->prev, sizeof v->prev, "%s", LTI_FIRST_PREV);
    LT_TRY(lti_for_records(l, check_record, v));
    if (v->n == 0)
        return LT_FAIL(LT_E_INTEGRITY, "%s: record 1, field id: the ledger has no record", l->path);
    LT_TRY(lti_check_image(l, &v->layout_checked));
    if (!v->layout_checked)
        LT_TRY(note(v, "bytes that belong to no record: some were written by another version of SQLite than %s",
                    sqlite3_libversion()));
    LT_TRY(check_signatures(v));
    if (v->spec->head && !v->found_head)
        return LT_FAIL(LT_E_INTEGRITY,
                       "%s: expected a record with the digest %.16s..., found none: records were cut off "
                       "or replaced",
                       l->path, v->spec->head);
    return v->spec->head ? LT_OK
                         : note(v, "the end of the ledger: that no records were cut off shows only against a "
                                   "digest that was noted elsewhere (--head)");
}

// ---- other files

// *found = "" when there is no key for a digest that needs one.
static lt_status digest_of(const verification *v, const char *path, bool keyed, char found[LTI_HEX + 6])
{
    unsigned char key[LTI_KEY_BYTES];
    found[0] = '\0';
    if (!keyed)
        return lt_file_digest(path, found);
    if (!v->spec->sample_key || !lti_is_file(v->spec->sample_key))
        return LT_OK;
    LT_TRY(lti_sample_key(v->spec->sample_key, false, key));
    return lti_keyed_file_digest(path, key, found);
}

static lt_status check_run_file(verification *v, const json_t *body, const char *name, const char *expected)
{
    const long long id = (long long)json_integer_value(json_object_get(body, "id"));
    char found[LTI_HEX + 6], *path = lti_asprintf("%s/%s", lti_json_text_at(body, "run.dir"), name);
    lt_status status = path ? LT_OK : LTI_NOMEM("verification");
    if (path && !lti_is_file(path)) {
        v->n_missing++;
        status = note(v, "record %lld: %s is not available", id, path);
    } else if (path) {
        status = digest_of(v, path, strncmp(expected, "keyed:", strlen("keyed:")) == 0, found);
        if (status == LT_OK && found[0] && strcmp(found, expected) != 0)
            status = LT_FAIL(LT_E_INTEGRITY, "%s: record %lld, field run.files.%s: %s was changed", v->ledger->path, id,
                             name, path);
        v->n_files += found[0] != '\0';
    }
    lti_free(path);
    return status;
}

static lt_status check_run_files(verification *v, const json_t *body)
{
    const char *dir = lti_json_text_at(body, "run.dir"), *name;
    const json_t *files = lti_json_at(body, "run.files");
    json_t *expected;
    if (!*dir)
        return LT_OK;
    if (!lti_is_dir(dir)) {
        v->n_missing += (int64_t)json_object_size(files);
        return note(v, "record %lld: the files of %s are not available",
                    (long long)json_integer_value(json_object_get(body, "id")), dir);
    }
    json_object_foreach((json_t *)(uintptr_t)files, name, expected)
        LT_TRY(check_run_file(v, body, name, json_is_string(expected) ? json_string_value(expected) : ""));
    return LT_OK;
}

// A wrong key would make every digest look changed.
static lt_status check_key(const verification *v, const json_t *body)
{
    unsigned char key[LTI_KEY_BYTES];
    char found[LT_FINGERPRINT_HEX];
    const char *expected = lti_json_text_at(body, "forget.samples.key");
    LT_TRY(lti_sample_key(v->spec->sample_key, false, key));
    lti_key_fingerprint(key, sizeof key, "lethe-sample-key-1\n", found);
    if (!strcmp(expected, found))
        return LT_OK;
    return LT_FAIL(LT_E_INTEGRITY,
                   "%s: record %lld, field forget.samples.key: expected the sample key %s, found %s in %s",
                   v->ledger->path, (long long)json_integer_value(json_object_get(body, "id")), expected, found,
                   v->spec->sample_key);
}

static lt_status compare_samples(verification *v, const json_t *body, const json_t *now)
{
    const long long id = (long long)json_integer_value(json_object_get(body, "id"));
    const json_t *recorded = lti_json_at(body, "forget.samples.digests"), *found = json_object_get(now, "digests");
    for (size_t i = 0; i < json_array_size(recorded) || i < json_array_size(found); i++)
        if (!json_equal(json_array_get(recorded, i), json_array_get(found, i)))
            return LT_FAIL(LT_E_INTEGRITY,
                           "%s: record %lld, field forget.samples.digests: sample %zu of the list is "
                           "another image",
                           v->ledger->path, id, i + 1);
    v->n_samples += (int64_t)json_array_size(found);
    return LT_OK;
}

static lt_status check_samples(verification *v, const json_t *body)
{
    const char *dir = lti_json_text_at(body, "run.dir");
    const long long id = (long long)json_integer_value(json_object_get(body, "id"));
    json_t *now = NULL;
    if (!json_is_object(lti_json_at(body, "forget.samples")))
        return LT_OK;
    if (!v->spec->sample_key)
        return note(v, "record %lld: sample digests (no sample key was given)", id);
    if (!lti_is_file(v->spec->sample_key))
        return note(v, "record %lld: sample digests (no key at %s)", id, v->spec->sample_key);
    LT_TRY(check_key(v, body));
    if (!lti_is_dir(dir))
        return note(v, "record %lld: sample digests (%s is not available)", id, dir);
    const lt_ledger_source source = {.sample_key = v->spec->sample_key};
    lt_status status = lti_sample_digests(dir, &source, &now);
    if (status != LT_OK && status != LT_E_NOMEM) { // the data are elsewhere, or are no longer what they were
        status = note(v, "record %lld: sample digests (%s)", id, lt_error_get()->message);
        lt_error_clear();
        return status;
    }
    if (status == LT_OK)
        status = compare_samples(v, body, now);
    json_decref(now);
    return status;
}

static lt_status check_others(verification *v)
{
    size_t i;
    const json_t *body;
    json_array_foreach(v->checks, i, body)
    {
        if (!v->spec->files)
            break;
        LT_TRY(check_samples(v, body)); // first: it says when the key is another one
        LT_TRY(check_run_files(v, body));
    }
    return v->spec->files ? LT_OK : note(v, "files of runs, and sample digests");
}

// ---- training again

static lt_status replay_record(verification *v, const json_t *body, const char *scratch)
{
    const long long id = (long long)json_integer_value(json_object_get(body, "id"));
    const char *expected = lti_json_text_at(body, "model.digest");
    char digest[LTI_HEX];
    lt_status status = lti_replay(body, v->spec, scratch, digest);
    if (status == LT_E_UNSUPPORTED) {
        status = note(v, "record %lld: not repeated: %s", id, lt_error_get()->message);
        lt_error_clear();
        return status;
    }
    LT_TRY(status);
    if (strcmp(expected, digest) != 0) {
        LT_FAIL(LT_E_INTEGRITY,
                "%s: record %lld, field model.digest: expected %.16s..., found %.16s... when the run was "
                "repeated",
                v->ledger->path, id, expected, digest);
        return lt_error_hint("another machine, build or number of threads gives other last bits, unless the run had "
                             "--deterministic; compare the record's \"versions\" and \"config\"");
    }
    v->n_replayed++;
    return LT_OK;
}

static lt_status replay_all(verification *v)
{
    size_t i;
    const json_t *body;
    lt_status status = LT_OK;
    char made[] = "/tmp/lethe-replay.XXXXXX";
    const char *scratch = v->spec->scratch;
    if (!v->spec->replay)
        return note(v, "models: no run was repeated (--replay)");
    if (!scratch && !(scratch = mkdtemp(made)))
        return lti_errno_fail("create directory", made);
    json_array_foreach(v->checks, i, body) if (status == LT_OK && *lti_json_text_at(body, "run.dir")) status =
        replay_record(v, body, scratch);
    if (!v->spec->scratch)
        rmdir(scratch);
    return status;
}

// ---- result

static char *write_result(const verification *v)
{
    json_t *r = json_object();
    const bool ok = lti_put_text(r, "ledger", v->id) && lti_put_text(r, "file", v->ledger->path) &&
                    lti_put(r, "n_records", json_integer(v->n)) && lti_put_text(r, "head", v->prev) &&
                    lti_put(r, "n_signatures", json_integer(v->n_signatures)) &&
                    lti_put_text(r, "signed_by", v->n_signatures ? v->signed_by : NULL) &&
                    lti_put(r, "signed_up_to", json_integer(v->signed_up_to)) &&
                    lti_put(r, "trusted", json_boolean(v->trusted_up_to > 0)) &&
                    lti_put(r, "files_checked", json_integer(v->n_files)) &&
                    lti_put(r, "files_missing", json_integer(v->n_missing)) &&
                    lti_put(r, "samples_checked", json_integer(v->n_samples)) &&
                    lti_put(r, "replayed", json_integer(v->n_replayed)) &&
                    lti_put(r, "layout_checked", json_boolean(v->layout_checked)) &&
                    json_object_set(r, "not_checked", v->not_checked) == 0;
    char *text = ok ? lti_canonical(r, 2) : NULL, *lines = text ? lti_asprintf("%s\n", text) : NULL;
    lti_free(text);
    json_decref(r);
    return lines;
}

lt_status lt_ledger_verify(lt_ledger *ledger, const lt_ledger_verify_spec *spec, char **json)
{
    verification v = {.ledger = ledger, .spec = spec, .checks = json_array(), .not_checked = json_array()};
    lt_status status = v.checks && v.not_checked ? LT_OK : LTI_NOMEM("verification");
    *json = NULL;
    if (status == LT_OK && spec->public_key)
        status = lti_read_public_key(spec->public_key, v.trusted);
    if (status == LT_OK)
        status = lti_read_begin(ledger);
    if (status == LT_OK)
        status = check_file(&v);
    lti_read_end(ledger);
    if (status == LT_OK)
        status = check_others(&v);
    if (status == LT_OK)
        status = replay_all(&v);
    if (status == LT_OK && !(*json = write_result(&v)))
        status = LTI_NOMEM("verification");
    json_decref(v.checks);
    json_decref(v.not_checked);
    lti_free(v.digest);
    return status;
}
