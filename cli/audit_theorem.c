// audit_theorem.c - `lethe audit`: the diagnostics of AMUN's theorem for runs that keep an adversarial set. [AMUN 9]
//
// Base is the run this one started from, the retrained models are the oracles of the audit. Everything per sample goes
// to a file (--diagnostics), the object in the result holds its distribution.
#include "audit.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { N_BINS = 20, N_QUANTILES = 7 };
#define SQRT_2 1.41421356237309504880

typedef struct samples { // of the adversarial set, without those whose search failed
    int64_t n, n_failed, n_clean_wrong;
    int64_t *row, *id;
    float *x_adv, *delta, *eps;
    int32_t *y, *y_adv;
} samples;

static void clear_samples(samples *s)
{
    free(s->row);
    free(s->id);
    free(s->x_adv);
    free(s->delta);
    free(s->eps);
    free(s->y);
    free(s->y_adv);
}

static void reserve_samples(samples *s, int64_t n, size_t image)
{
    s->row = cli_alloc((size_t)n, sizeof *s->row);
    s->id = cli_alloc((size_t)n, sizeof *s->id);
    s->x_adv = cli_alloc((size_t)n * image, sizeof *s->x_adv);
    s->delta = cli_alloc((size_t)n, sizeof *s->delta);
    s->eps = cli_alloc((size_t)n, sizeof *s->eps);
    s->y = cli_alloc((size_t)n, sizeof *s->y);
    s->y_adv = cli_alloc((size_t)n, sizeof *s->y_adv);
}

static lt_status take_samples(const lt_adv_set *adv, const char *dir, const lt_dataset *ds, samples *s)
{
    const size_t image = (size_t)adv->c * (size_t)adv->h * (size_t)adv->w;
    if (adv->c != ds->c || adv->h != ds->h || adv->w != ds->w)
        return LT_FAIL(LT_E_SHAPE, "%s/adv: expected images of %dx%dx%d as in the data, found %dx%dx%d", dir, ds->c,
                       ds->h, ds->w, adv->c, adv->h, adv->w);
    s->n_failed = lt_adv_set_count(adv, LT_ADV_FAILED);
    s->n_clean_wrong = lt_adv_set_count(adv, LT_ADV_CLEAN_WRONG);
    reserve_samples(s, adv->n, image);
    for (int64_t i = 0; i < adv->n; i++) {
        const int64_t row = lt_dataset_row_of_id(ds, LT_TRAIN, adv->id[i]);
        if (row < 0 || ds->split[LT_TRAIN].y[row] != adv->label[i])
            return LT_FAIL(LT_E_FORMAT, "%s/adv: sample %lld has id %lld and label %d, which the data has not", dir,
                           (long long)i, (long long)adv->id[i], (int)adv->label[i]);
        if (adv->status[i] == LT_ADV_FAILED)
            continue;
        s->row[s->n] = row;
        s->id[s->n] = adv->id[i];
        s->delta[s->n] = adv->delta_norm[i];
        s->eps[s->n] = adv->eps_final[i];
        s->y[s->n] = adv->label[i];
        s->y_adv[s->n] = adv->adv_pred[i];
        memcpy(s->x_adv + (size_t)s->n * image, adv->x_adv + (size_t)i * image, image * sizeof(float));
        s->n++;
    }
    return LT_OK;
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

// {"mean", "quantiles": {"0", "0.05", ...}} of v (n), which is sorted; null without values.
static json_t *spread_json(double *v, int64_t n)
{
    static const double q[N_QUANTILES] = {0, 0.05, 0.25, 0.5, 0.75, 0.95, 1};
    static const char *const name[N_QUANTILES] = {"min", "p5", "p25", "median", "p75", "p95", "max"};
    json_t *j = json_object();
    if (n == 0)
        return j;
    qsort(v, (size_t)n, sizeof *v, ascending);
    cli_put_real(j, "mean", mean_of(v, n));
    for (int i = 0; i < N_QUANTILES; i++)
        cli_put_real(j, name[i], quantile(v, n, q[i]));
    return j;
}

static double *copy_of(const double *v, const float *f, int64_t n, int64_t *n_finite)
{
    double *out = cli_alloc((size_t)n, sizeof *out);
    *n_finite = 0;
    for (int64_t i = 0; i < n; i++) {
        const double x = v ? v[i] : f ? (double)f[i] : (double)NAN;
        if (isfinite(x))
            out[(*n_finite)++] = x;
    }
    return out;
}

static json_t *distribution(const double *v, const float *f, int64_t n)
{
    int64_t n_finite;
    double *copy = copy_of(v, f, n, &n_finite);
    json_t *j = n_finite ? spread_json(copy, n_finite) : json_null();
    free(copy);
    return j;
}

// Equal bins from 0 to the largest value.
static json_t *delta_histogram(const float *v, int64_t n)
{
    json_t *edges = json_array(), *counts = json_array();
    int64_t count[N_BINS] = {0};
    float largest = 0;
    for (int64_t i = 0; i < n; i++)
        largest = v[i] > largest ? v[i] : largest;
    for (int64_t i = 0; i < n; i++) {
        int bin = largest > 0 ? (int)((double)v[i] / (double)largest * N_BINS) : 0;
        count[bin < N_BINS ? bin : N_BINS - 1]++;
    }
    for (int b = 0; b <= N_BINS; b++)
        json_array_append_new(edges, json_real((double)largest * b / N_BINS));
    for (int b = 0; b < N_BINS; b++)
        json_array_append_new(counts, json_integer(count[b]));
    return json_pack("{s:o,s:o}", "edges", edges, "counts", counts);
}

// The radii of the search double, so they take few values: one count for each.
static json_t *eps_histogram(const float *v, int64_t n)
{
    json_t *values = json_array(), *counts = json_array();
    int64_t n_finite;
    double *sorted = copy_of(NULL, v, n, &n_finite);
    qsort(sorted, (size_t)n_finite, sizeof *sorted, ascending);
    for (int64_t i = 0, k; i < n_finite; i = k) {
        for (k = i; k < n_finite && !(sorted[k] > sorted[i]); k++)
            continue;
        json_array_append_new(values, json_real(sorted[i]));
        json_array_append_new(counts, json_integer(k - i));
    }
    free(sorted);
    return json_pack("{s:o,s:o}", "values", values, "counts", counts);
}

// ---- parts of the object

static json_t *lipschitz_json(const lt_lipschitz *l, const lt_lipschitz_cfg *cfg, const lt_theorem *t)
{
    json_t *j = json_object(), *layers = json_array();
    for (int i = 0; i < l->n_layers; i++) {
        const lt_layer_norm *n = &l->layer[i];
        json_t *one = json_object();
        cli_put(one, "name", json_string(n->name));
        cli_put(one, "kind", json_string(n->kind));
        cli_put_real(one, "sigma", n->sigma);
        cli_put(one, "iterations", json_integer(n->iterations));
        cli_put_real(one, "residual", n->residual);
        json_array_append_new(layers, one);
    }
    cli_put_real(j, "logits", l->bound);
    cli_put_real(j, "loss", SQRT_2 * l->bound); // |grad_z CE| <= sqrt(2)
    cli_put_real(j, "local_max", t->local_max);
    cli_put(j, "local", distribution(t->local, NULL, t->n));
    cli_put_real(j, "tolerance", cfg->tolerance);
    cli_put(j, "layers", layers);
    return j;
}

static json_t *transfer_json(const lt_transfer *t)
{
    json_t *j = json_object();
    cli_put_real(j, "as_adv", t->as_adv);
    cli_put_real(j, "wrong", t->wrong);
    return j;
}

static double l_delta_minus_c(double l, const samples *s, const lt_theorem *t, double *out)
{
    for (int64_t i = 0; i < t->n; i++)
        out[i] = l * (double)s->delta[i] - t->c[i];
    return mean_of(out, t->n);
}

static json_t *oracle_json(const char *name, const samples *s, const lt_theorem *t, double bound)
{
    json_t *j = json_object(), *loss = json_object(), *distance = json_object(), *excess = json_object();
    double *v = cli_alloc((size_t)t->n, sizeof *v);
    cli_put_text(j, "run", name);
    for (int i = 0; i < LT_N_TERMS; i++)
        cli_put_real(loss, lt_theorem_term_name((lt_theorem_term)i), mean_of(t->loss[i], t->n));
    cli_put(j, "loss", loss);
    cli_put(j, "c", distribution(t->c, NULL, t->n));
    cli_put_real(excess, "bound_mean", l_delta_minus_c(bound, s, t, v));
    cli_put_real(excess, "local_mean", l_delta_minus_c(t->local_max, s, t, v));
    cli_put(excess, "local", distribution(v, NULL, t->n));
    cli_put(j, "l_delta_minus_c", excess);
    cli_put_real(distance, "original_retrained", t->original_retrained);
    cli_put_real(distance, "unlearned_retrained", t->unlearned_retrained);
    cli_put_real(distance, "unlearned_original", t->unlearned_original);
    cli_put(j, "distance_l2", distance);
    // The left side of the theorem less the first term of its right side: below 0 = closer to retraining.
    cli_put_real(j, "squared_distance_change",
                 t->unlearned_retrained * t->unlearned_retrained - t->original_retrained * t->original_retrained);
    cli_put(j, "transfer", transfer_json(&t->retrained));
    free(v);
    return j;
}

// ---- the file: one row per sample, one column per oracle

static lt_status save(const char *npz, const samples *s, const lt_theorem *t, int n_oracles)
{
    enum { N_FIXED = 9, N_PER_ORACLE = 3 };
    const int64_t n = s->n, rows = n_oracles ? n_oracles : 1;
    const size_t d = (size_t)n * sizeof(double);
    double *per[N_PER_ORACLE]; // (rows,n)
    for (int p = 0; p < N_PER_ORACLE; p++)
        per[p] = cli_alloc((size_t)(rows * n), sizeof *per[p]);
    for (int o = 0; o < rows; o++) {
        memcpy(per[0] + o * n, t[o].loss[LT_TERM_RETRAINED_CLEAN], d);
        memcpy(per[1] + o * n, t[o].loss[LT_TERM_RETRAINED_ADV], d);
        memcpy(per[2] + o * n, t[o].c, d);
    }
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
    lt_status status = lt_npz_write(npz, tensor, n_oracles ? N_FIXED + N_PER_ORACLE : N_FIXED);
    for (int p = 0; p < N_PER_ORACLE; p++)
        free(per[p]);
    return status;
}

// ---- together

typedef struct work {
    samples s;
    cli_source base;
    lt_theorem *theorem; // one per oracle, or one without
    lt_lipschitz lipschitz;
    lt_lipschitz_cfg cfg;
} work;

static lt_status measure(const cli_theorem_ask *ask, const lt_env *env, work *w)
{
    lt_theorem_in in = {.clean = lt_view_rows(ask->ds, LT_TRAIN, &(lt_index_set){.n = w->s.n, .row = w->s.row}),
                        .x_adv = w->s.x_adv,
                        .y_adv = w->s.y_adv,
                        .delta = w->s.delta,
                        .original = w->base.model,
                        .unlearned = ask->source->model};
    w->theorem = cli_alloc((size_t)ask->n_oracles + 1, sizeof *w->theorem);
    for (int i = 0; i < ask->n_oracles; i++) {
        cli_source oracle;
        lt_status status = cli_source_open(ask->oracle[i], NULL, &oracle);
        in.retrained = oracle.model;
        if (status == LT_OK)
            status = lt_theorem_measure(&in, env, &w->theorem[i]);
        cli_source_close(&oracle);
        LT_TRY(status);
    }
    if (ask->n_oracles == 0)
        LT_TRY(lt_theorem_measure(&in, env, &w->theorem[0]));
    return lt_lipschitz_bound(w->base.model, &w->cfg, env, &w->lipschitz);
}

static json_t *result_json(const cli_theorem_ask *ask, const work *w)
{
    const lt_theorem *t = &w->theorem[0];
    const samples *s = &w->s;
    json_t *j = json_object(), *delta = distribution(NULL, s->delta, s->n), *eps = distribution(NULL, s->eps, s->n),
           *loss = json_object(), *transfer = json_object(), *oracles = json_array();
    cli_put_text(j, "base", w->base.name);
    cli_put(j, "n", json_integer(s->n));
    cli_put(j, "n_failed", json_integer(s->n_failed));
    cli_put(j, "n_clean_wrong", json_integer(s->n_clean_wrong));
    cli_put(delta, "histogram", delta_histogram(s->delta, s->n));
    cli_put(j, "delta", delta);
    cli_put(eps, "histogram", eps_histogram(s->eps, s->n));
    cli_put(j, "eps_final", eps);
    cli_put(j, "lipschitz", lipschitz_json(&w->lipschitz, &w->cfg, t));
    for (int i = 0; i < LT_N_TERMS; i++)
        if (i != LT_TERM_RETRAINED_ADV && i != LT_TERM_RETRAINED_CLEAN)
            cli_put(loss, lt_theorem_term_name((lt_theorem_term)i), distribution(t->loss[i], NULL, t->n));
    cli_put(j, "loss", loss);
    cli_put_real(j, "unlearned_original_l2", t->unlearned_original);
    cli_put(transfer, "original", transfer_json(&t->original));
    cli_put(transfer, "unlearned", transfer_json(&t->unlearned));
    cli_put(j, "transfer", transfer);
    for (int i = 0; i < ask->n_oracles; i++)
        json_array_append_new(oracles, oracle_json(ask->oracle[i], s, &w->theorem[i], SQRT_2 * w->lipschitz.bound));
    cli_put(j, "oracles", oracles);
    cli_put_text(j, "samples", ask->npz && *ask->npz ? ask->npz : NULL);
    return j;
}

// NULL and no error when there is no base to compare with: a note says so.
static lt_status open_base(const cli_theorem_ask *ask, work *w, bool *found)
{
    char digest[65];
    char *path = cli_find_parent(ask->source);
    lt_status status = cli_source_open(path, NULL, &w->base);
    *found = status == LT_OK;
    if (!*found)
        cli_lint(ask->lint, "no-base", "no diagnostics of the theorem: the run this one started from is not there: %s",
                 lt_error_get()->message);
    free(path);
    lt_error_clear();
    if (!*found)
        return LT_OK;
    lt_model_digest(w->base.model, digest);
    if (strcmp(digest, cli_text(ask->source->result, "parent_digest")) != 0) {
        cli_lint(ask->lint, "no-base", "no diagnostics of the theorem: %s has not the weights that %s started from",
                 w->base.name, ask->source->name);
        *found = false;
    }
    return LT_OK;
}

static lt_status open_samples(const cli_theorem_ask *ask, bool *found, samples *s)
{
    char *dir = cli_format("%s/adv", ask->source->dir ? ask->source->dir : ""),
         *file = cli_format("%s/adv.safetensors", dir);
    lt_adv_set *adv = NULL;
    *found = ask->source->dir && access(file, F_OK) == 0;
    lt_status status = *found ? lt_adv_set_open(dir, &adv) : LT_OK;
    if (adv)
        status = take_samples(adv, ask->source->dir, ask->ds, s);
    lt_adv_set_destroy(adv);
    free(dir);
    free(file);
    LT_TRY(status);
    *found = *found && s->n > 0;
    return LT_OK;
}

lt_status cli_theorem(cli_call *call, const cli_theorem_ask *ask, json_t **out)
{
    enum { TOLERANCE_INVERSE = 10000 };
    work w = {.cfg = {.tolerance = 1.0 / TOLERANCE_INVERSE, .seed = call->seed.seed}};
    lt_env env;
    bool found = false;
    lt_status status = LT_OK;
    *out = NULL;
    LT_TRY_GOTO(open_samples(ask, &found, &w.s), done);
    if (found)
        LT_TRY_GOTO(open_base(ask, &w, &found), done);
    if (!found && ask->npz && *ask->npz) {
        LT_TRY_GOTO(LT_FAIL(LT_E_USAGE, "--diagnostics: %s has no adversarial set (adv/), or its base is not there",
                            ask->source->name),
                    done);
    }
    if (!found)
        goto done;
    cli_progress_stage(call->session->progress, "diagnostics of the theorem");
    LT_TRY_GOTO(cli_env(call, &env), done);
    LT_TRY_GOTO(measure(ask, &env, &w), done);
    if (ask->npz && *ask->npz)
        LT_TRY_GOTO(save(ask->npz, &w.s, w.theorem, ask->n_oracles), done);
    *out = result_json(ask, &w);
done:
    for (int i = 0; w.theorem && i <= ask->n_oracles; i++)
        lt_theorem_clear(&w.theorem[i]);
    free(w.theorem);
    lt_lipschitz_clear(&w.lipschitz);
    cli_source_close(&w.base);
    clear_samples(&w.s);
    return status;
}

// ---- for people

void cli_theorem_print(const json_t *d, FILE *out)
{
    char as[24], wrong[24];
    const json_t *oracle;
    size_t i;
    if (!json_is_object(d))
        return;
    fprintf(
        out,
        "\nAMUN's theorem (a diagnostic: its convexity does not hold for networks), %.0f samples\n"
        "distance to the adversarial partner: median %.3g, 95 %% below %.3g\n"
        "Lipschitz constant of the loss: at most %.3g from the norms of the layers, at least %.3g between partners\n",
        cli_real(d, "n"), cli_real(d, "delta.median"), cli_real(d, "delta.p95"), cli_real(d, "lipschitz.loss"),
        cli_real(d, "lipschitz.local_max"));
    if (json_array_size(json_object_get(d, "oracles")))
        fputs("distances between the models: o " LT_KIND_ORIGINAL ", u " LT_KIND_UNLEARNED ", r " LT_KIND_RETRAINED
              "\n",
              out);
    json_array_foreach(json_object_get(d, "oracles"), i, oracle)
    {
        fprintf(out, "%s: C %.3g, L delta - C %.3g (bound), %.3g (local); |o-r| %.4g, |u-r| %.4g, |u-o| %.4g\n",
                cli_text(oracle, "run"), cli_real(oracle, "c.mean"), cli_real(oracle, "l_delta_minus_c.bound_mean"),
                cli_real(oracle, "l_delta_minus_c.local_mean"), cli_real(oracle, "distance_l2.original_retrained"),
                cli_real(oracle, "distance_l2.unlearned_retrained"),
                cli_real(oracle, "distance_l2.unlearned_original"));
        fprintf(out, "    it predicts %s %% of the partners as adversarial, %s %% as anything but the true class\n",
                cli_percent(cli_real(oracle, "transfer.as_adv"), as),
                cli_percent(cli_real(oracle, "transfer.wrong"), wrong));
    }
}
