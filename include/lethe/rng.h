// rng.h - counter-based randomness: every number is a pure function of (seed, stream, step, index, draw).
//
// Philox-4x32-10 (Salmon et al., SC 2011; Random123 headers). No hidden state, so the result of a run does not depend
// on how many threads draw, nor on whether it was interrupted. `stream` separates uses, `step` is the epoch or
// iteration, `index` the sample. All functions are thread-safe.
#ifndef LT_RNG_H
#define LT_RNG_H
#include "lethe/common.h"
LT_BEGIN

// Stream numbers are part of the reproducibility contract: never renumber, only append.
typedef enum lt_stream {
    LT_STREAM_INIT = 1,         // parameter initialisation; index = tensor number
    LT_STREAM_SHUFFLE = 2,      // order of an epoch; step = epoch
    LT_STREAM_AUGMENT = 3,      // crop and flip; step = epoch, index = sample
    LT_STREAM_FORGET = 4,       // draw of a random forget set
    LT_STREAM_SUBSET = 5,       // class-balanced subsets
    LT_STREAM_LABEL = 6,        // random labels; step = epoch, index = sample
    LT_STREAM_SYNTHETIC = 7,    // the procedural data set
    LT_STREAM_AUDIT = 8,        // sub-sampling inside audits
    LT_STREAM_ATTACK = 9,       // attacks with random parts
    LT_STREAM_MASK = 10,        // membership masks of reference models
    LT_STREAM_UNLEARN = 11,     // noise and sampling of unlearning methods
    LT_STREAM_ROBUST = 12,      // attacks inside adversarial training; step = step, index = row
    LT_STREAM_STUDY = 13,       // random points of a study; step = digest of method and option, index = point
    LT_STREAM_FAULT = 20,       // stuck cells; step = chip, index = tensor << 40 | weight
    LT_STREAM_VARIABILITY = 21, // spread of cells; likewise
    LT_STREAM_QUANT = 22,       // random parts of quantizers; step = step, index = weight
    LT_STREAM_SPECTRA = 30,     // start vectors of singular vector iterations; step = tensor, index = vector
    LT_STREAM_DROPOUT = 33,     // masks of dropout; step = run, index = element of the batch
    LT_STREAM_SPIKES = 31,      // rate coding; index = digest of the sample, step = step of time
    LT_STREAM_EVENTS = 32,      // procedural events and their augmentation; index = sample
    LT_STREAM_TEST = 1000,
} lt_stream;

// A reader over the infinite sequence at (seed, stream, step, index). By value; copying forks it.
typedef struct lt_rng {
    uint32_t key[2], counter[4], buffer[4];
    int n_left;
} lt_rng;

LT_API lt_rng lt_rng_at(uint64_t seed, uint32_t stream, uint32_t step, uint64_t index); // starts at this place
LT_API uint32_t lt_rng_u32(lt_rng *rng);                                                // the next 32 bits
LT_API uint64_t lt_rng_below(lt_rng *rng, uint64_t n); // uniform on 0..n-1, unbiased; n > 0
LT_API float lt_rng_uniform(lt_rng *rng);              // [0, 1), 24 bits
LT_API double lt_rng_normal(lt_rng *rng);              // N(0,1), Box-Muller

// perm[0..n-1] becomes a uniform permutation of 0..n-1 (Fisher-Yates).
LT_API void lt_rng_permutation(uint64_t seed, uint32_t stream, uint32_t step, int64_t n, int64_t *perm);

LT_END_DECLS
#endif
