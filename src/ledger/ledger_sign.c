// ledger_sign.c - Ed25519 signatures of the state of a ledger, as records of it.
#include "ledger/ledger_impl.h"
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

enum { MESSAGE_MAX = 256, SIGNATURE_HEX = 2 * crypto_sign_BYTES + 1 };

// What is signed: text, so that any tool can make it.
static int signed_text(char out[MESSAGE_MAX], const char *ledger, int64_t id, const char *digest, const char *time)
{
    return lti_format(out, MESSAGE_MAX, "lethe-signature-1\n%.64s\n%lld\n%.64s\n%.32s\n", ledger, (long long)id, digest,
                      time);
}

static lt_status make_body(const unsigned char seed[LTI_KEY_BYTES], const char *ledger, const lt_ledger_entry *head,
                           lt_ledger_signature *out, char **body)
{
    unsigned char key[LTI_KEY_BYTES], secret[crypto_sign_SECRETKEYBYTES], signature[crypto_sign_BYTES];
    char text[MESSAGE_MAX], utc[LTI_UTC], hex[SIGNATURE_HEX];
    const int n = signed_text(text, ledger, head->id, head->digest, lti_ledger_utc(utc));
    crypto_sign_seed_keypair(key, secret, seed);
    crypto_sign_detached(signature, NULL, (const unsigned char *)text, (unsigned long long)n, secret);
    sodium_memzero(secret, sizeof secret);
    sodium_bin2hex(hex, sizeof hex, signature, sizeof signature);
    lti_key_fingerprint(key, sizeof key, "lethe-public-key-1\n", out->fingerprint);
    char *pem = lti_public_pem(key);
    json_t *b = json_object();
    const bool ok = pem && lti_put_text(b, "kind", "signature") && lti_put_text(b, "time", utc) &&
                    lti_put(b, "of", json_integer(head->id)) && lti_put_text(b, "of_digest", head->digest) &&
                    lti_put_text(b, "public_key", pem) && lti_put_text(b, "fingerprint", out->fingerprint) &&
                    lti_put_text(b, "signature", hex);
    *body = ok ? lti_canonical(b, 0) : NULL;
    json_decref(b);
    lti_free(pem);
    return *body ? LT_OK : LTI_NOMEM("signature");
}

lt_status lt_ledger_sign(lt_ledger *ledger, const char *key_file, lt_ledger_signature *signature)
{
    unsigned char seed[LTI_KEY_BYTES];
    char id[LTI_HEX], *body = NULL, *checked = NULL;
    lt_ledger_entry head;
    lt_status status;
    *signature = (lt_ledger_signature){0};
    LT_TRY(lti_read_signing_key(key_file, seed));
    LT_TRY_GOTO(lt_ledger_verify(ledger, &(lt_ledger_verify_spec){0}, &checked), done);
    LT_TRY_GOTO(lti_ledger_id(ledger, id), done);
    LT_TRY_GOTO(lt_ledger_head(ledger, &head), done);
    LT_TRY_GOTO(make_body(seed, id, &head, signature, &body), done);
    LT_TRY_GOTO(lt_ledger_append(ledger, body, &signature->entry), done);
    signature->covers = head.id;
    lti_format(signature->covers_digest, sizeof signature->covers_digest, "%s", head.digest);
done:
    sodium_memzero(seed, sizeof seed);
    free(checked);
    lti_free(body);
    return status;
}

lt_status lti_signature_check(const json_t *body, const char *ledger, const char *digest, const unsigned char *trusted,
                              const char *label, bool *is_trusted)
{
    unsigned char key[LTI_KEY_BYTES], signature[crypto_sign_BYTES];
    char text[MESSAGE_MAX], fingerprint[LT_FINGERPRINT_HEX];
    size_t n_bytes = 0;
    const char *hex = lti_json_text_at(body, "signature");
    const int64_t of = json_integer_value(json_object_get(body, "of"));
    if (strcmp(lti_json_text_at(body, "of_digest"), digest) != 0)
        return LT_FAIL(LT_E_INTEGRITY, "%s, field of_digest: it is not the digest of record %lld", label,
                       (long long)of);
    if (lti_parse_public_pem(label, lti_json_text_at(body, "public_key"), key) != LT_OK)
        return lt_error_get()->status == LT_E_NOMEM
                   ? LT_E_NOMEM
                   : LT_FAIL(LT_E_INTEGRITY, "%s, field public_key: it is no Ed25519 key", label);
    lti_key_fingerprint(key, sizeof key, "lethe-public-key-1\n", fingerprint);
    if (strcmp(fingerprint, lti_json_text_at(body, "fingerprint")) != 0)
        return LT_FAIL(LT_E_INTEGRITY, "%s, field fingerprint: it is not that of the public key", label);
    const int n = signed_text(text, ledger, of, digest, lti_json_text_at(body, "time"));
    if (sodium_hex2bin(signature, sizeof signature, hex, strlen(hex), NULL, &n_bytes, NULL) != 0 ||
        n_bytes != sizeof signature ||
        crypto_sign_verify_detached(signature, (const unsigned char *)text, (unsigned long long)n, key) != 0)
        return LT_FAIL(LT_E_INTEGRITY, "%s, field signature: it was not made with the public key of the record", label);
    *is_trusted = trusted && memcmp(key, trusted, sizeof key) == 0;
    return LT_OK;
}
