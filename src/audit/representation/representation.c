// representation.c - the options of a representation audit, and the samples it uses.
#include "audit/audit_impl.h"
#include "audit/representation/representation_impl.h"
#include <stdlib.h>

const lt_option lt_representation_options[] = {
    LT_I64(
        lt_representation_cfg, representation_samples, 5000, 10, 1000000000, "samples",
        "at most so many forget, test and retain samples in probes, CKA and the test curve, drawn once for all models"),
    LT_F64(lt_representation_cfg, probe_l2, 1e-3, 1e-9, 1e3, "",
           "ridge of the probes, per sample and standardised feature"),
    LT_F64(lt_representation_cfg, probe_tol, 1e-5, 1e-10, 1, "", "largest component of a probe's gradient at its end"),
    LT_I32(lt_representation_cfg, probe_folds, 5, 2, 100, "folds", "folds of the membership probe"),
    LT_I32(lt_representation_cfg, relearn_steps, 60, 1, 1000000, "steps", "steps of relearning the forget set"),
    LT_I32(lt_representation_cfg, relearn_every, 10, 1, 1000000, "steps",
           "steps between two points of the relearning curve"),
    LT_I64(lt_representation_cfg, relearn_batch, 128, 1, 65536, "images", "batch size of relearning"),
    LT_F32(lt_representation_cfg, relearn_lr, 0.001, 1e-9, 1000, "", "learning rate of relearning"),
    LT_BOOL(lt_representation_cfg, relearn_reinit, 0,
            "re-initialise the last layer's rows of the forgotten classes before relearning: a masked class comes "
            "back, which "
            "plain relearning does not show"),
    LT_OPT_END,
};

static int ascending(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

lt_status lt_representation_draw(const lt_index_set *from, lt_group group, int64_t max, uint64_t seed,
                                 lt_index_set *drawn)
{
    const int64_t n = from->n < max ? from->n : max;
    int64_t *perm = lti_calloc((size_t)from->n, sizeof *perm);
    *drawn = (lt_index_set){.n = n, .row = lti_calloc((size_t)n, sizeof *drawn->row)};
    if (!perm || !drawn->row) {
        lti_free(perm);
        lt_index_set_clear(drawn);
        return LTI_NOMEM("samples of the depth audit");
    }
    lt_rng_permutation(seed, LT_STREAM_AUDIT, LTI_DRAW_DEPTH + (uint32_t)group, from->n, perm);
    for (int64_t i = 0; i < n; i++)
        drawn->row[i] = from->row[perm[i]];
    qsort(drawn->row, (size_t)n, sizeof *drawn->row, ascending);
    lti_free(perm);
    return LT_OK;
}
