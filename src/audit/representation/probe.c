// probe.c - logistic probes: standardisation, the objective and its gradient, L-BFGS, cross-validated membership.
//
// The objective is smooth and, with a ridge, strictly convex, so any descent that ends at a small gradient ends at the
// one answer; the tolerance is on the gradient itself and a probe that does not reach it is an error. Sums over samples
// are in one order on one thread: a probe has the same bits everywhere. [Nocedal, Wright 2006, 7.2 for L-BFGS; Lewis,
// Overton 2013 for the line search, which needs nothing but the weak Wolfe conditions.]
#include "audit/audit_impl.h"
#include "audit/representation/representation_impl.h"
#include <math.h>
#include <string.h>

enum { MEMORY = 10, MAX_ITERATIONS = 20000, MAX_TRIES = 80 };

typedef struct problem {
    int64_t n, p;
    int k, m;
    double ridge;
    const double *f; // (n,p) standardised
    const int32_t *y;
    double *z; // (k) of one sample
} problem;

typedef struct solver { // all of `dim` elements unless noted
    int64_t dim;
    double *x, *g, *x_new, *g_new, *d;
    double *s, *y; // (MEMORY, dim): steps and changes of the gradient, newest at (count - 1) % MEMORY
    double rho[MEMORY];
    int64_t count;
    double f;
} solver;

// Eight running sums, so that compilers may use vectors without changing the order of anything.
double lti_dot(const double *a, const double *b, int64_t n)
{
    double sum[8] = {0}, rest = 0;
    int64_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (int u = 0; u < 8; u++)
            sum[u] += a[i + u] * b[i + u];
    for (; i < n; i++)
        rest += a[i] * b[i];
    return ((sum[0] + sum[4]) + (sum[1] + sum[5])) + ((sum[2] + sum[6]) + (sum[3] + sum[7])) + rest;
}

static void axpy(double alpha, const double *x, int64_t n, double *y)
{
    for (int64_t i = 0; i < n; i++)
        y[i] += alpha * x[i];
}

// z (k) of one row of standardised features; with two classes the first logit is 0.
static void logits_of(const double *w, const double *f, int64_t p, int k, int m, double *z)
{
    z[0] = 0;
    for (int j = 0; j < m; j++)
        z[k - m + j] = lti_dot(w + j * (p + 1), f, p) + w[j * (p + 1) + p];
}

// z becomes softmax(z); returns log sum exp z.
static double softmax(double *z, int k)
{
    double max = z[0], sum = 0;
    for (int j = 1; j < k; j++)
        max = fmax(max, z[j]);
    for (int j = 0; j < k; j++)
        sum += z[j] = exp(z[j] - max);
    for (int j = 0; j < k; j++)
        z[j] /= sum;
    return max + log(sum);
}

// The objective at w (m,p+1) and its gradient g.
static double objective(const problem *q, const double *w, double *g)
{
    const int64_t row = q->p + 1;
    double loss = 0, square = 0;
    memset(g, 0, (size_t)(q->m * row) * sizeof *g);
    for (int64_t i = 0; i < q->n; i++) {
        const double *f = q->f + i * q->p;
        logits_of(w, f, q->p, q->k, q->m, q->z);
        const double own = q->z[q->y[i]];
        loss += softmax(q->z, q->k) - own;
        for (int j = 0; j < q->m; j++) {
            const int c = q->k - q->m + j;
            const double r = (q->z[c] - (q->y[i] == c)) / (double)q->n;
            axpy(r, f, q->p, g + j * row);
            g[j * row + q->p] += r;
        }
    }
    for (int j = 0; j < q->m; j++) {
        square += lti_dot(w + j * row, w + j * row, q->p);
        axpy(q->ridge, w + j * row, q->p, g + j * row);
    }
    return loss / (double)q->n + 0.5 * q->ridge * square;
}

static double largest(const double *v, int64_t n)
{
    double max = 0;
    for (int64_t i = 0; i < n; i++)
        max = fmax(max, fabs(v[i]));
    return max;
}

// d = - H g by the two loops over the remembered steps.
static void direction(solver *s)
{
    const int64_t n = s->dim, kept = s->count < MEMORY ? s->count : MEMORY;
    double alpha[MEMORY];
    for (int64_t i = 0; i < n; i++)
        s->d[i] = -s->g[i];
    for (int64_t t = s->count - 1; t >= s->count - kept; t--) {
        const int64_t at = t % MEMORY;
        alpha[at] = s->rho[at] * lti_dot(s->s + at * n, s->d, n);
        axpy(-alpha[at], s->y + at * n, n, s->d);
    }
    if (kept > 0) {
        const int64_t last = (s->count - 1) % MEMORY;
        const double scale = 1 / (s->rho[last] * lti_dot(s->y + last * n, s->y + last * n, n));
        for (int64_t i = 0; i < n; i++)
            s->d[i] *= scale;
    }
    for (int64_t t = s->count - kept; t < s->count; t++) {
        const int64_t at = t % MEMORY;
        axpy(alpha[at] - s->rho[at] * lti_dot(s->y + at * n, s->d, n), s->s + at * n, n, s->d);
    }
}

static void remember(solver *s)
{
    const int64_t n = s->dim, at = s->count % MEMORY;
    for (int64_t i = 0; i < n; i++) {
        s->s[at * n + i] = s->x_new[i] - s->x[i];
        s->y[at * n + i] = s->g_new[i] - s->g[i];
    }
    const double sy = lti_dot(s->s + at * n, s->y + at * n, n);
    if (sy > 0) { // always, but for rounding
        s->rho[at] = 1 / sy;
        s->count++;
    }
}

// A step with the weak Wolfe conditions, by doubling and halving. Near the end the objective no longer tells two points
// apart, so a rise within its rounding is none.
static bool line_search(const problem *q, solver *s)
{
    const double slope = lti_dot(s->g, s->d, s->dim), slack = 1e-14 * (1 + fabs(s->f));
    double low = 0, high = INFINITY, t = s->count > 0 ? 1 : fmin(1, 1 / sqrt(lti_dot(s->g, s->g, s->dim)));
    if (!(slope < 0))
        return false;
    for (int i = 0; i < MAX_TRIES; i++) {
        memcpy(s->x_new, s->x, (size_t)s->dim * sizeof *s->x);
        axpy(t, s->d, s->dim, s->x_new);
        const double f = objective(q, s->x_new, s->g_new);
        if (!(f <= s->f + 1e-4 * t * slope + slack)) {
            high = t;
        } else if (lti_dot(s->g_new, s->d, s->dim) < 0.9 * slope) {
            low = t;
        } else {
            s->f = f;
            return true;
        }
        t = isfinite(high) ? 0.5 * (low + high) : 2 * t;
    }
    return false;
}

static void swap(double **a, double **b)
{
    double *t = *a;
    *a = *b;
    *b = t;
}

static lt_status minimise(const problem *q, double tol, solver *s, lt_probe *probe)
{
    s->f = objective(q, s->x, s->g);
    for (probe->n_iterations = 0;; probe->n_iterations++) {
        probe->loss = s->f;
        probe->grad_max = largest(s->g, s->dim);
        if (probe->grad_max <= tol)
            return LT_OK;
        if (probe->n_iterations == MAX_ITERATIONS)
            break;
        direction(s);
        if (!line_search(q, s)) {
            if (s->count == 0)
                break;
            s->count = 0; // the memory misled: start again with steepest descent
            continue;
        }
        remember(s);
        swap(&s->x, &s->x_new);
        swap(&s->g, &s->g_new);
    }
    LT_FAIL(LT_E_DIVERGED, "probe: gradient %g after %d iterations, expected %g", probe->grad_max,
            (int)probe->n_iterations, tol);
    return lt_error_hint("a larger probe-l2, or a larger probe-tol");
}

static lt_status solver_init(solver *s, int64_t dim)
{
    double **part[] = {&s->x, &s->g, &s->x_new, &s->g_new, &s->d};
    s->dim = dim;
    for (size_t i = 0; i < sizeof part / sizeof *part; i++)
        if (!(*part[i] = lti_calloc((size_t)dim, sizeof(double))))
            return LTI_NOMEM("probe");
    s->s = lti_calloc((size_t)dim, MEMORY * sizeof(double));
    s->y = lti_calloc((size_t)dim, MEMORY * sizeof(double));
    return s->s && s->y ? LT_OK : LTI_NOMEM("probe");
}

static void solver_clear(solver *s)
{
    double *part[] = {s->x, s->g, s->x_new, s->g_new, s->d, s->s, s->y};
    for (size_t i = 0; i < sizeof part / sizeof *part; i++)
        lti_free(part[i]);
}

// ---- standardisation

static lt_status column_scales(const double *x, int64_t n, lt_probe *probe)
{
    const int64_t p = probe->p;
    for (int64_t i = 0; i < n * p; i++)
        if (!isfinite(x[i]))
            return LT_FAIL(LT_E_FORMAT, "probe: feature %lld of sample %lld is not finite", (long long)(i % p),
                           (long long)(i / p));
    for (int64_t i = 0; i < n; i++)
        axpy(1 / (double)n, x + i * p, p, probe->mean);
    for (int64_t i = 0; i < n; i++)
        for (int64_t c = 0; c < p; c++) {
            const double d = x[i * p + c] - probe->mean[c];
            probe->istd[c] += d * d / (double)n;
        }
    for (int64_t c = 0; c < p; c++) // a constant column carries rounding only
        probe->istd[c] = probe->istd[c] > 1e-24 * (1 + probe->mean[c] * probe->mean[c]) ? 1 / sqrt(probe->istd[c]) : 0;
    return LT_OK;
}

static void standardise(const lt_probe *probe, const double *x, double *f)
{
    for (int64_t c = 0; c < probe->p; c++)
        f[c] = (x[c] - probe->mean[c]) * probe->istd[c];
}

static lt_status check_input(int64_t n, int64_t p, const int32_t *y, int k, const lt_representation_cfg *cfg)
{
    if (n < 1 || p < 1 || k < 2)
        return LT_FAIL(LT_E_USAGE, "probe: %lld samples of %lld features in %d classes, expected 1, 1 and 2 or more",
                       (long long)n, (long long)p, k);
    if (!(cfg->probe_l2 > 0) || !(cfg->probe_tol > 0))
        return LT_FAIL(LT_E_USAGE, "probe: ridge %g and tolerance %g, expected both above 0", cfg->probe_l2,
                       cfg->probe_tol);
    for (int64_t i = 0; i < n; i++)
        if (y[i] < 0 || y[i] >= k)
            return LT_FAIL(LT_E_FORMAT, "probe: label %d of sample %lld, expected 0 to %d", (int)y[i], (long long)i,
                           k - 1);
    return LT_OK;
}

static lt_status fit(const double *x, int64_t n, const int32_t *y, const lt_representation_cfg *cfg, double *f,
                     solver *s, lt_probe *probe)
{
    const int64_t p = probe->p;
    double *z = lti_calloc((size_t)probe->k, sizeof *z);
    if (!f || !z || !probe->mean || !probe->istd) {
        lti_free(z);
        return LTI_NOMEM("probe");
    }
    const problem q = {.n = n, .p = p, .k = probe->k, .m = probe->m, .ridge = cfg->probe_l2, .f = f, .y = y, .z = z};
    lt_status status = LT_OK;
    LT_TRY_GOTO(column_scales(x, n, probe), done);
    for (int64_t i = 0; i < n; i++)
        standardise(probe, x + i * p, f + i * p);
    LT_TRY_GOTO(solver_init(s, probe->m * (p + 1)), done);
    LT_TRY_GOTO(minimise(&q, cfg->probe_tol, s, probe), done);
done:
    lti_free(z);
    return status;
}

lt_status lt_probe_fit(const double *x, int64_t n, int64_t p, const int32_t *y, int k, const lt_representation_cfg *cfg,
                       lt_probe *probe)
{
    *probe = (lt_probe){.k = k, .m = k == 2 ? 1 : k, .p = p};
    LT_TRY(check_input(n, p, y, k, cfg));
    size_t count = 0;
    if (lti_mul_size((size_t)n, (size_t)p, &count))
        return LTI_NOMEM("probe");
    double *f = lti_calloc(count, sizeof *f);
    solver s = {0};
    probe->mean = lti_calloc((size_t)p, sizeof(double));
    probe->istd = lti_calloc((size_t)p, sizeof(double));
    lt_status status = fit(x, n, y, cfg, f, &s, probe);
    if (status == LT_OK)
        swap(&probe->w, &s.x);
    else
        lt_probe_clear(probe);
    solver_clear(&s);
    lti_free(f);
    return status;
}

void lt_probe_clear(lt_probe *probe)
{
    lti_free(probe->mean);
    lti_free(probe->istd);
    lti_free(probe->w);
    *probe = (lt_probe){0};
}

// Logit c of one raw row; with two classes the first is 0.
static double row_logit(const lt_probe *probe, const double *x, int c)
{
    const int j = c - (probe->k - probe->m);
    if (j < 0)
        return 0;
    const double *w = probe->w + j * (probe->p + 1);
    double sum = w[probe->p];
    for (int64_t f = 0; f < probe->p; f++)
        sum += w[f] * (x[f] - probe->mean[f]) * probe->istd[f];
    return sum;
}

void lt_probe_logits(const lt_probe *probe, const double *x, int64_t n, double *z)
{
    for (int64_t i = 0; i < n; i++)
        for (int c = 0; c < probe->k; c++)
            z[i * probe->k + c] = row_logit(probe, x + i * probe->p, c);
}

double lt_probe_acc(const lt_probe *probe, const double *x, int64_t n, const int32_t *y)
{
    int64_t hits = 0;
    for (int64_t i = 0; i < n; i++) {
        const double *row = x + i * probe->p;
        double best = row_logit(probe, row, 0);
        int32_t guess = 0; // the first of equals
        for (int c = 1; c < probe->k; c++) {
            const double z = row_logit(probe, row, c);
            if (z > best) {
                best = z;
                guess = c;
            }
        }
        hits += guess == y[i];
    }
    return n > 0 ? (double)hits / (double)n : (double)NAN;
}

// ---- membership

typedef struct folds {
    const double *x[2]; // non-members, members: (n,p)
    int64_t n[2], p;
    int64_t *perm[2];
    double *train, *test; // rows of one split
    int32_t *y;
    double *score; // (n[0] + n[1], 2) of the test rows
    double *side[2];
} folds;

// Deals the rows of one side: those whose place in the permutation is `fold` modulo the number of folds are tested.
static void deal(const folds *f, int side, int fold, int n_folds, int64_t *n_train, int64_t *n_test)
{
    for (int64_t i = 0; i < f->n[side]; i++) {
        const double *row = f->x[side] + f->perm[side][i] * f->p;
        const bool tested = i % n_folds == fold;
        memcpy((tested ? f->test + *n_test * f->p : f->train + *n_train * f->p), row, (size_t)f->p * sizeof *row);
        if (tested)
            ++*n_test;
        else
            f->y[(*n_train)++] = side;
    }
}

// Adds samples * AUC of one fold, and its samples.
static lt_status one_fold(folds *f, int fold, int n_folds, const lt_representation_cfg *cfg, double *sum,
                          double *weight)
{
    int64_t n_train = 0, n_other = 0, n_test = 0;
    lt_probe probe;
    deal(f, 0, fold, n_folds, &n_train, &n_test);
    n_other = n_test;
    deal(f, 1, fold, n_folds, &n_train, &n_test);
    LT_TRY(lt_probe_fit(f->train, n_train, f->p, f->y, 2, cfg, &probe));
    lt_probe_logits(&probe, f->test, n_test, f->score);
    lt_probe_clear(&probe);
    for (int64_t i = 0; i < n_test; i++)
        f->side[i >= n_other][i < n_other ? i : i - n_other] = f->score[2 * i + 1];
    const double auc = lt_auc(f->side[1], n_test - n_other, f->side[0], n_other);
    if (isnan(auc))
        return LTI_NOMEM("AUC of a probe");
    *sum += (double)n_test * auc;
    *weight += (double)n_test;
    return LT_OK;
}

static lt_status all_folds(folds *f, const lt_representation_cfg *cfg, uint64_t seed, double *auc)
{
    const int64_t fewest = f->n[0] < f->n[1] ? f->n[0] : f->n[1];
    const int n_folds = fewest < cfg->probe_folds ? (int)fewest : cfg->probe_folds;
    double sum = 0, weight = 0;
    for (int side = 0; side < 2; side++)
        lt_rng_permutation(seed, LT_STREAM_AUDIT, LTI_DRAW_PROBE + (uint32_t)side, f->n[side], f->perm[side]);
    for (int fold = 0; fold < n_folds; fold++)
        LT_TRY(one_fold(f, fold, n_folds, cfg, &sum, &weight));
    *auc = sum / weight;
    return LT_OK;
}

lt_status lt_probe_membership(const double *member, int64_t n_m, const double *other, int64_t n_o, int64_t p,
                              const lt_representation_cfg *cfg, uint64_t seed, double *auc)
{
    *auc = (double)NAN;
    if (cfg->probe_folds < 2)
        return LT_FAIL(LT_E_USAGE, "probe: %d folds, expected 2 or more", (int)cfg->probe_folds);
    if (n_m < 2 || n_o < 2 || p < 1)
        return LT_OK;
    const size_t n = (size_t)(n_m + n_o);
    size_t cells = 0;
    if (lti_mul_size(n, (size_t)p, &cells))
        return LTI_NOMEM("probe");
    folds f = {.x = {other, member}, .n = {n_o, n_m}, .p = p};
    lt_status status = LT_OK;
    f.train = lti_calloc(cells, sizeof(double));
    f.test = lti_calloc(cells, sizeof(double));
    f.score = lti_calloc(n, 2 * sizeof(double));
    f.y = lti_calloc(n, sizeof *f.y);
    bool memory = f.train && f.test && f.score && f.y;
    for (int side = 0; side < 2; side++) {
        f.perm[side] = lti_calloc((size_t)f.n[side], sizeof(int64_t));
        f.side[side] = lti_calloc((size_t)f.n[side], sizeof(double));
        memory = memory && f.perm[side] && f.side[side];
    }
    status = memory ? all_folds(&f, cfg, seed, auc) : LTI_NOMEM("probe");
    for (int side = 0; side < 2; side++) {
        lti_free(f.perm[side]);
        lti_free(f.side[side]);
    }
    lti_free(f.train);
    lti_free(f.test);
    lti_free(f.score);
    lti_free(f.y);
    return status;
}
