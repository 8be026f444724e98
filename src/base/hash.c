// hash.c - BLAKE2b-256 through libsodium. The state is held by value so that hashing never allocates.
#include "base/base.h"
#include <sodium.h>

_Static_assert(sizeof(crypto_generichash_state) <= sizeof(((lti_hash *)0)->state), "lti_hash.state is too small");

static crypto_generichash_state *state_of(lti_hash *h)
{
    return (crypto_generichash_state *)(void *)h->state;
}

// sodium_init picks the fast implementation; it is idempotent and thread-safe.
void lti_hash_init(lti_hash *h)
{
    if (sodium_init() < 0)
        LT_BUG("libsodium does not start");
    crypto_generichash_init(state_of(h), NULL, 0, LTI_HASH_BYTES);
}

void lti_hash_add(lti_hash *h, const void *bytes, size_t n)
{
    crypto_generichash_update(state_of(h), bytes, n);
}

void lti_hash_hex(lti_hash *h, char out[65])
{
    unsigned char digest[LTI_HASH_BYTES];
    crypto_generichash_final(state_of(h), digest, sizeof digest);
    sodium_bin2hex(out, 65, digest, sizeof digest);
}
