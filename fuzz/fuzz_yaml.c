// fuzz_yaml.c - arbitrary bytes as a configuration file. An accepted one must survive being written and read again.
#include "base/base.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static const lt_opt_value modes[] = {{"fast", 0, ""}, {"slow-er", 1, ""}, {NULL, 0, NULL}};
typedef struct cfg {
    float lr;
    double decay;
    int32_t epochs, mode;
    int64_t batch;
    uint64_t seed;
    bool nesterov;
    const char *data;
} cfg;
static const lt_option rows[] = {
    LT_F32(cfg, lr, 0.1, 0, 10, "", ""),
    LT_F64(cfg, decay, 0, -1e308, 1e308, "", ""),
    LT_I32(cfg, epochs, 3, 1, 100, "", ""),
    LT_ENUM(cfg, mode, 0, modes, ""),
    LT_I64(cfg, batch, 1, -9e18, 9e18, "", ""),
    LT_U64(cfg, seed, 1, ""),
    LT_BOOL(cfg, nesterov, false, ""),
    LT_STR(cfg, data, NULL, ""),
    LT_OPT_END,
};

static lt_optset *make(cfg *train, cfg *attack)
{
    lt_optset *set;
    if (lt_optset_create(&set) != LT_OK || lt_optset_add(set, "", rows, train, 0) != LT_OK ||
        lt_optset_add(set, "attack.pgd", rows, attack, 0) != LT_OK)
        abort();
    return set;
}

static bool is_ascii(const char *s)
{
    for (; s && *s; s++)
        if ((unsigned char)*s >= 0x7f) // other bytes may be replaced on the way
            return false;
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    cfg train, attack, train2, attack2;
    lt_optset *set = make(&train, &attack), *again = make(&train2, &attack2);
    if (lti_optset_load_yaml_text(set, (const char *)bytes, n, "fuzz") == LT_OK) {
        char first[65], second[65];
        char *text = lti_optset_yaml(set), *json = lt_optset_json(set);
        if (!text || !json || lti_optset_load_yaml_text(again, text, strlen(text), "again") != LT_OK)
            abort();
        lt_optset_digest(set, first);
        lt_optset_digest(again, second);
        if (is_ascii(train.data) && is_ascii(attack.data) && strcmp(first, second) != 0)
            abort();
        free(text);
        free(json);
    } else if (!lt_error_get()->message[0]) {
        abort();
    }
    lt_optset_destroy(set);
    lt_optset_destroy(again);
    return 0;
}
