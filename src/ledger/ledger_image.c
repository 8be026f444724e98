// ledger_image.c - every byte of the file, also those that belong to no record.
//
// Pages have free space, the header has counters and a version: bytes that SQLite does not read and that no digest
// covers. But a ledger is written in one way only, one transaction a record and nothing ever deleted, so the same
// version of SQLite lays the same records out in the same bytes. All of them are written again into a database in
// memory, and the two images are compared.
#include "ledger/ledger_impl.h"
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { PAGE = 4096 };

typedef struct copy {
    lt_ledger in_memory; // its path is that of the ledger, for messages
    const lt_ledger *from;
    bool same_version;
} copy;

static lt_status copy_record(void *self, const lti_record *r)
{
    copy *c = self;
    json_t *body;
    LT_TRY(lti_parse_json(r->body, strlen(r->body), c->from->path, &body));
    c->same_version = c->same_version && !strcmp(lti_json_text_at(body, "recorder.sqlite"), sqlite3_libversion());
    json_decref(body);
    sqlite3 *db = c->in_memory.db;
    const bool first = r->id == 1; // in the transaction that made the tables
    if ((!first && sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL) != SQLITE_OK) ||
        lti_insert_record(db, r) != SQLITE_OK || sqlite3_exec(db, "COMMIT", NULL, NULL, NULL) != SQLITE_OK)
        return lti_sql_fail(&c->in_memory, "copy");
    return LT_OK;
}

static lt_status make_copy(lt_ledger *l, copy *c)
{
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX;
    if (sqlite3_open_v2("file:ledger?vfs=memdb", &c->in_memory.db, flags, NULL) != SQLITE_OK ||
        sqlite3_exec(c->in_memory.db, "PRAGMA page_size = 4096; BEGIN IMMEDIATE", NULL, NULL, NULL) != SQLITE_OK ||
        lti_create_tables(c->in_memory.db) != LT_OK)
        return lti_sql_fail(&c->in_memory, "copy");
    return lti_for_records(l, copy_record, c);
}

static lt_status compare_images(const lt_ledger *l, const unsigned char *file, int64_t n, const unsigned char *copy_of,
                                int64_t n_copy)
{
    struct stat st;
    if (stat(l->path, &st) != 0)
        return lti_errno_fail("read", l->path);
    if (n != n_copy || st.st_size != n)
        return LT_FAIL(LT_E_INTEGRITY, "%s: expected %lld bytes for its records, found %lld: the file was changed",
                       l->path, (long long)n_copy, (long long)st.st_size);
    for (int64_t i = 0; i < n; i++)
        if (file[i] != copy_of[i])
            return LT_FAIL(LT_E_INTEGRITY,
                           "%s: byte %lld (page %lld, byte %lld): expected 0x%02x, found 0x%02x: it belongs to no "
                           "record, but the file was changed by something else than lethe",
                           l->path, (long long)i, (long long)(i / PAGE + 1), (long long)(i % PAGE), copy_of[i],
                           file[i]);
    return LT_OK;
}

lt_status lti_check_image(lt_ledger *l, bool *compared)
{
    copy c = {.in_memory = {.path = l->path}, .from = l, .same_version = true};
    sqlite3_int64 n = 0, n_copy = 0;
    unsigned char *file = NULL, *copy_of = NULL;
    lt_status status = make_copy(l, &c);
    *compared = c.same_version;
    if (status == LT_OK && c.same_version) {
        file = sqlite3_serialize(l->db, "main", &n, 0);
        copy_of = sqlite3_serialize(c.in_memory.db, "main", &n_copy, 0);
        status = file && copy_of ? compare_images(l, file, n, copy_of, n_copy) : LTI_NOMEM("ledger");
    }
    sqlite3_free(file);
    sqlite3_free(copy_of);
    sqlite3_close(c.in_memory.db);
    return status;
}
