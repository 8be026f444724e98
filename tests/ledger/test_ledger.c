// test_ledger.c - records, their order, who may write, what a damaged file says.
#include "ledger_test.h"
#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <sys/wait.h>

static json_t *parse(char *text)
{
    json_t *json = json_loads(text, 0, NULL);
    assert_non_null(json);
    free(text);
    return json;
}

static const char *text_of(const json_t *v, const char *key)
{
    const char *text = json_string_value(json_object_get(v, key));
    return text ? text : "";
}

static void life_of_a_ledger(void **state)
{
    const ledger_place *p = *state;
    lt_ledger *ledger;
    lt_ledger_entry entry, head;
    char *json;
    make_ledger(p);
    assert_ok(lt_ledger_open(p->file, LT_LEDGER_APPEND, &ledger));
    assert_ok(lt_ledger_head(ledger, &head));
    assert_int_equal(head.id, 5);
    const lt_ledger_source source = {.sample_key = p->sample_key};
    assert_ok(lt_ledger_record_run(ledger, p->child, &source, &entry)); // it is there already
    assert_true(entry.is_known);
    assert_int_equal(entry.id, 3);
    assert_ok(lt_ledger_head(ledger, &head));
    assert_int_equal(head.id, 5);

    assert_ok(lt_ledger_list_json(ledger, NULL, &json));
    json_t *list = parse(json), *rows = json_object_get(list, "records");
    assert_int_equal(json_array_size(rows), 5);
    assert_string_equal(text_of(json_array_get(rows, 2), "method"), "ga");
    assert_string_equal(text_of(json_array_get(rows, 3), "verdict"), "too few seeds");
    json_decref(list);
    assert_ok(lt_ledger_list_json(ledger, "2031-17", &json));
    list = parse(json);
    assert_int_equal(json_array_size(json_object_get(list, "records")), 3);
    json_decref(list);

    assert_ok(lt_ledger_record_json(ledger, 3, &json));
    json_t *record = parse(json), *body = json_object_get(record, "body");
    const json_t *samples = json_object_get(json_object_get(body, "forget"), "samples");
    assert_int_equal(json_array_size(json_object_get(samples, "digests")), 2);
    assert_int_equal(json_integer_value(json_object_get(json_object_get(body, "parent"), "record")), 2);
    assert_true(json_array_size(json_object_get(body, "not_proven")) >= 3);
    const json_t *files = json_object_get(json_object_get(body, "run"), "files");
    assert_int_equal(strncmp(text_of(files, "forget.csv"), "keyed:", 6), 0);
    json_decref(record);
    assert_fails(LT_E_USAGE, "from 1 to 5, found 6", lt_ledger_record_json(ledger, 6, &json));
    assert_fails(LT_E_FORMAT, "kind", lt_ledger_append(ledger, "{}", NULL));
    assert_fails(LT_E_FORMAT, "duplicate", lt_ledger_append(ledger, "{\"kind\": \"a\", \"kind\": \"b\"}", NULL));
    lt_ledger_close(ledger);
    lt_ledger_close(NULL);

    const lt_ledger_verify_spec spec = {.files = true, .sample_key = p->sample_key};
    assert_ok(verify_at(p->file, &spec));
}

static void where_it_is(void **state)
{
    (void)state;
    char *path;
    assert_ok(lt_ledger_path(NULL, "runs/a/", &path));
    assert_string_equal(path, "runs/lethe.db");
    lti_free(path);
    assert_ok(lt_ledger_path("", "a", &path));
    assert_string_equal(path, "lethe.db");
    lti_free(path);
    setenv("LETHE_HOME", "/home/x", 1);
    assert_ok(lt_ledger_path(NULL, "runs/a", &path));
    assert_string_equal(path, "/home/x/lethe.db");
    lti_free(path);
    assert_ok(lt_ledger_path("my.db", "runs/a", &path));
    assert_string_equal(path, "my.db");
    lti_free(path);
    unsetenv("LETHE_HOME");
}

static int run_sql(const char *file, const char *sql)
{
    sqlite3 *db;
    assert_int_equal(sqlite3_open(file, &db), SQLITE_OK);
    const int code = sqlite3_exec(db, sql, NULL, NULL, NULL);
    sqlite3_close(db);
    return code;
}

static void nothing_is_changed(void **state)
{
    const ledger_place *p = *state;
    make_ledger(p);
    assert_int_equal(run_sql(p->file, "UPDATE record SET body = '{}' WHERE id = 2"), SQLITE_CONSTRAINT);
    assert_int_equal(run_sql(p->file, "DELETE FROM record WHERE id = 5"), SQLITE_CONSTRAINT);
    assert_ok(verify_at(p->file, &(lt_ledger_verify_spec){0}));
    assert_int_equal(run_sql(p->file, "SELECT * FROM runs; SELECT name, value FROM metrics"), SQLITE_OK);
    // A word that leaves the records as they are is seen in the bytes of the file.
    assert_int_equal(run_sql(p->file, "PRAGMA user_version = 2"), SQLITE_OK);
    assert_fails(LT_E_INTEGRITY, "belongs to no record", verify_at(p->file, &(lt_ledger_verify_spec){0}));
}

// Changes of the kind that somebody with an SQLite shell makes; the triggers are put back.
static void changes_are_named(void **state)
{
    const ledger_place *p = *state;
    static const struct {
        const char *sql, *message;
        lt_status status;
    } cases[] = {
        {"UPDATE record SET body = replace(body, '\"n\":2', '\"n\":3') WHERE id = 3",
         "record 3, field forget:", LT_E_INTEGRITY},
        {"UPDATE record SET body = replace(body, '\"ua\":0.25', '\"ua\":0.2') WHERE id = 4",
         "record 4, field result:", LT_E_INTEGRITY},
        {"UPDATE record SET body = replace(body, 'of_digest\":\"', 'of_digest\":\"0') WHERE id = 5",
         "record 5, field of_digest:", LT_E_INTEGRITY},
        {"UPDATE record SET body = replace(body, ',', ', ') WHERE id = 2", "record 2, field body:", LT_E_INTEGRITY},
        {"UPDATE record SET body = 'x' WHERE id = 2", "record 2, field body: it is no JSON", LT_E_INTEGRITY},
        {"UPDATE record SET parts = replace(parts, 'a', 'b') WHERE id = 3", "record 3, field parts:", LT_E_INTEGRITY},
        {"UPDATE record SET prev = replace(prev, substr(prev, 1, 1), 'x') WHERE id = 4",
         "record 4, field prev:", LT_E_INTEGRITY},
        {"UPDATE record SET digest = replace(digest, substr(digest, 1, 1), 'x') WHERE id = 2",
         "record 2, field digest:", LT_E_INTEGRITY},
        {"DELETE FROM record WHERE id = 3", "record 4, field id: expected 3", LT_E_INTEGRITY},
        {"UPDATE record SET id = 9 WHERE id = 5", "record 9, field id: expected 5", LT_E_INTEGRITY},
        {"UPDATE record SET body = x'00' WHERE id = 2", "record 2, field body: expected text", LT_E_INTEGRITY},
        {"DELETE FROM record", "record 1, field id: the ledger has no record", LT_E_INTEGRITY},
        {"DROP VIEW runs", "the schema was changed", LT_E_INTEGRITY},
        {"CREATE TABLE t (x)", "the schema was changed: 't'", LT_E_INTEGRITY},
        {"DROP VIEW runs; DROP VIEW metrics; DROP TABLE record", "malformed database schema", LT_E_INTEGRITY},
    };
    char copy[128], sql[2048];
    make_ledger(p);
    snprintf(copy, sizeof copy, "%s/copy.db", p->root);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *bytes;
        size_t n;
        assert_ok(lt_read_file(p->file, 1 << 24, &bytes, &n));
        assert_ok(lt_write_file_atomic(copy, bytes, n));
        lti_free(bytes);
        // The triggers are dropped and put back with the rows of the schema in their order.
        snprintf(sql, sizeof sql,
                 "PRAGMA writable_schema = ON; CREATE TEMP TABLE s AS SELECT rowid AS r, * FROM sqlite_schema;"
                 "DELETE FROM sqlite_schema WHERE type = 'trigger'; PRAGMA writable_schema = RESET; %s;"
                 "PRAGMA writable_schema = ON; INSERT INTO sqlite_schema (rowid, type, name, tbl_name, rootpage, sql) "
                 "SELECT r, type, name, tbl_name, rootpage, sql FROM s WHERE type = 'trigger';",
                 cases[i].sql);
        assert_int_equal(run_sql(copy, sql), SQLITE_OK);
        assert_fails(cases[i].status, cases[i].message, verify_at(copy, &(lt_ledger_verify_spec){0}));
    }
}

static void runs_and_samples_are_compared(void **state)
{
    const ledger_place *p = *state;
    make_ledger(p);
    lt_ledger_verify_spec spec = {.files = true, .sample_key = p->sample_key};
    write_text(p->child, "forget.csv", "unlearn_idx\n1\n6\n");
    assert_fails(LT_E_INTEGRITY, "record 3, field forget.samples.digests: sample 2", verify_at(p->file, &spec));
    write_text(p->child, "forget.csv", "unlearn_idx\n1\n5\n");
    assert_ok(verify_at(p->file, &spec));
    write_text(p->child, "result.json", "{}");
    assert_fails(LT_E_INTEGRITY, "record 3, field run.files.result.json", verify_at(p->file, &spec));
    spec.sample_key = NULL; // a keyed digest is not checked without the key
    assert_ok(verify_at(p->file, &spec));
    spec.files = false;
    assert_ok(verify_at(p->file, &spec));
    spec.files = true;
    char other[128];
    snprintf(other, sizeof other, "%s/keys/other.key", p->root);
    write_text(p->root, "keys/other.key",
               "lethe-sample-key-1\n0000000000000000000000000000000000000000000000000000000000000001\n");
    chmod(other, 0600);
    spec.sample_key = other;
    assert_fails(LT_E_INTEGRITY, "record 3, field forget.samples.key", verify_at(p->file, &spec));
    chmod(other, 0644);
    assert_fails(LT_E_INPUT, "mode 644", verify_at(p->file, &spec));
}

static void signatures_name_the_key(void **state)
{
    const ledger_place *p = *state;
    lt_ledger *ledger;
    lt_ledger_signature signature;
    char public_key[128], other[128], other_public[160], fingerprint[LT_FINGERPRINT_HEX];
    make_ledger(p);
    snprintf(public_key, sizeof public_key, "%s.pub", p->key);
    snprintf(other, sizeof other, "%s/other.key", p->root);
    snprintf(other_public, sizeof other_public, "%s.pub", other);
    assert_ok(lt_ledger_keygen(other, fingerprint));
    struct stat st;
    assert_int_equal(stat(p->key, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_ok(verify_at(p->file, &(lt_ledger_verify_spec){.public_key = public_key}));
    assert_fails(LT_E_INTEGRITY, fingerprint, verify_at(p->file, &(lt_ledger_verify_spec){.public_key = other_public}));
    assert_fails(LT_E_FORMAT, "Ed25519", verify_at(p->file, &(lt_ledger_verify_spec){.public_key = other}));
    assert_fails(LT_E_INTEGRITY, "cut off", verify_at(p->file, &(lt_ledger_verify_spec){.head = "0123"}));
    assert_ok(lt_ledger_open(p->file, LT_LEDGER_APPEND, &ledger));
    assert_fails(LT_E_INPUT, "expected a signing key, found no file", lt_ledger_sign(ledger, "/nowhere", &signature));
    assert_fails(LT_E_FORMAT, "PRIVATE KEY", lt_ledger_sign(ledger, p->sample_key, &signature));
    lt_ledger_entry head;
    assert_ok(lt_ledger_head(ledger, &head));
    assert_ok(lt_ledger_sign(ledger, other, &signature)); // a second signatory
    assert_int_equal(signature.covers, 5);
    assert_int_equal(head.id, 5);
    assert_string_equal(signature.covers_digest, head.digest);
    assert_string_equal(signature.fingerprint, fingerprint);
    lt_ledger_close(ledger);
    assert_ok(verify_at(p->file, &(lt_ledger_verify_spec){.public_key = other_public}));
    assert_ok(verify_at(p->file, &(lt_ledger_verify_spec){.public_key = public_key}));
    assert_fails(LT_E_USAGE, "expected no file, found one", lt_ledger_keygen(other, fingerprint));
}

static void files_that_are_none(void **state)
{
    const ledger_place *p = *state;
    lt_ledger *ledger;
    char path[128], *bytes;
    size_t n;
    snprintf(path, sizeof path, "%s/other.db", p->root);
    assert_fails(LT_E_INPUT, "expected a ledger, found no file", lt_ledger_open(path, LT_LEDGER_READ, &ledger));
    assert_int_equal(run_sql(path, "CREATE TABLE t (x)"), SQLITE_OK);
    assert_fails(LT_E_FORMAT, "another program", lt_ledger_open(path, LT_LEDGER_APPEND, &ledger));
    assert_int_equal(run_sql(path, "PRAGMA user_version = 1"), SQLITE_OK);
    assert_fails(LT_E_FORMAT, "earlier version", lt_ledger_open(path, LT_LEDGER_APPEND, &ledger));
    make_ledger(p);
    assert_int_equal(run_sql(p->file, "PRAGMA user_version = 99"), SQLITE_OK);
    assert_fails(LT_E_FORMAT, "expected schema 2, found 99", lt_ledger_open(p->file, LT_LEDGER_APPEND, &ledger));
    assert_int_equal(run_sql(p->file, "PRAGMA user_version = 2"), SQLITE_OK);
    assert_ok(lt_read_file(p->file, 1 << 24, &bytes, &n));
    for (size_t keep = 0; keep < n; keep += keep < 200 ? 40 : n / 12) { // cut off anywhere
        assert_ok(lt_write_file_atomic(path, bytes, keep));
        const lt_status status = verify_at(path, &(lt_ledger_verify_spec){0});
        assert_true(status == LT_E_INTEGRITY || status == LT_E_FORMAT);
        assert_contains(lt_error_get()->message, "other.db");
    }
    lti_free(bytes);
    write_text(p->root, "other.db",
               "this is no database, and it is longer than the hundred bytes that the header of one "
               "takes, so that it is recognised as something else");
    assert_fails(LT_E_FORMAT, "not a database", lt_ledger_open(path, LT_LEDGER_APPEND, &ledger));
    char below[160];
    snprintf(below, sizeof below, "%s/below.db", path); // a directory below a file
    assert_fails(LT_E_IO, "Not a directory", lt_ledger_open(below, LT_LEDGER_APPEND, &ledger));
    assert_fails(LT_E_IO, "/proc/lethe.db", lt_ledger_open("/proc/lethe.db", LT_LEDGER_APPEND, &ledger));
    assert_null(ledger);
}

static lt_status append_some(const char *file, int n, int fd)
{
    lt_ledger *ledger;
    LT_TRY(lt_ledger_open(file, LT_LEDGER_APPEND, &ledger));
    lt_status status = LT_OK;
    for (int i = 0; i < n && status == LT_OK; i++) {
        lt_ledger_entry entry;
        char body[128];
        snprintf(body, sizeof body, "{\"kind\": \"test\", \"of\": %ld, \"n\": %d}", (long)getpid(), i);
        status = lt_ledger_append(ledger, body, &entry);
        if (status == LT_OK && fd >= 0 && write(fd, &entry, sizeof entry) != (ssize_t)sizeof entry)
            break;
    }
    lt_ledger_close(ledger);
    return status;
}

// Several processes at once, the making of the file included.
static void writers_lose_nothing(void **state)
{
    const ledger_place *p = *state;
    enum { ROWS = 25 };
    for (int n_writers = 2; n_writers <= 8; n_writers += 6) {
        lt_ledger *ledger;
        lt_ledger_entry head;
        unlink(p->file);
        for (int i = 0; i < n_writers; i++)
            if (fork() == 0)
                _exit(append_some(p->file, ROWS, -1) != LT_OK);
        for (int i = 0; i < n_writers; i++) {
            int ended;
            wait(&ended);
            assert_true(WIFEXITED(ended) && WEXITSTATUS(ended) == 0);
        }
        assert_ok(lt_ledger_open(p->file, LT_LEDGER_READ, &ledger));
        assert_ok(lt_ledger_head(ledger, &head));
        assert_int_equal(head.id, 1 + n_writers * ROWS);
        lt_ledger_close(ledger);
        assert_ok(verify_at(p->file, &(lt_ledger_verify_spec){0}));
    }
}

// SIGKILL while a process appends: what was reported as recorded is in the file, and the file is in order. LETHE_KILLS
// sets the number of kills.
static void killed_any_time(void **state)
{
    const ledger_place *p = *state;
    const char *wanted = getenv("LETHE_KILLS");
    const int n_kills = wanted ? atoi(wanted) : 40;
    lt_ledger_entry last = {0}, entry;
    for (int i = 0; i < n_kills; i++) {
        int fd[2];
        assert_int_equal(pipe(fd), 0);
        const pid_t pid = fork();
        if (pid == 0) {
            close(fd[0]);
            _exit(append_some(p->file, 1 << 20, fd[1]) != LT_OK);
        }
        close(fd[1]);
        // On a busy machine a process may not have begun yet: every other one has recorded something.
        struct pollfd ready = {.fd = fd[0], .events = POLLIN};
        if (i % 2)
            poll(&ready, 1, -1);
        usleep((unsigned)(i * 7919 % 9000));
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        while (read(fd[0], &entry, sizeof entry) == (ssize_t)sizeof entry) {
            assert_true(entry.id == last.id + 1 || entry.id == last.id + 2 || last.id == 0); // one may be unreported
            last = entry;
        }
        close(fd[0]);
        if (access(p->file, F_OK) != 0)
            continue;
        lt_ledger *ledger; // the next process that opens it rolls back a half-written record
        lt_ledger_entry head;
        assert_ok(lt_ledger_open(p->file, LT_LEDGER_APPEND, &ledger));
        assert_ok(lt_ledger_head(ledger, &head));
        assert_true(head.id == last.id || head.id == last.id + 1 || last.id == 0);
        lt_ledger_close(ledger);
        if (i % 10 == 9)
            assert_ok(verify_at(p->file, &(lt_ledger_verify_spec){0}));
        last = head;
    }
    assert_ok(append_some(p->file, 1, -1));
    assert_ok(verify_at(p->file, &(lt_ledger_verify_spec){0}));
    assert_true(last.id > 3);
}

// No room for the n-th byte, for many n: a clear error, and the file is what it was.
static void full_disk(void **state)
{
    const ledger_place *p = *state;
    int n_refused = 0;
    make_ledger(p);
    struct stat st;
    assert_int_equal(stat(p->file, &st), 0);
    for (long limit = 0; limit < (long)st.st_size + 16384; limit += 1024) {
        const pid_t pid = fork();
        if (pid == 0) {
            const struct rlimit room = {(rlim_t)limit, (rlim_t)limit};
            signal(SIGXFSZ, SIG_IGN);
            setrlimit(RLIMIT_FSIZE, &room);
            const lt_status status = append_some(p->file, 1, -1);
            const bool clear = status == LT_OK || strstr(lt_error_get()->message, p->file) != NULL;
            _exit(!clear ? 100 : (int)status);
        }
        int ended;
        waitpid(pid, &ended, 0);
        assert_true(WIFEXITED(ended));
        // A write that stops in the middle leaves no reason: SQLite then says that it was an input/output error.
        assert_true(WEXITSTATUS(ended) == LT_OK || WEXITSTATUS(ended) == LT_E_NOSPACE || WEXITSTATUS(ended) == LT_E_IO);
        n_refused += WEXITSTATUS(ended) != LT_OK;
        assert_ok(verify_at(p->file, &(lt_ledger_verify_spec){0}));
    }
    assert_true(n_refused > 5);
}

// The n-th allocation fails: out of memory or success, and the ledger is in order.
static lt_status everything(const ledger_place *p, const char *file)
{
    lt_ledger *ledger;
    lt_ledger_signature signature;
    char *json = NULL;
    lt_status status = lt_ledger_open(file, LT_LEDGER_APPEND, &ledger);
    const lt_ledger_source source = {.request = "r", .sample_key = p->sample_key};
    if (status == LT_OK)
        status = lt_ledger_record_run(ledger, p->child, &source, NULL);
    if (status == LT_OK)
        status = lt_ledger_sign(ledger, p->key, &signature);
    if (status == LT_OK)
        status = lt_ledger_list_json(ledger, NULL, &json);
    free(json);
    json = NULL;
    const lt_ledger_verify_spec spec = {.files = true, .sample_key = p->sample_key};
    if (status == LT_OK)
        status = lt_ledger_verify(ledger, &spec, &json);
    free(json);
    json = NULL;
    if (status == LT_OK)
        status = lt_ledger_export(ledger, &(lt_receipt_spec){.id = 2, .format = LT_RECEIPT_HTML}, &json);
    char *checked = NULL;
    if (status == LT_OK)
        status = lt_receipt_verify(json, strlen(json), "page", NULL, &checked);
    free(json);
    free(checked);
    lt_ledger_close(ledger);
    return status;
}

static void failing_allocations(void **state)
{
    const ledger_place *p = *state;
    char file[128];
    make_ledger(p);
    snprintf(file, sizeof file, "%s/again.db", p->root);
    int n_failed = 0, n_whole = 0;
    for (int n = 1; n_whole < 3; n += n < 100 ? 1 : 29) {
        unlink(file);
        lti_alloc_fail_at(n);
        const lt_status status = everything(p, file);
        lti_alloc_fail_at(0);
        if (status != LT_OK) {
            n_failed++;
            assert_int_equal(status, LT_E_NOMEM);
        }
        n_whole = status == LT_OK ? n_whole + 1 : 0;
    }
    assert_true(n_failed > 100);
    assert_ok(verify_at(file, &(lt_ledger_verify_spec){0}));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, place_make, place_remove)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(life_of_a_ledger),
        TEST(where_it_is),
        TEST(nothing_is_changed),
        TEST(changes_are_named),
        TEST(runs_and_samples_are_compared),
        TEST(signatures_name_the_key),
        TEST(files_that_are_none),
        TEST(writers_lose_nothing),
        TEST(killed_any_time),
        TEST(full_disk),
        TEST(failing_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
