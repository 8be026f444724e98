// amun_bound_result.c - the result of the diagnostics of AMUN's bound: JSON, and the file with one row per sample.
#include "audit/amun_bound/amun_bound_impl.h"
#include "lethe/tensorfile.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { N_BINS = 20, N_QUANTILES = 7 };
#define SQRT_2 1.41421356237309504880

void lti_bound_destroy(void *data)
{
    lti_bound *b = data;
    if (!b)
        return;
    for (int i = 0; b->theorem && i <= b->n_oracles; i++)
        lt_theorem_clear(&b->theorem[i]);
    lti_free(b->theorem);
    lt_lipschitz_clear(&b->lipschitz);
    for (int i = 0; b->oracle && i < b->n_oracles; i++)
        lti_free(b->oracle[i]);
    lti_free(b->oracle);
    lti_free(b->base);
    lti_free(b->npz);
    lti_free(b->s.row);
    lti_free(b->s.id);
    lti_free(b->s.x_adv);
    lti_free(b->s.delta);
    lti_free(b->s.eps);
    lti_free(b->s.y);
    lti_free(b->s.y_adv);
    lti_free(b);
}

// ---- distributions

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double mean_of(const double *v, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += v[i];
    return n ? sum / (double)n : (double)NAN;
}

// Linear interpolation between order statistics, as NumPy's default.
static double quantile(const double *sorted, int64_t n, double q)
{
    const double at = q * (double)(n - 1);
    const int64_t low = (int64_t)floor(at), high = low + 1 < n ? low + 1 : low;
    return sorted[low] + (at - (double)low) * (sorted[high] - sorted[low]);
}

// The finite values of v or f (n), sorted. NULL = out of memory.
static double *sorted_copy(const double *v, const float *f, int64_t n, int64_t *n_finite)
{
    double *out = lti_calloc((size_t)n + 1, sizeof *out);
    *n_finite = 0;
    for (int64_t i = 0; out && i < n; i++) {
        const double x = v ? v[i] : f ? (double)f[i] : (double)NAN;
        if (isfinite(x))
            out[(*n_finite)++] = x;
    }
    if (out)
        qsort(out, (size_t)*n_finite, sizeof *out, ascending);
    return out;
}

// Members mean, min, p5, ..., max of the finite values of v or f (n).
static void write_spread(const double *v, const float *f, int64_t n, lti_json *w)
{
    static const double q[N_QUANTILES] = {0, 0.05, 0.25, 0.5, 0.75, 0.95, 1};
    static const char *const name[N_QUANTILES] = {"min", "p5", "p25", "median", "p75", "p95", "max"};
    int64_t n_finite;
    double *sorted = sorted_copy(v, f, n, &n_finite);
    w->buf.failed = w->buf.failed || !sorted;
    if (sorted && n_finite > 0) {
        lti_json_real(w, "mean", mean_of(sorted, n_finite));
        for (int i = 0; i < N_QUANTILES; i++)
            lti_json_real(w, name[i], quantile(sorted, n_finite, q[i]));
    }
    lti_free(sorted);
}

// null without finite values
static void write_distribution(const char *key, const double *v, int64_t n, lti_json *w)
{
    bool any = false;
    for (int64_t i = 0; v && i < n && !any; i++)
        any = isfinite(v[i]);
    if (!any) {
        lti_json_null(w, key);
        return;
    }
    lti_json_begin(w, key, '{');
    write_spread(v, NULL, n, w);
    lti_json_end(w, '}');
}

// Equal bins from 0 to the largest value.
static void write_delta_histogram(const float *v, int64_t n, lti_json *w)
{
    int64_t count[N_BINS] = {0};
    float largest = 0;
    for (int64_t i = 0; i < n; i++)
        largest = v[i] > largest ? v[i] : largest;
    for (int64_t i = 0; i < n; i++) {
        int bin = largest > 0 ? (int)((double)v[i] / (double)largest * N_BINS) : 0;
        count[bin < N_BINS ? bin : N_BINS - 1]++;
    }
    lti_json_begin(w, "histogram", '{');
    lti_json_begin(w, "edges", '[');
    for (int b = 0; b <= N_BINS; b++)
        lti_json_real(w, NULL, (double)largest * b / N_BINS);
    lti_json_end(w, ']');
    lti_json_begin(w, "counts", '[');
    for (int b = 0; b < N_BINS; b++)
        lti_json_int(w, NULL, count[b]);
    lti_json_end(w, ']');
    lti_json_end(w, '}');
}

// The radii of the search double, so they take few values: one count for each.
static void write_eps_histogram(const float *v, int64_t n, lti_json *w)
{
    int64_t n_finite;
    double *sorted = sorted_copy(NULL, v, n, &n_finite);
    w->buf.failed = w->buf.failed || !sorted;
    lti_json_begin(w, "histogram", '{');
    for (int pass = 0; pass < 2; pass++) {
        lti_json_begin(w, pass ? "counts" : "values", '[');
        for (int64_t i = 0, k; sorted && i < n_finite; i = k) {
            for (k = i; k < n_finite && !(sorted[k] > sorted[i]); k++)
                continue;
            if (pass)
                lti_json_int(w, NULL, k - i);
            else
                lti_json_real(w, NULL, sorted[i]);
        }
        lti_json_end(w, ']');
    }
    lti_json_end(w, '}');
    lti_free(sorted);
}

// ---- parts of the object

static void write_lipschitz(const lti_bound *b, lti_json *w)
{
    const lt_lipschitz *l = &b->lipschitz;
    const lt_theorem *t = &b->theorem[0];
    lti_json_begin(w, "lipschitz", '{');
    lti_json_real(w, "logits", l->bound);
    lti_json_real(w, "loss", SQRT_2 * l->bound); // |grad_z CE| <= sqrt(2)
    lti_json_real(w, "local_max", t->local_max);
    write_distribution("local", t->local, t->n, w);
    lti_json_real(w, "tolerance", b->cfg.tolerance);
    lti_json_begin(w, "layers", '[');
    for (int i = 0; i < l->n_layers; i++) {
        lti_json_begin(w, NULL, '{');
        lti_json_text(w, "name", l->layer[i].name);
        lti_json_text(w, "kind", l->layer[i].kind);
        lti_json_real(w, "sigma", l->layer[i].sigma);
        lti_json_int(w, "iterations", l->layer[i].iterations);
        lti_json_real(w, "residual", l->layer[i].residual);
        lti_json_end(w, '}');
    }
    lti_json_end(w, ']');
    lti_json_end(w, '}');
}

static void write_transfer(const char *key, const lt_transfer *t, lti_json *w)
{
    lti_json_begin(w, key, '{');
    lti_json_real(w, "as_adv", t->as_adv);
    lti_json_real(w, "wrong", t->wrong);
    lti_json_end(w, '}');
}

// out (n): L delta - C of every sample. Returns the mean.
static double excess_of(double l, const lti_bound_samples *s, const lt_theorem *t, double *out)
{
    for (int64_t i = 0; i < t->n; i++)
        out[i] = l * (double)s->delta[i] - t->c[i];
    return mean_of(out, t->n);
}

static void write_excess(const lti_bound *b, const lt_theorem *t, lti_json *w)
{
    double *v = lti_calloc((size_t)t->n + 1, sizeof *v);
    w->buf.failed = w->buf.failed || !v;
    lti_json_begin(w, "l_delta_minus_c", '{');
    if (v) {
        lti_json_real(w, "bound_mean", excess_of(SQRT_2 * b->lipschitz.bound, &b->s, t, v));
        lti_json_real(w, "local_mean", excess_of(t->local_max, &b->s, t, v));
        write_distribution("local", v, t->n, w);
    }
    lti_json_end(w, '}');
    lti_free(v);
}

static void write_oracle(const lti_bound *b, int i, lti_json *w)
{
    const lt_theorem *t = &b->theorem[i];
    lti_json_begin(w, NULL, '{');
    lti_json_text(w, "run", b->oracle[i]);
    lti_json_begin(w, "loss", '{');
    for (int k = 0; k < LT_N_TERMS; k++)
        lti_json_real(w, lt_theorem_term_name((lt_theorem_term)k), mean_of(t->loss[k], t->n));
    lti_json_end(w, '}');
    write_distribution("c", t->c, t->n, w);
    write_excess(b, t, w);
    lti_json_begin(w, "distance_l2", '{');
    lti_json_real(w, "original_retrained", t->original_retrained);
    lti_json_real(w, "unlearned_retrained", t->unlearned_retrained);
    lti_json_real(w, "unlearned_original", t->unlearned_original);
    lti_json_end(w, '}');
    // The left side of the theorem less the first term of its right side: below 0 = closer to retraining.
    lti_json_real(w, "squared_distance_change",
                  t->unlearned_retrained * t->unlearned_retrained - t->original_retrained * t->original_retrained);
    write_transfer("transfer", &t->retrained, w);
    lti_json_end(w, '}');
}

void lti_bound_write(const void *data, lti_json *w)
{
    const lti_bound *b = data;
    const lti_bound_samples *s = &b->s;
    const lt_theorem *t = &b->theorem[0];
    lti_json_text(w, "base", b->base);
    lti_json_int(w, "n", s->n);
    lti_json_int(w, "n_failed", s->n_failed);
    lti_json_int(w, "n_clean_wrong", s->n_clean_wrong);
    lti_json_begin(w, "delta", '{');
    write_spread(NULL, s->delta, s->n, w);
    write_delta_histogram(s->delta, s->n, w);
    lti_json_end(w, '}');
    lti_json_begin(w, "eps_final", '{');
    write_spread(NULL, s->eps, s->n, w);
    write_eps_histogram(s->eps, s->n, w);
    lti_json_end(w, '}');
    write_lipschitz(b, w);
    lti_json_begin(w, "loss", '{');
    for (int i = 0; i < LT_N_TERMS; i++)
        if (i != LT_TERM_RETRAINED_ADV && i != LT_TERM_RETRAINED_CLEAN)
            write_distribution(lt_theorem_term_name((lt_theorem_term)i), t->loss[i], t->n, w);
    lti_json_end(w, '}');
    lti_json_real(w, "unlearned_original_l2", t->unlearned_original);
    lti_json_begin(w, "transfer", '{');
    write_transfer("original", &t->original, w);
    write_transfer("unlearned", &t->unlearned, w);
    lti_json_end(w, '}');
    lti_json_begin(w, "oracles", '[');
    for (int i = 0; i < b->n_oracles; i++)
        write_oracle(b, i, w);
    lti_json_end(w, ']');
    lti_json_text(w, "samples", b->npz);
}

// ---- the file: one row per sample, one column per oracle

static void fill_columns(const lti_bound *b, double *const per[3])
{
    const size_t n = (size_t)b->s.n;
    for (int o = 0; o < (b->n_oracles ? b->n_oracles : 1); o++) {
        memcpy(per[0] + (size_t)o * n, b->theorem[o].loss[LT_TERM_RETRAINED_CLEAN], n * sizeof(double));
        memcpy(per[1] + (size_t)o * n, b->theorem[o].loss[LT_TERM_RETRAINED_ADV], n * sizeof(double));
        memcpy(per[2] + (size_t)o * n, b->theorem[o].c, n * sizeof(double));
    }
}

static lt_status write_file(const lti_bound *b, const char *npz, double *memory)
{
    enum { N_FIXED = 9, N_PER_ORACLE = 3 };
    const lti_bound_samples *s = &b->s;
    const lt_theorem *t = &b->theorem[0];
    const int64_t n = s->n, rows = b->n_oracles ? b->n_oracles : 1;
    const size_t d = (size_t)n * sizeof(double);
    double *const per[N_PER_ORACLE] = {memory, memory + rows * n, memory + 2 * rows * n}; // (rows,n) each
    fill_columns(b, per);
    const lt_tensor tensor[N_FIXED + N_PER_ORACLE] = {
        {"ids", LT_I64, 1, {n}, s->id, (size_t)n * sizeof *s->id},
        {"y", LT_I32, 1, {n}, s->y, (size_t)n * sizeof *s->y},
        {"y_adv", LT_I32, 1, {n}, s->y_adv, (size_t)n * sizeof *s->y_adv},
        {"delta", LT_F32, 1, {n}, s->delta, (size_t)n * sizeof *s->delta},
        {"eps", LT_F32, 1, {n}, s->eps, (size_t)n * sizeof *s->eps},
        {"loss_original_clean", LT_F64, 1, {n}, t->loss[LT_TERM_ORIGINAL_CLEAN], d},
        {"loss_original_adv", LT_F64, 1, {n}, t->loss[LT_TERM_ORIGINAL_ADV], d},
        {"loss_unlearned_adv", LT_F64, 1, {n}, t->loss[LT_TERM_UNLEARNED_ADV], d},
        {"local_lipschitz", LT_F64, 1, {n}, t->local, d},
        {"loss_retrained_clean", LT_F64, 2, {rows, n}, per[0], (size_t)rows * d},
        {"loss_retrained_adv", LT_F64, 2, {rows, n}, per[1], (size_t)rows * d},
        {"c", LT_F64, 2, {rows, n}, per[2], (size_t)rows * d},
    };
    return lt_npz_write(npz, tensor, b->n_oracles ? N_FIXED + N_PER_ORACLE : N_FIXED);
}

lt_status lt_amun_bound_save(lt_audit_report *report, const char *npz)
{
    lti_bound *b = report->data[LT_AUDIT_amun_bound];
    if (!b) {
        LT_FAIL(LT_E_USAGE, "--amun-bound-out: %s has no adversarial set (adv/), or its base was not found",
                report->in->unlearned.name);
        return lt_error_hint("lethe unlearn --method amun --save-adv keeps the set");
    }
    const size_t n = 3 * (size_t)(b->n_oracles ? b->n_oracles : 1) * (size_t)b->s.n;
    double *memory = lti_calloc(n + 1, sizeof *memory);
    char *name = lti_strdup(npz);
    lt_status status = memory && name ? write_file(b, npz, memory) : LTI_NOMEM(npz);
    lti_free(memory);
    if (status != LT_OK) {
        lti_free(name);
        return status;
    }
    lti_free(b->npz);
    b->npz = name;
    return LT_OK;
}
