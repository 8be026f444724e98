// eigen.c - symmetric eigenvalue problem: reflections to tridiagonal form, then implicit QL with Wilkinson shifts.
//
// A = Q T Q', T = S D S'. Reflections are kept in the rows of A they have cleared; Q' is accumulated backwards, so that
// rows below the current reflection are all that change; rotations act on pairs of rows of Q', which are contiguous.
// [Golub and Van Loan, Matrix Computations, 8.3]
#include "base/eigen.h"
#include "base/base.h"
#include <math.h>
#include <string.h>

static double dot(const double *x, const double *y, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += x[i] * y[i];
    return sum;
}

// y += alpha x
static void add_scaled(double *y, double alpha, const double *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] += alpha * x[i];
}

// x (n) becomes v with (I - beta v v') x = (alpha, 0, ...). Returns beta, 0 when there is nothing to reflect.
static double make_reflection(double *x, int64_t n, double *alpha)
{
    double scale = 0;
    for (int64_t i = 0; i < n; i++)
        scale = fmax(scale, fabs(x[i]));
    *alpha = n > 0 ? x[0] : 0;
    if (scale == 0 || n < 2)
        return 0;
    double norm2 = 0;
    for (int64_t i = 0; i < n; i++)
        norm2 += (x[i] / scale) * (x[i] / scale);
    const double norm = scale * sqrt(norm2);
    *alpha = x[0] > 0 ? -norm : norm;
    x[0] -= *alpha;
    const double v2 = dot(x, x, n);
    return v2 > 0 ? 2 / v2 : 0;
}

// d (n) the diagonal, e (n) the one below it in e[0..n-2], beta (n) of the reflections, p (n) scratch.
static void make_tridiagonal(double *a, int64_t n, double *d, double *e, double *beta, double *p)
{
    for (int64_t k = 0; k < n; k++) {
        double *v = a + k * n + k + 1; // row k to the right of the diagonal
        const int64_t m = n - k - 1;
        d[k] = a[k * n + k];
        beta[k] = make_reflection(v, m, &e[k]);
        if (beta[k] == 0)
            continue;
        for (int64_t i = 0; i < m; i++)
            p[i] = beta[k] * dot(a + (k + 1 + i) * n + k + 1, v, m);
        add_scaled(p, -0.5 * beta[k] * dot(p, v, m), v, m);
        for (int64_t i = 0; i < m; i++) {
            double *row = a + (k + 1 + i) * n + k + 1;
            for (int64_t j = 0; j < m; j++)
                row[j] -= v[i] * p[j] + p[i] * v[j];
        }
    }
}

// q (n,n) = the transposed product of the reflections kept in a.
static void accumulate(const double *a, int64_t n, const double *beta, double *q)
{
    memset(q, 0, (size_t)(n * n) * sizeof *q);
    for (int64_t i = 0; i < n; i++)
        q[i * n + i] = 1;
    for (int64_t k = n - 2; k >= 0; k--) {
        const double *v = a + k * n + k + 1;
        const int64_t m = n - k - 1;
        for (int64_t r = k + 1; r < n && beta[k] != 0; r++) {
            double *row = q + r * n + k + 1;
            add_scaled(row, -beta[k] * dot(row, v, m), v, m);
        }
    }
}

static void rotate_rows(double *upper, double *lower, double c, double s, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        const double u = upper[i], l = lower[i];
        upper[i] = c * u - s * l;
        lower[i] = s * u + c * l;
    }
}

// One implicit QL sweep on rows l..m of the tridiagonal matrix.
static void sweep(double *d, double *e, double *q, int64_t n, int64_t l, int64_t m)
{
    double g = (d[l + 1] - d[l]) / (2 * e[l]), r = hypot(g, 1);
    g = d[m] - d[l] + e[l] / (g + copysign(r, g));
    double s = 1, c = 1, p = 0;
    for (int64_t i = m - 1; i >= l; i--) {
        const double f = s * e[i], b = c * e[i];
        r = hypot(f, g);
        e[i + 1] = r;
        if (r == 0) { // the matrix has come apart here
            d[i + 1] -= p;
            e[m] = 0;
            return;
        }
        s = f / r;
        c = g / r;
        g = d[i + 1] - p;
        r = (d[i] - g) * s + 2 * c * b;
        p = s * r;
        d[i + 1] = g + p;
        g = c * r - b;
        rotate_rows(q + i * n, q + (i + 1) * n, c, s, n);
    }
    d[l] -= p;
    e[l] = g;
    e[m] = 0;
}

static lt_status diagonalise(double *d, double *e, double *q, int64_t n)
{
    enum { MAX_SWEEPS = 60 };
    const double tiny = 2.3e-16;
    double norm = 0;
    for (int64_t i = 0; i < n; i++)
        norm = fmax(norm, fabs(d[i]) + fabs(e[i]));
    // What is below the rounding of the reflections counts as zero. Without that, eigenvalues that are zero but for
    // rounding, such as those of a Gram matrix of few rows, would be told from one another for ever.
    const double nothing = tiny * norm;
    for (int64_t l = 0; l < n; l++) {
        for (int n_sweeps = 0;; n_sweeps++) {
            int64_t m = l;
            while (m < n - 1 && fabs(e[m]) > fmax(nothing, tiny * (fabs(d[m]) + fabs(d[m + 1]))))
                m++;
            if (m == l)
                break;
            if (n_sweeps == MAX_SWEEPS)
                return LT_FAIL(LT_E_FAIL, "eigenvalues of a %lldx%lld matrix: no convergence", (long long)n,
                               (long long)n);
            sweep(d, e, q, n, l, m);
        }
    }
    return LT_OK;
}

// Largest first: w from d, rows of a from rows of q. order (n) scratch.
static void sort_into(const double *d, const double *q, int64_t n, int64_t *order, double *w, double *a)
{
    for (int64_t i = 0; i < n; i++) {
        int64_t at = i;
        for (; at > 0 && d[order[at - 1]] < d[i]; at--)
            order[at] = order[at - 1];
        order[at] = i;
    }
    for (int64_t i = 0; i < n; i++) {
        w[i] = d[order[i]];
        memcpy(a + i * n, q + order[i] * n, (size_t)n * sizeof *a);
    }
}

lt_status lti_eigen_symmetric(double *a, int64_t n, double *w)
{
    size_t square = 0;
    for (int64_t i = 0; i < n * n; i++)
        if (!isfinite(a[i]))
            return LT_FAIL(LT_E_FAIL, "eigenvalues: the matrix holds %g at row %lld, column %lld", a[i],
                           (long long)(i / n), (long long)(i % n));
    if (lti_mul_size((size_t)n, (size_t)n, &square))
        return LTI_NOMEM("eigenvectors");
    double *q = lti_calloc(square, sizeof *q), *work = lti_calloc((size_t)n * 4, sizeof *work);
    int64_t *order = lti_calloc((size_t)n, sizeof *order);
    lt_status status = q && work && order ? LT_OK : LTI_NOMEM("eigenvectors");
    if (status == LT_OK) {
        double *d = work, *e = d + n, *beta = e + n, *p = beta + n;
        make_tridiagonal(a, n, d, e, beta, p);
        accumulate(a, n, beta, q);
        status = diagonalise(d, e, q, n);
        if (status == LT_OK)
            sort_into(d, q, n, order, w, a);
    }
    lti_free(q);
    lti_free(work);
    lti_free(order);
    return status;
}
