// svd.c - class forgetting by projection: take out of every layer's inputs what the forget class uses and the others do
// not. [Kodge et al. 2024] docs/methods/svd.md
#include "unlearn/subspace.h"
#include "base/eigen.h"

struct cfg {
    double alpha_r, alpha_f;
    int64_t samples, patches;
    bool sequential;
};

static const lt_option opts[] = {
    LT_F64(struct cfg, alpha_r, 100, 1, 1e12, "", "scale of the retained space: larger protects more directions"),
    LT_F64(struct cfg, alpha_f, 3, 1, 1e12, "", "scale of the forgotten space: larger takes out more"),
    LT_I64(struct cfg, samples, 900, 1, 1000000000, "images", "images of each set, at most, drawn by the seed"),
    LT_I64(struct cfg, patches, 10000, 1, 1000000000, "patches", "patches of a convolution per set, about"),
    LT_BOOL(struct cfg, sequential, 0, "inputs of a layer are taken after the layers before it have changed"),
    LT_OPT_END,
};

// c (d,d) becomes U diag(a rho / ((a - 1) rho + 1)) U'. [SVD 1]
static lt_status scale_space(double *c, int64_t d, double alpha)
{
    double *u = lti_calloc((size_t)d * (size_t)d + (size_t)d, sizeof *u), sum = 0;
    if (!u)
        return LTI_NOMEM("subspace");
    double *w = u + d * d;
    for (int64_t i = 0; i < d * d; i++) {
        u[i] = c[i];
        c[i] = 0;
    }
    const lt_status status = lti_eigen_symmetric(u, d, w);
    for (int64_t e = 0; status == LT_OK && e < d; e++)
        sum += w[e] > 0 ? w[e] : 0;
    for (int64_t e = 0; status == LT_OK && e < d && sum > 0; e++) {
        const double rho = (w[e] > 0 ? w[e] : 0) / sum, scale = alpha * rho / ((alpha - 1) * rho + 1);
        for (int64_t i = 0; i < d && scale > 1e-12; i++)
            for (int64_t j = 0; j < d; j++)
                c[i * d + j] += scale * u[e * d + i] * u[e * d + j];
    }
    lti_free(u);
    return status;
}

lt_status lti_svd_projector(lti_moments_pair *m, double alpha_r, double alpha_f, double *pt)
{
    const int64_t d = m->d;
    LT_TRY(scale_space(m->forget, d, alpha_f));
    LT_TRY(scale_space(m->retain, d, alpha_r));
    for (int64_t i = 0; i < d; i++) { // P' = P_f - P_r P_f, both symmetric [SVD 2]
        for (int64_t j = 0; j < d; j++)
            pt[i * d + j] = m->forget[i * d + j];
        for (int64_t k = 0; k < d; k++) {
            const double r = m->retain[i * d + k];
            for (int64_t j = 0; j < d; j++)
                pt[i * d + j] -= r * m->forget[k * d + j];
        }
    }
    return LT_OK;
}

static lt_status projector(lti_moments_pair *moments, const void *cfg, double *pt)
{
    const struct cfg *c = cfg;
    return lti_svd_projector(moments, c->alpha_r, c->alpha_f, pt);
}

static lt_status run(const lt_unlearn_in *in, const void *cfg, lt_unlearn_plan_ctx *ctx)
{
    const struct cfg *c = cfg;
    return lti_subspace_run(in,
                            &(lti_subspace_cfg){.samples = c->samples,
                                                .patches = c->patches,
                                                .sequential = c->sequential,
                                                .use_retain = true,
                                                .projector = projector,
                                                .cfg = c},
                            ctx);
}

const lt_unlearn_method lti_unlearn_svd = {
    .name = "svd",
    .title = "SVD class forgetting",
    .label = "SVD",
    .cite = "kodge2024",
    .doc = "Projects the weights of every layer away from the directions of its inputs that forgotten images use and "
           "retained ones do not. No gradients, no training. Defaults of the authors' code for CIFAR-10; deviation: "
           "patches "
           "of a convolution are drawn at random positions instead of a random crop of the map.",
    .needs = LT_NEED_RETAIN | LT_CLOSED_FORM,
    .cfg_size = sizeof(struct cfg),
    .opts = opts,
    .run = run,
};
