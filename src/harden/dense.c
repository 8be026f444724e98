// dense.c - small dense linear algebra in double: eigenvalues by Jacobi, orthonormal rows by Gram-Schmidt.
#include "harden_impl.h"
#include <math.h>
#include <string.h>

double lti_dot_f32(const float *a, const float *b, int64_t n)
{
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; i++)
        sum += (double)a[i] * (double)b[i];
    return sum;
}

// One rotation that makes a[p][q] zero; vector collects the rotations.
static void rotate_pair(double *a, double *vector, int n, int p, int q)
{
    const double apq = a[p * n + q];
    if (apq == 0)
        return;
    const double theta = (a[q * n + q] - a[p * n + p]) / (2 * apq);
    const double t = (theta >= 0 ? 1 : -1) / (fabs(theta) + sqrt(theta * theta + 1));
    const double c = 1 / sqrt(t * t + 1), s = t * c;
    for (int k = 0; k < n; k++) {
        const double x = a[k * n + p], y = a[k * n + q];
        a[k * n + p] = c * x - s * y;
        a[k * n + q] = s * x + c * y;
    }
    for (int k = 0; k < n; k++) {
        const double x = a[p * n + k], y = a[q * n + k];
        a[p * n + k] = c * x - s * y;
        a[q * n + k] = s * x + c * y;
        const double u = vector[p * n + k], v = vector[q * n + k];
        vector[p * n + k] = c * u - s * v;
        vector[q * n + k] = s * u + c * v;
    }
}

void lti_symmetric_eigen(double *a, int n, double *value, double *vector)
{
    for (int i = 0; i < n * n; i++)
        vector[i] = i / n == i % n;
    for (int sweep = 0; sweep < 60; sweep++) {
        double off = 0, all = 0;
        for (int i = 0; i < n; i++)
            for (int j = 0; j < n; j++) {
                all += a[i * n + j] * a[i * n + j];
                off += i == j ? 0 : a[i * n + j] * a[i * n + j];
            }
        if (off <= 1e-30 * all)
            break;
        for (int p = 0; p < n; p++)
            for (int q = p + 1; q < n; q++)
                rotate_pair(a, vector, n, p, q);
    }
    for (int i = 0; i < n; i++)
        value[i] = a[i * n + i];
    for (int i = 0; i < n; i++) { // selection sort, descending
        int best = i;
        for (int j = i + 1; j < n; j++)
            best = value[j] > value[best] ? j : best;
        const double x = value[i];
        value[i] = value[best];
        value[best] = x;
        for (int k = 0; k < n && best != i; k++) {
            const double y = vector[i * n + k];
            vector[i * n + k] = vector[best * n + k];
            vector[best * n + k] = y;
        }
    }
}

static void scale_row(float *v, int64_t n, double by)
{
    for (int64_t i = 0; i < n; i++)
        v[i] = (float)((double)v[i] * by);
}

// Row i loses what it shares with the rows before it, twice: once leaves rounding of the size of what was lost.
static double project_out(float *v, int i, int64_t n)
{
    float *row = v + i * n;
    for (int pass = 0; pass < 2; pass++)
        for (int j = 0; j < i; j++) {
            const float d = (float)lti_dot_f32(row, v + j * n, n), *other = v + j * n;
            for (int64_t e = 0; e < n; e++)
                row[e] -= d * other[e];
        }
    return sqrt(lti_dot_f32(row, row, n));
}

void lti_orthonormalize(float *v, int k, int64_t n, uint32_t draw)
{
    for (int i = 0; i < k; i++) {
        float *row = v + i * n;
        const double before = sqrt(lti_dot_f32(row, row, n));
        if (before > 0)
            scale_row(row, n, 1 / before);
        double left = project_out(v, i, n);
        // Nothing of its own is left: any direction outside the others will do [SPECTRA 2].
        for (uint64_t again = 0; !(left > 1e-5) && again < 8; again++) {
            lt_rng rng = lt_rng_at(again, LT_STREAM_SPECTRA, draw, (uint64_t)i + 1);
            for (int64_t e = 0; e < n; e++)
                row[e] = (float)lt_rng_normal(&rng);
            scale_row(row, n, 1 / sqrt(lti_dot_f32(row, row, n)));
            left = project_out(v, i, n);
        }
        scale_row(row, n, left > 0 ? 1 / left : 0);
    }
}
