// similarity.c - how similar classes are, by the rows of the last layer. [TRW 2]
//
// The principal directions of K rows in d dimensions come from the (K,K) Gram matrix G of the centred rows: with
// G = U diag(lambda) U', the projected rows are U_k sqrt(lambda_k).
#include "unlearn/class_targets.h"
#include "base/eigen.h"
#include <math.h>
#include <string.h>

const lt_opt_value lti_similarity_values[] = {
    {"cos", LTI_SIM_COSINE, "cosine of the weight rows"},
    {"pca", LTI_SIM_PCA, "cosine of the centred rows in their first principal directions"},
    {"softmax", LTI_SIM_SOFTMAX, "softmax of the cosines over the classes that stay"},
    {"pca-softmax", LTI_SIM_PCA_SOFTMAX, "softmax of the cosines in the principal directions"},
    {NULL, 0, NULL},
};

// g (K,K) = inner products of the rows of w (K,d), centred when `centre`.
static lt_status make_gram(const float *w, int32_t k, int64_t d, bool centre, double *g)
{
    double *row = lti_calloc((size_t)k * (size_t)d, sizeof *row); // (K,d)
    if (!row)
        return LTI_NOMEM("weights of the last layer");
    for (int64_t j = 0; j < d; j++) {
        double mean = 0;
        for (int32_t i = 0; i < k; i++)
            mean += (double)w[i * d + j] / k;
        for (int32_t i = 0; i < k; i++)
            row[i * d + j] = (double)w[i * d + j] - (centre ? mean : 0);
    }
    for (int32_t a = 0; a < k; a++)
        for (int32_t b = 0; b <= a; b++) {
            double sum = 0;
            for (int64_t j = 0; j < d; j++)
                sum += row[a * d + j] * row[b * d + j];
            g[a * k + b] = g[b * k + a] = sum;
        }
    lti_free(row);
    return LT_OK;
}

// g becomes the Gram matrix of the rows projected on their first n_dims principal directions.
static lt_status project(double *g, int32_t k, int32_t n_dims)
{
    double *u = lti_calloc((size_t)k * (size_t)k + (size_t)k, sizeof *u); // (K,K) rows are eigenvectors, then values
    if (!u)
        return LTI_NOMEM("principal directions");
    double *lambda = u + (size_t)k * (size_t)k;
    memcpy(u, g, (size_t)k * (size_t)k * sizeof *u);
    const lt_status status = lti_eigen_symmetric(u, k, lambda);
    memset(g, 0, (size_t)k * (size_t)k * sizeof *g);
    for (int32_t e = 0; status == LT_OK && e < n_dims && e < k; e++)
        for (int32_t a = 0; a < k; a++)
            for (int32_t b = 0; b < k; b++)
                g[a * k + b] += fmax(lambda[e], 0) * u[e * k + a] * u[e * k + b];
    lti_free(u);
    return status;
}

static void softmax_row(double *row, int32_t k, const uint8_t *gone, double temperature)
{
    double most = -INFINITY, sum = 0;
    for (int32_t i = 0; i < k; i++)
        most = gone[i] ? most : fmax(most, row[i]);
    for (int32_t i = 0; i < k; i++) {
        row[i] = gone[i] ? 0 : exp((row[i] - most) / temperature);
        sum += row[i];
    }
    for (int32_t i = 0; i < k; i++)
        row[i] /= sum;
}

lt_status lti_class_similarity(const float *w, int32_t k, int64_t d, lti_similarity_cfg cfg, const uint8_t *gone,
                               double *s)
{
    const bool pca = cfg.kind == LTI_SIM_PCA || cfg.kind == LTI_SIM_PCA_SOFTMAX;
    LT_TRY(make_gram(w, k, d, pca, s));
    if (pca)
        LT_TRY(project(s, k, cfg.pca_dims));
    for (int32_t i = 0; i < k; i++)
        if (!(s[i * k + i] > 0))
            return LT_FAIL(LT_E_USAGE,
                           "similarity of classes: expected a weight row of some length for class %d, found %g", i,
                           s[i * k + i]);
    for (int32_t a = 0; a < k; a++)
        for (int32_t b = 0; b < k; b++)
            if (a != b)
                s[a * k + b] /= sqrt(s[a * k + a] * s[b * k + b]);
    for (int32_t a = 0; a < k; a++)
        s[a * k + a] = 1;
    for (int32_t a = 0; a < k && cfg.kind >= LTI_SIM_SOFTMAX; a++)
        softmax_row(s + (size_t)a * (size_t)k, k, gone, cfg.temperature);
    return LT_OK;
}
