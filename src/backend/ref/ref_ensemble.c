// ref_ensemble.c - reference kernels: losses over several models, channels joined.
#include "ref_impl.h"
#include <math.h>
#include <string.h>

enum { MAX_MEMBERS = LT_NODE_MAX_IN };
static const double ridge = 1e-6; // of ADP's Gram matrix

// Solves what ADP needs of G + ridge I (m,m): its inverse by Gauss-Jordan without pivoting (it is positive definite),
// and the logarithm of its determinant.
static double invert(double *a, double *inverse, int m)
{
    double log_det = 0;
    for (int i = 0; i < m * m; i++)
        inverse[i] = i / m == i % m;
    for (int p = 0; p < m; p++) {
        const double pivot = a[p * m + p];
        log_det += log(pivot);
        for (int j = 0; j < m; j++) {
            a[p * m + j] /= pivot;
            inverse[p * m + j] /= pivot;
        }
        for (int i = 0; i < m; i++) {
            const double by = a[i * m + p];
            if (i == p)
                continue;
            for (int j = 0; j < m; j++) {
                a[i * m + j] -= by * a[p * m + j];
                inverse[i * m + j] -= by * inverse[p * m + j];
            }
        }
    }
    return log_det;
}

#define REAL float
#define FN(name) name##_f32
#include "ref_ensemble.inc"
#undef REAL
#undef FN
#define REAL double
#define FN(name) name##_f64
#include "ref_ensemble.inc"

// Probabilities of all members, in double.
static size_t adp_scratch(const lti_ref_call *c)
{
    return (size_t)(2 * MAX_MEMBERS * c->arg[c->n_in - 1].shape.dim[1]) * sizeof(double);
}

#define ROW(name, scratch)                                                                                             \
    {                                                                                                                  \
        &lt_op_##name, name##_f32, name##_f64, scratch                                                                 \
    }
const lti_ref_row lti_ref_ensemble[] = {
    ROW(log_softmax, NULL),
    ROW(log_softmax_dx, NULL),
    ROW(log_add_exp, NULL),
    ROW(log_add_exp_da, NULL),
    ROW(abs, NULL),
    ROW(abs_dx, NULL),
    ROW(row_cos, NULL),
    ROW(row_cos_da, NULL),
    ROW(adp, adp_scratch),
    ROW(adp_dz, adp_scratch),
    ROW(concat, NULL),
    ROW(channel_slice, NULL),
    {0},
};
