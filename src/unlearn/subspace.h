// subspace.h - closed-form forgetting, layer by layer: W <- W (I - P)', P from the inputs that forgotten and retained
// samples give a layer.
#ifndef LT_SUBSPACE_H
#define LT_SUBSPACE_H
#include "unlearn/layers.h"
#include "unlearn/recipe.h"

typedef struct lti_moments_pair { // second moments of a layer's inputs, (d,d), mean over vectors x of x x'
    int64_t d;
    double *forget, *retain;
} lti_moments_pair;
typedef struct lti_subspace_cfg {
    int64_t samples; // of the forget set, and of the retain set, at most
    int64_t patches; // vectors of a convolution per set, at most
    bool sequential; // moments of a layer are taken after the layers before it have changed
    bool use_retain; // retain moments are needed
    int32_t layers;  // only the last so many are changed; 0 = all
    // pt (d,d) becomes P', so that W <- W - W P'. May use the moments as scratch.
    lt_status (*projector)(lti_moments_pair *moments, const void *cfg, double *pt);
    const void *cfg;
} lti_subspace_cfg;
// Changes in->model: every convolution and linear layer, from input to output. Counts its passes in ctx.
lt_status lti_subspace_run(const lt_unlearn_in *in, const lti_subspace_cfg *cfg, lt_unlearn_plan_ctx *ctx);

// Of single layers, for the golden test. x (n,d): c += x'x / n.
void lti_add_second_moment(const float *x, int64_t n, int64_t d, double scale, double *c);
// P = P_f - P_f P_r of the moments, P_o = U diag(a rho / ((a-1) rho + 1)) U', rho = eigenvalues / their sum. [SVD 1, 2]
lt_status lti_svd_projector(lti_moments_pair *moments, double alpha_r, double alpha_f, double *pt);
// P = U U' of the leading eigenvectors that hold `energy` of the forget moments. [MUpHT 1]
lt_status lti_mupht_projector(lti_moments_pair *moments, double energy, double *pt);
// The generalised directions of C_ff against C_rr: transcribed or oblique. [MUpHT 2-5]
typedef struct lti_mupht_dagger {
    double energy, ridge;
    double ratio; // of vectors: moments are means, the quotient of the method is that of sums
    bool oblique;
} lti_mupht_dagger;
lt_status lti_mupht_dagger_projector(lti_moments_pair *moments, const lti_mupht_dagger *cfg, double *pt);
// w (n_out,d) -= w pt
lt_status lti_project_rows(float *w, int64_t n_out, int64_t d, const double *pt);
#endif
