// ledger_run.c - the record of a finished run, from its files.
#include "ledger/ledger_impl.h"
#include "lethe/tensorfile.h"
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_MAX = 1 << 26 };

typedef struct run_files { // parsed; owned
    char *dir;             // absolute
    json_t *env, *done, *files, *resolved, *result;
    char identity[LTI_HEX]; // of this execution, from what the record says of it
} run_files;

static void run_files_clear(run_files *f)
{
    free(f->dir);
    json_decref(f->env);
    json_decref(f->done);
    json_decref(f->files);
    json_decref(f->resolved);
    json_decref(f->result);
}

static lt_status read_json(const char *dir, const char *name, json_t **out)
{
    char *text = NULL, *path = lti_asprintf("%s/%s", dir, name);
    size_t n;
    lt_status status = path ? lt_read_file(path, FILE_MAX, &text, &n) : LTI_NOMEM("run");
    if (status == LT_OK)
        status = lti_parse_json(text, n, path, out);
    lti_free(text);
    lti_free(path);
    return status;
}

static void identify_run(run_files *f)
{
    const char *const text[] = {f->dir,
                                lti_json_text_at(f->env, "verb"),
                                lti_json_text_at(f->env, "config_digest"),
                                lti_json_text_at(f->env, "started"),
                                lti_json_text_at(f->done, "finished"),
                                lti_json_text_at(f->result, "model_digest")};
    lti_hash h;
    lti_hash_init(&h);
    for (size_t i = 0; i < sizeof text / sizeof *text; i++)
        lti_hash_add(&h, text[i], strlen(text[i]) + 1);
    lti_hash_hex(&h, f->identity);
}

static lt_status open_files(const char *dir, run_files *f)
{
    const lt_status status = read_json(dir, "DONE", &f->done);
    if (status == LT_E_INPUT) {
        LT_FAIL(LT_E_INPUT, "%s: expected a finished run, found %s", dir,
                lti_is_dir(dir) ? "a directory without DONE" : "no directory");
        return lt_error_hint("only finished runs are recorded");
    }
    LT_TRY(status);
    f->dir = realpath(dir, NULL);
    if (!f->dir)
        return lti_errno_fail("read", dir);
    LT_TRY(read_json(dir, "env.json", &f->env));
    LT_TRY(read_json(dir, "files.json", &f->files));
    LT_TRY(read_json(dir, "resolved.json", &f->resolved));
    LT_TRY(read_json(dir, "result.json", &f->result));
    const char *name;
    json_t *value;
    json_object_foreach(f->files, name, value) LT_TRY(lt_run_check_file(dir, name));
    identify_run(f);
    return LT_OK;
}

// ---- fields

static const char *or_null(const char *text)
{
    return *text ? text : NULL;
}

// Where samples were forgotten, the digests of files that name them are keyed, or left out without a key.
static lt_status describe_files(const run_files *f, const lt_ledger_source *source, json_t *out)
{
    unsigned char key[LTI_KEY_BYTES] = {0};
    const char *name;
    json_t *digest;
    const bool forgets = json_object_get(f->files, "forget.csv") != NULL;
    lt_status status = forgets && source->sample_key ? lti_sample_key(source->sample_key, true, key) : LT_OK;
    json_object_foreach(f->files, name, digest)
    {
        char keyed[LTI_HEX + 6], *path = NULL;
        if (status != LT_OK)
            break;
        if (!forgets || !lti_names_samples(name)) {
            status = json_object_set(out, name, digest) == 0 ? LT_OK : LTI_NOMEM("record");
        } else if (source->sample_key) {
            path = lti_asprintf("%s/%s", f->dir, name);
            status = path ? lti_keyed_file_digest(path, key, keyed) : LTI_NOMEM("record");
            if (status == LT_OK && !lti_put_text(out, name, keyed))
                status = LTI_NOMEM("record");
        }
        lti_free(path);
    }
    sodium_memzero(key, sizeof key);
    return status;
}

static lt_status put_run(const run_files *f, const lt_ledger_source *source, json_t *body)
{
    json_t *run = json_object(), *files = json_object();
    lt_status status = describe_files(f, source, files);
    if (status == LT_OK && !(lti_put_text(run, "dir", f->dir) && lti_put_text(run, "identity", f->identity) &&
                             lti_put_text(run, "config_digest", lti_json_text_at(f->env, "config_digest")) &&
                             lti_put_text(run, "started", lti_json_text_at(f->env, "started")) &&
                             lti_put_text(run, "finished", lti_json_text_at(f->done, "finished")) &&
                             json_object_set(run, "files", files) == 0 && json_object_set(body, "run", run) == 0))
        status = LTI_NOMEM("record");
    json_decref(files);
    json_decref(run);
    return status;
}

// Every option with a value; where it came from is in resolved.json, whose digest is among the files.
static json_t *describe_config(const run_files *f)
{
    json_t *config = json_object(), *entry;
    const char *key;
    json_object_foreach(f->resolved, key, entry)
    {
        json_t *value = json_object_get(entry, "value");
        if (value && !json_is_null(value) && json_object_set(config, key, value) != 0) {
            json_decref(config);
            return NULL;
        }
    }
    return config;
}

static json_t *describe_versions(const run_files *f)
{
    json_t *versions = json_object(), *value;
    const char *key;
    bool ok = versions != NULL;
    json_object_foreach(f->env, key, value)
    {
        const char *digest = strstr(key, "_digest"); // of inputs: they stand where they belong
        if (!digest && strcmp(key, "verb") != 0 && strcmp(key, "started") != 0)
            ok = ok && json_object_set(versions, key, value) == 0;
    }
    if (ok)
        return versions;
    json_decref(versions);
    return NULL;
}

// Numbers and texts of the result and of its objects; lists (a value per layer, per member) are in result.json.
static json_t *describe_result(const json_t *result, int depth)
{
    json_t *out = json_object(), *value;
    const char *key;
    bool ok = out != NULL;
    json_object_foreach((json_t *)(uintptr_t)result, key, value)
    {
        if (json_is_array(value) || (json_is_object(value) && depth == 0) || !strcmp(key, "forget_digest"))
            continue; // the digest of a short list of numbers is no secret
        ok = ok && (json_is_object(value) ? lti_put(out, key, describe_result(value, depth - 1))
                                          : json_object_set(out, key, value) == 0);
    }
    if (ok)
        return out;
    json_decref(out);
    return NULL;
}

static json_t *describe_model(const run_files *f)
{
    json_t *model = json_object(), *members = json_object_get(f->result, "members");
    bool ok = lti_put_text(model, "digest", or_null(lti_json_text_at(f->result, "model_digest"))) &&
              lti_put_text(model, "architecture", or_null(lti_json_text_at(f->result, "model")));
    if (members) { // of a population: one model each
        json_t *list = json_array(), *m;
        size_t i;
        json_array_foreach(members, i, m)
        {
            json_t *one = json_object();
            ok = ok && lti_put_text(one, "run", lti_json_text_at(m, "run")) &&
                 lti_put_text(one, "digest", or_null(lti_json_text_at(m, "model_digest"))) &&
                 json_array_append(list, one) == 0;
            json_decref(one);
        }
        ok = lti_put(model, "members", list) && ok;
    }
    if (ok)
        return model;
    json_decref(model);
    return NULL;
}

static lt_status put_parent(lt_ledger *l, const run_files *f, json_t *body)
{
    const char *digest = lti_json_text_at(f->result, "parent_digest");
    int64_t id = 0;
    if (!*digest)
        digest = lti_json_text_at(f->result, "init_digest");
    if (!*digest)
        return LT_OK;
    char *text = lti_asprintf("\"digest\":\"%s\"", digest);
    lt_status status = text ? lti_find_text(l, text, &id) : LTI_NOMEM("record");
    lti_free(text);
    LT_TRY(status);
    json_t *parent = json_object();
    const bool ok = lti_put_text(parent, "digest", digest) &&
                    lti_put_text(parent, "run", or_null(lti_json_text_at(f->result, "parent"))) &&
                    lti_put(parent, "record", id ? json_integer(id) : json_null());
    return ok && lti_put(body, "parent", parent) ? LT_OK : LTI_NOMEM("record");
}

static lt_status put_forget(const run_files *f, const lt_ledger_source *source, json_t *body)
{
    char *path = lti_asprintf("%s/forget.csv", f->dir);
    const bool listed = path && lti_is_file(path);
    json_t *samples = NULL, *forget = NULL;
    lt_status status = path ? LT_OK : LTI_NOMEM("record");
    lti_free(path);
    if (status != LT_OK || !listed)
        return status;
    if (source->sample_key)
        LT_TRY(lti_sample_digests(f->dir, source, &samples));
    forget = json_object();
    json_t *n = json_object_get(f->result, "n_forget");
    const bool ok = lti_put_text(forget, "asked", or_null(lti_json_text_at(f->result, "forget"))) &&
                    lti_put(forget, "n", n ? json_incref(n) : json_null()) &&
                    lti_put(forget, "samples", samples ? json_incref(samples) : json_null());
    json_decref(samples);
    return ok && lti_put(body, "forget", forget) ? LT_OK : LTI_NOMEM("record");
}

static bool put_method(const run_files *f, json_t *body)
{
    const char *name = lti_json_text_at(f->result, "method");
    const lt_unlearn_method *m = NULL;
    if (!*name)
        return true;
    const bool known = lt_unlearn_find(name, &m) == LT_OK;
    if (!known)
        lt_error_clear();
    json_t *method = json_object();
    return lti_put_text(method, "name", name) &&
           lti_put_text(method, "title", or_null(lti_json_text_at(f->result, "title"))) &&
           lti_put(method, "retrains", json_boolean(known && (m->needs & LT_FROM_SCRATCH))) &&
           lti_put(body, "method", method);
}

static bool put_seeds(const run_files *f, json_t *body)
{
    json_t *seeds = json_object();
    bool ok = true;
    static const char *const keys[] = {"seed", "forget-seed"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        json_t *value = json_object_get(json_object_get(f->resolved, keys[i]), "value");
        if (value)
            ok = ok && json_object_set(seeds, keys[i], value) == 0;
    }
    return lti_put(body, "seeds", seeds) && ok;
}

static bool put_data(const run_files *f, json_t *body)
{
    json_t *data = json_object();
    return lti_put_text(data, "spec", or_null(lti_json_text_at(f->result, "data"))) &&
           lti_put_text(data, "digest", or_null(lti_json_text_at(f->result, "data_digest"))) &&
           lti_put(body, "data", data);
}

static lt_status make_body(lt_ledger *l, const run_files *f, const lt_ledger_source *source, json_t *body)
{
    enum { RESULT_DEPTH = 2 };
    const bool ok = lti_put_text(body, "kind", lti_json_text_at(f->env, "verb")) &&
                    lti_put_text(body, "request", source->request && *source->request ? source->request : NULL) &&
                    lti_put(body, "model", describe_model(f)) && lti_put(body, "config", describe_config(f)) &&
                    lti_put(body, "versions", describe_versions(f)) &&
                    lti_put(body, "result", describe_result(f->result, RESULT_DEPTH)) && put_method(f, body) &&
                    put_seeds(f, body) && put_data(f, body);
    if (!ok)
        return LTI_NOMEM("record");
    LT_TRY(put_run(f, source, body));
    LT_TRY(put_parent(l, f, body));
    LT_TRY(put_forget(f, source, body));
    json_t *list = json_array();
    lt_status status = lti_not_proven_run(body, list);
    if (status == LT_OK && json_object_set(body, "not_proven", list) != 0)
        status = LTI_NOMEM("record");
    json_decref(list);
    return status;
}

// ---- recording

static lt_status find_known(lt_ledger *l, const run_files *f, lt_ledger_entry *entry)
{
    int64_t id;
    lti_record r;
    char *text = lti_asprintf("\"identity\":\"%s\"", f->identity);
    lt_status status = text ? lti_find_text(l, text, &id) : LTI_NOMEM("record");
    lti_free(text);
    if (status != LT_OK || !id)
        return status;
    LT_TRY(lti_get_record(l, id, &r));
    entry->is_known = true;
    entry->id = id;
    lti_format(entry->digest, sizeof entry->digest, "%s", r.digest);
    lti_record_clear(&r);
    return LT_OK;
}

static lt_status append_body(lt_ledger *l, const json_t *body, lt_ledger_entry *entry)
{
    char *text = lti_canonical(body, 0);
    lt_status status = text ? lt_ledger_append(l, text, entry) : LTI_NOMEM("record");
    lti_free(text);
    return status;
}

static lt_status record_one(lt_ledger *ledger, const char *dir, const lt_ledger_source *source, lt_ledger_entry *entry)
{
    run_files f = {0};
    lt_ledger_entry found = {0};
    json_t *body = json_object();
    lt_status status = open_files(dir, &f);
    if (status == LT_OK)
        status = find_known(ledger, &f, &found);
    if (status == LT_OK && !found.is_known) {
        status = make_body(ledger, &f, source, body);
        if (status == LT_OK)
            status = append_body(ledger, body, &found);
    }
    if (entry)
        *entry = found;
    json_decref(body);
    run_files_clear(&f);
    return status;
}

// Requests that were served one after another are runs of their own in the directory of the stream.
static lt_status record_requests(lt_ledger *ledger, const char *dir, const lt_ledger_source *source)
{
    lt_status status = LT_OK;
    for (int k = 1; status == LT_OK; k++) {
        char *inner = lti_asprintf("%s/request-%d", dir, k);
        char *name = lti_asprintf("%s/%d", source->request ? source->request : "", k);
        const bool is_done = inner && name && lt_run_is_done(inner);
        lt_ledger_source one = *source;
        one.request = source->request && *source->request ? name : NULL;
        if (is_done)
            status = record_one(ledger, inner, &one, NULL);
        else if (!inner || !name)
            status = LTI_NOMEM("record");
        lti_free(inner);
        lti_free(name);
        if (!is_done)
            break;
    }
    return status;
}

lt_status lt_ledger_record_run(lt_ledger *ledger, const char *dir, const lt_ledger_source *source,
                               lt_ledger_entry *entry)
{
    LT_TRY(record_requests(ledger, dir, source));
    return record_one(ledger, dir, source, entry);
}

// ---- audits

// The weights that a run or a file of arrays stands for: a run by the digest in its result, a file by its own.
static lt_status subject(const char *name, json_t **out)
{
    char digest[LTI_HEX] = "";
    json_t *result = NULL;
    lt_status status = LT_OK;
    char *path = lti_asprintf("%s/result.json", name);
    if (!path)
        return LTI_NOMEM("record");
    if (lti_is_file(path)) {
        LT_TRY_GOTO(read_json(name, "result.json", &result), done);
        lti_format(digest, sizeof digest, "%s", lti_json_text_at(result, "model_digest"));
    }
    const bool arrays = !*digest && lti_is_file(name);
    char file[LTI_HEX] = "";
    if (arrays)
        LT_TRY_GOTO(lt_file_digest(name, file), done);
    *out = json_object();
    if (!lti_put_text(*out, "name", name) || !lti_put_text(*out, "digest", or_null(digest)) ||
        !lti_put_text(*out, "file_digest", or_null(file)))
        status = LTI_NOMEM("record");
done:
    json_decref(result);
    lti_free(path);
    return status;
}

static lt_status put_oracles(const json_t *audit, json_t *body)
{
    json_t *list = json_array();
    const json_t *oracle;
    size_t i;
    lt_status status = list ? LT_OK : LTI_NOMEM("record");
    json_array_foreach(json_object_get(audit, "oracles"), i, oracle)
    {
        json_t *one = NULL;
        if (status == LT_OK)
            status = subject(lti_json_text_at(oracle, "run"), &one);
        if (status == LT_OK && json_array_append(list, one) != 0)
            status = LTI_NOMEM("record");
        json_decref(one);
    }
    if (status == LT_OK && json_object_set(body, "oracles", list) != 0)
        status = LTI_NOMEM("record");
    json_decref(list);
    return status;
}

// Without what is of single samples (risk), of the oracles alone, or made to be plotted.
static bool put_audit(const json_t *audit, json_t *body)
{
    static const char *const left_out[] = {"risk", "oracles", "diagnostics", "representation", "also", NULL};
    json_t *result = json_deep_copy(audit);
    for (const char *const *key = left_out; *key && result; key++)
        json_object_del(result, *key);
    return lti_put(body, "result", result);
}

static lt_status put_options(const lt_optset *options, json_t *body)
{
    char *text = options ? lt_optset_json(options) : NULL;
    json_t *resolved = NULL;
    if (!options)
        return LT_OK;
    lt_status status = text ? lti_parse_json(text, strlen(text), "options", &resolved) : LTI_NOMEM("record");
    const run_files f = {.resolved = resolved};
    if (status == LT_OK && !(lti_put(body, "config", describe_config(&f)) && put_seeds(&f, body)))
        status = LTI_NOMEM("record");
    json_decref(resolved);
    free(text);
    return status;
}

static lt_status make_audit(const json_t *audit, const lt_optset *options, const lt_ledger_source *source, json_t *body)
{
    json_t *model = NULL, *list = json_array();
    lt_status status = subject(lti_json_text_at(audit, "run"), &model);
    if (status == LT_OK &&
        !(lti_put_text(body, "kind", "audit") &&
          lti_put_text(body, "request", source->request && *source->request ? source->request : NULL) &&
          json_object_set(body, "model", model) == 0 && put_audit(audit, body)))
        status = LTI_NOMEM("record");
    if (status == LT_OK)
        status = put_oracles(audit, body);
    if (status == LT_OK)
        status = put_options(options, body);
    if (status == LT_OK)
        status = lti_not_proven_audit(body, list);
    if (status == LT_OK && json_object_set(body, "not_proven", list) != 0)
        status = LTI_NOMEM("record");
    json_decref(model);
    json_decref(list);
    return status;
}

lt_status lt_ledger_record_audit(lt_ledger *ledger, const char *audit_json, const lt_optset *options,
                                 const lt_ledger_source *source, lt_ledger_entry *entry)
{
    json_t *audit, *body = json_object();
    lt_ledger_entry added = {0};
    lt_status status = lti_parse_json(audit_json, strlen(audit_json), "audit", &audit);
    if (status == LT_OK)
        status = make_audit(audit, options, source, body);
    if (status == LT_OK)
        status = append_body(ledger, body, &added);
    if (entry)
        *entry = added;
    json_decref(audit);
    json_decref(body);
    return status;
}
