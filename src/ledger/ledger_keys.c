// ledger_keys.c - key files: 32 bytes for sample digests, and an Ed25519 pair in the PEM forms that OpenSSL uses.
//
// Secret keys are written with mode 0600, read only when no other user may read the file, never printed, and wiped from
// memory after use.
#include "ledger/ledger_impl.h"
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_MAX = 4096, HEADER_MAX = 16, B64_MAX = 128 };
static const char sample_head[] = "lethe-sample-key-1\n";
// The DER of a key of 32 bytes is a fixed head and the key (RFC 8410).
static const unsigned char secret_der[] = {0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06,
                                           0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20};
static const unsigned char public_der[] = {0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00};

void lti_key_fingerprint(const unsigned char *bytes, size_t n, const char *what, char out[LT_FINGERPRINT_HEX])
{
    char hex[LTI_HEX];
    lti_hash h;
    lti_hash_init(&h);
    lti_hash_add(&h, what, strlen(what));
    lti_hash_add(&h, bytes, n);
    lti_hash_hex(&h, hex);
    lti_format(out, LT_FINGERPRINT_HEX, "%.32s", hex);
}

// A new file that only its owner can read, complete or absent.
static lt_status write_new(const char *path, const char *text, mode_t mode)
{
    char *slash, *dir = lti_strdup(path);
    if (!dir)
        return LTI_NOMEM(path);
    lt_status status = LT_OK;
    if ((slash = strrchr(dir, '/')) && slash != dir) {
        *slash = '\0';
        status = lt_make_dirs(dir);
    }
    lti_free(dir);
    LT_TRY(status);
    // Written next to it and linked to its name: link() refuses a name that is taken, unlike rename().
    char *temporary = lti_asprintf("%s.new-%ld", path, (long)getpid());
    if (!temporary)
        return LTI_NOMEM(path);
    unlink(temporary);
    const int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    const size_t n = strlen(text);
    if (fd >= 0)
        errno = ENOSPC; // of a write that stores less than it was given
    if (fd < 0 || write(fd, text, n) != (ssize_t)n || fsync(fd) != 0)
        status = lti_errno_fail("write", path);
    else if (link(temporary, path) != 0)
        status = errno == EEXIST ? LT_FAIL(LT_E_USAGE, "%s: expected no file, found one", path)
                                 : lti_errno_fail("write", path);
    if (fd >= 0)
        close(fd);
    unlink(temporary);
    lti_free(temporary);
    return status;
}

static lt_status read_secret(const char *path, char **text)
{
    struct stat st;
    size_t n;
    *text = NULL;
    if (stat(path, &st) != 0) {
        lti_errno_fail("read", path);
        return LT_E_INPUT;
    }
    if (st.st_mode & (S_IRWXG | S_IRWXO)) {
        LT_FAIL(LT_E_INPUT, "%s: expected a key that only its owner can read, found mode %03o", path,
                (unsigned)(st.st_mode & 0777));
        lt_error_hint("chmod 600 %s", path);
        return LT_E_INPUT; // and not what comes back through a call
    }
    return lt_read_file(path, FILE_MAX, text, &n);
}

// ---- the key of sample digests

static lt_status parse_sample_key(const char *path, const char *text, unsigned char key[LTI_KEY_BYTES])
{
    size_t n = 0;
    const char *end = NULL;
    const size_t head = sizeof sample_head - 1;
    if (strncmp(text, sample_head, head) == 0 &&
        sodium_hex2bin(key, LTI_KEY_BYTES, text + head, strlen(text + head), NULL, &n, &end) == 0 &&
        n == LTI_KEY_BYTES && !strcmp(end, "\n"))
        return LT_OK;
    return LT_FAIL(LT_E_FORMAT, "%s: expected a key of sample digests, found something else", path);
}

static lt_status make_sample_key(const char *path)
{
    unsigned char key[LTI_KEY_BYTES];
    char hex[2 * LTI_KEY_BYTES + 1];
    randombytes_buf(key, sizeof key);
    sodium_bin2hex(hex, sizeof hex, key, sizeof key);
    char *text = lti_asprintf("%s%s\n", sample_head, hex);
    lt_status status = text ? write_new(path, text, S_IRUSR | S_IWUSR) : LTI_NOMEM(path);
    if (status == LT_E_USAGE) { // another process has just made it
        lt_error_clear();
        status = LT_OK;
    }
    if (text)
        sodium_memzero(text, strlen(text));
    sodium_memzero(key, sizeof key);
    sodium_memzero(hex, sizeof hex);
    lti_free(text);
    return status;
}

lt_status lti_sample_key(const char *path, bool create, unsigned char key[LTI_KEY_BYTES])
{
    char *text;
    if (sodium_init() < 0)
        LT_BUG("libsodium does not start");
    if (create && !lti_is_file(path))
        LT_TRY(make_sample_key(path));
    LT_TRY(read_secret(path, &text));
    lt_status status = parse_sample_key(path, text, key);
    sodium_memzero(text, strlen(text));
    lti_free(text);
    return status;
}

// ---- Ed25519

static char *pem(const char *what, const unsigned char *head, size_t n_head, const unsigned char key[LTI_KEY_BYTES])
{
    unsigned char der[HEADER_MAX + LTI_KEY_BYTES];
    char b64[B64_MAX];
    memcpy(der, head, n_head);
    memcpy(der + n_head, key, LTI_KEY_BYTES);
    sodium_bin2base64(b64, sizeof b64, der, n_head + LTI_KEY_BYTES, sodium_base64_VARIANT_ORIGINAL);
    char *text = lti_asprintf("-----BEGIN %s-----\n%s\n-----END %s-----\n", what, b64, what);
    sodium_memzero(der, sizeof der);
    sodium_memzero(b64, sizeof b64);
    return text;
}

static lt_status parse_pem(const char *path, const char *text, const char *what, const unsigned char *head,
                           size_t n_head, unsigned char key[LTI_KEY_BYTES])
{
    unsigned char der[HEADER_MAX + LTI_KEY_BYTES + 1];
    char begin[64];
    size_t n = 0;
    lti_format(begin, sizeof begin, "-----BEGIN %s-----\n", what);
    const char *at = strstr(text, begin), *end = at ? strstr(at + strlen(begin), "-----END ") : NULL;
    const bool sound = end &&
                       sodium_base642bin(der, sizeof der, at + strlen(begin), (size_t)(end - at) - strlen(begin),
                                         "\r\n ", &n, NULL, sodium_base64_VARIANT_ORIGINAL) == 0 &&
                       n == n_head + LTI_KEY_BYTES && !memcmp(der, head, n_head);
    if (sound)
        memcpy(key, der + n_head, LTI_KEY_BYTES);
    sodium_memzero(der, sizeof der);
    if (sound)
        return LT_OK;
    LT_FAIL(LT_E_FORMAT, "%s: expected an Ed25519 key (PEM, %s), found something else", path, what);
    return lt_error_hint("`lethe ledger keygen` makes one");
}

lt_status lti_read_signing_key(const char *path, unsigned char seed[LTI_KEY_BYTES])
{
    char *text;
    if (sodium_init() < 0)
        LT_BUG("libsodium does not start");
    if (!lti_is_file(path)) {
        LT_FAIL(LT_E_INPUT, "%s: expected a signing key, found no file", path);
        return lt_error_hint("`lethe ledger keygen` makes one");
    }
    LT_TRY(read_secret(path, &text));
    lt_status status = parse_pem(path, text, "PRIVATE KEY", secret_der, sizeof secret_der, seed);
    sodium_memzero(text, strlen(text));
    lti_free(text);
    return status;
}

lt_status lti_parse_public_pem(const char *label, const char *text, unsigned char key[LTI_KEY_BYTES])
{
    return parse_pem(label, text, "PUBLIC KEY", public_der, sizeof public_der, key);
}

lt_status lti_read_public_key(const char *path, unsigned char key[LTI_KEY_BYTES])
{
    char *text;
    size_t n;
    if (sodium_init() < 0)
        LT_BUG("libsodium does not start");
    LT_TRY(lt_read_file(path, FILE_MAX, &text, &n));
    lt_status status = lti_parse_public_pem(path, text, key);
    lti_free(text);
    return status;
}

char *lti_public_pem(const unsigned char key[LTI_KEY_BYTES])
{
    return pem("PUBLIC KEY", public_der, sizeof public_der, key);
}

lt_status lt_ledger_keygen(const char *path, char fingerprint[LT_FINGERPRINT_HEX])
{
    unsigned char seed[LTI_KEY_BYTES], secret[crypto_sign_SECRETKEYBYTES], key[LTI_KEY_BYTES];
    if (sodium_init() < 0)
        LT_BUG("libsodium does not start");
    randombytes_buf(seed, sizeof seed);
    crypto_sign_seed_keypair(key, secret, seed);
    char *secret_text = pem("PRIVATE KEY", secret_der, sizeof secret_der, seed), *public_text = lti_public_pem(key);
    char *public_path = lti_asprintf("%s.pub", path);
    lt_status status = secret_text && public_text && public_path ? LT_OK : LTI_NOMEM(path);
    if (status == LT_OK && lti_is_file(public_path))
        status = LT_FAIL(LT_E_USAGE, "%s: expected no file, found one", public_path);
    if (status == LT_OK)
        status = write_new(path, secret_text, S_IRUSR | S_IWUSR);
    if (status == LT_OK) {
        status = write_new(public_path, public_text, 0666);
        if (status != LT_OK) // half a pair serves nobody, and would be in the way of the next try
            unlink(path);
    }
    if (status == LT_E_USAGE)
        lt_error_hint("keys are never replaced: move it away, or name another file with --key");
    lti_key_fingerprint(key, sizeof key, "lethe-public-key-1\n", fingerprint);
    if (secret_text)
        sodium_memzero(secret_text, strlen(secret_text));
    sodium_memzero(seed, sizeof seed);
    sodium_memzero(secret, sizeof secret);
    lti_free(secret_text);
    lti_free(public_text);
    lti_free(public_path);
    return status;
}
