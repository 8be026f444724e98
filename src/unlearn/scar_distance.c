// scar_distance.c - distances of features to the distribution of a class. [SCAR 1, 2]
#include "unlearn/scar.h"
#include "base/base.h"
#include "base/eigen.h"
#include <math.h>
#include <string.h>

static void shrink(double *c, int64_t d, double gamma1, double gamma2)
{
    double diagonal = 0, other = 0;
    for (int64_t i = 0; i < d; i++)
        for (int64_t j = 0; j < d; j++)
            *(i == j ? &diagonal : &other) += c[i * d + j];
    diagonal /= (double)d;
    other /= d > 1 ? (double)d * (double)(d - 1) : 1;
    for (int64_t i = 0; i < d; i++)
        for (int64_t j = 0; j < d; j++)
            c[i * d + j] += i == j ? gamma1 * diagonal : gamma2 * other;
}

lt_status lti_scar_inverse(double *c, int64_t d, double gamma1, double gamma2)
{
    double *memory = lti_calloc((size_t)(d * d) + (size_t)d, sizeof *memory);
    if (!memory)
        return LTI_NOMEM("covariance of a class");
    double *v = memory, *w = memory + d * d; // eigenvectors in rows, eigenvalues
    shrink(c, d, gamma1, gamma2);
    shrink(c, d, gamma1, gamma2);
    for (int64_t i = 0; i < d; i++)
        w[i] = sqrt(c[i * d + i] > 0 ? c[i * d + i] : 1);
    for (int64_t i = 0; i < d; i++)
        for (int64_t j = 0; j < d; j++)
            v[i * d + j] = c[i * d + j] / (w[i] * w[j]);
    const lt_status status = lti_eigen_symmetric(v, d, w);
    const double least = 1e-12 * fabs(w[0]);
    memset(c, 0, (size_t)(d * d) * sizeof *c);
    for (int64_t e = 0; status == LT_OK && e < d; e++) // pseudo-inverse
        for (int64_t i = 0; fabs(w[e]) > least && i < d; i++)
            for (int64_t j = 0; j < d; j++)
                c[i * d + j] += v[e * d + i] * v[e * d + j] / w[e];
    lti_free(memory);
    return status;
}

double lti_scar_distance(const float *h, const double *mean, const double *inverse, int64_t d, double delta,
                         double *scratch, double *gradient)
{
    const double least = 1e-6;
    double *u = scratch, *s = scratch + d, square = 0, distance = 0, along = 0;
    for (int64_t i = 0; i < d; i++) {
        u[i] = pow(fmax((double)h[i], least), delta);
        square += u[i] * u[i];
    }
    const double norm = sqrt(square);
    for (int64_t i = 0; i < d; i++) {
        u[i] /= norm;
        s[i] = 0;
    }
    for (int64_t i = 0; i < d; i++)
        for (int64_t j = 0; j < d; j++)
            s[i] += inverse[i * d + j] * (u[j] - mean[j]);
    for (int64_t i = 0; i < d; i++) {
        distance += (u[i] - mean[i]) * s[i];
        along += u[i] * s[i];
    }
    for (int64_t i = 0; gradient && i < d; i++) { // d u_i / d h_j through the length of h^delta
        const double x = (double)h[i];
        gradient[i] = x > least ? 2 * (s[i] - along * u[i]) / norm * delta * pow(x, delta - 1) : 0;
    }
    return distance;
}
