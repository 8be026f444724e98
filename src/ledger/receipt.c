// receipt.c - records that leave the ledger: what they say, the way from them to a signature, and how it is checked.
//
// A receipt has the records that matter in full. Of those between them and the signed one only the digest of the
// content is given: enough to compute the chain, and nothing of what they say. Its text is a function of its values
// (canonical order, fixed layout, and the page is drawn from the same values), so a text is checked by writing it
// again.
#include "ledger/ledger_impl.h"
#include <stdlib.h>
#include <string.h>

enum { INDENT = 2 };
static const char embedded_begin[] = "<script type=\"application/json\" id=\"receipt\">\n",
                  embedded_end[] = "</script>";

// ---- choosing records

typedef struct selection {
    lt_ledger *ledger;
    const lt_receipt_spec *spec;
    int64_t about, last, signature; // the deletion, the last record in full, the record of the signature; 0 = none
    int64_t signed_to;
    char model[LTI_HEX];
    json_t *records, *links, *signature_body;
    int64_t first;
} selection;

static lt_status find_about(void *self, const lti_record *r)
{
    selection *s = self;
    json_t *body;
    LT_TRY(lti_parse_json(r->body, strlen(r->body), s->ledger->path, &body));
    const bool named = s->spec->request && !strcmp(lti_json_text_at(body, "request"), s->spec->request) &&
                       strcmp(lti_json_text_at(body, "kind"), "audit") != 0;
    if (named || (!s->spec->request && r->id == s->spec->id)) {
        s->about = r->id;
        lti_format(s->model, sizeof s->model, "%s", lti_json_text_at(body, "model.digest"));
    }
    json_decref(body);
    return LT_OK;
}

static bool is_included(const selection *s, const lti_record *r, const json_t *body)
{
    const char *kind = lti_json_text_at(body, "kind");
    return !s->about || r->id == s->about ||
           (*s->model && r->id > s->about && !strcmp(kind, "audit") &&
            !strcmp(lti_json_text_at(body, "model.digest"), s->model));
}

static lt_status find_last(void *self, const lti_record *r)
{
    selection *s = self;
    json_t *body;
    LT_TRY(lti_parse_json(r->body, strlen(r->body), s->ledger->path, &body));
    if (is_included(s, r, body))
        s->last = r->id;
    json_decref(body);
    return LT_OK;
}

// The first signature that covers all of the records, else the last one that covers the deletion.
static lt_status find_signature(void *self, const lti_record *r)
{
    selection *s = self;
    json_t *body;
    LT_TRY(lti_parse_json(r->body, strlen(r->body), s->ledger->path, &body));
    const int64_t of = json_integer_value(json_object_get(body, "of"));
    const bool covers_all = s->signature && s->signed_to >= s->last;
    if (!strcmp(lti_json_text_at(body, "kind"), "signature") && of >= s->about && (!covers_all || !s->about)) {
        s->signature = r->id;
        s->signed_to = of;
        json_decref(s->signature_body);
        s->signature_body = json_incref(body);
    }
    json_decref(body);
    return LT_OK;
}

static lt_status add_record(void *self, const lti_record *r)
{
    selection *s = self;
    json_t *body, *one = json_object(), *parts = json_loads(r->parts, 0, NULL);
    const int64_t end = s->last > s->signed_to ? s->last : s->signed_to;
    bool ok = true;
    lt_status status = lti_parse_json(r->body, strlen(r->body), s->ledger->path, &body);
    if (status != LT_OK)
        goto done;
    if (is_included(s, r, body)) {
        s->first = s->first ? s->first : r->id;
        ok = lti_put(one, "id", json_integer(r->id)) && lti_put_text(one, "prev", r->prev) &&
             lti_put_text(one, "digest", r->digest) && json_object_set(one, "fields", parts) == 0 &&
             json_object_set(one, "body", body) == 0 && json_array_append(s->records, one) == 0;
    } else if (s->first && r->id <= end) {
        char content[LTI_HEX];
        lti_content_digest(r->parts, content);
        ok = lti_put(one, "id", json_integer(r->id)) && lti_put_text(one, "content", content) &&
             json_array_append(s->links, one) == 0;
    }
    json_decref(body);
done:
    json_decref(parts);
    json_decref(one);
    return status != LT_OK ? status : ok ? LT_OK : LTI_NOMEM("receipt");
}

static lt_status select_records(selection *s)
{
    lt_ledger *l = s->ledger;
    if (s->spec->id || s->spec->request) {
        LT_TRY(lti_for_records(l, find_about, s));
        if (!s->about && s->spec->request) {
            LT_FAIL(LT_E_USAGE, "%s: no run was recorded for the request '%s'", l->path, s->spec->request);
            return lt_error_hint("`lethe ledger list` shows the requests");
        }
        if (!s->about) {
            lti_record r;
            return lti_get_record(l, s->spec->id, &r); // says which there are
        }
    }
    LT_TRY(lti_for_records(l, find_last, s));
    LT_TRY(lti_for_records(l, find_signature, s));
    return lti_for_records(l, add_record, s);
}

// ---- writing

static bool put_document_digest(json_t *receipt)
{
    char digest[LTI_HEX];
    json_object_del(receipt, "document");
    char *text = lti_canonical(receipt, 0);
    lti_hash h;
    if (!text)
        return false;
    lti_hash_init(&h);
    lti_hash_add(&h, text, strlen(text));
    lti_hash_hex(&h, digest);
    lti_free(text);
    return lti_put_text(receipt, "document", digest);
}

static lt_status write_receipt(const json_t *receipt, lt_receipt_format format, char **text)
{
    char *body = lti_canonical(receipt, INDENT);
    *text = body ? lti_asprintf("%s\n", body) : NULL;
    lti_free(body);
    if (*text && format == LT_RECEIPT_HTML) {
        char *page = lti_receipt_html(receipt, *text);
        lti_free(*text);
        *text = page;
    }
    return *text ? LT_OK : LTI_NOMEM("receipt");
}

static lt_status make_receipt(lt_ledger *l, const lt_receipt_spec *spec, json_t *receipt)
{
    char id[LTI_HEX];
    selection s = {.ledger = l, .spec = spec, .records = json_array(), .links = json_array()};
    lt_status status = lti_ledger_id(l, id);
    if (status == LT_OK)
        status = select_records(&s);
    if (status == LT_OK &&
        !(lti_put_text(receipt, "format", "lethe-receipt-1") && lti_put_text(receipt, "ledger", id) &&
          lti_put(receipt, "about", s.about ? json_integer(s.about) : json_null()) &&
          json_object_set(receipt, "records", s.records) == 0 && json_object_set(receipt, "links", s.links) == 0 &&
          lti_put(receipt, "signature", s.signature_body ? json_incref(s.signature_body) : json_null()) &&
          put_document_digest(receipt)))
        status = LTI_NOMEM("receipt");
    json_decref(s.records);
    json_decref(s.links);
    json_decref(s.signature_body);
    return status;
}

lt_status lt_ledger_export(lt_ledger *ledger, const lt_receipt_spec *spec, char **text)
{
    json_t *receipt = json_object();
    *text = NULL;
    if (spec->format == LT_RECEIPT_HTML && !spec->id && !spec->request) {
        json_decref(receipt);
        LT_FAIL(LT_E_USAGE, "a page is about one record: expected its number or a request, found neither");
        return lt_error_hint("`lethe ledger list` shows the records; JSON takes the whole ledger");
    }
    lt_status status = receipt ? lti_read_begin(ledger) : LTI_NOMEM("receipt");
    if (status == LT_OK)
        status = make_receipt(ledger, spec, receipt);
    lti_read_end(ledger);
    if (status == LT_OK)
        status = write_receipt(receipt, spec->format, text);
    json_decref(receipt);
    return status;
}

// ---- checking

typedef struct checking {
    const char *label;
    const json_t *receipt, *signature;
    char prev[LTI_HEX], signed_digest[LTI_HEX];
    int64_t first, last, of;
} checking;

static lt_status changed(const checking *c, const char *what)
{
    return LT_FAIL(LT_E_INTEGRITY, "%s: %s: the text was changed", c->label, what);
}

// The item of the list with this id; NULL when there is none.
static const json_t *find_id(const json_t *list, int64_t id)
{
    size_t low = 0, high = json_array_size(list);
    while (low < high) {
        const size_t middle = (low + high) / 2;
        const int64_t at = json_integer_value(json_object_get(json_array_get(list, middle), "id"));
        if (at == id)
            return json_array_get(list, middle);
        if (at < id)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static lt_status check_full(checking *c, const json_t *item, int64_t id)
{
    if (!json_is_object(json_object_get(item, "body")) || !json_is_object(json_object_get(item, "fields")))
        return LT_FAIL(LT_E_INTEGRITY, "%s: record %lld: the text was changed: it has no body or no digests", c->label,
                       (long long)id);
    char *body = lti_canonical(json_object_get(item, "body"), 0),
         *parts = lti_canonical(json_object_get(item, "fields"), 0);
    lti_record r = {.id = id,
                    .prev = (char *)(uintptr_t)lti_json_text_at(item, "prev"),
                    .digest = (char *)(uintptr_t)lti_json_text_at(item, "digest"),
                    .body = body,
                    .parts = parts};
    lt_status status = body && parts ? lti_record_check(&r, id, c->prev, c->label) : LTI_NOMEM(c->label);
    if (status == LT_OK)
        lti_format(c->prev, sizeof c->prev, "%s", r.digest);
    lti_free(body);
    lti_free(parts);
    return status;
}

static lt_status check_chain(checking *c)
{
    const json_t *records = json_object_get(c->receipt, "records"), *links = json_object_get(c->receipt, "links");
    const size_t n = json_array_size(records);
    if (n == 0)
        return changed(c, "field records");
    c->first = json_integer_value(json_object_get(json_array_get(records, 0), "id"));
    c->last = json_integer_value(json_object_get(json_array_get(records, n - 1), "id"));
    lti_format(c->prev, sizeof c->prev, "%.64s",
               c->first == 1 ? LTI_FIRST_PREV : lti_json_text_at(json_array_get(records, 0), "prev"));
    const int64_t end = c->of > c->last ? c->of : c->last;
    if (c->first < 1 || end - c->first >= (int64_t)(n + json_array_size(links)))
        return LT_FAIL(LT_E_INTEGRITY, "%s: a record between %lld and %lld is missing", c->label, (long long)c->first,
                       (long long)end);
    for (int64_t id = c->first; id <= end; id++) {
        const json_t *full = find_id(records, id), *link = find_id(links, id);
        if (full) {
            LT_TRY(check_full(c, full, id));
        } else if (link) {
            char digest[LTI_HEX];
            lti_chain_digest(id, c->prev, lti_json_text_at(link, "content"), digest);
            lti_format(c->prev, sizeof c->prev, "%s", digest);
        } else {
            return LT_FAIL(LT_E_INTEGRITY, "%s: record %lld is missing", c->label, (long long)id);
        }
        if (id == 1 && strcmp(c->prev, lti_json_text_at(c->receipt, "ledger")) != 0)
            return changed(c, "field ledger");
        if (id == c->of)
            lti_format(c->signed_digest, sizeof c->signed_digest, "%s", c->prev);
    }
    return LT_OK;
}

static lt_status check_document(const checking *c)
{
    json_t *copy = json_copy((json_t *)(uintptr_t)c->receipt);
    char found[LTI_HEX];
    lti_format(found, sizeof found, "%s", lti_json_text_at(c->receipt, "document"));
    if (!copy || !put_document_digest(copy)) {
        json_decref(copy);
        return LTI_NOMEM("receipt");
    }
    const bool same = !strcmp(found, lti_json_text_at(copy, "document"));
    json_decref(copy);
    return same ? LT_OK : changed(c, "field document (the digest of the whole)");
}

static lt_status check_text(const checking *c, lt_receipt_format format, const char *text, size_t n)
{
    char *again;
    LT_TRY(write_receipt(c->receipt, format, &again));
    size_t i = 0, line = 1;
    while (i < n && again[i] && again[i] == text[i])
        line += text[i++] == '\n';
    const bool same = i == n && !again[i];
    lti_free(again);
    return same ? LT_OK
                : LT_FAIL(LT_E_INTEGRITY,
                          "%s: line %zu: the text was changed: it is not what lethe writes for these "
                          "records",
                          c->label, line);
}

static lt_status check_signature(const checking *c, const char *public_key, bool *is_trusted)
{
    enum { LABEL_MAX = 512 };
    unsigned char trusted[LTI_KEY_BYTES];
    char label[LABEL_MAX];
    *is_trusted = false;
    if (public_key)
        LT_TRY(lti_read_public_key(public_key, trusted));
    if (!json_is_object(c->signature))
        return public_key ? LT_FAIL(LT_E_INTEGRITY, "%s: expected a signature, found none", c->label) : LT_OK;
    lti_format(label, sizeof label, "%.400s: signature", c->label);
    LT_TRY(lti_signature_check(c->signature, lti_json_text_at(c->receipt, "ledger"), c->signed_digest,
                               public_key ? trusted : NULL, label, is_trusted));
    if (public_key && !*is_trusted)
        return LT_FAIL(LT_E_INTEGRITY, "%s: expected a signature with the key in %s, found one with %s", c->label,
                       public_key, lti_json_text_at(c->signature, "fingerprint"));
    return LT_OK;
}

static json_t *list_open_points(const checking *c, bool is_trusted)
{
    json_t *list = json_array();
    const bool is_signed = json_is_object(c->signature);
    if (!is_signed)
        json_array_append_new(list, json_string("who made it: it is not signed"));
    else if (!is_trusted)
        json_array_append_new(list, json_string("who made it: the key was not compared with one that you trust "
                                                "(--public-key FILE)"));
    if (is_signed && c->of < c->last)
        json_array_append_new(
            list, json_sprintf("records %lld to %lld are not signed", (long long)c->of + 1, (long long)c->last));
    json_array_append_new(list, json_string("whether the files and models are what the records say: only the ledger "
                                            "and the runs show that"));
    return list;
}

static lt_status write_checked(const checking *c, lt_receipt_format format, bool is_trusted, char **json)
{
    json_t *r = json_object(), *ids = json_array(), *item;
    size_t i;
    json_array_foreach(json_object_get(c->receipt, "records"), i, item)
        json_array_append(ids, json_object_get(item, "id"));
    const bool is_signed = json_is_object(c->signature);
    const bool ok = lti_put_text(r, "ledger", lti_json_text_at(c->receipt, "ledger")) &&
                    lti_put_text(r, "format", format == LT_RECEIPT_HTML ? "html" : "json") &&
                    lti_put(r, "n_records", json_integer((json_int_t)json_array_size(ids))) &&
                    json_object_set(r, "records", ids) == 0 &&
                    lti_put_text(r, "signed_by", is_signed ? lti_json_text_at(c->signature, "fingerprint") : NULL) &&
                    lti_put(r, "signed_up_to", json_integer(c->of)) &&
                    lti_put(r, "trusted", json_boolean(is_trusted)) &&
                    lti_put(r, "not_checked", list_open_points(c, is_trusted));
    char *text = ok ? lti_canonical(r, INDENT) : NULL;
    *json = text ? lti_asprintf("%s\n", text) : NULL;
    lti_free(text);
    json_decref(ids);
    json_decref(r);
    return *json ? LT_OK : LTI_NOMEM("receipt");
}

lt_status lt_receipt_verify(const char *text, size_t n, const char *label, const char *public_key, char **json)
{
    json_t *receipt = NULL;
    bool is_trusted;
    *json = NULL;
    const char *at = memmem(text, n, embedded_begin, sizeof embedded_begin - 1), *end = NULL;
    const lt_receipt_format format = n > 0 && text[0] == '<' ? LT_RECEIPT_HTML : LT_RECEIPT_JSON;
    if (format == LT_RECEIPT_HTML) {
        at = at ? at + sizeof embedded_begin - 1 : NULL;
        end = at ? memmem(at, n - (size_t)(at - text), embedded_end, sizeof embedded_end - 1) : NULL;
        if (!end)
            return LT_FAIL(LT_E_FORMAT, "%s: expected a receipt of lethe, found another page", label);
    }
    LT_TRY(lti_parse_json(end ? at : text, end ? (size_t)(end - at) : n, label, &receipt));
    checking c = {.label = label, .receipt = receipt, .signature = json_object_get(receipt, "signature")};
    lt_status status = LT_OK;
    if (!json_is_object(receipt) || strcmp(lti_json_text_at(receipt, "format"), "lethe-receipt-1") != 0)
        status =
            LT_FAIL(LT_E_FORMAT, "%s: expected a receipt of lethe (format lethe-receipt-1), found other JSON", label);
    c.of = json_integer_value(json_object_get(c.signature, "of"));
    if (status == LT_OK)
        status = check_chain(&c);
    if (status == LT_OK)
        status = check_signature(&c, public_key, &is_trusted);
    if (status == LT_OK)
        status = check_document(&c);
    if (status == LT_OK)
        status = check_text(&c, format, text, n);
    if (status == LT_OK)
        status = write_checked(&c, format, is_trusted, json);
    json_decref(receipt);
    return status;
}
