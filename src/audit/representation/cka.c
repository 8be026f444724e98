// cka.c - linear CKA, plain and debiased, without a kernel matrix. [Kornblith et al. 2019, eq. 3; Song et al. 2012,
// theorem 1; Nguyen, Raghu, Kornblith 2021, eq. 3]
//
// With centred columns the kernel matrix K = X X' has rows that sum to 0. Without its diagonal k, as the unbiased
// estimator wants it, its rows sum to -k, so that with A = tr(K L) = |X'Y|_F^2 and c = sum k_i l_i
//     n (n - 3) HSIC_1 = A - c + (sum k)(sum l) / ((n - 1)(n - 2)) - 2 c / (n - 2).
// HSIC_1 does not change when the columns are shifted, so centring, done against cancellation, is free.
#include "audit/representation/representation_impl.h"
#include <math.h>

typedef struct side {
    int64_t p;
    double *rows;    // (n,p) centred
    double *columns; // (p,n)
    double *norm;    // (n) squared lengths of the rows: the diagonal of K
} side;

static void side_clear(side *s)
{
    lti_free(s->rows);
    lti_free(s->columns);
    lti_free(s->norm);
}

static lt_status side_init(const double *x, int64_t p, int64_t n, side *s)
{
    size_t count = 0;
    *s = (side){.p = p};
    if (lti_mul_size((size_t)n, (size_t)p, &count))
        return LTI_NOMEM("CKA");
    s->rows = lti_calloc(count, sizeof(double));
    s->columns = lti_calloc(count, sizeof(double));
    s->norm = lti_calloc((size_t)n, sizeof(double));
    if (!s->rows || !s->columns || !s->norm)
        return LTI_NOMEM("CKA");
    for (int64_t c = 0; c < p; c++) {
        double mean = 0;
        for (int64_t i = 0; i < n; i++)
            mean += x[i * p + c] / (double)n;
        for (int64_t i = 0; i < n; i++)
            s->rows[i * p + c] = s->columns[c * n + i] = x[i * p + c] - mean;
    }
    for (int64_t i = 0; i < n; i++)
        s->norm[i] = lti_dot(s->rows + i * p, s->rows + i * p, p);
    return LT_OK;
}

// |X'Y|_F^2 = sum over pairs of samples of <x_i, x_j> <y_i, y_j>: whichever is less work.
static double cross(const side *x, const side *y, int64_t n)
{
    double sum = 0;
    if (x->p * y->p <= n * (x->p + y->p) / 2) {
        for (int64_t a = 0; a < x->p; a++)
            for (int64_t b = 0; b < y->p; b++) {
                const double d = lti_dot(x->columns + a * n, y->columns + b * n, n);
                sum += d * d;
            }
        return sum;
    }
    for (int64_t i = 0; i < n; i++) {
        sum += x->norm[i] * y->norm[i];
        for (int64_t j = 0; j < i; j++)
            sum += 2 * lti_dot(x->rows + i * x->p, x->rows + j * x->p, x->p) *
                   lti_dot(y->rows + i * y->p, y->rows + j * y->p, y->p);
    }
    return sum;
}

static double hsic(const side *x, const side *y, int64_t n, lt_cka_kind kind)
{
    const double a = cross(x, y, n), m = (double)n;
    double sx = 0, sy = 0;
    if (kind == LT_CKA_PLAIN)
        return a;
    const double c = lti_dot(x->norm, y->norm, n);
    for (int64_t i = 0; i < n; i++) {
        sx += x->norm[i];
        sy += y->norm[i];
    }
    return a - c + sx * sy / ((m - 1) * (m - 2)) - 2 * c / (m - 2);
}

lt_status lt_cka_linear(const double *x, int64_t p, const double *y, int64_t q, int64_t n, lt_cka_kind kind,
                        double *cka)
{
    const int64_t least = kind == LT_CKA_PLAIN ? 2 : 4;
    if (n < least || p < 1 || q < 1)
        return LT_FAIL(LT_E_USAGE, "CKA: %lld samples of %lld and %lld features, expected at least %lld, 1 and 1",
                       (long long)n, (long long)p, (long long)q, (long long)least);
    side a = {0}, b = {0};
    lt_status status = LT_OK;
    LT_TRY_GOTO(side_init(x, p, n, &a), done);
    LT_TRY_GOTO(side_init(y, q, n, &b), done);
    const double xx = hsic(&a, &a, n, kind), yy = hsic(&b, &b, n, kind);
    *cka = xx > 0 && yy > 0 ? hsic(&a, &b, n, kind) / (sqrt(xx) * sqrt(yy)) : (double)NAN;
done:
    side_clear(&a);
    side_clear(&b);
    return status;
}
