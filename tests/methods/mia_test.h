// mia_test.h - generated signals and reference models for tests of membership attacks and verdicts.
#ifndef LT_MIA_TEST_H
#define LT_MIA_TEST_H
#include "lt_test.h"
#include <math.h>
#include <stdlib.h>
#include "base/base.h"
#include "lethe/tensorfile.h"
#include "audit/mia_impl.h"

#define assert_near(a, b, tol) assert_true(fabs((a) - (b)) <= (tol))

enum { WORLD_K = 3 };
// Samples of three groups. Every model adds noise of its own to what all models think of a sample; being trained on a
// sample adds `boost` to its true logit.
typedef struct world {
    int64_t n, n_group[3];
    double boost, noise;
    int64_t *label, *id;
    int8_t *group;
} world;

static inline void world_init(world *w, int64_t n_retain, int64_t n_forget, int64_t n_test, double boost, double noise)
{
    *w = (world){
        .n = n_retain + n_forget + n_test, .n_group = {n_retain, n_forget, n_test}, .boost = boost, .noise = noise};
    w->label = calloc((size_t)w->n, sizeof *w->label);
    w->id = calloc((size_t)w->n, sizeof *w->id);
    w->group = calloc((size_t)w->n, 1);
    for (int64_t i = 0; i < w->n; i++) {
        lt_rng rng = lt_rng_at(21, LT_STREAM_TEST, 0, (uint64_t)i);
        w->label[i] = (int64_t)lt_rng_below(&rng, WORLD_K);
        w->id[i] = i;
        w->group[i] = i < n_retain ? LT_GROUP_RETAIN : i < n_retain + n_forget ? LT_GROUP_FORGET : LT_GROUP_TEST;
    }
}

static inline void world_clear(world *w)
{
    free(w->label);
    free(w->id);
    free(w->group);
}

// Logits of model number `model` on sample i.
static inline void world_logits(const world *w, uint32_t model, int64_t i, bool member, float z[WORLD_K])
{
    lt_rng ease = lt_rng_at(22, LT_STREAM_TEST, 0, (uint64_t)i),
           own = lt_rng_at(23, LT_STREAM_TEST, model, (uint64_t)i);
    double gain = 1.5 + 1.2 * lt_rng_normal(&ease) + w->noise * lt_rng_normal(&own) + (member ? w->boost : 0.0);
    for (int j = 0; j < WORLD_K; j++)
        z[j] = (float)(0.3 * lt_rng_normal(&own) + (j == w->label[i] ? gain : 0.0));
}

// A model trained on the retain group, and on the forget group when `leaky`. Labels, ids and groups are the world's.
static inline lt_signals world_model(const world *w, uint32_t model, bool leaky)
{
    lt_signals s = {.n = w->n, .k = WORLD_K, .label = w->label, .id = w->id, .group = w->group};
    s.logits = malloc((size_t)(w->n * WORLD_K) * sizeof *s.logits);
    for (int64_t i = 0; i < w->n; i++) {
        bool member = w->group[i] == LT_GROUP_RETAIN || (leaky && w->group[i] == LT_GROUP_FORGET);
        world_logits(w, model, i, member, s.logits + i * WORLD_K);
    }
    return s;
}

// m models with numbers from 1000 on, every sample IN for every second one (shifted by the sample).
static inline lt_references world_references(const world *w, int64_t m)
{
    float *logits = malloc((size_t)(m * w->n * WORLD_K) * sizeof *logits);
    uint8_t *member = malloc((size_t)(m * w->n));
    for (int64_t r = 0; r < m; r++)
        for (int64_t i = 0; i < w->n; i++) {
            member[r * w->n + i] = (uint8_t)((r + i) % 2);
            world_logits(w, 1000 + (uint32_t)r, i, (r + i) % 2, logits + (r * w->n + i) * WORLD_K);
        }
    return (lt_references){.m = m, .n = w->n, .k = WORLD_K, .logits = logits, .member = member};
}

static inline void world_references_clear(lt_references *refs)
{
    free((void *)(uintptr_t)refs->logits);
    free((void *)(uintptr_t)refs->member);
}

// Default options of an attack; caller frees.
static inline void *default_cfg(const lt_mia *mia)
{
    void *cfg = calloc(1, mia->cfg_size + 1);
    lt_options_defaults(mia->opts, cfg);
    return cfg;
}
#endif
