// mupht_dagger.c - MUpHT with retained inputs: directions in which forgotten inputs are large and retained ones small.
// docs/methods/svd.md
#include "unlearn/subspace.h"
#include "base/eigen.h"
#include <math.h>
#include <string.h>

struct cfg {
    double energy, ridge;
    int32_t form;
    int64_t samples, patches;
    bool sequential;
};

enum { TRANSCRIBED, OBLIQUE };
static const lt_opt_value forms[] = {
    {"transcribed", TRANSCRIBED, "W - W U diag(a) U', as the published formula reads"},
    {"oblique", OBLIQUE, "W - W C_rr U diag(a) U', the projector that takes the directions out (a reconstruction)"},
    {NULL, 0, NULL},
};

static const lt_option opts[] = {
    LT_F64(struct cfg, energy, 0.9, 1e-9, 1, "",
           "number of directions: the fewest leading ones of the forget inputs that hold this share of their energy (a "
           "reconstruction: the paper's rule is not public)"),
    LT_F64(struct cfg, ridge, 1e-6, 1e-12, 1, "",
           "added to the diagonal of the retained moments, as a share of its mean"),
    LT_ENUM(struct cfg, form, OBLIQUE, forms,
            "what is taken out of the weights; the transcribed formula depends on the units of the inputs and can "
            "destroy a "
            "model"),
    LT_I64(struct cfg, samples, 900, 1, 1000000000, "images", "images of each set, at most, drawn by the seed"),
    LT_I64(struct cfg, patches, 10000, 1, 1000000000, "patches", "patches of a convolution per set, about"),
    LT_BOOL(struct cfg, sequential, 0, "inputs of a layer are taken after the layers before it have changed"),
    LT_OPT_END,
};

// Lower L with L L' = c (d,d), in place; the upper half is left as it was. [MUpHT 2]
static lt_status factor(double *c, int64_t d)
{
    for (int64_t j = 0; j < d; j++) {
        for (int64_t i = j; i < d; i++) {
            double sum = c[i * d + j];
            for (int64_t k = 0; k < j; k++)
                sum -= c[i * d + k] * c[j * d + k];
            if (i == j && !(sum > 0))
                return LT_FAIL(LT_E_FAIL,
                               "moments of the retained inputs: expected a positive definite matrix, found "
                               "pivot %g in row %lld",
                               sum, (long long)j);
            c[i * d + j] = i == j ? sqrt(sum) : sum / c[j * d + j];
        }
    }
    return LT_OK;
}

// x (d) <- L^-1 x, stride of x given.
static void solve_lower(const double *l, int64_t d, double *x, int64_t stride)
{
    for (int64_t i = 0; i < d; i++) {
        double sum = x[i * stride];
        for (int64_t k = 0; k < i; k++)
            sum -= l[i * d + k] * x[k * stride];
        x[i * stride] = sum / l[i * d + i];
    }
}

static void solve_lower_transposed(const double *l, int64_t d, double *x) // x (d) <- L^-T x
{
    for (int64_t i = d - 1; i >= 0; i--) {
        double sum = x[i];
        for (int64_t k = i + 1; k < d; k++)
            sum -= l[k * d + i] * x[k];
        x[i] = sum / l[i * d + i];
    }
}

// The fewest leading eigenvalues of c (d,d) that hold `energy` of their sum. scratch (d,d), w (d).
static lt_status count_directions(const double *c, int64_t d, double energy, double *scratch, double *w, int64_t *k)
{
    double sum = 0, held = 0;
    memcpy(scratch, c, (size_t)(d * d) * sizeof *scratch);
    LT_TRY(lti_eigen_symmetric(scratch, d, w));
    for (int64_t e = 0; e < d; e++)
        sum += w[e] > 0 ? w[e] : 0;
    for (*k = 0; *k < d && w[*k] > 0 && held < energy * sum; ++*k)
        held += w[*k];
    return LT_OK;
}

// pt += weight of the direction u (d) times b u', b = u or C_rr u.
static void add_direction(const double *u, const double *crr, double weight, int64_t d, double *pt)
{
    for (int64_t i = 0; i < d; i++) {
        double b = u[i];
        if (crr) {
            b = 0;
            for (int64_t j = 0; j < d; j++)
                b += crr[i * d + j] * u[j];
        }
        for (int64_t j = 0; j < d; j++)
            pt[i * d + j] += weight * b * u[j];
    }
}

// moments->forget becomes A = L^-1 C_ff L^-T, moments->retain the factor L of C_rr with its ridge. [MUpHT 2]
static lt_status whiten(lti_moments_pair *m, double ridge)
{
    const int64_t d = m->d;
    double trace = 0;
    for (int64_t i = 0; i < d; i++)
        trace += m->retain[i * d + i];
    for (int64_t i = 0; i < d; i++)
        m->retain[i * d + i] += ridge * (trace > 0 ? trace : 1) / (double)d;
    LT_TRY(factor(m->retain, d));
    for (int64_t j = 0; j < d; j++)
        solve_lower(m->retain, d, m->forget + j, d); // columns
    for (int64_t i = 0; i < d; i++)
        solve_lower(m->retain, d, m->forget + i * d, 1); // rows
    for (int64_t i = 0; i < d; i++)
        for (int64_t j = 0; j < i; j++)
            m->forget[i * d + j] = m->forget[j * d + i] = 0.5 * (m->forget[i * d + j] + m->forget[j * d + i]);
    return LT_OK;
}

lt_status lti_mupht_dagger_projector(lti_moments_pair *m, const lti_mupht_dagger *cfg, double *pt)
{
    const int64_t d = m->d;
    const size_t bytes = (size_t)(d * d) * sizeof(double);
    int64_t k = 0;
    double *memory = lti_calloc(2 * (size_t)(d * d) + (size_t)d, sizeof *memory);
    if (!memory)
        return LTI_NOMEM("subspace");
    double *scratch = memory, *crr = memory + d * d, *w = crr + d * d;
    memset(pt, 0, bytes);
    lt_status status = count_directions(m->forget, d, cfg->energy, scratch, w, &k);
    if (status == LT_OK)
        status = whiten(m, cfg->ridge);
    for (int64_t i = 0; status == LT_OK && i < d; i++) // C_rr again, from its factor
        for (int64_t j = 0; j <= i; j++) {
            double sum = 0;
            for (int64_t e = 0; e <= j; e++)
                sum += m->retain[i * d + e] * m->retain[j * d + e];
            crr[i * d + j] = crr[j * d + i] = sum;
        }
    if (status == LT_OK)
        status = lti_eigen_symmetric(m->forget, d, w);
    for (int64_t e = 0; status == LT_OK && e < k && w[e] > 0; e++) {
        double *u = m->forget + e * d;
        solve_lower_transposed(m->retain, d, u);                                        // [MUpHT 3]
        add_direction(u, cfg->oblique ? crr : NULL, fmin(1, cfg->ratio * w[e]), d, pt); // [MUpHT 4, 5]
    }
    lti_free(memory);
    return status;
}

static lt_status projector(lti_moments_pair *moments, const void *cfg, double *pt)
{
    return lti_mupht_dagger_projector(moments, cfg, pt);
}

static lt_status run(const lt_unlearn_in *in, const void *cfg, lt_unlearn_plan_ctx *ctx)
{
    const struct cfg *c = cfg;
    const lti_mupht_dagger form = {.energy = c->energy,
                                   .ridge = c->ridge,
                                   .ratio = (double)in->forget->n / (double)in->retain->n,
                                   .oblique = c->form == OBLIQUE};
    return lti_subspace_run(in,
                            &(lti_subspace_cfg){.samples = c->samples,
                                                .patches = c->patches,
                                                .sequential = c->sequential,
                                                .use_retain = true,
                                                .projector = projector,
                                                .cfg = &form},
                            ctx);
}

const lt_unlearn_method lti_unlearn_mupht_dagger = {
    .name = "mupht-dagger",
    .title = "MUpHT-dagger, directions of forgotten against retained inputs (reconstruction)",
    .label = "MUpHT-dagger",
    .cite = "mupht",
    .doc = "Projects the weights of every layer away from the directions in which its inputs are large on forgotten "
           "and small on retained images: generalised eigenvectors of the two second moments, each weighted by its "
           "Rayleigh quotient, at most 1. A reconstruction: the number of directions and the weights are not public. "
           "The default is the projector that takes the directions out; form=transcribed is the formula as it was "
           "passed on, which depends on the units of the inputs.",
    .needs = LT_NEED_RETAIN | LT_CLOSED_FORM,
    .cfg_size = sizeof(struct cfg),
    .opts = opts,
    .run = run,
};
