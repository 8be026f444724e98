// ledger_store.c - the file: records appended to one SQLite table, by any number of processes.
//
// One transaction a record, under a rollback journal with synchronous=EXTRA: at rest the ledger is one file, and what
// was committed survives a power cut. A process that is killed leaves a journal; the next process that opens the file
// rolls the half-written record back. Nothing is ever changed or deleted, and triggers refuse it to others, too.
#include "ledger/ledger_impl.h"
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { BUSY_MS = 30000, SCHEMA = 2, OLD_SCHEMA = 1 };
#define APPLICATION "1818588264" // "leth"

const char *const lti_schema[] = {
    "PRAGMA application_id = " APPLICATION,
    "PRAGMA user_version = 2",
    "CREATE TABLE record (id INTEGER PRIMARY KEY, prev TEXT NOT NULL, body TEXT NOT NULL, parts TEXT NOT NULL, "
    "digest TEXT NOT NULL)",
    "CREATE TRIGGER record_is_final BEFORE UPDATE ON record BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); "
    "END",
    "CREATE TRIGGER record_stays BEFORE DELETE ON record BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END",
    "CREATE VIEW runs AS SELECT id, json_extract(body, '$.time') AS time, json_extract(body, '$.kind') AS kind, "
    "json_extract(body, '$.request') AS request, json_extract(body, '$.run.dir') AS dir, json_extract(body, "
    "'$.method.name') AS method, json_extract(body, '$.model.digest') AS model_digest FROM record",
    "CREATE VIEW metrics AS SELECT r.id AS record, m.fullkey AS name, m.atom AS value FROM record AS r, "
    "json_tree(r.body, '$.result') AS m WHERE m.atom IS NOT NULL",
    NULL,
};

// ---- errors

static lt_status status_of(const lt_ledger *l, int code)
{
    const int system = l->db ? sqlite3_system_errno(l->db) : 0;
    switch (code & 0xff) {
    case SQLITE_NOMEM:
        return LT_E_NOMEM;
    case SQLITE_FULL:
        return LT_E_NOSPACE;
    case SQLITE_IOERR: // a file size limit is for the user the same thing as a full disk
        return system == EFBIG || system == ENOSPC || system == EDQUOT ? LT_E_NOSPACE : LT_E_IO;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return LT_E_BUSY;
    case SQLITE_NOTADB:
        return LT_E_FORMAT;
    case SQLITE_CORRUPT:
    case SQLITE_ERROR: // no such table, no such column: the schema was changed
    case SQLITE_CONSTRAINT:
        return LT_E_INTEGRITY;
    default:
        return LT_E_IO;
    }
}

lt_status lti_sql_fail(const lt_ledger *l, const char *doing)
{
    const int code = l->db ? sqlite3_extended_errcode(l->db) : SQLITE_NOMEM;
    const lt_status status = status_of(l, code);
    const int system = l->db ? sqlite3_system_errno(l->db) : 0;
    const char *reason = l->db ? sqlite3_errmsg(l->db) : "out of memory", *why = "";
    char text[128];
    if ((status == LT_E_IO || status == LT_E_NOSPACE) && system)
        why = strerror_r(system, text, sizeof text);
    LT_FAIL(status, "cannot %s the ledger %s: %s%s%s", doing, l->path, reason, *why ? ": " : "", why);
    if (status == LT_E_NOSPACE)
        return lt_error_hint("free some space; nothing was written, and earlier records are complete");
    if ((code & 0xff) == SQLITE_READONLY && l->access == LT_LEDGER_READ)
        return lt_error_hint(
            "a writer was stopped in the middle: somebody who may write to the file has to open it once");
    if (status == LT_E_BUSY)
        return lt_error_hint("another process has been writing to it for %d s", BUSY_MS / 1000);
    if (status == LT_E_INTEGRITY)
        return lt_error_hint("the file is damaged: go back to a copy, and keep this one as evidence");
    return status;
}

// ---- opening

lt_status lt_ledger_path(const char *given, const char *run_dir, char **path)
{
    const char *home = getenv("LETHE_HOME");
    if (given && *given) {
        *path = lti_strdup(given);
    } else if (home && *home) {
        *path = lti_asprintf("%s/lethe.db", home);
    } else if (run_dir) { // in the directory of the runs
        size_t n = strlen(run_dir);
        while (n > 1 && run_dir[n - 1] == '/')
            n--;
        while (n && run_dir[n - 1] != '/')
            n--;
        *path = lti_asprintf("%.*slethe.db", (int)n, run_dir);
    } else {
        *path = lti_strdup("lethe.db");
    }
    return *path ? LT_OK : LTI_NOMEM("ledger");
}

static lt_status make_parent(const char *path)
{
    char *dir = lti_strdup(path);
    if (!dir)
        return LTI_NOMEM("ledger");
    char *slash = strrchr(dir, '/');
    lt_status status = LT_OK;
    if (slash && slash != dir) {
        *slash = 0;
        status = lt_make_dirs(dir);
    }
    lti_free(dir);
    return status;
}

static int read_int(sqlite3 *db, const char *sql, int64_t *value)
{
    sqlite3_stmt *s = NULL;
    int code = sqlite3_prepare_v2(db, sql, -1, &s, NULL);
    if (code == SQLITE_OK && (code = sqlite3_step(s)) == SQLITE_ROW) {
        *value = sqlite3_column_int64(s, 0);
        code = SQLITE_OK;
    }
    sqlite3_finalize(s);
    return code;
}

static int execute(sqlite3 *db, const char *sql)
{
    return sqlite3_exec(db, sql, NULL, NULL, NULL);
}

lt_status lti_create_tables(sqlite3 *db)
{
    for (const char *const *sql = lti_schema; *sql; sql++)
        if (execute(db, *sql) != SQLITE_OK)
            return LT_E_FAIL; // the caller reports
    return LT_OK;
}

int lti_insert_record(sqlite3 *db, const lti_record *r)
{
    sqlite3_stmt *s = NULL;
    int code = sqlite3_prepare_v2(db, "INSERT INTO record (id, prev, body, parts, digest) VALUES (?, ?, ?, ?, ?)", -1,
                                  &s, NULL);
    const char *const text[] = {r->prev, r->body, r->parts, r->digest};
    if (code == SQLITE_OK)
        code = sqlite3_bind_int64(s, 1, r->id);
    for (int i = 0; i < 4 && code == SQLITE_OK; i++)
        code = sqlite3_bind_text(s, i + 2, text[i], -1, SQLITE_STATIC);
    if (code == SQLITE_OK)
        code = sqlite3_step(s);
    sqlite3_finalize(s);
    return code == SQLITE_DONE ? SQLITE_OK : code;
}

static lt_status fill_record(int64_t id, const char *prev, const json_t *body, lti_record *r)
{
    char content[LTI_HEX], digest[LTI_HEX];
    *r = (lti_record){.id = id};
    r->prev = lti_strdup(prev);
    r->body = lti_canonical(body, 0);
    r->parts = lti_parts_of(body);
    if (r->prev && r->body && r->parts) {
        lti_content_digest(r->parts, content);
        lti_chain_digest(id, prev, content, digest);
        r->digest = lti_strdup(digest);
    }
    return r->digest ? LT_OK : LTI_NOMEM("record");
}

const char *lti_ledger_utc(char out[LTI_UTC])
{
    const time_t now = time(NULL);
    struct tm utc;
    gmtime_r(&now, &utc);
    strftime(out, LTI_UTC, "%Y-%m-%dT%H:%M:%SZ", &utc);
    return out;
}

lt_status lti_recorder(json_t **out)
{
    char digest[LTI_HEX];
    const bool known = lt_file_digest("/proc/self/exe", digest) == LT_OK;
    if (!known)
        lt_error_clear(); // no /proc: unknown is an answer
    *out = json_object();
    const bool ok = *out && lti_put_text(*out, "lethe", LT_VERSION) &&
                    lti_put_text(*out, "sqlite", sqlite3_libversion()) &&
                    lti_put_text(*out, "program", known ? digest : NULL);
    return ok ? LT_OK : LTI_NOMEM("record");
}

// Record 1: its random bytes make its digest the name of the ledger.
static lt_status first_record(lti_record *r)
{
    enum { NONCE_BYTES = 16 };
    unsigned char nonce[NONCE_BYTES];
    char hex[2 * NONCE_BYTES + 1], utc[LTI_UTC];
    json_t *body = json_object(), *recorder = NULL;
    if (sodium_init() < 0)
        LT_BUG("libsodium does not start");
    randombytes_buf(nonce, sizeof nonce);
    sodium_bin2hex(hex, sizeof hex, nonce, sizeof nonce);
    lt_status status = lti_recorder(&recorder);
    if (status == LT_OK && !(lti_put_text(body, "kind", "ledger") && lti_put_text(body, "format", "lethe-ledger-1") &&
                             lti_put_text(body, "nonce", hex) && lti_put_text(body, "time", lti_ledger_utc(utc)) &&
                             json_object_set(body, "recorder", recorder) == 0))
        status = LTI_NOMEM("ledger");
    if (status == LT_OK)
        status = fill_record(1, LTI_FIRST_PREV, body, r);
    json_decref(recorder);
    json_decref(body);
    return status;
}

static lt_status create_ledger(lt_ledger *l)
{
    lti_record first = {0};
    lt_status status = first_record(&first);
    if (status != LT_OK) {
        lti_record_clear(&first);
        return status;
    }
    const bool ok = lti_create_tables(l->db) == LT_OK && lti_insert_record(l->db, &first) == SQLITE_OK &&
                    execute(l->db, "COMMIT") == SQLITE_OK;
    lti_record_clear(&first);
    return ok ? LT_OK : lti_sql_fail(l, "create");
}

static lt_status check_kind(lt_ledger *l, bool *is_new)
{
    const bool in_transaction = !sqlite3_get_autocommit(l->db); // in which a new file has its first page already
    int64_t application = 0, version = 0, pages = 0, tables = 0;
    *is_new = false;
    if (read_int(l->db, "PRAGMA application_id", &application) != SQLITE_OK ||
        read_int(l->db, "PRAGMA user_version", &version) != SQLITE_OK ||
        read_int(l->db, "PRAGMA page_count", &pages) != SQLITE_OK ||
        read_int(l->db, "SELECT count(*) FROM sqlite_schema", &tables) != SQLITE_OK)
        return lti_sql_fail(l, "read");
    if (application == strtoll(APPLICATION, NULL, 10) && version == SCHEMA)
        return LT_OK;
    if (pages == in_transaction && tables == 0 && application == 0) {
        *is_new = true;
        return LT_OK;
    }
    if (application == strtoll(APPLICATION, NULL, 10))
        return LT_FAIL(LT_E_FORMAT, "the ledger %s: expected schema %d, found %lld", l->path, SCHEMA,
                       (long long)version);
    if (application == 0 && version == OLD_SCHEMA) {
        LT_FAIL(LT_E_FORMAT, "the ledger %s: expected schema %d, found the run index of an earlier version", l->path,
                SCHEMA);
        return lt_error_hint("move it away: a new ledger is then started");
    }
    LT_FAIL(LT_E_FORMAT, "%s: expected a ledger, found an SQLite database of another program", l->path);
    return lt_error_hint("choose another file with --ledger");
}

static lt_status prepare_file(lt_ledger *l)
{
    bool is_new;
    sqlite3_busy_timeout(l->db, BUSY_MS);
    sqlite3_db_config(l->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(l->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    // Before anything is read: a pragma that fails on a file that is none reports itself below.
    execute(l->db, "PRAGMA synchronous = EXTRA; PRAGMA page_size = 4096");
    if (l->access == LT_LEDGER_READ)
        execute(l->db, "PRAGMA query_only = ON");
    LT_TRY(check_kind(l, &is_new));
    if (!is_new)
        return LT_OK;
    if (l->access == LT_LEDGER_READ)
        return LT_FAIL(LT_E_FORMAT, "%s: expected a ledger, found an empty file", l->path);
    if (execute(l->db, "BEGIN IMMEDIATE") != SQLITE_OK)
        return lti_sql_fail(l, "create");
    lt_status status = check_kind(l, &is_new); // another process may have been first
    if (status == LT_OK && is_new)
        status = create_ledger(l);
    if (!sqlite3_get_autocommit(l->db))
        execute(l->db, "ROLLBACK");
    return status;
}

lt_status lt_ledger_open(const char *path, lt_ledger_access access, lt_ledger **ledger)
{
    const bool append = access == LT_LEDGER_APPEND;
    lt_status status;
    *ledger = NULL;
    if (!append && !lti_is_file(path)) {
        LT_FAIL(LT_E_INPUT, "%s: expected a ledger, found no file", path);
        return lt_error_hint("runs are recorded in $LETHE_HOME/lethe.db or in the directory that holds them; --ledger "
                             "FILE names another");
    }
    lt_ledger *l = lti_calloc(1, sizeof *l);
    if (!l)
        return LTI_NOMEM("ledger");
    l->access = access;
    l->path = lti_strdup(path);
    if (!l->path) {
        lti_free(l);
        return LTI_NOMEM("ledger");
    }
    if (append)
        LT_TRY_GOTO(make_parent(l->path), fail);
    // Also to read: the journal that a killed writer left has to be rolled back, where this process may do so.
    const int flags = SQLITE_OPEN_READWRITE | (append ? SQLITE_OPEN_CREATE : 0);
    if (sqlite3_open_v2(l->path, &l->db, flags | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK) {
        status = lti_sql_fail(l, "open");
        goto fail;
    }
    LT_TRY_GOTO(prepare_file(l), fail);
    *ledger = l;
    return LT_OK;
fail:
    lt_ledger_close(l);
    return status;
}

void lt_ledger_close(lt_ledger *ledger)
{
    if (!ledger)
        return;
    sqlite3_close(ledger->db);
    json_decref(ledger->recorder);
    lti_free(ledger->path);
    lti_free(ledger);
}

const char *lt_ledger_file(const lt_ledger *ledger)
{
    return ledger->path;
}

// ---- reading

static lt_status read_row(lt_ledger *l, sqlite3_stmt *s, lti_record *r)
{
    char **const text[] = {&r->prev, &r->body, &r->parts, &r->digest};
    *r = (lti_record){.id = sqlite3_column_int64(s, 0)};
    for (int i = 0; i < 4; i++) {
        const char *value = (const char *)sqlite3_column_text(s, i + 1);
        const int n = sqlite3_column_bytes(s, i + 1);
        if (!value && sqlite3_errcode(l->db) == SQLITE_NOMEM)
            return LTI_NOMEM("record");
        if (!value || strlen(value) != (size_t)n)
            return LT_FAIL(LT_E_INTEGRITY, "%s: record %lld, field %s: expected text, found other bytes", l->path,
                           (long long)r->id, sqlite3_column_name(s, i + 1));
        if (!(*text[i] = lti_strdup(value)))
            return LTI_NOMEM("record");
    }
    return LT_OK;
}

static const char select_all[] = "SELECT id, prev, body, parts, digest FROM record ORDER BY id";

lt_status lti_for_records(lt_ledger *l, lti_each_record each, void *self)
{
    sqlite3_stmt *s = NULL;
    lt_status status = LT_OK;
    int code;
    if (sqlite3_prepare_v2(l->db, select_all, -1, &s, NULL) != SQLITE_OK)
        return lti_sql_fail(l, "read");
    while ((code = sqlite3_step(s)) == SQLITE_ROW && status == LT_OK) {
        lti_record r;
        status = read_row(l, s, &r);
        if (status == LT_OK)
            status = each(self, &r);
        lti_record_clear(&r);
    }
    if (status == LT_OK && code != SQLITE_DONE)
        status = lti_sql_fail(l, "read");
    sqlite3_finalize(s);
    return status;
}

static lt_status get_one(lt_ledger *l, const char *sql, int64_t id, lti_record *r, bool *found)
{
    sqlite3_stmt *s = NULL;
    *r = (lti_record){0};
    *found = false;
    if (sqlite3_prepare_v2(l->db, sql, -1, &s, NULL) != SQLITE_OK)
        return lti_sql_fail(l, "read");
    lt_status status = LT_OK;
    if (id)
        sqlite3_bind_int64(s, 1, id);
    const int code = sqlite3_step(s);
    *found = code == SQLITE_ROW;
    if (*found)
        status = read_row(l, s, r);
    else if (code != SQLITE_DONE)
        status = lti_sql_fail(l, "read");
    sqlite3_finalize(s);
    if (status != LT_OK)
        lti_record_clear(r);
    return status;
}

lt_status lti_get_record(lt_ledger *l, int64_t id, lti_record *r)
{
    bool found;
    int64_t n = 0;
    LT_TRY(get_one(l, "SELECT id, prev, body, parts, digest FROM record WHERE id = ?", id, r, &found));
    if (found)
        return LT_OK;
    read_int(l->db, "SELECT max(id) FROM record", &n);
    return LT_FAIL(LT_E_USAGE, "%s: expected a record from 1 to %lld, found %lld", l->path, (long long)n,
                   (long long)id);
}

static lt_status get_last(lt_ledger *l, lti_record *r)
{
    bool found;
    LT_TRY(get_one(l, "SELECT id, prev, body, parts, digest FROM record ORDER BY id DESC LIMIT 1", 0, r, &found));
    return found ? LT_OK : LT_FAIL(LT_E_INTEGRITY, "%s: record 1, field id: the ledger has no record", l->path);
}

lt_status lt_ledger_head(lt_ledger *ledger, lt_ledger_entry *head)
{
    lti_record r;
    *head = (lt_ledger_entry){0};
    LT_TRY(get_last(ledger, &r));
    head->id = r.id;
    lti_format(head->digest, sizeof head->digest, "%s", r.digest);
    lti_record_clear(&r);
    return LT_OK;
}

lt_status lti_ledger_id(lt_ledger *l, char out[LTI_HEX])
{
    lti_record r;
    LT_TRY(lti_get_record(l, 1, &r));
    lti_format(out, LTI_HEX, "%s", r.digest);
    lti_record_clear(&r);
    return LT_OK;
}

lt_status lti_find_text(lt_ledger *l, const char *text, int64_t *id)
{
    sqlite3_stmt *s = NULL;
    const char *sql = "SELECT max(id) FROM record WHERE instr(body, ?) > 0";
    *id = 0;
    const bool ok = sqlite3_prepare_v2(l->db, sql, -1, &s, NULL) == SQLITE_OK &&
                    sqlite3_bind_text(s, 1, text, -1, SQLITE_STATIC) == SQLITE_OK && sqlite3_step(s) == SQLITE_ROW;
    if (ok)
        *id = sqlite3_column_int64(s, 0);
    lt_status status = ok ? LT_OK : lti_sql_fail(l, "read");
    sqlite3_finalize(s);
    return status;
}

lt_status lti_read_begin(lt_ledger *l)
{
    int64_t n;
    if (execute(l->db, "BEGIN") != SQLITE_OK || read_int(l->db, "SELECT count(*) FROM sqlite_schema", &n) != SQLITE_OK)
        return lti_sql_fail(l, "read");
    return LT_OK;
}

void lti_read_end(lt_ledger *l)
{
    if (!sqlite3_get_autocommit(l->db))
        execute(l->db, "ROLLBACK");
}

// ---- appending

static lt_status append_after_last(lt_ledger *l, const json_t *body, lt_ledger_entry *entry)
{
    lti_record last = {0}, r = {0};
    lt_status status;
    LT_TRY_GOTO(get_last(l, &last), done);
    LT_TRY_GOTO(fill_record(last.id + 1, last.digest, body, &r), done);
    if (lti_insert_record(l->db, &r) != SQLITE_OK || execute(l->db, "COMMIT") != SQLITE_OK) {
        status = lti_sql_fail(l, "write");
        goto done;
    }
    if (entry) {
        *entry = (lt_ledger_entry){.id = r.id};
        lti_format(entry->digest, sizeof entry->digest, "%s", r.digest);
    }
done:
    lti_record_clear(&last);
    lti_record_clear(&r);
    return status;
}

// When, and by which program: also what the comparison of the file's bytes needs to know.
static lt_status add_recorder(lt_ledger *l, json_t *body)
{
    char utc[LTI_UTC];
    if (!l->recorder)
        LT_TRY(lti_recorder(&l->recorder));
    const bool ok = json_object_set(body, "recorder", l->recorder) == 0 &&
                    (json_object_get(body, "time") || lti_put_text(body, "time", lti_ledger_utc(utc)));
    return ok ? LT_OK : LTI_NOMEM("record");
}

lt_status lt_ledger_append(lt_ledger *ledger, const char *body_json, lt_ledger_entry *entry)
{
    json_t *body;
    if (ledger->access != LT_LEDGER_APPEND)
        return LT_FAIL(LT_E_USAGE, "%s: expected a ledger that is open for appending", ledger->path);
    LT_TRY(lti_parse_json(body_json, strlen(body_json), "record", &body));
    lt_status status = LT_OK;
    if (!json_is_object(body) || !*lti_json_text_at(body, "kind"))
        status = LT_FAIL(LT_E_FORMAT, "record: expected an object with a text \"kind\"");
    else
        status = add_recorder(ledger, body);
    if (status == LT_OK && execute(ledger->db, "BEGIN IMMEDIATE") != SQLITE_OK)
        status = lti_sql_fail(ledger, "write");
    if (status == LT_OK)
        status = append_after_last(ledger, body, entry);
    if (!sqlite3_get_autocommit(ledger->db))
        execute(ledger->db, "ROLLBACK");
    json_decref(body);
    return status;
}
