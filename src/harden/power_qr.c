// power_qr.c - PowerQR: top singular triples of a linear map by shifted subspace iteration [SPECTRA 1-3].
//
// One step is Y = A V, Z = A'Y, V <- orthonormal rows of shift V + Z. Every ten steps the block is rotated to Ritz
// vectors: the eigenvectors of the small matrix Y Y'. The values read off there are norms of A v for unit v, so each is
// a lower bound of a singular value whether or not the iteration has converged, and their signs and order cannot be
// wrong.
#include "harden_impl.h"
#include <math.h>
#include <string.h>

enum { WINDOW = 10, MAX_BLOCK = 64 };

typedef struct block {
    lt_linear_map *map;
    int k;
    int64_t n_in, n_out;
    float *v, *y, *z; // (k,n_in), (k,n_out), (k,n_in)
    double *gram, *value, *vector;
    double sigma[MAX_BLOCK];
} block;

void lt_power_qr_start(float *v, int64_t count, int64_t n, uint64_t seed, uint32_t tensor)
{
    for (int64_t i = 0; i < count; i++) {
        lt_rng rng = lt_rng_at(seed, LT_STREAM_SPECTRA, tensor, (uint64_t)i << 32);
        for (int64_t e = 0; e < n; e++)
            v[i * n + e] = (float)lt_rng_normal(&rng);
    }
}

// rows <- vector * rows, a stretch of columns at a time.
static void rotate_rows(float *rows, int k, int64_t n, const double *vector)
{
    enum { STRETCH = 128 };
    float out[MAX_BLOCK][STRETCH];
    for (int64_t from = 0; from < n; from += STRETCH) {
        const int64_t m = n - from < STRETCH ? n - from : STRETCH;
        for (int i = 0; i < k; i++) {
            memset(out[i], 0, sizeof out[i]);
            for (int j = 0; j < k; j++) {
                const float by = (float)vector[i * k + j], *row = rows + j * n + from;
                for (int64_t e = 0; e < m; e++)
                    out[i][e] += by * row[e];
            }
        }
        for (int i = 0; i < k; i++)
            memcpy(rows + i * n + from, out[i], (size_t)m * sizeof *rows);
    }
}

// The rotation of V and Y = A V to Ritz vectors; sigma descending.
static lt_status project(block *b)
{
    const int k = b->k;
    for (int i = 0; i < k; i++)
        for (int j = 0; j <= i; j++)
            b->gram[i * k + j] = b->gram[j * k + i] = lti_dot_f32(b->y + i * b->n_out, b->y + j * b->n_out, b->n_out);
    for (int i = 0; i < k * k; i++)
        if (!isfinite(b->gram[i]))
            return LT_FAIL(LT_E_DIVERGED, "singular values of a layer: expected finite weights, found |A v|^2 = %g",
                           b->gram[i]);
    if (k > 1) {
        lti_symmetric_eigen(b->gram, k, b->value, b->vector);
        rotate_rows(b->v, k, b->n_in, b->vector);
        rotate_rows(b->y, k, b->n_out, b->vector);
    }
    for (int i = 0; i < k; i++)
        b->sigma[i] = sqrt(fmax(k > 1 ? b->value[i] : b->gram[0], 0));
    return LT_OK;
}

static double first_residual(const block *b)
{
    const double s = b->sigma[0] * b->sigma[0];
    double sum = 0;
    for (int64_t e = 0; e < b->n_in; e++) {
        const double d = (double)b->z[e] - s * (double)b->v[e];
        sum += d * d;
    }
    return s > 0 ? sqrt(sum) / s : 0;
}

static bool has_settled(const block *b, const double *before, int watched, double tolerance)
{
    for (int i = 0; i < watched; i++)
        if (fabs(b->sigma[i] - before[i]) > tolerance * b->sigma[i])
            return false;
    return true;
}

static lt_status iterate(block *b, lt_power_qr *cfg, const lt_interrupt_flag *stop)
{
    const int limit = cfg->iterations, watched = cfg->n_watched > 0 && cfg->n_watched < b->k ? cfg->n_watched : b->k;
    double before[MAX_BLOCK] = {0};
    lti_orthonormalize(b->v, b->k, b->n_in, 0);
    for (int step = 0;; step++) {
        if (lt_interrupted(stop))
            return LT_FAIL(LT_E_INTERRUPTED, "interrupted: singular values of a layer");
        LT_TRY(lt_linear_map_apply(b->map, b->v, b->y));
        const bool look = step % WINDOW == 0 || step == limit;
        cfg->iterations = step;
        if (look) {
            LT_TRY(project(b));
            if (step == limit || (step > 0 && has_settled(b, before, watched, cfg->tolerance)))
                break;
            memcpy(before, b->sigma, sizeof before);
        }
        LT_TRY(lt_linear_map_adjoint(b->map, b->y, b->z));
        for (int64_t e = 0; e < b->k * b->n_in; e++)
            b->v[e] = (float)(cfg->shift * (double)b->v[e] + (double)b->z[e]);
        lti_orthonormalize(b->v, b->k, b->n_in, (uint32_t)step + 1);
    }
    LT_TRY(lt_linear_map_adjoint(b->map, b->y, b->z));
    cfg->residual = first_residual(b);
    return LT_OK;
}

lt_status lt_power_qr_run(lt_linear_map *map, lt_power_qr *cfg, float *v, float *u, double *sigma,
                          const lt_interrupt_flag *stop)
{
    const int k = cfg->block;
    block b = {.map = map, .k = k, .v = v, .n_in = lt_linear_map_n_in(map), .n_out = lt_linear_map_n_out(map)};
    if (k < 1 || k > MAX_BLOCK || k > b.n_in)
        return LT_FAIL(LT_E_USAGE, "PowerQR: expected 1 to %d vectors, at most as many as there are inputs, found %d",
                       (int)MAX_BLOCK, k);
    b.y = lti_calloc((size_t)(k * b.n_out), sizeof *b.y);
    b.z = lti_calloc((size_t)(k * b.n_in), sizeof *b.z);
    b.gram = lti_calloc((2 * (size_t)k + 1) * (size_t)k, sizeof *b.gram);
    lt_status status = b.y && b.z && b.gram ? LT_OK : LTI_NOMEM("singular values of a layer");
    if (status == LT_OK) {
        b.vector = b.gram + k * k;
        b.value = b.vector + k * k;
        status = iterate(&b, cfg, stop);
    }
    if (status == LT_OK) {
        memcpy(sigma, b.sigma, (size_t)k * sizeof *sigma);
        if (u)
            memcpy(u, b.y, (size_t)(k * b.n_out) * sizeof *u);
    }
    lti_free(b.y);
    lti_free(b.z);
    lti_free(b.gram);
    return status;
}
