// fuzz_references.c - a references file from anywhere: either refused with a message, or every attack ends with scores
// or a message.
#include "lethe/audit.h"
#include <math.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_SAMPLES = 64, MAX_CLASSES = 16, MAX_MODELS = 32 };

// Against a target whose ids the file may have in any order.
static void match(const uint8_t *data, size_t size, const lt_signals *s)
{
    lt_references *refs;
    if (lt_references_parse(data, size, "fuzz", s, &refs) == LT_OK) {
        for (int64_t i = 0; i < refs->m * refs->n * refs->k; i++)
            if (!isfinite(refs->logits[i]))
                abort();
        lt_references_destroy(refs);
    } else if (!lt_error_get()->message[0]) {
        abort();
    }
}

static void attack(const uint8_t *data, size_t size, const lt_references *refs)
{
    float logits[MAX_SAMPLES * MAX_CLASSES];
    int64_t label[MAX_SAMPLES], id[MAX_SAMPLES];
    int8_t group[MAX_SAMPLES];
    double score[MAX_SAMPLES];
    _Alignas(16) char cfg[256];
    for (int64_t i = 0; i < refs->n; i++) {
        label[i] = i % refs->k, id[i] = i, group[i] = (int8_t)(i % 3);
        for (int64_t j = 0; j < refs->k; j++)
            logits[i * refs->k + j] = (float)((i * 7 + j * 3) % 11) - 5.0f;
    }
    lt_signals s = {.n = refs->n, .k = refs->k, .logits = logits, .label = label, .id = id, .group = group};
    match(data, size, &s);
    const lt_mia_in in = {.target = &s, .refs = refs, .seed = 1, .n_threads = 1};
    for (const lt_mia *const *m = lt_mia_list(); *m; m++) {
        if ((*m)->cfg_size > sizeof cfg)
            abort();
        lt_options_defaults((*m)->opts, cfg);
        if (lt_mia_run(*m, &in, cfg, score) != LT_OK) {
            if (!lt_error_get()->message[0])
                abort();
            continue;
        }
        for (int64_t i = 0; i < s.n; i++)
            if (isnan(score[i]) && !(((*m)->needs & LT_MIA_RETAIN_OPTIONAL) && group[i] == LT_GROUP_RETAIN))
                abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lt_references *refs;
    if (lt_references_parse(data, size, "fuzz", NULL, &refs) != LT_OK) {
        if (!lt_error_get()->message[0])
            abort();
        return 0;
    }
    for (int64_t i = 0; i < refs->m * refs->n; i++)
        if (refs->member[i] > LT_MEMBER_UNLEARNED)
            abort();
    for (int64_t i = 0; i < refs->m * refs->n * refs->k; i++)
        if (!isfinite(refs->logits[i]))
            abort();
    if (refs->m <= MAX_MODELS && refs->n <= MAX_SAMPLES && refs->k <= MAX_CLASSES)
        attack(data, size, refs);
    lt_references_destroy(refs);
    return 0;
}
