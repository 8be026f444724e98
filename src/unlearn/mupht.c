// mupht.c - forgetting by projection on the leading directions of the forget inputs alone. docs/methods/svd.md
#include "unlearn/subspace.h"
#include "base/eigen.h"

struct cfg {
    double energy;
    int64_t samples, patches;
    int32_t layers;
    bool sequential;
};

static const lt_option opts[] = {
    LT_F64(struct cfg, energy, 0.9, 1e-9, 1, "",
           "share of the forget inputs' energy that the projected directions hold (a reconstruction: the paper's rule "
           "for their number is not public)"),
    LT_I64(struct cfg, samples, 900, 1, 1000000000, "images", "forget images, at most, drawn by the seed"),
    LT_I64(struct cfg, patches, 10000, 1, 1000000000, "patches", "patches of a convolution, about"),
    LT_I32(struct cfg, layers, 1, 0, 100000, "layers", "how many are changed, counted from the outputs; 0 = all"),
    LT_BOOL(struct cfg, sequential, 0, "inputs of a layer are taken after the layers before it have changed"),
    LT_OPT_END,
};

lt_status lti_mupht_projector(lti_moments_pair *m, double energy, double *pt)
{
    const int64_t d = m->d;
    double *w = lti_calloc((size_t)d, sizeof *w), sum = 0, held = 0;
    if (!w)
        return LTI_NOMEM("subspace");
    const lt_status status = lti_eigen_symmetric(m->forget, d, w);
    for (int64_t e = 0; status == LT_OK && e < d; e++)
        sum += w[e] > 0 ? w[e] : 0;
    for (int64_t i = 0; i < d * d; i++)
        pt[i] = 0;
    for (int64_t e = 0; status == LT_OK && e < d && w[e] > 0 && held < energy * sum; e++) {
        held += w[e];
        for (int64_t i = 0; i < d; i++)
            for (int64_t j = 0; j < d; j++)
                pt[i * d + j] += m->forget[e * d + i] * m->forget[e * d + j];
    }
    lti_free(w);
    return status;
}

static lt_status projector(lti_moments_pair *moments, const void *cfg, double *pt)
{
    const struct cfg *c = cfg;
    return lti_mupht_projector(moments, c->energy, pt);
}

static lt_status run(const lt_unlearn_in *in, const void *cfg, lt_unlearn_plan_ctx *ctx)
{
    const struct cfg *c = cfg;
    return lti_subspace_run(in,
                            &(lti_subspace_cfg){.samples = c->samples,
                                                .patches = c->patches,
                                                .sequential = c->sequential,
                                                .layers = c->layers,
                                                .projector = projector,
                                                .cfg = c},
                            ctx);
}

const lt_unlearn_method lti_unlearn_mupht = {
    .name = "mupht",
    .title = "MUpHT, projection of the forget inputs",
    .label = "MUpHT",
    .cite = "mupht",
    .doc = "Projects the weights of the last layer, or of every layer, on the complement of the leading directions of "
           "its inputs on forgotten "
           "images; retained data is not used. How many directions the paper takes is not public: energy is a "
           "reconstruction. It takes out what classes share as well, so retained accuracy may suffer.",
    .needs = LT_FORGET_ONLY | LT_CLOSED_FORM,
    .cfg_size = sizeof(struct cfg),
    .opts = opts,
    .run = run,
};
