// ledger.c - the run ledger: one append-only table in SQLite.
//
// WAL mode with a busy timeout, so that several runs on one machine can append at the same time and a killed one leaves
// no half row. The schema version is in user_version; an unknown one is refused rather than guessed at.
#include "base/base.h"
#include <jansson.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SCHEMA = 1, BUSY_MS = 5000 };

struct lt_ledger {
    sqlite3 *db;
    char *path;
};

static lt_status sql_fail(const lt_ledger *l, const char *doing)
{
    const int code = l->db ? sqlite3_errcode(l->db) : SQLITE_NOMEM;
    const char *reason = l->db ? sqlite3_errmsg(l->db) : "out of memory";
    lt_status status = code == SQLITE_NOMEM                              ? LT_E_NOMEM
                       : code == SQLITE_FULL                             ? LT_E_NOSPACE
                       : code == SQLITE_NOTADB || code == SQLITE_CORRUPT ? LT_E_FORMAT
                                                                         : LT_E_IO;
    return LT_FAIL(status, "cannot %s the ledger %s: %s", doing, l->path, reason);
}

static lt_status prepare_schema(lt_ledger *l)
{
    sqlite3_stmt *s = NULL;
    if (sqlite3_prepare_v2(l->db, "PRAGMA user_version", -1, &s, NULL) != SQLITE_OK || sqlite3_step(s) != SQLITE_ROW) {
        lt_status status = sql_fail(l, "read");
        sqlite3_finalize(s);
        return status;
    }
    const int version = sqlite3_column_int(s, 0);
    sqlite3_finalize(s);
    if (version == SCHEMA)
        return LT_OK;
    if (version != 0)
        return LT_FAIL(LT_E_FORMAT, "the ledger %s: expected schema %d, found %d", l->path, SCHEMA, version);
    // Two processes may create the table at the same time: both statements may be repeated.
    const char *create = "PRAGMA journal_mode = WAL;"
                         "CREATE TABLE IF NOT EXISTS runs (id INTEGER PRIMARY KEY AUTOINCREMENT, time REAL NOT NULL,"
                         " dir TEXT NOT NULL, verb TEXT NOT NULL, config_digest TEXT NOT NULL, result TEXT);"
                         "PRAGMA user_version = 1;";
    // The change to WAL is refused at once, whatever the busy timeout, while another process makes it.
    enum { TRIES = 1000, PAUSE_MS = 10 };
    int code = SQLITE_BUSY;
    for (int i = 0; i < TRIES && code == SQLITE_BUSY; i++) {
        if (i > 0)
            sqlite3_sleep(PAUSE_MS);
        code = sqlite3_exec(l->db, create, NULL, NULL, NULL);
    }
    return code == SQLITE_OK ? LT_OK : sql_fail(l, "create");
}

static char *default_path(void)
{
    const char *home = getenv("LETHE_HOME");
    return home && *home ? lti_asprintf("%s/lethe.db", home) : lti_strdup("lethe.db");
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

lt_status lt_ledger_open(const char *path_or_null, lt_ledger **ledger)
{
    lt_status status;
    *ledger = NULL;
    lt_ledger *l = lti_calloc(1, sizeof *l);
    if (!l)
        return LTI_NOMEM("ledger");
    l->path = path_or_null ? lti_strdup(path_or_null) : default_path();
    if (!l->path) {
        lti_free(l);
        return LTI_NOMEM("ledger");
    }
    LT_TRY_GOTO(make_parent(l->path), fail);
    if (sqlite3_open_v2(l->path, &l->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_FULLMUTEX, NULL) !=
        SQLITE_OK) {
        status = sql_fail(l, "open");
        goto fail;
    }
    sqlite3_busy_timeout(l->db, BUSY_MS);
    LT_TRY_GOTO(prepare_schema(l), fail);
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
    lti_free(ledger->path);
    lti_free(ledger);
}

lt_status lt_ledger_add_run(lt_ledger *ledger, const char *dir, const char *verb, const char *config_digest,
                            const char *result_json)
{
    struct timespec now;
    sqlite3_stmt *s = NULL;
    clock_gettime(CLOCK_REALTIME, &now);
    const char *insert = "INSERT INTO runs (time, dir, verb, config_digest, result) VALUES (?, ?, ?, ?, ?)";
    bool ok = sqlite3_prepare_v2(ledger->db, insert, -1, &s, NULL) == SQLITE_OK &&
              sqlite3_bind_double(s, 1, (double)now.tv_sec + 1e-9 * (double)now.tv_nsec) == SQLITE_OK &&
              sqlite3_bind_text(s, 2, dir, -1, SQLITE_STATIC) == SQLITE_OK &&
              sqlite3_bind_text(s, 3, verb, -1, SQLITE_STATIC) == SQLITE_OK &&
              sqlite3_bind_text(s, 4, config_digest, -1, SQLITE_STATIC) == SQLITE_OK &&
              sqlite3_bind_text(s, 5, result_json, -1, SQLITE_STATIC) == SQLITE_OK && sqlite3_step(s) == SQLITE_DONE;
    lt_status status = ok ? LT_OK : sql_fail(ledger, "write");
    sqlite3_finalize(s);
    return status;
}

static const char *column(sqlite3_stmt *s, int i)
{
    const unsigned char *text = sqlite3_column_text(s, i);
    return text ? (const char *)text : "";
}

// The result as it is when it is JSON, as a string otherwise: the array must be readable whatever was stored.
static void add_result(lti_buf *b, sqlite3_stmt *s, int i)
{
    if (sqlite3_column_type(s, i) == SQLITE_NULL) {
        lti_buf_puts(b, "null");
        return;
    }
    json_t *value = json_loads(column(s, i), JSON_DECODE_ANY, NULL);
    if (value)
        lti_buf_puts(b, column(s, i));
    else
        lti_buf_json_string(b, column(s, i));
    json_decref(value);
}

char *lt_ledger_runs_json(lt_ledger *ledger)
{
    static const char *const keys[] = {"dir", "verb", "config_digest"};
    sqlite3_stmt *s = NULL;
    lti_buf b = {0};
    const char *select = "SELECT id, time, dir, verb, config_digest, result FROM runs ORDER BY id";
    if (sqlite3_prepare_v2(ledger->db, select, -1, &s, NULL) != SQLITE_OK) {
        sql_fail(ledger, "read");
        return NULL;
    }
    lti_buf_puts(&b, "[");
    int code;
    for (bool first = true; (code = sqlite3_step(s)) == SQLITE_ROW; first = false) {
        lti_buf_printf(&b, "%s\n  {\"id\": %lld, \"time\": %.3f", first ? "" : ",",
                       (long long)sqlite3_column_int64(s, 0), sqlite3_column_double(s, 1));
        for (int i = 0; i < 3; i++) {
            lti_buf_printf(&b, ", \"%s\": ", keys[i]);
            lti_buf_json_string(&b, column(s, 2 + i));
        }
        lti_buf_puts(&b, ", \"result\": ");
        add_result(&b, s, 5);
        lti_buf_puts(&b, "}");
    }
    if (code != SQLITE_DONE) {
        sql_fail(ledger, "read");
        lti_buf_clear(&b);
        sqlite3_finalize(s);
        return NULL;
    }
    sqlite3_finalize(s);
    lti_buf_puts(&b, b.n > 1 ? "\n]\n" : "]\n");
    return lti_buf_take(&b);
}
