// ledger_chain.c - digests of records, and which field of a record is wrong.
#include "ledger/ledger_impl.h"
#include <stdlib.h>
#include <string.h>

void lti_record_clear(lti_record *r)
{
    lti_free(r->prev);
    lti_free(r->body);
    lti_free(r->parts);
    lti_free(r->digest);
    *r = (lti_record){0};
}

static void digest_lines(const char *const *line, char out[LTI_HEX]) // ends with NULL
{
    lti_hash h;
    lti_hash_init(&h);
    for (; *line; line++) {
        lti_hash_add(&h, *line, strlen(*line));
        lti_hash_add(&h, "\n", 1);
    }
    lti_hash_hex(&h, out);
}

char *lti_parts_of(const json_t *body)
{
    json_t *parts = json_object(), *value;
    const char *key;
    bool ok = parts != NULL;
    json_object_foreach((json_t *)(uintptr_t)body, key, value)
    {
        char digest[LTI_HEX], *text = ok ? lti_canonical(value, 0) : NULL;
        lti_hash h;
        ok = text != NULL;
        if (!ok)
            break;
        lti_hash_init(&h);
        lti_hash_add(&h, text, strlen(text));
        lti_hash_hex(&h, digest);
        lti_free(text);
        ok = lti_put(parts, key, json_string(digest));
    }
    char *text = ok ? lti_canonical(parts, 0) : NULL;
    json_decref(parts);
    return text;
}

void lti_content_digest(const char *parts, char out[LTI_HEX])
{
    digest_lines((const char *const[]){"lethe-record-1", parts, NULL}, out);
}

void lti_chain_digest(int64_t id, const char *prev, const char *content, char out[LTI_HEX])
{
    char number[LTI_UTC];
    lti_format(number, sizeof number, "%lld", (long long)id);
    digest_lines((const char *const[]){"lethe-chain-1", number, prev, content, NULL}, out);
}

void lti_wrong_field(const json_t *body, const char *parts, char out[64])
{
    char *found_text = lti_parts_of(body);
    json_t *found = found_text ? json_loads(found_text, 0, NULL) : NULL, *stored = json_loads(parts, 0, NULL), *value;
    const char *key;
    out[0] = '\0';
    json_object_foreach(stored, key, value) if (!out[0] && !json_equal(value, json_object_get(found, key)))
        lti_format(out, 64, "%s", key);
    json_object_foreach(found, key, value) if (!out[0] && !json_object_get(stored, key)) lti_format(out, 64, "%s", key);
    json_decref(found);
    json_decref(stored);
    lti_free(found_text);
}

static lt_status wrong(const lti_record *r, const char *label, const char *field, const char *what)
{
    return LT_FAIL(LT_E_INTEGRITY, "%s: record %lld, field %s: %s", label, (long long)r->id, field, what);
}

static lt_status check_body(const lti_record *r, const char *label, const json_t *body)
{
    char content[LTI_HEX], digest[LTI_HEX], field[64], *parts = lti_parts_of(body), *canonical = lti_canonical(body, 0);
    lt_status status = LT_OK;
    if (!parts || !canonical) {
        status = LTI_NOMEM(label);
        goto done;
    }
    lti_content_digest(parts, content);
    lti_chain_digest(r->id, r->prev, content, digest);
    const bool sound = !strcmp(digest, r->digest);
    if (strcmp(canonical, r->body) != 0) {
        status = wrong(r, label, "body", "it is not in canonical form: the text was changed");
    } else if (strcmp(parts, r->parts) != 0 && sound) {
        status = wrong(r, label, "parts", "the digests of the fields were changed");
    } else if (strcmp(parts, r->parts) != 0) {
        lti_wrong_field(body, r->parts, field);
        status = wrong(r, label, field[0] ? field : "body", "its value is not the one that was recorded");
    } else if (!sound) {
        status = wrong(r, label, "digest", "it is not that of the record");
    }
done:
    lti_free(parts);
    lti_free(canonical);
    return status;
}

lt_status lti_record_check(const lti_record *r, int64_t id, const char *prev, const char *label)
{
    json_t *body;
    if (r->id != id)
        return LT_FAIL(LT_E_INTEGRITY,
                       "%s: record %lld, field id: expected %lld: a record is missing or was renumbered", label,
                       (long long)r->id, (long long)id);
    if (strcmp(r->prev, prev) != 0)
        return wrong(r, label, "prev", "it is not the digest of the record before");
    if (lti_parse_json(r->body, strlen(r->body), label, &body) != LT_OK) {
        if (lt_error_get()->status == LT_E_NOMEM)
            return LT_E_NOMEM;
        return wrong(r, label, "body", "it is no JSON any more");
    }
    lt_status status =
        json_is_object(body) ? check_body(r, label, body) : wrong(r, label, "body", "expected an object");
    json_decref(body);
    return status;
}
