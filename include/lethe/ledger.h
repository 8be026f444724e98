// ledger.h - deletion records: an append-only, hash-chained file of what was trained, unlearned and audited.
//
// A ledger is one SQLite file of records. A record is a JSON object (its body) with a number, the digest of the record
// before it, and its own digest; docs/decisions/0015-ledger.md has the format and what it proves. Records are made from
// run directories and from audit results, never from memory alone, so that a record can be made later, too.
//
// A handle belongs to one thread at a time; several handles and several processes may append to one file at once.
// Strings that functions return are malloc'ed; free them with free(). Digests are BLAKE2b-256 in 64 hexadecimal digits.
#ifndef LT_LEDGER_H
#define LT_LEDGER_H
#include "lethe/data.h"
#include "lethe/pipeline.h"
LT_BEGIN

typedef struct lt_ledger lt_ledger; // owns an open database
typedef enum lt_ledger_access {
    LT_LEDGER_READ,   // the file must exist
    LT_LEDGER_APPEND, // made when it is missing, with its first record
} lt_ledger_access;

// Which ledger is meant: `given` when not empty, else $LETHE_HOME/lethe.db, else lethe.db in the directory that holds
// the run `run_dir`, or in the current directory when that is NULL. *path is malloc'ed. LT_E_NOMEM.
LT_API lt_status lt_ledger_path(const char *given, const char *run_dir, char **path);
// LT_E_INPUT without a file to read; LT_E_FORMAT for a file that is no ledger; LT_E_INTEGRITY for one that is damaged;
// LT_E_IO, LT_E_NOSPACE, LT_E_BUSY (another process has held the lock for 30 s).
LT_API lt_status lt_ledger_open(const char *path, lt_ledger_access access, lt_ledger **ledger);
// The ledger that lt_ledger_path names; without `given` and run_dir, runs/lethe.db where it alone exists. A ledger that
// does not exist is made for a run only.
LT_API lt_status lt_ledger_open_named(const char *given, const char *run_dir, lt_ledger_access access,
                                      lt_ledger **ledger);
LT_API void lt_ledger_close(lt_ledger *ledger); // NULL is fine
LT_API const char *lt_ledger_file(const lt_ledger *ledger);

typedef struct lt_ledger_entry {
    int64_t id;      // 1, 2, ... without gaps
    char digest[65]; // of this record and all before it
    bool is_known;   // it was recorded before; nothing has been added
} lt_ledger_entry;
// One transaction: after LT_OK the record is on disk. body_json: an object with text "kind"; numbers must be finite.
// LT_E_FORMAT for other text. `entry` may be NULL.
LT_API lt_status lt_ledger_append(lt_ledger *ledger, const char *body_json, lt_ledger_entry *entry);
LT_API lt_status lt_ledger_head(lt_ledger *ledger, lt_ledger_entry *head); // the last record
// {"id","prev","digest","body"}. LT_E_USAGE for a number that the ledger does not have.
LT_API lt_status lt_ledger_record_json(lt_ledger *ledger, int64_t id, char **json);
// {"ledger","file","n_records","records":[{"id","digest","kind","time","request","run","model","method","verdict"}]}
// with null for what a record does not have. request: only records of this request; NULL = all.
LT_API lt_status lt_ledger_list_json(lt_ledger *ledger, const char *request, char **json);

// ---- records of runs and audits
typedef struct lt_ledger_source {
    const char *request;    // what the deletion request is called; NULL or "" = none. Not for personal data
    const char *sample_key; // file of the key of sample digests, made when it is missing; NULL = no sample digests
    const lt_dataset *ds;   // where the run and those before it have no samples.safetensors; NULL = opened when needed
} lt_ledger_source;
// The finished run in `dir`, from its files; of a stream of requests the runs of these first, with "/1", "/2", ...
// after the name of the request. A run that the ledger has already is not added again. LT_E_INPUT when the run is not
// finished; LT_E_INTEGRITY when one of its files was changed since.
LT_API lt_status lt_ledger_record_run(lt_ledger *ledger, const char *dir, const lt_ledger_source *source,
                                      lt_ledger_entry *entry);
// The result of one audit, as lt_audit_report_json writes it; options: of the audit, recorded; may be NULL.
LT_API lt_status lt_ledger_record_audit(lt_ledger *ledger, const char *audit_json, const lt_optset *options,
                                        const lt_ledger_source *source, lt_ledger_entry *entry);

// Several finished runs, each in the ledger of lt_ledger_open_named. *json: {"recorded":[{"run","file","record",
// "known"}]}. LT_E_INPUT for a run that is not finished; what was recorded before it stays recorded.
LT_API lt_status lt_ledger_record_runs(const char *given, const char *const *run, int n, const lt_ledger_source *source,
                                       char **json);
struct json_t;                    // of jansson
typedef struct lt_ledger_result { // of a call that has just ended
    const char *ledger;           // as lt_ledger_path; NULL = the default
    const char *run;              // directory of the run, or what was audited
    bool is_audit;
    const struct json_t *result; // of an audit: as lt_audit_result_json
    const lt_optset *options;    // of an audit
    lt_ledger_source source;
} lt_ledger_result;
// Records it. *path: the ledger, malloc'ed, also when recording fails; NULL = nothing to do: audited arrays without a
// ledger that is named or exists. Errors of lt_ledger_open, lt_ledger_record_run and lt_ledger_record_audit.
LT_API lt_status lt_ledger_record_result(const lt_ledger_result *r, char **path, lt_ledger_entry *entry);

// ---- keys
enum { LT_FINGERPRINT_HEX = 33 };
// A new Ed25519 key pair: the secret key in `path` (PKCS #8 PEM, mode 0600), the public one in `path`.pub (SPKI PEM).
// LT_E_USAGE when one of the files is there. The secret key leaves this function only in that file.
LT_API lt_status lt_ledger_keygen(const char *path, char fingerprint[LT_FINGERPRINT_HEX]);

LT_API lt_status lt_ledger_keygen_json(const char *path, char **json); // the same: {"key","public_key","fingerprint"}

typedef struct lt_ledger_signature {
    lt_ledger_entry entry; // the record of the signature
    int64_t covers;        // all records up to this one
    char covers_digest[65], fingerprint[LT_FINGERPRINT_HEX];
} lt_ledger_signature;
// Signs all records so far and adds the signature as a record. LT_E_INPUT, LT_E_FORMAT: the key; LT_E_INTEGRITY when
// the ledger is not in order: what is wrong is not signed.
LT_API lt_status lt_ledger_sign(lt_ledger *ledger, const char *key_file, lt_ledger_signature *signature);

// The same; *json: {"file","record","signed_up_to","signed_digest","fingerprint"}.
LT_API lt_status lt_ledger_sign_json(lt_ledger *ledger, const char *key_file, char **json);

// ---- verification
typedef struct lt_ledger_verify_spec {
    const char *public_key; // file of the key that signatures must be made with; NULL = any
    const char *head;       // digest of a record that the ledger must have, noted earlier; NULL = none
    const char *sample_key; // to compute sample digests again; NULL = they are not checked
    bool files;             // compare the files of runs that still exist
    bool replay;            // train and unlearn again what can be, and compare the models
    const lt_env *env;      // of a replay; its events get a line per run
    const char *scratch;    // directory for replays; NULL = a new one in the system's place for temporary files
} lt_ledger_verify_spec;
// *json: {"ledger","file","n_records","head","n_signatures","signed_by","signed_up_to","trusted","files_checked",
// "files_missing","samples_checked","replayed","layout_checked","not_checked":[texts]}. LT_E_INTEGRITY names the first
// record and the field that is wrong.
LT_API lt_status lt_ledger_verify(lt_ledger *ledger, const lt_ledger_verify_spec *spec, char **json);

// ---- receipts
typedef enum lt_receipt_format { LT_RECEIPT_JSON, LT_RECEIPT_HTML } lt_receipt_format;
typedef struct lt_receipt_spec {
    int64_t id;          // the record that the receipt is about, with the audits of its model; 0 = the whole ledger
    const char *request; // or the last record of a deletion with this name; NULL = by id
    lt_receipt_format format;
} lt_receipt_spec;
// LT_E_USAGE when there is no such record, or for a page about the whole ledger.
LT_API lt_status lt_ledger_export(lt_ledger *ledger, const lt_receipt_spec *spec, char **text);
LT_API bool lt_is_receipt(const char *path); // a file that begins as one, rather than as a ledger
LT_API lt_status lt_receipt_format_of(const char *path, lt_receipt_format *format); // by its suffix; LT_E_USAGE
// An exported text into a file. *json: {"written","bytes"}. LT_E_USAGE when the file exists, unless force; LT_E_IO.
LT_API lt_status lt_receipt_write(const char *path, const char *text, bool force, char **json);
// Checks an exported text, JSON or HTML, by itself: every byte of it, its chain and its signature. label: its name in
// messages. *json: {"ledger","format","n_records","records","signed_by","signed_up_to","trusted","not_checked"}.
// LT_E_FORMAT when it is no receipt, LT_E_INTEGRITY when it was changed.
LT_API lt_status lt_receipt_verify(const char *text, size_t n, const char *label, const char *public_key, char **json);

LT_END_DECLS
#endif
