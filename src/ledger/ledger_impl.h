// ledger_impl.h - shared by the files of this module.
#ifndef LTI_LEDGER_LEDGER_IMPL_H
#define LTI_LEDGER_LEDGER_IMPL_H
#include "io/json_read.h"
#include "lethe/ledger.h"
#include <jansson.h>
#include <sqlite3.h>

enum { LTI_HEX = 65, LTI_BODY_MAX = 1 << 28, LTI_UTC = 24 };

struct lt_ledger {
    sqlite3 *db;
    char *path;
    lt_ledger_access access;
    json_t *recorder; // "recorder" of what this handle appends; made once
};

// ---- ledger_canonical.c
// Canonical JSON: keys sorted by bytes, no blanks. indent > 0: the same with line breaks, for people. NULL when out of
// memory.
char *lti_canonical(const json_t *value, int indent);
lt_status lti_parse_json(const char *text, size_t n, const char *label, json_t **value); // no duplicate keys
// Both take the new reference and return false when out of memory.
bool lti_put(json_t *object, const char *key, json_t *value);
bool lti_put_text(json_t *object, const char *key, const char *text); // NULL is null; bytes that are no UTF-8: U+FFFD

// ---- ledger_chain.c
typedef struct lti_record { // owned
    int64_t id;
    char *prev, *body, *parts, *digest;
} lti_record;
void lti_record_clear(lti_record *r);
// {"field": digest of its canonical value, ...} of a body, canonical; malloc'ed, NULL = out of memory.
char *lti_parts_of(const json_t *body);
void lti_content_digest(const char *parts, char out[LTI_HEX]);
void lti_chain_digest(int64_t id, const char *prev, const char *content, char out[LTI_HEX]);
#define LTI_FIRST_PREV "0000000000000000000000000000000000000000000000000000000000000000"
// Is the record what it says, and does it follow `id` - 1 with digest `prev`? LT_E_INTEGRITY names record and field.
lt_status lti_record_check(const lti_record *r, int64_t id, const char *prev, const char *label);
// The first field of `body` whose digest is not the one in `parts`, or "" : into out.
void lti_wrong_field(const json_t *body, const char *parts, char out[64]);

// ---- ledger_store.c
lt_status lti_sql_fail(const lt_ledger *l, const char *doing);
extern const char *const lti_schema[]; // statements, in the order in which they are executed; ends with NULL
lt_status lti_create_tables(sqlite3 *db);
int lti_insert_record(sqlite3 *db, const lti_record *r); // an SQLite code
// Calls `each` with every record, oldest first, until it fails. The record is borrowed.
typedef lt_status (*lti_each_record)(void *self, const lti_record *r);
lt_status lti_for_records(lt_ledger *l, lti_each_record each, void *self);
lt_status lti_get_record(lt_ledger *l, int64_t id, lti_record *r); // LT_E_USAGE when there is none
lt_status lti_ledger_id(lt_ledger *l, char out[LTI_HEX]);
lt_status lti_read_begin(lt_ledger *l); // one state of the file until lti_read_end
void lti_read_end(lt_ledger *l);
// The last record whose body has `text` in it; 0 = none.
lt_status lti_find_text(lt_ledger *l, const char *text, int64_t *id);
const char *lti_ledger_utc(char out[LTI_UTC]);
lt_status lti_recorder(json_t **out); // what makes records: {"lethe","sqlite","program"}

// ---- ledger_image.c: the bytes of the file against what its records alone give
// *compared = false when records were written by another version of SQLite.
lt_status lti_check_image(lt_ledger *l, bool *compared);

// ---- ledger_keys.c
enum { LTI_KEY_BYTES = 32 };
lt_status lti_sample_key(const char *path, bool create, unsigned char key[LTI_KEY_BYTES]);
void lti_key_fingerprint(const unsigned char *bytes, size_t n, const char *what, char out[LT_FINGERPRINT_HEX]);
// seed: the secret; the caller wipes it.
lt_status lti_read_signing_key(const char *path, unsigned char seed[LTI_KEY_BYTES]);
lt_status lti_read_public_key(const char *path, unsigned char key[LTI_KEY_BYTES]);
lt_status lti_parse_public_pem(const char *label, const char *text, unsigned char key[LTI_KEY_BYTES]);
char *lti_public_pem(const unsigned char key[LTI_KEY_BYTES]); // malloc'ed

// ---- ledger_sign.c
// Does `body`, of a signature record, sign `digest` of record "of" in this ledger? LT_E_INTEGRITY names the field.
// *is_trusted: was it made with the key `trusted` (NULL = none is)? label: of the record, for messages.
lt_status lti_signature_check(const json_t *body, const char *ledger, const char *digest, const unsigned char *trusted,
                              const char *label, bool *is_trusted);

// ---- ledger_samples.c
// Files of a run from which, together with the record, somebody could find out by trying which samples were meant:
// their digests are keyed, "keyed:HEX".
bool lti_names_samples(const char *file_name);
lt_status lti_keyed_file_digest(const char *path, const unsigned char key[LTI_KEY_BYTES], char out[LTI_HEX + 6]);
// {"n","key","digests":[...]} of the ids in forget.csv of the run. LT_E_INPUT when the images are not available.
lt_status lti_sample_digests(const char *dir, const lt_ledger_source *source, json_t **out);

// ---- not_proven.c: sentences, from the facts of a record
lt_status lti_not_proven_run(const json_t *body, json_t *out);
lt_status lti_not_proven_audit(const json_t *body, json_t *out);

// ---- ledger_replay.c
// Runs the record's run again; *digest of the model that comes out. LT_E_UNSUPPORTED says why it cannot be.
lt_status lti_replay(const json_t *body, const lt_ledger_verify_spec *spec, const char *scratch, char digest[LTI_HEX]);

// ---- receipt.c, receipt_html.c
char *lti_receipt_html(const json_t *receipt, const char *receipt_json); // NULL = out of memory
#endif
