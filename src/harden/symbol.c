// symbol.c - a certified upper bound of a convolution's norm from its symbol on a grid of frequencies [SPECTRA 5-8].
//
// The convolution with zero padding is a compression of the one on the infinite grid, whose norm is the supremum over
// frequencies w of the norm of a small matrix, the symbol F(w). H(w) = F(w) F(w)^H (or F^H F, the smaller) is a
// trigonometric polynomial whose coefficients are autocorrelations of the kernel; keeping only lags that are multiples
// of the stride gives the symbol of the strided map. For every frequency of the grid a Cholesky factorisation of
// mu I - H(w) proves that no eigenvalue exceeds mu; between the frequencies the inequality of Ehlich and Zeller does.
#include "clip_impl.h"
#include <math.h>
#include <string.h>

enum { MAX_LAG = 31, POWER_STEPS = 12 };
static const double slack = 1e-3;       // of the first mu over the largest estimate
static const double raise = 2e-3;       // of mu where the factorisation fails
static const double outward = 1 + 1e-6; // rounding of the printed figure
static const double grid_flop = 3e10;   // what the factorisations of an automatic grid may cost

typedef struct symbol {
    int64_t r;          // rows of H
    int lags[2];        // largest lag of each direction, in units of the stride
    double *tap;        // (n_taps, r, r), the half of the lags whose first non-zero one is positive, lag 0 first;
                        // from lag 1 on the sum of the coefficient and its transpose
    double *difference; // (n_taps, r, r) of the two
    int n_taps;
    int (*lag)[2]; // (n_taps)
    int degree[2]; // of u^H F v where that is the tighter certificate, else -1
} symbol;

// ---- coefficients

// Kernel as (taps a, rows r, columns c), with the smaller channel dimension as rows.
typedef struct taps {
    double *k; // (R*S, rows, columns)
    int64_t rows, columns;
    int size[2];
} taps;

static lt_status arrange(const lt_conv_bound_in *in, int64_t group, bool by_input, taps *t)
{
    const int64_t per = in->shape.dim[0] / in->attr.groups, c = in->shape.dim[1],
                  rs = in->shape.dim[2] * in->shape.dim[3];
    *t = (taps){.rows = by_input ? c : per,
                .columns = by_input ? per : c,
                .size = {(int)in->shape.dim[2], (int)in->shape.dim[3]}};
    t->k = lti_calloc((size_t)(per * c * rs), sizeof *t->k);
    if (!t->k)
        return LTI_NOMEM("bound of a convolution");
    for (int64_t o = 0; o < per; o++)
        for (int64_t i = 0; i < c; i++)
            for (int64_t a = 0; a < rs; a++)
                t->k[a * per * c + (by_input ? i * per + o : o * c + i)] =
                    in->weight[((group * per + o) * c + i) * rs + a];
    return LT_OK;
}

// Loops over doubles in the widest vectors of the machine that runs them.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__) &&               \
    !defined(__SANITIZE_THREAD__)
#define WIDE_VECTORS __attribute__((target_clones("default", "arch=haswell", "arch=skylake-avx512")))
#else
#define WIDE_VECTORS
#endif

WIDE_VECTORS static double dot(const double *a, const double *b, int64_t n)
{
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

// tap[i][j] += sum over positions of <k_{a + lag}[i], k_a[j]>.
static void correlate(const taps *t, int lag0, int lag1, int n_threads, double *tap)
{
    (void)n_threads; // without OpenMP
    const int64_t r = t->rows, c = t->columns;
    for (int a = 0; a < t->size[0] * t->size[1]; a++) {
        const int p = a / t->size[1] + lag0, q = a % t->size[1] + lag1;
        if (p < 0 || p >= t->size[0] || q < 0 || q >= t->size[1])
            continue;
        const double *x = t->k + (p * t->size[1] + q) * r * c, *y = t->k + a * r * c;
#pragma omp parallel for num_threads(n_threads) schedule(static)
        for (int64_t i = 0; i < r; i++)
            for (int64_t j = 0; j < r; j++)
                tap[i * r + j] += dot(x + i * c, y + j * c, c);
    }
}

static void symbol_clear(symbol *s)
{
    lti_free(s->tap);
    lti_free(s->difference);
    lti_free(s->lag);
    *s = (symbol){0};
}

static void split_symmetric(symbol *s)
{
    const int64_t r = s->r;
    for (int k = 1; k < s->n_taps; k++) {
        double *sum = s->tap + k * r * r, *diff = s->difference + k * r * r;
        for (int64_t i = 0; i < r; i++)
            for (int64_t j = 0; j <= i; j++) {
                const double a = sum[i * r + j], b = sum[j * r + i];
                sum[i * r + j] = sum[j * r + i] = a + b;
                diff[i * r + j] = a - b;
                diff[j * r + i] = b - a;
            }
    }
}

static int common_divisor(int a, int b)
{
    return b ? common_divisor(b, a % b) : a;
}

// The stride of the convolution without dilation that has the same symbol, at other frequencies: taps d (a - a') apart
// meet where that is a multiple of the stride s, which is where a - a' is a multiple of s / gcd(s, d) [SPECTRA 6].
static int stride_in_taps(const lt_conv_attr *a)
{
    return a->stride / common_divisor(a->stride, lti_conv_attr(*a).dilation);
}

static lt_status make_symbol(const lt_conv_bound_in *in, int64_t group, symbol *s)
{
    const int64_t per = in->shape.dim[0] / in->attr.groups, c = in->shape.dim[1];
    const int st = stride_in_taps(&in->attr);
    taps t;
    *s = (symbol){.degree = {-1, -1}};
    LT_TRY(arrange(in, group, st == 1 && c < per, &t)); // of a strided map only the output side stays small
    s->r = t.rows;
    for (int d = 0; d < 2; d++) {
        s->lags[d] = (t.size[d] - 1) / st;
        if (st == 1 && t.size[d] % 2 == 1)
            s->degree[d] = (t.size[d] - 1) / 2;
    }
    const int most = (s->lags[0] + 1) * (2 * s->lags[1] + 1);
    s->tap = lti_calloc((size_t)most * (size_t)(s->r * s->r), sizeof *s->tap);
    s->difference = lti_calloc((size_t)most * (size_t)(s->r * s->r), sizeof *s->difference);
    s->lag = lti_calloc((size_t)most, sizeof *s->lag);
    if (!s->tap || !s->difference || !s->lag || s->lags[0] > MAX_LAG || s->lags[1] > MAX_LAG) {
        lti_free(t.k);
        symbol_clear(s);
        return LTI_NOMEM("bound of a convolution");
    }
    for (int p = 0; p <= s->lags[0]; p++)
        for (int q = p == 0 ? 0 : -s->lags[1]; q <= s->lags[1]; q++) {
            s->lag[s->n_taps][0] = p;
            s->lag[s->n_taps][1] = q;
            correlate(&t, p * st, q * st, in->n_threads, s->tap + s->n_taps * s->r * s->r);
            s->n_taps++;
        }
    split_symmetric(s);
    lti_free(t.k);
    return LT_OK;
}

// ---- one frequency

WIDE_VECTORS static void add_lag(int64_t n, double c, const double *sum, double d, const double *difference, double *re,
                                 double *im)
{
    for (int64_t i = 0; i < n; i++) {
        re[i] += c * sum[i];
        im[i] += d * difference[i];
    }
}

// re, im (r,r): H(w) = G_0 + sum over lags l of G_l e^{i w l} + its conjugate transpose.
static void build_h(const symbol *s, double w0, double w1, double *re, double *im)
{
    const int64_t r = s->r;
    memcpy(re, s->tap, (size_t)(r * r) * sizeof *re);
    memset(im, 0, (size_t)(r * r) * sizeof *im);
    for (int k = 1; k < s->n_taps; k++) {
        const double *sum = s->tap + k * r * r, *difference = s->difference + k * r * r;
        const double phase = w0 * s->lag[k][0] + w1 * s->lag[k][1], c = cos(phase), d = sin(phase);
        add_lag(r * r, c, sum, d, difference, re, im);
    }
}

// A few steps of power iteration from x (2 r: real, imaginary parts), which is kept for the next frequency. Returns the
// Rayleigh quotient, a lower bound of the largest eigenvalue.
static double estimate(const double *re, const double *im, int64_t r, double *x, double *y)
{
    double value = 0;
    for (int step = 0; step < POWER_STEPS; step++) {
        for (int64_t i = 0; i < r; i++) {
            y[i] = dot(re + i * r, x, r) - dot(im + i * r, x + r, r);
            y[r + i] = dot(re + i * r, x + r, r) + dot(im + i * r, x, r);
        }
        const double xx = dot(x, x, 2 * r), norm = sqrt(dot(y, y, 2 * r));
        value = xx > 0 ? dot(x, y, 2 * r) / xx : 0;
        if (!(norm > 0))
            break;
        for (int64_t i = 0; i < 2 * r; i++)
            x[i] = y[i] / norm;
    }
    return value;
}

// out[b], out[ROWS + b]: real and imaginary part of sum over k < n of row b times the conjugate of (xr, xi). Rows of re
// and im are r apart: several at once, so that xr and xi are read once for all of them.
enum { ROWS = 4 };
WIDE_VECTORS static void row_products(const double *re, const double *im, int64_t r, const double *xr, const double *xi,
                                      int64_t n, double out[2 * ROWS])
{
    double a0 = 0, a1 = 0, a2 = 0, a3 = 0, b0 = 0, b1 = 0, b2 = 0, b3 = 0;
    const double *re1 = re + r, *re2 = re1 + r, *re3 = re2 + r, *im1 = im + r, *im2 = im1 + r, *im3 = im2 + r;
#pragma omp simd reduction(+ : a0, a1, a2, a3, b0, b1, b2, b3)
    for (int64_t k = 0; k < n; k++) {
        a0 += re[k] * xr[k] + im[k] * xi[k];
        b0 += im[k] * xr[k] - re[k] * xi[k];
        a1 += re1[k] * xr[k] + im1[k] * xi[k];
        b1 += im1[k] * xr[k] - re1[k] * xi[k];
        a2 += re2[k] * xr[k] + im2[k] * xi[k];
        b2 += im2[k] * xr[k] - re2[k] * xi[k];
        a3 += re3[k] * xr[k] + im3[k] * xi[k];
        b3 += im3[k] * xr[k] - re3[k] * xi[k];
    }
    const double all[2 * ROWS] = {a0, a1, a2, a3, b0, b1, b2, b3};
    memcpy(out, all, sizeof all);
}

// Entry (i,j) of the factor, given the product of the rows i and j up to column j. Diagonals hold reciprocals.
static void set_entry(double *re, double *im, int64_t r, int64_t i, int64_t j, const double product[2])
{
    re[i * r + j] = (-re[i * r + j] - product[0]) * re[j * r + j];
    im[i * r + j] = (-im[i * r + j] - product[1]) * re[j * r + j];
}

static bool set_pivot(double *re, double *im, int64_t r, int64_t i, double mu)
{
    const double *ri = re + i * r, *ii = im + i * r;
    const double pivot = mu - ri[i] - dot(ri, ri, i) - dot(ii, ii, i);
    if (!(pivot > 0))
        return false;
    re[i * r + i] = 1 / sqrt(pivot);
    return true;
}

// Is mu I - H positive definite? Its Cholesky factor, in the lower triangles of re and im, which are overwritten.
static bool below(double *re, double *im, int64_t r, double mu)
{
    for (int64_t i = 0; i < r; i += ROWS) {
        const int64_t n = r - i < ROWS ? r - i : ROWS;
        for (int64_t j = 0; j < i && n == ROWS; j++) {
            double out[2 * ROWS];
            row_products(re + i * r, im + i * r, r, re + j * r, im + j * r, j, out);
            for (int b = 0; b < ROWS; b++)
                set_entry(re, im, r, i + b, j, (double[]){out[b], out[ROWS + b]});
        }
        for (int64_t k = i; k < i + n; k++) {
            const double *rk = re + k * r, *ik = im + k * r;
            for (int64_t j = n == ROWS ? i : 0; j < k; j++) {
                const double *rj = re + j * r, *ij = im + j * r;
                const double product[2] = {dot(rk, rj, j) + dot(ik, ij, j), dot(ik, rj, j) - dot(rk, ij, j)};
                set_entry(re, im, r, k, j, product);
            }
            if (!set_pivot(re, im, r, k, mu))
                return false;
        }
    }
    return true;
}

// ---- the grid

typedef struct grid {
    int64_t n[2];
    double factor; // of the eigenvalue: what the values between the frequencies may add
} grid;

// Ehlich and Zeller: a trigonometric polynomial of degree q is at most 1 / cos(pi q / N) times its largest value on N
// points. Squared where q is the degree of u^H F v, whose square is the eigenvalue.
static double between(const symbol *s, int d, int64_t n)
{
    if (s->lags[d] == 0)
        return 1;
    if (s->degree[d] >= 0)
        return 1 / pow(cos(M_PI * s->degree[d] / (double)n), 2);
    return 1 / cos(M_PI * s->lags[d] / (double)n);
}

static grid choose_grid(const lt_conv_bound_in *in, const symbol *s)
{
    grid g = {.factor = 1};
    const int st = in->attr.stride;
    const bool circular = in->attr.pad_mode == LT_PAD_CIRCULAR && in->attr.pad > 0;
    const double one = 8.0 / 6 * pow((double)s->r, 3);
    if (circular && in->height % st == 0 && in->width % st == 0 &&
        one * (double)(in->height * in->width) / (2.0 * st * st) <= grid_flop) { // the map's own frequencies
        g.n[0] = in->height / st;
        g.n[1] = in->width / st;
        return g;
    }
    for (int d = 0; d < 2; d++) {
        int64_t n = in->grid > 0 ? in->grid : 32;
        while (in->grid <= 0 && n > 8 && one * (double)(n * n) / 2 > grid_flop)
            n /= 2;
        while (n <= 4 * s->lags[d]) // far enough from the pole of the certificate
            n *= 2;
        g.n[d] = s->lags[d] == 0 ? 1 : n;
        g.factor *= between(s, d, g.n[d]);
    }
    return g;
}

typedef struct search {
    const symbol *s;
    grid g;
    double mu;    // proved at all frequencies so far
    bool certify; // second pass
    bool failed;  // out of memory
} search;

// Frequencies w and -w have conjugate matrices: the first half of the grid is enough.
static void visit(search *q, int64_t i, double *work, double *value)
{
    const int64_t r = q->s->r;
    double *re = work, *im = re + r * r, *x = im + r * r, *y = x + 2 * r;
    const int64_t row = i / q->g.n[1];
    const double w0 = 2 * M_PI * (double)row / (double)q->g.n[0];
    const double w1 = 2 * M_PI * (double)(i % q->g.n[1]) / (double)q->g.n[1];
    build_h(q->s, w0, w1, re, im);
    if (!q->certify) {
        *value = fmax(*value, estimate(re, im, r, x, y));
        return;
    }
    double mu = q->mu;
    if (sqrt(dot(re, re, r * r) + dot(im, im, r * r)) <= mu) // the Frobenius norm says it already
        return;
    while (!below(re, im, r, mu)) {
        mu = mu > 0 ? mu * (1 + raise) : 1e-300;
        build_h(q->s, w0, w1, re, im);
    }
    *value = fmax(*value, mu);
}

static double over_grid(search *q, int n_threads)
{
    (void)n_threads; // without OpenMP
    const int64_t r = q->s->r, half = (q->g.n[0] / 2 + 1) * q->g.n[1];
    const int64_t n = half < q->g.n[0] * q->g.n[1] ? half : q->g.n[0] * q->g.n[1];
    double best = q->certify ? q->mu : 0;
#pragma omp parallel num_threads(n_threads) reduction(max : best)
    {
        double *work = lti_calloc((size_t)(2 * r * r + 4 * r), sizeof *work), value = best;
        for (int64_t k = 0; work && k < 2 * r; k++)
            work[2 * r * r + k] = 1.0 / (double)(1 + k % 7); // any start that is not orthogonal to everything
#pragma omp for schedule(static)
        for (int64_t i = 0; i < n; i++)
            if (work)
                visit(q, i, work, &value);
        if (!work)
            q->failed = true;
        best = value;
        lti_free(work);
    }
    return best;
}

static lt_status bound_group(const lt_conv_bound_in *in, int64_t group, double *lambda)
{
    symbol s;
    LT_TRY(make_symbol(in, group, &s));
    search q = {.s = &s, .g = choose_grid(in, &s)};
    q.mu = over_grid(&q, in->n_threads) * (1 + slack);
    q.certify = true;
    *lambda = over_grid(&q, in->n_threads) * q.g.factor;
    symbol_clear(&s);
    return q.failed ? LTI_NOMEM("bound of a convolution") : LT_OK;
}

lt_status lt_conv_upper_bound(const lt_conv_bound_in *in, double *upper, const char **by)
{
    const lt_conv_attr *a = &in->attr;
    const int64_t step = lti_conv_attr(*a).dilation; // from tap to tap
    *upper = (double)NAN;
    *by = "none";
    if (in->shape.n_dims != 4 || a->groups < 1 || a->stride < 1 || in->n_threads < 1)
        return LT_FAIL(LT_E_USAGE, "bound of a convolution: expected a weight (K,C,R,S), stride, groups and threads");
    if (a->pad_mode == LT_PAD_REFLECT && a->pad > 0)
        return LT_OK;
    if (a->pad_mode == LT_PAD_CIRCULAR && // more outputs than pixels: some rows would count twice
        (2 * a->pad > step * (in->shape.dim[2] - 1) || 2 * a->pad > step * (in->shape.dim[3] - 1)))
        return LT_OK;
    for (int64_t i = 0; i < lti_shape_count(&in->shape); i++)
        if (!isfinite(in->weight[i]))
            return LT_FAIL(LT_E_DIVERGED, "bound of a convolution: expected finite weights, found %g", in->weight[i]);
    double most = 0;
    for (int64_t g = 0; g < a->groups; g++) {
        double lambda = 0;
        LT_TRY(bound_group(in, g, &lambda));
        most = fmax(most, lambda);
    }
    *upper = sqrt(most) * outward;
    *by = in->shape.dim[2] * in->shape.dim[3] == 1 ? "cholesky" : "frequencies";
    return LT_OK;
}

lt_status lt_kernel_norm(const double *weight, int64_t rows, int64_t columns, double *norm)
{
    double *x = lti_calloc((size_t)(2 * rows + columns), sizeof *x), *z = x + rows, *t = z + rows;
    if (!x)
        return LTI_NOMEM("norm of a kernel");
    double sigma = 0, before = 0;
    for (int64_t i = 0; i < rows; i++)
        x[i] = 1 + 0.5 * sin(1.7 * (double)i + 0.3);
    for (int step = 0; step < 2000; step++) { // power iteration on W W'
        const double length = sqrt(dot(x, x, rows));
        memset(t, 0, (size_t)columns * sizeof *t);
        for (int64_t i = 0; i < rows; i++)
            for (int64_t j = 0; j < columns; j++)
                t[j] += weight[i * columns + j] * (x[i] / length);
        sigma = sqrt(dot(t, t, columns));
        for (int64_t i = 0; i < rows; i++)
            z[i] = dot(weight + i * columns, t, columns);
        memcpy(x, z, (size_t)rows * sizeof *x);
        if (!(sigma > 0) || (step % 10 == 9 && sigma - before <= 1e-9 * sigma))
            break;
        before = step % 10 == 9 ? sigma : before;
    }
    *norm = sigma;
    lti_free(x);
    return LT_OK;
}

// ---- Gram iteration, for comparison: no certificate for zero padding, because nothing is said between the frequencies

// re, im <- their square (Hermitian) divided by the Frobenius norm, whose logarithm is returned.
static double square_matrix(double *re, double *im, int64_t r, double *work)
{
    double *a = work, *b = work + r * r, sum = 0;
    for (int64_t i = 0; i < r; i++)
        for (int64_t j = 0; j < r; j++) { // row i times column j; H is Hermitian: column j is the conjugate of row j
            const double *ri = re + i * r, *ii = im + i * r, *rj = re + j * r, *ij = im + j * r;
            a[i * r + j] = dot(ri, rj, r) + dot(ii, ij, r);
            b[i * r + j] = dot(ii, rj, r) - dot(ri, ij, r);
        }
    for (int64_t i = 0; i < r * r; i++)
        sum += a[i] * a[i] + b[i] * b[i];
    const double norm = sqrt(sum);
    for (int64_t i = 0; i < r * r; i++) {
        re[i] = norm > 0 ? a[i] / norm : 0;
        im[i] = norm > 0 ? b[i] / norm : 0;
    }
    return norm > 0 ? log(norm) : -INFINITY;
}

static double gram_at(const symbol *s, double w0, double w1, int n_steps, double *work)
{
    const int64_t r = s->r;
    double *re = work, *im = work + r * r, log_norm = 0;
    build_h(s, w0, w1, re, im);
    for (int t = 1; t < n_steps; t++) // H is the first Gram matrix
        log_norm = 2 * log_norm + square_matrix(re, im, r, work + 2 * r * r);
    const double last = sqrt(dot(re, re, r * r) + dot(im, im, r * r));
    return last > 0 ? exp((log_norm + log(last)) / pow(2, n_steps)) : 0; // of the singular value
}

lt_status lti_gram_bound(const lt_conv_bound_in *in, int n_steps, double *bound)
{
    const int64_t st = in->attr.stride;
    double most = 0;
    for (int64_t g = 0; g < in->attr.groups; g++) {
        symbol s;
        LT_TRY(make_symbol(in, g, &s));
        const int64_t f0 = s.lags[0] ? (in->height + st - 1) / st : 1, f1 = s.lags[1] ? (in->width + st - 1) / st : 1;
        double *work = lti_calloc((size_t)(4 * s.r * s.r), sizeof *work);
        for (int64_t i = 0; work && i < (f0 / 2 + 1) * f1 && i < f0 * f1; i++) {
            const int64_t row = i / f1;
            most = fmax(most, gram_at(&s, 2 * M_PI * (double)row / (double)f0, 2 * M_PI * (double)(i % f1) / (double)f1,
                                      n_steps, work));
        }
        symbol_clear(&s);
        if (!work)
            return LTI_NOMEM("Gram iteration");
        lti_free(work);
    }
    *bound = most;
    return LT_OK;
}
